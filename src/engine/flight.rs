//! Deliveries that are in the outbox: whether they may still go out, and what becomes of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::trigger::Refusal;
use super::{Context, Turn, cap, quiet_hours, rename, suppression};
use super::{record, record_mut};
use crate::model::{
    Delivery, DeliveryId, Ended, EnrollmentId, Flight, MemberFile, Settled, Settlement, Standing, StepId,
    Target, What,
};
use crate::mutation::{self, Mutation};

/// What became of a delivery in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// LINE took the push.
    Accepted,
    /// LINE refused it for good.
    Rejected(Arc<str>),
    /// It was taken back before anything was sent, and is decided afresh.
    Withdrawn(Arc<str>),
    /// As [`Fate::Withdrawn`], out of a multicast that LINE refused for somebody in it: from now on it goes
    /// in a request of its own.
    Parted(Arc<str>),
    /// It may or may not have been accepted, and that can no longer be found out.
    Unknown(Arc<str>),
}

/// What an operator says of a delivery whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It had been sent.
    Accepted,
    /// It had not been sent, and is not to be.
    Dropped,
    /// It had not been sent: send it now.
    Resend,
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
    delivery: DeliveryId,
    to: &Target,
    earlier: Earlier,
    context: &Context<'_>,
) -> Next {
    let run = file.and_then(|file| file.enrollments.iter().find(|run| run.id == enrollment));
    let (Some(file), Some(run)) = (file, run) else { return Next::Settled };
    let settled = if mutation::is(Mutation::SettledIsReplayed) { Next::Attempt } else { Next::Settled };
    let Standing::InFlight(flight) = &run.now else { return settled };
    if flight.delivery != delivery {
        return settled;
    }
    let stop = |reason: &str| {
        Next::Stop(match earlier {
            Earlier::NotSent => Fate::Withdrawn(reason.into()),
            Earlier::Ambiguous => Fate::Unknown(reason.into()),
        })
    };
    let Some(to) = to.line_user() else {
        // the run has come to this step, and whoever is told can tell a repetition by its key
        return Next::Attempt;
    };
    if file.link.as_ref().is_none_or(|link| link.user != *to) && !mutation::is(Mutation::LinkIgnored) {
        return stop("link");
    }
    let scenario = context.scenarios.get(&run.scenario);
    if let Some(reason) = suppression::suppression(file, scenario.and_then(|s| s.topic.as_deref()))
        && !mutation::is(Mutation::BlockIgnored)
    {
        return stop(reason.word());
    }
    let Some(scenario) = scenario else { return stop("removed") };
    if scenario.ends.is_some_and(|ends| ends <= context.now) && !mutation::is(Mutation::EndsIgnored) {
        return stop("ended");
    }
    if scenario.paused && !mutation::is(Mutation::PausedSends) {
        return stop("paused");
    }
    if run.ended == Some(Ended::Exited) {
        return stop("exited");
    }
    if run.anchor != flight.anchor {
        return stop("anchor");
    }
    // one that an edit has made something else of is a message that is gone
    let step = scenario.step(scenario.id_now(&flight.step)).filter(|step| step.messages().is_some());
    if step.is_none() && earlier == Earlier::NotSent {
        return stop("removed");
    }
    let before_anchor = match step {
        Some(step) => super::schedule::is_before_anchor(scenario, step, run),
        None => scenario.anchor.is_some() && flight.due < run.anchor,
    };
    if before_anchor && context.now >= run.anchor && !mutation::is(Mutation::LateAfterAnchor) {
        return stop("anchor");
    }
    let opening = match (step, scenario.hours) {
        (Some(step), _) => super::schedule::window(scenario, step).open_from(context.now),
        (None, Some(hours)) => quiet_hours::after_quiet_hours(context.now, hours, &scenario.zone),
        (None, None) => context.now,
    };
    if opening > context.now {
        return match earlier {
            Earlier::NotSent => stop("hours"),
            Earlier::Ambiguous => Next::Pause { until: opening },
        };
    }
    Next::Attempt
}

