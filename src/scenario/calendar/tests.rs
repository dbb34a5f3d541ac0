use std::collections::BTreeMap;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const PUBLISHED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/japanese-holidays.csv"));

fn days_of(years: std::ops::RangeInclusive<i16>) -> impl Iterator<Item = Date> {
    let last = date(*years.end(), 12, 31);
    onwards(date(*years.start(), 1, 1)).take_while(move |day| *day <= last)
}

fn holidays_of(years: std::ops::RangeInclusive<i16>) -> Vec<(String, &'static str)> {
    days_of(years).filter_map(|day| Some((day.to_string(), holiday(day)?))).collect()
}

fn workdays(closed_days: &[&str]) -> Workdays {
    Workdays::new(closed_days.iter().map(|text| closed(text).unwrap()).collect())
}

#[test]
fn every_day_of_2020_to_2027_is_what_the_cabinet_office_publishes() {
    let lines = PUBLISHED.lines().filter(|line| !line.starts_with('#'));
    let published: Vec<(&str, &str)> = lines.map(|line| line.split_once(',').unwrap()).collect();
    let computed = holidays_of(2020..=2027);
    let computed: Vec<(&str, &str)> = computed.iter().map(|(day, name)| (day.as_str(), *name)).collect();
    assert_eq!(computed, published);
    assert_eq!(published.len(), 143);
}

/// The year of the succession, as the Cabinet Office lists it.
#[test]
fn the_holidays_of_2019() {
    let expected = [
        ("2019-01-01", "元日"),
        ("2019-01-14", "成人の日"),
        ("2019-02-11", "建国記念の日"),
        ("2019-03-21", "春分の日"),
        ("2019-04-29", "昭和の日"),
        ("2019-04-30", "休日"),
        ("2019-05-01", "休日（祝日扱い）"),
        ("2019-05-02", "休日"),
        ("2019-05-03", "憲法記念日"),
        ("2019-05-04", "みどりの日"),
        ("2019-05-05", "こどもの日"),
        ("2019-05-06", "休日"),
        ("2019-07-15", "海の日"),
        ("2019-08-11", "山の日"),
        ("2019-08-12", "休日"),
        ("2019-09-16", "敬老の日"),
        ("2019-09-23", "秋分の日"),
        ("2019-10-14", "体育の日（スポーツの日）"),
        ("2019-10-22", "休日（祝日扱い）"),
        ("2019-11-03", "文化の日"),
        ("2019-11-04", "休日"),
        ("2019-11-23", "勤労感謝の日"),
    ];
    assert_eq!(holidays_of(2019..=2019), expected.map(|(day, name)| (day.to_string(), name)));
}

#[test]
fn holidays_where_the_rules_meet() {
    let cases = [
        (date(2009, 5, 3), Some("憲法記念日")), // a Sunday, and the two days after it have names
        (date(2009, 5, 6), Some("休日")),
        (date(2009, 9, 22), Some("休日")),
        (date(2012, 9, 22), Some("秋分の日")),
        (date(2015, 8, 11), None),
        (date(2016, 8, 11), Some("山の日")),
        (date(2018, 12, 24), Some("休日")),
        (date(2019, 12, 23), None),
        (date(2032, 9, 21), Some("休日")),
        (date(2044, 3, 21), Some("休日")),
        (date(2049, 9, 21), Some("休日")),
    ];
    for (day, expected) in cases {
        assert_eq!(holiday(day), expected, "{day}");
    }
}

#[test]
fn any_date_there_is_can_be_asked_about() {
    for year in Date::MIN.year()..=Date::MAX.year() {
        let days = [date(year, 1, 1), date(year, 3, 20), date(year, 9, 22), date(year, 12, 31)];
        assert_eq!(days.map(holiday)[0], Some("元日"));
    }
    let days = workdays(&[]);
    assert_eq!(days.add(Date::MAX, 1), None);
    assert_eq!(days.add(Date::MIN, -1), None);
    assert_eq!(days.add(date(9999, 4, 1), i32::MAX), None);
    assert_eq!(days.add(date(-9999, 4, 1), i32::MIN), None);
    let friday = weekdays("fri").unwrap();
    assert_eq!(Date::MAX.weekday(), Weekday::Friday);
    assert_eq!(weekdays("sat").unwrap().next_from(Date::MAX), None);
    assert_eq!(friday.next_from(Date::MAX), Some(Date::MAX));
    assert_eq!(weekdays("sun").unwrap().last_until(Date::MIN), None);
}

