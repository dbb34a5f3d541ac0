//! `GET /v1/members/{id}/timeline`: what happened, what is planned, and with `explain=true` why.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Api, Problem, Segment, members, read, scenarios};
use crate::dispatch::Hold;
use crate::engine::plan::{self, When};
use crate::engine::specimen::{self, Setting};
use crate::engine::{schedule, suppression};
use crate::model::{Attributes, Delivery, Enrollment, Happening, MemberFile, ScenarioId, Settlement, What};
use crate::scenario::program::Condition;
use crate::scenario::{Again, Enter, Hours, Offset, Scenario, ScenarioSet, Step, Timing, Trigger};
use crate::store::{self, Store, StoreError};

/// History rows that one answer reads: some twenty happenings each.
const MAX_ROWS: u32 = 200;

/// What happened to a member and what is planned, each with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineView {
    pub member: String,
    /// Oldest first.
    pub happened: Vec<HappenedView>,
    /// Soonest first within each run.
    pub planned: Vec<PlannedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<ExplainedView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HappenedView {
    pub at: Timestamp,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a deferral, the instant it was moved to; for an outcome, the instant it was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of an entry, what began it, where the scenario has more than one way or it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The delivery, while its fate is unknown and nobody has settled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Uuid>,
    /// The condition that it was passed over for, as the file has it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedView {
    pub scenario: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub step: String,
    /// `planned`, `after_the_one_before`, `if_taken` (a choice before it is still to be made) or `in_flight`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<WhyView>,
    /// Asked when its moment has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionView>,
}

/// What explains a member's timeline, as of now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExplainedView {
    /// When this was so.
    pub now: Timestamp,
    /// Runs that live, oldest first.
    pub runs: Vec<RunView>,
    /// What would keep messages from the member if they were due now.
    pub obstacles: Vec<ObstacleView>,
    /// The scenarios that the timeline is about, as their files are now.
    pub scenarios: Vec<ScenarioView>,
    /// The ids of all scenarios that run.
    pub known: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    pub scenario: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub entered_at: Timestamp,
    /// What days are counted from.
    pub anchor: Timestamp,
    /// The data of the event that began it, with updates put over it.
    pub event: Attributes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObstacleView {
    /// None for what holds for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// `hold(operator)`, `unlinked`, `blocked`, `opted_out`, `paused` or `holdout`.
    pub reason: String,
    /// What ends it, where somebody can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioView {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The zone of its civil times, by its IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    pub enter: Vec<RuleView>,
    /// Events that bring new data, and perhaps a new anchor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<String>,
    /// When the member entered it last, under any key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered: Option<Timestamp>,
    pub steps: Vec<StepView>,
}

/// One way into a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// `on`, `segment`, `date`, `every` or `manual`.
    pub by: String,
    /// What stands behind that word: an event's name, an expression, a pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Its `where`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionView>,
    pub again: String,
}

/// A step as its file has it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    pub step: String,
    /// `push`, `set` and so on.
    pub does: String,
    pub timing: TimingView,
    /// `anchor` where the scenario has a date of its own to count from, else `entry`.
    pub counts_from: String,
    /// The days of the week that it may be done on, `mon` to `sun`; none for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_days: Vec<String>,
    pub workdays: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Its `when`, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// When a step is to be done, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimingView {
    Day {
        days: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// The offset is written as `1h 30m`.
    After {
        offset: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    Before {
        offset: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    Wait {
        offset: String,
    },
    AtOnce,
}

/// A condition as written, and what it says now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionView {
    pub written: String,
    /// `true`, `false`, `missing(member.plan)` or `error(…)`; none where it cannot be asked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// The values that it uses, as they are now; null for one that is missing.
    pub values: BTreeMap<String, Value>,
}

/// Why a step is planned for its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    pub timing: TimingView,
    /// True where days are counted in workdays.
    pub workdays: bool,
    /// What it counts from: `entry`, `anchor`, `step` (the one before), or `resend` (an operator's word).
    pub from: String,
    pub from_at: Timestamp,
    /// Where a day that it may not be done on moved it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to_its_days: Option<Timestamp>,
    /// Where send hours moved it, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_by_hours: Option<Timestamp>,
}

/// What an answer is to hold beside what happened and is planned.
#[derive(Clone, Debug)]
pub struct Asked {
    pub now: Timestamp,
    /// None for the timeline alone.
    pub explain: Option<Explain>,
}

