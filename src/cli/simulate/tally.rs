//! Sums of a run: who, what, why not, and what it costs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::text::{push_line, time};
use super::words::{Lang, because};
use crate::cli::prices::{PLANS, Plan, grouped};
use crate::dispatch::rehearsal::Line;
use crate::model::{MemberId, ScenarioId, StepId, What};
use crate::scenario::ScenarioSet;

/// Counts what happens.
#[derive(Debug)]
pub(super) struct Tally {
    members: HashSet<MemberId>,
    pub(super) runs: BTreeMap<ScenarioId, Runs>,
    steps: BTreeMap<(ScenarioId, StepId), Steps>,
    /// Runs that have reached their goal, until they end.
    converting: HashSet<(MemberId, ScenarioId)>,
    /// Messages by year and month of LINE's count, which is in Japan's time.
    months: BTreeMap<(i16, i8), u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    japan: TimeZone,
}

/// What becomes of runs of a scenario.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) entered: u64,
    completed: u64,
    exited: u64,
    converted: u64,
    /// What conversions were worth together, where they say so in numbers.
    value: f64,
}

/// What becomes of a step.
#[derive(Debug, Default)]
struct Steps {
    accepted: u64,
    deferred: BTreeMap<String, u64>,
    /// Not sent, by the reason.
    not_sent: BTreeMap<String, u64>,
}

