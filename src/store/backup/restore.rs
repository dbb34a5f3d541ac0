//! A backup made into the store of an empty data folder.
//!
//! All is written into a folder of its own within the data folder and checked there; one rename then
//! makes it the store. Until then [`check_finished`] keeps the daemon from starting in the data folder,
//! where it would otherwise find nothing and greet every member anew.

use std::fs::{File, rename};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use sha2::{Digest, Sha256};

use super::format::Contents;
use super::{BackupSummary, each_row, exists, folder_of, verify_backup};
use crate::store::folder::{Folder, sync_directory};
use crate::store::record::{RestoredRow, encode_restored, encode_u64};
use crate::store::sled::SledStore;
use crate::store::{Batch, Epoch, FORMAT, Key, Meta, Store, StoreError, keys};

/// The folder of a restore that has not ended.
const RESTORING: &str = "restoring";

/// What an embedded store consists of: the engine's folder, which makes it one, and the guard's file.
const STORE: &str = "sled";
const GUARD: &str = "sequence";

/// A batch is committed at this size, or before it at the engine's own bound of operations. It is memory
/// that is held, and a few milliseconds of the engine.
const BATCH_BYTES: usize = 1024 * 1024;

/// What a restore has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreSummary {
    pub backup: BackupSummary,
    /// Rows that the store now holds.
    pub rows: u64,
    /// What the store now tells of it, under [`Meta::Restored`].
    pub restored: RestoredRow,
}

/// Makes the embedded store of a data folder that has none from a backup, and notes in it that it was
/// restored: `incarnation` tells it from every other store that the same backup became.
///
/// The whole backup is checked before anything is written, and the whole store before it is one.
///
/// # Errors
/// [`StoreError::RestoreOver`] if the folder has a store, [`StoreError::BackupDamaged`] and
/// [`StoreError::BackupNewer`] for the file, [`StoreError::RestoreDiffers`] if the disk gave back something
/// else; else what failed. The folder then has no store, and restoring can be tried again.
pub fn restore(
    backup: &Path,
    folder: &Path,
    cache_bytes: u64,
    incarnation: [u8; 16],
    now: Timestamp,
) -> Result<RestoreSummary, StoreError> {
    restore_by_steps(backup, folder, cache_bytes, incarnation, now, &mut || Ok(()))
}

/// As [`restore`]; `step` is called wherever a crash would leave something else, and an error of it ends
/// everything there and then, as a crash would.
pub(super) fn restore_by_steps(
    backup: &Path,
    folder: &Path,
    cache_bytes: u64,
    incarnation: [u8; 16],
    now: Timestamp,
    step: &mut dyn FnMut() -> Result<(), StoreError>,
) -> Result<RestoreSummary, StoreError> {
    refuse_a_store(folder, backup)?;
    let verified = verify_backup(backup)?;
    if verified.store_format > FORMAT {
        let (file, written_by) = (backup.to_owned(), verified.written_by);
        return Err(StoreError::BackupNewer { file, written_by });
    }
    let restored = RestoredRow {
        incarnation: ByteArray::from(incarnation),
        backup_ms: verified.ended.as_millisecond(),
        restored_ms: now.as_millisecond(),
        released: None,
    };
    // held until the end, so that nobody starts in it
    let _held = Folder::lock(folder)?;
    refuse_a_store(folder, backup)?;
    let restoring = folder.join(RESTORING);
    clear(&restoring)?;
    step()?;
    let mut contents = Contents::open(backup)?;
    let written = write(&mut contents, &restoring, cache_bytes, &restored, step)?;
    if contents.summary()? != verified {
        let what = "it was changed while it was read".into();
        return Err(StoreError::BackupDamaged { file: backup.to_owned(), what });
    }
    step()?;
    // read from the disk, as the next process will
    if tally(&SledStore::open(Folder::lock(&restoring)?, cache_bytes)?)? != written {
        return Err(StoreError::RestoreDiffers { backup: backup.to_owned(), folder: restoring });
    }
    sync_all_in(&restoring.join(STORE))?;
    step()?;
    // first what makes it a store, then its guard: a guard alone would say that a store was lost
    move_out(&restoring, folder, STORE)?;
    step()?;
    move_out(&restoring, folder, GUARD)?;
    step()?;
    remove(&restoring)?;
    sync_directory(folder)?;
    sync_directory(folder_of(folder))?;
    Ok(RestoreSummary { backup: verified, rows: written.rows, restored })
}

/// Refuses a folder in which a restore was cut short.
///
/// # Errors
/// [`StoreError::RestoreUnfinished`].
pub(in crate::store) fn check_finished(folder: &Path) -> Result<(), StoreError> {
    let leftover = folder.join(RESTORING);
    if exists(&leftover)? && !exists(&folder.join(STORE))? {
        return Err(StoreError::RestoreUnfinished { folder: folder.to_owned(), leftover });
    }
    Ok(())
}

