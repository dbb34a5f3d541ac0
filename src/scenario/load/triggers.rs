//! What starts, moves, ends and converts runs.

use super::texts::Where;
use super::{FileLoad, sample_names};
use crate::model::EventName;
use crate::scenario::cron;
use crate::scenario::file::{
    EnterItem, ExpressionText, GoalItem, ListenItem, OneOrMany, SampleItem, ScenarioFile,
};
use crate::scenario::finding::{Finding, did_you_mean};
use crate::scenario::program::{Builder, Condition, Expression, Program, parse_instant};
use crate::scenario::written::{self, Unreadable};
use crate::scenario::yaml::{Data, Node};
use crate::scenario::{Again, Ending, Enter, Exit, Goal, Trigger, Update};

/// What starts a scenario; exactly one of these keys stands in each item of `enter`.
const TRIGGERS: [&str; 5] = ["on", "segment", "date", "every", "manual"];

impl FileLoad<'_, '_> {
    pub(super) fn enter(&mut self, item: &EnterItem, node: &Node) -> Option<Enter> {
        let kind = self.one_of_keys(node, "`enter`", &TRIGGERS)?;
        let stands = if kind == "on" || kind == "manual" { Where::Entry } else { Where::Member };
        let trigger = match kind {
            "on" => self.event(item.on.as_deref(), node).map(Trigger::Event),
            "segment" => {
                self.condition(item.segment.as_ref(), node, "segment", Where::Member).map(Trigger::Segment)
            }
            "date" => {
                let yearly = item.yearly.unwrap_or(false);
                let at = self.expression(item.date.as_ref(), node, "date", Where::Member);
                at.map(|at| Trigger::Date { at, yearly })
            }
            "every" => {
                let pattern = cron::cron(item.every.as_deref()?);
                self.read(pattern, node.place_of("every")).map(|cron| Trigger::Every(Box::new(cron)))
            }
            _ => self.is_true(item.manual, node, "manual").then_some(Trigger::Manual),
        };
        let condition = self.condition(item.condition.as_ref(), node, "where", stands);
        let key = self.expression(item.key.as_ref(), node, "key", stands);
        let again = match &item.again {
            Some(text) => self.read(again(text), node.place_of("again")),
            None => Some(Again::Never),
        };
        if let (Some(Trigger::Every(_)), None) = (&trigger, &item.again) {
            let message = "each member enters once, ever: `every` has no `again`";
            self.findings.push(Finding::warning(node.place_of("every"), "no-again", message).help(
                "add `again: always` to enter at each tick, or `again: never` to say that once is meant",
            ));
        }
        let strays: &[(&str, &str)] = match kind {
            "date" => &[
                ("key", "a run by a date is known by that date"),
                ("again", "a member enters once for each date"),
            ],
            _ => &[("yearly", "`yearly` goes with `date`")],
        };
        for (key, why) in strays {
            if let Some(entry) = node.entry(key) {
                let message = format!("`{key}` cannot go with `{kind}`: {why}");
                self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
            }
        }
        Some(Enter { trigger: trigger?, condition, key, again: again? })
    }

    /// The one key of several that a mapping has.
    pub(super) fn one_of_keys(
        &mut self,
        node: &Node,
        owner: &str,
        keys: &[&'static str],
    ) -> Option<&'static str> {
        let given: Vec<&'static str> = keys.iter().copied().filter(|key| node.entry(key).is_some()).collect();
        match given.as_slice() {
            [key] => Some(key),
            [] => {
                if matches!(node.data, Data::Map(_)) && !self.has_unknown_key(node) {
                    let message = format!("{owner} has none of {}", keys.join(", "));
                    let help = "`on:` with the event's name is the usual one";
                    self.findings.push(Finding::error(&node.place, "missing-key", message).help(help));
                }
                None
            }
            [first, second, ..] => {
                let message = format!("{owner} has both `{first}` and `{second}`");
                let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
                let help = match owner {
                    _ if *first == "date" && *second == "every" => {
                        "for each year on that date, write `yearly: true`"
                    }
                    "`goal`" => "a scenario has one goal; keep one of the two",
                    _ => "make two items of it, in a list",
                };
                self.findings.push(Finding::error(place, "trigger", message).help(help));
                None
            }
        }
    }

    /// True if a key of the mapping has been refused: it may have been meant for the one that is missing.
    pub(super) fn has_unknown_key(&self, node: &Node) -> bool {
        node.entries().iter().any(|entry| self.unknown_keys.contains(&(entry.place.line, entry.place.column)))
    }

    /// True for a key that stands there as `true`, which is all that it can be.
    fn is_true(&mut self, value: Option<bool>, node: &Node, key: &str) -> bool {
        if value == Some(false) {
            let message = format!("`{key}: false` does nothing");
            let help = format!("write `{key}: true`, or leave it out");
            self.findings.push(Finding::error(node.place_of(key), "invalid-value", message).help(help));
        }
        value == Some(true)
    }

    pub(super) fn update(&mut self, item: &ListenItem, node: &Node) -> Option<Update> {
        if let Some(entry) = node.entry("segment") {
            let message = "`update` takes an event, not a `segment`";
            self.findings.push(
                Finding::error(&entry.place, "stray-key", message)
                    .help("a run that follows a date of the member is started by `date:`"),
            );
        } else if item.on.is_none() {
            self.one_of_keys(node, "`update`", &["on"]);
        }
        let (on, condition, key) = self.listen(item, node);
        Some(Update { on: on?, condition, key })
    }

