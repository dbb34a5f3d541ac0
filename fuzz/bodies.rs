//! What must hold for any input: one function for each fuzz target, and the inputs to start from.
//!
//! Shared by `fuzz/targets/` and `tests/it/fuzzed.rs`, so a broken promise fails the same in both. Kept
//! to the part of the crate's API that changes least; what is likely to move is reached in
//! [`every_push`] and [`evaluate_all`] alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use amadare::model::{Attributes, EnrollmentId, MemberId, ScenarioId};
use amadare::scenario::finding::Finding;
use amadare::scenario::load::load;
use amadare::scenario::program::{self, Builder, EnrollmentScope, MemberScope, Messages, Names, Scope};
use amadare::scenario::source::Sources;
use amadare::scenario::{Defaults, Scenario, message, schema, written as texts, yaml};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A function that takes any bytes and panics where a promise is broken.
pub(crate) type Body = fn(&[u8]);

/// Each target by its name.
pub(crate) const TARGETS: [(&str, Body); 4] =
    [("loader", loader), ("expression", expression), ("template", template), ("written", written)];

/// Starts the second part of an input, in a line of its own.
const NEXT_PART: &str = "\n=== next\n";

/// The included file of a [`loader`] input.
const INCLUDED: &str = "part.json";

/// A scenario file, and behind [`NEXT_PART`] the JSON file that it may include as `part.json`.
pub(crate) fn loader(data: &[u8]) {
    let (yaml, part) = split_bytes(data);
    let name = file_name(yaml);
    let mut files = vec![(name.clone(), yaml.to_vec())];
    files.extend(part.map(|part| (INCLUDED.to_owned(), part.to_vec())));
    let lines: BTreeMap<&str, Vec<usize>> =
        files.iter().map(|(name, bytes)| (name.as_str(), line_lengths(bytes, name == INCLUDED))).collect();

    let sources = Sources::from_files(files.clone());
    let loaded = load(&sources, &Defaults::default());
    for finding in &loaded.findings {
        stands_in_its_file(finding, &lines);
    }
    let errors = loaded.findings.iter().filter(|finding| finding.is_error()).count();
    assert_eq!(loaded.set.is_none(), errors > 0, "a set, or an error: {:?}", loaded.findings);
    let again = load(&sources, &Defaults::default());
    assert_eq!(loaded.findings, again.findings, "the same files have the same findings");

    reads_as_serde_does(yaml, part);

    let Some(set) = loaded.set else { return };
    let typed: Value = serde_yaml::from_slice(without_mark(yaml)).expect("a file that was taken is YAML");
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema::json_schema(schema::Language::English));
    if let Err(error) = agrees(&typed, &SCHEMA, &SCHEMA, &mut "file".to_owned()) {
        panic!("the schema for editors refuses a file that was taken: {error}");
    }
    let part: Option<Value> = part.and_then(|part| serde_json::from_slice(without_mark(part)).ok());
    for scenario in set.iter() {
        for names in [empty(), rich()] {
            evaluate_all(scenario, &names);
            for (step, messages) in every_push(scenario) {
                let Ok(rendered) = scenario.program.render(messages, &names) else { continue };
                let rendered: Value = serde_json::from_str(&rendered).expect("what is sent is JSON");
                let as_list = rendered.as_array().expect("what is sent is a list");
                // neither may panic, and both say the same
                assert_eq!(
                    message::check_rendered(as_list),
                    message::check_rendered_json(&rendered.to_string())
                );
                if let Some(push) = written_push(&typed, step) {
                    let expected = message::expand(push, &mut |_| part.clone());
                    same_shape(&Value::Array(expected), &rendered);
                }
            }
        }
    }
}

/// An expression over names that all have values, and over names that have none.
pub(crate) fn expression(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let mut builder = Builder::new(tokyo());
    let (expression, condition) = match (builder.expression(source), builder.condition(source)) {
        (Ok(expression), Ok(condition)) => (expression, condition),
        (Err(error), Err(_)) => {
            // minijinja ends the range of a text that is not closed one behind the last byte
            let start = error.range.map_or(0, |range| range.start);
            assert!(start <= source.len(), "the error lies in the text: {start} of {}", source.len());
            return;
        }
        _ => panic!("a condition is an expression"),
    };
    builder.names_in_expression(source);
    let program = builder.finish();
    for names in [empty(), rich()] {
        let value = program.value(expression, &names);
        let truth = program.test(condition, &names);
        assert_eq!(value.as_ref().map(|value| value.is_true()).map_err(Clone::clone), truth);
        let text = program.text(expression, &names);
        assert!(value.is_ok() || text.is_err(), "a text comes of a value");
    }
}

