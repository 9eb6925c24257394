use alloc::boxed::Box;
use core::fmt;

use subtle::ConstantTimeEq as _;

use super::Problem;

/// The secret that publishers must show.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Checks `text`: 16..=512 bytes of visible ASCII.
    ///
    /// # Errors
    ///
    /// `text` is not of this form.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        if !(16..=512).contains(&text.len()) {
            return Err(InvalidToken::Length { len: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::NotVisibleAscii);
        }
        Ok(Self(text.into()))
    }

    /// Checks that an `Authorization` header shows the token. The comparison takes the same time
    /// for every token of the same length, so that it reveals nothing but the length.
    pub(super) fn check(&self, authorization: Option<&[u8]>) -> Result<(), Problem> {
        let shown = authorization.and_then(|value| {
            let (scheme, shown) = value.split_at_checked("Bearer ".len())?;
            scheme
                .eq_ignore_ascii_case(b"Bearer ")
                .then_some(shown.trim_ascii())
        });
        match shown {
            None => Err(Problem::token_missing()),
            Some(shown) if bool::from(shown.ct_eq(self.0.as_bytes())) => Ok(()),
            Some(_) => Err(Problem::token_wrong()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// The text is not a valid publish token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It is too short or too long.
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// It has a byte that is not visible ASCII.
    NotVisibleAscii,
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len } => {
                write!(
                    f,
                    "the publish token has {len} bytes, but must have 16 to 512"
                )
            }
            Self::NotVisibleAscii => {
                f.write_str("the publish token must be visible ASCII without blanks")
            }
        }
    }
}

impl core::error::Error for InvalidToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_required_and_compared() {
        let token = Token::new("0123456789abcdef").expect("valid");
        let status = |header: Option<&str>| {
            token
                .check(header.map(str::as_bytes))
                .map_err(|problem| problem.status())
        };
        assert_eq!(status(None), Err(401));
        assert_eq!(status(Some("Basic 0123456789abcdef")), Err(401));
        assert_eq!(status(Some("Bearer")), Err(401));
        assert_eq!(status(Some("Bearer 0123456789abcdeF")), Err(403));
        assert_eq!(status(Some("Bearer 0123456789abcdef0")), Err(403));
        assert_eq!(status(Some("bearer  0123456789abcdef ")), Ok(()));
        assert_eq!(std::format!("{token:?}"), "Token(secret)");
        assert!(Token::new("short").is_err());
        assert!(Token::new("0123456789 abcdef").is_err());
        for (len, fits) in [(15, false), (16, true), (512, true), (513, false)] {
            assert_eq!(Token::new(&"x".repeat(len)).is_ok(), fits, "{len}");
        }
    }
}
