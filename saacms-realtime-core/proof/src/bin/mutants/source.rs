//! Just enough of Rust's syntax to find a place in a file and the function around it.

use core::ops::Range;

/// A function with a body, outside of any other function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// From its qualifiers up to its body.
    pub(crate) signature: Range<usize>,
    /// With its braces.
    pub(crate) body: Range<usize>,
}

/// The functions of a file, in order.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    // Braces in comments, strings and characters must not count.
    let code = without_text(source);
    let mut functions = Vec::new();
    let mut from = 0;

    while let Some(at) = keyword(&code, b"fn", from) {
        from = at + 2;
        let Some(open) = end_of_signature(&code, from) else {
            break;
        };
        // A signature without a body ends with a semicolon.
        if code[open] != b'{' {
            continue;
        }
        let Some(end) = matching_brace(&code, open) else {
            break;
        };

        // Whatever is after the last item or the opening brace belongs to this function.
        let before = code[..at]
            .iter()
            .rposition(|byte| matches!(byte, b';' | b'{' | b'}'));
        functions.push(Function {
            signature: before.map_or(0, |before| before + 1)..open,
            body: open..end,
        });
        // After the body: functions inside it belong to it.
        from = end;
    }

    functions
}

/// Where `text` is in `source`. Whitespace is ignored: rustfmt decides how a line is broken.
pub(crate) fn places(source: &str, text: &str) -> Vec<Range<usize>> {
    let (source, text) = (visible(source), visible(text));
    let is_here = |window: &&[(usize, char)]| {
        let pairs = window.iter().zip(&text);
        pairs.into_iter().all(|((_, one), (_, other))| one == other)
    };
    // From the first visible character to the last, with the whitespace between them.
    let range = |window: &[(usize, char)]| {
        let (last, char) = window[window.len() - 1];
        window[0].0..last + char.len_utf8()
    };

    source
        .windows(text.len())
        .filter(is_here)
        .map(range)
        .collect()
}

/// The characters that are not whitespace, and where they are.
fn visible(text: &str) -> Vec<(usize, char)> {
    text.char_indices()
        .filter(|(_, char)| !char.is_whitespace())
        .collect()
}

/// The source as bytes, with blanks for comments, strings and characters.
fn without_text(source: &str) -> Vec<u8> {
    let mut code = source.as_bytes().to_vec();
    let mut at = 0;

    while at < code.len() {
        let len = text_len(&source.as_bytes()[at..]);
        code[at..at + len].fill(b' ');
        // An identifier is skipped whole: `r` and `b` begin a string only by themselves.
        at += match len {
            0 => word_len(&code[at..]).max(1),
            len => len,
        };
    }

    code
}

/// The length of the comment, string or character that these bytes begin with; 0 if they begin with
/// none.
fn text_len(bytes: &[u8]) -> usize {
    let prefix = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'b' | b'c' | b'r'))
        .count();
    let hashes = bytes[prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let is_raw = prefix <= 2 && bytes[..prefix].ends_with(b"r");

    if bytes.starts_with(b"//") {
        return find(bytes, b"\n");
    }
    if bytes.starts_with(b"/*") {
        return 2 + find(&bytes[2..], b"*/");
    }
    if is_raw && bytes[prefix + hashes..].starts_with(b"\"") {
        let start = prefix + hashes + 1;
        let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
        return start + find(&bytes[start..], &end);
    }

    match bytes[if prefix == 1 { 1 } else { 0 }..] {
        [b'"', ..] => quoted_len(bytes, b'"'),
        [b'\'', b'\\', ..] => quoted_len(bytes, b'\''),
        // A lifetime has no closing quote after one character.
        [b'\'', ref rest @ ..] if is_character(rest) => quoted_len(bytes, b'\''),
        _ => 0,
    }
}

/// Whether these bytes begin with one character and a closing quote.
fn is_character(rest: &[u8]) -> bool {
    let end = rest.len().min(5);
    let quote = rest[..end].iter().position(|byte| *byte == b'\'');
    quote
        .is_some_and(|len| str::from_utf8(&rest[..len]).is_ok_and(|text| text.chars().count() == 1))
}

/// The length of a string or character with escapes, with its prefix and both quotes.
fn quoted_len(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1 + find(bytes, &[quote]).saturating_sub(1);
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length up to the end of `text`, or of all bytes if it is not there.
fn find(bytes: &[u8], text: &[u8]) -> usize {
    let at = bytes.windows(text.len()).position(|window| window == text);
    at.map_or(bytes.len(), |at| at + text.len())
}

fn word_len(code: &[u8]) -> usize {
    code.iter().take_while(|byte| is_of_word(**byte)).count()
}

fn is_of_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// Where `word` is next followed by a name, from `from` on.
fn keyword(code: &[u8], word: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < code.len() {
        let len = word_len(&code[at..]);
        let follows = code.get(at + len..at + len + 2);
        let is_named = follows.is_some_and(|it| it[0] == b' ' && is_of_word(it[1]));
        if &code[at..at + len] == word && is_named {
            return Some(at);
        }
        at += len.max(1);
    }
    None
}

/// The first `{` or `;` that is in no parentheses or brackets.
fn end_of_signature(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' | b';' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The place after the brace that closes the one at `open`.
fn matching_brace(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{functions, places};

    fn bodies(source: &str) -> Vec<&str> {
        functions(source)
            .into_iter()
            .map(|function| &source[function.body])
            .collect()
    }

    #[test]
    fn a_body_ends_with_the_brace_that_closes_it() {
        let source = "fn a() { if x { y } }\nconst fn b<T>(t: [T; 2]) -> T where T: Copy { t[0] }";
        assert_eq!(bodies(source), ["{ if x { y } }", "{ t[0] }"]);
    }

    #[test]
    fn braces_in_text_do_not_count() {
        for text in [
            r#""}""#,
            r#""\"}""#,
            r##"r#"}""#"##,
            "'}'",
            r"'\''",
            "b'}'",
            "/* } */",
            "// }\n",
            "&'a x",
            r#"b"}\\""#,
        ] {
            let source = format!("fn a() {{ {text}; }} fn b() {{}}");
            assert_eq!(bodies(&source).len(), 2, "{text}");
        }
    }

    #[test]
    fn a_function_in_a_function_belongs_to_it() {
        assert_eq!(bodies("fn a() { fn b() {} }").len(), 1);
    }

    #[test]
    fn neither_a_signature_nor_a_pointer_has_a_body() {
        let source = "trait T { fn a(&self); fn b(&self, f: fn(u8)) { f(1) } }";
        assert_eq!(bodies(source), ["{ f(1) }"]);
    }

    #[test]
    fn a_signature_begins_with_its_qualifiers() {
        let source = "struct S;\npub(crate) const fn a() {}";
        let signature = functions(source)[0].signature.clone();
        assert_eq!(source[signature].trim(), "pub(crate) const fn a()");
    }

    #[test]
    fn a_place_is_found_however_its_lines_are_broken() {
        let source = "let a = b\n    .c();";
        let found = places(source, "b.c()");
        assert_eq!(found.len(), 1);
        assert_eq!(&source[found[0].clone()], "b\n    .c()");
        assert_eq!(places("a a", "a").len(), 2);
    }
}
