//! The Messaging API as the rest of the daemon sees it; the only module that knows LINE's HTTP and JSON.
//!
//! [`Client`] makes one attempt at a time and names what came of it for the caller's next move
//! ([`Outcome`]). [`webhook`] checks and reads what LINE posts to us. Nothing here repeats an attempt,
//! waits, counts or logs: rates, retries and what an outcome does to a delivery are the caller's.
//!
//! Every answer of LINE's carries `x-line-request-id`, and an answer without it is some proxy's, whatever
//! its status. It says nothing about what LINE has accepted, so it never settles a request either way.
//! Source: LINE Developers, "Response headers".

mod client;
mod endpoint;
mod outcome;
pub mod webhook;

pub use client::{
    BotInfo, CallError, Client, ClientError, Profile, Quota, Timeouts, UnusableToken, Validation,
};
pub use endpoint::{Endpoint, EndpointError};
pub use outcome::{Cause, Detail, Outcome, Refusal, Throttle};

/// What stands before and after the message objects in the body of a push.
///
/// The parts are stored with a parcel, so a later version that writes them otherwise changes nothing for
/// one that is in flight. Source: LINE Developers, "Send push message".
pub fn push_body_around(to: &str, silent: bool) -> (String, &'static str) {
    let tail = if silent { r#","notificationDisabled":true}"# } else { "}" };
    (format!(r#"{{"to":"{to}","messages":"#), tail)
}

/// What stands before and after the message objects in the body of a multicast.
///
/// It must never be written otherwise: requests in flight are put together by it again after a restart.
/// Source: LINE Developers, "Send multicast message".
pub fn multicast_body_around<'a>(
    to: impl IntoIterator<Item = &'a str>,
    silent: bool,
) -> (String, &'static str) {
    let to: Vec<String> = to.into_iter().map(|user| format!(r#""{user}""#)).collect();
    let tail = if silent { r#","notificationDisabled":true}"# } else { "}" };
    (format!(r#"{{"to":[{}],"messages":"#, to.join(",")), tail)
}

/// The most recipients of one multicast. Source: LINE Developers, "Send multicast message".
pub const MAX_RECIPIENTS: usize = 500;
