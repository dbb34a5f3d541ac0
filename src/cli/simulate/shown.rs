//! A run as a page: the first members with all they see, sums for all.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::tally::{StepRow, Tally, month_name};
use super::text::language;
use super::words::{Lang, Words, because};
use crate::cli::prices::grouped;
use crate::dispatch::rehearsal::Line;
use crate::model::{Attributes, MemberId, ScenarioId, StepId, What};
use crate::page::picture::MAX_MARKS;
use crate::page::{Entry, Figure, Kind, Lane, MAX_ENTRIES, MAX_MEMBERS, Mark, Member, Page, Table, Tone};
use crate::scenario::{Scenario, ScenarioSet};

/// Facts about a member that stand over its messages.
const MAX_FACTS: usize = 6;
/// The longest of them, in characters.
const MAX_FACT: usize = 60;

/// Keeps what a page will show, and no more than that.
#[derive(Debug)]
pub(super) struct Shown {
    lang: Lang,
    zone: TimeZone,
    members: Vec<Kept>,
    by_id: HashMap<MemberId, usize>,
    /// Members of whom nothing is shown, and messages to them.
    others: u64,
    seen_others: std::collections::HashSet<MemberId>,
    messages_to_others: u64,
}

/// A member that is shown.
#[derive(Debug)]
struct Kept {
    member: Member,
    lane: Lane,
    /// Messages that wait, since when and until when.
    waiting: HashMap<(ScenarioId, StepId), (Timestamp, Timestamp)>,
}

impl Shown {
    pub(super) fn new(lang: Lang, zone: TimeZone) -> Shown {
        Shown {
            lang,
            zone,
            members: Vec::new(),
            by_id: HashMap::new(),
            others: 0,
            seen_others: std::collections::HashSet::new(),
            messages_to_others: 0,
        }
    }

    pub(super) fn happened(
        &mut self,
        line: &Line,
        why: &[String],
        about: impl FnOnce() -> Option<(Attributes, Vec<String>)>,
    ) {
        let happening = &line.what.happening;
        let is_accepted = happening.what == What::Accepted;
        let Some(index) = self.place_of(&line.what.member, about) else {
            self.messages_to_others += u64::from(is_accepted);
            return;
        };
        let words = Words::new(self.lang, self.zone.clone());
        let kept = &mut self.members[index];
        let step = happening.scenario.clone().zip(happening.step.clone());
        let place = match (&happening.scenario, &happening.step) {
            (Some(scenario), Some(step)) => format!("{scenario}/{step}"),
            (Some(scenario), None) => scenario.to_string(),
            (None, _) => String::new(),
        };
        let text = match (happening.what, &happening.reason) {
            (What::Accepted, None) => place.clone(),
            (What::NotEnrolled, None) => match self.lang {
                Lang::En => format!("did not enter {place}"),
                Lang::Ja => format!("{place} は始まりませんでした"),
            },
            _ => words.sentence(happening),
        };
        if kept.lane.marks.len() < MAX_MARKS {
            let mut from = None;
            match (happening.what, &step) {
                (What::Deferred, Some(step)) => {
                    let until = happening.until.unwrap_or(happening.at);
                    let waiting = kept.waiting.entry(step.clone()).or_insert((happening.at, until));
                    waiting.1 = until;
                }
                (_, Some(step)) => from = kept.waiting.remove(step).map(|(since, _)| since),
                _ => {}
            }
            if let Some(kind) = kind(happening.what) {
                kept.lane.marks.push(Mark { at: happening.at, from, kind, label: text.clone() });
            }
        }
        // one more than is shown tells that there are more
        if kept.member.entries.len() <= MAX_ENTRIES || is_accepted {
            let messages = line.messages.clone().filter(|_| kept.member.entries.len() < MAX_ENTRIES);
            kept.member.entries.push(Entry {
                at: happening.at,
                tone: tone(happening.what),
                text,
                why: why.to_vec(),
                messages,
            });
        }
    }

