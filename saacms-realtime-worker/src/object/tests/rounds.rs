//! Rounds over many streams, which are served in turns.

use super::*;

#[test]
fn with_few_streams_every_event_goes_to_all_at_once() {
    let mut object = object(|_| {});
    let pipes = open_many(&mut object, PORTION);
    for etag in ["a", "b", "c"] {
        assert_eq!(publish_to(&mut object, etag, &pipes), [1; PORTION]);
        assert!(!object.wants_turn());
    }
}

#[test]
fn a_lone_event_goes_out_at_once_and_in_turns_to_the_rest() {
    let mut object = object(|_| {});
    let pipes = open_many(&mut object, 2 * PORTION + 1);
    let sent = publish_to(&mut object, "a", &pipes);
    assert_eq!(
        sent[..PORTION],
        [1; PORTION],
        "before the publish is answered"
    );
    assert_eq!(sent[PORTION..], [0; PORTION + 1]);
    assert_eq!(finish(&mut object, at(2)), 2);
    let rest = taken(&pipes);
    assert!(
        rest[..PORTION].iter().all(String::is_empty),
        "nobody gets it twice"
    );
    assert!(rest[PORTION..].iter().all(|text| ids(text) == ["a"]));
    assert_eq!(
        publish_to(&mut object, "b", &pipes)[..PORTION],
        [1; PORTION],
        "again at once"
    );
}

#[test]
fn a_burst_is_joined_into_one_chunk_per_turn() {
    let mut object = object(|_| {});
    let pipes = open_many(&mut object, 2 * PORTION);
    publish_to(&mut object, "a", &pipes);
    for etag in ["b", "c", "d"] {
        assert_eq!(
            publish_to(&mut object, etag, &pipes),
            [0; 2 * PORTION],
            "{etag} waits"
        );
    }
    object.turn(at(2));
    assert!(
        taken(&pipes[PORTION..])
            .iter()
            .all(|text| ids(text) == ["a", "b", "c", "d"])
    );
    object.turn(at(2));
    assert!(
        taken(&pipes[..PORTION])
            .iter()
            .all(|text| ids(text) == ["b", "c", "d"])
    );
    finish(&mut object, at(2));
    assert!(taken(&pipes).concat().is_empty() && object.wake_at().is_some());
}

#[test]
fn a_stream_that_joins_during_a_round_gets_every_event_once_and_in_order() {
    let mut object = object(|_| {});
    let pipes = open_many(&mut object, 3 * PORTION);
    for etag in ["a", "b"] {
        publish_to(&mut object, etag, &pipes);
    }
    let (fresh, back) = (
        open(&mut object, None, at(1)),
        open(&mut object, Some("a"), at(1)),
    );
    assert_eq!(
        back.take(),
        ":keepalive\n\nevent: changed\nid: b\ndata: \"b\"\n\n"
    );
    publish_to(&mut object, "c", &pipes);
    finish(&mut object, at(2));
    assert_eq!(
        (ids(&fresh.take()), ids(&back.take())),
        (vec!["0000000000000007.2", "c"], vec!["c"]),
        "the new one is told its place first"
    );
}

#[test]
fn a_round_continues_past_streams_that_leave_or_never_read() {
    let mut object = object(|settings| settings.max_backlog_bytes = 1_024);
    let pipes = open_many(&mut object, 3 * PORTION);
    let record = "x".repeat(400);
    let stuck = &pipes[PORTION];
    for number in 0..20 {
        object
            .publish(event("i", &format!("{number}{record}")), at(1), None)
            .expect("published");
        object.remove(PORTION as u32 + 1);
        finish(&mut object, at(2));
        let others = [&pipes[..PORTION], &pipes[PORTION + 2..]].concat();
        assert!(
            taken(&others)
                .iter()
                .all(|text| text.matches("event: ").count() == 1)
        );
    }
    assert!(stuck.wants_room.get() && stuck.queued.get() < 4_096);
    assert_eq!(object.streams(), 3 * PORTION - 1);
}

#[test]
fn a_round_longer_than_the_lag_goes_to_all_at_once_without_a_resync() {
    for change in [
        |settings: &mut Settings| settings.hub.max_lag = 100,
        |settings: &mut Settings| settings.hub.max_lag_bytes = 50_000,
    ] {
        let mut object = object(change);
        let pipes = open_many(&mut object, 2 * PORTION);
        let mut got = vec![String::new(); pipes.len()];
        for number in 0..500 {
            object
                .publish(event("i", &format!("e{number}")), at(1), None)
                .expect("published");
            // Some streams have their turn, and as much is published before their next one.
            if number > 250 && number % 50 == 0 {
                object.turn(at(1));
            }
            got.iter_mut()
                .zip(taken(&pipes))
                .for_each(|(got, new)| got.push_str(&new));
        }
        finish(&mut object, at(2));
        got.iter_mut()
            .zip(taken(&pipes))
            .for_each(|(got, new)| got.push_str(&new));
        let expected: Vec<_> = (0..500).map(|number| format!("e{number}")).collect();
        assert!(
            got.iter().all(|text| ids(text) == expected),
            "a resync, or a gap"
        );
    }
}

#[test]
fn heartbeats_go_by_turns_and_advance_a_round_whose_timer_is_late() {
    let mut object = object(|_| {});
    let pipes = open_many(&mut object, 2 * PORTION);
    publish_to(&mut object, "a", &pipes);
    object.handle_timeout(at(100));
    assert!(
        taken(&pipes[PORTION..])
            .iter()
            .all(|text| ids(text) == ["a"])
    );
    finish(&mut object, at(100));
    object.handle_timeout(at(200));
    assert_eq!(finish(&mut object, at(200)), 1);
    assert_eq!(taken(&pipes).concat(), ":keepalive\n\n".repeat(2 * PORTION));
}

/// Publishes `etag` and returns how many frames that sent to each of the streams.
#[test]
fn without_turns_every_event_and_heartbeat_goes_to_all_at_once() {
    let mut object = object(|settings| settings.hub.heartbeat = Duration::from_millis(10));
    object.serve_at_once();
    let pipes = open_many(&mut object, 2 * PORTION);
    for etag in ["a", "b"] {
        assert_eq!(publish_to(&mut object, etag, &pipes), [1; 2 * PORTION]);
        assert!(!object.wants_turn());
    }

    taken(&pipes);
    object.handle_timeout(at(100));
    assert!(!object.wants_turn());
    assert!(taken(&pipes).iter().all(|text| text == ":keepalive\n\n"));
}

fn publish_to(object: &mut TestObject, etag: &str, pipes: &[Rc<Pipe>]) -> Vec<usize> {
    object
        .publish(event("i", etag), at(1), None)
        .expect("published");
    taken(pipes)
        .iter()
        .map(|text| text.matches("event: ").count())
        .collect()
}

fn taken(pipes: &[Rc<Pipe>]) -> Vec<String> {
    pipes.iter().map(|pipe| pipe.take()).collect()
}

fn open_many(object: &mut TestObject, count: usize) -> Vec<Rc<Pipe>> {
    let pipes: Vec<_> = (0..count).map(|_| open(object, None, at(0))).collect();
    taken(&pipes);
    pipes
}

/// Gives turns until none is wanted, and returns how many.
fn finish(object: &mut TestObject, now: Now) -> usize {
    let mut turns = 0;
    while object.wants_turn() {
        object.turn(now);
        turns += 1;
        assert!(turns < 1_000, "a round without an end");
    }
    turns
}

fn ids(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect()
}
