//! `amadare serve`: the daemon.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::signals::Signal;
use super::{Failure, Place, check, jobs, runtime, signals};
use crate::call::Caller;
use crate::clock::Clock;
use crate::config::{Config, LogFormat, LogLevel, SecretError, Secrets};
use crate::dispatch::courier::{self, Couriers, Gate, Paces};
use crate::dispatch::daemon::{Desk, Outcomes, Outlets, Running};
use crate::dispatch::turns::Opening;
use crate::dispatch::{Action, Hold, Minutes, Turns, daemon};
use crate::http::{self, Api, ApiKeys, Component, Metrics, Readiness, Terms, TestSends};
use crate::line::{BotInfo, CallError, Client, Endpoint, Quota, Timeouts};
use crate::scenario::ScenarioSet;
use crate::scenario::load::load;
use crate::scenario::source::Sources;
use crate::store::{self, Batch, Epoch, Meta, Store, StoreError};

/// How long requests and attempts that are under way get to end: the unit's `TimeoutStopSec` is longer.
const DRAIN: Duration = Duration::from_secs(12);

/// How long a start waits for LINE to say which channel this is.
const CHANNEL_WAIT: Duration = Duration::from_secs(3);

/// How often LINE is asked whether it takes the token again.
const TOKEN_PROBE: Duration = Duration::from_secs(5);

/// How many of these pass before LINE is asked whether there is quota again.
const PROBES_PER_QUOTA: u64 = 12;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Start an accelerated clock at this time (RFC 3339), for rehearsals against a stand-in for LINE
    #[arg(long, value_name = "T", requires = "clock_speed")]
    clock_start: Option<Timestamp>,
    /// How many times as fast as real time the accelerated clock runs
    #[arg(long, value_name = "N", requires = "clock_start", value_parser = speed)]
    clock_speed: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && (0.001..=1e7).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.001 to 10000000".into()),
    }
}

pub(super) fn run(place: &Place, options: Options) -> Result<(), Failure> {
    let config = place.load()?;
    start_logging(&config);
    let clock = match (options.clock_start, options.clock_speed) {
        (Some(start), Some(speed)) => Clock::accelerated(start, speed),
        _ => Clock::system(),
    };
    if clock.is_rehearsal() && config.sends_to_line() {
        return Err(Failure::configuration(
            "an accelerated clock is for rehearsals: it refuses LINE's own endpoint; \
             say --line-endpoint http://127.0.0.1:9000 and run `amadare sandbox`",
        ));
    }
    runtime()?.block_on(serve(place, config, clock))
}

fn start_logging(config: &Config) {
    let level = match config.logs.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // the scheduler tells at every start how it starts
    let filter = Targets::new().with_default(level).with_target("tokio_cron_scheduler", LevelFilter::WARN);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match config.logs.format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
}

async fn serve(place: &Place, config: Config, clock: Clock) -> Result<(), Failure> {
    let signals = signals::listen().context("cannot listen for signals")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let daemon = Daemon::start(place, &config, clock).await?;
    daemon.run(listener, signals).await
}

/// Everything that runs.
struct Daemon {
    place: Place,
    api: Api,
    line: Line,
    /// As it was at the start.
    config: Config,
    running: Running,
    couriers: Couriers,
    gate: Gate,
    stopping: watch::Sender<bool>,
    caller: watch::Sender<Caller>,
    _jobs: jobs::Jobs,
}

