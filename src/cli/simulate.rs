//! `amadare simulate`: a scenario file, what is told of members, and what would happen.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::words::{self, Lang, Language, Words};
use super::{Failure, check, print};
use crate::clock::Clock;
use crate::dispatch::rehearsal::{Line, Rehearsal};
use crate::dispatch::{Action, Whom};
use crate::model::{MemberId, ScenarioId, What};
use crate::scenario::file::ScenarioFile;
use crate::scenario::finding::closest;
use crate::scenario::load::scenarios_entered;
use crate::scenario::program::parse_instant;
use crate::scenario::{Defaults, Scenario, ScenarioSet, Trigger, written};

mod input;
mod insight;
mod play;
mod samples;
mod shown;
mod source;
mod tally;
mod text;

use insight::Insight;
use play::{End, Listener, Told};
use samples::{Moved, Samples, Start};
use shown::Shown;
use source::Source;
use tally::{Tally, Unheard};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The scenario file
    scenario: PathBuf,
    /// Events and member changes, one JSON object a line [default: the file's own `samples:`]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// When the samples enter: 2026-04-06T10:00 in the scenario's zone, or RFC 3339 [default: now, or in time for
    /// a sample's own date]
    #[arg(long, value_name = "T", conflicts_with = "events")]
    at: Option<String>,
    /// Stop at this time, written as with --at, or at the end of a date [default: when nothing is left to do]
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Say why each thing happens, and why something does not
    #[arg(long)]
    explain: bool,
    /// Write a page of it to this file: the timeline as a picture, and the messages as members see them
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    language: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a happening, for reading
    Text,
    /// A JSON object a line
    Json,
}

/// Files looked at for scenarios that steps enter.
const MAX_ENTERED: usize = 100;

/// Text that is held back before it is printed, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Members who never entered of whom it is said why.
const MAX_NEVER_ENTERED: usize = 5;

/// The words that `simulate` prints; what else the timeline knows is not part of its contract.
const PRINTED: [What; 8] = [
    What::Enrolled,
    What::Accepted,
    What::Deferred,
    What::Skipped,
    What::Rejected,
    What::Converted,
    What::Exited,
    What::Completed,
];

/// What a person sees besides: why an event started nothing, what steps did that send nothing.
const FOR_READERS: [What; 3] = [What::NotEnrolled, What::Moved, What::Done];

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let lang = options.language.lang();
    let paths = with_those_it_enters(&options.scenario)?;
    let scenarios = Arc::new(check::load_for_use(&paths, &Defaults::default())?);
    let mut sources = BTreeMap::new();
    let mut own = None;
    for path in &paths {
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::problem(format!("cannot read {}: {error}", path.display())))?;
        if let Ok(id) = ScenarioId::new(&path.file_stem().unwrap_or_default().to_string_lossy()) {
            sources.insert(id.clone(), Source::read(&bytes));
            own.get_or_insert((id, bytes));
        }
    }
    let (id, bytes) = own.ok_or_else(|| Failure::problem("the scenario file has no name"))?;
    let scenario =
        Arc::clone(scenarios.get(&id).ok_or_else(|| Failure::problem("the scenario was not loaded"))?);
    let until = options.until.as_deref().map(|text| end("--until", text, &scenario.zone)).transpose()?;
    let mut run = Run {
        options,
        lang,
        zone: scenario.zone.clone(),
        until,
        scenarios: &scenarios,
        scenario: &scenario,
        sources: &sources,
    };
    let (told, moved) = match &options.events {
        Some(events) => {
            run.refuse_to_overwrite(&[&options.scenario, events])?;
            (input::read(events, &scenarios, &scenario.zone)?, Vec::new())
        }
        None => {
            run.refuse_to_overwrite(&[&options.scenario])?;
            let Samples { told, moved } = run.samples(&bytes)?;
            (told, moved)
        }
    };
    run.play(told, &moved)
}

/// One call of the command.
struct Run<'a> {
    options: &'a Options,
    lang: Lang,
    zone: TimeZone,
    until: Option<Timestamp>,
    scenarios: &'a Arc<ScenarioSet>,
    scenario: &'a Scenario,
    sources: &'a BTreeMap<ScenarioId, Source>,
}

