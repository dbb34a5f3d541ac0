//! API keys.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Api, Problem};
use crate::config::ApiKey;

/// The keys that open the API, as SHA-256 of each.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(pub Vec<ApiKey>);

impl ApiKeys {
    /// The name of the key, if it is one. Every key is compared, in constant time.
    fn holder(&self, presented: &str) -> Option<&str> {
        let presented = Sha256::digest(presented.as_bytes());
        let mut holder = None;
        for key in &self.0 {
            if bool::from(key.sha256.ct_eq(presented.as_slice())) {
                holder = Some(key.name.as_str());
            }
        }
        holder
    }
}

/// Lets a request pass that presents a key; without any key configured, all pass, because then the
/// daemon listens on loopback only.
pub(super) async fn require_key(State(api): State<Api>, request: Request, next: Next) -> Response {
    let refusal = {
        let keys = api.keys.read().expect("no holder of this lock panics");
        let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // the scheme is written in any case; source: RFC 9110, section 11.1
        let presented = presented.and_then(|value| value.split_once(' '));
        let presented = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match presented {
            _ if keys.0.is_empty() => None,
            None => Some("an API key is needed: `Authorization: Bearer KEY`"),
            Some((_, key)) if keys.holder(key.trim()).is_none() => Some("the API key is not known"),
            Some(_) => None,
        }
    };
    match refusal {
        Some(why) => Problem::new(401, why).into_response(),
        None => next.run(request).await,
    }
}
