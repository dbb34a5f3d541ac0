//! `amadare schema`: what it says of scenario files, and in which words.
//!
//! What editors make of it is asked in `tests/editor`, which needs Node.

use std::path::{Path, PathBuf};

use amadare::scenario::schema::{Language, json_schema};
use jsonschema::Validator;
use serde_json::Value;

use crate::process::amadare;
use crate::reference::{files_in, inline};

/// The codes that say of a file what a JSON Schema can say as well.
const SCHEMA_CODES: [&str; 4] = ["unknown-key", "missing-key", "wrong-type", "empty-steps"];

fn validator() -> Validator {
    let schema = json_schema(Language::English);
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn problems(validator: &Validator, name: &str, text: &str) -> Vec<String> {
    let file: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    validator.iter_errors(&file).map(|error| format!("{name}{}: {error}", error.instance_path())).collect()
}

/// The scenario files of a folder and of all below it.
fn scenarios_below(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = files_in(folder, "yaml");
    for entry in std::fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(scenarios_below(&format!("{folder}/{}", entry.file_name().to_str().unwrap())));
        }
    }
    found
}

#[test]
fn what_is_right_passes_a_validator_of_json_schema() {
    let validator = validator();
    let mut files: Vec<(String, String)> = Vec::new();
    for path in scenarios_below("scenarios").into_iter().chain(files_in("tests/good", "yaml")) {
        files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    let shipped = files.len();
    // messages that scenarios include stand in timelines too
    let scenarios = inline().into_iter().filter(|text| !text.starts_with('{'));
    files.extend(scenarios.enumerate().map(|(at, text)| (format!("timeline scenario {at}"), text)));
    let wrong: Vec<String> = files.iter().flat_map(|(name, text)| problems(&validator, name, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{shipped} shipped and good files and {} of timelines pass", files.len() - shipped);
    assert!(shipped >= 4 && files.len() >= 50, "only {} files were found", files.len());
}

#[test]
fn what_is_wrong_by_keys_and_types_is_refused_by_it() {
    let validator = validator();
    let (mut refused, mut refused_of_meaning, mut of_meaning, mut passed) = (0, 0, 0, Vec::new());
    for path in files_in("tests/broken", "yaml") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Ok(expected) = std::fs::read_to_string(path.with_extension("txt")) else { continue };
        // what is no YAML is no matter of a schema
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(file) = serde_yaml::from_str::<Value>(&text) else { continue };
        let is_of_schema = SCHEMA_CODES.iter().any(|code| expected.contains(&format!("error[{code}]")));
        match (is_of_schema, validator.is_valid(&file)) {
            (true, false) => refused += 1,
            (true, true) => passed.push(name.to_owned()),
            (false, is_valid) => {
                of_meaning += 1;
                refused_of_meaning += usize::from(!is_valid);
            }
        }
    }
    println!(
        "{refused} files that are wrong by keys and types are refused; \
         so are {refused_of_meaning} of {of_meaning} that are wrong by their meaning"
    );
    assert_eq!(passed, [""; 0], "the schema takes what `check` refuses");
    assert!(refused >= 20, "only {refused} files are wrong by keys and types");
}

#[test]
fn both_languages_have_the_same_schema_in_their_own_words() {
    let mut texts = 0;
    compare(&json_schema(Language::English), &json_schema(Language::Japanese), "", &mut texts);
    assert!(texts > 200, "only {texts} texts were compared");
}

fn is_japanese(text: &str) -> bool {
    text.chars().any(|c| ('\u{3041}'..='\u{30ff}').contains(&c) || ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// Goes through both at once: words differ, all else is equal.
fn compare(english: &Value, japanese: &Value, at: &str, texts: &mut usize) {
    match (english, japanese) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{at} differs");
            for (key, value) in one {
                let (other, at) = (&other[key], format!("{at}/{key}"));
                match key.as_str() {
                    "description" | "markdownDescription" | "errorMessage" if value.is_string() => {
                        let (value, other) = (value.as_str().unwrap(), other.as_str().unwrap());
                        assert!(value.len() > 3 && !is_japanese(value), "{at}: {value}");
                        assert!(is_japanese(other), "{at}: {other}");
                        *texts += 1;
                    }
                    "enumDescriptions" => {
                        for (value, other) in value.as_array().unwrap().iter().zip(other.as_array().unwrap())
                        {
                            assert!(!is_japanese(value.as_str().unwrap()), "{at}: {value}");
                            assert!(is_japanese(other.as_str().unwrap()), "{at}: {other}");
                            *texts += 1;
                        }
                    }
                    "defaultSnippets" => {
                        assert_eq!(value.as_array().unwrap().len(), other.as_array().unwrap().len(), "{at}");
                        for (value, other) in value.as_array().unwrap().iter().zip(other.as_array().unwrap())
                        {
                            assert!(is_japanese(other["description"].as_str().unwrap()), "{at}: {other}");
                            assert!(!is_japanese(&value.to_string()), "{at}: {value}");
                            *texts += 1;
                        }
                    }
                    _ => compare(value, other, &at, texts),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{at}");
            one.iter().zip(other).for_each(|(one, other)| compare(one, other, at, texts));
        }
        _ => assert_eq!(english, japanese, "{at}"),
    }
}

#[test]
fn every_key_and_every_value_is_explained() {
    for language in [Language::English, Language::Japanese] {
        let mut keys = 0;
        explained(&json_schema(language), "", &mut keys);
        assert!(keys > 90, "only {keys} keys were found");
    }
}

fn explained(schema: &Value, at: &str, keys: &mut usize) {
    match schema {
        Value::Object(map) => {
            for (key, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                *keys += 1;
                let text = property["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{at}/{key} is not explained");
                let markdown = property["markdownDescription"].as_str().unwrap_or_default();
                assert!(markdown.starts_with(text), "{at}/{key}: {markdown}");
            }
            if let Some(values) = map.get("enum").and_then(Value::as_array) {
                let words = map.get("enumDescriptions").and_then(Value::as_array);
                assert_eq!(words.map(Vec::len), Some(values.len()), "{at}: {values:?}");
            }
            if map.contains_key("pattern") {
                assert!(
                    map.contains_key("errorMessage"),
                    "{at} has a pattern and no words for what fails it"
                );
            }
            for (key, value) in map.iter().filter(|(key, _)| *key != "defaultSnippets") {
                explained(value, &format!("{at}/{key}"), keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| explained(item, at, keys)),
        _ => {}
    }
}

#[test]
fn the_command_prints_it_in_either_language() {
    for (arguments, language) in [
        (["schema"].as_slice(), Language::English),
        (&["schema", "--lang", "en"], Language::English),
        (&["schema", "--lang", "ja"], Language::Japanese),
    ] {
        let output = amadare(arguments);
        assert!(output.status.success());
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed, json_schema(language));
    }
    let wrong = amadare(&["schema", "--lang", "fr"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("[possible values: en, ja]"));
}

/// Besides JSON Schema's own words only those of the language server; others take the schema for a plain one.
#[test]
fn only_known_words_stand_in_it() {
    const WORDS: [&str; 24] = [
        "$schema",
        "$ref",
        "$defs",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "description",
        "examples",
        "format",
        "default",
        "enumDescriptions",
        "errorMessage",
        "markdownDescription",
        "defaultSnippets",
        "const",
    ];
    fn walk(schema: &Value, at: &str) {
        match schema {
            Value::Object(map) => {
                for (key, value) in map {
                    assert!(WORDS.contains(&key.as_str()), "{at}: {key}");
                    match key.as_str() {
                        "properties" | "$defs" => {
                            value
                                .as_object()
                                .unwrap()
                                .iter()
                                .for_each(|(key, value)| walk(value, &format!("{at}/{key}")));
                        }
                        "examples" | "defaultSnippets" | "enum" => {}
                        _ => walk(value, &format!("{at}/{key}")),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, at)),
            _ => {}
        }
    }
    walk(&json_schema(Language::English), "");
}

/// The pages for authors, and what they show and lead to.
#[test]
fn links_and_pictures_of_the_authors_pages_are_there() {
    /// Larger than this no picture may be, in bytes.
    const MAX_PICTURE: u64 = 150_000;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pictures = 0;
    for page in ["editor.md", "editor.ja.md", "tutorial.md", "tutorial.ja.md"] {
        let text = std::fs::read_to_string(docs.join(page)).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            if target.starts_with("https://") {
                continue;
            }
            let found = std::fs::metadata(docs.join(target))
                .unwrap_or_else(|error| panic!("{page}: {target}: {error}"));
            if target.ends_with(".png") {
                pictures += 1;
                assert!(found.len() <= MAX_PICTURE, "{target} has {} bytes", found.len());
            }
        }
    }
    assert!(pictures >= 8, "only {pictures} pictures are shown");
}
