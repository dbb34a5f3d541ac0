//! Deliveries whose fate is unknown, and what an operator makes of them; holds; the clock; restores.

use super::*;
use crate::clock::Uptime;
use crate::store::{RestoredRow, UnknownRow, encode_restored};

const ONE: &str = "scenario: one\nenter: { on: go, again: always }\nsteps: [{ step: only, push: hello }]\n";

/// A rig in which the only step of `m1` has become unknown.
fn rig_with_unknown(text: &str) -> (Rig, DeliveryId) {
    let mut rig = Rig::new(text);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::Ambiguous));
    rig.pass(CUTOFF);
    rig.settle_down(accept);
    let rows = unknown(&rig);
    assert_eq!(rows.len(), 1, "{:?}", rig.happened);
    (rig, rows[0].0)
}

fn unknown(rig: &Rig) -> Vec<(DeliveryId, UnknownRow)> {
    store::page_unknown(&*rig.store, None, 10).unwrap()
}

fn ask(rig: &mut Rig, what: Action) -> Answer {
    let (reply, mut answer) = Reply::one();
    rig.queue.push_back(Command { what, reply: Some(reply) });
    rig.settle_down(accept);
    answer.try_recv().unwrap()
}

fn settle(rig: &mut Rig, delivery: DeliveryId, resolution: Resolution) -> Answer {
    ask(rig, Action::Settle { delivery, resolution })
}

fn nothing_to_resend() -> Answer {
    Answer::Refused(Refused::Bound(Refusal::NothingToResend))
}

#[test]
fn what_is_unknown_is_listed_with_whose_it_is_and_why() {
    let (rig, _) = rig_with_unknown(ONE);
    let (id, row) = unknown(&rig).remove(0);
    assert_eq!(row.member.as_deref(), Some("m1"));
    assert_eq!((row.scenario.as_str(), row.step.as_str(), row.reason.as_str()), ("one", "only", "window"));
    assert_eq!(row.delivery().unwrap().id(), id);
    assert_eq!(rig.turns.unknown(), 1);
}

#[test]
fn an_operators_word_settles_it_once_and_over_a_crash() {
    for (resolution, happened) in
        [(Resolution::Accepted, "accepted only settled"), (Resolution::Dropped, "expired only dropped")]
    {
        let (mut rig, id) = rig_with_unknown(ONE);
        rig.crash(0);
        assert_eq!(settle(&mut rig, id, resolution), Answer::Done);
        assert!(rig.happened.contains(&happened.to_owned()), "{:?}", rig.happened);
        assert_eq!((unknown(&rig).len(), rig.turns.unknown()), (0, 0));
        let again = settle(&mut rig, id, resolution);
        assert_eq!(again, Answer::Refused(Refused::NoSuchDelivery));
        assert_eq!(rig.attempts.iter().filter(|(_, bytes)| bytes.contains("hello")).count(), 1);
        let member = MemberId::new("m1").unwrap();
        let file = store::load_members(&*rig.store, &[member]).unwrap().remove(0).unwrap();
        assert_eq!(file.enrollments, [], "the run was kept for this only");
    }
}

#[test]
fn what_is_to_be_sent_again_goes_out_once_under_another_key() {
    let (mut rig, id) = rig_with_unknown(ONE);
    // long after: lateness is counted from the operator's word
    rig.pass(SignedDuration::from_hours(240));
    rig.settle_down(accept);
    assert_eq!(settle(&mut rig, id, Resolution::Resend), Answer::Done);
    assert_eq!(rig.attempts.len(), 2);
    assert_ne!(rig.attempts[0].0, rig.attempts[1].0);
    assert_eq!(rig.happened.iter().filter(|line| *line == "accepted only").count(), 1);
    assert_eq!(rig.happened.iter().filter(|line| line.starts_with("completed")).count(), 1);
    rig.crash(0);
    rig.pass(SignedDuration::from_hours(240));
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 2);
}

