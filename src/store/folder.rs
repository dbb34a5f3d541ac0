//! The data folder: one process at a time, and creations that survive a power cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// A data folder that this process holds. The lock ends with the process, however it ends.
///
/// The lock is a file of ours beside the engine's folder, so that the engine's folder can be swapped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it, else what the file system says.
    pub fn lock(path: &Path) -> Result<Folder, StoreError> {
        let creating = || format!("cannot create the data folder {}", path.display());
        std::fs::create_dir_all(path).map_err(StoreError::io(creating()))?;
        let lock_path = path.join("lock");
        let opening = || format!("cannot open {}", lock_path.display());
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(StoreError::io(opening()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // who holds it is only for the message; that it is held is what counts
                let pid = lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                return Err(StoreError::Locked { folder: path.to_owned(), holder: pid });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(opening())(error)),
        }
        let pid = std::process::id().to_string();
        lock.rewind()
            .and_then(|()| lock.set_len(0))
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .map_err(StoreError::io(format!("cannot write {}", lock_path.display())))?;
        Ok(Folder { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes what was created in a directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io(format!("cannot sync the folder {}", path.display())))
}
