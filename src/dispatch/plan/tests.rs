use std::collections::{BTreeSet, VecDeque};

use serde_json::json;

use super::*;
use crate::clock::Moment;
use crate::dispatch::turns::{Opening, Turns};
use crate::dispatch::{Attempted, Command, Effect, IfTaken, LinkRequest, Minutes, Whom};
use crate::engine::Change;
use crate::model::{Attributes, Event, EventName, LineUserId};
use crate::scenario::Defaults;
use crate::scenario::load::load;
use crate::scenario::source::Sources;

const COURSE: &str = r#"
scenario: course
enter: { on: go }
steps:
  - step: hello
    push: hello
  - step: coupon
    day: 3
    at: "10:00"
    push: a coupon
  - step: last
    day: 5
    at: "10:00"
    push: "{{ member.id }}"
"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn set(texts: &[&str]) -> Arc<ScenarioSet> {
    let files = texts.iter().map(|text| {
        let id = text.lines().find_map(|line| line.strip_prefix("scenario: ")).unwrap();
        (format!("{id}.yaml"), text.as_bytes().to_vec())
    });
    let loaded = load(&Sources::from_files(files), &Defaults::default());
    Arc::new(loaded.set.unwrap_or_else(|| panic!("{:?}", loaded.findings)))
}

fn attributes(value: serde_json::Value) -> Attributes {
    let serde_json::Value::Object(map) = value else { panic!("{value} is no object") };
    map
}

/// A store with three members who have come to the second step of the course.
struct World {
    store: Arc<MemoryStore>,
    turns: Turns,
    queue: VecDeque<Command>,
    now: Timestamp,
    running: Arc<ScenarioSet>,
}

impl World {
    fn new(running: &[&str]) -> World {
        let (store, running) = (Arc::new(MemoryStore::new()), set(running));
        let now = at("2026-03-02T03:00:00Z");
        let opening = Opening {
            scenarios: Arc::clone(&running),
            channel: "plans".into(),
            salt: Vec::new(),
            holds: BTreeSet::new(),
            line_ahead: None,
            minutes: Minutes::Watched,
        };
        let turns = Turns::open(Arc::clone(&store) as Arc<dyn Store>, opening, now).unwrap();
        let mut world = World { store, turns, queue: VecDeque::new(), now, running };
        for n in 0..3 {
            let member = MemberId::new(&format!("m{n}")).unwrap();
            let user = LineUserId::new(&format!("U{n:032x}")).unwrap();
            let link = Some(LinkRequest { user, taken: IfTaken::Refuse });
            let told = attributes(json!({ "born": "1990-03-10", "n": n }));
            let change = Change { attributes: Some(told), ..Change::default() };
            world.take(Action::Change { member: member.clone(), change, link }, true);
            let name = EventName::new("go").unwrap();
            let event = Event { id: None, name, at: now, data: Attributes::default() };
            world.take(Action::Event { member: Whom::Member(member), event }, n != 2);
        }
        world
    }

    fn take(&mut self, what: Action, is_answered: bool) {
        self.queue.push_back(Command { what, reply: None });
        while !self.queue.is_empty() || self.turns.wake().is_some_and(|wake| wake <= self.now) {
            let effects = self.turns.take(&mut self.queue, Moment::by_hand(self.now)).unwrap();
            self.store.flush().unwrap();
            for effect in effects.0 {
                if let Effect::Attempt(parcel) = effect
                    && is_answered
                {
                    let what =
                        Action::Attempted { retry_key: parcel.retry_key, attempted: Attempted::Accepted };
                    self.queue.push_back(Command { what, reply: None });
                }
            }
        }
    }

    fn proposal(&self, edited: &[&str]) -> Proposal {
        Proposal {
            running: Arc::clone(&self.running),
            edited: set(edited),
            channel: "plans".into(),
            from: self.now,
            until: at("2026-03-31T00:00:00Z"),
            new_steps: BTreeSet::new(),
        }
    }

    fn plan(&self, proposal: &Proposal) -> Result<Plan, Unplanned> {
        plan(&*self.store, proposal, &|| false)
    }

    fn planned(&self, edited: &[&str]) -> Plan {
        self.plan(&self.proposal(edited)).unwrap()
    }
}

/// A line for each row: `day step: before after`, and what changes.
fn told(plan: &Plan) -> Vec<String> {
    let words = |row: &Row| {
        let changes = [
            ("appear", row.appear),
            ("moved here", row.moved_here),
            ("moved away", row.moved_away),
            ("vanish", row.vanish),
            ("reworded", row.reworded),
        ];
        changes.into_iter().filter(|(_, count)| *count > 0).map(|(word, n)| format!(", {n} {word}")).collect()
    };
    let line = |((day, scenario, step), row): (&(Date, ScenarioId, StepId), &Row)| {
        let changes: String = words(row);
        format!("{day} {scenario}/{step}: {} {}{changes}", row.before, row.after)
    };
    plan.rows.iter().map(line).collect()
}

