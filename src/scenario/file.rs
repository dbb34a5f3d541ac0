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
#[schemars(extend("x-name" = "the file", "x-later" = ["budget"]))]
pub struct ScenarioFile {
    /// The scenario's id: a-z, 0-9 and -. Also the file's name.
    #[schemars(required, extend("pattern" = "^[a-z0-9-]+$", "errorMessage" = "an id has only a-z, 0-9 and -", "examples" = ["trial-followup"]))]
    pub scenario: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// The time zone of all its civil times, by its IANA name. Without it, that of the configuration.
    #[schemars(extend("examples" = ["Asia/Tokyo"]))]
    pub zone: Option<String>,
    /// The send window: outside it a push waits for the next opening. Without it, that of the configuration.
    pub hours: Option<HoursText>,
    /// The days that its steps may fall on; one that falls on another day moves to the next of these.
    pub on_days: Option<DaysText>,
    /// Only workdays: Monday to Friday, no public holiday of Japan, not `closed`. Days are counted in workdays then.
    pub workdays: Option<bool>,
    /// Days that are no workdays, beside those of the configuration.
    #[schemars(extend("examples" = [["12-29..01-03"]]))]
    pub closed: Option<Vec<ClosedText>>,
    /// Whose messages come first where several scenarios want to send to one member: `low`, `normal` (default) or `high`.
    pub priority: Option<PriorityWord>,
    /// What a member can opt out of.
    #[schemars(extend("examples" = ["news"]))]
    pub topic: Option<String>,
    /// What becomes of a message that a frequency cap of the configuration does not let out: `defer` (default), `skip`, or `exempt` from the caps.
    pub caps: Option<CapWord>,
    /// The share of members kept for comparison: enrolled, never sent to.
    #[schemars(extend("pattern" = "^[0-9]+(\\.[0-9]{1,2})?%$", "errorMessage" = "a share is a number and %: 10%, 2.5%", "examples" = ["10%"], "x-kind" = "share"))]
    pub holdout: Option<String>,
    /// Members enter, but not by the clock, and nothing is sent.
    pub paused: Option<bool>,
    /// Nobody enters before this date, or date and time, in the scenario's zone.
    #[schemars(extend("examples" = ["2026-12-01"], "x-kind" = "instant"))]
    pub starts: Option<String>,
    /// Nobody enters after this date, or from this date and time on, and runs end.
    #[schemars(extend("examples" = ["2026-12-25", "2026-12-25T18:00"], "x-kind" = "instant"))]
    pub ends: Option<String>,
    /// Members and events that `check` renders every message with: one mapping, or a list of them.
    pub samples: Option<OneOrMany<SampleItem>>,
    /// How far behind its moment a step may still go out. Units `s`, `m`, `h`, `d`, `w`.
    pub late: Option<FixedText>,
    /// How overdue a step may be beyond which it is passed over when a later one is due as well.
    pub grace: Option<FixedText>,
    /// What starts the scenario for a member: one mapping, or a list of them. Each has one of `on`, `segment`, `date`, `every` and `manual`.
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
    /// The messages, in the order they run in. A step has at most one of `day`, `after`, `before` and `wait`, and does one thing.
    #[schemars(required, length(min = 1))]
    pub steps: Option<Vec<StepItem>>,
}

/// What starts the scenario: one of `on`, `segment`, `date`, `every` and `manual`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`enter`"))]
pub struct EnterItem {
    /// An event's name.
    #[schemars(extend("examples" = ["purchase", "line.follow"]))]
    pub on: Option<String>,
    /// A condition on the member: a change that makes it true starts the scenario.
    #[schemars(extend("examples" = ["member.points >= 1000"]))]
    pub segment: Option<ExpressionText>,
    /// A date of the member, which days are counted from. The run moves with it, and ends if it is taken away.
    #[schemars(extend("examples" = ["member.birthday"]))]
    pub date: Option<ExpressionText>,
    /// With `date`: every year on that date.
    pub yearly: Option<bool>,
    /// A moment on the clock, as five fields: minute, hour, day of the month, month, day of the week.
    #[schemars(extend("examples" = ["0 9 * * mon"], "x-kind" = "cron"))]
    pub every: Option<String>,
    /// Only the API, the command line and steps of other scenarios start it: `true`.
    pub manual: Option<bool>,
    /// A condition on the event and the member; without it, every one counts.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = ["event.category == \"trial\""]))]
    pub condition: Option<ExpressionText>,
    /// Runs with different keys are different runs: one for each booking, for example.
    #[schemars(extend("examples" = ["event.booking_id"]))]
    pub key: Option<ExpressionText>,
    /// Whether a member may enter again: `never` (default), `after_exit`, `always`, or a cool-down such as `90d`.
    #[schemars(extend(
        "pattern" = "^(never|after_exit|always|0*[1-9][0-9]*(s|m|h|d|w|mo|y))$",
        "errorMessage" = "never, after_exit, always, or a length of time such as 90d",
        "x-kind" = "duration",
    ))]
    pub again: Option<String>,
}

