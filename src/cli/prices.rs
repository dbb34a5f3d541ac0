//! What messages cost on the plans of a LINE Official Account in Japan.
//!
//! Source: LINE Developers, "Messaging API pricing": example prices without tax. What holds is what LINE Yahoo
//! for Business says.

use super::words::Lang;

/// A plan with a fee and messages that it includes each month.
#[derive(Debug)]
pub(crate) struct Plan {
    english: &'static str,
    japanese: &'static str,
    pub(crate) monthly_yen: u64,
    /// Messages that the fee includes.
    pub(crate) included: u64,
    /// The most that one further message costs; none where there can be none.
    pub(crate) most_yen_for_more: Option<u64>,
}

pub(crate) const PLANS: [Plan; 3] = [
    Plan {
        english: "Communication",
        japanese: "コミュニケーションプラン",
        monthly_yen: 0,
        included: 200,
        most_yen_for_more: None,
    },
    Plan {
        english: "Light",
        japanese: "ライトプラン",
        monthly_yen: 5_000,
        included: 5_000,
        most_yen_for_more: None,
    },
    Plan {
        english: "Standard",
        japanese: "スタンダードプラン",
        monthly_yen: 15_000,
        included: 30_000,
        most_yen_for_more: Some(3),
    },
];

impl Plan {
    pub(crate) fn name(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.english,
            Lang::Ja => self.japanese,
        }
    }

    /// The most that so many messages of one month cost, without tax; none if the plan does not take them.
    pub(crate) fn yen(&self, messages: u64) -> Option<u64> {
        let more = messages.saturating_sub(self.included);
        match (more, self.most_yen_for_more) {
            (0, _) => Some(self.monthly_yen),
            (_, None) => None,
            (more, Some(yen)) => Some(self.monthly_yen.saturating_add(more.saturating_mul(yen))),
        }
    }
}

/// The most that so many messages of one month cost beyond the fee, in yen; none where the plan sells no further
/// ones. `limit` is the month's quota as LINE tells it, which is what tells the plan.
pub(crate) fn yen_for_more(limit: Option<u64>, messages: u64) -> Option<u64> {
    let plan = PLANS.iter().find(|plan| plan.most_yen_for_more.is_some())?;
    if limit.is_some_and(|limit| limit < plan.included) {
        return None;
    }
    plan.yen(messages).map(|yen| yen - plan.monthly_yen)
}

/// `12345` → `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests;
