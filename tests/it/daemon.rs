//! The daemon as a process: signals, folders, broken files.

use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use amadare::clock::Clock;
use amadare::sandbox::{Faults, Sandbox, Settings};

use crate::process::{Daemon, until};

const HELLO: &str =
    "scenario: hello\nenter: { on: go, key: event.round }\nsteps: [{ step: only, push: hello }]\n";

async fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    (sandbox, line)
}

/// A daemon that runs with one scenario and knows the member `m1`, and its LINE.
async fn started(scenario: &str) -> (Sandbox, tempfile::TempDir, Daemon) {
    let (sandbox, line) = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", scenario)], &line);
    daemon.start().await;
    link(&daemon).await;
    (sandbox, folder, daemon)
}

fn signal(daemon: &Daemon, signal: &str) {
    // the shell's own, since a bare machine has no program of that name
    let kill = format!("kill {signal} {}", daemon.pid());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}

async fn enter(daemon: &Daemon, round: &str) {
    let event = format!(r#"{{"id":"{round}","name":"go","member":"m1","data":{{"round":"{round}"}}}}"#);
    let answer = daemon.post("/v1/events", event).await.unwrap();
    assert_eq!(answer["accepted"], 1);
}

async fn link(daemon: &Daemon) {
    daemon.post("/v1/members", format!(r#"{{"id":"m1","line_user_id":"U{:032x}"}}"#, 1)).await.unwrap();
}

/// Runs `serve` to its end and gives its exit code and what it said.
fn serve(daemon: &Daemon) -> (i32, String) {
    let mut child = daemon.command().spawn().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (child.wait().unwrap().code().unwrap(), errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_it_drains_and_goes_on_where_it_was() {
    let (sandbox, _folder, mut daemon) = started(HELLO).await;
    // an answer is on its way when the end comes
    sandbox.set_faults(Faults { latency_ms: 300, ..Faults::default() }).unwrap();
    enter(&daemon, "a").await;
    until("the push at LINE", async || (sandbox.stats().requests > 1).then_some(())).await;
    signal(&daemon, "-TERM");
    assert!(daemon.wait().success());
    sandbox.set_faults(Faults::default()).unwrap();
    daemon.start().await;
    enter(&daemon, "b").await;
    until("both pushes", async || (sandbox.stats().receipts == 2).then_some(())).await;
    assert_eq!(sandbox.stats().duplicates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_whole_set_or_nothing() {
    let (sandbox, folder, daemon) = started(HELLO).await;
    let file = folder.path().join("scenarios/hello.yaml");
    // one good change beside one broken file: neither is taken
    std::fs::write(&file, HELLO.replace("push: hello", "push: changed")).unwrap();
    let broken = folder.path().join("scenarios/broken.yaml");
    std::fs::write(&broken, "scenario: broken\nsteps: []\n").unwrap();
    signal(&daemon, "-HUP");
    until("the refusal", async || {
        let ready = daemon.get("/readyz").await;
        let scenarios = &ready["components"]["scenarios"];
        (scenarios["ok"] == false)
            .then(|| assert!(scenarios["detail"].to_string().contains("broken.yaml:"), "{ready}"))
    })
    .await;
    enter(&daemon, "a").await;
    std::fs::remove_file(&broken).unwrap();
    signal(&daemon, "-HUP");
    until("the new set", async || {
        (daemon.get("/readyz").await["components"]["scenarios"]["ok"] == true).then_some(())
    })
    .await;
    enter(&daemon, "b").await;
    until("both pushes", async || (sandbox.stats().receipts == 2).then_some(())).await;
    let texts: Vec<String> = (sandbox.received(0).iter())
        .map(|receipt| receipt.messages.as_ref().unwrap()[0]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["hello", "changed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_broken_files_runs_the_last_good_ones_and_is_not_ready() {
    let (sandbox, folder, mut daemon) = started(HELLO).await;
    daemon.kill();
    std::fs::write(folder.path().join("scenarios/hello.yaml"), "scenario: hello\nsteps: [").unwrap();
    daemon.start().await;
    let ready = daemon.get("/readyz").await;
    assert_eq!(ready["ready"], false);
    assert_eq!(ready["failing"], serde_json::json!(["scenarios"]));
    enter(&daemon, "a").await;
    until("the push of the last good set", async || (sandbox.stats().receipts == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_with_broken_files_is_a_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let daemon =
        Daemon::new(folder.path(), &[("bad.yaml", "scenario: bad\nsteps: [\n")], "http://127.0.0.1:9");
    let (code, errors) = serve(&daemon);
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("bad.yaml:"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_a_folder_is_refused_and_the_first_lives() {
    let (_sandbox, line) = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let mut first = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    first.start().await;
    let second = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    let (code, errors) = serve(&second);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&format!("in use by another process (pid {})", first.pid())), "{errors}");
    assert_eq!(first.get("/healthz").await["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_wiped_is_refused_before_anything_is_sent() {
    let (_sandbox, line) = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    daemon.start().await;
    link(&daemon).await;
    daemon.kill();
    std::fs::remove_dir_all(folder.path().join("data/sled")).unwrap();
    let (code, errors) = serve(&daemon);
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("has lost data") && errors.contains("Nothing was sent"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn html_from_a_proxy_is_no_acceptance() {
    let (sandbox, _folder, daemon) = started(HELLO).await;
    sandbox.set_faults(Faults { html: 1.0, ..Faults::default() }).unwrap();
    enter(&daemon, "a").await;
    until("some pages of HTML", async || (sandbox.stats().faults.html >= 2).then_some(())).await;
    assert_eq!(sandbox.stats().receipts, 0);
    sandbox.set_faults(Faults::default()).unwrap();
    until("the push", async || (sandbox.stats().receipts == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_shown_and_a_reload_with_a_new_one_goes_on() {
    let settings = Settings { token: Some("good".into()), ..Settings::default() };
    let sandbox = Sandbox::new(settings, Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "revoked\n").unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    daemon.config(&format!("line: {{ channel_access_token: {{ file: '{}' }} }}\n", token.display()));
    daemon.start().await;
    link(&daemon).await;
    enter(&daemon, "a").await;
    until("the hold", async || {
        let ready = daemon.get("/readyz").await;
        (ready["components"]["sends"]["detail"] == "token").then_some(())
    })
    .await;
    std::fs::write(&token, "good\n").unwrap();
    signal(&daemon, "-HUP");
    until("the end of the hold", async || (daemon.get("/readyz").await["ready"] == true).then_some(())).await;
    enter(&daemon, "b").await;
    until("a push", async || (sandbox.stats().receipts >= 1).then_some(())).await;
}

/// What LINE and the shop send never shows up in logs.
#[tokio::test(flavor = "multi_thread")]
async fn logs_hold_no_secrets_bodies_or_line_user_ids() {
    let (sandbox, line) = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let text = "scenario: hello\nenter: { on: go, key: event.round }\nsteps: [{ step: only, push: 'confidential words' }]\n";
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", text)], &line);
    daemon.config("logs: { level: trace }\n");
    let log = folder.path().join("log");
    daemon.log_to(&log);
    daemon.start().await;
    link(&daemon).await;
    let event = format!(r#"{{"id":"x","name":"go","line_user":"U{:032x}","data":{{"round":"r"}}}}"#, 2);
    daemon.post("/v1/events", event).await.unwrap();
    enter(&daemon, "a").await;
    sandbox.set_faults(Faults { error_after: 1.0, ..Faults::default() }).unwrap();
    enter(&daemon, "b").await;
    until("an error", async || (sandbox.stats().faults.error_after >= 1).then_some(())).await;
    sandbox.set_faults(Faults::default()).unwrap();
    until("all pushes", async || (sandbox.stats().receipts >= 3).then_some(())).await;
    signal(&daemon, "-TERM");
    assert!(daemon.wait().success());
    let log = std::fs::read_to_string(Path::new(&log)).unwrap();
    assert!(log.contains("stopped"), "{log}");
    for secret in [
        format!("U{:032x}", 1),
        format!("U{:032x}", 2),
        "confidential".into(),
        "sandbox-channel-secret".into(),
    ] {
        assert!(!log.contains(&secret), "the log holds {secret}");
    }
    assert!(!log.contains("Bearer token"), "the log holds the token");
}

/// What systemd is told over the life of a daemon.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_readiness_life_reload_and_end() {
    let (_sandbox, line) = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let notified = tokio::net::UnixDatagram::bind(&socket).unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    daemon.environment("NOTIFY_SOCKET", socket.to_str().unwrap());
    daemon.environment("WATCHDOG_USEC", "200000");
    daemon.start().await;
    let told = async |wanted: &str| {
        let mut buffer = [0; 512];
        let hear = async {
            loop {
                let size = notified.recv(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
                if text.contains(wanted) {
                    return text;
                }
            }
        };
        tokio::time::timeout(crate::process::PATIENCE, hear)
            .await
            .unwrap_or_else(|_| panic!("not told {wanted}"))
    };
    told("READY=1").await;
    told("WATCHDOG=1").await;
    signal(&daemon, "-HUP");
    assert!(told("RELOADING=1").await.contains("MONOTONIC_USEC="));
    told("READY=1").await;
    signal(&daemon, "-TERM");
    told("STOPPING=1").await;
    assert!(daemon.wait().success());
}

/// A LINE whose tokens are for channels of their own: a push is noted with its token.
async fn line_of_many_channels() -> (std::sync::Arc<std::sync::Mutex<Vec<String>>>, String) {
    use axum::http::{HeaderMap, header};
    let pushed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let token = |headers: &HeaderMap| {
        let bearer = headers[header::AUTHORIZATION].to_str().unwrap();
        bearer.trim_start_matches("Bearer ").to_owned()
    };
    let info = move |headers: HeaderMap| async move {
        let token = token(&headers);
        let bot = format!(r#"{{"userId":"U{:032x}","basicId":"@{token}","displayName":"x"}}"#, token.len());
        ([("x-line-request-id", "r")], bot)
    };
    let noted = pushed.clone();
    let push = move |headers: HeaderMap| async move {
        noted.lock().unwrap().push(token(&headers));
        ([("x-line-request-id", "r")], "{}")
    };
    let router = axum::Router::new()
        .route("/v2/bot/info", axum::routing::get(info))
        .route("/v2/bot/message/push", axum::routing::post(push));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (pushed, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_channel_is_never_used() {
    let (pushed, line) = line_of_many_channels().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "A").unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    daemon.config(&format!("line: {{ channel_access_token: {{ file: '{}' }} }}\n", token.display()));
    daemon.start().await;
    link(&daemon).await;
    enter(&daemon, "a").await;
    until("the first push", async || (pushed.lock().unwrap().len() == 1).then_some(())).await;
    // at a reload: refused, and the old one goes on
    std::fs::write(&token, "another").unwrap();
    signal(&daemon, "-HUP");
    until("the refusal", async || (daemon.get("/readyz").await["ready"] == false).then_some(())).await;
    enter(&daemon, "b").await;
    until("the second push", async || (pushed.lock().unwrap().len() == 2).then_some(())).await;
    // at a start: refused
    daemon.kill();
    let (code, errors) = serve(&daemon);
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("for another channel"), "{errors}");
    assert_eq!(*pushed.lock().unwrap(), ["A", "A"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_bound_to_its_channel_even_if_line_was_away_at_the_first_start() {
    let (_pushed, line) = line_of_many_channels().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "A").unwrap();
    let configure = |daemon: &mut Daemon| {
        daemon.config(&format!("line: {{ channel_access_token: {{ file: '{}' }} }}\n", token.display()));
    };
    let mut away = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], "http://127.0.0.1:9");
    configure(&mut away);
    away.start().await;
    assert_eq!(away.get("/readyz").await["components"]["sends"]["detail"], "token");
    away.kill();
    let mut daemon = Daemon::new(folder.path(), &[("hello.yaml", HELLO)], &line);
    configure(&mut daemon);
    daemon.start().await;
    until("LINE's word", async || (daemon.get("/readyz").await["ready"] == true).then_some(())).await;
    link(&daemon).await;
    daemon.kill();
    std::fs::write(&token, "another").unwrap();
    assert_eq!(serve(&daemon).0, 78);
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_it_waits_for_lines_answer() {
    let (sandbox, _folder, mut daemon) = started(HELLO).await;
    sandbox.set_faults(Faults { latency_ms: 700, ..Faults::default() }).unwrap();
    enter(&daemon, "a").await;
    until("the push at LINE", async || (sandbox.stats().requests > 1).then_some(())).await;
    signal(&daemon, "-TERM");
    assert!(daemon.wait().success());
    sandbox.set_faults(Faults::default()).unwrap();
    daemon.start().await;
    let timeline = daemon.get("/v1/members/m1/timeline").await;
    assert!(timeline["happened"].to_string().contains(r#""what":"accepted""#), "{timeline}");
    assert_eq!((sandbox.stats().receipts, sandbox.stats().already_accepted), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_of_scenarios_ends_no_runs() {
    let text = "scenario: hello\nenter: { on: go }\nsteps: [{ step: only, wait: 2s, push: hello }]\n";
    let (sandbox, folder, daemon) = started(text).await;
    enter(&daemon, "a").await;
    std::fs::remove_file(folder.path().join("scenarios/hello.yaml")).unwrap();
    signal(&daemon, "-HUP");
    until("the refusal", async || {
        let detail = daemon.get("/readyz").await["components"]["scenarios"]["detail"].to_string();
        detail.contains("there is no scenario file").then_some(())
    })
    .await;
    until("the push", async || (sandbox.stats().receipts == 1).then_some(())).await;
}
