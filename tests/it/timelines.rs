//! Timelines as data: a scenario, events, and what must come of them, each in one file of
//! `tests/timelines/`, run through the real engine and turns on either store.
//!
//! `UPDATE_TIMELINES=1 cargo test --test it timelines` writes what came out into the files, to be read
//! before it is committed.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use amadare::dispatch::rehearsal::{Line, Rehearsal};
use amadare::dispatch::{Action, IfTaken, LinkRequest, Whom};
use amadare::engine::{Change, Enroll, OptChange};
use amadare::model::{Event, EventName, Friendship, LineUserId, MemberId, ScenarioId, What};
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Cap, Defaults, ScenarioSet, calendar, written};
use amadare::store::{self, MemoryStore, Store};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A case as it is written.
struct Case {
    zone: TimeZone,
    scenarios: Arc<ScenarioSet>,
    events: Vec<Happens>,
    /// When the daemon starts; none for the first event.
    start: Option<Timestamp>,
    until: Option<Timestamp>,
    timeline: Vec<String>,
    /// Leave out the texts of messages.
    texts: bool,
}

struct Happens {
    at: Timestamp,
    member: MemberId,
    what: String,
    rest: String,
}

#[test]
fn every_timeline_comes_out_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cases: Vec<_> = std::fs::read_dir(root.join("tests/timelines"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 90, "only {} timelines were found", cases.len());
    // most of the time goes into waiting for the disk
    let failures: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = (cases.chunks(cases.len().div_ceil(8)))
            .map(|part| scope.spawn(move || part.iter().map(|path| check(path, root)).collect::<String>()))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let failures = failures.concat();
    assert!(failures.is_empty(), "{failures}");
}

