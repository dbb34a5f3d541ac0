//! What the shop tells of a member: attributes, tags, and the LINE user that it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::trigger::{Refusal, fold_entries, json_bytes};
use super::{Taken, Turn, is_over, record_mut};
use crate::model::{
    Attributes, Ended, Enrollment, EnrollmentId, Entries, EntriesKey, Event, Friendship, Happening,
    LineUserId, Link, MemberFile, OptOut, Settled, Settlement, Standing, What, limits,
};

/// A change of what is known of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// A merge patch: values set, nulls removed. Source: RFC 7396.
    pub attributes: Option<Attributes>,
    /// All tags that the member has from now on.
    pub tags: Option<BTreeSet<String>>,
    pub link: Option<LinkChange>,
    /// What scenarios hear if the link has changed.
    pub event: Option<Box<Event>>,
    pub opt: Option<OptChange>,
    /// True if no `segment` is to start a scenario by it, as in an import. A date is followed all the same:
    /// what it plans is for its day.
    pub silent: bool,
}

/// What a member does not want any more, or wants again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptChange {
    /// Nothing of a topic; without one, nothing at all.
    Out { topic: Option<String> },
    /// A topic again; without one, everything again.
    In { topic: Option<String> },
}

/// A change of the LINE user that a member is.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkChange {
    /// The member is this LINE user. What its provisional member had gathered comes along.
    To { link: Link, adopted: Option<Box<MemberFile>> },
    /// Another member is this LINE user now.
    Away { user: LineUserId },
}

