//! Scenario files drawn from a number: every kind of step and trigger, and edits of them for reloads to
//! swap, beside the files of [`scenarios`](crate::scenarios). Book 0 has none but those.
//!
//! A text says scenario, step, serial of the event, 0, entry, anchor and member, so that it tells its run
//! without any id of the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Cap, Defaults, ScenarioSet};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::history::{Rng, start_of_book};
use crate::scenarios;

/// Variants of the files, as many as of the others; behind them stands for each one that closes it:
/// nothing is paused or missing, and the clock starts nothing more.
pub(crate) const VARIANTS: usize = scenarios::VARIANTS;

pub(crate) const IDS: [&str; 4] = ["gen-a", "gen-b", "gen-c", "gen-sub"];

const SUB: &str = "gen-sub";

/// Steps of a file as it is drawn first; `x` and `y` of the same number come in by edits.
const MAX_STEPS: usize = 14;

pub(crate) const TOPICS: [&str; 2] = ["ads", "news"];
pub(crate) const TAGS: [&str; 2] = ["p", "q"];

/// What a file starts by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    Event,
    /// A tag that the member gets.
    Segment(&'static str),
    Date {
        yearly: bool,
    },
    /// A pattern, and a tag that the member must have.
    Every(&'static str, Option<&'static str>),
    Manual,
}

/// One drawn scenario.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) id: &'static str,
    pub(crate) start: Start,
    /// An event starts it as well.
    pub(crate) also_event: bool,
    pub(crate) again: &'static str,
    pub(crate) zone: TimeZone,
    /// Of ten thousand members.
    pub(crate) holdout: u64,
    pub(crate) starts: Option<Timestamp>,
    pub(crate) ends: Option<Timestamp>,
    pub(crate) late: Option<SignedDuration>,
    pub(crate) variants: Vec<Variant>,
}

/// One variant of a drawn scenario; without steps where it is missing.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) paused: bool,
    pub(crate) pattern: Option<&'static str>,
    /// The containers around each step, each with the arm.
    pub(crate) arms: BTreeMap<String, Vec<(String, u32)>>,
    file: Option<Value>,
}

impl Variant {
    pub(crate) fn is_missing(&self) -> bool {
        self.file.is_none()
    }
}

#[derive(Debug)]
pub(crate) struct Book {
    number: u64,
    pub(crate) drawn: Vec<Drawn>,
    pub(crate) caps: Vec<Cap>,
    /// A step gives members tags.
    pub(crate) sets_tags: bool,
    /// An event `quit` ends all runs of these scenarios.
    pub(crate) has_quit: bool,
    sets: Vec<OnceLock<Arc<ScenarioSet>>>,
}

/// How many books the seeds of a short run share: reading one takes longer than playing a history.
const SHARED: u64 = 43;

/// Which book a seed has: none beside the fixed scenarios for two of five.
pub(crate) fn number_of(seed: u64) -> u64 {
    match seed % 5 {
        0 | 2 => 0,
        _ => 1 + seed / 2_000 * SHARED + Rng::of(&[seed, 9]).below(SHARED),
    }
}

pub(crate) fn book(number: u64) -> Arc<Book> {
    static BOOKS: Mutex<BTreeMap<u64, Arc<Book>>> = Mutex::new(BTreeMap::new());
    let mut books = BOOKS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    while books.len() > 2 * SHARED as usize {
        // those of the seeds long past
        let oldest = *books.keys().find(|number| **number > 0).unwrap();
        books.remove(&oldest);
    }
    Arc::clone(books.entry(number).or_insert_with(|| Arc::new(Book::draw(number))))
}

