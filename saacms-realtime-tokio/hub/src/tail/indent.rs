//! JSON for people, on several lines.

/// Deeper nesting is indented no further.
const MAX_INDENT: usize = 32;

/// JSON on several lines, all but the first indented by at least one step.
///
/// Works on the text, so numbers, the order of members and repeated members stay unchanged.
pub(super) fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 1_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = json.chars().peekable();

    while let Some(c) = chars.next() {
        if in_string {
            // JSON allows U+007F to U+009F in a string, and terminals obey some of them.
            text.push(if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            });
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }

        match c {
            '{' | '[' => {
                text.push(c);
                // `{ }` stays on one line, without the blanks.
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            // The input's own line breaks and indentation.
            _ if c.is_ascii_whitespace() => {}
            _ => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }

    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(core::iter::repeat_n("  ", depth.min(MAX_INDENT)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_json_is_the_same_text_but_for_blanks() {
        let json = r#"{"b":1.0,"a":[],"b":{ },"c":["x\"}, y\\",-0,{"d":1e400}]}"#;
        let text = indented(json);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "{",
                r#"    "b": 1.0,"#,
                r#"    "a": [],"#,
                r#"    "b": {},"#,
                r#"    "c": ["#,
                r#"      "x\"}, y\\","#,
                "      -0,",
                "      {",
                r#"        "d": 1e400"#,
                "      }",
                "    ]",
                "  }",
            ]
        );
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert!(indented(&deep).len() < 100_000 * 70);
    }
}
