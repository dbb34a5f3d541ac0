//! What LINE posts to us: its signature, and the events in it.
//!
//! LINE adds event types and properties without notice, so unknown ones pass and never fail the rest.
//! Source: LINE Developers, "Development guidelines" and "Webhook Event Objects".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;

/// Whether `signature`, the value of `x-line-signature`, proves that LINE wrote `body`.
///
/// `body` is the untouched bytes, and this comes before reading them. The comparison takes the same time
/// wherever they differ. With an empty secret, which anybody could sign with, nothing is proven.
/// Source: LINE Developers, "Verify webhook signature".
pub fn verify(secret: &SecretString, body: &[u8], signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    !secret.expose_secret().is_empty() && keyed(secret, body).verify_slice(&signature).is_ok()
}

/// The signature that LINE would send with `body`, for the sandbox and for tests.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    STANDARD.encode(keyed(secret, body).finalize().into_bytes())
}

/// Reads a webhook's body, which [`verify`] has passed.
///
/// An event that lacks what LINE documents for every event or for its type is left out and told of in
/// [`Webhook::malformed`]; the others are unharmed. JSON nested more than about 125 deep fails the whole.
///
/// # Errors
///
/// When the body as a whole is not a webhook.
pub fn parse(body: &[u8]) -> Result<Webhook, ParseError> {
    let Value::Object(mut object) = serde_json::from_slice(body).map_err(ParseError::NotJson)? else {
        return Err(ParseError::Shape("an object"));
    };
    let destination = take_text(&mut object, "destination").ok_or(ParseError::Shape("a `destination`"))?;
    let Some(Value::Array(values)) = object.remove("events") else {
        return Err(ParseError::Shape("a list of `events`"));
    };
    let mut webhook =
        Webhook { destination, events: Vec::with_capacity(values.len()), malformed: Vec::new() };
    for (index, value) in values.into_iter().enumerate() {
        match read_event(value) {
            Ok(event) => webhook.events.push(event),
            Err(flaw) => webhook.malformed.push(format!("events[{index}] {flaw}")),
        }
    }
    Ok(webhook)
}

/// Why a body is not a webhook. The texts quote nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not JSON, or nested too deeply.
    #[error("the webhook is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON without this.
    #[error("the webhook is not what LINE documents: it has to be or have {0}")]
    Shape(&'static str),
}

/// One POST of LINE's. An empty list of events is a check of the connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// LINE's id of the account that the events happened to.
    pub destination: String,
    /// In the order they stand; that is not the order they happened in, which
    /// [`WebhookEvent::timestamp_ms`] gives.
    pub events: Vec<WebhookEvent>,
    /// One text for each event left out, with its place and what it lacks, but nothing of its content.
    ///
    /// An event without `webhookEventId` or `timestamp` is among them. It could be neither told from its own
    /// repetition nor put in order, and LINE documents both for every event.
    pub malformed: Vec<String>,
}

/// Something that happened between a user and the account.
///
/// The `Debug` form holds ids and what people wrote; it is not for logs.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEvent {
    /// `webhookEventId`, the same in every repetition of the event.
    pub id: String,
    /// When it happened, in Unix milliseconds, also when delivered late or again.
    pub timestamp_ms: i64,
    /// Who did it; `None` where LINE does not say, such as for users who never consented.
    pub user_id: Option<String>,
    /// Where it happened.
    pub source: Source,
    /// Whether the account may act on it.
    pub mode: Mode,
    /// Whether LINE says that it delivers the event again. Repetitions without this mark happen too.
    pub redelivery: bool,
    /// Answers the event for free, once, within about a minute.
    pub reply_token: Option<String>,
    /// What happened.
    pub kind: Kind,
}

/// Where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the chat with one user.
    User,
    /// In a group chat.
    Group,
    /// In a multi-person chat.
    Room,
    /// LINE did not say, as for a failed account link, or named a place not known here.
    None,
}

