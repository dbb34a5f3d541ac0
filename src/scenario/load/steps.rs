//! The steps of a file: what each does and when, those inside containers as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::{Date, Time};
use serde_json::Value;

use super::texts::Where;
use super::{FileLoad, MAX_NESTING, meant_id};
use crate::model::{MAX_NAME_BYTES, ScenarioId, StepId, limits};
use crate::scenario::calendar::Workdays;
use crate::scenario::file::{
    ACTS, ArmItem, CallItem, ElseItem, MenuItem, Push, ScenarioFile, SetItem, StartItem, StepItem,
};
use crate::scenario::finding::{Finding, Place};
use crate::scenario::message;
use crate::scenario::program::{MEMBER_NAMES, Messages, is_template};
use crate::scenario::source::include_name;
use crate::scenario::written;
use crate::scenario::yaml::{Data, Node};
use crate::scenario::{Act, Call, Days, Offset, Set, Started, Step, Timing, WaitFor, Within};

/// The most ids that a step can have had.
const MAX_OLD_IDS: usize = 10;

/// The steps of a file as they are taken in.
struct StepPlan {
    steps: Vec<Step>,
    /// The line of each step's id.
    seen: HashMap<String, usize>,
    latest: Option<Latest>,
    defaults: StepDefaults,
    workdays: Workdays,
    /// Each id that a step had before, and where that stands.
    was: BTreeMap<StepId, Place>,
}

/// What holds for steps that do not say for themselves.
#[derive(Clone, Copy)]
pub(super) struct StepDefaults {
    /// True if steps may lie before the anchor.
    pub(super) anchored: bool,
    /// How late messages may be.
    pub(super) late: Option<SignedDuration>,
    pub(super) days: Days,
}

impl FileLoad<'_, '_> {
    pub(super) fn steps(
        &mut self,
        typed: &ScenarioFile,
        tree: &Node,
        defaults: StepDefaults,
        workdays: &Workdays,
    ) -> Vec<Step> {
        let (Some(items), Some(node)) = (&typed.steps, tree.get("steps")) else { return Vec::new() };
        if items.is_empty() {
            self.findings.push(Finding::error(&node.place, "no-steps", "the scenario has no steps"));
        }
        let workdays = workdays.clone();
        let (steps, seen, was) = (Vec::new(), HashMap::new(), BTreeMap::new());
        let mut plan = StepPlan { steps, seen, latest: None, defaults, workdays, was };
        self.plan_steps(items, node, None, 0, &mut plan);
        for (id, place) in &plan.was {
            if let Some(line) = plan.seen.get(id.as_str()) {
                let message = format!("`{id}` cannot be the old id of this step: it is that of another");
                let help = format!("line {line} has it; give that step an id that was never used");
                self.findings.push(Finding::error(place, "renamed", message).help(help));
            }
        }
        let size_bytes: usize = plan.seen.keys().map(|id| id.len() + limits::STEP_BYTES).sum();
        if size_bytes > limits::STEPS_BYTES {
            let message = format!("{} steps are more than a member's file has room for", plan.seen.len());
            let help = "divide them among several scenarios".to_owned();
            self.findings.push(Finding::error(&node.place, "too-many-steps", message).help(help));
        }
        plan.steps
    }

