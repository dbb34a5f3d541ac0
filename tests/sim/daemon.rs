//! The only file here that knows [`Turns`]: the daemon under test, with its group commit, as small steps.
//!
//! The loop of `dispatch::daemon` is threads and channels; this is the same loop taken apart. Turns may be
//! decided on top of [`MAX_UNFLUSHED`] others, and effects come out only after a flush.

use std::collections::VecDeque;
use std::sync::Arc;

use amadare::clock::{Moment, Uptime};
use amadare::dispatch::turns::Opening;
use amadare::dispatch::{
    Action, Answer, Attempted, Blame, Command, Effect, Effects, Hold, IfTaken, LinkRequest, Minutes, Reply,
    Turns, Whom,
};
use amadare::engine::{Change, Enroll, OptChange, Resolution};
use amadare::model::{
    Attributes, DeliveryId, Ended, Enrollment, Event, EventName, Friendship, Happening, LineUserId,
    MemberFile, MemberId, RetryKey, SLOTS, ScenarioId, Standing, StepId, What,
};
use amadare::mutation::{self, Mutation};
use amadare::store::{
    self, Batch, Epoch, MemoryStore, Meta, RestoredRow, Store, StoreError, encode_restored,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use crate::book::Book;
use crate::history;

const MAX_UNFLUSHED: usize = 4;

const SALT: [u8; 1] = [1];

/// What is asked of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Event {
        id: String,
        name: &'static str,
        whom: history::Whom,
        at: i64,
        data: Attributes,
    },
    Webhook {
        id: String,
        user: u8,
        blocked: bool,
        at: i64,
    },
    Name {
        member: u8,
        name: String,
    },
    /// A wish that somebody enters a drawn scenario.
    Enroll {
        id: String,
        scenario: &'static str,
        whom: history::Whom,
        at: i64,
        data: Attributes,
    },
    /// Attributes as a patch, and all tags.
    Tell {
        member: u8,
        attributes: Attributes,
        tags: Option<Vec<&'static str>>,
        silent: bool,
    },
    /// What somebody wants no more, or wants again: a topic, or all.
    Opt {
        whom: history::Whom,
        topic: Option<&'static str>,
        out: bool,
    },
    Link {
        member: u8,
        user: u8,
        takes: bool,
    },
    Erase {
        member: u8,
    },
    Reload {
        variant: usize,
    },
    Attempted {
        key: u128,
        outcome: Outcome,
    },
    LetGo,
    Quota {
        limit: u64,
        used: u64,
    },
    LineClock {
        ahead: i64,
    },
    Hold,
    Release,
    Settle {
        delivery: u128,
        how: How,
    },
}

/// What an operator makes of a delivery whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Accepted,
    Dropped,
    Resend,
}

/// A delivery whose fate is unknown, as an operator sees it, and which text it is.
#[derive(Clone, Debug)]
pub(crate) struct InDoubt {
    pub(crate) id: u128,
    /// The step, the serial and the move of its text; none where the run is gone.
    pub(crate) text: Option<(String, u32, u32)>,
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) wall: i64,
    pub(crate) boot: u64,
    pub(crate) uptime: i64,
}

impl Clocks {
    fn moment(self) -> Moment {
        let ms = u64::try_from(self.uptime).unwrap();
        Moment { wall: instant(self.wall), uptime: Uptime { boot: self.boot, ms } }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    /// Everybody would be refused.
    Refused,
    /// The recipient at a place.
    RefusedFor(usize),
    /// Nobody knows for whom.
    RefusedForSomebody,
    Throttled,
    OverQuota,
    Unauthorized,
    NotSent,
    NotTried,
    Ambiguous,
}

/// What the daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Done,
    Duplicate,
    Refused,
}

/// One request that is about to leave.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) key: u128,
    pub(crate) bytes: Arc<[u8]>,
    /// A process before this one queued it: it may have left already, whether it was seen to or not.
    pub(crate) is_recovered: bool,
}

