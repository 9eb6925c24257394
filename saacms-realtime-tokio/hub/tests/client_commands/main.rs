//! `saacms-realtime publish` and `tail`, against a scripted hub.
//!
//! The script decides what is cut, refused and repeated, which a real hub would almost never do,
//! and sees every byte of a request.

mod hub;
mod ndjson;
mod publish;
mod run;
mod tail;
mod tail_outages;
mod tail_output;
