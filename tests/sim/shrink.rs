//! Makes a history that fails shorter, as long as it breaks the same invariant.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::history::{Act, History};
use crate::oracle::Broken;
use crate::world::{Played, play};

/// Histories played for one shrinking at most.
const MAX_PLAYED: usize = 3_000;

/// Plays a history; a panic of the daemon is a broken invariant as well.
pub(crate) fn play_safely(history: &History, traced: bool) -> Played {
    match catch_unwind(AssertUnwindSafe(|| play(history, traced))) {
        Ok(played) => played,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let broken = Broken::new("no panic", text.unwrap_or_default());
            Played { broken: Some(broken), trace: Vec::new(), steps: 0 }
        }
    }
}

/// Delta debugging over acts: leaves out halves, quarters and so on down to single acts.
pub(crate) fn shrink(history: History, invariant: &str) -> History {
    let History { book, mut acts } = history;
    let still_fails = |acts: &[Act]| {
        let history = History { book, acts: acts.to_vec() };
        play_safely(&history, false).broken.is_some_and(|broken| broken.invariant == invariant)
    };
    let mut played = 0;
    let mut pieces = 2;
    while acts.len() > 1 && played < MAX_PLAYED {
        let size = acts.len().div_ceil(pieces);
        let mut from = 0;
        let mut has_shrunk = false;
        while from < acts.len() && played < MAX_PLAYED {
            let mut fewer = acts.clone();
            fewer.drain(from..(from + size).min(acts.len()));
            played += 1;
            if !fewer.is_empty() && still_fails(&fewer) {
                acts = fewer;
                has_shrunk = true;
            } else {
                from += size;
            }
        }
        if !has_shrunk {
            if size == 1 {
                break;
            }
            pieces = (pieces * 2).min(acts.len());
        }
    }
    for index in 0..acts.len() {
        for simpler in [|act: &mut Act| act.pump = 0, |act: &mut Act| act.snap = None] {
            let mut plainer = acts.clone();
            simpler(&mut plainer[index]);
            if still_fails(&plainer) {
                acts = plainer;
            }
        }
    }
    History { book, acts }
}
