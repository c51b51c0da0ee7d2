//! Sources that lie about chunks, while an honest one exists.

use std::{fmt::Debug, time::Duration};

use lanspread_proto::message::Push;
use tokio::task::JoinSet;

use super::{
    MIB, PATIENCE, RealPeer, framed, game,
    liar::{ExchangeLie, Liar, Lies, RunLie, announcing},
};
use crate::ErrorCode;

/// A stalled run goes elsewhere after 10 s; the rest is a busy machine.
const DEADLINE: Duration = Duration::from_secs(25);

/// Enough that a source that lies is asked for a part of it.
const GAME_BYTES: usize = 6 * MIB + 4321;

/// Fetches a game from an honest source and one that lies; gives the liar.
async fn fetched_beside(lie: impl Debug, lies: impl FnOnce(Lies) -> Lies) -> Liar {
    let (tree, wares) = game("doom", GAME_BYTES);
    let honest = RealPeer::serving(&[&tree]).await;
    let liar = lies(Lies::none(&wares)).tell();
    let receiver = RealPeer::knowing([liar.addr, honest.addr()]).await;
    receiver.sees(&wares.game, 2).await;
    let fetched = receiver.fetch(&wares, DEADLINE).await;
    fetched.unwrap_or_else(|error| panic!("{lie:?} fails the download: {error:?}"));
    tree.assert_in(&receiver.game_dir());
    receiver.handle.shutdown().await;
    liar
}

async fn costs_time_and_nothing_else(lie: RunLie) {
    let liar = fetched_beside(lie, |lies| lies.runs(lie)).await;
    assert!(liar.asked() > 0, "{lie:?} was never asked");
}

async fn all_of(lies: &[RunLie]) {
    let mut stories = JoinSet::new();
    for lie in lies {
        stories.spawn(costs_time_and_nothing_else(*lie));
    }
    while let Some(told) = stories.join_next().await {
        told.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn false_lengths_wrong_bytes_and_resets_cost_time_and_nothing_else() {
    all_of(&[
        RunLie::Fewer,
        RunLie::More,
        RunLie::DeclaresMore,
        RunLie::Wrong,
        RunLie::Resets,
        RunLie::Lacks,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_stalls_and_drips_cost_time_and_nothing_else() {
    all_of(&[
        RunLie::Silent,
        RunLie::StallsFirst,
        RunLie::StallsMiddle,
        RunLie::StallsLast,
        RunLie::Drips,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_claims_chunks_it_lacks_is_left_alone() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let honest = RealPeer::serving(&[&tree]).await;
    let mut partial = wares.summary();
    partial.complete = false;
    let claims = framed(&Push::Chunks {
        manifest: wares.payload.id(),
        of: wares.map().count(),
        gained: vec![(0, wares.map().count())],
    });
    let liar = Lies::none(&wares)
        .pushes(vec![announcing(vec![partial]), claims])
        .runs(RunLie::Lacks)
        .tell();
    let receiver = RealPeer::knowing([liar.addr, honest.addr()]).await;
    receiver.sees(&wares.game, 2).await;
    receiver.fetch(&wares, DEADLINE).await.unwrap();
    tree.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_exchange_is_asked_for_nothing_and_holds_nobody_up() {
    for lie in [
        ExchangeLie::Declines,
        ExchangeLie::Silent,
        ExchangeLie::Ends,
    ] {
        let liar = fetched_beside(lie, |lies| lies.exchanges(lie)).await;
        assert!(lie == ExchangeLie::Ends || liar.asked() == 0, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_liars_alone_a_download_fails_and_leaves_no_sentinel() {
    let lies = [
        (RunLie::Wrong, ErrorCode::CorruptSource),
        (RunLie::Fewer, ErrorCode::NoSource),
    ];
    for (lie, code) in lies {
        let (_, wares) = game("doom", GAME_BYTES);
        let liar = Lies::none(&wares).runs(lie).tell();
        let receiver = RealPeer::knowing([liar.addr]).await;
        receiver.sees(&wares.game, 1).await;
        let error = receiver.fetch(&wares, PATIENCE).await.unwrap_err();
        assert_eq!(error.code(), code, "{lie:?}: {error:?}");
        assert!(!receiver.game_dir().join("doom/version.ini").exists());
    }
}
