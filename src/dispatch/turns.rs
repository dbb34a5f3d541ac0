//! The protocol without threads: one [`Turns::take`] is load → decide → commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::attempts::UNTRIED_WAIT;
use super::due::DueQueue;
use super::outbox::{self, Outbox};
use super::ticks::{Minutes, Ticks};
use super::watch::ClockWatch;
use super::{Action, Answer, Command, Happened, Hold, Parcel, Refused, Reply, Whom};
use crate::clock::Moment;
use crate::engine::flight::{Earlier, Next, before_attempt};
use crate::engine::{self, Context, Input, Push, Refusal, Sending, Taken, Trust, Unknown, Verdict};
use crate::line;
use crate::model::{
    DeliveryId, Entries, LineUserId, MemberFile, MemberId, SLOTS, ScenarioId, Standing, limits,
};
use crate::mutation::{self, Mutation};
use crate::scenario::ScenarioSet;
use crate::store::{
    self, Batch, Counted, Counters, Epoch, Meta, RestoredRow, Store, StoreError, SweepRow, UnknownRow,
    decode_clock, decode_ids, decode_restored, decode_sweep, decode_ticks, encode_clock, encode_ids,
    encode_member, encode_restored, encode_sweep,
};

/// Key operations that a command is taken to need: its member's file, and a move in the due index.
pub(super) const OPS_PER_COMMAND: usize = 3;

/// The share of a turn that members who are due have, however many commands wait.
const DUE_SHARE: usize = 4;

/// Members looked at in one turn of a sweep.
const SWEEP_PAGE: usize = 50;

/// A sweep goes on in idle turns, and in one of so many where none is idle.
const SWEEP_EVERY: u64 = 8;

/// Happenings that stay in the member file when the older ones are moved into a history row.
const JOURNAL_KEPT: usize = 8;

/// Members who are due looked at in one turn where they go out together: one batch may be as much longer
/// than usual as one multicast is larger than a push.
pub(super) const MAX_TOGETHER: usize = line::MAX_RECIPIENTS;

/// How many more of them are looked at before it is seen again whether they go out together.
const TOGETHER_PIECE: usize = 50;

/// The reason of those whose multicast came to nothing for the sake of somebody else in it.
pub(super) const FOR_ANOTHER: &str = "multicast";

/// Rounds in which pushes of one turn are looked at again.
const MAX_RECONSIDERED: usize = 4;

/// Requests to the operator's service that one turn queues: so many may be too many by the end of it.
const MAX_CALLS_IN_TURN: usize = 50;

/// Stored message bodies looked at in one turn of the clean-up after a start.
const BODIES_PAGE: usize = 50;

/// What is to happen once a turn is durable.
#[derive(Debug)]
pub enum Effect {
    Answer(Reply, Answer),
    /// Hand the parcel to a courier for one attempt.
    Attempt(Arc<Parcel>),
    Happened(Happened),
    /// Ask LINE how the month's quota stands.
    ConfirmQuota,
    /// The reasons why nothing may be sent have changed to these.
    Holds(BTreeSet<Hold>),
}

/// How often what has happened, by scenario and step.
pub type CounterBook = HashMap<Counted, Counters>;

/// The effects of one turn, in order.
#[derive(Debug, Default)]
pub struct Effects(pub Vec<Effect>);

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The one writer: all state that is not a member's file, and the store.
#[derive(Debug)]
pub struct Turns {
    pub(super) store: Arc<dyn Store>,
    pub(super) world: World,
    pub(super) due: DueQueue,
    pub(super) outbox: Outbox,
    pub(super) counters: CounterBook,
    pub(super) salt: Vec<u8>,
    pub(super) tombstones: u64,
    pub(super) sweep: Option<SweepRow>,
    pub(super) ticks: Ticks,
    /// Which scenarios are paused, where the store does not know yet.
    paused_to_note: Option<BTreeSet<ScenarioId>>,
    pub(super) holds: BTreeSet<Hold>,
    pub(super) watch: ClockWatch,
    /// How far LINE's clock was ahead at the start, until the first turn has looked at it.
    pub(super) line_ahead: Option<SignedDuration>,
    pub(super) restored: Option<RestoredRow>,
    /// Deliveries whose fate is unknown and that nobody has settled.
    pub(super) unknown: u64,
    /// The clean-up of message bodies that a crash left behind: where it stands.
    pub(super) stray_bodies: Option<Option<[u8; 16]>>,
    /// True once the process is about to end: nothing new is queued.
    pub(super) draining: bool,
    /// Turns taken.
    pub(super) count: u64,
}

/// What every decision is made by, beside the member's file.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) scenarios: Arc<ScenarioSet>,
    pub(super) channel: Arc<str>,
    /// Scenarios that are gone and were paused when they went: their runs stand still.
    pub(super) dormant: Arc<BTreeSet<ScenarioId>>,
}

