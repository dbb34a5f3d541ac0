//! `amadare demo`: the real daemon lives two weeks in under a minute, and is killed on the way.
//!
//! The daemon is a process of its own, started as `serve` on an accelerated clock, with its own sled
//! store in a temporary folder. The stand-in for LINE and the shop are in this process.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::signals;
use super::simulate::message_text;
use super::words::{Lang, because};
use super::{FOUND_PROBLEMS, Failure, print, runtime};
use crate::clock::{Clock, Monotonic};
use crate::http::{HappenedView, TimelineView};
use crate::sandbox::{Act, Faults, Sandbox, Settings, UserId};

/// The shipped scenarios, so that the demo needs nothing but the binary.
const FILES: [(&str, &str); 3] = [
    ("trial-followup.yaml", include_str!("../../scenarios/trial-followup.yaml")),
    ("interview-reminder.yaml", include_str!("../../scenarios/interview-reminder.yaml")),
    ("flex/coupon.json", include_str!("../../scenarios/flex/coupon.json")),
];

/// A Monday morning in Japan.
const START: &str = "2026-04-06T09:00:00+09:00";

/// How long the members live.
const DAYS: i64 = 14;

/// How often the timelines and the stand-in are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a daemon may take to be ready.
const READY_WAIT: Duration = Duration::from_secs(30);

/// The share of the two weeks that the stand-in takes to answer, so that there is a moment for the kill
/// to fall into: 50 ms of 40 s.
const LINE_TAKES: f64 = 1.0 / 800.0;

/// How long the kill waits for a push to fall into.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// Columns of a line of a message.
const WRAP_COLUMNS: usize = 80;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many seconds the two weeks take
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=600))]
    seconds: u32,
}

/// One who lives in the demo.
struct Person {
    id: &'static str,
    name: &'static str,
    user: u128,
}

const PEOPLE: [Person; 5] = [
    Person { id: "m-1001", name: "さくら", user: 0x1001 },
    Person { id: "m-1002", name: "健太", user: 0x1002 },
    Person { id: "m-1003", name: "美咲", user: 0x1003 },
    Person { id: "m-1004", name: "翔", user: 0x1004 },
    Person { id: "m-1005", name: "葵", user: 0x1005 },
];

/// What the shop and the members do, and when.
struct Scene {
    day: i64,
    time: &'static str,
    who: usize,
    says: &'static str,
    does: Does,
}

enum Does {
    /// An event that the shop sends: its name and data.
    Event(&'static str, fn() -> Value),
    Block,
    Unblock,
    /// SIGKILL to the daemon.
    Kill,
}

fn script() -> Vec<Scene> {
    let trial = || json!({ "sku": "TRIAL-7", "category": "trial", "amount": 980 });
    let regular = || json!({ "sku": "REG-1", "category": "regular", "amount": 3980 });
    let scene = |day, time, who, says, does| Scene { day, time, who, says, does };
    vec![
        scene(0, "10:00", 0, "buys a trial set", Does::Event("purchase", trial)),
        scene(0, "22:30", 1, "buys a trial set, late in the evening", Does::Event("purchase", trial)),
        scene(1, "11:00", 4, "buys a trial set", Does::Event("purchase", trial)),
        scene(
            1,
            "15:00",
            2,
            "books an interview for next Monday 14:00",
            Does::Event(
                "interview.booked",
                || json!({ "booking_id": "b-1", "starts_at": "2026-04-13T14:00:00+09:00", "bring": "履歴書" }),
            ),
        ),
        scene(2, "20:00", 4, "blocks the account", Does::Block),
        // an hour before two messages are due: the kill waits for the first of them
        scene(3, "18:00", 0, "", Does::Kill),
        scene(4, "12:00", 1, "buys the regular product: no coupon needed", Does::Event("purchase", regular)),
        scene(
            5,
            "09:00",
            2,
            "moves the interview to Wednesday 16:00",
            Does::Event(
                "interview.moved",
                || json!({ "booking_id": "b-1", "starts_at": "2026-04-15T16:00:00+09:00" }),
            ),
        ),
        scene(6, "12:00", 4, "unblocks the account", Does::Unblock),
        scene(
            9,
            "12:00",
            3,
            "books an interview for today 12:40",
            Does::Event(
                "interview.booked",
                || json!({ "booking_id": "b-2", "starts_at": "2026-04-15T12:40:00+09:00" }),
            ),
        ),
        scene(
            9,
            "12:10",
            3,
            "books another for Friday, and",
            Does::Event(
                "interview.booked",
                || json!({ "booking_id": "b-3", "starts_at": "2026-04-17T10:00:00+09:00" }),
            ),
        ),
        scene(
            10,
            "12:00",
            3,
            "cancels it",
            Does::Event("interview.cancelled", || json!({ "booking_id": "b-3" })),
        ),
    ]
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut signals = signals::listen().context("cannot listen for signals")?;
        // what is dropped in the middle ends its daemon and removes its folder
        tokio::select! {
            played = async { Demo::start(options).await?.play().await } => played,
            _ = signals.recv() => Err(Failure::problem("the demo was broken off")),
        }
    })
}

