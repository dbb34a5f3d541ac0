//! What one commit changes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::{self, Counted, Counters, OutboxRow, UnknownRow};
use super::{DueKey, Key, keys};
use crate::model::{DeliveryId, Entries, Happening, MemberId};

/// Longer bodies are stored in pieces of this size.
const BODY_CHUNK_BYTES: usize = 12 * 1024;

/// The store's own records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// The format of the records.
    Format,
    /// How many batches have been committed.
    Sequence,
    /// What tells this store from another.
    Id,
    /// What stands for the channel in the identity of enrollments; drawn once and frozen.
    Channel,
    /// The bot whose channel this folder belongs to, once LINE has said so.
    Bot,
    /// What member ids of tombstones are hashed with.
    Salt,
    /// How many tombstones there are.
    Tombstones,
    /// How far the sweep after an edit of the scenarios has come.
    Sweep,
    /// The list of the files of the last good set of scenarios.
    ScenarioFiles,
    /// A piece of their contents.
    ScenarioFile(u32),
    /// Why nothing may be sent, as far as a restart must not forget it.
    Holds,
    /// The newest reading of the clocks that is known to be right.
    Clock,
    /// Ticks of scenarios on the clock, and how far their sweeps have come.
    Ticks,
    /// Scenarios that are paused, or were when they were taken out.
    Paused,
    /// When and from what this store was restored, if it was; see [`super::RestoredRow`].
    Restored,
}

/// Puts and deletions that become visible together. The last one of a key counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    ops: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many keys it touches.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// The keys and their new values, none for a deletion.
    pub fn ops(&self) -> impl Iterator<Item = (&Key, Option<&Vec<u8>>)> {
        self.ops.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// Puts a row as it was read from a store, or deletes it.
    pub(super) fn set(&mut self, key: Key, value: Option<Vec<u8>>) {
        self.ops.insert(key, value);
    }

    fn put(&mut self, key: Key, value: Vec<u8>) {
        self.ops.insert(key, Some(value));
    }

    fn delete(&mut self, key: Key) {
        self.ops.insert(key, None);
    }

    /// Puts a member's file as [`super::encode_member`] gives it.
    pub fn put_member(&mut self, id: &MemberId, encoded: Vec<u8>) {
        self.put(keys::member(id), encoded);
    }

    pub fn delete_member(&mut self, id: &MemberId) {
        self.delete(keys::member(id));
    }

    /// Moves a member in the due index.
    pub fn move_due(&mut self, member: &MemberId, from: Option<Timestamp>, to: Option<Timestamp>) {
        if from == to {
            return;
        }
        if let Some(at) = from {
            self.delete(keys::due(&DueKey { at, member: member.clone() }));
        }
        if let Some(at) = to {
            self.put(keys::due(&DueKey { at, member: member.clone() }), Vec::new());
        }
    }

    pub fn put_outbox(&mut self, number: u64, row: &OutboxRow) {
        self.put(keys::outbox(number), record::encode_outbox(row));
    }

    pub fn delete_outbox(&mut self, number: u64) {
        self.delete(keys::outbox(number));
    }

    pub fn put_body(&mut self, hash: &[u8; 16], body: &str) {
        for (chunk, bytes) in body.as_bytes().chunks(BODY_CHUNK_BYTES).enumerate() {
            let chunk = u16::try_from(chunk).expect("a body is far below 2 MB");
            self.put(keys::body(hash, chunk), bytes.to_vec());
        }
    }

    pub fn delete_body(&mut self, hash: &[u8; 16], body_bytes: usize) {
        for chunk in 0..body_bytes.div_ceil(BODY_CHUNK_BYTES) {
            let chunk = u16::try_from(chunk).expect("a body is far below 2 MB");
            self.delete(keys::body(hash, chunk));
        }
    }

    pub fn put_history(&mut self, member: &MemberId, number: u32, happenings: &[Happening]) {
        self.put(keys::history(member, number), record::encode_history(happenings));
    }

    pub fn delete_history(&mut self, member: &MemberId, number: u32) {
        self.delete(keys::history(member, number));
    }

    pub fn put_counters(&mut self, of: &Counted, counters: &Counters) {
        self.put(keys::counters(of), record::encode_counters(counters));
    }

    pub fn put_tombstone(&mut self, salt: &[u8], member: &MemberId, entries: &[Entries]) {
        self.put(keys::tombstone(salt, member), record::encode_tombstone(entries));
    }

    pub fn put_unknown(&mut self, id: DeliveryId, row: &UnknownRow) {
        self.put(keys::unknown(id), record::encode_unknown(row));
    }

    pub fn delete_unknown(&mut self, id: DeliveryId) {
        self.delete(keys::unknown(id));
    }

    pub fn put_meta(&mut self, meta: Meta, value: Vec<u8>) {
        self.put(keys::meta(meta), value);
    }

    /// Keeps the files of a good set of scenarios.
    pub fn put_scenario_files(&mut self, files: &[(String, Vec<u8>)]) {
        let contents: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        let chunks = contents.chunks(BODY_CHUNK_BYTES);
        let list = record::encode_files(files, u32::try_from(chunks.len()).expect("sets are bounded"));
        self.put_meta(Meta::ScenarioFiles, list);
        for (number, chunk) in (0..).zip(chunks) {
            self.put_meta(Meta::ScenarioFile(number), chunk.to_vec());
        }
    }

    pub fn put_number(&mut self, meta: Meta, number: u64) {
        self.put(keys::meta(meta), record::encode_u64(number));
    }

    pub fn delete_meta(&mut self, meta: Meta) {
        self.delete(keys::meta(meta));
    }
}

#[cfg(test)]
impl Batch {
    pub(super) fn put_raw(&mut self, key: &[u8], value: &[u8]) {
        self.put(key.to_vec(), value.to_vec());
    }

    pub(super) fn delete_raw(&mut self, key: &[u8]) {
        self.delete(key.to_vec());
    }
}
