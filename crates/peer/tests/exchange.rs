//! With whom chunks are exchanged, from the first to the last.

use lanspread_testkit::{GameTree, Lab, TestPeer, eventually, tree};

fn game() -> GameTree {
    tree("doom", "1.0").file("big.pak", 24 * 1024 * 1024 + 5)
}

/// With how many others a peer exchanges the game.
fn neighbours(peer: &TestPeer) -> usize {
    let status = peer.handle.status();
    status.neighbours.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_last_as_long_as_somebody_lacks_something() {
    let game = game();
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).discovers().start().await;
    assert_eq!(neighbours(&source), 0, "nobody asks");
    let first = lab.peer("first").discovers().start().await;
    let second = lab.peer("second").discovers().start().await;
    for receiver in [&first, &second] {
        receiver.sees("doom", 1).await;
    }
    let exchanged = async {
        eventually("exchanges of the source", || neighbours(&source) > 0).await;
    };
    tokio::join!(first.downloads("doom"), second.downloads("doom"), exchanged);
    for receiver in [&first, &second] {
        game.assert_in(&receiver.game_dir());
    }
    for peer in [&source, &first, &second] {
        eventually("the last exchange's end", || neighbours(peer) == 0).await;
    }
    let late = lab.peer("late").discovers().start().await;
    late.sees("doom", 3).await;
    let summary = late.downloads("doom").await;
    game.assert_in(&late.game_dir());
    assert!(summary.peers > 1, "asked of one of three");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_of_two_groups_fetch_from_each_other() {
    let game = game();
    let lab = Lab::new();
    let at = |name: &str, group: &str| {
        let group = group.parse().unwrap();
        let setup = lab.peer(name).discovers();
        setup.with(|config| config.group = Some(group))
    };
    let source = at("source", "left").has(&game).start().await;
    let beside = at("beside", "left").start().await;
    let far = at("far", "right").start().await;
    let farther = at("farther", "right").start().await;
    for receiver in [&beside, &far, &farther] {
        receiver.sees("doom", 1).await;
    }
    tokio::join!(
        beside.downloads("doom"),
        far.downloads("doom"),
        farther.downloads("doom")
    );
    for receiver in [&beside, &far, &farther] {
        game.assert_in(&receiver.game_dir());
    }
    let received = |peer: &TestPeer| -> u64 { peer.handle.status().received_bytes.values().sum() };
    assert!(received(&far) > 0 && received(&farther) > 0);
    drop(source);
}
