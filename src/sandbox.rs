//! A local stand-in for LINE's Messaging API, which remembers what each person received.
//!
//! It answers the endpoints that a sender of step messages uses as LINE documents them (retry keys and
//! their 24 hours, limits, quota, reply tokens, signed webhooks), goes wrong on request, and counts
//! what a person would have got twice. Where LINE leaves something open it does what hurts a careless
//! sender most, and counts it, so that a test can ask for zero.
//!
//! LINE's time is a [`Clock`]: retry keys, reply tokens, the month, the rate limits and the `Date`
//! header run on it. Only a hang or a latency takes real time. Nothing here knows the daemon.
//!
//! The facts are from LINE Developers, "Messaging API reference", <https://developers.line.biz/en/reference/messaging-api/>,
//! unless another page is named.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Clock;

mod control;
mod endpoints;
mod faults;
mod ledger;
mod receipt;
mod rules;
mod webhook;
mod wire;

pub use faults::{Faults, FaultsError, Fired};
pub use ledger::{Stats, TooManyUsers};
pub use receipt::{BadUserId, Endpoint, Receipt, UserId, describe, describe_message};
pub use webhook::{Act, ActError, ActKind, AddressError, Posted, sign};

use faults::mix;
use ledger::{Friendship, Ledger};
use webhook::Poster;
use wire::{Tap, Wire};

/// How long answers in progress may go on after the shutdown; hangs are cut short by it.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// What the stand-in is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// Key of the webhook signatures.
    pub channel_secret: String,
    /// The only bearer token let in; `None` lets any in.
    pub token: Option<String>,
    /// The bot's own user id: `destination` of webhooks and `userId` of its info.
    pub bot_user_id: UserId,
    /// Who is a friend before anybody follows or blocks.
    pub friends: Friends,
    /// Requests per second let through.
    pub limits: Limits,
    /// People who may be addressed in a calendar month; `None` is a plan without a limit.
    pub quota: Option<u64>,
    /// Where webhooks are posted to.
    pub webhook: Option<String>,
    /// Seed of the fault draws.
    pub seed: u64,
    /// Keeps the messages with each receipt. Without it a receipt is about 100 bytes, and
    /// [`Stats::same_text_twice`] is not counted.
    pub keep_bodies: bool,
    /// Receipts kept for inspection; the oldest go first, what is counted stays counted.
    pub receipts_kept: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            channel_secret: "sandbox-channel-secret".to_owned(),
            token: None,
            bot_user_id: UserId::from_bits(0x5a17_db0c_5a17_db0c_5a17_db0c_5a17_db0c),
            friends: Friends::Everyone,
            limits: Limits::LINE,
            quota: None,
            webhook: None,
            seed: 0,
            keep_bodies: true,
            // About 200 MB with bodies of 1 KB.
            receipts_kept: 200_000,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Somebody may try things out with the secret and the token of a real channel.
        f.debug_struct("Settings")
            .field("bot_user_id", &self.bot_user_id)
            .field("friends", &self.friends)
            .field("limits", &self.limits)
            .field("quota", &self.quota)
            .field("seed", &self.seed)
            .field("keep_bodies", &self.keep_bodies)
            .field("receipts_kept", &self.receipts_kept)
            .finish_non_exhaustive()
    }
}

/// Who receives messages without having been told to follow or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Friends {
    /// Every well-formed id is a friend.
    Everyone,
    /// Only those who followed; others are answered 200 without delivery, as LINE does.
    Followers,
}

/// Requests per second let through for each endpoint; `None` is no limit.
///
/// A bucket holds one second's worth. LINE does not publish the size of its buckets. They refill by
/// the sandbox's [`Clock`], so a manual clock that stands still refills nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub push_per_second: Option<u32>,
    pub multicast_per_second: Option<u32>,
    /// For each of the other endpoints on its own, reply included.
    pub other_per_second: Option<u32>,
}

impl Limits {
    /// What LINE documents. Source: Messaging API reference, "Rate limits".
    pub const LINE: Limits = Limits {
        push_per_second: Some(2_000),
        multicast_per_second: Some(200),
        other_per_second: Some(2_000),
    };

    /// No limit anywhere, for measuring the sender.
    pub const NONE: Limits =
        Limits { push_per_second: None, multicast_per_second: None, other_per_second: None };
}

