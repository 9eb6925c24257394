//! Publishing through an engine: what is answered, and when.

use core::task::Context;
use std::collections::VecDeque;

use saacms_realtime_core::engine::{NotStored, Report, Request};
use saacms_realtime_core::{Event, Publishing, Refusal};

use super::cluster::{Cluster, outcome};
use crate::support::{CountingWaker, changed, key, padded, quiet_config};

#[test]
fn a_publish_is_accepted_once_the_engine_has_stored_it_and_not_earlier() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let mut publishing = cluster.submit(0, "1", 1);
    let (counter, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    assert!(
        core::pin::Pin::new(&mut publishing)
            .poll(&mut cx)
            .is_pending()
    );
    cluster.run();
    assert_eq!((outcome(&mut publishing), counter.count()), (None, 0));
    assert_eq!(
        cluster.hub(0).stats().engine.expect("an engine").in_flight,
        1
    );

    assert!(
        core::pin::Pin::new(&mut publishing)
            .poll(&mut cx)
            .is_pending()
    );
    cluster.nodes[0].is_held = false;
    cluster.run();
    assert_eq!(
        (outcome(&mut publishing), counter.count()),
        (Some(Ok(())), 1)
    );
    let stats = cluster.hub(0).stats();
    assert_eq!(
        (stats.published, stats.engine.expect("an engine").in_flight),
        (1, 0)
    );
}

#[test]
fn a_publish_that_nobody_waits_for_is_stored_and_leaves_nothing_behind() {
    let mut cluster = Cluster::of(1, quiet_config());
    drop(cluster.submit(0, "1", 1));
    cluster.run();
    assert_eq!(cluster.sequence, 1);
    assert_eq!(
        cluster.hub(0).stats().engine.expect("an engine").in_flight,
        0
    );
}

#[test]
fn publishes_reach_the_engine_in_the_order_of_the_calls() {
    let mut cluster = Cluster::of(1, quiet_config());
    let publishing: Vec<Publishing> = (1..=5).map(|it| cluster.submit(0, "1", it)).collect();
    cluster.run();
    let (_, said) = cluster.join(0, "1", Some("000000000000feed.0"));
    assert_eq!(said, ["keepalive", "1", "2", "3", "4", "5"]);
    drop(publishing);
}

#[test]
fn a_publish_waits_while_the_engine_is_away_for_less_than_15_seconds() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.report(0, Report::Down);
    cluster.advance(10_000);
    let mut publishing = cluster.submit(0, "1", 1);
    cluster.advance(4_999);
    assert_eq!(outcome(&mut publishing), None);
    cluster.up(0);
    assert_eq!(outcome(&mut publishing), Some(Ok(())));
}

#[test]
fn after_15_seconds_without_the_engine_publishes_are_refused_at_once() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.report(0, Report::Down);
    cluster.advance(10_000);
    let mut waiting = cluster.submit(0, "1", 1);
    cluster.advance(5_000);
    assert_eq!(outcome(&mut waiting), Some(Err(Refusal::EngineAway)));
    let mut late = cluster.submit(0, "1", 2);
    assert_eq!(outcome(&mut late), Some(Err(Refusal::EngineAway)));
    cluster.up(0);
    assert_eq!(cluster.sequence, 0, "what was refused is not stored later");
    cluster.publish(0, "1", [3]);
}

#[test]
fn an_engine_that_was_never_reached_is_away_from_the_first_publish_on() {
    let mut cluster = Cluster::new();
    let node = cluster.add(quiet_config());
    let mut publishing = cluster.submit(node, "1", 1);
    cluster.run();
    cluster.advance(14_999);
    assert_eq!(outcome(&mut publishing), None);
    cluster.advance(1);
    assert_eq!(outcome(&mut publishing), Some(Err(Refusal::EngineAway)));
}

#[test]
fn a_publish_whose_time_is_over_before_it_was_sent_is_not_sent() {
    let mut cluster = Cluster::of(1, quiet_config());
    let mut publishing = cluster.submit(0, "1", 1);
    // The engine did not poll for so long.
    cluster.clock.advance(15_000);
    cluster.run();
    assert_eq!(outcome(&mut publishing), Some(Err(Refusal::EngineAway)));
    assert_eq!(cluster.sequence, 0);
}

