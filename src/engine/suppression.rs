//! Standing reasons not to message a member.

use super::SkipReason;
use crate::model::{Friendship, MemberFile};

/// Why the member cannot be pushed to at all; none if it can.
pub fn suppression(file: &MemberFile) -> Option<SkipReason> {
    match &file.link {
        None => Some(SkipReason::Unlinked),
        Some(link) if link.friendship == Friendship::Blocked => Some(SkipReason::Blocked),
        Some(_) => None,
    }
}
