//! YAML and JSON texts as trees whose every value knows its place.
//!
//! The tree takes what a file written by hand needs and refuses the rest of YAML by name: anchors and
//! aliases (so no file can be larger than it looks), tags, keys that are not texts, keys given twice,
//! more than one document. Scalars mean what `serde_yaml` makes of them.

use std::collections::HashMap;
use std::ops::Range;
use std::str::Chars;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::scenario::finding::{Finding, Place};

/// How deep lists and mappings may be nested. A flex message seldom passes twenty; `serde_yaml` and
/// `serde_json` stop at 128.
pub const MAX_DEPTH: usize = 64;

/// A value and where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub enum Data {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Reported already; nothing more is to be said about it.
    Broken,
}

/// A key of a mapping with its value. Keys are unique in their mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

/// A text value, with what is needed to find its characters in the file again.
#[derive(Clone, Debug)]
pub struct Text {
    pub value: String,
    style: Style,
    source: Arc<str>,
    /// Where it starts in `source`, quote included, in bytes.
    start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Of a mapping; of anything else, none.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; anything else is a list of itself.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    /// The place of the value under a key; of the node itself if there is none.
    pub fn place_of(&self, key: &str) -> &Place {
        self.get(key).map_or(&self.place, |node| &node.place)
    }

    /// The place of some bytes of a text, as far as it can be told: in a folded text, and past the first
    /// line of a quoted or plain one, it is the whole text's.
    pub fn place_in(&self, bytes: Range<usize>) -> Place {
        let Data::Text(text) = &self.data else { return self.place.clone() };
        let Some((line, column)) = text.position(bytes.start, &self.place) else { return self.place.clone() };
        let width = match text.position(bytes.end, &self.place) {
            Some((end_line, end)) if end_line == line => end.saturating_sub(column),
            _ => 0,
        };
        Place { file: Arc::clone(&self.place.file), line, column, width }
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
            Data::Broken => "an error",
        }
    }

    /// The plain value, without its places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.data {
            Data::Null | Data::Broken => Json::Null,
            Data::Bool(truth) => Json::Bool(*truth),
            Data::Number(number) => Json::Number(number.clone()),
            Data::Text(text) => Json::String(text.value.clone()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            Data::Map(entries) => (entries.iter())
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// Reads a file's one YAML document; none if there is no tree to go on with.
///
/// What is refused in part of the tree leaves [`Data::Broken`] there, so that the rest can be checked.
pub fn parse(file: &Arc<str>, bytes: &[u8], findings: &mut Vec<Finding>) -> Option<Node> {
    let text = decode(file, bytes, findings)?;
    let mut reader = Reader {
        file,
        lines: line_starts(text.as_bytes()),
        source: text.as_str().into(),
        mark: (0, 0, 0),
        stack: Vec::new(),
        root: None,
        findings,
    };
    for event in Parser::new_from_str(&text) {
        match event {
            Ok((event, span)) => reader.take(event, span)?,
            Err(error) => {
                let place = place_at(file, &text, error.marker().line(), error.marker().col());
                if error.info() == "recursion limit exceeded" {
                    reader.too_deep(&place);
                    return None;
                }
                let line = |number: usize| text.lines().nth(number - 1).unwrap_or_default();
                // what is wrong with a line is often found at the next
                let above =
                    (2..=place.line).rev().map(|number| line(number - 1)).find(|l| !l.trim().is_empty());
                let help = syntax_help(error.info(), line(place.line)).or_else(|| {
                    above.filter(|l| l.contains('：')).and_then(|l| syntax_help(error.info(), l))
                });
                reader.error(&place, "syntax", error.info()).help = help;
                return None;
            }
        }
    }
    match reader.root.take() {
        Some(Node { data: Data::Null, place }) => {
            findings.push(Finding::error(&place, "empty-file", "the file is empty"));
            None
        }
        None => {
            findings.push(Finding::error(&Place::start_of(file), "empty-file", "the file is empty"));
            None
        }
        root => root,
    }
}

/// The text of a file without the mark that some editors put in front.
pub fn decode(file: &Arc<str>, bytes: &[u8], findings: &mut Vec<Finding>) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let before = before.strip_prefix('\u{feff}').unwrap_or(before);
            let starts = line_starts(before.as_bytes());
            let column = before[starts[starts.len() - 1]..].chars().count() + 1;
            let place = Place { file: Arc::clone(file), line: starts.len(), column, width: 0 };
            findings.push(
                Finding::error(&place, "not-utf8", "the file is not UTF-8 text")
                    .help("save it as UTF-8 in the editor"),
            );
            None
        }
    }
}

