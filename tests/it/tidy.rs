//! Rules about the source that can be checked.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// `cli → http, dispatch → store, line → engine → scenario → model`: each uses what stands to its right.
/// The faults of `mutation` may be put in anywhere.
#[test]
fn modules_use_only_what_stands_to_their_right() {
    let allowed: [(&str, &[&str]); 13] = [
        ("mutation", &[]),
        ("clock", &[]),
        ("model", &[]),
        ("scenario", &["model"]),
        ("engine", &["model", "scenario"]),
        ("line", &["clock"]),
        ("call", &[]),
        ("store", &["model", "clock"]),
        ("sandbox", &["clock"]),
        ("page", &[]),
        ("dispatch", &["model", "scenario", "engine", "line", "call", "store", "clock"]),
        ("config", &["model", "scenario"]),
        ("http", &["model", "scenario", "engine", "line", "store", "dispatch", "clock", "config"]),
    ];
    let mut wrong = Vec::new();
    for (file, text) in all().iter().filter(|(file, _)| !file.ends_with("tests.rs")) {
        let module = file.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = allowed.iter().find(|(name, _)| *name == module) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in line.match_indices("crate::").map(|(at, _)| &line[at + 7..]) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != module && used != "mutation" && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("src/{file}:{number}: {module} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The engine decides and does nothing else.
#[test]
fn the_engine_is_pure() {
    let banned =
        ["async ", "tokio", "std::fs", "std::env", "tracing", "Instant", "SystemTime", "std::thread"];
    for (file, text) in all().iter().filter(|(file, _)| file.starts_with("engine")) {
        for word in banned {
            assert!(!text.contains(word), "src/{file} uses `{word}`");
        }
    }
}

/// A module is a noun of the domain.
#[test]
fn no_module_is_a_drawer() {
    for (file, _) in all() {
        let name = file.rsplit('/').next().unwrap();
        assert!(
            !["utils.rs", "util.rs", "common.rs", "helpers.rs", "core.rs", "misc.rs"].contains(&name),
            "{file}"
        );
    }
}

/// Each shipped scenario has a timeline of its own and no warning.
#[test]
fn shipped_scenarios_have_timelines_and_no_findings() {
    use amadare::scenario::Defaults;
    use amadare::scenario::load::load;
    use amadare::scenario::source::Sources;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = Sources::read(&[root.join("scenarios")]).unwrap();
    let loaded = load(&sources, &Defaults::default());
    assert_eq!(loaded.findings, []);
    let timelines: Vec<String> = ["tests/timelines", "tests/gallery"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for scenario in loaded.set.unwrap().iter() {
        let names = format!("scenario: {}.yaml\n", scenario.id);
        assert!(timelines.iter().any(|timeline| timeline.contains(&names)), "{}", scenario.id);
    }
}
