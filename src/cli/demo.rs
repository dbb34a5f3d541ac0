//! `amadare demo`: the real daemon in time-lapse, killed on the way.
//!
//! The daemon is a process of its own, started as `serve` on an accelerated clock, with its own sled
//! store in a temporary folder. The stand-in for LINE and the shop are in this process.

use std::future::Future;

use anyhow::Context;
use clap::Args;

use super::{Failure, runtime, signals};

mod fortnight;
mod gallery;
mod stage;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many seconds it takes [default: 40; with `--gallery` 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=600))]
    seconds: Option<u32>,
    /// Play the sample events of all shipped scenarios, from April to December
    #[arg(long)]
    gallery: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match options.gallery {
        true => until_signal(gallery::play(options.seconds.unwrap_or(gallery::SECONDS))),
        false => until_signal(fortnight::play(options.seconds.unwrap_or(fortnight::SECONDS))),
    }
}

/// What is dropped in the middle ends its daemon and removes its folder.
fn until_signal(playing: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut signals = signals::listen().context("cannot listen for signals")?;
        tokio::select! {
            played = playing => played,
            _ = signals.recv() => Err(Failure::problem("the demo was broken off")),
        }
    })
}
