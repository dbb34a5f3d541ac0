//! What each code of a finding means, from the page that people read.

use super::Failure;
use crate::scenario::finding::{CODES, did_you_mean};

const PAGE: &str = include_str!("../../../docs/diagnostics.md");

/// What the page says of a code: Markdown, without the heading.
pub(super) fn section(code: &str) -> Option<&'static str> {
    let heading = format!("\n### {code}\n");
    let start = PAGE.find(&heading)? + heading.len();
    let rest = &PAGE[start..];
    let end = rest.find("\n##").unwrap_or(rest.len());
    Some(rest[..end].trim())
}

/// A code and all that is known about it.
///
/// # Errors
/// There is no such code; the nearest is suggested.
pub(super) fn explain(code: &str) -> Result<String, Failure> {
    let known = CODES.iter().find(|(known, _)| *known == code);
    let (Some((code, meaning)), Some(section)) = (known, section(code)) else {
        let help = did_you_mean(code, CODES.iter().map(|(known, _)| *known)).unwrap_or_else(|| {
            let all: Vec<&str> = CODES.iter().map(|(known, _)| *known).collect();
            format!("codes are: {}", all.join(", "))
        });
        return Err(Failure::problem(format!("there is no code `{code}`; {help}")));
    };
    Ok(format!("{code}: {meaning}\n\n{section}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_section() {
        for (code, _) in CODES {
            let text = explain(code).unwrap();
            assert!(text.len() > 60, "{text}");
            assert!(!text.contains("\n### "), "{text}");
        }
        let Err(failure) = explain("unknown-kye") else { panic!("there is no such code") };
        assert!(format!("{failure:?}").contains("did you mean `unknown-key`?"), "{failure:?}");
    }
}
