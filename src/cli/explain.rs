//! `amadare explain`: why a step was or was not sent, in words.

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::json;

use super::access::{self, Key};
use super::words::{Lang, Language, Words};
use super::{Failure, Place, print};
use crate::http::{ExplainedView, HappenedView, PlannedView, ScenarioView, TimelineView};
use crate::model::What;
use crate::scenario::finding::did_you_mean;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The member's id
    member: String,
    /// Only this scenario, or this step of it
    #[arg(value_name = "SCENARIO[/STEP]")]
    about: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    language: Language,
    #[command(flatten)]
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a happening, for reading
    Text,
    /// One JSON object
    Json,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let config = place.load()?;
    let about = About::of(options.about.as_deref());
    let mut view = access::timeline(&config, &options.key, &options.member, about.scenario)?;
    let explained = view.explained.take().unwrap_or_default();
    about.refuse_unknown(&view, &explained)?;
    about.keep_what_is_meant(&mut view);
    let explained = about.part_of(explained);
    match options.format {
        Format::Json => print(&format!("{}\n", json!(TimelineView { explained: Some(explained), ..view }))),
        Format::Text => {
            let words = Words::new(options.language.lang(), config.zone);
            print(&Page { view: &view, explained: &explained, about, words }.text())
        }
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
struct About<'a> {
    scenario: Option<&'a str>,
    step: Option<&'a str>,
}

impl<'a> About<'a> {
    fn of(text: Option<&'a str>) -> About<'a> {
        match text.and_then(|text| text.split_once('/')) {
            Some((scenario, step)) => About { scenario: Some(scenario), step: Some(step) },
            None => About { scenario: text, step: None },
        }
    }

    /// True for what is about the scenario, and about the step or the run as a whole.
    fn means(&self, scenario: Option<&str>, step: Option<&str>) -> bool {
        let is_scenario = self.scenario.is_none() || scenario.is_none() || scenario == self.scenario;
        let is_step = self.step.is_none() || step.is_none() || step == self.step;
        is_scenario && is_step
    }

    /// # Errors
    /// A scenario or a step that neither runs nor stands in the timeline.
    fn refuse_unknown(&self, view: &TimelineView, explained: &ExplainedView) -> Result<(), Failure> {
        let Some(id) = self.scenario else { return Ok(()) };
        let of_it: Vec<&HappenedView> =
            view.happened.iter().filter(|happened| happened.scenario.as_deref() == Some(id)).collect();
        if of_it.is_empty() && !explained.known.iter().any(|known| known == id) {
            let mut known: Vec<&str> = explained.known.iter().map(String::as_str).collect();
            known.extend(view.happened.iter().filter_map(|happened| happened.scenario.as_deref()));
            known.sort_unstable();
            known.dedup();
            return Err(unknown(&format!("there is no scenario `{id}`"), id, &known));
        }
        let Some(step) = self.step else { return Ok(()) };
        let mut known: Vec<&str> = of_it.iter().filter_map(|happened| happened.step.as_deref()).collect();
        let scenario = explained.scenarios.iter().find(|scenario| scenario.id == id);
        known.extend(scenario.iter().flat_map(|scenario| &scenario.steps).map(|step| step.step.as_str()));
        known.dedup();
        match known.contains(&step) {
            true => Ok(()),
            false => Err(unknown(&format!("scenario `{id}` has no step `{step}`"), step, &known)),
        }
    }

    fn keep_what_is_meant(&self, view: &mut TimelineView) {
        view.happened.retain(|happened| self.means(happened.scenario.as_deref(), happened.step.as_deref()));
        view.planned.retain(|planned| self.means(Some(&planned.scenario), Some(&planned.step)));
    }

    fn part_of(&self, mut explained: ExplainedView) -> ExplainedView {
        explained.runs.retain(|run| self.means(Some(&run.scenario), None));
        explained.obstacles.retain(|obstacle| self.means(obstacle.scenario.as_deref(), None));
        explained.scenarios.retain(|scenario| self.means(Some(&scenario.id), None));
        explained
    }
}

/// Names listed where none is near to what was written.
const MAX_LISTED: usize = 20;

fn unknown(what: &str, word: &str, known: &[&str]) -> Failure {
    let help = did_you_mean(word, known.iter().copied()).unwrap_or_else(|| match known.len() {
        0 => "there is none at all".to_owned(),
        1..=MAX_LISTED => format!("there is {}", known.join(", ")),
        more => format!("there are {more}, such as {}", known[..3].join(", ")),
    });
    Failure::problem(format!("{what}; {help}"))
}

/// What is printed for a reader.
struct Page<'a> {
    view: &'a TimelineView,
    explained: &'a ExplainedView,
    about: About<'a>,
    words: Words,
}

