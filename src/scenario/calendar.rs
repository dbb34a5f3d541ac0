//! Which civil dates are workdays: the public holidays of Japan, weekdays, and the days an operator is
//! closed, with the texts that name them: `mon-fri`, `12-29..01-03`.
//!
//! It counts in dates alone and refuses to know zones and times of day.

use std::iter;

use jiff::civil::{Date, Weekday};

use crate::scenario::finding::closest;
use crate::scenario::written::Unreadable;

/// How many days in a row may be no workday before a search gives up: a closed year and its weekends, so
/// that only a list that closes everything, or nearly, is given up on.
pub const MAX_DAYS_WITHOUT_WORKDAY: usize = 400;

/// The public holiday of Japan on that date, by its name in the list of the Cabinet Office.
///
/// A substitute holiday and a day between two holidays are both `休日`. From 2007 on it is what the law
/// says, as it stood in 2026; earlier years are judged by the rules of 2007 and are approximate. The
/// equinoxes are computed, for 1980 to 2099 (outside, the nearest of these years stands in); what counts
/// in law is the day that is announced in the February before.
///
/// Source: 国民の祝日に関する法律 (昭和23年法律第178号), articles 2 and 3; its exceptions of 2019
/// (平成30年法律第99号), 2020 (平成30年法律第55号) and 2021 (令和2年法律第68号).
pub fn holiday(date: Date) -> Option<&'static str> {
    named_holiday(date).or_else(|| (is_substitute(date) || is_between_holidays(date)).then_some("休日"))
}

/// Days of the week; one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekdays {
    /// Monday is the lowest bit.
    bits: u8,
}

impl Weekdays {
    pub fn contains(self, day: Weekday) -> bool {
        self.bits & bit(day) != 0
    }

    #[must_use]
    pub fn union(self, other: Weekdays) -> Weekdays {
        Weekdays { bits: self.bits | other.bits }
    }

    /// That date or the first after it on one of these days; none past the last date there is.
    pub fn next_from(self, date: Date) -> Option<Date> {
        onwards(date).find(|day| self.contains(day.weekday()))
    }

    /// That date or the last before it on one of these days; none before the first date there is.
    pub fn last_until(self, date: Date) -> Option<Date> {
        backwards(date).find(|day| self.contains(day.weekday()))
    }
}

/// Reads a weekday or a range of them, both ends included: `mon`, `mon-fri`, `sat-mon`.
///
/// # Errors
/// Anything else, and a range that ends where it starts.
pub fn weekdays(text: &str) -> Result<Weekdays, Unreadable> {
    let refuse = |what: &str, help| unreadable(format!("`{text}` {what}"), help);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let Some((first_day, last_day)) = weekday(first).zip(weekday(last)) else {
        let help = meant_weekdays(text).unwrap_or_else(|| WEEKDAYS_HELP.into());
        return Err(refuse("is not a weekday or a range of weekdays", help));
    };
    if first_day == last_day && text != first {
        let help = format!("write `{first}` for the one day, or `mon-sun` for the whole week");
        return Err(refuse("is a range that ends where it starts", help));
    }
    let days = iter::successors(Some(first_day), |day| (*day != last_day).then(|| day.next()));
    Ok(Weekdays { bits: days.fold(0, |bits, day| bits | bit(day)) })
}

/// One entry of a list of closed days: a date or a range of dates, of one year or of every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedDays {
    days: Range,
}

impl ClosedDays {
    pub fn covers(&self, date: Date) -> bool {
        let day = (date.month(), date.day());
        match self.days {
            Range::Once { first, last } => first <= date && date <= last,
            Range::Yearly { first, last } if first <= last => first <= day && day <= last,
            // over the new year
            Range::Yearly { first, last } => first <= day || day <= last,
        }
    }
}

/// Reads closed days: `2026-12-29`, `2026-12-29..2027-01-03` with both ends, or for every year `12-31`,
/// `12-29..01-03`, which may pass the new year. `02-29` is a day of leap years alone.
///
/// # Errors
/// Anything else, dates that do not exist, a range with years that ends before it starts, and one that has
/// a year at one end only.
pub fn closed(text: &str) -> Result<ClosedDays, Unreadable> {
    let refuse = |what: &str, help: &str| Err(unreadable(format!("`{text}` {what}"), help.into()));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let Some((first, last)) = written_day(first).zip(written_day(last)) else {
        let help = meant_closed(text).unwrap_or_else(|| CLOSED_HELP.into());
        return refuse("is not a date or a range of dates", &help);
    };
    match (first.day()?, last.day()?) {
        (Day::Once(first), Day::Once(last)) if last < first => {
            let help = "write the earlier date first; over the new year: 2026-12-29..2027-01-03";
            refuse("ends before it starts", help)
        }
        (Day::Once(first), Day::Once(last)) => Ok(ClosedDays { days: Range::Once { first, last } }),
        (Day::Yearly(first), Day::Yearly(last)) => Ok(ClosedDays { days: Range::Yearly { first, last } }),
        _ => {
            refuse("has a year at one end only", "write the year at both ends, or at neither for every year")
        }
    }
}