#[derive(Clone, Debug, Default)]
pub struct Explain {
    /// One more scenario to tell of, which may never have begun.
    pub scenario: Option<String>,
    /// Why nothing is sent to anybody.
    pub holds: Vec<Hold>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(default)]
    explain: bool,
    scenario: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    Segment(id): Segment,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<TimelineView>, Problem> {
    let Query(wish) = wish
        .map_err(|_| Problem::new(422, "the query takes `explain` (true or false) and `scenario` (an id)"))?;
    let holds = api.desk.status().holds().into_iter().collect();
    let explain = wish.explain.then_some(Explain { scenario: wish.scenario, holds });
    let asked = Asked { now: api.clock.now(), explain };
    let api = State(api);
    let file = members::load(&api, &id).await?;
    let scenarios = api.scenarios();
    read(&api, move |store| timeline_of(store, &file, &scenarios, &asked)).await.map(Json)
}

/// Puts together a member's timeline.
///
/// # Errors
/// What the store says.
pub fn timeline_of(
    store: &dyn Store,
    file: &MemberFile,
    scenarios: &ScenarioSet,
    asked: &Asked,
) -> Result<TimelineView, StoreError> {
    let from = file.history_rows.saturating_sub(MAX_ROWS);
    let rows = store::page_history(store, &file.id, from, MAX_ROWS as usize)?;
    let older = rows.into_iter().flat_map(|(_, happenings)| happenings);
    let happened: Vec<Happening> = older.chain(file.journal.iter().cloned()).collect();
    let planned = plan::planned(file, scenarios);
    let Some(explain) = &asked.explain else {
        return Ok(TimelineView {
            member: file.id.to_string(),
            happened: happened.into_iter().map(happened_view).collect(),
            planned: planned.into_iter().map(planned_view).collect(),
            explained: None,
        });
    };
    let explainer = Explainer { file, scenarios, now: asked.now };
    let told_of: BTreeSet<ScenarioId> = (happened.iter().filter_map(|happening| happening.scenario.clone()))
        .chain(planned.iter().map(|planned| planned.scenario.clone()))
        .chain(explain.scenario.as_deref().and_then(|id| ScenarioId::new(id).ok()))
        .collect();
    Ok(TimelineView {
        member: file.id.to_string(),
        explained: Some(ExplainedView {
            now: asked.now,
            runs: file.enrollments.iter().filter(|run| run.is_live()).map(run_view).collect(),
            obstacles: explainer.obstacles(&explain.holds),
            scenarios: (told_of.iter().filter_map(|id| scenarios.get(id)))
                .map(|scenario| explainer.scenario(scenario))
                .collect(),
            known: scenarios.iter().map(|scenario| scenario.id.to_string()).collect(),
        }),
        happened: explainer.happened(happened),
        planned: planned.into_iter().map(|planned| explainer.planned(planned)).collect(),
    })
}

fn happened_view(happening: Happening) -> HappenedView {
    HappenedView {
        at: happening.at,
        what: happening.what.word().to_owned(),
        scenario: happening.scenario.map(|id| id.to_string()),
        step: happening.step.map(|id| id.to_string()),
        reason: happening.reason.map(|reason| reason.to_string()),
        until: happening.until,
        cause: happening.cause.map(|cause| cause.to_string()),
        delivery: None,
        condition: None,
    }
}

fn planned_view(planned: plan::Planned) -> PlannedView {
    let (state, at) = match planned.when {
        When::At(at) => ("planned", Some(at)),
        When::AfterTheOneBefore => ("after_the_one_before", None),
        When::IfTaken => ("if_taken", None),
        When::InFlight { since } => ("in_flight", Some(since)),
    };
    PlannedView {
        scenario: planned.scenario.to_string(),
        key: planned.key.map(|key| key.to_string()),
        step: planned.step.to_string(),
        state: state.to_owned(),
        at,
        why: None,
        condition: None,
    }
}

fn run_view(run: &Enrollment) -> RunView {
    RunView {
        scenario: run.scenario.to_string(),
        key: run.key.as_ref().map(|key| key.to_string()),
        entered_at: run.entered_at,
        anchor: run.anchor,
        event: Attributes::clone(&run.event),
    }
}

/// Tells why, from the member's file and the scenarios as they are now.
struct Explainer<'a> {
    file: &'a MemberFile,
    scenarios: &'a ScenarioSet,
    now: Timestamp,
}

