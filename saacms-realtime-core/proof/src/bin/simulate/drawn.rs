use core::fmt::Debug;

use crate::chance::Chance;
use crate::counts::Counted;
use crate::run::{Outcome, Simulation};
use crate::scenario::seeded;

/// A scenario whose operations draw their own choices.
#[derive(Clone, Debug)]
pub(crate) struct Drawn<S> {
    seed: u64,
    settings: S,
    ops: Vec<Op>,
}

/// One operation: the seed of its random choices, the kind of operation among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op(pub(crate) u64);

/// The settings of a run, which stay as they are throughout it.
pub(crate) trait Settings: Clone + Debug {
    type Counts: Counted;

    /// A run has from 20 to 19 + `OPS` operations.
    const OPS: usize;

    fn draw(chance: &mut Chance) -> Self;
    fn run(&self, seed: u64, ops: &[Op], is_traced: bool) -> Outcome<Self::Counts>;
}

impl<S: Settings> Simulation for Drawn<S> {
    type Counts = S::Counts;
    type Op = Op;

    fn draw(seed: u64) -> Self {
        let mut chance = seeded(seed);
        let settings = S::draw(&mut chance);
        let count = 20 + chance.index(S::OPS);
        let ops = (0..count).map(|_| Op(chance.next())).collect();
        Self {
            seed,
            settings,
            ops,
        }
    }

    fn run(&self, is_traced: bool) -> Outcome<S::Counts> {
        self.settings.run(self.seed, &self.ops, is_traced)
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn settings(&self) -> &dyn Debug {
        &self.settings
    }

    fn ops(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }
}
