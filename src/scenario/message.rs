//! LINE message objects as a scenario may send them: included files put in, LINE's limits kept.
//!
//! Source of every limit: LINE Developers, "Messaging API reference", message objects and action
//! objects, and "Character counting in a text".

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};
use unicode_segmentation::UnicodeSegmentation;

use crate::scenario::finding::did_you_mean;
use crate::scenario::program::is_template;

/// The most message objects of one push. Source: LINE Developers, "Send push message", `messages`.
pub const MAX_MESSAGES: usize = 5;

/// The key of a mapping that stands for a JSON file.
pub const FILE_KEY: &str = "$file";

/// The types of message objects, with the keys that each needs and those that it may have besides
/// [`COMMON_KEYS`].
pub const TYPES: [(&str, &[&str], &[&str]); 11] = [
    ("text", &["text"], &["emojis", "quoteToken"]),
    ("textV2", &["text"], &["substitution", "quoteToken"]),
    ("sticker", &["packageId", "stickerId"], &["quoteToken"]),
    ("image", &["originalContentUrl", "previewImageUrl"], &[]),
    ("video", &["originalContentUrl", "previewImageUrl"], &["trackingId"]),
    ("audio", &["originalContentUrl", "duration"], &[]),
    ("location", &["title", "address", "latitude", "longitude"], &[]),
    ("coupon", &["couponId"], &["deliveryTag"]),
    ("imagemap", &["baseUrl", "altText", "baseSize", "actions"], &["video"]),
    ("template", &["altText", "template"], &[]),
    ("flex", &["altText", "contents"], &[]),
];

/// The keys that every message object may have.
pub const COMMON_KEYS: [&str; 3] = ["type", "quickReply", "sender"];

/// The message objects of a `push` as written: texts become text messages, and each `$file` mapping
/// what `include` gives for its path; none leaves null in its place.
pub fn expand(push: &Value, include: &mut dyn FnMut(&str) -> Option<Value>) -> Vec<Value> {
    let whole = put_in(push, include);
    let messages = match whole {
        Value::Array(messages) => messages,
        one => vec![one],
    };
    messages.into_iter().map(text_message).collect()
}

fn text_message(message: Value) -> Value {
    match message {
        // a block of text ends with the line break that YAML gives it
        Value::String(text) => json!({ "type": "text", "text": text.trim_end_matches(['\n', '\r']) }),
        other => other,
    }
}

fn put_in(value: &Value, include: &mut dyn FnMut(&str) -> Option<Value>) -> Value {
    match value {
        Value::Object(map) => match map.get(FILE_KEY) {
            Some(Value::String(path)) => include(path).unwrap_or(Value::Null),
            Some(_) => Value::Null,
            None => (map.iter())
                .map(|(key, value)| (key.clone(), put_in(value, include)))
                .collect::<Map<_, _>>()
                .into(),
        },
        Value::Array(items) => items.iter().map(|item| put_in(item, include)).collect(),
        plain => plain.clone(),
    }
}

/// A part of the way to a value within JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Name(String),
    Index(usize),
}

/// What LINE would refuse, and where in the messages it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From the list of messages on, so the first part is an index.
    pub path: Vec<Key>,
    pub message: String,
    pub help: Option<String>,
    /// LINE would take it, but it is hardly what was meant.
    pub harmless: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("messages")?;
        for key in &self.path {
            match key {
                Key::Name(name) => write!(f, ".{name}")?,
                Key::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// Every problem of messages as written, where texts with templates in them are not known yet.
pub fn check_written(messages: &[Value]) -> Vec<Problem> {
    let mut check = Check { rendered: false, problems: Vec::new() };
    check.messages(messages);
    check.problems
}

/// Checks messages with every text rendered.
///
/// # Errors
/// The first thing that LINE would refuse, as far as its documents tell, with its place.
pub fn check_rendered(messages: &[Value]) -> Result<(), String> {
    let mut check = Check { rendered: true, problems: Vec::new() };
    check.messages(messages);
    match check.problems.iter().find(|problem| !problem.harmless) {
        Some(problem) => Err(problem.to_string()),
        None => Ok(()),
    }
}

/// [`check_rendered`] for the JSON text of a list of messages; quick where all are plain texts.
///
/// # Errors
/// As [`check_rendered`]; also a text that is not a JSON list.
pub fn check_rendered_json(messages: &str) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plain<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        text: Cow<'a, str>,
    }

    if let Ok(plain) = serde_json::from_str::<Vec<Plain<'_>>>(messages) {
        let sound = |m: &Plain<'_>| {
            // no text has more UTF-16 units than bytes
            m.r#type == "text"
                && !m.text.is_empty()
                && (m.text.len() <= TEXT || m.text.encode_utf16().count() <= TEXT)
        };
        if (1..=MAX_MESSAGES).contains(&plain.len()) && plain.iter().all(sound) {
            return Ok(());
        }
    }
    let messages: Vec<Value> =
        serde_json::from_str(messages).map_err(|error| format!("the messages are no JSON list: {error}"))?;
    check_rendered(&messages)
}