    /// Takes a list of steps into the plan, those inside its containers as well.
    fn plan_steps(
        &mut self,
        items: &[StepItem],
        node: &Node,
        within: Option<Within>,
        depth: usize,
        plan: &mut StepPlan,
    ) {
        if depth > MAX_NESTING {
            let message = format!("steps are nested more than {MAX_NESTING} deep");
            self.findings.push(
                Finding::error(&node.place, "too-deep", message)
                    .help("let a step `enter` another scenario in place of the innermost ones"),
            );
            return;
        }
        for (item, node) in items.iter().zip(node.items()) {
            let id = self.step_id(item, node, plan);
            let timing = self.timing(item, node, plan.defaults.anchored);
            let days = self.days(item.on_days.as_ref(), item.workdays, node, plan.defaults.days);
            if let Some(timing) = &timing {
                self.expect_order(item, node, timing, &mut plan.latest);
            }
            let condition = self.condition(item.when.as_ref(), node, "when", Where::Run);
            let own_late = self.fixed(item.late.as_ref(), node, "late");
            let hours = self.hours(item.hours.as_ref(), node);
            let act = self.act(item, node);
            let late = match &act {
                Some(Act::Push(_)) => own_late.or(plan.defaults.late),
                _ => own_late,
            };
            // what sends nothing need not wait for a day, unless it says so itself
            let says_days = item.on_days.is_some() || item.workdays.is_some();
            let days = match &act {
                Some(Act::Push(_)) => days,
                _ if says_days => days,
                _ => Days::default(),
            };
            self.refuse_no_day(days, &plan.workdays, node);
            // a step that is wrong leaves no place for others to stand in, and the file fails by it
            let index = match (id, timing, act) {
                (Some(id), Some(timing), Some(act)) => {
                    let (resend, arms) = (item.resend, Vec::new());
                    let was = self.old_ids(item, node, plan);
                    let step =
                        Step { id, was, within, timing, days, condition, late, hours, resend, act, arms };
                    plan.steps.push(step);
                    plan.steps.len() - 1
                }
                _ => 0,
            };
            let before = plan.latest.clone();
            let mut arms = Vec::new();
            for (arm, steps) in arms_of(item, node).into_iter().enumerate() {
                plan.latest.clone_from(&before);
                let start = plan.steps.len();
                if let Some((items, node)) = steps {
                    let within = Some(Within { container: index, arm });
                    self.plan_steps(items, node, within, depth + 1, plan);
                }
                arms.push(start..plan.steps.len());
            }
            plan.latest = before;
            if let Some(step) = plan.steps.get_mut(index)
                && !arms.is_empty()
            {
                step.arms = arms;
            }
        }
    }

    /// Refuses days that leave a step none to fall on: it would go out on a day it must not.
    fn refuse_no_day(&mut self, days: Days, workdays: &Workdays, node: &Node) {
        /// Of four years, so that every date and every weekday is among them.
        const DAYS: usize = 1_461;
        let is_on = |date: Date| days.on.is_none_or(|on| on.contains(date.weekday()));
        let dates = std::iter::successors(Some(Date::constant(2025, 1, 1)), |date| date.tomorrow().ok());
        if !days.workdays || dates.take(DAYS).any(|date| is_on(date) && workdays.is_workday(date)) {
            return;
        }
        let entry = ["on_days", "workdays", "step"].into_iter().find_map(|key| node.entry(key));
        let place = entry.map_or(&node.place, |entry| &entry.place);
        let message = match days.on {
            Some(_) => "none of the days of `on_days` is a workday, so the step has no day to fall on",
            None => "`closed` leaves no workday, so the step has no day to fall on",
        };
        let help = "name other days, or write `workdays: false` in the step";
        self.findings.push(Finding::error(place, "contradiction", message).help(help));
    }