/// What a writer starts from beside its store.
#[derive(Clone, Debug)]
pub struct Opening {
    pub scenarios: Arc<ScenarioSet>,
    /// The channel that new enrollments are identified by; in a restored store, with the copy's own mark.
    pub channel: Arc<str>,
    /// What ids of erased members are hashed with.
    pub salt: Vec<u8>,
    /// Why nothing may be sent at first, beside what the store remembers.
    pub holds: BTreeSet<Hold>,
    /// How far LINE's clock is ahead of ours, if LINE has answered.
    pub line_ahead: Option<SignedDuration>,
    /// Who tells that a minute has begun.
    pub minutes: Minutes,
}

impl Turns {
    /// Takes over a store, with all that was in flight when the writer before ended.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(store: Arc<dyn Store>, opening: Opening, now: Timestamp) -> Result<Turns, StoreError> {
        let due = DueQueue::open(&*store)?;
        let outbox = Outbox::recover(&*store, now)?;
        let counters = store::load_counters(&*store)?.into_iter().collect();
        let tombstones = store::get_number(&*store, Meta::Tombstones)?.unwrap_or(0);
        let stored_sweep = store::get_meta(&*store, Meta::Sweep)?.map(|bytes| decode_sweep(&bytes));
        let stored_holds = store::get_number(&*store, Meta::Holds)?.unwrap_or(0);
        let clock = store::get_meta(&*store, Meta::Clock)?.map(|bytes| decode_clock(&bytes)).transpose()?;
        let restored = store::get_meta(&*store, Meta::Restored)?.map(|bytes| decode_restored(&bytes));
        let restored = restored.transpose()?;
        let channel = match &restored {
            // the daemon before has used ordinals that this store knows nothing of
            Some(restored) => format!("{} {:02x?}", opening.channel, *restored.incarnation).into(),
            None => opening.channel,
        };
        let unknown = store::count_unknown(&*store)?;
        let known_paused = load_paused(&*store)?;
        let dormant: BTreeSet<ScenarioId> =
            known_paused.iter().filter(|id| opening.scenarios.get(id).is_none()).cloned().collect();
        let paused: BTreeSet<ScenarioId> =
            dormant.iter().cloned().chain(paused_in(&opening.scenarios)).collect();
        let rows = store::get_meta(&*store, Meta::Ticks)?.map(|bytes| decode_ticks(&bytes)).transpose()?;
        let ticks = Ticks::open(rows.unwrap_or_default(), &opening.scenarios, opening.minutes, now)?;
        let mut holds = opening.holds;
        holds.extend(Hold::ALL.into_iter().filter(|hold| stored_holds & bit(*hold) != 0));
        if restored.as_ref().is_some_and(|restored| restored.released != Some(true)) {
            holds.insert(Hold::Restored);
        }
        let mut turns = Turns {
            store,
            world: World { scenarios: opening.scenarios, channel, dormant: Arc::new(dormant) },
            due,
            outbox,
            counters,
            salt: opening.salt,
            tombstones,
            sweep: None,
            ticks,
            paused_to_note: (paused != known_paused).then_some(paused),
            holds,
            watch: ClockWatch::open(clock),
            line_ahead: opening.line_ahead,
            restored,
            unknown,
            stray_bodies: Some(None),
            draining: false,
            count: 0,
        };
        turns.sweep = match stored_sweep.transpose()? {
            Some(stored) if *stored.scenarios == *turns.world.scenarios.digest() => {
                (stored.slot < SLOTS).then_some(stored)
            }
            _ => Some(turns.new_sweep()),
        };
        Ok(turns)
    }

    fn new_sweep(&self) -> SweepRow {
        SweepRow { scenarios: (*self.world.scenarios.digest()).into(), slot: 0, after: None }
    }

    /// The soonest instant at which there is something to do without a command; none when there is
    /// nothing.
    pub fn wake(&self) -> Option<Timestamp> {
        let may_tick = !self.holds.contains(&Hold::Clock);
        if self.sweep.is_some() || self.stray_bodies.is_some() || (may_tick && self.ticks.is_sweeping()) {
            return Some(Timestamp::MIN);
        }
        let due = self.due.head().filter(|head| match self.may_send() {
            true => true,
            false => self.restored_at().is_some_and(|restored_at| *head <= restored_at),
        });
        let tick = self.ticks.head().filter(|_| may_tick);
        due.into_iter().chain(self.outbox.head()).chain(tick).min()
    }

    /// The latest of the instants at which each trigger on the clock ticks next.
    pub(super) fn last_of_next_ticks(&self) -> Option<Timestamp> {
        self.ticks.last_of_next()
    }

    /// Lets the clock start nothing more: for a rehearsal that would not end.
    pub(super) fn stop_ticks(&mut self) {
        self.ticks.stop();
    }

    /// Until when what is due is looked at.
    fn due_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.may_send() {
            true => Some(now),
            // nothing of it is sent: it is told which deliveries may have been
            false => self.restored_at().filter(|_| !self.draining).map(|restored_at| restored_at.min(now)),
        }
    }

    /// When the store was restored, if it was.
    pub(super) fn restored_at(&self) -> Option<Timestamp> {
        if mutation::is(Mutation::RestoreForgotten) {
            return None;
        }
        let restored = self.restored.as_ref()?;
        Timestamp::from_millisecond(restored.restored_ms).ok()
    }

    /// Parcels that are not settled.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// How far behind the most overdue member is.
    pub fn due_lag(&self, now: Timestamp) -> SignedDuration {
        let lag = self.due.head().map(|head| now.duration_since(head));
        lag.unwrap_or(SignedDuration::ZERO).max(SignedDuration::ZERO)
    }

    /// Why nothing may be sent; empty while sends are open.
    pub fn holds(&self) -> &BTreeSet<Hold> {
        &self.holds
    }

    /// Deliveries whose fate is unknown and that nobody has settled.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    pub fn counters(&self) -> &CounterBook {
        &self.counters
    }

    fn may_send(&self) -> bool {
        let is_open = self.holds.is_empty() || mutation::is(Mutation::HoldIgnored);
        is_open && !self.outbox.is_full() && !self.draining
    }

    /// Queues nothing from now on: what is due waits for the next start.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Handles waiting commands and what is due, as much as fits one batch, and commits it.
    ///
    /// The effects must be released only after a [`Store::flush`] that was called after this returned.
    ///
    /// # Errors
    /// What the store says. Nothing of this turn may be told to anybody, and no further one be taken.
    pub fn take(&mut self, queue: &mut VecDeque<Command>, now: Moment) -> Result<Effects, StoreError> {
        let store = Arc::clone(&self.store);
        let clock = self.watch.look(now).filter(|_| !mutation::is(Mutation::ClockBelieved));
        // what LINE said before a jump says nothing about after
        let ahead = self.line_ahead.take().filter(|_| clock.is_none());
        let heard = ahead.and_then(|ahead| self.watch.heard_line(ahead, now));
        let mut work = Work::new(self, now);
        work.clock(clock);
        work.clock(heard.filter(|_| !mutation::is(Mutation::ClockBelieved)));
        work.fill(queue, &*store)?;
        work.finish()
    }
}

