use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{BACKUP_FORMAT, Blocks, Part, Writer};
use super::restore::restore_by_steps;
use super::*;
use crate::store::folder::Folder;
use crate::store::record::encode_u64;
use crate::store::sled::SledStore;
use crate::store::{Batch, Bounds, Epoch, MemoryStore, Stats, decode_restored, get_meta, open};

const CACHE_BYTES: u64 = 16 << 20;
const INCARNATION: [u8; 16] = [7; 16];

type Rows = BTreeMap<Key, Vec<u8>>;
type Op = (u16, Option<u8>);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn backed_up() -> Timestamp {
    at("2026-03-02T12:50:00Z")
}

fn restored() -> Timestamp {
    at("2026-03-03T08:00:00Z")
}

fn back_up(store: &dyn Store, to: &Path) -> Result<BackupSummary, StoreError> {
    backup(store, to, &backed_up)
}

fn restore_to(folder: &Path, backup: &Path) -> Result<RestoreSummary, StoreError> {
    restore(backup, folder, CACHE_BYTES, INCARNATION, restored())
}

/// What a store holds, without what a restore and an opening add.
fn held(store: &dyn Store) -> Rows {
    let mut rows = Rows::new();
    each_row(store, |key, value| {
        rows.insert(key.clone(), value.to_vec());
        Ok(())
    })
    .unwrap();
    rows.remove(&keys::meta(Meta::Restored));
    rows.remove(&keys::meta(Meta::Format));
    rows
}

fn batch(ops: &[Op]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in ops {
        let value = value.map(|value| vec![value; usize::from(value) * 3]);
        batch.set(format!("k{key:04}").into_bytes(), value);
    }
    batch
}

fn sled(folder: &TempDir) -> SledStore {
    SledStore::open(Folder::lock(folder.path()).unwrap(), CACHE_BYTES).unwrap()
}

/// A store in which somebody commits whenever somebody else looks.
#[derive(Debug)]
struct Busy<'a> {
    inner: &'a dyn Store,
    coming: Mutex<Vec<Vec<Op>>>,
    /// What it held when its tee ended.
    at_end: Mutex<Option<Rows>>,
}

