//! Deliveries whose fate is unknown, and what an operator makes of them.

use super::turns::Work;
use super::{Answer, Refused};
use crate::engine::{Input, Refusal, Resolution};
use crate::model::{Delivery, DeliveryId, Enrollment, MemberId, Settlement, Standing};
use crate::store::{self, StoreError, UnknownRow};

impl Work<'_> {
    /// The record of a delivery whose fate is unknown.
    pub(super) fn unknown_row(&self, id: DeliveryId) -> Result<Option<UnknownRow>, StoreError> {
        match self.unknown.get(&id) {
            Some(row) => Ok(row.clone()),
            None => store::load_unknown(&*self.turns.store, id),
        }
    }

    /// Lets what is in flight of these runs, and what is unknown, be of the member that the runs are of now:
    /// the friend's own id may mean another member later.
    pub(super) fn hand_over(&mut self, runs: &[Enrollment], to: &MemberId) -> Result<(), StoreError> {
        for run in runs {
            if let Standing::InFlight(flight) = &run.now {
                self.turns.outbox.hand_over(flight.delivery, to, &mut self.batch);
                // or it is of this very turn
                let queued = self.pushes.iter_mut().find(|push| push.delivery.id() == flight.delivery);
                if let Some(push) = queued {
                    push.member = to.clone();
                }
            }
            for record in &run.steps {
                if record.settled.is_none_or(|settled| settled.how != Settlement::Unknown) {
                    continue;
                }
                let (revision, generation) = (record.revision, record.generation);
                let step = record.step.clone();
                let id = Delivery { enrollment: run.id, step, revision, generation }.id();
                if let Some(row) = self.unknown_row(id)? {
                    self.unknown.insert(id, Some(UnknownRow { member: Some(to.to_string()), ..row }));
                }
            }
        }
        Ok(())
    }

    /// Settles a delivery whose fate is unknown by an operator's word.
    pub(super) fn settle_unknown(
        &mut self,
        id: DeliveryId,
        resolution: Resolution,
    ) -> Result<Answer, StoreError> {
        let Some(row) = self.unknown_row(id)? else {
            return Ok(Answer::Refused(Refused::NoSuchDelivery));
        };
        let delivery = row.delivery()?;
        let member = match &row.member {
            Some(member) => {
                let member = MemberId::new(member).map_err(|error| StoreError::Record {
                    key: "an unknown delivery".into(),
                    what: error.to_string(),
                })?;
                let member = self.resolve(&member)?;
                self.file(&member)?.file.is_some().then_some(member)
            }
            None => None,
        };
        let answer = match member {
            Some(member) => self.intake(&member, &Input::Resolve { delivery, resolution })?,
            None if resolution == Resolution::Resend => {
                Answer::Refused(Refused::Bound(Refusal::NothingToResend))
            }
            None => Answer::Done,
        };
        if answer == Answer::Done {
            self.unknown.insert(id, None);
            self.turns.unknown = self.turns.unknown.saturating_sub(1);
        }
        Ok(answer)
    }
}
