//! Runs that a date of the member plans: they move with it, end when it is taken away, and with `yearly`
//! come again.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::trigger::{Cause, entries_key, next_ordinal};
use super::{Trust, Turn, member_scope, schedule};
use crate::model::{Enrollment, EnrollmentId, Settled, Settlement, Standing};
use crate::mutation::{self, Mutation};
use crate::scenario::program::{Expression, Names, Scope, parse_instant};
use crate::scenario::{Enter, Scenario, Trigger};

impl Turn<'_> {
    /// Makes the runs that dates plan agree with the member's dates.
    pub(super) fn follow_dates(&mut self) {
        let scenarios = self.context.scenarios;
        if scenarios.dated().is_empty() || self.context.clock == Trust::Doubtful {
            return;
        }
        let names = Names::new(Scope {
            member: member_scope(self.file),
            event: None,
            enrollment: None,
            anchor: None,
            now: self.context.now,
        });
        for scenario in scenarios.dated() {
            for enter in &scenario.enter {
                if let Trigger::Date { at, yearly } = enter.trigger {
                    self.follow_date(scenario, enter, told_date(scenario, at, &names), yearly, &names);
                }
            }
        }
    }

    fn follow_date(
        &mut self,
        scenario: &Scenario,
        enter: &Enter,
        told: Option<Timestamp>,
        yearly: bool,
        names: &Names,
    ) {
        let is_own = |run: &Enrollment| run.scenario == scenario.id && run.is_live() && run.dated;
        let mut all = (0..self.file.enrollments.len())
            .filter(|index| is_own(&self.file.enrollments[*index]))
            .collect::<Vec<_>>()
            .into_iter();
        let live = all.next();
        // a member who turned out to be a friend with a date of its own has one run by its own date
        all.for_each(|index| self.exit(index, "date"));
        let Some(told) = told else {
            if let Some(index) = live {
                self.leave_date(index);
            }
            return;
        };
        let zone = &scenario.zone;
        let Some(index) = live else {
            let holds = |condition| scenario.program.test(condition, names).unwrap_or(false);
            if enter.condition.is_none_or(holds)
                && let Some(anchor) = self.next_occurrence(scenario, told, yearly)
            {
                self.plan_run(scenario, anchor);
            }
            return;
        };
        let anchor = self.file.enrollments[index].anchor;
        let stands = match yearly {
            true => in_year(told, year_of(anchor, zone), zone) == Some(anchor),
            false => told == anchor,
        };
        if stands {
            return;
        }
        // the run is known by its new date from now on, so that the date does not start another
        let moved = match yearly {
            true => self.next_occurrence(scenario, told, yearly).unwrap_or(told),
            false => told,
        };
        let key = key_of(moved, zone);
        if self.file.enrollments[index].key.as_deref() != Some(&key) && !mutation::is(Mutation::DateRunTwice)
        {
            if self.has_entered_by(scenario, moved) {
                // a run by that date is over: it is not for this one to do it again
                return self.leave_date(index);
            }
            let old = self.file.enrollments[index].key.clone();
            self.mark_left(scenario, old.as_deref());
            next_ordinal(self.file, &scenario.id, Some(&key), moved);
            self.file.enrollments[index].key = Some(Arc::from(key.as_str()));
        }
        self.move_anchor(scenario, index, moved);
    }

    /// The soonest occurrence of a date for which something is still to be done and that the member has
    /// not entered by.
    fn next_occurrence(&self, scenario: &Scenario, told: Timestamp, yearly: bool) -> Option<Timestamp> {
        let zone = &scenario.zone;
        let this_year = year_of(self.context.now, zone);
        let is_open = |anchor: &Timestamp| {
            let has_entered = self.has_entered_by(scenario, *anchor);
            let in_time = scenario.starts.is_none_or(|starts| *anchor >= starts)
                && scenario.ends.is_none_or(|ends| *anchor < ends);
            in_time && !has_entered && !self.is_past(scenario, *anchor)
        };
        match yearly {
            false => Some(told).filter(is_open),
            // the year before, for what comes long after the date; two on, where this year's is over
            true => (this_year - 1..=this_year + 2)
                .filter_map(|year| in_year(told, year, zone))
                .filter(|anchor| *anchor >= told)
                .find(is_open),
        }
    }

    /// True if the member has entered by this date, and no run has left it since.
    fn has_entered_by(&self, scenario: &Scenario, anchor: Timestamp) -> bool {
        let key = entries_key(Some(&key_of(anchor, &scenario.zone)));
        self.file.entries.iter().any(|e| e.scenario == scenario.id && e.key == key && !e.left)
    }

    /// Notes that a run has left its date undone, which may be entered by again.
    fn mark_left(&mut self, scenario: &Scenario, key: Option<&str>) {
        let key = entries_key(key);
        let entries = self.file.entries.iter_mut();
        for entry in entries.filter(|e| e.scenario == scenario.id && e.key == key) {
            entry.left = true;
        }
    }

    /// Ends a run whose date is none any more. If nothing was sent by it, the date may come back.
    fn leave_date(&mut self, index: usize) {
        let run = &self.file.enrollments[index];
        let may_have_got =
            |settled: Settled| matches!(settled.how, Settlement::Accepted | Settlement::Unknown);
        let is_unsent = matches!(run.now, Standing::Waiting { .. })
            && !run.steps.iter().any(|r| r.revision > 0 || r.settled.is_some_and(may_have_got));
        let (scenario, key) = (run.scenario.clone(), run.key.clone());
        if is_unsent && let Some(scenario) = self.context.scenarios.get(&scenario) {
            self.mark_left(scenario, key.as_deref());
        }
        self.exit(index, "date");
    }

    /// The live runs that dates have planned.
    pub(super) fn dated_runs(&self) -> Vec<EnrollmentId> {
        let live = self.file.enrollments.iter().filter(|run| run.is_live() && run.dated);
        live.map(|run| run.id).collect()
    }

    /// True if a run by this anchor would find every step too late.
    fn is_past(&self, scenario: &Scenario, anchor: Timestamp) -> bool {
        let run = self.planned_run(scenario, anchor, 0);
        let now = self.context.now;
        scenario.steps.iter().all(|step| {
            let slot = schedule::slot(scenario, step, &run);
            match step.messages() {
                Some(_) => slot.is_late(now),
                None => now.duration_since(slot.due) > schedule::DEFAULT_LATE,
            }
        })
    }

    fn plan_run(&mut self, scenario: &Scenario, anchor: Timestamp) {
        let key = key_of(anchor, &scenario.zone);
        if !self.has_room_for(scenario, &Arc::default()) {
            return;
        }
        let ordinal = next_ordinal(self.file, &scenario.id, Some(&key), anchor);
        let run = self.planned_run(scenario, anchor, ordinal);
        self.file.enrollments.push(run);
        let index = self.file.enrollments.len() - 1;
        self.note_entry(index, scenario, Cause::Date, Some(anchor));
    }

    /// A run whose entry is the date itself.
    fn planned_run(&self, scenario: &Scenario, anchor: Timestamp, ordinal: u32) -> Enrollment {
        let key = key_of(anchor, &scenario.zone);
        let (channel, member) = (self.context.channel, &self.file.id);
        Enrollment {
            id: EnrollmentId::derive(channel, member, &scenario.id, Some(&key), ordinal),
            scenario: scenario.id.clone(),
            key: Some(Arc::from(key.as_str())),
            entered_at: anchor,
            anchor,
            event: Arc::default(),
            steps: Vec::new(),
            reached_at: anchor,
            held_out: super::acts::is_held_out(scenario, self.file),
            dated: true,
            kept_until: None,
            now: Standing::Waiting { until: self.context.now },
            ended: None,
        }
    }
}

