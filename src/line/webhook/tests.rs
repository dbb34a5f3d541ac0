use serde_json::json;

use super::*;

/// LINE's own vector, from "Verify webhook signature", and one of ours with escapes in the JSON text.
const VECTORS: [(&str, &str, &str); 2] = [
    (
        "8c570fa6dd201bb328f1c1eac23a96d8",
        r#"{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[]}"#,
        "GhRKmvmHys4Pi8DxkF4+EayaH0OqtJtaZxgTD9fMDLs=",
    ),
    (
        "test-channel-secret",
        r#"{"destination":"U00000000000000000000000000000000","events":[{"type":"message","message":{"type":"text","id":"1","text":"こんにちは\n🍎 \u3042"}}]}"#,
        "x7PD2yaYOTqU2WnFqtz8t+I41wBOJgdpB43kRqJA2vs=",
    ),
];

#[test]
fn a_signature_proves_one_body_under_one_secret() {
    for (secret, body, signature) in VECTORS {
        let secret = SecretString::from(secret);
        assert_eq!(sign(&secret, body.as_bytes()), signature);
        assert!(verify(&secret, body.as_bytes(), signature));
        assert!(!verify(&SecretString::from("another"), body.as_bytes(), signature));
        for place in 0..body.len() {
            let mut tampered = body.as_bytes().to_vec();
            tampered[place] ^= 1;
            assert!(!verify(&secret, &tampered, signature), "byte {place}");
        }
        for wrong in ["", "=", "not base64!", &signature[1..], &format!("{signature}="), "AAAA"] {
            assert!(!verify(&secret, body.as_bytes(), wrong), "{wrong}");
        }
    }
}

#[test]
fn an_empty_secret_proves_nothing() {
    let empty = SecretString::from("");
    assert!(!verify(&empty, b"{}", &sign(&empty, b"{}")));
}

fn read(events: Value) -> Webhook {
    let body = json!({ "destination": "U0", "events": events, "new": { "a": 1 } });
    parse(body.to_string().as_bytes()).unwrap()
}

