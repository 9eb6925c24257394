use std::thread;

use saacms_realtime_tokio::engine::disk::{Folder, OpenError};

use crate::victim;
use crate::world::TempDir;

#[test]
fn a_folder_that_another_process_has_is_refused_with_its_number() {
    let dir = TempDir::new("locked");
    let (data, acks) = (dir.path().join("data"), dir.path().join("acks"));
    let mut victim = victim::start(&data, &acks, true);
    victim::wait_for_acks(&acks, &mut victim);

    let error = Folder::open(&data).expect_err("it is locked");
    assert_eq!(error.to_string(), format!("in use by pid {}", victim.id()));

    // However a process ends, its lock ends with it.
    victim.kill().expect("it is still there");
    victim.wait().expect("a child");
    Folder::open(&data).expect("nobody has it");
}

#[test]
fn of_many_that_open_a_folder_at_once_one_gets_it() {
    let dir = TempDir::new("at-once");
    let data = dir.path().join("a/b/c");
    let opened: Vec<_> = thread::scope(|scope| {
        let open = || Folder::open(&data);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|folder| folder.expect("no panic")).collect()
    });

    assert_eq!(opened.iter().filter(|folder| folder.is_ok()).count(), 1);
    let is_refused =
        |folder: &Result<Folder, OpenError>| matches!(folder, Ok(_) | Err(OpenError::InUse { .. }));
    assert!(opened.iter().all(is_refused), "{opened:?}");
}

#[cfg(unix)]
#[test]
fn a_new_folder_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = TempDir::new("rights");
    let data = dir.path().join("data");
    let _folder = Folder::open(&data).expect("can be created");
    let mode = data.metadata().expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_folder_that_cannot_be_created_says_why() {
    let dir = TempDir::new("no-folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("is writable");
    let error = Folder::open(&file.join("data")).expect_err("a file is in the way");
    assert!(matches!(error, OpenError::Folder(_)), "{error}");
}