/// A text template, and behind [`NEXT_PART`] the text that is the member's every value.
pub(crate) fn template(data: &[u8]) {
    let (source, value) = split_bytes(data);
    let (Ok(source), Ok(value)) =
        (std::str::from_utf8(source), std::str::from_utf8(value.unwrap_or_default()))
    else {
        return;
    };
    let names = named(value);

    // a value is a value, whatever it looks like
    let plain = json!([
        "{{ member.name }}",
        { value: "<{{ member['name'] }}|{{ event.note }}>" },
        "{% for word in member.words %}{{ word }}{% endfor %}",
        "{{ enrollment.key }}",
        "{{ member[member.name] | default(member.name) }}",
    ]);
    let expected =
        json!([value, { value: format!("<{value}|{value}>") }, format!("{value}{value}"), value, value]);
    assert_eq!(rendered(&plain, &names), Some(Ok(expected)));

    let messages = json!([
        { "type": "text", "text": source },
        { "type": "flex", source: [source, { "n": 1.5, value: null, "deep": [true, [source]] }], "altText": "a" },
        source,
    ]);
    let Some(Ok(json)) = rendered(&messages, &names) else { return };
    same_shape(&messages, &json);
    let text = &json[2];
    assert_eq!(&json[0]["text"], text, "one template and one member give one text");
    assert_eq!(&json[1][source][1]["deep"][1][0], text);
    if !program::is_template(source) {
        assert_eq!(text, source, "what has nothing to render stands for itself");
    }
}

/// A text as every kind of time that people write.
pub(crate) fn written(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let offset = texts::offset(text);
    assert_eq!(offset.is_ok(), is_offset(text) && within_ten_years(text), "{text:?} as a length of time");
    if texts::fixed(text).is_ok() {
        assert!(offset.is_ok() && !text.ends_with(['o', 'y']), "{text:?} has a fixed length");
    }
    if let Ok(time) = texts::time(text) {
        assert_eq!(format!("{:02}:{:02}", time.hour(), time.minute()), text);
    }
    if let Ok(hours) = texts::hours(text) {
        assert!(hours.start_minute < 1440 && (1..=1440).contains(&hours.end_minute), "{hours:?}");
        assert_ne!(hours.start_minute, hours.end_minute);
        let minute = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let back = format!("{}-{}", minute(hours.start_minute), minute(hours.end_minute));
        assert!(text == back || (back.ends_with("24:00") && text.ends_with("-00:00")), "{text:?} is {back}");
    }
    if let Ok(zone) = texts::zone(text) {
        assert_eq!(zone.iana_name(), Some(text));
    }
    let _ = program::parse_instant(text, &tokyo());
    let names = named(text);
    for filter in ["{{ member.name | date }}", "{{ now | date(member.name) }}", "{{ member.name | yen }}"] {
        // a value or a failure, and no panic
        let _ = rendered(&json!([filter]), &names);
    }
}

/// The pushes of a scenario, each with the id of its step.
fn every_push(scenario: &Scenario) -> impl Iterator<Item = (&str, &Messages)> {
    scenario.steps.iter().filter_map(|step| Some((step.id.as_str(), step.messages()?)))
}

/// Evaluates whatever a scenario has to evaluate.
fn evaluate_all(scenario: &Scenario, names: &Names) {
    let conditions = (scenario.enter.iter().map(|enter| enter.condition))
        .chain(scenario.update.iter().map(|update| update.condition))
        .chain(scenario.exit.iter().map(|exit| exit.condition))
        .chain(scenario.goal.iter().map(|goal| goal.condition))
        .chain(scenario.steps.iter().map(|step| step.condition));
    for condition in conditions.flatten() {
        drop(scenario.program.test(condition, names));
    }
    let expressions = (scenario.enter.iter().map(|enter| enter.key))
        .chain(scenario.update.iter().map(|update| update.key))
        .chain(scenario.exit.iter().map(|exit| exit.key))
        .chain(scenario.goal.iter().flat_map(|goal| [goal.key, goal.value]))
        .chain([scenario.anchor]);
    for expression in expressions.flatten() {
        drop(scenario.program.text(expression, names));
    }
}

/// The push of a step as it is written: that of the one mapping with this id, at whatever depth.
fn written_push<'a>(file: &'a Value, step: &str) -> Option<&'a Value> {
    match file {
        Value::Array(items) => items.iter().find_map(|item| written_push(item, step)),
        Value::Object(map) => match map.get("push") {
            Some(push) if map.get("step").is_some_and(|id| id == step) => Some(push),
            _ => (map.iter().filter(|(key, _)| *key != "push"))
                .find_map(|(_, value)| written_push(value, step)),
        },
        _ => None,
    }
}

