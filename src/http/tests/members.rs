//! `/v1/members`: what is told of members, whom LINE knows them as, and their being forgotten.

use serde_json::{Value, json};

use super::daemon::{ALICE, BOB, Daemon};
use crate::model::What;

fn purchase(id: &str, member: &str) -> Value {
    json!({ "id": id, "name": "purchase", "member": member })
}

#[tokio::test]
async fn a_member_is_put_shown_and_forgotten() {
    let daemon = Daemon::start().await;
    daemon.get("/v1/members/m1").await.problem(404, "there is no such member");
    let body = json!({ "id": "m1", "attributes": { "name": "Alice", "n": 1 }, "tags": ["b", "a", "b"], "line_user_id": ALICE });
    let expected = json!({ "id": "m1", "attributes": { "name": "Alice", "n": 1 }, "tags": ["a", "b"],
        "line_user_id": ALICE, "friendship": "unknown",
        "opted_out": { "all": false, "topics": [] }, "enrollments": [] });
    assert_eq!(daemon.put("/v1/members/m1", &body).await.ok(), expected);
    assert_eq!(daemon.get("/v1/members/m1").await.ok(), expected);
    assert_eq!(daemon.put("/v1/members/m1", &json!({})).await.ok(), expected);
    let gone = daemon.delete("/v1/members/m1").await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    daemon.get("/v1/members/m1").await.problem(404, "there is no such member");
    daemon.get("/v1/members/m1/timeline").await.problem(404, "there is no such member");
    daemon.delete("/v1/members/m1").await.problem(404, "there is no such member");
}

#[tokio::test]
async fn an_id_may_need_percent_encoding() {
    let daemon = Daemon::start().await;
    for (path, id) in
        [("%E4%BC%9A%E5%93%A1%2F1", "会員/1"), ("a%20b", "a b"), ("..%2Fetc", "../etc"), ("100%25", "100%")]
    {
        let path = format!("/v1/members/{path}");
        assert_eq!(daemon.put(&path, &json!({})).await.ok()["id"], id);
        assert_eq!(daemon.get(&path).await.ok()["id"], id);
    }
}

#[tokio::test]
async fn attributes_are_patched_as_rfc_7396_says() {
    let daemon = Daemon::start().await;
    let cases = [
        (json!({ "a": "b", "keep": 1 }), json!({ "a": "b", "keep": 1 })),
        (json!({ "a": "c" }), json!({ "a": "c", "keep": 1 })),
        (
            json!({ "b": { "x": 1, "y": { "z": 2 } } }),
            json!({ "a": "c", "keep": 1, "b": { "x": 1, "y": { "z": 2 } } }),
        ),
        (
            json!({ "b": { "x": null, "y": { "w": 3 } } }),
            json!({ "a": "c", "keep": 1, "b": { "y": { "z": 2, "w": 3 } } }),
        ),
        (json!({ "a": null, "absent": null }), json!({ "keep": 1, "b": { "y": { "z": 2, "w": 3 } } })),
        (json!({ "b": [1, null, { "n": null }] }), json!({ "keep": 1, "b": [1, null, { "n": null }] })),
        (json!({ "b": { "new": { "n": null, "m": 1 } } }), json!({ "keep": 1, "b": { "new": { "m": 1 } } })),
        (json!({ "b": "flat" }), json!({ "keep": 1, "b": "flat" })),
        (json!({}), json!({ "keep": 1, "b": "flat" })),
        (json!(null), json!({ "keep": 1, "b": "flat" })),
    ];
    for (patch, expected) in cases {
        let shown = daemon.put("/v1/members/m1", &json!({ "attributes": patch })).await.ok();
        assert_eq!(shown["attributes"], expected, "after {patch}");
    }
}

#[tokio::test]
async fn tags_are_replaced_whole() {
    let daemon = Daemon::start().await;
    for (tags, expected) in [
        (json!(["vip", "新規"]), json!(["vip", "新規"])),
        (json!(null), json!(["vip", "新規"])),
        (json!(["old"]), json!(["old"])),
        (json!([]), json!([])),
    ] {
        let shown = daemon.put("/v1/members/m1", &json!({ "tags": tags })).await.ok();
        assert_eq!(shown["tags"], expected, "after {tags}");
    }
}