impl Book {
    fn draw(number: u64) -> Book {
        let mut rng = Rng::of(&[number, 0xb00c]);
        let mut book = Book {
            number,
            drawn: Vec::new(),
            caps: Vec::new(),
            sets_tags: false,
            has_quit: false,
            sets: (0..2 * VARIANTS).map(|_| OnceLock::new()).collect(),
        };
        if number == 0 {
            return book;
        }
        if rng.percent(45) {
            let hours = |max, hours| Cap { max, per: SignedDuration::from_hours(hours) };
            book.caps = match rng.below(4) {
                0 => vec![hours(1, 1)],
                1 => vec![hours(1, 24)],
                2 => vec![hours(2, 6), hours(3, 48)],
                _ => vec![hours(2, 24)],
            };
        }
        book.has_quit = rng.percent(40);
        let count = rng.range(1, 3) as usize;
        // one of them starts another, in one book of three
        let parent = rng.percent(35).then(|| rng.below(count as u64) as usize);
        for index in 0..count {
            let drawn = drawing(&mut rng, number, index, parent == Some(index), &mut book);
            book.drawn.push(drawn);
        }
        if parent.is_some() {
            let sub = drawing(&mut rng, number, IDS.len() - 1, false, &mut book);
            book.drawn.push(sub);
        }
        book
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Drawn> {
        self.drawn.iter().find(|drawn| drawn.id == id)
    }

    pub(crate) fn set(&self, variant: usize) -> &Arc<ScenarioSet> {
        self.sets[variant].get_or_init(|| {
            let files =
                self.files(variant).into_iter().map(|(id, text)| (format!("{id}.yaml"), text.into_bytes()));
            let defaults = Defaults { caps: self.caps.clone(), ..Defaults::default() };
            let loaded = load(&Sources::from_files(files), &defaults);
            Arc::new(loaded.set.unwrap_or_else(|| {
                panic!(
                    "book {}, variant {variant}: {:?}\n{}",
                    self.number,
                    loaded.findings,
                    self.told(variant)
                )
            }))
        })
    }

    /// A text as the drawn files have it.
    pub(crate) fn told(&self, variant: usize) -> String {
        let caps = &self.caps;
        let files = self.files(variant).into_iter().filter(|(id, _)| id.starts_with("gen-"));
        files.map(|(_, text)| text).fold(format!("caps {caps:?}"), |all, text| all + "\n" + &text)
    }

    fn files(&self, variant: usize) -> Vec<(&'static str, String)> {
        let mut files = scenarios::written(variant % VARIANTS);
        for drawn in &self.drawn {
            let is_closing = variant >= VARIANTS;
            let own = &drawn.variants[variant % VARIANTS];
            let file = match &own.file {
                None if is_closing => drawn.variants[0].file.clone(),
                file => file.clone(),
            };
            let Some(mut file) = file else { continue };
            if own.paused && !is_closing {
                file["paused"] = true.into();
            }
            if is_closing && matches!(drawn.start, Start::Every(..)) {
                file["enter"] = json!({ "manual": true });
            }
            files.push((drawn.id, file.to_string()));
        }
        files
    }

    /// The place of a step in the order of its run.
    pub(crate) fn rank(step: &str) -> Option<u32> {
        let (kind, number) = step.split_at_checked(1)?;
        let number: u32 = number.parse().ok()?;
        match kind {
            "s" => Some(1_000 + 2 * number),
            "x" | "y" => Some(1_001 + 2 * number),
            _ => None,
        }
    }

    /// All steps that send.
    pub(crate) fn steps() -> &'static [String] {
        static STEPS: OnceLock<Vec<String>> = OnceLock::new();
        STEPS.get_or_init(|| {
            let numbers = 0..=MAX_STEPS;
            numbers.flat_map(|n| ["s", "x", "y"].map(|kind| format!("{kind}{n}"))).collect()
        })
    }
}

