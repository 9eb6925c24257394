//! `saacms-realtime publish` and `tail`, against a hub that answers by script.
//!
//! The script decides what is cut, refused and repeated, and sees every byte of a request: a real
//! hub would do the right thing too rarely wrong.

mod hub;
mod publish;
mod run;
mod tail;
