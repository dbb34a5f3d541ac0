use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::model::StepId;

/// Words that say what came of something, in place of why: the sentence has words of its own for each.
const OUTCOMES: [&str; 6] = ["came", "none", "timed_out", "took", "topic", "value"];

fn words(lang: Lang) -> Words {
    Words::new(lang, TimeZone::get("Asia/Tokyo").unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn is_known(word: &str) -> bool {
    REASONS.iter().any(|known| known.word == word) || OUTCOMES.contains(&word)
}

fn sources_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            _ if path.ends_with("tests.rs") || path.ends_with("tests") => {}
            true => sources_in(&path, found),
            false => found.push(path),
        }
    }
}

/// The start of each text in a source that could be a reason: `late`, `bound(`.
fn words_in(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let texts = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let word = |text: &str| {
        let (word, rest) = text.split_at(text.find(|c: char| !c.is_ascii_lowercase() && c != '_')?);
        (rest.starts_with('(') && !word.is_empty()).then(|| word.to_owned())
    };
    texts
        .filter_map(|text| match text.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            true if text.len() > 1 => Some(text.to_owned()),
            _ => word(text),
        })
        .collect()
}

/// Texts of the engine and the delivery that look like reasons and are none.
const NO_REASONS: [(&str, &[&str]); 5] = [
    // the default body of a call, and what is drawn by
    ("engine/acts.rs", &["at", "enrollment", "key", "member", "scenario", "split"]),
    ("call.rs", &["http", "https", "localhost", "timeout"]),
    // holds are told of by `status`
    ("dispatch.rs", &["clock", "operator", "token"]),
    ("dispatch/daemon.rs", &["flush", "turns"]),
    ("dispatch/rehearsal.rs", &["messages", "rehearsal"]),
];

#[test]
fn every_reason_in_the_sources_of_engine_and_delivery_has_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = vec![root.join("engine.rs"), root.join("dispatch.rs"), root.join("call.rs")];
    sources_in(&root.join("engine"), &mut paths);
    sources_in(&root.join("dispatch"), &mut paths);
    let (mut found, mut wordless) = (BTreeSet::new(), Vec::new());
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let none: &[&str] = NO_REASONS.iter().find(|(file, _)| *file == name).map_or(&[], |(_, words)| words);
        for word in words_in(&std::fs::read_to_string(&path).unwrap()) {
            if is_known(&word) {
                found.insert(word);
            } else if !none.contains(&word.as_str()) {
                wordless.push(format!("src/{name}: `{word}`"));
            }
        }
    }
    assert!(
        wordless.is_empty(),
        "give them words in REASONS of src/cli/words.rs, or name them in NO_REASONS:\n{}",
        wordless.join("\n")
    );
    // `missing` is written by the programs of scenarios
    found.insert("missing".into());
    let gone: Vec<&str> =
        REASONS.iter().map(|known| known.word).filter(|word| !found.contains(*word)).collect();
    assert!(gone.is_empty(), "no decision gives these any more: {gone:?}");
}

#[test]
fn every_reason_of_the_reference_has_words() {
    for page in ["docs/scenarios.md", "docs/scenarios.ja.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let heading = if page.contains(".ja.") { "| 理由 |" } else { "| reason |" };
        let table =
            text.split(heading).nth(1).unwrap().lines().skip(2).take_while(|line| line.starts_with('|'));
        let mut words = 0;
        for row in table {
            for word in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
                assert!(is_known(parts(word).0), "{page}: `{word}` has no words");
                words += 1;
            }
        }
        assert!(words > 40, "{page}: only {words} reasons were found");
    }
}

#[test]
fn reasons_are_sorted_and_in_the_form_that_sentences_need() {
    assert!(REASONS.is_sorted_by(|a, b| a.word < b.word));
    for known in REASONS {
        assert!(known.ja.ends_with("ため"), "{}", known.ja);
        assert!(!known.en.ends_with('.'), "{}", known.en);
        assert_eq!(known.en.contains("{}"), known.ja.contains("{}"), "{}", known.word);
    }
}