/// The scenarios that were paused in the set before, and those that were when they were taken out.
fn load_paused(store: &dyn Store) -> Result<BTreeSet<ScenarioId>, StoreError> {
    let Some(bytes) = store::get_meta(store, Meta::Paused)? else { return Ok(BTreeSet::new()) };
    decode_ids(&bytes)?
        .iter()
        .map(|id| ScenarioId::new(id))
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Record { key: "paused scenarios".into(), what: error.to_string() })
}

fn paused_in(scenarios: &ScenarioSet) -> impl Iterator<Item = ScenarioId> {
    scenarios.iter().filter(|scenario| scenario.paused).map(|scenario| scenario.id.clone())
}

/// Holds all sends of a store that no writer has: the next one finds it so.
///
/// # Errors
/// What the store says.
pub fn hold_at_rest(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put_number(Meta::Holds, bit(Hold::Operator));
    store.commit(&batch, Epoch::EMBEDDED)?;
    store.flush()
}

/// Takes away what a person may take away, of a store that no writer has.
///
/// # Errors
/// What the store says.
pub fn release_at_rest(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put_number(Meta::Holds, 0);
    if let Some(restored) = restored_and_released(store)? {
        batch.put_meta(Meta::Restored, restored);
    }
    store.commit(&batch, Epoch::EMBEDDED)?;
    store.flush()
}

/// The mark of a restored store as it is once a person has looked at it; none in any other store.
///
/// # Errors
/// What the store says.
pub fn restored_and_released(store: &dyn Store) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(bytes) = store::get_meta(store, Meta::Restored)? else { return Ok(None) };
    let restored = RestoredRow { released: Some(true), ..decode_restored(&bytes)? };
    Ok(Some(encode_restored(&restored)))
}

/// The bit of a hold in the store.
pub(super) fn bit(hold: Hold) -> u64 {
    match hold {
        Hold::Operator => 1,
        // the others are found out again at every start, or have a record of their own
        Hold::Restored | Hold::Clock | Hold::Token | Hold::Quota => 0,
    }
}

/// One turn in the making.
pub(super) struct Work<'a> {
    pub(super) turns: &'a mut Turns,
    pub(super) moment: Moment,
    pub(super) now: Timestamp,
    pub(super) files: HashMap<MemberId, Loaded>,
    pub(super) batch: Batch,
    pub(super) effects: Vec<Effect>,
    pub(super) pushes: Vec<Push>,
    pub(super) counted: BTreeSet<Counted>,
    /// Deliveries whose fate became unknown or was settled in this turn.
    pub(super) unknown: BTreeMap<DeliveryId, Option<UnknownRow>>,
    /// What is kept of members erased in this very turn.
    pub(super) erased: HashMap<MemberId, Vec<Entries>>,
}

