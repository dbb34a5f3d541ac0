//! sled behind the [`Store`] trait, made safe against power loss.
//!
//! What it takes, as measured with simulated power cuts: sled's own `flush` ends in `sync_file_range`,
//! which keeps nothing over a cut, so its data file is synced after each flush through a handle of ours;
//! the files and folders it creates are synced once; a [`Guard`] notices a wipe; values stay below the
//! size at which sled moves them into files of their own that nobody syncs.

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use super::backup::{Tap, Tee};
use super::folder::{Folder, sync_directory};
use super::guard::Guard;
use super::{Batch, Bounds, Epoch, Key, MAX_PAGE, Meta, Stats, Store, StoreError, keys, record};

/// sled moves values over a quarter of its 512 KiB segments out of its log (source: sled 0.34.7,
/// `MAX_INLINE_THRESHOLD`); ours stay far below.
const MAX_VALUE_BYTES: usize = 96 * 1024;

/// Key operations of a batch, found by measuring: 2 to 3 ms, and faster in total than larger ones.
const BATCH_OPS: usize = 300;

/// sled rolls its log and frees segments this often; correctness does not lean on it.
const BACKGROUND_MS: u64 = 500;

/// After a batch, the collector of old pages advances once per pin, and a batch is one pin: without a
/// nudge per so many operations, loading a million members leaks gigabytes.
const OPS_PER_NUDGE: usize = 20;

/// sled's threads hold its lock for a moment after its last handle is gone: at most a second is waited.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(20);

pub(super) struct SledStore {
    db: ::sled::Db,
    /// sled's data file, for syncing.
    data: File,
    guard: Guard,
    sequence: AtomicU64,
    epoch: AtomicU64,
    stats: Mutex<Stats>,
    tap: Tap,
    /// False once a flush has failed. The kernel tells of a failed sync once, and whoever flushes may not
    /// be the one who goes on: without this, the daemon would take the next flush for a good one.
    is_sound: Mutex<bool>,
    path: PathBuf,
    _folder: Folder,
}

/// sled's own would print the whole database.
impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SledStore {
    pub(super) fn open(folder: Folder, cache_bytes: u64) -> Result<SledStore, StoreError> {
        SledStore::open_with(folder, cache_bytes, Some(BACKGROUND_MS))
    }

    /// Opens it with the work that sled does in the background every so often, or without.
    pub(super) fn open_with(
        folder: Folder,
        cache_bytes: u64,
        background_ms: Option<u64>,
    ) -> Result<SledStore, StoreError> {
        let path = folder.path().join("sled");
        let guard = Guard::open(folder.path())?;
        let (db, sequence) = open_db(&path, cache_bytes, background_ms)?;
        let data_path = path.join("db");
        let data =
            File::open(&data_path).map_err(StoreError::io(format!("cannot open {}", data_path.display())))?;
        sync_creation(&path, folder.path())?;
        let sequence = sequence.map_or(Ok(0), |bytes| record::decode_u64(&bytes))?;
        guard.check(folder.path(), sequence)?;
        Ok(SledStore {
            db,
            data,
            guard,
            sequence: AtomicU64::new(sequence),
            epoch: AtomicU64::new(0),
            stats: Mutex::default(),
            tap: Tap::default(),
            is_sound: Mutex::new(true),
            path,
            _folder: folder,
        })
    }
}

/// Opens sled and reads the number of its last commit; its own errors and panics about damaged files
/// become one message.
fn open_db(
    path: &Path,
    cache_bytes: u64,
    background_ms: Option<u64>,
) -> Result<(::sled::Db, Option<::sled::IVec>), StoreError> {
    remove_unfinished(path)?;
    let config = ::sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(background_ms);
    let damaged = |what: &str| StoreError::Damaged { folder: path.to_owned(), what: what.to_owned() };
    // sled asserts on what it reads from disk; a damaged file must not look like a bug of ours
    let open = || -> ::sled::Result<_> {
        let db = open_after_threads(&config)?;
        let sequence = db.get(keys::meta(Meta::Sequence))?;
        Ok((db, sequence))
    };
    match quietly(open) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(::sled::Error::Io(cause))) if is_of_the_system(&cause) => Err(StoreError::Io {
            doing: format!("cannot open the store in {}", path.display()),
            cause: plain(cause),
        }),
        Ok(Err(::sled::Error::Corruption { .. })) => Err(damaged("a checksum does not hold")),
        Ok(Err(error)) => Err(damaged(&error.to_string())),
        Err(panic) => Err(damaged(&panic)),
    }
}

/// Opens sled when the threads of one that this process has just closed are gone. Nobody else can have
/// its lock: the data folder's is ours.
fn open_after_threads(config: &::sled::Config) -> ::sled::Result<::sled::Db> {
    // told only by the text; source: sled 0.34.7, `Config::try_lock`
    let is_locked = |error: &::sled::Error| error.to_string().contains("could not acquire lock");
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(error) if is_locked(&error) => std::thread::sleep(LOCK_WAIT),
            opened => return opened,
        }
    }
    config.open()
}

