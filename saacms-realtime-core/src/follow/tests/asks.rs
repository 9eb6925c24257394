//! Joins, doubts, checks and losses.

use super::*;

#[test]
fn readers_begin_at_the_newest_event() {
    let mut driven = Driven::new();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.ask(), None, "one ask at a time");
    assert!(!driven.follower.is_live());
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20)),
        "begin at 12"
    );
    assert!(driven.follower.is_live());
    assert_eq!(driven.follower.place(), 20);
    assert_eq!(driven.ask(), None);
}

#[test]
fn where_no_event_is_kept_readers_begin_at_the_newest_place_of_all() {
    let mut driven = Driven::new();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.newest(None, span(5, 20)), "begin after 20");
    assert_eq!(driven.follower.place(), 20);
}

#[test]
fn events_that_came_early_follow_the_join() {
    let mut driven = Driven::new();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.live(told(12, after(8))), "");
    assert_eq!(driven.live(told(22, after(12))), "");
    let said = driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
    assert_eq!(said, "begin at 12, push 22", "not only at the next check");
    assert!(driven.follower.is_live());
}

#[test]
fn after_a_loss_readers_refetch_once_the_new_tail_is_known() {
    let mut driven = Driven::joined(12);
    driven.follower.lost();
    assert_eq!(
        driven.said(),
        "",
        "whoever refetched now would miss what comes before the tail"
    );
    assert_eq!(driven.ask(), SURELY_NEWEST);
    assert_eq!(driven.live(told(9, after(8))), "");
    let said = driven.newest(Some(told(8, Link::Unknown)), span(0, 8));
    assert_eq!(said, "interrupt at 8, push 9");
    assert_eq!(
        driven.follower.place(),
        9,
        "the place goes back with the engine"
    );
}

#[test]
fn a_loss_before_the_join_interrupts_nobody() {
    let mut driven = Driven::new();
    assert_eq!(driven.ask(), NEWEST);
    driven.follower.lost();
    assert_eq!(driven.ask(), SURELY_NEWEST, "the first ask is given up");
    assert_eq!(driven.newest(None, span(0, 0)), "begin after 0");
}

#[test]
fn a_loss_discards_early_events_whatever_was_open() {
    let opened: [fn(&mut Driven); 3] = [
        |driven| driven.follower.doubt(),
        |driven| drop(driven.live(told(23, after(22)))),
        |driven| driven.follower.lost(),
    ];
    for open in opened {
        let mut driven = Driven::joined(12);
        open(&mut driven);
        assert!(driven.ask().is_some());
        driven.live(told(22, after(12)));
        driven.follower.lost();
        assert_eq!(driven.ask(), SURELY_NEWEST);
        let said = driven.newest(Some(told(12, Link::Unknown)), span(0, 20));
        assert_eq!(
            said, "interrupt at 12",
            "an event of the lost history fits by its number"
        );
        assert!(driven.follower.is_live());
    }
}

#[test]
fn a_doubt_is_settled_if_the_tail_is_still_the_newest_event() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 31)),
        "confirmed"
    );
    assert_eq!(driven.follower.place(), 31);
    assert!(driven.follower.is_live());
}

#[test]
fn a_doubt_is_settled_if_the_tail_was_dropped_and_nothing_came_after_it() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(
        driven.newest(None, span(20, 31)),
        "confirmed",
        "dropped up to the place"
    );

    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.newest(None, span(32, 40)), "");
    assert_eq!(
        driven.ask(),
        run_from(12),
        "something may have come and gone"
    );
}

#[test]
fn a_tail_that_is_no_more_and_was_not_dropped_is_read_for() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(driven.newest(None, span(11, 20)), "");
    assert_eq!(driven.ask(), run_from(12));
}

#[test]
fn another_event_with_the_number_of_the_tail_is_not_the_tail() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    assert_eq!(
        driven.newest(Some(rewritten(12, Link::Unknown)), span(0, 20)),
        ""
    );
    assert_eq!(driven.ask(), run_from(12));
}

#[test]
fn making_sure_asks_who_is_never_behind_also_for_the_run() {
    let mut driven = Driven::joined(12);
    driven.follower.make_sure();
    assert_eq!(driven.ask(), SURELY_NEWEST);
    assert_eq!(
        driven.newest(Some(told(15, Link::Unknown)), span(0, 20)),
        ""
    );
    assert_eq!(driven.ask(), surely_run_from(12));
    assert_eq!(
        driven.run(unlinked(&[12, 15]), span(0, 20)),
        "push 15, sure"
    );

    driven.follower.make_sure();
    assert_eq!(driven.ask(), SURELY_NEWEST);
    assert_eq!(
        driven.newest(Some(told(15, Link::Unknown)), span(0, 20)),
        "sure"
    );
}

#[test]
fn a_doubt_while_an_ask_is_out_asks_again() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    driven.follower.doubt();
    assert_eq!(driven.ask(), None);
    let newest = Some(told(12, Link::Unknown));
    assert_eq!(driven.newest(newest, span(0, 20)), "confirmed");
    assert_eq!(
        driven.ask(),
        NEWEST,
        "the engine may have looked before the second doubt"
    );
    assert_eq!(driven.newest(newest, span(0, 20)), "confirmed");
    assert_eq!(driven.ask(), None);
}

#[test]
fn a_doubt_before_the_next_ask_needs_no_further_one() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    driven.follower.doubt();
    driven.follower.failed();
    assert_eq!(driven.ask(), NEWEST, "asked after both doubts");
    assert_eq!(
        driven.newest(Some(told(12, Link::Unknown)), span(0, 20)),
        "confirmed"
    );
    assert_eq!(driven.ask(), None);
}

#[test]
fn a_doubt_makes_early_events_void_until_the_engine_is_sure() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    driven.live(told(22, after(12)));
    driven.follower.doubt();
    let newest = Some(told(12, Link::Unknown));
    assert_eq!(
        driven.newest(newest, span(0, 20)),
        "confirmed",
        "and not pushed"
    );
    assert_eq!(
        driven.ask(),
        SURELY_NEWEST,
        "a stale replica may not have it"
    );
    assert_eq!(driven.newest(newest, span(0, 21)), "sure");
    assert!(driven.follower.is_live());
}

#[test]
fn a_failed_ask_is_asked_again() {
    let mut driven = Driven::joined(12);
    driven.follower.make_sure();
    assert_eq!(driven.ask(), SURELY_NEWEST);
    driven.follower.failed();
    assert_eq!(driven.ask(), SURELY_NEWEST);
    driven.newest(Some(told(15, Link::Unknown)), span(0, 20));
    assert_eq!(driven.ask(), surely_run_from(12));
    driven.follower.failed();
    assert_eq!(driven.ask(), surely_run_from(12));
}

#[test]
fn a_second_doubt_does_not_undo_the_first() {
    let mut driven = Driven::joined(12);
    driven.follower.doubt();
    assert_eq!(driven.ask(), NEWEST);
    driven.live(told(22, after(12)));
    driven.follower.doubt();
    driven.follower.doubt();

    let newest = Some(told(12, Link::Unknown));
    assert_eq!(driven.newest(newest, span(0, 20)), "confirmed");
    assert_eq!(driven.ask(), SURELY_NEWEST, "the early event is void");

    driven.follower.doubt();
    driven.follower.doubt();
    assert_eq!(driven.newest(newest, span(0, 21)), "sure");
    assert_eq!(driven.ask(), NEWEST, "the engine may have looked before");
}