struct Demo {
    folder: Folder,
    start: Timestamp,
    zone: TimeZone,
    speed: f64,
    clock: Clock,
    sandbox: Sandbox,
    sandbox_url: String,
    listen: SocketAddr,
    client: reqwest::Client,
    daemon: Child,
    /// Happenings printed of each member.
    printed: HashMap<&'static str, usize>,
    /// Receipts printed.
    received: u64,
}

/// A folder that goes with the demo.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("amadare: {} could not be removed: {error}", self.0.display());
        }
    }
}

impl Demo {
    async fn start(options: &Options) -> anyhow::Result<Demo> {
        let start: Timestamp = START.parse().expect("the constant is a time");
        let speed = (DAYS * 24 * 3600) as f64 / f64::from(options.seconds);
        let clock = Clock::accelerated(start, speed);
        clock.stop();

        let path = std::env::temp_dir().join(format!("amadare-demo-{}", std::process::id()));
        let folder = Folder(path);
        for (name, text) in FILES {
            let file = folder.0.join("scenarios").join(name);
            std::fs::create_dir_all(file.parent().expect("a file is in a folder"))?;
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        // LINE errs a lot in the demo: before it takes a push, and after
        let faults = Faults {
            error_before: 0.15,
            error_after: 0.15,
            throttle: 0.05,
            latency_ms: (f64::from(options.seconds) * 1_000.0 * LINE_TAKES) as u64,
            ..Faults::default()
        };
        let sandbox = Sandbox::new(Settings { seed: 5, ..Settings::default() }, clock.clone())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let sandbox_url = format!("http://{}", listener.local_addr()?);
        let listen = free_address()?;
        sandbox.set_webhook(Some(&format!("http://{listen}/line/webhook")))?;
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));

