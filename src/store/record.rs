//! Stored records: CBOR with explicit field numbers, their own types, converted at the edge.
//!
//! A field that is added is absent in old records and passed over by old readers, so a downgrade within
//! one [`super::FORMAT`] works both ways. A number is never used again for something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{CborLen, Decode, Encode};
use uuid::Uuid;

use super::StoreError;
use crate::model::{
    ArmPlace, Delivery, DeliveryId, Ended, Enrollment, EnrollmentId, Entries, EntriesKey, Flight, Friendship,
    Happening, LineUserId, Link, MemberFile, MemberId, OptOut, ScenarioId, SeenEvent, Settled, Settlement,
    Standing, StepId, StepRecord, What,
};

#[derive(Encode, Decode, CborLen)]
struct MemberRow {
    #[n(0)]
    attributes: Option<ByteVec>,
    #[n(1)]
    tags: Option<Vec<String>>,
    #[n(2)]
    link: Option<LinkRow>,
    #[n(3)]
    merged_into: Option<String>,
    /// Pairs of eight bytes of id and eight of time, joined.
    #[n(4)]
    seen: Option<ByteVec>,
    #[n(5)]
    entries: Option<Vec<EntriesRow>>,
    #[n(6)]
    enrollments: Option<Vec<EnrollmentRow>>,
    #[n(7)]
    journal: Option<Vec<HappeningRow>>,
    #[n(8)]
    history_rows: Option<u32>,
    #[n(9)]
    wake: Option<i64>,
    /// True where the member wants nothing at all.
    #[n(10)]
    opted_out: Option<bool>,
    #[n(11)]
    topics_out: Option<Vec<String>>,
    #[n(12)]
    pushed: Option<Vec<i64>>,
}

#[derive(Encode, Decode, CborLen)]
struct LinkRow {
    #[n(0)]
    user: String,
    #[n(1)]
    friendship: u8,
    #[n(2)]
    told_at: Option<i64>,
}

#[derive(Encode, Decode, CborLen)]
struct EntriesRow {
    #[n(0)]
    scenario: String,
    /// 0 without a key, 1 under one, 2 folded.
    #[n(1)]
    kind: u8,
    #[n(2)]
    key: Option<u64>,
    #[n(3)]
    next_ordinal: u32,
    #[n(4)]
    last: i64,
    #[n(5)]
    left: Option<bool>,
}

#[derive(Encode, Decode, CborLen)]
struct EnrollmentRow {
    #[n(0)]
    id: ByteArray<16>,
    #[n(1)]
    scenario: String,
    #[n(2)]
    key: Option<String>,
    #[n(3)]
    entered_at: i64,
    /// Absent where it is the entry.
    #[n(4)]
    anchor: Option<i64>,
    #[n(5)]
    event: Option<ByteVec>,
    #[n(6)]
    steps: Option<Vec<StepRow>>,
    /// Absent where it is the entry.
    #[n(7)]
    reached_at: Option<i64>,
    #[n(8)]
    until: Option<i64>,
    #[n(9)]
    flight: Option<FlightRow>,
    /// True where it exited.
    #[n(10)]
    exited: Option<bool>,
    #[n(11)]
    completed: Option<bool>,
    #[n(12)]
    held_out: Option<bool>,
    #[n(13)]
    dated: Option<bool>,
    #[n(14)]
    kept_until: Option<i64>,
}

#[derive(Encode, Decode, CborLen)]
struct StepRow {
    #[n(0)]
    step: String,
    #[n(1)]
    settled_at: Option<i64>,
    #[n(2)]
    how: Option<u8>,
    #[n(3)]
    revision: Option<u32>,
    #[n(4)]
    generation: Option<u32>,
    #[n(5)]
    alone: Option<bool>,
    #[n(6)]
    resent_at: Option<i64>,
    #[n(7)]
    took: Option<String>,
    #[n(8)]
    arm: Option<u16>,
    #[n(9)]
    arms: Option<u16>,
    #[n(10)]
    was: Option<Vec<String>>,
}

#[derive(Encode, Decode, CborLen)]
struct FlightRow {
    #[n(0)]
    step: String,
    #[n(1)]
    delivery: ByteArray<16>,
    #[n(2)]
    revision: Option<u32>,
    #[n(3)]
    since: i64,
    #[n(4)]
    due: i64,
    /// Absent where it is the run's.
    #[n(5)]
    anchor: Option<i64>,
    #[n(6)]
    is_call: Option<bool>,
}

