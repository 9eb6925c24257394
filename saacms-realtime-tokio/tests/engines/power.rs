use std::fs;
use std::thread;
use std::time::Duration;

use saacms_realtime_tokio::engine::disk::{File, Folder, Store};

use crate::chance::Chance;
use crate::mounted::{self, Mounted, run};
use crate::victim::{self, KEEP};
use crate::world::{Acknowledged, TempDir, at, keep, missing};

/// What is left after a power cut.
#[derive(Debug)]
struct Left {
    acknowledged: usize,
    lost: usize,
    /// Whether the file was found damaged, so that another life has begun.
    is_damaged: bool,
}

/// Cuts the power of a victim, nearly: the file behind its file system is copied while the victim is
/// stopped, so that the copy has only what the file system has written to its disk.
fn cut_power(name: &str, is_synced: bool, wait: Duration) -> Left {
    let dir = TempDir::new(name);
    let path = |name| dir.path().join(name);
    let (acks, at_cut) = (path("acks"), path("acks.cut"));

    let mounted = Mounted::create(&path("a.img"), 200, &path("a"));
    let mut victim = victim::start(&path("a/data"), &acks, is_synced);
    victim::wait_for_acks(&acks, &mut victim);
    thread::sleep(wait);
    run("kill", &["-STOP", &victim.id().to_string()]);
    thread::sleep(Duration::from_millis(50));
    run(
        "cp",
        &[
            "--sparse=always",
            path("a.img").to_str().expect("text"),
            path("b.img").to_str().expect("text"),
        ],
    );
    fs::copy(&acks, &at_cut).expect("can be copied");
    victim.kill().expect("it is stopped");
    victim.wait().expect("a child");
    drop(mounted);

    let _mounted = Mounted::mount(&path("b.img"), &path("b"));
    let mut acknowledged = Acknowledged::new();
    let count = victim::read_acks(&at_cut, &mut acknowledged);
    let folder = Folder::open(&path("b/data")).expect("nobody else has it");
    let mut file = File::open(&folder, keep(KEEP), at(0)).expect("can be opened");
    let is_damaged = file.damage().is_some();
    let mut store = Store::new(&mut file).expect("has its tables");
    Left {
        acknowledged: count,
        lost: missing(&mut store, &acknowledged, KEEP)
            .expect("is whole")
            .len(),
        is_damaged,
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    if mounted::is_left_out() {
        return;
    }
    let mut chance = Chance::new(2);
    for _ in 0..4 {
        let wait = Duration::from_millis(200 + chance.below(600));
        let left = cut_power("power", true, wait);
        println!("power cut: {left:?}");
        assert!(left.acknowledged > 0);
        assert_eq!((left.lost, left.is_damaged), (0, false), "{left:?}");
    }
}

#[test]
fn a_store_that_does_not_wait_for_the_disk_loses_what_it_acknowledged() {
    // Otherwise the test above could not fail.
    if mounted::is_left_out() {
        return;
    }
    let left = cut_power("power-unsynced", false, Duration::from_millis(500));
    println!("power cut without waiting for the disk: {left:?}");
    assert!(left.lost > 0, "{left:?}");
}
