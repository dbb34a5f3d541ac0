//! The expressions and templates of one scenario, compiled, and the names they may use.
//!
//! One language for both: minijinja, in its semi-strict mode. A missing value may be tested for truth;
//! any other use of it makes a condition false and a message impossible, each with the value's name.
//! Rendered text is put into a message as a JSON string and nothing else, so no value can break out of it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};

use crate::model::{Attributes, EnrollmentId, MemberId};
use crate::scenario::finding::did_you_mean;

/// Steps of work that one evaluation may take; a plain template takes tens.
const FUEL: u64 = 100_000;

/// The most words and signs of one expression, and the most pieces of code of one template. minijinja
/// recurses over chains such as `a + a + …`, and its stack must not end before they do.
const MAX_CODE: usize = 1_000;

/// The names that expressions and templates may start from.
pub const ROOTS: [&str; 5] = ["member", "event", "enrollment", "anchor", "now"];

/// The names under `member` that are not attributes.
pub const MEMBER_NAMES: [&str; 4] = ["id", "tags", "linked", "friend"];

/// An expression of a [`Program`], evaluated to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression(usize);

/// An expression of a [`Program`], evaluated to a truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition(usize);

/// A JSON value with templates where its strings are.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    parts: Vec<Part>,
}

impl Document {
    /// The JSON text, if it is the same for every member.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// LINE message objects: a JSON array.
#[derive(Clone, Debug, PartialEq)]
pub struct Messages {
    pub document: Document,
    /// No sound or banner on the member's device.
    pub silent: bool,
}

impl Messages {
    /// The JSON text, if every member gets the same bytes.
    pub fn as_literal(&self) -> Option<&str> {
        self.document.as_literal()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    /// Index of a template whose text goes here as a JSON string.
    Text(usize),
    /// An expression whose value goes here as JSON, whatever its type.
    Value(Expression),
}

/// What a text that is one `{{ expression }}` and nothing else becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lone {
    /// A text, as everywhere in a message.
    Text,
    /// The value itself: a number stays a number.
    Value,
}

/// A source text that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: String,
    /// The place in the source text, in bytes, where it is known.
    pub range: Option<Range<usize>>,
    /// The line in the source text, from 1, where it is known.
    pub line: Option<usize>,
    /// What to write in its place, where that can be guessed.
    pub help: Option<String>,
}

/// A value that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A name without a value: `member.regular`.
    Missing(String),
    /// Anything else: a wrong type, no end to the work.
    Error(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Missing(name) => write!(f, "missing({name})"),
            Failure::Error(message) => write!(f, "error({message})"),
        }
    }
}

/// Collects the sources of one scenario and compiles them.
pub struct Builder {
    environment: Environment<'static>,
    expressions: Vec<String>,
    templates: Vec<String>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("expressions", &self.expressions).finish_non_exhaustive()
    }
}

impl Builder {
    /// `zone` is that of the `date` filter.
    pub fn new(zone: TimeZone) -> Builder {
        Builder { environment: environment(zone), expressions: Vec::new(), templates: Vec::new() }
    }

    /// # Errors
    /// The text is not an expression, or uses a filter, test or function that does not exist.
    pub fn expression(&mut self, source: &str) -> Result<Expression, SyntaxError> {
        refuse_endless(source, 0..source.len())?;
        self.environment.compile_expression_owned(source.to_owned()).map_err(|e| syntax_error(&e))?;
        self.check_calls(source, 0..source.len())?;
        self.expressions.push(source.to_owned());
        Ok(Expression(self.expressions.len() - 1))
    }

    /// # Errors
    /// As [`Builder::expression`].
    pub fn condition(&mut self, source: &str) -> Result<Condition, SyntaxError> {
        self.expression(source).map(|Expression(index)| Condition(index))
    }

