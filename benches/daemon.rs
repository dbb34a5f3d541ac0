//! The whole daemon, measured from outside: a process of its own, a real sled store, every answer durable.
//!
//! `cargo bench --bench daemon` prints the figures; `-- members=1000000` changes the scale. The
//! stand-in for LINE and the clients run in this process, on the same cores: compare ratios within one run.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amadare::clock::{Clock, Monotonic};
use amadare::sandbox::{Faults, Limits, Sandbox, Settings};
use jiff::{SignedDuration, Timestamp};
use reqwest::Client;

const SCENARIO: &str = r#"
scenario: bench
enter: { on: go, key: event.round, again: always }
anchor: event.at
steps:
  - step: hello
    day: 0
    push: "{{ member.name }}さま、こんにちは。ポイントは{{ event.points }}です。"
"#;

/// The same words to everybody.
const CAMPAIGN: &str = r#"
scenario: campaign
enter: { on: campaign, key: event.round, again: always }
anchor: event.at
steps:
  - step: hello
    day: 0
    push: 本日から秋の感謝祭がはじまりました。くわしくはお店まで。
"#;

/// Parcels in flight when the daemon is killed.
const IN_FLIGHT: usize = 2_000;

/// Events in one bulk request.
const BULK: usize = 1_000;

/// Connections of the single events.
const CONNECTIONS: usize = 64;

