//! The commands of the README's quick start, run as they stand there, but for addresses and folders.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::process::{free_address, until};

/// Commands of the `sh` blocks of a page, in order.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() => commands.push(command.to_owned()),
            _ => {}
        }
    }
    commands
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_does_what_it_says() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("the quick start was not run: it needs curl, and there is none here");
        return;
    }
    for page in ["README.md", "README.ja.md"] {
        run(page).await;
    }
}

async fn run(page: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (line, api) = (free_address(), free_address());
    let here = |command: &str| {
        let program = format!("'{}'", env!("CARGO_BIN_EXE_amadare"));
        let with_address = |command: String, name: &str, option: &str| {
            command.replace(&format!("{program} {name}"), &format!("{program} {name} {option}"))
        };
        let command = command.replace("cargo run --release --", &program);
        let command = command.replace("127.0.0.1:9000", &line.to_string());
        let command = command.replace("127.0.0.1:8787", &api.to_string());
        let command = command.replace("/tmp/amadare-data", folder.path().join("data").to_str().unwrap());
        let command = with_address(command, "sandbox", &format!("--at {line}"));
        let listen = format!("--listen {api}");
        ["serve", "explain", "status"]
            .iter()
            .fold(command, |command, name| with_address(command, name, &listen))
    };
    let all = commands(page);
    let start = all.iter().position(|command| command.ends_with("-- sandbox")).unwrap();
    assert!(all[..start].contains(&"cargo run --release -- demo".to_owned()), "{page}: {all:?}");
    assert!(all[..start].contains(&"cargo test".to_owned()), "{page}: {all:?}");
    let shell = |command: &str| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(here(command)).current_dir(env!("CARGO_MANIFEST_DIR")).env("LC_ALL", "C");
        shell
    };
    // `exec`, so that it is the program that is ended and not its shell
    let spawn = |command: &str| {
        let command = match command.split_once("cargo run") {
            Some((before, rest)) => format!("{before} exec cargo run{rest}"),
            None => command.to_owned(),
        };
        Ends(shell(&command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let _sandbox = spawn(&all[start]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answers = async |url: String| client.get(url).send().await.ok().map(drop);
    until("the sandbox", async || answers(format!("http://{line}/")).await).await;
    let _daemon = spawn(&all[start + 1]);
    until("the daemon", async || answers(format!("http://{api}/healthz")).await).await;

    let output = |command: &str| {
        let output = shell(command).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{page}: {command}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let steps = &all[start + 2..];
    let mut events = 0;
    for command in steps {
        let text = output(command);
        if command.contains("/v1/members/m-1 ") {
            assert!(text.contains(r#""line_user_id":"U0123456789abcdef0123456789abcdef""#), "{text}");
        } else if command.contains("/v1/events") {
            events += 1;
            let expected = match events {
                1 => r#"{"accepted":1,"duplicates":0,"rejected":[]}"#,
                _ => r#"{"accepted":0,"duplicates":1,"rejected":[]}"#,
            };
            assert_eq!(text, expected);
        } else if command.contains("explain") {
            assert!(text.contains("entered trial-followup"), "{text}");
            assert!(text.contains("trial-followup/coupon is planned"), "{text}");
        } else if command.contains("status") {
            assert!(text.starts_with("ready\n"), "{text}");
        }
    }
    assert_eq!(events, 2, "{page}");
    // by day the first step is with the member, at night it waits; in no case it came twice
    let stats = client.get(format!("http://{line}/sandbox/stats")).send().await.unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats.text().await.unwrap()).unwrap();
    assert!(stats["receipts"].as_u64().unwrap() <= 1, "{stats}");
    let explained = output("cargo run --release -- explain m-1 trial-followup/welcome");
    match stats["receipts"].as_u64().unwrap() {
        1 => assert!(explained.contains("accepted by LINE"), "{explained}"),
        _ => assert!(explained.contains("outside the send hours"), "{explained}"),
    }
}
