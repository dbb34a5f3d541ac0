//! `amadare simulate`: a scenario file, events from a file, and what would happen.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Failure, check, print};
use crate::dispatch::rehearsal::{Line, Rehearsal};
use crate::dispatch::{Action, Answer, Whom};
use crate::engine::Change;
use crate::engine::change::LinkChange;
use crate::model::{Attributes, Event, EventName, Friendship, LineUserId, Link, MemberId, What};
use crate::scenario::load::scenarios_entered;
use crate::scenario::{Defaults, ScenarioSet, Trigger};
use crate::store::MemoryStore;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The scenario file
    scenario: PathBuf,
    /// Events and member changes, one JSON object a line, sorted by `at`
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Stop at this time (RFC 3339) [default: when nothing is left to do]
    #[arg(long, value_name = "T")]
    until: Option<Timestamp>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line a happening, for reading
    Text,
    /// A JSON object a line
    Json,
}

/// One line of the input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputLine {
    at: String,
    member: String,
    name: Option<String>,
    data: Option<Attributes>,
    attributes: Option<Attributes>,
    tags: Option<BTreeSet<String>>,
    linked: Option<bool>,
    friend: Option<bool>,
}

/// Files looked at for scenarios that steps enter.
const MAX_ENTERED: usize = 100;

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

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let set = check::load_for_use(&with_those_it_enters(&options.scenario), &Defaults::default())?;
    let input = std::fs::read_to_string(&options.events)
        .map_err(|error| Failure::problem(format!("cannot read {}: {error}", options.events.display())))?;
    let scenarios = Arc::new(set);
    let zone = scenarios.iter().next().map_or(TimeZone::UTC, |scenario| scenario.zone.clone());
    let lines = simulate(&scenarios, &input, options.until)
        .map_err(|message| Failure::problem(format!("{}{message}", options.events.display())))?;
    let mut out = String::new();
    for line in &lines {
        let what = line.what.happening.what;
        // for a reader also why an event started nothing; for programs what was promised them
        let is_text = matches!(options.format, Format::Text);
        let for_readers = is_text && matches!(what, What::NotEnrolled | What::Moved | What::Done);
        if !PRINTED.contains(&what) && !for_readers {
            continue;
        }
        match options.format {
            Format::Json => {
                writeln!(out, "{}", as_json(line, &scenarios, &zone)).expect("a string takes all text");
            }
            Format::Text => as_text(&mut out, line, &scenarios, &zone),
        }
    }
    print(&out)?;
    if !lines.iter().any(|line| line.what.happening.what == What::Enrolled) {
        let names: Vec<String> = (scenarios.iter())
            .flat_map(|scenario| &scenario.enter)
            .map(|enter| match &enter.trigger {
                Trigger::Event(name) => format!("on `{name}`"),
                Trigger::Segment(_) => "when a change of the member makes its `segment` true".to_owned(),
                Trigger::Date { .. } => "by a date of the member".to_owned(),
                Trigger::Every(cron) => format!("at `{}`", cron.as_written()),
                Trigger::Manual => "by hand only".to_owned(),
            })
            .collect();
        eprintln!("nobody entered; the scenario enters {}", names.join(", "));
    }
    Ok(())
}

/// The file, and those beside it that its steps enter, and theirs.
fn with_those_it_enters(scenario: &Path) -> Vec<PathBuf> {
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
    paths
}

/// Runs the input through the real engine.
///
/// # Errors
/// `:LINE: what is wrong with it`.
pub(crate) fn simulate(
    scenarios: &Arc<ScenarioSet>,
    input: &str,
    until: Option<Timestamp>,
) -> Result<Vec<Line>, String> {
    let mut steps = Vec::new();
    for (number, text) in
        (1..).zip(input.trim_start_matches('\u{feff}').lines()).filter(|(_, text)| !text.trim().is_empty())
    {
        let step = parse(text).map_err(|error| format!(":{number}: {error}"))?;
        steps.push((number, step));
    }
    // members of the same instant keep their order
    steps.sort_by_key(|(_, step)| step.at);
    let start = steps.first().map_or(Timestamp::UNIX_EPOCH, |(_, step)| step.at);
    let store = |error: crate::store::StoreError| format!(": {error}");
    let mut rehearsal =
        Rehearsal::new(Arc::clone(scenarios), Arc::new(MemoryStore::new()), start).map_err(store)?;
    let mut known = HashSet::new();
    for (number, step) in steps {
        if until.is_some_and(|until| step.at > until) {
            break;
        }
        if known.insert(step.member.clone()) {
            // linked and a friend, unless the input says otherwise
            let action = link(&step.member, true, true);
            rehearsal.act(step.at, action).map_err(store)?;
            rehearsal.take_links();
        }
        for action in step.actions {
            if let Answer::Refused(why) = rehearsal.act(step.at, action).map_err(store)? {
                return Err(format!(":{number}: {why}"));
            }
        }
    }
    match until {
        Some(until) => rehearsal.run_until(until),
        None => rehearsal.run_out(),
    }
    .map_err(store)?;
    Ok(rehearsal.take_lines())
}