#[derive(Encode, Decode, CborLen)]
struct HappeningRow {
    #[n(0)]
    at: i64,
    #[n(1)]
    what: u8,
    #[n(2)]
    scenario: Option<String>,
    #[n(3)]
    step: Option<String>,
    #[n(4)]
    reason: Option<String>,
    #[n(5)]
    until: Option<i64>,
    #[n(6)]
    cause: Option<String>,
}

#[derive(Encode, Decode, CborLen)]
struct HistoryRow {
    #[n(0)]
    happenings: Vec<HappeningRow>,
}

#[derive(Encode, Decode, CborLen)]
struct TombstoneRow {
    #[n(0)]
    entries: Vec<EntriesRow>,
}

#[derive(Encode, Decode, CborLen)]
struct CountersRow {
    #[n(0)]
    counts: Vec<CountRow>,
}

#[derive(Encode, Decode, CborLen)]
struct CountRow {
    #[n(0)]
    what: u8,
    #[n(1)]
    reason: Option<String>,
    #[n(2)]
    count: u64,
}

/// What counters are about: one step, or the runs of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counted {
    pub scenario: ScenarioId,
    pub step: Option<StepId>,
}

/// How often what has happened, with the first word of the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<(What, Option<Arc<str>>), u64>);

/// What is queued and not settled: some pushes of one turn, or a multicast, or a part of its deliveries.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode, CborLen)]
pub struct OutboxRow {
    #[n(0)]
    pub parcels: Vec<StoredParcel>,
    #[n(1)]
    pub multicast: Option<StoredMulticast>,
    /// Deliveries of the multicast whose row stands before this one and its other parts.
    #[n(2)]
    pub part: Option<Vec<StoredDelivery>>,
    /// The start of the machine, and its uptime, when the row was queued.
    #[n(3)]
    pub boot: Option<u64>,
    #[n(4)]
    pub uptime_ms: Option<u64>,
}

/// A request to LINE for many, as it is stored before its first byte leaves. Its deliveries follow in as
/// many rows as `parts` says.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct StoredMulticast {
    #[n(0)]
    pub retry_key: ByteArray<16>,
    #[n(1)]
    pub first_attempt_ms: i64,
    #[n(2)]
    pub scenario: String,
    #[n(3)]
    pub step: String,
    #[n(4)]
    pub silent: bool,
    #[n(5)]
    pub body: StoredBody,
    /// The first sixteen bytes of the SHA-256 of the whole request, as it is put together from the parts.
    #[n(6)]
    pub whole: ByteArray<16>,
    #[n(7)]
    pub parts: u16,
    /// When first somebody in it should not get it any more.
    #[n(8)]
    pub fell_ms: Option<i64>,
}

/// One delivery of a multicast and whom it goes to.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct StoredDelivery {
    #[n(0)]
    pub id: ByteArray<16>,
    #[n(1)]
    pub member: String,
    #[n(2)]
    pub enrollment: ByteArray<16>,
    /// The sixteen bytes of the LINE user id.
    #[n(3)]
    pub to: ByteArray<16>,
    #[n(4)]
    pub due_ms: i64,
}

/// A delivery whose fate is unknown and that nobody has settled.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct UnknownRow {
    /// None once the member has been erased.
    #[n(0)]
    pub member: Option<String>,
    #[n(1)]
    pub enrollment: ByteArray<16>,
    #[n(2)]
    pub scenario: String,
    #[n(3)]
    pub step: String,
    #[n(4)]
    pub revision: u32,
    #[n(5)]
    pub generation: u32,
    #[n(6)]
    pub due_ms: i64,
    /// When it became unknown.
    #[n(7)]
    pub at_ms: i64,
    #[n(8)]
    pub reason: String,
}

/// That this store was restored from a backup.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct RestoredRow {
    /// What tells this store from every other that the same backup became.
    #[n(0)]
    pub incarnation: ByteArray<16>,
    /// The instant of the backup: what was sent after it may be missing from the store.
    #[n(1)]
    pub backup_ms: i64,
    /// When it was restored.
    #[n(2)]
    pub restored_ms: i64,
    /// True once an operator has let it send.
    #[n(3)]
    pub released: Option<bool>,
}

