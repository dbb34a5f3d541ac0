//! The real process under faults, killed at moments that a seed draws, and counted at LINE's end by what
//! people received.
//!
//! `KILLS=200 cargo test --release --test it killing -- --nocapture` is the long form.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use amadare::clock::{Clock, Monotonic};
use amadare::sandbox::{Faults, Sandbox, Settings};

use crate::process::{Daemon, until};

/// Two steps at once and one a moment later, so that runs are always in the middle of something.
const SCENARIO: &str = r#"
scenario: storm
enter: { on: go, key: event.round }
steps:
  - step: first
    push: "{{ member.name }} {{ event.round }} first"
  - step: second
    push: "{{ member.name }} {{ event.round }} second"
  - step: third
    wait: 1s
    push: "{{ member.name }} {{ event.round }} third"
"#;

/// One text for all of a round, so that it goes out in multicasts.
const TOGETHER: &str = r#"
scenario: together
enter: { on: all, key: event.round }
steps:
  - step: first
    push: "{{ event.round }} all first"
  - step: second
    wait: 1s
    push: "{{ event.round }} all second"
"#;

const MEMBERS: usize = 40;

/// Kills in the form that runs with all tests.
const KILLS: usize = 20;

/// Draws from a seed: the same storm every time, as far as the system's scheduling allows.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn user(n: usize) -> String {
    format!("U{n:032x}")
}

#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_faults_send_nothing_twice_and_lose_nothing() {
    let kills = kills();
    let settings = Settings { seed: 11, ..Settings::default() };
    let sandbox = Sandbox::new(settings, Clock::system()).unwrap();
    let faults = Faults {
        error_before: 0.05,
        error_after: 0.05,
        hang_before: 0.01,
        hang_after: 0.01,
        hang_ms: 400,
        reset_after: 0.02,
        throttle: 0.02,
        ..Faults::default()
    };
    sandbox.set_faults(faults).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));

    let folder = tempfile::tempdir().unwrap();
    let scenarios = [("storm.yaml", SCENARIO), ("together.yaml", TOGETHER)];
    let mut daemon = Daemon::new(folder.path(), &scenarios, &line);
    daemon.start().await;
    let mut acknowledged_members = BTreeSet::new();
    for n in 0..MEMBERS {
        let body = format!(r#"{{"id":"m{n}","attributes":{{"name":"m{n}"}},"line_user_id":"U{n:032x}"}}"#);
        daemon.post("/v1/members", body).await.unwrap();
        acknowledged_members.insert(n);
    }
    let mut draw = Draw(7);
    let mut acknowledged = BTreeSet::new();
    let mut asked = BTreeSet::new();
    // those of whom all members had a part
    let mut together = BTreeSet::new();
    for round in 0..kills {
        // events until the kill falls, some of them never answered
        let kill_after = Duration::from_millis(draw.below(350));
        let began = Monotonic::now();
        let all: Vec<String> = (0..MEMBERS)
            .map(|n| {
                format!(
                    r#"{{"id":"all-{n}-{round}","name":"all","member":"m{n}","data":{{"round":"r{round}"}}}}"#
                )
            })
            .collect();
        let posting = daemon.post("/v1/events", format!("[{}]", all.join(",")));
        if tokio::time::timeout(kill_after, posting).await.is_ok_and(|answer| answer.is_ok()) {
            together.insert(round);
        }
        while began.elapsed() < kill_after {
            let n = draw.below(MEMBERS as u64) as usize;
            asked.insert((n, round));
            let event = format!(
                r#"{{"id":"go-{n}-{round}","name":"go","member":"m{n}","data":{{"round":"r{round}"}}}}"#
            );
            let posting = daemon.post("/v1/events", event);
            if tokio::time::timeout(kill_after.saturating_sub(began.elapsed()), posting)
                .await
                .is_ok_and(|answer| answer.is_ok())
            {
                acknowledged.insert((n, round));
            }
        }
        daemon.kill();
        daemon.start().await;
    }
    // the weather clears, and all that was promised arrives
    sandbox.set_faults(Faults::default()).unwrap();
    let own = acknowledged.iter().flat_map(|(n, round)| {
        ["first", "second", "third"].map(|step| (user(*n), format!("m{n} r{round} {step}")))
    });
    let shared = together.iter().flat_map(|round| {
        (0..MEMBERS)
            .flat_map(move |n| ["first", "second"].map(|step| (user(n), format!("r{round} all {step}"))))
    });
    let expected: BTreeSet<(String, String)> = own.chain(shared).collect();
    let texts = || -> Vec<(String, String)> {
        let receipts = sandbox.received(0);
        let received = receipts.iter().map(|receipt| {
            let text = receipt.messages.as_ref().unwrap()[0]["text"].as_str().unwrap().to_owned();
            (receipt.user_id.to_string(), text)
        });
        received.collect()
    };
    until("everything that was acknowledged", async || {
        let received: BTreeSet<(String, String)> = texts().into_iter().collect();
        expected.is_subset(&received).then_some(())
    })
    .await;
    until("an empty outbox", async || {
        let ready = daemon.get("/readyz").await;
        (ready["components"]["outbox"]["detail"]["parcels"] == 0).then_some(())
    })
    .await;

    let received = texts();
    let distinct: BTreeSet<&(String, String)> = received.iter().collect();
    let stats = sandbox.stats();
    println!(
        "{kills} kills, {} events acknowledged of {} asked, and {} rounds to all {MEMBERS}; \
         {} messages received, {} twice, {} lost; {} pushes and {} multicasts accepted of {} requests, \
         {} answered 409, faults {:?}",
        acknowledged.len(),
        asked.len(),
        together.len(),
        received.len(),
        received.len() - distinct.len(),
        expected.iter().filter(|one| !distinct.contains(one)).count(),
        stats.accepted_push,
        stats.accepted_multicast,
        stats.requests,
        stats.already_accepted,
        stats.faults
    );
    assert_eq!(received.len(), distinct.len(), "something was sent twice");
    assert_eq!(stats.duplicates, 0);
    assert_eq!(stats.key_reused_with_other_bytes, 0);
    assert_eq!(stats.accepted_without_key, 0);
    // what was asked and not answered may or may not have happened; nothing else may have
    assert!(kills < KILLS || stats.accepted_multicast > 0, "nothing went out together");
    for (_, text) in distinct.into_iter().filter(|(_, text)| text.starts_with('m')) {
        let mut words = text.split(' ');
        let n: usize = words.next().unwrap()[1..].parse().unwrap();
        let round: usize = words.next().unwrap()[1..].parse().unwrap();
        assert!(asked.contains(&(n, round)), "{text} was never asked for");
    }
}
