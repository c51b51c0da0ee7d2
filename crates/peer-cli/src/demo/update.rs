//! The second part of the demo: a second version comes as an update.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lanspread_peer::{DownloadSummary, GameView, PeerEvent};

use super::{Demo, STEP_TIMEOUT, game};
use crate::{grammar::Command, message::Answer, units};

impl Demo {
    /// Puts a second version into bob's folder and waits until carol sees it there.
    pub(super) async fn release_second_version(&mut self) -> Result<()> {
        let (tree, root) = (self.tree(), self.root_of("bob"));
        tokio::task::spawn_blocking(move || {
            game::change(&tree)?;
            game::pack(&tree, &root, "2.0")
        })
        .await??;
        self.stage
            .say("bob gets version 2.0: one file changed, one gone, one new")
            .await?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            let carol = &mut self.peers[2];
            let Answer::Games { games } = carol.ask(&Command::List).await? else {
                bail!("a list was asked for")
            };
            let is_new = |game: &&GameView| {
                let latest = game.latest_version.as_ref();
                game.id == self.game && latest.is_some_and(|version| version.as_str() == "2.0")
            };
            if games.iter().any(|game| is_new(&game)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "carol does not see the second version"
            );
            let changed = |event: &PeerEvent| matches!(event, PeerEvent::LibraryChanged { .. });
            // Whether it came in time, the list says.
            let _ = carol.until(Duration::from_secs(1), changed).await;
        }
    }

    pub(super) async fn check_update(&mut self, summary: &DownloadSummary) -> Result<()> {
        ensure!(
            summary.fetched_bytes * 2 < summary.bytes,
            "most of the second version was fetched although it was here"
        );
        let compared = self
            .compare(self.root_of("bob"), self.root_of("carol"))
            .await?;
        let installed = self.compare_installed().await?;
        let text = format!(
            "The update fetched {} of {}; {} downloaded and {installed} installed are what version 2.0 is, \
             and nothing of 1.0 is left",
            units::size(summary.fetched_bytes),
            units::size(summary.bytes),
            units::count(compared, "file")
        );
        self.stage.say(&text).await
    }
}
