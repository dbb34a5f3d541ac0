//! Scenarios that send more than they should: beside LINE's greeting, beside each other, after the matter is done.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{View, shortest};
use crate::model::EventName;
use crate::scenario::file::{OneOrMany, ScenarioFile};
use crate::scenario::finding::{Finding, Place};
use crate::scenario::yaml::Node;
use crate::scenario::{Act, Scenario, Step, Timing, Trigger};

/// A message that comes so soon after a follow comes together with LINE's own greeting.
const WITH_THE_GREETING: SignedDuration = SignedDuration::from_mins(1);

/// Words in the names of events that tell of something begun and not done, which a scenario then reminds of.
const UNFINISHED: [&str; 32] = [
    "cart",
    "carts",
    "basket",
    "abandon",
    "abandoned",
    "unpaid",
    "incomplete",
    "unfinished",
    "draft",
    "dropped",
    "viewed",
    "browsed",
    "browse",
    "wish",
    "wishlist",
    "favorite",
    "favourite",
    "quote",
    "estimate",
    "カート",
    "かご",
    "カゴ",
    "放棄",
    "離脱",
    "未購入",
    "未払",
    "未入金",
    "未完了",
    "仮登録",
    "閲覧",
    "お気に入り",
    "見積",
];

/// What a scenario sends again and again after an event.
pub(in crate::scenario::load) struct Nagging {
    scenario: String,
    on: EventName,
    /// `where` as written.
    condition: Option<String>,
    place: Place,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// Warns of a message that comes together with the one by which LINE itself greets a new friend.
    pub(super) fn greeting(&self, tree: &Node, doubts: &mut Vec<Finding>) {
        let follows =
            |trigger: &Trigger| matches!(trigger, Trigger::Event(name) if name.as_str() == "line.follow");
        let Some(rule) = self.scenario.enter.iter().position(|enter| follows(&enter.trigger)) else { return };
        for (_, step) in self.list(None) {
            let is_at_once = match &step.timing {
                Timing::AtOnce | Timing::Day { days: 0, at: None } => true,
                Timing::After { offset, at: None } | Timing::Wait { offset } => {
                    shortest(offset) < WITH_THE_GREETING
                }
                _ => false,
            };
            if !is_at_once || !step.arms.is_empty() || step.condition.is_some() {
                return;
            }
            if step.messages().is_some() {
                let node = tree.get("enter").and_then(|node| node.items().get(rule));
                let Some(place) = node.map(|node| node.place_of("on")) else { return };
                let message = format!(
                    "a new friend gets step `{}` together with the greeting message of the LINE account",
                    step.id
                );
                let help = "let it come later (`after: 1h`); or switch the greeting off in LINE Official Account \
                    Manager and write `# amadare: allow(greeting)`";
                doubts.push(Finding::warning(place, "greeting", message).help(help));
                return;
            }
        }
    }

    /// Warns of reminders that nothing stops: of something unfinished, more than once, whatever the member does.
    pub(super) fn without_exit(&self, tree: &Node, doubts: &mut Vec<Finding>) {
        let Some((rule, event)) = self.unfinished() else { return };
        let Scenario { exit, goal, steps, .. } = self.scenario;
        let asks =
            |step: &Step| step.condition.is_some() || !step.arms.is_empty() || matches!(step.act, Act::Exit);
        if !exit.is_empty() || goal.is_some() || steps.iter().any(asks) || !self.spreads() {
            return;
        }
        let node = tree.get("enter").and_then(|node| node.items().get(rule));
        let Some(place) = node.map(|node| node.place_of("on")) else { return };
        let count = self.pushes().count();
        let message =
            format!("after `{event}` all {count} messages go out, whatever the member does meanwhile");
        let help = "end the run when it is done: `exit: { on: purchase }`, or give the later steps a `when`";
        doubts.push(Finding::warning(place, "no-exit", message).help(help));
    }

    /// The first rule by an event that tells of something unfinished.
    fn unfinished(&self) -> Option<(usize, &'a EventName)> {
        let events = self.scenario.enter.iter().enumerate();
        events
            .filter_map(|(rule, enter)| Some((rule, enter.event()?)))
            .find(|(_, event)| is_unfinished(event))
    }

    /// True if there are messages at different times.
    fn spreads(&self) -> bool {
        self.pushes()
            .skip(1)
            .any(|(_, step)| !matches!(step.timing, Timing::AtOnce | Timing::Day { days: 0, at: None }))
    }

    /// The events that it nags after, with what tells them apart from those of another scenario.
    pub(super) fn nagging(&self, typed: &ScenarioFile, tree: &Node) -> Vec<Nagging> {
        let (Some(OneOrMany(items)), Some(node)) = (&typed.enter, tree.get("enter")) else {
            return Vec::new();
        };
        if self.scenario.paused || self.pushes().next().is_none() {
            return Vec::new();
        }
        let rules = self.scenario.enter.iter().zip(items).zip(node.items());
        let events = rules.filter_map(|((enter, item), node)| Some((enter.event()?, item, node)));
        events
            .filter(|(event, _, _)| is_unfinished(event) || (!event.is_reserved() && self.spreads()))
            .map(|(event, item, node)| Nagging {
                scenario: self.scenario.id.to_string(),
                on: event.clone(),
                condition: item.condition.as_ref().map(|text| text.0.trim().to_owned()),
                place: node.place_of("on").clone(),
                starts: self.scenario.starts,
                ends: self.scenario.ends,
            })
            .collect()
    }
}

/// Warns of two scenarios that send again and again after one event: the members get both.
pub(in crate::scenario::load) fn doubt_together(nagging: &[Nagging], findings: &mut Vec<Finding>) {
    let mut by_event: HashMap<&EventName, Vec<&Nagging>> = HashMap::new();
    for one in nagging {
        by_event.entry(&one.on).or_default().push(one);
    }
    for (event, of_event) in by_event {
        for (index, one) in of_event.iter().enumerate() {
            let Some(other) = of_event[..index].iter().find(|other| meets(one, other)) else { continue };
            let message = format!("`{}` sends after `{event}` as well, to the same members", other.scenario);
            let help = format!(
                "tell them apart by `where`, or make one scenario of them (the other is in {})",
                other.place.file
            );
            findings.push(Finding::warning(&one.place, "same-event", message).help(help));
        }
    }
}

fn meets(one: &Nagging, other: &Nagging) -> bool {
    let ends_before =
        |one: &Nagging, other: &Nagging| matches!((one.ends, other.starts), (Some(e), Some(s)) if e <= s);
    let is_alike = match (&one.condition, &other.condition) {
        (Some(one), Some(other)) => one == other,
        (None, None) => true,
        _ => is_unfinished(&one.on),
    };
    is_alike && one.scenario != other.scenario && !ends_before(one, other) && !ends_before(other, one)
}

fn is_unfinished(event: &EventName) -> bool {
    let name = event.as_str().to_lowercase();
    let has = |word: &str| match word.is_ascii() {
        true => name.split(|c: char| !c.is_alphanumeric()).any(|part| part == word),
        false => name.contains(word),
    };
    !event.is_reserved() && UNFINISHED.iter().any(|word| has(word))
}
