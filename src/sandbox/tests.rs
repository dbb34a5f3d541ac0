use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::*;

const ALICE: UserId = UserId::from_bits(0xa11ce);
const BOB: UserId = UserId::from_bits(0xb0b);

const KEY: &str = "123e4567-e89b-12d3-a456-426614174000";
const OTHER_KEY: &str = "123e4567-e89b-12d3-a456-426614174001";

fn start() -> Timestamp {
    "2026-03-02T03:00:00Z".parse().unwrap()
}

/// A sandbox on a real socket, with a clock that moves when told.
struct Rig {
    sandbox: Sandbox,
    clock: Clock,
    client: reqwest::Client,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Rig {
    async fn new() -> Rig {
        Rig::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Rig {
        let clock = Clock::manual(start());
        let sandbox = Sandbox::new(settings, clock.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(sandbox.clone().serve(listener, async {
            stopped.await.ok();
        }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Rig { sandbox, clock, client, address, _stop }
    }

    fn pass(&self, duration: SignedDuration) {
        self.clock.set(self.clock.now() + duration);
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
            .header(AUTHORIZATION, "Bearer t")
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body.to_string())
    }

    fn push(&self, to: UserId, text: &str) -> RequestBuilder {
        self.post("/v2/bot/message/push", &json!({ "to": to, "messages": [text_message(text)] }))
    }

    fn multicast(&self, to: &[UserId], text: &str) -> RequestBuilder {
        self.post("/v2/bot/message/multicast", &json!({ "to": to, "messages": [text_message(text)] }))
    }

    fn reply(&self, token: &str) -> RequestBuilder {
        let body = json!({ "replyToken": token, "messages": [text_message("やあ")] });
        self.post("/v2/bot/message/reply", &body)
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).body(body.to_string())).await
    }

    async fn control(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).body(body.to_string())).await
    }

    fn break_with(&self, faults: Faults) {
        self.sandbox.set_faults(faults).unwrap();
    }
}

fn text_message(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    try_answer(request).await.unwrap()
}

async fn try_answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

trait Keyed {
    fn key(self, key: &str) -> Self;
}

impl Keyed for RequestBuilder {
    fn key(self, key: &str) -> RequestBuilder {
        self.header("X-Line-Retry-Key", key)
    }
}

// Sending.

#[tokio::test]
async fn an_accepted_push_reaches_its_person() {
    let rig = Rig::new().await;
    let body = json!({
        "to": ALICE,
        "messages": [text_message("こんにちは"), { "type": "location", "title": "本社", "address": "東京",
                                                    "latitude": 35.6, "longitude": 139.7 }],
        "notificationDisabled": true,
        "customAggregationUnits": ["step_12_v1"],
    });
    let got = answer(rig.post("/v2/bot/message/push", &body).key(KEY)).await;

    assert_eq!(got.status, 200);
    assert_eq!(got.header(DATE.as_str()), Some("Mon, 02 Mar 2026 03:00:00 GMT"));
    let sent = got.body["sentMessages"].as_array().unwrap();
    assert_eq!(sent.len(), 2);
    assert!(sent[0]["id"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
    assert!(sent[0]["quoteToken"].is_string());
    assert_eq!(sent[1].get("quoteToken"), None, "locations cannot be quoted");

    let receipts = rig.sandbox.received(0);
    let [receipt] = &receipts[..] else { panic!("{receipts:?}") };
    assert_eq!((receipt.seq, receipt.at, receipt.user_id), (1, start(), ALICE));
    assert_eq!((receipt.endpoint, receipt.silent, receipt.message_count), (Endpoint::Push, true, 2));
    assert_eq!(receipt.retry_key, Some(KEY.parse().unwrap()));
    assert_eq!(Some(&*receipt.request_id.to_string()), got.header("x-line-request-id"));
    assert_eq!(receipt.messages.as_deref(), Some(&body["messages"]));
}

#[tokio::test]
async fn a_retry_key_is_accepted_once() {
    let rig = Rig::new().await;
    let first = answer(rig.push(ALICE, "a").key(KEY)).await;
    let again = answer(rig.push(ALICE, "a").key(KEY)).await;

    assert_eq!((first.status, again.status), (200, 409));
    assert_eq!(again.message(), "The retry key is already accepted");
    assert_eq!(again.body["sentMessages"], first.body["sentMessages"]);
    assert_eq!(again.header("x-line-accepted-request-id"), first.header("x-line-request-id"));
    assert_ne!(again.header("x-line-request-id"), first.header("x-line-request-id"));
    assert_eq!(first.header("x-line-accepted-request-id"), None);

    let first = answer(rig.multicast(&[ALICE, BOB], "b").key(OTHER_KEY)).await;
    let again = answer(rig.multicast(&[ALICE, BOB], "b").key(OTHER_KEY)).await;
    assert_eq!((first.status, first.body), (200, json!({})));
    assert_eq!(
        (again.status, &again.body),
        (409, &json!({ "message": "The retry key is already accepted" }))
    );

    let stats = rig.sandbox.stats();
    assert_eq!((stats.accepted, stats.already_accepted, stats.receipts, stats.duplicates), (2, 2, 3, 0));
    assert_eq!((stats.key_reused_with_other_bytes, stats.concurrent_same_key), (0, 0));
}

#[tokio::test]
async fn a_retry_key_is_forgotten_24_hours_after_its_first_request() {
    let rig = Rig::new().await;
    // The first request is refused, and still starts the 24 hours.
    rig.break_with(Faults { error_before: 1.0, ..Faults::default() });
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 500);
    rig.break_with(Faults::default());
    rig.pass(SignedDuration::from_hours(23));
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 200);
    rig.pass(SignedDuration::from_hours(1) - SignedDuration::from_millis(1));
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 409);
    assert_eq!(rig.sandbox.stats().duplicates, 0);

    rig.pass(SignedDuration::from_millis(1));
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 200);
    let stats = rig.sandbox.stats();
    assert_eq!((stats.receipts, stats.duplicates, stats.same_text_twice), (2, 1, 1));
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let rig = Rig::new().await;
    assert_eq!(answer(rig.push(ALICE, "").key(KEY)).await.status, 400);
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 200);
    assert_eq!(rig.sandbox.stats().key_reused_with_other_bytes, 1);
}