impl Daemon {
    async fn start(place: &Place, config: &Config, clock: Clock) -> Result<Daemon, Failure> {
        let secrets = Secrets::read(config).map_err(unusable_secret)?;
        let store = open_store(config)?;
        let readiness = Readiness::default();
        let scenarios = Arc::new(first_scenarios(config, &*store, &readiness)?);
        tracing::info!(count = scenarios.iter().count(), "scenarios loaded");

        let endpoint: Endpoint = (config.line.endpoint.parse())
            .map_err(|error| Failure::configuration(format!("line.endpoint: {error}")))?;
        let client = Client::new(endpoint, Timeouts::default()).context("cannot make a client for LINE")?;
        set_token(&client, secrets.channel_access_token)?;
        note_channel_secret(&secrets.channel_secret);
        let binding = Arc::new(Binding::read(&*store)?);
        let told = ask_bot(&client).await;
        if told.as_ref().is_ok_and(|bot| !binding.fits(&bot.user_id)) {
            return Err(Failure::configuration(OTHER_CHANNEL));
        }
        let opening = Opening {
            scenarios: Arc::clone(&scenarios),
            channel: channel_seed(&*store, told.as_ref().ok().map(|bot| bot.user_id.as_str()))?,
            salt: identity(&*store, Meta::Salt)?,
            holds: told.is_err().then_some(Hold::Token).into_iter().collect(),
            line_ahead: line_ahead(&client, &clock),
            // the jobs on the clock go by the system's
            minutes: if clock.is_rehearsal() { Minutes::Watched } else { Minutes::Told },
        };
        let turns =
            Turns::open(Arc::clone(&store), opening, clock.now()).context("cannot read the outbox")?;
        for hold in turns.holds() {
            tracing::warn!(reason = hold.word(), remedy = hold.remedy(), "sends are on hold from the start");
        }
        if turns.unknown() > 0 {
            tracing::warn!(
                deliveries = turns.unknown(),
                "may or may not have been accepted: see `amadare deliveries list`"
            );
        }
        if turns.outbox_len() > 0 {
            tracing::info!(parcels = turns.outbox_len(), "taking up what was in flight");
        }

        let metrics = Arc::new(Metrics::new());
        let gate = Gate::default();
        let (errands, to_send) = courier::errands();
        let (confirm_quota, quota_asked) = mpsc::unbounded_channel();
        let running = daemon::start(turns, Arc::clone(&store), clock.clone(), |_| Outlets {
            errands,
            confirm_quota,
            gate: gate.clone(),
            observe: metrics.clone(),
        })
        .context("cannot start the turns")?;
        let desk = running.desk.clone();
        let outcomes = Outcomes::new(desk.clone(), metrics.clone());
        let limit = |per_second: u32| (per_second > 0).then_some(per_second);
        let limits = config.line.limits;
        let paces = Paces { pushes: limit(limits.push), multicasts: limit(limits.multicast) };
        let (caller, called_by) = watch::channel(caller(config, secrets.calls_secret)?);
        let couriers = Couriers::start(to_send, client.clone(), called_by, paces, gate.clone(), outcomes);
        let test_sends =
            TestSends::new(client.clone(), couriers.pace_of_pushes(), gate.clone(), terms_of_tests(config));
        let api = Api::new(http::Inner {
            desk: desk.clone(),
            store: Arc::clone(&store),
            clock: clock.clone(),
            scenarios: RwLock::new(scenarios),
            keys: RwLock::new(keys(config)),
            channel_secret: RwLock::new(secrets.channel_secret),
            readiness,
            metrics,
            planning: Arc::new(http::Planning::new(config.scenario_defaults())),
            test_sends: Arc::new(test_sends),
        });
        let (stopping, _) = watch::channel(false);
        let line = Line { api: api.clone(), client: client.clone(), binding };
        line.heard(&told);
        tokio::spawn(line.clone().watch(quota_asked, stopping.subscribe()));
        let jobs = jobs::start(&api, client.clone(), config.history)
            .await
            .context("cannot start the jobs on the clock")?;
        let (place, config) = (place.clone(), config.clone());
        Ok(Daemon { place, api, line, config, running, couriers, gate, stopping, caller, _jobs: jobs })
    }

