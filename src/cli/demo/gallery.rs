//! All shipped scenarios with their sample events, from April to December, in a minute or two.
//!
//! What the engine says to the same events in this process is the plan. The daemon lives it for real: it is killed
//! whenever a longer time would pass in which nothing happens, and wakes up when that is over, as after
//! an outage; and it is killed while pushes are on their way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::simulate::{lines_of, message_text};
use super::super::{FOUND_PROBLEMS, Failure, print};
use super::stage::{Setting, Stage, pad, wrapped};
use crate::clock::Monotonic;
use crate::model::What;
use crate::sandbox::{Act, UserId};
use crate::scenario::load::load;
use crate::scenario::source::Sources;
use crate::scenario::{Defaults, ScenarioSet};

/// Files of `scenarios/`, so that the demo needs nothing but the binary.
macro_rules! shipped {
    ($folder:literal, $extension:literal: $($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!("../../../scenarios/", $folder, $name, $extension)),
        )),*]
    };
}

const FILES: &[(&str, &str)] = &shipped!("", "":
    "after-registration.yaml",
    "birthday-month.yaml",
    "cart-left.yaml",
    "closed-sale.yaml",
    "dormant.yaml",
    "early-access.yaml",
    "first-purchase-coupon.yaml",
    "interview-reminder.yaml",
    "job-match.yaml",
    "link-request.yaml",
    "nearest-store.yaml",
    "never-bought.yaml",
    "points-expiring.yaml",
    "points-monthly.yaml",
    "recommendation.yaml",
    "refill.yaml",
    "reservation-reminder.yaml",
    "restock.yaml",
    "shipping.yaml",
    "store-purchase-coupon.yaml",
    "survey-dry-skin.yaml",
    "survey.yaml",
    "trial-followup.yaml",
    "visit-stamps.yaml",
    "welcome.yaml",
    "wishlist-price-drop.yaml",
    "flex/birthday.json",
    "flex/cart.json",
    "flex/coupon.json",
    "flex/first-order.json",
    "flex/online-coupon.json",
    "flex/price-drop.json",
    "flex/second-purchase.json",
    "flex/shipped.json",
    "flex/stamp-reward.json",
    "flex/welcome-back.json",
);

/// The sample events of each scenario.
const EVENTS: &[(&str, &str)] = &shipped!("events/", ".ndjson":
    "after-registration",
    "birthday-month",
    "cart-left",
    "closed-sale",
    "dormant",
    "early-access",
    "first-purchase-coupon",
    "interview-reminder",
    "job-match",
    "link-request",
    "nearest-store",
    "never-bought",
    "points-expiring",
    "points-monthly",
    "recommendation",
    "refill",
    "reservation-reminder",
    "restock",
    "shipping",
    "store-purchase-coupon",
    "survey-dry-skin",
    "survey",
    "trial-followup",
    "visit-stamps",
    "welcome",
    "wishlist-price-drop",
);

/// How long it takes if nothing is said, in seconds.
pub(super) const SECONDS: u32 = 60;

/// When the sample events begin, and when the demo ends: after the sale in December.
const START: &str = "2026-04-06T05:00:00+09:00";
const END: &str = "2026-12-14T00:00:00+09:00";

/// What a jump to a later time costs: the daemon is killed and started again.
const JUMP_TAKES: Duration = Duration::from_millis(200);

/// How much of it passes on the new daemon's clock until it is ready.
const WAKING_TAKES: Duration = Duration::from_millis(120);

/// How long before the next thing that happens a jump ends.
const LEAD: SignedDuration = SignedDuration::from_mins(2);

/// How fast time may pass, in seconds there for a second here. A push takes some 50 ms, and must not come
/// hours late by it, nor be under way for the day after which LINE forgets its key; and nobody wants to wait
/// for minutes of nothing.
const FASTEST: f64 = 2.0 * 3600.0;
const SLOWEST: f64 = 1800.0;

/// How often the daemon is killed while pushes are on their way.
const KILLS: usize = 5;

/// How long a kill waits for a push to fall into.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// How long a jump waits for what should have come by now…
const LATE_WAIT: Duration = Duration::from_secs(2);

/// …and for what is in flight, without which it does not take place.
const FLIGHT_WAIT: Duration = Duration::from_secs(20);

