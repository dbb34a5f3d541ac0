//! Frequency caps: how many messages a member may get in a sliding window.

use jiff::{SignedDuration, Timestamp};

use crate::model::{EnrollmentId, MemberFile, Standing};
use crate::mutation::{self, Mutation};
use crate::scenario::Cap;

/// The first instant from `now` on at which one more message keeps every cap.
///
/// What is in flight beside `own` counts from when it was queued, and again for as long as LINE has not
/// answered: it may still be received. A window is half-open: a message counts
/// up to, and not at, the instant that lies the cap's length after it.
pub fn allowed_at(file: &MemberFile, own: EnrollmentId, caps: &[Cap], now: Timestamp) -> Timestamp {
    if caps.is_empty() {
        return now;
    }
    let in_flight = file.enrollments.iter().filter(|run| run.id != own).filter_map(|run| match &run.now {
        _ if mutation::is(Mutation::InFlightUncapped) => None,
        Standing::InFlight(flight) if !flight.is_call => Some(flight.since),
        _ => None,
    });
    let in_flight: Vec<Timestamp> = in_flight.collect();
    let allowed = caps.iter().map(|cap| {
        let answered = file.pushed.iter().map(|at| end(*at, cap.per)).filter(|end| *end > now);
        let open = in_flight.iter().map(|since| next_end(*since, cap.per, now));
        let mut ends: Vec<Timestamp> = answered.chain(open).collect();
        ends.sort_unstable();
        let max = usize::try_from(cap.max).unwrap_or(usize::MAX);
        match ends.len().checked_sub(max) {
            // the one that makes room for one more
            Some(over) => ends[over],
            None => now,
        }
    });
    allowed.max().unwrap_or(now).max(now)
}

fn end(at: Timestamp, per: SignedDuration) -> Timestamp {
    at.checked_add(per).unwrap_or(Timestamp::MAX)
}

/// The first end of a window behind `now`, where one follows the other from `since` on.
fn next_end(since: Timestamp, per: SignedDuration, now: Timestamp) -> Timestamp {
    let windows = now.duration_since(since).as_millis().max(0) / per.as_millis().max(1);
    let passed = per.checked_mul(i32::try_from(windows).unwrap_or(i32::MAX)).unwrap_or(SignedDuration::MAX);
    end(end(since, passed), per)
}

/// Notes a message that was accepted at an instant, or may have been, and forgets those that count no more.
pub fn count(file: &mut MemberFile, caps: &[Cap], at: Timestamp, now: Timestamp) {
    let Some(longest) = caps.iter().map(|cap| cap.per).max() else {
        file.pushed.clear();
        return;
    };
    file.pushed.push(at);
    file.pushed.sort_unstable();
    file.pushed.retain(|at| end(*at, longest) > now);
    let most = caps.iter().map(|cap| cap.max).max().unwrap_or(0);
    let excess = file.pushed.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    file.pushed.drain(..excess);
}

#[cfg(test)]
mod tests;
