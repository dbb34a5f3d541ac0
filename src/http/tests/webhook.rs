//! `POST /line/webhook`.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::daemon::{ALICE, Daemon, SECRET, reply, start};
use crate::dispatch::{Action, Answer};
use crate::http::webhook::cut;
use crate::line::webhook::sign;
use crate::model::{Attributes, Event, EventName, LineUserId, What};

/// An event as LINE would tell it, with `more` laid over.
fn event(id: &str, kind: &str, more: Value) -> Value {
    let mut event = json!({
        "type": kind,
        "mode": "active",
        "timestamp": start().as_millisecond(),
        "source": { "type": "user", "userId": ALICE },
        "webhookEventId": id,
        "deliveryContext": { "isRedelivery": false },
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn message(id: &str, text: &str) -> Value {
    event(id, "message", json!({ "message": { "id": "1", "type": "text", "text": text } }))
}

fn stub() -> String {
    format!("line:{ALICE}")
}

fn path() -> String {
    format!("/v1/members/line:{ALICE}")
}

#[tokio::test]
async fn only_what_line_has_signed_is_taken() {
    let daemon = Daemon::start().await;
    let body = json!({ "destination": "U", "events": [event("w1", "follow", json!({}))] }).to_string();
    let good = sign(&SecretString::from(SECRET), body.as_bytes());
    let other = sign(&SecretString::from("another"), body.as_bytes());
    let post = |signature: Option<String>, body: String| {
        let request = daemon.request(reqwest::Method::POST, "/line/webhook").body(body);
        reply(signature.iter().fold(request, |request, it| request.header("x-line-signature", it)))
    };
    for bad in [
        None,
        Some("".into()),
        Some("!".into()),
        Some(other),
        Some(format!("{good}=")),
        Some(good[..20].into()),
    ] {
        post(bad, body.clone()).await.problem(401, "the signature is missing or wrong");
    }
    post(Some(good.clone()), format!("{body} ")).await.problem(401, "the signature is missing or wrong");
    daemon.get(&path()).await.problem(404, "there is no such member");
    let taken = post(Some(good.clone()), body.clone()).await;
    assert_eq!((taken.status, taken.text.as_str()), (200, ""));
    assert_eq!(daemon.get(&path()).await.ok()["friendship"], "friend");

    *daemon.api.channel_secret.write().unwrap() = None;
    post(Some(good), body).await.problem(503, "no channel secret is configured");
}

#[tokio::test]
async fn what_is_signed_but_no_webhook_is_refused() {
    let daemon = Daemon::start().await;
    for body in ["", "{", "[]", "{}", r#"{"destination":"U"}"#, r#"{"destination":"U","events":{}}"#] {
        daemon.webhook_body(body).await.problem(400, "the webhook is not");
    }
}

#[tokio::test]
async fn a_check_of_the_connection_is_answered() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.webhook(json!([])).await.status, 200);
}

#[tokio::test]
async fn an_event_that_comes_again_is_handled_once() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.webhook(json!([message("w1", "menu"), message("w1", "menu")])).await.status, 200);
    let again = json!([{ "deliveryContext": { "isRedelivery": true } }])[0].clone();
    let mut redelivered = message("w1", "menu");
    redelivered.as_object_mut().unwrap().extend(again.as_object().unwrap().clone());
    assert_eq!(daemon.webhook(json!([redelivered])).await.status, 200);
    daemon.until_happened(&stub(), What::Completed, 1).await;
    assert_eq!(daemon.webhook(json!([message("w2", "menu")])).await.status, 200);
    daemon.until_happened(&stub(), What::Completed, 2).await;
    assert_eq!(daemon.pushed(), vec![(ALICE.to_owned(), "you said menu".to_owned()); 2]);
}

#[tokio::test]
async fn a_block_stops_sends_and_a_follow_lets_them_go_on() {
    let daemon = Daemon::start().await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    let friendship = async || daemon.get("/v1/members/m1").await.ok()["friendship"].clone();
    assert_eq!(friendship().await, "unknown");
    let at = |seconds: i64| json!({ "timestamp": start().as_millisecond() + seconds * 1_000 });

    daemon.advance_to("2026-03-02T03:01:00Z");
    assert_eq!(daemon.webhook(json!([event("w1", "follow", at(1))])).await.status, 200);
    assert_eq!(friendship().await, "friend");
    daemon.until_happened("m1", What::Accepted, 1).await;

    assert_eq!(daemon.webhook(json!([event("w3", "unfollow", at(3))])).await.status, 200);
    assert_eq!(friendship().await, "blocked");
    daemon.event(json!({ "id": "e1", "name": "purchase", "member": "m1" })).await.took(1, 0);
    daemon.until_happened("m1", What::Skipped, 1).await;
    // older news, late
    assert_eq!(daemon.webhook(json!([event("w2", "follow", at(2))])).await.status, 200);
    assert_eq!(friendship().await, "blocked");

    assert_eq!(daemon.webhook(json!([event("w4", "follow", at(4))])).await.status, 200);
    assert_eq!(friendship().await, "friend");
    daemon.until_happened("m1", What::Unblocked, 1).await;
    let pushed = daemon.pushed();
    assert!(!pushed.iter().any(|(_, text)| text.starts_with("hello")), "{pushed:?}");
}

