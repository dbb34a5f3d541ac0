use super::*;

#[test]
fn a_base_url_is_a_scheme_a_host_and_a_port() {
    // text, shown as, LINE's own, loopback
    let cases = [
        ("https://api.line.me", "https://api.line.me", true, false),
        ("https://api.line.me/", "https://api.line.me", true, false),
        ("HTTPS://API.LINE.ME", "https://api.line.me", true, false),
        ("https://api.line.me.", "https://api.line.me.", true, false),
        ("https://api.line.me:8443", "https://api.line.me:8443", true, false),
        ("https://api.line.me.example.com", "https://api.line.me.example.com", false, false),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", false, true),
        ("http://127.9.9.9", "http://127.9.9.9", false, true),
        ("http://localhost:9000", "http://localhost:9000", false, true),
        ("http://[::1]:9000", "http://[::1]:9000", false, true),
        ("http://10.0.0.1", "http://10.0.0.1", false, false),
        ("http://sandbox:9000", "http://sandbox:9000", false, false),
    ];
    for (text, shown, lines_own, loopback) in cases {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.to_string(), shown, "{text}");
        assert_eq!(endpoint.is_lines_own(), lines_own, "{text}");
        assert_eq!(endpoint.is_loopback(), loopback, "{text}");
    }
    assert_eq!(Endpoint::line(), "https://api.line.me".parse().unwrap());
}

#[test]
fn anything_else_is_refused() {
    let cases = [
        ("", "not a URL"),
        ("api.line.me", "not a URL"),
        ("ftp://api.line.me", "the scheme is `ftp`, where only `https` and `http` can be used"),
        ("https://api.line.me/v2", "only a scheme, a host and a port can be given"),
        ("https://api.line.me?a=1", "only a scheme, a host and a port can be given"),
        ("https://api.line.me#a", "only a scheme, a host and a port can be given"),
        ("https://token@proxy.example", "only a scheme, a host and a port can be given"),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), expected, "{text}");
    }
    assert!(matches!("http://api.line.me".parse::<Endpoint>(), Err(EndpointError::TokenInTheClear)));
}

#[test]
fn a_call_keeps_the_base_and_sets_the_path() {
    let endpoint: Endpoint = "http://127.0.0.1:9000".parse().unwrap();
    assert_eq!(endpoint.at("/v2/bot/info").as_str(), "http://127.0.0.1:9000/v2/bot/info");
}
