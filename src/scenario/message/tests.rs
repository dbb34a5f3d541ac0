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
