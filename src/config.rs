//! `amadare.yaml` → [`Config`]: parsed once, checked whole, handed down.
//!
//! The only reader of environment variables. Secrets never stand in the file: it names where they are,
//! and [`Secrets::read`] fetches them, at start and again on SIGHUP.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::model::MemberId;
use crate::scenario::calendar::{self, ClosedDays};
use crate::scenario::file::{ClosedText, FixedText, HoursText};
use crate::scenario::finding::{Finding, Place};
use crate::scenario::written::{self, Unreadable};
use crate::scenario::yaml::{self, Data, Node};
use crate::scenario::{Cap, Defaults, Hours, schema};

/// The file that is read if none is named; it need not exist.
pub const DEFAULT_FILE: &str = "amadare.yaml";

/// The largest configuration file, in bytes: what is larger was named by mistake.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// The largest file with a secret, in bytes; LINE's tokens have some two hundred.
const MAX_SECRET_BYTES: u64 = 16 * 1024;
/// The most testers: the people who look at messages before members do.
const MAX_TESTERS: usize = 100;
/// The host of LINE's own API. Source: LINE Developers, "Messaging API reference".
const LINE_HOST: &str = "api.line.me";
/// Requests in a second that LINE takes. Source: LINE Developers, "Messaging API reference", rate limits.
const LINE_LIMITS: Limits = Limits { push: 2_000, multicast: 200 };

/// The settings of a daemon, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the API and LINE's webhook are served.
    pub listen: SocketAddr,
    /// The folder of the store.
    pub data: PathBuf,
    /// The folder of scenario files, or one file.
    pub scenarios: PathBuf,
    /// The zone of scenarios that name none.
    pub zone: TimeZone,
    /// The send window of scenarios that name none.
    pub hours: Option<Hours>,
    /// How far behind its moment a step may go out, where the scenario does not say.
    pub late: Option<SignedDuration>,
    /// How overdue a step may be before it is superseded, where the scenario does not say.
    pub grace: SignedDuration,
    /// Frequency caps over all scenarios together.
    pub caps: Vec<Cap>,
    /// Days that are no workdays, beside weekends and public holidays.
    pub closed: Vec<ClosedDays>,
    pub calls: CallsConfig,
    pub line: LineConfig,
    pub api_keys: Vec<ApiKey>,
    /// Members who may get test sends.
    pub testers: Vec<MemberId>,
    pub store: StoreConfig,
    /// How long what happened to a member is kept.
    pub history: SignedDuration,
    pub logs: LogConfig,
}

/// How LINE is reached.
/// Requests to the operator's own service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsConfig {
    /// The only hosts that may be called.
    pub hosts: Vec<String>,
    pub secret: SecretSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Without a `/` at its end: paths such as `/v2/bot/message/push` are appended.
    pub endpoint: String,
    pub limits: Limits,
    pub channel_access_token: SecretSource,
    pub channel_secret: SecretSource,
}

/// Requests in a second, by endpoint; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub push: u32,
    pub multicast: u32,
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable, by name. One that is not set is no secret.
    Environment(String),
    /// A file that holds nothing else.
    File(PathBuf),
}

/// A client of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// For logs.
    pub name: String,
    /// SHA-256 of the key as the client sends it.
    pub sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub engine: Engine,
    /// Memory that the engine may use for reading.
    pub cache_bytes: u64,
}

/// An engine of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Sled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// How log lines are written: for people, or one JSON object a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The least severe log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What the command line says in place of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub data: Option<PathBuf>,
    pub scenarios: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub line_endpoint: Option<String>,
}

/// Why there is no configuration to run with.
#[derive(Debug)]
pub enum ConfigError {
    /// The named file cannot be read.
    Unreadable { path: PathBuf, source: io::Error },
    /// Everything that is wrong with it.
    Invalid(Vec<Finding>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, .. } => write!(f, "cannot read {}", path.display()),
            ConfigError::Invalid(findings) => {
                let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source),
            ConfigError::Invalid(_) => None,
        }
    }
}

