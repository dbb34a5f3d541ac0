//! `amadare member show`, `optout` and `optin`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::access::{self, ANSWER, Key, Running};
use super::{Failure, Place, print};
use crate::config::Config;
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
    /// Send a member nothing any more, or nothing of a topic
    Optout(Opt),
    /// Send a member everything again, or a topic
    Optin(Opt),
}

#[derive(Debug, Args)]
pub(super) struct Opt {
    /// The member's id; one that is not known is created
    member: String,
    /// Only what scenarios of this topic send, as their files write it
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    #[command(flatten)]
    key: Key,
}

pub(super) fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let config = place.load()?;
    match command {
        Command::Show { member, key } => show(&config, member, key),
        Command::Optout(options) => opt(&config, options, "optout"),
        Command::Optin(options) => opt(&config, options, "optin"),
    }
}

fn show(config: &Config, member: &str, key: &Key) -> Result<(), Failure> {
    let path = format!("/v1/members/{}", access::encoded(member));
    let view: Value = match Running::new(config, key)?.get(&path)? {
        Some(answered) => answered.read()?,
        None => member_view(&access::stored_member(config, member)?.1),
    };
    print(&format!("{view:#}\n"))
}

fn opt(config: &Config, options: &Opt, way: &str) -> Result<(), Failure> {
    let Opt { member, topic, key } = options;
    let body = match topic {
        Some(topic) => json!({ "topic": topic }),
        None => json!({}),
    };
    let path = format!("/v1/members/{}/{way}", access::encoded(member));
    let Some(answered) = Running::new(config, key)?.post(&path, &body, ANSWER)? else {
        return Err(Failure::problem(format!(
            "no daemon answers on {}: what a member wants is taken in by a running one",
            config.listen
        )));
    };
    let view: Value = answered.read()?;
    print(&format!("{} {}\n", view["id"].as_str().unwrap_or(member), standing(&view["opted_out"])))
}

/// What a member does not want now, in words.
fn standing(opted_out: &Value) -> String {
    let topics = opted_out["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let topics: Vec<&str> = topics.iter().filter_map(Value::as_str).collect();
    match (opted_out["all"].as_bool(), topics.as_slice()) {
        (Some(true), _) => "is opted out of everything".into(),
        (_, []) => "is opted out of nothing".into(),
        (_, topics) => format!("is opted out of {}", topics.join(", ")),
    }
}
