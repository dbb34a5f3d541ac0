//! Parcels in flight: looked at before each attempt, and settled by what it came to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::outbox::{self, CUTOFF};
use super::turns::{Effect, FOR_ANOTHER, Work};
use super::{Attempted, Blame, Carried, Hold, Parcel};
use crate::engine::Input;
use crate::engine::flight::{Earlier, Fate, Next, before_attempt};
use crate::model::RetryKey;
use crate::mutation::{self, Mutation};
use crate::store::StoreError;

/// How long a multicast that may have been accepted is repeated, unchanged, after somebody in it should
/// not get it any more: LINE's answer tells the fate of all the others.
pub(super) const MAX_REPLAY: SignedDuration = SignedDuration::from_mins(10);

/// How long a parcel waits before it is looked at again while sends are on hold.
pub(super) const HELD_WAIT: SignedDuration = SignedDuration::from_mins(1);

/// How long a parcel rests that was handed back without an attempt: couriers are busy or held.
pub(super) const UNTRIED_WAIT: SignedDuration = SignedDuration::from_secs(1);

impl Work<'_> {
    /// Looks at a parcel before its next attempt.
    pub(super) fn retry(&mut self, parcel: &Arc<Parcel>) -> Result<(), StoreError> {
        let key = parcel.retry_key;
        let earlier = self.turns.outbox.earlier(key);
        let gone = |reason: &str| match earlier {
            Earlier::NotSent => Fate::Withdrawn(reason.into()),
            Earlier::Ambiguous => Fate::Unknown(reason.into()),
        };
        let is_call = parcel.url().is_some();
        if !is_call
            && self.turns.restored_at().is_some_and(|restored_at| parcel.first_attempt.wall <= restored_at)
        {
            return self.conclude(parcel, |_| Fate::Unknown("restored".into()));
        }
        let mut pause = None;
        let mut fallen: BTreeMap<usize, Arc<str>> = BTreeMap::new();
        let mut waits = 0;
        for (place, carried) in self.turns.outbox.aboard(parcel) {
            let next = self.next_attempt(&carried, earlier)?;
            waits += usize::from(next != Next::Settled);
            match next {
                Next::Attempt => {}
                // what became of it is in its member's file, or it has none any more
                Next::Settled => drop(self.turns.outbox.leave(key, carried.id)),
                Next::Pause { until } => pause = Some(pause.map_or(until, |p: Timestamp| p.max(until))),
                Next::Stop(
                    Fate::Withdrawn(reason)
                    | Fate::Unknown(reason)
                    | Fate::Parted(reason)
                    | Fate::Rejected(reason),
                ) => drop(fallen.insert(place, reason)),
                Next::Stop(Fate::Accepted) => unreachable!("nothing is accepted before an attempt"),
            }
        }
        if waits == 0 {
            self.turns.outbox.remove(key, &mut self.batch);
            return Ok(());
        }
        if self.turns.outbox.is_over(parcel, self.moment) && !mutation::is(Mutation::CutoffIgnored) {
            return match is_call {
                true => self.conclude(parcel, |_| Fate::Rejected("unanswered".into())),
                false => self.conclude(parcel, |_| gone("window")),
            };
        }
        if !outbox::is_whole(parcel) {
            return self.conclude(parcel, |_| gone("bytes"));
        }
        if fallen.len() == waits {
            // there is nobody in it for whom LINE's answer is worth another attempt
            return self.conclude(parcel, |place| match fallen.get(&place) {
                Some(reason) => gone(reason),
                None => unreachable!("who has not left has fallen"),
            });
        }
        if !fallen.is_empty() {
            if earlier == Earlier::NotSent || mutation::is(Mutation::AmbiguousMulticastCutAnew) {
                return self.conclude(parcel, |_| Fate::Withdrawn(FOR_ANOTHER.into()));
            }
            self.turns.outbox.fall(key, self.now, &mut self.batch);
        }
        // a time to come is one that a wrong clock told
        if let Some(fell_at) = self.turns.outbox.fell_at(key)
            && (self.now.duration_since(fell_at) >= MAX_REPLAY || self.now < fell_at)
        {
            return self.conclude(parcel, |_| gone(FOR_ANOTHER));
        }
        let wait = match pause {
            Some(until) => Some(until),
            None if !self.turns.holds.is_empty() => {
                Some(self.now.saturating_add(HELD_WAIT).unwrap_or(Timestamp::MAX))
            }
            None => None,
        };
        match wait {
            Some(until) => self.turns.outbox.wait(key, until.min(cutoff_of(parcel))),
            None if mutation::is(Mutation::NewKeyOnRetry) => {
                let retry_key = RetryKey(uuid::Uuid::from_u128(!key.0.as_u128()));
                self.turns.outbox.failed(key, earlier, self.now);
                self.effects.push(Effect::Attempt(Arc::new(Parcel { retry_key, ..Parcel::clone(parcel) })));
            }
            None => self.effects.push(Effect::Attempt(Arc::clone(parcel))),
        }
        Ok(())
    }

    /// What is to be done for one delivery of a parcel.
    pub(super) fn next_attempt(&mut self, carried: &Carried, earlier: Earlier) -> Result<Next, StoreError> {
        let id = self.resolve(&carried.member)?;
        let world = self.turns.world.clone();
        let context = self.context(&world);
        let file = self.file(&id)?.file.as_ref();
        Ok(before_attempt(file, carried.enrollment, carried.id, &carried.to, earlier, &context))
    }

    pub(super) fn attempted(&mut self, key: RetryKey, attempted: Attempted) -> Result<(), StoreError> {
        let Some(parcel) = self.turns.outbox.get(key) else { return Ok(()) };
        match attempted {
            Attempted::Accepted => return self.conclude(&parcel, |_| Fate::Accepted),
            Attempted::Refused { reason, blame } => return self.refused(&parcel, &reason, blame),
            Attempted::Ambiguous => self.turns.outbox.failed(key, Earlier::Ambiguous, self.now),
            Attempted::NotTried => {
                let at = self.now.saturating_add(UNTRIED_WAIT).unwrap_or(Timestamp::MAX);
                self.turns.outbox.wait(key, at);
            }
            Attempted::Throttled | Attempted::NotSent => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
            }
            Attempted::Unauthorized => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
                self.hold(Hold::Token);
            }
            Attempted::OverQuota => {
                self.turns.outbox.failed(key, Earlier::NotSent, self.now);
                if !self.turns.holds.contains(&Hold::Quota) {
                    self.hold(Hold::Quota);
                    self.effects.push(Effect::ConfirmQuota);
                }
            }
        }
        Ok(())
    }

    /// LINE has refused a parcel for good. Of a multicast it can be for one who is in it: then the others
    /// go on alone.
    pub(super) fn refused(
        &mut self,
        parcel: &Arc<Parcel>,
        reason: &Arc<str>,
        blame: Blame,
    ) -> Result<(), StoreError> {
        let rejected = |_| Fate::Rejected(Arc::clone(reason));
        if !parcel.is_multicast() || blame == Blame::Content {
            return self.conclude(parcel, rejected);
        }
        if self.turns.outbox.earlier(parcel.retry_key) == Earlier::Ambiguous {
            // LINE would rather have answered 409; but on that nobody is sent anything again
            return self.conclude(parcel, |_| Fate::Unknown("refused".into()));
        }
        self.conclude(parcel, |place| match blame {
            Blame::Recipient(blamed) if blamed == place => Fate::Rejected(Arc::clone(reason)),
            _ => Fate::Parted(FOR_ANOTHER.into()),
        })
    }

    /// Settles all that is aboard a parcel, each by its place in it, and takes it out.
    pub(super) fn conclude(
        &mut self,
        parcel: &Arc<Parcel>,
        fate: impl Fn(usize) -> Fate,
    ) -> Result<(), StoreError> {
        let aboard = self.turns.outbox.aboard(parcel);
        self.turns.outbox.remove(parcel.retry_key, &mut self.batch);
        if mutation::is(Mutation::OutcomeDropped) {
            return Ok(());
        }
        for (place, carried) in aboard {
            let id = self.resolve(&carried.member)?;
            let Carried { enrollment, id: delivery, .. } = carried;
            self.carry_on(&id, &Input::Settle { enrollment, delivery, fate: fate(place) })?;
        }
        Ok(())
    }

    /// Settles what is on its way to somebody whom it must not reach any more. A push ends at once; a
    /// multicast that may have been accepted goes on for the others.
    pub(super) fn call_off(&mut self, parcel: &Arc<Parcel>, reason: &str) -> Result<(), StoreError> {
        let key = parcel.retry_key;
        match (self.turns.outbox.is_surely_unsent(key), parcel.is_multicast()) {
            (true, false) => self.conclude(parcel, |_| Fate::Withdrawn(reason.into())),
            (false, false) => self.conclude(parcel, |_| Fate::Unknown(reason.into())),
            (true, true) => self.conclude(parcel, |_| Fate::Withdrawn(FOR_ANOTHER.into())),
            (false, true) => {
                self.turns.outbox.fall(key, self.now, &mut self.batch);
                Ok(())
            }
        }
    }
}

fn cutoff_of(parcel: &Parcel) -> Timestamp {
    parcel.first_attempt.wall.saturating_add(CUTOFF).unwrap_or(Timestamp::MAX)
}