#[derive(Debug)]
pub(crate) enum Out {
    Answer(u64, Answered),
    Attempt(Request),
    Happened(String),
    ConfirmQuota,
    Held(Vec<Hold>),
}

pub(crate) struct Daemon {
    book: Arc<Book>,
    store: Arc<MemoryStore>,
    turns: Turns,
    queue: VecDeque<Command>,
    /// The tickets of asks without an answer, and where it will come.
    asked: VecDeque<(u64, oneshot::Receiver<Answer>)>,
    unflushed: VecDeque<Effects>,
    released: VecDeque<Effect>,
    opened_at: Timestamp,
}

impl Daemon {
    /// `line_ahead` is none where LINE did not answer: then sends are held for the token.
    pub(crate) fn open(
        store: Arc<MemoryStore>,
        book: &Arc<Book>,
        variant: usize,
        now: Clocks,
        line_ahead: Option<i64>,
    ) -> Daemon {
        let opening = Opening {
            scenarios: Arc::clone(book.set(variant)),
            channel: "C".into(),
            salt: SALT.to_vec(),
            holds: line_ahead.is_none().then_some(Hold::Token).into_iter().collect(),
            line_ahead: line_ahead.map(SignedDuration::from_millis),
            minutes: Minutes::Watched,
        };
        let turns = Turns::open(store.clone(), opening, instant(now.wall)).expect("the disk is readable");
        Daemon {
            book: Arc::clone(book),
            store,
            turns,
            queue: VecDeque::new(),
            asked: VecDeque::new(),
            unflushed: VecDeque::new(),
            released: VecDeque::new(),
            opened_at: instant(now.wall),
        }
    }

    /// The process ends where it stands; what it had committed and not flushed is kept up to a number.
    pub(crate) fn die(self, survivors: usize) -> Arc<MemoryStore> {
        self.store.set_failing(false);
        self.store.cut_power(survivors);
        self.store
    }

    /// What a backup taken now would hold.
    pub(crate) fn backup(&self) -> Arc<MemoryStore> {
        Arc::new(self.store.copied())
    }

    pub(crate) fn unflushed_batches(&self) -> usize {
        self.store.unflushed()
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.store.set_failing(failing);
    }

    pub(crate) fn ask(&mut self, ticket: u64, ask: &Ask) {
        let (reply, answer) = Reply::one();
        self.asked.push_back((ticket, answer));
        self.queue.push_back(Command { what: action(ask, &self.book), reply: Some(reply) });
    }

    /// The wall-clock instant at which there is something to do; none when there is nothing.
    pub(crate) fn wake(&self) -> Option<i64> {
        if !self.queue.is_empty() {
            return Some(i64::MIN);
        }
        // instants are rounded up to the clock of the histories, which counts milliseconds
        self.turns.wake().map(|at| {
            at.as_nanosecond().div_euclid(1_000_000) as i64
                + i64::from(at.as_nanosecond().rem_euclid(1_000_000) > 0)
        })
    }

    pub(crate) fn can_flush(&self) -> bool {
        !self.unflushed.is_empty()
    }

    pub(crate) fn must_flush(&self) -> bool {
        self.unflushed.len() >= MAX_UNFLUSHED
    }

    /// Takes one turn. False if the store failed: nothing more may be done.
    pub(crate) fn turn(&mut self, now: Clocks) -> bool {
        let effects = match self.turns.take(&mut self.queue, now.moment()) {
            Ok(effects) => effects,
            Err(StoreError::Engine(_)) => return false,
            Err(error) => panic!("the store refused a turn: {error}"),
        };
        if mutation::is(Mutation::ReleaseBeforeFlush) {
            let (sent, kept) = effects.0.into_iter().partition(|effect| matches!(effect, Effect::Attempt(_)));
            self.released.extend::<Vec<_>>(sent);
            self.unflushed.push_back(Effects(kept));
        } else if mutation::is(Mutation::AnswerBeforeFlush) {
            let (told, kept) = effects.0.into_iter().partition(|effect| matches!(effect, Effect::Answer(..)));
            self.released.extend::<Vec<_>>(told);
            self.unflushed.push_back(Effects(kept));
        } else if !effects.is_empty() {
            self.unflushed.push_back(effects);
        }
        true
    }

