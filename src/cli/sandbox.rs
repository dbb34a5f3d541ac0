//! `amadare sandbox`: a stand-in for LINE in a terminal.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

use super::signals::{self, Signal};
use super::{Failure, Place, print, runtime};
use crate::clock::Clock;
use crate::sandbox::{Limits, Sandbox, Settings, describe};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where the stand-in listens
    #[arg(long = "at", default_value = "127.0.0.1:9000", value_name = "ADDR")]
    address: SocketAddr,
    /// Where webhooks are posted to: the daemon's /line/webhook
    #[arg(long, default_value = "http://127.0.0.1:8787/line/webhook", value_name = "URL")]
    webhook: String,
    /// What webhooks are signed with
    #[arg(long, default_value = "sandbox-channel-secret", value_name = "TEXT")]
    channel_secret: String,
    /// Messages of the month's quota [default: no limit]
    #[arg(long, value_name = "N")]
    quota: Option<u64>,
    /// Let through as many requests as come
    #[arg(long)]
    no_limits: bool,
    /// Print nothing of what arrives, and do not keep it
    #[arg(long)]
    quiet: bool,
    /// What faults are drawn from
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Start an accelerated clock at this time (RFC 3339)
    #[arg(long, value_name = "T", requires = "clock_speed")]
    clock_start: Option<Timestamp>,
    /// How many times as fast as real time the accelerated clock runs
    #[arg(long, value_name = "N", requires = "clock_start")]
    clock_speed: Option<f64>,
}

pub(super) fn run(place: &Place, options: Options) -> Result<(), Failure> {
    if let Some(listen) = place.listen {
        let why = format!("--listen is where a daemon listens; the stand-in does so with --at {listen}");
        return Err(Failure::usage(why));
    }
    let clock = match (options.clock_start, options.clock_speed) {
        (Some(start), Some(speed)) => Clock::accelerated(start, speed),
        _ => Clock::system(),
    };
    let settings = Settings {
        channel_secret: options.channel_secret.clone(),
        limits: if options.no_limits { Limits::NONE } else { Limits::LINE },
        quota: options.quota,
        webhook: Some(options.webhook.clone()),
        seed: options.seed,
        keep_bodies: !options.quiet,
        ..Settings::default()
    };
    let sandbox = Sandbox::new(settings, clock).context("cannot start the sandbox")?;
    runtime()?.block_on(serve(sandbox, &options))
}

async fn serve(sandbox: Sandbox, options: &Options) -> Result<(), Failure> {
    let mut signals = signals::listen().context("cannot listen for signals")?;
    let listener = TcpListener::bind(options.address)
        .await
        .with_context(|| format!("cannot listen on {}", options.address))?;
    let address = listener.local_addr().context("the listener has no address")?;
    print(&format!(
        "a stand-in for LINE listens on http://{address}; what people receive is printed here\n\
         faults, blocks and messages from people: see http://{address}/\n"
    ))?;
    if !options.quiet {
        let shown = sandbox.clone();
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                for receipt in shown.next_received(last).await {
                    last = receipt.seq;
                    if print(&format!("{}\n", describe(&receipt, &TimeZone::system()))).is_err() {
                        return;
                    }
                }
            }
        });
    }
    let stop = async move { while signals.recv().await == Some(Signal::Reload) {} };
    sandbox.serve(listener, stop).await.context("the sandbox ended")?;
    Ok(())
}