/// Renders a list of messages; none if a template in it does not compile.
fn rendered(messages: &Value, names: &Names) -> Option<Result<Value, program::Failure>> {
    let mut builder = Builder::new(tokyo());
    let messages = builder.messages(messages.as_array()?, false).ok()?;
    let rendered = builder.finish().render(&messages, names);
    Some(rendered.map(|json| serde_json::from_str(&json).expect("what is sent is JSON")))
}

/// A template may become another text. All else is sent as it is written.
fn same_shape(written: &Value, sent: &Value) {
    match (written, sent) {
        (Value::String(written), Value::String(sent)) => {
            assert!(program::is_template(written) || written == sent, "{written:?} was sent as {sent:?}");
        }
        (Value::Array(written), Value::Array(sent)) => {
            assert_eq!(written.len(), sent.len());
            written.iter().zip(sent).for_each(|(written, sent)| same_shape(written, sent));
        }
        (Value::Object(written), Value::Object(sent)) => {
            assert!(written.keys().eq(sent.keys()), "{written:?} was sent as {sent:?}");
            written.values().zip(sent.values()).for_each(|(written, sent)| same_shape(written, sent));
        }
        _ => assert_eq!(written, sent),
    }
}

/// What we read beside the loaders that are trusted with the meaning: where all take it, all agree.
fn reads_as_serde_does(yaml: &[u8], part: Option<&[u8]>) {
    let mut findings = Vec::new();
    let tree = yaml::parse(&"fuzz.yaml".into(), yaml, &mut findings);
    if let (Some(tree), true, Ok(serde)) =
        (tree, findings.is_empty(), serde_yaml::from_slice::<Value>(without_mark(yaml)))
    {
        assert_eq!(tree.to_json(), serde, "the tree is what serde_yaml reads");
    }
    let Some(part) = part else { return };
    let mut findings = Vec::new();
    let tree = yaml::parse_json(&INCLUDED.into(), part, &mut findings);
    if let (Some(tree), true) = (tree, findings.is_empty()) {
        let serde: Value = serde_json::from_slice(without_mark(part)).expect("a tree comes of JSON");
        assert_eq!(tree.to_json(), serde, "the tree is what serde_json reads");
    }
}

fn stands_in_its_file(finding: &Finding, files: &BTreeMap<&str, Vec<usize>>) {
    let lines = files.get(finding.file.as_str()).expect("a finding names one of the files");
    let length = finding.line.checked_sub(1).and_then(|index| lines.get(index));
    let Some(length) = length else { panic!("{finding}\nis in no line of the file's {}", lines.len()) };
    // the column behind the last character is that of the line's end
    assert!((1..=length + 1).contains(&finding.column), "{finding}\nis beyond its line of {length}");
}

/// The characters in each line of a file, up to where it stops being text.
fn line_lengths(bytes: &[u8], is_json: bool) -> Vec<usize> {
    let bytes = without_mark(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    // JSON knows one end of a line; to YAML, and to editors, a lone carriage return is another
    let text = if is_json { text.to_owned() } else { text.replace("\r\n", "\n").replace('\r', "\n") };
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).chars().count()).collect()
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// The name that the scenario in a file asks for, so that a changed id is not the only finding.
fn file_name(yaml: &[u8]) -> String {
    let text = String::from_utf8_lossy(yaml);
    let id = text.lines().find_map(|line| line.strip_prefix("scenario: "));
    let id = id.and_then(|id| ScenarioId::new(id.trim()).ok());
    format!("{}.yaml", id.as_ref().map_or("fuzz", ScenarioId::as_str))
}

fn split_bytes(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    let marker = NEXT_PART.as_bytes();
    match data.windows(marker.len()).position(|window| window == marker) {
        // the line before keeps its end
        Some(at) => (&data[..=at], Some(&data[at + marker.len()..])),
        None => (data, None),
    }
}

/// [`texts::OFFSET_PATTERN`], which nothing else here can run.
fn is_offset(text: &str) -> bool {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    number.bytes().any(|digit| digit != b'0') && ["s", "m", "h", "d", "w", "mo", "y"].contains(&unit)
}

fn within_ten_years(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let days = match &text[number.len()..] {
        "s" => 1.0 / 86_400.0,
        "m" => 1.0 / 1_440.0,
        "h" => 1.0 / 24.0,
        "w" => 7.0,
        "mo" => 30.0,
        "y" => 365.0,
        _ => 1.0,
    };
    number.parse::<f64>().is_ok_and(|number| number * days <= 3_660.0 + 1e-9)
}

