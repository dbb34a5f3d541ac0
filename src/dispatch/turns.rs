//! The protocol without threads: one [`Turns::take`] is load → decide → commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::due::DueQueue;
use super::outbox::{self, CUTOFF, Outbox};
use super::{Action, Answer, Attempted, Command, Happened, Hold, Parcel, Refused, Reply, Whom};
use crate::engine::flight::{Earlier, Fate, Next, before_attempt};
use crate::engine::{self, Context, Input, Push, Refusal, Sending, Taken, Verdict};
use crate::model::{Entries, LineUserId, MemberFile, MemberId, RetryKey, SLOTS, limits};
use crate::scenario::ScenarioSet;
use crate::store::{
    self, Batch, Counted, Counters, Epoch, Meta, Store, StoreError, SweepRow, decode_sweep, encode_member,
    encode_sweep,
};

/// Key operations that a command is taken to need: its member's file, and a move in the due index.
const OPS_PER_COMMAND: usize = 3;

/// The share of a turn that members who are due have, however many commands wait.
const DUE_SHARE: usize = 4;

/// Members looked at in one turn of a sweep.
const SWEEP_PAGE: usize = 50;

/// A sweep goes on in idle turns, and in one of so many where none is idle.
const SWEEP_EVERY: u64 = 8;

/// Happenings that stay in the member file when the older ones are moved into a history row.
const JOURNAL_KEPT: usize = 8;

/// How long a parcel waits before it is looked at again while sends are on hold.
const HELD_WAIT: SignedDuration = SignedDuration::from_mins(1);

/// Rounds in which pushes of one turn are looked at again.
const MAX_RECONSIDERED: usize = 4;

/// How long a parcel rests that was handed back without an attempt: couriers are busy or held.
const UNTRIED_WAIT: SignedDuration = SignedDuration::from_secs(1);

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
    Hold(Option<Hold>),
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
    store: Arc<dyn Store>,
    scenarios: Arc<ScenarioSet>,
    channel: Arc<str>,
    due: DueQueue,
    pub(super) outbox: Outbox,
    counters: CounterBook,
    salt: Vec<u8>,
    tombstones: u64,
    sweep: Option<SweepRow>,
    hold: Option<Hold>,
    /// The clean-up of message bodies that a crash left behind: where it stands.
    stray_bodies: Option<Option<[u8; 16]>>,
    /// True once the process is about to end: nothing new is queued.
    draining: bool,
    /// Turns taken.
    count: u64,
}

/// What a writer starts from beside its store.
#[derive(Clone, Debug)]
pub struct Opening {
    pub scenarios: Arc<ScenarioSet>,
    /// The channel that new enrollments are identified by.
    pub channel: Arc<str>,
    /// What ids of erased members are hashed with.
    pub salt: Vec<u8>,
    /// Why nothing may be sent at first.
    pub hold: Option<Hold>,
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
        let mut turns = Turns {
            store,
            scenarios: opening.scenarios,
            channel: opening.channel,
            due,
            outbox,
            counters,
            salt: opening.salt,
            tombstones,
            sweep: None,
            hold: opening.hold,
            stray_bodies: Some(None),
            draining: false,
            count: 0,
        };
        turns.sweep = match stored_sweep.transpose()? {
            Some(stored) if *stored.scenarios == *turns.scenarios.digest() => {
                (stored.slot < SLOTS).then_some(stored)
            }
            _ => Some(turns.new_sweep()),
        };
        Ok(turns)
    }

    fn new_sweep(&self) -> SweepRow {
        SweepRow { scenarios: (*self.scenarios.digest()).into(), slot: 0, after: None }
    }

    /// The soonest instant at which there is something to do without a command; none when there is
    /// nothing.
    pub fn wake(&self) -> Option<Timestamp> {
        if self.sweep.is_some() || self.stray_bodies.is_some() {
            return Some(Timestamp::MIN);
        }
        let due = if self.may_send() { self.due.head() } else { None };
        due.into_iter().chain(self.outbox.head()).min()
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

    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub fn counters(&self) -> &CounterBook {
        &self.counters
    }

    fn may_send(&self) -> bool {
        self.hold.is_none() && !self.outbox.is_full() && !self.draining
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
    pub fn take(&mut self, queue: &mut VecDeque<Command>, now: Timestamp) -> Result<Effects, StoreError> {
        let budget = (self.store.bounds().batch_ops / OPS_PER_COMMAND).max(1);
        let store = Arc::clone(&self.store);
        let any_due = self.may_send() && self.due.head().is_some_and(|head| head <= now);
        let for_commands = if any_due { budget - budget / DUE_SHARE } else { budget };

        let retries = self.outbox.take_waiting(now, for_commands);
        let count = queue.len().min(for_commands.saturating_sub(retries.len()));
        let commands: Vec<Command> = queue.drain(..count).collect();
        let room = budget.saturating_sub(retries.len() + commands.len());
        let due = if self.may_send() { self.due.take(now, room, &*store)? } else { Vec::new() };
        let idle = due.is_empty() && commands.is_empty() && retries.is_empty();

        self.count += 1;
        let mut work = Work::new(self, now);
        work.load_for(&commands, due.iter().map(|due| &due.member))?;
        for parcel in retries {
            work.retry(&parcel)?;
        }
        for command in commands {
            work.command(command)?;
        }
        for due in due {
            work.due(&due)?;
        }
        if idle || work.turns.count.is_multiple_of(SWEEP_EVERY) {
            work.sweep()?;
            work.clean_up()?;
        }
        work.finish()
    }
}

/// One turn in the making.
pub(super) struct Work<'a> {
    pub(super) turns: &'a mut Turns,
    now: Timestamp,
    files: HashMap<MemberId, Loaded>,
    batch: Batch,
    effects: Vec<Effect>,
    pushes: Vec<Push>,
    counted: BTreeSet<Counted>,
    /// What is kept of members erased in this very turn.
    erased: HashMap<MemberId, Vec<Entries>>,
}

