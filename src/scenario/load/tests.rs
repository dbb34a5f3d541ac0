use std::path::PathBuf;

use super::*;
use crate::scenario::{Again, Timing};

/// Paths from the crate's root, where tests run, so that findings print them short.
fn read(path: &str) -> Sources {
    Sources::read(&[PathBuf::from(path)]).unwrap()
}

fn text_of(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn with_hours() -> Defaults {
    Defaults { hours: Some(written::hours("08:00-21:00").unwrap()), ..Defaults::default() }
}

/// Each case of `tests/broken` with the findings that it gives: a file, or a folder of files.
fn broken() -> Vec<(PathBuf, String)> {
    let mut cases: Vec<PathBuf> = (std::fs::read_dir("tests/broken").unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension == "yaml"))
        .filter(|path| path.file_name().unwrap() != "flex")
        .collect();
    cases.sort();
    (cases.into_iter())
        .map(|path| {
            let loaded = load(&read(path.to_str().unwrap()), &with_hours());
            let refused = loaded.findings.iter().any(Finding::is_error);
            assert_eq!(loaded.set.is_none(), refused, "{}", path.display());
            (path.with_extension("txt"), text_of(&loaded.findings))
        })
        .collect()
}

#[test]
fn broken_files_give_the_findings_beside_them() {
    let cases = broken();
    assert!(cases.len() >= 80);
    let mut wrong = Vec::new();
    for (path, found) in cases {
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if is_updating() {
            std::fs::write(path, found).unwrap();
        } else if found != expected {
            wrong.push(format!("--- {}\n{expected}\n+++ found\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `UPDATE_FINDINGS=1 cargo test --lib broken_files` writes what is found as what is expected, to be read
/// before it is committed.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so in the environment")]
fn is_updating() -> bool {
    std::env::var_os("UPDATE_FINDINGS").is_some()
}

#[test]
fn good_files_load_without_a_finding() {
    let loaded = load(&read("tests/good"), &Defaults::default());
    assert_eq!(text_of(&loaded.findings), "");
    let set = loaded.set.unwrap();
    let ids: Vec<&str> = set.iter().map(|scenario| scenario.id.as_str()).collect();
    let expected = [
        "cart-reminder",
        "cart-reminder-large",
        "friend",
        "interview-reminder",
        "monthly",
        "purchase-care",
        "trial-followup",
    ];
    assert_eq!(ids, expected);
}

fn from_memory(files: &[(&str, &str)]) -> Sources {
    Sources::from_files(files.iter().map(|(name, text)| (*name, text.as_bytes())))
}

fn findings_of(text: &str) -> String {
    text_of(&load(&from_memory(&[("a.yaml", text)]), &with_hours()).findings)
}

const PLAIN: &str = "scenario: a\nenter: { on: purchase }\nsteps:\n  - { step: hello, push: x }\n";

#[test]
fn what_a_scenario_leaves_out_comes_from_the_defaults() {
    let defaults = Defaults {
        zone: written::zone("Europe/Paris").unwrap(),
        hours: Some(written::hours("08:00-20:00").unwrap()),
        late: Some(SignedDuration::from_hours(2)),
        grace: SignedDuration::from_mins(5),
        ..Defaults::default()
    };
    let own = "scenario: b\nzone: Asia/Tokyo\nhours: 22:00-06:00\nlate: 3h\ngrace: 1m\nenter: { on: purchase }\n\
        steps:\n  - { step: one, push: x }\n  - { step: two, push: x, late: 4h, hours: 10:00-11:00 }\n";
    let set = load(&from_memory(&[("a.yaml", PLAIN), ("b.yaml", own)]), &defaults).set.unwrap();
    let told = |id: &str| {
        let scenario = set.get(&ScenarioId::new(id).unwrap()).unwrap();
        let late: Vec<_> = scenario.steps.iter().map(|step| step.late.unwrap().as_hours()).collect();
        let hours: Vec<_> = (scenario.steps.iter())
            .map(|step| step.hours.or(scenario.hours).unwrap().start_minute / 60)
            .collect();
        (scenario.zone.iana_name().unwrap().to_owned(), late, hours, scenario.grace.as_mins())
    };
    assert_eq!(told("a"), ("Europe/Paris".into(), vec![2], vec![8], 5));
    assert_eq!(told("b"), ("Asia/Tokyo".into(), vec![3, 4], vec![22, 10], 1));
}

#[test]
fn every_timing_is_read() {
    let text = "scenario: a\nenter: { on: x, again: 90d }\nanchor: event.at\nsteps:\n\
        \x20 - { step: a, day: -3, at: \"18:00\", push: x, silent: true }\n\
        \x20 - { step: b, before: 90m, push: x, resend: false }\n\
        \x20 - { step: c, after: 2mo, at: 09:30, push: x }\n\
        \x20 - { step: d, wait: 1w, push: x }\n\
        \x20 - { step: e, push: x }\n";
    let set = load(&from_memory(&[("a.yaml", text)]), &with_hours()).set.unwrap();
    let scenario = set.iter().next().unwrap();
    let at = |text: &str| Some(written::time(text).unwrap());
    let offset = |text: &str| written::offset(text).unwrap();
    let timings: Vec<&Timing> = scenario.steps.iter().map(|step| &step.timing).collect();
    assert_eq!(
        timings,
        [
            &Timing::Day { days: -3, at: at("18:00") },
            &Timing::Before { offset: offset("90m"), at: None },
            &Timing::After { offset: offset("2mo"), at: at("09:30") },
            &Timing::Wait { offset: offset("1w") },
            &Timing::AtOnce,
        ]
    );
    assert!(matches!(&scenario.enter[0].again, Again::CoolDown(cool) if *cool == offset("90d")));
    assert!(scenario.steps[0].messages().unwrap().silent && !scenario.steps[1].messages().unwrap().silent);
    assert_eq!(scenario.steps[1].resend, Some(false));
}

#[test]
fn without_send_hours_anywhere_there_is_a_warning() {
    let loaded = load(&from_memory(&[("a.yaml", PLAIN)]), &Defaults::default());
    assert_eq!(
        text_of(&loaded.findings),
        "a.yaml:1:11: warning[no-hours]: no send hours: a push may go out at any time of the night\n  \
         help: add `hours: 09:00-21:00` here or to the configuration\n"
    );
    assert!(loaded.set.is_some());
}

#[test]
fn an_error_in_one_file_refuses_the_set_and_hides_nothing_of_another() {
    let sources = from_memory(&[("a.yaml", "scenario: a\n"), ("b.yaml", "scenario: c\n"), ("d.yaml", "")]);
    let loaded = load(&sources, &with_hours());
    let files: std::collections::BTreeSet<&str> =
        loaded.findings.iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(Vec::from_iter(files), ["a.yaml", "b.yaml", "d.yaml"]);
    assert!(loaded.set.is_none());
}

#[test]
fn a_set_kept_in_memory_is_the_set_of_the_folder() {
    let folder = read("tests/good");
    let kept = Sources::from_files(folder.iter());
    let inner = (folder.iter()).map(|(name, bytes)| (name.strip_prefix("tests/good/").unwrap(), bytes));
    let moved = Sources::from_files(inner);
    let digest = |sources: &Sources, defaults: &Defaults| *load(sources, defaults).set.unwrap().digest();
    let defaults = Defaults::default();
    for sources in [&kept, &moved] {
        assert_eq!(sources.digest(), folder.digest());
        assert_eq!(digest(sources, &defaults), digest(&folder, &defaults));
    }
    assert_ne!(
        digest(&folder, &with_hours()),
        digest(&folder, &defaults),
        "what files get is part of the set"
    );
}

#[test]
fn both_yaml_parsers_read_the_good_files_alike() {
    let more = "a: no\nb: yes\nc: on\nd: off\ne: ~\nf: 012\ng: 0x1F\nh: 1e3\ni: 1_000\nj: 19:00\nk: -5\nl: .5\n\
        m: +7\nn: 2026-03-02\no: 0o17\np: 0b11\nq: '1'\nr: |\n  二行\n  です\n\ns: >-\n  a\n  b\n\nt: \"\\u3042\\n\"\n\
        u: 1.\nv: True\nw: \nx: -0\ny: 0\nz: 1.5e-3\naa: 0x\nbb: 1e400\ncc: +-5\ndd: '#'\nee: a#b\nff: 00\n";
    let good = read("tests/good");
    let texts = (good.iter()).filter(|(name, _)| name.ends_with(".yaml")).chain([("more", more.as_bytes())]);
    for (name, bytes) in texts {
        let mut findings = Vec::new();
        let ours = yaml::parse(&name.into(), bytes, &mut findings).unwrap().to_json();
        assert_eq!(text_of(&findings), "", "{name}");
        let theirs: Value = serde_yaml::from_slice(bytes).unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn a_file_of_ten_megabytes_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.yaml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(10 * 1024 * 1024).unwrap();
    let loaded = load(&Sources::read(&[folder.path().to_owned()]).unwrap(), &with_hours());
    let name = path.display();
    assert_eq!(
        text_of(&loaded.findings),
        format!("{name}:1:1: error[too-large]: a scenario file is at most 256 KiB, not 10.0 MiB\n")
    );
}

#[test]
fn hostile_files_end_in_a_finding() {
    let bomb: String = (1..9)
        .map(|level| format!("l{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(9)))
        .collect();
    let bomb = format!("l0: &a0 x\n{bomb}");
    let deep_block = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    let many_keys: String = (0..20_000).map(|key| format!("k{key}: 1\n")).collect();
    let start = "scenario: a\nenter: { on: purchase }\nsteps:\n";
    let many_steps: String = (0..10_000).map(|step| format!("- {{step: s{step},push: x}}\n")).collect();
    let many_bad_steps: String =
        (0..5_000).map(|_| "- {step: s,dya: 1,day: 1,wait: 1d,push: \"\"}\n").collect();
    let many_messages = format!("- step: s\n  push: [{}]\n", "x, ".repeat(50_000));
    let long_text = format!("- step: s\n  push: {}\n", "x".repeat(250_000));
    let in_arms = format!("- {}", "{step: s,branch: [{else: [".repeat(10_000));
    let in_waits = format!("- {}x", "{step: s,wait_for: {on: x,within: 1d,steps: [".repeat(16));
    let in_waits = format!("{in_waits}{}", "]}}".repeat(16));
    let of = |steps: String| format!("{start}{steps}");
    let parens = format!("{PLAIN}exit: {{ on: x, where: '{}1' }}\n", "(".repeat(50_000));
    let cases = [
        ("alias", bomb),
        ("too-deep", deep_block),
        ("too-deep", "- ".repeat(60_000)),
        ("too-deep", "[".repeat(60_000)),
        ("too-deep", "{a: ".repeat(60_000)),
        ("too-deep", "? ".repeat(60_000)),
        ("too-many-findings", many_keys),
        ("template", parens),
        ("too-many-steps", of(many_steps)),
        ("too-many-findings", of(many_bad_steps)),
        ("message", of(many_messages)),
        ("message", of(long_text)),
        ("too-deep", of(in_arms)),
        ("too-deep", of(in_waits)),
        ("syntax", format!("a: \"{}", "x".repeat(200_000))),
        ("syntax", "%".repeat(1_000)),
        ("syntax", "\u{0}\u{1}".repeat(1_000)),
    ];
    for (code, text) in cases {
        let found = findings_of(&text);
        assert!(found.contains(&format!("error[{code}]")), "{code}: {found}");
        assert!(found.lines().count() <= 2 * (MAX_FINDINGS_PER_FILE + 2), "{code}");
    }
}

#[test]
fn codes_are_listed_once_and_in_order() {
    let codes: Vec<&str> = crate::scenario::finding::CODES.iter().map(|(code, _)| *code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
}

#[test]
fn what_is_too_late_is_so_by_the_engines_rule() {
    assert_eq!(doubts::DEFAULT_LATE, crate::engine::schedule::DEFAULT_LATE);
}

#[test]
fn a_finding_is_one_line_of_json() {
    let place = Place { file: "a.yaml".into(), line: 3, column: 5, width: 0 };
    let finding =
        Finding::error(&place, "unknown-key", "a step has no key `atfer`").help("did you mean `after`?");
    assert_eq!(
        serde_json::to_string(&finding).unwrap(),
        r#"{"file":"a.yaml","line":3,"column":5,"end_column":5,"severity":"error","code":"unknown-key","message":"a step has no key `atfer`","help":"did you mean `after`?"}"#
    );
}

#[test]
fn the_schema_for_editors_knows_every_key_and_none_of_our_marks() {
    let schema = schema::json_schema(schema::Language::English);
    let text = schema.to_string();
    assert!(!text.contains("\"x-"), "{text}");
    // only `else:` of an arm may stand without a value
    assert_eq!(text.matches("\"null\"").count(), 1, "{text}");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["scenario", "enter", "steps"]));
    let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "scenario", "title", "zone", "hours", "on_days", "workdays", "closed", "priority", "topic",
            "caps", "holdout", "paused", "starts", "ends", "samples", "late", "grace", "enter", "anchor",
            "update", "exit", "goal", "steps"
        ]
    );
    assert!(schema["properties"]["hours"]["pattern"].is_string());
    for definition in
        ["EnterItem", "ListenItem", "GoalItem", "StepItem", "SetItem", "ArmItem", "ShareItem", "WaitItem"]
    {
        assert_eq!(schema["$defs"][definition]["additionalProperties"], false, "{definition}");
    }
}

#[test]
fn more_steps_than_a_member_has_room_for_are_refused() {
    let text = |count: usize| {
        let steps: String =
            (0..count).map(|n| format!("  - {{ step: tip-{n:03}, wait: 1d, push: x }}\n")).collect();
        format!("scenario: a\nenter: {{ on: purchase }}\nsteps:\n{steps}")
    };
    assert_eq!(findings_of(&text(360)), "");
    let found = findings_of(&text(400));
    assert!(found.contains("a.yaml:4:3: error[too-many-steps]: 400 steps"), "{found}");
}
