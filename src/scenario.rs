//! YAML → [`Scenario`]; every problem at once, each with file and line.
//!
//! [`load`](load::load) reads a set of files and gives the compiled set or the findings; the rest of
//! this module is what the engine reads: typed timings, compiled expressions, message templates.
//! It refuses to know members, time or the store: names get their values from [`program::Names`].

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span};

use crate::model::{EventName, ScenarioId, StepId};

pub mod file;
pub mod finding;
pub mod load;
pub mod message;
pub mod program;
pub mod schema;
pub mod source;
pub mod written;
pub mod yaml;

use program::{Condition, Document, Expression, Messages, Program};

/// An ordered plan from one file, checked and compiled.
#[derive(Debug)]
pub struct Scenario {
    pub id: ScenarioId,
    pub title: Option<String>,
    /// The zone of all its civil times.
    pub zone: TimeZone,
    /// The send window; none lets pushes out at any hour.
    pub hours: Option<Hours>,
    /// How overdue a step may be beyond which it is superseded by a later one that is due as well.
    pub grace: SignedDuration,
    pub enter: Vec<Enter>,
    /// What days are counted from; the entry if there is none.
    pub anchor: Option<Expression>,
    pub update: Vec<Update>,
    pub exit: Vec<Exit>,
    pub goal: Option<Goal>,
    /// In file order, which is the order they run in; those inside a container follow it. Never empty.
    pub steps: Vec<Step>,
    /// Everything that is evaluated or rendered.
    pub program: Program,
}

impl Scenario {
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The rule by which steps and the API start it, where no event does: that of the first trigger.
    pub fn first_trigger(&self) -> &Enter {
        self.enter.first().expect("a scenario has a trigger")
    }
}

/// What starts the scenario for a member: an event, and a condition on it.
#[derive(Debug)]
pub struct Enter {
    pub on: EventName,
    pub condition: Option<Condition>,
    /// Runs with different keys are different enrollments.
    pub key: Option<Expression>,
    pub again: Again,
}

/// Whether a member that has entered before, under the same key, may enter again.
#[derive(Clone, Debug)]
pub enum Again {
    Never,
    /// Once the run before has ended in any way.
    AfterExit,
    Always,
    /// Not before this much has passed since the last entry, and not while a run is live.
    CoolDown(Offset),
}

/// Merges a new event into a run, and plans it anew if that moves the anchor.
#[derive(Debug)]
pub struct Update {
    pub on: EventName,
    pub condition: Option<Condition>,
    pub key: Option<Expression>,
}

/// What ends a run early.
#[derive(Debug)]
pub struct Exit {
    pub on: EventName,
    pub condition: Option<Condition>,
    pub key: Option<Expression>,
}

/// What a run is for: reached, it ends as converted.
#[derive(Debug)]
pub struct Goal {
    pub on: EventName,
    pub condition: Option<Condition>,
    pub key: Option<Expression>,
    /// How long after the entry it still counts; none for as long as the run lives.
    pub within: Option<Offset>,
    /// What a conversion is worth.
    pub value: Option<Expression>,
}

/// One thing to do, with its timing.
#[derive(Debug)]
pub struct Step {
    pub id: StepId,
    /// The arm of a container that it stands in; none at the top.
    pub within: Option<Within>,
    pub timing: Timing,
    pub condition: Option<Condition>,
    /// How far behind its moment it may still be done; none for the rule of the anchor (a day after it,
    /// or before it, until it), and for anything but a message, for ever.
    pub late: Option<SignedDuration>,
    /// Its own send window. Without one a message keeps the scenario's, and anything else has none.
    pub hours: Option<Hours>,
    /// Whether it is sent again when the anchor moves after it was sent; none for the default: yes
    /// before the anchor, no after.
    pub resend: Option<bool>,
    pub act: Act,
    /// Of a container, where the steps of each arm stand in [`Scenario::steps`]; else empty.
    pub arms: Vec<Range<usize>>,
}

impl Step {
    /// The messages of a step that sends; none for any other.
    pub fn messages(&self) -> Option<&Messages> {
        match &self.act {
            Act::Push(messages) => Some(messages),
            _ => None,
        }
    }
}

/// The place of a step inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Index of the container in [`Scenario::steps`].
    pub container: usize,
    /// Index of the arm in [`Step::arms`].
    pub arm: usize,
}

/// What a step does.
#[derive(Debug)]
pub enum Act {
    Push(Messages),
    Set(Set),
    /// Starts another scenario for the member.
    Enter(Started),
    /// Ends the run.
    Exit,
    /// Takes the first arm whose condition holds; one without a condition always does.
    Branch(Vec<Option<Condition>>),
    /// Takes an arm by the member's id, in these proportions.
    Split(Vec<u32>),
    /// Waits for an event, and takes the first arm if it comes in time, else the second.
    WaitFor(WaitFor),
}

