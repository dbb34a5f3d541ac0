//! Defects that a review found, each as the test that showed it.

use super::*;
use crate::model::{Friendship, Standing};
use serde_json::json;

fn user(n: u8) -> LineUserId {
    LineUserId::new(&format!("U{n:032x}")).unwrap()
}
fn data(v: serde_json::Value) -> crate::model::Attributes {
    let serde_json::Value::Object(m) = v else { panic!() };
    m
}
impl Rig {
    pub(super) fn ask(&mut self, what: Action) -> Answer {
        let (reply, mut rx) = Reply::one();
        self.queue.push_back(Command { what, reply: Some(reply) });
        for _ in 0..200 {
            let e = self.turns.take(&mut self.queue, Moment::by_hand(self.now)).unwrap();
            self.store.flush().unwrap();
            self.release(e, &|_| None);
            if let Ok(a) = rx.try_recv() {
                return a;
            }
        }
        panic!("no answer")
    }
    fn ev(&mut self, whom: Whom, name: &str, id: &str, d: serde_json::Value) -> Answer {
        let event =
            Event { id: Some(id.into()), name: EventName::new(name).unwrap(), at: self.now, data: data(d) };
        self.ask(Action::Event { member: whom, event })
    }
    fn link(&mut self, m: &str, u: LineUserId, taken: IfTaken) -> Answer {
        self.ask(Action::Change {
            member: MemberId::new(m).unwrap(),
            change: Change::default(),
            link: Some(LinkRequest { user: u, taken }),
        })
    }
    fn file_of(&self, m: &str) -> Option<MemberFile> {
        store::load_members(&*self.store, &[MemberId::new(m).unwrap()]).unwrap().pop().flatten()
    }
}
fn m(id: &str) -> Whom {
    Whom::Member(MemberId::new(id).unwrap())
}

const BOOK: &str = r#"
scenario: book
enter: { on: go }
anchor: event.t
update: { on: moved }
steps:
  - step: soon
    before: 1h
    push: soon
  - step: after
    day: 1
    push: thanks
"#;

#[test]
fn an_anchor_finer_than_a_millisecond_is_not_lost_in_a_crash() {
    let mut r = Rig::new(BOOK);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({"t": "2026-03-02T05:00:00.000500Z"}));
    r.pass(SignedDuration::from_secs(3601));
    // one turn, then the process dies
    drop(r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap());
    r.store.flush().unwrap();
    r.crash(0);
    r.settle_down(accept);
    assert!(r.happened.iter().any(|h| h.starts_with("accepted soon")));
}

#[test]
fn the_same_anchor_again_moves_nothing_however_fine_it_is() {
    let mut r = Rig::new(BOOK);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({"t": "2026-03-02T05:00:00.000500Z"}));
    r.pass(SignedDuration::from_secs(3601));
    r.settle_down(accept);
    r.ev(m("m"), "moved", "2", json!({"t": "2026-03-02T05:00:00.000500Z"}));
    r.settle_down(accept);
    assert_eq!(r.attempts.len(), 1);
}

#[test]
fn a_member_that_is_another_line_user_now_has_nothing_in_flight_to_the_first() {
    let mut r = Rig::new(TWO_STEPS);
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    assert_eq!(r.attempts.len(), 1);
    r.link("m", user(1), IfTaken::Refuse);
    r.link("m", user(2), IfTaken::Refuse);
    let retry_key = r.attempts[0].0;
    r.ask(Action::Attempted { retry_key, attempted: Attempted::Accepted });
    let f = r.file_of("m").unwrap();
    assert!(
        !f.enrollments.iter().any(|e| matches!(e.now, Standing::InFlight(_))) || r.turns.outbox_len() > 0
    );
}

#[test]
fn a_member_that_lost_its_line_user_has_nothing_in_flight_to_it() {
    let mut r = Rig::new(TWO_STEPS);
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    r.link("m", user(1), IfTaken::Refuse);
    r.link("n", user(1), IfTaken::Move);
    let retry_key = r.attempts[0].0;
    r.ask(Action::Attempted { retry_key, attempted: Attempted::Accepted });
    let f = r.file_of("m").unwrap();
    assert!(
        !f.enrollments.iter().any(|e| matches!(e.now, Standing::InFlight(_))) || r.turns.outbox_len() > 0
    );
}

#[test]
fn a_line_user_that_was_let_go_keeps_its_ordinals() {
    let mut r = Rig::new(TWO_STEPS);
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    r.link("m", user(1), IfTaken::Refuse);
    r.link("m", user(2), IfTaken::Refuse);
    r.ask(Action::Change {
        member: MemberId::provisional(&user(1)),
        change: Change { attributes: Some(data(json!({"name": "other"}))), ..Change::default() },
        link: None,
    });
    r.ev(Whom::LineUser(user(1)), "go", "2", json!({}));
    r.assert_same_bytes_under_a_key();
    assert_ne!(r.attempts[0].0, r.attempts[1].0);
}

