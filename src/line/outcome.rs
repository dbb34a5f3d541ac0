//! Reading an answer: what one attempt came to, decided from the status first and the text second.
//!
//! LINE does not guarantee the texts of its errors, so a text only ever refines what the status says, and
//! an unknown one falls to the variant that claims least. Source: LINE Developers, "Development guidelines
//! (for corporate customers)", on error responses.

use serde_json::{Map, Value};

/// Longest text of LINE's or of a broken connection's that is kept, in characters.
///
/// The longest documented message is under 100; a detail lists a property and a constraint.
const TEXT_CHARS_MAX: usize = 300;

/// Most details kept of one refusal; a request has at most 5 messages, and a person reads these.
const DETAILS_MAX: usize = 20;

/// Shortest run of id-like characters that is left out of a kept text.
///
/// LINE's ids have 33 characters, reply tokens 32, and access tokens well over 100; no English word comes
/// near. Source: LINE Developers, "Get user IDs".
const REDACTED_RUN_MIN: usize = 32;

/// What one attempt to send came to, named for the caller's next move.
///
/// Texts are shortened, on one line, and carry no token, message body or LINE user id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// LINE took the request; it must not be repeated.
    ///
    /// Status 2xx, or 409: LINE holds an accepted request under this retry key.
    /// Source: LINE Developers, "Retry failed API requests".
    Accepted {
        /// LINE's id of the request it accepted; on a 409, of the earlier one if LINE names it.
        request_id: String,
        /// Whether an earlier attempt under this retry key was the accepted one (409).
        accepted_earlier: bool,
    },
    /// Nothing was sent, and the same request may be made later under the same key. Status 429.
    Throttled(Throttle),
    /// Nothing was sent, and repeating the request will not change that. Any other 4xx.
    Refused(Refusal),
    /// Nothing was sent, and nothing else of this channel will be until a person acts. Status 401 or 403.
    Unauthorized {
        /// 401: the token is not valid. 403: the account or its plan may not do this.
        status: u16,
        /// LINE's text.
        message: String,
    },
    /// Nothing was sent: the channel has no token, so no attempt was made.
    NoToken,
    /// Nothing was sent: no connection could be made, so not a byte of the request left.
    NotSent(String),
    /// It is unknown whether LINE took the request; only the same request under the same key can tell.
    ///
    /// A 5xx, a timeout, a lost connection, an answer that is not LINE's, or a status LINE does not document
    /// for this call. Source: LINE Developers, "Retry failed API requests".
    Ambiguous(String),
}

/// What a 429 is about. Source: LINE Developers, "Rate limits" and "Error messages".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// Requests come faster than the endpoint's rate.
    Rate,
    /// The month's quota is used up, or reserved for the moment by another delivery; the quota calls tell.
    MonthlyLimit,
    /// A text not known here; among others, too many messages to one user, whose text is not documented.
    Unclear(String),
}

/// LINE's final no to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 400 to 499.
    pub status: u16,
    /// LINE's text; empty if it could not be read.
    pub message: String,
    /// What LINE found wrong, property by property; often empty.
    pub details: Vec<Detail>,
    /// What the refusal is about, as far as it can be told.
    pub cause: Cause,
}

/// One entry of an error's `details`. Source: LINE Developers, "Error responses".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Path of the property, such as `messages[0].text`; empty if LINE gave none.
    pub property: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a refusal is about: the one addressed, what was said, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The recipient; of a multicast, one or more that LINE did not name.
    Recipient,
    /// The recipient at this index of a multicast's `to`. Nobody of that multicast got anything.
    RecipientAt(usize),
    /// The messages; they would be refused to anybody.
    Content,
    /// The request is over LINE's 2 MB. Status 413.
    TooLarge,
    /// Something else, or a text not known here.
    Other,
}

/// An HTTP answer, with its body if that could be read in full.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `x-line-request-id`; `None` means that it was not LINE who answered.
    pub(super) request_id: Option<String>,
    /// `x-line-accepted-request-id`, on a 409.
    pub(super) accepted_request_id: Option<String>,
    pub(super) body: Option<Vec<u8>>,
}

/// Sorts the answer to a send.
///
/// A 4xx without `x-line-request-id` is ambiguous like any other such answer. It is no verdict of LINE's on
/// the recipient or the content, and a gateway that answers in LINE's place may do so after LINE took the
/// request. Asked again under the same key, LINE itself will say.
pub(super) fn of_send(answer: Answer) -> Outcome {
    let status = answer.status;
    let Some(request_id) = answer.request_id else {
        return Outcome::Ambiguous(not_lines(status));
    };
    match status {
        200..=299 => Outcome::Accepted { request_id, accepted_earlier: false },
        409 => Outcome::Accepted {
            request_id: answer.accepted_request_id.unwrap_or(request_id),
            accepted_earlier: true,
        },
        // Not among LINE's statuses. Its meaning, "I waited for the request in vain; repeat it", must not
        // end as a final refusal.
        408 => Outcome::Ambiguous("status 408".to_owned()),
        401 | 403 => Outcome::Unauthorized { status, message: Error::read(answer.body.as_deref()).message() },
        429 => Outcome::Throttled(throttle(&Error::read(answer.body.as_deref()))),
        400..=499 => Outcome::Refused(refusal(status, &Error::read(answer.body.as_deref()))),
        _ => {
            let message = Error::read(answer.body.as_deref()).message();
            Outcome::Ambiguous(format!("status {status} {message}").trim_end().to_owned())
        }
    }
}

