//! Sources → compiled scenarios, or every problem that they have.
//!
//! Each file goes through the same stations: a tree with places ([`yaml`]), the check of its shape by
//! the schema of its type ([`schema`]), the typed load by `serde_yaml`, and then the meaning of every
//! text, compiled as it goes. What one station refuses is left out at the next, so that one run tells
//! of all that is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{EnrollmentId, EventName, MAX_NAME_BYTES, MemberId, ScenarioId, StepId, limits};
use crate::scenario::calendar::{self, ClosedDays, Weekdays, Workdays};
use crate::scenario::cron;
use crate::scenario::file::{
    ACTS, ArmItem, CallItem, CapWord, DaysText, ElseItem, EnterItem, ExpressionText, FixedText, GoalItem,
    HoursText, ListenItem, MenuItem, OffsetText, OneOrMany, PriorityWord, Push, SampleItem, ScenarioFile,
    SetItem, StartItem, StepItem,
};
use crate::scenario::finding::{Finding, MAX_FINDINGS_PER_FILE, Place, did_you_mean};
use crate::scenario::message::{self, FILE_KEY, Key};
use crate::scenario::program::{
    Builder, Condition, Document, EnrollmentScope, Expression, MEMBER_NAMES, MemberScope, Messages, Names,
    Program, ROOTS, Scope, SyntaxError, is_template, parse_instant,
};
use crate::scenario::source::{Content, Sources, include_name};
use crate::scenario::written::{self, Unreadable};
use crate::scenario::yaml::{self, Data, Node};
use crate::scenario::{
    Act, Again, Call, CapRule, Days, Defaults, Ending, Enter, Exit, Goal, Hours, Offset, Priority, Scenario,
    ScenarioSet, Set, Started, Step, Timing, Trigger, Update, WaitFor, Within, schema,
};

/// What became of sources.
#[derive(Debug)]
pub struct Loaded {
    /// None if anything is an error.
    pub set: Option<ScenarioSet>,
    /// By file, line and column.
    pub findings: Vec<Finding>,
}

/// Event names that LINE's webhooks and links give. Those that start like them are reserved.
pub const LINE_EVENTS: [&str; 7] = [
    "line.follow",
    "line.unfollow",
    "line.link",
    "line.unlink",
    "line.message",
    "line.postback",
    "line.click",
];

/// How deep steps may stand inside other steps.
pub const MAX_NESTING: usize = 5;

/// Words that minijinja takes for names where it expects a value.
const KEYWORDS: [&str; 7] = ["and", "or", "not", "is", "in", "if", "else"];

/// Compiles the scenarios of a set. Files are judged apart: one that is wrong hides nothing of another.
pub fn load(sources: &Sources, defaults: &Defaults) -> Loaded {
    let schema = schema::annotated::<ScenarioFile>();
    let mut includes = Includes { sources, read: HashMap::new(), findings: Vec::new() };
    let mut findings = Vec::new();
    let mut scenarios = Vec::new();
    let mut ids: BTreeMap<ScenarioId, Place> = BTreeMap::new();
    let mut enters = Vec::new();
    for (name, content) in sources.scenarios() {
        let mut file = FileLoad {
            file: name,
            defaults,
            includes: &mut includes,
            builder: Builder::new(defaults.zone.clone()),
            findings: Vec::new(),
            unknown_keys: HashSet::new(),
            enters: Vec::new(),
        };
        let loaded = match content {
            Content::Bytes(bytes) => file.load(bytes, &schema),
            Content::Refused(refusal) => {
                let place = Place::start_of(name);
                file.findings.push(Finding::error(&place, refusal.code, &refusal.message));
                None
            }
        };
        enters.append(&mut file.enters);
        let mut of_file = file.findings;
        if let Some((scenario, place)) = loaded {
            match ids.get(&scenario.id) {
                Some(first) => {
                    let message = format!("scenario `{}` exists twice", scenario.id);
                    let help = format!("it is in {} already", first.file);
                    of_file.push(Finding::error(&place, "duplicate-scenario", message).help(help));
                }
                None => {
                    ids.insert(scenario.id.clone(), place);
                    scenarios.push(scenario);
                }
            }
        }
        bound(&mut of_file, name);
        findings.append(&mut of_file);
    }
    findings.append(&mut includes.findings);
    refuse_unknown(&enters, sources, &mut findings);
    findings.sort();
    findings.dedup();
    let set = (!findings.iter().any(Finding::is_error))
        .then(|| ScenarioSet::new(scenarios, defaults.caps.clone(), digest(sources, defaults)));
    Loaded { set, findings }
}

/// The scenarios that steps of a file start, as far as the file can be read.
pub fn scenarios_entered(name: &str, bytes: &[u8]) -> Vec<ScenarioId> {
    fn collect(node: &Node, found: &mut Vec<ScenarioId>) {
        for entry in node.entries() {
            let id = entry.value.as_text().or(entry.value.get("scenario").and_then(Node::as_text));
            if entry.key == "enter" {
                found.extend(id.and_then(|id| ScenarioId::new(id).ok()));
            }
            collect(&entry.value, found);
        }
        if let Data::List(items) = &node.data {
            items.iter().for_each(|item| collect(item, found));
        }
    }

    let mut found = Vec::new();
    // whatever is wrong with it is told by the load itself
    if let Some(tree) = yaml::parse(&Arc::from(name), bytes, &mut Vec::new()) {
        collect(&tree, &mut found);
    }
    found
}

/// Refuses steps that start a scenario which no file has. One whose file is wrong is not unknown.
fn refuse_unknown(enters: &[(ScenarioId, Place)], sources: &Sources, findings: &mut Vec<Finding>) {
    let stem = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or(name);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
    };
    let known: Vec<String> = sources.scenarios().map(|(name, _)| stem(name)).collect();
    for (id, place) in enters {
        if !known.iter().any(|known| known == id.as_str()) {
            let message = format!("there is no scenario `{id}`");
            let help = did_you_mean(id.as_str(), known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("add a file `{id}.yaml`, or check the two together"));
            findings.push(Finding::error(place, "unknown-scenario", message).help(help));
        }
    }
}

/// What tells one set from another: the files, and what they get where they do not say for themselves.
fn digest(sources: &Sources, defaults: &Defaults) -> [u8; 32] {
    let Defaults { zone, hours, late, grace, caps, closed, call_hosts: _ } = defaults;
    let said = format!("{:?} {hours:?} {late:?} {grace:?} {caps:?} {closed:?}", zone.iana_name());
    Sha256::new().chain_update(sources.digest()).chain_update(said).finalize().into()
}

/// Keeps the first findings of a file, and says that there are more.
fn bound(findings: &mut Vec<Finding>, file: &Arc<str>) {
    findings.sort();
    findings.dedup();
    if findings.len() > MAX_FINDINGS_PER_FILE {
        let more = findings.len() - MAX_FINDINGS_PER_FILE;
        findings.truncate(MAX_FINDINGS_PER_FILE);
        let last = findings.last().map_or(1, |finding| finding.line);
        let place = Place { file: Arc::clone(file), line: last, column: 1 };
        findings.push(Finding::error(&place, "too-many-findings", format!("and {more} more")));
    }
}

/// Included files, each read once however many scenarios name it.
struct Includes<'a> {
    sources: &'a Sources,
    read: HashMap<String, Option<Arc<Included>>>,
    findings: Vec<Finding>,
}

struct Included {
    tree: Node,
    value: Value,
}

impl Includes<'_> {
    /// The file of this name; none if it is refused, with a finding at `place` or in the file itself.
    fn get(&mut self, name: &str, place: &Place) -> Option<Arc<Included>> {
        match self.sources.get(name) {
            None => {
                let message = format!("no file `{name}`");
                self.findings.push(Finding::error(place, "include", message));
                None
            }
            Some(Content::Refused(refusal)) => {
                let message = format!("cannot include `{name}`: {}", refusal.message);
                self.findings.push(Finding::error(place, refusal.code, message));
                None
            }
            Some(Content::Bytes(bytes)) => {
                if let Some(read) = self.read.get(name) {
                    return read.clone();
                }
                let file: Arc<str> = name.into();
                let mut findings = Vec::new();
                let tree = yaml::parse_json(&file, bytes, &mut findings);
                if let Some(tree) = &tree {
                    refuse_nested(tree, &mut findings);
                }
                bound(&mut findings, &file);
                let sound = findings.is_empty();
                self.findings.append(&mut findings);
                let included = tree.filter(|_| sound).map(|tree| {
                    let value = tree.to_json();
                    Arc::new(Included { tree, value })
                });
                self.read.insert(name.to_owned(), included.clone());
                included
            }
        }
    }

    fn read_already(&self, name: &str) -> Option<&Included> {
        self.read.get(name)?.as_deref()
    }
}

