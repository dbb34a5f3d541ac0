//! Cron patterns as people write them in scenario files: `0 9 * * mon`.
//!
//! croner reads a pattern and says which days, hours and minutes it names. Days are counted and
//! civil times become instants by jiff, so that chrono and its zones stay outside. The module refuses
//! to know the time, and what happens at a tick.

use std::fmt;

use croner::parser::{CronParser, Seconds};
use croner::{Direction, TimeComponent};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

use crate::scenario::written::Unreadable;

/// The longest wait for a tick of any pattern, in years: for a 29 February on a Sunday, from 2088 to 2128.
const MAX_WAIT_YEARS: i64 = 40;

/// The most civil minutes that a search for one tick looks at: the gap that may lie behind, the
/// repeated hours and the gap that may lie ahead, a day each.
const MAX_CANDIDATES: usize = 3 * 24 * 60;

/// The most civil time that a zone has skipped at once. Source: IANA database, Pacific/Apia went without
/// 2011-12-30.
const LONGEST_GAP: SignedDuration = SignedDuration::from_hours(24);

const FIVE_FIELDS: &str = "write five fields: minute, hour, day of the month, month, day of the week; \
    `0 9 * * mon` is each Monday at 09:00";

/// The minutes of civil time at which something is done again and again.
///
/// Two are equal if they are written alike.
#[derive(Clone)]
pub struct Cron {
    text: String,
    read: croner::Cron,
}

/// Reads a cron pattern of five fields: minute (0 to 59), hour (0 to 23), day of the month (1 to 31),
/// month (1 to 12, or jan to dec) and day of the week (0 to 7, or sun to sat; 0 and 7 are Sunday).
///
/// A field is `*`, or a list with commas of values, ranges (`9-17`) and steps (`*/15`, `9-17/2`). Names
/// are of any case. The day of the month may be `L`, its last day.
///
/// If both the day of the month and the day of the week are given, **both must match**:
/// `0 9 1-7 * mon` is the first Monday of a month. tokio-cron-scheduler reads them so; the cron of Unix
/// takes a day that matches either.
///
/// # Errors
/// Another number of fields, a nickname such as `@daily`, a value out of range, a range that does not
/// go upwards, a step longer than what it steps over, and a pattern that never comes (`0 0 30 2 *`).
pub fn cron(text: &str) -> Result<Cron, Unreadable> {
    if let Some(stranger) = text.chars().find(|c| !c.is_ascii()) {
        let help = half_width(text).filter(|narrow| cron(narrow).is_ok());
        let help = help.map_or(FIVE_FIELDS.into(), |narrow| format!("write it in half width: `{narrow}`"));
        return Err(refuse(text, format!("it has the character `{stranger}`"), help));
    }
    if text.starts_with('@') {
        let meaning = NICKNAMES.iter().find(|(nickname, _)| text.eq_ignore_ascii_case(nickname));
        let help = meaning.map_or(FIVE_FIELDS.into(), |(_, fields)| format!("write `{fields}`"));
        return Err(refuse(text, "nicknames are not taken", help));
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let without_seconds = fields.get(1..).map(|rest| rest.join(" ")).filter(|rest| cron(rest).is_ok());
        let help = without_seconds.map_or(FIVE_FIELDS.into(), |rest| {
            format!("seconds are not supported, leave out the first field: `{rest}`")
        });
        return Err(refuse(text, format!("it has {} of 5 fields", fields.len()), help));
    }
    for (field, written) in FIELDS.iter().zip(fields) {
        // croner passes over what is empty in a list
        for item in written.split(',').filter(|_| written != "*") {
            let shown = if item.is_empty() { written } else { item };
            let what = || format!("the {} cannot be `{shown}`", field.name);
            field.check(item).map_err(|help| refuse(text, what(), help))?;
        }
    }
    // as the scheduler reads it
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
    let read =
        parser.parse(&with_seconds(text)).map_err(|error| refuse(text, error.to_string(), FIVE_FIELDS))?;
    let cron = Cron { text: text.to_owned(), read };
    // between two century years every date meets every weekday within 28 years
    if cron.minute_from(Date::constant(2001, 1, 1).to_datetime(Time::midnight())).is_none() {
        return Err(refuse(text, "it never comes", "none of its months has such a day"));
    }
    Ok(cron)
}

