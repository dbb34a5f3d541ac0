//! The OpenAPI document against the daemon: its routes, its references, its examples, and every answer
//! that any test gets.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reqwest::{Method, Request};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::daemon::{ALICE, Daemon, Reply, SECRET, reply};
use crate::http::{Access, OPENAPI, Terms, routes};
use crate::line::webhook::sign;
use crate::store::{Batch, Epoch, UnknownRow};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(OPENAPI).expect("the OpenAPI document is JSON"));

/// What the document says of a method on a path of the router's.
fn operation(path: &str, method: &Method) -> &'static Value {
    &DOCUMENT["paths"][path][method.as_str().to_ascii_lowercase()]
}

#[tokio::test]
async fn the_document_is_served() {
    let daemon = Daemon::start().await;
    let served = daemon.get("/openapi.json").await.ok();
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let mut documented = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        documented.extend(methods.map(|method| format!("{} {path}", method.to_ascii_uppercase())));
    }
    let of_route = |route: crate::http::Route| {
        route.methods.into_iter().map(move |method| format!("{method} {}", route.path))
    };
    let routed: BTreeSet<String> = routes().into_iter().flat_map(of_route).collect();
    assert_eq!(documented, routed);
}

#[test]
fn the_document_says_who_may_call() {
    for route in routes() {
        for method in &route.methods {
            let operation = operation(route.path, method);
            let security = operation.get("security").unwrap_or(&DOCUMENT["security"]);
            let keyed = *security == json!([{ "apiKey": [] }]);
            assert_eq!(keyed, route.access == Access::Keyed, "{method} {}", route.path);
            let statuses = operation["responses"].as_object().unwrap();
            assert_eq!(statuses.contains_key("401"), *security != json!([]), "{method} {}", route.path);
        }
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_names_its_path_parameters() {
    let mut ids = BTreeSet::new();
    for route in routes() {
        for method in &route.methods {
            let id = operation(route.path, method)["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} twice");
        }
        let named = DOCUMENT["paths"][route.path]["parameters"].as_array();
        let named: Vec<_> =
            named.into_iter().flatten().map(|it| format!("{{{}}}", it["name"].as_str().unwrap())).collect();
        let in_path: Vec<_> = route.path.split('/').filter(|segment| segment.starts_with('{')).collect();
        assert_eq!(named, in_path, "{}", route.path);
    }
}

#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let mut used = BTreeSet::new();
    visit(&DOCUMENT, &mut |value| {
        if let Some(Value::String(reference)) = value.get("$ref") {
            assert!(resolve(value).is_object(), "{reference} leads nowhere");
            used.insert(reference.clone());
        }
    });
    for kind in ["schemas", "responses"] {
        for name in DOCUMENT["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{name} is not used");
        }
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let mut checked = 0;
    visit(&DOCUMENT, &mut |value| {
        let Some(Value::Object(examples)) = value.get("examples") else { return };
        for (name, example) in examples {
            let flaws = flaws(&value["schema"], &example["value"], name);
            assert!(flaws.is_empty(), "{flaws:?}");
            checked += 1;
        }
    });
    assert!(checked > 25, "only {checked} examples were found");
}

#[tokio::test]
async fn the_handlers_take_every_example_of_a_request() {
    let mut sent = 0;
    for route in routes() {
        for method in route.methods {
            let content = operation(route.path, &method)["requestBody"]["content"].as_object();
            for (kind, media) in content.into_iter().flatten() {
                for (name, example) in media["examples"].as_object().unwrap() {
                    let body = match &example["value"] {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    let daemon = Daemon::start().await;
                    let folder = tempfile::tempdir().unwrap();
                    let body = body.replace("/var/lib/amadare", folder.path().to_str().unwrap());
                    put_the_delivery_of_the_examples(&daemon);
                    put_the_tester_of_the_examples(&daemon).await;
                    let reply = send_example(&daemon, &method, route.path, kind, body).await;
                    assert_eq!(reply.status, 200, "{name} of {method} {}: {reply:?}", route.path);
                    assert!(!reply.text.contains("\"error\""), "{name}: {reply:?}");
                    sent += 1;
                }
            }
        }
    }
    assert_eq!(sent, 22);
}

#[tokio::test]
async fn what_takes_no_body_answers_as_the_document_says() {
    let daemon = Daemon::start().await;
    let member = example_path("/v1/members/{id}");
    daemon.put(&member, &json!({})).await.ok();
    for route in routes() {
        if route.methods.contains(&Method::GET) {
            assert_eq!(daemon.get(&example_path(route.path)).await.status, 200, "{}", route.path);
        }
    }
    assert_eq!(daemon.delete(&member).await.status, 204);
}

/// A delivery whose fate is unknown, under the id that the document uses.
fn put_the_delivery_of_the_examples(daemon: &Daemon) {
    let example = &DOCUMENT["paths"]["/v1/deliveries"]["get"]["responses"]["200"]["content"]["application/json"]
        ["examples"]["one"]["value"]["deliveries"][0];
    let text = |field: &str| example[field].as_str().unwrap().to_owned();
    let id: uuid::Uuid = text("id").parse().unwrap();
    let enrollment: uuid::Uuid = text("enrollment").parse().unwrap();
    let row = UnknownRow {
        member: Some(text("member")),
        enrollment: enrollment.into_bytes().into(),
        scenario: text("scenario"),
        step: text("step"),
        revision: 0,
        generation: 0,
        due_ms: 0,
        at_ms: 0,
        reason: text("reason"),
    };
    let mut batch = Batch::default();
    batch.put_unknown(crate::model::DeliveryId(id), &row);
    daemon.api.store.commit(&batch, Epoch::EMBEDDED).unwrap();
}

/// A member who may get test sends, where the document says that one does.
async fn put_the_tester_of_the_examples(daemon: &Daemon) {
    let member =
        DOCUMENT["paths"]["/v1/test-sends"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            ["live"]["value"]["member"]
            .as_str()
            .unwrap();
    let testers = vec![crate::model::MemberId::new(member).unwrap()];
    daemon.api.test_sends.set_terms(Terms { testers, ..Terms::default() });
    daemon.put(&format!("/v1/members/{member}"), &json!({ "line_user_id": ALICE })).await.ok();
}

async fn send_example(daemon: &Daemon, method: &Method, path: &str, kind: &str, body: String) -> Reply {
    let signature = sign(&SecretString::from(SECRET), body.as_bytes());
    let request = daemon.request(method.clone(), &example_path(path)).header("content-type", kind);
    reply(request.header("x-line-signature", signature).body(body)).await
}

/// A path with the examples of its parameters in their places.
fn example_path(path: &str) -> String {
    let parameters = DOCUMENT["paths"][path]["parameters"].as_array();
    parameters.into_iter().flatten().fold(path.to_owned(), |path, parameter| {
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path.replace(&name, parameter["example"].as_str().unwrap())
    })
}

/// That an answer, if it is of a route's, is one that the document tells of.
pub(super) fn check(request: &Request, reply: &Reply) {
    let segments: Vec<&str> = request.url().path().split('/').collect();
    let fits = |path: &&str| {
        let own: Vec<&str> = path.split('/').collect();
        let same = |(own, given): (&&str, &&str)| own == given || (own.starts_with('{') && !given.is_empty());
        own.len() == segments.len() && own.iter().zip(&segments).all(same)
    };
    let method = request.method();
    let route = routes().into_iter().find(|route| fits(&route.path) && route.methods.contains(method));
    let Some(route) = route else { return };
    let place = format!("{method} {} {}", route.path, reply.status);
    let response = resolve(&operation(route.path, method)["responses"][reply.status.to_string()]);
    assert!(response.is_object(), "{place} is not documented");
    let Some(content) = response["content"].as_object() else {
        assert_eq!(reply.text, "", "{place} has no body in the document");
        return;
    };
    let kind = reply.header("content-type").split(';').next().unwrap();
    let media = content.get(kind).unwrap_or_else(|| panic!("{place} is not documented as {kind}"));
    let body = if kind.ends_with("json") { reply.json() } else { json!(reply.text) };
    let flaws = flaws(&media["schema"], &body, "");
    assert!(flaws.is_empty(), "{place}: {flaws:?}");
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert_ne!(reply.header(name), "", "{place} lacks {name}");
    }
}

fn visit(value: &Value, seen: &mut impl FnMut(&Value)) {
    seen(value);
    match value {
        Value::Object(object) => object.values().for_each(|value| visit(value, seen)),
        Value::Array(array) => array.iter().for_each(|value| visit(value, seen)),
        _ => {}
    }
}

fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => DOCUMENT
            .pointer(reference.strip_prefix('#').expect("references are local"))
            .unwrap_or(&Value::Null),
        None => value,
    }
}

