use std::collections::BTreeMap;

use super::*;
use crate::clock::Moment;
use crate::dispatch::attempts::{HELD_WAIT, MAX_REPLAY, UNTRIED_WAIT};
use crate::dispatch::outbox::CUTOFF;
use crate::dispatch::{Attempted, Blame};
use crate::dispatch::{IfTaken, LinkRequest, Minutes};
use crate::engine::Change;
use crate::engine::Resolution;
use crate::model::RetryKey;
use crate::model::{Event, EventName, LineUserId};
use crate::scenario::Defaults;
use crate::scenario::load::load;
use crate::scenario::source::Sources;
use crate::store::MemoryStore;

mod found;
mod settling;
mod together;

/// One text for each, so that nothing goes out together.
const PERSONAL: &str = r#"
scenario: one
enter: { on: go }
steps: [{ step: only, after: 1h, push: "{{ member.id }}" }]
"#;

const TWO_STEPS: &str = r#"
scenario: two
enter: { on: go, again: always }
steps:
  - step: first
    push: "{{ member.name | default('m') }} first"
  - step: second
    push: second
"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn scenarios(text: &str) -> Arc<ScenarioSet> {
    let id = text.lines().find_map(|line| line.strip_prefix("scenario: ")).unwrap();
    let sources = Sources::from_files([(format!("{id}.yaml"), text.as_bytes().to_vec())]);
    let loaded = load(&sources, &Defaults::default());
    Arc::new(loaded.set.unwrap_or_else(|| panic!("{:?}", loaded.findings)))
}

/// Turns on a store in memory, with a LINE that answers what the test says.
struct Rig {
    store: Arc<MemoryStore>,
    scenarios: Arc<ScenarioSet>,
    turns: Turns,
    queue: VecDeque<Command>,
    now: Timestamp,
    /// Every attempt: its key and bytes.
    attempts: Vec<(RetryKey, String)>,
    happened: Vec<String>,
    effects: Vec<String>,
}

impl Rig {
    fn new(text: &str) -> Rig {
        let store = Arc::new(MemoryStore::new());
        let scenarios = scenarios(text);
        let now = at("2026-03-02T03:00:00Z");
        let turns = Rig::open(&store, &scenarios, now);
        let mut rig = Rig {
            store,
            scenarios,
            turns,
            queue: VecDeque::new(),
            now,
            attempts: Vec::new(),
            happened: Vec::new(),
            effects: Vec::new(),
        };
        rig.settle_down(|_| None);
        rig
    }

    fn open(store: &Arc<MemoryStore>, scenarios: &Arc<ScenarioSet>, now: Timestamp) -> Turns {
        let opening = Opening {
            scenarios: Arc::clone(scenarios),
            channel: "C".into(),
            salt: vec![1],
            holds: BTreeSet::new(),
            line_ahead: None,
            minutes: Minutes::Watched,
        };
        Turns::open(store.clone(), opening, now).unwrap()
    }

    /// The process dies: what was not flushed may be lost, and another one starts.
    fn crash(&mut self, survivors: usize) {
        self.store.cut_power(survivors);
        self.queue.clear();
        self.turns = Rig::open(&self.store, &self.scenarios, self.now);
    }

    fn member(&mut self, id: &str) {
        let user = LineUserId::new(&format!("U{:032x}", crate::model::fingerprint(id))).unwrap();
        let link = Some(LinkRequest { user, taken: IfTaken::Refuse });
        let member = MemberId::new(id).unwrap();
        self.queue.push_back(command(Action::Change { member, change: Change::default(), link }));
        self.settle_down(|_| None);
    }

    fn event(&mut self, member: &str, id: &str) {
        let name = EventName::new("go").unwrap();
        let event = Event { id: Some(id.into()), name, at: self.now, data: Default::default() };
        let member = Whom::Member(MemberId::new(member).unwrap());
        self.queue.push_back(command(Action::Event { member, event }));
    }

    /// Takes turns, flushing each, until nothing is left to do at this instant. `line` answers attempts;
    /// none leaves an attempt without an answer.
    fn settle_down(&mut self, line: impl Fn(&Parcel) -> Option<Attempted>) {
        for _ in 0..1_000 {
            let idle = self.turns.wake().is_none_or(|wake| wake > self.now);
            if self.queue.is_empty() && idle {
                return;
            }
            let effects = self.turns.take(&mut self.queue, Moment::by_hand(self.now)).unwrap();
            self.store.flush().unwrap();
            self.release(effects, &line);
        }
        panic!("the turns do not come to an end");
    }

