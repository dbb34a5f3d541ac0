//! Findings as SARIF 2.1.0, which code scanning services read.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use serde_json::{Value, json};

use super::manual;
use crate::cli::access::encoded;
use crate::scenario::finding::{CODES, Finding};

/// The most results of a run. Source: GitHub, "SARIF support for code scanning": more than 25,000 are refused.
const MAX_RESULTS: usize = 25_000;

/// One document with one run. What is over [`MAX_RESULTS`] is left out, and the run says so.
pub(super) fn document(findings: &[Finding]) -> Value {
    let mut used: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    used.sort_unstable();
    used.dedup();
    let results: Vec<Value> =
        findings.iter().take(MAX_RESULTS).map(|finding| result(finding, &used)).collect();
    let mut run = json!({
        "tool": { "driver": {
            "name": "amadare",
            "version": env!("CARGO_PKG_VERSION"),
            "rules": used.iter().map(|code| rule(code)).collect::<Vec<Value>>(),
        } },
        "columnKind": "unicodeCodePoints",
        "results": results,
    });
    if let Some(more) = findings.len().checked_sub(MAX_RESULTS).filter(|more| *more > 0) {
        let text = format!("{more} more findings are left out; `amadare check --format json` lists them");
        let notice = json!({ "level": "warning", "message": { "text": text } });
        run["invocations"] = json!([{ "executionSuccessful": true, "toolExecutionNotifications": [notice] }]);
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    })
}

fn rule(code: &str) -> Value {
    let meaning = CODES.iter().find(|(known, _)| *known == code).map_or("", |(_, meaning)| meaning);
    let more = manual::section(code).unwrap_or(meaning);
    let mut rule = json!({
        "id": code,
        "shortDescription": { "text": meaning },
        "help": { "text": more, "markdown": more },
    });
    // where the crate says where it is kept
    let repository = env!("CARGO_PKG_REPOSITORY");
    if !repository.is_empty() {
        rule["helpUri"] = format!("{repository}/blob/main/docs/diagnostics.md#{code}").into();
    }
    rule
}

fn result(finding: &Finding, used: &[&str]) -> Value {
    let Finding { file, line, column, end_column, severity, code, message, help } = finding;
    let text = match help {
        Some(help) => format!("{message}\n{help}"),
        None => message.clone(),
    };
    json!({
        "ruleId": code,
        "ruleIndex": used.binary_search(code).expect("every code that occurs is among them"),
        "level": severity.to_string(),
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": { "startLine": line, "startColumn": column, "endColumn": end_column },
        } }],
    })
}

/// The URI of a file: relative to where the check ran, as its name is.
fn uri(file: &str) -> String {
    let parts: Vec<String> = file.trim_start_matches("./").split('/').map(encoded).collect();
    let scheme = if file.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::finding::Place;

    #[test]
    fn uris_are_relative_to_the_repository() {
        let cases = [
            ("./scenarios/a.yaml", "scenarios/a.yaml"),
            ("scenarios/予約 1.yaml", "scenarios/%E4%BA%88%E7%B4%84%201.yaml"),
            ("/srv/a.yaml", "file:///srv/a.yaml"),
        ];
        for (name, expected) in cases {
            assert_eq!(uri(name), expected);
        }
    }

    #[test]
    fn a_run_has_no_more_results_than_are_taken() {
        let place = Place { file: "a.yaml".into(), line: 1, column: 1, width: 0 };
        let findings = vec![Finding::error(&place, "names", "x"); MAX_RESULTS + 2];
        let run = &document(&findings)["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), MAX_RESULTS);
        let told = run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].as_str();
        assert!(told.unwrap().starts_with("2 more"), "{told:?}");
    }
}
