//! `/healthz` and `/readyz`: whether the daemon lives, and whether it can do its job.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::dispatch::{Hold, MAX_OUTBOX};

/// The turn loop beats twice a second; ten seconds without one is no coincidence.
pub const MAX_BEAT_AGE: Duration = Duration::from_secs(10);

/// How far behind due work may be before the daemon says that it does not keep up.
const MAX_DUE_LAG: Duration = Duration::from_secs(60);

/// The parts of the daemon that other code reports on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Scenarios,
    LineToken,
    Quota,
}

impl Component {
    fn word(self) -> &'static str {
        match self {
            Component::Scenarios => "scenarios",
            Component::LineToken => "line_token",
            Component::Quota => "quota",
        }
    }
}

/// What is known of components that nobody can be asked about.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<BTreeMap<Component, (bool, Value)>>);

impl Readiness {
    pub fn set(&self, component: Component, ok: bool, detail: Value) {
        self.0.lock().expect("no holder of this lock panics").insert(component, (ok, detail));
    }

    pub fn get(&self, component: Component) -> Option<(bool, Value)> {
        self.0.lock().expect("no holder of this lock panics").get(&component).cloned()
    }
}

pub(super) async fn healthz(State(api): State<Api>) -> Response {
    let failure = api.desk.status().failure();
    let beat_age = api.desk.since_beat();
    match failure {
        Some(failure) => Problem::new(503, failure).into_response(),
        None if beat_age >= MAX_BEAT_AGE => {
            Problem::new(503, format!("the turn loop stands still since {} s", beat_age.as_secs()))
                .into_response()
        }
        None => Json(json!({ "status": "ok", "now": api.clock.now().to_string() })).into_response(),
    }
}

pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let components = components(&api);
    let failing: Vec<&str> = components.iter().filter(|(_, ok, _)| !ok).map(|(name, ..)| *name).collect();
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let shown: serde_json::Map<String, Value> = (components.iter())
        .map(|(name, ok, detail)| ((*name).to_owned(), json!({ "ok": ok, "detail": detail })))
        .collect();
    let body = json!({ "ready": failing.is_empty(), "failing": failing, "components": shown });
    (status, Json(body)).into_response()
}

fn components(api: &Api) -> Vec<(&'static str, bool, Value)> {
    let status = api.desk.status();
    let failure = status.failure();
    let lag = status.due_lag();
    let outbox = status.outbox();
    let holds: Vec<&str> = status.holds().into_iter().map(Hold::word).collect();
    let sends = if holds.is_empty() { "open".to_owned() } else { holds.join(", ") };
    let mut components = vec![
        ("store", failure.is_none(), json!(failure.unwrap_or_else(|| "writable".into()))),
        ("due_lag", lag < MAX_DUE_LAG, json!({ "ms": lag.as_millis() as u64 })),
        ("outbox", outbox < MAX_OUTBOX, json!({ "parcels": outbox, "bound": MAX_OUTBOX })),
        ("sends", holds.is_empty(), json!(sends)),
        // nothing that a load balancer should act on, but what an operator should see
        ("deliveries", true, json!({ "unknown": status.unknown() })),
    ];
    for component in [Component::Scenarios, Component::LineToken, Component::Quota] {
        let (ok, detail) = api.readiness.get(component).unwrap_or((true, json!("not looked at yet")));
        components.push((component.word(), ok, detail));
    }
    components
}
