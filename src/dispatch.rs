//! Turns, parcels, couriers: load, decide, commit, push, record.
//!
//! [`Turns`] is the whole protocol without threads: commands in, one atomic batch a turn, and effects
//! that wait for their flush. [`daemon`] runs it on a thread of its own with group commit; tests,
//! `simulate` and rehearsals drive the same [`Turns`] by hand.

use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::{Change, Refusal};
use crate::model::{
    EnrollmentId, Event, Friendship, Happening, LineUserId, MemberId, RetryKey, ScenarioId, StepId,
};
use crate::scenario::ScenarioSet;

pub mod backoff;
pub mod bucket;
pub mod courier;
pub mod daemon;
mod due;
mod link;
mod outbox;
pub mod rehearsal;
pub mod reply;
pub mod turns;

pub use reply::{Answer, Reply};
pub use turns::{Effect, Effects, Turns};

/// Parcels in the outbox at which due work stays in the index: two seconds of LINE's limit for pushes,
/// so that the time of a parcel's first attempt is close to the time it was queued.
pub const MAX_OUTBOX: usize = 4_096;

/// One thing that changes state.
#[derive(Debug)]
pub struct Command {
    pub what: Action,
    pub reply: Option<Reply>,
}

#[derive(Debug)]
pub enum Action {
    /// An event from the shop.
    Event { member: Whom, event: Event },
    /// An event from LINE, with what it says of the friendship.
    Line { user: LineUserId, event: Event, friendship: Option<Friendship> },
    /// What the shop tells of a member.
    Change { member: MemberId, change: Change, link: Option<LinkRequest> },
    /// Forgets a member for good.
    Erase { member: MemberId },
    /// What an attempt came to.
    Attempted { retry_key: RetryKey, attempted: Attempted },
    /// The scenarios from now on, and the files they were read from, for a start with broken ones.
    Reload { scenarios: Arc<ScenarioSet>, files: Vec<(String, Vec<u8>)> },
    /// Stops or resumes all sends.
    Hold(Option<Hold>),
    /// What LINE says about the month's quota.
    Quota { limit: Option<u64>, used: u64 },
    /// The data folder belongs to this bot's channel from now on.
    Bind { bot: String },
    /// Deletes history rows.
    ExpireHistory { rows: Vec<(MemberId, u32)> },
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Member(MemberId),
    LineUser(LineUserId),
}

/// The wish that a member be a LINE user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequest {
    pub user: LineUserId,
    pub taken: IfTaken,
}

/// What to do when the LINE user belongs to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    Refuse,
    Move,
}

/// What one attempt came to, as far as the protocol cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// LINE has it: now, or by an earlier attempt under the same key.
    Accepted,
    /// LINE refused it for good; nothing was sent.
    Refused(Arc<str>),
    /// LINE refused it for now; nothing was sent.
    Throttled,
    /// LINE says that the month's quota is used up; nothing was sent.
    OverQuota,
    /// LINE does not take our token or our plan; nothing was sent.
    Unauthorized,
    /// Not a byte left.
    NotSent,
    /// It was not even tried, because it had waited long: the world is to be looked at again first.
    NotTried,
    /// It may or may not have been accepted.
    Ambiguous,
}

/// Why no push goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// LINE refuses the channel's token.
    Token,
    /// The month's quota is used up.
    Quota,
}

impl Hold {
    pub fn word(self) -> &'static str {
        match self {
            Hold::Token => "token",
            Hold::Quota => "quota",
        }
    }
}

/// One request to LINE and the delivery it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    pub retry_key: RetryKey,
    /// The time its key's 24 hours are counted from.
    pub first_attempt_at: Timestamp,
    pub member: MemberId,
    pub enrollment: EnrollmentId,
    pub scenario: ScenarioId,
    pub step: StepId,
    pub to: LineUserId,
    pub due: Timestamp,
    /// The exact bytes of the request's body.
    pub bytes: Arc<[u8]>,
    /// The first sixteen bytes of their SHA-256.
    pub whole: [u8; 16],
}

/// A happening and whose it is, for logs, metrics and the outputs of rehearsals.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub member: MemberId,
    pub happening: Happening,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Bound(#[from] Refusal),
    #[error("the LINE user belongs to another member; say `\"move\": true` to move it")]
    LinkTaken,
    #[error("a provisional member is its own LINE user only; link that one to a member of yours")]
    Provisional,
    #[error("there is no such member")]
    NoSuchMember,
}
