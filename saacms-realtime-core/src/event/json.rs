//! The text of a record, kept as it was published except for whitespace between tokens.

use alloc::vec::Vec;

use memchr::memchr2;

/// The result of one pass over a JSON text, its strings skipped.
pub(super) struct Outline {
    /// The deepest nesting of arrays and objects.
    pub(super) depth: usize,
    /// Whether there is whitespace between tokens.
    pub(super) has_whitespace: bool,
}

/// Outlines `json`, which need not be valid: depth is checked before anything parses it.
pub(super) fn outline(json: &str) -> Outline {
    let (mut depth, mut deepest, mut has_whitespace) = (0_usize, 0, false);
    let mut bytes = json.as_bytes().iter();

    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            // Text that is not valid may close more than it opened.
            b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\r' | b'\n' => has_whitespace = true,
            _ => {}
        }
    }

    Outline {
        depth: deepest,
        has_whitespace,
    }
}

/// Appends `json`, which must be valid, without the whitespace between its tokens.
///
/// Tokens keep their bytes: numbers, member order, duplicates and escapes stay as they were written
/// (contract, section 2). No line break stays, as JSON allows none inside a string.
pub(super) fn append_compact(out: &mut Vec<u8>, json: &str, has_whitespace: bool) {
    if !has_whitespace {
        out.extend_from_slice(json.as_bytes());
        return;
    }

    let mut bytes = json.as_bytes().iter();
    // All bytes after the last whitespace: each run between whitespace is one copy.
    let mut uncopied = bytes.as_slice();
    loop {
        let from_here = bytes.as_slice();
        match bytes.next() {
            Some(b'"') => skip_string(&mut bytes),
            Some(b' ' | b'\t' | b'\r' | b'\n') => {
                out.extend_from_slice(&uncopied[..uncopied.len() - from_here.len()]);
                uncopied = bytes.as_slice();
            }
            Some(_) => {}
            None => return out.extend_from_slice(uncopied),
        }
    }
}

/// Moves past the closing quote of a string, after its opening quote was read.
fn skip_string(bytes: &mut core::slice::Iter<'_, u8>) {
    while let Some(at) = memchr2(b'"', b'\\', bytes.as_slice()) {
        if bytes.nth(at) == Some(&b'"') {
            return;
        }
        // A backslash: the byte after it is escaped.
        bytes.next();
    }
    // No closing quote: the text is not valid, which the parser reports later.
    *bytes = [].iter();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn compact(json: &str) -> String {
        let mut out = Vec::new();
        append_compact(&mut out, json, true);
        String::from_utf8(out).expect("cut at ASCII only")
    }

    #[test]
    fn whitespace_goes_between_tokens_and_stays_inside_strings() {
        assert_eq!(
            compact("\r\n{ \"a b\" : [ 1 , 2.50 ,\t\"c \\\" d \" ] , \"é \u{a0}\" : { } }\n"),
            "{\"a b\":[1,2.50,\"c \\\" d \"],\"é \u{a0}\":{}}"
        );
        assert_eq!(compact("  -0  "), "-0");
        assert_eq!(compact("\"\\\\\" "), "\"\\\\\"");
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        assert_eq!(outline(r#"{"a":"[[[{","b":[[]]}"#).depth, 3);
        assert_eq!(outline(r#""\"[""#).depth, 0);
        assert_eq!(outline("[[],{},[]]").depth, 2, "side by side is not deeper");
    }
}
