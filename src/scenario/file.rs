//! A scenario file as it is written. What its texts mean is told by [`load`](super::load).
//!
//! The JSON Schema for editors and the check for unknown keys come from these types, so a key is
//! added here and nowhere else. A key named in `x-later` is refused as not supported yet.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::scenario::message;
use crate::scenario::written::{FIXED_PATTERN, HOURS_PATTERN, OFFSET_PATTERN, TIME_PATTERN};

/// A scenario of amadare: an ordered plan of messages, and what starts, moves and ends it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Scenario")]
#[schemars(extend("x-name" = "the file", "x-later" = [
    "priority", "topic", "caps", "budget", "holdout", "paused", "starts", "ends", "samples", "on_days", "workdays",
    "closed",
]))]
pub struct ScenarioFile {
    /// The scenario's id: a-z, 0-9 and -. Also the file's name.
    #[schemars(required, extend("pattern" = "^[a-z0-9-]+$", "examples" = ["trial-followup"]))]
    pub scenario: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// The time zone of all its civil times, by its IANA name. Without it, that of the configuration.
    #[schemars(extend("examples" = ["Asia/Tokyo"]))]
    pub zone: Option<String>,
    /// The send window: outside it a push waits for the next opening. Without it, that of the configuration.
    pub hours: Option<HoursText>,
    /// How far behind its moment a step may still go out. Units s, m, h, d, w.
    pub late: Option<FixedText>,
    /// How overdue a step may be beyond which it is passed over when a later one is due as well.
    pub grace: Option<FixedText>,
    /// What starts the scenario for a member: one mapping, or a list of them.
    #[schemars(required)]
    pub enter: Option<OneOrMany<EnterItem>>,
    /// The instant that days are counted from; without it, the entry. An expression.
    #[schemars(extend("examples" = ["event.starts_at"]))]
    pub anchor: Option<ExpressionText>,
    /// Merges a new event into a run, and plans it anew if that moves the anchor.
    pub update: Option<OneOrMany<ListenItem>>,
    /// What ends a run early.
    pub exit: Option<OneOrMany<ListenItem>>,
    /// What a run is for: reached, it ends as converted.
    pub goal: Option<GoalItem>,
    /// The messages, in the order they run in.
    #[schemars(required, length(min = 1))]
    pub steps: Option<Vec<StepItem>>,
}

/// An event that starts the scenario.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`enter`", "x-later" = ["segment", "date", "yearly", "every"]))]
pub struct EnterItem {
    /// The event's name.
    #[schemars(required, extend("examples" = ["purchase", "line.follow"]))]
    pub on: Option<String>,
    /// A condition on the event and the member; without it, every such event counts.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = ["event.category == \"trial\""]))]
    pub condition: Option<ExpressionText>,
    /// Runs with different keys are different runs: one for each booking, for example.
    #[schemars(extend("examples" = ["event.booking_id"]))]
    pub key: Option<ExpressionText>,
    /// Whether a member may enter again: never (default), after_exit, always, or a cool-down such as 90d.
    #[schemars(extend(
        "pattern" = "^(never|after_exit|always|[1-9][0-9]*(s|m|h|d|w|mo|y))$",
        "examples" = ["never", "after_exit", "always", "90d"],
        "x-kind" = "duration",
    ))]
    pub again: Option<String>,
}

/// An event that moves or ends a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`update` or `exit`", "x-later" = ["segment"]))]
pub struct ListenItem {
    /// The event's name.
    #[schemars(required, extend("examples" = ["purchase", "interview.cancelled"]))]
    pub on: Option<String>,
    /// A condition on the event, the member and the run.
    #[serde(rename = "where")]
    pub condition: Option<ExpressionText>,
    /// Which run is meant: the one with this key. Without it, every run of the member.
    pub key: Option<ExpressionText>,
}

/// An event that is what the scenario is for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`goal`", "x-later" = ["segment"]))]
pub struct GoalItem {
    /// The event's name.
    #[schemars(required, extend("examples" = ["purchase"]))]
    pub on: Option<String>,
    /// A condition on the event, the member and the run.
    #[serde(rename = "where")]
    pub condition: Option<ExpressionText>,
    /// Which run is meant: the one with this key. Without it, every run of the member.
    pub key: Option<ExpressionText>,
    /// How long after the entry it still counts.
    pub within: Option<OffsetText>,
    /// What a conversion is worth: an expression that gives a number.
    #[schemars(extend("examples" = ["event.amount"]))]
    pub value: Option<ExpressionText>,
}

