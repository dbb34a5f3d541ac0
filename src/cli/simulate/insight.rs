//! Why something was decided as it was, by what the file says and by what was known at that moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::source::Source;
use crate::cli::Failure;
use crate::cli::words::{Lang, Words};
use crate::dispatch::rehearsal::{Line, Rehearsal};
use crate::dispatch::{Action, Happened, Whom};
use crate::model::{
    Attributes, Enrollment, Event, Friendship, Happening, MemberFile, MemberId, ScenarioId, StepId, What,
};
use crate::scenario::program::{Condition, EnrollmentScope, MemberScope, Names, Scope};
use crate::scenario::{Act, Enter, Hours, Scenario, ScenarioSet, Trigger};

/// The longest value that is shown, in characters.
const MAX_VALUE: usize = 80;

/// Follows a run and tells the reasons of what happens in it.
#[derive(Debug)]
pub(super) struct Insight<'a> {
    lang: Lang,
    scenarios: &'a ScenarioSet,
    sources: &'a BTreeMap<ScenarioId, Source>,
    /// Members as they were before the turn at hand.
    files: HashMap<MemberId, MemberFile>,
    told: Option<Told>,
}

/// What the turn at hand is about.
#[derive(Debug)]
struct Told {
    member: MemberId,
    event: Option<Event>,
    is_change: bool,
}

/// A member at one moment, with what it has come to.
#[derive(Clone, Copy)]
struct Moment<'f> {
    file: &'f MemberFile,
    at: Timestamp,
}

