//! `call` steps against a real service of the operator's: signed, the same under the same key, over kill -9.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use amadare::call::{IDEMPOTENCY_HEADER, SIGNATURE_HEADER, sign};
use amadare::clock::Clock;
use amadare::sandbox::{Sandbox, Settings};

use crate::process::{Daemon, until};

/// A request as the service got it.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    headers: BTreeMap<String, String>,
    body: String,
}

/// The operator's service: it answers as told, one status after another, then 200.
#[derive(Clone)]
struct Service {
    got: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    port: u16,
}

impl Service {
    fn start() -> Service {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = Service { got: Arc::default(), answers: Arc::default(), port };
        let own = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = BTreeMap::new();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                loop {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                    headers.insert(name.to_lowercase(), value.to_owned());
                }
                let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                own.got.lock().unwrap().push(Request { headers, body });
                let status = own.answers.lock().unwrap().pop().unwrap_or(200);
                let location = "location: http://127.0.0.1:1/elsewhere\r\n";
                let answer = format!(
                    "HTTP/1.1 {status} x\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n"
                );
                // the daemon may have been killed meanwhile
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        service
    }

    fn answers(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.iter().rev().copied().collect();
    }

    fn got(&self) -> Vec<Request> {
        self.got.lock().unwrap().clone()
    }
}

fn scenario(port: u16) -> String {
    format!(
        "scenario: told\nenter: {{ on: go, key: event.round }}\nsteps:\n  - step: tell\n    call:\n      url: http://localhost:{port}/hook\n      body: {{ who: \"{{{{ member.id }}}}\", round: \"{{{{ event.round }}}}\", number: \"{{{{ event.number }}}}\" }}\n  - step: hello\n    push: \"{{{{ event.round }}}}\"\n"
    )
}

async fn started(service: &Service) -> (Sandbox, tempfile::TempDir, Daemon) {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[("told.yaml", &scenario(service.port))], &line);
    daemon.config("calls: { hosts: [localhost], secret: { env: CALLS } }\n");
    daemon.environment("CALLS", "a-secret");
    daemon.start().await;
    let member = format!(r#"{{"id":"m1","line_user_id":"U{:032x}"}}"#, 1);
    daemon.post("/v1/members", member).await.unwrap();
    (sandbox, folder, daemon)
}

async fn enter(daemon: &Daemon, round: &str) {
    let event =
        format!(r#"{{"id":"{round}","name":"go","member":"m1","data":{{"round":"{round}","number":7}}}}"#);
    assert_eq!(daemon.post("/v1/events", event).await.unwrap()["accepted"], 1);
}

async fn timeline(daemon: &Daemon) -> Vec<String> {
    let timeline = daemon.get("/v1/members/m1/timeline").await;
    let word = |line: &serde_json::Value| {
        let part = |name: &str| line[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{}{}{}", line["what"].as_str().unwrap(), part("step"), part("reason"))
    };
    timeline["happened"].as_array().unwrap().iter().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_signed_and_repeated_unchanged_until_it_is_taken() {
    let service = Service::start();
    service.answers(&[500, 429]);
    let (sandbox, _folder, mut daemon) = started(&service).await;
    enter(&daemon, "a").await;
    until("the first try", async || (!service.got().is_empty()).then_some(())).await;
    daemon.kill();
    daemon.start().await;
    until("the message behind it", async || (sandbox.stats().receipts == 1).then_some(())).await;
    let got = service.got();
    assert!(got.len() >= 2, "{got:?}");
    for request in &got {
        assert_eq!(request.body, r#"{"who":"m1","round":"a","number":7}"#);
        let signature = format!("sha256={}", sign("a-secret", request.body.as_bytes()));
        assert_eq!(request.headers[SIGNATURE_HEADER], signature);
        assert_eq!(request.headers[IDEMPOTENCY_HEADER], got[0].headers[IDEMPOTENCY_HEADER]);
    }
    let expected = ["enrolled", "done tell", "accepted hello", "completed"].map(str::to_owned);
    // the stand-in has the message before its answer is noted
    until("the outcome", async || (timeline(&daemon).await[1..] == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_repeated_and_a_redirect_is_not_followed() {
    let service = Service::start();
    service.answers(&[422, 302]);
    let (sandbox, _folder, daemon) = started(&service).await;
    enter(&daemon, "a").await;
    until("the message behind it", async || (sandbox.stats().receipts == 1).then_some(())).await;
    enter(&daemon, "b").await;
    until("the second", async || (sandbox.stats().receipts == 2).then_some(())).await;
    assert_eq!(service.got().len(), 2);
    let lines = timeline(&daemon).await;
    assert!(lines.contains(&"rejected tell http(422)".to_owned()), "{lines:?}");
    assert!(lines.contains(&"rejected tell http(302)".to_owned()), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_holds_up_nobody_else() {
    let service = Service::start();
    let (sandbox, folder, daemon) = started(&service).await;
    let other = "scenario: other\nenter: { on: other }\nsteps:\n  - step: hi\n    push: hi\n";
    std::fs::write(folder.path().join("scenarios/other.yaml"), other).unwrap();
    // nothing listens on the port of the second file's service
    let closed = scenario(crate::process::free_address().port());
    std::fs::write(folder.path().join("scenarios/told.yaml"), closed).unwrap();
    let reload = std::process::Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status();
    assert!(reload.unwrap().success());
    until("the reload", async || {
        let scenarios = daemon.get("/v1/scenarios").await;
        (scenarios["scenarios"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    enter(&daemon, "a").await;
    let event = r#"{"id":"o","name":"other","member":"m1"}"#.to_owned();
    daemon.post("/v1/events", event).await.unwrap();
    until("the other message", async || (sandbox.stats().receipts == 1).then_some(())).await;
    let shown = daemon.get("/v1/members/m1").await;
    assert_eq!(shown["enrollments"][0]["state"], "in_flight", "{shown}");
}
