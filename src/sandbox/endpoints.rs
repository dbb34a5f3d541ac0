//! LINE's own endpoints: HTTP in, the ledger's verdict out.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::Sandbox;
use super::faults::{Fault, Faults, mix};
use super::ledger::{Content, SentMessages, Verdict, hash_of};
use super::receipt::{Endpoint, UserId};
use super::rules::{self, Refusal};
use super::wire::Wire;

/// Bytes of a request body. Source: "Status codes": 413 over 2 MB. The stricter reading of MB.
const BODY_MAX: usize = 2_000_000;

/// Bytes of a too large body that are read off before it is refused, so that the refusal arrives
/// instead of a reset; past it the connection is closed.
const BODY_DRAINED: usize = 64_000_000;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-line-request-id");
const ACCEPTED_REQUEST_ID: HeaderName = HeaderName::from_static("x-line-accepted-request-id");
const RETRY_KEY: HeaderName = HeaderName::from_static("x-line-retry-key");

const OVER_RATE: &str = "The API rate limit has been exceeded. Try again later.";
const OVER_QUOTA: &str = "You have reached your monthly limit.";
const ALREADY_ACCEPTED: &str = "The retry key is already accepted";
const INVALID_TOKEN: &str = "Authentication failed due to the following reason: invalid token. \
                             Confirm that the access token in the authorization header is valid.";

/// What a request asks for; each has its own rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Push,
    Multicast,
    Reply,
    ValidateReply,
    ValidatePush,
    ValidateMulticast,
    ValidateNarrowcast,
    ValidateBroadcast,
    Quota,
    Consumption,
    Profile,
    BotInfo,
}

impl Call {
    pub(super) const COUNT: usize = 12;

    /// In the order of their discriminants.
    pub(super) const ALL: [Call; Call::COUNT] = [
        Call::Push,
        Call::Multicast,
        Call::Reply,
        Call::ValidateReply,
        Call::ValidatePush,
        Call::ValidateMulticast,
        Call::ValidateNarrowcast,
        Call::ValidateBroadcast,
        Call::Quota,
        Call::Consumption,
        Call::Profile,
        Call::BotInfo,
    ];

    fn of(method: &Method, path: &str) -> Option<Call> {
        let path = path.strip_prefix("/v2/bot/")?;
        let call = match path {
            "message/push" => Call::Push,
            "message/multicast" => Call::Multicast,
            "message/reply" => Call::Reply,
            "message/validate/reply" => Call::ValidateReply,
            "message/validate/push" => Call::ValidatePush,
            "message/validate/multicast" => Call::ValidateMulticast,
            "message/validate/narrowcast" => Call::ValidateNarrowcast,
            "message/validate/broadcast" => Call::ValidateBroadcast,
            "message/quota" => Call::Quota,
            "message/quota/consumption" => Call::Consumption,
            "info" => Call::BotInfo,
            _ if path.starts_with("profile/") => Call::Profile,
            _ => return None,
        };
        (method == call.method()).then_some(call)
    }

    fn method(self) -> Method {
        match self {
            Call::Quota | Call::Consumption | Call::Profile | Call::BotInfo => Method::GET,
            _ => Method::POST,
        }
    }

    fn sends(self) -> bool {
        matches!(self, Call::Push | Call::Multicast | Call::Reply)
    }

    fn takes_retry_key(self) -> bool {
        matches!(self, Call::Push | Call::Multicast)
    }
}

/// An answer of LINE's, always JSON.
struct Answer {
    status: StatusCode,
    body: String,
    accepted_request_id: Option<Uuid>,
}

impl Answer {
    fn ok(body: impl Into<String>) -> Answer {
        Answer { status: StatusCode::OK, body: body.into(), accepted_request_id: None }
    }

    fn error(status: StatusCode, message: &str) -> Answer {
        let body = json!({ "message": message }).to_string();
        Answer { status, body, accepted_request_id: None }
    }

    fn refusal(refusal: &Refusal) -> Answer {
        let body = serde_json::to_string(refusal).expect("texts serialize");
        Answer { status: StatusCode::BAD_REQUEST, body, accepted_request_id: None }
    }
}

/// How a request ends.
enum End {
    Answer(Answer),
    /// A page that is not LINE's.
    Html,
    /// No answer: the connection is cut.
    Cut,
}

/// Everything outside the control addresses comes here.
pub(super) async fn line(
    State(sandbox): State<Sandbox>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response {
    let request_id = sandbox.0.ids.uuid();
    let faults = sandbox.ledger().begin();
    let end = serve(&sandbox, faults, request, request_id).await;
    let (status, body, content_type, accepted) = match end {
        End::Cut => {
            wire.cut();
            return Response::default();
        }
        End::Html => (StatusCode::OK, PROXY_PAGE.to_owned(), "text/html; charset=utf-8", None),
        End::Answer(Answer { status, body, accepted_request_id }) => {
            (status, body, "application/json", accepted_request_id)
        }
    };
    let html = content_type != "application/json";
    let date = sandbox.ledger().answer(status.as_u16(), sandbox.0.clock.now());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(DATE, date);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if !html {
        headers.insert(REQUEST_ID, id_value(request_id));
    }
    if let Some(accepted) = accepted {
        headers.insert(ACCEPTED_REQUEST_ID, id_value(accepted));
    }
    response
}

const PROXY_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head>\
    <body><h1>Sign in to use this network</h1></body></html>\n";

fn id_value(id: Uuid) -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text))
        .expect("hexadecimal digits are visible ASCII")
}

