//! Every input that fuzzing starts from or has found, once through the bodies of the fuzz targets.
//!
//! The search itself is `fuzz/run`; see docs/reliability.md.

use std::panic::catch_unwind;
use std::path::Path;

#[path = "../../fuzz/bodies.rs"]
mod bodies;

#[test]
fn what_fuzzing_starts_from_and_has_found_keeps_every_promise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for (target, body) in bodies::TARGETS {
        let (seeds, kept) = (bodies::seeds(root, target), bodies::kept(root, target));
        assert!(seeds.len() >= 20, "only {} seeds for {target} were found", seeds.len());
        assert!(!kept.is_empty(), "fuzz/corpus/{target} is empty");
        for (name, bytes) in seeds.iter().chain(&kept) {
            if catch_unwind(|| body(bytes)).is_err() {
                broken.push(format!("{target}: {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "broken by:\n{}", broken.join("\n"));
}
