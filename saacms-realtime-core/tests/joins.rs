//! Hubs under real threads: a client that joins during a burst gets a contiguous run, once and in
//! order (Q45), and after any mix of operations nothing is left.
#![cfg(feature = "std")]

mod support;

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Arc, Barrier};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

use saacms_realtime_core::{EventIds, Hub, HubConfig, Now, ResourceKey};

use support::{Chance, Client, changed, hub, key, quiet_config};

/// Far longer than anything here takes: reaching it means that a wake-up was lost.
const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Now = Now::from_millis(1_000, support::Clock::START);
/// The record of the event that ends a burst.
const LAST: &str = "999999";

#[test]
fn a_client_that_joins_a_burst_gets_a_contiguous_run_once_and_in_order() {
    for round in 0..8 {
        for (event_ids, tagged) in [
            (EventIds::Etag, true),
            (EventIds::Etag, false),
            (EventIds::Position, false),
        ] {
            let burst = Burst {
                publishers: 2,
                joiners: 4,
                events: 150,
                tagged,
                round,
            };
            burst.run(hub(HubConfig {
                event_ids,
                max_events: 1_000,
                ..quiet_config()
            }));
        }
    }
}

#[test]
fn a_reader_that_sleeps_is_woken_by_every_publish() {
    const EVENTS: usize = 2_000;

    // No reader may lag on a busy machine, because one resync would stand for many events.
    let (hub, key) = (
        hub(HubConfig {
            max_lag: EVENTS,
            ..quiet_config()
        }),
        key("1"),
    );
    let start = Barrier::new(3);

    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Client::connect(&hub, &key, None, NOW);
                start.wait();
                let mut read = 0;
                while read < EVENTS {
                    let said = sleep_until_something(&mut client);
                    read += said.iter().filter(|word| *word != "keepalive").count();
                }
            });
        }

        start.wait();
        for number in 0..EVENTS {
            hub.publish(changed(&key, number, None), NOW)
                .expect("published");

            // Let readers catch up now and then, so that they sleep again.
            if number.is_multiple_of(16) {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn one_of_several_topics_made_at_once_wakes_the_sweeper() {
    const ROUNDS: usize = 20_000;

    let (hub, place) = (hub(quiet_config()), AtomicUsize::new(0));
    // Both threads wait for each other here. They spin, so that they leave at the same moment.
    let meet = |both: usize| {
        place.fetch_add(1, SeqCst);
        let since = Instant::now();
        for turn in 1_u32.. {
            if place.load(SeqCst) >= 2 * both {
                return;
            }
            if turn.is_multiple_of(1_000) {
                assert!(since.elapsed() < PATIENCE, "the other thread is gone");
                thread::yield_now();
            }
        }
    };
    let one_round = |id: &str, round: usize| {
        meet(3 * round + 1);
        // The threads use two records and the same record in turn.
        let key = key(if round.is_multiple_of(2) { id } else { "1" });
        let client = Client::connect(&hub, &key, None, NOW);
        meet(3 * round + 2);
        drop(client);
        meet(3 * round + 3);
    };

    thread::scope(|scope| {
        scope.spawn(|| (0..ROUNDS).for_each(|round| one_round("1", round)));
        let mut missed = 0;
        for round in 0..ROUNDS {
            let (counter, waker) = support::CountingWaker::new();
            assert_eq!(hub.poll_sweep(&Context::from_waker(&waker), NOW), None);
            one_round("2", round);
            missed += usize::from(counter.count() == 0);
        }
        assert_eq!(
            missed, 0,
            "of {ROUNDS}: topics came, and no sweep would have"
        );
    });
}

#[test]
fn nothing_is_published_into_a_topic_that_was_just_forgotten() {
    let (hub, start) = (
        hub(HubConfig {
            max_topics: 1,
            ..quiet_config()
        }),
        Barrier::new(2),
    );

    // There is room for one topic only, so each publish may forget the other record's.
    thread::scope(|scope| {
        for id in ["1", "2"] {
            let (hub, start) = (&hub, &start);
            scope.spawn(move || {
                let key = key(id);
                start.wait();
                for number in 0..10_000 {
                    // Refused if the other thread takes the room that was just made.
                    let _ = hub.publish(changed(&key, number, None), NOW);
                }
            });
        }
    });

    assert_eq!(hub.stats().topics, 1);
    assert_eq!(
        support::sweep(&hub, Now::from_millis(1 << 40, 1 << 41)),
        None
    );
    assert_eq!(hub.stats().history_bytes, 0, "bytes of no topic");
}

#[test]
fn nothing_is_left_after_any_mix_of_operations_once_all_has_expired() {
    for seed in 0..6_u64 {
        let config = HubConfig {
            event_ids: if seed.is_multiple_of(2) {
                EventIds::Etag
            } else {
                EventIds::Position
            },
            max_topics: 6,
            max_subscribers: 40,
            max_history_bytes: 65_536,
            ..quiet_config()
        };
        let (hub, clock) = (hub(config), AtomicU64::new(1_000));

        thread::scope(|scope| {
            for thread in 0..4 {
                let (hub, clock) = (&hub, &clock);
                scope.spawn(move || do_anything(hub, clock, Chance::new(seed * 4 + thread)));
            }
        });

        let stats = hub.stats();
        assert!(
            stats.topics <= 6 && stats.history_bytes <= 65_536,
            "seed {seed}: {stats:?}"
        );
        assert_eq!(stats.subscribers, 0, "seed {seed}");

        let much_later = Now::from_millis(1 << 40, 1 << 41);
        assert_eq!(support::sweep(&hub, much_later), None, "seed {seed}");

        let stats = hub.stats();
        assert_eq!(
            (stats.topics, stats.history_bytes),
            (0, 0),
            "seed {seed}: {stats:?}"
        );
    }
}

/// Threads that publish to one record, and threads that subscribe to it at the same time.
struct Burst {
    publishers: usize,
    joiners: usize,
    /// The events of each publisher.
    events: usize,
    tagged: bool,
    round: u64,
}

impl Burst {
    fn run(&self, hub: Hub) {
        let (key, over) = (key("1"), AtomicBool::new(false));
        let (start, settled) = (
            Barrier::new(self.publishers + self.joiners),
            Barrier::new(self.joiners + 1),
        );
        let mut witness = Client::connect(&hub, &key, None, NOW);
        let runs = thread::scope(|scope| {
            let publishers: Vec<_> = (0..self.publishers)
                .map(|publisher| {
                    let (hub, key, start) = (&hub, &key, &start);
                    scope.spawn(move || {
                        start.wait();
                        self.publish(hub, key, publisher);
                    })
                })
                .collect();
            let joiners: Vec<_> = (0..self.joiners)
                .map(|joiner| {
                    let (hub, key, over, start, settled) = (&hub, &key, &over, &start, &settled);
                    scope.spawn(move || {
                        start.wait();
                        let chance = Chance::new(self.round << 8 | joiner as u64);
                        join_again_and_again(hub, key, chance, over, settled)
                    })
                })
                .collect();

            publishers
                .into_iter()
                .for_each(|publisher| publisher.join().expect("no panic"));
            over.store(true, SeqCst);

            // Every joiner has made its last reconnect, so each is there for the last event.
            settled.wait();
            hub.publish(changed(&key, LAST.parse().expect("a number"), None), NOW)
                .expect("published");

            joiners
                .into_iter()
                .map(|joiner| joiner.join().expect("no panic"))
                .collect::<Vec<_>>()
        });
        let all = events_of(witness.read(NOW));

        assert_eq!(all.len(), self.publishers * self.events + 1);
        for run in runs {
            let start = all
                .iter()
                .position(|event| *event == run[0])
                .expect("an event");
            assert_eq!(run, all[start..], "round {}", self.round);
        }
        assert_eq!(hub.stats().resyncs, 0);
    }

    fn publish(&self, hub: &Hub, key: &ResourceKey, publisher: usize) {
        for number in 0..self.events {
            let number = publisher * 100_000 + number;
            let etag = self.tagged.then(|| format!("v{number}"));
            hub.publish(changed(key, number, etag.as_deref()), NOW)
                .expect("published");
            if number.is_multiple_of(8) {
                thread::yield_now();
            }
        }
    }
}

/// Reconnects with its last event ID until the burst is over, then stays for the last event.
/// Returns all events received.
fn join_again_and_again(
    hub: &Hub,
    key: &ResourceKey,
    mut chance: Chance,
    over: &AtomicBool,
    settled: &Barrier,
) -> Vec<String> {
    let (mut client, said) = Client::join(hub, key, None, NOW);
    let mut run = events_of(said);
    while !over.load(SeqCst) {
        for _ in 0..chance.below(4) {
            run.extend(events_of(client.read(NOW)));
            thread::yield_now();
        }
        // It may leave with events unread. Its last event ID does not cover those, so they are
        // replayed.
        if !client.last_event_id().is_empty() {
            let said;
            (client, said) = client.reconnect(hub, NOW);
            run.extend(events_of(said));
        }
    }

    settled.wait();
    while run.last().is_none_or(|event| event != LAST) {
        run.extend(events_of(sleep_until_something(&mut client)));
    }

    run
}

fn events_of(said: Vec<String>) -> Vec<String> {
    said.into_iter()
        .filter(|word| word != "keepalive")
        .collect()
}

/// Reads, and sleeps until its waker is called while there is nothing to read.
fn sleep_until_something(client: &mut Client) -> Vec<String> {
    struct Unpark(Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, SeqCst);
            self.0.unpark();
        }
    }

    let called = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let since = Instant::now();
    loop {
        let said = client.read_with(&Context::from_waker(&Waker::from(Arc::clone(&called))), NOW);
        if !said.is_empty() {
            return said;
        }
        while !called.1.swap(false, SeqCst) {
            thread::park_timeout(PATIENCE);
            assert!(since.elapsed() < PATIENCE, "a wake-up was lost");
        }
    }
}