/// A step and what stands in it, before it is written.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    keys: BTreeMap<&'static str, Value>,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    /// Everything that is no container is written as it is.
    Plain(&'static str, Value),
    Contains(Kind, Vec<Arm>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Branch,
    Split,
    WaitFor(&'static str),
}

#[derive(Clone, Debug)]
struct Arm {
    /// What it is known by, whatever an edit takes away beside it.
    number: u32,
    when: Option<&'static str>,
    weight: u32,
    steps: Vec<Node>,
}

struct Writer<'a> {
    rng: &'a mut Rng,
    id: &'static str,
    dated: bool,
    is_parent: bool,
    text: &'static str,
    next: usize,
    sets_tags: bool,
}

impl Writer<'_> {
    fn steps(&mut self, depth: u32, most: i64) -> Vec<Node> {
        let count = self.rng.range(1, most);
        let mut steps = Vec::new();
        for _ in 0..count {
            if self.next >= MAX_STEPS {
                break;
            }
            steps.push(self.step(depth));
        }
        steps
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("s{}", self.next - 1)
    }

    fn step(&mut self, depth: u32) -> Node {
        let name = self.name();
        let mut keys = self.timing();
        let rng = &mut *self.rng;
        if rng.percent(10) {
            keys.insert(
                "when",
                json!(rng.pick(&["'p' in member.tags", "not member.x", "'q' not in member.tags"])),
            );
        }
        if rng.percent(10) {
            keys.insert("hours", json!(rng.pick(&["10:00-18:00", "20:00-02:00", "00:00-12:00"])));
        }
        if rng.percent(10) {
            keys.insert("on_days", json!(rng.pick(&["mon-fri", "sat-mon", "tue", "fri-mon"])));
        }
        if rng.percent(6) {
            keys.insert("workdays", true.into());
        }
        if rng.percent(15) {
            keys.insert("late", json!(rng.pick(&["2h", "3d", "9d"])));
        }
        let act = match rng.below(100) {
            _ if self.next == 1 && rng.percent(50) => self.push(&name),
            0..6 => {
                let set = match rng.below(4) {
                    0 => json!({ "tags": [rng.pick(&TAGS)] }),
                    1 => json!({ "tags": { "remove": [rng.pick(&TAGS)] } }),
                    2 => json!({ "attributes": { "x": true } }),
                    _ => json!({ "attributes": { "x": null, "seen": "{{ member.x }}" } }),
                };
                self.sets_tags |= set.get("tags").is_some();
                Act::Plain("set", set)
            }
            6..14 if self.is_parent => {
                self.is_parent = false;
                let data =
                    json!({ "n": "{{ event.n | default(0) }}", "from": "{{ enrollment.entered_at }}" });
                Act::Plain("enter", json!({ "scenario": SUB, "data": data }))
            }
            14..17 if depth > 0 => Act::Plain("exit", true.into()),
            17..45 if depth < 2 => {
                let arms = rng.range(2, 3) as u32;
                let kind = match rng.below(3) {
                    0 => Kind::Branch,
                    1 => Kind::Split,
                    _ => Kind::WaitFor(rng.pick(&["30m", "5h", "1d", "3d"])),
                };
                let conditions = ["'p' in member.tags", "member.x", "'q' in member.tags"];
                let arms = if matches!(kind, Kind::WaitFor(_)) { 2 } else { arms };
                let arms = (0..arms).map(|number| {
                    let is_else = number + 1 == arms && self.rng.percent(70);
                    let when = (!is_else).then(|| conditions[number as usize]);
                    let weight = self.rng.range(1, 5) as u32;
                    Arm { number, when, weight, steps: self.steps(depth + 1, 2) }
                });
                // the bound on steps may leave an arm without any
                let arms: Vec<Arm> = arms.collect();
                match arms.iter().any(|arm| arm.steps.is_empty()) {
                    true => self.push(&name),
                    false => Act::Contains(kind, arms),
                }
            }
            _ => self.push(&name),
        };
        if !matches!(&act, Act::Plain("push", _)) {
            keys.remove("late");
        }
        if matches!(&act, Act::Contains(Kind::WaitFor(_), _)) {
            keys.remove("hours");
        }
        Node { name, keys, act }
    }

    fn push(&self, name: &str) -> Act {
        Act::Plain("push", format!("{} {name} {}", self.id, self.text).into())
    }

    fn timing(&mut self) -> BTreeMap<&'static str, Value> {
        let rng = &mut *self.rng;
        let mut keys = BTreeMap::new();
        if self.dated && self.next <= 3 && rng.percent(70) {
            match rng.below(4) {
                0 => drop(keys.insert("before", json!(rng.pick(&["1h", "3h", "2d"])))),
                1 => drop(keys.insert("day", json!(0))),
                _ => {
                    keys.insert("day", json!(rng.range(-2, 0)));
                    keys.insert("at", json!(rng.pick(&["08:00", "18:00"])));
                }
            }
            return keys;
        }
        match rng.below(10) {
            0..3 => {}
            3..7 => drop(keys.insert("wait", json!(rng.pick(&["20m", "90m", "7h", "1d", "2d"])))),
            7 => drop(keys.insert("after", json!(rng.pick(&["2h", "1d", "4d"])))),
            _ => {
                keys.insert("day", json!(rng.range(0, 4)));
                keys.insert("at", json!(rng.pick(&["09:00", "02:30", "20:15"])));
            }
        }
        keys
    }
}