#[tokio::test]
async fn each_malformed_member_gets_the_reason_and_changes_nothing() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "attributes": { "name": "Alice" } })).await.ok();
    let before = daemon.get("/v1/members/m1").await.ok();
    let cases = [
        (400, "".into(), "the body is not JSON"),
        (400, "{".into(), "the body is not JSON"),
        (400, "{}{}".into(), "the body is not JSON"),
        (422, "[]".into(), "the member is malformed"),
        (422, "null".into(), "the member is malformed"),
        (422, json!({ "id": "m2" }).to_string(), "`id` in the body is not the one in the path"),
        (422, json!({ "attributes": [] }).to_string(), "invalid type: sequence"),
        (422, json!({ "attributes": "x" }).to_string(), "invalid type: string"),
        (422, json!({ "attributes": { "x": "y".repeat(4_096) } }).to_string(), "at most 4096 fit"),
        (422, json!({ "tags": "vip" }).to_string(), "invalid type: string"),
        (422, json!({ "tags": [1] }).to_string(), "invalid type: integer"),
        (422, json!({ "tags": [""] }).to_string(), "a tag is 1 to 100 bytes"),
        (422, json!({ "tags": ["x".repeat(101)] }).to_string(), "a tag is 1 to 100 bytes"),
        (
            422,
            json!({ "tags": (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>() }).to_string(),
            "at most 4096 fit",
        ),
        (422, json!({ "line_user_id": "alice" }).to_string(), "`line_user_id`: a LINE user id is"),
        (
            422,
            json!({ "line_user_id": ALICE.to_uppercase() }).to_string(),
            "`line_user_id`: a LINE user id is",
        ),
        (422, json!({ "move": "yes" }).to_string(), "invalid type: string"),
        (422, json!({ "notify": 1 }).to_string(), "invalid type: integer"),
        (422, json!({ "friendship": "friend" }).to_string(), "unknown field `friendship`"),
    ];
    for (status, body, part) in cases {
        let reply = daemon.put_text("/v1/members/m1", body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        reply.problem(status, part);
    }
    daemon.put_text("/v1/members/m1", vec![b'"', 0xff, b'"']).await.problem(400, "not UTF-8");
    for (path, part) in [("%20m", "white space"), ("a%0Ab", "control characters"), ("line:me", "reserved")] {
        let path = format!("/v1/members/{path}");
        daemon.put(&path, &json!({})).await.problem(422, part);
        daemon.get(&path).await.problem(422, part);
        daemon.delete(&path).await.problem(422, part);
        daemon.get(&format!("{path}/timeline")).await.problem(422, part);
    }
    let long = format!("/v1/members/{}", "x".repeat(101));
    daemon.put(&long, &json!({})).await.problem(422, "at most 100 bytes, not 101");
    assert_eq!(daemon.get("/v1/members/m1").await.ok(), before);
}

#[tokio::test]
async fn a_line_user_belongs_to_one_member_and_is_moved_only_when_told() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    let taken = daemon.put("/v1/members/m2", &json!({ "line_user_id": ALICE, "tags": ["x"] })).await;
    taken.problem(409, "\"move\": true");
    daemon.get("/v1/members/m2").await.problem(404, "there is no such member");
    let rows = json!([{ "id": "m2", "line_user_id": ALICE }, { "id": "m3", "line_user_id": BOB }]);
    let reply = daemon.post("/v1/members", &rows).await;
    assert_eq!((reply.ok()["accepted"].clone(), reply.rejected()[0].0), (json!(1), 0));

    let moved = daemon.put("/v1/members/m2", &json!({ "line_user_id": ALICE, "move": true })).await.ok();
    assert_eq!(moved["line_user_id"], ALICE);
    assert_eq!(daemon.get("/v1/members/m1").await.ok()["line_user_id"], Value::Null);
    assert_eq!(daemon.timeline("m1").await, ["linked", "unlinked"]);
    // and a member that becomes another LINE user lets go of the first
    daemon.put("/v1/members/m3", &json!({ "line_user_id": ALICE, "move": true })).await.ok();
    daemon.put("/v1/members/m1", &json!({ "line_user_id": BOB })).await.ok();
    let line = format!("/v1/members/line:{BOB}");
    assert_eq!(daemon.get(&line).await.ok()["id"], "m1");
}

