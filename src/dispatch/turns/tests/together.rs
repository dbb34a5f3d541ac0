//! Multicasts: what goes out together, and what becomes of it when one in it falls out.

use super::*;
use crate::model::Friendship;

const SAME: &str = "scenario: same\nenter: { on: go }\nsteps:\n  - step: first\n    push: hello\n  - step: second\n    push: \"bye {{ member.id }}\"\n";

/// So many members, each with an event that has not been taken in yet.
fn rig_of(text: &str, members: usize) -> Rig {
    let mut rig = Rig::new(text);
    for n in 0..members {
        rig.member(&format!("m{n}"));
    }
    for n in 0..members {
        rig.event(&format!("m{n}"), "e");
    }
    rig
}

fn recipients(bytes: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(bytes).unwrap();
    let to = body["to"].as_array().unwrap_or_else(|| panic!("{bytes} is no multicast"));
    to.iter().map(|user| user.as_str().unwrap().to_owned()).collect()
}

fn is_multicast(parcel: &Parcel) -> bool {
    parcel.is_multicast()
}

/// Accepts pushes, and answers multicasts as the test says.
fn multicasts(attempted: Attempted) -> impl Fn(&Parcel) -> Option<Attempted> {
    move |parcel| Some(if is_multicast(parcel) { attempted.clone() } else { Attempted::Accepted })
}

fn count(rig: &Rig, line: &str) -> usize {
    rig.happened.iter().filter(|happened| *happened == line).count()
}

#[test]
fn the_same_step_for_many_is_one_request_and_what_differs_is_a_request_for_each() {
    let mut rig = rig_of(SAME, 5);
    rig.settle_down(accept);
    assert_eq!(rig.attempts.len(), 6, "{:?}", rig.attempts);
    let mut expected: Vec<String> = (0..5).map(|n| user_of(&format!("m{n}")).to_string()).collect();
    let mut sent = recipients(&rig.attempts[0].1);
    expected.sort();
    sent.sort();
    assert_eq!(sent, expected);
    assert_eq!((count(&rig, "accepted first"), count(&rig, "accepted second")), (5, 5));
    assert_eq!(store::page_outbox(&*rig.store, None, 10).unwrap(), [], "settled rows are gone");
}

#[test]
fn a_campaign_goes_out_in_full_multicasts_without_waiting() {
    let text = "scenario: one\nenter: { on: go }\nsteps:\n  - step: only\n    day: 1\n    at: \"19:00\"\n    push: x\n";
    let mut rig = rig_of(text, 1_240);
    rig.settle_down(accept);
    rig.now = rig.turns.wake().unwrap();
    rig.settle_down(accept);
    let sizes: Vec<usize> = rig.attempts.iter().map(|(_, bytes)| recipients(bytes).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1_240);
    assert!(sizes.len() <= 4 && sizes[0] == line::MAX_RECIPIENTS, "{sizes:?}");
}

#[test]
fn a_multicast_goes_on_after_a_crash_with_the_same_key_and_bytes() {
    // long member ids, so that its deliveries take several rows
    let mut rig = Rig::new(SAME);
    let ids: Vec<String> = (0..300).map(|n| format!("{n:0>90}")).collect();
    for id in &ids {
        rig.member(id);
    }
    for id in &ids {
        rig.event(id, "e");
    }
    rig.settle_down(|_| None);
    let before = rig.attempts.clone();
    assert!(before.len() < 8, "{}", before.len());
    rig.crash(0);
    rig.settle_down(accept);
    assert_eq!(
        rig.attempts[before.len()..2 * before.len()].iter().collect::<BTreeSet<_>>(),
        before.iter().collect()
    );
    rig.assert_same_bytes_under_a_key();
    assert_eq!(count(&rig, "accepted first"), 300);
}

#[test]
fn one_who_blocks_before_anything_was_sent_takes_the_multicast_back_and_the_others_get_a_new_one() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Throttled));
    let first = rig.attempts[0].clone();
    rig.queue.push_back(told_by_line("m2", "line.unfollow", Friendship::Blocked, rig.now));
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_secs(1));
    rig.settle_down(accept);
    assert_ne!(rig.attempts[1].0, first.0, "another key");
    assert_eq!(recipients(&rig.attempts[1].1).len(), 3);
    assert!(!rig.attempts[1].1.contains(user_of("m2").as_str()));
    assert_eq!(count(&rig, "accepted first"), 3);
    assert_eq!(count(&rig, "skipped first blocked"), 1);
    assert_eq!(count(&rig, "withdrawn first multicast"), 4);
}

