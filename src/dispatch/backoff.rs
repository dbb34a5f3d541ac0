//! How long to wait before the next attempt.

use jiff::SignedDuration;

use crate::model::RetryKey;

/// The wait after the first attempt that failed; it doubles with each.
const FIRST: SignedDuration = SignedDuration::from_millis(500);

/// The longest wait: a LINE that comes back is met within minutes.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// The wait after the `attempts`-th attempt (from 1) under a key: between half and the whole of a length
/// that doubles from half a second to five minutes.
///
/// The jitter comes from the key, so that the same history gives the same schedule, and parcels that
/// failed together do not come back together.
pub fn after(attempts: u32, key: RetryKey) -> SignedDuration {
    let doublings = attempts.saturating_sub(1).min(16);
    let length = FIRST.checked_mul(1 << doublings).unwrap_or(LONGEST).min(LONGEST);
    let seed = key.0.as_u128() as u64 ^ u64::from(attempts).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // the finalizer of splitmix64 spreads neighbouring seeds
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let half = length.as_millis() as u64 / 2;
    SignedDuration::from_millis((half + (mixed ^ (mixed >> 31)) % (half + 1)) as i64)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_whole_schedule_of_one_key() {
        let key = RetryKey(Uuid::from_u128(7));
        let waits: Vec<i64> = (1..=14).map(|n| after(n, key).as_millis() as i64).collect();
        let longest = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000];
        for (attempt, wait) in waits.iter().enumerate() {
            let length = longest.get(attempt).copied().unwrap_or(300_000);
            assert!((length / 2..=length).contains(wait), "attempt {}: {wait} ms", attempt + 1);
            assert_eq!(after(attempt as u32 + 1, key).as_millis() as i64, *wait, "the same every time");
        }
        let other = RetryKey(Uuid::from_u128(8));
        assert_ne!(waits[9], after(10, other).as_millis() as i64, "another key, another moment");
    }
}