/// saphyr counts lines from 1, columns from 0; a mark at the very end may lie past the last line.
fn place_at(file: &Arc<str>, text: &str, line: usize, column: usize) -> Place {
    let starts = line_starts(text.as_bytes());
    // what stands behind the last line break is a line only if there is anything
    let last = starts.iter().filter(|start| **start < text.len()).count().max(1);
    if line > last {
        let end = text[starts[last - 1]..].trim_end_matches(['\r', '\n']).chars().count();
        return Place { file: Arc::clone(file), line: last, column: end + 1, width: 0 };
    }
    Place { file: Arc::clone(file), line: line.max(1), column: column + 1, width: 0 }
}

fn syntax_help(message: &str, line: &str) -> Option<String> {
    if let Some((key, _)) = line.split_once('：').filter(|(key, _)| is_key(key)) {
        let key = key.trim();
        return Some(format!("`：` is a full-width colon; write `{key}: ` with a plain one and a space"));
    }
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start();
    if value.trim_start_matches("- ").starts_with("{{") || value.trim_start_matches("- ").starts_with("{%") {
        return Some("a text that starts with `{` needs quotes: \"{{ member.name }}…\"".into());
    }
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("indent with spaces, not tabs".into());
    }
    if value.starts_with(['"', '\'']) {
        return Some("is the quoted text closed?".into());
    }
    if value.contains(": ") {
        return Some("a text with `: ` in it needs quotes".into());
    }
    if message.contains("block") {
        return Some("keys of one mapping start in one column; check the indentation here and above".into());
    }
    None
}

/// True for what stands in front of a colon as a key of ours does.
fn is_key(text: &str) -> bool {
    let key = text.trim().trim_start_matches("- ");
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The start of the character that a byte belongs to; the end of the text for what lies beyond.
fn floor_char_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// Where lines start, as YAML counts them: a lone carriage return ends one as well.
pub(super) fn line_starts(text: &[u8]) -> Vec<usize> {
    let ends_a_line = |at: usize| match text[at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    std::iter::once(0).chain((0..text.len()).filter(|at| ends_a_line(*at)).map(|at| at + 1)).collect()
}

/// How many characters of a text's first line stand from a column on, which is from 1, without blanks at the
/// end.
fn rest_of_line(text: &str, column: usize) -> usize {
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    line.trim_end().chars().count().saturating_sub(column - 1)
}

/// How many characters a quoted text takes on its first line, quotes included. The parser counts what
/// follows on the line as well.
fn quoted_width(text: &str) -> usize {
    let mut chars = text.chars();
    let quote = chars.next();
    let mut width = 1;
    while let Some(c) = chars.next().filter(|c| !matches!(c, '\n' | '\r')) {
        width += 1;
        let escapes = quote == Some('"') && c == '\\'
            || Some(c) == quote && quote == Some('\'') && chars.as_str().starts_with('\'');
        if escapes {
            width += usize::from(chars.next().is_some());
        } else if Some(c) == quote {
            break;
        }
    }
    width
}

/// Builds the tree from the parser's events, without recursion.
struct Reader<'a> {
    file: &'a Arc<str>,
    source: Arc<str>,
    /// Byte offsets of the lines in `source`.
    lines: Vec<usize>,
    /// The last place asked for: line, column, byte.
    mark: (usize, usize, usize),
    stack: Vec<Open>,
    root: Option<Node>,
    findings: &'a mut Vec<Finding>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    place: Place,
    /// False in block style.
    in_brackets: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// `seen` has the line of each key; `broken` once there was a key that shows that no mapping was meant.
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, usize>,
        key: Option<Key>,
        broken: bool,
    },
}

/// A key whose value has not come yet; a broken or repeated one takes its value along.
struct Key {
    place: Place,
    name: Option<String>,
}

