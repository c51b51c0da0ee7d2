//! Installs between real processes, from real archives.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::lab::{Lab, Place, Shell, run};

const GAME: &str = "Age of Empires II";
const FILES: [(&str, usize); 4] = [
    ("bin/game.exe", 300_000),
    ("data/big.bin", 2_000_017),
    ("empty", 0),
    ("readme.txt", 2000),
];

/// The game's row of `list`.
fn listed(shell: &mut Shell) -> Value {
    shell.data("list")["games"][0].clone()
}

fn events(shell: &Shell) -> Vec<String> {
    let names = shell.seen.iter().filter_map(|line| line["event"].as_str());
    let told = names.filter(|name| !name.ends_with("_progress"));
    let about = ["download_", "install_", "uninstall_", "removed"];
    told.filter(|name| about.iter().any(|start| name.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

/// Ends a peer that only serves.
fn stop(peer: Shell) {
    peer.signal("-TERM");
    peer.ended().expect(0);
}

fn is_tidy(place: &Place) -> bool {
    let names = fs::read_dir(place.games().join(GAME)).unwrap();
    !names.into_iter().any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_str().unwrap().starts_with('.')
    })
}

#[test]
fn a_shell_downloads_installs_uninstalls_and_removes() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let installed = a.has_archive(GAME, "1.0", &FILES);
    let mut source = a.shell(&[]);
    let mut shell = b.shell(&["--peer", &source.address()]);
    wait_for_source(&mut shell);
    shell.refused(&format!("install {GAME}"), "not_downloaded");
    shell.refused(&format!("uninstall {GAME}"), "not_installed");
    shell.data(&format!("download {GAME}"));
    let downloaded = shell.data(&format!("wait download_finished {GAME} --timeout 30"));
    assert_eq!(downloaded["installing"], true);
    let finished = shell.data(&format!("wait install_finished {GAME} --timeout 30"));
    let bytes: usize = FILES.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(
        (
            &finished["version"],
            &finished["replaced"],
            &finished["streamed"]
        ),
        (&json!("1.0"), &Value::Null, &json!(false))
    );
    assert_eq!(
        (&finished["files"], &finished["bytes"]),
        (&json!(FILES.len()), &json!(bytes))
    );
    assert_eq!(b.tree(&format!("{GAME}/local")), installed);
    let row = listed(&mut shell);
    assert_eq!(
        (&row["state"], &row["installed"], &row["installed_version"]),
        (&json!("downloaded"), &json!(true), &json!("1.0"))
    );
    shell.refused(&format!("remove {GAME}"), "installed");
    shell.data(&format!("install {GAME}"));
    let again = shell.data(&format!("wait install_finished {GAME} --timeout 30"));
    assert_eq!(again["replaced"], "1.0");
    shell.data(&format!("uninstall {GAME}"));
    shell.data(&format!("wait uninstall_finished {GAME} --timeout 30"));
    let row = listed(&mut shell);
    assert_eq!(
        (&row["state"], &row["installed"], &row["installed_version"]),
        (&json!("downloaded"), &json!(false), &Value::Null)
    );
    assert_eq!(b.tree(GAME), a.tree(GAME));
    shell.data(&format!("remove {GAME}"));
    shell.data(&format!("wait removed {GAME} --timeout 30"));
    assert_eq!(listed(&mut shell)["state"], "remote");
    assert!(!b.games().join(GAME).exists());
    let order = [
        "download_started",
        "download_finished",
        "install_started",
        "install_finished",
        "install_started",
        "install_finished",
        "uninstall_started",
        "uninstall_finished",
        "removed",
    ];
    assert_eq!(events(&shell), order);
    assert_eq!(shell.quit().code, 1, "refusals are failures");
    source.quit().expect(0);
}

fn wait_for_source(shell: &mut Shell) {
    while listed(shell)["peers"] != 1 {
        shell.data("wait library_changed --timeout 20");
    }
}

#[test]
fn one_shot_verbs_install_when_they_are_asked_to() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let installed = a.has_archive(GAME, "1.0", &FILES);
    let mut source = a.serve(&[]);
    let address = source.address();
    let local = format!("{GAME}/local");
    let ask = |arguments: &[&str]| {
        let all = [&["--peer", &address, "--json"], arguments].concat();
        b.run(&all)
    };
    ask(&["download", GAME, "--no-install"]).expect(0);
    assert!(b.tree(&local).is_empty());
    ask(&["install", GAME]).expect(0).event("install_finished");
    assert_eq!(b.tree(&local), installed);
    let refused = ask(&["remove", GAME]).expect(1);
    assert_eq!(refused.replies()[0]["error"]["code"], "installed");
    ask(&["uninstall", GAME]).expect(0);
    assert!(!b.games().join(&local).exists());
    let refused = ask(&["uninstall", GAME]).expect(1);
    assert_eq!(refused.replies()[0]["error"]["code"], "not_installed");
    ask(&["download", GAME]).expect(0);
    assert_eq!(
        b.tree(&local),
        installed,
        "a download that is here already is installed"
    );
    stop(source);
}

