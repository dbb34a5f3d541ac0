//! Bodies of one thing, an array of things, or a stream of them, one a line.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Api, MAX_BODY_BYTES, Problem};
use crate::dispatch::{Action, Answer, Refused};

/// Things in an array.
const MAX_ITEMS: usize = 1_000;

/// The longest line of a stream that is read. One that is longer is refused by itself; one that is longer
/// than [`MAX_BODY_BYTES`] ends the stream.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Lines of a stream that are handed in together.
const LINES_AT_ONCE: usize = 500;

/// Refusals that are listed; with more, a stream is not read on.
const MAX_REJECTED: usize = 1_000;

/// How long a stream may bring nothing.
const STREAM_IDLE: Duration = Duration::from_secs(30);

/// What became of many things.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    accepted: u64,
    duplicates: u64,
    rejected: Vec<Rejected>,
}

impl Outcome {
    /// What had become of the lines of a stream when it ended early.
    fn so_far(&self) -> String {
        let Outcome { accepted, duplicates, rejected } = self;
        let first = match rejected.first() {
            Some(first) => format!(", the first of them line {}: {}", first.index, first.error),
            None => String::new(),
        };
        let refused = rejected.len();
        format!(
            "before that {accepted} lines were accepted, {duplicates} were duplicates and {refused} were refused{first}"
        )
    }
}

#[derive(Debug, Serialize)]
struct Rejected {
    /// Its place in the body, from 0; blank lines of a stream do not count.
    index: u64,
    error: String,
}

/// Reads a body's things and does each; `parse` makes an action of one, and `refuse` says why one was
/// refused.
pub(super) async fn take(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    parse: impl Fn(&str) -> Result<Action, String>,
    refuse: impl Fn(Refused) -> Problem,
) -> Result<Response, Problem> {
    if is_stream(headers) {
        return take_stream(api, body, parse, refuse).await;
    }
    let bytes = whole(headers, body, MAX_BODY_BYTES).await?;
    let text = utf8(&bytes)?;
    if text.trim_start().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        if items.len() > MAX_ITEMS {
            let detail = format!("an array takes at most {MAX_ITEMS}; send more as application/x-ndjson");
            return Err(Problem::new(413, detail));
        }
        let mut outcome = Outcome::default();
        hand_in(api, 0, items.iter().map(|item| Ok(item.get())), &parse, &refuse, &mut outcome).await?;
        return Ok(Json(outcome).into_response());
    }
    let action = parse(one(text)?).map_err(|error| Problem::new(422, error))?;
    let outcome = match api.desk.ask(action).await? {
        Answer::Done => Outcome { accepted: 1, ..Outcome::default() },
        Answer::Duplicate => Outcome { duplicates: 1, ..Outcome::default() },
        Answer::Refused(refused) => return Err(refuse(refused)),
    };
    Ok(Json(outcome).into_response())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::new(400, "the body is not UTF-8"))
}

/// The one JSON value of a body, so that what is no JSON at all is told apart from what says the wrong
/// thing.
pub(super) fn one(text: &str) -> Result<&str, Problem> {
    let value: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    Ok(value.get())
}

fn not_json(error: &serde_json::Error) -> Problem {
    let hint = match error.is_syntax() && error.to_string().starts_with("trailing characters") {
        true => "; for one object a line, say content-type: application/x-ndjson",
        false => "",
    };
    Problem::new(400, format!("the body is not JSON: {error}{hint}"))
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&kind.as_str())
}

