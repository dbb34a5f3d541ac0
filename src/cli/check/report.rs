//! Findings for people: the place, the line of the file with the place underlined, the fix.

use std::io::IsTerminal;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use clap::builder::styling::{AnsiColor, Style};

use crate::scenario::finding::{Finding, Severity};
use crate::scenario::source::Sources;

/// The most findings that are shown to a person; nobody reads on before these are mended.
pub(super) const MAX_SHOWN: usize = 100;

/// How wide a line may be shown, in columns of a terminal.
const MAX_COLUMNS: usize = 100;

/// How many characters of a line are looked at on each side of a place: more than can be shown.
const MARGIN: usize = 2 * MAX_COLUMNS;

/// The most characters that are underlined, so that there is room for some of the line beside it, be they of
/// double width.
const MAX_UNDERLINED: usize = MAX_COLUMNS * 2 / 5;

/// Whether what is printed is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Coloured,
}

impl Paint {
    /// Colours for a terminal, unless `NO_COLOR` or its like says otherwise.
    pub(super) fn of(stream: &(impl anstream::stream::RawStream + IsTerminal)) -> Paint {
        match anstream::AutoStream::choice(stream) {
            anstream::ColorChoice::Never => Paint::Plain,
            _ => Paint::Coloured,
        }
    }

    fn style(self, style: Style) -> Style {
        match self {
            Paint::Plain => Style::new(),
            Paint::Coloured => style,
        }
    }
}

/// The findings as a text, the first [`MAX_SHOWN`] of them, and how many more there are.
pub(super) fn human<'f>(
    findings: impl IntoIterator<Item = &'f Finding>,
    sources: &Sources,
    paint: Paint,
) -> String {
    let mut findings = findings.into_iter();
    let mut text = String::new();
    for finding in findings.by_ref().take(MAX_SHOWN) {
        text += &one(finding, sources, paint);
    }
    let more = findings.count();
    if more > 0 {
        text += &format!("and {more} more, of which nothing is shown; `--format json` lists them\n");
    }
    text
}

fn one(finding: &Finding, sources: &Sources, paint: Paint) -> String {
    let Finding { file, line, column, severity, code, message, help, .. } = finding;
    let (bold, colour) = match severity {
        Severity::Error => (paint.style(Style::new().bold()), AnsiColor::BrightRed),
        Severity::Warning => (paint.style(Style::new().bold()), AnsiColor::Yellow),
    };
    let kind = paint.style(colour.on_default().bold());
    let mut text = format!(
        "{bold}{file}:{line}:{column}:{bold:#} {kind}{severity}[{code}]{kind:#}{bold}: {}{bold:#}\n",
        visible(message)
    );
    if let Some(snippet) = snippet(finding, sources, paint) {
        text += &snippet;
        text.push('\n');
    }
    if let Some(help) = help {
        let word = paint.style(AnsiColor::BrightCyan.on_default().bold());
        text += &format!("  {word}help:{word:#} {}\n", visible(help));
    }
    text.push('\n');
    text
}

