use secrecy::ExposeSecret;

use super::*;

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &Overrides::default())
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Config, String> {
    Config::from_yaml("amadare.yaml", text.as_bytes(), overrides).map_err(|error| error.to_string())
}

#[test]
fn the_annotated_defaults_are_the_defaults() {
    assert_eq!(load(annotated_defaults()), Ok(Config::default()));
    let commented: String = annotated_defaults().lines().map(|line| format!("# {line}\n")).collect();
    assert_eq!(load(&commented), Ok(Config::default()));
    for nothing in ["", "{}", "\u{feff}"] {
        assert_eq!(load(nothing), Ok(Config::default()));
    }
}

#[test]
fn every_key_has_its_effect() {
    let text = "
listen: '[::1]:80'
data: /var/lib/amadare
scenarios: /etc/amadare/scenarios
timezone: Europe/Paris
hours: 22:00-02:00
late: 2h
grace: 1m
caps: [{ max: 3, per: 1d }]
closed: [12-29..01-03]
calls: { hosts: [shop.example], secret: { file: /run/calls } }
line:
  endpoint: http://localhost:9000/
  limits: { push: 0, multicast: 5 }
  channel_access_token: { file: /run/token }
  channel_secret: { env: SECRET }
api:
  keys: [{ name: shop, sha256: 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08 }]
testers: [m-1, m-2]
store: { engine: sled, cache: 1GiB }
retention: { history: 4w }
logs: { format: json, level: debug }
";
    let config = load(text).unwrap();
    assert_eq!(
        config,
        Config {
            listen: "[::1]:80".parse().unwrap(),
            data: "/var/lib/amadare".into(),
            scenarios: "/etc/amadare/scenarios".into(),
            zone: TimeZone::get("Europe/Paris").unwrap(),
            hours: Some(Hours { start_minute: 22 * 60, end_minute: 2 * 60 }),
            late: Some(SignedDuration::from_hours(2)),
            grace: SignedDuration::from_mins(1),
            caps: vec![Cap { max: 3, per: SignedDuration::from_hours(24) }],
            closed: vec![calendar::closed("12-29..01-03").unwrap()],
            calls: CallsConfig {
                hosts: vec!["shop.example".into()],
                secret: SecretSource::File("/run/calls".into()),
            },
            line: LineConfig {
                endpoint: "http://localhost:9000".into(),
                limits: Limits { push: 0, multicast: 5 },
                channel_access_token: SecretSource::File("/run/token".into()),
                channel_secret: SecretSource::Environment("SECRET".into()),
            },
            api_keys: vec![ApiKey {
                name: "shop".into(),
                sha256: sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08").unwrap(),
            }],
            testers: vec![MemberId::new("m-1").unwrap(), MemberId::new("m-2").unwrap()],
            store: StoreConfig { engine: Engine::Sled, cache_bytes: 1024 * 1024 * 1024 },
            history: SignedDuration::from_hours(4 * 7 * 24),
            logs: LogConfig { format: LogFormat::Json, level: LogLevel::Debug },
        }
    );
    assert!(!config.sends_to_line() && Config::default().sends_to_line());
    assert_eq!(config.scenario_defaults().grace, SignedDuration::from_mins(1));
}

#[test]
fn testers_are_few_named_once_and_ids() {
    let told = load("testers: [m-1, \"\", m-1]\n").unwrap_err();
    assert!(told.contains("amadare.yaml:1:16: error[invalid-value]"), "{told}");
    assert!(told.contains("amadare.yaml:1:20: error[invalid-value]: `m-1` is named twice"), "{told}");
    let many: Vec<String> = (0..=MAX_TESTERS).map(|number| format!("m-{number}")).collect();
    let told = load(&format!("testers: [{}]\n", many.join(", "))).unwrap_err();
    assert!(told.contains("101 testers; at most 100 can be named"), "{told}");
}

#[test]
fn the_command_line_overrules_the_file() {
    let overrides = Overrides {
        data: Some("d".into()),
        scenarios: Some("s".into()),
        listen: Some("127.0.0.1:1".parse().unwrap()),
        line_endpoint: Some("http://127.0.0.1:9".into()),
    };
    // alone, this file would be refused: a network address without keys, and no limits at LINE
    let config = load_with("listen: 0.0.0.0:80\nline: { limits: { push: 0 } }\n", &overrides).unwrap();
    assert_eq!((config.data, config.scenarios), ("d".into(), "s".into()));
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.line.endpoint, "http://127.0.0.1:9");
    let wrong = Overrides { line_endpoint: Some("http://proxy.example".into()), ..Overrides::default() };
    assert!(load_with("", &wrong).unwrap_err().starts_with("command line:1:1: error[invalid-value]"));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = "\
lisen: 127.0.0.1:8787
data: ./x/.
scenarios: x
timezone: Asia/Tokio
budget: { monthly: 3 }
hours: 8-21
grace: 10
line:
  endpoint: http://api.line.me
  limits: { push: 5000, multicast: -1 }
  channel_access_token: eyJhbGciOiJIUzI1NiJ9
  channel_secret: { env: A, file: b }
api:
  keys:
    - { name: shop, sha256: abc }
    - { name: crm, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }
    - { name: crm, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }
    - { name: x }
store: { engine: sqlite, cache: 128MB }
retention: { history: 3mo }
logs: { format: jsn, level: verbose }
";
    let expected = "\
amadare.yaml:1:1: error[unknown-key]: the configuration has no key `lisen`
  help: did you mean `listen`?