/// Which days are workdays: Monday to Friday but for public holidays and closed days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workdays {
    closed: Vec<ClosedDays>,
}

impl Workdays {
    pub fn new(closed: Vec<ClosedDays>) -> Workdays {
        Workdays { closed }
    }

    pub fn is_workday(&self, date: Date) -> bool {
        !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
            && !self.closed.iter().any(|days| days.covers(date))
            && holiday(date).is_none()
    }

    /// That date or the first workday after it; none if [`MAX_DAYS_WITHOUT_WORKDAY`] or the end of the
    /// calendar come first.
    pub fn next_from(&self, date: Date) -> Option<Date> {
        onwards(date).take(MAX_DAYS_WITHOUT_WORKDAY).find(|day| self.is_workday(*day))
    }

    /// That date or the last workday before it; none as in [`Workdays::next_from`].
    pub fn last_until(&self, date: Date) -> Option<Date> {
        backwards(date).take(MAX_DAYS_WITHOUT_WORKDAY).find(|day| self.is_workday(*day))
    }

    /// The so-many-th workday after that date, or before it for a number below 0; for 0 as
    /// [`Workdays::next_from`].
    ///
    /// The date itself need not be a workday and is not counted: both 1 from a Friday and 1 from the
    /// Sunday after it are the Monday. None as in [`Workdays::next_from`].
    pub fn add(&self, date: Date, days: i32) -> Option<Date> {
        let mut counted = 0..days.unsigned_abs();
        match days {
            0 => self.next_from(date),
            1.. => counted.try_fold(date, |day, _| self.next_from(day.tomorrow().ok()?)),
            _ => counted.try_fold(date, |day, _| self.last_until(day.yesterday().ok()?)),
        }
    }
}

/// A holiday that has a name in the law, or that a law of its year alone makes one.
fn named_holiday(date: Date) -> Option<&'static str> {
    let (year, day) = (date.year(), date.day());
    let is_monday = |which: i8| date.weekday() == Weekday::Monday && (day - 1) / 7 + 1 == which;
    // the Olympic Games moved three holidays in these years
    let is_as_ever = !matches!(year, 2020 | 2021);
    Some(match (date.month(), day) {
        (1, 1) => "元日",
        (1, _) if is_monday(2) => "成人の日",
        (2, 11) => "建国記念の日",
        (2, 23) if year >= 2020 => "天皇誕生日",
        (3, _) if day == spring_equinox(year) => "春分の日",
        (4, 29) => "昭和の日",
        (5, 1) if year == 2019 => "休日（祝日扱い）",
        (5, 3) => "憲法記念日",
        (5, 4) => "みどりの日",
        (5, 5) => "こどもの日",
        (7, 23) if year == 2020 => "海の日",
        (7, 22) if year == 2021 => "海の日",
        (7, _) if is_as_ever && is_monday(3) => "海の日",
        (7, 24) if year == 2020 => "スポーツの日",
        (7, 23) if year == 2021 => "スポーツの日",
        (8, 10) if year == 2020 => "山の日",
        (8, 8) if year == 2021 => "山の日",
        (8, 11) if is_as_ever && year >= 2016 => "山の日",
        (9, _) if is_monday(3) => "敬老の日",
        (9, _) if day == autumn_equinox(year) => "秋分の日",
        (10, _) if year <= 2018 && is_monday(2) => "体育の日",
        (10, _) if year == 2019 && is_monday(2) => "体育の日（スポーツの日）",
        (10, _) if is_as_ever && is_monday(2) => "スポーツの日",
        (10, 22) if year == 2019 => "休日（祝日扱い）",
        (11, 3) => "文化の日",
        (11, 23) => "勤労感謝の日",
        (12, 23) if year <= 2018 => "天皇誕生日",
        _ => return None,
    })
}

/// Article 3(2): the first day without a name after one that falls on a Sunday.
fn is_substitute(date: Date) -> bool {
    backwards(date)
        .skip(1)
        .take_while(|day| named_holiday(*day).is_some())
        .any(|day| day.weekday() == Weekday::Sunday)
}

/// Article 3(3): both the day before and the day after have names.
fn is_between_holidays(date: Date) -> bool {
    let is_named = |day: Result<Date, jiff::Error>| day.is_ok_and(|day| named_holiday(day).is_some());
    is_named(date.yesterday()) && is_named(date.tomorrow())
}

fn spring_equinox(year: i16) -> i8 {
    equinox(year, 20_843_100)
}

fn autumn_equinox(year: i16) -> i8 {
    equinox(year, 23_248_800)
}

