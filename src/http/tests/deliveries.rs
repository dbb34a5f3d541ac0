//! `/v1/deliveries`, `/v1/hold`, `/v1/release` and `/v1/backup`.

use serde_json::json;

use super::daemon::{ALICE, Daemon};
use crate::dispatch::{Action, Hold};
use crate::model::What;
use crate::store::{MemoryStore, verify_backup};

#[tokio::test]
async fn with_nothing_in_doubt_the_list_is_empty_and_bad_questions_are_told_so() {
    let daemon = Daemon::start().await;
    let empty = json!({ "deliveries": [], "next": null });
    assert_eq!(daemon.get("/v1/deliveries?state=unknown").await.ok(), empty);
    assert_eq!(daemon.get("/v1/deliveries").await.ok(), empty);
    for question in ["state=accepted", "limit=0", "limit=1001", "after=x", "page=2"] {
        let reply = daemon.get(&format!("/v1/deliveries?{question}")).await;
        assert_eq!(reply.status, 422, "{question}: {reply:?}");
    }
    for id in ["x", "6f1d3a52-2c0e-5b7e-9d55-0c7a6f3b1e22"] {
        let reply = daemon.post(&format!("/v1/deliveries/{id}/settle"), &json!({ "as": "accepted" })).await;
        assert_eq!(reply.status, 404, "{id}: {reply:?}");
    }
    let path = "/v1/deliveries/6f1d3a52-2c0e-5b7e-9d55-0c7a6f3b1e22/settle";
    let reply = daemon.post(path, &json!({ "as": "sent" })).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text.contains("accepted") && reply.text.contains("resend"), "{}", reply.text);
}

#[tokio::test]
async fn a_hold_stops_what_is_due_and_a_release_lets_it_go() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    let held = daemon.post("/v1/hold", &json!({})).await.ok();
    assert_eq!(held["sends"], "held");
    assert_eq!(held["holds"][0]["reason"], "operator");
    assert_eq!(daemon.get("/readyz").await.json()["components"]["sends"]["detail"], "operator");
    daemon.event(json!({ "id": "e1", "name": "purchase", "member": "m1" })).await.took(1, 0);
    daemon.api.desk.ask(Action::Hold(Hold::Quota)).await.unwrap();
    let released = daemon.post("/v1/release", &json!({})).await.ok();
    assert_eq!((&released["sends"], &released["holds"][0]["reason"]), (&json!("held"), &json!("quota")));
    assert_eq!(daemon.pushed(), []);
    daemon.api.desk.ask(Action::Lift(Hold::Quota)).await.unwrap();
    daemon.until_happened("m1", What::Accepted, 1).await;
}

#[tokio::test]
async fn a_backup_is_written_while_the_daemon_runs_and_never_over_a_file() {
    let daemon = Daemon::on(std::sync::Arc::new(MemoryStore::new())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let written = daemon.post("/v1/backup", &json!({ "file": file })).await.ok();
    assert_eq!(verify_backup(&file).unwrap().rows, written["rows"].as_u64().unwrap());
    let again = daemon.post("/v1/backup", &json!({ "file": file })).await;
    assert_eq!(again.status, 409, "{again:?}");
    let relative = daemon.post("/v1/backup", &json!({ "file": "backup" })).await;
    assert_eq!(relative.status, 422, "{relative:?}");
    let nowhere = daemon.post("/v1/backup", &json!({ "file": folder.path().join("none/backup") })).await;
    assert_eq!(nowhere.status, 422, "{nowhere:?}");
}
