//! Arguments, logging, exit code; nothing else.

use std::process::ExitCode;

/// The system's allocator took a fifth of the turn thread, walking the pieces that the store leaves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    amadare::cli::main()
}