/// Publishes, subscribes, reads, leaves, sweeps, loses the source and drains at random, over more
/// records than there may be topics.
fn do_anything(hub: &Hub, clock: &AtomicU64, mut chance: Chance) {
    let mut clients = Vec::new();
    for _ in 0..1_500 {
        let millis = clock.fetch_add(chance.below(40), SeqCst);
        let now = Now::from_millis(millis, millis as i64 * 1_000);
        let key = key(&chance.below(9).to_string());
        match chance.below(100) {
            0..40 => {
                let event = support::padded(&key, chance.below(3_000) as usize, None);
                // Refused if all topics are busy; then it must leave nothing behind.
                let _ = hub.publish(event, now);
            }
            40..60 => {
                let id =
                    *chance.pick(&[None, Some("unknown"), Some("000000000000feed.3"), Some("")]);
                clients.extend(Client::try_connect(hub, &key, id, now));
            }
            60..75 if !clients.is_empty() => {
                let client = chance.below(clients.len() as u64) as usize;
                clients[client].read(now);
            }
            75..95 if !clients.is_empty() => {
                clients.swap_remove(chance.below(clients.len() as u64) as usize);
            }
            95 => hub.source_lost(&key),
            96 => drop(clock.fetch_add(chance.below(2) * 4_000_000, SeqCst)),
            97 if chance.percent(3) => hub.drain(),
            _ => drop(support::sweep(hub, now)),
        }
    }
}