    /// The names that an expression uses, dotted as far as they are literal: `member.plan`.
    /// None in one that does not compile.
    pub fn names_in_expression(&self, source: &str) -> BTreeSet<String> {
        if refuse_endless(source, 0..source.len()).is_err() {
            return BTreeSet::new();
        }
        match self.environment.compile_expression_owned(source.to_owned()) {
            Ok(expression) => expression.undeclared_variables(true).into_iter().collect(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// The names that a template uses, dotted as far as they are literal.
    /// None in one that does not compile.
    pub fn names_in_template(&self, source: &str) -> BTreeSet<String> {
        if refuse_endless_template(source).is_err() {
            return BTreeSet::new();
        }
        match self.environment.template_from_named_str("", source) {
            Ok(template) => template.undeclared_variables(true).into_iter().collect(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// True for a function that every text may use, such as `range`.
    pub fn is_global(&self, name: &str) -> bool {
        self.environment.globals().any(|(known, _)| known == name)
    }

    /// Checks the source of one text template.
    ///
    /// # Errors
    /// The text is not a template, or uses a filter or test that does not exist.
    pub fn check_template(&self, source: &str) -> Result<(), SyntaxError> {
        refuse_endless_template(source)?;
        self.environment.template_from_named_str("", source).map_err(|e| syntax_error(&e))?;
        code_in_template(source).into_iter().try_for_each(|code| self.check_calls(source, code))
    }

    /// Refuses filters and tests that do not exist, which minijinja finds out only when it meets them.
    fn check_calls(&self, source: &str, code: Range<usize>) -> Result<(), SyntaxError> {
        for call in calls(source, code) {
            let name = &source[call.name.clone()];
            if !self.exists(call.kind, name) {
                let known = call.kind.known().iter().copied().filter(|known| self.exists(call.kind, known));
                return Err(SyntaxError {
                    message: format!("there is no {} `{name}`", call.kind.word()),
                    help: did_you_mean(name, known),
                    line: None,
                    range: Some(call.name),
                });
            }
        }
        Ok(())
    }

    /// Asks the environment, which has no list of them, by letting it meet the name.
    fn exists(&self, kind: CallKind, name: &str) -> bool {
        let (probe, unknown) = match kind {
            CallKind::Filter => (format!("1|{name}"), ErrorKind::UnknownFilter),
            CallKind::Test => (format!("1 is {name}"), ErrorKind::UnknownTest),
        };
        let outcome = self.environment.compile_expression(&probe).and_then(|probe| probe.eval(()));
        !outcome.is_err_and(|error| error.kind() == unknown)
    }

    /// Takes in message objects whose strings are templates.
    ///
    /// # Errors
    /// The first string that does not compile. Use [`Builder::check_template`] to find them all.
    pub fn messages(
        &mut self,
        messages: &[serde_json::Value],
        silent: bool,
    ) -> Result<Messages, SyntaxError> {
        let array = serde_json::Value::Array(messages.to_vec());
        let mut parts = PartsWriter { parts: Vec::new(), builder: self, lone: Lone::Text };
        parts.value(&array)?;
        Ok(Messages { document: Document { parts: parts.parts }, silent })
    }

    /// Takes in a value whose strings are templates. One that is a single `{{ expression }}` becomes the
    /// expression's value, of whatever type it is.
    ///
    /// # Errors
    /// As [`Builder::messages`].
    pub fn document(&mut self, value: &serde_json::Value) -> Result<Document, SyntaxError> {
        let mut parts = PartsWriter { parts: Vec::new(), builder: self, lone: Lone::Value };
        parts.value(value)?;
        Ok(Document { parts: parts.parts })
    }

    pub fn finish(mut self) -> Program {
        for (index, source) in self.templates.iter().enumerate() {
            self.environment
                .add_template_owned(index.to_string(), source.clone())
                .expect("each source was compiled when it was taken in");
        }
        let expressions = self.expressions;
        let templates = self.templates.len();
        Program(Compiled::new(self.environment, |environment| Parts {
            expressions: (expressions.iter())
                .map(|source| {
                    let compiled = environment
                        .compile_expression_owned(source.clone())
                        .expect("each source was compiled when it was taken in");
                    let names = needed_first(compiled.undeclared_variables(true), source);
                    (compiled, names)
                })
                .collect(),
            sources: expressions.into(),
            templates: (0..templates)
                .map(|index| {
                    let template = environment
                        .get_template(&index.to_string())
                        .expect("it was added under this name above");
                    let names = needed_first(template.undeclared_variables(true), template.source());
                    (template, names)
                })
                .collect(),
        }))
    }
}

/// Refuses code of more than [`MAX_CODE`] words and signs before minijinja sees it.
fn refuse_endless(source: &str, code: Range<usize>) -> Result<(), SyntaxError> {
    let mut at = code.start;
    let mut count = 0;
    while at < code.end {
        let length = token_length(&source[at..code.end]);
        if !source[at..at + length].trim().is_empty() {
            count += 1;
        }
        if count > MAX_CODE {
            return Err(SyntaxError {
                message: format!("it has more than {MAX_CODE} words and signs"),
                range: Some(at..at + length),
                line: None,
                help: None,
            });
        }
        at += length;
    }
    Ok(())
}

/// As [`refuse_endless`], and refuses more than [`MAX_CODE`] pieces of code.
fn refuse_endless_template(source: &str) -> Result<(), SyntaxError> {
    let pieces = code_in_template(source);
    if let Some(piece) = pieces.get(MAX_CODE) {
        return Err(SyntaxError {
            message: format!("it has more than {MAX_CODE} pieces of code"),
            range: Some(piece.clone()),
            line: None,
            help: None,
        });
    }
    pieces.into_iter().try_for_each(|piece| refuse_endless(source, piece))
}

/// A filter or a test used in a source text.
struct Call {
    kind: CallKind,
    /// Where its name stands, in bytes.
    name: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CallKind {
    Filter,
    Test,
}

impl CallKind {
    fn word(self) -> &'static str {
        match self {
            CallKind::Filter => "filter",
            CallKind::Test => "test",
        }
    }

    /// Names worth suggesting.
    fn known(self) -> &'static [&'static str] {
        match self {
            CallKind::Filter => &[
                "abs",
                "attr",
                "batch",
                "bool",
                "capitalize",
                "count",
                "date",
                "default",
                "dictsort",
                "escape",
                "first",
                "float",
                "format",
                "groupby",
                "indent",
                "int",
                "items",
                "join",
                "last",
                "length",
                "lines",
                "list",
                "lower",
                "map",
                "max",
                "min",
                "reject",
                "rejectattr",
                "replace",
                "reverse",
                "round",
                "select",
                "selectattr",
                "slice",
                "sort",
                "split",
                "string",
                "sum",
                "title",
                "tojson",
                "trim",
                "unique",
                "upper",
                "urlencode",
                "yen",
                "zip",
            ],
            CallKind::Test => &[
                "boolean",
                "containing",
                "defined",
                "divisibleby",
                "endingwith",
                "eq",
                "even",
                "false",
                "float",
                "ge",
                "gt",
                "in",
                "integer",
                "iterable",
                "le",
                "lower",
                "lt",
                "mapping",
                "ne",
                "none",
                "number",
                "odd",
                "sameas",
                "sequence",
                "startingwith",
                "string",
                "true",
                "undefined",
                "upper",
            ],
        }
    }
}

/// The parts of a template between `{{ }}` and `{% %}`, in bytes.
fn code_in_template(source: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    let opens = |at: usize| source.as_bytes().get(at + 1).is_some_and(|next| b"{%#".contains(next));
    // one pass: looking for each mark by itself takes the square of the length
    while let Some((opening, _)) = source[from..].match_indices('{').find(|(at, _)| opens(from + at)) {
        if source[from + opening..].starts_with("{#") {
            from = source[from + opening..].find("#}").map_or(source.len(), |end| from + opening + end + 2);
            continue;
        }
        let start = from + opening + 2;
        let closing = if source[from + opening..].starts_with("{{") { "}}" } else { "%}" };
        let end = code_end(&source[start..], closing) + start;
        let code = source[start..end].trim_matches(['-', '+']).trim();
        from = (end + 2).min(source.len());
        if code == "raw" {
            from = source[from..].find("endraw").map_or(source.len(), |raw| from + raw);
            from = source[from..].find("%}").map_or(source.len(), |end| from + end + 2);
        } else {
            found.push(start..end);
        }
    }
    found
}

/// Where a piece of code ends: at the first closing mark outside a quoted text.
fn code_end(code: &str, closing: &str) -> usize {
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        if rest.starts_with(closing) {
            return at;
        }
        at += token_length(rest);
    }
    code.len()
}

/// The length of the quoted text, the word or the single character at the start.
fn token_length(rest: &str) -> usize {
    let Some(first) = rest.chars().next() else { return 0 };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if matches!(first, '"' | '\'') {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == first && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        return end.map_or(rest.len(), |(index, quote)| index + quote.len_utf8());
    }
    if is_part(first) {
        return rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    }
    first.len_utf8()
}

/// The filters (`x | name`) and tests (`x is name`, `x is not name`) in a piece of code.
fn calls(source: &str, code: Range<usize>) -> Vec<Call> {
    let mut found = Vec::new();
    let mut at = code.start;
    let mut expected = None;
    let mut after_dot = false;
    while at < code.end {
        let token = at..at + token_length(&source[at..code.end]);
        at = token.end;
        let text = &source[token.clone()];
        if text.trim().is_empty() {
            continue;
        }
        let is_word = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        expected = match (text, expected) {
            ("|", _) => Some(CallKind::Filter),
            ("is", _) if !after_dot => Some(CallKind::Test),
            ("not", Some(CallKind::Test)) => Some(CallKind::Test),
            (_, Some(kind)) if is_word => {
                found.push(Call { kind, name: token });
                None
            }
            _ => None,
        };
        after_dot = text == ".";
    }
    found
}

/// Shortest first, so that a missing `event` is named before `event.plan`.
/// The names in their order, those last that have a default wherever they stand: they are not what is missing.
fn needed_first(names: impl IntoIterator<Item = String>, source: &str) -> Vec<String> {
    let has_default = |name: &String| {
        source.match_indices(name.as_str()).all(|(at, _)| {
            let behind = source[at + name.len()..].trim_start().strip_prefix('|');
            behind.is_some_and(|filter| filter.trim_start().starts_with("default"))
        })
    };
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_unstable();
    names.sort_by_key(has_default);
    names
}

struct PartsWriter<'a> {
    parts: Vec<Part>,
    builder: &'a mut Builder,
    lone: Lone,
}

impl PartsWriter<'_> {
    fn literal(&mut self, json: &str) {
        match self.parts.last_mut() {
            Some(Part::Literal(text)) => text.push_str(json),
            _ => self.parts.push(Part::Literal(json.to_owned())),
        }
    }

    fn value(&mut self, value: &serde_json::Value) -> Result<(), SyntaxError> {
        use serde_json::Value as Json;
        match value {
            Json::String(text) if is_template(text) => {
                self.builder.check_template(text)?;
                if let (Lone::Value, Some(source)) = (self.lone, lone_expression(text)) {
                    self.parts.push(Part::Value(self.builder.expression(source)?));
                    return Ok(());
                }
                self.builder.templates.push(text.clone());
                self.parts.push(Part::Text(self.builder.templates.len() - 1));
            }
            Json::Array(items) => {
                self.literal("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.literal(",");
                    }
                    self.value(item)?;
                }
                self.literal("]");
            }
            Json::Object(fields) => {
                self.literal("{");
                for (index, (name, field)) in fields.iter().enumerate() {
                    if index > 0 {
                        self.literal(",");
                    }
                    self.literal(&Json::String(name.clone()).to_string());
                    self.literal(":");
                    self.value(field)?;
                }
                self.literal("}");
            }
            plain => self.literal(&plain.to_string()),
        }
        Ok(())
    }
}

/// The expression of a text that is one `{{ expression }}` and nothing else.
fn lone_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?;
    let end = code_end(inner, "}}");
    let is_all = &inner[end..] == "}}";
    is_all.then(|| inner[..end].trim_matches(['-', '+']).trim())
}

