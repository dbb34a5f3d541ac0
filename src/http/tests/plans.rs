//! `POST /v1/plans`.

use serde_json::json;

use super::daemon::{ALICE, Daemon};
use crate::model::What;
use crate::store::MemoryStore;

const COURSE: &str = "
scenario: course
enter: { on: joined }
steps:
  - { step: hello, push: hello }
  - { step: coupon, day: 3, at: '10:00', push: a coupon }
";

async fn daemon() -> Daemon {
    let daemon = Daemon::with(std::sync::Arc::new(MemoryStore::new()), &[("course.yaml", COURSE)]).await;
    daemon.put("/v1/members/alice", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.event(json!({ "id": "e1", "name": "joined", "member": "alice" })).await.ok();
    daemon.until_happened("alice", What::Accepted, 1).await;
    daemon
}

#[tokio::test]
async fn an_edit_is_told_by_day_and_step_and_changes_nothing() {
    let daemon = daemon().await;
    let before = daemon.get("/v1/members/alice/timeline").await.ok();
    let later = COURSE.replace("day: 3", "day: 4");
    let plan = daemon.post("/v1/plans", &json!({ "files": { "course.yaml": later } })).await.ok();
    assert_eq!(
        (&plan["members"], &plan["on_their_way"], &plan["affected"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let rows = plan["rows"].as_array().unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["step"].as_str().unwrap(), &row["moved_away"], &row["moved_here"]))
        .collect();
    assert_eq!(told, [("coupon", &json!(1), &json!(0)), ("coupon", &json!(0), &json!(1))]);
    assert_eq!(plan["named"], json!([{ "scenario": "course", "step": "coupon", "members": ["alice"] }]));
    assert_eq!(plan["holds"], json!([]));
    assert_eq!(daemon.get("/v1/members/alice/timeline").await.ok(), before);
}

#[tokio::test]
async fn a_hold_is_told_of() {
    let daemon = daemon().await;
    daemon.post("/v1/hold", &json!({})).await.ok();
    let plan = daemon.post("/v1/plans", &json!({ "files": { "course.yaml": COURSE } })).await.ok();
    assert_eq!(plan["holds"], json!(["operator"]));
    assert_eq!(plan["affected"], 0);
}

#[tokio::test]
async fn what_cannot_be_planned_is_refused_with_what_to_do() {
    let daemon = daemon().await;
    let daemon = &daemon;
    let plan = |body: serde_json::Value| async move { daemon.post("/v1/plans", &body).await };
    let broken = json!({ "files": { "course.yaml": COURSE.replace("push: hello", "psuh: hello") } });
    plan(broken).await.problem(422, "course.yaml:5:20: error[unknown-key]: a step has no key `psuh`");
    plan(json!({ "files": {} })).await.problem(422, "there is no scenario");
    plan(json!({})).await.problem(422, "files");
    let renamed = COURSE.replace("step: hello", "step: welcome");
    plan(json!({ "files": { "course.yaml": renamed } })).await.problem(409, "write `was: hello` into it");
    let said = json!({ "files": { "course.yaml": renamed }, "new_steps": ["course/welcome"] });
    assert_eq!(plan(said).await.ok()["affected"], 1);
    let wrong = json!({ "files": { "course.yaml": COURSE }, "new_steps": ["welcome"] });
    plan(wrong).await.problem(422, "a new step is SCENARIO/STEP, not `welcome`");
    for until in ["2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"] {
        plan(json!({ "files": { "course.yaml": COURSE }, "until": until })).await.problem(422, "400 days");
    }
}
