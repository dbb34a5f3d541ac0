//! What LINE remembers (keys, friends, quota, reply tokens, limits) and what people received.
//!
//! One value behind one lock; every method takes `now` and returns at once. Nothing here knows HTTP.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::http::HeaderValue;
use jiff::civil::Date;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::{self, TimeZone};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::endpoints::Call;
use super::faults::{Draws, Fault, Faults, Fired};
use super::receipt::{Endpoint, Receipt, UserId};
use super::webhook::ActKind;
use super::{Friends, Limits, Settings};

/// How long LINE remembers a retry key, from the first request under it.
///
/// Source: LINE Developers, "Retry failed API requests".
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// How long a reply token lives from its webhook. Source: Messaging API reference, "Send reply message".
const REPLY_TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(1);

/// No redelivery revives a reply token after this long since its event. Source: as above.
const REPLY_TOKEN_END: SignedDuration = SignedDuration::from_mins(20);

/// Retry keys remembered, about 130 bytes each: half an hour of LINE's full push rate. Past it the
/// oldest is forgotten early, which [`Stats::keys_forgotten_early`] tells.
const KEYS_KEPT: usize = 4_000_000;

/// Pairs of a person and a retry key (or a text) watched for repetition, about 16 bytes each. Past it
/// new pairs are not watched, which [`Stats::pairs_not_watched`] tells.
const PAIRS_KEPT: usize = 16_000_000;

/// People who followed or blocked; about 50 bytes each.
const USERS_KEPT: usize = 1_000_000;

/// Reply tokens and webhook events kept, oldest first out: more than any test sends in 20 minutes.
const EVENTS_KEPT: usize = 10_000;

/// More people have followed or blocked than are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{USERS_KEPT} users have followed or blocked; reset the sandbox to go on")]
pub struct TooManyUsers;

/// Everything counted since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests to LINE's endpoints, whatever became of them.
    pub requests: u64,
    /// Answers given, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests accepted, all three ways together.
    pub accepted: u64,
    pub accepted_push: u64,
    pub accepted_multicast: u64,
    pub accepted_reply: u64,
    /// Pushes and multicasts accepted without a retry key, which can never be retried safely.
    pub accepted_without_key: u64,
    /// People reached, counted once for each accepted request.
    pub receipts: u64,
    /// Receipts by which a person got the same retry key again.
    pub duplicates: u64,
    /// Receipts by which a person got the very same messages again, under whatever key; counted only
    /// while bodies are kept. May be meant: two scenarios can say the same.
    pub same_text_twice: u64,
    /// Recipients of accepted requests who got nothing: blocked, or not a friend.
    pub undelivered: u64,
    /// Requests answered 409, or that would have been but for a fault.
    pub already_accepted: u64,
    /// Requests whose retry key came earlier with another endpoint or other bytes. What LINE does with
    /// them is not specified; here they count as the same key.
    pub key_reused_with_other_bytes: u64,
    /// Requests that came while another under the same key was in progress. What LINE does with them
    /// is not specified; here they are dealt with one after the other.
    pub concurrent_same_key: u64,
    /// Requests refused 429 for the rate, without counting faults.
    pub over_rate: u64,
    /// Requests refused 429 for the month's quota, without counting faults.
    pub over_quota: u64,
    /// People addressed this month, as far as the quota counts them.
    pub quota_used: u64,
    pub faults: Fired,
    /// Webhooks answered 2xx.
    pub webhooks_delivered: u64,
    /// Webhooks answered otherwise or not at all.
    pub webhooks_failed: u64,
    /// Keys forgotten before their time because too many came.
    pub keys_forgotten_early: u64,
    /// Receipts no longer kept; they stay counted.
    pub receipts_dropped: u64,
    /// Receipts not compared with earlier ones because too many came.
    pub pairs_not_watched: u64,
}

/// What a person told the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Friendship {
    Friend,
    Blocked,
}

/// The messages of a request, found valid.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) messages: Arc<Value>,
    pub(super) count: u8,
    /// Bit n is set when message n gets a quote token.
    pub(super) quotable: u8,
    pub(super) silent: bool,
}

