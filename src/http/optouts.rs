//! `POST /v1/members/{id}/optout` and `/optin`: what a member does not want to get, or wants again.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Api, MAX_BODY_BYTES, Problem, Segment, bulk, members};
use crate::dispatch::{Action, Answer};
use crate::engine::{Change, OptChange};
use crate::model::{Attributes, MAX_NAME_BYTES};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptBody {
    #[serde(default, deserialize_with = "not_null")]
    topic: Option<String>,
}

/// Null is no topic that somebody meant, and must not come to mean everything.
fn not_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

pub(super) async fn out(
    api: State<Api>,
    id: Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    opt(api, id, &headers, body, |topic| OptChange::Out { topic }).await
}

pub(super) async fn back_in(
    api: State<Api>,
    id: Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    opt(api, id, &headers, body, |topic| OptChange::In { topic }).await
}

async fn opt(
    State(api): State<Api>,
    Segment(id): Segment,
    headers: &HeaderMap,
    body: Body,
    change: fn(Option<String>) -> OptChange,
) -> Result<Json<Value>, Problem> {
    let member = members::member_id(&id)?;
    let bytes = bulk::whole(headers, body, MAX_BODY_BYTES).await?;
    let opt = Some(change(topic(bulk::utf8(&bytes)?)?));
    let change = Change { opt, ..Change::default() };
    if let Answer::Refused(refused) = api.desk.ask(Action::Change { member, change, link: None }).await? {
        return Err(refused.into());
    }
    members::show(State(api), Segment(id)).await
}

/// The topic that a body names; none for everything.
fn topic(text: &str) -> Result<Option<String>, Problem> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| {
        let expected = "the body is `{\"topic\": \"…\"}`, or `{}` or nothing for everything";
        Problem::new(422, format!("{expected}: {error}"))
    };
    // only an object: an empty list would pass for one without a topic
    let object: Attributes = serde_json::from_str(bulk::one(text)?).map_err(wrong)?;
    let OptBody { topic } = serde_json::from_value(Value::Object(object)).map_err(wrong)?;
    if topic.as_ref().is_some_and(|topic| topic.is_empty() || topic.len() > MAX_NAME_BYTES) {
        return Err(Problem::new(422, format!("a topic is 1 to {MAX_NAME_BYTES} bytes")));
    }
    Ok(topic)
}
