//! `POST /v1/scenarios/{id}/enrollments`: members enter a scenario at somebody's wish.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::{Api, Problem, Segment, bulk, events, scenarios};
use crate::dispatch::{Action, Refused};
use crate::engine::{Enroll, Refusal};
use crate::model::{Attributes, MAX_NAME_BYTES, MemberId, ScenarioId};
use crate::scenario::{Again, Offset, Scenario};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrollmentBody {
    member: String,
    id: Option<String>,
    key: Option<String>,
    data: Option<Attributes>,
}

pub(super) async fn post(
    State(api): State<Api>,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let scenario = scenarios::find(&api, &id)?;
    let parse = |text: &str| parse(text, &scenario.id);
    bulk::take(&api, &headers, body, parse, |refused| problem(&scenario, refused)).await
}

fn parse(text: &str, scenario: &ScenarioId) -> Result<Action, String> {
    let EnrollmentBody { member, id, key, data } =
        serde_json::from_str(text).map_err(|error| format!("the enrollment is malformed: {error}"))?;
    let member = MemberId::new(&member).map_err(|error| error.to_string())?;
    if let Some(id) = &id {
        events::check_id(id)?;
    }
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_NAME_BYTES) {
        return Err(format!("`key` is 1 to {MAX_NAME_BYTES} bytes; leave it out for the scenario's own"));
    }
    let wish = Enroll {
        // the ids of events, and of wishes for other scenarios, are remembered beside it
        id: id.map(|id| format!("enroll {scenario} {id}")),
        scenario: scenario.clone(),
        key: key.map(Into::into),
        data: data.unwrap_or_default(),
    };
    Ok(Action::Enroll { member, wish })
}

/// Why a member cannot enter: the engine's word, the rule behind it, and what to do.
fn problem(scenario: &Scenario, refused: Refused) -> Problem {
    let Refused::Bound(Refusal::NotEnrolled { reason }) = &refused else { return refused.into() };
    let id = &scenario.id;
    let (word, object) = match reason.split_once('(') {
        Some((word, rest)) => (word, rest.strip_suffix(')').unwrap_or(rest)),
        None => (reason.as_str(), ""),
    };
    let in_zone = |at: Option<jiff::Timestamp>| match at {
        Some(at) => at.to_zoned_datetime(scenario.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        None => "then".into(),
    };
    let (status, why) = match word {
        "again" => {
            let rule = scenario.rule_by_hand().map_or_else(String::new, |enter| rule(&enter.again));
            (409, format!("the member has entered `{id}` before, and {rule}"))
        }
        "where" => (409, format!("the `where` beside `manual` of `{id}` does not hold for the member")),
        "by_date" => {
            (409, format!("only a date of the member starts `{id}`; set the attribute that its `date` names"))
        }
        "not_started" => {
            let starts = in_zone(scenario.starts);
            (409, format!("`{id}` takes nobody in before {starts}, its `starts`; ask again then"))
        }
        "ended" => {
            let ends = in_zone(scenario.ends);
            (409, format!("`{id}` takes nobody in since {ends}, its `ends`; move that if it is to go on"))
        }
        "missing" => {
            let help = match object.split_once('.') {
                Some(("event", name)) => format!("give `{name}` in `data`"),
                Some(("member", name)) => format!("tell the member's attribute `{name}` first"),
                _ => "give it a value".into(),
            };
            (
                422,
                format!("`{object}` has no value, and the `key` or the `anchor` of `{id}` needs it; {help}"),
            )
        }
        "error" => (
            422,
            format!(
                "the `key` or the `anchor` of `{id}` cannot be told: {object}; `event` in them is `data`"
            ),
        ),
        // the set may have been swapped since the scenario was looked up
        _ => return refused.into(),
    };
    Problem::new(status, format!("the member cannot enter ({reason}): {why}"))
}

/// What `again` allows, and what to do where it does not.
fn rule(again: &Again) -> String {
    match again {
        Again::Never => {
            "`again: never` lets a member enter once under one key; give another `key` for a run of its own"
                .into()
        }
        Again::AfterExit => {
            "`again: after_exit` waits for the end of that run; give another `key` for a run beside it".into()
        }
        Again::CoolDown(pause) => {
            let pause = written(pause);
            format!(
                "`again: {pause}` waits for the end of that run, and {pause} from the last entry; ask again then"
            )
        }
        Again::Always => "`again` has changed since; ask again".into(),
    }
}

fn written(offset: &Offset) -> String {
    match offset {
        Offset::Exact(time) => format!("{time:#}"),
        Offset::Civil(span) => format!("{span:#}"),
    }
}
