//! Subscriptions that push too much.

use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::{
    limits,
    message::{GAMES_PER_PAGE, GameSummary, Push},
};
use lanspread_testkit::eventually;
use tokio::time::timeout;

use super::{
    Adversary, HONEST_DEADLINE, RealPeer, Wares, framed, game,
    liar::{Lies, announcing},
};

fn copies(wares: &Wares, count: usize) -> Vec<GameSummary> {
    let copy = |at: usize| GameSummary {
        id: format!("game {at}").parse().unwrap(),
        ..wares.summary()
    };
    (0..count).map(copy).collect()
}

fn more(games: &[GameSummary]) -> Bytes {
    framed(&Push::Games {
        revision: 2,
        reset: false,
        upserted: games.to_vec(),
        removed: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn games_beyond_the_limit_are_not_kept() {
    let (_, wares) = game("doom", 1000);
    let games = copies(&wares, limits::GAMES_PER_PEER_MAX + 1);
    let mut pushes: Vec<Bytes> = games.chunks(GAMES_PER_PAGE).map(more).collect();
    pushes.push(more(&[wares.summary()]));
    let changed = GameSummary {
        bytes: 77,
        ..games[0].clone()
    };
    pushes.push(more(std::slice::from_ref(&changed)));
    let liar = Lies::none(&wares).pushes(pushes).tell();
    let receiver = RealPeer::knowing([liar.addr]).await;
    let first = changed.id.clone();
    eventually("the last push", || {
        let offers = receiver.handle.game_db().offers(&first);
        offers
            .first()
            .is_some_and(|offer| offer.summary.bytes == 77)
    })
    .await;
    let titles = receiver.handle.game_db().titles();
    assert_eq!(titles.len(), limits::GAMES_PER_PEER_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_cut_and_carry_no_control_characters() {
    let (_, wares) = game("doom", 1000);
    let named = GameSummary {
        name: Some(format!("\u{1b}[2J{}", "x".repeat(500_000))),
        ..wares.summary()
    };
    let liar = Lies::none(&wares)
        .pushes(vec![announcing(vec![named])])
        .tell();
    let receiver = RealPeer::knowing([liar.addr]).await;
    receiver.sees(&wares.game, 1).await;
    let titles = receiver.handle.game_db().titles();
    let name = titles[&wares.game].name.clone().unwrap();
    assert!(name.len() <= limits::PEER_NAME_BYTES_MAX, "{}", name.len());
    assert!(!name.contains(char::is_control), "{name:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_the_same_chunks_a_thousand_times_stops_nobody() {
    let (_, wares) = game("doom", 1000);
    let partial = GameSummary {
        complete: false,
        ..wares.summary()
    };
    let flood = framed(&Push::Chunks {
        manifest: wares.payload.id(),
        of: limits::CHUNKS_MAX,
        gained: vec![(0, u32::MAX); 50_000],
    });
    let liar = Lies::none(&wares)
        .pushes(vec![announcing(vec![partial]), flood])
        .tell();
    let (tree, honest_wares) = game("quake", 1000);
    let honest = RealPeer::serving(&[&tree]).await;
    let receiver = RealPeer::knowing([liar.addr]).await;
    receiver.sees(&wares.game, 1).await;
    let handle = receiver.handle.clone();
    eventually("the end of the connection", move || {
        handle.peer_count() == 0
    })
    .await;
    let address = honest.addr().to_string();
    let joined = receiver.handle.connect(&address);
    timeout(HONEST_DEADLINE, joined).await.unwrap().unwrap();
    receiver.sees(&honest_wares.game, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_pushes_without_end_is_taken_in_at_a_bounded_rate() {
    let (_, wares) = game("doom", 1000);
    let pushes = vec![more(&[wares.summary()]); 20_000];
    let liar = Lies::none(&wares).pushes(pushes).tell();
    let receiver = RealPeer::knowing([liar.addr]).await;
    receiver.sees(&wares.game, 1).await;
    let mut news = receiver.handle.context.news.subscribe();
    let mut told = 0;
    let counting = async {
        while news.recv().await.is_ok() {
            told += 1;
        }
    };
    let over = timeout(Duration::from_secs(1), counting).await;
    assert!(over.is_err(), "the peer lives and nobody lagged");
    assert!(told <= 100, "{told} pushes a second from one peer");
    let client = Adversary::new();
    let (_link, _streams) = timeout(HONEST_DEADLINE, client.call(&receiver))
        .await
        .unwrap();
}