/// Whether the account may act on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It may.
    Active,
    /// Another module of the account answers; nothing may be sent for this event.
    Standby,
    /// LINE did not say, or said something not known here.
    Other,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The user added the account, or unblocked it.
    Follow {
        /// Whether it was an unblocking. LINE does not promise that this is right, and older events lack it.
        unblocked: Option<bool>,
    },
    /// The user blocked the account.
    Unfollow,
    /// The user wrote or sent something.
    Message(Message),
    /// The user pressed something that the account had offered.
    Postback {
        /// As the account had set it.
        data: String,
        /// A picked date or time, or the outcome of a rich menu switch.
        params: Option<Map<String, Value>>,
    },
    /// An attempt to link the user to a member came to its end.
    AccountLink {
        /// Whether it succeeded. If not, LINE does not tell who tried.
        ok: bool,
        /// As our server had made it.
        nonce: String,
    },
    /// Anything else, new types included.
    Other {
        /// LINE's `type`.
        event_type: String,
    },
}

/// A message from a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// LINE's id of the message.
    pub id: String,
    /// `text`, `image`, `sticker` and so on.
    pub message_type: String,
    /// The words of a `text` message.
    pub text: Option<String>,
    /// The whole message object, as LINE sent it.
    pub raw: Map<String, Value>,
}

fn keyed(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

/// Reads one event, or says what is wrong with it.
fn read_event(value: Value) -> Result<WebhookEvent, &'static str> {
    let Value::Object(mut event) = value else {
        return Err("is not an object");
    };
    let id = take_text(&mut event, "webhookEventId").ok_or("has no usable `webhookEventId`")?;
    let timestamp_ms = event.get("timestamp").and_then(Value::as_i64).ok_or("has no usable `timestamp`")?;
    let event_type = take_text(&mut event, "type").ok_or("has no usable `type`")?;
    let mut place = take_object(&mut event, "source").unwrap_or_default();
    let source = match place.get("type").and_then(Value::as_str) {
        Some("user") => Source::User,
        Some("group") => Source::Group,
        Some("room") => Source::Room,
        _ => Source::None,
    };
    let mode = match event.get("mode").and_then(Value::as_str) {
        Some("active") => Mode::Active,
        Some("standby") => Mode::Standby,
        _ => Mode::Other,
    };
    let delivery = event.get("deliveryContext");
    let redelivery = delivery.and_then(|context| context.get("isRedelivery")) == Some(&Value::Bool(true));
    Ok(WebhookEvent {
        id,
        timestamp_ms,
        user_id: take_text(&mut place, "userId"),
        source,
        mode,
        redelivery,
        reply_token: take_text(&mut event, "replyToken"),
        kind: read_kind(event_type, event)?,
    })
}

fn read_kind(event_type: String, mut event: Map<String, Value>) -> Result<Kind, &'static str> {
    match event_type.as_str() {
        "follow" => {
            let follow = event.get("follow");
            let unblocked = follow.and_then(|follow| follow.get("isUnblocked")).and_then(Value::as_bool);
            Ok(Kind::Follow { unblocked })
        }
        "unfollow" => Ok(Kind::Unfollow),
        "message" => {
            let raw = take_object(&mut event, "message").ok_or("has no usable `message`")?;
            Ok(Kind::Message(Message {
                id: text_in(&raw, "id").ok_or("has no usable `message.id`")?,
                message_type: text_in(&raw, "type").ok_or("has no usable `message.type`")?,
                text: text_in(&raw, "text"),
                raw,
            }))
        }
        "postback" => {
            let mut postback = take_object(&mut event, "postback").ok_or("has no usable `postback`")?;
            let Some(Value::String(data)) = postback.remove("data") else {
                return Err("has no usable `postback.data`");
            };
            Ok(Kind::Postback { data, params: take_object(&mut postback, "params") })
        }
        "accountLink" => {
            let mut link = take_object(&mut event, "link").ok_or("has no usable `link`")?;
            let ok = link.get("result").and_then(Value::as_str) == Some("ok");
            Ok(Kind::AccountLink {
                ok,
                nonce: take_text(&mut link, "nonce").ok_or("has no usable `link.nonce`")?,
            })
        }
        _ => Ok(Kind::Other { event_type }),
    }
}

/// A text that is there and not empty, moved out.
fn take_text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match object.remove(key)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn take_object(object: &mut Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
    match object.remove(key)? {
        Value::Object(inner) => Some(inner),
        _ => None,
    }
}

fn text_in(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests;
