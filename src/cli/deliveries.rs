//! `amadare deliveries list` and `settle`.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{self, ANSWER, Key, Running};
use super::words::{Lang, because};
use super::{FOUND_PROBLEMS, Failure, Place, print};
use crate::config::Config;
use crate::http::{DeliveriesView, DeliveryView, deliveries_of};

/// Deliveries asked for at once.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List deliveries that may or may not have been accepted, and that nobody has settled
    List {
        #[command(flatten)]
        which: Which,
        /// Print JSON, one delivery a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        key: Key,
    },
    /// Say what became of such deliveries, or have them sent again
    Settle(Settle),
}

/// Some of the deliveries.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Which {
    /// Only those of this scenario
    #[arg(long, value_name = "ID")]
    scenario: Option<String>,
    /// Only those with this reason, such as `window` or `restored`
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only those of this member
    #[arg(long, value_name = "ID")]
    member: Option<String>,
}

impl Which {
    fn names(&self, delivery: &DeliveryView) -> bool {
        let is = |asked: &Option<String>, own: Option<&str>| {
            asked.as_deref().is_none_or(|asked| Some(asked) == own)
        };
        is(&self.scenario, Some(&delivery.scenario))
            && is(&self.reason, Some(&delivery.reason))
            && is(&self.member, delivery.member.as_deref())
    }
}

#[derive(Debug, Args)]
pub(super) struct Settle {
    /// The deliveries, as `deliveries list` names them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<Uuid>,
    /// All, or all that the options beside it name
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// What became of them, or `resend` to send them now
    #[arg(long = "as", value_name = "HOW")]
    how: How,
    #[command(flatten)]
    key: Key,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    /// The member got it
    Accepted,
    /// The member did not get it, and is not to
    Dropped,
    /// The member did not get it: send it now, within the send hours
    Resend,
}

pub(super) fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let config = place.load()?;
    match command {
        Command::List { which, json, key } => list(&config, which, *json, key),
        Command::Settle(settle) => settle_all(&config, settle),
    }
}

fn list(config: &Config, which: &Which, json: bool, key: &Key) -> Result<(), Failure> {
    let found = unknown(config, which, key)?;
    if json {
        let lines = found.iter().map(|delivery| format!("{}\n", json!(delivery)));
        return print(&lines.collect::<String>());
    }
    if found.is_empty() {
        return print("no delivery is in doubt\n");
    }
    let noun = if found.len() == 1 { "delivery" } else { "deliveries" };
    let mut out = format!("{} {noun} may or may not have been accepted:\n", found.len());
    for delivery in &found {
        out += &line(delivery, &config.zone);
    }
    out += "\nLINE cannot be asked any more. Settle each by what you know, for example from the member:\n";
    out += "  amadare deliveries settle ID --as accepted|dropped|resend\n";
    print(&out)
}

fn line(delivery: &DeliveryView, zone: &TimeZone) -> String {
    let due = delivery.due.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M");
    let member = delivery.member.as_deref().unwrap_or("(erased)");
    let (id, scenario, step) = (delivery.id, &delivery.scenario, &delivery.step);
    format!(
        "  {id}  due {due}  {member}  {scenario}/{step}  {} ({})\n",
        delivery.reason,
        because(Lang::En, &delivery.reason)
    )
}

/// All that are asked for: from the daemon, or from the store of one that is not running.
fn unknown(config: &Config, which: &Which, key: &Key) -> Result<Vec<DeliveryView>, Failure> {
    let running = Running::new(config, key)?;
    let mut at_rest = None;
    let mut found = Vec::new();
    let mut after: Option<Uuid> = None;
    loop {
        let from = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let page: DeliveriesView =
            match running.get(&format!("/v1/deliveries?state=unknown&limit={PAGE}{from}"))? {
                Some(answered) => answered.read()?,
                None => {
                    if at_rest.is_none() {
                        at_rest = Some(access::store_at_rest(config)?);
                    }
                    let store = at_rest.as_deref().expect("it was opened above");
                    deliveries_of(store, after, PAGE).context("cannot read the store")?
                }
            };
        found.extend(page.deliveries.into_iter().filter(|delivery| which.names(delivery)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

fn settle_all(config: &Config, settle: &Settle) -> Result<(), Failure> {
    let running = Running::new(config, &settle.key)?;
    let ids = match settle.all {
        true => {
            unknown(config, &settle.which, &settle.key)?.into_iter().map(|delivery| delivery.id).collect()
        }
        false => settle.ids.clone(),
    };
    let how = match settle.how {
        How::Accepted => "accepted",
        How::Dropped => "dropped",
        How::Resend => "resend",
    };
    let (mut settled, mut refused) = (0, 0);
    for id in &ids {
        let path = format!("/v1/deliveries/{id}/settle");
        let Some(answered) = running.post(&path, &json!({ "as": how }), ANSWER)? else {
            return Err(Failure::problem(format!(
                "no daemon answers on {}: deliveries are settled by a running one",
                config.listen
            )));
        };
        match answered.read::<Value>() {
            Ok(_) => settled += 1,
            Err(failure) => {
                refused += 1;
                eprintln!("amadare: {id}: {}", failure.message);
            }
        }
    }
    print(&format!(
        "{settled} settled as {how}{}\n",
        match refused {
            0 => String::new(),
            n => format!(", {n} not"),
        }
    ))?;
    if refused == 0 { Ok(()) } else { Err(Failure::silent(FOUND_PROBLEMS)) }
}
