//! The base URL that requests go to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The host of all Messaging API calls made here. Source: LINE Developers, "Domain name".
const LINES_OWN_HOST: &str = "api.line.me";

/// The base URL of a Messaging API: LINE's own, or something that stands in for it.
///
/// A scheme (`https` or `http`), a host and perhaps a port, such as `http://127.0.0.1:9000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// LINE's own, `https://api.line.me`.
    pub fn line() -> Endpoint {
        Endpoint(Url::parse("https://api.line.me").expect("the constant is a URL"))
    }

    /// Whether requests reach real people: true for LINE's own host only, on any port.
    pub fn is_lines_own(&self) -> bool {
        self.host() == LINES_OWN_HOST
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether requests are encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of one call; `path` is absolute and already percent-encoded.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// The host in lower case without the root's trailing dot.
    fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_end_matches('.')
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let url = Url::parse(text).map_err(EndpointError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if has_credentials || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::MoreThanAHost);
        }
        let endpoint = Endpoint(url);
        if endpoint.is_lines_own() && !endpoint.is_https() {
            return Err(EndpointError::TokenInTheClear);
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Why a text is not an [`Endpoint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It does not parse.
    #[error("not a URL")]
    NotAUrl(#[source] <Url as FromStr>::Err),
    /// It is a URL of something else.
    #[error("the scheme is `{0}`, where only `https` and `http` can be used")]
    Scheme(String),
    /// It has a path, a query, a fragment or credentials.
    #[error("only a scheme, a host and a port can be given")]
    MoreThanAHost,
    /// It names LINE's host with `http`. Source: LINE Developers, "TLS versions supported".
    #[error(
        "LINE is reached by `https` only; by `http` the channel access token would be readable on the way"
    )]
    TokenInTheClear,
}

#[cfg(test)]
mod tests;
