//! `/v1/members`.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, MAX_BODY_BYTES, Problem, Segment, bulk, read};
use crate::dispatch::{Action, Answer, IfTaken, LinkRequest};
use crate::engine::Change;
use crate::model::{
    Attributes, Event, EventName, Friendship, LineUserId, MAX_NAME_BYTES, MemberFile, MemberId, Standing,
};
use crate::store;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberBody {
    id: Option<String>,
    attributes: Option<Attributes>,
    tags: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "not_null")]
    line_user_id: Option<String>,
    /// Take the LINE user away from another member.
    #[serde(default, rename = "move")]
    take_over: bool,
    /// Let scenarios hear of the link and of the change, so that it may start them; silent otherwise.
    #[serde(default)]
    notify: bool,
}

/// A link that is left out is no change; null would look like the wish to take it away.
fn not_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let why =
        "`line_user_id` cannot be null: a link cannot be taken away yet, only moved to another LINE user";
    Option::<String>::deserialize(from)?.map(Some).ok_or_else(|| serde::de::Error::custom(why))
}

pub(super) async fn put(
    State(api): State<Api>,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let member = member_id(&id)?;
    let bytes = bulk::whole(&headers, body, MAX_BODY_BYTES).await?;
    let body = parse(bulk::one(bulk::utf8(&bytes)?)?).map_err(|error| Problem::new(422, error))?;
    if body.id.as_ref().is_some_and(|other| *other != id) {
        return Err(Problem::new(422, "`id` in the body is not the one in the path"));
    }
    let action = action(member.clone(), body, api.clock.now()).map_err(|e| Problem::new(422, e))?;
    if let Answer::Refused(refused) = api.desk.ask(action).await? {
        return Err(refused.into());
    }
    show(State(api), Segment(id)).await
}

pub(super) async fn put_many(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let clock = api.clock.clone();
    let parse = move |text: &str| {
        let body = parse(text)?;
        let id = body.id.as_deref().ok_or("`id` is missing")?;
        let member = MemberId::new(id).map_err(|error| error.to_string())?;
        action(member, body, clock.now())
    };
    bulk::take(&api, &headers, body, parse, Problem::from).await
}

fn parse(text: &str) -> Result<MemberBody, String> {
    serde_json::from_str(text).map_err(|error| format!("the member is malformed: {error}"))
}

fn action(member: MemberId, body: MemberBody, now: Timestamp) -> Result<Action, String> {
    for tag in body.tags.iter().flatten() {
        if tag.is_empty() || tag.len() > MAX_NAME_BYTES {
            return Err(format!("a tag is 1 to {MAX_NAME_BYTES} bytes"));
        }
    }
    let user = body.line_user_id.map(|user| LineUserId::new(&user)).transpose();
    let user = user.map_err(|error| format!("`line_user_id`: {error}"))?;
    if user.is_some() && member.as_provisional().is_some_and(|own| user.as_ref() != Some(&own)) {
        return Err("a member `line:…` stands for that LINE user and cannot be linked to another".into());
    }
    let taken = if body.take_over { IfTaken::Move } else { IfTaken::Refuse };
    let event = (body.notify && user.is_some()).then(|| {
        let name = EventName::new("line.link").expect("it is a name");
        Box::new(Event { id: None, name, at: now, data: Attributes::new() })
    });
    let link = user.map(|user| LinkRequest { user, taken });
    let change = Change {
        attributes: body.attributes,
        tags: body.tags,
        event,
        silent: !body.notify,
        ..Change::default()
    };
    Ok(Action::Change { member, change, link })
}

pub(super) async fn show(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&load(&State(api), &id).await?)))
}

/// The file of a member; of the member that a provisional one was linked to.
pub(super) async fn load(api: &State<Api>, id: &str) -> Result<MemberFile, Problem> {
    let id = member_id(id)?;
    let file = read(api, move |store| {
        let load = |id: &MemberId| Ok(store::load_members(store, std::slice::from_ref(id))?.pop().flatten());
        match load(&id)? {
            Some(MemberFile { merged_into: Some(owner), .. }) => load(&owner),
            other => Ok(other),
        }
    });
    file.await?.ok_or_else(|| Problem::new(404, "there is no such member"))
}

pub(super) async fn erase(State(api): State<Api>, Segment(id): Segment) -> Result<StatusCode, Problem> {
    let member = member_id(&id)?;
    match api.desk.ask(Action::Erase { member }).await? {
        Answer::Refused(refused) => Err(refused.into()),
        Answer::Done | Answer::Duplicate => Ok(StatusCode::NO_CONTENT),
    }
}

pub(super) fn member_id(text: &str) -> Result<MemberId, Problem> {
    MemberId::new(text).map_err(|error| Problem::new(422, error.to_string()))
}

/// A member as the API shows it.
pub fn view(file: &MemberFile) -> Value {
    let enrollments = file.enrollments.iter().filter(|run| run.is_live()).map(|run| {
        let (state, until) = match &run.now {
            Standing::Waiting { until } => ("waiting", Some(until.to_string())),
            Standing::InFlight(_) => ("in_flight", None),
        };
        json!({
            "id": run.id.to_string(),
            "scenario": run.scenario.as_str(),
            "key": run.key.as_deref(),
            "entered_at": run.entered_at.to_string(),
            "anchor": run.anchor.to_string(),
            "state": state,
            "until": until,
        })
    });
    json!({
        "id": file.id.as_str(),
        "attributes": &*file.attributes,
        "tags": &*file.tags,
        "line_user_id": file.link.as_ref().map(|link| link.user.as_str()),
        "friendship": file.link.as_ref().map(|link| match link.friendship {
            Friendship::Unknown => "unknown",
            Friendship::Friend => "friend",
            Friendship::Blocked => "blocked",
        }),
        "opted_out": { "all": file.opted_out.all, "topics": file.opted_out.topics },
        "enrollments": enrollments.collect::<Vec<_>>(),
    })
}
