//! A lane under random operations: each stream gets each of its events once, in order.

use core::time::Duration;
use std::sync::Arc;

use saacms_realtime_core::{Hub, Lane, Now, Outgoing, Piece};

use crate::support::{Chance, Clock, CountingWaker, hub, key, publish, quiet_config};

#[test]
fn every_stream_gets_every_event_once_and_in_order_under_random_operations() {
    for seed in 0..2_000 {
        let mut chance = Chance::new(seed);
        let mut world = World::new();
        for _ in 0..chance.below(80) {
            world.step(&mut chance, seed);
        }
        world.come_to_rest(chance.percent(50), seed);
    }
}

/// A lane, driven as a thread drives it, with other operations at random between its turns.
struct World {
    hub: Hub,
    now: Now,
    lane: Lane<Socket>,
    waker_calls: Arc<CountingWaker>,
    /// Calls of the waker up to the last turn.
    calls_collected: usize,
    streams: Vec<usize>,
    /// Events published per record.
    published: [usize; 3],
}

/// What a stream was sent, and what it should have been sent.
struct Socket {
    record: usize,
    /// The first event that it should get.
    from: usize,
    text: String,
    is_blocked: bool,
    is_over: bool,
}

impl World {
    fn new() -> Self {
        let (waker_calls, waker) = CountingWaker::new();
        let lane = Lane::new(Duration::ZERO, waker);
        let (hub, now) = (hub(quiet_config()), Clock::new().now());
        Self {
            hub,
            now,
            lane,
            waker_calls,
            calls_collected: 0,
            streams: Vec::new(),
            published: [0; 3],
        }
    }

    fn step(&mut self, chance: &mut Chance, seed: u64) {
        let record = chance.below(3) as usize;
        let index = chance.below(self.streams.len().max(1) as u64) as usize;
        let stream = self.streams.get(index).copied();
        match (chance.below(8), stream) {
            (0 | 1, _) => {
                self.published[record] += 1;
                let number = self.published[record];
                publish(
                    &self.hub,
                    &key(&record.to_string()),
                    number..=number,
                    self.now,
                );
            }
            (2, _) => {
                let key = key(&record.to_string());
                let subscription = self.hub.subscribe(&key, None, self.now).expect("room");
                let from = self.published[record] + 1;
                let socket = Socket {
                    record,
                    from,
                    text: String::new(),
                    is_blocked: false,
                    is_over: false,
                };
                self.streams.push(self.lane.insert(subscription, socket));
            }
            (3, Some(stream)) if chance.percent(30) => {
                self.streams.swap_remove(index);
                assert!(self.lane.remove(stream).is_some(), "seed {seed}");
            }
            (4, Some(stream)) => self.set_blocked(stream, true),
            (5, Some(stream)) => self.set_blocked(stream, false),
            _ => self.turn(1 + chance.below(3) as usize, seed),
        }
    }

    fn set_blocked(&mut self, stream: usize, is_blocked: bool) {
        self.lane.get_mut(stream).expect("it is there").is_blocked = is_blocked;
        if is_blocked {
            self.lane.block(stream)
        } else {
            self.lane.unblock(stream)
        }
    }

    fn turn(&mut self, most: usize, seed: u64) {
        let is_called =
            self.waker_calls.count() != self.calls_collected || self.lane.wake_at().is_some();
        self.calls_collected = self.waker_calls.count();
        let turns = self.lane.collect(self.now);
        assert!(
            is_called || turns == 0,
            "seed {seed}: a turn is due, but the waker was not called"
        );

        let mut outgoing = Vec::new();
        self.lane.turn(most, self.now, &mut outgoing);
        assert!(outgoing.len() <= most, "seed {seed}");

        for (index, Outgoing { stream, piece }) in outgoing.iter().enumerate() {
            assert!(
                outgoing[..index]
                    .iter()
                    .all(|other| other.stream != *stream),
                "seed {seed}"
            );
            let socket = self.lane.get_mut(*stream).expect("it is there");
            assert!(!socket.is_blocked && !socket.is_over, "seed {seed}");
            match piece {
                Piece::Frames(frames) => {
                    socket.text.push_str(str::from_utf8(frames).expect("text"))
                }
                Piece::End => socket.is_over = true,
            }
        }
    }

    /// Unblocks all streams, runs all turns, and checks that each stream got every event published
    /// since it subscribed.
    fn come_to_rest(mut self, is_draining: bool, seed: u64) {
        if is_draining {
            self.hub.drain();
        }

        for stream in self.streams.clone() {
            self.set_blocked(stream, false);
        }

        while self.waker_calls.count() != self.calls_collected || self.lane.wake_at().is_some() {
            self.turn(2, seed);
        }

        for stream in self.streams {
            let socket = self.lane.remove(stream).expect("it is there");
            let data = socket
                .text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "));
            let given: Vec<usize> = data
                .map(|number| number.parse().expect("a number"))
                .collect();
            let expected: Vec<_> = (socket.from..=self.published[socket.record]).collect();
            assert_eq!(
                (given, socket.is_over),
                (expected, is_draining),
                "seed {seed}"
            );
        }

        assert_eq!(
            (self.lane.len(), self.hub.stats().subscribers),
            (0, 0),
            "seed {seed}"
        );
    }
}
