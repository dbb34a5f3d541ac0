//! What a person received, and how it reads on a console.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

/// Characters of one message shown on a console line.
const SHOWN_CHARS: usize = 60;

/// A LINE user: `U` and 32 lower-case hexadecimal digits.
///
/// Source: LINE Developers FAQ, "What are userId, groupId, and roomId?".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(u128);

/// The text is not a LINE user id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a LINE user id; one is `U` and 32 of the digits 0-9 and a-f")]
pub struct BadUserId(String);

impl UserId {
    /// The user whose 32 digits spell `bits`; handy for numbering test users.
    pub const fn from_bits(bits: u128) -> UserId {
        UserId(bits)
    }
}

impl FromStr for UserId {
    type Err = BadUserId;

    fn from_str(text: &str) -> Result<UserId, BadUserId> {
        let bad = || BadUserId(text.chars().take(SHOWN_CHARS).collect());
        let digits = text.strip_prefix('U').filter(|digits| digits.len() == 32).ok_or_else(bad)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad());
        }
        u128::from_str_radix(digits, 16).map(UserId).map_err(|_| bad())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U{:032x}", self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The way a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    Push,
    Multicast,
    Reply,
}

impl Endpoint {
    /// The word used in JSON and on the console.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Push => "push",
            Endpoint::Multicast => "multicast",
            Endpoint::Reply => "reply",
        }
    }
}

/// What one person got from one accepted request.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Counts up from 1 in order of acceptance.
    pub seq: u64,
    /// On the sandbox's clock.
    pub at: Timestamp,
    pub user_id: UserId,
    pub endpoint: Endpoint,
    pub retry_key: Option<Uuid>,
    /// `x-line-request-id` of the request that was accepted.
    pub request_id: Uuid,
    /// Asked for no notification on the device (`notificationDisabled`).
    pub silent: bool,
    /// 1 to 5.
    pub message_count: u8,
    /// The array of message objects as sent; `None` when bodies are not kept.
    #[serde(serialize_with = "shared")]
    pub messages: Option<Arc<Value>>,
}

fn shared<S: Serializer>(messages: &Option<Arc<Value>>, serializer: S) -> Result<S::Ok, S::Error> {
    messages.as_deref().serialize(serializer)
}

/// One line for a console: when (in `zone`), to whom, by which way, and what, shortened.
pub fn describe(receipt: &Receipt, zone: &TimeZone) -> String {
    let at = receipt.at.to_zoned_datetime(zone.clone()).strftime("%F %T");
    let messages = match receipt.messages.as_deref() {
        Some(Value::Array(messages)) => messages.iter().map(describe_message).collect::<Vec<_>>().join("  "),
        _ => format!("({} messages, bodies not kept)", receipt.message_count),
    };
    let silent = if receipt.silent { " (silent)" } else { "" };
    format!("{at}  {}  {}{silent}  {messages}", receipt.user_id, receipt.endpoint.name())
}

/// A message object in a few words: its text, or its type and what a notification would show of it.
///
/// Never more than one line, and free of control characters.
pub fn describe_message(message: &Value) -> String {
    let field = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = field("type");
    match kind {
        "text" | "textV2" => shorten(field("text")),
        "flex" | "imagemap" => format!("[{kind}] {}", shorten(field("altText"))),
        "template" => {
            let template = message.get("template").and_then(|template| template.get("type"));
            let template = template.and_then(Value::as_str).unwrap_or(kind);
            format!("[{}] {}", shorten(template), shorten(field("altText")))
        }
        "sticker" => format!("[sticker {}/{}]", shorten(field("packageId")), shorten(field("stickerId"))),
        "image" | "video" | "audio" => format!("[{kind}] {}", shorten(field("originalContentUrl"))),
        "location" => format!("[location] {}", shorten(field("title"))),
        "coupon" => format!("[coupon {}]", shorten(field("couponId"))),
        other => format!("[{}]", shorten(other)),
    }
}

fn shorten(text: &str) -> String {
    let mut line = String::new();
    for (shown, char) in text.chars().enumerate() {
        if shown == SHOWN_CHARS {
            line.push('…');
            break;
        }
        line.push(match char {
            '\n' => '⏎',
            char if char.is_control() => ' ',
            char => char,
        });
    }
    line
}
