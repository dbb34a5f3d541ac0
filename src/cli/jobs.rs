//! Jobs on the clock, by tokio-cron-scheduler: the minute that scenarios on the clock are started by, and
//! house-keeping. When a step of a running enrollment is due never depends on them.
//!
//! The scheduler looks twice a second, keeps nothing over a restart, takes a zone's offset of the moment a
//! job is made, and does not stop a job from overlapping itself. So which ticks are due is told by the
//! turns; each of these jobs may be late, skipped or run twice without harm, and one that is still running
//! makes the next one pass.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::serve::ask_quota;
use crate::dispatch::Action;
use crate::http::Api;
use crate::line::Client;
use crate::model::SLOTS;
use crate::store::{self, MAX_PAGE};

/// The scheduler; its jobs end with it.
pub(super) struct Jobs {
    _scheduler: JobScheduler,
}

/// Starts the jobs. `history` is how long happenings are kept.
///
/// # Errors
/// The scheduler refuses a job.
pub(super) async fn start(
    api: &Api,
    client: Client,
    history: SignedDuration,
) -> Result<Jobs, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let quota = (api.clone(), client);
    let (asked_by, asked) = quota.clone();
    tokio::spawn(async move { ask_quota(&asked_by, &asked).await });
    let minutes = api.clone();
    // one job for all patterns of all scenarios: which of them the minute meets is told by the zone of
    // each, and a minute that is missed is caught up on by the next
    add(&scheduler, "0 * * * * *", move || {
        let api = minutes.clone();
        async move {
            // the turns have ended, and whoever waits for them says so
            drop(api.desk.ask(Action::Minute).await);
        }
    })
    .await?;
    // seven past the hour, not to meet what everybody does on the hour
    add(&scheduler, "0 7 * * * *", move || {
        let (api, client) = quota.clone();
        async move { ask_quota(&api, &client).await }
    })
    .await?;
    let expiry = api.clone();
    add(&scheduler, "0 23 18 * * *", move || {
        let api = expiry.clone();
        async move { expire_history(&api, history).await }
    })
    .await?;
    let sizes = api.clone();
    add(&scheduler, "0 37 * * * *", move || {
        let stats = sizes.store.stats();
        async move {
            tracing::info!(
                disk_bytes = stats.disk_bytes,
                ops = stats.ops,
                commits = stats.commits,
                "the store"
            );
        }
    })
    .await?;
    scheduler.start().await?;
    Ok(Jobs { _scheduler: scheduler })
}

async fn add<F, W>(scheduler: &JobScheduler, schedule: &str, work: W) -> Result<(), JobSchedulerError>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let running = Arc::new(Mutex::new(()));
    let job = Job::new_async(schedule, move |_, _| {
        let (running, work) = (Arc::clone(&running), work());
        Box::pin(async move {
            if let Ok(_alone) = running.try_lock() {
                work.await;
            }
        })
    })?;
    scheduler.add(job).await.map(drop)
}

/// Deletes history rows that have been kept long enough, a page at a time.
async fn expire_history(api: &Api, kept: SignedDuration) {
    let Ok(before) = api.clock.now().checked_sub(kept) else { return };
    let mut deleted = 0;
    for slot in 0..SLOTS {
        let mut after = None;
        loop {
            let store = Arc::clone(&api.store);
            let from = after.take();
            let page = tokio::task::spawn_blocking(move || {
                store::page_expired_history(&*store, slot, from.as_ref(), before, MAX_PAGE)
            });
            let (rows, next) = match page.await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return tracing::error!(%error, "the history could not be read"),
                Err(error) => return tracing::error!(%error, "reading the history panicked"),
            };
            deleted += rows.len();
            for some in rows.chunks(100) {
                let action = Action::ExpireHistory { rows: some.to_vec() };
                if api.desk.ask(action).await.is_err() {
                    return;
                }
            }
            match next {
                Some(key) => after = Some(key),
                None => break,
            }
        }
    }
    tracing::info!(rows = deleted, "history expired");
}