impl Reader<'_> {
    /// None ends the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let mut place = self.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    self.error(&place, "several-documents", "the file has more than one YAML document")
                        .help = Some("put each scenario into its own file".into());
                    return None;
                }
            }
            Event::Alias(_) => {
                self.error(&place, "alias", "aliases (`*name`) are not taken").help =
                    Some("write the value out".into());
                self.put(Node { place, data: Data::Broken });
            }
            Event::Scalar(value, style, anchor, tag) => {
                self.refuse_extras(&place, anchor, tag.is_some());
                let start = self.byte_at(span.start.line().saturating_sub(1), span.start.col());
                if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
                    place.width = quoted_width(&self.source[start..]);
                }
                let data = self.scalar(&value, style, start, &place);
                self.put(Node { place, data });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(&place, anchor, tag.is_some());
                self.open(place, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(&place, anchor, tag.is_some());
                self.open(
                    place,
                    Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None, broken: false },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let mut open = self.stack.pop().expect("the parser ends only what it started");
                // one in block style ends where the next thing starts; one in brackets is one thing
                open.place.width = match open.in_brackets && span.start.line() == open.place.line {
                    true => (span.start.col() + 2).saturating_sub(open.place.column),
                    false => self.rest_of_line(open.place.line, open.place.column),
                };
                let data = match open.content {
                    Content::List(items) => Data::List(items),
                    Content::Map { broken: true, .. } => Data::Broken,
                    Content::Map { entries, .. } => Data::Map(entries),
                };
                self.put(Node { place: open.place, data });
            }
        }
        Some(())
    }

    fn open(&mut self, place: Place, content: Content) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(&place);
            return None;
        }
        let in_brackets = place.width > 0;
        self.stack.push(Open { place, in_brackets, content });
        Some(())
    }

    fn too_deep(&mut self, place: &Place) {
        self.error(place, "too-deep", format!("nested more than {MAX_DEPTH} deep"));
    }

    fn put(&mut self, node: Node) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, seen, key, broken } => match key.take() {
                None => {
                    *broken |= matches!(node.data, Data::Map(_) | Data::List(_) | Data::Broken);
                    *key = Some(new_key(node, seen, self.findings));
                }
                Some(Key { name: Some(name), place }) => {
                    entries.push(Entry { key: name, place, value: node });
                }
                Some(Key { name: None, .. }) => {}
            },
        }
    }

    fn refuse_extras(&mut self, place: &Place, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.error(place, "alias", "anchors (`&name`) are not taken").help =
                Some("write the value out where it is needed".into());
        }
        if tagged {
            self.error(place, "tag", "tags (`!name`) are not taken").help =
                Some("leave it out; a text that starts with `!` needs quotes".into());
        }
    }

    /// Quoted scalars are texts; plain ones are what `serde_yaml` makes of them.
    fn scalar(&mut self, value: &str, style: ScalarStyle, start: usize, place: &Place) -> Data {
        if style == ScalarStyle::Plain {
            match value {
                "" | "null" | "Null" | "NULL" | "~" => return Data::Null,
                "true" | "True" | "TRUE" => return Data::Bool(true),
                "false" | "False" | "FALSE" => return Data::Bool(false),
                _ => {}
            }
            match number(value) {
                Some(Some(number)) => return Data::Number(number),
                Some(None) => {
                    let message = format!("`{value}` is not a number that can be used here");
                    self.error(place, "wrong-type", message).help =
                        Some("put it in quotes if a text is meant".into());
                    return Data::Broken;
                }
                None => {}
            }
        }
        Data::Text(Text {
            value: value.to_owned(),
            style: match style {
                ScalarStyle::Plain => Style::Plain,
                ScalarStyle::SingleQuoted => Style::SingleQuoted,
                ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                ScalarStyle::Literal => Style::Literal,
                ScalarStyle::Folded => Style::Folded,
            },
            source: Arc::clone(&self.source),
            start,
        })
    }

    /// The byte at a line and a column, both from 0. Goes on from the last one asked for where it can, since
    /// a file may be one long line.
    fn byte_at(&mut self, line: usize, column: usize) -> usize {
        let line_start = self.lines.get(line).copied().unwrap_or(0);
        let (known_column, known_byte) = match self.mark {
            (known, column_before, byte) if known == line && column_before <= column => (column_before, byte),
            _ => (0, line_start),
        };
        let further: usize =
            self.source[known_byte..].chars().take(column - known_column).map(char::len_utf8).sum();
        self.mark = (line, column, known_byte + further);
        known_byte + further
    }

    /// Of a list or a mapping in block style the span is where it starts, and nothing more.
    fn place(&self, span: Span) -> Place {
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        let width = match span.end.line() == span.start.line() {
            true => span.end.col().saturating_sub(span.start.col()),
            false => self.rest_of_line(line, column),
        };
        Place { file: Arc::clone(self.file), line, column, width }
    }

    /// How many characters stand in a line from a column on, both from 1, without blanks at the end.
    fn rest_of_line(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line - 1).copied().unwrap_or(self.source.len());
        rest_of_line(&self.source[start..], column)
    }

    fn error(&mut self, place: &Place, code: &'static str, message: impl Into<String>) -> &mut Finding {
        self.findings.push(Finding::error(place, code, message));
        self.findings.last_mut().expect("it was pushed above")
    }
}