/// True for a text that has anything to render; every other text stands for itself.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

fn syntax_error(error: &minijinja::Error) -> SyntaxError {
    let message = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    SyntaxError { message, range: error.range(), line: error.line(), help: None }
}

/// The compiled expressions and templates of one scenario.
pub struct Program(Compiled);

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

struct Parts<'env> {
    expressions: Vec<(minijinja::Expression<'env, 'static>, Vec<String>)>,
    /// The expressions as written.
    sources: Box<[String]>,
    templates: Vec<(minijinja::Template<'env, 'env>, Vec<String>)>,
}

self_cell::self_cell!(
    struct Compiled {
        owner: Environment<'static>,
        #[covariant]
        dependent: Parts,
    }
);

impl Program {
    /// The truth of a condition.
    ///
    /// # Errors
    /// [`Failure::Missing`] where a missing value is used for more than its truth, else what went wrong.
    /// Either makes the condition false.
    pub fn test(&self, condition: Condition, names: &Names) -> Result<bool, Failure> {
        self.value(Expression(condition.0), names).map(|value| value.is_true())
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// As [`Program::test`].
    pub fn value(&self, expression: Expression, names: &Names) -> Result<Value, Failure> {
        let (expression, used) = &self.0.borrow_dependent().expressions[expression.0];
        expression.eval(names.value()).map_err(|error| failure(&error, used, names))
    }

    /// A condition as its author wrote it.
    pub fn source(&self, condition: Condition) -> &str {
        &self.0.borrow_dependent().sources[condition.0]
    }

    /// An expression as its author wrote it.
    pub fn source_of(&self, expression: Expression) -> &str {
        &self.0.borrow_dependent().sources[expression.0]
    }

    /// The values of the names that a condition uses, as JSON; none of one that has no value.
    pub fn values(&self, condition: Condition, names: &Names) -> Vec<(String, Option<String>)> {
        let (_, used) = &self.0.borrow_dependent().expressions[condition.0];
        let value = |name: &str| {
            let found = name.split('.').try_fold(names.value(), |value, part| value.get_attr(part).ok());
            let found = found.filter(|value| !value.is_undefined())?;
            serde_json::to_string(&found).ok()
        };
        used.iter().map(|name| (name.clone(), value(name))).collect()
    }

    /// The value of an expression as a text: strings as they are, numbers in their plain form.
    ///
    /// # Errors
    /// As [`Program::test`]; also a value that is missing, null, or no text, number or truth.
    pub fn text(&self, expression: Expression, names: &Names) -> Result<String, Failure> {
        use minijinja::value::ValueKind;
        let value = self.value(expression, names)?;
        match value.kind() {
            ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(value.to_string()),
            ValueKind::Undefined | ValueKind::None => {
                let (_, used) = &self.0.borrow_dependent().expressions[expression.0];
                Err(Failure::Missing(first_missing(used, names).unwrap_or_else(|| "value".into())))
            }
            other => Err(Failure::Error(format!("a text is needed here, not a {other}"))),
        }
    }

    /// The JSON array of message objects for one member.
    ///
    /// # Errors
    /// As [`Program::test`].
    pub fn render(&self, messages: &Messages, names: &Names) -> Result<String, Failure> {
        self.fill_in(&messages.document, names)
    }

    /// The JSON text of a document for one member.
    ///
    /// # Errors
    /// As [`Program::test`]; also a value that JSON cannot hold.
    pub fn fill_in(&self, document: &Document, names: &Names) -> Result<String, Failure> {
        let mut json = String::new();
        for part in &document.parts {
            match part {
                Part::Literal(text) => json.push_str(text),
                Part::Text(index) => {
                    let (template, used) = &self.0.borrow_dependent().templates[*index];
                    let text =
                        template.render(names.value()).map_err(|error| failure(&error, used, names))?;
                    json.push_str(&serde_json::Value::String(text).to_string());
                }
                Part::Value(expression) => {
                    let value = self.value(*expression, names)?;
                    if value.is_undefined() {
                        let (_, used) = &self.0.borrow_dependent().expressions[expression.0];
                        let name = first_missing(used, names).unwrap_or_else(|| "value".into());
                        return Err(Failure::Missing(name));
                    }
                    let value = serde_json::to_string(&value).map_err(|e| Failure::Error(e.to_string()))?;
                    json.push_str(&value);
                }
            }
        }
        Ok(json)
    }
}

fn failure(error: &minijinja::Error, used: &[String], names: &Names) -> Failure {
    if error.kind() == ErrorKind::UndefinedError
        && let Some(name) = first_missing(used, names)
    {
        return Failure::Missing(name);
    }
    Failure::Error(match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    })
}

