//! The shell in a pipe.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::lab::Lab;

#[test]
fn lines_are_answered_in_their_order_and_counted_from_one() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    peer.has("cnctw", &[("data/a.bin", 1000)]);
    let lines = "list\n\n# a comment\nstatus\nfrobnicate x\npeers\npeer-count\nhelp\nquit\nlist\n";
    let ended = peer.script(&[], lines).expect(2);
    let replies: Vec<_> = ended
        .replies()
        .iter()
        .map(|reply| {
            (
                reply["line"].as_u64().unwrap(),
                reply["command"].clone(),
                reply["ok"] == true,
            )
        })
        .collect();
    let expected = [
        (1, json!("list"), true),
        (4, json!("status"), true),
        (5, json!("frobnicate"), false),
        (6, json!("peers"), true),
        (7, json!("peer-count"), true),
        (8, json!("help"), true),
        (9, json!("quit"), true),
    ];
    assert_eq!(replies, expected);
    let all = ended.json();
    assert_eq!(all[0]["event"], "ready");
    assert!(all.iter().any(|line| line["event"] == "shutting_down"));
}

#[test]
fn replies_have_the_fields_of_the_contract() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    peer.has("cnctw", &[("data/a.bin", 1000)]);
    let mut shell = peer.shell(&["--name", "pc-7"]);
    // Its size is known when it is hashed.
    let mut list = shell.data("list");
    while list["games"][0]["bytes"] == 0 {
        shell.data("wait library_changed --timeout 20");
        list = shell.data("list");
    }
    assert_eq!(
        list["games"][0],
        json!({
            "id": "cnctw", "name": "cnctw", "version": "1.0", "latest_version": "1.0",
            "state": "downloaded", "installed": false, "installed_version": null,
            "peers": 0, "bytes": 1000
        })
    );
    assert_eq!(shell.data("peers"), json!({ "peers": [] }));
    assert_eq!(shell.data("peer-count"), json!({ "count": 0 }));
    let ready = shell.event("ready");
    let status = shell.data("status");
    assert_eq!(status["peer"], ready["peer"]);
    assert_eq!(
        (&status["name"], &status["peers"]),
        (&json!("pc-7"), &json!(0))
    );
    assert_eq!(status["listen"], ready["listen"]);
    for empty in ["outbound_transfers", "sent_bytes", "received_bytes"] {
        assert_eq!(status[empty], json!({}), "{empty}");
    }
    assert_eq!(status["operations"], json!([]));
    assert!(status["hashed_bytes"].is_u64() && status["game_dir"].is_string());
    shell.quit().expect(0);
}

#[test]
fn a_bad_line_is_refused_and_the_next_one_is_served() {
    let lab = Lab::new();
    let mut shell = lab.peer("a").shell(&[]);
    assert!(shell.refused("download ../x", "bad_input").contains("../x"));
    assert!(
        shell
            .refused("wait for_godot", "bad_input")
            .contains("for_godot")
    );
    shell.refused("download", "bad_input");
    shell.refused("connect nowhere", "bad_input");
    shell.type_raw(b"\xff\xfe\n");
    let bad = shell.until(|seen| seen["line"] == 5);
    assert_eq!(bad["error"]["code"], "bad_input");
    shell.type_raw(format!("{}\nlist\n", "x".repeat(100_000)).as_bytes());
    assert!(
        shell.until(|seen| seen["line"] == 6)["error"]["message"]
            .to_string()
            .contains("16384")
    );
    assert_eq!(shell.until(|seen| seen["line"] == 7)["ok"], true);
    shell.end_of_input();
    shell.ended().expect(2);
}

#[test]
fn several_kinds_of_failure_are_plain_failure() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    peer.has("cnctw", &[("a", 1)]);
    peer.script(&[], "frobnicate\nverify other\n").expect(1);
    peer.script(&[], "cancel cnctw\n").expect(2);
    peer.script(&[], "download other\n").expect(3);
}

#[test]
fn a_wait_takes_what_has_happened_and_each_event_once() {
    let lab = Lab::new();
    let mut shell = lab.peer("a").shell(&[]);
    let taken = shell.data("wait ready --timeout 5");
    assert_eq!(taken["event"], "ready");
    let started = Instant::now();
    let message = shell.refused("wait ready --timeout 0.3", "cancelled");
    assert_eq!(message, "no ready within 0.3 s");
    assert!(started.elapsed() >= Duration::from_millis(300));
    shell.end_of_input();
    shell.ended().expect(5);
}

#[test]
fn a_wait_in_one_shell_is_over_when_another_joins() {
    let lab = Lab::new();
    let (mut a, b) = (lab.peer("a").shell(&["--name", "alice"]), lab.peer("b"));
    let address = a.address();
    let mut b = b.shell(&["--name", "bob", "--peer", &address]);
    let joined = a.data("wait peer_joined bob --timeout 20");
    assert_eq!(joined["peer"], b.event("ready")["peer"]);
    assert_eq!(b.data("wait peer_joined --timeout 20")["name"], "alice");
    assert_eq!(a.data("peer-count"), json!({ "count": 1 }));
    let peers = a.data("peers");
    assert_eq!(peers["peers"][0]["name"], "bob");
    b.quit().expect(0);
    assert_eq!(
        a.data("wait peer_left bob --timeout 20")["reason"],
        "goodbye"
    );
    a.quit().expect(0);
}

#[test]
fn sleeping_delays_the_next_line_only() {
    let lab = Lab::new();
    let mut shell = lab.peer("a").shell(&[]);
    shell.event("ready");
    let started = Instant::now();
    shell.say("sleep 0.3");
    shell.data("peer-count");
    assert!(started.elapsed() >= Duration::from_millis(300));
    shell.quit().expect(0);
}

#[test]
fn the_shell_without_json_speaks_to_people() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    peer.has("cnctw", &[("a", 1000)]);
    let output = {
        let mut process = peer
            .command(&["--name", "pc-7"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut process.stdin.take().unwrap(), b"list\nnonsense\n").unwrap();
        process.wait_with_output().unwrap()
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("pc-7 (") && text.contains("listens on 127.0.0.1:"),
        "{text}"
    );
    assert!(text.contains("cnctw") && text.contains("here"), "{text}");
    assert!(
        text.contains("line 2: nonsense: there is no command"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn signals_end_it_in_order() {
    for (verb, signal, code) in [
        ("shell", "-INT", 130),
        ("shell", "-TERM", 0),
        ("serve", "-INT", 130),
        ("serve", "-TERM", 0),
    ] {
        let lab = Lab::new();
        let peer = lab.peer("a");
        let mut running = if verb == "shell" {
            peer.shell(&[])
        } else {
            peer.serve(&[])
        };
        running.event("ready");
        running.signal(signal);
        let ended = running.ended().expect(code);
        let told = ended.json();
        assert!(
            told.iter().any(|line| line["event"] == "shutting_down"),
            "{verb} {signal}"
        );
        assert!(
            !peer.state().join("control.sock").exists(),
            "{verb} {signal}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_clean_end_is_the_last_thing_that_is_told() {
    for _ in 0..4 {
        let lab = Lab::new();
        let mut running = lab.peer("a").serve(&[]);
        running.event("ready");
        running.signal("-TERM");
        let ended = running.ended().expect(0);
        assert_eq!(ended.json().pop().unwrap()["event"], "shutting_down");
        assert_eq!(ended.stderr, "");
    }
}
