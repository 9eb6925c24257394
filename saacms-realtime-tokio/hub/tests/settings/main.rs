//! Settings of the server: where they come from, how they are refused, what is printed.
//!
//! `--print-config` checks all settings and exits, so most tests need not start a server.

mod commands;
mod layers;
#[cfg(unix)]
mod log;
mod readme;
mod refusals;
mod run;