pub fn encode_restored(row: &RestoredRow) -> Vec<u8> {
    encode(row)
}

/// # Errors
/// The bytes are not that record.
pub fn decode_restored(bytes: &[u8]) -> Result<RestoredRow, StoreError> {
    decode("the record of the restore", bytes)
}

/// The newest reading of the clocks that is known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct ClockRow {
    #[n(0)]
    pub wall_ms: i64,
    #[n(1)]
    pub boot: u64,
    #[n(2)]
    pub uptime_ms: u64,
}

pub fn encode_clock(row: &ClockRow) -> Vec<u8> {
    encode(row)
}

/// # Errors
/// The bytes are not a stored reading.
pub fn decode_clock(bytes: &[u8]) -> Result<ClockRow, StoreError> {
    decode("the clock", bytes)
}

impl UnknownRow {
    /// # Errors
    /// The first field that cannot be.
    pub fn delivery(&self) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            enrollment: EnrollmentId(Uuid::from_bytes(*self.enrollment)),
            step: StepId::new(&self.step).map_err(|error| unreadable("an unknown delivery", error))?,
            revision: self.revision,
            generation: self.generation,
        })
    }
}

pub(super) fn encode_unknown(row: &UnknownRow) -> Vec<u8> {
    encode(row)
}

pub(super) fn decode_unknown(bytes: &[u8]) -> Result<UnknownRow, StoreError> {
    decode("an unknown delivery", bytes)
}

/// One request to LINE as it is stored before its first byte leaves.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct StoredParcel {
    #[n(0)]
    pub retry_key: ByteArray<16>,
    /// Milliseconds since 1970; the instant that the 24 hours of its key are counted from.
    #[n(1)]
    pub first_attempt_ms: i64,
    #[n(2)]
    pub member: String,
    #[n(3)]
    pub enrollment: ByteArray<16>,
    #[n(4)]
    pub scenario: String,
    #[n(5)]
    pub step: String,
    #[n(6)]
    pub to: String,
    #[n(7)]
    pub due_ms: i64,
    /// The request's bytes are head, body and tail.
    #[n(8)]
    pub head: String,
    #[n(9)]
    pub body: StoredBody,
    #[n(10)]
    pub tail: String,
    /// The first sixteen bytes of the SHA-256 of the whole, checked before each attempt.
    #[n(11)]
    pub whole: ByteArray<16>,
}

/// What the contents of the last good scenario files are divided into.
#[derive(Encode, Decode, CborLen)]
pub(super) struct FilesRow {
    #[n(0)]
    pub(super) files: Vec<FileRow>,
    #[n(1)]
    pub(super) chunks: u32,
}

#[derive(Encode, Decode, CborLen)]
pub(super) struct FileRow {
    #[n(0)]
    pub(super) name: String,
    #[n(1)]
    pub(super) size_bytes: u64,
}

pub(super) fn encode_files(files: &[(String, Vec<u8>)], chunks: u32) -> Vec<u8> {
    let files =
        files.iter().map(|(name, bytes)| FileRow { name: name.clone(), size_bytes: bytes.len() as u64 });
    encode(&FilesRow { files: files.collect(), chunks })
}

pub(super) fn decode_files(bytes: &[u8]) -> Result<FilesRow, StoreError> {
    decode("the list of the last good scenarios", bytes)
}

/// How far the sweep over all members has come that follows a change of the scenarios.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct SweepRow {
    /// The digest of the scenarios that it is for.
    #[n(0)]
    pub scenarios: ByteArray<32>,
    /// The slot it is in; past the last one when it is done.
    #[n(1)]
    pub slot: u8,
    /// The last member looked at in that slot.
    #[n(2)]
    pub after: Option<String>,
}

pub fn encode_sweep(row: &SweepRow) -> Vec<u8> {
    encode(row)
}

/// # Errors
/// The bytes are not a stored sweep.
pub fn decode_sweep(bytes: &[u8]) -> Result<SweepRow, StoreError> {
    decode("the sweep", bytes)
}

/// Where a trigger on the clock stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct TickRow {
    #[n(0)]
    pub scenario: String,
    #[n(1)]
    pub pattern: String,
    /// The newest tick that is handled, or is being.
    #[n(2)]
    pub handled_ms: i64,
    /// The tick whose sweep over the members is under way, and how far it is.
    #[n(3)]
    pub sweep_ms: Option<i64>,
    #[n(4)]
    pub slot: Option<u8>,
    #[n(5)]
    pub after: Option<String>,
}

