//! What is wrong with a file, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The most findings that one file gives; a file with more is no file of this kind.
pub const MAX_FINDINGS_PER_FILE: usize = 100;

/// A place in a text file: line and column from 1, the column and the width in characters.
///
/// What goes on over several lines has the place of what of it stands on its first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
    /// 0 for a point between characters, or where nothing is known but the start.
    pub width: usize,
}

impl Place {
    /// The first character of a file: for what concerns it as a whole.
    pub fn start_of(file: &Arc<str>) -> Place {
        Place { file: Arc::clone(file), line: 1, column: 1, width: 0 }
    }
}

/// Whether a finding keeps the file from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One problem of a file.
///
/// Prints as `file:line:column: error[code]: message` with a `help:` line under it where there is
/// help; as JSON it is one object of those parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The column behind its last character, in the same line; that of its start where it is a point.
    pub end_column: usize,
    pub severity: Severity,
    /// One of [`CODES`].
    pub code: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    pub fn error(place: &Place, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(place, Severity::Error, code, message.into())
    }

    pub fn warning(place: &Place, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(place, Severity::Warning, code, message.into())
    }

    fn new(place: &Place, severity: Severity, code: &'static str, message: String) -> Finding {
        debug_assert!(CODES.iter().any(|(known, _)| *known == code), "{code} is in the table");
        Finding {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            end_column: place.column + place.width,
            severity,
            code,
            message,
            help: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Finding {
        Finding { help: Some(help.into()), ..self }
    }

    /// As [`Finding::help`], if there is any.
    #[must_use]
    pub fn help_if(self, help: Option<String>) -> Finding {
        Finding { help, ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, column, severity, code, message, help, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}[{code}]: {message}")?;
        if let Some(help) = help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Every code with what it means, by code. Codes are stable: scripts match on them.
pub const CODES: &[(&str, &str)] = &[
    ("alias", "YAML anchors and aliases (`&x`, `*x`, `<<`) are not taken"),
    ("arm", "an arm of `branch` has no condition, or cannot be reached"),
    ("call-host", "a step calls a host that the configuration does not list"),
    ("circle", "scenarios start each other again and again without any time between"),
    ("comparison", "a number is compared with a text, or a list with a text"),
    ("contradiction", "two settings cannot both hold; the message says what would happen"),
    ("date-format", "a date would come out as the letters of its format"),
    ("duplicate-key", "a key is given twice in one mapping"),
    ("duplicate-scenario", "two files have the same scenario id"),
    ("duplicate-step", "two steps of one scenario have the same id"),
    ("empty-file", "the file has no content"),
    ("file-name", "the scenario's id is not the name of its file"),
    ("greeting", "a message to a new friend comes together with LINE's own greeting"),
    ("include", "a `$file` cannot be taken in"),
    ("invalid-again", "`again` is none of never, after_exit, always and a length of time"),
    ("invalid-cron", "not a pattern of five fields such as `0 9 * * mon`"),
    ("invalid-duration", "not a length of time such as 90m, 3d or 3mo"),
    ("invalid-event", "not an event name, or a reserved one that LINE never gives"),
    ("invalid-hours", "not a send window such as 09:00-21:00"),
    ("invalid-id", "not an id"),
    ("invalid-instant", "not a date, or a date and time"),
    ("invalid-share", "not a share of members such as 10%"),
    ("invalid-time", "not a time of day such as 19:00"),
    ("invalid-value", "a value that the key cannot have"),
    ("invalid-zone", "not a time zone of the IANA database"),
    ("json", "an included file is not JSON"),
    ("line-refuses", "LINE says that it would refuse the message (`--online`)"),
    ("load", "the YAML loader refuses what the checks let pass"),
    ("message", "LINE would refuse the message"),
    ("missing-key", "a key that must be there is not"),
    ("names", "an expression or a template starts from a name that does not exist there"),
    ("never-reached", "a step or an arm that no run ever gets to"),
    ("never-sent", "a message that is too late whenever it is its turn"),
    ("no-again", "a scenario on the clock does not say whether a member may enter again"),
    ("no-exit", "reminders of something unfinished go on whatever the member does"),
    ("no-hours", "neither the scenario nor the configuration has send hours"),
    ("no-key", "runs have keys, but an update or an exit does not say which one it means"),
    ("no-steps", "a scenario has no steps"),
    ("not-in-samples", "a text uses a name that no sample has"),
    ("not-utf8", "the file is not UTF-8 text"),
    ("not-yet", "a key that is right and that this version cannot do yet"),
    ("out-of-order", "a step is due before the step in front of it; steps run in file order"),
    ("outside-hours", "a time of day is outside the send hours, so the message always waits"),
    ("renamed", "the old id of a step is that of a step, or is given twice"),
    ("same-event", "two scenarios send again and again after the same event"),
    ("sample", "a message cannot be sent with the values of a sample"),
    ("secret", "a secret stands in the file"),
    ("several-documents", "a file has more than one YAML document"),
    ("stray-key", "a key stands beside something that it does not go with"),
    ("syntax", "the file is not YAML"),
    ("tag", "YAML tags (`!x`) are not taken"),
    ("template", "an expression or a template does not compile"),
    ("timing", "the timing of a step makes no sense"),
    ("too-deep", "lists and mappings are nested too deep"),
    ("too-large", "a file, or all files together, are over the bound"),
    ("too-many-files", "there are more files than the bound allows"),
    ("too-many-findings", "the file has more problems than are listed"),
    ("too-many-steps", "the steps of one run would not fit a member's file"),
    ("trigger", "what starts or ends a scenario is not one thing"),
    ("two-acts", "a step does more than one thing"),
    ("unknown-key", "a key that does not exist here, or not yet"),
    ("unknown-scenario", "a step starts a scenario that is not there"),
    ("unreadable", "a file cannot be read"),
    ("wrong-type", "a value is of the wrong type"),
];

/// Words that other tools, LINE's own screens and everyday language have, and the word here.
const OTHER_WORDS: [(&str, &[&str]); 24] = [
    ("title", &["name"]),
    ("enter", &["trigger", "triggers", "start"]),
    ("steps", &["messages", "actions", "flow"]),
    ("push", &["text", "message", "send", "body"]),
    ("wait", &["delay", "sleep"]),
    ("at", &["time"]),
    ("when", &["if", "condition"]),
    ("where", &["if", "condition", "filter"]),
    ("step", &["id", "name"]),
    ("scenario", &["id"]),
    ("zone", &["timezone", "tz"]),
    ("exit", &["stop", "end", "cancel"]),
    ("every", &["cron", "schedule"]),
    ("on", &["event", "type"]),
    ("again", &["repeat", "once"]),
    ("anchor", &["base", "basedate"]),
    ("template", &["button", "buttons", "confirm", "carousel"]),
    ("image", &["photo", "picture", "img"]),
    ("video", &["movie"]),
    ("sticker", &["stamp"]),
    ("flex", &["bubble", "card"]),
    ("yen", &["number_format", "currency", "comma", "intcomma"]),
    ("date", &["strftime", "format_date", "dateformat"]),
    ("uri", &["url", "link"]),
];

/// The candidate that a misspelt or borrowed word most likely means; none if nothing is near.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let borrowed = || {
        let folded = word.to_lowercase();
        let ours =
            |here: &str| OTHER_WORDS.iter().any(|(own, others)| *own == here && others.contains(&&*folded));
        candidates.iter().copied().find(|candidate| ours(candidate))
    };
    nearest(word, candidates.iter().copied()).or_else(borrowed)
}

/// The candidate that a misspelt word most likely means, by its letters alone.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // longer than any name, and the comparison takes time by its length
    if word.len() > 100 {
        return None;
    }
    // one slip in a short word, two or three in a long one
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let folded = word.to_lowercase();
    (candidates.into_iter())
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `X`?`` for a misspelt word.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    closest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}
