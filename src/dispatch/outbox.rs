//! Parcels that are committed and not yet settled: their rows in the store and their attempts.
//!
//! A row holds the pushes of one turn; a multicast has rows of its own. What has become of a delivery is
//! in its member's file; a row goes when the last of its parcels is settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use minicbor::bytes::ByteArray;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Carried, MAX_CALLS, MAX_MULTICASTS, MAX_OUTBOX, Parcel, backoff};
use crate::clock::{Moment, Uptime};
use crate::engine::Push;
use crate::engine::flight::Earlier;
use crate::line;
use crate::model::{DeliveryId, EnrollmentId, LineUserId, MemberId, RetryKey, ScenarioId, StepId, Target};
use crate::mutation::{self, Mutation};
use crate::store::{
    self, Batch, OutboxRow, Store, StoreError, StoredBody, StoredDelivery, StoredMulticast, StoredParcel,
};

/// Deliveries of a multicast in one row: with the longest member ids some 15 KB. Fixed, so that one can be
/// written again by itself.
const DELIVERIES_PER_PART: usize = 80;

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
    /// The parcel of each delivery that shares one. One that travels alone has its parcel's key for a
    /// name, since both are derived from it alone.
    shared: HashMap<DeliveryId, RetryKey>,
    /// How many parcels of each row are not settled.
    rows: BTreeMap<u64, usize>,
    next_row: u64,
    bodies: HashMap<[u8; 16], Body>,
    /// Parcels that wait for their next attempt.
    waiting: BTreeSet<(Timestamp, RetryKey)>,
    multicasts: usize,
    calls: usize,
}

#[derive(Debug)]
struct Entry {
    parcel: Arc<Parcel>,
    /// Deliveries that left the parcel before it was settled, by their place in it.
    gone: BTreeSet<usize>,
    row: u64,
    /// Rows after `row` that hold the deliveries of a multicast.
    parts: u64,
    body: Option<[u8; 16]>,
    earlier: Earlier,
    attempts: u32,
    waits_until: Option<Timestamp>,
    /// When first somebody in a multicast should not get it any more.
    fell_at: Option<Timestamp>,
    /// True where the clocks cannot tell how old it is.
    ageless: bool,
}

/// A stored body and how many parcels carry it.
#[derive(Debug)]
struct Body {
    size_bytes: usize,
    parcels: usize,
}

/// Where a parcel is stored.
struct Place {
    row: u64,
    parts: u64,
    body: Option<([u8; 16], usize)>,
}

/// A multicast of which not all parts have been read.
struct Unread {
    row: u64,
    first: OutboxRow,
    deliveries: Vec<StoredDelivery>,
    parts: u16,
}

impl Outbox {
    /// Reads what a process before this one left. Each of its parcels may have been sent.
    pub(super) fn recover(store: &dyn Store, now: Timestamp) -> Result<Outbox, StoreError> {
        let mut outbox = Outbox::default();
        let mut after = None;
        let mut unread: Option<Unread> = None;
        loop {
            // a row is some 15 KB, so that a page of a hundred is little
            let page = store::page_outbox(store, after, 100)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (number, mut row) in page {
                outbox.next_row = number + 1;
                if let Some(mut multicast) = unread.take() {
                    let Some(part) = row.part else { return Err(parts_missing(multicast.row)) };
                    multicast.deliveries.extend(part);
                    multicast.parts -= 1;
                    match multicast.parts {
                        0 => outbox.recover_multicast(store, multicast, now)?,
                        _ => unread = Some(multicast),
                    }
                    continue;
                }
                if let Some(multicast) = &row.multicast {
                    let parts = multicast.parts;
                    unread = Some(Unread { row: number, first: row, deliveries: Vec::new(), parts });
                    continue;
                }
                outbox.rows.insert(number, 0);
                for stored in std::mem::take(&mut row.parcels) {
                    outbox.recover_push(store, number, &stored, &row, now)?;
                }
            }
        }
        match unread {
            Some(multicast) => Err(parts_missing(multicast.row)),
            None => Ok(outbox),
        }
    }