/// A step of the summary, as it is shown.
#[derive(Debug)]
pub(super) struct StepRow {
    pub(super) place: String,
    pub(super) accepted: u64,
    pub(super) deferred: Vec<(String, u64)>,
    pub(super) not_sent: Vec<(String, u64)>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            members: HashSet::new(),
            runs: BTreeMap::new(),
            steps: BTreeMap::new(),
            converting: HashSet::new(),
            months: BTreeMap::new(),
            first: None,
            last: None,
            japan: TimeZone::fixed(Offset::constant(9)),
        }
    }

    pub(super) fn count(&mut self, line: &Line) {
        let happening = &line.what.happening;
        // who did not enter is nobody that the sums are about
        let Some(scenario) = happening.scenario.as_ref().filter(|_| happening.what != What::NotEnrolled)
        else {
            return;
        };
        if happening.what == What::Enrolled {
            self.members.insert(line.what.member.clone());
        }
        self.first = self.first.or(Some(happening.at));
        self.last = Some(happening.at);
        let runs = self.runs.entry(scenario.clone()).or_default();
        match happening.what {
            What::Enrolled => runs.entered += 1,
            What::Completed => runs.completed += 1,
            // who has reached the goal has not left early
            What::Exited if self.converting.remove(&(line.what.member.clone(), scenario.clone())) => {}
            What::Exited => runs.exited += 1,
            What::Converted => {
                self.converting.insert((line.what.member.clone(), scenario.clone()));
                runs.converted += 1;
                let value = happening.reason.as_deref().and_then(|reason| reason.strip_prefix("value("));
                let value = value.and_then(|rest| rest.strip_suffix(')')?.parse::<f64>().ok());
                runs.value += value.unwrap_or(0.0);
            }
            _ => {}
        }
        let Some(step) = &happening.step else { return };
        let reason = || happening.reason.as_deref().unwrap_or_default().to_owned();
        let key = (scenario.clone(), step.clone());
        match happening.what {
            What::Accepted => {
                self.steps.entry(key).or_default().accepted += 1;
                let civil = happening.at.to_zoned_datetime(self.japan.clone());
                *self.months.entry((civil.year(), civil.month())).or_default() += 1;
            }
            What::Deferred => *self.steps.entry(key).or_default().deferred.entry(reason()).or_default() += 1,
            What::Skipped | What::Rejected | What::Expired => {
                *self.steps.entry(key).or_default().not_sent.entry(reason()).or_default() += 1;
            }
            _ => {}
        }
    }

    pub(super) fn has_entered(&self) -> bool {
        self.runs.values().any(|runs| runs.entered > 0)
    }

    pub(super) fn members(&self) -> u64 {
        self.members.len() as u64
    }

    pub(super) fn entries(&self) -> u64 {
        self.runs.values().map(|runs| runs.entered).sum()
    }

    pub(super) fn converted(&self) -> u64 {
        self.runs.values().map(|runs| runs.converted).sum()
    }

    pub(super) fn messages(&self) -> u64 {
        self.months.values().sum()
    }

    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.first.zip(self.last)
    }

    /// The month with the most messages.
    pub(super) fn busiest(&self) -> Option<((i16, i8), u64)> {
        // of equal ones the first
        self.months.iter().rev().max_by_key(|(_, count)| **count).map(|(month, count)| (*month, *count))
    }

    /// Steps with what became of them, in the order of their files.
    pub(super) fn rows(&self, scenarios: &ScenarioSet) -> Vec<StepRow> {
        let place_of = |scenario: &ScenarioId, step: &StepId| {
            let steps = scenarios.get(scenario).map(|scenario| &scenario.steps);
            steps.and_then(|steps| steps.iter().position(|one| one.id == *step))
        };
        let mut rows: Vec<_> = self.steps.iter().collect();
        rows.sort_by_key(|((scenario, step), _)| (scenario.clone(), place_of(scenario, step)));
        let told = |counts: &BTreeMap<String, u64>| counts.iter().map(|(k, n)| (k.clone(), *n)).collect();
        rows.into_iter()
            .map(|((scenario, step), steps)| StepRow {
                place: format!("{scenario}/{step}"),
                accepted: steps.accepted,
                deferred: told(&steps.deferred),
                not_sent: told(&steps.not_sent),
            })
            .collect()
    }

    /// The summary as text.
    pub(super) fn write(&self, out: &mut String, scenarios: &ScenarioSet, zone: &TimeZone, lang: Lang) {
        let mut say = |text: String| push_line(out, &text);
        let Some((first, last)) = self.span() else { return };
        let (first, last) = (time(first, zone, lang), time(last, zone, lang));
        say(match lang {
            Lang::En => format!("── Summary: {first} to {last}"),
            Lang::Ja => format!("── まとめ：{first} から {last} まで"),
        });
        for sentence in self.sentences(lang) {
            say(sentence);
        }
        for row in self.rows(scenarios) {
            let StepRow { place, accepted, deferred, not_sent } = row;
            say(match lang {
                Lang::En => format!("  {place}: {} sent", grouped(accepted)),
                Lang::Ja => format!("  {place}：送信 {}", grouped(accepted)),
            });
            for (reason, count) in deferred {
                say(match lang {
                    Lang::En => format!("      deferred {}: {}", grouped(count), because(lang, &reason)),
                    Lang::Ja => format!("      延期 {}：{}", grouped(count), because(lang, &reason)),
                });
            }
            for (reason, count) in not_sent {
                say(match lang {
                    Lang::En => format!("      not sent {}: {}", grouped(count), because(lang, &reason)),
                    Lang::Ja => format!("      送らなかった {}：{}", grouped(count), because(lang, &reason)),
                });
            }
        }
        for sentence in self.costs(lang) {
            say(sentence);
        }
    }

    /// Who entered and how it ended, and how many messages that took.
    pub(super) fn sentences(&self, lang: Lang) -> Vec<String> {
        let mut sentences = Vec::new();
        for (id, runs) in &self.runs {
            let Runs { entered, completed, exited, converted, value } = runs;
            let mut sentence = match lang {
                Lang::En => format!("{id}: {} entered", grouped(*entered)),
                Lang::Ja => format!("{id}：開始 {}", grouped(*entered)),
            };
            for (count, english, japanese) in
                [(completed, "completed", "完了"), (exited, "left early", "途中終了")]
            {
                let count = grouped(*count);
                sentence += &match lang {
                    _ if count == "0" => String::new(),
                    Lang::En => format!(", {count} {english}"),
                    Lang::Ja => format!("、{japanese} {count}"),
                };
            }
            if *converted > 0 {
                sentence += &match lang {
                    Lang::En => format!(", {} reached the goal", grouped(*converted)),
                    Lang::Ja => format!("、目標達成 {}", grouped(*converted)),
                };
                if *value > 0.0 {
                    let value = grouped(value.round() as u64);
                    sentence += &match lang {
                        Lang::En => format!(" (worth {value} together)"),
                        Lang::Ja => format!("（値の合計 {value}）"),
                    };
                }
            }
            sentences.push(sentence);
        }
        let (messages, members) = (self.messages(), self.members());
        if messages > 0 {
            let each = messages as f64 / members.max(1) as f64;
            sentences.push(match lang {
                Lang::En => format!(
                    "{} to {}, {each:.1} for each; LINE counts a push to one person as one message",
                    counted(messages, "message"),
                    counted(members, "member")
                ),
                Lang::Ja => format!(
                    "会員{}人に{}通（1人あたり{each:.1}通）。LINEでは1人への1回の送信を1通と数えます",
                    grouped(members),
                    grouped(messages)
                ),
            });
        }
        sentences
    }

    /// What the busiest month costs on LINE's plans.
    pub(super) fn costs(&self, lang: Lang) -> Vec<String> {
        let Some((month, count)) = self.busiest() else { return Vec::new() };
        let month = month_name(month, lang);
        let many = self.months.len() > 1;
        let messages = match lang {
            Lang::En => counted(count, "message"),
            Lang::Ja => grouped(count),
        };
        let head = match (lang, many) {
            (Lang::En, true) => {
                format!("{month} has the most, {messages}. What they alone would cost in Japan, without tax:")
            }
            (Lang::En, false) => {
                format!("{messages} in {month}. What they alone would cost in Japan, without tax:")
            }
            (Lang::Ja, true) => {
                format!("最も多い{month}は{messages}通。この配信だけの月額（日本のプラン、税別）：")
            }
            (Lang::Ja, false) => format!("{month}は{messages}通。この配信だけの月額（日本のプラン、税別）："),
        };
        let mut sentences = vec![head];
        sentences.extend(PLANS.iter().map(|plan| format!("  {}", cost(plan, count, lang))));
        sentences.push(match lang {
            Lang::En => "  (LINE's example prices; messages sent otherwise count as well)".to_owned(),
            Lang::Ja => "  （LINEの公開している例示価格です。ほかの配信も通数に数えられます）".to_owned(),
        });
        sentences
    }

    /// The plans with what the busiest month costs on each, for a page.
    pub(super) fn plan_rows(&self, lang: Lang) -> Vec<Vec<String>> {
        let Some((_, count)) = self.busiest() else { return Vec::new() };
        let row = |plan: &Plan| {
            let included = match lang {
                Lang::En => format!("{} messages a month", grouped(plan.included)),
                Lang::Ja => format!("月{}通まで", grouped(plan.included)),
            };
            vec![plan.name(lang).to_owned(), included, cost_alone(plan, count, lang)]
        };
        PLANS.iter().map(row).collect()
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

pub(super) fn month_name((year, month): (i16, i8), lang: Lang) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = usize::try_from(month - 1).ok().and_then(|month| NAMES.get(month)).unwrap_or(&"");
    match lang {
        Lang::En => format!("{name} {year}"),
        Lang::Ja => format!("{year}年{month}月"),
    }
}

