//! What is read: where it continues, where it does not, and history.

use super::*;

/// Reads after a gap; the answer is not yet sure.
fn reading(mut driven: Driven) -> Driven {
    driven.live(told(60, after(59)));
    assert!(driven.ask().is_some());
    driven
}

/// What a run leads to, as the answer to the first ask after a gap.
fn read(driven: Driven, run: Vec<Told<()>>, span: Span) -> String {
    reading(driven).run(run, span)
}

#[test]
fn what_is_after_the_tail_is_pushed() {
    let run = unlinked(&[8, 12, 40, 60]);
    let said = read(Driven::joined(12), run, span(0, 60));
    assert_eq!(said, "push 40, push 60, confirmed");
}

#[test]
fn another_event_with_the_number_of_the_tail_is_no_anchor() {
    let mut run = unlinked(&[8, 12, 40, 60]);
    run[1] = rewritten(12, Link::Unknown);
    assert_eq!(read(Driven::joined(12), run, span(0, 60)), "");
}

#[test]
fn nothing_is_left_after_a_tail_that_was_dropped() {
    let said = read(Driven::joined(12), Vec::new(), span(20, 20));
    assert_eq!(said, "confirmed");
    let said = read(Driven::joined(12), Vec::new(), span(11, 20));
    assert_eq!(said, "", "the tail was not dropped, so it was lost");
    let said = read(Driven::joined(12), Vec::new(), span(21, 60));
    assert_eq!(said, "", "something may have come and gone");
}

#[test]
fn a_run_may_begin_with_the_event_after_the_tail() {
    let run = |link| Vec::from([told(40, link), told(60, exactly_after(40))]);
    let said = read(Driven::joined(12), run(exactly_after(12)), span(0, 60));
    assert_eq!(said, "push 40, push 60, confirmed");
    let said = read(Driven::joined(12), run(after(12)), span(20, 60));
    assert_eq!(said, "", "by number alone, it may follow another event");
    let said = read(Driven::joined(12), run(exactly_after(15)), span(20, 60));
    assert_eq!(said, "");
}

#[test]
fn where_nothing_was_kept_a_run_may_follow_what_was_dropped_before() {
    let run = |before| Vec::from([told(60, exactly_after(before))]);
    let nothing = Driven::joined_at_nothing;
    assert_eq!(read(nothing(), run(5), span(5, 60)), "push 60, confirmed");
    assert_eq!(
        read(nothing(), run(6), span(5, 60)),
        "",
        "nobody here saw that"
    );
    assert_eq!(
        read(nothing(), run(5), span(21, 60)),
        "",
        "something may have gone unseen"
    );
}

#[test]
fn a_run_without_an_event_before_it_follows_a_tail_that_was_dropped() {
    let run = || Vec::from([told(60, Link::First)]);
    let said = read(Driven::joined(12), run(), span(12, 60));
    assert_eq!(said, "push 60, confirmed");
    assert_eq!(read(Driven::joined(12), run(), span(11, 60)), "");
    assert_eq!(read(Driven::joined(12), run(), span(21, 60)), "");
}

#[test]
fn an_unlinked_run_follows_a_dropped_tail_if_it_is_half_of_what_is_kept() {
    let four = || unlinked(&[57, 58, 59, 60]);
    let said = read(Driven::joined(12), four(), span(12, 60));
    assert_eq!(said, "push 57, push 58, push 59, push 60, confirmed");
    assert_eq!(read(Driven::joined(12), four(), span(11, 60)), "");
    assert_eq!(read(Driven::joined(12), four(), span(21, 60)), "");
    let five = unlinked(&[56, 57, 58, 59, 60]);
    assert_eq!(read(Driven::joined(12), five, span(12, 60)), "");
}

#[test]
fn readers_refetch_only_after_a_sure_answer() {
    let mut driven = reading(Driven::joined(12));
    assert_eq!(driven.run(unlinked(&[59, 60]), span(21, 60)), "");
    assert_eq!(driven.ask(), surely_run_from(12));
    assert_eq!(driven.run(unlinked(&[59, 60]), span(21, 60)), "");
    assert_eq!(
        driven.ask(),
        SURELY_NEWEST,
        "the tail first, then the resync"
    );
    let said = driven.newest(Some(told(60, Link::Unknown)), span(21, 61));
    assert_eq!(said, "interrupt at 60");
    assert!(driven.follower.is_live());
}

#[test]
fn a_look_back_reads_all_that_is_kept() {
    let mut driven = Driven::joined(12);
    driven.follower.look_back();
    assert_eq!(driven.ask(), run_from(0));
    let said = driven.run(unlinked(&[4, 8, 12, 22]), span(3, 22));
    assert_eq!(said, "history [4, 8, 12] after 3, push 22, confirmed");
    driven.live(told(60, after(59)));
    assert_eq!(driven.ask(), run_from(22), "once is enough");
}

#[test]
fn a_history_says_after_which_sequence_it_is_whole() {
    let history = |run: Vec<Told<()>>| {
        let mut driven = Driven::joined(12);
        driven.follower.look_back();
        driven.ask();
        driven.run(run, span(3, 20))
    };
    let linked = [told(8, exactly_after(5)), told(12, exactly_after(8))];
    assert_eq!(history(linked.into()), "history [8, 12] after 5, confirmed");
    let long = unlinked(&[6, 7, 8, 9, 12]);
    assert_eq!(
        history(long),
        "history [6, 7, 8, 9, 12] after 6, confirmed",
        "older events may have been dropped for them"
    );
}

#[test]
fn a_look_back_that_finds_a_loss_waits_for_the_next_read() {
    let mut driven = Driven::joined(12);
    driven.follower.look_back();
    assert_eq!(driven.ask(), run_from(0));
    assert_eq!(driven.run(unlinked(&[8]), span(0, 9)), "");
    assert_eq!(
        driven.ask(),
        Some(Ask::Run {
            from: 0,
            sure: true
        })
    );
    assert_eq!(driven.run(unlinked(&[8]), span(0, 9)), "");
    assert_eq!(driven.ask(), SURELY_NEWEST);
    let said = driven.newest(Some(told(8, Link::Unknown)), span(0, 9));
    assert_eq!(said, "interrupt at 8");
    driven.follower.look_back();
    assert_eq!(driven.ask(), run_from(0));
    assert_eq!(
        driven.run(unlinked(&[8]), span(0, 9)),
        "history [8] after 0, confirmed"
    );
}
