//! `POST /line/webhook`: verify, make durable, answer.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::{Api, MAX_BODY_BYTES, Problem, bulk};
use crate::dispatch::{Action, Answer};
use crate::line::webhook::{self, Kind, Mode, Source, WebhookEvent};
use crate::model::{Attributes, Event, EventName, Friendship, LineUserId};

/// How much of a message's text its event carries, in bytes as JSON. LINE's longest text, 5,000
/// characters, would be over the bound of an event's data, and the event would be lost for it.
const MAX_TEXT_BYTES: usize = 3 * 1024;

pub(super) async fn receive(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let bytes = bulk::whole(&headers, body, MAX_BODY_BYTES).await?;
    let signature = headers.get("x-line-signature").and_then(|value| value.to_str().ok());
    {
        let secret = api.channel_secret.read().expect("no holder of this lock panics");
        let Some(secret) = &*secret else {
            return Err(Problem::new(503, "no channel secret is configured, so webhooks cannot be verified"));
        };
        if !signature.is_some_and(|signature| webhook::verify(secret, &bytes, signature)) {
            tracing::warn!("refused a webhook without a valid signature");
            return Err(Problem::new(401, "the signature is missing or wrong"));
        }
    }
    let webhook = webhook::parse(&bytes).map_err(|error| Problem::new(400, error.to_string()))?;
    for problem in &webhook.malformed {
        tracing::warn!(problem, "an event of a webhook is malformed");
    }
    let now = api.clock.now();
    let actions: Vec<Action> = webhook.events.into_iter().filter_map(|event| action(event, now)).collect();
    for answer in api.desk.ask_all(actions).await? {
        if let Answer::Refused(refused) = answer {
            // LINE would only send the same again
            tracing::warn!(reason = %refused, "an event of a webhook was not taken in");
        }
    }
    Ok(StatusCode::OK)
}

/// What an event of a webhook asks for; none for those that say nothing about a member.
fn action(event: WebhookEvent, now: Timestamp) -> Option<Action> {
    let user = event.user_id.as_deref().and_then(|id| LineUserId::new(id).ok())?;
    if event.source != Source::User || event.mode == Mode::Standby {
        return None;
    }
    let (name, friendship, data) = match event.kind {
        Kind::Follow { unblocked } => {
            ("line.follow", Some(Friendship::Friend), json!({ "unblocked": unblocked.unwrap_or(false) }))
        }
        Kind::Unfollow => ("line.unfollow", Some(Friendship::Blocked), json!({})),
        Kind::Message(message) => {
            let text = message.text.as_deref().map(|text| cut(text, MAX_TEXT_BYTES));
            ("line.message", None, json!({ "type": message.message_type, "text": text }))
        }
        Kind::Postback { data, params } => ("line.postback", None, json!({ "data": data, "params": params })),
        Kind::AccountLink { .. } | Kind::Other { .. } => return None,
    };
    let serde_json::Value::Object(mut data) = data else { return None };
    data.retain(|_, value| !value.is_null());
    // LINE's clock may be a little ahead of ours
    let at = Timestamp::from_millisecond(event.timestamp_ms).unwrap_or(now).min(now);
    let event =
        Event { id: Some(event.id), name: EventName::new(name).ok()?, at, data: Attributes::from(data) };
    Some(Action::Line { user, event, friendship })
}

/// The longest start of a text that takes at most `max_bytes` within JSON.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    let mut bytes = 0;
    for (at, letter) in text.char_indices() {
        bytes += match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\u{0}'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        if bytes > max_bytes {
            return &text[..at];
        }
    }
    text
}
