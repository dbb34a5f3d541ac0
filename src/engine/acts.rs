//! What steps do beside sending: they change the member, start and end runs, and choose arms.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::change::merge;
use super::segment::Told;
use super::trigger::Cause;
use super::{Outgoing, Turn, path, record, record_mut, schedule};
use crate::model::{
    ArmPlace, Attributes, Enrollment, Event, MemberFile, MemberId, ScenarioId, Settlement, Standing, StepId,
    Target, What, limits,
};
use crate::scenario::program::Names;
use crate::scenario::{Act, Call, Scenario, Set, Started, Step, WaitFor};

/// Runs that steps may start while one input is taken: a circle of changes and runs ends here. One of
/// `enter` steps alone is refused when it is loaded.
pub const MAX_STARTED: usize = 20;

impl Turn<'_> {
    /// Carries out a step that sends nothing, and settles it.
    pub(super) fn carry_out(&mut self, scenario: &Scenario, index: usize, step: &Step, due: Timestamp) {
        let arm = match &step.act {
            Act::Push(_) => unreachable!("messages are put into the outbox"),
            Act::Set(set) => {
                let outcome = self.set(scenario, index, set, due);
                return self.done(index, &step.id, outcome, None);
            }
            Act::Call(call) => {
                if let Err(why) = self.call(scenario, index, step, call, due) {
                    self.done(index, &step.id, Err(why), None);
                }
                return;
            }
            Act::Enter(started) => {
                let data = self.data_for(scenario, index, started);
                self.done(index, &step.id, data.clone().map(drop), None);
                if let Ok(data) = data {
                    self.start(&scenario.id, &started.scenario, &data, due);
                }
                return;
            }
            Act::Exit => {
                self.done(index, &step.id, Ok(()), None);
                return self.exit(index, "step");
            }
            Act::Branch(conditions) => {
                let run = &self.file.enrollments[index];
                let names = self.names_of(run, &run.event);
                conditions.iter().position(|condition| {
                    condition
                        .is_none_or(|condition| scenario.program.test(condition, &names).unwrap_or(false))
                })
            }
            Act::Split(weights) => Some(share(weights, scenario, step, &self.file.id)),
            // its time is over, or it would not have come here
            Act::WaitFor(_) => return self.take_arm(scenario, index, step, Some(1), Some("timed_out")),
        };
        self.take_arm(scenario, index, step, arm, None);
    }

    /// Settles a container by the arm that is taken; none where no arm is.
    fn take_arm(
        &mut self,
        scenario: &Scenario,
        index: usize,
        step: &Step,
        arm: Option<usize>,
        reason: Option<&str>,
    ) {
        let first =
            arm.and_then(|arm| step.arms.get(arm)).and_then(|steps| scenario.steps[steps.clone()].first());
        let took = first.map(|first| first.id.clone());
        let took_word = took.as_ref().map_or_else(|| "none".to_owned(), |first| format!("took({first})"));
        let reason = reason.unwrap_or(&took_word);
        let record = record_mut(&mut self.file.enrollments[index], &step.id);
        let place =
            arm.and_then(|arm| Some((u16::try_from(arm).ok()?, u16::try_from(step.arms.len()).ok()?)));
        (record.took, record.arm) = (took, place.map(|(index, of)| ArmPlace { index, of }));
        self.done(index, &step.id, Ok(()), Some(reason));
    }

    fn done(&mut self, index: usize, step: &StepId, outcome: Result<(), String>, reason: Option<&str>) {
        match outcome {
            Ok(()) => {
                self.note_step(index, step, What::Done, reason, None);
                self.settle_step(index, step, Settlement::Done);
            }
            Err(why) => {
                self.note_step(index, step, What::Rejected, Some(&why), None);
                self.settle_step(index, step, Settlement::Rejected);
            }
        }
    }

    /// Changes attributes and tags.
    ///
    /// # Errors
    /// Why it cannot; nothing has changed.
    fn set(&mut self, scenario: &Scenario, index: usize, set: &Set, due: Timestamp) -> Result<(), String> {
        let run = &self.file.enrollments[index];
        let patch = match &set.attributes {
            Some(document) => object(scenario, document, &self.names_of(run, &run.event))?,
            None => Attributes::new(),
        };
        let scope = super::member_scope(self.file);
        let before = (Arc::clone(&self.file.attributes), Arc::clone(&self.file.tags));
        merge(Arc::make_mut(&mut self.file.attributes), &patch);
        let tags = Arc::make_mut(&mut self.file.tags);
        tags.extend(set.add_tags.iter().cloned());
        for tag in &set.remove_tags {
            tags.remove(tag);
        }
        if self.attributes_bytes() > limits::ATTRIBUTES_BYTES {
            (self.file.attributes, self.file.tags) = before;
            return Err(format!("bound(attributes and tags over {} bytes)", limits::ATTRIBUTES_BYTES));
        }
        let runs = self.file.enrollments.len();
        let told = if self.verdict.started >= MAX_STARTED { Told::InACircle } else { Told::Loud };
        self.member_changed(&[scope], told, self.instant_of(due));
        self.verdict.started += self.file.enrollments.len() - runs;
        Ok(())
    }

    /// Queues a request to the operator's service.
    ///
    /// # Errors
    /// Why its body cannot be told.
    fn call(
        &mut self,
        scenario: &Scenario,
        index: usize,
        step: &Step,
        call: &Call,
        due: Timestamp,
    ) -> Result<(), String> {
        let run = &self.file.enrollments[index];
        let messages = match &call.body {
            Some(document) => {
                let names = self.names_of(run, &run.event);
                scenario.program.fill_in(document, &names).map_err(|failure| failure.to_string())?
            }
            None => serde_json::json!({
                "scenario": scenario.id.as_str(),
                "step": step.id.as_str(),
                "member": self.file.id.as_str(),
                "enrollment": run.id.to_string(),
                "key": run.key.as_deref(),
                "event": &*run.event,
                "at": self.context.now.to_string(),
            })
            .to_string(),
        };
        if messages.len() > limits::CALL_BYTES {
            return Err(format!("bound(the body is over {} bytes)", limits::CALL_BYTES));
        }
        let to = Target::Url(Arc::clone(&call.url));
        self.put_in_flight(scenario, index, step, Outgoing { to, messages, silent: false, due, alone: true });
        Ok(())
    }

    /// The event of a run that a step starts.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn data_for(
        &self,
        scenario: &Scenario,
        index: usize,
        started: &Started,
    ) -> Result<Arc<Attributes>, String> {
        let run = &self.file.enrollments[index];
        match &started.data {
            Some(document) => object(scenario, document, &self.names_of(run, &run.event)).map(Arc::new),
            None => Ok(Arc::clone(&run.event)),
        }
    }

    /// Starts another scenario, if its own rules let it.
    fn start(&mut self, by: &ScenarioId, id: &ScenarioId, data: &Arc<Attributes>, due: Timestamp) {
        let Some(target) = self.context.scenarios.get(id).cloned() else { return };
        self.verdict.started += 1;
        if self.verdict.started > MAX_STARTED {
            return self.not_enrolled(&target, "too_many_at_once");
        }
        match self.start_run(&target, Cause::Step(by), None, self.instant_of(due), data) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.not_enrolled(&target, &reason),
            Err(_) => self.not_enrolled(&target, "no_room"),
        }
    }

    /// When what a step brings about begins: now; for one that was due before a restore, then, so that what
    /// the daemon before may have sent of it is not sent again.
    fn instant_of(&self, due: Timestamp) -> Timestamp {
        match self.context.restored_at {
            Some(restored_at) if due <= restored_at => due,
            _ => self.context.now,
        }
    }

    /// Lets runs that wait for this event go on.
    pub(super) fn hear(&mut self, scenario: &Scenario, event: &Event, data: &Arc<Attributes>) {
        for index in 0..self.file.enrollments.len() {
            let run = &self.file.enrollments[index];
            if run.scenario != scenario.id || !run.is_live() {
                continue;
            }
            let Some(step) = awaiting(scenario, run, self.context.now) else { continue };
            let Act::WaitFor(awaited) = &step.act else { continue };
            if awaited.on != event.name {
                continue;
            }
            // it may be due at this very instant, and nobody has asked yet whether it is to be passed over
            let has_begun = record(run, &step.id).is_some() || !run.now.is_waiting();
            let is_passed_over = || {
                schedule::slot(scenario, step, run).is_late(self.context.now)
                    || self.condition(scenario, run, step).is_err()
            };
            if !has_begun && is_passed_over() {
                continue;
            }
            if self.is_awaited(scenario, run, step, awaited, event, data) {
                self.take_arm(scenario, index, step, Some(0), Some("came"));
            }
        }
    }

    fn is_awaited(
        &self,
        scenario: &Scenario,
        run: &Enrollment,
        step: &Step,
        awaited: &WaitFor,
        event: &Event,
        data: &Arc<Attributes>,
    ) -> bool {
        let names = self.names_of(run, data);
        let is_meant = awaited.key.is_none_or(|key| {
            scenario.program.text(key, &names).is_ok_and(|key| run.key.as_deref() == Some(&*key))
        });
        let holds = |condition| scenario.program.test(condition, &names).unwrap_or(false);
        let in_time = !run.now.is_waiting() || event.at < deadline(scenario, step, run, awaited);
        is_meant && in_time && awaited.condition.is_none_or(holds)
    }
}