amadare.yaml:2:7: error[contradiction]: `data` and `scenarios` are the same folder: a backup or an upgrade of one would touch the other
amadare.yaml:4:11: error[invalid-zone]: `Asia/Tokio` is not a time zone
  help: did you mean `Asia/Tokyo`?
amadare.yaml:5:1: error[unknown-key]: the configuration cannot have `budget` yet
  help: the key is planned, but not supported by this version of amadare
amadare.yaml:6:8: error[invalid-hours]: `8-21` is not a send window
  help: write `08:00-21:00`
amadare.yaml:7:8: error[wrong-type]: `grace` must be a length of time, not a number
  help: write `10d` for days, `10h` for hours, `10m` for minutes
amadare.yaml:9:13: error[invalid-value]: `http://api.line.me` would send the channel access token over the network in the clear
  help: use https, or http on 127.0.0.1 for a stand-in
amadare.yaml:10:19: error[contradiction]: 5000 a second for `push` at LINE's own endpoint: above 2000 a second LINE refuses requests
  help: write 2000, or name a stand-in as `endpoint`
amadare.yaml:10:36: error[invalid-value]: `multicast` cannot be -1
  help: write a number from 0 up to 1000000
amadare.yaml:11:25: error[secret]: `channel_access_token` must be the place of a secret, not a text
  help: a secret does not stand in the file: write { env: NAME } or { file: PATH }, and change it at LINE
amadare.yaml:12:19: error[invalid-value]: `channel_secret` names no one place that the secret is in
  help: write { env: NAME } or { file: PATH }
amadare.yaml:15:29: error[invalid-value]: `sha256` is not the SHA-256 of a key
  help: 64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints them
amadare.yaml:17:15: error[contradiction]: two API keys are called `crm`, so logs could not tell them apart
amadare.yaml:18:7: error[missing-key]: an API key has no `sha256`
  help: `sha256:` the SHA-256 of the key, 64 hexadecimal digits
amadare.yaml:19:18: error[invalid-value]: `engine` cannot be `sqlite`
  help: one of: sled
amadare.yaml:19:33: error[invalid-value]: `128MB` is not a size
  help: write a whole number and KiB, MiB or GiB: 128MiB
amadare.yaml:20:23: error[invalid-duration]: `3mo` has no fixed length
  help: write a whole number and a unit of fixed length: 90m, 6h, 2d (s, m, h, d, w)
amadare.yaml:21:17: error[invalid-value]: `format` cannot be `jsn`
  help: did you mean `json`?
amadare.yaml:21:29: error[invalid-value]: `level` cannot be `verbose`
  help: one of: error, warn, info, debug, trace";
    assert_eq!(load(text).unwrap_err(), expected);
}

#[test]
fn contradictions_say_what_would_come_of_them() {
    let open = load("listen: 0.0.0.0:8787\n").unwrap_err();
    assert!(open.contains("listening on 0.0.0.0:8787 without an API key"), "{open}");
    let unlimited = load("line: { limits: { push: 0 } }\n").unwrap_err();
    assert!(unlimited.contains("no limit for `push` at LINE's own endpoint"), "{unlimited}");
}

#[test]
fn endpoints() {
    for good in
        ["https://api.line.me", "https://api.line.me/", "http://[::1]:9", "https://relay.example/line"]
    {
        assert!(endpoint(good).is_ok(), "{good}");
    }
    for bad in
        ["", "api.line.me", "ftp://a", "http://10.0.0.1", "https://u:p@a", "https://a/?x=1", "https://a#b"]
    {
        assert!(endpoint(bad).is_err(), "{bad}");
    }
    let Err(with_password) = endpoint("https://u:hunter2@a") else { panic!("it was taken") };
    assert!(!with_password.message.contains("hunter2"));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("amadare.yaml");
    let missing = Config::load(Some(&path), &Overrides::default()).unwrap_err();
    assert!(matches!(missing, ConfigError::Unreadable { .. }), "{missing}");
    std::fs::write(&path, "logs: { level: warn }\n").unwrap();
    let config = Config::load(Some(&path), &Overrides::default()).unwrap();
    assert_eq!(config.logs.level, LogLevel::Warn);
    assert_eq!(Config::load(None, &Overrides::default()).unwrap(), Config::default());
}

#[test]
fn secrets_come_from_where_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        fetch("x", &SecretSource::File(path))
    };
    for text in ["abc+/=", "abc+/=\n", "abc+/=\r\n"] {
        assert_eq!(file(text).unwrap().unwrap().expose_secret(), "abc+/=");
    }
    for text in ["", "\n", "a b", "a\n\n", "あ"] {
        assert!(file(text).is_err(), "{text:?}");
    }
    let missing = fetch("x", &SecretSource::File(folder.path().join("none"))).unwrap_err();
    assert!(missing.to_string().starts_with("x: cannot read "), "{missing}");
    let unset = fetch("x", &SecretSource::Environment("AMADARE_NO_SUCH_VARIABLE".into())).unwrap();
    assert!(unset.is_none());
    // cargo sets this one for every test
    let set = fetch("x", &SecretSource::Environment("CARGO_PKG_NAME".into())).unwrap().unwrap();
    assert_eq!(set.expose_secret(), "amadare");
}
