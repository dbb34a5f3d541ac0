use super::*;

fn cause_of(body: &str) -> Cause {
    refusal(400, &Error::read(Some(body.as_bytes()))).cause
}

#[test]
fn a_bad_request_is_about_what_its_properties_name() {
    let cases = [
        ("to", Cause::Recipient),
        ("to[0]", Cause::RecipientAt(0)),
        ("to[499]", Cause::RecipientAt(499)),
        ("to[x]", Cause::Recipient),
        ("to[99999999999999999999999]", Cause::Recipient),
        ("messages", Cause::Content),
        ("messages[4].contents.body", Cause::Content),
        ("messages/0/text", Cause::Content),
        ("customAggregationUnits[0]", Cause::Other),
        ("notificationDisabled", Cause::Other),
        ("token", Cause::Other),
        ("messagesX", Cause::Other),
        ("", Cause::Other),
    ];
    for (property, expected) in cases {
        let detailed = format!(
            r#"{{"message":"The request body has 1 error(s)","details":[{{"property":"{property}"}}]}}"#
        );
        assert_eq!(cause_of(&detailed), expected, "{property}");
        for quoted in [property.to_owned(), format!("'{property}'"), format!("`{property}`")] {
            let told = format!(
                r#"{{"message":"The property, {quoted}, in the request body is invalid (line: 1, column: 2)"}}"#
            );
            assert_eq!(cause_of(&told), expected, "{quoted}");
        }
    }
}

#[test]
fn of_several_properties_the_one_that_decides_most_counts() {
    let cases = [
        (r#"[{"property":"to[1]"},{"property":"messages[0].text"}]"#, Cause::Content),
        (r#"[{"property":"to[3]"},{"property":"to[1]"}]"#, Cause::RecipientAt(3)),
        (r#"[{"property":"to"},{"property":"to[1]"}]"#, Cause::RecipientAt(1)),
        (r#"[{"property":"other"},{"property":"to"}]"#, Cause::Recipient),
    ];
    for (details, expected) in cases {
        assert_eq!(cause_of(&format!(r#"{{"details":{details}}}"#)), expected, "{details}");
    }
}

#[test]
fn an_error_of_another_shape_keeps_what_can_be_read() {
    let cases = [
        ("", ""),
        ("[]", ""),
        ("null", ""),
        (r#"{"error":"x"}"#, ""),
        (r#"{"message":1}"#, ""),
        (r#"{"message":"a","details":{}}"#, "a"),
        (r#"{"message":"a","details":[1,null,{"property":2}]}"#, "a"),
    ];
    for (body, message) in cases {
        let refusal = refusal(400, &Error::read(Some(body.as_bytes())));
        assert_eq!((refusal.message.as_str(), refusal.cause), (message, Cause::Other), "{body}");
    }
    let deep = "[".repeat(60_000);
    assert_eq!(cause_of(&deep), Cause::Other);
}

#[test]
fn kept_texts_are_bounded_one_line_and_without_ids() {
    let id = format!("U{}", "0123456789abcdef".repeat(2));
    let long = "あ ".repeat(TEXT_CHARS_MAX);
    let cases = [
        (String::new(), String::new()),
        ("plain (line: -, column: -)".into(), "plain (line: -, column: -)".into()),
        ("a\nb\tc\u{7f}".into(), "a b c".into()),
        (format!("'{id}', {id}"), "'…', …".into()),
        (format!("Bearer {}", "aB+/=".repeat(20)), "Bearer …".into()),
        ("x".repeat(REDACTED_RUN_MIN - 1), "x".repeat(REDACTED_RUN_MIN - 1)),
        ("x".repeat(REDACTED_RUN_MIN), "…".into()),
        (long.clone(), format!("{}…", long.chars().take(TEXT_CHARS_MAX).collect::<String>())),
    ];
    for (text, expected) in cases {
        assert_eq!(presentable(&text), expected, "{text}");
    }
    let many = format!(r#"{{"details":[{}]}}"#, vec![r#"{"property":"to"}"#; DETAILS_MAX + 1].join(","));
    assert_eq!(refusal(400, &Error::read(Some(many.as_bytes()))).details.len(), DETAILS_MAX);
}
