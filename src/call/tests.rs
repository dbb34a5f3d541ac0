use super::*;

#[test]
fn only_listed_hosts_over_https() {
    let hosts = ["shop.example".to_owned(), "127.0.0.1:9000".to_owned(), "localhost".to_owned()];
    let check = |url: &str| check_url(url, &hosts).err();
    for url in [
        "https://shop.example/hook",
        "https://shop.example:8443/hook?a=b",
        "http://localhost:1234/",
        "http://127.0.0.1:9000/x",
    ] {
        assert_eq!(check(url), None, "{url}");
    }
    for (url, why) in [
        ("http://shop.example/hook", "could be read on the way"),
        ("https://shop.example.evil.example/", "is not listed"),
        ("https://evil.example/shop.example", "is not listed"),
        ("https://shop.example@evil.example/", "holds a password"),
        ("https://169.254.169.254/latest/meta-data", "is not listed"),
        ("http://127.0.0.1:9001/x", "is not listed"),
        ("file:///etc/passwd", "a URL without a host"),
        ("ftp://shop.example/", "`ftp:` is not https"),
        ("shop.example/hook", "not a URL"),
        ("", "not a URL"),
    ] {
        let found = check(url).unwrap_or_default();
        assert!(found.contains(why), "{url}: {found}");
    }
}

#[test]
fn a_signature_is_that_of_the_standard() {
    // RFC 4231, test case 2
    assert_eq!(
        sign("Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}
