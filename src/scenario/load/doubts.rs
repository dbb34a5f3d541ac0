//! What is legal and probably wrong.
//!
//! Each doubt is a warning, and each has to be right nearly always: one that cries wolf is switched off with
//! all the others. `# amadare: allow(code)` in the line of a warning, or in the comment above it, says that it
//! is meant so.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::FileLoad;
use crate::scenario::file::ScenarioFile;
use crate::scenario::finding::{Finding, Severity};
use crate::scenario::yaml::{Data, Node};
use crate::scenario::{Offset, Scenario, Step, Within};

mod moments;
mod nagging;
mod names;
mod reach;

pub(super) use nagging::{Nagging, doubt_together};
pub(super) use names::UsedName;

#[cfg(test)]
pub(super) use moments::DEFAULT_LATE;

/// How a comment starts that allows what is doubted.
const ALLOW: &str = "amadare: allow(";

impl FileLoad<'_, '_> {
    /// Warns of what is probably wrong with a scenario that is right.
    pub(super) fn doubt(&mut self, scenario: &Scenario, typed: &ScenarioFile, tree: &Node) {
        let mut nodes = HashMap::new();
        step_nodes(tree, &mut nodes);
        if nodes.len() != scenario.steps.len() {
            // a step is missing because a file that it includes is wrong
            return;
        }
        let view = View { scenario, nodes };
        let mut doubts = Vec::new();
        view.unreached(None, &mut doubts);
        view.constant_conditions(&mut doubts);
        view.behind_the_end(&mut doubts);
        view.outside_hours(tree, &mut doubts);
        let never_sent = view.never_sent();
        // a step that is never sent is told of once
        let is_told = |finding: &Finding| {
            finding.code == "out-of-order"
                && never_sent.iter().any(|never| (never.line, never.column) == (finding.line, finding.column))
        };
        self.findings.retain(|finding| !is_told(finding));
        doubts.extend(never_sent);
        view.greeting(tree, &mut doubts);
        view.without_exit(tree, &mut doubts);
        self.findings.extend(doubts);
        self.doubt_names(typed);
        self.nagging.extend(view.nagging(typed, tree));
    }
}

/// The steps of a file by id, those inside others as well.
pub(super) fn step_nodes<'t>(node: &'t Node, found: &mut HashMap<&'t str, &'t Node>) {
    if let Some(id) = node.get("step").and_then(Node::as_text) {
        found.insert(id, node);
    }
    let holds_steps = |key: &str| ["steps", "branch", "split", "wait_for", "else"].contains(&key);
    for entry in node.entries().iter().filter(|entry| holds_steps(&entry.key)) {
        step_nodes(&entry.value, found);
    }
    if let Data::List(items) = &node.data {
        items.iter().for_each(|item| step_nodes(item, found));
    }
}

/// A scenario beside its file.
struct View<'a> {
    scenario: &'a Scenario,
    nodes: HashMap<&'a str, &'a Node>,
}

impl<'a> View<'a> {
    fn node(&self, step: &Step) -> Option<&'a Node> {
        self.nodes.get(step.id.as_str()).copied()
    }

    /// The steps of one list: those at the top, or those of an arm.
    fn list(&self, within: Option<Within>) -> impl Iterator<Item = (usize, &'a Step)> {
        self.scenario.steps.iter().enumerate().filter(move |(_, step)| step.within == within)
    }

    fn pushes(&self) -> impl Iterator<Item = (usize, &'a Step)> {
        self.scenario.steps.iter().enumerate().filter(|(_, step)| step.messages().is_some())
    }

    fn doubt(
        &self,
        step: &Step,
        key: &str,
        code: &'static str,
        message: String,
        help: &str,
    ) -> Option<Finding> {
        Some(Finding::warning(self.node(step)?.place_of(key), code, message).help(help))
    }
}

/// Drops the warnings that the file says are meant so.
pub(super) fn drop_allowed(findings: &mut Vec<Finding>, text: &[u8]) {
    if findings.iter().all(Finding::is_error) {
        return;
    }
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.split('\n').collect();
    findings.retain(|finding| {
        let Some(index) = finding.line.checked_sub(1).filter(|_| finding.severity == Severity::Warning)
        else {
            return true;
        };
        let above = lines[..index.min(lines.len())].iter().rev();
        let comments = above.take_while(|line| line.trim_start().starts_with('#'));
        let mut saying = lines.get(index).into_iter().chain(comments);
        !saying.any(|line| allows(line, finding.code))
    });
}

fn allows(line: &str, code: &str) -> bool {
    let comment = line.find('#').map_or("", |at| &line[at..]);
    let listed = comment.split_once(ALLOW).and_then(|(_, rest)| rest.split_once(')'));
    listed.is_some_and(|(codes, _)| codes.split(',').any(|allowed| allowed.trim() == code))
}

/// The least time that an offset can be: a day has 23 hours at least, a month 28 days.
fn shortest(offset: &Offset) -> SignedDuration {
    match offset {
        Offset::Exact(duration) => *duration,
        Offset::Civil(span) => {
            let days = i64::from(span.get_days()) + i64::from(span.get_weeks()) * 7;
            let days = days + i64::from(span.get_months()) * 28 + i64::from(span.get_years()) * 365;
            SignedDuration::from_hours((days * 24 - 1).max(0))
        }
    }
}
