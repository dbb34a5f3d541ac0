//! `POST /v1/events`.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{Api, Problem, bulk};
use crate::dispatch::{Action, Whom};
use crate::model::{Attributes, Event, EventName, LineUserId, MemberId};

/// How far ahead of our clock an event's time may be: the sender's clock may be wrong by so much.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The longest event id.
const MAX_ID_BYTES: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventBody {
    id: String,
    name: String,
    member: Option<String>,
    line_user: Option<String>,
    at: Option<String>,
    #[serde(default)]
    data: Option<Attributes>,
}

pub(super) async fn post(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let clock = api.clock.clone();
    bulk::take(&api, &headers, body, move |text| parse(text, clock.now()), Problem::from).await
}

/// # Errors
/// An id that is none, in words.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(format!("`id` must be 1 to {MAX_ID_BYTES} bytes: it is how a second arrival is known"));
    }
    Ok(())
}

fn parse(text: &str, now: Timestamp) -> Result<Action, String> {
    let body: EventBody =
        serde_json::from_str(text).map_err(|error| format!("the event is malformed: {error}"))?;
    check_id(&body.id)?;
    let name = EventName::new(&body.name).map_err(|error| error.to_string())?;
    if name.is_reserved() {
        return Err(format!(
            "the event name `{name}` is reserved for what LINE tells; use a name of your own"
        ));
    }
    let member = match (body.member, body.line_user) {
        (Some(member), None) => Whom::Member(MemberId::new(&member).map_err(|error| error.to_string())?),
        (None, Some(user)) => Whom::LineUser(LineUserId::new(&user).map_err(|error| error.to_string())?),
        (Some(_), Some(_)) => return Err("give `member` or `line_user`, not both".into()),
        (None, None) => return Err("`member` or `line_user` is missing".into()),
    };
    let at = match body.at {
        Some(at) => at.parse::<Timestamp>().map_err(|_| {
            format!("`at` must be a time with its offset, such as 2026-03-02T21:50:00+09:00, not {at:?}")
        })?,
        None => now,
    };
    if at.duration_since(now) > MAX_AHEAD {
        return Err(format!("`at` is {at}, more than 5 minutes in the future; it is {now} now"));
    }
    // the store keeps milliseconds
    let at = Timestamp::from_millisecond(at.as_millisecond()).map_err(|error| error.to_string())?;
    let event = Event { id: Some(body.id), name, at, data: body.data.unwrap_or_default() };
    Ok(Action::Event { member, event })
}
