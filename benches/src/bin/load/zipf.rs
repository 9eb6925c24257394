//! How often each key is drawn.

use crate::chance::Chance;

/// Zipf's law: the n-th key is drawn 1/n as often as the first.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// For each key, the shares of all keys up to it; the last is 1, but for rounding.
    up_to: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self { up_to }
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> usize {
        let unit = chance.unit();
        self.up_to
            .partition_point(|share| *share < unit)
            .min(self.up_to.len() - 1)
    }
}
