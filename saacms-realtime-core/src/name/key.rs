use alloc::boxed::Box;
use core::fmt;

/// The name of a record: collection slug and record ID.
///
/// A pair, never a joined string: `a:b` + `c` and `a` + `b:c` are two records.
///
/// ```
/// use saacms_realtime_core::ResourceKey;
/// let key = ResourceKey::new("posts", "1").unwrap();
/// assert_eq!((key.slug(), key.id()), ("posts", "1"));
/// assert!(ResourceKey::new("a:b", "1").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    slug: Box<str>,
    id: Box<str>,
}

impl ResourceKey {
    /// The longest slug, in bytes.
    pub const MAX_SLUG_LEN: usize = 128;
    /// The longest ID, in bytes.
    pub const MAX_ID_LEN: usize = 512;

    /// Checks both parts.
    ///
    /// A slug has 1..=128 bytes without `:`, `/` and control characters, an ID 1..=512 bytes
    /// without control characters (Unicode category Cc). Neither is `.` or `..`, which clients and
    /// proxies resolve even where they are percent-encoded. An ID is not `*`, which is reserved.
    ///
    /// # Errors
    ///
    /// The part that is invalid, and why.
    pub fn new(slug: &str, id: &str) -> Result<Self, InvalidKey> {
        check(KeyPart::Slug, slug, Self::MAX_SLUG_LEN)?;
        check(KeyPart::Id, id, Self::MAX_ID_LEN)?;
        Ok(Self {
            slug: slug.into(),
            id: id.into(),
        })
    }

    /// The collection's slug.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The record's ID.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for ResourceKey {
    /// `slug/id`, for people: two records may look the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slug, self.id)
    }
}

fn check(part: KeyPart, text: &str, max_len: usize) -> Result<(), InvalidKey> {
    if text.is_empty() {
        Err(InvalidKey::Empty { part })
    } else if text.len() > max_len {
        Err(InvalidKey::TooLong {
            part,
            len: text.len(),
            max_len,
        })
    } else if text.chars().any(char::is_control) {
        Err(InvalidKey::ControlCharacter { part })
    } else if part == KeyPart::Slug && text.contains([':', '/']) {
        Err(InvalidKey::Separator)
    } else if matches!(text, "." | "..") {
        Err(InvalidKey::DotSegment { part })
    } else if part == KeyPart::Id && text == "*" {
        Err(InvalidKey::Reserved)
    } else {
        Ok(())
    }
}

/// One of the two parts of a [`ResourceKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The collection's slug.
    Slug,
    /// The record's ID.
    Id,
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slug => "collection",
            Self::Id => "ID",
        })
    }
}

/// Why two texts are not a valid resource key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// A part is empty.
    Empty {
        /// The part.
        part: KeyPart,
    },
    /// A part is too long.
    TooLong {
        /// The part.
        part: KeyPart,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        max_len: usize,
    },
    /// A part has a control character.
    ControlCharacter {
        /// The part.
        part: KeyPart,
    },
    /// The slug has a `:` or a `/`.
    Separator,
    /// A part is `.` or `..`, which a path cannot carry.
    DotSegment {
        /// The part.
        part: KeyPart,
    },
    /// The ID is `*`.
    Reserved,
}

impl InvalidKey {
    /// The part that is invalid.
    pub fn part(&self) -> KeyPart {
        match self {
            Self::Empty { part }
            | Self::TooLong { part, .. }
            | Self::ControlCharacter { part }
            | Self::DotSegment { part } => *part,
            Self::Separator => KeyPart::Slug,
            Self::Reserved => KeyPart::Id,
        }
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { part } => write!(f, "the {part} must not be empty"),
            Self::TooLong { part, len, max_len } => {
                write!(
                    f,
                    "the {part} has {len} bytes; at most {max_len} are allowed"
                )
            }
            Self::ControlCharacter { part } => {
                write!(f, "the {part} must not contain control characters")
            }
            Self::Separator => f.write_str("the collection must not contain `:` or `/`"),
            Self::DotSegment { part } => {
                write!(
                    f,
                    "the {part} must not be `.` or `..`, which a path cannot carry"
                )
            }
            Self::Reserved => f.write_str("the ID must not be `*`, which is reserved"),
        }
    }
}

impl core::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_refused_if_two_records_could_be_confused() {
        assert_eq!(ResourceKey::new("a:b", "c"), Err(InvalidKey::Separator));
        assert_eq!(ResourceKey::new("a/b", "c"), Err(InvalidKey::Separator));
        assert_eq!(
            ResourceKey::new("", "c"),
            Err(InvalidKey::Empty {
                part: KeyPart::Slug
            })
        );
        assert_eq!(
            ResourceKey::new("a", ""),
            Err(InvalidKey::Empty { part: KeyPart::Id })
        );
        assert_eq!(
            ResourceKey::new("a", "b\u{85}"),
            Err(InvalidKey::ControlCharacter { part: KeyPart::Id })
        );
        for dots in [".", ".."] {
            let [slug, id] = [KeyPart::Slug, KeyPart::Id];
            assert_eq!(
                ResourceKey::new(dots, "c"),
                Err(InvalidKey::DotSegment { part: slug })
            );
            assert_eq!(
                ResourceKey::new("a", dots),
                Err(InvalidKey::DotSegment { part: id })
            );
        }
        assert_eq!(ResourceKey::new("a", "*"), Err(InvalidKey::Reserved));
        for (slug, id) in [("...", ".a"), ("a.b", "..c"), ("*", "**"), ("a", "%2e")] {
            assert!(ResourceKey::new(slug, id).is_ok(), "{slug}/{id}");
        }
        assert!(ResourceKey::new("пост", "b:c/d?e#f %").is_ok());
        assert!(ResourceKey::new(&"a".repeat(128), &"b".repeat(512)).is_ok());
        assert!(ResourceKey::new(&"a".repeat(129), "b").is_err());
        assert!(ResourceKey::new("a", &"b".repeat(513)).is_err());
    }
}
