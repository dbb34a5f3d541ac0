//! A line a happening, for reading in a terminal.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::words::{Lang, because};
use crate::dispatch::rehearsal::Line;
use crate::model::What;
use crate::page::bubble::bubbles;
use crate::page::{Language, weekday};
use crate::scenario::ScenarioSet;

/// Writes a happening, its messages as the member sees them, and where they are asked for, its reasons.
pub(super) fn write_line(
    out: &mut String,
    line: &Line,
    why: Option<&[String]>,
    scenarios: &ScenarioSet,
    zone: &TimeZone,
    lang: Lang,
) {
    let happening = &line.what.happening;
    let zone = super::zone_of(line, scenarios, zone);
    let scenario = happening.scenario.as_ref().map(|id| id.as_str()).unwrap_or_default();
    let step = happening.step.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
    let (at, what) = (time(happening.at, zone, lang), word(happening.what, lang));
    let mut text = format!("{at}  {}  {what}  {scenario}{step}", line.what.member);
    if matches!(happening.what, What::Deferred | What::Moved)
        && let Some(until) = happening.until
    {
        let until = time(until, zone, lang);
        text += &match lang {
            Lang::En => format!("  until {until}"),
            Lang::Ja => format!("  → {until}"),
        };
    }
    if let Some(reason) = &happening.reason {
        text += &match lang {
            Lang::En => format!("  ({reason})"),
            Lang::Ja => format!("  （{}）", because_short(reason)),
        };
    }
    push_line(out, &text);
    let shown = line.messages.as_ref().map(bubbles).unwrap_or_default();
    for (number, bubble) in shown.iter().enumerate() {
        for (place, text) in bubble.lines(language(lang)).iter().enumerate() {
            // a second message of the same push begins anew
            let edge = if number > 0 && place == 0 { '├' } else { '│' };
            push_line(out, &format!("    {edge} {text}"));
        }
    }
    let Some(why) = why else { return };
    // in Japanese the line itself says it in words
    let reason = happening.reason.as_deref().filter(|_| lang == Lang::En);
    if let Some(reason) = reason.filter(|_| !matches!(happening.what, What::Done | What::Converted)) {
        push_line(out, &format!("    ↳ {}", because(lang, reason)));
    }
    for reason in why {
        push_line(out, &format!("    ↳ {reason}"));
    }
}

/// A line of text; what would steer a terminal, or turn what follows around, is shown as a sign that it was there.
pub(super) fn push_line(out: &mut String, text: &str) {
    let is_unsafe = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    out.extend(text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }));
    out.push('\n');
}

pub(super) fn time(at: Timestamp, zone: &TimeZone, lang: Lang) -> String {
    let civil = at.to_zoned_datetime(zone.clone());
    match lang {
        Lang::En => civil.strftime("%Y-%m-%d %a %H:%M").to_string(),
        Lang::Ja => {
            let mut text = String::new();
            let (date, clock) = (civil.strftime("%Y-%m-%d"), civil.strftime("%H:%M"));
            write!(text, "{date} {} {clock}", weekday(civil.weekday())).expect("a string takes all text");
            text
        }
    }
}

/// What happened, as wide as the longest of its kind.
fn word(what: What, lang: Lang) -> String {
    match lang {
        Lang::En => format!("{:<9}", what.word()),
        Lang::Ja => {
            let word = japanese(what);
            // each sign takes two columns; the longest has four
            format!("{word}{}", "  ".repeat(4_usize.saturating_sub(word.chars().count())))
        }
    }
}

/// The word for a happening.
fn japanese(what: What) -> &'static str {
    match what {
        What::Enrolled => "開始",
        What::NotEnrolled => "開始せず",
        What::Moved => "日時変更",
        What::Accepted => "送信",
        What::Done => "処理",
        What::Deferred => "延期",
        What::Skipped => "飛ばし",
        What::Rejected => "送信不可",
        What::Withdrawn => "取り下げ",
        What::Expired => "期限切れ",
        What::Unknown => "不明",
        What::Converted => "目標達成",
        What::Exited => "途中終了",
        What::Completed => "完了",
        What::Linked => "連携",
        What::Unlinked => "連携解除",
        What::Blocked => "ブロック",
        What::Unblocked => "解除",
        What::OptedOut => "配信停止",
        What::OptedIn => "配信再開",
    }
}

/// A reason in Japanese; what came of a step, in short.
fn because_short(reason: &str) -> String {
    let (word, object) = reason.split_once('(').unwrap_or((reason, ""));
    let object = object.strip_suffix(')').unwrap_or(object);
    match word {
        "took" => format!("{object} へ"),
        "none" => "当てはまるものなし".to_owned(),
        "came" => "イベントが届いた".to_owned(),
        "timed_out" => "期限までに届かなかった".to_owned(),
        "value" => format!("値 {object}"),
        _ => because(Lang::Ja, reason),
    }
}

pub(super) fn language(lang: Lang) -> Language {
    match lang {
        Lang::En => Language::English,
        Lang::Ja => Language::Japanese,
    }
}