/// The longest window of a cap: a member's file keeps when messages were accepted for so long.
const MAX_CAP: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The annotated defaults: a configuration file that says what is so without it.
pub fn annotated_defaults() -> &'static str {
    include_str!("config/defaults.yaml")
}

impl Default for Config {
    fn default() -> Config {
        let scenario = Defaults::default();
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            data: "./data".into(),
            scenarios: "./scenarios".into(),
            zone: scenario.zone,
            hours: scenario.hours,
            late: scenario.late,
            grace: scenario.grace,
            caps: scenario.caps,
            closed: scenario.closed,
            calls: CallsConfig {
                hosts: Vec::new(),
                secret: SecretSource::Environment("AMADARE_CALLS_SECRET".into()),
            },
            line: LineConfig {
                endpoint: format!("https://{LINE_HOST}"),
                limits: LINE_LIMITS,
                channel_access_token: SecretSource::Environment("LINE_CHANNEL_ACCESS_TOKEN".into()),
                channel_secret: SecretSource::Environment("LINE_CHANNEL_SECRET".into()),
            },
            api_keys: Vec::new(),
            testers: Vec::new(),
            store: StoreConfig { engine: Engine::Sled, cache_bytes: 128 * 1024 * 1024 },
            history: SignedDuration::from_hours(90 * 24),
            logs: LogConfig { format: LogFormat::Text, level: LogLevel::Info },
        }
    }
}

impl Config {
    /// Reads a configuration file and what the command line says in its place.
    ///
    /// Without a path it is [`DEFAULT_FILE`] in the working folder, if there is one. Paths in the file
    /// are from the working folder.
    ///
    /// # Errors
    /// The file cannot be read; it is not YAML, has unknown keys or wrong values; or settings
    /// contradict each other. All problems are told at once.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let named = path.is_some();
        let path = path.unwrap_or(Path::new(DEFAULT_FILE));
        match read_bounded(path, MAX_FILE_BYTES) {
            Ok(bytes) => Config::from_yaml(&path.display().to_string(), &bytes, overrides),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => {
                Config::from_yaml(DEFAULT_FILE, b"{}", overrides)
            }
            Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        }
    }

    /// As [`Config::load`], with the file at hand; `name` is what findings call it.
    ///
    /// # Errors
    /// As [`Config::load`], but for reading the file.
    pub fn from_yaml(name: &str, bytes: &[u8], overrides: &Overrides) -> Result<Config, ConfigError> {
        let mut load = ConfigLoad { file: name.into(), overrides, findings: Vec::new() };
        let config = load.load(bytes);
        match config {
            Some(config) if load.findings.is_empty() => Ok(config),
            _ => {
                load.findings.sort();
                load.findings.dedup();
                Err(ConfigError::Invalid(load.findings))
            }
        }
    }

    /// What scenarios that do not say for themselves get.
    pub fn scenario_defaults(&self) -> Defaults {
        Defaults {
            zone: self.zone.clone(),
            hours: self.hours,
            late: self.late,
            grace: self.grace,
            caps: self.caps.clone(),
            closed: self.closed.clone(),
            call_hosts: Some(self.calls.hosts.clone()),
        }
    }

    /// True if messages go to LINE itself, not to a stand-in.
    pub fn sends_to_line(&self) -> bool {
        Url::parse(&self.line.endpoint).is_ok_and(|url| url.host_str() == Some(LINE_HOST))
    }
}

