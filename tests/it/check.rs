//! `amadare check` as people and programs use it, and the pages that tell of it.
//!
//! How `docs/diagnostics.md` and `docs/diagnostics.ja.md` are written: below the heading of all codes each code has
//! a section that begins with whether it is an error or a warning. Its blocks together are an example that gives
//! the code:
//!
//! - A `yaml` block with `scenario:` is a file called by its id, or by its first line if that is `# name.yaml`.
//! - One whose first line is `# amadare.yaml` is the configuration.
//! - Any other is a part of a file: steps if it begins with `- `, else keys. What is missing is put in.
//! - A `json` block is a file of the name behind the word.
//! - A `sh` block is run, beside a folder `scenarios`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use amadare::clock::Clock;
use amadare::sandbox::{Faults, Sandbox, Settings};
use amadare::scenario::finding::CODES;
use serde_json::{Value, json};

const PAGES: [(&str, &str, &str); 2] = [
    ("docs/diagnostics.md", "**Error.**", "**Warning.**"),
    ("docs/diagnostics.ja.md", "**エラー**：", "**警告**："),
];

/// Codes that no file can give by itself, and why.
const WITHOUT_EXAMPLE: [(&str, &str); 2] = [
    ("load", "a mistake of our own"),
    ("line-refuses", "it is LINE that gives it; see `what_line_refuses_is_told_at_its_place`"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// A folder to check in, with its `scenarios`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scenarios")).unwrap();
        Place(folder)
    }

    fn with(files: &[(&str, &str)]) -> Place {
        let place = Place::new();
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let programs = Path::new(env!("CARGO_BIN_EXE_amadare")).parent().unwrap().to_str().unwrap();
        let path = std::env::join_paths([programs, "/usr/local/bin", "/usr/bin", "/bin"]).unwrap();
        command
            .current_dir(self.0.path())
            .env("PATH", path)
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        for name in ["LINE_CHANNEL_ACCESS_TOKEN", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
            command.env_remove(name);
        }
        command
    }

    fn check(&self, arguments: &[&str]) -> Ended {
        self.command("amadare").arg("check").args(arguments).output().unwrap().into()
    }

    fn shell(&self, script: &str) -> Ended {
        self.command("sh").arg("-c").arg(script).output().unwrap().into()
    }
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Ended { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ended {
    /// Each line of `--format json`.
    fn findings(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A fenced block and the words behind its fence.
struct Block {
    language: String,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut parts = text.split("\n```");
    parts.next();
    while let (Some(inside), Some(_)) = (parts.next(), parts.next()) {
        let (language, text) = inside.split_once('\n').unwrap();
        found.push(Block { language: language.to_owned(), text: format!("{text}\n") });
    }
    found
}

/// The section of each code.
fn sections(page: &str) -> BTreeMap<String, String> {
    let text = read(page);
    let (_, codes) = text.split_once("\n## Codes\n").or(text.split_once("\n## コードの一覧\n")).unwrap();
    let sections = codes.split("\n### ").skip(1);
    sections
        .map(|section| {
            let (code, text) = section.split_once('\n').unwrap();
            (code.to_owned(), text.to_owned())
        })
        .collect()
}

/// Writes an example to where it belongs; none if the block is a script, which is given back.
fn put(place: &Place, block: &Block) -> Option<String> {
    let text = &block.text;
    if let Some(name) = block.language.strip_prefix("json ") {
        place.write(&format!("scenarios/{name}"), text);
        return None;
    }
    if block.language == "sh" {
        return Some(text.clone());
    }
    assert_eq!(block.language, "yaml", "{text}");
    let named =
        text.lines().next().and_then(|line| line.strip_prefix("# ")).filter(|name| !name.contains(' '));
    let id = text.lines().find_map(|line| line.strip_prefix("scenario: "));
    let whole = match (named, id, text.starts_with("- ")) {
        (Some(_), _, _) | (_, Some(_), _) => text.clone(),
        (_, _, true) => {
            format!("scenario: example\nenter: {{ on: example }}\nhours: 09:00-21:00\nsteps:\n{text}")
        }
        (_, _, false) => {
            let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
            let mut whole = format!("scenario: example\n{text}");
            for (key, line) in [
                ("enter", "enter: { on: example }"),
                ("hours", "hours: 09:00-21:00"),
                ("steps", "steps: [{ step: example, push: example }]"),
            ] {
                if !has(key) {
                    whole += line;
                    whole.push('\n');
                }
            }
            whole
        }
    };
    match named {
        Some("amadare.yaml") => place.write("amadare.yaml", &whole),
        Some(name) => place.write(&format!("scenarios/{name}"), &whole),
        None => place.write(&format!("scenarios/{}.yaml", id.unwrap_or("example")), &whole),
    }
    None
}

#[test]
fn the_pages_have_a_section_for_each_code() {
    let known: BTreeSet<String> = CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    for (page, error, warning) in PAGES {
        let sections = sections(page);
        assert_eq!(sections.keys().cloned().collect::<BTreeSet<_>>(), known, "{page}");
        for (code, text) in sections {
            assert!(
                text.trim_start().starts_with(error) || text.trim_start().starts_with(warning),
                "{page}: {code}"
            );
        }
    }
}

#[test]
fn each_example_of_the_pages_gives_its_code() {
    let mut wrong = String::new();
    for (page, _, warning) in PAGES {
        for (code, text) in sections(page) {
            let blocks = blocks(&text);
            if blocks.is_empty() {
                let is_known = WITHOUT_EXAMPLE.iter().any(|(known, _)| *known == code);
                assert!(is_known, "{page}: {code} has no example");
                continue;
            }
            let place = Place::new();
            let scripts: Vec<String> = blocks.iter().filter_map(|block| put(&place, block)).collect();
            let ended = match scripts.as_slice() {
                [] => place.check(&["scenarios", "--format", "json"]),
                scripts => {
                    place.shell(&scripts.concat().replace("amadare check", "amadare check --format json"))
                }
            };
            if ended.code == 78 {
                // the configuration's own findings
                assert!(ended.err.contains(&format!("error[{code}]")), "{page}: {code}: {ended:?}");
                continue;
            }
            let severity = if text.trim_start().starts_with(warning) { "warning" } else { "error" };
            let findings = ended.findings();
            let is_it = |finding: &Value| finding["code"] == code && finding["severity"] == severity;
            if !findings.iter().any(is_it) {
                writeln!(wrong, "{page}: {code}: {}{}", ended.out, ended.err).unwrap();
            }
            // an example that has another problem as well would teach the wrong thing
            for other in findings.iter().filter(|finding| scripts.is_empty() && finding["code"] != code) {
                writeln!(wrong, "{page}: {code} gives {other} as well").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn both_pages_have_the_same_sections_and_examples() {
    let [(english, ..), (japanese, ..)] = PAGES;
    let of = |page: &str| -> Vec<(String, String)> {
        let is_code = |line: &str| line.starts_with('#') && line.contains("# ");
        let text = read(page);
        let levels = text.lines().filter(|line| is_code(line)).map(|line| {
            let level = line.chars().take_while(|c| *c == '#').count();
            ("heading".to_owned(), if level == 3 { line.to_owned() } else { level.to_string() })
        });
        let blocks = blocks(&text);
        levels.chain(blocks.iter().map(|block| (block.language.clone(), without_words(block)))).collect()
    };
    assert_eq!(of(english), of(japanese));
}

/// An example without the texts that are for readers.
fn without_words(block: &Block) -> String {
    let lines = block.text.lines().map(|line| match line.find('#').or(line.find("push:")) {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_example_of_the_pages_comes_out_as_written() {
    for (page, ..) in PAGES {
        let text = read(page);
        let blocks = blocks(&text);
        let first = |language: &str| {
            let block = blocks.iter().find(|block| block.language == language);
            block.unwrap_or_else(|| panic!("{page} has no {language}"))
        };
        let place = Place::new();
        put(&place, first("yaml"));
        let ended = place.check(&["scenarios"]);
        assert_eq!((ended.code, ended.out), (1, first("text").text.clone()), "{page}");
        let ended = place.check(&["scenarios", "--format", "json"]);
        assert_eq!((ended.code, ended.out), (1, first("json").text.clone()), "{page}");
    }
}

const WELCOME: &str = "scenario: welcome\nenter: { on: line.follow }\nhours: 09:00-21:00\nsteps:\n  - { step: hello, push: Hello }\n";

#[test]
fn a_comment_says_that_what_is_doubted_is_meant_so() {
    for (text, expected) in [
        (WELCOME.to_owned(), 1),
        (WELCOME.replace("follow }", "follow } # off. amadare: allow(greeting)"), 0),
        (WELCOME.replace("enter", "# amadare: allow(no-exit, greeting)\n# because\nenter"), 0),
        (WELCOME.replace("enter", "# amadare: allow(no-exit)\nenter"), 1),
        (WELCOME.replace("enter", "# amadare: allow(greeting)\ntitle: x\nenter"), 1),
        // only a comment is one
        (WELCOME.replace("enter", "title: \"amadare: allow(greeting)\"\nenter"), 1),
    ] {
        let place = Place::with(&[("scenarios/welcome.yaml", &text)]);
        assert_eq!(place.check(&["--strict"]).code, expected, "{text}");
        assert_eq!(place.check(&[]).code, 0, "{text}");
    }
    let wrong = WELCOME.replace("push", "pusj # amadare: allow(unknown-key)\n    #");
    let place = Place::with(&[("scenarios/welcome.yaml", &wrong)]);
    assert_eq!(place.check(&[]).code, 1, "an error cannot be allowed");
}

/// The real engine does with these what the warning says of them.
#[test]
fn what_is_said_to_be_never_sent_is_never_sent() {
    let scenario = "scenario: late\nenter: { on: go }\nhours: 09:00-21:00\nsteps:\n\
        \x20 - { step: fortnight, day: 14, push: x }\n\
        \x20 - { step: third-day, day: 3, push: x }\n\
        \x20 - step: hold\n    after: 15d\n    wait_for: { on: purchase, within: 10d }\n    else:\n\
        \x20     - { step: in-an-arm, day: 20, push: x }\n";
    let place = Place::with(&[("scenarios/late.yaml", scenario)]);
    let doubted: BTreeSet<String> = place
        .check(&["--format", "json"])
        .findings()
        .iter()
        .filter(|finding| finding["code"] == "never-sent")
        .map(|finding| finding["message"].as_str().unwrap().split('`').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(doubted, BTreeSet::from(["third-day".to_owned(), "in-an-arm".to_owned()]));
    // whenever somebody enters
    for hour in 0..24 {
        place.write(
            "events.ndjson",
            &format!("{{\"at\":\"2026-04-06T{hour:02}:30:00+09:00\",\"member\":\"m-1\",\"name\":\"go\"}}\n"),
        );
        let mut simulate = place.command("amadare");
        simulate.args(["simulate", "scenarios/late.yaml", "--events", "events.ndjson", "--format", "json"]);
        let told = Ended::from(simulate.output().unwrap());
        let what = |step: &str| -> Vec<Value> {
            told.findings()
                .into_iter()
                .filter(|line| line["step"] == step)
                .map(|line| line["what"].clone())
                .collect()
        };
        assert!(what("fortnight").contains(&json!("accepted")), "{told:?}");
        assert_eq!(what("third-day"), ["skipped"], "{told:?}");
        assert_eq!(what("in-an-arm"), ["skipped"], "{told:?}");
    }
}

#[test]
fn what_is_said_to_be_never_reached_is_never_reached() {
    let place = Place::with(&[(
        "scenarios/doubts-never-reached.yaml",
        &read("tests/broken/doubts-never-reached.yaml"),
    )]);
    let mut events = String::new();
    for day in 1..=24 {
        for plan in ["gold", "silver", ""] {
            let (member, at) = (format!("{plan}-{day}"), format!("2026-12-{day:02}T10:00:00+09:00"));
            writeln!(events, "{}", json!({ "at": at, "member": member, "attributes": { "plan": plan } }))
                .unwrap();
            writeln!(events, "{}", json!({ "at": at, "member": member, "name": "purchase" })).unwrap();
        }
    }
    place.write("events.ndjson", &events);
    let mut simulate = place.command("amadare");
    let scenario = "scenarios/doubts-never-reached.yaml";
    simulate.args(["simulate", scenario, "--events", "events.ndjson", "--format", "json"]);
    let told = Ended::from(simulate.output().unwrap());
    let lines = told.findings();
    let accepted: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line["what"] == "accepted")
        .filter_map(|line| line["step"].as_str())
        .collect();
    // of sixteen steps, those that no warning is about
    assert_eq!(accepted, BTreeSet::from(["all", "gold"]), "{}", told.err);
}

#[test]
fn what_is_said_to_wait_for_the_send_hours_waits() {
    let scenario = "scenario: early\nenter: { on: go }\nhours: 09:00-21:00\nsteps:\n\
        \x20 - { step: early, day: 1, at: \"07:00\", late: 30m, push: x }\n";
    let place = Place::with(&[("scenarios/early.yaml", scenario)]);
    let doubted = place.check(&["--format", "json"]).findings();
    assert_eq!(doubted.len(), 1);
    assert!(
        doubted[0]["message"].as_str().unwrap().ends_with("the message waits until 09:00"),
        "{}",
        doubted[0]
    );
    place.write(
        "events.ndjson",
        "{\"at\":\"2026-04-06T12:00:00+09:00\",\"member\":\"m-1\",\"name\":\"go\"}\n",
    );
    let mut simulate = place.command("amadare");
    simulate.args(["simulate", "scenarios/early.yaml", "--events", "events.ndjson"]);
    let told = Ended::from(simulate.output().unwrap()).out;
    assert!(told.contains("2026-04-07 Tue 09:00  m-1  accepted   early/early"), "{told}");
}

#[test]
fn colours_are_for_terminals_and_for_who_forces_them() {
    let place = Place::with(&[("scenarios/welcome.yaml", WELCOME)]);
    let told = |variables: &[(&str, &str)]| {
        let mut command = place.command("amadare");
        command.arg("check").envs(variables.iter().copied());
        Ended::from(command.output().unwrap()).out.contains('\u{1b}')
    };
    assert!(!told(&[]));
    assert!(told(&[("CLICOLOR_FORCE", "1")]));
    assert!(!told(&[("NO_COLOR", "1")]));
}

#[test]
fn no_more_is_shown_than_a_person_reads_and_programs_get_all() {
    let keys: String = (0..80).map(|number| format!("wrong-{number}: 1\n")).collect();
    let place = Place::new();
    for name in ["a", "b"] {
        place.write(
            &format!("scenarios/{name}.yaml"),
            &WELCOME.replace("scenario: welcome\n", &format!("scenario: {name}\n{keys}")),
        );
    }
    let ended = place.check(&[]);
    assert_eq!(ended.out.matches("error[unknown-key]").count(), 100);
    assert!(ended.out.contains("and 60 more"), "{}", ended.out);
    assert!(ended.out.contains("160 errors"), "{}", ended.out);
    assert_eq!(place.check(&["--format", "json"]).findings().len(), 160);
}

#[test]
fn findings_in_an_included_file_point_there() {
    let scenario = WELCOME.replace(
        "push: Hello",
        "after: 1h, push: { type: flex, altText: A, contents: { $file: flex/c.json } }",
    );
    let flex = "{\n  \"type\": \"bubble\",\n  \"body\": { \"type\": \"bax\", \"contents\": [] }\n}\n";
    let place = Place::with(&[("scenarios/welcome.yaml", &scenario), ("scenarios/flex/c.json", flex)]);
    let ended = place.check(&["scenarios"]);
    let expected = "scenarios/flex/c.json:3:21: error[message]: a flex component cannot be of type `bax`\n  |\n\
        3 |   \"body\": { \"type\": \"bax\", \"contents\": [] }\n  |                     ^^^^^\n  help: did you mean `box`?\n";
    assert!(ended.out.contains(expected), "{}", ended.out);
}

#[test]
fn codes_are_explained() {
    let place = Place::new();
    let ended = place.check(&["--explain", "unknown-key"]);
    assert_eq!(ended.code, 0);
    assert!(
        ended.out.starts_with("unknown-key: a key that does not exist here, or not yet\n"),
        "{}",
        ended.out
    );
    let ended = place.check(&["--explain", "unknwon-key"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("did you mean `unknown-key`?"), "{}", ended.err);
}

#[test]
fn sarif_is_what_its_schema_says() {
    let mut schema: Value = serde_json::from_str(&read("tests/data/sarif-2.1.0.schema.json")).unwrap();
    // the pattern of a key that we do not use is no regular expression of JSON Schema
    for owner in ["run", "toolComponent"] {
        schema["definitions"][owner]["properties"]["language"].as_object_mut().unwrap().remove("pattern");
    }
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let place = Place::with(&[
        ("scenarios/welcome.yaml", WELCOME),
        ("scenarios/予約 1.yaml", "scenario: x\nenterr: { on: go }\n"),
        ("scenarios/empty.yaml", ""),
    ]);
    let ended = place.check(&["--format", "sarif"]);
    assert_eq!(ended.code, 1);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // the validator does find what is wrong
    let mut broken = document.clone();
    broken["runs"][0]["results"][0]["level"] = json!("fatal");
    assert!(!validator.is_valid(&broken));

    let run = &document["runs"][0];
    let results = run["results"].as_array().unwrap();
    let told = place.check(&["--format", "json"]).findings();
    assert_eq!(results.len(), told.len());
    for (result, finding) in results.iter().zip(&told) {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], finding["code"]);
        assert_eq!(result["ruleId"], finding["code"]);
        assert_eq!(result["level"], finding["severity"]);
        assert!(rule["help"]["markdown"].as_str().unwrap().len() > 60, "{rule}");
        let region = &result["locations"][0]["physicalLocation"]["region"];
        for (one, other) in [("startLine", "line"), ("startColumn", "column"), ("endColumn", "end_column")] {
            assert_eq!(region[one], finding[other]);
        }
    }
    let uri = &results[results.len() - 1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "scenarios/%E4%BA%88%E7%B4%84%201.yaml");
    let nothing = Place::with(&[(
        "scenarios/a.yaml",
        "scenario: a\nenter: { on: go }\nhours: 09:00-21:00\nsteps: [{ step: a, push: a }]\n",
    )]);
    let document: Value = serde_json::from_str(&nothing.check(&["--format", "sarif"]).out).unwrap();
    assert!(validator.is_valid(&document));
    assert_eq!(document["runs"][0]["results"], json!([]));
}

/// A stand-in for LINE that gives these answers one after another and the last to all who ask then; and what it
/// was asked.
fn fake_line(
    answers: &'static [(&'static str, &'static str)],
) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut answers = answers.iter().chain(std::iter::repeat(answers.last().unwrap()));
        for stream in listener.incoming() {
            let (status, body) = answers.next().unwrap();
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0; 4096];
            let length = |head: &str| -> usize {
                let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                line.map_or(0, |length| length.trim().parse().unwrap())
            };
            loop {
                let count = stream.read(&mut byte).unwrap();
                request.extend_from_slice(&byte[..count]);
                let text = String::from_utf8_lossy(&request);
                match text.split_once("\r\n\r\n") {
                    Some((head, body)) if body.len() >= length(&head.to_lowercase()) => break,
                    _ if count == 0 => break,
                    _ => {}
                }
            }
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-line-request-id: 3ed4c1d0\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send(String::from_utf8(request).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

const TOKEN: &str = "a-token-that-nobody-may-see";

fn online(place: &Place, line: &str, more: &[&str]) -> Ended {
    let mut command = place.command("amadare");
    command.args(["check", "scenarios", "--online", "--line-endpoint", line]).args(more);
    let ended = Ended::from(command.env("LINE_CHANNEL_ACCESS_TOKEN", TOKEN).output().unwrap());
    assert!(!ended.out.contains(TOKEN) && !ended.err.contains(TOKEN), "{ended:?}");
    ended
}

const BOOKED: &str = r#"scenario: booked
enter: { on: booked }
hours: 09:00-21:00
samples:
  - member: { name: Sakura }
  - member: { name: Tsubaki }
steps:
  - step: thanks
    push: Thank you for booking.
  - step: coupon
    day: 1
    push:
      - "{{ member.name }}, a coupon for you:"
      - { type: flex, altText: A coupon, contents: { $file: flex/coupon.json } }
"#;

const COUPON: &str = r#"{
  "type": "bubble",
  "body": { "type": "box", "layout": "vertical", "contents": [
    { "type": "text", "text": "500 yen" }
  ] }
}
"#;

#[test]
fn what_line_refuses_is_told_at_its_place() {
    const REFUSAL: &str = r#"{"message":"The request body has 2 error(s)","details":[
        {"message":"invalid color","property":"messages[1].contents.body.contents[0].color"},
        {"message":"Length must be between 0 and 3","property":"messages[0].text"}]}"#;
    let (line, asked) = fake_line(&[("400 Bad Request", REFUSAL)]);
    let place = Place::with(&[("scenarios/booked.yaml", BOOKED), ("scenarios/flex/coupon.json", COUPON)]);
    let ended = online(&place, &line, &["--format", "json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let places: Vec<String> = ended
        .findings()
        .iter()
        .map(|finding| {
            assert_eq!(finding["code"], "line-refuses");
            let text = finding["message"].as_str().unwrap();
            format!("{}:{}:{} {text}", finding["file"].as_str().unwrap(), finding["line"], finding["column"])
        })
        .collect();
    let flex = "scenarios/flex/coupon.json:4:5 LINE would refuse step `coupon` with sample";
    let color = "invalid color (messages[1].contents.body.contents[0].color)";
    let text = "Length must be between 0 and 3 (messages[0].text)";
    let mut expected = vec![
        // the first step has one message, so what it is told of a second is told of the whole
        format!("scenarios/booked.yaml:9:11 LINE would refuse step `thanks`: {text}"),
        format!("scenarios/booked.yaml:9:11 LINE would refuse step `thanks`: {color}"),
        format!("scenarios/booked.yaml:13:9 LINE would refuse step `coupon` with sample 1: {text}"),
        format!("scenarios/booked.yaml:13:9 LINE would refuse step `coupon` with sample 2: {text}"),
        format!("{flex} 1: {color}"),
        format!("{flex} 2: {color}"),
    ];
    expected.sort();
    let mut places = places;
    places.sort();
    assert_eq!(places, expected);
    let requests: Vec<String> = asked.try_iter().collect();
    assert_eq!(requests.len(), 3, "each message once");
    for request in &requests {
        assert!(request.starts_with("POST /v2/bot/message/validate/push "), "{request}");
        assert!(request.contains(&format!("authorization: Bearer {TOKEN}")), "{request}");
    }
    assert!(requests[2].contains("Tsubaki, a coupon for you:"), "{}", requests[2]);
}

#[test]
fn what_line_was_not_asked_about_is_listed() {
    let (line, asked) = fake_line(&[("200 OK", "{}")]);
    let unsampled =
        BOOKED.replace("samples:\n  - member: { name: Sakura }\n  - member: { name: Tsubaki }\n", "");
    let place = Place::with(&[("scenarios/booked.yaml", &unsampled), ("scenarios/flex/coupon.json", COUPON)]);
    let ended = online(&place, &line, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "1 scenario is good; 0 warnings\n"), "{ended:?}");
    assert_eq!(
        ended.err,
        "LINE was asked about 1 push\nnot asked about, since their values are not known without `samples:` in the \
         file:\n  scenarios/booked.yaml: coupon\n"
    );
    assert_eq!(asked.try_iter().count(), 1);
    // a file that is wrong is not asked about, and those beside it are
    place.write("scenarios/wrong.yaml", "scenario: wrong\nenter: { on: booked }\nsteps: []\n");
    assert_eq!(online(&place, &line, &[]).code, 1);
    assert_eq!(asked.try_iter().count(), 1);
}

#[test]
fn line_that_is_too_busy_is_asked_again() {
    let (line, asked) = fake_line(&[("429 Too Many Requests", r#"{"message":"x"}"#), ("200 OK", "{}")]);
    let place = Place::with(&[("scenarios/booked.yaml", BOOKED), ("scenarios/flex/coupon.json", COUPON)]);
    let ended = online(&place, &line, &[]);
    assert_eq!((ended.code, ended.err.as_str()), (0, "LINE was asked about 3 pushes\n"), "{ended:?}");
    assert_eq!(asked.try_iter().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_can_be_asked() {
    let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let line = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
    let place = Place::with(&[("scenarios/booked.yaml", BOOKED), ("scenarios/flex/coupon.json", COUPON)]);
    let ended = online(&place, &line, &["--strict"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.err, "LINE was asked about 3 pushes\n");
    assert_eq!(sandbox.stats().receipts, 0, "nothing was sent");
    sandbox.set_faults(Faults { unauthorized: true, ..Faults::default() }).unwrap();
    let ended = online(&place, &line, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    let told = format!("amadare: cannot ask {line}: LINE does not authorize this (status 401)");
    assert!(ended.err.starts_with(&told), "{ended:?}");
}

#[test]
fn line_that_cannot_be_asked_is_1_and_says_why() {
    let place = Place::with(&[("scenarios/booked.yaml", BOOKED), ("scenarios/flex/coupon.json", COUPON)]);
    let ended = online(&place, &format!("http://{}", crate::process::free_address()), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.starts_with("amadare: cannot ask http://127.0.0.1:"), "{ended:?}");
    assert!(ended.err.contains("no usable answer"), "{ended:?}");
    let ended = place.check(&["--online"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let told = "amadare: cannot ask LINE without a channel access token: the environment variable \
        LINE_CHANNEL_ACCESS_TOKEN is not set\n";
    assert_eq!(ended.err, told);
}

const WRONG: &str = "scenario: a\nenter: { on: go }\nhours: 09:00-21:00\nsteps: [{ step: a, psh: a }]\n";

/// Commits what is staged; true if that was let.
fn commit(place: &Place) -> Ended {
    place.shell("git -c user.name=a -c user.email=a@example.com commit --quiet -m change")
}

#[test]
fn the_hook_refuses_a_commit_of_what_is_wrong() {
    let place = Place::with(&[("scenarios/a.yaml", WRONG), ("notes.txt", "notes")]);
    let hook = root().join("examples/hooks/pre-commit");
    let install = format!(
        "git init --quiet . && cp '{}' .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit",
        hook.display()
    );
    assert_eq!(place.shell(&install).code, 0);
    place.shell("git add notes.txt");
    assert_eq!(commit(&place).code, 0, "what concerns no scenario is let");
    place.shell("git add scenarios");
    let ended = commit(&place);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!((ended.out + &ended.err).contains("scenarios/a.yaml:4:20: error[unknown-key]"));
    // what is checked is what would be committed
    place.write("scenarios/a.yaml", &WRONG.replace("psh", "push"));
    assert_eq!(commit(&place).code, 1);
    place.shell("git add scenarios");
    let ended = commit(&place);
    assert_eq!(ended.code, 0, "{ended:?}");
    place.write("scenarios/a.yaml", WRONG);
    place.write("notes.txt", "more notes");
    place.shell("git add notes.txt");
    assert_eq!(commit(&place).code, 0);
    place.shell("git rm --quiet -r --force scenarios");
    assert_eq!(commit(&place).code, 0, "a commit that removes the last scenario is let");
}

#[test]
fn what_is_offered_to_pre_commit_and_ci_is_what_the_pages_show() {
    let hooks: Value = serde_yaml::from_str(&read(".pre-commit-hooks.yaml")).unwrap();
    let hook = &hooks[0];
    let place = Place::with(&[("scenarios/a.yaml", WRONG)]);
    assert_eq!(place.shell(hook["entry"].as_str().unwrap()).code, 1);
    place.write("scenarios/a.yaml", &WRONG.replace("psh", "push"));
    assert_eq!(place.shell(hook["entry"].as_str().unwrap()).code, 0);
    for (page, ..) in PAGES {
        let text = read(page);
        let blocks = blocks(&text);
        let of =
            |name: &str| blocks.iter().find(|block| block.text.starts_with(&format!("# {name}\n"))).unwrap();
        let used: Value = serde_yaml::from_str(&of(".pre-commit-config.yaml").text).unwrap();
        assert_eq!(used["repos"][0]["hooks"][0]["id"], hook["id"], "{page}");
        let workflow = &of(".github/workflows/scenarios.yaml").text;
        assert_eq!(*workflow, read("examples/ci/github-actions.yaml"), "{page}");
        // its commands do what is said of them
        let workflow: Value = serde_yaml::from_str(workflow).unwrap();
        let steps = workflow["jobs"]["check"]["steps"].as_array().unwrap();
        let ours: Vec<&str> = steps
            .iter()
            .filter_map(|step| step["run"].as_str())
            .filter(|run| run.contains("amadare check"))
            .collect();
        let [for_scanning, refuse] = ours.as_slice() else { panic!("{ours:?}") };
        place.write("scenarios/a.yaml", WRONG);
        assert_eq!(place.shell(for_scanning).code, 0, "the findings are uploaded before the job fails");
        let written = std::fs::read_to_string(place.0.path().join("findings.sarif")).unwrap();
        assert!(serde_json::from_str::<Value>(&written).is_ok());
        assert_eq!(place.shell(refuse).code, 1);
    }
}