impl Run<'_> {
    fn samples(&self, bytes: &[u8]) -> Result<Samples, Failure> {
        let name = self.options.scenario.display().to_string();
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let file: ScenarioFile =
            serde_yaml::from_slice(bytes).map_err(|error| Failure::problem(format!("{name}: {error}")))?;
        let start = match &self.options.at {
            Some(text) => Start::At(instant("--at", text, &self.zone)?),
            None => {
                let minute = Clock::system().now().as_second().div_euclid(60) * 60;
                Start::Now(Timestamp::from_second(minute).map_err(|e| Failure::problem(e.to_string()))?)
            }
        };
        let samples = samples::told_by(&file, &name, self.scenario, start)
            .map_err(|error| Failure::problem(format!("{name}: {error}")))?;
        if samples.told.is_empty() {
            return Err(Failure::problem(no_samples(&name, self.scenario)));
        }
        Ok(samples)
    }

    fn refuse_to_overwrite(&self, inputs: &[&Path]) -> Result<(), Failure> {
        let Some(html) = &self.options.html else { return Ok(()) };
        let is_same = |input: &&&Path| match (input.canonicalize(), html.canonicalize()) {
            (Ok(input), Ok(html)) => input == html,
            _ => false,
        };
        match inputs.iter().find(is_same) {
            Some(input) => Err(Failure::problem(format!(
                "--html would overwrite {}; give the page a name of its own, such as page.html",
                input.display()
            ))),
            None => Ok(()),
        }
    }

    fn play(&mut self, told: Vec<Told>, moved: &[Moved]) -> Result<(), Failure> {
        let is_text = self.options.format == Format::Text;
        let tells_lines = !is_text || self.options.html.is_none();
        let members: Vec<(MemberId, Timestamp)> = match self.options.events {
            // many members, and most of them were not meant to enter
            Some(_) => Vec::new(),
            None => told.iter().map(|told| (told.member.clone(), told.at)).collect(),
        };
        let mut unheard = Unheard::default();
        for told in &told {
            for action in &told.actions {
                if let Action::Event { event, .. } = action
                    && self.scenarios.listening_to(&event.name).is_empty()
                {
                    unheard.add(event.name.as_str(), told.place.to_string());
                }
            }
        }
        let mut follower = Follower {
            lang: self.lang,
            zone: &self.zone,
            scenarios: self.scenarios,
            format: self.options.format,
            tells_lines,
            out: String::new(),
            tally: Tally::new(),
            shown: self.options.html.as_ref().map(|_| Shown::new(self.lang, self.zone.clone())),
            insight: (self.options.explain).then(|| Insight::new(self.lang, self.scenarios, self.sources)),
            entered: HashSet::new(),
            files: Vec::new(),
            watched: members.iter().map(|(member, _)| member.clone()).collect(),
        };
        let end = play::play(self.scenarios, told, self.until, &mut follower)?;
        let mut notes = unheard.sentences(self.scenarios, self.lang);
        notes.extend(moved.iter().map(|moved| self.moved(moved)));
        notes.extend(self.nobody(&follower));
        if let End::CutOff { at } = end {
            let at = text::time(at, &self.zone, self.lang);
            notes.push(match self.lang {
                Lang::En => format!(
                    "it does not come to an end, and was cut off at {at}; --until T stops where you like"
                ),
                Lang::Ja => {
                    format!("終わりがないため {at} で打ち切りました。--until で終わりの日時を指定できます")
                }
            });
        }
        if self.scenario.paused {
            notes.push(match self.lang {
                Lang::En => "the scenario is paused: members enter, and nothing is sent".to_owned(),
                Lang::Ja => {
                    "このシナリオは一時停止中（`paused`）です。始まりますが、何も送りません".to_owned()
                }
            });
        }
        self.finish(follower, notes)
    }

    fn finish(&self, follower: Follower<'_>, notes: Vec<String>) -> Result<(), Failure> {
        let Follower { mut out, tally, shown, tells_lines, .. } = follower;
        if self.options.format == Format::Json {
            print(&out)?;
            notes.iter().for_each(|note| eprintln!("{note}"));
        } else {
            if tally.span().is_some() {
                out += if tells_lines { "\n" } else { "" };
                tally.write(&mut out, self.scenarios, &self.zone, self.lang);
            }
            if !notes.is_empty() {
                out += if tally.span().is_some() { "\n" } else { "" };
                notes.iter().for_each(|note| text::push_line(&mut out, &format!("! {note}")));
            }
            print(&out)?;
        }
        let (Some(path), Some(shown)) = (&self.options.html, shown) else { return Ok(()) };
        let page = shown.page(self.scenario, self.scenarios, &tally, notes).to_html();
        std::fs::write(path, page).map_err(|error| {
            Failure::problem(format!("cannot write the page to {}: {error}", path.display()))
        })?;
        match (self.options.format, self.lang) {
            (Format::Json, _) => Ok(()),
            (_, Lang::En) => print(&format!("\nthe page is in {}; open it in a browser\n", path.display())),
            (_, Lang::Ja) => {
                print(&format!("\n{} に書き出しました。ブラウザーで開いてください\n", path.display()))
            }
        }
    }

    fn moved(&self, moved: &Moved) -> String {
        let words = Words::new(self.lang, self.zone.clone());
        let time = |at| words.time(at);
        let Moved { member, enters, for_the } = moved;
        let (enters, date) = (time(*enters), time(*for_the));
        match (self.lang, enters == date) {
            (Lang::En, true) => format!(
                "{member} enters at {enters} and not now, by the sample's anchor or the scenario's `starts`; --at T says when"
            ),
            (Lang::En, false) => format!(
                "{member} enters at {enters} and not now, in time for its date {date}; --at T says when"
            ),
            (Lang::Ja, true) => format!(
                "{member} は、サンプルの基準日時または `starts` に合わせて {enters} に始めました。--at で変えられます"
            ),
            (Lang::Ja, false) => format!(
                "{member} は、日付 {date} に間に合うように {enters} に始めました。--at で変えられます"
            ),
        }
    }

    /// If nobody entered, how one does; of samples also why each did not.
    fn nobody(&self, follower: &Follower<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if !follower.tally.has_entered() {
            let enters = ways_in(self.scenarios, self.lang);
            notes.push(match self.lang {
                Lang::En => format!("nobody entered; the scenario enters {enters}"),
                Lang::Ja => format!("誰も始まりませんでした。始まるのは{enters}です"),
            });
        }
        let insight = Insight::new(self.lang, self.scenarios, self.sources);
        let left = follower.files.iter().filter(|(file, _, _)| !follower.entered.contains(&file.id));
        for (file, at, event) in left.take(MAX_NEVER_ENTERED) {
            let why = insight.never_entered(self.scenario, file, *at, event.as_ref()).join("; ");
            notes.push(match self.lang {
                Lang::En => format!("{} did not enter {}: {why}", file.id, self.scenario.id),
                Lang::Ja => format!("{} では {} が始まりませんでした。{why}", file.id, self.scenario.id),
            });
        }
        notes
    }
}

