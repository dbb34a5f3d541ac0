//! The gallery: every file in `scenarios/` is complete, passes `check --strict`, and does to its sample events
//! what `tests/gallery/` says, alone and beside all the others.
//!
//! `UPDATE_GALLERY=1 cargo test --test it gallery` writes what came out into the files, to be read as the
//! member would read it before it is committed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use amadare::dispatch::rehearsal::{Line, Rehearsal};
use amadare::dispatch::{Action, Answer, IfTaken, LinkRequest, Whom};
use amadare::engine::Change;
use amadare::engine::change::LinkChange;
use amadare::model::{Attributes, Event, EventName, Friendship, LineUserId, Link, MemberId, What};
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Cap, CapRule, Defaults, Scenario, ScenarioSet, written};
use amadare::store::MemoryStore;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

/// What each file tells in its comment: what starts it at that time, how it ends, what the shop sends.
const TOLD: [&str; 3] = ["時期：", "終わり方：", "お店が送るもの："];

/// Messages of different scenarios that one event brings must be so far apart.
const APART: jiff::SignedDuration = jiff::SignedDuration::from_hours(12);

/// Timelines of the whole gallery.
const OF_ALL: [&str; 2] = ["together", "one-member"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The ids of the gallery, by the files in `scenarios/`.
fn ids() -> Vec<String> {
    let ids = stems("scenarios", "yaml");
    assert!(ids.len() >= 25, "only {} files are in the gallery", ids.len());
    ids
}

fn stems(folder: &str, extension: &str) -> Vec<String> {
    let paths = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut stems: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    stems.sort();
    stems
}

/// A set of these files without any finding.
fn strict(paths: &[PathBuf]) -> Arc<ScenarioSet> {
    let loaded = load(&Sources::read(paths).unwrap(), &Defaults::default());
    assert_eq!(loaded.findings, []);
    Arc::new(loaded.set.unwrap())
}

fn alone(id: &str) -> Arc<ScenarioSet> {
    strict(&[root().join(format!("scenarios/{id}.yaml"))])
}

fn together() -> Arc<ScenarioSet> {
    strict(&[root().join("scenarios")])
}

#[test]
fn every_file_is_complete() {
    let mut wrong = String::new();
    for id in ids() {
        let text = read(format!("scenarios/{id}.yaml"));
        let file: Value = serde_yaml::from_str(&text).unwrap();
        for key in ["title", "hours", "samples"] {
            if file.get(key).is_none() {
                writeln!(wrong, "{id} has no `{key}`").unwrap();
            }
        }
        let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        for told in TOLD.iter().filter(|told| !comment.contains(**told)) {
            writeln!(wrong, "the comment of {id} has no {told}").unwrap();
        }
        let scenarios = alone(&id);
        let scenario = scenarios.iter().next().unwrap();
        // what a member can opt out of is no message that must get through, and the reverse
        if scenario.topic.is_some() && scenario.caps == CapRule::Exempt {
            writeln!(wrong, "{id} is exempt from caps and can be opted out of").unwrap();
        }
        let events = read(format!("scenarios/events/{id}.ndjson"));
        let members: BTreeSet<String> = events.lines().map(|line| parse(line).member).collect();
        // LINE tells of a block and of its end by an event
        let inputs = inputs(&id);
        for input in inputs.iter().filter(|input| input.friend.is_some()) {
            let name = if input.friend == Some(true) { "line.follow" } else { "line.unfollow" };
            let tells = |other: &&Input| other.member == input.member && other.at == input.at;
            if !inputs.iter().filter(tells).any(|other| other.name.as_deref() == Some(name)) {
                writeln!(wrong, "{id}: {} at {} without {name}", input.member, input.at).unwrap();
            }
        }
        if !(2..=6).contains(&members.len()) {
            writeln!(wrong, "{id} has {} members in its events", members.len()).unwrap();
        }
        if !root().join(format!("tests/gallery/{id}.txt")).is_file() {
            writeln!(wrong, "{id} has no timeline in tests/gallery").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(stems("scenarios/events", "ndjson"), ids(), "each events file belongs to a scenario");
    let mut timelines = stems("tests/gallery", "txt");
    timelines.retain(|name| !OF_ALL.contains(&name.as_str()));
    assert_eq!(timelines, ids(), "each timeline belongs to a scenario");
    let included: String = ids().iter().map(|id| read(format!("scenarios/{id}.yaml"))).collect();
    for part in stems("scenarios/flex", "json") {
        assert!(included.contains(&format!("$file: flex/{part}.json")), "nothing includes flex/{part}.json");
    }
}

/// Each file alone, and the folder as `serve` reads it, by the command that the docs name.
#[test]
fn every_file_passes_the_strict_check() {
    let mut paths: Vec<PathBuf> =
        ids().iter().map(|id| root().join(format!("scenarios/{id}.yaml"))).collect();
    for path in &paths {
        strict(std::slice::from_ref(path));
    }
    paths.push(root().join("scenarios"));
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_amadare"))
        .args(["check", "--strict"])
        .arg(root().join("scenarios"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    // what lies in the folders below is no scenario
    assert_eq!(together().iter().count(), ids().len());
}

#[test]
fn every_file_does_what_its_timeline_says() {
    let mut failures = String::new();
    let (mut runs, mut messages, mut members) = (0, 0, 0);
    for id in ids() {
        let scenarios = alone(&id);
        let lines = play(&scenarios, &inputs(&id));
        assert!(lines.iter().any(|line| line.what.happening.what == What::Accepted), "{id} sends nothing");
        let is = |what| lines.iter().filter(|line| line.what.happening.what == what).count();
        runs += is(What::Enrolled);
        messages += is(What::Accepted);
        members += lines.iter().map(|line| line.what.member.as_str()).collect::<BTreeSet<_>>().len();
        let rejected: Vec<_> =
            lines.iter().filter(|line| line.what.happening.what == What::Rejected).collect();
        assert!(rejected.is_empty(), "{id}: {rejected:?}");
        let head = format!("scenario: {id}.yaml\nevents: events/{id}.ndjson\n\ntimeline:\n");
        failures += &compare(&id, &head, &lines.iter().flat_map(shown).collect::<Vec<_>>());
    }
    println!("{} scenarios, {members} members, {runs} runs, {messages} messages", ids().len());
    assert!(failures.is_empty(), "{failures}");
}

/// All files in one folder, as somebody runs them who starts `serve` here: what other scenarios do to the
/// members of a file is in `together.txt`, and nobody hears from two of them at once.
#[test]
fn the_whole_gallery_together_nags_nobody() {
    let scenarios = together();
    let mut inputs: Vec<Input> = ids().iter().flat_map(|id| prefixed(id)).collect();
    inputs.sort_by_key(|input| input.at());
    let lines = play(&scenarios, &inputs);
    let (mut found, mut told) = (Vec::new(), HashSet::new());
    let mut received: BTreeMap<&str, Vec<(Timestamp, &str)>> = BTreeMap::new();
    for line in &lines {
        let member = line.what.member.as_str();
        let Some(scenario) = line.what.happening.scenario.as_ref() else { continue };
        let own = owner(member);
        // what comes every month is told once
        let happening = (member, scenario, &line.what.happening.step, line.what.happening.what);
        if own != scenario.as_str() && told.insert(happening) {
            found.extend(shown(line));
        }
        if line.what.happening.what == What::Accepted {
            received.entry(member).or_default().push((line.what.happening.at, scenario.as_str()));
        }
    }
    for (member, received) in received {
        for pair in received.windows(2) {
            let [(earlier, one), (later, other)] = pair else { unreachable!("windows of two") };
            assert!(
                one == other || later.duration_since(*earlier) >= APART,
                "{member} hears from {one} and {other} within {APART:#}"
            );
        }
    }
    let head = "timeline:\n";
    let failure = compare("together", head, &found);
    assert!(failure.is_empty(), "{failure}");

    // what a file does to its own members is what it does alone
    for id in ids() {
        let own = |lines: &[Line], whose: &dyn Fn(&str) -> bool| -> Vec<String> {
            let is_own = |line: &&Line| {
                line.what.happening.scenario.as_ref().is_some_and(|found| found.as_str() == id)
                    && whose(line.what.member.as_str())
            };
            let mut shown: Vec<String> = lines.iter().filter(is_own).flat_map(shown).collect();
            shown.sort();
            shown
        };
        // where a draw decides, it is drawn from the whole id of the member
        let apart = play(&alone(&id), &prefixed(&id));
        let until = lines.last().map(|line| line.what.happening.at).unwrap();
        let apart: Vec<Line> = apart.into_iter().filter(|line| line.what.happening.at <= until).collect();
        let mut missing = own(&apart, &|_| true);
        let beside: HashSet<String> = own(&lines, &|member| owner(member) == id).into_iter().collect();
        missing.retain(|line| !beside.contains(line));
        assert!(missing.is_empty(), "beside the others {id} does not do this:\n{}", missing.join("\n"));
    }
}

/// One who does most of what a customer does loses nothing to the caps that the page recommends.
#[test]
fn one_member_is_not_flooded() {
    let cap = |max, days| Cap { max, per: written::fixed(days).unwrap() };
    let defaults = Defaults { caps: vec![cap(2, "1d"), cap(7, "7d")], ..Defaults::default() };
    let loaded = load(&Sources::read(&[root().join("scenarios")]).unwrap(), &defaults);
    let scenarios = Arc::new(loaded.set.unwrap());
    let inputs: Vec<Input> = read("tests/gallery/one-member.ndjson").lines().map(parse).collect();
    let until = "2026-10-31T00:00:00+09:00".parse().unwrap();
    let lines: Vec<Line> = play(&scenarios, &inputs)
        .into_iter()
        .filter(|line| line.what.happening.at < until && line.what.happening.what != What::NotEnrolled)
        .collect();
    let accepted: Vec<(&Line, &Scenario)> = lines
        .iter()
        .filter(|line| line.what.happening.what == What::Accepted)
        .map(|line| (line, &**scenarios.get(line.what.happening.scenario.as_ref().unwrap()).unwrap()))
        .collect();
    // the caps keep the peace, and nothing that was worth sending is lost to them
    let lost = lines.iter().find(|line| {
        line.what.happening.what == What::Skipped && line.what.happening.reason.as_deref() == Some("cap")
    });
    assert!(lost.is_none(), "{lost:?}");
    let advertising: BTreeMap<_, usize> = accepted
        .iter()
        .filter(|(_, scenario)| scenario.topic.is_some())
        .map(|(line, _)| line.what.happening.at.to_zoned_datetime(zone()).date())
        .fold(BTreeMap::new(), |mut days, day| {
            *days.entry(day).or_default() += 1;
            days
        });
    assert!(advertising.values().all(|messages| *messages <= 2), "{advertising:?}");
    println!("{} messages in half a year, advertising on {} days", accepted.len(), advertising.len());
    let failure = compare("one-member", "timeline:\n", &lines.iter().flat_map(shown).collect::<Vec<_>>());
    assert!(failure.is_empty(), "{failure}");
}

/// The quick start and the demo tell of one scenario; the rest of the gallery must not join in.
#[test]
fn a_trial_purchase_starts_one_scenario() {
    let input = r#"{"at":"2026-04-06T10:00:00+09:00","member":"m-1","name":"purchase","data":{"sku":"TRIAL-7","category":"trial","amount":980}}"#;
    let lines = play(&together(), &[parse(input)]);
    let named: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.what.happening.scenario.as_ref().map(|scenario| scenario.as_str()))
        .collect();
    assert_eq!(named, BTreeSet::from(["trial-followup"]));
}

/// A friend whom nobody knows is asked to link, links between the two requests, and is not asked again.
#[test]
fn linking_reaches_the_goal_of_the_request() {
    let user = LineUserId::new("U000000000000000000000000000000c1").unwrap();
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let begin = at("2026-04-06T10:15:00+09:00");
    let mut rehearsal = Rehearsal::new(alone("link-request"), Arc::new(MemoryStore::new()), begin).unwrap();
    let event =
        Event { id: None, name: EventName::new("line.follow").unwrap(), at: begin, data: Attributes::new() };
    let follow = Action::Line { user: user.clone(), event, friendship: Some(Friendship::Friend) };
    rehearsal.act(begin, follow).unwrap();
    let link = Action::Change {
        member: MemberId::new("m-1").unwrap(),
        change: Change::default(),
        link: Some(LinkRequest { user, taken: IfTaken::Refuse }),
    };
    rehearsal.act(at("2026-04-10T12:00:00+09:00"), link).unwrap();
    rehearsal.run_out().unwrap();
    let lines: Vec<String> = (rehearsal.take_lines().iter())
        .filter(|line| line.what.happening.scenario.is_some())
        .map(|line| shown(line).swap_remove(0))
        .collect();
    let friend = "line:U000000000000000000000000000000c1";
    let expected = [
        format!("2026-04-06 Mon 10:15  {friend}  enrolled  link-request"),
        format!("2026-04-08 Wed 19:00  {friend}  accepted  link-request/request"),
        "2026-04-10 Fri 12:00  m-1  converted  link-request".to_owned(),
        "2026-04-10 Fri 12:00  m-1  exited  link-request  goal".to_owned(),
    ];
    assert_eq!(lines, expected);
}

/// The command gives what the timelines say.
#[test]
fn simulate_gives_the_same() {
    for id in ids() {
        let output = Command::new(env!("CARGO_BIN_EXE_amadare"))
            .args(["simulate", "--format", "json"])
            .arg(root().join(format!("scenarios/{id}.yaml")))
            .arg("--events")
            .arg(root().join(format!("scenarios/events/{id}.ndjson")))
            .output()
            .unwrap();
        assert!(output.status.success(), "{id}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let told: Vec<String> = (text.lines())
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["what"] == "accepted")
            .map(|line| format!("{}/{}", line["member"].as_str().unwrap(), line["step"].as_str().unwrap()))
            .collect();
        let lines = play(&alone(&id), &inputs(&id));
        let accepted = lines.iter().filter(|line| line.what.happening.what == What::Accepted);
        let expected: Vec<String> = accepted
            .map(|line| format!("{}/{}", line.what.member, line.what.happening.step.as_ref().unwrap()))
            .collect();
        assert_eq!(told, expected, "{id}");
    }
}

/// The real daemon, killed again and again under a LINE that errs, sends what the engine plans, and nothing twice.
#[test]
fn the_demo_plays_the_gallery() {
    let output = Command::new(env!("CARGO_BIN_EXE_amadare"))
        .args(["demo", "--gallery", "--seconds", "20"])
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("kill -9"), "{out}");
    assert!(out.contains("Sent twice: 0. Lost: 0."), "{out}");
    let (told, table) = out.split_once("   runs  messages  planned  twice  scenario\n").unwrap();
    for id in ids() {
        let title =
            together().iter().find(|scenario| scenario.id.as_str() == id).unwrap().title.clone().unwrap();
        assert!(told.contains(&format!("【{title}】")), "{id} has sent nothing: {out}");
        let row = table.lines().find(|row| row.ends_with(&format!("  {id}  {title}")));
        let row = row.unwrap_or_else(|| panic!("no row for {id}: {table}"));
        assert_eq!(row.split_whitespace().nth(3), Some("0"), "{row}");
    }
}

/// The pages have a row for each file, and none for one that is not there.
#[test]
fn the_pages_show_every_file() {
    for page in ["docs/gallery.md", "docs/gallery.ja.md"] {
        let text = read(page);
        let linked: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .flat_map(|line| line.split("](../scenarios/").skip(1))
            .filter_map(|rest| rest.split_once(".yaml)").map(|(id, _)| id.to_owned()))
            .collect();
        assert_eq!(linked, ids().into_iter().collect(), "{page}");
        // excerpts are lines of the timelines, in order
        let mut inside = None;
        for line in text.lines() {
            match line {
                "```" if inside.is_some() => inside = None,
                _ if line.starts_with("```text ") => inside = line.strip_prefix("```text "),
                _ => {
                    if let Some(id) = inside {
                        let timeline = read(format!("tests/gallery/{id}.txt"));
                        let shown = line.trim_start();
                        assert!(
                            shown == "…" || timeline.lines().any(|found| found.trim_start() == shown),
                            "{page}: {id} has no line {line}"
                        );
                    }
                }
            }
        }
    }
}

/// Compares what came out with what is kept, or keeps it; the comment at the head of a kept file stays.
fn compare(name: &str, head: &str, found: &[String]) -> String {
    let path = root().join(format!("tests/gallery/{name}.txt"));
    let body: String = found.iter().map(|line| format!("  {line}\n")).collect();
    if is_updating() {
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let comment: String =
            kept.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, format!("{comment}{head}{body}")).unwrap();
        return String::new();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let (_, expected) = kept.split_once("timeline:\n").unwrap();
    if expected == body {
        return String::new();
    }
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), body.lines().collect());
    let lost = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("  -{line}\n"));
    let new = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("  +{line}\n"));
    let difference: String = lost.chain(new).collect();
    match difference.is_empty() {
        true => format!("\n{name}: the same lines in another order\n{body}"),
        false => format!("\n{name}:\n{difference}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so in the environment")]
