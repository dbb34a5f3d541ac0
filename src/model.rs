//! Ids and nouns that every other module speaks of. No behaviour beyond their own invariants.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Free attributes of a member, or the data of an event: a JSON object.
pub type Attributes = serde_json::Map<String, serde_json::Value>;

/// The longest member id, in bytes: it stands in every key of the member.
pub const MAX_MEMBER_ID_BYTES: usize = 100;

/// The longest event name, scenario id, step id, enrollment key and tag, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// How many slots members are spread over. A turn loop owns some; a store with one loop owns all.
///
/// Fixed for ever: the slot is the start of stored keys.
pub const SLOTS: u8 = 64;

/// An id or a name that cannot be one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub String);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// A customer of the operator by the operator's own id, or `line:U…` for a friend not yet linked.
    MemberId
}
text_id! {
    /// LINE's id for a person: `U` and 32 hexadecimal digits.
    ///
    /// Source: LINE Developers, "Get user IDs".
    LineUserId
}
text_id! {
    /// A scenario's id, `[a-z0-9-]+`, also its file's name.
    ScenarioId
}
text_id! {
    /// A step's id, unique in its scenario; what ties a running enrollment to an edited file.
    StepId
}
text_id! {
    /// An event's name: `purchase`, `interview.booked`, `line.follow`.
    EventName
}

const PROVISIONAL: &str = "line:";

impl MemberId {
    /// # Errors
    /// Empty or over [`MAX_MEMBER_ID_BYTES`], control characters, white space at an end, or `line:`
    /// followed by anything but a LINE user id.
    pub fn new(text: &str) -> Result<MemberId, InvalidId> {
        check_text("a member id", text, MAX_MEMBER_ID_BYTES)?;
        if text == "." || text == ".." {
            return Err(InvalidId(
                "a member id must not be `.` or `..`, which paths take for folders".into(),
            ));
        }
        if let Some(user) = text.strip_prefix(PROVISIONAL) {
            LineUserId::new(user)
                .map_err(|_| InvalidId("a member id that starts with `line:` is reserved".into()))?;
        }
        Ok(MemberId(text.into()))
    }

    /// The member that stands for a LINE user until it is linked to one of the operator's members.
    pub fn provisional(user: &LineUserId) -> MemberId {
        MemberId(format!("{PROVISIONAL}{user}").into())
    }

    /// The LINE user that this provisional member stands for; none for an operator's own member.
    pub fn as_provisional(&self) -> Option<LineUserId> {
        self.0.strip_prefix(PROVISIONAL).map(|user| LineUserId(user.into()))
    }

    /// The slot, below [`SLOTS`], that the member belongs to.
    ///
    /// By FNV-1a, which is cheap for short texts; fixed for ever.
    pub fn slot(&self) -> u8 {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        ((hash ^ (hash >> 32)) % u64::from(SLOTS)) as u8
    }

    /// A short form that cannot be turned back into a LINE user id, for logs.
    pub fn for_log(&self) -> impl fmt::Display + use<> {
        match self.as_provisional() {
            Some(user) => format!("{PROVISIONAL}#{:016x}", fingerprint(user.as_str())),
            None => self.0.to_string(),
        }
    }
}

impl LineUserId {
    /// # Errors
    /// Anything but `U` and 32 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<LineUserId, InvalidId> {
        let hex = text.strip_prefix('U').unwrap_or_default();
        let well_formed = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed {
            Ok(LineUserId(text.into()))
        } else {
            Err(InvalidId("a LINE user id is `U` and 32 hexadecimal digits (0-9, a-f)".into()))
        }
    }
}

impl LineUserId {
    /// The sixteen bytes that the hexadecimal digits stand for.
    pub fn to_bytes(&self) -> [u8; 16] {
        let digits = u128::from_str_radix(&self.0[1..], 16);
        digits.expect("a LINE user id has 32 hexadecimal digits").to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> LineUserId {
        LineUserId(format!("U{:032x}", u128::from_be_bytes(bytes)).into())
    }
}

impl ScenarioId {
    /// # Errors
    /// Anything but 1 to [`MAX_NAME_BYTES`] of `a-z`, `0-9` and `-`.
    pub fn new(text: &str) -> Result<ScenarioId, InvalidId> {
        let well_formed = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !well_formed || text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(InvalidId(format!(
                "a scenario id is 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -, for example `trial-followup`"
            )));
        }
        Ok(ScenarioId(text.into()))
    }
}