/// An event that moves or ends a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`update` or `exit`"))]
pub struct ListenItem {
    /// The event's name.
    #[schemars(extend("examples" = ["purchase", "interview.cancelled"]))]
    pub on: Option<String>,
    /// With `exit`, in place of an event: a condition on the member, met by a change that makes it true.
    #[schemars(extend("examples" = ["member.regular"]))]
    pub segment: Option<ExpressionText>,
    /// A condition on the event, the member and the run.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = ["event.category == \"regular\""]))]
    pub condition: Option<ExpressionText>,
    /// Which run is meant: the one with this key. Without it, every run of the member.
    #[schemars(extend("examples" = ["event.booking_id"]))]
    pub key: Option<ExpressionText>,
}

/// An event that is what the scenario is for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`goal`"))]
pub struct GoalItem {
    /// The event's name.
    #[schemars(extend("examples" = ["purchase"]))]
    pub on: Option<String>,
    /// In place of an event: a condition on the member, met by a change that makes it true.
    #[schemars(extend("examples" = ["member.regular"]))]
    pub segment: Option<ExpressionText>,
    /// A condition on the event, the member and the run.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = ["event.category == \"regular\""]))]
    pub condition: Option<ExpressionText>,
    /// Which run is meant: the one with this key. Without it, every run of the member.
    #[schemars(extend("examples" = ["event.booking_id"]))]
    pub key: Option<ExpressionText>,
    /// How long after the entry it still counts.
    pub within: Option<OffsetText>,
    /// What a conversion is worth: an expression that gives a number.
    #[schemars(extend("examples" = ["event.amount"]))]
    pub value: Option<ExpressionText>,
}

