//! The only reader of the time; made in `cli`, handed down.
//!
//! Everything else takes `now` as an argument. A [`Clock`] is cheap to clone and all its clones tell
//! the same time, so a test, a rehearsal or the `demo` moves a whole daemon by moving one clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// One reading of the clocks: the wall's, which people move, and the time since the machine started, which
/// nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: Timestamp,
    pub uptime: Uptime,
}

/// Time since a start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Which start: two readings with another one cannot be compared. Zero for a clock that only tells
    /// what it is told, whose uptime is its wall time.
    pub boot: u64,
    pub ms: u64,
}

impl Moment {
    /// A moment of a clock that is moved by hand.
    pub fn by_hand(wall: Timestamp) -> Moment {
        let ms = u64::try_from(wall.as_millisecond()).unwrap_or(0);
        Moment { wall, uptime: Uptime { boot: 0, ms } }
    }

    /// The time that has passed since an earlier moment: by the wall clock or, within one run of the
    /// machine, by its uptime, whichever is more.
    pub fn since(self, earlier: Moment) -> SignedDuration {
        let wall = self.wall.duration_since(earlier.wall);
        self.uptime.since(earlier.uptime).map_or(wall, |uptime| uptime.max(wall))
    }

    /// How far the wall clock has been moved since an earlier moment; none if the machine was started
    /// again in between.
    pub fn moved_since(self, earlier: Moment) -> Option<SignedDuration> {
        let uptime = self.uptime.since(earlier.uptime)?;
        Some(self.wall.duration_since(earlier.wall).saturating_sub(uptime))
    }
}

impl Uptime {
    fn since(self, earlier: Uptime) -> Option<SignedDuration> {
        let ms = |uptime: Uptime| i64::try_from(uptime.ms).unwrap_or(i64::MAX);
        (self.boot == earlier.boot).then(|| SignedDuration::from_millis(ms(self) - ms(earlier)))
    }
}

/// Tells the time: the system's, an accelerated one, or one that only moves when told to.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Start),
    Accelerated(Accelerated),
    Manual(Mutex<Timestamp>),
}

/// What the machine's uptime is counted from.
#[derive(Debug)]
struct Start {
    boot: u64,
    /// Milliseconds of uptime at `origin`.
    ms: u64,
    origin: Instant,
}

impl Start {
    /// Reads what Linux tells; elsewhere time counts from the start of this process, which no other can
    /// be compared with.
    fn read() -> Start {
        let origin = monotonic();
        let text = |path: &str| std::fs::read_to_string(path).ok();
        let boot = text("/proc/sys/kernel/random/boot_id").and_then(|id| Uuid::parse_str(id.trim()).ok());
        let seconds = text("/proc/uptime").and_then(|up| up.split(' ').next()?.parse::<f64>().ok());
        match (boot, seconds) {
            (Some(boot), Some(seconds)) => {
                Start { boot: boot.as_u64_pair().0.max(1), ms: (seconds * 1e3) as u64, origin }
            }
            _ => {
                let started = u64::try_from(wall().as_microsecond()).unwrap_or(0);
                Start { boot: (started ^ u64::from(std::process::id()) << 48).max(1), ms: 0, origin }
            }
        }
    }
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
        Clock(Arc::new(Source::System(Start::read())))
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
            Source::System(_) => wall(),
            Source::Accelerated(clock) => clock.now(),
            Source::Manual(now) => *now.lock().expect("no holder of this lock panics"),
        };
        Timestamp::from_millisecond(exact.as_millisecond()).expect("rounding stays in range")
    }

    /// The present instant beside the machine's uptime.
    pub fn moment(&self) -> Moment {
        let wall = self.now();
        match &*self.0 {
            Source::System(start) => {
                let passed = monotonic().saturating_duration_since(start.origin).as_millis();
                let ms = start.ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
                Moment { wall, uptime: Uptime { boot: start.boot, ms } }
            }
            Source::Accelerated(_) | Source::Manual(_) => Moment::by_hand(wall),
        }
    }

    /// How long to wait in real time until `instant`; zero if it has passed.
    ///
    /// A manual clock answers zero when the instant has come and [`Duration::MAX`] before.
    pub fn until(&self, instant: Timestamp) -> Duration {
        let left = instant.duration_since(self.now());
        let Ok(left) = Duration::try_from(left) else { return Duration::ZERO };
        match &*self.0 {
            Source::System(_) => left,
            Source::Accelerated(clock) => left.div_f64(clock.speed),
            Source::Manual(_) if left.is_zero() => Duration::ZERO,
            Source::Manual(_) => Duration::MAX,
        }
    }

    /// True for a clock that does not tell real time, which must never drive pushes to LINE itself.
    pub fn is_rehearsal(&self) -> bool {
        !matches!(&*self.0, Source::System(_))
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