/// A member's file in a turn.
pub(super) struct Loaded {
    pub(super) file: Option<MemberFile>,
    /// Where it stands in the due index of the store.
    stored_wake: Option<Timestamp>,
    pub(super) dirty: bool,
    /// Its encoding, if nothing has changed since.
    encoded: Option<Vec<u8>>,
}

impl<'a> Work<'a> {
    fn new(turns: &'a mut Turns, moment: Moment) -> Work<'a> {
        Work {
            turns,
            moment,
            now: moment.wall,
            files: HashMap::new(),
            batch: Batch::default(),
            effects: Vec::new(),
            pushes: Vec::new(),
            counted: BTreeSet::new(),
            unknown: BTreeMap::new(),
            erased: HashMap::new(),
        }
    }

    /// Decides as much of what waits and what is due as fits one batch.
    fn fill(&mut self, queue: &mut VecDeque<Command>, store: &dyn Store) -> Result<(), StoreError> {
        let budget = (store.bounds().batch_ops / OPS_PER_COMMAND).max(1);
        let until = self.turns.due_until(self.now);
        let is_due = |head| until.is_some_and(|until| head <= until);
        let for_commands = match self.turns.due.head().is_some_and(is_due) {
            true => budget - budget / DUE_SHARE,
            false => budget,
        };
        let retries = self.turns.outbox.take_waiting(self.now, for_commands);
        let mut weight: usize = retries.iter().map(|parcel| parcel.deliveries.len()).sum();
        let mut commands = Vec::new();
        while let Some(command) = queue.front() {
            let own = self.weight(command);
            if weight > 0 && weight + own > for_commands {
                break;
            }
            weight += own;
            commands.extend(queue.pop_front());
        }
        let room = budget.saturating_sub(weight);
        let due = match until {
            Some(until) => self.turns.due.take(until, room, store)?,
            None => Vec::new(),
        };
        let idle = due.is_empty() && commands.is_empty() && retries.is_empty();

        self.turns.count += 1;
        self.load_for(&commands, &retries, &due)?;
        for parcel in retries {
            self.retry(&parcel)?;
        }
        for command in commands {
            self.command(command)?;
        }
        self.all_due(due, until, store)?;
        // a clock that may be wrong says nothing about which ticks are due
        let may_tick = !self.turns.holds.contains(&Hold::Clock);
        if may_tick {
            self.begin_ticks();
        }
        if idle || self.turns.count.is_multiple_of(SWEEP_EVERY) {
            self.sweep()?;
            if may_tick {
                self.sweep_ticks()?;
            }
            self.clean_up()?;
        }
        Ok(())
    }

    /// How many members a command is about.
    fn weight(&self, command: &Command) -> usize {
        match &command.what {
            Action::Attempted { retry_key, .. } => {
                self.turns.outbox.get(*retry_key).map_or(1, |parcel| parcel.deliveries.len())
            }
            _ => 1,
        }
    }

    /// Carries on those who are due, and more of them where they go out together.
    fn all_due(
        &mut self,
        due: Vec<store::DueKey>,
        until: Option<Timestamp>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let mut looked_at = due.len();
        let mut piece = due;
        loop {
            for due in &piece {
                self.due(due)?;
            }
            let Some(until) = until.filter(|_| looked_at < MAX_TOGETHER && self.go_out_together()) else {
                return Ok(());
            };
            let limit = TOGETHER_PIECE.min(MAX_TOGETHER - looked_at);
            piece = self.turns.due.take(until, limit, store)?;
            if piece.is_empty() {
                return Ok(());
            }
            looked_at += piece.len();
            self.load_for(&[], &[], &piece)?;
        }
    }

    /// True if the pushes of this turn are few requests.
    pub(super) fn go_out_together(&self) -> bool {
        self.pushes.len() >= TOGETHER_PIECE / 2 && outbox::requests(&self.pushes) * 10 <= self.pushes.len()
    }

    /// Reads the files that commands, parcels and due members name, in one go.
    fn load_for(
        &mut self,
        commands: &[Command],
        parcels: &[Arc<Parcel>],
        due: &[store::DueKey],
    ) -> Result<(), StoreError> {
        let mut ids: Vec<MemberId> = due.iter().map(|due| due.member.clone()).collect();
        let members = |parcel: &Arc<Parcel>| -> Vec<MemberId> {
            parcel.deliveries.iter().map(|carried| carried.member.clone()).collect()
        };
        ids.extend(parcels.iter().flat_map(members));
        for command in commands {
            match &command.what {
                Action::Event { member: Whom::Member(id), .. }
                | Action::Change { member: id, .. }
                | Action::Enroll { member: id, .. }
                | Action::Erase { member: id } => ids.push(id.clone()),
                Action::Event { member: Whom::LineUser(user), .. } | Action::Line { user, .. } => {
                    ids.push(MemberId::provisional(user));
                }
                Action::Attempted { retry_key, .. } => {
                    ids.extend(self.turns.outbox.get(*retry_key).iter().flat_map(members));
                }
                Action::Reload { .. }
                | Action::Hold(_)
                | Action::Lift(_)
                | Action::Release
                | Action::LineClock { .. }
                | Action::Settle { .. }
                | Action::Quota { .. }
                | Action::Bind { .. }
                | Action::Minute
                | Action::ExpireHistory { .. } => {}
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.files.contains_key(id));
        let files = store::load_members(&*self.turns.store, &ids)?;
        for (id, file) in ids.into_iter().zip(files) {
            self.insert(id, file);
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, id: MemberId, file: Option<MemberFile>) {
        let stored_wake = file.as_ref().and_then(|file| file.wake);
        self.files.insert(id, Loaded { file, stored_wake, dirty: false, encoded: None });
    }

    /// The file of a member, read if it was not.
    pub(super) fn file(&mut self, id: &MemberId) -> Result<&mut Loaded, StoreError> {
        if !self.files.contains_key(id) {
            let file = store::load_members(&*self.turns.store, std::slice::from_ref(id))?.pop().flatten();
            self.insert(id.clone(), file);
        }
        Ok(self.files.get_mut(id).expect("it was inserted above"))
    }

    /// Who a member id means now: a provisional member that was linked is the member it was linked to.
    pub(super) fn resolve(&mut self, id: &MemberId) -> Result<MemberId, StoreError> {
        if id.as_provisional().is_none() {
            return Ok(id.clone());
        }
        let file = self.file(id)?.file.as_ref();
        Ok(file.and_then(|file| file.merged_into.clone()).unwrap_or_else(|| id.clone()))
    }

    fn command(&mut self, command: Command) -> Result<(), StoreError> {
        let answer = match command.what {
            Action::Event { member, event } => {
                let id = match member {
                    Whom::Member(id) => self.resolve(&id)?,
                    Whom::LineUser(user) => self.resolve(&MemberId::provisional(&user))?,
                };
                self.intake(&id, &Input::Event(event))?
            }
            Action::Line { user, event, friendship } => {
                let id = self.resolve(&MemberId::provisional(&user))?;
                let answer = self.intake(&id, &Input::Line { event: event.clone(), friendship })?;
                if let (Answer::Refused(_), Some(friendship)) = (&answer, friendship) {
                    // for a block there is always room
                    self.carry_on(&id, &Input::Told { event, friendship })?;
                }
                answer
            }
            Action::Change { member, change, link } => {
                let id = self.resolve(&member)?;
                let opt = change.opt.clone();
                let answer = self.change(&id, change, link)?;
                match (&answer, opt) {
                    // the wish to get nothing has always room
                    (Answer::Refused(Refused::Bound(Refusal::MemberFileFull { .. })), Some(opt)) => {
                        self.carry_on(&id, &Input::Opt(opt))?;
                        Answer::Done
                    }
                    _ => answer,
                }
            }
            Action::Enroll { member, wish } => {
                let id = self.resolve(&member)?;
                self.intake(&id, &Input::Enroll(wish))?
            }
            Action::Erase { member } => {
                let id = self.resolve(&member)?;
                self.erase(&id)?
            }
            Action::Minute => {
                self.turns.ticks.minute();
                Answer::Done
            }
            Action::Attempted { retry_key, attempted } => {
                self.attempted(retry_key, attempted)?;
                Answer::Done
            }
            Action::Reload { scenarios, files } => {
                self.batch.put_scenario_files(&files);
                self.apply(scenarios);
                let sweep = self.turns.new_sweep();
                self.batch.put_meta(Meta::Sweep, encode_sweep(&sweep));
                self.turns.sweep = Some(sweep);
                Answer::Done
            }
            Action::Hold(hold) => {
                self.hold(hold);
                Answer::Done
            }
            Action::Lift(hold) => {
                self.lift(hold);
                Answer::Done
            }
            Action::Release => {
                self.release();
                Answer::Done
            }
            Action::LineClock { ahead } => {
                let change = self.turns.watch.heard_line(ahead, self.moment);
                self.clock(change);
                Answer::Done
            }
            Action::Settle { delivery, resolution } => self.settle_unknown(delivery, resolution)?,
            Action::Quota { limit, used } => {
                self.quota(limit, used)?;
                Answer::Done
            }
            Action::Bind { bot } => {
                self.batch.put_meta(Meta::Bot, bot.into_bytes());
                Answer::Done
            }
            Action::ExpireHistory { rows } => {
                for (member, number) in rows {
                    self.batch.delete_history(&member, number);
                }
                Answer::Done
            }
        };
        if let Some(reply) = command.reply {
            self.effects.push(Effect::Answer(reply, answer));
        }
        Ok(())
    }

    /// Lets another set of scenarios hold from now on.
    fn apply(&mut self, scenarios: Arc<ScenarioSet>) {
        let mut dormant = (*self.turns.world.dormant).clone();
        dormant.extend(paused_in(&self.turns.world.scenarios));
        dormant.retain(|id| scenarios.get(id).is_none());
        let paused = dormant.iter().cloned().chain(paused_in(&scenarios)).collect();
        self.turns.paused_to_note = Some(paused);
        self.turns.ticks.renew(&scenarios, self.now);
        self.turns.world.scenarios = scenarios;
        self.turns.world.dormant = Arc::new(dormant);
    }

    /// Takes something in for a member, who is created if unknown.
    pub(super) fn intake(&mut self, id: &MemberId, input: &Input) -> Result<Answer, StoreError> {
        let known = self.file(id)?.file.clone();
        let is_new = known.is_none();
        let mut file = match known {
            Some(file) => file,
            None => self.new_member(id)?,
        };
        let mut verdict = Verdict::default();
        let world = self.turns.world.clone();
        let context = self.context(&world);
        match engine::take(&mut file, input, &context, &mut verdict) {
            Err(refusal) => return Ok(Answer::Refused(refusal.into())),
            Ok(Taken::Duplicate) => return Ok(Answer::Duplicate),
            Ok(Taken::Changed) => {}
        }
        if !is_new && self.file(id)?.file.as_ref() == Some(&file) {
            return Ok(Answer::Done);
        }
        let encoded = encode_member(&file);
        let size_bytes = encoded.len();
        let grows = || {
            let before = self.files.get(id).and_then(|loaded| loaded.file.as_ref());
            before.is_none_or(|before| size_bytes > encode_member(before).len())
        };
        if size_bytes > limits::MEMBER_FILE_BYTES && grows() {
            return Ok(Answer::Refused(Refused::Bound(Refusal::MemberFileFull { size_bytes })));
        }
        self.put(id, file);
        self.file(id)?.encoded = Some(encoded);
        self.absorb(id, verdict);
        Ok(Answer::Done)
    }

    /// Carries a member on by something that is not taken in from outside and cannot be refused.
    pub(super) fn carry_on(&mut self, id: &MemberId, input: &Input) -> Result<(), StoreError> {
        let Some(mut file) = self.file(id)?.file.take() else { return Ok(()) };
        let mut verdict = Verdict::default();
        let world = self.turns.world.clone();
        let context = self.context(&world);
        engine::take(&mut file, input, &context, &mut verdict)
            .expect("only what comes from outside can be refused");
        self.put(id, file);
        self.absorb(id, verdict);
        Ok(())
    }

    pub(super) fn new_member(&self, id: &MemberId) -> Result<MemberFile, StoreError> {
        let mut file = MemberFile::new(id.clone());
        let kept = match self.erased.get(id) {
            Some(entries) => Some(entries.clone()),
            None if self.turns.tombstones == 0 => None,
            None => store::load_tombstone(&*self.turns.store, &self.turns.salt, id)?,
        };
        file.entries = kept.unwrap_or_default();
        Ok(file)
    }

    pub(super) fn context<'c>(&self, world: &'c World) -> Context<'c> {
        let sending = if self.turns.may_send() { Sending::Open } else { Sending::Held };
        let restored_at = self.turns.restored_at();
        let World { scenarios, channel, dormant } = world;
        let is_full = self.turns.outbox.is_full_of_calls()
            || self.pushes.iter().filter(|push| push.to.line_user().is_none()).count() >= MAX_CALLS_IN_TURN;
        let calling = if is_full { Sending::Held } else { Sending::Open };
        let in_doubt = self.turns.holds.contains(&Hold::Clock);
        let clock = if in_doubt { Trust::Doubtful } else { Trust::Sure };
        Context { now: self.now, scenarios, channel, sending, calling, restored_at, dormant, clock }
    }

    pub(super) fn put(&mut self, id: &MemberId, file: MemberFile) {
        let loaded = self.files.get_mut(id).expect("a file is loaded before it is changed");
        loaded.file = Some(file);
        loaded.dirty = true;
        loaded.encoded = None;
    }

    pub(super) fn delete(&mut self, id: &MemberId) {
        let loaded = self.files.get_mut(id).expect("a file is loaded before it is deleted");
        loaded.file = None;
        loaded.dirty = true;
        loaded.encoded = None;
    }

    fn absorb(&mut self, id: &MemberId, verdict: Verdict) {
        for happening in verdict.happenings {
            if let Some(scenario) = &happening.scenario {
                let of = Counted { scenario: scenario.clone(), step: happening.step.clone() };
                let reason = happening.reason.as_deref().map(|reason| first_word(reason).into());
                let counters = self.turns.counters.entry(of.clone()).or_default();
                *counters.0.entry((happening.what, reason)).or_insert(0) += 1;
                self.counted.insert(of);
            }
            self.effects.push(Effect::Happened(Happened { member: id.clone(), happening }));
        }
        self.pushes.extend(verdict.pushes);
        for Unknown { delivery, scenario, due, reason } in verdict.unknown {
            let row = UnknownRow {
                member: Some(id.to_string()),
                enrollment: delivery.enrollment.0.into_bytes().into(),
                scenario: scenario.to_string(),
                step: delivery.step.to_string(),
                revision: delivery.revision,
                generation: delivery.generation,
                due_ms: due.as_millisecond(),
                at_ms: self.now.as_millisecond(),
                reason: reason.to_string(),
            };
            self.unknown.insert(delivery.id(), Some(row));
            self.turns.unknown += 1;
        }
    }

    fn due(&mut self, due: &store::DueKey) -> Result<(), StoreError> {
        let stands = self.file(&due.member)?.file.as_ref().and_then(|file| file.wake);
        if stands.is_some_and(|wake| wake > self.now) {
            // an earlier command of this turn has carried it on
            return Ok(());
        }
        if self.file(&due.member)?.stored_wake != Some(due.at) {
            // the index and the file are committed together; an entry that is in one only is a remnant
            tracing::warn!(member = %due.member.for_log(), "removed an entry of the due index that belongs to no member");
            self.batch.move_due(&due.member, Some(due.at), None);
            return Ok(());
        }
        self.carry_on(&due.member, &Input::Due)
    }

    /// Looks at a page of members after the scenarios have changed: their next steps may be due at
    /// another time.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let Some(sweep) = self.turns.sweep.clone() else { return Ok(()) };
        let after = sweep
            .after
            .as_deref()
            .map(MemberId::new)
            .transpose()
            .map_err(|error| StoreError::Record { key: "the sweep".into(), what: error.to_string() })?;
        let store = Arc::clone(&self.turns.store);
        let page = store::page_members(&*store, sweep.slot, after.as_ref(), SWEEP_PAGE)?;
        let is_last = page.len() < SWEEP_PAGE;
        let last = page.last().map(|file| file.id.to_string());
        for file in page {
            // one that this turn has loaded for something else has been carried on already
            let may_change = !file.enrollments.is_empty()
                || (!self.turns.world.scenarios.dated().is_empty() && !file.attributes.is_empty());
            if may_change && !self.files.contains_key(&file.id) {
                let id = file.id.clone();
                self.insert(id.clone(), Some(file.clone()));
                self.carry_on(&id, &Input::Due)?;
                // most of them stand as they stood
                let loaded = self.file(&id)?;
                loaded.dirty = loaded.file.as_ref() != Some(&file);
            }
        }
        let next = match is_last {
            true => SweepRow { slot: sweep.slot + 1, after: None, ..sweep },
            false => SweepRow { after: last, ..sweep },
        };
        // an empty slot need not be written down
        if !self.files.is_empty() || next.slot == SLOTS {
            self.batch.put_meta(Meta::Sweep, encode_sweep(&next));
        }
        self.turns.sweep = (next.slot < SLOTS).then_some(next);
        Ok(())
    }