#[test]
fn a_line_user_of_an_erased_member_keeps_its_entries() {
    let mut r = Rig::new(&TWO_STEPS.replace("always", "never"));
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    r.link("m", user(1), IfTaken::Refuse);
    r.ask(Action::Erase { member: MemberId::new("m").unwrap() });
    r.ev(Whom::LineUser(user(1)), "go", "2", json!({}));
    assert_eq!(r.attempts.len(), 1);
}

#[test]
fn a_provisional_member_is_linked_to_nobody_but_itself() {
    let mut r = Rig::new(BOOK);
    let p = format!("line:{}", user(1));
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({"t": "2026-03-05T05:00:00Z"}));
    assert_eq!(r.link(&p, user(2), IfTaken::Refuse), Answer::Refused(Refused::Provisional));
    assert!(r.file_of(&p).is_some());
}

#[test]
fn a_moved_line_user_has_one_owner_whatever_the_first_has_in_its_file() {
    let mut r = Rig::new(BOOK);
    let attrs =
        |k: &str| Change { attributes: Some(data(json!({k: "x".repeat(3000)}))), ..Change::default() };
    r.ask(Action::Change { member: MemberId::provisional(&user(1)), change: attrs("a"), link: None });
    r.ask(Action::Change { member: MemberId::new("m").unwrap(), change: attrs("b"), link: None });
    assert_eq!(r.link("m", user(1), IfTaken::Refuse), Answer::Done);
    assert_eq!(r.link("n", user(1), IfTaken::Move), Answer::Done);
    assert_eq!(r.file_of("m").unwrap().link, None);
    assert_eq!(r.file_of("n").unwrap().link.unwrap().user, user(1));
}

#[test]
fn no_members_value_gets_into_a_reason_or_makes_a_row_too_large() {
    let mut r = Rig::new(
        "\nscenario: pts\nenter: { on: go, again: always }\nsteps:\n  - step: a\n    after: 1h\n    push: \"{{ member.points | yen }}\"\n",
    );
    r.member("m");
    r.ask(Action::Change {
        member: MemberId::new("m").unwrap(),
        change: Change { attributes: Some(data(json!({"points": "9".repeat(4000)}))), ..Change::default() },
        link: None,
    });
    for i in 0..50 {
        r.ev(m("m"), "go", &i.to_string(), json!({}));
    }
    r.pass(SignedDuration::from_secs(3601));
    let e = r.turns.take(&mut r.queue, Moment::by_hand(r.now));
    assert!(e.is_ok());
}

#[test]
fn counters_of_a_long_scenario_fit_the_store() {
    let mut text = "\nscenario: long\nenter: { on: go }\nsteps:\n".to_owned();
    for day in 0..200 {
        text += &format!("  - step: day-{day:03}-tip-of-the-day\n    wait: 1d\n    push: x\n");
    }
    let mut r = Rig::new(&text);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({}));
    while let Some(wake) = r.turns.wake() {
        r.now = r.now.max(wake);
        r.settle_down(accept);
    }
    assert_eq!(r.attempts.len(), 200);
}

#[test]
fn runs_that_would_outgrow_the_store_are_refused_at_entry() {
    let mut text = String::from("\nscenario: long\nenter: { on: go, again: always }\nsteps:\n");
    for i in 0..80 {
        text += &format!(
            "  - step: {}{i:03}\n    after: 1h\n    when: \"false\"\n    push: x\n",
            "step-with-a-name-that-says-much-"
        );
    }
    text += "  - step: last\n    after: 30d\n    push: x\n";
    let mut r = Rig::new(&text);
    r.member("m");
    let answers: Vec<Answer> = (0..50).map(|i| r.ev(m("m"), "go", &i.to_string(), json!({}))).collect();
    assert_eq!(answers[0], Answer::Done);
    assert!(matches!(answers[49], Answer::Refused(Refused::Bound(Refusal::MemberFileFull { .. }))));
    r.pass(SignedDuration::from_secs(3601));
    r.settle_down(accept);
}

#[test]
fn a_merge_does_not_send_a_step_that_is_out_already() {
    let mut r = Rig::new(
        "\nscenario: two\nenter: { on: go }\nsteps:\n  - step: a\n    day: 1\n    at: \"15:00\"\n    push: a\n",
    );
    // the member of the shop enters first, its LINE user a little later
    r.ev(m("zz"), "go", "1", json!({}));
    r.pass(SignedDuration::from_secs(60));
    r.ev(Whom::LineUser(user(1)), "go", "2", json!({}));
    for i in 0..150 {
        r.member(&format!("n{i:03}"));
        r.ev(m(&format!("n{i:03}")), "go", "x", json!({}));
    }
    // 15:00 the next day: a hundred fit the turn
    while r.now < at("2026-03-03T06:00:00Z") {
        r.pass(SignedDuration::from_secs(60));
    }
    r.now = at("2026-03-03T06:00:00Z");
    let e = r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap();
    r.store.flush().unwrap();
    r.release(e, &|_| Some(Attempted::Accepted));
    let out: Vec<_> = r.queue.drain(..).collect();
    r.link("zz", user(1), IfTaken::Refuse);
    r.queue.extend(out);
    r.settle_down(accept);
    r.pass(SignedDuration::from_secs(61));
    r.settle_down(accept);
    let to = format!("{}", user(1));
    let n = r.attempts.iter().filter(|a| a.1.contains(&to)).count();
    assert_eq!(n, 1);
}

