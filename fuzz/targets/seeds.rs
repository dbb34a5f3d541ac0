//! `seeds FOLDER` writes every target's first inputs into `FOLDER/TARGET/`.

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "a target needs a part of it")]
mod bodies;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("a folder is given");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (target, _) in bodies::TARGETS {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in bodies::seeds(&root, target) {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
