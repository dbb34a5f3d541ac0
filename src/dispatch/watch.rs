//! Whether the wall clock can be trusted.
//!
//! What is due is told by the wall clock, and people and programs move it. A jump is seen against the
//! machine's uptime, across restarts against a reading kept in the store, and a clock that was wrong all
//! along against LINE's.

use jiff::SignedDuration;

use crate::clock::{Moment, Uptime};
use crate::store::ClockRow;

/// A jump of the wall clock beyond which nothing is sent until somebody says that it is right.
const MAX_JUMP: SignedDuration = SignedDuration::from_mins(2);

/// A difference to LINE's clock beyond which nothing is sent.
const MAX_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

/// How close to LINE's clock ours must be for LINE's word to settle that a jump was right.
const AGREES: SignedDuration = SignedDuration::from_mins(2);

/// How often the reading in the store is renewed while there is something else to write.
const RENEW: SignedDuration = SignedDuration::from_secs(10);

/// …and while there is not.
const RENEW_IDLE: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug)]
pub(super) struct ClockWatch {
    /// The newest reading that is known to be right.
    trusted: Option<Moment>,
    /// The reading that the store has.
    stored: Option<Moment>,
    doubt: Option<Doubt>,
    /// How far an operator has said that LINE's clock may be ahead of ours.
    confirmed_ahead: SignedDuration,
    /// How far LINE's clock was ahead when it was last heard, and when that was.
    line_ahead: Option<(SignedDuration, Moment)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Jumped,
    LineDiffers,
}

/// What a reading changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The clock is in doubt from now on.
    Doubted,
    /// It is trusted again. `was_moved` is true where it has jumped and stays where it jumped to.
    Trusted { was_moved: bool },
}

impl ClockWatch {
    pub(super) fn open(stored: Option<ClockRow>) -> ClockWatch {
        let stored = stored.and_then(|row| {
            let wall = jiff::Timestamp::from_millisecond(row.wall_ms).ok()?;
            Some(Moment { wall, uptime: Uptime { boot: row.boot, ms: row.uptime_ms } })
        });
        ClockWatch {
            trusted: stored,
            stored,
            doubt: None,
            confirmed_ahead: SignedDuration::ZERO,
            line_ahead: None,
        }
    }

    /// Looks at a reading.
    pub(super) fn look(&mut self, now: Moment) -> Option<Change> {
        if now.uptime.boot == 0 {
            // a clock that is moved by hand may be moved
            return None;
        }
        let jumped = self.trusted.is_some_and(|trusted| match now.moved_since(trusted) {
            Some(by) => by.abs() > MAX_JUMP,
            // the machine was off for nobody knows how long, but not for less than nothing
            None => now.wall.duration_since(trusted.wall) < -MAX_JUMP,
        });
        match (self.doubt, jumped) {
            (None, true) => {
                self.doubt = Some(Doubt::Jumped);
                // what LINE said before the jump says nothing about after
                self.line_ahead = None;
                Some(Change::Doubted)
            }
            (None, false) => {
                self.trusted = Some(now);
                None
            }
            // it came back; after another start of the machine it has only caught up, and may be as wrong
            (Some(Doubt::Jumped), false) if self.is_of_this_start(now) => Some(self.trust(now, false)),
            (Some(Doubt::Jumped | Doubt::LineDiffers), _) => None,
        }
    }

    fn is_of_this_start(&self, now: Moment) -> bool {
        self.trusted.is_some_and(|trusted| trusted.uptime.boot == now.uptime.boot)
    }

    /// Takes in how far LINE's clock is ahead of ours.
    pub(super) fn heard_line(&mut self, ahead: SignedDuration, now: Moment) -> Option<Change> {
        if now.uptime.boot == 0 {
            return None;
        }
        self.line_ahead = Some((ahead, now));
        let differs = ahead.abs().min(ahead.saturating_sub(self.confirmed_ahead).abs());
        match self.doubt {
            None if differs > MAX_DIFFERENCE => {
                self.doubt = Some(Doubt::LineDiffers);
                Some(Change::Doubted)
            }
            Some(Doubt::Jumped) if ahead.abs() <= AGREES => Some(self.trust(now, true)),
            Some(Doubt::LineDiffers) if differs <= MAX_DIFFERENCE => Some(self.trust(now, true)),
            _ => None,
        }
    }

    /// An operator says that the clock is right.
    pub(super) fn confirm(&mut self, now: Moment) -> Option<Change> {
        self.doubt?;
        if let Some((ahead, heard)) = self.line_ahead {
            // it may have been set since
            let moved = now.moved_since(heard).unwrap_or_default();
            self.confirmed_ahead = ahead.saturating_sub(moved);
        }
        Some(self.trust(now, true))
    }

    fn trust(&mut self, now: Moment, was_moved: bool) -> Change {
        self.doubt = None;
        self.trusted = Some(now);
        Change::Trusted { was_moved }
    }

    /// The reading to be stored, where the one in the store has become old. It counts as stored.
    pub(super) fn renew(&mut self, now: Moment, is_idle: bool) -> Option<ClockRow> {
        if now.uptime.boot == 0 || self.doubt.is_some() {
            return None;
        }
        let wait = if is_idle { RENEW_IDLE } else { RENEW };
        if self.stored.is_some_and(|stored| now.since(stored) < wait && now.wall >= stored.wall) {
            return None;
        }
        self.stored = Some(now);
        let Uptime { boot, ms: uptime_ms } = now.uptime;
        Some(ClockRow { wall_ms: now.wall.as_millisecond(), boot, uptime_ms })
    }
}

#[cfg(test)]
mod tests;
