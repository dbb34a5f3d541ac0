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
const TEXT: usize = 5_000;
const ALT_TEXT: usize = 1_500;
const URL: usize = 2_000;
const ACTION_URI: usize = 1_000;
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
            }
            "audio" => {
                self.url(at, "originalContentUrl");
                self.number(at, "duration", 1.0, f64::MAX);
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
        if let Some(quick_reply) = at.get("quickReply") {
            self.quick_reply(&quick_reply);
        }
        if let Some(sender) = at.get("sender") {
            self.text(&sender, "name", 20, Count::Utf16);
            self.url(&sender, "iconUrl");
        }
    }

    fn text_message(&mut self, at: &At<'_>) {
        self.text(at, "text", TEXT, Count::Utf16);
        let Some(emojis) = at.get("emojis") else { return };
        self.count(&emojis, "emojis", 1, 20);
        let text = at.text("text").filter(|text| self.is_known(text));
        for emoji in emojis.items() {
            self.require(&emoji, "LINE emoji", &["index", "productId", "emojiId"]);
            let index = emoji.value["index"].as_u64().and_then(|index| usize::try_from(index).ok());
            if let (Some(text), Some(index)) = (text, index)
                && text.encode_utf16().nth(index) != Some(u16::from(b'$'))
            {
                self.refuse(&emoji, format!("`index: {index}` does not point at a `$` in the text"));
            }
        }
    }

    /// Placeholders are `{name}`; doubled braces stand for themselves.
    fn text_v2(&mut self, at: &At<'_>) {
        self.text(at, "text", TEXT, Count::Utf16);
        let none = Map::new();
        let substitution = at.value["substitution"].as_object().unwrap_or(&none);
        if substitution.len() > 100 {
            self.refuse(at, format!("`substitution` has at most 100 keys, not {}", substitution.len()));
        }
        for key in substitution.keys() {
            if key.is_empty()
                || key.len() > 20
                || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                self.refuse(at, format!("`{key}` in `substitution` is not 1 to 20 of A-Z, a-z, 0-9 and _"));
            }
        }
        let Some(text) = at.text("text").filter(|text| self.is_known(text)) else { return };
        let plain = text.replace("{{", "").replace("}}", "");
        for piece in plain.split('{').skip(1) {
            match piece.split_once('}') {
                Some((name, _)) if substitution.contains_key(name) => {}
                Some((name, _)) => self.refuse(at, format!("`{{{name}}}` is not in `substitution`")),
                None => self.refuse(at, "a `{` in a textV2 message is never closed".to_owned()),
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
            self.number(&size, "width", 1040.0, 1040.0);
            self.number(&size, "height", 1.0, f64::MAX);
        }
        if let Some(actions) = at.get("actions") {
            self.count(&actions, "actions", 0, 50);
            for action in actions.items() {
                self.imagemap_action(&action);
            }
        }
        if let Some(video) = at.get("video") {
            self.require(&video, "video", &["originalContentUrl", "previewImageUrl", "area"]);
            self.media(&video);
        }
    }

    fn imagemap_action(&mut self, at: &At<'_>) {
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
        self.text(at, "label", 100, Count::Utf16);
        if let Some(area) = at.get("area") {
            self.require(&area, "area", &["x", "y", "width", "height"]);
        }
    }

    fn template(&mut self, at: &At<'_>) {
        let known = ["buttons", "confirm", "carousel", "image_carousel"];
        match self.kind_of(at, "a template", &known) {
            Some("buttons") => {
                self.require(at, "buttons template", &["text", "actions"]);
                self.titled(at, 160);
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
            self.action(&action, TAP_LABEL);
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
        if name == "datetimepicker" {
            self.one_of(at, "mode", &["date", "time", "datetime"]);
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
            }
            Some(_) => {
                self.require(at, "flex carousel", &["contents"]);
                self.size(at, "a carousel", CAROUSEL_BYTES);
                let Some(bubbles) = at.get("contents") else { return };
                self.count(&bubbles, "bubbles", 1, 12);
                let first = bubbles.items().next().map(|bubble| bubble.value["size"].clone());
                for bubble in bubbles.items() {
                    if self.kind_of(&bubble, "an item of a flex carousel", &["bubble"]).is_some() {
                        self.bubble(&bubble);
                    }
                    if Some(&bubble.value["size"]) != first.as_ref() {
                        self.refuse(&bubble, "all bubbles of a carousel have the same `size`".to_owned());
                    }
                }
            }
            None => {}
        }
    }

    fn bubble(&mut self, at: &At<'_>) {
        self.one_of(at, "size", &["nano", "micro", "deca", "hecto", "kilo", "mega", "giga"]);
        for block in ["header", "hero", "body", "footer"] {
            if let Some(block) = at.get(block) {
                self.component(&block);
            }
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
                let help = Some(format!("add `type:`, one of: {}", known.join(", ")));
                self.note(at, format!("{what} has no `type`"), help, false);
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
