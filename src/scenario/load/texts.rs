//! Texts that are evaluated or rendered, and where their names have values.

use std::ops::Range;

use serde_json::Value;

use super::doubts::UsedName;
use super::{FileLoad, LINE_EVENTS};
use crate::model::EventName;
use crate::scenario::file::ExpressionText;
use crate::scenario::finding::{Finding, did_you_mean};
use crate::scenario::message::{FILE_KEY, Key};
use crate::scenario::program::{Condition, Document, Expression, ROOTS, SyntaxError, is_template};
use crate::scenario::source::include_name;
use crate::scenario::yaml::{Data, Node};

/// Words that minijinja takes for names where it expects a value.
const KEYWORDS: [&str; 7] = ["and", "or", "not", "is", "in", "if", "else"];

/// Where an expression or a template stands, which decides the names that have values there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Where no event is at hand: only the member.
    Member,
    /// Before there is a run.
    Entry,
    /// At entry, and again when an update comes.
    Anchor,
    /// While it runs.
    Run,
    /// While it runs, and another event has come than the one that began it.
    Listening,
}

/// The node that a way through expanded messages leads to, or the last one on it; `follow` gives the file that a
/// mapping stands for.
pub(super) fn walk<'t>(push: &'t Node, path: &[Key], follow: impl Fn(&'t Node) -> &'t Node) -> &'t Node {
    let mut node = follow(push);
    for (depth, key) in path.iter().enumerate() {
        let next = match (key, &node.data) {
            (Key::Index(index), Data::List(items)) => items.get(*index),
            // a push of one message stands for a list of it
            (Key::Index(0), _) if depth == 0 => Some(node),
            (Key::Name(name), Data::Map(_)) => node.get(name),
            _ => None,
        };
        match next {
            Some(next) => node = follow(next),
            None => break,
        }
    }
    node
}

/// Whether a value is put into a text or only asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    InMessage,
    Nowhere,
}

impl FileLoad<'_, '_> {
    /// A mapping whose texts may be templates.
    pub(super) fn document(&mut self, map: &serde_json::Map<String, Value>, node: &Node) -> Option<Document> {
        let before = self.error_count();
        let value = Value::Object(map.clone());
        self.templates(&value, node);
        if self.error_count() > before {
            return None;
        }
        match self.builder.document(&value) {
            Ok(document) => Some(document),
            Err(error) => {
                self.findings.push(Finding::error(&node.place, "template", error.message));
                None
            }
        }
    }

    /// Checks every text of a value that has anything to render. `written` is where the value stands.
    pub(super) fn templates(&mut self, value: &Value, written: &Node) {
        let mut texts = Vec::new();
        collect_templates(value, &mut Vec::new(), &mut texts);
        for (path, source) in texts {
            let node = self.locate(written, &path).clone();
            match self.builder.check_template(source) {
                Err(error) => self.syntax_error(&error, source, &node, "template"),
                Ok(()) => {
                    self.doubt_date_formats(source, &node);
                    let names = self.builder.names_in_template(source);
                    self.check_names(names, source, &node, Where::Run, Shown::InMessage);
                }
            }
        }
    }

    /// Warns of formats of dates in another notation, which members would read as they stand.
    fn doubt_date_formats(&mut self, source: &str, node: &Node) {
        for (at, _) in source.match_indices("date(") {
            let rest = &source[at + "date(".len()..];
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
            let Some(format) = rest[1..].split(quote).next() else { continue };
            if !format.contains('%') {
                let start = at + "date(".len();
                let place = node.place_in(start..start + format.len() + 2);
                let message =
                    format!("the format `{format}` has no `%`, so every date comes out as these letters");
                let help = "write %Y for the year, %-m for the month, %-d for the day, %-H:%M for the time";
                self.findings.push(Finding::warning(&place, "date-format", message).help(help));
            }
        }
    }

    /// The node that a value of the expanded messages comes from, which may be in an included file.
    pub(super) fn locate<'t>(&'t self, push: &'t Node, path: &[Key]) -> &'t Node {
        walk(push, path, |node| self.follow(node))
    }

    pub(super) fn follow<'t>(&'t self, node: &'t Node) -> &'t Node {
        let included = (node.get(FILE_KEY).and_then(Node::as_text))
            .and_then(|path| include_name(self.file, path).ok())
            .and_then(|name| self.includes.read_already(&name));
        included.map_or(node, |included| &included.tree)
    }

    pub(super) fn event(&mut self, name: Option<&str>, node: &Node) -> Option<EventName> {
        let name = name?;
        let place = node.place_of("on");
        match EventName::new(name) {
            Err(error) => {
                self.findings.push(Finding::error(place, "invalid-event", error.to_string()));
                None
            }
            Ok(event) if event.is_reserved() && !LINE_EVENTS.contains(&name) => {
                let message =
                    format!("LINE gives no event `{name}`, and names that start with `line.` are its own");
                let help = did_you_mean(name, LINE_EVENTS)
                    .unwrap_or_else(|| format!("one of: {}", LINE_EVENTS.join(", ")));
                self.findings.push(Finding::error(place, "invalid-event", message).help(help));
                None
            }
            Ok(event) => Some(event),
        }
    }