    fn release(&mut self, effects: Effects, line: &impl Fn(&Parcel) -> Option<Attempted>) {
        for effect in effects.0 {
            match effect {
                Effect::Attempt(parcel) => {
                    let bytes = String::from_utf8(parcel.bytes.to_vec()).unwrap();
                    self.attempts.push((parcel.retry_key, bytes));
                    if let Some(attempted) = line(&parcel) {
                        let retry_key = parcel.retry_key;
                        self.queue.push_back(command(Action::Attempted { retry_key, attempted }));
                    }
                }
                Effect::Happened(what) => {
                    let happening = &what.happening;
                    let step = happening.step.as_ref().map(|step| step.to_string()).unwrap_or_default();
                    let reason = happening.reason.as_deref().unwrap_or_default();
                    self.happened
                        .push(format!("{} {step} {reason}", happening.what.word()).trim().to_owned());
                }
                Effect::Answer(reply, answer) => reply.answer(answer),
                other => self.effects.push(format!("{other:?}")),
            }
        }
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
    }

    /// No key was ever used with two bodies.
    fn assert_same_bytes_under_a_key(&self) {
        let mut seen = BTreeMap::new();
        for (key, bytes) in &self.attempts {
            assert_eq!(seen.entry(key).or_insert(bytes), &bytes, "two bodies under {key}");
        }
    }
}

fn command(what: Action) -> Command {
    Command { what, reply: None }
}

fn accept(_: &Parcel) -> Option<Attempted> {
    Some(Attempted::Accepted)
}

#[test]
fn what_was_in_flight_goes_on_with_the_same_key_and_bytes() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| None);
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 3, "first, first again, second");
    assert_eq!(rig.attempts[0], rig.attempts[1]);
    assert_ne!(rig.attempts[1].0, rig.attempts[2].0);
    rig.assert_same_bytes_under_a_key();
    assert_eq!(rig.turns.outbox_len(), 0);
    let left = store::page_outbox(&*rig.store, None, 10).unwrap();
    assert_eq!(left, [], "settled rows are gone");
}

#[test]
fn a_turn_that_was_not_flushed_has_sent_nothing() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    let effects = rig.turns.take(&mut rig.queue, Moment::by_hand(rig.now)).unwrap();
    assert!(effects.0.iter().any(|effect| matches!(effect, Effect::Attempt(_))));
    drop(effects);
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(rig.attempts, [], "the event was not acknowledged, and its push does not exist");
    // the shop asks again, as it had no answer
    rig.event("m1", "e1");
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 2);
}

#[test]
fn a_lost_outcome_is_asked_for_again_and_not_sent_anew() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| None);
    let key = rig.attempts[0].0;
    // LINE's answer is decided about, and the power goes before that is durable
    rig.queue.push_back(command(Action::Attempted { retry_key: key, attempted: Attempted::Accepted }));
    drop(rig.turns.take(&mut rig.queue, Moment::by_hand(rig.now)).unwrap());
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(rig.attempts[1].0, key, "LINE is asked under the same key");
    rig.assert_same_bytes_under_a_key();
    assert_eq!(rig.happened.iter().filter(|line| *line == "accepted first").count(), 1);
}

#[test]
fn an_ambiguous_attempt_is_repeated_by_the_schedule_until_the_cutoff_and_then_unknown() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    let start = rig.now;
    rig.settle_down(|_| Some(Attempted::Ambiguous));
    let mut times = vec![SignedDuration::ZERO];
    while rig.turns.outbox_len() > 0 && times.len() < 400 {
        rig.now = rig.turns.wake().unwrap();
        let before = rig.attempts.len();
        rig.settle_down(|parcel| {
            Some(if parcel.step.as_str() == "first" { Attempted::Ambiguous } else { Attempted::Accepted })
        });
        if rig.attempts.len() > before {
            times.push(rig.now.duration_since(start));
        }
    }
    let last_of_first = times[times.len() - 2];
    assert!(last_of_first < CUTOFF, "an attempt after {last_of_first:?}");
    assert!(last_of_first > CUTOFF - SignedDuration::from_mins(6), "given up after {last_of_first:?}");
    assert!(rig.happened.contains(&"unknown first window".to_owned()), "{:?}", rig.happened);
    assert!(rig.happened.contains(&"accepted second".to_owned()), "the run goes on");
    rig.assert_same_bytes_under_a_key();
}

