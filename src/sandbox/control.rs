//! The sandbox's own addresses, under `/sandbox`: looking, breaking things, and playing the people.
//!
//! Nothing here asks who is calling; the sandbox belongs on a loopback address.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post, put};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Sandbox;
use super::endpoints;
use super::faults::Faults;
use super::receipt::{Receipt, UserId};
use super::webhook::{Act, ActError, ActKind, Posted};

/// Bytes of a control request: the longest text with every character escaped fits.
const CONTROL_BODY_MAX: usize = 64 * 1024;

/// Receipts in one answer; `next_after` leads to the rest.
const PAGE: usize = 10_000;

/// Longest wait for a receipt, in real time: below the timeouts of usual clients.
const WAIT_MAX_MS: u64 = 25_000;

const ADDRESSES: &str = "\
amadare sandbox: a local stand-in for LINE's Messaging API. Nothing sent here reaches LINE.

As LINE's (Authorization: Bearer TOKEN):
  POST /v2/bot/message/push | multicast | reply
  POST /v2/bot/message/validate/{reply|push|multicast|narrowcast|broadcast}
  GET  /v2/bot/message/quota, /v2/bot/message/quota/consumption
  GET  /v2/bot/profile/{userId}, /v2/bot/info

To look:
  GET  /sandbox/received?after=N&user=U...&wait_ms=MS   what people received, from receipt N on
  GET  /sandbox/stats                                   counts; `duplicates` is the one to watch