#[test]
fn nothing_is_sent_again_for_a_run_that_has_exited() {
    let text = "scenario: one\nenter: { on: go }\nexit: { on: stop }\nsteps:\n  - step: only\n    push: hello\n  - step: later\n    after: 90d\n    push: later\n";
    let (mut rig, id) = rig_with_unknown(text);
    let name = EventName::new("stop").unwrap();
    let event = Event { id: Some("s".into()), name, at: rig.now, data: Default::default() };
    let member = Whom::Member(MemberId::new("m1").unwrap());
    assert_eq!(ask(&mut rig, Action::Event { member, event }), Answer::Done);
    assert_eq!(settle(&mut rig, id, Resolution::Resend), nothing_to_resend());
    assert_eq!(rig.turns.unknown(), 1, "it is still open");
    assert_eq!(settle(&mut rig, id, Resolution::Dropped), Answer::Done);
}

#[test]
fn send_hours_hold_for_what_is_sent_again() {
    let text = "scenario: one\nenter: { on: go }\nhours: 09:00-21:00\nsteps: [{ step: only, push: hello }]\n";
    let (mut rig, id) = rig_with_unknown(text);
    rig.now = at("2026-03-05T15:00:00Z"); // midnight in Tokyo
    rig.settle_down(accept);
    assert_eq!(settle(&mut rig, id, Resolution::Resend), Answer::Done);
    assert_eq!(rig.attempts.len(), 1, "not at night");
    rig.now = rig.turns.wake().unwrap();
    assert_eq!(rig.now, at("2026-03-06T00:00:00Z"));
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 2);
}

#[test]
fn of_an_erased_member_it_stays_known_that_something_is_unknown_and_not_whose() {
    let (mut rig, id) = rig_with_unknown(ONE);
    assert_eq!(ask(&mut rig, Action::Erase { member: MemberId::new("m1").unwrap() }), Answer::Done);
    assert_eq!(unknown(&rig)[0].1.member, None);
    assert_eq!(settle(&mut rig, id, Resolution::Resend), nothing_to_resend());
    assert_eq!(settle(&mut rig, id, Resolution::Accepted), Answer::Done);
    assert_eq!(unknown(&rig), []);
}

#[test]
fn an_unknown_delivery_of_a_friend_is_settled_after_the_friend_was_linked() {
    let mut rig = Rig::new(ONE);
    let name = EventName::new("go").unwrap();
    let event = Event { id: Some("e".into()), name, at: rig.now, data: Default::default() };
    let user = user_of("friend");
    rig.queue.push_back(command(Action::Event { member: Whom::LineUser(user.clone()), event }));
    rig.settle_down(|_| Some(Attempted::Ambiguous));
    rig.pass(CUTOFF);
    rig.settle_down(accept);
    let id = unknown(&rig)[0].0;
    let link = Some(LinkRequest { user, taken: IfTaken::Refuse });
    let member = MemberId::new("m1").unwrap();
    ask(&mut rig, Action::Change { member, change: Change::default(), link });
    assert_eq!(settle(&mut rig, id, Resolution::Resend), Answer::Done);
    assert_eq!(rig.attempts.len(), 2);
}

#[test]
fn a_hold_stops_every_send_survives_a_crash_and_ends_by_a_release() {
    let mut rig = Rig::new(ONE);
    rig.member("m1");
    assert_eq!(ask(&mut rig, Action::Hold(Hold::Operator)), Answer::Done);
    rig.event("m1", "e1");
    rig.settle_down(accept);
    assert_eq!(rig.attempts, []);
    rig.crash(0);
    rig.pass(SignedDuration::from_hours(2));
    rig.settle_down(accept);
    assert_eq!(rig.attempts, [], "it is remembered");
    assert_eq!(rig.turns.holds(), &BTreeSet::from([Hold::Operator]));
    assert_eq!(ask(&mut rig, Action::Release), Answer::Done);
    assert_eq!(rig.attempts.len(), 1, "late by less than a day, so it is sent");
    rig.crash(0);
    assert_eq!(rig.turns.holds(), &BTreeSet::new());
}

