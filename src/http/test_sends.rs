//! `POST /v1/test-sends`: a step's message to a tester, now, beside all runs.
//!
//! It touches no run, counter, cap or history: nothing is stored. What it owes to LINE it owes all the same:
//! one retry key for each send, the pace of pushes, holds, and nobody who must not be sent to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::plans::{QuotaView, quota};
use super::{Api, MAX_BODY_BYTES, Problem, bulk, events, members, read, scenarios};
use crate::clock::Monotonic;
use crate::dispatch::courier::{Gate, Pace};
use crate::engine::specimen::{self, Setting};
use crate::engine::suppression;
use crate::line::{self, Client, Outcome, Refusal, Throttle};
use crate::model::{Attributes, LineUserId, MemberFile, MemberId, ScenarioId};
use crate::scenario::finding::{Finding, Severity, did_you_mean};
use crate::scenario::load::{Loaded, load, scenarios_entered};
use crate::scenario::sample::{Sample, samples};
use crate::scenario::source::{Sources, is_scenario};
use crate::scenario::{Defaults, Scenario, Step, message};
use crate::store;

/// What every test send begins with.
const MARK: &str = "【テスト配信】";

/// Attempts for one request, under one retry key.
const MAX_ATTEMPTS: u32 = 4;

/// How long the first repetition waits; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How often a test send may be asked for: once in this, on average.
const EACH: Duration = Duration::from_secs(1);

/// How many may come at once.
const BURST: u32 = 10;

/// How long LINE knows a retry key. Source: LINE Developers, "Retry failed API requests".
const KEY_LIVES: Duration = Duration::from_secs(24 * 60 * 60);

/// Requests that are remembered by their id. Beyond it the oldest are forgotten, and a repetition of one is
/// still known to LINE by its key.
const MAX_REMEMBERED: usize = 100;

/// Names the keys of test sends, so that none is a delivery's.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1b_8f0e_52a4_5c0b_9c57_2d1c_3b8a_4e90);

/// What test sends are made with.
#[derive(Debug)]
pub struct TestSends {
    client: Client,
    pace: Pace,
    gate: Gate,
    terms: RwLock<Terms>,
    allowance: Mutex<Allowance>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

/// What the configuration says about them.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The only members that may get one.
    pub testers: Vec<MemberId>,
    /// What files that are not live get where they do not say for themselves.
    pub defaults: Defaults,
}

impl TestSends {
    /// Over the couriers' own client, pace and gate.
    pub fn new(client: Client, pace: Pace, gate: Gate, terms: Terms) -> TestSends {
        TestSends {
            client,
            pace,
            gate,
            terms: RwLock::new(terms),
            allowance: Mutex::default(),
            remembered: Mutex::default(),
        }
    }

    /// Takes over what the configuration says now.
    pub fn set_terms(&self, terms: Terms) {
        *self.terms.write().expect("no holder of this lock panics") = terms;
    }

    fn terms(&self) -> Terms {
        self.terms.read().expect("no holder of this lock panics").clone()
    }
}

/// Paces requests, so that a loop in somebody's script cannot run away.
#[derive(Debug)]
struct Allowance {
    start: Monotonic,
    /// The moment at which what was given out so far would be paid for.
    paid_at: Duration,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { start: Monotonic::now(), paid_at: Duration::ZERO }
    }
}

impl Allowance {
    /// # Errors
    /// How long to wait.
    fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let now = now + EACH * BURST;
        let paid_at = self.paid_at.max(now - EACH * BURST) + EACH;
        if paid_at > now {
            return Err(paid_at - now);
        }
        self.paid_at = paid_at;
        Ok(())
    }
}

/// A request that came with an id.
#[derive(Debug)]
struct Remembered {
    since: Monotonic,
    /// What was asked for, by its bytes.
    asked: [u8; 32],
    fate: Fate,
}

#[derive(Clone, Debug)]
enum Fate {
    UnderWay,
    Accepted(Box<TestSendView>),
    /// LINE may have it: only the same bytes under the same key can tell.
    Unclear(Arc<Letter>),
}