struct Step {
    at: Timestamp,
    member: MemberId,
    actions: Vec<Action>,
}

fn parse(text: &str) -> Result<Step, String> {
    let line: InputLine = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let at: Timestamp = line.at.parse().map_err(|_| {
        format!("`at` must be a time with its offset, such as 2026-03-02T21:50:00+09:00, not {:?}", line.at)
    })?;
    let at = Timestamp::from_millisecond(at.as_millisecond()).map_err(|error| error.to_string())?;
    let member = MemberId::new(&line.member).map_err(|error| error.to_string())?;
    let is_change =
        line.attributes.is_some() || line.tags.is_some() || line.linked.is_some() || line.friend.is_some();
    let mut actions = Vec::new();
    match line.name {
        Some(_) if is_change => {
            return Err("a line is an event (`name`, `data`) or a member change, not both".into());
        }
        Some(name) => {
            let name = EventName::new(&name).map_err(|error| error.to_string())?;
            let event = Event { id: None, name, at, data: line.data.unwrap_or_default() };
            actions.push(Action::Event { member: Whom::Member(member.clone()), event });
        }
        None if line.data.is_some() => return Err("`data` needs the `name` of the event".into()),
        None if !is_change => {
            return Err("a line needs `name`, or one of `attributes`, `tags`, `linked`, `friend`".into());
        }
        None => {
            if line.attributes.is_some() || line.tags.is_some() {
                let change = Change { attributes: line.attributes, tags: line.tags, ..Change::default() };
                actions.push(Action::Change { member: member.clone(), change, link: None });
            }
            if line.linked.is_some() || line.friend.is_some() {
                actions.push(link(&member, line.linked.unwrap_or(true), line.friend.unwrap_or(true)));
            }
        }
    }
    Ok(Step { at, member, actions })
}

/// Makes a member a linked friend, a linked user who has blocked the account, or nobody on LINE.
fn link(member: &MemberId, linked: bool, friend: bool) -> Action {
    let digest = Sha256::digest(member.as_str());
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let user = LineUserId::new(&format!("U{hex}")).expect("it has 32 hexadecimal digits");
    let link = match linked {
        true => {
            let friendship = if friend { Friendship::Friend } else { Friendship::Blocked };
            LinkChange::To { link: Link { user, friendship, told_at: None }, adopted: None }
        }
        false => LinkChange::Away { user },
    };
    let change = Change { link: Some(link), ..Change::default() };
    Action::Change { member: member.clone(), change, link: None }
}

fn zone_of(line: &Line, scenarios: &ScenarioSet, otherwise: &TimeZone) -> TimeZone {
    let scenario = line.what.happening.scenario.as_ref().and_then(|id| scenarios.get(id));
    scenario.map_or_else(|| otherwise.clone(), |scenario| scenario.zone.clone())
}

fn rfc3339(instant: Timestamp, zone: &TimeZone) -> String {
    instant.display_with_offset(zone.to_offset(instant)).to_string()
}

fn as_json(line: &Line, scenarios: &ScenarioSet, zone: &TimeZone) -> Value {
    let happening = &line.what.happening;
    let zone = zone_of(line, scenarios, zone);
    let mut object = json!({
        "at": rfc3339(happening.at, &zone),
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
        object["until"] = json!(rfc3339(until, &zone));
    }
    if let Some(messages) = &line.messages {
        object["messages"] = messages.clone();
    }
    object
}

fn as_text(out: &mut String, line: &Line, scenarios: &ScenarioSet, zone: &TimeZone) {
    let happening = &line.what.happening;
    let zone = zone_of(line, scenarios, zone);
    let at = happening.at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %a %H:%M");
    let scenario = happening.scenario.as_ref().map(|id| id.as_str()).unwrap_or_default();
    let step = happening.step.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
    let mut text = format!("{at}  {}  {:<9}  {scenario}{step}", line.what.member, happening.what.word());
    if matches!(happening.what, What::Deferred | What::Moved)
        && let Some(until) = happening.until
    {
        text += &format!("  until {}", until.to_zoned_datetime(zone).strftime("%Y-%m-%d %a %H:%M"));
    }
    if let Some(reason) = &happening.reason {
        text += &format!("  ({reason})");
    }
    out.push_str(&text);
    out.push('\n');
    for message in line.messages.iter().filter_map(Value::as_array).flatten() {
        for shown in message_text(message).lines() {
            writeln!(out, "    │ {shown}").expect("a string takes all text");
        }
    }
}

/// What a person would read first of a message object.
pub(super) fn message_text(message: &Value) -> String {
    let text = |field: &str| message.get(field).and_then(Value::as_str).map(str::to_owned);
    let kind = text("type").unwrap_or_default();
    text("text")
        .or_else(|| text("altText").map(|alt| format!("[{kind}] {alt}")))
        .unwrap_or(format!("[{kind}]"))
}
