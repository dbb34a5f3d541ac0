//! What LINE checks in the body of a request to send.
//!
//! Checked are the shapes and limits that a sender is likely to run into, not all that LINE knows:
//! limits counted in graphemes, the inside of Flex messages and whether media can be fetched are not.
//! Where a documented limit leaves a reading open, the stricter one holds. Texts follow LINE's
//! examples; LINE does not guarantee them.
//!
//! Source: Messaging API reference, "Message objects", "Send push message", "Send multicast message".

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::ledger::Content;
use super::receipt::UserId;

/// Message objects in one request.
const MESSAGES_MAX: usize = 5;
/// Recipients of one multicast.
const RECIPIENTS_MAX: usize = 500;
/// UTF-16 code units of a text.
const TEXT_MAX: usize = 5_000;
/// UTF-16 code units of an alternative text.
const ALT_TEXT_MAX: usize = 1_500;
/// Characters of a media address.
const URL_MAX: usize = 2_000;
/// Bytes of a Flex bubble: LINE says 30 KB, which may mean 1,000 or 1,024 each.
const BUBBLE_BYTES_MAX: usize = 30_000;
/// Bytes of a Flex carousel: LINE says 50 KB.
const CAROUSEL_BYTES_MAX: usize = 50_000;
/// Bubbles of a Flex carousel.
const BUBBLES_MAX: usize = 12;
/// Columns of a template carousel.
const COLUMNS_MAX: usize = 10;
/// Items of a quick reply.
const QUICK_REPLIES_MAX: usize = 13;
/// Actions of an image map.
const IMAGEMAP_ACTIONS_MAX: usize = 50;
/// Characters of an aggregation unit's name.
const UNIT_MAX: usize = 30;

const TYPES: [&str; 11] = [
    "text", "textV2", "sticker", "image", "video", "audio", "location", "coupon", "imagemap", "template",
    "flex",
];

/// Types whose sent message gets a quote token. Source: LINE Developers, "Get quote tokens".
const QUOTABLE: [&str; 7] = ["text", "textV2", "sticker", "image", "video", "template", "flex"];

/// Why a body was refused: the JSON of an error answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refusal {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

#[derive(Clone, Debug, Serialize)]
struct Detail {
    message: String,
    property: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), details: Vec::new() }
    }

    fn property(property: &str) -> Refusal {
        Refusal::new(format!("The property, {property}, in the request body is invalid (line: -, column: -)"))
    }
}

/// A push: its recipient and its messages.
pub(super) fn push(body: &[u8]) -> Result<(UserId, Content), Refusal> {
    let body = object(body)?;
    let to = body.get("to").and_then(Value::as_str).ok_or_else(|| Refusal::property("'to'"))?;
    // The bot is in no group or room, so such an id, which would be well formed, is unknown here.
    if to.starts_with(['C', 'R']) && to.len() == 33 {
        return Err(Refusal::new("Failed to send messages"));
    }
    let to = to.parse().map_err(|_| Refusal::property("'to'"))?;
    let mut findings = Findings::default();
    findings.units(&body);
    Ok((to, content(body, findings)?))
}

/// A multicast: its recipients, in their order, and its messages.
pub(super) fn multicast(body: &[u8]) -> Result<(Vec<UserId>, Content), Refusal> {
    let body = object(body)?;
    let to = body.get("to").and_then(Value::as_array).ok_or_else(|| Refusal::property("to"))?;
    let recipients = to.iter().take(RECIPIENTS_MAX).enumerate().map(|(index, id)| {
        let user = id.as_str().and_then(|id| id.parse().ok());
        user.ok_or_else(|| Refusal::property(&format!("to[{index}]")))
    });
    let recipients = recipients.collect::<Result<Vec<UserId>, Refusal>>()?;
    let mut findings = Findings::default();
    findings.size("to", to.len(), 1, RECIPIENTS_MAX);
    findings.units(&body);
    Ok((recipients, content(body, findings)?))
}

/// A reply: its token and its messages.
pub(super) fn reply(body: &[u8]) -> Result<(String, Content), Refusal> {
    let body = object(body)?;
    let token = body.get("replyToken").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut findings = Findings::default();
    if token.is_empty() {
        findings.add("replyToken", "May not be empty");
    }
    Ok((token, content(body, findings)?))
}

