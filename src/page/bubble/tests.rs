use serde_json::json;

use super::*;

fn one(message: Value) -> Bubble {
    bubbles(&json!([message])).pop().unwrap()
}

fn lines(message: Value) -> Vec<String> {
    one(message).lines(Language::English)
}

#[test]
fn emojis_and_names_in_a_text_are_shown_by_a_sign() {
    let message = json!({ "type": "text", "text": "🍎$ costs $5", "emojis": [{ "index": 2 }] });
    assert_eq!(lines(message), ["🍎☺ costs $5"]);
    let substitution = json!({ "who": { "type": "emoji" }, "all": { "type": "mention" } });
    let text = "{who} {all} {{plain}} {nobody} {open";
    let message = json!({ "type": "textV2", "text": text, "substitution": substitution });
    assert_eq!(lines(message), ["☺ @ {plain} {nobody} {open"]);
}

#[test]
fn an_address_that_runs_something_leads_nowhere() {
    let target = |uri: &str| {
        let action = json!({ "type": "uri", "label": "go", "uri": uri });
        let message = json!({
            "type": "template", "altText": "x", "template": { "type": "buttons", "text": "x", "actions": [action] },
        });
        match one(message).body {
            Body::Cards { cards, .. } => cards[0].buttons[0].href.clone(),
            other => panic!("{other:?}"),
        }
    };
    for uri in ["https://a.example/", "http://a.example/", "tel:0312345678", "line://nv/chat"] {
        assert_eq!(target(uri).as_deref(), Some(uri));
    }
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "JAVASCRIPT:x",
        " https://a.example",
        "file:///etc/passwd",
        "",
    ] {
        assert_eq!(target(uri), None, "{uri}");
    }
}

/// Every declaration of every part.
fn styles(part: &Part, found: &mut Vec<String>) {
    found.push(part.style.clone());
    part.parts.iter().for_each(|part| styles(part, found));
}

fn flex(contents: Value) -> FlexBubble {
    let message = json!({ "type": "flex", "altText": "x", "contents": contents });
    match one(message).body {
        Body::Flex { mut bubbles, .. } => bubbles.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_style_takes_nothing_but_colours_lengths_and_known_words() {
    let evil = "red;background:url(https://evil.example)";
    let bubble = flex(json!({
        "type": "bubble",
        "styles": { "body": { "backgroundColor": evil } },
        "body": {
            "type": "box", "layout": "vertical", "backgroundColor": evil, "paddingAll": evil, "cornerRadius": "8px",
            "justifyContent": evil, "width": "1e400px", "height": "-5px", "borderColor": "#00ff00", "spacing": evil,
            "contents": [
                { "type": "text", "text": "x", "color": evil, "size": evil, "weight": "bold", "align": evil,
                  "decoration": evil, "margin": evil },
                { "type": "text", "text": "x", "color": "#AABBCC", "size": "sm", "margin": "lg" },
                { "type": "image", "url": evil, "aspectRatio": evil },
                { "type": "button", "style": "primary", "color": evil, "action": { "type": "uri", "label": "x", "uri": evil } },
            ],
        },
    }));
    let mut found = vec![bubble.style.clone(), bubble.blocks[0].style.clone()];
    styles(&bubble.blocks[0].parts[0], &mut found);
    assert!(found.iter().all(|style| !style.contains("url") && !style.contains("red")), "{found:?}");
    assert_eq!(
        found[2..6],
        [
            "border-radius:8px;border:1px solid;border-color:#00ff00;",
            "font-size:16px;font-weight:700;white-space:nowrap;",
            "margin-top:12px;font-size:14px;color:#AABBCC;white-space:nowrap;",
            "",
        ]
    );
}

#[test]
fn what_stands_beside_each_other_is_one_line() {
    let row = |label: &str, value: &str| {
        json!({ "type": "box", "layout": "baseline", "contents": [
            { "type": "icon", "url": "https://a.example/i.png" },
            { "type": "text", "text": label }, { "type": "text", "text": value },
        ] })
    };
    let buttons = json!({ "type": "box", "layout": "horizontal", "contents": [
        { "type": "button", "action": { "type": "message", "label": "Yes", "text": "yes" } },
        { "type": "button", "action": { "type": "datetimepicker", "label": "When", "mode": "date", "data": "d" } },
    ] });
    let contents = json!({ "type": "bubble", "body": { "type": "box", "layout": "vertical",
        "contents": [row("Date", "4/13"), row("Place", "Ginza"), buttons] } });
    assert_eq!(
        lines(json!({ "type": "flex", "altText": "booking", "contents": contents })),
        ["[flex] booking", "Date  4/13", "Place  Ginza", "▶ Yes  → 「yes」", "▶ When  → date d"]
    );
}

#[test]
fn anything_at_all_is_shown_as_something() {
    let odd = json!([
        null, 5, "text", [], {}, { "type": "hologram" }, { "type": "text" }, { "type": "flex" },
        { "type": "flex", "contents": { "type": "carousel", "contents": 5 } },
        { "type": "template", "template": { "type": "cube" } }, { "type": "template" }, { "type": "imagemap" },
        { "type": "audio", "duration": "long" }, { "type": "sticker" }, { "quickReply": { "items": [{}] } },
    ]);
    let shown = bubbles(&odd);
    assert_eq!(shown.len(), 15);
    assert_eq!(shown[5].body, Body::Other { name: "hologram".into() });
    for bubble in &shown {
        bubble.lines(Language::English);
        bubble.lines(Language::Japanese);
    }
    assert_eq!(bubbles(&json!("no list")), []);
}

#[test]
fn boxes_in_boxes_end_somewhere() {
    let mut inner = json!({ "type": "text", "text": "deep" });
    for _ in 0..60 {
        inner = json!({ "type": "box", "layout": "vertical", "contents": [inner] });
    }
    let mut depth = 0;
    let mut part = &flex(json!({ "type": "bubble", "body": inner })).blocks[0].parts[0];
    while let Some(inner) = part.parts.first() {
        depth += 1;
        part = inner;
    }
    assert_eq!(depth, MAX_DEPTH);
}
