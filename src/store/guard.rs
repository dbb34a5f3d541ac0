//! The sequence guard: notices when an engine comes back with less than it had.
//!
//! sled, after a torn log, can open as an empty store without a word. A file beside it keeps the number
//! of the last commit known to be durable; a store that opens below it has lost data, and everything
//! stops before anything is sent.

use std::fs::{File, rename};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::StoreError;
use super::folder::sync_directory;
use crate::clock::Monotonic;

/// It is there to catch a wipe, not to count: it need not follow every commit.
const WRITE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    written_at: Option<Monotonic>,
    sequence: u64,
}

impl Guard {
    /// Reads the guard of a data folder; a folder without one has nothing to lose.
    pub(super) fn open(folder: &Path) -> Result<Guard, StoreError> {
        let path = folder.join("sequence");
        let sequence = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| StoreError::Damaged {
                folder: folder.to_owned(),
                what: format!("{} does not hold a number", path.display()),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(StoreError::io(format!("cannot read {}", path.display()))(error)),
        };
        Ok(Guard { path, last: Mutex::new(Last { written_at: None, sequence }) })
    }

    /// # Errors
    /// [`StoreError::Lost`] if the store is behind what was durable.
    pub(super) fn check(&self, folder: &Path, found: u64) -> Result<(), StoreError> {
        let expected = self.last.lock().expect("no holder of this lock panics").sequence;
        if found < expected {
            let (folder, guard) = (folder.to_owned(), self.path.clone());
            return Err(StoreError::Lost { folder, guard, expected, found });
        }
        Ok(())
    }

    /// Notes that everything up to `sequence` is durable; now and then it is written down.
    pub(super) fn durable(&self, sequence: u64) -> Result<(), StoreError> {
        let mut last = self.last.lock().expect("no holder of this lock panics");
        if sequence <= last.sequence || last.written_at.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return Ok(());
        }
        self.write(sequence)?;
        *last = Last { written_at: Some(Monotonic::now()), sequence };
        Ok(())
    }

    fn write(&self, sequence: u64) -> Result<(), StoreError> {
        let new = self.path.with_extension("new");
        let writing = || format!("cannot write {}", self.path.display());
        let mut file = File::create(&new).map_err(StoreError::io(writing()))?;
        file.write_all(sequence.to_string().as_bytes()).map_err(StoreError::io(writing()))?;
        file.sync_all().map_err(StoreError::io(writing()))?;
        rename(&new, &self.path).map_err(StoreError::io(writing()))?;
        sync_directory(self.path.parent().expect("the guard is in a folder"))
    }
}
