//! A copy of core and its proof as a workspace of their own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::switch::VARIABLE;

/// Most seconds that a build may take. The first one builds all dependencies.
const PATIENCE_OF_BUILD: &str = "600";

/// Most seconds that a test program may take. After that it hangs, and so the fault is caught.
const PATIENCE: &str = "120";

/// Most seconds that a simulation may take. Without a fault it takes four.
const PATIENCE_OF_SIMULATION: &str = "30";

/// The exit code of `timeout` after it has ended a command.
const TIMED_OUT: i32 = 124;

/// A workspace of core and its proof alone.
#[derive(Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
    target: PathBuf,
}

/// The programs that one build made.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The folder that cargo starts tests in.
    folder: PathBuf,
    simulate: PathBuf,
    unit_tests: PathBuf,
    other_tests: Vec<PathBuf>,
}

impl Workspace {
    /// Copies what is at `root` into `scratch`, where the target directory stays from run to run.
    pub(crate) fn copy(root: &Path, scratch: &Path) -> Result<Self> {
        let folder = scratch.join("workspace");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }

        let core = "saacms-realtime-core";
        copy_folder(&root.join(core), &folder.join(core))?;
        for file in ["Cargo.lock", "README.md"] {
            fs::copy(root.join(file), folder.join(file))?;
        }

        // The other members are not copied, and tests without optimization would take long.
        let mut manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
        let settings = manifest
            .get_mut("workspace")
            .and_then(toml::Value::as_table_mut);
        let settings = settings.ok_or("the manifest has no workspace")?;
        settings.remove("default-members");
        let members = ["saacms-realtime-core", "saacms-realtime-core/proof"].map(toml::Value::from);
        settings.insert("members".into(), members.to_vec().into());
        let profile = "[dev]\nopt-level = 1\ndebug = false\n";
        manifest.insert("profile".into(), profile.parse::<toml::Table>()?.into());
        fs::write(folder.join("Cargo.toml"), manifest.to_string())?;

        // Apart from the folder, which is removed each time.
        let target = scratch.join("target");
        Ok(Self { folder, target })
    }

    /// The folder of core's source.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.join("saacms-realtime-core/src")
    }

    /// Builds the simulation and all tests of core.
    pub(crate) fn build(&self) -> Result<Programs> {
        self.cargo(&["build", "-p", "saacms-realtime-proof", "--bin=simulate"])?;
        let tests = ["-p", "saacms-realtime-core", "--lib", "--tests"];
        let built = self.cargo(&[&["test", "--no-run"], &tests[..]].concat())?;

        let mut programs = Programs {
            folder: self.folder.join("saacms-realtime-core"),
            simulate: self.target.join("debug/simulate"),
            unit_tests: PathBuf::new(),
            other_tests: Vec::new(),
        };
        // Unit tests are kept apart, to run before the other tests.
        for message in &built {
            let Some(program) = message["executable"].as_str() else {
                continue;
            };
            if message["target"]["kind"][0] == "lib" {
                programs.unit_tests = program.into();
            } else {
                programs.other_tests.push(program.into());
            }
        }
        Ok(programs)
    }

    /// Runs cargo; returns its messages.
    fn cargo(&self, arguments: &[&str]) -> Result<Vec<serde_json::Value>> {
        let mut command = Command::new("timeout");
        command
            .args([PATIENCE_OF_BUILD, "cargo"])
            .args(arguments)
            .arg("--message-format=json")
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "-Awarnings")
            .stdin(Stdio::null());
        let output = command.output()?;

        let messages = String::from_utf8_lossy(&output.stdout);
        let messages: Vec<serde_json::Value> = messages
            .lines()
            .map(serde_json::from_str)
            .collect::<core::result::Result<_, _>>()?;
        if output.status.success() {
            return Ok(messages);
        }

        // Messages of the compiler are on stdout, as JSON; those of cargo itself are on stderr.
        let rendered = |message: &serde_json::Value| {
            let text = message["message"]["rendered"].as_str();
            text.map(str::to_owned)
        };
        let errors: String = messages.iter().filter_map(rendered).collect();
        let other = String::from_utf8_lossy(&output.stderr);
        Err(format!("the copy does not compile:\n{errors}{other}").into())
    }
}

impl Programs {
    /// Runs the simulations, the unit tests and the other tests; returns the first that fails.
    pub(crate) fn catcher(&self, fault: usize, seeds: u64) -> Result<Option<String>> {
        // A seed of followers takes a tenth of the time.
        let subjects = [("hub", seeds), ("follower", 10 * seeds), ("cluster", seeds)];
        for (subject, seeds) in subjects {
            let seeds = seeds.to_string();
            // One thread, as faults already run on all processors.
            let arguments = ["--of", subject, "--threads", "1", "--seeds", &seeds];
            let mut command = self.command(PATIENCE_OF_SIMULATION, &self.simulate, fault);
            let run = Run::of(command.args(arguments))?;
            if !run.is_ok {
                let seed = run
                    .text
                    .lines()
                    .rev()
                    .find_map(|line| line.strip_prefix("seed "));
                let seed = seed.unwrap_or_else(|| run.how_it_ended());
                return Ok(Some(format!("simulation: {subject}, seed {seed:.70}")));
            }
        }

        for tests in core::iter::once(&self.unit_tests).chain(&self.other_tests) {
            let run = Run::of(self.command(PATIENCE, tests, fault).arg("-q"))?;
            if !run.is_ok {
                let failed = run.text.lines().find_map(|line| line.strip_prefix("---- "));
                let test = failed.and_then(|line| line.split(' ').next());
                let test = test.unwrap_or_else(|| run.how_it_ended());
                return Ok(Some(format!("test: {test}")));
            }
        }
        Ok(None)
    }

    fn command(&self, patience: &str, program: &Path, fault: usize) -> Command {
        let mut command = Command::new("timeout");
        command
            .args([OsStr::new(patience), program.as_os_str()])
            .current_dir(&self.folder)
            .env(VARIABLE, fault.to_string())
            .stdin(Stdio::null());
        command
    }
}

/// The result of a program.
struct Run {
    is_ok: bool,
    is_late: bool,
    text: String,
}

impl Run {
    fn of(command: &mut Command) -> Result<Self> {
        let output = command.output()?;
        let text =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());

        Ok(Self {
            is_ok: output.status.success(),
            is_late: output.status.code() == Some(TIMED_OUT),
            text: text.concat(),
        })
    }

    /// How a program ended that printed no reason.
    fn how_it_ended(&self) -> &'static str {
        if self.is_late { "? hangs" } else { "? aborts" }
    }
}

/// Copies a folder without build output and packages of other languages.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    // The foreign parsers need programs of other languages.
    const LEFT_OUT: [&str; 4] = ["target", "node_modules", ".venv", "foreign_parsers.rs"];

    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }

        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(&name))?;
        } else {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}