#[test]
fn a_line_that_cannot_be_reached_for_a_day_withdraws_and_decides_afresh() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    let first = rig.now;
    rig.settle_down(|_| Some(Attempted::NotSent));
    let key = rig.attempts[0].0;
    while rig.now.duration_since(first) < CUTOFF {
        rig.now = rig.turns.wake().unwrap();
        rig.settle_down(|_| Some(Attempted::NotSent));
    }
    assert!(rig.happened.contains(&"withdrawn first window".to_owned()), "{:?}", rig.happened);
    let new = rig.attempts.last().unwrap().0;
    assert_ne!(new, key, "a new generation has a new key");
    rig.now = rig.turns.wake().unwrap();
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"accepted first".to_owned()), "{:?}", rig.happened);
}

#[test]
fn a_refusal_is_final_and_does_not_hold_up_the_steps_after_it() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|parcel| {
        Some(match parcel.step.as_str() {
            "first" => Attempted::Refused { reason: "line(400 bad)".into(), blame: Blame::Content },
            _ => Attempted::Accepted,
        })
    });
    let expected = ["linked", "enrolled", "rejected first line(400 bad)", "accepted second", "completed"];
    assert_eq!(rig.happened, expected);
}

#[test]
fn blocked_between_attempts_stops_what_was_not_sent_and_leaves_the_rest_unknown() {
    for (attempted, expected) in
        [(Attempted::Throttled, "withdrawn first blocked"), (Attempted::Ambiguous, "unknown first blocked")]
    {
        let mut rig = Rig::new(TWO_STEPS);
        rig.member("m1");
        rig.event("m1", "e1");
        rig.settle_down(|_| Some(attempted.clone()));
        let user = LineUserId::new(&format!("U{:032x}", crate::model::fingerprint("m1"))).unwrap();
        let name = EventName::new("line.unfollow").unwrap();
        let event = Event { id: Some("w1".into()), name, at: rig.now, data: Default::default() };
        let friendship = Some(crate::model::Friendship::Blocked);
        rig.queue.push_back(command(Action::Line { user, event, friendship }));
        rig.settle_down(accept);
        rig.pass(SignedDuration::from_secs(1));
        rig.settle_down(accept);
        assert!(rig.happened.contains(&expected.to_owned()), "{:?}", rig.happened);
        assert_eq!(rig.attempts.len(), 1, "nothing more to a member who has blocked");
    }
}

#[test]
fn a_push_that_may_be_out_is_never_sent_to_the_next_owner_of_a_link() {
    for (attempted, expected) in [
        (Attempted::NotSent, ["withdrawn first link", "skipped first unlinked"].as_slice()),
        (Attempted::Ambiguous, &["unknown first link"]),
    ] {
        let mut rig = Rig::new(TWO_STEPS);
        rig.member("m1");
        rig.event("m1", "e1");
        rig.settle_down(|_| Some(attempted.clone()));
        let user = LineUserId::new(&format!("U{:032x}", crate::model::fingerprint("m1"))).unwrap();
        let link = Some(LinkRequest { user: user.clone(), taken: IfTaken::Move });
        let member = MemberId::new("m2").unwrap();
        rig.queue.push_back(command(Action::Change { member, change: Change::default(), link }));
        rig.settle_down(accept);
        rig.pass(SignedDuration::from_secs(1));
        rig.settle_down(accept);
        for line in expected {
            assert!(rig.happened.contains(&(*line).to_owned()), "{line}: {:?}", rig.happened);
        }
        assert_eq!(rig.attempts.len(), 1, "{:?}", rig.attempts);
    }
}

#[test]
fn a_refused_token_holds_all_sends_and_loses_nothing() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.member("m2");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::Unauthorized));
    assert_eq!(rig.effects, ["Holds({Token})"]);
    rig.event("m2", "e2");
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_mins(10));
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 1, "nothing leaves while it is held");
    rig.queue.push_back(command(Action::Lift(Hold::Token)));
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_mins(2));
    rig.settle_down(accept);
    assert_eq!(rig.happened.iter().filter(|line| line.starts_with("accepted")).count(), 4);
    rig.assert_same_bytes_under_a_key();
}

#[test]
fn a_used_up_quota_is_confirmed_before_everything_is_taken_back() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::OverQuota));
    assert_eq!(rig.effects, ["Holds({Quota})", "ConfirmQuota"]);
    let key = rig.attempts[0].0;
    rig.queue.push_back(command(Action::Quota { limit: Some(200), used: 200 }));
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"withdrawn first quota".to_owned()), "{:?}", rig.happened);
    assert_eq!(rig.turns.outbox_len(), 0);
    // the month turns
    rig.pass(SignedDuration::from_hours(2));
    rig.queue.push_back(command(Action::Quota { limit: Some(200), used: 0 }));
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"accepted first".to_owned()), "{:?}", rig.happened);
    assert_ne!(rig.attempts[1].0, key);
}

