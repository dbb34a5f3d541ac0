//! What a step would send to a member, and what conditions say now, for somebody who wants to see it.

use std::sync::Arc;

use jiff::Timestamp;

use super::date::told_date;
use super::trigger::anchor_at;
use super::{member_scope, rendered};
use crate::model::{Attributes, Enrollment, EnrollmentId, MemberFile};
use crate::scenario::program::{Condition, EnrollmentScope, Failure, Messages, Names, Scope};
use crate::scenario::{Scenario, Trigger};

/// The run that a step is shown in: one that there is, or one that is made up.
#[derive(Clone, Debug)]
pub struct Setting {
    event: Arc<Attributes>,
    anchor: Timestamp,
    enrollment: EnrollmentScope,
}

impl Setting {
    /// A run of the member's own.
    pub fn of_run(run: &Enrollment) -> Setting {
        Setting {
            event: Arc::clone(&run.event),
            anchor: run.anchor,
            enrollment: EnrollmentScope { id: run.id, key: run.key.clone(), entered_at: run.entered_at },
        }
    }

    /// A run that an event with this data has just begun. Without an anchor of its own it has the one that
    /// the scenario tells by the event or by the member's date, or else this instant.
    pub fn made_up(
        file: &MemberFile,
        scenario: &Scenario,
        event: Attributes,
        anchor: Option<Timestamp>,
        now: Timestamp,
    ) -> Setting {
        let event = Arc::new(event);
        let names = Names::new(Scope {
            member: member_scope(file),
            event: Some(Arc::clone(&event)),
            enrollment: None,
            anchor: None,
            now,
        });
        let told = || scenario.anchor.and_then(|anchor| anchor_at(scenario, anchor, &names).ok());
        let by_date = || {
            scenario.enter.iter().find_map(|enter| match enter.trigger {
                Trigger::Date { at, .. } => told_date(scenario, at, &names),
                _ => None,
            })
        };
        Setting {
            anchor: anchor.or_else(told).or_else(by_date).unwrap_or(now),
            event,
            enrollment: EnrollmentScope { id: EnrollmentId(uuid::Uuid::nil()), key: None, entered_at: now },
        }
    }
}

/// The message objects of a step as they would be sent to the member, a JSON array.
///
/// # Errors
/// Why they cannot be made: `render(…)`.
pub fn messages(
    file: &MemberFile,
    scenario: &Scenario,
    written: &Messages,
    setting: &Setting,
    now: Timestamp,
) -> Result<String, String> {
    rendered(scenario, written, || names(file, Some(setting), now))
}

/// What a condition says at an instant, and the values that it says it by, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub truth: Result<bool, Failure>,
    pub values: Vec<(String, Option<String>)>,
}

/// What a condition says of a member, in a run of theirs or outside any.
pub fn said(
    file: &MemberFile,
    scenario: &Scenario,
    condition: Condition,
    setting: Option<&Setting>,
    now: Timestamp,
) -> Said {
    let names = names(file, setting, now);
    Said {
        truth: scenario.program.test(condition, &names),
        values: scenario.program.values(condition, &names),
    }
}

fn names(file: &MemberFile, setting: Option<&Setting>, now: Timestamp) -> Names {
    Names::new(Scope {
        member: member_scope(file),
        event: setting.map(|setting| Arc::clone(&setting.event)),
        enrollment: setting.map(|setting| setting.enrollment.clone()),
        anchor: setting.map(|setting| setting.anchor),
        now,
    })
}
