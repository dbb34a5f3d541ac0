//! Steps that an edit gave other ids: a run goes on by those that they have now.

use super::{Turn, record, record_mut};
use crate::model::{Enrollment, Standing, StepId};

/// Old ids that a step of a run keeps.
const MAX_KEPT_IDS: usize = 10;

impl Turn<'_> {
    /// Gives what is known of renamed steps to those that they are now.
    pub(super) fn rename(&mut self) {
        if !self.context.scenarios.has_renamed() {
            return;
        }
        for run in &mut self.file.enrollments {
            let Some(scenario) = self.context.scenarios.get(&run.scenario) else { continue };
            for (was, id) in scenario.renamed() {
                rename_step(run, was, id);
            }
        }
    }
}

fn rename_step(run: &mut Enrollment, was: &StepId, id: &StepId) {
    for record in &mut run.steps {
        if record.took.as_ref() == Some(was) {
            record.took = Some(id.clone());
        }
    }
    if record(run, was).is_none() || record(run, id).is_some() {
        return;
    }
    let record = record_mut(run, was);
    record.step = id.clone();
    record.was.retain(|other| other != was);
    record.was.push(was.clone());
    let forgotten = record.was.len().saturating_sub(MAX_KEPT_IDS);
    // LINE has forgotten its keys long before a step has so many other names
    record.was.drain(..forgotten);
    if let Standing::InFlight(flight) = &mut run.now
        && flight.step == *was
    {
        flight.step = id.clone();
    }
}

/// The lowest generation of a step that has the id that another one had: its requests must not have the keys
/// of those that were made under it.
pub(super) fn first_generation(run: &Enrollment, step: &StepId) -> u32 {
    let before = run.steps.iter().filter(|record| record.was.contains(step));
    before.map(|record| record.generation + 1).max().unwrap_or(0)
}