/// How often the text of a step is shown; who gets it later is told in one line.
const SHOWN: u64 = 2;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long LINE takes to answer.
const LINE_TAKES: Duration = Duration::from_millis(20);

/// The LINE user of the first member; the others are numbered on from here.
const FIRST_USER: u128 = 0x1001;

/// Plays the gallery in about so many seconds.
pub(super) async fn play(seconds: u32) -> Result<(), Failure> {
    let script = Script::write()?;
    Demo::start(script, seconds).await?.play().await
}

/// One line of the sample events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    at: Timestamp,
    member: String,
    name: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    attributes: Option<Value>,
    tags: Option<Value>,
    #[expect(dead_code, reason = "LINE's event beside it makes the change")]
    friend: Option<bool>,
    /// Told apart by it from what else happens at the same instant.
    #[serde(skip)]
    number: usize,
}

/// What happens, and what must come of it.
struct Script {
    set: Arc<ScenarioSet>,
    /// By time.
    inputs: Vec<Input>,
    /// By time.
    planned: Vec<Planned>,
    people: HashMap<String, Person>,
}

/// A message that the engine plans.
struct Planned {
    at: Timestamp,
    member: String,
    scenario: String,
    step: String,
    messages: String,
}

struct Person {
    user: UserId,
    name: String,
    /// No member of the shop: the friend's file is made by LINE's events.
    is_stranger: bool,
}

impl Script {
    fn write() -> anyhow::Result<Script> {
        let named = FILES.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        let loaded = load(&Sources::from_files(named), &Defaults::default());
        let set =
            Arc::new(loaded.set.with_context(|| format!("the gallery is broken: {:?}", loaded.findings))?);
        let mut texts = Vec::new();
        for (id, events) in EVENTS {
            for line in events.lines() {
                let mut line: Value =
                    serde_json::from_str(line).with_context(|| format!("events of {id}"))?;
                let member = line["member"].as_str().context("an event without a member")?;
                // each scenario has members of its own
                if !member.starts_with("line:") {
                    line["member"] = json!(format!("{id}.{member}"));
                }
                texts.push(line.to_string());
            }
        }
        let mut inputs = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let input: Input = serde_json::from_str(text).with_context(|| text.clone())?;
            inputs.push(Input { number, ..input });
        }
        inputs.sort_by_key(|input| input.at);
        let end = END.parse().expect("the constant is a time");
        let events = texts.join("\n");
        let lines = lines_of(&set, ("events", &events), end).map_err(|failure| anyhow!(failure.message))?;
        let mut planned: Vec<Planned> = Vec::new();
        for line in &lines {
            let happening = &line.what.happening;
            if happening.what == What::Accepted
                && let (Some(scenario), Some(messages)) = (&happening.scenario, &line.messages)
            {
                planned.push(Planned {
                    at: happening.at,
                    member: line.what.member.to_string(),
                    scenario: scenario.to_string(),
                    step: happening.step.as_ref().map(ToString::to_string).unwrap_or_default(),
                    messages: messages.to_string(),
                });
            }
        }
        let people = people(&inputs)?;
        Ok(Script { set, inputs, planned, people })
    }

    /// The instants at which something happens, in order.
    fn moments(&self) -> Vec<Timestamp> {
        let inputs = self.inputs.iter().map(|input| input.at);
        let mut moments: Vec<Timestamp> =
            inputs.chain(self.planned.iter().map(|planned| planned.at)).collect();
        moments.sort();
        moments.dedup();
        moments
    }

    fn title<'a>(&'a self, scenario: &'a str) -> &'a str {
        let found = self.set.iter().find(|found| found.id.as_str() == scenario);
        found.and_then(|found| found.title.as_deref()).unwrap_or(scenario)
    }
}

fn people(inputs: &[Input]) -> anyhow::Result<HashMap<String, Person>> {
    let mut people: HashMap<String, Person> = HashMap::new();
    for input in inputs {
        let number = people.len() as u128;
        let stranger = input.member.strip_prefix("line:");
        let user = match stranger {
            Some(user) => user.parse().map_err(|_| anyhow!("{user} is no LINE user"))?,
            None => UserId::from_bits(FIRST_USER + number),
        };
        let short = input.member.rsplit('.').next().unwrap_or_default().to_owned();
        let person = people.entry(input.member.clone()).or_insert_with(|| Person {
            user,
            name: if stranger.is_some() { "?".to_owned() } else { short },
            is_stranger: stranger.is_some(),
        });
        if let Some(name) = input.attributes.as_ref().and_then(|found| found["name"].as_str()) {
            name.clone_into(&mut person.name);
        }
    }
    Ok(people)
}