/// Prints, counts and keeps what happens.
struct Follower<'a> {
    lang: Lang,
    zone: &'a TimeZone,
    scenarios: &'a ScenarioSet,
    format: Format,
    /// False where only the summary is printed.
    tells_lines: bool,
    out: String,
    tally: Tally,
    shown: Option<Shown>,
    insight: Option<Insight<'a>>,
    /// Samples that have entered.
    entered: HashSet<MemberId>,
    /// Samples as they were when they were to enter, and what was told of them.
    files: Vec<(crate::model::MemberFile, Timestamp, Option<crate::model::Attributes>)>,
    watched: HashSet<MemberId>,
}

impl Listener for Follower<'_> {
    fn about_to(&mut self, action: &Action, rehearsal: &Rehearsal) -> Result<(), Failure> {
        if let Some(insight) = &mut self.insight {
            insight.about_to(action, rehearsal)?;
        }
        Ok(())
    }

    fn set_up(&mut self, told: &Told, rehearsal: &Rehearsal) -> Result<(), Failure> {
        if self.watched.contains(&told.member) {
            let file = rehearsal.member(&told.member).map_err(|error| Failure::problem(error.to_string()))?;
            let data = told.actions.iter().find_map(|action| match action {
                Action::Event { member: Whom::Member(_), event } => Some(event.data.clone()),
                Action::Enroll { wish, .. } => Some(wish.data.clone()),
                _ => None,
            });
            self.files.extend(file.map(|file| (file, told.at, data)));
        }
        Ok(())
    }

    fn happened(&mut self, lines: Vec<Line>, rehearsal: &Rehearsal) -> Result<(), Failure> {
        match &mut self.insight {
            Some(insight) => {
                for (line, why) in insight.explain(lines, rehearsal)? {
                    self.hear(&line, &why, rehearsal)?;
                }
            }
            None => {
                for line in lines {
                    self.hear(&line, &[], rehearsal)?;
                }
            }
        }
        if self.out.len() > PIECE_BYTES {
            print(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}

impl Follower<'_> {
    fn hear(&mut self, line: &Line, why: &[String], rehearsal: &Rehearsal) -> Result<(), Failure> {
        let what = line.what.happening.what;
        if what == What::Enrolled && self.watched.contains(&line.what.member) {
            self.entered.insert(line.what.member.clone());
        }
        let is_for_readers = PRINTED.contains(&what) || FOR_READERS.contains(&what);
        if is_for_readers {
            self.tally.count(line);
        }
        if let Some(shown) = self.shown.as_mut().filter(|_| is_for_readers) {
            let about = || {
                let file = rehearsal.member(&line.what.member).ok().flatten()?;
                Some(((*file.attributes).clone(), file.tags.iter().cloned().collect()))
            };
            shown.happened(line, why, about);
        }
        match self.format {
            Format::Json if PRINTED.contains(&what) => {
                writeln!(self.out, "{}", as_json(line, self.scenarios, self.zone))
                    .expect("a string takes all text");
            }
            Format::Text if is_for_readers && self.tells_lines => {
                let why = self.insight.is_some().then_some(why);
                text::write_line(&mut self.out, line, why, self.scenarios, self.zone, self.lang);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The file, and those beside it that its steps enter, and theirs.
fn with_those_it_enters(scenario: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !scenario.is_file() {
        return Err(Failure::problem(no_file(scenario)));
    }
    let mut paths = vec![scenario.to_owned()];
    let mut looked_at = 0;
    while let Some(path) = paths.get(looked_at)
        && looked_at < MAX_ENTERED
    {
        looked_at += 1;
        let Ok(bytes) = std::fs::read(path) else { continue };
        for id in scenarios_entered(&path.to_string_lossy(), &bytes) {
            let beside = scenario.with_file_name(format!("{id}.yaml"));
            if beside.is_file() && !paths.contains(&beside) {
                paths.push(beside);
            }
        }
    }
    Ok(paths)
}

/// What to say of a scenario file that is not there.
fn no_file(scenario: &Path) -> String {
    let shown = scenario.display();
    if scenario.is_dir() {
        return format!("{shown} is a folder; name one scenario file in it");
    }
    let stem = scenario.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folders = [scenario.parent().unwrap_or(Path::new("")).to_owned(), PathBuf::from("scenarios")];
    let mut near = Vec::new();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        near.extend(inside.filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml")));
    }
    let stems: Vec<String> =
        near.iter().map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned()).collect();
    let best = closest(&stem, stems.iter().map(String::as_str)).map(str::to_owned);
    let path = best.and_then(|best| stems.iter().position(|stem| *stem == best)).map(|place| &near[place]);
    match path {
        Some(path) => format!("there is no file {shown}; did you mean {}?", path.display()),
        None => {
            format!("there is no file {shown}; name a scenario file, such as scenarios/trial-followup.yaml")
        }
    }
}

/// What to do where neither events nor samples are there.
fn no_samples(name: &str, scenario: &Scenario) -> String {
    let event = scenario.enter.iter().find_map(|enter| enter.event());
    let sample = match event {
        Some(_) => "samples:\n  - member: { name: Sakura }\n    event: { sku: TRIAL-7 }\n",
        None => "samples:\n  - member: { name: Sakura }\n",
    };
    let line = match event {
        Some(event) => format!(r#"{{"at":"2026-04-06T10:00","member":"m-1","name":"{event}","data":{{}}}}"#),
        None => r#"{"at":"2026-04-06T10:00","member":"m-1","attributes":{"name":"Sakura"}}"#.to_owned(),
    };
    format!(
        "there is nobody to simulate with: {name} has no `samples:`, and no --events were given\n\n\
         add samples to the file:\n\n{sample}\n\
         or write events, one a line, and give them with --events FILE:\n\n{line}"
    )
}

/// # Errors
/// The text is no moment.
fn instant(option: &str, text: &str, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let read = parse_instant(text, zone).or_else(|| {
        // a time with a blank in it, as tables have it
        parse_instant(&text.replacen(' ', "T", 1), zone)
    });
    read.ok_or_else(|| {
        Failure::problem(format!(
            "{option} takes a date or a time such as 2026-04-06, 2026-04-06T10:00 or 2026-04-06T10:00:00+09:00, not {text:?}"
        ))
    })
}

/// As [`instant`]; a date alone is the whole of that day.
///
/// # Errors
/// The text is no moment.
fn end(option: &str, text: &str, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let begins = instant(option, text, zone)?;
    // the end of a day is the beginning of the next, which is not meant
    let next = written::end_of(text, zone).ok().filter(|next| *next != begins);
    Ok(next.and_then(|next| next.checked_sub(SignedDuration::from_millis(1)).ok()).unwrap_or(begins))
}

/// What starts the scenarios, in words.
fn ways_in(scenarios: &ScenarioSet, lang: Lang) -> String {
    let ways: Vec<String> = (scenarios.iter())
        .flat_map(|scenario| &scenario.enter)
        .map(|enter| match (&enter.trigger, lang) {
            (Trigger::Event(name), Lang::En) => format!("on `{name}`"),
            (Trigger::Segment(_), Lang::En) => {
                "when a change of the member makes its `segment` true".to_owned()
            }
            (Trigger::Date { .. }, Lang::En) => "by a date of the member".to_owned(),
            (Trigger::Every(cron), Lang::En) => format!("at `{}`", cron.as_written()),
            (Trigger::Manual, Lang::En) => "by hand only".to_owned(),
            (Trigger::Event(name), Lang::Ja) => format!("イベント `{name}` が届いたとき"),
            (Trigger::Segment(_), Lang::Ja) => {
                "会員の情報が変わって `segment` の条件を満たしたとき".to_owned()
            }
            (Trigger::Date { .. }, Lang::Ja) => "会員の日付が来るとき".to_owned(),
            (Trigger::Every(cron), Lang::Ja) => format!("時刻 `{}`", cron.as_written()),
            (Trigger::Manual, Lang::Ja) => "手動で始めたとき".to_owned(),
        })
        .collect();
    ways.join(if lang == Lang::Ja { "、" } else { ", " })
}

/// The zone of the scenario that a line is about.
fn zone_of<'z>(line: &Line, scenarios: &'z ScenarioSet, otherwise: &'z TimeZone) -> &'z TimeZone {
    let scenario = line.what.happening.scenario.as_ref().and_then(|id| scenarios.get(id));
    scenario.map_or(otherwise, |scenario| &scenario.zone)
}

fn rfc3339(instant: Timestamp, zone: &TimeZone) -> String {
    instant.display_with_offset(zone.to_offset(instant)).to_string()
}

fn as_json(line: &Line, scenarios: &ScenarioSet, zone: &TimeZone) -> Value {
    let happening = &line.what.happening;
    let zone = zone_of(line, scenarios, zone);
    let mut object = json!({
        "at": rfc3339(happening.at, zone),
        "member": line.what.member.as_str(),
        "scenario": happening.scenario.as_ref().map(|id| id.as_str()),
    });
    if let Some(step) = &happening.step {
        object["step"] = json!(step.as_str());
    }
    object["what"] = json!(happening.what.word());
    if let Some(reason) = &happening.reason {
        object["reason"] = json!(&**reason);
    }
    if happening.what == What::Deferred
        && let Some(until) = happening.until
    {
        object["until"] = json!(rfc3339(until, zone));
    }
    if let Some(messages) = &line.messages {
        object["messages"] = messages.clone();
    }
    object
}

/// What events, one a line, would bring about up to then.
///
/// # Errors
/// What is wrong with a line, behind `name` and its number.
pub(super) fn lines_of(
    scenarios: &Arc<ScenarioSet>,
    (name, events): (&str, &str),
    until: Timestamp,
) -> Result<Vec<Line>, Failure> {
    struct Lines(Vec<Line>);

    impl Listener for Lines {
        fn set_up(&mut self, _: &Told, _: &Rehearsal) -> Result<(), Failure> {
            Ok(())
        }

        fn about_to(&mut self, _: &Action, _: &Rehearsal) -> Result<(), Failure> {
            Ok(())
        }

        fn happened(&mut self, lines: Vec<Line>, _: &Rehearsal) -> Result<(), Failure> {
            self.0.extend(lines);
            Ok(())
        }
    }

    let told = input::read_text(name, events, scenarios, &TimeZone::UTC)?;
    let mut lines = Lines(Vec::new());
    play::play(scenarios, told, Some(until), &mut lines)?;
    Ok(lines.0)
}

/// What a person would read first of a message object.
pub(super) fn message_text(message: &Value) -> String {
    let text = |field: &str| message.get(field).and_then(Value::as_str).map(str::to_owned);
    let kind = text("type").unwrap_or_default();
    text("text")
        .or_else(|| text("altText").map(|alt| format!("[{kind}] {alt}")))
        .unwrap_or(format!("[{kind}]"))
}