impl<'a> Busy<'a> {
    fn new(inner: &'a dyn Store, coming: Vec<Vec<Op>>) -> Busy<'a> {
        Busy { inner, coming: Mutex::new(coming), at_end: Mutex::default() }
    }

    fn go_on(&self) {
        if let Some(ops) = self.coming.lock().unwrap().pop() {
            self.inner.commit(&batch(&ops), Epoch::EMBEDDED).unwrap();
        }
    }
}

impl Store for Busy<'_> {
    fn load(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.go_on();
        self.inner.load(keys)
    }
    fn page(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.go_on();
        let page = self.inner.page(from, to, limit);
        self.go_on();
        page
    }
    fn commit(&self, batch: &Batch, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.commit(batch, epoch)
    }
    fn flush(&self) -> Result<(), StoreError> {
        self.go_on();
        self.inner.flush()?;
        self.go_on();
        Ok(())
    }
    fn tee(&self, to: Option<Tee>) -> Result<(), StoreError> {
        self.go_on();
        let is_end = to.is_none();
        self.inner.tee(to)?;
        if is_end {
            self.at_end.lock().unwrap().get_or_insert_with(|| held(self.inner));
        }
        self.go_on();
        Ok(())
    }
    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Keys enough for several pages, and commits before, between and after all of them.
    #[test]
    fn a_backup_under_load_restores_to_the_state_at_its_end(
        first in proptest::collection::vec((0u16..900, proptest::option::weighted(0.9, any::<u8>())), 0..1_200),
        coming in proptest::collection::vec(
            proptest::collection::vec((0u16..900, proptest::option::of(any::<u8>())), 1..60),
            0..14,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let engines: [Box<dyn Store>; 2] = [Box::new(MemoryStore::new()), Box::new(sled(&folder))];
        for engine in engines {
            let busy = Busy::new(&*engine, coming.clone());
            engine.commit(&batch(&first), Epoch::EMBEDDED).unwrap();
            let place = tempfile::tempdir().unwrap();
            let (file, data) = (place.path().join("backup"), place.path().join("data"));
            let made = back_up(&busy, &file).unwrap();
            let expected = busy.at_end.lock().unwrap().take().unwrap();
            let summary = restore_to(&data, &file).unwrap();
            prop_assert_eq!(summary.backup, made);
            let store = open(&data, CACHE_BYTES).unwrap();
            let found = held(&*store);
            prop_assert_eq!(summary.rows, found.len() as u64 + 2);
            prop_assert!(found == expected, "{:?}", engine);
        }
    }
}

/// Each batch writes one number under keys far apart, so a state between two batches shows.
#[test]
fn a_backup_beside_a_writing_thread_holds_whole_batches() {
    let place = tempfile::tempdir().unwrap();
    let engines: [Box<dyn Store>; 2] = [Box::new(MemoryStore::new()), Box::new(sled(&place))];
    for (number, engine) in engines.into_iter().enumerate() {
        engine
            .commit(&batch(&(0..900).map(|key| (key, Some(1))).collect::<Vec<_>>()), Epoch::EMBEDDED)
            .unwrap();
        let file = place.path().join(format!("backup-{number}"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in (1..=u8::MAX).cycle() {
                    let ops: Vec<Op> = (0..900).step_by(100).map(|key| (key, Some(value))).collect();
                    engine.commit(&batch(&ops), Epoch::EMBEDDED).unwrap();
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
            let made = back_up(&*engine, &file);
            over.store(true, Ordering::SeqCst);
            made.unwrap();
        });
        let data = place.path().join(format!("data-{number}"));
        restore_to(&data, &file).unwrap();
        let rows = held(&*open(&data, CACHE_BYTES).unwrap());
        let written: std::collections::BTreeSet<_> =
            (0..900).step_by(100).map(|key| rows[format!("k{key:04}").as_bytes()].clone()).collect();
        assert_eq!((rows.len(), written.len()), (900, 1), "{engine:?}");
    }
}

/// A small backup with rows and changes, and where it is.
fn small() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    store.commit(&batch(&[(1, Some(1)), (2, Some(2)), (3, Some(3))]), Epoch::EMBEDDED).unwrap();
    let busy = Busy::new(&store, vec![vec![(2, None)], vec![(4, Some(4))]]);
    let file = place.path().join("backup");
    let made = back_up(&busy, &file).unwrap();
    assert!(made.rows >= 3 && made.changes >= 1, "{made:?}");
    (place, file)
}

#[test]
fn a_restored_store_tells_of_it() {
    let (place, file) = small();
    let data = place.path().join("data");
    let summary = restore_to(&data, &file).unwrap();
    let store = open(&data, CACHE_BYTES).unwrap();
    let row = decode_restored(&get_meta(&*store, Meta::Restored).unwrap().unwrap()).unwrap();
    assert_eq!(row, summary.restored);
    assert_eq!(*row.incarnation, INCARNATION);
    assert_eq!(row.backup_ms, backed_up().as_millisecond());
    assert_eq!(row.restored_ms, restored().as_millisecond());
    assert_eq!(get_number(&*store, Meta::Format).unwrap(), Some(u64::from(FORMAT)));
    let sequence = get_number(&*store, Meta::Sequence).unwrap().unwrap();
    let guard: u64 = std::fs::read_to_string(data.join("sequence")).unwrap().trim().parse().unwrap();
    assert_eq!((sequence, sequence), (guard, 1), "the guard is at the new store's own");
    let mut names: Vec<_> =
        std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "sequence", "sled"]);
}