/// Every pair of three-letter words that could be a range.
#[test]
fn weekday_ranges() {
    let short = WEEKDAY_NAMES.map(|name| &name[..3]);
    for (from, first) in short.iter().enumerate() {
        let one = weekdays(first).unwrap();
        assert_eq!((0..7).filter(|place| one.bits >> place & 1 == 1).collect::<Vec<_>>(), [from]);
        for (to, last) in short.iter().enumerate() {
            let text = format!("{first}-{last}");
            if from == to {
                assert!(weekdays(&text).is_err(), "{text}");
                continue;
            }
            let days = weekdays(&text).unwrap();
            for (place, name) in short.iter().enumerate() {
                let day = Weekday::from_monday_zero_offset(place as i8).unwrap();
                // as many steps forward as the end is away reach it
                let expected = (place + 7 - from) % 7 <= (to + 7 - from) % 7;
                assert_eq!(days.contains(day), expected, "{name} in {text}");
            }
        }
    }
    let both = weekdays("mon-tue").unwrap().union(weekdays("sat").unwrap());
    assert_eq!(
        both.union(weekdays("wed-fri").unwrap()).union(weekdays("sun").unwrap()),
        weekdays("mon-sun").unwrap()
    );
    assert!(both.contains(Weekday::Saturday) && both.contains(Weekday::Tuesday));
    assert!(!both.contains(Weekday::Wednesday));
}

#[test]
fn what_is_no_weekday() {
    let cases = [
        ("monday", "did you mean `mon`?"),
        ("Mon", "did you mean `mon`?"),
        ("SUN", "did you mean `sun`?"),
        ("weds", "did you mean `wed`?"),
        ("monday-friday", "did you mean `mon-fri`?"),
        ("Mon - Fri", "did you mean `mon-fri`?"),
        (" mon", "did you mean `mon`?"),
        ("mon-fry", "did you mean `mon-fri`?"),
        ("mon-mon", "write `mon` for the one day, or `mon-sun` for the whole week"),
        ("friday-fri", WEEKDAYS_HELP),
        ("mon-wed-fri", WEEKDAYS_HELP),
        ("mon,fri", WEEKDAYS_HELP),
        ("mon-", WEEKDAYS_HELP),
        ("-", WEEKDAYS_HELP),
        ("", WEEKDAYS_HELP),
        ("月", "write `mon`"),
        ("土曜日", "write `sat`"),
        ("平日", "write `mon-fri`"),
        ("月-金", WEEKDAYS_HELP),
        ("1", WEEKDAYS_HELP),
        ("weekday", WEEKDAYS_HELP),
    ];
    for (text, help) in cases {
        let error = weekdays(text).unwrap_err();
        assert_eq!(error.help.as_deref(), Some(help), "{text}");
        assert!(error.message.starts_with(&format!("`{text}` is ")), "{}", error.message);
    }
}

#[test]
fn the_next_and_the_last_of_some_weekdays() {
    let sunday = date(2026, 11, 29);
    let cases = [
        ("sun", sunday, sunday),
        ("mon", date(2026, 11, 30), date(2026, 11, 23)),
        ("sat", date(2026, 12, 5), date(2026, 11, 28)),
        ("tue-thu", date(2026, 12, 1), date(2026, 11, 26)),
        ("sat-mon", sunday, sunday),
    ];
    for (text, next, last) in cases {
        let days = weekdays(text).unwrap();
        assert_eq!(days.next_from(sunday), Some(next), "{text}");
        assert_eq!(days.last_until(sunday), Some(last), "{text}");
    }
}

#[test]
fn closed_days() {
    // each with the first and the last day that it covers in 2026 to 2028, range by range
    let cases: [(&str, &[(Date, Date)]); 9] = [
        ("2026-12-29", &[(date(2026, 12, 29), date(2026, 12, 29))]),
        ("2026-12-29..2027-01-03", &[(date(2026, 12, 29), date(2027, 1, 3))]),
        ("2026-12-29..2026-12-29", &[(date(2026, 12, 29), date(2026, 12, 29))]),
        (
            "12-31",
            &[
                (date(2026, 12, 31), date(2026, 12, 31)),
                (date(2027, 12, 31), date(2027, 12, 31)),
                (date(2028, 12, 31), date(2028, 12, 31)),
            ],
        ),
        (
            "12-29..01-03",
            &[
                (date(2026, 1, 1), date(2026, 1, 3)),
                (date(2026, 12, 29), date(2027, 1, 3)),
                (date(2027, 12, 29), date(2028, 1, 3)),
                (date(2028, 12, 29), date(2028, 12, 31)),
            ],
        ),
        (
            "08-12..08-15",
            &[
                (date(2026, 8, 12), date(2026, 8, 15)),
                (date(2027, 8, 12), date(2027, 8, 15)),
                (date(2028, 8, 12), date(2028, 8, 15)),
            ],
        ),
        ("02-29", &[(date(2028, 2, 29), date(2028, 2, 29))]),
        (
            "02-27..02-29",
            &[
                (date(2026, 2, 27), date(2026, 2, 28)),
                (date(2027, 2, 27), date(2027, 2, 28)),
                (date(2028, 2, 27), date(2028, 2, 29)),
            ],
        ),
        (
            "02-29..03-01",
            &[
                (date(2026, 3, 1), date(2026, 3, 1)),
                (date(2027, 3, 1), date(2027, 3, 1)),
                (date(2028, 2, 29), date(2028, 3, 1)),
            ],
        ),
    ];
    for (text, ranges) in cases {
        let days = closed(text).unwrap();
        for day in days_of(2026..=2028) {
            let expected = ranges.iter().any(|(first, last)| *first <= day && day <= *last);
            assert_eq!(days.covers(day), expected, "{day} in {text}");
        }
    }
}

