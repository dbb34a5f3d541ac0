//! When a step is due.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use super::quiet_hours;
use crate::model::Enrollment;
use crate::mutation::{self, Mutation};
use crate::scenario::{Hours, Offset, Scenario, Step, Timing};

/// How far behind a step at or after the anchor may go out where nothing else is said.
pub const DEFAULT_LATE: SignedDuration = SignedDuration::from_hours(24);

/// The place of one step of one enrollment in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// When there is first something to decide about it: its moment, or the end of the send window
    /// that it was pulled back into.
    pub look_at: Timestamp,
    /// Its moment after send hours moved it, from which lateness counts.
    pub due: Timestamp,
    /// The send window that applies to it.
    pub hours: Option<Hours>,
    late: Option<SignedDuration>,
    /// The instant that it must go out before; set for a step before its anchor.
    before: Option<Timestamp>,
}

impl Slot {
    /// True if the step must not go out at `instant` any more.
    pub fn is_late(&self, instant: Timestamp) -> bool {
        let behind = instant.duration_since(self.due);
        if self.before.is_some() && mutation::is(Mutation::LateAfterAnchor) {
            return false;
        }
        self.before.is_some_and(|anchor| instant >= anchor) || self.late.is_some_and(|late| behind > late)
    }
}

/// Where `step` of an enrollment stands in time.
pub fn slot(scenario: &Scenario, step: &Step, run: &Enrollment) -> Slot {
    let zone = &scenario.zone;
    let planned = moment(&step.timing, run, zone);
    let sends = step.messages().is_some();
    let hours = step.hours.or(scenario.hours.filter(|_| sends));
    let before = (sends && scenario.anchor.is_some() && planned < run.anchor).then_some(run.anchor);
    let moment = super::record(run, &step.id).and_then(|record| record.resent_at).unwrap_or(planned);
    let late = step.late.or((sends && before.is_none()).then_some(DEFAULT_LATE));
    let slot = Slot { look_at: moment, due: moment, hours, late, before };
    let Some(hours) = hours else { return slot };
    let opening = quiet_hours::after_quiet_hours(moment, hours, zone);
    match before {
        Some(anchor) if opening >= anchor => {
            let pulled_back = quiet_hours::before_quiet_hours(moment, hours, zone);
            Slot { look_at: pulled_back, due: pulled_back, ..slot }
        }
        _ => Slot { due: opening, ..slot },
    }
}

/// True for a timing that does not count from the step before.
pub fn has_own_time(timing: &Timing) -> bool {
    !matches!(timing, Timing::Wait { .. } | Timing::AtOnce)
}

/// True if the step's moment, before send hours move it, is before the anchor.
pub fn is_before_anchor(scenario: &Scenario, step: &Step, run: &Enrollment) -> bool {
    scenario.anchor.is_some()
        && has_own_time(&step.timing)
        && moment(&step.timing, run, &scenario.zone) < run.anchor
}

fn moment(timing: &Timing, run: &Enrollment, zone: &TimeZone) -> Timestamp {
    match timing {
        Timing::Day { days: 0, at: None } => run.anchor,
        Timing::Day { days, at } => {
            let span = jiff::Span::new().days(*days);
            at_time(shift(run.anchor, &Offset::Civil(span), zone), *at, zone)
        }
        Timing::After { offset, at } => at_time(shift(run.anchor, offset, zone), *at, zone),
        Timing::Before { offset, at } => at_time(shift(run.anchor, &negated(offset), zone), *at, zone),
        Timing::Wait { offset } => shift(run.reached_at, offset, zone),
        Timing::AtOnce => run.reached_at,
    }
}

/// Moves an instant by an offset: exact time, or calendar in `zone` with the month's end kept and a time
/// in a gap moved on by the gap's length. Past either end of time it stays there.
pub fn shift(from: Timestamp, offset: &Offset, zone: &TimeZone) -> Timestamp {
    let (moved, is_back) = match offset {
        Offset::Exact(duration) => (from.checked_add(*duration).ok(), duration.is_negative()),
        Offset::Civil(span) => {
            let zoned = from.to_zoned_datetime(zone.clone()).checked_add(*span);
            (zoned.map(|zoned| zoned.timestamp()).ok(), span.is_negative())
        }
    };
    moved.unwrap_or(if is_back { Timestamp::MIN } else { Timestamp::MAX })
}

fn negated(offset: &Offset) -> Offset {
    match offset {
        Offset::Exact(duration) => Offset::Exact(-*duration),
        Offset::Civil(span) => Offset::Civil(-*span),
    }
}

fn at_time(instant: Timestamp, at: Option<Time>, zone: &TimeZone) -> Timestamp {
    let Some(at) = at else { return instant };
    let date = instant.to_zoned_datetime(zone.clone()).date();
    date.to_datetime(at)
        .to_zoned_datetime(zone.clone())
        .map_or(instant, |zoned: ZonedDateTime| zoned.timestamp())
}

#[cfg(test)]
mod tests;
