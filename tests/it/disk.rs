//! Disks that are full, read-only or damaged, under the real process.
//!
//! What needs root and Linux says so where it cannot run, and passes.
//!
//! `DAMAGES=400 cargo test --test it damaged -- --nocapture` is the long form of the damages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use amadare::clock::Monotonic;
use amadare::sandbox::Faults;

use crate::killing::Draw;
use crate::process::{Daemon, until};
use crate::promises::{EVENTS_OF_A_MEMBER, Promises, SCENARIO};

/// A file system in memory; unmounted when it goes out of scope, however the test ends.
struct Memory(PathBuf);

fn mount(arguments: &[&str], at: &Path) -> Result<(), String> {
    let done = Command::new("mount").args(arguments).arg(at).output().map_err(|error| error.to_string())?;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}

impl Memory {
    /// # Errors
    /// Why this machine or this user cannot.
    fn new(at: PathBuf, size: &str) -> Result<Memory, String> {
        std::fs::create_dir_all(&at).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "amadare-test"], &at)?;
        Ok(Memory(at))
    }

    fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0).unwrap();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Events one at a time until the daemon takes no more; what it could not make durable, it has not sent.
async fn fill(promises: &mut Promises, daemon: &Daemon) {
    let refused = loop {
        let member = match promises.member(daemon).await {
            Ok(member) => member,
            Err(refused) => break refused,
        };
        let mut events = (0..EVENTS_OF_A_MEMBER).map(|number| (member.clone(), number));
        let refused = loop {
            let Some(event) = events.next() else { break None };
            if let Err(refused) = promises.events(daemon, &[event]).await {
                break Some(refused);
            }
        };
        if let Some(refused) = refused {
            break refused;
        }
        assert!(promises.acknowledged.len() < 20_000, "the disk is not full yet");
    };
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(503), "{refused}");
}

/// A daemon that meets a full disk stops, says why, and once there is room goes on where it was.
async fn meets_a_full_disk(mut daemon: Daemon, mut promises: Promises, make_room: impl FnOnce(&mut Daemon)) {
    // so that pushes wait to be tried again when it happens
    promises.sandbox.set_faults(Faults { throttle: 0.3, ..Faults::default() }).unwrap();
    daemon.start().await;
    fill(&mut promises, &daemon).await;
    // whoever was refused may have heard of it a moment before
    let health = until("the health to tell of it", async || {
        let health = daemon.get("/healthz").await;
        Some(health).filter(|health| health["status"] == 503)
    })
    .await;
    assert!(health["detail"].as_str().unwrap().contains("make room"), "{health}");
    assert_eq!(daemon.get("/readyz").await["components"]["store"]["ok"], false);
    // attempts that were under way end; then there are no more, though LINE would take them
    promises.sandbox.set_faults(Faults::default()).unwrap();
    let requests_after = async |time: Duration| {
        let began = Monotonic::now();
        while began.elapsed() < time {
            daemon.get("/healthz").await;
        }
        promises.sandbox.stats().requests
    };
    let before = requests_after(Duration::from_millis(200)).await;
    assert_eq!(requests_after(Duration::from_millis(1_200)).await, before, "it went on sending");
    promises.only_acknowledged_has_arrived();
    let waiting = promises.acknowledged.len() as u64 - promises.sandbox.stats().receipts;
    assert!(waiting > 0, "nothing was waiting that could have been sent");
    daemon.kill();
    make_room(&mut daemon);
    daemon.start().await;
    assert_eq!(promises.lost(&daemon, &promises.acknowledged).await, 0);
    promises.arrive_once(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_everything_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Memory::new(folder.path().join("data"), "3m") {
        Ok(disk) => disk,
        Err(why) => return eprintln!("a full disk not tried, for want of root or tmpfs: {why}"),
    };
    let promises = Promises::new().await;
    let daemon = Daemon::new(folder.path(), &[SCENARIO], &promises.line);
    meets_a_full_disk(daemon, promises, |_| disk.remount("size=256m")).await;
}

/// The same without root: no file may grow beyond a limit. The signal for it is not for the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_must_not_grow_stops_everything_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let promises = Promises::new().await;
    let mut daemon = Daemon::new(folder.path(), &[SCENARIO], &promises.line);
    daemon.shell("trap '' XFSZ; ulimit -f 6144;");
    meets_a_full_disk(daemon, promises, |daemon| daemon.shell("")).await;
}

