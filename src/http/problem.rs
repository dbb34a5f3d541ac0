//! Errors as `application/problem+json`. Source: RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::dispatch::Refused;
use crate::dispatch::daemon::Unanswered;
use crate::engine::Refusal;

/// An error as its caller sees it: a status and one sentence that says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub detail: String,
}

impl Problem {
    pub fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into() }
    }
}

impl Problem {
    /// The answer, with more members of its object. Source: RFC 9457, "Extension Members".
    pub(super) fn with(self, more: Map<String, Value>) -> Response {
        let status = StatusCode::from_u16(self.status).expect("problems have valid statuses");
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": self.status,
            "detail": self.detail,
        });
        body.as_object_mut().expect("it is an object").extend(more);
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response();
        if self.status == 401 {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == 503 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.with(Map::new())
    }
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Problem {
        Problem::new(503, unanswered.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let status = match refused {
            Refused::LinkTaken | Refused::Bound(Refusal::NothingToResend) => 409,
            Refused::Bound(_) | Refused::Provisional => 422,
            Refused::NoSuchMember | Refused::NoSuchDelivery => 404,
        };
        Problem::new(status, refused.to_string())
    }
}