    pub(super) fn condition(
        &mut self,
        text: Option<&ExpressionText>,
        node: &Node,
        key: &str,
        place: Where,
    ) -> Option<Condition> {
        let (source, node) = (&text?.0, node.get(key)?);
        match self.builder.condition(source) {
            Ok(condition) => {
                self.doubt_comparisons(source, node);
                let names = self.builder.names_in_expression(source);
                self.check_names(names, source, node, place, Shown::Nowhere);
                Some(condition)
            }
            Err(error) => {
                self.syntax_error(&error, source, node, "expression");
                None
            }
        }
    }

    /// Warns of comparisons of what cannot be compared.
    fn doubt_comparisons(&mut self, source: &str, node: &Node) {
        for (range, number) in texts_compared_by_size(source) {
            let message =
                format!("{} is a text, and every text is greater than every number", &source[range.clone()]);
            let help = format!("write {} without quotes", number.replace(',', ""));
            self.findings.push(Finding::warning(&node.place_in(range), "comparison", message).help(help));
        }
        for (at, name) in source.match_indices("member.tags") {
            let rest = source[at + name.len()..].trim_start();
            if rest.starts_with("==") || rest.starts_with("!=") {
                let place = node.place_in(word_at(at, name));
                let message = "`member.tags` is a list, which is never equal to a text";
                let help = "write \"vip\" in member.tags";
                self.findings.push(Finding::warning(&place, "comparison", message).help(help));
            }
        }
    }

    pub(super) fn expression(
        &mut self,
        text: Option<&ExpressionText>,
        node: &Node,
        key: &str,
        place: Where,
    ) -> Option<Expression> {
        let (source, node) = (&text?.0, node.get(key)?);
        match self.builder.expression(source) {
            Ok(expression) => {
                let names = self.builder.names_in_expression(source);
                self.check_names(names, source, node, place, Shown::Nowhere);
                Some(expression)
            }
            Err(error) => {
                self.syntax_error(&error, source, node, "expression");
                None
            }
        }
    }

    fn syntax_error(&mut self, error: &SyntaxError, source: &str, node: &Node, what: &str) {
        let bytes = match (&error.range, error.line) {
            (Some(range), _) => range.clone(),
            (None, Some(line)) => {
                let mut lines = source.split_inclusive('\n');
                let start = lines.by_ref().take(line.saturating_sub(1)).map(str::len).sum();
                start..start + lines.next().unwrap_or_default().trim_end().len()
            }
            (None, None) => 0..source.len(),
        };
        let help = match error.message.contains("unexpected end of string") {
            true => Some(
                "is a quote not closed? inside { … } an expression with a comma needs quotes around it: '…'"
                    .into(),
            ),
            false => error.help.clone().or_else(|| syntax_help(source, bytes.start, what)),
        };
        let place = node.place_in(bytes);
        let message = format!("the {what} does not compile: {}", error.message);
        self.findings.push(Finding::error(&place, "template", message).help_if(help));
    }

    /// Names must start from something that has a value where the text stands.
    fn check_names(
        &mut self,
        names: impl IntoIterator<Item = String>,
        source: &str,
        node: &Node,
        stands: Where,
        shown: Shown,
    ) {
        let names: Vec<String> = names.into_iter().collect();
        if self.compares_names {
            let is_shown = shown == Shown::InMessage;
            // the samples' event is the one that began the run
            let is_of_sample = |name: &&String| stands != Where::Listening || !name.starts_with("event.");
            self.names.extend(names.iter().filter(is_of_sample).map(|name| {
                let place = node.place_in(word_at(find_word(source, name), name));
                UsedName { name: name.clone(), place, is_shown }
            }));
        }
        let here: &[&str] = match stands {
            Where::Member => &["member", "now"],
            Where::Entry => &["member", "event", "now"],
            Where::Anchor => &["member", "event", "now"],
            Where::Run | Where::Listening => &ROOTS,
        };
        let mut roots: Vec<String> =
            names.iter().map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            if here.contains(&root.as_str()) || self.builder.is_global(&root) {
                continue;
            }
            if KEYWORDS.contains(&root.as_str()) {
                let place = node.place_in(word_at(source.rfind(&root).unwrap_or(0), &root));
                let message = format!("`{root}` stands where a value should");
                self.findings.push(Finding::error(&place, "template", message));
                continue;
            }
            let place = node.place_in(word_at(find_word(source, &root), &root));
            let finding = if ROOTS.contains(&root.as_str()) {
                Finding::error(&place, "names", format!("`{root}` has no value here")).help(match stands {
                    Where::Member => format!("no event is at hand; use {}", here.join(", ")),
                    _ => format!("there is no run yet; use {}", here.join(", ")),
                })
            } else {
                let help = did_you_mean(&root, here.iter().copied()).unwrap_or_else(|| match stands {
                    Where::Member => format!("write `member.{root}`"),
                    _ => format!("write `member.{root}` or `event.{root}`"),
                });
                Finding::error(&place, "names", format!("there is no `{root}`")).help(help)
            };
            self.findings.push(finding);
        }
    }
}

