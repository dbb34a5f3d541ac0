//! A LINE that keeps retry keys as the real one does, and counts what each person receives.

use std::collections::HashMap;
use std::sync::Arc;

use crate::history::{HOUR, MINUTE, Rng, SECOND, Weather};
use crate::oracle::Broken;

/// How long a key is remembered, from the first request under it. Source: LINE
/// Developers, "Retry failed API requests".
const REMEMBERED: i64 = 24 * HOUR;

/// No attempt may come later than this after the first under its key.
/// A step of the clock by less than two minutes is none that anybody sees, and ages are told by the wall
/// alone after a start of the machine; LINE forgets a key after 24 hours.
const CUTOFF: i64 = 23 * HOUR + 10 * MINUTE;

/// How long the daemon waits for an answer.
const TIMEOUT: i64 = 30 * SECOND;

#[derive(Debug, Default)]
pub(crate) struct Line {
    keys: HashMap<u128, Key>,
    attempts: HashMap<u128, u64>,
}

#[derive(Debug)]
struct Key {
    first: i64,
    accepted: bool,
    /// The bytes of the first request under it.
    bytes: Arc<[u8]>,
    /// When the first request left, by true time.
    left: i64,
}

/// What LINE would do with a request when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Process,
    /// 400, whenever it is asked.
    Refuse,
    /// 400 for the recipient at this place.
    RefuseFor(usize),
    Rate,
    Monthly,
    Unauthorized,
    /// 500 before anything was done.
    Error,
}

/// What is to become of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// When the request arrives; none if no connection can be made.
    pub(crate) arrives: Option<i64>,
    pub(crate) verdict: Verdict,
    /// When the daemon hears of it, and whether that is LINE's own answer.
    pub(crate) heard: i64,
    pub(crate) is_answer: bool,
}

/// What LINE says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It was taken now: the person has it.
    Taken,
    /// 409.
    Earlier,
    Refused,
    RefusedFor(usize),
    Rate,
    Monthly,
    Unauthorized,
    Error,
}

impl Line {
    /// Notes that a request leaves, and checks it against the others under its key.
    pub(crate) fn leaves(&mut self, key: u128, bytes: &Arc<[u8]>, now: i64) -> Result<(), Broken> {
        *self.attempts.entry(key).or_insert(0) += 1;
        let first = self.keys.entry(key).or_insert_with(|| Key {
            first: i64::MAX,
            accepted: false,
            bytes: Arc::clone(bytes),
            left: now,
        });
        if first.bytes != *bytes {
            let texts = [&first.bytes, bytes].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            return Err(Broken::new("same bytes under a key", format!("{texts:?}")));
        }
        if now - first.left > CUTOFF {
            let hours = (now - first.left) as f64 / HOUR as f64;
            return Err(Broken::new(
                "cutoff",
                format!("an attempt {hours:.2} h after the first under its key"),
            ));
        }
        Ok(())
    }

    /// Draws what becomes of an attempt that leaves `now`.
    pub(crate) fn fate(
        &self,
        (to, text): (&[u8], &str),
        key: u128,
        now: i64,
        weather: Weather,
        seed: u64,
    ) -> Fate {
        let text = text.bytes().fold(7, |hash, byte| Rng::of(&[hash, u64::from(byte)]).next());
        let attempt = self.attempts.get(&key).copied().unwrap_or(0);
        let mut rng = Rng::of(&[seed, text, attempt]);
        let soon = now + rng.range(1, 300);
        let answer = soon + rng.range(1, 300);
        let mut refusals = Rng::of(&[text, 400]);
        let (nobody, somebody) = (refusals.percent(2), refusals.percent(4).then(|| refusals.below(4) as u8));
        let process = match to.iter().position(|user| Some(*user) == somebody) {
            _ if nobody => Verdict::Refuse,
            Some(place) => Verdict::RefuseFor(place),
            None => Verdict::Process,
        };
        let fate = Fate { arrives: Some(soon), verdict: process, heard: answer, is_answer: true };
        let weather = match weather {
            Weather::Flaky => rng.pick(&[
                Weather::Clear,
                Weather::Clear,
                Weather::Down,
                Weather::Errors,
                Weather::Silent,
                Weather::Proxy,
                Weather::Slow,
                Weather::RateLimited,
            ]),
            other => other,
        };
        match weather {
            Weather::Clear | Weather::Flaky => fate,
            Weather::Down => Fate { arrives: None, is_answer: false, ..fate },
            Weather::Errors if rng.percent(50) => Fate { verdict: Verdict::Error, ..fate },
            Weather::Errors => Fate { is_answer: false, ..fate },
            Weather::Silent => Fate { heard: now + TIMEOUT, is_answer: false, ..fate },
            Weather::Proxy if rng.percent(50) => Fate { verdict: Verdict::Error, ..fate },
            Weather::Proxy => Fate { is_answer: false, ..fate },
            Weather::Slow => {
                let arrives = now + rng.range(1, 45) * SECOND;
                let heard = arrives + rng.range(1, 25) * SECOND;
                match heard < now + TIMEOUT {
                    true => Fate { arrives: Some(arrives), heard, ..fate },
                    false => Fate { arrives: Some(arrives), heard: now + TIMEOUT, is_answer: false, ..fate },
                }
            }
            Weather::RateLimited => Fate { verdict: Verdict::Rate, ..fate },
            Weather::Unauthorized => Fate { verdict: Verdict::Unauthorized, ..fate },
            Weather::QuotaUsed | Weather::QuotaReserved => Fate { verdict: Verdict::Monthly, ..fate },
        }
    }

    /// A request arrives.
    pub(crate) fn arrives(&mut self, key: u128, now: i64, verdict: Verdict) -> Said {
        let key = self.keys.get_mut(&key).expect("it has left");
        if key.first == i64::MAX || now - key.first >= REMEMBERED {
            (key.first, key.accepted) = (now, false);
        }
        match verdict {
            Verdict::Unauthorized => Said::Unauthorized,
            Verdict::Rate => Said::Rate,
            Verdict::Error => Said::Error,
            _ if key.accepted => Said::Earlier,
            Verdict::Monthly => Said::Monthly,
            Verdict::Refuse => Said::Refused,
            Verdict::RefuseFor(place) => Said::RefusedFor(place),
            Verdict::Process => {
                key.accepted = true;
                Said::Taken
            }
        }
    }
}
