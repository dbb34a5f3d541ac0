//! The reference of the scenario language, `docs/scenarios.md` and `docs/scenarios.ja.md`: every example on
//! it runs, and it tells of every key there is; so do the timelines.
//!
//! How the pages are written:
//!
//! - A `yaml` block with `scenario:` is a complete file. The real loader must take it, without a warning.
//! - One whose first line is `# amadare.yaml` is a configuration.
//! - Any other is a fragment. A list that begins with `step:` is the steps of a file that has an anchor; a
//!   mapping is keys of a file, which gets an `enter` and a step if it has none. Send hours are put in.
//! - Scenarios that its steps enter need not be on the page.
//! - A `json` block with a `text` block behind it is what `amadare simulate` reads and prints, for the last
//!   complete file before them.
//! - The tables of the section on all keys have a row for each key, with an example of it. The words in
//!   backticks in a table's first head tell the mapping that its keys stand in; without any it is the file.
//!
//! Keys are called by the mapping that they stand in: `enter.every`, `step.wait_for`. A mapping is called by
//! the keys that lead to it: `exit/update` for what stands at both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use amadare::config::{Config, ConfigError, Overrides};
use amadare::scenario::Defaults;
use amadare::scenario::load::load;
use amadare::scenario::schema::{Language as SchemaLanguage, json_schema};
use amadare::scenario::source::Sources;
use serde_json::{Value, json};

/// The pages, and the heading of their section on all keys.
const PAGES: [(&str, &str); 2] =
    [("docs/scenarios.md", "## All keys"), ("docs/scenarios.ja.md", "## キーの一覧")];

/// Keys that the pages tell of and that need be in no schema or timeline yet, and why.
const LATER: [(&str, &str); 2] = [
    ("reply", "a file that has it is refused: its LINE side comes with a later version"),
    ("menu", "a file that has it is refused: its LINE side comes with a later version"),
];

