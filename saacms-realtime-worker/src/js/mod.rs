//! Everything that touches JavaScript. It works only in a Worker.

mod alarm;
mod callbacks;
mod durable_object;
mod guard;
mod host;
mod inner;
mod options;
mod platform;
pub mod router;
mod sql;
mod streams;
mod timers;

pub use durable_object::SaacmsRealtimeDO;