#[tokio::test]
async fn messages_and_postbacks_are_events() {
    let daemon = Daemon::start().await;
    let postback = |id, data| event(id, "postback", json!({ "postback": { "data": data } }));
    let sticker = event("w0", "message", json!({ "message": { "id": "1", "type": "sticker" } }));
    let events = json!([
        sticker,
        message("w1", "hello"),
        message("w2", "menu"),
        postback("w3", "no"),
        postback("w4", "buy")
    ]);
    assert_eq!(daemon.webhook(events).await.status, 200);
    daemon.until_happened(&stub(), What::Completed, 2).await;
    let mut texts: Vec<String> = daemon.pushed().into_iter().map(|(_, text)| text).collect();
    texts.sort();
    assert_eq!(texts, ["thanks", "you said menu"]);
    // a message says nothing of the friendship
    assert_eq!(daemon.get(&path()).await.ok()["friendship"], "unknown");
}

#[tokio::test]
async fn a_long_message_is_an_event_too() {
    let daemon = Daemon::start().await;
    // text of LINE's longest, in letters that take from one byte to six as JSON
    for (n, letter) in ["a", "あ", "\n", "\u{1}", "👩", "\""].iter().enumerate() {
        let id = format!("w{n}");
        assert_eq!(daemon.webhook(json!([message(&id, &letter.repeat(5_000))])).await.status, 200);
        // an event is known only if it was taken in
        assert!(is_known(&daemon, &id).await, "{letter:?}");
    }
}

async fn is_known(daemon: &Daemon, id: &str) -> bool {
    let (name, data) = (EventName::new("line.message").unwrap(), Attributes::new());
    let event = Event { id: Some(id.to_owned()), name, at: start(), data };
    let action = Action::Line { user: LineUserId::new(ALICE).unwrap(), event, friendship: None };
    daemon.api.desk.ask(action).await.unwrap() == Answer::Duplicate
}

#[test]
fn a_text_is_cut_between_letters() {
    for (text, bytes, expected) in [
        ("", 0, ""),
        ("menu", 4, "menu"),
        ("menu", 3, "men"),
        ("あい", 6, "あい"),
        ("あい", 5, "あ"),
        ("あい", 2, ""),
        ("a\nb", 3, "a\n"),
        ("a\nb", 2, "a"),
        ("\u{1}\u{1}", 11, "\u{1}"),
    ] {
        assert_eq!(cut(text, bytes), expected, "{text:?} to {bytes}");
    }
}

#[tokio::test]
async fn what_is_not_the_accounts_to_act_on_is_passed_over() {
    let daemon = Daemon::start().await;
    let place = |source: Value| json!({ "source": source });
    let events = json!([
        event("w1", "follow", json!({ "mode": "standby" })),
        event("w2", "message", place(json!({ "type": "group", "groupId": "C1", "userId": ALICE }))),
        event(
            "w3",
            "message",
            json!({ "source": { "type": "group", "groupId": "C1", "userId": ALICE }, "message": { "id": "1", "type": "text", "text": "menu" } })
        ),
        event(
            "w4",
            "postback",
            json!({ "source": { "type": "room", "roomId": "R1", "userId": ALICE }, "postback": { "data": "buy" } })
        ),
        event("w5", "follow", place(json!({ "type": "user" }))),
        event("w6", "follow", place(json!({ "type": "user", "userId": "someone" }))),
        event("w7", "follow", json!({ "source": null })),
        event("w8", "somethingNew", json!({})),
        event("w9", "accountLink", json!({ "link": { "result": "ok", "nonce": "n" } })),
        event("", "follow", json!({})),
        event("w11", "follow", json!({ "timestamp": "now" })),
        "not an event",
    ]);
    assert_eq!(daemon.webhook(events).await.status, 200);
    daemon.get(&path()).await.problem(404, "there is no such member");
    // and none of them keeps a good one from being taken
    let events = json!([null, event("w12", "follow", json!({})), {}]);
    assert_eq!(daemon.webhook(events).await.status, 200);
    assert_eq!(daemon.get(&path()).await.ok()["friendship"], "friend");
}

#[tokio::test]
async fn a_clock_of_lines_that_is_ahead_is_not_believed() {
    let daemon = Daemon::start().await;
    for (n, timestamp) in [i64::MAX, i64::MIN, start().as_millisecond() + 86_400_000].into_iter().enumerate()
    {
        let id = format!("w{n}");
        let events = json!([event(&id, "unfollow", json!({ "timestamp": timestamp }))]);
        assert_eq!(daemon.webhook(events).await.status, 200);
    }
    assert_eq!(daemon.get(&path()).await.ok()["friendship"], "blocked");
    let later = json!({ "timestamp": start().as_millisecond() });
    assert_eq!(daemon.webhook(json!([event("w9", "follow", later)])).await.status, 200);
    assert_eq!(daemon.get(&path()).await.ok()["friendship"], "friend");
}
