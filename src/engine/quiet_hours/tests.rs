use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn hours(text: &str) -> Hours {
    let minute = |part: &str| {
        let (hour, minute) = part.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    let (start, end) = text.split_once('-').unwrap();
    Hours { start_minute: minute(start), end_minute: minute(end) }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn an_instant_outside_moves_to_the_opening() {
    let cases = [
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T12:00:00+09:00", "2026-03-02T12:00:00+09:00"),
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T21:00:00+09:00", "2026-03-03T09:00:00+09:00"),
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T20:59:59+09:00", "2026-03-02T20:59:59+09:00"),
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T03:00:00+09:00", "2026-03-02T09:00:00+09:00"),
        ("Asia/Tokyo", "22:00-02:00", "2026-03-02T01:59:00+09:00", "2026-03-02T01:59:00+09:00"),
        ("Asia/Tokyo", "22:00-02:00", "2026-03-02T02:00:00+09:00", "2026-03-02T22:00:00+09:00"),
        ("Asia/Tokyo", "09:00-24:00", "2026-03-02T23:59:00+09:00", "2026-03-02T23:59:00+09:00"),
        ("Asia/Tokyo", "09:00-24:00", "2026-03-02T00:00:00+09:00", "2026-03-02T09:00:00+09:00"),
        // the clocks go from 02:00 to 03:00: the first instant after the gap
        ("America/New_York", "02:30-21:00", "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00"),
        // 01:30 comes twice: the earlier
        ("America/New_York", "01:30-21:00", "2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00"),
    ];
    for (name, window, due, expected) in cases {
        let moved = after_quiet_hours(at(due), hours(window), &zone(name));
        assert_eq!(moved, at(expected), "{name} {window} {due}");
    }
}

#[test]
fn an_instant_is_pulled_back_to_the_last_minute_before() {
    let cases = [
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T08:00:00+09:00", "2026-03-01T20:59:00+09:00"),
        ("Asia/Tokyo", "09:00-21:00", "2026-03-02T23:00:00+09:00", "2026-03-02T20:59:00+09:00"),
        ("Asia/Tokyo", "09:00-24:00", "2026-03-02T08:00:00+09:00", "2026-03-01T23:59:00+09:00"),
        ("Asia/Tokyo", "22:00-02:00", "2026-03-02T08:00:00+09:00", "2026-03-02T01:59:00+09:00"),
        ("America/New_York", "09:00-02:30", "2026-03-08T08:00:00-04:00", "2026-03-08T01:59:00-05:00"),
    ];
    for (name, window, due, expected) in cases {
        let moved = before_quiet_hours(at(due), hours(window), &zone(name));
        assert_eq!(moved, at(expected), "{name} {window} {due}");
    }
}

/// Every minute of three days, ordinary and with either change of the clocks, against the definition.
#[test]
fn every_minute_of_the_day_lands_inside_and_never_earlier() {
    let days = [
        ("Asia/Tokyo", "2026-03-02T00:00:00+09:00"),
        ("America/New_York", "2026-03-08T00:00:00-05:00"),
        ("America/New_York", "2026-11-01T00:00:00-04:00"),
        ("Australia/Lord_Howe", "2026-10-04T00:00:00+10:30"),
    ];
    for (name, start) in days {
        let zone = zone(name);
        for window in ["09:00-21:00", "21:00-03:00", "02:30-02:29", "00:00-12:00"].map(hours) {
            for minute in 0..(26 * 60) {
                let due = at(start) + SignedDuration::from_mins(minute);
                let after = after_quiet_hours(due, window, &zone);
                assert!(after >= due && is_open(after, window, &zone), "{name} {window:?} {due}: {after}");
                let between = (1..(after.duration_since(due).as_secs() / 60).min(60))
                    .map(|step| due + SignedDuration::from_mins(step))
                    .find(|instant| is_open(*instant, window, &zone));
                assert_eq!(between, None, "{name} {window:?} {due}: an earlier instant was open");
                let before = before_quiet_hours(due, window, &zone);
                assert!(before < due && is_open(before, window, &zone), "{name} {window:?} {due}: {before}");
            }
        }
    }
}