impl Explainer<'_> {
    fn happened(&self, happened: Vec<Happening>) -> Vec<HappenedView> {
        let mut views: Vec<HappenedView> = Vec::with_capacity(happened.len());
        for happening in happened {
            let condition = self.condition_of(&happening);
            views.push(HappenedView { condition, ..happened_view(happening) });
        }
        // of several that became unknown, the newest is the one that is still open
        for (delivery, scenario) in self.open_questions() {
            let is_it = |view: &&mut HappenedView| {
                view.what == What::Unknown.word()
                    && view.delivery.is_none()
                    && view.scenario.as_deref() == Some(scenario.as_str())
                    && view.step.as_deref() == Some(delivery.step.as_str())
            };
            if let Some(view) = views.iter_mut().rev().find(is_it) {
                view.delivery = Some(delivery.id().0);
            }
        }
        views
    }

    /// Deliveries whose fate is unknown, newest run first.
    fn open_questions(&self) -> Vec<(Delivery, ScenarioId)> {
        let mut found = Vec::new();
        for run in self.file.enrollments.iter().rev() {
            for record in &run.steps {
                if record.settled.is_some_and(|settled| settled.how == Settlement::Unknown) {
                    let (revision, generation) = (record.revision, record.generation);
                    let step = record.step.clone();
                    let delivery = Delivery { enrollment: run.id, step, revision, generation };
                    found.push((delivery, run.scenario.clone()));
                }
            }
        }
        found
    }

    /// The condition that a step was passed over for.
    fn condition_of(&self, happening: &Happening) -> Option<ConditionView> {
        let reason = happening.reason.as_deref()?;
        let is_asked = reason == "when" || reason.starts_with("missing(") || reason.starts_with("error(");
        if happening.what != What::Skipped || !is_asked {
            return None;
        }
        let scenario = self.scenarios.get(happening.scenario.as_ref()?)?;
        let condition = scenario.step(happening.step.as_ref()?)?.condition?;
        // a happening does not tell which of several runs it was of
        let mut runs = self.file.enrollments.iter().filter(|run| run.scenario == scenario.id);
        let run = runs.next().filter(|_| runs.next().is_none());
        Some(self.condition(scenario, condition, run))
    }

    /// What a condition says now; outside any run, only where it is about the member alone.
    fn condition(
        &self,
        scenario: &Scenario,
        condition: Condition,
        run: Option<&Enrollment>,
    ) -> ConditionView {
        let setting = run.map(Setting::of_run);
        let said = specimen::said(self.file, scenario, condition, setting.as_ref(), self.now);
        let is_known = |name: &str| run.is_some() || name.starts_with("member") || name == "now";
        let can_be_asked = said.values.iter().all(|(name, _)| is_known(name));
        let now = match said.truth {
            Ok(truth) => truth.to_string(),
            Err(failure) => failure.to_string(),
        };
        let json = |value: Option<String>| {
            value.and_then(|value| serde_json::from_str(&value).ok()).unwrap_or(Value::Null)
        };
        let values = said.values.into_iter().filter(|(name, _)| is_known(name));
        ConditionView {
            written: scenario.program.source(condition).to_owned(),
            now: can_be_asked.then_some(now),
            values: values.map(|(name, value)| (name, json(value))).collect(),
        }
    }

    fn planned(&self, planned: plan::Planned) -> PlannedView {
        let run = (self.file.enrollments.iter()).find(|run| {
            run.scenario == planned.scenario && run.is_live() && run.key.as_deref() == planned.key.as_deref()
        });
        let found = run.zip(self.scenarios.get(&planned.scenario));
        let found = found.and_then(|(run, scenario)| Some((run, scenario, scenario.step(&planned.step)?)));
        let is_timed = matches!(planned.when, When::At(_));
        let view = planned_view(planned);
        let Some((run, scenario, step)) = found else { return view };
        PlannedView {
            why: is_timed.then(|| why(scenario, step, run)),
            condition: step.condition.map(|condition| self.condition(scenario, condition, Some(run))),
            ..view
        }
    }

    fn obstacles(&self, holds: &[Hold]) -> Vec<ObstacleView> {
        let general = |reason: String, remedy: Option<&str>| ObstacleView {
            scenario: None,
            reason,
            remedy: remedy.map(str::to_owned),
        };
        let mut found: Vec<ObstacleView> = (holds.iter())
            .map(|hold| general(format!("hold({})", hold.word()), Some(hold.remedy())))
            .collect();
        let of_member = suppression::suppression(self.file, None);
        if let Some(reason) = &of_member {
            found.push(general(reason.word().to_owned(), None));
        }
        let mut seen = BTreeSet::new();
        for run in self.file.enrollments.iter().filter(|run| run.is_live()) {
            let Some(scenario) = self.scenarios.get(&run.scenario) else { continue };
            let of_topic = suppression::suppression(self.file, scenario.topic.as_deref());
            let reasons = [
                of_topic.filter(|_| of_member.is_none()).map(|reason| reason.word().to_owned()),
                scenario.paused.then(|| "paused".to_owned()),
                run.held_out.then(|| "holdout".to_owned()),
            ];
            for reason in reasons.into_iter().flatten() {
                let scenario = scenario.id.to_string();
                if seen.insert((scenario.clone(), reason.clone())) {
                    found.push(ObstacleView { scenario: Some(scenario), reason, remedy: None });
                }
            }
        }
        found
    }

    fn scenario(&self, scenario: &Scenario) -> ScenarioView {
        let entries = self.file.entries.iter().filter(|entries| entries.scenario == scenario.id);
        ScenarioView {
            id: scenario.id.to_string(),
            title: scenario.title.clone(),
            zone: scenario.zone.iana_name().map(str::to_owned),
            starts: scenario.starts,
            ends: scenario.ends,
            enter: scenario.enter.iter().map(|enter| self.rule(scenario, enter)).collect(),
            update: scenario.update.iter().map(|update| update.on.to_string()).collect(),
            entered: entries.map(|entries| entries.last).max(),
            steps: scenario.steps.iter().map(|step| step_view(scenario, step)).collect(),
        }
    }

    fn rule(&self, scenario: &Scenario, enter: &Enter) -> RuleView {
        let (by, of) = match &enter.trigger {
            Trigger::Event(name) => ("on", Some(name.as_str().to_owned())),
            Trigger::Segment(condition) => ("segment", Some(scenario.program.source(*condition).to_owned())),
            Trigger::Date { at, .. } => ("date", Some(scenario.program.source_of(*at).to_owned())),
            Trigger::Every(cron) => ("every", Some(cron.as_written().to_owned())),
            Trigger::Manual => ("manual", None),
        };
        let again = match &enter.again {
            Again::Never => "never".to_owned(),
            Again::AfterExit => "after_exit".to_owned(),
            Again::Always => "always".to_owned(),
            Again::CoolDown(pause) => length(pause),
        };
        let condition = enter.condition.map(|condition| self.condition(scenario, condition, None));
        RuleView { by: by.to_owned(), of, condition, again }
    }
}

