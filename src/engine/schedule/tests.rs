use std::sync::Arc;

use super::*;
use crate::model::{EnrollmentId, ScenarioId, Standing};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn run(anchor: &str, reached_at: &str) -> Enrollment {
    Enrollment {
        id: EnrollmentId(uuid::Uuid::nil()),
        scenario: ScenarioId::new("s").unwrap(),
        key: None,
        entered_at: at(anchor),
        anchor: at(anchor),
        event: Arc::default(),
        steps: Vec::new(),
        reached_at: at(reached_at),
        now: Standing::Waiting { until: at(anchor) },
        held_out: false,
        dated: false,
        kept_until: None,
        ended: None,
    }
}

fn days(days: i32) -> Offset {
    Offset::Civil(jiff::Span::new().days(days))
}

fn months(months: i32) -> Offset {
    Offset::Civil(jiff::Span::new().months(months))
}

fn time(hour: i8, minute: i8) -> Option<Time> {
    Some(Time::constant(hour, minute, 0, 0))
}

#[test]
fn moments() {
    use Timing::{After, AtOnce, Before, Day, Wait};
    let tokyo = "Asia/Tokyo";
    let new_york = "America/New_York";
    let cases = [
        (tokyo, "2026-03-02T21:50:00+09:00", Day { days: 0, at: None }, "2026-03-02T21:50:00+09:00"),
        (tokyo, "2026-03-02T21:50:00+09:00", Day { days: 5, at: time(10, 0) }, "2026-03-07T10:00:00+09:00"),
        (tokyo, "2026-03-02T21:50:00+09:00", Day { days: 5, at: None }, "2026-03-07T21:50:00+09:00"),
        (tokyo, "2026-03-05T14:00:00+09:00", Day { days: -1, at: time(18, 0) }, "2026-03-04T18:00:00+09:00"),
        // just after midnight in Tokyo is the day before in UTC
        (tokyo, "2026-03-05T00:10:00+09:00", Day { days: 1, at: time(0, 5) }, "2026-03-06T00:05:00+09:00"),
        (
            tokyo,
            "2026-01-31T10:00:00+09:00",
            After { offset: months(1), at: None },
            "2026-02-28T10:00:00+09:00",
        ),
        (
            tokyo,
            "2028-01-31T10:00:00+09:00",
            After { offset: months(1), at: None },
            "2028-02-29T10:00:00+09:00",
        ),
        (
            tokyo,
            "2026-03-31T10:00:00+09:00",
            Before { offset: months(1), at: time(9, 0) },
            "2026-02-28T09:00:00+09:00",
        ),
        // a day is a civil day: the same time of day across a change of the clocks
        (new_york, "2026-03-07T12:00:00-05:00", Day { days: 1, at: None }, "2026-03-08T12:00:00-04:00"),
        (
            new_york,
            "2026-03-07T12:00:00-05:00",
            After { offset: days(1), at: None },
            "2026-03-08T12:00:00-04:00",
        ),
        // a time in the gap moves on by the gap's length, of two the earlier
        (
            new_york,
            "2026-03-07T12:00:00-05:00",
            Day { days: 1, at: time(2, 30) },
            "2026-03-08T03:30:00-04:00",
        ),
        (
            new_york,
            "2026-10-31T12:00:00-04:00",
            Day { days: 1, at: time(1, 30) },
            "2026-11-01T01:30:00-04:00",
        ),
        (tokyo, "2026-03-05T14:00:00+09:00", Wait { offset: days(1) }, "2026-03-11T09:00:00+09:00"),
        (tokyo, "2026-03-05T14:00:00+09:00", AtOnce, "2026-03-10T09:00:00+09:00"),
        (
            tokyo,
            "2026-03-05T14:00:00+09:00",
            Before { offset: Offset::Exact(SignedDuration::from_hours(1)), at: None },
            "2026-03-05T13:00:00+09:00",
        ),
        // exact hours do not follow the clocks
        (
            new_york,
            "2026-03-07T12:00:00-05:00",
            After { offset: Offset::Exact(SignedDuration::from_hours(24)), at: None },
            "2026-03-08T13:00:00-04:00",
        ),
    ];
    for (zone, anchor, timing, expected) in cases {
        let zone = TimeZone::get(zone).unwrap();
        let found = timed(&timing, &run(anchor, "2026-03-10T09:00:00+09:00"), &zone, None);
        assert_eq!(found, at(expected), "{timing:?} from {anchor}");
    }
}
