//! What an event does: it converts, ends, moves or starts runs, in this order.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Taken, Turn, acts, member_scope, schedule, whole_ms};
use crate::model::{
    Attributes, Ended, Enrollment, EnrollmentId, Entries, EntriesKey, Event, EventName, Friendship,
    Happening, MemberFile, ScenarioId, SeenEvent, Settlement, Standing, What, fingerprint, limits,
};
use crate::mutation::{self, Mutation};
use crate::scenario::program::{Condition, Expression, Failure, Names, Scope, parse_instant};
use crate::scenario::{Again, Enter, Exit, Goal, Scenario, Trigger, Update};

/// Why something was not taken in; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the data is {size_bytes} bytes as JSON; at most {} fit", limits::EVENT_DATA_BYTES)]
    EventDataTooLarge { size_bytes: usize },
    #[error(
        "the attributes and tags would be {size_bytes} bytes as JSON; at most {} fit",
        limits::ATTRIBUTES_BYTES
    )]
    AttributesTooLarge { size_bytes: usize },
    #[error("the member has {} runs that have not ended; no more can start", limits::LIVE_ENROLLMENTS)]
    TooManyEnrollments,
    /// The scenario's own rules do not let the member enter.
    #[error("the member cannot enter: {reason}")]
    NotEnrolled { reason: String },
    #[error("the run has ended or moved on; settle the delivery as `accepted` or `dropped`")]
    NothingToResend,
    #[error("the member's file would be {size_bytes} bytes; at most {} fit", limits::MEMBER_FILE_BYTES)]
    MemberFileFull { size_bytes: usize },
}

/// Somebody's wish that a member enters a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Enroll {
    /// By which a second wish is known to be the same.
    pub id: Option<String>,
    pub scenario: ScenarioId,
    /// Takes the place of the key that the scenario's trigger tells.
    pub key: Option<Arc<str>>,
    /// The event of the run.
    pub data: Attributes,
}

/// What begins a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause<'a> {
    Event(&'a EventName),
    Segment,
    Date,
    Clock,
    /// The API or the command line.
    Hand,
    /// A step of another scenario, or of the same one.
    Step(&'a ScenarioId),
}

impl Cause<'_> {
    fn word(self) -> String {
        match self {
            Cause::Event(name) => format!("event({name})"),
            Cause::Segment => "segment".into(),
            Cause::Date => "date".into(),
            Cause::Clock => "clock".into(),
            Cause::Hand => "hand".into(),
            Cause::Step(scenario) => format!("step({scenario})"),
        }
    }

    /// True if the scenario could not have begun in another way, but by hand or by a step.
    fn is_the_only_way(self, scenario: &Scenario) -> bool {
        let [enter] = scenario.enter.as_slice() else { return false };
        match self {
            Cause::Event(_) | Cause::Segment | Cause::Date | Cause::Clock => {
                !matches!(enter.trigger, Trigger::Manual)
            }
            Cause::Hand => matches!(enter.trigger, Trigger::Manual),
            Cause::Step(_) => false,
        }
    }
}

