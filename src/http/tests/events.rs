//! `POST /v1/events`, but for streams.

use serde_json::{Value, json};

use super::daemon::{ALICE, Daemon, send_until_answered};
use crate::model::What;

fn purchase(id: &str, member: &str) -> Value {
    json!({ "id": id, "name": "purchase", "member": member })
}

#[tokio::test]
async fn an_event_is_taken_once_and_its_push_goes_out_once() {
    let daemon = Daemon::start().await;
    daemon
        .put("/v1/members/m1", &json!({ "line_user_id": ALICE, "attributes": { "name": "Alice" } }))
        .await
        .ok();
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::Accepted, 1).await;
    daemon.event(purchase("e1", "m1")).await.took(0, 1);
    // another event of the name does not start the scenario again
    daemon.event(purchase("e2", "m1")).await.took(1, 0);
    daemon.until_happened("m1", What::NotEnrolled, 1).await;
    assert_eq!(daemon.pushed(), [(ALICE.to_owned(), "hello Alice".to_owned())]);
    let expected = ["linked", "enrolled welcome", "accepted welcome/hello", "not_enrolled welcome"];
    assert_eq!(daemon.timeline("m1").await, expected);
}

#[tokio::test]
async fn an_id_is_a_members_own() {
    let daemon = Daemon::start().await;
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
    daemon.event(purchase("e1", "m2")).await.took(1, 0);
}

#[tokio::test]
async fn an_array_tells_of_each_by_its_place() {
    let daemon = Daemon::start().await;
    let events = json!([
        purchase("e1", "m1"),
        purchase("e1", "m1"),
        { "id": "e2", "name": "purchase" },
        purchase("e3", "m2"),
        { "id": 4, "name": "purchase", "member": "m3" },
        "not an event",
    ]);
    let reply = daemon.post("/v1/events", &events).await;
    assert_eq!((&reply.ok()["accepted"], &reply.ok()["duplicates"]), (&json!(2), &json!(1)));
    let rejected = reply.rejected();
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2, 4, 5]);
    assert_eq!(rejected[0].1, "`member` or `line_user` is missing");
    assert!(rejected[1].1.contains("invalid type: integer `4`, expected a string"), "{rejected:?}");
    daemon.get("/v1/members/m3").await.problem(404, "no such member");
}

#[tokio::test]
async fn an_array_has_a_bound_and_may_be_empty() {
    let daemon = Daemon::start().await;
    daemon.post("/v1/events", &json!([])).await.took(0, 0);
    let many = |count: usize| (0..count).map(|n| purchase(&format!("e{n}"), "m1")).collect::<Vec<_>>();
    daemon.post("/v1/events", &json!(many(1_001))).await.problem(413, "at most 1000");
    daemon.get("/v1/members/m1").await.problem(404, "no such member");
    // ids that come close together, and every one known
    let events: Vec<Value> =
        (0..1_000).map(|n| json!({ "id": "e", "name": "seen", "member": format!("m{n}") })).collect();
    daemon.post("/v1/events", &json!(events)).await.took(1_000, 0);
    daemon.post("/v1/events", &json!(events)).await.took(0, 1_000);
}

