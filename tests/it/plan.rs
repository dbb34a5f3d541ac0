//! `amadare plan` by the real process: through a daemon that runs, and from the store of one that does not.

use std::net::Ipv4Addr;
use std::process::Output;

use amadare::clock::Clock;
use amadare::sandbox::{Sandbox, Settings};
use serde_json::Value;

use crate::pages::{is_sound, look};
use crate::process::{Daemon, amadare};

const COURSE: &str = "scenario: course
enter: { on: joined }
hours: 09:00-21:00
steps:
  - { step: hello, late: 30d, push: hello }
  - { step: coupon, day: 3, at: '10:00', push: a coupon }
";

async fn plan(daemon: &Daemon, edited: &str, more: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("course.yaml"), edited).unwrap();
    let (listen, data) = (daemon.listen.to_string(), daemon.folder.join("data"));
    let place = ["--config", "/dev/null", "--listen", &listen, "--data", data.to_str().unwrap()];
    let all = [&["plan", folder.path().to_str().unwrap()], more, &place].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let run = move || amadare(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_the_same_from_a_daemon_and_from_its_store_and_sends_nothing() {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("course.yaml", COURSE)], &line);
    daemon.start().await;
    // nothing is sent on the way, whatever the time of day is
    daemon.post("/v1/hold", "{}".to_owned()).await.unwrap();
    for n in 1..=3 {
        let member = format!(r#"{{"id":"m{n}","line_user_id":"U{n:032x}"}}"#);
        daemon.post("/v1/members", member).await.unwrap();
        let event = format!(r#"{{"id":"e","name":"joined","member":"m{n}"}}"#);
        daemon.post("/v1/events", event).await.unwrap();
    }
    let later = COURSE.replace("day: 3", "day: 4");
    let (code, running, stderr) = plan(&daemon, &later, &["--lang", "en"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(running.contains("3 members, 3 of them on their way; something changes for 3"), "{running}");
    assert!(running.contains("sends are on hold (operator)"), "{running}");
    assert!(running.contains("course/coupon        3 → 0        3 move away"), "{running}");
    assert!(running.contains("course/coupon        0 → 3        3 move here"), "{running}");
    assert!(running.contains("3 other pushes come as they would have"), "{running}");
    let named = running.lines().find_map(|line| line.strip_prefix("  course/coupon: "));
    assert_eq!(named.map(|members| members.split(' ').count()), Some(3), "{running}");
    let (_, ja, _) = plan(&daemon, &later, &["--lang", "ja"]).await;
    assert!(ja.contains("会員3人（進行中3人）のうち、3人に変化があります"), "{ja}");
    assert!(ja.contains("3通が別の日時に移る"), "{ja}");
    let page = folder.path().join("plan.html");
    for (lang, width, title) in [("en", 390, "Plan"), ("ja", 1_280, "変更の予定")] {
        let (code, _, stderr) =
            plan(&daemon, &later, &["--lang", lang, "--html", page.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{stderr}");
        let found = look(&page, width, &[]).await;
        is_sound(&found);
        assert_eq!(found["title"], title);
        // the coupon moves, and hello comes
        assert_eq!(found["marks"], 2, "{found}");
    }
    let file = folder.path().join("course.yaml");
    let (code, _, stderr) = plan(&daemon, &later, &["--html", file.to_str().unwrap()]).await;
    assert_eq!((code, file.exists()), (1, false), "{stderr}");
    let (code, json, _) = plan(&daemon, &later, &["--format", "json"]).await;
    let running: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &running["affected"]), (0, &Value::from(3)));

    let (code, _, stderr) = plan(&daemon, &COURSE.replace("step: hello", "step: hi"), &[]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("write `was: hello` into it"), "{stderr}");
    let (code, _, stderr) = plan(&daemon, "scenario: course\n", &[]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("course.yaml:1:1: error[missing-key]"), "{stderr}");

    daemon.kill();
    let (code, json, stderr) = plan(&daemon, &later, &["--format", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let stopped: Value = serde_json::from_str(&json).unwrap();
    for same in ["members", "on_their_way", "affected", "rows", "months"] {
        assert_eq!(running[same], stopped[same], "{same}");
    }
    assert_eq!(sandbox.received(0).len(), 0);
}