/// One level of inclusion keeps what is sent readable in two files.
fn refuse_nested(node: &Node, findings: &mut Vec<Finding>) {
    for entry in node.entries() {
        if entry.key == FILE_KEY {
            let message = "an included file cannot include another";
            findings.push(Finding::error(&entry.place, "include", message));
        }
        refuse_nested(&entry.value, findings);
    }
    if let Data::List(items) = &node.data {
        items.iter().for_each(|item| refuse_nested(item, findings));
    }
}

/// The load of one scenario file.
struct FileLoad<'a, 's> {
    file: &'a Arc<str>,
    defaults: &'a Defaults,
    includes: &'a mut Includes<'s>,
    builder: Builder,
    findings: Vec<Finding>,
    /// The lines and columns of keys that do not exist.
    unknown_keys: HashSet<(usize, usize)>,
    /// Scenarios that its steps start, and where they say so.
    enters: Vec<(ScenarioId, Place)>,
}

/// The steps of a file as they are taken in.
struct StepPlan {
    steps: Vec<Step>,
    /// The line of each step's id.
    seen: HashMap<String, usize>,
    latest: Option<Latest>,
    defaults: StepDefaults,
    workdays: Workdays,
}

/// What holds for steps that do not say for themselves.
#[derive(Clone, Copy)]
struct StepDefaults {
    /// True if steps may lie before the anchor.
    anchored: bool,
    /// How late messages may be.
    late: Option<SignedDuration>,
    days: Days,
}

/// What holds for a scenario as a whole.
struct Limits {
    priority: Priority,
    topic: Option<Arc<str>>,
    caps: CapRule,
    holdout: u32,
    paused: bool,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
}

/// What starts a scenario; exactly one of these keys stands in each item of `enter`.
const TRIGGERS: [&str; 5] = ["on", "segment", "date", "every", "manual"];

/// The names that a sample gives values to.
///
/// # Errors
/// A value under `member` that is not of its kind.
fn sample_names(sample: &SampleItem, anchor: Option<Timestamp>) -> Result<Names, String> {
    let mut attributes = sample.member.as_ref().map(|map| map.0.clone()).unwrap_or_default();
    let id = match attributes.remove("id") {
        Some(Value::String(id)) => MemberId::new(&id).map_err(|error| error.to_string())?,
        Some(_) => return Err("`id` of a sample is a text".into()),
        None => MemberId::new("sample").expect("it is an id"),
    };
    let mut truth = |name: &str| match attributes.remove(name) {
        Some(Value::Bool(truth)) => Ok(truth),
        Some(_) => Err(format!("`{name}` of a sample is true or false")),
        None => Ok(true),
    };
    let (linked, friend) = (truth("linked")?, truth("friend")?);
    let tags = match attributes.remove("tags") {
        Some(tags) => serde_json::from_value(tags).map_err(|_| "`tags` of a sample is a list of texts")?,
        None => Default::default(),
    };
    // a moment that is the same on every day that the file is checked
    let now = anchor.unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Names::new(Scope {
        member: Arc::new(MemberScope {
            id,
            attributes: Arc::new(attributes),
            tags: Arc::new(tags),
            linked,
            friend,
        }),
        event: Some(Arc::new(sample.event.as_ref().map(|map| map.0.clone()).unwrap_or_default())),
        enrollment: Some(EnrollmentScope { id: EnrollmentId(uuid::Uuid::nil()), key: None, entered_at: now }),
        anchor: Some(now),
        now,
    }))
}

/// The steps of each arm of a container and where they stand; none for an arm that has none.
fn arms_of<'a>(item: &'a StepItem, node: &'a Node) -> Vec<Option<(&'a [StepItem], &'a Node)>> {
    let listed =
        |steps: &'a Option<Vec<StepItem>>, node: &'a Node, key: &str| steps.as_deref().zip(node.get(key));
    if let (Some(arms), Some(node)) = (&item.branch, node.get("branch")) {
        let each = arms.iter().zip(node.items());
        return each
            .map(|(arm, node)| match (&arm.otherwise, node.get("else")) {
                (Some(ElseItem::Steps(steps)), Some(node)) => {
                    Some((steps.as_slice(), node.get("steps").unwrap_or(node)))
                }
                _ => listed(&arm.steps, node, "steps"),
            })
            .collect();
    }
    if let (Some(arms), Some(node)) = (&item.split, node.get("split")) {
        return arms.iter().zip(node.items()).map(|(arm, node)| listed(&arm.steps, node, "steps")).collect();
    }
    if let (Some(wait), Some(inner)) = (&item.wait_for, node.get("wait_for")) {
        let arm = |own, beside, key: &str| listed(own, inner, key).or(listed(beside, node, key));
        return vec![arm(&wait.steps, &item.steps, "steps"), arm(&wait.otherwise, &item.otherwise, "else")];
    }
    Vec::new()
}

/// Where an expression or a template stands, which decides the names that have values there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Where no event is at hand: only the member.
    Member,
    /// Before there is a run.
    Entry,
    /// At entry, and again when an update comes.
    Anchor,
    /// While it runs.
    Run,
}

impl FileLoad<'_, '_> {
    /// The scenario and the place of its id; none if anything in the file is an error.
    fn load(&mut self, bytes: &[u8], schema: &Value) -> Option<(Scenario, Place)> {
        let tree = yaml::parse(self.file, bytes, &mut self.findings)?;
        if !matches!(tree.data, Data::Map(_)) {
            let message = format!("the file must be a mapping of keys, not {}", tree.kind());
            self.findings.push(
                Finding::error(&tree.place, "wrong-type", message)
                    .help("start with `scenario:` and the scenario's id"),
            );
            return None;
        }
        let right = schema::check(&tree, schema, &mut self.findings);
        let unknown = self.findings.iter().filter(|finding| finding.code == "unknown-key");
        self.unknown_keys = unknown.map(|finding| (finding.line, finding.column)).collect();
        let typed = self.typed(bytes, right)?;
        let place = tree.place_of("scenario").clone();
        let scenario = self.scenario(&typed, &tree);
        if self.findings.iter().any(Finding::is_error) {
            return None;
        }
        Some((scenario?, place))
    }

    /// The typed file by `serde_yaml`; of a file with findings, what is right of it.
    fn typed(&mut self, bytes: &[u8], right: Value) -> Option<ScenarioFile> {
        let (loaded, place) = if self.findings.is_empty() {
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            match serde_yaml::from_slice::<ScenarioFile>(bytes) {
                Ok(file) => return Some(file),
                Err(error) => {
                    let place = error.location().map_or(Place::start_of(self.file), |at| Place {
                        file: Arc::clone(self.file),
                        line: at.line(),
                        column: at.column(),
                    });
                    (error.to_string(), place)
                }
            }
        } else {
            match serde_json::from_value(right) {
                Ok(file) => return Some(file),
                Err(error) => (error.to_string(), Place::start_of(self.file)),
            }
        };
        self.findings.push(Finding::error(&place, "load", loaded));
        None
    }

    fn scenario(&mut self, typed: &ScenarioFile, tree: &Node) -> Option<Scenario> {
        let id = self.id(typed, tree);
        let zone = match &typed.zone {
            Some(name) => self.read(written::zone(name), tree.place_of("zone")),
            None => Some(self.defaults.zone.clone()),
        };
        let zone = zone.unwrap_or_else(|| self.defaults.zone.clone());
        self.builder = Builder::new(zone.clone());
        let hours = self.hours(typed.hours.as_ref(), tree).or(self.defaults.hours);
        if hours.is_none() && typed.hours.is_none() {
            let message = "no send hours: a push may go out at any time of the night";
            self.findings.push(
                Finding::warning(tree.place_of("scenario"), "no-hours", message)
                    .help("add `hours: 09:00-21:00` here or to the configuration"),
            );
        }
        let limits = self.limits(typed, tree, &zone);
        let days = self.days(typed.on_days.as_ref(), typed.workdays, tree, Days::default());
        let closed = self.closed(typed, tree);
        let late = self.fixed(typed.late.as_ref(), tree, "late").or(self.defaults.late);
        let grace = self.fixed(typed.grace.as_ref(), tree, "grace").unwrap_or(self.defaults.grace);
        let enter = self.each(typed.enter.as_ref(), tree, "enter", FileLoad::enter);
        let anchor = self.expression(typed.anchor.as_ref(), tree, "anchor", Where::Anchor);
        let update = self.each(typed.update.as_ref(), tree, "update", FileLoad::update);
        let exit = self.each(typed.exit.as_ref(), tree, "exit", FileLoad::exit);
        let goal = match (&typed.goal, tree.get("goal")) {
            (Some(item), Some(node)) => self.goal(item, node),
            _ => None,
        };
        if typed.enter.as_ref().is_some_and(|enter| enter.0.iter().any(|item| item.key.is_some())) {
            self.expect_keys(typed.update.as_ref(), tree, "update");
            self.expect_keys(typed.exit.as_ref(), tree, "exit");
        }
        self.refuse_second_date(&enter, tree);
        let anchored = tree.entry("anchor").is_some()
            || enter.iter().any(|enter| matches!(enter.trigger, Trigger::Date { .. }));
        let workdays = Workdays::new(closed);
        let steps = self.steps(typed, tree, StepDefaults { anchored, late, days }, &workdays);
        let builder = std::mem::replace(&mut self.builder, Builder::new(zone.clone()));
        let program = builder.finish();
        self.refuse_constant_dates(typed, tree, &program, &enter, anchor);
        self.samples(typed, tree, &steps, &program, &zone);
        let Limits { priority, topic, caps, holdout, paused, starts, ends } = limits;
        Some(Scenario {
            id: id?,
            title: typed.title.clone(),
            priority,
            topic,
            caps,
            holdout,
            paused,
            starts,
            ends,
            workdays,
            anchored,
            zone,
            hours,
            grace,
            late,
            enter,
            anchor,
            update,
            exit,
            goal,
            steps,
            program,
        })
    }

