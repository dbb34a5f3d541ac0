use std::collections::BTreeSet;

use proptest::prelude::*;
use tokio_cron_scheduler::Job;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const GOOD: &[&str] = &[
    "* * * * *",
    "0 9 * * mon",
    "00 09 * * MON",
    "  0\t9 * * Mon ",
    "*/15 9-17 * * mon-fri",
    "0,30 9-17/2 1,15 jan-mar,Jul 1-5",
    "5-50/15,59 */2 */10 */3 */2",
    "0 9 * * sat-sun",
    "0 9 * * sun-tue",
    "0 9 * * 5-7",
    "0 9 * * 7",
    "0 9 * * 0",
    "0 9 L * *",
    "0 9 15,l 2 *",
    "0 9 1-7 * mon",
    "0 9 29 2 *",
    "0 9 29 feb mon",
    "59 23 31 12 *",
];

/// Text, what is wrong with it, what to do.
const BAD: &[(&str, &str, &str)] = &[
    ("", "it has 0 of 5 fields", FIVE_FIELDS),
    ("0 9 * *", "it has 4 of 5 fields", FIVE_FIELDS),
    (
        "0 0 9 * * mon",
        "it has 6 of 5 fields",
        "seconds are not supported, leave out the first field: `0 9 * * mon`",
    ),
    ("0 0 9 * * mon 2026", "it has 7 of 5 fields", FIVE_FIELDS),
    ("every day", "it has 2 of 5 fields", FIVE_FIELDS),
    ("each day at nine o'clock", "the minute cannot be `each`", "write the minute as 0 to 59"),
    ("毎日9時", "it has the character `毎`", FIVE_FIELDS),
    ("０ ９ * * *", "it has the character `０`", "write it in half width: `0 9 * * *`"),
    ("０　９　＊　＊　ｍｏｎ", "it has the character `０`", "write it in half width: `0 9 * * mon`"),
    ("０　２５　＊　＊　＊", "it has the character `０`", FIVE_FIELDS),
    ("0 9–17 * * *", "it has the character `–`", FIVE_FIELDS),
    ("@daily", "nicknames are not taken", "write `0 0 * * *`"),
    ("@Weekly", "nicknames are not taken", "write `0 0 * * sun`"),
    ("@reboot", "nicknames are not taken", FIVE_FIELDS),
    ("60 9 * * *", "the minute cannot be `60`", "write the minute as 0 to 59"),
    ("0 24 * * *", "the hour cannot be `24`", "write the hour as 0 to 23"),
    ("0 9 0 * *", "the day of the month cannot be `0`", "write the day of the month as 1 to 31"),
    ("0 9 32 * *", "the day of the month cannot be `32`", "write the day of the month as 1 to 31"),
    ("0 9 * 13 *", "the month cannot be `13`", "write the month as 1 to 12, or jan to dec"),
    ("0 9 * * 8", "the day of the week cannot be `8`", "write the day of the week as 0 to 7, or sun to sat"),
    (
        "0 9 * * monday",
        "the day of the week cannot be `monday`",
        "write the day of the week as 0 to 7, or sun to sat",
    ),
    // croner takes the names of days and months anywhere, and three digits
    ("mon 9 * * *", "the minute cannot be `mon`", "write the minute as 0 to 59"),
    ("0 9 * mon *", "the month cannot be `mon`", "write the month as 1 to 12, or jan to dec"),
    (
        "0 9 * * jan",
        "the day of the week cannot be `jan`",
        "write the day of the week as 0 to 7, or sun to sat",
    ),
    ("0 009 * * *", "the hour cannot be `009`", "write the hour as 0 to 23"),
    ("+5 9 * * *", "the minute cannot be `+5`", "write the minute as 0 to 59"),
    ("-5 9 * * *", "the minute cannot be `-5`", "write the minute as 0 to 59"),
    // croner passes over what is empty, down to a field that names nothing
    ("1,,2 9 * * *", "the minute cannot be `1,,2`", "write the minute as 0 to 59"),
    (", 9 * * *", "the minute cannot be `,`", "write the minute as 0 to 59"),
    ("*,5 9 * * *", "the minute cannot be `*`", "write the minute as 0 to 59"),
    ("0 9-17-19 * * *", "the hour cannot be `9-17-19`", "write the hour as 0 to 23"),
    (
        "0 22-2 * * *",
        "the hour cannot be `22-2`",
        "a range goes upwards: `22-23,0-2` is from 22 to 2, `fri-sat,sun-mon` from fri to mon",
    ),
    (
        "0 9 * * fri-mon",
        "the day of the week cannot be `fri-mon`",
        "a range goes upwards: `22-23,0-2` is from 22 to 2, `fri-sat,sun-mon` from fri to mon",
    ),
    // every day to croner
    (
        "0 9 * * sun-sun",
        "the day of the week cannot be `sun-sun`",
        "a range goes upwards: `22-23,0-2` is from 22 to 2, `fri-sat,sun-mon` from fri to mon",
    ),
    // only at minute 0 to croner
    ("*/90 * * * *", "the minute cannot be `*/90`", "a step is 1 to 59 here"),
    ("0 9-17/9 * * *", "the hour cannot be `9-17/9`", "a step is 1 to 8 here"),
    ("*/0 * * * *", "the minute cannot be `*/0`", "a step is 1 to 59 here"),
    ("*/ * * * *", "the minute cannot be `*/`", "a step is 1 to 59 here"),
    ("*/5/5 * * * *", "the minute cannot be `*/5/5`", "a step is 1 to 59 here"),
    ("5/15 * * * *", "the minute cannot be `5/15`", "a step goes over `*` or a range: `*/15`, `10-50/20`"),
    ("L 9 * * *", "the minute cannot be `L`", "write the minute as 0 to 59"),
    ("0 0 30 2 *", "it never comes", "none of its months has such a day"),
    ("0 0 31 feb,apr,jun,sep,nov *", "it never comes", "none of its months has such a day"),
];

