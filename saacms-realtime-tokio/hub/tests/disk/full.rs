//! A disk that is full, and has room again.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::hub::{Hub, expect_changes};

#[test]
fn a_full_disk_refuses_publishes_and_nothing_else_until_it_has_room() {
    if env::var_os("SAACMS_TEST_NO_MOUNT").is_some_and(|value| value == "1") {
        return;
    }
    let disk = Disk::mount("8m");
    let mut hub = Hub::start_in(&disk.path().join("data"), &["--heartbeat", "100ms"]);
    hub.publish("1", "a");
    let mut stream = hub.subscribe("1", "a");
    stream.expect(":keepalive\n\n");

    let ballast = disk.fill();
    let (mut names, mut status) = (Vec::new(), 204);
    // What the file has left in itself is still taken.
    while status == 204 && names.len() < 90 {
        let name = format!("v{}", names.len());
        let record = format!("\"{name}\"");
        status = hub.try_publish("1", Some(&name), &record);
        if status == 204 {
            names.push(name);
        }
    }
    assert_eq!(status, 507, "{}", hub.server.log());

    let body = hub.wait_until_ready_is(503);
    assert_eq!(body["engine"]["state"], "full", "{body}");
    assert_eq!(hub.health("/readyz?engine=any").0, 200);
    assert_eq!(hub.health("/healthz").0, 200);
    let log = hub.wait_for_log("bytes_free");
    assert!(log.contains("ERROR"), "{log}");

    // Readers are served from what there is, and heartbeats go on.
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    expect_changes(&mut stream, &all);
    stream.expect(":keepalive\n\n");
    let mut late = hub.subscribe("1", "a");
    expect_changes(&mut late, &all);

    // A hub that starts on a full disk replays what there is, too.
    hub.kill();
    hub.start_again();
    let mut stream = hub.subscribe("1", "a");
    expect_changes(&mut stream, &all);
    assert_eq!(hub.try_publish("1", Some("y"), &long_record()), 507);

    fs::remove_file(ballast).expect("a file");
    hub.wait_until_ready_is(200);
    hub.publish("1", "z");
    expect_changes(&mut stream, &["z"]);

    // What was answered with 204 is there after a crash, too.
    hub.kill();
    hub.start_again();
    let mut stream = hub.subscribe("1", "a");
    expect_changes(&mut stream, &all);
    expect_changes(&mut stream, &["z"]);
}

/// A record that takes more room than a file has left in itself.
fn long_record() -> String {
    format!("\"{}\"", "x".repeat(100_000))
}

/// A small file system in memory. Mounting it needs root.
struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "this test mounts a file system and needs root; SAACMS_TEST_NO_MOUNT=1 leaves it out"
        );
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte. Returns the file that has them.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("a file");
        let mut piece = 64 << 10;
        while piece > 0 {
            if file.write_all(&vec![b'x'; piece]).is_err() {
                piece /= 2;
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Even if a process still has a file of it open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
