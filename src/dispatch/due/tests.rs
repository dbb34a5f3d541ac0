use proptest::prelude::*;

use super::*;
use crate::store::{Batch, Epoch, MemoryStore};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever moves, everything comes out once it is due, soonest first and once.
    #[test]
    fn gives_what_a_sorted_list_would(
        moves in proptest::collection::vec((0u32..6_000, proptest::option::of(0i64..50)), 1..400),
        loaded in 0u32..6_000,
    ) {
        let store = MemoryStore::new();
        let id = |n: u32| MemberId::new(&format!("m{n}")).unwrap();
        let mut wakes = vec![None; 6_000];
        let mut batch = Batch::default();
        for n in 0..loaded {
            wakes[n as usize] = Some(at(i64::from(n % 40)));
            batch.move_due(&id(n), None, wakes[n as usize]);
        }
        store.commit(&batch, Epoch::EMBEDDED).unwrap();
        let mut queue = DueQueue::open(&store).unwrap();
        for (turn, (n, to)) in moves.into_iter().enumerate() {
            let (from, to) = (wakes[n as usize], to.map(at));
            let mut batch = Batch::default();
            batch.move_due(&id(n), from, to);
            store.commit(&batch, Epoch::EMBEDDED).unwrap();
            queue.moved(&id(n), from, to, &store).unwrap();
            wakes[n as usize] = to;
            prop_assert_eq!(queue.head(), wakes.iter().flatten().min().copied());
            if turn % 7 == 0 {
                let taken = queue.take(at(20), 30, &store).unwrap();
                let mut expected: Vec<DueKey> = (wakes.iter().zip(0..))
                    .filter_map(|(wake, n)| wake.map(|at| DueKey { at, member: id(n) }))
                    .filter(|due| due.at <= at(20))
                    .collect();
                expected.sort();
                let instants = |keys: &[DueKey]| keys.iter().map(|k| k.at).collect::<Vec<_>>();
                expected.truncate(30);
                prop_assert_eq!(instants(&taken), instants(&expected));
                for due in taken {
                    let n: usize = due.member.as_str()[1..].parse().unwrap();
                    let mut batch = Batch::default();
                    batch.move_due(&due.member, Some(due.at), None);
                    store.commit(&batch, Epoch::EMBEDDED).unwrap();
                    queue.moved(&due.member, Some(due.at), None, &store).unwrap();
                    wakes[n] = None;
                }
            }
        }
    }
}
