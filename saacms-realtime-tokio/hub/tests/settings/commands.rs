//! The commands that need no hub, and where options may stand.

use crate::run::{Answer, assert_line, server};

#[test]
fn options_of_serve_may_stand_before_its_name() {
    let args = ["--max-lag", "1", "--max-topics=2", "serve", "--max-lag=3"];
    let answer = Answer::of(server(&[&args[..], &["--print-config"]].concat()));
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_line(&answer.stdout, "max-lag = 3", "flag --max-lag");
    assert_line(&answer.stdout, "max-topics = 2", "flag --max-topics");

    let before = Answer::of(server(&["--print-config", "serve", "--max-lag=3"]));
    assert_line(&before.stdout, "max-lag = 3", "flag --max-lag");
}

#[test]
fn options_of_serve_before_another_command_are_refused_by_name() {
    for (args, flag) in [
        (&["--max-lag", "1", "tail", "posts/1"][..], "--max-lag 1"),
        (&["--print-config", "version"], "--print-config"),
    ] {
        let answer = Answer::of(server(args));
        answer.assert_refused(&format!("{flag} is an option of `serve`"));
        assert_eq!(answer.stdout, "");
    }
}

#[test]
fn help_and_version_are_commands_and_flags() {
    let stdout = |args: &[&str]| {
        let answer = Answer::of(server(args));
        assert_eq!((answer.code, &*answer.stderr), (0, ""), "{args:?}");
        answer.stdout
    };
    let version = format!("saacms-realtime {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&["version"]), version);
    assert_eq!(stdout(&["--version"]), version);

    assert_eq!(stdout(&["help"]), stdout(&["--help"]));
    for command in ["serve", "publish", "tail", "engine"] {
        let help = stdout(&["help", command]);
        assert_eq!(help, stdout(&[command, "--help"]));
        assert!(
            help.contains(&format!("saacms-realtime {command}")),
            "{help}"
        );
    }
}

#[test]
fn a_port_alone_is_one_of_this_machine() {
    for text in ["8787", ":8787"] {
        // Without a token, which an address that other machines can reach would need.
        let answer = Answer::of(server(&["--listen", text, "--print-config"]));
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert_line(
            &answer.stdout,
            &format!("listen = \"{text}\""),
            "flag --listen",
        );
    }
}