#[test]
fn what_was_not_sent_before_its_date_moved_waits_for_the_new_date() {
    let mut r = Rig::new(BOOK);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({"t": "2026-03-02T05:00:00Z"}));
    r.pass(SignedDuration::from_hours(1));
    r.settle_down(accept);
    r.pass(SignedDuration::from_hours(25));
    let e = r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap();
    r.store.flush().unwrap();
    r.release(e, &|_| Some(Attempted::NotSent));
    r.settle_down(|_| None);
    let before = r.attempts.len();
    r.ev(m("m"), "moved", "2", json!({"t": "2026-03-20T05:00:00Z"}));
    r.pass(SignedDuration::from_secs(5));
    r.settle_down(accept);
    assert_eq!(before, r.attempts.len());
}

#[test]
fn a_reminder_for_the_new_date_goes_out_whatever_became_of_the_old_one() {
    let mut r = Rig::new(BOOK);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({"t": "2026-03-02T05:00:00Z"}));
    r.pass(SignedDuration::from_hours(1));
    let e = r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap();
    r.store.flush().unwrap();
    r.release(e, &|_| Some(Attempted::Ambiguous));
    r.settle_down(|_| None);
    r.ev(m("m"), "moved", "2", json!({"t": "2026-03-20T05:00:00Z"}));
    r.pass(SignedDuration::from_secs(5));
    r.settle_down(accept);
    r.now = at("2026-03-20T04:00:00Z");
    r.settle_down(accept);
    assert!(r.happened.iter().any(|h| h.starts_with("accepted soon")));
}

#[test]
fn a_block_is_heard_by_a_member_whose_file_is_full() {
    let mut r = Rig::new(
        "\nscenario: pts\nenter: { on: go, again: always }\nsteps:\n  - step: a\n    after: 1h\n    push: hi\n",
    );
    r.ask(Action::Change {
        member: MemberId::new("m").unwrap(),
        change: Change { attributes: Some(data(json!({"points": "9".repeat(4000)}))), ..Change::default() },
        link: None,
    });
    r.link("m", user(1), IfTaken::Refuse);
    for i in 0..2 {
        assert_eq!(r.ev(m("m"), "go", &i.to_string(), json!({"a": "x".repeat(4000)})), Answer::Done);
    }
    assert_eq!(r.ev(m("m"), "go", "z", json!({"a": "x".repeat(3000)})), Answer::Done);
    for i in 0..190 {
        r.ev(m("m"), "noop", &format!("n{i}"), json!({}));
    }
    let event = Event {
        id: Some("w".into()),
        name: EventName::new("line.unfollow").unwrap(),
        at: r.now,
        data: Default::default(),
    };
    let a = r.ask(Action::Line { user: user(1), event, friendship: Some(Friendship::Blocked) });
    assert!(matches!(a, Answer::Done | Answer::Refused(_)));
    assert_eq!(r.file_of("m").unwrap().link.unwrap().friendship, Friendship::Blocked);
}

#[test]
fn a_changed_configuration_moves_what_is_due_after_a_restart() {
    let text = "\nscenario: cfg\nenter: { on: go }\nsteps:\n  - step: a\n    day: 1\n    at: \"15:00\"\n    push: a\n";
    let mut r = Rig::new(text);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({}));
    let sources = Sources::from_files([("cfg.yaml".to_owned(), text.as_bytes().to_vec())]);
    let d = Defaults { zone: jiff::tz::TimeZone::get("Pacific/Auckland").unwrap(), ..Defaults::default() };
    r.scenarios = Arc::new(load(&sources, &d).set.unwrap());
    r.crash(9);
    r.settle_down(|_| None);
    assert_eq!(r.turns.due.head(), Some(at("2026-03-03T02:00:00Z")));
}