#[test]
fn a_backup_that_was_cut_short_is_refused_at_each_length() {
    let (place, file) = small();
    let whole = std::fs::read(&file).unwrap();
    let cut = place.path().join("cut");
    for length in 0..whole.len() {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let refused = verify_backup(&cut).unwrap_err();
        assert!(matches!(refused, StoreError::BackupDamaged { .. }), "{length}: {refused}");
    }
    std::fs::write(&cut, [whole, vec![b'r']].concat()).unwrap();
    let refused = verify_backup(&cut).unwrap_err();
    assert!(refused.to_string().contains("more after its end"), "{refused}");
}

#[test]
fn a_backup_of_which_one_bit_was_changed_is_refused_and_nothing_written() {
    let (place, file) = small();
    let whole = std::fs::read(&file).unwrap();
    let (changed, data) = (place.path().join("changed"), place.path().join("data"));
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&changed, bytes).unwrap();
        let refused = restore_to(&data, &changed).unwrap_err();
        assert!(matches!(refused, StoreError::BackupDamaged { .. }), "bit {bit}: {refused}");
        assert!(!data.exists(), "bit {bit}");
    }
}

proptest! {
    /// A file that is well formed outside and anything inside is read or refused, and takes no memory.
    #[test]
    fn any_bytes_under_good_checksums_are_read_without_a_panic(
        blocks in proptest::collection::vec(
            (prop_oneof![Just(b'h'), Just(b'r'), Just(b'c'), Just(b't'), any::<u8>()],
             proptest::collection::vec(any::<u8>(), 0..40)),
            0..6,
        ),
        has_header in any::<bool>(),
    ) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let mut writer = Writer::new(create_new(&path).unwrap(), &path);
        if has_header {
            writer.begin(&Header::new(FORMAT)).unwrap();
        }
        for (kind, contents) in blocks {
            writer.write_block(kind, &contents).unwrap();
        }
        prop_assert!(verify_backup(&path).is_err());
    }
}

#[test]
fn a_length_is_not_believed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    std::fs::write(&path, [b"r".as_slice(), &u32::MAX.to_be_bytes()].concat()).unwrap();
    let refused = Blocks::new(File::open(&path).unwrap(), &path).next_block().unwrap_err();
    assert!(refused.to_string().contains("4294967295 bytes"), "{refused}");
}

/// The header, rows in the order given, and a trailer that fits or does not.
fn written(header: &Header, keys: &[&str], counted: u64) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let mut writer = Writer::new(create_new(&path).unwrap(), &path);
    writer.begin(header).unwrap();
    for key in keys {
        writer.record(Part::Rows, key.as_bytes(), Some(b"v")).unwrap();
    }
    writer.end(&Trailer { rows: counted, changes: 0, ended_ms: 0 }).unwrap();
    (place, path)
}

#[test]
fn a_newer_format_is_refused_and_its_version_named() {
    let newer = |format, store_format| Header { format, store_format, written_by: "9.1.2".into() };
    let (place, file) = written(&newer(BACKUP_FORMAT + 1, FORMAT), &[], 0);
    let refused = verify_backup(&file).unwrap_err();
    assert!(matches!(refused, StoreError::BackupNewer { .. }), "{refused}");
    assert!(refused.to_string().contains("9.1.2"), "{refused}");

    let data = place.path().join("data");
    let (_place, file) = written(&newer(BACKUP_FORMAT, FORMAT + 1), &["k"], 1);
    let refused = restore_to(&data, &file).unwrap_err();
    assert!(matches!(refused, StoreError::BackupNewer { .. }), "{refused}");
    assert!(!data.exists());
}

#[test]
fn rows_out_of_order_and_counts_that_do_not_fit_are_refused() {
    for (keys, counted) in [(["ka", "kb"], 1), (["kb", "ka"], 2), (["ka", "ka"], 2)] {
        let (_place, file) = written(&Header::new(FORMAT), &keys, counted);
        let refused = verify_backup(&file).unwrap_err();
        assert!(matches!(refused, StoreError::BackupDamaged { .. }), "{keys:?}: {refused}");
    }
    let (_place, file) = written(&Header::new(FORMAT), &["ka", "kb"], 2);
    assert_eq!(verify_backup(&file).unwrap().rows, 2);
}

