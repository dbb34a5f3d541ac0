use super::*;
use crate::model::{DeliveryId, Enrollment, Flight, MemberId, ScenarioId, StepId};

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + minutes * 60).unwrap()
}

fn cap(max: u32, minutes: i64) -> Cap {
    Cap { max, per: SignedDuration::from_mins(minutes) }
}

/// Whether `times` and one more at `now` keep every cap, by counting.
fn keeps(times: &[Timestamp], caps: &[Cap], now: Timestamp) -> bool {
    caps.iter().all(|cap| {
        let since = now.checked_sub(cap.per).unwrap();
        let counting = times.iter().filter(|at| **at > since && **at <= now).count();
        counting < cap.max as usize
    })
}

#[test]
fn the_next_message_goes_out_at_the_first_minute_that_keeps_every_cap() {
    let caps = [cap(1, 5), cap(3, 30)];
    // every set of minutes out of twelve at which something was sent
    for sent in 0_u32..1 << 12 {
        let times: Vec<Timestamp> = (0..12).filter(|bit| sent >> bit & 1 == 1).map(at).collect();
        let mut file = MemberFile::new(MemberId::new("m1").unwrap());
        for time in &times {
            count(&mut file, &caps, *time, *time);
        }
        let now = at(12);
        let found = allowed_at(&file, EnrollmentId(uuid::Uuid::nil()), &caps, now);
        // only what still counts at 12 is kept, and no more than the largest cap asks for
        let kept = &times[times.len().saturating_sub(3)..];
        let expected = (12..100).map(at).find(|minute| keeps(kept, &caps, *minute)).unwrap();
        assert_eq!(found, expected, "{sent:b}");
    }
}

fn in_flight(id: EnrollmentId, since: Timestamp) -> Enrollment {
    let flight = Flight {
        step: StepId::new("only").unwrap(),
        delivery: DeliveryId(uuid::Uuid::nil()),
        revision: 0,
        since,
        due: since,
        anchor: since,
        is_call: false,
    };
    Enrollment {
        id,
        scenario: ScenarioId::new("one").unwrap(),
        key: None,
        entered_at: since,
        anchor: since,
        event: Default::default(),
        steps: Vec::new(),
        reached_at: since,
        held_out: false,
        dated: false,
        now: Standing::InFlight(flight),
        kept_until: None,
        ended: None,
    }
}

/// A message that LINE has not answered for longer than a cap is long may still be received.
#[test]
fn what_is_in_flight_counts_for_as_long_as_it_is() {
    let mut file = MemberFile::new(MemberId::new("m1").unwrap());
    let (own, other) = (EnrollmentId(uuid::Uuid::nil()), EnrollmentId(uuid::Uuid::max()));
    file.enrollments.push(in_flight(other, at(0)));
    let allowed = |now| allowed_at(&file, own, &[cap(1, 5)], at(now));
    assert_eq!([0, 4, 5, 6, 12].map(allowed), [5, 5, 10, 10, 15].map(at));
}
