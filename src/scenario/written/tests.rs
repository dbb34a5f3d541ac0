use super::*;

#[test]
fn every_minute_of_the_day_and_nothing_else_is_a_time() {
    for hour in 0..100 {
        for minute in 0..100 {
            let text = format!("{hour:02}:{minute:02}");
            assert_eq!(time(&text).is_ok(), hour < 24 && minute < 60, "{text}");
        }
    }
    for text in ["", ":", "9:00", "09:0", "+9:00", "09:00:00", " 09:00", "０９:００"] {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn send_windows() {
    let cases = [
        ("09:00-21:00", Some((540, 1260))),
        ("22:00-06:00", Some((1320, 360))),
        ("00:00-24:00", Some((0, 1440))),
        ("09:00-00:00", Some((540, 1440))),
        ("00:00-00:00", None),
        ("09:00-09:00", None),
        ("24:00-09:00", None),
        ("09:00–21:00", None),
        ("09:00-21:00-22:00", None),
    ];
    for (text, expected) in cases {
        let window = hours(text).ok().map(|hours| (hours.start_minute, hours.end_minute));
        assert_eq!(window, expected, "{text}");
    }
}

#[test]
fn lengths_of_time() {
    assert_eq!(fixed("90m"), Ok(SignedDuration::from_mins(90)));
    assert_eq!(fixed("2w"), Ok(SignedDuration::from_hours(14 * 24)));
    assert_eq!(offset("3660d"), Ok(Offset::Civil(Span::new().days(3660))));
    assert_eq!(offset("10y"), Ok(Offset::Civil(Span::new().years(10))));
    assert_eq!(offset("1h"), Ok(Offset::Exact(SignedDuration::from_hours(1))));
    for text in ["3661d", "11y", "0s", "d", "3", "3D", "3 d", "-3d", "+3d", "3dd", "1e3s", "三d"] {
        assert!(offset(text).is_err(), "{text}");
    }
    assert!(fixed("1mo").is_err() && fixed("1y").is_err());
}

/// Found with the fuzz targets: comparing a name of 240 KB with every zone took over a minute.
#[test]
fn a_name_longer_than_any_zone_is_not_compared() {
    assert!(zone(&"T/".repeat(100_000)).is_err());
}

#[test]
fn zones_and_what_was_meant() {
    assert!(zone("Asia/Tokyo").is_ok() && zone("UTC").is_ok());
    let cases = [
        ("Asia/Tokio", Some("Asia/Tokyo")),
        ("asia/tokyo", Some("Asia/Tokyo")),
        ("Tokyo", Some("Asia/Tokyo")),
        ("JST", Some("Asia/Tokyo")),
        ("Nowhere/Else", None),
    ];
    for (text, meant) in cases {
        let help = zone(text).unwrap_err().help.unwrap();
        match meant {
            Some(name) => assert_eq!(help, format!("did you mean `{name}`?")),
            None => assert!(help.starts_with("write a name"), "{help}"),
        }
    }
}

#[test]
fn what_people_write_to_each_other_is_told_in_the_words_of_files() {
    let help = |error: Unreadable| error.help.unwrap();
    for (written, meant) in [
        ("3日後", "3d"),
        ("１d", "1d"),
        ("3 d", "3d"),
        ("1 hour", "1h"),
        ("90分", "90m"),
        ("2週間後", "2w"),
        ("3ヶ月", "3mo"),
        ("３か月後", "3mo"),
        ("5日間", "5d"),
        ("1年", "1y"),
        ("2 Days", "2d"),
        ("3時間後", "3h"),
    ] {
        assert_eq!(help(offset(written).unwrap_err()), format!("write `{meant}`"), "{written}");
    }
    for (written, meant) in [
        ("9:00", "09:00"),
        ("19時", "19:00"),
        ("19時半", "19:30"),
        ("午後7時15分", "19:15"),
        ("7pm", "19:00"),
        ("7:30 AM", "07:30"),
        ("１９：００", "19:00"),
        ("12pm", "12:00"),
    ] {
        assert_eq!(help(time(written).unwrap_err()), format!("write `{meant}`"), "{written}");
    }
    for (written, meant) in [
        ("9:00-21:00", "09:00-21:00"),
        ("9:00~21:00", "09:00-21:00"),
        ("９時〜２１時", "09:00-21:00"),
        ("09:00 - 21:00", "09:00-21:00"),
        ("9時から21時まで", "09:00-21:00"),
        ("10-18", "10:00-18:00"),
    ] {
        assert_eq!(help(hours(written).unwrap_err()), format!("write `{meant}`"), "{written}");
    }
    for (written, meant) in
        [("2026/12/01", "2026-12-01"), ("2026年12月1日", "2026-12-01"), ("2026.1.5", "2026-01-05")]
    {
        assert_eq!(
            help(start_of(written, &TimeZone::UTC).unwrap_err()),
            format!("write `{meant}`"),
            "{written}"
        );
    }
    // what cannot be told keeps the help that tells the form
    for written in ["soon", "3 moons", "", "日", "25時"] {
        assert!(help(offset(written).unwrap_err()).starts_with("write a whole number"), "{written}");
        assert!(help(time(written).unwrap_err()).starts_with("write hours and minutes"), "{written}");
    }
    assert!(help(start_of("12月25日", &TimeZone::UTC).unwrap_err()).starts_with("write a date"));
    assert!(help(fixed("3ヶ月").unwrap_err()).starts_with("write a whole number and a unit of fixed length"));
    assert_eq!(help(fixed("3日").unwrap_err()), "write `3d`");
}