#[test]
fn a_quota_that_is_only_reserved_lets_the_same_key_go_on() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::OverQuota));
    rig.queue.push_back(command(Action::Quota { limit: Some(200), used: 20 }));
    rig.settle_down(accept);
    rig.pass(HELD_WAIT);
    rig.settle_down(accept);
    assert_eq!(rig.attempts[0], rig.attempts[1]);
}

#[test]
fn a_failed_commit_is_the_end_of_it() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.store.set_failing(true);
    let (reply, mut answer) = Reply::one();
    rig.event("m1", "e1");
    rig.queue[0].reply = Some(reply);
    assert!(rig.turns.take(&mut rig.queue, Moment::by_hand(rig.now)).is_err());
    assert!(answer.try_recv().is_err(), "nobody is told that it happened");
    rig.store.set_failing(false);
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(rig.attempts, []);
}

#[test]
fn large_bodies_are_stored_once_and_go_with_the_last_parcel() {
    let long = "あ".repeat(3_000);
    let text = format!("scenario: long\nenter: {{ on: go }}\nsteps:\n  - step: only\n    push: {long}\n");
    let mut rig = Rig::new(&text);
    for n in 0..20 {
        rig.member(&format!("m{n}"));
    }
    for n in 0..20 {
        rig.event(&format!("m{n}"), "e");
    }
    rig.settle_down(|_| None);
    assert_eq!(store::page_bodies(&*rig.store, None, 10).unwrap().len(), 1);
    assert_eq!(rig.attempts.len(), 1, "one multicast to all");
    rig.crash(0);
    rig.settle_down(accept);
    rig.assert_same_bytes_under_a_key();
    assert_eq!(rig.attempts.len(), 2, "it was asked for again");
    assert_eq!(store::page_bodies(&*rig.store, None, 10).unwrap().len(), 0);
}

#[test]
fn a_parcel_whose_bytes_are_not_whole_is_never_sent() {
    let long = "あ".repeat(3_000);
    let text = format!("scenario: long\nenter: {{ on: go }}\nsteps:\n  - step: only\n    push: {long}\n");
    let mut rig = Rig::new(&text);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| None);
    let hash = store::page_bodies(&*rig.store, None, 1).unwrap()[0];
    let mut batch = Batch::default();
    batch.put_body(&hash, "[tampered]");
    rig.store.commit(&batch, Epoch::EMBEDDED).unwrap();
    rig.store.flush().unwrap();
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 1, "only the attempt before the crash");
    assert!(rig.happened.contains(&"unknown only bytes".to_owned()), "{:?}", rig.happened);
}

#[test]
fn the_outbox_is_bounded_and_due_work_waits_in_the_index() {
    let mut rig = Rig::new(PERSONAL);
    let members = crate::dispatch::MAX_OUTBOX + 500;
    for n in 0..members {
        rig.member(&format!("m{n}"));
        rig.event(&format!("m{n}"), "e");
    }
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_hours(1));
    rig.settle_down(|_| None);
    let bound = crate::dispatch::MAX_OUTBOX;
    assert!((bound..bound + 100).contains(&rig.turns.outbox_len()), "{}", rig.turns.outbox_len());
    let keys: Vec<RetryKey> = rig.attempts.iter().map(|(key, _)| *key).collect();
    for retry_key in keys {
        rig.queue.push_back(command(Action::Attempted { retry_key, attempted: Attempted::Accepted }));
    }
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), members);
}

#[test]
fn an_edit_that_moves_a_step_moves_it_for_everybody_after_a_sweep_that_survives_a_crash() {
    let text = |hours: u32| {
        format!(
            "scenario: one\nenter: {{ on: go }}\nsteps:\n  - step: only\n    after: {hours}h\n    \
             push: \"{{{{ member.id }}}}\"\n"
        )
    };
    let mut rig = Rig::new(&text(48));
    for n in 0..300 {
        rig.member(&format!("m{n}"));
        rig.event(&format!("m{n}"), "e");
    }
    rig.settle_down(accept);
    rig.scenarios = scenarios(&text(1));
    let reload = Action::Reload { scenarios: Arc::clone(&rig.scenarios), files: Vec::new() };
    rig.queue.push_back(command(reload));
    // some of the sweep, and a crash in the middle of it
    for _ in 0..20 {
        drop(rig.turns.take(&mut rig.queue, Moment::by_hand(rig.now)).unwrap());
        rig.store.flush().unwrap();
    }
    rig.crash(0);
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_hours(1));
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 300);
}