/// One thing to do, with its timing: one of `day`, `after`, `before` and `wait`, or none for at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "a step"))]
pub struct StepItem {
    /// The step's id, unique in the file: a-z, 0-9, - and _. A running member continues by it, so keep it when editing.
    #[schemars(required, extend("pattern" = "^[a-z0-9_-]+$", "errorMessage" = "an id has only a-z, 0-9, - and _", "examples" = ["welcome", "day-before"]))]
    pub step: Option<String>,
    /// Other ids that the step had before: members who are on their way go on by it. One id, or a list.
    #[schemars(extend("examples" = ["hello"]))]
    pub was: Option<IdsText>,
    /// So many days from the anchor's date; negative is before it.
    #[schemars(range(min = -3660, max = 3660), extend("examples" = [3, -1]))]
    pub day: Option<i64>,
    /// The time of day, in the scenario's zone. With `day`, or with `after` and `before` in days or more.
    pub at: Option<TimeText>,
    /// So long after the anchor.
    pub after: Option<OffsetText>,
    /// So long before the anchor.
    pub before: Option<OffsetText>,
    /// So long after the step before was accepted or passed over.
    pub wait: Option<OffsetText>,
    /// The days it may fall on; one that falls on another day moves to the next of these, or back before the anchor.
    pub on_days: Option<DaysText>,
    /// Only workdays: Monday to Friday, no public holiday of Japan, not `closed`. Days are counted in workdays then.
    pub workdays: Option<bool>,
    /// A condition; where it is false the step is passed over.
    #[schemars(extend("examples" = ["not member.regular"]))]
    pub when: Option<ExpressionText>,
    /// How far behind its moment it may still go out. Units `s`, `m`, `h`, `d`, `w`.
    pub late: Option<FixedText>,
    /// Its own send window, in place of the scenario's.
    pub hours: Option<HoursText>,
    /// Whether it is sent again when the anchor moves after it was sent. Default: yes before the anchor, no after.
    pub resend: Option<bool>,
    /// No sound or banner on the member's device.
    pub silent: Option<bool>,
    /// What is sent: a text, a LINE message object, or a list of one to five of them.
    pub push: Option<Push>,
    /// A free answer to the event of LINE's that brought the run here, as `push`. Not sent by this version yet.
    pub reply: Option<Push>,
    /// Links a rich menu to the member, or takes it away. Not done by this version yet.
    pub menu: Option<MenuItem>,
    /// Changes what is known of the member.
    pub set: Option<SetItem>,
    /// Tells the operator's own service: a URL, or a mapping with the body of the request.
    #[schemars(extend("examples" = ["https://shop.example/coupon-sent"]))]
    pub call: Option<CallItem>,
    /// Starts another scenario for the member: its id, or a mapping with data for it.
    #[schemars(extend("examples" = ["win-back"]))]
    pub enter: Option<StartItem>,
    /// Ends the run here: `true`.
    pub exit: Option<bool>,
    /// The first arm whose condition holds is taken.
    #[schemars(length(min = 1))]
    pub branch: Option<Vec<ArmItem>>,
    /// One arm is taken by the member's id, in these proportions; always the same for a member.
    #[schemars(length(min = 2))]
    pub split: Option<Vec<ShareItem>>,
    /// Waits for an event; then `steps`, else `else`.
    pub wait_for: Option<WaitItem>,
    /// How long `wait_for` waits, from the moment it is reached.
    pub within: Option<OffsetText>,
    /// What follows when the event of `wait_for` has come.
    pub steps: Option<Vec<StepItem>>,
    /// What follows when the event of `wait_for` has not come in time.
    #[serde(rename = "else")]
    pub otherwise: Option<Vec<StepItem>>,
}

/// What a step does; exactly one of these keys stands in it.
pub const ACTS: [&str; 10] =
    ["push", "reply", "menu", "set", "call", "enter", "exit", "branch", "split", "wait_for"];

/// A change of what is known of the member.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`set`"))]
pub struct SetItem {
    /// Attributes by name. A text may be a template; one that is a single `{{ expression }}` keeps the value's type. Null takes the attribute away.
    pub attributes: Option<FreeMap>,
    /// Tags to add: a list, or a mapping of `add` and `remove`.
    pub tags: Option<TagsItem>,
}

