//! Pure decisions: a member's file and what comes in, to a changed file and what is to be done.
//!
//! No clock, store, network, randomness or environment: `now` is an argument and the same inputs give
//! the same result. Every decision carries its reason as a [`Happening`].
//!
//! [`take`] handles whatever concerns one member. It ends by advancing every enrollment as far as it
//! goes at `now`, and by setting [`MemberFile::wake`] to the next instant that has something in it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    Attributes, Delivery, DeliveryId, Ended, Enrollment, EnrollmentId, Event, Flight, Friendship, Happening,
    MemberFile, MemberId, ScenarioId, Settled, Settlement, Standing, StepId, StepRecord, Target, What,
    limits,
};
use crate::mutation::{self, Mutation};
use crate::scenario::program::{EnrollmentScope, MemberScope, Messages, Names, Scope};
use crate::scenario::{Act, CapRule, Priority, Scenario, ScenarioSet, Step, message};

pub mod acts;
pub mod cap;
pub mod change;
mod date;
pub mod flight;
mod path;
pub mod plan;
pub mod quiet_hours;
mod rename;
pub mod schedule;
mod segment;
pub mod specimen;
pub mod suppression;
pub mod trigger;

use change::LinkChange;
pub use change::{Change, OptChange};
pub use flight::{Fate, Resolution};
use schedule::Slot;
use segment::Told;
pub use trigger::{Enroll, Refusal};

/// How long a step waits for one of another enrollment of the same member that is in flight.
pub const WAIT_FOR_OTHERS: SignedDuration = SignedDuration::from_mins(1);

/// How often one input may carry a member's runs on: a change that a step makes may plan another run.
const MAX_ROUNDS: usize = 4;

/// What decisions are made by, beside the member's file.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Timestamp,
    pub scenarios: &'a ScenarioSet,
    /// The bot's user id, or what stands for it: part of every enrollment's identity.
    pub channel: &'a str,
    pub sending: Sending,
    /// Whether requests to the operator's service may be queued.
    pub calling: Sending,
    /// When the store was restored from a backup, if it was: what was due up to then may have been sent
    /// by the daemon that the backup is of.
    pub restored_at: Option<Timestamp>,
    /// Scenarios that were removed while they were paused: their runs stand still.
    pub dormant: &'a BTreeSet<ScenarioId>,
    /// Whether `now` can be believed: nothing is ended or planned by a clock that may be wrong.
    pub clock: Trust,
}

/// Whether the clock can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Sure,
    Doubtful,
}

impl Context<'_> {
    fn is_dormant(&self, scenario: &ScenarioId) -> bool {
        self.dormant.contains(scenario)
    }
}

/// Whether deliveries may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    Open,
    /// Sends are on hold, or the outbox is full: what is due stays due.
    Held,
}

/// What comes in for one member.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Something the member did. A second one with the same id is a duplicate.
    Event(Event),
    /// What LINE's webhook told: the event, and what it says of the friendship.
    Line { event: Event, friendship: Option<Friendship> },
    /// Only what a webhook says of the friendship, where there is no room for what scenarios would do.
    Told { event: Event, friendship: Friendship },
    /// The shop's own knowledge of the member.
    Change(Change),
    /// Only what a member wants to get, where there is no room for what scenarios would do.
    Opt(OptChange),
    /// Somebody's wish that the member enters a scenario.
    Enroll(Enroll),
    /// A moment on the clock that a trigger of a scenario, by its index, names.
    Tick { scenario: ScenarioId, trigger: usize, at: Timestamp },
    /// The time has come, or the scenarios have changed.
    Due,
    /// What became of a delivery in flight.
    Settle { enrollment: EnrollmentId, delivery: DeliveryId, fate: Fate },
    /// What an operator says of a delivery whose fate is unknown.
    Resolve { delivery: Delivery, resolution: Resolution },
}

/// How an input was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Changed,
    /// An event that was handled before: nothing has changed.
    Duplicate,
}

/// What came of an input, beside the changed file.
#[derive(Debug, Default)]
pub struct Verdict {
    pub happenings: Vec<Happening>,
    pub pushes: Vec<Push>,
    /// Deliveries whose fate has become unknown.
    pub unknown: Vec<Unknown>,
    /// Runs that the event at hand has converted and that it is still to end.
    converted: Vec<usize>,
    /// How many runs steps have started while the input was taken.
    started: usize,
}

