//! Streamed installs between real processes, from archives that real tools made.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::lab::{DEADLINE, Ended, Lab, Place, Shell};

const GAME: &str = "Age of Empires II";

const MIB: usize = 1024 * 1024;

/// A source knows that a receiver is gone within this.
const IDLE_WITHIN: Duration = Duration::from_secs(1);

const FILES: [(&str, usize); 4] = [
    ("bin/run.sh", 3_000),
    ("data/big file.bin", 2_000_017),
    ("data/ä.txt", 1),
    ("empty", 0),
];

/// What each tool packs the working directory with, into the file `$OUT`.
const TOOLS: [(&str, &str); 3] = [
    ("tar.zst", "tar c . | zstd -q -o \"$OUT\""),
    ("zip", "python3 -m zipfile -c \"$OUT\" *"),
    ("7z", "7z a -t7z -bd -bso0 \"$OUT\" ."),
];

/// A file, or none for a folder.
type Shape = BTreeMap<PathBuf, Option<File>>;

#[derive(PartialEq, Eq)]
struct File {
    is_executable: bool,
    content: Vec<u8>,
}

/// The files and folders under a folder.
fn shape(root: &Path) -> Shape {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let file = metadata.is_file().then(|| File {
                is_executable: metadata.permissions().mode() & 0o111 != 0,
                content: fs::read(&path).unwrap(),
            });
            if file.is_none() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap().to_owned(), file);
        }
    }
    found
}

fn assert_same(found: &Shape, expected: &Shape) {
    let (names, wanted): (Vec<_>, Vec<_>) = (found.keys().collect(), expected.keys().collect());
    assert_eq!(names, wanted);
    for (path, file) in found {
        assert!(*file == expected[path], "{}", path.display());
    }
}

/// Packs a version of the game with a tool; returns what it installs.
fn has_packed(place: &Place, version: &str, files: &[(&str, usize)], tool: &str) -> Shape {
    let root = place.games().join(GAME);
    let tree = place.state().with_file_name(format!("made {version}"));
    for (path, bytes) in files {
        let whole = tree.join(path);
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        let line = format!("{version} {path}\n").into_bytes();
        let content: Vec<u8> = line.into_iter().cycle().take(*bytes).collect();
        fs::write(&whole, content).unwrap();
        let mode = if path.starts_with("bin/") {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&whole, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(tree.join("saves/old")).unwrap();
    fs::create_dir_all(&root).unwrap();
    let archive = root.join("setup.eti");
    // A tool would add to the version before, or refuse to.
    let packed = place.state().with_file_name(format!("packed {version}"));
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", tool]);
    let made = shell.current_dir(&tree).env("OUT", &packed).status();
    assert!(made.unwrap().success(), "{tool}");
    fs::rename(&packed, &archive).unwrap();
    fs::write(root.join("version.ini"), format!("{version}\n")).unwrap();
    shape(&tree)
}

/// What lies in the game's folder here.
fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.games().join(GAME)).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn local(place: &Place) -> Shape {
    shape(&place.games().join(GAME).join("local"))
}

/// The events of the operation, each once if it comes any number of times; all must be told as streamed.
fn told(lines: &[Value]) -> Vec<&str> {
    let mut names = Vec::new();
    for line in lines {
        let name = line["event"].as_str().unwrap_or_default();
        if name.starts_with("download_") || name.starts_with("install_") {
            assert_eq!(line["streamed"], true, "{line}");
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
    }
    names.retain(|name| !name.ends_with("_progress"));
    names
}

/// The game's row of `list`.
fn listed(shell: &mut Shell) -> Value {
    shell.data("list")["games"][0].clone()
}

/// What the source sends right now.
fn outbound(source: &mut Shell) -> Value {
    source.data("status")["outbound_transfers"].take()
}

fn assert_idle_soon(source: &mut Shell) {
    let deadline = Instant::now() + IDLE_WITHIN;
    loop {
        let asked = Instant::now();
        let sending = outbound(source);
        if sending == json!({}) {
            return;
        }
        assert!(asked < deadline, "{sending}");
    }
}

/// Waits until the receiver knows that the source has this version.
fn wait_for(receiver: &mut Shell, version: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let row = listed(receiver);
        if row["peers"] == 1 && row["latest_version"] == version {
            return;
        }
        assert!(Instant::now() < deadline, "{row}");
        receiver.data("wait library_changed --timeout 20");
    }
}

/// Begins a streamed install and waits until some of it has arrived.
fn begin(receiver: &mut Shell) {
    receiver.data(&format!("stream-install {GAME}"));
    receiver.until(|seen| {
        seen["event"] == "download_progress" && seen["bytes_done"].as_u64() > Some(0)
    });
    assert_eq!(told(&receiver.seen), ["download_started"]);
}

#[test]
fn archives_of_real_tools_are_installed_without_ever_being_here() {
    for (format, tool) in TOOLS {
        let lab = Lab::new();
        let (a, b) = (lab.peer("a"), lab.peer("b"));
        let made = has_packed(&a, "1.0", &FILES, tool);
        let mut source = a.shell(&[]);
        let ended = stream(&b, &source.address()).expect(0);
        assert_idle_soon(&mut source);
        let lines = ended.json();
        let order = [
            "download_started",
            "download_finished",
            "install_started",
            "install_finished",
        ];
        assert_eq!(told(&lines), order, "{format}");
        let finished = ended.event("install_finished");
        let bytes: usize = FILES.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(
            (&finished["version"], &finished["files"], &finished["bytes"]),
            (&json!("1.0"), &json!(FILES.len()), &json!(bytes))
        );
        assert_eq!(names(&b), ["local"], "{format}");
        assert_same(&local(&b), &made);
        b.run(&["uninstall", GAME]).expect(0);
        assert!(names(&b).is_empty(), "{format}: {:?}", names(&b));
        source.quit().expect(0);
    }
}

#[test]
fn a_streamed_game_is_installed_but_not_downloaded() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    has_packed(&a, "1.0", &FILES, TOOLS[0].1);
    let mut source = a.shell(&[]);
    let mut receiver = b.shell(&["--peer", &source.address()]);
    wait_for(&mut receiver, "1.0");
    receiver.data(&format!("stream-install {GAME}"));
    receiver.data(&format!("wait install_finished {GAME} --timeout 30"));
    let row = listed(&mut receiver);
    assert_eq!(
        (&row["state"], &row["installed"], &row["installed_version"]),
        (&json!("remote"), &json!(true), &json!("1.0"))
    );
    // There is nothing here that could be served.
    assert_eq!(listed(&mut source)["peers"], 0);
    receiver.data(&format!("uninstall {GAME}"));
    receiver.data(&format!("wait uninstall_finished {GAME} --timeout 30"));
    assert_eq!(listed(&mut receiver)["installed"], false);
    receiver.quit().expect(0);
    source.quit().expect(0);
}