#[test]
fn a_publish_that_the_engine_does_not_answer_may_have_been_published() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let mut publishing = cluster.submit(0, "1", 1);
    cluster.run();
    let mut sent = std::mem::take(&mut cluster.nodes[0].waiting);
    cluster.advance(15_000);
    assert_eq!(outcome(&mut publishing), Some(Err(Refusal::MaybePublished)));

    // The answer comes late, and is of no account but for the place.
    cluster.carry_out(0, sent.pop_front().expect("a publish"));
    assert_eq!(cluster.hub(0).position(&key("1")).sequence, 1);
    assert_eq!(outcome(&mut publishing), Some(Err(Refusal::MaybePublished)));
}

#[test]
fn what_the_engine_refuses_is_refused_for_the_same_reason() {
    let mut cluster = Cluster::of(1, quiet_config());
    for (refused, refusal) in [
        (NotStored::Full, Refusal::EngineFull),
        (NotStored::Away, Refusal::EngineAway),
        (NotStored::Unknown, Refusal::MaybePublished),
        (
            NotStored::TooLarge { limit: 7 },
            Refusal::EventTooLarge { limit: 7 },
        ),
    ] {
        cluster.refuses = Some(refused);
        let mut publishing = cluster.submit(0, "1", 1);
        cluster.run();
        assert_eq!(outcome(&mut publishing), Some(Err(refusal)));
    }
    assert_eq!(cluster.hub(0).stats().published, 0);
}

#[test]
fn an_event_that_is_too_large_for_the_engine_is_not_sent() {
    let mut cluster = Cluster::of(1, quiet_config());
    let limit = 1 << 20;
    let large = padded(&key("1"), limit, None);
    let mut publishing = cluster.hub(0).submit(large, cluster.now());
    let refusal = Refusal::EventTooLarge { limit };
    assert_eq!(outcome(&mut publishing), Some(Err(refusal)));
    cluster.run();
    assert_eq!(cluster.sequence, 0);
}

#[test]
fn ten_thousand_publishes_or_64_mib_may_wait() {
    let mut cluster = Cluster::of(1, quiet_config());
    let mut waiting: VecDeque<_> = (0..10_000).map(|it| cluster.submit(0, "1", it)).collect();
    let mut more = cluster.submit(0, "1", 0);
    assert_eq!(outcome(&mut more), Some(Err(Refusal::EngineBusy)));
    assert!(waiting.iter_mut().all(|it| outcome(it).is_none()));
    cluster.run();
    assert!(waiting.iter_mut().all(|it| outcome(it) == Some(Ok(()))));

    let mut accepted = 0;
    let refused = loop {
        let event = padded(&key("1"), 1_000_000, None);
        let mut publishing = cluster.hub(0).submit(event, cluster.now());
        match outcome(&mut publishing) {
            None => accepted += 1,
            Some(result) => break result,
        }
        waiting.push_back(publishing);
    };
    assert_eq!((accepted, refused), (67, Err(Refusal::EngineBusy)));
}

#[test]
fn without_a_port_every_publish_is_refused() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let mut sent = cluster.submit(0, "1", 1);
    cluster.run();
    let mut queued = cluster.submit(0, "1", 2);
    cluster.nodes[0].port = None;
    assert_eq!(outcome(&mut sent), Some(Err(Refusal::MaybePublished)));
    assert_eq!(outcome(&mut queued), Some(Err(Refusal::EngineAway)));
    let mut late = cluster.submit(0, "1", 3);
    assert_eq!(outcome(&mut late), Some(Err(Refusal::EngineAway)));
}

#[test]
fn a_hub_with_an_engine_takes_events_by_submit_only() {
    let cluster = Cluster::of(1, quiet_config());
    let event = Event::deleted(key("1"));
    assert_eq!(
        cluster.hub(0).publish(event, cluster.now()),
        Err(Refusal::NeedsSubmit)
    );
}

#[test]
fn a_hub_that_drains_sends_nothing_more_and_ends_what_it_has_sent() {
    let mut cluster = Cluster::of(1, quiet_config());
    let mut publishing = cluster.submit(0, "1", 1);
    cluster.hub(0).drain();
    let mut late = cluster.submit(0, "1", 2);
    let refused = outcome(&mut late).expect("at once");
    assert!(
        matches!(refused, Err(Refusal::Draining { .. })),
        "{refused:?}"
    );
    cluster.run();
    assert_eq!(outcome(&mut publishing), Some(Ok(())));
}

