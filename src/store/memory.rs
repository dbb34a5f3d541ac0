//! A store in memory, for tests and rehearsals. It can lose what was not flushed, as a power cut would.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::backup::{Tap, Tee};
use super::{Batch, Bounds, Epoch, Key, MAX_PAGE, Stats, Store, StoreError};

#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    visible: BTreeMap<Key, Vec<u8>>,
    durable: BTreeMap<Key, Vec<u8>>,
    unflushed: Vec<Batch>,
    epoch: Option<Epoch>,
    stats: Stats,
    failing: bool,
    tap: Tap,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Loses every batch that was not flushed but the first `survivors` of them: whatever a power cut
    /// leaves is a prefix of what was committed.
    pub fn cut_power(&self, survivors: usize) {
        let mut state = self.state();
        let unflushed = std::mem::take(&mut state.unflushed);
        for batch in unflushed.iter().take(survivors) {
            apply(&mut state.durable, batch);
        }
        state.visible = state.durable.clone();
    }

    /// Another store with what is visible in this one, as a backup would hold it.
    pub fn copied(&self) -> MemoryStore {
        let rows = self.state().visible.clone();
        MemoryStore(Mutex::new(State { durable: rows.clone(), visible: rows, ..State::default() }))
    }

    /// How many batches a power cut would put in doubt.
    pub fn unflushed(&self) -> usize {
        self.state().unflushed.len()
    }

    /// Lets every commit and flush fail from now on, as a full disk would, or succeed again.
    pub fn set_failing(&self, failing: bool) {
        self.state().failing = failing;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn apply(rows: &mut BTreeMap<Key, Vec<u8>>, batch: &Batch) {
    for (key, value) in batch.ops() {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

impl State {
    fn check_failing(&self) -> Result<(), StoreError> {
        if self.failing { Err(StoreError::Engine("no space left on device".into())) } else { Ok(()) }
    }
}

impl Store for MemoryStore {
    fn load(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.visible.get(key).cloned()).collect())
    }

    fn page(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let state = self.state();
        let rows = state.visible.range(from.clone()..to.clone()).take(limit.min(MAX_PAGE));
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, batch: &Batch, epoch: Epoch) -> Result<(), StoreError> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.check_failing()?;
        if state.epoch.is_some_and(|newest| epoch < newest) {
            return Err(StoreError::Fenced);
        }
        super::batch_fits(batch, self.bounds())?;
        state.epoch = Some(epoch);
        state.tap.pass(batch, || {
            apply(&mut state.visible, batch);
            Ok(())
        })?;
        state.unflushed.push(batch.clone());
        super::count(&mut state.stats, batch);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check_failing()?;
        for batch in std::mem::take(&mut state.unflushed) {
            apply(&mut state.durable, &batch);
        }
        state.stats.flushes += 1;
        Ok(())
    }

    fn tee(&self, to: Option<Tee>) -> Result<(), StoreError> {
        self.state().tap.set(to)
    }

    fn bounds(&self) -> Bounds {
        Bounds { batch_ops: 300, value_bytes: 128 * 1024 }
    }

    fn stats(&self) -> Stats {
        Stats { engine: "memory", ..self.state().stats.clone() }
    }
}
