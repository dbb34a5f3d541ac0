//! LINE message objects as a member sees them, as far as that can be shown without a network.
//!
//! It takes any JSON: what it does not know is shown by its type, and nothing that stands in a message
//! becomes more than a text, a checked colour, a length or an address.
//! Source of forms and sizes: LINE Developers, "Messaging API reference", message objects and Flex.

use serde::Serialize;
use serde_json::Value;

use super::Language;

/// One message object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bubble {
    /// The name that stands over it, where the message has a sender of its own.
    pub sender: Option<String>,
    pub body: Body,
    pub quick_replies: Vec<Button>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    Text {
        text: String,
    },
    /// Something of which only the place is shown.
    Media {
        media: Media,
        /// What is known of it: a title, an address, a length.
        lines: Vec<String>,
        url: Option<String>,
    },
    Imagemap {
        alt: String,
        url: String,
        areas: Vec<Button>,
    },
    Cards {
        alt: String,
        form: Form,
        cards: Vec<Card>,
    },
    Flex {
        alt: String,
        bubbles: Vec<FlexBubble>,
    },
    /// A type that LINE may have and this page does not know.
    Other {
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    Image,
    Video,
    Audio,
    Sticker,
    Location,
    Coupon,
}

/// The form of a template message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    Buttons,
    Confirm,
    Carousel,
    ImageCarousel,
}

/// A card of a template message.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Card {
    pub image: Option<String>,
    pub title: Option<String>,
    pub text: Option<String>,
    pub buttons: Vec<Button>,
}

/// Something to press.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Button {
    pub label: String,
    /// What pressing it does, in short: an address, what is said, the data of a postback.
    pub target: String,
    /// The address, where it is one that a browser may open.
    pub href: Option<String>,
}

/// A bubble of a Flex message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlexBubble {
    pub style: String,
    pub rtl: bool,
    pub blocks: Vec<FlexBlock>,
}

/// Its header, hero, body or footer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlexBlock {
    pub name: &'static str,
    pub style: String,
    pub parts: Vec<Part>,
}

/// A component of a Flex message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    pub kind: PartKind,
    pub style: String,
    pub text: String,
    pub button: Option<Button>,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Parts below each other.
    Column,
    /// Parts beside each other.
    Row,
    Text,
    Span,
    Image,
    Video,
    Icon,
    Button,
    Separator,
    Space,
}

/// Flex components stand at most this deep in each other here; what is deeper is left out.
///
/// LINE has no number for it, but a bubble of 30 KB; no real message comes near.
const MAX_DEPTH: usize = 24;

/// The messages of one push.
pub fn bubbles(messages: &Value) -> Vec<Bubble> {
    messages.as_array().into_iter().flatten().map(bubble).collect()
}

fn bubble(message: &Value) -> Bubble {
    let sender = message.get("sender").and_then(|sender| text(sender, "name"));
    let items = message.pointer("/quickReply/items").and_then(Value::as_array);
    let quick_replies = items.into_iter().flatten().filter_map(|item| item.get("action")).map(button);
    Bubble { sender, body: body(message), quick_replies: quick_replies.collect() }
}

