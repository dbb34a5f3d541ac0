//! Signals, as messages.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Read the scenarios and the secrets again.
    Reload,
    /// Finish what is under way and end.
    Stop,
}

/// Signals from now on. A second one to stop ends the process at once.
///
/// # Errors
/// The system refuses the handlers.
pub(super) fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            let asked = if signal == SIGHUP { Signal::Reload } else { Signal::Stop };
            if asked == Signal::Stop && std::mem::replace(&mut stopping, true) {
                tracing::warn!("asked a second time to stop: ending at once; what is in flight is taken up by the next start");
                std::process::exit(128 + signal);
            }
            if sender.send(asked).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