#[test]
fn the_format_of_the_records_is_that_of_the_store() {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    batch.put_meta(Meta::Format, encode_u64(u64::from(FORMAT) + 4));
    store.commit(&batch, Epoch::EMBEDDED).unwrap();
    assert_eq!(back_up(&store, &place.path().join("backup")).unwrap().store_format, FORMAT + 4);
}

#[test]
fn a_file_is_never_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let file = place.path().join("backup");
    std::fs::write(&file, "precious").unwrap();
    let refused = back_up(&store, &file).unwrap_err();
    assert!(matches!(refused, StoreError::BackupExists { .. }), "{refused}");

    // one that comes while the backup is written
    let late = place.path().join("late");
    let refused = backup(&store, &late, &|| {
        std::fs::write(&late, "precious").unwrap();
        backed_up()
    });
    assert!(matches!(refused, Err(StoreError::BackupExists { .. })), "{refused:?}");

    let other = place.path().join("other");
    std::fs::write(beside(&other, ".partial"), "precious").unwrap();
    let refused = back_up(&store, &other).unwrap_err();
    assert!(matches!(refused, StoreError::BackupLeftover { .. }), "{refused}");
    std::fs::write(beside(&other, ".spool"), "precious").unwrap();
    let refused = back_up(&store, &other).unwrap_err();
    assert!(matches!(refused, StoreError::BackupLeftover { .. }), "{refused}");

    for kept in ["backup", "late", "other.partial", "other.spool"] {
        assert_eq!(std::fs::read_to_string(place.path().join(kept)).unwrap(), "precious", "{kept}");
    }
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 4, "nothing else is left");
    back_up(&store, &place.path().join("free")).expect("those that were refused hold nothing up");
}

#[test]
fn a_second_backup_at_once_is_refused_and_does_the_first_no_harm() {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    let during = || {
        let refused = back_up(&store, &second).unwrap_err();
        assert!(matches!(&refused, StoreError::BackupRunning { file } if *file == first), "{refused}");
        store.commit(&batch(&[(1, Some(1))]), Epoch::EMBEDDED).unwrap();
        backed_up()
    };
    assert_eq!(backup(&store, &first, &during).unwrap().changes, 1);
    assert_eq!(back_up(&store, &second).unwrap().rows, 1, "afterwards it is not");
}

#[test]
fn a_backup_that_fails_leaves_nothing_and_the_store_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let file = place.path().join("backup");
    let failing = || {
        store.set_failing(true);
        backed_up()
    };
    backup(&store, &file, &failing).unwrap_err();
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    store.set_failing(false);
    back_up(&store, &file).unwrap();
}

#[test]
fn a_backup_can_be_read_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_place, file) = small();
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_store_is_never_restored_over() {
    let (place, file) = small();
    let data = place.path().join("data");
    drop(open(&data, CACHE_BYTES).unwrap());
    let refused = restore_to(&data, &file).unwrap_err();
    assert!(matches!(refused, StoreError::RestoreOver { .. }), "{refused}");
    std::fs::remove_dir_all(data.join("sled")).unwrap();
    std::fs::write(data.join("sequence"), "5").unwrap();
    let refused = restore_to(&data, &file).unwrap_err();
    assert!(matches!(refused, StoreError::RestoreOver { .. }), "a guard alone tells of a store: {refused}");

    let busy = place.path().join("busy");
    let _held = Folder::lock(&busy).unwrap();
    let refused = restore_to(&busy, &file).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
}

