//! Inputs that no driver or engine should give.

use super::*;

#[test]
fn an_answer_that_nobody_asked_for_is_ignored() {
    let mut driven = Driven::new();
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20)),
        ""
    );
    assert_eq!(driven.run(unlinked(&[12]), span(0, 20)), "");
    assert_eq!(driven.ask(), NEWEST);

    let mut driven = Driven::joined(12);
    assert_eq!(
        driven.newest(Some(told(15, Link::Unknown)), span(0, 20)),
        ""
    );
    assert_eq!(driven.run(unlinked(&[12, 15]), span(0, 20)), "");
    driven.follower.failed();
    assert!(driven.follower.is_live());
}

#[test]
fn an_answer_to_another_question_asks_again() {
    let mut driven = Driven::new();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.run(unlinked(&[12]), span(0, 20)), "");
    assert_eq!(driven.ask(), NEWEST);

    let mut driven = Driven::joined(12);
    driven.follower.look_back();
    assert_eq!(driven.ask(), run_from(0));
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20)),
        ""
    );
    assert_eq!(driven.ask(), run_from(0));
}

#[test]
fn what_readers_need_waits_until_nothing_is_open() {
    let mut driven = Driven::new();
    driven.follower.look_back();
    driven.follower.make_sure();
    assert_eq!(driven.ask(), NEWEST);
    driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
    assert!(driven.follower.is_live());
}

#[test]
fn the_place_is_never_before_the_tail() {
    let mut driven = Driven::new();
    driven.ask();
    driven.newest(Some(told(12, Link::Unknown)), span(0, 7));
    assert_eq!(driven.follower.place(), 12);
    driven.follower.doubt();
    driven.ask();
    driven.newest(Some(told(12, Link::Unknown)), span(0, 3));
    assert_eq!(driven.follower.place(), 12);
    assert_eq!(driven.live(told(11, after(8))), "", "an old one is no gap");
    assert_eq!(driven.ask(), None);
}

#[test]
fn the_largest_sequence_is_the_last() {
    let mut driven = Driven::joined(12);
    assert_eq!(
        driven.live(told(u64::MAX, after(12))),
        format!("push {}", u64::MAX)
    );
    assert_eq!(driven.live(told(u64::MAX, after(u64::MAX))), "");
    assert_eq!(driven.live(told(0, after(u64::MAX))), "");
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    let newest = Some(told(u64::MAX, Link::Unknown));
    assert_eq!(driven.newest(newest, span(u64::MAX, u64::MAX)), "confirmed");
    assert!(driven.follower.is_live());
}

#[test]
fn an_engine_that_keeps_a_single_event_is_followed() {
    for keep in [0, 1] {
        let mut driven = Driven::new();
        driven.follower = Follower::new(keep);
        driven.ask();
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
        assert_eq!(driven.live(told(22, after(12))), "push 22");
        driven.live(told(30, after(25)));
        assert_eq!(driven.ask(), run_from(22));
        driven.run(unlinked(&[30]), span(0, 30));
        assert_eq!(driven.ask(), surely_run_from(22));
        driven.run(unlinked(&[30]), span(0, 30));
        assert_eq!(driven.ask(), SURELY_NEWEST);
        let said = driven.newest(Some(told(30, Link::Unknown)), span(0, 30));
        assert_eq!(said, "interrupt at 30");
        assert!(driven.follower.is_live());
    }
}
