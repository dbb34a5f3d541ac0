//! Scenarios that the clock starts: which ticks are due, and the sweep over all members that each makes.
//!
//! A tick is the civil minute that a pattern names. It is handled once: that it is, and how far its sweep
//! has come, is stored with what the sweep decides. After downtime those that are not too late are caught
//! up on, oldest first.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::turns::{MAX_TOGETHER, Work};
use crate::engine::{self, Input};
use crate::model::{MemberId, SLOTS, ScenarioId};
use crate::mutation::{self, Mutation};
use crate::scenario::ScenarioSet;
use crate::scenario::cron::Cron;
use crate::store::{self, MAX_PAGE, Meta, StoreError, TickRow, encode_ticks};

/// How far behind a tick is still handled where its scenario says nothing of `late`.
const DEFAULT_LATE: SignedDuration = SignedDuration::from_hours(24);

/// Members that one turn of a sweep may start runs for; more where they get the same message in a few
/// requests.
const MAX_STARTED: usize = 50;

/// Who tells that a minute has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minutes {
    /// A job on the clock does, by [`Action::Minute`](super::Action::Minute).
    Told,
    /// The writer looks itself, for a clock that is not the system's.
    Watched,
}

/// The triggers on the clock and where each stands.
#[derive(Debug)]
pub(super) struct Ticks {
    timed: Vec<Timed>,
    minutes: Minutes,
    /// True if ticks may be due that have not been looked for.
    look: bool,
    /// True if there are triggers that the store does not know yet.
    to_note: bool,
}

#[derive(Debug)]
struct Timed {
    scenario: ScenarioId,
    /// Index of the trigger in the scenario.
    trigger: usize,
    pattern: Cron,
    zone: TimeZone,
    late: SignedDuration,
    paused: bool,
    /// The newest tick that is handled, or is being.
    handled: Timestamp,
    next: Option<Timestamp>,
    sweep: Option<Sweeping>,
}

/// A sweep over all members for one tick.
#[derive(Clone, Debug)]
struct Sweeping {
    at: Timestamp,
    slot: u8,
    after: Option<MemberId>,
}

impl Ticks {
    /// # Errors
    /// A stored row that cannot be.
    pub(super) fn open(
        rows: Vec<TickRow>,
        scenarios: &ScenarioSet,
        minutes: Minutes,
        now: Timestamp,
    ) -> Result<Ticks, StoreError> {
        let mut ticks = Ticks { timed: Vec::new(), minutes, look: true, to_note: false };
        let known = rows.into_iter().map(stored).collect::<Result<Vec<_>, _>>()?;
        ticks.timed = timed(scenarios, &known, now);
        let is_known = |timed: &Timed| known.iter().any(|known| known.is_of(timed));
        ticks.to_note = !ticks.timed.iter().all(is_known);
        Ok(ticks)
    }

    /// Takes over a new set. A trigger with the same pattern goes on where it stands, a new one begins now.
    pub(super) fn renew(&mut self, scenarios: &ScenarioSet, now: Timestamp) {
        let known: Vec<Stored> = self
            .timed
            .drain(..)
            .map(|timed| {
                let pattern = timed.pattern.as_written().to_owned();
                Stored { scenario: timed.scenario, pattern, handled: timed.handled, sweep: timed.sweep }
            })
            .collect();
        self.timed = timed(scenarios, &known, now);
        (self.look, self.to_note) = (true, true);
    }

    /// A minute has begun.
    pub(super) fn minute(&mut self) {
        self.look = true;
    }

    /// Starts no more sweeps: for a rehearsal that would not end.
    pub(super) fn stop(&mut self) {
        self.minutes = Minutes::Told;
        self.look = false;
    }

    pub(super) fn is_sweeping(&self) -> bool {
        self.timed.iter().any(|timed| timed.sweep.is_some())
    }

    /// The next tick that is to be looked for without being told.
    pub(super) fn head(&self) -> Option<Timestamp> {
        if self.minutes == Minutes::Told && !self.look {
            return None;
        }
        self.timed.iter().filter(|timed| !timed.paused).filter_map(|timed| timed.next).min()
    }

    /// The latest of the instants at which each trigger ticks next.
    pub(super) fn last_of_next(&self) -> Option<Timestamp> {
        self.timed.iter().filter(|timed| !timed.paused).filter_map(|timed| timed.next).max()
    }

    /// Begins the sweeps of ticks that are due; true if anything has changed.
    fn begin(&mut self, now: Timestamp) -> bool {
        // where each begins is written down at once: the process may be down for its first tick
        let mut changed = std::mem::take(&mut self.to_note);
        if self.minutes == Minutes::Told && !std::mem::take(&mut self.look) {
            return changed;
        }
        for timed in self.timed.iter_mut().filter(|timed| timed.sweep.is_none()) {
            let Some(tick) = timed.next.filter(|tick| *tick <= now) else { continue };
            changed = true;
            if timed.paused || now.duration_since(tick) > timed.late {
                // those between are passed over: the next may be one that is late but not too late
                let oldest = if timed.paused { now } else { now.saturating_sub(timed.late).unwrap_or(now) };
                tracing::warn!(scenario = %timed.scenario, from = %tick, until = %oldest, "ticks passed over");
                timed.handled = oldest.max(tick);
                timed.next = timed.pattern.next_after(timed.handled, &timed.zone);
                self.look = true;
                continue;
            }
            timed.handled = tick;
            timed.next = timed.pattern.next_after(tick, &timed.zone);
            timed.sweep = Some(Sweeping { at: tick, slot: 0, after: None });
        }
        changed
    }

