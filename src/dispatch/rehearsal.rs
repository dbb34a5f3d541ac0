//! The real turns and engine on a clock moved by hand, with a LINE that accepts everything.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::turns::{Effect, Opening, Turns};
use super::{Action, Answer, Attempted, Command, Happened, Minutes, Reply};
use crate::clock::Moment;
use crate::model::{MemberFile, MemberId, ScenarioId, StepId};
use crate::scenario::{ScenarioSet, Trigger};
use crate::store::{self, Store, StoreError};

/// How long what comes every year is run on: long enough for each date to come once.
const A_YEAR: SignedDuration = SignedDuration::from_hours(370 * 24);

/// Turns taken in one instant beyond which something must be going round in circles.
const MAX_TURNS_AT_ONCE: usize = 100_000;

/// Runs scenarios through the whole protocol without a network, and keeps what happened.
#[derive(Debug)]
pub struct Rehearsal {
    turns: Turns,
    store: Arc<dyn Store>,
    queue: VecDeque<Command>,
    now: Timestamp,
    /// What the newest parcel of a step carries, until it is accepted.
    carried: HashMap<(MemberId, ScenarioId, StepId), serde_json::Value>,
    comes_every_year: bool,
    /// How far running out has come; none before it began.
    rest: Option<Rest>,
    happened: Vec<Line>,
}

/// What is left when no more commands come.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// The clock starts scenarios up to this instant.
    Ticking(Timestamp),
    /// Only what is planned, up to this instant.
    Planned(Timestamp),
}

/// One thing that happened, with the messages where they were accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub what: Happened,
    /// The array of LINE message objects.
    pub messages: Option<serde_json::Value>,
}

impl Rehearsal {
    /// # Errors
    /// What the store says.
    pub fn new(
        scenarios: Arc<ScenarioSet>,
        store: Arc<dyn Store>,
        start: Timestamp,
    ) -> Result<Rehearsal, StoreError> {
        let mut rehearsal = Rehearsal::open(scenarios, store, "rehearsal".into(), start)?;
        rehearsal.run_until(start)?;
        Ok(rehearsal)
    }

    /// Goes on from a store that holds members. `first` is done before all that is due.
    ///
    /// # Errors
    /// What the store says.
    pub fn resume(
        scenarios: Arc<ScenarioSet>,
        store: Arc<dyn Store>,
        channel: Arc<str>,
        start: Timestamp,
        first: Option<Action>,
    ) -> Result<Rehearsal, StoreError> {
        let mut rehearsal = Rehearsal::open(scenarios, store, channel, start)?;
        rehearsal.queue.extend(first.map(|what| Command { what, reply: None }));
        rehearsal.turn()?;
        rehearsal.settle_down()?;
        Ok(rehearsal)
    }

    fn open(
        scenarios: Arc<ScenarioSet>,
        store: Arc<dyn Store>,
        channel: Arc<str>,
        start: Timestamp,
    ) -> Result<Rehearsal, StoreError> {
        let comes_every_year = scenarios
            .dated()
            .iter()
            .flat_map(|scenario| &scenario.enter)
            .any(|enter| matches!(enter.trigger, Trigger::Date { yearly: true, .. }));
        let opening = Opening {
            scenarios,
            channel,
            salt: Vec::new(),
            holds: BTreeSet::new(),
            line_ahead: None,
            minutes: Minutes::Watched,
        };
        let turns = Turns::open(Arc::clone(&store), opening, start)?;
        Ok(Rehearsal {
            turns,
            store,
            queue: VecDeque::new(),
            now: start,
            carried: HashMap::new(),
            comes_every_year,
            rest: None,
            happened: Vec::new(),
        })
    }

    /// Runs up to `at`, then takes the action before whatever else is due at that instant.
    ///
    /// # Errors
    /// What the store says.
    pub fn act(&mut self, at: Timestamp, action: Action) -> Result<Answer, StoreError> {
        while self.step_before(at)? {}
        self.now = self.now.max(at);
        self.rest = None;
        let (reply, mut answer) = Reply::one();
        self.queue.push_back(Command { what: action, reply: Some(reply) });
        self.turn()?;
        self.settle_down()?;
        Ok(answer.try_recv().expect("a command is answered in the turn that takes it"))
    }

    /// Runs everything that is due up to and including `until`.
    ///
    /// # Errors
    /// What the store says.
    pub fn run_until(&mut self, until: Timestamp) -> Result<(), StoreError> {
        while self.step_until(until)? {}
        Ok(())
    }