impl Cron {
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// The six-field pattern that tokio-cron-scheduler wants: at second 0.
    pub fn with_seconds(&self) -> String {
        with_seconds(&self.text)
    }

    /// The first tick after `after`, which is none itself.
    ///
    /// Ticks are civil minutes of `zone`. One that the clocks skip over ticks later by as much as was
    /// skipped, and once only if another ticks there anyway: when 02:00 becomes 03:00, `30 2 * * *`
    /// ticks at 03:30, and `*/30 * * * *` at 03:00 and 03:30, as on any day. One that comes twice ticks
    /// at the earlier: while an hour is repeated, `*/30 * * * *` is silent.
    ///
    /// None only if no tick comes before the end of the year 9999.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = pending_from(after, zone);
        let mut out_of_a_gap: Option<Timestamp> = None;
        for _ in 0..MAX_CANDIDATES {
            let Some(minute) = self.minute_from(from) else { break };
            let reading = zone.to_ambiguous_timestamp(minute);
            let skipped = matches!(reading.offset(), AmbiguousOffset::Gap { .. });
            // a civil time at either end of all time may be no instant
            if let Some(tick) = reading.compatible().ok().filter(|tick| *tick > after) {
                let earliest = out_of_a_gap.map_or(tick, |other| other.min(tick));
                if !skipped {
                    return Some(earliest);
                }
                // a minute behind the gap may tick before it
                out_of_a_gap = Some(earliest);
            }
            let Ok(following) = minute.checked_add(Span::new().minutes(1)) else { break };
            from = following;
        }
        out_of_a_gap
    }

    /// The first minute of the pattern that is not before the minute of `from`, whatever the zone.
    fn minute_from(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), from.time());
        let last = date.saturating_add(Span::new().years(MAX_WAIT_YEARS));
        while date <= last {
            let in_month = self.names_month(date);
            if in_month
                && self.names_day(date)
                && let Some(time) = self.time_from(time)
            {
                return Some(date.to_datetime(time));
            }
            let passed = if in_month { date } else { date.last_of_month() };
            date = passed.tomorrow().ok()?;
            time = Time::midnight();
        }
        None
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        let this_hour = self.value_from(TimeComponent::Hour, from.hour()).filter(|hour| *hour == from.hour());
        let this_hour = this_hour.zip(self.value_from(TimeComponent::Minute, from.minute()));
        let later_hour = || {
            let hour = self.value_from(TimeComponent::Hour, from.hour() + 1)?;
            Some((hour, self.value_from(TimeComponent::Minute, 0)?))
        };
        let (hour, minute) = this_hour.or_else(later_hour)?;
        Time::new(hour, minute, 0, 0).ok()
    }

    /// The first value of the field that is not below `from`; none for a `from` that is out of range.
    fn value_from(&self, field: TimeComponent, from: i8) -> Option<i8> {
        let from = u32::try_from(from).ok()?;
        let found = self.read.pattern.find_match_in_component(from, field, Direction::Forward);
        i8::try_from(found.ok()??).ok()
    }

    fn names_month(&self, date: Date) -> bool {
        let month = date.month().unsigned_abs().into();
        self.read.pattern.month_match(month).expect("a date has a month of 1 to 12")
    }

    fn names_day(&self, date: Date) -> bool {
        let (month, day) = (date.month().unsigned_abs().into(), date.day().unsigned_abs().into());
        self.read.pattern.day_match(date.year().into(), month, day).expect("a date is in the calendar")
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

/// The earliest civil time that may tick after `after`.
///
/// That is the civil time of `after` itself; but within the length of a gap after it, what was skipped
/// is still to come.
fn pending_from(after: Timestamp, zone: &TimeZone) -> DateTime {
    let offset = zone.to_offset(after);
    let yesterday = after.checked_sub(LONGEST_GAP).map_or(offset, |earlier| zone.to_offset(earlier));
    offset.min(yesterday).to_datetime(after)
}

fn with_seconds(text: &str) -> String {
    format!("0 {text}")
}

fn refuse(text: &str, what: impl fmt::Display, help: impl Into<String>) -> Unreadable {
    let message = format!("`{text}` is not a cron pattern: {what}");
    Unreadable { code: "invalid-cron", message, help: Some(help.into()) }
}

/// The same in ASCII, if it is ASCII written in full width, as Japanese keyboards do.
fn half_width(text: &str) -> Option<String> {
    let narrow = |c: char| match c {
        '\u{3000}' => Some(' '),
        // the block has the order of ASCII
        '！'..='～' => char::from_u32(u32::from(c) - u32::from('！') + u32::from('!')),
        c => c.is_ascii().then_some(c),
    };
    text.chars().map(narrow).collect()
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * sun"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What a field of a pattern may hold. croner takes more than is meant, `mon` for a minute and every
/// 90th minute among it, and does not say which field is wrong.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Of the values from `first` on.
    names: &'static [&'static str],
}