/// The value by JSON Schema, as far as the schema uses it; patterns are left to [`written`].
fn agrees(value: &Value, schema: &Value, root: &Value, path: &mut String) -> Result<(), String> {
    let Value::Object(schema) = schema else { return Ok(()) };
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    for (keyword, wanted) in schema {
        let right = match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or_default();
                let meant = root.pointer(pointer).ok_or_else(|| format!("no {wanted} in the schema"))?;
                return agrees(value, meant, root, path);
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|name| is_of(value, name)),
                name => is_of(value, name),
            },
            "enum" => wanted.as_array().is_some_and(|allowed| allowed.contains(value)),
            "const" => wanted == value,
            "minimum" => !value.is_number() || number(value) >= number(wanted),
            "maximum" => !value.is_number() || number(value) <= number(wanted),
            "minItems" => value.as_array().is_none_or(|items| items.len() as f64 >= number(wanted)),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as f64 <= number(wanted)),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as f64 >= number(wanted)),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as f64 <= number(wanted)),
            "required" => value.as_object().is_none_or(|map| {
                let keys = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                keys.into_iter().all(|key| map.contains_key(key))
            }),
            "anyOf" => {
                let branches = wanted.as_array().into_iter().flatten();
                branches.into_iter().any(|branch| agrees(value, branch, root, &mut path.clone()).is_ok())
            }
            "oneOf" => {
                let branches = wanted.as_array().into_iter().flatten();
                branches.filter(|branch| agrees(value, branch, root, &mut path.clone()).is_ok()).count() == 1
            }
            "allOf" => {
                for branch in wanted.as_array().into_iter().flatten() {
                    agrees(value, branch, root, path)?;
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    agrees(item, wanted, root, &mut format!("{path}[{index}]"))?;
                }
                true
            }
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    agrees(item, &wanted[key], root, &mut format!("{path}.{key}"))?;
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| schema.get("properties").is_some_and(|p| p.get(key).is_some());
                let others = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                for (key, item) in others {
                    if *wanted == false {
                        return Err(format!("{path}: `{key}` is not in the schema"));
                    }
                    agrees(item, wanted, root, &mut format!("{path}.{key}"))?;
                }
                true
            }
            "$schema" | "$defs" | "title" | "description" | "examples" | "default" | "format" | "pattern" => {
                true
            }
            // what editors show
            "markdownDescription" | "enumDescriptions" | "errorMessage" | "defaultSnippets" => true,
            other => panic!("teach fuzz/bodies.rs the keyword `{other}` of JSON Schema"),
        };
        if !right {
            return Err(format!("{path}: {value} is not by `{keyword}: {wanted}`"));
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => value.is_null(),
    }
}

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").expect("the time zone database is bundled")
}

fn attributes(value: Value) -> Arc<Attributes> {
    match value {
        Value::Object(map) => Arc::new(map),
        other => panic!("{other} is no object"),
    }
}

/// A member of whom nothing is known, before there is an event or a run.
fn empty() -> Names {
    Names::new(Scope {
        member: Arc::new(MemberScope {
            id: MemberId::new("m1").expect("it is an id"),
            attributes: attributes(json!({})),
            tags: Arc::default(),
            linked: false,
            friend: false,
        }),
        event: None,
        enrollment: None,
        anchor: None,
        now: "2026-03-02T12:50:00Z".parse().expect("it is an instant"),
    })
}

/// A member with a value of every kind.
fn rich() -> Names {
    scope(
        json!({
            "name": "佐藤 \"},{{ 7 * 7 }}{% raw %}\\\n\u{202e}👨‍👩‍👧\u{0}", "plan": "gold", "regular": true,
            "points": 12_345, "rate": 1.5, "big": u64::MAX, "small": i64::MIN, "none": null,
            "list": ["a", 2, [3.5, null], { "x": "y" }], "words": ["b", "a"], "名前": "キー",
        }),
        json!({
            "booking_id": "b-1", "starts_at": "2026-03-05T14:00:00+09:00", "amount": 9_800, "sku": "A",
            "cart": { "total": 1_500, "items": [{ "name": "傘", "price": 700 }] }, "note": "{{ member.id }}",
        }),
        "b-1",
    )
}

/// A member whose every value is one text.
fn named(value: &str) -> Names {
    scope(json!({ "name": value, "words": [value, value] }), json!({ "note": value }), value)
}