/// A backup of several restore batches, cut short at every step and then restored for good.
#[test]
fn a_restore_that_was_cut_short_is_not_taken_for_whole() {
    let place = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    store.commit(&batch(&(0..800).map(|key| (key, Some(1))).collect::<Vec<_>>()), Epoch::EMBEDDED).unwrap();
    let file = place.path().join("backup");
    back_up(&*store, &file).unwrap();
    let expected = held(&*store);
    let mut outcomes = String::new();
    for stop in 1.. {
        let data = place.path().join(format!("data-{stop}"));
        let mut steps = 0;
        let cut = restore_by_steps(&file, &data, CACHE_BYTES, INCARNATION, restored(), &mut || {
            steps += 1;
            if steps == stop { Err(StoreError::Engine("killed".into())) } else { Ok(()) }
        });
        if cut.is_ok() {
            break;
        }
        match open(&data, CACHE_BYTES) {
            Err(error) => {
                assert!(matches!(error, StoreError::RestoreUnfinished { .. }), "step {stop}: {error}");
                restore_to(&data, &file).unwrap();
                assert_eq!(held(&*open(&data, CACHE_BYTES).unwrap()), expected, "step {stop}");
                outcomes.push('-');
            }
            Ok(whole) => {
                assert_eq!(held(&*whole), expected, "step {stop}");
                assert!(get_meta(&*whole, Meta::Restored).unwrap().is_some(), "step {stop}");
                outcomes.push('+');
            }
        }
    }
    // the folder; two full batches and the last; flushed; checked; then the store is there
    assert_eq!(outcomes, "------++");
}

#[test]
fn a_commit_that_fails_gives_the_backup_up() {
    let place = tempfile::tempdir().unwrap();
    let tap = Tap::default();
    let tee = Tee::create(&place.path().join("backup")).unwrap();
    tap.set(Some(tee.clone())).unwrap();
    let failed = || Err(StoreError::Engine("half of it was written".into()));
    tap.pass(&batch(&[(1, Some(1))]), failed).unwrap_err();
    tap.pass(&batch(&[(1, Some(1))]), || Ok(())).unwrap();
    let refused = tee.end().unwrap_err();
    assert!(matches!(refused, StoreError::BackupGivenUp { .. }), "{refused}");
}

/// Restores, with `meddle` called at the steps by their numbers.
fn restore_meddled(data: &Path, file: &Path, mut meddle: impl FnMut(u32)) -> StoreError {
    let mut steps = 0;
    let restored = restore_by_steps(file, data, CACHE_BYTES, INCARNATION, restored(), &mut || {
        steps += 1;
        meddle(steps);
        Ok(())
    });
    assert!(matches!(open(data, CACHE_BYTES), Err(StoreError::RestoreUnfinished { .. })));
    restored.unwrap_err()
}

#[test]
fn what_the_disk_gives_back_must_be_what_the_backup_holds() {
    let (place, file) = small();
    let data = place.path().join("data");
    // one batch: the folder is made, the batch is committed, the store is flushed and closed
    for meddling in [[(1, Some(9))].as_slice(), &[(1, None)], &[(9, Some(1))]] {
        let refused = restore_meddled(&data, &file, |step| {
            if step == 3 {
                let held = Folder::lock(&data.join("restoring")).unwrap();
                let store = SledStore::open(held, CACHE_BYTES).unwrap();
                store.commit(&batch(meddling), Epoch::EMBEDDED).unwrap();
                store.flush().unwrap();
            }
        });
        assert!(matches!(refused, StoreError::RestoreDiffers { .. }), "{meddling:?}: {refused}");
    }
}

#[test]
fn a_backup_that_is_changed_while_it_is_restored_is_refused() {
    let ((place, file), (_other, good)) = (small(), written(&Header::new(FORMAT), &["k"], 1));
    let refused = restore_meddled(&place.path().join("data"), &file, |step| {
        if step == 1 {
            std::fs::copy(&good, &file).unwrap();
        }
    });
    assert!(matches!(refused, StoreError::BackupDamaged { .. }), "{refused}");
}

#[test]
fn no_tee_is_set_or_taken_in_the_midst_of_a_commit() {
    let tap = Tap::default();
    let committing = || {
        assert!(tap.is_passing(), "whoever sets a tee waits");
        Ok(())
    };
    tap.pass(&batch(&[(1, Some(1))]), committing).unwrap();
    assert!(!tap.is_passing());
}
