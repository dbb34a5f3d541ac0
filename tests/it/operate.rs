//! What an operator does to a daemon: hold and release, settle what is in doubt, back up and restore.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Output;

use amadare::clock::Clock;
use amadare::sandbox::{Faults, Sandbox, Settings};

use crate::process::{Daemon, amadare, until};

const HELLO: &str = "scenario: hello\nenter: { on: go, key: event.round }\nsteps:\n  - step: only\n    push: \"{{ event.round }}\"\n";

async fn started() -> (Sandbox, tempfile::TempDir, Daemon) {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    daemon.start().await;
    let member = format!(r#"{{"id":"m1","line_user_id":"U{:032x}"}}"#, 1);
    daemon.post("/v1/members", member).await.unwrap();
    (sandbox, folder, daemon)
}

async fn enter(daemon: &Daemon, round: &str) {
    let event = format!(r#"{{"id":"{round}","name":"go","member":"m1","data":{{"round":"{round}"}}}}"#);
    assert_eq!(daemon.post("/v1/events", event).await.unwrap()["accepted"], 1);
}

fn texts(sandbox: &Sandbox) -> Vec<String> {
    let receipts = sandbox.received(0);
    receipts.iter().map(|it| it.messages.as_ref().unwrap()[0]["text"].as_str().unwrap().to_owned()).collect()
}

/// Runs a command against the daemon, or its folder where it does not run.
async fn command(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let listen = daemon.listen.to_string();
    let data = daemon.folder.join("data");
    let mut all: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let place = ["--config", "/dev/null", "--listen", &listen, "--data", data.to_str().unwrap()];
    all.extend(place.map(str::to_owned));
    let run = move || amadare(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_lasts_over_kill_9_and_what_fell_due_goes_out_once_after_the_release() {
    let (sandbox, _folder, mut daemon) = started().await;
    let (code, said) = command(&daemon, &["hold"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("on hold") && said.contains("amadare release"), "{said}");
    enter(&daemon, "a").await;
    daemon.kill();
    daemon.start().await;
    enter(&daemon, "b").await;
    let ready = daemon.get("/readyz").await;
    assert_eq!(ready["components"]["sends"]["detail"], "operator");
    assert_eq!(texts(&sandbox), Vec::<String>::new());
    let (code, said) = command(&daemon, &["release"]).await;
    assert_eq!((code, said.as_str()), (0, "sends are open\n"));
    until("both", async || (sandbox.stats().receipts == 2).then_some(())).await;
    assert_eq!(sandbox.stats().duplicates, 0);
    // without a daemon, for the next one
    daemon.kill();
    let (code, said) = command(&daemon, &["hold"]).await;
    assert_eq!(code, 0, "{said}");
    daemon.start().await;
    assert_eq!(daemon.get("/readyz").await["components"]["sends"]["detail"], "operator");
    daemon.kill();
    let (code, said) = command(&daemon, &["release"]).await;
    assert_eq!(code, 0, "{said}");
    daemon.start().await;
    enter(&daemon, "c").await;
    until("the third", async || (sandbox.stats().receipts == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_store_may_have_sent_is_in_doubt_until_an_operator_settles_it() {
    let (sandbox, folder, mut daemon) = started().await;
    let file = folder.path().join("backup");
    // accepted before the backup
    enter(&daemon, "before").await;
    until("the first", async || (sandbox.stats().receipts == 1).then_some(())).await;
    // on its way while the backup is written: LINE does not answer
    sandbox.set_faults(Faults { error_after: 1.0, ..Faults::default() }).unwrap();
    enter(&daemon, "in flight").await;
    until("the second at LINE", async || (sandbox.stats().receipts == 2).then_some(())).await;
    let (code, said) = command(&daemon, &["backup", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}");
    let (code, again) = command(&daemon, &["backup", file.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{again}");
    // after the backup
    sandbox.set_faults(Faults::default()).unwrap();
    enter(&daemon, "after").await;
    until("the third", async || (sandbox.stats().receipts == 3).then_some(())).await;
    daemon.kill();

    let (code, refused) = command(&daemon, &["restore", file.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{refused}");
    assert!(refused.contains("already holds a store"), "{refused}");
    std::fs::rename(folder.path().join("data"), folder.path().join("data.old")).unwrap();
    let (code, said) = command(&daemon, &["restore", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}");
    daemon.start().await;
    assert_eq!(daemon.get("/readyz").await["components"]["sends"]["detail"], "restored");
    let listed = until("what is in doubt", async || {
        let (_, said) = command(&daemon, &["deliveries", "list", "--json"]).await;
        (!said.is_empty()).then_some(said)
    })
    .await;
    let delivery: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!((listed.lines().count(), &delivery["reason"]), (1, &"restored".into()), "{listed}");
    let (_, human) = command(&daemon, &["deliveries", "list"]).await;
    assert!(human.contains("hello/only") && human.contains("restored"), "{human}");
    // the shop sends again what it sent after the backup, with its own time
    let at = delivery["due"].as_str().unwrap();
    let event =
        format!(r#"{{"id":"after","name":"go","member":"m1","at":"{at}","data":{{"round":"after"}}}}"#);
    assert_eq!(daemon.post("/v1/events", event).await.unwrap()["accepted"], 1);
    let (code, said) = command(&daemon, &["release"]).await;
    assert_eq!((code, said.as_str()), (0, "sends are open\n"));
    until("both in doubt", async || {
        let (_, said) = command(&daemon, &["deliveries", "list", "--json"]).await;
        (said.lines().count() == 2).then_some(())
    })
    .await;
    // an operator knows that the member has both
    let arguments = ["deliveries", "settle", "--all", "--reason", "restored", "--as", "accepted"];
    let (code, said) = command(&daemon, &arguments).await;
    assert_eq!((code, said.as_str()), (0, "2 settled as accepted\n"));
    enter(&daemon, "new").await;
    until("what is new", async || (sandbox.stats().receipts == 4).then_some(())).await;
    let mut received = texts(&sandbox);
    received.sort();
    assert_eq!(received, ["after", "before", "in flight", "new"]);
    let (_, said) = command(&daemon, &["deliveries", "list"]).await;
    assert_eq!(said, "no delivery is in doubt\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_a_member_enter_and_notes_what_they_do_not_want() {
    let (sandbox, _folder, mut daemon) = started().await;
    let enroll = ["scenario", "enroll", "hello", "m1", "--event-data", r#"{"round":"by hand"}"#];
    let (code, said) = command(&daemon, &[&enroll[..], &["--id", "1"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("m1 entered hello;"), "{said}");
    until("the push", async || (sandbox.stats().receipts == 1).then_some(())).await;
    let (code, said) = command(&daemon, &[&enroll[..], &["--id", "1"]].concat()).await;
    assert_eq!((code, said.as_str()), (0, "nothing to do: m1 entered hello by this id before\n"));
    let (code, said) = command(&daemon, &enroll).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("(again)") && said.contains("`again: never`"), "{said}");
    let (code, said) = command(&daemon, &["scenario", "enroll", "nothing", "m1"]).await;
    assert_eq!((code, said.as_str()), (1, "amadare: the daemon says: there is no such scenario\n"));
    let (code, said) = command(&daemon, &["scenario", "enroll", "hello", "m1", "--event-data", "[]"]).await;
    assert_eq!(code, 2, "{said}");

    let (code, said) = command(&daemon, &["member", "optout", "m1", "--topic", "news"]).await;
    assert_eq!((code, said.as_str()), (0, "m1 is opted out of news\n"));
    let (_, said) = command(&daemon, &["member", "optout", "m1"]).await;
    assert_eq!(said, "m1 is opted out of everything\n");
    let (code, said) = command(&daemon, &[&enroll[..], &["--key", "more"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    let (_, said) = command(&daemon, &["explain", "m1", "hello"]).await;
    assert!(said.contains("hello/only was skipped: the member has opted out"), "{said}");
    // an opt-out is shown, and lasts, whether a daemon runs or not
    daemon.kill();
    let (_, said) = command(&daemon, &["member", "show", "m1"]).await;
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["opted_out"], serde_json::json!({ "all": true, "topics": ["news"] }));
    for arguments in [&enroll[..], &["member", "optout", "m1"], &["member", "optin", "m1"]] {
        let (code, said) = command(&daemon, arguments).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("no daemon answers") && said.contains("by a running one"), "{said}");
    }
    daemon.start().await;
    let (_, said) = command(&daemon, &["member", "optin", "m1"]).await;
    assert_eq!(said, "m1 is opted out of nothing\n");
    assert_eq!(texts(&sandbox), ["by hand"]);
}

#[test]
fn a_backup_without_a_store_and_a_restore_without_a_backup_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, file) = (at("data"), at("backup"));
    let listen = crate::process::free_address().to_string();
    let place = ["--config", "/dev/null", "--data", &data, "--listen", &listen];
    for (arguments, names) in [(["backup", &file], "no data folder"), (["restore", &file], file.as_str())] {
        let output = amadare(&[&arguments[..], &place].concat());
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(names), "{said}");
    }
    assert!(!Path::new(&data).join("sled").exists());
}