/// A member's file in a turn.
pub(super) struct Loaded {
    pub(super) file: Option<MemberFile>,
    /// Where it stands in the due index of the store.
    stored_wake: Option<Timestamp>,
    dirty: bool,
    /// Its encoding, if nothing has changed since.
    encoded: Option<Vec<u8>>,
}

impl<'a> Work<'a> {
    fn new(turns: &'a mut Turns, now: Timestamp) -> Work<'a> {
        Work {
            turns,
            now,
            files: HashMap::new(),
            batch: Batch::default(),
            effects: Vec::new(),
            pushes: Vec::new(),
            counted: BTreeSet::new(),
            erased: HashMap::new(),
        }
    }

    /// Reads the files that commands and due members name, in one go.
    fn load_for<'b>(
        &mut self,
        commands: &'b [Command],
        due: impl Iterator<Item = &'b MemberId>,
    ) -> Result<(), StoreError> {
        let mut ids: Vec<MemberId> = due.cloned().collect();
        for command in commands {
            match &command.what {
                Action::Event { member: Whom::Member(id), .. }
                | Action::Change { member: id, .. }
                | Action::Erase { member: id } => ids.push(id.clone()),
                Action::Event { member: Whom::LineUser(user), .. } | Action::Line { user, .. } => {
                    ids.push(MemberId::provisional(user));
                }
                Action::Attempted { retry_key, .. } => {
                    ids.extend(self.turns.outbox.get(*retry_key).map(|parcel| parcel.member.clone()));
                }
                Action::Reload { .. }
                | Action::Hold(_)
                | Action::Quota { .. }
                | Action::Bind { .. }
                | Action::ExpireHistory { .. } => {}
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let files = store::load_members(&*self.turns.store, &ids)?;
        for (id, file) in ids.into_iter().zip(files) {
            self.insert(id, file);
        }
        Ok(())
    }

    fn insert(&mut self, id: MemberId, file: Option<MemberFile>) {
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
                self.change(&id, change, link)?
            }
            Action::Erase { member } => {
                let id = self.resolve(&member)?;
                self.erase(&id)?
            }
            Action::Attempted { retry_key, attempted } => {
                self.attempted(retry_key, attempted)?;
                Answer::Done
            }
            Action::Reload { scenarios, files } => {
                self.batch.put_scenario_files(&files);
                self.turns.scenarios = scenarios;
                let sweep = self.turns.new_sweep();
                self.batch.put_meta(Meta::Sweep, encode_sweep(&sweep));
                self.turns.sweep = Some(sweep);
                Answer::Done
            }
            Action::Hold(hold) => {
                self.hold(hold);
                Answer::Done
            }
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

    /// Takes something in for a member, who is created if unknown.
    pub(super) fn intake(&mut self, id: &MemberId, input: &Input) -> Result<Answer, StoreError> {
        let known = self.file(id)?.file.clone();
        let is_new = known.is_none();
        let mut file = match known {
            Some(file) => file,
            None => self.new_member(id)?,
        };
        let mut verdict = Verdict::default();
        let scenarios = Arc::clone(&self.turns.scenarios);
        let channel = Arc::clone(&self.turns.channel);
        let context = self.context(&scenarios, &channel);
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
        let scenarios = Arc::clone(&self.turns.scenarios);
        let channel = Arc::clone(&self.turns.channel);
        let context = self.context(&scenarios, &channel);
        engine::take(&mut file, input, &context, &mut verdict)
            .expect("only what comes from outside can be refused");
        self.put(id, file);
        self.absorb(id, verdict);
        Ok(())
    }

    fn new_member(&self, id: &MemberId) -> Result<MemberFile, StoreError> {
        let mut file = MemberFile::new(id.clone());
        let kept = match self.erased.get(id) {
            Some(entries) => Some(entries.clone()),
            None if self.turns.tombstones == 0 => None,
            None => store::load_tombstone(&*self.turns.store, &self.turns.salt, id)?,
        };
        file.entries = kept.unwrap_or_default();
        Ok(file)
    }

    fn context<'c>(&self, scenarios: &'c ScenarioSet, channel: &'c str) -> Context<'c> {
        let sending = if self.turns.may_send() { Sending::Open } else { Sending::Held };
        Context { now: self.now, scenarios, channel, sending }
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

    /// Looks at a parcel before its next attempt.
    fn retry(&mut self, parcel: &Arc<Parcel>) -> Result<(), StoreError> {
        let key = parcel.retry_key;
        let earlier = self.turns.outbox.earlier(key);
        let id = self.resolve(&parcel.member)?;
        let scenarios = Arc::clone(&self.turns.scenarios);
        let channel = Arc::clone(&self.turns.channel);
        let context = self.context(&scenarios, &channel);
        let file = self.file(&id)?.file.as_ref();
        let next = before_attempt(file, parcel.enrollment, key, &parcel.to, earlier, &context);
        let gone = |reason: &str| match earlier {
            Earlier::NotSent => Fate::Withdrawn(reason.into()),
            Earlier::Ambiguous => Fate::Unknown(reason.into()),
        };
        let is_over = self.now.duration_since(parcel.first_attempt_at) >= CUTOFF;
        match next {
            Next::Settled => self.turns.outbox.remove(key, &mut self.batch),
            Next::Stop(fate) => self.settle(parcel, &id, fate)?,
            _ if is_over => self.settle(parcel, &id, gone("window"))?,
            _ if !outbox::is_whole(parcel) => self.settle(parcel, &id, gone("bytes"))?,
            Next::Pause { until } => self.turns.outbox.wait(key, until.min(cutoff_of(parcel))),
            Next::Attempt if self.turns.hold.is_some() => {
                let until = self.now.saturating_add(HELD_WAIT).unwrap_or(Timestamp::MAX);
                self.turns.outbox.wait(key, until.min(cutoff_of(parcel)));
            }
            Next::Attempt => self.effects.push(Effect::Attempt(Arc::clone(parcel))),
        }
        Ok(())
    }

    fn attempted(&mut self, key: RetryKey, attempted: Attempted) -> Result<(), StoreError> {
        let Some(parcel) = self.turns.outbox.get(key) else { return Ok(()) };
        let fate = match attempted {
            Attempted::Accepted => Fate::Accepted,
            Attempted::Refused(reason) => Fate::Rejected(reason),
            Attempted::Ambiguous => {
                self.turns.outbox.failed(key, Earlier::Ambiguous, self.now);
                return Ok(());
            }
            Attempted::NotTried => {
                let at = self.now.saturating_add(UNTRIED_WAIT).unwrap_or(Timestamp::MAX);
                self.turns.outbox.wait(key, at);
                return Ok(());
            }
            Attempted::Throttled | Attempted::NotSent => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
                return Ok(());
            }
            Attempted::Unauthorized => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
                self.hold(Some(Hold::Token));
                return Ok(());
            }
            Attempted::OverQuota => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
                if self.turns.hold.is_none() {
                    self.hold(Some(Hold::Quota));
                    self.effects.push(Effect::ConfirmQuota);
                }
                return Ok(());
            }
        };
        let id = self.resolve(&parcel.member)?;
        self.settle(&parcel, &id, fate)
    }

