//! Bodies of one thing a line, for events and members alike.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::daemon::{Daemon, NDJSON, send_until_answered};

fn line(id: usize, member: usize) -> String {
    format!("{}\n", json!({ "id": format!("e{id}"), "name": "seen", "member": format!("m{member}") }))
}

#[tokio::test]
async fn a_long_stream_is_taken_whole_and_known_again() {
    let daemon = Daemon::start().await;
    let body: String = (0..20_000).map(|n| line(n, n % 500)).collect();
    daemon.post_as("/v1/events", NDJSON, body.clone()).await.took(20_000, 0);
    let again: String = body.lines().rev().take(1_000).map(|line| format!("{line}\n")).collect();
    daemon.post_as("/v1/events", NDJSON, again).await.took(0, 1_000);
}

#[tokio::test]
async fn a_stream_is_any_of_its_media_types_and_may_be_empty() {
    let daemon = Daemon::start().await;
    for (n, kind) in
        ["application/x-ndjson", "application/ndjson", "Application/JSONL; charset=utf-8"].iter().enumerate()
    {
        daemon.post_as("/v1/events", kind, line(n, 1) + &line(n, 2)).await.took(2, 0);
        daemon.post_as("/v1/events", kind, "").await.took(0, 0);
        daemon.post_as("/v1/events", kind, "\n \r\n\n").await.took(0, 0);
    }
    daemon
        .post_as("/v1/events", "text/plain", line(9, 1) + &line(9, 2))
        .await
        .problem(400, "application/x-ndjson");
}