fn new_key(node: Node, seen: &mut HashMap<String, usize>, findings: &mut Vec<Finding>) -> Key {
    let Node { place, data } = node;
    let name = match data {
        Data::Text(text) if text.style == Style::Plain && text.value.starts_with('\u{3000}') => {
            findings.push(
                Finding::error(
                    &place,
                    "syntax",
                    "the line begins with a full-width space, which is no indentation",
                )
                .help("indent with plain spaces"),
            );
            None
        }
        Data::Text(text) => match seen.get(&text.value) {
            None => {
                seen.insert(text.value.clone(), place.line);
                Some(text.value)
            }
            Some(first) => {
                let message = format!("key `{}` is given twice", text.value);
                let help = format!("it stands in line {first} already");
                findings.push(Finding::error(&place, "duplicate-key", message).help(help));
                None
            }
        },
        Data::Broken => None,
        Data::Map(_) | Data::List(_) => {
            findings.push(
                Finding::error(&place, "wrong-type", "a key must be a text")
                    .help("a text that starts with `{` or `[` needs quotes: \"{{ member.name }}…\""),
            );
            None
        }
        Data::Null | Data::Bool(_) | Data::Number(_) => {
            findings
                .push(Finding::error(&place, "wrong-type", "a key must be a text").help("put it in quotes"));
            None
        }
    };
    Key { place, name }
}

/// What `serde_yaml` reads as a number; `Some(None)` for one that JSON cannot hold.
fn number(text: &str) -> Option<Option<serde_json::Number>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    let radix = match unsigned.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let digits = if radix == 10 { unsigned } else { &unsigned[2..] };
    // a leading zero makes a text, so that a telephone number stays what it is
    let zero_led = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if zero_led && digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.starts_with(|c: char| c.is_ascii_hexdigit())
        && let Ok(whole) = i128::from_str_radix(digits, radix)
    {
        let whole = if negative { -whole } else { whole };
        return Some(
            u64::try_from(whole).map(Into::into).or_else(|_| i64::try_from(whole).map(Into::into)).ok(),
        );
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    if unsigned.starts_with(['+', '-']) || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
    Some(serde_json::Number::from_f64(float))
}

impl Text {
    /// Line and column of a byte, where they can be told.
    fn position(&self, offset: usize, start: &Place) -> Option<(usize, usize)> {
        let offset = floor_char_boundary(&self.value, offset);
        match self.style {
            Style::Plain | Style::SingleQuoted | Style::DoubleQuoted => {
                Some((start.line, self.column_on_first_line(offset, start)?))
            }
            Style::Literal => Some(self.position_in_block(offset, start)),
            Style::Folded => None,
        }
    }

    /// Walks the characters in the file beside those of the value.
    fn column_on_first_line(&self, offset: usize, start: &Place) -> Option<usize> {
        let mut raw = self.source[self.start..].chars();
        let mut column = start.column;
        if self.style != Style::Plain {
            raw.next();
            column += 1;
        }
        for expected in self.value[..offset].chars() {
            column += self.width_of(expected, &mut raw)?;
        }
        Some(column)
    }

    /// How many characters in the file one character of the value takes; none past the line's end.
    fn width_of(&self, expected: char, raw: &mut Chars<'_>) -> Option<usize> {
        let first = raw.next().filter(|c| *c != '\n' && *c != '\r')?;
        match (self.style, first) {
            (Style::SingleQuoted, '\'') => raw.next().map(|_| 2),
            (Style::DoubleQuoted, '\\') => {
                let digits = match raw.next()? {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    '\n' | '\r' => return None,
                    _ => 0,
                };
                let mut width = 2 + digits;
                skip(raw, digits);
                // JSON writes a character beyond U+FFFF as two escapes
                if digits == 4 && expected > '\u{ffff}' && raw.as_str().starts_with("\\u") {
                    skip(raw, 6);
                    width += 6;
                }
                Some(width)
            }
            _ => Some(1),
        }
    }

