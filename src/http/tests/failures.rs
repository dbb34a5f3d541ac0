//! A store that fails, and a daemon that has more to do than it can: nothing acknowledged is lost.

use std::sync::Arc;

use serde_json::{Value, json};

use super::daemon::{ALICE, Daemon, Faulty, NDJSON, start};
use crate::dispatch::daemon::MAX_QUEUE;
use crate::dispatch::{Action, Answer, Whom};
use crate::model::{Attributes, Event, EventName, MemberId};
use crate::store::MemoryStore;

fn event(n: usize) -> Value {
    json!({ "id": format!("e{n}"), "name": "purchase", "member": "m1" })
}

async fn takes_nothing(daemon: &Daemon) {
    let refused = "the command did not happen";
    daemon.event(event(100)).await.problem(503, refused);
    daemon.post("/v1/events", &json!([event(101), event(102)])).await.problem(503, refused);
    let line = format!("{}\n", event(103));
    daemon
        .post_as("/v1/events", NDJSON, line.clone())
        .await
        .problem(503, "before that 0 lines were accepted");
    let reply = daemon.put("/v1/members/m1", &json!({ "tags": ["x"] })).await;
    reply.problem(503, refused);
    assert_eq!(reply.header("retry-after"), "1");
    daemon.post("/v1/members", &json!({ "id": "m2" })).await.problem(503, refused);
    daemon.delete("/v1/members/m1").await.problem(503, refused);
    let unfollow = json!([{ "type": "unfollow", "mode": "active", "timestamp": start().as_millisecond(),
        "source": { "type": "user", "userId": ALICE }, "webhookEventId": "w1" }]);
    daemon.webhook(unfollow).await.problem(503, refused);
    assert_eq!(daemon.webhook(json!([])).await.status, 200);
    daemon.get("/healthz").await.problem(503, "the store failed");
    let ready = daemon.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
    assert_eq!(ready.json()["failing"], json!(["store"]));
    assert_eq!(daemon.get("/metrics").await.status, 200);
    // what is known can still be read
    daemon.get("/v1/members/m1").await.ok();
    daemon.get("/v1/members/m1/timeline").await.ok();
}

#[tokio::test]
async fn when_commits_fail_nothing_is_taken_and_nothing_acknowledged_is_lost() {
    let store = Arc::new(MemoryStore::new());
    let daemon = Daemon::on(store.clone()).await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    for n in 0..10 {
        daemon.event(event(n)).await.took(1, 0);
    }
    store.set_failing(true);
    daemon.event(event(10)).await.problem(503, "the command did not happen");
    takes_nothing(&daemon).await;

    store.set_failing(false);
    store.cut_power(0);
    let daemon = Daemon::on(store).await;
    for n in 0..10 {
        daemon.event(event(n)).await.took(0, 1);
    }
    daemon.event(event(10)).await.took(1, 0);
    daemon.get("/healthz").await.ok();
    assert_eq!(daemon.get("/v1/members/m1").await.ok()["tags"], json!([]));
}

#[tokio::test]
async fn when_a_flush_fails_what_it_was_for_is_not_acknowledged() {
    let store = Arc::new(Faulty::default());
    let daemon = Daemon::on(store.clone()).await;
    daemon.put("/v1/members/m1", &json!({ "line_user_id": ALICE })).await.ok();
    daemon.event(event(0)).await.took(1, 0);
    store.fail_flushes(true);
    daemon.event(event(1)).await.problem(503, "the command did not happen");
    takes_nothing(&daemon).await;
    let pushed = daemon.pushed().len();
    drop(daemon);

    store.fail_flushes(false);
    store.inner.cut_power(0);
    let daemon = Daemon::on(store).await;
    daemon.event(event(0)).await.took(0, 1);
    daemon.event(event(1)).await.took(1, 0);
    assert!(pushed <= 1);
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing() {
    let store = Arc::new(Faulty::default());
    let daemon = Daemon::on(store.clone()).await;
    store.close();
    let action = |n: usize| Action::Event {
        member: Whom::Member(MemberId::new(&format!("m{n}")).unwrap()),
        event: Event {
            id: Some(format!("e{n}")),
            name: EventName::new("seen").unwrap(),
            at: start(),
            data: Attributes::new(),
        },
    };
    let desk = daemon.api.desk.clone();
    let waiting = tokio::spawn(async move { desk.ask_all((0..MAX_QUEUE).map(action).collect()).await });
    while daemon.api.desk.queue_len() < MAX_QUEUE {
        tokio::task::yield_now().await;
    }
    let full = daemon.event(event(MAX_QUEUE)).await;
    full.problem(503, "the queue is full");
    assert_eq!(full.header("retry-after"), "1");
    store.open();
    let answers = waiting.await.unwrap().unwrap();
    assert_eq!(answers, vec![Answer::Done; MAX_QUEUE]);
    // the one that was refused had no effect
    daemon.event(event(MAX_QUEUE)).await.took(1, 0);
    daemon.get("/healthz").await.ok();
}