/// The speed at which the moments take so many seconds, jumps among them.
fn speed_for(moments: &[Timestamp], seconds: u32) -> f64 {
    let gaps: Vec<f64> =
        moments.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect();
    let jump = |speed: f64| (JUMP_TAKES + WAKING_TAKES).as_secs_f64() + LEAD.as_secs_f64() / speed;
    let takes = |speed: f64| gaps.iter().map(|gap| (gap / speed).min(jump(speed))).sum::<f64>();
    let (mut slow, mut fast) = (SLOWEST, FASTEST);
    // halved until it is exact to a second or so
    for _ in 0..20 {
        let middle = (slow + fast) / 2.0;
        if takes(middle) > f64::from(seconds) { slow = middle } else { fast = middle }
    }
    fast
}

struct Demo {
    stage: Stage,
    script: Script,
    speed: f64,
    /// Receipts looked at.
    received: u64,
    /// What each person received, as often as it came.
    receipts: HashMap<(String, String), u64>,
    /// Planned messages that have not come and are not waited for any more.
    missing: u64,
    /// How often each step was shown, by scenario and step.
    shown: HashMap<(String, String), u64>,
    known: HashSet<String>,
    jumps: usize,
    kills: usize,
}

impl Demo {
    async fn start(script: Script, seconds: u32) -> anyhow::Result<Demo> {
        let start = START.parse().expect("the constant is a time");
        let speed = speed_for(&script.moments(), seconds);
        let stage = Stage::start(&Setting { files: FILES, start, speed, line_takes: LINE_TAKES }).await?;
        let (receipts, shown, known) = (HashMap::new(), HashMap::new(), HashSet::new());
        Ok(Demo { stage, script, speed, received: 0, receipts, missing: 0, shown, known, jumps: 0, kills: 0 })
    }

    async fn play(mut self) -> Result<(), Failure> {
        print(&format!(
            "\n  {} scenarios, {} members, April to December. A real daemon, a real store, and a stand-in for LINE\n  \
             that often fails. One second here is {:.1} hours there, so the milliseconds of a push show as minutes;\n  \
             over longer times of silence the daemon is killed, and started again when they have passed.\n\n",
            self.script.set.iter().count(),
            self.script.people.len(),
            self.speed / 3600.0
        ))?;
        // the daemon's clock began before ours: both begin anew
        self.stage.restart().await?;
        let moments = self.script.moments();
        let inputs = std::mem::take(&mut self.script.inputs);
        let mut inputs = inputs.iter().peekable();
        let sending = self.sending_moments();
        for moment in moments {
            self.jump_near(moment).await?;
            self.watch_until(moment).await?;
            while let Some(input) = inputs.next_if(|input| input.at <= moment) {
                self.perform(input).await?;
            }
            if sending.contains(&moment) {
                self.kill_in_flight(moment).await?;
            }
        }
        let end: Timestamp = END.parse().expect("the constant is a time");
        self.settle(end).await?;
        self.finish().await
    }

    /// Moments at which pushes leave, spread over the whole: the daemon is killed there.
    fn sending_moments(&self) -> HashSet<Timestamp> {
        let mut moments: Vec<Timestamp> = self.script.planned.iter().map(|planned| planned.at).collect();
        moments.dedup();
        let every = moments.len() / (KILLS + 1);
        moments.into_iter().skip(every).step_by(every.max(1)).take(KILLS).collect()
    }

    /// Where nothing happens for long, ends the daemon and starts it shortly before something does.
    async fn jump_near(&mut self, moment: Timestamp) -> Result<(), Failure> {
        let waking = SignedDuration::try_from_secs_f64(WAKING_TAKES.as_secs_f64() * self.speed);
        let target = moment - LEAD - waking.expect("the speed is bounded");
        if self.stage.clock.until(target) <= JUMP_TAKES {
            return Ok(());
        }
        let is_quiet = self.settle(self.stage.clock.now()).await?;
        if is_quiet && self.stage.clock.now() < target {
            self.stage.restart_at(target).await?;
            self.jumps += 1;
        }
        Ok(())
    }

