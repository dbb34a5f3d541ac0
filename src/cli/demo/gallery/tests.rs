use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn names_in(folder: &str, extension: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(folder);
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| Some(name.into_string().unwrap().strip_suffix(extension)?.to_owned())).collect()
}

#[test]
fn the_binary_carries_the_whole_folder() {
    let carried: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let scenarios = names_in("", ".yaml");
    let parts = names_in("flex", ".json");
    let there = scenarios.iter().map(|name| format!("{name}.yaml"));
    assert_eq!(carried, there.chain(parts.iter().map(|name| format!("flex/{name}.json"))).collect());
    let events: BTreeSet<String> = EVENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(events, names_in("events", ".ndjson"));
    assert_eq!(events, scenarios);
}

#[test]
fn the_plan_has_every_scenario_and_the_pace_keeps_its_bounds() {
    let script = Script::write().unwrap();
    let planned: BTreeSet<&str> = script.planned.iter().map(|planned| planned.scenario.as_str()).collect();
    assert_eq!(planned.len(), EVENTS.len(), "{planned:?}");
    let moments = script.moments();
    for seconds in [1, 20, 60, 600] {
        let speed = speed_for(&moments, seconds);
        assert!((SLOWEST..=FASTEST).contains(&speed), "{speed}");
    }
    assert!(speed_for(&moments, 20) > speed_for(&moments, 120));
}
