//! Subscriptions that are polled together: one waker, one lock, the same frames as each by itself.
#![cfg(feature = "std")]

mod support;

use core::task::{Context, Waker};

use bytes::Bytes;
use saacms_realtime_core::hub::{Group, Hub, Output, Subscription};
use saacms_realtime_core::time::Now;
use support::{Clock, CountingWaker, hub, key, publish, quiet_config};

#[test]
fn members_get_what_they_would_get_by_themselves_and_share_its_bytes() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    publish(&hub, &key("1"), 1..4, now);
    let mut alone = hub.subscribe(&key("1"), Some(b"v1"), now).expect("room");
    let (group, mut members) = group_of(&hub, 3, Some(b"v1"), now);
    publish(&hub, &key("1"), 4..6, now);

    let expected = frames(alone.poll(&noop(), now));
    let mut round = group.round(&noop(), now);
    let first: Vec<_> = members.iter_mut().map(|member| frames(round.poll(member))).collect();
    assert!(first.iter().all(|frames| *frames == expected), "{first:?}");
    drop(round);

    publish(&hub, &key("1"), 6..9, now);
    let mut round = group.round(&noop(), now);
    let second: Vec<_> = members.iter_mut().map(|member| frames(round.poll(member))).collect();
    assert!(second.iter().all(|frames| frames.as_ptr() == second[0].as_ptr()), "one piece");
    assert_eq!(round.poll(&mut members[0]), Output::Idle { wake_at: None });
}

#[test]
fn a_publish_wakes_a_group_once_however_many_members_it_has() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (group, mut members) = group_of(&hub, 5, None, now);
    let (count, waker) = CountingWaker::new();
    let cx = Context::from_waker(&waker);
    {
        let mut round = group.round(&cx, now);
        members.iter_mut().for_each(|member| drop(round.poll(member)));
    }
    assert_eq!(count.count(), 0);
    publish(&hub, &key("1"), 1..4, now);
    assert_eq!(count.count(), 1, "once until the next round");
    drop(group.round(&cx, now));
    publish(&hub, &key("1"), 4..5, now);
    assert_eq!(count.count(), 2, "also where nobody was polled in that round");
}

#[test]
fn what_comes_behind_the_poll_of_a_member_is_heard_of() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (group, mut members) = group_of(&hub, 2, None, now);
    let (count, waker) = CountingWaker::new();
    let cx = Context::from_waker(&waker);
    drop(group.round(&cx, now).poll(&mut members[0]));
    publish(&hub, &key("1"), 1..2, now);
    assert_eq!(count.count(), 1);
    drop(group.round(&cx, now).poll(&mut members[1]));
    let rest = frames(group.round(&cx, now).poll(&mut members[0]));
    assert!(rest.starts_with(b"event: changed"), "{rest:?}");
}

#[test]
fn only_subscriptions_of_the_same_life_of_a_record_come_in() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (group, members) = group_of(&hub, 1, None, now);
    let mut other = hub.subscribe(&key("2"), None, now).expect("room");
    assert!(!group.admit(&mut other), "another record");
    // The record had no event: with its last reader it is forgotten.
    drop(members);
    assert_eq!(hub.stats().topics, 1);
    let mut same = hub.subscribe(&key("1"), None, now).expect("room");
    assert!(!group.admit(&mut same), "another life");
    let mut greeting = same.poll(&noop(), now);
    assert_eq!(frames(core::mem::replace(&mut greeting, Output::End)), ":keepalive\n\n");
    drop(group.round(&noop(), now));
}

#[test]
#[should_panic(expected = "a round is for members of its group")]
fn a_stranger_is_not_polled_behind_the_wrong_lock() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (group, _members) = group_of(&hub, 1, None, now);
    let mut other = hub.subscribe(&key("2"), None, now).expect("room");
    drop(group.round(&noop(), now).poll(&mut other));
}

#[test]
fn members_leave_one_by_one_and_the_limit_of_subscribers_counts_each() {
    let config =
        saacms_realtime_core::hub::HubConfig { max_subscribers_per_topic: 3, ..quiet_config() };
    let (hub, now) = (hub(config), Clock::new().now());
    for _ in 0..4 {
        let (group, mut members) = group_of(&hub, 3, None, now);
        assert!(hub.subscribe(&key("1"), None, now).is_err());
        members.pop();
        assert_eq!((hub.stats().subscribers, members[0].subscribers_of_topic()), (2, 2));
        let again = hub.subscribe(&key("1"), None, now).expect("a place is free");
        drop((again, members, group));
        assert_eq!((hub.stats().subscribers, hub.stats().topics), (0, 0));
    }
}

#[test]
fn a_drain_ends_every_member() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let (group, mut members) = group_of(&hub, 2, None, now);
    let (count, waker) = CountingWaker::new();
    let cx = Context::from_waker(&waker);
    {
        let mut round = group.round(&cx, now);
        members.iter_mut().for_each(|member| drop(round.poll(member)));
    }
    hub.drain();
    assert_eq!(count.count(), 1);
    for member in &mut members {
        let mut round = group.round(&cx, now);
        assert!(frames(round.poll(member)).starts_with(b"retry: "));
        assert_eq!((round.poll(member), round.poll(member)), (Output::End, Output::End));
    }
}

fn group_of(
    hub: &Hub,
    count: usize,
    last_event_id: Option<&[u8]>,
    now: Now,
) -> (Group, Vec<Subscription>) {
    let subscribe = || hub.subscribe(&key("1"), last_event_id, now).expect("room");
    let mut members: Vec<_> = (0..count).map(|_| subscribe()).collect();
    let group = Group::of(&members[0]);
    assert!(members[1..].iter_mut().all(|member| group.admit(member)));
    (group, members)
}

fn frames(output: Output) -> Bytes {
    match output {
        Output::Frames(frames) => frames,
        Output::Idle { .. } | Output::End => panic!("frames, not {output:?}"),
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