/// The instant of the member's date: the start of a day in the scenario's zone, unless it has a time.
pub(super) fn told_date(scenario: &Scenario, at: Expression, names: &Names) -> Option<Timestamp> {
    let text = scenario.program.text(at, names).ok()?;
    parse_instant(&text, &scenario.zone).and_then(super::whole_ms)
}

fn year_of(instant: Timestamp, zone: &TimeZone) -> i16 {
    instant.to_zoned_datetime(zone.clone()).year()
}

/// The same day and time of another year; February 29 is February 28 where there is none.
fn in_year(told: Timestamp, year: i16, zone: &TimeZone) -> Option<Timestamp> {
    let civil = told.to_zoned_datetime(zone.clone());
    let day = if civil.month() == 2 && civil.day() == 29 && !is_leap(year) { 28 } else { civil.day() };
    let date = Date::new(year, civil.month(), day).ok()?;
    let there = date.to_datetime(civil.time()).to_zoned_datetime(zone.clone());
    there.ok().map(|there: ZonedDateTime| there.timestamp())
}

fn is_leap(year: i16) -> bool {
    Date::new(year, 2, 29).is_ok()
}

/// What a run by a date is known by: the date.
fn key_of(anchor: Timestamp, zone: &TimeZone) -> String {
    anchor.to_zoned_datetime(zone.clone()).date().to_string()
}