#[derive(Encode, Decode, CborLen)]
struct TicksRow {
    #[n(0)]
    ticks: Vec<TickRow>,
}

pub fn encode_ticks(rows: &[TickRow]) -> Vec<u8> {
    encode(&TicksRow { ticks: rows.to_vec() })
}

/// # Errors
/// The bytes are not that record.
pub fn decode_ticks(bytes: &[u8]) -> Result<Vec<TickRow>, StoreError> {
    decode("the ticks of scenarios on the clock", bytes).map(|row: TicksRow| row.ticks)
}

#[derive(Encode, Decode, CborLen)]
struct IdsRow {
    #[n(0)]
    ids: Vec<String>,
}

pub fn encode_ids<'a>(ids: impl IntoIterator<Item = &'a ScenarioId>) -> Vec<u8> {
    encode(&IdsRow { ids: ids.into_iter().map(ScenarioId::to_string).collect() })
}

/// # Errors
/// The bytes are not a list of ids.
pub fn decode_ids(bytes: &[u8]) -> Result<Vec<String>, StoreError> {
    decode("a list of scenarios", bytes).map(|row: IdsRow| row.ids)
}

/// Where the long part of a request's bytes is.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum StoredBody {
    #[n(0)]
    Here(#[n(0)] String),
    /// Stored once for all parcels that carry it, under the first sixteen bytes of its SHA-256.
    #[n(1)]
    Shared {
        #[n(0)]
        hash: ByteArray<16>,
        #[n(1)]
        size_bytes: u32,
    },
}

fn encode(value: &(impl Encode<()> + CborLen<()>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(minicbor::len(value));
    minicbor::encode(value, &mut bytes).expect("writing to memory does not fail");
    bytes
}

fn decode<'b, T: Decode<'b, ()>>(what: &str, bytes: &'b [u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|error| unreadable(what, error))
}

fn unreadable(key: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Record { key: key.to_owned(), what: what.to_string() }
}

/// A member's file as it is stored.
pub fn encode_member(file: &MemberFile) -> Vec<u8> {
    encode(&MemberRow {
        attributes: json_bytes(&file.attributes),
        tags: some_unless_empty(file.tags.iter().cloned().collect()),
        link: file.link.as_ref().map(|link| LinkRow {
            user: link.user.to_string(),
            friendship: match link.friendship {
                Friendship::Unknown => 0,
                Friendship::Friend => 1,
                Friendship::Blocked => 2,
            },
            told_at: link.told_at.map(Timestamp::as_millisecond),
        }),
        merged_into: file.merged_into.as_ref().map(MemberId::to_string),
        seen: (!file.seen.is_empty()).then(|| {
            let pairs = file.seen.iter().flat_map(|seen| {
                let at = seen.at.as_millisecond().to_be_bytes();
                seen.id.to_be_bytes().into_iter().chain(at)
            });
            pairs.collect::<Vec<u8>>().into()
        }),
        entries: some_unless_empty(file.entries.iter().map(entries_row).collect()),
        enrollments: some_unless_empty(file.enrollments.iter().map(enrollment_row).collect()),
        journal: some_unless_empty(file.journal.iter().map(happening_row).collect()),
        history_rows: (file.history_rows > 0).then_some(file.history_rows),
        wake: file.wake.map(Timestamp::as_millisecond),
        opted_out: file.opted_out.all.then_some(true),
        topics_out: some_unless_empty(file.opted_out.topics.iter().cloned().collect()),
        pushed: some_unless_empty(file.pushed.iter().map(|at| at.as_millisecond()).collect()),
    })
}

pub(super) fn decode_member(id: &MemberId, bytes: &[u8]) -> Result<MemberFile, StoreError> {
    let what = || format!("member {}", id.for_log());
    let row: MemberRow = decode(&what(), bytes)?;
    let whole = || -> Result<MemberFile, String> {
        Ok(MemberFile {
            id: id.clone(),
            attributes: Arc::new(json_object(row.attributes)?),
            tags: Arc::new(row.tags.unwrap_or_default().into_iter().collect()),
            link: row.link.map(link_of).transpose()?,
            merged_into: row.merged_into.map(|id| MemberId::new(&id)).transpose().map_err(text)?,
            seen: seen_of(&row.seen.map(Vec::from).unwrap_or_default())?,
            entries: all(row.entries, entries_of)?,
            enrollments: all(row.enrollments, enrollment_of)?,
            journal: all(row.journal, happening_of)?,
            history_rows: row.history_rows.unwrap_or(0),
            wake: row.wake.map(instant).transpose()?,
            opted_out: OptOut {
                all: row.opted_out.unwrap_or(false),
                topics: row.topics_out.unwrap_or_default().into_iter().collect(),
            },
            pushed: all(row.pushed, instant)?,
        })
    };
    whole().map_err(|why| unreadable(&what(), why))
}

fn all<R, T>(rows: Option<Vec<R>>, one: impl Fn(R) -> Result<T, String>) -> Result<Vec<T>, String> {
    rows.unwrap_or_default().into_iter().map(one).collect()
}

fn some_unless_empty<T>(rows: Vec<T>) -> Option<Vec<T>> {
    (!rows.is_empty()).then_some(rows)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn instant(ms: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(ms).map_err(text)
}

fn json_bytes(attributes: &crate::model::Attributes) -> Option<ByteVec> {
    (!attributes.is_empty())
        .then(|| serde_json::to_vec(attributes).expect("a JSON object can always be written").into())
}

fn json_object(bytes: Option<ByteVec>) -> Result<crate::model::Attributes, String> {
    match bytes {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(text),
        None => Ok(Default::default()),
    }
}

fn link_of(row: LinkRow) -> Result<Link, String> {
    Ok(Link {
        user: LineUserId::new(&row.user).map_err(text)?,
        friendship: match row.friendship {
            0 => Friendship::Unknown,
            1 => Friendship::Friend,
            2 => Friendship::Blocked,
            other => return Err(format!("friendship {other} is not known")),
        },
        told_at: row.told_at.map(instant).transpose()?,
    })
}

fn seen_of(bytes: &[u8]) -> Result<Vec<SeenEvent>, String> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err("the list of events is cut short".into());
    }
    let one = |pair: &[u8; 16]| {
        let (id, at) = pair.split_at(8);
        let id = u64::from_be_bytes(id.try_into().map_err(text)?);
        Ok(SeenEvent { id, at: instant(i64::from_be_bytes(at.try_into().map_err(text)?))? })
    };
    pairs.iter().map(one).collect()
}