#[tokio::main]
async fn main() {
    let members: usize = std::env::args()
        .find_map(|argument| argument.strip_prefix("members=").and_then(|n| n.parse().ok()))
        .unwrap_or(100_000);
    let mut bench = Bench::start().await;
    println!(
        "{members} members, sled, {} cores",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    bench.load(members).await;
    bench.bulk_events(members).await;
    bench.single_events(members).await;
    bench.pushes(members).await;
    bench.lateness(members).await;
    bench.together(members).await;
    bench.size(members);
    bench.recovery(members).await;
}

struct Bench {
    folder: tempfile::TempDir,
    daemon: Child,
    listen: SocketAddr,
    line: String,
    base: String,
    client: Client,
    sandbox: Sandbox,
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

impl Bench {
    async fn start() -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let scenarios = folder.path().join("scenarios");
        std::fs::create_dir(&scenarios).expect("a folder for the scenario");
        std::fs::write(scenarios.join("bench.yaml"), SCENARIO).expect("a scenario file");
        std::fs::write(scenarios.join("campaign.yaml"), CAMPAIGN).expect("a scenario file");
        let settings = Settings {
            limits: Limits::NONE,
            keep_bodies: false,
            receipts_kept: 2_000_000,
            ..Settings::default()
        };
        let sandbox = Sandbox::new(settings, Clock::system()).expect("a sandbox");
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let line = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
        let listen = {
            let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free address");
            free.local_addr().expect("an address")
        };
        let daemon = spawn(folder.path(), listen, &line);
        let client = Client::builder().no_proxy().build().expect("a client");
        let bench = Bench { folder, daemon, listen, line, base: format!("http://{listen}"), client, sandbox };
        bench.until_it_answers().await;
        bench
    }

    async fn until_it_answers(&self) {
        let began = Monotonic::now();
        while self.client.get(format!("{}/healthz", self.base)).send().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the daemon does not start");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// One step with the same words to all, due at once: multicasts.
    async fn together(&self, members: usize) {
        let due = Timestamp::now_for_bench() + SignedDuration::from_secs(4 + members as i64 / 20_000);
        for start in (0..members).step_by(50_000) {
            let mut body = String::new();
            for n in start..(start + 50_000).min(members) {
                let event = event(n, "together", due).replace(r#""name":"go""#, r#""name":"campaign""#);
                writeln!(body, "{event}").expect("a string takes all text");
            }
            self.post("/v1/events", body, "application/x-ndjson").await;
        }
        assert!(Timestamp::now_for_bench() < due, "enrolling took until the step was due");
        let before = self.ops().await;
        let (receipts, requests) = (self.sandbox.stats().receipts, self.sandbox.stats().requests);
        while self.sandbox.stats().receipts < receipts + members as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = Timestamp::now_for_bench().duration_since(due);
        report("one step to all, due at once (multicasts)", members, took.unsigned_abs(), "members/s");
        println!("{:<52} {:>10}", "  requests", self.sandbox.stats().requests - requests);
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.report_ops("  of a delivery", before, members).await;
        assert_eq!(self.sandbox.stats().duplicates, 0);
    }

    /// SIGKILL with parcels in flight, and a start.
    async fn recovery(&mut self, members: usize) {
        let hang = Faults { hang_before: 1.0, hang_ms: 60_000, ..Faults::default() };
        self.sandbox.set_faults(hang).expect("faults");
        let count = members.min(IN_FLIGHT);
        self.enroll(count, "killed", |_| Timestamp::now_for_bench()).await;
        while self.outbox().await < count as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.daemon.kill().expect("it can be killed");
        self.daemon.wait().expect("it has ended");
        self.sandbox.set_faults(Faults::default()).expect("faults");
        let (receipts, requests) = (self.sandbox.stats().receipts, self.sandbox.stats().accepted_push);
        let began = Monotonic::now();
        self.daemon = spawn(self.folder.path(), self.listen, &self.line);
        self.until_it_answers().await;
        let ready = began.elapsed();
        while self.sandbox.stats().accepted_push == requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let first = began.elapsed();
        while self.sandbox.stats().receipts < receipts + count as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!(
            "{:<52} ready after {} ms, sending again after {} ms, all {count} sent after {} ms",
            "SIGKILL with parcels in flight, and a start",
            ready.as_millis(),
            first.as_millis(),
            began.elapsed().as_millis()
        );
        assert_eq!(self.sandbox.stats().duplicates, 0);
    }

    async fn outbox(&self) -> u64 {
        let response = self.client.get(format!("{}/metrics", self.base)).send().await.expect("an answer");
        let text = response.text().await.expect("a text");
        let line = text.lines().find(|line| line.starts_with("amadare_outbox_parcels")).expect("the metric");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    async fn load(&self, members: usize) {
        let began = Monotonic::now();
        for start in (0..members).step_by(50_000) {
            let mut body = String::new();
            for n in start..(start + 50_000).min(members) {
                writeln!(
                    body,
                    r#"{{"id":"m{n:07}","attributes":{{"name":"山田{n}","plan":"gold","joined":"2026-01-01"}},"line_user_id":"U{n:032x}"}}"#
                )
                .expect("a string takes all text");
            }
            self.post("/v1/members", body, "application/x-ndjson").await;
        }
        report("members in, linked (bulk)", members, began.elapsed(), "members/s");
        println!("{:<52} {:>10} B/member", "  store on disk, fresh", self.disk_bytes() / members as u64);
    }

    async fn bulk_events(&self, members: usize) {
        let far = Timestamp::now_for_bench() + SignedDuration::from_hours(24 * 30);
        let before = self.ops().await;
        let bodies: Vec<String> = (0..members)
            .step_by(BULK)
            .map(|start| {
                let events = (start..(start + BULK).min(members)).map(|n| event(n, "bulk", far));
                format!("[{}]", events.collect::<Vec<_>>().join(","))
            })
            .collect();
        let began = Monotonic::now();
        // two requests under way, so that one is read while the other is made durable
        let next = AtomicU64::new(0);
        let sender = || async {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                self.post("/v1/events", body.clone(), "application/json").await;
            }
        };
        tokio::join!(sender(), sender());
        report("events in, each enrolling (bulk)", members, began.elapsed(), "events/s");
        self.report_ops("  of an enrolling event", before, members).await;
    }

    async fn single_events(&self, members: usize) {
        let far = Timestamp::now_for_bench() + SignedDuration::from_hours(24 * 30);
        let count = members.min(60_000);
        let next = Arc::new(AtomicU64::new(0));
        let began = Monotonic::now();
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, url) = (self.client.clone(), format!("{}/v1/events", self.base));
            let next = Arc::clone(&next);
            senders.push(tokio::spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed) as usize;
                    if n >= count {
                        return waits;
                    }
                    let sent = Monotonic::now();
                    let response = client.post(&url).body(event(n, "single", far)).send().await;
                    assert!(response.expect("an answer").status().is_success());
                    waits.push(sent.elapsed());
                }
            }));
        }
        let mut waits = Vec::new();
        for sender in senders {
            waits.extend(sender.await.expect("a sender"));
        }
        report("events in, each enrolling (single, 64 connections)", count, began.elapsed(), "events/s");
        percentiles("  answered after", &mut waits);
    }

    async fn pushes(&self, members: usize) {
        let due = Timestamp::now_for_bench() + SignedDuration::from_secs(4 + members as i64 / 20_000);
        self.enroll(members, "burst", |_| due).await;
        assert!(Timestamp::now_for_bench() < due, "enrolling took until the pushes were due");
        let before = self.ops().await;
        let disk_before = self.disk_bytes();
        let done = self.sandbox.stats().receipts + members as u64;
        while self.sandbox.stats().receipts < done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = Timestamp::now_for_bench().duration_since(due);
        report("personalised pushes, all due at once", members, took.unsigned_abs(), "pushes/s");
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.report_ops("  of a delivery", before, members).await;
        let grown = self.disk_bytes().saturating_sub(disk_before);
        println!("{:<52} {:>10} B/delivery", "  growth of the store on disk", grown / members as u64);
        assert_eq!(self.sandbox.stats().duplicates, 0);
    }

    async fn lateness(&self, members: usize) {
        const PER_SECOND: usize = 1_000;
        let count = members.min(20_000);
        let start = Timestamp::now_for_bench() + SignedDuration::from_secs(4);
        let due = |n: usize| start + SignedDuration::from_millis((n * 1_000 / PER_SECOND) as i64);
        self.enroll(count, "paced", due).await;
        let from = self.sandbox.stats().receipts;
        while self.sandbox.stats().receipts < from + count as u64 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut late: Vec<Duration> = (self.sandbox.received(from).iter())
            .map(|receipt| {
                let n = u128::from_str_radix(&receipt.user_id.to_string()[1..], 16).expect("hexadecimal");
                receipt.at.duration_since(due(n as usize)).try_into().unwrap_or(Duration::ZERO)
            })
            .collect();
        percentiles(&format!("lateness at {PER_SECOND} pushes/s"), &mut late);
    }

    async fn enroll(&self, members: usize, round: &str, due: impl Fn(usize) -> Timestamp) {
        for start in (0..members).step_by(50_000) {
            let mut body = String::new();
            for n in start..(start + 50_000).min(members) {
                writeln!(body, "{}", event(n, round, due(n))).expect("a string takes all text");
            }
            self.post("/v1/events", body, "application/x-ndjson").await;
        }
    }

    fn size(&self, members: usize) {
        println!(
            "{:<52} {:>10} B/member",
            "store on disk after all this",
            self.disk_bytes() / members as u64
        );
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap_or_default();
        for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
            println!("{line}");
        }
    }

    fn disk_bytes(&self) -> u64 {
        std::fs::metadata(self.folder.path().join("data/sled/db")).map_or(0, |file| file.len())
    }

    async fn post(&self, path: &str, body: String, kind: &str) {
        let request =
            self.client.post(format!("{}{path}", self.base)).header("content-type", kind).body(body);
        let response = request.send().await.expect("an answer");
        let (status, text) = (response.status(), response.text().await.expect("a text"));
        assert!(status.is_success() && text.contains(r#""rejected":[]"#), "{status} {text}");
    }

    /// Key operations and bytes committed so far.
    async fn ops(&self) -> (f64, f64) {
        let response = self.client.get(format!("{}/metrics", self.base)).send().await.expect("an answer");
        let text = response.text().await.expect("a text");
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).expect("the metric is there");
            line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
        };
        (value("amadare_store_operations_total"), value("amadare_store_written_bytes_total"))
    }

    async fn report_ops(&self, what: &str, before: (f64, f64), count: usize) {
        let after = self.ops().await;
        let each = |after: f64, before: f64| (after - before) / count as f64;
        println!(
            "{what:<52} {:>10.2} key operations, {:.0} B",
            each(after.0, before.0),
            each(after.1, before.1)
        );
    }
}

