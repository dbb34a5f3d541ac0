//! What edited scenarios would change for the members who are there, told before they go live.
//!
//! The members go through the real turns twice, on copies in memory and on a clock moved by hand, with a LINE
//! that accepts everything at once: by the scenarios that run, and by those that were edited, taken over as a
//! reload takes them over. What differs is the plan. Nothing is sent and nothing is written.
//!
//! Members do not influence one another, so they are taken a page at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::rehearsal::{Line, Rehearsal};
use super::{Action, turns};
use crate::engine::{self, Context, Fate, Input, Sending, Trust, Verdict};
use crate::model::{
    DeliveryId, EnrollmentId, MemberFile, MemberId, SLOTS, ScenarioId, Standing, StepId, What,
};
use crate::scenario::{Scenario, ScenarioSet};
use crate::store::{self, Batch, Epoch, MemoryStore, Meta, Store, StoreError};

/// Members that are taken through at a time.
const PAGE: usize = 500;

/// Members named for each step, to look at one by one.
pub const NAMED: usize = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The scenarios that run.
    pub running: Arc<ScenarioSet>,
    /// Those that would run.
    pub edited: Arc<ScenarioSet>,
    /// The channel that enrollments are identified by.
    pub channel: Arc<str>,
    /// When the edited ones would be taken over.
    pub from: Timestamp,
    /// Up to and including when pushes are counted.
    pub until: Timestamp,
    /// Steps that are certainly new, and not others under another name.
    pub new_steps: BTreeSet<(ScenarioId, StepId)>,
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Members in the store.
    pub members: u64,
    /// Those with a run that goes on.
    pub on_their_way: u64,
    /// Those for whom something changes.
    pub affected: u64,
    /// Runs that end because their scenario is gone.
    pub ended_runs: u64,
    /// Pushes by civil day in the scenario's zone, scenario, and the step's id in the edited files, or else
    /// in those that run.
    pub rows: BTreeMap<(Date, ScenarioId, StepId), Row>,
    /// Members to look at, a few for each step with changes.
    pub named: BTreeMap<(ScenarioId, StepId), Vec<MemberId>>,
}

/// The pushes of one step on one day, each to one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// By the scenarios that run.
    pub before: u64,
    /// By the edited ones.
    pub after: u64,
    /// Those of `after` that would not have come at all.
    pub appear: u64,
    /// Those of `after` that would have come at another time.
    pub moved_here: u64,
    /// Those of `before` that come at another time.
    pub moved_away: u64,
    /// Those of `before` that come no more.
    pub vanish: u64,
    /// Those that come at the same time with other words.
    pub reworded: u64,
}

