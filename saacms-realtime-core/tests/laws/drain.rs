//! How a hub drains (contract, section 7): each stream gets the events that wait, a reconnection
//! time, and the end.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Wake;

use futures_core::Stream as _;
use saacms_realtime_core::{Event, Hub, HubConfig, Output, Refusal};

use crate::support::{
    Client, Clock, CountingWaker, changed, hub, key, padded, publish, quiet_config,
};

#[test]
fn waiting_events_come_first_then_a_reconnection_time_then_the_end() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut up_to_date, _) = Client::join(&hub, &key, None, clock.now());
    let mut never_read = Client::connect(&hub, &key, None, clock.now());

    publish(&hub, &key, [1], clock.now());
    up_to_date.read(clock.now());
    publish(&hub, &key, [2], clock.now());
    hub.drain();

    let said = up_to_date.read(clock.now());
    assert_eq!(
        (said[0].as_str(), said[2].as_str(), said.len()),
        ("2", "end", 3)
    );

    let said = never_read.read(clock.now());
    assert_eq!(said[..3], ["keepalive", "1", "2"]);
    assert!(
        said[3].starts_with("retry ") && said[4..] == ["end"],
        "{said:?}"
    );

    let refused = hub.publish(changed(&key, 3, None), clock.now());
    assert!(matches!(refused, Err(Refusal::Draining { .. })));
    assert_eq!(
        never_read.read(clock.now()),
        ["end"],
        "and nothing after it"
    );
}

#[test]
fn a_reader_with_much_to_read_gets_all_of_it() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    for _ in 0..20 {
        hub.publish(padded(&key, 30_000, None), clock.now())
            .expect("published");
    }

    hub.drain();
    let said = reader.read(clock.now());
    assert_eq!(
        (
            said.len(),
            said[20].starts_with("retry "),
            said[21].as_str()
        ),
        (22, true, "end")
    );
}

#[test]
fn reconnection_times_differ_and_are_one_to_four_times_the_configured_one() {
    let config = HubConfig {
        drain_retry: Duration::from_secs(2),
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let mut readers: Vec<_> = (0..200)
        .map(|id| Client::join(&hub, &key(&(id % 7).to_string()), None, clock.now()).0)
        .collect();

    hub.drain();
    let mut told = HashSet::new();
    for reader in &mut readers {
        let said = reader.read(clock.now());
        let millis: u64 = said[0]
            .strip_prefix("retry ")
            .expect("a time")
            .parse()
            .expect("a number");
        assert!((2_000..=8_000).contains(&millis), "{millis}");
        told.insert(millis);
    }

    // The times are random, so a few of 200 may coincide.
    assert!(told.len() > 180, "{} of 200", told.len());
    assert!(told.iter().any(|millis| *millis < 3_000) && told.iter().any(|millis| *millis > 7_000));
}

#[test]
fn every_allowed_reconnection_time_is_used_and_no_other() {
    let config = HubConfig {
        drain_retry: Duration::from_millis(1),
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let mut readers: Vec<_> = (0..100)
        .map(|_| Client::join(&hub, &key("1"), None, clock.now()).0)
        .collect();

    hub.drain();
    let told: HashSet<_> = readers
        .iter_mut()
        .map(|reader| reader.read(clock.now())[0].clone())
        .collect();

    // One to four times 1 ms leaves four values, and 100 readers get each of them.
    let allowed = ["retry 1", "retry 2", "retry 3", "retry 4"].map(str::to_owned);
    assert_eq!(told, HashSet::from(allowed));
}

#[test]
fn every_reader_is_woken_and_new_ones_are_refused() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    let (counter, waker) = CountingWaker::new();
    let mut readers: Vec<_> = (0..50)
        .map(|id| Client::join(&hub, &key(&(id % 9).to_string()), None, clock.now()).0)
        .collect();
    for reader in &mut readers {
        reader.read_with(&Context::from_waker(&waker), clock.now());
    }

    assert!(!hub.is_draining());
    hub.drain();
    assert!(hub.is_draining());
    assert_eq!(counter.count(), 50);

    let refused = hub.subscribe(&key("1"), None, clock.now()).map(drop);
    assert!(matches!(refused, Err(Refusal::Draining { .. })));

    hub.drain();
    assert_eq!(counter.count(), 50, "once");

    drop(readers);
    assert_eq!((hub.stats().topics, hub.stats().subscribers), (0, 0));
}

#[test]
fn who_comes_during_a_drain_is_told_to_come_back_when_it_is_over() {
    let config = HubConfig {
        drain_retry: Duration::from_secs(1),
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    hub.drain_within(Duration::from_secs(7));

    let mut told = HashSet::new();
    for _ in 0..100 {
        let subscribed = hub.subscribe(&key("1"), None, clock.now()).map(drop);
        let published = hub.publish(changed(&key("1"), 1, None), clock.now());
        for refused in [subscribed, published, hub.check_running()] {
            let Err(Refusal::Draining { retry_after }) = refused else {
                panic!("{refused:?}");
            };
            let secs = retry_after.as_secs_f64();
            assert!((8.0..=11.0).contains(&secs), "{secs}");
            told.insert(retry_after);
        }
    }
    assert!(told.len() > 250, "not all at once: {} of 300", told.len());
    assert_eq!((hub.stats().topics, hub.stats().published), (0, 0));
}

#[test]
fn a_subscription_ends_as_a_stream() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let mut stream = hub.subscribe(&key, None, clock.now()).expect("subscribed");
    let mut next = || Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(next(), Poll::Ready(Some(frames)) if frames.starts_with(b":keepalive\n\nid: "))
    );
    assert!(next().is_pending());

    publish(&hub, &key, [1], clock.now());
    hub.drain();
    let mut last_words = Vec::new();
    while let Poll::Ready(Some(frames)) = next() {
        last_words.extend_from_slice(&frames);
    }

    let last_words = String::from_utf8(last_words).expect("UTF-8");
    assert!(last_words.starts_with("event: changed\n"), "{last_words}");
    assert!(last_words.contains("\n\nretry: "), "{last_words}");
    assert!(matches!(next(), Poll::Ready(None)));
}