    /// What holds for the scenario as a whole.
    fn limits(&mut self, typed: &ScenarioFile, tree: &Node, zone: &TimeZone) -> Limits {
        let starts = typed
            .starts
            .as_ref()
            .and_then(|text| self.read(written::start_of(text, zone), tree.place_of("starts")));
        let ends = typed
            .ends
            .as_ref()
            .and_then(|text| self.read(written::end_of(text, zone), tree.place_of("ends")));
        if let (Some(starts), Some(ends)) = (starts, ends)
            && ends <= starts
        {
            let message = "the scenario ends before it starts";
            self.findings.push(
                Finding::error(tree.place_of("ends"), "invalid-value", message)
                    .help("`ends` with a date alone is the end of that day"),
            );
        }
        let holdout =
            typed.holdout.as_ref().and_then(|text| self.read(written::share(text), tree.place_of("holdout")));
        if let Some(topic) = &typed.topic
            && (topic.is_empty() || topic.len() > MAX_NAME_BYTES)
        {
            let message = format!("a topic is 1 to {MAX_NAME_BYTES} bytes, not {}", topic.len());
            self.findings.push(Finding::error(tree.place_of("topic"), "invalid-value", message));
        }
        Limits {
            priority: match typed.priority {
                Some(PriorityWord::Low) => Priority::Low,
                Some(PriorityWord::Normal) | None => Priority::Normal,
                Some(PriorityWord::High) => Priority::High,
            },
            topic: typed.topic.as_deref().map(Arc::from),
            caps: match typed.caps {
                Some(CapWord::Defer) | None => CapRule::Defer,
                Some(CapWord::Skip) => CapRule::Skip,
                Some(CapWord::Exempt) => CapRule::Exempt,
            },
            holdout: holdout.unwrap_or(0),
            paused: typed.paused.unwrap_or(false),
            starts,
            ends,
        }
    }

    /// The days that a moment may fall on; what is not said is as `otherwise`.
    fn days(
        &mut self,
        on_days: Option<&DaysText>,
        workdays: Option<bool>,
        node: &Node,
        otherwise: Days,
    ) -> Days {
        let mut on: Option<Weekdays> = None;
        for (DaysText(texts), node) in on_days.iter().zip(node.get("on_days")) {
            let places: Vec<Place> = match &node.data {
                Data::List(items) => items.iter().map(|item| item.place.clone()).collect(),
                _ => vec![node.place.clone()],
            };
            if texts.is_empty() {
                let message = "`on_days` is an empty list";
                self.findings.push(
                    Finding::error(&node.place, "invalid-value", message)
                        .help("name the days, such as [mon-fri], or leave it out for any day"),
                );
            }
            for (text, place) in texts.iter().zip(places) {
                let some = self.read(calendar::weekdays(text), &place);
                on = match (on, some) {
                    (Some(on), Some(some)) => Some(on.union(some)),
                    (on, some) => on.or(some),
                };
            }
        }
        Days { on: on.or(otherwise.on), workdays: workdays.unwrap_or(otherwise.workdays) }
    }

    /// Days that are no workdays: those of the configuration and the file's own.
    fn closed(&mut self, typed: &ScenarioFile, tree: &Node) -> Vec<ClosedDays> {
        let mut closed = self.defaults.closed.clone();
        if let (Some(texts), Some(node)) = (&typed.closed, tree.get("closed")) {
            for (text, node) in texts.iter().zip(node.items()) {
                closed.extend(self.read(calendar::closed(&text.0), &node.place));
            }
        }
        closed
    }

    /// Refuses a date that is the same for everybody and is none, as `2026-12-25` without quotes: a number.
    fn refuse_constant_dates(
        &mut self,
        typed: &ScenarioFile,
        tree: &Node,
        program: &Program,
        enter: &[Enter],
        anchor: Option<Expression>,
    ) {
        if self.error_count() > 0 {
            // a trigger that is wrong is not among those in `enter`
            return;
        }
        let mut found: Vec<(Expression, &str, &Node)> = Vec::new();
        if let (Some(anchor), Some(text), Some(node)) = (anchor, &typed.anchor, tree.get("anchor")) {
            found.push((anchor, &text.0, node));
        }
        let items = typed.enter.iter().flat_map(|enter| &enter.0);
        let nodes = tree.get("enter").map(Node::items).unwrap_or_default();
        let dates = items.zip(nodes).filter_map(|(item, node)| item.date.as_ref().zip(node.get("date")));
        let read = enter.iter().filter_map(|enter| match enter.trigger {
            Trigger::Date { at, .. } => Some(at),
            _ => None,
        });
        found.extend(read.zip(dates).map(|(at, (text, node))| (at, text.0.as_str(), node)));
        let names = sample_names(&SampleItem::default(), None).expect("nothing in it can be wrong");
        for (expression, source, node) in found {
            if !Builder::new(self.defaults.zone.clone()).names_in_expression(source).is_empty() {
                continue;
            }
            let text = program.text(expression, &names).unwrap_or_default();
            if parse_instant(&text, &self.defaults.zone).is_none() {
                let message = format!("`{source}` is no date, and the same for every member");
                self.findings.push(
                    Finding::error(&node.place, "names", message)
                        .help("name where the date is, such as member.birthday or event.starts_at"),
                );
            }
        }
    }

    /// A run by a date is known by that date, so there can be one such trigger.
    fn refuse_second_date(&mut self, enter: &[Enter], tree: &Node) {
        let dates = enter.iter().filter(|enter| matches!(enter.trigger, Trigger::Date { .. })).count();
        if dates > 0
            && dates == enter.len()
            && let Some(entry) = tree.entry("anchor")
        {
            let message = "`anchor` is not used: what starts by a date of the member counts from that date";
            self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
        }
        if dates > 1 {
            let message = "a scenario is planned by one date of the member";
            self.findings.push(
                Finding::error(tree.place_of("enter"), "trigger", message)
                    .help("make a scenario for each of the dates"),
            );
        }
    }

    /// Renders every message with every sample, and says what LINE would refuse.
    fn samples(
        &mut self,
        typed: &ScenarioFile,
        tree: &Node,
        steps: &[Step],
        program: &Program,
        zone: &TimeZone,
    ) {
        let (Some(OneOrMany(samples)), Some(node)) = (&typed.samples, tree.get("samples")) else { return };
        if self.error_count() > 0 {
            return;
        }
        for (number, (sample, node)) in samples.iter().zip(node.items()).enumerate() {
            let anchor = match &sample.anchor {
                Some(text) => {
                    let read = written::start_of(text, zone);
                    let Some(anchor) = self.read(read, node.place_of("anchor")) else { continue };
                    Some(anchor)
                }
                None => None,
            };
            let names = match sample_names(sample, anchor) {
                Ok(names) => names,
                Err(message) => {
                    let place = node.place_of("member");
                    self.findings.push(Finding::error(place, "sample", message));
                    continue;
                }
            };
            for step in steps {
                let Some(messages) = step.messages() else { continue };
                let refused = match program.render(messages, &names) {
                    Ok(rendered) => message::check_rendered_json(&rendered).err(),
                    Err(failure) => Some(failure.to_string()),
                };
                if let Some(why) = refused {
                    let message = format!("step `{}` with sample {}: {why}", step.id, number + 1);
                    self.findings.push(
                        Finding::error(&node.place, "sample", message)
                            .help("give the sample the value, or the template a `default`"),
                    );
                }
            }
        }
    }