#[test]
fn every_two_numbers_that_are_a_day() {
    let mut days_of_month = BTreeMap::new();
    for month in 0..100 {
        for day in 0..100 {
            if closed(&format!("{month:02}-{day:02}")).is_ok() {
                days_of_month.entry(month).or_insert_with(Vec::new).push(day);
            }
        }
    }
    let lengths: Vec<(i32, i32)> = (days_of_month.iter())
        .map(|(month, days)| {
            assert_eq!(*days, (1..=days.len() as i32).collect::<Vec<_>>());
            (*month, days.len() as i32)
        })
        .collect();
    let leap_year = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    assert_eq!(lengths, (1..).zip(leap_year).collect::<Vec<_>>());
}

#[test]
fn what_is_no_closed_day() {
    let no_date = "is not a date or a range of dates";
    let backward = "write the earlier date first; over the new year: 2026-12-29..2027-01-03";
    let mixed = "write the year at both ends, or at neither for every year";
    let cases = [
        (
            "2026-02-30",
            "there is no `2026-02-30` in the calendar",
            "the last day of that month is 2026-02-28",
        ),
        (
            "2026-02-29",
            "there is no `2026-02-29` in the calendar",
            "the last day of that month is 2026-02-28",
        ),
        ("02-30", "there is no `02-30` in the calendar", "the last day of that month is 02-29"),
        ("12-29..11-31", "there is no `11-31` in the calendar", "the last day of that month is 11-30"),
        ("13-01", "there is no `13-01` in the calendar", CLOSED_HELP),
        ("12-00", "there is no `12-00` in the calendar", CLOSED_HELP),
        ("2027-01-03..2026-12-29", "ends before it starts", backward),
        ("2026-12-29..2026-01-03", "ends before it starts", backward),
        ("2026-12-29..01-03", "has a year at one end only", mixed),
        ("12-29..2027-01-03", "has a year at one end only", mixed),
        ("2026/12/29", no_date, "did you mean `2026-12-29`?"),
        ("12-29 .. 01-03", no_date, "did you mean `12-29..01-03`?"),
        ("12/29〜01/03", no_date, "did you mean `12-29..01-03`?"),
        ("12-29-01-03", no_date, CLOSED_HELP),
        ("12-29...01-03", no_date, CLOSED_HELP),
        ("12-29..01-02..01-03", no_date, CLOSED_HELP),
        ("..01-03", no_date, CLOSED_HELP),
        ("12-29..", no_date, CLOSED_HELP),
        ("1-3", no_date, CLOSED_HELP),
        ("26-12-29", no_date, CLOSED_HELP),
        ("-026-12-29", no_date, CLOSED_HELP),
        ("+1-03", no_date, CLOSED_HELP),
        ("2026-12", no_date, CLOSED_HELP),
        ("20261229", no_date, CLOSED_HELP),
        ("１２-２９", no_date, CLOSED_HELP),
        ("sun", no_date, CLOSED_HELP),
        ("", no_date, CLOSED_HELP),
    ];
    for (text, message, help) in cases {
        let error = closed(text).unwrap_err();
        let whole = if message.starts_with("there") { message.into() } else { format!("`{text}` {message}") };
        assert_eq!(error.message, whole);
        assert_eq!(error.help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn a_fault_is_a_finding_of_a_known_code() {
    let place = crate::scenario::finding::Place::start_of(&"a.yaml".into());
    for error in [weekdays("x").unwrap_err(), closed("x").unwrap_err()] {
        assert!(error.at(&place).is_error());
    }
}

#[test]
fn workdays_counted_by_hand() {
    let new_year = ["12-29..01-03"];
    let cases: [(&[&str], Date, i32, Date); 15] = [
        (&[], date(2026, 11, 30), -1, date(2026, 11, 27)), // a Monday
        (&[], date(2026, 11, 27), 1, date(2026, 11, 30)),
        (&[], date(2026, 11, 29), 1, date(2026, 11, 30)), // a Sunday
        (&[], date(2026, 11, 29), -1, date(2026, 11, 27)),
        (&[], date(2026, 11, 29), 0, date(2026, 11, 30)),
        (&[], date(2026, 11, 30), 0, date(2026, 11, 30)),
        // Golden Week: 29 April a Wednesday, 3 to 5 May from Sunday, the 6th for the 3rd
        (&[], date(2026, 4, 28), 1, date(2026, 4, 30)),
        (&[], date(2026, 4, 28), 3, date(2026, 5, 7)),
        (&[], date(2026, 5, 3), 0, date(2026, 5, 7)),
        (&[], date(2026, 5, 7), -2, date(2026, 4, 30)),
        (&["2026-04-30..2026-05-01"], date(2026, 4, 28), 1, date(2026, 5, 7)),
        // 3 January 2027 is a Sunday
        (&new_year, date(2026, 12, 28), 1, date(2027, 1, 4)),
        (&new_year, date(2027, 1, 4), -1, date(2026, 12, 28)),
        (&new_year, date(2026, 12, 31), 0, date(2027, 1, 4)),
        (&[], date(2026, 12, 28), 1, date(2026, 12, 29)),
    ];
    for (closed_days, from, days, expected) in cases {
        assert_eq!(workdays(closed_days).add(from, days), Some(expected), "{from} {days:+} {closed_days:?}");
    }
    // Silver Week
    let days = workdays(&[]);
    assert_eq!(days.next_from(date(2026, 9, 19)), Some(date(2026, 9, 24)));
    assert_eq!(days.last_until(date(2026, 9, 23)), Some(date(2026, 9, 18)));
}

#[test]
fn a_list_that_closes_everything_has_no_workdays() {
    for text in ["01-01..12-31", "03-01..02-29", "2000-01-01..2099-12-31"] {
        let days = workdays(&[text]);
        let day = date(2026, 11, 25);
        assert_eq!(days.next_from(day), None, "{text}");
        assert_eq!(days.last_until(day), None, "{text}");
        for count in [-3660, -1, 0, 1, 3660] {
            assert_eq!(days.add(day, count), None, "{text} {count}");
        }
    }
    // a closed year is looked past
    let days = workdays(&["2027-01-01..2027-12-31"]);
    assert_eq!(days.add(date(2026, 12, 31), 1), Some(date(2028, 1, 3)));
}

fn any_day() -> impl Strategy<Value = Date> {
    (0i64..36_525).prop_map(|days| date(2000, 1, 1) + jiff::Span::new().days(days))
}

fn some_workdays() -> impl Strategy<Value = Workdays> {
    let yearly = (1i8..=12, 1i8..=28, 1i8..=12, 1i8..=28);
    // shorter than half a year, so that there are workdays
    let kept = yearly.prop_filter("closes too much", |(from, _, to, _)| (to + 12 - from) % 12 < 5);
    let text = kept.prop_map(|(from, first, to, last)| {
        closed(&format!("{from:02}-{first:02}..{to:02}-{last:02}")).unwrap()
    });
    proptest::option::of(text).prop_map(|days| Workdays::new(days.into_iter().collect()))
}

proptest! {
    #[test]
    fn next_and_last_are_the_nearest(days in some_workdays(), day in any_day()) {
        if let Some(next) = days.next_from(day) {
            prop_assert!(days.is_workday(next) && day <= next);
            prop_assert!(onwards(day).take_while(|between| *between < next).all(|d| !days.is_workday(d)));
            prop_assert_eq!(days.last_until(next), Some(next));
        }
        if let Some(last) = days.last_until(day) {
            prop_assert!(days.is_workday(last) && last <= day);
            prop_assert!(backwards(day).take_while(|between| last < *between).all(|d| !days.is_workday(d)));
        }
    }

    #[test]
    fn there_and_back_again(days in some_workdays(), day in any_day(), count in -300i32..=300) {
        let start = days.next_from(day);
        prop_assume!(start.is_some());
        let start = start.unwrap();
        let there = days.add(start, count);
        prop_assume!(there.is_some());
        let there = there.unwrap();
        prop_assert!(days.is_workday(there));
        let passed = onwards(start.min(there)).take_while(|d| *d < start.max(there)).filter(|d| days.is_workday(*d));
        prop_assert_eq!(passed.count(), count.unsigned_abs() as usize);
        prop_assert_eq!(days.add(there, -count), Some(start));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-z月〜 ./-]{0,24}") {
        let _ = (weekdays(&text).is_ok(), closed(&text).is_ok());
    }
}
