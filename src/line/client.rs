//! One HTTP call at a time to the Messaging API, over connections that are kept.

use std::fmt;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::endpoint::Endpoint;
use super::outcome::{self, Answer, Detail, Error, Outcome, Refusal};
use crate::clock::Monotonic;

/// Most of an answer's body that is read. LINE's are under 2 KB, an error with many details included.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest request id that is kept, in bytes; LINE's are UUIDs of 36 characters.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Connections kept open per host: 2,000 pushes a second (LINE's limit) at 100 ms each need 200.
/// Source: LINE Developers, "Rate limits".
const IDLE_CONNECTIONS_MAX: usize = 256;

/// How long an unused connection is kept.
///
/// Well under the 60 s after which common load balancers close one. A request written to a connection that
/// is being closed ends as ambiguous, so an idle one is given up rather than tried.
const IDLE_CONNECTION_AGE_MAX: Duration = Duration::from_secs(15);

const RETRY_KEY: HeaderName = HeaderName::from_static("x-line-retry-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-line-request-id");
const ACCEPTED_REQUEST_ID: HeaderName = HeaderName::from_static("x-line-accepted-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Calls the Messaging API for one channel. Clones share connections and the token.
///
/// A call is one request on the wire: never repeated, and redirects are not followed. It speaks HTTP/1.1,
/// where a lost connection leaves one request in doubt and not all that share it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    endpoint: Endpoint,
    /// `Bearer …`, read by every attempt, so a reload reaches those already queued.
    authorization: RwLock<Option<HeaderValue>>,
    /// LINE's clock, as last heard.
    date: Mutex<Option<(Timestamp, Monotonic)>>,
    push: Url,
    multicast: Url,
    validate_push: Url,
    bot_info: Url,
    quota: Url,
    consumption: Url,
}

/// How long to wait for LINE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, from the name lookup to the end of the TLS handshake. 5 s by default.
    pub connect: Duration,
    /// For the whole call, connecting included. 10 s by default.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(5), request: Duration::from_secs(10) }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The whole call may not end before its first part.
    #[error(
        "the request timeout ({request:?}) is not longer than the connect timeout ({connect:?}), so a push \
         that never left would count as one that may have been accepted"
    )]
    Timeouts {
        /// [`Timeouts::connect`] as given.
        connect: Duration,
        /// [`Timeouts::request`] as given.
        request: Duration,
    },
    /// TLS could not be set up; most often the system has no root certificates.
    #[error("could not prepare HTTPS; are root certificates (`ca-certificates`) installed?")]
    Setup(#[source] reqwest::Error),
}

/// The token has characters that no access token has, such as a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel access token is empty or has characters that cannot be in one")]
pub struct UnusableToken;

/// Why a call other than a send gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The channel has no token, so LINE was not asked.
    #[error("no channel access token is set")]
    NoToken,
    /// The token is not valid (401), or the account or its plan may not ask this (403).
    #[error("LINE does not authorize this (status {status}): {message}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// LINE's text.
        message: String,
    },
    /// Too many calls (429); ask later.
    #[error("LINE asks for fewer calls")]
    Throttled,
    /// Another 4xx; asking again will not help.
    #[error("LINE refused (status {}): {}", .0.status, .0.message)]
    Refused(Refusal),
    /// No answer of LINE's that can be used: no connection, a timeout, a 5xx, or something unreadable.
    #[error("no usable answer: {0}")]
    Unanswered(String),
}

/// The account behind the token. Source: LINE Developers, "Get bot info".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BotInfo {
    /// LINE's id of the account, which is also the `destination` of its webhooks.
    pub user_id: String,
    /// The account's basic id, such as `@216ru...`.
    pub basic_id: String,
    /// The id the owner chose and pays for.
    pub premium_id: Option<String>,
    /// The account's name.
    pub display_name: String,
}

/// How many messages the account may send this month.
///
/// The official account manager's own messages count too. Source: LINE Developers, "Get the target limit
/// for sending messages this month".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// No limit is set.
    None,
    /// This many people addressed, free and additional messages together.
    Limited(u64),
}

/// What a user shows of themselves. Source: LINE Developers, "Get profile".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The name shown in LINE.
    pub display_name: String,
    /// A BCP 47 tag, such as `ja`; `None` unless the user agreed to share it.
    pub language: Option<String>,
    /// An HTTPS URL of the profile picture, if there is one.
    pub picture_url: Option<String>,
    /// The status message, if there is one.
    pub status_message: Option<String>,
}

/// LINE's opinion of message objects it was not asked to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validation {
    /// They have a form that LINE would send.
    Valid,
    /// They would be refused.
    Invalid {
        /// LINE's text.
        message: String,
        /// What is wrong, property by property, such as `messages[0].text`.
        details: Vec<Detail>,
    },
}

