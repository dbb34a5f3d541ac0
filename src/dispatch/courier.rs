//! Couriers: one HTTP attempt each, paced by LINE's limits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::bucket::Bucket;
use super::daemon::Outcomes;
use super::{Attempted, Blame, Parcel};
use crate::call::{Called, Caller};
use crate::clock::Monotonic;
use crate::line::{Cause, Client, Outcome, Throttle};

/// Attempts under way at once: at LINE's 2,000 pushes a second and a slow 250 ms an answer, 500.
const MAX_UNDER_WAY: u32 = 512;

/// Requests to the operator's service under way at once.
const MAX_CALLS_UNDER_WAY: usize = 16;

/// How long a parcel may have waited for its attempt since the world was last looked at: after that the
/// member may have blocked the account, or the send hours may have closed. A full outbox takes two
/// seconds at LINE's limit.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// Whether parcels may leave. Cheap to clone; all clones are one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    held: AtomicBool,
    shut: AtomicBool,
}

impl Gate {
    /// Holds parcels back, or lets them pass again.
    pub fn hold(&self, held: bool) {
        self.0.held.store(held, Ordering::SeqCst);
    }

    /// Lets nothing pass any more, whatever else is said.
    pub fn shut(&self) {
        self.0.shut.store(true, Ordering::SeqCst);
    }

    pub fn is_open(&self) -> bool {
        !self.0.held.load(Ordering::SeqCst) && !self.0.shut.load(Ordering::SeqCst)
    }
}

/// A parcel that is handed to the couriers, and when.
#[derive(Debug)]
pub struct Errand {
    pub parcel: Arc<Parcel>,
    pub since: Monotonic,
}

/// The way of parcels to the couriers. Pushes and multicasts have a limit each, and do not wait for each
/// other. What is on the way is bounded by the outbox.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    pushes: mpsc::UnboundedSender<Errand>,
    multicasts: mpsc::UnboundedSender<Errand>,
    calls: mpsc::UnboundedSender<Errand>,
}

/// Where errands come out.
#[derive(Debug)]
pub struct Errands {
    pushes: mpsc::UnboundedReceiver<Errand>,
    multicasts: mpsc::UnboundedReceiver<Errand>,
    calls: mpsc::UnboundedReceiver<Errand>,
}

/// A way and its end.
pub fn errands() -> (Dispatcher, Errands) {
    let (pushes, to_push) = mpsc::unbounded_channel();
    let (multicasts, to_multicast) = mpsc::unbounded_channel();
    let (calls, to_call) = mpsc::unbounded_channel();
    (
        Dispatcher { pushes, multicasts, calls },
        Errands { pushes: to_push, multicasts: to_multicast, calls: to_call },
    )
}

impl Dispatcher {
    /// Hands over a parcel. When the couriers have ended, it stays in the outbox for the next start.
    pub fn send(&self, parcel: Arc<Parcel>) {
        let way = match parcel.url() {
            Some(_) => &self.calls,
            None if parcel.is_multicast() => &self.multicasts,
            None => &self.pushes,
        };
        drop(way.send(Errand { parcel, since: Monotonic::now() }));
    }
}

impl Errands {
    /// The next parcel of either kind; none once nobody can send any more.
    pub async fn next(&mut self) -> Option<Errand> {
        tokio::select! {
            Some(errand) = self.pushes.recv() => Some(errand),
            Some(errand) = self.multicasts.recv() => Some(errand),
            Some(errand) = self.calls.recv() => Some(errand),
            else => None,
        }
    }
}

/// Requests a second that LINE takes, none without a limit.
#[derive(Clone, Copy, Debug)]
pub struct Paces {
    pub pushes: Option<u32>,
    pub multicasts: Option<u32>,
}

/// The pace of LINE's limit for pushes, shared by all that push. Clones are one pace.
#[derive(Clone, Debug)]
pub struct Pace {
    bucket: Option<Arc<Mutex<Bucket>>>,
    /// What the bucket's time counts from.
    start: Monotonic,
}

impl Pace {
    /// So many requests a second; none for no limit.
    pub fn new(per_second: Option<u32>) -> Pace {
        let bucket = per_second.map(|per_second| Arc::new(Mutex::new(Bucket::new(per_second))));
        Pace { bucket, start: Monotonic::now() }
    }