/// The `messages` of a body, whatever else is in it.
pub(super) fn validate(body: &[u8]) -> Result<(), Refusal> {
    content(object(body)?, Findings::default()).map(drop)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::new(format!("The request body could not be parsed as JSON (line: {line}, column: {column})"))
    })
}

fn content(mut body: Map<String, Value>, mut findings: Findings) -> Result<Content, Refusal> {
    let silent = match body.get("notificationDisabled") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(silent)) => *silent,
        Some(_) => return Err(Refusal::property("notificationDisabled")),
    };
    let messages = match body.remove("messages") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(Refusal::property("messages")),
    };
    findings.size("messages", messages.len(), 1, MESSAGES_MAX);
    let mut quotable = 0;
    for (index, message) in messages.iter().enumerate().take(MESSAGES_MAX) {
        let path = format!("messages[{index}]");
        let Value::Object(message) = message else { return Err(Refusal::property(&path)) };
        findings.message(&path, message);
        let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
        quotable |= u8::from(QUOTABLE.contains(&kind)) << index;
    }
    findings.none()?;
    let count = u8::try_from(messages.len()).expect("at most five, found above");
    Ok(Content { messages: Arc::new(Value::Array(messages)), count, quotable, silent })
}

/// What is wrong with a body, gathered before it is refused.
#[derive(Default)]
struct Findings(Vec<Detail>);

impl Findings {
    fn none(self) -> Result<(), Refusal> {
        match self.0.len() {
            0 => Ok(()),
            count => {
                Err(Refusal { message: format!("The request body has {count} error(s)"), details: self.0 })
            }
        }
    }

    fn add(&mut self, property: impl Into<String>, message: impl Into<String>) {
        self.0.push(Detail { message: message.into(), property: property.into() });
    }

    fn size(&mut self, property: &str, size: usize, min: usize, max: usize) {
        if !(min..=max).contains(&size) {
            self.add(property, format!("Size must be between {min} and {max}"));
        }
    }

    /// A required text of at most `max` UTF-16 code units.
    fn text(&mut self, path: &str, object: &Map<String, Value>, name: &str, max: usize) {
        let text = object.get(name).and_then(Value::as_str).unwrap_or_default();
        if text.is_empty() {
            self.add(format!("{path}.{name}"), "May not be empty");
        } else if text.len() > max && text.encode_utf16().count() > max {
            self.add(format!("{path}.{name}"), format!("Length must be between 0 and {max}"));
        }
    }

    /// A required address of something that LINE's clients fetch.
    fn url(&mut self, path: &str, object: &Map<String, Value>, name: &str) {
        self.text(path, object, name, URL_MAX);
        let url = object.get(name).and_then(Value::as_str).unwrap_or("https://");
        if !url.starts_with("https://") {
            self.add(format!("{path}.{name}"), "Must be a valid HTTPS URL");
        }
    }

    fn number(&mut self, path: &str, object: &Map<String, Value>, name: &str) {
        if !object.get(name).is_some_and(Value::is_number) {
            self.add(format!("{path}.{name}"), "May not be empty");
        }
    }