impl Client {
    /// A client without a token yet; see [`Client::set_token`].
    ///
    /// A proxy set in the environment is used, except for a loopback endpoint.
    ///
    /// # Errors
    ///
    /// When the timeouts contradict each other, or when an `https` endpoint finds no root certificates.
    pub fn new(endpoint: Endpoint, timeouts: Timeouts) -> Result<Client, ClientError> {
        let Timeouts { connect, request } = timeouts;
        if request <= connect {
            return Err(ClientError::Timeouts { connect, request });
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("amadare/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .timeout(request)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_CONNECTION_AGE_MAX);
        if endpoint.is_loopback() {
            builder = builder.no_proxy();
        }
        if !endpoint.is_https() {
            // Nothing will be encrypted, so a machine without root certificates is no obstacle.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Client(Arc::new(Inner {
            http,
            authorization: RwLock::new(None),
            date: Mutex::new(None),
            push: endpoint.at("/v2/bot/message/push"),
            multicast: endpoint.at("/v2/bot/message/multicast"),
            validate_push: endpoint.at("/v2/bot/message/validate/push"),
            bot_info: endpoint.at("/v2/bot/info"),
            quota: endpoint.at("/v2/bot/message/quota"),
            consumption: endpoint.at("/v2/bot/message/quota/consumption"),
            endpoint,
        })))
    }

    /// Where the calls go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// LINE's clock as its newest answer told it, and when that came.
    ///
    /// In whole seconds. Only answers with LINE's mark count: a proxy's clock is nobody's business.
    pub fn date(&self) -> Option<(Timestamp, Monotonic)> {
        *self.0.date.lock().expect("no holder of this lock panics")
    }

    /// Replaces the channel access token for every attempt from now on, those of clones included.
    ///
    /// # Errors
    ///
    /// When the text cannot be sent as a token; the previous one then stays in use.
    pub fn set_token(&self, token: Option<SecretString>) -> Result<(), UnusableToken> {
        let value = token.map(|token| bearer(&token)).transpose()?;
        *self.0.authorization.write().expect("no holder of this lock panics") = value;
        Ok(())
    }

    /// Makes one attempt to push `body` to one recipient under `retry_key`.
    ///
    /// `body` is sent as it is. Two attempts under one key must have the same bytes and not overlap: LINE
    /// documents neither case. Source: LINE Developers, "Send push message" and "Retry failed API requests".
    pub async fn push(&self, retry_key: Uuid, body: impl Into<Body>) -> Outcome {
        self.send(&self.0.push, retry_key, body.into()).await
    }

    /// Makes one attempt to send `body` to up to 500 recipients under `retry_key`: to all or, unless
    /// accepted, to nobody.
    ///
    /// As for [`Client::push`]. Source: LINE Developers, "Send multicast message".
    pub async fn multicast(&self, retry_key: Uuid, body: impl Into<Body>) -> Outcome {
        self.send(&self.0.multicast, retry_key, body.into()).await
    }

    /// Asks whose token this is.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn bot_info(&self) -> Result<BotInfo, CallError> {
        read_json(self.get(&self.0.bot_info).await?)
    }

    /// Asks for this month's limit.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; a kind of limit that is not known here is [`CallError::Unanswered`].
    pub async fn quota(&self) -> Result<Quota, CallError> {
        #[derive(Deserialize)]
        struct Wire {
            r#type: String,
            value: Option<u64>,
        }
        let wire: Wire = read_json(self.get(&self.0.quota).await?)?;
        match (wire.r#type.as_str(), wire.value) {
            ("none", _) => Ok(Quota::None),
            ("limited", Some(value)) => Ok(Quota::Limited(value)),
            _ => Err(CallError::Unanswered("a quota of a kind that is not known here".to_owned())),
        }
    }

    /// Asks how many of this month's messages are used up; LINE calls the figure approximate.
    ///
    /// Source: LINE Developers, "Get number of messages sent this month".
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn consumption(&self) -> Result<u64, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            total_usage: u64,
        }
        let wire: Wire = read_json(self.get(&self.0.consumption).await?)?;
        Ok(wire.total_usage)
    }

    /// Asks for a user's profile; `None` if LINE has none to show (404).
    ///
    /// That is a user who is unknown, blocks the account, is not a friend or never consented; LINE does not
    /// say which. A text that cannot be a LINE id is `None` without a call.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn profile(&self, user_id: &str) -> Result<Option<Profile>, CallError> {
        // Anything but letters and digits could change the path that is asked for.
        if user_id.is_empty() || !user_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let answer = self.get(&self.0.endpoint.at(&format!("/v2/bot/profile/{user_id}"))).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        read_json(answer).map(Some)
    }

    /// Asks whether LINE would push these messages; nothing is sent.
    ///
    /// `messages_json` is a JSON array of one to five message objects. Recipients and unit names are not
    /// looked at. Source: LINE Developers, "Validate message objects of a push message".
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn validate_push(&self, messages_json: &[u8]) -> Result<Validation, CallError> {
        let body = [br#"{"messages":"#, messages_json, b"}"].concat();
        let mut request = Request::new(Method::POST, self.0.validate_push.clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        *request.body_mut() = Some(body.into());
        let answer = self.ask(request).await?;
        if answer.status == 400 {
            let error = Error::read(answer.body.as_deref());
            return Ok(Validation::Invalid { message: error.message(), details: error.details() });
        }
        succeed(answer).map(|_| Validation::Valid)
    }

    async fn send(&self, url: &Url, retry_key: Uuid, body: Body) -> Outcome {
        let Some(authorization) = self.authorization() else {
            return Outcome::NoToken;
        };
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(RETRY_KEY, key_value(retry_key));
        *request.body_mut() = Some(body);
        match self.exchange(request).await {
            Ok(answer) => outcome::of_send(answer),
            Err(NoAnswer::NotConnected(text)) => Outcome::NotSent(text),
            Err(NoAnswer::Lost(text)) => Outcome::Ambiguous(text),
        }
    }

    async fn get(&self, url: &Url) -> Result<Answer, CallError> {
        self.ask(Request::new(Method::GET, url.clone())).await
    }

    /// Makes a call whose repetition harms nobody, and gives LINE's answer whatever its status.
    async fn ask(&self, mut request: Request) -> Result<Answer, CallError> {
        let authorization = self.authorization().ok_or(CallError::NoToken)?;
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let answer = self.exchange(request).await.map_err(|none| match none {
            NoAnswer::NotConnected(text) | NoAnswer::Lost(text) => CallError::Unanswered(text),
        })?;
        if answer.request_id.is_none() {
            return Err(CallError::Unanswered(outcome::not_lines(answer.status)));
        }
        Ok(answer)
    }

    async fn exchange(&self, request: Request) -> Result<Answer, NoAnswer> {
        let mut response = self.0.http.execute(request).await.map_err(|error| {
            // Covers the name lookup, the TCP and the TLS handshake, and running out of time in them.
            let connected = !error.is_connect();
            let text = describe(error);
            if connected { NoAnswer::Lost(text) } else { NoAnswer::NotConnected(text) }
        })?;
        let status = response.status().as_u16();
        let request_id = id_in(response.headers(), &REQUEST_ID);
        let accepted_request_id = id_in(response.headers(), &ACCEPTED_REQUEST_ID);
        if request_id.is_some()
            && let Some(date) = date_in(response.headers())
        {
            *self.0.date.lock().expect("no holder of this lock panics") = Some((date, Monotonic::now()));
        }
        let body = read_body(&mut response).await;
        Ok(Answer { status, request_id, accepted_request_id, body })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.0.authorization.read().expect("no holder of this lock panics").clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.endpoint.to_string()).finish()
    }
}