/// A change of what is known of the member.
#[derive(Debug)]
pub struct Set {
    /// A JSON object; null takes an attribute away.
    pub attributes: Option<Document>,
    pub add_tags: Vec<String>,
    pub remove_tags: Vec<String>,
}

/// Another scenario that a step starts.
#[derive(Debug)]
pub struct Started {
    pub scenario: ScenarioId,
    /// A JSON object that is the event of the new run; none for that of the run that starts it.
    pub data: Option<Document>,
}

/// An event that a run waits for.
#[derive(Debug)]
pub struct WaitFor {
    pub on: EventName,
    pub condition: Option<Condition>,
    pub key: Option<Expression>,
    /// How long, from the moment the step is reached.
    pub within: Offset,
}

/// When a step is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// A civil date, so many days from the anchor's, at a time of day; the anchor's own if none is given.
    Day { days: i32, at: Option<Time> },
    /// From the anchor on; with a time of day where the unit is a day or more.
    After { offset: Offset, at: Option<Time> },
    /// Back from the anchor.
    Before { offset: Offset, at: Option<Time> },
    /// From the moment the step before was accepted or passed over.
    Wait { offset: Offset },
    /// As soon as it is reached.
    AtOnce,
}

/// A length of time as written: `90m`, `3d`, `3mo`.
#[derive(Clone, Debug)]
pub enum Offset {
    /// Seconds, minutes and hours: so much time, whatever the clocks do.
    Exact(SignedDuration),
    /// Days, weeks, months and years: so much calendar, in the scenario's zone.
    Civil(Span),
}

impl PartialEq for Offset {
    fn eq(&self, other: &Offset) -> bool {
        match (self, other) {
            (Offset::Exact(a), Offset::Exact(b)) => a == b,
            (Offset::Civil(a), Offset::Civil(b)) => a.fieldwise() == b.fieldwise(),
            _ => false,
        }
    }
}

/// A send window in civil time: minutes of the day, half-open, past midnight when `end < start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// 0 to 1439.
    pub start_minute: u16,
    /// 1 to 1440, never equal to `start_minute`.
    pub end_minute: u16,
}

/// What a scenario that does not say for itself gets from the configuration.
#[derive(Clone, Debug)]
pub struct Defaults {
    pub zone: TimeZone,
    pub hours: Option<Hours>,
    pub late: Option<SignedDuration>,
    pub grace: SignedDuration,
}

impl Default for Defaults {
    /// Asia/Tokyo, no send hours, ten minutes of grace.
    fn default() -> Defaults {
        Defaults {
            zone: TimeZone::get("Asia/Tokyo").expect("the time zone database is bundled"),
            hours: None,
            late: None,
            grace: SignedDuration::from_mins(10),
        }
    }
}

/// All scenarios that run together; swapped whole.
#[derive(Debug, Default)]
pub struct ScenarioSet {
    scenarios: BTreeMap<ScenarioId, Arc<Scenario>>,
    by_event: HashMap<EventName, Vec<Arc<Scenario>>>,
    digest: [u8; 32],
}

impl ScenarioSet {
    /// `digest` tells one set of files from another.
    pub fn new(scenarios: impl IntoIterator<Item = Scenario>, digest: [u8; 32]) -> ScenarioSet {
        let mut set = ScenarioSet { digest, ..ScenarioSet::default() };
        for scenario in scenarios {
            let scenario = Arc::new(scenario);
            let mut heard: Vec<&EventName> = (scenario.enter.iter().map(|e| &e.on))
                .chain(scenario.update.iter().map(|u| &u.on))
                .chain(scenario.exit.iter().map(|e| &e.on))
                .chain(scenario.goal.iter().map(|g| &g.on))
                .chain(scenario.steps.iter().filter_map(|step| match &step.act {
                    Act::WaitFor(awaited) => Some(&awaited.on),
                    _ => None,
                }))
                .collect();
            heard.sort_unstable();
            heard.dedup();
            for name in heard {
                set.by_event.entry(name.clone()).or_default().push(Arc::clone(&scenario));
            }
            set.scenarios.insert(scenario.id.clone(), scenario);
        }
        for listeners in set.by_event.values_mut() {
            listeners.sort_by(|a, b| a.id.cmp(&b.id));
        }
        set
    }

    pub fn get(&self, id: &ScenarioId) -> Option<&Arc<Scenario>> {
        self.scenarios.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Scenario>> {
        self.scenarios.values()
    }

    /// Those that an event of this name can start, move or end, by id.
    pub fn listening_to(&self, event: &EventName) -> &[Arc<Scenario>] {
        self.by_event.get(event).map_or(&[], Vec::as_slice)
    }

    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
