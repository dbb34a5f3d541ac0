//! `amadare simulate` as a whole: a month of the shipped scenario, members entering all along.
//!
//! `cargo bench --bench simulate` prints the figures; `-- members=100000` changes the scale. The time is that of
//! the whole process, from its start to its last line, and the memory the most that it held at once.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use amadare::clock::Monotonic;

/// Measurements, of which the best counts: the others met somebody else on the machine.
const ROUNDS: usize = 3;

/// Minutes of the month in which members enter.
const MINUTES: u64 = 30 * 24 * 60;

fn main() {
    let members: u64 = std::env::args()
        .find_map(|argument| argument.strip_prefix("members=").and_then(|n| n.parse().ok()))
        .unwrap_or(10_000);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let events = folder.path().join("events.ndjson");
    std::fs::write(&events, month(members)).expect("events can be written");
    let html = folder.path().join("page.html");
    let html = html.to_str().expect("the path is UTF-8");
    println!("a month of {members} members:");
    measure("text", &events, &[]);
    measure("json", &events, &["--format", "json"]);
    measure("text with --explain", &events, &["--explain"]);
    measure("a page", &events, &["--html", html]);
}

/// Each member is told of, buys a trial at some minute of the month, and one in five the product a week later.
fn month(members: u64) -> String {
    let start: jiff::Timestamp = "2026-04-01T00:00:00+09:00".parse().expect("it is a time");
    let at =
        |minute: u64| start + jiff::SignedDuration::from_mins(i64::try_from(minute).expect("it is small"));
    let mut text = String::new();
    for number in 0..members {
        // spread over the month, in no order
        let minute = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % MINUTES;
        let entry = at(minute);
        writeln!(text, r#"{{"at":"{entry}","member":"m-{number}","attributes":{{"name":"さくら{number}","plan":"gold"}}}}"#)
            .and_then(|()| writeln!(text, r#"{{"at":"{entry}","member":"m-{number}","name":"purchase","data":{{"sku":"TRIAL-7","category":"trial"}}}}"#))
            .expect("a string takes all text");
        if number % 5 == 0 {
            let later = at(minute + 4 * 24 * 60);
            writeln!(text, r#"{{"at":"{later}","member":"m-{number}","name":"purchase","data":{{"sku":"R-1","category":"regular","amount":5400}}}}"#)
                .expect("a string takes all text");
        }
    }
    text
}

fn measure(what: &str, events: &Path, more: &[&str]) {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/trial-followup.yaml");
    let mut best = std::time::Duration::MAX;
    let mut lines = 0;
    for _ in 0..ROUNDS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amadare"));
        command.args(["simulate", scenario, "--lang", "en", "--events"]).arg(events).args(more);
        let began = Monotonic::now();
        let output = command.stderr(Stdio::inherit()).output().expect("the program runs");
        best = best.min(began.elapsed());
        assert!(output.status.success());
        lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    }
    println!("  {what}: {:.2} s, {lines} lines, {} MiB at most so far", best.as_secs_f64(), peak_mib());
}

/// The most memory that a child has held at once.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel's count of memory has no other way in")]
fn peak_mib() -> i64 {
    // SAFETY: a zeroed `rusage` is one, and the call writes nothing else
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    usage.ru_maxrss / 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_mib() -> i64 {
    0
}