#[tokio::test]
async fn a_key_with_other_bytes_counts_as_the_same_key_and_is_noted() {
    let rig = Rig::new().await;
    answer(rig.push(ALICE, "a").key(KEY)).await;
    assert_eq!(answer(rig.push(ALICE, "b").key(KEY)).await.status, 409);
    assert_eq!(answer(rig.multicast(&[ALICE], "a").key(KEY)).await.status, 409);
    assert_eq!(rig.sandbox.stats().key_reused_with_other_bytes, 2);
    assert_eq!(rig.sandbox.received(0).len(), 1);
}

#[tokio::test]
async fn a_second_request_while_the_first_is_in_progress_is_noted() {
    let rig = Rig::new().await;
    rig.break_with(Faults { hang_after: 1.0, hang_ms: 600_000, ..Faults::default() });
    let first = tokio::spawn(rig.push(ALICE, "a").key(KEY).send());
    rig.sandbox.next_received(0).await;
    rig.break_with(Faults::default());

    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 409);
    let stats = rig.sandbox.stats();
    assert_eq!((stats.concurrent_same_key, stats.duplicates), (1, 0));
    first.abort();
}

#[tokio::test]
async fn a_multicast_reaches_all_or_nobody() {
    let rig = Rig::new().await;
    let got = answer(rig.multicast(&[ALICE, BOB], "a").key(KEY)).await;
    assert_eq!(got.status, 200);
    let users: Vec<_> = rig.sandbox.received(0).iter().map(|receipt| receipt.user_id).collect();
    assert_eq!(users, [ALICE, BOB]);

    let body = json!({ "to": [ALICE, "Unobody"], "messages": [text_message("a")] });
    let got = answer(rig.post("/v2/bot/message/multicast", &body)).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.message(), "The property, to[1], in the request body is invalid (line: -, column: -)");

    for (count, status) in [(0, 400), (1, 200), (500, 200), (501, 400)] {
        let to: Vec<_> = (0..count).map(UserId::from_bits).collect();
        assert_eq!(answer(rig.multicast(&to, "a")).await.status, status, "{count} recipients");
    }
    assert_eq!(rig.sandbox.received(0).len(), 2 + 1 + 500);
}

#[tokio::test]
async fn an_id_repeated_in_a_multicast_is_a_duplicate() {
    let rig = Rig::new().await;
    answer(rig.multicast(&[ALICE, ALICE], "a").key(KEY)).await;
    assert_eq!(rig.sandbox.stats().duplicates, 1);
}

#[tokio::test]
async fn blockers_get_nothing_and_the_sender_is_not_told() {
    let rig = Rig::with(Settings { quota: Some(10), ..Settings::default() }).await;
    rig.sandbox.block(ALICE).unwrap();
    assert_eq!(answer(rig.push(ALICE, "a")).await.status, 200);
    assert_eq!(answer(rig.multicast(&[ALICE, BOB], "a")).await.status, 200);
    let stats = rig.sandbox.stats();
    assert_eq!((stats.accepted, stats.receipts, stats.undelivered, stats.quota_used), (2, 1, 2, 1));
    assert_eq!(rig.get(&format!("/v2/bot/profile/{ALICE}")).await.status, 404);

    rig.sandbox.unblock(ALICE).unwrap();
    answer(rig.push(ALICE, "a")).await;
    assert_eq!(rig.sandbox.stats().receipts, 2);
    assert_eq!(rig.get(&format!("/v2/bot/profile/{ALICE}")).await.body["userId"], ALICE.to_string());
}

#[tokio::test]
async fn strangers_get_nothing_until_they_follow() {
    let rig = Rig::with(Settings { friends: Friends::Followers, ..Settings::default() }).await;
    assert_eq!(answer(rig.push(ALICE, "a")).await.status, 200);
    assert_eq!(rig.sandbox.act(ALICE, Act::Follow).await, Ok(None));
    assert_eq!(answer(rig.push(ALICE, "b")).await.status, 200);
    let stats = rig.sandbox.stats();
    assert_eq!((stats.receipts, stats.undelivered), (1, 1));
}

// Limits and quota.

#[tokio::test]
async fn a_bucket_refills_with_the_clock() {
    let limits = Limits { push_per_second: Some(2), multicast_per_second: Some(1), other_per_second: None };
    let rig = Rig::with(Settings { limits, ..Settings::default() }).await;
    let mut statuses = Vec::new();
    for pause_ms in [0, 0, 0, 499, 1, 0, 10_000, 0, 0] {
        rig.pass(SignedDuration::from_millis(pause_ms));
        statuses.push(answer(rig.push(ALICE, "a")).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 200, 429, 200, 200, 429]);
    let over = answer(rig.push(ALICE, "a")).await;
    assert_eq!(over.message(), "The API rate limit has been exceeded. Try again later.");
    assert_eq!(answer(rig.multicast(&[ALICE], "a")).await.status, 200, "has a bucket of its own");
    assert_eq!(rig.sandbox.stats().over_rate, 5);
}