/// A delivery to be put into the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    pub member: MemberId,
    pub delivery: Delivery,
    pub scenario: ScenarioId,
    pub to: Target,
    /// The rendered message objects, a JSON array; of a request to the operator, its body.
    pub messages: String,
    pub silent: bool,
    pub due: Timestamp,
    /// True if it must not share a request with others.
    pub alone: bool,
}

/// A delivery that may or may not have been accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub delivery: Delivery,
    pub scenario: ScenarioId,
    /// The instant it was due.
    pub due: Timestamp,
    pub reason: Arc<str>,
}

/// Takes an input for the member and carries every enrollment as far as it goes at `now`.
///
/// # Errors
/// A [`Refusal`] leaves `file` in a state that must be thrown away.
pub fn take(
    file: &mut MemberFile,
    input: &Input,
    context: &Context<'_>,
    verdict: &mut Verdict,
) -> Result<Taken, Refusal> {
    let mut turn = Turn { file, context, verdict };
    turn.rename();
    let hears_changes = !context.scenarios.segmented().is_empty();
    let before = hears_changes.then(|| member_scope(turn.file));
    let taken = match input {
        Input::Event(event) => turn.event(event)?,
        Input::Line { event, friendship } => turn.line_event(event, *friendship)?,
        Input::Told { event, friendship } => {
            turn.befriend(*friendship, event.at);
            Taken::Changed
        }
        Input::Change(change) => turn.change(change)?,
        Input::Opt(opt) => {
            turn.opt(opt);
            Taken::Changed
        }
        Input::Enroll(wish) => turn.enroll_by_hand(wish)?,
        Input::Tick { scenario, trigger, at } => {
            turn.tick(scenario, *trigger, *at);
            Taken::Changed
        }
        Input::Due => Taken::Changed,
        Input::Settle { enrollment, delivery, fate } => {
            turn.settle(*enrollment, *delivery, fate);
            Taken::Changed
        }
        Input::Resolve { delivery, resolution } => {
            turn.resolve(delivery, *resolution)?;
            Taken::Changed
        }
    };
    if let Some(before) = before {
        let told = match input {
            Input::Change(Change { silent: true, .. }) => Told::Silent,
            _ => Told::Loud,
        };
        // what was true of the friend that the member turns out to be is no news
        let of_the_friend = match input {
            Input::Change(Change { link: Some(LinkChange::To { adopted: Some(friend), .. }), .. }) => {
                Some(member_scope(friend))
            }
            _ => None,
        };
        let before: Vec<_> = std::iter::once(before).chain(of_the_friend).collect();
        turn.member_changed(&before, told, context.now);
    }
    turn.advance();
    Ok(taken)
}

/// True if [`Input::Tick`] may change the member's file: the condition of the trigger holds.
pub fn would_tick(file: &MemberFile, id: &ScenarioId, trigger: usize, context: &Context<'_>) -> bool {
    let Some(scenario) = context.scenarios.get(id) else { return false };
    let Some(enter) = scenario.enter.get(trigger) else { return false };
    if file.merged_into.is_some() {
        return false;
    }
    let Some(condition) = enter.condition else { return true };
    let names = Names::new(Scope {
        member: member_scope(file),
        event: None,
        enrollment: None,
        anchor: None,
        now: context.now,
    });
    scenario.program.test(condition, &names).unwrap_or(false)
}

/// What a step is about to send.
struct Outgoing {
    to: Target,
    messages: String,
    silent: bool,
    due: Timestamp,
    alone: bool,
}

/// One input being taken.
struct Turn<'a> {
    file: &'a mut MemberFile,
    context: &'a Context<'a>,
    verdict: &'a mut Verdict,
}

/// What is to become of the next step of an enrollment.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// Nothing yet.
    Wait {
        until: Timestamp,
    },
    /// It is due, and moved to later.
    Defer {
        until: Timestamp,
        reason: DeferReason,
    },
    Skip {
        reason: SkipReason,
    },
    Push {
        due: Timestamp,
    },
    /// It sends nothing: carry it out.
    Do {
        due: Timestamp,
    },
    /// It is reached, and waits for an event until then.
    Await {
        until: Timestamp,
    },
    /// It may have been sent by a daemon that this one's store is an older copy of.
    Unknown {
        due: Timestamp,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// Outside the send window.
    Hours,
    /// A frequency cap lets no more out before.
    Cap,
}

