//! The head of the due index in memory.
//!
//! The index itself is in the store, by slot. Each slot has a frontier: what is due up to there is here
//! as well, what is due later is only in the store. So the store is read forward, a page at a time, and
//! never from its start.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::{MemberId, SLOTS};
use crate::store::{self, DueKey, Store, StoreError};

/// Rows read when a slot has run out.
const PAGE: usize = 256;

/// Entries of one slot kept in memory; the later half is left to the store when there are more.
const MAX_NEAR: usize = 2_048;

#[derive(Debug)]
pub(super) struct DueQueue {
    slots: Vec<Slot>,
    /// The soonest entry of each slot.
    heads: Vec<Option<DueKey>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    near: BTreeSet<DueKey>,
    /// The last key up to which everything is in `near`; none before anything was read.
    frontier: Option<DueKey>,
    /// True if there is nothing beyond the frontier in the store.
    complete: bool,
}

impl DueQueue {
    pub(super) fn open(store: &dyn Store) -> Result<DueQueue, StoreError> {
        let count = usize::from(SLOTS);
        let mut queue = DueQueue { slots: vec![Slot::default(); count], heads: vec![None; count] };
        for slot in 0..SLOTS {
            queue.refill(slot, store)?;
        }
        Ok(queue)
    }

    /// The soonest instant at which a member is due.
    pub(super) fn head(&self) -> Option<Timestamp> {
        self.soonest().map(|due| due.at)
    }

    fn soonest(&self) -> Option<&DueKey> {
        self.heads.iter().flatten().min()
    }

    /// Takes out up to `limit` members that are due at `now`: soonest first, of the same instant by id.
    ///
    /// For each, [`DueQueue::moved`] must be called once its new place has been committed, also where
    /// that is its old one.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        limit: usize,
        store: &dyn Store,
    ) -> Result<Vec<DueKey>, StoreError> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(due) = self.soonest()
            && due.at <= now
        {
            let slot = due.member.slot();
            taken.extend(self.slots[usize::from(slot)].near.pop_first());
            self.refill(slot, store)?;
        }
        Ok(taken)
    }

    /// Follows a member that has moved in the index, after the batch that moved it was committed.
    pub(super) fn moved(
        &mut self,
        member: &MemberId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let number = member.slot();
        let slot = &mut self.slots[usize::from(number)];
        if let Some(at) = from {
            slot.near.remove(&DueKey { at, member: member.clone() });
        }
        if let Some(at) = to {
            let due = DueKey { at, member: member.clone() };
            if slot.complete || slot.frontier.as_ref().is_some_and(|frontier| due <= *frontier) {
                slot.near.insert(due);
            }
        }
        if slot.near.len() > MAX_NEAR {
            let middle = slot.near.iter().nth(MAX_NEAR / 2).cloned();
            // all after the middle is left to the store
            slot.near.split_off(middle.as_ref().expect("there are more"));
            slot.frontier = slot.near.last().cloned();
            slot.complete = false;
        }
        self.refill(number, store)
    }

    /// Reads on where a slot has nothing left in memory.
    fn refill(&mut self, number: u8, store: &dyn Store) -> Result<(), StoreError> {
        let slot = &mut self.slots[usize::from(number)];
        if slot.near.is_empty() && !slot.complete {
            let page = store::page_due(store, number, slot.frontier.as_ref(), PAGE)?;
            slot.complete = page.len() < PAGE;
            if let Some(last) = page.last() {
                slot.frontier = Some(last.clone());
            }
            slot.near.extend(page);
        }
        self.heads[usize::from(number)] = slot.near.first().cloned();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
