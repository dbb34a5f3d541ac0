use super::*;

fn rendered(message: Value) -> String {
    let messages = [message];
    let outcome = check_rendered(&messages);
    let as_text = check_rendered_json(&Value::from(messages.to_vec()).to_string());
    assert_eq!(outcome, as_text);
    outcome.err().unwrap_or_else(|| "fine".into())
}

fn text(text: impl Into<String>) -> Value {
    json!({ "type": "text", "text": text.into() })
}

#[test]
fn texts_are_counted_in_utf16_units() {
    assert_eq!(rendered(text("あ".repeat(5_000))), "fine");
    assert_eq!(rendered(text("🍎".repeat(2_500))), "fine");
    let over = "messages[0].text: `text` is at most 5000 characters, not";
    assert_eq!(rendered(text("あ".repeat(5_001))), format!("{over} 5001"));
    assert_eq!(rendered(text("🍎".repeat(2_501))), format!("{over} 5002"));
    assert_eq!(rendered(text("")), "messages[0].text: `text` must not be empty");
}

#[test]
fn labels_are_counted_as_readers_do() {
    let flag = "🇯🇵";
    for (text, expected) in [("か\u{3099}", 1), ("👨‍👩‍👧‍👦", 1), (flag, 1), ("👍🏽", 1), ("🇯🇵🇯🇵", 2), ("日本", 2)]
    {
        assert_eq!(Count::Clusters.of(text), expected, "{text}");
    }
}

#[test]
fn what_is_rendered_is_no_template_any_more() {
    let braces = text("{{ is what a member typed }}");
    assert_eq!(rendered(braces.clone()), "fine");
    let image = json!({
        "type": "image",
        "originalContentUrl": "{{ event.url }}",
        "previewImageUrl": "https://a.example/{{ event.path }}",
    });
    assert_eq!(check_written(std::slice::from_ref(&image)), []);
    assert_eq!(
        rendered(image),
        "messages[0].originalContentUrl: `originalContentUrl` must start with https://"
    );
}

#[test]
fn flex_is_bounded_in_bytes() {
    let bubble = |text: usize| {
        json!({ "type": "bubble", "body": { "type": "box", "layout": "vertical", "contents": [
            { "type": "text", "text": "a".repeat(text) }] } })
    };
    let flex = |contents: Value| json!({ "type": "flex", "altText": "a", "contents": contents });
    assert_eq!(rendered(flex(bubble(29_000))), "fine");
    assert_eq!(
        rendered(flex(bubble(30_000))),
        format!(
            "messages[0].contents: a bubble is at most 30000 bytes of JSON, not {}",
            bubble(30_000).to_string().len()
        )
    );
    let carousel = |count: usize| json!({ "type": "carousel", "contents": vec![bubble(10); count] });
    assert_eq!(rendered(flex(carousel(12))), "fine");
    assert_eq!(
        rendered(flex(carousel(13))),
        "messages[0].contents.contents: there are 13 bubbles, where LINE takes 1 to 12"
    );
}

#[test]
fn a_push_has_one_to_five_messages() {
    let of = |count: usize| check_rendered(&vec![text("a"); count]).is_ok();
    assert!(!of(0) && of(1) && of(5) && !of(6));
    assert!(check_rendered_json("{}").is_err() && check_rendered_json("[").is_err());
}

#[test]
fn plain_texts_lose_the_line_breaks_at_their_end() {
    let mut none = |_: &str| None;
    assert_eq!(expand(&json!("a\n\nb\n"), &mut none), [text("a\n\nb")]);
    assert_eq!(expand(&json!(["a", text("b\n")]), &mut none), [text("a"), text("b\n")]);
}

/// `base` with `value` at a JSON pointer whose parent is there.
fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut message = base.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match message.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        other => panic!("{parent} is {other}"),
    }
    message
}

fn written(message: &Value) -> Vec<Problem> {
    check_written(std::slice::from_ref(message))
}

fn first_refusal(message: &Value) -> String {
    let problems = written(message);
    problems.iter().find(|problem| !problem.harmless).map_or("fine".into(), Problem::to_string)
}

fn warnings(message: &Value) -> Vec<String> {
    let problems = written(message);
    assert!(problems.iter().all(|problem| problem.harmless), "{problems:?}");
    assert_eq!(rendered(message.clone()), "fine", "what only warns is sent");
    problems.iter().map(Problem::to_string).collect()
}

