//! The messages of a set as they would go out, for whoever wants to ask LINE about them.

use std::collections::HashMap;
use std::sync::Arc;

use super::doubts::step_nodes;
use super::texts::walk;
use super::{FileLoad, sample_names};
use crate::model::StepId;
use crate::scenario::Scenario;
use crate::scenario::file::{OneOrMany, SampleItem, ScenarioFile};
use crate::scenario::finding::Place;
use crate::scenario::message::Key;
use crate::scenario::written;
use crate::scenario::yaml::{Data, Entry, Node};

/// What one step would send.
#[derive(Debug)]
pub struct Draft {
    /// The scenario's file.
    pub file: Arc<str>,
    pub step: StepId,
    /// The JSON list of messages: with the values of each sample, or once if all members get the same. None if
    /// there is no sample to take values from.
    pub rendered: Vec<Rendered>,
    /// What is pushed as written, with included files in their place.
    push: Node,
}

/// Messages with all values put in.
#[derive(Debug)]
pub struct Rendered {
    /// The sample's number from 1; none where no value is needed.
    pub sample: Option<usize>,
    /// A JSON list.
    pub messages: String,
}

impl Draft {
    /// Where a value of the messages is written, which may be in an included file; of one that is not written
    /// there, what it would stand in.
    pub fn place_of(&self, path: &[Key]) -> &Place {
        &walk(&self.push, path, |node| node).place
    }
}

impl FileLoad<'_, '_> {
    /// Keeps the messages of a scenario that is right, if they are wanted.
    pub(super) fn keep_drafts(&mut self, scenario: &Scenario, typed: &ScenarioFile, tree: &Node) {
        if self.drafts.is_none() {
            return;
        }
        let samples: &[SampleItem] = typed.samples.as_ref().map_or(&[], |OneOrMany(samples)| samples);
        let names: Vec<_> = (samples.iter())
            .filter_map(|sample| {
                let anchor = sample.anchor.as_deref().map(|text| written::start_of(text, &scenario.zone));
                sample_names(sample, anchor.transpose().ok()?).ok()
            })
            .collect();
        let mut nodes = HashMap::new();
        step_nodes(tree, &mut nodes);
        let mut drafts = Vec::new();
        for step in &scenario.steps {
            let push = nodes.get(step.id.as_str()).and_then(|node| node.get("push"));
            let (Some(messages), Some(push)) = (step.messages(), push) else { continue };
            let rendered = match messages.as_literal() {
                Some(literal) => vec![Rendered { sample: None, messages: literal.to_owned() }],
                None => (names.iter().enumerate())
                    .filter_map(|(index, names)| {
                        let messages = scenario.program.render(messages, names).ok()?;
                        Some(Rendered { sample: Some(index + 1), messages })
                    })
                    .collect(),
            };
            let push = self.with_includes(push);
            drafts.push(Draft { file: Arc::clone(self.file), step: step.id.clone(), rendered, push });
        }
        if let Some(kept) = &mut self.drafts {
            kept.append(&mut drafts);
        }
    }

    fn with_includes(&self, node: &Node) -> Node {
        let node = self.follow(node);
        let data = match &node.data {
            Data::List(items) => Data::List(items.iter().map(|item| self.with_includes(item)).collect()),
            Data::Map(entries) => Data::Map(
                (entries.iter())
                    .map(|entry| Entry { value: self.with_includes(&entry.value), ..entry.clone() })
                    .collect(),
            ),
            plain => plain.clone(),
        };
        Node { place: node.place.clone(), data }
    }
}
