use alloc::vec::Vec;
use core::fmt;

use percent_encoding::percent_decode_str;

use super::Problem;
use crate::name::ResourceKey;

/// The target that a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'p> {
    /// `{base}/publish`
    Publish,
    /// `{base}/{collection}/{id}/subscribe`, both still percent-encoded.
    Subscribe { slug: &'p str, id: &'p str },
    /// Nothing that this API serves.
    Unknown,
}

/// Finds the target that `path` names in an API at `base_path`.
pub(super) fn target<'p>(path: &'p str, base_path: &str) -> Target<'p> {
    let Some(path) = path
        .strip_prefix(base_path)
        .and_then(|path| path.strip_prefix('/'))
    else {
        return Target::Unknown;
    };

    let mut segments = path.split('/');
    // The fourth is there only to know that the path has ended.
    match [
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    ] {
        [Some("publish"), None, ..] => Target::Publish,
        [Some(slug), Some(id), Some("subscribe"), None] => Target::Subscribe { slug, id },
        _ => Target::Unknown,
    }
}

/// Whether a path has a dot segment, which a URL parser would resolve (WHATWG URL, "path state").
///
/// Such a path means one thing to a proxy that compares paths as text and another to one that
/// resolves them, so a proxy's rule could be walked around.
pub(super) fn has_dot_segment(path: &str) -> bool {
    path.split('/')
        .any(|segment| is_dot(segment) || is_double_dot(segment))
}

fn is_dot(segment: &str) -> bool {
    after_dot(segment) == Some("")
}

fn is_double_dot(segment: &str) -> bool {
    after_dot(segment).is_some_and(is_dot)
}

fn after_dot(text: &str) -> Option<&str> {
    [".", "%2e", "%2E"]
        .iter()
        .find_map(|dot| text.strip_prefix(dot))
}

/// Reads the resource key of two path segments, each percent-decoded once.
pub(super) fn key(slug: &str, id: &str) -> Result<ResourceKey, Problem> {
    let decode = |part, text| {
        percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| Problem::path_not_utf8(part))
    };
    Ok(ResourceKey::new(
        &decode("collection", slug)?,
        &decode("ID", id)?,
    )?)
}

/// Finds the first `lastEventId` of a query (URL Standard, application/x-www-form-urlencoded).
pub(super) fn last_event_id(query: &str) -> Option<Vec<u8>> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == "lastEventId").then(|| percent_decode_str(&value.replace('+', " ")).collect())
    })
}

/// Accepts an empty path, or `/` and whole segments. A `/` at the end is allowed.
pub(super) fn check_base(base_path: &str) -> Result<(), InvalidBasePath> {
    // No character that would have to be escaped in a route, a URL or a page.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);

    let segments = base_path
        .strip_prefix('/')
        .map(|path| path.strip_suffix('/').unwrap_or(path));
    let well_formed = match segments {
        None => base_path.is_empty(),
        Some("") => base_path == "/",
        Some(path) => path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..")),
    };

    if well_formed && base_path.chars().all(plain) {
        Ok(())
    } else {
        Err(InvalidBasePath)
    }
}

/// The text is not a valid base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidBasePath;

impl fmt::Display for InvalidBasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a base path is empty, or `/` and segments of ASCII letters, digits, `-`, `.`, `_` and \
             `~`",
        )
    }
}

impl core::error::Error for InvalidBasePath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_record_or_nothing() {
        assert_eq!(
            target("/v1/posts/1/subscribe", "/v1"),
            Target::Subscribe {
                slug: "posts",
                id: "1"
            }
        );
        assert_eq!(
            target("/v1//1/subscribe", "/v1"),
            Target::Subscribe { slug: "", id: "1" }
        );
        assert_eq!(
            target("/posts/1/subscribe", ""),
            Target::Subscribe {
                slug: "posts",
                id: "1"
            }
        );
        assert_eq!(target("/v1/publish", "/v1"), Target::Publish);
        for path in [
            "/v1",
            "/v1/",
            "/v1x/publish",
            "/v1/publish/",
            "/v1/posts/1/subscribe/",
            "/v1/a/b/c/subscribe",
            "/v1/a/subscribe",
            "/v2/posts/1/subscribe",
            "",
            "*",
        ] {
            assert_eq!(target(path, "/v1"), Target::Unknown, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for path in [
            "/v1/../v1/a/b",
            "/..",
            "/a/./b",
            "/a/%2E%2e/b",
            "/a/b/%2e",
            "/a/.%2E",
            "/%2e./a",
            "./a",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/a.b/..c/...",
            "/",
            "",
            "*",
            "/a/%2e%2e%2e/b",
            "/%252e",
            "/a/%2",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(
            key("a%20b", "c%2Fd"),
            Ok(ResourceKey::new("a b", "c/d").expect("valid"))
        );
        assert_eq!(
            key("a%252Fb", "%"),
            Ok(ResourceKey::new("a%2Fb", "%").expect("valid"))
        );
        for (slug, id) in [
            ("a%2Fb", "c"),
            ("a%3Ab", "c"),
            ("a%00b", "c"),
            ("%E4%B8", "c"),
            ("a", ""),
        ] {
            assert_eq!(key(slug, id).expect_err(slug).status(), 400);
        }
    }

    #[test]
    fn the_query_carries_bytes() {
        assert_eq!(
            last_event_id("x=1&lastEventId=W%2F%22a+b%2B%22"),
            Some(b"W/\"a b+\"".to_vec())
        );
        assert_eq!(
            last_event_id("lastEventId=%ff&lastEventId=2"),
            Some(b"\xff".to_vec())
        );
        assert_eq!(last_event_id("lastEventId"), Some(Vec::new()));
        assert_eq!(last_event_id("lasteventid=1"), None);
    }

    #[test]
    fn a_base_path_is_whole_segments() {
        for base_path in ["", "/", "/api", "/api/saacms/v1", "/api/"] {
            assert_eq!(check_base(base_path), Ok(()), "{base_path}");
        }
        for base_path in [
            "api", "//", "/a//b", "/a?b", "/a%20", "/{x}", "/..", "/é", "/a b",
        ] {
            assert_eq!(check_base(base_path), Err(InvalidBasePath), "{base_path}");
        }
    }
}