fn body(message: &Value) -> Body {
    let kind = text(message, "type").unwrap_or_default();
    let alt = || text(message, "altText").unwrap_or_default();
    let media = |media, fields: &[&str], url: &str| Body::Media {
        media,
        lines: fields.iter().filter_map(|field| text(message, field)).collect(),
        url: text(message, url),
    };
    match kind.as_str() {
        "text" => Body::Text { text: with_emojis(message) },
        "textV2" => Body::Text { text: with_substitutions(message) },
        "image" => media(Media::Image, &[], "originalContentUrl"),
        "video" => media(Media::Video, &[], "originalContentUrl"),
        "audio" => {
            let seconds = message.get("duration").and_then(Value::as_u64).map(|ms| ms.div_ceil(1_000));
            let lines = seconds.map(|seconds| format!("{}:{:02}", seconds / 60, seconds % 60));
            let url = text(message, "originalContentUrl");
            Body::Media { media: Media::Audio, lines: lines.into_iter().collect(), url }
        }
        "sticker" => {
            let ids = [text(message, "packageId"), text(message, "stickerId")];
            let ids: Vec<String> = ids.into_iter().flatten().collect();
            Body::Media { media: Media::Sticker, lines: vec![ids.join(" / ")], url: None }
        }
        "location" => media(Media::Location, &["title", "address"], ""),
        "coupon" => media(Media::Coupon, &["couponId"], ""),
        "imagemap" => Body::Imagemap {
            alt: alt(),
            url: text(message, "baseUrl").unwrap_or_default(),
            areas: list(message, "actions").map(button).collect(),
        },
        "template" => template(message.get("template").unwrap_or(&Value::Null), alt()),
        "flex" => {
            let contents = message.get("contents").unwrap_or(&Value::Null);
            let bubbles = match contents.get("type").and_then(Value::as_str) {
                Some("carousel") => list(contents, "contents").map(flex_bubble).collect(),
                _ => vec![flex_bubble(contents)],
            };
            Body::Flex { alt: alt(), bubbles }
        }
        _ => Body::Other { name: kind },
    }
}

/// A text with a mark where each LINE emoji stands for its `$`.
fn with_emojis(message: &Value) -> String {
    let written = text(message, "text").unwrap_or_default();
    let places: Vec<u64> =
        list(message, "emojis").filter_map(|emoji| emoji.get("index").and_then(Value::as_u64)).collect();
    let mut shown = String::new();
    let mut at = 0;
    for c in written.chars() {
        shown.push(if c == '$' && places.contains(&at) { '☺' } else { c });
        // LINE counts UTF-16 units
        at += c.len_utf16() as u64;
    }
    shown
}

/// A text with what its `{names}` stand for; doubled braces are single ones.
fn with_substitutions(message: &Value) -> String {
    let written = text(message, "text").unwrap_or_default();
    let mut shown = String::new();
    let mut rest = written.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        shown.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or(from.strip_prefix("}}")) {
            shown.push_str(&from[..1]);
            rest = after;
            continue;
        }
        let name = from.strip_prefix('{').and_then(|from| from.split_once('}'));
        let (replaced, after) = match name {
            Some((name, after)) => {
                let value = message.get("substitution").and_then(|values| values.get(name));
                (
                    value.map(
                        |value| if text(value, "type").as_deref() == Some("mention") { "@" } else { "☺" },
                    ),
                    after,
                )
            }
            None => (None, &from[1..]),
        };
        match replaced {
            Some(sign) => shown.push_str(sign),
            None => shown.push_str(&from[..from.len() - after.len()]),
        }
        rest = after;
    }
    shown + rest
}

fn template(template: &Value, alt: String) -> Body {
    let form = match template.get("type").and_then(Value::as_str) {
        Some("buttons") => Form::Buttons,
        Some("confirm") => Form::Confirm,
        Some("carousel") => Form::Carousel,
        Some("image_carousel") => Form::ImageCarousel,
        other => return Body::Other { name: format!("template {}", other.unwrap_or_default()) },
    };
    let cards = match form {
        Form::Buttons | Form::Confirm => vec![card(template)],
        Form::Carousel => list(template, "columns").map(card).collect(),
        Form::ImageCarousel => list(template, "columns")
            .map(|column| Card {
                image: text(column, "imageUrl"),
                buttons: column.get("action").map(button).into_iter().collect(),
                ..Card::default()
            })
            .collect(),
    };
    Body::Cards { alt, form, cards }
}

fn card(card: &Value) -> Card {
    Card {
        image: text(card, "thumbnailImageUrl"),
        title: text(card, "title"),
        text: text(card, "text"),
        buttons: list(card, "actions").map(button).collect(),
    }
}

