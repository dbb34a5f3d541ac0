//! `/v1/scenarios`.

use serde_json::json;

use super::daemon::{ALICE, Daemon};
use crate::model::What;

#[tokio::test]
async fn scenarios_are_listed_by_id() {
    let daemon = Daemon::start().await;
    let list = daemon.get("/v1/scenarios").await.ok();
    let list = list["scenarios"].as_array().unwrap();
    let ids: Vec<_> = list.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["followed", "interview", "linked", "menu", "pressed", "welcome"]);
    assert_eq!(daemon.get("/v1/scenarios/welcome").await.ok(), list[5]);
    assert_eq!((&list[5]["title"], &list[5]["zone"]), (&json!("ようこそ"), &json!("Asia/Tokyo")));
    assert_eq!(list[0]["title"], json!(null));
    for id in ["nothing", "Welcome", "%20", "a%2Fb"] {
        daemon.get(&format!("/v1/scenarios/{id}")).await.problem(404, "there is no such scenario");
    }
}

#[tokio::test]
async fn a_scenario_counts_what_has_happened() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    let events = json!([
        { "id": "e1", "name": "purchase", "member": "m1" },
        { "id": "e1", "name": "purchase", "member": "m2" },
    ]);
    daemon.post("/v1/events", &events).await.took(2, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    daemon.until_happened("m2", What::Skipped, 1).await;
    // the counts are a second old at most
    let counted = async {
        loop {
            let welcome = daemon.get("/v1/scenarios/welcome").await.ok();
            if welcome["steps"][0]["accepted"] == 1 {
                return welcome;
            }
        }
    };
    let welcome = tokio::time::timeout(std::time::Duration::from_secs(10), counted).await.unwrap();
    assert_eq!(welcome["enrolled"], 2);
    assert_eq!(welcome["completed"], 0);
    let hello = json!({ "step": "hello", "accepted": 1, "deferred": 0, "skipped": { "unlinked": 1 },
        "rejected": {}, "unknown": 0 });
    assert_eq!(welcome["steps"][0], hello);
    assert_eq!(welcome["steps"][1]["accepted"], 0);
}
