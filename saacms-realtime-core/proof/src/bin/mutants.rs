//! Puts one small fault after another into a copy of the core, and shows what catches it.
//!
//! A fault that nothing catches is a hole in the tests. So is one whose place is not found any
//! more: the list must be kept.

use std::env;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// Shows that tests or simulation catch each fault of the list.
#[derive(Debug, Parser)]
#[command(name = "mutants")]
struct Arguments {
    /// Seeds that the simulation runs for each fault.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// Only faults whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

/// A fault: an exact replacement in one file.
struct Mutant {
    name: String,
    law: i64,
    file: PathBuf,
    old: String,
    new: String,
}

/// Most seconds that a build or tests may take before they count as hanging, which is noticed too.
const PATIENCE: &str = "120";

/// The same for the simulation, which takes two.
const PATIENCE_OF_SIMULATION: &str = "15";

/// What `timeout` exits with when it had to end a command.
const TIMED_OUT: i32 = 124;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .ok_or("the package lies in the workspace")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let copy = Copy::new(root, &target.join("mutants"))?;
    let list = root.join("saacms-realtime-core/proof/mutants.toml");
    let mutants = read(&fs::read_to_string(list)?)?;
    let started = Instant::now();
    if let Some(catcher) = copy.catcher(arguments.seeds)? {
        return Err(format!("without any fault, something fails: {catcher}").into());
    }
    let (mut caught, mut missed) = (0, 0);
    for mutant in mutants
        .iter()
        .filter(|mutant| mutant.name.contains(&arguments.only))
    {
        let began = Instant::now();
        let verdict = copy.judge(mutant, arguments.seeds)?;
        let is_caught = verdict.is_ok();
        let verdict = verdict.unwrap_or_else(|hole| format!("MISSED: {hole}"));
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{seconds:>6.1} s  law {}  {:<58} {verdict}",
            mutant.law, mutant.name
        );
        caught += usize::from(is_caught);
        missed += usize::from(!is_caught);
    }
    println!(
        "{caught} caught, {missed} missed, in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    Ok(if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(list: &str) -> Result<Vec<Mutant>> {
    let list: toml::Table = list.parse()?;
    let entries = list
        .get("mutant")
        .and_then(toml::Value::as_array)
        .ok_or("no mutants")?;
    let text = |entry: &toml::Value, member: &str| {
        let text = entry
            .get(member)
            .and_then(toml::Value::as_str)
            .map(str::to_owned);
        text.ok_or(format!("a mutant without `{member}`"))
    };
    let mutant = |entry| {
        Ok(Mutant {
            name: text(entry, "name")?,
            law: entry
                .get("law")
                .and_then(toml::Value::as_integer)
                .ok_or("no law")?,
            file: text(entry, "file")?.into(),
            old: text(entry, "old")?,
            new: text(entry, "new")?,
        })
    };
    entries.iter().map(mutant).collect()
}

/// Where `text` stands in `source`, whatever whitespace either has: how a line is broken is up to
/// rustfmt.
fn places(source: &str, text: &str) -> Vec<Range<usize>> {
    let plain = |text: &str| -> Vec<(usize, char)> {
        let chars = text.char_indices();
        chars.filter(|(_, char)| !char.is_whitespace()).collect()
    };
    let (source, text) = (plain(source), plain(text));
    let is_here = |window: &&[(usize, char)]| {
        window
            .iter()
            .map(|(_, char)| char)
            .eq(text.iter().map(|(_, char)| char))
    };
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

/// A workspace of the core and its proof alone, with a target directory that all mutants share.
struct Copy {
    workspace: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new(root: &Path, scratch: &Path) -> Result<Self> {
        let workspace = scratch.join("workspace");
        if workspace.exists() {
            fs::remove_dir_all(&workspace)?;
        }
        copy_folder(
            &root.join("saacms-realtime-core"),
            &workspace.join("saacms-realtime-core"),
        )?;
        for file in ["Cargo.lock", "README.md"] {
            fs::copy(root.join(file), workspace.join(file))?;
        }
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
        fs::write(workspace.join("Cargo.toml"), manifest.to_string())?;
        Ok(Self {
            workspace,
            target: scratch.join("target"),
        })
    }

    /// What catches this fault; an error where nothing does.
    fn judge(&self, mutant: &Mutant, seeds: u64) -> Result<core::result::Result<String, String>> {
        let file = self
            .workspace
            .join("saacms-realtime-core/src")
            .join(&mutant.file);
        let sound = fs::read_to_string(&file)?;
        let places = places(&sound, &mutant.old);
        let [place] = &places[..] else {
            let (found, file) = (places.len(), mutant.file.display());
            return Ok(Err(format!("its place is found {found} times in {file}")));
        };
        let mut faulty = sound.clone();
        faulty.replace_range(place.clone(), &mutant.new);
        fs::write(&file, faulty)?;
        let catcher = self.catcher(seeds);
        fs::write(&file, sound)?;
        Ok(match catcher {
            Ok(Some(catcher)) => Ok(catcher),
            Ok(None) => Err("nothing fails".into()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// The first that fails of simulation, unit tests and the other tests.
    fn catcher(&self, seeds: u64) -> Result<Option<String>> {
        let built = self.cargo(&["build", "-p", "saacms-realtime-proof", "--bin", "simulate"])?;
        if !built.is_ok {
            return Err(format!("it does not compile:\n{}", built.text).into());
        }
        let simulate = self.target.join("debug/simulate");
        let run = self.run(
            Command::new("timeout")
                .args([PATIENCE_OF_SIMULATION.as_ref(), simulate.as_os_str()])
                .args(["--seeds", &seeds.to_string()]),
        )?;
        if !run.is_ok {
            let seed = run
                .text
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("seed "));
            let seed = seed.unwrap_or_else(|| run.how_it_ended());
            return Ok(Some(format!("simulation: seed {seed:.70}")));
        }
        for tests in [&["--lib"][..], &["--tests"]] {
            let core = ["test", "-q", "-p", "saacms-realtime-core", "--no-fail-fast"];
            let run = self.cargo(&[&core, tests].concat())?;
            if !run.is_ok {
                let failed = run.text.lines().find_map(|line| line.strip_prefix("---- "));
                let test = failed.and_then(|line| line.split(' ').next());
                let test = test.unwrap_or_else(|| run.how_it_ended());
                return Ok(Some(format!("test: {test}")));
            }
        }
        Ok(None)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Run> {
        self.run(
            Command::new("timeout")
                .args([PATIENCE, "cargo"])
                .args(arguments),
        )
    }

    fn run(&self, command: &mut Command) -> Result<Run> {
        let command = command
            .current_dir(&self.workspace)
            .env("CARGO_TARGET_DIR", &self.target);
        let output = command
            .env("RUSTFLAGS", "-Awarnings")
            .stdin(Stdio::null())
            .output()?;
        let text =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        let is_late = output.status.code() == Some(TIMED_OUT);
        Ok(Run {
            is_ok: output.status.success(),
            is_late,
            text: text.concat(),
        })
    }
}

struct Run {
    is_ok: bool,
    is_late: bool,
    text: String,
}

impl Run {
    /// Of a run that said nothing itself.
    fn how_it_ended(&self) -> &'static str {
        if self.is_late { "? hangs" } else { "? aborts" }
    }
}

/// Copies what git would: no build output, no packages of other languages.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
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