    /// Flushes all turns at hand. False if the store failed.
    pub(crate) fn flush(&mut self) -> bool {
        if self.store.flush().is_err() {
            return false;
        }
        self.released.extend(self.unflushed.drain(..).flat_map(|effects| effects.0));
        true
    }

    /// The next effect that may be seen from outside.
    pub(crate) fn release(&mut self) -> Option<Out> {
        Some(match self.released.pop_front()? {
            Effect::Answer(reply, answer) => {
                reply.answer(answer);
                let mut answers = self.asked.iter_mut().map(|(_, answer)| answer.try_recv().ok()).enumerate();
                let (place, answer) =
                    answers.find_map(|(place, answer)| Some((place, answer?))).expect("it was asked");
                let (ticket, _) = self.asked.remove(place).expect("it stands there");
                Out::Answer(ticket, answered(&answer))
            }
            Effect::Attempt(parcel) => {
                let (key, bytes) = (parcel.retry_key.0.as_u128(), Arc::clone(&parcel.bytes));
                let is_recovered = parcel.first_attempt.wall <= self.opened_at;
                Out::Attempt(Request { key, bytes, is_recovered })
            }
            Effect::Happened(what) => Out::Happened(format!("{} {}", what.member, told(&what.happening))),
            Effect::ConfirmQuota => Out::ConfirmQuota,
            Effect::Holds(holds) => Out::Held(holds.into_iter().collect()),
        })
    }

    pub(crate) fn held(&self) -> Vec<Hold> {
        self.turns.holds().iter().copied().collect()
    }

    /// Effects that are decided and that nobody has seen yet.
    pub(crate) fn unseen(&self) -> usize {
        self.released.len() + self.unflushed.iter().map(|effects| effects.0.len()).sum::<usize>()
    }

    /// Deliveries whose fate is unknown.
    pub(crate) fn in_doubt(&self) -> Vec<InDoubt> {
        let rows = store::page_unknown(&*self.store, None, 1_000).unwrap();
        let text_of = |row: &store::UnknownRow| {
            let mut id = MemberId::new(row.member.as_ref()?).unwrap();
            for _ in 0..2 {
                let file = store::load_members(&*self.store, std::slice::from_ref(&id)).unwrap().pop()??;
                if let Some(owner) = file.merged_into {
                    id = owner;
                    continue;
                }
                let enrollment = row.delivery().unwrap().enrollment;
                let run = file.enrollments.iter().find(|run| run.id == enrollment)?;
                let number = |name: &str| run.event.get(name).and_then(|n| n.as_u64()).unwrap_or(0) as u32;
                return Some((row.step.clone(), number("n"), number("v")));
            }
            None
        };
        rows.iter().map(|(id, row)| InDoubt { id: id.0.as_u128(), text: text_of(row) }).collect()
    }

    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    pub(crate) fn outbox_len(&self) -> usize {
        self.turns.outbox_len()
    }