#[test]
fn an_anchor_at_the_start_of_time_is_late_and_takes_no_place_for_ever() {
    let mut r = Rig::new(BOOK);
    r.member("m");
    r.ev(m("m"), "go", "1", json!({"t": "-009999-01-02T02:00:00Z"}));
    r.settle_down(|_| None);
    assert!(r.file_of("m").unwrap().enrollments.is_empty());
}
#[test]
fn an_erased_member_s_parcel_leaves_no_row_behind() {
    let mut r = Rig::new(TWO_STEPS);
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    r.link("m", user(1), IfTaken::Refuse);
    r.ask(Action::Erase { member: MemberId::new("m").unwrap() });
    r.ev(Whom::LineUser(user(1)), "go", "2", json!({}));
    let retry_key = r.attempts[0].0;
    // the answer to the FIRST attempt settles the second run
    r.ask(Action::Attempted { retry_key, attempted: Attempted::Accepted });
    let left = store::page_outbox(&*r.store, None, 9).unwrap();
    assert_eq!((left.len(), r.turns.outbox_len()), (1, 1), "the second run's own");
    assert_ne!(r.attempts[0].0, r.attempts[1].0);
}

#[test]
fn a_line_user_that_was_let_go_is_still_blocked() {
    let mut r = Rig::new(TWO_STEPS);
    r.link("m", user(1), IfTaken::Refuse);
    let event = Event {
        id: Some("w".into()),
        name: EventName::new("line.unfollow").unwrap(),
        at: r.now,
        data: Default::default(),
    };
    r.ask(Action::Line { user: user(1), event, friendship: Some(Friendship::Blocked) });
    r.link("m", user(2), IfTaken::Refuse);
    r.ev(Whom::LineUser(user(1)), "go", "1", json!({}));
    assert_eq!(r.attempts, []);
}

#[test]
fn a_parcel_that_was_not_tried_goes_on_soon_and_as_if_nothing_had_been() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m1");
    rig.event("m1", "e1");
    rig.settle_down(|_| Some(Attempted::NotTried));
    for _ in 0..20 {
        rig.pass(UNTRIED_WAIT);
        rig.settle_down(|_| Some(Attempted::NotTried));
    }
    rig.pass(UNTRIED_WAIT);
    rig.settle_down(accept);
    assert!(rig.happened.contains(&"accepted first".to_owned()), "{:?}", rig.happened);
    rig.assert_same_bytes_under_a_key();
}

/// Commands that are taken in one turn, and what is attempted after it.
fn in_one_turn(rig: &mut Rig, actions: Vec<Action>) {
    rig.queue.extend(actions.into_iter().map(command));
    let effects = rig.turns.take(&mut rig.queue, Moment::by_hand(rig.now)).unwrap();
    assert!(rig.queue.is_empty(), "all in one turn");
    rig.store.flush().unwrap();
    rig.release(effects, &|_| None);
}

fn going(rig: &Rig, whom: Whom, name: &str) -> Action {
    let event = Event {
        id: Some(format!("{name}-{whom:?}")),
        name: EventName::new(name).unwrap(),
        at: rig.now,
        data: Default::default(),
    };
    Action::Event { member: whom, event }
}

#[test]
fn a_run_that_ends_in_the_turn_that_began_it_sends_nothing() {
    let mut rig = Rig::new(&TWO_STEPS.replace("steps:", "exit: { on: stop }\nsteps:"));
    rig.member("m");
    let actions = vec![going(&rig, m("m"), "go"), going(&rig, m("m"), "stop")];
    in_one_turn(&mut rig, actions);
    assert_eq!(rig.attempts, []);
    assert_eq!(rig.file_of("m").unwrap().enrollments, []);
    assert_eq!(rig.turns.outbox_len(), 0);
}

#[test]
fn a_member_erased_in_the_turn_that_began_its_run_is_sent_nothing() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.member("m");
    let erase = Action::Erase { member: MemberId::new("m").unwrap() };
    let actions = vec![going(&rig, m("m"), "go"), erase];
    in_one_turn(&mut rig, actions);
    assert_eq!(rig.attempts, []);
    assert_eq!(rig.turns.outbox_len(), 0);
}

#[test]
fn a_link_that_moves_in_the_turn_that_began_a_run_takes_the_push_back() {
    let mut rig = Rig::new(TWO_STEPS);
    rig.ev(Whom::LineUser(user(9)), "noop", "0", json!({}));
    let link = |user: LineUserId| Action::Change {
        member: MemberId::new("m").unwrap(),
        change: Change::default(),
        link: Some(LinkRequest { user, taken: IfTaken::Refuse }),
    };
    // the friend's run begins, the friend becomes m, and m turns out to be somebody else
    let actions = vec![going(&rig, Whom::LineUser(user(1)), "go"), link(user(1)), link(user(2))];
    in_one_turn(&mut rig, actions);
    assert_eq!(rig.attempts.len(), 1);
    assert!(rig.attempts[0].1.contains(user(2).as_str()), "{:?}", rig.attempts);
    let run = &rig.file_of("m").unwrap().enrollments[0];
    assert!(matches!(run.now, Standing::InFlight(_)));
    rig.ask(Action::Attempted { retry_key: rig.attempts[0].0, attempted: Attempted::Accepted });
    assert!(rig.happened.contains(&"accepted first".to_owned()), "{:?}", rig.happened);
}