/// The first used name that has no value; of a dotted name, the part up to where it ends.
fn first_missing(used: &[String], names: &Names) -> Option<String> {
    let root = names.value();
    for name in used {
        let mut value = root.clone();
        for (index, _) in name.match_indices('.').chain([(name.len(), "")]) {
            let part = name[..index].rsplit('.').next().unwrap_or(name);
            value = value.get_attr(part).unwrap_or(Value::UNDEFINED);
            if value.is_undefined() {
                return Some(name[..index].to_owned());
            }
        }
    }
    None
}

/// The values behind the names, for one member at one instant.
#[derive(Clone, Debug)]
pub struct Names(Value);

/// What [`Names`] are made of.
#[derive(Clone, Debug)]
pub struct Scope {
    pub member: Arc<MemberScope>,
    /// The data of the event, or of the run.
    pub event: Option<Arc<Attributes>>,
    pub enrollment: Option<EnrollmentScope>,
    pub anchor: Option<Timestamp>,
    pub now: Timestamp,
}

/// The values under `member`.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberScope {
    pub id: MemberId,
    pub attributes: Arc<Attributes>,
    pub tags: Arc<BTreeSet<String>>,
    pub linked: bool,
    pub friend: bool,
}

/// The values under `enrollment`.
#[derive(Clone, Debug)]
pub struct EnrollmentScope {
    pub id: EnrollmentId,
    pub key: Option<Arc<str>>,
    pub entered_at: Timestamp,
}