impl Turn<'_> {
    pub(super) fn event(&mut self, event: &Event) -> Result<Taken, Refusal> {
        if let Some(id) = &event.id
            && !self.remember(fingerprint(id))
        {
            return Ok(Taken::Duplicate);
        }
        self.react(event)?;
        Ok(Taken::Changed)
    }

    pub(super) fn line_event(
        &mut self,
        event: &Event,
        friendship: Option<Friendship>,
    ) -> Result<Taken, Refusal> {
        if let Some(id) = &event.id
            && !self.remember(fingerprint(id))
        {
            return Ok(Taken::Duplicate);
        }
        if let Some(friendship) = friendship {
            self.befriend(friendship, event.at);
        }
        self.react(event)?;
        Ok(Taken::Changed)
    }

    /// Takes over what a webhook says of the friendship, unless a newer one has said otherwise.
    pub(super) fn befriend(&mut self, friendship: Friendship, told_at: Timestamp) {
        let Some(link) = &mut self.file.link else { return };
        if link.told_at.is_some_and(|newer| newer > told_at) {
            return;
        }
        let before = link.friendship;
        (link.friendship, link.told_at) = (friendship, Some(told_at));
        let what = match (before, friendship) {
            (Friendship::Blocked, Friendship::Friend) => What::Unblocked,
            (Friendship::Unknown | Friendship::Friend, Friendship::Blocked) => What::Blocked,
            _ => return,
        };
        let at = self.context.now;
        self.record(Happening {
            at,
            what,
            scenario: None,
            step: None,
            reason: None,
            until: None,
            cause: None,
        });
    }

    /// True the first time an event's id comes.
    fn remember(&mut self, id: u64) -> bool {
        let now = self.context.now;
        let seen = &mut self.file.seen;
        if !mutation::is(Mutation::DuplicatesIgnored)
            && seen
                .iter()
                .any(|event| event.id == id && now.duration_since(event.at) <= limits::SEEN_EVENTS_FOR)
        {
            return false;
        }
        let too_old = |event: &SeenEvent| now.duration_since(event.at) > limits::SEEN_EVENTS_FOR;
        let oldest_to_keep = (seen.len() + 1).saturating_sub(limits::SEEN_EVENTS);
        seen.drain(..oldest_to_keep);
        seen.retain(|event| !too_old(event));
        seen.push(SeenEvent { id, at: now });
        true
    }

    /// Lets every scenario that listens react to an event.
    pub(super) fn react(&mut self, event: &Event) -> Result<(), Refusal> {
        let size_bytes = json_bytes(&event.data);
        if size_bytes > limits::EVENT_DATA_BYTES {
            return Err(Refusal::EventDataTooLarge { size_bytes });
        }
        let listening = self.context.scenarios.listening_to(&event.name);
        if listening.is_empty() {
            return Ok(());
        }
        let data = Arc::new(event.data.clone());
        let names = Names::new(Scope {
            member: member_scope(self.file),
            event: Some(Arc::clone(&data)),
            enrollment: None,
            anchor: None,
            now: self.context.now,
        });
        for scenario in listening {
            for goal in scenario.goal.iter().filter(|goal| goal.ending.event() == Some(&event.name)) {
                self.convert(scenario, goal, event.at, &data);
            }
            let hears = |exit: &&Exit| {
                exit.ending.event() == Some(&event.name) && !mutation::is(Mutation::ExitIgnored)
            };
            for exit in scenario.exit.iter().filter(hears) {
                for index in self.matching_or_kept(scenario, exit.condition, exit.key, &data) {
                    self.exit(index, &format!("event({})", event.name));
                }
            }
            self.end_converted(scenario);
            for update in scenario.update.iter().filter(|update| update.on == event.name) {
                self.update(scenario, update, &data)?;
            }
            self.hear(scenario, event, &data);
            let rules = scenario.enter.iter().filter(|enter| enter.event() == Some(&event.name));
            for enter in rules {
                if self.enter(scenario, enter, Cause::Event(&event.name), event.at, &data, &names)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The runs of a scenario that a rule of it means, for one event: live ones, and those that were completed
    /// and can still convert or be taken up again.
    pub(super) fn matching_or_kept(
        &self,
        scenario: &Scenario,
        condition: Option<Condition>,
        key: Option<Expression>,
        data: &Arc<Attributes>,
    ) -> Vec<usize> {
        let now = self.context.now;
        let is_meant = |run: &Enrollment| run.is_live() || run.is_kept(now);
        let runs = self.file.enrollments.iter().enumerate();
        runs.filter(|(_, run)| run.scenario == scenario.id && is_meant(run))
            .filter(|(_, run)| {
                let names = self.names_of(run, data);
                let holds = |condition| scenario.program.test(condition, &names).unwrap_or(false);
                let is_of_run = |key| {
                    scenario.program.text(key, &names).is_ok_and(|key| run.key.as_deref() == Some(&*key))
                };
                condition.is_none_or(holds) && key.is_none_or(is_of_run)
            })
            .map(|(index, _)| index)
            .collect()
    }

    pub(super) fn convert(
        &mut self,
        scenario: &Scenario,
        goal: &Goal,
        at: Timestamp,
        data: &Arc<Attributes>,
    ) {
        for index in self.matching_or_kept(scenario, goal.condition, goal.key, data) {
            let run = &self.file.enrollments[index];
            if run.dated && run.steps.is_empty() {
                // nothing has been done towards it
                continue;
            }
            let names = self.names_of(run, data);
            let in_time = goal
                .within
                .as_ref()
                .is_none_or(|within| at < schedule::shift(run.entered_at, within, &scenario.zone));
            if in_time {
                let value = goal.value.map(|value| scenario.program.text(value, &names));
                let value = value.and_then(Result::ok).map(|value| format!("value({value})"));
                self.note(index, What::Converted, value.as_deref(), None);
                self.file.enrollments[index].kept_until = None;
                self.verdict.converted.push(index);
            }
        }
    }

    /// Ends the runs that have just converted, unless an exit has ended them already.
    pub(super) fn end_converted(&mut self, scenario: &Scenario) {
        for index in std::mem::take(&mut self.verdict.converted) {
            if self.file.enrollments[index].scenario == scenario.id {
                self.exit(index, "goal");
            }
        }
    }

    fn update(
        &mut self,
        scenario: &Scenario,
        update: &Update,
        data: &Arc<Attributes>,
    ) -> Result<(), Refusal> {
        for index in self.matching_or_kept(scenario, update.condition, update.key, data) {
            let now = self.context.now;
            let run = &mut self.file.enrollments[index];
            if !run.is_live() && run.anchor <= now {
                // it is kept for its goal
                continue;
            }
            let merged = Arc::make_mut(&mut run.event);
            merged.extend(data.iter().map(|(name, value)| (name.clone(), value.clone())));
            let size_bytes = json_bytes(merged);
            if size_bytes > limits::EVENT_DATA_BYTES {
                return Err(Refusal::EventDataTooLarge { size_bytes });
            }
            // the member's own date tells where a run by it stands
            let Some(anchor) = scenario.anchor.filter(|_| !run.dated) else { continue };
            let event = Some(Arc::clone(&run.event));
            let names = Names::new(Scope {
                member: member_scope(self.file),
                event,
                enrollment: None,
                anchor: None,
                now: self.context.now,
            });
            match anchor_at(scenario, anchor, &names) {
                Ok(anchor) => self.move_anchor(scenario, index, anchor),
                // without a new date the old one stands
                Err(reason) => self.note(index, What::Moved, Some(&reason), None),
            }
        }
        Ok(())
    }

    /// Counts the run's days from a new anchor: steps that were late are open again, and those that
    /// have been sent as well where they are to be sent for the new date.
    pub(super) fn move_anchor(&mut self, scenario: &Scenario, index: usize, anchor: Timestamp) {
        let now = self.context.now;
        let run = &mut self.file.enrollments[index];
        if run.anchor == anchor {
            return;
        }
        if run.dated && run.reached_at == run.anchor {
            // nothing has been done: the date itself is what the first step waits for
            run.reached_at = anchor;
        }
        let was_before: Vec<bool> =
            scenario.steps.iter().map(|step| schedule::is_before_anchor(scenario, step, run)).collect();
        run.anchor = anchor;
        for (step, was_before) in scenario.steps.iter().zip(was_before) {
            let in_flight = matches!(&run.now, Standing::InFlight(flight) if flight.step == step.id);
            let resend = step.resend.unwrap_or(was_before);
            let Some(record) = run.steps.iter_mut().find(|record| record.step == step.id) else {
                continue;
            };
            match record.settled.map(|settled| settled.how) {
                Some(Settlement::Late | Settlement::Expired) => record.settled = None,
                Some(Settlement::Accepted) if resend => {
                    record.settled = None;
                    record.revision += 1;
                }
                None if in_flight && resend => record.revision += 1,
                _ => {}
            }
        }
        if matches!(run.now, Standing::Waiting { .. }) {
            run.now = Standing::Waiting { until: now };
        }
        if run.ended == Some(Ended::Completed) {
            match run.steps.iter().any(|record| record.settled.is_none()) {
                // there is something to do again for the new date
                true => (run.ended, run.kept_until) = (None, None),
                false => run.kept_until = run.kept_until.max(Some(anchor)),
            }
        }
        self.note(index, What::Moved, None, Some(anchor));
    }

    /// Starts a run if the rule asks for one; true if the rule's condition holds.
    pub(super) fn enter(
        &mut self,
        scenario: &Scenario,
        enter: &Enter,
        cause: Cause<'_>,
        at: Timestamp,
        data: &Arc<Attributes>,
        names: &Names,
    ) -> Result<bool, Refusal> {
        match enter.condition.map(|condition| scenario.program.test(condition, names)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => return Ok(false),
            Some(Err(failure)) => {
                self.not_enrolled(scenario, &failure.to_string());
                return Ok(false);
            }
        }
        match self.plan_entry(scenario, enter, None, at, names) {
            Ok((key, anchor)) => self.enroll(scenario, cause, key, anchor, at, data)?,
            Err(reason) => self.not_enrolled(scenario, &reason),
        }
        Ok(true)
    }

    /// The key and the anchor of a new run that enters at an instant. `given` is its key if it is not the
    /// trigger's to tell.
    ///
    /// # Errors
    /// The reason why there can be none.
    fn plan_entry(
        &self,
        scenario: &Scenario,
        enter: &Enter,
        given: Option<&str>,
        at: Timestamp,
        names: &Names,
    ) -> Result<(Option<Arc<str>>, Timestamp), String> {
        let key = match enter.key {
            _ if given.is_some() => given.map(str::to_owned),
            Some(key) => Some(scenario.program.text(key, names).map_err(|failure| failure.to_string())?),
            None => None,
        };
        if key.as_ref().is_some_and(|key| key.len() > crate::model::MAX_NAME_BYTES) {
            return Err(format!("error(the key is over {} bytes)", crate::model::MAX_NAME_BYTES));
        }
        if scenario.starts.is_some_and(|starts| at < starts) {
            return Err("not_started".into());
        }
        if scenario.ends.is_some_and(|ends| at >= ends || self.context.now >= ends) {
            return Err("ended".into());
        }
        if !self.may_enter(scenario, &enter.again, key.as_deref(), at) {
            return Err("again".into());
        }
        let anchor = match scenario.anchor {
            Some(anchor) => anchor_at(scenario, anchor, names)?,
            None => at,
        };
        Ok((key.map(Arc::from), anchor))
    }

    fn may_enter(&self, scenario: &Scenario, again: &Again, key: Option<&str>, at: Timestamp) -> bool {
        let before = (self.file.entries.iter())
            .find(|entries| entries.scenario == scenario.id && entries.key == entries_key(key));
        let live = (self.file.enrollments.iter())
            .any(|run| run.scenario == scenario.id && run.is_live() && run.key.as_deref() == key);
        match again {
            Again::Always => true,
            Again::Never => before.is_none(),
            Again::AfterExit => !live,
            Again::CoolDown(pause) => {
                !live
                    && before.is_none_or(|entries| at >= schedule::shift(entries.last, pause, &scenario.zone))
            }
        }
    }

    /// Starts a run at somebody's wish.
    ///
    /// # Errors
    /// The scenario's rules do not let the member enter, or there is no room.
    pub(super) fn enroll_by_hand(&mut self, wish: &Enroll) -> Result<Taken, Refusal> {
        let Some(scenario) = self.context.scenarios.get(&wish.scenario).cloned() else {
            return Err(Refusal::NotEnrolled { reason: format!("there is no scenario `{}`", wish.scenario) });
        };
        if let Some(id) = &wish.id
            && !self.remember(fingerprint(id))
        {
            return Ok(Taken::Duplicate);
        }
        let size_bytes = json_bytes(&wish.data);
        if size_bytes > limits::EVENT_DATA_BYTES {
            return Err(Refusal::EventDataTooLarge { size_bytes });
        }
        let data = Arc::new(wish.data.clone());
        match self.start_run(&scenario, Cause::Hand, wish.key.as_deref(), self.context.now, &data)? {
            Ok(()) => Ok(Taken::Changed),
            Err(reason) => Err(Refusal::NotEnrolled { reason }),
        }
    }

    /// Starts a run of a scenario for which its time on the clock has come, where its condition holds.
    pub(super) fn tick(&mut self, scenario: &ScenarioId, trigger: usize, at: Timestamp) {
        let Some(scenario) = self.context.scenarios.get(scenario).cloned() else { return };
        let Some(enter) = scenario.enter.get(trigger) else { return };
        let Trigger::Every(_) = enter.trigger else { return };
        if self.file.merged_into.is_some() {
            return;
        }
        let names = Names::new(Scope {
            member: member_scope(self.file),
            event: None,
            enrollment: None,
            anchor: None,
            now: self.context.now,
        });
        let holds = |condition| scenario.program.test(condition, &names).unwrap_or(false);
        if !enter.condition.is_none_or(holds) {
            return;
        }
        // most members have entered before or are nobody the condition means; that is no news
        let data: Arc<Attributes> = Arc::default();
        if let Ok((key, anchor)) = self.plan_entry(&scenario, enter, None, at, &names)
            && !self.has_entered_at(&scenario.id, key.as_deref(), at)
            && self.enroll(&scenario, Cause::Clock, key, anchor, at, &data).is_err()
        {
            self.not_enrolled(&scenario, "no_room");
        }
    }

    /// True if the newest entry was at this instant: as a friend who has been linked since, for example.
    fn has_entered_at(&self, scenario: &ScenarioId, key: Option<&str>, at: Timestamp) -> bool {
        if mutation::is(Mutation::TickTwice) || mutation::is(Mutation::SweepRestarts) {
            return false;
        }
        let key = entries_key(key);
        self.file.entries.iter().any(|e| e.scenario == *scenario && e.key == key && e.last == at)
    }

    /// Starts a run that no event of its own asks for: by the scenario's rule for starts by hand, or else by
    /// its first. `key` takes the place of the key that the trigger tells. The inner error is why the rules do not
    /// let the member enter.
    ///
    /// # Errors
    /// The member has no room for another run.
    pub(super) fn start_run(
        &mut self,
        scenario: &Scenario,
        cause: Cause<'_>,
        key: Option<&str>,
        at: Timestamp,
        data: &Arc<Attributes>,
    ) -> Result<Result<(), String>, Refusal> {
        let names = Names::new(Scope {
            member: member_scope(self.file),
            event: Some(Arc::clone(data)),
            enrollment: None,
            anchor: None,
            now: self.context.now,
        });
        let Some(rule) = scenario.rule_by_hand() else {
            return Ok(Err("by_date".into()));
        };
        if let (Trigger::Manual, Some(condition)) = (&rule.trigger, rule.condition) {
            match scenario.program.test(condition, &names) {
                Ok(true) => {}
                Ok(false) => return Ok(Err("where".into())),
                Err(failure) => return Ok(Err(failure.to_string())),
            }
        }
        match self.plan_entry(scenario, rule, key, at, &names) {
            Ok((key, anchor)) => self.enroll(scenario, cause, key, anchor, at, data).map(Ok),
            Err(reason) => Ok(Err(reason)),
        }
    }

    fn enroll(
        &mut self,
        scenario: &Scenario,
        cause: Cause<'_>,
        key: Option<Arc<str>>,
        anchor: Timestamp,
        at: Timestamp,
        data: &Arc<Attributes>,
    ) -> Result<(), Refusal> {
        self.find_room_for(scenario, data)?;
        // from now on what updates and goals under this key mean is the new run
        for run in
            self.file.enrollments.iter_mut().filter(|run| run.scenario == scenario.id && run.key == key)
        {
            run.kept_until = None;
        }
        let ordinal = next_ordinal(self.file, &scenario.id, key.as_deref(), at);
        let id =
            EnrollmentId::derive(self.context.channel, &self.file.id, &scenario.id, key.as_deref(), ordinal);
        self.file.enrollments.push(Enrollment {
            id,
            scenario: scenario.id.clone(),
            key,
            entered_at: at,
            anchor,
            event: Arc::clone(data),
            steps: Vec::new(),
            reached_at: at,
            held_out: acts::is_held_out(scenario, self.file),
            dated: false,
            kept_until: None,
            now: Standing::Waiting { until: self.context.now },
            ended: None,
        });
        let index = self.file.enrollments.len() - 1;
        self.note_entry(index, scenario, cause, None);
        Ok(())
    }

    /// Notes that a run has begun; what began it only where the scenario's file does not tell.
    pub(super) fn note_entry(
        &mut self,
        index: usize,
        scenario: &Scenario,
        cause: Cause<'_>,
        until: Option<Timestamp>,
    ) {
        let cause = (!cause.is_the_only_way(scenario)).then(|| Arc::from(cause.word()));
        self.record(Happening {
            at: self.context.now,
            what: What::Enrolled,
            scenario: Some(self.file.enrollments[index].scenario.clone()),
            step: None,
            reason: None,
            until,
            cause,
        });
    }

    /// # Errors
    /// The member has no room for another run.
    fn find_room_for(&mut self, scenario: &Scenario, data: &Attributes) -> Result<(), Refusal> {
        if self.file.enrollments.iter().filter(|run| run.is_live()).count() >= limits::LIVE_ENROLLMENTS {
            return Err(Refusal::TooManyEnrollments);
        }
        let mut size_bytes = self.size_at_the_end(scenario, data);
        // what is only kept gives way
        for kept in (0..limits::KEPT_RUNS).rev() {
            if size_bytes <= limits::RUNS_BYTES {
                break;
            }
            self.keep_at_most(kept);
            size_bytes = self.size_at_the_end(scenario, data);
        }
        if size_bytes > limits::RUNS_BYTES {
            return Err(Refusal::MemberFileFull { size_bytes });
        }
        Ok(())
    }

    pub(super) fn has_room_for(&mut self, scenario: &Scenario, data: &Attributes) -> bool {
        self.find_room_for(scenario, data).is_ok()
    }

    /// What the runs of the member, with one more, will take in its file once all their steps are
    /// settled: an estimate from above, in bytes.
    fn size_at_the_end(&self, scenario: &Scenario, data: &Attributes) -> usize {
        const RUN: usize = 300;
        let steps = |scenario: &Scenario| -> usize {
            scenario.steps.iter().map(|step| step.id.as_str().len() + limits::STEP_BYTES).sum()
        };
        let now = self.context.now;
        let counts = |run: &&Enrollment| !super::is_over(run, now);
        let live = self.file.enrollments.iter().filter(counts).map(|run| {
            let planned = self.context.scenarios.get(&run.scenario).map_or(0, |scenario| steps(scenario));
            RUN + json_bytes(&run.event) + planned.max(run.steps.len() * limits::STEP_BYTES)
        });
        live.sum::<usize>() + RUN + json_bytes(data) + steps(scenario)
    }

    pub(super) fn not_enrolled(&mut self, scenario: &Scenario, reason: &str) {
        self.record(Happening {
            at: self.context.now,
            what: What::NotEnrolled,
            scenario: Some(scenario.id.clone()),
            step: None,
            reason: Some(Arc::from(reason)),
            until: None,
            cause: None,
        });
    }
}

/// The instant that an anchor expression tells.
///
/// # Errors
/// The reason why it tells none.
pub(super) fn anchor_at(scenario: &Scenario, anchor: Expression, names: &Names) -> Result<Timestamp, String> {
    let text = scenario.program.text(anchor, names).map_err(|failure: Failure| failure.to_string())?;
    let instant = parse_instant(&text, &scenario.zone).and_then(whole_ms);
    instant.ok_or_else(|| "error(the anchor is not a date and time)".into())
}

pub(super) fn entries_key(key: Option<&str>) -> EntriesKey {
    key.map_or(EntriesKey::None, |key| EntriesKey::Key(fingerprint(key)))
}

/// Counts an entry and gives its ordinal.
pub(super) fn next_ordinal(
    file: &mut MemberFile,
    scenario: &ScenarioId,
    key: Option<&str>,
    at: Timestamp,
) -> u32 {
    let key = entries_key(key);
    let known = file.entries.iter().position(|e| e.scenario == *scenario && e.key == key);
    let mut entries = match known {
        Some(index) => file.entries.remove(index),
        None => {
            let folded = (file.entries.iter())
                .find(|e| e.scenario == *scenario && e.key == EntriesKey::Folded)
                .map_or(0, |folded| folded.next_ordinal);
            Entries { scenario: scenario.clone(), key, next_ordinal: folded, last: at, left: false }
        }
    };
    let ordinal = entries.next_ordinal;
    entries.next_ordinal += 1;
    entries.left = false;
    entries.last = entries.last.max(at);
    // the newest stand last, so that the oldest are folded first
    file.entries.push(entries);
    fold_entries(file);
    ordinal
}

/// Keeps the list of entries within its bound: the oldest keys without a live run lose their own count.
pub(super) fn fold_entries(file: &mut MemberFile) {
    while file.entries.len() > limits::ENTRIES {
        let live = |entries: &Entries| {
            (file.enrollments.iter())
                .any(|run| run.scenario == entries.scenario && entries_key(run.key.as_deref()) == entries.key)
        };
        let oldest = file.entries.iter().position(|e| matches!(e.key, EntriesKey::Key(_)) && !live(e));
        let Some(oldest) = oldest else { return };
        let folding = file.entries.remove(oldest);
        let folded =
            (file.entries.iter_mut()).find(|e| e.scenario == folding.scenario && e.key == EntriesKey::Folded);
        match folded {
            Some(folded) => {
                folded.next_ordinal = folded.next_ordinal.max(folding.next_ordinal);
                folded.last = folded.last.max(folding.last);
            }
            None => file.entries.insert(0, Entries { key: EntriesKey::Folded, ..folding }),
        }
    }
}

/// The size of an object as JSON, in bytes.
pub(super) fn json_bytes(attributes: &Attributes) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, attributes).expect("a JSON object can always be written");
    count.0
}
