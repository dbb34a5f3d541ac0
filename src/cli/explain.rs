//! `amadare explain`: why a step was or was not sent, in words.

use clap::Args;

use super::access::{self, Key};
use super::words::{Language, Words};
use super::{Failure, Place, print};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The member's id
    member: String,
    /// Only this scenario, or this step of it
    #[arg(value_name = "SCENARIO[/STEP]")]
    about: Option<String>,
    #[command(flatten)]
    language: Language,
    #[command(flatten)]
    key: Key,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let timeline = access::timeline(place, &options.key, &options.member)?;
    let words = Words::new(options.language.lang(), place.load()?.zone);
    let about = options.about.as_deref();
    let (scenario, step) = match about.and_then(|about| about.split_once('/')) {
        Some((scenario, step)) => (Some(scenario), Some(step)),
        None => (about, None),
    };
    let concerns = |of_scenario: Option<&str>, of_step: Option<&str>| {
        (scenario.is_none() || of_scenario == scenario)
            && (step.is_none() || of_step.is_none() || of_step == step)
    };
    let mut out = String::new();
    for happened in timeline.happened.iter().filter(|h| concerns(h.scenario.as_deref(), h.step.as_deref())) {
        out += &format!("{}  {}\n", words.time(happened.at), words.sentence(happened));
    }
    let planned = timeline.planned.iter().filter(|p| concerns(Some(&p.scenario), Some(&p.step)));
    for planned in planned {
        let time = planned.at.map(|at| words.time(at)).unwrap_or_default();
        out += &format!("{time:20}  {}\n", words.plan_sentence(planned));
    }
    let is_known = |(of_scenario, of_step): &(Option<String>, Option<String>)| {
        of_scenario.as_deref() == scenario && (step.is_none() || of_step.as_deref() == step)
    };
    let mut known: Vec<(Option<String>, Option<String>)> = (timeline.happened.iter())
        .map(|happened| (happened.scenario.clone(), happened.step.clone()))
        .chain(timeline.planned.iter().map(|p| (Some(p.scenario.clone()), Some(p.step.clone()))))
        .collect();
    if scenario.is_some() && !known.iter().any(is_known) {
        known.sort();
        known.dedup();
        let names: Vec<String> = (known.into_iter())
            .filter_map(|(scenario, step)| Some(format!("{}/{}", scenario?, step?)))
            .collect();
        let about = about.unwrap_or_default();
        let member = &options.member;
        return Err(Failure::problem(match names.is_empty() {
            true => format!("nothing of `{about}` has happened to `{member}`, and nothing is planned"),
            false => format!(
                "nothing of `{about}` has happened to `{member}`, and nothing is planned; there is {}",
                names.join(", ")
            ),
        }));
    }
    if out.is_empty() {
        let of = about.map(|about| format!(" of `{about}`")).unwrap_or_default();
        out = format!("nothing{of} has happened to `{}`, and nothing is planned\n", options.member);
    }
    print(&out)
}
