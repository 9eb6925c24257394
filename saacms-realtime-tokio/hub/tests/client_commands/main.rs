//! `saacms-realtime publish` and `tail`, against a hub that answers by script.
//!
//! The script decides what is cut, refused and repeated, and sees every byte of a request. A real hub
//! would almost never do these things.

mod hub;
mod ndjson;
mod publish;
mod run;
mod tail;
mod tail_output;
