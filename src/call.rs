//! Requests to the operator's own service: signed, under a key by which a repetition is known, and only to
//! hosts that the configuration lists.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The header that holds `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-amadare-signature";

/// The header by which a request that is repeated is known to be the same.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Makes requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    http: reqwest::Client,
    /// Hosts that may be called, as written in the configuration.
    hosts: Vec<String>,
    secret: Option<SecretString>,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// Answered with 2xx.
    Accepted,
    /// Answered with something that trying again does not change.
    Refused(String),
    /// Not answered, or with 408, 429 or 5xx: try again.
    Failed(String),
}

impl Caller {
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(hosts: Vec<String>, secret: Option<SecretString>) -> Result<Caller, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // a redirect could lead to a host that is not listed
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("amadare/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Caller { http, hosts, secret })
    }

    /// Makes one request with a JSON body.
    pub async fn call(&self, url: &str, key: Uuid, body: Vec<u8>) -> Called {
        if let Err(why) = check_url(url, &self.hosts) {
            return Called::Refused(why);
        }
        let Some(secret) = &self.secret else {
            return Called::Failed("there is no secret to sign with".into());
        };
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header(SIGNATURE_HEADER, format!("sha256={}", sign(secret.expose_secret(), &body)))
            .header(IDEMPOTENCY_HEADER, key.to_string())
            .body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Called::Accepted,
            Ok(response) => {
                let status = response.status();
                let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
                let why = format!("http({})", status.as_u16());
                if again { Called::Failed(why) } else { Called::Refused(why) }
            }
            Err(error) if error.is_timeout() => Called::Failed("timeout".into()),
            // without the address, which may hold what is not for logs
            Err(error) => Called::Failed(error.without_url().to_string()),
        }
    }
}

/// The HMAC-SHA256 of a body in hexadecimal digits.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a URL is to a host that may be called: over https, but for this machine itself.
///
/// # Errors
/// Why it may not be called.
pub fn check_url(url: &str, hosts: &[String]) -> Result<(), String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    let host = parsed.host_str().ok_or("a URL without a host")?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("a URL that holds a password".into());
    }
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match parsed.scheme() {
        "https" => {}
        "http" if is_local => {}
        "http" => return Err("what is sent could be read on the way: use https".into()),
        other => return Err(format!("`{other}:` is not https")),
    }
    let with_port = parsed.port().map(|port| format!("{host}:{port}"));
    let is_listed = |listed: &String| *listed == host || Some(listed) == with_port.as_ref();
    if hosts.iter().any(is_listed) { Ok(()) } else { Err(format!("the host `{host}` is not listed")) }
}

#[cfg(test)]
mod tests;
