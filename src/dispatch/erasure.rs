//! Forgetting a member: the file, what is on its way, and what must be kept so that nothing comes twice.

use super::turns::{FOR_ANOTHER, Work};
use super::{Answer, Refused};
use crate::engine::change::join_entries;
use crate::model::{Delivery, Entries, MemberFile, MemberId, Settlement, Standing};
use crate::mutation::{self, Mutation};
use crate::store::{self, Meta, StoreError, UnknownRow};

impl Work<'_> {
    pub(super) fn erase(&mut self, id: &MemberId) -> Result<Answer, StoreError> {
        let Some(file) = self.file(id)?.file.clone() else {
            return Ok(Answer::Refused(Refused::NoSuchMember));
        };
        self.delete(id);
        self.erase_deliveries(&file)?;
        // rows that have expired are gone, and deleting them again costs little
        for number in 0..file.history_rows {
            self.batch.delete_history(id, number);
        }
        self.bury(id, &file.entries)?;
        if let Some(link) = &file.link {
            let stub = MemberId::provisional(&link.user);
            if stub != *id {
                // the friend may come back before the member does, and had runs under its own id
                let mut entries = file.entries.clone();
                if let Some(claim) = self.file(&stub)?.file.clone() {
                    for number in 0..claim.history_rows {
                        self.batch.delete_history(&stub, number);
                    }
                    join_entries(&mut entries, &claim.entries);
                    self.delete(&stub);
                }
                self.bury(&stub, &entries)?;
            }
        }
        Ok(Answer::Done)
    }

    /// Keeps what must not be forgotten of an id that was erased: how often it has entered what, with what
    /// an earlier erasure had kept.
    pub(super) fn bury(&mut self, id: &MemberId, entries: &[Entries]) -> Result<(), StoreError> {
        let mut kept = match self.erased.get(id) {
            Some(kept) => kept.clone(),
            None if self.turns.tombstones == 0 => Vec::new(),
            None => store::load_tombstone(&*self.turns.store, &self.turns.salt, id)?.unwrap_or_default(),
        };
        join_entries(&mut kept, entries);
        if kept.is_empty() || mutation::is(Mutation::NoTombstone) {
            return Ok(());
        }
        self.batch.put_tombstone(&self.turns.salt, id, &kept);
        self.erased.insert(id.clone(), kept);
        self.turns.tombstones += 1;
        self.batch.put_number(Meta::Tombstones, self.turns.tombstones);
        Ok(())
    }

    /// Takes an erased member's deliveries out of what is on its way. Of those that may have been accepted
    /// it stays known that there were such, not whose.
    pub(super) fn erase_deliveries(&mut self, file: &MemberFile) -> Result<(), StoreError> {
        for run in &file.enrollments {
            for record in &run.steps {
                if record.settled.is_some_and(|settled| settled.how == Settlement::Unknown) {
                    let (revision, generation) = (record.revision, record.generation);
                    let step = record.step.clone();
                    let id = Delivery { enrollment: run.id, step, revision, generation }.id();
                    if let Some(row) = self.unknown_row(id)? {
                        self.unknown.insert(id, Some(UnknownRow { member: None, ..row }));
                    }
                }
            }
            let Standing::InFlight(flight) = &run.now else { continue };
            // one that this turn has queued is not wanted any more, and is left out at its end
            let Some(parcel) = self.turns.outbox.carrier(flight.delivery) else { continue };
            let key = parcel.retry_key;
            let unsent = self.turns.outbox.is_surely_unsent(key);
            match parcel.is_multicast() {
                false => self.turns.outbox.scrub(key, &mut self.batch),
                true => {
                    if self.turns.outbox.leave(key, flight.delivery) {
                        self.turns.outbox.remove(key, &mut self.batch);
                    } else {
                        self.call_off(&parcel, FOR_ANOTHER)?;
                    }
                }
            }
            if !unsent {
                let record = run.steps.iter().find(|record| record.step == flight.step);
                let generation = record.map_or(0, |record| record.generation);
                let row = UnknownRow {
                    member: None,
                    enrollment: run.id.0.into_bytes().into(),
                    scenario: run.scenario.to_string(),
                    step: flight.step.to_string(),
                    revision: flight.revision,
                    generation,
                    due_ms: flight.due.as_millisecond(),
                    at_ms: self.now.as_millisecond(),
                    reason: "erased".into(),
                };
                self.unknown.insert(flight.delivery, Some(row));
                self.turns.unknown += 1;
            }
        }
        Ok(())
    }
}