/// Steps of one scenario that are gone while others are new: whether one of these is one of those under another
/// name cannot be told, and members have been sent the old one or are about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    pub scenario: ScenarioId,
    pub gone: Vec<StepId>,
    pub new: Vec<StepId>,
    /// Members with a run that has come to a step that is gone.
    pub members: u64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Unplanned {
    #[error("steps are gone and others are new, and members have come to those that are gone")]
    Ambiguous(Vec<Ambiguity>),
    #[error("the plan takes too long; plan for a shorter time")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Plans what the edited scenarios would change; gives up once `is_stopped`, which is asked
/// at every instant at which something happens.
///
/// # Errors
/// See [`Unplanned`].
pub fn plan(
    store: &dyn Store,
    proposal: &Proposal,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Plan, Unplanned> {
    refuse_ambiguous(store, proposal, is_stopped)?;
    let mut plan = Plan::default();
    let rows = common_rows(store)?;
    for_each_page(store, is_stopped, |page| {
        plan.members += page.iter().filter(|file| file.merged_into.is_none()).count() as u64;
        plan.on_their_way += page.iter().filter(|file| has_live_run(file)).count() as u64;
        let page: Vec<MemberFile> =
            page.into_iter().filter(|file| may_get_something(file, proposal)).collect();
        if page.is_empty() {
            return Ok(());
        }
        let start = MemoryStore::new();
        start.commit(&seeded(page, proposal, &rows), Epoch::EMBEDDED)?;
        start.flush()?;
        let after = outcome(start.copied(), proposal, Some(&proposal.edited), is_stopped)?;
        let before = match proposal.running.digest() == proposal.edited.digest() {
            true => after.clone(),
            false => outcome(start, proposal, None, is_stopped)?,
        };
        compare(&mut plan, proposal, &before, &after);
        Ok(())
    })?;
    Ok(plan)
}

fn for_each_page(
    store: &dyn Store,
    is_stopped: &dyn Fn() -> bool,
    mut take: impl FnMut(Vec<MemberFile>) -> Result<(), Unplanned>,
) -> Result<(), Unplanned> {
    for slot in 0..SLOTS {
        let mut after: Option<MemberId> = None;
        loop {
            if is_stopped() {
                return Err(Unplanned::Stopped);
            }
            let page = store::page_members(store, slot, after.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|file| file.id.clone());
            take(page)?;
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

fn has_live_run(file: &MemberFile) -> bool {
    file.enrollments.iter().any(|run| run.is_live())
}

/// False for a member whom neither the clock nor a run of its own can bring anything.
fn may_get_something(file: &MemberFile, proposal: &Proposal) -> bool {
    let on_the_clock = |set: &ScenarioSet| {
        set.crons().next().is_some() || (!set.dated().is_empty() && !file.attributes.is_empty())
    };
    file.merged_into.is_none()
        && (!file.enrollments.is_empty() || on_the_clock(&proposal.running) || on_the_clock(&proposal.edited))
}

/// What holds for all members and is not in their files.
fn common_rows(store: &dyn Store) -> Result<Vec<(Meta, Vec<u8>)>, StoreError> {
    let mut rows = Vec::new();
    for meta in [Meta::Format, Meta::Ticks, Meta::Paused, Meta::Sweep] {
        rows.extend(store::get_meta(store, meta)?.map(|bytes| (meta, bytes)));
    }
    // as it is once sends are released
    rows.extend(turns::restored_and_released(store)?.map(|bytes| (Meta::Restored, bytes)));
    Ok(rows)
}

/// A store with these members.
fn seeded(page: Vec<MemberFile>, proposal: &Proposal, rows: &[(Meta, Vec<u8>)]) -> Batch {
    let mut batch = Batch::default();
    for (meta, bytes) in rows {
        batch.put_meta(*meta, bytes.clone());
    }
    for mut file in page {
        land(&mut file, proposal);
        batch.put_member(&file.id, store::encode_member(&file));
        batch.move_due(&file.id, None, file.wake);
    }
    batch
}

/// Takes what is with LINE for accepted.
fn land(file: &mut MemberFile, proposal: &Proposal) {
    let in_flight: Vec<(EnrollmentId, DeliveryId)> = (file.enrollments.iter())
        .filter_map(|run| match &run.now {
            Standing::InFlight(flight) => Some((run.id, flight.delivery)),
            Standing::Waiting { .. } => None,
        })
        .collect();
    let context = Context {
        now: proposal.from,
        scenarios: &proposal.running,
        channel: &proposal.channel,
        // what follows is decided by the turns
        sending: Sending::Held,
        calling: Sending::Held,
        restored_at: None,
        dormant: &BTreeSet::new(),
        clock: Trust::Sure,
    };
    for (enrollment, delivery) in in_flight {
        let input = Input::Settle { enrollment, delivery, fate: Fate::Accepted };
        engine::take(file, &input, &context, &mut Verdict::default())
            .expect("only what comes from outside can be refused");
    }
}

/// What a member is sent, by the step's id in the edited files: when, and a hash of the words.
type Sent = BTreeMap<(ScenarioId, StepId), Vec<(Timestamp, u64)>>;

#[derive(Clone, Debug, Default)]
struct Outcome {
    sent: BTreeMap<MemberId, Sent>,
    /// Runs that ended because something is gone.
    removed: BTreeMap<MemberId, u64>,
}

fn outcome(
    members: MemoryStore,
    proposal: &Proposal,
    edited: Option<&Arc<ScenarioSet>>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Outcome, Unplanned> {
    let (running, channel) = (Arc::clone(&proposal.running), Arc::clone(&proposal.channel));
    let first = edited.map(|set| Action::Reload { scenarios: Arc::clone(set), files: Vec::new() });
    let mut rehearsal = Rehearsal::resume(running, Arc::new(members), channel, proposal.from, first)?;
    let mut outcome = Outcome::default();
    note(&mut outcome, proposal, rehearsal.take_lines());
    while rehearsal.step_until(proposal.until)? {
        if is_stopped() {
            return Err(Unplanned::Stopped);
        }
        note(&mut outcome, proposal, rehearsal.take_lines());
    }
    Ok(outcome)
}

/// Takes down what members are sent and which runs end.
fn note(outcome: &mut Outcome, proposal: &Proposal, lines: Vec<Line>) {
    for Line { what, messages } in lines {
        let happening = what.happening;
        match (happening.what, happening.scenario, happening.step) {
            (What::Accepted, Some(scenario), Some(step))
                if messages.as_ref().is_some_and(|m| m.is_array()) =>
            {
                let step = match proposal.edited.get(&scenario) {
                    Some(now) => now.id_now(&step).clone(),
                    None => step,
                };
                let mut words = DefaultHasher::new();
                messages.map(|messages| messages.to_string()).hash(&mut words);
                let sent = outcome.sent.entry(what.member).or_default();
                sent.entry((scenario, step)).or_default().push((happening.at, words.finish()));
            }
            (What::Exited, ..) if happening.reason.as_deref() == Some("removed") => {
                *outcome.removed.entry(what.member).or_default() += 1;
            }
            _ => {}
        }
    }
}

fn compare(plan: &mut Plan, proposal: &Proposal, before: &Outcome, after: &Outcome) {
    let members: BTreeSet<&MemberId> = (before.sent.keys().chain(after.sent.keys()))
        .chain(before.removed.keys().chain(after.removed.keys()))
        .collect();
    let none = Sent::new();
    for member in members {
        let removed = |outcome: &Outcome| outcome.removed.get(member).copied().unwrap_or(0);
        let ended = removed(after).saturating_sub(removed(before));
        plan.ended_runs += ended;
        let mut is_affected = ended > 0;
        let (before, after) =
            (before.sent.get(member).unwrap_or(&none), after.sent.get(member).unwrap_or(&none));
        let steps: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for step in steps {
            let (old, new) = (
                before.get(step).map_or(&[] as &[_], Vec::as_slice),
                after.get(step).map_or(&[] as &[_], Vec::as_slice),
            );
            if compare_step(&mut plan.rows, proposal, step, old, new) {
                is_affected = true;
                let named = plan.named.entry(step.clone()).or_default();
                if named.len() < NAMED {
                    named.push(member.clone());
                }
            }
        }
        plan.affected += u64::from(is_affected);
    }
}

/// Counts one step of one member; true if something changes.
fn compare_step(
    rows: &mut BTreeMap<(Date, ScenarioId, StepId), Row>,
    proposal: &Proposal,
    (scenario, step): &(ScenarioId, StepId),
    old: &[(Timestamp, u64)],
    new: &[(Timestamp, u64)],
) -> bool {
    let found = proposal.edited.get(scenario).or_else(|| proposal.running.get(scenario));
    let zone = found.map_or(jiff::tz::TimeZone::UTC, |scenario| scenario.zone.clone());
    let mut row = |at: Timestamp, count: fn(&mut Row)| {
        let day = zone.to_datetime(at).date();
        count(rows.entry((day, scenario.clone(), step.clone())).or_default());
    };
    let (mut gone, mut come) = (old.to_vec(), new.to_vec());
    let mut is_changed = false;
    for (at, words) in old {
        row(*at, |row| row.before += 1);
        // what comes at the same second is the same push
        let same = come.iter().position(|(other, _)| other.as_second() == at.as_second());
        if let Some(same) = same {
            let (_, new_words) = come.remove(same);
            let place = gone.iter().position(|one| one == &(*at, *words)).expect("each is taken once");
            gone.remove(place);
            if new_words != *words {
                row(*at, |row| row.reworded += 1);
                is_changed = true;
            }
        }
    }
    for (at, _) in new {
        row(*at, |row| row.after += 1);
    }
    is_changed |= !gone.is_empty() || !come.is_empty();
    let moved = gone.len().min(come.len());
    gone.iter().take(moved).for_each(|(at, _)| row(*at, |row| row.moved_away += 1));
    come.iter().take(moved).for_each(|(at, _)| row(*at, |row| row.moved_here += 1));
    gone.iter().skip(moved).for_each(|(at, _)| row(*at, |row| row.vanish += 1));
    come.iter().skip(moved).for_each(|(at, _)| row(*at, |row| row.appear += 1));
    is_changed
}

/// Refuses to guess whether a step that is new is one that is gone.
fn refuse_ambiguous(
    store: &dyn Store,
    proposal: &Proposal,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), Unplanned> {
    let mut doubts: Vec<Ambiguity> =
        proposal.running.iter().filter_map(|running| doubt(running, proposal)).collect();
    if doubts.is_empty() {
        return Ok(());
    }
    for_each_page(store, is_stopped, |page| {
        for doubt in &mut doubts {
            let Some(running) = proposal.running.get(&doubt.scenario) else { continue };
            let has_come = |file: &&MemberFile| {
                let runs =
                    file.enrollments.iter().filter(|run| run.scenario == doubt.scenario && run.is_live());
                runs.into_iter().any(|run| {
                    let next = engine::plan::step_at(running, run);
                    run.steps.iter().any(|record| doubt.gone.contains(&record.step))
                        || next.is_some_and(|step| doubt.gone.contains(&step.id))
                })
            };
            doubt.members += page.iter().filter(has_come).count() as u64;
        }
        Ok(())
    })?;
    doubts.retain(|doubt| doubt.members > 0);
    match doubts.is_empty() {
        true => Ok(()),
        false => Err(Unplanned::Ambiguous(doubts)),
    }
}

fn doubt(running: &Scenario, proposal: &Proposal) -> Option<Ambiguity> {
    let edited = proposal.edited.get(&running.id)?;
    let gone: Vec<StepId> = (running.steps.iter().map(|step| &step.id))
        .filter(|id| edited.step(edited.id_now(id)).is_none())
        .cloned()
        .collect();
    let is_new = |id: &&StepId| {
        let had_another = |was: &StepId| running.step(was).is_some();
        running.step(id).is_none()
            && !edited.renamed().any(|(was, now)| now == *id && had_another(was))
            && !proposal.new_steps.contains(&(running.id.clone(), (*id).clone()))
    };
    let new: Vec<StepId> = edited.steps.iter().map(|step| &step.id).filter(is_new).cloned().collect();
    let is_ambiguous = !gone.is_empty() && !new.is_empty();
    is_ambiguous.then(|| Ambiguity { scenario: running.id.clone(), gone, new, members: 0 })
}

#[cfg(test)]
mod tests;
