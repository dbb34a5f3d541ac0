//! The engine alone, on one core: decisions a second, and the sweep of a scenario on the clock through sled.
//!
//! `cargo bench --bench engine` prints the figures; `-- members=1000000` changes the scale of the sweep.
//! Machines differ and are noisy: compare within one run, or count instructions (`perf stat -e
//! instructions:u`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use amadare::clock::{Moment, Monotonic};
use amadare::dispatch::turns::Opening;
use amadare::dispatch::{Action, Command, Minutes, Turns};
use amadare::engine::{self, Context, Input, Sending, Trust, Verdict};
use amadare::model::{
    Attributes, Enrollment, EnrollmentId, Friendship, LineUserId, Link, MemberFile, MemberId, ScenarioId,
    Standing,
};
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Defaults, ScenarioSet};
use amadare::store::{self, Batch, Epoch, Store, encode_member};
use jiff::Timestamp;
use serde_json::json;

const PLAIN: &str = r#"
scenario: plain
hours: 09:00-21:00
enter: { on: go }
steps:
  - step: hello
    push: こんにちは
"#;

const WRITTEN: &str = r#"
scenario: written
hours: 09:00-21:00
enter: { on: go }
steps:
  - step: hello
    when: member.plan == "gold" and not member.regular
    push: "{{ member.name }}さま、ポイントは{{ event.points }}です。"
"#;

const CLOCK: &str = r#"
scenario: clock
hours: 09:00-21:00
enter: { every: "0 9 * * *", where: member.plan == "gold" and member.points == 999 }
steps:
  - step: hello
    wait: 1h
    push: こんにちは
"#;

/// Members decided about in one measurement.
const DECISIONS: usize = 200_000;

/// Measurements, of which the best counts: the others met somebody else on the machine.
const ROUNDS: usize = 5;

fn main() {
    let members: usize = std::env::args()
        .find_map(|argument| argument.strip_prefix("members=").and_then(|n| n.parse().ok()))
        .unwrap_or(200_000);
    decisions("a plain step", PLAIN);
    decisions("a condition and a template", WRITTEN);
    sweep(members);
}

fn set_of(text: &str) -> Arc<ScenarioSet> {
    let id = text.lines().find_map(|line| line.strip_prefix("scenario: ")).expect("it has an id");
    let sources = Sources::from_files([(format!("{id}.yaml"), text.as_bytes().to_vec())]);
    Arc::new(load(&sources, &Defaults::default()).set.expect("the scenario is sound"))
}

fn attributes(value: serde_json::Value) -> Arc<Attributes> {
    match value {
        serde_json::Value::Object(map) => Arc::new(map),
        _ => unreachable!("an object is given"),
    }
}

fn member(number: usize) -> MemberFile {
    let mut file = MemberFile::new(MemberId::new(&format!("m{number:08}")).expect("it is an id"));
    let user = LineUserId::new(&format!("U{number:032x}")).expect("it is a user's id");
    file.link = Some(Link { user, friendship: Friendship::Friend, told_at: None });
    file.attributes = attributes(json!({
        "name": "さくら", "plan": if number.is_multiple_of(10) { "silver" } else { "gold" },
        "points": number % 1_000, "since": "2024-04-01",
    }));
    file
}

/// Files with one run whose first step is due.
fn files(scenario: &ScenarioId, now: Timestamp) -> Vec<MemberFile> {
    (0..DECISIONS)
        .map(|number| {
            let mut file = member(number * 10 + 1);
            file.enrollments.push(Enrollment {
                id: EnrollmentId::derive("bench", &file.id, scenario, None, 0),
                scenario: scenario.clone(),
                key: None,
                entered_at: now,
                anchor: now,
                event: attributes(json!({ "points": 12 })),
                steps: Vec::new(),
                reached_at: now,
                held_out: false,
                dated: false,
                kept_until: None,
                now: Standing::Waiting { until: now },
                ended: None,
            });
            file
        })
        .collect()
}

fn decisions(what: &str, text: &str) {
    let set = set_of(text);
    let scenario = set.iter().next().expect("it has one").id.clone();
    let now: Timestamp = "2026-03-02T03:00:00Z".parse().expect("it is a time");
    let dormant = BTreeSet::new();
    let context = Context {
        now,
        scenarios: &set,
        channel: "bench",
        sending: Sending::Open,
        calling: Sending::Open,
        restored_at: None,
        dormant: &dormant,
        clock: Trust::Sure,
    };
    let mut best = f64::MIN;
    for _ in 0..ROUNDS {
        let mut files = files(&scenario, now);
        let mut pushes = 0;
        let began = Monotonic::now();
        for file in &mut files {
            let mut verdict = Verdict::default();
            engine::take(file, &Input::Due, &context, &mut verdict).expect("nothing is refused");
            pushes += verdict.pushes.len();
        }
        let rate = DECISIONS as f64 / began.elapsed().as_secs_f64();
        assert_eq!(pushes, DECISIONS, "every one is pushed");
        best = best.max(rate);
    }
    println!("{:<40}{:>12.0} decisions/s", what, best);
}

/// A sweep over members on sled, most of whom the condition does not hold for.
fn sweep(members: usize) {
    let folder = tempfile::tempdir().expect("there is room");
    let store: Arc<dyn Store> = store::open(folder.path(), 256 << 20).expect("the store opens");
    let ids: Vec<usize> = (0..members).collect();
    for some in ids.chunks(100) {
        let mut batch = Batch::default();
        for number in some {
            let file = member(*number);
            batch.put_member(&file.id, encode_member(&file));
        }
        store.commit(&batch, Epoch::EMBEDDED).expect("the store takes it");
    }
    store.flush().expect("the store takes it");
    let start: Timestamp = "2026-03-01T23:59:00Z".parse().expect("it is a time");
    let opening = Opening {
        scenarios: set_of(CLOCK),
        channel: "bench".into(),
        salt: Vec::new(),
        holds: BTreeSet::new(),
        line_ahead: None,
        minutes: Minutes::Told,
    };
    let mut turns = Turns::open(Arc::clone(&store), opening, start).expect("the store is readable");
    let mut queue = VecDeque::new();
    let take = |queue: &mut VecDeque<Command>, turns: &mut Turns, now: Timestamp| {
        turns.take(queue, Moment::by_hand(now)).expect("the store takes it");
        store.flush().expect("the store takes it");
    };
    // the sweep after a start looks at everybody as well; it is not what is measured
    while turns.wake().is_some_and(|wake| wake <= start) {
        take(&mut queue, &mut turns, start);
    }
    let tick: Timestamp = "2026-03-02T00:00:00Z".parse().expect("it is a time");
    queue.push_back(Command { what: Action::Minute, reply: None });
    let began = Monotonic::now();
    let mut count = 0;
    loop {
        take(&mut queue, &mut turns, tick);
        count += 1;
        if turns.wake().is_none_or(|wake| wake > tick) {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let started = turns.counters().values().map(|counters| counters.0.values().sum::<u64>()).sum::<u64>();
    println!(
        "{:<40}{:>12.0} members/s ({members} looked at, {started} started, {count} turns)",
        "a sweep with a condition, sled",
        members as f64 / seconds
    );
}
