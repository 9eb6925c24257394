//! One record whose events an engine keeps: what the engine says about it.

mod told;

pub use told::{Link, Mark, Span, Told};
