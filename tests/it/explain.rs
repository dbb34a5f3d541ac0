//! `explain` by the real process: what began a run, why a step is when it is, and what to do.

use std::net::Ipv4Addr;
use std::process::Output;

use amadare::clock::Clock;
use amadare::sandbox::{Faults, Sandbox, Settings};
use serde_json::{Value, json};

use crate::process::{Daemon, amadare, until};

/// Its messages wait for a moment of the day that is never now, but for the one that is sent at once.
const TRIAL: &str = r#"
scenario: trial
enter:
  - { on: purchase, where: event.sku == "T", again: 30d }
  - manual: true
hours: 00:00-24:00
goal: { on: buy, value: event.amount }
steps:
  - step: hello
    push: hello
  - step: vip
    when: member.vip and event.amount > 100
    push: vip
  - step: coupon
    day: 5
    at: "10:00"
    on_days: [mon-fri]
    when: not member.regular
    push: coupon
"#;

const MEET: &str = r#"
scenario: meet
enter: { on: booked, key: event.id, again: always }
anchor: event.at
update: { on: booking.moved, key: event.id }
hours: 09:00-21:00
steps:
  - { step: before, day: -1, at: "18:00", push: tomorrow }
  - { step: early, before: 6h, push: early }
"#;

const NEXT: &str = r#"
scenario: next
enter: { on: never }
hours: 00:00-24:00
steps:
  - { step: later, wait: 90m, push: later }
"#;

const STARTER: &str = r#"
scenario: starter
enter: { on: go }
hours: 00:00-24:00
steps:
  - { step: begin, enter: next }
"#;

async fn started() -> (Sandbox, tempfile::TempDir, Daemon) {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let scenarios =
        [("trial.yaml", TRIAL), ("meet.yaml", MEET), ("next.yaml", NEXT), ("starter.yaml", STARTER)];
    let mut daemon = Daemon::new(folder.path(), &scenarios, &line);
    daemon.start().await;
    for (id, user) in [("m1", 1), ("m2", 2)] {
        let member =
            json!({ "id": id, "attributes": { "vip": false }, "line_user_id": format!("U{user:032x}") });
        daemon.post("/v1/members", member.to_string()).await.unwrap();
    }
    (sandbox, folder, daemon)
}

async fn event(daemon: &Daemon, id: &str, name: &str, member: &str, data: Value) {
    let event = json!({ "id": id, "name": name, "member": member, "data": data });
    assert_eq!(daemon.post("/v1/events", event.to_string()).await.unwrap()["accepted"], 1);
}

async fn explain(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let listen = daemon.listen.to_string();
    let data = daemon.folder.join("data").display().to_string();
    let scenarios = daemon.folder.join("scenarios").display().to_string();
    let place = ["--config", "/dev/null", "--listen", &listen, "--data", &data, "--scenarios", &scenarios];
    let all: Vec<String> =
        ["explain"].iter().chain(arguments).chain(&place).map(|it| (*it).to_owned()).collect();
    let run = move || amadare(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), said)
}

/// Waits until a text is among what is explained.
async fn explained(daemon: &Daemon, arguments: &[&str], text: &str) -> String {
    until(text, async || {
        let (code, said) = explain(daemon, arguments).await;
        assert_eq!(code, 0, "{said}");
        said.contains(text).then_some(said)
    })
    .await
}