#[test]
fn events_of_an_engine_without_a_clock_are_stamped_by_the_hub() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(quiet_config(), |spec| spec.stamps = false);
    cluster.up(node);
    cluster.nodes[node].is_held = true;
    let event = changed(&key("1"), 1, None);
    let publishing = cluster.hub(node).submit(event, cluster.now());
    cluster.collect(node);
    let Some(Request::Publish { packed, .. }) = cluster.nodes[node].waiting.pop_front() else {
        panic!("it was submitted")
    };
    let stamp = packed.parse().expect("valid").stamp.expect("a stamp");
    assert_eq!((stamp.at, stamp.is_id), (cluster.now().wall, false));
    drop(publishing);
}

#[test]
fn a_publish_does_not_wait_longer_because_the_engine_does_not_even_poll() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (counter, waker) = CountingWaker::new();
    let cx = Context::from_waker(&waker);
    let hub = cluster.hub(0).clone();
    assert_eq!(hub.poll_sweep(&cx, cluster.now()), None);

    cluster.nodes[0].is_held = true;
    let mut sent = cluster.submit(0, "1", 1);
    assert_eq!(counter.count(), 1, "there is something to wait for");
    cluster.run();
    // From here on it hangs: nothing polls the port.
    cluster.clock.advance(1_000);
    let mut queued = cluster.submit(0, "1", 2);
    let due = hub.poll_sweep(&cx, cluster.now()).expect("they end");
    assert_eq!(due.millis_since(cluster.now().instant), 14_000);
    drop(cluster.submit(0, "1", 3));
    assert_eq!(counter.count(), 1, "the sweep is polled anyway");

    cluster.clock.advance(13_999);
    assert!(hub.poll_sweep(&cx, cluster.now()).is_some());
    assert_eq!(outcome(&mut sent), None);
    cluster.clock.advance(1);
    assert!(hub.poll_sweep(&cx, cluster.now()).is_some());
    assert_eq!(outcome(&mut sent), Some(Err(Refusal::MaybePublished)));
    cluster.clock.advance(1_000);
    assert_eq!(hub.poll_sweep(&cx, cluster.now()), None);
    assert_eq!(outcome(&mut queued), Some(Err(Refusal::EngineAway)));
    drop(cluster.submit(0, "1", 4));
    assert_eq!(counter.count(), 2);
}

#[test]
fn what_an_engine_was_sent_counts_until_it_answers_however_long_that_takes() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let fill = |cluster: &mut Cluster| {
        let mut accepted = 0;
        let refused = loop {
            let mut publishing = cluster.submit(0, "1", 1);
            match outcome(&mut publishing) {
                None => accepted += 1,
                Some(result) => break result,
            }
        };
        cluster.run();
        (accepted, refused)
    };
    let busy = Err(Refusal::EngineBusy);
    assert_eq!(fill(&mut cluster), (10_000, busy));

    // It is slow, and still has them all when their publishers give up.
    cluster.advance(15_000);
    assert_eq!(fill(&mut cluster), (0, busy));
    let mut sent = std::mem::take(&mut cluster.nodes[0].waiting);
    for _ in 0..7 {
        let request = sent.pop_front().expect("a publish");
        cluster.carry_out(0, request);
    }
    assert_eq!(fill(&mut cluster), (7, busy));

    // After a new connection it may never answer for the others.
    cluster.advance(15_000);
    cluster.up(0);
    assert_eq!(fill(&mut cluster), (10_000, busy));
}

#[test]
fn an_engine_that_leaves_a_publish_unanswered_for_five_seconds_is_not_up() {
    let mut cluster = Cluster::of(1, quiet_config());
    let is_up = |cluster: &Cluster| {
        let stats = cluster.hub(0).stats().engine;
        stats.expect("an engine").is_up
    };
    cluster.nodes[0].is_held = true;
    let mut publishing = cluster.submit(0, "1", 1);
    cluster.advance(5_000);
    assert!(is_up(&cluster));
    cluster.advance(1);
    assert!(!is_up(&cluster));
    cluster.nodes[0].is_held = false;
    cluster.run();
    assert_eq!(outcome(&mut publishing), Some(Ok(())));
    assert!(is_up(&cluster));
}
