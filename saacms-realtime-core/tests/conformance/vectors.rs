//! The golden cases of `http.json`, asked of a server over HTTP.
//!
//! They say what the JavaScript plugin answers. What is expected here is the contract's answer, by
//! the rules below and never by the name of a case, so that other cases of the same form can be
//! asked too. `SAACMS_VECTORS=DIR` reads the file from another directory.
//!
//! Target `route` asks for a path. The contract (Q57, Q58): each segment is decoded once; what is no
//! key then, or not UTF-8, is 400; what is no path of the API is 404. Target `do`: see `object`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use saacms_realtime_core::ResourceKey;
use serde_json::Value;

use super::client::Request;
use super::world::{KEEPALIVE, World, frame};
use super::{Start, message, object};

/// Runs all cases; answers how many, and what went wrong.
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

/// A relative `SAACMS_VECTORS` is meant from where cargo was called, mostly the workspace; tests run
/// in the directory of their package.
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

/// What a server of the contract answers a subscribe path with.
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
            assert_eq!(world.stats().topics, 0, "{target} registered somebody");
            return;
        }
        Routed::To(key) => key,
    };
    let mut stream = world.open(&Request::get(target));
    stream.expect(KEEPALIVE);
    // The stream is that record's and no other's.
    let event = serde_json::json!({
        "type": "changed", "slug": key.slug(), "id": key.id(), "record": 1, "etag": "v1",
    });
    world.publish_event(&event.to_string());
    stream.expect(frame("v1", "1"));
    assert_eq!(world.stats().topics, 1, "{target}");
}

fn contract_of_route(target: &str, expect: &Value) -> Routed {
    let path = target.split('?').next().unwrap_or_default();
    if expect["matched"] != true {
        // An empty part is a key that cannot be; the plugin's host has no route for it.
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
