//! Power cuts under the real process: its data folder is a file system of its own, which ends without
//! writing its log, and comes back with what had been made durable and nothing else.
//!
//! Needs root, Linux, `mkfs.ext4` and loop devices; elsewhere it says so and passes. What a store makes of
//! files that are cut back to what was synced is in `store::conformance`, and needs nothing.
//!
//! `CUTS=40 cargo test --test it power -- --nocapture` is the long form.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use amadare::clock::Monotonic;

use crate::killing::Draw;
use crate::process::Daemon;
use crate::promises::{EVENTS_OF_A_MEMBER, Promises, SCENARIO};

/// Cuts in the form that runs with all tests.
const CUTS: usize = 6;

/// Members that each life between two cuts begins with.
const MEMBERS: usize = 4;

/// A file system in a file, mounted; unmounted when it goes out of scope, however the test ends.
struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let done =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}

impl Disk {
    /// # Errors
    /// Why this machine or this user cannot; nothing is left behind.
    fn new(image: PathBuf, mounted_at: PathBuf) -> Result<Disk, String> {
        std::fs::create_dir_all(&mounted_at).unwrap();
        File::create(&image).and_then(|file| file.set_len(256 << 20)).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &image])?;
        let disk = Disk { image, mounted_at };
        disk.mount()?;
        // asked once for nothing: a kernel that refuses cannot run this test
        disk.cut().map_err(|error| format!("EXT4_IOC_SHUTDOWN: {error}"))?;
        disk.unmount()?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        // a loop device that is set up so is detached when it is unmounted
        run("mount", &["-o".as_ref(), "loop".as_ref(), &self.image, &self.mounted_at])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[&self.mounted_at])
    }

    /// What the power's coming back does: the log is played back.
    fn remount(&self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    /// Ends the file system without writing its log: what was not synced is gone, as when the power fails.
    /// (source: Linux, `fs/ext4/ext4.h`, `EXT4_IOC_SHUTDOWN` and `EXT4_GOING_FLAGS_NOLOGFLUSH`)
    #[expect(unsafe_code, reason = "no safe call ends a file system")]
    fn cut(&self) -> std::io::Result<()> {
        const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587d;
        let no_log_flush: u32 = 2;
        let root = File::open(&self.mounted_at)?;
        // SAFETY: the descriptor is open and the argument is a u32 that outlives the call, as the call wants.
        match unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN as _, &raw const no_log_flush) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            // still in use, or not mounted: it goes when its last user does
            drop(run("umount", &["-l".as_ref(), &self.mounted_at]));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the long form of a test is chosen by whoever runs it")]
fn cuts() -> usize {
    std::env::var("CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS)
}

/// Events one at a time and many at once, until the file system has ended.
async fn take_in(promises: &mut Promises, daemon: &Daemon, draw: &mut Draw) -> reqwest::Result<()> {
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push((promises.member(daemon).await?, 0..EVENTS_OF_A_MEMBER));
    }
    loop {
        let many = [1, 1, 1, 5, 40][draw.below(5) as usize];
        let some: Vec<_> = (members.iter_mut())
            .flat_map(|(id, numbers)| {
                numbers.take(many).map(|number| (id.clone(), number)).collect::<Vec<_>>()
            })
            .take(many)
            .collect();
        if some.is_empty() {
            members.push((promises.member(daemon).await?, 0..EVENTS_OF_A_MEMBER));
            members.retain(|(_, numbers)| !numbers.is_empty());
            continue;
        }
        promises.events(daemon, &some).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_lose_nothing_that_was_acknowledged() {
    let cuts = cuts();
    let folder = tempfile::tempdir().unwrap();
    let disk = match Disk::new(folder.path().join("image"), folder.path().join("data")) {
        Ok(disk) => disk,
        Err(why) => {
            return eprintln!("power cuts not tried, for want of root or ext4 on a loop device: {why}");
        }
    };
    let mut promises = Promises::new().await;
    let mut daemon = Daemon::new(folder.path(), &[SCENARIO], &promises.line);
    let mut draw = Draw(23);
    let mut lost = 0;
    for _ in 0..cuts {
        daemon.start().await;
        let before = promises.acknowledged.clone();
        let cut_at = Duration::from_millis(40 + draw.below(1_200));
        let began = Monotonic::now();
        let cut = async {
            tokio::time::sleep(cut_at.saturating_sub(began.elapsed())).await;
            disk.cut().unwrap();
        };
        let taking = take_in(&mut promises, &daemon, &mut draw);
        // an answer that was under way at the cut is heard: it speaks of what was synced before
        let (ended, ()) = tokio::join!(taking, cut);
        ended.expect_err("only a failure ends it");
        daemon.kill();
        disk.remount();
        if draw.below(2) == 0 {
            // again, while it reads what the first has left
            let mut starting = daemon.command().spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(draw.below(100))).await;
            disk.cut().unwrap();
            starting.kill().unwrap();
            starting.wait().unwrap();
            disk.remount();
        }
        daemon.start().await;
        lost += promises.lost(&daemon, promises.acknowledged.difference(&before)).await;
        daemon.kill();
    }
    daemon.start().await;
    lost += promises.lost(&daemon, &promises.acknowledged).await;
    let acknowledged = promises.acknowledged.len();
    let twice = promises.twice();
    println!("{cuts} cuts, {acknowledged} events acknowledged, {lost} lost, {twice} received twice");
    assert_eq!(lost, 0, "acknowledged events were lost");
    assert!(acknowledged > cuts * 10, "so few that cuts could not have hit anything");
    promises.arrive_once(&daemon).await;
}