#[test]
fn good_texts_come_back_as_written() {
    for text in GOOD {
        let read = cron(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        assert_eq!(read.as_written(), *text);
        assert_eq!(read.with_seconds(), format!("0 {text}"));
        assert_eq!(read, read.clone());
    }
    assert_ne!(cron("0 9 * * mon"), cron("0 9 * * MON"));
    assert_eq!(format!("{:?}", cron("0 9 * * mon").unwrap()), "Cron(\"0 9 * * mon\")");
}

#[test]
fn bad_texts_say_what_to_write() {
    for (text, what, help) in BAD {
        let expected = Unreadable {
            code: "invalid-cron",
            message: format!("`{text}` is not a cron pattern: {what}"),
            help: Some((*help).into()),
        };
        assert_eq!(cron(text).unwrap_err(), expected, "{text}");
    }
    for text in ["0 9 15W * *", "0 9 LW * *", "0 9 ? * *", "0 9 * * mon#1", "0 9 * * 5L", "0 9 * * L"] {
        let help = cron(text).unwrap_err().help.unwrap();
        assert!(help.starts_with("of L, W, # and ? only L alone"), "{text}: {help}");
    }
    assert!(cron("0 9 * * +mon").is_err());
}

/// The scheduler's own reading of each good text is ours, part by part, and its next tick is one of ours.
#[test]
fn the_scheduler_reads_the_same() {
    for text in GOOD {
        let ours = cron(text).unwrap();
        let mut job = Job::new(ours.with_seconds(), |_, _| ()).unwrap();
        let data = job.job_data().unwrap();
        assert_eq!(data.schedule().unwrap(), ours.read, "{text}");
        let tick = Timestamp::from_second(data.next_tick.try_into().unwrap()).unwrap();
        let before = tick - SignedDuration::from_secs(1);
        assert_eq!(ours.next_after(before, &TimeZone::UTC), Some(tick), "{text}");
    }
}

/// Zone, pattern, an instant and the ticks after it.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (name, text, after, ticks) in cases {
        let (read, zone) = (cron(text).unwrap(), zone(name));
        let mut after = at(after);
        for tick in *ticks {
            let next = read.next_after(after, &zone).unwrap();
            assert_eq!(next, at(tick), "{name} `{text}` after {after}: {}", zone.to_datetime(next));
            after = next;
        }
    }
}

