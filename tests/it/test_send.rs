//! `test-send` by the real process: marked, once, to testers only, and nothing else is touched.

use std::net::Ipv4Addr;
use std::process::Output;

use amadare::clock::Clock;
use amadare::sandbox::{Faults, Sandbox, Settings};
use serde_json::{Value, json};

use crate::process::{Daemon, amadare, until};

const WELCOME: &str = r#"
scenario: welcome
enter: { on: purchase, where: "event.sku == 'T'" }
hours: 00:00-24:00
topic: news
goal: { on: buy }
samples:
  - { member: { name: A }, event: { sku: T, item: soap } }
  - { member: { name: A }, event: { sku: T, item: tea } }
steps:
  - step: hello
    push: "{{ member.name }}さま、{{ event.item }}のご注文ありがとうございます。"
  - step: note
    set: { tags: [noted] }
  - step: coupon
    day: 5
    push: { $file: flex/coupon.json }
  - step: five
    day: 6
    push: [one, two, three, four, five]
"#;

const MEET: &str = r#"
scenario: meet
enter: { on: booked }
anchor: event.at
hours: 00:00-24:00
steps:
  - { step: hour, before: 1h, push: "{{ anchor | date('%H:%M') }}に" }
"#;

const COUPON: &str = r#"{"type":"flex","altText":"{{ member.name }}さまのクーポン","contents":
    {"type":"bubble","body":{"type":"box","layout":"vertical","contents":[{"type":"text","text":"500円引き"}]}}}"#;

async fn started() -> (Sandbox, tempfile::TempDir, Daemon) {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("scenarios/flex")).unwrap();
    std::fs::write(folder.path().join("scenarios/flex/coupon.json"), COUPON).unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("welcome.yaml", WELCOME), ("meet.yaml", MEET)], &line);
    daemon.config("testers: [m1, nobody, apart]\n");
    daemon.log_to(&folder.path().join("log"));
    daemon.start().await;
    for (id, user) in [("m1", 1), ("m2", 2)] {
        let member =
            json!({ "id": id, "attributes": { "name": "さくら" }, "line_user_id": format!("U{user:032x}") });
        daemon.post("/v1/members", member.to_string()).await.unwrap();
    }
    (sandbox, folder, daemon)
}

/// Asks for a test send: the status and the answer.
async fn send(daemon: &Daemon, body: Value) -> (u16, Value) {
    let request = daemon.client.post(daemon.url("/v1/test-sends")).body(body.to_string());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn texts(sandbox: &Sandbox, receipt: usize) -> Vec<String> {
    let receipts = sandbox.received(0);
    let messages = receipts[receipt].messages.as_ref().unwrap().as_array().unwrap();
    let text = |message: &Value| message.get("text").or(message.get("altText")).unwrap().clone();
    messages.iter().map(|message| text(message).as_str().unwrap().to_owned()).collect()
}

async fn command(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let listen = daemon.listen.to_string();
    let mut all: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    all.extend(["--config", "/dev/null", "--listen", &listen].map(str::to_owned));
    let run = move || amadare(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), said)
}