fn is_updating() -> bool {
    std::env::var_os("UPDATE_GALLERY").is_some()
}

/// One line of an events file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    at: String,
    member: String,
    name: Option<String>,
    data: Option<Attributes>,
    attributes: Option<Attributes>,
    tags: Option<BTreeSet<String>>,
    friend: Option<bool>,
}

impl Input {
    fn at(&self) -> Timestamp {
        self.at.parse().unwrap()
    }
}

fn parse(line: &str) -> Input {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The sample events of a file, by time.
fn inputs(id: &str) -> Vec<Input> {
    let mut inputs: Vec<Input> = read(format!("scenarios/events/{id}.ndjson")).lines().map(parse).collect();
    inputs.sort_by_key(Input::at);
    inputs
}

/// The same with members of its own, so that the files can be played together.
fn prefixed(id: &str) -> Vec<Input> {
    let mut inputs = inputs(id);
    for input in inputs.iter_mut().filter(|input| !input.member.starts_with("line:")) {
        input.member = format!("{id}.{}", input.member);
    }
    inputs
}

/// The file that a member of [`prefixed`] belongs to.
fn owner(member: &str) -> &str {
    match member.strip_prefix("line:U000000000000000000000000000000") {
        Some(rest) if rest.starts_with('a') => "welcome",
        Some(_) => "link-request",
        None => member.split('.').next().unwrap(),
    }
}

/// Runs the inputs through the real engine, until nothing is left.
fn play(scenarios: &Arc<ScenarioSet>, inputs: &[Input]) -> Vec<Line> {
    let mut rehearsal =
        Rehearsal::new(Arc::clone(scenarios), Arc::new(MemoryStore::new()), inputs[0].at()).unwrap();
    let mut known = HashSet::new();
    for input in inputs {
        let (at, member) = (input.at(), MemberId::new(&input.member).unwrap());
        if known.insert(member.clone()) {
            rehearsal.act(at, befriend(&member, Friendship::Friend)).unwrap();
            rehearsal.take_links();
        }
        for action in actions(input, &member) {
            let answer = rehearsal.act(at, action).unwrap();
            assert!(!matches!(answer, Answer::Refused(_)), "{} of {member}: {answer:?}", input.at);
        }
    }
    rehearsal.run_out().unwrap();
    rehearsal.take_lines()
}

fn befriend(member: &MemberId, friendship: Friendship) -> Action {
    let user = format!("U{:032x}", amadare::model::fingerprint(member.as_str()));
    let user = LineUserId::new(&user).unwrap();
    let link = LinkChange::To { link: Link { user, friendship, told_at: None }, adopted: None };
    let change = Change { link: Some(link), ..Change::default() };
    Action::Change { member: member.clone(), change, link: None }
}

fn actions(input: &Input, member: &MemberId) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some(name) = &input.name {
        let name = EventName::new(name).unwrap();
        let event = Event { id: None, name, at: input.at(), data: input.data.clone().unwrap_or_default() };
        actions.push(Action::Event { member: Whom::Member(member.clone()), event });
    }
    if input.attributes.is_some() || input.tags.is_some() {
        let change =
            Change { attributes: input.attributes.clone(), tags: input.tags.clone(), ..Change::default() };
        actions.push(Action::Change { member: member.clone(), change, link: None });
    }
    if let Some(friend) = input.friend {
        let friendship = if friend { Friendship::Friend } else { Friendship::Blocked };
        actions.push(befriend(member, friendship));
    }
    actions
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

/// A happening in a line, and under it the message as a member would read it.
fn shown(line: &Line) -> Vec<String> {
    let happening = &line.what.happening;
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let civil = |at: Timestamp| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %a %H:%M").to_string();
    let Some(scenario) = &happening.scenario else { return Vec::new() };
    let mut text =
        format!("{}  {}  {}  {scenario}", civil(happening.at), line.what.member, happening.what.word());
    if let Some(step) = &happening.step {
        write!(text, "/{step}").unwrap();
    }
    if matches!(happening.what, What::Deferred | What::Moved)
        && let Some(until) = happening.until
    {
        write!(text, "  until {}", civil(until)).unwrap();
    }
    if let Some(reason) = &happening.reason {
        write!(text, "  {reason}").unwrap();
    }
    let mut lines = vec![text];
    for message in line.messages.iter().filter_map(Value::as_array).flatten() {
        if let Some(alt) = message["altText"].as_str() {
            lines.push(format!("| [{}] {alt}", message["type"].as_str().unwrap()));
        }
        let mut words = Vec::new();
        gather(message, &mut words);
        lines.extend(words.iter().flat_map(|words| words.lines()).map(|words| format!("| {words}")));
    }
    lines
}

/// What can be read on a message, from top to bottom; buttons in brackets.
fn gather(part: &Value, words: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field) {
                    ("title" | "text", Value::String(text)) => words.push(text.clone()),
                    ("label", Value::String(text)) => words.push(format!("［{text}］")),
                    _ => gather(field, words),
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| gather(part, words)),
        _ => {}
    }
}
