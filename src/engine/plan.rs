//! What is planned for a member, if nothing else happens.

use std::sync::Arc;

use jiff::Timestamp;

use super::path::{Reach, next_step, reach};
use super::{record, schedule};
use crate::model::{Enrollment, MemberFile, ScenarioId, Standing, StepId};
use crate::scenario::{Scenario, ScenarioSet, Step};

/// A step that something is still to be decided about.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub scenario: ScenarioId,
    pub key: Option<Arc<str>>,
    pub step: StepId,
    pub when: When,
}

/// When a planned step is to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this instant, send hours considered.
    At(Timestamp),
    /// Some time after the step before it, which has not been reached.
    AfterTheOneBefore,
    /// Only if a choice before it, which is still to be made, takes its arm.
    IfTaken,
    /// It is in the outbox; LINE has not answered yet.
    InFlight { since: Timestamp },
}

/// The step that a run is at; none once it has done all.
pub fn step_at<'a>(scenario: &'a Scenario, run: &Enrollment) -> Option<&'a Step> {
    next_step(scenario, run)
}

/// The open steps of every live run, in the order in which they will be reached.
pub fn planned(file: &MemberFile, scenarios: &ScenarioSet) -> Vec<Planned> {
    let live = file.enrollments.iter().filter(|run| run.is_live());
    live.flat_map(|run| match scenarios.get(&run.scenario) {
        Some(scenario) => planned_of_run(scenario, run),
        None => Vec::new(),
    })
    .collect()
}

fn planned_of_run(scenario: &Scenario, run: &Enrollment) -> Vec<Planned> {
    let Some(next) = next_step(scenario, run) else { return Vec::new() };
    let open = (scenario.steps.iter())
        .skip_while(|step| step.id != next.id)
        .filter(|step| record(run, &step.id).is_none_or(|record| record.settled.is_none()))
        .filter(|step| reach(scenario, run, step) != Reach::Off);
    open.map(|step| {
        let when = match &run.now {
            _ if reach(scenario, run, step) == Reach::Undecided => When::IfTaken,
            Standing::InFlight(flight) if flight.step == step.id => When::InFlight { since: flight.since },
            Standing::Waiting { until } if step.id == next.id => {
                When::At(schedule::slot(scenario, step, run).due.max(*until))
            }
            _ if schedule::has_own_time(&step.timing) => When::At(schedule::slot(scenario, step, run).due),
            _ => When::AfterTheOneBefore,
        };
        Planned { scenario: run.scenario.clone(), key: run.key.clone(), step: step.id.clone(), when }
    })
    .collect()
}