fn spawn(folder: &Path, listen: SocketAddr, line: &str) -> Child {
    let config = folder.join("amadare.yaml");
    std::fs::write(&config, "line: { limits: { push: 0, multicast: 0 } }\nlogs: { level: warn }\n")
        .expect("a configuration");
    Command::new(env!("CARGO_BIN_EXE_amadare"))
        .arg("serve")
        .arg("--config")
        .arg(config)
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--scenarios")
        .arg(folder.join("scenarios"))
        .args(["--listen", &listen.to_string(), "--line-endpoint", line])
        .env("LINE_CHANNEL_ACCESS_TOKEN", "bench")
        .stdin(Stdio::null())
        .spawn()
        .expect("the daemon starts")
}

fn event(n: usize, round: &str, due: Timestamp) -> String {
    format!(
        r#"{{"id":"{round}-{n}","name":"go","member":"m{n:07}","data":{{"round":"{round}","at":"{due}","points":{n}}}}}"#
    )
}

fn report(what: &str, count: usize, took: Duration, unit: &str) {
    println!("{what:<52} {:>10.0} {unit}", count as f64 / took.as_secs_f64());
}

fn percentiles(what: &str, values: &mut [Duration]) {
    values.sort_unstable();
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what:<52} {:>10.1} ms p50, {:.1} ms p99, {:.1} ms at most", at(0.5), at(0.99), at(1.0));
}

/// The benchmark measures real time.
trait Now {
    fn now_for_bench() -> Timestamp;
}

impl Now for Timestamp {
    fn now_for_bench() -> Timestamp {
        Clock::system().now()
    }
}
