//! Installs on a disk of this machine: many files, names that are not text, what is only there.

#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{fs, path::PathBuf};

use lanspread_disk::{RealDisk, StateDir};
use lanspread_install::{InstallError, Staging, StagingError, Totals};

use crate::{
    support::Machine,
    unpacker::{archive, hand_over},
};

struct Lab {
    root: PathBuf,
    machine: Machine<RealDisk>,
    _dir: tempfile::TempDir,
}

fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open_or_create(&dir.path().join("games")).unwrap();
    let state = StateDir::open(&dir.path().join("state")).unwrap();
    let machine = Machine::new(disk, state.disk().clone());
    Lab {
        root: dir.path().join("games/cnctw"),
        machine,
        _dir: dir,
    }
}

#[test]
fn more_files_than_are_synced_one_by_one() {
    let lab = lab();
    let paths: Vec<String> = (0..300)
        .map(|n| format!("d{}/s{}/{n}", n % 7, n % 3))
        .collect();
    let entries: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "x")).collect();
    lab.machine.put("1", &[("game.eti", &archive(&entries))]);
    let installed = lab.machine.install().unwrap();
    assert_eq!((installed.files, installed.bytes), (300, 300));
    for path in &paths {
        assert_eq!(fs::read(lab.root.join("local").join(path)).unwrap(), b"x");
    }
    assert!(!lab.root.join("local/.lanspread_owned").exists());
    assert!(lab.machine.install().unwrap().updated);
    assert_eq!(lab.machine.tree().len(), 300 + 7 + 7 * 3 + 3);
}

#[test]
fn a_plain_tree_is_shared_or_copied_and_stays_its_own() {
    let lab = lab();
    let long = vec![7; (3 << 20) + 1];
    lab.machine.put("1", &[("a/long", &long), ("empty", b"")]);
    lab.machine.install().unwrap();
    assert_eq!(fs::read(lab.root.join("local/a/long")).unwrap(), long);
    fs::write(lab.root.join("local/a/long"), b"played").unwrap();
    assert_eq!(fs::read(lab.root.join("a/long")).unwrap(), long);
}

#[test]
fn a_missing_folder_of_the_payload_is_named() {
    let lab = lab();
    lab.machine.put("1", &[]);
    let error = lab.machine.install().unwrap_err();
    assert!(
        matches!(error, InstallError::NothingInside { .. }),
        "{error:?}"
    );
    assert_eq!(lab.machine.tree(), ["version.ini"]);
}

#[cfg(unix)]
#[test]
fn what_a_game_writes_is_uninstalled_whatever_its_name_and_never_through_a_link() {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    };

    let lab = lab();
    lab.machine.put_archive("1", &[("run.exe", "MZ")]);
    lab.machine.install().unwrap();
    let local = lab.root.join("local");
    let mode = fs::metadata(local.join("run.exe")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o100, 0o100);
    fs::write(local.join(OsStr::from_bytes(b"s\xe4ve")), b"x").unwrap();
    fs::create_dir(local.join(OsStr::from_bytes(b"d\xe4"))).unwrap();
    fs::write(local.join(OsStr::from_bytes(b"d\xe4/x")), b"x").unwrap();
    let outside = lab.root.parent().unwrap().parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), b"kept").unwrap();
    symlink(&outside, local.join("link")).unwrap();
    lab.machine.uninstall().unwrap();
    assert_eq!(lab.machine.tree(), ["game.eti", "version.ini"]);
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link_that_appears_in_the_staging_folder() {
    let lab = lab();
    let outside = lab.root.parent().unwrap().parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    let install = lab.machine.streamed().unwrap();
    std::os::unix::fs::symlink(&outside, lab.root.join(".local.installing/d")).unwrap();
    assert!(hand_over(&install, &[("d/x", "1")]).is_err());
    assert!(install.publish().is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!lab.root.exists());
}

/// In the root of an empty file system of 64 MiB, which `LANSPREAD_SMALL_DISK` names:
///
/// ```text
/// unshare -m sh -c 'mount -t tmpfs -o size=64m small /mnt &&
///     LANSPREAD_SMALL_DISK=/mnt cargo nextest run -p lanspread-install --run-ignored only small_disk'
/// ```
#[test]
#[ignore = "needs a small file system"]
fn a_small_disk_that_fills_up_says_how_much_is_missing() {
    let piece = vec![1; 1 << 20];
    let small = PathBuf::from(std::env::var("LANSPREAD_SMALL_DISK").unwrap());
    let disk = RealDisk::open_or_create(&small.join("games")).unwrap();
    let state = StateDir::open(&small.join("state")).unwrap();
    let machine = Machine::new(disk, state.disk().clone());
    machine.put_archive("1", &[("old", "old")]);
    machine.install().unwrap();

    // The whole is announced: refused before anything is written.
    let install = machine.streamed().unwrap();
    let totals = Totals {
        bytes: Some(100 << 20),
        files: None,
    };
    let Err(StagingError::DiskFull { missing_bytes, .. }) = install.expect(totals) else {
        panic!("it fits")
    };
    assert!(
        (36 << 20..64 << 20).contains(&missing_bytes),
        "{missing_bytes}"
    );
    install.discard().unwrap();

    // Nobody knows: written until the disk is full.
    let install = machine.streamed().unwrap();
    install.expect(Totals::default()).unwrap();
    let mut file = install.create_file(&"new".parse().unwrap(), false).unwrap();
    let error = (0..100).find_map(|_| file.write(&piece).err()).unwrap();
    let StagingError::DiskFull { missing_bytes, .. } = error else {
        panic!("{error:?}")
    };
    assert!(missing_bytes >= 1);
    drop(file);
    install.discard().unwrap();
    assert_eq!(machine.read("local/old").unwrap(), b"old");
    assert_eq!(
        machine.tree(),
        ["game.eti", "local/", "local/old", "version.ini"]
    );

    // Now there is room again.
    let install = machine.streamed().unwrap();
    let mut file = install.create_file(&"new".parse().unwrap(), false).unwrap();
    (0..30).for_each(|_| file.write(&piece).unwrap());
    file.finish().unwrap();
    assert!(install.publish().unwrap().updated);
    machine.uninstall().unwrap();
    fs::remove_dir_all(small.join("games")).unwrap();
    fs::remove_dir_all(small.join("state")).unwrap();
}
