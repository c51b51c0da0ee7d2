//! The third part of the demo: a peer installs a game while another expands it, and its disk never holds the
//! archive. What its folder holds is looked at all the while.
#![expect(
    clippy::disallowed_methods,
    reason = "the demonstration looks at a peer's disk from outside"
)]

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use lanspread_peer::{InstallSummary, PeerEvent};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Child, Demo, STEP_TIMEOUT, game, games_of};
use crate::{
    grammar::{Command, StreamInstall},
    message::{Answer, Message},
    units,
};

/// The fourth peer.
const NAME: &str = "dave";

/// Between two looks at the folder.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What an install has on the disk besides the game.
const EXTRA_BYTES_MAX: u64 = 64 * 1024;

/// What a folder holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    bytes: u64,
    archive: bool,
}

impl Held {
    /// The most of both.
    fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            archive: self.archive || other.archive,
        }
    }
}

impl Demo {
    /// Starts one more peer, installs without a download, and checks what was on its disk meanwhile.
    pub(super) async fn stream(&mut self) -> Result<()> {
        self.peers[1].stop().await;
        let mut dave = Child::start(NAME, &self.folder, &self.games_of(NAME), None)?;
        let met = self.meet_carol(&mut dave).await;
        // Whatever comes of it, it is stopped with the others.
        self.peers.push(dave);
        met?;
        self.stage
            .say("bob has left; dave comes, wants no archive on its disk, and installs what carol expands")
            .await?;
        let (summary, peak) = self.watch_install().await?;
        self.check_streamed(&summary, peak).await
    }

    /// Waits until the new peer sees the game at carol.
    async fn meet_carol(&mut self, dave: &mut Child) -> Result<()> {
        let is_ready = |event: &PeerEvent| matches!(event, PeerEvent::Ready { .. });
        dave.until(STEP_TIMEOUT, is_ready).await?;
        let Answer::Status(carol) = self.peers[2].ask(&Command::Status).await? else {
            bail!("a status was asked for")
        };
        dave.ask(&Command::Connect(carol.listen.to_string()))
            .await?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            let Answer::Games { games } = dave.ask(&Command::List).await? else {
                bail!("a list was asked for")
            };
            if games.iter().any(|game| game.id == self.game) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "dave does not see the game");
            let changed = |event: &PeerEvent| matches!(event, PeerEvent::LibraryChanged { .. });
            // Whether it came in time, the list says.
            let _ = dave.until(Duration::from_secs(1), changed).await;
        }
    }

    /// Installs, and looks at the folder until that is done.
    async fn watch_install(&mut self) -> Result<(InstallSummary, Held)> {
        let install = StreamInstall {
            game: self.game.clone(),
            version: None,
        };
        self.peers[3].ask(&Command::StreamInstall(install)).await?;
        let games = self.games_of(NAME);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut peak = Held::default();
        let mut following = std::pin::pin!(timeout(STEP_TIMEOUT, self.follow_install()));
        loop {
            tokio::select! {
                followed = &mut following => {
                    let peak = peak.or(look(games).await?);
                    return Ok((followed??, peak));
                }
                _ = looks.tick() => peak = peak.or(look(games.clone()).await?),
            }
        }
    }

    /// Shows the streamed install until it is done.
    async fn follow_install(&mut self) -> Result<InstallSummary> {
        loop {
            let event = self.peers[3].until(STEP_TIMEOUT, |_| true).await?;
            if crate::events::game(&event) == Some(self.game.as_str()) {
                self.stage.show(&Message::Event(event.clone())).await?;
            }
            match event {
                PeerEvent::InstallGameFinished(summary) => return Ok(summary),
                PeerEvent::DownloadGameFilesFailed { error, .. }
                | PeerEvent::InstallGameFailed { error, .. } => return Err(error.into()),
                PeerEvent::DownloadGameFilesCancelled { .. }
                | PeerEvent::InstallGameCancelled { .. } => bail!("the install was cancelled"),
                _ => {}
            }
        }
    }

    async fn check_streamed(&mut self, summary: &InstallSummary, peak: Held) -> Result<()> {
        ensure!(summary.streamed, "the install was not streamed");
        ensure!(!peak.archive, "the archive was on dave's disk");
        ensure!(
            peak.bytes <= summary.bytes + EXTRA_BYTES_MAX,
            "dave's folder held {} for a game of {}",
            units::size(peak.bytes),
            units::size(summary.bytes)
        );
        let root = self.root_of(NAME);
        let installed = self.compare(self.tree(), root.join("local")).await?;
        let beside = fs::read_dir(root)?.count();
        ensure!(beside == 1, "there is more than `local` in dave's folder");
        let carol = look(games_of(&self.folder, "carol")).await?;
        let text = format!(
            "dave's disk never held the archive: its folder of games never held more than {}, where carol's \
             holds {}, archive and game; its {} are byte for byte what version 2.0 is",
            units::size(peak.bytes),
            units::size(carol.bytes),
            units::count(installed, "file")
        );
        self.stage.say(&text).await
    }
}

/// What the folder holds now; nothing if something in it just moved.
async fn look(folder: PathBuf) -> Result<Held> {
    match tokio::task::spawn_blocking(move || held(&folder)).await? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::default()),
        held => Ok(held?),
    }
}

fn held(folder: &Path) -> io::Result<Held> {
    let mut held = Held::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                held.bytes += metadata.len();
                held.archive |= entry.file_name() == game::ARCHIVE;
            }
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured_and_an_archive_is_found_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("game/local");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("one"), [0; 1000]).unwrap();
        fs::write(dir.path().join("game/two"), [0; 30]).unwrap();
        let before = held(dir.path()).unwrap();
        assert_eq!((before.bytes, before.archive), (1030, false));
        fs::write(dir.path().join("game").join(game::ARCHIVE), [0; 4]).unwrap();
        let after = held(dir.path()).unwrap();
        assert_eq!((after.bytes, after.archive), (1034, true));
        // The peak remembers what has gone.
        assert_eq!(after.or(before), after);
        assert_eq!(before.or(after), after);
    }
}
