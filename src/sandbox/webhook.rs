//! What people do to the account, as signed webhooks.
//!
//! Source: Messaging API reference, "Webhooks" and "Webhook Event Objects".

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;
use thiserror::Error;

use super::Sandbox;
use super::ledger::{Friendship, PostedEvent, TooManyUsers};
use super::receipt::UserId;

/// LINE counts a later answer as a timeout. Source: LINE Developers, "Check webhook error statistics".
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Characters of a webhook address. Source: Messaging API reference, "Set webhook endpoint URL".
const ADDRESS_MAX: usize = 500;

/// UTF-16 code units of a text that a person writes. LINE's own limit for texts sent.
const TEXT_MAX: usize = 5_000;

/// Characters of a postback's data. Source: Messaging API reference, "Postback action".
const DATA_MAX: usize = 300;

/// Something that a person does to the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Adds the account as a friend, or unblocks it.
    Follow,
    /// Blocks the account.
    Unfollow,
    /// Writes to the account.
    Message { text: String },
    /// Presses a button that carries `data`.
    Postback { data: String },
}

/// The type of an [`Act`], which is that of its webhook event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    Follow,
    Unfollow,
    Message,
    Postback,
}

impl Act {
    pub fn kind(&self) -> ActKind {
        match self {
            Act::Follow => ActKind::Follow,
            Act::Unfollow => ActKind::Unfollow,
            Act::Message { .. } => ActKind::Message,
            Act::Postback { .. } => ActKind::Postback,
        }
    }
}

/// How a webhook was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// `None` for a connectivity check, which carries no event.
    #[serde(rename = "webhookEventId")]
    pub webhook_event_id: Option<String>,
    /// The status answered; `None` when no answer came within 2 seconds.
    pub status: Option<u16>,
    /// Why there is no status.
    pub error: Option<String>,
}

