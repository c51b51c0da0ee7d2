//! Wrong bytes, other parties, peers that disagree.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::fs;

use lanspread_peer::{DistrustReason, DownloadRequest, ErrorCode, Party, PeerEvent};
use lanspread_testkit::{GameTree, Lab, TestPeer, eventually, tree};

const MIB: usize = 1024 * 1024;

fn game() -> GameTree {
    tree("doom", "1.0").file("big.pak", 12 * MIB)
}

/// Flips a byte in place and puts the modification time back, as a failing disk would.
fn flip_a_byte(peer: &TestPeer, path: &str, at: u64) {
    use std::os::unix::fs::FileExt;
    let path = peer.game_dir().join(path);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(modified).unwrap();
}

fn serves(peer: &TestPeer) -> bool {
    peer.handle.game_db().peer_count() > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_fetched_elsewhere() {
    let game = game();
    let lab = Lab::new();
    let bad = lab.peer("bad").has(&game).start().await;
    let good = lab.peer("good").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&bad).knows(&good).start().await;
    receiver.sees("doom", 2).await;
    for chunk in 0..12 {
        flip_a_byte(&bad, "doom/big.pak", chunk * MIB as u64 + 5);
    }
    receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
    let distrusted = receiver
        .event("distrust", |event| match event {
            PeerEvent::PeerDistrusted { peer, reason, .. } => Some((*peer, *reason)),
            _ => None,
        })
        .await;
    assert_eq!(
        distrusted,
        (Some(bad.handle.id()), DistrustReason::WrongBytes)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_does_not_drop_its_source() {
    let game = game();
    let lab = Lab::new();
    let bad = lab.peer("bad").has(&game).start().await;
    let good = lab.peer("good").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&bad).knows(&good).start().await;
    receiver.sees("doom", 2).await;
    // In both copies, at different places, so that whoever is asked first is wrong once.
    flip_a_byte(&bad, "doom/big.pak", 3);
    flip_a_byte(&good, "doom/big.pak", 11 * MIB as u64);
    receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
    for event in receiver.told() {
        if let PeerEvent::PeerDistrusted { dropped, .. } = event {
            assert!(!dropped, "one wrong chunk is not three");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_on_the_only_source_is_a_clear_error_and_no_sentinel() {
    let game = game();
    let lab = Lab::new();
    let bad = lab.peer("bad").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&bad).start().await;
    receiver.sees("doom", 1).await;
    flip_a_byte(&bad, "doom/big.pak", 7 * MIB as u64);
    let request = DownloadRequest::latest("doom".parse().unwrap());
    let error = receiver
        .handle
        .download(request)
        .await
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptSource, "{error}");
    assert!(!receiver.game_dir().join("doom/version.ini").exists());
    receiver
        .event("the verdict", |event| match event {
            PeerEvent::PeerDistrusted { dropped, .. } => dropped.then_some(()),
            _ => None,
        })
        .await;
    let told: Vec<_> = receiver
        .told()
        .into_iter()
        .filter_map(|event| match event {
            PeerEvent::PeerDistrusted { peer, dropped, .. } => Some((peer, dropped)),
            _ => None,
        })
        .collect();
    let bad = Some(bad.handle.id());
    assert_eq!(told, [(bad, false), (bad, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_not_served_as_what_it_was() {
    let game = game();
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.sees("doom", 1).await;
    let newer = game.content("big.pak", vec![7; 3 * MIB]).version("1.1");
    newer.write_to(&source.game_dir());
    eventually("news of the change", || {
        receiver.handle.games().iter().any(|game| {
            game.latest_version
                .as_ref()
                .is_some_and(|v| v.as_str() == "1.1")
        })
    })
    .await;
    receiver.downloads("doom").await;
    newer.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_party_does_not_connect_and_both_say_why() {
    let lab = Lab::new();
    let party = tempfile::tempdir().unwrap();
    let private = Party::create(party.path()).unwrap();
    let open = lab.peer("open").start().await;
    let closed = lab
        .peer("closed")
        .with(|config| config.party = private.clone())
        .start()
        .await;
    let address = open.handle.listen_addr().to_string();
    let error = closed.handle.connect(&address).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PartyMismatch, "{error:?}");
    for peer in [&open, &closed] {
        let reason = peer
            .event("distrust", |event| match event {
                PeerEvent::PeerDistrusted { reason, .. } => Some(*reason),
                _ => None,
            })
            .await;
        assert_eq!(reason, DistrustReason::PartyMismatch);
        assert!(!serves(peer));
    }
    let friend = lab
        .peer("friend")
        .with(|config| config.party = private)
        .knows(&closed)
        .start();
    let friend = friend.await;
    eventually("a connection within the party", || serves(&friend)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_majority_decides_and_the_conflict_is_told() {
    let lab = Lab::new();
    let common = game();
    let odd = game().file("extra.txt", 5);
    let first = lab.peer("first").has(&common).discovers().start().await;
    let _second = lab.peer("second").has(&common).discovers().start().await;
    let _third = lab.peer("third").has(&odd).discovers().start().await;
    let receiver = lab.peer("receiver").discovers().start().await;
    receiver.sees("doom", 3).await;
    receiver.downloads("doom").await;
    common.assert_in(&receiver.game_dir());
    let chosen = receiver
        .event("conflict", |event| match event {
            PeerEvent::ManifestConflict { chosen, others, .. } => Some((*chosen, others.len())),
            _ => None,
        })
        .await;
    let details = first.handle.game(&"doom".parse().unwrap()).await.unwrap();
    assert_eq!(chosen, (details.manifest, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_manifest_beats_the_majority() {
    let lab = Lab::new();
    let common = game();
    let odd = game().file("extra.txt", 5);
    let _first = lab.peer("first").has(&common).discovers().start().await;
    let _second = lab.peer("second").has(&common).discovers().start().await;
    let third = lab.peer("third").has(&odd).discovers().start().await;
    eventually("hashing", || {
        third
            .handle
            .games()
            .iter()
            .any(|game| game.version.is_some())
    })
    .await;
    let pinned = third
        .handle
        .game(&"doom".parse().unwrap())
        .await
        .unwrap()
        .manifest;
    let catalog = format!(
        r#"{{"games":[{{"id":"doom","name":"Doom","version":"1.0","manifest":"{pinned}"}}]}}"#
    );
    let receiver = lab
        .peer("receiver")
        .catalog(&catalog)
        .discovers()
        .start()
        .await;
    receiver.sees("doom", 3).await;
    receiver.downloads("doom").await;
    odd.assert_in(&receiver.game_dir());
}
