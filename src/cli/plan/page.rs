//! A plan as a page: a lane for each step, and the tables.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil::time};

use super::{MAX_ROWS, Say, changes};
use crate::cli::prices::grouped;
use crate::cli::words::{Lang, Words};
use crate::http::{PlanRow, PlanView};
use crate::page::{Figure, Kind, Lane, Language, Mark, Page, Table};

pub(super) fn page(view: &PlanView, words: &Words) -> Page {
    let say = Say { words, lang: words.lang };
    let mut lead: Vec<String> = say.head(view).lines().map(str::to_owned).collect();
    lead.push(
        say.either("Nothing was sent, and nothing has changed.", "まだ何も送らず、何も変えていません。"),
    );
    let figure = |value: u64, en: &str, ja: &str| Figure { value: grouped(value), name: say.either(en, ja) };
    let sum = |count: fn(&PlanRow) -> u64| view.rows.iter().map(count).sum::<u64>();
    let figures = vec![
        figure(view.on_their_way, "members on their way", "進行中の会員（人）"),
        figure(view.affected, "members for whom something changes", "変化のある会員（人）"),
        figure(sum(|row| row.after), "pushes to come", "これからの配信（通）"),
        figure(sum(|row| row.appear), "appear", "増える（通）"),
        figure(sum(|row| row.moved_here), "move", "日時が変わる（通）"),
        figure(sum(|row| row.vanish), "vanish", "なくなる（通）"),
    ];
    Page {
        language: match words.lang {
            Lang::En => Language::English,
            Lang::Ja => Language::Japanese,
        },
        zone: words.zone.clone(),
        title: say.either("Plan", "変更の予定"),
        lead,
        figures,
        lanes: lanes(view, &say, &words.zone),
        tables: tables(view, &say),
        members: Vec::new(),
        rest: Vec::new(),
        notes: say.months(view).lines().map(str::to_owned).collect(),
    }
}

/// A lane for each step, those with changes first.
fn lanes(view: &PlanView, say: &Say<'_>, zone: &TimeZone) -> Vec<Lane> {
    let mut steps: BTreeMap<(bool, &str, &str), Vec<&PlanRow>> = BTreeMap::new();
    for row in &view.rows {
        let is_changed =
            |other: &PlanRow| (&other.scenario, &other.step) == (&row.scenario, &row.step) && changes(other);
        let is_same = !view.rows.iter().any(is_changed);
        steps.entry((is_same, &row.scenario, &row.step)).or_default().push(row);
    }
    let is_one = view.rows.iter().all(|row| row.scenario == view.rows[0].scenario);
    let lane = |((_, scenario, step), rows): ((bool, &str, &str), Vec<&PlanRow>)| {
        let left = rows.iter().find(|row| row.moved_away > 0).map(|row| noon(row.day, zone));
        let marks = rows.into_iter().flat_map(|row| marks(row, left, say, zone)).collect();
        let name = if is_one { step.to_owned() } else { format!("{step} ({scenario})") };
        Lane { name, marks }
    };
    steps.into_iter().map(lane).collect()
}

/// What is to be seen of a step on one day.
fn marks(row: &PlanRow, left: Option<Timestamp>, say: &Say<'_>, zone: &TimeZone) -> Vec<Mark> {
    let at = noon(row.day, zone);
    let stays = row.after - row.appear - row.moved_here;
    let mark = |count: u64, kind: Kind, from: Option<Timestamp>, en: &str, ja: &str| {
        let label = say.either(format!("{count} {en}"), format!("{count}通が{ja}"));
        (count > 0).then_some(Mark { at, from, kind, label })
    };
    [
        mark(stays, Kind::Message, None, "come as they would have", "予定どおり"),
        mark(row.appear, Kind::Appears, None, "appear", "増える"),
        mark(row.moved_here, Kind::Moves, left.filter(|left| *left != at), "move here", "この日に移る"),
        mark(row.vanish, Kind::Vanishes, None, "vanish", "なくなる"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn noon(day: Date, zone: &TimeZone) -> Timestamp {
    zone.to_timestamp(day.to_datetime(time(12, 0, 0, 0))).unwrap_or(Timestamp::MAX)
}

fn tables(view: &PlanView, say: &Say<'_>) -> Vec<Table> {
    let heads = |en: &[&str], ja: &[&str]| -> Vec<String> {
        let heads = if say.lang == Lang::En { en } else { ja };
        heads.iter().map(|head| (*head).to_owned()).collect()
    };
    let rows = |changed: bool| -> Vec<Vec<String>> {
        let rows = view.rows.iter().filter(|row| changes(row) == changed).take(MAX_ROWS);
        rows.map(|row| {
            let place = format!("{}/{}", row.scenario, row.step);
            let day = say.day(row.day).trim().to_owned();
            let mut cells = vec![day, place, grouped(row.before), grouped(row.after)];
            cells.extend(changed.then(|| say.changes_of(row)));
            cells
        })
        .collect()
    };
    let changed = Table {
        caption: say.either("What changes", "変わるもの"),
        heads: heads(
            &["day", "step", "without the edit", "with it", "what changes"],
            &["日", "ステップ", "変更前（通）", "変更後（通）", "変化"],
        ),
        rows: rows(true),
    };
    let same = Table {
        caption: say.either("What comes as it would have", "変わらないもの"),
        heads: heads(
            &["day", "step", "without the edit", "with it"],
            &["日", "ステップ", "変更前（通）", "変更後（通）"],
        ),
        rows: rows(false),
    };
    let named = Table {
        caption: say.either("Members to look at", "確認用の会員"),
        heads: heads(&["step", "members"], &["ステップ", "会員"]),
        rows: (view.named.iter().take(MAX_ROWS))
            .map(|named| vec![format!("{}/{}", named.scenario, named.step), named.members.join(" ")])
            .collect(),
    };
    [changed, named, same].into_iter().filter(|table| !table.rows.is_empty()).collect()
}
