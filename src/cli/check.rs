//! `amadare check`: every problem of every file at once.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FOUND_PROBLEMS, Failure, Place, print};
use crate::scenario::finding::{Finding, Severity};
use crate::scenario::load::{Loaded, load, load_with_drafts};
use crate::scenario::source::Sources;
use crate::scenario::{Defaults, ScenarioSet};

mod manual;
mod online;
mod report;
mod sarif;

use report::Paint;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Files or folders [default: the configured folder of scenarios]
    paths: Vec<PathBuf>,
    /// Let warnings count as problems
    #[arg(long)]
    strict: bool,
    /// Ask LINE whether it would take the messages; nothing is sent
    #[arg(long)]
    online: bool,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Explain a code of a finding, such as `unknown-key`
    #[arg(long, value_name = "CODE", conflicts_with_all = ["paths", "strict", "online", "format"])]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What is wrong, with the line it stands in
    Human,
    /// A JSON object a finding
    Json,
    /// One SARIF 2.1.0 document, for code scanning
    Sarif,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    if let Some(code) = &options.explain {
        return print(&manual::explain(code)?);
    }
    let config = place.load()?;
    let paths = if options.paths.is_empty() { vec![config.scenarios.clone()] } else { options.paths.clone() };
    let sources = read_sources(&paths)?;
    let defaults = config.scenario_defaults();
    let (Loaded { mut findings, set }, asked) = if options.online {
        let (loaded, drafts) = load_with_drafts(&sources, &defaults);
        (loaded, Some(online::ask(&config, &drafts)?))
    } else {
        (load(&sources, &defaults), None)
    };
    let mut notes = String::new();
    if let Some(mut asked) = asked {
        notes = asked.notes();
        findings.append(&mut asked.findings);
        findings.sort();
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    let mut out = match options.format {
        Format::Human => report::human(&findings, &sources, Paint::of(&std::io::stdout())),
        Format::Json => (findings.iter())
            .map(|finding| serde_json::to_string(finding).expect("a finding can be written as JSON") + "\n")
            .collect(),
        Format::Sarif => format!("{:#}\n", sarif::document(&findings)),
    };
    if options.format == Format::Human {
        let warnings = counted(warnings, "warning", "warnings");
        out += &match set.as_ref().filter(|_| errors == 0) {
            Some(set) => {
                let scenarios = counted(set.iter().count(), "scenario is good", "scenarios are good");
                format!("{scenarios}; {warnings}\n")
            }
            None => format!("{}, {warnings}\n", counted(errors, "error", "errors")),
        };
        if !findings.is_empty() {
            out += "`amadare check --explain CODE` says more about a code\n";
        }
    }
    print(&out)?;
    // beside the findings, which a program may be reading
    eprint!("{notes}");
    if errors > 0 || (options.strict && warnings > 0) {
        return Err(Failure::silent(FOUND_PROBLEMS));
    }
    Ok(())
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
    let sources = read_sources(paths)?;
    let Loaded { findings, set } = load(&sources, defaults);
    set.ok_or_else(|| {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        eprint!("{}", report::human(errors, &sources, Paint::of(&std::io::stderr())));
        Failure::silent(FOUND_PROBLEMS)
    })
}

/// The findings that stop a set from running, as one text.
pub(super) fn errors_of(findings: &[Finding]) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}