    /// A required list of `min` to `max` items, returned if it is a list.
    fn list<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        name: &str,
        (min, max): (usize, usize),
    ) -> &'a [Value] {
        let list = object.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        self.size(&format!("{path}.{name}"), list.len(), min, max);
        list
    }

    fn message(&mut self, path: &str, message: &Map<String, Value>) {
        match message.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" | "textV2" => self.text(path, message, "text", TEXT_MAX),
            "sticker" => {
                self.text(path, message, "packageId", usize::MAX);
                self.text(path, message, "stickerId", usize::MAX);
            }
            "image" | "video" => {
                self.url(path, message, "originalContentUrl");
                self.url(path, message, "previewImageUrl");
            }
            "audio" => {
                self.url(path, message, "originalContentUrl");
                self.number(path, message, "duration");
            }
            "location" => {
                self.text(path, message, "title", 100);
                self.text(path, message, "address", 100);
                self.number(path, message, "latitude");
                self.number(path, message, "longitude");
            }
            "coupon" => self.text(path, message, "couponId", usize::MAX),
            "imagemap" => {
                self.url(path, message, "baseUrl");
                self.text(path, message, "altText", ALT_TEXT_MAX);
                self.list(path, message, "actions", (1, IMAGEMAP_ACTIONS_MAX));
                if !message.get("baseSize").is_some_and(Value::is_object) {
                    self.add(format!("{path}.baseSize"), "May not be empty");
                }
            }
            "template" => {
                self.text(path, message, "altText", ALT_TEXT_MAX);
                self.template(&format!("{path}.template"), message.get("template"));
            }
            "flex" => {
                self.text(path, message, "altText", ALT_TEXT_MAX);
                self.flex(&format!("{path}.contents"), message.get("contents"));
            }
            _ => self.one_of(path, &TYPES),
        }
        match message.get("quickReply") {
            None | Some(Value::Null) => {}
            Some(Value::Object(quick_reply)) => {
                self.list(&format!("{path}.quickReply"), quick_reply, "items", (1, QUICK_REPLIES_MAX));
            }
            Some(_) => self.add(format!("{path}.quickReply"), "Must be an object"),
        }
    }

    fn one_of(&mut self, path: &str, types: &[&str]) {
        self.add(
            format!("{path}.type"),
            format!("Must be one of the following values: [{}]", types.join(", ")),
        );
    }

    fn template(&mut self, path: &str, template: Option<&Value>) {
        let Some(Value::Object(template)) = template else {
            return self.add(path, "May not be empty");
        };
        match template.get("type").and_then(Value::as_str).unwrap_or_default() {
            "buttons" => {
                self.text(path, template, "text", usize::MAX);
                self.list(path, template, "actions", (1, 4));
            }
            "confirm" => {
                self.text(path, template, "text", usize::MAX);
                self.list(path, template, "actions", (2, 2));
            }
            "carousel" => {
                let columns = self.list(path, template, "columns", (1, COLUMNS_MAX));
                for (index, column) in columns.iter().enumerate().take(COLUMNS_MAX) {
                    let path = format!("{path}.columns[{index}]");
                    let Value::Object(column) = column else {
                        self.add(path, "Must be an object");
                        continue;
                    };
                    self.text(&path, column, "text", usize::MAX);
                    self.list(&path, column, "actions", (1, 3));
                }
            }
            "image_carousel" => {
                self.list(path, template, "columns", (1, COLUMNS_MAX));
            }
            _ => self.one_of(path, &["buttons", "confirm", "carousel", "image_carousel"]),
        }
    }

    fn flex(&mut self, path: &str, contents: Option<&Value>) {
        let Some(contents @ Value::Object(container)) = contents else {
            return self.add(path, "May not be empty");
        };
        let bytes_max = match container.get("type").and_then(Value::as_str).unwrap_or_default() {
            "bubble" => BUBBLE_BYTES_MAX,
            "carousel" => {
                self.list(path, container, "contents", (1, BUBBLES_MAX));
                CAROUSEL_BYTES_MAX
            }
            _ => return self.one_of(path, &["bubble", "carousel"]),
        };
        if contents.to_string().len() > bytes_max {
            self.add(path, format!("Size must be at most {bytes_max} bytes"));
        }
    }

    /// At most one name, of 1 to 30 letters, digits and underscores.
    fn units(&mut self, body: &Map<String, Value>) {
        let units = match body.get("customAggregationUnits") {
            None | Some(Value::Null) => return,
            Some(Value::Array(units)) => units,
            Some(_) => return self.add("customAggregationUnits", "Must be an array"),
        };
        self.size("customAggregationUnits", units.len(), 0, 1);
        for (index, unit) in units.iter().enumerate().take(1) {
            let name = unit.as_str().unwrap_or_default();
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !(1..=UNIT_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
                self.add(
                    format!("customAggregationUnits[{index}]"),
                    format!("Must be 1 to {UNIT_MAX} of the characters a-z, A-Z, 0-9 and _"),
                );
            }
        }
    }
}