    /// Removes what a crash left in the outbox tables, a piece at a time.
    fn clean_up(&mut self) -> Result<(), StoreError> {
        let Some(after) = self.turns.stray_bodies else { return Ok(()) };
        let store = Arc::clone(&self.turns.store);
        self.turns.outbox.remove_empty_rows(&mut self.batch);
        let last = self.turns.outbox.remove_stray_bodies(&*store, after, BODIES_PAGE, &mut self.batch)?;
        self.turns.stray_bodies = last.map(Some);
        Ok(())
    }

    /// Looks at the pushes of this turn again: a later command of it may have ended a run, moved a link
    /// or erased a member. What is no longer wanted is taken back before it gets into the outbox.
    ///
    /// Gives those that could not be told for sure.
    fn reconsider(&mut self) -> Result<BTreeSet<DeliveryId>, StoreError> {
        let mut wanted = Vec::new();
        for _ in 0..MAX_RECONSIDERED {
            if self.pushes.is_empty() {
                break;
            }
            for push in std::mem::take(&mut self.pushes) {
                let id = self.resolve(&push.member)?;
                let world = self.turns.world.clone();
                let context = self.context(&world);
                let (enrollment, delivery) = (push.delivery.enrollment, push.delivery.id());
                let file = self.file(&id)?.file.as_ref();
                match before_attempt(file, enrollment, delivery, &push.to, Earlier::NotSent, &context) {
                    Next::Attempt => wanted.push(push),
                    Next::Settled => {}
                    Next::Stop(fate) => self.carry_on(&id, &Input::Settle { enrollment, delivery, fate })?,
                    Next::Pause { .. } => unreachable!("only what may have been sent is paused"),
                }
            }
        }
        // what is decided afresh is decided by the same world, so that a second round changes nothing more;
        // should it not be so, it is looked at once more before it goes out
        let unsure = self.pushes.iter().map(|push| push.delivery.id()).collect();
        wanted.append(&mut self.pushes);
        self.pushes = wanted;
        Ok(unsure)
    }