/// Each row: a place in `base`, a value that LINE takes there, one that it does not, and what is said.
///
/// Written and rendered are held to the same; a text that is a template is not known before it is
/// rendered.
fn limits(base: &Value, rows: &[(&str, Value, Value, &str)]) {
    assert_eq!(first_refusal(base), "fine");
    for (pointer, taken, refused, expected) in rows {
        let taken = with(base, pointer, taken.clone());
        assert_eq!(first_refusal(&taken), "fine", "{pointer}");
        assert_eq!(rendered(taken), "fine", "{pointer}");
        let expected = format!("messages[0]{expected}");
        let beyond = with(base, pointer, refused.clone());
        assert_eq!(first_refusal(&beyond), expected, "{pointer}");
        assert_eq!(rendered(beyond), expected, "{pointer}");
        let is_fixed = pointer.ends_with("/type");
        if refused.is_string() && base.pointer(pointer).is_none_or(Value::is_string) && !is_fixed {
            let template = with(base, pointer, json!("{{ event.value }}"));
            assert_eq!(first_refusal(&template), "fine", "{pointer}");
        }
    }
}

fn long(length: usize) -> Value {
    Value::from("あ".repeat(length))
}

fn url(length: usize) -> Value {
    let start = "https://a.example/";
    Value::from(format!("{start}{}", "a".repeat(length - start.len())))
}

#[test]
fn limits_of_text_messages() {
    let emoji = |index: usize| json!({ "index": index, "productId": "p", "emojiId": "1" });
    let base = json!({ "type": "text", "text": "$".repeat(21), "emojis": [emoji(0)] });
    let emojis = |count: usize| (0..count).map(emoji).collect::<Value>();
    let index = "`index: 21` does not point at a `$` in the text";
    limits(
        &base,
        &[
            ("/emojis", emojis(20), emojis(21), ".emojis: there are 21 emojis, where LINE takes 0 to 20"),
            ("/emojis/0/index", json!(20), json!(21), &format!(".emojis[0].index: {index}")),
            ("/emojis/0/index", json!(0), json!(-1), ".emojis[0].index: `index` cannot be -1"),
            ("/emojis/0/index", json!(1), json!(1.5), ".emojis[0].index: `index` is a whole number, not 1.5"),
            (
                "/emojis/0/emojiId",
                json!("001"),
                json!(1),
                ".emojis[0].emojiId: `emojiId` is a text, not a number",
            ),
        ],
    );
}

#[test]
fn an_emoji_is_counted_in_utf16_units_in_front_of_templates() {
    let of = |text: &str, index: usize| json!({ "type": "text", "text": text, "emojis": [{ "index": index, "productId": "p", "emojiId": "1" }] });
    assert_eq!(first_refusal(&of("🍎$", 2)), "fine");
    let at_one = "messages[0].emojis[0].index: `index: 1` does not point at a `$` in the text";
    assert_eq!(first_refusal(&of("🍎$", 1)), at_one);
    let help = written(&of("🍎$", 1))[0].help.clone().unwrap();
    assert_eq!(help, "counted in UTF-16 units from 0, there is a `$` at 2");
    assert_eq!(written(&of("a$ {{ member.name }}", 1)), []);
    assert_eq!(first_refusal(&of("ab$ {{ member.name }}", 1)), at_one);
    let unsure = written(&of("{{ member.name }} $", 6));
    assert!(unsure[0].harmless && unsure.len() == 1, "{unsure:?}");
    assert_eq!(
        rendered(of("Sakura $", 6)),
        "messages[0].emojis[0].index: `index: 6` does not point at a `$` in the text"
    );
}

