//! Why nothing may be sent, and what ends it.

use super::Hold;
use super::turns::{Effect, OPS_PER_COMMAND, Work, bit};
use super::watch;
use crate::engine::flight::Fate;
use crate::store::{Meta, StoreError, encode_restored};

impl Work<'_> {
    pub(super) fn hold(&mut self, hold: Hold) {
        if self.turns.holds.insert(hold) {
            self.holds_changed();
        }
    }

    pub(super) fn lift(&mut self, hold: Hold) {
        if self.turns.holds.remove(&hold) {
            self.holds_changed();
        }
    }

    pub(super) fn holds_changed(&mut self) {
        let holds = self.turns.holds.clone();
        self.batch.put_number(Meta::Holds, holds.iter().map(|hold| bit(*hold)).sum());
        self.effects.push(Effect::Holds(holds));
    }

    pub(super) fn release(&mut self) {
        self.lift(Hold::Operator);
        let change = self.turns.watch.confirm(self.moment);
        self.clock(change);
        if let Some(restored) = self.turns.restored.as_mut().filter(|row| row.released != Some(true)) {
            restored.released = Some(true);
            let row = encode_restored(restored);
            self.batch.put_meta(Meta::Restored, row);
        }
        self.lift(Hold::Restored);
    }

    /// Follows what is known of the clock.
    pub(super) fn clock(&mut self, change: Option<watch::Change>) {
        match change {
            Some(watch::Change::Doubted) => self.hold(Hold::Clock),
            Some(watch::Change::Trusted { was_moved }) => {
                if was_moved {
                    self.turns.outbox.distrust(self.moment);
                }
                self.lift(Hold::Clock);
            }
            None => {}
        }
    }

    /// What LINE says of the quota ends a hold for it, or confirms it: then what was not sent goes back.
    pub(super) fn quota(&mut self, limit: Option<u64>, used: u64) -> Result<(), StoreError> {
        if !self.turns.holds.contains(&Hold::Quota) {
            return Ok(());
        }
        if limit.is_none_or(|limit| used < limit) {
            self.lift(Hold::Quota);
            return Ok(());
        }
        for parcel in self.turns.outbox.unsent(self.turns.store.bounds().batch_ops / OPS_PER_COMMAND) {
            self.conclude(&parcel, |_| Fate::Withdrawn("quota".into()))?;
        }
        Ok(())
    }
}