/// What goes out.
#[derive(Debug)]
struct Letter {
    to: LineUserId,
    bytes: Vec<u8>,
    view: TestSendView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestSendBody {
    id: Option<String>,
    scenario: String,
    step: String,
    member: String,
    /// The data of a made-up event.
    data: Option<Attributes>,
    /// Which of the file's samples is the event, from 1.
    sample: Option<usize>,
    /// The scenario's file, and those that it includes, in place of what is live.
    files: Option<Vec<FileBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBody {
    name: String,
    text: String,
}

/// What became of a test send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSendView {
    pub member: String,
    pub scenario: String,
    pub step: String,
    /// `accepted`, `refused`, `not_sent` or `unclear`.
    pub outcome: String,
    /// Why it was not accepted, or is unclear; and what else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// True if an earlier request with the same id was the one that LINE took.
    pub repeated: bool,
    /// Requests made to LINE for it.
    pub attempts: u32,
    /// Where the event came from: `data`, `sample`, `run` or `none`.
    pub event: String,
    /// Where it says that it is a test: `bubble`, `text` or `alt_text`.
    pub mark: String,
    /// What was sent, LINE's message objects.
    pub messages: Vec<Value>,
    /// The month's quota as LINE told it last; what was accepted counts against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaView>,
}

/// Why nothing was sent: a problem, and what is wrong with the files.
#[derive(Debug)]
pub(super) struct Refused {
    problem: Problem,
    findings: Vec<Finding>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused { problem, findings: Vec::new() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused { problem, findings } = self;
        if findings.is_empty() {
            return problem.into_response();
        }
        problem.with(Map::from_iter([("findings".to_owned(), json!(findings))]))
    }
}

fn refuse(status: u16, detail: impl Into<String>) -> Refused {
    Problem::new(status, detail).into()
}

pub(super) async fn post(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TestSendView>, Refused> {
    let bytes = bulk::whole(&headers, body, MAX_BODY_BYTES).await?;
    let wish: TestSendBody = serde_json::from_str(bulk::one(bulk::utf8(&bytes)?)?)
        .map_err(|error| refuse(422, format!("the test send is malformed: {error}")))?;
    if let Some(id) = &wish.id {
        events::check_id(id).map_err(|error| refuse(422, error))?;
    }
    let asked: [u8; 32] = Sha256::digest(&bytes).into();
    let sends = Arc::clone(&api.test_sends);
    sends.allow()?;
    let terms = sends.terms();
    let file = tester(&api, &wish.member, &terms).await?;
    let earlier = wish.id.as_deref().map(|id| sends.recall(id, asked)).transpose()?.flatten();
    if let Some(Fate::Accepted(view)) = earlier {
        return Ok(Json(TestSendView { repeated: true, attempts: 0, ..*view }));
    }
    refuse_held(&api)?;
    let letter = match earlier {
        Some(Fate::Unclear(letter)) => match &file.link {
            Some(link) if link.user == letter.to => letter,
            _ => return Err(refuse(409, "the member's LINE user has changed since; use another `id`")),
        },
        _ => Arc::new(letter(&api, &wish, &terms, &file).await?),
    };
    let key = match &wish.id {
        // what else is asked for under this id, once it is forgotten here, must not be taken for it by LINE
        Some(id) => Uuid::new_v5(&NAMESPACE, &[id.as_bytes(), &asked].concat()),
        None => Uuid::new_v5(&NAMESPACE, &store::draw_identity()),
    };
    if let Some(id) = &wish.id {
        sends.begin(id, asked)?;
    }
    // what has begun is brought to its end, also when nobody waits for it any more
    let sending = tokio::spawn(send(api.clone(), key, wish.id, asked, letter, file.id.clone()));
    let view = sending.await.map_err(|_| refuse(500, "the test send panicked; it may have been sent"))?;
    Ok(Json(view))
}

impl TestSends {
    fn allow(&self) -> Result<(), Refused> {
        let mut allowance = self.allowance.lock().expect("no holder of this lock panics");
        let now = allowance.start.elapsed();
        allowance.take(now).map_err(|wait| {
            let wait = wait.as_secs_f64().ceil();
            refuse(429, format!("too many test sends: one a second, {BURST} at once; wait {wait} s"))
        })
    }

    /// What became of an earlier request with this id; none if there was none, or LINE surely has nothing of it.
    fn recall(&self, id: &str, asked: [u8; 32]) -> Result<Option<Fate>, Refused> {
        let mut remembered = self.remembered.lock().expect("no holder of this lock panics");
        remembered.retain(|_, known| known.since.elapsed() < KEY_LIVES);
        match remembered.get(id) {
            None => Ok(None),
            Some(known) if known.asked != asked => {
                Err(refuse(409, "this `id` was used for another test send; use one of its own"))
            }
            Some(Remembered { fate: Fate::UnderWay, .. }) => {
                Err(refuse(409, "a test send with this `id` is under way; ask again in a minute"))
            }
            Some(known) => Ok(Some(known.fate.clone())),
        }
    }

    /// Notes that a send with this id begins; two must not go on at once under one key.
    fn begin(&self, id: &str, asked: [u8; 32]) -> Result<(), Refused> {
        let mut remembered = self.remembered.lock().expect("no holder of this lock panics");
        if matches!(remembered.get(id), Some(Remembered { fate: Fate::UnderWay, .. })) {
            return Err(refuse(409, "a test send with this `id` is under way; ask again in a minute"));
        }
        if remembered.len() >= MAX_REMEMBERED && !remembered.contains_key(id) {
            let idle = remembered.iter().filter(|(_, known)| !matches!(known.fate, Fate::UnderWay));
            match idle.max_by_key(|(_, known)| known.since.elapsed()).map(|(id, _)| id.clone()) {
                Some(oldest) => drop(remembered.remove(&oldest)),
                None => return Err(refuse(429, "too many test sends are under way; wait for one to end")),
            }
        }
        let begun = Remembered { since: Monotonic::now(), asked, fate: Fate::UnderWay };
        remembered.insert(id.to_owned(), begun);
        Ok(())
    }

    fn end(&self, id: &str, asked: [u8; 32], fate: Option<Fate>) {
        let mut remembered = self.remembered.lock().expect("no holder of this lock panics");
        match fate {
            Some(fate) => {
                let since = Monotonic::now();
                remembered.insert(id.to_owned(), Remembered { since, asked, fate });
            }
            None => drop(remembered.remove(id)),
        }
    }
}

/// The file of a member who may get test sends, and can.
async fn tester(api: &Api, member: &str, terms: &Terms) -> Result<MemberFile, Refused> {
    let file = members::load(&State(api.clone()), member).await.map_err(|problem| match problem.status {
        404 => Problem::new(404, format!("there is no member `{member}`; ids are the shop's own")),
        _ => problem,
    })?;
    if !terms.testers.contains(&file.id) {
        let detail = format!(
            "`{member}` is no tester, and members get no test sends: add it to `testers` in the configuration \
             (testers: [{member}]) and reload the daemon"
        );
        return Err(refuse(403, detail));
    }
    Ok(file)
}

fn refuse_held(api: &Api) -> Result<(), Refused> {
    let holds = api.desk.status().holds();
    if holds.is_empty() {
        return Ok(());
    }
    let why: Vec<String> = holds.iter().map(|hold| format!("{} ({})", hold.word(), hold.remedy())).collect();
    Err(refuse(409, format!("sends are on hold, and so are test sends: {}", why.join("; "))))
}

/// What goes to the member, from what was asked for.
async fn letter(api: &Api, wish: &TestSendBody, terms: &Terms, file: &MemberFile) -> Result<Letter, Refused> {
    let id = ScenarioId::new(&wish.scenario).map_err(|error| refuse(422, error.to_string()))?;
    let (scenario, samples) = match &wish.files {
        Some(files) => edited(api, &id, files, terms).await?,
        None => live(api, &id).await?,
    };
    if let Some(reason) = suppression::suppression(file, scenario.topic.as_deref()) {
        let why = match reason.word() {
            "unlinked" => "no LINE user is linked to the member: `PUT /v1/members/{id}` with `line_user_id`",
            "blocked" => "the member has blocked the account in LINE, and must unblock it there",
            _ => "the member has opted out: `amadare member optin`",
        };
        return Err(refuse(409, format!("nothing was sent ({}): {why}", reason.word())));
    }
    let step = find_step(&scenario, &wish.step)?;
    let Some(written) = step.messages() else {
        return Err(refuse(422, format!("step `{}` sends no message", step.id)));
    };
    let now = api.clock.now();
    let (setting, event) = setting(wish, file, &scenario, samples, now)?;
    let rendered = specimen::messages(file, &scenario, written, &setting, now)
        .map_err(|reason| refuse(422, unrendered(&reason, &event)))?;
    let messages: Vec<Value> = serde_json::from_str(&rendered).expect("rendered messages are a JSON array");
    let title = format!("{MARK}{}/{}", scenario.id, step.id);
    let (messages, mark) = marked(messages, &title).map_err(|why| refuse(422, why))?;
    message::check_rendered(&messages)
        .map_err(|why| refuse(422, format!("with its mark, LINE would refuse it: {why}")))?;
    let to = file.link.as_ref().expect("an unlinked member is refused above").user.clone();
    let (head, tail) = line::push_body_around(to.as_str(), written.silent);
    let bytes = format!("{head}{}{tail}", Value::Array(messages.clone())).into_bytes();
    let view = TestSendView {
        member: file.id.to_string(),
        scenario: scenario.id.to_string(),
        step: step.id.to_string(),
        outcome: String::new(),
        detail: None,
        repeated: false,
        attempts: 0,
        event,
        mark: mark.into(),
        messages,
        quota: None,
    };
    Ok(Letter { to, bytes, view })
}

/// A scenario that runs, and the samples of its file as it was loaded.
async fn live(api: &Api, id: &ScenarioId) -> Result<(Arc<Scenario>, Vec<Sample>), Refused> {
    let scenario = scenarios::find(api, id.as_str()).map_err(|problem| {
        let known = api.scenarios();
        let known: Vec<&str> = known.iter().map(|scenario| scenario.id.as_str()).collect();
        let help = did_you_mean(id.as_str(), known).map(|help| format!("; {help}")).unwrap_or_default();
        Problem { detail: format!("{}{help}", problem.detail), ..problem }
    })?;
    let files = read(&State(api.clone()), store::load_scenario_files).await?;
    let own = files.iter().find(|(name, _)| is_scenario(name) && stem(name) == id.as_str());
    let samples = own.map_or(Vec::new(), |(_, bytes)| samples(bytes, &scenario.zone));
    Ok((scenario, samples))
}

/// A scenario from files that are not live, loaded as the live ones are.
async fn edited(
    api: &Api,
    id: &ScenarioId,
    files: &[FileBody],
    terms: &Terms,
) -> Result<(Arc<Scenario>, Vec<Sample>), Refused> {
    let mut own = files.iter().filter(|file| is_scenario(&file.name));
    let (Some(file), None) = (own.next(), own.next()) else {
        return Err(refuse(
            422,
            "`files` has one scenario file (.yaml), and the .json files that it includes",
        ));
    };
    // a draft may be called as its author likes
    let name = format!("{id}.yaml");
    let included = files.iter().filter(|file| !is_scenario(&file.name));
    let mut sources: Vec<(String, Vec<u8>)> =
        included.map(|file| (file.name.clone(), file.text.clone().into_bytes())).collect();
    sources.push((name.clone(), file.text.clone().into_bytes()));
    if !scenarios_entered(&name, file.text.as_bytes()).is_empty() {
        // what its steps start must be there
        let others = read(&State(api.clone()), store::load_scenario_files).await?;
        let is_other = |name: &str| !is_scenario(name) || stem(name) != id.as_str();
        let others = others.into_iter().filter(|(name, _)| is_other(name));
        sources.extend(others.map(|(name, bytes)| (format!("live/{name}"), bytes)));
    }
    let defaults = terms.defaults.clone();
    let loaded = tokio::task::spawn_blocking(move || load(&Sources::from_files(sources), &defaults));
    let Loaded { set, findings } = loaded.await.map_err(|_| refuse(500, "loading the file panicked"))?;
    let mut findings: Vec<Finding> =
        findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    for finding in &mut findings {
        if finding.file == name {
            finding.file.clone_from(&file.name);
        }
    }
    if findings.iter().any(|finding| finding.code == "file-name" && finding.file == file.name) {
        let detail =
            format!("{} holds another scenario than `{id}`: name the one that stands in it", file.name);
        return Err(refuse(422, detail));
    }
    let scenario = set.as_ref().and_then(|set| set.get(id)).map(Arc::clone);
    match scenario {
        Some(scenario) => {
            let samples = samples(file.text.as_bytes(), &scenario.zone);
            Ok((scenario, samples))
        }
        None => {
            let errors = match findings.len() {
                1 => "an error".to_owned(),
                count => format!("{count} errors"),
            };
            let problem = Problem::new(422, format!("{} has {}; nothing was sent", file.name, errors));
            Err(Refused { problem, findings })
        }
    }
}

/// The name of a file without its folder and its ending.
fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn find_step<'a>(scenario: &'a Scenario, id: &str) -> Result<&'a Step, Refused> {
    scenario.steps.iter().find(|step| step.id.as_str() == id).ok_or_else(|| {
        let sending = scenario.steps.iter().filter(|step| step.messages().is_some());
        let known: Vec<&str> = sending.map(|step| step.id.as_str()).collect();
        let help = did_you_mean(id, known.iter().copied())
            .unwrap_or_else(|| format!("those that send are {}", known.join(", ")));
        refuse(404, format!("scenario `{}` has no step `{id}`; {help}", scenario.id))
    })
}