/// UTF-16 units of the `text` of a text message.
pub const TEXT: usize = 5_000;
/// UTF-16 units of an `altText`.
pub const ALT_TEXT: usize = 1_500;
const URL: usize = 2_000;
const ACTION_URI: usize = 1_000;
/// LINE emojis of one message, in `emojis` as in `substitution`.
const EMOJIS: usize = 20;
const SUBSTITUTIONS: usize = 100;
/// Images with `animated: true` in one flex message.
const ANIMATED: usize = 10;
/// The width that LINE measures every imagemap by.
const IMAGEMAP_WIDTH: f64 = 1_040.0;
/// Bytes of JSON. LINE says 30 and 50 KB without saying whether K is 1000 or 1024; the smaller is safe.
const BUBBLE_BYTES: usize = 30_000;
const CAROUSEL_BYTES: usize = 50_000;

/// How LINE counts a text. Source: LINE Developers, "Character counting in a text".
#[derive(Clone, Copy)]
enum Count {
    Utf16,
    /// Grapheme clusters: what a reader calls a character.
    Clusters,
}

impl Count {
    fn of(self, text: &str) -> usize {
        match self {
            Count::Utf16 => text.encode_utf16().count(),
            Count::Clusters => text.graphemes(true).count(),
        }
    }
}

/// A value within messages and the way to it.
#[derive(Clone, Copy)]
struct At<'a> {
    value: &'a Value,
    above: Option<&'a At<'a>>,
    key: Part<'a>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    fn get(&'a self, name: &'a str) -> Option<At<'a>> {
        let value = self.value.get(name)?;
        Some(At { value, above: Some(self), key: Part::Name(name) })
    }

    /// Of a list; of anything else, none.
    fn items(&'a self) -> impl Iterator<Item = At<'a>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        (items.iter().enumerate()).map(|(index, value)| At {
            value,
            above: Some(self),
            key: Part::Index(index),
        })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.value.get(name)?.as_str()
    }

    fn path(&self) -> Vec<Key> {
        let mut path = self.above.map(At::path).unwrap_or_default();
        path.push(match self.key {
            Part::Name(name) => Key::Name(name.to_owned()),
            Part::Index(index) => Key::Index(index),
        });
        path
    }
}

/// What the label of an action must be, by what the action belongs to.
#[derive(Clone, Copy)]
struct Label {
    required: bool,
    max: usize,
    quick_reply: bool,
}

const TEMPLATE_LABEL: Label = Label { required: true, max: 20, quick_reply: false };
const IMAGE_LABEL: Label = Label { required: false, max: 12, quick_reply: false };
const DEFAULT_ACTION_LABEL: Label = Label { required: false, max: 20, quick_reply: false };
const TAP_LABEL: Label = Label { required: false, max: 40, quick_reply: false };
const BUTTON_LABEL: Label = Label { required: true, max: 40, quick_reply: false };
const QUICK_REPLY_LABEL: Label = Label { required: true, max: 20, quick_reply: true };

struct Check {
    rendered: bool,
    problems: Vec<Problem>,
}

impl Check {
    fn messages(&mut self, messages: &[Value]) {
        if messages.is_empty() || messages.len() > MAX_MESSAGES {
            let message = format!("a push has 1 to {MAX_MESSAGES} messages, not {}", messages.len());
            self.problems.push(Problem { path: Vec::new(), message, help: None, harmless: false });
        }
        for (index, value) in messages.iter().enumerate() {
            let at = At { value, above: None, key: Part::Index(index) };
            self.message(&at);
            if index + 1 < messages.len() && at.get("quickReply").is_some() {
                self.warn(&at, "LINE shows the `quickReply` of the last message only", None);
            }
        }
    }

    fn message(&mut self, at: &At<'_>) {
        let Some(map) = at.value.as_object() else {
            self.refuse(at, format!("a message is a text or a mapping, not {}", kind(at.value)));
            return;
        };
        let known = TYPES.map(|(name, _, _)| name);
        let Some(name) = self.kind_of(at, "a message", &known) else { return };
        let Some((_, required, optional)) = TYPES.iter().find(|(known, _, _)| *known == name) else { return };
        self.require(at, &format!("{name} message"), required);
        for key in map.keys().filter(|key| {
            let names = [required, optional, &COMMON_KEYS[..]];
            !names.iter().any(|names| names.contains(&key.as_str()))
        }) {
            let names = required.iter().chain(*optional).chain(&COMMON_KEYS).copied();
            if let (Some(near), Some(at)) = (did_you_mean(key, names), at.get(key)) {
                self.warn(&at, format!("a {name} message has no key `{key}`"), Some(near));
            }
        }
        match name {
            "text" => self.text_message(at),
            "textV2" => self.text_v2(at),
            "sticker" => {
                self.text(at, "packageId", usize::MAX, Count::Utf16);
                self.text(at, "stickerId", usize::MAX, Count::Utf16);
            }
            "image" => self.media(at),
            "video" => {
                self.media(at);
                self.text(at, "trackingId", 100, Count::Utf16);
                self.characters(at, "trackingId", "-.=,+*()%$&;:@{}!?<>[]");
            }
            "audio" => {
                self.url(at, "originalContentUrl");
                self.whole_number(at, "duration", 1.0);
            }
            "location" => {
                self.text(at, "title", 100, Count::Utf16);
                self.text(at, "address", 100, Count::Utf16);
                self.number(at, "latitude", -90.0, 90.0);
                self.number(at, "longitude", -180.0, 180.0);
            }
            "coupon" => {
                self.text(at, "couponId", usize::MAX, Count::Utf16);
                self.text(at, "deliveryTag", 30, Count::Utf16);
                self.characters(at, "deliveryTag", "_");
            }
            "imagemap" => self.imagemap(at),
            "template" => {
                self.text(at, "altText", ALT_TEXT, Count::Utf16);
                if let Some(template) = at.get("template") {
                    self.template(&template);
                }
            }
            _ => {
                self.text(at, "altText", ALT_TEXT, Count::Utf16);
                if let Some(contents) = at.get("contents") {
                    self.flex(&contents);
                }
            }
        }
        self.quote_token(at);
        if let Some(quick_reply) = at.get("quickReply") {
            self.quick_reply(&quick_reply);
        }
        if let Some(sender) = at.get("sender") {
            self.sender(&sender);
        }
    }

