//! The scenario file's own samples as what is told: each is a member that enters as the scenario says.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

use super::input::link_of;
use super::play::{Number, Place, Told};
use crate::dispatch::{Action, Whom};
use crate::engine::{Change, Enroll, acts};
use crate::model::{Attributes, Event, MemberFile, MemberId};
use crate::scenario::file::{SampleItem, ScenarioFile};
use crate::scenario::program::{Condition, Expression, MemberScope, Names, Scope, parse_instant};
use crate::scenario::{Enter, Offset, Scenario, Step, Timing, Trigger, written};

/// When samples enter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// At this instant, whatever comes of it.
    At(Timestamp),
    /// Now; earlier where the sample's own date would have passed by now.
    Now(Timestamp),
}

/// What the samples come to.
#[derive(Debug)]
pub(super) struct Samples {
    /// By their time.
    pub(super) told: Vec<Told>,
    /// Samples that enter earlier than now, by the date that they have.
    pub(super) moved: Vec<Moved>,
}

/// A sample that enters at another time than now.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) member: MemberId,
    pub(super) enters: Timestamp,
    /// The date that would have passed, or the `starts` of the scenario.
    pub(super) for_the: Timestamp,
}

/// Ids that are tried for a sample that has none: enough for a holdout of 99%.
const MAX_IDS: u32 = 1_000;

/// A sample taken apart.
struct Sample {
    id: MemberId,
    /// True if its id is its own.
    is_named: bool,
    attributes: Attributes,
    tags: BTreeSet<String>,
    linked: bool,
    friend: bool,
    event: Option<Attributes>,
    anchor: Option<Timestamp>,
}

/// # Errors
/// `sample N: what is wrong`: what the load of the file lets through.
pub(super) fn told_by(
    file: &ScenarioFile,
    name: &str,
    scenario: &Scenario,
    start: Start,
) -> Result<Samples, String> {
    let name: Arc<str> = name.into();
    let mut samples = Samples { told: Vec::new(), moved: Vec::new() };
    let mut taken = HashSet::new();
    for (number, item) in (1..).zip(file.samples.iter().flat_map(|samples| &samples.0)) {
        let wrong = |error: String| format!("sample {number}: {error}");
        let mut sample = Sample::read(item, number, &scenario.zone).map_err(wrong)?;
        // each is a member of its own, also where two have the same id
        let mut id = sample.id.clone();
        let mut again = 1;
        // who is kept for comparison is sent nothing, which is not what a sample without an id is for
        let is_named = sample.is_named;
        let is_held_out =
            |id: &MemberId| !is_named && acts::is_held_out(scenario, &MemberFile::new(id.clone()));
        while (is_held_out(&id) && again < MAX_IDS) || !taken.insert(id.clone()) {
            again += 1;
            id = MemberId::new(&format!("{}-{again}", sample.id)).map_err(|e| wrong(e.to_string()))?;
        }
        sample.id = id;
        let place = Place { file: Arc::clone(&name), number: Number::Sample(number) };
        let told = sample.told(file, scenario, start, place, &mut samples.moved);
        samples.told.push(told);
    }
    samples.told.sort_by_key(|told| told.at);
    Ok(samples)
}

impl Sample {
    fn read(item: &SampleItem, number: usize, zone: &TimeZone) -> Result<Sample, String> {
        let mut attributes = item.member.as_ref().map(|map| map.0.clone()).unwrap_or_default();
        let named = attributes.remove("id");
        let is_named = named.is_some();
        let id = match named {
            Some(Value::String(id)) => id,
            Some(other) => return Err(format!("`id` is a text, not {other}")),
            None => format!("sample-{number}"),
        };
        let id = MemberId::new(&id).map_err(|error| error.to_string())?;
        let mut truth = |name: &str| match attributes.remove(name) {
            Some(Value::Bool(truth)) => Ok(truth),
            Some(other) => Err(format!("`{name}` is true or false, not {other}")),
            None => Ok(true),
        };
        let (linked, friend) = (truth("linked")?, truth("friend")?);
        let tags = attributes.remove("tags").map(serde_json::from_value).transpose();
        let anchor = item.anchor.as_ref().map(|text| written::start_of(text, zone)).transpose();
        Ok(Sample {
            id,
            is_named,
            attributes,
            tags: tags.map_err(|error| format!("`tags` is a list of texts: {error}"))?.unwrap_or_default(),
            linked,
            friend,
            event: item.event.as_ref().map(|map| map.0.clone()),
            anchor: anchor.map_err(|error| error.message)?,
        })
    }

