//! Times as people write them in scenario files and in the configuration: `3d`, `19:00`,
//! `09:00-21:00`, `Asia/Tokyo`.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use crate::scenario::finding::{Finding, Place, did_you_mean};
use crate::scenario::{Hours, Offset};

mod meant;

/// The longest length of time that a file may name, in days: ten years.
pub const MAX_OFFSET_DAYS: i64 = 3_660;

/// The pattern of [`offset`], for editors.
pub const OFFSET_PATTERN: &str = "^0*[1-9][0-9]*(s|m|h|d|w|mo|y)$";
/// The pattern of [`fixed`], for editors.
pub const FIXED_PATTERN: &str = "^0*[1-9][0-9]*(s|m|h|d|w)$";
/// The pattern of [`time`], for editors.
pub const TIME_PATTERN: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// The pattern of [`hours`], for editors.
pub const HOURS_PATTERN: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

/// Why a text is not what it should be, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
}

impl Unreadable {
    fn new(code: &'static str, message: String, help: impl Into<String>) -> Unreadable {
        Unreadable { code, message, help: Some(help.into()) }
    }

    /// Says to write what was meant, where that can be told.
    fn or_meant(self, meant: Option<String>) -> Unreadable {
        match meant {
            Some(meant) => Unreadable { help: Some(format!("write `{meant}`")), ..self },
            None => self,
        }
    }

    pub fn at(self, place: &Place) -> Finding {
        Finding::error(place, self.code, self.message).help_if(self.help)
    }
}

const UNITS: [(&str, i64); 7] = [
    ("s", 1),
    ("m", 60),
    ("h", 3_600),
    ("d", 86_400),
    ("w", 7 * 86_400),
    ("mo", 30 * 86_400),
    ("y", 365 * 86_400),
];

/// Reads a length of time: a whole number above 0 and one of the units s, m, h, d, w, mo, y.
///
/// # Errors
/// Anything else, and more than ten years.
pub fn offset(text: &str) -> Result<Offset, Unreadable> {
    let help = "write a whole number and a unit: 90m, 3d, 3mo (s, m, h, d, w, mo, y)";
    let (number, unit) = number_and_unit(text, help).map_err(|error| error.or_meant(meant::offset(text)))?;
    // no more than ten years of seconds, so that nothing below can overflow
    Ok(match unit {
        "s" => Offset::Exact(SignedDuration::from_secs(number)),
        "m" => Offset::Exact(SignedDuration::from_mins(number)),
        "h" => Offset::Exact(SignedDuration::from_hours(number)),
        "d" => Offset::Civil(Span::new().days(number)),
        "w" => Offset::Civil(Span::new().weeks(number)),
        "mo" => Offset::Civil(Span::new().months(number)),
        _ => Offset::Civil(Span::new().years(number)),
    })
}

/// Reads a length of time of fixed size, whatever the calendar: units s, m, h, d (24 hours), w.
///
/// # Errors
/// Anything else, and more than ten years.
pub fn fixed(text: &str) -> Result<SignedDuration, Unreadable> {
    let help = "write a whole number and a unit of fixed length: 90m, 6h, 2d (s, m, h, d, w)";
    let meant = || meant::offset(text).filter(|meant| fixed(meant).is_ok());
    let (number, unit) = number_and_unit(text, help).map_err(|error| error.or_meant(meant()))?;
    if matches!(unit, "mo" | "y") {
        let message = format!("`{text}` has no fixed length");
        return Err(Unreadable::new("invalid-duration", message, help));
    }
    Ok(SignedDuration::from_secs(number * seconds_of(unit)))
}

fn number_and_unit<'a>(text: &'a str, help: &str) -> Result<(i64, &'a str), Unreadable> {
    let refuse = |message: String| Unreadable::new("invalid-duration", message, help);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if !UNITS.iter().any(|(known, _)| *known == unit) || number.is_empty() {
        return Err(refuse(format!("`{text}` is not a length of time")));
    }
    let number: i64 = number.parse().unwrap_or(i64::MAX);
    if number == 0 {
        return Err(refuse(format!("`{text}` is no time at all")));
    }
    if number.saturating_mul(seconds_of(unit)) > MAX_OFFSET_DAYS * 86_400 {
        return Err(refuse(format!("`{text}` is more than ten years")));
    }
    Ok((number, unit))
}

fn seconds_of(unit: &str) -> i64 {
    UNITS.iter().find(|(known, _)| *known == unit).map_or(1, |(_, seconds)| *seconds)
}

/// Reads a time of day, `00:00` to `23:59`.
///
/// # Errors
/// Anything else.
pub fn time(text: &str) -> Result<Time, Unreadable> {
    let help = "write hours and minutes in two digits each: \"09:00\", \"19:30\"";
    let refuse = || {
        let error = Unreadable::new("invalid-time", format!("`{text}` is not a time of day"), help);
        error.or_meant(meant::time(text))
    };
    let minute = minute_of_day(text).filter(|minute| *minute < 24 * 60).ok_or_else(refuse)?;
    let (hour, minute) = (minute / 60, minute % 60);
    Time::new(hour as i8, minute as i8, 0, 0).map_err(|_| refuse())
}