    /// Waits until the next request may leave.
    pub async fn keep(&self) {
        let Some(bucket) = &self.bucket else { return };
        let wait = bucket.lock().expect("no holder of this lock panics").take(self.start.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// LINE said that it was too fast, if that is what it said.
    pub fn heed(&self, outcome: &Outcome) {
        if let (Outcome::Throttled(Throttle::Rate | Throttle::Unclear(_)), Some(bucket)) =
            (outcome, &self.bucket)
        {
            bucket.lock().expect("no holder of this lock panics").slow_down(self.start.elapsed());
        }
    }
}

/// The couriers at work.
#[derive(Debug)]
pub struct Couriers {
    places: Arc<Semaphore>,
    pushes: Pace,
}

impl Couriers {
    /// Sends parcels to LINE as they come, at most as fast as `paces` say, and to the operator's service,
    /// and reports each outcome.
    pub fn start(
        errands: Errands,
        client: Client,
        caller: watch::Receiver<Caller>,
        paces: Paces,
        gate: Gate,
        outcomes: Outcomes,
    ) -> Couriers {
        let places = Arc::new(Semaphore::new(MAX_UNDER_WAY as usize));
        let round = |pace: &Pace| Round {
            client: client.clone(),
            pace: pace.clone(),
            gate: gate.clone(),
            outcomes: outcomes.clone(),
            places: Arc::clone(&places),
        };
        let pushes = Pace::new(paces.pushes);
        tokio::spawn(round(&pushes).run(errands.pushes));
        tokio::spawn(round(&Pace::new(paces.multicasts)).run(errands.multicasts));
        let calls = CallRound { caller, gate: gate.clone(), outcomes, places: Arc::clone(&places) };
        tokio::spawn(calls.run(errands.calls));
        Couriers { places, pushes }
    }

    /// The pace of pushes, for what is pushed beside parcels.
    pub fn pace_of_pushes(&self) -> Pace {
        self.pushes.clone()
    }

    /// Waits until no attempt is under way. The gate must be shut, or there is no end to it.
    pub async fn rest(&self) {
        let all = self.places.acquire_many(MAX_UNDER_WAY).await;
        drop(all.expect("the semaphore is never closed"));
    }
}

struct Round {
    client: Client,
    pace: Pace,
    gate: Gate,
    outcomes: Outcomes,
    places: Arc<Semaphore>,
}

impl Round {
    async fn run(self, mut errands: mpsc::UnboundedReceiver<Errand>) {
        while let Some(Errand { parcel, since }) = errands.recv().await {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            self.pace.keep().await;
            if !self.gate.is_open() || since.elapsed() > MAX_WAIT {
                // not a byte has left: the turns look at it again
                self.outcomes.report(parcel.retry_key, Attempted::NotTried, Duration::ZERO);
                continue;
            }
            let (client, pace, outcomes) = (self.client.clone(), self.pace.clone(), self.outcomes.clone());
            tokio::spawn(async move {
                let began = Monotonic::now();
                let (key, bytes) = (parcel.retry_key.0, parcel.bytes.to_vec());
                let outcome = match parcel.is_multicast() {
                    true => client.multicast(key, bytes).await,
                    false => client.push(key, bytes).await,
                };
                pace.heed(&outcome);
                outcomes.report(parcel.retry_key, attempted(&parcel, outcome), began.elapsed());
                drop(place);
            });
        }
    }
}

/// The way of requests to the operator's service, which has no pace of its own and few at once.
struct CallRound {
    caller: watch::Receiver<Caller>,
    gate: Gate,
    outcomes: Outcomes,
    places: Arc<Semaphore>,
}

impl CallRound {
    async fn run(self, mut errands: mpsc::UnboundedReceiver<Errand>) {
        // a service that is slow takes these places, and none of those that LINE's requests need
        let few = Arc::new(Semaphore::new(MAX_CALLS_UNDER_WAY));
        while let Some(Errand { parcel, since }) = errands.recv().await {
            let own = Arc::clone(&few).acquire_owned().await.expect("the semaphore is never closed");
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            if !self.gate.is_open() || since.elapsed() > MAX_WAIT {
                self.outcomes.report(parcel.retry_key, Attempted::NotTried, Duration::ZERO);
                continue;
            }
            let (caller, outcomes) = (self.caller.borrow().clone(), self.outcomes.clone());
            tokio::spawn(async move {
                let began = Monotonic::now();
                let retry_key = parcel.retry_key;
                let url = parcel.url().map(Arc::clone).unwrap_or_default();
                let attempted = match caller.call(&url, retry_key.0, parcel.bytes.to_vec()).await {
                    Called::Accepted => Attempted::Accepted,
                    Called::Refused(why) => {
                        tracing::warn!(%retry_key, why, step.id = %parcel.step, "a call was refused");
                        Attempted::Refused { reason: why.into(), blame: Blame::Content }
                    }
                    // whoever is called knows a repetition by its key
                    Called::Failed(why) => {
                        tracing::info!(%retry_key, why, step.id = %parcel.step, "a call failed; it is tried again");
                        Attempted::NotSent
                    }
                };
                outcomes.report(retry_key, attempted, began.elapsed());
                drop((place, own));
            });
        }
    }
}

/// What an outcome means for the protocol.
fn attempted(parcel: &Parcel, outcome: Outcome) -> Attempted {
    let retry_key = parcel.retry_key;
    match outcome {
        Outcome::Accepted { accepted_earlier, request_id } => {
            tracing::debug!(%retry_key, accepted_earlier, request_id, "LINE has the push");
            Attempted::Accepted
        }
        Outcome::Throttled(Throttle::MonthlyLimit) => Attempted::OverQuota,
        Outcome::Throttled(_) => {
            tracing::info!(%retry_key, "LINE refused the push for now: too many requests");
            Attempted::Throttled
        }
        Outcome::Refused(refusal) => {
            tracing::warn!(%retry_key, status = refusal.status, message = refusal.message, "LINE refused the push");
            let blame = match refusal.cause {
                Cause::Content | Cause::TooLarge => Blame::Content,
                Cause::RecipientAt(place) => Blame::Recipient(place),
                Cause::Recipient | Cause::Other => Blame::Unclear,
            };
            let reason = format!("line({} {})", refusal.status, refusal.message).into();
            Attempted::Refused { reason, blame }
        }
        Outcome::Unauthorized { status, message } => {
            tracing::error!(%retry_key, status, message, "LINE does not take the channel access token");
            Attempted::Unauthorized
        }
        Outcome::NoToken => {
            tracing::error!(%retry_key, "there is no channel access token");
            Attempted::Unauthorized
        }
        Outcome::NotSent(why) => {
            tracing::info!(%retry_key, why, "LINE could not be reached");
            Attempted::NotSent
        }
        Outcome::Ambiguous(why) => {
            tracing::info!(%retry_key, why, "it is not known whether LINE took the push");
            Attempted::Ambiguous
        }
    }
}
