//! What was most likely meant by a time that is written as people write times to each other: `3日後`,
//! `午後7時`, `9:00〜21:00`, `2026/12/01`.

use super::{end_of, hours as read_hours, offset as read_offset, time as read_time};
use jiff::tz::TimeZone;

/// Units by the words that people have for them, those that end in another first.
const UNITS: [(&str, &str); 31] = [
    ("時間", "h"),
    ("週間", "w"),
    ("か月", "mo"),
    ("ヶ月", "mo"),
    ("カ月", "mo"),
    ("ヵ月", "mo"),
    ("ケ月", "mo"),
    ("months", "mo"),
    ("month", "mo"),
    ("minutes", "m"),
    ("minute", "m"),
    ("mins", "m"),
    ("min", "m"),
    ("hours", "h"),
    ("hour", "h"),
    ("hrs", "h"),
    ("hr", "h"),
    ("seconds", "s"),
    ("second", "s"),
    ("secs", "s"),
    ("sec", "s"),
    ("weeks", "w"),
    ("week", "w"),
    ("days", "d"),
    ("day", "d"),
    ("years", "y"),
    ("year", "y"),
    ("秒", "s"),
    ("分", "m"),
    ("日", "d"),
    ("年", "y"),
];

/// A length of time.
pub(super) fn offset(text: &str) -> Option<String> {
    let plain = half_width(text).to_lowercase().replace(' ', "");
    let plain = ["後", "前", "間後", "later", "after", "before"]
        .iter()
        .find_map(|ending| plain.strip_suffix(ending))
        .unwrap_or(&plain);
    let digits = plain.find(|c: char| !c.is_ascii_digit())?;
    let (number, word) = plain.split_at(digits);
    let word = word.strip_suffix('間').filter(|rest| *rest == "日" || *rest == "年").unwrap_or(word);
    let named = UNITS.iter().find(|(name, _)| *name == word).map(|(_, unit)| *unit);
    let meant = format!("{number}{}", named.unwrap_or(word));
    (meant != text && read_offset(&meant).is_ok()).then_some(meant)
}

/// A time of day.
pub(super) fn time(text: &str) -> Option<String> {
    let meant = clock(text)?;
    (meant != text && read_time(&meant).is_ok()).then_some(meant)
}

/// A send window.
pub(super) fn hours(text: &str) -> Option<String> {
    let plain = half_width(text).replace("から", "-").replace("まで", "");
    let plain = plain.replace(['~', '〜', '–', '—', 'ー', '−'], "-").replace(" to ", "-");
    let (start, end) = plain.split_once('-')?;
    let meant = format!("{}-{}", clock(start)?, clock(end)?);
    (meant != text && read_hours(&meant).is_ok()).then_some(meant)
}

/// A date with its year.
pub(super) fn date(text: &str) -> Option<String> {
    let plain = half_width(text).replace(['/', '.', '年', '月'], "-").replace('日', "");
    let parts: Option<Vec<u16>> = plain.trim().split('-').map(|part| part.trim().parse().ok()).collect();
    let [year, month, day] = parts?.try_into().ok()?;
    let meant = format!("{year:04}-{month:02}-{day:02}");
    (meant != text && end_of(&meant, &TimeZone::UTC).is_ok()).then_some(meant)
}

fn clock(text: &str) -> Option<String> {
    let plain = half_width(text).to_lowercase().replace(' ', "");
    let is_pm = plain.contains("pm") || plain.contains("午後");
    let plain = plain.replace("pm", "").replace("am", "").replace("午後", "").replace("午前", "");
    let plain = plain.replace("時半", ":30").replace('時', ":").replace('分', "");
    let (hour, minute) = plain.split_once(':').unwrap_or((&plain, ""));
    let hour: u16 = hour.parse().ok()?;
    let minute: u16 = if minute.is_empty() { 0 } else { minute.parse().ok()? };
    let hour = if is_pm && hour < 12 { hour + 12 } else { hour };
    (hour <= 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}

/// A text with the full-width letters, digits and signs of Japanese keyboards in their plain form.
fn half_width(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    };
    text.trim().chars().map(narrow).collect()
}
