use serde_json::json;

use super::*;

fn scope(member: serde_json::Value, event: serde_json::Value) -> Scope {
    let object = |value: serde_json::Value| match value {
        serde_json::Value::Object(map) => Arc::new(map),
        other => panic!("not an object: {other}"),
    };
    Scope {
        member: Arc::new(MemberScope {
            id: MemberId::new("m1").unwrap(),
            attributes: object(member),
            tags: Arc::new(["vip".to_owned()].into()),
            linked: true,
            friend: false,
        }),
        event: Some(object(event)),
        enrollment: None,
        anchor: Some("2026-03-05T05:00:00Z".parse().unwrap()),
        now: "2026-03-02T12:50:00Z".parse().unwrap(),
    }
}

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

fn test(source: &str, member: serde_json::Value, event: serde_json::Value) -> String {
    let mut builder = Builder::new(tokyo());
    let condition = builder.condition(source).unwrap();
    match builder.finish().test(condition, &Names::new(scope(member, event))) {
        Ok(truth) => truth.to_string(),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn conditions() {
    let cases = [
        ("not member.regular", json!({}), json!({}), "true"),
        ("not member.regular", json!({"regular": true}), json!({}), "false"),
        ("member.regular", json!({"regular": null}), json!({}), "false"),
        ("member.plan == 'gold'", json!({}), json!({}), "missing(member.plan)"),
        ("not (member.plan == 'gold')", json!({}), json!({}), "missing(member.plan)"),
        ("event.sku in ['A', 'B']", json!({}), json!({"sku": "B"}), "true"),
        ("event.sku in ['A', 'B']", json!({}), json!({}), "missing(event.sku)"),
        ("event.cart.total > 1000", json!({}), json!({"cart": {"total": 1500}}), "true"),
        ("event.cart.total > 1000", json!({}), json!({}), "missing(event.cart)"),
        ("'vip' in member.tags", json!({}), json!({}), "true"),
        ("member.linked and not member.friend", json!({}), json!({}), "true"),
        ("member.points | default(0) > 5", json!({}), json!({}), "false"),
        ("enrollment.key == 'x'", json!({}), json!({}), "missing(enrollment)"),
        // what has a default is not what is missing
        ("event.a | default('x') == 'x' and event.b == 1", json!({}), json!({}), "missing(event.b)"),
        ("event.b == 1 and event.a|default('x') == 'x'", json!({}), json!({}), "missing(event.b)"),
        (
            "event.a == 1 and event.a | default(1) == 1 and event.b == 1",
            json!({}),
            json!({}),
            "missing(event.a)",
        ),
    ];
    for (source, member, event, expected) in cases {
        assert_eq!(test(source, member, event), expected, "{source}");
    }
}

fn render(message: serde_json::Value, member: serde_json::Value) -> Result<String, Failure> {
    let mut builder = Builder::new(tokyo());
    let messages = builder.messages(&[message], false).unwrap();
    builder.finish().render(&messages, &Names::new(scope(member, json!({"amount": 1234567}))))
}

#[test]
fn a_members_values_cannot_break_out_of_the_message() {
    let name = "\"},{{ 7*7 }} \\ {% raw %}\n\u{202e}👍";
    let json =
        render(json!({"type": "text", "text": "{{ member.name }}さん"}), json!({"name": name})).unwrap();
    let back: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(back, json!([{"type": "text", "text": format!("{name}さん")}]));
}

#[test]
fn messages_render_in_the_scenarios_zone() {
    let json = render(
        json!({"type": "text", "text": "{{ anchor | date('%-m/%-d %-H:%M') }} {{ event.amount | yen }}"}),
        json!({}),
    );
    assert_eq!(json.unwrap(), r#"[{"type":"text","text":"3/5 14:00 1,234,567円"}]"#);
}

#[test]
fn a_missing_value_has_its_name() {
    let failure = render(json!({"type": "text", "text": "{{ member.name }}"}), json!({})).unwrap_err();
    assert_eq!(failure, Failure::Missing("member.name".into()));
    let failure = render(json!({"type": "text", "text": "{{ member.born | date }}"}), json!({})).unwrap_err();
    assert_eq!(failure, Failure::Missing("member.born".into()));
}

#[test]
fn endless_work_ends() {
    let source = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
    let failure = render(json!({"type": "text", "text": source}), json!({})).unwrap_err();
    assert!(matches!(failure, Failure::Error(_)), "{failure}");
}

#[test]
fn instants_are_read_in_the_scenarios_zone() {
    let cases = [
        ("2026-03-05T14:00:00+09:00", Some("2026-03-05T05:00:00Z")),
        ("2026-03-05T14:00:00", Some("2026-03-05T05:00:00Z")),
        ("2026-03-05 14:00", Some("2026-03-05T05:00:00Z")),
        ("2026-03-05", Some("2026-03-04T15:00:00Z")),
        ("soon", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_instant(text, &tokyo()), expected.map(|e| e.parse().unwrap()), "{text}");
    }
}

#[test]
fn filters_and_tests_must_exist() {
    let builder = || Builder::new(tokyo());
    let expressions = [
        ("event.total | roud", "there is no filter `roud`", Some("did you mean `round`?"), 14..18),
        (
            "event.total is odd and member.x is not deffined",
            "there is no test `deffined`",
            Some("did you mean `defined`?"),
            39..47,
        ),
    ];
    for (source, message, help, range) in expressions {
        let error = builder().expression(source).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.help.as_deref(), error.range),
            (message, help, Some(range))
        );
    }
    let good = ["member.is == 'a | nothing'", "event.n | default(0) | abs > 1", "not (event.x is defined)"];
    for source in good {
        builder().expression(source).unwrap();
    }
    let templates = [
        ("{{ anchor | dat }}", Some("there is no filter `dat`")),
        ("{# {{ x | nothing }} #}{{ member.name | default('}} | nothing') }}", None),
        ("{% raw %}{{ x | nothing }}{% endraw %} a | nothing", None),
        ("{% if member.a is nothing %}x{% endif %}", Some("there is no test `nothing`")),
        ("{% for x in event.items | sort %}{{ x | upper }}{% endfor %}", None),
    ];
    for (source, message) in templates {
        let error = builder().check_template(source).err().map(|error| error.message);
        assert_eq!(error.as_deref(), message, "{source}");
    }
}

/// Found with the fuzz targets: at 240 KB each of these used up the stack, which ends the process.
#[test]
fn chains_without_end_are_refused_and_long_ones_compile() {
    let chains =
        [("a", "+a"), ("a", " and a"), ("a", ".a"), ("a", "[0]"), ("a", "|abs"), ("a", " is odd"), ("", "-")];
    for (start, link) in chains {
        let mut builder = Builder::new(tokyo());
        let endless = format!("{start}{}", link.repeat(50_000));
        assert!(builder.expression(&endless).is_err(), "{link}");
        assert!(builder.names_in_expression(&endless).is_empty(), "{link}");
        assert!(builder.check_template(&format!("{{{{ {endless} }}}}")).is_err(), "{link}");
    }
    let long = format!("1{} == 499", "+1".repeat(498));
    assert_eq!(test(&long, json!({}), json!({})), "true");
    let branches = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(20_000));
    assert!(Builder::new(tokyo()).check_template(&branches).is_err());
}