    /// Notes which multicasts have somebody in them who should not get them any more since this turn.
    fn note_fallen(&mut self) -> Result<(), StoreError> {
        if !self.turns.outbox.has_multicasts() {
            return Ok(());
        }
        let mut carried = Vec::new();
        for loaded in self.files.values().filter(|loaded| loaded.dirty) {
            for run in loaded.file.iter().flat_map(|file| &file.enrollments) {
                let Standing::InFlight(flight) = &run.now else { continue };
                let Some(parcel) = self.turns.outbox.carrier(flight.delivery) else { continue };
                let own = parcel.deliveries.iter().find(|carried| carried.id == flight.delivery);
                if parcel.is_multicast() && !self.turns.outbox.is_surely_unsent(parcel.retry_key) {
                    carried.extend(own.map(|own| (parcel.retry_key, own.clone())));
                }
            }
        }
        for (key, carried) in carried {
            if let Next::Stop(_) = self.next_attempt(&carried, Earlier::Ambiguous)? {
                self.turns.outbox.fall(key, self.now, &mut self.batch);
            }
        }
        Ok(())
    }

    /// Takes back a push of this very turn to a LINE user that the member is no longer, if it is one.
    pub(super) fn take_back(&mut self, delivery: DeliveryId, user: &LineUserId) -> Option<Push> {
        let place = self
            .pushes
            .iter()
            .position(|push| push.delivery.id() == delivery && push.to.line_user() == Some(user))?;
        Some(self.pushes.remove(place))
    }