    fn id(&mut self, typed: &ScenarioFile, tree: &Node) -> Option<ScenarioId> {
        let text = typed.scenario.as_ref()?;
        let place = tree.place_of("scenario");
        let name = self.file.rsplit('/').next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        match ScenarioId::new(text) {
            Err(error) => {
                self.findings.push(Finding::error(place, "invalid-id", error.to_string()));
                None
            }
            Ok(id) if text == stem => Some(id),
            Ok(_) => {
                let message = format!("scenario `{text}` is in a file called `{name}`");
                let help = format!("call the file `{text}.yaml`, or write `scenario: {stem}`");
                self.findings.push(Finding::error(place, "file-name", message).help(help));
                None
            }
        }
    }

    /// What a list, or a single item in its place, holds.
    fn each<T, U>(
        &mut self,
        items: Option<&OneOrMany<T>>,
        tree: &Node,
        key: &str,
        make: fn(&mut Self, &T, &Node) -> Option<U>,
    ) -> Vec<U> {
        let (Some(OneOrMany(items)), Some(node)) = (items, tree.get(key)) else {
            return Vec::new();
        };
        if items.is_empty() {
            let message = format!("`{key}` is an empty list");
            self.findings.push(Finding::error(&node.place, "missing-key", message));
        }
        items.iter().zip(node.items()).filter_map(|(item, node)| make(self, item, node)).collect()
    }

    fn enter(&mut self, item: &EnterItem, node: &Node) -> Option<Enter> {
        let kind = self.one_of_keys(node, "`enter`", &TRIGGERS)?;
        let stands = if kind == "on" || kind == "manual" { Where::Entry } else { Where::Member };
        let trigger = match kind {
            "on" => self.event(item.on.as_deref(), node).map(Trigger::Event),
            "segment" => {
                self.condition(item.segment.as_ref(), node, "segment", Where::Member).map(Trigger::Segment)
            }
            "date" => {
                let yearly = item.yearly.unwrap_or(false);
                let at = self.expression(item.date.as_ref(), node, "date", Where::Member);
                at.map(|at| Trigger::Date { at, yearly })
            }
            "every" => {
                let pattern = cron::cron(item.every.as_deref()?);
                self.read(pattern, node.place_of("every")).map(|cron| Trigger::Every(Box::new(cron)))
            }
            _ => self.is_true(item.manual, node, "manual").then_some(Trigger::Manual),
        };
        let condition = self.condition(item.condition.as_ref(), node, "where", stands);
        let key = self.expression(item.key.as_ref(), node, "key", stands);
        let again = match &item.again {
            Some(text) => self.read(again(text), node.place_of("again")),
            None => Some(Again::Never),
        };
        if let (Some(Trigger::Every(_)), None) = (&trigger, &item.again) {
            let message = "each member enters once, ever: `every` has no `again`";
            self.findings.push(Finding::warning(node.place_of("every"), "no-again", message).help(
                "add `again: always` to enter at each tick, or `again: never` to say that once is meant",
            ));
        }
        let strays: &[(&str, &str)] = match kind {
            "date" => &[
                ("key", "a run by a date is known by that date"),
                ("again", "a member enters once for each date"),
            ],
            _ => &[("yearly", "`yearly` goes with `date`")],
        };
        for (key, why) in strays {
            if let Some(entry) = node.entry(key) {
                let message = format!("`{key}` cannot go with `{kind}`: {why}");
                self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
            }
        }
        Some(Enter { trigger: trigger?, condition, key, again: again? })
    }

    /// The one key of several that a mapping has.
    fn one_of_keys(&mut self, node: &Node, owner: &str, keys: &[&'static str]) -> Option<&'static str> {
        let given: Vec<&'static str> = keys.iter().copied().filter(|key| node.entry(key).is_some()).collect();
        match given.as_slice() {
            [key] => Some(key),
            [] => {
                if matches!(node.data, Data::Map(_)) && !self.has_unknown_key(node) {
                    let message = format!("{owner} has none of {}", keys.join(", "));
                    let help = "`on:` with the event's name is the usual one";
                    self.findings.push(Finding::error(&node.place, "missing-key", message).help(help));
                }
                None
            }
            [first, second, ..] => {
                let message = format!("{owner} has both `{first}` and `{second}`");
                let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
                let help = match owner {
                    "`goal`" => "a scenario has one goal; keep one of the two",
                    _ => "make two items of it, in a list",
                };
                self.findings.push(Finding::error(place, "trigger", message).help(help));
                None
            }
        }
    }

    /// True if a key of the mapping has been refused: it may have been meant for the one that is missing.
    fn has_unknown_key(&self, node: &Node) -> bool {
        node.entries().iter().any(|entry| self.unknown_keys.contains(&(entry.place.line, entry.place.column)))
    }

    /// True for a key that stands there as `true`, which is all that it can be.
    fn is_true(&mut self, value: Option<bool>, node: &Node, key: &str) -> bool {
        if value == Some(false) {
            let message = format!("`{key}: false` does nothing");
            let help = format!("write `{key}: true`, or leave it out");
            self.findings.push(Finding::error(node.place_of(key), "invalid-value", message).help(help));
        }
        value == Some(true)
    }

    fn update(&mut self, item: &ListenItem, node: &Node) -> Option<Update> {
        if let Some(entry) = node.entry("segment") {
            let message = "`update` takes an event, not a `segment`";
            self.findings.push(
                Finding::error(&entry.place, "stray-key", message)
                    .help("a run that follows a date of the member is started by `date:`"),
            );
        } else if item.on.is_none() {
            self.one_of_keys(node, "`update`", &["on"]);
        }
        let (on, condition, key) = self.listen(item, node);
        Some(Update { on: on?, condition, key })
    }

    fn exit(&mut self, item: &ListenItem, node: &Node) -> Option<Exit> {
        let ending = self.ending("`exit`", item.on.as_deref(), item.segment.as_ref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Run);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Run);
        self.refuse_key_of_segment(ending.as_ref(), node);
        Some(Exit { ending: ending?, condition, key })
    }

    fn ending(
        &mut self,
        owner: &str,
        on: Option<&str>,
        segment: Option<&ExpressionText>,
        node: &Node,
    ) -> Option<Ending> {
        match self.one_of_keys(node, owner, &["on", "segment"])? {
            "on" => self.event(on, node).map(Ending::Event),
            _ => self.condition(segment, node, "segment", Where::Member).map(Ending::Segment),
        }
    }

    /// A change of the member means all its runs.
    fn refuse_key_of_segment(&mut self, ending: Option<&Ending>, node: &Node) {
        if let (Some(Ending::Segment(_)), Some(entry)) = (ending, node.entry("key")) {
            let message = "`key` cannot go with `segment`: no event tells which run is meant";
            self.findings.push(Finding::error(&entry.place, "stray-key", message).help("leave it out"));
        }
    }

    fn listen(
        &mut self,
        item: &ListenItem,
        node: &Node,
    ) -> (Option<EventName>, Option<Condition>, Option<Expression>) {
        let on = self.event(item.on.as_deref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Run);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Run);
        (on, condition, key)
    }

    fn goal(&mut self, item: &GoalItem, node: &Node) -> Option<Goal> {
        let ending = self.ending("`goal`", item.on.as_deref(), item.segment.as_ref(), node);
        let condition = self.condition(item.condition.as_ref(), node, "where", Where::Run);
        let key = self.expression(item.key.as_ref(), node, "key", Where::Run);
        self.refuse_key_of_segment(ending.as_ref(), node);
        let within = self.offset(item.within.as_ref(), node, "within");
        let value = self.expression(item.value.as_ref(), node, "value", Where::Run);
        Some(Goal { ending: ending?, condition, key, within, value })
    }

    /// Without a key, an update or an exit concerns every run that the member has.
    fn expect_keys(&mut self, items: Option<&OneOrMany<ListenItem>>, tree: &Node, key: &str) {
        let (Some(OneOrMany(items)), Some(node)) = (items, tree.get(key)) else { return };
        let is_of_all = |item: &ListenItem| item.key.is_none() && item.on.is_some();
        for (item, node) in items.iter().zip(node.items()).filter(|(item, _)| is_of_all(item)) {
            let on = item.on.as_deref().unwrap_or_default();
            let message = format!("`{key}` on `{on}` has no `key`, so it concerns every run of the member");
            self.findings.push(
                Finding::warning(&node.place, "no-key", message)
                    .help("add the `key` of the run that the event means"),
            );
        }
    }