impl Posted {
    /// Answered 2xx. LINE redelivers anything else, where redelivery is on.
    pub fn is_delivered(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Why a person could not do something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActError {
    #[error("no webhook address is set")]
    NoAddress,
    #[error("`{0}` has blocked the account and cannot reach it; let them follow first")]
    Blocked(UserId),
    #[error("there is no such event of `{0}` to redeliver")]
    NothingToRedeliver(UserId),
    #[error("the {what} has {length} characters; LINE takes 1 to {max}")]
    Length { what: &'static str, length: usize, max: usize },
    #[error(transparent)]
    TooManyUsers(#[from] TooManyUsers),
}

/// The text is not an address that webhooks can be posted to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the webhook address is not an http or https URL of at most {ADDRESS_MAX} characters")]
pub struct AddressError;

/// A webhook address. LINE takes https only; on one's own machine plain http does.
pub(super) fn address(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|_| text.len() <= ADDRESS_MAX).ok_or(AddressError)
}

/// The `x-line-signature` of a webhook body: HMAC-SHA256 under the channel secret, in Base64.
///
/// Source: LINE Developers, "Verify webhook signature".
pub fn sign(channel_secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(channel_secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

impl Sandbox {
    /// Does `act` for `user` and posts its webhook; `None` when there is no address to post it to.
    ///
    /// The friendship changes before the webhook goes out, as at LINE.
    ///
    /// # Errors
    ///
    /// When the user could not have done so at LINE, or there is no address for something that has no
    /// effect but its webhook.
    pub async fn act(&self, user: UserId, act: Act) -> Result<Option<Posted>, ActError> {
        let now = self.0.clock.now();
        let kind = act.kind();
        let (event, address) = {
            let mut ledger = self.ledger();
            let address = ledger.webhook();
            let mut event = self.event(user, now, &act);
            match act {
                Act::Follow => {
                    let before = ledger.befriend(user, Friendship::Friend)?;
                    event["follow"] = json!({ "isUnblocked": before == Some(Friendship::Blocked) });
                }
                Act::Unfollow => {
                    ledger.befriend(user, Friendship::Blocked)?;
                }
                Act::Message { .. } | Act::Postback { .. } => {
                    within_length(&act)?;
                    if ledger.has_blocked(user) {
                        return Err(ActError::Blocked(user));
                    }
                    if address.is_none() {
                        return Err(ActError::NoAddress);
                    }
                }
            }
            let Some(address) = address else { return Ok(None) };
            ledger.remember_event(PostedEvent { user, kind, event: event.clone() }, now);
            (event, address)
        };
        Ok(Some(self.post(address, Some(event)).await))
    }

    /// Posts the last event of `kind` from `user` again, marked as redelivered and otherwise the same.
    ///
    /// # Errors
    ///
    /// When there is none, or no address to post it to.
    pub async fn redeliver(&self, user: UserId, kind: ActKind) -> Result<Posted, ActError> {
        let now = self.0.clock.now();
        let (mut event, address) = {
            let mut ledger = self.ledger();
            let address = ledger.webhook().ok_or(ActError::NoAddress)?;
            let event = ledger.recall_event(user, kind, now).ok_or(ActError::NothingToRedeliver(user))?;
            (event, address)
        };
        event["deliveryContext"]["isRedelivery"] = Value::Bool(true);
        Ok(self.post(address, Some(event)).await)
    }

    /// Posts a webhook without events, as LINE's console does to check an address.
    ///
    /// # Errors
    ///
    /// When there is no address to post it to.
    pub async fn check_webhook(&self) -> Result<Posted, ActError> {
        let address = self.ledger().webhook().ok_or(ActError::NoAddress)?;
        Ok(self.post(address, None).await)
    }

    fn event(&self, user: UserId, now: Timestamp, act: &Act) -> Value {
        let timestamp = now.as_millisecond();
        let kind = match act.kind() {
            ActKind::Follow => "follow",
            ActKind::Unfollow => "unfollow",
            ActKind::Message => "message",
            ActKind::Postback => "postback",
        };
        let mut event = json!({
            "type": kind,
            "mode": "active",
            "timestamp": timestamp,
            "source": { "type": "user", "userId": user },
            "webhookEventId": ulid(timestamp, self.0.ids.next()),
            "deliveryContext": { "isRedelivery": false },
        });
        // Nobody who has just blocked the account can be replied to.
        if *act != Act::Unfollow {
            event["replyToken"] = Value::from(format!("{:032x}", self.0.ids.next()));
        }
        match act {
            Act::Follow | Act::Unfollow => {}
            Act::Message { text } => {
                event["message"] = json!({
                    "type": "text",
                    "id": (600_000_000_000_000_000 + (self.0.ids.next() >> 72)).to_string(),
                    "quoteToken": format!("{:032x}", self.0.ids.next()),
                    "text": text,
                });
            }
            Act::Postback { data } => event["postback"] = json!({ "data": data }),
        }
        event
    }

    async fn post(&self, address: Url, event: Option<Value>) -> Posted {
        let id = event.as_ref().and_then(|event| event["webhookEventId"].as_str().map(str::to_owned));
        let events: Vec<Value> = event.into_iter().collect();
        let body = json!({ "destination": self.0.settings.bot_user_id, "events": events }).to_string();
        let signature = sign(&self.0.settings.channel_secret, body.as_bytes());
        let answer = self.0.poster.post(address, body, signature).await;
        let posted = match answer {
            Ok(status) => Posted { webhook_event_id: id, status: Some(status), error: None },
            Err(error) => Posted { webhook_event_id: id, status: None, error: Some(error) },
        };
        self.ledger().count_webhook(posted.is_delivered());
        posted
    }
}

fn within_length(act: &Act) -> Result<(), ActError> {
    let (what, length, max) = match act {
        Act::Message { text } => ("text", text.encode_utf16().count(), TEXT_MAX),
        Act::Postback { data } => ("data", data.chars().count(), DATA_MAX),
        Act::Follow | Act::Unfollow => return Ok(()),
    };
    if (1..=max).contains(&length) { Ok(()) } else { Err(ActError::Length { what, length, max }) }
}

/// The 26 characters of a ULID: 48 bits of milliseconds and 80 bits that tell ids apart.
///
/// Source: <https://github.com/ulid/spec>; LINE calls its event ids ULIDs.
fn ulid(timestamp_ms: i64, drawn: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let ms = u128::from(timestamp_ms.unsigned_abs()) & ((1 << 48) - 1);
    let bits = ms << 80 | drawn >> 48;
    (0..26).rev().map(|place| char::from(DIGITS[(bits >> (place * 5)) as usize & 31])).collect()
}

/// The HTTP client of the webhooks, made with the first of them.
#[derive(Debug, Default)]
pub(super) struct Poster(OnceLock<Client>);

impl Poster {
    /// The status answered, or what went wrong in words.
    async fn post(&self, address: Url, body: String, signature: String) -> Result<u16, String> {
        let request = self
            .client()?
            .post(address)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header("x-line-signature", signature)
            .body(body);
        match request.send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err("no answer within 2 seconds".to_owned()),
            Err(error) => Err(chain(&error.without_url())),
        }
    }

    fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let made = Client::builder()
            .user_agent("LineBotWebhook/2.0")
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            // The address is of this machine or near; a proxy for the world outside is not for it.
            .no_proxy()
            .build()
            .map_err(|error| chain(&error))?;
        Ok(self.0.get_or_init(|| made))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