#[test]
fn verbs_attach_to_the_peer_that_runs_and_people_read_sentences() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has_archive(GAME, "1.0", &FILES);
    let mut source = a.serve(&[]);
    let mut running = b.serve(&["--peer", &source.address()]);
    running.event("ready");
    let ended = b.run(&["download", GAME]).expect(0);
    let told = "version 1.0 is installed, 4 files, 2.3 MB in";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);
    let ended = b.run(&["uninstall", GAME]).expect(0);
    assert!(ended.stdout.contains("uninstalled"), "{}", ended.stdout);
    let ended = b.run(&["install", GAME]).expect(0);
    assert!(
        ended.stdout.contains("installing version 1.0"),
        "{}",
        ended.stdout
    );
    running.event("uninstall_finished");
    stop(running);
    stop(source);
}

#[test]
fn an_install_that_fails_after_a_download_says_that_the_download_is_complete() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has_archive(GAME, "1.0", &FILES);
    let archive = a.games().join(GAME).join("setup.eti");
    let content = fs::read(&archive).unwrap();
    fs::write(&archive, &content[..content.len() / 2]).unwrap();
    let mut source = a.serve(&[]);
    let address = source.address();
    let ended = b
        .run(&["--peer", &address, "--json", "download", GAME])
        .expect(1);
    let failed = ended.event("install_failed");
    assert_eq!(failed["error"]["code"], "archive_damaged", "{failed}");
    assert!(ended.stderr.contains("the download of"), "{}", ended.stderr);
    assert_eq!(b.tree(GAME), a.tree(GAME));
    assert!(is_tidy(&b));
    stop(source);
}

#[test]
fn too_little_room_is_an_exit_code_of_its_own() {
    let lab = Lab::new();
    let place = lab.peer("a");
    place.has_archive(GAME, "1.0", &FILES);
    let mut command = place.bare_command();
    command.arg("--game-dir").arg(place.games());
    command.arg("--state-dir").arg(place.state());
    command.args(["--listen", "127.0.0.1:0", "--no-mdns", "--json"]);
    command.args(["--reserve", "9000TiB", "install", GAME]);
    let ended = run(&mut command).expect(4);
    let failed = ended.event("install_failed");
    assert_eq!(failed["error"]["code"], "disk_full");
    assert!(is_tidy(&place));
    assert!(!place.games().join(GAME).join("local").exists());
}

#[test]
fn the_end_of_input_lets_an_install_finish() {
    let lab = Lab::new();
    let place = lab.peer("a");
    let installed = place.has_archive(GAME, "1.0", &FILES);
    place.script(&[], &format!("install {GAME}\n")).expect(0);
    assert_eq!(place.tree(&format!("{GAME}/local")), installed);
}

#[test]
fn quit_takes_a_running_install_back_or_lets_its_commit_finish() {
    let lab = Lab::new();
    let place = lab.peer("a");
    let installed = place.has_archive(GAME, "1.0", &[("big.bin", 40_000_000)]);
    let mut shell = place.shell(&[]);
    shell.say(&format!("install {GAME}"));
    shell.event("install_started");
    let ended = shell.quit().expect(0);
    let cancelled = ended
        .json()
        .iter()
        .any(|line| line["event"] == "install_cancelled");
    let local = place.games().join(GAME).join("local");
    assert_eq!(local.exists(), !cancelled);
    assert!(cancelled || place.tree(&format!("{GAME}/local")) == installed);
    assert!(is_tidy(&place));
}

#[test]
fn a_peer_that_is_killed_while_it_installs_has_the_old_version_or_the_new_one() {
    let lab = Lab::new();
    let place = lab.peer("a");
    let local = format!("{GAME}/local");
    let first = place.has_archive(GAME, "1.0", &FILES);
    place.run(&["install", GAME]).expect(0);
    let second = place.has_archive(GAME, "2.0", &[("big.bin", 20_000_000), ("new.txt", 5)]);
    let mut shell = place.shell(&[]);
    shell.say(&format!("install {GAME}"));
    shell.event("install_started");
    shell.signal("-KILL");
    drop(shell);

    let mut shell = place.shell(&[]);
    shell.event("ready");
    let row = listed(&mut shell);
    let now = place.tree(&local);
    let expected = if row["installed_version"] == "1.0" {
        &first
    } else {
        &second
    };
    assert!(&now == expected, "{row}: {:?}", now.keys());
    assert!(is_tidy(&place));
    shell.data(&format!("install {GAME}"));
    shell.data(&format!("wait install_finished {GAME} --timeout 30"));
    assert_eq!(place.tree(&local), second);
    shell.quit().expect(0);
}

#[test]
fn archives_that_real_tools_make_are_installed() {
    let lab = Lab::new();
    let place = lab.peer("a");
    let root = place.games().join(GAME);
    fs::create_dir_all(&root).unwrap();
    let content = place.file("readme.txt", &"a line of text\n".repeat(1000));
    let script = "import sys, zipfile\n\
                  with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:\n    \
                  archive.write(sys.argv[2], 'docs/readme.txt')\n";
    let archive = root.join("GAME.ZIP");
    let paths: [&Path; 2] = [&archive, &content];
    let made = Command::new("python3")
        .args(["-c", script])
        .args(paths)
        .status();
    assert!(made.unwrap().success());
    fs::write(root.join("version.ini"), "3\n").unwrap();
    place.run(&["install", GAME]).expect(0);
    let tree = place.tree(&format!("{GAME}/local"));
    let only: Vec<_> = tree.into_iter().collect();
    assert_eq!(
        only,
        [("docs/readme.txt".into(), fs::read(content).unwrap())]
    );
}