#[test]
fn days_without_a_change_of_the_clocks() {
    check(&[
        // strictly after, to the nanosecond
        (
            "Asia/Tokyo",
            "0 9 * * mon",
            "2026-03-02T08:59:59.999999999+09:00",
            &["2026-03-02T09:00:00+09:00", "2026-03-09T09:00:00+09:00", "2026-03-16T09:00:00+09:00"],
        ),
        ("Asia/Tokyo", "0 9 * * mon", "2026-03-02T09:00:00+09:00", &["2026-03-09T09:00:00+09:00"]),
        // Monday in Tokyo, Sunday in Greenwich
        ("Asia/Tokyo", "0 5 * * mon", "2026-03-01T19:00:00Z", &["2026-03-01T20:00:00Z"]),
        ("UTC", "* * * * *", "2026-03-02T23:59:30Z", &["2026-03-03T00:00:00Z", "2026-03-03T00:01:00Z"]),
        (
            "UTC",
            "*/25 9,17 * * *",
            "2026-03-02T09:00:00Z",
            &[
                "2026-03-02T09:25:00Z",
                "2026-03-02T09:50:00Z",
                "2026-03-02T17:00:00Z",
                "2026-03-02T17:25:00Z",
                "2026-03-02T17:50:00Z",
                "2026-03-03T09:00:00Z",
            ],
        ),
        // no 31st in April and June
        (
            "UTC",
            "0 0 31 * *",
            "2026-03-01T00:00:00Z",
            &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z"],
        ),
        (
            "UTC",
            "0 0 L * *",
            "2028-01-31T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z"],
        ),
        ("UTC", "59 23 31 dec *", "2026-12-31T23:59:00Z", &["2027-12-31T23:59:00Z"]),
        // 2100 is no leap year
        (
            "UTC",
            "0 0 29 2 *",
            "2026-01-01T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"],
        ),
        ("UTC", "0 0 29 2 *", "2096-02-29T00:00:00Z", &["2104-02-29T00:00:00Z"]),
        // the longest wait of all
        ("UTC", "0 0 29 2 sun", "2088-02-29T00:00:00Z", &["2128-02-29T00:00:00Z"]),
    ]);
}

/// By the classic rule, that either will do, the first would tick on Friday 6 March already.
#[test]
fn both_day_fields_must_match() {
    check(&[
        (
            "Asia/Tokyo",
            "0 9 13 * fri",
            "2026-03-01T00:00:00+09:00",
            &["2026-03-13T09:00:00+09:00", "2026-11-13T09:00:00+09:00"],
        ),
        (
            "Asia/Tokyo",
            "0 9 1-7 * mon",
            "2026-03-01T00:00:00+09:00",
            &["2026-03-02T09:00:00+09:00", "2026-04-06T09:00:00+09:00", "2026-05-04T09:00:00+09:00"],
        ),
    ]);
}

#[test]
fn a_skipped_time_ticks_later_and_once() {
    check(&[
        // 02:00 becomes 03:00
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T12:00:00-05:00",
            &["2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"],
        ),
        (
            "America/New_York",
            "*/30 * * * *",
            "2026-03-08T01:00:00-05:00",
            &[
                "2026-03-08T01:30:00-05:00",
                "2026-03-08T03:00:00-04:00",
                "2026-03-08T03:30:00-04:00",
                "2026-03-08T04:00:00-04:00",
            ],
        ),
        // 02:15 and 02:45 tick between the quarters of the hour after
        (
            "America/New_York",
            "15,45 2,4 * * *",
            "2026-03-08T00:00:00-05:00",
            &["2026-03-08T03:15:00-04:00", "2026-03-08T03:45:00-04:00", "2026-03-08T04:15:00-04:00"],
        ),
        // still to come for an instant just behind the gap
        ("America/New_York", "30 2 * * *", "2026-03-08T03:29:59-04:00", &["2026-03-08T03:30:00-04:00"]),
        ("America/New_York", "30 2 * * *", "2026-03-08T03:30:00-04:00", &["2026-03-09T02:30:00-04:00"]),
        // 01:00 becomes 02:00
        (
            "Europe/London",
            "0 1 * * sun",
            "2026-03-28T00:00:00Z",
            &["2026-03-29T02:00:00+01:00", "2026-04-05T01:00:00+01:00"],
        ),
        // 02:00 becomes 02:30
        (
            "Australia/Lord_Howe",
            "*/15 2 * * *",
            "2026-10-04T00:00:00+10:30",
            &[
                "2026-10-04T02:30:00+11:00",
                "2026-10-04T02:45:00+11:00",
                "2026-10-05T02:00:00+11:00",
                "2026-10-05T02:15:00+11:00",
            ],
        ),
        // 02:30 comes before what 02:15 has become
        (
            "Australia/Lord_Howe",
            "15,30 2 * * *",
            "2026-10-04T00:00:00+10:30",
            &["2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00"],
        ),
    ]);
}