    pub(super) fn exit(&mut self, item: &ListenItem, node: &Node) -> Option<Exit> {
        let ending = self.ending("`exit`", item.on.as_deref(), item.segment.as_ref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Listening);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Listening);
        self.refuse_key_of_segment(ending.as_ref(), node);
        Some(Exit { ending: ending?, condition, key })
    }

    fn ending(
        &mut self,
        owner: &str,
        on: Option<&str>,
        segment: Option<&ExpressionText>,
        node: &Node,
    ) -> Option<Ending> {
        match self.one_of_keys(node, owner, &["on", "segment"])? {
            "on" => self.event(on, node).map(Ending::Event),
            _ => self.condition(segment, node, "segment", Where::Member).map(Ending::Segment),
        }
    }

    /// A change of the member means all its runs.
    fn refuse_key_of_segment(&mut self, ending: Option<&Ending>, node: &Node) {
        if let (Some(Ending::Segment(_)), Some(entry)) = (ending, node.entry("key")) {
            let message = "`key` cannot go with `segment`: no event tells which run is meant";
            self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
        }
    }

    fn listen(
        &mut self,
        item: &ListenItem,
        node: &Node,
    ) -> (Option<EventName>, Option<Condition>, Option<Expression>) {
        let on = self.event(item.on.as_deref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Listening);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Listening);
        (on, condition, key)
    }

    pub(super) fn goal(&mut self, item: &GoalItem, node: &Node) -> Option<Goal> {
        let ending = self.ending("`goal`", item.on.as_deref(), item.segment.as_ref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Listening);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Listening);
        self.refuse_key_of_segment(ending.as_ref(), node);
        let within = self.offset(item.within.as_ref(), node, "within");
        let value = self.expression(item.value.as_ref(), node, "value", Where::Listening);
        Some(Goal { ending: ending?, condition, key, within, value })
    }

    /// Without a key, an update or an exit concerns every run that the member has.
    pub(super) fn expect_keys(&mut self, items: Option<&OneOrMany<ListenItem>>, tree: &Node, key: &str) {
        let (Some(OneOrMany(items)), Some(node)) = (items, tree.get(key)) else { return };
        let is_of_all = |item: &ListenItem| item.key.is_none() && item.on.is_some();
        for (item, node) in items.iter().zip(node.items()).filter(|(item, _)| is_of_all(item)) {
            let on = item.on.as_deref().unwrap_or_default();
            let message = format!("`{key}` on `{on}` has no `key`, so it concerns every run of the member");
            self.findings.push(
                Finding::warning(&node.place, "no-key", message)
                    .help("add the `key` of the run that the event means"),
            );
        }
    }

    /// A run by a date is known by that date, so there can be one such trigger.
    pub(super) fn refuse_second_date(&mut self, enter: &[Enter], tree: &Node) {
        let dates = enter.iter().filter(|enter| matches!(enter.trigger, Trigger::Date { .. })).count();
        if dates > 0
            && dates == enter.len()
            && let Some(entry) = tree.entry("anchor")
        {
            let message = "`anchor` is not used: what starts by a date of the member counts from that date";
            self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
        }
        if dates > 1 {
            let message = "a scenario is planned by one date of the member";
            self.findings.push(
                Finding::error(tree.place_of("enter"), "trigger", message)
                    .help("make a scenario for each of the dates"),
            );
        }
    }

    /// Refuses a date that is the same for everybody and is none, as `2026-12-25` without quotes: a number.
    pub(super) fn refuse_constant_dates(
        &mut self,
        typed: &ScenarioFile,
        tree: &Node,
        program: &Program,
        enter: &[Enter],
        anchor: Option<Expression>,
    ) {
        if self.error_count() > 0 {
            // a trigger that is wrong is not among those in `enter`
            return;
        }
        let mut found: Vec<(Expression, &str, &Node)> = Vec::new();
        if let (Some(anchor), Some(text), Some(node)) = (anchor, &typed.anchor, tree.get("anchor")) {
            found.push((anchor, &text.0, node));
        }
        let items = typed.enter.iter().flat_map(|enter| &enter.0);
        let nodes = tree.get("enter").map(Node::items).unwrap_or_default();
        let dates = items.zip(nodes).filter_map(|(item, node)| item.date.as_ref().zip(node.get("date")));
        let read = enter.iter().filter_map(|enter| match enter.trigger {
            Trigger::Date { at, .. } => Some(at),
            _ => None,
        });
        found.extend(read.zip(dates).map(|(at, (text, node))| (at, text.0.as_str(), node)));
        let names = sample_names(&SampleItem::default(), None).expect("nothing in it can be wrong");
        for (expression, source, node) in found {
            if !Builder::new(self.defaults.zone.clone()).names_in_expression(source).is_empty() {
                continue;
            }
            let text = program.text(expression, &names).unwrap_or_default();
            if parse_instant(&text, &self.defaults.zone).is_none() {
                let message = format!("`{source}` is no date, and the same for every member");
                self.findings.push(
                    Finding::error(&node.place, "names", message)
                        .help("name where the date is, such as member.birthday or event.starts_at"),
                );
            }
        }
    }
}

fn again(text: &str) -> Result<Again, Unreadable> {
    match text {
        "never" => Ok(Again::Never),
        "after_exit" => Ok(Again::AfterExit),
        "always" => Ok(Again::Always),
        _ => match written::offset(text) {
            Ok(offset) => Ok(Again::CoolDown(offset)),
            Err(error) => Err(Unreadable {
                code: "invalid-again",
                message: format!("`again` cannot be `{text}`"),
                help: did_you_mean(text, ["never", "after_exit", "always"])
                    .or_else(|| text.starts_with(|c: char| c.is_ascii_digit()).then_some(error.message))
                    .or_else(|| Some("one of never, after_exit, always, or a cool-down such as 90d".into())),
            }),
        },
    }
}
