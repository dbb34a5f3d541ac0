//! The JSON Schema of a file's type, and the check of a tree against such a schema.

use std::fmt::Write;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::scenario::finding::{Finding, closest, did_you_mean};
use crate::scenario::yaml::{Data, Entry, Node};

mod editor;

pub use editor::{Language, json_schema};

/// The schema of a file's type with the marks (`x-…`) that [`check`] reads.
pub fn annotated<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    forbid_null(&mut schema);
    schema
}

/// A key without a value is a mistake in files written by hand, though `Option` would take it.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(allowed)) = map.get_mut("enum") {
                allowed.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|branch| branch["type"] != "null" || branch["x-empty"] == true);
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    map.shift_remove("anyOf");
                    map.extend(only);
                }
            }
            map.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}

fn strip_own_marks(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("x-"));
            map.values_mut().for_each(strip_own_marks);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_own_marks),
        _ => {}
    }
}

/// Finds unknown and missing keys and values of a wrong type, and gives what is right without them.
///
/// A refused mapping in a list leaves an empty one, so that the others keep their places; of any other
/// list with a refused item nothing is left.
pub fn check(root: &Node, schema: &Value, findings: &mut Vec<Finding>) -> Value {
    let mut check = Check { root: schema, findings };
    check.value(root, schema, "the file").unwrap_or(Value::Object(serde_json::Map::new()))
}