    fn quote_token(&mut self, at: &At<'_>) {
        self.text(at, "quoteToken", usize::MAX, Count::Utf16);
        let Some(token) = at.get("quoteToken") else { return };
        if !matches!(at.text("type"), Some("text" | "textV2" | "sticker")) {
            self.warn(&token, "LINE takes a `quoteToken` in text, textV2 and sticker messages only", None);
        } else if !self.rendered && token.value.as_str().is_some_and(|token| self.is_known(token)) {
            let message =
                "a quote token is good in the chat it came from only, and this one goes to every member";
            self.warn(&token, message, Some("leave out `quoteToken`".to_owned()));
        }
    }

    fn sender(&mut self, at: &At<'_>) {
        if !self.mapping(at, "`sender`") {
            return;
        }
        self.text(at, "name", 20, Count::Utf16);
        self.url(at, "iconUrl");
        let Some(name) = at.get("name") else { return };
        let is_line = |word: &str| word == "LINE";
        if name.value.as_str().is_some_and(|name| {
            self.is_known(name) && name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_line)
        }) {
            let help = Some("write the name without `LINE`".to_owned());
            self.note(
                &name,
                "LINE does not take the word `LINE` in a sender's `name`".to_owned(),
                help,
                false,
            );
        }
    }

    fn text_message(&mut self, at: &At<'_>) {
        self.text(at, "text", TEXT, Count::Utf16);
        self.placeholders(at);
        let Some(emojis) = at.get("emojis") else { return };
        self.count(&emojis, "emojis", 0, EMOJIS);
        let text = at.text("text");
        for emoji in emojis.items() {
            self.require(&emoji, "LINE emoji", &["index", "productId", "emojiId"]);
            self.whole_number(&emoji, "index", 0.0);
            self.emoji(&emoji);
            if let (Some(text), Some(index)) = (text, emoji.get("index")) {
                self.emoji_index(&index, text);
            }
        }
    }

    /// Warns of what other tools would put a value in for, and what members would read as it stands.
    fn placeholders(&mut self, at: &At<'_>) {
        let (Some(text), false) = (at.get("text"), self.rendered) else { return };
        let outside = outside_tags(text.value.as_str().unwrap_or_default());
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))
        };
        let single = braces(&outside).into_iter().find_map(|brace| match brace {
            Brace::Placeholder(name) if is_name(name) => Some(name),
            _ => None,
        });
        if let Some(name) = single {
            let own =
                if name.contains('.') { name.to_owned() } else { format!("member.{}", name.to_lowercase()) };
            let message = format!("`{{{name}}}` is no template: members read it as it stands");
            self.warn(&text, message, Some(format!("write `{{{{ {own} }}}}`, with two braces on each side")));
        } else if outside.contains("｛｛") {
            let message = "full-width braces are no template: members read them as they stand";
            self.warn(&text, message, Some("write `{{` and `}}` in half width".into()));
        }
    }

    fn emoji(&mut self, at: &At<'_>) {
        self.text(at, "productId", usize::MAX, Count::Utf16);
        self.text(at, "emojiId", usize::MAX, Count::Utf16);
    }

    /// What stands in front of the first template is known as written.
    fn emoji_index(&mut self, at: &At<'_>, text: &str) {
        let Some(index) = at.value.as_u64().and_then(|index| usize::try_from(index).ok()) else { return };
        let template = if self.rendered { None } else { tag_start(text) };
        let known: Vec<u16> = text[..template.unwrap_or(text.len())].encode_utf16().collect();
        let dollar = u16::from(b'$');
        match known.get(index) {
            Some(unit) if *unit == dollar => {}
            None if template.is_some() => {
                let help = "put the `$` in front of every template, or use a textV2 message".to_owned();
                self.warn(at, format!("`index: {index}` counts what a template gives"), Some(help));
            }
            _ => {
                let places = known.iter().enumerate().filter(|(_, unit)| **unit == dollar);
                let places: Vec<_> = places.map(|(place, _)| place.to_string()).take(EMOJIS).collect();
                let help = if places.is_empty() {
                    "write a `$` where the emoji belongs".to_owned()
                } else {
                    format!("counted in UTF-16 units from 0, there is a `$` at {}", places.join(", "))
                };
                let message = format!("`index: {index}` does not point at a `$` in the text");
                self.note(at, message, Some(help), false);
            }
        }
    }

    /// Placeholders are `{name}`; doubled braces stand for themselves.
    ///
    /// In a text as written, doubled braces are a template of ours, and only the placeholders outside
    /// templates are known.
    fn text_v2(&mut self, at: &At<'_>) {
        self.text(at, "text", TEXT, Count::Utf16);
        if let Some(substitution) = at.get("substitution") {
            self.substitution(&substitution);
        }
        let none = Map::new();
        let substitution = at.value["substitution"].as_object().unwrap_or(&none);
        let Some(text) = at.text("text") else { return };
        let is_whole = self.is_known(text);
        let known = if is_whole { Cow::Borrowed(text) } else { Cow::Owned(outside_tags(text)) };
        let mut placeholders = Vec::new();
        for brace in braces(&known) {
            match brace {
                Brace::Placeholder(name) if name.contains(TAG) => {}
                Brace::Placeholder(name) => {
                    if !substitution.contains_key(name) {
                        let help = did_you_mean(name, substitution.keys().map(String::as_str));
                        self.note(at, format!("`{{{name}}}` is not in `substitution`"), help, false);
                    }
                    placeholders.push(name);
                }
                Brace::Open if is_whole => {
                    let message = "a `{` in a textV2 message is never closed".to_owned();
                    self.note(at, message, Some(brace_help("{{")), false);
                }
                Brace::Close if is_whole => {
                    let message = "a `}` in a textV2 message has no `{` in front of it";
                    self.warn(at, message, Some(brace_help("}}")));
                }
                Brace::Open | Brace::Close => {}
            }
        }
        let emojis = placeholders.iter().filter(|name| is_emoji(substitution.get(**name))).count();
        if emojis > EMOJIS {
            self.warn(
                at,
                format!("the text shows {emojis} LINE emojis, where LINE takes at most {EMOJIS}"),
                None,
            );
        }
        for key in substitution.keys().filter(|key| is_whole && !placeholders.contains(&key.as_str())) {
            let help = format!("write `{{{key}}}` in the text where it belongs");
            self.warn(at, format!("`{key}` of `substitution` is not in the text"), Some(help));
        }
    }

    fn substitution(&mut self, at: &At<'_>) {
        if !self.mapping(at, "`substitution`") {
            return;
        }
        let Some(map) = at.value.as_object() else { return };
        if map.len() > SUBSTITUTIONS {
            self.refuse(at, format!("`substitution` has at most {SUBSTITUTIONS} keys, not {}", map.len()));
        }
        let emojis = map.values().filter(|value| is_emoji(Some(value))).count();
        if emojis > EMOJIS {
            self.refuse(at, format!("`substitution` has at most {EMOJIS} LINE emojis, not {emojis}"));
        }
        for key in map.keys() {
            let Some(at) = at.get(key) else { continue };
            let sound = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !sound || key.is_empty() || key.len() > 20 {
                self.refuse(&at, format!("`{key}` in `substitution` is not 1 to 20 of A-Z, a-z, 0-9 and _"));
            }
            match self.kind_of(&at, "what takes the place of a placeholder", &["emoji", "mention"]) {
                Some("emoji") => {
                    self.require(&at, "LINE emoji", &["productId", "emojiId"]);
                    self.emoji(&at);
                }
                Some(_) => {
                    let message = "LINE takes a mention in groups only, and a step goes to one member alone";
                    let help = "write the name instead: {{ member.name }}".to_owned();
                    self.note(&at, message.to_owned(), Some(help), false);
                }
                None => {}
            }
        }
    }

    fn media(&mut self, at: &At<'_>) {
        self.url(at, "originalContentUrl");
        self.url(at, "previewImageUrl");
    }

    fn imagemap(&mut self, at: &At<'_>) {
        self.url(at, "baseUrl");
        self.text(at, "altText", ALT_TEXT, Count::Utf16);
        if let Some(size) = at.get("baseSize") {
            self.require(&size, "base size", &["width", "height"]);
            self.number(&size, "width", IMAGEMAP_WIDTH, IMAGEMAP_WIDTH);
            self.whole_number(&size, "height", 1.0);
        }
        let height = at.value["baseSize"]["height"].as_f64();
        if let Some(actions) = at.get("actions") {
            self.count(&actions, "actions", 0, 50);
            for action in actions.items() {
                self.imagemap_action(&action, height);
            }
        }
        let Some(video) = at.get("video") else { return };
        self.require(&video, "video", &["originalContentUrl", "previewImageUrl", "area"]);
        self.media(&video);
        self.area(&video, height);
        if let Some(link) = video.get("externalLink")
            && self.mapping(&link, "`externalLink`")
        {
            self.text(&link, "linkUri", ACTION_URI, Count::Utf16);
            self.text(&link, "label", 30, Count::Utf16);
        }
    }

    fn imagemap_action(&mut self, at: &At<'_>, height: Option<f64>) {
        let Some(name) = self.kind_of(at, "an imagemap action", &["uri", "message", "clipboard"]) else {
            return;
        };
        match name {
            "uri" => {
                self.require(at, "imagemap action", &["linkUri", "area"]);
                self.uri(at, "linkUri");
            }
            "message" => {
                self.require(at, "imagemap action", &["text", "area"]);
                self.text(at, "text", 400, Count::Utf16);
            }
            _ => {
                self.require(at, "imagemap action", &["clipboardText", "area"]);
                self.text(at, "clipboardText", 1_000, Count::Utf16);
            }
        }
        self.text(at, "label", 100, Count::Clusters);
        self.area(at, height);
    }

    /// The `area` of `at`, within an image of `height`.
    fn area(&mut self, at: &At<'_>, height: Option<f64>) {
        let Some(area) = at.get("area") else { return };
        self.require(&area, "area", &["x", "y", "width", "height"]);
        for key in ["x", "y", "width", "height"] {
            self.whole_number(&area, key, f64::MIN);
        }
        let number = |key: &str| area.value[key].as_f64();
        let sides = [("x", "width", Some(IMAGEMAP_WIDTH)), ("y", "height", height)];
        for (start, length, end) in sides {
            let (Some(from), Some(by), Some(end)) = (number(start), number(length), end) else { continue };
            if from < 0.0 || by <= 0.0 || from + by > end {
                let message = format!(
                    "`{start}` and `{length}` are not within the image, which has a {length} of {end}"
                );
                self.warn(&area, message, None);
            }
        }
    }

    fn template(&mut self, at: &At<'_>) {
        let known = ["buttons", "confirm", "carousel", "image_carousel"];
        match self.kind_of(at, "a template", &known) {
            Some("buttons") => {
                self.require(at, "buttons template", &["text", "actions"]);
                self.titled(at, 160);
                self.one_of(at, "imageAspectRatio", &["rectangle", "square"]);
                self.one_of(at, "imageSize", &["cover", "contain"]);
                self.color(at, "imageBackgroundColor");
                self.actions(at, 1, 4);
            }
            Some("confirm") => {
                self.require(at, "confirm template", &["text", "actions"]);
                self.text(at, "text", 240, Count::Clusters);
                self.actions(at, 2, 2);
            }
            Some("carousel") => {
                self.require(at, "carousel template", &["columns"]);
                if let Some(columns) = at.get("columns") {
                    self.carousel(&columns);
                }
            }
            Some(_) => {
                self.require(at, "image_carousel template", &["columns"]);
                let Some(columns) = at.get("columns") else { return };
                self.count(&columns, "columns", 1, 10);
                for column in columns.items() {
                    self.require(&column, "column", &["imageUrl", "action"]);
                    self.url(&column, "imageUrl");
                    if let Some(action) = column.get("action") {
                        self.action(&action, IMAGE_LABEL);
                    }
                }
            }
            None => {}
        }
    }

    fn carousel(&mut self, columns: &At<'_>) {
        self.count(columns, "columns", 1, 10);
        let shape = |column: &At<'_>| {
            let actions = column.value["actions"].as_array().map_or(0, Vec::len);
            (actions, column.get("thumbnailImageUrl").is_some(), column.get("title").is_some())
        };
        let first = columns.items().next().map(|column| shape(&column));
        for column in columns.items() {
            self.require(&column, "column", &["text", "actions"]);
            self.titled(&column, 120);
            self.actions(&column, 1, 3);
            if Some(shape(&column)) != first {
                self.refuse(
                    &column,
                    "all columns have the same number of actions, and an image or a title in all or none"
                        .to_owned(),
                );
            }
        }
    }

    /// A text that may be shorter only beside an image or a title.
    fn titled(&mut self, at: &At<'_>, alone: usize) {
        let beside = at.get("thumbnailImageUrl").is_some() || at.get("title").is_some();
        self.text(at, "text", if beside { 60 } else { alone }, Count::Clusters);
        self.text(at, "title", 40, Count::Clusters);
        self.url(at, "thumbnailImageUrl");
        if let Some(action) = at.get("defaultAction") {
            self.action(&action, DEFAULT_ACTION_LABEL);
        }
    }

    fn actions(&mut self, at: &At<'_>, min: usize, max: usize) {
        let Some(actions) = at.get("actions") else { return };
        self.count(&actions, "actions", min, max);
        for action in actions.items() {
            self.action(&action, TEMPLATE_LABEL);
        }
    }

    fn action(&mut self, at: &At<'_>, label: Label) {
        let known =
            ["postback", "message", "uri", "datetimepicker", "clipboard", "camera", "cameraRoll", "location"];
        if at.text("type") == Some("richmenuswitch") {
            let message = "a richmenuswitch action can stand in a rich menu only".to_owned();
            let help = "a postback action with `inputOption: openRichMenu` opens the rich menu".to_owned();
            self.note(at, message, Some(help), false);
            return;
        }
        let Some(name) = self.kind_of(at, "an action", &known) else { return };
        if matches!(name, "camera" | "cameraRoll" | "location") && !label.quick_reply {
            self.refuse(at, format!("a {name} action can stand in a quick reply only"));
        }
        if label.required {
            self.require(at, "action", &["label"]);
        }
        self.text(at, "label", label.max, Count::Clusters);
        let needs: &[&str] = match name {
            "postback" => &["data"],
            "message" => &["text"],
            "uri" => &["uri"],
            "datetimepicker" => &["data", "mode"],
            "clipboard" => &["clipboardText"],
            _ => &[],
        };
        self.require(at, &format!("{name} action"), needs);
        self.text(at, "data", 300, Count::Utf16);
        self.text(at, "text", 300, Count::Clusters);
        self.text(at, "displayText", 300, Count::Clusters);
        self.text(at, "fillInText", 300, Count::Clusters);
        self.text(at, "clipboardText", 1_000, Count::Utf16);
        self.uri(at, "uri");
        match name {
            "postback" => self.postback(at),
            "datetimepicker" => self.picker(at),
            "uri" => {
                if let Some(other) = at.get("altUri")
                    && self.mapping(&other, "`altUri`")
                {
                    self.text(&other, "desktop", ACTION_URI, Count::Utf16);
                }
            }
            _ => {}
        }
    }

    fn postback(&mut self, at: &At<'_>) {
        if let (Some(text), Some(_)) = (at.get("text"), at.get("displayText")) {
            let help = Some("leave out `text`, which LINE means to drop".to_owned());
            self.note(&text, "`text` cannot stand beside `displayText`".to_owned(), help, false);
        }
        let options = ["closeRichMenu", "openRichMenu", "openKeyboard", "openVoice"];
        self.one_of(at, "inputOption", &options);
        let opens_keyboard = |option: &str| option == "openKeyboard" || !self.is_known(option);
        if let Some(fill_in) = at.get("fillInText")
            && !at.text("inputOption").is_some_and(opens_keyboard)
        {
            let help = Some("add `inputOption: openKeyboard`".to_owned());
            self.warn(&fill_in, "`fillInText` shows only with the keyboard open", help);
        }
    }

    /// LINE's reference has the forms of the times, our sheet of limits does not: so these only warn.
    fn picker(&mut self, at: &At<'_>) {
        self.one_of(at, "mode", &["date", "time", "datetime"]);
        let form = match at.text("mode") {
            Some("date") => "2026-03-01",
            Some("time") => "09:30",
            Some("datetime") => "2026-03-01T09:30",
            _ => return,
        };
        let mut sound = Vec::new();
        // in order, so that each must not be later than the next
        for key in ["min", "initial", "max"] {
            self.text(at, key, usize::MAX, Count::Utf16);
            let Some(text) = at.text(key).filter(|text| self.is_known(text)) else { continue };
            if has_form(text, form) {
                sound.push((key, text.to_ascii_uppercase()));
            } else if let Some(time) = at.get(key) {
                self.warn(
                    &time,
                    format!("`{key}` is hardly a time that LINE knows"),
                    Some(format!("as {form}")),
                );
            }
        }
        for pair in sound.windows(2) {
            if pair[0].1 > pair[1].1 {
                self.warn(at, format!("`{}` is later than `{}`", pair[0].0, pair[1].0), None);
            }
        }
    }

    fn quick_reply(&mut self, at: &At<'_>) {
        self.require(at, "quick reply", &["items"]);
        let Some(items) = at.get("items") else { return };
        self.count(&items, "items", 1, 13);
        for item in items.items() {
            self.require(&item, "quick reply item", &["type", "action"]);
            self.one_of(&item, "type", &["action"]);
            self.url(&item, "imageUrl");
            if let Some(action) = item.get("action") {
                self.action(&action, QUICK_REPLY_LABEL);
            }
        }
    }

    fn flex(&mut self, at: &At<'_>) {
        match self.kind_of(at, "flex contents", &["bubble", "carousel"]) {
            Some("bubble") => {
                self.bubble(at);
                self.size(at, "a bubble", BUBBLE_BYTES);
                self.animated(at);
            }
            Some(_) => {
                self.require(at, "flex carousel", &["contents"]);
                self.size(at, "a carousel", CAROUSEL_BYTES);
                self.animated(at);
                let Some(bubbles) = at.get("contents") else { return };
                self.count(&bubbles, "bubbles", 1, 12);
                let mut first = None;
                for bubble in bubbles.items() {
                    if self.kind_of(&bubble, "an item of a flex carousel", &["bubble"]).is_some() {
                        self.bubble(&bubble);
                    }
                    let size = if bubble.get("size").is_none() { Some("mega") } else { bubble.text("size") };
                    let Some(size) = size.filter(|size| self.is_known(size)) else { continue };
                    if *first.get_or_insert(size) != size {
                        self.refuse(&bubble, "all bubbles of a carousel have the same `size`".to_owned());
                    }
                }
            }
            None => {}
        }
    }

    fn bubble(&mut self, at: &At<'_>) {
        self.one_of(at, "size", &["nano", "micro", "deca", "hecto", "kilo", "mega", "giga"]);
        for name in ["header", "body", "footer"] {
            let Some(block) = at.get(name) else { continue };
            self.component(&block);
            if block.text("type").is_some_and(|kind| kind != "box") {
                self.warn(&block, format!("the {name} of a bubble is a box"), None);
            }
        }
        if let Some(hero) = at.get("hero")
            && self.kind_of(&hero, "the hero of a bubble", &["box", "image", "video"]).is_some()
        {
            self.component(&hero);
        }
        if let Some(action) = at.get("action") {
            self.action(&action, TAP_LABEL);
        }
    }

    fn component(&mut self, at: &At<'_>) {
        let known = ["box", "button", "image", "video", "icon", "text", "span", "separator", "filler"];
        let Some(name) = self.kind_of(at, "a flex component", &known) else { return };
        match name {
            "box" => {
                self.require(at, "box", &["layout", "contents"]);
                self.one_of(at, "layout", &["horizontal", "vertical", "baseline"]);
            }
            "button" => self.require(at, "button", &["action"]),
            "image" | "icon" => {
                self.require(at, name, &["url"]);
                self.url(at, "url");
            }
            "video" => {
                self.require(at, "video", &["url", "previewUrl", "altContent"]);
                self.url(at, "url");
                self.url(at, "previewUrl");
                if let Some(alternative) = at.get("altContent") {
                    self.component(&alternative);
                }
            }
            "text" | "span" => {
                if at.get("contents").is_none() {
                    self.require(at, &format!("flex {name}"), &["text"]);
                }
                self.text(at, "text", usize::MAX, Count::Utf16);
            }
            _ => {}
        }
        if let Some(contents) = at.get("contents") {
            contents.items().for_each(|inner| self.component(&inner));
        }
        if let Some(action) = at.get("action") {
            self.action(&action, if name == "button" { BUTTON_LABEL } else { TAP_LABEL });
        }
    }

    fn animated(&mut self, contents: &At<'_>) {
        let animated = animated_images(contents.value);
        if animated > ANIMATED {
            let message =
                format!("a message has at most {ANIMATED} images with `animated: true`, not {animated}");
            self.refuse(contents, message);
        }
    }

    fn mapping(&mut self, at: &At<'_>, what: &str) -> bool {
        if !at.value.is_object() {
            self.refuse(at, format!("{what} is a mapping, not {}", kind(at.value)));
        }
        at.value.is_object()
    }

    /// The `type` of a mapping, one of those known; none with the problem noted.
    fn kind_of<'a>(&mut self, at: &At<'a>, what: &str, known: &[&str]) -> Option<&'a str> {
        let Some(map) = at.value.as_object() else {
            self.refuse(at, format!("{what} is a mapping, not {}", kind(at.value)));
            return None;
        };
        match map.get("type").map(Value::as_str) {
            Some(Some(name)) if known.contains(&name) => Some(name),
            Some(Some(name)) => {
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("one of: {}", known.join(", ")));
                let within = At { value: at.value, above: Some(at), key: Part::Name("type") };
                self.note(&within, format!("{what} cannot be of type `{name}`"), Some(help), false);
                None
            }
            Some(None) => {
                self.refuse(at, format!("the `type` of {what} is a text"));
                None
            }
            None => {
                // `- text: Hello` is meant to be one of type text
                let meant = map.keys().find(|key| known.contains(&key.as_str()));
                let help = match meant {
                    Some(kind) => format!("add `type: {kind}`"),
                    None => format!("add `type:`, one of: {}", known.join(", ")),
                };
                self.note(at, format!("{what} has no `type`"), Some(help), false);
                None
            }
        }
    }

    fn require(&mut self, at: &At<'_>, what: &str, keys: &[&str]) {
        for key in keys.iter().filter(|key| at.value.get(**key).is_none_or(Value::is_null)) {
            self.refuse(at, format!("{} {what} needs `{key}`", article(what)));
        }
    }

    /// A text that is there must not be empty, nor longer than `max`.
    fn text(&mut self, at: &At<'_>, key: &str, max: usize, count: Count) {
        let Some(at) = at.get(key) else { return };
        let Some(text) = at.value.as_str() else {
            let help = at.value.is_number().then(|| format!("put it in quotes: \"{}\"", at.value));
            self.note(&at, format!("`{key}` is a text, not {}", kind(at.value)), help, false);
            return;
        };
        if !self.is_known(text) {
            return;
        }
        if text.is_empty() {
            self.refuse(&at, format!("`{key}` must not be empty"));
        }
        // no way of counting finds more than there are bytes
        if text.len() > max {
            let length = count.of(text);
            if length > max {
                self.refuse(&at, format!("`{key}` is at most {max} characters, not {length}"));
            }
        }
    }

    /// Letters and digits, and the `others`.
    fn characters(&mut self, at: &At<'_>, key: &str, others: &str) {
        let Some(at) = at.get(key) else { return };
        let Some(text) = at.value.as_str().filter(|text| self.is_known(text)) else { return };
        if let Some(wrong) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !others.contains(*c)) {
            let message = format!("`{key}` may hold A-Z, a-z, 0-9 and `{others}` only, not `{wrong}`");
            self.refuse(&at, message);
        }
    }

    fn color(&mut self, at: &At<'_>, key: &str) {
        self.text(at, key, usize::MAX, Count::Utf16);
        let Some(at) = at.get(key) else { return };
        let Some(text) = at.value.as_str().filter(|text| self.is_known(text)) else { return };
        let digits = text.strip_prefix('#').unwrap_or_default();
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.warn(&at, format!("`{key}` is hardly a colour"), Some("as \"#FFFFFF\"".to_owned()));
        }
    }

    fn url(&mut self, at: &At<'_>, key: &str) {
        self.text(at, key, URL, Count::Utf16);
        self.scheme(at, key, &["https://"]);
    }

    fn uri(&mut self, at: &At<'_>, key: &str) {
        self.text(at, key, ACTION_URI, Count::Utf16);
        self.scheme(at, key, &["https://", "http://", "line://", "tel:"]);
    }

    fn scheme(&mut self, at: &At<'_>, key: &str, allowed: &[&str]) {
        let Some(at) = at.get(key) else { return };
        let Some(text) = at.value.as_str().filter(|text| !text.is_empty()) else { return };
        // what stands in front of the first template is known
        let known = if self.rendered { text } else { text.split('{').next().unwrap_or_default() };
        let fits = |scheme: &&str| {
            let length = scheme.len().min(known.len());
            let shorter = known.len() < text.len();
            known.get(..length).is_some_and(|start| scheme[..length].eq_ignore_ascii_case(start))
                && (length == scheme.len() || shorter)
        };
        if !allowed.iter().any(fits) {
            self.refuse(&at, format!("`{key}` must start with {}", allowed.join(" or ")));
        }
    }

    /// A template gives a text, so a number must be written as one.
    fn number(&mut self, at: &At<'_>, key: &str, low: f64, high: f64) {
        let Some(at) = at.get(key) else { return };
        match at.value.as_f64() {
            None => self.refuse(&at, format!("`{key}` is a number, not {}", kind(at.value))),
            Some(number) if number < low || number > high => {
                self.refuse(&at, format!("`{key}` cannot be {}", at.value));
            }
            Some(_) => {}
        }
    }

    fn whole_number(&mut self, at: &At<'_>, key: &str, low: f64) {
        self.number(at, key, low, f64::MAX);
        let Some(at) = at.get(key) else { return };
        if at.value.is_f64() {
            self.refuse(&at, format!("`{key}` is a whole number, not {}", at.value));
        }
    }

    fn count(&mut self, at: &At<'_>, what: &str, min: usize, max: usize) {
        match at.value.as_array().map(Vec::len) {
            None => self.refuse(at, format!("`{what}` is a list, not {}", kind(at.value))),
            Some(count) if count < min || count > max => {
                let wanted = if min == max { max.to_string() } else { format!("{min} to {max}") };
                self.refuse(at, format!("there are {count} {what}, where LINE takes {wanted}"));
            }
            Some(_) => {}
        }
    }

    fn one_of(&mut self, at: &At<'_>, key: &str, allowed: &[&str]) {
        let Some(at) = at.get(key) else { return };
        let Some(text) = at.value.as_str() else {
            self.refuse(&at, format!("`{key}` is a text, not {}", kind(at.value)));
            return;
        };
        if self.is_known(text) && !allowed.contains(&text) {
            let help = did_you_mean(text, allowed.iter().copied())
                .unwrap_or_else(|| format!("one of: {}", allowed.join(", ")));
            self.note(&at, format!("`{key}` cannot be `{text}`"), Some(help), false);
        }
    }

    fn size(&mut self, at: &At<'_>, what: &str, max: usize) {
        let size = self.json_bytes(at.value);
        if size > max {
            self.refuse(at, format!("{what} is at most {max} bytes of JSON, not {size}"));
        }
    }

    /// Bytes of compact JSON, texts with templates left out while they are not rendered.
    fn json_bytes(&self, value: &Value) -> usize {
        match value {
            Value::String(text) if !self.is_known(text) => 2,
            Value::Array(items) => {
                items.iter().map(|item| self.json_bytes(item) + 1).sum::<usize>().max(1) + 1
            }
            Value::Object(map) => {
                let fields = map.iter().map(|(key, item)| key.len() + 4 + self.json_bytes(item));
                fields.sum::<usize>().max(1) + 1
            }
            plain => plain.to_string().len(),
        }
    }

    fn is_known(&self, text: &str) -> bool {
        self.rendered || !is_template(text)
    }

    fn refuse(&mut self, at: &At<'_>, message: String) {
        self.note(at, message, None, false);
    }

    fn warn(&mut self, at: &At<'_>, message: impl Into<String>, help: Option<String>) {
        self.note(at, message.into(), help, true);
    }

    fn note(&mut self, at: &At<'_>, message: String, help: Option<String>, harmless: bool) {
        self.problems.push(Problem { path: at.path(), message, help, harmless });
    }
}