#[test]
fn a_release_does_not_open_what_another_reason_holds() {
    let mut rig = Rig::new(ONE);
    rig.member("m1");
    for hold in [Hold::Operator, Hold::Token] {
        ask(&mut rig, Action::Hold(hold));
    }
    ask(&mut rig, Action::Release);
    assert_eq!(rig.turns.holds(), &BTreeSet::from([Hold::Token]));
    rig.event("m1", "e1");
    rig.settle_down(accept);
    assert_eq!(rig.attempts, []);
    ask(&mut rig, Action::Lift(Hold::Token));
    assert_eq!(rig.attempts.len(), 1);
}

/// Takes turns by clocks that are told apart.
fn take(rig: &mut Rig, wall: Timestamp, boot: u64, uptime: SignedDuration) -> Vec<Arc<Parcel>> {
    let ms = u64::try_from(uptime.as_millis()).unwrap();
    let mut attempts = Vec::new();
    for _ in 0..50 {
        let moment = Moment { wall, uptime: Uptime { boot, ms } };
        let effects = rig.turns.take(&mut rig.queue, moment).unwrap();
        rig.store.flush().unwrap();
        let parcels = effects.0.into_iter().filter_map(|effect| match effect {
            Effect::Attempt(parcel) => Some(parcel),
            _ => None,
        });
        attempts.extend(parcels);
    }
    attempts
}

fn ambiguous(rig: &mut Rig, parcel: &Parcel) {
    let retry_key = parcel.retry_key;
    rig.queue.push_back(command(Action::Attempted { retry_key, attempted: Attempted::Ambiguous }));
}

#[test]
fn a_clock_that_jumps_holds_sends_and_decides_nothing() {
    let mut rig =
        Rig::new("scenario: one\nenter: { on: go }\nsteps: [{ step: only, after: 1h, push: hello }]\n");
    let hours = SignedDuration::from_hours;
    let start = rig.now;
    rig.member("m1");
    take(&mut rig, start, 1, hours(1));
    rig.event("m1", "e1");
    take(&mut rig, start, 1, hours(1));
    // the wall clock runs away by ten days: the step would be too late
    assert_eq!(take(&mut rig, start + hours(240), 1, hours(1)), []);
    assert_eq!(rig.turns.holds(), &BTreeSet::from([Hold::Clock]));
    rig.event("m1", "e2");
    assert_eq!(take(&mut rig, start + hours(240), 1, hours(1)), []);
    // and comes back
    assert_eq!(take(&mut rig, start + hours(1), 1, hours(2)).len(), 1);
    assert_eq!(rig.turns.holds(), &BTreeSet::new());
}

#[test]
fn an_age_is_counted_by_the_clock_that_shows_more_of_it() {
    let mut rig = Rig::new(ONE);
    let hours = SignedDuration::from_hours;
    let start = rig.now;
    rig.member("m1");
    rig.event("m1", "e1");
    let parcels = take(&mut rig, start, 1, hours(1));
    ambiguous(&mut rig, &parcels[0]);
    take(&mut rig, start, 1, hours(1));
    // the wall clock goes back by twenty hours, and an operator says that it is right
    assert_eq!(take(&mut rig, start - hours(20), 1, hours(1)), []);
    rig.queue.push_back(command(Action::Release));
    let again = take(&mut rig, start - hours(20), 1, hours(1));
    assert_eq!(again.len(), 1, "it is looked at again at once");
    ambiguous(&mut rig, &again[0]);
    take(&mut rig, start - hours(20), 1, hours(1));
    // 23 hours have really passed
    assert_eq!(take(&mut rig, start + hours(3), 1, hours(24)), []);
    assert_eq!(rig.turns.unknown(), 1);
}