/// Fails to compile when a kind is added, and fails when it is not in the list.
#[test]
fn every_kind_of_happening_has_a_sentence_in_both_languages() {
    let place = |what| match what {
        What::Enrolled => 0,
        What::NotEnrolled => 1,
        What::Moved => 2,
        What::Accepted => 3,
        What::Done => 4,
        What::Deferred => 5,
        What::Skipped => 6,
        What::Rejected => 7,
        What::Withdrawn => 8,
        What::Expired => 9,
        What::Unknown => 10,
        What::Converted => 11,
        What::Exited => 12,
        What::Completed => 13,
        What::Linked => 14,
        What::Unlinked => 15,
        What::Blocked => 16,
        What::Unblocked => 17,
        What::OptedOut => 18,
        What::OptedIn => 19,
    };
    for (index, what) in WHATS.into_iter().enumerate() {
        assert_eq!(place(what), index);
    }
    for what in WHATS {
        for known in REASONS {
            let happening = Happening {
                at: at("2026-03-02T12:50:00Z"),
                what,
                scenario: Some(crate::model::ScenarioId::new("s").unwrap()),
                step: Some(StepId::new("a").unwrap()),
                reason: Some(format!("{}(x)", known.word).into()),
                until: None,
            };
            for lang in [Lang::En, Lang::Ja] {
                let said = words(lang).sentence(&happening);
                assert!(!said.contains("{}") && !said.contains("(x)"), "{said}");
            }
        }
    }
}

fn told<'a>(what: What, reason: &'a str, until: Option<&str>) -> Told<'a> {
    Told {
        what: Some(what),
        word: what.word(),
        at: at("2026-03-02T12:50:00Z"),
        scenario: Some("welcome"),
        step: Some("tips"),
        reason,
        until: until.map(at),
    }
}

#[test]
fn sentences_read_well_in_both_languages() {
    let both = |told: Told<'_>| [words(Lang::En).sentence(told), words(Lang::Ja).sentence(told)];
    assert_eq!(
        both(told(What::Deferred, "hours", Some("2026-03-03T00:00:00Z"))),
        [
            "welcome/tips waits until 2026-03-03 Tue 09:00: it is outside the send hours",
            "welcome/tips は、配信時間外のため、3月3日(火) 09:00まで待ちます",
        ]
    );
    assert_eq!(
        both(told(What::Rejected, "render(missing(member.name))", None)),
        [
            "welcome/tips could not be sent: the message could not be made: `member.name` has no value",
            "welcome/tips は、メッセージを作れなかった（`member.name` に値がない）ため、送れませんでした",
        ]
    );
    assert_eq!(
        both(told(What::Rejected, "line(400 Not found)", None)),
        [
            "welcome/tips could not be sent: LINE refused it: 400 Not found",
            "welcome/tips は、LINEに拒否された（400 Not found）ため、送れませんでした",
        ]
    );
}

#[test]
fn times_have_their_weekday_and_in_japanese_the_year_where_it_is_another() {
    let (english, japanese) = (words(Lang::En), words(Lang::Ja));
    let time = at("2026-03-02T12:50:00Z");
    assert_eq!(english.time(time), "2026-03-02 Mon 21:50");
    assert_eq!(japanese.time(time), "2026年3月2日(月) 21:50");
    assert_eq!(japanese.time_near(time, at("2026-12-31T14:59:00Z")), "3月2日(月) 21:50");
    assert_eq!(japanese.time_near(time, at("2026-12-31T15:00:00Z")), "2026年3月2日(月) 21:50");
}

#[test]
fn the_language_is_that_of_the_locale() {
    for japanese in ["ja", "ja_JP", "ja_JP.UTF-8", "ja.UTF-8", "ja-JP"] {
        assert_eq!(lang_of(japanese), Lang::Ja, "{japanese}");
    }
    for english in ["", "C", "POSIX", "en_US.UTF-8", "jam_JM", "de_DE"] {
        assert_eq!(lang_of(english), Lang::En, "{english}");
    }
}
