use super::*;

const BOOT: u64 = 7;

fn moment(wall_s: i64, boot: u64, up_s: u64) -> Moment {
    let wall = jiff::Timestamp::from_second(1_800_000_000 + wall_s).unwrap();
    Moment { wall, uptime: Uptime { boot, ms: up_s * 1_000 } }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A watch that has trusted the clock so far.
fn trusting() -> ClockWatch {
    let mut watch = ClockWatch::open(None);
    assert_eq!(watch.look(moment(0, BOOT, 100)), None);
    watch
}

#[test]
fn two_minutes_either_way_are_let_pass_and_more_is_not() {
    for (wall_s, change) in
        [(1, None), (121, None), (122, Some(Change::Doubted)), (-119, None), (-120, Some(Change::Doubted))]
    {
        assert_eq!(trusting().look(moment(wall_s, BOOT, 101)), change, "{wall_s}");
    }
}

#[test]
fn time_that_really_passes_is_no_jump() {
    assert_eq!(trusting().look(moment(86_400, BOOT, 86_500)), None);
}

#[test]
fn a_jump_passes_when_the_clock_comes_back() {
    let mut watch = trusting();
    assert_eq!(watch.look(moment(3_600, BOOT, 101)), Some(Change::Doubted));
    assert_eq!(watch.look(moment(3_700, BOOT, 201)), None, "still in doubt, said once");
    assert_eq!(watch.look(moment(205, BOOT, 305)), Some(Change::Trusted { was_moved: false }));
}

#[test]
fn line_settles_whether_a_jump_was_right() {
    let mut watch = trusting();
    assert_eq!(watch.look(moment(3_600, BOOT, 101)), Some(Change::Doubted));
    assert_eq!(watch.heard_line(seconds(-3_600), moment(3_601, BOOT, 102)), None);
    assert_eq!(
        watch.heard_line(seconds(3), moment(3_602, BOOT, 103)),
        Some(Change::Trusted { was_moved: true })
    );
    assert_eq!(watch.look(moment(3_603, BOOT, 104)), None);
}

#[test]
fn a_clock_that_is_not_lines_is_in_doubt_until_it_is_or_an_operator_confirms_it() {
    let mut watch = trusting();
    assert_eq!(watch.heard_line(seconds(300), moment(1, BOOT, 101)), None);
    assert_eq!(watch.heard_line(seconds(301), moment(2, BOOT, 102)), Some(Change::Doubted));
    assert_eq!(watch.confirm(moment(3, BOOT, 103)), Some(Change::Trusted { was_moved: true }));
    assert_eq!(watch.heard_line(seconds(310), moment(4, BOOT, 104)), None, "that was confirmed");
    assert_eq!(watch.heard_line(seconds(700), moment(5, BOOT, 105)), Some(Change::Doubted));
    assert_eq!(
        watch.heard_line(seconds(305), moment(6, BOOT, 106)),
        Some(Change::Trusted { was_moved: true })
    );
    assert_eq!(watch.heard_line(seconds(1), moment(7, BOOT, 107)), None, "set right, it needs no word");
    assert_eq!(watch.confirm(moment(8, BOOT, 108)), None, "there is nothing to confirm");
}

#[test]
fn a_start_sees_a_clock_that_went_back_while_nothing_ran() {
    let mut before = trusting();
    let row = before.renew(moment(1, BOOT, 101), false).unwrap();
    for (now, change) in [
        // the same run of the machine: its uptime tells how much time has passed
        (moment(60, BOOT, 160), None),
        (moment(3_600, BOOT, 160), Some(Change::Doubted)),
        (moment(-200, BOOT, 160), Some(Change::Doubted)),
        // another: it can have been off for long, but not for less than nothing
        (moment(3_600, BOOT + 1, 5), None),
        (moment(-60, BOOT + 1, 5), None),
        (moment(-200, BOOT + 1, 5), Some(Change::Doubted)),
    ] {
        assert_eq!(ClockWatch::open(Some(row)).look(now), change, "{now:?}");
    }
}

#[test]
fn readings_are_stored_now_and_then_and_never_while_in_doubt() {
    let mut watch = trusting();
    assert!(watch.renew(moment(1, BOOT, 101), false).is_some(), "the first");
    assert!(watch.renew(moment(5, BOOT, 105), false).is_none());
    assert!(watch.renew(moment(30, BOOT, 130), true).is_none(), "idle");
    assert!(watch.renew(moment(30, BOOT, 130), false).is_some());
    watch.look(moment(9_000, BOOT, 140));
    assert!(watch.renew(moment(9_000, BOOT, 140), false).is_none(), "in doubt");
}

#[test]
fn a_clock_moved_by_hand_is_nobodys_business() {
    let mut watch = ClockWatch::open(None);
    assert_eq!(watch.look(moment(0, 0, 0)), None);
    assert_eq!(watch.look(moment(-9_000, 0, 0)), None);
    assert_eq!(watch.heard_line(seconds(9_000), moment(0, 0, 0)), None);
}

#[test]
fn a_clock_that_went_back_over_a_start_is_not_right_because_it_catches_up() {
    let row = trusting().renew(moment(1, BOOT, 101), false).unwrap();
    let mut watch = ClockWatch::open(Some(row));
    assert_eq!(watch.look(moment(-1_500, BOOT + 1, 5)), Some(Change::Doubted));
    assert_eq!(watch.heard_line(seconds(1_500), moment(-1_490, BOOT + 1, 15)), None);
    assert_eq!(watch.look(moment(0, BOOT + 1, 1_505)), None, "it is still 25 minutes behind");
    assert_eq!(
        watch.heard_line(seconds(0), moment(1_600, BOOT + 1, 1_606)),
        Some(Change::Trusted { was_moved: true })
    );
}
