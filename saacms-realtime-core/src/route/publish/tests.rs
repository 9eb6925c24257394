use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use super::*;
use crate::refusal::Refusal;
use crate::route::limits::{MAX_FAILED_LINES, MAX_RESULTS_BYTES};

#[test]
fn a_bad_line_fails_alone() {
    let body = b"{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"1\"}\r\n\nnope\n \n{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"2\"}";
    let mut published = Vec::new();
    let reply = PublishFormat::Ndjson.run(body, |event| {
        published.push(event.key().id().parse::<u32>().expect("a number"));
        Ok::<(), Problem>(())
    });
    assert_eq!(published, [1, 2]);
    let lines: Vec<_> = reply.body.split(|byte| *byte == b'\n').collect();
    assert_eq!(
        (lines.len(), lines[0], lines[2]),
        (4, &br#"{"status":204}"#[..], lines[0])
    );
    assert!(lines[1].starts_with(br#"{"type":"urn:saacms-realtime:invalid-event""#));
}

fn deleted(id: usize) -> String {
    format!("{{\"type\":\"deleted\",\"slug\":\"s\",\"id\":\"{id}\"}}\n")
}

/// Runs a body of NDJSON. Returns the IDs published, the turns it took, and the results.
fn run(body: &str) -> (Vec<usize>, usize, Vec<String>) {
    let mut published = Vec::new();
    let mut turns = PublishFormat::Ndjson.turns(body.as_bytes());
    for count in 1.. {
        let turn = turns.turn(|event| {
            published.push(id_of(&event));
            future::ready(Ok::<(), Problem>(()))
        });
        if let Some(reply) = block_on(turn) {
            let text = String::from_utf8(reply.body).expect("UTF-8");
            return (published, count, text.lines().map(String::from).collect());
        }
    }
    unreachable!("turns end")
}

fn id_of(event: &Event) -> usize {
    event.key().id().parse().expect("a number")
}

/// Polls a future until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return output;
        }
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn lines_are_published_in_turns_of_a_few_kilobytes() {
    let body: String = (0..2_000).map(deleted).collect();
    let (published, turns, results) = run(&body);
    assert!(published.into_iter().eq(0..2_000));
    assert_eq!(
        (turns, results.len()),
        (body.len().div_ceil(PUBLISH_TURN_BYTES), 2_000)
    );
    let empty_lines = "\n".repeat(4 * PUBLISH_TURN_BYTES);
    assert_eq!(run(&empty_lines), (Vec::new(), 4, Vec::new()));
    assert_eq!(run(""), (Vec::new(), 1, Vec::new()));
}

#[test]
fn after_a_thousand_failures_the_rest_is_not_tried() {
    let bad = "x\n".repeat(MAX_FAILED_LINES);
    let (published, _, results) = run(&(bad.clone() + "\n \n"));
    assert_eq!(
        (published.len(), results.len()),
        (0, MAX_FAILED_LINES),
        "nothing is left"
    );

    let (published, _, results) = run(&(deleted(1) + &bad + &deleted(2) + "\nx\n" + &deleted(3)));
    assert_eq!((published, results.len()), (vec![1], MAX_FAILED_LINES + 2));
    let closing = results.last().expect("a result");
    assert!(
        closing.contains("lines-not-tried") && closing.contains("last 3 lines"),
        "{closing}"
    );
}

#[test]
fn after_a_megabyte_of_results_the_rest_is_not_tried() {
    let per_line = "{\"status\":204}\n".len();
    let tried = MAX_RESULTS_BYTES.div_ceil(per_line);
    let body: String = (0..tried + 7).map(deleted).collect();
    let (published, _, results) = run(&body);
    assert_eq!((published.len(), results.len()), (tried, tried + 1));
    assert!(
        results[tried].contains("last 7 lines"),
        "{}",
        results[tried]
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let (published, _, results) = run(&format!("\u{feff}{}\u{feff}\n", deleted(1)));
    assert_eq!((published, results.len()), (vec![1], 1));
    let body = "\u{feff}".to_owned() + &deleted(1);
    let reply = PublishFormat::Json.run(body.as_bytes(), |_| Ok::<(), Problem>(()));
    assert_eq!(reply.status, 204);
}

#[test]
fn the_media_type_decides_and_its_parameters_do_not() {
    let format = |content_type: &str| PublishFormat::of(Some(content_type.as_bytes()));
    assert_eq!(
        format("Application/X-NDJSON; charset=utf-8"),
        PublishFormat::Ndjson
    );
    assert_eq!(format("text/plain"), PublishFormat::Json);
    assert_eq!(PublishFormat::of(None), PublishFormat::Json);
}

/// An outcome that is known after some polls, and counts itself as long as it exists.
struct Late {
    polls: usize,
    outcome: Result<(), Refusal>,
    count: Rc<Cell<usize>>,
}

impl Late {
    fn new(polls: usize, outcome: Result<(), Refusal>, count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        let count = Rc::clone(count);
        Self {
            polls,
            outcome,
            count,
        }
    }
}

impl Future for Late {
    type Output = Result<(), Refusal>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(self.outcome);
        }
        self.polls -= 1;
        Poll::Pending
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

/// Publishes a body whose outcomes come late. Returns the IDs in the order of the calls, the answer,
/// and how many lines waited at once.
fn run_late(
    body: &str,
    polls: impl Fn(usize) -> usize,
    outcome: impl Fn(usize) -> Result<(), Refusal>,
) -> (Vec<usize>, Reply, usize) {
    let (mut published, mut most) = (Vec::new(), 0);
    let count = Rc::new(Cell::new(0));
    let mut turns = PublishFormat::Ndjson.turns(body.as_bytes());
    loop {
        let turn = turns.turn(|event| {
            let id = id_of(&event);
            published.push(id);
            let late = Late::new(polls(id), outcome(id), &count);
            most = most.max(count.get());
            late
        });
        if let Some(reply) = block_on(turn) {
            return (published, reply, most);
        }
    }
}

/// A number that looks random, below `limit`.
fn mixed(seed: usize, limit: usize) -> usize {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29) >> 7) as usize % limit
}

#[test]
fn outcomes_that_come_late_give_the_answer_that_they_give_at_once() {
    for seed in 0..40 {
        let lines = mixed(seed, 3_000);
        let body: String = (0..lines)
            .map(|line| match mixed(seed ^ line << 8, 12) {
                0 => "\n".to_owned(),
                1 => "x\n".to_owned(),
                _ => deleted(line),
            })
            .collect();
        // From hardly any that fail to nearly all.
        let outcome = |id: usize| match mixed(seed << 12 ^ id, 40) {
            kind if kind > seed => Ok(()),
            kind if kind % 2 == 0 => Err(Refusal::EngineFull),
            _ => Err(Refusal::EventTooLarge { limit: id }),
        };

        let mut published = Vec::new();
        let at_once = PublishFormat::Ndjson.run(body.as_bytes(), |event| {
            let id = id_of(&event);
            published.push(id);
            outcome(id)
        });
        let (submitted, late, _) = run_late(&body, |id| mixed(id, 9), outcome);
        assert_eq!(submitted, published, "seed {seed}");
        assert!(late == at_once, "seed {seed}");
    }
}

#[test]
fn results_that_come_late_keep_to_a_megabyte() {
    let tried = MAX_RESULTS_BYTES.div_ceil("{\"status\":204}\n".len());
    let body: String = (0..tried + 7).map(deleted).collect();
    let (submitted, reply, most) = run_late(&body, |id| id % 3, |_| Ok(()));
    assert_eq!(submitted.len(), tried);
    assert!(reply.body.ends_with(b"}\n") && most > 1);
}

#[test]
fn as_many_lines_wait_as_may_fail_and_none_is_left_when_nobody_waits_for_them() {
    let body: String = (0..2 * MAX_FAILED_LINES).map(deleted).collect();
    let count = Rc::new(Cell::new(0));
    let mut published = Vec::new();
    let mut turns = PublishFormat::Ndjson.turns(body.as_bytes());
    loop {
        let turn = pin!(turns.turn(|event| {
            published.push(id_of(&event));
            Late::new(usize::MAX, Ok(()), &count)
        }));
        if poll_once(turn).is_pending() {
            break;
        }
    }

    assert!(published.into_iter().eq(0..MAX_FAILED_LINES));
    assert_eq!(count.get(), MAX_FAILED_LINES);
    drop(turns);
    assert_eq!(count.get(), 0);
}

#[test]
fn a_single_event_is_answered_once_its_outcome_is_known() {
    let count = Rc::new(Cell::new(0));
    let body = deleted(1);
    for (outcome, status) in [(Ok(()), 204), (Err(Refusal::EngineAway), 503)] {
        let mut turns = PublishFormat::Json.turns(body.as_bytes());
        let mut turn = pin!(turns.turn(|_| Late::new(2, outcome, &count)));
        assert!(poll_once(turn.as_mut()).is_pending());
        assert!(poll_once(turn.as_mut()).is_pending());
        assert_eq!(count.get(), 1);
        let Poll::Ready(Some(reply)) = poll_once(turn.as_mut()) else {
            panic!("no answer")
        };
        assert_eq!((reply.status, count.get()), (status, 0));
    }
}