impl Page<'_> {
    fn text(&self) -> String {
        let mut out = String::new();
        if let (Some(scenario), Some(step)) = (self.about.scenario, self.about.step) {
            out += &self.step(scenario, step);
        }
        for happened in &self.view.happened {
            let words = self.words_of(happened.scenario.as_deref());
            out += &format!("{}  {}\n", words.time_column(happened.at), self.sentence(&words, happened));
            for help in self.help(&words, happened) {
                out += &format!("    {help}\n");
            }
        }
        out + &self.as_of_now()
    }

    /// The words for what is about a scenario: its times are in its own zone.
    fn words_of(&self, scenario: Option<&str>) -> Words {
        let of = self.explained.scenarios.iter().find(|it| Some(it.id.as_str()) == scenario);
        let zone = of.and_then(|of| of.zone.as_deref()).and_then(|zone| TimeZone::get(zone).ok());
        self.words.in_zone(zone.unwrap_or_else(|| self.words.zone.clone()))
    }

    fn sentence(&self, words: &Words, happened: &HappenedView) -> String {
        let said = words.sentence(happened);
        let Some(scenario) = self.scenario_of(happened) else { return said };
        let by = match happened.what.as_str() {
            "enrolled" if happened.cause.is_none() => words.only_way(scenario),
            "moved" if happened.until.is_some() => words.moved_by(scenario),
            _ => None,
        };
        match (by, words.lang) {
            (Some(way), Lang::En) => format!("{said} {way}"),
            (Some(way), Lang::Ja) => format!("{way}、{said}"),
            (None, _) => said,
        }
    }

    fn scenario_of(&self, happened: &HappenedView) -> Option<&ScenarioView> {
        let id = happened.scenario.as_deref()?;
        self.explained.scenarios.iter().find(|scenario| scenario.id == id)
    }

    /// What is worth knowing beside the sentence, and what to do.
    fn help(&self, words: &Words, happened: &HappenedView) -> Vec<String> {
        let mut help = Vec::new();
        if let Some(condition) = &happened.condition {
            let condition = words.condition(condition);
            help.push(match words.lang {
                Lang::En => format!("the condition, as the file has it now: {condition}"),
                Lang::Ja => format!("条件（今のファイルの内容）：{condition}"),
            });
        }
        if happened.what == What::NotEnrolled.word()
            && happened.reason.as_deref() == Some("again")
            && let Some(scenario) = self.scenario_of(happened)
        {
            help.push(words.again(scenario));
        }
        if let Some(delivery) = happened.delivery {
            let settle = format!("amadare deliveries settle {delivery} --as accepted|dropped|resend");
            help.push(match words.lang {
                Lang::En => format!("say what became of it, for example after asking the member: {settle}"),
                Lang::Ja => format!("会員に尋ねるなどして、どうなったかを決めてください：{settle}"),
            });
        }
        help
    }

    /// A step as its file has it now.
    fn step(&self, scenario: &str, step: &str) -> String {
        let found = self.explained.scenarios.iter().find(|it| it.id == scenario);
        let found = found.and_then(|it| it.steps.iter().find(|it| it.step == step));
        match (found, self.words.lang) {
            (Some(found), Lang::En) => {
                format!(
                    "{scenario}/{step}, as its file has it now: {}\n\n",
                    self.words.step(found).join("; ")
                )
            }
            (Some(found), Lang::Ja) => {
                format!("{scenario}/{step}（今のファイルの内容）：{}\n\n", self.words.step(found).join("、"))
            }
            (None, Lang::En) => format!("{scenario}/{step} is not in the scenario's file any more\n\n"),
            (None, Lang::Ja) => format!("{scenario}/{step} は、今のシナリオファイルにはありません\n\n"),
        }
    }

    fn as_of_now(&self) -> String {
        let now = self.words.time(self.explained.now);
        let mut out = match (self.view.happened.is_empty(), self.words.lang) {
            (true, _) => String::new(),
            (false, _) => "\n".into(),
        };
        out += &match self.words.lang {
            Lang::En => format!("now, {now}:\n"),
            Lang::Ja => format!("現在（{now}）：\n"),
        };
        for obstacle in &self.explained.obstacles {
            out += &format!("  {}\n", self.words.obstacle(obstacle));
        }
        out += &self.next();
        for run in &self.explained.runs {
            let words = self.words_of(Some(&run.scenario));
            out += &format!("  {}\n", words.run(run));
            let of_run = |planned: &&PlannedView| planned.scenario == run.scenario && planned.key == run.key;
            for planned in self.view.planned.iter().filter(of_run) {
                let said = words.plan_sentence(planned);
                let time = planned.at.map(|at| format!("{}  ", words.time_column(at)));
                out += &format!("    {}{said}\n", time.unwrap_or_default());
            }
        }
        if self.view.planned.is_empty() && self.explained.runs.is_empty() {
            out += match self.words.lang {
                Lang::En => "  nothing is planned\n",
                Lang::Ja => "  予定はありません\n",
            };
            let asked =
                self.explained.scenarios.iter().filter(|it| Some(it.id.as_str()) == self.about.scenario);
            out += &asked.map(|scenario| self.how_it_begins(scenario)).collect::<String>();
        }
        out
    }

    /// What comes first of all that has a time.
    fn next(&self) -> String {
        let timed = self.view.planned.iter().filter(|planned| planned.state == "planned");
        let next = timed.filter_map(|planned| Some((planned.at?, planned))).min_by_key(|(at, _)| *at);
        let Some((at, planned)) = next else { return String::new() };
        let words = self.words_of(Some(&planned.scenario));
        let (at, place) = (words.time(at), format!("{}/{}", planned.scenario, planned.step));
        match self.words.lang {
            Lang::En => format!("  next: {place}, {at}\n"),
            Lang::Ja => format!("  次は {place}（{at}）\n"),
        }
    }

    /// How a scenario that the member is not in begins.
    fn how_it_begins(&self, scenario: &ScenarioView) -> String {
        let id = &scenario.id;
        let mut out = String::new();
        for rule in &scenario.enter {
            let said = self.words.rule(rule);
            out += &match self.words.lang {
                Lang::En => format!("  {id} begins {said}\n"),
                Lang::Ja => format!("  {id} は、{said}\n"),
            };
        }
        if scenario.entered.is_some() {
            out += &format!("  {}\n", self.words.again(scenario));
        }
        let has_where = scenario.enter.iter().any(|rule| rule.by == "on" && rule.condition.is_some());
        if has_where {
            out += match self.words.lang {
                Lang::En => {
                    "  an event for which the condition is false starts nothing and leaves no line here\n"
                }
                Lang::Ja => "  条件に合わないイベントでは始まらず、ここにも残りません\n",
            };
        }
        out
    }
}