    fn place_of(
        &mut self,
        id: &MemberId,
        about: impl FnOnce() -> Option<(Attributes, Vec<String>)>,
    ) -> Option<usize> {
        if let Some(index) = self.by_id.get(id) {
            return Some(*index);
        }
        if self.members.len() >= MAX_MEMBERS {
            if !self.seen_others.contains(id) {
                self.seen_others.insert(id.clone());
                self.others += 1;
            }
            return None;
        }
        let about = about().map(|(attributes, tags)| facts(&attributes, &tags)).unwrap_or_default();
        self.members.push(Kept {
            member: Member { name: id.to_string(), about, entries: Vec::new() },
            lane: Lane { name: id.to_string(), marks: Vec::new() },
            waiting: HashMap::new(),
        });
        self.by_id.insert(id.clone(), self.members.len() - 1);
        Some(self.members.len() - 1)
    }

    /// The whole page.
    pub(super) fn page(
        self,
        scenario: &Scenario,
        scenarios: &ScenarioSet,
        tally: &Tally,
        notes: Vec<String>,
    ) -> Page {
        let lang = self.lang;
        let name = scenario.title.clone().unwrap_or_else(|| scenario.id.to_string());
        let words = Words::new(lang, self.zone.clone());
        let mut lead = vec![match lang {
            Lang::En => "A simulation: this is what would happen. Nothing was sent.".to_owned(),
            Lang::Ja => "シミュレーションの結果です。実際には何も送っていません。".to_owned(),
        }];
        lead.extend(tally.span().map(|(first, last)| {
            let (first, last) = (words.time(first), words.time(last));
            match (lang, self.zone.iana_name().unwrap_or("UTC")) {
                (Lang::En, "Asia/Tokyo") => format!("{first} to {last}, Japan time"),
                (Lang::En, zone) => format!("{first} to {last}, times of {zone}"),
                (Lang::Ja, "Asia/Tokyo") => format!("{first} から {last} まで（日本時間）"),
                (Lang::Ja, zone) => format!("{first} から {last} まで（{zone} の時刻）"),
            }
        }));
        let figures = figures(tally, lang);
        let rows = tally.rows(scenarios).into_iter().map(|row| cells(row, lang)).collect();
        let steps = without_empty_columns(Table {
            caption: match lang {
                Lang::En => "Steps".to_owned(),
                Lang::Ja => "ステップごとの結果".to_owned(),
            },
            heads: match lang {
                Lang::En => ["step", "sent", "deferred", "not sent"].map(str::to_owned).to_vec(),
                Lang::Ja => ["ステップ", "送信", "延期", "送らなかったもの"].map(str::to_owned).to_vec(),
            },
            rows,
        });
        let costs = tally.plan_rows(lang);
        let plans = tally.busiest().filter(|_| !costs.is_empty()).map(|(month, count)| {
            let (month, count) = (month_name(month, lang), grouped(count));
            Table {
                caption: match lang {
                    Lang::En => format!("What {count} messages in {month} alone would cost (Japan, LINE's example prices without tax)"),
                    Lang::Ja => format!("{month}の{count}通だけの月額（LINEの公開している例示価格、税別）"),
                },
                heads: match lang {
                    Lang::En => ["plan", "included", "cost"].map(str::to_owned).to_vec(),
                    Lang::Ja => ["プラン", "無料メッセージ", "費用"].map(str::to_owned).to_vec(),
                },
                rows: costs,
            }
        });
        let mut lanes = Vec::new();
        let mut members = Vec::new();
        for Kept { member, mut lane, waiting } in self.members {
            for ((scenario, step), (since, until)) in waiting {
                let label = format!("{scenario}/{step}");
                lane.marks.push(Mark { at: until, from: Some(since), kind: Kind::Waiting, label });
            }
            lanes.push(lane);
            members.push(member);
        }
        let rest = (self.others > 0).then(|| {
            let (others, messages) = (grouped(self.others), grouped(self.messages_to_others));
            match lang {
                Lang::En => {
                    format!("And {others} more members who are not shown; they get {messages} messages.")
                }
                Lang::Ja => {
                    format!("このほか会員{others}人に{messages}通を送ります（表示は省略しています）。")
                }
            }
        });
        Page {
            language: language(lang),
            zone: self.zone,
            title: name,
            lead,
            figures,
            lanes,
            tables: std::iter::once(steps).filter(|table| !table.rows.is_empty()).chain(plans).collect(),
            members,
            rest: rest.into_iter().collect(),
            notes,
        }
    }
}

