//! Deliveries that are in the outbox: whether they may still go out, and what becomes of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Context, Turn, quiet_hours, suppression};
use crate::model::{EnrollmentId, Flight, LineUserId, MemberFile, RetryKey, Settlement, Standing, What};

/// What became of a delivery in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// LINE took the push.
    Accepted,
    /// LINE refused it for good.
    Rejected(Arc<str>),
    /// It was taken back before anything was sent, and is decided afresh.
    Withdrawn(Arc<str>),
    /// It may or may not have been accepted, and that can no longer be found out.
    Unknown(Arc<str>),
}

/// What the next attempt for a delivery is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Attempt,
    /// Not before this instant.
    Pause {
        until: Timestamp,
    },
    /// No attempt any more: this became of it.
    Stop(Fate),
    /// Nobody waits for it: it was settled before.
    Settled,
}

/// Whether an attempt before this one may have reached LINE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// There was none, or each was refused or never left.
    NotSent,
    Ambiguous,
}

/// Looks at the world again before an attempt for a delivery in flight.
///
/// A delivery that was never sent is taken back when it is no longer wanted; one that may have been sent
/// is not sent again to somebody who must not get it.
pub fn before_attempt(
    file: Option<&MemberFile>,
    enrollment: EnrollmentId,
    retry_key: RetryKey,
    to: &LineUserId,
    earlier: Earlier,
    context: &Context<'_>,
) -> Next {
    let run = file.and_then(|file| file.enrollments.iter().find(|run| run.id == enrollment));
    let (Some(file), Some(run)) = (file, run) else { return Next::Settled };
    let Standing::InFlight(flight) = &run.now else { return Next::Settled };
    if flight.retry_key != retry_key {
        return Next::Settled;
    }
    let stop = |reason: &str| {
        Next::Stop(match earlier {
            Earlier::NotSent => Fate::Withdrawn(reason.into()),
            Earlier::Ambiguous => Fate::Unknown(reason.into()),
        })
    };
    if file.link.as_ref().is_none_or(|link| link.user != *to) {
        return stop("link");
    }
    if let Some(reason) = suppression::suppression(file) {
        return stop(reason.word());
    }
    let Some(scenario) = context.scenarios.get(&run.scenario) else { return stop("removed") };
    if run.left {
        return stop("exited");
    }
    if run.anchor != flight.anchor {
        return stop("anchor");
    }
    let step = scenario.step(&flight.step);
    if let Some(step) = step {
        let before_anchor = super::schedule::is_before_anchor(scenario, step, run);
        if before_anchor && context.now >= run.anchor {
            return stop("anchor");
        }
    }
    let hours = step.and_then(|step| step.hours).or(scenario.hours);
    if let Some(hours) = hours {
        let opening = quiet_hours::after_quiet_hours(context.now, hours, &scenario.zone);
        if opening > context.now {
            return match earlier {
                Earlier::NotSent => stop("hours"),
                Earlier::Ambiguous => Next::Pause { until: opening },
            };
        }
    }
    Next::Attempt
}

impl Turn<'_> {
    /// Records what became of a delivery; one that was settled before changes nothing.
    pub(super) fn settle(&mut self, enrollment: EnrollmentId, retry_key: RetryKey, fate: &Fate) {
        let Some(index) = self.position(enrollment) else { return };
        let Standing::InFlight(flight) = &self.file.enrollments[index].now else { return };
        if flight.retry_key != retry_key {
            return;
        }
        let Flight { step, revision, due, .. } = flight.clone();
        let (what, reason, settlement) = match fate {
            Fate::Accepted => (What::Accepted, None, Some(Settlement::Accepted)),
            Fate::Rejected(reason) => (What::Rejected, Some(reason), Some(Settlement::Rejected)),
            Fate::Unknown(reason) => (What::Unknown, Some(reason), Some(Settlement::Unknown)),
            Fate::Withdrawn(reason) => (What::Withdrawn, Some(reason), None),
        };
        self.note_step(index, &step, what, reason.map(|r| &**r), Some(due));
        match settlement {
            // it was for the date before the anchor moved: the step is still open for the new one
            Some(_) if self.moved_since(index, &step, revision) => {
                self.file.enrollments[index].now = Standing::Waiting { until: self.context.now };
            }
            Some(settlement) => self.settle_step(index, &step, settlement),
            None => {
                self.next_generation(index, &step);
                self.file.enrollments[index].now = Standing::Waiting { until: self.context.now };
            }
        }
    }

    fn moved_since(&self, index: usize, step: &crate::model::StepId, revision: u32) -> bool {
        super::record(&self.file.enrollments[index], step).is_some_and(|r| r.revision > revision)
    }
}