/// Tags that a step adds, or adds and takes away.
#[derive(Debug, Default)]
pub struct TagsItem {
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

/// A rich menu to link, or the wish to take the linked one away.
#[derive(Debug)]
pub enum MenuItem {
    Link(String),
    Unlink,
    /// A text that is neither.
    Other(String),
}

impl<'de> Deserialize<'de> for MenuItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<MenuItem, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            #[serde(default)]
            link: String,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = MenuItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`unlink`, or a mapping with `link`")
            }

            fn visit_str<E>(self, text: &str) -> Result<MenuItem, E> {
                Ok(match text {
                    "unlink" => MenuItem::Unlink,
                    other => MenuItem::Other(other.to_owned()),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MenuItem, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(|map| MenuItem::Link(map.link))
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for MenuItem {
    fn schema_name() -> Cow<'static, str> {
        "MenuItem".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let id = serde_json::json!({ "type": "string", "description": "The rich menu's id: `richmenu-…`." });
        json_schema!({ "anyOf": [
            {
                "type": "string",
                "enum": ["unlink"],
                "enumDescriptions": ["takes the menu away that was linked to the member"],
            },
            {
                "type": "object",
                "x-name": "`menu`",
                "properties": { "link": id },
                "required": ["link"],
                "additionalProperties": false,
            },
        ] })
    }
}

/// A request to the operator's own service.
#[derive(Debug)]
pub struct CallItem {
    pub url: Option<String>,
    pub body: Option<FreeMap>,
}

impl<'de> Deserialize<'de> for CallItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<CallItem, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            url: Option<String>,
            body: Option<FreeMap>,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = CallItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a mapping with `url` and `body`")
            }

            fn visit_str<E>(self, url: &str) -> Result<CallItem, E> {
                Ok(CallItem { url: Some(url.to_owned()), body: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CallItem, A::Error> {
                let Map { url, body } = Map::deserialize(MapAccessDeserializer::new(map))?;
                Ok(CallItem { url, body })
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for CallItem {
    fn schema_name() -> Cow<'static, str> {
        "CallItem".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let url = serde_json::json!({ "type": "string", "description": "An https URL; its host is listed in the configuration." });
        let mut body = generator.subschema_for::<FreeMap>();
        body.insert("description".into(), "What it is told, as JSON: any keys; texts are templates.".into());
        json_schema!({ "anyOf": [
            url,
            {
                "type": "object",
                "x-name": "`call`",
                "properties": { "url": url, "body": body },
                "required": ["url"],
                "additionalProperties": false,
            },
        ] })
    }
}

/// Another scenario to start.
#[derive(Debug)]
pub struct StartItem {
    pub scenario: Option<String>,
    pub data: Option<FreeMap>,
}

/// One arm of a `branch`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "an arm of `branch`"))]
pub struct ArmItem {
    /// The condition of this arm.
    #[schemars(extend("examples" = ["member.plan == \"gold\""]))]
    pub when: Option<ExpressionText>,
    /// The last arm, where no condition held: its steps, or `true` with `steps` beside it.
    #[serde(default, rename = "else", deserialize_with = "present")]
    #[schemars(with = "ElseItem")]
    pub otherwise: Option<ElseItem>,
    /// What this arm does.
    pub steps: Option<Vec<StepItem>>,
}

/// One arm of a `split`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "an arm of `split`"))]
pub struct ShareItem {
    /// Its share, in proportion to the other arms.
    #[schemars(required, range(min = 1, max = 10_000), extend("examples" = [50]))]
    pub weight: Option<i64>,
    /// What this arm does; an arm without steps is a control group.
    pub steps: Option<Vec<StepItem>>,
}

/// An event to wait for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`wait_for`"))]
pub struct WaitItem {
    /// The event's name.
    #[schemars(required, extend("examples" = ["purchase", "line.postback"]))]
    pub on: Option<String>,
    /// A condition on the event, the member and the run.
    #[serde(rename = "where")]
    #[schemars(extend("examples" = ["event.category == \"regular\""]))]
    pub condition: Option<ExpressionText>,
    /// Which run is meant: the one with this key. Without it, every run of the member that waits here.
    #[schemars(extend("examples" = ["event.cart_id"]))]
    pub key: Option<ExpressionText>,
    /// How long it waits, from the moment it is reached. May stand beside `wait_for` as well.
    pub within: Option<OffsetText>,
    /// What follows when the event has come. May stand beside `wait_for` as well.
    pub steps: Option<Vec<StepItem>>,
    /// What follows when the event has not come in time. May stand beside `wait_for` as well.
    #[serde(rename = "else")]
    pub otherwise: Option<Vec<StepItem>>,
}

/// A key that stands there counts even without a value.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ElseItem>, D::Error> {
    ElseItem::deserialize(from).map(Some)
}

/// What stands at `else` of an arm.
#[derive(Debug)]
pub enum ElseItem {
    /// The steps stand beside it.
    Beside,
    Steps(Vec<StepItem>),
}

impl<'de> Deserialize<'de> for ElseItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ElseItem, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            #[serde(default)]
            steps: Vec<StepItem>,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = ElseItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of steps, or true")
            }

            fn visit_unit<E>(self) -> Result<ElseItem, E> {
                Ok(ElseItem::Beside)
            }

            fn visit_bool<E>(self, _: bool) -> Result<ElseItem, E> {
                Ok(ElseItem::Beside)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ElseItem, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(|map| ElseItem::Steps(map.steps))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ElseItem, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ElseItem::Steps)
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for ElseItem {
    fn schema_name() -> Cow<'static, str> {
        "ElseItem".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let step = generator.subschema_for::<StepItem>();
        let description = "What follows where no condition held.";
        let steps = serde_json::json!({ "type": "array", "items": step, "description": description });
        json_schema!({ "anyOf": [
            steps,
            { "type": "boolean", "x-only": true },
            { "type": "null", "x-empty": true },
            {
                "type": "object",
                "x-name": "`else`",
                "properties": { "steps": steps },
                "required": ["steps"],
                "additionalProperties": false,
            },
        ] })
    }
}

impl<'de> Deserialize<'de> for TagsItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TagsItem, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            #[serde(default)]
            add: Vec<String>,
            #[serde(default)]
            remove: Vec<String>,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = TagsItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tags, or `add` and `remove`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TagsItem, A::Error> {
                let Map { add, remove } = Map::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TagsItem { add, remove })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TagsItem, A::Error> {
                let add = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(TagsItem { add, remove: Vec::new() })
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for TagsItem {
    fn schema_name() -> Cow<'static, str> {
        "TagsItem".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let tags = |of: &str| serde_json::json!({ "type": "array", "items": { "type": "string" }, "description": of });
        json_schema!({ "anyOf": [
            tags("Tags to add."),
            {
                "type": "object",
                "x-name": "`tags`",
                "properties": { "add": tags("Tags to add."), "remove": tags("Tags to take away.") },
                "additionalProperties": false,
            },
        ] })
    }
}

impl<'de> Deserialize<'de> for StartItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<StartItem, D::Error> {
        struct Either;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            scenario: Option<String>,
            data: Option<FreeMap>,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = StartItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scenario's id, or a mapping with `scenario` and `data`")
            }

            fn visit_str<E>(self, id: &str) -> Result<StartItem, E> {
                Ok(StartItem { scenario: Some(id.to_owned()), data: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StartItem, A::Error> {
                let Map { scenario, data } = Map::deserialize(MapAccessDeserializer::new(map))?;
                Ok(StartItem { scenario, data })
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for StartItem {
    fn schema_name() -> Cow<'static, str> {
        "StartItem".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let id = serde_json::json!({ "type": "string", "description": "The other scenario's id." });
        let mut data = generator.subschema_for::<FreeMap>();
        data.insert("description".into(), "What `event` is there; without it, what it is here.".into());
        json_schema!({ "anyOf": [
            id,
            {
                "type": "object",
                "x-name": "`enter`",
                "properties": { "scenario": id, "data": data },
                "required": ["scenario"],
                "additionalProperties": false,
            },
        ] })
    }
}

/// A mapping of any keys and values, whose texts may be templates.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct FreeMap(pub serde_json::Map<String, serde_json::Value>);

impl JsonSchema for FreeMap {
    fn schema_name() -> Cow<'static, str> {
        "FreeMap".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "Any keys; texts may be templates.", "x-free": true })
    }
}

/// A member and an event to render messages with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "a sample"))]
pub struct SampleItem {
    /// Attributes of the member, and its `id`, `tags`, `linked` and `friend`.
    pub member: Option<FreeMap>,
    /// The data of the event.
    pub event: Option<FreeMap>,
    /// The anchor, as a date and time in the scenario's zone.
    #[schemars(extend("examples" = ["2026-12-01T14:00"], "x-kind" = "instant"))]
    pub anchor: Option<String>,
}

/// Whose messages come first.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline, extend("enumDescriptions" = ["after those of other scenarios", "the default", "before those of other scenarios"]))]
pub enum PriorityWord {
    Low,
    Normal,
    High,
}

/// What a frequency cap does to a scenario's messages.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline, extend("enumDescriptions" = [
    "it waits until the cap lets it out; the default",
    "it is passed over",
    "it goes out all the same, and counts for the others",
]))]
pub enum CapWord {
    Defer,
    Skip,
    Exempt,
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
    OffsetText, "pattern" = OFFSET_PATTERN,
    "errorMessage" = "a length of time is a whole number and a unit: 90m, 12h, 3d, 1w, 3mo, 1y", "examples" = ["90m", "3d", "3mo"], "x-kind" = "duration"
}
text_of_kind! {
    /// A length of time of fixed size: a whole number and s, m, h, d or w.
    FixedText, "pattern" = FIXED_PATTERN,
    "errorMessage" = "a length of time here is a whole number and s, m, h, d or w: 30m, 6h, 1d", "examples" = ["10m", "1d"], "x-kind" = "duration"
}
text_of_kind! {
    /// A time of day, 00:00 to 23:59.
    TimeText, "pattern" = TIME_PATTERN, "errorMessage" = "a time of day is 00:00 to 23:59, in quotes: \"19:00\"", "examples" = ["19:00"], "x-kind" = "time"
}
text_of_kind! {
    /// A send window in civil time.
    HoursText, "pattern" = HOURS_PATTERN,
    "errorMessage" = "send hours are two times of day with a - between them: 09:00-21:00", "examples" = ["09:00-21:00"], "x-kind" = "hours"
}
text_of_kind! {
    /// A day, or days from one to another: 12-31, 12-29..01-03, 2026-08-13..2026-08-16.
    ClosedText, "errorMessage" = "a day such as 12-31 or 2026-08-13, or two days with .. between them: 12-29..01-03",
    "examples" = ["12-29..01-03", "2026-08-13"], "x-kind" = "days"
}
text_of_kind! {
    /// An expression over member, event, enrollment, anchor and now.
    ExpressionText, "errorMessage" = "an expression is a text, such as event.amount >= 3000", "x-kind" = "expression"
}