/// The configuration of a daemon of amadare. Every key may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "the configuration", "x-later" = [
    "budget", "fuse", "alerts", "links", "clicks",
]))]
struct ConfigFile {
    /// An address and a port: 127.0.0.1:8787.
    #[schemars(extend("examples" = ["127.0.0.1:8787"]))]
    listen: Option<String>,
    /// The folder of the store.
    data: Option<String>,
    /// The folder of scenario files.
    scenarios: Option<String>,
    /// The time zone of scenarios that name none, by its IANA name.
    timezone: Option<String>,
    /// The send window of scenarios that name none.
    hours: Option<HoursText>,
    /// How far behind its moment a step may go out.
    late: Option<FixedText>,
    /// How overdue a step may be before a later one takes its place.
    grace: Option<FixedText>,
    /// The most messages to one member in a sliding window, over all scenarios together.
    caps: Option<Vec<CapItem>>,
    /// Days that are no workdays, beside weekends and public holidays of Japan.
    closed: Option<Vec<ClosedText>>,
    /// Which of the operator's services steps may call.
    calls: Option<CallSection>,
    /// How LINE is reached.
    line: Option<LineSection>,
    /// Who may use the API.
    api: Option<ApiSection>,
    /// The members that `amadare test-send` may send to.
    #[schemars(extend("examples" = [["m-1"]]))]
    testers: Option<Vec<String>>,
    /// Where members and deliveries are kept.
    store: Option<StoreSection>,
    /// How long things are kept.
    retention: Option<RetentionSection>,
    /// What is logged, and how.
    logs: Option<LogSection>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`line`", "x-later" = ["channel_id", "assertion_key", "loading"]))]
struct LineSection {
    /// LINE's API, or a stand-in.
    endpoint: Option<String>,
    /// Requests in a second.
    limits: Option<LimitSection>,
    channel_access_token: Option<SecretSection>,
    channel_secret: Option<SecretSection>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`calls`"))]
struct CallSection {
    /// Hosts, with a port where it is not that of https: shop.example, localhost:9000.
    #[schemars(extend("examples" = [["shop.example"]]))]
    hosts: Option<Vec<String>>,
    /// What requests are signed with.
    secret: Option<SecretSection>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "a cap"))]
struct CapItem {
    /// The most messages.
    #[schemars(required, range(min = 1, max = 100))]
    max: Option<u32>,
    /// In how long, at most 31 days.
    #[schemars(required)]
    per: Option<FixedText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`limits`"))]
struct LimitSection {
    #[schemars(range(min = 0, max = 1_000_000))]
    push: Option<u32>,
    #[schemars(range(min = 0, max = 1_000_000))]
    multicast: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "a secret", "x-kind" = "secret"))]
struct SecretSection {
    /// The name of an environment variable.
    env: Option<String>,
    /// The path of a file that holds nothing else.
    file: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`api`"))]
struct ApiSection {
    keys: Option<Vec<KeyItem>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "an API key"))]
struct KeyItem {
    /// A name for logs.
    #[schemars(required)]
    name: Option<String>,
    /// The SHA-256 of the key, 64 hexadecimal digits.
    #[schemars(required)]
    sha256: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`store`"))]
struct StoreSection {
    engine: Option<Engine>,
    /// Memory for reading: 128MiB.
    #[schemars(extend("examples" = ["128MiB"], "x-kind" = "size"))]
    cache: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`retention`"))]
struct RetentionSection {
    /// How long what happened to a member is kept.
    history: Option<FixedText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-name" = "`logs`"))]
struct LogSection {
    format: Option<LogFormat>,
    level: Option<LogLevel>,
}

struct ConfigLoad<'a> {
    file: Arc<str>,
    overrides: &'a Overrides,
    findings: Vec<Finding>,
}

impl ConfigLoad<'_> {
    fn load(&mut self, bytes: &[u8]) -> Option<Config> {
        let mut findings = Vec::new();
        let tree = yaml::parse(&self.file, bytes, &mut findings);
        // a file of comments only, such as the defaults with all lines commented out, says nothing
        findings.retain(|finding| finding.code != "empty-file");
        let tree = match tree {
            Some(tree) => tree,
            None if findings.is_empty() => {
                Node { place: Place::start_of(&self.file), data: Data::Map(Vec::new()) }
            }
            None => {
                self.findings = findings;
                return None;
            }
        };
        self.findings = findings;
        let right = schema::check(&tree, &schema::annotated::<ConfigFile>(), &mut self.findings);
        let typed = if self.findings.is_empty() && !tree.entries().is_empty() {
            serde_yaml::from_slice(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes))
                .map_err(|error| error.to_string())
        } else {
            serde_json::from_value(right).map_err(|error| error.to_string())
        };
        match typed {
            Ok(file) => {
                let config = self.config(&file, &tree);
                self.refuse_contradictions(&config, &tree);
                Some(config)
            }
            Err(error) => {
                self.findings.push(Finding::error(&Place::start_of(&self.file), "load", error));
                None
            }
        }
    }

