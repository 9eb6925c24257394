use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::early::MAX_EARLY;
use super::*;

const KEEP: usize = 8;

/// A follower under test, and the effects of its last input as text.
struct Driven {
    follower: Follower<()>,
    effects: Vec<Effect<()>>,
}

/// An event with its usual print.
fn told(sequence: u64, link: Link) -> Told<()> {
    Told {
        mark: Mark {
            sequence,
            print: print(sequence),
        },
        link,
        event: (),
    }
}

fn print(sequence: u64) -> u64 {
    sequence.wrapping_mul(10)
}

/// The event at `sequence` if another one was lost there, with the same link.
fn rewritten(sequence: u64, link: Link) -> Told<()> {
    let mut told = told(sequence, link);
    told.mark.print += 1;
    told
}

/// A link by number alone.
fn after(sequence: u64) -> Link {
    Link::After {
        sequence,
        print: None,
    }
}

/// A link with the print of the event before.
fn exactly_after(sequence: u64) -> Link {
    Link::After {
        sequence,
        print: Some(print(sequence)),
    }
}

/// Unlinked events, as replicas are read.
fn unlinked(sequences: &[u64]) -> Vec<Told<()>> {
    let told = |sequence: &u64| told(*sequence, Link::Unknown);
    sequences.iter().map(told).collect()
}

fn span(since: u64, upto: u64) -> Span {
    Span { since, upto }
}

const NEWEST: Option<Ask> = Some(Ask::Newest { sure: false });
const SURELY_NEWEST: Option<Ask> = Some(Ask::Newest { sure: true });

fn run_from(from: u64) -> Option<Ask> {
    Some(Ask::Run { from, sure: false })
}

fn surely_run_from(from: u64) -> Option<Ask> {
    Some(Ask::Run { from, sure: true })
}

impl Driven {
    fn new() -> Self {
        Self {
            follower: Follower::new(KEEP),
            effects: Vec::new(),
        }
    }

    /// A follower that joined where `tail` is the newest event, of 20 in the engine.
    fn joined(tail: u64) -> Self {
        let mut driven = Self::new();
        assert_eq!(driven.ask(), NEWEST);
        driven.newest(Some(told(tail, Link::Unknown)), span(0, 20));
        driven
    }

    /// A follower that joined where no event is kept, of 20 in the engine.
    fn joined_at_nothing() -> Self {
        let mut driven = Self::new();
        assert_eq!(driven.ask(), NEWEST);
        driven.newest(None, span(5, 20));
        driven
    }

    fn ask(&mut self) -> Option<Ask> {
        self.follower.ask()
    }

    fn live(&mut self, told: Told<()>) -> String {
        self.follower.live(told, &mut self.effects);
        self.said()
    }

    fn newest(&mut self, newest: Option<Told<()>>, span: Span) -> String {
        self.follower.newest(newest, span, &mut self.effects);
        self.said()
    }

    fn run(&mut self, run: Vec<Told<()>>, span: Span) -> String {
        self.follower.run(run, span, &mut self.effects);
        self.said()
    }

    fn said(&mut self) -> String {
        let text = |effect: Effect<()>| match effect {
            Effect::Begin(newest, span) => format!("begin {}", at(newest, span)),
            Effect::Push(told) => format!("push {}", told.mark.sequence),
            Effect::Interrupt(newest, span) => format!("interrupt {}", at(newest, span)),
            Effect::History(history, floor) => {
                let sequences = history.iter().map(|told| told.mark.sequence);
                format!("history {:?} after {floor}", sequences.collect::<Vec<_>>())
            }
            Effect::Confirmed { sure: true } => "sure".into(),
            Effect::Confirmed { sure: false } => "confirmed".into(),
        };
        let said: Vec<String> = self.effects.drain(..).map(text).collect();
        said.join(", ")
    }
}

fn at(newest: Option<Told<()>>, span: Span) -> String {
    match newest {
        Some(told) => format!("at {}", told.mark.sequence),
        None => format!("after {}", span.upto),
    }
}

mod asks;
mod live;
mod robust;
mod runs;
