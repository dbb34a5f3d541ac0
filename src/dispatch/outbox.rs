//! Parcels that are committed and not yet settled: their rows in the store and their attempts.
//!
//! A row holds the parcels of one turn and is never written again. What has become of a parcel is in
//! its member's file; a row goes when the last of its parcels is settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use minicbor::bytes::ByteArray;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{MAX_OUTBOX, Parcel, backoff};
use crate::engine::Push;
use crate::engine::flight::Earlier;
use crate::line;
use crate::model::{EnrollmentId, LineUserId, MemberId, RetryKey, ScenarioId, StepId};
use crate::store::{self, Batch, OutboxRow, Store, StoreError, StoredBody, StoredParcel};

/// The size of a row beyond which the next parcel starts a new one.
const MAX_ROW_BYTES: usize = 15 * 1024;

/// Message objects longer than this are stored once for all parcels that carry the same.
const MAX_INLINE_BYTES: usize = 2 * 1024;

/// No attempt is made later than this after the first: LINE forgets a retry key after 24 hours, and then
/// takes the same key for a new request. Source: LINE Developers, "Retry failed API requests".
pub(super) const CUTOFF: SignedDuration = SignedDuration::from_hours(23);

#[derive(Debug, Default)]
pub(super) struct Outbox {
    parcels: HashMap<RetryKey, Entry>,
    /// How many parcels of each row are not settled.
    rows: BTreeMap<u64, usize>,
    next_row: u64,
    bodies: HashMap<[u8; 16], Body>,
    /// Parcels that wait for their next attempt.
    waiting: BTreeSet<(Timestamp, RetryKey)>,
}

#[derive(Debug)]
struct Entry {
    parcel: Arc<Parcel>,
    row: u64,
    body: Option<[u8; 16]>,
    earlier: Earlier,
    attempts: u32,
    waits_until: Option<Timestamp>,
}

/// A stored body and how many parcels carry it.
#[derive(Debug)]
struct Body {
    size_bytes: usize,
    parcels: usize,
}

impl Outbox {
    /// Reads what a process before this one left. Each of its parcels may have been sent.
    pub(super) fn recover(store: &dyn Store, now: Timestamp) -> Result<Outbox, StoreError> {
        let mut outbox = Outbox::default();
        let mut after = None;
        loop {
            // a row is some 15 KB, so that a page of a hundred is little
            let page = store::page_outbox(store, after, 100)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (number, row) in page {
                outbox.next_row = number + 1;
                outbox.rows.insert(number, 0);
                for stored in row.parcels {
                    outbox.recover_parcel(store, number, &stored, now)?;
                }
            }
        }
        Ok(outbox)
    }

    fn recover_parcel(
        &mut self,
        store: &dyn Store,
        row: u64,
        stored: &StoredParcel,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (body, shared) = match &stored.body {
            StoredBody::Here(body) => (Some(body.clone()), None),
            StoredBody::Shared { hash, size_bytes } => {
                let size_bytes = *size_bytes as usize;
                (store::load_body(store, hash)?, Some((**hash, size_bytes)))
            }
        };
        let bytes = body.map(|body| [&stored.head, &*body, &stored.tail].concat().into_bytes());
        let parcel = parcel_of(stored, bytes.unwrap_or_default())
            .map_err(|what| StoreError::Record { key: format!("a parcel in outbox row {row}"), what })?;
        let key = parcel.retry_key;
        self.add(parcel, row, shared, Earlier::Ambiguous);
        self.wait(key, now);
        Ok(())
    }