        let client = reqwest::Client::builder().no_proxy().build().context("cannot make an HTTP client")?;
        let daemon = spawn(&folder.0, listen, &sandbox_url, start, speed)?;
        let demo = Demo {
            folder,
            start,
            zone: TimeZone::get("Asia/Tokyo").expect("the time zone database is bundled"),
            speed,
            clock,
            sandbox,
            sandbox_url,
            listen,
            client,
            daemon,
            printed: HashMap::new(),
            received: 0,
        };
        demo.wait_until_ready().await?;
        demo.sandbox.set_faults(faults)?;
        Ok(demo)
    }

    async fn play(mut self) -> Result<(), Failure> {
        self.say(&format!(
            "\n  A real daemon, a real store, and a stand-in for LINE that often fails.\n  \
             One second here is {:.0} hours there, so the milliseconds of a push show as minutes.\n\n",
            self.speed / 3600.0
        ))?;
        for person in &PEOPLE {
            self.put_member(person).await?;
        }
        // the daemon's clock began before ours: both begin anew
        self.restart().await?;
        for scene in script() {
            let at = self.instant(scene.day, scene.time);
            self.watch_until(at).await?;
            self.perform(&scene).await?;
        }
        let end = self.start + SignedDuration::from_hours(24 * DAYS);
        self.watch_until(end).await?;
        self.finish().await
    }

    fn instant(&self, day: i64, time: &str) -> Timestamp {
        let date = self.start.to_zoned_datetime(self.zone.clone()).date();
        let date = date.checked_add(jiff::Span::new().days(day)).expect("the demo is short");
        let time: jiff::civil::Time = time.parse().expect("the script's times are times");
        date.to_datetime(time)
            .to_zoned_datetime(self.zone.clone())
            .expect("Japan's clocks do not jump")
            .timestamp()
    }

    async fn put_member(&self, person: &Person) -> anyhow::Result<()> {
        let user = UserId::from_bits(person.user).to_string();
        let body = json!({ "attributes": { "name": person.name }, "line_user_id": user });
        let url = format!("http://{}/v1/members/{}", self.listen, person.id);
        let response = self.client.put(url).body(body.to_string()).send().await?;
        check(response).await
    }

    async fn perform(&mut self, scene: &Scene) -> Result<(), Failure> {
        let person = &PEOPLE[scene.who];
        let now = self.clock.now();
        if !scene.says.is_empty() {
            self.say(&format!("{}  ・ {} {}\n", self.civil(now), pad(person.name), scene.says))?;
        }
        match &scene.does {
            Does::Event(name, data) => {
                let id = format!("{}-{}-{}", person.id, scene.day, scene.time);
                let event = json!({
                    "id": id, "name": name, "member": person.id, "at": now.to_string(), "data": data(),
                });
                let url = format!("http://{}/v1/events", self.listen);
                let response =
                    self.client.post(url).body(event.to_string()).send().await.context("no answer")?;
                check(response).await?;
            }
            Does::Block => self.act(person, Act::Unfollow).await?,
            Does::Unblock => self.act(person, Act::Follow).await?,
            Does::Kill => self.kill().await?,
        }
        Ok(())
    }

    async fn act(&self, person: &Person, act: Act) -> anyhow::Result<()> {
        let posted = self.sandbox.act(UserId::from_bits(person.user), act).await?;
        match posted {
            Some(posted) if posted.is_delivered() => Ok(()),
            other => Err(anyhow!("the daemon did not take a webhook: {other:?}")),
        }
    }

    /// Kills the daemon the hard way while it is busy, and starts it again.
    async fn kill(&mut self) -> Result<(), Failure> {
        // LINE has taken a push and the daemon does not know yet: the worst moment there is
        let arrival = self.sandbox.next_received(self.received);
        let arrived = tokio::time::timeout(KILL_WAIT, arrival).await.is_ok();
        let pid = self.daemon.id();
        self.daemon.kill().context("cannot kill the daemon")?;
        self.clock.stop();
        for (at, text) in self.receipts() {
            self.say(&format!("{}{text}\n", self.civil(at)))?;
        }
        self.say(&format!(
            "{}  ⚡ kill -9 {pid}: {}\n",
            self.civil(self.clock.now()),
            match arrived {
                true => "LINE has taken a push, and the daemon dies before it hears so",
                false => "the daemon dies without a word",
            }
        ))?;
        let began = Monotonic::now();
        self.restart().await?;
        let took = began.elapsed().as_millis();
        self.say(&format!(
            "{}  ▶ started again, ready after {took} ms; what was in flight goes on with the same keys\n",
            self.civil(self.clock.now())
        ))?;
        Ok(())
    }

    /// Ends the daemon without warning and starts another on its folder, while the clocks stand still.
    async fn restart(&mut self) -> anyhow::Result<()> {
        self.daemon.kill().context("cannot kill the daemon")?;
        self.clock.stop();
        self.daemon.wait().context("the daemon did not end")?;
        let now = self.clock.now();
        self.daemon = spawn(&self.folder.0, self.listen, &self.sandbox_url, now, self.speed)?;
        let now = self.wait_until_ready().await?;
        self.clock.go_on();
        self.clock.align(now);
        Ok(())
    }

    /// Waits for a daemon that has just been started, and gives the time that its clock tells.
    async fn wait_until_ready(&self) -> anyhow::Result<Timestamp> {
        let began = Monotonic::now();
        loop {
            let url = format!("http://{}/healthz", self.listen);
            if let Ok(response) = self.client.get(url).send().await
                && response.status().is_success()
            {
                let health: Value = serde_json::from_str(&response.text().await?)?;
                let now = health["now"].as_str().context("the daemon does not tell its time")?;
                return now.parse().context("the daemon's time is none");
            }
            if began.elapsed() > READY_WAIT {
                return Err(anyhow!("the daemon was not ready in {} s", READY_WAIT.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Prints what happens until an instant of the members' time.
    async fn watch_until(&mut self, until: Timestamp) -> Result<(), Failure> {
        loop {
            let left = self.clock.until(until);
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            self.look().await?;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Prints what has happened since the last look, in order.
    async fn look(&mut self) -> Result<(), Failure> {
        let mut news = self.receipts();
        for person in &PEOPLE {
            let timeline = self.timeline(person).await?;
            let seen = self.printed.insert(person.id, timeline.happened.len()).unwrap_or(0);
            for happened in timeline.happened.iter().skip(seen) {
                if let Some(text) = self.tell(happened) {
                    news.push((happened.at, format!("    {} {text}", pad(person.name))));
                }
            }
        }
        news.sort_by_key(|(at, _)| *at);
        for (at, text) in news {
            self.say(&format!("{}{text}\n", self.civil(at)))?;
        }
        Ok(())
    }

    /// What people have received since the last look.
    fn receipts(&mut self) -> Vec<(Timestamp, String)> {
        let mut news = Vec::new();
        for receipt in self.sandbox.received(self.received) {
            self.received = receipt.seq;
            let person = PEOPLE.iter().find(|person| UserId::from_bits(person.user) == receipt.user_id);
            let name = pad(person.map_or("?", |person| person.name));
            let messages = receipt.messages.as_deref().and_then(Value::as_array).into_iter().flatten();
            let lines = messages.flat_map(|message| wrapped(&message_text(message))).collect::<Vec<_>>();
            let indent = format!("\n{:27}", "");
            news.push((receipt.at, format!("  ✉ {name} {}", lines.join(&indent))));
        }
        news
    }

    /// What is worth a line beside the messages themselves.
    fn tell(&self, happened: &HappenedView) -> Option<String> {
        let step = happened.step.as_deref().map(|step| format!("/{step}")).unwrap_or_default();
        let place = format!("{}{step}", happened.scenario.as_deref().unwrap_or_default());
        let reason = happened.reason.as_deref().unwrap_or_default();
        match happened.what.as_str() {
            "skipped" => Some(format!("{place} was skipped: {}", because(Lang::En, reason))),
            "deferred" => {
                let until = happened.until.map(|until| self.civil(until)).unwrap_or_default();
                Some(format!("{place} waits until {until}: outside the send hours"))
            }
            "converted" => Some(format!("{place} reached its goal")),
            "exited" => Some(format!("left {place}: {}", because(Lang::En, reason))),
            "moved" => Some(format!("{place} is planned anew from the new date")),
            "rejected" | "unknown" => {
                Some(format!("{place} {}: {}", happened.what, because(Lang::En, reason)))
            }
            _ => None,
        }
    }

    async fn timeline(&self, person: &Person) -> anyhow::Result<TimelineView> {
        let url = format!("http://{}/v1/members/{}/timeline", self.listen, person.id);
        let text = self.client.get(url).send().await?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("not a timeline: {text}"))
    }

    /// Adds up, at LINE's end, what people received.
    async fn finish(mut self) -> Result<(), Failure> {
        let stats = self.sandbox.stats();
        let mut accepted = 0;
        let mut skipped = 0;
        for person in &PEOPLE {
            let timeline = self.timeline(person).await?;
            accepted += timeline.happened.iter().filter(|h| h.what == "accepted").count() as u64;
            skipped += timeline.happened.iter().filter(|h| h.what == "skipped").count();
        }
        self.daemon.kill().context("cannot end the daemon")?;
        self.daemon.wait().context("the daemon did not end")?;
        let faults = stats.faults.error_before + stats.faults.error_after + stats.faults.throttle;
        let good = stats.duplicates == 0 && stats.same_text_twice == 0 && accepted == stats.receipts;
        self.say(&format!(
            "\n  {} messages received, counted at LINE's end. Sent twice: {}. Lost: {}.\n  \
             LINE failed {} times on the way, {} of them after it had taken the push already, and the daemon\n  \
             was killed while answers were on their way. It asked again under the same keys, and {} times LINE\n  \
             answered \"409, I have it\". {} steps were skipped, each with a reason.\n\n",
            stats.receipts,
            stats.duplicates,
            accepted.abs_diff(stats.receipts),
            faults,
            stats.faults.error_after,
            stats.already_accepted,
            skipped,
        ))?;
        if good { Ok(()) } else { Err(Failure::silent(FOUND_PROBLEMS)) }
    }

    fn civil(&self, at: Timestamp) -> String {
        at.to_zoned_datetime(self.zone.clone()).strftime("%m-%d %a %H:%M").to_string()
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        print(text)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // it may have ended already
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// A text in lines of [`WRAP_COLUMNS`]; Japanese characters take two.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let (mut current, mut columns) = (String::new(), 0);
        for character in line.chars() {
            let width = if character.is_ascii() { 1 } else { 2 };
            if columns + width > WRAP_COLUMNS {
                lines.push(std::mem::take(&mut current));
                columns = 0;
            }
            current.push(character);
            columns += width;
        }
        lines.push(current);
    }
    lines
}

/// A name to a fixed width on the screen: Japanese characters take two columns.
fn pad(name: &str) -> String {
    let columns = name.chars().count() * 2;
    format!("{name}{}", " ".repeat(8_usize.saturating_sub(columns)))
}

async fn check(response: reqwest::Response) -> anyhow::Result<()> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(anyhow!("the daemon answered {status}: {}", response.text().await.unwrap_or_default()))
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    Ok(listener.local_addr()?)
}

fn spawn(folder: &Path, listen: SocketAddr, line: &str, now: Timestamp, speed: f64) -> anyhow::Result<Child> {
    let binary = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new(binary)
        .args(["serve", "--config", "/dev/null"])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--scenarios")
        .arg(folder.join("scenarios"))
        .args(["--listen", &listen.to_string(), "--line-endpoint", line])
        .args(["--clock-start", &now.to_string(), "--clock-speed", &speed.to_string()])
        .env("LINE_CHANNEL_ACCESS_TOKEN", "demo")
        .env("LINE_CHANNEL_SECRET", "sandbox-channel-secret")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the daemon")
}