fn button(action: &Value) -> Button {
    let field = |name: &str| text(action, name);
    let kind = field("type").unwrap_or_default();
    let target = match kind.as_str() {
        "uri" => field("uri").or(field("linkUri")).unwrap_or_default(),
        "message" => format!("「{}」", field("text").unwrap_or_default()),
        "postback" => match field("displayText").or(field("text")) {
            Some(said) => format!("「{said}」 {}", field("data").unwrap_or_default()),
            None => field("data").unwrap_or_default(),
        },
        "datetimepicker" => {
            format!("{} {}", field("mode").unwrap_or_default(), field("data").unwrap_or_default())
        }
        "clipboard" => field("clipboardText").unwrap_or_default(),
        other => other.to_owned(),
    };
    let href = (kind == "uri").then(|| target.clone()).filter(|uri| may_be_opened(uri));
    let label = field("label").filter(|label| !label.is_empty());
    Button { label: label.unwrap_or_else(|| target.clone()), target, href }
}

/// True for an address that leads to a page, a call or LINE, and runs nothing.
fn may_be_opened(uri: &str) -> bool {
    ["https://", "http://", "tel:", "line://"].iter().any(|scheme| uri.starts_with(scheme))
}

fn flex_bubble(bubble: &Value) -> FlexBubble {
    let width = match bubble.get("size").and_then(Value::as_str) {
        Some("nano") => 120,
        Some("micro") => 160,
        Some("deca") => 220,
        Some("hecto") => 241,
        Some("kilo") => 260,
        Some("giga") => 386,
        _ => 300,
    };
    let blocks = ["header", "hero", "body", "footer"].into_iter().filter_map(|name| {
        let block = bubble.get(name)?;
        let mut style = Style::default();
        style.colour("background-color", bubble.pointer(&format!("/styles/{name}/backgroundColor")));
        Some(FlexBlock { name, style: style.0, parts: vec![part(block, Within::TOP, 0)?] })
    });
    FlexBubble {
        style: format!("width:{width}px"),
        rtl: bubble.get("direction").and_then(Value::as_str) == Some("rtl"),
        blocks: blocks.collect(),
    }
}

/// The box that a component stands in.
#[derive(Clone, Copy)]
struct Within {
    is_row: bool,
    spacing: u32,
    is_first: bool,
}

impl Within {
    const TOP: Within = Within { is_row: false, spacing: 0, is_first: true };
}

fn part(component: &Value, within: Within, depth: usize) -> Option<Part> {
    if depth > MAX_DEPTH {
        return None;
    }
    let field = |name: &str| component.get(name);
    let word = |name: &str| field(name).and_then(Value::as_str);
    let mut style = Style::default();
    style.place(component, within);
    let plain = |kind, style: Style| Part {
        kind,
        style: style.0,
        text: String::new(),
        button: None,
        parts: Vec::new(),
    };
    Some(match word("type")? {
        "box" => {
            let is_row = matches!(word("layout"), Some("horizontal" | "baseline"));
            let spacing = word("spacing").map_or(0, spacing);
            style.colour("background-color", field("backgroundColor"));
            style.lengths(component);
            if word("layout") == Some("baseline") {
                style.set("align-items", "baseline");
            }
            style.word("align-items", field("alignItems"), &["center", "flex-start", "flex-end"]);
            let justified =
                ["center", "flex-start", "flex-end", "space-between", "space-around", "space-evenly"];
            style.word("justify-content", field("justifyContent"), &justified);
            let parts = list(component, "contents").enumerate().filter_map(|(index, child)| {
                part(child, Within { is_row, spacing, is_first: index == 0 }, depth + 1)
            });
            let kind = if is_row { PartKind::Row } else { PartKind::Column };
            Part { parts: parts.collect(), ..plain(kind, style) }
        }
        "text" => {
            style.text(component);
            let spans = list(component, "contents").map(|span| {
                let mut style = Style::default();
                style.text(span);
                Part { text: text(span, "text").unwrap_or_default(), ..plain(PartKind::Span, style) }
            });
            let parts: Vec<Part> = spans.collect();
            if field("wrap") != Some(&Value::Bool(true)) {
                style.set("white-space", "nowrap");
            }
            let own = text(component, "text").filter(|_| parts.is_empty());
            Part { text: own.unwrap_or_default(), parts, ..plain(PartKind::Text, style) }
        }
        "button" => {
            let button = field("action").map(button)?;
            let filled = match word("style") {
                Some("primary") => Some(("#17c950", "#ffffff")),
                Some("secondary") => Some(("#dcdfe5", "#111111")),
                _ => None,
            };
            match filled {
                Some((back, front)) => {
                    style.set("background-color", back);
                    style.set("color", front);
                    style.colour("background-color", field("color"));
                }
                None => style.colour("color", field("color")),
            }
            Part { button: Some(button), ..plain(PartKind::Button, style) }
        }
        "image" => {
            style.ratio(component);
            Part { text: text(component, "url").unwrap_or_default(), ..plain(PartKind::Image, style) }
        }
        "video" => {
            style.ratio(component);
            Part { text: text(component, "url").unwrap_or_default(), ..plain(PartKind::Video, style) }
        }
        "icon" => plain(PartKind::Icon, style),
        "separator" => {
            style.colour("background-color", field("color"));
            plain(PartKind::Separator, style)
        }
        "filler" | "spacer" => plain(PartKind::Space, style),
        _ => return None,
    })
}