    fn step_id(&mut self, item: &StepItem, node: &Node, plan: &mut StepPlan) -> Option<StepId> {
        let text = item.step.as_deref()?;
        let place = node.place_of("step");
        if let Some(line) = plan.seen.insert(text.to_owned(), place.line) {
            let message = format!("step `{text}` exists twice");
            let help = format!("line {line} has it already; a running member continues by it");
            self.findings.push(Finding::error(place, "duplicate-step", message).help(help));
        }
        match StepId::new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let help = meant_id(text, "members never see it; write for example `day-3`");
                self.findings.push(Finding::error(place, "invalid-id", error.to_string()).help(help));
                None
            }
        }
    }

    /// The ids that a step had before.
    fn old_ids(&mut self, item: &StepItem, node: &Node, plan: &mut StepPlan) -> Vec<StepId> {
        let place = node.place_of("was");
        let texts = item.was.as_ref().map_or(&[] as &[String], |texts| &texts.0);
        if texts.len() > MAX_OLD_IDS {
            let message = format!("a step had {} other ids; the bound is {MAX_OLD_IDS}", texts.len());
            let help = "keep those that members on their way may still have".to_owned();
            self.findings.push(Finding::error(place, "renamed", message).help(help));
        }
        let mut ids = Vec::new();
        for text in texts.iter().take(MAX_OLD_IDS) {
            match StepId::new(text) {
                Ok(id) if plan.was.insert(id.clone(), place.clone()).is_some() => {
                    let message = format!("`{id}` is given as an old id twice");
                    self.findings.push(Finding::error(place, "renamed", message));
                }
                Ok(id) => ids.push(id),
                Err(error) => {
                    self.findings.push(Finding::error(place, "invalid-id", error.to_string()));
                }
            }
        }
        ids
    }

    /// The one thing that a step does.
    fn act(&mut self, item: &StepItem, node: &Node) -> Option<Act> {
        let given: Vec<&str> = ACTS.into_iter().filter(|key| node.entry(key).is_some()).collect();
        let act = match given.as_slice() {
            [] => {
                // a key that is wrong has been told of, and may have been meant for it
                if matches!(node.data, Data::Map(_)) && !self.has_unknown_key(node) {
                    let message = "a step does nothing".to_owned();
                    let help = format!("add one of: {}", ACTS.join(", "));
                    self.findings.push(Finding::error(&node.place, "missing-key", message).help(help));
                }
                return None;
            }
            [act] => *act,
            [first, second, ..] => {
                let message = format!("a step does one thing, not both `{first}` and `{second}`");
                let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
                self.findings.push(
                    Finding::error(place, "two-acts", message).help("make two steps of it, each with an id"),
                );
                return None;
            }
        };
        self.refuse_strays(act, node);
        match act {
            "push" => {
                let silent = item.silent.unwrap_or(false);
                self.messages(item.push.as_ref()?, node.get("push")?, silent).map(Act::Push)
            }
            "reply" => {
                self.messages(item.reply.as_ref()?, node.get("reply")?, false)?;
                self.refuse_for_later("reply", node);
                None
            }
            "menu" => {
                if let MenuItem::Link(id) | MenuItem::Other(id) = item.menu.as_ref()?
                    && !id.starts_with("richmenu-")
                {
                    let message = format!("`{id}` is not the id of a rich menu");
                    self.findings.push(
                        Finding::error(node.place_of("menu"), "invalid-value", message)
                            .help("write `menu: { link: richmenu-… }`, or `menu: unlink`"),
                    );
                    return None;
                }
                self.refuse_for_later("menu", node);
                None
            }
            "call" => self.call(item.call.as_ref()?, node.get("call")?).map(Act::Call),
            "set" => self.set(item.set.as_ref()?, node.get("set")?).map(Act::Set),
            "enter" => self.started(item.enter.as_ref()?, node.get("enter")?).map(Act::Enter),
            "exit" => match item.exit? {
                true => Some(Act::Exit),
                false => {
                    let message = "`exit: false` does nothing";
                    self.findings.push(
                        Finding::error(node.place_of("exit"), "invalid-value", message)
                            .help("write `exit: true`, or leave the step out"),
                    );
                    None
                }
            },
            "branch" => self.branch(item.branch.as_ref()?, node.get("branch")?),
            "split" => {
                let arms = item.split.as_ref()?;
                if arms.len() < 2 {
                    let message = format!("a split has two arms or more, not {}", arms.len());
                    self.findings.push(
                        Finding::error(node.place_of("split"), "arm", message)
                            .help("an arm without `steps` is a control group: `- weight: 50`"),
                    );
                    return None;
                }
                let weights = arms.iter().map(|arm| arm.weight.and_then(|w| u32::try_from(w).ok()));
                Some(Act::Split(weights.map(Option::unwrap_or_default).collect()))
            }
            _ => self.wait_for(item, node),
        }
    }

    /// Refuses what is right, and not built yet.
    fn refuse_for_later(&mut self, key: &str, node: &Node) {
        let place = node.entry(key).map_or(&node.place, |entry| &entry.place);
        let message = format!("`{key}` is right as it stands, but this version of amadare cannot do it yet");
        let help = "leave the step out until a version that can";
        self.findings.push(Finding::error(place, "not-yet", message).help(help));
    }

    /// Refuses keys that mean something only beside another act.
    fn refuse_strays(&mut self, act: &str, node: &Node) {
        let strays = [
            ("silent", "push"),
            ("resend", "push"),
            ("within", "wait_for"),
            ("steps", "wait_for"),
            ("else", "wait_for"),
        ];
        for (key, owner) in strays {
            if let Some(entry) = node.entry(key).filter(|_| act != owner) {
                let message = format!("`{key}` goes with `{owner}`, not with `{act}`");
                let help = match (act, key) {
                    ("branch" | "split", "steps") => Some("each arm has its own `steps`".to_owned()),
                    ("branch", "else") => Some("make it the last arm: `- else:` with its steps".to_owned()),
                    _ => None,
                };
                self.findings.push(Finding::error(&entry.place, "stray-key", message).help_if(help));
            }
        }
    }

    fn set(&mut self, item: &SetItem, node: &Node) -> Option<Set> {
        let tags = item.tags.as_ref();
        let add_tags = tags.map(|tags| tags.add.clone()).unwrap_or_default();
        let remove_tags = tags.map(|tags| tags.remove.clone()).unwrap_or_default();
        let names_nothing = item.attributes.as_ref().is_none_or(|map| map.0.is_empty());
        if names_nothing && add_tags.is_empty() && remove_tags.is_empty() {
            if node.entries().iter().any(|entry| !is_empty(&entry.value)) {
                // it was to change something, and what is wrong with that has been told of
                return None;
            }
            let message = "`set` changes nothing";
            self.findings.push(
                Finding::error(&node.place, "missing-key", message)
                    .help("add `attributes:` with names and values, or `tags:`"),
            );
            return None;
        }
        for tag in add_tags.iter().chain(&remove_tags) {
            if tag.is_empty() || tag.len() > MAX_NAME_BYTES {
                let message = format!("a tag is 1 to {MAX_NAME_BYTES} bytes, not {}", tag.len());
                let place = node.get("tags").and_then(|tags| place_of_text(tags, tag));
                let place = place.unwrap_or(node.place_of("tags"));
                self.findings.push(Finding::error(place, "invalid-value", message));
                return None;
            }
        }
        if let Some(name) = item
            .attributes
            .iter()
            .flat_map(|map| map.0.keys())
            .find(|name| MEMBER_NAMES.contains(&name.as_str()))
        {
            let message = format!("`member.{name}` is no attribute, so it cannot be set");
            let entry = node.get("attributes").and_then(|attributes| attributes.entry(name));
            let place = entry.map_or(node.place_of("attributes"), |entry| &entry.place);
            self.findings.push(
                Finding::error(place, "invalid-value", message).help("call the attribute something else"),
            );
            return None;
        }
        let attributes = match &item.attributes {
            Some(map) => Some(self.document(&map.0, node.get("attributes")?)?),
            None => None,
        };
        Some(Set { attributes, add_tags, remove_tags })
    }

    fn call(&mut self, item: &CallItem, node: &Node) -> Option<Call> {
        let url = item.url.as_deref()?;
        let place = node.get("url").map_or(&node.place, |node| &node.place).clone();
        let hosts = self.defaults.call_hosts.as_deref();
        if let Err((code, message)) = check_call(url, hosts) {
            let help = match code {
                "call-host" => "list it in the configuration: `calls: { hosts: [shop.example] }`",
                _ => "write a whole address: https://shop.example/hook",
            };
            self.findings.push(Finding::error(&place, code, message).help(help));
            return None;
        }
        let body = match &item.body {
            Some(map) => Some(self.document(&map.0, node.get("body")?)?),
            None => None,
        };
        Some(Call { url: Arc::from(url), body })
    }

    fn started(&mut self, item: &StartItem, node: &Node) -> Option<Started> {
        let id = item.scenario.as_deref()?;
        let place = node.get("scenario").map_or(&node.place, |node| &node.place).clone();
        let data = match &item.data {
            Some(map) => Some(self.document(&map.0, node.get("data")?)?),
            None => None,
        };
        match ScenarioId::new(id) {
            Ok(scenario) => {
                self.enters.push((scenario.clone(), place));
                Some(Started { scenario, data })
            }
            Err(error) => {
                self.findings.push(Finding::error(&place, "invalid-id", error.to_string()));
                None
            }
        }
    }

    fn branch(&mut self, arms: &[ArmItem], node: &Node) -> Option<Act> {
        let before = self.error_count();
        if arms.is_empty() {
            self.findings.push(
                Finding::error(&node.place, "arm", "a branch has no arms")
                    .help("add an arm: `- when:` with a condition, and `steps:`"),
            );
        }
        let mut conditions = Vec::new();
        for (index, (arm, node)) in arms.iter().zip(node.items()).enumerate() {
            let condition = self.condition(arm.when.as_ref(), node, "when", Where::Run);
            conditions.push(condition);
            if !matches!(node.data, Data::Map(_)) || self.has_unknown_key(node) {
                continue;
            }
            let mut refuse = |place: &Place, message: &str, help: &str| {
                self.findings.push(Finding::error(place, "arm", message).help(help));
            };
            match (node.entry("when"), node.entry("else")) {
                (Some(_), Some(entry)) => {
                    refuse(&entry.place, "an arm has `when` or `else`, not both", "make two arms of it");
                }
                (None, None) => {
                    refuse(
                        &node.place,
                        "an arm of `branch` has no condition",
                        "add `when:`, or `else:` to the last",
                    );
                }
                (None, Some(entry)) if index + 1 < arms.len() => {
                    refuse(
                        &entry.place,
                        "`else` is the last arm",
                        "what follows it is never reached; move it down",
                    );
                }
                _ => {}
            }
            let written_here = matches!(arm.otherwise, Some(ElseItem::Steps(_)));
            let is_refused = arm.otherwise.is_none() && node.entry("else").is_some();
            match (written_here, node.entry("steps")) {
                _ if is_refused => {}
                (true, Some(entry)) => {
                    refuse(
                        &entry.place,
                        "an arm has its steps once",
                        "keep those at `else` or those at `steps`",
                    );
                }
                (false, None) => {
                    refuse(&node.place, "an arm has no `steps`", "add `steps:`; `steps: []` does nothing");
                }
                _ => {}
            }
        }
        (self.error_count() == before).then_some(Act::Branch(conditions))
    }

    fn wait_for(&mut self, item: &StepItem, node: &Node) -> Option<Act> {
        let (wait, inner) = (item.wait_for.as_ref()?, node.get("wait_for")?);
        for key in ["within", "steps", "else"] {
            if let (Some(entry), Some(_)) = (node.entry(key), inner.entry(key)) {
                let message = format!("`{key}` stands in `wait_for` and beside it");
                self.findings
                    .push(Finding::error(&entry.place, "stray-key", message).help("keep one of the two"));
            }
        }
        let on = self.event(wait.on.as_deref(), inner);
        let condition = self.condition(wait.condition.as_ref(), inner, "where", Where::Listening);
        let key = self.expression(wait.key.as_ref(), inner, "key", Where::Listening);
        let within = match (&wait.within, &item.within) {
            (Some(_), _) => self.offset(wait.within.as_ref(), inner, "within"),
            (None, Some(_)) => self.offset(item.within.as_ref(), node, "within"),
            // one that is refused is not missing
            (None, None) if node.entry("within").or(inner.entry("within")).is_some() => None,
            (None, None) => {
                let message = "`wait_for` has no `within`, so it could wait for ever";
                self.findings.push(
                    Finding::error(&inner.place, "missing-key", message)
                        .help("add how long it waits: `within: 3d`; after it `else` follows"),
                );
                None
            }
        };
        Some(Act::WaitFor(WaitFor { on: on?, condition, key, within: within? }))
    }

    /// The one timing of a step.
    fn timing(&mut self, item: &StepItem, node: &Node, anchored: bool) -> Option<Timing> {
        let given: Vec<&str> = (["day", "after", "before", "wait"].into_iter())
            .filter(|key| node.entry(key).is_some())
            .collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("a step has one timing, not both `{first}` and `{second}`");
            let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
            self.findings.push(
                Finding::error(place, "timing", message)
                    .help("keep one of day, after, before and wait; `at` goes with day"),
            );
            return None;
        }
        let at = match &item.at {
            Some(text) => Some(self.read(written::time(&text.0), node.place_of("at"))?),
            None => None,
        };
        let at_place = node.entry("at").map_or(&node.place, |entry| &entry.place).clone();
        let timing = match given.first().copied() {
            Some("day") => {
                let days = item.day?;
                if days < 0 && !anchored {
                    let message = format!("`day: {days}` is before the entry itself");
                    self.findings.push(
                        Finding::error(node.place_of("day"), "timing", message)
                            .help("add an `anchor:` to count from, such as `anchor: event.starts_at`"),
                    );
                    return None;
                }
                Timing::Day { days: i32::try_from(days).ok()?, at }
            }
            Some("after") => {
                let offset = self.offset(item.after.as_ref(), node, "after")?;
                self.refuse_time_of_day(&offset, at, "after", &at_place)?;
                Timing::After { offset, at }
            }
            Some("before") => {
                let offset = self.offset(item.before.as_ref(), node, "before");
                if !anchored {
                    let message = "`before` without an anchor is before the entry itself";
                    self.findings.push(
                        Finding::error(node.place_of("before"), "timing", message)
                            .help("add an `anchor:` to count from, such as `anchor: event.starts_at`"),
                    );
                    return None;
                }
                let offset = offset?;
                self.refuse_time_of_day(&offset, at, "before", &at_place)?;
                Timing::Before { offset, at }
            }
            Some(_) => {
                let offset = self.offset(item.wait.as_ref(), node, "wait")?;
                if at.is_some() {
                    let message = "`at` cannot go with `wait`";
                    self.findings.push(
                        Finding::error(&at_place, "timing", message)
                            .help("use `day` or `after` to name a time of day"),
                    );
                    return None;
                }
                Timing::Wait { offset }
            }
            None if node.entry("at").is_some() => {
                let message = "`at` needs a day to be on";
                self.findings
                    .push(Finding::error(&at_place, "timing", message).help("add `day: 0` for the same day"));
                return None;
            }
            None => Timing::AtOnce,
        };
        Some(timing)
    }

    /// A time of day needs a day that it is on.
    fn refuse_time_of_day(
        &mut self,
        offset: &Offset,
        at: Option<Time>,
        key: &str,
        place: &Place,
    ) -> Option<()> {
        if at.is_none() || matches!(offset, Offset::Civil(_)) {
            return Some(());
        }
        let message = format!("`at` goes with `{key}` only in days, weeks, months and years");
        let help = format!("write `{key}: 1d`, or leave out `at`");
        self.findings.push(Finding::error(place, "timing", message).help(help));
        None
    }

    fn messages(&mut self, push: &Push, node: &Node, silent: bool) -> Option<Messages> {
        let before = self.error_count();
        self.includes(node);
        let file = self.file;
        let includes = &self.includes;
        let mut include = |path: &str| {
            let name = include_name(file, path).ok()?;
            includes.read_already(&name).map(|included| included.value.clone())
        };
        let messages = message::expand(&push.0, &mut include);
        if self.error_count() > before {
            return None;
        }
        self.templates(&Value::Array(messages.clone()), node);
        for problem in message::check_written(&messages) {
            let place = self.locate(node, &problem.path).place.clone();
            let finding = if problem.harmless {
                Finding::warning(&place, "message", problem.message)
            } else {
                Finding::error(&place, "message", problem.message)
            };
            self.findings.push(finding.help_if(problem.help));
        }
        if self.error_count() > before {
            return None;
        }
        self.builder.messages(&messages, silent).ok()
    }

    /// Warns of a step whose moment is certainly before that of a step in front of it.
    fn expect_order(&mut self, item: &StepItem, node: &Node, timing: &Timing, latest: &mut Option<Latest>) {
        let Some(moment) = Moment::of(timing) else { return };
        let id = item.step.clone().unwrap_or_default();
        match latest {
            Some(before) if moment.is_certainly_before(&before.moment) => {
                let message = format!("step `{id}` is due before step `{}` in front of it", before.step);
                self.findings.push(
                    Finding::warning(node.place_of("step"), "out-of-order", message)
                        .help("steps run in file order, so it will be late; move it up"),
                );
            }
            _ => *latest = Some(Latest { step: id, moment }),
        }
    }
}

