//! `amadare simulate` as a marketer calls it: samples, events, reasons, sums, and mistakes.

use std::path::{Path, PathBuf};

use amadare::clock::Clock;
use serde_json::Value;

use crate::process::amadare;

/// A folder with a scenario in it, and perhaps events.
struct Desk {
    folder: tempfile::TempDir,
    scenario: PathBuf,
}

/// What a call came to.
struct Came {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new(scenario: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let id = scenario.lines().find_map(|line| line.strip_prefix("scenario: ")).unwrap();
        let path = folder.path().join(format!("{id}.yaml"));
        std::fs::write(&path, scenario).unwrap();
        Desk { folder, scenario: path }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn simulate(&self, arguments: &[&str]) -> Came {
        run(&self.scenario, arguments)
    }

    /// The text of a call that goes well, in English.
    fn text(&self, arguments: &[&str]) -> String {
        let came = self.simulate(&[&["--lang", "en"], arguments].concat());
        assert_eq!(came.code, 0, "{}{}", came.out, came.err);
        came.out
    }

    /// The lines of a call that goes well, as JSON.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let came = self.simulate(&[&["--format", "json"], arguments].concat());
        assert_eq!(came.code, 0, "{}{}", came.out, came.err);
        came.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `at what step` of each line.
    fn told(&self, arguments: &[&str]) -> Vec<String> {
        let word = |line: &Value, key: &str| line[key].as_str().unwrap_or("-").to_owned();
        let lines = self.json(arguments);
        lines
            .iter()
            .map(|l| [word(l, "at"), word(l, "member"), word(l, "what"), word(l, "step")].join(" "))
            .collect()
    }

    /// What is said of events that cannot be taken.
    fn refused(&self, events: impl AsRef<[u8]>) -> String {
        let events = self.write("events.ndjson", events);
        let came = self.simulate(&["--events", &events, "--lang", "en"]);
        assert_eq!(came.code, 1, "{}", came.out);
        came.err
    }
}

fn run(scenario: &Path, arguments: &[&str]) -> Came {
    let output = amadare(&[&["simulate", scenario.to_str().unwrap()], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Came { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

const WELCOME: &str = r#"scenario: welcome
enter:
  - on: purchase
    where: event.sku == "TRIAL-7"
  - on: signup
hours: 09:00-21:00
samples:
  - member: { name: Sakura, id: m-1, tags: [vip] }
    event: { sku: TRIAL-7 }
  - member: { name: Aoi }
  - member: { name: Ren, linked: false }
    event: { sku: TRIAL-7 }
steps:
  - step: hello
    push: Hello, {{ member.name }}.
  - step: vips
    day: 1
    at: "10:00"
    when: '"vip" in member.tags'
    push: For you alone.
"#;

#[test]
fn each_sample_enters_by_the_first_rule_that_it_can_be_for() {
    let desk = Desk::new(WELCOME);
    let told = desk.told(&["--at", "2026-04-06T10:00"]);
    assert_eq!(
        told,
        [
            "2026-04-06T10:00:00+09:00 m-1 enrolled -",
            "2026-04-06T10:00:00+09:00 m-1 accepted hello",
            // without the data of an event it is the one for whom no data are needed
            "2026-04-06T10:00:00+09:00 sample-2 enrolled -",
            "2026-04-06T10:00:00+09:00 sample-2 accepted hello",
            "2026-04-06T10:00:00+09:00 sample-3 enrolled -",
            "2026-04-06T10:00:00+09:00 sample-3 skipped hello",
            "2026-04-07T10:00:00+09:00 sample-2 skipped vips",
            "2026-04-07T10:00:00+09:00 sample-2 completed -",
            "2026-04-07T10:00:00+09:00 sample-3 skipped vips",
            "2026-04-07T10:00:00+09:00 sample-3 completed -",
            "2026-04-07T10:00:00+09:00 m-1 accepted vips",
            "2026-04-07T10:00:00+09:00 m-1 completed -",
        ]
    );
}

#[test]
fn samples_with_one_id_are_two_members() {
    let desk = Desk::new(
        "scenario: twins\nenter: { on: go }\nhours: 09:00-21:00\nsamples:\n  - member: { id: m }\n  - member: { id: m }\n  - member: { id: m-2 }\nsteps: [{ step: a, push: x }]\n",
    );
    let told = desk.told(&["--at", "2026-04-06T10:00"]);
    let entered: Vec<&str> =
        told.iter().filter(|line| line.contains("enrolled")).map(|l| l.split(' ').nth(1).unwrap()).collect();
    assert_eq!(entered, ["m", "m-2", "m-2-2"]);
}

#[test]
fn without_a_time_samples_enter_now_to_the_minute() {
    let desk = Desk::new(WELCOME);
    let before = Clock::system().now().as_second().div_euclid(60) * 60;
    let lines = desk.json(&[]);
    let after = Clock::system().now().as_second();
    let at: jiff::Timestamp = lines[0]["at"].as_str().unwrap().parse().unwrap();
    assert!((before..=after).contains(&at.as_second()), "{at}");
    assert_eq!(at.as_second() % 60, 0, "{at}");
}

#[test]
fn a_segment_is_entered_by_being_such_a_member() {
    let scenario = |segment: &str| {
        format!(
            "scenario: gold\nenter: {{ segment: '{segment}' }}\nhours: 09:00-21:00\nsamples:\n  - member: {{ points: 1200 }}\n  - member: {{ points: 3 }}\nsteps: [{{ step: a, push: x }}]\n"
        )
    };
    let desk = Desk::new(&scenario("member.points >= 1000"));
    assert_eq!(
        desk.told(&["--at", "2026-04-06T10:00"]),
        [
            "2026-04-06T10:00:00+09:00 sample-1 enrolled -",
            "2026-04-06T10:00:00+09:00 sample-1 accepted a",
            "2026-04-06T10:00:00+09:00 sample-1 completed -",
        ]
    );
    let out = desk.text(&["--at", "2026-04-06T10:00"]);
    assert!(
        out.contains("! sample-2 did not enter gold: `segment: member.points >= 1000`: member.points is 3"),
        "{out}"
    );
    // as soon as it is linked as well, so that the first step can go out
    let desk = Desk::new(&scenario("member.linked and member.points >= 1000"));
    assert!(desk.text(&["--at", "2026-04-06T10:00"]).contains("sample-1  accepted   gold/a"));
}

#[test]
fn a_sample_with_a_date_of_long_ago_enters_in_time_for_it() {
    let scenario = r#"scenario: visit
enter: { on: booked, key: event.id }
anchor: event.starts_at
hours: 09:00-21:00
samples:
  - member: { name: Sakura }
    event: { id: b-1, starts_at: 2020-04-13T14:00 }
  - member: { name: Aoi }
    event: { id: b-2 }
    anchor: 2020-05-13T14:00
steps:
  - step: day-before
    day: -1
    at: "18:00"
    push: Tomorrow at {{ anchor | date("%-H:%M") }}.
  - step: soon
    before: 1h
    push: Soon.
"#;
    let desk = Desk::new(scenario);
    assert_eq!(
        desk.told(&[]),
        [
            "2020-04-11T14:00:00+09:00 sample-1 enrolled -",
            "2020-04-12T18:00:00+09:00 sample-1 accepted day-before",
            "2020-04-13T13:00:00+09:00 sample-1 accepted soon",
            "2020-04-13T13:00:00+09:00 sample-1 completed -",
            "2020-05-11T14:00:00+09:00 sample-2 enrolled -",
            "2020-05-12T18:00:00+09:00 sample-2 accepted day-before",
            "2020-05-13T13:00:00+09:00 sample-2 accepted soon",
            "2020-05-13T13:00:00+09:00 sample-2 completed -",
        ]
    );
    let out = desk.text(&[]);
    let note = "! sample-1 enters at 2020-04-11 Sat 14:00 and not now, in time for its date 2020-04-13 Mon 14:00; --at T says when";
    assert!(out.contains(note), "{out}");
    // who says when is taken at their word: a day too late for both
    let told = desk.told(&["--at", "2020-04-14T10:00"]);
    assert!(told.contains(&"2020-04-14T10:00:00+09:00 sample-1 skipped day-before".to_owned()), "{told:?}");
    assert!(told.contains(&"2020-05-12T18:00:00+09:00 sample-2 accepted day-before".to_owned()), "{told:?}");
}

#[test]
fn without_an_anchor_of_the_scenario_that_of_a_sample_is_its_entry() {
    let desk = Desk::new(
        "scenario: days\nenter: { on: go }\nhours: 09:00-21:00\nsamples:\n  - anchor: 2026-04-06T10:00\nsteps: [{ step: a, day: 3, at: \"10:00\", push: x }]\n",
    );
    assert_eq!(
        desk.told(&[])[..2],
        ["2026-04-06T10:00:00+09:00 sample-1 enrolled -", "2026-04-09T10:00:00+09:00 sample-1 accepted a"]
    );
}

#[test]
fn dates_the_clock_and_starts_by_hand_need_nothing_but_samples() {
    let birthday = Desk::new(
        "scenario: birthday\nenter: { date: member.birthday, yearly: true }\nhours: 09:00-21:00\nsamples: { member: { birthday: 1990-05-03 } }\nsteps: [{ step: a, day: 0, at: \"10:00\", push: x }]\n",
    );
    let told = birthday.told(&["--at", "2026-04-06T10:00"]);
    assert!(told.contains(&"2026-05-03T10:00:00+09:00 sample-1 accepted a".to_owned()), "{told:?}");

    let renewal = Desk::new(
        "scenario: renewal\nenter: { date: member.ends_on }\nhours: 09:00-21:00\nsamples: { member: {}, anchor: 2020-05-03 }\nsteps: [{ step: a, before: 1mo, at: \"10:00\", push: x }]\n",
    );
    let told = renewal.told(&[]);
    assert!(told.contains(&"2020-04-03T10:00:00+09:00 sample-1 accepted a".to_owned()), "{told:?}");

    let mondays = Desk::new(
        "scenario: mondays\nenter: { every: \"0 9 * * mon\", where: member.plan == \"gold\", again: always }\nhours: 09:00-21:00\nsamples: [{ member: { plan: gold } }, { member: { plan: silver } }]\nsteps: [{ step: a, push: x }]\n",
    );
    let told = mondays.told(&["--at", "2026-04-08T10:00"]);
    assert_eq!(told[0], "2026-04-13T09:00:00+09:00 sample-1 enrolled -");
    let out = mondays.text(&["--at", "2026-04-08T10:00"]);
    assert!(out.contains("! sample-2 did not enter mondays: `every: 0 9 * * mon` `where: member.plan == \"gold\"`: member.plan is \"silver\""), "{out}");

    let by_hand = Desk::new(
        "scenario: by-hand\nenter: { manual: true, where: event.ok }\nhours: 09:00-21:00\nsamples: [{ event: { ok: true } }, { event: { ok: false } }]\nsteps: [{ step: a, push: x }]\n",
    );
    let out = by_hand.text(&["--at", "2026-04-08T10:00"]);
    assert!(out.contains("sample-1  accepted   by-hand/a"), "{out}");
    assert!(out.contains("sample-2  not_enrolled  by-hand  (where)"), "{out}");
}

#[test]
fn a_sample_without_an_id_is_never_one_that_is_kept_for_comparison() {
    let scenario = |samples: &str| {
        format!(
            "scenario: half\nenter: {{ on: go }}\nholdout: 50%\nhours: 09:00-21:00\nsamples: [{samples}]\nsteps: [{{ step: a, push: x }}]\n"
        )
    };
    let count = |samples: &str, what: &str| {
        let told = Desk::new(&scenario(samples)).told(&["--at", "2026-04-06T10:00"]);
        told.iter().filter(|line| line.contains(what)).count()
    };
    let unnamed = ["{ member: {} }"; 20].join(", ");
    assert_eq!(count(&unnamed, "accepted"), 20);
    // who has an id is who it is
    let named: Vec<String> = (0..20).map(|number| format!("{{ member: {{ id: m-{number} }} }}")).collect();
    let skipped = count(&named.join(", "), "skipped");
    assert!((4..=16).contains(&skipped), "{skipped}");
}

#[test]
fn a_campaign_that_has_not_begun_is_played_from_its_beginning() {
    let desk = Desk::new(
        "scenario: campaign\nenter: { on: go }\nstarts: 2099-12-01\nends: 2099-12-25\nhours: 09:00-21:00\nsamples: [{ member: {} }]\nsteps: [{ step: a, push: x }]\n",
    );
    assert_eq!(desk.told(&[])[0], "2099-12-01T00:00:00+09:00 sample-1 enrolled -");
}

#[test]
fn neither_samples_nor_events_is_an_error_that_shows_both() {
    let desk = Desk::new(
        "scenario: empty\nenter: { on: purchase }\nhours: 09:00-21:00\nsteps: [{ step: a, push: x }]\n",
    );
    let came = desk.simulate(&[]);
    assert_eq!(came.code, 1);
    assert!(came.err.contains("has no `samples:`"), "{}", came.err);
    assert!(came.err.contains("samples:\n  - member:"), "{}", came.err);
    // what it tells to write can be taken as it stands
    let line = came.err.lines().find(|line| line.starts_with('{')).unwrap();
    let events = desk.write("events.ndjson", line);
    assert!(desk.text(&["--events", &events]).contains("accepted   empty/a"));
    let samples = came.err.split("\n\n").find(|part| part.starts_with("samples:")).unwrap();
    let text = std::fs::read_to_string(&desk.scenario).unwrap();
    std::fs::write(&desk.scenario, format!("{text}{samples}\n")).unwrap();
    assert!(desk.text(&[]).contains("accepted   empty/a"));
}

#[test]
fn the_text_is_in_the_language_that_was_asked_for() {
    let desk = Desk::new(WELCOME);
    let at = ["--at", "2026-04-06T22:00"];
    let english = desk.text(&at);
    assert!(
        english.contains(
            "2026-04-06 Mon 22:00  m-1  deferred   welcome/hello  until 2026-04-07 Tue 09:00  (hours)"
        ),
        "{english}"
    );
    let japanese = desk.simulate(&[&["--lang", "ja"][..], &at].concat()).out;
    assert!(
        japanese.contains(
            "2026-04-06 月 22:00  m-1  延期      welcome/hello  → 2026-04-07 火 09:00  （配信時間外のため）"
        ),
        "{japanese}"
    );
    let by_environment = |locale: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_amadare"));
        command.arg("simulate").arg(&desk.scenario).args(at);
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", locale);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(by_environment("ja_JP.UTF-8"), japanese);
    assert_eq!(by_environment("C.UTF-8"), english);
}

#[test]
fn explain_says_what_every_condition_saw() {
    let desk = Desk::new(
        r#"scenario: why
enter: { on: go, where: event.n > 1 }
hours: 09:00-21:00
steps:
  - step: first
    day: 0
    when: not member.regular
    push: x
  - step: fork
    branch:
      - { when: member.plan == "gold", steps: [{ step: gold, push: x }] }
      - { else: [{ step: others, push: x }] }
  - step: last
    when: member.points >= 10
    push: x
"#,
    );
    let events = desk.write(
        "events.ndjson",
        concat!(
            r#"{"at":"2026-04-06T22:00","member":"m","attributes":{"regular":true,"plan":"silver"}}"#,
            "\n",
            r#"{"at":"2026-04-06T22:00","member":"m","name":"go","data":{"n":1}}"#,
            "\n",
            r#"{"at":"2026-04-06T22:01","member":"m","name":"go","data":{"n":2}}"#,
        ),
    );
    let out = desk.text(&["--events", &events, "--explain"]);
    let timeline = out.split("\n\n").next().unwrap();
    let expected = r#"2026-04-06 Mon 22:00  m  not_enrolled  why  (where)
    ↳ its condition `where` was false
    ↳ `on: go` `where: event.n > 1`: event.n is 1
2026-04-06 Mon 22:01  m  enrolled   why
    ↳ `on: go` `where: event.n > 1`: event.n is 2
2026-04-06 Mon 22:01  m  deferred   why/first  until 2026-04-07 Tue 09:00  (hours)
    ↳ it is outside the send hours
    ↳ due by `day: 0`, counted from 2026-04-06 Mon 22:01
    ↳ its send hours are 09:00-21:00
2026-04-07 Tue 09:00  m  skipped    why/first  (when)
    ↳ its condition `when` was false
    ↳ due by `day: 0`, counted from 2026-04-06 Mon 22:01
    ↳ `when: not member.regular`: member.regular is true
2026-04-07 Tue 09:00  m  done       why/fork  (took(others))
    ↳ it has no time of its own: it is due when it is reached
    ↳ `when: member.plan == "gold"`: member.plan is "silver"
2026-04-07 Tue 09:00  m  accepted   why/others
    │ x
    ↳ it has no time of its own: it is due when it is reached
2026-04-07 Tue 09:00  m  skipped    why/last  (missing(member.points))
    ↳ `member.points` has no value
    ↳ it has no time of its own: it is due when it is reached
    ↳ `when: member.points >= 10`: member.points has no value
2026-04-07 Tue 09:00  m  completed  why"#;
    assert_eq!(timeline, expected);
    // the same call without it has not one of these lines, and the same sums
    let plain = desk.text(&["--events", &events]);
    assert!(!plain.contains('↳'), "{plain}");
    let sums = |text: &str| text.split_once("── Summary").unwrap().1.to_owned();
    assert_eq!(sums(&plain), sums(&out));
}

#[test]
fn the_sums_tell_what_was_sent_and_not_and_what_it_costs() {
    let desk = Desk::new(
        "scenario: sums\nenter: { on: go }\ngoal: { on: buy, value: event.amount }\nhours: 09:00-21:00\nsteps:\n  - { step: a, push: x }\n  - { step: b, day: 40, at: \"10:00\", push: x }\n",
    );
    let mut events = String::new();
    for number in 0..201 {
        events += &format!("{{\"at\":\"2026-04-06T10:00\",\"member\":\"m-{number}\",\"name\":\"go\"}}\n");
    }
    events +=
        "{\"at\":\"2026-04-06T11:00\",\"member\":\"m-7\",\"name\":\"buy\",\"data\":{\"amount\":5400}}\n";
    events += "{\"at\":\"2026-04-06T11:00\",\"member\":\"m-8\",\"friend\":false}\n";
    let events = desk.write("events.ndjson", events);
    let out = desk.text(&["--events", &events]);
    let sums = out.split("\n\n").last().unwrap();
    let expected = "── Summary: 2026-04-06 Mon 10:00 to 2026-05-16 Sat 10:00
sums: 201 entered, 200 completed, 1 reached the goal (worth 5,400 together)
400 messages to 201 members, 2.0 for each; LINE counts a push to one person as one message
  sums/a: 201 sent
  sums/b: 199 sent
      not sent 1: the member has blocked the account
April 2026 has the most, 201 messages. What they alone would cost in Japan, without tax:
  Communication plan (200 a month): does not take them, 1 too many
  Light plan (5,000 a month): ¥5,000
  Standard plan (30,000 a month): ¥15,000
  (LINE's example prices; messages sent otherwise count as well)
";
    assert_eq!(sums, expected);
}

#[test]
fn events_that_nobody_listens_to_are_named_at_the_end() {
    let desk = Desk::new(WELCOME);
    let events = desk.write(
        "events.ndjson",
        concat!(
            r#"{"at":"2026-04-06T10:00","member":"m","name":"purchase","data":{"sku":"TRIAL-7"}}"#,
            "\n\n",
            r#"{"at":"2026-04-06T10:00","member":"n","name":"purchse"}"#,
            "\n",
            r#"{"at":"2026-04-06T10:00","member":"o","name":"purchse"}"#,
            "\n",
            r#"{"at":"2026-04-06T10:00","member":"o","name":"shipped"}"#,
        ),
    );
    let out = desk.text(&["--events", &events]);
    let notes: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("! ")).collect();
    assert_eq!(
        notes,
        [
            format!("{events}:3: nobody listens to the event `purchse` (2 lines); did you mean `purchase`?"),
            format!("{events}:5: nobody listens to the event `shipped`; it listens to purchase, signup"),
        ]
    );
    // programs read the lines, people the rest
    let came = desk.simulate(&["--events", &events, "--format", "json"]);
    assert!(came.err.contains("did you mean `purchase`?"), "{}", came.err);
    assert!(came.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", came.out);
}

#[test]
fn whoever_enters_nothing_is_told_how_one_enters() {
    let desk = Desk::new(WELCOME);
    let events =
        desk.write("events.ndjson", r#"{"at":"2026-04-06T10:00","member":"m","attributes":{"a":1}}"#);
    let out = desk.text(&["--events", &events]);
    assert!(out.contains("! nobody entered; the scenario enters on `purchase`, on `signup`"), "{out}");
}

#[test]
fn unsorted_events_are_sorted_and_those_of_one_instant_stay_in_order() {
    let desk = Desk::new(
        "scenario: order\nenter: { on: go, again: always }\nhours: 09:00-21:00\nsteps: [{ step: a, push: \"{{ event.n }}\" }]\n",
    );
    let events = desk.write(
        "events.ndjson",
        concat!(
            "\u{feff}",
            r#"{"at":"2026-04-07T10:00:00+09:00","member":"m","name":"go","data":{"n":"third"}}"#,
            "\r\n",
            r#"{"at":"2026-04-06T01:00:00Z","member":"m","name":"go","data":{"n":"first"}}"#,
            "\r\n",
            r#"{"at":"2026-04-06T10:00","member":"m","name":"go","data":{"n":"second"}}"#,
        ),
    );
    let lines = desk.json(&["--events", &events]);
    let sent = lines.iter().filter_map(|line| line["messages"][0]["text"].as_str());
    assert_eq!(sent.collect::<Vec<_>>(), ["first", "second", "third"]);
}

#[test]
fn a_member_can_be_enrolled_by_hand() {
    let desk = Desk::new(
        "scenario: manual\nenter: { manual: true, key: event.k }\nhours: 09:00-21:00\nsteps: [{ step: a, push: \"{{ event.k }} {{ enrollment.key }}\" }]\n",
    );
    let events = desk.write(
        "events.ndjson",
        r#"{"at":"2026-04-06T10:00","member":"m","enroll":"manual","key":"mine","data":{"k":"own"}}"#,
    );
    assert!(desk.text(&["--events", &events]).contains("│ own mine"));
    let err = desk.refused(r#"{"at":"2026-04-06T10:00","member":"m","enroll":"manuel"}"#);
    assert!(
        err.contains("events.ndjson:1: there is no scenario `manuel` here; did you mean `manual`?"),
        "{err}"
    );
}

#[test]
fn every_bad_line_is_named_with_what_to_do() {
    let desk = Desk::new(WELCOME);
    let good = r#"{"at":"2026-04-06T10:00","member":"m","name":"purchase"}"#;
    let cases = [
        (
            r#"{"at":"tomorrow","member":"m","name":"x"}"#,
            "2: `at` must be a time such as 2026-03-02T21:50:00+09:00",
        ),
        (
            r#"{"at":"2026-04-06T10:00","name":"x"}"#,
            "missing field `member`; every line has `at` and `member`",
        ),
        (r#"{"at":"2026-04-06T10:00","member":"m","nmae":"x"}"#, "unknown field `nmae`"),
        (r#"{"at":"2026-04-06T10:00","member":"m","nmae":"x"}"#, "did you mean `name`?"),
        (r#"{"at":"2026-04-06T10:00","member":"m","sku":"x"}"#, "data of an event goes into `data`"),
        (r#"{"at":"2026-04-06T10:00","member":"m"}"#, "a line needs `name` (an event)"),
        (
            r#"{"at":"2026-04-06T10:00","member":"m","name":"x","friend":true}"#,
            "write a line for each, with the same `at`",
        ),
        (r#"{"at":"2026-04-06T10:00","member":"m","data":{}}"#, "`data` needs the `name` of the event"),
        (r#"{"at":"2026-04-06T10:00","member":"m","name":"x","key":"k"}"#, "`key` goes with `enroll`"),
        (r#"{"at":"2026-04-06T10:00","member":"","name":"x"}"#, "a member id must not be empty"),
        (r#"{"at":"2026-04-06T10:00","member":"m","name":""}"#, "an event name must not be empty"),
        (
            r#"[{"at":"2026-04-06T10:00","member":"m","name":"x"}]"#,
            "write one object a line, without [ ] around them",
        ),
        (
            r#"{"at":"2026-04-06T10:00","member":"m","name":"x"},"#,
            "one object a line, and no comma behind it",
        ),
        ("at,member,name", "a line looks like {"),
        (r#"{"at":"2026-04-06T10:00","member":"m","name":"x""#, "events.ndjson:2:48: EOF while parsing"),
    ];
    for (bad, expected) in cases {
        let err = desk.refused(format!("{good}\n{bad}\n{good}\n"));
        assert!(err.contains("events.ndjson:2:"), "{bad}: {err}");
        assert!(err.contains(expected), "{bad}: {err}");
        assert!(!err.contains("at line 1"), "the line is that of the file: {err}");
    }
    let err = desk.refused([good.as_bytes(), b"\n\xff\xfe\n"].concat());
    assert!(err.contains("events.ndjson:2: this is not UTF-8; save the file as UTF-8"), "{err}");
    // what only the engine refuses has its line too
    let long = format!(
        r#"{{"at":"2026-04-06T10:00","member":"m","name":"purchase","data":{{"x":"{}"}}}}"#,
        "x".repeat(5_000)
    );
    let err = desk.refused(format!("{good}\n{long}\n"));
    assert!(err.contains("events.ndjson:2: the data is"), "{err}");
}

#[test]
fn mistakes_of_the_call_are_told_with_the_fix() {
    let desk = Desk::new(WELCOME);
    let near = desk.folder.path().join("welcom.yaml");
    let came = run(&near, &[]);
    assert_eq!(came.code, 1);
    assert!(came.err.contains("did you mean") && came.err.contains("welcome.yaml?"), "{}", came.err);
    let came = run(desk.folder.path(), &[]);
    assert!(came.err.contains("is a folder; name one scenario file in it"), "{}", came.err);
    let came = desk.simulate(&["--at", "next week"]);
    assert!(came.err.contains("--at takes a date or a time such as 2026-04-06"), "{}", came.err);
    let came = desk.simulate(&["--events", "nowhere.ndjson"]);
    assert!(came.err.contains("cannot read nowhere.ndjson"), "{}", came.err);
    let own = desk.scenario.to_str().unwrap();
    let came = desk.simulate(&["--html", own]);
    assert_eq!(came.code, 1);
    assert!(came.err.contains("--html would overwrite"), "{}", came.err);
    assert!(std::fs::read_to_string(own).unwrap().starts_with("scenario:"));
    let came = desk.simulate(&["--html", "/nowhere/page.html"]);
    assert!(came.err.contains("cannot write the page to /nowhere/page.html"), "{}", came.err);
}

#[test]
fn until_stops_and_takes_times_of_the_scenario() {
    let desk = Desk::new(WELCOME);
    let told = desk.told(&["--at", "2026-04-06", "--until", "2026-04-06T12:00"]);
    assert!(told.iter().all(|line| line < &"2026-04-06T12:00:01".to_owned()), "{told:?}");
    assert!(told.contains(&"2026-04-06T09:00:00+09:00 m-1 accepted hello".to_owned()), "{told:?}");
    // until a day is until its end
    assert_eq!(desk.told(&["--at", "2026-04-06", "--until", "2026-04-06"]), told);
    let all = desk.told(&["--at", "2026-04-06"]);
    assert_eq!(desk.told(&["--at", "2026-04-06", "--until", "2026-04-07"]), all);
}

/// Two scenarios that start each other for ever.
#[test]
fn what_never_ends_is_cut_off_and_said() {
    let desk = Desk::new(
        "scenario: ping\nenter: { on: go, again: always }\nhours: 00:00-24:00\nsamples: [{ member: {} }]\nsteps:\n  - { step: wait, wait: 300d, set: { tags: [x] } }\n  - { step: again, enter: pong }\n",
    );
    desk.write("pong.yaml", "scenario: pong\nenter: { manual: true, again: always }\nhours: 00:00-24:00\nsteps:\n  - { step: wait, wait: 300d, set: { tags: [x] } }\n  - { step: again, enter: ping }\n");
    let out = desk.text(&["--at", "2026-04-06T10:00"]);
    assert!(out.contains("! it does not come to an end, and was cut off at 2036-"), "{out}");
}

#[test]
fn a_terminal_is_not_steered_by_what_stands_in_a_message() {
    let desk = Desk::new(
        "scenario: escape\nenter: { on: go }\nhours: 09:00-21:00\nsteps: [{ step: a, push: \"<{{ event.x }}>\" }]\n",
    );
    let events = desk.write(
        "events.ndjson",
        r#"{"at":"2026-04-06T10:00","member":"m","name":"go","data":{"x":"\u001b[31mred\u202Eback\u0007"}}"#,
    );
    assert!(desk.text(&["--events", &events]).contains("│ <\u{fffd}[31mred\u{fffd}back\u{fffd}>"));
}

#[test]
fn messages_are_told_as_the_member_sees_them() {
    let desk = Desk::new(
        r#"scenario: kinds
enter: { on: go }
hours: 09:00-21:00
samples: [{ member: {} }]
steps:
  - step: a
    push:
      - { type: image, originalContentUrl: "https://a.example/i.png", previewImageUrl: "https://a.example/p.png" }
      - type: template
        altText: birthday
        template: { type: buttons, title: For you, text: A coupon, actions: [{ type: uri, label: Open, uri: "https://a.example" }, { type: message, label: Later, text: later }] }
      - type: flex
        altText: booking
        contents:
          type: bubble
          body: { type: box, layout: vertical, contents: [{ type: text, text: Booked }, { type: box, layout: baseline, contents: [{ type: text, text: when }, { type: text, text: "14:00" }] }, { type: button, action: { type: postback, label: Move, data: move=1 } }] }
      - type: text
        text: "Which?\nOne of:"
        quickReply: { items: [{ type: action, action: { type: message, label: This, text: this } }, { type: action, action: { type: message, label: That, text: that } }] }
"#,
    );
    let out = desk.text(&["--at", "2026-04-06T10:00"]);
    let expected = "    │ [image] https://a.example/i.png
    ├ [buttons] birthday
    │ For you
    │ A coupon
    │ ▶ Open  → https://a.example
    │ ▶ Later  → 「later」
    ├ [flex] booking
    │ Booked
    │ when  14:00
    │ ▶ Move  → move=1
    ├ Which?
    │ One of:
    │ (This) (That)
";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn a_page_shows_the_first_members_and_sums_of_the_rest() {
    let desk = Desk::new(
        "scenario: many\nenter: { on: go }\nhours: 09:00-21:00\nsteps:\n  - { step: a, push: x }\n  - { step: b, wait: 1h, push: x }\n",
    );
    let line =
        |number| format!("{{\"at\":\"2026-04-06T10:00\",\"member\":\"m-{number}\",\"name\":\"go\"}}\n");
    let events = desk.write("events.ndjson", (0..60).map(line).collect::<String>());
    let html = desk.folder.path().join("page.html");
    let out = desk.text(&["--events", &events, "--html", html.to_str().unwrap()]);
    assert!(out.starts_with("── Summary"), "the page has the lines: {out}");
    assert!(out.contains("120 messages to 60 members"), "{out}");
    let page = std::fs::read_to_string(html).unwrap();
    assert_eq!(page.matches("<article").count(), 50);
    assert!(page.contains("And 10 more members who are not shown; they get 20 messages."));
    assert!(page.contains("<dt>messages</dt><dd>120</dd>"));
}

/// A fenced block of a page: its language and its text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => {
                is_inside = !is_inside;
                blocks.extend(is_inside.then(|| (language.to_owned(), String::new())));
            }
            None if is_inside => {
                let (_, text) = blocks.last_mut().unwrap();
                *text += line;
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// Scenarios and events are written as they stand there, commands run, and what they print compared.
#[test]
fn the_pages_on_simulate_show_what_comes_out() {
    for page in ["docs/simulate.md", "docs/simulate.ja.md"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut printed, mut compared) = (String::new(), 0);
        for (language, text) in blocks(page) {
            match language.as_str() {
                "yaml" => std::fs::write(folder.path().join("trial.yaml"), text).unwrap(),
                "json" => std::fs::write(folder.path().join("events.ndjson"), text).unwrap(),
                "sh" => {
                    let mut words = text.split_whitespace();
                    assert_eq!(words.next(), Some("amadare"), "{page}: {text}");
                    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_amadare"));
                    command.args(words).current_dir(folder.path());
                    command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", "C");
                    let output = command.output().unwrap();
                    assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
                    printed = String::from_utf8(output.stdout).unwrap();
                }
                "text" => {
                    compared += 1;
                    assert_eq!(printed, text, "{page}");
                }
                other => panic!("{page}: a block of `{other}`"),
            }
        }
        assert_eq!(compared, 2, "{page}");
        assert!(folder.path().join("page.html").is_file(), "{page}");
    }
}