#[tokio::test]
async fn over_the_quota_nobody_gets_it() {
    let rig = Rig::with(Settings { quota: Some(2), ..Settings::default() }).await;
    assert_eq!(answer(rig.push(ALICE, "a")).await.status, 200);
    let over = answer(rig.multicast(&[ALICE, BOB], "b").key(KEY)).await;
    assert_eq!((over.status, over.message()), (429, "You have reached your monthly limit."));
    assert_eq!(rig.get("/v2/bot/message/quota").await.body, json!({ "type": "limited", "value": 2 }));
    assert_eq!(rig.get("/v2/bot/message/quota/consumption").await.body, json!({ "totalUsage": 1 }));

    assert_eq!(rig.put("/sandbox/quota", &json!({ "value": 3 })).await.status, 200);
    assert_eq!(answer(rig.multicast(&[ALICE, BOB], "b").key(KEY)).await.status, 200);
    assert_eq!(answer(rig.push(ALICE, "c")).await.status, 429);

    // The month turns at midnight in Japan.
    rig.clock.set("2026-03-31T14:59:59Z".parse().unwrap());
    assert_eq!(answer(rig.push(ALICE, "c")).await.status, 429);
    rig.clock.set("2026-03-31T15:00:00Z".parse().unwrap());
    assert_eq!(answer(rig.push(ALICE, "c")).await.status, 200);
    assert_eq!(rig.sandbox.stats().quota_used, 1);

    rig.sandbox.set_quota(None);
    assert_eq!(rig.get("/v2/bot/message/quota").await.body, json!({ "type": "none" }));
}

#[tokio::test]
async fn a_reserved_quota_refuses_although_some_is_left() {
    let rig = Rig::with(Settings { quota: Some(2), ..Settings::default() }).await;
    rig.break_with(Faults { quota_reserved: true, ..Faults::default() });
    let over = answer(rig.push(ALICE, "a").key(KEY)).await;
    assert_eq!((over.status, over.message()), (429, "You have reached your monthly limit."));
    assert_eq!(rig.get("/v2/bot/message/quota/consumption").await.body, json!({ "totalUsage": 0 }));
    rig.break_with(Faults::default());
    assert_eq!(answer(rig.push(ALICE, "a").key(KEY)).await.status, 200);
    assert_eq!(rig.sandbox.stats().faults.quota_reserved, 1);
}

// What is refused.

#[tokio::test]
async fn requests_that_line_would_not_read_are_refused() {
    let rig = Rig::with(Settings { token: Some("right".to_owned()), ..Settings::default() }).await;
    let url = format!("http://{}/v2/bot/message/push", rig.address);
    let push = || {
        let body = json!({ "to": ALICE, "messages": [text_message("a")] }).to_string();
        rig.client.post(&url).header(AUTHORIZATION, "Bearer right").body(body)
    };
    let json = |request: RequestBuilder| request.header(CONTENT_TYPE, "application/json; charset=utf-8");

    assert_eq!(answer(json(push())).await.status, 200);
    let got = answer(rig.push(ALICE, "a")).await;
    assert_eq!(got.status, 401);
    assert!(got.message().starts_with("Authentication failed due to the following reason: "));
    assert!(got.header("x-line-request-id").is_some());
    assert_eq!(answer(rig.client.post(&url)).await.status, 401);

    let got = answer(push().header(CONTENT_TYPE, "text/plain")).await;
    assert_eq!((got.status, got.message()), (415, "The content type, text/plain, is not supported"));
    let got = answer(json(push()).body(vec![b' '; 2_000_001])).await;
    assert_eq!(got.status, 413);
    let got = answer(json(push()).body("{\"to\":\n  oops}")).await;
    assert_eq!(
        (got.status, got.message()),
        (400, "The request body could not be parsed as JSON (line: 2, column: 3)")
    );

    for key in ["123e4567e89b12d3a456426614174000", "no-uuid", ""] {
        assert_eq!(answer(json(push()).key(key)).await.status, 400, "{key}");
    }
    let reply = rig.client.post(format!("http://{}/v2/bot/message/reply", rig.address));
    let reply = reply.header(AUTHORIZATION, "Bearer right").key(KEY);
    assert_eq!(answer(reply).await.status, 400);
    for path in ["/v2/bot/message/pushy", "/v2/bot/message/push/", "/v1/events"] {
        let got = answer(rig.post(path, &json!({}))).await;
        assert_eq!((got.status, got.message()), (404, "Not found"), "{path}");
    }
    assert_eq!(answer(rig.client.get(&url)).await.status, 404);
    assert_eq!(rig.sandbox.received(0).len(), 1);
}

/// Pushes `messages` and expects the details' properties.
async fn check_messages(rig: &Rig, messages: Value, properties: &[&str]) {
    let body = json!({ "to": ALICE, "messages": messages });
    for path in ["/v2/bot/message/push", "/v2/bot/message/validate/push"] {
        let got = answer(rig.post(path, &body)).await;
        let found: Vec<_> = got.body["details"].as_array().into_iter().flatten().collect();
        let found: Vec<_> = found.iter().map(|detail| detail["property"].as_str().unwrap()).collect();
        assert_eq!(found, properties, "{path} {body}");
        if properties.is_empty() {
            assert_eq!(got.status, 200, "{path} {body}");
        } else {
            assert_eq!(got.status, 400, "{path} {body}");
            assert_eq!(got.message(), format!("The request body has {} error(s)", properties.len()));
        }
    }
}