    fn steps(
        &mut self,
        typed: &ScenarioFile,
        tree: &Node,
        defaults: StepDefaults,
        workdays: &Workdays,
    ) -> Vec<Step> {
        let (Some(items), Some(node)) = (&typed.steps, tree.get("steps")) else { return Vec::new() };
        if items.is_empty() {
            self.findings.push(Finding::error(&node.place, "no-steps", "the scenario has no steps"));
        }
        let workdays = workdays.clone();
        let mut plan = StepPlan { steps: Vec::new(), seen: HashMap::new(), latest: None, defaults, workdays };
        self.plan_steps(items, node, None, 0, &mut plan);
        let size_bytes: usize = plan.seen.keys().map(|id| id.len() + limits::STEP_BYTES).sum();
        if size_bytes > limits::STEPS_BYTES {
            let message = format!("{} steps are more than a member's file has room for", plan.seen.len());
            let help = "divide them among several scenarios".to_owned();
            self.findings.push(Finding::error(&node.place, "too-many-steps", message).help(help));
        }
        plan.steps
    }

    /// Takes a list of steps into the plan, those inside its containers as well.
    fn plan_steps(
        &mut self,
        items: &[StepItem],
        node: &Node,
        within: Option<Within>,
        depth: usize,
        plan: &mut StepPlan,
    ) {
        if depth > MAX_NESTING {
            let message = format!("steps are nested more than {MAX_NESTING} deep");
            self.findings.push(
                Finding::error(&node.place, "too-deep", message)
                    .help("let a step `enter` another scenario in place of the innermost ones"),
            );
            return;
        }
        for (item, node) in items.iter().zip(node.items()) {
            let id = self.step_id(item, node, plan);
            let timing = self.timing(item, node, plan.defaults.anchored);
            let days = self.days(item.on_days.as_ref(), item.workdays, node, plan.defaults.days);
            if let Some(timing) = &timing {
                self.expect_order(item, node, timing, &mut plan.latest);
            }
            let condition = self.condition(item.when.as_ref(), node, "when", Where::Run);
            let own_late = self.fixed(item.late.as_ref(), node, "late");
            let hours = self.hours(item.hours.as_ref(), node);
            let act = self.act(item, node);
            let late = match &act {
                Some(Act::Push(_)) => own_late.or(plan.defaults.late),
                _ => own_late,
            };
            // what sends nothing need not wait for a day, unless it says so itself
            let says_days = item.on_days.is_some() || item.workdays.is_some();
            let days = match &act {
                Some(Act::Push(_)) => days,
                _ if says_days => days,
                _ => Days::default(),
            };
            self.refuse_no_day(days, &plan.workdays, node);
            // a step that is wrong leaves no place for others to stand in, and the file fails by it
            let index = match (id, timing, act) {
                (Some(id), Some(timing), Some(act)) => {
                    let (resend, arms) = (item.resend, Vec::new());
                    let step = Step { id, within, timing, days, condition, late, hours, resend, act, arms };
                    plan.steps.push(step);
                    plan.steps.len() - 1
                }
                _ => 0,
            };
            let before = plan.latest.clone();
            let mut arms = Vec::new();
            for (arm, steps) in arms_of(item, node).into_iter().enumerate() {
                plan.latest.clone_from(&before);
                let start = plan.steps.len();
                if let Some((items, node)) = steps {
                    let within = Some(Within { container: index, arm });
                    self.plan_steps(items, node, within, depth + 1, plan);
                }
                arms.push(start..plan.steps.len());
            }
            plan.latest = before;
            if let Some(step) = plan.steps.get_mut(index)
                && !arms.is_empty()
            {
                step.arms = arms;
            }
        }
    }

    /// Refuses days that leave a step none to fall on: it would go out on a day it must not.
    fn refuse_no_day(&mut self, days: Days, workdays: &Workdays, node: &Node) {
        /// Of four years, so that every date and every weekday is among them.
        const DAYS: usize = 1_461;
        let is_on = |date: Date| days.on.is_none_or(|on| on.contains(date.weekday()));
        let dates = std::iter::successors(Some(Date::constant(2025, 1, 1)), |date| date.tomorrow().ok());
        if !days.workdays || dates.take(DAYS).any(|date| is_on(date) && workdays.is_workday(date)) {
            return;
        }
        let entry = ["on_days", "workdays", "step"].into_iter().find_map(|key| node.entry(key));
        let place = entry.map_or(&node.place, |entry| &entry.place);
        let message = match days.on {
            Some(_) => "none of the days of `on_days` is a workday, so the step has no day to fall on",
            None => "`closed` leaves no workday, so the step has no day to fall on",
        };
        let help = "name other days, or write `workdays: false` in the step";
        self.findings.push(Finding::error(place, "contradiction", message).help(help));
    }