impl StepId {
    /// # Errors
    /// Anything but 1 to [`MAX_NAME_BYTES`] of `a-z`, `0-9`, `-` and `_`.
    pub fn new(text: &str) -> Result<StepId, InvalidId> {
        let well_formed = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !well_formed || text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(InvalidId(format!(
                "a step id is 1 to {MAX_NAME_BYTES} of a-z, 0-9, - and _, for example `day-before`"
            )));
        }
        Ok(StepId(text.into()))
    }
}

impl EventName {
    /// # Errors
    /// Empty or over [`MAX_NAME_BYTES`], control characters, or white space at an end.
    pub fn new(text: &str) -> Result<EventName, InvalidId> {
        check_text("an event name", text, MAX_NAME_BYTES)?;
        Ok(EventName(text.into()))
    }

    /// True for the names that only LINE's webhooks and links may give: `line.follow` and its like.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("line.")
    }
}

fn check_text(what: &str, text: &str, max_bytes: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId(format!("{what} must not be empty")));
    }
    if text.len() > max_bytes {
        return Err(InvalidId(format!("{what} is at most {max_bytes} bytes, not {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidId(format!("{what} must not contain control characters")));
    }
    if text.trim() != text {
        return Err(InvalidId(format!("{what} must not start or end with white space")));
    }
    Ok(())
}

/// The first eight bytes of the SHA-256 of a text: for telling texts apart, not for secrets.
pub fn fingerprint(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer than eight bytes"))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// One member's run through one scenario; made at entry and frozen.
    EnrollmentId
}
uuid_id! {
    /// The UUID by which LINE accepts a parcel at most once.
    RetryKey
}
uuid_id! {
    /// The name of a [`Delivery`], by which an operator settles one whose fate is unknown.
    ///
    /// Derived, so that it never means another delivery.
    DeliveryId
}

/// The namespace of every identity that is derived here. Fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x9c1f_37a4_5b0e_5d43_8a6e_2f10_77c4_d9b1);

impl EnrollmentId {
    /// The id of the `ordinal`-th entry (from 0) of a member into a scenario under a key.
    pub fn derive(
        channel: &str,
        member: &MemberId,
        scenario: &ScenarioId,
        key: Option<&str>,
        ordinal: u32,
    ) -> EnrollmentId {
        let name = length_prefixed(&[
            channel.as_bytes(),
            member.as_str().as_bytes(),
            scenario.as_str().as_bytes(),
            // an absent key and an empty one are different runs
            &[u8::from(key.is_some())],
            key.unwrap_or_default().as_bytes(),
            &ordinal.to_be_bytes(),
        ]);
        EnrollmentId(Uuid::new_v5(&NAMESPACE, &name))
    }
}

/// Our obligation to send one step to one member, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delivery {
    pub enrollment: EnrollmentId,
    pub step: StepId,
    /// How often the step was opened again because the anchor moved after it had been sent.
    pub revision: u32,
    /// How often it was withdrawn, unsent, and decided afresh.
    pub generation: u32,
}

impl Delivery {
    pub fn id(&self) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&NAMESPACE, &self.identity()))
    }

    fn identity(&self) -> Vec<u8> {
        length_prefixed(&[
            self.enrollment.0.as_bytes(),
            self.step.as_str().as_bytes(),
            &self.revision.to_be_bytes(),
            &self.generation.to_be_bytes(),
        ])
    }
}

impl RetryKey {
    /// The key of the parcel that carries these deliveries, in whatever order they are given.
    pub fn derive<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> RetryKey {
        let mut sorted: Vec<&Delivery> = deliveries.into_iter().collect();
        sorted.sort_unstable();
        let name: Vec<u8> = sorted.into_iter().flat_map(Delivery::identity).collect();
        RetryKey(Uuid::new_v5(&NAMESPACE, &name))
    }
}

