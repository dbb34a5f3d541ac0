//! `/v1/scenarios`: what runs, and how often what has happened.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Api, Problem, Segment};
use crate::dispatch::turns::CounterBook;
use crate::model::{ScenarioId, StepId, What};
use crate::scenario::Scenario;
use crate::store::{Counted, Counters};

pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let scenarios = api.scenarios();
    let counters = api.desk.status().counters();
    let views: Vec<Value> = scenarios.iter().map(|scenario| view(scenario, &counters)).collect();
    Json(json!({ "scenarios": views }))
}

pub(super) async fn show(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Value>, Problem> {
    let none = || Problem::new(404, "there is no such scenario");
    let id = ScenarioId::new(&id).map_err(|_| none())?;
    let scenario = api.scenarios().get(&id).cloned().ok_or_else(none)?;
    Ok(Json(view(&scenario, &api.desk.status().counters())))
}

fn view(scenario: &Scenario, book: &CounterBook) -> Value {
    let of = |step: Option<&StepId>| {
        book.get(&Counted { scenario: scenario.id.clone(), step: step.cloned() }).cloned().unwrap_or_default()
    };
    let runs = of(None);
    let steps = scenario.steps.iter().map(|step| {
        let counters = of(Some(&step.id));
        json!({
            "step": step.id.as_str(),
            "accepted": count(&counters, What::Accepted),
            "deferred": count(&counters, What::Deferred),
            "skipped": by_reason(&counters, What::Skipped),
            "rejected": by_reason(&counters, What::Rejected),
            "unknown": count(&counters, What::Unknown),
        })
    });
    json!({
        "id": scenario.id.as_str(),
        "title": scenario.title,
        "zone": scenario.zone.iana_name(),
        "enrolled": count(&runs, What::Enrolled),
        "converted": count(&runs, What::Converted),
        "exited": count(&runs, What::Exited),
        "completed": count(&runs, What::Completed),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn count(counters: &Counters, what: What) -> u64 {
    counters.0.iter().filter(|((counted, _), _)| *counted == what).map(|(_, count)| count).sum()
}

fn by_reason(counters: &Counters, what: What) -> Value {
    let of_kind = counters.0.iter().filter(|((counted, _), _)| *counted == what);
    of_kind
        .map(|((_, reason), count)| (reason.as_deref().unwrap_or_default().to_owned(), json!(count)))
        .collect::<serde_json::Map<String, Value>>()
        .into()
}