impl<'a> Insight<'a> {
    pub(super) fn new(
        lang: Lang,
        scenarios: &'a ScenarioSet,
        sources: &'a BTreeMap<ScenarioId, Source>,
    ) -> Insight<'a> {
        Insight { lang, scenarios, sources, files: HashMap::new(), told: None }
    }

    pub(super) fn about_to(&mut self, action: &Action, rehearsal: &Rehearsal) -> Result<(), Failure> {
        let (member, event, is_change) = match action {
            Action::Event { member: Whom::Member(member), event } => (member, Some(event.clone()), false),
            Action::Change { member, .. } => (member, None, true),
            Action::Enroll { member, .. } => (member, None, false),
            _ => return Ok(()),
        };
        self.keep(member, rehearsal)?;
        self.told = Some(Told { member: member.clone(), event, is_change });
        Ok(())
    }

    fn keep(&mut self, member: &MemberId, rehearsal: &Rehearsal) -> Result<(), Failure> {
        match rehearsal.member(member).map_err(|error| Failure::problem(error.to_string()))? {
            Some(file) => self.files.insert(member.clone(), file),
            None => self.files.remove(member),
        };
        Ok(())
    }

    /// What has happened in a turn, each with why; also what has not, though it might have.
    pub(super) fn explain(
        &mut self,
        mut lines: Vec<Line>,
        rehearsal: &Rehearsal,
    ) -> Result<Vec<(Line, Vec<String>)>, Failure> {
        lines.extend(self.not_started(&lines, rehearsal));
        let mut explained = Vec::new();
        for line in lines {
            let after = rehearsal.member(&line.what.member).map_err(|e| Failure::problem(e.to_string()))?;
            let why = self.why(&line, after.as_ref());
            explained.push((line, why));
        }
        for (line, _) in &explained {
            self.keep(&line.what.member, rehearsal)?;
        }
        self.told = None;
        Ok(explained)
    }

    /// Scenarios that what was told might have started, and did not by their own conditions.
    fn not_started(&self, lines: &[Line], rehearsal: &Rehearsal) -> Vec<Line> {
        let Some(told) = &self.told else { return Vec::new() };
        let might = |enter: &Enter| match (&enter.trigger, &told.event) {
            (Trigger::Event(name), Some(event)) => *name == event.name,
            (Trigger::Segment(_), None) => told.is_change,
            _ => false,
        };
        let is_told = |scenario: &Scenario| {
            lines.iter().any(|line| {
                let Happening { what, scenario: of, .. } = &line.what.happening;
                matches!(what, What::Enrolled | What::NotEnrolled) && of.as_ref() == Some(&scenario.id)
            })
        };
        let silent = (self.scenarios.iter())
            .filter(|scenario| scenario.enter.iter().any(might) && !is_told(scenario))
            .map(|scenario| {
                let happening = Happening {
                    at: rehearsal.now(),
                    what: What::NotEnrolled,
                    scenario: Some(scenario.id.clone()),
                    step: None,
                    // of a change, the values that are told say more than a word
                    reason: (!told.is_change).then(|| Arc::from("where")),
                    until: None,
                    cause: None,
                };
                Line { what: Happened { member: told.member.clone(), happening }, messages: None }
            });
        silent.collect()
    }

    /// The reasons of one happening, in sentences.
    fn why(&self, line: &Line, after: Option<&MemberFile>) -> Vec<String> {
        let happening = &line.what.happening;
        let before = self.files.get(&line.what.member);
        let mut why = Vec::new();
        let Some(scenario) = happening.scenario.as_ref().and_then(|id| self.scenarios.get(id)) else {
            return why;
        };
        let Some(source) = self.sources.get(&scenario.id) else { return why };
        let moments: Vec<Moment<'_>> =
            [after, before].into_iter().flatten().map(|file| Moment { file, at: happening.at }).collect();
        match (happening.what, &happening.step) {
            (What::Enrolled, _) => why.extend(self.entered(scenario, source, &moments)),
            (What::NotEnrolled, _) => why.extend(self.not_entered(scenario, source, &moments)),
            (What::Accepted | What::Deferred | What::Skipped | What::Rejected | What::Done, Some(step)) => {
                why.extend(self.timing(scenario, source, step, &moments));
                let is_outside =
                    happening.what == What::Deferred && happening.reason.as_deref() == Some("hours");
                why.extend(is_outside.then(|| self.hours(scenario, step)).flatten());
                why.extend(self.when(scenario, source, step, happening, &moments));
                why.extend(self.arms(scenario, source, step, happening, &moments));
            }
            _ => {}
        }
        why
    }

    /// The rule that started a run.
    fn entered(&self, scenario: &Scenario, source: &Source, moments: &[Moment<'_>]) -> Option<String> {
        let rules = scenario.enter.iter().enumerate();
        let event = self.told.as_ref().and_then(|told| told.event.as_ref());
        let (number, _) = match event {
            Some(event) => rules.into_iter().find(|(_, rule)| {
                let holds = |moment: &Moment<'_>| {
                    let names = moment.names(None, Some(&event.data));
                    rule.condition.is_none_or(|c| scenario.program.test(c, &names).unwrap_or(false))
                };
                rule.event() == Some(&event.name) && moments.iter().any(holds)
            })?,
            None => match rules.filter(|(_, rule)| rule.event().is_none()).collect::<Vec<_>>().as_slice() {
                [only] => *only,
                _ => return None,
            },
        };
        Some(self.rule(source, number, moments.last()?, event.map(|event| &event.data)))
    }

    /// Why none of the rules started a run.
    fn not_entered(&self, scenario: &Scenario, source: &Source, moments: &[Moment<'_>]) -> Vec<String> {
        let Some(moment) = moments.first() else { return Vec::new() };
        let told = self.told.as_ref();
        let event = told.and_then(|told| told.event.as_ref());
        let concerns = |rule: &Enter| match (&rule.trigger, event) {
            (Trigger::Event(name), Some(event)) => *name == event.name,
            (Trigger::Segment(_), None) => true,
            (Trigger::Manual, None) => told.is_none_or(|told| !told.is_change),
            _ => false,
        };
        let rules = scenario.enter.iter().enumerate().filter(|(_, rule)| concerns(rule));
        rules.map(|(number, _)| self.rule(source, number, moment, event.map(|event| &event.data))).collect()
    }

    /// Why a member that never entered did not, by each rule.
    pub(super) fn never_entered(
        &self,
        scenario: &Scenario,
        file: &MemberFile,
        at: Timestamp,
        event: Option<&Attributes>,
    ) -> Vec<String> {
        let Some(source) = self.sources.get(&scenario.id) else { return Vec::new() };
        let moment = Moment { file, at };
        (0..scenario.enter.len()).map(|number| self.rule(source, number, &moment, event)).collect()
    }

    /// A rule as written, with the values that its conditions saw.
    fn rule(
        &self,
        source: &Source,
        number: usize,
        moment: &Moment<'_>,
        event: Option<&Attributes>,
    ) -> String {
        let rule = source.enter(number);
        let kinds = ["on", "segment", "date", "every", "manual", "where"];
        let written = kinds.iter().filter_map(|key| Some(format!("`{key}: {}`", rule.get(*key)?)));
        let written: Vec<String> = written.collect();
        let sources: Vec<&String> =
            ["segment", "date", "where"].iter().filter_map(|key| rule.get(*key)).collect();
        self.seen(source, &written.join(" "), &sources, &|name| moment.value(name, None, event))
    }

    /// `what`, with the values of the names that expressions use.
    fn seen(
        &self,
        source: &Source,
        what: &str,
        expressions: &[&String],
        value: &dyn Fn(&str) -> Option<String>,
    ) -> String {
        let names: BTreeSet<&str> =
            expressions.iter().flat_map(|expression| source.names(expression)).collect();
        let told: Vec<String> = (names.iter())
            .map(|name| match (value(name), self.lang) {
                (Some(value), Lang::En) => format!("{name} is {value}"),
                (None, Lang::En) => format!("{name} has no value"),
                (Some(value), Lang::Ja) => format!("{name} は {value}"),
                (None, Lang::Ja) => format!("{name} は値なし"),
            })
            .collect();
        match (told.is_empty(), self.lang) {
            (true, _) => what.to_owned(),
            (false, Lang::En) => format!("{what}: {}", told.join(", ")),
            (false, Lang::Ja) => format!("{what}：{}", told.join("、")),
        }
    }

    /// When the step is due, as written.
    fn timing(
        &self,
        scenario: &Scenario,
        source: &Source,
        step: &StepId,
        moments: &[Moment<'_>],
    ) -> Option<String> {
        let written = source.step(step)?;
        let keys = ["day", "after", "before", "wait", "at"];
        let timing: Vec<String> =
            keys.iter().filter_map(|key| Some(format!("`{key}: {}`", written.get(*key)?))).collect();
        let anchor = moments.iter().find_map(|moment| Some(moment.run(scenario)?.anchor));
        let words = Words::new(self.lang, scenario.zone.clone());
        let counts = !timing.is_empty() && !written.contains_key("wait");
        let from = anchor.filter(|_| counts).map(|anchor| words.time(anchor));
        Some(match (self.lang, from) {
            _ if timing.is_empty() => match self.lang {
                Lang::En => "it has no time of its own: it is due when it is reached".to_owned(),
                Lang::Ja => "時刻の指定がないので、順番が来たらすぐに行います".to_owned(),
            },
            (Lang::En, Some(from)) => format!("due by {}, counted from {from}", timing.join(" ")),
            (Lang::En, None) => format!("due by {}", timing.join(" ")),
            (Lang::Ja, Some(from)) => format!("予定は {}（{from}から数える）", timing.join(" ")),
            (Lang::Ja, None) => format!("予定は {}", timing.join(" ")),
        })
    }

    fn hours(&self, scenario: &Scenario, step: &StepId) -> Option<String> {
        let Hours { start_minute, end_minute } = scenario.step(step)?.hours.or(scenario.hours)?;
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let (start, end) = (clock(start_minute), clock(end_minute));
        Some(match self.lang {
            Lang::En => format!("its send hours are {start}-{end}"),
            Lang::Ja => format!("配信時間は {start}〜{end} です"),
        })
    }

    /// The condition of a step, with what it saw.
    fn when(
        &self,
        scenario: &Scenario,
        source: &Source,
        step: &StepId,
        happening: &Happening,
        moments: &[Moment<'_>],
    ) -> Option<String> {
        let written = source.step(step)?.get("when")?;
        let condition = scenario.step(step)?.condition?;
        let reason = happening.reason.as_deref().unwrap_or_default();
        let is_about_it = match happening.what {
            What::Skipped => {
                reason == "when" || reason.starts_with("missing(") || reason.starts_with("error(")
            }
            What::Deferred => return None,
            _ => true,
        };
        if !is_about_it {
            return None;
        }
        let moment = self.moment_of(scenario, condition, happening.what != What::Skipped, moments)?;
        let run = moment.run(scenario);
        let event = self.event_of(run);
        Some(
            self.seen(source, &format!("`when: {written}`"), &[written], &|name| {
                moment.value(name, run, event)
            }),
        )
    }

    /// The conditions of the arms of a container, with what they saw.
    fn arms(
        &self,
        scenario: &Scenario,
        source: &Source,
        step: &StepId,
        happening: &Happening,
        moments: &[Moment<'_>],
    ) -> Vec<String> {
        let (What::Done, Some(Act::Branch(_))) = (happening.what, scenario.step(step).map(|step| &step.act))
        else {
            return Vec::new();
        };
        let Some(moment) = moments.last() else { return Vec::new() };
        let run = moment.run(scenario);
        let event = self.event_of(run);
        let arms = source.arms(step);
        arms.iter()
            .map(|when| {
                self.seen(source, &format!("`when: {when}`"), &[when], &|name| moment.value(name, run, event))
            })
            .collect()
    }

    /// The data of the run's event; for a run that is not in the member's file, that of the event at hand.
    fn event_of<'r>(&'r self, run: Option<&'r Enrollment>) -> Option<&'r Attributes> {
        let told = || self.told.as_ref().and_then(|told| told.event.as_ref()).map(|event| &event.data);
        run.map(|run| &*run.event).or_else(told)
    }

    /// The moment at which the condition was as it was decided: before what else happened in the turn, or after.
    fn moment_of<'m, 'f>(
        &self,
        scenario: &Scenario,
        condition: Condition,
        held: bool,
        moments: &'m [Moment<'f>],
    ) -> Option<&'m Moment<'f>> {
        let is_it = |moment: &&Moment<'_>| {
            let run = moment.run(scenario);
            let names = moment.names(run, self.event_of(run));
            scenario.program.test(condition, &names).unwrap_or(false) == held
        };
        moments.iter().find(is_it).or(moments.first())
    }
}

impl<'f> Moment<'f> {
    /// The newest run of a scenario.
    fn run(&self, scenario: &Scenario) -> Option<&'f Enrollment> {
        let runs = || self.file.enrollments.iter().rev().filter(|run| run.scenario == scenario.id);
        runs().find(|run| run.is_live()).or(runs().next())
    }

    fn names(&self, run: Option<&Enrollment>, event: Option<&Attributes>) -> Names {
        let Moment { file, at } = self;
        Names::new(Scope {
            member: Arc::new(MemberScope {
                id: file.id.clone(),
                attributes: Arc::clone(&file.attributes),
                tags: Arc::clone(&file.tags),
                linked: self.is_linked(),
                friend: self.is_friend(),
            }),
            event: event.map(|event| Arc::new(event.clone())),
            enrollment: run.map(|run| EnrollmentScope {
                id: run.id,
                key: run.key.clone(),
                entered_at: run.entered_at,
            }),
            anchor: run.map(|run| run.anchor),
            now: *at,
        })
    }

    fn is_linked(&self) -> bool {
        self.file.link.is_some() && self.file.id.as_provisional().is_none()
    }

    fn is_friend(&self) -> bool {
        self.file.link.as_ref().is_some_and(|link| link.friendship == Friendship::Friend)
    }

    /// The value of a dotted name, as JSON; none if it has none.
    fn value(&self, name: &str, run: Option<&Enrollment>, event: Option<&Attributes>) -> Option<String> {
        let mut parts = name.split('.');
        let (root, first) = (parts.next()?, parts.next());
        let value = match (root, first) {
            ("member", Some("id")) => Value::from(self.file.id.as_str()),
            ("member", Some("tags")) => self.file.tags.iter().map(String::as_str).collect(),
            ("member", Some("linked")) => Value::from(self.is_linked()),
            ("member", Some("friend")) => Value::from(self.is_friend()),
            ("member", Some(first)) => self.file.attributes.get(first)?.clone(),
            ("event", Some(first)) => event?.get(first)?.clone(),
            ("event", None) => Value::Object(event?.clone()),
            ("anchor", _) => Value::from(run?.anchor.to_string()),
            ("now", _) => Value::from(self.at.to_string()),
            ("enrollment", Some("key")) => Value::from(run?.key.as_deref()?),
            ("enrollment", Some("entered_at")) => Value::from(run?.entered_at.to_string()),
            _ => return None,
        };
        let value = parts.try_fold(value, |value, part| value.get(part).cloned())?;
        if value.is_null() {
            return None;
        }
        let text = value.to_string();
        Some(match text.char_indices().nth(MAX_VALUE) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        })
    }
}