fn hello(member: &str) -> Value {
    json!({ "scenario": "welcome", "step": "hello", "member": member })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_marked_and_sent_once_and_touches_no_run_counter_or_history() {
    let (sandbox, folder, daemon) = started().await;
    let event =
        json!({ "id": "o1", "name": "purchase", "member": "m1", "data": { "sku": "T", "item": "rice" } });
    daemon.post("/v1/events", event.to_string()).await.unwrap();
    until("the run's own message", async || (sandbox.stats().receipts == 1).then_some(())).await;
    until("its outcome", async || {
        let timeline = daemon.get("/v1/members/m1/timeline").await;
        timeline["happened"].to_string().contains("accepted").then_some(())
    })
    .await;
    let places = ["/v1/members/m1/timeline", "/v1/members/m1", "/v1/scenarios/welcome"];
    let mut before = Vec::new();
    for place in places {
        before.push(daemon.get(place).await);
    }

    // the event of the member's own run
    let (status, told) = send(&daemon, hello("m1")).await;
    assert_eq!(
        (status, &told["outcome"], &told["event"]),
        (200, &json!("accepted"), &json!("run")),
        "{told}"
    );
    assert_eq!(
        (&told["mark"], &told["attempts"], &told["repeated"]),
        (&json!("bubble"), &json!(1), &json!(false))
    );
    assert_eq!(
        texts(&sandbox, 1),
        ["【テスト配信】welcome/hello", "さくらさま、riceのご注文ありがとうございます。"]
    );
    // a flex message, and five messages
    let flex = json!({ "scenario": "welcome", "step": "coupon", "member": "m1" });
    assert_eq!(send(&daemon, flex).await.1["outcome"], "accepted");
    assert_eq!(texts(&sandbox, 2), ["【テスト配信】welcome/coupon", "さくらさまのクーポン"]);
    let five = json!({ "scenario": "welcome", "step": "five", "member": "m1" });
    assert_eq!(send(&daemon, five).await.1["mark"], "text");
    assert_eq!(texts(&sandbox, 3), ["【テスト配信】welcome/five\none", "two", "three", "four", "five"]);
    // events of the author's own
    let mut data = hello("m1");
    data["data"] = json!({ "item": "salt" });
    assert_eq!(send(&daemon, data).await.1["event"], "data");
    assert!(texts(&sandbox, 4)[1].contains("saltの"));
    let at = json!({ "scenario": "meet", "step": "hour", "member": "m1", "data": { "at": "2026-04-13T14:00:00+09:00" } });
    assert_eq!(send(&daemon, at).await.1["outcome"], "accepted");
    assert_eq!(texts(&sandbox, 5)[1], "14:00に", "the anchor is told by the event");
    let mut sample = hello("m1");
    sample["sample"] = json!(2);
    assert_eq!(send(&daemon, sample).await.1["event"], "sample");
    assert!(texts(&sandbox, 6)[1].contains("teaの"));

    for (place, before) in places.iter().zip(&before) {
        assert_eq!(&daemon.get(place).await, before, "{place}");
    }
    assert_eq!(sandbox.stats().duplicates, 0);
    let log = until("a line a send in the log", async || {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        (log.matches("test send").count() == 6).then_some(log)
    })
    .await;
    for secret in ["ご注文", "クーポン", &format!("U{:032x}", 1), "salt"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_sent_once_whatever_line_answers_and_over_a_restart() {
    let (sandbox, _folder, mut daemon) = started().await;
    sandbox.set_faults(Faults { error_after: 1.0, ..Faults::default() }).unwrap();
    let mut wish = hello("m1");
    wish["id"] = json!("try-1");
    let (status, told) = send(&daemon, wish.clone()).await;
    assert_eq!((status, &told["outcome"], &told["attempts"]), (200, &json!("unclear"), &json!(4)), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("same `id`"), "{told}");
    assert_eq!(sandbox.stats().receipts, 1);
    // the member's values have changed: the same bytes go out under the same key all the same
    let renamed = json!({ "id": "m1", "attributes": { "name": "もも" } });
    daemon.post("/v1/members", renamed.to_string()).await.unwrap();
    sandbox.set_faults(Faults::default()).unwrap();
    let (_, told) = send(&daemon, wish.clone()).await;
    assert_eq!((&told["outcome"], &told["repeated"]), (&json!("accepted"), &json!(false)), "{told}");
    let (_, told) = send(&daemon, wish.clone()).await;
    assert_eq!(
        (&told["outcome"], &told["repeated"], &told["attempts"]),
        (&json!("accepted"), &json!(true), &json!(0))
    );
    let mut other = wish.clone();
    other["step"] = json!("coupon");
    let (status, told) = send(&daemon, other).await;
    assert_eq!(status, 409, "{told}");
    daemon.kill();
    daemon.start().await;
    let (_, told) = send(&daemon, wish.clone()).await;
    assert_eq!(told["outcome"], "accepted", "{told}");
    assert!(told["detail"].as_str().unwrap().contains("earlier attempt"), "{told}");
    assert_eq!((sandbox.stats().receipts, sandbox.stats().duplicates), (1, 0));
    // another request with the same id, which the daemon does not remember any more, is not taken for it
    daemon.kill();
    daemon.start().await;
    wish["data"] = json!({ "item": "another" });
    let (_, told) = send(&daemon, wish).await;
    assert_eq!((&told["outcome"], told.get("detail")), (&json!("accepted"), None), "{told}");
    assert_eq!(sandbox.stats().receipts, 2);
    // without an id each is one of its own
    send(&daemon, hello("m1")).await;
    send(&daemon, hello("m1")).await;
    assert_eq!(sandbox.stats().receipts, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_tester_or_must_not_be_sent_to_gets_nothing_and_the_answer_says_what_to_do() {
    let (sandbox, _folder, mut daemon) = started().await;
    let refused = async |body: Value, status: u16, says: &str| {
        let (got, told) = send(&daemon, body).await;
        let detail = told["detail"].as_str().unwrap_or_default();
        assert!(got == status && detail.contains(says), "{status} with `{says}`, not {got}: {told}");
    };
    refused(hello("m2"), 403, "testers: [m2]").await;
    refused(hello("ghost"), 404, "there is no member `ghost`").await;
    daemon.post("/v1/members", json!({ "id": "apart" }).to_string()).await.unwrap();
    refused(hello("apart"), 409, "line_user_id").await;
    let step = |step: &str| json!({ "scenario": "welcome", "step": step, "member": "m1" });
    refused(step("helo"), 404, "did you mean `hello`?").await;
    refused(step("note"), 422, "sends no message").await;
    refused(json!({ "scenario": "welcom", "step": "hello", "member": "m1" }), 404, "did you mean `welcome`?")
        .await;
    let mut both = hello("m1");
    both["data"] = json!({});
    refused(both.clone(), 422, "`event.item` has no value").await;
    both["sample"] = json!(1);
    refused(both, 422, "not both").await;
    let mut sample = hello("m1");
    sample["sample"] = json!(3);
    refused(sample, 422, "the file has 1 to 2").await;
    // ten in a moment, and one a second: no more
    let told = until("the end of the allowance", async || {
        let (status, told) = send(&daemon, step("helo")).await;
        (status == 429).then_some(told)
    })
    .await;
    assert!(told["detail"].as_str().unwrap().contains("one a second"), "{told}");
    assert_eq!(sandbox.stats().receipts, 0);

    // what an operator, the member and LINE say holds for tests too; a new daemon has a new allowance
    daemon.kill();
    daemon.start().await;
    let (code, said) = command(&daemon, &["hold"]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(&daemon, &["test-send", "welcome/hello", "--to", "m1"]).await;
    assert!(code == 1 && said.contains("amadare release"), "{said}");
    command(&daemon, &["release"]).await;
    command(&daemon, &["member", "optout", "m1", "--topic", "news"]).await;
    let (code, said) = command(&daemon, &["test-send", "welcome/hello", "--to", "m1"]).await;
    assert!(code == 1 && said.contains("optin"), "{said}");
    command(&daemon, &["member", "optin", "m1", "--topic", "news"]).await;
    sandbox.set_quota(Some(0));
    let (code, said) = command(&daemon, &["test-send", "welcome/hello", "--to", "m1", "--lang", "en"]).await;
    assert!(code == 1 && said.contains("was not sent to m1: the month's quota is used up"), "{said}");
    sandbox.set_quota(None);
    // the list of testers is read again
    daemon.config("testers: [m2]\n");
    let pid = daemon.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    until("the new list", async || (send(&daemon, step("helo")).await.0 == 403).then_some(())).await;
    assert_eq!(sandbox.stats().receipts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_live_is_tried_and_its_errors_are_told_as_check_tells_them() {
    let (sandbox, folder, daemon) = started().await;
    let drafts = folder.path().join("drafts");
    std::fs::create_dir_all(drafts.join("flex")).unwrap();
    std::fs::write(drafts.join("flex/coupon.json"), COUPON.replace("500", "700")).unwrap();
    let draft = drafts.join("draft.yaml");
    let text = WELCOME
        .replace("ご注文ありがとうございます", "ご購入を心より感謝いたします")
        .replace("set: { tags: [noted] }", "enter: welcome");
    std::fs::write(&draft, &text).unwrap();
    let path = draft.to_str().unwrap();
    let hello = ["test-send", "welcome/hello", "--to", "m1", "--file", path, "--sample", "1", "--lang", "ja"];
    let (code, said) = command(&daemon, &hello).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("テスト配信の印を付けて m1 に送り、LINEが受け付けました"), "{said}");
    assert!(said.contains("│ さくらさま、soapのご購入を心より感謝いたします"), "{said}");
    assert_eq!(texts(&sandbox, 0)[1], "さくらさま、soapのご購入を心より感謝いたします。");
    let coupon = ["test-send", "welcome/coupon", "--to", "m1", "--file", path, "--format", "json"];
    let (code, said) = command(&daemon, &coupon).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("700円引き"), "{said}");

    std::fs::write(&draft, text.replace("push: { $file", "psh: { $file").replace("day: 6", "day: six"))
        .unwrap();
    let (code, said) = command(&daemon, &hello).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("draft.yaml:17:5: error[unknown-key]"), "{said}");
    assert!(said.contains("did you mean `push`?") && said.contains("draft.yaml:19:10"), "{said}");
    let other = ["test-send", "other/hello", "--to", "m1", "--file", path];
    let (code, said) = command(&daemon, &other).await;
    assert!(code == 1 && said.contains("draft.yaml holds another scenario than `other`"), "{said}");
    let (code, said) = command(&daemon, &["test-send", "welcome", "--to", "m1"]).await;
    assert!(code == 1 && said.contains("say which step"), "{said}");
    let data = ["test-send", "welcome/hello", "--to", "m1", "--event-data", "[1]"];
    let (code, said) = command(&daemon, &data).await;
    assert!(code == 1 && said.contains("must be a JSON object"), "{said}");
    assert_eq!(sandbox.stats().receipts, 2);
}
