//! `/v1/scenarios`: what runs, and how often what has happened.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Api, Problem, Segment};
use crate::dispatch::turns::CounterBook;
use crate::model::{ScenarioId, StepId, What};
use crate::scenario::{Act, CapRule, Priority, Scenario, Trigger};
use crate::store::{Counted, Counters};

pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let scenarios = api.scenarios();
    let counters = api.desk.status().counters();
    let views: Vec<Value> = scenarios.iter().map(|scenario| view(scenario, &counters)).collect();
    Json(json!({ "scenarios": views }))
}

pub(super) async fn show(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Value>, Problem> {
    let scenario = find(&api, &id)?;
    Ok(Json(view(&scenario, &api.desk.status().counters())))
}

/// The scenario of a path.
pub(super) fn find(api: &Api, id: &str) -> Result<Arc<Scenario>, Problem> {
    let none = || Problem::new(404, "there is no such scenario");
    let id = ScenarioId::new(id).map_err(|_| none())?;
    api.scenarios().get(&id).cloned().ok_or_else(none)
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
            "does": does(&step.act),
            "accepted": count(&counters, What::Accepted),
            "done": count(&counters, What::Done),
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
        "triggers": scenario.enter.iter().map(|enter| trigger(&enter.trigger)).collect::<Vec<_>>(),
        "priority": match scenario.priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        },
        "topic": scenario.topic.as_deref(),
        "caps": match scenario.caps {
            CapRule::Defer => "defer",
            CapRule::Skip => "skip",
            CapRule::Exempt => "exempt",
        },
        "holdout": (scenario.holdout > 0).then(|| percent(scenario.holdout)),
        "paused": scenario.paused,
        "starts": scenario.starts.map(|starts| starts.to_string()),
        "ends": scenario.ends.map(|ends| ends.to_string()),
        "enrolled": count(&runs, What::Enrolled),
        "converted": count(&runs, What::Converted),
        "exited": count(&runs, What::Exited),
        "completed": count(&runs, What::Completed),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// What starts it, by the words of scenario files.
fn trigger(trigger: &Trigger) -> Value {
    match trigger {
        Trigger::Event(name) => json!({ "by": "on", "event": name.as_str() }),
        Trigger::Segment(_) => json!({ "by": "segment" }),
        Trigger::Date { yearly, .. } => json!({ "by": "date", "yearly": yearly }),
        Trigger::Every(cron) => json!({ "by": "every", "cron": cron.as_written() }),
        Trigger::Manual => json!({ "by": "manual" }),
    }
}

/// What a step does, by the word of scenario files.
pub(super) fn does(act: &Act) -> &'static str {
    match act {
        Act::Push(_) => "push",
        Act::Set(_) => "set",
        Act::Call(_) => "call",
        Act::Enter(_) => "enter",
        Act::Exit => "exit",
        Act::Branch(_) => "branch",
        Act::Split(_) => "split",
        Act::WaitFor(_) => "wait_for",
    }
}

/// Hundredths of a percent, as scenario files write a share.
fn percent(hundredths: u32) -> String {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match part {
        0 => format!("{whole}%"),
        part if part % 10 == 0 => format!("{whole}.{}%", part / 10),
        part => format!("{whole}.{part:02}%"),
    }
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

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_told_as_they_are_written() {
        for (hundredths, text) in
            [(1_000, "10%"), (250, "2.5%"), (25, "0.25%"), (1, "0.01%"), (9_999, "99.99%")]
        {
            assert_eq!(percent(hundredths), text);
            assert_eq!(crate::scenario::written::share(text).unwrap(), hundredths);
        }
    }
}
