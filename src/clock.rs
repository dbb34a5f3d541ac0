//! The only reader of the time; made in `cli`, handed down.
//!
//! Everything else takes `now` as an argument. A [`Clock`] is cheap to clone and all its clones tell
//! the same time, so a test, a rehearsal or the `demo` moves a whole daemon by moving one clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Tells the time: the system's, an accelerated one, or one that only moves when told to.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System,
    Accelerated(Accelerated),
    Manual(Mutex<Timestamp>),
}

#[derive(Debug)]
struct Accelerated {
    origin: Instant,
    start: Timestamp,
    speed: f64,
    stopped: Mutex<Stopped>,
    /// What it was moved by.
    shift: Mutex<SignedDuration>,
}

/// Real time that an accelerated clock has spent stopped.
#[derive(Debug, Default)]
struct Stopped {
    since: Option<Instant>,
    total: Duration,
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Clock {
        Clock(Arc::new(Source::System))
    }

    /// Starts at `start` and runs `speed` times as fast as real time.
    pub fn accelerated(start: Timestamp, speed: f64) -> Clock {
        let (origin, stopped, shift) = (monotonic(), Mutex::default(), Mutex::default());
        Clock(Arc::new(Source::Accelerated(Accelerated { origin, start, speed, stopped, shift })))
    }

    /// Stands still at `start` until [`Clock::set`] moves it.
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Arc::new(Source::Manual(Mutex::new(start))))
    }

    /// The present instant, in whole milliseconds, the resolution that is stored.
    pub fn now(&self) -> Timestamp {
        let exact = match &*self.0 {
            Source::System => wall(),
            Source::Accelerated(clock) => clock.now(),
            Source::Manual(now) => *now.lock().expect("no holder of this lock panics"),
        };
        Timestamp::from_millisecond(exact.as_millisecond()).expect("rounding stays in range")
    }

    /// How long to wait in real time until `instant`; zero if it has passed.
    ///
    /// A manual clock answers zero when the instant has come and [`Duration::MAX`] before.
    pub fn until(&self, instant: Timestamp) -> Duration {
        let left = instant.duration_since(self.now());
        let Ok(left) = Duration::try_from(left) else { return Duration::ZERO };
        match &*self.0 {
            Source::System => left,
            Source::Accelerated(clock) => left.div_f64(clock.speed),
            Source::Manual(_) if left.is_zero() => Duration::ZERO,
            Source::Manual(_) => Duration::MAX,
        }
    }

    /// True for a clock that does not tell real time, which must never drive pushes to LINE itself.
    pub fn is_rehearsal(&self) -> bool {
        !matches!(&*self.0, Source::System)
    }

    /// Moves a manual clock to `now`; the other kinds ignore it.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(current) = &*self.0 {
            *current.lock().expect("no holder of this lock panics") = now;
        }
    }

    /// Moves an accelerated clock so that it tells `now` at this moment; the other kinds ignore it.
    pub fn align(&self, now: Timestamp) {
        if let Source::Accelerated(clock) = &*self.0 {
            let off = now.duration_since(self.now());
            let mut shift = clock.shift.lock().expect("no holder of this lock panics");
            *shift = shift.saturating_add(off);
        }
    }

    /// Stops an accelerated clock until [`Clock::go_on`]; the other kinds ignore it.
    pub fn stop(&self) {
        if let Source::Accelerated(clock) = &*self.0 {
            clock.stopped.lock().expect("no holder of this lock panics").since.get_or_insert_with(monotonic);
        }
    }

    /// Lets a stopped accelerated clock run on from where it stood.
    pub fn go_on(&self) {
        if let Source::Accelerated(clock) = &*self.0 {
            let mut stopped = clock.stopped.lock().expect("no holder of this lock panics");
            if let Some(since) = stopped.since.take() {
                stopped.total += since.elapsed();
            }
        }
    }
}

impl Accelerated {
    fn now(&self) -> Timestamp {
        let stopped = self.stopped.lock().expect("no holder of this lock panics");
        let at = stopped.since.unwrap_or_else(monotonic);
        let real = at.saturating_duration_since(self.origin).saturating_sub(stopped.total);
        let passed =
            SignedDuration::try_from_secs_f64(real.as_secs_f64() * self.speed).unwrap_or(SignedDuration::MAX);
        let shift = *self.shift.lock().expect("no holder of this lock panics");
        self.start.saturating_add(passed.saturating_add(shift)).unwrap_or(Timestamp::MAX)
    }
}

/// Real time that has passed since some fixed moment of this process: for measuring waits, never for
/// deciding what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Instant);

impl Monotonic {
    pub fn now() -> Monotonic {
        Monotonic(monotonic())
    }

    pub fn elapsed(self) -> Duration {
        monotonic().saturating_duration_since(self.0)
    }
}

#[expect(clippy::disallowed_methods, reason = "this module owns the reading of the time")]
fn wall() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "this module owns the reading of the time")]
fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