/// Ids of the messages made from one accepted request, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentMessages {
    pub(super) first_id: u64,
    pub(super) count: u8,
    pub(super) quotable: u8,
}

/// What LINE decides about a request to send that is in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Accepted(SentMessages),
    AlreadyAccepted(Acceptance),
    OverQuota,
    InvalidReplyToken,
}

/// The acceptance that a retry key stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acceptance {
    pub(super) request_id: Uuid,
    pub(super) endpoint: Endpoint,
    pub(super) sent: SentMessages,
}

/// A webhook event as posted, kept for redelivery.
#[derive(Clone, Debug)]
pub(super) struct PostedEvent {
    pub(super) user: UserId,
    pub(super) kind: ActKind,
    pub(super) event: Value,
}

struct KeyRecord {
    request_hash: u64,
    in_progress: u32,
    accepted: Option<Acceptance>,
}

struct ReplyToken {
    token: String,
    user: UserId,
    event_at: Timestamp,
    posted_at: Timestamp,
    used: bool,
}

pub(super) struct Ledger {
    friends: Friends,
    keep_bodies: bool,
    receipts_kept: usize,
    webhook: Option<Url>,
    quota: Option<u64>,

    keys: HashMap<Uuid, KeyRecord>,
    /// By their first request, refused or not: of the readings of LINE's "24 hours from the first
    /// request" it is the one that shows a sender's mistake.
    keys_by_age: VecDeque<(Timestamp, Uuid)>,
    users: HashMap<UserId, Friendship>,
    reply_tokens: VecDeque<ReplyToken>,
    events: VecDeque<PostedEvent>,
    month: Month,
    buckets: [Option<Bucket>; Call::COUNT],
    last_message_id: u64,

    receipts: VecDeque<Receipt>,
    last_seq: u64,
    keys_received: HashSet<u64>,
    texts_received: HashSet<u64>,

    faults: Faults,
    draws: Draws,
    stats: Stats,
    date: (i64, HeaderValue),
}

impl Ledger {
    pub(super) fn new(settings: &Settings, webhook: Option<Url>, now: Timestamp) -> Ledger {
        Ledger {
            friends: settings.friends,
            keep_bodies: settings.keep_bodies,
            receipts_kept: settings.receipts_kept.max(1),
            webhook,
            quota: settings.quota,
            keys: HashMap::new(),
            keys_by_age: VecDeque::new(),
            users: HashMap::new(),
            reply_tokens: VecDeque::new(),
            events: VecDeque::new(),
            month: Month::of(now),
            buckets: Call::ALL.map(|call| Bucket::new(rate_of(call, &settings.limits)?, now)),
            // 18 digits, as LINE's ids have, and not those of the last run.
            last_message_id: 400_000_000_000_000_000 + now.as_millisecond().unsigned_abs() * 1_000,
            receipts: VecDeque::new(),
            last_seq: 0,
            keys_received: HashSet::new(),
            texts_received: HashSet::new(),
            faults: Faults::default(),
            draws: Draws::new(settings.seed),
            stats: Stats::default(),
            date: (i64::MIN, HeaderValue::from_static("")),
        }
    }

    pub(super) fn reset(&mut self, settings: &Settings, now: Timestamp) {
        let fresh = Ledger::new(settings, self.webhook.take(), now);
        let (quota, last_seq, last_message_id) = (self.quota, self.last_seq, self.last_message_id);
        *self = Ledger { quota, last_seq, last_message_id, ..fresh };
    }

    pub(super) fn set_quota(&mut self, quota: Option<u64>) {
        self.quota = quota;
    }

    pub(super) fn quota(&self) -> Option<u64> {
        self.quota
    }

    pub(super) fn quota_used(&mut self, now: Timestamp) -> u64 {
        self.month.turn(now);
        self.month.used
    }

    pub(super) fn webhook(&self) -> Option<Url> {
        self.webhook.clone()
    }