    /// What is left in the store that should not be once nothing is left to do.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let store = &*self.store;
        let mut left = Vec::new();
        if self.turns.outbox_len() > 0 {
            left.push(format!("{} parcels in memory", self.turns.outbox_len()));
        }
        let rows = store::page_outbox(store, None, 9).unwrap();
        if !rows.is_empty() {
            left.push(format!("outbox rows {rows:?}"));
        }
        if self.turns.unknown() > 0 || store::count_unknown(store).unwrap() > 0 {
            left.push(format!("{} deliveries in doubt", self.turns.unknown()));
        }
        if !store::page_bodies(store, None, 9).unwrap().is_empty() {
            left.push("message bodies".into());
        }
        for slot in 0..SLOTS {
            for due in store::page_due(store, slot, None, 9).unwrap() {
                left.push(format!("in the due index: {due:?}"));
            }
            for file in store::page_members(store, slot, None, 99).unwrap() {
                // those that could still convert or be moved are let go when the file is looked at next
                let is_kept = |run: &&Enrollment| {
                    run.ended == Some(Ended::Completed)
                        && run.kept_until.is_some()
                        && matches!(run.now, Standing::Waiting { .. })
                };
                for run in file.enrollments.iter().filter(|run| !is_kept(run)) {
                    left.push(format!("{}: a run of {} stands at {:?}", file.id, run.scenario, run.now));
                }
            }
        }
        left
    }

    /// Everything that is recorded of a member, oldest first.
    pub(crate) fn journal(&self, whom: history::Whom) -> Vec<Recorded> {
        let id = member_id(whom);
        let rows = store::page_history(&*self.store, &id, 0, 900).unwrap();
        let older = rows.into_iter().flat_map(|(_, happenings)| happenings);
        let file: Option<MemberFile> = store::load_members(&*self.store, &[id]).unwrap().pop().flatten();
        let newest = file.map(|file| file.journal).unwrap_or_default();
        older.chain(newest).map(recorded).collect()
    }
}

/// A happening, as far as the oracle counts it.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) what: What,
    pub(crate) scenario: String,
    pub(crate) step: Option<String>,
    /// By an operator's word, not by LINE's.
    pub(crate) by_hand: bool,
}

fn recorded(happening: Happening) -> Recorded {
    Recorded {
        what: happening.what,
        scenario: happening.scenario.map(|id| id.to_string()).unwrap_or_default(),
        step: happening.step.map(|id| id.to_string()),
        by_hand: happening.reason.as_deref().is_some_and(|reason| reason == "settled"),
    }
}

fn told(happening: &Happening) -> String {
    let scenario = happening.scenario.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let step = happening.step.as_ref().map(|id: &StepId| format!("/{id}")).unwrap_or_default();
    let reason = happening.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
    let until = happening.until.map(|until| format!(" {until:.3}")).unwrap_or_default();
    format!("{}{scenario}{step}{reason}{until}", happening.what.word())
}

fn answered(answer: &Answer) -> Answered {
    match answer {
        Answer::Done => Answered::Done,
        Answer::Duplicate => Answered::Duplicate,
        Answer::Refused(_) => Answered::Refused,
    }
}