    /// What the file says, and the defaults for what it does not say or says wrong.
    fn config(&mut self, file: &ConfigFile, tree: &Node) -> Config {
        let mut config = Config::default();
        if let Some(text) = &file.listen {
            self.set(&mut config.listen, address(text), tree.place_of("listen"));
        }
        if let Some(path) = self.path(file.data.as_deref(), tree, "data") {
            config.data = path;
        }
        if let Some(path) = self.path(file.scenarios.as_deref(), tree, "scenarios") {
            config.scenarios = path;
        }
        if let Some(text) = &file.timezone {
            self.set(&mut config.zone, written::zone(text), tree.place_of("timezone"));
        }
        if let Some(text) = &file.hours {
            self.set(&mut config.hours, written::hours(&text.0).map(Some), tree.place_of("hours"));
        }
        if let Some(text) = &file.late {
            self.set(&mut config.late, written::fixed(&text.0).map(Some), tree.place_of("late"));
        }
        if let Some(text) = &file.grace {
            self.set(&mut config.grace, written::fixed(&text.0), tree.place_of("grace"));
        }
        if let (Some(items), Some(node)) = (&file.caps, tree.get("caps")) {
            config.caps =
                items.iter().zip(node.items()).filter_map(|(item, node)| self.cap(item, node)).collect();
        }
        if let (Some(texts), Some(node)) = (&file.closed, tree.get("closed")) {
            for (text, node) in texts.iter().zip(node.items()) {
                match calendar::closed(&text.0) {
                    Ok(closed) => config.closed.push(closed),
                    Err(error) => self.findings.push(error.at(&node.place)),
                }
            }
        }
        if let (Some(section), Some(node)) = (&file.calls, tree.get("calls")) {
            self.calls(section, node, &mut config.calls);
        }
        if let (Some(section), Some(node)) = (&file.line, tree.get("line")) {
            self.line(section, node, &mut config.line);
        }
        if let (Some(section), Some(node)) = (&file.api, tree.get("api")) {
            self.api_keys(section, node, &mut config.api_keys);
        }
        if let (Some(ids), Some(node)) = (&file.testers, tree.get("testers")) {
            self.testers(ids, node, &mut config.testers);
        }
        if let (Some(section), Some(node)) = (&file.store, tree.get("store")) {
            config.store.engine = section.engine.unwrap_or(config.store.engine);
            if let Some(text) = &section.cache {
                self.set(&mut config.store.cache_bytes, size(text), node.place_of("cache"));
            }
        }
        if let (Some(section), Some(node)) = (&file.retention, tree.get("retention"))
            && let Some(text) = &section.history
        {
            self.set(&mut config.history, written::fixed(&text.0), node.place_of("history"));
        }
        if let Some(section) = &file.logs {
            config.logs.format = section.format.unwrap_or(config.logs.format);
            config.logs.level = section.level.unwrap_or(config.logs.level);
        }
        self.overrule(&mut config);
        config
    }

