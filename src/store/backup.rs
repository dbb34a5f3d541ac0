//! Backups: one file with everything that a store holds, written while the store is in use.
//!
//! An engine need not have snapshots for it. From the start, every batch that is committed is also kept
//! ([`Tee`]); meanwhile all rows are read, page by page; then the kept batches are appended. Batches are
//! absolute puts and deletions, so the rows and then the batches in their order are the state at the end
//! of reading, whatever moment each row was read at. What the engine counts for itself, its sequence, is
//! not part of it: a backup of one engine restores into another.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::folder::sync_directory;
use super::{FORMAT, Key, Meta, Store, StoreError, get_number, keys};

mod format;
mod restore;
mod tee;

#[cfg(test)]
mod tests;

use format::{Contents, Header, Part, Trailer, Writer};
pub(super) use restore::check_finished;
pub use restore::{RestoreSummary, restore};
pub(super) use tee::Tap;
pub use tee::Tee;

/// Rows that are in memory at once while they are copied: 24 MB if each were as large as an engine lets it.
const PAGE_ROWS: usize = 256;

/// What a backup file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// All that was committed before this instant is in it; what was committed after it may be missing.
    pub ended: Timestamp,
    /// The format of the records in it.
    pub store_format: u32,
    /// The version of amadare that wrote it.
    pub written_by: String,
    /// Rows as they were read.
    pub rows: u64,
    /// Puts and deletions committed while the rows were read.
    pub changes: u64,
    pub size_bytes: u64,
    /// Of the whole file but its last 32 bytes, which are this digest.
    pub sha256: [u8; 32],
}

/// Writes all that `store` holds into the new file `to`, while others go on committing.
///
/// The file gets its name when it is whole, has been read back and would survive a power cut. It can be
/// read by its owner only. `now` is asked at the end of reading.
///
/// # Errors
/// [`StoreError::BackupExists`] if there is such a file, [`StoreError::BackupRunning`] during another
/// backup; else what failed. There is no file `to` then, but for a failure to sync its folder. One of [`Store::flush`] means, as ever, that
/// the store must not be used any more.
pub fn backup(
    store: &dyn Store,
    to: &Path,
    now: &dyn Fn() -> Timestamp,
) -> Result<BackupSummary, StoreError> {
    if exists(to)? {
        return Err(StoreError::BackupExists { file: to.to_owned() });
    }
    let teeing = Teeing::start(store, Tee::create(to)?)?;
    let (mut partial, file) = Partial::create(to)?;
    let header = Header::new(store_format(store)?);
    let mut writer = Writer::new(file, &partial.path);
    writer.begin(&header)?;
    let mut rows = 0;
    each_row(store, |key, value| {
        rows += 1;
        writer.record(Part::Rows, key, Some(value))
    })?;
    // First the instant: what is committed between it and the end of the tee is in the backup although
    // it is later. The other way around, what was sent in between would be missing from the backup and
    // yet count as older than it, and would be sent again.
    let ended = now();
    let mut changes = teeing.stop()?;
    // The backup is the state at which the tee ended. That state was visible, but some of it may not be
    // durable yet: this makes it so before the file gets its name. To flush first and then end the tee
    // would let in batches that a power cut takes from the store and not from the backup.
    store.flush()?;
    while let Some((key, value)) = changes.next()? {
        writer.record(Part::Changes, &key, value.as_deref())?;
    }
    let trailer = Trailer { rows, changes: changes.count(), ended_ms: ended.as_millisecond() };
    let (file, sha256) = writer.end(&trailer)?;
    file.sync_all().map_err(StoreError::io(format!("cannot sync {}", partial.path.display())))?;
    drop(file);
    let summary = verify_backup(&partial.path)?;
    if summary.sha256 != sha256 {
        let what = "it is not read as it was written".into();
        return Err(StoreError::BackupDamaged { file: partial.path.clone(), what });
    }
    partial.name(to)?;
    Ok(summary)
}

/// Reads a whole backup and checks each byte of it.
///
/// # Errors
/// [`StoreError::BackupDamaged`] for a file that was cut short or changed, [`StoreError::BackupNewer`] for
/// one that only a newer version can check.
pub fn verify_backup(file: &Path) -> Result<BackupSummary, StoreError> {
    let mut contents = Contents::open(file)?;
    while contents.next()?.is_some() {}
    contents.summary()
}

/// The format of a store's records; one that nobody has marked is written by this version.
fn store_format(store: &dyn Store) -> Result<u32, StoreError> {
    let marked = get_number(store, Meta::Format)?.unwrap_or_else(|| u64::from(FORMAT));
    Ok(u32::try_from(marked).unwrap_or(u32::MAX))
}

/// Calls `visit` with each row of a store, in order, but the engine's own count.
fn each_row(
    store: &dyn Store,
    mut visit: impl FnMut(&Key, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sequence = keys::meta(Meta::Sequence);
    let mut from = keys::first();
    loop {
        let rows = store.page(&from, &keys::end(), PAGE_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from = keys::after(last);
        for (key, value) in rows.iter().filter(|(key, _)| *key != sequence) {
            visit(key, value)?;
        }
    }
}

/// A store's tee, which ends with the backup however that ends.
struct Teeing<'a> {
    store: &'a dyn Store,
    tee: Tee,
    /// False once it has ended: the store's next tee is another backup's.
    is_on: bool,
}

impl<'a> Teeing<'a> {
    fn start(store: &'a dyn Store, tee: Tee) -> Result<Teeing<'a>, StoreError> {
        store.tee(Some(tee.clone()))?;
        Ok(Teeing { store, tee, is_on: true })
    }

    fn stop(mut self) -> Result<tee::Changes, StoreError> {
        self.is_on = false;
        self.store.tee(None)?;
        self.tee.end()
    }
}

impl Drop for Teeing<'_> {
    fn drop(&mut self) {
        if !self.is_on {
            return;
        }
        if let Err(error) = self.store.tee(None) {
            tracing::warn!(%error, "the store goes on keeping what it commits for a backup that has ended");
        }
    }
}

/// A file that has not got its name yet, and goes if it never gets it.
struct Partial {
    path: PathBuf,
    is_named: bool,
}

impl Partial {
    fn create(to: &Path) -> Result<(Partial, File), StoreError> {
        let path = beside(to, ".partial");
        let file = create_new(&path)?;
        Ok((Partial { path, is_named: false }, file))
    }

    /// Gives it its name, unless another file has that by now.
    fn name(&mut self, to: &Path) -> Result<(), StoreError> {
        let naming = || format!("cannot rename {} to {}", self.path.display(), to.display());
        // a link is refused where the name is taken, which a rename is not
        match std::fs::hard_link(&self.path, to) {
            Ok(()) => {
                self.is_named = true;
                std::fs::remove_file(&self.path).map_err(StoreError::io(naming()))?;
            }
            // some file systems have no links
            Err(_) if !exists(to)? => {
                std::fs::rename(&self.path, to).map_err(StoreError::io(naming()))?;
                self.is_named = true;
            }
            Err(_) => return Err(StoreError::BackupExists { file: to.to_owned() }),
        }
        sync_directory(folder_of(to))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "a backup that failed could not be removed");
        }
    }
}

/// A new file for its owner only: members' data is in it.
fn create_new(path: &Path) -> Result<File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    match options.read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::BackupLeftover { file: path.to_owned() })
        }
        Err(error) => Err(StoreError::io(format!("cannot create {}", path.display()))(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// True also for a link that leads nowhere: that name is taken.
fn exists(path: &Path) -> Result<bool, StoreError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(format!("cannot look for {}", path.display()))(error)),
    }
}
