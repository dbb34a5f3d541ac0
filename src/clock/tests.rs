use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = Clock::manual(at("2026-03-02T12:00:00Z"));
    assert_eq!(clock.until(at("2026-03-02T12:00:01Z")), Duration::MAX);
    clock.set(at("2026-03-02T12:00:01Z"));
    assert_eq!(clock.now(), at("2026-03-02T12:00:01Z"));
    assert_eq!(clock.until(at("2026-03-02T12:00:01Z")), Duration::ZERO);
}

#[test]
fn a_stopped_clock_stands_still_and_goes_on_from_there() {
    let clock = Clock::accelerated(at("2026-03-02T12:00:00Z"), 1_000_000.0);
    clock.stop();
    let stood = clock.now();
    assert_eq!(clock.now(), stood);
    clock.go_on();
    assert!(clock.now() >= stood);
    assert!(clock.until(at("2027-01-01T00:00:00Z")) < Duration::from_secs(60));
}
