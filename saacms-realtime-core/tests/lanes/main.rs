//! Lanes: streams that share a thread and a waker get the frames each would get alone, and take
//! turns.
#![cfg(feature = "std")]

#[path = "../support/mod.rs"]
mod support;

mod random;
mod threads;

use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use saacms_realtime_core::stall::{CutSignal, Reader};
use saacms_realtime_core::{Hub, HubConfig, Instant, Lane, Now, Outgoing, Output, Piece};
use support::{Clock, CountingWaker, hub, key, padded, publish, quiet_config, sweep};

const HEARTBEAT: Duration = Duration::from_secs(30);

#[test]
fn streams_get_the_same_frames_as_alone_and_share_their_bytes() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    publish(&hub, &key("1"), 1..4, now);
    let mut alone = hub.subscribe(&key("1"), Some(b"v1"), now).expect("room");
    let (mut lane, streams) = lane_of(&hub, 3, Some(b"v1"), now);

    publish(&hub, &key("1"), 4..6, now);
    let Output::Frames(expected) = alone.poll(&Context::from_waker(Waker::noop()), now) else {
        panic!("frames")
    };
    let first = frames(rest(&mut lane, now));
    assert_eq!(
        first,
        streams
            .iter()
            .map(|it| (*it, expected.clone()))
            .collect::<Vec<_>>()
    );

    publish(&hub, &key("1"), 6..9, now);
    let mut second = frames(rest(&mut lane, now));
    second.sort_unstable_by_key(|(stream, _)| *stream);
    assert_eq!(
        second.iter().map(|(stream, _)| *stream).collect::<Vec<_>>(),
        streams
    );
    assert!(
        second
            .iter()
            .all(|(_, frames)| frames.as_ptr() == second[0].1.as_ptr()),
        "one piece"
    );
}

#[test]
fn publishes_call_the_waker_once_until_the_lane_collects_them() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (count, waker) = CountingWaker::new();
    let mut lane = Lane::new(Duration::ZERO, waker);
    for id in ["1", "1", "2"] {
        lane.insert(hub.subscribe(&key(id), None, now).expect("room"), ());
    }

    rest(&mut lane, now);
    assert_eq!(count.count(), 0);

    publish(&hub, &key("1"), 1..4, now);
    publish(&hub, &key("2"), 1..4, now);
    assert_eq!(count.count(), 1);
    assert_eq!(frames(rest(&mut lane, now)).len(), 3);

    publish(&hub, &key("2"), 4..5, now);
    assert_eq!(count.count(), 2);
    assert_eq!(frames(rest(&mut lane, now)).len(), 1);
    assert_eq!(
        (lane.collect(now), lane.wake_at()),
        (0, None),
        "nothing is due by itself"
    );
}

#[test]
fn a_blocked_stream_is_skipped_and_gets_the_rest_once_unblocked() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (mut lane, streams) = lane_of(&hub, 2, None, now);
    rest(&mut lane, now);
    lane.block(streams[0]);
    publish(&hub, &key("1"), 1..3, now);

    let given = frames(rest(&mut lane, now));
    assert_eq!(
        given.iter().map(|(stream, _)| *stream).collect::<Vec<_>>(),
        [streams[1]]
    );

    lane.unblock(streams[0]);
    lane.unblock(streams[0]);
    assert_eq!(lane.collect(now), 1);
    assert_eq!(lane.wake_at(), Some(Instant::ZERO));
    assert_eq!(
        frames(rest(&mut lane, now)),
        [(streams[0], given[0].1.clone())]
    );

    // Unblocking a stream that is not blocked makes no turn.
    lane.unblock(streams[1]);
    assert_eq!(lane.collect(now), 0);
}

#[test]
fn a_turn_has_a_limit_of_streams_and_other_records_come_between() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (mut lane, streams) = lane_of(&hub, 5, None, now);
    let other = lane.insert(hub.subscribe(&key("2"), None, now).expect("room"), ());
    assert_eq!(lane.collect(now), 1, "those that came are one turn");

    rest(&mut lane, now);
    publish(&hub, &key("1"), 1..2, now);
    publish(&hub, &key("2"), 1..2, now);
    let mut turns = Vec::new();
    assert_eq!(lane.collect(now), 2);

    for _ in 0..4 {
        let mut outgoing = Vec::new();
        lane.turn(2, now, &mut outgoing);
        turns.push(
            outgoing
                .into_iter()
                .map(|given| given.stream)
                .collect::<Vec<_>>(),
        );
    }

    let [a, b, c, d, e] = streams[..] else {
        panic!("five")
    };

    // The streams of a record are polled from the end of its list, two in each turn.
    assert_eq!(turns, [vec![d, e], vec![other], vec![b, c], vec![]]);
    assert_eq!(
        frames(rest(&mut lane, now))
            .iter()
            .map(|it| it.0)
            .collect::<Vec<_>>(),
        [a]
    );
}