#[test]
fn limits_of_text_v2_messages() {
    let emoji = json!({ "type": "emoji", "productId": "p", "emojiId": "1" });
    let keys = |count: usize| (0..count).map(|n| (format!("k{n}"), emoji.clone())).collect::<Map<_, _>>();
    let of = |text: &str, substitution: Map<String, Value>| json!({ "type": "textV2", "text": text, "substitution": substitution });
    assert_eq!(first_refusal(&of("{k0}{k19}", keys(20))), "fine");
    let twenty = "messages[0].substitution: `substitution` has at most 20 LINE emojis, not 21";
    assert_eq!(rendered(of("{k0}", keys(21))), twenty);
    assert_eq!(
        rendered(of("{k0}", keys(101))),
        "messages[0].substitution: `substitution` has at most 100 keys, not 101"
    );

    let base = of("{k0}", keys(1));
    let nobody = "LINE takes a mention in groups only, and a step goes to one member alone";
    let mention = json!({ "type": "mention", "mentionee": { "type": "all" } });
    let key = "`aaaaaaaaaaaaaaaaaaaaa` in `substitution` is not 1 to 20 of A-Z, a-z, 0-9 and _";
    limits(
        &base,
        &[
            ("/text", json!("{k0} }}{{"), json!("{k0} {k}"), ": `{k}` is not in `substitution`"),
            ("/text", json!("{{{k0}}}"), json!("{ {k0}"), ": a `{` in a textV2 message is never closed"),
            ("/text", long(5_000), long(5_001), ".text: `text` is at most 5000 characters, not 5001"),
            ("/substitution/k0", emoji.clone(), mention, &format!(".substitution.k0: {nobody}")),
            (
                "/substitution/k0",
                emoji.clone(),
                json!({ "type": "emoji", "productId": "p" }),
                ".substitution.k0: a LINE emoji needs `emojiId`",
            ),
            (
                "/substitution",
                json!({ "k0": emoji }),
                json!([]),
                ".substitution: `substitution` is a mapping, not a list",
            ),
        ],
    );
    for (name, expected) in
        [("aaaaaaaaaaaaaaaaaaa_", None), ("aaaaaaaaaaaaaaaaaaaaa", Some(key)), ("a-b", Some(""))]
    {
        let message = of(&format!("{{{name}}}"), Map::from_iter([(name.to_owned(), emoji.clone())]));
        match expected {
            None => assert_eq!(rendered(message), "fine"),
            Some(said) => assert!(rendered(message).contains(said)),
        }
    }
}