    async fn run(
        self,
        listener: TcpListener,
        mut signals: mpsc::UnboundedReceiver<Signal>,
    ) -> Result<(), Failure> {
        let address = listener.local_addr().context("the listener has no address")?;
        let mut stop = self.stopping.subscribe();
        let shutdown = async move { drop(stop.wait_for(|stopping| *stopping).await) };
        let mut serving = tokio::spawn(http::serve(listener, http::router(self.api.clone()), shutdown));
        tokio::spawn(watchdog(self.api.clone()));
        notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!(%address, "ready");
        loop {
            tokio::select! {
                signal = signals.recv() => match signal {
                    Some(Signal::Reload) => self.reload().await,
                    Some(Signal::Stop) | None => break,
                },
                ended = &mut serving => {
                    ended.context("the API panicked")?.context("the API ended")?;
                    return Err(Failure::problem("the API ended by itself"));
                }
            }
        }
        self.stop(serving).await
    }

    /// Reads the scenarios and the secrets again; all are taken over, or nothing is.
    async fn reload(&self) {
        let since = sd_notify::NotifyState::monotonic_usec_now();
        notify(&[
            sd_notify::NotifyState::Reloading,
            since.unwrap_or(sd_notify::NotifyState::MonotonicUsec(0)),
        ]);
        match self.try_reload().await {
            Ok(count) => tracing::info!(count, "reloaded"),
            Err(failure) => {
                tracing::error!(why = failure.message, "not reloaded: what was running goes on");
                self.api.readiness.set(Component::Scenarios, false, json!(failure.message));
            }
        }
        notify(&[sd_notify::NotifyState::Ready]);
    }

    async fn try_reload(&self) -> Result<usize, Failure> {
        let config = self.place.load()?;
        let secrets = Secrets::read(&config).map_err(unusable_secret)?;
        let (sources, set) = load_configured(&config)?;
        // a token of another channel must not be used for a single push
        let endpoint = self.line.client.endpoint().clone();
        let asking = Client::new(endpoint, Timeouts::default()).context("cannot make a client for LINE")?;
        set_token(&asking, secrets.channel_access_token.clone())?;
        let told = ask_bot(&asking).await;
        if told.as_ref().is_ok_and(|bot| !self.line.binding.fits(&bot.user_id)) {
            return Err(Failure::configuration(OTHER_CHANNEL));
        }
        if told.is_err() {
            // held before the new token is used for anything
            let held = self.api.desk.ask(Action::Hold(Hold::Token)).await;
            held.context("sends could not be put on hold")?;
        }
        self.caller.send_replace(caller(&config, secrets.calls_secret)?);
        set_token(&self.line.client, secrets.channel_access_token)?;
        let set = Arc::new(set);
        let count = set.iter().count();
        let before = Arc::clone(&self.api.scenarios.read().expect("no holder of this lock panics"));
        for gone in before.iter().filter(|scenario| set.get(&scenario.id).is_none()) {
            tracing::warn!(scenario = %gone.id, "the scenario was removed: its runs end");
        }
        self.api
            .desk
            .ask(Action::Reload { scenarios: Arc::clone(&set), files: remember(&sources) })
            .await
            .context("the scenarios could not be taken over")?;
        *self.api.scenarios.write().expect("no holder of this lock panics") = set;
        *self.api.planning.defaults.write().expect("no holder of this lock panics") =
            config.scenario_defaults();
        *self.api.keys.write().expect("no holder of this lock panics") = keys(&config);
        self.api.test_sends.set_terms(terms_of_tests(&config));
        note_channel_secret(&secrets.channel_secret);
        *self.api.channel_secret.write().expect("no holder of this lock panics") = secrets.channel_secret;
        self.api.readiness.set(Component::Scenarios, true, json!({ "count": count }));
        self.line.heard(&told);
        let at_start = Config { api_keys: config.api_keys.clone(), ..self.config.clone() };
        let taken = Config {
            zone: config.zone.clone(),
            hours: config.hours,
            late: config.late,
            grace: config.grace,
            caps: config.caps.clone(),
            closed: config.closed.clone(),
            calls: config.calls.clone(),
            testers: config.testers.clone(),
            ..at_start
        };
        if taken != config {
            tracing::warn!(
                "some of what has changed in the configuration needs a restart: all but api, testers, timezone, hours, late, grace, caps, closed, calls and secrets"
            );
        }
        Ok(count)
    }

