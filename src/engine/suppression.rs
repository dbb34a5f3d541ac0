//! Standing reasons not to message a member.

use super::SkipReason;
use crate::model::{Friendship, MemberFile};
use crate::mutation::{self, Mutation};

/// Why the member must not get a message of this topic, or of none; none if it may.
pub fn suppression(file: &MemberFile, topic: Option<&str>) -> Option<SkipReason> {
    if file.opted_out.is_from(topic) && !mutation::is(Mutation::OptOutIgnored) {
        return Some(SkipReason::OptedOut);
    }
    match &file.link {
        None => Some(SkipReason::Unlinked),
        Some(link) if link.friendship == Friendship::Blocked => Some(SkipReason::Blocked),
        Some(_) => None,
    }
}
