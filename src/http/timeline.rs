//! `GET /v1/members/{id}/timeline`.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Api, Problem, Segment, members, read};
use crate::engine::plan::{self, When};
use crate::model::{Happening, MemberFile};
use crate::scenario::ScenarioSet;
use crate::store::{self, Store, StoreError};

/// History rows that one answer reads: some twenty happenings each.
const MAX_ROWS: u32 = 200;

/// What happened to a member and what is planned, each with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineView {
    pub member: String,
    /// Oldest first.
    pub happened: Vec<HappenedView>,
    /// Soonest first within each run.
    pub planned: Vec<PlannedView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HappenedView {
    pub at: Timestamp,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a deferral, the instant it was moved to; for an outcome, the instant it was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedView {
    pub scenario: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub step: String,
    /// `planned`, `after_the_one_before`, `if_taken` (a choice before it is still to be made) or `in_flight`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

pub(super) async fn show(
    State(api): State<Api>,
    Segment(id): Segment,
) -> Result<Json<TimelineView>, Problem> {
    let api = State(api);
    let file = members::load(&api, &id).await?;
    let scenarios = api.scenarios();
    read(&api, move |store| timeline_of(store, &file, &scenarios)).await.map(Json)
}

/// Puts together a member's timeline.
///
/// # Errors
/// What the store says.
pub fn timeline_of(
    store: &dyn Store,
    file: &MemberFile,
    scenarios: &ScenarioSet,
) -> Result<TimelineView, StoreError> {
    let from = file.history_rows.saturating_sub(MAX_ROWS);
    let rows = store::page_history(store, &file.id, from, MAX_ROWS as usize)?;
    let older = rows.into_iter().flat_map(|(_, happenings)| happenings);
    Ok(TimelineView {
        member: file.id.to_string(),
        happened: older.chain(file.journal.iter().cloned()).map(happened_view).collect(),
        planned: plan::planned(file, scenarios).into_iter().map(planned_view).collect(),
    })
}

fn happened_view(happening: Happening) -> HappenedView {
    HappenedView {
        at: happening.at,
        what: happening.what.word().to_owned(),
        scenario: happening.scenario.map(|id| id.to_string()),
        step: happening.step.map(|id| id.to_string()),
        reason: happening.reason.map(|reason| reason.to_string()),
        until: happening.until,
    }
}

fn planned_view(planned: plan::Planned) -> PlannedView {
    let (state, at) = match planned.when {
        When::At(at) => ("planned", Some(at)),
        When::AfterTheOneBefore => ("after_the_one_before", None),
        When::IfTaken => ("if_taken", None),
        When::InFlight { since } => ("in_flight", Some(since)),
    };
    PlannedView {
        scenario: planned.scenario.to_string(),
        key: planned.key.map(|key| key.to_string()),
        step: planned.step.to_string(),
        state: state.to_owned(),
        at,
    }
}