    pub(super) fn set_webhook(&mut self, webhook: Option<Url>) {
        self.webhook = webhook;
    }

    pub(super) fn faults(&self) -> Faults {
        self.faults
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(super) fn stats(&mut self, now: Timestamp) -> Stats {
        let quota_used = self.quota_used(now);
        Stats { quota_used, ..self.stats.clone() }
    }

    pub(super) fn count_webhook(&mut self, delivered: bool) {
        if delivered {
            self.stats.webhooks_delivered += 1;
        } else {
            self.stats.webhooks_failed += 1;
        }
    }

    /// The kept receipts numbered above `after`, oldest first.
    pub(super) fn received(&self, after: u64) -> impl Iterator<Item = &Receipt> {
        let first_seq = self.receipts.front().map_or(self.last_seq + 1, |first| first.seq);
        let skip = after.saturating_add(1).saturating_sub(first_seq);
        self.receipts.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }

    /// Changes a friendship and returns the one before.
    pub(super) fn befriend(
        &mut self,
        user: UserId,
        friendship: Friendship,
    ) -> Result<Option<Friendship>, TooManyUsers> {
        if self.users.len() >= USERS_KEPT && !self.users.contains_key(&user) {
            return Err(TooManyUsers);
        }
        Ok(self.users.insert(user, friendship))
    }

    pub(super) fn has_blocked(&self, user: UserId) -> bool {
        self.users.get(&user) == Some(&Friendship::Blocked)
    }

    pub(super) fn is_friend(&self, user: UserId) -> bool {
        match self.users.get(&user) {
            Some(friendship) => *friendship == Friendship::Friend,
            None => self.friends == Friends::Everyone,
        }
    }

    /// A request has come; returns the faults it meets.
    pub(super) fn begin(&mut self) -> Faults {
        self.stats.requests += 1;
        self.faults
    }

    /// An answer goes out; returns its `Date`.
    ///
    /// Senders compare LINE's date with their own clock, so it has to be the sandbox's clock too.
    pub(super) fn answer(&mut self, status: u16, now: Timestamp) -> HeaderValue {
        *self.stats.answers.entry(status).or_default() += 1;
        if self.date.0 != now.as_second() {
            let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok();
            let value = text.and_then(|text| HeaderValue::try_from(text).ok());
            // A year that HTTP cannot write keeps the last date that it could.
            self.date = (now.as_second(), value.unwrap_or_else(|| self.date.1.clone()));
        }
        self.date.1.clone()
    }

    pub(super) fn draw_fault(&mut self) -> Option<Fault> {
        let fault = self.faults.draw(&mut self.draws);
        if let Some(fault) = fault {
            self.stats.faults.count(fault);
        }
        fault
    }

    pub(super) fn count_fault(&mut self, fault: Fault) {
        self.stats.faults.count(fault);
    }

    /// Takes a token of the call's bucket; false when it is empty.
    pub(super) fn within_rate(&mut self, call: Call, now: Timestamp) -> bool {
        let within = self.buckets[call as usize].as_mut().is_none_or(|bucket| bucket.take(now));
        self.stats.over_rate += u64::from(!within);
        within
    }

    /// A request under a retry key has come; pair it with [`Ledger::leave_key`].
    pub(super) fn enter_key(&mut self, key: Uuid, request_hash: u64, now: Timestamp) {
        self.forget_keys(now);
        match self.keys.entry(key) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                self.stats.concurrent_same_key += u64::from(known.in_progress > 0);
                self.stats.key_reused_with_other_bytes += u64::from(known.request_hash != request_hash);
                known.in_progress += 1;
            }
            Entry::Vacant(free) => {
                free.insert(KeyRecord { request_hash, in_progress: 1, accepted: None });
                self.keys_by_age.push_back((now, key));
            }
        }
    }

    pub(super) fn leave_key(&mut self, key: Uuid) {
        // A reset or the 24 hours may have passed over it in between.
        if let Some(record) = self.keys.get_mut(&key) {
            record.in_progress = record.in_progress.saturating_sub(1);
        }
    }

    fn forget_keys(&mut self, now: Timestamp) {
        while let Some((first, key)) = self.keys_by_age.front().copied() {
            let old = now.duration_since(first) >= KEY_LIFE;
            if !old && self.keys.len() < KEYS_KEPT {
                break;
            }
            self.stats.keys_forgotten_early += u64::from(!old);
            self.keys_by_age.pop_front();
            self.keys.remove(&key);
        }
    }

    /// Decides on a push or multicast that is in order, and delivers it if accepted.
    pub(super) fn send(
        &mut self,
        endpoint: Endpoint,
        recipients: &[UserId],
        content: &Content,
        key: Option<Uuid>,
        request_id: Uuid,
        now: Timestamp,
    ) -> Verdict {
        if let Some(accepted) = key.and_then(|key| self.keys.get(&key)?.accepted) {
            self.stats.already_accepted += 1;
            return Verdict::AlreadyAccepted(accepted);
        }
        if self.faults.quota_reserved {
            self.stats.faults.count(Fault::QuotaReserved);
            return Verdict::OverQuota;
        }
        let reached = recipients.iter().filter(|user| self.is_friend(**user)).count() as u64;
        let used = self.quota_used(now) + reached;
        if self.quota.is_some_and(|quota| used > quota) {
            self.stats.over_quota += 1;
            return Verdict::OverQuota;
        }
        self.month.used = used;

        let sent = self.number(content);
        match key {
            Some(key) => {
                if let Some(record) = self.keys.get_mut(&key) {
                    record.accepted = Some(Acceptance { request_id, endpoint, sent });
                }
            }
            None => self.stats.accepted_without_key += 1,
        }
        self.stats.accepted += 1;
        match endpoint {
            Endpoint::Push => self.stats.accepted_push += 1,
            Endpoint::Multicast => self.stats.accepted_multicast += 1,
            Endpoint::Reply => self.stats.accepted_reply += 1,
        }
        for user in recipients {
            self.deliver(*user, endpoint, content, key, request_id, now);
        }
        Verdict::Accepted(sent)
    }

    /// Decides on a reply that is in order, and delivers it if accepted.
    pub(super) fn reply(
        &mut self,
        token: &str,
        content: &Content,
        request_id: Uuid,
        now: Timestamp,
    ) -> Verdict {
        let Some(known) = self.reply_tokens.iter_mut().rev().find(|known| known.token == token) else {
            return Verdict::InvalidReplyToken;
        };
        if known.used || now.duration_since(known.posted_at) > REPLY_TOKEN_LIFE {
            return Verdict::InvalidReplyToken;
        }
        known.used = true;
        let user = known.user;
        let sent = self.number(content);
        self.stats.accepted += 1;
        self.stats.accepted_reply += 1;
        self.deliver(user, Endpoint::Reply, content, None, request_id, now);
        Verdict::Accepted(sent)
    }

    fn number(&mut self, content: &Content) -> SentMessages {
        let first_id = self.last_message_id + 1;
        self.last_message_id += u64::from(content.count);
        SentMessages { first_id, count: content.count, quotable: content.quotable }
    }

    fn deliver(
        &mut self,
        user: UserId,
        endpoint: Endpoint,
        content: &Content,
        key: Option<Uuid>,
        request_id: Uuid,
        now: Timestamp,
    ) {
        let reached = match endpoint {
            Endpoint::Push | Endpoint::Multicast => self.is_friend(user),
            // Whoever wrote can be answered, friend or not.
            Endpoint::Reply => !self.has_blocked(user),
        };
        if !reached {
            self.stats.undelivered += 1;
            return;
        }
        if let Some(key) = key {
            match watch(&mut self.keys_received, (user, key)) {
                Watched::First => {}
                Watched::Again => self.stats.duplicates += 1,
                Watched::Not => self.stats.pairs_not_watched += 1,
            }
        }
        if self.keep_bodies {
            match watch(&mut self.texts_received, (user, &*content.messages)) {
                Watched::First => {}
                Watched::Again => self.stats.same_text_twice += 1,
                Watched::Not => self.stats.pairs_not_watched += 1,
            }
        }
        self.stats.receipts += 1;
        self.last_seq += 1;
        if self.receipts.len() >= self.receipts_kept {
            self.receipts.pop_front();
            self.stats.receipts_dropped += 1;
        }
        self.receipts.push_back(Receipt {
            seq: self.last_seq,
            at: now,
            user_id: user,
            endpoint,
            retry_key: key,
            request_id,
            silent: content.silent,
            message_count: content.count,
            messages: self.keep_bodies.then(|| content.messages.clone()),
        });
    }

    /// Remembers an event that is about to be posted, with its reply token if it has one.
    pub(super) fn remember_event(&mut self, posted: PostedEvent, now: Timestamp) {
        if let Some(token) = posted.event.get("replyToken").and_then(Value::as_str) {
            let token = token.to_owned();
            let fresh = ReplyToken { token, user: posted.user, event_at: now, posted_at: now, used: false };
            push_bounded(&mut self.reply_tokens, fresh);
        }
        push_bounded(&mut self.events, posted);
    }

    /// The last event of this kind from this user, about to be posted again.
    ///
    /// Its reply token lives another minute unless it was used or 20 minutes have passed.
    pub(super) fn recall_event(&mut self, user: UserId, kind: ActKind, now: Timestamp) -> Option<Value> {
        let last = self.events.iter().rev().find(|posted| posted.user == user && posted.kind == kind)?;
        let event = last.event.clone();
        let token = event.get("replyToken").and_then(Value::as_str);
        let known = self.reply_tokens.iter_mut().rev().find(|known| Some(&*known.token) == token);
        if let Some(known) = known
            && now.duration_since(known.event_at) < REPLY_TOKEN_END
        {
            known.posted_at = now;
        }
        Some(event)
    }
}

