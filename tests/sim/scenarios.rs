//! The scenarios that all histories have, in the variants that reloads swap: real YAML through the real
//! loader.
//!
//! Every text says which event it comes from, which step and which move, so that what a person receives
//! can be counted without any id of the daemon's.

use std::fmt::Write;

pub(crate) const VARIANTS: usize = 7;

/// A step: its name, its timing, and what else it says.
type Step = (&'static str, &'static str);

/// The order of steps that no variant changes: a greater one comes later. None for those that move.
pub(crate) fn rank(step: &str) -> Option<u32> {
    Some(match step {
        "hello" | "day-before" => 1,
        "soon" => 2,
        "wait" => 3,
        "day" | "thanks" => 4,
        "last" => 9,
        _ => return None,
    })
}

/// Steps that every variant of their scenario has.
pub(crate) const PERMANENT: [(&str, &str); 8] = [
    ("course-ny", "hello"),
    ("course-ny", "last"),
    ("course-tk", "hello"),
    ("news", "hello"),
    ("interview", "soon"),
    ("again-exit", "hello"),
    ("again-pause", "hello"),
    ("again-never", "hello"),
];

/// Steps whose moment is before the anchor.
pub(crate) fn is_reminder(step: &str) -> bool {
    matches!(step, "day-before" | "soon")
}

/// What a text tells of itself: scenario, step, serial of the event, move; and of a drawn scenario, when the
/// run was entered, what its days are counted from, and whose it is.
pub(crate) struct Told<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) step: &'a str,
    /// 0 where no event started the run.
    pub(crate) serial: u32,
    pub(crate) version: u32,
    pub(crate) entered: &'a str,
    pub(crate) anchor: &'a str,
    pub(crate) member: &'a str,
}

pub(crate) fn told(text: &str) -> Told<'_> {
    let mut words = text.split(' ');
    let (scenario, step) = (words.next().unwrap(), words.next().unwrap());
    let mut number = || words.next().unwrap().parse().unwrap();
    let (serial, version) = (number(), number());
    let mut word = || words.next().unwrap_or("-");
    Told { scenario, step, serial, version, entered: word(), anchor: word(), member: word() }
}

pub(crate) fn written(variant: usize) -> Vec<(&'static str, String)> {
    let v = variant;
    let mut files = Vec::new();

    let mut course: Vec<Step> = vec![
        ("hello", ""),
        ("wait", if v == 1 { "wait: 5h\n    late: 3d" } else { "wait: 90m\n    late: 3d" }),
        ("float", "after: 20h"),
        ("day", if v == 1 { "day: 1\n    at: \"08:30\"" } else { "day: 1\n    at: \"02:30\"\n    late: 5d" }),
        ("last", "after: 1mo\n    late: 2d"),
    ];
    match v {
        2 => course.insert(4, ("added", "wait: 1d\n    late: 9d")),
        3 => drop(course.remove(1)),
        4 => course.swap(2, 3),
        _ => {}
    }
    let hours = if v == 6 { "10:00-18:00" } else { "09:00-21:00" };
    let head = format!(
        "zone: America/New_York\nhours: {hours}\nenter: {{ on: course-ny, key: event.key, again: always }}\n"
    );
    files.push(("course-ny", scenario("course-ny", &head, &course)));
    if v != 5 {
        let zone = if v == 6 { "Europe/Berlin" } else { "Asia/Tokyo" };
        let head = format!(
            "zone: {zone}\nhours: 22:00-02:00\nenter: {{ on: course-tk, key: event.key, again: always }}\n"
        );
        files.push(("course-tk", scenario("course-tk", &head, &course)));
    }

    let mut news: Vec<Step> = vec![("hello", ""), ("day", "day: 1\n    at: \"10:00\"")];
    match v {
        1 => news[1].1 = "day: 1\n    at: \"10:05\"",
        2 => news.push(("added", "wait: 1h")),
        3 => drop(news.remove(1)),
        _ => {}
    }
    let head = "zone: Asia/Tokyo\nenter: { on: news, again: always }\n";
    files.push(("news", scenario("news", head, &news)));

    let mut interview: Vec<Step> = vec![
        ("day-before", if v == 1 { "day: -1\n    at: \"12:00\"" } else { "day: -1\n    at: \"18:00\"" }),
        ("soon", if v == 1 { "before: 30m" } else { "before: 1h" }),
        (
            "thanks",
            if v == 4 { "day: 1\n    at: \"10:00\"\n    resend: true" } else { "day: 1\n    at: \"10:00\"" },
        ),
    ];
    match v {
        2 => interview.push(("added", "after: 3d")),
        3 => drop(interview.remove(0)),
        _ => {}
    }
    if v != 5 {
        let zone = if v == 6 { "Asia/Tokyo" } else { "Europe/Berlin" };
        let head = format!(
            "zone: {zone}\nhours: 08:00-21:00\nenter: {{ on: booked, key: event.booking }}\nanchor: event.starts_at\n\
             update: {{ on: moved, key: event.booking }}\nexit: {{ on: cancelled, key: event.booking }}\n"
        );
        files.push(("interview", scenario("interview", &head, &interview)));
    }

    let plain: Vec<Step> = vec![("hello", ""), ("wait", "wait: 2h"), ("day", "day: 2\n    at: \"11:00\"")];
    for (id, again, more) in [
        ("again-exit", "after_exit", ""),
        ("again-pause", "3d", ""),
        ("again-never", "never", "goal: { on: buy, value: event.n }\n"),
    ] {
        if v == 5 && id == "again-exit" {
            continue;
        }
        let head = format!(
            "zone: Asia/Tokyo\nhours: 07:00-23:00\nenter: {{ on: {id}, again: {again} }}\nexit: {{ on: stop }}\n{more}"
        );
        files.push((id, scenario(id, &head, &plain)));
    }
    files
}

fn scenario(id: &str, head: &str, steps: &[Step]) -> String {
    let name = if id == "news" { "" } else { " {{ member.name | default('x') }}" };
    let mut text = format!("scenario: {id}\n{head}steps:\n");
    for (step, timing) in steps {
        let timing = if timing.is_empty() { String::new() } else { format!("    {timing}\n") };
        writeln!(
            text,
            "  - step: {step}\n{timing}    push: \"{id} {step} {{{{ event.n }}}} {{{{ event.v | default(0) }}}}{name}\""
        )
        .unwrap();
    }
    text
}

pub(crate) const ALL: [&str; 7] =
    ["course-ny", "course-tk", "news", "interview", "again-exit", "again-pause", "again-never"];

pub(crate) const STEPS: [&str; 9] =
    ["hello", "wait", "float", "day", "last", "added", "day-before", "soon", "thanks"];
