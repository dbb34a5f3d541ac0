use super::*;

/// Where a marked character of a text stands in the file.
fn place_of(file: &str, mark: char) -> (usize, usize) {
    let mut findings = Vec::new();
    let tree = parse(&"f".into(), file.as_bytes(), &mut findings).unwrap();
    let node = tree.get("t").unwrap();
    let place = node.place_in(node.as_text().unwrap().find(mark).unwrap());
    (place.line, place.column)
}

#[test]
fn characters_of_texts_are_found_again() {
    let cases = [
        ("t: あいX", (1, 6)),
        ("t: 'あ''いX'", (1, 9)),
        (r#"t: "あ\u3044\n\U0001F34EX""#, (1, 24)),
        ("t: |\n  一\n    二X\n", (3, 6)),
        ("# 雨\nu: 1\nt: |-\n\n  一X\n", (5, 4)),
        // past the first line of a plain or quoted text, and in a folded one, its start has to do
        ("t: あ\n  X", (1, 4)),
        ("t: \"あ\n  X\"", (1, 4)),
        ("t: >\n  一X\n", (2, 3)),
    ];
    for (file, expected) in cases {
        assert_eq!(place_of(file, 'X'), expected, "{file}");
        let windows = file.replace('\n', "\r\n");
        assert_eq!(place_of(&windows, 'X'), expected, "{windows:?}");
    }
}

#[test]
fn json_is_read_with_its_places() {
    let json = "{ \"雨\": [1, true,\n null, \"\\ud83c\\udf4e\\\"X\"], \"b\": {} }";
    let mut findings = Vec::new();
    let tree = parse_json(&"f".into(), json.as_bytes(), &mut findings).unwrap();
    assert_eq!(tree.to_json(), serde_json::from_str::<serde_json::Value>(json).unwrap());
    let items = tree.get("雨").unwrap().items();
    let places: Vec<_> = items.iter().map(|item| (item.place.line, item.place.column)).collect();
    assert_eq!(places, [(1, 9), (1, 12), (2, 2), (2, 8)]);
    let place = items[3].place_in(items[3].as_text().unwrap().find('X').unwrap());
    assert_eq!((place.line, place.column), (2, 23));
    assert_eq!(tree.entry("b").unwrap().place.column, 28);
    assert!(findings.is_empty());
}

proptest::proptest! {
    /// Whatever comes in, reading it ends, and what both parsers take they take for the same.
    #[test]
    fn both_parsers_agree_on_plain_scalars(text in "[-+0-9a-zA-Z_.~xo#']{0,8}") {
        let file = format!("t: {text}\n");
        let mut findings = Vec::new();
        let ours = parse(&"f".into(), file.as_bytes(), &mut findings).map(|tree| tree.to_json());
        let theirs = serde_yaml::from_str::<serde_json::Value>(&file).ok();
        if let (Some(ours), Some(theirs), true) = (ours, theirs, findings.is_empty()) {
            proptest::prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn json_values_come_back(text in proptest::collection::vec("[\"\\\\a雨🍎\n]{0,5}", 0..4), number in proptest::num::i64::ANY) {
        let value = serde_json::json!({ "texts": text, "nested": [{ "number": number }, null, true] });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let tree = parse_json(&"f".into(), json.as_bytes(), &mut Vec::new()).unwrap();
            proptest::prop_assert_eq!(tree.to_json(), value.clone());
        }
    }
}

/// Found by fuzzing: findings stood in lines that the file does not have, or beyond their end.
#[test]
fn a_lone_carriage_return_ends_a_line() {
    assert_eq!(place_of("u: 1\rt: 'あX'\r", 'X'), (2, 6));
    let places = |bytes: &[u8]| {
        let mut findings = Vec::new();
        parse(&"f".into(), bytes, &mut findings);
        findings.iter().map(|finding| (finding.line, finding.column)).collect::<Vec<_>>()
    };
    assert_eq!(places(b"a: 1\rbc\xff"), [(2, 3)]);
    assert_eq!(places(b"\xef\xbb\xbfab\xff"), [(1, 3)]);
}