/// A text without the characters that move a terminal's cursor or change its colours.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The line of a finding with its place underlined; none of a file that could not be read, nor of a blank line.
fn snippet(finding: &Finding, sources: &Sources, paint: Paint) -> Option<String> {
    let line = sources.line(&finding.file, finding.line)?;
    if line.trim().is_empty() {
        return None;
    }
    let (line, place) = cut(&line, finding.column - 1..finding.end_column - 1);
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let renderer = match paint {
        Paint::Plain => Renderer::plain(),
        Paint::Coloured => Renderer::styled(),
    };
    let snippet = Snippet::source(line)
        .line_start(finding.line)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(place));
    let text = renderer.term_width(MAX_COLUMNS).render(&[Group::with_level(level).element(snippet)]);
    Some(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// What of a line is near a place, which is counted in characters, and where the place is then, in bytes.
///
/// The renderer cuts lines itself, but not where all that is too long is underlined, and slowly where a line is
/// as long as a file.
fn cut(line: &str, place: Range<usize>) -> (&str, Range<usize>) {
    let length = line.chars().count();
    let start = place.start.min(length);
    let end = place.end.clamp(start, start + MAX_UNDERLINED).min(length);
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
    let from = byte(start.saturating_sub(MARGIN));
    let until = byte((end + MARGIN).min(length));
    (&line[from..until], byte(start) - from..byte(end) - from)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::scenario::finding::Place;

    fn shown(line: &str, mark: &str) -> String {
        let at = line.find(mark).expect("the mark is in the line");
        let column = line[..at].chars().count() + 1;
        let place = Place { file: "a.yaml".into(), line: 2, column, width: mark.chars().count() };
        let sources = Sources::from_files([("a.yaml", format!("# \n{line}\n# \n").into_bytes())]);
        let finding = Finding::error(&place, "names", "there is no such thing").help("write another");
        one(&finding, &sources, Paint::Plain)
    }

    fn underlined(line: &str, mark: &str) -> String {
        let text = shown(line, mark);
        let lines: Vec<&str> = text.lines().collect();
        let (above, below) = (lines[2], lines[3]);
        // the terminal's columns of what is underlined
        let width = |text: &str| -> usize { text.chars().map(columns).sum() };
        let start = below.find('^').expect("something is underlined");
        let end = below.rfind('^').expect("something is underlined") + 1;
        let mut passed = String::new();
        let mut found = String::new();
        for c in above.chars() {
            if (start..end).contains(&width(&passed)) {
                found.push(c);
            }
            passed.push(c);
        }
        found
    }

    /// What a terminal takes for a character: two columns for East Asian wide ones and emoji.
    fn columns(c: char) -> usize {
        match c {
            '\u{200d}' | '\u{fe0f}' => 0,
            '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 2,
            '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' => 2,
            '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' => 2,
            _ => 1,
        }
    }

    #[test]
    fn a_finding_is_its_place_the_line_and_the_fix() {
        let expected = "a.yaml:2:5: error[names]: there is no such thing\n  |\n2 |     afterr: 3d\n  |     ^^^^^^\n  \
            help: write another\n\n";
        assert_eq!(shown("    afterr: 3d", "afterr"), expected);
    }

    #[test]
    fn what_is_underlined_is_the_place_whatever_the_width_of_what_is_before_it() {
        for line in [
            "    push: さくらさま、{{ membr.name }}さん",
            "    push: \"🎉🎊 お誕生日🍰 {{ membr.name }}\"",
            "    push: ｶﾞﾝﾊﾞﾚ（全角）ABC　{{ membr }}",
            "\tpush:\t雨だれ\t{{ membr }}",
            "    push: がぎぐ é ñ {{ membr }}",
            "    push: 한국어 {{ membr }}",
        ] {
            assert_eq!(underlined(line, "membr"), "membr", "{line}\n{}", shown(line, "membr"));
        }
        let line = "    push: 雨だれ、石を穿つ🎉 membr";
        assert_eq!(underlined(line, "石を穿つ🎉"), "石を穿つ🎉", "{}", shown(line, "石を穿つ🎉"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        for (before, after) in [("雨だれ", "石を穿つ"), ("drip ", "drop ")] {
            for (left, right) in [(0, 20_000), (400, 400), (20_000, 0), (3, 3)] {
                let line = format!("push: {}membr{}", before.repeat(left), after.repeat(right));
                let text = shown(&line, "membr");
                let widest = text.lines().map(|line| line.chars().map(columns).sum::<usize>()).max();
                assert!(widest <= Some(MAX_COLUMNS + 1), "{text}");
                assert_eq!(underlined(&line, "membr"), "membr", "{text}");
            }
        }
        let line = format!("push: {}", "雨だれ石を穿つ".repeat(100));
        let text = shown(&line, &line["push: ".len()..]);
        let widest = text.lines().map(|line| line.chars().map(columns).sum::<usize>()).max();
        assert!(widest <= Some(MAX_COLUMNS + 1), "{text}");
    }

    #[test]
    fn nothing_of_a_file_reaches_the_terminal_but_its_letters() {
        let text = shown("push: \u{1b}[31mred\u{7} \u{202e}{{ membr }}", "membr");
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn colours_are_for_terminals() {
        let place = Place { file: "a.yaml".into(), line: 1, column: 1, width: 4 };
        let sources = Sources::from_files([("a.yaml", b"push: x".as_slice())]);
        let finding = Finding::warning(&place, "names", "x");
        assert!(!one(&finding, &sources, Paint::Plain).contains('\u{1b}'));
        assert!(one(&finding, &sources, Paint::Coloured).contains("\u{1b}[33m^^^^\u{1b}[0m"));
    }

    #[test]
    fn no_more_is_shown_than_a_person_reads() {
        let place = |line| Place { file: "a.yaml".into(), line, column: 1, width: 0 };
        let findings: Vec<Finding> =
            (1..=MAX_SHOWN + 7).map(|line| Finding::error(&place(line), "names", "x")).collect();
        let text = human(&findings, &Sources::default(), Paint::Plain);
        assert_eq!(text.matches("error[names]").count(), MAX_SHOWN);
        assert!(
            text.ends_with("and 7 more, of which nothing is shown; `--format json` lists them\n"),
            "{text}"
        );
    }
}
