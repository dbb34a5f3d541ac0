//! One test binary: its cases are data, or the real process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod calls;
mod check;
mod clockwork;
mod commands;
mod daemon;
mod disk;
mod edits;
mod explain;
mod fuzzed;
mod gallery;
mod killing;
mod operate;
mod pages;
mod plan;
mod power;
mod process;
mod promises;
mod readme;
mod reference;
mod schema;
mod simulate;
mod test_send;
mod tidy;
mod timelines;
mod tutorial;