struct Check<'a> {
    root: &'a Value,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Check<'a> {
    /// `name` is how the value is called in messages.
    fn value(&mut self, node: &Node, schema: &'a Value, name: &str) -> Option<Value> {
        let schema = self.resolve(schema);
        if let Some(branches) = schema["anyOf"].as_array() {
            let branches: Vec<&Value> = branches.iter().map(|branch| self.resolve(branch)).collect();
            return match branches.iter().find(|branch| accepts(branch, node)) {
                Some(branch) => self.value(node, branch, name),
                None => self.wrong_type(node, &branches, name),
            };
        }
        if !accepts(schema, node) {
            return self.wrong_type(node, &[schema], name);
        }
        match &node.data {
            Data::Broken => None,
            Data::Null => Some(Value::Null),
            _ if schema["x-free"] == true => Some(node.to_json()),
            Data::Map(_) => Some(self.map(node, schema)),
            Data::List(items) => self.list(items, &schema["items"], name),
            Data::Text(text) => self.one_of(node, &text.value, schema, name),
            Data::Number(number) => self.in_range(node, number, schema, name),
            Data::Bool(_) => Some(node.to_json()),
        }
    }

    fn list(&mut self, items: &[Node], schema: &'a Value, name: &str) -> Option<Value> {
        let each = format!("an item of {name}");
        let values: Vec<Option<Value>> = items.iter().map(|item| self.value(item, schema, &each)).collect();
        if self.resolve(schema)["type"] == "object" {
            let empty = || Value::Object(serde_json::Map::new());
            return Some(values.into_iter().map(|value| value.unwrap_or_else(empty)).collect());
        }
        values.into_iter().collect()
    }

    fn map(&mut self, node: &Node, schema: &'a Value) -> Value {
        let none = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        let owner = schema["x-name"].as_str().unwrap_or("this mapping");
        let mut right = serde_json::Map::new();
        // keys that stand there under a wrong name, or whose place a later key takes
        let mut meant = Vec::new();
        let mut for_later = false;
        for entry in node.entries() {
            let Some(property) = schema["properties"].get(&entry.key) else {
                for_later |= is_for_later(&entry.key, schema);
                meant.extend(closest(&entry.key, properties.keys().map(String::as_str)));
                self.findings.push(unknown_key(entry, schema, owner));
                continue;
            };
            if let Some(value) = self.value(&entry.value, property, &format!("`{}`", entry.key)) {
                right.insert(entry.key.clone(), value);
            }
        }
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let missing = |key: &&str| node.get(key).is_none() && !meant.contains(key) && !for_later;
        for key in required.iter().filter_map(Value::as_str).filter(missing) {
            let message = format!("{owner} has no `{key}`");
            let help = properties.get(key).and_then(|p| self.resolve(p)["description"].as_str());
            let help = help.map(|text| format!("`{key}:` {}", uncapitalised(text)));
            self.findings.push(Finding::error(&node.place, "missing-key", message).help_if(help));
        }
        Value::Object(right)
    }

    fn one_of(&mut self, node: &Node, text: &str, schema: &Value, name: &str) -> Option<Value> {
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let message = format!("{name} cannot be `{text}`");
                let help = did_you_mean(text, allowed.iter().copied())
                    .unwrap_or_else(|| format!("one of: {}", allowed.join(", ")));
                self.findings.push(Finding::error(&node.place, "invalid-value", message).help(help));
                return None;
            }
        }
        Some(Value::String(text.to_owned()))
    }

    fn in_range(
        &mut self,
        node: &Node,
        number: &serde_json::Number,
        schema: &Value,
        name: &str,
    ) -> Option<Value> {
        let value = number.as_f64()?;
        let (low, high) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let message = format!("{name} cannot be {number}");
            let mut help = String::from("write a number");
            if let Some(low) = low {
                write!(help, " from {low}").expect("a text takes all that is written");
            }
            if let Some(high) = high {
                write!(help, " up to {high}").expect("a text takes all that is written");
            }
            self.findings.push(Finding::error(&node.place, "invalid-value", message).help(help));
            return None;
        }
        Some(Value::Number(number.clone()))
    }

    fn wrong_type(&mut self, node: &Node, wanted: &[&'a Value], name: &str) -> Option<Value> {
        let finding = if matches!(node.data, Data::Null) {
            Finding::error(&node.place, "wrong-type", format!("{name} has no value"))
                .help("give it a value, or remove the key")
        } else {
            let said = wanted.iter().filter(|schema| schema["x-empty"] != true);
            let kinds: Vec<&str> = said.map(|schema| kind_of(schema)).collect();
            let given = match &node.data {
                Data::Number(number) if kinds == ["a whole number"] => number.to_string(),
                _ => node.kind().to_owned(),
            };
            let message = format!("{name} must be {}, not {given}", kinds.join(" or "));
            let is_secret = wanted.iter().any(|schema| schema["x-kind"] == "secret");
            let code = if is_secret && node.as_text().is_some() { "secret" } else { "wrong-type" };
            Finding::error(&node.place, code, message)
                .help_if(wanted.iter().find_map(|schema| self.type_help(node, schema)))
        };
        self.findings.push(finding);
        None
    }

    /// What was most likely meant by a value of a wrong type.
    fn type_help(&self, node: &Node, schema: &'a Value) -> Option<String> {
        let example = schema["examples"][0].as_str();
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            return Some(format!("one of: {}", allowed.join(", ")));
        }
        match (&node.data, schema["type"].as_str(), schema["x-kind"].as_str()) {
            (Data::Number(number), _, Some("duration")) => {
                Some(format!("write `{number}d` for days, `{number}h` for hours, `{number}m` for minutes"))
            }
            (Data::Text(_), _, Some("secret")) => Some(
                "a secret does not stand in the file: write { env: NAME } or { file: PATH }, and change it at LINE".into(),
            ),
            (Data::Number(_) | Data::Map(_), _, Some("time" | "hours" | "size")) => example.map(|text| format!("write \"{text}\"")),
            (Data::Number(number), _, Some("share")) => match number.as_f64() {
                Some(part) if 0.0 < part && part < 1.0 => {
                    Some(format!("write {}% for that part of all, or {number}% for less than one in a hundred", part * 100.0))
                }
                _ => Some(format!("write {number}%")),
            },
            (_, _, Some("share" | "instant" | "cron" | "days" | "weekdays")) => {
                example.map(|text| format!("write it as `{text}`"))
            }
            (Data::Number(_) | Data::Bool(_), Some("string"), _) => {
                Some(format!("put it in quotes: \"{}\"", node.to_json()))
            }
            (_, Some("boolean"), _) if schema["x-only"] == true => None,
            (Data::Text(text), Some("boolean"), _) => match text.value.as_str() {
                "yes" | "on" | "Yes" | "On" | "y" => Some("write true".into()),
                "no" | "off" | "No" | "Off" | "n" => Some("write false".into()),
                _ => Some("write true or false, without quotes".into()),
            },
            (Data::Text(text), Some("integer"), _) => match text.value.trim().parse::<i64>() {
                Ok(number) => Some(format!("write {number} without quotes")),
                Err(_) => {
                    let digits = text.value.trim_end_matches(|c: char| c.is_alphabetic());
                    let number = digits.parse::<i64>().unwrap_or(3);
                    Some(format!("write a whole number without a unit: {number}"))
                }
            },
            (Data::Text(text), Some("array"), _) if self.resolve(&schema["items"])["type"] == "string" => {
                Some(format!("write a list: [{}]", text.value))
            }
            (Data::Map(_), Some("array"), _) => {
                Some("write a list: each item begins with `- ` in a line of its own".into())
            }
            (Data::Text(text), Some("object"), _) if schema["properties"]["on"].is_object() => {
                Some(format!("write `{{ on: {} }}` for an event", text.value))
            }
            (Data::Map(_), Some("string"), None | Some("expression"))
                if schema["pattern"].is_null() =>
            {
                Some("a text that starts with `{` needs quotes: \"{{ member.name }}…\"".into())
            }
            _ => None,
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|pointer| pointer.strip_prefix('#')) {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }
}

