//! LINE's own opinion of the messages of a set: asked of its validation endpoint, which sends nothing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::Failure;
use crate::cli::runtime;
use crate::clock::Monotonic;
use crate::config::{Config, SecretSource, Secrets};
use crate::dispatch::bucket::Bucket;
use crate::line::{CallError, Client, Detail, Endpoint, Timeouts, Validation};
use crate::scenario::finding::Finding;
use crate::scenario::load::Draft;
use crate::scenario::message::Key;

/// The most questions of one check. LINE forbids requests in masses, also within its limits; these are enough
/// for a hundred scenarios of ten messages. Source: LINE Developers, "Messaging API development guidelines".
const MAX_QUESTIONS: usize = 1_000;

/// Questions in a second. LINE takes 2,000, of the daemon's among them.
const QUESTIONS_PER_SECOND: u32 = 20;

/// How often a question is asked again that LINE was too busy for, and how long it waits before that.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What LINE said.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) findings: Vec<Finding>,
    questions: usize,
    /// Steps without a sample, by file.
    without_values: Vec<String>,
    /// Messages over [`MAX_QUESTIONS`].
    over_bound: usize,
}

impl Asked {
    /// What was and was not asked about, for people.
    pub(super) fn notes(&self) -> String {
        let mut text = match self.questions {
            1 => "LINE was asked about 1 push\n".to_owned(),
            count => format!("LINE was asked about {count} pushes\n"),
        };
        if !self.without_values.is_empty() {
            text += "not asked about, since their values are not known without `samples:` in the file:\n";
            for step in &self.without_values {
                text += &format!("  {step}\n");
            }
        }
        if self.over_bound > 0 {
            text +=
                &format!("not asked about: {} more, over the bound of {MAX_QUESTIONS}\n", self.over_bound);
        }
        text
    }
}

/// Asks LINE, or its stand-in, about each message once.
///
/// # Errors
/// There is no token or LINE does not take it, or it gives no usable answer.
pub(super) fn ask(config: &Config, drafts: &[Draft]) -> Result<Asked, Failure> {
    let client = client(config)?;
    runtime()?.block_on(ask_each(&client, drafts))
}

fn client(config: &Config) -> Result<Client, Failure> {
    let secrets = Secrets::read(config).context("cannot ask LINE")?;
    let token = secrets.channel_access_token.ok_or_else(|| {
        let place = match &config.line.channel_access_token {
            SecretSource::Environment(name) => format!("the environment variable {name} is not set"),
            SecretSource::File(path) => format!("{} holds none", path.display()),
        };
        Failure::problem(format!("cannot ask LINE without a channel access token: {place}"))
    })?;
    let endpoint: Endpoint =
        config.line.endpoint.parse().map_err(|error| anyhow!("line.endpoint: {error}"))?;
    let client = Client::new(endpoint, Timeouts::default()).context("cannot make a client for LINE")?;
    client.set_token(Some(token)).context("line.channel_access_token")?;
    Ok(client)
}

async fn ask_each(client: &Client, drafts: &[Draft]) -> Result<Asked, Failure> {
    let mut asked = Asked::default();
    let mut answers: HashMap<&str, Validation> = HashMap::new();
    let mut pace = Bucket::new(QUESTIONS_PER_SECOND);
    let began = Monotonic::now();
    for draft in drafts {
        if draft.rendered.is_empty() {
            asked.without_values.push(format!("{}: {}", draft.file, draft.step));
        }
        for rendered in &draft.rendered {
            let messages = rendered.messages.as_str();
            if !answers.contains_key(messages) {
                if asked.questions == MAX_QUESTIONS {
                    asked.over_bound += 1;
                    continue;
                }
                tokio::time::sleep(pace.take(began.elapsed())).await;
                let answer = question(client, messages).await?;
                answers.insert(messages, answer);
                asked.questions += 1;
            }
            if let Validation::Invalid { message, details } = &answers[messages] {
                asked.findings.extend(refusals(draft, rendered.sample, message, details));
            }
        }
    }
    asked.findings.sort();
    asked.findings.dedup();
    Ok(asked)
}

/// One question, asked again if LINE was too busy for it.
async fn question(client: &Client, messages: &str) -> Result<Validation, Failure> {
    for pause in PAUSES {
        match client.validate_push(messages.as_bytes()).await {
            Err(CallError::Throttled) => tokio::time::sleep(pause).await,
            answer => return answer.map_err(|error| unanswered(client, &error)),
        }
    }
    client.validate_push(messages.as_bytes()).await.map_err(|error| unanswered(client, &error))
}

fn unanswered(client: &Client, error: &CallError) -> Failure {
    let endpoint = client.endpoint();
    let help = match error {
        CallError::Unauthorized { .. } => "; is the channel access token right, and of this channel?",
        _ => "",
    };
    Failure::problem(format!("cannot ask {endpoint}: {error}{help}"))
}

/// What LINE found, each at the place of the property that it names.
fn refusals(draft: &Draft, sample: Option<usize>, message: &str, details: &[Detail]) -> Vec<Finding> {
    let whole = Detail { property: String::new(), message: message.to_owned() };
    let details = if details.is_empty() { std::slice::from_ref(&whole) } else { details };
    let with = sample.map_or(String::new(), |number| format!(" with sample {number}"));
    details
        .iter()
        .map(|Detail { property, message }| {
            let what = match property.is_empty() {
                true => String::new(),
                false => format!(" ({property})"),
            };
            let text = format!("LINE would refuse step `{}`{with}: {message}{what}", draft.step);
            Finding::error(draft.place_of(&path_of(property)), "line-refuses", text)
        })
        .collect()
}

/// The way to a property, from the list of messages on: `messages[0].contents.body`.
fn path_of(property: &str) -> Vec<Key> {
    let Some(rest) = property.strip_prefix("messages") else { return Vec::new() };
    let parts = rest.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_or_else(|_| Key::Name(part.to_owned()), Key::Index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_ways_into_the_messages() {
        let name = |name: &str| Key::Name(name.to_owned());
        assert_eq!(path_of("messages"), []);
        assert_eq!(path_of("to"), []);
        assert_eq!(path_of("messages[0].text"), [Key::Index(0), name("text")]);
        let deep =
            [Key::Index(2), name("contents"), name("body"), name("contents"), Key::Index(1), name("url")];
        assert_eq!(path_of("messages[2].contents.body.contents[1].url"), deep);
    }
}
