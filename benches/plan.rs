//! How long a plan takes for members who are on their way: `cargo bench --bench plan`, `-- members=1000000`.
//! Machines differ and are noisy.

use std::collections::BTreeSet;
use std::sync::Arc;

use amadare::clock::Monotonic;
use amadare::dispatch::plan::{Proposal, plan};
use amadare::engine::{self, Context, Input, Sending, Trust, Verdict};
use amadare::model::{Event, EventName, Friendship, LineUserId, Link, MemberFile, MemberId};
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{Defaults, ScenarioSet};
use amadare::store::{self, Batch, Epoch, Store, encode_member};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const COURSE: &str = r#"
scenario: course
hours: 09:00-21:00
enter: { on: go }
steps:
  - step: hello
    day: 1
    at: "10:00"
    push: "{{ member.name }}さま、ありがとうございます。"
  - step: coupon
    day: 3
    at: "10:00"
    when: not member.regular
    push: クーポンです。
  - step: last
    day: 7
    at: "10:00"
    push: "{{ member.name }}さま、またお待ちしています。"
"#;

const CLOCK: &str = r#"
scenario: points
hours: 09:00-21:00
enter: { every: "0 10 15 * *", where: member.points > 900, again: always }
steps:
  - step: balance
    push: "ポイントは{{ member.points }}です。"
"#;

fn main() {
    let members: usize = std::env::args()
        .find_map(|argument| argument.strip_prefix("members=").and_then(|n| n.parse().ok()))
        .unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("there is room");
    let store = store::open(folder.path(), 256 << 20).expect("the store opens");
    let from: Timestamp = "2026-03-02T03:00:00Z".parse().expect("it is a time");
    fill(&*store, members, from);
    measure("an edit of a scenario", &*store, from, &[COURSE], &[&COURSE.replace("day: 3", "day: 4")]);
    measure("no edit: what comes", &*store, from, &[COURSE], &[COURSE]);
    measure(
        "an edit beside one on the clock",
        &*store,
        from,
        &[COURSE, CLOCK],
        &[&COURSE.replace("day: 3", "day: 4"), CLOCK],
    );
}

fn set_of(texts: &[&str]) -> Arc<ScenarioSet> {
    let files = texts.iter().map(|text| {
        let id = text.lines().find_map(|line| line.strip_prefix("scenario: ")).expect("it has an id");
        (format!("{id}.yaml"), text.as_bytes().to_vec())
    });
    Arc::new(load(&Sources::from_files(files), &Defaults::default()).set.expect("the scenarios are sound"))
}

/// Stores members who have just entered the course.
fn fill(store: &dyn Store, members: usize, now: Timestamp) {
    let (set, dormant) = (set_of(&[COURSE]), BTreeSet::new());
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
    let ids: Vec<usize> = (0..members).collect();
    for some in ids.chunks(100) {
        let mut batch = Batch::default();
        for number in some {
            let mut file = MemberFile::new(MemberId::new(&format!("m{number:08}")).expect("it is an id"));
            let user = LineUserId::new(&format!("U{number:032x}")).expect("it is a user's id");
            file.link = Some(Link { user, friendship: Friendship::Friend, told_at: None });
            let attributes = json!({ "name": "さくら", "points": number % 1_000 });
            file.attributes = Arc::new(attributes.as_object().expect("it is an object").clone());
            let name = EventName::new("go").expect("it is a name");
            let event = Event { id: None, name, at: now, data: Default::default() };
            engine::take(&mut file, &Input::Event(event), &context, &mut Verdict::default())
                .expect("nothing is refused");
            batch.put_member(&file.id, encode_member(&file));
            batch.move_due(&file.id, None, file.wake);
        }
        store.commit(&batch, Epoch::EMBEDDED).expect("the store takes it");
    }
    store.flush().expect("the store takes it");
}

fn measure(what: &str, store: &dyn Store, from: Timestamp, running: &[&str], edited: &[&str]) {
    let proposal = Proposal {
        running: set_of(running),
        edited: set_of(edited),
        channel: "bench".into(),
        from,
        until: from + SignedDuration::from_hours(31 * 24),
        new_steps: BTreeSet::new(),
    };
    let began = Monotonic::now();
    let plan = plan(store, &proposal, &|| false).expect("it is planned");
    let seconds = began.elapsed().as_secs_f64();
    let pushes: u64 = plan.rows.values().map(|row| row.after).sum();
    println!(
        "{what:<36}{seconds:>8.1} s for {} members ({:.0} members/s), {pushes} pushes, {} affected",
        plan.members,
        plan.members as f64 / seconds,
        plan.affected
    );
}