#[test]
fn one_who_blocks_after_an_ambiguous_attempt_lets_it_be_repeated_unchanged_for_ten_minutes() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.queue.push_back(told_by_line("m2", "line.unfollow", Friendship::Blocked, rig.now));
    let fell_at = rig.now;
    let mut last = rig.now;
    for _ in 0..200 {
        let hellos = |rig: &Rig| rig.attempts.iter().filter(|(_, bytes)| bytes.contains("hello")).count();
        let before = hellos(&rig);
        rig.settle_down(multicasts(Attempted::Ambiguous));
        if hellos(&rig) > before {
            last = rig.now;
        }
        if rig.turns.outbox_len() == 0 {
            break;
        }
        rig.now = rig.turns.wake().unwrap();
    }
    assert!(last.duration_since(fell_at) < MAX_REPLAY, "{last}");
    assert!(last.duration_since(fell_at) > SignedDuration::from_mins(3), "{last}");
    assert_eq!(count(&rig, "unknown first multicast"), 4, "{:?}", rig.happened);
    rig.assert_same_bytes_under_a_key();
    assert_eq!(rig.turns.unknown(), 4);
}

#[test]
fn a_multicast_that_nobody_in_it_is_to_get_any_more_is_not_repeated() {
    let gone = SAME.replace("scenario: same", "scenario: other");
    let paused = SAME.replace("steps:", "paused: true\nsteps:");
    let ended = SAME.replace("steps:", "ends: 2026-03-02T12:01\nsteps:");
    for (edited, reason) in [(gone, "removed"), (paused, "paused"), (ended, "ended")] {
        let mut rig = rig_of(SAME, 4);
        rig.settle_down(multicasts(Attempted::Ambiguous));
        assert_eq!(rig.attempts.len(), 1);
        rig.ask(Action::Reload { scenarios: scenarios(&edited), files: Vec::new() });
        rig.pass(SignedDuration::from_mins(2));
        rig.settle_down(accept);
        assert_eq!(rig.attempts.len(), 1, "{reason}: {:?}", rig.attempts);
        assert_eq!(count(&rig, &format!("unknown first {reason}")), 4, "{:?}", rig.happened);
        assert_eq!((rig.turns.outbox_len(), rig.turns.unknown()), (0, 4));
    }
}

#[test]
fn the_ten_minutes_do_not_begin_again_with_a_restart() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.queue.push_back(told_by_line("m2", "line.unfollow", Friendship::Blocked, rig.now));
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.pass(SignedDuration::from_mins(9));
    rig.crash(0);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    assert_eq!(count(&rig, "unknown first multicast"), 0);
    rig.pass(SignedDuration::from_mins(1));
    rig.crash(0);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    assert_eq!(count(&rig, "unknown first multicast"), 4, "{:?}", rig.happened);
}

#[test]
fn an_answer_within_the_ten_minutes_settles_all() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.queue.push_back(told_by_line("m2", "line.unfollow", Friendship::Blocked, rig.now));
    rig.pass(SignedDuration::from_mins(2));
    rig.settle_down(accept);
    assert_eq!(count(&rig, "accepted first"), 4);
    assert_eq!(count(&rig, "accepted second"), 3, "nothing new to the one who has blocked");
}

#[test]
fn a_recipient_that_line_names_is_rejected_and_the_others_go_on_alone() {
    let mut rig = rig_of(SAME, 4);
    let blame = Blame::Recipient(1);
    let refused = Attempted::Refused { reason: "line(400 to[1])".into(), blame };
    rig.settle_down(multicasts(refused));
    assert_eq!(count(&rig, "rejected first line(400 to[1])"), 1);
    assert_eq!(count(&rig, "accepted first"), 3);
    let requests = rig.attempts.iter().filter(|(_, bytes)| bytes.contains("hello")).count();
    assert_eq!(requests, 4, "one multicast and three pushes");
}

#[test]
fn content_that_line_refuses_is_rejected_for_all_and_something_unclear_is_tried_alone() {
    for (blame, rejected, accepted) in [(Blame::Content, 4, 0), (Blame::Unclear, 0, 4)] {
        let mut rig = rig_of(SAME, 4);
        rig.settle_down(multicasts(Attempted::Refused { reason: "line(400 no)".into(), blame }));
        assert_eq!(count(&rig, "rejected first line(400 no)"), rejected, "{blame:?}");
        assert_eq!(count(&rig, "accepted first"), accepted, "{blame:?}");
    }
}

#[test]
fn a_refusal_after_an_ambiguous_attempt_sends_nobody_anything_again() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.pass(SignedDuration::from_secs(1));
    let refused = Attempted::Refused { reason: "line(400 no)".into(), blame: Blame::Unclear };
    rig.settle_down(multicasts(refused));
    assert_eq!(count(&rig, "unknown first refused"), 4);
    assert_eq!(rig.attempts.iter().filter(|(_, bytes)| bytes.contains("hello")).count(), 2);
}

