//! The picture of a timeline: lanes, days as its axis, a mark for each thing that happens.
//!
//! Here is only geometry; the template draws it. The unit is one pixel of a wide screen.

use std::collections::BTreeSet;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};
use serde::Serialize;

use super::{Language, MAX_MEMBERS};

/// Marks that a lane shows; a lane with more is full from end to end.
pub const MAX_MARKS: usize = 200;

/// Weekends are shaded on a picture of at most so many days.
const MAX_SHADED_DAYS: i32 = 400;

/// The names of lanes stand left of the picture.
const GUTTER: f64 = 132.0;
const MARGIN: f64 = 14.0;
/// Days and weekdays stand above the lanes.
const TOP: f64 = 44.0;
const ROW: f64 = 22.0;
/// How near two marks in one row may come.
const APART: f64 = 21.0;
/// How far a mark may be pushed aside so that it does not cover the one before.
const MAX_PUSH: f64 = 46.0;
/// How wide the days may be together: the width of a page, and what one still likes to scroll.
const WIDTHS: (f64, f64) = (840.0, 2_400.0);

/// A row of marks with a name.
#[derive(Clone, Debug)]
pub struct Lane {
    pub name: String,
    pub marks: Vec<Mark>,
}

/// Something at a moment.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at: Timestamp,
    /// Where it was before it was moved, or began to wait.
    pub from: Option<Timestamp>,
    pub kind: Kind,
    /// What it is, in words.
    pub label: String,
}

/// What a mark stands for. The last three are for comparing two plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Entry,
    Message,
    /// It waits until then, and is not sent.
    Waiting,
    Done,
    Skipped,
    Failed,
    Goal,
    End,
    Appears,
    Moves,
    Vanishes,
}

impl Kind {
    fn word(self, language: Language) -> &'static str {
        let (english, japanese) = match self {
            Kind::Entry => ("entered", "開始"),
            Kind::Message => ("message", "メッセージ"),
            Kind::Waiting => ("waits", "待機"),
            Kind::Done => ("done", "処理"),
            Kind::Skipped => ("left out", "飛ばし"),
            Kind::Failed => ("cannot be sent", "送信不可"),
            Kind::Goal => ("goal reached", "目標達成"),
            Kind::End => ("ended", "終了"),
            Kind::Appears => ("appears", "追加"),
            Kind::Moves => ("moves", "変更"),
            Kind::Vanishes => ("vanishes", "取りやめ"),
        };
        match language {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }
}

