//! `/healthz`, `/readyz` and `/metrics`.

use std::time::Duration;

use serde_json::json;

use super::daemon::{ALICE, Daemon};
use crate::dispatch::{Action, Hold};
use crate::http::Component;
use crate::model::What;

#[tokio::test]
async fn a_daemon_that_lives_says_so() {
    let daemon = Daemon::start().await;
    let expected = json!({ "status": "ok", "now": "2026-03-02T03:00:00Z" });
    assert_eq!(daemon.get("/healthz").await.ok(), expected);
}

#[tokio::test]
async fn readiness_names_each_component_and_those_that_fail() {
    let daemon = Daemon::start().await;
    let ready = daemon.get("/readyz").await.ok();
    assert_eq!((&ready["ready"], &ready["failing"]), (&json!(true), &json!([])));
    let components = ready["components"].as_object().unwrap();
    let names: Vec<&str> = components.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["store", "due_lag", "outbox", "sends", "deliveries", "scenarios", "line_token", "quota"]
    );
    for (name, component) in components {
        assert_eq!(component["ok"], true, "{name}");
        assert!(!component["detail"].is_null(), "{name}");
    }

    daemon.api.readiness.set(Component::Scenarios, false, json!("welcome.yaml:3: unknown key"));
    daemon.api.desk.ask(Action::Hold(Hold::Token)).await.unwrap();
    let unready = daemon.get("/readyz").await;
    assert_eq!(unready.status, 503);
    assert_eq!(unready.header("content-type"), "application/json");
    let unready = unready.json();
    assert_eq!((&unready["ready"], &unready["failing"]), (&json!(false), &json!(["sends", "scenarios"])));
    assert_eq!(unready["components"]["sends"], json!({ "ok": false, "detail": "token" }));
    assert_eq!(unready["components"]["scenarios"]["detail"], "welcome.yaml:3: unknown key");
    // it lives all the same
    daemon.get("/healthz").await.ok();

    daemon.api.readiness.set(Component::Scenarios, true, json!({ "count": 6 }));
    daemon.api.desk.ask(Action::Lift(Hold::Token)).await.unwrap();
    daemon.get("/readyz").await.ok();
}

#[tokio::test]
async fn metrics_are_openmetrics_and_count_what_happened() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.event(json!({ "id": "e1", "name": "purchase", "member": "m1" })).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    // gauges are as of the turn loop's last beat, and a start tidies up for a few turns
    let settled = async {
        loop {
            let metrics = daemon.get("/metrics").await;
            let expected = expected_lines(&daemon);
            if expected.iter().all(|line| metrics.text.lines().any(|it| it == line)) {
                return metrics;
            }
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(30), settled).await;
    let metrics = match settled {
        Ok(metrics) => metrics,
        Err(_) => panic!("{:#?} are not in\n{}", expected_lines(&daemon), daemon.get("/metrics").await.text),
    };
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(metrics.text.ends_with("# EOF\n"));
    for line in metrics.text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("amadare_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(!line.contains(ALICE), "{line}");
    }
}

fn expected_lines(daemon: &Daemon) -> Vec<String> {
    let store = daemon.api.store.stats();
    [
        r#"amadare_happenings_total{scenario="welcome",step="hello",what="accepted"} 1"#,
        r#"amadare_happenings_total{scenario="welcome",step="",what="enrolled"} 1"#,
        "# TYPE amadare_turns counter",
        "# TYPE amadare_lateness_seconds histogram",
        "amadare_lateness_seconds_count 1",
        "amadare_outbox_parcels 0",
        "amadare_sends_on_hold 0",
        "amadare_deliveries_unknown 0",
        "amadare_queue_commands 0",
        // the store's own figures, however often they were read
        &format!("amadare_store_operations_total {}", store.ops),
        &format!("amadare_store_written_bytes_total {}", store.bytes),
    ]
    .map(str::to_owned)
    .to_vec()
}
