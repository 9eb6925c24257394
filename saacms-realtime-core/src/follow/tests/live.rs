//! Live events, and those that come early.

use super::*;

#[test]
fn the_event_after_the_tail_is_pushed() {
    let mut driven = Driven::joined(12);
    assert_eq!(driven.live(told(22, after(12))), "push 22");
    assert_eq!(driven.live(told(25, exactly_after(22))), "push 25");
    assert_eq!(driven.follower.place(), 25);
    assert_eq!(driven.ask(), None);
}

#[test]
fn an_event_after_another_one_is_a_gap() {
    for gap in [
        told(25, after(22)),
        told(25, Link::First),
        told(25, Link::Unknown),
        told(
            25,
            Link::After {
                sequence: 12,
                print: Some(7),
            },
        ),
    ] {
        let mut driven = Driven::joined(12);
        assert_eq!(driven.live(gap), "", "{gap:?}");
        assert_eq!(driven.ask(), run_from(12));
    }
}

#[test]
fn where_nothing_was_kept_the_first_event_is_read_for() {
    let mut driven = Driven::joined_at_nothing();
    assert_eq!(
        driven.live(told(25, Link::First)),
        "",
        "some may have come and gone"
    );
    assert_eq!(driven.ask(), run_from(0));
    assert_eq!(
        driven.run(unlinked(&[25]), span(5, 25)),
        "push 25, confirmed"
    );
    assert!(driven.follower.is_live());
}

#[test]
fn an_old_event_is_dropped() {
    let mut driven = Driven::joined(12);
    assert_eq!(driven.live(told(12, after(8))), "", "the tail again");
    assert_eq!(driven.live(told(10, after(8))), "", "a late one");
    assert_eq!(
        driven.live(rewritten(20, after(15))),
        "",
        "of another history"
    );
    assert_eq!(driven.ask(), None);
}

#[test]
fn early_events_follow_what_was_read() {
    let mut driven = Driven::joined(12);
    driven.live(told(23, after(22)));
    assert_eq!(driven.ask(), run_from(12));
    assert_eq!(driven.live(told(24, after(23))), "");
    assert_eq!(driven.live(told(28, after(24))), "");
    let said = driven.run(unlinked(&[12, 22, 23]), span(0, 23));
    assert_eq!(said, "push 22, push 23, confirmed, push 24, push 28");
    assert!(driven.follower.is_live());
}

#[test]
fn an_early_event_that_a_stale_replica_does_not_have_is_surely_read_for() {
    let mut driven = Driven::joined(12);
    driven.live(told(25, after(22)));
    assert_eq!(driven.ask(), run_from(12));
    assert_eq!(driven.run(unlinked(&[12]), span(0, 20)), "confirmed");
    assert_eq!(driven.ask(), surely_run_from(12));
    assert_eq!(
        driven.run(unlinked(&[12, 22, 25]), span(0, 25)),
        "push 22, push 25, sure"
    );
    assert!(driven.follower.is_live());
}

#[test]
fn an_early_event_that_a_sure_answer_does_not_have_is_given_up() {
    let mut driven = Driven::joined(12);
    driven.live(told(25, after(22)));
    assert_eq!(driven.ask(), run_from(12));
    driven.run(unlinked(&[12]), span(0, 20));
    assert_eq!(driven.ask(), surely_run_from(12));
    assert_eq!(driven.run(unlinked(&[12]), span(0, 20)), "sure");
    assert_eq!(driven.ask(), None);
}

#[test]
fn an_early_event_that_came_after_a_sure_ask_is_read_for() {
    let mut driven = Driven::joined(12);
    driven.follower.make_sure();
    assert_eq!(driven.ask(), SURELY_NEWEST);
    driven.live(told(25, after(22)));
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20)),
        "sure"
    );
    assert_eq!(
        driven.ask(),
        run_from(12),
        "the engine looked before it came"
    );
}

#[test]
fn two_hundred_events_wait_for_an_answer() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    for sequence in 21..221 {
        let before = if sequence == 21 { 12 } else { sequence - 1 };
        driven.live(told(sequence, after(before)));
    }
    driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
    assert!(driven.follower.is_live());
    assert_eq!(driven.follower.place(), 220);
}

#[test]
fn of_more_early_events_than_may_wait_the_oldest_goes_and_is_read_for() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    for sequence in 21..222 {
        let before = if sequence == 21 { 12 } else { sequence - 1 };
        driven.live(told(sequence, after(before)));
        assert!(driven.follower.early.len() <= MAX_EARLY);
    }
    let said = driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
    assert_eq!(said, "confirmed");
    assert_eq!(driven.ask(), run_from(12));
}

#[test]
fn the_memory_of_early_events_is_freed() {
    let mut driven = Driven::joined(12);
    driven.live(told(25, after(22)));
    assert_eq!(driven.ask(), run_from(12));
    driven.run(unlinked(&[12, 22, 25]), span(0, 25));
    assert!(driven.follower.is_live());
    assert_eq!(driven.follower.early.capacity(), 0);
}
