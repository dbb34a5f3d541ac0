//! Whole histories of the real engine, turns and store, drawn from seeds, over a simulated clock, disk and
//! LINE.
//!
//! `SEED=123 cargo test --test sim -- --nocapture` plays one seed; `SEEDS=100000 FROM=0` plays many.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::cell::Cell;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod book;
mod daemon;
mod history;
mod line;
mod oracle;
mod scenarios;
mod shrink;
mod world;

use shrink::{play_safely, shrink};

/// Seeds that a change is tried with.
const SEEDS: u64 = 2_000;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of the daemon are caught and told with their history.
fn be_quiet() {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                before(info);
            }
        }));
    });
    IS_QUIET.set(true);
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "which seeds to play is asked for at the command line")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The failure of a seed, with the shortest history that shows it.
fn report(seed: u64, invariant: &str) -> String {
    let history = shrink(history::draw(seed), invariant);
    let played = play_safely(&history, true);
    let broken = played.broken.expect("a history that was shrunk still fails");
    let mut text = format!("\nseed {seed} breaks `{}`: {}\n\n", broken.invariant, broken.detail);
    for act in &history.acts {
        writeln!(text, "    {act}").unwrap();
    }
    let reloaded = history.acts.iter().filter_map(|act| match act.what {
        history::What::Reload { variant } => Some(variant),
        _ => None,
    });
    for variant in reloaded.chain([0]).collect::<std::collections::BTreeSet<_>>() {
        writeln!(text, "\n    variant {variant}: {}", book::book(history.book).told(variant)).unwrap();
    }
    writeln!(text).unwrap();
    for line in &played.trace {
        writeln!(text, "    {line}").unwrap();
    }
    writeln!(text, "\n    SEED={seed} cargo test --test sim -- --nocapture").unwrap();
    text
}

#[test]
fn every_history_keeps_the_promises() {
    let (from, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS)),
    };
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let (steps, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let most = number("FAILURES").unwrap_or(1) as usize;
    std::thread::scope(|scope| {
        for _ in 0..number("THREADS").unwrap_or(2) {
            scope.spawn(|| {
                be_quiet();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let played = play_safely(&history::draw(seed), false);
                    steps.fetch_add(played.steps, Ordering::Relaxed);
                    if let Some(broken) = played.broken {
                        let mut failed = failed.lock().unwrap();
                        failed.push((seed, broken));
                        stop.store(failed.len() >= most, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if let Some(seed) = number("SEED") {
        let history = history::draw(seed);
        history.acts.iter().for_each(|act| println!("{act}"));
        play_safely(&history, true).trace.iter().for_each(|line| println!("{line}"));
    }
    println!("{count} seeds from {from}, {} steps", steps.into_inner());
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    if most > 1 {
        for (seed, broken) in &failed {
            println!("{seed}: {}: {}", broken.invariant, broken.detail.chars().take(160).collect::<String>());
        }
    }
    if let Some((seed, broken)) = failed.first() {
        be_quiet();
        let report = report(*seed, broken.invariant);
        IS_QUIET.set(false);
        panic!("{report}");
    }
}

/// Seeds in which a fault is looked for at first, and at most.
#[cfg(feature = "mutations")]
const MUTATED: (u64, u64) = (250, 20_000);

/// Every fault is caught, and by which invariants.
#[cfg(feature = "mutations")]
#[test]
fn mutations() {
    use amadare::mutation::{self, Mutation};
    use std::collections::BTreeMap;
    println!("{:<24}{:>8}{:>8}  by", "mutation", "seeds", "caught");
    let mut missed = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "one fault alone can be asked for at the command line")]
    let alone = std::env::var("MUTATION").ok();
    let is_asked = |mutation: &Mutation| alone.as_ref().is_none_or(|name| format!("{mutation:?}") == *name);
    for mutation in Mutation::ALL.into_iter().filter(is_asked) {
        let next = AtomicU64::new(0);
        let caught: Mutex<BTreeMap<&str, u64>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..number("THREADS").unwrap_or(2) {
                scope.spawn(|| {
                    be_quiet();
                    mutation::set(Some(mutation));
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_enough = seed >= MUTATED.0 && !caught.lock().unwrap().is_empty();
                        if is_enough || seed >= MUTATED.1 {
                            next.fetch_sub(1, Ordering::Relaxed);
                            return;
                        }
                        if let Some(broken) = play_safely(&history::draw(seed), false).broken {
                            *caught.lock().unwrap().entry(broken.invariant).or_insert(0) += 1;
                        }
                    }
                });
            }
        });
        let caught = caught.into_inner().unwrap();
        let mut by: Vec<_> = caught.iter().collect();
        by.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let by: Vec<String> = by.iter().map(|(invariant, count)| format!("{invariant} {count}")).collect();
        let total: u64 = caught.values().sum();
        println!("{:<24}{:>8}{total:>8}  {}", format!("{mutation:?}"), next.into_inner(), by.join(", "));
        if total == 0 {
            missed.push(mutation);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
