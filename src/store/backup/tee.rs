//! What is committed while a backup runs, kept in a file until the backup takes it over.

use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::format::{Blocks, Part, Record, Writer};
use crate::store::{Batch, StoreError};

/// The most that is kept on disk. A store that changes more than this in the minutes of a copy is busier
/// than any that was measured, by a factor of ten; the bound is there so that a stuck backup ends before
/// the disk is full of it.
const MAX_SPOOL_BYTES: u64 = 8 << 30;

/// Takes a copy of each batch that a store commits; see [`crate::store::Store::tee`].
///
/// In memory is one block of the backup's format, about 64 KB; the rest is in a file.
#[derive(Clone, Debug)]
pub struct Tee(Arc<Mutex<Spool>>);

#[derive(Debug)]
struct Spool {
    /// The backup it is for.
    backup: PathBuf,
    path: PathBuf,
    /// None once it has ended.
    writer: Option<Writer>,
    changes: u64,
    failure: Option<StoreError>,
}

impl Tee {
    /// One for a backup to the file `backup`, with its own file beside that.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(in crate::store) fn create(backup: &Path) -> Result<Tee, StoreError> {
        let path = super::beside(backup, ".spool");
        let file = super::create_new(&path)?;
        // without a name it goes with its last handle, however the process ends
        std::fs::remove_file(&path)
            .map_err(StoreError::io(format!("cannot take the name from {}", path.display())))?;
        let writer = Some(Writer::new(file, &path));
        let backup = backup.to_owned();
        Ok(Tee(Arc::new(Mutex::new(Spool { backup, path, writer, changes: 0, failure: None }))))
    }

    /// Ends it; what it has kept.
    ///
    /// # Errors
    /// Not all could be kept.
    pub(in crate::store) fn end(&self) -> Result<Changes, StoreError> {
        let mut spool = self.0.lock().expect("no holder of this lock panics");
        if let Some(failure) = spool.failure.take() {
            return Err(failure);
        }
        let mut writer = spool.writer.take().expect("a tee ends once");
        writer.end_block()?;
        let mut file = writer.into_file();
        file.rewind().map_err(StoreError::io(format!("cannot read {}", spool.path.display())))?;
        Ok(Changes { blocks: Blocks::new(file, &spool.path), count: spool.changes })
    }

    /// Keeps a batch. What goes wrong is the backup's trouble and not the commit's.
    fn keep(&self, batch: &Batch) {
        let mut spool = self.0.lock().expect("no holder of this lock panics");
        if spool.failure.is_none() {
            spool.failure = spool.write(batch).err();
        }
    }

    /// Gives the backup up: nobody knows what a commit that failed has left.
    fn spoil(&self) {
        let mut spool = self.0.lock().expect("no holder of this lock panics");
        let given_up = spool.given_up("the store failed in a commit");
        spool.failure.get_or_insert(given_up);
    }

    fn backup(&self) -> PathBuf {
        self.0.lock().expect("no holder of this lock panics").backup.clone()
    }
}

impl Spool {
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for (key, value) in batch.ops() {
            writer.record(Part::Changes, key, value.map(Vec::as_slice))?;
            self.changes += 1;
        }
        if writer.size_bytes() > MAX_SPOOL_BYTES {
            return Err(self.given_up("more was committed while it ran than it can keep"));
        }
        Ok(())
    }

    fn given_up(&self, why: &str) -> StoreError {
        StoreError::BackupGivenUp { file: self.backup.clone(), why: why.to_owned() }
    }
}

/// What a tee has kept, in the order of the commits.
#[derive(Debug)]
pub(in crate::store) struct Changes {
    blocks: Blocks,
    count: u64,
}

impl Changes {
    /// How many puts and deletions there are in all.
    pub(in crate::store) fn count(&self) -> u64 {
        self.count
    }

    pub(in crate::store) fn next(&mut self) -> Result<Option<Record>, StoreError> {
        loop {
            if let Some(record) = self.blocks.next_record()? {
                return Ok(Some(record));
            }
            if self.blocks.next_block()?.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Where an engine's commits pass a tee, if there is one.
#[derive(Debug, Default)]
pub(in crate::store) struct Tap(Mutex<Option<Tee>>);

impl Tap {
    /// # Errors
    /// [`StoreError::BackupRunning`] if there is a tee already.
    pub(in crate::store) fn set(&self, to: Option<Tee>) -> Result<(), StoreError> {
        let mut tee = self.0.lock().expect(COMMITS);
        if let (Some(running), Some(_)) = (&*tee, &to) {
            return Err(StoreError::BackupRunning { file: running.backup() });
        }
        *tee = to;
        Ok(())
    }

    /// Runs what makes a batch visible, and gives the tee what has become so, in the same order. A tee
    /// is set before or after the whole of it.
    pub(in crate::store) fn pass(
        &self,
        batch: &Batch,
        commit: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let tee = self.0.lock().expect(COMMITS);
        let committed = commit();
        match (&*tee, &committed) {
            (Some(tee), Ok(())) => tee.keep(batch),
            (Some(tee), Err(_)) => tee.spoil(),
            (None, _) => {}
        }
        committed
    }

    #[cfg(test)]
    pub(super) fn is_passing(&self) -> bool {
        self.0.try_lock().is_err()
    }
}

const COMMITS: &str = "a store in which a commit has panicked is not used any more";