/// Where a value is not what a schema says: as much of JSON Schema as the document uses.
fn flaws(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut hold = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{at}: {value} against {what}"));
        }
    };
    let mut inner = Vec::new();
    let number = |bound: &Value| bound.as_f64().unwrap();
    for (keyword, says) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$ref" => inner.extend(flaws(resolve(schema), value, at)),
            "description" | "default" | "format" => {}
            "type" => {
                let kinds: Vec<&Value> = says.as_array().map_or(vec![says], |kinds| kinds.iter().collect());
                hold(kinds.iter().any(|kind| is_a(value, kind.as_str().unwrap())), "type");
            }
            "const" => hold(value == says, "const"),
            "enum" => hold(says.as_array().unwrap().contains(value), "enum"),
            "pattern" => match says.as_str().unwrap() {
                "^U[0-9a-f]{32}$" => {
                    hold(
                        value.as_str().is_none_or(|it| crate::model::LineUserId::new(it).is_ok()),
                        "pattern",
                    );
                }
                other => panic!("the pattern {other} is not known here"),
            },
            "minimum" => hold(value.as_f64().is_none_or(|it| it >= number(says)), "minimum"),
            "maximum" => hold(value.as_f64().is_none_or(|it| it <= number(says)), "maximum"),
            "minLength" => hold(length(value).is_none_or(|it| it >= number(says)), "minLength"),
            "maxLength" => hold(length(value).is_none_or(|it| it <= number(says)), "maxLength"),
            "maxItems" => hold(value.as_array().is_none_or(|it| it.len() as f64 <= number(says)), "maxItems"),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    inner.extend(flaws(says, item, &format!("{at}/{index}")));
                }
            }
            "properties" => {
                for (name, schema) in says.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        inner.extend(flaws(schema, value, &format!("{at}/{name}")));
                    }
                }
            }
            "required" => {
                for name in says.as_array().unwrap() {
                    hold(value.get(name.as_str().unwrap()).is_some(), &format!("required {name}"));
                }
            }
            "additionalProperties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if schema["properties"].get(name).is_some() {
                        continue;
                    }
                    match says {
                        Value::Bool(allowed) => hold(*allowed, &format!("an unknown property {name}")),
                        schema => inner.extend(flaws(schema, value, &format!("{at}/{name}"))),
                    }
                }
            }
            "allOf" => says.as_array().unwrap().iter().for_each(|one| inner.extend(flaws(one, value, at))),
            "oneOf" => {
                let fitting = says.as_array().unwrap().iter().filter(|one| flaws(one, value, at).is_empty());
                hold(fitting.count() == 1, "oneOf");
            }
            other => panic!("the keyword {other} is not known here"),
        }
    }
    found.extend(inner);
    found
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not known here"),
    }
}

fn length(value: &Value) -> Option<f64> {
    value.as_str().map(|text| text.chars().count() as f64)
}

#[test]
fn the_check_of_schemas_finds_flaws() {
    let event = json!({ "$ref": "#/components/schemas/Event" });
    let good = json!({ "id": "e", "name": "n", "member": "m" });
    assert_eq!(flaws(&event, &good, ""), Vec::<String>::new());
    for (name, value) in [
        ("id", json!(1)),
        ("id", json!("")),
        ("name", json!("n".repeat(101))),
        ("line_user", json!("U0123456789abcdef0123456789abcdef")),
        ("data", json!([])),
        ("more", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_ne!(flaws(&event, &bad, ""), Vec::<String>::new(), "{bad}");
    }
}