fn drawing(rng: &mut Rng, number: u64, index: usize, is_parent: bool, book: &mut Book) -> Drawn {
    let id = IDS[index];
    let start = match rng.below(100) {
        _ if id == SUB => Start::Manual,
        0..25 => Start::Event,
        25..40 => Start::Segment(rng.pick(&TAGS)),
        40..60 => Start::Date { yearly: rng.percent(35) },
        60..90 => {
            let pattern = rng.pick(&PATTERNS);
            Start::Every(pattern, rng.percent(40).then(|| rng.pick(&TAGS)))
        }
        _ => Start::Manual,
    };
    let also_event = !matches!(start, Start::Event | Start::Date { .. } | Start::Manual) && rng.percent(12);
    let again = match start {
        // each start is a run: that nothing is lost and nothing comes twice can be counted
        Start::Every(..) | Start::Segment(_) | Start::Date { .. } if rng.percent(75) => "always",
        _ if id == SUB => "always",
        _ => rng.pick(&["always", "always", "after_exit", "never", "3d"]),
    };
    let (zone_name, zone) = {
        let name = rng.pick(&["America/New_York", "Asia/Tokyo", "Europe/Berlin"]);
        (name, TimeZone::get(name).unwrap())
    };
    let begin = Timestamp::from_millisecond(start_of_book(number)).unwrap();
    let day = |days: i64| -> Date { zone.to_datetime(begin + SignedDuration::from_hours(24 * days)).date() };
    let at_midnight = |date: Date| date.to_zoned_datetime(zone.clone()).unwrap().timestamp();
    let starts = rng.percent(15).then(|| day(rng.range(1, 6)));
    let ends = rng.percent(20).then(|| day(rng.range(8, 25)));
    let plain = matches!(start, Start::Every(..)) && !also_event && rng.percent(50);
    let text = match plain {
        true => "0 0 {{ enrollment.entered_at }} - -",
        false => {
            "{{ event.n | default(0) }} 0 {{ event.from | default(enrollment.entered_at) }} {{ anchor }} {{ member.id }}"
        }
    };
    let dated = matches!(start, Start::Date { .. });
    let mut writer = Writer { rng, id, dated, is_parent, text, next: 0, sets_tags: false };
    let steps = writer.steps(0, 5);
    book.sets_tags |= writer.sets_tags;
    let has_messages = steps.iter().any(|step| matches!(step.act, Act::Plain("push", _)));
    let steps = match has_messages {
        true => steps,
        // a file that sends nothing at the top says little
        false => {
            let name = format!("s{MAX_STEPS}");
            let act = Act::Plain("push", format!("{id} {name} {text}").into());
            steps.into_iter().chain([Node { name, keys: BTreeMap::new(), act }]).collect()
        }
    };

    let mut head = json!({ "scenario": id, "zone": zone_name });
    let mut maybe = |percent: u64, key: &str, value: &[Value]| {
        if rng.percent(percent) {
            head[key] = value[rng.below(value.len() as u64) as usize].clone();
        }
    };
    maybe(40, "hours", &["09:00-21:00".into(), "22:00-02:00".into(), "10:00-18:00".into()]);
    maybe(10, "on_days", &["mon-fri".into(), "sat-thu".into()]);
    maybe(8, "workdays", &[true.into()]);
    maybe(30, "priority", &["low".into(), "high".into()]);
    maybe(45, "topic", &TOPICS.map(Value::from));
    maybe(25, "caps", &["skip".into(), "exempt".into()]);
    maybe(15, "holdout", &["30%".into(), "60%".into()]);
    maybe(20, "late", &["2h".into(), "2d".into()]);
    let enter = match &start {
        Start::Event => json!({ "on": id, "key": "event.key", "again": again }),
        Start::Segment(tag) => json!({ "segment": format!("'{tag}' in member.tags"), "again": again }),
        Start::Date { yearly: false } => json!({ "date": "member.day" }),
        Start::Date { yearly: true } => json!({ "date": "member.day", "yearly": true }),
        Start::Every(pattern, None) => json!({ "every": pattern, "again": again }),
        Start::Every(pattern, Some(tag)) => {
            json!({ "every": pattern, "where": format!("'{tag}' in member.tags"), "again": again })
        }
        Start::Manual => json!({ "manual": true, "again": again }),
    };
    head["enter"] = enter;
    if also_event {
        head["enter"] = json!([head["enter"], { "on": id, "key": "event.key", "again": "always" }]);
    }
    if let Some(starts) = starts {
        head["starts"] = starts.to_string().into();
    }
    if let Some(ends) = ends {
        // up to the end of that day
        head["ends"] = ends.to_string().into();
    }
    if book.has_quit {
        head["exit"] = json!({ "on": "quit" });
    }
    let text_of = |key: &str| head[key].as_str().map(str::to_owned);
    let holdout =
        text_of("holdout").map_or(0, |share| share.trim_end_matches('%').parse::<u64>().unwrap() * 100);
    let late = match text_of("late").as_deref() {
        Some("2h") => Some(SignedDuration::from_hours(2)),
        Some(_) => Some(SignedDuration::from_hours(48)),
        None => None,
    };
    let variants =
        (0..VARIANTS).map(|variant| edited(rng, id, text, &start, &head, &steps, variant)).collect();
    Drawn {
        id,
        start,
        also_event,
        again,
        holdout,
        starts: starts.map(&at_midnight),
        ends: ends.map(|ends| at_midnight(ends.tomorrow().unwrap())),
        late,
        zone,
        variants,
    }
}

