//! Who may call, and what is said to those who call what is not there.

use reqwest::Method;
use serde_json::json;

use super::daemon::{Daemon, reply};
use crate::http::{Access, routes};

#[tokio::test]
async fn without_a_key_configured_all_may_call() {
    let daemon = Daemon::start().await;
    daemon.get("/v1/scenarios").await.ok();
    assert_eq!(daemon.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn with_a_key_configured_only_its_holder_may_call() {
    let daemon = Daemon::start().await;
    daemon.configure_key("right");
    daemon.configure_key("right too");
    for route in routes() {
        let path = route.path.replace("{id}", "m1");
        for method in route.methods {
            let call = |key: Option<&str>| {
                let request = daemon.request(method.clone(), &path);
                reply(key.iter().fold(request, |request, key| request.header("authorization", *key)))
            };
            if route.access == Access::Open {
                for key in [None, Some("Bearer wrong")] {
                    let reply = call(key).await;
                    let wants_key = reply.status == 401 && reply.text.contains("API key");
                    assert!(!wants_key, "{path}: {reply:?}");
                }
                continue;
            }
            let none = call(None).await;
            none.problem(401, "an API key is needed");
            assert_eq!(none.header("www-authenticate"), "Bearer");
            call(Some("Basic cmlnaHQ=")).await.problem(401, "an API key is needed");
            call(Some("right")).await.problem(401, "an API key is needed");
            for wrong in
                ["Bearer wrong", "Bearer Right", "Bearer right toothless", "Bearer channel secret of a test"]
            {
                call(Some(wrong)).await.problem(401, "not");
            }
            for right in ["Bearer right", "Bearer right too", "bearer right", "BEARER  right "] {
                let reply = call(Some(right)).await;
                assert_ne!(reply.status, 401, "{method} {path} with {right:?}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_done() {
    let daemon = Daemon::start().await;
    daemon.configure_key("right");
    daemon.put("/v1/members/m1", &json!({})).await.problem(401, "an API key is needed");
    daemon
        .event(json!({ "id": "e", "name": "n", "member": "m1" }))
        .await
        .problem(401, "an API key is needed");
    daemon.api.keys.write().unwrap().0.clear();
    daemon.get("/v1/members/m1").await.problem(404, "no such member");
}

#[tokio::test]
async fn paths_that_are_not_there_say_so() {
    let daemon = Daemon::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/events/",
        "/v1/members/",
        "/v1/members/a/b",
        "/v2/events",
        "/line/webhook/x",
        "/favicon.ico",
    ] {
        daemon.get(path).await.problem(404, "see /openapi.json");
    }
    for id in ["%FF", "%FF/timeline"] {
        daemon.get(&format!("/v1/members/{id}")).await.problem(400, "not UTF-8");
    }
    daemon.get("/v1/scenarios/%FF").await.problem(400, "not UTF-8");
}

#[tokio::test]
async fn methods_that_are_not_taken_say_which_are() {
    let daemon = Daemon::start().await;
    daemon.configure_key("right");
    for route in routes() {
        let path = route.path.replace("{id}", "m1");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if route.methods.contains(&method) {
                continue;
            }
            let reply = reply(daemon.request(method, &path)).await;
            reply.problem(405, "does not take this method");
            let allowed = reply.header("allow");
            assert!(
                route.methods.iter().all(|method| allowed.contains(method.as_str())),
                "{path}: {allowed}"
            );
        }
    }
}