    /// Commits everything that has changed and gives the effects.
    fn finish(mut self) -> Result<Effects, StoreError> {
        let unsure = self.reconsider()?;
        self.note_fallen()?;
        for (id, row) in std::mem::take(&mut self.unknown) {
            match row {
                Some(row) => self.batch.put_unknown(id, &row),
                None => self.batch.delete_unknown(id),
            }
        }
        if let Some(paused) = self.turns.paused_to_note.take() {
            self.batch.put_meta(Meta::Paused, encode_ids(&paused));
        }
        let is_idle = self.batch.is_empty() && self.pushes.is_empty() && self.files.is_empty();
        if let Some(row) = self.turns.watch.renew(self.moment, is_idle) {
            self.batch.put_meta(Meta::Clock, encode_clock(&row));
        }
        for parcel in self.turns.outbox.queue(self.pushes, self.moment, &mut self.batch) {
            if parcel.deliveries.iter().any(|carried| unsure.contains(&carried.id)) {
                let at = self.now.saturating_add(UNTRIED_WAIT).unwrap_or(Timestamp::MAX);
                self.turns.outbox.wait(parcel.retry_key, at);
                continue;
            }
            self.effects.push(Effect::Attempt(parcel));
        }
        // in the order of ids, so that the same turn always writes the same batch
        let files: BTreeMap<MemberId, Loaded> = self.files.into_iter().collect();
        let mut moves = Vec::new();
        for (id, loaded) in files {
            let wake = loaded.file.as_ref().and_then(|file| file.wake);
            if loaded.dirty {
                match loaded.file {
                    Some(mut file) => {
                        let spilled = spill_journal(&mut file, &mut self.batch);
                        let encoded = match loaded.encoded {
                            Some(encoded) if !spilled => encoded,
                            _ => encode_member(&file),
                        };
                        self.batch.put_member(&id, encoded);
                    }
                    None => self.batch.delete_member(&id),
                }
                self.batch.move_due(&id, loaded.stored_wake, wake);
            }
            moves.push((id, loaded.stored_wake, wake));
        }
        for of in &self.counted {
            self.batch.put_counters(of, &self.turns.counters[of]);
        }
        let store = &self.turns.store;
        if !self.batch.is_empty()
            && let Err(error) = store.commit(&self.batch, Epoch::EMBEDDED)
            && !mutation::is(Mutation::FailedCommitIgnored)
        {
            return Err(error);
        }
        for (id, from, to) in moves {
            if from.is_some() || to.is_some() {
                self.turns.due.moved(&id, from, to, &**store)?;
            }
        }
        Ok(Effects(self.effects))
    }
}

fn first_word(reason: &str) -> &str {
    reason.split('(').next().unwrap_or(reason)
}

/// Moves older happenings out of a file that has many; true if it did.
fn spill_journal(file: &mut MemberFile, batch: &mut Batch) -> bool {
    if file.journal.len() <= limits::JOURNAL {
        return false;
    }
    let older: Vec<_> = file.journal.drain(..file.journal.len() - JOURNAL_KEPT).collect();
    for piece in older.chunks(limits::JOURNAL) {
        batch.put_history(&file.id, file.history_rows, piece);
        file.history_rows += 1;
    }
    true
}

#[cfg(test)]
mod tests;
