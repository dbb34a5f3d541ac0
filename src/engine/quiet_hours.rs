//! Send windows in civil time.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::mutation::{self, Mutation};
use crate::scenario::Hours;

/// Moves `due` to the first instant at or after it that is inside the send window.
///
/// The window is civil time in `zone`, half-open `[start, end)`, and passes midnight when
/// `end < start`. A `due` already inside comes back unchanged; if the clocks skip over `start`, the
/// first instant after the gap is used, and of two the earlier.
pub fn after_quiet_hours(due: Timestamp, window: Hours, zone: &TimeZone) -> Timestamp {
    if is_open(due, window, zone) {
        return due;
    }
    let today = zone.to_datetime(due).date();
    let opening = |date: Date| first_instant(date, window.start_minute, zone);
    // two days on, for a zone that skipped a whole day
    [Some(today), today.tomorrow().ok(), today.tomorrow().and_then(|d| d.tomorrow()).ok()]
        .into_iter()
        .flatten()
        .map(opening)
        .find(|opening| *opening >= due)
        .unwrap_or(due)
}

/// The last whole minute before `due` that is inside the send window.
pub fn before_quiet_hours(due: Timestamp, window: Hours, zone: &TimeZone) -> Timestamp {
    let today = zone.to_datetime(due).date();
    let minute = SignedDuration::from_mins(1);
    let closing = |date: Date| {
        let end = first_instant(date, window.end_minute % 1440, zone);
        end.checked_sub(minute).unwrap_or(Timestamp::MIN)
    };
    let days = [today.tomorrow().ok(), Some(today), today.yesterday().ok()];
    let before = days.into_iter().flatten().map(closing).find(|closing| *closing < due);
    let mut last = before.unwrap_or(due);
    // where the clocks jump at the closing, the minute before it may be outside: step back over the jump
    for _ in 0..MAX_JUMP_MINUTES {
        if is_open(last, window, zone) {
            break;
        }
        last = last.checked_sub(minute).unwrap_or(Timestamp::MIN);
    }
    last
}

/// No zone has moved its clocks by more than a day.
const MAX_JUMP_MINUTES: u32 = 1440;

/// True if `instant` is inside the send window.
pub fn is_open(instant: Timestamp, window: Hours, zone: &TimeZone) -> bool {
    if mutation::is(Mutation::HoursOfAnotherZone) && *zone != TimeZone::UTC {
        return is_open(instant, window, &TimeZone::UTC);
    }
    let time = zone.to_datetime(instant).time();
    let minute = u16::try_from(time.hour()).expect("hours are 0 to 23") * 60
        + u16::try_from(time.minute()).expect("minutes are 0 to 59");
    let Hours { start_minute, end_minute } = window;
    if start_minute < end_minute {
        (start_minute..end_minute).contains(&minute)
    } else {
        minute >= start_minute || minute < end_minute
    }
}

/// The first instant of `date` at or after a minute of the day.
fn first_instant(date: Date, minute: u16, zone: &TimeZone) -> Timestamp {
    let hour = i8::try_from(minute / 60).expect("a day has 24 hours");
    let civil = date.to_datetime(Time::constant(hour, i8::try_from(minute % 60).expect("below 60"), 0, 0));
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    if let AmbiguousOffset::Gap { before, .. } = ambiguous.offset()
        && let Ok(inside) = before.to_timestamp(civil)
        && let Some(jump) =
            zone.preceding(inside.saturating_add(SignedDuration::from_secs(1)).unwrap_or(inside)).next()
    {
        return jump.timestamp();
    }
    ambiguous.compatible().unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
