//! What peers show each other, and what they do with their own games.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::fs;

use lanspread_peer::{DownloadRequest, ErrorCode, GameState, PeerEvent};
use lanspread_testkit::{GameTree, Lab, TestPeer, eventually, tree};

const MIB: usize = 1024 * 1024;

fn state_of(peer: &TestPeer, game: &str) -> Option<GameState> {
    peer.handle
        .games()
        .iter()
        .find(|view| view.id.as_str() == game)
        .map(|view| view.state)
}

fn version_one() -> GameTree {
    tree("doom", "1.0")
        .content("same.pak", lanspread_testkit::bytes("same", 6 * MIB))
        .file("changed.pak", 2 * MIB)
        .file("old.txt", 10)
}

fn version_two() -> GameTree {
    tree("doom", "1.1")
        .content("same.pak", lanspread_testkit::bytes("same", 6 * MIB))
        .file("changed.pak", 2 * MIB)
        .file("new.txt", 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_fetches_only_what_changed_and_removes_what_is_gone() {
    let lab = Lab::new();
    let source = lab.peer("source").has(&version_two()).start().await;
    let receiver = lab
        .peer("receiver")
        .has(&version_one())
        .knows(&source)
        .start()
        .await;
    let summary = receiver.downloads("doom").await;
    version_two().assert_in(&receiver.game_dir());
    assert_eq!(summary.kept_bytes, 6 * MIB as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_taken_only_when_it_is_named() {
    let lab = Lab::new();
    let source = lab.peer("source").has(&version_one()).start().await;
    let receiver = lab
        .peer("receiver")
        .has(&version_two())
        .knows(&source)
        .start()
        .await;
    receiver.sees("doom", 1).await;
    let request = DownloadRequest::latest("doom".parse().unwrap());
    let refused = receiver
        .handle
        .download(request.clone())
        .await
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadInput, "{refused}");
    version_two().assert_in(&receiver.game_dir());
    let named = DownloadRequest {
        version: Some("1.0".parse().unwrap()),
        ..request
    };
    receiver
        .handle
        .download(named)
        .await
        .unwrap()
        .await
        .unwrap();
    version_one().assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_gates_what_is_listed_served_and_taken() {
    let catalog = r#"{"games":[{"id":"doom","name":"Doom","version":"1.0"}]}"#;
    let lab = Lab::new();
    let both = lab
        .peer("both")
        .has(&version_one())
        .has(&tree("quake", "1").file("a", 9));
    let both = both.start().await;
    let newer = lab.peer("newer").has(&version_two()).start().await;
    let receiver = lab
        .peer("receiver")
        .catalog(catalog)
        .knows(&both)
        .knows(&newer)
        .start()
        .await;
    receiver.sees("doom", 1).await;
    assert_eq!(state_of(&receiver, "quake"), None);
    let quake = DownloadRequest::latest("quake".parse().unwrap());
    let refused = receiver.handle.download(quake).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UnknownGame);
    receiver.downloads("doom").await;
    version_one().assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_nobody_has_is_no_source() {
    let lab = Lab::new();
    let receiver = lab.peer("receiver").start().await;
    let request = DownloadRequest::latest("doom".parse().unwrap());
    let refused = receiver.handle.download(request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NoSource);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_flipped_byte_and_repairs_it() {
    let game = version_one();
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.downloads("doom").await;
    let id = || "doom".parse().unwrap();
    eventually("the download's end", || {
        receiver.handle.status().operations.is_empty()
    })
    .await;
    let intact = receiver
        .handle
        .verify(id(), false)
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(
        intact.intact && intact.bytes == game.payload_bytes(),
        "{intact:?}"
    );
    let path = receiver.game_dir().join("doom/changed.pak");
    let mut content = fs::read(&path).unwrap();
    content[MIB + 3] ^= 1;
    fs::write(&path, content).unwrap();
    eventually("the verification's end", || {
        receiver.handle.status().operations.is_empty()
    })
    .await;
    let broken = receiver
        .handle
        .verify(id(), true)
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(!broken.intact && broken.repaired, "{broken:?}");
    assert_eq!(broken.bad, ["changed.pak".parse().unwrap()]);
    game.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_deletes_a_download_and_refuses_everything_else() {
    let game = version_one();
    let lab = Lab::new();
    let peer = lab
        .peer("peer")
        .has(&game)
        .has(&tree("quake", "1").file("a", 9))
        .start()
        .await;
    fs::create_dir_all(peer.game_dir().join("quake/local")).unwrap();
    fs::create_dir_all(peer.game_dir().join("strays")).unwrap();
    let refuse = async |id: &str| {
        peer.handle
            .remove(id.parse().unwrap())
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(refuse("quake").await, ErrorCode::Installed);
    assert_eq!(refuse("strays").await, ErrorCode::NotDownloaded);
    assert_eq!(refuse("nothing").await, ErrorCode::NotDownloaded);
    peer.handle.remove("doom".parse().unwrap()).await.unwrap();
    assert!(!peer.game_dir().join("doom").exists());
    assert!(peer.game_dir().join("quake/local").exists());
    assert!(peer.game_dir().join("strays").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_appears_on_disk_is_shown_to_others() {
    let lab = Lab::new();
    let source = lab.peer("source").start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    eventually("a connection", || receiver.handle.peer_count() == 1).await;
    version_one().write_to(&source.game_dir());
    receiver.sees("doom", 1).await;
    fs::remove_file(source.game_dir().join("doom/version.ini")).unwrap();
    eventually("its disappearance", || {
        state_of(&receiver, "doom").is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_game_is_named_and_the_others_go_on() {
    let lab = Lab::new();
    let source = lab
        .peer("source")
        .has(&version_one())
        .has(&tree("bad", "1").file("x ", 1));
    let source = source.start().await;
    let folder = source
        .event("refusal", |event| match event {
            PeerEvent::GameRefused { folder, reason } => Some((folder.clone(), reason.clone())),
            _ => None,
        })
        .await;
    assert_eq!(folder.0, "bad");
    assert!(folder.1.contains("x "), "{folder:?}");
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.sees("doom", 1).await;
    assert_eq!(state_of(&receiver, "bad"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_game_directory_replaces_the_games() {
    let lab = Lab::new();
    let source = lab.peer("source").has(&version_one()).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.sees("doom", 1).await;
    let other = lab
        .peer("other")
        .has(&tree("quake", "1").file("a", 9))
        .config
        .game_dir;
    source.handle.set_game_dir(other).await.unwrap();
    receiver.sees("quake", 1).await;
    assert_eq!(state_of(&receiver, "doom"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_in_use_is_refused_and_its_holder_named() {
    let lab = Lab::new();
    let first = lab.peer("first").start().await;
    let second = lab.peer("second").start().await;
    let refused = second
        .handle
        .set_game_dir(first.game_dir())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InUse);
    assert!(
        refused.failure().message.contains("first"),
        "{}",
        refused.failure().message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_hashes_nothing_twice() {
    let names: Vec<String> = (0..40).map(|at| format!("{at}.pak")).collect();
    let game = names
        .iter()
        .fold(tree("doom", "1"), |game, name| game.file(name, 4 * MIB));
    let lab = Lab::new();
    let peer = lab.peer("peer").has(&game).start().await;
    eventually("hashing", || peer.handle.status().hashed_bytes > 0).await;
    peer.handle.shutdown().await;
    let before = peer.handle.status().hashed_bytes;
    let peer = lab.peer("peer").start().await;
    peer.handle.game(&"doom".parse().unwrap()).await.unwrap();
    let both = before + peer.handle.status().hashed_bytes;
    let at_most = game.payload_bytes() + 4 * 4 * MIB as u64;
    assert!(
        (game.payload_bytes()..=at_most).contains(&both),
        "{both} bytes, {before} before"
    );
}
