//! A launcher in 30 lines: starts a peer, lists the games, downloads one with progress, shuts down.
//!
//! `cargo run -p lanspread-peer --example embed -- DIR [GAME [HOST:PORT]]`

use anyhow::Context;
use lanspread_peer::{DownloadRequest, PeerConfig, Services, proto::GameId, start_peer};

#[expect(
    clippy::print_stdout,
    reason = "an example of a program, which is what prints"
)]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().context("the first argument is a directory")?;
    let game: Option<GameId> = args.next().map(|game| game.parse()).transpose()?;
    let config = match args.next() {
        Some(peer) => PeerConfig {
            manual_peers: vec![peer],
            ..PeerConfig::isolated(dir.as_ref())
        },
        None => PeerConfig::new(format!("{dir}/games"), format!("{dir}/state")),
    };
    let peer = start_peer(config, Services::default(), None).await?;
    let mut events = peer.events();
    while let Some(game) = &game {
        match peer.download(DownloadRequest::latest(game.clone())).await {
            Ok(download) => {
                let mut progress = download.progress();
                tokio::spawn(async move {
                    while progress.changed().await.is_ok() {
                        let now = *progress.borrow_and_update();
                        println!("{} of {} bytes", now.bytes_done, now.bytes_total);
                    }
                });
                println!("{} bytes are here", download.await?.bytes);
                break;
            }
            // Nobody who has it is here yet: something must happen first.
            Err(_) => drop(events.next().await),
        }
    }
    for game in peer.games() {
        println!("{} {:?} at {} peers", game.id, game.state, game.peers);
    }
    peer.shutdown().await;
    Ok(())
}
