//! Scenarios that the clock starts, in the real process: killed in the middle of their sweeps, down for minutes
//! and for longer, and counted at LINE's end by what people received.
//!
//! `CLOCKWORK=200 cargo test --release --test it clockwork -- --nocapture` is the long form, by so many kills.
//! `CLOCKWORK_WALL=1` also waits for minutes of the system's own clock, up to three.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use amadare::clock::{Clock, Monotonic};
use amadare::sandbox::{Sandbox, Settings};
use jiff::{SignedDuration, Timestamp};

use crate::killing::Draw;
use crate::process::{Daemon, until};

const HELLO: &str = "scenario: hello\nenter: { on: go }\nsteps: [{ step: only, push: hello }]\n";

/// The text of a message is the tick that it is for.
const EVERY: &str = r#"
scenario: minutely
enter: { every: "* * * * *", where: member.listens, again: always }
late: 10m
steps:
  - step: tick
    late: 1d
    push: "{{ anchor | date('%Y-%m-%dT%H:%MZ') }}"
zone: UTC
"#;

/// How far back ticks are caught up on: as `late` says.
const LATE_MIN: i64 = 10;

const MEMBERS: usize = 2_000;

/// Of so many members, one listens.
const LISTENS: usize = 5;

/// Kills in the form that runs with all tests.
const KILLS: usize = 8;

/// So many of them before it may catch up: what they take stays within `late`.
const KILLS_IN_A_ROW: usize = 4;

/// How much faster than real time it goes: slow enough for a busy machine to keep well within `late`.
const SPEED: f64 = 5.0;

#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn kills() -> usize {
    std::env::var("CLOCKWORK").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn waits_for_the_wall_clock() -> bool {
    std::env::var_os("CLOCKWORK_WALL").is_some()
}

/// A process under a clock that goes on while it is down.
struct Rig {
    daemon: Daemon,
    clock: Clock,
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// With members, and without the scenario on the clock.
    async fn new(clock: Clock) -> Rig {
        let settings = Settings { receipts_kept: 1_000_000, ..Settings::default() };
        let sandbox = Sandbox::new(settings, Clock::system()).unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let line = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
        let mut rig = Rig { daemon, clock, sandbox, _folder: folder };
        rig.start().await;
        for some in (0..MEMBERS).collect::<Vec<_>>().chunks(1_000) {
            let members: Vec<String> = some.iter().map(|n| member(*n)).collect();
            let answer = rig.daemon.post("/v1/members", format!("[{}]", members.join(","))).await.unwrap();
            assert_eq!(answer["accepted"], 1_000, "{answer}");
        }
        rig
    }