/// Starts a daemon that cannot write to its folder.
async fn is_refused(daemon: &mut Daemon, why: &str) {
    let (status, errors) = daemon.try_start().await.unwrap_err();
    assert_eq!(status.code(), Some(78), "{errors}");
    let data = daemon.folder.join("data").display().to_string();
    assert!(errors.contains(&data) && errors.contains(why), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_mounted_read_only_is_named_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Memory::new(folder.path().join("data"), "64m") {
        Ok(disk) => disk,
        Err(why) => return eprintln!("a read-only disk not tried, for want of root or tmpfs: {why}"),
    };
    let mut promises = Promises::new().await;
    let mut daemon = Daemon::new(folder.path(), &[SCENARIO], &promises.line);
    daemon.start().await;
    let member = promises.member(&daemon).await.unwrap();
    promises.events(&daemon, &[(member, 0)]).await.unwrap();
    daemon.kill();
    disk.remount("ro");
    is_refused(&mut daemon, "must be writable").await;
    disk.remount("rw");
    daemon.start().await;
    assert_eq!(promises.lost(&daemon, &promises.acknowledged).await, 0);
    promises.arrive_once(&daemon).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_somebody_else_is_named_and_not_tried_again() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path(), &[SCENARIO], "http://127.0.0.1:9");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&data, 0o555);
    if std::fs::write(data.join("probe"), "").is_ok() {
        // root may write anywhere, so the daemon is made somebody else
        std::fs::remove_file(data.join("probe")).unwrap();
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let program = env!("CARGO_BIN_EXE_amadare");
        let can = Command::new("sh").args(["-c", &format!("{nobody} {program} --version")]).output().unwrap();
        if !can.status.success() {
            let why = String::from_utf8_lossy(&can.stderr);
            return eprintln!(
                "a folder of somebody else not tried, for want of setpriv or a way to the program: {why}"
            );
        }
        daemon.shell(&format!(r#"exec {nobody} "$@";"#));
    }
    is_refused(&mut daemon, "must belong to the user").await;
}

/// One damage to a file of the data folder.
#[derive(Debug)]
enum Damage {
    Flip { file: PathBuf, bit: u64 },
    Cut { file: PathBuf, length: u64 },
}

impl Damage {
    fn draw(files: &[PathBuf], data: &Path, draw: &mut Draw) -> Damage {
        let file = files[draw.below(files.len() as u64) as usize].clone();
        let length = std::fs::metadata(data.join(&file)).unwrap().len();
        match draw.below(3) {
            0 => Damage::Cut { file, length: draw.below(length) },
            _ => Damage::Flip { file, bit: draw.below(length * 8) },
        }
    }

    fn apply(&self, data: &Path) {
        let (Damage::Flip { file, .. } | Damage::Cut { file, .. }) = self;
        let mut bytes = std::fs::read(data.join(file)).unwrap();
        match self {
            Damage::Flip { bit, .. } => bytes[(bit / 8) as usize] ^= 1 << (bit % 8),
            Damage::Cut { length, .. } => bytes.truncate(*length as usize),
        }
        std::fs::write(data.join(file), bytes).unwrap();
    }
}

/// The files below a folder, by their paths in it.
fn files_of(folder: &Path, below: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_of(folder, &path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files_of(from, Path::new("")) {
        std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn damages() -> usize {
    std::env::var("DAMAGES").ok().and_then(|damages| damages.parse().ok()).unwrap_or(24)
}

/// One bit or a tail is gone from a file: the daemon runs and knows all, or says so and stops, and what
/// people have received they do not receive again.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_folder_is_whole_or_refused_and_nothing_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::new().await;
    let mut daemon = Daemon::new(folder.path(), &[SCENARIO], &promises.line);
    daemon.start().await;
    for _ in 0..12 {
        let member = promises.member(&daemon).await.unwrap();
        for number in 0..EVENTS_OF_A_MEMBER {
            promises.events(&daemon, &[(member.clone(), number)]).await.unwrap();
        }
    }
    promises.arrive_once(&daemon).await;
    daemon.kill();
    let data = folder.path().join("data");
    let killed = folder.path().join("killed");
    copy(&data, &killed);
    // opened again, sled has a summary of its log, and reads the log only from there on
    daemon.start().await;
    daemon.kill();
    let opened = folder.path().join("opened");
    copy(&data, &opened);
    let log = folder.path().join("log");
    daemon.log_to(&log);
    let mut draw = Draw(5);
    let (mut whole, mut refused, mut failed) = (0, 0, 0);
    let mut silent = Vec::new();
    for round in 0..damages() {
        std::fs::remove_dir_all(&data).unwrap();
        copy(if round % 3 == 0 { &opened } else { &killed }, &data);
        let mut files = files_of(&data, Path::new("sled"));
        files.push("sequence".into());
        // most of it is the log
        files.extend([PathBuf::from("sled/db"), "sled/db".into(), "sled/db".into()]);
        let damage = Damage::draw(&files, &data, &mut draw);
        damage.apply(&data);
        match daemon.try_start().await {
            Err((status, errors)) => {
                assert_eq!(status.code(), Some(78), "{damage:?}: {errors}");
                assert!(!errors.contains("panicked"), "{damage:?}: {errors}");
                assert!(errors.contains("Nothing was sent"), "{damage:?}: {errors}");
                refused += 1;
            }
            Ok(()) => {
                match promises.try_lost(&daemon, &promises.acknowledged).await {
                    Ok(0) => whole += 1,
                    Ok(lost) => silent.push(format!("{lost} events, round {round}: {damage:?}")),
                    Err(_) => {
                        // found when it was read: then all stops, and health says so
                        until("the failure", async || {
                            (daemon.get("/healthz").await["status"] == 503).then_some(())
                        })
                        .await;
                        failed += 1;
                    }
                }
                daemon.kill();
                let said = std::fs::read_to_string(&log).unwrap();
                assert!(!said.contains("panicked"), "{damage:?}: {said}");
            }
        }
        assert_eq!(promises.twice(), 0, "{damage:?}: something was sent again");
    }
    println!("{whole} whole, {refused} refused, {failed} stopped when it was read, silent {silent:#?}");
    assert!(silent.is_empty(), "acknowledged events were lost without a word");
    assert!(whole > 0 && refused > 0);
}