impl Names {
    pub fn new(scope: Scope) -> Names {
        Names(Value::from_object(scope))
    }

    fn value(&self) -> Value {
        self.0.clone()
    }
}

impl Object for Scope {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "member" => Some(Value::from_dyn_object(Arc::clone(&self.member))),
            "event" => self.event.as_ref().map(json_object),
            "enrollment" => self.enrollment.clone().map(Value::from_object),
            "anchor" => self.anchor.map(instant),
            "now" => Some(instant(self.now)),
            _ => None,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

impl Object for MemberScope {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "id" => Some(Value::from(self.id.as_str())),
            "tags" => Some(self.tags.iter().map(String::as_str).collect()),
            "linked" => Some(Value::from(self.linked)),
            "friend" => Some(Value::from(self.friend)),
            attribute => self.attributes.get(attribute).map(json),
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

impl Object for EnrollmentScope {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "id" => Some(Value::from(self.id.to_string())),
            "key" => self.key.as_deref().map(Value::from),
            "entered_at" => Some(instant(self.entered_at)),
            _ => None,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

/// A JSON object whose members become values when they are asked for.
#[derive(Debug)]
struct JsonObject(Arc<Attributes>);

impl Object for JsonObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).map(json)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Value::from(key.as_str())).collect())
    }
}