fn entries_row(entries: &Entries) -> EntriesRow {
    let (kind, key) = match entries.key {
        EntriesKey::None => (0, None),
        EntriesKey::Key(key) => (1, Some(key)),
        EntriesKey::Folded => (2, None),
    };
    EntriesRow {
        scenario: entries.scenario.to_string(),
        kind,
        key,
        next_ordinal: entries.next_ordinal,
        last: entries.last.as_millisecond(),
        left: entries.left.then_some(true),
    }
}

fn entries_of(row: EntriesRow) -> Result<Entries, String> {
    Ok(Entries {
        scenario: ScenarioId::new(&row.scenario).map_err(text)?,
        key: match (row.kind, row.key) {
            (0, None) => EntriesKey::None,
            (1, Some(key)) => EntriesKey::Key(key),
            (2, None) => EntriesKey::Folded,
            (other, _) => return Err(format!("entries of kind {other} are not known")),
        },
        next_ordinal: row.next_ordinal,
        last: instant(row.last)?,
        left: row.left.unwrap_or(false),
    })
}

fn enrollment_row(run: &Enrollment) -> EnrollmentRow {
    let unless_entry = |at: Timestamp| (at != run.entered_at).then(|| at.as_millisecond());
    let (until, flight) = match &run.now {
        Standing::Waiting { until } => (Some(until.as_millisecond()), None),
        Standing::InFlight(flight) => (None, Some(flight)),
    };
    EnrollmentRow {
        id: run.id.0.into_bytes().into(),
        scenario: run.scenario.to_string(),
        key: run.key.as_deref().map(str::to_owned),
        entered_at: run.entered_at.as_millisecond(),
        anchor: unless_entry(run.anchor),
        event: json_bytes(&run.event),
        steps: some_unless_empty(run.steps.iter().map(step_row).collect()),
        reached_at: unless_entry(run.reached_at),
        until,
        flight: flight.map(|flight| FlightRow {
            step: flight.step.to_string(),
            delivery: flight.delivery.0.into_bytes().into(),
            revision: (flight.revision > 0).then_some(flight.revision),
            since: flight.since.as_millisecond(),
            due: flight.due.as_millisecond(),
            anchor: (flight.anchor != run.anchor).then(|| flight.anchor.as_millisecond()),
            is_call: flight.is_call.then_some(true),
        }),
        exited: (run.ended == Some(Ended::Exited)).then_some(true),
        completed: (run.ended == Some(Ended::Completed)).then_some(true),
        held_out: run.held_out.then_some(true),
        dated: run.dated.then_some(true),
        kept_until: run.kept_until.map(Timestamp::as_millisecond),
    }
}

