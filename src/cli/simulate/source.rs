//! A scenario file as it is written, for quoting it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_yaml::Value;

use crate::model::StepId;
use crate::scenario::program::Builder;

/// The parts of a file that decisions are explained by.
#[derive(Debug, Default)]
pub(super) struct Source {
    enter: Vec<Written>,
    steps: BTreeMap<String, Written>,
    /// The conditions of the arms of a `branch`, by its step.
    arms: BTreeMap<String, Vec<String>>,
    /// The names that each expression uses.
    names: BTreeMap<String, BTreeSet<String>>,
}

/// Keys whose values are one text, number or truth, as they are written.
pub(super) type Written = BTreeMap<String, String>;

/// Keys whose values are expressions.
const EXPRESSIONS: [&str; 4] = ["when", "where", "segment", "date"];

/// Steps stand at most this deep in each other; the load refuses deeper ones.
const MAX_DEPTH: usize = 64;

impl Source {
    /// Of a file that the load has taken; what cannot be read is left out.
    pub(super) fn read(bytes: &[u8]) -> Source {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let Ok(file) = serde_yaml::from_slice::<Value>(bytes) else { return Source::default() };
        let enter = match file.get("enter") {
            Some(Value::Sequence(rules)) => rules.iter().map(written).collect(),
            Some(rule) => vec![written(rule)],
            None => Vec::new(),
        };
        let mut source = Source { enter, ..Source::default() };
        if let Some(steps) = file.get("steps") {
            source.collect(steps, 0);
        }
        let builder = Builder::new(TimeZone::UTC);
        let written = source.enter.iter().chain(source.steps.values());
        let expressions = written.flat_map(|keys| EXPRESSIONS.iter().filter_map(|key| keys.get(*key)));
        source.names = (expressions.chain(source.arms.values().flatten()))
            .map(|expression| (expression.clone(), builder.names_in_expression(expression)))
            .collect();
        source
    }

    /// The names that an expression of the file uses.
    pub(super) fn names(&self, expression: &str) -> impl Iterator<Item = &str> {
        self.names.get(expression).into_iter().flatten().map(String::as_str)
    }

    fn collect(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Sequence(items) => items.iter().for_each(|item| self.collect(item, depth + 1)),
            Value::Mapping(map) => {
                if let Some(id) = value.get("step").and_then(Value::as_str) {
                    self.steps.insert(id.to_owned(), written(value));
                    let arms = value.get("branch").and_then(Value::as_sequence);
                    let arms =
                        arms.map(|arms| arms.iter().filter_map(|arm| written(arm).remove("when")).collect());
                    self.arms.extend(arms.map(|arms| (id.to_owned(), arms)));
                }
                let nested = map.iter().filter(|(key, _)| key.as_str() != Some("push"));
                nested.for_each(|(_, value)| self.collect(value, depth + 1));
            }
            _ => {}
        }
    }

    /// A rule of `enter`, counted from 0; empty if there is none.
    pub(super) fn enter(&self, number: usize) -> Written {
        self.enter.get(number).cloned().unwrap_or_default()
    }

    pub(super) fn step(&self, id: &StepId) -> Option<&Written> {
        self.steps.get(id.as_str())
    }

    pub(super) fn arms(&self, id: &StepId) -> &[String] {
        self.arms.get(id.as_str()).map_or(&[], Vec::as_slice)
    }
}

fn written(value: &Value) -> Written {
    let Value::Mapping(map) = value else { return Written::new() };
    (map.iter())
        .filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => return None,
            };
            Some((key.as_str()?.to_owned(), value))
        })
        .collect()
}
