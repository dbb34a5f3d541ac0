//! What messages cost in Japan, without tax. Source: LINE Developers, "Messaging API pricing" (2025): a message is
//! counted for each person it is sent to; Communication has 200 a month, Light 5,000, Standard 30,000 and, beyond
//! them, as many as the owner allows for up to 3 yen each.

/// The messages that the plan with additional messages has each month.
const STANDARD_MESSAGES: u64 = 30_000;

/// The most that an additional message costs, in yen.
const ADDITIONAL_YEN: u64 = 3;

/// The most that so many messages of one month cost beyond the monthly fee, in yen; none where the plan sells no
/// additional messages. `limit` is the month's quota as LINE tells it.
pub fn additional_yen(limit: Option<u64>, messages: u64) -> Option<u64> {
    match limit {
        Some(limit) if limit < STANDARD_MESSAGES => None,
        _ => Some(messages.saturating_sub(STANDARD_MESSAGES) * ADDITIONAL_YEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_those_of_the_plan_cost_three_yen_at_most() {
        assert_eq!(additional_yen(Some(200), 150), None);
        assert_eq!(additional_yen(Some(5_000), 9_000), None);
        assert_eq!(additional_yen(Some(30_000), 30_000), Some(0));
        assert_eq!(additional_yen(Some(50_000), 31_000), Some(3_000));
        assert_eq!(additional_yen(None, 40_000), Some(30_000));
    }
}