fn figures(tally: &Tally, lang: Lang) -> Vec<Figure> {
    let figure = |value: String, english: &str, japanese: &str| Figure {
        value,
        name: match lang {
            Lang::En => english.to_owned(),
            Lang::Ja => japanese.to_owned(),
        },
    };
    let mut figures = vec![
        figure(grouped(tally.members()), "members", "会員（人）"),
        figure(grouped(tally.entries()), "runs entered", "シナリオの開始（回）"),
        figure(grouped(tally.messages()), "messages", "メッセージ（通）"),
    ];
    if tally.members() > 0 {
        let each = tally.messages() as f64 / tally.members() as f64;
        figures.push(figure(format!("{each:.1}"), "messages for each member", "1人あたりの通数"));
    }
    if tally.converted() > 0 {
        figures.push(figure(grouped(tally.converted()), "reached the goal", "目標達成"));
    }
    figures
}

/// A table without the columns in which nothing stands.
fn without_empty_columns(table: Table) -> Table {
    let is_used =
        |column: usize| table.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()));
    let used: Vec<usize> = (0..table.heads.len()).filter(|column| is_used(*column)).collect();
    let keep = |row: &Vec<String>| used.iter().map(|column| row[*column].clone()).collect();
    Table { heads: keep(&table.heads), rows: table.rows.iter().map(keep).collect(), caption: table.caption }
}

fn cells(row: StepRow, lang: Lang) -> Vec<String> {
    let told = |counts: &[(String, u64)]| {
        let told: Vec<String> = (counts.iter())
            .map(|(reason, count)| match lang {
                Lang::En => format!("{}: {}", grouped(*count), because(lang, reason)),
                Lang::Ja => format!("{}：{}", grouped(*count), because(lang, reason)),
            })
            .collect();
        told.join("; ")
    };
    vec![row.place, grouped(row.accepted), told(&row.deferred), told(&row.not_sent)]
}

/// What is known of a member, in short.
fn facts(attributes: &Attributes, tags: &[String]) -> Vec<String> {
    let mut facts: Vec<String> = (attributes.iter())
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        })
        .chain(tags.iter().map(|tag| format!("#{tag}")))
        .collect();
    if facts.len() > MAX_FACTS {
        facts.truncate(MAX_FACTS);
        facts.push("…".to_owned());
    }
    for fact in &mut facts {
        if let Some((end, _)) = fact.char_indices().nth(MAX_FACT) {
            fact.truncate(end);
            fact.push('…');
        }
    }
    facts
}

fn kind(what: What) -> Option<Kind> {
    match what {
        What::Enrolled => Some(Kind::Entry),
        What::Accepted => Some(Kind::Message),
        What::Done | What::Moved => Some(Kind::Done),
        What::Skipped | What::Expired | What::NotEnrolled => Some(Kind::Skipped),
        What::Rejected | What::Unknown => Some(Kind::Failed),
        What::Converted => Some(Kind::Goal),
        What::Exited | What::Completed => Some(Kind::End),
        _ => None,
    }
}

fn tone(what: What) -> Tone {
    match what {
        What::Converted => Tone::Good,
        What::Skipped | What::Deferred | What::NotEnrolled | What::Expired => Tone::Quiet,
        What::Rejected | What::Unknown => Tone::Bad,
        _ => Tone::Plain,
    }
}