/// The whole picture.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    gutter: f64,
    top: f64,
    weekends: Vec<Column>,
    ticks: Vec<Tick>,
    lanes: Vec<DrawnLane>,
    legend: Vec<Legend>,
    /// A word for the dashed lines, if there are any.
    moved: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Column {
    x: f64,
    width: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Tick {
    x: f64,
    label: String,
    below: String,
}

#[derive(Clone, Debug, Serialize)]
struct DrawnLane {
    y: f64,
    height: f64,
    middle: f64,
    name: String,
    short: String,
    marks: Vec<DrawnMark>,
}

#[derive(Clone, Debug, Serialize)]
struct DrawnMark {
    x: f64,
    y: f64,
    from: Option<f64>,
    kind: Kind,
    title: String,
}

#[derive(Clone, Debug, Serialize)]
struct Legend {
    kind: Kind,
    word: &'static str,
}

/// Days from left to right.
struct Axis {
    start: ZonedDateTime,
    /// Days, the first and the last among them.
    days: i32,
    width: f64,
    seconds: f64,
}

impl Axis {
    fn of(lanes: &[Lane], zone: &TimeZone) -> Option<Axis> {
        let moments = || {
            let marks = lanes.iter().flat_map(|lane| lane.marks.iter().take(MAX_MARKS));
            marks.flat_map(|mark| [mark.from.unwrap_or(mark.at), mark.at])
        };
        let start = moments().min()?.to_zoned_datetime(zone.clone()).start_of_day().ok()?;
        let last = moments().max()?.to_zoned_datetime(zone.clone()).start_of_day().ok()?;
        let end = last.tomorrow().ok()?;
        let days = start.date().until(end.date()).ok()?.get_days().max(1);
        let width = (f64::from(days) * 72.0).clamp(WIDTHS.0, WIDTHS.1);
        let seconds = end.timestamp().duration_since(start.timestamp()).as_secs_f64();
        Some(Axis { start, days, width, seconds })
    }

    fn x(&self, at: Timestamp) -> f64 {
        let passed = at.duration_since(self.start.timestamp()).as_secs_f64();
        GUTTER + self.width * passed / self.seconds
    }

    fn day(&self) -> f64 {
        self.width / f64::from(self.days)
    }

    fn after(&self, days: i32) -> Option<ZonedDateTime> {
        self.start.checked_add(Span::new().try_days(days).ok()?).ok()
    }

    fn weekends(&self) -> Vec<Column> {
        if self.days > MAX_SHADED_DAYS {
            return Vec::new();
        }
        let is_weekend = |day: &ZonedDateTime| matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        let days = (0..self.days).filter_map(|number| self.after(number)).filter(is_weekend);
        days.map(|day| Column { x: round(self.x(day.timestamp())), width: round(self.day()) }).collect()
    }

    /// Labels no nearer to each other than they are wide.
    fn ticks(&self, language: Language) -> Vec<Tick> {
        let day = self.day();
        let mut ticks = Vec::new();
        for number in 0..self.days {
            let Some(civil) = self.after(number) else { break };
            let is_labelled = match day {
                day if day >= 44.0 => true,
                day if day >= 7.0 => civil.weekday() == Weekday::Monday,
                day => {
                    // a month takes some thirty days, and its label seventy pixels
                    let every = (70.0 / (day * 30.0)).ceil().max(1.0) as i32;
                    civil.day() == 1 && (i32::from(civil.month()) - 1) % every.min(12) == 0
                }
            };
            // the first day says where it begins, also where the next label is far
            if is_labelled || (number == 0 && day < 44.0 && self.room_after_first(&civil, day)) {
                ticks.push(self.tick(&civil, language));
            }
            if day >= 220.0 {
                ticks.extend([6, 12, 18].into_iter().filter_map(|hour| {
                    let at = civil.checked_add(Span::new().hours(hour)).ok()?;
                    let label = at.strftime("%H:%M").to_string();
                    Some(Tick { x: round(self.x(at.timestamp())), label: String::new(), below: label })
                }));
            }
        }
        ticks
    }

    fn room_after_first(&self, first: &ZonedDateTime, day: f64) -> bool {
        let to_monday = (7 - i32::from(first.weekday().to_monday_zero_offset())) % 7;
        let to_month = i32::from(first.days_in_month()) - i32::from(first.day()) + 1;
        let next = if day >= 7.0 { to_monday } else { to_month };
        f64::from(next) * day >= 70.0
    }

    fn tick(&self, civil: &ZonedDateTime, language: Language) -> Tick {
        let (label, below) = match language {
            Language::English if self.day() < 7.0 => {
                (civil.strftime("%b").to_string(), civil.strftime("%Y").to_string())
            }
            Language::English => (civil.strftime("%-d %b").to_string(), civil.strftime("%a").to_string()),
            Language::Japanese if self.day() < 7.0 => {
                (civil.strftime("%-m月").to_string(), civil.strftime("%Y年").to_string())
            }
            Language::Japanese => {
                (civil.strftime("%-m/%-d").to_string(), format!("({})", weekday(civil.weekday())))
            }
        };
        Tick { x: round(self.x(civil.timestamp())), label, below }
    }
}

impl Drawing {
    /// None without a mark.
    pub(super) fn of(lanes: &[Lane], zone: &TimeZone, language: Language) -> Option<Drawing> {
        let lanes = &lanes[..lanes.len().min(MAX_MEMBERS)];
        let axis = Axis::of(lanes, zone)?;
        let mut y = TOP;
        let mut drawn = Vec::new();
        for lane in lanes {
            let (marks, rows) = place(&lane.marks[..lane.marks.len().min(MAX_MARKS)], &axis, y, language);
            let height = f64::from(rows) * ROW + 14.0;
            let middle = round(y + height / 2.0);
            let (name, short) = (lane.name.clone(), shortened(&lane.name));
            drawn.push(DrawnLane { y: round(y), height, middle, name, short, marks });
            y += height;
        }
        let kinds: BTreeSet<Kind> = drawn.iter().flat_map(|lane| &lane.marks).map(|mark| mark.kind).collect();
        let moved: Vec<&DrawnMark> =
            drawn.iter().flat_map(|lane| &lane.marks).filter(|mark| mark.from.is_some()).collect();
        let is_replanned = moved.iter().any(|mark| mark.kind == Kind::Moves);
        let moved = (!moved.is_empty()).then_some(match (language, is_replanned) {
            (Language::English, false) => "from when it was due to when it goes out",
            (Language::English, true) => "from where it was to where it is now",
            (Language::Japanese, false) => "本来の時刻から、実際の時刻まで",
            (Language::Japanese, true) => "変更前の時刻から、変更後の時刻まで",
        });
        Some(Drawing {
            width: round(GUTTER + axis.width + MARGIN),
            height: round(y + 6.0),
            gutter: GUTTER,
            top: TOP,
            weekends: axis.weekends(),
            ticks: axis.ticks(language),
            lanes: drawn,
            legend: kinds.into_iter().map(|kind| Legend { kind, word: kind.word(language) }).collect(),
            moved,
        })
    }
}

/// Marks where they belong, a little aside or in a row below where they would cover each other; and how many
/// rows that takes.
fn place(marks: &[Mark], axis: &Axis, y: f64, language: Language) -> (Vec<DrawnMark>, u32) {
    let mut sorted: Vec<&Mark> = marks.iter().collect();
    sorted.sort_by_key(|mark| mark.at);
    let mut ends: Vec<f64> = Vec::new();
    let drawn = sorted.into_iter().map(|mark| {
        let wanted = axis.x(mark.at).clamp(GUTTER + 9.0, GUTTER + axis.width - 4.0);
        let fits = |end: &f64| (end + APART - wanted).max(0.0) <= MAX_PUSH;
        let row = ends.iter().position(fits).unwrap_or(ends.len());
        let x = match ends.get(row) {
            Some(end) => wanted.max(end + APART),
            None => wanted,
        };
        match ends.get_mut(row) {
            Some(end) => *end = x,
            None => ends.push(x),
        }
        let civil = mark.at.to_zoned_datetime(axis.start.time_zone().clone());
        let time = match language {
            Language::English => civil.strftime("%-d %b %H:%M").to_string(),
            Language::Japanese => {
                format!(
                    "{}({}) {}",
                    civil.strftime("%-m/%-d"),
                    weekday(civil.weekday()),
                    civil.strftime("%H:%M")
                )
            }
        };
        DrawnMark {
            x: round(x),
            y: round(y + 7.0 + ROW * (row as f64 + 0.5)),
            from: mark.from.map(|from| round(axis.x(from))),
            kind: mark.kind,
            title: format!("{time}  {}", mark.label),
        }
    });
    let drawn = drawn.collect();
    (drawn, ends.len().max(1) as u32)
}

/// A name that fits left of its lane; signs that are not ASCII are taken to be twice as wide.
fn shortened(name: &str) -> String {
    const ROOM: usize = 17;
    let mut taken = 0;
    let mut short = String::new();
    for c in name.chars() {
        taken += if c.is_ascii() { 1 } else { 2 };
        if taken > ROOM {
            return short + "…";
        }
        short.push(c);
    }
    short
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The Japanese sign of a day of the week.
pub fn weekday(day: Weekday) -> char {
    match day {
        Weekday::Monday => '月',
        Weekday::Tuesday => '火',
        Weekday::Wednesday => '水',
        Weekday::Thursday => '木',
        Weekday::Friday => '金',
        Weekday::Saturday => '土',
        Weekday::Sunday => '日',
    }
}