/// The run that the step is shown in, and where its event is from.
fn setting(
    wish: &TestSendBody,
    file: &MemberFile,
    scenario: &Scenario,
    samples: Vec<Sample>,
    now: jiff::Timestamp,
) -> Result<(Setting, String), Refused> {
    let of_sample = |sample: Sample| {
        (Setting::made_up(file, scenario, sample.event, sample.anchor, now), "sample".to_owned())
    };
    let run = || file.enrollments.iter().rfind(|run| run.scenario == scenario.id && run.is_live());
    match (&wish.data, wish.sample) {
        (Some(_), Some(_)) => Err(refuse(422, "give `data` or `sample`, not both")),
        (Some(data), None) => Ok((Setting::made_up(file, scenario, data.clone(), None, now), "data".into())),
        (None, Some(number)) => {
            let count = samples.len();
            let sample = number.checked_sub(1).and_then(|index| samples.into_iter().nth(index));
            sample.map(of_sample).ok_or_else(|| match count {
                0 => refuse(422, format!("the file of `{}` has no `samples`; give `data`", scenario.id)),
                _ => refuse(422, format!("there is no sample {number}: the file has 1 to {count}")),
            })
        }
        (None, None) => Ok(match (run(), samples.into_iter().next()) {
            (Some(run), _) => (Setting::of_run(run), "run".into()),
            (None, Some(sample)) => of_sample(sample),
            (None, None) => (Setting::made_up(file, scenario, Attributes::new(), None, now), "none".into()),
        }),
    }
}

