//! Engines: what keeps events longer than this process lives.

pub mod disk;
