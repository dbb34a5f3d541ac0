//! Files that messages include.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{FileLoad, bound};
use crate::scenario::finding::{Finding, Place};
use crate::scenario::message::FILE_KEY;
use crate::scenario::source::{Content, Sources, include_name};
use crate::scenario::yaml::{self, Data, Node};

/// Included files, each read once however many scenarios name it.
pub(super) struct Includes<'a> {
    pub(super) sources: &'a Sources,
    pub(super) read: HashMap<String, Option<Arc<Included>>>,
    pub(super) findings: Vec<Finding>,
}

pub(super) struct Included {
    pub(super) tree: Node,
    pub(super) value: Value,
}

impl Includes<'_> {
    /// The file of this name; none if it is refused, with a finding at `place` or in the file itself.
    pub(super) fn get(&mut self, name: &str, place: &Place) -> Option<Arc<Included>> {
        match self.sources.get(name) {
            None => {
                let message = format!("no file `{name}`");
                self.findings.push(Finding::error(place, "include", message));
                None
            }
            Some(Content::Refused(refusal)) => {
                let message = format!("cannot include `{name}`: {}", refusal.message);
                self.findings.push(Finding::error(place, refusal.code, message));
                None
            }
            Some(Content::Bytes(bytes)) => {
                if let Some(read) = self.read.get(name) {
                    return read.clone();
                }
                let file: Arc<str> = name.into();
                let mut findings = Vec::new();
                let tree = yaml::parse_json(&file, bytes, &mut findings);
                if let Some(tree) = &tree {
                    refuse_nested(tree, &mut findings);
                }
                bound(&mut findings, &file);
                let sound = findings.is_empty();
                self.findings.append(&mut findings);
                let included = tree.filter(|_| sound).map(|tree| {
                    let value = tree.to_json();
                    Arc::new(Included { tree, value })
                });
                self.read.insert(name.to_owned(), included.clone());
                included
            }
        }
    }

    pub(super) fn read_already(&self, name: &str) -> Option<&Included> {
        self.read.get(name)?.as_deref()
    }
}

impl FileLoad<'_, '_> {
    /// Reads every file that a push includes, and says which cannot be.
    pub(super) fn includes(&mut self, node: &Node) {
        if let Some(entry) = node.entry(FILE_KEY) {
            let place = &entry.value.place;
            if let Some(other) = node.entries().iter().find(|other| other.key != FILE_KEY) {
                let message = format!("`{}` cannot stand beside `{FILE_KEY}`", other.key);
                self.findings.push(
                    Finding::error(&other.place, "include", message)
                        .help("the file takes the whole mapping's place"),
                );
            }
            match entry.value.as_text() {
                None => {
                    let message = format!("`{FILE_KEY}` must be a path, not {}", entry.value.kind());
                    self.findings.push(Finding::error(place, "include", message));
                }
                Some(path) => match include_name(self.file, path) {
                    Err(message) => {
                        self.findings.push(Finding::error(place, "include", message).help(
                            "an included file lies in the folder of the scenario or below: flex/coupon.json",
                        ));
                    }
                    Ok(name) => {
                        self.includes.get(&name, place);
                    }
                },
            }
            return;
        }
        for entry in node.entries() {
            self.includes(&entry.value);
        }
        if let Data::List(items) = &node.data {
            items.iter().for_each(|item| self.includes(item));
        }
    }
}

/// One level of inclusion keeps what is sent readable in two files.
fn refuse_nested(node: &Node, findings: &mut Vec<Finding>) {
    for entry in node.entries() {
        if entry.key == FILE_KEY {
            let message = "an included file cannot include another";
            findings.push(Finding::error(&entry.place, "include", message));
        }
        refuse_nested(&entry.value, findings);
    }
    if let Data::List(items) = &node.data {
        items.iter().for_each(|item| refuse_nested(item, findings));
    }
}
