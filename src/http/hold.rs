//! `POST /v1/hold` and `/v1/release`: the one switch for all sends.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::dispatch::{Action, Hold};

pub(super) async fn hold(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    switch(&api, Action::Hold(Hold::Operator)).await
}

pub(super) async fn release(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    switch(&api, Action::Release).await
}

async fn switch(api: &Api, action: Action) -> Result<Json<Value>, Problem> {
    api.desk.ask(action).await?;
    let holds = api.desk.status().holds();
    let reasons: Vec<Value> =
        holds.iter().map(|hold| json!({ "reason": hold.word(), "remedy": hold.remedy() })).collect();
    Ok(Json(json!({ "sends": if holds.is_empty() { "open" } else { "held" }, "holds": reasons })))
}
