//! What a demo is played on: a daemon in a process of its own, the stand-in for LINE, and their clocks.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::clock::{Clock, Monotonic};
use crate::http::TimelineView;
use crate::sandbox::{Act, Faults, Sandbox, Settings, UserId};

/// How long a daemon may take to be ready.
const READY_WAIT: Duration = Duration::from_secs(30);

/// Columns of a line of a message.
const WRAP_COLUMNS: usize = 80;

/// The daemon, the stand-in and the shop's side of a demo.
pub(super) struct Stage {
    folder: Folder,
    zone: TimeZone,
    speed: f64,
    pub(super) clock: Clock,
    pub(super) sandbox: Sandbox,
    sandbox_url: String,
    listen: SocketAddr,
    client: reqwest::Client,
    daemon: Child,
}

/// What a stage is set up with.
pub(super) struct Setting<'a> {
    /// Files of the folder of scenarios, by name.
    pub(super) files: &'a [(&'a str, &'a str)],
    pub(super) start: Timestamp,
    /// Seconds there in a second here.
    pub(super) speed: f64,
    /// How long LINE takes to answer, in real time.
    pub(super) line_takes: Duration,
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

impl Stage {
    /// Starts a daemon on a new folder; from here on LINE errs a lot, before it takes a push and after.
    pub(super) async fn start(setting: &Setting<'_>) -> anyhow::Result<Stage> {
        let clock = Clock::accelerated(setting.start, setting.speed);
        clock.stop();
        let path = std::env::temp_dir().join(format!("amadare-demo-{}", std::process::id()));
        let folder = Folder(path);
        for (name, text) in setting.files {
            let file = folder.0.join("scenarios").join(name);
            std::fs::create_dir_all(file.parent().expect("a file is in a folder"))?;
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let sandbox = Sandbox::new(Settings { seed: 5, ..Settings::default() }, clock.clone())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let sandbox_url = format!("http://{}", listener.local_addr()?);
        let listen = free_address()?;
        sandbox.set_webhook(Some(&format!("http://{listen}/line/webhook")))?;
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));

        let client = reqwest::Client::builder().no_proxy().build().context("cannot make an HTTP client")?;
        let daemon = spawn(&folder.0, listen, &sandbox_url, setting.start, setting.speed)?;
        let stage = Stage {
            folder,
            zone: TimeZone::get("Asia/Tokyo").expect("the time zone database is bundled"),
            speed: setting.speed,
            clock,
            sandbox,
            sandbox_url,
            listen,
            client,
            daemon,
        };
        stage.wait_until_ready().await?;
        let latency_ms = u64::try_from(setting.line_takes.as_millis()).unwrap_or(u64::MAX);
        stage.sandbox.set_faults(Faults {
            error_before: 0.15,
            error_after: 0.15,
            throttle: 0.05,
            latency_ms,
            ..Faults::default()
        })?;
        Ok(stage)
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Sends something to the daemon's API.
    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("http://{}{path}", self.listen);
        answered(self.client.put(url).body(body.to_string()).send().await.context("no answer")?).await
    }

    /// Sends an event as the shop.
    pub(super) async fn post_event(&self, event: &Value) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/events", self.listen);
        let response = self.client.post(url).body(event.to_string()).send().await.context("no answer")?;
        answered(response).await
    }

    /// Does something as a person with LINE on the phone.
    pub(super) async fn act(&self, user: UserId, act: Act) -> anyhow::Result<()> {
        let posted = self.sandbox.act(user, act).await?;
        match posted {
            Some(posted) if posted.is_delivered() => Ok(()),
            other => Err(anyhow!("the daemon did not take a webhook: {other:?}")),
        }
    }

    pub(super) async fn timeline(&self, member: &str) -> anyhow::Result<TimelineView> {
        let url = format!("http://{}/v1/members/{member}/timeline", self.listen);
        let text = self.client.get(url).send().await?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("not a timeline: {text}"))
    }

    /// Parcels that the daemon has made and not settled.
    pub(super) async fn in_flight(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/readyz", self.listen);
        let text = self.client.get(url).send().await?.text().await?;
        let ready: Value = serde_json::from_str(&text)?;
        let parcels = ready["components"]["outbox"]["detail"]["parcels"].as_u64();
        parcels.with_context(|| format!("/readyz does not tell of the outbox: {text}"))
    }

    /// Kills the daemon the hard way and stops the clocks; gives the process id that it had.
    pub(super) fn kill(&mut self) -> anyhow::Result<u32> {
        let pid = self.daemon.id();
        self.daemon.kill().context("cannot kill the daemon")?;
        self.clock.stop();
        self.daemon.wait().context("the daemon did not end")?;
        Ok(pid)
    }

    /// Ends the daemon without warning and starts another on its folder, while the clocks stand still.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let now = self.clock.now();
        self.daemon = spawn(&self.folder.0, self.listen, &self.sandbox_url, now, self.speed)?;
        let now = self.wait_until_ready().await?;
        self.clock.go_on();
        self.clock.align(now);
        Ok(())
    }

    /// As [`Stage::restart`], and the daemon wakes up at a later time, as after an outage.
    pub(super) async fn restart_at(&mut self, later: Timestamp) -> anyhow::Result<()> {
        self.clock.stop();
        self.clock.align(later);
        self.restart().await
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

    pub(super) fn civil(&self, at: Timestamp) -> String {
        at.to_zoned_datetime(self.zone.clone()).strftime("%m-%d %a %H:%M").to_string()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // it may have ended already
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// A text in lines of [`WRAP_COLUMNS`]; Japanese characters take two.
pub(super) fn wrapped(text: &str) -> Vec<String> {
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
pub(super) fn pad(name: &str) -> String {
    let columns: usize = name.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum();
    format!("{name}{}", " ".repeat(8_usize.saturating_sub(columns)))
}

async fn answered(response: reqwest::Response) -> anyhow::Result<()> {
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
