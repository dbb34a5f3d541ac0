//! Live edits: a scenario's file is edited at random while members are on their way, over a LINE that is
//! not always there, with restarts between; and what LINE got is looked at after each turn.
//!
//! What holds, whatever is edited:
//!
//! - **once**: LINE takes a step at most once for a run, unless the run's anchor moved in between while the
//!   file had the step, with a time before the anchor;
//! - **order**: a step that nothing has been decided about is not sent once something behind it in the file
//!   as it is then has been settled;
//! - **no flood**: of the messages with a time of their own that a run sends at one instant, at most one is
//!   overdue by more than `grace`; one more only behind a choice or a `set` that was done at that instant,
//!   because what is behind a choice cannot be told before;
//! - **removed**: runs of a file that is gone end as `removed` and nothing more goes out for them. If it was
//!   paused, they stand still and go on when it is back;
//! - **arms**: what stands, in the file as it is then, in another arm than the one that was taken is not
//!   sent; the arm is known by the step that was first in it;
//! - **nothing lost**: when a run is completed, something was decided about each step of the file's top that
//!   nothing behind it was decided about;
//! - **an end**: in the end every run has ended and the outbox is empty;
//! - **idle**: the same file once more, or a restart with nothing in flight, changes nothing.
//!
//! `EDITS=20000 cargo test --release --test it edits -- --nocapture` is the long form; `EDITS=20000:7` draws
//! other histories.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use amadare::clock::Moment;
use amadare::dispatch::plan::{Proposal, plan};
use amadare::dispatch::turns::Opening;
use amadare::dispatch::{
    Action, Attempted, Carried, Command, Effect, Happened, IfTaken, LinkRequest, Minutes, Parcel, Turns, Whom,
};
use amadare::engine::Change;
use amadare::model::{
    DeliveryId, Ended, Enrollment, EnrollmentId, Event, EventName, LineUserId, MemberFile, MemberId,
    RetryKey, ScenarioId, Settlement, StepId, What,
};
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Defaults, Scenario, ScenarioSet, Timing as When};
use amadare::store::{self, MemoryStore, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// Histories in the form that runs with all tests.
const CASES: u32 = 50;

/// Turns at one instant beyond which it does not come to rest.
const MAX_TURNS_AT_ONCE: usize = 2_000;

/// Turns in a history beyond which it does not end: weeks without LINE are some hundred attempts a day.
const MAX_TURNS: usize = 500_000;

const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];

const OTHER: &str = r#"
scenario: other
enter: { manual: true, again: always }
steps:
  - { step: hello, push: hello }
"#;

/// A file in the making.
#[derive(Clone, Debug)]
struct Draft {
    steps: Vec<Item>,
    is_gone: bool,
    is_paused: bool,
    /// The key, the anchor and `again`: one of several each.
    entry: [usize; 3],
    has_hours: bool,
    is_patient: bool,
    /// The number of the next new step.
    next: usize,
    removed: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    id: usize,
    timing: usize,
    when: Option<bool>,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Push(usize),
    Set(bool),
    Enter,
    Exit,
    Choice(Kind, Vec<Vec<Item>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Branch,
    Split,
    WaitFor,
}

/// What a step is timed by. The first two have no time of their own.
const TIMINGS: [&str; 11] = [
    r#"{}"#,
    r#"{"wait":"2h"}"#,
    r#"{"wait":"2d"}"#,
    r#"{"day":0}"#,
    r#"{"day":1,"at":"10:00"}"#,
    r#"{"day":3}"#,
    r#"{"day":-1,"at":"18:00"}"#,
    r#"{"before":"1h"}"#,
    r#"{"before":"2d"}"#,
    r#"{"after":"1h"}"#,
    r#"{"after":"2d","at":"09:00"}"#,
];

/// Numbers that choose a place are taken modulo the places there are.
#[derive(Clone, Debug)]
enum Edit {
    Nothing,
    Move(usize, usize),
    Remove(usize),
    BringBack(usize, usize),
    Insert(usize, Item),
    Retime(usize, usize),
    Reword(usize),
    Condition(usize, Option<bool>),
    Wrap(usize, usize, Kind),
    Unwrap(usize),
    AddArm(usize, usize, Vec<Item>),
    DropArm(usize, usize),
    SwapArms(usize, usize),
    Pause,
    Gone,
    Entry(usize, usize),
    Hours,
    Patience,
}

/// What LINE does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fine,
    /// No connection.
    Away,
    /// The request is lost, or its answer.
    Lossy,
}

#[derive(Clone, Debug)]
enum Do {
    Enter { member: usize, key: usize, hours: i64 },
    Move { member: usize, key: usize, hours: i64 },
    Leave { member: usize, key: usize },
    Answer { member: usize },
    Vip { member: usize, is_vip: bool },
    Edit(Edit),
    Restart(Edit),
    Weather(Weather),
}

/// A history: what happens, and how long after what happened before.
#[derive(Clone, Debug)]
struct History {
    draft: Draft,
    happens: Vec<(usize, Do)>,
}

const PAUSES_MIN: [i64; 7] = [0, 1, 30, 2 * 60, 6 * 60, 20 * 60, 2 * 24 * 60];

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        32 => Just(Act::Push(0)),
        4 => any::<bool>().prop_map(Act::Set),
        2 => Just(Act::Enter),
        1 => Just(Act::Exit),
    ];
    let condition = prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let timed = move |act: BoxedStrategy<Act>| {
        (0..TIMINGS.len(), condition.clone(), act).prop_map(|(timing, when, act)| Item {
            id: 0,
            timing,
            when,
            act,
        })
    };
    let of = timed.clone();
    timed(leaf.boxed()).prop_recursive(2, 10, 3, move |inner| {
        let arms = prop::collection::vec(prop::collection::vec(inner, 0..3), 2..4);
        let choice = (kind(), arms).prop_map(|(kind, mut arms)| {
            if kind == Kind::WaitFor {
                arms.truncate(2);
            }
            Act::Choice(kind, arms)
        });
        of(choice.boxed())
    })
}

