use serde_json::json;

use super::*;

/// What an attacker would call a member, and a few things that break pages by accident.
const HOSTILE: &str = "<script>alert('x')</script> \" ' & \u{202e}evil\u{202c} `--> ]]> {{ 7*7 }} </style>";

fn page(members: Vec<Member>, lanes: Vec<Lane>) -> Page {
    Page {
        language: Language::English,
        zone: TimeZone::get("Asia/Tokyo").unwrap(),
        title: "A page".into(),
        lead: Vec::new(),
        figures: Vec::new(),
        lanes,
        tables: Vec::new(),
        members,
        rest: Vec::new(),
        notes: Vec::new(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn entry(messages: Value) -> Entry {
    Entry {
        at: at("2026-04-06T01:00:00Z"),
        tone: Tone::Plain,
        text: "welcome".into(),
        why: Vec::new(),
        messages: Some(messages),
    }
}

fn member(entries: Vec<Entry>) -> Member {
    Member { name: "m-1".into(), about: Vec::new(), entries }
}

/// Every text of a page is hostile, in every kind of message.
fn hostile() -> Page {
    let messages = json!([
        { "type": "text", "text": HOSTILE, "sender": { "name": HOSTILE } },
        { "type": "image", "originalContentUrl": HOSTILE },
        { "type": "location", "title": HOSTILE, "address": HOSTILE },
        { "type": "imagemap", "baseUrl": HOSTILE, "altText": HOSTILE,
          "actions": [{ "type": "uri", "linkUri": format!("https://a.example/{HOSTILE}") }] },
        { "type": "template", "altText": HOSTILE, "template": { "type": "carousel", "columns": [
            { "title": HOSTILE, "text": HOSTILE, "thumbnailImageUrl": HOSTILE,
              "actions": [{ "type": "uri", "label": HOSTILE, "uri": format!("https://a.example/{HOSTILE}") }] },
            { "text": HOSTILE, "actions": [{ "type": "uri", "label": HOSTILE, "uri": format!("javascript:{HOSTILE}") }] },
        ] } },
        { "type": "flex", "altText": HOSTILE, "contents": { "type": "bubble", "size": HOSTILE,
            "hero": { "type": "image", "url": HOSTILE },
            "body": { "type": "box", "layout": HOSTILE, "backgroundColor": HOSTILE, "contents": [
                { "type": "text", "text": HOSTILE, "color": HOSTILE },
                { "type": "text", "contents": [{ "type": "span", "text": HOSTILE }] },
                { "type": "button", "action": { "type": "postback", "label": HOSTILE, "data": HOSTILE } } ] } } },
        { "type": HOSTILE, "quickReply": { "items": [{ "action": { "type": "message", "label": HOSTILE, "text": HOSTILE } }] } },
    ]);
    let text = || HOSTILE.to_owned();
    let mark = Mark { at: at("2026-04-06T01:00:00Z"), from: None, kind: Kind::Message, label: text() };
    Page {
        title: text(),
        lead: vec![text()],
        figures: vec![Figure { value: text(), name: text() }],
        tables: vec![Table {
            caption: text(),
            heads: vec![text(), text()],
            rows: vec![vec![text(), text()]],
        }],
        rest: vec![text()],
        notes: vec![text()],
        ..page(
            vec![Member {
                name: text(),
                about: vec![text()],
                entries: vec![Entry { text: text(), why: vec![text()], ..entry(messages) }],
            }],
            vec![Lane { name: text(), marks: vec![mark] }],
        )
    }
}

#[test]
fn whatever_stands_in_the_data_stays_text() {
    let html = hostile().to_html();
    assert_eq!(html.matches("<script").count(), 0);
    assert_eq!(html.matches("</style>").count(), 1, "only the page's own");
    assert!(html.contains("&lt;script&gt;"));
    assert!(html.contains("{{ 7*7 }}"));
    // no attribute ends before its own quote
    for attribute in ["href=\"javascript:", "onerror", "src="] {
        assert!(!html.contains(attribute), "{attribute}");
    }
    let hrefs: Vec<&str> =
        html.split(" href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(
        hrefs.iter().all(|href| href.starts_with('#') || href.starts_with("https:&#x2f;&#x2f;a.example")),
        "{hrefs:?}"
    );
    assert!(hrefs.len() > 2, "{hrefs:?}");
}

#[test]
fn a_page_forbids_all_but_its_own_style_and_refers_to_nothing() {
    let html =
        page(vec![member(vec![entry(json!([{ "type": "text", "text": "Hello" }]))])], Vec::new()).to_html();
    let policy = r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"#;
    assert!(html.contains(policy));
    for word in ["http:", "https:", "//", "url(", "@import", "<link", "<img", "<iframe", "src="] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn pages_are_in_their_language_and_their_zone() {
    let entries = vec![entry(json!([])), Entry { at: at("2026-04-06T15:30:00Z"), ..entry(json!([])) }];
    let mut page = page(vec![member(entries)], Vec::new());
    let english = page.to_html();
    assert!(english.contains(r#"<html lang="en">"#));
    assert!(english.contains(r#"<time datetime="2026-04-06">Mon 6 April 2026</time>"#));
    // half past midnight of the next day in Japan
    assert!(english.contains(r#"<time datetime="2026-04-07">Tue 7 April 2026</time>"#));
    assert!(english.contains(r#"<time datetime="2026-04-07T00:30:00+09:00">00:30</time>"#));
    page.language = Language::Japanese;
    let japanese = page.to_html();
    assert!(japanese.contains(r#"<html lang="ja">"#));
    assert!(japanese.contains("2026年4月6日(月)"));
    assert!(japanese.contains("会員ごとの画面"));
}

#[test]
fn a_page_is_bounded() {
    let many = vec![entry(json!([{ "type": "text", "text": "once-more" }])); MAX_ENTRIES + 7];
    let members = vec![member(many), member(vec![entry(json!([]))])];
    let html = page(members, Vec::new()).to_html();
    assert_eq!(html.matches("once-more").count(), MAX_ENTRIES);
    assert!(html.contains("and 7 more that are not shown"));
    let html = page(vec![member(vec![entry(json!([]))]); MAX_MEMBERS + 3], Vec::new()).to_html();
    assert_eq!(html.matches("<article").count(), MAX_MEMBERS);
}

fn lane(times: &[&str]) -> Lane {
    let mark = |time: &&str| Mark { at: at(time), from: None, kind: Kind::Message, label: "x".into() };
    Lane { name: "m".into(), marks: times.iter().map(mark).collect() }
}

/// The x of each mark, and the y.
fn places(times: &[&str]) -> Vec<(f64, f64)> {
    let html = page(Vec::new(), vec![lane(times)]).to_html();
    let number = |text: &str, name: &str| -> f64 {
        text.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let marks = html.split("<use href=\"#k-message\" x=").skip(1);
    marks.map(|rest| format!(" x={rest}")).map(|text| (number(&text, "x"), number(&text, "y"))).collect()
}

#[test]
fn marks_stand_in_the_order_of_time_and_never_on_each_other() {
    let places = places(&[
        "2026-04-06T01:00:00Z",
        "2026-04-06T01:00:00Z",
        "2026-04-06T01:00:30Z",
        "2026-04-06T01:01:00Z",
        "2026-04-20T01:00:00Z",
    ]);
    assert_eq!(places.len(), 5);
    for (index, one) in places.iter().enumerate() {
        for other in &places[..index] {
            let (dx, dy) = ((one.0 - other.0).abs(), (one.1 - other.1).abs());
            assert!(dx >= 20.0 || dy >= 20.0, "{one:?} covers {other:?}");
        }
    }
    assert!(places[4].0 - places[0].0 > 400.0, "{places:?}");
}

#[test]
fn a_year_of_marks_fits_as_an_hour_does() {
    for span in
        [["2026-04-06T01:00:00Z", "2026-04-06T02:00:00Z"], ["2026-04-06T01:00:00Z", "2029-04-06T01:00:00Z"]]
    {
        let html = page(Vec::new(), vec![lane(&span)]).to_html();
        let view = html.split("viewBox=\"0 0 ").nth(1).unwrap();
        let width: f64 = view.split(' ').next().unwrap().parse().unwrap();
        assert!((800.0..=2_600.0).contains(&width), "{width}");
        let labels = html.matches("class=\"date\"").count();
        assert!((1..=60).contains(&labels), "{labels}");
    }
    assert!(
        !page(Vec::new(), vec![lane(&[])]).to_html().contains("viewBox"),
        "without a mark there is no picture"
    );
}