impl Turn<'_> {
    pub(super) fn change(&mut self, change: &Change) -> Result<Taken, Refusal> {
        let before = self.attributes_bytes();
        if let Some(patch) = &change.attributes {
            merge(Arc::make_mut(&mut self.file.attributes), patch);
        }
        if let Some(tags) = &change.tags {
            self.file.tags = Arc::new(tags.clone());
        }
        let size_bytes = self.attributes_bytes();
        if size_bytes > limits::ATTRIBUTES_BYTES && size_bytes > before {
            return Err(Refusal::AttributesTooLarge { size_bytes });
        }
        if let Some(opt) = &change.opt {
            self.opt(opt);
        }
        let linked_before = self.file.link.as_ref().map(|link| link.user.clone());
        match &change.link {
            Some(LinkChange::To { link, adopted }) => self.link(link, adopted.as_deref()),
            Some(LinkChange::Away { user }) => self.unlink(user),
            None => {}
        }
        let is_news = linked_before != self.file.link.as_ref().map(|link| link.user.clone());
        if let Some(event) = &change.event
            && is_news
        {
            self.react(event)?;
        }
        Ok(Taken::Changed)
    }

    /// Notes what the member wants. More topics than are noted apart are everything.
    pub(super) fn opt(&mut self, opt: &OptChange) {
        let before = self.file.opted_out.clone();
        let out = &mut self.file.opted_out;
        let (what, topic) = match opt {
            OptChange::Out { topic: None } => {
                out.all = true;
                (What::OptedOut, None)
            }
            OptChange::Out { topic: Some(topic) } => {
                out.topics.insert(topic.clone());
                (What::OptedOut, Some(topic))
            }
            OptChange::In { topic: None } => {
                *out = OptOut::default();
                (What::OptedIn, None)
            }
            OptChange::In { topic: Some(topic) } => {
                out.topics.remove(topic);
                (What::OptedIn, Some(topic))
            }
        };
        if out.topics.len() > limits::OPT_OUTS {
            out.all = true;
            out.topics.clear();
        }
        if *out != before {
            let at = self.context.now;
            let reason = topic.map(|topic| Arc::from(format!("topic({topic})")));
            self.record(Happening { at, what, scenario: None, step: None, reason, until: None, cause: None });
        }
    }

    /// The size of attributes and tags as JSON, in bytes.
    pub(super) fn attributes_bytes(&self) -> usize {
        let tags: usize = self.file.tags.iter().map(|tag| tag.len() + 3).sum();
        json_bytes(&self.file.attributes) + tags
    }

    fn link(&mut self, link: &Link, adopted: Option<&MemberFile>) {
        if self.file.link.as_ref().is_none_or(|own| own.user != link.user) {
            self.file.link = Some(link.clone());
            self.happened(What::Linked);
        } else if link.friendship != Friendship::Unknown {
            self.befriend(link.friendship, link.told_at.unwrap_or(self.context.now));
        }
        if let Some(provisional) = adopted {
            self.adopt(provisional);
        }
    }

    /// Takes over what was gathered while the LINE user was not linked. Runs keep their identity, so a
    /// step that was sent stays sent.
    fn adopt(&mut self, provisional: &MemberFile) {
        let own = (Arc::clone(&self.file.attributes), Arc::clone(&self.file.tags));
        let attributes = Arc::make_mut(&mut self.file.attributes);
        for (name, value) in provisional.attributes.iter() {
            if !attributes.contains_key(name) {
                attributes.insert(name.clone(), value.clone());
            }
        }
        let tags = provisional.tags.iter().cloned();
        Arc::make_mut(&mut self.file.tags).extend(tags);
        if self.attributes_bytes() > limits::ATTRIBUTES_BYTES {
            // the shop's own knowledge stays, and a link must not fail for what was noted about a friend
            (self.file.attributes, self.file.tags) = own;
        }
        for seen in &provisional.seen {
            if !self.file.seen.iter().any(|own| own.id == seen.id) {
                self.file.seen.push(*seen);
            }
        }
        let excess = self.file.seen.len().saturating_sub(limits::SEEN_EVENTS);
        self.file.seen.sort_by_key(|seen| seen.at);
        self.file.seen.drain(..excess);
        self.file.opted_out.all |= provisional.opted_out.all;
        self.file.opted_out.topics.extend(provisional.opted_out.topics.iter().cloned());
        self.file.pushed.extend(&provisional.pushed);
        self.file.pushed.sort_unstable();
        join_entries(&mut self.file.entries, &provisional.entries);
        fold_entries(self.file);
        for theirs in &provisional.enrollments {
            let is_same = |own: &Enrollment| own.scenario == theirs.scenario && own.key == theirs.key;
            let mut theirs = theirs.clone();
            // of two under one key, updates and goals mean the one that lives
            if !theirs.is_live() && self.file.enrollments.iter().any(is_same) {
                theirs.kept_until = None;
            } else {
                let kept = self.file.enrollments.iter_mut().filter(|own| is_same(own) && !own.is_live());
                kept.for_each(|own| own.kept_until = None);
            }
            let theirs = &theirs;
            let live =
                self.file.enrollments.iter().enumerate().filter(|(_, own)| is_same(own) && own.is_live());
            // of several, the one that began at the same moment: on the clock, both did
            let own = live.min_by_key(|(index, own)| (own.entered_at != theirs.entered_at, *index));
            match own.map(|(index, _)| index) {
                Some(own) => self.adopt_run(own, theirs),
                None => self.file.enrollments.push(theirs.clone()),
            }
        }
        self.file.journal.extend(provisional.journal.iter().cloned());
        self.file.journal.sort_by_key(|happening| happening.at);
    }

    /// Two runs through one scenario under one key become one: the older, with the steps done in either.
    fn adopt_run(&mut self, own: usize, theirs: &Enrollment) {
        let ours = self.file.enrollments[own].clone();
        // a delivery that is out is the step being done: the run that has one goes on, if it lives
        let keeps_theirs = match (theirs.now.is_waiting(), ours.now.is_waiting()) {
            _ if !theirs.is_live() => false,
            (false, true) => true,
            (true, false) => false,
            _ => theirs.entered_at < ours.entered_at,
        };
        let (mut kept, other) = if keeps_theirs { (theirs.clone(), ours) } else { (ours, theirs.clone()) };
        for record in &other.steps {
            let Some(settled) = record.settled else { continue };
            // what is unknown is settled under the run that it happened in
            let how = match settled.how {
                Settlement::Unknown => Settlement::Skipped,
                how => how,
            };
            let own = record_mut(&mut kept, &record.step);
            if own.settled.is_none() {
                own.settled = Some(Settled { how, ..settled });
                own.took.clone_from(&record.took);
            }
        }
        kept.reached_at = kept.reached_at.max(other.reached_at);
        if let Standing::InFlight(flight) = &other.now {
            // its delivery is out: the step is not sent again, whatever LINE answers
            let record = record_mut(&mut kept, &flight.step);
            let at = self.context.now;
            record.settled.get_or_insert(Settled { at, how: Settlement::Skipped });
        }
        let other = Enrollment { ended: other.ended.or(Some(Ended::Exited)), ..other };
        if !is_over(&other, self.context.now) {
            self.file.enrollments.push(other);
        }
        self.file.enrollments[own] = kept;
    }

    fn unlink(&mut self, user: &LineUserId) {
        if self.file.link.as_ref().is_some_and(|link| link.user == *user) {
            self.file.link = None;
            self.happened(What::Unlinked);
        }
    }

    fn happened(&mut self, what: What) {
        let at = self.context.now;
        self.record(Happening {
            at,
            what,
            scenario: None,
            step: None,
            reason: None,
            until: None,
            cause: None,
        });
    }

    /// Where a run stands in the file.
    pub(super) fn position(&self, id: EnrollmentId) -> Option<usize> {
        self.file.enrollments.iter().position(|run| run.id == id)
    }
}

/// Takes over how often runs were entered: no ordinal of either comes again.
pub fn join_entries(own: &mut Vec<Entries>, theirs: &[Entries]) {
    for theirs in theirs {
        let place = own.iter().position(|own| own.scenario == theirs.scenario && own.key == theirs.key);
        match place.map(|place| &mut own[place]) {
            Some(own) => {
                own.next_ordinal = own.next_ordinal.max(theirs.next_ordinal);
                own.last = own.last.max(theirs.last);
                own.left &= theirs.left;
            }
            None => {
                let folded = (own.iter())
                    .find(|own| own.scenario == theirs.scenario && own.key == EntriesKey::Folded)
                    .map_or(0, |own| own.next_ordinal);
                let next_ordinal = theirs.next_ordinal.max(folded);
                own.push(Entries { next_ordinal, ..theirs.clone() });
            }
        }
    }
}

/// RFC 7396, "JSON Merge Patch".
pub(super) fn merge(target: &mut Attributes, patch: &Attributes) {
    use serde_json::Value;
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(patch) => {
                let own = target.entry(name.clone()).or_insert(Value::Null);
                if !own.is_object() {
                    *own = Value::Object(Attributes::new());
                }
                if let Value::Object(own) = own {
                    merge(own, patch);
                }
            }
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}