/// Days of the week: one text, or a list of them.
#[derive(Debug)]
pub struct DaysText(pub Vec<String>);

impl<'de> Deserialize<'de> for DaysText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<DaysText, D::Error> {
        text_or_list(from, "days of the week, such as mon-fri").map(DaysText)
    }
}

/// One text, or a list of them.
fn text_or_list<'de, D: Deserializer<'de>>(from: D, what: &'static str) -> Result<Vec<String>, D::Error> {
    struct Either(&'static str);

    impl<'de> Visitor<'de> for Either {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    from.deserialize_any(Either(what))
}

impl JsonSchema for DaysText {
    fn schema_name() -> Cow<'static, str> {
        "DaysText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let day = serde_json::json!({
            "type": "string",
            "pattern": "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$",
            "description": "A day of the week, or days from one to another.",
            "errorMessage": "a day of the week, or days from one to another: sat, mon-fri",
            "examples": ["mon-fri", "sat"],
            "x-kind": "weekdays",
        });
        json_schema!({ "anyOf": [day, { "type": "array", "items": day, "minItems": 1 }] })
    }
}

/// Ids of steps: one, or a list of them.
#[derive(Debug)]
pub struct IdsText(pub Vec<String>);

impl<'de> Deserialize<'de> for IdsText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<IdsText, D::Error> {
        text_or_list(from, "a step's id, or a list of them").map(IdsText)
    }
}