    fn step_id(&mut self, item: &StepItem, node: &Node, plan: &mut StepPlan) -> Option<StepId> {
        let text = item.step.as_deref()?;
        let place = node.place_of("step");
        if let Some(line) = plan.seen.insert(text.to_owned(), place.line) {
            let message = format!("step `{text}` exists twice");
            let help = format!("line {line} has it already; a running member continues by it");
            self.findings.push(Finding::error(place, "duplicate-step", message).help(help));
        }
        match StepId::new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.findings.push(Finding::error(place, "invalid-id", error.to_string()));
                None
            }
        }
    }

    /// The one thing that a step does.
    fn act(&mut self, item: &StepItem, node: &Node) -> Option<Act> {
        let given: Vec<&str> = ACTS.into_iter().filter(|key| node.entry(key).is_some()).collect();
        let act = match given.as_slice() {
            [] => {
                // a key that is wrong has been told of, and may have been meant for it
                if matches!(node.data, Data::Map(_)) && !self.has_unknown_key(node) {
                    let message = "a step does nothing".to_owned();
                    let help = format!("add one of: {}", ACTS.join(", "));
                    self.findings.push(Finding::error(&node.place, "missing-key", message).help(help));
                }
                return None;
            }
            [act] => *act,
            [first, second, ..] => {
                let message = format!("a step does one thing, not both `{first}` and `{second}`");
                let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
                self.findings.push(
                    Finding::error(place, "two-acts", message).help("make two steps of it, each with an id"),
                );
                return None;
            }
        };
        self.refuse_strays(act, node);
        match act {
            "push" => {
                let silent = item.silent.unwrap_or(false);
                self.messages(item.push.as_ref()?, node.get("push")?, silent).map(Act::Push)
            }
            "reply" => {
                self.messages(item.reply.as_ref()?, node.get("reply")?, false)?;
                self.refuse_for_later("reply", node);
                None
            }
            "menu" => {
                if let MenuItem::Link(id) | MenuItem::Other(id) = item.menu.as_ref()?
                    && !id.starts_with("richmenu-")
                {
                    let message = format!("`{id}` is not the id of a rich menu");
                    self.findings.push(
                        Finding::error(node.place_of("menu"), "invalid-value", message)
                            .help("write `menu: { link: richmenu-… }`, or `menu: unlink`"),
                    );
                    return None;
                }
                self.refuse_for_later("menu", node);
                None
            }
            "call" => self.call(item.call.as_ref()?, node.get("call")?).map(Act::Call),
            "set" => self.set(item.set.as_ref()?, node.get("set")?).map(Act::Set),
            "enter" => self.started(item.enter.as_ref()?, node.get("enter")?).map(Act::Enter),
            "exit" => match item.exit? {
                true => Some(Act::Exit),
                false => {
                    let message = "`exit: false` does nothing";
                    self.findings.push(
                        Finding::error(node.place_of("exit"), "invalid-value", message)
                            .help("write `exit: true`, or leave the step out"),
                    );
                    None
                }
            },
            "branch" => self.branch(item.branch.as_ref()?, node.get("branch")?),
            "split" => {
                let arms = item.split.as_ref()?;
                if arms.len() < 2 {
                    let message = format!("a split has two arms or more, not {}", arms.len());
                    self.findings.push(
                        Finding::error(node.place_of("split"), "arm", message)
                            .help("an arm without `steps` is a control group: `- weight: 50`"),
                    );
                    return None;
                }
                let weights = arms.iter().map(|arm| arm.weight.and_then(|w| u32::try_from(w).ok()));
                Some(Act::Split(weights.map(Option::unwrap_or_default).collect()))
            }
            _ => self.wait_for(item, node),
        }
    }

    /// Refuses what is right, and not built yet.
    fn refuse_for_later(&mut self, key: &str, node: &Node) {
        let place = node.entry(key).map_or(&node.place, |entry| &entry.place);
        let message = format!("`{key}` is right as it stands, but this version of amadare cannot do it yet");
        let help = "leave the step out until a version that can";
        self.findings.push(Finding::error(place, "not-yet", message).help(help));
    }

    /// Refuses keys that mean something only beside another act.
    fn refuse_strays(&mut self, act: &str, node: &Node) {
        let strays = [
            ("silent", "push"),
            ("resend", "push"),
            ("within", "wait_for"),
            ("steps", "wait_for"),
            ("else", "wait_for"),
        ];
        for (key, owner) in strays {
            if let Some(entry) = node.entry(key).filter(|_| act != owner) {
                let message = format!("`{key}` goes with `{owner}`, not with `{act}`");
                let help = match (act, key) {
                    ("branch" | "split", "steps") => Some("each arm has its own `steps`".to_owned()),
                    ("branch", "else") => Some("make it the last arm: `- else:` with its steps".to_owned()),
                    _ => None,
                };
                self.findings.push(Finding::error(&entry.place, "stray-key", message).help_if(help));
            }
        }
    }

    fn set(&mut self, item: &SetItem, node: &Node) -> Option<Set> {
        let tags = item.tags.as_ref();
        let add_tags = tags.map(|tags| tags.add.clone()).unwrap_or_default();
        let remove_tags = tags.map(|tags| tags.remove.clone()).unwrap_or_default();
        let names_nothing = item.attributes.as_ref().is_none_or(|map| map.0.is_empty());
        if names_nothing && add_tags.is_empty() && remove_tags.is_empty() {
            if node.entries().iter().any(|entry| !is_empty(&entry.value)) {
                // it was to change something, and what is wrong with that has been told of
                return None;
            }
            let message = "`set` changes nothing";
            self.findings.push(
                Finding::error(&node.place, "missing-key", message)
                    .help("add `attributes:` with names and values, or `tags:`"),
            );
            return None;
        }
        for tag in add_tags.iter().chain(&remove_tags) {
            if tag.is_empty() || tag.len() > MAX_NAME_BYTES {
                let message = format!("a tag is 1 to {MAX_NAME_BYTES} bytes, not {}", tag.len());
                let place = node.get("tags").and_then(|tags| place_of_text(tags, tag));
                let place = place.unwrap_or(node.place_of("tags"));
                self.findings.push(Finding::error(place, "invalid-value", message));
                return None;
            }
        }
        if let Some(name) = item
            .attributes
            .iter()
            .flat_map(|map| map.0.keys())
            .find(|name| MEMBER_NAMES.contains(&name.as_str()))
        {
            let message = format!("`member.{name}` is no attribute, so it cannot be set");
            let entry = node.get("attributes").and_then(|attributes| attributes.entry(name));
            let place = entry.map_or(node.place_of("attributes"), |entry| &entry.place);
            self.findings.push(
                Finding::error(place, "invalid-value", message).help("call the attribute something else"),
            );
            return None;
        }
        let attributes = match &item.attributes {
            Some(map) => Some(self.document(&map.0, node.get("attributes")?)?),
            None => None,
        };
        Some(Set { attributes, add_tags, remove_tags })
    }

    fn call(&mut self, item: &CallItem, node: &Node) -> Option<Call> {
        let url = item.url.as_deref()?;
        let place = node.get("url").map_or(&node.place, |node| &node.place).clone();
        let hosts = self.defaults.call_hosts.as_deref();
        if let Err((code, message)) = check_call(url, hosts) {
            let help = match code {
                "call-host" => "list it in the configuration: `calls: { hosts: [shop.example] }`",
                _ => "write a whole address: https://shop.example/hook",
            };
            self.findings.push(Finding::error(&place, code, message).help(help));
            return None;
        }
        let body = match &item.body {
            Some(map) => Some(self.document(&map.0, node.get("body")?)?),
            None => None,
        };
        Some(Call { url: Arc::from(url), body })
    }

    fn started(&mut self, item: &StartItem, node: &Node) -> Option<Started> {
        let id = item.scenario.as_deref()?;
        let place = node.get("scenario").map_or(&node.place, |node| &node.place).clone();
        let data = match &item.data {
            Some(map) => Some(self.document(&map.0, node.get("data")?)?),
            None => None,
        };
        match ScenarioId::new(id) {
            Ok(scenario) => {
                self.enters.push((scenario.clone(), place));
                Some(Started { scenario, data })
            }
            Err(error) => {
                self.findings.push(Finding::error(&place, "invalid-id", error.to_string()));
                None
            }
        }
    }

    /// A mapping whose texts may be templates.
    fn document(&mut self, map: &serde_json::Map<String, Value>, node: &Node) -> Option<Document> {
        let before = self.error_count();
        let value = Value::Object(map.clone());
        self.templates(&value, node);
        if self.error_count() > before {
            return None;
        }
        match self.builder.document(&value) {
            Ok(document) => Some(document),
            Err(error) => {
                self.findings.push(Finding::error(&node.place, "template", error.message));
                None
            }
        }
    }

    fn branch(&mut self, arms: &[ArmItem], node: &Node) -> Option<Act> {
        let before = self.error_count();
        if arms.is_empty() {
            self.findings.push(
                Finding::error(&node.place, "arm", "a branch has no arms")
                    .help("add an arm: `- when:` with a condition, and `steps:`"),
            );
        }
        let mut conditions = Vec::new();
        for (index, (arm, node)) in arms.iter().zip(node.items()).enumerate() {
            let condition = self.condition(arm.when.as_ref(), node, "when", Where::Run);
            conditions.push(condition);
            if !matches!(node.data, Data::Map(_)) || self.has_unknown_key(node) {
                continue;
            }
            let mut refuse = |place: &Place, message: &str, help: &str| {
                self.findings.push(Finding::error(place, "arm", message).help(help));
            };
            match (node.entry("when"), node.entry("else")) {
                (Some(_), Some(entry)) => {
                    refuse(&entry.place, "an arm has `when` or `else`, not both", "make two arms of it");
                }
                (None, None) => {
                    refuse(
                        &node.place,
                        "an arm of `branch` has no condition",
                        "add `when:`, or `else:` to the last",
                    );
                }
                (None, Some(entry)) if index + 1 < arms.len() => {
                    refuse(
                        &entry.place,
                        "`else` is the last arm",
                        "what follows it is never reached; move it down",
                    );
                }
                _ => {}
            }
            let written_here = matches!(arm.otherwise, Some(ElseItem::Steps(_)));
            let is_refused = arm.otherwise.is_none() && node.entry("else").is_some();
            match (written_here, node.entry("steps")) {
                _ if is_refused => {}
                (true, Some(entry)) => {
                    refuse(
                        &entry.place,
                        "an arm has its steps once",
                        "keep those at `else` or those at `steps`",
                    );
                }
                (false, None) => {
                    refuse(&node.place, "an arm has no `steps`", "add `steps:`; `steps: []` does nothing");
                }
                _ => {}
            }
        }
        (self.error_count() == before).then_some(Act::Branch(conditions))
    }

    fn wait_for(&mut self, item: &StepItem, node: &Node) -> Option<Act> {
        let (wait, inner) = (item.wait_for.as_ref()?, node.get("wait_for")?);
        for key in ["within", "steps", "else"] {
            if let (Some(entry), Some(_)) = (node.entry(key), inner.entry(key)) {
                let message = format!("`{key}` stands in `wait_for` and beside it");
                self.findings
                    .push(Finding::error(&entry.place, "stray-key", message).help("keep one of the two"));
            }
        }
        let on = self.event(wait.on.as_deref(), inner);
        let condition = self.condition(wait.condition.as_ref(), inner, "where", Where::Run);
        let key = self.expression(wait.key.as_ref(), inner, "key", Where::Run);
        let within = match (&wait.within, &item.within) {
            (Some(_), _) => self.offset(wait.within.as_ref(), inner, "within"),
            (None, Some(_)) => self.offset(item.within.as_ref(), node, "within"),
            // one that is refused is not missing
            (None, None) if node.entry("within").or(inner.entry("within")).is_some() => None,
            (None, None) => {
                let message = "`wait_for` has no `within`, so it could wait for ever";
                self.findings.push(
                    Finding::error(&inner.place, "missing-key", message)
                        .help("add how long it waits: `within: 3d`; after it `else` follows"),
                );
                None
            }
        };
        Some(Act::WaitFor(WaitFor { on: on?, condition, key, within: within? }))
    }

    /// The one timing of a step.
    fn timing(&mut self, item: &StepItem, node: &Node, anchored: bool) -> Option<Timing> {
        let given: Vec<&str> = (["day", "after", "before", "wait"].into_iter())
            .filter(|key| node.entry(key).is_some())
            .collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("a step has one timing, not both `{first}` and `{second}`");
            let place = node.entry(second).map_or(&node.place, |entry| &entry.place);
            self.findings.push(
                Finding::error(place, "timing", message)
                    .help("keep one of day, after, before and wait; `at` goes with day"),
            );
            return None;
        }
        let at = match &item.at {
            Some(text) => Some(self.read(written::time(&text.0), node.place_of("at"))?),
            None => None,
        };
        let at_place = node.entry("at").map_or(&node.place, |entry| &entry.place).clone();
        let timing = match given.first().copied() {
            Some("day") => {
                let days = item.day?;
                if days < 0 && !anchored {
                    let message = format!("`day: {days}` is before the entry itself");
                    self.findings.push(
                        Finding::error(node.place_of("day"), "timing", message)
                            .help("add an `anchor:` to count from, such as `anchor: event.starts_at`"),
                    );
                    return None;
                }
                Timing::Day { days: i32::try_from(days).ok()?, at }
            }
            Some("after") => {
                let offset = self.offset(item.after.as_ref(), node, "after")?;
                self.refuse_time_of_day(&offset, at, "after", &at_place)?;
                Timing::After { offset, at }
            }
            Some("before") => {
                let offset = self.offset(item.before.as_ref(), node, "before");
                if !anchored {
                    let message = "`before` without an anchor is before the entry itself";
                    self.findings.push(
                        Finding::error(node.place_of("before"), "timing", message)
                            .help("add an `anchor:` to count from, such as `anchor: event.starts_at`"),
                    );
                    return None;
                }
                let offset = offset?;
                self.refuse_time_of_day(&offset, at, "before", &at_place)?;
                Timing::Before { offset, at }
            }
            Some(_) => {
                let offset = self.offset(item.wait.as_ref(), node, "wait")?;
                if at.is_some() {
                    let message = "`at` cannot go with `wait`";
                    self.findings.push(
                        Finding::error(&at_place, "timing", message)
                            .help("use `day` or `after` to name a time of day"),
                    );
                    return None;
                }
                Timing::Wait { offset }
            }
            None if node.entry("at").is_some() => {
                let message = "`at` needs a day to be on";
                self.findings
                    .push(Finding::error(&at_place, "timing", message).help("add `day: 0` for the same day"));
                return None;
            }
            None => Timing::AtOnce,
        };
        Some(timing)
    }

    /// A time of day needs a day that it is on.
    fn refuse_time_of_day(
        &mut self,
        offset: &Offset,
        at: Option<Time>,
        key: &str,
        place: &Place,
    ) -> Option<()> {
        if at.is_none() || matches!(offset, Offset::Civil(_)) {
            return Some(());
        }
        let message = format!("`at` goes with `{key}` only in days, weeks, months and years");
        let help = format!("write `{key}: 1d`, or leave out `at`");
        self.findings.push(Finding::error(place, "timing", message).help(help));
        None
    }

    fn messages(&mut self, push: &Push, node: &Node, silent: bool) -> Option<Messages> {
        let before = self.error_count();
        self.includes(node);
        let file = self.file;
        let includes = &self.includes;
        let mut include = |path: &str| {
            let name = include_name(file, path).ok()?;
            includes.read_already(&name).map(|included| included.value.clone())
        };
        let messages = message::expand(&push.0, &mut include);
        if self.error_count() > before {
            return None;
        }
        self.templates(&Value::Array(messages.clone()), node);
        for problem in message::check_written(&messages) {
            let place = self.locate(node, &problem.path).place.clone();
            let finding = if problem.harmless {
                Finding::warning(&place, "message", problem.message)
            } else {
                Finding::error(&place, "message", problem.message)
            };
            self.findings.push(finding.help_if(problem.help));
        }
        if self.error_count() > before {
            return None;
        }
        self.builder.messages(&messages, silent).ok()
    }

    fn error_count(&self) -> usize {
        (self.findings.iter().chain(&self.includes.findings)).filter(|finding| finding.is_error()).count()
    }

    /// Reads every file that a push includes, and says which cannot be.
    fn includes(&mut self, node: &Node) {
        if let Some(entry) = node.entry(FILE_KEY) {
            let place = &entry.value.place;
            if let Some(other) = node.entries().iter().find(|other| other.key != FILE_KEY) {
                let message = format!("`{}` cannot stand beside `{FILE_KEY}`", other.key);
                self.findings.push(
                    Finding::error(&other.place, "include", message)
                        .help("the file takes the whole mapping's place"),
                );
            }
            match entry.value.as_text() {
                None => {
                    let message = format!("`{FILE_KEY}` must be a path, not {}", entry.value.kind());
                    self.findings.push(Finding::error(place, "include", message));
                }
                Some(path) => match include_name(self.file, path) {
                    Err(message) => {
                        self.findings.push(Finding::error(place, "include", message).help(
                            "an included file lies in the folder of the scenario or below: flex/coupon.json",
                        ));
                    }
                    Ok(name) => {
                        self.includes.get(&name, place);
                    }
                },
            }
            return;
        }
        for entry in node.entries() {
            self.includes(&entry.value);
        }
        if let Data::List(items) = &node.data {
            items.iter().for_each(|item| self.includes(item));
        }
    }

    /// Checks every text of a value that has anything to render. `written` is where the value stands.
    fn templates(&mut self, value: &Value, written: &Node) {
        let mut texts = Vec::new();
        collect_templates(value, &mut Vec::new(), &mut texts);
        for (path, source) in texts {
            let node = self.locate(written, &path).clone();
            match self.builder.check_template(source) {
                Err(error) => self.syntax_error(&error, source, &node, "template"),
                Ok(()) => {
                    let names = self.builder.names_in_template(source);
                    self.check_names(names, source, &node, Where::Run);
                }
            }
        }
    }

    /// The node that a value of the expanded messages comes from, which may be in an included file.
    fn locate<'t>(&'t self, push: &'t Node, path: &[Key]) -> &'t Node {
        let mut node = self.follow(push);
        for (depth, key) in path.iter().enumerate() {
            let next = match (key, &node.data) {
                (Key::Index(index), Data::List(items)) => items.get(*index),
                // a push of one message stands for a list of it
                (Key::Index(0), _) if depth == 0 => Some(node),
                (Key::Name(name), Data::Map(_)) => node.get(name),
                _ => None,
            };
            match next {
                Some(next) => node = self.follow(next),
                None => break,
            }
        }
        node
    }

    fn follow<'t>(&'t self, node: &'t Node) -> &'t Node {
        let included = (node.get(FILE_KEY).and_then(Node::as_text))
            .and_then(|path| include_name(self.file, path).ok())
            .and_then(|name| self.includes.read_already(&name));
        included.map_or(node, |included| &included.tree)
    }

    fn event(&mut self, name: Option<&str>, node: &Node) -> Option<EventName> {
        let name = name?;
        let place = node.place_of("on");
        match EventName::new(name) {
            Err(error) => {
                self.findings.push(Finding::error(place, "invalid-event", error.to_string()));
                None
            }
            Ok(event) if event.is_reserved() && !LINE_EVENTS.contains(&name) => {
                let message =
                    format!("LINE gives no event `{name}`, and names that start with `line.` are its own");
                let help = did_you_mean(name, LINE_EVENTS)
                    .unwrap_or_else(|| format!("one of: {}", LINE_EVENTS.join(", ")));
                self.findings.push(Finding::error(place, "invalid-event", message).help(help));
                None
            }
            Ok(event) => Some(event),
        }
    }

    fn condition(
        &mut self,
        text: Option<&ExpressionText>,
        node: &Node,
        key: &str,
        place: Where,
    ) -> Option<Condition> {
        let (source, node) = (&text?.0, node.get(key)?);
        match self.builder.condition(source) {
            Ok(condition) => {
                self.check_names(self.builder.names_in_expression(source), source, node, place);
                Some(condition)
            }
            Err(error) => {
                self.syntax_error(&error, source, node, "expression");
                None
            }
        }
    }

    fn expression(
        &mut self,
        text: Option<&ExpressionText>,
        node: &Node,
        key: &str,
        place: Where,
    ) -> Option<Expression> {
        let (source, node) = (&text?.0, node.get(key)?);
        match self.builder.expression(source) {
            Ok(expression) => {
                self.check_names(self.builder.names_in_expression(source), source, node, place);
                Some(expression)
            }
            Err(error) => {
                self.syntax_error(&error, source, node, "expression");
                None
            }
        }
    }

    fn syntax_error(&mut self, error: &SyntaxError, source: &str, node: &Node, what: &str) {
        let offset = match (&error.range, error.line) {
            (Some(range), _) => range.start,
            (None, Some(line)) => {
                source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
            }
            (None, None) => 0,
        };
        let place = node.place_in(offset);
        let help = error.help.clone().or_else(|| syntax_help(source, offset, what));
        let message = format!("the {what} does not compile: {}", error.message);
        self.findings.push(Finding::error(&place, "template", message).help_if(help));
    }

    /// Names must start from something that has a value where the text stands.
    fn check_names(
        &mut self,
        names: impl IntoIterator<Item = String>,
        source: &str,
        node: &Node,
        stands: Where,
    ) {
        let here: &[&str] = match stands {
            Where::Member => &["member", "now"],
            Where::Entry => &["member", "event", "now"],
            Where::Anchor => &["member", "event", "now"],
            Where::Run => &ROOTS,
        };
        let mut roots: Vec<String> =
            (names.into_iter()).map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            if here.contains(&root.as_str()) || self.builder.is_global(&root) {
                continue;
            }
            if KEYWORDS.contains(&root.as_str()) {
                let place = node.place_in(source.rfind(&root).unwrap_or(0));
                let message = format!("`{root}` stands where a value should");
                self.findings.push(Finding::error(&place, "template", message));
                continue;
            }
            let place = node.place_in(find_word(source, &root));
            let finding = if ROOTS.contains(&root.as_str()) {
                Finding::error(&place, "names", format!("`{root}` has no value here")).help(match stands {
                    Where::Member => format!("no event is at hand; use {}", here.join(", ")),
                    _ => format!("there is no run yet; use {}", here.join(", ")),
                })
            } else {
                let help = did_you_mean(&root, here.iter().copied()).unwrap_or_else(|| match stands {
                    Where::Member => format!("write `member.{root}`"),
                    _ => format!("write `member.{root}` or `event.{root}`"),
                });
                Finding::error(&place, "names", format!("there is no `{root}`")).help(help)
            };
            self.findings.push(finding);
        }
    }

    fn hours(&mut self, text: Option<&HoursText>, node: &Node) -> Option<Hours> {
        self.read(written::hours(&text?.0), node.place_of("hours"))
    }

    fn fixed(&mut self, text: Option<&FixedText>, node: &Node, key: &str) -> Option<SignedDuration> {
        self.read(written::fixed(&text?.0), node.place_of(key))
    }

    fn offset(&mut self, text: Option<&OffsetText>, node: &Node, key: &str) -> Option<Offset> {
        self.read(written::offset(&text?.0), node.place_of(key))
    }

    fn read<T>(&mut self, read: Result<T, Unreadable>, place: &Place) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.findings.push(error.at(place));
                None
            }
        }
    }

    /// Warns of a step whose moment is certainly before that of a step in front of it.
    fn expect_order(&mut self, item: &StepItem, node: &Node, timing: &Timing, latest: &mut Option<Latest>) {
        let Some(moment) = Moment::of(timing) else { return };
        let id = item.step.clone().unwrap_or_default();
        match latest {
            Some(before) if moment.is_certainly_before(&before.moment) => {
                let message = format!("step `{id}` is due before step `{}` in front of it", before.step);
                self.findings.push(
                    Finding::warning(node.place_of("step"), "out-of-order", message)
                        .help("steps run in file order, so it will be late; move it up"),
                );
            }
            _ => *latest = Some(Latest { step: id, moment }),
        }
    }
}

