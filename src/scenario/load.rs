//! Sources → compiled scenarios, or every problem that they have.
//!
//! Each file goes through the same stations: a tree with places ([`yaml`]), the check of its shape by
//! the schema of its type ([`schema`]), the typed load by `serde_yaml`, and then the meaning of every
//! text, compiled as it goes. What one station refuses is left out at the next, so that one run tells
//! of all that is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{EnrollmentId, MAX_NAME_BYTES, MemberId, ScenarioId};
use crate::scenario::calendar::{self, ClosedDays, Weekdays, Workdays};
use crate::scenario::file::{
    CapWord, DaysText, FixedText, HoursText, OffsetText, OneOrMany, PriorityWord, SampleItem, ScenarioFile,
};
use crate::scenario::finding::{Finding, MAX_FINDINGS_PER_FILE, Place, did_you_mean};
use crate::scenario::message;
use crate::scenario::program::{Builder, EnrollmentScope, MemberScope, Names, Program, Scope};
use crate::scenario::source::{Content, Sources};
use crate::scenario::written::{self, Unreadable};
use crate::scenario::yaml::{self, Data, Node};
use crate::scenario::{
    Act, Again, CapRule, Days, Defaults, Hours, Offset, Priority, Scenario, ScenarioSet, Step, Timing, schema,
};

mod doubts;
mod drafts;
mod includes;
mod steps;
mod texts;
mod triggers;

pub use drafts::Draft;

use doubts::{Nagging, UsedName};
use includes::Includes;
use steps::StepDefaults;
use texts::Where;

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

/// Compiles the scenarios of a set. Files are judged apart: one that is wrong hides nothing of another.
pub fn load(sources: &Sources, defaults: &Defaults) -> Loaded {
    load_keeping(sources, defaults, None)
}

/// As [`load`], with the messages of all files that are right.
pub fn load_with_drafts(sources: &Sources, defaults: &Defaults) -> (Loaded, Vec<Draft>) {
    let mut drafts = Vec::new();
    let loaded = load_keeping(sources, defaults, Some(&mut drafts));
    (loaded, drafts)
}

