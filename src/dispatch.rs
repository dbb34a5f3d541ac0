//! Turns, parcels, couriers: load, decide, commit, push, record.
//!
//! [`Turns`] is the whole protocol without threads: commands in, one atomic batch a turn, and effects
//! that wait for their flush. [`daemon`] runs it on a thread of its own with group commit; tests,
//! `simulate` and rehearsals drive the same [`Turns`] by hand.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Moment;
use crate::engine::{Change, Enroll, Refusal, Resolution};
use crate::model::{
    DeliveryId, EnrollmentId, Event, Friendship, Happening, LineUserId, MemberId, RetryKey, ScenarioId,
    StepId, Target,
};
use crate::scenario::ScenarioSet;

mod attempts;
pub mod backoff;
pub mod bucket;
pub mod courier;
pub mod daemon;
mod doubt;
mod due;
mod erasure;
mod holds;
mod link;
mod outbox;
pub mod plan;
pub mod rehearsal;
pub mod reply;
mod ticks;
pub mod turns;
mod watch;

pub use reply::{Answer, Reply};
pub use ticks::Minutes;
pub use turns::{Effect, Effects, Turns};

/// Multicasts in the outbox at which due work stays in the index: two seconds of LINE's limit for them.
pub const MAX_MULTICASTS: usize = 400;

/// Requests to the operator's service that are not settled, beyond which no more are queued: a service that
/// does not answer must not fill the outbox.
pub const MAX_CALLS: usize = 500;

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
    /// Somebody wishes a member to enter a scenario; one that is unknown is created.
    Enroll { member: MemberId, wish: Enroll },
    /// A minute of the clock has begun: scenarios that it starts may be due.
    Minute,
    /// Forgets a member for good.
    Erase { member: MemberId },
    /// What an attempt came to.
    Attempted { retry_key: RetryKey, attempted: Attempted },
    /// The scenarios from now on, and the files they were read from, for a start with broken ones.
    Reload { scenarios: Arc<ScenarioSet>, files: Vec<(String, Vec<u8>)> },
    /// Stops all sends for one reason.
    Hold(Hold),
    /// Takes one reason away; sends resume when none is left.
    Lift(Hold),
    /// An operator takes away all reasons that a person may: their own, those after a restore, and doubts
    /// about the clock, which is right by their word.
    Release,
    /// How far LINE's clock is ahead of ours.
    LineClock { ahead: SignedDuration },
    /// Settles a delivery whose fate is unknown.
    Settle { delivery: DeliveryId, resolution: Resolution },
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
    Refused { reason: Arc<str>, blame: Blame },
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

/// What LINE refused a request for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The messages, or the request as a whole: nobody would get it.
    Content,
    /// The recipient at this place of a multicast.
    Recipient(usize),
    /// A recipient that LINE did not name, or something unclear.
    Unclear,
}

/// Why nothing is sent. There can be several reasons at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// An operator said so.
    Operator,
    /// The store was restored from a backup, and nobody has looked at it yet.
    Restored,
    /// The wall clock has jumped, or is not that of LINE.
    Clock,
    /// LINE refuses the channel's token, or has not said whose it is.
    Token,
    /// The month's quota is used up.
    Quota,
}

impl Hold {
    pub const ALL: [Hold; 5] = [Hold::Operator, Hold::Restored, Hold::Clock, Hold::Token, Hold::Quota];

    pub fn word(self) -> &'static str {
        match self {
            Hold::Operator => "operator",
            Hold::Restored => "restored",
            Hold::Clock => "clock",
            Hold::Token => "token",
            Hold::Quota => "quota",
        }
    }

    /// What it takes to end it.
    pub fn remedy(self) -> &'static str {
        match self {
            Hold::Operator => "`amadare release`",
            Hold::Restored => "look at `amadare deliveries list`, then `amadare release`",
            Hold::Clock => "set the clock right, or confirm it with `amadare release`",
            Hold::Token => "give the daemon a token that LINE takes, and reload",
            Hold::Quota => "raise the plan's limit, or wait for the next month",
        }
    }
}

/// One request to LINE and the deliveries it carries: a push to one, or a multicast of one step to many.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    pub retry_key: RetryKey,
    /// The moment its key's 24 hours are counted from.
    pub first_attempt: Moment,
    pub scenario: ScenarioId,
    pub step: StepId,
    /// In the order of the recipients in `bytes`; more than one in a multicast.
    pub deliveries: Vec<Carried>,
    pub silent: bool,
    /// The exact bytes of the request's body.
    pub bytes: Arc<[u8]>,
    /// The first sixteen bytes of their SHA-256.
    pub whole: [u8; 16],
}

impl Parcel {
    pub fn is_multicast(&self) -> bool {
        self.deliveries.len() > 1
    }

    /// The operator's address that it goes to; none for a request to LINE.
    pub fn url(&self) -> Option<&Arc<str>> {
        match &self.deliveries.first()?.to {
            Target::Url(url) => Some(url),
            Target::LineUser(_) => None,
        }
    }
}

/// A delivery in a parcel, and whom it goes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    pub id: DeliveryId,
    /// The member whose run it is of when it was queued; a provisional one may have been linked since.
    pub member: MemberId,
    pub enrollment: EnrollmentId,
    pub to: Target,
    pub due: Timestamp,
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
    #[error("there is no such delivery whose fate is unknown; it may have been settled already")]
    NoSuchDelivery,
}