/// Reads a send window, `09:00-21:00`; one that passes midnight ends before it starts.
///
/// # Errors
/// Anything else, a window that ends where it starts, and one that starts at 24:00.
pub fn hours(text: &str) -> Result<Hours, Unreadable> {
    let help = "write two times of day: 09:00-21:00, or 00:00-24:00 for the whole day";
    let refuse = |what: &str| {
        let error = Unreadable::new("invalid-hours", format!("`{text}` {what}"), help);
        error.or_meant(meant::hours(text))
    };
    let bounds = (text.split_once('-'))
        .and_then(|(start, end)| Some((minute_of_day(start)?, minute_of_day(end)?)))
        .filter(|(start, _)| *start < 24 * 60);
    let (start_minute, end_minute) = bounds.ok_or_else(|| refuse("is not a send window"))?;
    if start_minute == end_minute || (end_minute == 0 && start_minute == 24 * 60) {
        return Err(refuse("is a window that ends where it starts"));
    }
    // midnight as an end is the end of the day
    let end_minute = if end_minute == 0 { 24 * 60 } else { end_minute };
    Ok(Hours { start_minute, end_minute })
}

/// `HH:MM` as minutes, up to 24:00.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

/// Reads a share of members, `10%` or `2.5%`, as hundredths of a percent.
///
/// # Errors
/// Anything else; nobody, and everybody.
pub fn share(text: &str) -> Result<u32, Unreadable> {
    let help = "write a share between 0 and 100 with %: 10%, 2.5%";
    let refuse = |what: &str| Unreadable::new("invalid-share", format!("`{text}` {what}"), help);
    let number = text.strip_suffix('%').ok_or_else(|| refuse("is not a share"))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str, most: usize| -> Option<u32> {
        let well_formed = (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        well_formed.then(|| part.parse().ok())?
    };
    let (whole, hundredths) =
        digits(whole, 3).zip(digits(part, 2)).ok_or_else(|| refuse("is not a share"))?;
    let share = whole * 100 + if part.len() == 1 { hundredths * 10 } else { hundredths };
    match share {
        0 => Err(refuse("is nobody")),
        1..10_000 => Ok(share),
        10_000.. => Err(refuse("is everybody: nothing would ever be sent")),
    }
}

/// Reads a date, as its start, or a date and time, in `zone`.
///
/// # Errors
/// Anything else.
pub fn start_of(text: &str, zone: &TimeZone) -> Result<Timestamp, Unreadable> {
    crate::scenario::program::parse_instant(text, zone).ok_or_else(|| no_instant(text))
}

/// Reads a date, as the end of that day, or a date and time, in `zone`.
///
/// # Errors
/// Anything else.
pub fn end_of(text: &str, zone: &TimeZone) -> Result<Timestamp, Unreadable> {
    match text.parse::<Date>() {
        Ok(date) if text.len() == "2026-12-25".len() => {
            let next = date.tomorrow().map_err(|_| no_instant(text))?;
            start_of(&next.to_string(), zone)
        }
        _ => start_of(text, zone),
    }
}

fn no_instant(text: &str) -> Unreadable {
    let help = "write a date, 2026-12-25, or a date and time, 2026-12-25T18:00";
    let error =
        Unreadable::new("invalid-instant", format!("`{text}` is not a date or a date and time"), help);
    error.or_meant(meant::date(text))
}

/// Finds a time zone of the IANA database by its name.
///
/// # Errors
/// No such name; the nearest is suggested.
pub fn zone(text: &str) -> Result<TimeZone, Unreadable> {
    // jiff takes any case; one spelling keeps files and logs alike
    let known = jiff::tz::db().available().any(|name| name.as_str() == text);
    match TimeZone::get(text) {
        Ok(zone) if known => Ok(zone),
        _ => {
            let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let help = suggest_zone(text, &names)
                .unwrap_or_else(|| "write a name of the IANA database, for example Asia/Tokyo".into());
            Err(Unreadable::new("invalid-zone", format!("`{text}` is not a time zone"), help))
        }
    }
}

/// Near names first, then the city alone: `Tokyo`, `JST`.
fn suggest_zone(text: &str, names: &[String]) -> Option<String> {
    if text == "JST" {
        return Some("did you mean `Asia/Tokyo`?".into());
    }
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    did_you_mean(text, names.iter().map(String::as_str)).or_else(|| {
        let wanted = city(text);
        let same = names.iter().find(|name| name.contains('/') && city(name) == wanted)?;
        Some(format!("did you mean `{same}`?"))
    })
}

#[cfg(test)]
mod tests;
