use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::http::{ConditionView, PlannedView, TimingView, WhyView};
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
    REASONS.iter().chain(CAUSES).any(|known| known.word == word) || OUTCOMES.contains(&word)
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
        REASONS.iter().chain(CAUSES).map(|known| known.word).filter(|word| !found.contains(*word)).collect();
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
                cause: None,
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
        cause: "",
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
fn a_time_of_another_zone_names_it() {
    let paris = words(Lang::En).in_zone(TimeZone::get("Europe/Paris").unwrap());
    assert_eq!(paris.time(at("2026-03-02T12:50:00Z")), "2026-03-02 Mon 13:50 Europe/Paris");
    let tokyo = words(Lang::En).in_zone(TimeZone::get("Asia/Tokyo").unwrap());
    assert_eq!(tokyo.time(at("2026-03-02T12:50:00Z")), "2026-03-02 Mon 21:50");
}

fn planned(timing: TimingView, from: &str) -> PlannedView {
    PlannedView {
        scenario: "welcome".into(),
        key: None,
        step: "tips".into(),
        state: "planned".into(),
        at: Some(at("2026-03-09T01:00:00Z")),
        why: Some(WhyView {
            timing,
            workdays: false,
            from: from.into(),
            from_at: at("2026-03-02T12:50:00Z"),
            moved_to_its_days: None,
            moved_by_hours: None,
        }),
        condition: None,
    }
}

#[test]
fn every_timing_is_told_in_both_languages() {
    let some = |text: &str| Some(text.to_owned());
    let offset = |text: &str| text.to_owned();
    let cases = [
        (TimingView::Day { days: 0, at: None }, "entry", "at the entry", "開始と同時"),
        (
            TimingView::Day { days: 0, at: some("10:00") },
            "anchor",
            "on the day of the anchor at 10:00 (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、基準の日時の当日の10:00",
        ),
        (
            TimingView::Day { days: 5, at: some("10:00") },
            "entry",
            "5 days after the entry at 10:00 (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、開始の5日後の10:00",
        ),
        (
            TimingView::Day { days: -1, at: some("18:00") },
            "anchor",
            "1 day before the anchor at 18:00 (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、基準の日時の1日前の18:00",
        ),
        (
            TimingView::After { offset: offset("1h 30m"), at: None },
            "entry",
            "1 hour 30 minutes after the entry (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、開始の1時間30分後",
        ),
        (
            TimingView::After { offset: offset("3mo"), at: some("09:00") },
            "entry",
            "3 months after the entry at 09:00 (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、開始の3か月後の09:00",
        ),
        (
            TimingView::Before { offset: offset("2w"), at: some("09:00") },
            "anchor",
            "2 weeks before the anchor at 09:00 (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、基準の日時の2週間前の09:00",
        ),
        (
            TimingView::Wait { offset: offset("2d") },
            "step",
            "2 days after the step before it (2026-03-02 Mon 21:50)",
            "3月2日(月) 21:50から数えて、前のステップの2日後",
        ),
        (TimingView::AtOnce, "step", "right after the step before it", "前のステップのすぐ後"),
        (
            TimingView::AtOnce,
            "resend",
            "an operator asked for it again at 2026-03-02 Mon 21:50",
            "運用者が3月2日(月) 21:50に再送を指示しました",
        ),
    ];
    for (timing, from, english, japanese) in cases {
        let planned = planned(timing, from);
        assert_eq!(words(Lang::En).plan_sentence(&planned), format!("welcome/tips is planned: {english}"));
        assert_eq!(words(Lang::Ja).plan_sentence(&planned), format!("welcome/tips の予定です（{japanese}）"));
    }
}

#[test]
fn what_moved_a_step_is_told_and_days_are_workdays_where_they_are_counted_so() {
    let mut planned = planned(TimingView::Day { days: 1, at: Some("22:00".into()) }, "entry");
    let why = planned.why.as_mut().unwrap();
    why.workdays = true;
    why.moved_to_its_days = Some(at("2026-03-06T13:00:00Z"));
    why.moved_by_hours = Some(at("2026-03-09T00:00:00Z"));
    planned.condition = Some(ConditionView {
        written: "member.points > 3".into(),
        now: Some("missing(member.points)".into()),
        values: [("member.points".to_owned(), serde_json::Value::Null)].into(),
    });
    assert_eq!(
        words(Lang::En).plan_sentence(&planned),
        "welcome/tips is planned: 1 workday after the entry at 22:00 (2026-03-02 Mon 21:50), moved to the nearest day \
         that it may be done on: 2026-03-06 Fri 22:00, moved into the send hours: 2026-03-09 Mon 09:00; only if \
         `member.points > 3` (cannot be told now: `member.points` has no value)"
    );
    assert_eq!(
        words(Lang::Ja).plan_sentence(&planned),
        "welcome/tips の予定です（3月2日(月) 21:50から数えて、開始の1営業日後の22:00。行えない日のため、3月6日(金) 22:00に\
         移しました。配信時間外のため、3月9日(月) 09:00に移しました）。条件は `member.points > 3`（`member.points` に値がない\
         ため、今は判断できません）"
    );
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
