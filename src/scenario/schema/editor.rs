//! The JSON Schema as editors want it: each key explained in the author's language, and shapes to put in.
//!
//! The English is what the types of [`file`](crate::scenario::file) say. Japanese is a table of the same texts; it
//! is whole, and nothing else is in it (`tests/it/schema.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::scenario::file::ScenarioFile;
use crate::scenario::schema::{annotated, strip_own_marks};

/// The shapes that are offered, by definition, or by a key of it.
const SHAPES: &str = include_str!("shapes.yaml");
/// What the texts of the schema are in Japanese.
const JAPANESE: &str = include_str!("ja.yaml");

/// The language that a schema explains in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Japanese,
}

/// The JSON Schema (draft 2020-12) of a scenario file.
///
/// Besides the standard it has what `yaml-language-server` reads: `markdownDescription`, `enumDescriptions`,
/// `errorMessage` and `defaultSnippets`.
pub fn json_schema(language: Language) -> Value {
    let mut schema = annotated::<ScenarioFile>();
    strip_own_marks(&mut schema);
    if let Value::Object(map) = &mut schema {
        // the language server would put it over the explanation of every key
        map.shift_remove("title");
    }
    keep_outermost_description(&mut schema);
    put_in_shapes(&mut schema);
    if language == Language::Japanese {
        let table: Vec<Pair> = serde_yaml::from_str(JAPANESE).expect("our own table is well-formed");
        let japanese = table.into_iter().map(|pair| (pair.en, pair.ja)).collect();
        translate(&mut schema, &japanese);
    }
    offer_in_lists(&mut schema);
    write_markdown(&mut schema);
    schema
}

/// A text in both languages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    en: String,
    ja: String,
}

fn put_in_shapes(schema: &mut Value) {
    let shapes: BTreeMap<String, Vec<Value>> =
        serde_yaml::from_str(SHAPES).expect("our own shapes are well-formed");
    for (owner, mut shapes) in shapes {
        for shape in &mut shapes {
            // keys come first
            shape["sortText"] = format!("~{}", shape["label"].as_str().unwrap_or_default()).into();
            if shape["body"].is_array() {
                // said of a list, the language server would take its places for keys
                shape["type"] = "object".into();
            }
        }
        let (definition, key) = owner.split_once('.').unwrap_or((&owner, ""));
        let mut pointer = match definition {
            "Scenario" => String::new(),
            other => format!("/$defs/{other}"),
        };
        if !key.is_empty() {
            pointer = format!("{pointer}/properties/{key}");
        }
        let place = schema.pointer_mut(&pointer).and_then(Value::as_object_mut);
        place.expect("shapes are of what is there").insert("defaultSnippets".into(), shapes.into());
    }
}

/// A list of steps offers the shapes of a step with the dash that begins one: where no step stands yet, and
/// behind the last one, the editor asks the list alone.
fn offer_in_lists(schema: &mut Value) {
    let mut shapes = schema["$defs"]["StepItem"]["defaultSnippets"].clone();
    for shape in shapes.as_array_mut().into_iter().flatten() {
        let label = format!("- {}", shape["label"].as_str().unwrap_or_default());
        // in a step that has begun, those that go on with it come first
        shape["sortText"] = format!("~~{label}").into();
        shape["label"] = label.into();
    }
    put_in_lists(schema, &shapes);
}

fn put_in_lists(schema: &mut Value, shapes: &Value) {
    match schema {
        Value::Object(map) => {
            if map.get("items").is_some_and(|items| items["$ref"] == "#/$defs/StepItem") {
                map.insert("defaultSnippets".into(), shapes.clone());
            }
            map.values_mut().for_each(|value| put_in_lists(value, shapes));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| put_in_lists(value, shapes)),
        _ => {}
    }
}

/// Leaves of several texts on one value the outermost: what a key is for, not what its type is.
fn keep_outermost_description(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        for property in properties.values_mut() {
                            if property["description"].is_string() {
                                drop_branch_descriptions(property);
                            }
                            keep_outermost_description(property);
                        }
                    }
                    ("$defs", Value::Object(definitions)) => {
                        for definition in definitions.values_mut() {
                            drop_description(definition);
                            drop_branch_descriptions(definition);
                            keep_outermost_description(definition);
                        }
                    }
                    (_, value) => keep_outermost_description(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(keep_outermost_description),
        _ => {}
    }
}

fn drop_branch_descriptions(schema: &mut Value) {
    for branch in schema.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
        drop_description(branch);
        drop_branch_descriptions(branch);
    }
}

fn drop_description(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.shift_remove("description");
    }
}

/// Puts in the texts of another language; a text that the table has not stays as it is.
fn translate(schema: &mut Value, table: &BTreeMap<String, String>) {
    each_text(schema, &mut |text| table.get(text).cloned());
}

