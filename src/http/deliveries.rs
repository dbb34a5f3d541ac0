//! `/v1/deliveries`: those whose fate is unknown, and what an operator makes of them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, MAX_BODY_BYTES, Problem, Segment, bulk, read};
use crate::dispatch::{Action, Answer};
use crate::engine::Resolution;
use crate::model::DeliveryId;
use crate::store::{self, Store, StoreError, UnknownRow};

/// Deliveries that one answer lists where the caller does not say.
const LISTED: usize = 100;

/// …and at most.
const MAX_LISTED: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    state: Option<String>,
    limit: Option<usize>,
    after: Option<Uuid>,
}

/// A page of deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveriesView {
    pub deliveries: Vec<DeliveryView>,
    /// What to ask for next, as `after`; none at the end.
    pub next: Option<Uuid>,
}

/// A delivery whose fate is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryView {
    pub id: Uuid,
    pub state: String,
    pub reason: String,
    /// None where the member has been erased.
    pub member: Option<String>,
    pub enrollment: Uuid,
    pub scenario: String,
    pub step: String,
    pub due: Timestamp,
    /// When it became unknown.
    pub since: Timestamp,
}

pub(super) async fn list(
    State(api): State<Api>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<DeliveriesView>, Problem> {
    let Query(Asked { state, limit, after }) = asked.map_err(|error| Problem::new(422, error.body_text()))?;
    if state.as_deref().is_some_and(|state| state != "unknown") {
        return Err(Problem::new(
            422,
            "`state` can be `unknown` only; what has become of every other delivery is in its member's timeline",
        ));
    }
    let limit = limit.unwrap_or(LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(Problem::new(422, format!("`limit` is 1 to {MAX_LISTED}")));
    }
    read(&State(api), move |store| deliveries_of(store, after, limit)).await.map(Json)
}

/// Deliveries whose fate is unknown, those after `after`: at most `limit`.
///
/// # Errors
/// What the store says.
pub fn deliveries_of(
    store: &dyn Store,
    after: Option<Uuid>,
    limit: usize,
) -> Result<DeliveriesView, StoreError> {
    let rows = store::page_unknown(store, after.map(DeliveryId), limit)?;
    let next = (rows.len() == limit).then(|| rows.last().map(|(id, _)| id.0)).flatten();
    let deliveries = rows.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(DeliveriesView { deliveries, next })
}

fn view((id, row): (DeliveryId, UnknownRow)) -> Result<DeliveryView, StoreError> {
    let instant = |ms| {
        Timestamp::from_millisecond(ms)
            .map_err(|error| StoreError::Record { key: format!("delivery {id}"), what: error.to_string() })
    };
    Ok(DeliveryView {
        id: id.0,
        state: "unknown".into(),
        due: instant(row.due_ms)?,
        since: instant(row.at_ms)?,
        reason: row.reason,
        member: row.member,
        enrollment: Uuid::from_bytes(*row.enrollment),
        scenario: row.scenario,
        step: row.step,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settling {
    #[serde(rename = "as")]
    how: How,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Accepted,
    Dropped,
    Resend,
}

pub(super) async fn settle(
    State(api): State<Api>,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let none = || Problem::new(404, "there is no such delivery whose fate is unknown");
    let id = Uuid::parse_str(&id).map_err(|_| none())?;
    let bytes = bulk::whole(&headers, body, MAX_BODY_BYTES).await?;
    let settling: Settling = serde_json::from_str(bulk::one(bulk::utf8(&bytes)?)?).map_err(|error| {
        Problem::new(
            422,
            format!("a settlement is `{{\"as\": \"accepted\" | \"dropped\" | \"resend\"}}`: {error}"),
        )
    })?;
    let (resolution, state) = match settling.how {
        How::Accepted => (Resolution::Accepted, "accepted"),
        How::Dropped => (Resolution::Dropped, "expired"),
        How::Resend => (Resolution::Resend, "planned"),
    };
    match api.desk.ask(Action::Settle { delivery: DeliveryId(id), resolution }).await? {
        Answer::Refused(refused) => Err(refused.into()),
        Answer::Done | Answer::Duplicate => Ok(Json(json!({ "id": id, "state": state }))),
    }
}