/// The steps of each arm of a container and where they stand; none for an arm that has none.
fn arms_of<'a>(item: &'a StepItem, node: &'a Node) -> Vec<Option<(&'a [StepItem], &'a Node)>> {
    let listed =
        |steps: &'a Option<Vec<StepItem>>, node: &'a Node, key: &str| steps.as_deref().zip(node.get(key));
    if let (Some(arms), Some(node)) = (&item.branch, node.get("branch")) {
        let each = arms.iter().zip(node.items());
        return each
            .map(|(arm, node)| match (&arm.otherwise, node.get("else")) {
                (Some(ElseItem::Steps(steps)), Some(node)) => {
                    Some((steps.as_slice(), node.get("steps").unwrap_or(node)))
                }
                _ => listed(&arm.steps, node, "steps"),
            })
            .collect();
    }
    if let (Some(arms), Some(node)) = (&item.split, node.get("split")) {
        return arms.iter().zip(node.items()).map(|(arm, node)| listed(&arm.steps, node, "steps")).collect();
    }
    if let (Some(wait), Some(inner)) = (&item.wait_for, node.get("wait_for")) {
        let arm = |own, beside, key: &str| listed(own, inner, key).or(listed(beside, node, key));
        return vec![arm(&wait.steps, &item.steps, "steps"), arm(&wait.otherwise, &item.otherwise, "else")];
    }
    Vec::new()
}