/// The stand-in; clones are handles on the same one.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    settings: Settings,
    clock: Clock,
    ledger: Mutex<Ledger>,
    arrived: Notify,
    ids: Ids,
    poster: Poster,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A fresh stand-in whose LINE lives by `clock`.
    ///
    /// # Errors
    ///
    /// When the webhook address in `settings` is not one that can be posted to.
    pub fn new(settings: Settings, clock: Clock) -> Result<Sandbox, AddressError> {
        let now = clock.now();
        let webhook = settings.webhook.as_deref().map(webhook::address).transpose()?;
        Ok(Sandbox(Arc::new(Shared {
            ids: Ids::new(mix(settings.seed ^ now.as_millisecond().unsigned_abs())),
            ledger: Mutex::new(Ledger::new(&settings, webhook, now)),
            arrived: Notify::new(),
            poster: Poster::default(),
            settings,
            clock,
        })))
    }

    /// Answers on `listener` until `shutdown` is ready, and then finishes what it can in a second.
    ///
    /// # Errors
    ///
    /// When the listener cannot be used.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let told = Arc::new(Notify::new());
        let tell = told.clone();
        let router = control::router(self).into_make_service_with_connect_info::<Wire>();
        let serving = axum::serve(Tap::new(listener), router).with_graceful_shutdown(async move {
            shutdown.await;
            tell.notify_one();
        });
        let out_of_patience = async {
            told.notified().await;
            tokio::time::sleep(CLOSING_GRACE).await;
        };
        tokio::select! {
            ended = serving => ended,
            () = out_of_patience => Ok(()),
        }
    }

    /// What people received after the receipt numbered `after`, oldest first; 0 asks for all.
    ///
    /// Numbers start at 1 and never start again. Receipts dropped by the bound are missing.
    pub fn received(&self, after: u64) -> Vec<Receipt> {
        self.ledger().received(after).cloned().collect()
    }

    /// Waits until there is a receipt after number `after`, and returns as [`Sandbox::received`].
    ///
    /// Called again with the last number it returned, it misses nothing that is still kept.
    pub async fn next_received(&self, after: u64) -> Vec<Receipt> {
        self.wait(|sandbox| sandbox.received(after)).await
    }

    /// Looks again at each arrival until `look` finds something.
    async fn wait(&self, look: impl Fn(&Sandbox) -> Vec<Receipt>) -> Vec<Receipt> {
        loop {
            let mut arrived = std::pin::pin!(self.0.arrived.notified());
            // An arrival between the look and the wait must end the wait.
            arrived.as_mut().enable();
            let receipts = look(self);
            if !receipts.is_empty() {
                return receipts;
            }
            arrived.await;
        }
    }

    /// Everything counted since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.ledger().stats(self.0.clock.now())
    }

    /// The faults in force.
    pub fn faults(&self) -> Faults {
        self.ledger().faults()
    }

    /// Puts `faults` in force in place of all before.
    ///
    /// # Errors
    ///
    /// When a probability or a duration is out of its range.
    pub fn set_faults(&self, faults: Faults) -> Result<(), FaultsError> {
        faults.check()?;
        self.ledger().set_faults(faults);
        Ok(())
    }

    /// Changes the month's quota; what has been used of it stays used.
    pub fn set_quota(&self, quota: Option<u64>) {
        self.ledger().set_quota(quota);
    }

    /// Changes where webhooks are posted to; `None` stops them.
    ///
    /// # Errors
    ///
    /// When `address` is not an http or https URL of at most 500 characters.
    pub fn set_webhook(&self, address: Option<&str>) -> Result<(), AddressError> {
        let address = address.map(webhook::address).transpose()?;
        self.ledger().set_webhook(address);
        Ok(())
    }

    /// Makes `user` block the account, without a webhook; see [`Sandbox::act`] for one with.
    ///
    /// # Errors
    ///
    /// When more users than the bound have followed or blocked.
    pub fn block(&self, user: UserId) -> Result<(), TooManyUsers> {
        self.ledger().befriend(user, Friendship::Blocked).map(drop)
    }

    /// Makes `user` a friend again, without a webhook; see [`Sandbox::act`] for one with.
    ///
    /// # Errors
    ///
    /// When more users than the bound have followed or blocked.
    pub fn unblock(&self, user: UserId) -> Result<(), TooManyUsers> {
        self.ledger().befriend(user, Friendship::Friend).map(drop)
    }

    /// Forgets what was received, keys, friendships, reply tokens, counts, used quota and faults, and
    /// draws from the seed again. Settings, webhook address and quota stay, and so does the numbering.
    pub fn reset(&self) {
        let now = self.0.clock.now();
        self.ledger().reset(&self.0.settings, now);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().expect("no holder of this lock panics")
    }
}

/// Makes ids that look drawn and do not repeat within a run, nor in the next at another instant.
struct Ids {
    salt: u64,
    made: AtomicU64,
}

impl Ids {
    fn new(salt: u64) -> Ids {
        Ids { salt, made: AtomicU64::new(0) }
    }

    fn next(&self) -> u128 {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        // `mix` is a bijection, so either half alone tells all ids of a run apart.
        let high = mix(self.salt ^ mix(n));
        let low = mix(n.wrapping_add(self.salt));
        u128::from(high) << 64 | u128::from(low)
    }

    fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.next().to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests;
