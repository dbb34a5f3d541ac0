//! A daemon without its command line: turns, API and a LINE that accepts whatever it gets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::openapi;
use crate::clock::Clock;
use crate::config::ApiKey;
use crate::dispatch::courier::{self, Errand, Errands, Gate, Pace};
use crate::dispatch::daemon::{Desk, Observe, Outlets, Running};
use crate::dispatch::turns::Opening;
use crate::dispatch::{Action, Attempted, Happened, Hold, Minutes, Parcel, Turns, daemon};
use crate::http::{Api, ApiKeys, Inner, Metrics, Planning, Readiness, Terms, TestSends, router, serve};
use crate::line::webhook::sign;
use crate::line::{Client, Endpoint, Timeouts};
use crate::model::What;
use crate::scenario::load::load;
use crate::scenario::source::Sources;
use crate::scenario::{Defaults, ScenarioSet};
use crate::store::{Batch, Bounds, Epoch, Key, MemoryStore, Stats, Store, StoreError, Tee};

pub(super) const ALICE: &str = "U0000000000000000000000000000a11c";
pub(super) const BOB: &str = "U00000000000000000000000000000b0b";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const SECRET: &str = "channel secret of a test";

/// Longer than anything here takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const SCENARIOS: [(&str, &str); 6] = [
    (
        "welcome.yaml",
        "
scenario: welcome
title: ようこそ
enter: { on: purchase, again: never }
steps:
  - { step: hello, day: 0, push: 'hello {{ member.name | default(\"you\") }}' }
  - { step: tips, day: 3, at: '19:00', push: tips }
",
    ),
    (
        "interview.yaml",
        "
scenario: interview
enter: { on: interview.booked, key: event.booking_id, again: always }
anchor: event.starts_at
steps:
  - { step: soon, before: 1h, push: soon }
",
    ),
    (
        "followed.yaml",
        "
scenario: followed
enter: { on: line.follow, again: after_exit }
steps:
  - { step: hi, day: 0, push: hi }
",
    ),
    (
        "menu.yaml",
        "
scenario: menu
enter: { on: line.message, where: event.text == 'menu', again: always }
steps:
  - { step: show, day: 0, push: 'you said {{ event.text }}' }
",
    ),
    (
        "pressed.yaml",
        "
scenario: pressed
enter: { on: line.postback, where: event.data == 'buy', again: always }
steps:
  - { step: thanks, day: 0, push: thanks }
",
    ),
    (
        "linked.yaml",
        "
scenario: linked
enter: { on: line.link, again: always }
steps:
  - { step: known, day: 0, push: now we know you }
",
    ),
];

/// Noon in Tokyo.
pub(super) fn start() -> Timestamp {
    "2026-03-02T03:00:00Z".parse().unwrap()
}

pub(super) struct Daemon {
    pub(super) clock: Clock,
    pub(super) api: Api,
    pub(super) address: SocketAddr,
    http: reqwest::Client,
    happened: watch::Receiver<Vec<Happened>>,
    pushed: watch::Receiver<Vec<Arc<Parcel>>>,
    line: Line,
    running: Option<Running>,
}

/// What LINE does to what it gets: it accepts, or it throttles and counts how often.
#[derive(Clone, Debug, Default)]
struct Line {
    throttles: Arc<AtomicBool>,
    throttled: watch::Sender<usize>,
}

/// Test sends that LINE never hears of: nobody listens there.
fn test_sends() -> TestSends {
    let endpoint: Endpoint = "http://127.0.0.1:9".parse().unwrap();
    let client = Client::new(endpoint, Timeouts::default()).unwrap();
    TestSends::new(client, Pace::new(None), Gate::default(), Terms::default())
}

impl Daemon {
    pub(super) async fn start() -> Daemon {
        Daemon::on(Arc::new(MemoryStore::new())).await
    }

    pub(super) async fn on(store: Arc<dyn Store>) -> Daemon {
        Daemon::with(store, &[]).await
    }

