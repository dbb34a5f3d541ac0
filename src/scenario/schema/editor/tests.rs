use std::collections::BTreeSet;

use super::*;
use crate::scenario::Defaults;
use crate::scenario::load::load;
use crate::scenario::source::Sources;

fn table() -> Vec<Pair> {
    serde_yaml::from_str(JAPANESE).unwrap()
}

/// Every text of the English schema that a person reads.
fn texts() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut schema = json_schema(Language::English);
    each_text(&mut schema, &mut |text| {
        // a list of steps has the shapes of a step again, with a dash
        found.insert(text.strip_prefix("- ").unwrap_or(text).to_owned());
        None
    });
    found
}

#[test]
fn the_table_has_every_text_once_and_nothing_else() {
    let (texts, table) = (texts(), table());
    assert!(texts.len() > 100, "only {} texts were found", texts.len());
    let translated: BTreeSet<String> = table.iter().map(|pair| pair.en.clone()).collect();
    assert_eq!(translated.len(), table.len(), "a text stands twice in the table");
    let missing: Vec<&String> = texts.difference(&translated).collect();
    assert!(missing.is_empty(), "not in ja.yaml: {missing:#?}");
    let left_over: Vec<&String> = translated.difference(&texts).collect();
    assert!(left_over.is_empty(), "in ja.yaml, and no text of the schema: {left_over:#?}");
}

#[test]
fn the_table_is_in_japanese() {
    for Pair { en, ja } in table() {
        let is_kana = |c: char| ('\u{3041}'..='\u{30ff}').contains(&c);
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        assert!(ja.chars().any(|c| is_kana(c) || is_han(c)), "{en}: {ja}");
        assert!(!en.chars().any(|c| is_kana(c) || is_han(c)), "{en}");
        // what stands in backticks is the language's, and the same in both
        let code = |text: &str| -> BTreeSet<String> {
            text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        assert_eq!(code(&en), code(&ja), "{en}");
    }
}

/// The shapes of a place, and how a file looks with one of them.
fn files_with_shapes(schema: &Value) -> Vec<String> {
    let mut files = Vec::new();
    let mut fill = |pointer: &str, around: &dyn Fn(&str) -> String| {
        let shapes = schema.pointer(pointer).unwrap()["defaultSnippets"].as_array().unwrap();
        files.extend(shapes.iter().map(|shape| around(&filled_in(&shape["body"]))));
    };
    let indented =
        |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    let with = |key: &'static str| {
        move |shape: &str| format!("{HEAD}enter: {{ on: booked }}\n{key}:\n{}{STEPS}", indented(shape, "  "))
    };
    let in_step = |key: &'static str| {
        move |shape: &str| {
            format!(
                "{HEAD}enter: {{ on: booked }}\nsteps:\n  - step: a\n    {key}:\n{}",
                indented(shape, "      ")
            )
        }
    };
    fill("", &str::to_owned);
    fill("/$defs/EnterItem", &|shape| format!("{HEAD}enter:\n{}{STEPS}", indented(shape, "  ")));
    fill("/$defs/EnterItem/properties/again", &|shape| {
        format!("{HEAD}enter: {{ on: booked, again: {} }}\n{STEPS}", shape.trim_end())
    });
    for key in ["update", "exit", "goal", "samples"] {
        fill(&format!("/properties/{key}"), &with(key));
    }
    fill("/$defs/StepItem", &|shape| {
        let item = format!("- {}", indented(shape, "  ").trim_start());
        format!("{HEAD}enter: {{ on: booked }}\nanchor: event.starts_at\nsteps:\n{}", indented(&item, "  "))
    });
    for key in ["set", "call", "enter", "branch", "split"] {
        fill(&format!("/$defs/StepItem/properties/{key}"), &in_step(key));
    }
    fill("/$defs/StepItem/properties/wait_for", &in_step("wait_for"));
    fill("/$defs/Push", &|shape| match shape.starts_with('|') {
        true => format!(
            "{HEAD}enter: {{ on: booked }}\nsteps:\n  - step: a\n    push: {}",
            indented(shape, "    ").trim_start()
        ),
        false => in_step("push")(shape),
    });
    files
}

const HEAD: &str = "scenario: a\nhours: 09:00-21:00\n";
const STEPS: &str = "steps: [{ step: a, push: a }]\n";

#[test]
fn every_shape_can_stand_in_a_file() {
    let shapes: BTreeMap<String, Vec<Value>> = serde_yaml::from_str(SHAPES).unwrap();
    for language in [Language::English, Language::Japanese] {
        let files = files_with_shapes(&json_schema(language));
        assert_eq!(files.len(), shapes.values().map(Vec::len).sum::<usize>());
        for file in files {
            let id = file.lines().next().unwrap().trim_start_matches("scenario: ").to_owned();
            let win_back =
                format!("scenario: win-back\nhours: 09:00-21:00\nenter: {{ manual: true }}\n{STEPS}");
            let sources = Sources::from_files([
                (format!("{id}.yaml"), file.clone().into_bytes()),
                ("win-back.yaml".to_owned(), win_back.into_bytes()),
                (
                    "flex/coupon.json".to_owned(),
                    include_bytes!("../../../../scenarios/flex/coupon.json").to_vec(),
                ),
            ]);
            let loaded = load(&sources, &Defaults::default());
            // what is only doubtful is for the author to judge, in a file of his own
            let errors = loaded.findings.iter().filter(|finding| finding.is_error());
            let found: Vec<String> = errors.map(ToString::to_string).collect();
            assert!(found.is_empty(), "{file}\n{}", found.join("\n"));
        }
    }
}