/// What sled had not written to its end when the process or the power went. It reads such a file as a
/// summary of its log all the same and calls it corrupt; what it was to replace is still there.
fn remove_unfinished(path: &Path) -> Result<(), StoreError> {
    let reading = || format!("cannot read the folder {}", path.display());
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(StoreError::io(reading()))?,
    };
    for entry in entries {
        let file = entry.map_err(StoreError::io(reading()))?.path();
        if file.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(&file)
                .map_err(StoreError::io(format!("cannot remove {}", file.display())))?;
        }
    }
    Ok(())
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and catches its panic, whose message is given back instead of a trace on stderr. The same
/// goes for panics on sled's own threads, whose end `work` is told of.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let of_sled = std::thread::current().name().is_some_and(|name| name.starts_with("sled-io"));
            match QUIET.get() || of_sled {
                true => tracing::debug!(%panic, "sled has panicked"),
                false => before(panic),
            }
        }));
    });
    QUIET.set(true);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    QUIET.set(false);
    done.map_err(|panic| match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(message), _) => message.clone(),
        (_, Some(message)) => (*message).to_owned(),
        _ => "sled could not read its files".into(),
    })
}

/// Makes the files and folders that a first opening creates survive a power cut.
fn sync_creation(path: &Path, parent: &Path) -> Result<(), StoreError> {
    for file in ["conf", "db"] {
        let file = path.join(file);
        File::open(&file)
            .and_then(|file| file.sync_all())
            .map_err(StoreError::io(format!("cannot sync {}", file.display())))?;
    }
    sync_directory(path)?;
    sync_directory(parent)?;
    match parent.parent() {
        Some(above) if !above.as_os_str().is_empty() => sync_directory(above),
        _ => Ok(()),
    }
}

impl SledStore {
    fn failed(&self, error: ::sled::Error) -> StoreError {
        match error {
            ::sled::Error::Io(cause) => StoreError::Io {
                doing: format!("the store in {} failed", self.path.display()),
                cause: plain(cause),
            },
            ::sled::Error::Corruption { .. } => StoreError::Engine(format!(
                "a checksum does not hold, the files in {} are damaged; \
                 stop the daemon, keep a copy of the folder, restore a backup, and start again",
                self.path.display()
            )),
            other => StoreError::Engine(other.to_string()),
        }
    }
}

/// False for what sled says of bytes that it has read.
fn is_of_the_system(cause: &std::io::Error) -> bool {
    let of_sled =
        [ErrorKind::Other, ErrorKind::InvalidData, ErrorKind::InvalidInput, ErrorKind::UnexpectedEof];
    cause.raw_os_error().is_some() || !of_sled.contains(&cause.kind())
}

/// sled hands an error of the system on as the text that is for developers, with its kind.
fn plain(cause: std::io::Error) -> std::io::Error {
    match (cause.raw_os_error(), cause.kind()) {
        (Some(_), _) | (None, ErrorKind::Other) => cause,
        (None, kind) => kind.into(),
    }
}

impl Store for SledStore {
    fn load(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter()
            .map(|key| Ok(self.db.get(key).map_err(|error| self.failed(error))?.map(|value| value.to_vec())))
            .collect()
    }

    fn page(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.db.range(from.as_slice()..to.as_slice()).take(limit.min(MAX_PAGE));
        rows.map(|row| {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            Ok((key.to_vec(), value.to_vec()))
        })
        .collect()
    }

    fn commit(&self, batch: &Batch, epoch: Epoch) -> Result<(), StoreError> {
        if epoch.0 < self.epoch.fetch_max(epoch.0, Ordering::SeqCst) {
            return Err(StoreError::Fenced);
        }
        super::batch_fits(batch, self.bounds())?;
        let mut writes = ::sled::Batch::default();
        for (key, value) in batch.ops() {
            match value {
                Some(value) => writes.insert(key.as_slice(), value.as_slice()),
                None => writes.remove(key.as_slice()),
            }
        }
        self.tap.pass(batch, || {
            let sequence = self.sequence.load(Ordering::SeqCst) + 1;
            writes.insert(keys::meta(Meta::Sequence), record::encode_u64(sequence));
            self.db.apply_batch(writes).map_err(|error| self.failed(error))?;
            self.sequence.store(sequence, Ordering::SeqCst);
            Ok(())
        })?;
        for _ in 0..batch.len().div_ceil(OPS_PER_NUDGE) {
            crossbeam_epoch::pin().flush();
        }
        super::count(&mut self.stats.lock().expect("no holder of this lock panics"), batch);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut is_sound = self.is_sound.lock().expect("no holder of this lock panics");
        if !*is_sound {
            return Err(StoreError::Engine("an earlier flush failed".into()));
        }
        let sequence = self.sequence.load(Ordering::SeqCst);
        let flushed = self.db.flush().map_err(|error| self.failed(error));
        let synced =
            flushed.and_then(|_| self.data.sync_data().map_err(StoreError::io("cannot sync the store")));
        *is_sound = synced.is_ok();
        synced?;
        drop(is_sound);
        self.stats.lock().expect("no holder of this lock panics").flushes += 1;
        self.guard.durable(sequence)
    }

    fn tee(&self, to: Option<Tee>) -> Result<(), StoreError> {
        self.tap.set(to)
    }

    fn bounds(&self) -> Bounds {
        Bounds { batch_ops: BATCH_OPS, value_bytes: MAX_VALUE_BYTES }
    }

    fn stats(&self) -> Stats {
        let counted = self.stats.lock().expect("no holder of this lock panics").clone();
        let disk_bytes = std::fs::metadata(self.path.join("db")).map_or(0, |file| file.len());
        Stats { engine: "sled", disk_bytes, ..counted }
    }
}
