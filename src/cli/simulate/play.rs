//! The run itself: what is told, in its order, through the real engine on a clock moved by hand.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{Span, Timestamp};

use super::input::link_of;
use crate::cli::Failure;
use crate::dispatch::rehearsal::{Line, Rehearsal};
use crate::dispatch::{Action, Answer, Happened, Refused};
use crate::engine::{Change, Refusal};
use crate::model::{Happening, MemberId, What};
use crate::scenario::ScenarioSet;
use crate::store::{MemoryStore, StoreError};

/// How long a run goes on after the last thing that is told: scenarios that start each other never end.
const MAX_YEARS_AFTER: i64 = 10;

/// How much may happen in a run; more than any reader looks at, and what a minute of computing gives.
const MAX_HAPPENINGS: usize = 5_000_000;

/// What is told of a member at an instant.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) member: MemberId,
    /// What makes the member before anything is told of it; without one, a linked friend.
    pub(super) setup: Option<Change>,
    pub(super) actions: Vec<Action>,
    pub(super) place: Place,
}

/// Where something that is told stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) number: Number,
}

/// What is counted in a file, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Line(usize),
    Sample(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Number::Line(line) => write!(f, "{}:{line}", self.file),
            Number::Sample(number) => write!(f, "{}: sample {number}", self.file),
        }
    }
}

/// Who follows a run.
pub(super) trait Listener {
    /// A member has been made, and what is told of it is still to come.
    fn set_up(&mut self, told: &Told, rehearsal: &Rehearsal) -> Result<(), Failure>;

    /// What is about to be told, before anything has come of it.
    fn about_to(&mut self, action: &Action, rehearsal: &Rehearsal) -> Result<(), Failure>;

    /// What has come of what was told, or of the time that has passed.
    fn happened(&mut self, lines: Vec<Line>, rehearsal: &Rehearsal) -> Result<(), Failure>;
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was left to do, or the moment came that was asked for.
    Done,
    /// It was cut off here.
    CutOff { at: Timestamp },
}

/// Tells everything and lets time pass until nothing is left to do, or until `until`.
///
/// # Errors
/// What the engine does not take in, with its place; or what a listener says.
pub(super) fn play(
    scenarios: &Arc<ScenarioSet>,
    told: Vec<Told>,
    until: Option<Timestamp>,
    listener: &mut dyn Listener,
) -> Result<End, Failure> {
    let start = told.first().map_or(Timestamp::UNIX_EPOCH, |told| told.at);
    let store = |error: StoreError| Failure::problem(error.to_string());
    let mut rehearsal =
        Rehearsal::new(Arc::clone(scenarios), Arc::new(MemoryStore::new()), start).map_err(store)?;
    let mut known = HashSet::new();
    let mut count = 0;
    for mut told in told {
        if until.is_some_and(|until| told.at > until) {
            break;
        }
        while rehearsal.step_before(told.at).map_err(store)? {
            if let Some(end) = pass_on(&mut rehearsal, &mut count, listener)? {
                return Ok(end);
            }
        }
        if known.insert(told.member.clone()) {
            let is_linked = || Change { link: Some(link_of(&told.member, true, true)), ..Change::default() };
            let change = told.setup.take().unwrap_or_else(is_linked);
            let setup = Action::Change { member: told.member.clone(), change, link: None };
            refuse(&rehearsal.act(told.at, setup).map_err(store)?, &told.place)?;
            rehearsal.take_setup();
            listener.set_up(&told, &rehearsal)?;
            pass_on(&mut rehearsal, &mut count, listener)?;
        }
        for action in told.actions {
            listener.about_to(&action, &rehearsal)?;
            let wish = match &action {
                Action::Enroll { wish, .. } => Some(wish.scenario.clone()),
                _ => None,
            };
            let answer = rehearsal.act(told.at, action).map_err(store)?;
            match (&answer, wish) {
                // that the rules do not let somebody in is a happening, and no mistake in the file
                (Answer::Refused(Refused::Bound(Refusal::NotEnrolled { reason })), Some(scenario)) => {
                    let happening = Happening {
                        at: told.at,
                        what: What::NotEnrolled,
                        scenario: Some(scenario),
                        step: None,
                        reason: Some(Arc::from(reason.as_str())),
                        until: None,
                        cause: None,
                    };
                    let what = Happened { member: told.member.clone(), happening };
                    listener.happened(vec![Line { what, messages: None }], &rehearsal)?;
                }
                (answer, _) => refuse(answer, &told.place)?,
            }
            if let Some(end) = pass_on(&mut rehearsal, &mut count, listener)? {
                return Ok(end);
            }
        }
    }
    let last = rehearsal.now().checked_add(Span::new().hours(MAX_YEARS_AFTER * 366 * 24));
    let last = last.unwrap_or(Timestamp::MAX);
    loop {
        let goes_on = match until {
            Some(until) => rehearsal.step_until(until),
            None => rehearsal.step_out(),
        };
        if !goes_on.map_err(store)? {
            return Ok(End::Done);
        }
        if let Some(end) = pass_on(&mut rehearsal, &mut count, listener)? {
            return Ok(end);
        }
        if until.is_none() && rehearsal.now() > last {
            return Ok(End::CutOff { at: rehearsal.now() });
        }
    }
}

fn pass_on(
    rehearsal: &mut Rehearsal,
    count: &mut usize,
    listener: &mut dyn Listener,
) -> Result<Option<End>, Failure> {
    let lines = rehearsal.take_lines();
    *count += lines.len();
    listener.happened(lines, rehearsal)?;
    Ok((*count > MAX_HAPPENINGS).then(|| End::CutOff { at: rehearsal.now() }))
}

fn refuse(answer: &Answer, place: &Place) -> Result<(), Failure> {
    match answer {
        Answer::Refused(why) => Err(Failure::problem(format!("{place}: {why}"))),
        _ => Ok(()),
    }
}
