//! `POST /v1/members/{id}/optout` and `/optin`, and what an import starts.

use std::sync::Arc;

use serde_json::{Value, json};

use super::daemon::{ALICE, Daemon};
use crate::model::What;
use crate::store::MemoryStore;

const NEWS: (&str, &str) = (
    "news.yaml",
    "
scenario: news
topic: news
enter: { on: published, again: always }
steps:
  - { step: now, push: news }
",
);

const GOLD: (&str, &str) = (
    "gold.yaml",
    "
scenario: gold
enter: { segment: member.plan == 'gold', again: always }
steps:
  - { step: thanks, push: thanks }
",
);

async fn with(scenario: (&str, &str)) -> Daemon {
    let daemon = Daemon::with(Arc::new(MemoryStore::new()), &[scenario]).await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon
}

fn everything(topics: &[&str]) -> Value {
    json!({ "all": true, "topics": topics })
}

fn only(topics: &[&str]) -> Value {
    json!({ "all": false, "topics": topics })
}

#[tokio::test]
async fn a_member_opts_out_of_topics_and_of_everything_and_in_again() {
    let daemon = Daemon::start().await;
    // an opt-out of somebody unknown is not lost
    let news = json!({ "topic": "news" });
    let shown = daemon.post("/v1/members/m1/optout", &news).await.ok();
    assert_eq!((&shown["id"], &shown["opted_out"]), (&json!("m1"), &only(&["news"])));
    assert_eq!(daemon.get("/v1/members/m1").await.ok(), shown);
    assert_eq!(daemon.put("/v1/members/m1", &json!({})).await.ok(), shown);
    let steps = [
        ("optout", json!({ "topic": "セール" }), only(&["news", "セール"])),
        ("optout", json!({ "topic": "news" }), only(&["news", "セール"])),
        ("optout", json!({}), everything(&["news", "セール"])),
        ("optin", json!({ "topic": "news" }), everything(&["セール"])),
        ("optin", json!({}), only(&[])),
        ("optin", json!({ "topic": "unheard" }), only(&[])),
    ];
    for (way, body, expected) in steps {
        let shown = daemon.post(&format!("/v1/members/m1/{way}"), &body).await.ok();
        assert_eq!(shown["opted_out"], expected, "{way} {body}");
    }
    // what changed nothing did not happen
    let happened = daemon.timeline("m1").await;
    assert_eq!(happened, ["opted_out", "opted_out", "opted_out", "opted_in", "opted_in"]);
}

#[tokio::test]
async fn a_body_may_be_left_out_and_a_wrong_one_changes_nothing() {
    let daemon = Daemon::start().await;
    let reply = daemon.post_as("/v1/members/m1/optout", "application/json", "").await;
    assert_eq!(reply.ok()["opted_out"], everything(&[]));
    let long = json!({ "topic": "x".repeat(101) }).to_string();
    let cases = [
        (400, "{", "the body is not JSON"),
        (422, "[]", "nothing for everything"),
        (422, "null", "nothing for everything"),
        (422, r#"["news"]"#, "nothing for everything"),
        (422, r#"{"topic":null}"#, "invalid type: null"),
        (422, r#"{"topic":""}"#, "a topic is 1 to 100 bytes"),
        (422, &long, "a topic is 1 to 100 bytes"),
        (422, r#"{"topics":["news"]}"#, "unknown field `topics`"),
    ];
    for way in ["optout", "optin"] {
        for (status, body, part) in cases {
            let path = format!("/v1/members/m1/{way}");
            daemon.post_as(&path, "application/json", body.to_owned()).await.problem(status, part);
        }
        daemon.post(&format!("/v1/members/%20/{way}"), &json!({})).await.problem(422, "white space");
    }
    assert_eq!(daemon.get("/v1/members/m1").await.ok()["opted_out"], everything(&[]));
    for topic in 0..50 {
        daemon.post("/v1/members/m2/optout", &json!({ "topic": topic.to_string() })).await.ok();
    }
    // who wants none of so many wants none at all, and the wish is not lost
    let all = daemon.post("/v1/members/m2/optout", &json!({ "topic": "more" })).await.ok();
    assert_eq!(all["opted_out"], everything(&[]));
}

#[tokio::test]
async fn a_friend_opts_out_under_the_id_of_line_and_the_member_it_becomes_is_out_too() {
    let daemon = Daemon::start().await;
    let path = format!("/v1/members/line:{ALICE}");
    let shown = daemon.post(&format!("{path}/optout"), &json!({ "topic": "news" })).await.ok();
    assert_eq!((&shown["line_user_id"], &shown["opted_out"]), (&json!(ALICE), &only(&["news"])));
    let linked = daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    assert_eq!(linked["opted_out"], only(&["news"]));
    let shown = daemon.post(&format!("{path}/optin"), &json!({})).await.ok();
    assert_eq!((&shown["id"], &shown["opted_out"]), (&json!("m1"), &only(&[])));
}

#[tokio::test]
async fn a_topic_keeps_back_its_own_scenarios_only() {
    let daemon = with(NEWS).await;
    daemon.post("/v1/members/m1/optout", &json!({ "topic": "news" })).await.ok();
    daemon.event(json!({ "id": "e1", "name": "published", "member": "m1" })).await.took(1, 0);
    daemon.event(json!({ "id": "e2", "name": "purchase", "member": "m1" })).await.took(1, 0);
    daemon.until_happened("m1", What::Skipped, 1).await;
    daemon.until_happened("m1", What::Accepted, 1).await;
    assert_eq!(daemon.pushed(), [(ALICE.to_owned(), "hello you".to_owned())]);
    let timeline = daemon.get("/v1/members/m1/timeline").await.ok();
    let skipped = timeline["happened"].as_array().unwrap().iter().find(|it| it["what"] == "skipped").unwrap();
    assert_eq!((&skipped["step"], &skipped["reason"]), (&json!("now"), &json!("opted_out")));
}

#[tokio::test]
async fn an_opt_out_takes_back_a_push_that_waits() {
    let daemon = with(NEWS).await;
    daemon.throttle();
    daemon.event(json!({ "id": "e1", "name": "published", "member": "m1" })).await.took(1, 0);
    daemon.until_throttled().await;
    daemon.post("/v1/members/m1/optout", &json!({})).await.ok();
    daemon.advance_to("2026-03-02T03:10:00Z");
    daemon.until_happened("m1", What::Skipped, 1).await;
    let happened = daemon.timeline("m1").await;
    let expected =
        ["linked", "enrolled news", "opted_out", "withdrawn news/now", "skipped news/now", "completed news"];
    assert_eq!(happened, expected);
    assert_eq!(daemon.pushed(), []);
}

#[tokio::test]
async fn an_import_starts_no_segment_scenario_unless_it_says_notify() {
    let daemon = with(GOLD).await;
    let gold = |notify: bool| json!({ "attributes": { "plan": "gold" }, "notify": notify });
    let shown = daemon.put("/v1/members/m1", &gold(false)).await.ok();
    assert_eq!(shown["enrollments"], json!([]));
    let timeline = daemon.get("/v1/members/m1/timeline").await.ok();
    let silent = timeline["happened"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&silent["what"], &silent["reason"]), (&json!("not_enrolled"), &json!("silent")));
    daemon.put("/v1/members/m1", &json!({ "attributes": { "plan": null } })).await.ok();
    daemon.put("/v1/members/m1", &gold(true)).await.ok();
    daemon.until_happened("m1", What::Accepted, 1).await;
    assert_eq!(daemon.pushed(), [(ALICE.to_owned(), "thanks".to_owned())]);
}
