//! Verbs and clients that talk to a peer that runs already, and processes that may not.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use serde_json::{Value, json};

use crate::lab::{Lab, run};

const GAME: &str = "cnctw";

#[test]
fn verbs_attach_to_the_peer_that_runs() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &[("data.bin", 100_000)]);
    let mut source = a.serve(&[]);
    let peer = source.address();
    let mut running = b.serve(&["--peer", &peer]);
    let ready = running.event("ready");

    let status = b.run(&["--json", "status"]).expect(0).json();
    assert_eq!(status[0], ready, "the same peer");
    assert_eq!(status.last().unwrap()["data"]["peer"], ready["peer"]);

    let downloaded = b.run(&["--json", "download", GAME]).expect(0);
    assert!(
        downloaded.stdout.contains("\"download_finished\""),
        "{}",
        downloaded.stdout
    );
    assert_eq!(
        running.event("download_finished")["game"],
        GAME,
        "it was the running peer's work"
    );
    assert_eq!(b.tree(GAME), a.tree(GAME));
    b.run(&["verify", GAME]).expect(0);
    b.run(&["download", "other", "--wait", "0"]).expect(3);

    for mut served in [source, running] {
        served.signal("-TERM");
        served.end_of_input();
        served.ended().expect(0);
    }
}

#[test]
fn a_directory_belongs_to_one_process() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let mut running = a.serve(&["--name", "the-first"]);
    running.event("ready");
    let pid = running.pid().to_string();

    for verb in ["serve", "shell"] {
        let same_state = a.run(&[verb]).expect(6);
        assert!(same_state.stderr.contains(&pid), "{}", same_state.stderr);
        assert_eq!(same_state.stdout, "");
    }
    let mut other = a.bare_command();
    other
        .arg("--game-dir")
        .arg(a.games())
        .arg("--state-dir")
        .arg(b.state());
    other.args(["--no-mdns", "list"]);
    let other = run(&mut other).expect(6);
    assert!(other.stderr.contains(&pid), "{}", other.stderr);
    running.signal("-TERM");
    running.ended().expect(0);
}

#[test]
fn a_verb_that_means_another_game_directory_is_refused() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    let mut running = a.serve(&[]);
    running.event("ready");
    let mut verb = a.bare_command();
    verb.arg("--state-dir")
        .arg(a.state())
        .arg("--game-dir")
        .arg(b.games())
        .arg("list");
    let refused = run(&mut verb).expect(2);
    assert!(
        refused.stderr.contains("has its games in"),
        "{}",
        refused.stderr
    );
    running.signal("-TERM");
    running.ended().expect(0);
}

#[cfg(unix)]
#[test]
fn the_socket_speaks_the_shells_language() {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::{fs::PermissionsExt, net::UnixStream},
    };
    let lab = Lab::new();
    // Also where the path is longer than a socket's may be.
    for name in ["a".to_owned(), "long".repeat(30)] {
        let peer = lab.peer(&name);
        let mut running = peer.serve(&[]);
        let ready = running.event("ready");
        let socket = peer.state().join("control.sock");
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        if name.len() > 1 {
            assert_eq!(peer.run(&["--json", "status"]).expect(0).json()[0], ready);
            running.signal("-TERM");
            running.ended().expect(0);
            continue;
        }
        let mut client = UnixStream::connect(&socket).unwrap();
        client
            .write_all(b"# nothing\npeer-count\nnonsense\nwait ready\nquit\n")
            .unwrap();
        let lines: Vec<Value> = BufReader::new(client)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(lines[0], ready);
        let reply = json!({
            "type": "reply", "line": 2, "command": "peer-count", "ok": true, "data": { "count": 0 }
        });
        assert_eq!(lines[1], reply);
        assert_eq!(lines[2]["error"]["code"], "bad_input");
        assert_eq!(
            (&lines[3]["line"], &lines[3]["ok"]),
            (&json!(4), &json!(true))
        );
        assert_eq!(
            (&lines[4]["command"], &lines[4]["ok"]),
            (&json!("quit"), &json!(true))
        );
        assert_eq!(lines[5]["event"], "shutting_down");
        running.ended().expect(0);
        assert!(!socket.exists());
    }
}

#[cfg(unix)]
#[test]
fn a_socket_that_a_dead_process_left_is_replaced() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    let mut first = peer.serve(&[]);
    first.event("ready");
    first.signal("-KILL");
    first.ended();
    assert!(peer.state().join("control.sock").exists());
    peer.run(&["--json", "status"]).expect(0);
    let mut second = peer.serve(&[]);
    let ready = second.event("ready");
    assert_eq!(peer.run(&["--json", "status"]).expect(0).json()[0], ready);
    second.signal("-TERM");
    second.ended().expect(0);
}
