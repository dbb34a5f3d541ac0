//! The [`Store`] trait, its engines, and everything that is known of keys, tables and stored records.
//!
//! A store keeps plain keys and values in one ordered space. It commits a batch whole or not at all, and
//! says when what it has committed would survive a power cut. Nothing outside this module knows which
//! engine it is, how a key looks or how a record is encoded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{DeliveryId, Happening, MemberFile, MemberId};

mod backup;
mod batch;
mod folder;
mod guard;
mod keys;
mod memory;
mod record;
mod sled;

#[cfg(test)]
mod conformance;

pub use backup::{BackupSummary, RestoreSummary, Tee, backup, restore, verify_backup};
pub use batch::{Batch, Meta};
pub use folder::Folder;
pub use keys::{DueKey, Key};
pub use memory::MemoryStore;
pub use record::{
    ClockRow, Counted, Counters, OutboxRow, RestoredRow, StoredBody, StoredDelivery, StoredMulticast,
    StoredParcel, SweepRow, TickRow, UnknownRow, decode_clock, decode_ids, decode_restored, decode_sweep,
    decode_ticks, encode_clock, encode_ids, encode_member, encode_restored, encode_sweep, encode_ticks,
    parcel_bytes,
};

/// The newest format of stored records that this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// The most rows that one [`Store::page`] gives.
pub const MAX_PAGE: usize = 1_000;

/// Something that the store cannot do. None of these is met by trying again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the data folder {folder} is in use by another process{}; stop that one, or give this one its own folder",
        holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked { folder: PathBuf, holder: Option<u32> },
    #[error(
        "the data folder {folder} was written in format {found}, by a newer amadare; \
         this one reads up to format {FORMAT}: install the newer one again"
    )]
    Newer { folder: PathBuf, found: u32 },
    #[error(
        "the store in {folder} has lost data: it was at commit {expected} and is now at {found}. \
         Nothing was sent. Keep a copy of the folder, restore a backup, and start again; \
         to go on without what was lost, remove the file {guard}"
    )]
    Lost { folder: PathBuf, guard: PathBuf, expected: u64, found: u64 },
    #[error(
        "the store in {folder} is damaged: {what}. \
         Nothing was sent. Keep a copy of the folder, restore a backup, and start again"
    )]
    Damaged { folder: PathBuf, what: String },
    #[error("the record under {key} cannot be read: {what}")]
    Record { key: String, what: String },
    #[error("the store refused a batch of a writer that has been replaced")]
    Fenced,
    #[error("a value of {size_bytes} bytes is over the store's bound of {max_bytes}")]
    ValueTooLarge { size_bytes: usize, max_bytes: usize },
    #[error("there is a file {file} already, and no backup overwrites one: give another name")]
    BackupExists { file: PathBuf },
    #[error(
        "there is a file {file}: a backup to that name is running, or one was cut short; \
         if none is running, remove it"
    )]
    BackupLeftover { file: PathBuf },
    #[error("the backup to {file} is still running: start another when it has ended")]
    BackupRunning { file: PathBuf },
    #[error("the backup to {file} was given up: {why}. Nothing is left of it: start it again")]
    BackupGivenUp { file: PathBuf, why: String },
    #[error("the backup {file} is damaged: {what}. Do not restore it: use another one")]
    BackupDamaged { file: PathBuf, what: String },
    #[error(
        "the backup {file} was written by a newer amadare, {written_by}, in a format that this one \
         does not read: restore it with that version"
    )]
    BackupNewer { file: PathBuf, written_by: String },
    #[error(
        "the data folder {folder} already holds a store: move its `sled` and `sequence` away first, \
         then restore {backup} again"
    )]
    RestoreOver { folder: PathBuf, backup: PathBuf },
    #[error(
        "a restore into the data folder {folder} was cut short: restore again; \
         to start without what the backup holds, remove {leftover}"
    )]
    RestoreUnfinished { folder: PathBuf, leftover: PathBuf },
    #[error(
        "what was written into {folder} reads differently from the backup {backup}. \
         Check the disk and restore again"
    )]
    RestoreDiffers { backup: PathBuf, folder: PathBuf },
    #[error("{doing}: {cause}{}", what_to_do(cause))]
    Io { doing: String, cause: std::io::Error },
    #[error("the store failed: {0}")]
    Engine(String),
}