/// Checks the address of a `call`, as far as a file can be checked: the code and the message of what is
/// wrong with it.
fn check_call(url: &str, hosts: Option<&[String]>) -> Result<(), (&'static str, String)> {
    let refuse = |what: &str| Err(("invalid-value", format!("`call` {what}")));
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => (scheme, rest),
        _ => return refuse("needs an https URL"),
    };
    if is_template(url) {
        return refuse("goes to a fixed address; what differs goes into its `body`");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    if host.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return refuse("needs an https URL with a host, and without a password");
    }
    if scheme == "http" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return refuse("would send what it tells over the network in the clear; use https");
    }
    match hosts {
        Some(hosts) if !hosts.iter().any(|listed| listed == host || listed == authority) => {
            Err(("call-host", format!("the host `{host}` may not be called")))
        }
        _ => Ok(()),
    }
}

/// Where a text stands within lists and mappings.
fn place_of_text<'a>(node: &'a Node, text: &str) -> Option<&'a Place> {
    match &node.data {
        Data::Text(own) if own.value == text => Some(&node.place),
        Data::List(items) => items.iter().find_map(|item| place_of_text(item, text)),
        Data::Map(entries) => entries.iter().find_map(|entry| place_of_text(&entry.value, text)),
        _ => None,
    }
}