fn refuse_a_store(folder: &Path, backup: &Path) -> Result<(), StoreError> {
    if exists(&folder.join(STORE))? || exists(&folder.join(GUARD))? {
        let (folder, backup) = (folder.to_owned(), backup.to_owned());
        return Err(StoreError::RestoreOver { folder, backup });
    }
    Ok(())
}

/// Makes the folder, or empties that of an earlier try, which stays: without it the data folder would
/// for a moment look as if nothing had ever been tried.
fn clear(restoring: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(restoring)
        .map_err(StoreError::io(format!("cannot create {}", restoring.display())))?;
    sync_directory(folder_of(restoring))?;
    remove(&restoring.join(STORE))?;
    let guard = restoring.join(GUARD);
    match std::fs::remove_file(&guard) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("cannot remove {}", guard.display()))(error))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("cannot remove {}", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Writes the contents of a backup into a fresh store and closes it; what it should now hold.
fn write(
    contents: &mut Contents,
    restoring: &Path,
    cache_bytes: u64,
    restored: &RestoredRow,
    step: &mut dyn FnMut() -> Result<(), StoreError>,
) -> Result<Tally, StoreError> {
    let store = SledStore::open(Folder::lock(restoring)?, cache_bytes)?;
    let max_ops = store.bounds().batch_ops;
    let (mut batch, mut batch_bytes) = (Batch::default(), 0);
    let mut tally = Tally::default();
    let is_format = keys::meta(Meta::Format);
    let mut has_format = false;
    while let Some((key, value)) = contents.next()? {
        has_format |= key == is_format;
        batch_bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        batch.set(key, value);
        if batch.len() >= max_ops || batch_bytes >= BATCH_BYTES {
            commit(&store, &batch, &mut tally)?;
            (batch, batch_bytes) = (Batch::default(), 0);
            step()?;
        }
    }
    if !has_format {
        batch.put_meta(Meta::Format, encode_u64(u64::from(contents.store_format())));
    }
    batch.put_meta(Meta::Restored, encode_restored(restored));
    commit(&store, &batch, &mut tally)?;
    step()?;
    store.flush()?;
    Ok(tally)
}

/// Commits a batch and reckons with what it replaces.
fn commit(store: &dyn Store, batch: &Batch, tally: &mut Tally) -> Result<(), StoreError> {
    let keys: Vec<Key> = batch.ops().map(|(key, _)| key.clone()).collect();
    let before = store.load(&keys)?;
    store.commit(batch, Epoch::EMBEDDED)?;
    for ((key, after), before) in batch.ops().zip(before) {
        if let Some(before) = before {
            tally.remove(key, &before);
        }
        if let Some(after) = after {
            tally.add(key, after);
        }
    }
    Ok(())
}

/// How many rows there are, and a sum of their digests, which does not depend on their order and can be
/// kept up as they come and go. It finds accidents; nobody is taken for an enemy here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: [u64; 4],
}

impl Tally {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        let digest = digest(key, value);
        self.sum = std::array::from_fn(|lane| self.sum[lane].wrapping_add(digest[lane]));
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        let digest = digest(key, value);
        self.sum = std::array::from_fn(|lane| self.sum[lane].wrapping_sub(digest[lane]));
    }
}

fn digest(key: &[u8], value: &[u8]) -> [u64; 4] {
    let length = (key.len() as u64).to_be_bytes();
    let digest = Sha256::new().chain_update(length).chain_update(key).chain_update(value).finalize();
    std::array::from_fn(|lane| {
        let bytes = digest[lane * 8..][..8].try_into().expect("a digest is four times eight bytes");
        u64::from_be_bytes(bytes)
    })
}

fn tally(store: &dyn Store) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    each_row(store, |key, value| {
        tally.add(key, value);
        Ok(())
    })?;
    Ok(tally)
}

/// Makes each file and folder below a folder survive a power cut, also those that the engine never syncs.
fn sync_all_in(folder: &Path) -> Result<(), StoreError> {
    let syncing = |path: &Path| StoreError::io(format!("cannot sync {}", path.display()));
    for entry in std::fs::read_dir(folder).map_err(syncing(folder))? {
        let path: PathBuf = entry.map_err(syncing(folder))?.path();
        if path.is_dir() {
            sync_all_in(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(syncing(&path))?;
        }
    }
    sync_directory(folder)
}

/// Moves one thing from the folder of the restore into the data folder, for good.
fn move_out(restoring: &Path, folder: &Path, name: &str) -> Result<(), StoreError> {
    let (from, to) = (restoring.join(name), folder.join(name));
    rename(&from, &to).map_err(StoreError::io(format!(
        "cannot rename {} to {}",
        from.display(),
        to.display()
    )))?;
    sync_directory(restoring)?;
    sync_directory(folder)
}