fn kind() -> impl Strategy<Value = Kind> + Clone {
    prop_oneof![Just(Kind::Branch), Just(Kind::Split), Just(Kind::WaitFor)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let n = 0..30_usize;
    let place = (n.clone(), n.clone());
    prop_oneof![
        1 => Just(Edit::Nothing),
        4 => place.clone().prop_map(|(from, to)| Edit::Move(from, to)),
        3 => n.clone().prop_map(Edit::Remove),
        3 => place.clone().prop_map(|(which, to)| Edit::BringBack(which, to)),
        4 => (n.clone(), item()).prop_map(|(to, item)| Edit::Insert(to, item)),
        3 => (n.clone(), 0..TIMINGS.len()).prop_map(|(which, timing)| Edit::Retime(which, timing)),
        1 => n.clone().prop_map(Edit::Reword),
        1 => (n.clone(), any::<Option<bool>>()).prop_map(|(which, when)| Edit::Condition(which, when)),
        3 => (n.clone(), 1..4_usize, kind()).prop_map(|(which, many, kind)| Edit::Wrap(which, many, kind)),
        2 => n.clone().prop_map(Edit::Unwrap),
        2 => (n.clone(), 0..3_usize, prop::collection::vec(item(), 0..3))
            .prop_map(|(which, arm, steps)| Edit::AddArm(which, arm, steps)),
        2 => place.clone().prop_map(|(which, arm)| Edit::DropArm(which, arm)),
        2 => place.prop_map(|(which, arm)| Edit::SwapArms(which, arm)),
        2 => Just(Edit::Pause),
        1 => Just(Edit::Gone),
        1 => (0..3_usize, 0..3_usize).prop_map(|(which, to)| Edit::Entry(which, to)),
        1 => Just(Edit::Hours),
        1 => Just(Edit::Patience),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let member = 0..MEMBERS.len();
    let hours = prop_oneof![Just(0_i64), Just(-30), Just(2), Just(30), Just(60), Just(130)];
    let what = prop_oneof![
        7 => (member.clone(), 0..2_usize, hours.clone())
            .prop_map(|(member, key, hours)| Do::Enter { member, key, hours }),
        3 => (member.clone(), 0..2_usize, hours)
            .prop_map(|(member, key, hours)| Do::Move { member, key, hours }),
        1 => (member.clone(), 0..2_usize).prop_map(|(member, key)| Do::Leave { member, key }),
        2 => member.clone().prop_map(|member| Do::Answer { member }),
        1 => (member, any::<bool>()).prop_map(|(member, is_vip)| Do::Vip { member, is_vip }),
        8 => edit().prop_map(Do::Edit),
        1 => edit().prop_map(Do::Restart),
        1 => prop_oneof![2 => Just(Weather::Fine), 1 => Just(Weather::Away), 2 => Just(Weather::Lossy)]
            .prop_map(Do::Weather),
    ];
    let draft = (prop::collection::vec(item(), 2..7), [0..2_usize, 0..2, 0..3], any::<[bool; 3]>());
    let draft = draft.prop_map(|(steps, entry, [has_hours, is_patient, is_paused])| {
        let mut draft = Draft {
            steps,
            is_gone: false,
            is_paused: is_paused && has_hours && is_patient,
            entry,
            has_hours,
            is_patient,
            next: 0,
            removed: Vec::new(),
        };
        name(&mut draft.steps, &mut draft.next);
        draft
    });
    let happens = prop::collection::vec((0..PAUSES_MIN.len(), what), 4..30);
    (draft, happens).prop_map(|(draft, happens)| History { draft, happens })
}

/// Gives new steps their ids.
fn name(items: &mut [Item], next: &mut usize) {
    for item in items {
        item.id = *next;
        *next += 1;
        if let Act::Choice(_, arms) = &mut item.act {
            arms.iter_mut().for_each(|arm| name(arm, next));
        }
    }
}

/// The way to a list of steps: which step, which of its arms, and so on.
type Way = Vec<(usize, usize)>;

/// The places in a list of steps and in all below it: those of the steps, or with those behind the last.
fn places(items: &[Item], way: &Way, behind: usize, out: &mut Vec<(Way, usize)>) {
    for place in 0..items.len() + behind {
        out.push((way.clone(), place));
        if let Some(Act::Choice(_, arms)) = items.get(place).map(|item| &item.act) {
            for (arm, steps) in arms.iter().enumerate() {
                let way = way.iter().copied().chain([(place, arm)]).collect();
                places(steps, &way, behind, out);
            }
        }
    }
}

impl Act {
    fn arms(&mut self) -> &mut Vec<Vec<Item>> {
        match self {
            Act::Choice(_, arms) => arms,
            _ => unreachable!("only choices have arms"),
        }
    }
}

impl Draft {
    fn list(&mut self, way: &Way) -> &mut Vec<Item> {
        let mut list = &mut self.steps;
        for (place, arm) in way {
            list = &mut list[*place].act.arms()[*arm];
        }
        list
    }

    fn place(&self, n: usize, behind: usize, is_meant: impl Fn(&Item) -> bool) -> Option<(Way, usize)> {
        let mut all = Vec::new();
        places(&self.steps, &Way::new(), behind, &mut all);
        let mut copy = self.clone();
        all.retain(|(way, place)| copy.list(way).get(*place).is_none_or(&is_meant));
        (!all.is_empty()).then(|| all.swap_remove(n % all.len()))
    }

    fn step(&mut self, n: usize) -> Option<&mut Item> {
        let (way, place) = self.place(n, 0, |_| true)?;
        Some(&mut self.list(&way)[place])
    }

    fn choice(&mut self, n: usize) -> Option<(Kind, &mut Vec<Vec<Item>>)> {
        let (way, place) = self.place(n, 0, |item| matches!(item.act, Act::Choice(..)))?;
        match &mut self.list(&way)[place].act {
            Act::Choice(kind, arms) => Some((*kind, arms)),
            _ => None,
        }
    }

    fn take(&mut self, n: usize) -> Option<Item> {
        let (way, place) = self.place(n, 0, |_| true)?;
        Some(self.list(&way).remove(place))
    }

    fn put(&mut self, n: usize, item: Item) {
        let (way, place) = self.place(n, 1, |_| true).expect("there is a place behind the last");
        self.list(&way).insert(place, item);
    }

    /// Edits; none where there is nothing to edit so.
    fn edit(&mut self, edit: &Edit) -> Option<()> {
        match edit {
            Edit::Nothing => {}
            Edit::Move(from, to) => {
                let item = self.take(*from)?;
                self.put(*to, item);
            }
            Edit::Remove(which) => {
                let item = self.take(*which)?;
                self.removed.push(item);
            }
            Edit::BringBack(which, to) => {
                let which = which.checked_rem(self.removed.len())?;
                let item = self.removed.remove(which);
                self.put(*to, item);
            }
            Edit::Insert(to, item) => {
                let mut item = item.clone();
                name(std::slice::from_mut(&mut item), &mut self.next);
                self.put(*to, item);
            }
            Edit::Retime(which, timing) => self.step(*which)?.timing = *timing,
            Edit::Reword(which) => match &mut self.step(*which)?.act {
                Act::Push(version) => *version += 1,
                _ => return None,
            },
            Edit::Condition(which, when) => self.step(*which)?.when = *when,
            Edit::Wrap(which, many, kind) => {
                let (way, place) = self.place(*which, 0, |_| true)?;
                let id = self.next;
                self.next += 1;
                let list = self.list(&way);
                let inside: Vec<Item> = list.drain(place..list.len().min(place + many)).collect();
                let act = Act::Choice(*kind, vec![inside, Vec::new()]);
                list.insert(place, Item { id, timing: 0, when: None, act });
            }
            Edit::Unwrap(which) => {
                let (way, place) = self.place(*which, 0, |item| matches!(item.act, Act::Choice(..)))?;
                let list = self.list(&way);
                let mut choice = list.remove(place);
                let inside: Vec<Item> = choice.act.arms().drain(..).flatten().collect();
                list.splice(place..place, inside);
                choice.act = Act::Choice(Kind::Branch, vec![Vec::new(); 2]);
                self.removed.push(choice);
            }
            Edit::AddArm(which, arm, steps) => {
                let mut steps = steps.clone();
                let mut next = self.next;
                name(&mut steps, &mut next);
                let (kind, arms) = self.choice(*which)?;
                if kind == Kind::WaitFor {
                    return None;
                }
                arms.insert(arm % (arms.len() + 1), steps);
                self.next = next;
            }
            Edit::DropArm(which, arm) => {
                let (kind, arms) = self.choice(*which)?;
                let arm = arm % arms.len();
                let dropped = match kind {
                    Kind::WaitFor => std::mem::take(&mut arms[arm]),
                    _ if arms.len() > 2 => arms.remove(arm),
                    _ => return None,
                };
                self.removed.extend(dropped);
            }
            Edit::SwapArms(which, arm) => {
                let (_, arms) = self.choice(*which)?;
                let arm = arm % arms.len();
                arms.swap(0, arm);
            }
            Edit::Pause => self.is_paused ^= true,
            Edit::Gone => self.is_gone ^= true,
            Edit::Entry(which, to) => self.entry[*which] = *to,
            Edit::Hours => self.has_hours ^= true,
            Edit::Patience => self.is_patient ^= true,
        }
        Some(())
    }

    fn text(&self) -> String {
        let [key, anchor, again] = self.entry;
        let key = ["event.k", "event.l"][key % 2];
        let anchor = ["event.t", "event.u"][anchor % 2];
        let again = ["never", "after_exit", "always"][again % 3];
        let mut file = json!({
            "scenario": "main",
            "enter": { "on": "go", "key": key, "again": again },
            "anchor": anchor,
            "update": { "on": "moved", "key": key },
            "exit": { "on": "leave", "key": key },
            "paused": self.is_paused,
            "steps": self.steps.iter().map(written).collect::<Vec<_>>(),
        });
        if self.has_hours {
            file["hours"] = "09:00-21:00".into();
        }
        if self.is_patient {
            file["late"] = "30d".into();
        }
        serde_json::to_string_pretty(&file).unwrap()
    }

    /// The set with this file, if it is a right one.
    fn load(&self) -> Result<Arc<ScenarioSet>, String> {
        let mut files = vec![("other.yaml".to_owned(), OTHER.as_bytes().to_vec())];
        if !self.is_gone {
            files.push(("main.yaml".to_owned(), self.text().into_bytes()));
        }
        let loaded = load(&Sources::from_files(files), &Defaults::default());
        let findings = || loaded.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        loaded.set.map(Arc::new).ok_or_else(findings)
    }
}

fn written(item: &Item) -> Value {
    let mut step: Map<String, Value> = serde_json::from_str(TIMINGS[item.timing]).unwrap();
    step.insert("step".into(), format!("s{}", item.id).into());
    if let Some(is_vip) = item.when {
        step.insert("when".into(), vip(is_vip).into());
    }
    let list = |steps: &Vec<Item>| Value::from(steps.iter().map(written).collect::<Vec<_>>());
    match &item.act {
        Act::Push(version) => {
            step.insert("push".into(), format!("s{} version {version}", item.id).into());
        }
        Act::Set(is_vip) => {
            step.insert("set".into(), json!({ "attributes": { "vip": is_vip } }));
        }
        Act::Enter => {
            step.insert("enter".into(), "other".into());
        }
        Act::Exit => {
            step.insert("exit".into(), true.into());
        }
        Act::Choice(Kind::Branch, arms) => {
            let arm = |(place, steps): (usize, &Vec<Item>)| match place {
                _ if place + 1 == arms.len() => json!({ "else": true, "steps": list(steps) }),
                _ => json!({ "when": vip(place == 0), "steps": list(steps) }),
            };
            step.insert("branch".into(), arms.iter().enumerate().map(arm).collect());
        }
        Act::Choice(Kind::Split, arms) => {
            let arm = |steps: &Vec<Item>| match steps.is_empty() {
                true => json!({ "weight": 1 }),
                false => json!({ "weight": 1, "steps": list(steps) }),
            };
            step.insert("split".into(), arms.iter().map(arm).collect());
        }
        Act::Choice(Kind::WaitFor, arms) => {
            step.insert("wait_for".into(), json!({ "on": "answer", "within": "1d" }));
            for (word, steps) in
                ["steps", "else"].into_iter().zip(arms).filter(|(_, steps)| !steps.is_empty())
            {
                step.insert(word.into(), list(steps));
            }
        }
    }
    step.into()
}

fn vip(is_vip: bool) -> &'static str {
    if is_vip { "member.vip" } else { "not member.vip" }
}

fn main_id() -> ScenarioId {
    ScenarioId::new("main").unwrap()
}

fn user(member: &MemberId) -> LineUserId {
    LineUserId::new(&format!("U{:032x}", amadare::model::fingerprint(member.as_str()))).unwrap()
}

/// What is known of a run beside its place in the member's file.
#[derive(Debug, Default)]
struct Known {
    /// Deliveries that were attempted.
    attempted: HashSet<DeliveryId>,
    accepted: HashSet<StepId>,
    /// Steps that may be sent once more, because the anchor has moved.
    reopened: HashSet<StepId>,
    /// When last a message went out overdue, and what had been done for the member by then.
    overdue: Option<(usize, Timestamp, usize)>,
}

struct World {
    store: Arc<dyn Store>,
    turns: Turns,
    queue: VecDeque<Command>,
    now: Timestamp,
    scenarios: Arc<ScenarioSet>,
    draft: Draft,
    weather: Weather,
    taken: HashSet<RetryKey>,
    files: BTreeMap<MemberId, MemberFile>,
    known: HashMap<EnrollmentId, Known>,
    /// How many steps that send nothing were done for each member.
    done: HashMap<MemberId, usize>,
    /// Steps of `main` that something was decided about, and how many runs of it the member has had.
    decided: HashMap<MemberId, (BTreeSet<StepId>, usize)>,
    /// How many things have happened from outside.
    acts: usize,
    /// What the outside does next is another event.
    events: usize,
    turns_taken: usize,
    /// The instant of the newest turn, and how many there were at it.
    turns_at: (Timestamp, usize),
    happened: Vec<String>,
    is_dormant: bool,
    accepted: usize,
}

/// What does not hold.
type Wrong = TestCaseError;

macro_rules! holds {
    ($condition:expr, $($why:tt)*) => {
        if !$condition {
            return Err(Wrong::fail(format!($($why)*)));
        }
    };
}

impl World {
    fn new(draft: &Draft, store: Arc<dyn Store>) -> World {
        let now: Timestamp = "2026-03-02T03:00:00Z".parse().unwrap();
        let scenarios = draft.load().unwrap_or_else(|findings| panic!("{findings}\n{}", draft.text()));
        let turns = open(&store, &scenarios, now);
        World {
            store,
            turns,
            queue: VecDeque::new(),
            now,
            scenarios,
            draft: draft.clone(),
            weather: Weather::Fine,
            taken: HashSet::new(),
            files: BTreeMap::new(),
            known: HashMap::new(),
            done: HashMap::new(),
            decided: HashMap::new(),
            acts: 0,
            events: 0,
            turns_taken: 0,
            turns_at: (now, 0),
            happened: Vec::new(),
            is_dormant: false,
            accepted: 0,
        }
    }

    fn main(&self) -> Option<Arc<Scenario>> {
        self.scenarios.get(&main_id()).cloned()
    }

    /// Takes turns until nothing is left to do at this instant.
    fn settle_down(&mut self) -> Result<(), Wrong> {
        while !self.queue.is_empty() || self.turns.wake().is_some_and(|wake| wake <= self.now) {
            self.turn()?;
        }
        Ok(())
    }

    fn run_until(&mut self, until: Timestamp) -> Result<(), Wrong> {
        self.settle_down()?;
        while let Some(wake) = self.turns.wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.settle_down()?;
        }
        self.now = until;
        Ok(())
    }

    fn ask(&mut self, what: Action) -> Result<(), Wrong> {
        self.queue.push_back(Command { what, reply: None });
        self.settle_down()
    }

    fn turn(&mut self) -> Result<(), Wrong> {
        self.turns_taken += 1;
        self.turns_at = (self.now, if self.turns_at.0 == self.now { self.turns_at.1 + 1 } else { 1 });
        let (outbox, wake) = (self.turns.outbox_len(), self.turns.wake());
        holds!(
            self.turns_at.1 < MAX_TURNS_AT_ONCE,
            "no rest at {}: {outbox} in the outbox, wakes {wake:?}",
            self.now
        );
        holds!(
            self.turns_taken < MAX_TURNS,
            "no end at {}: {outbox} in the outbox, wakes {wake:?}",
            self.now
        );
        let effects = self.turns.take(&mut self.queue, Moment::by_hand(self.now)).unwrap();
        self.store.flush().unwrap();
        if effects.is_empty() {
            // most turns of a sweep find nothing to say
            return Ok(());
        }
        let before = std::mem::take(&mut self.files);
        self.read_files();
        self.note_moves(&before);
        for effect in effects.0 {
            match effect {
                Effect::Happened(happened) => self.note(&happened)?,
                Effect::Attempt(parcel) => self.attempt(&parcel, &before)?,
                Effect::Answer(..) | Effect::ConfirmQuota | Effect::Holds(_) => {}
            }
        }
        Ok(())
    }

    fn read_files(&mut self) {
        let ids: Vec<MemberId> = MEMBERS.iter().map(|id| MemberId::new(id).unwrap()).collect();
        let files = store::load_members(&*self.store, &ids).unwrap();
        self.files = ids.into_iter().zip(files).filter_map(|(id, file)| Some((id, file?))).collect();
    }

    /// A step before the anchor may be sent again once that has moved, if the file has the step.
    fn note_moves(&mut self, before: &BTreeMap<MemberId, MemberFile>) {
        let Some(main) = self.main() else { return };
        let is_before = |timing: &When| match timing {
            When::Before { .. } => true,
            When::Day { days, .. } => *days < 0,
            _ => false,
        };
        for run in runs(&self.files) {
            if find(before, run.id).is_some_and(|old| old.anchor != run.anchor) {
                let reopened = main.steps.iter().filter(|step| is_before(&step.timing));
                self.known.entry(run.id).or_default().reopened.extend(reopened.map(|step| step.id.clone()));
            }
        }
    }

    fn note(&mut self, happened: &Happened) -> Result<(), Wrong> {
        let Happened { member, happening } = happened;
        let step = happening.step.as_ref();
        self.happened.push(format!(
            "{} {member} {} {}/{} {}",
            happening.at,
            happening.what.word(),
            happening.scenario.as_ref().map_or("", |scenario| scenario.as_str()),
            step.map_or("", StepId::as_str),
            happening.reason.as_deref().unwrap_or_default(),
        ));
        if happening.what == What::Done {
            *self.done.entry(member.clone()).or_default() += 1;
        }
        if happening.scenario != Some(main_id()) {
            return Ok(());
        }
        let is_answer = matches!(happening.what, What::Withdrawn | What::Unknown | What::Accepted);
        holds!(!self.is_dormant || is_answer, "{} while it stands still", self.happened.last().unwrap());
        let main = self.main();
        let is_gone = main.is_none();
        let is_end = happening.what == What::Exited && happening.reason.as_deref() == Some("removed");
        holds!(is_end == (is_gone && happening.what == What::Exited), "{happening:?}, gone: {is_gone}");
        let (decided, entered) = self.decided.entry(member.clone()).or_default();
        match happening.what {
            What::Enrolled => *entered += 1,
            What::Completed if *entered == 1 => {
                let steps = main.as_ref().map_or(&[][..], |main| &main.steps);
                let after = steps.iter().rev().take_while(|step| !decided.contains(&step.id));
                let open: Vec<&StepId> = after.filter(|s| s.within.is_none()).map(|s| &s.id).collect();
                holds!(open.is_empty(), "{member} was completed without a word about {open:?}");
            }
            What::Accepted | What::Done | What::Skipped | What::Rejected | What::Expired | What::Unknown => {
                decided.extend(step.cloned());
            }
            _ => {}
        }
        Ok(())
    }

    /// LINE gets a request.
    fn attempt(&mut self, parcel: &Parcel, before: &BTreeMap<MemberId, MemberFile>) -> Result<(), Wrong> {
        for carried in &parcel.deliveries {
            self.look_at(parcel, carried, before)?;
        }
        let key = parcel.retry_key;
        let (is_taken, attempted) = match self.weather {
            Weather::Fine => (true, Attempted::Accepted),
            Weather::Away => (false, Attempted::NotSent),
            // by the key, so that it is the same for every store
            Weather::Lossy => {
                ((key.0.as_u128() + self.turns_taken as u128).is_multiple_of(3), Attempted::Ambiguous)
            }
        };
        if is_taken && self.taken.insert(key) {
            for carried in &parcel.deliveries {
                self.accept(parcel, carried)?;
            }
        }
        let what = Action::Attempted { retry_key: key, attempted };
        self.queue.push_back(Command { what, reply: None });
        Ok(())
    }

    /// LINE takes a message.
    fn accept(&mut self, parcel: &Parcel, carried: &Carried) -> Result<(), Wrong> {
        self.accepted += 1;
        let (member, step) = (&carried.member, &parcel.step);
        self.happened.push(format!("{} {member} received {}/{step}", self.now, parcel.scenario));
        let known = self.known.entry(carried.enrollment).or_default();
        let is_first = known.accepted.insert(step.clone());
        let is_reopened = known.reopened.remove(step);
        holds!(is_first || is_reopened, "{member} got {step} twice");
        Ok(())
    }

    /// Whether a message should be on its way at all.
    fn look_at(
        &mut self,
        parcel: &Parcel,
        carried: &Carried,
        before: &BTreeMap<MemberId, MemberFile>,
    ) -> Result<(), Wrong> {
        if parcel.scenario != main_id() {
            return Ok(());
        }
        let (member, id) = (&carried.member, &parcel.step);
        let known = self.known.entry(carried.enrollment).or_default();
        let is_first = known.attempted.insert(carried.id);
        let Some(main) = self.main() else {
            return Err(Wrong::fail(format!("{member} is sent {id} of a file that is gone")));
        };
        let run = find(&self.files, carried.enrollment).expect("a run in flight is kept");
        holds!(run.ended != Some(Ended::Exited), "{member} is sent {id} after its exit");
        if !is_first {
            return Ok(());
        }
        holds!(!main.paused, "{member} is sent {id} of a paused file");
        let place = |id: &StepId| main.steps.iter().position(|step| step.id == *id);
        let Some(here) = place(id) else {
            return Err(Wrong::fail(format!("{member} is sent {id}, which is gone")));
        };
        let step = &main.steps[here];
        let civil = self.now.to_zoned_datetime(TimeZone::get("Asia/Tokyo").unwrap());
        holds!(main.hours.is_none() || (9..21).contains(&civil.hour()), "{member} is sent {id} at {civil}");

        let had_record = find(before, run.id).is_some_and(|run| run.steps.iter().any(|r| r.step == *id));
        let settled = run.steps.iter().filter(|record| record.settled.is_some());
        let behind = settled.filter(|record| place(&record.step).is_some_and(|there| there > here));
        let behind: Vec<&str> = behind.map(|record| record.step.as_str()).collect();
        holds!(had_record || behind.is_empty(), "{member} is sent {id} after {behind:?}");

        let mut inner = step;
        while let Some(within) = inner.within {
            let outer = &main.steps[within.container];
            if let Some(record) = run.steps.iter().find(|record| record.step == outer.id)
                && let Some(settled) = record.settled
            {
                holds!(settled.how == Settlement::Done, "{member} is sent {id} in {}", outer.id);
                let Some(took) = &record.took else {
                    return Err(Wrong::fail(format!("{member} is sent {id}: {} took no arm", outer.id)));
                };
                let has_first =
                    |arm: usize| main.steps[outer.arms[arm].clone()].iter().any(|step| step.id == *took);
                let is_elsewhere = (0..outer.arms.len()).any(|arm| arm != within.arm && has_first(arm));
                holds!(!is_elsewhere, "{member} is sent {id}, but {} took {took}", outer.id);
            }
            inner = outer;
        }

        let has_own_time = !matches!(step.timing, When::Wait { .. } | When::AtOnce);
        if has_own_time && self.now.duration_since(carried.due) > main.grace {
            let done = self.done.get(member).copied().unwrap_or_default();
            let this = (self.acts, self.now, done);
            let known = self.known.entry(carried.enrollment).or_default();
            let last = known.overdue.replace(this);
            holds!(last != Some(this), "{member} is flooded by {id}");
        }
        Ok(())
    }

    fn act(&mut self, what: &Do) -> Result<(), Wrong> {
        self.acts += 1;
        let member = |place: usize| MemberId::new(MEMBERS[place]).unwrap();
        match what {
            Do::Enter { member: place, key, hours } => {
                let data = self.data(*key, *hours);
                self.event(member(*place), "go", data)
            }
            Do::Move { member: place, key, hours } => {
                let data = self.data(*key, *hours);
                self.event(member(*place), "moved", data)
            }
            Do::Leave { member: place, key } => {
                let data = self.data(*key, 0);
                self.event(member(*place), "leave", data)
            }
            Do::Answer { member: place } => self.event(member(*place), "answer", json!({})),
            Do::Vip { member: place, is_vip } => {
                let attributes = json!({ "vip": is_vip }).as_object().cloned();
                let change = Change { attributes, ..Change::default() };
                self.ask(Action::Change { member: member(*place), change, link: None })
            }
            Do::Edit(edit) => match self.edited(edit) {
                Some((draft, scenarios)) => self.reload(draft, scenarios),
                None => Ok(()),
            },
            Do::Restart(edit) => match self.edited(edit) {
                Some((draft, scenarios)) => self.restart(draft, scenarios),
                None => Ok(()),
            },
            Do::Weather(weather) => {
                self.weather = *weather;
                Ok(())
            }
        }
    }

    fn data(&self, key: usize, hours: i64) -> Value {
        let at = |hours: i64| (self.now + SignedDuration::from_hours(hours)).to_string();
        let key = ["a", "b"][key];
        json!({ "k": key, "l": format!("{key}-of-another-kind"), "t": at(hours), "u": at(hours + 24) })
    }

    fn event(&mut self, member: MemberId, name: &str, data: Value) -> Result<(), Wrong> {
        self.events += 1;
        let id = Some(format!("e{}", self.events));
        let data = data.as_object().cloned().unwrap_or_default();
        let event = Event { id, name: EventName::new(name).unwrap(), at: self.now, data };
        self.ask(Action::Event { member: Whom::Member(member), event })
    }

    /// The file after an edit; none where there is nothing to edit so, or where it would be no right file.
    fn edited(&self, edit: &Edit) -> Option<(Draft, Arc<ScenarioSet>)> {
        let mut draft = self.draft.clone();
        draft.edit(edit)?;
        // one that is gone comes back, and must be right then
        Draft { is_gone: false, ..draft.clone() }.load().ok()?;
        let scenarios = draft.load().ok()?;
        Some((draft, scenarios))
    }

    fn take_over(&mut self, draft: Draft, scenarios: &Arc<ScenarioSet>) -> Vec<EnrollmentId> {
        let was_paused = self.main().is_some_and(|main| main.paused);
        self.is_dormant = draft.is_gone && (was_paused || self.is_dormant);
        (self.draft, self.scenarios) = (draft, Arc::clone(scenarios));
        match self.main() {
            None if !self.is_dormant => live(&self.files),
            _ => Vec::new(),
        }
    }

    fn reload(&mut self, draft: Draft, scenarios: Arc<ScenarioSet>) -> Result<(), Wrong> {
        self.read_files();
        let ending = self.take_over(draft, &scenarios);
        self.ask(Action::Reload { scenarios: Arc::clone(&scenarios), files: Vec::new() })?;
        self.look_at_ended(&ending)?;
        self.stay_idle(|world| world.ask(Action::Reload { scenarios, files: Vec::new() }))
    }

    fn restart(&mut self, draft: Draft, scenarios: Arc<ScenarioSet>) -> Result<(), Wrong> {
        let ending = self.take_over(draft, &scenarios);
        self.turns = open(&self.store, &scenarios, self.now);
        self.settle_down()?;
        self.look_at_ended(&ending)?;
        if self.turns.outbox_len() > 0 {
            return Ok(());
        }
        self.stay_idle(|world| {
            world.turns = open(&world.store, &scenarios, world.now);
            world.settle_down()
        })
    }

    /// Nothing comes of doing this.
    fn stay_idle(&mut self, does: impl FnOnce(&mut World) -> Result<(), Wrong>) -> Result<(), Wrong> {
        self.read_files();
        let (happened, files) = (self.happened.len(), self.files.clone());
        does(self)?;
        holds!(happened == self.happened.len(), "the same again: {:?}", &self.happened[happened..]);
        self.read_files();
        holds!(files == self.files, "the same again has changed {files:?} to {:?}", self.files);
        Ok(())
    }

    /// What members receive up to then, by day and step.
    fn receives_until(
        &mut self,
        until: Timestamp,
    ) -> Result<BTreeMap<(Date, ScenarioId, StepId), u64>, Wrong> {
        let from = self.happened.len();
        self.run_until(until)?;
        let mut received = BTreeMap::new();
        for line in self.happened[from..].iter().filter(|line| line.contains(" received ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let (scenario, step) = words[3].split_once('/').unwrap();
            let at: Timestamp = words[0].parse().unwrap();
            let day = at.to_zoned_datetime(TimeZone::get("Asia/Tokyo").unwrap()).date();
            let row = (day, ScenarioId::new(scenario).unwrap(), StepId::new(step).unwrap());
            *received.entry(row).or_insert(0) += 1;
        }
        Ok(received)
    }

    fn look_at_ended(&self, ending: &[EnrollmentId]) -> Result<(), Wrong> {
        let alive = live(&self.files);
        let left: Vec<_> = ending.iter().filter(|run| alive.contains(run)).collect();
        holds!(left.is_empty(), "runs of a file that is gone go on: {left:?}");
        Ok(())
    }
}

fn runs(files: &BTreeMap<MemberId, MemberFile>) -> impl Iterator<Item = &Enrollment> {
    files.values().flat_map(|file| &file.enrollments)
}

fn find(files: &BTreeMap<MemberId, MemberFile>, id: EnrollmentId) -> Option<&Enrollment> {
    runs(files).find(|run| run.id == id)
}

fn live(files: &BTreeMap<MemberId, MemberFile>) -> Vec<EnrollmentId> {
    runs(files).filter(|run| run.scenario == main_id() && run.is_live()).map(|run| run.id).collect()
}

fn open(store: &Arc<dyn Store>, scenarios: &Arc<ScenarioSet>, now: Timestamp) -> Turns {
    let opening = Opening {
        scenarios: Arc::clone(scenarios),
        channel: "edits".into(),
        salt: Vec::new(),
        holds: BTreeSet::new(),
        line_ahead: None,
        minutes: Minutes::Watched,
    };
    Turns::open(Arc::clone(store), opening, now).unwrap()
}

/// How far the plans of the test below look ahead: beyond the latest step.
const AHEAD: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Plays a history, plans a last edit, and lets what was planned happen, with the edit and without it; gives how
/// many pushes were planned, and how many were to change.
fn play_and_plan(history: &History) -> Result<(u64, u64), Wrong> {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(&history.draft, Arc::clone(&store) as Arc<dyn Store>);
    for id in MEMBERS {
        let member = MemberId::new(id).unwrap();
        let link = Some(LinkRequest { user: user(&member), taken: IfTaken::Refuse });
        world.ask(Action::Change { member, change: Change::default(), link })?;
    }
    let (mut edit, mut happens) = (None, history.happens.clone());
    if let Some(last) = happens.iter().rposition(|(_, what)| matches!(what, Do::Edit(_))) {
        edit = Some(happens.remove(last).1);
    }
    for (pause, what) in &happens {
        world.run_until(world.now + SignedDuration::from_mins(PAUSES_MIN[*pause]))?;
        world.act(what)?;
    }
    // what is with LINE counts as accepted in a plan
    world.acts += 1;
    world.weather = Weather::Fine;
    while world.turns.outbox_len() > 0 {
        let wake = world.turns.wake().expect("what is in the outbox is tried again");
        world.run_until(world.now.max(wake))?;
    }
    let same = || {
        let draft = Draft { is_gone: false, ..world.draft.clone() };
        let scenarios = draft.load().expect("the same file was right");
        (draft, scenarios)
    };
    let edited = match &edit {
        Some(Do::Edit(edit)) => world.edited(edit),
        _ => None,
    };
    let (draft, edited) = edited.unwrap_or_else(same);
    let proposal = Proposal {
        running: Arc::clone(&world.scenarios),
        edited: Arc::clone(&edited),
        channel: "edits".into(),
        from: world.now,
        until: world.now + AHEAD,
        new_steps: edited
            .iter()
            .flat_map(|s| s.steps.iter().map(|step| (s.id.clone(), step.id.clone())))
            .collect(),
    };
    let planned = plan(&*store, &proposal, &|| false).unwrap();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    for (row, counts) in &planned.rows {
        before.extend((counts.before > 0).then(|| (row.clone(), counts.before)));
        after.extend((counts.after > 0).then(|| (row.clone(), counts.after)));
        let (gone, come) = (counts.vanish + counts.moved_away, counts.appear + counts.moved_here);
        holds!(counts.before - gone == counts.after - come, "{row:?}: {counts:?}");
    }
    let mut otherwise = World::new(&history.draft, Arc::new(store.copied()));
    otherwise.turns = open(&otherwise.store, &world.scenarios, world.now);
    (otherwise.now, otherwise.scenarios) = (world.now, Arc::clone(&world.scenarios));
    otherwise.read_files();
    holds!(
        before == otherwise.receives_until(proposal.until)?,
        "without the edit: {before:?}\n{:?}",
        otherwise.happened
    );
    world.acts += 1;
    world.take_over(draft, &edited);
    world
        .queue
        .push_back(Command { what: Action::Reload { scenarios: edited, files: Vec::new() }, reply: None });
    holds!(after == world.receives_until(proposal.until)?, "with the edit: {after:?}\n{:?}", world.happened);
    let changes = planned.rows.values().map(|row| row.appear + row.vanish + row.moved_here).sum();
    Ok((after.values().sum(), changes))
}

#[test]
fn what_the_plan_says_is_what_happens() {
    let (cases, seed) = asked_for();
    let (sent, changed) = (Cell::new(0), Cell::new(0));
    let outcome = runner(cases, seed).run(&history(), |history| {
        let (pushes, changes) = play_and_plan(&history).map_err(|wrong| {
            let why = wrong.to_string();
            Wrong::fail(format!("{why}\n{}", show(&history)))
        })?;
        sent.set(sent.get() + pushes);
        changed.set(changed.get() + changes);
        Ok(())
    });
    println!("{cases} plans of {} pushes, {} of them changed", sent.get(), changed.get());
    if let Err(failure) = outcome {
        let proptest::test_runner::TestError::Fail(why, _) = failure else { panic!("{failure}") };
        panic!("{why}");
    }
    assert!(sent.get() > 0 && changed.get() > 0, "{} {}", sent.get(), changed.get());
}

/// Plays a history to its end and gives what happened, and how many messages LINE took.
fn play(history: &History, store: Arc<dyn Store>) -> Result<(Vec<String>, usize), Wrong> {
    let mut world = World::new(&history.draft, store);
    for id in MEMBERS {
        let member = MemberId::new(id).unwrap();
        let link = Some(LinkRequest { user: user(&member), taken: IfTaken::Refuse });
        world.ask(Action::Change { member, change: Change::default(), link })?;
    }
    for (pause, what) in &history.happens {
        world.run_until(world.now + SignedDuration::from_mins(PAUSES_MIN[*pause]))?;
        world.act(what)?;
    }
    // the file is there, the weather clears, and everything comes to its end
    world.acts += 1;
    world.weather = Weather::Fine;
    let draft = Draft { is_gone: false, is_paused: false, ..world.draft.clone() };
    let scenarios = draft.load().expect("the same file was right");
    world.reload(draft, scenarios)?;
    while let Some(wake) = world.turns.wake() {
        world.run_until(world.now.max(wake))?;
    }
    holds!(world.turns.outbox_len() == 0, "the outbox is not empty");
    world.read_files();
    let alive: Vec<&Enrollment> = runs(&world.files).filter(|run| run.is_live()).collect();
    holds!(alive.is_empty(), "runs go on for ever: {alive:?}");
    Ok((world.happened, world.accepted))
}

/// Whoever runs the tests says in the environment how many histories, and which.
#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn asked_for() -> (u32, u8) {
    let asked = std::env::var("EDITS").unwrap_or_default();
    let (cases, seed) = asked.split_once(':').unwrap_or((&asked, "0"));
    (cases.parse().unwrap_or(CASES), seed.parse().unwrap_or(0))
}