/// Joins parts so that no two lists of parts give the same bytes.
fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|p| p.len() + 4).sum());
    for part in parts {
        let length = u32::try_from(part.len()).expect("parts of identities are short");
        joined.extend_from_slice(&length.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

/// Something a member did, as the shop or LINE told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The sender's id of the event, by which a second arrival is known.
    pub id: Option<String>,
    pub name: EventName,
    /// When it happened, by the sender; its arrival if the sender did not say.
    pub at: Timestamp,
    pub data: Attributes,
}

/// Whether a LINE user follows the account, as far as webhooks have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Friendship {
    /// Linked, and no webhook has said. May be pushed to.
    Unknown,
    Friend,
    Blocked,
}

/// The LINE user linked to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub user: LineUserId,
    pub friendship: Friendship,
    /// The time of the newest webhook that told of the friendship: an older one arriving later says nothing.
    pub told_at: Option<Timestamp>,
}

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A message to a LINE user.
    LineUser(LineUserId),
    /// A request to the operator's own service.
    Url(Arc<str>),
}

impl Target {
    /// The LINE user that a message goes to; none for a request to the operator.
    pub fn line_user(&self) -> Option<&LineUserId> {
        match self {
            Target::LineUser(user) => Some(user),
            Target::Url(_) => None,
        }
    }
}

/// One member's run through one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrollment {
    pub id: EnrollmentId,
    pub scenario: ScenarioId,
    pub key: Option<Arc<str>>,
    /// The instant of the event that started it.
    pub entered_at: Timestamp,
    /// The instant that its days are counted from.
    pub anchor: Timestamp,
    /// The data of the event that started it, with the data of later `update` events merged in.
    pub event: Arc<Attributes>,
    /// Steps that something has been decided about, in the order in which it was decided.
    pub steps: Vec<StepRecord>,
    /// The instant from which `wait` counts: when the last step was accepted or passed over.
    pub reached_at: Timestamp,
    /// True if its scenario keeps it for comparison: nothing is sent to it.
    pub held_out: bool,
    /// True if a date of the member planned it: it moves and ends with that date.
    pub dated: bool,
    pub now: Standing,
    /// Until when one that was completed can still convert, or be taken up again by an update; none if it
    /// cannot.
    pub kept_until: Option<Timestamp>,
    /// None while it lives. One that has ended stays in the file while a delivery is in flight, as long as
    /// the fate of one is unknown and nobody has settled it, and as [`Enrollment::kept_until`] says.
    pub ended: Option<Ended>,
}

impl Enrollment {
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// True if it was completed and can still convert, or be taken up again by an update, at `now`.
    pub fn is_kept(&self, now: Timestamp) -> bool {
        self.ended == Some(Ended::Completed) && self.kept_until.is_some_and(|until| now < until)
    }
}

/// How an enrollment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every step has been decided about.
    Completed,
    /// Something ended it before that: nothing more is to be sent.
    Exited,
}

/// What an enrollment is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nothing to do before this instant.
    Waiting { until: Timestamp },
    /// A delivery is in the outbox; nothing moves before LINE has answered.
    InFlight(Flight),
}

/// A delivery that is in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    pub step: StepId,
    pub delivery: DeliveryId,
    /// The revision of the step when it was queued; behind the step's own once the anchor has moved.
    pub revision: u32,
    /// When it was queued: the first-attempt time that the 24 hours of its key are counted from.
    pub since: Timestamp,
    /// The instant it was due, after send hours moved it.
    pub due: Timestamp,
    /// The anchor that it was decided by.
    pub anchor: Timestamp,
    /// True for a request to the operator's service, which no other message waits for.
    pub is_call: bool,
}

/// What has become of a step in an enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    pub step: StepId,
    pub revision: u32,
    pub generation: u32,
    /// None while it is open: planned or in flight.
    pub settled: Option<Settled>,
    /// True once LINE has refused a multicast that it was in: from then on it goes in a request of its own.
    pub alone: bool,
    /// When an operator asked for it to be sent again, which is its moment from then on.
    pub resent_at: Option<Timestamp>,
    /// Of a container that is settled, the first step of the arm that was taken, by which the arm is known
    /// after an edit; none if that arm has no steps, or if none was taken.
    pub took: Option<StepId>,
    /// The place of that arm when it was taken, for an edit that took its first step out.
    pub arm: Option<ArmPlace>,
    /// Ids that the step had before in this run.
    pub was: Vec<StepId>,
}

