//! The text of a setting means the same to the program as to core, and a time the same as to the
//! crate `humantime`.

use std::env;
use std::process::{Command, Stdio};

use saacms_realtime_core::settings::{text, variable};

#[path = "../../../saacms-realtime-core/tests/support/setting_texts.rs"]
mod setting_texts;

#[test]
fn the_program_reads_a_variable_as_the_table_says() {
    for (name, text, expected) in setting_texts::CASES {
        let variable = variable(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_saacms-realtime"));
        for (other, _) in env::vars_os() {
            if other.to_string_lossy().starts_with("SAACMS_REALTIME_") {
                command.env_remove(other);
            }
        }

        command.arg("--print-config").env(&variable, text);
        let output = command.stdin(Stdio::null()).output().expect("it runs");

        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        match expected {
            Ok(shown) => {
                let plain = format!("{name} = {shown} ");
                let quoted = format!("{name} = \"{shown}\" ");
                let is_as_shown = |line: &str| {
                    (line.starts_with(&plain) || line.starts_with(&quoted))
                        && line.ends_with(&format!("# environment {variable}"))
                };
                assert!(output.status.success(), "{variable}={text}: {stderr}");
                assert!(stdout.lines().any(is_as_shown), "{text:?}: {stdout}");
            }
            Err(part) => {
                assert!(!output.status.success(), "{variable}={text}");
                assert!(stderr.contains(part), "{text:?}: {stderr}");
            }
        }
    }
}

#[test]
fn a_time_is_what_humantime_reads() {
    // The parts of a text, which are put in random order. `_` stands for a blank.
    const PIECES: &str = "0 1 2 9 10 42 365 1000 4294967296 9999999999999 00 . 0.5 1.25 3.001 \
        5.000000001 7.10 .0 _ __ _ _ \u{a0} \t - + , é = nanos nsec ns usec us µs millis msec ms \
        seconds second secs sec s minutes minute min mins m hours hour hr hrs h days day d weeks \
        week wk wks w months month M years year yr yrs y S H D Ms x";

    let pieces: Vec<&str> = PIECES
        .split(' ')
        .filter(|piece| !piece.is_empty())
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let mut read = 0;

    for _ in 0..200_000 {
        let drawn = (0..=random(6)).map(|_| pieces[random(pieces.len())]);
        let text = drawn.collect::<String>().replace('_', " ");
        let expected = humantime::parse_duration(&text).ok();
        assert_eq!(text::time(&text).ok(), expected, "{text:?}");
        read += usize::from(expected.is_some());
    }
    assert!(read > 1_000, "only {read} of the texts were times");
}
