//! The sequence guard: notices when an engine comes back with less than it had.
//!
//! sled, after a torn log, can open as an empty store without a word. A file beside it keeps the number
//! of the last commit known to be durable; a store that opens below it has lost data, and everything
//! stops before anything is sent.

use std::fs::{File, rename};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::StoreError;
use super::folder::sync_directory;
use crate::clock::Monotonic;

/// The number is written after every flush, so that damage to the newest commits shows too; it is synced
/// only so often, because it would double the cost of a flush. After a power cut it is that much older.
const SYNC_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// Open from the first number on that is written, with the time when it was last synced.
    file: Option<(File, Monotonic)>,
    sequence: u64,
}

impl Guard {
    /// Reads the guard of a data folder; a folder without one has nothing to lose.
    pub(super) fn open(folder: &Path) -> Result<Guard, StoreError> {
        let path = folder.join("sequence");
        let number = |bytes: Vec<u8>| std::str::from_utf8(&bytes).ok()?.trim().parse().ok();
        let sequence = match std::fs::read(&path) {
            Ok(bytes) => number(bytes).ok_or_else(|| StoreError::Damaged {
                folder: folder.to_owned(),
                what: format!("{} does not hold a number", path.display()),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(StoreError::io(format!("cannot read {}", path.display()))(error)),
        };
        Ok(Guard { path, last: Mutex::new(Last { file: None, sequence }) })
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

    /// Notes that everything up to `sequence` is durable.
    pub(super) fn durable(&self, sequence: u64) -> Result<(), StoreError> {
        let mut last = self.last.lock().expect("no holder of this lock panics");
        if sequence <= last.sequence {
            return Ok(());
        }
        match &mut last.file {
            Some((file, synced_at)) => {
                self.overwrite(file, sequence)?;
                if synced_at.elapsed() >= SYNC_EVERY {
                    file.sync_data().map_err(StoreError::io(self.writing()))?;
                    *synced_at = Monotonic::now();
                }
            }
            None => last.file = Some((self.create(sequence)?, Monotonic::now())),
        }
        last.sequence = sequence;
        Ok(())
    }

    /// In place, which no crash can tear: it is always as long, and within one sector.
    fn overwrite(&self, file: &mut File, sequence: u64) -> Result<(), StoreError> {
        let text = format!("{sequence:020}");
        file.rewind().and_then(|()| file.write_all(text.as_bytes())).map_err(StoreError::io(self.writing()))
    }

    fn create(&self, sequence: u64) -> Result<File, StoreError> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).map_err(StoreError::io(self.writing()))?;
        self.overwrite(&mut file, sequence)?;
        file.sync_all().map_err(StoreError::io(self.writing()))?;
        rename(&new, &self.path).map_err(StoreError::io(self.writing()))?;
        sync_directory(self.path.parent().expect("the guard is in a folder"))?;
        Ok(file)
    }

    fn writing(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}