/// Runs a case on either store, and tells where it does not come out as written.
fn check(path: &Path, root: &Path) -> String {
    let name = path.file_stem().unwrap().to_string_lossy();
    let text = std::fs::read_to_string(path).unwrap();
    let case = match parse(&text, root) {
        Ok(case) => case,
        Err(error) => return format!("\n{name}: {error}\n"),
    };
    let folder = tempfile::tempdir().unwrap();
    let stores: [(&str, Arc<dyn Store>); 2] =
        [("memory", Arc::new(MemoryStore::new())), ("sled", store::open(folder.path(), 16 << 20).unwrap())];
    let mut failures = String::new();
    for (engine, store) in stores {
        let found = run(&case, store);
        if is_updating() {
            let kept = text.split_inclusive("timeline:\n").next().unwrap();
            let lines: String = found.iter().map(|line| format!("  {line}\n")).collect();
            std::fs::write(path, format!("{kept}{lines}")).unwrap();
        } else if found != case.timeline {
            writeln!(failures, "\n{name} on {engine}:\n{}", difference(&case.timeline, &found)).unwrap();
        }
    }
    failures
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so in the environment")]
fn is_updating() -> bool {
    std::env::var_os("UPDATE_TIMELINES").is_some()
}

fn difference(expected: &[String], found: &[String]) -> String {
    let mut out = String::new();
    for line in expected.iter().filter(|line| !found.contains(line)) {
        writeln!(out, "  - {line}").unwrap();
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        writeln!(out, "  + {line}").unwrap();
    }
    if out.is_empty() {
        out = "  the same lines in another order, found:\n".to_owned();
        for line in found {
            writeln!(out, "    {line}").unwrap();
        }
    }
    out
}

fn parse(text: &str, root: &Path) -> Result<Case, String> {
    let mut zone = TimeZone::get("Asia/Tokyo").unwrap();
    let mut files: Vec<std::path::PathBuf> = Vec::new();
    let mut inline: HashMap<String, String> = HashMap::new();
    let (mut events, mut timeline, mut until, mut texts) = (Vec::new(), Vec::new(), None, true);
    let (mut defaults, mut start) = (Defaults::default(), None);
    let mut section = "";
    for line in text.lines() {
        let indented = line.starts_with(' ');
        let trimmed = line.trim_end();
        if trimmed.is_empty() || trimmed.trim_start().starts_with('#') {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix("--- ") {
            section = "inline";
            inline.insert(name.to_owned(), String::new());
            files.push(name.into());
            continue;
        }
        if section == "inline" && trimmed != "events:" {
            let name = files.last().unwrap().to_string_lossy().into_owned();
            let file = inline.get_mut(&name).unwrap();
            file.push_str(trimmed);
            file.push('\n');
            continue;
        }
        if !indented {
            match trimmed.split_once(':').map(|(key, value)| (key, value.split(" #").next().unwrap().trim()))
            {
                Some(("zone", name)) => zone = TimeZone::get(name).map_err(|e| e.to_string())?,
                Some(("scenario", file)) => files.push(root.join("scenarios").join(file)),
                Some(("until", at)) => until = Some(civil(at, &zone)?),
                Some(("texts", "no")) => texts = false,
                Some(("caps", caps)) => defaults.caps = read_caps(caps)?,
                Some(("closed", days)) => {
                    defaults.closed.push(calendar::closed(days).map_err(|e| e.message)?);
                }
                Some(("start", at)) => start = Some(civil(at, &zone)?),
                Some(("events", "")) => section = "events",
                Some(("timeline", "")) => section = "timeline",
                _ => return Err(format!("`{trimmed}` is not understood")),
            }
            continue;
        }
        let line = trimmed.trim_start();
        match section {
            "events" => {
                let mut words = line.splitn(4, "  ").map(str::trim);
                let (at, member, what) = (words.next(), words.next(), words.next());
                let (Some(at), Some(member), Some(what)) = (at, member, what) else {
                    return Err(format!("`{line}` is no event"));
                };
                events.push(Happens {
                    at: civil(at, &zone)?,
                    member: MemberId::new(member).map_err(|e| e.to_string())?,
                    what: what.to_owned(),
                    rest: words.next().unwrap_or_default().to_owned(),
                });
            }
            "timeline" => timeline.push(line.to_owned()),
            _ => return Err(format!("`{line}` is in no section")),
        }
    }
    // of the same instant in the order written
    events.sort_by_key(|event: &Happens| event.at);
    let sources = match inline.is_empty() {
        true => Sources::read(&files).map_err(|e| e.to_string())?,
        false => {
            let named = inline.into_iter().map(|(name, text)| (name, text.into_bytes()));
            Sources::from_files(named)
        }
    };
    let loaded = load(&sources, &Defaults { zone: zone.clone(), ..defaults });
    let scenarios = loaded
        .set
        .ok_or_else(|| loaded.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(Case { zone, scenarios: Arc::new(scenarios), events, start, until, timeline, texts })
}

/// `3 per 1d, 1 per 1h`.
fn read_caps(text: &str) -> Result<Vec<Cap>, String> {
    let one = |cap: &str| {
        let (max, per) = cap.trim().split_once(" per ").ok_or("caps are written `3 per 1d`")?;
        let per = written::fixed(per).map_err(|e| e.message)?;
        Ok(Cap { max: max.parse().map_err(|_| "a cap starts with a number")?, per })
    };
    text.split(',').map(one).collect()
}

fn civil(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let civil: jiff::civil::DateTime = text.parse().map_err(|_| format!("`{text}` is no time"))?;
    Ok(civil.to_zoned_datetime(zone.clone()).map_err(|e| e.to_string())?.timestamp())
}

/// A member's LINE user, made from its id.
fn user(member: &MemberId) -> LineUserId {
    LineUserId::new(&format!("U{:032x}", amadare::model::fingerprint(member.as_str()))).unwrap()
}

fn run(case: &Case, store: Arc<dyn Store>) -> Vec<String> {
    let start = case.start.unwrap_or_else(|| case.events.first().expect("a case has events").at);
    let open = |at| Rehearsal::new(Arc::clone(&case.scenarios), Arc::clone(&store), at).unwrap();
    let mut rehearsal = open(start);
    let mut known = std::collections::HashSet::new();
    let mut before = Vec::new();
    for (number, event) in case.events.iter().enumerate() {
        match event.what.as_str() {
            // between the two the daemon is down, and no time passes for it
            "stops" => {
                rehearsal.run_until(event.at).unwrap();
                continue;
            }
            "restarts" => {
                before.append(&mut rehearsal.take_lines());
                rehearsal = open(event.at);
                continue;
            }
            _ => {}
        }
        if known.insert(event.member.clone()) && event.what != "unlinked" {
            rehearsal.act(event.at, befriend(&event.member)).unwrap();
            rehearsal.take_links();
        }
        if let Some(action) = action(event, number, &case.zone) {
            rehearsal.act(event.at, action).unwrap();
        }
    }
    match case.until {
        Some(until) => rehearsal.run_until(until).unwrap(),
        None => rehearsal.run_out().unwrap(),
    }
    before.append(&mut rehearsal.take_lines());
    before.iter().flat_map(|line| show(line, case)).collect()
}

fn befriend(member: &MemberId) -> Action {
    let link = Some(LinkRequest { user: user(member), taken: IfTaken::Refuse });
    Action::Change { member: member.clone(), change: Change::default(), link }
}

fn action(event: &Happens, number: usize, zone: &TimeZone) -> Option<Action> {
    let json = |text: &str| match text {
        "" => serde_json::Map::new(),
        text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")),
    };
    let member = event.member.clone();
    Some(match event.what.as_str() {
        "unlinked" => return None,
        "attributes" => {
            let change = Change { attributes: Some(json(&event.rest)), ..Change::default() };
            Action::Change { member, change, link: None }
        }
        "tags" => {
            let tags = Some(event.rest.split_whitespace().map(str::to_owned).collect());
            Action::Change { member, change: Change { tags, ..Change::default() }, link: None }
        }
        "imported" => {
            let change = Change { attributes: Some(json(&event.rest)), silent: true, ..Change::default() };
            Action::Change { member, change, link: None }
        }
        "opts-out" | "opts-in" => {
            let topic = (!event.rest.is_empty()).then(|| event.rest.clone());
            let opt = match event.what.as_str() {
                "opts-out" => OptChange::Out { topic },
                _ => OptChange::In { topic },
            };
            Action::Change { member, change: Change { opt: Some(opt), ..Change::default() }, link: None }
        }
        "enroll" => {
            let (scenario, data) = event.rest.split_once("  ").unwrap_or((&event.rest, ""));
            let scenario = ScenarioId::new(scenario).unwrap();
            let wish = Enroll { id: None, scenario, key: None, data: json(data.trim()) };
            Action::Enroll { member, wish }
        }
        "blocks" | "unblocks" => {
            let friendship = if event.what == "blocks" { Friendship::Blocked } else { Friendship::Friend };
            let name = if event.what == "blocks" { "line.unfollow" } else { "line.follow" };
            let name = EventName::new(name).unwrap();
            let heard = Event { id: None, name, at: event.at, data: serde_json::Map::new() };
            Action::Line { user: user(&member), event: heard, friendship: Some(friendship) }
        }
        name => {
            let name = EventName::new(name).unwrap();
            let mut data = json(&event.rest);
            // `_id` and `_at` stand for the event's own id and time
            let id =
                data.remove("_id").map_or_else(|| format!("e{number}"), |id| id.as_str().unwrap().to_owned());
            let at = data.remove("_at").map_or(event.at, |at| civil(at.as_str().unwrap(), zone).unwrap());
            let event = Event { id: Some(id), name, at, data };
            Action::Event { member: Whom::Member(member), event }
        }
    })
}

fn show(line: &Line, case: &Case) -> Vec<String> {
    let happening = &line.what.happening;
    let civil =
        |at: Timestamp| at.to_zoned_datetime(case.zone.clone()).strftime("%Y-%m-%dT%H:%M").to_string();
    let mut shown = format!("{}  {}  {}", civil(happening.at), line.what.member, happening.what.word());
    if let Some(scenario) = &happening.scenario {
        write!(shown, "  {scenario}").unwrap();
    }
    if let Some(step) = &happening.step {
        write!(shown, "/{step}").unwrap();
    }
    if matches!(happening.what, What::Deferred | What::Moved)
        && let Some(until) = happening.until
    {
        write!(shown, "  until {}", civil(until)).unwrap();
    }
    if let Some(reason) = &happening.reason {
        write!(shown, "  {reason}").unwrap();
    }
    let mut lines = vec![shown];
    if case.texts {
        for message in line.messages.iter().filter_map(|m| m.as_array()).flatten() {
            match message["text"].as_str().or(message["altText"].as_str()) {
                Some(text) => lines.extend(text.lines().map(|text| format!("| {text}"))),
                None => lines.push(format!("| [{}]", message["type"].as_str().unwrap_or_default())),
            }
        }
    }
    lines
}
