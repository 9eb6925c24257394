use std::fs;
use std::path::Path;
use std::thread;

use saacms_realtime_tokio::engine::disk::{Folder, Keep, OpenError};

use crate::victim;
use crate::world::{TempDir, at, publish, with_store};

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

#[test]
fn a_new_folder_and_what_is_in_any_folder_are_for_their_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = TempDir::new("rights");
    let mode = |path: &Path| {
        let mode = path.metadata().expect("is there").permissions().mode();
        mode & 0o777
    };
    let data = dir.path().join("data");
    with_store(&data, Keep::default(), |_| assert_eq!(mode(&data), 0o700));

    let open = dir.path().join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("our own");
    with_store(&open, Keep::default(), |store| {
        publish(store, 1, "a", at(0));
        let files = ["lock", "history", "history-wal", "history.witness"];
        for file in files {
            assert_eq!(mode(&open.join(file)), 0o600, "{file}");
        }
    });
}

#[test]
fn a_folder_that_cannot_be_created_says_why() {
    let dir = TempDir::new("no-folder");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("is writable");
    let error = Folder::open(&file.join("data")).expect_err("a file is in the way");
    assert!(matches!(error, OpenError::Folder(_)), "{error}");
}
