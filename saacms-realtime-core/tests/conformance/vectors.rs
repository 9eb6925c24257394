//! The golden cases of `http.json`, as requests to a server.
//!
//! The cases record the JavaScript plugin's answers. The contract's answer is expected here. It
//! follows from the rules below and never from the name of a case, so other cases of the same form
//! work too. `SAACMS_VECTORS=DIR` reads the file from another directory.
//!
//! Target `route` requests a path. By the contract (Q57, Q58), each segment is decoded once; 400 if
//! the result is not a valid key or not UTF-8; 404 outside the API. For target `do`, see `object`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use saacms_realtime_core::ResourceKey;
use serde_json::Value;

use super::client::Request;
use super::world::{World, frame};
use super::{Start, message, object};

/// Runs all cases. Returns their number and the failures.
pub(super) fn run(start: Start) -> (usize, Vec<String>) {
    let (vectors, quirks) = (read("http.json"), read("quirks.json"));
    assert_eq!(vectors["format"], "saacms-realtime/http@1");

    let cases = vectors["cases"]
        .as_array()
        .filter(|cases| !cases.is_empty());
    let cases = cases.unwrap_or_else(|| panic!("http.json has no case"));
    let failures = cases.iter().filter_map(|case| {
        let failed = catch_unwind(AssertUnwindSafe(|| check(start, case, &quirks))).err()?;
        Some(format!(
            "{} {}: {}",
            case["id"],
            case["name"],
            message(&*failed)
        ))
    });
    (cases.len(), failures.collect())
}

fn read(name: &str) -> Value {
    let file = directory().join(name);
    let text = fs::read_to_string(&file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The directory of the vectors. Tests run in the directory of their package, but a relative
/// `SAACMS_VECTORS` is written from where cargo was called, usually the workspace.
fn directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match std::env::var_os("SAACMS_VECTORS") {
        None => workspace.join("saacms-realtime-core/tests/vectors"),
        Some(given) => {
            let from_workspace = workspace.join(&given);
            if from_workspace.is_dir() {
                from_workspace
            } else {
                PathBuf::from(given)
            }
        }
    }
}

fn check(start: Start, case: &Value, quirks: &Value) {
    match text(case, "target") {
        "route" => check_route(start, case),
        "do" => object::check(start, case, quirks),
        other => panic!("unknown target {other}"),
    }
}

/// The contract's answer to a subscribe path.
#[derive(Debug, PartialEq, Eq)]
enum Routed {
    To(ResourceKey),
    Refused(u16),
}

fn check_route(start: Start, case: &Value) {
    let target = text(case, "path");
    let expected = contract_of_route(target, &case["expect"]);
    let world = World::start(start);
    let key = match &expected {
        Routed::Refused(status) => {
            assert_eq!(
                world.ask(&Request::get(target)).status(),
                *status,
                "{target}"
            );
            assert_eq!(world.stats().topics, 0, "{target} registered a subscriber");
            return;
        }
        Routed::To(key) => key,
    };
    let mut stream = world.greeted(&Request::get(target));

    // The stream is that of the expected record.
    let event = serde_json::json!({
        "type": "changed", "slug": key.slug(), "id": key.id(), "record": 1, "etag": "v1",
    });

    world.publish_event(&event.to_string());
    stream.expect(frame("v1", "1"));
    assert_eq!(world.stats().topics, 1, "{target}");
}

fn contract_of_route(target: &str, expect: &Value) -> Routed {
    let path = target.split('?').next().unwrap_or_default();
    // A dot segment is refused, where the plugin's host resolves it (Q58).
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Routed::Refused(400);
    }
    if expect["matched"] != true {
        // An empty segment is an invalid key. The plugin's host has no route for it.
        return Routed::Refused(if path.contains("//") { 400 } else { 404 });
    }
    if String::from_utf8(percent_decoded(path)).is_err() {
        return Routed::Refused(400);
    }
    match ResourceKey::new(text(expect, "slug"), text(expect, "id")) {
        Ok(key) => Routed::To(key),
        Err(_) => Routed::Refused(400),
    }
}

pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes();
    let mut decoded = Vec::new();
    while let Some((byte, rest)) = bytes.split_first() {
        let hex = rest.get(..2).and_then(|hex| core::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|_| *byte == b'%') {
            Some(code) => {
                decoded.push(code);
                bytes = &rest[2..];
            }
            None => {
                decoded.push(*byte);
                bytes = rest;
            }
        }
    }

    decoded
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("`{member}` is no text in {value}"))
}
