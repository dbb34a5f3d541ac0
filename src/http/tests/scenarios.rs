//! `/v1/scenarios`.

use serde_json::json;

use super::daemon::{ALICE, Daemon};
use crate::model::What;
use crate::store::MemoryStore;

const ALL_KINDS: &str = "
scenario: kinds
topic: news
priority: high
caps: skip
holdout: 2.5%
paused: true
starts: 2026-03-01
ends: 2026-03-31
enter:
  - { on: purchase }
  - { segment: member.plan == 'gold' }
  - { date: member.birthday, yearly: true }
  - { every: '0 9 * * mon' }
  - { manual: true }
steps:
  - { step: say, push: hello }
  - { step: note, set: { attributes: { seen: true } } }
  - { step: ask, wait_for: { on: answered, within: 1d }, steps: [{ step: more, enter: welcome }] }
  - step: choose
    branch:
      - { when: member.plan == 'gold', steps: [{ step: thanks, push: thanks }] }
      - { else: true, steps: [{ step: out, exit: true }] }
  - step: halves
    split: [{ weight: 1, steps: [{ step: one, push: one }] }, { weight: 1 }]
";

#[tokio::test]
async fn a_scenario_tells_what_starts_it_what_holds_for_it_and_what_its_steps_do() {
    let daemon = Daemon::with(std::sync::Arc::new(MemoryStore::new()), &[("kinds.yaml", ALL_KINDS)]).await;
    let kinds = daemon.get("/v1/scenarios/kinds").await.ok();
    let triggers = json!([
        { "by": "on", "event": "purchase" },
        { "by": "segment" },
        { "by": "date", "yearly": true },
        { "by": "every", "cron": "0 9 * * mon" },
        { "by": "manual" },
    ]);
    assert_eq!(kinds["triggers"], triggers);
    let expected = json!({ "topic": "news", "priority": "high", "caps": "skip", "holdout": "2.5%", "paused": true,
        "starts": "2026-02-28T15:00:00Z", "ends": "2026-03-31T15:00:00Z" });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(kinds[name], *value, "{name}");
    }
    let steps = kinds["steps"].as_array().unwrap().iter();
    let steps: Vec<String> = steps
        .map(|it| format!("{} {}", it["step"].as_str().unwrap(), it["does"].as_str().unwrap()))
        .collect();
    let expected = [
        "say push",
        "note set",
        "ask wait_for",
        "more enter",
        "choose branch",
        "thanks push",
        "out exit",
        "halves split",
        "one push",
    ];
    assert_eq!(steps, expected);
    let welcome = daemon.get("/v1/scenarios/welcome").await.ok();
    let expected = json!({ "topic": null, "priority": "normal", "caps": "defer", "holdout": null,
        "paused": false, "starts": null, "ends": null });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(welcome[name], *value, "{name}");
    }
}

#[tokio::test]
async fn a_step_that_sends_nothing_counts_as_done() {
    let text =
        "scenario: noting\nenter: { on: go }\nsteps: [{ step: note, set: { tags: { add: [seen] } } }]\n";
    let daemon = Daemon::with(std::sync::Arc::new(MemoryStore::new()), &[("noting.yaml", text)]).await;
    daemon.event(json!({ "id": "e1", "name": "go", "member": "m1" })).await.took(1, 0);
    daemon.until_happened("m1", What::Done, 1).await;
    let counted = async {
        loop {
            let noting = daemon.get("/v1/scenarios/noting").await.ok();
            if noting["steps"][0]["done"] == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), counted).await.unwrap();
    assert_eq!(daemon.timeline("m1").await, ["enrolled noting", "done noting/note", "completed noting"]);
}

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
    let hello = json!({ "step": "hello", "does": "push", "accepted": 1, "done": 0, "deferred": 0,
        "skipped": { "unlinked": 1 }, "rejected": {}, "unknown": 0 });
    assert_eq!(welcome["steps"][0], hello);
    assert_eq!(welcome["steps"][1]["accepted"], 0);
}
