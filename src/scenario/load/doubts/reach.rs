//! Steps and arms that no run gets to.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::View;
use crate::scenario::file::SampleItem;
use crate::scenario::finding::Finding;
use crate::scenario::load::sample_names;
use crate::scenario::program::{Condition, Names, ROOTS};
use crate::scenario::yaml::Node;
use crate::scenario::{Act, Offset, Step, Timing, Trigger, Within};

impl View<'_> {
    /// Warns of the first step of each list that stands behind one which ends every run.
    pub(super) fn unreached(&self, within: Option<Within>, doubts: &mut Vec<Finding>) {
        let mut ending: Option<&Step> = None;
        for (index, step) in self.list(within) {
            if let Some(before) = ending {
                let message = format!(
                    "step `{}` is never reached: `{}` in front of it ends the run",
                    step.id, before.id
                );
                let help = "move it up, or give the `exit` a `when`";
                doubts.extend(self.doubt(step, "step", "never-reached", message, help));
                return;
            }
            for arm in 0..step.arms.len() {
                self.unreached(Some(Within { container: index, arm }), doubts);
            }
            if self.ends_all(index, step) {
                ending = Some(step);
            }
        }
    }

    /// True if no run goes on behind the step.
    fn ends_all(&self, index: usize, step: &Step) -> bool {
        if step.condition.is_some() || step.late.is_some() {
            return false;
        }
        let takes_an_arm = match &step.act {
            Act::Exit => return true,
            Act::Branch(conditions) => conditions.contains(&None),
            Act::Split(_) | Act::WaitFor(_) => true,
            _ => false,
        };
        takes_an_arm
            && (0..step.arms.len()).all(|arm| {
                let mut steps = self.list(Some(Within { container: index, arm }));
                steps.any(|(index, step)| self.ends_all(index, step))
            })
    }

    /// Warns of conditions that are the same for everybody, and of arms that no one gets to.
    pub(super) fn constant_conditions(&self, doubts: &mut Vec<Finding>) {
        let names = sample_names(&SampleItem::default(), None).expect("nothing in it can be wrong");
        for step in &self.scenario.steps {
            let Some(node) = self.node(step) else { continue };
            if self.constant(step.condition, node, &names) == Some(false) {
                let message = format!("step `{}` is never done: its `when` is false for everybody", step.id);
                let help = "name what differs from member to member, such as `member.regular`; or leave the step out";
                doubts.extend(self.doubt(step, "when", "never-reached", message, help));
            }
            if let (Act::Branch(conditions), Some(arms)) = (&step.act, node.get("branch")) {
                self.constant_arms(conditions, arms.items(), &names, doubts);
            }
        }
    }

    fn constant_arms(
        &self,
        conditions: &[Option<Condition>],
        arms: &[Node],
        names: &Names,
        doubts: &mut Vec<Finding>,
    ) {
        let mut seen: Vec<&str> = Vec::new();
        for (condition, arm) in conditions.iter().zip(arms) {
            let Some(written) = arm.get("when").and_then(Node::as_text).map(str::trim) else { continue };
            let constant = self.constant(*condition, arm, names);
            let why = if seen.contains(&written) {
                "an arm above it has the same `when`"
            } else if constant == Some(false) {
                "its `when` is false for everybody"
            } else {
                seen.push(written);
                if constant == Some(true) && !std::ptr::eq(arm, arms.last().unwrap_or(arm)) {
                    let message = "this arm is taken by everybody, so those below it never are";
                    let help = "make it the last, with `else:`";
                    doubts.push(Finding::warning(arm.place_of("when"), "never-reached", message).help(help));
                }
                continue;
            };
            let message = format!("this arm is never taken: {why}");
            let help = "change the condition, or leave the arm out";
            doubts.push(Finding::warning(arm.place_of("when"), "never-reached", message).help(help));
        }
    }

    /// What a condition is for everybody; none where it differs.
    fn constant(&self, condition: Option<Condition>, node: &Node, names: &Names) -> Option<bool> {
        let written = node.get("when").and_then(Node::as_text)?;
        if ROOTS.iter().any(|root| written.contains(root)) {
            return None;
        }
        // one that cannot be told is false as well
        Some(self.scenario.program.test(condition?, names).unwrap_or(false))
    }

    /// Warns of steps that lie behind the end of the scenario for whoever enters first.
    pub(super) fn behind_the_end(&self, doubts: &mut Vec<Finding>) {
        let (Some(starts), Some(ends)) = (self.scenario.starts, self.scenario.ends) else { return };
        if !self.counts_from_entry() {
            return;
        }
        let first = self.list(None).find(|(_, step)| {
            let moment = earliest(&step.timing, starts, &self.scenario.zone);
            moment.is_some_and(|moment| moment >= ends)
        });
        if let Some((_, step)) = first {
            let message =
                format!("step `{}` is never reached: the scenario ends before anybody gets to it", step.id);
            let help = "let it come earlier, or let the scenario end later: runs end at `ends`, too";
            doubts.extend(self.doubt(step, "step", "never-reached", message, help));
        }
    }

    /// True if no run begins, and none is counted from, before `starts`.
    fn counts_from_entry(&self) -> bool {
        let by_date = |trigger: &Trigger| matches!(trigger, Trigger::Date { .. });
        self.scenario.anchor.is_none() || self.scenario.enter.iter().all(|enter| by_date(&enter.trigger))
    }
}

/// The first moment that a timing can have for one who enters no sooner than `from`.
fn earliest(timing: &Timing, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let (offset, at) = match timing {
        Timing::Day { days, at } if *days >= 0 => (Offset::Civil(jiff::Span::new().days(*days)), *at),
        Timing::After { offset, at } => (offset.clone(), *at),
        _ => return None,
    };
    let from = from.to_zoned_datetime(zone.clone());
    let moved = match offset {
        Offset::Exact(duration) => from.checked_add(duration).ok()?,
        Offset::Civil(span) => from.checked_add(span).ok()?,
    };
    match at {
        None => Some(moved.timestamp()),
        Some(at) => Some(moved.date().to_datetime(at).to_zoned_datetime(zone.clone()).ok()?.timestamp()),
    }
}
