//! File systems of their own, in a file.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system that is unmounted with the value.
#[derive(Debug)]
pub(crate) struct Mounted(PathBuf);

/// Whether the tests that mount file systems are to be left out.
pub(crate) fn is_left_out() -> bool {
    env::var_os("SAACMS_TEST_NO_MOUNT").is_some_and(|value| value == "1")
}

impl Mounted {
    /// An empty file system of this size in a new file.
    pub(crate) fn create(image: &Path, megabytes: u64, at: &Path) -> Self {
        let file = File::create(image).expect("can be created");
        file.set_len(megabytes << 20).expect("can be that long");
        run("mkfs.ext4", &["-q", "-F", "-m", "0", text(image)]);
        Self::mount(image, at)
    }

    /// The file system in a file.
    pub(crate) fn mount(image: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).expect("can be created");
        run("mount", &["-o", "loop", text(image), text(at)]);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[text(&self.0)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this repository")
}

pub(crate) fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "{program} {args:?}: {status:?}. This test needs root and loop devices; \
         SAACMS_TEST_NO_MOUNT=1 leaves it out."
    );
}
