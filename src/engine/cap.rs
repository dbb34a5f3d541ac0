//! Frequency caps: how many messages a member may get in a sliding window.

use jiff::{SignedDuration, Timestamp};

use crate::model::{EnrollmentId, MemberFile, Standing};
use crate::scenario::Cap;

/// The first instant from `now` on at which one more message keeps every cap.
///
/// What is in flight beside `own` counts from when it was queued. A window is half-open: a message counts
/// up to, and not at, the instant that lies the cap's length after it.
pub fn allowed_at(file: &MemberFile, own: EnrollmentId, caps: &[Cap], now: Timestamp) -> Timestamp {
    if caps.is_empty() {
        return now;
    }
    let in_flight = file.enrollments.iter().filter(|run| run.id != own).filter_map(|run| match &run.now {
        Standing::InFlight(flight) if !flight.is_call => Some(flight.since),
        _ => None,
    });
    let mut times: Vec<Timestamp> = file.pushed.iter().copied().chain(in_flight).collect();
    times.sort_unstable();
    let allowed = caps.iter().map(|cap| {
        let counting: Vec<Timestamp> = times.iter().copied().filter(|at| end(*at, cap.per) > now).collect();
        let max = usize::try_from(cap.max).unwrap_or(usize::MAX);
        match counting.len().checked_sub(max) {
            // the one whose end makes room for one more
            Some(over) => end(counting[over], cap.per),
            None => now,
        }
    });
    allowed.max().unwrap_or(now).max(now)
}

fn end(at: Timestamp, per: SignedDuration) -> Timestamp {
    at.checked_add(per).unwrap_or(Timestamp::MAX)
}

/// Notes a message that was accepted, or may have been, and forgets those that count no more.
pub fn count(file: &mut MemberFile, caps: &[Cap], now: Timestamp) {
    let Some(longest) = caps.iter().map(|cap| cap.per).max() else {
        file.pushed.clear();
        return;
    };
    file.pushed.push(now);
    file.pushed.sort_unstable();
    file.pushed.retain(|at| end(*at, longest) > now);
    let most = caps.iter().map(|cap| cap.max).max().unwrap_or(0);
    let excess = file.pushed.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    file.pushed.drain(..excess);
}

#[cfg(test)]
mod tests;
