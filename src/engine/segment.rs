//! What a change of the member does: it starts and ends runs where it makes something true.

use std::sync::Arc;

use jiff::Timestamp;

use super::Turn;
use super::trigger::Cause;
use crate::model::Attributes;
use crate::mutation::{self, Mutation};
use crate::scenario::program::{Condition, MemberScope, Names, Scope};
use crate::scenario::{Ending, Scenario, Trigger};

/// Whether a change may start scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Loud,
    /// As an import does: nobody is welcomed by it.
    Silent,
    /// Steps have started too many runs by now.
    InACircle,
}

impl Turn<'_> {
    /// Lets scenarios react, at an instant, to a change of the member, which was as any of `before` tells.
    /// What there is no room for is told of in the timeline.
    pub(super) fn member_changed(&mut self, before: &[Arc<MemberScope>], told: Told, at: Timestamp) {
        if self.context.scenarios.segmented().is_empty() {
            return;
        }
        let after = super::member_scope(self.file);
        if before.first() == Some(&after) {
            return;
        }
        let names = |member: &Arc<MemberScope>| {
            Names::new(Scope {
                member: Arc::clone(member),
                event: None,
                enrollment: None,
                anchor: None,
                now: self.context.now,
            })
        };
        let (before, after) = (before.iter().map(names).collect::<Vec<_>>(), names(&after));
        let has_come_true = |scenario: &Scenario, condition: Condition| {
            let test = |names: &Names| scenario.program.test(condition, names).unwrap_or(false);
            !before.iter().any(test) && test(&after)
        };
        let data: Arc<Attributes> = Arc::default();
        for scenario in self.context.scenarios.segmented() {
            let ends = |ending: &Ending| match ending {
                Ending::Segment(condition) => has_come_true(scenario, *condition),
                Ending::Event(_) => false,
            };
            for goal in scenario.goal.iter().filter(|goal| ends(&goal.ending)) {
                self.convert(scenario, goal, at, &data);
            }
            for exit in scenario.exit.iter().filter(|exit| ends(&exit.ending)) {
                for index in self.matching_or_kept(scenario, exit.condition, exit.key, &data) {
                    self.exit(index, "segment");
                }
            }
            self.end_converted(scenario);
            for enter in &scenario.enter {
                let Trigger::Segment(condition) = enter.trigger else { continue };
                if !has_come_true(scenario, condition) {
                    continue;
                }
                match told {
                    Told::Silent if !mutation::is(Mutation::SilentStarts) => {
                        self.not_enrolled(scenario, "silent");
                    }
                    Told::InACircle => self.not_enrolled(scenario, "too_many_at_once"),
                    Told::Silent | Told::Loud => {
                        match self.enter(scenario, enter, Cause::Segment, at, &data, &after) {
                            Ok(true) => break,
                            Ok(false) => {}
                            Err(_) => self.not_enrolled(scenario, "no_room"),
                        }
                    }
                }
            }
        }
    }
}