#[tokio::test]
async fn a_provisional_member_is_its_own_line_user_only() {
    let daemon = Daemon::start().await;
    let path = format!("/v1/members/line:{ALICE}");
    daemon.put(&path, &json!({ "line_user_id": BOB })).await.problem(422, "cannot be linked to another");
    daemon.get(&path).await.problem(404, "there is no such member");
    assert_eq!(daemon.put(&path, &json!({ "line_user_id": ALICE })).await.ok()["line_user_id"], ALICE);
}

#[tokio::test]
async fn a_link_is_silent_unless_it_is_to_be_told() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.put("/v1/members/m2", &json!({ "line_user_id": BOB, "notify": true })).await.ok();
    daemon.until_happened("m2", What::Accepted, 1).await;
    assert_eq!(daemon.pushed(), [(BOB.to_owned(), "now we know you".to_owned())]);
    daemon.put("/v1/members/m3", &json!({ "notify": true })).await.ok();
    assert_eq!(daemon.timeline("m3").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_provisional_member_had_comes_along_and_nothing_is_sent_again() {
    let daemon = Daemon::start().await;
    let stub = format!("line:{ALICE}");
    let event = json!({ "id": "e1", "name": "purchase", "line_user": ALICE });
    daemon.event(event.clone()).await.took(1, 0);
    daemon.until_happened(&stub, What::Accepted, 1).await;
    let before = daemon.get(&format!("/v1/members/{stub}")).await.ok();
    assert_eq!(before["id"], stub);

    let member =
        daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE, "tags": ["linked"] })).await.ok();
    assert_eq!(member["enrollments"], before["enrollments"]);
    assert_eq!(member["enrollments"][0]["scenario"], "welcome");
    assert_eq!(daemon.get(&format!("/v1/members/{stub}")).await.ok(), member);
    // the same event again, whomever it names, and another one
    daemon.event(event).await.took(0, 1);
    daemon.event(purchase("e1", "m1")).await.took(0, 1);
    daemon.event(purchase("e2", "m1")).await.took(1, 0);
    daemon.event(json!({ "id": "e3", "name": "purchase", "line_user": ALICE })).await.took(1, 0);
    daemon.until_happened("m1", What::NotEnrolled, 2).await;

    daemon.advance_to("2026-03-05T10:00:00Z");
    daemon.until_happened("m1", What::Completed, 1).await;
    let expected = [(ALICE.to_owned(), "hello you".to_owned()), (ALICE.to_owned(), "tips".to_owned())];
    assert_eq!(daemon.pushed(), expected);
    let happened = daemon.timeline("m1").await;
    assert_eq!(happened.iter().filter(|line| *line == "accepted welcome/hello").count(), 1, "{happened:?}");
}

#[tokio::test]
async fn a_member_who_had_what_the_provisional_one_has_gets_it_once() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": BOB })).await.ok();
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    daemon.event(json!({ "id": "e2", "name": "purchase", "line_user": ALICE })).await.took(1, 0);
    daemon.until_happened(&format!("line:{ALICE}"), What::Accepted, 1).await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.advance_to("2026-03-05T10:00:00Z");
    daemon.until_happened("m1", What::Completed, 1).await;
    assert_eq!(daemon.pushed().iter().filter(|(_, text)| text == "tips").count(), 1);
}