#[tokio::test]
async fn messages_are_checked() {
    let rig = Rig::new().await;
    let text = |text: String| json!([{ "type": "text", "text": text }]);
    check_messages(&rig, json!([]), &["messages"]).await;
    check_messages(&rig, json!(vec![text_message("a"); 5]), &[]).await;
    check_messages(&rig, json!(vec![text_message("a"); 6]), &["messages"]).await;
    check_messages(&rig, text("あ".repeat(5_000)), &[]).await;
    check_messages(&rig, text("🍎".repeat(2_500)), &[]).await;
    check_messages(&rig, text("🍎".repeat(2_500) + "a"), &["messages[0].text"]).await;
    check_messages(
        &rig,
        json!([{ "type": "text" }, { "type": "tex" }, {}]),
        &["messages[0].text", "messages[1].type", "messages[2].type"],
    )
    .await;
    check_messages(&rig, json!([{ "type": "flex", "altText": "a" }]), &["messages[0].contents"]).await;
    check_messages(
        &rig,
        json!([{ "type": "flex", "altText": "a".repeat(1_501), "contents": { "type": "bubble" } }]),
        &["messages[0].altText"],
    )
    .await;
    let bubble = |size: usize| json!({ "type": "bubble", "note": "x".repeat(size) });
    check_messages(&rig, json!([{ "type": "flex", "altText": "a", "contents": bubble(29_000) }]), &[]).await;
    check_messages(
        &rig,
        json!([{ "type": "flex", "altText": "a", "contents": bubble(30_000) }]),
        &["messages[0].contents"],
    )
    .await;
    let carousel = json!({ "type": "carousel", "contents": vec![bubble(1); 13] });
    check_messages(
        &rig,
        json!([{ "type": "flex", "altText": "a", "contents": carousel }]),
        &["messages[0].contents.contents"],
    )
    .await;
    let image = json!({ "type": "image", "originalContentUrl": "http://a.example/a.png" });
    check_messages(&rig, json!([image]), &["messages[0].originalContentUrl", "messages[0].previewImageUrl"])
        .await;
    let confirm = json!({ "type": "confirm", "text": "a", "actions": [{}] });
    check_messages(
        &rig,
        json!([{ "type": "template", "altText": "a", "template": confirm }]),
        &["messages[0].template.actions"],
    )
    .await;
    let quick_reply = json!({ "type": "text", "text": "a", "quickReply": { "items": vec![json!({}); 14] } });
    check_messages(&rig, json!([quick_reply]), &["messages[0].quickReply.items"]).await;

    let got = answer(rig.push(ALICE, &"a".repeat(5_001))).await;
    assert_eq!(got.body["details"][0]["message"], "Length must be between 0 and 5000");
    let got = answer(rig.post("/v2/bot/message/push", &json!({ "to": ALICE, "messages": [] }))).await;
    assert_eq!(got.body["details"][0]["message"], "Size must be between 1 and 5");
}

#[tokio::test]
async fn recipients_and_units_are_checked() {
    let rig = Rig::new().await;
    let group = format!("C{:032x}", 1);
    let upper = ALICE.to_string().to_uppercase();
    let invalid = "The property, 'to', in the request body is invalid (line: -, column: -)";
    for (to, message) in [
        (json!("Unobody"), invalid),
        (json!(upper), invalid),
        (json!(null), invalid),
        (json!([ALICE]), invalid),
        (json!(group), "Failed to send messages"),
    ] {
        let body = json!({ "to": to, "messages": [text_message("a")] });
        let got = answer(rig.post("/v2/bot/message/push", &body)).await;
        assert_eq!((got.status, got.message()), (400, message), "{to}");
    }
    for (units, status) in [
        (json!([]), 200),
        (json!(["a".repeat(30)]), 200),
        (json!(["a".repeat(31)]), 400),
        (json!([""]), 400),
        (json!(["step-1"]), 400),
        (json!(["a", "b"]), 400),
        (json!("a"), 400),
    ] {
        let body = json!({ "to": ALICE, "messages": [text_message("a")], "customAggregationUnits": units });
        assert_eq!(answer(rig.post("/v2/bot/message/push", &body)).await.status, status, "{units}");
    }
}

// Faults.

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let all = Faults::default();
    // What the sender sees (no status: no answer), and whether the person got it.
    let cases = [
        (Faults { error_before: 1.0, ..all }, Some(500), 0),
        (Faults { error_after: 1.0, ..all }, Some(500), 1),
        (Faults { reset_before: 1.0, ..all }, None, 0),
        (Faults { reset_after: 1.0, ..all }, None, 1),
        (Faults { hang_before: 1.0, hang_ms: 1, ..all }, None, 0),
        (Faults { hang_after: 1.0, hang_ms: 1, ..all }, None, 1),
        (Faults { throttle: 1.0, ..all }, Some(429), 0),
        (Faults { html: 1.0, ..all }, Some(200), 0),
        (Faults { unauthorized: true, ..all }, Some(401), 0),
        (Faults { down: true, ..all }, Some(503), 0),
        (Faults { latency_ms: 1, ..all }, Some(200), 1),
    ];
    for (faults, status, receipts) in cases {
        let rig = Rig::new().await;
        rig.break_with(faults);
        let got = try_answer(rig.push(ALICE, "a").key(KEY)).await;
        assert_eq!(got.as_ref().ok().map(|got| got.status), status, "{faults:?}");
        assert_eq!(rig.sandbox.received(0).len(), receipts, "{faults:?}");
        if let Ok(got) = got {
            let proxy = faults.html > 0.0;
            assert_eq!(got.header("x-line-request-id").is_none(), proxy, "{faults:?}");
            assert_eq!(got.header("content-type").unwrap().starts_with("text/html"), proxy, "{faults:?}");
        }

        // The same key then settles it, and the person has it once.
        rig.break_with(Faults::default());
        let again = answer(rig.push(ALICE, "a").key(KEY)).await;
        assert_eq!(again.status, if receipts == 1 { 409 } else { 200 }, "{faults:?}");
        let stats = rig.sandbox.stats();
        assert_eq!((stats.receipts, stats.duplicates), (1, 0), "{faults:?}");
        let fired = serde_json::to_value(&stats.faults).unwrap();
        let fired: u64 = fired.as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(fired, u64::from(faults.latency_ms == 0), "{faults:?}");
    }
}