#[track_caller]
fn has(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "`{text}` is not in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_began_a_run_why_steps_are_when_they_are_and_what_was_false() {
    let (_sandbox, _folder, mut daemon) = started().await;
    event(&daemon, "o1", "purchase", "m1", json!({ "sku": "T", "amount": 50 })).await;
    event(&daemon, "o2", "purchase", "m1", json!({ "sku": "T", "amount": 50 })).await;
    event(&daemon, "b1", "booked", "m1", json!({ "id": "b-1", "at": "2090-03-01T10:00:00+09:00" })).await;
    event(&daemon, "b2", "booking.moved", "m1", json!({ "id": "b-1", "at": "2090-03-05T12:00:00+09:00" }))
        .await;
    event(&daemon, "g1", "go", "m1", json!({})).await;
    let wish = json!({ "member": "m2", "data": { "sku": "by hand", "amount": 1 } });
    daemon.post("/v1/scenarios/trial/enrollments", wish.to_string()).await.unwrap();

    let said = explained(&daemon, &["m1"], "trial/vip was skipped").await;
    has(
        &said,
        &[
            "entered trial by the event `purchase`\n",
            "did not enter trial: it has been entered before, and `again` does not allow it now\n    again: 30d, never; the member entered it last at ",
            "trial/hello was accepted by LINE",
            "trial/vip was skipped: its condition `when` was false\n    the condition, as the file has it now: `member.vip and event.amount > 100` (false now; event.amount = 50; member.vip = false)\n",
            "entered meet by the event `booked`\n",
            "meet now counts from 2090-03-05 Sun 12:00 by the event `booking.moved`\n",
            "entered starter by the event `go`\n",
            "entered next by a step of `starter`\n",
            "\nnow, 20",
            "  next: next/later, ",
            "; event: sku = \"T\", amount = 50\n",
            "trial/coupon is planned: 5 days after the entry at 10:00 (",
            "; only if `not member.regular` (true now; member.regular has no value)\n",
            "in meet (b-1) since ",
            "counting from the anchor, 2090-03-05 Sun 12:00",
            "2090-03-04 Sat 18:00  meet/before (b-1) is planned: 1 day before the anchor at 18:00 (2090-03-05 Sun 12:00)\n",
            "2090-03-05 Sun 09:00  meet/early (b-1) is planned: 6 hours before the anchor (2090-03-05 Sun 12:00), moved into the send hours: 2090-03-05 Sun 09:00\n",
            "next/later is planned: 1 hour 30 minutes after the entry (",
        ],
    );
    has(&explained(&daemon, &["m2"], "entered trial").await, &["entered trial by hand"]);

    let (_, said) = explain(&daemon, &["m1", "--lang", "ja"]).await;
    has(
        &said,
        &[
            "イベント `purchase` により、trial が始まりました\n",
            "trial/vip は、条件 `when` に合わなかったため、飛ばしました\n    条件（今のファイルの内容）：`member.vip and event.amount > 100`（今は満たしていません、event.amount = 50、member.vip = false）\n",
            "`starter` のステップにより、next が始まりました\n",
            "\n現在（20",
            "2090年3月5日(日) 09:00    meet/early（b-1）の予定です（3月5日(日) 12:00から数えて、基準の日時の6時間前。配信時間外のため、3月5日(日) 09:00に移しました）\n",
        ],
    );

    // one step, with what its file says of it
    let (_, said) = explain(&daemon, &["m1", "trial/coupon"]).await;
    has(
        &said,
        &[
            "trial/coupon, as its file has it now: sends a message 5 days after the entry at 10:00; only if `not member.regular`; between 00:00 and 24:00; only on mon, tue, wed, thu, fri\n\n",
            "entered trial",
        ],
    );
    assert!(!said.contains("trial/vip") && !said.contains("meet"), "{said}");
    // for machines, the same
    let (_, said) = explain(&daemon, &["m1", "trial/vip", "--format", "json"]).await;
    let view: Value = serde_json::from_str(&said).unwrap();
    let skipped = view["happened"].as_array().unwrap().iter().find(|it| it["what"] == "skipped").unwrap();
    assert_eq!(skipped["condition"]["values"], json!({ "event.amount": 50, "member.vip": false }));
    assert_eq!(view["happened"][1]["cause"], "event(purchase)");
    assert_eq!(view["explained"]["runs"][0]["event"]["sku"], "T");

    // without the daemon, from its folder
    daemon.kill();
    let (code, said) = explain(&daemon, &["m2", "trial"]).await;
    assert_eq!(code, 0, "{said}");
    has(&said, &["no daemon runs, so nothing is sent", "entered trial by hand", "trial/coupon is planned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_what_never_began_begins_and_what_keeps_messages_back() {
    let (_sandbox, _folder, daemon) = started().await;
    event(&daemon, "o1", "purchase", "m1", json!({ "sku": "other", "amount": 50 })).await;
    let (code, said) = explain(&daemon, &["m1", "trial"]).await;
    assert_eq!(code, 0, "{said}");
    has(
        &said,
        &[
            "nothing is planned\n",
            "trial begins on the event `purchase`, where `event.sku == \"T\"`\n",
            "trial begins by hand, or by a step of another scenario\n",
            "an event for which the condition is false starts nothing and leaves no line here\n",
        ],
    );
    daemon.post("/v1/members/m1/optout", "{}".into()).await.unwrap();
    daemon.post("/v1/hold", String::new()).await.unwrap();
    let (_, said) = explain(&daemon, &["m1"]).await;
    has(
        &said,
        &[
            "opted out of everything\n",
            "sends are on hold (operator): `amadare release`\n",
            "nothing can be sent to the member: the member has opted out\n",
        ],
    );
    let (_, said) = explain(&daemon, &["m1", "--lang", "ja"]).await;
    has(
        &said,
        &[
            "配信が止まっています（運用者の指示）：`amadare release` で再開します\n",
            "会員が配信停止を希望しているため、この会員には配信できません\n",
        ],
    );
    for (arguments, says) in [
        (["ghost", "trial"], "there is no member `ghost`"),
        (["m1", "tria"], "there is no scenario `tria`; did you mean `trial`?"),
        (["m1", "trial/cupon"], "scenario `trial` has no step `cupon`; did you mean `coupon`?"),
        (["m1", "meet/xyzzy"], "scenario `meet` has no step `xyzzy`; there is before, early"),
    ] {
        let (code, said) = explain(&daemon, &arguments).await;
        assert!(code == 1 && said.contains(says), "{says}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_to_settle_what_is_unknown() {
    let (sandbox, _folder, daemon) = started().await;
    sandbox.set_faults(Faults { error_after: 1.0, ..Faults::default() }).unwrap();
    event(&daemon, "o1", "purchase", "m1", json!({ "sku": "T", "amount": 50 })).await;
    until("it at LINE", async || (sandbox.stats().receipts == 1).then_some(())).await;
    // nobody may send it again to somebody who blocks the account, and LINE's answer was lost
    let body = json!({ "destination": "U", "events": [{
        "type": "unfollow", "mode": "active", "webhookEventId": "w1", "timestamp": 1_900_000_000_000_u64,
        "deliveryContext": { "isRedelivery": false },
        "source": { "type": "user", "userId": format!("U{:032x}", 1) },
    }] })
    .to_string();
    let secret = secrecy::SecretString::from("sandbox-channel-secret");
    let signature = amadare::line::webhook::sign(&secret, body.as_bytes());
    let webhook = daemon.client.post(daemon.url("/line/webhook")).header("x-line-signature", signature);
    assert!(webhook.body(body).send().await.unwrap().status().is_success());
    let said = explained(&daemon, &["m1"], "may or may not have been sent").await;
    has(&said, &["blocked the account\n", "nothing can be sent to the member: the member has blocked"]);
    let settle = said.split("amadare deliveries settle ").nth(1).unwrap();
    let id = settle.split(' ').next().unwrap();
    let path = format!("/v1/deliveries/{id}/settle");
    daemon.post(&path, json!({ "as": "accepted" }).to_string()).await.unwrap();
    let said = explained(&daemon, &["m1"], "by an operator's word").await;
    assert!(!said.contains("deliveries settle"), "{said}");
}