/// The day of the month; `in_1980` is the moment in March or September 1980, in millionths of a day.
///
/// The short formula in common use: 0.242194 days later every year, a day earlier after each leap day.
/// Source: 海上保安庁水路部 暦計算研究会編『新こよみ便利帳』.
fn equinox(year: i16, in_1980: i32) -> i8 {
    let years = i32::from(year.clamp(1980, 2099)) - 1980;
    let day = (in_1980 + years * 242_194) / 1_000_000 - years / 4;
    i8::try_from(day).expect("it stays between 19 and 24 in these years")
}

fn onwards(date: Date) -> impl Iterator<Item = Date> {
    iter::successors(Some(date), |day| day.tomorrow().ok())
}

fn backwards(date: Date) -> impl Iterator<Item = Date> {
    iter::successors(Some(date), |day| day.yesterday().ok())
}

const WEEKDAYS_HELP: &str =
    "write a day or a range of days: mon, mon-fri, sat-mon (mon, tue, wed, thu, fri, sat, sun)";
const CLOSED_HELP: &str = "write a date or a range of dates, the month before the day: 2026-12-29, \
     2026-12-29..2027-01-03, or for every year 12-31, 12-29..01-03";

fn unreadable(message: String, help: String) -> Unreadable {
    Unreadable { code: "invalid-value", message, help: Some(help) }
}

/// In order, Monday first; a file has the first three letters.
const WEEKDAY_NAMES: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

fn weekday(text: &str) -> Option<Weekday> {
    let place = WEEKDAY_NAMES.iter().position(|name| &name[..3] == text)?;
    Weekday::from_monday_zero_offset(place as i8).ok()
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

/// Other spellings: `Monday`, `MON - FRI`.
fn meant_weekdays(text: &str) -> Option<String> {
    const OTHER_NAMES: [(&str, &str); 11] = [
        ("平日", "mon-fri"),
        ("weekdays", "mon-fri"),
        ("土日", "sat-sun"),
        ("weekend", "sat-sun"),
        ("月", "mon"),
        ("火", "tue"),
        ("水", "wed"),
        ("木", "thu"),
        ("金", "fri"),
        ("土", "sat"),
        ("日", "sun"),
    ];
    let plain = text.trim().trim_end_matches("曜日").trim_end_matches('曜');
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(name, _)| *name == plain) {
        return Some(format!("write `{ours}`"));
    }
    let names = || WEEKDAY_NAMES.iter().flat_map(|name| [&name[..3], *name]);
    let words: Option<Vec<&str>> =
        text.split('-').map(|word| closest(word.trim(), names()).map(|name| &name[..3])).collect();
    let near = words?.join("-");
    (near != text && weekdays(&near).is_ok()).then(|| format!("did you mean `{near}`?"))
}

/// Other signs: `2026/12/29`, `12-29 〜 01-03`.
fn meant_closed(text: &str) -> Option<String> {
    let near = text.replace(' ', "").replace('/', "-").replace(['~', '〜', '～'], "..");
    (near != text && closed(&near).is_ok()).then(|| format!("did you mean `{near}`?"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Once { first: Date, last: Date },
    Yearly { first: MonthAndDay, last: MonthAndDay },
}

/// A day of some leap year.
type MonthAndDay = (i8, i8);

enum Day {
    Once(Date),
    Yearly(MonthAndDay),
}

/// A day by its numbers, which need not exist.
struct WrittenDay<'a> {
    text: &'a str,
    year: Option<i16>,
    month: i8,
    day: i8,
}

/// Reads `YYYY-MM-DD` and `MM-DD`.
fn written_day(text: &str) -> Option<WrittenDay<'_>> {
    let is_number = |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
    let (rest, day) = text.rsplit_once('-')?;
    let (year, month) = match rest.split_once('-') {
        Some((year, month)) => (Some(year), month),
        None => (None, rest),
    };
    if !is_number(month, 2) || !is_number(day, 2) || !year.is_none_or(|year| is_number(year, 4)) {
        return None;
    }
    let year = year.map(str::parse).transpose().ok()?;
    Some(WrittenDay { text, year, month: month.parse().ok()?, day: day.parse().ok()? })
}

impl WrittenDay<'_> {
    fn day(&self) -> Result<Day, Unreadable> {
        let WrittenDay { text, year, month, day } = *self;
        // every day of any year exists in a leap year
        const LEAP_YEAR: i16 = 2000;
        if let Ok(date) = Date::new(year.unwrap_or(LEAP_YEAR), month, day) {
            return Ok(year.map_or(Day::Yearly((month, day)), |_| Day::Once(date)));
        }
        let month_end = Date::new(year.unwrap_or(LEAP_YEAR), month, 1).ok().map(Date::last_of_month);
        let help = match month_end {
            Some(end) if end.day() < day => {
                format!("the last day of that month is {}{}", &text[..text.len() - 2], end.day())
            }
            _ => CLOSED_HELP.into(),
        };
        Err(unreadable(format!("there is no `{text}` in the calendar"), help))
    }
}

#[cfg(test)]
mod tests;
