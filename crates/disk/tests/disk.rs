//! What the verbs promise, on a real disk and on the one in memory alike.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{
    io::ErrorKind,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use lanspread_disk::{
    Disk, DiskError, DiskFile, FileMode, HashError, Kind, RealDisk, ambient, hash_payload_file,
    twin::PowerCutDisk,
};
use lanspread_proto::{CHUNK_BYTES, Hash};

fn real() -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open_or_create(&dir.path().join("a/b")).unwrap();
    (dir, disk)
}

fn write<D: Disk>(disk: &D, path: &str, content: &[u8]) {
    disk.create_new(path, FileMode::Plain)
        .unwrap()
        .write_all_at(content, 0)
        .unwrap();
}

fn names<D: Disk>(disk: &D, path: &str) -> Vec<String> {
    let mut names: Vec<_> = disk
        .list(path)
        .unwrap()
        .into_iter()
        .map(|listed| listed.name.into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn kind_of<T>(result: Result<T, DiskError>) -> ErrorKind {
    result.err().expect("should fail").source.kind()
}

fn the_verbs_do_what_they_say<D: Disk>(disk: &D) {
    disk.create_folder("f").unwrap();
    assert_eq!(kind_of(disk.create_folder("f")), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(disk.create_folder("g/h")), ErrorKind::NotFound);
    write(disk, "f/x", b"hello");
    assert_eq!(
        kind_of(disk.create_new("f/x", FileMode::Plain)),
        ErrorKind::AlreadyExists
    );
    let entry = disk.stat("f/x").unwrap().unwrap();
    assert_eq!(
        (entry.kind, entry.stamp.size, entry.executable),
        (Kind::File, 5, false)
    );
    assert_eq!(disk.stat("f").unwrap().unwrap().kind, Kind::Folder);
    assert_eq!(disk.stat("").unwrap().unwrap().kind, Kind::Folder);
    assert_eq!(disk.stat("f/none").unwrap(), None);
    assert_eq!(disk.stat("f/x/below-a-file").unwrap(), None);

    let file = disk.open_existing("f/x").unwrap();
    file.write_all_at(b"J", 0).unwrap();
    file.write_all_at(b"!", 7).unwrap();
    let mut content = [0xff; 16];
    assert_eq!(file.read_at(&mut content, 0).unwrap(), 8);
    assert_eq!(&content[..8], b"Jello\0\0!");
    file.set_len(2).unwrap();
    assert_eq!(disk.read_file("f/x", 2).unwrap().unwrap(), b"Je");
    assert_eq!(kind_of(disk.read_file("f/x", 1)), ErrorKind::FileTooLarge);
    assert_eq!(disk.read_file("none", 1).unwrap(), None);
    assert!(disk.open_read("f").err().unwrap().is_wrong_kind());

    disk.rename("f/x", "y").unwrap();
    write(disk, "z", b"old");
    disk.rename("y", "z").unwrap();
    assert_eq!(disk.read_file("z", 9).unwrap().unwrap(), b"Je");
    assert_eq!(names(disk, ""), ["f", "z"]);
    assert_eq!(kind_of(disk.rename("y", "z")), ErrorKind::NotFound);

    disk.set_executable("z", true).unwrap();
    assert!(disk.stat("z").unwrap().unwrap().executable);
    disk.set_executable("z", false).unwrap();
    assert!(!disk.stat("z").unwrap().unwrap().executable);
    drop(disk.create_new("run", FileMode::Executable).unwrap());
    assert!(disk.stat("run").unwrap().unwrap().executable);

    write(disk, "f/inner", b"");
    assert!(disk.remove_folder("f").unwrap_err().is_folder_not_empty());
    assert!(disk.remove_file("f").is_err());
    disk.remove_tree("f").unwrap();
    disk.remove_tree("f").unwrap();
    disk.remove_file("run").unwrap();
    assert!(disk.remove_file("run").unwrap_err().is_not_found());

    disk.write_atomic("z", b"new", FileMode::Plain).unwrap();
    write(disk, "w.tmp", b"left by a crash");
    disk.write_atomic("w", b"content", FileMode::Private)
        .unwrap();
    assert_eq!(disk.read_file("w", 99).unwrap().unwrap(), b"content");
    disk.create_folders_synced("p/q/r").unwrap();
    disk.create_folders_synced("p/q/r").unwrap();
    assert_eq!(names(disk, ""), ["p", "w", "z"]);
    assert_eq!(names(disk, "p/q"), ["r"]);

    let many: Vec<String> = (0..70).map(|n| format!("p/{n}")).collect();
    for path in &many {
        write(disk, path, b"x");
    }
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    disk.sync_files(&many[..3]).unwrap();
    disk.sync_files(&many).unwrap();
    disk.sync_folder("p").unwrap();
    assert!(disk.free_space().unwrap().total_bytes > 0);
}

#[test]
fn the_verbs_do_what_they_say_on_a_real_disk() {
    let (_dir, disk) = real();
    the_verbs_do_what_they_say(&disk);
}

#[test]
fn the_verbs_do_what_they_say_in_memory() {
    the_verbs_do_what_they_say(&PowerCutDisk::new());
}

#[test]
fn a_path_never_leaves_the_folder() {
    let (dir, disk) = real();
    ambient_file(&dir.path().join("a/secret"), b"secret");
    for path in ["../secret", "/etc/passwd", "x/../../secret", "", ".", ".."] {
        assert_eq!(
            kind_of(disk.open_read(path)),
            ErrorKind::InvalidInput,
            "{path:?}"
        );
        assert!(disk.create_new(path, FileMode::Plain).is_err(), "{path:?}");
        assert!(disk.rename(path, "stolen").is_err(), "{path:?}");
        assert!(disk.remove_file(path).is_err(), "{path:?}");
    }
    assert!(disk.stat("../secret").is_err() && disk.list("..").is_err());
    assert_eq!(names(&disk, ""), Vec::<String>::new());
}

/// Writes a file by a whole path, through a disk opened on its folder.
fn ambient_file(path: &Path, content: &[u8]) {
    let disk = RealDisk::open(path.parent().unwrap()).unwrap();
    write(&disk, path.file_name().unwrap().to_str().unwrap(), content);
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_and_a_tree_is_removed_without_entering_one() {
    let (dir, disk) = real();
    let outside = dir.path().join("outside");
    let other = RealDisk::open_or_create(&outside).unwrap();
    write(&other, "kept", b"kept");
    disk.create_folder("f").unwrap();
    let at = dir.path().join("a/b");
    std::os::unix::fs::symlink(&outside, at.join("f/link")).unwrap();
    std::os::unix::fs::symlink(outside.join("kept"), at.join("f/file")).unwrap();
    std::os::unix::fs::symlink(at.join("f"), at.join("inside")).unwrap();
    assert_eq!(disk.stat("f/link").unwrap().unwrap().kind, Kind::Link);
    for path in ["f/link/kept", "f/file", "inside/x"] {
        assert!(disk.open_read(path).unwrap_err().is_wrong_kind(), "{path}");
        assert!(
            disk.open_existing(path).unwrap_err().is_wrong_kind(),
            "{path}"
        );
    }
    for path in ["f/link/new", "inside/new"] {
        assert!(
            disk.create_new(path, FileMode::Plain)
                .unwrap_err()
                .is_wrong_kind(),
            "{path}"
        );
        assert!(
            disk.create_folder(path).unwrap_err().is_wrong_kind(),
            "{path}"
        );
        assert_eq!(disk.stat(path).unwrap(), None, "{path}");
    }
    assert!(disk.list("f/link").is_err() && disk.sync_folder("inside").is_err());
    assert!(disk.set_executable("f/file", true).is_err());
    assert!(disk.folder("f/link").is_err());
    disk.remove_tree("f").unwrap();
    assert_eq!(
        ambient::read_file(&outside.join("kept"), 9).unwrap(),
        b"kept"
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let (dir, disk) = real();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("a/b/socket")).unwrap();
    assert_eq!(disk.stat("socket").unwrap().unwrap().kind, Kind::Other);
    assert!(disk.open_read("socket").is_err());
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("a/b/pipe"))
        .status();
    assert!(made.unwrap().success());
    assert!(disk.open_read("pipe").unwrap_err().is_wrong_kind());
    assert!(disk.open_existing("pipe").unwrap_err().is_wrong_kind());
    disk.remove_tree("pipe").unwrap();
}

#[test]
fn a_folder_of_a_disk_is_a_disk_and_stays_open_when_it_is_renamed() {
    let (_dir, disk) = real();
    disk.create_folder("f").unwrap();
    let folder = disk.folder("f").unwrap();
    write(&folder, "x", b"x");
    disk.rename("f", "g").unwrap();
    write(&folder, "y", b"y");
    assert_eq!(names(&disk, "g"), ["x", "y"]);
    assert!(folder.shown("x").ends_with("a/b/f/x"));
}

#[test]
fn a_files_hash_is_its_plain_hash_at_every_boundary() {
    let disk = PowerCutDisk::new();
    let go_on = AtomicBool::new(false);
    for size in [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        3 * CHUNK_BYTES + 5,
    ] {
        let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        write(&disk, "x", &content);
        let told = AtomicU64::new(0);
        let on_bytes = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let hashes = hash_payload_file(&disk, "x", &go_on, &on_bytes).unwrap();
        assert_eq!(hashes.hash, Hash::of(&content), "{size} bytes");
        assert_eq!(hashes.chunks.len() as u64, size.div_ceil(CHUNK_BYTES));
        assert_eq!((hashes.stamp.size, told.into_inner()), (size, size));
        disk.remove_file("x").unwrap();
    }
}

#[test]
fn hashing_stops_when_cancelled_and_notices_a_change() {
    let disk = PowerCutDisk::new();
    write(&disk, "x", &vec![7; 2 * 1024 * 1024]);
    let cancelled = AtomicBool::new(false);
    let cancel = |_| cancelled.store(true, Ordering::Relaxed);
    let error = hash_payload_file(&disk, "x", &cancelled, &cancel).unwrap_err();
    assert!(matches!(error, HashError::Cancelled), "{error}");
    let touch = |_| {
        disk.open_existing("x")
            .unwrap()
            .write_all_at(b"1", 0)
            .unwrap();
    };
    let error = hash_payload_file(&disk, "x", &AtomicBool::new(false), &touch).unwrap_err();
    assert!(matches!(error, HashError::Changed { .. }), "{error}");
    let shrink = |_| disk.open_existing("x").unwrap().set_len(5).unwrap();
    let error = hash_payload_file(&disk, "x", &AtomicBool::new(false), &shrink).unwrap_err();
    assert_eq!(error.to_string(), "/x changed while it was hashed");
}

#[test]
fn an_error_tells_the_verb_and_the_path_and_answers_questions() {
    let error = |kind: ErrorKind| DiskError::new("write", "/games/x", kind.into());
    assert_eq!(
        error(ErrorKind::NotFound).to_string(),
        "could not write /games/x"
    );
    assert!(error(ErrorKind::StorageFull).is_out_of_space());
    assert!(error(ErrorKind::QuotaExceeded).is_out_of_space());
    assert!(error(ErrorKind::Unsupported).is_unsupported());
    assert!(error(ErrorKind::AlreadyExists).is_already_there());
    assert!(!error(ErrorKind::PermissionDenied).is_wrong_kind());
    let full = DiskError::new("write", "x", std::io::Error::from_raw_os_error(28));
    assert!(cfg!(not(unix)) || full.is_out_of_space());
}

fn a_folder_is_emptied_but_for_one_entry<D: Disk>(disk: &D) {
    disk.create_folder("e").unwrap();
    disk.create_folder("e/deep").unwrap();
    for path in ["e/kept", "e/x", "e/deep/y"] {
        write(disk, path, b"1");
    }
    disk.remove_content("e", "kept").unwrap();
    assert_eq!(names(disk, "e"), ["kept"]);
    disk.remove_content("e", "").unwrap();
    assert_eq!(names(disk, "e"), Vec::<String>::new());
    assert!(
        disk.remove_content("absent", "")
            .unwrap_err()
            .is_not_found()
    );
}

#[test]
fn emptying_a_folder_keeps_the_entry_and_enters_no_link() {
    let (dir, disk) = real();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("kept"), b"kept").unwrap();
    a_folder_is_emptied_but_for_one_entry(&disk);
    a_folder_is_emptied_but_for_one_entry(&PowerCutDisk::new());
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let root = dir.path().join("a/b/e");
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let name = std::ffi::OsStr::from_bytes(b"not \xff text");
        std::fs::write(root.join(name), b"").unwrap();
        disk.remove_content("e", "").unwrap();
        assert_eq!(names(&disk, "e"), Vec::<String>::new());
    }
    assert!(outside.join("kept").exists());
}

