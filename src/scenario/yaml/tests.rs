use super::*;

/// Where a marked character of a text stands in the file.
fn place_of(file: &str, mark: char) -> (usize, usize) {
    let mut findings = Vec::new();
    let tree = parse(&"f".into(), file.as_bytes(), &mut findings).unwrap();
    let node = tree.get("t").unwrap();
    let at = node.as_text().unwrap().find(mark).unwrap();
    let place = node.place_in(at..at + mark.len_utf8());
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
    let at = items[3].as_text().unwrap().find('X').unwrap();
    let place = items[3].place_in(at..at + 1);
    assert_eq!((place.line, place.column), (2, 23));
    assert_eq!(tree.entry("b").unwrap().place.column, 28);
    assert!(findings.is_empty());
}

/// What of the file is under a place.
fn underlined<'a>(file: &'a str, place: &Place) -> &'a str {
    let line = file.split(['\n', '\r']).filter(|line| !line.is_empty()).nth(place.line - 1).unwrap();
    let byte = |column: usize| line.char_indices().map(|(at, _)| at).nth(column).unwrap_or(line.len());
    &line[byte(place.column - 1)..byte(place.column - 1 + place.width)]
}

fn places(node: &Node, found: &mut Vec<Place>) {
    found.push(node.place.clone());
    for entry in node.entries() {
        found.push(entry.place.clone());
        places(&entry.value, found);
    }
    if let Data::List(items) = &node.data {
        items.iter().for_each(|item| places(item, found));
    }
}

#[test]
fn places_are_as_wide_as_what_stands_there() {
    let yaml = "雨: 'あ''い'  # note\nlist: [一, { 二: 3 }]  # note\n\"k\":\n  - text: |\n      一行目  \n      二\n    \
        n: 12  \n  - plain\n    more\nnone:\nfolded: >-\n  あいう\n  え\n";
    let json = "{ \"雨\": [1, true,\n null, \"\\u3042\"], \"b\": {} }\n";
    let mut findings = Vec::new();
    let yaml_tree = parse(&"f".into(), yaml.as_bytes(), &mut findings).unwrap();
    let json_tree = parse_json(&"f".into(), json.as_bytes(), &mut findings).unwrap();
    let told = |file: &'static str, tree: &Node| {
        let mut found = Vec::new();
        places(tree, &mut found);
        found.iter().map(|place| underlined(file, place)).collect::<Vec<&str>>()
    };
    let first_line = "雨: 'あ''い'  # note";
    let of_yaml = [
        first_line,
        "雨",
        "'あ''い'",
        "list",
        "[一, { 二: 3 }]",
        "一",
        "{ 二: 3 }",
        "二",
        "3",
        "\"k\"",
        "- text: |",
        "text: |",
        "text",
        "一行目",
        "n",
        "12",
        "plain",
        "none",
        "",
        "folded",
        "あいう",
    ];
    assert_eq!(told(yaml, &yaml_tree), of_yaml);
    let of_json =
        ["{ \"雨\": [1, true,", "\"雨\"", "[1, true,", "1", "true", "null", "\"\\u3042\"", "\"b\"", "{}"];
    assert_eq!(told(json, &json_tree), of_json);
    // each place within a text is as wide as what was asked for
    let node = yaml_tree.get("雨").unwrap();
    assert_eq!(underlined(yaml, &node.place_in(3..7)), "''い");
    assert_eq!(underlined(json, &json_tree.get("雨").unwrap().items()[3].place_in(0..3)), "\\u3042");
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