#[test]
fn an_erased_recipient_leaves_and_the_others_hear_the_answer() {
    for (attempted, unknown) in [(Attempted::Throttled, 0), (Attempted::Ambiguous, 1)] {
        let mut rig = rig_of(SAME, 4);
        rig.settle_down(multicasts(attempted.clone()));
        rig.queue.push_back(command(Action::Erase { member: MemberId::new("m2").unwrap() }));
        rig.settle_down(accept);
        rig.pass(SignedDuration::from_secs(2));
        rig.settle_down(accept);
        assert_eq!(count(&rig, "accepted first"), 3, "{attempted:?}: {:?}", rig.happened);
        assert_eq!(rig.turns.unknown(), unknown, "{attempted:?}");
        let rows = store::page_unknown(&*rig.store, None, 10).unwrap();
        assert!(rows.iter().all(|(_, row)| row.member.is_none() && row.reason == "erased"));
        rig.assert_same_bytes_under_a_key();
    }
}

#[test]
fn a_moved_link_never_brings_a_multicast_to_the_new_owner_after_ten_minutes() {
    let mut rig = rig_of(SAME, 4);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    let link = Some(LinkRequest { user: user_of("m2"), taken: IfTaken::Move });
    let member = MemberId::new("other").unwrap();
    rig.queue.push_back(command(Action::Change { member, change: Change::default(), link }));
    rig.settle_down(multicasts(Attempted::Ambiguous));
    rig.pass(SignedDuration::from_mins(11));
    let hellos = |rig: &Rig| rig.attempts.iter().filter(|(_, bytes)| bytes.contains("hello")).count();
    let before = hellos(&rig);
    rig.settle_down(multicasts(Attempted::Ambiguous));
    assert_eq!(hellos(&rig), before);
    assert_eq!(count(&rig, "unknown first multicast"), 4);
}

#[test]
fn no_request_has_one_recipient_twice() {
    // two runs of one member that are due at once, with the same words
    let text =
        "scenario: same\nenter: { on: go, again: always }\nsteps: [{ step: only, after: 1h, push: x }]\n";
    let mut rig = Rig::new(text);
    for n in 0..3 {
        rig.member(&format!("m{n}"));
        rig.event(&format!("m{n}"), "a");
        rig.event(&format!("m{n}"), "b");
    }
    rig.settle_down(accept);
    rig.pass(SignedDuration::from_hours(2));
    rig.settle_down(accept);
    for (_, bytes) in &rig.attempts {
        let to = recipients(bytes);
        assert_eq!(to.iter().collect::<BTreeSet<_>>().len(), to.len(), "{bytes}");
    }
    assert_eq!(count(&rig, "accepted only"), 6);
}

#[test]
fn an_erased_members_push_is_off_the_disk_at_once_and_its_neighbours_are_not() {
    let mut rig =
        rig_of("scenario: own\nenter: { on: go }\nsteps: [{ step: only, push: \"{{ member.id }}\" }]\n", 5);
    rig.settle_down(|_| None);
    let rows = |rig: &Rig| -> Vec<String> {
        let rows = store::page_outbox(&*rig.store, None, 10).unwrap();
        let parcels = rows.into_iter().flat_map(|(_, row)| row.parcels);
        parcels.map(|parcel| parcel.member).collect()
    };
    assert_eq!(rows(&rig).len(), 5);
    rig.queue.push_back(command(Action::Erase { member: MemberId::new("m3").unwrap() }));
    rig.settle_down(|_| None);
    assert_eq!(rows(&rig).len(), 4);
    assert!(!rows(&rig).contains(&"m3".to_owned()));
    rig.crash(0);
    rig.settle_down(accept);
    rig.assert_same_bytes_under_a_key();
    assert_eq!(count(&rig, "accepted only"), 4);
    assert_eq!(rig.turns.unknown(), 1, "the erased one's may have been accepted");
}

#[test]
fn what_a_friend_had_in_flight_is_settled_where_its_run_is_however_the_link_moves() {
    for crashes in [false, true] {
        let mut rig = Rig::new(SAME);
        rig.member("m0");
        rig.member("neighbour");
        rig.event("m0", "e");
        rig.event("neighbour", "e");
        let name = EventName::new("go").unwrap();
        let event = Event { id: Some("f".into()), name, at: rig.now, data: Default::default() };
        let member = Whom::LineUser(user_of("friend"));
        rig.queue.push_back(command(Action::Event { member, event }));
        rig.settle_down(|_| None);
        assert_eq!(recipients(&rig.attempts[0].1).len(), 3);
        // the friend becomes m0, and then somebody else
        for owner in ["m0", "other"] {
            let link = Some(LinkRequest { user: user_of("friend"), taken: IfTaken::Move });
            let member = MemberId::new(owner).unwrap();
            rig.queue.push_back(command(Action::Change { member, change: Change::default(), link }));
            rig.settle_down(|_| None);
        }
        if crashes {
            rig.crash(0);
        }
        let (retry_key, attempted) = (rig.attempts[0].0, Attempted::Accepted);
        rig.queue.push_back(command(Action::Attempted { retry_key, attempted }));
        rig.settle_down(accept);
        let file = store::load_members(&*rig.store, &[MemberId::new("m0").unwrap()]).unwrap().remove(0);
        assert_eq!(file.unwrap().enrollments, [], "nothing waits for an answer that was given");
    }
}