    /// Stores the pushes of one turn and gives the parcels to hand to couriers once that is durable.
    pub(super) fn queue(&mut self, pushes: Vec<Push>, now: Timestamp, batch: &mut Batch) -> Vec<Arc<Parcel>> {
        let mut queued = Vec::with_capacity(pushes.len());
        let mut row = OutboxRow { parcels: Vec::new() };
        let mut row_bytes = 0;
        for push in pushes {
            let (head, tail) = line::push_body_around(push.to.as_str(), push.silent);
            let bytes = [&head, &*push.messages, tail].concat().into_bytes();
            let shared = (push.messages.len() > MAX_INLINE_BYTES)
                .then(|| (hash(push.messages.as_bytes()), push.messages.len()));
            if let Some((hash, _)) = &shared
                && !self.bodies.contains_key(hash)
            {
                batch.put_body(hash, &push.messages);
            }
            let stored = StoredParcel {
                retry_key: push.retry_key.0.into_bytes().into(),
                first_attempt_ms: now.as_millisecond(),
                member: push.member.to_string(),
                enrollment: push.delivery.enrollment.0.into_bytes().into(),
                scenario: push.scenario.to_string(),
                step: push.delivery.step.to_string(),
                to: push.to.to_string(),
                due_ms: push.due.as_millisecond(),
                head,
                body: match shared {
                    Some((hash, size_bytes)) => StoredBody::Shared {
                        hash: ByteArray::from(hash),
                        size_bytes: u32::try_from(size_bytes).expect("LINE's limits are far below 4 GB"),
                    },
                    None => StoredBody::Here(push.messages),
                },
                tail: tail.to_owned(),
                whole: ByteArray::from(hash(&bytes)),
            };
            let whole = *stored.whole;
            let parcel_bytes = store::parcel_bytes(&stored);
            if row_bytes + parcel_bytes > MAX_ROW_BYTES && !row.parcels.is_empty() {
                self.close_row(&mut row, batch);
                row_bytes = 0;
            }
            row_bytes += parcel_bytes;
            row.parcels.push(stored);
            let parcel = Parcel {
                retry_key: push.retry_key,
                first_attempt_at: now,
                member: push.member,
                enrollment: push.delivery.enrollment,
                scenario: push.scenario,
                step: push.delivery.step,
                to: push.to,
                due: push.due,
                bytes: bytes.into(),
                whole,
            };
            queued.push(self.add(parcel, self.next_row, shared, Earlier::NotSent));
        }
        if !row.parcels.is_empty() {
            self.close_row(&mut row, batch);
        }
        queued
    }

    fn close_row(&mut self, row: &mut OutboxRow, batch: &mut Batch) {
        batch.put_outbox(self.next_row, row);
        row.parcels.clear();
        self.next_row += 1;
    }

    fn add(
        &mut self,
        parcel: Parcel,
        row: u64,
        shared: Option<([u8; 16], usize)>,
        earlier: Earlier,
    ) -> Arc<Parcel> {
        let parcel = Arc::new(parcel);
        *self.rows.entry(row).or_insert(0) += 1;
        if let Some((hash, size_bytes)) = shared {
            self.bodies.entry(hash).or_insert(Body { size_bytes, parcels: 0 }).parcels += 1;
        }
        let entry = Entry {
            parcel: Arc::clone(&parcel),
            row,
            body: shared.map(|(hash, _)| hash),
            earlier,
            attempts: 0,
            waits_until: None,
        };
        let before = self.parcels.insert(parcel.retry_key, entry);
        debug_assert!(before.is_none(), "an identity came twice");
        parcel
    }

    /// Takes a settled parcel out; its row and its body go with the last that needs them.
    pub(super) fn remove(&mut self, key: RetryKey, batch: &mut Batch) {
        let Some(entry) = self.parcels.remove(&key) else { return };
        if let Some(at) = entry.waits_until {
            self.waiting.remove(&(at, key));
        }
        if let Some(left) = self.rows.get_mut(&entry.row) {
            *left -= 1;
            if *left == 0 {
                self.rows.remove(&entry.row);
                batch.delete_outbox(entry.row);
            }
        }
        if let Some(hash) = entry.body
            && let Some(body) = self.bodies.get_mut(&hash)
        {
            body.parcels -= 1;
            if body.parcels == 0 {
                batch.delete_body(&hash, body.size_bytes);
                self.bodies.remove(&hash);
            }
        }
    }

    /// Deletes rows that recovery found without a parcel.
    pub(super) fn remove_empty_rows(&mut self, batch: &mut Batch) {
        self.rows.retain(|number, left| {
            if *left == 0 {
                batch.delete_outbox(*number);
            }
            *left > 0
        });
    }

    pub(super) fn get(&self, key: RetryKey) -> Option<Arc<Parcel>> {
        self.parcels.get(&key).map(|entry| Arc::clone(&entry.parcel))
    }