/// Not too often: each sweep is a turn for every slot.
const PATTERNS: [&str; 7] = [
    "0 9 * * *",
    "30 2 * * sat,sun,mon",
    "0 12 * * mon,thu",
    "45 13 * * tue,sat",
    "15 */8 * * wed",
    "*/20 10 * * sun",
    "59 23 28-31 * *",
];

/// A variant: the first one as drawn, the others with edits.
fn edited(
    rng: &mut Rng,
    id: &str,
    text: &str,
    start: &Start,
    head: &Value,
    steps: &[Node],
    variant: usize,
) -> Variant {
    let mut head = head.clone();
    let mut steps = steps.to_vec();
    let mut paused = false;
    let mut pattern = match start {
        Start::Every(pattern, _) => Some(*pattern),
        _ => None,
    };
    let mut is_missing = false;
    let edits = if variant == 0 { 0 } else { rng.range(0, 2) };
    for _ in 0..edits {
        match rng.below(10) {
            0 | 1 => paused = true,
            // what another starts is not taken away
            2 => is_missing = id != SUB,
            3 | 4 => wrap(rng, id, text, &mut steps),
            5 => remove_arm(rng, &mut steps),
            6 => {
                let at = rng.below(steps.len() as u64) as usize;
                if steps.len() > 1 {
                    steps.remove(at);
                }
            }
            7 => {
                let at = rng.below(steps.len() as u64) as usize;
                let number = steps[at].name[1..].to_owned();
                if !steps.iter().any(|step| step.name == format!("y{number}")) && !contains(&steps[at]) {
                    let act = Act::Plain("push", format!("{id} y{number} {text}").into());
                    let keys = BTreeMap::from([("wait", json!("3h"))]);
                    steps.insert(at + 1, Node { name: format!("y{number}"), keys, act });
                }
            }
            8 => {
                let at = rng.below(steps.len() as u64) as usize;
                for key in ["before", "after", "day", "at", "wait"] {
                    steps[at].keys.remove(key);
                }
                steps[at].keys.insert("wait", json!(rng.pick(&["1h", "6h", "2d"])));
            }
            _ => match pattern {
                Some(_) => {
                    let changed = rng.pick(&PATTERNS);
                    pattern = Some(changed);
                    let enter = match head["enter"].is_array() {
                        true => &mut head["enter"][0],
                        false => &mut head["enter"],
                    };
                    enter["every"] = changed.into();
                }
                None => head["hours"] = json!(rng.pick(&["11:00-15:00", "07:00-23:00"])),
            },
        }
    }
    let mut arms = BTreeMap::new();
    head["steps"] = Value::Array(steps.iter().map(|step| written(step, &[], &mut arms)).collect());
    Variant { paused, pattern, arms, file: (!is_missing).then_some(head) }
}

fn contains(step: &Node) -> bool {
    matches!(step.act, Act::Contains(..))
}