/// Declarations of CSS, of which every value was checked.
#[derive(Default)]
struct Style(String);

impl Style {
    fn set(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push(':');
        self.0.push_str(value);
        self.0.push(';');
    }

    fn colour(&mut self, name: &str, value: Option<&Value>) {
        let digits = value.and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        if let Some(digits) = digits
            && matches!(digits.len(), 6 | 8)
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
        {
            self.set(name, &format!("#{digits}"));
        }
    }

    fn word(&mut self, name: &str, value: Option<&Value>, known: &[&str]) {
        if let Some(word) = value.and_then(Value::as_str).filter(|word| known.contains(word)) {
            self.set(name, word);
        }
    }

    /// The place of a component in its box.
    fn place(&mut self, component: &Value, within: Within) {
        let own = component.get("margin").and_then(Value::as_str).map(spacing);
        let margin = own.unwrap_or(if within.is_first { 0 } else { within.spacing });
        if margin > 0 {
            let side = if within.is_row { "margin-inline-start" } else { "margin-top" };
            self.set(side, &format!("{margin}px"));
        }
        let share = component.get("flex").and_then(Value::as_u64);
        if within.is_row {
            // beside each other all are equally wide, if nothing else is said
            match share.unwrap_or(u64::from(component.get("type").and_then(Value::as_str) != Some("icon"))) {
                0 => self.set("flex", "0 0 auto"),
                share => self.set("flex", &format!("{} 1 0", share.min(100))),
            }
        }
        let gravity = match component.get("gravity").and_then(Value::as_str) {
            Some("center") => Some("center"),
            Some("bottom") => Some("flex-end"),
            _ => None,
        };
        if let Some(gravity) = gravity.filter(|_| within.is_row) {
            self.set("align-self", gravity);
        }
    }

    /// What a box has of lengths: padding, corners, a border, a size.
    fn lengths(&mut self, component: &Value) {
        let padding = [
            ("paddingAll", "padding"),
            ("paddingTop", "padding-top"),
            ("paddingBottom", "padding-bottom"),
            ("paddingStart", "padding-inline-start"),
            ("paddingEnd", "padding-inline-end"),
            ("cornerRadius", "border-radius"),
            ("height", "height"),
            ("width", "width"),
        ];
        for (field, property) in padding {
            let Some(value) = component.get(field).and_then(Value::as_str) else { continue };
            if let Some(length) = length(value) {
                self.set(property, &length);
            }
        }
        if component.get("borderColor").is_some() {
            self.set("border", "1px solid");
            self.colour("border-color", component.get("borderColor"));
        }
    }

