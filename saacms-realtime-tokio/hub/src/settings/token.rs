//! The publish token: a secret in a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use saacms_realtime_core::route::Token;
use saacms_realtime_core::settings::text;

use crate::terminal::quoted;

/// More than the longest token, so that a large file named by mistake is not read to its end.
const MAX_FILE_LEN: u64 = 64 << 10;

/// Reads a token, and a warning if every user of this machine can read its file.
pub(super) fn read(path: &Path) -> Result<(Token, Option<String>), String> {
    let cannot = |error: io::Error| format!("cannot read the token: {error}");
    let file = File::open(path).map_err(cannot)?;
    // Asked of the open file, so that it is the one that is read.
    let warning = others_can_read(&file).map_err(cannot)?.then(|| {
        let path = path.to_string_lossy();
        let path = quoted(&path);
        format!("the publish token in {path} can be read by every user; chmod 600 {path}")
    });

    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    Ok((parse(&String::from_utf8_lossy(&bytes))?, warning))
}

/// Parses the content of a file or a variable. A byte order mark at its beginning and one line end
/// at its end are ignored.
///
/// Bytes that are not UTF-8 have become U+FFFD, which is refused like any other non-ASCII character.
pub(super) fn parse(text: &str) -> Result<Token, String> {
    let text = text::without_mark(text);
    let line = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text);
    Token::new(line).map_err(|error| error.to_string())
}

#[cfg(unix)]
fn others_can_read(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata()?;
    // A pipe (`<(pass show realtime)`) has a mode as well, but no name that others could open.
    Ok(metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sixteen_to_512_visible_bytes() {
        for (bytes, fine) in [
            ("x".repeat(15), false),
            ("x".repeat(16), true),
            ("x".repeat(512), true),
            ("x".repeat(513), false),
            ("x".repeat(16) + "\n", true),
            ("\u{feff}".to_owned() + &"x".repeat(16) + "\n", true),
            ("x".repeat(16) + "\u{feff}", false),
            ("x".repeat(16) + "\r\n", true),
            ("x".repeat(16) + "\r", false),
            ("x".repeat(16) + "\n\n", false),
            ("x".repeat(16) + " ", false),
            ("ä".repeat(16), false),
            (String::new(), false),
            ("\u{fffd}".repeat(16), false),
            ("\n".to_owned(), false),
        ] {
            assert_eq!(parse(&bytes).is_ok(), fine, "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_no_token() {
        let text = String::from_utf8_lossy(b"0123456789abcdef\xff");
        assert!(parse(&text).is_err());
    }
}