#[test]
fn the_same_files_change_nothing_and_show_what_comes() {
    let world = World::new(&[COURSE]);
    let plan = world.planned(&[COURSE]);
    assert_eq!(told(&plan), ["2026-03-05 course/coupon: 3 3", "2026-03-07 course/last: 3 3"]);
    assert_eq!((plan.members, plan.on_their_way, plan.affected, plan.ended_runs), (3, 3, 0, 0));
}

#[test]
fn what_appears_moves_vanishes_and_is_reworded_is_counted_by_day_and_step() {
    let world = World::new(&[COURSE]);
    let edited = COURSE.replace("day: 3\n", "day: 4\n").replace("a coupon", "a better coupon").replace(
        "day: 5\n    at: \"10:00\"\n    push: \"{{ member.id }}\"\n",
        "day: 5\n    at: \"10:00\"\n    when: member.n > 0\n    push: \"{{ member.id }}!\"\n  - step: more\n    day: 9\n    push: more\n",
    );
    let plan = world.planned(&[&edited]);
    assert_eq!(
        told(&plan),
        [
            "2026-03-05 course/coupon: 3 0, 3 moved away",
            "2026-03-06 course/coupon: 0 3, 3 moved here",
            "2026-03-07 course/last: 3 2, 1 vanish, 2 reworded",
            "2026-03-11 course/more: 0 3, 3 appear"
        ]
    );
    assert_eq!(plan.affected, 3);
    let (course, last) = (ScenarioId::new("course").unwrap(), StepId::new("last").unwrap());
    assert_eq!(plan.named[&(course, last)].len(), 3);
}

#[test]
fn a_scenario_that_is_gone_ends_its_runs() {
    let world = World::new(&[COURSE]);
    let other = "scenario: other\nenter: { on: x }\nsteps: [{ step: a, push: a }]\n";
    let plan = world.planned(&[other]);
    assert_eq!(
        told(&plan),
        ["2026-03-05 course/coupon: 3 0, 3 vanish", "2026-03-07 course/last: 3 0, 3 vanish"]
    );
    assert_eq!((plan.affected, plan.ended_runs), (3, 3));
}

#[test]
fn the_clock_and_dates_bring_what_they_will() {
    let monthly = "scenario: points\nenter: { every: \"0 10 15 * *\", where: member.n < 2, again: always }\nsteps: [{ step: now, push: points }]\n";
    let birthday = "scenario: birthday\nenter: { date: member.born, yearly: true }\nsteps: [{ step: day, day: 0, at: \"09:00\", push: hooray }]\n";
    let world = World::new(&[COURSE]);
    let plan = world.planned(&[COURSE, monthly, birthday]);
    assert_eq!(
        told(&plan),
        [
            "2026-03-05 course/coupon: 3 3",
            "2026-03-07 course/last: 3 3",
            "2026-03-10 birthday/day: 0 3, 3 appear",
            "2026-03-15 points/now: 0 2, 2 appear"
        ]
    );
}

#[test]
fn what_waits_for_sends_to_be_open_again_comes_at_once() {
    let mut world = World::new(&[COURSE]);
    world.take(Action::Hold(crate::dispatch::Hold::Operator), true);
    world.now = at("2026-03-06T00:00:00Z");
    let plan = world.planned(&[COURSE]);
    assert_eq!(told(&plan), ["2026-03-06 course/coupon: 3 3", "2026-03-07 course/last: 3 3"]);
}

#[test]
fn a_renamed_step_is_refused_until_it_is_said_what_it_was() {
    let world = World::new(&[COURSE]);
    let renamed = COURSE.replace("step: hello", "step: welcome");
    let Err(Unplanned::Ambiguous(doubts)) = world.plan(&world.proposal(&[&renamed])) else {
        panic!("it was guessed")
    };
    let id = |id: &str| StepId::new(id).unwrap();
    assert_eq!((doubts.len(), doubts[0].members), (1, 3));
    assert_eq!((&doubts[0].gone, &doubts[0].new), (&vec![id("hello")], &vec![id("welcome")]));
    // nobody gets it a second time
    let said = COURSE.replace("step: hello", "step: welcome\n    was: hello");
    assert_eq!(world.planned(&[&said]).affected, 0);
    // where nobody has come to it, nothing hangs on it
    let mut proposal = world.proposal(&[&COURSE.replace("step: last", "step: end")]);
    assert!(world.plan(&proposal).is_ok());
    proposal = world.proposal(&[&renamed]);
    proposal.new_steps.insert((ScenarioId::new("course").unwrap(), id("welcome")));
    assert_eq!(told(&world.plan(&proposal).unwrap())[0], "2026-03-02 course/welcome: 0 3, 3 appear");
}

#[test]
fn a_plan_gives_up_when_it_is_told_to() {
    let world = World::new(&[COURSE]);
    // every slot of the store is asked at once, and then each instant
    let asked = std::cell::Cell::new(0);
    let is_stopped = || {
        asked.set(asked.get() + 1);
        asked.get() > 2 * u32::from(SLOTS)
    };
    let minutes = "scenario: minutes\nenter: { every: \"* * * * *\", again: always }\nsteps: [{ step: now, push: x }]\n";
    let stopped = plan(&*world.store, &world.proposal(&[COURSE, minutes]), &is_stopped);
    assert!(matches!(stopped, Err(Unplanned::Stopped)), "{stopped:?}");
}
