//! `amadare check`: every problem of every file at once.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FOUND_PROBLEMS, Failure, Place, print};
use crate::scenario::finding::{Finding, Severity};
use crate::scenario::load::{Loaded, load};
use crate::scenario::source::Sources;
use crate::scenario::{Defaults, ScenarioSet};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Files or folders [default: the configured folder of scenarios]
    paths: Vec<PathBuf>,
    /// Let warnings count as problems
    #[arg(long)]
    strict: bool,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// `file:line:column: what is wrong`
    Human,
    /// A JSON object a finding
    Json,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let config = place.load()?;
    let paths = if options.paths.is_empty() { vec![config.scenarios.clone()] } else { options.paths.clone() };
    let Loaded { findings, set } = load_paths(&paths, &config.scenario_defaults())?;
    let mut out = String::new();
    for finding in &findings {
        match options.format {
            Format::Human => out += &format!("{finding}\n"),
            Format::Json => {
                out += &serde_json::to_string(finding).expect("a finding can be written as JSON");
                out.push('\n');
            }
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    if options.format == Format::Human {
        out += &match &set {
            Some(set) => {
                let scenarios = counted(set.iter().count(), "scenario is good", "scenarios are good");
                format!("{scenarios}; {}\n", counted(warnings, "warning", "warnings"))
            }
            None => {
                format!(
                    "{}, {}\n",
                    counted(errors, "error", "errors"),
                    counted(warnings, "warning", "warnings")
                )
            }
        };
    }
    print(&out)?;
    if errors > 0 || (options.strict && warnings > 0) {
        return Err(Failure::silent(FOUND_PROBLEMS));
    }
    Ok(())
}

fn load_paths(paths: &[PathBuf], defaults: &Defaults) -> Result<Loaded, Failure> {
    Ok(load(&read_sources(paths)?, defaults))
}

/// Reads scenario files and folders of them.
pub(super) fn read_sources(paths: &[PathBuf]) -> Result<Sources, Failure> {
    let sources = Sources::read(paths)
        .map_err(|error| Failure::problem(format!("{:#}", anyhow::Error::from(error))))?;
    if sources.scenarios().next().is_none() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::problem(format!("there is no scenario file (*.yaml) in {}", paths.join(", "))));
    }
    Ok(sources)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Loads scenarios that are to be run; prints the problems if there are any.
pub(super) fn load_for_use(paths: &[PathBuf], defaults: &Defaults) -> Result<ScenarioSet, Failure> {
    let Loaded { findings, set } = load_paths(paths, defaults)?;
    set.ok_or_else(|| {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        for error in errors {
            eprintln!("{error}");
        }
        Failure::silent(FOUND_PROBLEMS)
    })
}

/// The findings that stop a set from running, as one text.
pub(super) fn errors_of(findings: &[Finding]) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}