/// What was most likely meant by a text that does not compile.
fn syntax_help(source: &str, offset: usize, what: &str) -> Option<String> {
    if what == "expression" && (source.contains("{{") || source.contains("{%")) {
        return Some("an expression is written without {{ }}".into());
    }
    let rest = source.get(offset..).unwrap_or_default();
    let before = source.get(..offset).unwrap_or_default().trim_end();
    if what == "template" && rest.starts_with('}') && !rest.starts_with("}}") {
        return Some("what begins with `{{` ends with `}}`".into());
    }
    if rest.starts_with(['“', '”', '‘', '’', '＂', '＇', '「', '」']) {
        return Some("a text stands in straight quotes: \"gold\"".into());
    }
    if rest.starts_with(|c| matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{3000}')) {
        return Some("write signs, letters and digits in half width".into());
    }
    let other_words =
        [("&&", "and"), ("||", "or"), ("!", "not"), ("contains", "in"), ("includes", "in"), ("<>", "!=")];
    for (word, ours) in other_words {
        let stands_here = rest.starts_with(word) && !rest.starts_with("!=");
        if stands_here && ours == "in" {
            return Some("write it the other way round: \"vip\" in member.tags".into());
        }
        if stands_here {
            return Some(format!("write `{ours}` for `{word}`"));
        }
    }
    if rest.starts_with("=>") || rest.starts_with("=<") {
        return Some(format!("write `{}=`", &rest[1..2]));
    }
    if rest.starts_with('=') && before.ends_with(['>', '<', '!']) {
        return Some(format!("write `{}=`, without a space", &before[before.len() - 1..]));
    }
    if rest.starts_with('|') && before.ends_with('|') {
        return Some("write `or` for `||`".into());
    }
    if before.ends_with("=") && (rest.starts_with('>') || rest.starts_with('<')) {
        return Some(format!("write `{}=`", &rest[..1]));
    }
    if rest.starts_with(|c: char| !c.is_ascii()) {
        return Some(match what {
            "template" => {
                "is a `}}` missing in front of it? a name in another script is written event[\"…\"]".into()
            }
            _ => "a name in another script is written event[\"…\"], a text in quotes".into(),
        });
    }
    let assigns = rest.starts_with('=') || source[..offset.min(source.len())].trim_end().ends_with('=');
    if what == "expression" && assigns {
        return Some("two values are compared with `==`".into());
    }
    None
}

fn collect_templates<'a>(value: &'a Value, path: &mut Vec<Key>, found: &mut Vec<(Vec<Key>, &'a str)>) {
    match value {
        Value::String(text) if is_template(text) => found.push((path.clone(), text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Key::Index(index));
                collect_templates(item, path, found);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (name, item) in map {
                path.push(Key::Name(name.clone()));
                collect_templates(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Quoted numbers behind `<`, `>`, `<=` and `>=`, quotes included, and the number in each.
fn texts_compared_by_size(source: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut behind_sign = false;
    let mut chars = source.char_indices();
    while let Some((start, c)) = chars.next() {
        match c {
            '<' | '>' => behind_sign = true,
            '=' | ' ' | '\n' => {}
            '"' | '\'' => {
                let inside = &source[start + 1..];
                let Some(length) = inside.find(c) else { return found };
                let number = &inside[..length];
                let is_number = number.starts_with(|c: char| c.is_ascii_digit())
                    && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.'));
                if behind_sign && is_number {
                    found.push((start..start + length + 2, number));
                }
                behind_sign = false;
                chars.by_ref().take_while(|(at, _)| *at < start + 1 + length).for_each(drop);
            }
            _ => behind_sign = false,
        }
    }
    found
}

fn word_at(start: usize, word: &str) -> Range<usize> {
    start..start + word.len()
}

/// Where a name is first used: not as part of a longer word, after a dot, or within a quoted text.
fn find_word(source: &str, word: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let free = source.match_indices(word).find(|(index, _)| {
        let before = &source[..*index];
        let after = &source[index + word.len()..];
        let quoted =
            ['"', '\''].iter().any(|quote| before.matches(*quote).count() % 2 == 1 && after.contains(*quote));
        !before.ends_with(|c: char| is_part(c) || c == '.') && !after.starts_with(is_part) && !quoted
    });
    free.map_or(0, |(index, _)| index)
}
