//! Commands and their exit codes.

use std::path::Path;

use crate::process::amadare;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = amadare(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_wrong_call_is_2_and_says_how_to_call() {
    let (code, _, err) = run(&["frobnicate"]);
    assert_eq!(code, 2);
    assert!(err.contains("Usage"), "{err}");
}

#[test]
fn the_address_of_the_daemon_is_not_taken_for_that_of_the_sandbox() {
    let (code, _, err) = run(&["sandbox", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--at 127.0.0.1:0"), "{err}");
}

#[test]
fn a_bad_configuration_is_78_with_its_place_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "amadare.yaml", "listen: 127.0.0.1:0\nscenarois: x\nhours: 9-21\n");
    let (code, _, err) = run(&["serve", "--config", &config]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("amadare.yaml:2:1"), "{err}");
    assert!(err.contains("did you mean `scenarios`?"), "{err}");
    assert!(err.contains("amadare.yaml:3:8"), "every problem at once: {err}");
}

#[test]
fn an_accelerated_clock_refuses_lines_own_endpoint() {
    let (code, _, err) = run(&["serve", "--clock-start", "2026-04-06T00:00:00Z", "--clock-speed", "60"]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("refuses LINE's own endpoint"), "{err}");
}

#[test]
fn check_tells_every_problem_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "scenario: broken\nenter: { on: go }\nsteps:\n  - step: a\n    afterr: 1d\n    push: x\n  - step: a\n    push: \"{{ membr.name }}\"\n";
    let path = write(folder.path(), "broken.yaml", text);
    let (code, out, _) = run(&["check", &path]);
    assert_eq!(code, 1);
    assert!(out.contains("broken.yaml:5:5: error[unknown-key]"), "{out}");
    assert!(out.contains("did you mean `after`?"), "{out}");
    assert!(out.contains("membr"), "{out}");
    let (code, out, _) = run(&["check", &path, "--format", "json"]);
    assert_eq!(code, 1);
    for line in out.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(finding["line"].is_u64() && finding["column"].is_u64(), "{line}");
        assert!(["error", "warning"].contains(&finding["severity"].as_str().unwrap()), "{line}");
    }
    assert!(out.lines().count() >= 3, "{out}");
}

#[test]
fn check_of_the_shipped_scenarios_is_0_and_warnings_count_only_when_strict() {
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    assert_eq!(run(&["check", "--strict", scenarios]).0, 0);
    let folder = tempfile::tempdir().unwrap();
    let text = "scenario: quiet\nenter: { on: go }\nsteps: [{ step: a, push: x }]\n";
    let path = write(folder.path(), "quiet.yaml", text);
    let (code, out, _) = run(&["check", &path]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("warning[no-hours]"), "{out}");
    assert_eq!(run(&["check", "--strict", &path]).0, 1);
}

#[test]
fn simulate_tells_what_would_happen_as_text_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/trial-followup.yaml");
    let events = write(
        folder.path(),
        "events.ndjson",
        concat!(
            r#"{"at":"2026-04-06T21:30:00+09:00","member":"m1","name":"purchase","data":{"sku":"TRIAL-7"}}"#,
            "\n",
            r#"{"at":"2026-04-06T21:00:00+09:00","member":"m1","attributes":{"name":"さくら"}}"#,
            "\n",
        ),
    );
    let (code, out, err) = run(&["simulate", scenario, "--events", &events, "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            [word("at"), word("what"), word("step"), word("reason"), word("until")].join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "2026-04-06T21:30:00+09:00 enrolled - - -",
            "2026-04-06T21:30:00+09:00 deferred welcome hours 2026-04-07T09:00:00+09:00",
            "2026-04-07T09:00:00+09:00 accepted welcome - -",
            "2026-04-09T19:00:00+09:00 accepted howto - -",
            "2026-04-11T10:00:00+09:00 accepted coupon - -",
            "2026-04-11T10:00:00+09:00 completed - - -",
        ]
    );
    assert_eq!(lines[2]["messages"][0]["type"], "text");
    assert_eq!(lines[4]["messages"][0]["contents"]["type"], "bubble");
    let until = ["simulate", scenario, "--events", &events, "--until", "2026-04-08T00:00:00+09:00"];
    let (code, out, _) = run(&until);
    assert_eq!(code, 0);
    assert!(out.contains("2026-04-07 Tue 09:00  m1  accepted   trial-followup/welcome"), "{out}");
    assert!(out.contains("│ さくらさま"), "{out}");
    assert!(!out.contains("howto"), "{out}");
}

#[test]
fn simulate_names_the_line_of_a_bad_event() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/trial-followup.yaml");
    let events =
        write(folder.path(), "events.ndjson", "\n{\"at\":\"tomorrow\",\"member\":\"m1\",\"name\":\"x\"}\n");
    let (code, _, err) = run(&["simulate", scenario, "--events", &events]);
    assert_eq!(code, 1);
    assert!(err.contains("events.ndjson:2: `at` must be a time"), "{err}");
}

#[test]
fn config_and_schema_print_what_they_promise() {
    let (code, out, _) = run(&["config"]);
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "amadare.yaml", &out);
    let (code, _, err) =
        run(&["check", "--config", &path, concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")]);
    assert_eq!(code, 0, "the printed defaults are a configuration: {err}");
    let (code, out, _) = run(&["schema"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["steps"].is_object(), "{out}");
}

#[test]
fn status_and_explain_without_a_daemon_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("none");
    let data = data.to_str().unwrap();
    let listen = crate::process::free_address().to_string();
    for command in [["status"].as_slice(), &["explain", "m-1"], &["member", "show", "m-1"]] {
        let arguments = [command, &["--listen", &listen, "--data", data]].concat();
        let (code, _, err) = run(&arguments);
        assert_eq!(code, 1);
        assert!(err.contains("no daemon answers"), "{err}");
    }
}

/// The demo counts at LINE's end and ends with 1 if anything came twice or got lost.
#[test]
fn the_demo_survives_its_kill() {
    let (code, out, err) = run(&["demo", "--seconds", "20"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("kill -9"), "{out}");
    assert!(out.contains("Sent twice: 0. Lost: 0."), "{out}");
}