#[test]
fn after_a_start_of_the_machine_with_a_clock_that_went_back_no_age_is_believed() {
    let mut rig = Rig::new(ONE);
    let hours = SignedDuration::from_hours;
    let start = rig.now;
    rig.member("m1");
    rig.event("m1", "e1");
    let parcels = take(&mut rig, start, 1, hours(50));
    ambiguous(&mut rig, &parcels[0]);
    take(&mut rig, start, 1, hours(50));
    rig.crash(0);
    assert_eq!(take(&mut rig, start - hours(20), 2, hours(0)), [], "the store knows a later time");
    assert_eq!(rig.turns.holds(), &BTreeSet::from([Hold::Clock]));
    rig.queue.push_back(command(Action::LineClock { ahead: SignedDuration::from_secs(1) }));
    assert_eq!(take(&mut rig, start - hours(20), 2, hours(0)), []);
    assert_eq!(rig.turns.holds(), &BTreeSet::new(), "LINE says that the clock is right");
    assert_eq!(rig.turns.unknown(), 1, "LINE may have forgotten the key");
}

/// A restore of a backup of now, some time later.
fn restore(rig: &mut Rig, later: SignedDuration) {
    let row = RestoredRow {
        incarnation: [7; 16].into(),
        backup_ms: rig.now.as_millisecond(),
        restored_ms: (rig.now + later).as_millisecond(),
        released: None,
    };
    let mut batch = Batch::default();
    batch.put_meta(Meta::Restored, encode_restored(&row));
    rig.store.commit(&batch, Epoch::EMBEDDED).unwrap();
    rig.store.flush().unwrap();
    rig.pass(later);
    rig.crash(0);
    rig.settle_down(accept);
}

#[test]
fn a_restored_store_sends_nothing_of_what_the_one_before_may_have_sent() {
    let text = "scenario: one\nenter: { on: go }\nsteps:\n  - step: first\n    push: first\n  - step: second\n    after: 1h\n    push: second\n  - step: third\n    after: 3h\n    push: third\n";
    let mut rig = Rig::new(text);
    rig.member("m1");
    rig.member("m2");
    rig.event("m1", "e1");
    rig.settle_down(accept);
    rig.event("m2", "e1");
    rig.settle_down(|_| None);
    let before = rig.attempts.len();
    assert_eq!(before, 2, "one accepted, one on its way");
    restore(&mut rig, SignedDuration::from_hours(2));
    assert_eq!(rig.turns.holds(), &BTreeSet::from([Hold::Restored]));
    assert_eq!(rig.attempts.len(), before);
    let reasons: Vec<_> =
        unknown(&rig).into_iter().map(|(_, row)| (row.member.unwrap(), row.step, row.reason)).collect();
    let mut reasons: Vec<_> = reasons.iter().map(|(m, s, r)| format!("{m} {s} {r}")).collect();
    reasons.sort();
    assert_eq!(reasons, ["m1 second restored", "m2 first restored", "m2 second restored"]);
    ask(&mut rig, Action::Release);
    rig.crash(0);
    assert_eq!(rig.turns.holds(), &BTreeSet::new());
    rig.pass(SignedDuration::from_hours(1));
    rig.settle_down(accept);
    let sent: Vec<_> = rig.attempts[before..].iter().map(|(_, bytes)| bytes.contains("third")).collect();
    assert_eq!(sent, [true], "the third step of both, together");
    // an operator knows better
    let second = unknown(&rig).into_iter().find(|(_, row)| row.step == "second").unwrap().0;
    assert_eq!(settle(&mut rig, second, Resolution::Resend), Answer::Done);
    assert_eq!(rig.attempts.len(), before + 2);
}

