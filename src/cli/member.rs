//! `amadare member show`.

use clap::Subcommand;
use serde_json::Value;

use super::access::{self, Key, Running};
use super::{Failure, Place, print};
use crate::http::member_view;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print what is known of a member, as JSON
    Show {
        /// The member's id
        member: String,
        #[command(flatten)]
        key: Key,
    },
}

pub(super) fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let Command::Show { member, key } = command;
    let config = place.load()?;
    let path = format!("/v1/members/{}", access::encoded(member));
    let view: Value = match Running::new(&config, key)?.get(&path)? {
        Some(answered) => answered.read()?,
        None => member_view(&access::stored_member(&config, member)?.1),
    };
    print(&format!("{view:#}\n"))
}
