//! The publish token: a secret in a file.

use core::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use saacms_realtime_core::route;

use super::values::quoted;

/// What publishers have to show. It is never printed: its `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// More than a token can have, so that a wrong file is not read to its end.
    const MAX_FILE_LEN: u64 = 64 << 10;

    /// Reads a token, and a warning where others on this machine can read it too.
    pub(super) fn read(path: &Path) -> Result<(Self, Option<String>), String> {
        let cannot = |error: io::Error| format!("cannot read the token: {error}");
        let file = File::open(path).map_err(cannot)?;
        let warning = others_can_read(&file).map_err(cannot)?.then(|| {
            let path = path.to_string_lossy();
            let path = quoted(&path);
            format!("the publish token in {path} can be read by every user; chmod 600 {path}")
        });
        let mut bytes = Vec::new();
        file.take(Self::MAX_FILE_LEN)
            .read_to_end(&mut bytes)
            .map_err(cannot)?;
        Ok((Self::parse(bytes)?, warning))
    }

    /// Checks a token, less one line end.
    fn parse(mut bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.pop_if(|byte| *byte == b'\n').is_some() {
            bytes.pop_if(|byte| *byte == b'\r');
        }
        // What is no text becomes U+FFFD, which is as little ASCII as what it stands for.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        route::Token::new(&text).map_err(|wrong| wrong.to_string())?;
        Ok(Self(text))
    }

    /// The secret itself, for whoever compares it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(unix)]
fn others_can_read(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata()?;
    // A pipe (`<(pass show realtime)`) has a mode too, but no name that others could open.
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
            ("x".repeat(16) + "\r\n", true),
            ("x".repeat(16) + "\r", false),
            ("x".repeat(16) + "\n\n", false),
            ("x".repeat(16) + " ", false),
            ("ä".repeat(16), false),
            (String::new(), false),
            ("\u{fffd}".repeat(16), false),
            ("\n".to_owned(), false),
        ] {
            assert_eq!(
                Token::parse(bytes.clone().into_bytes()).is_ok(),
                fine,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_token() {
        assert!(Token::parse([b"0123456789abcdef".as_slice(), b"\xff"].concat()).is_err());
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::parse(b"0123456789abcdef\n".to_vec()).expect("is valid");
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!(token.into_string(), "0123456789abcdef");
    }
}