    fn told(
        mut self,
        file: &ScenarioFile,
        scenario: &Scenario,
        start: Start,
        place: Place,
        moved: &mut Vec<Moved>,
    ) -> Told {
        self.put_in_anchor(file, scenario, start);
        let rule = self.rule(scenario, start);
        let at = match start {
            Start::At(at) => at,
            Start::Now(now) => self.entry(scenario, rule, now, moved),
        };
        let event = self.event.clone().unwrap_or_default();
        let member = self.id.clone();
        let (actions, silent) = match rule.map(|rule| &rule.trigger) {
            Some(Trigger::Event(name)) => {
                let event = Event { id: None, name: name.clone(), at, data: event };
                (vec![Action::Event { member: Whom::Member(member.clone()), event }], true)
            }
            Some(Trigger::Manual) => {
                let wish = Enroll { id: None, scenario: scenario.id.clone(), key: None, data: event };
                (vec![Action::Enroll { member: member.clone(), wish }], true)
            }
            // to be made is the change that starts it
            Some(Trigger::Segment(_)) => (Vec::new(), false),
            // the date and the clock do the rest
            Some(Trigger::Date { .. } | Trigger::Every(_)) | None => (Vec::new(), true),
        };
        let setup = Change {
            attributes: Some(self.attributes),
            tags: Some(self.tags),
            link: Some(link_of(&member, self.linked, self.friend)),
            silent,
            ..Change::default()
        };
        Told { at, member, setup: Some(setup), actions, place }
    }

    /// The sample's own anchor, put in where the scenario looks for it, if nothing is there.
    fn put_in_anchor(&mut self, file: &ScenarioFile, scenario: &Scenario, start: Start) {
        let Some(anchor) = self.anchor else { return };
        let dates = file.enter.iter().flat_map(|enter| &enter.0).filter_map(|enter| enter.date.as_ref());
        let read = scenario.enter.iter().filter_map(|enter| match enter.trigger {
            Trigger::Date { at, .. } => Some(at),
            _ => None,
        });
        let wanted: Vec<(Expression, String)> = (scenario.anchor.into_iter())
            .zip(file.anchor.iter().map(|text| text.0.clone()))
            .chain(read.zip(dates.map(|text| text.0.clone())))
            .collect();
        for (expression, source) in wanted {
            if self.instant(scenario, expression, start).is_some() {
                continue;
            }
            let parts: Vec<&str> = source.trim().split('.').collect();
            let is_name = |part: &&str| part.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !parts.iter().all(is_name) {
                continue;
            }
            let object = match parts[0] {
                "event" => self.event.get_or_insert_default(),
                "member" => &mut self.attributes,
                _ => continue,
            };
            put_in(object, &parts[1..], Value::String(anchor.to_string()));
        }
    }

