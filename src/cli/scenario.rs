//! `amadare scenario enroll`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::access::{self, ANSWER, Key, Running};
use super::{Failure, Place, print};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Have a member enter a scenario now, whatever starts it otherwise
    Enroll(Enroll),
}

#[derive(Debug, Args)]
pub(super) struct Enroll {
    /// The scenario
    #[arg(value_name = "ID")]
    scenario: String,
    /// The member's id; one that is not known is created
    member: String,
    /// The key of the run, in place of the one that the scenario's trigger tells
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// What expressions and messages see as `event`, a JSON object
    // `--data` is the data folder, in every command
    #[arg(long, value_name = "JSON", value_parser = object)]
    event_data: Option<Map<String, Value>>,
    /// Your own id of this wish: a second one with it for the same member does nothing
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    access: Key,
}

/// Reads a JSON object.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))
}

pub(super) fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let Command::Enroll(Enroll { scenario, member, key, event_data, id, access }) = command;
    let config = place.load()?;
    let mut wish = json!({ "member": member });
    let given = [("key", json!(key)), ("data", json!(event_data)), ("id", json!(id))];
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        wish[name] = value;
    }
    let path = format!("/v1/scenarios/{}/enrollments", access::encoded(scenario));
    let Some(answered) = Running::new(&config, access)?.post(&path, &wish, ANSWER)? else {
        return Err(Failure::problem(format!(
            "no daemon answers on {}: members are taken into scenarios by a running one",
            config.listen
        )));
    };
    let outcome: Value = answered.read()?;
    print(&match outcome["duplicates"].as_u64() {
        Some(0) => format!(
            "{member} entered {scenario}; `amadare explain '{member}' {scenario}` says what comes of it\n"
        ),
        _ => format!("nothing to do: {member} entered {scenario} by this id before\n"),
    })
}
