//! A lane whose thread sleeps while other threads publish.

use core::mem;
use core::task::Waker;
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

use saacms_realtime_core::{HubConfig, Lane};

use crate::frames;
use crate::support::{Clock, hub, key, publish, quiet_config};

#[test]
fn a_thread_that_sleeps_until_its_lane_wakes_it_misses_nothing() {
    const EVENTS: usize = 200;

    let config = HubConfig {
        max_events: EVENTS,
        ..quiet_config()
    };
    let (hub, now) = (hub(config), Clock::new().now());
    let mut lane = Lane::new(
        Duration::ZERO,
        Waker::from(Arc::new(Unpark(thread::current()))),
    );

    for record in 0..3 {
        for _ in 0..3 {
            let subscription = hub
                .subscribe(&key(&record.to_string()), None, now)
                .expect("room");
            lane.insert(subscription, String::new());
        }
    }

    let ends_with = format!("data: {EVENTS}\n\n");
    thread::scope(|scope| {
        for record in 0..3 {
            let (hub, key) = (&hub, key(&record.to_string()));
            scope.spawn(move || publish(hub, &key, 1..=EVENTS, now));
        }

        let mut outgoing = Vec::new();
        while !lane.is_empty() {
            if lane.collect(now) == 0 {
                // An `unpark` that comes before `park` makes it return at once.
                thread::park();
            }

            // Two streams in each turn, so that publishes come between the turns of a record.
            lane.turn(2, now, &mut outgoing);
            for (stream, frames) in frames(mem::take(&mut outgoing)) {
                let text = lane.get_mut(stream).expect("it is there");
                text.push_str(str::from_utf8(&frames).expect("text"));
                if text.ends_with(&ends_with) {
                    let text = lane.remove(stream).expect("it is there");
                    assert_eq!(text.matches("\ndata: ").count(), EVENTS);
                }
            }
        }
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
