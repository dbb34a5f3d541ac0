//! `amadare backup` and `amadare restore`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::access::{self, Key, Running};
use super::{Failure, Place, print};
use crate::clock::Clock;
use crate::http::{BackupView, backup_view};
use crate::store;

/// The longest that a running daemon may take for a backup: a terabyte at the speed of a slow disk.
const PATIENCE: Duration = Duration::from_secs(6 * 3_600);

#[derive(Debug, Args)]
pub(super) struct BackupOptions {
    /// The new file; one that exists is never replaced
    file: PathBuf,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, Args)]
pub(super) struct RestoreOptions {
    /// A file that `amadare backup` wrote
    file: PathBuf,
    /// Only check the file
    #[arg(long)]
    verify: bool,
}

pub(super) fn write(place: &Place, options: &BackupOptions) -> Result<(), Failure> {
    let config = place.load()?;
    let file = absolute(&options.file)?;
    let running = Running::new(&config, &options.key)?;
    let view: BackupView = match running.post("/v1/backup", &json!({ "file": file }), PATIENCE)? {
        Some(answered) => answered.read()?,
        None => {
            let store = access::store_at_rest(&config)?;
            let clock = Clock::system();
            let summary = store::backup(&*store, &file, &|| clock.now()).map_err(anyhow::Error::from)?;
            backup_view(&file, &summary)
        }
    };
    print(&format!(
        "{}: all that was acknowledged before {}; {} bytes, written, read back, sha256 {}\n",
        view.file.display(),
        view.at,
        view.size_bytes,
        view.sha256
    ))
}

pub(super) fn restore(place: &Place, options: &RestoreOptions) -> Result<(), Failure> {
    let config = place.load()?;
    if options.verify {
        let summary = store::verify_backup(&options.file).map_err(anyhow::Error::from)?;
        let view = backup_view(&options.file, &summary);
        return print(&format!("{} is whole; it is of {}\n", view.file.display(), view.at));
    }
    let (incarnation, now) = (store::draw_identity(), Clock::system().now());
    let restored = store::restore(&options.file, &config.data, config.store.cache_bytes, incarnation, now)
        .map_err(anyhow::Error::from)?;
    print(&format!(
        "{} now holds what the store of {} held: {} rows, read back.\n\
         The daemon starts on hold. What fell due between then and now may have been sent: it is listed by\n\
         `amadare deliveries list`, and is not sent by itself. `amadare release` lets the rest go on.\n",
        config.data.display(),
        restored.backup.ended,
        restored.rows
    ))
}

/// The daemon may stand in another folder.
fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(file).with_context(|| format!("{} is no path", file.display()))?)
}
