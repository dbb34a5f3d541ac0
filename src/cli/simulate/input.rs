//! Events and member changes from a file, one JSON object a line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::play::{Number, Place, Told};
use crate::cli::Failure;
use crate::dispatch::{Action, Whom};
use crate::engine::change::LinkChange;
use crate::engine::{Change, Enroll};
use crate::model::{Attributes, Event, EventName, Friendship, LineUserId, Link, MemberId, ScenarioId};
use crate::scenario::ScenarioSet;
use crate::scenario::finding::did_you_mean;
use crate::scenario::program::parse_instant;

/// The largest file of events, in bytes: half a million events. It is held in memory, to be sorted.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// The keys of a line.
const KEYS: [&str; 10] =
    ["at", "member", "name", "data", "attributes", "tags", "linked", "friend", "enroll", "key"];

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
    /// A scenario that the member enters by hand.
    enroll: Option<String>,
    /// With `enroll`: the key of the run.
    key: Option<String>,
}

/// Reads a file of events, sorted by their time; of the same instant in the order written.
pub(super) fn read(path: &Path, scenarios: &ScenarioSet, zone: &TimeZone) -> Result<Vec<Told>, Failure> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| Failure::problem(format!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        let mib = MAX_INPUT_BYTES / 1024 / 1024;
        return Err(Failure::problem(format!(
            "{name} is larger than {mib} MiB, which is as much as is read at once; take fewer members or days"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Failure::problem(format!("{name}:{line}: this is not UTF-8; save the file as UTF-8"))
    })?;
    read_text(&name, &text, scenarios, zone)
}

/// Reads a text of events, one a line, sorted by their time; of the same instant in the order written.
pub(super) fn read_text(
    name: &str,
    text: &str,
    scenarios: &ScenarioSet,
    zone: &TimeZone,
) -> Result<Vec<Told>, Failure> {
    let file: Arc<str> = name.into();
    let mut told = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place { file: Arc::clone(&file), number: Number::Line(number) };
        let wrong = |error| Failure::problem(format!("{place}:{error}"));
        told.push(parse_line(line, place.clone(), scenarios, zone).map_err(wrong)?);
    }
    told.sort_by_key(|told| told.at);
    Ok(told)
}

/// # Errors
/// ` what is wrong`, with the column in front where it is known.
fn parse_line(text: &str, place: Place, scenarios: &ScenarioSet, zone: &TimeZone) -> Result<Told, String> {
    let line: InputLine = serde_json::from_str(text).map_err(|error| unreadable(&error, text))?;
    read_line(line, place, scenarios, zone).map_err(|error| format!(" {error}"))
}

fn read_line(
    line: InputLine,
    place: Place,
    scenarios: &ScenarioSet,
    zone: &TimeZone,
) -> Result<Told, String> {
    let at = parse_instant(&line.at, zone).ok_or_else(|| {
        format!(
            "`at` must be a time such as 2026-03-02T21:50:00+09:00 or 2026-03-02T21:50, not {:?}",
            line.at
        )
    })?;
    let at = Timestamp::from_millisecond(at.as_millisecond()).map_err(|error| error.to_string())?;
    let member = MemberId::new(&line.member).map_err(|error| error.to_string())?;
    let is_change =
        line.attributes.is_some() || line.tags.is_some() || line.linked.is_some() || line.friend.is_some();
    let kinds = [line.name.is_some(), is_change, line.enroll.is_some()];
    if kinds.iter().filter(|is| **is).count() > 1 {
        return Err("a line is an event (`name`, `data`), a member change or an `enroll`, not several; \
                    write a line for each, with the same `at`"
            .into());
    }
    if line.key.is_some() && line.enroll.is_none() {
        return Err("`key` goes with `enroll`; the key of an event stands in its `data`".into());
    }
    let mut actions = Vec::new();
    match (line.name, line.enroll) {
        (Some(name), _) => {
            let name = EventName::new(&name).map_err(|error| error.to_string())?;
            let event = Event { id: None, name, at, data: line.data.unwrap_or_default() };
            actions.push(Action::Event { member: Whom::Member(member.clone()), event });
        }
        (None, Some(id)) => {
            let scenario = known_scenario(&id, scenarios)?;
            let key = line.key.map(Arc::from);
            let wish = Enroll { id: None, scenario, key, data: line.data.unwrap_or_default() };
            actions.push(Action::Enroll { member: member.clone(), wish });
        }
        (None, None) if line.data.is_some() => {
            return Err("`data` needs the `name` of the event".into());
        }
        (None, None) if !is_change => {
            return Err("a line needs `name` (an event), one of `attributes`, `tags`, `linked`, `friend` \
                        (what is known of the member), or `enroll`"
                .into());
        }
        (None, None) => {
            if line.attributes.is_some() || line.tags.is_some() {
                let change = Change { attributes: line.attributes, tags: line.tags, ..Change::default() };
                actions.push(Action::Change { member: member.clone(), change, link: None });
            }
            if line.linked.is_some() || line.friend.is_some() {
                let link = Some(link_of(&member, line.linked.unwrap_or(true), line.friend.unwrap_or(true)));
                let change = Change { link, ..Change::default() };
                actions.push(Action::Change { member: member.clone(), change, link: None });
            }
        }
    }
    Ok(Told { at, member, setup: None, actions, place })
}

fn known_scenario(id: &str, scenarios: &ScenarioSet) -> Result<ScenarioId, String> {
    let known = ScenarioId::new(id).ok().filter(|id| scenarios.get(id).is_some());
    known.ok_or_else(|| {
        let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
        let help = did_you_mean(id, names.iter().copied())
            .unwrap_or_else(|| format!("there is {}", names.join(", ")));
        format!("there is no scenario `{id}` here; {help}")
    })
}

/// What is wrong with a line that is not what it should be, and what to do.
fn unreadable(error: &serde_json::Error, text: &str) -> String {
    let said = error.to_string();
    // the line is ours to count, not that of a parser that sees one line
    let said = said.split(" at line ").next().unwrap_or(&said);
    let start = text.trim_start();
    let unknown = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let help = match unknown {
        Some(word) => did_you_mean(word, KEYS).unwrap_or_else(|| {
            "data of an event goes into `data`, what is known of the member into `attributes`".into()
        }),
        None if start.starts_with('[') => "write one object a line, without [ ] around them".into(),
        None if !start.starts_with('{') => {
            "a line looks like {\"at\":\"2026-04-06T10:00\",\"member\":\"m-1\",\"name\":\"purchase\"}".into()
        }
        None if said == "trailing characters" => "one object a line, and no comma behind it".into(),
        None if said.starts_with("missing field") => "every line has `at` and `member`".into(),
        None => String::new(),
    };
    let column = if error.column() > 0 { format!("{}:", error.column()) } else { String::new() };
    match help.is_empty() {
        true => format!("{column} {said}"),
        false => format!("{column} {said}; {help}"),
    }
}

/// What makes a member a linked friend, a linked user who has blocked the account, or nobody on LINE.
pub(super) fn link_of(member: &MemberId, linked: bool, friend: bool) -> LinkChange {
    let digest = Sha256::digest(member.as_str());
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let user = LineUserId::new(&format!("U{hex}")).expect("it has 32 hexadecimal digits");
    match linked {
        true => {
            let friendship = if friend { Friendship::Friend } else { Friendship::Blocked };
            LinkChange::To { link: Link { user, friendship, told_at: None }, adopted: None }
        }
        false => LinkChange::Away { user },
    }
}