    fn recover_push(
        &mut self,
        store: &dyn Store,
        row: u64,
        stored: &StoredParcel,
        of: &OutboxRow,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (body, shared) = load_body(store, &stored.body)?;
        let bytes = body.map(|body| [&stored.head, &*body, &stored.tail].concat().into_bytes());
        let mut parcel =
            parcel_of(stored, of, bytes.unwrap_or_default()).map_err(|what| unreadable_parcel(row, what))?;
        if mutation::is(Mutation::OtherBytesOnRecovery) {
            parcel.bytes = [&*parcel.bytes, b" "].concat().into();
            parcel.whole = hash(&parcel.bytes);
        }
        self.recovered(parcel, Place { row, parts: 0, body: shared }, None, now);
        Ok(())
    }

    fn recover_multicast(
        &mut self,
        store: &dyn Store,
        read: Unread,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Unread { row, first, deliveries, .. } = read;
        let stored = first.multicast.as_ref().expect("only a multicast has parts");
        let (body, shared) = load_body(store, &stored.body)?;
        let whole = || -> Result<(Parcel, Option<Timestamp>), String> {
            let deliveries: Vec<Carried> = deliveries.iter().map(carried_of).collect::<Result<_, _>>()?;
            let bytes = body.map(|body| multicast_bytes(&deliveries, &body, stored.silent));
            let parcel = Parcel {
                retry_key: RetryKey(Uuid::from_bytes(*stored.retry_key)),
                first_attempt: moment_of(stored.first_attempt_ms, &first)?,
                scenario: ScenarioId::new(&stored.scenario).map_err(text)?,
                step: StepId::new(&stored.step).map_err(text)?,
                deliveries,
                silent: stored.silent,
                bytes: bytes.unwrap_or_default().into(),
                whole: *stored.whole,
            };
            Ok((parcel, stored.fell_ms.map(instant).transpose()?))
        };
        let (parcel, fell_at) = whole().map_err(|what| unreadable_parcel(row, what))?;
        self.recovered(parcel, Place { row, parts: stored.parts.into(), body: shared }, fell_at, now);
        Ok(())
    }

    fn recovered(&mut self, parcel: Parcel, place: Place, fell_at: Option<Timestamp>, now: Timestamp) {
        let key = parcel.retry_key;
        let is_unsent = mutation::is(Mutation::RecoveredAsUnsent);
        self.add(parcel, place, if is_unsent { Earlier::NotSent } else { Earlier::Ambiguous });
        self.parcels.get_mut(&key).expect("it was added above").fell_at = fell_at;
        self.wait(key, now);
    }

    /// Stores the pushes of one turn and gives the parcels to hand to couriers once that is durable.
    ///
    /// Those of one step with the same messages go out as multicasts.
    pub(super) fn queue(&mut self, pushes: Vec<Push>, now: Moment, batch: &mut Batch) -> Vec<Arc<Parcel>> {
        let mut queued = Vec::with_capacity(pushes.len());
        let mut row = row_at(now);
        let mut row_bytes = 0;
        let (multicasts, pushes) = coalesce(pushes);
        for push in pushes {
            let (head, tail) = around(&push.to, push.silent);
            let bytes = [&head, push.messages.as_str(), tail].concat().into_bytes();
            let whole = hash(&bytes);
            let (stored, body) = self.store_push(&push, whole, now, batch);
            let parcel_bytes = store::parcel_bytes(&stored);
            if row_bytes + parcel_bytes > MAX_ROW_BYTES && !row.parcels.is_empty() {
                self.close_row(&mut row, batch);
                row_bytes = 0;
            }
            row_bytes += parcel_bytes;
            let parcel = Parcel {
                retry_key: RetryKey(Uuid::from_bytes(*stored.retry_key)),
                first_attempt: now,
                scenario: push.scenario.clone(),
                step: push.delivery.step.clone(),
                deliveries: vec![carried(&push)],
                silent: push.silent,
                bytes: bytes.into(),
                whole,
            };
            row.parcels.push(stored);
            queued.push(self.add(parcel, Place { row: self.next_row, parts: 0, body }, Earlier::NotSent));
        }
        if !row.parcels.is_empty() {
            self.close_row(&mut row, batch);
        }
        for pushes in multicasts {
            queued.push(self.queue_multicast(&pushes, now, batch));
        }
        queued
    }