/// The step at which a run waits for an event at `now`. One that follows at once on a message in flight
/// waits already: the member may answer before LINE's own answer is here.
fn awaiting<'a>(scenario: &'a Scenario, run: &Enrollment, now: Timestamp) -> Option<&'a Step> {
    let is_wait = |step: &&Step| matches!(step.act, Act::WaitFor(_));
    match &run.now {
        Standing::Waiting { .. } => path::next_step(scenario, run)
            .filter(is_wait)
            .filter(|step| schedule::slot(scenario, step, run).due <= now),
        Standing::InFlight(flight) => path::step_behind(scenario, run, &flight.step)
            .filter(is_wait)
            .filter(|step| step.condition.is_none() && step.timing == crate::scenario::Timing::AtOnce),
    }
}

/// Until when a run waits at a step that it has reached: by its own moment, or later by the step before.
pub(super) fn deadline(scenario: &Scenario, step: &Step, run: &Enrollment, awaited: &WaitFor) -> Timestamp {
    // a step that was reached later than its own moment waits from then on
    let reached = schedule::slot(scenario, step, run).due.max(run.reached_at);
    schedule::shift(reached, &awaited.within, &scenario.zone)
}

/// The JSON object that a document becomes.
fn object(
    scenario: &Scenario,
    document: &crate::scenario::program::Document,
    names: &Names,
) -> Result<Attributes, String> {
    let text = scenario.program.fill_in(document, names).map_err(|failure| failure.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("error({error})"))
}

/// The arm of a split that a member takes: by its id, so that it is always the same.
fn share(weights: &[u32], scenario: &Scenario, step: &Step, member: &MemberId) -> usize {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut place = draw(&["split", scenario.id.as_str(), step.id.as_str(), member.as_str()], total);
    for (arm, weight) in weights.iter().enumerate() {
        let weight = u64::from(*weight);
        if place < weight {
            return arm;
        }
        place -= weight;
    }
    0
}

/// A number below `total` that the words tell, evenly spread; 0 where `total` is.
pub(super) fn draw(words: &[&str], total: u64) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(word);
    }
    let digest = hash.finalize();
    let number = u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer than eight bytes"));
    number % total.max(1)
}

/// True if runs of the member are to be kept for comparison: always the same for a member.
pub fn is_held_out(scenario: &Scenario, file: &MemberFile) -> bool {
    scenario.holdout > 0
        && draw(&["holdout", scenario.id.as_str(), file.id.as_str()], 10_000) < u64::from(scenario.holdout)
}