    /// The rule by which the sample enters: the first that it can be for; if there is none, the first.
    fn rule<'s>(&self, scenario: &'s Scenario, start: Start) -> Option<&'s Enter> {
        let names = self.names(start);
        let nobody = Sample {
            attributes: Attributes::new(),
            tags: BTreeSet::new(),
            linked: false,
            friend: false,
            id: self.id.clone(),
            is_named: false,
            event: None,
            anchor: None,
        };
        let before = nobody.names(start);
        let holds =
            |condition: Condition, names: &Names| scenario.program.test(condition, names).unwrap_or(false);
        let can_be = |enter: &&Enter| {
            let is_started = match &enter.trigger {
                Trigger::Segment(segment) => holds(*segment, &names) && !holds(*segment, &before),
                Trigger::Date { at, .. } => self.instant(scenario, *at, start).is_some(),
                Trigger::Event(_) | Trigger::Every(_) | Trigger::Manual => true,
            };
            is_started && enter.condition.is_none_or(|condition| holds(condition, &names))
        };
        // what has the data of an event is meant for a rule that has one
        let takes_data = |enter: &&Enter| matches!(enter.trigger, Trigger::Event(_) | Trigger::Manual);
        let with_data = || scenario.enter.iter().filter(takes_data);
        match self.event.is_some() {
            true => with_data().find(can_be).or_else(|| with_data().next()),
            false => None,
        }
        .or_else(|| scenario.enter.iter().find(can_be))
        .or(scenario.enter.first())
    }

    /// When the sample enters if nobody says when.
    fn entry(
        &self,
        scenario: &Scenario,
        rule: Option<&Enter>,
        now: Timestamp,
        moved: &mut Vec<Moved>,
    ) -> Timestamp {
        let start = Start::Now(now);
        let (date, is_entry) = match rule.map(|rule| &rule.trigger) {
            Some(Trigger::Date { yearly: true, .. }) => (None, false),
            Some(Trigger::Date { at, .. }) => (self.instant(scenario, *at, start), false),
            _ => match scenario.anchor {
                Some(anchor) => (self.instant(scenario, anchor, start), false),
                None => (self.anchor, true),
            },
        };
        let enters = match date {
            // without an anchor of the scenario, the entry is what days are counted from
            Some(date) if is_entry => date,
            Some(date) => now.min(in_time_for(scenario, date)),
            None => now,
        };
        if enters != now {
            let for_the = date.unwrap_or(enters);
            moved.push(Moved { member: self.id.clone(), enters, for_the });
            return enters;
        }
        match scenario.starts {
            Some(starts) if now < starts || scenario.ends.is_some_and(|ends| ends <= now) => {
                moved.push(Moved { member: self.id.clone(), enters: starts, for_the: starts });
                starts
            }
            _ => now,
        }
    }

    fn instant(&self, scenario: &Scenario, expression: Expression, start: Start) -> Option<Timestamp> {
        let text = scenario.program.text(expression, &self.names(start)).ok()?;
        parse_instant(&text, &scenario.zone)
    }

    fn names(&self, start: Start) -> Names {
        let (Start::At(now) | Start::Now(now)) = start;
        Names::new(Scope {
            member: Arc::new(MemberScope {
                id: self.id.clone(),
                attributes: Arc::new(self.attributes.clone()),
                tags: Arc::new(self.tags.clone()),
                linked: self.linked,
                friend: self.linked && self.friend,
            }),
            event: Some(Arc::new(self.event.clone().unwrap_or_default())),
            enrollment: None,
            anchor: None,
            now,
        })
    }
}

/// Puts a value in where a dotted name leads; where something else is in the way, it stays.
fn put_in(object: &mut Attributes, path: &[&str], value: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        object.insert((*name).to_owned(), value);
        return;
    }
    let inner = object.entry(*name).or_insert_with(|| Value::Object(Attributes::new()));
    if let Value::Object(inner) = inner {
        put_in(inner, rest, value);
    }
}

/// A moment from which every step before an anchor can still be done: the anchor itself where there is none
/// before it, else the same time of day some days before.
fn in_time_for(scenario: &Scenario, anchor: Timestamp) -> Timestamp {
    let civil = anchor.to_zoned_datetime(scenario.zone.clone());
    let moment = |step: &Step| -> Option<Timestamp> {
        let moment = match &step.timing {
            Timing::Day { days, at } => {
                let date = civil.date().checked_add(Span::new().try_days(*days).ok()?).ok()?;
                let time = at.unwrap_or(civil.time());
                date.to_datetime(time).to_zoned_datetime(scenario.zone.clone()).ok()?.timestamp()
            }
            Timing::Before { offset: Offset::Exact(length), .. } => anchor.checked_sub(*length).ok()?,
            Timing::Before { offset: Offset::Civil(span), .. } => civil.checked_sub(*span).ok()?.timestamp(),
            Timing::After { .. } | Timing::Wait { .. } | Timing::AtOnce => return None,
        };
        (moment < anchor).then_some(moment)
    };
    let days_before = |step: &Step| -> Option<i64> {
        let hours = anchor.duration_since(moment(step)?).as_hours();
        // one more than it takes, so that nobody is just too late
        let days = hours / 24 + 2;
        // a week has five workdays at most, and some weeks have three
        Some(if step.days.is_any() { days } else { days * 2 + 7 })
    };
    let Some(days) = scenario.steps.iter().filter_map(days_before).max() else { return anchor };
    let earlier = Span::new().try_days(days).and_then(|days| civil.checked_sub(days));
    earlier.map_or(anchor, |earlier| earlier.timestamp())
}