/// Checks the address of a `call`, as far as a file can be checked: the code and the message of what is
/// wrong with it.
fn check_call(url: &str, hosts: Option<&[String]>) -> Result<(), (&'static str, String)> {
    let refuse = |what: &str| Err(("invalid-value", format!("`call` {what}")));
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => (scheme, rest),
        _ => return refuse("needs an https URL"),
    };
    if is_template(url) {
        return refuse("goes to a fixed address; what differs goes into its `body`");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    if host.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return refuse("needs an https URL with a host, and without a password");
    }
    if scheme == "http" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return refuse("would send what it tells over the network in the clear; use https");
    }
    match hosts {
        Some(hosts) if !hosts.iter().any(|listed| listed == host || listed == authority) => {
            Err(("call-host", format!("the host `{host}` may not be called")))
        }
        _ => Ok(()),
    }
}

/// The step with the latest moment so far.
#[derive(Clone)]
struct Latest {
    step: String,
    moment: Moment,
}

/// When a step is due, as far as it can be told without an anchor. Months count 30 days, years 365.
#[derive(Clone, Copy)]
enum Moment {
    /// Seconds from the anchor.
    Relative(i64),
    /// Seconds from the start of the anchor's date.
    Clock(i64),
}

const DAY_SECONDS: i64 = 86_400;