    /// True if some tick is due that has not begun because the one before is still sweeping.
    fn is_behind(&self, now: Timestamp) -> bool {
        self.timed.iter().any(|timed| !timed.paused && timed.next.is_some_and(|next| next <= now))
    }

    fn rows(&self) -> Vec<TickRow> {
        let row = |timed: &Timed| TickRow {
            scenario: timed.scenario.to_string(),
            pattern: timed.pattern.as_written().to_owned(),
            handled_ms: timed.handled.as_millisecond() - i64::from(mutation::is(Mutation::TickTwice)),
            sweep_ms: timed.sweep.as_ref().map(|sweep| sweep.at.as_millisecond()),
            slot: timed.sweep.as_ref().map(|sweep| sweep.slot),
            after: timed.sweep.as_ref().and_then(|sweep| sweep.after.as_ref()).map(MemberId::to_string),
        };
        self.timed.iter().map(row).collect()
    }
}

/// Where a trigger stood.
struct Stored {
    scenario: ScenarioId,
    pattern: String,
    handled: Timestamp,
    sweep: Option<Sweeping>,
}

impl Stored {
    fn is_of(&self, timed: &Timed) -> bool {
        self.scenario == timed.scenario && self.pattern == timed.pattern.as_written()
    }
}

fn stored(row: TickRow) -> Result<Stored, StoreError> {
    let unreadable =
        |what: String| StoreError::Record { key: "the ticks of scenarios on the clock".into(), what };
    let instant = |ms| Timestamp::from_millisecond(ms).map_err(|error| unreadable(error.to_string()));
    let sweep = match (row.sweep_ms, row.slot) {
        _ if mutation::is(Mutation::SweepForgotten) => None,
        (Some(at), Some(_)) if mutation::is(Mutation::SweepRestarts) => {
            Some(Sweeping { at: instant(at)?, slot: 0, after: None })
        }
        (Some(at), Some(slot)) => {
            let after = row.after.as_deref().map(MemberId::new).transpose();
            let after = after.map_err(|error| unreadable(error.to_string()))?;
            Some(Sweeping { at: instant(at)?, slot, after })
        }
        _ => None,
    };
    let scenario = ScenarioId::new(&row.scenario).map_err(|error| unreadable(error.to_string()))?;
    Ok(Stored { scenario, pattern: row.pattern, handled: instant(row.handled_ms)?, sweep })
}

fn timed(scenarios: &ScenarioSet, known: &[Stored], now: Timestamp) -> Vec<Timed> {
    let one = |(scenario, trigger, pattern): (&Arc<crate::scenario::Scenario>, usize, &Cron)| {
        let before = known.iter().find(|k| k.scenario == scenario.id && k.pattern == pattern.as_written());
        let handled = before.map_or(now, |before| before.handled);
        Timed {
            scenario: scenario.id.clone(),
            trigger,
            pattern: pattern.clone(),
            zone: scenario.zone.clone(),
            late: scenario.late.unwrap_or(DEFAULT_LATE),
            paused: scenario.paused,
            handled,
            next: pattern.next_after(handled, &scenario.zone),
            sweep: before.and_then(|before| before.sweep.clone()),
        }
    };
    scenarios.crons().map(one).collect()
}

impl Work<'_> {
    /// Begins sweeps whose moment has come.
    pub(super) fn begin_ticks(&mut self) {
        if self.turns.ticks.begin(self.now) {
            self.batch.put_meta(Meta::Ticks, encode_ticks(&self.turns.ticks.rows()));
        }
    }

    /// Takes the sweeps of ticks a piece further, one after the other.
    pub(super) fn sweep_ticks(&mut self) -> Result<(), StoreError> {
        let Some(place) = self.turns.ticks.timed.iter().position(|timed| timed.sweep.is_some()) else {
            return Ok(());
        };
        let timed = &self.turns.ticks.timed[place];
        let Some(sweep) = timed.sweep.clone() else { return Ok(()) };
        let (scenario, trigger) = (timed.scenario.clone(), timed.trigger);
        let input = Input::Tick { scenario: scenario.clone(), trigger, at: sweep.at };
        let store = Arc::clone(&self.turns.store);
        let page = store::page_members(&*store, sweep.slot, sweep.after.as_ref(), MAX_PAGE)?;
        let is_last = page.len() < MAX_PAGE;
        let world = self.turns.world.clone();
        let mut started = 0;
        let mut after = sweep.after.clone();
        let mut is_cut = false;
        for file in page {
            let has_room = started < MAX_STARTED || (started < MAX_TOGETHER && self.go_out_together());
            if !has_room {
                is_cut = true;
                break;
            }
            after = Some(file.id.clone());
            let loaded = self.files.contains_key(&file.id);
            if !loaded && !engine::would_tick(&file, &scenario, trigger, &self.context(&world)) {
                continue;
            }
            let id = file.id.clone();
            if loaded {
                self.carry_on(&id, &input)?;
                started += 1;
                continue;
            }
            self.insert(id.clone(), Some(file.clone()));
            self.carry_on(&id, &input)?;
            // those who may not enter again stand as they stood
            let now = self.file(&id)?;
            now.dirty = now.file.as_ref() != Some(&file);
            started += usize::from(now.dirty);
        }
        let next = match is_last && !is_cut {
            true => Sweeping { slot: sweep.slot + 1, after: None, ..sweep },
            false => Sweeping { after, ..sweep },
        };
        self.turns.ticks.timed[place].sweep = (next.slot < SLOTS).then_some(next);
        if !self.turns.ticks.is_sweeping() && self.turns.ticks.is_behind(self.now) {
            self.turns.ticks.minute();
        }
        self.batch.put_meta(Meta::Ticks, encode_ticks(&self.turns.ticks.rows()));
        Ok(())
    }
}