/// What was dropped and is due again for a new date went out under the key of the attempt of then.
#[test]
fn what_was_dropped_and_is_planned_anew_goes_out_under_another_key() {
    let text = "scenario: one\nenter: { on: go }\nanchor: event.t\nupdate: { on: moved }\nsteps:\n  - step: after\n    day: 1\n    push: \"{{ anchor }}\"\n  - step: last\n    day: 9\n    set: { tags: [a] }\n";
    let mut rig = Rig::new(text);
    rig.member("m1");
    let event = |rig: &mut Rig, name: &str, t: &str| {
        let event = Event {
            id: Some(name.into()),
            name: EventName::new(name).unwrap(),
            at: rig.now,
            data: [("t".to_owned(), serde_json::json!(t))].into_iter().collect(),
        };
        let member = Whom::Member(MemberId::new("m1").unwrap());
        rig.queue.push_back(command(Action::Event { member, event }));
        rig.settle_down(|_| Some(Attempted::Ambiguous));
    };
    event(&mut rig, "go", "2026-03-02T04:00:00Z");
    rig.pass(SignedDuration::from_hours(25));
    rig.settle_down(|_| Some(Attempted::Ambiguous));
    rig.pass(CUTOFF);
    rig.settle_down(accept);
    let id = unknown(&rig).remove(0).0;
    assert_eq!(settle(&mut rig, id, Resolution::Dropped), Answer::Done);
    event(&mut rig, "moved", "2026-03-05T04:00:00Z");
    rig.now = rig.turns.wake().unwrap();
    rig.settle_down(accept);
    rig.assert_same_bytes_under_a_key();
    assert_eq!(rig.happened.last().unwrap(), "accepted after", "{:?}", rig.happened);
    let keys: BTreeSet<_> = rig.attempts.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 2);
}

/// The step that an operator had sent again brought forward what followed it, past the restore.
#[test]
fn what_follows_a_step_that_is_sent_again_stands_as_planned_in_a_restored_store_too() {
    let text = "scenario: one\nenter: { on: go }\nsteps:\n  - step: first\n    push: first\n  - step: mark\n    wait: 1h\n    hours: \"03:00-04:00\"\n    set: { tags: [a] }\n  - step: second\n    push: second\n";
    let mut rig = Rig::new(text);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| None);
    let two_days = SignedDuration::from_hours(48);
    restore(&mut rig, two_days);
    ask(&mut rig, Action::Release);
    rig.pass(SignedDuration::from_mins(1));
    let first = unknown(&rig).remove(0).0;
    assert_eq!(settle(&mut rig, first, Resolution::Resend), Answer::Done);
    assert_eq!(rig.attempts.len(), 2, "the first step, again: {:?}", rig.happened);
    while let Some(wake) = rig.turns.wake() {
        rig.now = rig.now.max(wake);
        rig.settle_down(accept);
    }
    assert_eq!(rig.attempts.len(), 2, "{:?}", rig.attempts);
    assert!(rig.happened.contains(&"unknown second restored".to_owned()), "{:?}", rig.happened);
}

#[test]
fn a_step_that_was_taken_back_and_is_too_late_then_has_expired() {
    let text = "scenario: one\nenter: { on: go }\nsteps: [{ step: only, late: 1h, push: hello }]\n";
    let mut rig = Rig::new(text);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::NotSent));
    rig.pass(CUTOFF);
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"expired only late".to_owned()), "{:?}", rig.happened);
}

/// A step whose own moment came before the step in front of it was done counted the next from that moment, and
/// by way of a weekday past the restore.
#[test]
fn in_a_restored_store_the_next_step_counts_from_when_the_one_in_front_was_reached() {
    let text = r#"
scenario: one
zone: America/New_York
enter: { on: go }
steps:
  - step: first
    wait: 2d
    hours: "00:00-12:00"
    push: first
  - step: overdue
    day: 2
    at: "20:15"
    set: { tags: [a] }
  - step: ask
    on_days: mon-fri
    wait_for: { on: ping, within: 30m }
    steps: []
    else: [{ step: no-answer, wait: 7h, push: no-answer }]
  - step: last
    push: last
"#;
    let mut rig = Rig::new(text);
    // a Thursday, a minute to midnight in New York; the first step is on Sunday
    rig.now = at("2027-01-01T04:59:00Z");
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(accept);
    rig.now = at("2027-01-02T13:00:00Z");
    let later = at("2027-01-05T04:45:00Z").duration_since(rig.now);
    restore(&mut rig, later);
    rig.now = at("2027-01-19T10:45:00Z");
    ask(&mut rig, Action::Release);
    rig.settle_down(accept);
    let restored = rig.happened.iter().filter(|it| it.starts_with("unknown")).collect::<Vec<_>>();
    let expected = ["unknown first restored", "unknown no-answer restored", "unknown last restored"];
    assert_eq!(restored, expected, "{:?}", rig.happened);
    assert_eq!(rig.attempts, []);
}
