//! When a step is due.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ZonedDateTime};

use super::quiet_hours;
use crate::model::Enrollment;
use crate::mutation::{self, Mutation};
use crate::scenario::calendar::{MAX_DAYS_WITHOUT_WORKDAY, Workdays};
use crate::scenario::{Days, Hours, Offset, Scenario, Step, Timing};

/// How far behind a step at or after the anchor may go out where nothing else is said.
pub const DEFAULT_LATE: SignedDuration = SignedDuration::from_hours(24);

/// The place of one step of one enrollment in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// When there is first something to decide about it: its moment, or the end of the send window
    /// that it was pulled back into.
    pub look_at: Timestamp,
    /// Its moment after its days and send hours moved it, from which lateness counts.
    pub due: Timestamp,
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
    let planned = moment(scenario, step, run);
    let sends = step.messages().is_some();
    let before = (sends && scenario.anchored && planned < run.anchor).then_some(run.anchor);
    let moment = super::record(run, &step.id).and_then(|record| record.resent_at).unwrap_or(planned);
    let late = step.late.or((sends && before.is_none()).then_some(DEFAULT_LATE));
    let slot = Slot { look_at: moment, due: moment, late, before };
    let window = window(scenario, step);
    if window.is_always_open() {
        return slot;
    }
    let opening = window.open_from(moment);
    match before {
        Some(anchor) if opening >= anchor => {
            let pulled_back = window.open_before(moment);
            Slot { look_at: pulled_back, due: pulled_back, ..slot }
        }
        _ => Slot { due: opening, ..slot },
    }
}

/// When a step may be done: on its days, inside its send hours.
pub fn window<'a>(scenario: &'a Scenario, step: &Step) -> Window<'a> {
    let hours = step.hours.or(scenario.hours.filter(|_| step.messages().is_some()));
    let days = if mutation::is(Mutation::DaysIgnored) { Days::default() } else { step.days };
    Window { hours, days, workdays: &scenario.workdays, zone: &scenario.zone }
}

/// Days and hours together.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    hours: Option<Hours>,
    days: Days,
    workdays: &'a Workdays,
    zone: &'a TimeZone,
}

impl Window<'_> {
    fn is_always_open(&self) -> bool {
        self.hours.is_none() && self.days.is_any()
    }

    fn is_on(&self, date: Date) -> bool {
        self.days.on.is_none_or(|days| days.contains(date.weekday()))
            && (!self.days.workdays || self.workdays.is_workday(date))
    }

    fn date_of(&self, instant: Timestamp) -> Date {
        self.zone.to_datetime(instant).date()
    }

    /// The first instant at or after `from` that is open. Where no day of a year is, any day is.
    pub fn open_from(&self, from: Timestamp) -> Timestamp {
        let after = |at| self.hours.map_or(at, |hours| quiet_hours::after_quiet_hours(at, hours, self.zone));
        let mut open = after(from);
        if self.days.is_any() {
            return open;
        }
        for _ in 0..MAX_DAYS_WITHOUT_WORKDAY {
            let date = self.date_of(open);
            if self.is_on(date) {
                return open;
            }
            let Some(next) = date.tomorrow().ok().and_then(|d| at_time_of(d, Time::midnight(), self.zone))
            else {
                break;
            };
            open = after(next);
        }
        after(from)
    }

    /// The last whole minute before `until` that is open. Where no day of a year is, any day is.
    fn open_before(&self, until: Timestamp) -> Timestamp {
        let minute = SignedDuration::from_mins(1);
        let before = |at: Timestamp| match self.hours {
            Some(hours) => quiet_hours::before_quiet_hours(at, hours, self.zone),
            None => at.checked_sub(minute).unwrap_or(at),
        };
        let mut open = before(until);
        if self.days.is_any() {
            return open;
        }
        for _ in 0..MAX_DAYS_WITHOUT_WORKDAY {
            let date = self.date_of(open);
            if self.is_on(date) {
                return open;
            }
            let Some(start) = at_time_of(date, Time::midnight(), self.zone) else { break };
            open = before(start);
        }
        before(until)
    }
}

/// True for a timing that does not count from the step before.
pub fn has_own_time(timing: &Timing) -> bool {
    !matches!(timing, Timing::Wait { .. } | Timing::AtOnce)
}

/// True if the step's moment, before send hours move it, is before the anchor.
pub fn is_before_anchor(scenario: &Scenario, step: &Step, run: &Enrollment) -> bool {
    scenario.anchored && has_own_time(&step.timing) && moment(scenario, step, run) < run.anchor
}