/// Deals with one request, faults included.
///
/// The order of the checks where LINE does not document one: what a gateway would see first, first.
async fn serve(sandbox: &Sandbox, faults: Faults, request: Request, request_id: Uuid) -> End {
    let (parts, body) = request.into_parts();
    // Read off before any answer: a connection with an unread body could not be used again.
    let body = match read(body).await {
        Ok(body) => body,
        Err(Unread::Broken) => return End::Cut,
        Err(Unread::TooLarge) => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large");
        }
    };
    if faults.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    let Some(call) = Call::of(&parts.method, parts.uri.path()) else {
        return refused(StatusCode::NOT_FOUND, "Not found");
    };
    if faults.unauthorized {
        sandbox.ledger().count_fault(Fault::Unauthorized);
        return refused(StatusCode::UNAUTHORIZED, INVALID_TOKEN);
    }
    if !authorized(&parts.headers, sandbox.0.settings.token.as_deref()) {
        return refused(StatusCode::UNAUTHORIZED, INVALID_TOKEN);
    }
    let key = match retry_key(&parts.headers, call) {
        Ok(key) => key,
        Err(message) => return refused(StatusCode::BAD_REQUEST, message),
    };
    let _in_progress = key.map(|key| InProgress::begin(sandbox, key, hash_of((call, &body))));
    if faults.down {
        sandbox.ledger().count_fault(Fault::Down);
        return refused(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable");
    }

    let hang = Duration::from_millis(faults.hang_ms);
    let fault = if call.sends() { sandbox.ledger().draw_fault() } else { None };
    match fault {
        Some(Fault::ErrorBefore) => return internal_error(),
        Some(Fault::Throttle) => return refused(StatusCode::TOO_MANY_REQUESTS, OVER_RATE),
        Some(Fault::Html) => return End::Html,
        Some(Fault::ResetBefore) => return End::Cut,
        Some(Fault::HangBefore) => {
            tokio::time::sleep(hang).await;
            return End::Cut;
        }
        _ => {}
    }
    let answer = perform(sandbox, call, &parts, &body, key, request_id);
    match fault {
        Some(Fault::ErrorAfter) => internal_error(),
        Some(Fault::ResetAfter) => End::Cut,
        Some(Fault::HangAfter) => {
            tokio::time::sleep(hang).await;
            End::Cut
        }
        _ => End::Answer(answer),
    }
}

fn refused(status: StatusCode, message: &str) -> End {
    End::Answer(Answer::error(status, message))
}

fn internal_error() -> End {
    refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}

enum Unread {
    TooLarge,
    Broken,
}

async fn read(mut body: Body) -> Result<Vec<u8>, Unread> {
    let mut kept = Vec::new();
    let mut size = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        size += data.len();
        if size > BODY_DRAINED {
            break;
        }
        if size <= BODY_MAX {
            kept.extend_from_slice(&data);
        }
    }
    if size > BODY_MAX { Err(Unread::TooLarge) } else { Ok(kept) }
}

fn authorized(headers: &HeaderMap, token: Option<&str>) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(given) => token.map_or(!given.is_empty(), |token| given == token),
        None => false,
    }
}

/// The request's retry key: a UUID in hexadecimal form, only where one is taken.
fn retry_key(headers: &HeaderMap, call: Call) -> Result<Option<Uuid>, &'static str> {
    let Some(value) = headers.get(&RETRY_KEY) else { return Ok(None) };
    if !call.takes_retry_key() {
        return Err("The X-Line-Retry-Key header is not supported by this endpoint");
    }
    let text = value.to_str().ok().filter(|text| text.len() == uuid::fmt::Hyphenated::LENGTH);
    let key = text.and_then(|text| Uuid::try_parse(text).ok());
    key.map(Some).ok_or("The value of the X-Line-Retry-Key header is not a UUID")
}

/// Marks a request under a retry key as in progress until it ends or its client goes away.
struct InProgress {
    sandbox: Sandbox,
    key: Uuid,
}

impl InProgress {
    fn begin(sandbox: &Sandbox, key: Uuid, request_hash: u64) -> InProgress {
        sandbox.ledger().enter_key(key, request_hash, sandbox.0.clock.now());
        InProgress { sandbox: sandbox.clone(), key }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.sandbox.ledger().leave_key(self.key);
    }
}

