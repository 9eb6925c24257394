use core::time::Duration;

use super::*;

type Small = Ring<char, Slots<[Option<Entry<char>>; 4]>>;

fn ring(max_events: usize, max_age_millis: u64, max_lag: usize, max_lag_bytes: usize) -> Small {
    let max_age = Duration::from_millis(max_age_millis);
    let retention = Retention {
        max_events,
        max_age,
        max_lag,
        max_lag_bytes,
    };
    Ring::new(Slots::new([const { None }; 4]), retention)
}

fn push(ring: &mut Small, items: &str, at: u64) {
    for item in items.chars() {
        ring.push(item, 10, Instant::from_millis(at), |_| {});
    }
}

fn held(ring: &Small) -> std::string::String {
    (ring.first()..ring.next())
        .map(|number| match ring.at(number) {
            At::Item(item) => *item,
            At::Next | At::Gone => '!',
        })
        .collect()
}

#[test]
fn the_oldest_item_leaves_when_one_too_many_comes() {
    let mut ring = ring(2, 1_000, 3, 1_000);
    push(&mut ring, "abcd", 0);
    assert_eq!(held(&ring), "bcd");
    assert_eq!((ring.first(), ring.next(), ring.bytes()), (2, 5, 30));
    assert_eq!(ring.at(1), At::Gone);
    assert_eq!(ring.at(5), At::Next);
    assert_eq!(ring.at(6), At::Gone);
    assert_eq!(
        ring.replay_start(Instant::ZERO),
        3,
        "the window is shorter than the ring"
    );
}

#[test]
fn an_item_of_exactly_max_age_is_replayed_and_an_older_one_is_not() {
    let mut ring = ring(4, 1_000, 4, 1_000);
    push(&mut ring, "a", 0);
    push(&mut ring, "b", 600);
    assert_eq!(ring.replay_start(Instant::from_millis(1_000)), 1);
    assert_eq!(ring.replay_start(Instant::from_millis(1_001)), 2);
    assert_eq!(ring.replay_start(Instant::from_millis(1_601)), 3);
    ring.evict(Instant::from_millis(60_000), |_| {});
    assert_eq!(held(&ring), "ab", "a reader that is behind still gets it");
    ring.evict(Instant::from_millis(60_001), |_| {});
    assert_eq!(held(&ring), "b");
}

#[test]
fn a_clock_that_steps_back_neither_keeps_nor_evicts_items() {
    let mut ring = ring(4, 100_000, 4, 1_000);
    push(&mut ring, "a", 50_000);
    push(&mut ring, "b", 0);
    ring.evict(Instant::from_millis(150_000), |_| {});
    assert_eq!(held(&ring), "ab");
    ring.evict(Instant::from_millis(150_001), |_| {});
    assert_eq!(held(&ring), "");
}

#[test]
fn bytes_bound_the_lag_and_never_the_replay_window() {
    let mut ring = ring(2, 1_000, 4, 25);
    push(&mut ring, "abcd", 0);
    assert_eq!(held(&ring), "cd");
    let mut live_only = self::ring(0, 1_000, 4, 5);
    push(&mut live_only, "ab", 0);
    assert_eq!(
        held(&live_only),
        "b",
        "the newest item waits for its readers"
    );
    assert_eq!(live_only.replay_start(Instant::ZERO), 3);
}

#[test]
fn bytes_up_to_the_limit_are_held_for_readers_that_are_behind() {
    let mut ring = ring(1, 1_000, 4, 30);
    push(&mut ring, "abc", 0);
    assert_eq!(held(&ring), "abc", "exactly `max_lag_bytes`");
    push(&mut ring, "d", 0);
    assert_eq!(held(&ring), "bcd");
}

#[test]
fn a_push_returns_the_number_of_its_item() {
    let mut ring = ring(2, 1_000, 2, 1_000);
    let numbers = "abcd"
        .chars()
        .map(|item| ring.push(item, 1, Instant::ZERO, |_| {}));
    assert!(numbers.eq(1..=4));
    assert_eq!((ring.len(), ring.is_empty()), (2, false));
    while ring.pop().is_some() {}
    assert_eq!((ring.len(), ring.is_empty()), (0, true));
}

#[test]
fn a_ring_without_room_holds_nothing_and_still_counts() {
    let mut ring = Ring::<char, _>::new(Slots::new([]), Retention::default());
    let mut evicted = 0;
    for _ in 0..3 {
        ring.push('x', 1, Instant::ZERO, |_| evicted += 1);
    }
    assert_eq!(
        (ring.len(), ring.next(), ring.bytes(), evicted),
        (0, 4, 0, 3)
    );
    assert_eq!(ring.at(3), At::Gone);
}