fn enrollment_of(row: EnrollmentRow) -> Result<Enrollment, String> {
    let entered_at = instant(row.entered_at)?;
    let or_entry = |at: Option<i64>| at.map_or(Ok(entered_at), instant);
    let anchor = or_entry(row.anchor)?;
    let now = match (row.until, row.flight) {
        (_, Some(flight)) => Standing::InFlight(Flight {
            step: StepId::new(&flight.step).map_err(text)?,
            delivery: DeliveryId(Uuid::from_bytes(*flight.delivery)),
            revision: flight.revision.unwrap_or(0),
            since: instant(flight.since)?,
            due: instant(flight.due)?,
            anchor: flight.anchor.map_or(Ok(anchor), instant)?,
            is_call: flight.is_call.unwrap_or(false),
        }),
        (Some(until), None) => Standing::Waiting { until: instant(until)? },
        (None, None) => return Err("an enrollment neither waits nor has a delivery in flight".into()),
    };
    Ok(Enrollment {
        id: EnrollmentId(Uuid::from_bytes(*row.id)),
        scenario: ScenarioId::new(&row.scenario).map_err(text)?,
        key: row.key.map(Arc::from),
        entered_at,
        anchor,
        event: Arc::new(json_object(row.event)?),
        steps: all(row.steps, step_of)?,
        reached_at: or_entry(row.reached_at)?,
        held_out: row.held_out.unwrap_or(false),
        dated: row.dated.unwrap_or(false),
        now,
        kept_until: row.kept_until.map(instant).transpose()?,
        ended: match (row.exited, row.completed) {
            (Some(true), _) => Some(Ended::Exited),
            (_, Some(true)) => Some(Ended::Completed),
            _ => None,
        },
    })
}

fn step_row(record: &StepRecord) -> StepRow {
    StepRow {
        step: record.step.to_string(),
        settled_at: record.settled.map(|settled| settled.at.as_millisecond()),
        how: record.settled.map(|settled| match settled.how {
            Settlement::Accepted => 0,
            Settlement::Late => 1,
            Settlement::Skipped => 2,
            Settlement::Rejected => 3,
            Settlement::Expired => 4,
            Settlement::Unknown => 5,
            Settlement::Done => 6,
        }),
        revision: (record.revision > 0).then_some(record.revision),
        generation: (record.generation > 0).then_some(record.generation),
        alone: record.alone.then_some(true),
        resent_at: record.resent_at.map(Timestamp::as_millisecond),
        took: record.took.as_ref().map(StepId::to_string),
        arm: record.arm.map(|arm| arm.index),
        arms: record.arm.map(|arm| arm.of),
        was: (!record.was.is_empty()).then(|| record.was.iter().map(StepId::to_string).collect()),
    }
}

fn step_of(row: StepRow) -> Result<StepRecord, String> {
    let settled = match (row.settled_at, row.how) {
        (Some(at), Some(how)) => Some(Settled {
            at: instant(at)?,
            how: match how {
                0 => Settlement::Accepted,
                1 => Settlement::Late,
                2 => Settlement::Skipped,
                3 => Settlement::Rejected,
                4 => Settlement::Expired,
                5 => Settlement::Unknown,
                6 => Settlement::Done,
                other => return Err(format!("settlement {other} is not known")),
            },
        }),
        _ => None,
    };
    Ok(StepRecord {
        step: StepId::new(&row.step).map_err(text)?,
        revision: row.revision.unwrap_or(0),
        generation: row.generation.unwrap_or(0),
        settled,
        alone: row.alone.unwrap_or(false),
        resent_at: row.resent_at.map(instant).transpose()?,
        took: row.took.map(|step| StepId::new(&step)).transpose().map_err(text)?,
        arm: row.arm.zip(row.arms).map(|(index, of)| ArmPlace { index, of }),
        was: (row.was.unwrap_or_default().iter())
            .map(|step| StepId::new(step))
            .collect::<Result<_, _>>()
            .map_err(text)?,
    })
}