fn perform(
    sandbox: &Sandbox,
    call: Call,
    parts: &Parts,
    body: &[u8],
    key: Option<Uuid>,
    request_id: Uuid,
) -> Answer {
    let now = sandbox.0.clock.now();
    if !sandbox.ledger().within_rate(call, now) {
        return Answer::error(StatusCode::TOO_MANY_REQUESTS, OVER_RATE);
    }
    if call.method() == Method::POST
        && let Err(given) = json_content_type(&parts.headers)
    {
        let message = format!("The content type, {given}, is not supported");
        return Answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
    }
    let done = match call {
        Call::Push => rules::push(body)
            .map(|(to, content)| send(sandbox, Endpoint::Push, &[to], &content, key, request_id)),
        Call::Multicast => rules::multicast(body)
            .map(|(to, content)| send(sandbox, Endpoint::Multicast, &to, &content, key, request_id)),
        Call::Reply => rules::reply(body).map(|(token, content)| {
            let verdict = sandbox.ledger().reply(&token, &content, request_id, now);
            conclude(sandbox, Endpoint::Reply, verdict)
        }),
        Call::ValidateReply
        | Call::ValidatePush
        | Call::ValidateMulticast
        | Call::ValidateNarrowcast
        | Call::ValidateBroadcast => rules::validate(body).map(|()| Answer::ok("{}")),
        Call::Quota => Ok(match sandbox.ledger().quota() {
            Some(quota) => Answer::ok(json!({ "type": "limited", "value": quota }).to_string()),
            None => Answer::ok(json!({ "type": "none" }).to_string()),
        }),
        Call::Consumption => {
            let used = sandbox.ledger().quota_used(now);
            Ok(Answer::ok(json!({ "totalUsage": used }).to_string()))
        }
        Call::Profile => Ok(profile(sandbox, parts.uri.path())),
        Call::BotInfo => Ok(bot_info(sandbox.0.settings.bot_user_id)),
    };
    done.unwrap_or_else(|refusal| Answer::refusal(&refusal))
}

fn json_content_type(headers: &HeaderMap) -> Result<(), String> {
    let given = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or_default());
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(given.to_owned()) }
}

fn send(
    sandbox: &Sandbox,
    endpoint: Endpoint,
    to: &[UserId],
    content: &Content,
    key: Option<Uuid>,
    request_id: Uuid,
) -> Answer {
    let now = sandbox.0.clock.now();
    let verdict = sandbox.ledger().send(endpoint, to, content, key, request_id, now);
    conclude(sandbox, endpoint, verdict)
}

fn conclude(sandbox: &Sandbox, endpoint: Endpoint, verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Accepted(sent) => {
            sandbox.0.arrived.notify_waiters();
            match endpoint {
                Endpoint::Push | Endpoint::Reply => Answer::ok(format!("{{{}}}", sent_messages(sent))),
                Endpoint::Multicast => Answer::ok("{}"),
            }
        }
        Verdict::AlreadyAccepted(accepted) => {
            let mut answer = Answer::error(StatusCode::CONFLICT, ALREADY_ACCEPTED);
            if accepted.endpoint == Endpoint::Push {
                answer.body =
                    format!(r#"{{"message":"{ALREADY_ACCEPTED}",{}}}"#, sent_messages(accepted.sent));
            }
            Answer { accepted_request_id: Some(accepted.request_id), ..answer }
        }
        Verdict::OverQuota => Answer::error(StatusCode::TOO_MANY_REQUESTS, OVER_QUOTA),
        Verdict::InvalidReplyToken => Answer::error(StatusCode::BAD_REQUEST, "Invalid reply token"),
    }
}

/// `"sentMessages":[...]`. The same messages always read the same, also in a later 409.
fn sent_messages(sent: SentMessages) -> String {
    let mut list = String::from("\"sentMessages\":[");
    for index in 0..sent.count {
        let id = sent.first_id + u64::from(index);
        let comma = if index > 0 { "," } else { "" };
        if sent.quotable & 1 << index != 0 {
            let quote = (mix(id), mix(!id));
            list += &format!(r#"{comma}{{"id":"{id}","quoteToken":"{:016x}{:016x}"}}"#, quote.0, quote.1);
        } else {
            list += &format!(r#"{comma}{{"id":"{id}"}}"#);
        }
    }
    list.push(']');
    list
}

fn profile(sandbox: &Sandbox, path: &str) -> Answer {
    let id = path.rsplit('/').next().unwrap_or_default();
    let Ok(user) = id.parse::<UserId>() else {
        let message = "The value for the 'userId' parameter is invalid";
        return Answer::error(StatusCode::BAD_REQUEST, message);
    };
    if !sandbox.ledger().is_friend(user) {
        return Answer::error(StatusCode::NOT_FOUND, "Not found");
    }
    let name = format!("sandbox {}", &id[id.len() - 4..]);
    Answer::ok(json!({ "userId": id, "displayName": name, "language": "ja" }).to_string())
}

fn bot_info(bot: UserId) -> Answer {
    let info = json!({
        "userId": bot,
        "basicId": "@sandbox",
        "displayName": "amadare sandbox",
        "chatMode": "bot",
        "markAsReadMode": "auto",
    });
    Answer::ok(info.to_string())
}