impl DeferReason {
    fn word(&self) -> &'static str {
        match self {
            DeferReason::Hours => "hours",
            DeferReason::Cap => "cap",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its moment has passed by more than it may.
    Late,
    /// A later step of the enrollment is due as well.
    Superseded,
    /// Its condition is false.
    Condition,
    /// Its condition could not be told: `missing(member.plan)`, `error(…)`.
    Undecidable(String),
    /// No LINE user is linked to the member.
    Unlinked,
    /// The member has blocked the account.
    Blocked,
    /// The member wants no messages, or none of the scenario's topic.
    OptedOut,
    /// The run is kept for comparison.
    HeldOut,
    /// A frequency cap lets it out too late, or the scenario would not wait for it.
    Cap,
}

impl SkipReason {
    pub fn word(&self) -> &str {
        match self {
            SkipReason::Late => "late",
            SkipReason::Superseded => "superseded",
            SkipReason::Condition => "when",
            SkipReason::Undecidable(why) => why,
            SkipReason::Unlinked => "unlinked",
            SkipReason::Blocked => "blocked",
            SkipReason::OptedOut => "opted_out",
            SkipReason::HeldOut => "holdout",
            SkipReason::Cap => "cap",
        }
    }

    fn settlement(&self) -> Settlement {
        match self {
            SkipReason::Late | SkipReason::Superseded => Settlement::Late,
            _ => Settlement::Skipped,
        }
    }
}

impl Turn<'_> {
    /// Carries every enrollment as far as it goes and sets the member's wake.
    fn advance(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let before = (Arc::clone(&self.file.attributes), self.dated_runs());
            self.follow_dates();
            let known = self.file.enrollments.len();
            self.advance_all();
            // steps may start more runs, up to a bound of their own
            let mut index = known;
            while index < self.file.enrollments.len() {
                self.advance_enrollment(index);
                index += 1;
            }
            let now = self.context.now;
            self.file.enrollments.retain(|run| !is_over(run, now));
            // a step may have changed a date, and a run by a yearly date that is over leaves room for the next
            let is_settled = Arc::ptr_eq(&before.0, &self.file.attributes) && before.1 == self.dated_runs();
            if self.context.scenarios.dated().is_empty() || is_settled {
                break;
            }
        }
        let wakes = self.file.enrollments.iter().filter_map(|run| self.wake_of(run));
        self.file.wake = wakes.min().and_then(whole_ms);
    }

    /// Carries every run on, those of the most important scenarios first.
    fn advance_all(&mut self) {
        if let [_] = self.file.enrollments.as_slice() {
            self.advance_enrollment(0);
        } else {
            self.advance_by_priority();
        }
    }

    fn advance_by_priority(&mut self) {
        let priority = |run: &Enrollment| {
            self.context.scenarios.get(&run.scenario).map_or(Priority::Normal, |scenario| scenario.priority)
        };
        let mut order: Vec<(Priority, usize)> =
            self.file.enrollments.iter().enumerate().map(|(index, run)| (priority(run), index)).collect();
        order.sort_by_key(|(priority, index)| (Reverse(*priority), *index));
        for (_, index) in &order {
            self.advance_enrollment(*index);
        }
    }

    /// When there is next something to decide about a run; none while it stands still.
    fn wake_of(&self, run: &Enrollment) -> Option<Timestamp> {
        if !run.is_live() && to_resend(run).is_none() {
            return None;
        }
        let Standing::Waiting { until } = run.now else { return None };
        match self.context.scenarios.get(&run.scenario) {
            // the end of a scenario ends what lives; what an operator wants sent again is looked at in its time
            Some(scenario) => {
                let is_ended_by_it = run.is_live() && self.context.clock == Trust::Sure;
                let ends = scenario.ends.filter(|_| is_ended_by_it);
                if scenario.paused { ends } else { Some(ends.map_or(until, |ends| until.min(ends))) }
            }
            None if self.context.is_dormant(&run.scenario) => None,
            None => Some(until),
        }
    }

    fn advance_enrollment(&mut self, index: usize) {
        let id = self.file.enrollments[index].scenario.clone();
        let Some(scenario) = self.context.scenarios.get(&id).cloned() else {
            if self.context.is_dormant(&id) {
                return;
            }
            self.exit(index, "removed");
            return self.forget_resends(index, "removed");
        };
        if self.context.clock == Trust::Sure
            && scenario.ends.is_some_and(|ends| ends <= self.context.now)
            && !mutation::is(Mutation::EndsIgnored)
        {
            self.exit(index, "ended");
            return self.forget_resends(index, "ended");
        }
        if scenario.paused && !mutation::is(Mutation::PausedSends) {
            return;
        }
        // every round settles a step, so the number of steps bounds the rounds
        while self.file.enrollments[index].now.is_waiting() {
            let run = &self.file.enrollments[index];
            let reached_at = run.reached_at;
            let step = match run.ended {
                None => match path::next_step(&scenario, run) {
                    Some(step) => step,
                    None => return self.complete(&scenario, index),
                },
                // what an edit put behind the last step is not for a run that has ended
                Some(_) => match to_resend(run).and_then(|step| scenario.step(step)) {
                    Some(step) => step,
                    None => return self.forget_resends(index, "removed"),
                },
            };
            match self.decide(&scenario, index, step) {
                Decision::Wait { until } => {
                    self.file.enrollments[index].now = Standing::Waiting { until };
                    return;
                }
                Decision::Defer { until, reason } => {
                    let waiting = Standing::Waiting { until };
                    if self.file.enrollments[index].now != waiting {
                        self.note_step(index, &step.id, What::Deferred, Some(reason.word()), Some(until));
                        self.file.enrollments[index].now = waiting;
                    }
                    return;
                }
                Decision::Skip { reason } => {
                    // one that had been queued and was taken back has run out of time, not of luck
                    let was_queued = record(&self.file.enrollments[index], &step.id)
                        .is_some_and(|record| record.generation > 0);
                    let (what, settlement) = match reason.settlement() {
                        Settlement::Late if was_queued => (What::Expired, Settlement::Expired),
                        settlement => (What::Skipped, settlement),
                    };
                    let due = schedule::slot(&scenario, step, &self.file.enrollments[index]).due;
                    self.note_step(index, &step.id, what, Some(reason.word()), None);
                    self.settle_step(index, &step.id, settlement);
                    self.go_on_from(index, due.max(reached_at));
                }
                Decision::Unknown { due } => {
                    self.renew_identity(index, &step.id);
                    let delivery = self.delivery_of(index, &step.id);
                    self.note_unknown(index, delivery, due, "restored");
                    // the member may have got it when it was due
                    cap::count(self.file, self.context.scenarios.caps(), due, self.context.now);
                    self.settle_step(index, &step.id, Settlement::Unknown);
                    self.go_on_from(index, due.max(reached_at));
                }
                Decision::Await { until } => {
                    record_mut(&mut self.file.enrollments[index], &step.id);
                    self.file.enrollments[index].now = Standing::Waiting { until };
                    return;
                }
                Decision::Do { due } => {
                    self.carry_out(&scenario, index, step, due);
                    self.go_on_from(index, due.max(reached_at));
                }
                Decision::Push { due } => {
                    let messages = step.messages().expect("only messages are pushed");
                    if let Err(reason) = self.push(&scenario, index, step, messages, due) {
                        self.note_step(index, &step.id, What::Rejected, Some(&reason), None);
                        self.settle_step(index, &step.id, Settlement::Rejected);
                    }
                }
            }
        }
    }

    /// What is to become of `step`, the next one of an enrollment, at this instant.
    fn decide(&self, scenario: &Scenario, index: usize, step: &Step) -> Decision {
        let now = self.context.now;
        let run = &self.file.enrollments[index];
        let slot = schedule::slot(scenario, step, run);
        if now < slot.look_at {
            return Decision::Wait { until: slot.look_at };
        }
        let Act::Push(_) = step.act else { return self.decide_to_do(scenario, run, step, &slot) };
        if self.context.restored_at.is_some_and(|restored_at| slot.due <= restored_at) {
            return match self.unwanted(scenario, run, step) {
                Some(reason) => Decision::Skip { reason },
                None => Decision::Unknown { due: slot.due },
            };
        }
        if self.context.sending == Sending::Held {
            // nothing is decided by a clock or a world that may be another once sends are open again
            return Decision::Wait { until: slot.due };
        }
        let goes_out = schedule::window(scenario, step).open_from(now);
        if slot.is_late(goes_out) {
            return Decision::Skip { reason: SkipReason::Late };
        }
        if now.duration_since(slot.due) > scenario.grace && self.is_superseded(scenario, run, step) {
            return Decision::Skip { reason: SkipReason::Superseded };
        }
        if goes_out > now {
            return Decision::Defer { until: goes_out, reason: DeferReason::Hours };
        }
        if let Some(reason) = self.unwanted(scenario, run, step) {
            return Decision::Skip { reason };
        }
        if let Some(decision) = self.capped(scenario, run, step, &slot) {
            return decision;
        }
        match self.others_in_flight(index, slot.due) {
            Some(until) if now < until && scenario.priority != Priority::High => Decision::Wait { until },
            _ => Decision::Push { due: slot.due },
        }
    }

    /// What a frequency cap makes of a message that would go out now; none if it lets it out.
    fn capped(&self, scenario: &Scenario, run: &Enrollment, step: &Step, slot: &Slot) -> Option<Decision> {
        let now = self.context.now;
        if scenario.caps == CapRule::Exempt || mutation::is(Mutation::CapsIgnored) {
            return None;
        }
        let allowed = cap::allowed_at(self.file, run.id, self.context.scenarios.caps(), now);
        if allowed <= now {
            return None;
        }
        let goes_out = schedule::window(scenario, step).open_from(allowed);
        Some(match scenario.caps {
            CapRule::Defer if !slot.is_late(goes_out) => {
                Decision::Defer { until: goes_out, reason: DeferReason::Cap }
            }
            _ => Decision::Skip { reason: SkipReason::Cap },
        })
    }

    /// What is to become of a step that sends nothing and whose moment has come.
    fn decide_to_do(&self, scenario: &Scenario, run: &Enrollment, step: &Step, slot: &Slot) -> Decision {
        let now = self.context.now;
        let is_old = self.context.restored_at.is_some_and(|restored_at| slot.due <= restored_at);
        if self.context.sending == Sending::Held && !is_old {
            return Decision::Wait { until: slot.due };
        }
        let may_be_done = schedule::window(scenario, step).open_from(now);
        let has_begun = record(run, &step.id).is_some();
        if let Act::WaitFor(awaited) = &step.act
            && has_begun
        {
            let until = acts::deadline(scenario, step, run, awaited);
            return if now < until { Decision::Await { until } } else { Decision::Do { due: until } };
        }
        if slot.is_late(may_be_done) {
            return Decision::Skip { reason: SkipReason::Late };
        }
        if may_be_done > now {
            return Decision::Defer { until: may_be_done, reason: DeferReason::Hours };
        }
        if let Err(reason) = self.condition(scenario, run, step) {
            return Decision::Skip { reason };
        }
        match &step.act {
            Act::Call(_) if self.context.calling == Sending::Held => {
                let until = now.checked_add(WAIT_FOR_OTHERS).unwrap_or(Timestamp::MAX);
                Decision::Wait { until }
            }
            Act::WaitFor(awaited) => {
                let until = acts::deadline(scenario, step, run, awaited);
                if now < until { Decision::Await { until } } else { Decision::Do { due: until } }
            }
            _ => Decision::Do { due: slot.due },
        }
    }

    /// Why a step must not go to the member at all; none if it may.
    fn unwanted(&self, scenario: &Scenario, run: &Enrollment, step: &Step) -> Option<SkipReason> {
        if run.held_out && !mutation::is(Mutation::HoldoutIgnored) {
            return Some(SkipReason::HeldOut);
        }
        suppression::suppression(self.file, scenario.topic.as_deref())
            .or_else(|| self.condition(scenario, run, step).err())
    }

    /// True if a later step, due by its own time, would go out now in place of `step`.
    fn is_superseded(&self, scenario: &Scenario, run: &Enrollment, step: &Step) -> bool {
        let later = scenario.steps.iter().skip_while(|s| s.id != step.id).skip(1);
        let competes = |s: &&Step| {
            schedule::has_own_time(&s.timing)
                && s.messages().is_some()
                && is_open(run, &s.id)
                && path::reach(scenario, run, s) == path::Reach::On
        };
        later.filter(competes).any(|later| {
            let slot = schedule::slot(scenario, later, run);
            slot.due <= self.context.now
                && !slot.is_late(self.context.now)
                && self.condition(scenario, run, later).is_ok()
        })
    }

    fn condition(&self, scenario: &Scenario, run: &Enrollment, step: &Step) -> Result<(), SkipReason> {
        let Some(condition) = step.condition else { return Ok(()) };
        match scenario.program.test(condition, &self.names_of(run, &run.event)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SkipReason::Condition),
            Err(failure) => Err(SkipReason::Undecidable(failure.to_string())),
        }
    }

    /// The instant until which a step waits for a delivery of another enrollment, if one is in flight.
    fn others_in_flight(&self, index: usize, due: Timestamp) -> Option<Timestamp> {
        let flights = self.file.enrollments.iter().enumerate().filter(|(other, _)| *other != index);
        let since = flights
            .filter_map(|(_, run)| match &run.now {
                Standing::InFlight(flight) if !flight.is_call => Some(flight.since),
                _ => None,
            })
            .min()?;
        Some(since.max(due).saturating_add(WAIT_FOR_OTHERS).unwrap_or(Timestamp::MAX))
    }

    /// Renders a step and puts it in flight.
    ///
    /// # Errors
    /// Why it cannot be rendered.
    fn push(
        &mut self,
        scenario: &Scenario,
        index: usize,
        step: &Step,
        written: &Messages,
        due: Timestamp,
    ) -> Result<(), String> {
        let run = &self.file.enrollments[index];
        let messages = rendered(scenario, written, || self.names_of(run, &run.event))?;
        let to = self.file.link.as_ref().expect("an unlinked member's step is skipped").user.clone();
        let alone = record_mut(&mut self.file.enrollments[index], &step.id).alone;
        let to = Target::LineUser(to);
        self.put_in_flight(
            scenario,
            index,
            step,
            Outgoing { to, messages, silent: written.silent, due, alone },
        );
        Ok(())
    }

    /// Queues what a step sends, under an identity of its own.
    fn put_in_flight(&mut self, scenario: &Scenario, index: usize, step: &Step, outgoing: Outgoing) {
        let Outgoing { to, messages, silent, due, alone } = outgoing;
        // a call that the daemon before may have made is known by the key that it was made under
        let is_old_call = to.line_user().is_none()
            && self.context.restored_at.is_some_and(|restored_at| due <= restored_at);
        if !is_old_call {
            self.renew_identity(index, &step.id);
        }
        // a step that has a record is found again by it, whatever else is decided meanwhile
        record_mut(&mut self.file.enrollments[index], &step.id);
        let delivery = self.delivery_of(index, &step.id);
        let run = &mut self.file.enrollments[index];
        run.now = Standing::InFlight(Flight {
            step: step.id.clone(),
            delivery: delivery.id(),
            revision: delivery.revision,
            since: self.context.now,
            due,
            anchor: run.anchor,
            is_call: to.line_user().is_none(),
        });
        self.verdict.pushes.push(Push {
            member: self.file.id.clone(),
            delivery,
            scenario: scenario.id.clone(),
            to,
            messages,
            silent,
            due,
            alone,
        });
    }

    /// The delivery that a step of a run is now.
    fn delivery_of(&self, index: usize, step: &StepId) -> Delivery {
        let run = &self.file.enrollments[index];
        let (revision, generation) =
            record(run, step).map_or((0, 0), |record| (record.revision, record.generation));
        Delivery { enrollment: run.id, step: step.clone(), revision, generation }
    }

    /// Tells that nobody can say any more whether a delivery was accepted.
    fn note_unknown(&mut self, index: usize, delivery: Delivery, due: Timestamp, reason: &str) {
        self.note_step(index, &delivery.step, What::Unknown, Some(reason), Some(due));
        let scenario = self.file.enrollments[index].scenario.clone();
        self.verdict.unknown.push(Unknown { delivery, scenario, due, reason: reason.into() });
    }

    /// Closes steps of a completed run that were to be sent again and that nothing sends any more.
    fn forget_resends(&mut self, index: usize, reason: &str) {
        while let Some(step) = to_resend(&self.file.enrollments[index]).cloned() {
            if !self.file.enrollments[index].now.is_waiting() {
                return;
            }
            self.note_step(index, &step, What::Expired, Some(reason), None);
            self.settle_step(index, &step, Settlement::Expired);
        }
    }

    /// Closes a step and lets the enrollment move on.
    fn settle_step(&mut self, index: usize, step: &StepId, how: Settlement) {
        let now = self.context.now;
        let run = &mut self.file.enrollments[index];
        let record = record_mut(run, step);
        record.settled = Some(Settled { at: now, how });
        let was_resent = record.resent_at.take().is_some();
        if matches!(&run.now, Standing::InFlight(flight) if flight.step != *step) {
            // an answer to a message that LINE has yet to acknowledge: the run goes on from that message
            return;
        }
        run.reached_at = match how {
            // what follows was planned when it became unknown, and stands
            _ if was_resent => run.reached_at,
            // what is passed over before the entry itself brings nothing after it forward
            Settlement::Late | Settlement::Skipped => run.reached_at.max(now),
            _ => now,
        };
        run.now = Standing::Waiting { until: now };
    }

    /// Counts the steps after one that was due and reached before a restore from that moment: the daemon
    /// before may have gone on from there.
    fn go_on_from(&mut self, index: usize, moment: Timestamp) {
        if self.context.restored_at.is_some_and(|restored_at| moment <= restored_at) {
            self.file.enrollments[index].reached_at = moment;
        }
    }

    fn complete(&mut self, scenario: &Scenario, index: usize) {
        let run = &mut self.file.enrollments[index];
        run.ended = Some(Ended::Completed);
        let converts_until = (scenario.goal.iter())
            .filter_map(|goal| goal.within.as_ref())
            .map(|within| schedule::shift(run.entered_at, within, &scenario.zone));
        let moves_until = (scenario.anchor.is_some() && !scenario.update.is_empty()).then_some(run.anchor);
        run.kept_until = converts_until.chain(moves_until).max().filter(|until| *until > self.context.now);
        let run = &self.file.enrollments[index];
        let sent = run
            .steps
            .iter()
            .any(|r| r.revision > 0 || r.settled.is_some_and(|settled| settled.how == Settlement::Accepted));
        // an arm without messages is meant to send none
        let should_send = run.steps.iter().any(|r| {
            r.settled.is_some_and(|settled| settled.how != Settlement::Done)
                && scenario.step(&r.step).is_none_or(|step| step.messages().is_some())
        });
        let reason = match run.held_out {
            true => Some("holdout"),
            false => (!sent && should_send).then_some("nothing_sent"),
        };
        self.keep_at_most(limits::KEPT_RUNS);
        self.note(index, What::Completed, reason, None);
    }

    /// Lets go of completed runs that were kept, the oldest first, until no more than so many are left.
    fn keep_at_most(&mut self, count: usize) {
        let now = self.context.now;
        let mut kept: Vec<(Timestamp, usize)> = (self.file.enrollments.iter().enumerate())
            .filter(|(_, run)| run.is_kept(now))
            .map(|(index, run)| (run.entered_at, index))
            .collect();
        kept.sort_unstable();
        for (_, index) in &kept[..kept.len().saturating_sub(count)] {
            self.file.enrollments[*index].kept_until = None;
        }
    }

    /// Ends an enrollment; one with a delivery in flight is kept until that is settled. One that was
    /// completed can no longer convert or be taken up again.
    fn exit(&mut self, index: usize, reason: &str) {
        self.file.enrollments[index].kept_until = None;
        if self.file.enrollments[index].is_live() {
            self.file.enrollments[index].ended = Some(Ended::Exited);
            self.note(index, What::Exited, Some(reason), None);
        }
    }

    fn note(&mut self, index: usize, what: What, reason: Option<&str>, until: Option<Timestamp>) {
        let scenario = Some(self.file.enrollments[index].scenario.clone());
        self.record(Happening {
            at: self.context.now,
            what,
            scenario,
            step: None,
            reason: reason.map(Arc::from),
            until,
            cause: None,
        });
    }

    fn note_step(
        &mut self,
        index: usize,
        step: &StepId,
        what: What,
        reason: Option<&str>,
        until: Option<Timestamp>,
    ) {
        let scenario = Some(self.file.enrollments[index].scenario.clone());
        self.record(Happening {
            at: self.context.now,
            what,
            scenario,
            step: Some(step.clone()),
            reason: reason.map(Arc::from),
            until,
            cause: None,
        });
    }

    fn record(&mut self, mut happening: Happening) {
        if let Some(reason) = &happening.reason
            && reason.len() > limits::REASON_BYTES
        {
            let end = (0..=limits::REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
            happening.reason = Some(reason[..end].into());
        }
        self.file.journal.push(happening.clone());
        self.verdict.happenings.push(happening);
    }

    /// The names for something about an enrollment: a step with the enrollment's own event, a rule with
    /// the event at hand.
    fn names_of(&self, run: &Enrollment, event: &Arc<Attributes>) -> Names {
        Names::new(Scope {
            member: member_scope(self.file),
            event: Some(Arc::clone(event)),
            enrollment: Some(EnrollmentScope {
                id: run.id,
                key: run.key.clone(),
                entered_at: run.entered_at,
            }),
            anchor: Some(run.anchor),
            now: self.context.now,
        })
    }
}