/// What a person does about an error of the system, as the end of a sentence; nothing where it says it all.
fn what_to_do(cause: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room, without deleting anything in the data folder, and restart the daemon"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "; the data folder must be writable: mount it so (a disk that fails is made read-only by the \
             system, whose log says so); then restart the daemon"
        }
        ErrorKind::PermissionDenied => {
            "; the data folder and all in it must belong to the user that the daemon runs as \
             (chown -R); then restart the daemon"
        }
        _ => "",
    }
}

impl StoreError {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> StoreError {
        let doing = doing.into();
        move |cause| StoreError::Io { doing, cause }
    }
}

/// Which writer a batch comes from. A store refuses an epoch older than the newest it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// That of the one process that holds an embedded store's lock.
    pub const EMBEDDED: Epoch = Epoch(1);
}

/// What a store can take at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Key operations of one batch beyond which it gets slow for everybody: a target, not a limit.
    pub batch_ops: usize,
    /// The largest value.
    pub value_bytes: usize,
}

/// What a store tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub engine: &'static str,
    pub disk_bytes: u64,
    /// Key operations committed since it was opened.
    pub ops: u64,
    /// Bytes of keys and values committed since it was opened.
    pub bytes: u64,
    pub commits: u64,
    pub flushes: u64,
}

