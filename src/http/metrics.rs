//! Prometheus metrics, and the log lines of what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Api, Problem};
use crate::dispatch::daemon::Observe;
use crate::dispatch::{Attempted, Happened};
use crate::model::What;

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    happenings: Family<HappeningLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    attempt_seconds: Histogram,
    lateness_seconds: Histogram,
    flush_seconds: Histogram,
    turns: Counter,
    outbox: Gauge,
    queue: Gauge,
    due_lag_seconds: Gauge<f64, AtomicU64>,
    on_hold: Gauge,
    unknown: Gauge,
    store_bytes: Gauge,
    store_ops: Counter,
    store_written_bytes: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HappeningLabels {
    scenario: String,
    step: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let seconds =
            || Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("amadare"),
            happenings: Family::default(),
            attempts: Family::default(),
            attempt_seconds: seconds(),
            lateness_seconds: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 600.0, 3_600.0,
            ]),
            flush_seconds: seconds(),
            turns: Counter::default(),
            outbox: Gauge::default(),
            queue: Gauge::default(),
            due_lag_seconds: Gauge::default(),
            on_hold: Gauge::default(),
            unknown: Gauge::default(),
            store_bytes: Gauge::default(),
            store_ops: Counter::default(),
            store_written_bytes: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("happenings", "What happened to members, by step", self.happenings.clone());
        registry.register("attempts", "HTTP calls made for parcels, by outcome", self.attempts.clone());
        registry.register("attempt_seconds", "How long LINE took to answer", self.attempt_seconds.clone());
        registry.register(
            "lateness_seconds",
            "How long after its due time a push was accepted",
            self.lateness_seconds.clone(),
        );
        registry.register("flush_seconds", "How long making turns durable took", self.flush_seconds.clone());
        registry.register("turns", "Turns made durable", self.turns.clone());
        registry.register("outbox_parcels", "Parcels that are not settled", self.outbox.clone());
        registry.register("queue_commands", "Commands that wait for a turn", self.queue.clone());
        registry.register(
            "due_lag_seconds",
            "How far behind the most overdue member is",
            self.due_lag_seconds.clone(),
        );
        registry.register("sends_on_hold", "1 while no push may leave", self.on_hold.clone());
        registry.register(
            "deliveries_unknown",
            "Deliveries that may or may not have been accepted, and that nobody has settled",
            self.unknown.clone(),
        );
        registry.register("store_disk_bytes", "What the store takes on disk", self.store_bytes.clone());
        registry.register("store_operations", "Key operations committed", self.store_ops.clone());
        registry.register(
            "store_written_bytes",
            "Bytes of keys and values committed",
            self.store_written_bytes.clone(),
        );
    }
}

impl Observe for Metrics {
    fn happened(&self, what: &Happened) {
        let happening = &what.happening;
        let scenario = happening.scenario.as_ref().map(|id| id.to_string()).unwrap_or_default();
        let step = happening.step.as_ref().map(|id| id.to_string()).unwrap_or_default();
        if happening.what == What::Accepted
            && let Some(due) = happening.until
        {
            self.lateness_seconds.observe(happening.at.duration_since(due).as_secs_f64().max(0.0));
        }
        let reason = happening.reason.as_deref().unwrap_or_default();
        let member = what.member.for_log();
        match happening.what {
            What::Rejected | What::Unknown | What::Expired => {
                tracing::warn!(%member, scenario, step, reason, "delivery {}", happening.what.word());
            }
            What::Completed if reason == "nothing_sent" => {
                tracing::warn!(%member, scenario, "a run has completed without having sent anything");
            }
            What::Enrolled | What::Accepted | What::Completed | What::Linked => {
                tracing::debug!(%member, scenario, step, "{}", happening.what.word());
            }
            other => tracing::info!(%member, scenario, step, reason, "{}", other.word()),
        }
        let labels = HappeningLabels { scenario, step, what: happening.what.word() };
        self.happenings.get_or_create(&labels).inc();
    }

    fn attempted(&self, attempted: &Attempted, took: Duration) {
        let outcome = match attempted {
            Attempted::Accepted => "accepted",
            Attempted::Refused { .. } => "refused",
            Attempted::Throttled => "throttled",
            Attempted::OverQuota => "over_quota",
            Attempted::Unauthorized => "unauthorized",
            Attempted::NotSent => "not_sent",
            Attempted::NotTried => "not_tried",
            Attempted::Ambiguous => "ambiguous",
        };
        self.attempts.get_or_create(&AttemptLabels { outcome }).inc();
        self.attempt_seconds.observe(took.as_secs_f64());
    }

    fn flushed(&self, turns: usize, took: Duration) {
        self.turns.inc_by(turns as u64);
        self.flush_seconds.observe(took.as_secs_f64());
    }
}

pub(super) async fn show(State(api): State<Api>) -> Result<Response, Problem> {
    let metrics: &Arc<Metrics> = &api.metrics;
    let status = api.desk.status();
    let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.outbox.set(gauge(status.outbox()));
    metrics.queue.set(gauge(api.desk.queue_len()));
    metrics.due_lag_seconds.set(status.due_lag().as_secs_f64());
    metrics.on_hold.set(i64::from(!status.holds().is_empty()));
    metrics.unknown.set(i64::try_from(status.unknown()).unwrap_or(i64::MAX));
    let store = api.store.stats();
    metrics.store_bytes.set(i64::try_from(store.disk_bytes).unwrap_or(i64::MAX));
    // set, not added to: two scrapes at once must not count the same twice
    metrics.store_ops.inner().store(store.ops, Ordering::Relaxed);
    metrics.store_written_bytes.inner().store(store.bytes, Ordering::Relaxed);
    let mut text = String::new();
    encode(&mut text, &metrics.registry)
        .map_err(|_| Problem::new(500, "the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([("content-type", kind)], text).into_response())
}
