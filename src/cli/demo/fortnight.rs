//! Five members live two weeks in under a minute.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::simulate::message_text;
use super::super::words::{Lang, because};
use super::super::{FOUND_PROBLEMS, Failure, print};
use super::stage::{Setting, Stage, pad, wrapped};
use crate::clock::Monotonic;
use crate::http::HappenedView;
use crate::sandbox::{Act, UserId};

/// The shipped scenarios, so that the demo needs nothing but the binary.
const FILES: [(&str, &str); 3] = [
    ("trial-followup.yaml", include_str!("../../../scenarios/trial-followup.yaml")),
    ("interview-reminder.yaml", include_str!("../../../scenarios/interview-reminder.yaml")),
    ("flex/coupon.json", include_str!("../../../scenarios/flex/coupon.json")),
];

/// How long it takes if nothing is said.
pub(super) const SECONDS: u32 = 40;

/// A Monday morning in Japan.
const START: &str = "2026-04-06T09:00:00+09:00";

/// How long the members live.
const DAYS: i64 = 14;

/// How often the timelines and the stand-in are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The share of the two weeks that the stand-in takes to answer, so that there is a moment for the kill
/// to fall into: 50 ms of 40 s.
const LINE_TAKES: f64 = 1.0 / 800.0;

/// How long the kill waits for a push to fall into.
const KILL_WAIT: Duration = Duration::from_secs(2);

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

/// Plays the two weeks in so many seconds.
pub(super) async fn play(seconds: u32) -> Result<(), Failure> {
    Demo::start(seconds).await?.play().await
}

struct Demo {
    stage: Stage,
    start: Timestamp,
    speed: f64,
    /// Happenings printed of each member.
    printed: HashMap<&'static str, usize>,
    /// Receipts printed.
    received: u64,
}

impl Demo {
    async fn start(seconds: u32) -> anyhow::Result<Demo> {
        let start: Timestamp = START.parse().expect("the constant is a time");
        let speed = (DAYS * 24 * 3600) as f64 / f64::from(seconds);
        let line_takes = Duration::from_secs_f64(f64::from(seconds) * LINE_TAKES);
        let stage = Stage::start(&Setting { files: &FILES, start, speed, line_takes }).await?;
        Ok(Demo { stage, start, speed, printed: HashMap::new(), received: 0 })
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
        self.stage.restart().await?;
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
        let date = self.start.to_zoned_datetime(self.stage.zone().clone()).date();
        let date = date.checked_add(jiff::Span::new().days(day)).expect("the demo is short");
        let time: jiff::civil::Time = time.parse().expect("the script's times are times");
        date.to_datetime(time)
            .to_zoned_datetime(self.stage.zone().clone())
            .expect("Japan's clocks do not jump")
            .timestamp()
    }

    async fn put_member(&self, person: &Person) -> anyhow::Result<()> {
        let user = UserId::from_bits(person.user).to_string();
        let body = json!({ "attributes": { "name": person.name }, "line_user_id": user });
        self.stage.put(&format!("/v1/members/{}", person.id), &body).await
    }

    async fn perform(&mut self, scene: &Scene) -> Result<(), Failure> {
        let person = &PEOPLE[scene.who];
        let now = self.stage.clock.now();
        if !scene.says.is_empty() {
            self.say(&format!("{}  ・ {} {}\n", self.stage.civil(now), pad(person.name), scene.says))?;
        }
        match &scene.does {
            Does::Event(name, data) => {
                let id = format!("{}-{}-{}", person.id, scene.day, scene.time);
                let event = json!({
                    "id": id, "name": name, "member": person.id, "at": now.to_string(), "data": data(),
                });
                self.stage.post_event(&event).await?;
            }
            Does::Block => self.stage.act(UserId::from_bits(person.user), Act::Unfollow).await?,
            Does::Unblock => self.stage.act(UserId::from_bits(person.user), Act::Follow).await?,
            Does::Kill => self.kill().await?,
        }
        Ok(())
    }

    /// Kills the daemon the hard way while it is busy, and starts it again.
    async fn kill(&mut self) -> Result<(), Failure> {
        // LINE has taken a push and the daemon does not know yet: the worst moment there is
        let arrival = self.stage.sandbox.next_received(self.received);
        let arrived = tokio::time::timeout(KILL_WAIT, arrival).await.is_ok();
        let pid = self.stage.kill()?;
        for (at, text) in self.receipts() {
            self.say(&format!("{}{text}\n", self.stage.civil(at)))?;
        }
        self.say(&format!(
            "{}  ⚡ kill -9 {pid}: {}\n",
            self.stage.civil(self.stage.clock.now()),
            match arrived {
                true => "LINE has taken a push, and the daemon dies before it hears so",
                false => "the daemon dies without a word",
            }
        ))?;
        let began = Monotonic::now();
        self.stage.restart().await?;
        let took = began.elapsed().as_millis();
        self.say(&format!(
            "{}  ▶ started again, ready after {took} ms; what was in flight goes on with the same keys\n",
            self.stage.civil(self.stage.clock.now())
        ))?;
        Ok(())
    }

    /// Prints what happens until an instant of the members' time.
    async fn watch_until(&mut self, until: Timestamp) -> Result<(), Failure> {
        loop {
            let left = self.stage.clock.until(until);
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
            let timeline = self.stage.timeline(person.id).await?;
            let seen = self.printed.insert(person.id, timeline.happened.len()).unwrap_or(0);
            for happened in timeline.happened.iter().skip(seen) {
                if let Some(text) = self.tell(happened) {
                    news.push((happened.at, format!("    {} {text}", pad(person.name))));
                }
            }
        }
        news.sort_by_key(|(at, _)| *at);
        for (at, text) in news {
            self.say(&format!("{}{text}\n", self.stage.civil(at)))?;
        }
        Ok(())
    }

    /// What people have received since the last look.
    fn receipts(&mut self) -> Vec<(Timestamp, String)> {
        let mut news = Vec::new();
        for receipt in self.stage.sandbox.received(self.received) {
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
                let until = happened.until.map(|until| self.stage.civil(until)).unwrap_or_default();
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

    /// Adds up, at LINE's end, what people received.
    async fn finish(mut self) -> Result<(), Failure> {
        let stats = self.stage.sandbox.stats();
        let mut accepted = 0;
        let mut skipped = 0;
        for person in &PEOPLE {
            let timeline = self.stage.timeline(person.id).await?;
            accepted += timeline.happened.iter().filter(|h| h.what == "accepted").count() as u64;
            skipped += timeline.happened.iter().filter(|h| h.what == "skipped").count();
        }
        self.stage.kill()?;
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

    fn say(&self, text: &str) -> Result<(), Failure> {
        print(text)
    }
}