    fn calls(&mut self, section: &CallSection, node: &Node, calls: &mut CallsConfig) {
        for (host, node) in section.hosts.iter().flatten().zip(node.get("hosts").map_or(&[][..], Node::items))
        {
            if host.is_empty() || host.contains(['/', '@', '*', ' ']) || host.contains("://") {
                let message = format!("`{host}` is not a host");
                self.findings.push(
                    Finding::error(&node.place, "invalid-value", message)
                        .help("write the host alone: shop.example, or with a port: localhost:9000"),
                );
            } else {
                calls.hosts.push(host.clone());
            }
        }
        if let Some(section) = &section.secret {
            let place = node.place_of("secret").clone();
            self.set(&mut calls.secret, secret_source(section, "secret"), &place);
        }
    }

    fn cap(&mut self, item: &CapItem, node: &Node) -> Option<Cap> {
        let (max, per) = (item.max?, item.per.as_ref()?);
        match written::fixed(&per.0) {
            Ok(per) if per <= MAX_CAP => Some(Cap { max, per }),
            Ok(_) => {
                let message = format!("`{}` is more than a cap looks back", per.0);
                self.findings.push(
                    Finding::error(node.place_of("per"), "invalid-duration", message)
                        .help("at most 31 days: 31d"),
                );
                None
            }
            Err(error) => {
                self.findings.push(error.at(node.place_of("per")));
                None
            }
        }
    }

    fn line(&mut self, section: &LineSection, node: &Node, line: &mut LineConfig) {
        if let Some(text) = &section.endpoint {
            self.set(&mut line.endpoint, endpoint(text), node.place_of("endpoint"));
        }
        if let Some(limits) = &section.limits {
            line.limits.push = limits.push.unwrap_or(line.limits.push);
            line.limits.multicast = limits.multicast.unwrap_or(line.limits.multicast);
        }
        let secrets = [
            ("channel_access_token", &section.channel_access_token, &mut line.channel_access_token),
            ("channel_secret", &section.channel_secret, &mut line.channel_secret),
        ];
        for (key, section, source) in secrets {
            if let Some(section) = section {
                self.set(source, secret_source(section, key), node.place_of(key));
            }
        }
    }

    fn api_keys(&mut self, section: &ApiSection, node: &Node, keys: &mut Vec<ApiKey>) {
        let items = section.keys.as_deref().unwrap_or_default();
        let nodes = node.get("keys").map(Node::items).unwrap_or_default();
        for (item, node) in items.iter().zip(nodes) {
            let (Some(name), Some(hex)) = (&item.name, &item.sha256) else { continue };
            if keys.iter().any(|key| key.name == *name) {
                let message = format!("two API keys are called `{name}`, so logs could not tell them apart");
                self.findings.push(Finding::error(node.place_of("name"), "contradiction", message));
            }
            match sha256(hex) {
                Ok(sha256) => keys.push(ApiKey { name: name.clone(), sha256 }),
                Err(error) => self.findings.push(error.at(node.place_of("sha256"))),
            }
        }
    }

    fn testers(&mut self, ids: &[String], node: &Node, testers: &mut Vec<MemberId>) {
        if ids.len() > MAX_TESTERS {
            let message = format!("{} testers; at most {MAX_TESTERS} can be named", ids.len());
            self.findings.push(
                Finding::error(&node.place, "invalid-value", message)
                    .help("name the few people who look at messages before they go live"),
            );
        }
        for (id, node) in ids.iter().zip(node.items()) {
            match MemberId::new(id) {
                Ok(id) if testers.contains(&id) => {
                    let message = format!("`{id}` is named twice");
                    self.findings.push(Finding::error(&node.place, "invalid-value", message));
                }
                Ok(id) => testers.push(id),
                Err(error) => {
                    self.findings.push(Finding::error(&node.place, "invalid-value", error.to_string()));
                }
            }
        }
    }