    fn store_push(
        &self,
        push: &Push,
        whole: [u8; 16],
        now: Moment,
        batch: &mut Batch,
    ) -> (StoredParcel, Option<([u8; 16], usize)>) {
        let (head, tail) = around(&push.to, push.silent);
        let (body, shared) = self.store_body(&push.messages, batch);
        let stored = StoredParcel {
            retry_key: RetryKey::derive([&push.delivery]).0.into_bytes().into(),
            first_attempt_ms: now.wall.as_millisecond(),
            member: push.member.to_string(),
            enrollment: push.delivery.enrollment.0.into_bytes().into(),
            scenario: push.scenario.to_string(),
            step: push.delivery.step.to_string(),
            to: stored_target(&push.to),
            due_ms: push.due.as_millisecond(),
            whole: ByteArray::from(whole),
            head,
            body,
            tail: tail.to_owned(),
        };
        (stored, shared)
    }

    /// Where message objects are kept: in the row, or apart if they are long.
    fn store_body(&self, messages: &str, batch: &mut Batch) -> (StoredBody, Option<([u8; 16], usize)>) {
        if messages.len() <= MAX_INLINE_BYTES {
            return (StoredBody::Here(messages.to_owned()), None);
        }
        let (hash, size_bytes) = (hash(messages.as_bytes()), messages.len());
        if !self.bodies.contains_key(&hash) {
            batch.put_body(&hash, messages);
        }
        let size = u32::try_from(size_bytes).expect("LINE's limits are far below 4 GB");
        (StoredBody::Shared { hash: ByteArray::from(hash), size_bytes: size }, Some((hash, size_bytes)))
    }

    fn queue_multicast(&mut self, pushes: &[Push], now: Moment, batch: &mut Batch) -> Arc<Parcel> {
        let first = &pushes[0];
        let deliveries: Vec<Carried> = pushes.iter().map(carried).collect();
        let bytes = multicast_bytes(&deliveries, &first.messages, first.silent);
        let parcel = Parcel {
            retry_key: RetryKey::derive(pushes.iter().map(|push| &push.delivery)),
            first_attempt: now,
            scenario: first.scenario.clone(),
            step: first.delivery.step.clone(),
            deliveries,
            silent: first.silent,
            whole: hash(&bytes),
            bytes: bytes.into(),
        };
        let (body, shared) = self.store_body(&first.messages, batch);
        let parts = parcel.deliveries.chunks(DELIVERIES_PER_PART);
        let row = self.next_row;
        let place = Place { row, parts: parts.len() as u64, body: shared };
        batch.put_outbox(row, &multicast_row(&parcel, body, place.parts, None));
        for (number, part) in (row + 1..).zip(parts) {
            batch.put_outbox(number, &part_row(part));
        }
        self.next_row += 1 + place.parts;
        self.add(parcel, place, Earlier::NotSent)
    }

    fn close_row(&mut self, row: &mut OutboxRow, batch: &mut Batch) {
        if !mutation::is(Mutation::RowNotWritten) {
            batch.put_outbox(self.next_row, row);
        }
        row.parcels.clear();
        self.next_row += 1;
    }