    pub(super) fn earlier(&self, key: RetryKey) -> Earlier {
        self.parcels.get(&key).map_or(Earlier::NotSent, |entry| entry.earlier)
    }

    /// Notes that an attempt has failed, and when the next one is to be.
    pub(super) fn failed(&mut self, key: RetryKey, earlier: Earlier, now: Timestamp) {
        let Some(entry) = self.parcels.get_mut(&key) else { return };
        entry.attempts += 1;
        if earlier == Earlier::Ambiguous {
            entry.earlier = earlier;
        }
        let wait = backoff::after(entry.attempts, key);
        self.wait(key, now.saturating_add(wait).unwrap_or(Timestamp::MAX));
    }

    /// Lets a parcel wait for its next attempt until `at`.
    pub(super) fn wait(&mut self, key: RetryKey, at: Timestamp) {
        let Some(entry) = self.parcels.get_mut(&key) else { return };
        if let Some(before) = entry.waits_until.replace(at) {
            self.waiting.remove(&(before, key));
        }
        self.waiting.insert((at, key));
    }

    /// The soonest instant of a next attempt.
    pub(super) fn head(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Takes out up to `limit` parcels whose next attempt is due.
    pub(super) fn take_waiting(&mut self, now: Timestamp, limit: usize) -> Vec<Arc<Parcel>> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((at, key)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.remove(&(at, key));
            if let Some(entry) = self.parcels.get_mut(&key) {
                entry.waits_until = None;
                taken.push(Arc::clone(&entry.parcel));
            }
        }
        taken
    }

    /// True if no attempt is under way and none before can have reached LINE.
    pub(super) fn is_surely_unsent(&self, key: RetryKey) -> bool {
        let entry = self.parcels.get(&key);
        entry.is_some_and(|entry| entry.waits_until.is_some() && entry.earlier == Earlier::NotSent)
    }

    /// Parcels that wait and of which nothing can have reached LINE.
    pub(super) fn unsent(&self, limit: usize) -> Vec<Arc<Parcel>> {
        let unsent = self.waiting.iter().filter_map(|(_, key)| self.parcels.get(key));
        unsent
            .filter(|entry| entry.earlier == Earlier::NotSent)
            .take(limit)
            .map(|entry| Arc::clone(&entry.parcel))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_OUTBOX
    }

    /// Deletes up to `limit` stored bodies that no parcel carries, as a crash can leave; gives the last
    /// one looked at, or none at the end.
    pub(super) fn remove_stray_bodies(
        &self,
        store: &dyn Store,
        after: Option<[u8; 16]>,
        limit: usize,
        batch: &mut Batch,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        let page = store::page_bodies(store, after.as_ref(), limit)?;
        for hash in page.iter().filter(|hash| !self.bodies.contains_key(*hash)) {
            let size_bytes = store::load_body(store, hash)?.map_or(1, |body| body.len());
            batch.delete_body(hash, size_bytes);
        }
        Ok(page.last().copied())
    }
}

/// # Errors
/// The first field that cannot be.
fn parcel_of(stored: &StoredParcel, bytes: Vec<u8>) -> Result<Parcel, String> {
    let text = |error: crate::model::InvalidId| error.to_string();
    let instant = |ms| Timestamp::from_millisecond(ms).map_err(|error| error.to_string());
    Ok(Parcel {
        retry_key: RetryKey(Uuid::from_bytes(*stored.retry_key)),
        first_attempt_at: instant(stored.first_attempt_ms)?,
        member: MemberId::new(&stored.member).map_err(text)?,
        enrollment: EnrollmentId(Uuid::from_bytes(*stored.enrollment)),
        scenario: ScenarioId::new(&stored.scenario).map_err(text)?,
        step: StepId::new(&stored.step).map_err(text)?,
        to: LineUserId::new(&stored.to).map_err(text)?,
        due: instant(stored.due_ms)?,
        bytes: bytes.into(),
        whole: *stored.whole,
    })
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    Sha256::digest(bytes)[..16].try_into().expect("a digest is longer than sixteen bytes")
}

/// True if the bytes are those that were stored under the key. Others must never be sent under it.
pub(super) fn is_whole(parcel: &Parcel) -> bool {
    hash(&parcel.bytes) == parcel.whole
}