#[test]
fn braces_of_a_text_v2() {
    use Brace::{Close, Open, Placeholder};
    let cases: [(&str, &[Brace<'_>]); 11] = [
        ("", &[]),
        ("{a}", &[Placeholder("a")]),
        ("あ{a}い{b}", &[Placeholder("a"), Placeholder("b")]),
        ("{{a}}", &[]),
        ("{{{a}}}", &[Placeholder("a")]),
        ("{a}}}", &[Placeholder("a")]),
        ("{", &[Open]),
        ("{a", &[Open]),
        ("{a {b}", &[Open, Placeholder("b")]),
        ("a}", &[Close]),
        ("{}", &[Placeholder("")]),
    ];
    for (text, expected) in cases {
        assert_eq!(braces(text), expected, "{text}");
    }
}

#[test]
fn doubled_braces_of_a_text_v2_are_templates_until_rendered() {
    let of = |text: &str| {
        let x = json!({ "type": "emoji", "productId": "p", "emojiId": "1" });
        json!({ "type": "textV2", "text": text, "substitution": { "x": x } })
    };
    let none = "messages[0]: `{y}` is not in `substitution`";
    for text in ["{x} {{ member.name }}", "{{ '{{' }}{x}{{ '}}' }}", "{% if a %}{x}{% endif %}", "{a{{ b }}}"]
    {
        assert_eq!(written(&of(text)), [], "{text}");
    }
    for text in ["{y} {{ member.name }}", "{{ '{{' }} {y}", "{% if a %}{y}{% endif %}", "{# {x} #}{y}"] {
        assert_eq!(first_refusal(&of(text)), none, "{text}");
    }
    // what a member is called may look like a placeholder
    assert_eq!(rendered(of("{x} {y}")), none);
    assert_eq!(rendered(of("{x} {")), "messages[0]: a `{` in a textV2 message is never closed");
    let message = of("x }");
    assert_eq!(
        warnings(&message),
        [
            "messages[0]: a `}` in a textV2 message has no `{` in front of it",
            "messages[0]: `x` of `substitution` is not in the text",
        ]
    );
    assert_eq!(warnings(&of(&"{x}".repeat(20))), [""; 0]);
    assert_eq!(
        warnings(&of(&"{x}".repeat(21))),
        ["messages[0]: the text shows 21 LINE emojis, where LINE takes at most 20"]
    );
}

#[test]
fn limits_of_media() {
    let of = |kind: &str| json!({ "type": kind, "originalContentUrl": "https://a.example/a", "previewImageUrl": "https://a.example/b" });
    let long_url = |key: &str| format!(".{key}: `{key}` is at most 2000 characters, not 2001");
    for kind in ["image", "video"] {
        for key in ["originalContentUrl", "previewImageUrl"] {
            let pointer = format!("/{key}");
            let plain = format!(".{key}: `{key}` must start with https://");
            limits(
                &of(kind),
                &[
                    (&pointer, url(2_000), url(2_001), &long_url(key)),
                    (&pointer, json!("HTTPS://a.example"), json!("http://a.example"), &plain),
                ],
            );
        }
    }
    let characters = "a-.=,+*()%$&;:@}!?<>[]";
    let tracking = "`trackingId` may hold A-Z, a-z, 0-9 and `-.=,+*()%$&;:@{}!?<>[]` only, not";
    let base = of("video");
    limits(
        &base,
        &[
            (
                "/trackingId",
                json!("a".repeat(100)),
                json!("a".repeat(101)),
                ".trackingId: `trackingId` is at most 100 characters, not 101",
            ),
            ("/trackingId", json!(characters), json!("a_b"), &format!(".trackingId: {tracking} `_`")),
            ("/trackingId", json!("a"), json!("あ"), &format!(".trackingId: {tracking} `あ`")),
        ],
    );
    let audio = json!({ "type": "audio", "originalContentUrl": "https://a.example/a", "duration": 1 });
    limits(
        &audio,
        &[
            ("/originalContentUrl", url(2_000), url(2_001), &long_url("originalContentUrl")),
            ("/duration", json!(1), json!(0), ".duration: `duration` cannot be 0"),
            ("/duration", json!(60_000), json!(0.5), ".duration: `duration` cannot be 0.5"),
            ("/duration", json!(2), json!(1.5), ".duration: `duration` is a whole number, not 1.5"),
            ("/duration", json!(2), json!("2"), ".duration: `duration` is a number, not a text"),
        ],
    );
}

#[test]
fn limits_of_locations_coupons_and_stickers() {
    let location = json!({ "type": "location", "title": "a", "address": "b", "latitude": 0, "longitude": 0 });
    limits(
        &location,
        &[
            ("/title", long(100), long(101), ".title: `title` is at most 100 characters, not 101"),
            ("/address", long(100), long(101), ".address: `address` is at most 100 characters, not 101"),
            ("/latitude", json!(90), json!(90.01), ".latitude: `latitude` cannot be 90.01"),
            ("/latitude", json!(-90.0), json!(-91), ".latitude: `latitude` cannot be -91"),
            ("/longitude", json!(180), json!(180.5), ".longitude: `longitude` cannot be 180.5"),
            ("/longitude", json!(-180), json!(-181), ".longitude: `longitude` cannot be -181"),
        ],
    );
    let coupon = json!({ "type": "coupon", "couponId": "a" });
    let tag = "`deliveryTag` may hold A-Z, a-z, 0-9 and `_` only, not `-`";
    limits(
        &coupon,
        &[
            ("/couponId", json!("a"), json!(""), ".couponId: `couponId` must not be empty"),
            (
                "/deliveryTag",
                json!("a".repeat(30)),
                json!("a".repeat(31)),
                ".deliveryTag: `deliveryTag` is at most 30 characters, not 31",
            ),
            ("/deliveryTag", json!("Spring_1"), json!("spring-1"), &format!(".deliveryTag: {tag}")),
        ],
    );
    let sticker = json!({ "type": "sticker", "packageId": "1", "stickerId": "2" });
    limits(
        &sticker,
        &[("/stickerId", json!("3"), json!(3), ".stickerId: `stickerId` is a text, not a number")],
    );
}

#[test]
fn limits_of_imagemaps() {
    let area = json!({ "x": 0, "y": 0, "width": 1_040, "height": 500 });
    let action = json!({ "type": "uri", "linkUri": "https://a.example", "area": area });
    let base = json!({
        "type": "imagemap", "baseUrl": "https://a.example/map", "altText": "a",
        "baseSize": { "width": 1_040, "height": 500 },
        "actions": [action,
            { "type": "message", "text": "a", "area": area },
            { "type": "clipboard", "clipboardText": "a", "area": area }],
        "video": {
            "originalContentUrl": "https://a.example/v.mp4", "previewImageUrl": "https://a.example/p.png",
            "area": area, "externalLink": { "linkUri": "https://a.example", "label": "a" },
        },
    });
    let actions = |count: usize| Value::from(vec![action.clone(); count]);
    limits(
        &base,
        &[
            ("/baseUrl", url(2_000), url(2_001), ".baseUrl: `baseUrl` is at most 2000 characters, not 2001"),
            (
                "/altText",
                long(1_500),
                long(1_501),
                ".altText: `altText` is at most 1500 characters, not 1501",
            ),
            ("/baseSize/width", json!(1_040), json!(1_039), ".baseSize.width: `width` cannot be 1039"),
            (
                "/baseSize/height",
                json!(500),
                json!(500.5),
                ".baseSize.height: `height` is a whole number, not 500.5",
            ),
            (
                "/actions",
                actions(50),
                actions(51),
                ".actions: there are 51 actions, where LINE takes 0 to 50",
            ),
            (
                "/actions/0/linkUri",
                url(1_000),
                url(1_001),
                ".actions[0].linkUri: `linkUri` is at most 1000 characters, not 1001",
            ),
            (
                "/actions/0/label",
                long(100),
                long(101),
                ".actions[0].label: `label` is at most 100 characters, not 101",
            ),
            (
                "/actions/0/area",
                area.clone(),
                json!({ "x": 0, "y": 0, "width": 1 }),
                ".actions[0].area: an area needs `height`",
            ),
            ("/actions/0/area/x", json!(1), json!("1"), ".actions[0].area.x: `x` is a number, not a text"),
            (
                "/actions/1/text",
                long(400),
                long(401),
                ".actions[1].text: `text` is at most 400 characters, not 401",
            ),
            (
                "/actions/2/clipboardText",
                long(1_000),
                long(1_001),
                ".actions[2].clipboardText: `clipboardText` is at most 1000 characters, not 1001",
            ),
            (
                "/actions/2/clipboardText",
                json!("a"),
                json!(""),
                ".actions[2].clipboardText: `clipboardText` must not be empty",
            ),
            (
                "/video/externalLink/linkUri",
                url(1_000),
                url(1_001),
                ".video.externalLink.linkUri: `linkUri` is at most 1000 characters, not 1001",
            ),
            (
                "/video/externalLink/label",
                long(30),
                long(31),
                ".video.externalLink.label: `label` is at most 30 characters, not 31",
            ),
            (
                "/video/previewImageUrl",
                url(2_000),
                url(2_001),
                ".video.previewImageUrl: `previewImageUrl` is at most 2000 characters, not 2001",
            ),
            ("/video/area/y", json!(0), json!(0.5), ".video.area.y: `y` is a whole number, not 0.5"),
            (
                "/video/externalLink",
                json!({}),
                json!("a"),
                ".video.externalLink: `externalLink` is a mapping, not a text",
            ),
        ],
    );
    assert_eq!(warnings(&base), [""; 0]);
    assert_eq!(
        warnings(&with(&base, "/actions/0/area/y", json!(1))),
        ["messages[0].actions[0].area: `y` and `height` are not within the image, which has a height of 500"]
    );
}

fn template(template: Value) -> Value {
    json!({ "type": "template", "altText": "a", "template": template })
}

fn say(label: usize) -> Value {
    json!({ "type": "message", "label": "a".repeat(label), "text": "a" })
}

#[test]
fn limits_of_templates() {
    let says = |count: usize| Value::from(vec![say(1); count]);
    let buttons = template(json!({ "type": "buttons", "text": "a", "actions": [say(1)] }));
    let over = |key: &str, max: usize| {
        format!(".template.{key}: `{key}` is at most {max} characters, not {}", max + 1)
    };
    let four = ".template.actions: there are 5 actions, where LINE takes 1 to 4";
    let none = ".template.actions: there are 0 actions, where LINE takes 1 to 4";
    let label = "`label` is at most 20 characters, not 21";
    let tap = |label: usize| json!({ "type": "uri", "label": "a".repeat(label), "uri": "https://a.example" });
    limits(
        &buttons,
        &[
            (
                "/altText",
                long(1_500),
                long(1_501),
                ".altText: `altText` is at most 1500 characters, not 1501",
            ),
            ("/template/text", long(160), long(161), &over("text", 160)),
            ("/template/title", long(40), long(41), &over("title", 40)),
            ("/template/actions", says(4), says(5), four),
            ("/template/actions", says(1), says(0), none),
            ("/template/actions/0", say(20), say(21), &format!(".template.actions[0].label: {label}")),
            ("/template/defaultAction", tap(20), tap(21), &format!(".template.defaultAction.label: {label}")),
            ("/template/thumbnailImageUrl", url(2_000), url(2_001), &over("thumbnailImageUrl", 2_000)),
            (
                "/template/imageAspectRatio",
                json!("square"),
                json!("round"),
                ".template.imageAspectRatio: `imageAspectRatio` cannot be `round`",
            ),
            (
                "/template/imageSize",
                json!("contain"),
                json!("fill"),
                ".template.imageSize: `imageSize` cannot be `fill`",
            ),
        ],
    );
    for beside in ["title", "thumbnailImageUrl"] {
        let titled = with(&buttons, &format!("/template/{beside}"), json!("https://a.example"));
        limits(&titled, &[("/template/text", long(60), long(61), &over("text", 60))]);
    }
    assert_eq!(warnings(&with(&buttons, "/template/imageBackgroundColor", json!("#00ffAA"))), [""; 0]);
    assert_eq!(
        warnings(&with(&buttons, "/template/imageBackgroundColor", json!("red"))),
        ["messages[0].template.imageBackgroundColor: `imageBackgroundColor` is hardly a colour"]
    );

    let confirm = template(json!({ "type": "confirm", "text": "a", "actions": says(2) }));
    limits(
        &confirm,
        &[
            ("/template/text", long(240), long(241), &over("text", 240)),
            (
                "/template/actions",
                says(2),
                says(1),
                ".template.actions: there are 1 actions, where LINE takes 2",
            ),
            (
                "/template/actions",
                says(2),
                says(3),
                ".template.actions: there are 3 actions, where LINE takes 2",
            ),
        ],
    );
}

#[test]
fn limits_of_template_carousels() {
    let column = json!({ "text": "a", "actions": [say(1)] });
    let columns = |count: usize| Value::from(vec![column.clone(); count]);
    let base = template(json!({ "type": "carousel", "columns": columns(2) }));
    let alike = ".template.columns[1]: all columns have the same number of actions, and an image or a title in all or none";
    let two = json!({ "text": "a", "actions": [say(1), say(1)] });
    let titled = with(&column, "/title", json!("a"));
    let pictured = with(&column, "/thumbnailImageUrl", json!("https://a.example"));
    let four = with(&column, "/actions", Value::from(vec![say(1); 4]));
    let text = |length: usize| with(&column, "/text", long(length));
    let beside = |length: usize| json!([with(&titled, "/text", long(length))]);
    limits(
        &base,
        &[
            (
                "/template/columns",
                columns(10),
                columns(11),
                ".template.columns: there are 11 columns, where LINE takes 1 to 10",
            ),
            ("/template/columns/1", column.clone(), two, alike),
            ("/template/columns/1", column.clone(), titled.clone(), alike),
            ("/template/columns/1", column.clone(), pictured, alike),
            (
                "/template/columns",
                columns(1),
                json!([four]),
                ".template.columns[0].actions: there are 4 actions, where LINE takes 1 to 3",
            ),
            (
                "/template/columns/1",
                text(120),
                text(121),
                ".template.columns[1].text: `text` is at most 120 characters, not 121",
            ),
            (
                "/template/columns",
                beside(60),
                beside(61),
                ".template.columns[0].text: `text` is at most 60 characters, not 61",
            ),
        ],
    );
    let image = |label: usize| json!({ "imageUrl": "https://a.example", "action": say(label) });
    let images = |count: usize| Value::from(vec![image(1); count]);
    let base = template(json!({ "type": "image_carousel", "columns": images(1) }));
    limits(
        &base,
        &[
            (
                "/template/columns",
                images(10),
                images(11),
                ".template.columns: there are 11 columns, where LINE takes 1 to 10",
            ),
            (
                "/template/columns/0",
                image(12),
                image(13),
                ".template.columns[0].action.label: `label` is at most 12 characters, not 13",
            ),
            (
                "/template/columns/0/imageUrl",
                url(2_000),
                url(2_001),
                ".template.columns[0].imageUrl: `imageUrl` is at most 2000 characters, not 2001",
            ),
        ],
    );
}

#[test]
fn limits_of_flex() {
    let bubble = |contents: Value| json!({ "type": "bubble", "body": { "type": "box", "layout": "vertical", "contents": contents } });
    let flex = |contents: Value| json!({ "type": "flex", "altText": "a", "contents": contents });
    let images = |count: usize| {
        Value::from(vec![json!({ "type": "image", "url": "https://a.example", "animated": true }); count])
    };
    let button = |label: usize| json!({ "type": "button", "action": say(label) });
    let base = flex(bubble(json!([button(1)])));
    let body = ".contents.body.contents";
    limits(
        &base,
        &[
            (
                "/altText",
                long(1_500),
                long(1_501),
                ".altText: `altText` is at most 1500 characters, not 1501",
            ),
            ("/contents/size", json!("deca"), json!("tera"), ".contents.size: `size` cannot be `tera`"),
            (
                "/contents/body/contents",
                images(10),
                images(11),
                ".contents: a message has at most 10 images with `animated: true`, not 11",
            ),
            (
                "/contents/body/contents/0",
                button(40),
                button(41),
                &format!("{body}[0].action.label: `label` is at most 40 characters, not 41"),
            ),
            (
                "/contents/hero",
                images(1)[0].clone(),
                json!({ "type": "text", "text": "a" }),
                ".contents.hero.type: the hero of a bubble cannot be of type `text`",
            ),
            (
                "/contents/action",
                say(40),
                say(41),
                ".contents.action.label: `label` is at most 40 characters, not 41",
            ),
        ],
    );
    let header = with(&base, "/contents/header", json!({ "type": "text", "text": "a" }));
    assert_eq!(warnings(&header), ["messages[0].contents.header: the header of a bubble is a box"]);

    let sized = |size: &str| with(&bubble(json!([])), "/size", json!(size));
    let carousel = |bubbles: Value| flex(json!({ "type": "carousel", "contents": bubbles }));
    let differs = "messages[0].contents.contents[1]: all bubbles of a carousel have the same `size`";
    assert_eq!(rendered(carousel(json!([sized("kilo"), sized("kilo")]))), "fine");
    assert_eq!(rendered(carousel(json!([sized("mega"), bubble(json!([]))]))), "fine", "mega is the default");
    assert_eq!(rendered(carousel(json!([sized("mega"), sized("kilo")]))), differs);
    assert_eq!(rendered(carousel(json!([sized("kilo"), bubble(json!([]))]))), differs);
    assert_eq!(written(&carousel(json!([sized("kilo"), sized("{{ event.size }}")]))), []);
    let ten = carousel(json!([bubble(images(5)), bubble(images(5))]));
    assert_eq!(rendered(ten), "fine");
    let eleven = carousel(json!([bubble(images(5)), bubble(images(6))]));
    assert_eq!(
        rendered(eleven),
        "messages[0].contents: a message has at most 10 images with `animated: true`, not 11"
    );
}

#[test]
fn limits_of_actions() {
    let quick = |action: Value| json!({ "type": "text", "text": "a", "quickReply": { "items": [{ "type": "action", "action": action }] } });
    let place = "/quickReply/items/0/action";
    let row = |key: &str, taken: Value, refused: Value, said: &str| {
        (format!("{place}/{key}"), taken, refused, format!(".quickReply.items[0].action.{said}"))
    };
    let check = |action: Value, rows: Vec<(String, Value, Value, String)>| {
        let rows: Vec<_> = (rows.iter())
            .map(|(pointer, taken, refused, said)| (&**pointer, taken.clone(), refused.clone(), &**said))
            .collect();
        limits(&quick(action), &rows);
    };
    let over = |key: &str, max: usize| format!("{key}: `{key}` is at most {max} characters, not {}", max + 1);
    check(
        json!({ "type": "postback", "label": "a", "data": "a" }),
        vec![
            row("label", long(20), long(21), &over("label", 20)),
            row("data", long(300), long(301), &over("data", 300)),
            row("displayText", long(300), long(301), &over("displayText", 300)),
            row("text", long(300), long(301), &over("text", 300)),
            row("fillInText", long(300), long(301), &over("fillInText", 300)),
            row(
                "inputOption",
                json!("openVoice"),
                json!("openDoor"),
                "inputOption: `inputOption` cannot be `openDoor`",
            ),
        ],
    );
    let both = json!({ "type": "postback", "label": "a", "data": "a", "displayText": "a", "text": "a" });
    let said = "messages[0].quickReply.items[0].action.text: `text` cannot stand beside `displayText`";
    assert_eq!(rendered(quick(both)), said);
    check(
        json!({ "type": "message", "label": "a", "text": "a" }),
        vec![row("text", long(300), long(301), &over("text", 300))],
    );
    check(
        json!({ "type": "uri", "label": "a", "uri": "tel:1", "altUri": {} }),
        vec![
            row("uri", url(1_000), url(1_001), &over("uri", 1_000)),
            row(
                "uri",
                json!("line://a"),
                json!("mailto:a"),
                "uri: `uri` must start with https:// or http:// or line:// or tel:",
            ),
            row("altUri/desktop", url(1_000), url(1_001), &format!("altUri.{}", over("desktop", 1_000))),
            row("altUri", json!({}), json!(1), "altUri: `altUri` is a mapping, not a number"),
        ],
    );
    check(
        json!({ "type": "clipboard", "label": "a", "clipboardText": "a" }),
        vec![
            row("clipboardText", long(1_000), long(1_001), &over("clipboardText", 1_000)),
            row("clipboardText", json!("a"), json!(""), "clipboardText: `clipboardText` must not be empty"),
        ],
    );
    check(
        json!({ "type": "datetimepicker", "label": "a", "data": "a", "mode": "date" }),
        vec![
            row("data", long(300), long(301), &over("data", 300)),
            row("mode", json!("time"), json!("day"), "mode: `mode` cannot be `day`"),
            row("initial", json!("2026-03-01"), json!(2026), "initial: `initial` is a text, not a number"),
        ],
    );
    for name in ["camera", "cameraRoll", "location"] {
        let action = json!({ "type": name, "label": "a" });
        assert_eq!(rendered(quick(action.clone())), "fine");
        let button = template(json!({ "type": "buttons", "text": "a", "actions": [action] }));
        assert_eq!(
            rendered(button),
            format!("messages[0].template.actions[0]: a {name} action can stand in a quick reply only")
        );
    }
    let switch = json!({ "type": "richmenuswitch", "label": "a", "richMenuAliasId": "a", "data": "a" });
    assert_eq!(
        rendered(quick(switch)),
        "messages[0].quickReply.items[0].action: a richmenuswitch action can stand in a rich menu only"
    );
}

#[test]
fn what_line_does_not_forbid_only_warns() {
    let quick = |action: Value| json!({ "type": "text", "text": "a", "quickReply": { "items": [{ "type": "action", "action": action }] } });
    let at = "messages[0].quickReply.items[0].action";
    let pick = |mode: &str, min: &str, initial: &str, max: &str| {
        warnings(&quick(json!({ "type": "datetimepicker", "label": "a", "data": "a", "mode": mode,
            "min": min, "initial": initial, "max": max })))
    };
    assert_eq!(pick("date", "2026-03-01", "2026-03-01", "2026-04-01"), [""; 0]);
    assert_eq!(pick("time", "09:00", "{{ event.time }}", "10:00"), [""; 0]);
    assert_eq!(pick("datetime", "2026-03-01t00:00", "2026-03-01T00:00", "2026-03-01T23:59"), [""; 0]);
    assert_eq!(
        pick("date", "2026-03-02", "2026-03-01", "2026-3-4"),
        [
            format!("{at}.max: `max` is hardly a time that LINE knows"),
            format!("{at}: `min` is later than `initial`"),
        ]
    );
    let fill = json!({ "type": "postback", "label": "a", "data": "a", "fillInText": "a" });
    assert_eq!(
        warnings(&quick(fill.clone())),
        [format!("{at}.fillInText: `fillInText` shows only with the keyboard open")]
    );
    assert_eq!(warnings(&quick(with(&fill, "/inputOption", json!("openKeyboard")))), [""; 0]);

    let token = |message: Value| warnings(&with(&message, "/quoteToken", json!("q")));
    let one_chat = "a quote token is good in the chat it came from only, and this one goes to every member";
    assert_eq!(token(text("a")), [format!("messages[0].quoteToken: {one_chat}")]);
    assert_eq!(warnings(&with(&text("a"), "/quoteToken", json!("{{ event.quote }}"))), [""; 0]);
    assert_eq!(
        token(json!({ "type": "coupon", "couponId": "a" })),
        ["messages[0].quoteToken: LINE takes a `quoteToken` in text, textV2 and sticker messages only"]
    );
}

#[test]
fn limits_of_quick_replies_and_senders() {
    let item = json!({ "type": "action", "action": say(1) });
    let items = |count: usize| Value::from(vec![item.clone(); count]);
    let base = json!({ "type": "text", "text": "a", "quickReply": { "items": items(1) }, "sender": {} });
    let icon = ".quickReply.items[0].imageUrl: `imageUrl`";
    let word = ".sender.name: LINE does not take the word `LINE` in a sender's `name`";
    limits(
        &base,
        &[
            (
                "/quickReply/items",
                items(13),
                items(14),
                ".quickReply.items: there are 14 items, where LINE takes 1 to 13",
            ),
            (
                "/quickReply/items/0/imageUrl",
                url(2_000),
                url(2_001),
                &format!("{icon} is at most 2000 characters, not 2001"),
            ),
            (
                "/quickReply/items/0/imageUrl",
                url(20),
                json!("http://a"),
                &format!("{icon} must start with https://"),
            ),
            ("/sender/name", long(20), long(21), ".sender.name: `name` is at most 20 characters, not 21"),
            (
                "/sender/name",
                json!("🍎".repeat(10)),
                json!("🍎".repeat(11)),
                ".sender.name: `name` is at most 20 characters, not 22",
            ),
            ("/sender/name", json!("Online LINEN"), json!("LINE係"), word),
            (
                "/sender/iconUrl",
                url(2_000),
                url(2_001),
                ".sender.iconUrl: `iconUrl` is at most 2000 characters, not 2001",
            ),
            (
                "/sender/iconUrl",
                url(20),
                json!("http://a"),
                ".sender.iconUrl: `iconUrl` must start with https://",
            ),
        ],
    );
    assert_eq!(
        rendered(with(&base, "/sender", json!("a"))),
        "messages[0].sender: `sender` is a mapping, not a text"
    );
    let first = check_written(&[base.clone(), text("b")]);
    assert_eq!(first[0].to_string(), "messages[0]: LINE shows the `quickReply` of the last message only");
    assert!(first[0].harmless && first.len() == 1 && check_written(&[text("b"), base]).is_empty());
}
