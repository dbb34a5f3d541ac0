//! `POST /v1/scenarios/{id}/enrollments`.

use std::sync::Arc;

use serde_json::json;

use super::daemon::{ALICE, Daemon, NDJSON};
use crate::model::What;
use crate::store::MemoryStore;

const WELCOME: &str = "/v1/scenarios/welcome/enrollments";
const INTERVIEW: &str = "/v1/scenarios/interview/enrollments";

#[tokio::test]
async fn a_member_enters_by_a_wish_and_gets_the_first_step() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.post(WELCOME, &json!({ "member": "m1" })).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    assert_eq!(daemon.pushed(), [(ALICE.to_owned(), "hello you".to_owned())]);
    // somebody who is not known is created, as by an event
    daemon.post(WELCOME, &json!({ "member": "m2", "id": null, "key": null, "data": null })).await.took(1, 0);
    let m2 = daemon.get("/v1/members/m2").await.ok();
    assert_eq!(m2["enrollments"][0]["scenario"], "welcome");
    let friend = format!("line:{ALICE}");
    daemon.post(WELCOME, &json!({ "member": friend, "key": "again" })).await.took(1, 0);
    assert_eq!(daemon.get("/v1/members/m1").await.ok()["enrollments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_data_tells_key_and_anchor_and_a_key_takes_the_place_of_the_triggers() {
    let daemon = Daemon::start().await;
    let data = json!({ "booking_id": "b1", "starts_at": "2026-03-05T10:00:00+09:00" });
    daemon.post(INTERVIEW, &json!({ "member": "m1", "data": data })).await.took(1, 0);
    daemon.post(INTERVIEW, &json!({ "member": "m1", "data": data, "key": "b2" })).await.took(1, 0);
    let runs = daemon.get("/v1/members/m1").await.ok()["enrollments"].clone();
    assert_eq!((&runs[0]["key"], &runs[1]["key"]), (&json!("b1"), &json!("b2")));
    for run in runs.as_array().unwrap() {
        assert_eq!(run["anchor"], "2026-03-05T01:00:00Z");
    }
}

#[tokio::test]
async fn an_id_is_known_again_for_the_same_member_and_scenario() {
    let daemon = Daemon::start().await;
    // the ids of events are other ids
    daemon.event(json!({ "id": "1", "name": "nothing", "member": "m1" })).await.took(1, 0);
    let wish = json!({ "id": "1", "member": "m1", "key": "a" });
    daemon.post(WELCOME, &wish).await.took(1, 0);
    daemon.post(WELCOME, &wish).await.took(0, 1);
    daemon.post(WELCOME, &json!({ "id": "1", "member": "m2" })).await.took(1, 0);
    daemon.post("/v1/scenarios/followed/enrollments", &json!({ "id": "1", "member": "m1" })).await.took(1, 0);
    // what was refused may be wished again
    let wish = json!({ "id": "2", "member": "m1", "key": "a" });
    for _ in 0..2 {
        daemon.post(WELCOME, &wish).await.problem(409, "(again)");
    }
}

#[tokio::test]
async fn many_are_answered_one_by_one_as_an_array_and_as_a_stream() {
    let wishes = [
        json!({ "member": "m1" }).to_string(),
        json!({ "member": "m1" }).to_string(),
        json!({ "member": " " }).to_string(),
        json!({ "member": "m2", "id": "x" }).to_string(),
        json!({ "member": "m2", "id": "x" }).to_string(),
        json!({ "member": "m3", "key": "k".repeat(101) }).to_string(),
        json!({ "member": "m3", "key": "" }).to_string(),
        json!({ "member": "m3", "id": "" }).to_string(),
        json!({ "member": "m3", "line_user": ALICE }).to_string(),
        json!({ "id": "m3" }).to_string(),
        json!({ "member": "m3", "data": { "text": "x".repeat(4_096) } }).to_string(),
    ];
    let expected = [
        (1, "the member cannot enter (again): "),
        (2, "white space"),
        (5, "`key` is 1 to 100 bytes"),
        (6, "`key` is 1 to 100 bytes"),
        (7, "`id` must be 1 to 200 bytes"),
        (8, "unknown field `line_user`"),
        (9, "missing field `member`"),
        (10, "at most 4096 fit"),
    ];
    let array = format!("[{}]", wishes.join(","));
    for (kind, body) in [("application/json", array), (NDJSON, wishes.join("\n"))] {
        let daemon = Daemon::start().await;
        let reply = daemon.post_as(WELCOME, kind, body).await;
        let rejected = reply.rejected();
        assert_eq!(rejected.len(), expected.len(), "{rejected:?}");
        for ((index, error), (place, part)) in rejected.iter().zip(expected) {
            assert_eq!(*index, place, "{error}");
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
        assert_eq!((&reply.ok()["accepted"], &reply.ok()["duplicates"]), (&json!(2), &json!(1)));
    }
}

#[tokio::test]
async fn each_rule_that_keeps_a_member_out_is_told_with_what_to_do() {
    let files = [
        (
            "later.yaml",
            "scenario: later\nstarts: 2026-04-01\nenter: { manual: true }\nsteps: [{ step: a, push: a }]\n",
        ),
        (
            "over.yaml",
            "scenario: over\nends: 2026-02-28\nenter: { manual: true }\nsteps: [{ step: a, push: a }]\n",
        ),
        (
            "cool.yaml",
            "scenario: cool\nenter: { manual: true, again: 90d }\nsteps: [{ step: a, day: 1, push: a }]\n",
        ),
        (
            "known.yaml",
            "scenario: known\nenter: { manual: true, key: member.shop }\nsteps: [{ step: a, push: a }]\n",
        ),
    ];
    let daemon = Daemon::with(Arc::new(MemoryStore::new()), &files).await;
    for id in ["welcome", "cool"] {
        daemon.post(&format!("/v1/scenarios/{id}/enrollments"), &json!({ "member": "m1" })).await.took(1, 0);
    }
    let cases = [
        (
            409,
            "welcome",
            json!({}),
            "the member cannot enter (again): the member has entered `welcome` before, and `again: never` lets a member enter once under one key; give another `key` for a run of its own",
        ),
        (
            409,
            "cool",
            json!({}),
            "and `again: 90d` waits for the end of that run, and 90d from the last entry; ask again then",
        ),
        (
            409,
            "later",
            json!({}),
            "(not_started): `later` takes nobody in before 2026-04-01T00:00:00+09:00, its `starts`; ask again then",
        ),
        (
            409,
            "over",
            json!({}),
            "(ended): `over` takes nobody in since 2026-03-01T00:00:00+09:00, its `ends`",
        ),
        (
            422,
            "interview",
            json!({}),
            "(missing(event.booking_id)): `event.booking_id` has no value, and the `key` or the `anchor` of `interview` needs it; give `booking_id` in `data`",
        ),
        (
            422,
            "known",
            json!({}),
            "(missing(member.shop)): `member.shop` has no value, and the `key` or the `anchor` of `known` needs it; tell the member's attribute `shop` first",
        ),
        (
            422,
            "interview",
            json!({ "key": "b", "data": { "starts_at": "soon" } }),
            "(error(the anchor is not a date and time)): the `key` or the `anchor` of `interview` cannot be told: the anchor is not a date and time; `event` in them is `data`",
        ),
    ];
    for (status, id, more, part) in cases {
        let mut wish = json!({ "member": "m1" });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        daemon.post(&format!("/v1/scenarios/{id}/enrollments"), &wish).await.problem(status, part);
    }
    // nobody is created by a wish that is refused
    daemon.post("/v1/scenarios/later/enrollments", &json!({ "member": "m9" })).await.problem(409, "");
    daemon.get("/v1/members/m9").await.problem(404, "there is no such member");
}

#[tokio::test]
async fn a_scenario_that_is_not_there_is_told_before_the_body_is_looked_at() {
    let daemon = Daemon::start().await;
    for id in ["nothing", "Welcome", "%20"] {
        let reply = daemon.post_as(&format!("/v1/scenarios/{id}/enrollments"), "application/json", "{").await;
        reply.problem(404, "there is no such scenario");
    }
    daemon.post_as(WELCOME, "application/json", "{").await.problem(400, "the body is not JSON");
    daemon.post(WELCOME, &json!({})).await.problem(422, "missing field `member`");
}