/// Shows each text that a person reads, and puts in what is given for it.
fn each_text(schema: &mut Value, change: &mut dyn FnMut(&str) -> Option<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties" | "$defs", Value::Object(named)) => {
                        named.values_mut().for_each(|value| each_text(value, change));
                    }
                    ("description" | "errorMessage", Value::String(text)) => change_text(text, change),
                    ("enumDescriptions", Value::Array(each)) => {
                        each.iter_mut().for_each(|text| change_word(text, change));
                    }
                    ("defaultSnippets", Value::Array(shapes)) => {
                        shapes.iter_mut().for_each(|shape| change_shape(shape, change));
                    }
                    ("enum" | "examples" | "required", _) => {}
                    (_, value) => each_text(value, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        _ => {}
    }
}

fn change_shape(shape: &mut Value, change: &mut dyn FnMut(&str) -> Option<String>) {
    change_word(&mut shape["description"], change);
    match shape["body"].as_str().map(|body| body.contains(' ')) {
        // a word of the language, and called by it
        Some(false) => {}
        Some(true) => {
            change_word(&mut shape["label"], change);
            change_word(&mut shape["body"], change);
        }
        None => {
            change_word(&mut shape["label"], change);
            change_body(&mut shape["body"], change);
        }
    }
}

/// Words for members, and what people call things; the rest of a shape is the language.
fn change_body(body: &mut Value, change: &mut dyn FnMut(&str) -> Option<String>) {
    match body {
        Value::Object(map) => {
            for (key, value) in map {
                if WORDED.contains(&key.as_str()) {
                    change_word(value, change);
                }
                change_body(value, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| change_body(item, change)),
        _ => {}
    }
}

/// The keys whose texts are for people.
const WORDED: [&str; 6] = ["title", "name", "push", "text", "altText", "label"];

fn change_word(text: &mut Value, change: &mut dyn FnMut(&str) -> Option<String>) {
    if let Value::String(text) = text {
        change_text(text, change);
    }
}

/// Of a place to fill in, such as `${1:text}`, the text is changed and the place stays.
fn change_text(text: &mut String, change: &mut dyn FnMut(&str) -> Option<String>) {
    let (start, end) = match (text.find("${"), text.rfind('}')) {
        (Some(start), Some(end)) => (start + "${1:".len(), end),
        _ => (0, text.len()),
    };
    if let Some(other) = change(&text[start..end]) {
        text.replace_range(start..end, &other);
    }
}

/// Gives each description as Markdown too, with the first shape of the key as its example.
fn write_markdown(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(description)) = map.get("description") {
                let shapes = map.get("defaultSnippets").and_then(Value::as_array);
                let text =
                    format!("{description}{}", shapes.map_or_else(String::new, |all| example(all, map)));
                map.insert("markdownDescription".into(), text.into());
            }
            for (key, value) in map {
                if !["enum", "examples", "required", "defaultSnippets"].contains(&key.as_str()) {
                    write_markdown(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_markdown),
        _ => {}
    }
}

/// The first shape; of words, each with what it means.
fn example(shapes: &[Value], owner: &Map<String, Value>) -> String {
    let is_word = |shape: &Value| shape["body"].as_str().is_some_and(|body| !body.contains(' '));
    if shapes.iter().all(is_word) {
        let said = |key: &str, shape: &Value| shape[key].as_str().unwrap_or_default().to_owned();
        let lines = shapes
            .iter()
            .map(|shape| format!("\n- `{}`: {}", said("label", shape), said("description", shape)));
        return format!("\n{}", lines.collect::<String>());
    }
    let body = shapes[0]["body"].clone();
    let is_item = owner.get("type").is_some_and(|kind| kind == "array") && body.is_object();
    format!("\n\n```yaml\n{}```", filled_in(&if is_item { [body].into_iter().collect() } else { body }))
}

/// A shape as it comes to stand in a file, its places filled in.
fn filled_in(body: &Value) -> String {
    let mut lines = Vec::new();
    write_lines(body, &mut lines);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn write_lines(body: &Value, lines: &mut Vec<String>) {
    match body {
        Value::Object(map) => {
            for (key, value) in map {
                let key = without_places(key);
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        lines.push(format!("{key}:"));
                        let mut inner = Vec::new();
                        write_lines(value, &mut inner);
                        lines.extend(inner.iter().map(|line| format!("  {line}")));
                    }
                    alone => lines.push(format!("{key}: {}", word(alone))),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = Vec::new();
                write_lines(item, &mut inner);
                let lead = |index| if index == 0 { "- " } else { "  " };
                lines.extend(inner.iter().enumerate().map(|(index, line)| format!("{}{line}", lead(index))));
            }
        }
        alone => lines.push(word(alone)),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), without_places)
}

fn without_places(text: &str) -> String {
    match (text.find("${"), text.rfind('}')) {
        (Some(start), Some(end)) => {
            format!("{}{}{}", &text[..start], &text[start + "${1:".len()..end], &text[end + 1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