#[test]
fn a_tree_is_synced_however_large_it_is() {
    let (_dir, disk) = real();
    let memory = PowerCutDisk::new();
    let paths: Vec<String> = (0..100).map(|n| format!("t/{}/{n}", n % 9)).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut folders: Vec<String> = (0..9).map(|n| format!("t/{n}")).collect();
    folders.extend(["t".to_owned(), String::new()]);
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    for folder in folders.iter().rev().filter(|folder| !folder.is_empty()) {
        disk.create_folder(folder).unwrap();
        memory.create_folder(folder).unwrap();
    }
    for path in &paths {
        write(&disk, path, b"1");
        write(&memory, path, b"1");
    }
    disk.sync_tree(&paths, &folders).unwrap();
    disk.sync_tree(&paths[..3], &folders[..3]).unwrap();
    assert!(disk.sync_tree(&["absent"], &[]).is_err());
    memory.sync_tree(&paths, &folders).unwrap();
    let images = memory.crash_images_now(1);
    assert_eq!(images.len(), 1, "everything is durable");
    assert!(
        paths
            .iter()
            .all(|path| images[0].content(path) == Some(b"1"))
    );
}

#[test]
fn content_is_shared_where_the_disk_can_and_is_not_the_same_file() {
    let (_dir, disk) = real();
    write(&disk, "from", b"hello");
    let from = disk.open_read("from").unwrap();
    let to = disk.create_new("to", FileMode::Plain).unwrap();
    if to.share_content_of(&from).unwrap() {
        assert_eq!(disk.read_file("to", 9).unwrap().unwrap(), b"hello");
        to.write_all_at(b"J", 0).unwrap();
    }
    assert_eq!(disk.read_file("from", 9).unwrap().unwrap(), b"hello");
    let memory = PowerCutDisk::new();
    write(&memory, "from", b"hello");
    let from = memory.open_read("from").unwrap();
    let to = memory.create_new("to", FileMode::Plain).unwrap();
    assert!(!to.share_content_of(&from).unwrap());
}