    /// saphyr starts a block at its first line that is not blank, after the indentation.
    fn position_in_block(&self, offset: usize, start: &Place) -> (usize, usize) {
        let before = &self.value[..offset];
        let blank = self.value.len() - self.value.trim_start_matches('\n').len();
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        let line = (start.line + before.matches('\n').count()).saturating_sub(blank).max(1);
        (line, start.column + before[line_start..].chars().count())
    }
}

fn skip(raw: &mut Chars<'_>, count: usize) {
    for _ in 0..count {
        raw.next();
    }
}

/// Reads a JSON file; none if it is not JSON.
pub fn parse_json(file: &Arc<str>, bytes: &[u8], findings: &mut Vec<Finding>) -> Option<Node> {
    let text = decode(file, bytes, findings)?;
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        // serde_json counts bytes
        let until = floor_char_boundary(line, error.column().saturating_sub(1));
        let place = Place {
            file: Arc::clone(file),
            line: error.line().max(1),
            column: line[..until].chars().count() + 1,
            width: 0,
        };
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        findings.push(Finding::error(&place, "json", format!("not JSON: {message}")));
        return None;
    }
    let source: Arc<str> = text.as_str().into();
    let mut scan = JsonScan { file, source: &source, rest: &text, line: 1, column: 1, findings };
    scan.value()
}

/// Finds the places in a text that is known to be JSON, nested no deeper than `serde_json` allows.
struct JsonScan<'a> {
    file: &'a Arc<str>,
    source: &'a Arc<str>,
    rest: &'a str,
    line: usize,
    column: usize,
    findings: &'a mut Vec<Finding>,
}

impl<'a> JsonScan<'a> {
    fn value(&mut self) -> Option<Node> {
        self.space();
        let mut place = self.place();
        let rest = self.rest;
        let data = match self.rest.chars().next()? {
            '{' => self.map()?,
            '[' => self.list()?,
            '"' => Data::Text(self.text()?),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
                match serde_json::from_str(self.advance(end)).ok()? {
                    serde_json::Value::Bool(truth) => Data::Bool(truth),
                    serde_json::Value::Number(number) => Data::Number(number),
                    _ => Data::Null,
                }
            }
        };
        place.width = match self.line == place.line {
            true => self.column - place.column,
            false => rest_of_line(rest, 1),
        };
        Some(Node { place, data })
    }

    fn list(&mut self) -> Option<Data> {
        let mut items = Vec::new();
        self.advance(1);
        loop {
            self.space();
            match self.rest.chars().next()? {
                ']' => break,
                ',' => {
                    self.advance(1);
                }
                _ => items.push(self.value()?),
            }
        }
        self.advance(1);
        Some(Data::List(items))
    }

    fn map(&mut self) -> Option<Data> {
        let mut entries = Vec::new();
        let mut seen = HashMap::new();
        self.advance(1);
        loop {
            self.space();
            match self.rest.chars().next()? {
                '}' => break,
                ',' => {
                    self.advance(1);
                }
                _ => {
                    let mut place = self.place();
                    let text = self.text()?;
                    place.width = self.column - place.column;
                    self.space();
                    self.advance(1);
                    let value = self.value()?;
                    let key = new_key(Node { place, data: Data::Text(text) }, &mut seen, self.findings);
                    if let Key { name: Some(key), place } = key {
                        entries.push(Entry { key, place, value });
                    }
                }
            }
        }
        self.advance(1);
        Some(Data::Map(entries))
    }

    fn text(&mut self) -> Option<Text> {
        let start = self.source.len() - self.rest.len();
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(index, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(index + 1)
        })?;
        let value = serde_json::from_str(self.advance(end)).ok()?;
        Some(Text { value, style: Style::DoubleQuoted, source: Arc::clone(self.source), start })
    }

    fn space(&mut self) {
        let end = self.rest.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(self.rest.len());
        self.advance(end);
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        for c in passed.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        passed
    }

    fn place(&self) -> Place {
        Place { file: Arc::clone(self.file), line: self.line, column: self.column, width: 0 }
    }
}

#[cfg(test)]
mod tests;