    /// Stops taking in, lets what is under way end, and ends.
    async fn stop(self, serving: tokio::task::JoinHandle<std::io::Result<()>>) -> Result<(), Failure> {
        tracing::info!("stopping");
        notify(&[sd_notify::NotifyState::Stopping]);
        self.running.drain();
        self.stopping.send_replace(true);
        let deadline = tokio::time::sleep(DRAIN);
        tokio::pin!(deadline);
        tokio::select! {
            _ = serving => {}
            () = &mut deadline => tracing::warn!("some requests did not end in time"),
        }
        // parcels that have not left stay in the outbox; for those that have, LINE's answer is worth a wait
        self.gate.shut();
        tokio::select! {
            () = self.couriers.rest() => {}
            () = &mut deadline => tracing::warn!("LINE did not answer some attempts in time; the next start asks again"),
        }
        let ended = tokio::task::spawn_blocking(move || self.running.stop()).await;
        ended.context("the turns panicked")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What makes requests to the operator's service.
fn caller(config: &Config, secret: Option<SecretString>) -> Result<Caller, Failure> {
    if secret.is_none() && !config.calls.hosts.is_empty() {
        tracing::warn!(
            "there is no secret to sign calls with (`calls.secret`): they wait until there is one"
        );
    }
    let caller = Caller::new(config.calls.hosts.clone(), secret);
    Ok(caller.context("cannot make a client for calls")?)
}

/// Tells systemd; without it there is nobody to tell.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Feeds systemd's watchdog as long as the turn loop beats.
async fn watchdog(api: Api) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(interval / 2);
    loop {
        ticks.tick().await;
        if api.desk.status().failure().is_none() && api.desk.since_beat() < http::MAX_BEAT_AGE {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

fn unusable_secret(error: SecretError) -> Failure {
    Failure::configuration(format!("{:#}", anyhow::Error::from(error)))
}

fn open_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    store::open(&config.data, config.store.cache_bytes).map_err(|error| {
        // what a restart cannot help must not be restarted for ever
        let is_final = match &error {
            StoreError::Newer { .. }
            | StoreError::Lost { .. }
            | StoreError::Damaged { .. }
            | StoreError::RestoreUnfinished { .. } => true,
            StoreError::Io { cause, .. } => {
                matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
            }
            _ => false,
        };
        let message = format!("{:#}", anyhow::Error::from(error));
        if is_final { Failure::configuration(message) } else { Failure::problem(message) }
    })
}

/// The scenarios of the configured folder.
///
/// # Errors
/// The folder has none, cannot be read, or a file has an error; all of them.
fn load_configured(config: &Config) -> Result<(Sources, ScenarioSet), Failure> {
    let paths: [PathBuf; 1] = [config.scenarios.clone()];
    let sources = check::read_sources(&paths)?;
    let loaded = load(&sources, &config.scenario_defaults());
    match loaded.set {
        Some(set) => Ok((sources, set)),
        None => Err(Failure::problem(check::errors_of(&loaded.findings).join("\n"))),
    }
}

/// The set to start with: the files', or, if they have an error, the last good one.
fn first_scenarios(
    config: &Config,
    store: &dyn Store,
    readiness: &Readiness,
) -> Result<ScenarioSet, Failure> {
    let problem = match load_configured(config) {
        Ok((sources, set)) => {
            let mut batch = Batch::default();
            batch.put_scenario_files(&remember(&sources));
            commit(store, &batch)?;
            readiness.set(Component::Scenarios, true, json!({ "count": set.iter().count() }));
            return Ok(set);
        }
        Err(failure) => failure.message,
    };
    let files = store::load_scenario_files(store).context("cannot read the last good scenarios")?;
    let last_good = load(&Sources::from_files(files), &config.scenario_defaults());
    match last_good.set {
        Some(set) if set.iter().next().is_some() => {
            tracing::error!(why = problem, "the scenario files have errors: running the last good ones");
            readiness.set(Component::Scenarios, false, json!(problem));
            Ok(set)
        }
        _ => Err(Failure::configuration(format!("{problem}\nand there is no earlier good set to run"))),
    }
}

fn remember(sources: &Sources) -> Vec<(String, Vec<u8>)> {
    sources.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

fn commit(store: &dyn Store, batch: &Batch) -> Result<(), Failure> {
    store.commit(batch, Epoch::EMBEDDED).and_then(|()| store.flush()).context("cannot write to the store")?;
    Ok(())
}

/// What stands for the channel in identities, frozen at a store's first start: the bot's user id, so that a
/// folder made anew within a day meets the same retry keys; or, where LINE has not told it, one drawn.
fn channel_seed(store: &dyn Store, bot: Option<&str>) -> Result<Arc<str>, Failure> {
    if let Some(stored) = store::get_meta(store, Meta::Channel).context("cannot read the store")? {
        return Ok(String::from_utf8_lossy(&stored).into());
    }
    let seed = match bot {
        Some(bot) => bot.to_owned(),
        None => hex(&identity(store, Meta::Id)?),
    };
    let mut batch = Batch::default();
    batch.put_meta(Meta::Channel, seed.clone().into_bytes());
    commit(store, &batch)?;
    Ok(seed.into())
}

/// Whose channel the data folder belongs to. Nothing is sent before LINE has said that the token is for
/// that channel: another channel's members are other people, and its retry keys protect nothing.
#[derive(Debug)]
struct Binding(Mutex<Option<String>>);

const OTHER_CHANNEL: &str = "the channel access token is for another channel than the data folder's; \
                             give each channel a data folder of its own";

impl Binding {
    fn read(store: &dyn Store) -> Result<Binding, Failure> {
        let stored = store::get_meta(store, Meta::Bot).context("cannot read the store")?;
        Ok(Binding(Mutex::new(stored.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))))
    }

    /// True if the folder belongs to this bot's channel, or to none yet.
    fn fits(&self, bot: &str) -> bool {
        self.0.lock().expect("no holder of this lock panics").as_deref().is_none_or(|bound| bound == bot)
    }

    /// Binds a folder that belongs to nobody yet.
    fn bind(&self, desk: &Desk, bot: &str) {
        let mut bound = self.0.lock().expect("no holder of this lock panics");
        if bound.is_none() {
            *bound = Some(bot.to_owned());
            desk.tell(Action::Bind { bot: bot.to_owned() });
        }
    }
}

/// Asks LINE which channel a token is for.
///
/// # Errors
/// LINE did not say; the reason.
async fn ask_bot(client: &Client) -> Result<BotInfo, String> {
    match tokio::time::timeout(CHANNEL_WAIT, client.bot_info()).await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("LINE did not answer in time".into()),
    }
}

/// A random value of the store's own, drawn when it is first asked for.
fn identity(store: &dyn Store, meta: Meta) -> Result<Vec<u8>, Failure> {
    if let Some(stored) = store::get_meta(store, meta).context("cannot read the store")? {
        return Ok(stored);
    }
    let drawn = store::draw_identity();
    let mut batch = Batch::default();
    batch.put_meta(meta, drawn.to_vec());
    commit(store, &batch)?;
    Ok(drawn.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keys(config: &Config) -> ApiKeys {
    ApiKeys(config.api_keys.clone())
}

fn terms_of_tests(config: &Config) -> Terms {
    Terms { testers: config.testers.clone(), defaults: config.scenario_defaults() }
}

fn note_channel_secret(secret: &Option<SecretString>) {
    if secret.is_none() {
        tracing::warn!("there is no channel secret: LINE's webhooks are refused, so blocks are not heard of");
    }
}

fn set_token(client: &Client, token: Option<SecretString>) -> Result<(), Failure> {
    if token.is_none() {
        tracing::warn!("there is no channel access token: nothing can be sent");
    }
    client.set_token(token).map_err(|_| {
        Failure::configuration("the channel access token has characters that cannot stand in a header")
    })
}

/// What goes between the daemon and LINE beside pushes.
#[derive(Clone, Debug)]
struct Line {
    api: Api,
    client: Client,
    binding: Arc<Binding>,
}

impl Line {
    /// Asks LINE, while sends are on hold for it, whether the token, the clock or the quota is good again.
    async fn watch(self, mut quota_asked: mpsc::UnboundedReceiver<()>, mut stopping: watch::Receiver<bool>) {
        let mut probes = 0_u64;
        loop {
            tokio::select! {
                _ = stopping.changed() => return,
                asked = quota_asked.recv() => match asked {
                    Some(()) => ask_quota(&self.api, &self.client).await,
                    None => return,
                },
                () = tokio::time::sleep(TOKEN_PROBE) => {
                    probes += 1;
                    let holds = self.api.desk.status().holds();
                    let told = match holds.contains(&Hold::Token) || holds.contains(&Hold::Clock) {
                        true => Some(ask_bot(&self.client).await),
                        false => None,
                    };
                    // before anything is lifted by the same answer
                    if let Some(ahead) = line_ahead(&self.client, &self.api.clock) {
                        self.api.desk.tell(Action::LineClock { ahead });
                    }
                    if let Some(told) = told {
                        self.heard(&told);
                    }
                    if holds.contains(&Hold::Quota) && probes.is_multiple_of(PROBES_PER_QUOTA) {
                        ask_quota(&self.api, &self.client).await;
                    }
                }
            }
        }
    }

    /// Takes over what LINE said, or did not say, about the token.
    fn heard(&self, told: &Result<BotInfo, String>) {
        match told {
            Ok(bot) if self.binding.fits(&bot.user_id) => {
                self.binding.bind(&self.api.desk, &bot.user_id);
                self.api.readiness.set(Component::LineToken, true, json!({ "bot": bot.basic_id }));
                self.api.desk.tell(Action::Lift(Hold::Token));
            }
            Ok(_) => self.api.readiness.set(Component::LineToken, false, json!(OTHER_CHANNEL)),
            Err(why) => {
                tracing::warn!(
                    why,
                    "LINE has not said which channel the token is for; nothing is sent before"
                );
                self.api.readiness.set(Component::LineToken, false, json!(why));
            }
        }
    }
}

/// How far LINE's clock is ahead of ours, if it has answered since it was asked last.
fn line_ahead(client: &Client, clock: &Clock) -> Option<SignedDuration> {
    let (date, heard) = client.date()?;
    let since = heard.elapsed();
    if clock.is_rehearsal() || since > TOKEN_PROBE {
        return None;
    }
    let theirs = date.checked_add(since).ok()?;
    Some(theirs.duration_since(clock.now()))
}

/// Asks LINE how the month's quota stands and tells the turns.
pub(super) async fn ask_quota(api: &Api, client: &Client) {
    match quota(client).await {
        Ok((limit, used)) => {
            let ok = limit.is_none_or(|limit| used < limit);
            api.readiness.set(Component::Quota, ok, json!({ "limit": limit, "used": used }));
            api.desk.tell(Action::Quota { limit, used });
        }
        Err(error) => tracing::warn!(%error, "LINE did not say how the quota stands"),
    }
}

async fn quota(client: &Client) -> Result<(Option<u64>, u64), CallError> {
    let limit = match client.quota().await? {
        Quota::None => None,
        Quota::Limited(limit) => Some(limit),
    };
    Ok((limit, client.consumption().await?))
}
