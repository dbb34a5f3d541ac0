//! Names that no sample has.

use super::FileLoad;
use crate::model::Attributes;
use crate::scenario::file::{ElseItem, OneOrMany, SampleItem, ScenarioFile, StepItem};
use crate::scenario::finding::{Finding, Place, nearest};
use crate::scenario::program::MEMBER_NAMES;
use serde_json::Value;

/// Shorter names are too often like others to be told apart from slips.
const SHORTEST_SLIP: usize = 4;

/// A name that an expression or a template uses.
pub(in crate::scenario::load) struct UsedName {
    /// Dotted: `member.plan`.
    pub(in crate::scenario::load) name: String,
    pub(in crate::scenario::load) place: Place,
    /// True in a text that is put into a message, where a missing value shows.
    pub(in crate::scenario::load) is_shown: bool,
}

impl FileLoad<'_, '_> {
    /// Warns of names that no sample has: most likely they are misspelt.
    pub(super) fn doubt_names(&mut self, typed: &ScenarioFile) {
        let Some(OneOrMany(samples)) = &typed.samples else { return };
        let known = Known::of(samples, typed);
        let mut told = Vec::new();
        for used in &self.names {
            if told.contains(&used.name) {
                continue;
            }
            let Some((root, rest)) = used.name.split_once('.') else { continue };
            if known.has(root, rest) {
                continue;
            }
            // what a condition asks for may well be missing, and have a name like another
            let near = match used.is_shown {
                true => nearest(rest, known.names(root)),
                false => known.names(root).find(|name| is_slip_of(rest, name)),
            };
            let Some(help) = (match near {
                Some(near) => Some(format!("did you mean `{root}.{near}`?")),
                None if used.is_shown => {
                    Some(format!("is it spelt right? if so, add it under `{root}` of a sample"))
                }
                None => None,
            }) else {
                continue;
            };
            told.push(used.name.clone());
            let message = format!("no sample has `{}`", used.name);
            self.findings.push(Finding::warning(&used.place, "not-in-samples", message).help(help));
        }
    }
}

/// What samples, and steps that set attributes, give values to.
struct Known {
    member: Vec<Attributes>,
    event: Vec<Attributes>,
}

impl Known {
    fn of(samples: &[SampleItem], typed: &ScenarioFile) -> Known {
        let mut member: Vec<Attributes> =
            samples.iter().filter_map(|sample| sample.member.as_ref()).map(|map| map.0.clone()).collect();
        member.extend(set_attributes(typed.steps.as_deref().unwrap_or_default()));
        let event = samples.iter().filter_map(|sample| sample.event.as_ref()).map(|map| map.0.clone());
        Known { member, event: event.collect() }
    }

    fn has(&self, root: &str, path: &str) -> bool {
        let first = path.split('.').next().unwrap_or(path);
        match root {
            "member" => MEMBER_NAMES.contains(&first) || self.member.iter().any(|map| reaches(map, path)),
            "event" => self.event.iter().any(|map| reaches(map, path)),
            _ => true,
        }
    }

    fn names(&self, root: &str) -> impl Iterator<Item = &str> {
        let maps = if root == "member" { &self.member } else { &self.event };
        let builtin: &[&str] = if root == "member" { &MEMBER_NAMES } else { &[] };
        maps.iter().flat_map(|map| map.keys().map(String::as_str)).chain(builtin.iter().copied())
    }
}

fn set_attributes(steps: &[StepItem]) -> Vec<Attributes> {
    let mut found = Vec::new();
    for step in steps {
        found.extend(step.set.iter().filter_map(|set| set.attributes.as_ref()).map(|map| map.0.clone()));
        let arms = step.branch.iter().flatten().flat_map(|arm| {
            let otherwise = match &arm.otherwise {
                Some(ElseItem::Steps(steps)) => Some(steps),
                _ => None,
            };
            arm.steps.iter().chain(otherwise)
        });
        let shares = step.split.iter().flatten().filter_map(|share| share.steps.as_ref());
        let waits = step.wait_for.iter().flat_map(|wait| wait.steps.iter().chain(&wait.otherwise));
        let beside = step.steps.iter().chain(&step.otherwise);
        for steps in arms.chain(shares).chain(waits).chain(beside) {
            found.extend(set_attributes(steps));
        }
    }
    found
}

/// True if a name is another one with one letter wrong, missing, too much, or two in the wrong order.
fn is_slip_of(name: &str, other: &str) -> bool {
    name.chars().count() >= SHORTEST_SLIP && strsim::damerau_levenshtein(name, other) == 1
}

/// True if a dotted path leads to something, or to a value that has no parts.
fn reaches(map: &Attributes, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (map.get(first), rest) {
        (Some(Value::Object(inner)), Some(rest)) => reaches(inner, rest),
        (found, _) => found.is_some(),
    }
}