#[test]
fn an_erased_member_leaves_nothing_and_is_not_sent_the_same_again() {
    let mut rig = Rig::new("scenario: one\nenter: { on: go }\nsteps:\n  - step: only\n    push: x\n");
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(accept);
    let member = MemberId::new("m1").unwrap();
    rig.queue.push_back(command(Action::Erase { member: member.clone() }));
    rig.settle_down(accept);
    let files = store::load_members(&*rig.store, std::slice::from_ref(&member)).unwrap();
    assert_eq!(files, [None]);
    rig.crash(0);
    rig.member("m1");
    rig.event("m1", "e2");
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 1, "`again: never` holds beyond erasure");
}

fn user_of(id: &str) -> LineUserId {
    LineUserId::new(&format!("U{:032x}", crate::model::fingerprint(id))).unwrap()
}

fn told_by_line(id: &str, name: &str, friendship: crate::model::Friendship, at: Timestamp) -> Command {
    let name = EventName::new(name).unwrap();
    let event = Event { id: Some(format!("{id}-{name}-{at}")), name, at, data: Default::default() };
    command(Action::Line { user: user_of(id), event, friendship: Some(friendship) })
}

#[test]
fn a_friend_of_an_erased_member_is_not_sent_the_same_again() {
    let mut rig = Rig::new("scenario: one\nenter: { on: go }\nsteps:\n  - step: only\n    push: x\n");
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(accept);
    rig.queue.push_back(command(Action::Erase { member: MemberId::new("m1").unwrap() }));
    let name = EventName::new("go").unwrap();
    let event = Event { id: Some("e2".into()), name, at: rig.now, data: Default::default() };
    rig.queue.push_back(command(Action::Event { member: Whom::LineUser(user_of("m1")), event }));
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 1);
}

#[test]
fn a_block_is_heard_where_there_is_no_room_for_anything_else() {
    let text = "scenario: many\nenter: [{ on: go, again: always }, { on: line.unfollow, again: always }]\n\
                steps:\n  - step: later\n    after: 1h\n    push: x\n";
    let mut rig = Rig::new(text);
    rig.member("m1");
    for n in 0..limits::LIVE_ENROLLMENTS {
        rig.event("m1", &format!("e{n}"));
    }
    rig.settle_down(accept);
    let blocked = told_by_line("m1", "line.unfollow", crate::model::Friendship::Blocked, rig.now);
    rig.queue.push_back(blocked);
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"blocked".to_owned()), "{:?}", rig.happened);
    rig.pass(SignedDuration::from_hours(1));
    rig.settle_down(accept);
    assert_eq!(rig.attempts, [], "nothing to a member who has blocked");
}

#[test]
fn scenarios_hear_of_a_link_once() {
    let mut rig = Rig::new(
        "scenario: one\nenter: { on: line.link, again: always }\nsteps:\n  - step: only\n    push: x\n",
    );
    for _ in 0..3 {
        let name = EventName::new("line.link").unwrap();
        let event = Some(Event { id: None, name, at: rig.now, data: Default::default() });
        let link = Some(LinkRequest { user: user_of("m1"), taken: IfTaken::Refuse });
        let change = Change { event: event.map(Box::new), ..Change::default() };
        let member = MemberId::new("m1").unwrap();
        rig.queue.push_back(command(Action::Change { member, change, link }));
    }
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 1);
}

#[test]
fn adopting_what_a_friend_had_never_locks_a_member() {
    let mut rig = Rig::new(TWO_STEPS);
    let attributes = |name: &str| {
        let mut attributes = crate::model::Attributes::new();
        attributes.insert(name.into(), "x".repeat(limits::ATTRIBUTES_BYTES - 40).into());
        Some(attributes)
    };
    let provisional = MemberId::provisional(&user_of("m1"));
    for (member, name) in [(provisional, "theirs"), (MemberId::new("m1").unwrap(), "own")] {
        let change = Change { attributes: attributes(name), ..Change::default() };
        rig.queue.push_back(command(Action::Change { member, change, link: None }));
    }
    rig.settle_down(accept);
    rig.member("m1");
    let change = Change { tags: Some(["vip".to_owned()].into()), ..Change::default() };
    let (reply, mut answer) = Reply::one();
    let member = MemberId::new("m1").unwrap();
    rig.queue.push_back(Command {
        what: Action::Change { member: member.clone(), change, link: None },
        reply: Some(reply),
    });
    rig.settle_down(accept);
    assert_eq!(answer.try_recv().unwrap(), Answer::Done);
    let file = store::load_members(&*rig.store, &[member]).unwrap().remove(0).unwrap();
    assert!(file.attributes.contains_key("own") && !file.attributes.contains_key("theirs"));
    assert_eq!(file.link.unwrap().user, user_of("m1"));
}