#[test]
fn new_streams_have_turns_with_the_same_limit() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (mut lane, streams) = lane_of(&hub, 5, None, now);
    let mut seen = Vec::new();
    for expected in [2, 2, 1] {
        let mut outgoing = Vec::new();
        lane.turn(2, now, &mut outgoing);
        assert_eq!(outgoing.len(), expected);
        seen.extend(outgoing.into_iter().map(|given| given.stream));
    }

    assert_eq!(seen, streams);
    assert!(
        rest(&mut lane, now).is_empty(),
        "they are asked again, and have all"
    );
}

#[test]
fn readers_that_reconnect_together_and_share_nothing_cut_nobody() {
    const EVENTS: usize = 100;
    /// 4 MiB, and the pieces of those that are polled together.
    const TURN: usize = (4 << 20) + 16 * (64 << 10);

    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    for number in 0..=EVENTS {
        let id = format!("v{number:03}");
        hub.publish(padded(&key("1"), 900, Some(&id)), now)
            .expect("published");
    }

    // Each of them has read on to another event than the one before it.
    let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
    for reader in 0..10_000 {
        let id = format!("v{:03}", reader % EVENTS);
        let subscription = hub.subscribe(&key("1"), Some(id.as_bytes()), now);
        lane.insert(subscription.expect("room"), reader);
    }

    // Another one waits for room in its socket.
    let honest = Arc::new(CutSignal::default());
    let _waiting = hub.stalls().begin(Reader::OfStream, honest, now.instant);
    let mut got = vec![0; lane.len()];
    while lane.collect(now) > 0 {
        let mut outgoing = Vec::new();
        lane.turn(1_024, now, &mut outgoing);
        let unread = hub.stats().unread_bytes;
        assert!(unread <= TURN, "{unread} bytes");
        sweep(&hub, now);

        for (stream, frames) in frames(outgoing) {
            got[stream] += frames.len();
        }
    }

    assert_eq!(hub.stats().cut_readers, 0);
    // Each got all that it had missed: one event less than the reader before it.
    let event = got[0] - got[1];
    let greeting = got[0] - EVENTS * event;
    let due = |stream: usize| greeting + (EVENTS - stream % EVENTS) * event;
    assert!((0..lane.len()).all(|stream| got[stream] == due(stream)));
}

#[test]
fn no_stream_is_skipped_when_another_leaves_in_the_middle_of_a_pass() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    for leaving in 0..6 {
        let (mut lane, streams) = lane_of(&hub, 6, None, now);
        rest(&mut lane, now);
        publish(&hub, &key("1"), 1..2, now);
        lane.collect(now);

        let mut outgoing = Vec::new();
        lane.turn(3, now, &mut outgoing);
        lane.remove(streams[leaving]);
        outgoing.extend(rest(&mut lane, now));

        let mut given: Vec<_> = outgoing.into_iter().map(|given| given.stream).collect();
        given.sort_unstable();
        given.dedup();
        let remain = streams.iter().filter(|stream| **stream != streams[leaving]);
        assert!(
            remain.clone().all(|stream| given.contains(stream)),
            "{leaving}: {given:?}"
        );
    }
}

#[test]
fn a_reused_number_is_not_served_for_its_former_stream() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (mut lane, streams) = lane_of(&hub, 1, None, now);
    // It has had no turn yet, so it is still queued as a new stream.
    assert_eq!(lane.remove(streams[0]), Some(()));
    assert_eq!(
        (lane.remove(streams[0]), lane.get_mut(streams[0])),
        (None, None)
    );
    let again = lane.insert(hub.subscribe(&key("2"), None, now).expect("room"), ());
    assert_eq!(again, streams[0]);
    publish(&hub, &key("2"), 1..2, now);
    assert_eq!(frames(rest(&mut lane, now)).len(), 1);
}

