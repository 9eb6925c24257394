//! When a hub calls wakers. A waker may do anything, as no lock is held during the call.
#![cfg(feature = "std")]

use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Arc, mpsc};
use std::task::Wake;
use std::thread;

use saacms_realtime_core::{Event, Hub, HubConfig, Now, Output, ResourceKey};

const NOW: Now = Now::from_millis(0, 1_700_000_000_000);

#[test]
fn a_waker_may_use_the_hub() {
    let publish = |hub: &Hub| hub.publish(Event::deleted(key("1")), NOW).expect("room");
    expect_free_locks("a publish", publish);
    expect_free_locks("a lost source", |hub| hub.source_lost(&key("1")));
    expect_free_locks("a drain", Hub::drain);
}

/// Checks that the waker of a subscriber that `wake` wakes may use the hub.
fn expect_free_locks(what: &str, wake: fn(&Hub)) {
    let hub = hub();
    let (waker, woken) = busy_waker(&hub);
    let mut subscription = hub.subscribe(&key("1"), None, NOW).expect("room");
    let cx = Context::from_waker(&waker);
    while !matches!(subscription.poll(&cx, NOW), Output::Idle { .. }) {}
    // A waker that needed a held lock would deadlock. On another thread, the test can time out.
    thread::spawn(move || wake(&hub));
    assert_eq!(
        woken.recv_timeout(Duration::from_secs(30)),
        Ok(()),
        "{what}"
    );
}

#[test]
fn the_first_topic_wakes_the_sweeper_which_may_sweep_at_once() {
    let hub = hub();
    let (waker, woken) = busy_waker(&hub);
    assert_eq!(hub.poll_sweep(&Context::from_waker(&waker), NOW), None);
    thread::spawn(move || hub.publish(Event::deleted(key("1")), NOW));
    assert_eq!(woken.recv_timeout(Duration::from_secs(30)), Ok(()));
}

#[test]
fn the_end_of_the_hub_wakes_the_sweeper() {
    struct Told(mpsc::Sender<()>);
    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.send(()).expect("the test listens");
        }
    }

    let (sender, told) = mpsc::channel();
    let hub = hub();
    let clone = hub.clone();
    let waker = Waker::from(Arc::new(Told(sender)));
    assert_eq!(hub.poll_sweep(&Context::from_waker(&waker), NOW), None);

    drop(hub);
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));

    drop(clone);
    assert_eq!(told.try_recv(), Ok(()));
}

/// A waker that uses the whole hub, and a channel that reports when it is done.
fn busy_waker(hub: &Hub) -> (Waker, mpsc::Receiver<()>) {
    struct Busy {
        hub: Hub,
        done: mpsc::Sender<()>,
    }
    impl Wake for Busy {
        fn wake(self: Arc<Self>) {
            self.hub
                .poll_sweep(&Context::from_waker(Waker::noop()), NOW);
            for id in ["1", "2"] {
                // Refused while the hub drains; what matters is that the calls return.
                drop(self.hub.subscribe(&key(id), None, NOW));
                let _ = self.hub.publish(Event::deleted(key(id)), NOW);
            }
            self.done.send(()).expect("the test listens");
        }
    }

    let (done, woken) = mpsc::channel();
    (
        Waker::from(Arc::new(Busy {
            hub: hub.clone(),
            done,
        })),
        woken,
    )
}

fn hub() -> Hub {
    Hub::new(HubConfig::default(), 0).expect("valid")
}

fn key(id: &str) -> ResourceKey {
    ResourceKey::new("posts", id).expect("valid")
}