fn json_object(attributes: &Arc<Attributes>) -> Value {
    Value::from_object(JsonObject(Arc::clone(attributes)))
}

/// JSON's null counts as missing: the merge patch by which attributes are set uses it to remove them.
fn json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::UNDEFINED,
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(fraction)) => Value::from(fraction),
            (None, None) => Value::UNDEFINED,
        },
        serde_json::Value::Array(items) => items.iter().map(json).collect(),
        serde_json::Value::Object(map) => json_object(&Arc::new(map.clone())),
    }
}

/// An instant, which prints as RFC 3339 and which the `date` filter formats.
fn instant(timestamp: Timestamp) -> Value {
    Value::from(timestamp.to_string())
}

fn environment(zone: TimeZone) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let zone_of_date = zone;
    environment.add_filter("date", move |value: &Value, format: Option<String>| {
        date(value, format.as_deref().unwrap_or("%Y-%m-%d"), &zone_of_date)
    });
    environment.add_filter("yen", yen);
    environment
}

/// Formats an instant, or a text that tells one, as civil time in the scenario's zone.
fn date(value: &Value, format: &str, zone: &TimeZone) -> Result<String, minijinja::Error> {
    let refuse = |detail: String| minijinja::Error::new(ErrorKind::InvalidOperation, detail);
    if value.is_undefined() {
        return Err(minijinja::Error::from(ErrorKind::UndefinedError));
    }
    let text =
        value.as_str().ok_or_else(|| refuse(format!("`date` needs an instant, not a {}", value.kind())))?;
    let civil = parse_instant(text, zone)
        .ok_or_else(|| refuse("`date` needs an instant such as 2026-03-02T21:50:00+09:00".into()))?;
    jiff::fmt::strtime::format(format, &civil.to_zoned_datetime(zone.clone()))
        .map_err(|error| refuse(format!("`date` cannot use this format: {error}")))
}

/// Reads an instant: RFC 3339, or a civil time or date in `zone`.
pub fn parse_instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    // a text with an offset that did not parse above must not lose it here
    let civil: jiff::civil::DateTime = match text.parse::<jiff::civil::DateTime>() {
        Ok(civil) if !text.contains(['Z', 'z', '+', '[']) => civil,
        _ => return None,
    };
    civil.to_zoned_datetime(zone.clone()).ok().map(|zoned: ZonedDateTime| zoned.timestamp())
}

/// `12345` → `12,345円`.
fn yen(value: &Value) -> Result<String, minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::Error::from(ErrorKind::UndefinedError));
    }
    let refuse = || {
        minijinja::Error::new(
            ErrorKind::InvalidOperation,
            format!("`yen` needs a number, not a {}", value.kind()),
        )
    };
    let amount = match value.as_i64() {
        Some(whole) => whole,
        None => {
            let number = f64::try_from(value.clone()).map_err(|_| refuse())?;
            if !number.is_finite() || number.abs() >= 1e15 {
                return Err(refuse());
            }
            number.round() as i64
        }
    };
    let digits = amount.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if amount < 0 { "-" } else { "" };
    Ok(format!("{sign}{grouped}円"))
}

#[cfg(test)]
mod tests;