    /// Waits until all that is planned before has been received, and nothing is on its way; false if something
    /// stays on its way.
    async fn settle(&mut self, before: Timestamp) -> Result<bool, Failure> {
        let planned = self.script.planned.iter().filter(|planned| planned.at <= before).count() as u64;
        let began = Monotonic::now();
        loop {
            self.look()?;
            let received = self.receipts.values().sum::<u64>() + self.missing;
            let is_quiet = self.stage.in_flight().await? == 0;
            if received < planned && is_quiet && began.elapsed() > LATE_WAIT {
                // told at the end; the next jump does not wait for it again
                self.missing += planned - received;
                return Ok(true);
            }
            if received >= planned && is_quiet {
                return Ok(true);
            }
            if began.elapsed() > FLIGHT_WAIT {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills the daemon when LINE has taken a push of which the daemon does not know yet.
    async fn kill_in_flight(&mut self, moment: Timestamp) -> Result<(), Failure> {
        let arrival = self.stage.sandbox.next_received(self.received);
        let arrived = tokio::time::timeout(KILL_WAIT, arrival).await.is_ok();
        let pid = self.stage.kill()?;
        self.kills += 1;
        self.look()?;
        print(&format!(
            "{}  ⚡ kill -9 {pid}: {}\n",
            self.stage.civil(self.stage.clock.now().max(moment)),
            match arrived {
                true => "LINE has taken a push, and the daemon dies before it hears so",
                false => "the daemon dies without a word",
            }
        ))?;
        self.stage.restart().await?;
        Ok(())
    }

    async fn watch_until(&mut self, until: Timestamp) -> Result<(), Failure> {
        loop {
            let left = self.stage.clock.until(until);
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            self.look()?;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Does what one line of the sample events says, as the shop or as the person with LINE on the phone.
    async fn perform(&mut self, input: &Input) -> Result<(), Failure> {
        let (user, name, is_stranger) = {
            let person = &self.script.people[&input.member];
            (person.user, person.name.clone(), person.is_stranger)
        };
        let path = format!("/v1/members/{}", input.member);
        if self.known.insert(input.member.clone()) && !is_stranger {
            self.stage.put(&path, &json!({ "line_user_id": user.to_string() })).await?;
        }
        if input.attributes.is_some() || input.tags.is_some() {
            let mut body = json!({ "notify": true });
            let fields = [("attributes", &input.attributes), ("tags", &input.tags)];
            for (field, value) in
                fields.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?)))
            {
                body[field] = value.clone();
            }
            self.stage.put(&path, &body).await?;
        }
        // a change of friendship comes with LINE's event for it, which makes it
        let Some(event) = &input.name else { return Ok(()) };
        print(&format!("{}  ・ {} {event}\n", self.stage.civil(self.stage.clock.now()), pad(&name)))?;
        let text = |field: &str| input.data.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.as_str() {
            "line.follow" => self.stage.act(user, Act::Follow).await?,
            "line.unfollow" => self.stage.act(user, Act::Unfollow).await?,
            "line.postback" => self.stage.act(user, Act::Postback { data: text("data") }).await?,
            "line.message" => self.stage.act(user, Act::Message { text: text("text") }).await?,
            _ => {
                let id = format!("gallery-{}", input.number);
                let event = json!({
                    "id": id, "name": event, "member": input.member, "at": input.at.to_string(), "data": input.data,
                });
                self.stage.post_event(&event).await?;
            }
        }
        Ok(())
    }

    /// Prints what people have received since the last look.
    fn look(&mut self) -> Result<(), Failure> {
        for receipt in self.stage.sandbox.received(self.received) {
            self.received = receipt.seq;
            let found = self.script.people.iter().find(|(_, person)| person.user == receipt.user_id);
            let Some((member, person)) = found else {
                return Err(Failure::problem(format!("somebody unknown received message {}", receipt.seq)));
            };
            let messages = receipt.messages.as_deref().map(ToString::to_string).unwrap_or_default();
            let mut planned = self.script.planned.iter();
            let planned = planned.find(|planned| planned.member == *member && planned.messages == messages);
            let title = planned.map_or("not planned", |planned| self.script.title(&planned.scenario));
            let times = planned.map_or(0, |planned| {
                let step = (planned.scenario.clone(), planned.step.clone());
                *self.shown.entry(step).and_modify(|times| *times += 1).or_insert(1)
            });
            let mut line = format!("{}  ✉ {} 【{title}】\n", self.stage.civil(receipt.at), pad(&person.name));
            if times <= SHOWN {
                let sent = receipt.messages.as_deref().and_then(Value::as_array).into_iter().flatten();
                let lines = sent.flat_map(|message| wrapped(&message_text(message)));
                line.extend(lines.map(|text| format!("{:27}{text}\n", "")));
            }
            *self.receipts.entry((member.clone(), messages)).or_default() += 1;
            print(&line)?;
        }
        Ok(())
    }

    /// Compares what people received, counted at LINE's end, with what was planned.
    async fn finish(mut self) -> Result<(), Failure> {
        let mut runs: BTreeMap<String, u64> = BTreeMap::new();
        let (mut accepted, mut unknown): (u64, u64) = (0, 0);
        for member in &self.known {
            for happened in self.stage.timeline(member).await?.happened {
                match (happened.what.as_str(), happened.scenario) {
                    ("enrolled", Some(scenario)) => *runs.entry(scenario).or_default() += 1,
                    ("accepted", _) => accepted += 1,
                    ("unknown", _) => unknown += 1,
                    _ => {}
                }
            }
        }
        self.stage.kill()?;
        let stats = self.stage.sandbox.stats();

        let mut planned: HashMap<(String, String), (String, u64)> = HashMap::new();
        for message in self.script.planned.drain(..) {
            let planned = planned.entry((message.member, message.messages));
            planned.or_insert_with(|| (message.scenario, 0)).1 += 1;
        }
        let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
        for (what, (scenario, times)) in &planned {
            let came = self.receipts.remove(what).unwrap_or_default();
            let [messages, foreseen, twice] = counts.entry(scenario).or_default();
            *messages += came;
            *foreseen += times;
            *twice += came.saturating_sub(*times);
        }
        let mut table = "\n   runs  messages  planned  twice  scenario\n".to_owned();
        let mut totals = [0; 4];
        for scenario in self.script.set.iter() {
            let id = scenario.id.as_str();
            let [messages, foreseen, twice] = counts.get(id).copied().unwrap_or_default();
            let runs = runs.get(id).copied().unwrap_or_default();
            for (total, count) in totals.iter_mut().zip([runs, messages, foreseen, twice]) {
                *total += count;
            }
            let title = self.script.title(id);
            table += &format!("  {runs:5}  {messages:8}  {foreseen:7}  {twice:5}  {id}  {title}\n");
        }
        let [runs, messages, foreseen, twice] = totals;
        let twice_at_all = stats.duplicates + twice;
        // what the daemon takes for accepted and LINE has not, and what LINE has and the daemon does not know of
        let lost =
            accepted.saturating_sub(stats.receipts) + stats.receipts.saturating_sub(accepted + unknown);
        let faults = stats.faults.error_before + stats.faults.error_after + stats.faults.throttle;
        print(&format!(
            "{table}  {runs:5}  {messages:8}  {foreseen:7}  {twice:5}\n\n  \
             {} messages received, counted at LINE's end. Sent twice: {twice_at_all}. Lost: {lost}. Unknown: {unknown}.\n  \
             LINE failed {faults} times, {} of them after it had taken the push already. The daemon was killed {} times,\n  \
             {} of them while pushes were on their way, and {} times LINE answered \"409, I have it\".\n\n",
            stats.receipts,
            stats.faults.error_after,
            self.jumps + self.kills,
            self.kills,
            stats.already_accepted,
        ))?;
        if unknown > 0 {
            print(
                "  What is unknown had not been answered for when its send hours ended or its key's day passed: at this pace\n  \
                 that is soon. It is not sent again unless an operator says so.\n\n",
            )?;
        }
        let unplanned: u64 = self.receipts.values().sum();
        if unplanned > 0 || messages != foreseen {
            print(
                "  Not all is as planned: this machine was too slow for the pace, and something came too late to be\n  \
                 of use. Try a longer `--seconds`.\n\n",
            )?;
        }
        let good = twice_at_all == 0 && lost == 0;
        if good { Ok(()) } else { Err(Failure::silent(FOUND_PROBLEMS)) }
    }
}

#[cfg(test)]
mod tests;
