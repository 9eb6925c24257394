//! The program with its history on the disk: what outlives it, and what its operator is told.
#![cfg(all(unix, feature = "disk"))]

#[path = "../../../../saacms-realtime-core/tests/conformance/client.rs"]
mod client;
mod commands;
mod drain;
mod folder;
mod full;
mod hub;
mod ready;
#[path = "../real_server/mod.rs"]
mod real_server;
mod restart;
#[path = "../settings/run.rs"]
mod run;
#[path = "../../../../saacms-realtime-core/tests/conformance/stream.rs"]
mod stream;