#[tokio::test]
async fn a_member_file_at_its_bound_refuses_more_and_harms_nobody() {
    let daemon = Daemon::start().await;
    let booked = |n: usize| {
        json!({ "id": format!("e{n}"), "name": "interview.booked", "member": "m1",
        "data": { "booking_id": n, "starts_at": "2026-04-01T10:00:00+09:00", "note": "x".repeat(3_000) } })
    };
    let mut taken = 0;
    let refused = loop {
        let reply = daemon.event(booked(taken)).await;
        if reply.status != 200 {
            break reply;
        }
        taken += 1;
        assert!(taken < 50, "the file has no bound");
    };
    refused.problem(422, "at most 16384 fit");
    let reply = daemon.post("/v1/events", &json!([booked(98), purchase("e1", "m2"), booked(99)])).await;
    assert_eq!(reply.ok()["accepted"], 1);
    assert_eq!(reply.rejected().iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
    let shown = daemon.get("/v1/members/m1").await.ok();
    assert_eq!(shown["enrollments"].as_array().unwrap().len(), taken);
    // what is small still fits, and what was refused was not remembered as seen
    daemon.event(json!({ "id": "small", "name": "seen", "member": "m1" })).await.took(1, 0);
    daemon.event(booked(99)).await.problem(422, "at most 16384 fit");
    daemon.get("/healthz").await.ok();
    assert_eq!(daemon.delete("/v1/members/m1").await.status, 204);
    daemon.event(booked(99)).await.took(1, 0);
}

#[tokio::test]
async fn live_enrollments_have_a_bound() {
    let daemon = Daemon::start().await;
    let booked = |n: usize| {
        json!({ "id": format!("e{n}"), "name": "interview.booked", "member": "m1",
        "data": { "booking_id": n, "starts_at": "2026-04-01T10:00:00+09:00" } })
    };
    let fifty: Vec<Value> = (0..50).map(booked).collect();
    daemon.post("/v1/events", &json!(fifty)).await.took(50, 0);
    daemon.event(booked(50)).await.problem(422, "the member has 50 runs that have not ended");
}

#[tokio::test]
async fn a_forgotten_member_that_comes_back_is_not_sent_the_same_again() {
    let daemon = Daemon::start().await;
    daemon
        .put("/v1/members/m1", &json!({ "line_user_id": ALICE, "attributes": { "name": "Alice" } }))
        .await
        .ok();
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    assert_eq!(daemon.delete("/v1/members/m1").await.status, 204);

    let back = daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    assert_eq!((&back["attributes"], &back["enrollments"]), (&json!({}), &json!([])));
    assert_eq!(daemon.timeline("m1").await, ["linked"]);
    // even the same event, which is not known any more
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::NotEnrolled, 1).await;
    daemon.advance_to("2026-03-06T10:00:00Z");
    daemon.event(purchase("e2", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::NotEnrolled, 2).await;
    assert_eq!(daemon.pushed().len(), 1);
}

#[tokio::test]
async fn a_timeline_tells_what_happened_and_what_is_planned() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    let booking = json!({ "id": "e2", "name": "interview.booked", "member": "m1",
        "data": { "booking_id": 7, "starts_at": "2026-03-10T10:00:00+09:00" } });
    daemon.event(booking).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    let timeline = daemon.get("/v1/members/m1/timeline").await.ok();
    let at = "2026-03-02T03:00:00Z";
    let mut happened = timeline["happened"].as_array().unwrap().clone();
    // the booking may have been taken before LINE had answered, or after
    happened.sort_by_key(|it| it["what"].to_string());
    let expected = json!([
        { "at": at, "what": "accepted", "scenario": "welcome", "step": "hello", "until": at },
        { "at": at, "what": "enrolled", "scenario": "welcome" },
        { "at": at, "what": "enrolled", "scenario": "interview" },
        { "at": at, "what": "linked" },
    ]);
    assert_eq!(json!(happened), expected);
    let planned = json!([
        { "scenario": "welcome", "step": "tips", "state": "planned", "at": "2026-03-05T10:00:00Z" },
        { "scenario": "interview", "key": "7", "step": "soon", "state": "planned", "at": "2026-03-10T00:00:00Z" },
    ]);
    assert_eq!(timeline["planned"], planned);
    assert_eq!(timeline["member"], "m1");
}

#[tokio::test]
async fn a_timeline_reaches_back_past_what_the_member_file_holds() {
    let daemon = Daemon::start().await;
    for n in 0..60 {
        daemon.event(purchase(&format!("e{n}"), "m1")).await.took(1, 0);
    }
    let happened = daemon.timeline("m1").await;
    assert_eq!(happened.iter().filter(|line| *line == "not_enrolled welcome").count(), 59);
    assert_eq!(happened[0], "enrolled welcome");
}
