//! Real faults against the program, judged from the outside: processes are killed and stopped,
//! connections are cut, file tables are full. No client may have a gap without a resync.
//!
//! `cargo test -p saacms-realtime --test faults -- --nocapture --test-threads=1` prints what
//! happened. `FAULTS_SEED` repeats the random choices of a run, `FAULTS_TIMES` makes it that many times longer.

#[path = "../../../../saacms-realtime-core/tests/support/chance.rs"]
mod chance;
mod history;
mod place;
mod proxy;
#[path = "../real_server/mod.rs"]
mod real_server;
mod reconnects;
mod seed;
mod tab;
mod wire;
mod world;

use core::time::Duration;
use std::fs;
use std::thread;

use proxy::Proxy;
use world::{Counts, World};

#[test]
fn a_server_that_is_killed_under_load_and_started_again_leaves_no_gap() {
    for event_ids in ["etag", "position"] {
        let mut world = World::start(&["--event-ids", event_ids]);
        for _ in 0..3 {
            world.go_on(Duration::from_millis(700));
            world.kill();
            thread::sleep(Duration::from_millis(50));
            world.start_again();
        }
        let Counts {
            events, resyncs, ..
        } = world.end("killed and started again");
        assert!(
            events > 0 && resyncs > 0,
            "no client asked for what the server forgot"
        );
    }
}

#[test]
#[cfg(feature = "disk")]
fn a_server_with_a_folder_that_is_killed_twenty_times_under_load_loses_no_answered_event() {
    for event_ids in ["etag", "position"] {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().join("data");
        let data_dir = data_dir.to_str().expect("UTF-8");
        // Far more events than are published while a client is away.
        let flags = ["--data-dir", data_dir, "--event-ids", event_ids];
        let mut world = World::start(&[&flags[..], &["--max-events", "10000"]].concat());
        for _ in 0..20 {
            world.go_on(Duration::from_millis(250));
            world.kill();
            world.start_again();
        }
        world.go_on(Duration::from_millis(250));

        // Without a resync, each client has every event whose publish was answered, or has a gap.
        let counts = world.end("with a folder, killed 20 times");
        assert!(counts.events > 0 && counts.reconnects > 0, "{counts:?}");
        assert_eq!(counts.resyncs, 0, "a client was told to refetch");
    }
}

#[test]
fn a_server_that_shuts_down_gracefully_under_load_leaves_no_gap() {
    let mut world = World::start(&[]);
    for _ in 0..2 {
        world.go_on(Duration::from_millis(700));
        world.terminate();
        world.start_again();
    }
    world.end("ended gracefully and started again");
}

#[test]
fn a_server_that_is_stopped_for_a_while_continues_where_it_was() {
    let mut world = World::start(&[]);
    for _ in 0..2 {
        world.go_on(Duration::from_millis(300));
        world.signal("STOP");
        thread::sleep(Duration::from_millis(500));
        world.signal("CONT");
    }
    world.go_on(Duration::from_millis(300));
    let Counts { resyncs, .. } = world.end("stopped for a while");
    assert_eq!(resyncs, 0, "nothing was lost");
}

#[test]
fn connections_that_are_cut_at_any_byte_are_resumed() {
    for event_ids in ["etag", "position"] {
        // Far more than is published while a client is away.
        let flags = ["--event-ids", event_ids, "--max-events", "10000"];
        let mut world = World::through(Proxy::start, &flags);
        world.go_on(Duration::from_secs(2));
        let Counts {
            reconnects,
            resyncs,
            ..
        } = world.end("cut at any byte");
        assert!(reconnects > 100, "{reconnects} reconnects: nothing was cut");
        assert_eq!(
            resyncs, 0,
            "a client that was away for a moment gets a replay"
        );
    }
}

#[test]
fn a_short_history_is_answered_with_resyncs_and_not_with_gaps() {
    let flags = ["--max-events", "3", "--max-lag", "3"];
    let mut world = World::through(Proxy::start, &flags);
    world.go_on(Duration::from_secs(2));
    let Counts { resyncs, .. } = world.end("cut, with a history of three events");
    assert!(resyncs > 0, "no client missed more than three events");
}

#[test]
fn a_publisher_that_dies_halfway_publishes_nothing_and_affects_no_other() {
    let mut world = World::start(&[]);
    for _ in 0..200 {
        world.publish_half();
    }
    world.go_on(Duration::from_millis(500));
    let Counts {
        resyncs,
        reconnects,
        ..
    } = world.end("publishers that died half-way");
    assert_eq!((resyncs, reconnects), (0, 0), "a client was affected");
}

#[test]
fn a_full_file_table_keeps_new_clients_waiting_and_the_others_served() {
    // Files for about 90 connections beside the server's own, some of which are no streams.
    let mut world = World::after("ulimit -n 160", true);
    world.go_on(Duration::from_millis(300));
    let crowd = world.idle_connections(200);
    world.go_on(Duration::from_millis(500));
    drop(crowd);
    world.go_on(Duration::from_millis(300));
    let Counts { resyncs, .. } = world.end("a full file table");
    assert_eq!(resyncs, 0);
}

#[test]
fn a_wall_clock_that_is_set_back_and_forth_leaves_no_gap() {
    for has_etags in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("clock");
        let set = |offset: &str| fs::write(&file, offset).expect("a file");

        set("+0");
        // libfaketime replaces the wall clock of the server, which does not start without it.
        let mut world = World::after(
            &format!(
                "LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1)\n\
                 export LD_PRELOAD FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1\n\
                 export FAKETIME_DONT_FAKE_MONOTONIC=1",
                file.display()
            ),
            has_etags,
        );
        let today = world.date();

        for offset in ["-3600", "+7200", "-86400", "+86400"] {
            world.go_on(Duration::from_millis(200));
            set(offset);
            world.go_on(Duration::from_millis(200));
        }

        assert_ne!(
            world.date(),
            today,
            "the server did not see its clock set on by a day"
        );

        let Counts {
            resyncs,
            reconnects,
            ..
        } = world.end("a wall clock set back and forth");
        assert_eq!((resyncs, reconnects), (0, 0));
    }
}

#[test]
fn a_client_that_is_cut_off_before_its_first_event_misses_nothing() {
    for event_ids in ["etag", "position"] {
        place::run(event_ids);
    }
}

#[test]
fn ten_thousand_reconnects_at_once_are_all_replayed() {
    reconnects::run(10_000);
}