#[test]
fn a_line_user_that_was_let_go_is_not_sent_again_for_an_event_that_comes_twice() {
    for whom in [Whom::LineUser(user(1)), m("m")] {
        let mut rig = Rig::new(TWO_STEPS);
        if whom == m("m") {
            rig.link("m", user(1), IfTaken::Refuse);
        }
        rig.ev(whom, "go", "1", json!({}));
        rig.settle_down(accept);
        rig.link("m", user(1), IfTaken::Refuse);
        rig.link("m", user(2), IfTaken::Refuse);
        assert_eq!(rig.ev(Whom::LineUser(user(1)), "go", "1", json!({})), Answer::Duplicate);
        rig.settle_down(accept);
        assert_eq!(rig.attempts.len(), 2, "each step once");
    }
}

#[test]
fn nothing_is_left_of_what_a_friend_did_before_it_became_a_member_that_is_erased() {
    let mut rig = Rig::new(TWO_STEPS);
    for n in 0..12 {
        let (name, id) = (EventName::new("go").unwrap(), Some(format!("{n}")));
        let event = Event { id, name, at: rig.now, data: Default::default() };
        rig.queue.push_back(command(Action::Event { member: Whom::LineUser(user(1)), event }));
        rig.settle_down(accept);
    }
    let stub = MemberId::provisional(&user(1));
    let rows = |rig: &Rig| store::page_history(&*rig.store, &stub, 0, 99).unwrap().len();
    assert_ne!(rows(&rig), 0, "it did a lot");
    rig.link("m", user(1), IfTaken::Refuse);
    rig.ask(Action::Erase { member: MemberId::new("m").unwrap() });
    assert_eq!(rows(&rig), 0);
}

#[test]
fn a_reminder_that_a_reload_removes_does_not_go_out_after_its_anchor() {
    for (attempted, expected) in
        [(Attempted::NotSent, "withdrawn soon removed"), (Attempted::Ambiguous, "unknown soon anchor")]
    {
        let mut rig = Rig::new(BOOK);
        rig.member("m");
        rig.ev(m("m"), "go", "1", json!({"t": "2026-03-02T05:00:00Z"}));
        rig.pass(SignedDuration::from_hours(1));
        rig.settle_down(|_| Some(attempted.clone()));
        let without = BOOK.replace("  - step: soon\n    before: 1h\n    push: soon\n", "");
        rig.ask(Action::Reload { scenarios: scenarios(&without), files: Vec::new() });
        rig.pass(SignedDuration::from_hours(1));
        rig.settle_down(accept);
        assert_eq!(rig.attempts.len(), 1, "{:?}", rig.attempts);
        assert!(rig.happened.contains(&expected.to_owned()), "{:?}", rig.happened);
    }
}

