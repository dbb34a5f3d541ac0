//! The way of an enrollment through its steps: which is next, and which arms it has taken.

use super::{is_open, record};
use crate::model::{Enrollment, Settlement, StepId};
use crate::mutation::{self, Mutation};
use crate::scenario::{Scenario, Step};

/// Whether a step lies on the way of an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    On,
    /// A container around it has not been decided about.
    Undecided,
    /// Another arm was taken, or none.
    Off,
}

/// The step that an enrollment is at: one that was opened again, or the first after all that are
/// settled. A step that an edit put before a settled one is passed over, and so are those in arms that
/// were not taken.
pub(super) fn next_step<'a>(scenario: &'a Scenario, run: &Enrollment) -> Option<&'a Step> {
    if mutation::is(Mutation::OrderReversed) {
        return scenario.steps.iter().rev().find(|step| is_open(run, &step.id));
    }
    next_where(scenario, run, |step| record(run, &step.id).is_some_and(|record| record.settled.is_some()))
}

/// The step that an enrollment would be at if `settled` were settled.
pub(super) fn step_behind<'a>(
    scenario: &'a Scenario,
    run: &Enrollment,
    settled: &StepId,
) -> Option<&'a Step> {
    next_where(scenario, run, |step| {
        step.id == *settled || record(run, &step.id).is_some_and(|record| record.settled.is_some())
    })
}

fn next_where<'a>(
    scenario: &'a Scenario,
    run: &Enrollment,
    is_settled: impl Fn(&Step) -> bool,
) -> Option<&'a Step> {
    let after_settled = scenario.steps.iter().rposition(&is_settled).map_or(0, |last| last + 1);
    scenario.steps.iter().enumerate().find_map(|(index, step)| {
        let open = !is_settled(step) && (index >= after_settled || record(run, &step.id).is_some());
        (open && reach(scenario, run, step) == Reach::On).then_some(step)
    })
}

/// Whether `step` lies on the way of the enrollment, as far as it has come.
pub(super) fn reach(scenario: &Scenario, run: &Enrollment, step: &Step) -> Reach {
    let Some(within) = step.within else { return Reach::On };
    let container = &scenario.steps[within.container];
    match reach(scenario, run, container) {
        Reach::On => {}
        other => return other,
    }
    match taken_arm(scenario, run, container) {
        Some(Some(arm)) if arm == within.arm || mutation::is(Mutation::BothArms) => Reach::On,
        Some(_) => Reach::Off,
        None => Reach::Undecided,
    }
}

/// The arm that was taken: none if nothing is decided, an inner none if no arm of the file as it is now.
fn taken_arm(scenario: &Scenario, run: &Enrollment, container: &Step) -> Option<Option<usize>> {
    let has =
        |arm: usize, is: &dyn Fn(&Step) -> bool| scenario.steps[container.arms[arm].clone()].iter().any(is);
    let find = |is: &dyn Fn(&Step) -> bool| (0..container.arms.len()).find(|arm| has(*arm, is));
    let is_settled = |step: &Step| record(run, &step.id).is_some_and(|record| record.settled.is_some());
    let own = record(run, &container.id);
    match own.and_then(|record| record.settled) {
        Some(settled) if settled.how == Settlement::Done => {
            let first = own.and_then(|record| record.took.as_ref());
            // where an edit took the first step out, what was done inside tells the arm, or its place
            // among the same number of arms; where one was taken out, the next stands in its place
            let place = own.and_then(|record| record.arm);
            let place = place.filter(|place| usize::from(place.of) == container.arms.len());
            let place = place.map(|place| usize::from(place.index));
            Some(
                first.and_then(|first| {
                    find(&|step| step.id == *first).or_else(|| find(&is_settled)).or(place)
                }),
            )
        }
        Some(_) => Some(None),
        // an edit may have put a container around steps that were done
        None => find(&is_settled).map(Some),
    }
}
