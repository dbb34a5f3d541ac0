//! How keys look: one byte of table, then big-endian parts, so that order is meaning.
//!
//! Members, due entries and history begin with the member's slot; outbox rows and counters with the lane
//! of the turn loop that wrote them. A lane and not a slot, because rows are shared by the parcels of
//! one turn, whatever slots their members are of: see ARCHITECTURE.md, "Slots and lanes".

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::record::Counted;
use super::{Meta, StoreError};
use crate::model::{DeliveryId, MemberId, ScenarioId, StepId};

/// A key of the store, table included.
pub type Key = Vec<u8>;

/// The lane of the one turn loop of an embedded store.
const LANE: u8 = 0;

const MEMBER: u8 = b'm';
const DUE: u8 = b'd';
const OUTBOX: u8 = b'o';
const BODY: u8 = b'b';
const HISTORY: u8 = b'h';
const COUNTERS: u8 = b'c';
const TOMBSTONE: u8 = b't';
const UNKNOWN: u8 = b'u';
const META: u8 = b'x';

/// A member's place in the due index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKey {
    pub at: Timestamp,
    pub member: MemberId,
}

/// Not above any key.
pub(super) fn first() -> Key {
    Vec::new()
}

/// Above every key: no table has this number.
pub(super) fn end() -> Key {
    vec![0xff]
}

/// The smallest key after `key`.
pub(super) fn after(key: &Key) -> Key {
    let mut next = key.clone();
    next.push(0);
    next
}

pub(super) fn member(id: &MemberId) -> Key {
    joined(&[&[MEMBER, id.slot()], id.as_str().as_bytes()])
}

pub(super) fn members_of_slot(slot: u8) -> Key {
    vec![MEMBER, slot]
}

pub(super) fn end_of_members_of_slot(slot: u8) -> Key {
    vec![MEMBER, slot + 1]
}

pub(super) fn parse_member(key: &Key) -> Result<MemberId, StoreError> {
    member_id(key, key.get(2..))
}

pub(super) fn due(due: &DueKey) -> Key {
    let slot = due.member.slot();
    joined(&[&[DUE, slot], &instant(due.at), due.member.as_str().as_bytes()])
}

pub(super) fn due_of_slot(slot: u8) -> Key {
    vec![DUE, slot]
}

pub(super) fn end_of_due_of_slot(slot: u8) -> Key {
    vec![DUE, slot + 1]
}

pub(super) fn parse_due(key: &Key) -> Result<DueKey, StoreError> {
    let at = key.get(2..10).and_then(parse_instant).ok_or_else(|| malformed(key))?;
    Ok(DueKey { at, member: member_id(key, key.get(10..))? })
}

pub(super) fn outbox(number: u64) -> Key {
    joined(&[&[OUTBOX, LANE], &number.to_be_bytes()])
}

pub(super) fn end_of_outbox() -> Key {
    vec![OUTBOX, LANE + 1]
}

pub(super) fn parse_outbox(key: &Key) -> Result<u64, StoreError> {
    let number = key.get(2..10).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(key))?;
    Ok(u64::from_be_bytes(number))
}

pub(super) fn bodies() -> Key {
    vec![BODY]
}

pub(super) fn end_of_bodies() -> Key {
    vec![BODY + 1]
}

pub(super) fn body(hash: &[u8; 16], chunk: u16) -> Key {
    joined(&[&[BODY], hash, &chunk.to_be_bytes()])
}

pub(super) fn end_of_body(hash: &[u8; 16]) -> Key {
    joined(&[&[BODY], hash, &[0xff; 3]])
}

pub(super) fn parse_body(key: &Key) -> Result<[u8; 16], StoreError> {
    key.get(1..17).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(key))
}

/// Ids contain no control characters, so a zero byte ends one.
pub(super) fn history(member: &MemberId, number: u32) -> Key {
    joined(&[&[HISTORY, member.slot()], member.as_str().as_bytes(), &[0], &number.to_be_bytes()])
}

pub(super) fn end_of_history(member: &MemberId) -> Key {
    joined(&[&[HISTORY, member.slot()], member.as_str().as_bytes(), &[1]])
}

pub(super) fn history_of_slot(slot: u8) -> Key {
    vec![HISTORY, slot]
}

