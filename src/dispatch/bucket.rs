//! A token bucket that can be slowed down.

use std::time::Duration;

/// How much faster the rate gets for each second without a refusal after it was slowed.
const RECOVERY_PER_SECOND: f64 = 0.1;

/// The lowest share of its rate that refusals slow a bucket to.
const SLOWEST: f64 = 0.05;

/// Paces requests to so many a second, with a small burst; a refusal by LINE halves the pace for a while.
///
/// Time is told to it as the time since some fixed moment, so that it can be tested and simulated.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    pace: f64,
    /// The moment at which the tokens given out so far would be paid for.
    paid_at: Duration,
    slowed_at: Option<Duration>,
}

impl Bucket {
    /// `per_second` requests, of which a tenth of a second's worth may come at once.
    pub fn new(per_second: u32) -> Bucket {
        let per_second = f64::from(per_second.max(1));
        let burst = (per_second / 10.0).max(1.0);
        Bucket { per_second, burst, pace: 1.0, paid_at: Duration::ZERO, slowed_at: None }
    }

    /// Takes a token and tells how long to wait before using it.
    pub fn take(&mut self, now: Duration) -> Duration {
        if let Some(slowed_at) = self.slowed_at {
            let recovered = now.saturating_sub(slowed_at).as_secs_f64() * RECOVERY_PER_SECOND;
            self.pace = (self.pace + recovered).min(1.0);
            self.slowed_at = (self.pace < 1.0).then_some(now);
        }
        let each = Duration::from_secs_f64(1.0 / (self.per_second * self.pace));
        let burst = each.mul_f64(self.burst);
        self.paid_at = self.paid_at.max(now.saturating_sub(burst)) + each;
        self.paid_at.saturating_sub(now)
    }

    /// LINE said that it was too fast.
    pub fn slow_down(&mut self, now: Duration) {
        self.pace = (self.pace / 2.0).max(SLOWEST);
        self.slowed_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests leave in the first `seconds` if there are always more.
    fn sent(bucket: &mut Bucket, from: Duration, seconds: u64) -> u32 {
        let (mut now, mut count) = (from, 0);
        while now < from + Duration::from_secs(seconds) {
            now += bucket.take(now);
            count += 1;
        }
        count
    }

    #[test]
    fn keeps_its_rate_with_a_small_burst() {
        let mut bucket = Bucket::new(2_000);
        let sent = sent(&mut bucket, Duration::from_secs(100), 10);
        assert!((20_000..=20_201).contains(&sent), "{sent}");
    }

    #[test]
    fn a_refusal_halves_it_and_it_recovers() {
        let mut bucket = Bucket::new(2_000);
        let start = Duration::from_secs(100);
        sent(&mut bucket, start, 1);
        bucket.slow_down(start + Duration::from_secs(1));
        let slowed = sent(&mut bucket, start + Duration::from_secs(1), 1);
        assert!((900..=1_250).contains(&slowed), "{slowed}");
        let recovered = sent(&mut bucket, start + Duration::from_secs(20), 1);
        assert!((1_990..=2_210).contains(&recovered), "{recovered}");
    }
}