fn why(scenario: &Scenario, step: &Step, run: &Enrollment) -> WhyView {
    let course = schedule::course(scenario, step, run);
    let has_begun = run.steps.iter().any(|record| record.settled.is_some());
    let (from, from_at) = match (&course.resent, schedule::has_own_time(&step.timing)) {
        (Some(resent), _) => ("resend", *resent),
        (None, true) => (counts_from(scenario), run.anchor),
        (None, false) if has_begun => ("step", run.reached_at),
        (None, false) => ("entry", run.reached_at),
    };
    let moment = course.resent.unwrap_or(course.on_its_days);
    let is_moved = course.resent.is_none() && course.on_its_days != course.timed;
    WhyView {
        timing: timing_view(&step.timing),
        workdays: step.days.workdays,
        from: from.to_owned(),
        from_at,
        moved_to_its_days: is_moved.then_some(course.on_its_days),
        moved_by_hours: (course.due != moment).then_some(course.due),
    }
}

fn counts_from(scenario: &Scenario) -> &'static str {
    if scenario.anchored { "anchor" } else { "entry" }
}

fn step_view(scenario: &Scenario, step: &Step) -> StepView {
    let days = [
        (Weekday::Monday, "mon"),
        (Weekday::Tuesday, "tue"),
        (Weekday::Wednesday, "wed"),
        (Weekday::Thursday, "thu"),
        (Weekday::Friday, "fri"),
        (Weekday::Saturday, "sat"),
        (Weekday::Sunday, "sun"),
    ];
    let on_days = step.days.on.map_or(Vec::new(), |on| {
        days.iter().filter(|(day, _)| on.contains(*day)).map(|(_, word)| (*word).to_owned()).collect()
    });
    let hours = step.hours.or(scenario.hours.filter(|_| step.messages().is_some()));
    StepView {
        step: step.id.to_string(),
        does: scenarios::does(&step.act).to_owned(),
        timing: timing_view(&step.timing),
        counts_from: counts_from(scenario).to_owned(),
        on_days,
        workdays: step.days.workdays,
        hours: hours.map(window),
        condition: step.condition.map(|condition| scenario.program.source(condition).to_owned()),
    }
}

fn timing_view(timing: &Timing) -> TimingView {
    let clock = |at: &Option<Time>| at.map(|at| at.strftime("%H:%M").to_string());
    match timing {
        Timing::Day { days, at } => TimingView::Day { days: *days, at: clock(at) },
        Timing::After { offset, at } => TimingView::After { offset: length(offset), at: clock(at) },
        Timing::Before { offset, at } => TimingView::Before { offset: length(offset), at: clock(at) },
        Timing::Wait { offset } => TimingView::Wait { offset: length(offset) },
        Timing::AtOnce => TimingView::AtOnce,
    }
}

/// A length of time as people write it: `1h 30m`, `3d`.
fn length(offset: &Offset) -> String {
    match offset {
        Offset::Exact(time) => format!("{time:#}"),
        Offset::Civil(span) => format!("{span:#}"),
    }
}

fn window(hours: Hours) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{}-{}", clock(hours.start_minute), clock(hours.end_minute))
}
