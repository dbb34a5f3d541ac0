//! `amadare hold` and `amadare release`.

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::access::{self, ANSWER, Key, Running};
use super::{Failure, Place, print};
use crate::dispatch::turns;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Hold,
    Release,
}

/// Through a running daemon; where none runs, for its next start.
pub(super) fn run(place: &Place, options: &Options, switch: Switch) -> Result<(), Failure> {
    let config = place.load()?;
    let path = match switch {
        Switch::Hold => "/v1/hold",
        Switch::Release => "/v1/release",
    };
    if let Some(answered) = Running::new(&config, &options.key)?.post(path, &json!({}), ANSWER)? {
        let state: Value = answered.read()?;
        return print(&told(&state));
    }
    let store = access::store_at_rest(&config)?;
    let done = match switch {
        Switch::Hold => turns::hold_at_rest(&*store),
        Switch::Release => turns::release_at_rest(&*store),
    };
    done.context("cannot write the store")?;
    print(match switch {
        Switch::Hold => "no daemon is running; the next one starts on hold\n",
        Switch::Release => "no daemon is running; the next one starts released\n",
    })
}

/// What the daemon says of its holds, for a person.
fn told(state: &Value) -> String {
    let holds = state["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
    if holds.is_empty() {
        return "sends are open\n".into();
    }
    holds.iter().fold("all sends are on hold\n".to_owned(), |out, hold| {
        let word = |key: &str| hold[key].as_str().unwrap_or_default().to_owned();
        out + &format!("  {:<9} to end it: {}\n", word("reason"), word("remedy"))
    })
}