    async fn start(&mut self) {
        if self.clock.is_rehearsal() {
            let now = self.clock.now();
            self.daemon.shell(&format!(r#"set -- "$@" --clock-start {now} --clock-speed {SPEED};"#));
        }
        self.daemon.start().await;
    }

    /// The process is down for so long.
    async fn down(&mut self, minutes: i64) {
        self.daemon.kill();
        self.clock.align(self.clock.now() + SignedDuration::from_mins(minutes));
        self.start().await;
    }

    /// Who got which tick, and how often it came in all.
    fn received(&self) -> BTreeMap<Timestamp, (BTreeSet<String>, usize)> {
        let mut by_tick: BTreeMap<Timestamp, (BTreeSet<String>, usize)> = BTreeMap::new();
        for receipt in self.sandbox.received(0) {
            let text = receipt.messages.as_ref().unwrap()[0]["text"].as_str().unwrap();
            let tick = text.replace('Z', ":00Z").parse().unwrap();
            let (people, count) = by_tick.entry(tick).or_default();
            people.insert(receipt.user_id.to_string());
            *count += 1;
        }
        by_tick
    }

    /// True if some have got a tick and others have not.
    fn is_in_the_middle(&self) -> bool {
        self.received().values().any(|(people, _)| people.len() < MEMBERS / LISTENS)
    }

    /// Waits until all who listen have got this tick.
    async fn all_have(&self, tick: Timestamp) {
        until(&format!("the tick of {tick}"), async || {
            let received = self.received();
            received.get(&tick).filter(|(people, _)| people.len() == MEMBERS / LISTENS).map(drop)
        })
        .await;
    }
}

fn member(n: usize) -> String {
    let listens = n.is_multiple_of(LISTENS);
    format!(r#"{{"id":"m{n}","attributes":{{"listens":{listens}}},"line_user_id":"U{n:032x}"}}"#)
}

fn minute_of(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second().div_euclid(60) * 60).unwrap()
}

/// Each tick after `from`, up to and including `until`.
fn ticks(from: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    let minute = SignedDuration::from_mins(1);
    std::iter::successors(Some(minute_of(from) + minute), move |tick| Some(*tick + minute))
        .take_while(move |tick| *tick <= until)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_minute_comes_once_to_each_who_listens_whatever_is_killed() {
    let kills = kills();
    let start: Timestamp = "2026-04-06T00:00:10Z".parse().unwrap();
    let mut rig = Rig::new(Clock::accelerated(start, SPEED)).await;
    rig.daemon.kill();
    std::fs::write(rig.daemon.folder.join("scenarios/minutely.yaml"), EVERY).unwrap();
    // the pattern is new at the first start that has it
    let before = rig.clock.now();
    rig.start().await;
    // an answer tells that the turn is on disk in which the clock of the scenario began
    rig.daemon.post("/v1/members", format!("[{}]", member(0))).await.unwrap();
    let began = rig.clock.now();

    // killed in the middle of what a minute of downtime has left to do, and what was left before
    let mut draw = Draw(23);
    let mut in_the_middle = 0;
    for kill in 1..=kills {
        rig.down(1).await;
        tokio::time::sleep(Duration::from_millis(draw.below(700))).await;
        in_the_middle += usize::from(rig.is_in_the_middle());
        if kill.is_multiple_of(KILLS_IN_A_ROW) || kill == kills {
            rig.down(0).await;
            rig.all_have(minute_of(rig.clock.now())).await;
        }
    }
    // a downtime within `late`: every tick of it is caught up on
    rig.down(LATE_MIN / 2).await;
    let caught_up = minute_of(rig.clock.now());
    rig.all_have(caught_up).await;
    // and one beyond: the oldest are passed over
    let down_at = rig.clock.now();
    rig.down(3 * LATE_MIN).await;
    let up_at = rig.clock.now();
    rig.all_have(minute_of(up_at)).await;

    let received = rig.received();
    let everybody = MEMBERS / LISTENS;
    for (tick, (people, count)) in &received {
        assert_eq!(people.len(), *count, "{tick} came twice to somebody");
        assert!(*tick > minute_of(before), "{tick} was before the scenario");
        if *tick <= minute_of(up_at) {
            assert_eq!(*count, everybody, "{tick} came to some and not to others");
        }
    }
    let late = SignedDuration::from_mins(LATE_MIN);
    // the process is up some time after it was started
    let slack = SignedDuration::from_mins(3);
    let missing = |from, until| ticks(from, until).filter(|tick| !received.contains_key(tick)).count();
    assert_eq!(missing(began, caught_up), 0, "{:?}", received.keys());
    assert_eq!(missing(up_at - late + slack, minute_of(up_at)), 0, "{:?}", received.keys());
    let passed_over: Vec<_> = ticks(down_at + slack, up_at - late - slack).collect();
    assert!(!passed_over.is_empty() && passed_over.iter().all(|tick| !received.contains_key(tick)));
    let stats = rig.sandbox.stats();
    assert_eq!((stats.duplicates, stats.key_reused_with_other_bytes), (0, 0));
    println!(
        "{kills} kills, {in_the_middle} of them in the middle of a tick, {} ticks to {everybody} of {MEMBERS}, {} requests, {} passed over",
        received.len(),
        stats.requests,
        passed_over.len()
    );
}

/// What tokio-cron-scheduler does in the real process. That a minute starts the sweep is in
/// `dispatch::turns::tests::minutes`; here is only that somebody tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_systems_own_minutes_come() {
    if !waits_for_the_wall_clock() {
        return;
    }
    let mut rig = Rig::new(Clock::system()).await;
    rig.daemon.kill();
    std::fs::write(rig.daemon.folder.join("scenarios/minutely.yaml"), EVERY).unwrap();
    rig.start().await;
    let began = Monotonic::now();
    let first = minute_of(rig.clock.now()) + SignedDuration::from_mins(1);
    for tick in ticks(first - SignedDuration::from_mins(1), first + SignedDuration::from_mins(1)) {
        tokio::time::sleep(rig.clock.until(tick)).await;
        rig.all_have(tick).await;
    }
    assert!(rig.received().values().all(|(people, count)| people.len() == *count));
    println!("two minutes came, after {:?}", began.elapsed());
}

const DATED: &str = r#"
scenario: renewal
enter: { date: member.ends_on }
steps:
  - step: month-before
    before: 1mo
    push: soon
  - step: day-before
    before: 1d
    push: tomorrow
"#;

/// The last good set has all of its triggers: those on the clock, and those by a date.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_broken_files_goes_on_by_the_last_good_clock_and_dates() {
    let start: Timestamp = "2026-04-06T00:00:10Z".parse().unwrap();
    let mut rig = Rig::new(Clock::accelerated(start, SPEED)).await;
    let folder = rig.daemon.folder.join("scenarios");
    rig.daemon.kill();
    std::fs::write(folder.join("minutely.yaml"), EVERY).unwrap();
    std::fs::write(folder.join("renewal.yaml"), DATED).unwrap();
    rig.start().await;
    rig.daemon.kill();
    std::fs::write(folder.join("minutely.yaml"), "scenario: minutely\nsteps: [").unwrap();
    rig.start().await;
    let ready = rig.daemon.get("/readyz").await;
    assert_eq!(ready["failing"], serde_json::json!(["scenarios"]), "{ready}");
    rig.all_have(minute_of(rig.clock.now()) + SignedDuration::from_mins(1)).await;
    let body = r#"{"id":"m1","attributes":{"ends_on":"2026-05-10"}}"#;
    rig.daemon.post("/v1/members", body.to_owned()).await.unwrap();
    let timeline = rig.daemon.get("/v1/members/m1/timeline").await.to_string();
    assert!(timeline.contains("renewal") && timeline.contains("month-before"), "{timeline}");
}