/// The place of an arm among those of its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmPlace {
    /// Counted from 0.
    pub index: u16,
    /// How many arms the container had.
    pub of: u16,
}

impl StepRecord {
    /// The record of a step that nothing has been decided about.
    pub fn new(step: StepId) -> StepRecord {
        StepRecord {
            step,
            revision: 0,
            generation: 0,
            settled: None,
            alone: false,
            resent_at: None,
            took: None,
            arm: None,
            was: Vec::new(),
        }
    }
}

/// The end of a step, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub at: Timestamp,
    pub how: Settlement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// LINE took the push.
    Accepted,
    /// What it does beside sending is done.
    Done,
    /// Passed over because its moment had gone by; open again if the anchor moves.
    Late,
    /// Passed over for another reason.
    Skipped,
    Rejected,
    /// Its moment had gone by when it was decided about again, unsent; or an operator dropped it.
    Expired,
    /// It may or may not have been accepted; final until an operator settles it.
    Unknown,
}

/// How often a member has entered a scenario under a key: what `again` and identity rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    pub scenario: ScenarioId,
    pub key: EntriesKey,
    /// The ordinal that the next entry gets.
    pub next_ordinal: u32,
    /// The instant of the newest entry.
    pub last: Timestamp,
    /// True for a date that its run left, unsent or for another date: it may be entered by again.
    pub left: bool,
}

/// Which entries an [`Entries`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntriesKey {
    /// Those without a key.
    None,
    /// Those under one key, by its [`fingerprint`].
    Key(u64),
    /// Those under keys that are no longer remembered apart: what a new key's ordinals start from, so
    /// that an identity never comes twice.
    Folded,
}

/// An event already handled, by which its second arrival is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    /// The [`fingerprint`] of the event's id.
    pub id: u64,
    pub at: Timestamp,
}

/// What kind of thing happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    Enrolled,
    /// An event that asked for an enrollment did not start one.
    NotEnrolled,
    /// The anchor of an enrollment moved.
    Moved,
    Accepted,
    /// A step that sends nothing was carried out.
    Done,
    Deferred,
    Skipped,
    Rejected,
    Withdrawn,
    Expired,
    Unknown,
    Converted,
    Exited,
    Completed,
    Linked,
    Unlinked,
    Blocked,
    Unblocked,
    /// The member wants no messages any more, or none of a topic.
    OptedOut,
    OptedIn,
}

impl What {
    /// The word for it in the API, in `simulate` and in logs.
    pub fn word(self) -> &'static str {
        match self {
            What::Enrolled => "enrolled",
            What::NotEnrolled => "not_enrolled",
            What::Moved => "moved",
            What::Accepted => "accepted",
            What::Done => "done",
            What::Deferred => "deferred",
            What::Skipped => "skipped",
            What::Rejected => "rejected",
            What::Withdrawn => "withdrawn",
            What::Expired => "expired",
            What::Unknown => "unknown",
            What::Converted => "converted",
            What::Exited => "exited",
            What::Completed => "completed",
            What::Linked => "linked",
            What::Unlinked => "unlinked",
            What::Blocked => "blocked",
            What::Unblocked => "unblocked",
            What::OptedOut => "opted_out",
            What::OptedIn => "opted_in",
        }
    }
}

/// One thing that happened to a member, with its reason: a line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub at: Timestamp,
    pub what: What,
    /// None for what belongs to no scenario, such as a block.
    pub scenario: Option<ScenarioId>,
    /// Only where a step is meant.
    pub step: Option<StepId>,
    /// A word, or a word with its object: `late`, `missing(member.name)`.
    pub reason: Option<Arc<str>>,
    /// For a deferral: the instant it was moved to. For an acceptance: the instant it was due.
    pub until: Option<Timestamp>,
    /// Of an entry, what began it, in the form of a reason: `event(purchase)`. None where it was the only way
    /// that the scenario had, which its file tells.
    pub cause: Option<Arc<str>>,
}

/// What a member does not want to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptOut {
    /// Nothing at all.
    pub all: bool,
    /// Nothing of these topics.
    pub topics: BTreeSet<String>,
}