#[tokio::test]
async fn blank_lines_do_not_count_and_the_last_line_needs_no_break() {
    let daemon = Daemon::start().await;
    let body = format!("\n{}\r\n\n  \noops\n{}", line(1, 1).trim_end(), line(2, 1).trim_end());
    let reply = daemon.post_as("/v1/events", NDJSON, body).await;
    assert_eq!(reply.ok()["accepted"], 2);
    assert_eq!(reply.rejected().iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_bad_line_harms_no_other() {
    let long = json!({ "id": "long", "name": "seen", "member": "m1", "data": { "x": "y".repeat(70_000) } });
    let bad: [(Vec<u8>, &str); 6] = [
        (br#"{"id": "e", "name": "seen", "#.to_vec(), "EOF while parsing"),
        (
            br#"{"id":"a","name":"n","member":"m"}{"id":"b","name":"n","member":"m"}"#.to_vec(),
            "trailing characters",
        ),
        (b"[]".to_vec(), "invalid length 0"),
        (b"\"\xff\"".to_vec(), "the line is not UTF-8"),
        (br#"{"id":"e","name":"line.follow","member":"m"}"#.to_vec(), "reserved"),
        (long.to_string().into_bytes(), "the line is over 65536 bytes"),
    ];
    let daemon = Daemon::start().await;
    for (n, (bytes, why)) in bad.iter().enumerate() {
        let body = [line(n, 1).as_bytes(), bytes, b"\n", line(n, 2).as_bytes()].concat();
        let reply = daemon.post_as("/v1/events", NDJSON, body).await;
        assert_eq!(reply.ok()["accepted"], 2, "{why}");
        let rejected = reply.rejected();
        assert_eq!((rejected.len(), rejected[0].0), (1, 1), "{rejected:?}");
        assert!(rejected[0].1.contains(why), "{rejected:?}");
    }
}

/// Pieces of any size must give the same lines.
#[tokio::test]
async fn a_line_over_its_bound_is_refused_however_it_comes() {
    let daemon = Daemon::start().await;
    for (n, size) in [1_000, 65_536, 300_000].into_iter().enumerate() {
        let long =
            json!({ "id": "long", "name": "seen", "member": "m1", "data": { "x": "y".repeat(200_000) } });
        let body = format!("{}{long}\n{}", line(n, 1), line(n, 2)).into_bytes();
        let mut chunks: Vec<Vec<u8>> = body.chunks(size).map(chunk).collect();
        chunks.push(b"0\r\n\r\n".to_vec());
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let (reply, _) = send_until_answered(daemon.address, &head, chunks.into_iter()).await;
        assert_eq!(reply.ok()["accepted"], 2, "in pieces of {size}");
        assert_eq!(reply.rejected(), [(1, "the line is over 65536 bytes".to_owned())]);
    }
}

#[tokio::test]
async fn a_line_that_does_not_end_ends_the_stream() {
    let daemon = Daemon::start().await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let endless = std::iter::repeat_n(chunk(&[b'x'; 0x10000]), 800);
    let first = chunk(line(1, 1).as_bytes());
    let (reply, written) =
        send_until_answered(daemon.address, &head, [first].into_iter().chain(endless)).await;
    reply.problem(413, "a line is over 2097152 bytes");
    reply.problem(413, "before that 1 lines were accepted, 0 were duplicates and 0 were refused");
    assert!(written < 20 * 1024 * 1024, "{written} bytes were taken");
    daemon.post_as("/v1/events", NDJSON, line(1, 1)).await.took(0, 1);
}

#[tokio::test]
async fn a_stream_of_bad_lines_is_not_read_to_its_end() {
    let daemon = Daemon::start().await;
    let body = line(1, 1) + &"oops\n".repeat(1_000);
    let reply = daemon.post_as("/v1/events", NDJSON, body).await;
    assert_eq!((reply.ok()["accepted"].clone(), reply.rejected().len()), (json!(1), 1_000));
    let body = line(2, 1) + &"oops\n".repeat(5_000) + &line(3, 1);
    let reply = daemon.post_as("/v1/events", NDJSON, body).await;
    reply.problem(422, "more than 1000 lines were refused");
    reply.problem(422, "before that 1 lines were accepted");
    reply.problem(422, "the first of them line 1: the event is malformed");
    daemon.post_as("/v1/events", NDJSON, line(2, 1) + &line(3, 1)).await.took(1, 1);
}

#[tokio::test]
async fn what_came_before_a_stream_broke_off_is_kept() {
    let daemon = Daemon::start().await;
    let mut connection = tokio::net::TcpStream::connect(daemon.address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&chunk(line(1, 1).as_bytes())).await.unwrap();
    // lines are not held back until there are many
    while daemon.get("/v1/members/m1").await.status == 404 {
        tokio::task::yield_now().await;
    }
    drop(connection);
    daemon.post_as("/v1/events", NDJSON, line(1, 1)).await.took(0, 1);
}

#[tokio::test]
async fn members_come_as_streams_and_arrays_too() {
    let daemon = Daemon::start().await;
    let member = |n: usize| json!({ "id": format!("m{n}"), "attributes": { "n": n }, "tags": ["new"] });
    let body: String = (0..2_000).map(|n| format!("{}\n", member(n))).collect();
    daemon.post_as("/v1/members", NDJSON, body).await.took(2_000, 0);
    let rows: Vec<Value> = vec![
        member(2_000),
        json!({ "attributes": {} }),
        json!({ "id": "m1", "attributes": [] }),
        json!({ "id": "m2", "nickname": "x" }),
        json!({ "id": "line:x" }),
        json!({ "id": "m3", "line_user_id": "x" }),
        json!({ "id": "m4", "attributes": { "x": "y".repeat(5_000) } }),
        member(2_001),
    ];
    let reply = daemon.post("/v1/members", &json!(rows)).await;
    assert_eq!(reply.ok()["accepted"], 2);
    let rejected = reply.rejected();
    let parts = [
        "`id` is missing",
        "invalid type",
        "unknown field `nickname`",
        "reserved",
        "`line_user_id`",
        "at most 4096 fit",
    ];
    assert_eq!(rejected.len(), parts.len());
    for ((index, (place, why)), part) in (1..).zip(&rejected).zip(parts) {
        assert_eq!(*place, index);
        assert!(why.contains(part), "{why:?} does not say {part:?}");
    }
    daemon.post("/v1/members", &json!({ "id": "m9", "tags": ["one"] })).await.took(1, 0);
    daemon.post("/v1/members", &json!({ "tags": ["one"] })).await.problem(422, "`id` is missing");
    assert_eq!(daemon.get("/v1/members/m2001").await.ok()["attributes"], json!({ "n": 2_001 }));
    assert_eq!(daemon.get("/v1/members/m4").await.ok()["attributes"], json!({ "n": 4 }));
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