#[tokio::test]
async fn an_outage_is_everywhere_and_drawn_faults_are_for_sends() {
    let rig = Rig::new().await;
    rig.break_with(Faults { error_before: 1.0, ..Faults::default() });
    assert_eq!(rig.get("/v2/bot/info").await.status, 200);
    rig.break_with(Faults { down: true, ..Faults::default() });
    assert_eq!(rig.get("/v2/bot/info").await.status, 503);
    assert_eq!(rig.get("/sandbox/stats").await.status, 200);
}

#[tokio::test]
async fn the_same_seed_draws_the_same_faults() {
    let faults = Faults { error_before: 0.2, throttle: 0.1, ..Faults::default() };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let rig = Rig::with(Settings { seed: 7, ..Settings::default() }).await;
        rig.break_with(faults);
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(answer(rig.push(ALICE, "a")).await.status);
        }
        rig.sandbox.reset();
        rig.break_with(faults);
        assert_eq!(answer(rig.push(ALICE, "a")).await.status, statuses[0], "a reset draws afresh");
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let kinds: BTreeSet<_> = runs[0].iter().copied().collect();
    assert_eq!(kinds, BTreeSet::from([200, 429, 500]));
}

#[test]
fn faults_come_as_often_as_asked() {
    let faults = Faults { error_before: 0.05, hang_after: 0.02, html: 0.5, ..Faults::default() };
    let mut draws = faults::Draws::new(1);
    let mut fired = Fired::default();
    for _ in 0..100_000 {
        if let Some(fault) = faults.draw(&mut draws) {
            fired.count(fault);
        }
    }
    assert!((4_800..5_200).contains(&fired.error_before), "{fired:?}");
    assert!((1_850..2_150).contains(&fired.hang_after), "{fired:?}");
    assert!((49_500..50_500).contains(&fired.html), "{fired:?}");
}

// Webhooks.

/// A server that a test's webhooks go to.
struct Inbox {
    url: String,
    posts: tokio::sync::mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

impl Inbox {
    async fn answering(status: u16) -> Inbox {
        let (sender, posts) = tokio::sync::mpsc::unbounded_channel();
        let sender = Arc::new(sender);
        let router = axum::Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            sender.send((headers, body)).unwrap();
            StatusCode::from_u16(status).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/line/webhook", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Inbox { url, posts }
    }

    async fn next(&mut self) -> (HeaderMap, Value, Bytes) {
        let (headers, body) = self.posts.recv().await.unwrap();
        (headers, serde_json::from_slice(&body).unwrap(), body)
    }

