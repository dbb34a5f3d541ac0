//! How commands get at a daemon: through its API while it runs, through its store while it does not.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::{Failure, check, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Asked, Explain, ObstacleView, TimelineView, timeline_of};
use crate::model::{MemberFile, MemberId};
use crate::scenario::ScenarioSet;
use crate::store::{self, Store};

/// The longest a running daemon may take to answer a command.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// What keeps messages back while no daemon runs.
pub(super) const STOPPED: &str = "stopped";

/// The key for a daemon that wants one.
#[derive(Clone, Debug, Args)]
pub(super) struct Key {
    /// A file that holds an API key, for a daemon that has keys configured
    #[arg(long, value_name = "FILE")]
    key_file: Option<std::path::PathBuf>,
}

/// A running daemon's API.
pub(super) struct Running {
    base: String,
    client: reqwest::Client,
    key: Option<SecretString>,
}

/// An answer of the API.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Running {
    pub(super) fn new(config: &Config, key: &Key) -> Result<Running, Failure> {
        let key = match &key.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Some(SecretString::from(text.trim().to_owned()))
            }
            None => None,
        };
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
        let client = client.context("cannot make an HTTP client")?;
        Ok(Running { base: format!("http://{}", config.listen), client, key })
    }

    /// Asks the daemon; none if none is running.
    pub(super) fn get(&self, path: &str) -> Result<Option<Answered>, Failure> {
        self.ask(self.client.get(format!("{}{path}", self.base)))
    }

    /// Has the daemon do something, which may take so long; none if none is running.
    pub(super) fn post(
        &self,
        path: &str,
        body: &serde_json::Value,
        patience: Duration,
    ) -> Result<Option<Answered>, Failure> {
        let request = self.client.post(format!("{}{path}", self.base)).timeout(patience);
        self.ask(request.header("content-type", "application/json").body(body.to_string()))
    }

    fn ask(&self, mut request: reqwest::RequestBuilder) -> Result<Option<Answered>, Failure> {
        runtime()?.block_on(async {
            if let Some(key) = &self.key {
                request = request.bearer_auth(key.expose_secret());
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) if error.is_connect() => return Ok(None),
                Err(error) => {
                    return Err(anyhow!("the daemon at {} did not answer: {error}", self.base).into());
                }
            };
            let status = response.status().as_u16();
            let body = response.text().await.context("the daemon's answer broke off")?;
            Ok(Some(Answered { status, body }))
        })
    }
}

impl Answered {
    /// The body, if the daemon did what was asked.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.status != 200 {
            return Err(Failure::problem(self.problem()));
        }
        Ok(serde_json::from_str(&self.body).context("the daemon's answer is not what was expected")?)
    }

    fn problem(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        match body.get("detail").and_then(serde_json::Value::as_str) {
            Some(detail) => format!("the daemon says: {detail}"),
            None => format!("the daemon answered with status {}", self.status),
        }
    }
}

/// A member's timeline with what explains it, and a scenario that it may not be about yet.
pub(super) fn timeline(
    config: &Config,
    key: &Key,
    member: &str,
    scenario: Option<&str>,
) -> Result<TimelineView, Failure> {
    let wish = scenario.map(|id| format!("&scenario={}", encoded(id))).unwrap_or_default();
    let path = format!("/v1/members/{}/timeline?explain=true{wish}", encoded(member));
    if let Some(answered) = Running::new(config, key)?.get(&path)? {
        return match answered.status {
            404 => Err(Failure::problem(no_such_member(member))),
            _ => answered.read(),
        };
    }
    let (store, file) = stored_member(config, member)?;
    let scenarios = loaded_scenarios(config)?;
    let explain = Explain { scenario: scenario.map(str::to_owned), ..Explain::default() };
    let asked = Asked { now: Clock::system().now(), explain: Some(explain) };
    let mut view = timeline_of(&*store, &file, &scenarios, &asked).context("cannot read the store")?;
    let explained = view.explained.get_or_insert_default();
    let stopped = ObstacleView { scenario: None, reason: STOPPED.to_owned(), remedy: None };
    explained.obstacles.insert(0, stopped);
    Ok(view)
}

/// The store of a daemon that is not running.
pub(super) fn store_at_rest(config: &Config) -> Result<std::sync::Arc<dyn Store>, Failure> {
    if !config.data.exists() {
        return Err(Failure::problem(format!(
            "no daemon answers on {}, and there is no data folder {}",
            config.listen,
            config.data.display()
        )));
    }
    let store = store::open(&config.data, config.store.cache_bytes);
    Ok(store.with_context(|| format!("no daemon answers on {}", config.listen))?)
}

/// A member's file from the store of a daemon that is not running.
pub(super) fn stored_member(
    config: &Config,
    member: &str,
) -> Result<(std::sync::Arc<dyn Store>, MemberFile), Failure> {
    let id = MemberId::new(member).map_err(|error| Failure::problem(error.to_string()))?;
    let store = store_at_rest(config)?;
    let load = |id: &MemberId| {
        let files = store::load_members(&*store, std::slice::from_ref(id));
        files.map(|mut files| files.pop().flatten()).context("cannot read the store")
    };
    let file = match load(&id)? {
        Some(MemberFile { merged_into: Some(owner), .. }) => load(&owner)?,
        other => other,
    };
    let file = file.ok_or_else(|| Failure::problem(no_such_member(member)))?;
    Ok((store, file))
}

fn no_such_member(member: &str) -> String {
    format!("there is no member `{member}`; ids are the shop's own, or `line:U…` for a friend without one")
}

fn loaded_scenarios(config: &Config) -> Result<ScenarioSet, Failure> {
    check::load_for_use(std::slice::from_ref(&config.scenarios), &config.scenario_defaults())
}

/// A member id as a part of a path.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
        encoded
    })
}