/// How a step came to its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// What its timing alone says.
    pub timed: Timestamp,
    /// On a day that it may be done on.
    pub on_its_days: Timestamp,
    /// As an operator asked for it to be sent again, which is its moment then.
    pub resent: Option<Timestamp>,
    /// Inside its send hours: when it is due.
    pub due: Timestamp,
}

/// How `step` of an enrollment comes to its moment, for somebody who asks why it is then.
pub fn course(scenario: &Scenario, step: &Step, run: &Enrollment) -> Course {
    let workdays = step.days.workdays.then_some(&scenario.workdays);
    Course {
        timed: timed(&step.timing, run, &scenario.zone, workdays),
        on_its_days: moment(scenario, step, run),
        resent: super::record(run, &step.id).and_then(|record| record.resent_at),
        due: slot(scenario, step, run).due,
    }
}

/// When a step is to be done, before send hours move it: on one of its days, at a time of day.
fn moment(scenario: &Scenario, step: &Step, run: &Enrollment) -> Timestamp {
    let workdays = step.days.workdays.then_some(&scenario.workdays);
    let moment = timed(&step.timing, run, &scenario.zone, workdays);
    if step.days.is_any() {
        return moment;
    }
    on_its_days(scenario, step, run, moment)
}

/// When a timing is, counted in workdays where there are some to count by.
fn timed(timing: &Timing, run: &Enrollment, zone: &TimeZone, workdays: Option<&Workdays>) -> Timestamp {
    let (from, offset, at) = match timing {
        Timing::Day { days: 0, at: None } => (run.anchor, None, None),
        Timing::Day { days, at } => (run.anchor, Some(Offset::Civil(Span::new().days(*days))), *at),
        Timing::After { offset, at } => (run.anchor, Some(offset.clone()), *at),
        Timing::Before { offset, at } => (run.anchor, Some(negated(offset)), *at),
        Timing::Wait { offset } => (run.reached_at, Some(offset.clone()), None),
        Timing::AtOnce => (run.reached_at, None, None),
    };
    let shifted = match offset {
        Some(offset) => shift_counting(from, &offset, zone, workdays),
        None => from,
    };
    at_time(shifted, at, zone)
}

/// Moves an instant by an offset; days are workdays where there are some to count by.
fn shift_counting(
    from: Timestamp,
    offset: &Offset,
    zone: &TimeZone,
    workdays: Option<&Workdays>,
) -> Timestamp {
    if let (Offset::Civil(span), Some(workdays)) = (offset, workdays)
        && span.fieldwise() == Span::new().days(span.get_days()).fieldwise()
    {
        let civil = from.to_zoned_datetime(zone.clone());
        if let Some(date) = workdays.add(civil.date(), span.get_days()) {
            return at_time_of(date, civil.time(), zone).unwrap_or(from);
        }
    }
    shift(from, offset, zone)
}

/// Moves a moment to a day that the step may be on: the next one, or before an anchor that this would pass,
/// the last. Where there is no such day within a year and a month, it stays.
fn on_its_days(scenario: &Scenario, step: &Step, run: &Enrollment, moment: Timestamp) -> Timestamp {
    let zone = &scenario.zone;
    let civil = moment.to_zoned_datetime(zone.clone());
    let window = window(scenario, step);
    let is_right = |date: Date| window.is_on(date);
    let later = first_day(civil.date(), Date::tomorrow, is_right);
    let on = |date: Date| at_time_of(date, civil.time(), zone).unwrap_or(moment);
    let Some(moved) = later.map(on) else { return moment };
    let is_pulled_back = scenario.anchored && moment < run.anchor && moved >= run.anchor;
    match first_day(civil.date(), Date::yesterday, is_right) {
        Some(before) if is_pulled_back => on(before),
        _ => moved,
    }
}

/// The first day from `date` on, in one direction, that is right.
fn first_day(
    date: Date,
    next: fn(Date) -> Result<Date, jiff::Error>,
    is_right: impl Fn(Date) -> bool,
) -> Option<Date> {
    let days = std::iter::successors(Some(date), |date| next(*date).ok());
    days.take(MAX_DAYS_WITHOUT_WORKDAY).find(|date| is_right(*date))
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
    at_time_of(date, at, zone).unwrap_or(instant)
}

fn at_time_of(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let there = date.to_datetime(time).to_zoned_datetime(zone.clone());
    there.ok().map(|there: ZonedDateTime| there.timestamp())
}

#[cfg(test)]
mod tests;