#[test]
fn a_time_that_comes_twice_ticks_at_the_earlier() {
    check(&[
        // 02:00 becomes 01:00
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00:00-04:00",
            &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
        ),
        ("America/New_York", "30 1 * * *", "2026-11-01T01:10:00-05:00", &["2026-11-02T01:30:00-05:00"]),
        // silent in the repeated hour
        (
            "America/New_York",
            "*/30 * * * *",
            "2026-11-01T00:30:00-04:00",
            &["2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T02:00:00-05:00"],
        ),
        ("America/New_York", "*/30 * * * *", "2026-11-01T01:10:00-05:00", &["2026-11-01T02:00:00-05:00"]),
        (
            "Europe/London",
            "0 1 * * *",
            "2026-10-25T00:00:00+01:00",
            &["2026-10-25T01:00:00+01:00", "2026-10-26T01:00:00Z"],
        ),
        // 02:00 becomes 01:30
        (
            "Australia/Lord_Howe",
            "*/15 * * * *",
            "2026-04-05T01:15:00+11:00",
            &["2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T02:00:00+10:30"],
        ),
    ]);
}

/// Friday 2011-12-30 did not come in Samoa.
#[test]
fn a_skipped_day_ticks_on_the_next() {
    check(&[
        (
            "Pacific/Apia",
            "0 9 * * *",
            "2011-12-29T00:00:00-10:00",
            &["2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00", "2012-01-01T09:00:00+14:00"],
        ),
        (
            "Pacific/Apia",
            "0 9 * * fri",
            "2011-12-29T00:00:00-10:00",
            &["2011-12-31T09:00:00+14:00", "2012-01-06T09:00:00+14:00"],
        ),
        ("Pacific/Apia", "59 23 30 12 *", "2011-12-31T23:58:59+14:00", &["2011-12-31T23:59:00+14:00"]),
        (
            "Pacific/Apia",
            "* * * * *",
            "2011-12-29T23:59:00-10:00",
            &["2011-12-31T00:00:00+14:00", "2011-12-31T00:01:00+14:00"],
        ),
    ]);
}

#[test]
fn no_zone_skips_more_than_a_day() {
    let until = at("2100-01-01T00:00:00Z");
    let mut longest = SignedDuration::ZERO;
    for name in jiff::tz::db().available() {
        let zone = zone(name.as_str());
        for change in zone.following(Timestamp::MIN).take_while(|change| change.timestamp() < until) {
            let before = zone.to_offset(change.timestamp() - SignedDuration::from_secs(1));
            longest = longest.max(change.offset().duration_since(before));
        }
    }
    assert_eq!(longest, LONGEST_GAP);
}

#[test]
fn time_ends() {
    for text in GOOD {
        let read = cron(text).unwrap();
        for name in ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia"] {
            let zone = zone(name);
            assert_eq!(read.next_after(Timestamp::MAX, &zone), None, "{name} {text}");
            assert!(read.next_after(Timestamp::MIN, &zone).is_some(), "{name} {text}");
        }
    }
}

/// The values of a field, read the naive way.
fn values(text: &str, first: u8, last: u8, names: &[&str]) -> BTreeSet<u8> {
    let value = |text: &str| match names.iter().position(|name| *name == text) {
        Some(index) => first + index as u8,
        None => text.parse().unwrap(),
    };
    let mut found = BTreeSet::new();
    for item in text.split(',') {
        let (part, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => (value(from), value(to)),
            None if part == "*" => (first, last),
            None => (value(part), value(part)),
        };
        found.extend((from..=to).step_by(step.parse().unwrap()));
    }
    found
}

/// The minutes of a pattern, read the naive way.
struct Naive {
    minutes: BTreeSet<u8>,
    hours: BTreeSet<u8>,
    days: BTreeSet<u8>,
    last_day: bool,
    months: BTreeSet<u8>,
    weekdays: BTreeSet<u8>,
}

