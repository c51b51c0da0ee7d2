//! A game from one machine to another, and from several at once.

use lanspread_peer::proto::limits::RUN_CHUNKS_MAX;
use lanspread_testkit::{GameTree, Lab, eventually, tree};

fn small_game() -> GameTree {
    tree("doom", "1.0")
        .file("doom.exe", 40_000)
        .executable("doom.exe")
        .file("data/maps.pak", 5 * 1024 * 1024 + 17)
        .file("data/empty.dat", 0)
        .empty_folder("saves")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_of_one_chunk_arrives_and_is_committed() {
    let game = tree("doom", "1.0").file("a.txt", 10);
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let summary = receiver.downloads("doom").await;
    assert_eq!(
        (summary.bytes, summary.fetched_bytes, summary.peers),
        (10, 10, 1)
    );
    game.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_arrives_with_its_empty_folders_and_executable_bits() {
    let game = small_game();
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
    eventually("end of the source's transfers", || {
        source.handle.status().outbound_transfers.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_small_files_arrive_than_one_request_may_ask_for() {
    let files = 0..RUN_CHUNKS_MAX + 100;
    let game = files.fold(tree("doom", "1.0"), |game, number| {
        game.file(&format!("data/{number}.txt"), 8)
    });
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sources_take_part_and_the_receiver_becomes_one() {
    let game = tree("doom", "1.0").file("big.pak", 48 * 1024 * 1024);
    let lab = Lab::new();
    let first = lab.peer("first").has(&game).discovers().start().await;
    let second = lab.peer("second").has(&game).discovers().start().await;
    let receiver = lab.peer("receiver").discovers().start().await;
    receiver.sees("doom", 2).await;
    let summary = receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
    assert_eq!(summary.peers, 2);
    let sent =
        |peer: &lanspread_testkit::TestPeer| peer.handle.status().sent_bytes.values().sum::<u64>();
    assert!(sent(&first) > 0 && sent(&second) > 0);
    let third = lab.peer("third").discovers().start().await;
    third.sees("doom", 3).await;
}