impl JsonSchema for IdsText {
    fn schema_name() -> Cow<'static, str> {
        "IdsText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let id = serde_json::json!({
            "type": "string",
            "pattern": "^[a-z0-9_-]+$",
            "errorMessage": "an id has only a-z, 0-9, - and _",
        });
        json_schema!({ "anyOf": [id, { "type": "array", "items": id, "minItems": 1 }] })
    }
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

/// What each of [`message::TYPES`] is, in that order.
const TYPE_DESCRIPTIONS: [&str; message::TYPES.len()] = [
    "a text",
    "a text with mentions and emoji in named places",
    "a sticker",
    "a picture",
    "a video",
    "a sound",
    "a place on the map",
    "a coupon made in LINE's manager",
    "a picture with places to tap",
    "buttons, confirm, carousel or image carousel",
    "a Flex Message: a layout of your own",
];

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
            "description": "A LINE message object, as LINE documents it, or `{ $file: path.json }`.",
            "properties": {
                "type": {
                    "type": "string",
                    "description": "LINE's type of message.",
                    "enum": types,
                    "enumDescriptions": TYPE_DESCRIPTIONS,
                },
                "altText": {
                    "type": "string",
                    "description": "What a notification shows of a flex, template or imagemap message. A template.",
                },
                "text": { "type": "string", "description": "The text of a text message. A template." },
                message::FILE_KEY: {
                    "type": "string",
                    "description": "A JSON file that takes this place; its path from the scenario's folder.",
                    "examples": ["flex/coupon.json"],
                },
            },
            "x-free": true,
        });
        let text = serde_json::json!({ "type": "string", "description": "A text message: a template." });
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