fn cost(plan: &Plan, messages: u64, lang: Lang) -> String {
    let (name, included) = (plan.name(lang), grouped(plan.included));
    let cost = cost_alone(plan, messages, lang);
    match lang {
        Lang::En => format!("{name} plan ({included} a month): {cost}"),
        Lang::Ja => format!("{name}（月{included}通まで）：{cost}"),
    }
}

fn cost_alone(plan: &Plan, messages: u64, lang: Lang) -> String {
    let more = messages.saturating_sub(plan.included);
    match (plan.yen(messages), more, lang) {
        (Some(yen), 0, Lang::En) => format!("¥{}", grouped(yen)),
        (Some(yen), 0, Lang::Ja) => format!("{}円", grouped(yen)),
        (Some(yen), more, Lang::En) => {
            format!("up to ¥{}, with {} more at up to ¥3 each", grouped(yen), grouped(more))
        }
        (Some(yen), more, Lang::Ja) => {
            format!("最大{}円（追加{}通、1通最大3円）", grouped(yen), grouped(more))
        }
        (None, more, Lang::En) => format!("does not take them, {} too many", grouped(more)),
        (None, more, Lang::Ja) => format!("{}通足りません（追加できません）", grouped(more)),
    }
}

/// Names of events that nobody listens to, with how often and where first they came.
#[derive(Debug, Default)]
pub(super) struct Unheard(BTreeMap<String, (u64, String)>);

impl Unheard {
    pub(super) fn add(&mut self, name: &str, place: String) {
        self.0.entry(name.to_owned()).or_insert((0, place)).0 += 1;
    }

    pub(super) fn sentences(&self, scenarios: &ScenarioSet, lang: Lang) -> Vec<String> {
        let heard = heard(scenarios);
        let one = |(name, (count, place)): (&String, &(u64, String))| {
            let near = crate::scenario::finding::closest(name, heard.iter().map(String::as_str));
            let help = match (near, lang) {
                (Some(near), Lang::En) => format!("did you mean `{near}`?"),
                (Some(near), Lang::Ja) => format!("`{near}` の間違いではありませんか"),
                (None, Lang::En) if heard.is_empty() => "the scenario listens to no event".to_owned(),
                (None, Lang::Ja) if heard.is_empty() => {
                    "このシナリオはどのイベントも待っていません".to_owned()
                }
                (None, Lang::En) => {
                    format!("it listens to {}", heard.iter().cloned().collect::<Vec<_>>().join(", "))
                }
                (None, Lang::Ja) => {
                    format!("使うイベントは {} です", heard.iter().cloned().collect::<Vec<_>>().join("、"))
                }
            };
            match lang {
                Lang::En if *count == 1 => format!("{place}: nobody listens to the event `{name}`; {help}"),
                Lang::En => format!(
                    "{place}: nobody listens to the event `{name}` ({} lines); {help}",
                    grouped(*count)
                ),
                Lang::Ja => format!(
                    "{place}：イベント `{name}`（{}行）はどのシナリオでも使われていません。{help}",
                    grouped(*count)
                ),
            }
        };
        self.0.iter().map(one).collect()
    }
}

/// The events that scenarios listen to.
fn heard(scenarios: &ScenarioSet) -> BTreeSet<String> {
    use crate::scenario::{Act, Enter};
    let mut names = BTreeSet::new();
    for scenario in scenarios.iter() {
        let endings = scenario
            .exit
            .iter()
            .map(|exit| &exit.ending)
            .chain(scenario.goal.iter().map(|goal| &goal.ending));
        let awaited = scenario.steps.iter().filter_map(|step| match &step.act {
            Act::WaitFor(awaited) => Some(&awaited.on),
            _ => None,
        });
        let heard = (scenario.enter.iter().filter_map(Enter::event))
            .chain(scenario.update.iter().map(|update| &update.on))
            .chain(endings.filter_map(|ending| ending.event()))
            .chain(awaited);
        names.extend(heard.map(ToString::to_string));
    }
    names
}