fn push_bounded<T>(kept: &mut VecDeque<T>, value: T) {
    if kept.len() >= EVENTS_KEPT {
        kept.pop_front();
    }
    kept.push_back(value);
}

enum Watched {
    First,
    Again,
    Not,
}

/// Whether a pair came before, by its 64-bit hash: among ten million pairs the chance of one false
/// "again" is 3 in a million.
fn watch(seen: &mut HashSet<u64>, pair: impl Hash) -> Watched {
    let hash = hash_of(pair);
    if seen.len() < PAIRS_KEPT {
        return if seen.insert(hash) { Watched::First } else { Watched::Again };
    }
    if seen.contains(&hash) { Watched::Again } else { Watched::Not }
}

pub(super) fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn rate_of(call: Call, limits: &Limits) -> Option<u32> {
    match call {
        Call::Push => limits.push_per_second,
        Call::Multicast => limits.multicast_per_second,
        _ => limits.other_per_second,
    }
}

/// Tokens that refill continuously, one second's worth at most.
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    fn new(per_second: u32, now: Timestamp) -> Option<Bucket> {
        let per_second = f64::from(per_second);
        Some(Bucket { per_second, tokens: per_second, at: now })
    }

    fn take(&mut self, now: Timestamp) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.at = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// The calendar month that the quota runs in.
///
/// LINE does not say in which zone its month turns; its statistics are in UTC+9, so this is too.
struct Month {
    first_day: Date,
    ends: Timestamp,
    used: u64,
}

impl Month {
    fn of(now: Timestamp) -> Month {
        let zone = TimeZone::fixed(tz::offset(9));
        let first_day = now.to_zoned_datetime(zone.clone()).date().first_of_month();
        let next = first_day.last_of_month().tomorrow().and_then(|day| day.to_zoned_datetime(zone));
        Month { first_day, ends: next.map_or(Timestamp::MAX, |next| next.timestamp()), used: 0 }
    }

    fn turn(&mut self, now: Timestamp) {
        if now >= self.ends {
            let turned = Month::of(now);
            if turned.first_day != self.first_day {
                *self = turned;
            }
        }
    }
}