    /// One with more scenarios than the usual ones, each a file's name and text.
    pub(super) async fn with(store: Arc<dyn Store>, more: &[(&str, &str)]) -> Daemon {
        let clock = Clock::manual(start());
        let scenarios = scenarios(more);
        let opening = Opening {
            scenarios: Arc::clone(&scenarios),
            channel: "channel".into(),
            salt: b"salt of a test".to_vec(),
            holds: BTreeSet::new(),
            line_ahead: None,
            minutes: Minutes::Watched,
        };
        let turns = Turns::open(Arc::clone(&store), opening, clock.now()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (happenings, happened) = watch::channel(Vec::new());
        let observe = Arc::new(Watching { metrics: Arc::clone(&metrics), happenings });
        let (errands, to_send) = courier::errands();
        let (confirm_quota, _) = mpsc::unbounded_channel();
        let running = daemon::start(turns, Arc::clone(&store), clock.clone(), |_| Outlets {
            errands,
            confirm_quota,
            gate: Gate::default(),
            observe,
        })
        .unwrap();
        let (sent, pushed) = watch::channel(Vec::new());
        let line = Line::default();
        tokio::spawn(answer_all(to_send, running.desk.clone(), line.clone(), sent));
        let api = Api::new(Inner {
            desk: running.desk.clone(),
            store,
            clock: clock.clone(),
            scenarios: RwLock::new(scenarios),
            keys: RwLock::default(),
            channel_secret: RwLock::new(Some(SecretString::from(SECRET))),
            readiness: Readiness::default(),
            metrics,
            planning: Arc::new(Planning::new(Defaults::default())),
            test_sends: Arc::new(test_sends()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(api.clone()), std::future::pending()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Daemon { clock, api, address, http, happened, pushed, line, running: Some(running) }
    }

    pub(super) fn configure_key(&self, key: &str) {
        use sha2::{Digest, Sha256};
        let sha256 = Sha256::digest(key.as_bytes()).into();
        let mut keys = self.api.keys.write().unwrap();
        *keys = ApiKeys(keys.0.iter().cloned().chain([ApiKey { name: "shop".into(), sha256 }]).collect());
    }

    /// Moves the time and wakes the turns.
    pub(super) fn advance_to(&self, now: &str) {
        self.clock.set(now.parse().unwrap());
        self.api.desk.tell(Action::Lift(Hold::Clock));
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        reply(self.request(Method::GET, path)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        reply(self.request(Method::DELETE, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_as(path, "application/json", body.to_string()).await
    }

    pub(super) async fn post_as(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Reply {
        reply(self.request(Method::POST, path).header("content-type", kind).body(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.put_text(path, body.to_string()).await
    }

    pub(super) async fn put_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = self.request(Method::PUT, path).header("content-type", "application/json");
        reply(request.body(body)).await
    }

    /// Hands in one event.
    pub(super) async fn event(&self, body: Value) -> Reply {
        self.post("/v1/events", &body).await
    }

    /// What LINE would post, well signed.
    pub(super) async fn webhook(&self, events: Value) -> Reply {
        self.webhook_body(&json!({ "destination": "Ubot", "events": events }).to_string()).await
    }

    pub(super) async fn webhook_body(&self, body: &str) -> Reply {
        let signature = sign(&SecretString::from(SECRET), body.as_bytes());
        let request = self.request(Method::POST, "/line/webhook").header("x-line-signature", signature);
        reply(request.body(body.to_owned())).await
    }

    /// Waits until something has happened to a member, and for what it was about.
    pub(super) async fn until_happened(&self, member: &str, what: What, count: usize) {
        let is_it = |it: &&Happened| it.member.as_str() == member && it.happening.what == what;
        let mut happened = self.happened.clone();
        let enough = happened.wait_for(|all| all.iter().filter(is_it).count() >= count);
        let waited = tokio::time::timeout(PATIENCE, enough).await.map(|found| drop(found.unwrap()));
        waited.unwrap_or_else(|_| panic!("{member} was not {} {count} times", what.word()));
    }

    /// Lets LINE throttle whatever it gets from now on.
    pub(super) fn throttle(&self) {
        self.line.throttles.store(true, Ordering::SeqCst);
    }

    /// Waits until the turns have been told of an attempt that was throttled.
    pub(super) async fn until_throttled(&self) {
        let mut throttled = self.line.throttled.subscribe();
        let waited = tokio::time::timeout(PATIENCE, throttled.wait_for(|count| *count > 0)).await;
        waited.expect("LINE has throttled nothing").unwrap();
    }

    /// Texts of the pushes so far, each with whom it went to.
    pub(super) fn pushed(&self) -> Vec<(String, String)> {
        let texts = self.pushed.borrow();
        let text = |parcel: &Arc<Parcel>| {
            let body: Value = serde_json::from_slice(&parcel.bytes).unwrap();
            (
                parcel.deliveries[0].to.line_user().map(ToString::to_string).unwrap_or_default(),
                body["messages"][0]["text"].as_str().unwrap_or_default().to_owned(),
            )
        };
        texts.iter().map(text).collect()
    }

    /// Words of a member's timeline, as `what` or `what scenario/step`.
    pub(super) async fn timeline(&self, member: &str) -> Vec<String> {
        let timeline = self.get(&format!("/v1/members/{member}/timeline")).await.ok();
        let word = |it: &Value| match (&it["scenario"], &it["step"]) {
            (Value::String(scenario), Value::String(step)) => {
                format!("{} {scenario}/{step}", it["what"].as_str().unwrap())
            }
            (Value::String(scenario), _) => format!("{} {scenario}", it["what"].as_str().unwrap()),
            _ => it["what"].as_str().unwrap().to_owned(),
        };
        timeline["happened"].as_array().unwrap().iter().map(word).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let running = self.running.take().expect("it is taken here only");
        // joining the threads is not worth a test's time
        std::thread::spawn(move || running.stop());
    }
}

fn scenarios(more: &[(&str, &str)]) -> Arc<ScenarioSet> {
    let files =
        SCENARIOS.iter().chain(more).map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let loaded = load(&Sources::from_files(files), &Defaults::default());
    Arc::new(loaded.set.expect("the scenarios of the tests are well-formed"))
}

async fn answer_all(mut to_send: Errands, desk: Desk, line: Line, sent: watch::Sender<Vec<Arc<Parcel>>>) {
    while let Some(Errand { parcel, .. }) = to_send.next().await {
        let retry_key = parcel.retry_key;
        if line.throttles.load(Ordering::SeqCst) {
            desk.tell(Action::Attempted { retry_key, attempted: Attempted::Throttled });
            line.throttled.send_modify(|count| *count += 1);
            continue;
        }
        sent.send_modify(|all| all.push(parcel));
        desk.tell(Action::Attempted { retry_key, attempted: Attempted::Accepted });
    }
}

#[derive(Debug)]
struct Watching {
    metrics: Arc<Metrics>,
    happenings: watch::Sender<Vec<Happened>>,
}

impl Observe for Watching {
    fn happened(&self, what: &Happened) {
        self.metrics.happened(what);
        self.happenings.send_modify(|all| all.push(what.clone()));
    }

    fn attempted(&self, attempted: &Attempted, took: Duration) {
        self.metrics.attempted(attempted, took);
    }

    fn flushed(&self, turns: usize, took: Duration) {
        self.metrics.flushed(turns, took);
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Sends a request; its answer must be one that the OpenAPI document tells of.
pub(super) async fn reply(request: RequestBuilder) -> Reply {
    let (client, request) = request.timeout(PATIENCE).build_split();
    let request = request.unwrap();
    let response = client.execute(request.try_clone().expect("bodies here are no streams")).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let reply = Reply { status, headers, text: response.text().await.unwrap() };
    openapi::check(&request, &reply);
    reply
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The body of an answer that says 200.
    #[track_caller]
    pub(super) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// That it says how many were accepted and how many were duplicates, and refused nothing.
    #[track_caller]
    pub(super) fn took(&self, accepted: u64, duplicates: u64) {
        let expected = json!({ "accepted": accepted, "duplicates": duplicates, "rejected": [] });
        assert_eq!(self.ok(), expected);
    }

    /// The places and reasons of what was refused.
    #[track_caller]
    pub(super) fn rejected(&self) -> Vec<(u64, String)> {
        let rejected = self.ok()["rejected"].as_array().unwrap().clone();
        let one = |it: &Value| (it["index"].as_u64().unwrap(), it["error"].as_str().unwrap().to_owned());
        rejected.iter().map(one).collect()
    }

    /// That it is a problem document of this status whose detail says `part`.
    #[track_caller]
    pub(super) fn problem(&self, status: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], "about:blank");
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail:?} does not say {part:?}");
    }
}

/// Sends a head, and then pieces of a body until the daemon answers; gives the answer and how many bytes
/// of body had been written by then.
pub(super) async fn send_until_answered(
    address: SocketAddr,
    head: &str,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> (Reply, usize) {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    writing.write_all(head.as_bytes()).await.unwrap();
    let mut pieces = pieces.fuse();
    let mut written = 0;
    let mut answer = Vec::new();
    let all = async {
        loop {
            tokio::select! {
                biased;
                read = reading.read_buf(&mut answer) => {
                    // a reset after the answer is how the rest of the body is refused
                    if read.unwrap_or(0) == 0 || is_whole(&answer) {
                        return;
                    }
                }
                sent = async {
                    match pieces.next() {
                        Some(piece) => writing.write_all(&piece).await.map(|()| piece.len()),
                        None => std::future::pending().await,
                    }
                } => written += sent.unwrap_or(0),
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the daemon does not answer");
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("the daemon hung up without an answer");
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(name.parse::<axum::http::HeaderName>().unwrap(), value.trim().parse().unwrap());
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (Reply { status, headers, text: text.to_owned() }, written)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| body.len() >= length.trim().parse().unwrap())
}

/// A store in memory whose commits can be kept waiting and whose flushes can fail.
#[derive(Debug, Default)]
pub(super) struct Faulty {
    pub(super) inner: MemoryStore,
    closed: Mutex<bool>,
    opened: Condvar,
    fail_flushes: AtomicBool,
}

impl Faulty {
    /// Keeps commits waiting.
    pub(super) fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    pub(super) fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    pub(super) fn fail_flushes(&self, fail: bool) {
        self.fail_flushes.store(fail, Ordering::SeqCst);
    }
}

impl Store for Faulty {
    fn load(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.load(keys)
    }

    fn page(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.inner.page(from, to, limit)
    }

    fn commit(&self, batch: &Batch, epoch: Epoch) -> Result<(), StoreError> {
        drop(self.opened.wait_while(self.closed.lock().unwrap(), |closed| *closed).unwrap());
        self.inner.commit(batch, epoch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        if self.fail_flushes.load(Ordering::SeqCst) {
            return Err(StoreError::Engine("input/output error".into()));
        }
        self.inner.flush()
    }

    fn tee(&self, to: Option<Tee>) -> Result<(), StoreError> {
        self.inner.tee(to)
    }

    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}
