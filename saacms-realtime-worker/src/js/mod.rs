//! What touches JavaScript: works in a Worker only.

mod callbacks;
mod durable_object;
mod platform;
pub mod router;
mod sql;
mod streams;
mod timers;

pub use durable_object::SaacmsRealtimeDO;