/// The message objects of a step as a JSON array, within LINE's limits.
///
/// # Errors
/// Why they cannot be made: `render(…)`.
fn rendered(
    scenario: &Scenario,
    written: &Messages,
    names: impl FnOnce() -> Names,
) -> Result<String, String> {
    if let Some(messages) = written.as_literal() {
        return Ok(messages.to_owned());
    }
    let messages =
        scenario.program.render(written, &names()).map_err(|failure| format!("render({failure})"))?;
    message::check_rendered_json(&messages).map_err(|why| format!("render({why})"))?;
    Ok(messages)
}

/// The values under `member` in expressions.
fn member_scope(file: &MemberFile) -> Arc<MemberScope> {
    Arc::new(MemberScope {
        id: file.id.clone(),
        attributes: Arc::clone(&file.attributes),
        tags: Arc::clone(&file.tags),
        // a friend who is not linked yet is reachable, but is nobody the shop knows
        linked: file.link.is_some() && file.id.as_provisional().is_none(),
        friend: file.link.as_ref().is_some_and(|link| link.friendship == Friendship::Friend),
    })
}

impl Standing {
    fn is_waiting(&self) -> bool {
        matches!(self, Standing::Waiting { .. })
    }
}

/// Cuts an instant to the milliseconds that are stored, so that what is in memory equals what is read.
fn whole_ms(instant: Timestamp) -> Option<Timestamp> {
    Timestamp::from_millisecond(instant.as_millisecond()).ok()
}