fn is_later(key: &str) -> bool {
    let (owner, name) = key.split_once('.').unwrap();
    LATER.iter().any(|(later, _)| owner == *later || (owner == "step" && name == *later))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn every_example_of_the_pages_loads() {
    let mut wrong = String::new();
    for (page, _) in PAGES {
        let yaml: Vec<Block> = blocks(page).into_iter().filter(|block| block.language == "yaml").collect();
        assert!(yaml.len() >= 40, "only {} examples were found in {page}", yaml.len());
        for block in yaml {
            for problem in block.problems() {
                writeln!(wrong, "{page}:{}: {problem}", block.line).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_simulation_of_the_pages_comes_out_as_written() {
    let mut wrong = String::new();
    for (page, _) in PAGES {
        let all = blocks(page);
        let mut simulations = 0;
        for (index, pair) in all.windows(2).enumerate() {
            let [events, expected] = pair else { unreachable!("windows of two") };
            if (events.language.as_str(), expected.language.as_str()) != ("json", "text") {
                continue;
            }
            simulations += 1;
            let file = all[..index].iter().rev().find(|block| block.is_file()).unwrap();
            let found = simulate(file, events);
            if found.trim_end() != expected.text.trim_end() {
                writeln!(wrong, "{page}:{}: found\n{found}", expected.line).unwrap();
            }
        }
        assert!(simulations >= 3, "only {simulations} simulations were found in {page}");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What `amadare simulate` prints, but for the sums at its end.
fn simulate(file: &Block, events: &Block) -> String {
    let folder = tempfile::tempdir().unwrap();
    let id = file.value()["scenario"].as_str().unwrap().to_owned();
    let (scenario, told) = (folder.path().join(format!("{id}.yaml")), folder.path().join("events.ndjson"));
    std::fs::write(&scenario, &file.text).unwrap();
    std::fs::write(&told, &events.text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_amadare"));
    command.arg("simulate").arg(&scenario).arg("--events").arg(&told).args(["--lang", "en"]);
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let (timeline, _) =
        printed.split_once("\n── Summary").unwrap_or_else(|| panic!("no summary in {printed}"));
    timeline.to_owned()
}

#[test]
fn both_pages_tell_the_same() {
    let [english, japanese] = PAGES.map(|(page, _)| page);
    let headings = |page| -> Vec<usize> {
        read(page).lines().filter(|line| line.starts_with('#') && line.contains("# ")).map(level).collect()
    };
    // a comment in a block looks like a heading, on either page
    assert_eq!(headings(english), headings(japanese), "the sections of the pages differ");
    let (english, japanese) = (blocks(english), blocks(japanese));
    for (one, other) in english.iter().zip(&japanese) {
        let lines = format!("lines {} and {}", one.line, other.line);
        assert_eq!(one.language, other.language, "{lines}");
        if one.language == "yaml" {
            assert_eq!(shape(&one.value()), shape(&other.value()), "the examples at {lines} differ");
        }
    }
    assert_eq!(english.len(), japanese.len());
}

fn level(heading: &str) -> usize {
    heading.chars().take_while(|c| *c == '#').count()
}

/// A value without its texts.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::Null,
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        plain => plain.clone(),
    }
}

#[test]
fn the_tables_of_the_pages_have_every_key() {
    let known = Language::new().keys();
    let mut wrong = String::new();
    for (page, heading) in PAGES {
        let (documented, mistakes) = key_tables(page, heading);
        wrong += &mistakes;
        let later = documented.iter().filter(|key| is_later(key)).count();
        assert!(later >= LATER.len(), "{page} does not tell of every key that is to come");
        let documented = documented.into_iter().filter(|key| !is_later(key)).collect();
        wrong += &difference(&format!("the tables of {page}"), &documented, "the schema", &known);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_examples_of_the_pages_have_every_key_and_value() {
    let language = Language::new();
    let mut wrong = String::new();
    for (page, _) in PAGES {
        let mut used = Used::default();
        for block in blocks(page).iter().filter(|block| block.language == "yaml" && !block.is_configuration())
        {
            language.read(&block.completed(), &mut used);
        }
        wrong += &lacking(&format!("the examples of {page}"), &language.keys(), &used.keys);
        wrong += &lacking(&format!("the examples of {page}"), &language.values(), &used.values);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_timelines_have_every_key_and_value() {
    let language = Language::new();
    let mut used = Used::default();
    let mut files = 0;
    for scenario in shipped().iter().map(|path| std::fs::read_to_string(path).unwrap()).chain(inline()) {
        files += 1;
        language.read(&serde_yaml::from_str(&scenario).unwrap(), &mut used);
    }
    assert!(files >= 50, "only {files} scenarios were found");
    // the types of messages are LINE's: what each needs is tested where messages are checked
    let is_ours = |value: &String| !value.starts_with("push.type=");
    let values = language.values().into_iter().filter(is_ours).collect();
    let wrong = lacking("the timelines", &language.keys(), &used.keys)
        + &lacking("the timelines", &values, &used.values);
    assert!(wrong.is_empty(), "\n{wrong}");
}

pub(crate) fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn shipped() -> Vec<PathBuf> {
    files_in("scenarios", "yaml")
}

/// The scenarios that stand in timelines.
pub(crate) fn inline() -> Vec<String> {
    let mut scenarios: Vec<String> = Vec::new();
    for path in files_in("tests/timelines", "txt") {
        let mut is_inside = false;
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if line.starts_with("--- ") {
                is_inside = true;
                scenarios.push(String::new());
            } else if line == "events:" {
                is_inside = false;
            } else if is_inside {
                let scenario = scenarios.last_mut().unwrap();
                scenario.push_str(line);
                scenario.push('\n');
            }
        }
    }
    scenarios
}

/// Both ways.
fn difference(one: &str, of_one: &BTreeSet<String>, other: &str, of_other: &BTreeSet<String>) -> String {
    lacking(one, of_other, of_one) + &lacking(other, of_one, of_other)
}

/// What is wanted and not there, but for what comes later.
fn lacking(place: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> String {
    let missing: Vec<&str> =
        wanted.difference(found).filter(|key| !is_later(key)).map(String::as_str).collect();
    match missing.is_empty() {
        true => String::new(),
        false => format!("{} lacking in {place}: {}\n", missing.len(), missing.join(", ")),
    }
}

/// A fenced block of a page.
struct Block {
    language: String,
    /// Where its text begins.
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (number, line) in (1..).zip(read(page).lines()) {
        match line.strip_prefix("```") {
            Some(language) if !is_inside => {
                is_inside = true;
                blocks.push(Block { language: language.to_owned(), line: number + 1, text: String::new() });
            }
            Some(_) => is_inside = false,
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a block of {page} has no end");
    blocks
}

impl Block {
    fn is_configuration(&self) -> bool {
        self.text.starts_with("# amadare.yaml\n")
    }

    fn is_file(&self) -> bool {
        self.language == "yaml" && self.text.lines().any(|line| line.starts_with("scenario:"))
    }

    fn value(&self) -> Value {
        serde_yaml::from_str(&self.text).unwrap_or_else(|error| panic!("line {}: {error}", self.line))
    }

    /// The whole file that the block stands for.
    fn completed(&self) -> Value {
        let value = self.value();
        if self.is_file() {
            return value;
        }
        let mut file = json!({ "scenario": "example" });
        match value {
            Value::Array(steps) => {
                file["enter"] = json!({ "on": "example" });
                file["anchor"] = json!("event.at");
                file["hours"] = json!("09:00-21:00");
                file["steps"] = steps.into();
            }
            Value::Object(keys) => {
                let own = file.as_object_mut().unwrap();
                own.insert("enter".into(), json!({ "on": "example" }));
                own.insert("hours".into(), json!("09:00-21:00"));
                own.insert("steps".into(), json!([{ "step": "example", "push": "example" }]));
                own.extend(keys);
            }
            other => panic!("line {}: no example of a scenario: {other}", self.line),
        }
        file
    }

    /// Why the example cannot stand as it does.
    fn problems(&self) -> Vec<String> {
        if self.is_configuration() {
            return match Config::from_yaml("amadare.yaml", self.text.as_bytes(), &Overrides::default()) {
                Ok(_) => Vec::new(),
                Err(ConfigError::Invalid(findings)) => {
                    let of_later = |text: &String| LATER.iter().any(|(key, _)| text.contains(key));
                    findings.iter().map(ToString::to_string).filter(|text| !of_later(text)).collect()
                }
                Err(other) => vec![other.to_string()],
            };
        }
        let file = self.completed();
        let id = file["scenario"].as_str().unwrap().to_owned();
        let text = match self.is_file() {
            true => self.text.clone(),
            // the texts of a mapping as YAML itself has them
            false => serde_yaml::to_string(&file).unwrap(),
        };
        let mut sources = vec![
            (format!("{id}.yaml"), text),
            ("flex/coupon.json".to_owned(), read("scenarios/flex/coupon.json")),
        ];
        let mut entered = BTreeSet::new();
        collect_entered(&file["steps"], &mut entered);
        for other in entered.into_iter().filter(|other| *other != id) {
            let steps = "hours: 09:00-21:00\nenter: { manual: true }\nsteps: [{ step: a, push: a }]\n";
            sources.push((format!("{other}.yaml"), format!("scenario: {other}\n{steps}")));
        }
        let sources = Sources::from_files(sources.into_iter().map(|(name, text)| (name, text.into_bytes())));
        let findings: Vec<String> =
            load(&sources, &Defaults::default()).findings.iter().map(ToString::to_string).collect();
        let later: Vec<&str> = LATER.iter().map(|(key, _)| *key).filter(|key| has(&file, key)).collect();
        if later.is_empty() {
            return findings;
        }
        let tells = |text: &&String| !later.iter().any(|key| text.contains(&format!("`{key}`")));
        findings.iter().filter(tells).cloned().collect()
    }
}

/// True if the key stands anywhere in the value.
fn has(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(name, value)| name == key || has(value, key)),
        Value::Array(items) => items.iter().any(|item| has(item, key)),
        _ => false,
    }
}

/// The scenarios that steps enter.
fn collect_entered(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let target = map.get("enter").filter(|_| map.contains_key("step"));
            let id = target.and_then(|target| target.as_str().or(target["scenario"].as_str()));
            found.extend(id.map(str::to_owned));
            map.values().for_each(|value| collect_entered(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_entered(item, found)),
        _ => {}
    }
}

/// The keys that the tables of a page's section on all keys have, and what is wrong with the tables.
fn key_tables(page: &str, heading: &str) -> (BTreeSet<String>, String) {
    let (mut keys, mut mistakes) = (BTreeSet::new(), String::new());
    let text = read(page);
    let section: Vec<(usize, &str)> = (1..)
        .zip(text.lines())
        .skip_while(|(_, line)| *line != heading)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .collect();
    let mut owner = String::new();
    for (index, (number, line)) in section.iter().enumerate().filter(|(_, (_, line))| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if section.get(index + 1).is_some_and(|(_, next)| next.starts_with("|---")) {
            let mut words = code(cells[0]);
            words.sort_unstable();
            owner = match words.as_slice() {
                [] => "file".to_owned(),
                _ => words.join("/"),
            };
            continue;
        }
        if line.starts_with("|---") {
            continue;
        }
        let (key, example) = (code(cells[0]), code(cells.last().unwrap()));
        let [key] = key.as_slice() else {
            writeln!(mistakes, "{page}:{number}: a row has one key").unwrap();
            continue;
        };
        if !keys.insert(format!("{owner}.{key}")) {
            writeln!(mistakes, "{page}:{number}: `{owner}.{key}` stands there twice").unwrap();
        }
        let parsed = example.first().map(|text| serde_yaml::from_str::<Value>(text));
        match parsed {
            Some(Ok(Value::Object(map))) if map.keys().eq([key]) => {}
            _ => writeln!(mistakes, "{page}:{number}: no example of `{key}`").unwrap(),
        }
    }
    (keys, mistakes)
}

/// What stands in backticks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The keys and values that scenarios may have, by the JSON Schema.
struct Language {
    schema: Value,
    /// By the name of a definition, what its keys are called by.
    owners: BTreeMap<String, String>,
}

/// Keys, and values where there are few to choose from.
#[derive(Default)]
struct Used {
    keys: BTreeSet<String>,
    values: BTreeSet<String>,
}

impl Language {
    fn new() -> Language {
        let schema = json_schema(SchemaLanguage::English);
        let mut led_by = BTreeMap::new();
        collect_references(&schema, "", &mut led_by);
        let owners = (led_by.into_iter())
            .map(|(definition, mut keys): (String, BTreeSet<String>)| {
                // what an act that is to come shares with another is called by the other
                let is_later = |key: &String| LATER.iter().any(|(later, _)| key == later);
                if !keys.iter().all(is_later) {
                    keys.retain(|key| !is_later(key));
                }
                let is_step = keys.contains("steps");
                let owner = keys.into_iter().collect::<Vec<_>>().join("/");
                (definition, if is_step { "step".to_owned() } else { owner })
            })
            .collect();
        Language { schema, owners }
    }

    fn keys(&self) -> BTreeSet<String> {
        let mut found = Used::default();
        self.collect(&self.schema, "file", &mut found, &mut BTreeSet::new());
        assert!(found.keys.len() > 60, "only {} keys are in the schema", found.keys.len());
        found.keys
    }

    /// Values of an enumeration, the words of `again`, and units of time.
    fn values(&self) -> BTreeSet<String> {
        let mut found = Used::default();
        self.collect(&self.schema, "file", &mut found, &mut BTreeSet::new());
        found.values
    }

    /// Everything that the schema has, in each mapping once.
    fn collect(&self, schema: &Value, owner: &str, found: &mut Used, seen: &mut BTreeSet<String>) {
        if let Some((definition, schema)) = self.definition(schema) {
            if seen.insert(definition.to_owned()) {
                self.collect(schema, &self.owners[definition], found, seen);
            }
            return;
        }
        for branch in schema["anyOf"].as_array().into_iter().flatten().chain(schema.get("items")) {
            self.collect(branch, owner, found, seen);
        }
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let name = format!("{owner}.{key}");
            for value in property["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                found.values.insert(format!("{name}={value}"));
            }
            for word in choices(property) {
                found.values.insert(word_of(key, word));
            }
            found.keys.insert(name);
            self.collect(property, &self.owner_of_inline(owner, key), found, seen);
        }
    }

    /// What of it a file has.
    fn read(&self, file: &Value, found: &mut Used) {
        self.read_value(file, &self.schema, "file", found);
    }

    fn read_value(&self, value: &Value, schema: &Value, owner: &str, found: &mut Used) {
        if let Some((definition, schema)) = self.definition(schema) {
            return self.read_value(value, schema, &self.owners[definition], found);
        }
        for branch in schema["anyOf"].as_array().into_iter().flatten() {
            self.read_value(value, branch, owner, found);
        }
        if let (Value::Array(items), Some(schema)) = (value, schema.get("items")) {
            items.iter().for_each(|item| self.read_value(item, schema, owner, found));
        }
        if owner == "push" && has(value, "$file") {
            found.keys.insert("push.$file".to_owned());
        }
        let Value::Object(map) = value else { return };
        for (key, value) in map {
            let Some(property) = schema["properties"].get(key) else { continue };
            let name = format!("{owner}.{key}");
            if let Some(text) = value.as_str() {
                if property["enum"].is_array() {
                    found.values.insert(format!("{name}={text}"));
                }
                let ending = text.trim_start_matches(|c: char| c.is_ascii_digit());
                let choices = choices(property);
                found.values.extend(choices.iter().filter(|c| **c == ending).map(|c| word_of(key, c)));
            }
            found.keys.insert(name);
            self.read_value(value, property, &self.owner_of_inline(owner, key), found);
        }
    }

    fn definition<'a>(&'a self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = schema["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        Some((name, &self.schema["$defs"][name]))
    }

    /// What a mapping without a definition is called by: its key, if nothing else is.
    fn owner_of_inline(&self, owner: &str, key: &str) -> String {
        if !self.owners.values().any(|other| other == key) {
            return key.to_owned();
        }
        let mut both = [owner, key];
        both.sort_unstable();
        both.join("/")
    }
}

/// The words and units that a text of this kind may end in, where its pattern tells them.
fn choices(property: &Value) -> Vec<&str> {
    let pattern = property["pattern"].as_str().unwrap_or_default();
    let is_of_time = pattern.contains("(s|m|h|d|w");
    pattern
        .split(['^', '(', ')', '|', '$', '+', ']'])
        .filter(|word| is_of_time && !word.is_empty() && word.chars().all(|c| c == '_' || c.is_lowercase()))
        .collect()
}

/// Units are the same wherever they stand.
fn word_of(key: &str, word: &str) -> String {
    match word.len() {
        1..=2 => format!("file.unit={word}"),
        _ => format!("enter.{key}={word}"),
    }
}

/// By which keys each definition is led to.
fn collect_references(schema: &Value, key: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match schema {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                let name = name.strip_prefix("#/$defs/").unwrap().to_owned();
                found.entry(name).or_default().insert(key.to_owned());
            }
            for (name, value) in map {
                match (name.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        properties.iter().for_each(|(key, value)| collect_references(value, key, found));
                    }
                    _ => collect_references(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, key, found)),
        _ => {}
    }
}
