//! Linking a LINE user to a member.
//!
//! The file of the provisional member `line:U…` is where a LINE user is claimed: it holds what was
//! gathered before, and after that only whom the LINE user belongs to. So the claim is a change of one
//! file, and whoever looks up a LINE user reads one file. One turn loop that owns all slots commits the
//! claim, the member's file and a former owner's in one batch.

use std::sync::Arc;

use super::turns::Work;
use super::{Answer, IfTaken, LinkRequest, Parcel, Refused};
use crate::engine::change::LinkChange;
use crate::engine::{Change, Fate, Input};
use crate::model::{DeliveryId, Friendship, LineUserId, Link, MemberFile, MemberId, OptOut, Standing};
use crate::mutation::{self, Mutation};
use crate::store::StoreError;

impl Work<'_> {
    /// Changes what is known of a member and, if asked, which LINE user it is.
    pub(super) fn change(
        &mut self,
        id: &MemberId,
        mut change: Change,
        request: Option<LinkRequest>,
    ) -> Result<Answer, StoreError> {
        let Some(LinkRequest { user, taken }) = request else {
            return self.intake(id, &Input::Change(change));
        };
        let stub = MemberId::provisional(&user);
        if stub == *id {
            return self.intake(id, &Input::Change(change));
        }
        if id.as_provisional().is_some() {
            return Ok(Answer::Refused(Refused::Provisional));
        }
        let claimed = self.file(&stub)?.file.clone();
        let owner = claimed.as_ref().and_then(|file| file.merged_into.clone());
        let former = owner.clone().filter(|owner| owner != id);
        if former.is_some() && taken == IfTaken::Refuse {
            return Ok(Answer::Refused(Refused::LinkTaken));
        }
        let told = match &former {
            Some(former) => self.file(former)?.file.as_ref().and_then(|file| file.link.clone()),
            None => claimed.as_ref().and_then(|file| file.link.clone()),
        };
        let link =
            told.unwrap_or(Link { user: user.clone(), friendship: Friendship::Unknown, told_at: None });
        let adopted = claimed.filter(|_| owner.is_none()).map(Box::new);
        let adopted_runs = adopted.as_ref().map(|file| file.enrollments.clone());
        let link_before = self.file(id)?.file.as_ref().and_then(|file| file.link.clone());
        change.link = Some(LinkChange::To { link, adopted });
        let answer = self.intake(id, &Input::Change(change))?;
        if matches!(answer, Answer::Refused(_)) {
            return Ok(answer);
        }
        if let Some(adopted) = adopted_runs {
            self.hand_over(&adopted, id)?;
        }
        if let Some(former) = former {
            let away = Change { link: Some(LinkChange::Away { user: user.clone() }), ..Change::default() };
            self.carry_on(&former, &Input::Change(away))?;
            self.call_back(&former, &user)?;
        }
        if let Some(before) = link_before.filter(|before| before.user != user) {
            self.call_back(id, &before.user)?;
            self.set_free(id, before)?;
        }
        if owner.as_ref() != Some(id) {
            // the ordinals that were used under its own id stay with it, and so do its history rows
            let before = match self.file(&stub)?.file.clone() {
                Some(before) => before,
                // one that was erased has its ordinals in a tombstone
                None => self.new_member(&stub)?,
            };
            let mut claim = MemberFile::new(stub.clone());
            claim.entries = before.entries;
            claim.history_rows = before.history_rows;
            claim.merged_into = Some(id.clone());
            self.put(&stub, claim);
        }
        Ok(answer)
    }

    /// Settles what is on its way to a LINE user that the member is no longer: taken back if it certainly
    /// was not sent, else unknown. It must never reach whoever the LINE user belongs to now.
    fn call_back(&mut self, id: &MemberId, user: &LineUserId) -> Result<(), StoreError> {
        if mutation::is(Mutation::LinkIgnored) {
            return Ok(());
        }
        let runs = self.file(id)?.file.iter().flat_map(|file| &file.enrollments);
        let deliveries: Vec<DeliveryId> = runs
            .filter_map(|run| match &run.now {
                Standing::InFlight(flight) => Some(flight.delivery),
                Standing::Waiting { .. } => None,
            })
            .collect();
        for delivery in deliveries {
            if let Some(push) = self.take_back(delivery, user) {
                let (enrollment, fate) = (push.delivery.enrollment, Fate::Withdrawn("link".into()));
                self.carry_on(id, &Input::Settle { enrollment, delivery, fate })?;
                continue;
            }
            let goes_to_them = |parcel: &Arc<Parcel>| {
                parcel
                    .deliveries
                    .iter()
                    .any(|carried| carried.id == delivery && carried.to.line_user() == Some(user))
            };
            if let Some(parcel) = self.turns.outbox.carrier(delivery).filter(goes_to_them) {
                self.call_off(&parcel, "link")?;
            }
        }
        Ok(())
    }

    /// Lets a LINE user belong to nobody again. What stays with it is what nobody must forget: the
    /// ordinals that were used under its own id, a block, and which events have been handled.
    fn set_free(&mut self, id: &MemberId, link: Link) -> Result<(), StoreError> {
        let stub = MemberId::provisional(&link.user);
        let Some(file) = self.file(&stub)?.file.clone() else { return Ok(()) };
        let (entries, history_rows) = (file.entries, file.history_rows);
        let own = self.file(id)?.file.as_ref();
        let seen = own.map(|file| file.seen.clone()).unwrap_or_default();
        // who wants no messages wants none under another name
        let opted_out = own.map(|file| file.opted_out.clone()).unwrap_or_default();
        if entries.is_empty()
            && seen.is_empty()
            && history_rows == 0
            && link.friendship != Friendship::Blocked
            && opted_out == OptOut::default()
        {
            self.delete(&stub);
        } else {
            let link = Some(link);
            self.put(
                &stub,
                MemberFile { entries, seen, link, opted_out, history_rows, ..MemberFile::new(stub.clone()) },
            );
        }
        Ok(())
    }
}
