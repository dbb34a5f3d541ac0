//! `amadare plan`: what edited scenario files would change for the members who are there.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;

use super::access::{self, Key, Running};
use super::words::{Lang, Language, Words};
use super::{Failure, Place, check, prices, print};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{MAX_PLANNING, PlanAsked, PlanRow, PlanView, QuotaView, plan_of};
use crate::page::weekday;
use crate::scenario::load::load;
use crate::scenario::source::{self, Sources};
use crate::store;

mod page;

/// What the daemon gets beyond the time that a plan may take.
const BEYOND: Duration = Duration::from_secs(10);

/// Rows that are printed; with `--format json`, all are.
const MAX_ROWS: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Edited files, or a folder of them [default: the configured folder of scenarios]
    paths: Vec<PathBuf>,
    /// Look ahead up to this time (RFC 3339) [default: 31 days from now]
    #[arg(long, value_name = "T")]
    until: Option<Timestamp>,
    /// Say that this step is new, and not one that is gone under another name
    #[arg(long, value_name = "SCENARIO/STEP")]
    new_step: Vec<String>,
    /// Show also what stays as it is
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write a page as well, with a picture
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    language: Language,
    #[command(flatten)]
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let config = place.load()?;
    let paths = match options.paths.is_empty() {
        true => vec![config.scenarios.clone()],
        false => options.paths.clone(),
    };
    let sources = check::read_sources(&paths)?;
    // what is wrong with the files is told with the files that are here
    let loaded = load(&sources, &config.scenario_defaults());
    if loaded.set.is_none() {
        return Err(Failure::problem(check::errors_of(&loaded.findings).join("\n")));
    }
    let asked = asked(&sources, options)?;
    let view = planned(&config, options, &asked)?;
    let words = Words::new(options.language.lang(), config.scenario_defaults().zone);
    if let Some(file) = &options.html {
        write_page(file, &page::page(&view, &words).to_html())?;
    }
    match options.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&view).expect("a plan can be written as JSON");
            print(&format!("{json}\n"))
        }
        Format::Text => print(&text(&view, &words, options.all)),
    }
}

/// Writes a page; a scenario file is never replaced by one.
fn write_page(file: &Path, html: &str) -> Result<(), Failure> {
    if source::is_scenario(&file.to_string_lossy()) {
        let file = file.display();
        return Err(Failure::problem(format!(
            "--html would write a page into {file}; name it plan.html or so"
        )));
    }
    std::fs::write(file, html).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

fn asked(sources: &Sources, options: &Options) -> Result<PlanAsked, Failure> {
    let file = |(name, bytes): (&str, &[u8])| {
        let text = String::from_utf8(bytes.to_vec()).with_context(|| format!("{name} is not UTF-8 text"));
        text.map(|text| (name.to_owned(), text))
    };
    let files = sources.iter().map(file).collect::<Result<_, _>>()?;
    Ok(PlanAsked { files, until: options.until, new_steps: options.new_step.clone() })
}

/// Has the daemon make the plan; where none runs, makes it from its store.
fn planned(config: &Config, options: &Options, asked: &PlanAsked) -> Result<PlanView, Failure> {
    let body = serde_json::to_value(asked).expect("what is asked can be written as JSON");
    let patience = MAX_PLANNING + BEYOND;
    if let Some(answered) = Running::new(config, &options.key)?.post("/v1/plans", &body, patience)? {
        return answered.read();
    }
    let store = access::store_at_rest(config)?;
    let files = store::load_scenario_files(&*store).context("cannot read the scenarios of the store")?;
    let defaults = config.scenario_defaults();
    let running = load(&Sources::from_files(files), &defaults).set.unwrap_or_default();
    let now = Clock::system().now();
    let view = plan_of(&*store, Arc::new(running), &defaults, asked, now, &|| false);
    view.map_err(|problem| Failure::problem(problem.detail))
}

/// The plan for a reader.
fn text(view: &PlanView, words: &Words, all: bool) -> String {
    let say = Say { words, lang: words.lang };
    let mut out = say.head(view);
    let rows: Vec<&PlanRow> = view.rows.iter().filter(|row| all || changes(row)).collect();
    if !rows.is_empty() {
        out.push('\n');
        out += &say.rows(&rows);
    }
    let unchanged: u64 = view.rows.iter().filter(|row| !changes(row)).map(|row| row.after).sum();
    if unchanged > 0 && !all {
        out += &say.unchanged(unchanged);
    }
    if !view.named.is_empty() {
        out.push('\n');
        out += &say.named(view);
    }
    out.push('\n');
    out + &say.months(view)
}

fn changes(row: &PlanRow) -> bool {
    row.appear + row.moved_here + row.moved_away + row.vanish + row.reworded > 0
}

struct Say<'a> {
    words: &'a Words,
    lang: Lang,
}