/// True for a list or a mapping without anything in it, at whatever depth.
fn is_empty(node: &Node) -> bool {
    match &node.data {
        Data::List(items) => items.is_empty(),
        Data::Map(entries) => entries.iter().all(|entry| is_empty(&entry.value)),
        _ => false,
    }
}

fn again(text: &str) -> Result<Again, Unreadable> {
    match text {
        "never" => Ok(Again::Never),
        "after_exit" => Ok(Again::AfterExit),
        "always" => Ok(Again::Always),
        _ => match written::offset(text) {
            Ok(offset) => Ok(Again::CoolDown(offset)),
            Err(error) => Err(Unreadable {
                code: "invalid-again",
                message: format!("`again` cannot be `{text}`"),
                help: did_you_mean(text, ["never", "after_exit", "always"])
                    .or_else(|| text.starts_with(|c: char| c.is_ascii_digit()).then_some(error.message))
                    .or_else(|| Some("one of never, after_exit, always, or a cool-down such as 90d".into())),
            }),
        },
    }
}

/// What was most likely meant by a text that does not compile.
fn syntax_help(source: &str, offset: usize, what: &str) -> Option<String> {
    if what == "expression" && (source.contains("{{") || source.contains("{%")) {
        return Some("an expression is written without {{ }}".into());
    }
    let rest = source.get(offset..).unwrap_or_default();
    if rest.starts_with(|c: char| !c.is_ascii()) {
        return Some(match what {
            "template" => {
                "is a `}}` missing in front of it? a name in another script is written event[\"…\"]".into()
            }
            _ => "a name in another script is written event[\"…\"], a text in quotes".into(),
        });
    }
    let assigns = rest.starts_with('=') || source[..offset.min(source.len())].trim_end().ends_with('=');
    if what == "expression" && assigns {
        return Some("two values are compared with `==`".into());
    }
    None
}

fn collect_templates<'a>(value: &'a Value, path: &mut Vec<Key>, found: &mut Vec<(Vec<Key>, &'a str)>) {
    match value {
        Value::String(text) if is_template(text) => found.push((path.clone(), text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Key::Index(index));
                collect_templates(item, path, found);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (name, item) in map {
                path.push(Key::Name(name.clone()));
                collect_templates(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Where a name is first used: not as part of a longer word, after a dot, or within a quoted text.
fn find_word(source: &str, word: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let free = source.match_indices(word).find(|(index, _)| {
        let before = &source[..*index];
        let after = &source[index + word.len()..];
        let quoted =
            ['"', '\''].iter().any(|quote| before.matches(*quote).count() % 2 == 1 && after.contains(*quote));
        !before.ends_with(|c: char| is_part(c) || c == '.') && !after.starts_with(is_part) && !quoted
    });
    free.map_or(0, |(index, _)| index)
}

/// The step with the latest moment so far.
#[derive(Clone)]
struct Latest {
    step: String,
    moment: Moment,
}

/// When a step is due, as far as it can be told without an anchor. Months count 30 days, years 365.
#[derive(Clone, Copy)]
enum Moment {
    /// Seconds from the anchor.
    Relative(i64),
    /// Seconds from the start of the anchor's date.
    Clock(i64),
}

const DAY_SECONDS: i64 = 86_400;

impl Moment {
    /// None for a step whose moment depends on the step before.
    fn of(timing: &Timing) -> Option<Moment> {
        let clock = |seconds: i64, at: &Option<Time>| match at {
            Some(at) => Moment::Clock(seconds + i64::from(at.hour()) * 3_600 + i64::from(at.minute()) * 60),
            None => Moment::Relative(seconds),
        };
        match timing {
            Timing::Day { days, at } => Some(clock(i64::from(*days) * DAY_SECONDS, at)),
            Timing::After { offset, at } => Some(clock(seconds(offset), at)),
            Timing::Before { offset, at } => Some(clock(-seconds(offset), at)),
            Timing::Wait { .. } | Timing::AtOnce => None,
        }
    }

    /// True if it is so at whatever time of day the anchor lies.
    fn is_certainly_before(self, other: &Moment) -> bool {
        match (self, *other) {
            (Moment::Relative(this), Moment::Relative(other))
            | (Moment::Clock(this), Moment::Clock(other)) => this < other,
            (Moment::Relative(this), Moment::Clock(other)) => this <= other - DAY_SECONDS,
            (Moment::Clock(this), Moment::Relative(other)) => this < other,
        }
    }
}

fn seconds(offset: &Offset) -> i64 {
    match offset {
        Offset::Exact(duration) => duration.as_secs(),
        Offset::Civil(span) => {
            let days = i64::from(span.get_days())
                + i64::from(span.get_weeks()) * 7
                + i64::from(span.get_months()) * 30
                + i64::from(span.get_years()) * 365;
            days * DAY_SECONDS
        }
    }
}

#[cfg(test)]
mod tests;