fn runner(cases: u32, seed: u8) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

fn show(history: &History) -> String {
    let happens: Vec<String> = (history.happens.iter())
        .map(|(pause, what)| format!("after {} min: {what:?}", PAUSES_MIN[*pause]))
        .collect();
    let steps: Vec<String> = history.draft.steps.iter().map(|item| written(item).to_string()).collect();
    let Draft { is_paused, entry, has_hours, is_patient, .. } = &history.draft;
    format!(
        "paused {is_paused}, entry {entry:?}, hours {has_hours}, patient {is_patient}\n{}\n{}",
        steps.join("\n"),
        happens.join("\n")
    )
}

#[test]
fn edits_of_a_file_send_nothing_twice_in_disorder_or_at_once() {
    let (cases, seed) = asked_for();
    let received = Cell::new(0);
    let kinds: RefCell<BTreeMap<String, usize>> = RefCell::default();
    let outcome = runner(cases, seed).run(&history(), |history| {
        let (happened, accepted) = play(&history, Arc::new(MemoryStore::new())).map_err(|wrong| {
            let why = wrong.to_string();
            Wrong::fail(format!("{why}\n{}", show(&history)))
        })?;
        received.set(received.get() + accepted);
        for line in happened {
            let mut words = line.split(' ').skip(2);
            let (what, reason) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            let kind = format!("{what} {}", reason.split('(').next().unwrap_or_default());
            *kinds.borrow_mut().entry(kind).or_default() += 1;
        }
        Ok(())
    });
    println!("{cases} histories, {} messages received; {:?}", received.get(), kinds.borrow());
    if let Err(failure) = outcome {
        let proptest::test_runner::TestError::Fail(why, _) = failure else { panic!("{failure}") };
        panic!("{why}");
    }
    assert!(received.get() > cases as usize, "nobody got anything");
}

#[test]
fn the_same_edits_give_the_same_on_either_store() {
    let (cases, seed) = asked_for();
    let outcome = runner(cases.div_ceil(25), seed).run(&history(), |history| {
        let folder = tempfile::tempdir().unwrap();
        let (memory, _) = play(&history, Arc::new(MemoryStore::new()))?;
        let (sled, _) = play(&history, store::open(folder.path(), 16 << 20).unwrap())?;
        prop_assert_eq!(memory, sled);
        Ok(())
    });
    outcome.unwrap();
}
