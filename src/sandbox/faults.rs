//! What goes wrong on request, and the seeded draws that decide when.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest hang or latency: ten minutes of real time, past every sensible client timeout.
const LONGEST_MS: u64 = 600_000;

/// What goes wrong, and how often; the default is nothing.
///
/// Each request to push, multicast or reply draws once, and the probabilities are shares of that
/// draw, so together they may not exceed 1. "Before" goes wrong before LINE takes the request,
/// "after" once it has dealt with it, whatever its answer would have been. The switches
/// `unauthorized` and `down`, and the latency, hold for every endpoint of LINE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Answered 500, not accepted.
    pub error_before: f64,
    /// Accepted, then answered 500.
    pub error_after: f64,
    /// No answer for `hang_ms`, then the connection is cut; not accepted.
    pub hang_before: f64,
    /// Accepted, then no answer for `hang_ms`, then the connection is cut.
    pub hang_after: f64,
    /// The connection is reset without an answer; not accepted.
    pub reset_before: f64,
    /// Accepted, then the connection is reset without an answer.
    pub reset_after: f64,
    /// Answered 429 for the rate limit, not accepted.
    pub throttle: f64,
    /// Answered 200 with an HTML page and no `x-line-request-id`, as a proxy in between would; not
    /// accepted.
    pub html: f64,
    /// How long a hang takes, in real time.
    pub hang_ms: u64,
    /// Added before every answer, in real time.
    pub latency_ms: u64,
    /// Every request is answered 401.
    pub unauthorized: bool,
    /// Every request is answered 503.
    pub down: bool,
    /// Push and multicast are answered 429 for the monthly limit although quota remains, as while a
    /// narrowcast reserves it. Source: LINE Developers FAQ, "Why do I get a 429 error during message
    /// delivery?".
    pub quota_reserved: bool,
}

/// Why faults were refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FaultsError {
    #[error("`{name}` is {value}; a probability is between 0 and 1")]
    NotAProbability { name: &'static str, value: f64 },
    #[error("the probabilities add up to {0}; they are shares of one draw and add up to at most 1")]
    OverOne(f64),
    #[error("`{name}` is {value_ms} ms; the longest is {LONGEST_MS} ms")]
    TooLong { name: &'static str, value_ms: u64 },
}

impl Faults {
    pub(super) fn check(&self) -> Result<(), FaultsError> {
        for (fault, value) in self.shares() {
            if !(0.0..=1.0).contains(&value) {
                return Err(FaultsError::NotAProbability { name: fault.name(), value });
            }
        }
        let total: f64 = self.shares().iter().map(|(_, share)| share).sum();
        // Shares written in decimal, such as ten times 0.1, may pass 1 by a rounding.
        if total > 1.0 + 1e-9 {
            return Err(FaultsError::OverOne(total));
        }
        for (name, value_ms) in [("hang_ms", self.hang_ms), ("latency_ms", self.latency_ms)] {
            if value_ms > LONGEST_MS {
                return Err(FaultsError::TooLong { name, value_ms });
            }
        }
        Ok(())
    }

    fn shares(&self) -> [(Fault, f64); 8] {
        [
            (Fault::ErrorBefore, self.error_before),
            (Fault::ErrorAfter, self.error_after),
            (Fault::HangBefore, self.hang_before),
            (Fault::HangAfter, self.hang_after),
            (Fault::ResetBefore, self.reset_before),
            (Fault::ResetAfter, self.reset_after),
            (Fault::Throttle, self.throttle),
            (Fault::Html, self.html),
        ]
    }

    /// The fault of one request. Nothing is drawn while no probability is set.
    pub(super) fn draw(&self, draws: &mut Draws) -> Option<Fault> {
        let shares = self.shares();
        if shares.iter().all(|(_, share)| *share == 0.0) {
            return None;
        }
        let mut left = draws.unit();
        for (fault, share) in shares {
            if left < share {
                return Some(fault);
            }
            left -= share;
        }
        None
    }
}

/// One thing going wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    ErrorBefore,
    ErrorAfter,
    HangBefore,
    HangAfter,
    ResetBefore,
    ResetAfter,
    Throttle,
    Html,
    Unauthorized,
    Down,
    QuotaReserved,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::ErrorBefore => "error_before",
            Fault::ErrorAfter => "error_after",
            Fault::HangBefore => "hang_before",
            Fault::HangAfter => "hang_after",
            Fault::ResetBefore => "reset_before",
            Fault::ResetAfter => "reset_after",
            Fault::Throttle => "throttle",
            Fault::Html => "html",
            Fault::Unauthorized => "unauthorized",
            Fault::Down => "down",
            Fault::QuotaReserved => "quota_reserved",
        }
    }
}

/// How often each fault struck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    pub error_before: u64,
    pub error_after: u64,
    pub hang_before: u64,
    pub hang_after: u64,
    pub reset_before: u64,
    pub reset_after: u64,
    pub throttle: u64,
    pub html: u64,
    pub unauthorized: u64,
    pub down: u64,
    pub quota_reserved: u64,
}

impl Fired {
    pub(super) fn count(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::ErrorBefore => &mut self.error_before,
            Fault::ErrorAfter => &mut self.error_after,
            Fault::HangBefore => &mut self.hang_before,
            Fault::HangAfter => &mut self.hang_after,
            Fault::ResetBefore => &mut self.reset_before,
            Fault::ResetAfter => &mut self.reset_after,
            Fault::Throttle => &mut self.throttle,
            Fault::Html => &mut self.html,
            Fault::Unauthorized => &mut self.unauthorized,
            Fault::Down => &mut self.down,
            Fault::QuotaReserved => &mut self.quota_reserved,
        };
        *counter += 1;
    }
}

/// A stream of draws that is the same for the same seed.
///
/// SplitMix64. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    /// Uniform in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        // The upper 53 bits are what a double holds exactly.
        (drawn >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of SplitMix64; a bijection.
pub(super) fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(GAMMA);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