    fn text(&mut self, component: &Value) {
        if let Some(size) = component.get("size").and_then(Value::as_str) {
            let px = match size {
                "xxs" => 11.0,
                "xs" => 13.0,
                "sm" => 14.0,
                "md" => 16.0,
                "lg" => 19.0,
                "xl" => 22.0,
                "xxl" => 29.0,
                "3xl" => 35.0,
                "4xl" => 48.0,
                "5xl" => 74.0,
                _ => pixels(size).unwrap_or(16.0),
            };
            self.set("font-size", &format!("{px}px"));
        }
        if component.get("weight").and_then(Value::as_str) == Some("bold") {
            self.set("font-weight", "700");
        }
        self.colour("color", component.get("color"));
        match component.get("align").and_then(Value::as_str) {
            Some("center") => self.set("text-align", "center"),
            Some("end") => self.set("text-align", "end"),
            _ => {}
        }
        self.word("text-decoration", component.get("decoration"), &["underline", "line-through"]);
        self.word("font-style", component.get("style"), &["italic"]);
    }

    fn ratio(&mut self, component: &Value) {
        let ratio = component.get("aspectRatio").and_then(Value::as_str).and_then(|text| {
            let (width, height) = text.split_once(':')?;
            Some((width.parse::<f64>().ok()?, height.parse::<f64>().ok()?))
        });
        // LINE takes up to three times as high as wide
        let ratio = ratio.filter(|(width, height)| *width > 0.0 && *height > 0.0 && height / width <= 3.0);
        if let Some((width, height)) = ratio {
            self.set("aspect-ratio", &format!("{width}/{height}"));
        }
    }
}

/// A length in pixels or percent as LINE writes it, or one of its words for margins.
fn length(text: &str) -> Option<String> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<f64>().ok());
    if let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) {
        return Some(format!("{percent}%"));
    }
    match text {
        "none" | "xs" | "sm" | "md" | "lg" | "xl" | "xxl" => Some(format!("{}px", spacing(text))),
        _ => pixels(text).map(|px| format!("{px}px")),
    }
}

/// `12px`, within what a screen has.
fn pixels(text: &str) -> Option<f64> {
    let number = text.strip_suffix("px")?.parse::<f64>().ok()?;
    (0.0..=2_000.0).contains(&number).then_some(number)
}

/// A margin or spacing in pixels.
fn spacing(text: &str) -> u32 {
    match text {
        "xs" => 2,
        "sm" => 4,
        "md" => 8,
        "lg" => 12,
        "xl" => 16,
        "xxl" => 20,
        _ => pixels(text).unwrap_or(0.0).min(400.0) as u32,
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    match value.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

impl Media {
    pub fn word(self, language: Language) -> &'static str {
        match (self, language) {
            (Media::Image, Language::English) => "image",
            (Media::Image, Language::Japanese) => "画像",
            (Media::Video, Language::English) => "video",
            (Media::Video, Language::Japanese) => "動画",
            (Media::Audio, Language::English) => "audio",
            (Media::Audio, Language::Japanese) => "音声",
            (Media::Sticker, Language::English) => "sticker",
            (Media::Sticker, Language::Japanese) => "スタンプ",
            (Media::Location, Language::English) => "location",
            (Media::Location, Language::Japanese) => "位置情報",
            (Media::Coupon, Language::English) => "coupon",
            (Media::Coupon, Language::Japanese) => "クーポン",
        }
    }
}

impl Form {
    pub fn word(self, language: Language) -> &'static str {
        match (self, language) {
            (Form::Buttons, Language::English) => "buttons",
            (Form::Buttons, Language::Japanese) => "ボタン",
            (Form::Confirm, Language::English) => "confirm",
            (Form::Confirm, Language::Japanese) => "確認",
            (Form::Carousel, Language::English) => "carousel",
            (Form::Carousel, Language::Japanese) => "カルーセル",
            (Form::ImageCarousel, Language::English) => "image carousel",
            (Form::ImageCarousel, Language::Japanese) => "画像カルーセル",
        }
    }
}

