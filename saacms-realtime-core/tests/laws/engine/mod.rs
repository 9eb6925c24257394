//! The laws over hubs that share an engine.

mod clients;
mod cluster;
mod ids;
mod joins;
mod losses;
mod moves;
mod publishes;
mod watches;