    async fn event(&mut self) -> Value {
        self.next().await.1["events"][0].clone()
    }
}

/// HMAC by its definition in RFC 2104, for keys of at most a block.
fn hmac_by_hand(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[test]
fn signatures_match_known_ones() {
    // LINE's own example, then one with characters outside ASCII.
    let cases = [
        (
            "8c570fa6dd201bb328f1c1eac23a96d8",
            r#"{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[]}"#,
            "GhRKmvmHys4Pi8DxkF4+EayaH0OqtJtaZxgTD9fMDLs=",
        ),
        (
            "test-channel-secret",
            concat!(
                r#"{"destination":"U00000000000000000000000000000000","events":[{"type":"message","#,
                r#""message":{"type":"text","id":"1","text":"こんにちは\n🍎 \u3042"}}]}"#
            ),
            "x7PD2yaYOTqU2WnFqtz8t+I41wBOJgdpB43kRqJA2vs=",
        ),
    ];
    for (secret, body, signature) in cases {
        assert_eq!(sign(secret, body.as_bytes()), signature);
    }
}

#[tokio::test]
async fn webhooks_are_signed_and_look_like_lines() {
    let mut inbox = Inbox::answering(200).await;
    let rig = Rig::with(Settings { webhook: Some(inbox.url.clone()), ..Settings::default() }).await;
    let users = format!("/sandbox/users/{ALICE}");
    let mut ids = BTreeSet::new();
    for (act, body, kind) in [
        ("follow", json!({}), "follow"),
        ("message", json!({ "text": "予約したい" }), "message"),
        ("postback", json!({ "data": "step=3&answer=yes" }), "postback"),
        ("block", json!({}), "unfollow"),
        ("unblock", json!({}), "follow"),
    ] {
        let got = rig.control(&format!("{users}/{act}"), &body).await;
        assert_eq!((got.status, &got.body["webhook"]["status"]), (200, &json!(200)), "{act}");

        let (headers, webhook, bytes) = inbox.next().await;
        let signature = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            hmac_by_hand(b"sandbox-channel-secret", &bytes),
        );
        assert_eq!(headers["x-line-signature"], signature);
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        assert_eq!(webhook["destination"], Settings::default().bot_user_id.to_string());
        let event = &webhook["events"][0];
        assert_eq!(event["type"], kind);
        assert_eq!(event["mode"], "active");
        assert_eq!(event["timestamp"], start().as_millisecond());
        assert_eq!(event["source"], json!({ "type": "user", "userId": ALICE }));
        assert_eq!(event["deliveryContext"], json!({ "isRedelivery": false }));
        assert_eq!(event.get("replyToken").is_some(), kind != "unfollow");
        let id = event["webhookEventId"].as_str().unwrap();
        assert_eq!(got.body["webhook"]["webhookEventId"], id);
        assert_eq!(id.len(), 26);
        ids.insert(id.to_owned());
        match act {
            "follow" => assert_eq!(event["follow"], json!({ "isUnblocked": false })),
            "unblock" => assert_eq!(event["follow"], json!({ "isUnblocked": true })),
            "message" => assert_eq!(event["message"]["text"], "予約したい"),
            "postback" => assert_eq!(event["postback"], json!({ "data": "step=3&answer=yes" })),
            _ => {}
        }
    }
    assert_eq!(ids.len(), 5);
    // The time in front sorts them: 2026-03-02T03:00:00Z in the digits of a ULID.
    assert!(ids.iter().all(|id| id.starts_with(ids.first().unwrap().get(..10).unwrap())));

    let got = rig.control("/sandbox/webhook/check", &json!({})).await;
    assert_eq!(got.status, 200);
    assert_eq!(inbox.next().await.1["events"], json!([]));
    assert_eq!(rig.sandbox.stats().webhooks_delivered, 6);
}

#[tokio::test]
async fn a_redelivered_event_is_the_same_but_for_its_mark() {
    let mut inbox = Inbox::answering(500).await;
    let rig = Rig::with(Settings { webhook: Some(inbox.url.clone()), ..Settings::default() }).await;
    let message = format!("/sandbox/users/{ALICE}/message");
    let got = rig.control(&message, &json!({ "text": "a" })).await;
    assert_eq!((got.status, &got.body["webhook"]["status"]), (502, &json!(500)));
    let mut first = inbox.event().await;
    rig.pass(SignedDuration::from_mins(5));
    rig.control(&format!("{message}?redeliver=true"), &json!({})).await;
    let again = inbox.event().await;
    assert_eq!(again["deliveryContext"], json!({ "isRedelivery": true }));
    first["deliveryContext"]["isRedelivery"] = json!(true);
    assert_eq!(again, first);
    assert_eq!(rig.sandbox.stats().webhooks_failed, 2);

    let got = rig.control(&format!("/sandbox/users/{BOB}/message?redeliver=true"), &json!({})).await;
    assert_eq!(got.status, 404);
}

#[tokio::test]
async fn an_unreachable_webhook_is_told() {
    let rig = Rig::new().await;
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    rig.put("/sandbox/webhook", &json!({ "url": format!("http://{free}/") })).await;
    let got = rig.control(&format!("/sandbox/users/{ALICE}/follow"), &json!({})).await;
    assert_eq!((got.status, &got.body["webhook"]["status"]), (502, &Value::Null));
    assert!(got.body["webhook"]["error"].is_string(), "{}", got.body);
}

#[tokio::test]
async fn a_reply_token_works_once_and_for_a_minute() {
    let mut inbox = Inbox::answering(200).await;
    let rig = Rig::with(Settings { webhook: Some(inbox.url.clone()), ..Settings::default() }).await;
    let write = Act::Message { text: "a".to_owned() };
    let mut token = async || {
        rig.sandbox.act(ALICE, write.clone()).await.unwrap();
        inbox.event().await["replyToken"].as_str().unwrap().to_owned()
    };

    let first = token().await;
    assert_eq!(answer(rig.reply(&first)).await.status, 200);
    let again = answer(rig.reply(&first)).await;
    assert_eq!((again.status, again.message()), (400, "Invalid reply token"));
    assert_eq!(answer(rig.reply("made-up")).await.status, 400);
    let receipts = rig.sandbox.received(0);
    assert_eq!((receipts.len(), receipts[0].endpoint, receipts[0].user_id), (1, Endpoint::Reply, ALICE));
    assert_eq!(rig.sandbox.stats().quota_used, 0, "replies are free");

    let late = token().await;
    rig.pass(SignedDuration::from_secs(61));
    assert_eq!(answer(rig.reply(&late)).await.status, 400);
    rig.sandbox.redeliver(ALICE, ActKind::Message).await.unwrap();
    rig.pass(SignedDuration::from_secs(60));
    assert_eq!(answer(rig.reply(&late)).await.status, 200, "a redelivery gives another minute");
    rig.sandbox.redeliver(ALICE, ActKind::Message).await.unwrap();
    assert_eq!(answer(rig.reply(&late)).await.status, 400, "but not once it was used");
}

#[tokio::test]
async fn no_redelivery_revives_a_reply_token_after_20_minutes() {
    let mut inbox = Inbox::answering(200).await;
    let rig = Rig::with(Settings { webhook: Some(inbox.url.clone()), ..Settings::default() }).await;
    rig.sandbox.act(ALICE, Act::Follow).await.unwrap();
    let token = inbox.event().await["replyToken"].as_str().unwrap().to_owned();
    rig.pass(SignedDuration::from_mins(20));
    rig.sandbox.redeliver(ALICE, ActKind::Follow).await.unwrap();
    assert_eq!(answer(rig.reply(&token)).await.status, 400);
}

// The sandbox's own addresses.

#[tokio::test]
async fn mistakes_at_the_controls_are_told() {
    let rig = Rig::new().await;
    let alice = format!("/sandbox/users/{ALICE}");
    let put = Method::PUT;
    let post = Method::POST;
    let get = Method::GET;
    let cases = [
        (&put, "/sandbox/faults", r#"{"eror_before":0.1}"#, 400, "unknown field `eror_before`"),
        (&put, "/sandbox/faults", r#"{"error_before":1.5}"#, 400, "`error_before` is 1.5"),
        (&put, "/sandbox/faults", r#"{"error_before":-0.1}"#, 400, "`error_before` is -0.1"),
        (&put, "/sandbox/faults", r#"{"error_before":0.6,"html":0.6}"#, 400, "add up to 1.2"),
        (&put, "/sandbox/faults", r#"{"hang_ms":600001}"#, 400, "`hang_ms` is 600001 ms"),
        (&put, "/sandbox/faults", "", 400, "EOF"),
        (&put, "/sandbox/quota", "{}", 400, "missing field `value`"),
        (&put, "/sandbox/quota", r#"{"value":-1}"#, 400, "invalid value"),
        (&put, "/sandbox/webhook", r#"{"url":"ftp://a"}"#, 400, "http or https"),
        (&put, "/sandbox/webhook", r#"{"uri":null}"#, 400, "unknown field `uri`"),
        (&post, "/sandbox/webhook/check", "", 409, "no webhook address"),
        (&get, "/sandbox/received?aftr=1", "", 400, "unknown field `aftr`"),
        (&get, "/sandbox/received?after=x", "", 400, "invalid digit"),
        (&get, "/sandbox/received?user=U1", "", 400, "`U1` is not a LINE user id"),
        (&get, "/sandbox/received?wait_ms=99999999", "", 400, "the longest wait is 25000"),
        (&post, "/sandbox/users/U1/follow", "", 400, "`U1` is not a LINE user id"),
        (&post, &*format!("{alice}/dance"), "", 404, "cannot `dance`"),
        (&post, &*format!("{alice}/follow?again=1"), "", 400, "unknown field `again`"),
        (&post, &*format!("{alice}/message"), "{}", 400, "missing field `text`"),
        (&post, &*format!("{alice}/message"), r#"{"text":""}"#, 400, "the text has 0 characters"),
        (&post, &*format!("{alice}/message"), r#"{"text":"a"}"#, 409, "no webhook address"),
        (&post, &*format!("{alice}/follow?redeliver=true"), "", 409, "no webhook address"),
    ];
    for (method, path, body, status, words) in cases {
        let got = answer(rig.request(method.clone(), path).body(body.to_owned())).await;
        assert_eq!(got.status, status, "{method} {path} {body}");
        assert!(got.message().contains(words), "{method} {path} {body}: {}", got.message());
    }
    let big = json!({ "text": "a".repeat(70_000) });
    assert_eq!(rig.control(&format!("{alice}/message"), &big).await.status, 413);
    assert_eq!(rig.sandbox.faults(), Faults::default());

    rig.sandbox.set_webhook(Some("http://127.0.0.1:9/")).unwrap();
    rig.sandbox.block(ALICE).unwrap();
    let got = rig.control(&format!("{alice}/message"), &json!({ "text": "a" })).await;
    assert_eq!(got.status, 409);
    assert!(got.message().contains("has blocked the account"), "{}", got.message());
    assert_eq!(
        Sandbox::new(
            Settings { webhook: Some("nowhere".to_owned()), ..Settings::default() },
            Clock::manual(start()),
        )
        .err(),
        Some(AddressError)
    );
}

#[tokio::test]
async fn faults_are_set_and_shown_over_http() {
    let rig = Rig::new().await;
    let got = rig.put("/sandbox/faults", &json!({ "error_after": 0.05, "hang_ms": 500 })).await;
    assert_eq!(got.status, 200);
    assert_eq!(rig.get("/sandbox/faults").await.body, got.body);
    assert_eq!(rig.sandbox.faults(), Faults { error_after: 0.05, hang_ms: 500, ..Faults::default() });
    rig.put("/sandbox/faults", &json!({})).await;
    assert_eq!(rig.sandbox.faults(), Faults::default());
}

#[tokio::test]
async fn receipts_are_paged_filtered_and_waited_for() {
    let rig = Rig::new().await;
    answer(rig.push(ALICE, "a").key(KEY)).await;
    answer(rig.push(BOB, "b")).await;

    let all = rig.get("/sandbox/received").await.body;
    assert_eq!(all["next_after"], 2);
    let first = &all["receipts"][0];
    assert_eq!(first["user_id"], ALICE.to_string());
    assert_eq!(first["at"], "2026-03-02T03:00:00Z");
    assert_eq!((&first["endpoint"], &first["retry_key"]), (&json!("push"), &json!(KEY)));
    assert_eq!(first["messages"], json!([text_message("a")]));
    assert_eq!(all["receipts"][1]["retry_key"], Value::Null);

    let rest = rig.get("/sandbox/received?after=1").await.body;
    assert_eq!((rest["receipts"].as_array().unwrap().len(), &rest["next_after"]), (1, &json!(2)));
    let none = rig.get("/sandbox/received?after=2").await.body;
    assert_eq!(none, json!({ "receipts": [], "next_after": 2 }));
    let path = format!("/sandbox/received?user={BOB}");
    assert_eq!(rig.get(&path).await.body["receipts"][0]["seq"], 2);

    // The wait is for Bob's, so Alice's does not end it.
    let path = format!("/sandbox/received?after=2&wait_ms=25000&user={BOB}");
    let waiting = tokio::spawn(answer(rig.request(Method::GET, &path)));
    answer(rig.push(ALICE, "c")).await;
    answer(rig.push(BOB, "d")).await;
    assert_eq!(waiting.await.unwrap().body["receipts"][0]["seq"], 4);
    assert_eq!(rig.sandbox.next_received(3).await.len(), 1);
}

#[tokio::test]
async fn old_receipts_go_and_stay_counted() {
    let settings = Settings { receipts_kept: 2, keep_bodies: false, ..Settings::default() };
    let rig = Rig::with(settings).await;
    for _ in 0..3 {
        answer(rig.push(ALICE, "a")).await;
    }
    let seqs = |after| rig.sandbox.received(after).iter().map(|kept| kept.seq).collect::<Vec<_>>();
    assert_eq!((seqs(0), seqs(2), seqs(3), seqs(u64::MAX)), (vec![2, 3], vec![3], vec![], vec![]));
    assert_eq!(rig.sandbox.received(0)[0].messages, None);
    let stats = rig.sandbox.stats();
    assert_eq!((stats.receipts, stats.receipts_dropped, stats.same_text_twice), (3, 1, 0));
}

#[tokio::test]
async fn a_reset_forgets_all_but_goes_on_counting_receipts() {
    let rig = Rig::with(Settings { quota: Some(1), ..Settings::default() }).await;
    rig.sandbox.block(BOB).unwrap();
    answer(rig.push(ALICE, "a").key(KEY)).await;
    assert_eq!(rig.control("/sandbox/reset", &json!({})).await.status, 200);
    assert_eq!(rig.sandbox.stats(), Stats::default());
    assert!(rig.sandbox.received(0).is_empty());
    assert_eq!(answer(rig.push(BOB, "a").key(KEY)).await.status, 200);
    assert_eq!(rig.sandbox.received(0)[0].seq, 2);
    assert_eq!(answer(rig.push(BOB, "a")).await.status, 429, "the quota stays");
}

#[tokio::test]
async fn stats_count_requests_by_what_became_of_them() {
    let rig = Rig::new().await;
    answer(rig.push(ALICE, "a").key(KEY)).await;
    answer(rig.push(ALICE, "a").key(KEY)).await;
    answer(rig.multicast(&[ALICE], "")).await;
    rig.get("/v2/bot/nothing").await;
    let stats = rig.get("/sandbox/stats").await.body;
    assert_eq!(stats["requests"], 4);
    assert_eq!(stats["answers"], json!({ "200": 1, "400": 1, "404": 1, "409": 1 }));
    assert_eq!(serde_json::from_value::<Stats>(stats).unwrap(), rig.sandbox.stats());
}

#[tokio::test]
async fn the_bot_and_the_front_page_introduce_themselves() {
    let rig = Rig::new().await;
    let info = rig.get("/v2/bot/info").await.body;
    assert_eq!(info["userId"], Settings::default().bot_user_id.to_string());
    assert_eq!(rig.get("/v2/bot/profile/U1").await.status, 400);
    for kind in ["reply", "push", "multicast", "narrowcast", "broadcast"] {
        let path = format!("/v2/bot/message/validate/{kind}");
        let got = answer(rig.post(&path, &json!({ "messages": [text_message("a")] }))).await;
        assert_eq!((got.status, got.body), (200, json!({})), "{kind}");
    }
    let page = rig.get("/").await.body;
    assert!(page.as_str().unwrap().contains("/sandbox/received"));
    assert!(rig.sandbox.received(0).is_empty());
}

#[tokio::test]
async fn a_shutdown_ends_serving_even_while_a_request_hangs() {
    let sandbox = Sandbox::new(Settings::default(), Clock::manual(start())).unwrap();
    sandbox.set_faults(Faults { hang_after: 1.0, hang_ms: 600_000, ..Faults::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/bot/message/push", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(sandbox.clone().serve(listener, async {
        stopped.await.ok();
    }));
    let body = json!({ "to": ALICE, "messages": [text_message("a")] }).to_string();
    let request = reqwest::Client::new().post(url).header(AUTHORIZATION, "Bearer t");
    let hanging = tokio::spawn(request.header(CONTENT_TYPE, "application/json").body(body).send());
    sandbox.next_received(0).await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    hanging.abort();
}

// The console.

#[test]
fn a_receipt_reads_as_one_line() {
    let messages = json!([
        { "type": "text", "text": "初日です。\n今日は使い方をご案内します" },
        { "type": "flex", "altText": "ご予約の確認", "contents": {} },
        { "type": "template", "altText": "面接", "template": { "type": "buttons" } },
        { "type": "sticker", "packageId": "1", "stickerId": "2" },
        { "type": "text", "text": "あ".repeat(61) },
    ]);
    let receipt = Receipt {
        seq: 1,
        at: start(),
        user_id: ALICE,
        endpoint: Endpoint::Push,
        retry_key: None,
        request_id: Uuid::nil(),
        silent: false,
        message_count: 5,
        messages: Some(Arc::new(messages)),
    };
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    assert_eq!(
        describe(&receipt, &tokyo),
        format!(
            "2026-03-02 12:00:00  {ALICE}  push  初日です。⏎今日は使い方をご案内します  \
             [flex] ご予約の確認  [buttons] 面接  [sticker 1/2]  {}…",
            "あ".repeat(60)
        )
    );
    let bare = Receipt { messages: None, silent: true, ..receipt };
    assert_eq!(
        describe(&bare, &tokyo),
        format!("2026-03-02 12:00:00  {ALICE}  push (silent)  (5 messages, bodies not kept)")
    );
}