impl Moment {
    /// None for a step whose moment depends on the step before.
    fn of(timing: &Timing) -> Option<Moment> {
        let clock = |seconds: i64, at: &Option<Time>| match at {
            Some(at) => Moment::Clock(seconds + i64::from(at.hour()) * 3_600 + i64::from(at.minute()) * 60),
            None => Moment::Relative(seconds),
        };
        match timing {
            Timing::Day { days, at } => Some(clock(i64::from(*days) * DAY_SECONDS, at)),
            Timing::After { offset, at } => Some(clock(seconds(offset), at)),
            Timing::Before { offset, at } => Some(clock(-seconds(offset), at)),
            Timing::Wait { .. } | Timing::AtOnce => None,
        }
    }

    /// True if it is so at whatever time of day the anchor lies.
    fn is_certainly_before(self, other: &Moment) -> bool {
        match (self, *other) {
            (Moment::Relative(this), Moment::Relative(other))
            | (Moment::Clock(this), Moment::Clock(other)) => this < other,
            (Moment::Relative(this), Moment::Clock(other)) => this <= other - DAY_SECONDS,
            (Moment::Clock(this), Moment::Relative(other)) => this < other,
        }
    }
}

fn seconds(offset: &Offset) -> i64 {
    match offset {
        Offset::Exact(duration) => duration.as_secs(),
        Offset::Civil(span) => {
            let days = i64::from(span.get_days())
                + i64::from(span.get_weeks()) * 7
                + i64::from(span.get_months()) * 30
                + i64::from(span.get_years()) * 365;
            days * DAY_SECONDS
        }
    }
}

/// Where a text stands within lists and mappings.
fn place_of_text<'a>(node: &'a Node, text: &str) -> Option<&'a Place> {
    match &node.data {
        Data::Text(own) if own.value == text => Some(&node.place),
        Data::List(items) => items.iter().find_map(|item| place_of_text(item, text)),
        Data::Map(entries) => entries.iter().find_map(|entry| place_of_text(&entry.value, text)),
        _ => None,
    }
}

/// True for a list or a mapping without anything in it, at whatever depth.
fn is_empty(node: &Node) -> bool {
    match &node.data {
        Data::List(items) => items.is_empty(),
        Data::Map(entries) => entries.iter().all(|entry| is_empty(&entry.value)),
        _ => false,
    }
}