impl Bubble {
    /// The message as lines of text, for where there are no pictures.
    pub fn lines(&self, language: Language) -> Vec<String> {
        let mut lines = match &self.body {
            Body::Text { text } => text.lines().map(str::to_owned).collect(),
            Body::Media { media, lines, url } => {
                let told = lines.iter().chain(url).filter(|line| !line.is_empty()).cloned();
                let words: Vec<String> =
                    std::iter::once(format!("[{}]", media.word(language))).chain(told).collect();
                vec![words.join(" ")]
            }
            Body::Imagemap { alt, url, areas } => {
                let word = match language {
                    Language::English => "imagemap",
                    Language::Japanese => "イメージマップ",
                };
                let areas = areas.iter().map(Button::line);
                std::iter::once(format!("[{word}] {alt} {url}")).chain(areas).collect()
            }
            Body::Cards { alt, form, cards } => {
                let has_many = cards.len() > 1;
                let told = (1..)
                    .zip(cards)
                    .flat_map(|(number, card)| card.lines(has_many.then_some(number), language));
                std::iter::once(format!("[{}] {alt}", form.word(language))).chain(told).collect()
            }
            Body::Flex { alt, bubbles } => {
                let mut lines = vec![format!("[flex] {alt}")];
                for (number, bubble) in (1..).zip(bubbles) {
                    if bubbles.len() > 1 {
                        lines.push(format!("{number}."));
                    }
                    let parts = bubble.blocks.iter().flat_map(|block| &block.parts);
                    parts.for_each(|part| part.tell(language, &mut lines));
                }
                lines
            }
            Body::Other { name } => vec![format!("[{name}]")],
        };
        if !self.quick_replies.is_empty() {
            let labels: Vec<String> =
                self.quick_replies.iter().map(|reply| format!("({})", reply.label)).collect();
            lines.push(labels.join(" "));
        }
        if let (Some(sender), Some(first)) = (&self.sender, lines.first_mut()) {
            *first = format!("{sender}: {first}");
        }
        lines
    }
}

impl Button {
    fn line(&self) -> String {
        match self.label == self.target {
            true => format!("▶ {}", self.label),
            false => format!("▶ {}  → {}", self.label, self.target),
        }
    }
}

impl Card {
    fn lines(&self, number: Option<usize>, language: Language) -> Vec<String> {
        let image = self.image.as_ref().map(|url| format!("[{}] {url}", Media::Image.word(language)));
        let texts = self.title.iter().chain(&self.text).flat_map(|text| text.lines().map(str::to_owned));
        let mut lines: Vec<String> = image.into_iter().chain(texts).collect();
        if let (Some(number), Some(first)) = (number, lines.first_mut()) {
            *first = format!("{number}. {first}");
        }
        lines.extend(self.buttons.iter().map(Button::line));
        lines
    }
}

impl Part {
    fn tell(&self, language: Language, lines: &mut Vec<String>) {
        match self.kind {
            PartKind::Row => {
                // what stands beside each other is read as one line, but for what can be pressed
                let mut beside = Vec::new();
                self.parts.iter().for_each(|part| part.tell(language, &mut beside));
                let (pressed, read): (Vec<String>, Vec<String>) =
                    beside.into_iter().partition(|line| line.starts_with('▶'));
                lines.extend((!read.is_empty()).then(|| read.join("  ")));
                lines.extend(pressed);
            }
            PartKind::Column => self.parts.iter().for_each(|part| part.tell(language, lines)),
            PartKind::Text | PartKind::Span => {
                let spans: String = self.parts.iter().map(|part| part.text.as_str()).collect();
                lines.extend(self.text.lines().chain(spans.lines()).map(str::to_owned));
            }
            PartKind::Button => lines.extend(self.button.as_ref().map(Button::line)),
            PartKind::Image => lines.push(format!("[{}] {}", Media::Image.word(language), self.text)),
            PartKind::Video => lines.push(format!("[{}] {}", Media::Video.word(language), self.text)),
            PartKind::Icon | PartKind::Separator | PartKind::Space => {}
        }
    }
}

#[cfg(test)]
mod tests;