/// The number of each kind of happening in stored records.
const WHATS: [What; 20] = [
    What::Enrolled,
    What::NotEnrolled,
    What::Moved,
    What::Accepted,
    What::Deferred,
    What::Skipped,
    What::Rejected,
    What::Withdrawn,
    What::Expired,
    What::Unknown,
    What::Converted,
    What::Exited,
    What::Completed,
    What::Linked,
    What::Unlinked,
    What::Blocked,
    What::Unblocked,
    What::Done,
    What::OptedOut,
    What::OptedIn,
];

fn number_of(what: What) -> u8 {
    let number = WHATS.iter().position(|listed| *listed == what).expect("the list has all kinds");
    u8::try_from(number).expect("the list is short")
}

fn what_of(number: u8) -> Result<What, String> {
    WHATS.get(usize::from(number)).copied().ok_or_else(|| format!("happening {number} is not known"))
}

fn happening_row(happening: &Happening) -> HappeningRow {
    HappeningRow {
        at: happening.at.as_millisecond(),
        what: number_of(happening.what),
        scenario: happening.scenario.as_ref().map(ScenarioId::to_string),
        step: happening.step.as_ref().map(StepId::to_string),
        reason: happening.reason.as_deref().map(str::to_owned),
        until: happening.until.map(Timestamp::as_millisecond),
        cause: happening.cause.as_deref().map(str::to_owned),
    }
}

fn happening_of(row: HappeningRow) -> Result<Happening, String> {
    Ok(Happening {
        at: instant(row.at)?,
        what: what_of(row.what)?,
        scenario: row.scenario.map(|id| ScenarioId::new(&id)).transpose().map_err(text)?,
        step: row.step.map(|id| StepId::new(&id)).transpose().map_err(text)?,
        reason: row.reason.map(Arc::from),
        until: row.until.map(instant).transpose()?,
        cause: row.cause.map(Arc::from),
    })
}

pub(super) fn encode_history(happenings: &[Happening]) -> Vec<u8> {
    encode(&HistoryRow { happenings: happenings.iter().map(happening_row).collect() })
}

pub(super) fn decode_history(bytes: &[u8]) -> Result<Vec<Happening>, StoreError> {
    let row: HistoryRow = decode("a history row", bytes)?;
    all(Some(row.happenings), happening_of).map_err(|why| unreadable("a history row", why))
}

pub(super) fn encode_tombstone(entries: &[Entries]) -> Vec<u8> {
    encode(&TombstoneRow { entries: entries.iter().map(entries_row).collect() })
}

pub(super) fn decode_tombstone(bytes: &[u8]) -> Result<Vec<Entries>, StoreError> {
    let row: TombstoneRow = decode("a tombstone", bytes)?;
    all(Some(row.entries), entries_of).map_err(|why| unreadable("a tombstone", why))
}

pub(super) fn encode_outbox(row: &OutboxRow) -> Vec<u8> {
    encode(row)
}

pub(super) fn decode_outbox(bytes: &[u8]) -> Result<OutboxRow, StoreError> {
    decode("an outbox row", bytes)
}

/// The size of a parcel in an outbox row, in bytes.
pub fn parcel_bytes(parcel: &StoredParcel) -> usize {
    minicbor::len(parcel)
}

pub(super) fn encode_counters(counters: &Counters) -> Vec<u8> {
    let counts = counters.0.iter().map(|((what, reason), count)| CountRow {
        what: number_of(*what),
        reason: reason.as_deref().map(str::to_owned),
        count: *count,
    });
    encode(&CountersRow { counts: counts.collect() })
}

pub(super) fn decode_counters(bytes: &[u8]) -> Result<Counters, StoreError> {
    let row: CountersRow = decode("counters", bytes)?;
    let one = |row: CountRow| Ok(((what_of(row.what)?, row.reason.map(Arc::from)), row.count));
    let counts: Result<_, String> = row.counts.into_iter().map(one).collect();
    Ok(Counters(counts.map_err(|why| unreadable("counters", why))?))
}

pub(super) fn encode_u64(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(super) fn decode_u64(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| unreadable("a number", "it is not eight bytes long"))?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
