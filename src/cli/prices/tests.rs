use super::*;

#[test]
fn a_plan_takes_what_it_includes_and_the_standard_plan_sells_more() {
    let yen = |messages| PLANS.each_ref().map(|plan| plan.yen(messages));
    assert_eq!(yen(0), [Some(0), Some(5_000), Some(15_000)]);
    assert_eq!(yen(200), [Some(0), Some(5_000), Some(15_000)]);
    assert_eq!(yen(201), [None, Some(5_000), Some(15_000)]);
    assert_eq!(yen(5_001), [None, None, Some(15_000)]);
    assert_eq!(yen(30_000), [None, None, Some(15_000)]);
    assert_eq!(yen(30_100), [None, None, Some(15_300)]);
}

#[test]
fn what_the_quota_tells_is_what_more_messages_cost() {
    assert_eq!(yen_for_more(Some(200), 150), None);
    assert_eq!(yen_for_more(Some(5_000), 9_000), None);
    assert_eq!(yen_for_more(Some(30_000), 30_000), Some(0));
    assert_eq!(yen_for_more(Some(50_000), 31_000), Some(3_000));
    assert_eq!(yen_for_more(None, 40_000), Some(30_000));
}

#[test]
fn digits_stand_in_threes() {
    let written = [0, 12, 999, 1_000, 12_345, 1_234_567].map(grouped);
    assert_eq!(written, ["0", "12", "999", "1,000", "12,345", "1,234,567"]);
}