/// Says that an answer lacks LINE's mark.
pub(super) fn not_lines(status: u16) -> String {
    format!("status {status} without x-line-request-id: something other than LINE answered")
}

pub(super) fn throttle(error: &Error) -> Throttle {
    let text = error.message.to_lowercase();
    if text.contains("rate limit") {
        Throttle::Rate
    } else if text.contains("monthly limit") {
        Throttle::MonthlyLimit
    } else {
        Throttle::Unclear(error.message())
    }
}

pub(super) fn refusal(status: u16, error: &Error) -> Refusal {
    let cause = match status {
        413 => Cause::TooLarge,
        400 => cause_of_bad_request(error),
        _ => Cause::Other,
    };
    Refusal { status, message: error.message(), details: error.details(), cause }
}

/// The cause of a 400, by the properties it names and, failing that, by its text.
///
/// Bad messages outweigh a bad recipient: without the recipient, the rest would be refused all the same.
fn cause_of_bad_request(error: &Error) -> Cause {
    let named: Vec<Cause> = error.properties().filter_map(cause_of_property).collect();
    if named.contains(&Cause::Content) {
        return Cause::Content;
    }
    if let Some(at) = named.iter().find(|cause| matches!(cause, Cause::RecipientAt(_))) {
        return *at;
    }
    if named.contains(&Cause::Recipient) || error.message.starts_with("Failed to send messages") {
        return Cause::Recipient;
    }
    if error.message.starts_with("The request body could not be parsed as JSON") {
        return Cause::Content;
    }
    Cause::Other
}

/// `to`, `to[3]` and `messages[0].text` tell the cause; other properties do not.
fn cause_of_property(property: &str) -> Option<Cause> {
    if property == "to" {
        return Some(Cause::Recipient);
    }
    if let Some(index) = property.strip_prefix("to[").and_then(|rest| rest.strip_suffix(']')) {
        return Some(index.parse().map_or(Cause::Recipient, Cause::RecipientAt));
    }
    let rest = property.strip_prefix("messages")?;
    (rest.is_empty() || rest.starts_with(['[', '.', '/'])).then_some(Cause::Content)
}

/// An error body, `{"message", "details"?: [{"message"?, "property"?}]}`, as LINE wrote it.
///
/// What is missing or of another shape reads as empty. Source: LINE Developers, "Error responses".
#[derive(Debug, Default)]
pub(super) struct Error {
    message: String,
    details: Vec<Detail>,
}

impl Error {
    pub(super) fn read(body: Option<&[u8]>) -> Error {
        let parsed = body.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(bytes).ok());
        let Some(object) = parsed else {
            return Error::default();
        };
        let entries = object.get("details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let details = entries
            .iter()
            .map(|entry| Detail {
                property: text_at(entry, "property").to_owned(),
                message: text_at(entry, "message").to_owned(),
            })
            .collect();
        let message = object.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        Error { message, details }
    }

    /// LINE's text, fit to be kept.
    pub(super) fn message(&self) -> String {
        presentable(&self.message)
    }

    /// LINE's details, fit to be kept.
    pub(super) fn details(&self) -> Vec<Detail> {
        self.details
            .iter()
            .take(DETAILS_MAX)
            .map(|detail| Detail {
                property: presentable(&detail.property),
                message: presentable(&detail.message),
            })
            .collect()
    }

    /// The properties that the details name, and the one in `The property, XXX, in the request body …`.
    fn properties(&self) -> impl Iterator<Item = &str> {
        let in_message = self
            .message
            .strip_prefix("The property, ")
            .and_then(|rest| rest.split_once(", in the request body"))
            .map(|(property, _)| property.trim_matches(['\'', '"', '`']));
        self.details.iter().map(|detail| detail.property.as_str()).chain(in_message)
    }
}

fn text_at<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Makes a foreign text fit for logs and records: one line, bounded, and without ids and tokens.
pub(super) fn presentable(text: &str) -> String {
    let mut kept = String::new();
    let mut run = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '_' | '-' | '=') {
            run.push(character);
            continue;
        }
        kept.push_str(if run.len() < REDACTED_RUN_MIN { &run } else { "…" });
        run.clear();
        kept.push(if character.is_control() { ' ' } else { character });
    }
    let kept = kept.trim();
    match kept.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &kept[..end]),
        None => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests;