fn unknown_key(entry: &Entry, schema: &Value, owner: &str) -> Finding {
    let key = &entry.key;
    if is_for_later(key, schema) {
        let message = format!("{owner} cannot have `{key}` yet");
        return Finding::error(&entry.place, "unknown-key", message)
            .help("the key is planned, but not supported by this version of amadare");
    }
    let known: Vec<&str> =
        schema["properties"].as_object().into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
    let help = did_you_mean(key, known.iter().copied())
        .unwrap_or_else(|| format!("keys here are: {}", known.join(", ")));
    Finding::error(&entry.place, "unknown-key", format!("{owner} has no key `{key}`")).help(help)
}

fn is_for_later(key: &str, schema: &Value) -> bool {
    schema["x-later"].as_array().is_some_and(|later| later.iter().any(|name| name == key))
}

fn accepts(schema: &Value, node: &Node) -> bool {
    let wanted = schema["type"].as_str();
    match (&node.data, wanted) {
        (Data::Broken, _) => true,
        (Data::Null, wanted) => wanted == Some("null"),
        (_, None) => true,
        (Data::Bool(truth), Some(wanted)) => {
            wanted == "boolean" && schema["x-only"].as_bool().is_none_or(|only| only == *truth)
        }
        (Data::Number(number), Some(wanted)) => {
            wanted == "number" || (wanted == "integer" && number.as_i64().is_some())
        }
        (Data::Text(_), Some(wanted)) => wanted == "string",
        (Data::List(_), Some(wanted)) => wanted == "array",
        (Data::Map(_), Some(wanted)) => wanted == "object",
    }
}

fn kind_of(schema: &Value) -> &'static str {
    match (schema["type"].as_str(), schema["x-kind"].as_str()) {
        (_, Some("duration")) => "a length of time",
        (_, Some("time")) => "a time of day",
        (_, Some("hours")) => "a send window",
        (_, Some("expression")) => "an expression",
        (_, Some("secret")) => "the place of a secret",
        (_, Some("size")) => "a size",
        (_, Some("share")) => "a share",
        (_, Some("instant")) => "a date",
        (_, Some("cron")) => "a cron pattern",
        (_, Some("days")) => "a date or a range of dates",
        (_, Some("weekdays")) => "a day of the week",
        (Some("boolean"), _) if schema["x-only"] == true => "true",
        (Some("boolean"), _) => "true or false",
        (Some("integer"), _) => "a whole number",
        (Some("number"), _) => "a number",
        (Some("array"), _) => "a list",
        (Some("object"), _) => "a mapping",
        _ => "a text",
    }
}

fn uncapitalised(text: &str) -> String {
    let text = text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.');
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