    /// Runs the next instant that is due up to and including `until`; false if there is none, and the clock
    /// stands at `until` then.
    ///
    /// # Errors
    /// What the store says.
    pub fn step_until(&mut self, until: Timestamp) -> Result<bool, StoreError> {
        match self.turns.wake().filter(|wake| *wake <= until) {
            Some(wake) => {
                self.now = self.now.max(wake);
                self.turn()?;
                self.settle_down()?;
                Ok(true)
            }
            None => {
                // at the end of time nothing waits, and the clock stays where the last thing happened
                if until < Timestamp::MAX {
                    self.now = self.now.max(until);
                }
                Ok(false)
            }
        }
    }

    /// Runs the next instant that is due before `at`; false if there is none.
    ///
    /// # Errors
    /// What the store says.
    pub fn step_before(&mut self, at: Timestamp) -> Result<bool, StoreError> {
        match at.checked_sub(SignedDuration::from_millis(1)) {
            Ok(before) => self.step_until(before),
            Err(_) => Ok(false),
        }
    }

    /// Runs until nothing is left to do. What the clock starts again and again is run once more; what comes
    /// every year, until it has come once more.
    ///
    /// # Errors
    /// What the store says.
    pub fn run_out(&mut self) -> Result<(), StoreError> {
        while self.step_out()? {}
        Ok(())
    }

    /// Runs the next instant of those that [`Rehearsal::run_out`] runs; false if there is none.
    ///
    /// # Errors
    /// What the store says.
    pub fn step_out(&mut self) -> Result<bool, StoreError> {
        if self.rest.is_none() {
            self.rest = Some(match self.turns.last_of_next_ticks() {
                Some(last) => Rest::Ticking(last.max(self.now)),
                None => self.stop_ticks(),
            });
        }
        if let Some(Rest::Ticking(last)) = self.rest {
            if self.step_until(last)? {
                return Ok(true);
            }
            self.rest = Some(self.stop_ticks());
        }
        match self.rest {
            Some(Rest::Planned(end)) => self.step_until(end),
            _ => Ok(false),
        }
    }

    fn stop_ticks(&mut self) -> Rest {
        self.turns.stop_ticks();
        let year = self.now.checked_add(A_YEAR).ok().filter(|_| self.comes_every_year);
        Rest::Planned(year.unwrap_or(Timestamp::MAX))
    }

    /// What has happened since this was last asked.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.happened)
    }

    /// Forgets that members were linked and befriended, where that is only how a rehearsal begins.
    pub fn take_links(&mut self) {
        use crate::model::What;
        self.happened.retain(|line| !matches!(line.what.happening.what, What::Linked | What::Unblocked));
    }

    /// Forgets what came of setting a member up beside runs: that it was linked, and that what is only set up
    /// starts no scenario.
    pub fn take_setup(&mut self) {
        use crate::model::What;
        self.take_links();
        let is_silent = |line: &Line| line.what.happening.reason.as_deref() == Some("silent");
        self.happened.retain(|line| line.what.happening.what != What::NotEnrolled || !is_silent(line));
    }

    /// What is known of a member now; none of one that nothing was told of.
    ///
    /// # Errors
    /// What the store says.
    pub fn member(&self, id: &MemberId) -> Result<Option<MemberFile>, StoreError> {
        Ok(store::load_members(&*self.store, std::slice::from_ref(id))?.pop().flatten())
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes turns at this instant until all answers of LINE are in.
    fn settle_down(&mut self) -> Result<(), StoreError> {
        for _ in 0..MAX_TURNS_AT_ONCE {
            if self.queue.is_empty() {
                return Ok(());
            }
            self.turn()?;
        }
        panic!("the turns at {} do not come to an end", self.now);
    }

    fn turn(&mut self) -> Result<(), StoreError> {
        let effects = self.turns.take(&mut self.queue, Moment::by_hand(self.now))?;
        self.store.flush()?;
        for effect in effects.0 {
            match effect {
                Effect::Answer(reply, answer) => reply.answer(answer),
                Effect::Attempt(parcel) => {
                    let body: serde_json::Value =
                        serde_json::from_slice(&parcel.bytes).expect("a parcel is JSON");
                    for carried in &parcel.deliveries {
                        let step = (carried.member.clone(), parcel.scenario.clone(), parcel.step.clone());
                        self.carried.insert(step, body["messages"].clone());
                    }
                    let retry_key = parcel.retry_key;
                    let what = Action::Attempted { retry_key, attempted: Attempted::Accepted };
                    self.queue.push_back(Command { what, reply: None });
                }
                Effect::Happened(what) => {
                    let messages = self.messages_of(&what);
                    self.happened.push(Line { what, messages });
                }
                Effect::ConfirmQuota | Effect::Holds(_) => {}
            }
        }
        Ok(())
    }

    fn messages_of(&mut self, what: &Happened) -> Option<serde_json::Value> {
        let happening = &what.happening;
        if happening.what != crate::model::What::Accepted {
            return None;
        }
        let step = (what.member.clone(), happening.scenario.clone()?, happening.step.clone()?);
        self.carried.remove(&step)
    }
}
