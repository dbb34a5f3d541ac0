//! One test binary: its cases are data, or the real process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod commands;
mod daemon;
mod killing;
mod operate;
mod process;
mod readme;
mod tidy;
mod timelines;