/// Why a message cannot be made, and what to do.
fn unrendered(reason: &str, event: &str) -> String {
    let inner = reason.strip_prefix("render(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(reason);
    let missing = inner.strip_prefix("missing(").and_then(|rest| rest.strip_suffix(')'));
    match missing {
        Some(name) if name.starts_with("event") => {
            let from = match event {
                "data" => "the given data",
                "sample" => "the sample",
                "run" => "the member's run",
                _ => "nothing: no data was given, and the file has no samples",
            };
            format!(
                "the message cannot be made: `{name}` has no value (the event is from {from}); give it in `data` \
                 (--event-data)"
            )
        }
        Some(name) => format!(
            "the message cannot be made: `{name}` has no value for this member; tell the member's attribute, \
             or write a `default` in the template"
        ),
        None => format!("the message cannot be made: {inner}"),
    }
}

/// Says in the messages that they are a test: in a bubble of its own where there is room for one, else in the
/// first text, else where a notification shows it.
///
/// # Errors
/// There is no place for it.
fn marked(mut messages: Vec<Value>, title: &str) -> Result<(Vec<Value>, &'static str), String> {
    if messages.len() < message::MAX_MESSAGES {
        messages.insert(0, json!({ "type": "text", "text": title }));
        return Ok((messages, "bubble"));
    }
    // emojis stand in a text by their place, which must not move
    let has_room = |message: &Value, field: &str, most: usize| {
        message.get("emojis").is_none()
            && message
                .get(field)
                .and_then(Value::as_str)
                .is_some_and(|text| title.encode_utf16().count() + 1 + text.encode_utf16().count() <= most)
    };
    let places = [("text", "\n", message::TEXT, "text"), ("altText", " ", message::ALT_TEXT, "alt_text")];
    for (field, between, most, mark) in places {
        if let Some(first) = messages.iter_mut().find(|message| has_room(message, field, most)) {
            let text = first[field].as_str().unwrap_or_default();
            first[field] = format!("{title}{between}{text}").into();
            return Ok((messages, mark));
        }
    }
    Err("the step has five messages, LINE's most, and none with a text or `altText` that has room to say that \
         it is a test; take one message away to try it"
        .into())
}

/// Makes the attempts for a letter, and remembers what became of it.
async fn send(
    api: Api,
    key: Uuid,
    id: Option<String>,
    asked: [u8; 32],
    letter: Arc<Letter>,
    member: MemberId,
) -> TestSendView {
    let sends = Arc::clone(&api.test_sends);
    let (outcome, detail, attempts) = sends.attempts(key, &letter).await;
    let view =
        TestSendView { outcome: outcome.into(), detail, attempts, quota: quota(&api), ..letter.view.clone() };
    let (scenario, step) = (&view.scenario, &view.step);
    let member = member.for_log();
    tracing::info!(%member, scenario, step, retry_key = %key, outcome, attempts, "test send");
    if let Some(id) = id {
        let fate = match outcome {
            "accepted" => Some(Fate::Accepted(Box::new(view.clone()))),
            "unclear" => Some(Fate::Unclear(letter)),
            _ => None,
        };
        sends.end(&id, asked, fate);
    }
    view
}

impl TestSends {
    /// The outcome, what there is to say about it, and how many attempts it took.
    async fn attempts(&self, key: Uuid, letter: &Letter) -> (&'static str, Option<String>, u32) {
        let mut wait = FIRST_WAIT;
        let mut may_have_it = None;
        let mut why = String::new();
        for attempt in 1..=MAX_ATTEMPTS {
            if attempt > 1 {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            self.pace.keep().await;
            if !self.gate.is_open() {
                return unsent(may_have_it, "sends were put on hold meanwhile".into(), attempt - 1);
            }
            let outcome = self.client.push(key, letter.bytes.clone()).await;
            self.pace.heed(&outcome);
            match outcome {
                Outcome::Accepted { accepted_earlier, .. } => {
                    let detail =
                        accepted_earlier.then(|| "an earlier attempt was the one that LINE took".into());
                    return ("accepted", detail, attempt);
                }
                Outcome::Refused(refusal) => return ("refused", Some(refused(&refusal)), attempt),
                Outcome::Unauthorized { status, message } => {
                    let why = format!("LINE does not take the channel access token ({status} {message})");
                    return unsent(may_have_it, why, attempt);
                }
                Outcome::NoToken => {
                    return unsent(may_have_it, "the daemon has no channel access token".into(), attempt);
                }
                Outcome::Throttled(Throttle::MonthlyLimit) => {
                    return unsent(may_have_it, "the month's quota is used up".into(), attempt);
                }
                Outcome::Throttled(_) => why = "LINE wants fewer requests; try again in a minute".into(),
                Outcome::NotSent(error) => why = format!("LINE could not be reached: {error}"),
                Outcome::Ambiguous(error) => may_have_it = Some(error),
            }
        }
        unsent(may_have_it, why, MAX_ATTEMPTS)
    }
}

/// The outcome of what LINE has not accepted, as far as is known.
fn unsent(may_have_it: Option<String>, why: String, attempts: u32) -> (&'static str, Option<String>, u32) {
    match may_have_it {
        Some(error) => {
            let detail = format!(
                "LINE may have it ({error}): look at the tester's phone, or ask again with the same `id`, which \
                 sends it once"
            );
            ("unclear", Some(detail), attempts)
        }
        None => ("not_sent", Some(why), attempts),
    }
}

/// LINE's refusal with all it says.
fn refused(refusal: &Refusal) -> String {
    let details = refusal.details.iter().map(|detail| format!("; {}: {}", detail.property, detail.message));
    format!("LINE refused it: {} {}{}", refusal.status, refusal.message, details.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_may_come_at_once_and_one_a_second_after() {
        let mut allowance = Allowance::default();
        let at = Duration::from_secs;
        for _ in 0..BURST {
            assert_eq!(allowance.take(at(0)), Ok(()));
        }
        assert_eq!(allowance.take(at(0)), Err(EACH));
        assert_eq!(allowance.take(at(1)), Ok(()));
        assert!(allowance.take(at(1)).is_err());
        for _ in 0..BURST {
            assert_eq!(allowance.take(at(1_000)), Ok(()));
        }
        assert!(allowance.take(at(1_000)).is_err());
    }

    fn mark(messages: Value) -> Result<(Vec<Value>, &'static str), String> {
        marked(messages.as_array().unwrap().clone(), "【テスト配信】s/a")
    }

    #[test]
    fn the_mark_is_a_bubble_of_its_own_while_there_is_room() {
        let (messages, mark) = mark(json!([{ "type": "text", "text": "hello" }])).unwrap();
        assert_eq!(mark, "bubble");
        assert_eq!(messages[0], json!({ "type": "text", "text": "【テスト配信】s/a" }));
        assert_eq!(messages[1], json!({ "type": "text", "text": "hello" }));
    }

    #[test]
    fn of_five_messages_the_first_text_with_room_is_marked_and_else_the_alt_text() {
        let image = json!({ "type": "image" });
        let flex = json!({ "type": "flex", "altText": "coupon", "contents": {} });
        let full = json!({ "type": "text", "text": "あ".repeat(4_999) });
        let emojis = json!({ "type": "text", "text": "$", "emojis": [{ "index": 0 }] });
        let text = json!({ "type": "text", "text": "hello" });
        let (messages, at) = mark(json!([flex, full, emojis, image, text])).unwrap();
        assert_eq!((at, messages.len()), ("text", 5));
        assert_eq!(messages[4]["text"], "【テスト配信】s/a\nhello");
        assert_eq!((&messages[0], &messages[2]), (&flex, &emojis));
        let (messages, at) = mark(json!([full, flex, image, image, emojis])).unwrap();
        assert_eq!(at, "alt_text");
        assert_eq!(messages[1]["altText"], "【テスト配信】s/a coupon");
        let why = mark(json!([image, image, image, image, emojis])).unwrap_err();
        assert!(why.contains("five messages"), "{why}");
    }
}
