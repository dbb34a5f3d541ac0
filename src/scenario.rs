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
use jiff::{SignedDuration, Span, Timestamp};

use crate::model::{EventName, ScenarioId, StepId};

pub mod calendar;
pub mod cron;
pub mod file;
pub mod finding;
pub mod load;
pub mod message;
pub mod program;
pub mod sample;
pub mod schema;
pub mod source;
pub mod written;
pub mod yaml;

use calendar::{ClosedDays, Weekdays, Workdays};
use cron::Cron;
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
    /// How far behind a tick of its clock may be, and a message that does not say for itself.
    pub late: Option<SignedDuration>,
    pub enter: Vec<Enter>,
    /// What days are counted from; the entry if there is none.
    pub anchor: Option<Expression>,
    pub update: Vec<Update>,
    pub exit: Vec<Exit>,
    pub goal: Option<Goal>,
    /// Whose steps come first where several scenarios want to send to one member.
    pub priority: Priority,
    /// What a member can opt out of.
    pub topic: Option<Arc<str>>,
    pub caps: CapRule,
    /// How many of ten thousand members are kept for comparison: enrolled, never sent to.
    pub holdout: u32,
    /// Runs stand still: members enter, and nothing is sent.
    pub paused: bool,
    /// Entries before this instant are refused.
    pub starts: Option<Timestamp>,
    /// Entries from this instant on are refused, and runs end at it.
    pub ends: Option<Timestamp>,
    /// Which days are workdays for it.
    pub workdays: Workdays,
    /// True if steps may lie before the anchor: it is told by an event or a date of the member.
    pub anchored: bool,
    /// In file order, which is the order they run in; those inside a container follow it. Never empty.
    pub steps: Vec<Step>,
    /// Everything that is evaluated or rendered.
    pub program: Program,
}

impl Scenario {
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The steps that had other ids: which, and those.
    pub fn renamed(&self) -> impl Iterator<Item = (&StepId, &StepId)> {
        self.steps.iter().flat_map(|step| step.was.iter().map(move |was| (was, &step.id)))
    }

    /// The id that a step has now.
    pub fn id_now<'a>(&'a self, id: &'a StepId) -> &'a StepId {
        self.renamed().find(|(was, _)| *was == id).map_or(id, |(_, now)| now)
    }

    /// The rule by which steps of other scenarios and the API start it: its own for that, or else its first.
    /// None where only a date of the member does: without it a run would take today for the date.
    pub fn rule_by_hand(&self) -> Option<&Enter> {
        let by_date = |enter: &&Enter| matches!(enter.trigger, Trigger::Date { .. });
        (self.enter.iter().find(|enter| matches!(enter.trigger, Trigger::Manual)))
            .or_else(|| self.enter.iter().find(|enter| !by_date(enter)))
    }
}

/// The order of scenarios that want to send to one member at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// What becomes of a message that a frequency cap does not let out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapRule {
    /// It waits until the cap lets it.
    #[default]
    Defer,
    /// It is passed over.
    Skip,
    /// The caps do not hold for it, though it counts for others.
    Exempt,
}

/// The most messages to one member in a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub max: u32,
    pub per: SignedDuration,
}

/// What starts the scenario for a member, and a condition on it.
#[derive(Debug)]
pub struct Enter {
    pub trigger: Trigger,
    pub condition: Option<Condition>,
    /// Runs with different keys are different enrollments.
    pub key: Option<Expression>,
    pub again: Again,
}

impl Enter {
    /// The event that starts it; none where something else does.
    pub fn event(&self) -> Option<&EventName> {
        match &self.trigger {
            Trigger::Event(name) => Some(name),
            _ => None,
        }
    }
}

