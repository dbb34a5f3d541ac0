use std::slice;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{ArmPlace, limits};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A member with something in every field.
fn full() -> MemberFile {
    let attributes = json!({"name": "さくら", "points": 12, "shop": {"area": "渋谷"}});
    let serde_json::Value::Object(attributes) = attributes else { unreachable!() };
    let scenario = ScenarioId::new("trial-followup").unwrap();
    let step = StepId::new("welcome").unwrap();
    let user = LineUserId::new(&format!("U{}", "0a".repeat(16))).unwrap();
    let now = at("2026-03-02T12:50:00Z");
    MemberFile {
        id: MemberId::new("m1").unwrap(),
        attributes: Arc::new(attributes.clone()),
        tags: Arc::new(["vip".to_owned()].into()),
        link: Some(Link { user, friendship: Friendship::Blocked, told_at: Some(now) }),
        merged_into: Some(MemberId::new("m2").unwrap()),
        seen: vec![SeenEvent { id: u64::MAX, at: now }],
        entries: vec![Entries {
            scenario: scenario.clone(),
            key: EntriesKey::Key(7),
            next_ordinal: 3,
            last: now,
            left: false,
        }],
        enrollments: vec![Enrollment {
            id: EnrollmentId(Uuid::from_u128(5)),
            scenario: scenario.clone(),
            key: Some("b-1".into()),
            entered_at: now,
            anchor: at("2026-03-05T05:00:00Z"),
            event: Arc::new(attributes),
            steps: vec![StepRecord {
                step: step.clone(),
                revision: 1,
                generation: 2,
                settled: Some(Settled { at: now, how: Settlement::Late }),
                alone: true,
                resent_at: Some(now),
                took: Some(step.clone()),
                arm: Some(ArmPlace { index: 1, of: 3 }),
                was: vec![StepId::new("old").unwrap()],
            }],
            reached_at: at("2026-03-02T12:51:00Z"),
            now: Standing::InFlight(Flight {
                step: step.clone(),
                delivery: DeliveryId(Uuid::from_u128(9)),
                revision: 1,
                since: now,
                due: now,
                anchor: now,
                is_call: true,
            }),
            held_out: true,
            dated: true,
            kept_until: Some(now),
            ended: Some(Ended::Exited),
        }],
        journal: vec![Happening {
            at: now,
            what: What::Skipped,
            scenario: Some(scenario),
            step: Some(step),
            reason: Some("late".into()),
            until: Some(now),
            cause: Some("event(purchase)".into()),
        }],
        opted_out: OptOut { all: true, topics: ["news".to_owned()].into() },
        pushed: vec![now],
        history_rows: 4,
        wake: Some(now),
    }
}

#[test]
fn a_member_comes_back_as_it_was_stored() {
    let file = full();
    assert_eq!(decode_member(&file.id, &encode_member(&file)).unwrap(), file);
    let empty = MemberFile::new(MemberId::new("m1").unwrap());
    let bytes = encode_member(&empty);
    assert!(bytes.len() < 16, "an empty member takes {} bytes", bytes.len());
    assert_eq!(decode_member(&empty.id, &bytes).unwrap(), empty);
}

#[test]
fn the_stored_form_does_not_change_by_accident() {
    let mut file = full();
    file.journal.clear();
    file.enrollments.clear();
    // added later
    (file.opted_out, file.pushed) = (OptOut::default(), Vec::new());
    let hex: String = encode_member(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    // the bytes of format 1: fields may be added to it, and none may change
    assert_eq!(hex, include_str!("format-1.hex").trim());
}

/// What began a run is stored only where its scenario's file does not tell; elsewhere it costs nothing.
#[test]
fn a_happening_without_a_cause_is_stored_as_it_always_was() {
    let happening = Happening {
        at: at("2026-03-02T12:50:00Z"),
        what: What::Enrolled,
        scenario: Some(ScenarioId::new("welcome").unwrap()),
        step: None,
        reason: None,
        until: None,
        cause: None,
    };
    let of_format_1 = b"\x81\x81\x83\x1b\x00\x00\x01\x9c\xae\x99\x2c\xc0\x00\x67welcome";
    assert_eq!(encode_history(slice::from_ref(&happening)), of_format_1);
    assert_eq!(decode_history(of_format_1).unwrap(), slice::from_ref(&happening));
    let by_hand = Happening { cause: Some("hand".into()), ..happening };
    let bytes = encode_history(slice::from_ref(&by_hand));
    assert_eq!(bytes.len(), of_format_1.len() + 8, "three that are absent, and the word");
    assert_eq!(decode_history(&bytes).unwrap(), [by_hand]);
}

#[test]
fn every_kind_of_happening_has_a_number() {
    for (number, what) in WHATS.iter().enumerate() {
        let happening = Happening {
            at: at("2026-03-02T12:50:00Z"),
            what: *what,
            scenario: None,
            step: None,
            reason: None,
            until: None,
            cause: None,
        };
        let row = happening_row(&happening);
        assert_eq!(usize::from(row.what), number);
        assert_eq!(happening_of(row).unwrap(), happening);
    }
}

#[test]
fn a_full_list_of_seen_events_leaves_room_in_the_file() {
    let mut file = full();
    file.seen = vec![SeenEvent { id: 1, at: at("2026-03-02T12:50:00Z") }; limits::SEEN_EVENTS];
    assert!(encode_member(&file).len() < limits::MEMBER_FILE_BYTES / 2);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let id = MemberId::new("m1").unwrap();
        drop(decode_member(&id, &bytes));
        drop(decode_outbox(&bytes));
        drop(decode_history(&bytes));
    }

    #[test]
    fn a_cut_or_flipped_member_never_panics(cut in 0usize..400, flip in 0usize..400, bit in 0u8..8) {
        let file = full();
        let mut bytes = encode_member(&file);
        let flip = flip % bytes.len();
        bytes[flip] ^= 1 << bit;
        bytes.truncate(cut);
        drop(decode_member(&file.id, &bytes));
    }
}