/// What a brace in the text of a textV2 message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brace<'a> {
    Placeholder(&'a str),
    Open,
    Close,
}

/// The braces of a text but those doubled, which stand for themselves.
fn braces(text: &str) -> Vec<Brace<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '}']) {
        let (brace, behind) = rest[start..].split_at(1);
        rest = behind.strip_prefix(brace).unwrap_or(behind);
        if rest.len() < behind.len() {
            continue;
        }
        if brace == "}" {
            found.push(Brace::Close);
            continue;
        }
        match behind.find(['{', '}']) {
            Some(end) if behind[end..].starts_with('}') => {
                found.push(Brace::Placeholder(&behind[..end]));
                rest = &behind[end + 1..];
            }
            _ => found.push(Brace::Open),
        }
    }
    found
}

/// How a scenario writes a brace that a textV2 message shows.
fn brace_help(doubled: &str) -> String {
    format!("a brace to be read is doubled; as that is a template of ours, write {{{{ '{doubled}' }}}}")
}

/// Stands for a template where only what is around it is known.
const TAG: char = '\0';

/// Where the first tag of a template starts, in bytes.
fn tag_start(template: &str) -> Option<usize> {
    ["{{", "{%", "{#"].iter().filter_map(|opening| template.find(opening)).min()
}

/// A template with [`TAG`] in the place of every tag.
fn outside_tags(template: &str) -> String {
    let mut outside = String::new();
    let mut rest = template;
    while let Some(start) = tag_start(rest) {
        outside.push_str(&rest[..start]);
        outside.push(TAG);
        let (opening, inside) = rest[start..].split_at(2);
        let closing = match opening {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        rest = inside.split_once(closing).map_or("", |(_, behind)| behind);
    }
    outside + rest
}

fn is_emoji(substitution: Option<&Value>) -> bool {
    substitution.is_some_and(|value| value["type"] == "emoji")
}

fn animated_images(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(animated_images).sum(),
        Value::Object(map) => {
            let own = map.get("type").is_some_and(|kind| kind == "image")
                && map.get("animated").is_some_and(|animated| animated == true);
            usize::from(own) + map.values().map(animated_images).sum::<usize>()
        }
        _ => 0,
    }
}

/// Digits where `form` has digits, and the same elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(a, b): (u8, u8)| (a.is_ascii_digit() && b.is_ascii_digit()) || a.eq_ignore_ascii_case(&b);
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests;