/// A message with its timing: one of day, after, before and wait, or none for at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "a step", "x-later" = [
    "reply", "menu", "set", "call", "enter", "exit", "branch", "split", "wait_for", "within", "on_days",
    "workdays", "steps", "else",
]))]
pub struct StepItem {
    /// The step's id, unique in the file: a-z, 0-9, - and _. A running member continues by it, so keep it when editing.
    #[schemars(required, extend("pattern" = "^[a-z0-9_-]+$", "examples" = ["welcome", "day-before"]))]
    pub step: Option<String>,
    /// So many days from the anchor's date; negative is before it.
    #[schemars(range(min = -3660, max = 3660))]
    pub day: Option<i64>,
    /// The time of day, in the scenario's zone. With day, or with after and before in days or more.
    pub at: Option<TimeText>,
    /// So long after the anchor.
    pub after: Option<OffsetText>,
    /// So long before the anchor.
    pub before: Option<OffsetText>,
    /// So long after the step before was accepted or passed over.
    pub wait: Option<OffsetText>,
    /// A condition; where it is false the step is passed over.
    #[schemars(extend("examples" = ["not member.regular"]))]
    pub when: Option<ExpressionText>,
    /// How far behind its moment it may still go out. Units s, m, h, d, w.
    pub late: Option<FixedText>,
    /// Its own send window, in place of the scenario's.
    pub hours: Option<HoursText>,
    /// Whether it is sent again when the anchor moves after it was sent. Default: yes before the anchor, no after.
    pub resend: Option<bool>,
    /// No sound or banner on the member's device.
    pub silent: Option<bool>,
    /// What is sent: a text, a LINE message object, or a list of one to five of them.
    #[schemars(required)]
    pub push: Option<Push>,
}

macro_rules! text_of_kind {
    ($(#[doc = $doc:literal])* $name:ident, $($schema:tt)*) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline, extend($($schema)*))]
        pub struct $name(pub String);
    };
}

text_of_kind! {
    /// A length of time: a whole number and s, m, h, d, w, mo or y.
    OffsetText, "pattern" = OFFSET_PATTERN, "examples" = ["90m", "3d", "3mo"], "x-kind" = "duration"
}
text_of_kind! {
    /// A length of time of fixed size: a whole number and s, m, h, d or w.
    FixedText, "pattern" = FIXED_PATTERN, "examples" = ["10m", "1d"], "x-kind" = "duration"
}
text_of_kind! {
    /// A time of day, 00:00 to 23:59.
    TimeText, "pattern" = TIME_PATTERN, "examples" = ["19:00"], "x-kind" = "time"
}
text_of_kind! {
    /// A send window in civil time.
    HoursText, "pattern" = HOURS_PATTERN, "examples" = ["09:00-21:00"], "x-kind" = "hours"
}
text_of_kind! {
    /// An expression over member, event, enrollment, anchor and now.
    ExpressionText, "x-kind" = "expression"
}

/// One value, or a list of such values.
#[derive(Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping or a list of mappings")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                Ok(OneOrMany(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany<T>, A::Error> {
                Ok(OneOrMany(Vec::deserialize(SeqAccessDeserializer::new(list))?))
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// Messages as written: a text, a message object, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Push(pub serde_json::Value);

impl JsonSchema for Push {
    fn schema_name() -> Cow<'static, str> {
        "Push".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let types: Vec<&str> = message::TYPES.iter().map(|(name, _, _)| *name).collect();
        let object = serde_json::json!({
            "type": "object",
            "description": "a LINE message object, as LINE documents it, or { $file: path.json }",
            "properties": {
                "type": { "type": "string", "enum": types },
                "altText": { "type": "string" },
                "text": { "type": "string" },
                message::FILE_KEY: { "type": "string", "description": "a JSON file that takes this place" },
            },
            "x-free": true,
        });
        let text = serde_json::json!({ "type": "string", "description": "a text message; a template" });
        json_schema!({
            "anyOf": [
                text,
                object,
                {
                    "type": "array",
                    "items": { "anyOf": [text, object] },
                    "minItems": 1,
                    "maxItems": message::MAX_MESSAGES,
                },
            ],
        })
    }
}
