//! A self-contained HTML page: a picture of a timeline, and messages as members see them.
//!
//! It takes plain values and knows neither scenarios nor commands. A page fetches nothing and runs nothing:
//! no script, no style or picture from elsewhere, and its own policy forbids them. Whatever is put into it is
//! escaped by the template engine.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

pub mod bubble;
pub mod picture;

pub use picture::{Kind, Lane, Mark, weekday};

use bubble::{Bubble, bubbles};
use picture::Drawing;

/// Members that a page shows; of more, only sums are told. A page of so many is long, and opens at once.
pub const MAX_MEMBERS: usize = 50;

/// Entries that a page shows of one member; of more, only their number.
pub const MAX_ENTRIES: usize = 200;

/// The language of what the page itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Japanese,
}

/// What a page shows, from its top to its end. Parts that are empty are left out.
#[derive(Clone, Debug)]
pub struct Page {
    pub language: Language,
    /// The zone of all its times.
    pub zone: TimeZone,
    pub title: String,
    /// Sentences under the title.
    pub lead: Vec<String>,
    pub figures: Vec<Figure>,
    /// A lane for each member, or for whatever the marks belong to.
    pub lanes: Vec<Lane>,
    pub tables: Vec<Table>,
    pub members: Vec<Member>,
    /// Sentences about members that are not shown.
    pub rest: Vec<String>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
}

/// A number with what it counts.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub value: String,
    pub name: String,
}

/// Rows under heads. A column whose head is empty is one of notes.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    pub caption: String,
    pub heads: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A member and what happens to it, in order.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// What is known of it, in short.
    pub about: Vec<String>,
    pub entries: Vec<Entry>,
}

/// Something that happens to a member.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Timestamp,
    pub tone: Tone,
    pub text: String,
    /// Why, in sentences.
    pub why: Vec<String>,
    /// The array of LINE message objects that the member gets.
    pub messages: Option<Value>,
}

/// How an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    Plain,
    /// Reached what it is for.
    Good,
    /// Not sent, or not yet.
    Quiet,
    /// Something is wrong.
    Bad,
}

#[derive(Serialize)]
struct Context<'a> {
    css: &'a str,
    lang: &'a str,
    t: &'a Words,
    title: &'a str,
    lead: &'a [String],
    figures: &'a [Figure],
    picture: Option<Drawing>,
    tables: &'a [Table],
    members: Vec<MemberView<'a>>,
    rest: &'a [String],
    notes: &'a [String],
}

#[derive(Serialize)]
struct MemberView<'a> {
    name: &'a str,
    about: &'a [String],
    days: Vec<Day<'a>>,
    more: Option<String>,
}

/// What happens on one day.
#[derive(Serialize)]
struct Day<'a> {
    date: String,
    name: String,
    entries: Vec<EntryView<'a>>,
}

#[derive(Serialize)]
struct EntryView<'a> {
    /// RFC 3339.
    instant: String,
    clock: String,
    tone: Tone,
    text: &'a str,
    why: &'a [String],
    bubbles: Vec<Bubble>,
    /// The quick replies of the last message: LINE shows no others.
    quick_replies: Vec<bubble::Button>,
}

/// What the page itself says.
#[derive(Serialize)]
struct Words {
    timeline: &'static str,
    picture: &'static str,
    members: &'static str,
    member: &'static str,
    notes: &'static str,
    why: &'static str,
    quick_replies: &'static str,
    buttons: &'static str,
    scroll: &'static str,
    unknown: &'static str,
    image: &'static str,
    video: &'static str,
    audio: &'static str,
    sticker: &'static str,
    location: &'static str,
    coupon: &'static str,
    imagemap: &'static str,
}

const ENGLISH: Words = Words {
    timeline: "Timeline",
    picture: "Timeline: one lane below the other, days from left to right. The same is told in words below.",
    members: "What each member sees",
    member: "Member",
    notes: "Worth knowing",
    why: "Why",
    quick_replies: "Quick replies",
    buttons: "Buttons",
    scroll: "Can be scrolled sideways",
    unknown: "A message of a type that this page cannot show:",
    image: "image",
    video: "video",
    audio: "audio",
    sticker: "sticker",
    location: "location",
    coupon: "coupon",
    imagemap: "imagemap",
};

const JAPANESE: Words = Words {
    timeline: "タイムライン",
    picture: "タイムライン：上から下へ1段ずつ、左から右へ日付順。同じ内容を下に文章で示しています。",
    members: "会員ごとの画面",
    member: "会員",
    notes: "確認してください",
    why: "理由",
    quick_replies: "クイックリプライ",
    buttons: "ボタン",
    scroll: "横にスクロールできます",
    unknown: "このページでは表示できない種類のメッセージです：",
    image: "画像",
    video: "動画",
    audio: "音声",
    sticker: "スタンプ",
    location: "位置情報",
    coupon: "クーポン",
    imagemap: "イメージマップ",
};

impl Page {
    /// The whole page as one HTML file.
    pub fn to_html(&self) -> String {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().expect("these two settings go together"));
        let template = environment.template_from_str(include_str!("page/page.html"));
        let template = template.expect("the page's template compiles");
        let (lang, t) = match self.language {
            Language::English => ("en", &ENGLISH),
            Language::Japanese => ("ja", &JAPANESE),
        };
        let context = Context {
            css: include_str!("page/page.css"),
            lang,
            t,
            title: &self.title,
            lead: &self.lead,
            figures: &self.figures,
            picture: Drawing::of(&self.lanes, &self.zone, self.language),
            tables: &self.tables,
            members: self.members.iter().take(MAX_MEMBERS).map(|member| self.member(member)).collect(),
            rest: &self.rest,
            notes: &self.notes,
        };
        template.render(Serde(context)).expect("the page's template renders all that a page can hold")
    }

    fn member<'a>(&self, member: &'a Member) -> MemberView<'a> {
        let mut days: Vec<Day<'a>> = Vec::new();
        for entry in member.entries.iter().take(MAX_ENTRIES) {
            let civil = entry.at.to_zoned_datetime(self.zone.clone());
            let date = civil.date().to_string();
            if days.last().is_none_or(|day| day.date != date) {
                days.push(Day { date, name: day_name(&civil, self.language), entries: Vec::new() });
            }
            let mut bubbles = entry.messages.as_ref().map(bubbles).unwrap_or_default();
            let quick_replies = bubbles.last_mut().map(|last| std::mem::take(&mut last.quick_replies));
            let view = EntryView {
                instant: civil.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
                clock: civil.strftime("%H:%M").to_string(),
                tone: entry.tone,
                text: &entry.text,
                why: &entry.why,
                bubbles,
                quick_replies: quick_replies.unwrap_or_default(),
            };
            days.last_mut().expect("a day was put in above").entries.push(view);
        }
        let left_out = member.entries.len().saturating_sub(MAX_ENTRIES);
        let more = (left_out > 0).then(|| match self.language {
            Language::English => format!("and {left_out} more that are not shown"),
            Language::Japanese => format!("ほかに{left_out}件あります（表示していません）"),
        });
        MemberView { name: &member.name, about: &member.about, days, more }
    }
}

fn day_name(civil: &jiff::ZonedDateTime, language: Language) -> String {
    match language {
        Language::English => civil.strftime("%a %-d %B %Y").to_string(),
        Language::Japanese => {
            let weekday = weekday(civil.weekday());
            format!("{}({weekday})", civil.strftime("%Y年%-m月%-d日"))
        }
    }
}

#[cfg(test)]
mod tests;