impl Turn<'_> {
    /// Records what became of a delivery; one that was settled before changes nothing.
    pub(super) fn settle(&mut self, enrollment: EnrollmentId, delivery: DeliveryId, fate: &Fate) {
        let Some(index) = self.position(enrollment) else { return };
        let Standing::InFlight(flight) = &self.file.enrollments[index].now else { return };
        if flight.delivery != delivery {
            return;
        }
        let Flight { step, revision, due, is_call, .. } = flight.clone();
        let settlement = match fate {
            Fate::Accepted if is_call => {
                self.note_step(index, &step, What::Done, None, Some(due));
                Some(Settlement::Done)
            }
            Fate::Accepted => {
                cap::count(self.file, self.context.scenarios.caps(), self.context.now, self.context.now);
                self.note_step(index, &step, What::Accepted, None, Some(due));
                Some(Settlement::Accepted)
            }
            Fate::Rejected(reason) => {
                self.note_step(index, &step, What::Rejected, Some(reason), Some(due));
                Some(Settlement::Rejected)
            }
            Fate::Unknown(reason) => {
                // it may have been accepted, and a cap is for what the member may have got
                if !is_call {
                    cap::count(self.file, self.context.scenarios.caps(), self.context.now, self.context.now);
                }
                let delivery = Delivery { revision, ..self.delivery_of(index, &step) };
                self.note_unknown(index, delivery, due, reason);
                Some(Settlement::Unknown)
            }
            Fate::Withdrawn(reason) | Fate::Parted(reason) => {
                self.note_step(index, &step, What::Withdrawn, Some(reason), Some(due));
                None
            }
        };
        match settlement {
            // it was for the date before the anchor moved: the step is still open for the new one
            Some(_) if self.moved_since(index, &step, revision) => {
                self.file.enrollments[index].now = Standing::Waiting { until: self.context.now };
            }
            Some(settlement) => {
                self.settle_step(index, &step, settlement);
                self.go_on_from(index, due);
            }
            None => {
                let first = self.first_generation();
                let run = &mut self.file.enrollments[index];
                let record = record_mut(run, &step);
                if !mutation::is(Mutation::GenerationKept) {
                    record.generation = (record.generation + 1).max(first);
                }
                record.alone |= matches!(fate, Fate::Parted(_));
                run.now = Standing::Waiting { until: self.context.now };
            }
        }
    }

    /// The lowest generation that is raised to: in a restored store beyond any that the daemon before may
    /// have used, since its keys are LINE's already. Minutes are enough to tell one restore from another.
    pub(super) fn first_generation(&self) -> u32 {
        let restored_at = self.context.restored_at.map_or(0, |restored_at| restored_at.as_second() / 60);
        u32::try_from(restored_at).unwrap_or(0)
    }

    /// Lets a step that is about to become a delivery have a generation that is its own.
    pub(super) fn renew_identity(&mut self, index: usize, step: &StepId) {
        let first = self.first_generation();
        let first = first.max(rename::first_generation(&self.file.enrollments[index], step));
        if first > 0 {
            let record = record_mut(&mut self.file.enrollments[index], step);
            record.generation = record.generation.max(first);
        }
    }

    /// The id that the step of a delivery has now.
    fn id_now(&self, delivery: &Delivery) -> StepId {
        let run = self.position(delivery.enrollment).map(|index| &self.file.enrollments[index]);
        let scenario = run.and_then(|run| self.context.scenarios.get(&run.scenario));
        scenario.map_or(&delivery.step, |scenario| scenario.id_now(&delivery.step)).clone()
    }

    fn moved_since(&self, index: usize, step: &StepId, revision: u32) -> bool {
        record(&self.file.enrollments[index], step).is_some_and(|r| r.revision > revision)
    }

    /// Settles a delivery whose fate was unknown, by an operator's word.
    ///
    /// # Errors
    /// [`Refusal::NothingToResend`] where the run has exited or its scenario ended, is gone, or has moved the step to another date.
    pub(super) fn resolve(&mut self, delivery: &Delivery, resolution: Resolution) -> Result<(), Refusal> {
        let step = self.id_now(delivery);
        let found = self.position(delivery.enrollment).filter(|index| {
            let record = record(&self.file.enrollments[*index], &step);
            record.is_some_and(|record| {
                record.settled.is_some_and(|settled| settled.how == Settlement::Unknown)
                    && (record.revision, record.generation) == (delivery.revision, delivery.generation)
            })
        });
        let Some(index) = found else {
            return match resolution {
                Resolution::Resend => Err(Refusal::NothingToResend),
                // the run does not wait for it any more
                Resolution::Accepted | Resolution::Dropped => Ok(()),
            };
        };
        let now = self.context.now;
        let run = &self.file.enrollments[index];
        let ends = self.context.scenarios.get(&run.scenario).and_then(|scenario| scenario.ends);
        let is_over = run.ended == Some(Ended::Exited) || ends.is_some_and(|ends| ends <= now);
        let (what, how) = match resolution {
            Resolution::Accepted => (What::Accepted, Settlement::Accepted),
            Resolution::Dropped => (What::Expired, Settlement::Expired),
            Resolution::Resend if is_over => return Err(Refusal::NothingToResend),
            Resolution::Resend => {
                self.note_step(index, &step, What::Withdrawn, Some("resend"), None);
                let first = self.first_generation();
                let run = &mut self.file.enrollments[index];
                let record = record_mut(run, &step);
                record.settled = None;
                record.generation = (record.generation + 1).max(first);
                record.resent_at = Some(now);
                if let Standing::Waiting { until } = &mut run.now {
                    *until = now;
                }
                return Ok(());
            }
        };
        let reason = match resolution {
            Resolution::Accepted => "settled",
            _ => "dropped",
        };
        self.note_step(index, &step, what, Some(reason), None);
        let run = &mut self.file.enrollments[index];
        let record = record_mut(run, &step);
        record.settled = Some(Settled { at: now, how });
        if resolution == Resolution::Dropped {
            // LINE may have it: if it is due again, for another date, it is under another key
            record.generation += 1;
        }
        Ok(())
    }
}