#[test]
fn a_damaged_archive_leaves_nothing_and_what_was_installed_stays() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let first = has_packed(&a, "1.0", &FILES, TOOLS[0].1);
    let archive = a.games().join(GAME).join("setup.eti");
    let whole = fs::read(&archive).unwrap();
    let half = &whole[..whole.len() / 2];

    fs::write(&archive, half).unwrap();
    assert_fails(&a, &b);
    assert!(names(&b).is_empty(), "{:?}", names(&b));

    fs::write(&archive, &whole).unwrap();
    let mut source = a.shell(&[]);
    stream(&b, &source.address()).expect(0);
    source.quit().expect(0);

    fs::write(&archive, half).unwrap();
    assert_fails(&a, &b);
    assert_eq!(names(&b), ["local"]);
    assert_same(&local(&b), &first);
}

/// Installs with a verb that speaks JSON.
fn stream(place: &Place, source: &str) -> Ended {
    place.run(&["--peer", source, "--json", "stream-install", GAME])
}

/// A streamed install from here to there fails, and the source is idle at once.
fn assert_fails(from: &Place, to: &Place) {
    let mut source = from.shell(&[]);
    let ended = stream(to, &source.address()).expect(1);
    assert_idle_soon(&mut source);
    let failed = ended.event("download_failed");
    assert_eq!(failed["error"]["code"], "all_sources_failed", "{failed}");
    assert_eq!(told(&ended.json()).last(), Some(&"download_failed"));
    source.quit().expect(0);
}

#[test]
fn without_a_source_a_streamed_install_ends_with_three() {
    let lab = Lab::new();
    let place = lab.peer("a");
    let ended = place.run(&["stream-install", GAME]).expect(3);
    assert!(ended.stderr.contains(GAME), "{}", ended.stderr);
    assert!(names(&place).is_empty());
}

#[test]
fn a_cancel_takes_a_streamed_install_back_at_both_ends() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    has_packed(&a, "1.0", &[("big.bin", 24 * MIB)], TOOLS[0].1);
    let mut source = a.shell(&["--upload-limit", "4MiB"]);
    let mut receiver = b.shell(&["--peer", &source.address()]);
    wait_for(&mut receiver, "1.0");
    begin(&mut receiver);
    assert_eq!(outbound(&mut source), json!({ GAME: 1 }));
    let cancelled = receiver.data(&format!("cancel {GAME}"));
    assert_idle_soon(&mut source);
    assert_eq!(
        cancelled,
        json!({ "event": "download_cancelled", "game": GAME, "streamed": true })
    );
    assert_eq!(
        told(&receiver.seen),
        ["download_started", "download_cancelled"]
    );
    assert!(names(&b).is_empty(), "{:?}", names(&b));
    receiver.quit().expect(0);
    source.quit().expect(0);
}

#[test]
fn a_receiver_that_is_killed_has_what_it_had_before() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let first = has_packed(&a, "1.0", &FILES, TOOLS[0].1);
    let mut source = a.shell(&["--upload-limit", "4MiB"]);
    let address = source.address();
    stream(&b, &address).expect(0);
    let second = has_packed(&a, "2.0", &[("big.bin", 24 * MIB)], TOOLS[0].1);
    let mut receiver = b.shell(&["--peer", &address]);
    wait_for(&mut receiver, "2.0");
    begin(&mut receiver);
    receiver.signal("-KILL");
    drop(receiver);
    assert_eq!(names(&b), [".local.installing", "local"]);

    let mut receiver = b.shell(&[]);
    receiver.event("ready");
    let row = listed(&mut receiver);
    assert_eq!(row["installed_version"], "1.0", "{row}");
    assert_eq!(names(&b), ["local"]);
    assert_same(&local(&b), &first);
    receiver.quit().expect(0);
    source.quit().expect(0);

    let mut source = a.shell(&[]);
    stream(&b, &source.address()).expect(0);
    assert_same(&local(&b), &second);
    source.quit().expect(0);
}