#[test]
fn an_arm_that_a_reload_removes_is_not_another_one() {
    let text = r#"
scenario: book
enter: { on: go }
steps:
  - step: which
    branch:
      - when: "true"
        steps:
          - step: gold
            day: 1
            push: gold
      - when: "true"
        steps:
          - step: silver
            day: 2
            push: silver
      - else: []
  - step: end
    day: 3
    push: end
"#;
    let gold = text.find("      - when").unwrap()..text.rfind("      - when").unwrap();
    let without = [&text[..gold.start], &text[gold.end..]].concat();
    for (edited, expected) in [
        (without, vec!["accepted end"]),
        (text.replace("- step: gold", "- step: golden"), vec!["accepted golden", "accepted end"]),
    ] {
        let mut rig = Rig::new(text);
        rig.member("m");
        rig.ev(m("m"), "go", "1", json!({}));
        rig.ask(Action::Reload { scenarios: scenarios(&edited), files: Vec::new() });
        while let Some(wake) = rig.turns.wake() {
            rig.now = rig.now.max(wake);
            rig.settle_down(accept);
        }
        let accepted = rig.happened.iter().filter(|happened| happened.starts_with("accepted"));
        assert_eq!(accepted.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_step_that_has_another_id_goes_on_as_the_one_it_was() {
    let text = "scenario: book\nenter: { on: go }\nsteps:\n  - step: first\n    push: first\n  - step: second\n    day: 1\n    push: second\n";
    let renamed = text
        .replace("step: first", "step: hello\n    was: first")
        .replace("step: second", "step: again\n    was: [later, second]");
    let without = renamed.replace("    was: first\n", "").replace("    was: [later, second]\n", "");
    for attempted in [Attempted::Accepted, Attempted::NotSent, Attempted::Ambiguous] {
        let mut rig = Rig::new(text);
        rig.member("m");
        rig.event("m", "e");
        rig.settle_down(|_| Some(attempted.clone()));
        let key = rig.attempts[0].0;
        rig.ask(Action::Reload { scenarios: scenarios(&renamed), files: Vec::new() });
        rig.settle_down(|_| None);
        // the old name may be forgotten, and become that of a new step
        let reused = without.clone() + "  - step: first\n    day: 2\n    push: reused\n";
        for text in [without.clone(), reused] {
            rig.ask(Action::Reload { scenarios: scenarios(&text), files: Vec::new() });
            rig.settle_down(|_| None);
        }
        while let Some(wake) = rig.turns.wake() {
            rig.now = rig.now.max(wake);
            rig.settle_down(accept);
        }
        rig.assert_same_bytes_under_a_key();
        let sent = |text: &str| {
            let keys: BTreeSet<_> =
                rig.attempts.iter().filter(|(_, bytes)| bytes.contains(text)).map(|(key, _)| *key).collect();
            keys.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(sent("\"first"), [key], "{attempted:?}: {:?}", rig.happened);
        assert_eq!(sent("\"second").len(), 1, "{attempted:?}: {:?}", rig.happened);
        assert_eq!(sent("reused").len(), 1, "{attempted:?}: {:?}", rig.happened);
        assert!(rig.happened.contains(&"completed".to_owned()));
    }
}

#[test]
fn a_step_that_gets_other_ids_again_and_again_does_not_fill_the_file() {
    let text = |id: &str, was: &str| {
        format!(
            "scenario: book\nenter: {{ on: go }}\nsteps:\n  - {{ step: {id}, was: [{was}], push: first }}\n  - {{ step: last, day: 9, push: last }}\n"
        )
    };
    let mut rig = Rig::new(&text("s0", "older"));
    rig.member("m");
    rig.event("m", "e");
    rig.settle_down(accept);
    for n in 1..40 {
        // back and forth, and on to new ones
        for (id, was) in [(n, n - 1), (n - 1, n), (n, n - 1)] {
            let edited = text(&format!("s{id}"), &format!("s{was}"));
            rig.ask(Action::Reload { scenarios: scenarios(&edited), files: Vec::new() });
            rig.settle_down(accept);
        }
    }
    let run = &rig.file_of("m").unwrap().enrollments[0];
    assert_eq!(run.steps.iter().map(|record| record.was.len()).collect::<Vec<_>>(), [10]);
    assert_eq!(rig.attempts.len(), 1, "{:?}", rig.happened);
}

#[test]
fn an_unknown_delivery_of_a_step_that_has_another_id_since_is_settled() {
    let text = "scenario: book\nenter: { on: go }\nsteps:\n  - step: first\n    push: first\n  - step: second\n    day: 9\n    push: second\n";
    for (resolution, last) in [
        (Resolution::Accepted, "accepted hello settled"),
        (Resolution::Dropped, "expired hello dropped"),
        (Resolution::Resend, "accepted hello"),
    ] {
        let mut rig = Rig::new(text);
        rig.member("m");
        rig.event("m", "e");
        rig.settle_down(|_| Some(Attempted::Ambiguous));
        rig.pass(crate::dispatch::outbox::CUTOFF);
        rig.settle_down(accept);
        let delivery = store::page_unknown(&*rig.store, None, 10).unwrap().remove(0).0;
        let renamed = text.replace("step: first", "step: hello\n    was: first");
        rig.ask(Action::Reload { scenarios: scenarios(&renamed), files: Vec::new() });
        rig.settle_down(accept);
        rig.queue.push_back(command(Action::Settle { delivery, resolution }));
        rig.settle_down(accept);
        assert_eq!(rig.happened.last().unwrap(), last);
        rig.assert_same_bytes_under_a_key();
        assert_eq!(rig.turns.unknown(), 0);
    }
}

/// Steps that take a tag away and give it again start the scenario of that tag once more, and so on.
#[test]
fn a_circle_of_changes_and_runs_ends() {
    let mut r = Rig::new(
        r#"
scenario: circle
enter: { segment: "'p' in member.tags", again: always }
steps:
  - step: off
    set: { tags: { remove: [p] } }
  - step: on
    set: { tags: [p] }
"#,
    );
    let tags = Some(["p".to_owned()].into());
    let change = Change { tags, ..Change::default() };
    r.ask(Action::Change { member: MemberId::new("m").unwrap(), change, link: None });
    let begun = r.happened.iter().filter(|h| h.starts_with("enrolled")).count();
    assert_eq!(begun, 1 + crate::engine::acts::MAX_STARTED);
    assert!(r.happened.iter().any(|h| h == "not_enrolled  too_many_at_once"), "{:?}", r.happened);
}

/// An operator asks for a message again whose scenario has ended: the turns came round to it for ever.
#[test]
fn what_is_to_be_sent_again_ends_with_its_scenario() {
    let text = r#"
scenario: one
ends: "2026-03-10"
hours: 09:00-21:00
enter: { on: go }
steps: [{ step: only, push: hello }]
"#;
    for is_over in [true, false] {
        let mut r = Rig::new(text);
        r.member("m");
        r.event("m", "1");
        r.settle_down(|_| Some(Attempted::Ambiguous));
        r.pass(SignedDuration::from_hours(24));
        r.settle_down(|_| Some(Attempted::Ambiguous));
        let (delivery, _) = store::page_unknown(&*r.store, None, 10).unwrap().remove(0);
        // the evening of the last day, or after it: what is sent again waits for the morning
        r.now = at(if is_over { "2026-03-11T14:00:00Z" } else { "2026-03-10T14:00:00Z" });
        r.settle_down(accept);
        let answer = r.ask(Action::Settle { delivery, resolution: Resolution::Resend });
        assert_eq!(answer != Answer::Done, is_over, "{answer:?}");
        r.settle_down(accept);
        r.pass(SignedDuration::from_hours(24));
        r.settle_down(accept);
        assert_eq!(r.attempts.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len(), 1);
        assert_eq!(r.happened.contains(&"expired only ended".to_owned()), !is_over, "{:?}", r.happened);
    }
}

/// A friend who is linked in the middle of a sweep was entered as a friend, and as the member once more.
#[test]
fn a_moment_on_the_clock_enters_one_who_is_linked_in_the_middle_of_its_sweep_once() {
    let text = r#"
scenario: daily
enter: { every: "0 9 * * *", again: always }
steps: [{ step: only, wait: 1h, push: "{{ member.id }}" }]
"#;
    let mut has_met_the_friend_first = false;
    for n in 0..8 {
        let mut r = Rig::new(text);
        let (friend, member) = (Whom::LineUser(user(1)), format!("m{n}"));
        r.ev(friend, "hello", "1", json!({}));
        r.ev(m(&member), "hello", "2", json!({}));
        r.now = at("2026-03-03T00:00:00Z");
        while !r.happened.iter().any(|h| h.starts_with("enrolled")) {
            let effects = r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap();
            r.store.flush().unwrap();
            r.release(effects, &accept);
        }
        has_met_the_friend_first |= r.file_of(&member).unwrap().enrollments.is_empty();
        r.link(&member, user(1), IfTaken::Refuse);
        r.settle_down(accept);
        r.pass(SignedDuration::from_hours(1));
        r.settle_down(accept);
        assert_eq!(r.attempts.len(), 1, "{member}: {:?}", r.happened);
    }
    assert!(has_met_the_friend_first);
}

/// Where a process was down for the first moment that it would have handled, nothing told the next one of it.
#[test]
fn the_first_moment_on_the_clock_is_caught_up_on_after_a_crash() {
    let daily = r#"
scenario: daily
enter: { every: "0 9 * * *" }
steps: [{ step: only, push: "{{ member.id }}" }]
"#;
    for is_loaded_later in [false, true] {
        let mut r = Rig::new(if is_loaded_later { TWO_STEPS } else { daily });
        r.member("m");
        if is_loaded_later {
            r.scenarios = scenarios(daily);
            r.ask(Action::Reload { scenarios: Arc::clone(&r.scenarios), files: Vec::new() });
            r.settle_down(accept);
        }
        r.now = at("2026-03-03T00:10:00Z");
        r.crash(0);
        r.settle_down(accept);
        assert_eq!(r.attempts.len(), 1, "{:?}", r.happened);
    }
}

/// Somebody falls out of a multicast while the clock is wrong by hours.
#[test]
fn the_ten_minutes_of_a_multicast_end_when_the_clock_is_put_back() {
    let mut r =
        Rig::new("scenario: one\nenter: { on: go }\nsteps: [{ step: only, after: 1h, push: hello }]\n");
    for n in 1..3 {
        r.ev(Whom::LineUser(user(n)), "go", "1", json!({}));
    }
    r.pass(SignedDuration::from_hours(1));
    r.settle_down(|_| Some(Attempted::Ambiguous));
    assert_eq!(r.attempts.len(), 1);
    let (before, friendship) = (r.now, Some(Friendship::Blocked));
    r.pass(SignedDuration::from_hours(20));
    let event =
        Event { id: None, name: EventName::new("line.unfollow").unwrap(), at: before, data: data(json!({})) };
    r.queue.push_back(command(Action::Line { user: user(1), event, friendship }));
    // one turn by the wrong clock, and not the retry that is due by it
    let effects = r.turns.take(&mut r.queue, Moment::by_hand(r.now)).unwrap();
    r.store.flush().unwrap();
    r.release(effects, &|_| Some(Attempted::Ambiguous));
    r.now = before;
    for _ in 0..12 {
        r.pass(SignedDuration::from_mins(6));
        r.settle_down(|_| Some(Attempted::Ambiguous));
    }
    assert_eq!(r.turns.unknown(), 2, "{:?}", r.happened);
}

/// The run of a friend took the place of the first run that the member had, and not of its like.
#[test]
fn runs_that_a_link_makes_one_are_those_of_the_same_entry() {
    let text = r#"
scenario: daily
enter: { every: "0 9 * * *", again: always }
steps:
  - step: first
    push: "{{ member.id }}"
  - step: second
    wait: 30h
    push: "{{ enrollment.entered_at }}"
"#;
    let mut r = Rig::new(text);
    r.ev(m("m"), "hello", "1", json!({}));
    r.now = at("2026-03-03T00:00:00Z");
    r.settle_down(accept);
    r.ev(Whom::LineUser(user(1)), "hello", "2", json!({}));
    r.now = at("2026-03-04T00:00:00Z");
    r.settle_down(|_| None);
    r.link("m", user(1), IfTaken::Refuse);
    let retry_key = r.attempts[0].0;
    r.ask(Action::Attempted { retry_key, attempted: Attempted::Accepted });
    for hours in [6, 24] {
        r.pass(SignedDuration::from_hours(hours));
        r.settle_down(accept);
    }
    for day in ["2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"] {
        let of_day = r.attempts.iter().filter(|(_, bytes)| bytes.contains(day)).count();
        assert_eq!(of_day, 1, "{day}: {:?}", r.attempts);
    }
}

/// A restored store started another scenario by a step of days ago, as if it were of now.
#[test]
fn what_a_restored_store_starts_is_as_old_as_the_step_that_starts_it() {
    use crate::store::{RestoredRow, encode_restored};
    let sources = Sources::from_files([
        (
            "first.yaml".to_owned(),
            b"scenario: first\nenter: { on: go }\nsteps:\n  - { step: tag, after: 1h, set: { tags: [p] } }\n  - { step: next, after: 2h, enter: second }\n"
                .to_vec(),
        ),
        (
            "second.yaml".to_owned(),
            b"scenario: second\nenter: { manual: true }\nsteps: [{ step: only, push: second }]\n".to_vec(),
        ),
        (
            "third.yaml".to_owned(),
            b"scenario: third\nenter: { segment: \"'p' in member.tags\" }\nsteps: [{ step: only, push: third }]\n"
                .to_vec(),
        ),
    ]);
    let mut r = Rig::new(TWO_STEPS);
    r.scenarios = Arc::new(load(&sources, &Defaults::default()).set.unwrap());
    r.crash(0);
    r.member("m");
    r.event("m", "1");
    r.settle_down(accept);
    // the backup is of now; it is restored a day later
    let restored_at = r.now + SignedDuration::from_hours(24);
    let row = RestoredRow {
        incarnation: [7; 16].into(),
        backup_ms: r.now.as_millisecond(),
        restored_ms: restored_at.as_millisecond(),
        released: Some(true),
    };
    let mut batch = Batch::default();
    batch.put_meta(Meta::Restored, encode_restored(&row));
    r.store.commit(&batch, Epoch::EMBEDDED).unwrap();
    r.store.flush().unwrap();
    r.now = restored_at + SignedDuration::from_mins(1);
    r.crash(0);
    r.settle_down(accept);
    assert_eq!(r.attempts.len(), 0, "{:?}", r.happened);
    assert_eq!(r.happened.iter().filter(|h| *h == "unknown only restored").count(), 2, "{:?}", r.happened);
}

/// A clock that runs ahead and comes back had passed over the moments between, and ended runs.
#[test]
fn a_clock_that_jumps_starts_and_ends_nothing() {
    let text = r#"
scenario: daily
ends: "2026-03-20"
enter: { every: "0 9 * * *", again: always }
steps: [{ step: only, wait: 30h, push: "{{ enrollment.entered_at }}" }]
"#;
    let mut r = Rig::new(text);
    let start = at("2026-03-02T12:00:00Z");
    let mut passed = 0;
    let mut until = |r: &mut Rig, jump: i64, hours: i64| {
        for minutes in [passed * 60 + 1, hours * 60] {
            let wall = start + SignedDuration::from_mins(minutes + jump * 60);
            let ms = u64::try_from(minutes * 60_000).unwrap();
            let moment = Moment { wall, uptime: crate::clock::Uptime { boot: 1, ms } };
            for _ in 0..200 {
                let effects = r.turns.take(&mut r.queue, moment).unwrap();
                r.store.flush().unwrap();
                r.release(effects, &accept);
            }
        }
        passed = hours;
    };
    until(&mut r, 0, 1);
    r.member("m");
    for (jump, hours) in [(0, 13), (24 * 30, 14), (0, 15)] {
        if jump > 0 {
            r.event("m", "1");
        }
        until(&mut r, jump, hours);
    }
    for hours in (16..80).step_by(4) {
        until(&mut r, 0, hours);
    }
    let of = |day: &str| r.attempts.iter().filter(|(_, bytes)| bytes.contains(day)).count();
    assert_eq!([of("2026-03-03T00"), of("2026-03-04T00")], [1, 1], "{:?}", r.happened);
}
