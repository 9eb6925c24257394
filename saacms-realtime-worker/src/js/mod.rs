//! Everything that touches JavaScript. It works only in a Worker.

mod alarm;
mod batch;
mod callbacks;
mod durable_object;
mod guard;
mod host;
mod inner;
mod lock;
mod options;
mod platform;
pub mod router;
mod sockets;
mod sql;
mod streams;
mod timers;
mod websocket;

pub use durable_object::SaacmsRealtimeDO;