/// A call that brought no answer.
#[derive(Debug)]
enum NoAnswer {
    /// Not a byte of the request left.
    NotConnected(String),
    /// The request may have arrived.
    Lost(String),
}

/// The header that carries the token, marked so that it is never printed.
fn bearer(token: &SecretString) -> Result<HeaderValue, UnusableToken> {
    let token = token.expose_secret();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnusableToken);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| UnusableToken)?;
    value.set_sensitive(true);
    Ok(value)
}

fn key_value(retry_key: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(retry_key.hyphenated().encode_lower(&mut buffer))
        .expect("a UUID is digits, letters and hyphens")
}

fn id_in(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let id = headers.get(name)?.to_str().ok()?;
    (!id.is_empty()).then(|| id.chars().take(REQUEST_ID_BYTES_MAX).collect())
}

/// The `Date` of an answer. Source: RFC 9110, section 6.6.1.
fn date_in(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The whole body, or `None` if it is too long, breaks off or takes too long.
async fn read_body(response: &mut reqwest::Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The chain of an error's causes on one line, without the URL, which may hold a user id.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    outcome::presentable(&text)
}

/// The body of a 2xx.
fn succeed(answer: Answer) -> Result<Vec<u8>, CallError> {
    let status = answer.status;
    let error = || Error::read(answer.body.as_deref());
    match status {
        200..=299 => answer
            .body
            .ok_or_else(|| CallError::Unanswered("the answer could not be read to its end".to_owned())),
        401 | 403 => Err(CallError::Unauthorized { status, message: error().message() }),
        429 => Err(CallError::Throttled),
        400..=499 => Err(CallError::Refused(outcome::refusal(status, &error()))),
        _ => Err(CallError::Unanswered(format!("status {status}"))),
    }
}

fn read_json<T: DeserializeOwned>(answer: Answer) -> Result<T, CallError> {
    let body = succeed(answer)?;
    // serde's own text could quote the answer, and so a user's name.
    serde_json::from_slice(&body)
        .map_err(|_| CallError::Unanswered("the answer does not have the documented form".to_owned()))
}

#[cfg(test)]
mod tests;
