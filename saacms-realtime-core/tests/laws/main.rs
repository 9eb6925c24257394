//! The laws, each over a whole hub with injected time.
//!
//! 1. No silent gap. 2. No needless resync. 3. Bounded. 4. Order. 5. Input never panics and never
//!    injects. 6. Nothing accepted is lost. 7. Idle is free. 8. A ring has one life.
//!
//! And how a hub ends: `drain`; and the laws over hubs that share an engine: `engine`.
#![cfg(feature = "std")]

#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod bounded;
mod cost;
mod drain;
mod engine;
mod gap;
mod idle;
mod input;
mod memory;
mod needless;
mod one_life;
mod order;
mod settings;
mod unread;