    fn add(&mut self, parcel: Parcel, place: Place, earlier: Earlier) -> Arc<Parcel> {
        let parcel = Arc::new(parcel);
        *self.rows.entry(place.row).or_insert(0) += 1;
        if let Some((hash, size_bytes)) = place.body {
            self.bodies.entry(hash).or_insert(Body { size_bytes, parcels: 0 }).parcels += 1;
        }
        if parcel.is_multicast() {
            self.multicasts += 1;
            self.shared.extend(parcel.deliveries.iter().map(|carried| (carried.id, parcel.retry_key)));
        }
        self.calls += usize::from(parcel.url().is_some());
        let entry = Entry {
            parcel: Arc::clone(&parcel),
            gone: BTreeSet::new(),
            row: place.row,
            parts: place.parts,
            body: place.body.map(|(hash, _)| hash),
            earlier,
            attempts: 0,
            waits_until: None,
            fell_at: None,
            ageless: false,
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
        self.calls -= usize::from(entry.parcel.url().is_some());
        if entry.parcel.is_multicast() {
            self.multicasts -= 1;
            for carried in &entry.parcel.deliveries {
                self.shared.remove(&carried.id);
            }
        }
        if let Some(left) = self.rows.get_mut(&entry.row) {
            *left -= 1;
            if *left == 0 {
                self.rows.remove(&entry.row);
                for row in entry.row..=entry.row + entry.parts {
                    batch.delete_outbox(row);
                }
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

    /// Takes a push out whose bytes must not stay on disk: the row is written again without it.
    pub(super) fn scrub(&mut self, key: RetryKey, batch: &mut Batch) {
        let Some(row) = self.parcels.get(&key).map(|entry| entry.row) else { return };
        self.remove(key, batch);
        let mut left: Vec<&Entry> = self.parcels.values().filter(|entry| entry.row == row).collect();
        left.sort_by_key(|entry| entry.parcel.retry_key);
        let Some(first) = left.first() else { return };
        let mut rewritten = row_at(first.parcel.first_attempt);
        rewritten.parcels = left.iter().map(|entry| stored_again(entry)).collect();
        batch.put_outbox(row, &rewritten);
    }

    /// Takes one delivery out of a multicast, whose request stays as it is; true if none is left.
    pub(super) fn leave(&mut self, key: RetryKey, delivery: DeliveryId) -> bool {
        let Some(entry) = self.parcels.get_mut(&key) else { return true };
        let place = entry.parcel.deliveries.iter().position(|carried| carried.id == delivery);
        entry.gone.extend(place);
        entry.gone.len() == entry.parcel.deliveries.len()
    }

    /// Lets a delivery in a multicast be of another member's run from now on: the run was handed over, and
    /// what becomes of the delivery must be told there, whoever the LINE user is by then.
    pub(super) fn hand_over(&mut self, delivery: DeliveryId, to: &MemberId, batch: &mut Batch) {
        let Some(entry) = self.shared.get(&delivery).and_then(|key| self.parcels.get_mut(key)) else {
            return;
        };
        let Some(place) = entry.parcel.deliveries.iter().position(|own| own.id == delivery) else { return };
        Arc::make_mut(&mut entry.parcel).deliveries[place].member = to.clone();
        let part = place / DELIVERIES_PER_PART;
        let deliveries = entry.parcel.deliveries.chunks(DELIVERIES_PER_PART).nth(part);
        let row = entry.row + 1 + part as u64;
        batch.put_outbox(row, &part_row(deliveries.expect("the place is in one of the parts")));
    }

    /// Notes, for good, that somebody in a multicast should not get it any more.
    pub(super) fn fall(&mut self, key: RetryKey, now: Timestamp, batch: &mut Batch) -> Option<Timestamp> {
        let entry = self.parcels.get_mut(&key)?;
        if entry.fell_at.is_none() {
            entry.fell_at = Some(now);
            let body = stored_body(entry);
            batch.put_outbox(entry.row, &multicast_row(&entry.parcel, body, entry.parts, entry.fell_at));
        }
        entry.fell_at
    }

    pub(super) fn has_multicasts(&self) -> bool {
        self.multicasts > 0
    }

    pub(super) fn fell_at(&self, key: RetryKey) -> Option<Timestamp> {
        self.parcels.get(&key)?.fell_at
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

    /// The parcel that carries a delivery.
    pub(super) fn carrier(&self, delivery: DeliveryId) -> Option<Arc<Parcel>> {
        self.get(self.shared.get(&delivery).copied().unwrap_or(RetryKey(delivery.0)))
    }

    /// The deliveries of a parcel that have not left it, each with its place.
    pub(super) fn aboard(&self, parcel: &Parcel) -> Vec<(usize, Carried)> {
        let gone = self.parcels.get(&parcel.retry_key).map(|entry| &entry.gone);
        let aboard = parcel.deliveries.iter().enumerate();
        let aboard = aboard.filter(|(place, _)| gone.is_some_and(|gone| !gone.contains(place)));
        aboard.map(|(place, carried)| (place, carried.clone())).collect()
    }

    pub(super) fn earlier(&self, key: RetryKey) -> Earlier {
        self.parcels.get(&key).map_or(Earlier::NotSent, |entry| entry.earlier)
    }

    /// True once no attempt may be made any more, because LINE may have forgotten the key.
    pub(super) fn is_over(&self, parcel: &Parcel, now: Moment) -> bool {
        let ageless = self.parcels.get(&parcel.retry_key).is_some_and(|entry| entry.ageless);
        if mutation::is(Mutation::AgeByTheWallAlone) {
            return now.wall.duration_since(parcel.first_attempt.wall) >= CUTOFF;
        }
        ageless || now.since(parcel.first_attempt) >= CUTOFF
    }

    /// The wall clock was wrong by a lot before now: what another run of the machine queued is of an age
    /// that nobody can tell. Everything is looked at again.
    pub(super) fn distrust(&mut self, now: Moment) {
        let waiting = std::mem::take(&mut self.waiting);
        for (_, key) in waiting {
            self.wait(key, now.wall);
        }
        for entry in self.parcels.values_mut() {
            let is_of_this_start = entry.parcel.first_attempt.uptime.boot == now.uptime.boot;
            entry.ageless |= !is_of_this_start || entry.fell_at.is_some();
        }
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

    /// Takes out parcels whose next attempt is due: with some `limit` deliveries, and at least one parcel.
    pub(super) fn take_waiting(&mut self, now: Timestamp, limit: usize) -> Vec<Arc<Parcel>> {
        let mut taken: Vec<Arc<Parcel>> = Vec::new();
        let mut deliveries = 0;
        while deliveries < limit
            && let Some((at, key)) = self.waiting.first().copied()
            && at <= now
        {
            if let Some(entry) = self.parcels.get_mut(&key) {
                let count = entry.parcel.deliveries.len();
                if !taken.is_empty() && deliveries + count > limit {
                    break;
                }
                deliveries += count;
                entry.waits_until = None;
                taken.push(Arc::clone(&entry.parcel));
            }
            self.waiting.remove(&(at, key));
        }
        taken
    }

    /// True if no attempt is under way and none before can have reached LINE.
    pub(super) fn is_surely_unsent(&self, key: RetryKey) -> bool {
        let entry = self.parcels.get(&key);
        entry.is_some_and(|entry| entry.waits_until.is_some() && entry.earlier == Earlier::NotSent)
    }

    /// Parcels that wait and of which nothing can have reached LINE: with some `limit` deliveries, and at
    /// least one parcel.
    pub(super) fn unsent(&self, limit: usize) -> Vec<Arc<Parcel>> {
        let unsent = self.waiting.iter().filter_map(|(_, key)| self.parcels.get(key));
        let unsent = unsent.filter(|entry| entry.earlier == Earlier::NotSent);
        let mut deliveries = 0;
        unsent
            .take_while(|entry| {
                let is_room = deliveries < limit;
                deliveries += entry.parcel.deliveries.len();
                is_room
            })
            .map(|entry| Arc::clone(&entry.parcel))
            .collect()
    }

    /// Parcels that are not settled.
    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    /// True if no more requests to the operator's service are to be queued.
    pub(super) fn is_full_of_calls(&self) -> bool {
        self.calls >= MAX_CALLS
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_OUTBOX || self.multicasts >= MAX_MULTICASTS
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

/// What makes pushes fit into one multicast.
fn likeness(push: &Push) -> (&ScenarioId, &StepId, bool, &str) {
    (&push.scenario, &push.delivery.step, push.silent, &push.messages)
}

/// How many requests these pushes would go out in.
pub(super) fn requests(pushes: &[Push]) -> usize {
    let together = pushes.iter().filter(|push| !push.alone);
    let groups: BTreeSet<_> = together.map(likeness).collect();
    groups.len() + pushes.iter().filter(|push| push.alone).count()
}

/// Puts together what goes out as multicasts, each with no LINE user twice; the rest goes out as pushes,
/// in the order that it was in.
fn coalesce(pushes: Vec<Push>) -> (Vec<Vec<Push>>, Vec<Push>) {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, push) in pushes.iter().enumerate().filter(|(_, push)| !push.alone) {
        groups.entry(likeness(push)).or_default().push(place);
    }
    let mut bunches: Vec<Vec<usize>> = Vec::new();
    for places in groups.into_values().filter(|places| places.len() > 1) {
        let mut users = BTreeSet::new();
        let mut bunch = Vec::new();
        for place in places {
            // twice the same in one request is not documented
            if bunch.len() == line::MAX_RECIPIENTS || !users.insert(&pushes[place].to) {
                bunches.push(std::mem::take(&mut bunch));
                users = BTreeSet::from([&pushes[place].to]);
            }
            bunch.push(place);
        }
        bunches.push(bunch);
    }
    bunches.retain(|bunch| bunch.len() > 1);
    let mut pushes: Vec<Option<Push>> = pushes.into_iter().map(Some).collect();
    let mut take = |place: usize| pushes[place].take().expect("a push is in one bunch");
    let multicasts = bunches.into_iter().map(|bunch| bunch.into_iter().map(&mut take).collect()).collect();
    (multicasts, pushes.into_iter().flatten().collect())
}

fn carried(push: &Push) -> Carried {
    Carried {
        id: push.delivery.id(),
        member: push.member.clone(),
        enrollment: push.delivery.enrollment,
        to: push.to.clone(),
        due: push.due,
    }
}

/// What stands in a request around the messages, or the whole body of one to the operator.
fn around(to: &Target, silent: bool) -> (String, &'static str) {
    match to {
        Target::LineUser(user) => line::push_body_around(user.as_str(), silent),
        Target::Url(_) => (String::new(), ""),
    }
}

/// A LINE user id, or a URL; no text is both.
fn stored_target(to: &Target) -> String {
    match to {
        Target::LineUser(user) => user.to_string(),
        Target::Url(url) => url.to_string(),
    }
}

fn target_of(stored: &str) -> Result<Target, String> {
    match stored.contains("://") {
        true => Ok(Target::Url(Arc::from(stored))),
        false => LineUserId::new(stored).map(Target::LineUser).map_err(text),
    }
}

/// The LINE users that a multicast goes to, in order.
fn users(deliveries: &[Carried]) -> impl Iterator<Item = &LineUserId> {
    deliveries.iter().filter_map(|carried| carried.to.line_user())
}

fn multicast_bytes(deliveries: &[Carried], messages: &str, silent: bool) -> Vec<u8> {
    let users = users(deliveries).map(LineUserId::as_str);
    let (head, tail) = line::multicast_body_around(users, silent);
    [&head, messages, tail].concat().into_bytes()
}

/// A row for what is queued now.
fn row_at(now: Moment) -> OutboxRow {
    OutboxRow { boot: Some(now.uptime.boot), uptime_ms: Some(now.uptime.ms), ..OutboxRow::default() }
}

fn multicast_row(parcel: &Parcel, body: StoredBody, parts: u64, fell_at: Option<Timestamp>) -> OutboxRow {
    let stored = StoredMulticast {
        retry_key: parcel.retry_key.0.into_bytes().into(),
        first_attempt_ms: parcel.first_attempt.wall.as_millisecond(),
        scenario: parcel.scenario.to_string(),
        step: parcel.step.to_string(),
        silent: parcel.silent,
        body,
        whole: ByteArray::from(parcel.whole),
        parts: u16::try_from(parts).expect("500 deliveries are a few parts"),
        fell_ms: fell_at.map(Timestamp::as_millisecond),
    };
    OutboxRow { multicast: Some(stored), ..row_at(parcel.first_attempt) }
}

fn part_row(deliveries: &[Carried]) -> OutboxRow {
    OutboxRow { part: Some(deliveries.iter().map(stored_delivery).collect()), ..OutboxRow::default() }
}

fn stored_delivery(carried: &Carried) -> StoredDelivery {
    StoredDelivery {
        id: carried.id.0.into_bytes().into(),
        member: carried.member.to_string(),
        enrollment: carried.enrollment.0.into_bytes().into(),
        to: carried.to.line_user().expect("only messages are put together").to_bytes().into(),
        due_ms: carried.due.as_millisecond(),
    }
}

/// The message objects of a parcel in flight, as they are stored.
fn stored_body(entry: &Entry) -> StoredBody {
    let parcel = &entry.parcel;
    let (head, tail) = match parcel.is_multicast() {
        true => line::multicast_body_around(users(&parcel.deliveries).map(LineUserId::as_str), parcel.silent),
        false => around(&parcel.deliveries[0].to, parcel.silent),
    };
    let end = parcel.bytes.len().saturating_sub(tail.len());
    let messages = parcel.bytes.get(head.len()..end).unwrap_or_default();
    match entry.body {
        Some(hash) => StoredBody::Shared {
            hash: ByteArray::from(hash),
            size_bytes: u32::try_from(messages.len()).expect("LINE's limits are far below 4 GB"),
        },
        None => StoredBody::Here(String::from_utf8_lossy(messages).into_owned()),
    }
}

/// A push in flight as it was stored.
fn stored_again(entry: &Entry) -> StoredParcel {
    let parcel = &entry.parcel;
    let carried = &parcel.deliveries[0];
    let (head, tail) = around(&carried.to, parcel.silent);
    StoredParcel {
        retry_key: parcel.retry_key.0.into_bytes().into(),
        first_attempt_ms: parcel.first_attempt.wall.as_millisecond(),
        member: carried.member.to_string(),
        enrollment: carried.enrollment.0.into_bytes().into(),
        scenario: parcel.scenario.to_string(),
        step: parcel.step.to_string(),
        to: stored_target(&carried.to),
        due_ms: carried.due.as_millisecond(),
        head,
        body: stored_body(entry),
        tail: tail.to_owned(),
        whole: ByteArray::from(parcel.whole),
    }
}

/// The text of a stored body, none if it is gone; and what it is shared under.
type LoadedBody = (Option<String>, Option<([u8; 16], usize)>);

fn load_body(store: &dyn Store, stored: &StoredBody) -> Result<LoadedBody, StoreError> {
    Ok(match stored {
        StoredBody::Here(body) => (Some(body.clone()), None),
        StoredBody::Shared { hash, size_bytes } => {
            (store::load_body(store, hash)?, Some((**hash, *size_bytes as usize)))
        }
    })
}

/// # Errors
/// The first field that cannot be.
fn parcel_of(stored: &StoredParcel, row: &OutboxRow, bytes: Vec<u8>) -> Result<Parcel, String> {
    let retry_key = RetryKey(Uuid::from_bytes(*stored.retry_key));
    let carried = Carried {
        id: DeliveryId(retry_key.0),
        member: MemberId::new(&stored.member).map_err(text)?,
        enrollment: EnrollmentId(Uuid::from_bytes(*stored.enrollment)),
        to: target_of(&stored.to)?,
        due: instant(stored.due_ms)?,
    };
    Ok(Parcel {
        retry_key,
        first_attempt: moment_of(stored.first_attempt_ms, row)?,
        scenario: ScenarioId::new(&stored.scenario).map_err(text)?,
        step: StepId::new(&stored.step).map_err(text)?,
        deliveries: vec![carried],
        silent: stored.tail.len() > 1,
        bytes: bytes.into(),
        whole: *stored.whole,
    })
}

fn carried_of(stored: &StoredDelivery) -> Result<Carried, String> {
    Ok(Carried {
        id: DeliveryId(Uuid::from_bytes(*stored.id)),
        member: MemberId::new(&stored.member).map_err(text)?,
        enrollment: EnrollmentId(Uuid::from_bytes(*stored.enrollment)),
        to: Target::LineUser(LineUserId::from_bytes(*stored.to)),
        due: instant(stored.due_ms)?,
    })
}

fn moment_of(wall_ms: i64, row: &OutboxRow) -> Result<Moment, String> {
    let wall = instant(wall_ms)?;
    Ok(match (row.boot, row.uptime_ms) {
        (Some(boot), Some(ms)) => Moment { wall, uptime: Uptime { boot, ms } },
        _ => Moment::by_hand(wall),
    })
}

fn instant(ms: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(ms).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn unreadable_parcel(row: u64, what: String) -> StoreError {
    StoreError::Record { key: format!("a parcel in outbox row {row}"), what }
}

fn parts_missing(row: u64) -> StoreError {
    unreadable_parcel(row, "a part of a multicast is missing".into())
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    Sha256::digest(bytes)[..16].try_into().expect("a digest is longer than sixteen bytes")
}

/// True if the bytes are those that were stored under the key. Others must never be sent under it.
pub(super) fn is_whole(parcel: &Parcel) -> bool {
    hash(&parcel.bytes) == parcel.whole
}
