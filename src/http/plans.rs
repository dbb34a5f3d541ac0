//! `POST /v1/plans`: what edited scenario files would change for the members who are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Api, Component, Problem, bulk};
use crate::dispatch::plan::{Ambiguity, Plan, Proposal, Unplanned, plan};
use crate::model::{ScenarioId, StepId};
use crate::scenario::load::load;
use crate::scenario::source::{self, MAX_TOTAL_BYTES, Sources};
use crate::scenario::{Defaults, ScenarioSet};
use crate::store::{self, Meta, Store};

/// The longest body: all files of a set, written as JSON texts.
const MAX_PLAN_BYTES: usize = 2 * MAX_TOTAL_BYTES;

/// How long a plan may take.
pub const MAX_PLANNING: Duration = Duration::from_secs(900);

/// How far a plan looks ahead if nothing is said.
const USUAL_AHEAD: SignedDuration = SignedDuration::from_hours(31 * 24);

/// How far a plan can look ahead.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Steps that a proposal may say are new.
const MAX_NEW_STEPS: usize = 1_000;

/// What plans are made with.
#[derive(Debug)]
pub struct Planning {
    /// What files that do not say for themselves get.
    pub defaults: RwLock<Defaults>,
    is_planning: AtomicBool,
}

impl Planning {
    pub fn new(defaults: Defaults) -> Planning {
        Planning { defaults: RwLock::new(defaults), is_planning: AtomicBool::new(false) }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanAsked {
    /// The edited files by name, those that they include among them.
    pub files: BTreeMap<String, String>,
    /// Up to when; 31 days from now if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Steps that are certainly new, as `scenario/step`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_steps: Vec<String>,
}

/// What the files would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// When they would be taken over.
    pub from: Timestamp,
    /// Up to and including when pushes are counted.
    pub until: Timestamp,
    /// Members in the store.
    pub members: u64,
    /// Members with a run that goes on.
    pub on_their_way: u64,
    /// Members for whom something changes.
    pub affected: u64,
    /// Runs that end because their scenario is gone.
    pub ended_runs: u64,
    /// By day, scenario and step; only days on which something is sent or would have been.
    pub rows: Vec<PlanRow>,
    /// By calendar month in the zone of the configuration, of which LINE's quota is for one.
    pub months: Vec<PlanMonth>,
    /// Members to look at, a few for each step that changes.
    pub named: Vec<PlanNamed>,
    /// Why sends are on hold now; the plan is of what happens once they are released.
    pub holds: Vec<String>,
    /// The month's quota as LINE told it last; none where it has not, or no daemon runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaView {
    /// None without a limit.
    pub limit: Option<u64>,
    pub used: u64,
}

/// The month's quota as LINE told it last.
pub(super) fn quota(api: &Api) -> Option<QuotaView> {
    let (_, detail) = api.readiness.get(Component::Quota)?;
    Some(QuotaView { limit: detail["limit"].as_u64(), used: detail["used"].as_u64()? })
}

/// The pushes of one step on one civil day in the scenario's zone; each counts once in LINE's quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRow {
    pub day: Date,
    pub scenario: String,
    /// The id in the edited files, or in those that run where it is gone.
    pub step: String,
    /// By the scenarios that run.
    pub before: u64,
    /// By the edited ones.
    pub after: u64,
    /// Of `after`: would not have come at all.
    pub appear: u64,
    /// Of `after`: would have come at another time.
    pub moved_here: u64,
    /// Of `before`: comes at another time.
    pub moved_away: u64,
    /// Of `before`: comes no more.
    pub vanish: u64,
    /// Comes when it would have come, with other words.
    pub reworded: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanMonth {
    /// `2026-03`.
    pub month: String,
    pub before: u64,
    pub after: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanNamed {
    pub scenario: String,
    pub step: String,
    pub members: Vec<String>,
}

pub(super) async fn post(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PlanView>, Problem> {
    let bytes = bulk::whole(&headers, body, MAX_PLAN_BYTES).await?;
    let asked: PlanAsked = serde_json::from_str(bulk::one(bulk::utf8(&bytes)?)?).map_err(|error| {
        Problem::new(422, format!("a plan is asked for by `{{\"files\": {{NAME: TEXT}}}}`: {error}"))
    })?;
    let planning = Arc::clone(&api.planning);
    if planning.is_planning.swap(true, Ordering::SeqCst) {
        return Err(Problem::new(409, "another plan is being made; ask again when it is done"));
    }
    // a caller that goes away needs no plan
    let stop = Arc::new(StopOnDrop::default());
    let (store, running, now) = (Arc::clone(&api.store), api.scenarios(), api.clock.now());
    let holds: Vec<String> = api.desk.status().holds().iter().map(|hold| hold.word().to_owned()).collect();
    let quota = quota(&api);
    let stopped = Arc::clone(&stop.0);
    let working = tokio::task::spawn_blocking(move || {
        let defaults = planning.defaults.read().expect("no holder of this lock panics").clone();
        let _free = Free(&planning.is_planning);
        plan_of(&*store, running, &defaults, &asked, now, &|| stopped.load(Ordering::Relaxed))
    });
    let Ok(planned) = tokio::time::timeout(MAX_PLANNING, working).await else {
        return Err(unplanned(Unplanned::Stopped));
    };
    drop(stop);
    let planned = planned.map_err(|_| Problem::new(500, "planning panicked"))?;
    planned.map(|view| Json(PlanView { holds, quota, ..view }))
}

/// Stops a plan that nobody waits for any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets the next plan be made, whatever has become of this one.
struct Free<'a>(&'a AtomicBool);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Makes the plan.
///
/// # Errors
/// What is wrong with the files or with what is asked, or why it cannot be told.
pub fn plan_of(
    store: &dyn Store,
    running: Arc<ScenarioSet>,
    defaults: &Defaults,
    asked: &PlanAsked,
    now: Timestamp,
    is_stopped: &dyn Fn() -> bool,
) -> Result<PlanView, Problem> {
    if !asked.files.keys().any(|name| source::is_scenario(name)) {
        return Err(Problem::new(
            422,
            "there is no scenario in `files`: give all that are to run, by file name",
        ));
    }
    let files = asked.files.iter().map(|(name, text)| (name.as_str(), text.as_bytes().to_vec()));
    let loaded = load(&Sources::from_files(files), defaults);
    let Some(edited) = loaded.set else {
        let errors = loaded.findings.iter().filter(|finding| finding.is_error());
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        return Err(Problem::new(422, errors.join("\n")));
    };
    let from = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let until = match asked.until {
        Some(until) => until,
        None => from.saturating_add(USUAL_AHEAD).unwrap_or(Timestamp::MAX),
    };
    if until < from || until.duration_since(from) > MAX_AHEAD {
        let detail =
            format!("`until` must lie between now ({from}) and {} days from now", MAX_AHEAD.as_hours() / 24);
        return Err(Problem::new(422, detail));
    }
    let channel = store::get_meta(store, Meta::Channel).map_err(|error| unplanned(error.into()))?;
    let proposal = Proposal {
        running,
        edited: Arc::new(edited),
        channel: String::from_utf8_lossy(&channel.unwrap_or_default()).into(),
        from,
        until,
        new_steps: new_steps(&asked.new_steps)?,
    };
    let plan = plan(store, &proposal, is_stopped).map_err(unplanned)?;
    Ok(view(&plan, &proposal, &defaults.zone))
}

fn new_steps(texts: &[String]) -> Result<BTreeSet<(ScenarioId, StepId)>, Problem> {
    if texts.len() > MAX_NEW_STEPS {
        return Err(Problem::new(422, format!("`new_steps` are at most {MAX_NEW_STEPS}")));
    }
    let parse = |text: &String| {
        let (scenario, step) = text.split_once('/')?;
        Some((ScenarioId::new(scenario).ok()?, StepId::new(step).ok()?))
    };
    let parse = |text| {
        parse(text).ok_or_else(|| Problem::new(422, format!("a new step is SCENARIO/STEP, not `{text}`")))
    };
    texts.iter().map(parse).collect()
}

fn unplanned(why: Unplanned) -> Problem {
    match why {
        Unplanned::Ambiguous(doubts) => {
            let doubts: Vec<String> = doubts.iter().map(doubt).collect();
            Problem::new(409, doubts.join("\n"))
        }
        Unplanned::Stopped => {
            let minutes = MAX_PLANNING.as_secs() / 60;
            Problem::new(503, format!("the plan took more than {minutes} minutes; plan for a shorter time"))
        }
        Unplanned::Store(error) => {
            tracing::error!(%error, "the store could not be read");
            Problem::new(503, "the store could not be read")
        }
    }
}

fn doubt(doubt: &Ambiguity) -> String {
    let Ambiguity { scenario, gone, new, members } = doubt;
    let named = |ids: &[StepId], what: &str| {
        let names: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        match names.as_slice() {
            [only] => format!("step {only} is {what}"),
            _ => format!("steps {} are {what}", names.join(", ")),
        }
    };
    let members = if *members == 1 { "1 member has".to_owned() } else { format!("{members} members have") };
    let (old, one) = (&gone[0], &new[0]);
    format!(
        "scenario `{scenario}`: the {} and the {}, and {members} come to what is gone. If `{one}` is `{old}` under \
         another name, write `was: {old}` into it, or else they may get it again; if it is another step, say so \
         with --new-step {scenario}/{one} (in the API, `new_steps`)",
        named(gone, "gone"),
        named(new, "new"),
    )
}

fn view(plan: &Plan, proposal: &Proposal, zone: &TimeZone) -> PlanView {
    let mut months: BTreeMap<String, PlanMonth> = BTreeMap::new();
    let month_of = |at: Timestamp| zone.to_datetime(at).strftime("%Y-%m").to_string();
    // the present month is told of even if nothing comes in it
    for month in std::iter::once(month_of(proposal.from))
        .chain(plan.rows.keys().map(|(day, ..)| day.strftime("%Y-%m").to_string()))
    {
        months.entry(month.clone()).or_insert(PlanMonth { month, before: 0, after: 0 });
    }
    for ((day, ..), row) in &plan.rows {
        let month = day.strftime("%Y-%m").to_string();
        months.entry(month).and_modify(|month| {
            month.before += row.before;
            month.after += row.after;
        });
    }
    PlanView {
        from: proposal.from,
        until: proposal.until,
        members: plan.members,
        on_their_way: plan.on_their_way,
        affected: plan.affected,
        ended_runs: plan.ended_runs,
        rows: plan.rows.iter().map(row_view).collect(),
        months: months.into_values().collect(),
        named: (plan.named.iter())
            .map(|((scenario, step), members)| PlanNamed {
                scenario: scenario.to_string(),
                step: step.to_string(),
                members: members.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        holds: Vec::new(),
        quota: None,
    }
}

fn row_view(
    ((day, scenario, step), row): (&(Date, ScenarioId, StepId), &crate::dispatch::plan::Row),
) -> PlanRow {
    PlanRow {
        day: *day,
        scenario: scenario.to_string(),
        step: step.to_string(),
        before: row.before,
        after: row.after,
        appear: row.appear,
        moved_here: row.moved_here,
        moved_away: row.moved_away,
        vanish: row.vanish,
        reworded: row.reworded,
    }
}