fn load_keeping(sources: &Sources, defaults: &Defaults, mut drafts: Option<&mut Vec<Draft>>) -> Loaded {
    let schema = schema::annotated::<ScenarioFile>();
    let mut includes = Includes { sources, read: HashMap::new(), findings: Vec::new() };
    let mut findings = Vec::new();
    let mut scenarios = Vec::new();
    let mut ids: BTreeMap<ScenarioId, Place> = BTreeMap::new();
    let mut enters = Vec::new();
    let mut nagging = Vec::new();
    for (name, content) in sources.scenarios() {
        let mut file = FileLoad {
            file: name,
            defaults,
            includes: &mut includes,
            builder: Builder::new(defaults.zone.clone()),
            findings: Vec::new(),
            unknown_keys: HashSet::new(),
            enters: Vec::new(),
            names: Vec::new(),
            compares_names: false,
            nagging: Vec::new(),
            drafts: drafts.as_deref_mut(),
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
        nagging.append(&mut file.nagging);
        let mut of_file = file.findings;
        if let Content::Bytes(bytes) = content {
            doubts::drop_allowed(&mut of_file, bytes);
        }
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
    refuse_circles(&scenarios, &enters, &mut findings);
    let mut doubts_of_several = Vec::new();
    doubts::doubt_together(&nagging, &mut doubts_of_several);
    for doubt in doubts_of_several {
        let mut doubt = vec![doubt];
        if let Some(Content::Bytes(bytes)) = sources.get(&doubt[0].file) {
            doubts::drop_allowed(&mut doubt, bytes);
        }
        findings.append(&mut doubt);
    }
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

/// Refuses scenarios whose steps start each other again and again without any time between: a member would
/// be sent to as fast as LINE answers.
fn refuse_circles(scenarios: &[Scenario], enters: &[(ScenarioId, Place)], findings: &mut Vec<Finding>) {
    let find = |id: &ScenarioId| scenarios.iter().find(|scenario| scenario.id == *id);
    for start in scenarios {
        let mut reached: Vec<&ScenarioId> = Vec::new();
        let mut to_follow = vec![start];
        while let Some(scenario) = to_follow.pop() {
            for target in at_once_entered(scenario).filter_map(find).filter(|target| lets_enter_again(target))
            {
                if !reached.contains(&&target.id) {
                    reached.push(&target.id);
                    to_follow.push(target);
                }
            }
        }
        if !reached.contains(&&start.id) {
            continue;
        }
        let file = format!("{}.yaml", start.id);
        let own = enters.iter().find(|(_, place)| place.file.rsplit('/').next() == Some(file.as_str()));
        let Some((_, place)) = own else { continue };
        let message = format!("scenario `{}` starts itself again without any time between", start.id);
        findings.push(
            Finding::error(place, "circle", message)
                .help("let it `wait:` in front of the step, or write `again: 30d` in what it enters"),
        );
    }
}

/// The scenarios that steps start before any time has passed for sure.
fn at_once_entered(scenario: &Scenario) -> impl Iterator<Item = &ScenarioId> {
    let takes_time = |step: &&Step| match &step.timing {
        Timing::After { .. } | Timing::Wait { .. } => true,
        Timing::Day { days, .. } => *days > 0,
        Timing::Before { .. } | Timing::AtOnce => false,
    };
    // a step inside an arm may be passed over with its time
    let until = scenario
        .steps
        .iter()
        .position(|step| step.within.is_none() && step.condition.is_none() && takes_time(&step));
    let steps = &scenario.steps[..until.unwrap_or(scenario.steps.len())];
    steps.iter().filter(move |step| !takes_time(step)).filter_map(|step| match &step.act {
        Act::Enter(started) => Some(&started.scenario),
        _ => None,
    })
}

/// True if a member may enter by hand at once after a run.
fn lets_enter_again(scenario: &Scenario) -> bool {
    let again = scenario.rule_by_hand().map(|enter| &enter.again);
    matches!(again, Some(Again::Always | Again::AfterExit))
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
        let place = Place { file: Arc::clone(file), line: last, column: 1, width: 0 };
        findings.push(Finding::error(&place, "too-many-findings", format!("and {more} more")));
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
    /// The names that its texts use, if there are samples to compare them with.
    names: Vec<UsedName>,
    compares_names: bool,
    nagging: Vec<Nagging>,
    /// Where the messages are to be kept, if they are.
    drafts: Option<&'a mut Vec<Draft>>,
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
        let scenario = scenario?;
        self.doubt(&scenario, &typed, &tree);
        self.keep_drafts(&scenario, &typed, &tree);
        Some((scenario, place))
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
                        width: 0,
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
        self.compares_names = typed.samples.is_some();
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
        // also by a `date` that is refused: it was meant to be one
        let by_date = |node: &Node| node.entry("date").is_some();
        let anchored = tree.entry("anchor").is_some()
            || tree.get("enter").is_some_and(|node| node.items().iter().any(by_date));
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
                let help = meant_id(text, "what people call it goes into `title:`");
                self.findings.push(Finding::error(place, "invalid-id", error.to_string()).help(help));
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

    fn error_count(&self) -> usize {
        (self.findings.iter().chain(&self.includes.findings)).filter(|finding| finding.is_error()).count()
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
}

/// An id like a text that is none; if nothing is left of it, what is said otherwise.
fn meant_id(text: &str, otherwise: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let meant = words.collect::<Vec<_>>().join("-").to_lowercase();
    let is_most = meant.len() * 2 > text.len();
    if is_most { format!("write `{meant}`") } else { otherwise.to_owned() }
}

#[cfg(test)]
mod tests;