const DAY_OF_MONTH: &str = "day of the month";
const DAY_OF_WEEK: &str = "day of the week";

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: DAY_OF_MONTH, first: 1, last: 31, names: &[] },
    Field {
        name: "month",
        first: 1,
        last: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { name: DAY_OF_WEEK, first: 0, last: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

impl Field {
    /// Looks at one item of the list in a field.
    ///
    /// # Errors
    /// It cannot stand there; what to write.
    fn check(&self, item: &str) -> Result<(), String> {
        let (part, step) = item.split_once('/').map_or((item, None), |(part, step)| (part, Some(step)));
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => self.range(from, to)?,
            None if step.is_some() && part == "*" => (self.first, self.last),
            None if step.is_some() => {
                return Err("a step goes over `*` or a range: `*/15`, `10-50/20`".into());
            }
            None if self.name == DAY_OF_MONTH && part.eq_ignore_ascii_case("l") => return Ok(()),
            None => return self.value(part).map(drop),
        };
        let steps = 1..=to - from;
        match step {
            Some(step) if !number(step).is_some_and(|step| steps.contains(&step)) => {
                Err(format!("a step is 1 to {} here", steps.end()))
            }
            _ => Ok(()),
        }
    }

    fn range(&self, from: &str, to: &str) -> Result<(u8, u8), String> {
        let (first, mut last) = (self.value(from)?, self.value(to)?);
        // Sunday ends a week as well as it starts one
        if to.eq_ignore_ascii_case("sun") && !from.eq_ignore_ascii_case(to) {
            last = self.last;
        }
        if first >= last {
            let help = "a range goes upwards: `22-23,0-2` is from 22 to 2, `fri-sat,sun-mon` from fri to mon";
            return Err(help.into());
        }
        Ok((first, last))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = (self.first..).zip(self.names).find(|(_, name)| text.eq_ignore_ascii_case(name));
        (named.map(|(value, _)| value).or_else(|| number(text)))
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| self.help(text))
    }

    fn help(&self, text: &str) -> String {
        let Field { name, first, last, names } = self;
        let is_day = [DAY_OF_MONTH, DAY_OF_WEEK].contains(name);
        if is_day && (text.contains(['#', '?']) || text.to_ascii_uppercase().ends_with(['L', 'W'])) {
            return "of L, W, # and ? only L alone is taken, as the last day of the month; \
                    `0 9 1-7 * mon` is the first Monday of a month"
                .into();
        }
        match (names.first(), names.last()) {
            (Some(one), Some(other)) => {
                format!("write the {name} as {first} to {last}, or {one} to {other}")
            }
            _ => format!("write the {name} as {first} to {last}"),
        }
    }
}

/// One or two digits.
fn number(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
