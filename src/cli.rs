//! The command line: one file a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};

mod access;
mod backup;
mod check;
mod deliveries;
mod demo;
mod explain;
mod hold;
mod jobs;
mod member;
mod plan;
mod prices;
mod sandbox;
mod scenario;
mod schema;
mod serve;
mod signals;
mod simulate;
mod status;
mod test_send;
pub(crate) mod words;

/// Exit codes, as far as they are ours: 2 for a wrong call is clap's.
const FOUND_PROBLEMS: u8 = 1;
const BAD_CONFIGURATION: u8 = 78;
/// The exit code for a call that is wrong.
const WRONG_CALL: u8 = 2;

/// Step messages for LINE Official Accounts: each due push goes out once, on time, and explained.
#[derive(Debug, Parser)]
#[command(name = "amadare", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is, and what takes its place.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "In place of the configuration's")]
struct Place {
    /// The configuration [default: amadare.yaml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder of the scenario files
    #[arg(long, global = true, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// Where the API listens
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The Messaging API, or a stand-in for it
    #[arg(long, global = true, value_name = "URL")]
    line_endpoint: Option<String>,
}

impl Place {
    fn load(&self) -> Result<Config, Failure> {
        let overrides = Overrides {
            data: self.data.clone(),
            scenarios: self.scenarios.clone(),
            listen: self.listen,
            line_endpoint: self.line_endpoint.clone(),
        };
        Config::load(self.config.as_deref(), &overrides)
            .map_err(|error| Failure::configuration(format!("{:#}", anyhow::Error::from(error))))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Options),
    /// Check scenario files: every problem with its file, line and column
    Check(check::Options),
    /// Run a scenario file with its samples, or with events from a file, and show what would happen
    Simulate(simulate::Options),
    /// Run a local stand-in for LINE
    Sandbox(sandbox::Options),
    /// Watch the daemon live two weeks in under a minute, and survive being killed
    Demo(demo::Options),
    /// Look at members, and note what they do not want
    Member {
        #[command(subcommand)]
        command: member::Command,
    },
    /// Have members enter scenarios
    Scenario {
        #[command(subcommand)]
        command: scenario::Command,
    },
    /// Say what edited files would change for the members who are there, before they go live
    Plan(plan::Options),
    /// Say why a step was or was not sent to a member
    Explain(explain::Options),
    /// Send a step's message to a tester now, marked as a test, beside all runs
    TestSend(test_send::Options),
    /// Say how the daemon is
    Status(status::Options),
    /// List deliveries whose fate is unknown, and settle them
    Deliveries {
        #[command(subcommand)]
        command: deliveries::Command,
    },
    /// Stop all sends until `release`, over restarts too
    Hold(hold::Options),
    /// Let sends go on after `hold`, a restore, or a jump of the clock
    Release(hold::Options),
    /// Write all that the store holds into a new file, also while the daemon runs
    Backup(backup::BackupOptions),
    /// Make a data folder from a backup; the daemon starts on hold there
    Restore(backup::RestoreOptions),
    /// Print the configuration with all defaults, explained
    Config,
    /// Print the JSON Schema of scenario files, with which editors complete and explain every key
    Schema(schema::Options),
}

/// Why a command failed, and the exit code for it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn problem(message: impl Into<String>) -> Failure {
        Failure { code: FOUND_PROBLEMS, message: message.into() }
    }

    fn configuration(message: impl Into<String>) -> Failure {
        Failure { code: BAD_CONFIGURATION, message: message.into() }
    }

    /// For a call that clap takes and that makes no sense.
    fn usage(message: impl Into<String>) -> Failure {
        Failure { code: WRONG_CALL, message: message.into() }
    }

    /// For a command that has already said what is wrong.
    fn silent(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::problem(format!("{error:#}"))
    }
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    let Arguments { place, command } = Arguments::parse();
    let done = match command {
        Command::Serve(options) => serve::run(&place, options),
        Command::Check(options) => check::run(&place, &options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Sandbox(options) => sandbox::run(&place, options),
        Command::Demo(options) => demo::run(&options),
        Command::Member { command } => member::run(&place, &command),
        Command::Scenario { command } => scenario::run(&place, &command),
        Command::Plan(options) => plan::run(&place, &options),
        Command::Explain(options) => explain::run(&place, &options),
        Command::TestSend(options) => test_send::run(&place, &options),
        Command::Status(options) => status::run(&place, &options),
        Command::Deliveries { command } => deliveries::run(&place, &command),
        Command::Hold(options) => hold::run(&place, &options, hold::Switch::Hold),
        Command::Release(options) => hold::run(&place, &options, hold::Switch::Release),
        Command::Backup(options) => backup::write(&place, &options),
        Command::Restore(options) => backup::restore(&place, &options),
        Command::Config => print(crate::config::annotated_defaults()),
        Command::Schema(options) => schema::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            if !message.is_empty() {
                eprintln!("amadare: {message}");
            }
            ExitCode::from(code)
        }
    }
}

/// Prints a text; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::problem(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

/// The threads that asynchronous commands run on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::problem(format!("cannot start threads: {error}")))
}