    fn overrule(&mut self, config: &mut Config) {
        let said = Place::start_of(&Arc::from("command line"));
        if let Some(listen) = self.overrides.listen {
            config.listen = listen;
        }
        if let Some(data) = &self.overrides.data {
            config.data = data.clone();
        }
        if let Some(scenarios) = &self.overrides.scenarios {
            config.scenarios = scenarios.clone();
        }
        if let Some(text) = &self.overrides.line_endpoint {
            self.set(&mut config.line.endpoint, endpoint(text), &said);
        }
    }

    /// Settings that are right alone and wrong together, each with what would come of it.
    fn refuse_contradictions(&mut self, config: &Config, tree: &Node) {
        let line = tree.get("line").unwrap_or(tree);
        if config.sends_to_line() {
            let limits = line.get("limits").unwrap_or(line);
            let given = [
                ("push", config.line.limits.push, LINE_LIMITS.push),
                ("multicast", config.line.limits.multicast, LINE_LIMITS.multicast),
            ];
            for (key, limit, most) in given.into_iter().filter(|(_, limit, most)| *limit == 0 || limit > most)
            {
                let said = if limit == 0 { "no limit".to_owned() } else { format!("{limit} a second") };
                let message = format!(
                    "{said} for `{key}` at LINE's own endpoint: above {most} a second LINE refuses requests"
                );
                self.findings.push(
                    Finding::error(limits.place_of(key), "contradiction", message)
                        .help(format!("write {most}, or name a stand-in as `endpoint`")),
                );
            }
        }
        if config.api_keys.is_empty() && !config.listen.ip().is_loopback() {
            let message =
                format!("listening on {} without an API key: the API would refuse everyone", config.listen);
            self.findings.push(
                Finding::error(tree.place_of("listen"), "contradiction", message)
                    .help("add a key under `api.keys`, or listen on 127.0.0.1"),
            );
        }
        if plain(&config.data) == plain(&config.scenarios) {
            let message = "`data` and `scenarios` are the same folder: a backup or an upgrade of one would touch the other";
            self.findings.push(Finding::error(tree.place_of("data"), "contradiction", message));
        }
    }

    fn path(&mut self, text: Option<&str>, tree: &Node, key: &str) -> Option<PathBuf> {
        let text = text?;
        if text.is_empty() {
            let message = format!("`{key}` must not be empty");
            self.findings.push(Finding::error(tree.place_of(key), "invalid-value", message));
            return None;
        }
        Some(PathBuf::from(text))
    }

    fn set<T>(&mut self, target: &mut T, read: Result<T, Unreadable>, place: &Place) {
        match read {
            Ok(value) => *target = value,
            Err(error) => self.findings.push(error.at(place)),
        }
    }
}

fn invalid(message: String, help: &str) -> Unreadable {
    Unreadable { code: "invalid-value", message, help: Some(help.into()) }
}

fn address(text: &str) -> Result<SocketAddr, Unreadable> {
    text.parse().map_err(|_| {
        let help = "write an address and a port: 127.0.0.1:8787, or 0.0.0.0:8787 for every interface";
        invalid(format!("`{text}` is not an address to listen on"), help)
    })
}