fn action(ask: &Ask, book: &Book) -> Action {
    match ask.clone() {
        Ask::Event { id, name, whom, at, data } => {
            let member = match whom {
                history::Whom::Member(_) => Whom::Member(member_id(whom)),
                history::Whom::User(user) => Whom::LineUser(user_id(user)),
            };
            Action::Event { member, event: event(id, name, at, data) }
        }
        Ask::Webhook { id, user, blocked, at } => {
            let (name, friendship) = match blocked {
                true => ("line.unfollow", Friendship::Blocked),
                false => ("line.follow", Friendship::Friend),
            };
            let event = event(id, name, at, Attributes::new());
            Action::Line { user: user_id(user), event, friendship: Some(friendship) }
        }
        Ask::Name { member, name } => {
            let attributes = Attributes::from_iter([("name".to_owned(), name.into())]);
            let change = Change { attributes: Some(attributes), ..Change::default() };
            Action::Change { member: member_id(history::Whom::Member(member)), change, link: None }
        }
        Ask::Enroll { id, scenario, whom, data, .. } => {
            let scenario = ScenarioId::new(scenario).unwrap();
            let wish = Enroll { id: Some(id), scenario, key: None, data };
            Action::Enroll { member: member_id(whom), wish }
        }
        Ask::Tell { member, attributes, tags, silent } => {
            let tags = tags.map(|tags| tags.into_iter().map(str::to_owned).collect());
            let change = Change { attributes: Some(attributes), tags, silent, ..Change::default() };
            Action::Change { member: member_id(history::Whom::Member(member)), change, link: None }
        }
        Ask::Opt { whom, topic, out } => {
            let topic = topic.map(str::to_owned);
            let opt = if out { OptChange::Out { topic } } else { OptChange::In { topic } };
            let change = Change { opt: Some(opt), ..Change::default() };
            Action::Change { member: member_id(whom), change, link: None }
        }
        Ask::Link { member, user, takes } => {
            let taken = if takes { IfTaken::Move } else { IfTaken::Refuse };
            let link = Some(LinkRequest { user: user_id(user), taken });
            let member = member_id(history::Whom::Member(member));
            Action::Change { member, change: Change::default(), link }
        }
        Ask::Erase { member } => Action::Erase { member: member_id(history::Whom::Member(member)) },
        Ask::Reload { variant } => {
            Action::Reload { scenarios: Arc::clone(book.set(variant)), files: Vec::new() }
        }
        Ask::Attempted { key, outcome } => {
            let retry_key = RetryKey(uuid::Uuid::from_u128(key));
            Action::Attempted { retry_key, attempted: attempted(outcome) }
        }
        Ask::LetGo => Action::Lift(Hold::Token),
        Ask::Quota { limit, used } => Action::Quota { limit: Some(limit), used },
        Ask::LineClock { ahead } => Action::LineClock { ahead: SignedDuration::from_millis(ahead) },
        Ask::Hold => Action::Hold(Hold::Operator),
        Ask::Release => Action::Release,
        Ask::Settle { delivery, how } => {
            let resolution = match how {
                How::Accepted => Resolution::Accepted,
                How::Dropped => Resolution::Dropped,
                How::Resend => Resolution::Resend,
            };
            Action::Settle { delivery: DeliveryId(uuid::Uuid::from_u128(delivery)), resolution }
        }
    }
}

fn attempted(outcome: Outcome) -> Attempted {
    match outcome {
        Outcome::Accepted => Attempted::Accepted,
        Outcome::Refused => refused(Blame::Content),
        Outcome::RefusedFor(place) => refused(Blame::Recipient(place)),
        Outcome::RefusedForSomebody => refused(Blame::Unclear),
        Outcome::Throttled => Attempted::Throttled,
        Outcome::OverQuota => Attempted::OverQuota,
        Outcome::Unauthorized => Attempted::Unauthorized,
        Outcome::NotSent => Attempted::NotSent,
        Outcome::NotTried => Attempted::NotTried,
        Outcome::Ambiguous => Attempted::Ambiguous,
    }
}

fn refused(blame: Blame) -> Attempted {
    Attempted::Refused { reason: "line(400)".into(), blame }
}

/// Makes of a backup what a restore makes of it.
pub(crate) fn restored(backup: &MemoryStore, copy: u8, backup_at: i64, now: i64) -> Arc<MemoryStore> {
    let store = backup.copied();
    let row = RestoredRow {
        incarnation: [copy; 16].into(),
        backup_ms: backup_at,
        restored_ms: now,
        released: None,
    };
    let mut batch = Batch::default();
    batch.put_meta(Meta::Restored, encode_restored(&row));
    store.commit(&batch, Epoch::EMBEDDED).unwrap();
    store.flush().unwrap();
    Arc::new(store)
}

fn event(id: String, name: &str, at: i64, data: Attributes) -> Event {
    Event { id: Some(id), name: EventName::new(name).unwrap(), at: instant(at), data }
}

pub(crate) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn user_id(user: u8) -> LineUserId {
    LineUserId::new(&user_text(user)).unwrap()
}

pub(crate) fn user_text(user: u8) -> String {
    format!("U{user:032x}")
}

fn member_id(whom: history::Whom) -> MemberId {
    match whom {
        history::Whom::Member(member) => MemberId::new(&format!("m{member}")).unwrap(),
        history::Whom::User(user) => MemberId::provisional(&user_id(user)),
    }
}