impl Naive {
    fn read(text: &str) -> Naive {
        let fields: Vec<&str> = text.split(' ').collect();
        let days = fields[2].trim_end_matches(",L");
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let weekdays = values(fields[4], 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]);
        Naive {
            minutes: values(fields[0], 0, 59, &[]),
            hours: values(fields[1], 0, 23, &[]),
            days: if days == "L" { BTreeSet::new() } else { values(days, 1, 31, &[]) },
            last_day: fields[2].ends_with('L'),
            months: values(fields[3], 1, 12, &months),
            weekdays: weekdays.into_iter().map(|day| day % 7).collect(),
        }
    }

    fn names_day(&self, date: Date) -> bool {
        let last = self.last_day && date.day() == date.days_in_month();
        self.months.contains(&(date.month() as u8))
            && (last || self.days.contains(&(date.day() as u8)))
            && self.weekdays.contains(&(date.weekday().to_sunday_zero_offset() as u8))
    }

    fn names_minute(&self, hour: u8, minute: u8) -> bool {
        self.hours.contains(&hour) && self.minutes.contains(&minute)
    }

    /// Looks at every civil minute of the days around `after`, and ahead for so many days.
    fn next_after(&self, after: Timestamp, zone: &TimeZone, days: usize) -> Option<Timestamp> {
        let first = zone.to_datetime(after).date() - Span::new().days(2);
        let days = first.series(Span::new().days(1)).take(days + 2).filter(|day| self.names_day(*day));
        days.flat_map(|day| (0..24).flat_map(move |hour| (0..60).map(move |minute| (day, hour, minute))))
            .filter(|(_, hour, minute)| self.names_minute(*hour, *minute))
            .map(|(day, hour, minute)| day.at(hour as i8, minute as i8, 0, 0))
            .map(|minute| zone.to_timestamp(minute).unwrap())
            .filter(|tick| *tick > after)
            .min()
    }
}

/// A field of values from `first` to `last`; a star as often as anything else.
fn field(first: u8, last: u8, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let name = move |value: u8| match names.get(usize::from(value - first)) {
        Some(name) if value.is_multiple_of(2) => (*name).to_owned(),
        _ => value.to_string(),
    };
    let range = (first..last).prop_flat_map(move |from| (Just(from), from + 1..=last));
    let ranges = range.clone().prop_map(move |(from, to)| format!("{}-{}", name(from), name(to)));
    let steps = (range.clone(), 1..=last - first)
        .prop_map(|((from, to), step)| format!("{from}-{to}/{}", step.min(to - from)));
    let item = prop_oneof![
        3 => (first..=last).prop_map(name),
        1 => ranges,
        1 => steps,
        1 => (1..=last - first).prop_map(|step| format!("*/{step}")),
    ];
    let list = proptest::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    prop_oneof![1 => Just("*".to_owned()), 1 => list]
}

fn patterns() -> impl Strategy<Value = String> {
    let stars = |fields| prop_oneof![3 => Just("*".to_owned()), 1 => fields];
    let days = prop_oneof![
        4 => field(1, 31, &[]),
        1 => Just("L".to_owned()),
        1 => (1u8..=31).prop_map(|day| format!("{day},L")),
    ];
    let months =
        field(1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]);
    // without sun, which ends a range as 7
    let weekdays = field(1, 7, &["mon", "tue", "wed", "thu", "fri", "sat"]);
    (
        field(0, 59, &[]),
        field(0, 23, &[]),
        stars(days.boxed()),
        stars(months.boxed()),
        stars(weekdays.boxed()),
    )
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// Changes of the clocks, and a day without one.
const CHANGES: &[(&str, &str)] = &[
    ("Asia/Tokyo", "2026-02-27T00:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Europe/London", "2026-03-29T01:00:00Z"),
    ("Europe/London", "2026-10-25T01:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Pacific/Kwajalein", "1993-08-21T12:00:00Z"),
    // the clocks went back a whole day
    ("America/Juneau", "1867-10-19T00:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
];

/// How far ahead the naive search looks.
const AHEAD_DAYS: usize = 20;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_next_tick_is_the_first_of_all_civil_minutes(
        text in patterns(),
        (name, change) in proptest::sample::select(CHANGES),
        seconds in prop_oneof![-3 * 3_600..3_600i64, -40 * 3_600..40 * 3_600i64],
    ) {
        let (naive, zone) = (Naive::read(&text), zone(name));
        let Ok(read) = cron(&text) else {
            let days = Date::constant(2000, 1, 1).series(Span::new().days(1)).take(366);
            prop_assert!(!days.into_iter().any(|day| naive.names_day(day)), "`{text}` was refused");
            return Ok(());
        };
        let mut after = at(change) + SignedDuration::from_secs(seconds);
        for _ in 0..3 {
            let next = read.next_after(after, &zone).unwrap();
            let expected = naive.next_after(after, &zone, AHEAD_DAYS);
            let in_sight = after + SignedDuration::from_hours((AHEAD_DAYS as i64 - 2) * 24);
            if expected.is_none() {
                prop_assert!(next > in_sight, "{name} `{text}` after {after}: {next}");
                break;
            }
            prop_assert_eq!(Some(next), expected, "{} `{}` after {}", name, text, after);
            after = next;
        }
    }
}
