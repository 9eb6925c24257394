//! A JSON reader with JavaScript's values: doubles, UTF-16, the last of repeated members.
//!
//! serde_json refuses lone surrogates and numbers beyond a double. JavaScript accepts both, and the
//! hub passes them on. This reader compares them, and shares no code with the hub or serde_json.

use core::ops::Range;
use std::collections::BTreeMap;

/// A JSON text and its value.
pub(crate) struct Document {
    pub(crate) root: Json,
    /// The text without the whitespace between its tokens.
    pub(crate) compact: String,
}

pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(Vec<u16>),
    Array(Vec<Self>),
    Object(BTreeMap<Vec<u16>, Member>),
}

pub(crate) struct Member {
    pub(crate) value: Json,
    /// The range of its value in [`Document::compact`].
    pub(crate) text: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    NotJson,
    TooDeep,
}

impl Document {
    /// Reads `text`, unless it is nested more than `max_depth` deep.
    pub(crate) fn read(text: &str, max_depth: usize) -> Result<Self, Unreadable> {
        let mut reader = Reader {
            rest: text,
            compact: String::new(),
            room: max_depth,
        };
        let root = reader.value()?;

        reader.skip_blanks();
        if !reader.rest.is_empty() {
            return Err(Unreadable::NotJson);
        }

        Ok(Self {
            root,
            compact: reader.compact,
        })
    }

    /// The root's member with this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        match &self.root {
            Json::Object(members) => members.get(&name.encode_utf16().collect::<Vec<_>>()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        }
    }
}

impl Json {
    /// Whether JavaScript would print both alike, except for the order of members. It prints a
    /// number beyond a double as `null`.
    pub(crate) fn is_same_in_javascript(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) if a.is_finite() && b.is_finite() => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same_in_javascript(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|((name_a, a), (name_b, b))| {
                        name_a == name_b && a.value.is_same_in_javascript(&b.value)
                    })
            }
            (a, b) => a.is_null() && b.is_null(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null) || matches!(self, Self::Number(number) if !number.is_finite())
    }
}

struct Reader<'a> {
    rest: &'a str,
    compact: String,
    /// How many more levels may be nested.
    room: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json, Unreadable> {
        self.skip_blanks();
        match self.rest.chars().next() {
            Some('{') => self.nested(Self::object),
            Some('[') => self.nested(Self::array),
            Some('"') => Ok(Json::String(self.string()?)),
            Some('t') => self.word("true", Json::Bool(true)),
            Some('f') => self.word("false", Json::Bool(false)),
            Some('n') => self.word("null", Json::Null),
            Some(_) => self.number(),
            None => Err(Unreadable::NotJson),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Json, Unreadable>,
    ) -> Result<Json, Unreadable> {
        self.room = self.room.checked_sub(1).ok_or(Unreadable::TooDeep)?;
        self.take(1);
        let value = read(self)?;
        self.room += 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, Unreadable> {
        let mut members = BTreeMap::new();
        if self.take_if('}') {
            return Ok(Json::Object(members));
        }

        loop {
            self.skip_blanks();
            let name = self.string()?;
            self.expect(':')?;

            let start = self.compact.len();
            let value = self.value()?;
            members.insert(
                name,
                Member {
                    value,
                    text: start..self.compact.len(),
                },
            );

            if self.take_if('}') {
                return Ok(Json::Object(members));
            }
            self.expect(',')?;
        }
    }

    fn array(&mut self) -> Result<Json, Unreadable> {
        let mut items = Vec::new();
        if self.take_if(']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.take_if(']') {
                return Ok(Json::Array(items));
            }
            self.expect(',')?;
        }
    }

    fn string(&mut self) -> Result<Vec<u16>, Unreadable> {
        if !self.rest.starts_with('"') {
            return Err(Unreadable::NotJson);
        }

        let mut units = Vec::new();
        let mut chars = self.rest.char_indices().skip(1);
        let mut next = || chars.next().ok_or(Unreadable::NotJson);
        let end = loop {
            match next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match next()?.1 {
                    'u' => {
                        let mut unit = 0;
                        for _ in 0..4 {
                            let digit = next()?.1.to_digit(16).ok_or(Unreadable::NotJson)?;
                            unit = unit * 16 + digit as u16;
                        }
                        units.push(unit);
                    }
                    escape => {
                        let meant = ("\"\\/bfnrt".chars().zip("\"\\/\u{8}\u{c}\n\r\t".chars()))
                            .find_map(|(written, meant)| (written == escape).then_some(meant));
                        units.push(meant.ok_or(Unreadable::NotJson)? as u16);
                    }
                },
                (_, c) if c < ' ' => return Err(Unreadable::NotJson),
                (_, c) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        };

        self.take(end);
        Ok(units)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Unreadable> {
        if !self.rest.starts_with(word) {
            return Err(Unreadable::NotJson);
        }
        self.take(word.len());
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, Unreadable> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let len = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..len];
        let number = text
            .parse()
            .ok()
            .filter(|_| is_number(text))
            .ok_or(Unreadable::NotJson)?;
        self.take(len);
        Ok(Json::Number(number))
    }

    fn expect(&mut self, c: char) -> Result<(), Unreadable> {
        if self.take_if(c) {
            Ok(())
        } else {
            Err(Unreadable::NotJson)
        }
    }

    fn take_if(&mut self, c: char) -> bool {
        self.skip_blanks();
        let found = self.rest.starts_with(c);
        if found {
            self.take(c.len_utf8());
        }
        found
    }

    /// Appends the next bytes to the current token.
    fn take(&mut self, len: usize) {
        let (token, rest) = self.rest.split_at(len);
        self.compact += token;
        self.rest = rest;
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

/// Whether this is a number in JSON. Rust accepts more, for example `+1` and `1.`.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());

    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}
