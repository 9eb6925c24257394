//! Settings of the server: where they come from, how they are refused, what is printed.
//!
//! `--print-config` checks all settings and stops, so no test has to stop a server that it did not
//! want.

mod layers;
#[cfg(unix)]
mod log;
mod refusals;
mod run;