impl Say<'_> {
    /// The text in the reader's language.
    fn either(&self, en: impl Into<String>, ja: impl Into<String>) -> String {
        match self.lang {
            Lang::En => en.into(),
            Lang::Ja => ja.into(),
        }
    }

    /// `2026-03-02 Mon`, ` 3月 2日(月)`, all of one width.
    fn day(&self, day: Date) -> String {
        match self.lang {
            Lang::En => day.strftime("%Y-%m-%d %a").to_string(),
            Lang::Ja => day.strftime(&format!("%_m月%_d日({})", weekday(day.weekday()))).to_string(),
        }
    }

    fn head(&self, view: &PlanView) -> String {
        let (from, until) = (self.words.time(view.from), self.words.time(view.until));
        let mut out = self.either(
            format!("If the files are taken over now, and nothing else happens: {from} to {until}\n"),
            format!("今このファイルに切り替え、ほかに何も起きなかった場合（{from}〜{until}）\n"),
        );
        let PlanView { members, on_their_way, affected, ended_runs, .. } = view;
        let en = match members {
            1 => format!("1 member, {on_their_way} on the way; "),
            _ => format!("{members} members, {on_their_way} of them on their way; "),
        };
        out += &match affected {
            0 => self.either(
                en + "nothing changes for anybody\n",
                format!("会員{members}人（進行中{on_their_way}人）。変わる人はいません\n"),
            ),
            _ => self.either(
                format!("{en}something changes for {affected}\n"),
                format!("会員{members}人（進行中{on_their_way}人）のうち、{affected}人に変化があります\n"),
            ),
        };
        if *ended_runs > 0 {
            out += &self.either(
                format!("{ended_runs} runs end, because their scenario is gone\n"),
                format!("シナリオがなくなるため、{ended_runs}件の進行が終わります\n"),
            );
        }
        if !view.holds.is_empty() {
            let holds = view.holds.join(", ");
            out += &self.either(
                format!("sends are on hold ({holds}); this is what happens once they are released\n"),
                format!("配信は停止中です（{holds}）。再開したときに起きることを示しています\n"),
            );
        }
        out
    }

    fn rows(&self, rows: &[&PlanRow]) -> String {
        let place = |row: &PlanRow| format!("{}/{}", row.scenario, row.step);
        let wide = rows.iter().take(MAX_ROWS).map(|row| place(row).len()).max().unwrap_or(0);
        let mut out = String::new();
        for row in rows.iter().take(MAX_ROWS) {
            let day = self.day(row.day);
            let PlanRow { before, after, .. } = row;
            let counts = match changes(row) {
                true => format!("{before:>7} → {after:<7}"),
                false => format!("{after:>7}          "),
            };
            let line = format!("{day}  {:<wide$}  {counts}  {}", place(row), self.changes_of(row));
            writeln!(out, "{}", line.trim_end()).expect("a string takes all text");
        }
        if rows.len() > MAX_ROWS {
            let more = rows.len() - MAX_ROWS;
            out += &self.either(
                format!("… and {more} rows more; `--format json` has them all\n"),
                format!("…ほか{more}行（`--format json` ですべて見られます）\n"),
            );
        }
        out
    }

    fn changes_of(&self, row: &PlanRow) -> String {
        let changes = [
            (row.appear, "appear", "増える"),
            (row.moved_here, "move here", "この日に移る"),
            (row.moved_away, "move away", "別の日時に移る"),
            (row.vanish, "vanish", "なくなる"),
            (row.reworded, "get other words", "文面が変わる"),
        ];
        let told = changes.into_iter().filter(|(count, ..)| *count > 0);
        let told =
            told.map(|(count, en, ja)| self.either(format!("{count} {en}"), format!("{count}通が{ja}")));
        told.collect::<Vec<_>>().join(&self.either(", ", "、"))
    }

    fn unchanged(&self, pushes: u64) -> String {
        self.either(
            format!("{pushes} other pushes come as they would have (--all shows them)\n"),
            format!("ほかの{pushes}通は変わりません（--all で表示）\n"),
        )
    }

    fn named(&self, view: &PlanView) -> String {
        let mut out = self.either("members to look at:\n", "確認用の会員:\n");
        for named in view.named.iter().take(MAX_ROWS) {
            let members = named.members.join(" ");
            writeln!(out, "  {}/{}: {members}", named.scenario, named.step).expect("a string takes all text");
        }
        out
    }

    fn months(&self, view: &PlanView) -> String {
        let mut out = String::new();
        for (place, month) in view.months.iter().enumerate() {
            let (name, before, after) = (&month.month, month.before, month.after);
            out += &self.either(
                format!("{name}: {after} pushes to come, {before} without the edit"),
                format!("{name}: これから{after}通（変更前は{before}通）"),
            );
            // what was used is of the month that the plan begins in
            if let (0, Some(quota)) = (place, &view.quota) {
                out += &self.against(quota, after);
            }
            out.push('\n');
        }
        if view.quota.is_none() {
            out += &self.either(
                "LINE has not told this month's quota\n",
                "LINEから今月の配信数の上限を取得できていません\n",
            );
        }
        out
    }

    /// How the month stands against LINE's quota.
    fn against(&self, quota: &QuotaView, to_come: u64) -> String {
        let (used, total) = (quota.used, quota.used + to_come);
        let mut out = match quota.limit {
            None => self.either(
                format!("; with {used} used so far {total}, and no limit is set"),
                format!("。使用済み{used}通と合わせて{total}通（上限の設定なし）"),
            ),
            Some(limit) => self.either(
                format!("; with {used} used so far {total} of {limit}"),
                format!("。使用済み{used}通と合わせて{total}通（上限{limit}通）"),
            ),
        };
        if let Some(over) = quota.limit.and_then(|limit| total.checked_sub(limit)).filter(|over| *over > 0) {
            out += &self.either(
                format!(": {over} too many, which LINE will refuse"),
                format!("。{over}通が上限を超え、LINEに拒否されます"),
            );
        }
        match prices::yen_for_more(quota.limit, total) {
            Some(yen) if yen > 0 => {
                out += &self.either(
                    format!("; at most ¥{yen} for additional messages, without tax"),
                    format!("。追加メッセージの料金は最大{yen}円（税別）"),
                )
            }
            _ => {}
        }
        out
    }
}