#[test]
fn heartbeats_go_out_together_a_128th_of_their_interval_late_at_most() {
    let (hub, mut clock) = (
        hub(HubConfig {
            heartbeat: HEARTBEAT,
            ..quiet_config()
        }),
        Clock::new(),
    );
    let mut lane = Lane::new(HEARTBEAT, Waker::noop().clone());

    for _ in 0..3 {
        lane.insert(
            hub.subscribe(&key("1"), None, clock.now()).expect("room"),
            (),
        );
        rest(&mut lane, clock.now());
        clock.advance(10);
    }

    let due = lane.wake_at().expect("a heartbeat");
    // The clock starts at 1,000 ms, so the first heartbeat is due 30 s after that.
    let late = due.as_millis() - (1_000 + 30_000);
    assert!(late <= 30_000 / 128, "{late} ms");

    let before = clock.now().instant;
    let now = clock.advance(due.millis_since(before) - 1);
    assert_eq!(lane.collect(now), 0);

    let now = clock.advance(1);
    assert_eq!(lane.collect(now), 1);
    assert_eq!(frames(rest(&mut lane, now)).len(), 3);
    assert!(
        lane.wake_at()
            .is_some_and(|next| next.millis_since(due) >= 30_000)
    );
    assert_eq!((lane.len(), lane.is_empty()), (3, false));

    // The last stream takes the record's deadline with it.
    assert!((0..3).all(|stream| lane.remove(stream).is_some()));
    assert_eq!(
        (lane.wake_at(), lane.collect(now), lane.len()),
        (None, 0, 0)
    );
}

#[test]
fn a_drain_ends_every_stream_once() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (mut lane, streams) = lane_of(&hub, 2, None, now);
    rest(&mut lane, now);
    hub.drain();

    let given = rest(&mut lane, now);
    for stream in streams {
        let of_it: Vec<_> = given
            .iter()
            .filter(|it| it.stream == stream)
            .map(|it| &it.piece)
            .collect();
        assert!(
            matches!(of_it[..], [Piece::Frames(retry), Piece::End] if retry.starts_with(b"retry: ")),
            "{of_it:?}"
        );
        lane.unblock(stream);
    }
    assert_eq!(lane.collect(now), 0, "nothing follows an end");
}

#[test]
fn a_recreated_topic_has_its_own_waker() {
    let (hub, mut clock) = (hub(quiet_config()), Clock::new());
    let (mut lane, streams) = lane_of(&hub, 1, None, clock.now());
    rest(&mut lane, clock.now());

    // The record never had an event, so it is forgotten with its last reader.
    lane.remove(streams[0]);
    assert_eq!((hub.stats().topics, lane.is_empty()), (0, true));

    let now = clock.advance(1);
    let stream = lane.insert(hub.subscribe(&key("1"), None, now).expect("room"), ());
    rest(&mut lane, now);
    publish(&hub, &key("1"), 1..2, now);
    assert!(
        frames(rest(&mut lane, now))
            .iter()
            .any(|(given, _)| *given == stream)
    );
}

#[test]
fn the_same_record_in_two_hubs_is_two_records() {
    let (one, other) = (hub(quiet_config()), hub(quiet_config()));
    let now = Clock::new().now();
    let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
    let first = lane.insert(one.subscribe(&key("1"), None, now).expect("room"), ());
    let second = lane.insert(other.subscribe(&key("1"), None, now).expect("room"), ());

    rest(&mut lane, now);
    for (hub, stream) in [(&one, first), (&other, second)] {
        publish(hub, &key("1"), 1..2, now);
        assert!(matches!(&frames(rest(&mut lane, now))[..], [(given, _)] if *given == stream));
    }

    lane.remove(first);
    publish(&other, &key("1"), 2..3, now);
    assert_eq!(frames(rest(&mut lane, now)).len(), 1);
}

fn lane_of(
    hub: &Hub,
    count: usize,
    last_event_id: Option<&[u8]>,
    now: Now,
) -> (Lane<()>, Vec<usize>) {
    let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
    let subscribe = || hub.subscribe(&key("1"), last_event_id, now).expect("room");
    let streams = (0..count).map(|_| lane.insert(subscribe(), ())).collect();
    (lane, streams)
}

/// Runs turns until no stream has anything to get.
fn rest(lane: &mut Lane<()>, now: Now) -> Vec<Outgoing> {
    let mut outgoing = Vec::new();
    while lane.collect(now) > 0 {
        lane.turn(1_024, now, &mut outgoing);
    }
    outgoing
}

fn frames(outgoing: Vec<Outgoing>) -> Vec<(usize, Bytes)> {
    let frames = |Outgoing { stream, piece }| match piece {
        Piece::Frames(frames) => (stream, frames),
        Piece::End => panic!("no end"),
    };
    outgoing.into_iter().map(frames).collect()
}