pub(super) fn end_of_history_of_slot(slot: u8) -> Key {
    vec![HISTORY, slot + 1]
}

pub(super) fn parse_history_member(key: &Key) -> Result<MemberId, StoreError> {
    member_id(key, key.len().checked_sub(5).and_then(|end| key.get(2..end)))
}

pub(super) fn parse_history(key: &Key) -> Result<u32, StoreError> {
    let number = key.len().checked_sub(4).and_then(|start| key.get(start..));
    number.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes).ok_or_else(|| malformed(key))
}

/// Ids contain no zero bytes, so one stands between the scenario and the step.
pub(super) fn counters(of: &Counted) -> Key {
    let step = of.step.as_ref().map_or("", StepId::as_str);
    joined(&[&[COUNTERS, LANE], of.scenario.as_str().as_bytes(), &[0], step.as_bytes()])
}

pub(super) fn all_counters() -> Key {
    vec![COUNTERS, LANE]
}

pub(super) fn end_of_counters() -> Key {
    vec![COUNTERS, LANE + 1]
}

pub(super) fn parse_counters(key: &Key) -> Result<Counted, StoreError> {
    let text = key.get(2..).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (scenario, step) = text.and_then(|text| text.split_once('\0')).ok_or_else(|| malformed(key))?;
    let scenario = ScenarioId::new(scenario).map_err(|_| malformed(key))?;
    let step = match step {
        "" => None,
        step => Some(StepId::new(step).map_err(|_| malformed(key))?),
    };
    Ok(Counted { scenario, step })
}

pub(super) fn unknown(id: DeliveryId) -> Key {
    joined(&[&[UNKNOWN], id.0.as_bytes()])
}

pub(super) fn all_unknown() -> Key {
    vec![UNKNOWN]
}

pub(super) fn end_of_unknown() -> Key {
    vec![UNKNOWN + 1]
}

pub(super) fn parse_unknown(key: &Key) -> Result<DeliveryId, StoreError> {
    let id = key.get(1..).and_then(|bytes| Uuid::from_slice(bytes).ok());
    id.map(DeliveryId).ok_or_else(|| malformed(key))
}

/// From the salted hash nobody can tell whose tombstone it is, unless they know the id.
pub(super) fn tombstone(salt: &[u8], member: &MemberId) -> Key {
    let hash = Sha256::new().chain_update(salt).chain_update(member.as_str()).finalize();
    joined(&[&[TOMBSTONE], &hash[..16]])
}

pub(super) fn meta(meta: Meta) -> Key {
    match meta {
        Meta::Format => vec![META, 0],
        Meta::Sequence => vec![META, 1],
        Meta::Id => vec![META, 2],
        Meta::Channel => vec![META, 3],
        Meta::Salt => vec![META, 4],
        Meta::Tombstones => vec![META, 5],
        Meta::Sweep => vec![META, 6],
        Meta::ScenarioFile(number) => joined(&[&[META, 7], &number.to_be_bytes()]),
        Meta::ScenarioFiles => vec![META, 8],
        Meta::Bot => vec![META, 9],
        Meta::Holds => vec![META, 10],
        Meta::Clock => vec![META, 11],
        Meta::Ticks => vec![META, 12],
        Meta::Paused => vec![META, 13],
        Meta::Restored => vec![META, 20],
    }
}

fn joined(parts: &[&[u8]]) -> Key {
    parts.concat()
}

/// Milliseconds with the sign bit turned, so that bytes sort as instants do.
fn instant(at: Timestamp) -> [u8; 8] {
    (at.as_millisecond() as u64 ^ (1 << 63)).to_be_bytes()
}

fn parse_instant(bytes: &[u8]) -> Option<Timestamp> {
    let bits = u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63);
    Timestamp::from_millisecond(bits as i64).ok()
}

fn member_id(key: &Key, bytes: Option<&[u8]>) -> Result<MemberId, StoreError> {
    bytes
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| MemberId::new(text).ok())
        .ok_or_else(|| malformed(key))
}

fn malformed(key: &Key) -> StoreError {
    StoreError::Record { key: format!("{key:02x?}"), what: "the key is malformed".into() }
}