#[test]
fn a_subscription_has_no_heartbeats_as_a_stream() {
    let config = HubConfig {
        heartbeat: Duration::from_secs(30),
        ..quiet_config()
    };
    let (hub, mut clock) = (hub(config), Clock::new());
    let mut stream = hub
        .subscribe(&key("1"), None, clock.now())
        .expect("subscribed");
    let mut next = || Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop()));

    assert!(
        matches!(next(), Poll::Ready(Some(frames)) if frames.starts_with(b":keepalive\n\nid: "))
    );
    publish(&hub, &key("2"), [1], clock.advance(60_000));
    assert!(
        next().is_pending(),
        "though another call passed a later time"
    );
}

#[test]
fn a_waker_may_call_the_hub_whatever_woke_it() {
    let (done, when_done) = mpsc::channel();
    // On another thread, so that a deadlock fails the test instead of hanging it.
    let test = std::thread::spawn(move || {
        let (hub, clock) = (hub(quiet_config()), Clock::new());
        let waker = Waker::from(Arc::new(CallsTheHub {
            hub: hub.clone(),
            clock,
            read: Mutex::default(),
        }));
        let cx = Context::from_waker(&waker);

        assert_eq!(hub.poll_sweep(&cx, clock.now()), None);
        done.send("polled").expect("the test listens");

        let mut client = Client::connect(&hub, &key("1"), None, clock.now());
        done.send("subscribed, which woke the sweeper")
            .expect("the test listens");
        client.read_with(&cx, clock.now());
        publish(&hub, &key("1"), [1], clock.now());
        client.read_with(&cx, clock.now());
        hub.source_lost(&key("1"));
        client.read_with(&cx, clock.now());
        done.send("published and lost, which woke the reader")
            .expect("the test listens");
        hub.drain();
        done.send("drained, which woke the reader")
            .expect("the test listens");
    });

    for _ in 0..4 {
        let reached = when_done.recv_timeout(Duration::from_secs(20));
        assert!(
            reached.is_ok(),
            "a waker was called under a lock that it needs"
        );
    }
    test.join().expect("no panic");
}

/// A waker that uses the hub inside `wake`, like an executor that polls the task right there.
struct CallsTheHub {
    hub: Hub,
    clock: Clock,
    read: Mutex<Vec<Output>>,
}

impl Wake for CallsTheHub {
    fn wake(self: Arc<Self>) {
        let now = self.clock.now();
        let cx = Context::from_waker(Waker::noop());
        let _ = self.hub.poll_sweep(&cx, now);

        // Refused once the hub drains.
        let _ = self.hub.publish(changed(&key("1"), 2, None), now);
        let _ = self.hub.publish(Event::deleted(key("2")), now);

        if let Ok(mut subscription) = self.hub.subscribe(&key("1"), None, now) {
            let output = subscription.poll(&cx, now);
            self.read.lock().expect("no panic").push(output);
        }
    }
}