/// What starts a scenario.
#[derive(Debug)]
pub enum Trigger {
    Event(EventName),
    /// A change of the member that makes this true.
    Segment(Condition),
    /// A date of the member, which is the anchor; every year on that date, or once.
    Date {
        at: Expression,
        yearly: bool,
    },
    /// A moment on the clock, for all members that the condition holds for.
    Every(Box<Cron>),
    /// Only the API, the command line and steps of other scenarios.
    Manual,
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

/// What ends a run: an event, or a change of the member that makes something true.
#[derive(Debug)]
pub enum Ending {
    Event(EventName),
    Segment(Condition),
}

impl Ending {
    /// The event that it is; none for a change of the member.
    pub fn event(&self) -> Option<&EventName> {
        match self {
            Ending::Event(name) => Some(name),
            Ending::Segment(_) => None,
        }
    }
}

/// What ends a run early.
#[derive(Debug)]
pub struct Exit {
    pub ending: Ending,
    pub condition: Option<Condition>,
    pub key: Option<Expression>,
}

/// What a run is for: reached, it ends as converted.
#[derive(Debug)]
pub struct Goal {
    pub ending: Ending,
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
    /// Ids that it had before; none of them is that of a step.
    pub was: Vec<StepId>,
    /// The arm of a container that it stands in; none at the top.
    pub within: Option<Within>,
    pub timing: Timing,
    /// The days that its moment may fall on.
    pub days: Days,
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

/// The days that a step's moment may fall on; one that falls on another moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    pub on: Option<Weekdays>,
    /// Only workdays; and days are counted in them.
    pub workdays: bool,
}

impl Days {
    /// True if any day will do.
    pub fn is_any(self) -> bool {
        self.on.is_none() && !self.workdays
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
    /// Tells the operator's own service.
    Call(Call),
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

/// A request to the operator's own service.
#[derive(Debug)]
pub struct Call {
    pub url: Arc<str>,
    /// The JSON value that is sent; none for what is known of the run.
    pub body: Option<Document>,
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
    /// Frequency caps, which hold for all scenarios together.
    pub caps: Vec<Cap>,
    /// Days on which the operator does not work.
    pub closed: Vec<ClosedDays>,
    /// Hosts that steps may call; none where that is not known, and any will do.
    pub call_hosts: Option<Vec<String>>,
}

impl Default for Defaults {
    /// Asia/Tokyo, no send hours, ten minutes of grace.
    fn default() -> Defaults {
        Defaults {
            zone: TimeZone::get("Asia/Tokyo").expect("the time zone database is bundled"),
            hours: None,
            late: None,
            grace: SignedDuration::from_mins(10),
            caps: Vec::new(),
            closed: Vec::new(),
            call_hosts: None,
        }
    }
}

/// All scenarios that run together; swapped whole.
#[derive(Debug, Default)]
pub struct ScenarioSet {
    scenarios: BTreeMap<ScenarioId, Arc<Scenario>>,
    by_event: HashMap<EventName, Vec<Arc<Scenario>>>,
    /// Those that a change of a member may start or end.
    segmented: Vec<Arc<Scenario>>,
    /// Those that a date of a member plans.
    dated: Vec<Arc<Scenario>>,
    has_renamed: bool,
    caps: Vec<Cap>,
    digest: [u8; 32],
}

impl ScenarioSet {
    /// `digest` tells one set of files, with what they get where they do not say for themselves, from another.
    pub fn new(
        scenarios: impl IntoIterator<Item = Scenario>,
        caps: Vec<Cap>,
        digest: [u8; 32],
    ) -> ScenarioSet {
        let mut set = ScenarioSet { caps, digest, ..ScenarioSet::default() };
        for scenario in scenarios {
            let scenario = Arc::new(scenario);
            let mut heard: Vec<&EventName> = (scenario.enter.iter().filter_map(Enter::event))
                .chain(scenario.update.iter().map(|u| &u.on))
                .chain(scenario.exit.iter().filter_map(|e| e.ending.event()))
                .chain(scenario.goal.iter().filter_map(|g| g.ending.event()))
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
            let starts = |is: fn(&Trigger) -> bool| scenario.enter.iter().any(|enter| is(&enter.trigger));
            let mut endings =
                scenario.exit.iter().map(|e| &e.ending).chain(scenario.goal.iter().map(|g| &g.ending));
            if starts(|trigger| matches!(trigger, Trigger::Segment(_)))
                || endings.any(|ending| matches!(ending, Ending::Segment(_)))
            {
                set.segmented.push(Arc::clone(&scenario));
            }
            if starts(|trigger| matches!(trigger, Trigger::Date { .. })) {
                set.dated.push(Arc::clone(&scenario));
            }
            set.has_renamed |= scenario.renamed().next().is_some();
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

    /// Those that a change of a member may start or end.
    pub fn segmented(&self) -> &[Arc<Scenario>] {
        &self.segmented
    }

    /// Those that a date of a member plans.
    pub fn dated(&self) -> &[Arc<Scenario>] {
        &self.dated
    }

    /// True if a step has another id than it had.
    pub fn has_renamed(&self) -> bool {
        self.has_renamed
    }

    /// Frequency caps, which hold for all scenarios together.
    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }

    /// The triggers on the clock: scenario, index in [`Scenario::enter`], pattern.
    pub fn crons(&self) -> impl Iterator<Item = (&Arc<Scenario>, usize, &Cron)> {
        self.scenarios.values().flat_map(|scenario| {
            scenario.enter.iter().enumerate().filter_map(move |(index, enter)| match &enter.trigger {
                Trigger::Every(cron) => Some((scenario, index, &**cron)),
                _ => None,
            })
        })
    }

    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