/// An ordered space of keys and values with atomic batches.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The values under these keys, in their order.
    fn load(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// At most `limit` rows, and at most [`MAX_PAGE`], of the half-open range `[from, to)`, in order.
    fn page(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;

    /// Makes all of a batch visible, or nothing. It is durable once a later [`Store::flush`] returns,
    /// and no later batch survives a crash that this one does not.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] for an `epoch` that has been replaced; anything else means that the store
    /// must not be used any more.
    fn commit(&self, batch: &Batch, epoch: Epoch) -> Result<(), StoreError>;

    /// Makes every batch committed before the call survive a power cut.
    ///
    /// # Errors
    /// Any means that what was committed may be lost and that the store must not be used any more.
    fn flush(&self) -> Result<(), StoreError>;

    /// Gives `to` each batch that is committed from now on, in the order in which they become visible,
    /// until this is called with none. A batch whose commit is under way falls wholly on one side.
    ///
    /// # Errors
    /// [`StoreError::BackupRunning`] if there is a tee.
    fn tee(&self, to: Option<Tee>) -> Result<(), StoreError>;

    fn bounds(&self) -> Bounds;

    fn stats(&self) -> Stats;
}

/// Opens the embedded store of a data folder, which only one process can hold.
///
/// # Errors
/// See [`StoreError`]; each message says what to do.
pub fn open(folder: &Path, cache_bytes: u64) -> Result<Arc<dyn Store>, StoreError> {
    let held = Folder::lock(folder)?;
    backup::check_finished(folder)?;
    let store = sled::SledStore::open(held, cache_bytes)?;
    check_format(&store, folder)?;
    Ok(Arc::new(store))
}

/// Reads the store of a data folder that a running daemon holds: not possible with an embedded engine,
/// so this only says whether the folder is in use.
pub fn is_in_use(folder: &Path) -> bool {
    matches!(Folder::lock(folder), Err(StoreError::Locked { .. }))
}

/// Refuses a store of a newer format and marks a fresh one with this.
fn check_format(store: &dyn Store, folder: &Path) -> Result<(), StoreError> {
    match get_meta(store, Meta::Format)?.map(|bytes| record::decode_u64(&bytes)).transpose()? {
        Some(found) if found > u64::from(FORMAT) => Err(StoreError::Newer {
            folder: folder.to_owned(),
            found: u32::try_from(found).unwrap_or(u32::MAX),
        }),
        Some(_) => Ok(()),
        None => {
            let mut batch = Batch::default();
            batch.put_meta(Meta::Format, record::encode_u64(u64::from(FORMAT)));
            store.commit(&batch, Epoch::EMBEDDED)?;
            store.flush()
        }
    }
}

/// The files of members, in the order of `ids`.
pub fn load_members(store: &dyn Store, ids: &[MemberId]) -> Result<Vec<Option<MemberFile>>, StoreError> {
    let keys: Vec<Key> = ids.iter().map(keys::member).collect();
    let values = store.load(&keys)?;
    (values.into_iter().zip(ids))
        .map(|(value, id)| value.map(|bytes| record::decode_member(id, &bytes)).transpose())
        .collect()
}

/// Up to `limit` members of one slot, those after `after`, by id.
pub fn page_members(
    store: &dyn Store,
    slot: u8,
    after: Option<&MemberId>,
    limit: usize,
) -> Result<Vec<MemberFile>, StoreError> {
    let from = match after {
        Some(id) => keys::after(&keys::member(id)),
        None => keys::members_of_slot(slot),
    };
    let rows = store.page(&from, &keys::end_of_members_of_slot(slot), limit)?;
    rows.into_iter().map(|(key, value)| record::decode_member(&keys::parse_member(&key)?, &value)).collect()
}

/// Up to `limit` members of one slot that stand in the due index after `after`, soonest first.
pub fn page_due(
    store: &dyn Store,
    slot: u8,
    after: Option<&DueKey>,
    limit: usize,
) -> Result<Vec<DueKey>, StoreError> {
    let from = match after {
        Some(due) => keys::after(&keys::due(due)),
        None => keys::due_of_slot(slot),
    };
    let rows = store.page(&from, &keys::end_of_due_of_slot(slot), limit)?;
    rows.into_iter().map(|(key, _)| keys::parse_due(&key)).collect()
}

/// A member's history rows, oldest first, each with its number: at most `limit`, from number `from`.
pub fn page_history(
    store: &dyn Store,
    member: &MemberId,
    from: u32,
    limit: usize,
) -> Result<Vec<(u32, Vec<Happening>)>, StoreError> {
    let rows = store.page(&keys::history(member, from), &keys::end_of_history(member), limit)?;
    rows.into_iter()
        .map(|(key, value)| Ok((keys::parse_history(&key)?, record::decode_history(&value)?)))
        .collect()
}

/// Outbox rows after number `after`, oldest first.
pub fn page_outbox(
    store: &dyn Store,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, OutboxRow)>, StoreError> {
    let from = keys::outbox(after.map_or(0, |number| number + 1));
    let rows = store.page(&from, &keys::end_of_outbox(), limit)?;
    rows.into_iter()
        .map(|(key, value)| Ok((keys::parse_outbox(&key)?, record::decode_outbox(&value)?)))
        .collect()
}

/// Deliveries whose fate is unknown, those after `after` by id: at most `limit`.
pub fn page_unknown(
    store: &dyn Store,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<Vec<(DeliveryId, UnknownRow)>, StoreError> {
    let from = after.map_or_else(keys::all_unknown, |id| keys::after(&keys::unknown(id)));
    let rows = store.page(&from, &keys::end_of_unknown(), limit)?;
    rows.into_iter()
        .map(|(key, value)| Ok((keys::parse_unknown(&key)?, record::decode_unknown(&value)?)))
        .collect()
}

/// How many deliveries there are whose fate is unknown.
pub fn count_unknown(store: &dyn Store) -> Result<u64, StoreError> {
    let (mut count, mut from) = (0, keys::all_unknown());
    loop {
        let page = store.page(&from, &keys::end_of_unknown(), MAX_PAGE)?;
        count += page.len() as u64;
        match page.last() {
            Some((last, _)) => from = keys::after(last),
            None => return Ok(count),
        }
    }
}

/// A delivery whose fate is unknown; none if it is not, or has been settled.
pub fn load_unknown(store: &dyn Store, id: DeliveryId) -> Result<Option<UnknownRow>, StoreError> {
    let value = store.load(&[keys::unknown(id)])?.into_iter().next().flatten();
    value.map(|bytes| record::decode_unknown(&bytes)).transpose()
}

/// A message body that is stored once for all parcels that carry it.
pub fn load_body(store: &dyn Store, hash: &[u8; 16]) -> Result<Option<String>, StoreError> {
    let mut body = Vec::new();
    let chunks = store.page(&keys::body(hash, 0), &keys::end_of_body(hash), MAX_PAGE)?;
    for (_, chunk) in &chunks {
        body.extend_from_slice(chunk);
    }
    if chunks.is_empty() {
        return Ok(None);
    }
    String::from_utf8(body)
        .map(Some)
        .map_err(|_| StoreError::Record { key: "a message body".into(), what: "it is not UTF-8".into() })
}

/// The hashes of all stored message bodies after `after`.
pub fn page_bodies(
    store: &dyn Store,
    after: Option<&[u8; 16]>,
    limit: usize,
) -> Result<Vec<[u8; 16]>, StoreError> {
    let from = after.map_or_else(keys::bodies, keys::end_of_body);
    let rows = store.page(&from, &keys::end_of_bodies(), limit)?;
    let mut hashes: Vec<[u8; 16]> =
        rows.iter().map(|(key, _)| keys::parse_body(key)).collect::<Result<_, _>>()?;
    hashes.dedup();
    Ok(hashes)
}

/// The counters of every scenario and step that has any.
pub fn load_counters(store: &dyn Store) -> Result<Vec<(Counted, Counters)>, StoreError> {
    let mut all = Vec::new();
    let mut from = keys::all_counters();
    loop {
        let rows = store.page(&from, &keys::end_of_counters(), MAX_PAGE)?;
        let Some((last, _)) = rows.last() else { return Ok(all) };
        from = keys::after(last);
        for (key, value) in &rows {
            all.push((keys::parse_counters(key)?, record::decode_counters(value)?));
        }
    }
}

/// What is kept of an erased member so that nothing is sent to it twice.
pub fn load_tombstone(
    store: &dyn Store,
    salt: &[u8],
    member: &MemberId,
) -> Result<Option<Vec<crate::model::Entries>>, StoreError> {
    let key = keys::tombstone(salt, member);
    let value = store.load(&[key])?.into_iter().next().flatten();
    value.map(|bytes| record::decode_tombstone(&bytes)).transpose()
}

/// The files of the last good set of scenarios: names and contents.
pub fn load_scenario_files(store: &dyn Store) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let Some(list) = get_meta(store, Meta::ScenarioFiles)? else { return Ok(Vec::new()) };
    let list = record::decode_files(&list)?;
    let keys: Vec<Key> = (0..list.chunks).map(|chunk| keys::meta(Meta::ScenarioFile(chunk))).collect();
    let chunks = store.load(&keys)?;
    let missing =
        || StoreError::Record { key: "the last good scenarios".into(), what: "a piece is missing".into() };
    let mut contents = Vec::new();
    for chunk in chunks {
        contents.extend(chunk.ok_or_else(missing)?);
    }
    let mut files = Vec::new();
    for file in list.files {
        let size = usize::try_from(file.size_bytes).map_err(|_| missing())?;
        if size > contents.len() {
            return Err(missing());
        }
        let rest = contents.split_off(size);
        files.push((file.name, std::mem::replace(&mut contents, rest)));
    }
    Ok(files)
}

/// History rows that are to go, and the key to go on from, none at the end.
pub type ExpiredHistory = (Vec<(MemberId, u32)>, Option<Key>);

/// History rows of one slot that end before `before`: at most `limit` rows are looked at, from `after`
/// on.
pub fn page_expired_history(
    store: &dyn Store,
    slot: u8,
    after: Option<&Key>,
    before: jiff::Timestamp,
    limit: usize,
) -> Result<ExpiredHistory, StoreError> {
    let from = after.map_or_else(|| keys::history_of_slot(slot), keys::after);
    let rows = store.page(&from, &keys::end_of_history_of_slot(slot), limit)?;
    let last = (rows.len() == limit.min(MAX_PAGE)).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
    let mut expired = Vec::new();
    for (key, value) in &rows {
        if record::decode_history(value)?.last().is_none_or(|newest| newest.at < before) {
            expired.push((keys::parse_history_member(key)?, keys::parse_history(key)?));
        }
    }
    Ok((expired, last))
}

/// A random value for a fresh store: the one thing here that is drawn and not derived.
#[expect(clippy::disallowed_methods, reason = "a store's own id is the one that is drawn")]
pub fn draw_identity() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// One of the store's own records that is a number.
pub fn get_number(store: &dyn Store, meta: Meta) -> Result<Option<u64>, StoreError> {
    get_meta(store, meta)?.map(|bytes| record::decode_u64(&bytes)).transpose()
}

/// One of the store's own records.
pub fn get_meta(store: &dyn Store, meta: Meta) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(store.load(&[keys::meta(meta)])?.into_iter().next().flatten())
}

/// # Errors
/// [`StoreError::ValueTooLarge`] for the first value over the bound.
fn batch_fits(batch: &Batch, bounds: Bounds) -> Result<(), StoreError> {
    let largest = batch.ops().filter_map(|(_, value)| value.map(Vec::len)).max().unwrap_or(0);
    if largest > bounds.value_bytes {
        return Err(StoreError::ValueTooLarge { size_bytes: largest, max_bytes: bounds.value_bytes });
    }
    Ok(())
}

fn count(stats: &mut Stats, batch: &Batch) {
    stats.commits += 1;
    stats.ops += batch.len() as u64;
    stats.bytes +=
        batch.ops().map(|(key, value)| key.len() + value.map_or(0, Vec::len)).sum::<usize>() as u64;
}
