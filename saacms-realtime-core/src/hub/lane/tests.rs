use super::*;
use crate::config::HubConfig;
use crate::hub::Hub;

#[test]
fn a_stream_takes_little_memory() {
    // 64 bytes are what the server keeps for a socket.
    assert!(
        size_of::<Stream<[u64; 8]>>() <= 184,
        "{}",
        size_of::<Stream<[u64; 8]>>()
    );
}

#[test]
fn room_for_streams_grows_by_a_quarter_and_is_given_back_with_the_last() {
    let hub = Hub::new(HubConfig::default(), 0).expect("valid");
    let (key, now) = (
        ResourceKey::new("posts", "1").expect("valid"),
        Now::from_millis(0, 0),
    );
    let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
    let rooms: Vec<usize> = (0..=144)
        .map(|_| {
            lane.insert(hub.subscribe(&key, None, now).expect("room"), ());
            lane.streams.capacity()
        })
        .collect();
    assert_eq!(
        (rooms[0], rooms[63], rooms[64], rooms[143]),
        (64, 64, 144, 144)
    );
    assert_eq!(rooms[144], 144 + 144 / 4 + 64);
    assert!((0..=144).all(|stream| lane.remove(stream).is_some()));
    let rooms = [
        lane.streams.capacity(),
        lane.records.capacity(),
        lane.by_key.capacity(),
    ];
    assert_eq!(
        (rooms, lane.turns.capacity(), lane.singles.capacity()),
        ([0; 3], 0, 0)
    );
}