To break things:
  GET  /sandbox/faults
  PUT  /sandbox/faults    {\"error_before\":0.05,\"error_after\":0.05,...}   replaces all; {} ends all
  PUT  /sandbox/quota     {\"value\":1000} or {\"value\":null}
  POST /sandbox/reset     forget everything but settings

To be somebody (posts a signed webhook; ?redeliver=true posts the last such again):
  PUT  /sandbox/webhook                {\"url\":\"http://127.0.0.1:8787/line/webhook\"} or {\"url\":null}
  POST /sandbox/webhook/check          a webhook without events
  POST /sandbox/users/{id}/follow      or unblock
  POST /sandbox/users/{id}/unfollow    or block
  POST /sandbox/users/{id}/message     {\"text\":\"...\"}
  POST /sandbox/users/{id}/postback    {\"data\":\"...\"}
";

/// All addresses, LINE's included.
pub(super) fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/", get(async || ADDRESSES))
        .route("/sandbox/received", get(received))
        .route("/sandbox/stats", get(stats))
        .route("/sandbox/faults", get(faults).put(set_faults))
        .route("/sandbox/quota", put(set_quota))
        .route("/sandbox/webhook", put(set_webhook))
        .route("/sandbox/webhook/check", post(check_webhook))
        .route("/sandbox/users/{id}/{act}", post(act))
        .route("/sandbox/reset", post(reset))
        .layer(DefaultBodyLimit::max(CONTROL_BODY_MAX))
        .fallback(endpoints::line)
        .with_state(sandbox)
}

/// A refusal in the words of whoever found the mistake.
struct Refused(StatusCode, String);

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        json_response(self.0, &json!({ "message": self.1 }))
    }
}

fn bad_request(reason: impl ToString) -> Refused {
    Refused(StatusCode::BAD_REQUEST, reason.to_string())
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(body).expect("plain data serializes");
    body.push(b'\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn ok(body: &impl Serialize) -> Response {
    json_response(StatusCode::OK, body)
}

fn parse<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refused> {
    let body = body.map_err(|rejection| Refused(rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(bad_request)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceivedQuery {
    #[serde(default)]
    after: u64,
    user: Option<String>,
    #[serde(default)]
    wait_ms: u64,
}

async fn received(
    State(sandbox): State<Sandbox>,
    query: Result<Query<ReceivedQuery>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(ReceivedQuery { after, user, wait_ms }) = query.map_err(|bad| bad_request(bad.body_text()))?;
    let user = user.map(|user| user.parse::<UserId>()).transpose().map_err(bad_request)?;
    if wait_ms > WAIT_MAX_MS {
        return Err(bad_request(format!("`wait_ms` is {wait_ms}; the longest wait is {WAIT_MAX_MS}")));
    }
    let receipts = if wait_ms == 0 {
        sandbox.page(after, user)
    } else {
        let arrival = sandbox.wait(|sandbox| sandbox.page(after, user));
        tokio::time::timeout(Duration::from_millis(wait_ms), arrival).await.unwrap_or_default()
    };
    let next_after = receipts.last().map_or(after, |last| last.seq);
    Ok(ok(&json!({ "receipts": receipts, "next_after": next_after })))
}

async fn stats(State(sandbox): State<Sandbox>) -> Response {
    ok(&sandbox.stats())
}

async fn faults(State(sandbox): State<Sandbox>) -> Response {
    ok(&sandbox.faults())
}

async fn set_faults(
    State(sandbox): State<Sandbox>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let faults: Faults = parse(body)?;
    sandbox.set_faults(faults).map_err(bad_request)?;
    Ok(ok(&faults))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaBody {
    #[serde(deserialize_with = "stated")]
    value: Option<u64>,
}

/// An optional value whose key must be there: leaving it out is more likely a mistake than a `null`.
fn stated<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(value)
}

async fn set_quota(
    State(sandbox): State<Sandbox>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let QuotaBody { value } = parse(body)?;
    sandbox.set_quota(value);
    Ok(ok(&json!({ "value": value })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookBody {
    #[serde(deserialize_with = "stated")]
    url: Option<String>,
}

async fn set_webhook(
    State(sandbox): State<Sandbox>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let WebhookBody { url } = parse(body)?;
    sandbox.set_webhook(url.as_deref()).map_err(bad_request)?;
    Ok(ok(&json!({ "url": url })))
}

async fn check_webhook(State(sandbox): State<Sandbox>) -> Result<Response, Refused> {
    sandbox.check_webhook().await.map(Some).map(posted).map_err(act_refused)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActQuery {
    #[serde(default)]
    redeliver: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageBody {
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostbackBody {
    data: String,
}

async fn act(
    State(sandbox): State<Sandbox>,
    Path((id, act)): Path<(String, String)>,
    query: Result<Query<ActQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let Query(ActQuery { redeliver }) = query.map_err(|bad| bad_request(bad.body_text()))?;
    let user: UserId = id.parse().map_err(bad_request)?;
    let kind = match &*act {
        "follow" | "unblock" => ActKind::Follow,
        "unfollow" | "block" => ActKind::Unfollow,
        "message" => ActKind::Message,
        "postback" => ActKind::Postback,
        other => {
            let reason = format!("a user cannot `{other}`; see GET / for what they can do");
            return Err(Refused(StatusCode::NOT_FOUND, reason));
        }
    };
    if redeliver {
        return sandbox.redeliver(user, kind).await.map(Some).map(posted).map_err(act_refused);
    }
    let act = match kind {
        ActKind::Follow => Act::Follow,
        ActKind::Unfollow => Act::Unfollow,
        ActKind::Message => Act::Message { text: parse::<MessageBody>(body)?.text },
        ActKind::Postback => Act::Postback { data: parse::<PostbackBody>(body)?.data },
    };
    sandbox.act(user, act).await.map(posted).map_err(act_refused)
}

fn posted(posted: Option<Posted>) -> Response {
    let delivered = posted.as_ref().is_none_or(Posted::is_delivered);
    let status = if delivered { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    json_response(status, &json!({ "webhook": posted }))
}

fn act_refused(error: ActError) -> Refused {
    let status = match error {
        ActError::Length { .. } => StatusCode::BAD_REQUEST,
        ActError::NothingToRedeliver(_) => StatusCode::NOT_FOUND,
        ActError::NoAddress | ActError::Blocked(_) | ActError::TooManyUsers(_) => StatusCode::CONFLICT,
    };
    Refused(status, error.to_string())
}

async fn reset(State(sandbox): State<Sandbox>) -> Response {
    sandbox.reset();
    ok(&Value::Object(serde_json::Map::new()))
}

impl Sandbox {
    fn page(&self, after: u64, user: Option<UserId>) -> Vec<Receipt> {
        let ledger = self.ledger();
        let wanted = ledger.received(after).filter(|receipt| user.is_none_or(|user| receipt.user_id == user));
        wanted.take(PAGE).cloned().collect()
    }
}