/// An event with what all have in common, and `more`.
fn event(event_type: &str, more: Value) -> Value {
    let mut event = json!({
        "type": event_type,
        "mode": "active",
        "timestamp": 1_705_891_467_176_i64,
        "source": { "type": "user", "userId": "U1" },
        "webhookEventId": "01HMQGW40RZJPJM3RAJP7BHC2Q",
        "deliveryContext": { "isRedelivery": false },
        "new": [1, 2],
    });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

fn kind_of(event: Value) -> Kind {
    let webhook = read(json!([event]));
    assert_eq!(webhook.malformed, [""; 0]);
    webhook.events[0].kind.clone()
}

#[test]
fn the_common_properties_are_read() {
    let webhook = read(json!([event("unfollow", json!({})), event("follow", json!({ "replyToken": "r" }))]));
    assert_eq!(webhook.destination, "U0");
    let expected = WebhookEvent {
        id: "01HMQGW40RZJPJM3RAJP7BHC2Q".into(),
        timestamp_ms: 1_705_891_467_176,
        user_id: Some("U1".into()),
        source: Source::User,
        mode: Mode::Active,
        redelivery: false,
        reply_token: None,
        kind: Kind::Unfollow,
    };
    let follow = WebhookEvent {
        reply_token: Some("r".into()),
        kind: Kind::Follow { unblocked: None },
        ..expected.clone()
    };
    assert_eq!(webhook.events, [expected, follow]);
}

#[test]
fn no_events_is_a_webhook_too() {
    for (_, body, _) in &VECTORS[..1] {
        let webhook = parse(body.as_bytes()).unwrap();
        assert_eq!(webhook.destination, "U8e742f61d673b39c7fff3cecb7536ef0");
        assert!(webhook.events.is_empty() && webhook.malformed.is_empty());
    }
}

#[test]
fn the_context_may_be_missing_or_unknown() {
    let cases = [
        (json!({ "mode": "standby" }), Mode::Standby, Source::User, Some("U1"), false),
        (json!({ "mode": "dreaming" }), Mode::Other, Source::User, Some("U1"), false),
        (json!({ "mode": null }), Mode::Other, Source::User, Some("U1"), false),
        (json!({ "source": { "type": "group", "groupId": "C1" } }), Mode::Active, Source::Group, None, false),
        (
            json!({ "source": { "type": "room", "userId": "U2" } }),
            Mode::Active,
            Source::Room,
            Some("U2"),
            false,
        ),
        (
            json!({ "source": { "type": "moon", "userId": "U2" } }),
            Mode::Active,
            Source::None,
            Some("U2"),
            false,
        ),
        (json!({ "source": { "type": "user", "userId": "" } }), Mode::Active, Source::User, None, false),
        (json!({ "source": null }), Mode::Active, Source::None, None, false),
        (
            json!({ "deliveryContext": { "isRedelivery": true } }),
            Mode::Active,
            Source::User,
            Some("U1"),
            true,
        ),
        (json!({ "deliveryContext": 1 }), Mode::Active, Source::User, Some("U1"), false),
    ];
    for (more, mode, source, user, redelivery) in cases {
        let webhook = read(json!([event("unfollow", more.clone())]));
        let read = &webhook.events[0];
        let actual = (read.mode, read.source, read.user_id.as_deref(), read.redelivery);
        assert_eq!(actual, (mode, source, user, redelivery), "{more}");
    }
}

#[test]
fn each_type_has_its_own_properties() {
    let follow = event("follow", json!({ "follow": { "isUnblocked": true } }));
    assert_eq!(kind_of(follow), Kind::Follow { unblocked: Some(true) });

    let message = json!({ "id": "1", "type": "text", "text": "hi", "quoteToken": "q" });
    let expected = Message {
        id: "1".into(),
        message_type: "text".into(),
        text: Some("hi".into()),
        raw: message.as_object().unwrap().clone(),
    };
    assert_eq!(kind_of(event("message", json!({ "message": message }))), Kind::Message(expected));

    let image = json!({ "message": { "id": "2", "type": "image", "contentProvider": { "type": "line" } } });
    let Kind::Message(image) = kind_of(event("message", image)) else { panic!("a message") };
    assert_eq!((image.message_type.as_str(), image.text), ("image", None));

    let postback = event("postback", json!({ "postback": { "data": "step=3&answer=yes" } }));
    assert_eq!(kind_of(postback), Kind::Postback { data: "step=3&answer=yes".into(), params: None });
    let picked = json!({ "postback": { "data": "", "params": { "date": "2026-03-02" } } });
    let params = json!({ "date": "2026-03-02" }).as_object().cloned();
    assert_eq!(kind_of(event("postback", picked)), Kind::Postback { data: String::new(), params });

    for (result, ok) in [("ok", true), ("failed", false), ("OK", false), ("", false)] {
        let link =
            event("accountLink", json!({ "link": { "result": result, "nonce": "n" }, "source": null }));
        assert_eq!(kind_of(link), Kind::AccountLink { ok, nonce: "n".into() }, "{result}");
    }

    for event_type in ["messageEdited", "unsend", "beacon", "things", "somethingNew"] {
        assert_eq!(kind_of(event(event_type, json!({}))), Kind::Other { event_type: event_type.into() });
    }
}

#[test]
fn a_malformed_event_is_told_of_and_does_not_lose_the_others() {
    let cases = [
        (json!(1), "is not an object"),
        (json!(null), "is not an object"),
        (event("unfollow", json!({ "webhookEventId": null })), "has no usable `webhookEventId`"),
        (event("unfollow", json!({ "webhookEventId": "" })), "has no usable `webhookEventId`"),
        (event("unfollow", json!({ "timestamp": null })), "has no usable `timestamp`"),
        (event("unfollow", json!({ "timestamp": "1705891467176" })), "has no usable `timestamp`"),
        (event("unfollow", json!({ "timestamp": 1e30 })), "has no usable `timestamp`"),
        (event("x", json!({ "type": 3 })), "has no usable `type`"),
        (event("message", json!({})), "has no usable `message`"),
        (event("message", json!({ "message": { "type": "text" } })), "has no usable `message.id`"),
        (event("message", json!({ "message": { "id": "1" } })), "has no usable `message.type`"),
        (event("postback", json!({ "postback": "x" })), "has no usable `postback`"),
        (event("postback", json!({ "postback": {} })), "has no usable `postback.data`"),
        (event("accountLink", json!({})), "has no usable `link`"),
        (event("accountLink", json!({ "link": { "result": "ok" } })), "has no usable `link.nonce`"),
    ];
    for (bad, flaw) in cases {
        let webhook = read(json!([event("follow", json!({})), bad, event("unfollow", json!({}))]));
        let kinds: Vec<&Kind> = webhook.events.iter().map(|event| &event.kind).collect();
        assert_eq!(kinds, [&Kind::Follow { unblocked: None }, &Kind::Unfollow], "{flaw}");
        assert_eq!(webhook.malformed, [format!("events[1] {flaw}")]);
    }
}

#[test]
fn what_is_no_webhook_is_an_error_that_quotes_nothing() {
    let deep = format!(r#"{{"destination":"U0","events":[{}"#, "[".repeat(1_000_000));
    for (body, expected) in [
        ("", "the webhook is not JSON"),
        ("secret words", "the webhook is not JSON"),
        (r#"{"destination":"U0","events":[]} secret"#, "the webhook is not JSON"),
        (deep.as_str(), "the webhook is not JSON"),
        (r#"["secret"]"#, "the webhook is not what LINE documents: it has to be or have an object"),
        (r#"{"events":[]}"#, "the webhook is not what LINE documents: it has to be or have a `destination`"),
        (
            r#"{"destination":"U0","events":"secret"}"#,
            "the webhook is not what LINE documents: it has to be or have a list of `events`",
        ),
    ] {
        let error = parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    assert!(parse(&[0xff, 0xfe]).is_err());
}
