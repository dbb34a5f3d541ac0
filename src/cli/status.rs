//! `amadare status`.

use clap::Args;
use serde_json::Value;

use super::access::{Key, Running};
use super::{FOUND_PROBLEMS, Failure, Place, print};
use crate::store;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print the daemon's own JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: Key,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let config = place.load()?;
    let running = Running::new(&config, &options.key)?;
    let Some(ready) = running.get("/readyz")? else {
        let holder = match config.data.exists() && store::is_in_use(&config.data) {
            true => ", though some process holds the data folder",
            false => "",
        };
        return Err(Failure::problem(format!("no daemon answers on {}{holder}", config.listen)));
    };
    if options.json {
        print(&format!("{}\n", ready.body))?;
    } else {
        let body: Value = serde_json::from_str(&ready.body).unwrap_or_default();
        let mut out = match body["ready"].as_bool() {
            Some(true) => "ready\n".to_owned(),
            _ => "not ready\n".to_owned(),
        };
        for (name, component) in body["components"].as_object().into_iter().flatten() {
            let mark = if component["ok"].as_bool() == Some(true) { "ok  " } else { "FAIL" };
            let detail = match &component["detail"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            out += &format!("  {mark}  {name:<10}  {detail}\n");
        }
        print(&out)?;
    }
    if ready.status == 200 { Ok(()) } else { Err(Failure::silent(FOUND_PROBLEMS)) }
}