/// Reads a whole body of at most `max_bytes`.
pub(super) async fn whole(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(413, format!("the body is over {max_bytes} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|n| n > max_bytes as u64) {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(body, max_bytes);
    match tokio::time::timeout(STREAM_IDLE, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.to_string().contains("length limit") => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(400, "the body could not be read to its end")),
        Err(_) => Err(Problem::new(408, "the body did not come in time")),
    }
}

async fn take_stream(
    api: &Api,
    body: Body,
    parse: impl Fn(&str) -> Result<Action, String>,
    refuse: impl Fn(Refused) -> Problem,
) -> Result<Response, Problem> {
    let mut lines = Lines::new(body);
    let mut outcome = Outcome::default();
    match read_stream(api, &mut lines, &parse, &refuse, &mut outcome).await {
        Ok(()) => Ok(Json(outcome).into_response()),
        // what had been taken in is durable, whatever stopped the rest
        Err(Problem { status, detail }) => {
            Err(Problem::new(status, format!("{detail}; {}", outcome.so_far())))
        }
    }
}

async fn read_stream(
    api: &Api,
    lines: &mut Lines,
    parse: impl Fn(&str) -> Result<Action, String>,
    refuse: impl Fn(Refused) -> Problem,
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let mut index = 0;
    loop {
        let batch = lines.next(LINES_AT_ONCE).await?;
        if batch.is_empty() {
            return Ok(());
        }
        let things = batch.iter().map(|line| line.as_deref().map_err(String::clone));
        hand_in(api, index, things, &parse, &refuse, outcome).await?;
        index += batch.len() as u64;
        if outcome.rejected.len() > MAX_REJECTED {
            let detail =
                format!("more than {MAX_REJECTED} lines were refused, so the stream was not read on");
            return Err(Problem::new(422, detail));
        }
    }
}

async fn hand_in<'a>(
    api: &Api,
    start: u64,
    items: impl Iterator<Item = Result<&'a str, String>>,
    parse: impl Fn(&str) -> Result<Action, String>,
    refuse: impl Fn(Refused) -> Problem,
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let mut actions = Vec::new();
    let mut places = Vec::new();
    for (index, item) in (start..).zip(items) {
        match item.and_then(&parse) {
            Ok(action) => {
                actions.push(action);
                places.push(index);
            }
            Err(error) => outcome.rejected.push(Rejected { index, error }),
        }
    }
    for (answer, index) in api.desk.ask_all(actions).await?.into_iter().zip(places) {
        match answer {
            Answer::Done => outcome.accepted += 1,
            Answer::Duplicate => outcome.duplicates += 1,
            Answer::Refused(refused) => {
                outcome.rejected.push(Rejected { index, error: refuse(refused).detail });
            }
        }
    }
    outcome.rejected.sort_by_key(|rejected| rejected.index);
    Ok(())
}

/// A line of a stream, or why it cannot be read.
type Line = Result<String, String>;

/// The lines of a body, as they come.
struct Lines {
    body: Body,
    rest: Vec<u8>,
    /// How much of a line that is too long has been thrown away; its end has not come yet.
    skipped_bytes: Option<usize>,
    ended: bool,
}

impl Lines {
    fn new(body: Body) -> Lines {
        Lines { body, rest: Vec::new(), skipped_bytes: None, ended: false }
    }

    /// Up to `limit` lines that are not blank; none at the end. What has come is not held back to fill
    /// a batch.
    async fn next(&mut self, limit: usize) -> Result<Vec<Line>, Problem> {
        loop {
            let lines = self.whole_lines(limit);
            if !lines.is_empty() || self.ended {
                return Ok(lines);
            }
            self.skip_too_long()?;
            self.read().await?;
        }
    }

    /// Throws away what has come of a line that is too long, so that it is not kept in memory.
    fn skip_too_long(&mut self) -> Result<(), Problem> {
        if self.rest.len() <= MAX_LINE_BYTES && self.skipped_bytes.is_none() {
            return Ok(());
        }
        let skipped_bytes = self.skipped_bytes.unwrap_or(0) + self.rest.len();
        self.skipped_bytes = Some(skipped_bytes);
        self.rest.clear();
        if skipped_bytes > MAX_BODY_BYTES {
            let detail = format!("a line is over {MAX_BODY_BYTES} bytes, so the stream was not read on");
            return Err(Problem::new(413, detail));
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Problem> {
        use http_body_util::BodyExt;
        match tokio::time::timeout(STREAM_IDLE, self.body.frame()).await {
            Err(_) => Err(Problem::new(408, "the stream stood still for too long")),
            Ok(None) => {
                self.ended = true;
                // the last line may have no line break
                self.rest.push(b'\n');
                Ok(())
            }
            Ok(Some(Err(_))) => Err(Problem::new(400, "the stream broke off")),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.rest.extend_from_slice(&data);
                }
                Ok(())
            }
        }
    }

    fn whole_lines(&mut self, limit: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut start = 0;
        while lines.len() < limit
            && let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n')
        {
            let line = &self.rest[start..start + length];
            if self.skipped_bytes.take().is_some() || line.len() > MAX_LINE_BYTES {
                lines.push(Err(format!("the line is over {MAX_LINE_BYTES} bytes")));
            } else if !line.trim_ascii().is_empty() {
                lines.push(
                    std::str::from_utf8(line).map(str::to_owned).map_err(|_| "the line is not UTF-8".into()),
                );
            }
            start += length + 1;
        }
        self.rest.drain(..start);
        lines
    }
}