impl OptOut {
    /// True if a scenario of this topic, or of none, must not send to the member.
    pub fn is_from(&self, topic: Option<&str>) -> bool {
        self.all || topic.is_some_and(|topic| self.topics.contains(topic))
    }
}

/// The unit of state: everything the daemon knows of one member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFile {
    pub id: MemberId,
    pub attributes: Arc<Attributes>,
    pub tags: Arc<BTreeSet<String>>,
    pub link: Option<Link>,
    /// What the member does not want to get.
    pub opted_out: OptOut,
    /// When messages were accepted that may still count for a frequency cap, oldest first.
    pub pushed: Vec<Timestamp>,
    /// Set in the file of a provisional member that was linked: who the LINE user is now.
    pub merged_into: Option<MemberId>,
    /// Newest last; bounded by [`limits::SEEN_EVENTS`].
    pub seen: Vec<SeenEvent>,
    pub entries: Vec<Entries>,
    /// Live ones, those that leave a question open and those that are kept; oldest first.
    pub enrollments: Vec<Enrollment>,
    /// The newest happenings; older ones are in history rows.
    pub journal: Vec<Happening>,
    /// How many history rows have been written for this member.
    pub history_rows: u32,
    /// The instant under which the member stands in the due index.
    pub wake: Option<Timestamp>,
}

impl MemberFile {
    /// A member of whom nothing is known but the id.
    pub fn new(id: MemberId) -> MemberFile {
        let link =
            id.as_provisional().map(|user| Link { user, friendship: Friendship::Unknown, told_at: None });
        MemberFile {
            id,
            attributes: Arc::default(),
            tags: Arc::default(),
            link,
            opted_out: OptOut::default(),
            pushed: Vec::new(),
            merged_into: None,
            seen: Vec::new(),
            entries: Vec::new(),
            enrollments: Vec::new(),
            journal: Vec::new(),
            history_rows: 0,
            wake: None,
        }
    }
}

/// Bounds of a member file and of what goes into it. Each keeps a file well under the store's bound
/// for a value, so that no decision can fail for want of room.
pub mod limits {
    use jiff::SignedDuration;

    /// A member's attributes and tags as JSON, in bytes.
    pub const ATTRIBUTES_BYTES: usize = 4 * 1024;
    /// An event's data as JSON, in bytes; also after an `update` was merged in.
    pub const EVENT_DATA_BYTES: usize = 4 * 1024;
    /// The body of a request to the operator's service, in bytes.
    pub const CALL_BYTES: usize = 16 * 1024;
    /// Live enrollments of one member.
    pub const LIVE_ENROLLMENTS: usize = 50;
    /// Completed runs that are kept for a goal or an update; with more, the oldest are let go.
    pub const KEPT_RUNS: usize = 10;
    /// What the runs of a member may come to take in its file, in bytes.
    pub const RUNS_BYTES: usize = 32 * 1024;
    /// What one step of a run takes in the file at most, beside its id, in bytes.
    pub const STEP_BYTES: usize = 60;
    /// What the steps of one scenario may take in the file, in bytes.
    pub const STEPS_BYTES: usize = 24 * 1024;
    /// The longest reason, in bytes; what is over it is cut.
    pub const REASON_BYTES: usize = 200;
    /// A whole member file as stored, in bytes, beyond which nothing more is taken in for the member.
    /// Deciding about what is already there may pass it, up to the store's own bound.
    pub const MEMBER_FILE_BYTES: usize = 16 * 1024;
    /// Ids of events remembered per member; with more in [`SEEN_EVENTS_FOR`] the oldest are forgotten.
    pub const SEEN_EVENTS: usize = 200;
    /// How long an event's id is remembered.
    pub const SEEN_EVENTS_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
    /// Keys per member whose entries are remembered apart; with more, the oldest that have no live
    /// enrollment are folded into one ordinal, and may be entered again.
    pub const ENTRIES: usize = 200;
    /// Topics that one member may have opted out of; who opts out of more has opted out of everything.
    pub const OPT_OUTS: usize = 50;
    /// Happenings kept in the member file before they are moved into a history row.
    pub const JOURNAL: usize = 24;
}
