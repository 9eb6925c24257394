//! The lines of the input, read ahead of the batches.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc::SyncSender;

/// Sixteen times what a hub accepts by default. The rest of a longer line is skipped and not kept.
pub(super) const MAX_LINE_LEN: usize = 16 << 20;

/// A byte order mark in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A line of the input with an event.
pub(super) struct Line {
    /// Counted from 1, as editors do.
    pub(super) number: u64,
    pub(super) text: Vec<u8>,
}

/// One line of the input, or its failure.
pub(super) enum Input {
    Line(Line),
    TooLong {
        number: u64,
    },
    /// An empty line.
    Blank,
    Failed(io::Error),
}

/// Sends the lines of `input` until its end, an error, or the receiver is gone.
pub(super) fn read_lines(mut input: impl BufRead, sender: &SyncSender<Input>) {
    for number in 1.. {
        let mut line = read_line(&mut input);
        // An editor may have put a byte order mark before the first line.
        if let Ok(Some(text)) = &mut line
            && number == 1
            && text.starts_with(MARK)
        {
            text.drain(..MARK.len());
        }

        let next = match line {
            Ok(None) => return,
            Ok(Some(text)) if text.len() > MAX_LINE_LEN => Input::TooLong { number },
            Ok(Some(text)) if text.trim_ascii().is_empty() => Input::Blank,
            Ok(Some(text)) => Input::Line(Line { number, text }),
            Err(error) => Input::Failed(error),
        };

        // After a failed read, the next bytes could begin in the middle of a line.
        let last = matches!(next, Input::Failed(_));
        if sender.send(next).is_err() || last {
            return;
        }
    }
}

/// The next line without its LF, cut after [`MAX_LINE_LEN`] and one more byte; `None` at the end.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let max = MAX_LINE_LEN as u64 + 1;
    if input.by_ref().take(max).read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    // Without an LF the line is the last one, or was cut.
    if text.last() == Some(&b'\n') {
        text.pop();
    } else if text.len() > MAX_LINE_LEN {
        input.skip_until(b'\n')?;
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn blank_lines_count_and_are_not_sent() {
        let (sender, lines) = mpsc::sync_channel(8);
        read_lines(&b"\n{\"a\":1}\r\n  \t\r\n\xff\n\nlast"[..], &sender);
        drop(sender);
        let read: Vec<_> = lines
            .iter()
            .filter_map(|input| match input {
                Input::Line(line) => Some((line.number, line.text)),
                Input::TooLong { .. } | Input::Blank | Input::Failed(_) => None,
            })
            .collect();
        assert_eq!(
            read,
            [
                (2, b"{\"a\":1}\r".to_vec()),
                (4, b"\xff".to_vec()),
                (6, b"last".to_vec())
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let (sender, lines) = mpsc::sync_channel(8);
        read_lines("\u{feff}1\n\u{feff}2".as_bytes(), &sender);
        drop(sender);
        let texts = lines.iter().map(|input| match input {
            Input::Line(line) => String::from_utf8(line.text).expect("UTF-8"),
            Input::TooLong { .. } | Input::Blank | Input::Failed(_) => panic!("two lines"),
        });
        assert!(texts.eq(["1", "\u{feff}2"]));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let text = [vec![b'x'; MAX_LINE_LEN + 10], b"\nnext".to_vec()].concat();
        let mut input = &text[..];
        assert!(
            read_line(&mut input)
                .is_ok_and(|line| line.is_some_and(|line| line.len() > MAX_LINE_LEN))
        );
        assert_eq!(
            read_line(&mut input).expect("memory"),
            Some(b"next".to_vec())
        );
        assert_eq!(read_line(&mut input).expect("memory"), None);
    }
}