    pub(super) fn settle(&mut self, parcel: &Parcel, id: &MemberId, fate: Fate) -> Result<(), StoreError> {
        self.turns.outbox.remove(parcel.retry_key, &mut self.batch);
        let (enrollment, retry_key) = (parcel.enrollment, parcel.retry_key);
        self.carry_on(id, &Input::Settle { enrollment, retry_key, fate })
    }

    fn hold(&mut self, hold: Option<Hold>) {
        if self.turns.hold != hold {
            self.turns.hold = hold;
            self.effects.push(Effect::Hold(hold));
        }
    }

    /// What LINE says of the quota ends a hold for it, or confirms it: then what was not sent goes back.
    fn quota(&mut self, limit: Option<u64>, used: u64) -> Result<(), StoreError> {
        if self.turns.hold != Some(Hold::Quota) {
            return Ok(());
        }
        if limit.is_none_or(|limit| used < limit) {
            self.hold(None);
            return Ok(());
        }
        for parcel in self.turns.outbox.unsent(self.turns.store.bounds().batch_ops / OPS_PER_COMMAND) {
            let id = self.resolve(&parcel.member)?;
            self.settle(&parcel, &id, Fate::Withdrawn("quota".into()))?;
        }
        Ok(())
    }

    fn erase(&mut self, id: &MemberId) -> Result<Answer, StoreError> {
        let Some(file) = self.file(id)?.file.clone() else {
            return Ok(Answer::Refused(Refused::NoSuchMember));
        };
        // rows that have expired are gone, and deleting them again costs little
        for number in 0..file.history_rows {
            self.batch.delete_history(id, number);
        }
        let mut ids = vec![id.clone()];
        if let Some(link) = &file.link {
            let stub = MemberId::provisional(&link.user);
            if stub != *id {
                if self.file(&stub)?.file.is_some() {
                    self.delete(&stub);
                }
                // the friend may come back before the member does
                ids.push(stub);
            }
        }
        if !file.entries.is_empty() {
            for id in ids {
                self.batch.put_tombstone(&self.turns.salt, &id, &file.entries);
                self.erased.insert(id, file.entries.clone());
                self.turns.tombstones += 1;
            }
            self.batch.put_number(Meta::Tombstones, self.turns.tombstones);
        }
        self.delete(id);
        Ok(Answer::Done)
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
            if !file.enrollments.is_empty() && !self.files.contains_key(&file.id) {
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
    fn reconsider(&mut self) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for _ in 0..MAX_RECONSIDERED {
            if self.pushes.is_empty() {
                break;
            }
            for push in std::mem::take(&mut self.pushes) {
                let id = self.resolve(&push.member)?;
                let scenarios = Arc::clone(&self.turns.scenarios);
                let channel = Arc::clone(&self.turns.channel);
                let context = self.context(&scenarios, &channel);
                let (enrollment, retry_key) = (push.delivery.enrollment, push.retry_key);
                let file = self.file(&id)?.file.as_ref();
                match before_attempt(file, enrollment, retry_key, &push.to, Earlier::NotSent, &context) {
                    Next::Attempt => wanted.push(push),
                    Next::Settled => {}
                    Next::Stop(fate) => self.carry_on(&id, &Input::Settle { enrollment, retry_key, fate })?,
                    Next::Pause { .. } => unreachable!("only what may have been sent is paused"),
                }
            }
        }
        // what is decided afresh is decided by the same world, so that a second round changes nothing more
        wanted.append(&mut self.pushes);
        self.pushes = wanted;
        Ok(())
    }

    /// Takes back a push of this very turn to a LINE user that the member is no longer, if it is one.
    pub(super) fn take_back(&mut self, key: RetryKey, user: &LineUserId) -> Option<Push> {
        let place = self.pushes.iter().position(|push| push.retry_key == key && push.to == *user)?;
        Some(self.pushes.remove(place))
    }

    /// Commits everything that has changed and gives the effects.
    fn finish(mut self) -> Result<Effects, StoreError> {
        self.reconsider()?;
        let now = self.now;
        for parcel in self.turns.outbox.queue(self.pushes, now, &mut self.batch) {
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
        if !self.batch.is_empty() {
            store.commit(&self.batch, Epoch::EMBEDDED)?;
        }
        for (id, from, to) in moves {
            if from.is_some() || to.is_some() {
                self.turns.due.moved(&id, from, to, &**store)?;
            }
        }
        Ok(Effects(self.effects))
    }
}

fn cutoff_of(parcel: &Parcel) -> Timestamp {
    parcel.first_attempt_at.saturating_add(CUTOFF).unwrap_or(Timestamp::MAX)
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