#[tokio::test]
async fn each_malformed_event_gets_the_reason_and_changes_nothing() {
    let long = "x".repeat(101);
    let long_id = "x".repeat(201);
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"{{"id":"e","name":"n","member":"m1","data":{{"x":{deep}}}}}"#);
    let big =
        json!({ "id": "e", "name": "n", "member": "m1", "data": { "x": "y".repeat(4_096) } }).to_string();
    let cases: Vec<(u16, String, &str)> = vec![
        (400, "".into(), "the body is not JSON"),
        (400, "{".into(), "the body is not JSON"),
        (400, "[{]".into(), "the body is not JSON"),
        (400, "{} {}".into(), "application/x-ndjson"),
        (422, "null".into(), "the event is malformed"),
        (422, "1".into(), "the event is malformed"),
        (422, "\"event\"".into(), "the event is malformed"),
        (422, json!({ "name": "n", "member": "m1" }).to_string(), "missing field `id`"),
        (422, json!({ "id": "", "name": "n", "member": "m1" }).to_string(), "`id` must be 1 to 200 bytes"),
        (
            422,
            json!({ "id": long_id, "name": "n", "member": "m1" }).to_string(),
            "`id` must be 1 to 200 bytes",
        ),
        (422, json!({ "id": null, "name": "n", "member": "m1" }).to_string(), "invalid type: null"),
        (422, json!({ "id": "e", "member": "m1" }).to_string(), "missing field `name`"),
        (
            422,
            json!({ "id": "e", "name": "", "member": "m1" }).to_string(),
            "an event name must not be empty",
        ),
        (
            422,
            json!({ "id": "e", "name": long, "member": "m1" }).to_string(),
            "an event name is at most 100 bytes, not 101",
        ),
        (422, json!({ "id": "e", "name": " n", "member": "m1" }).to_string(), "white space"),
        (422, json!({ "id": "e", "name": "line.follow", "member": "m1" }).to_string(), "reserved"),
        (422, json!({ "id": "e", "name": "line.anything", "member": "m1" }).to_string(), "reserved"),
        (422, json!({ "id": "e", "name": "n" }).to_string(), "`member` or `line_user` is missing"),
        (422, json!({ "id": "e", "name": "n", "member": "m1", "line_user": ALICE }).to_string(), "not both"),
        (422, json!({ "id": "e", "name": "n", "member": "" }).to_string(), "a member id must not be empty"),
        (
            422,
            json!({ "id": "e", "name": "n", "member": long }).to_string(),
            "a member id is at most 100 bytes, not 101",
        ),
        (422, json!({ "id": "e", "name": "n", "member": "a\nb" }).to_string(), "control characters"),
        (422, json!({ "id": "e", "name": "n", "member": "line:me" }).to_string(), "reserved"),
        (422, json!({ "id": "e", "name": "n", "line_user": "m1" }).to_string(), "a LINE user id is"),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "at": "yesterday" }).to_string(),
            "a time with its offset",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "at": "2026-03-02T12:00:00" }).to_string(),
            "a time with its offset",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "at": 1_772_420_400 }).to_string(),
            "invalid type: integer",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "at": "2026-03-02T12:05:00.001+09:00" })
                .to_string(),
            "more than 5 minutes in the future",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "data": [] }).to_string(),
            "invalid type: sequence",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "data": "x" }).to_string(),
            "invalid type: string",
        ),
        (
            422,
            json!({ "id": "e", "name": "n", "member": "m1", "date": {} }).to_string(),
            "unknown field `date`",
        ),
        (422, r#"{"id":"e","id":"f","name":"n","member":"m1"}"#.into(), "duplicate field `id`"),
        (422, r#"{"id":"e","name":"n","member":"m1","data":{"x":1e999}}"#.into(), "number out of range"),
        (422, deep, "recursion limit"),
        (422, big, "the data is"),
    ];
    let daemon = Daemon::start().await;
    for (status, body, part) in cases {
        let reply = daemon.post_as("/v1/events", "application/json", body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        reply.problem(status, part);
    }
    daemon.post_as("/v1/events", "application/json", vec![b'"', 0xff, b'"']).await.problem(400, "not UTF-8");
    daemon.get("/v1/members/m1").await.problem(404, "no such member");
    daemon.event(purchase("e", "m1")).await.took(1, 0);
}

#[tokio::test]
async fn ids_and_times_at_their_bounds_are_taken() {
    let daemon = Daemon::start().await;
    let member = "あ".repeat(33);
    let event = json!({ "id": "x".repeat(200), "name": "n".repeat(100), "member": member,
        "at": "2026-03-02T12:05:00+09:00", "data": null });
    daemon.event(event).await.took(1, 0);
    let events = ["0001-01-01T00:00:00Z", "-009999-01-02T01:59:59Z", "1969-12-31T23:59:59.999999999Z"];
    for (n, at) in events.iter().enumerate() {
        let event = json!({ "id": "e", "name": "purchase", "member": format!("old{n}"), "at": at });
        daemon.event(event).await.took(1, 0);
    }
    for (n, at) in
        ["9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z", "0", "99999999999999"].iter().enumerate()
    {
        let event = json!({ "id": "e", "name": "interview.booked", "member": format!("far{n}"),
            "data": { "booking_id": "b", "starts_at": at } });
        daemon.event(event).await.took(1, 0);
    }
    daemon.get("/healthz").await.ok();
    daemon.event(purchase("after", "m1")).await.took(1, 0);
}

#[tokio::test]
async fn a_body_over_its_bound_is_refused_before_it_has_come() {
    let daemon = Daemon::start().await;
    let bytes = 50 * 1024 * 1024;
    for (method, path) in [
        ("POST", "/v1/events"),
        ("POST", "/v1/members"),
        ("PUT", "/v1/members/m1"),
        ("POST", "/line/webhook"),
    ] {
        let announced = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        let (reply, written) = send_until_answered(daemon.address, &announced, std::iter::empty()).await;
        reply.problem(413, "over 2097152 bytes");
        assert_eq!(written, 0);

        let chunked = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        let chunks = std::iter::repeat_n(chunk, bytes / 0x10000);
        let (reply, written) = send_until_answered(daemon.address, &chunked, chunks).await;
        reply.problem(413, "over 2097152 bytes");
        // what the bound lets through, and what the sockets' buffers hold
        assert!(written < 20 * 1024 * 1024, "{written} bytes were taken");
    }
    daemon.event(purchase("e1", "m1")).await.took(1, 0);
}