fn endpoint(text: &str) -> Result<String, Unreadable> {
    let help = "write where LINE's API is: https://api.line.me";
    let refuse = |why: &str| invalid(format!("`{text}` {why}"), help);
    let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse("is not an http or https URL"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(invalid("the endpoint has more than a host and a path".into(), help));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let why = "would send the channel access token over the network in the clear";
        return Err(invalid(format!("`{text}` {why}"), "use https, or http on 127.0.0.1 for a stand-in"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn secret_source(section: &SecretSection, key: &str) -> Result<SecretSource, Unreadable> {
    let help = "write { env: NAME } or { file: PATH }";
    match (&section.env, &section.file) {
        (Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => {
            Ok(SecretSource::Environment(name.clone()))
        }
        (None, Some(path)) if !path.is_empty() => Ok(SecretSource::File(path.into())),
        _ => Err(invalid(format!("`{key}` names no one place that the secret is in"), help)),
    }
}

fn sha256(hex: &str) -> Result<[u8; 32], Unreadable> {
    let refuse = || {
        let help = "64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints them";
        invalid("`sha256` is not the SHA-256 of a key".into(), help)
    };
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(refuse());
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).map_err(|_| refuse())?;
    }
    Ok(bytes)
}

/// Reads a size in memory, from 1 MiB to 1 TiB.
fn size(text: &str) -> Result<u64, Unreadable> {
    let help = "write a whole number and KiB, MiB or GiB: 128MiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "KiB" => Some(1024),
        "MiB" => Some(1024 * 1024),
        "GiB" => Some(1024 * 1024 * 1024),
        _ => None,
    };
    let bytes = text[..digits].parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    match bytes {
        Some(bytes) if (1024 * 1024..=1024 * 1024 * 1024 * 1024).contains(&bytes) => Ok(bytes),
        Some(_) => Err(invalid(format!("`{text}` is not between 1MiB and 1024GiB"), help)),
        None => Err(invalid(format!("`{text}` is not a size"), help)),
    }
}

/// The path without `.` parts, for comparing.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The secrets of a channel, as far as they are to be had.
#[derive(Debug)]
pub struct Secrets {
    /// None if the variable that it should be in is not set.
    pub channel_access_token: Option<SecretString>,
    pub channel_secret: Option<SecretString>,
    /// What requests to the operator's service are signed with.
    pub calls_secret: Option<SecretString>,
}

/// A secret that is named and cannot be had. Says nothing of its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{what}: cannot read {}", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{what}: {place} {why}")]
    Unusable { what: &'static str, place: String, why: &'static str },
}

impl Secrets {
    /// Fetches the secrets that the configuration names. A line break at the end is left out.
    ///
    /// # Errors
    /// A file cannot be read or is empty, or a value cannot stand in an HTTP header.
    pub fn read(config: &Config) -> Result<Secrets, SecretError> {
        Ok(Secrets {
            channel_access_token: fetch("line.channel_access_token", &config.line.channel_access_token)?,
            channel_secret: fetch("line.channel_secret", &config.line.channel_secret)?,
            calls_secret: fetch("calls.secret", &config.calls.secret)?,
        })
    }
}

fn fetch(what: &'static str, source: &SecretSource) -> Result<Option<SecretString>, SecretError> {
    let unusable = |place: &str, why| SecretError::Unusable { what, place: place.to_owned(), why };
    let (value, place) = match source {
        SecretSource::Environment(name) => match environment(name) {
            None => return Ok(None),
            Some(value) => {
                let place = format!("the environment variable {name}");
                let value = value.into_string().map_err(|_| unusable(&place, "is not UTF-8"))?;
                (value, place)
            }
        },
        SecretSource::File(path) => {
            let unreadable = |source| SecretError::Unreadable { what, path: path.clone(), source };
            let bytes = read_bounded(path, MAX_SECRET_BYTES).map_err(unreadable)?;
            let place = path.display().to_string();
            let value = String::from_utf8(bytes).map_err(|_| unusable(&place, "is not UTF-8"))?;
            (value, place)
        }
    };
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    match (value, source) {
        ("", SecretSource::Environment(_)) => Ok(None),
        ("", SecretSource::File(_)) => Err(unusable(&place, "is empty")),
        _ if !value.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(unusable(&place, "has white space or other characters that no secret here has"))
        }
        _ => Ok(Some(SecretString::from(value))),
    }
}

/// The locale of messages as the environment names it; empty if it names none.
///
/// Source: POSIX.1-2017, "Environment Variables", 8.2.
pub fn locale() -> String {
    let set = |name: &&str| environment(name).is_some_and(|value| !value.is_empty());
    let name = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find(|name| set(name));
    name.and_then(environment).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn read_bounded(path: &Path, bound: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bound + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bound {
        return Err(io::Error::other(format!("larger than {} KiB", bound / 1024)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
