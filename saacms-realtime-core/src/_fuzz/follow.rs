use alloc::vec::Vec;

use crate::follow::{Ask, Effect, Follower, Link, Mark, Span, Told};

/// Whatever an engine and a driver say, a follower never panics, says nothing before it has joined, and
/// has one ask out at a time. Once the engine is sound, a few answers bring it to rest at the newest
/// event.
pub fn follow(bytes: &[u8]) {
    let [keep, inputs @ ..] = bytes else {
        return;
    };

    let mut driven = Driven {
        follower: Follower::new(usize::from(keep % 9)),
        effects: Vec::new(),
        has_begun: false,
        newest: None,
    };
    let mut inputs = inputs.iter().copied();
    while let Some(kind) = inputs.next() {
        driven.input(kind, &mut inputs);
        driven.check();
    }
    driven.come_to_rest();
}

struct Driven {
    follower: Follower<()>,
    effects: Vec<Effect<()>>,
    has_begun: bool,
    /// What the last effect says of the newest event.
    newest: Option<Mark>,
}

impl Driven {
    fn input(&mut self, kind: u8, bytes: &mut impl Iterator<Item = u8>) {
        match kind % 10 {
            0..3 => self.follower.live(told(bytes), &mut self.effects),
            3 => {
                let newest = (kind < 128).then(|| told(bytes));
                let span = span(bytes);
                self.follower.newest(newest, span, &mut self.effects);
            }
            4 => {
                let run = (0..kind / 32).map(|_| told(bytes)).collect();
                let span = span(bytes);
                self.follower.run(run, span, &mut self.effects);
            }
            5 => self.follower.failed(),
            6 => self.follower.doubt(),
            7 => self.follower.lost(),
            8 => self.follower.look_back(),
            _ => self.follower.make_sure(),
        }
        // A driver asks after every input; one that does not always do so is no worse.
        if kind < 200 && self.follower.ask().is_some() {
            assert!(!self.follower.is_live());
            assert_eq!(self.follower.ask(), None, "one ask at a time");
        }
    }

    fn check(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Begin(newest, _) => {
                    assert!(!self.has_begun, "readers begin once");
                    self.has_begun = true;
                    self.newest = newest.map(|told| told.mark);
                }
                Effect::Interrupt(newest, _) => {
                    assert!(self.has_begun);
                    self.newest = newest.map(|told| told.mark);
                }
                Effect::Push(told) => {
                    assert!(self.has_begun);
                    self.newest = Some(told.mark);
                }
                Effect::History(..) | Effect::Confirmed { .. } => assert!(self.has_begun),
            }
        }

        let tail = self.newest.map_or(0, |mark| mark.sequence);
        assert!(
            self.follower.place() >= tail,
            "the tail is ahead of the place"
        );
    }

    /// From now on a sound engine answers, which has three events.
    fn come_to_rest(&mut self) {
        let history = [told_at(300, 280), told_at(301, 300), told_at(305, 301)];
        let span = Span {
            since: 200,
            upto: 310,
        };
        // The answer to an ask of before must not come any more.
        self.follower.failed();
        self.follower.doubt();

        for _ in 0..12 {
            match self.follower.ask() {
                None => break,
                Some(Ask::Newest { .. }) => {
                    let newest = Some(history[2]);
                    self.follower.newest(newest, span, &mut self.effects);
                }
                Some(Ask::Run { from, .. }) => {
                    let run = history.iter().filter(|told| told.mark.sequence >= from);
                    let run = run.copied().collect();
                    self.follower.run(run, span, &mut self.effects);
                }
            }
            self.check();
        }

        assert!(self.follower.is_live(), "asks without end");
        assert_eq!(self.newest, Some(history[2].mark), "an event is missing");
    }
}

fn told_at(sequence: u64, before: u64) -> Told<()> {
    Told {
        mark: Mark { sequence, print: 1 },
        link: Link::After {
            sequence: before,
            print: Some(1),
        },
        event: (),
    }
}

/// Few sequences and prints, so that many fit.
fn told(bytes: &mut impl Iterator<Item = u8>) -> Told<()> {
    let byte = bytes.next().unwrap_or(0);
    let print = u64::from(byte & 1);
    let before = sequence(bytes);
    let link = match byte >> 1 & 3 {
        0 => Link::First,
        1 => Link::Unknown,
        2 => Link::After {
            sequence: before,
            print: None,
        },
        _ => Link::After {
            sequence: before,
            print: Some(u64::from(byte >> 3 & 1)),
        },
    };
    let mark = Mark {
        sequence: sequence(bytes),
        print,
    };
    Told {
        mark,
        link,
        event: (),
    }
}

fn span(bytes: &mut impl Iterator<Item = u8>) -> Span {
    Span {
        since: sequence(bytes),
        upto: sequence(bytes),
    }
}

fn sequence(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    match bytes.next().unwrap_or(0) {
        u8::MAX => u64::MAX,
        // Those of the sound engine, too.
        byte @ 200.. => 300 + u64::from(byte % 8),
        byte => u64::from(byte % 16),
    }
}