/// True for an enrollment that has ended, has nothing in flight, leaves no question open and nothing to
/// come.
fn is_over(run: &Enrollment, now: Timestamp) -> bool {
    let is_open = |record: &StepRecord| match record.settled {
        Some(settled) => settled.how == Settlement::Unknown,
        None => record.resent_at.is_some() && run.ended == Some(Ended::Completed),
    };
    !run.is_live() && run.now.is_waiting() && !run.is_kept(now) && !run.steps.iter().any(is_open)
}

/// The step of a completed run that an operator wants sent again.
fn to_resend(run: &Enrollment) -> Option<&StepId> {
    let asked = |record: &&StepRecord| record.settled.is_none() && record.resent_at.is_some();
    let record = run.steps.iter().find(asked)?;
    (run.ended == Some(Ended::Completed)).then_some(&record.step)
}

fn record<'a>(run: &'a Enrollment, step: &StepId) -> Option<&'a StepRecord> {
    run.steps.iter().find(|record| record.step == *step)
}

fn record_mut<'a>(run: &'a mut Enrollment, step: &StepId) -> &'a mut StepRecord {
    let index = match run.steps.iter().position(|record| record.step == *step) {
        Some(index) => index,
        None => {
            run.steps.push(StepRecord::new(step.clone()));
            run.steps.len() - 1
        }
    };
    &mut run.steps[index]
}

fn is_open(run: &Enrollment, step: &StepId) -> bool {
    record(run, step).is_none_or(|record| record.settled.is_none())
}
