//! `amadare test-send`: a step's message to a tester, through the running daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::access::{Key, Running};
use super::simulate::message_text;
use super::words::{Lang, Language};
use super::{Failure, Place, print};
use crate::http::TestSendView;
use crate::model::Attributes;
use crate::scenario::source::{Content, Sources, is_scenario};

/// How long it may take: four attempts of ten seconds each, and what lies between them.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The scenario and its step
    #[arg(value_name = "SCENARIO/STEP")]
    step: String,
    /// The member who gets it: one of `testers` in the configuration
    #[arg(long, value_name = "MEMBER")]
    to: String,
    /// The data of the event, a JSON object [default: that of the member's run, or of the first sample]
    #[arg(long, value_name = "JSON", conflicts_with = "sample")]
    event_data: Option<String>,
    /// Take the event of this sample of the file, from 1
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Take the step from this file, which need not be live
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// By which a repetition within 24 hours is known: it is sent once
    #[arg(long)]
    id: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    language: Language,
    #[command(flatten)]
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

pub(super) fn run(place: &Place, options: &Options) -> Result<(), Failure> {
    let Some((scenario, step)) = options.step.split_once('/') else {
        let step = &options.step;
        return Err(Failure::problem(format!("say which step: {step}/STEP, not `{step}` alone")));
    };
    let mut body = json!({ "scenario": scenario, "step": step, "member": options.to });
    if let Some(text) = &options.event_data {
        body["data"] = match serde_json::from_str::<Attributes>(text) {
            Ok(data) => data.into(),
            Err(error) => {
                return Err(Failure::problem(format!("--event-data must be a JSON object: {error}")));
            }
        };
    }
    if let Some(sample) = options.sample {
        body["sample"] = sample.into();
    }
    if let Some(id) = &options.id {
        body["id"] = id.as_str().into();
    }
    if let Some(path) = &options.file {
        body["files"] = files(path)?;
    }
    let config = place.load()?;
    let Some(answered) = Running::new(&config, &options.key)?.post("/v1/test-sends", &body, PATIENCE)? else {
        return Err(Failure::problem(format!(
            "no daemon answers on {}: test sends go out through a running one",
            config.listen
        )));
    };
    for finding in findings_of(&answered.body) {
        eprintln!("{finding}");
    }
    let view: TestSendView = answered.read()?;
    match options.format {
        Format::Json => print(&format!("{}\n", json!(view)))?,
        Format::Text => print(&said(&view, options.language.lang()))?,
    }
    match view.outcome.as_str() {
        "accepted" => Ok(()),
        _ => Err(Failure::silent(super::FOUND_PROBLEMS)),
    }
}

/// The scenario file and what it includes, named as seen from its own folder.
fn files(path: &Path) -> Result<Value, Failure> {
    let sources = Sources::read(&[path.to_owned()])
        .map_err(|error| Failure::problem(format!("{:#}", anyhow::Error::from(error))))?;
    if path.is_dir() || !is_scenario(&path.to_string_lossy()) {
        let path = path.display();
        return Err(Failure::problem(format!("{path} is no scenario file: its name ends in .yaml or .yml")));
    }
    let folder = path.to_string_lossy().replace('\\', "/");
    let folder = folder.rfind('/').map_or("", |slash| &folder[..=slash]).to_owned();
    let refused = sources.scenarios().find_map(|(name, content)| match content {
        Content::Refused(refusal) => Some(format!("{name}: {}", refusal.message)),
        Content::Bytes(_) => None,
    });
    if let Some(refused) = refused {
        return Err(Failure::problem(refused));
    }
    let mut files = Vec::new();
    for (name, bytes) in sources.iter() {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Failure::problem(format!("{name} is not UTF-8: {error}")))?;
        files.push(json!({ "name": name.strip_prefix(&*folder).unwrap_or(name), "text": text }));
    }
    Ok(files.into())
}

/// What is wrong with the file, as `check` would print it.
fn findings_of(body: &str) -> Vec<String> {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let findings = problem["findings"].as_array().cloned().unwrap_or_default();
    let line = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let place = format!("{}:{}:{}", text("file"), finding["line"], finding["column"]);
        let help = finding["help"].as_str().map(|help| format!("\n  help: {help}")).unwrap_or_default();
        format!("{place}: {}[{}]: {}{help}", text("severity"), text("code"), text("message"))
    };
    findings.iter().map(line).collect()
}

/// The answer in words.
fn said(view: &TestSendView, lang: Lang) -> String {
    let place = format!("{}/{}", view.scenario, view.step);
    let member = &view.member;
    let detail = view.detail.as_deref().unwrap_or_default();
    let mut out = match (view.outcome.as_str(), lang) {
        ("accepted", Lang::En) if view.repeated => {
            format!(
                "{place} was accepted by LINE for {member} before, under this id; nothing was sent again\n"
            )
        }
        ("accepted", Lang::Ja) if view.repeated => {
            format!(
                "{place} は、このidですでに {member} あてにLINEが受け付けています。もう一度は送りませんでした\n"
            )
        }
        ("accepted", Lang::En) => format!("{place} was accepted by LINE for {member}, marked as a test\n"),
        ("accepted", Lang::Ja) => {
            format!("{place} を、テスト配信の印を付けて {member} に送り、LINEが受け付けました\n")
        }
        ("unclear", Lang::En) => format!("{place} may or may not have been sent to {member}: {detail}\n"),
        ("unclear", Lang::Ja) => {
            format!("{place} は、{member} に送られたかどうか分かりません（{detail}）\n")
        }
        (_, Lang::En) => format!("{place} was not sent to {member}: {detail}\n"),
        (_, Lang::Ja) => format!("{place} は {member} に送られませんでした（{detail}）\n"),
    };
    out += match (view.event.as_str(), lang) {
        ("data", Lang::En) => "  event: the data that you gave\n",
        ("data", Lang::Ja) => "  イベント：指定したデータ\n",
        ("sample", Lang::En) => "  event: a sample of the file\n",
        ("sample", Lang::Ja) => "  イベント：ファイルの見本（`samples`）\n",
        ("run", Lang::En) => "  event: that of the member's run\n",
        ("run", Lang::Ja) => "  イベント：この会員の進行のもの\n",
        (_, Lang::En) => "  event: none; the file has no samples and the member no run\n",
        (_, Lang::Ja) => "  イベント：なし（ファイルに見本がなく、会員の進行もありません）\n",
    };
    for message in &view.messages {
        for line in message_text(message).lines() {
            out += &format!("    │ {line}\n");
        }
    }
    if let Some(quota) = &view.quota
        && view.outcome == "accepted"
    {
        let used = quota.used;
        out += &match (quota.limit, lang) {
            (Some(limit), Lang::En) => format!(
                "it counts against the month's quota, of which LINE said last that {used} of {limit} are used\n"
            ),
            (Some(limit), Lang::Ja) => {
                format!("今月の配信数に数えられます（LINEの前回の返事では{limit}通のうち{used}通を使用）\n")
            }
            (None, Lang::En) => "it counts as a message of this month; the plan has no limit\n".into(),
            (None, Lang::Ja) => "今月の配信数に数えられます（プランに上限はありません）\n".into(),
        };
    }
    out
}