fn scope(member: Value, event: Value, key: &str) -> Names {
    let now = "2026-03-02T12:50:00Z".parse().expect("it is an instant");
    Names::new(Scope {
        member: Arc::new(MemberScope {
            id: MemberId::new("m1").expect("it is an id"),
            attributes: attributes(member),
            tags: Arc::new(["vip".to_owned(), "会員".to_owned()].into()),
            linked: true,
            friend: true,
        }),
        event: Some(attributes(event)),
        enrollment: Some(EnrollmentScope {
            id: EnrollmentId(uuid::Uuid::nil()),
            key: Some(key.into()),
            entered_at: now,
        }),
        anchor: Some("2026-03-05T05:00:00Z".parse().expect("it is an instant")),
        now,
    })
}

/// The inputs of a target that the repository has anyhow, by name: scenarios, broken files, the files in
/// timelines, and the expressions and templates in all of these.
pub(crate) fn seeds(root: &Path, target: &str) -> Vec<(String, Vec<u8>)> {
    let scenarios = scenario_files(root);
    let mut texts = Vec::new();
    for (_, bytes, _) in &scenarios {
        if let Ok(file) = serde_yaml::from_slice::<Value>(bytes) {
            collect_texts(&file, &mut texts);
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let is_template = |text: &String| program::is_template(text);
    let values = ["\"},{\"type\":\"text\",\"text\":\"x", "{{ 7 * 7 }}{% if true %}\\\n\u{202e}👍"];
    match target {
        "loader" => scenarios.into_iter().map(|(name, yaml, part)| (name, join(yaml, part))).collect(),
        "expression" => numbered(texts.into_iter().filter(|text| !is_template(text))),
        "template" => numbered(
            texts
                .into_iter()
                .filter(is_template)
                .flat_map(|text| values.map(|value| format!("{text}{NEXT_PART}{value}"))),
        ),
        _ => numbered(texts.into_iter().filter(|text| text.len() < 40 && !is_template(text))),
    }
}

/// The inputs of a target that were written for it or found by it, by name.
pub(crate) fn kept(root: &Path, target: &str) -> Vec<(String, Vec<u8>)> {
    files(&root.join("fuzz/corpus").join(target))
        .into_iter()
        .map(|path| (name_of(&path), std::fs::read(&path).expect("the file can be read")))
        .collect()
}

fn numbered(texts: impl Iterator<Item = String>) -> Vec<(String, Vec<u8>)> {
    texts.enumerate().map(|(index, text)| (format!("text-{index}"), text.into_bytes())).collect()
}

fn join(mut yaml: Vec<u8>, part: Option<Vec<u8>>) -> Vec<u8> {
    if let Some(part) = part {
        let marker = NEXT_PART.strip_prefix('\n').filter(|_| yaml.ends_with(b"\n")).unwrap_or(NEXT_PART);
        yaml.extend_from_slice(marker.as_bytes());
        yaml.extend(part);
    }
    yaml
}

/// Every scenario file of the repository, with what it includes under the name that [`loader`] gives it.
fn scenario_files(root: &Path) -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for folder in ["scenarios", "tests/broken", "tests/broken/twice", "tests/good"] {
        for path in files(&root.join(folder)).iter().filter(|path| is_yaml(path)) {
            let bytes = std::fs::read(path).expect("the file can be read");
            let (yaml, part) = with_part(&bytes, &root.join(folder));
            found.push((format!("{}-{}", folder.replace('/', "-"), name_of(path)), yaml, part));
        }
    }
    for path in files(&root.join("tests/timelines")) {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let inline =
            text.split("\n--- ").skip(1).map(|part| part.split("\n\nevents:").next().unwrap_or(part));
        for part in inline {
            let Some((name, yaml)) = part.split_once('\n') else { continue };
            let name = format!("timeline-{}-{name}", name_of(&path));
            found.push((name, format!("{yaml}\n").into_bytes(), None));
        }
    }
    found
}

fn with_part(yaml: &[u8], folder: &Path) -> (Vec<u8>, Option<Vec<u8>>) {
    let Ok(text) = std::str::from_utf8(yaml) else { return (yaml.to_vec(), None) };
    let path = text.split_once("$file: ").map(|(_, rest)| {
        let end = rest.find([' ', '}', '\n', ',']).unwrap_or(rest.len());
        &rest[..end]
    });
    match path.and_then(|path| Some((path, std::fs::read(folder.join(path)).ok()?))) {
        Some((path, part)) => (text.replace(path, INCLUDED).into_bytes(), Some(part)),
        None => (yaml.to_vec(), None),
    }
}

fn collect_texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, found)),
        Value::Object(map) => map.values().for_each(|item| collect_texts(item, found)),
        _ => {}
    }
}

/// The files of a folder by name; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
