//! `amadare explain`: why a step was or was not sent, in words.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::access::{self, Key};
use super::{Failure, Place, print};
use crate::http::{HappenedView, PlannedView};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The member's id
    member: String,
    /// Only this scenario, or this step of it
    #[arg(value_name = "SCENARIO[/STEP]")]
    about: Option<String>,
    #[command(flatten)]
    key: Key,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let timeline = access::timeline(place, &options.key, &options.member)?;
    let zone = place.load()?.scenario_defaults().zone;
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
        out += &format!("{}  {}\n", civil(happened.at, &zone), sentence(happened, &zone));
    }
    let planned = timeline.planned.iter().filter(|p| concerns(Some(&p.scenario), Some(&p.step)));
    for planned in planned {
        out += &format!("{}\n", plan_sentence(planned, &zone));
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

fn civil(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %a %H:%M").to_string()
}

fn sentence(happened: &HappenedView, zone: &TimeZone) -> String {
    let place = match (&happened.scenario, &happened.step) {
        (Some(scenario), Some(step)) => format!("{scenario}/{step}"),
        (Some(scenario), None) => scenario.clone(),
        (None, _) => String::new(),
    };
    let reason = happened.reason.as_deref().unwrap_or_default();
    let until = happened.until.map(|until| civil(until, zone)).unwrap_or_default();
    match happened.what.as_str() {
        "enrolled" => format!("entered {place}"),
        "not_enrolled" => format!("did not enter {place}: {}", because(reason)),
        "moved" if until.is_empty() => format!("{place} kept its date: {}", because(reason)),
        "moved" => format!("{place} now counts from {until}"),
        "accepted" if reason == "settled" => format!("{place} was accepted, by an operator's word"),
        "accepted" => format!("{place} was accepted by LINE (it was due {until})"),
        "done" => format!("{place} was done{}", outcome(reason)),
        "deferred" => format!("{place} waits until {until}: {}", because(reason)),
        "skipped" => format!("{place} was skipped: {}", because(reason)),
        "rejected" => format!("{place} could not be sent: {}", because(reason)),
        "expired" => format!("{place} was not sent and will not be: {}", because(reason)),
        "withdrawn" if reason == "resend" => format!("{place} is to be sent again, by an operator's word"),
        "withdrawn" => format!("{place} was taken back before it left: {}", because(reason)),
        "unknown" => format!("{place} may or may not have been sent: {}", because(reason)),
        "converted" => format!("{place} reached its goal{}", value(reason)),
        "exited" => format!("left {place}: {}", because(reason)),
        "completed" if reason == "holdout" => format!("completed {place}, kept for comparison"),
        "completed" if reason == "nothing_sent" => {
            format!("completed {place} without having been sent anything")
        }
        "completed" => format!("completed {place}"),
        "linked" => "was linked to a LINE user".into(),
        "unlinked" => "is no longer linked to a LINE user".into(),
        "blocked" => "blocked the account".into(),
        "unblocked" => "unblocked the account".into(),
        "opted_out" => format!("opted out of {}", what_of(reason)),
        "opted_in" => format!("opted in to {} again", what_of(reason)),
        other => format!("{place} {other} {reason}"),
    }
}

fn value(reason: &str) -> String {
    match reason.strip_prefix("value(").and_then(|rest| rest.strip_suffix(')')) {
        Some(value) => format!(", worth {value}"),
        None => String::new(),
    }
}

/// What came of a step that is done, beside that.
fn outcome(reason: &str) -> String {
    let (word, object) = parts(reason);
    match word {
        "took" => format!(", and `{object}` follows"),
        "none" => ", and none of its steps follow".into(),
        "came" => ": the event came".into(),
        "timed_out" => ": the event did not come in time".into(),
        _ => String::new(),
    }
}

/// What a member opted out of, or in to.
fn what_of(reason: &str) -> String {
    match parts(reason) {
        ("topic", topic) => format!("`{topic}`"),
        _ => "everything".into(),
    }
}

/// A reason's word and its object.
fn parts(reason: &str) -> (&str, &str) {
    match reason.split_once('(') {
        Some((word, rest)) => (word, rest.strip_suffix(')').unwrap_or(rest)),
        None => (reason, ""),
    }
}

/// A reason in words; one that is not known stands for itself.
pub(super) fn because(reason: &str) -> String {
    let (word, object) = parts(reason);
    match word {
        "again" => "it has been entered before, and `again` does not allow it now".into(),
        "not_started" => "the scenario had not started yet".into(),
        "ended" => "the scenario has ended".into(),
        "silent" => "the change that asks for it came as an import, without `notify`".into(),
        "no_room" => "the member has no room for another run".into(),
        "too_many_at_once" => "too many runs would have started each other".into(),
        "late" => "its moment had passed by more than `late` allows".into(),
        "superseded" => "a later step was due as well, and is more useful now".into(),
        "when" => "its condition `when` was false".into(),
        "missing" => format!("`{object}` has no value"),
        "unlinked" => "no LINE user is linked to the member".into(),
        "blocked" => "the member has blocked the account".into(),
        "opted_out" => "the member has opted out".into(),
        "holdout" => "the member is kept for comparison".into(),
        "cap" => "the member has had as many messages as a frequency cap allows".into(),
        "paused" => "the scenario is paused".into(),
        "hours" => "it is outside the send hours".into(),
        "render" => format!("the message could not be made: {}", because(object)),
        "line" => format!("LINE refused it: {object}"),
        "event" => format!("the event `{object}` ended it"),
        "segment" => "a change of the member ended it".into(),
        "step" => "a step ended it".into(),
        "date" => "the member has that date no more".into(),
        "goal" => "it reached its goal".into(),
        "removed" => "the scenario was removed".into(),
        "exited" => "the run had ended".into(),
        "anchor" => "the date it counts from moved or passed".into(),
        "link" => "the member's LINE user had changed".into(),
        "window" => "LINE did not answer for 23 hours, after which a retry could send twice".into(),
        "quota" => "the month's quota was used up".into(),
        "bytes" => "the stored request had changed".into(),
        "multicast" => "it was in one request with others, and one of them should not get it any more".into(),
        "refused" => "LINE refused the request after an attempt that it may have taken".into(),
        "restored" => "the store was restored, and the daemon before may have sent it".into(),
        "erased" => "the member was erased while it was on its way".into(),
        "dropped" => "an operator dropped it".into(),
        "error" => object.to_owned(),
        _ => reason.to_owned(),
    }
}

fn plan_sentence(planned: &PlannedView, zone: &TimeZone) -> String {
    let place = format!("{}/{}", planned.scenario, planned.step);
    match (planned.state.as_str(), planned.at) {
        ("in_flight", Some(since)) => {
            format!("{}  {place} is with LINE; its answer is awaited", civil(since, zone))
        }
        (_, Some(at)) => format!("{}  {place} is planned", civil(at, zone)),
        ("if_taken", None) => format!("{:20}  {place} follows if its arm is taken", ""),
        (_, None) => format!("{:20}  {place} follows the step before it", ""),
    }
}