/// Puts a message at the top into an arm of a new container, and a new message into the other.
fn wrap(rng: &mut Rng, id: &str, text: &str, steps: &mut [Node]) {
    let at = rng.below(steps.len() as u64) as usize;
    if !matches!(steps[at].act, Act::Plain("push", _)) || !steps[at].name.starts_with('s') {
        return;
    }
    let number = steps[at].name[1..].to_owned();
    let act = Act::Plain("push", format!("{id} x{number} {text}").into());
    let other = Node { name: format!("x{number}"), keys: BTreeMap::new(), act };
    let kind = if rng.percent(50) { Kind::Branch } else { Kind::Split };
    let arm = |number, when, node| Arm { number, when, weight: 1, steps: vec![node] };
    let arms = vec![arm(0, Some("'p' in member.tags"), steps[at].clone()), arm(1, None, other)];
    steps[at] = Node { name: format!("w{number}"), keys: BTreeMap::new(), act: Act::Contains(kind, arms) };
}

fn remove_arm(rng: &mut Rng, steps: &mut [Node]) {
    let containers: Vec<usize> = (0..steps.len()).filter(|at| contains(&steps[*at])).collect();
    if containers.is_empty() {
        return;
    }
    if let Act::Contains(kind, arms) = &mut steps[rng.pick(&containers)].act {
        let fewest = if *kind == Kind::Branch { 1 } else { 2 };
        if arms.len() > fewest {
            arms.remove(rng.below(arms.len() as u64) as usize);
        }
    }
}

fn written(node: &Node, around: &[(String, u32)], arms: &mut BTreeMap<String, Vec<(String, u32)>>) -> Value {
    let mut step = json!({ "step": node.name });
    for (key, value) in &node.keys {
        step[*key] = value.clone();
    }
    arms.insert(node.name.clone(), around.to_vec());
    let mut inside = |arm: &Arm| {
        let around: Vec<_> = around.iter().cloned().chain([(node.name.clone(), arm.number)]).collect();
        Value::Array(arm.steps.iter().map(|step| written(step, &around, arms)).collect())
    };
    match &node.act {
        Act::Plain(key, value) => step[*key] = value.clone(),
        Act::Contains(Kind::Branch, all) => {
            let of = |arm: &Arm| {
                let steps = inside(arm);
                match arm.when {
                    Some(when) => json!({ "when": when, "steps": steps }),
                    None => json!({ "else": steps }),
                }
            };
            step["branch"] = Value::Array(all.iter().map(of).collect());
        }
        Act::Contains(Kind::Split, all) => {
            let of = |arm: &Arm| json!({ "weight": arm.weight, "steps": inside(arm) });
            step["split"] = Value::Array(all.iter().map(of).collect());
        }
        Act::Contains(Kind::WaitFor(within), all) => {
            step["wait_for"] = json!({ "on": "ping" });
            step["within"] = (*within).into();
            step["steps"] = inside(&all[0]);
            step["else"] = inside(&all[1]);
        }
    }
    step
}

/// Names of steps that no two arms of one container may both have sent, for a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    arms: BTreeMap<String, u32>,
    received: BTreeSet<String>,
}

impl Taken {
    /// A person receives a step; the error is of two arms of one container.
    pub(crate) fn receives(&mut self, step: &str, variant: &Variant) -> Result<(), String> {
        self.received.insert(step.to_owned());
        for (container, arm) in variant.arms.get(step).into_iter().flatten() {
            let in_other = |before: &&String| {
                let own = variant.arms.get(*before).into_iter().flatten();
                own.into_iter().any(|(c, other)| c == container && other != arm)
            };
            match self.arms.get(container) {
                Some(taken) if taken != arm => {
                    return Err(format!("{step} of arm {arm} of {container} after one of arm {taken}"));
                }
                Some(_) => {}
                // an edit may have put the container around what was received before
                None => match self.received.iter().find(in_other) {
                    Some(other) => return Err(format!("{step} of arm {arm} of {container} after {other}")),
                    None => drop(self.arms.insert(container.clone(), *arm)),
                },
            }
        }
        Ok(())
    }
}

#[test]
fn every_drawn_file_is_right() {
    for number in 0..20 {
        let book = Book::draw(number);
        for variant in 0..2 * VARIANTS {
            book.set(variant);
        }
    }
}
