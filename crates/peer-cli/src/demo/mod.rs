//! `demo`: the whole job on one machine. Three peers, each a process of its own with its own folders and
//! identity; two have a game, the third gets it from both, and one of the two is killed in the middle. The game
//! is an archive and installs itself; a second version comes as an update; at last a fourth peer installs it
//! while it is sent.
#![expect(
    clippy::disallowed_methods,
    reason = "the demonstration reads its peers' logs"
)]

mod child;
mod game;
mod streamed;
mod update;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lanspread_peer::{DownloadSummary, PeerEvent, proto::GameId};
use tempfile::TempDir;

use self::child::Child;
use crate::{
    exit::{self, Exit},
    grammar::{Command, Download},
    message::{Answer, Message, Reply},
    print::Printer,
    render::{Human, Output},
    signals::Signals,
    units::{self, Bytes},
};

/// The game's id; with a space, as real ones have.
const GAME: &str = "Island Demo";

/// How long the download would take if no source died: long enough to watch.
const DOWNLOAD_SECONDS: u64 = 6;

/// Where the first source dies.
const KILL_AT_PERCENT: u64 = 40;

/// Two peers that can hear each other on this machine have met within this.
const MEET_TIMEOUT: Duration = Duration::from_secs(6);

/// Anything else takes less than this, or the demo has failed.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// Lines of a peer's log that are shown when the demo has failed.
const LOG_LINES_SHOWN: usize = 20;

/// Shows the whole job with a game of about this size.
///
/// # Errors
/// A step failed, or a check did: then the promise is broken that the demo is about.
pub(crate) async fn run(size: Bytes, json: bool, signals: &mut Signals) -> Result<Exit> {
    if json {
        return Err(exit::usage(anyhow::anyhow!(
            "the demo is for people: it has no --json"
        )));
    }
    let folder = tempfile::Builder::new()
        .prefix("lanspread-demo-")
        .tempdir()?;
    let mut demo = Demo::new(&folder, size)?;
    let result = tokio::select! {
        result = demo.play() => Some(result),
        _ = signals.next() => None,
    };
    demo.end().await;
    if matches!(result, Some(Err(_))) {
        demo.show_logs().await?;
    }
    let Demo { mut stage, .. } = demo;
    folder.close().context("the demo's folder is left behind")?;
    match result {
        None => Ok(Exit::Interrupted),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => {
            stage.say(FOR_REAL).await?;
            Ok(Exit::Success)
        }
    }
}

const FOR_REAL: &str = "
Everything checked, everything cleaned up. To do it for real, put a game's folder, with a file
version.ini that says which version it is, into a folder of games, and on each machine run

  lanspread --game-dir FOLDER serve

and where a game is wanted

  lanspread list
  lanspread download GAME

which installs it, if it is an archive. Without room for the archive, it is

  lanspread stream-install GAME
";

/// Where the demo shows itself.
struct Stage {
    output: Human,
    printer: Printer,
}

impl Stage {
    async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.printer.print(text).await?)
    }

    async fn show(&mut self, message: &Message) -> Result<()> {
        match self.output.render(message) {
            Some(text) => self.say(&text).await,
            None => Ok(()),
        }
    }
}

struct Demo {
    folder: PathBuf,
    game: GameId,
    size: Bytes,
    stage: Stage,
    peers: Vec<Child>,
    /// When the peers were started.
    started: Instant,
}

impl Demo {
    fn new(folder: &TempDir, size: Bytes) -> Result<Self> {
        let on_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let output = if on_terminal {
            Human::with_bar()
        } else {
            Human::lines()
        };
        let stage = Stage {
            output,
            printer: Printer::stdout(),
        };
        let folder = folder.path().to_owned();
        Ok(Self {
            folder,
            game: GAME.parse()?,
            size,
            stage,
            peers: Vec::new(),
            started: Instant::now(),
        })
    }

    async fn play(&mut self) -> Result<()> {
        self.make_game().await?;
        self.start_peers().await?;
        self.meet().await?;
        self.find_game().await?;
        let summary = self.download(Some(KILL_AT_PERCENT)).await?;
        self.check().await?;
        self.sum_up(&summary).await?;
        self.release_second_version().await?;
        let summary = self.download(None).await?;
        self.check_update(&summary).await?;
        self.stream().await
    }

    /// Stops every process.
    async fn end(&mut self) {
        for peer in &mut self.peers {
            peer.stop().await;
        }
    }

    async fn show_logs(&mut self) -> Result<()> {
        for peer in &self.peers {
            let log = std::fs::read_to_string(peer.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            if !last.is_empty() {
                self.stage
                    .say(&format!("{} said:\n{}", peer.name(), last.join("\n")))
                    .await?;
            }
        }
        Ok(())
    }

    // # The steps

    async fn make_game(&mut self) -> Result<()> {
        let started = Instant::now();
        let (tree, here) = (self.tree(), self.root_of("alice"));
        let (there, size) = (self.root_of("bob"), self.size.0);
        let made = tokio::task::spawn_blocking(move || -> Result<_> {
            let made = game::make(&tree, size)?;
            game::pack(&tree, &here, "1.0")?;
            game::copy(&here, &there)?;
            Ok(made)
        })
        .await??;
        let text = format!(
            "A game was made, {} and {}, packed into an archive for alice and copied to bob ({})",
            units::count(made.files, "file"),
            units::size(made.bytes),
            seconds(started.elapsed())
        );
        self.stage.say(&text).await
    }

    async fn start_peers(&mut self) -> Result<()> {
        self.started = Instant::now();
        // Both sources together are this slow, so that there is something to see; carol sends later, and alone.
        let slow = (self.size.0 / DOWNLOAD_SECONDS / 2).max(64 * 1024);
        for (name, limit) in [("alice", slow), ("bob", slow), ("carol", 4 * slow)] {
            let peer = Child::start(name, &self.folder, &self.games_of(name), Some(limit))?;
            self.peers.push(peer);
        }
        for peer in &mut self.peers {
            let is_ready = |event: &PeerEvent| matches!(event, PeerEvent::Ready { .. });
            peer.until(STEP_TIMEOUT, is_ready).await?;
        }
        let text = format!(
            "Three peers run, each a process with its own identity: alice and bob have the game, \
             carol has nothing ({})",
            seconds(self.started.elapsed())
        );
        self.stage.say(&text).await
    }

    async fn meet(&mut self) -> Result<()> {
        let carol = &mut self.peers[2];
        let met = async {
            for _ in 0..2 {
                let joined = |event: &PeerEvent| matches!(event, PeerEvent::PeerJoined { .. });
                carol.until(MEET_TIMEOUT, joined).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let how = if tokio::time::timeout(MEET_TIMEOUT, met)
            .await
            .is_ok_and(|met| met.is_ok())
        {
            "by mDNS on the loopback interface"
        } else {
            self.introduce().await?;
            "by address, because multicast does not work on the loopback interface here"
        };
        let text = format!(
            "They found each other {how} ({} after their start)",
            seconds(self.started.elapsed())
        );
        self.stage.say(&text).await
    }

    /// Tells carol where the others are.
    async fn introduce(&mut self) -> Result<()> {
        for number in 0..2 {
            let answer = self.peers[number].ask(&Command::Status).await?;
            let Answer::Status(status) = answer else {
                bail!("a status was asked for")
            };
            self.peers[2]
                .ask(&Command::Connect(status.listen.to_string()))
                .await?;
        }
        Ok(())
    }

    /// Waits until both sources have hashed the game and announced it.
    async fn find_game(&mut self) -> Result<()> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            let carol = &mut self.peers[2];
            let answer = carol.ask(&Command::List).await?;
            let Answer::Games { games } = &answer else {
                bail!("a list was asked for")
            };
            if games
                .iter()
                .any(|game| game.id == self.game && game.peers == 2)
            {
                let reply = Reply {
                    line: 1,
                    command: "list".into(),
                    result: Ok(answer),
                };
                self.stage.say("carol sees:").await?;
                return self.stage.show(&Message::Reply(reply)).await;
            }
            ensure!(
                Instant::now() < deadline,
                "carol does not see the game at both others"
            );
            let changed = |event: &PeerEvent| matches!(event, PeerEvent::LibraryChanged { .. });
            // Whether it came in time, the list says.
            let _ = carol.until(Duration::from_secs(1), changed).await;
        }
    }

    /// Downloads and installs what is newest; alice is killed once this much has arrived.
    async fn download(&mut self, mut kill_at: Option<u64>) -> Result<DownloadSummary> {
        let download = Download {
            game: self.game.clone(),
            version: None,
            no_install: false,
        };
        self.peers[2].ask(&Command::Download(download)).await?;
        let mut downloaded = None;
        loop {
            let event = self.peers[2].until(STEP_TIMEOUT, |_| true).await?;
            let about_game = crate::events::game(&event) == Some(self.game.as_str());
            if about_game || matches!(event, PeerEvent::PeerLeft { .. }) {
                self.stage.show(&Message::Event(event.clone())).await?;
            }
            match event {
                PeerEvent::DownloadGameFilesProgress {
                    bytes_done,
                    bytes_total,
                    ..
                } if kill_at.is_some_and(|percent| bytes_done * 100 >= bytes_total * percent) => {
                    kill_at = None;
                    self.peers[0].kill().await?;
                    let percent = bytes_done * 100 / bytes_total.max(1);
                    self.stage
                        .say(&format!("alice was killed at {percent} %, kill -9"))
                        .await?;
                }
                PeerEvent::DownloadGameFilesFinished(summary) => {
                    ensure!(
                        kill_at.is_none(),
                        "the download was over before a source could be killed"
                    );
                    ensure!(summary.installing, "the game was not taken for an archive");
                    downloaded = Some(summary);
                }
                PeerEvent::InstallGameFinished(_) => {
                    return downloaded.context("an install without a download");
                }
                PeerEvent::DownloadGameFilesFailed { error, .. }
                | PeerEvent::InstallGameFailed { error, .. } => return Err(error.into()),
                PeerEvent::DownloadGameFilesCancelled { .. }
                | PeerEvent::InstallGameCancelled { .. } => bail!("the download was cancelled"),
                _ => {}
            }
        }
    }

    async fn check(&mut self) -> Result<()> {
        let started = Instant::now();
        let carol = &mut self.peers[2];
        carol
            .ask(&Command::Verify {
                game: self.game.clone(),
                repair: false,
            })
            .await?;
        let verified = |event: &PeerEvent| {
            matches!(
                event,
                PeerEvent::VerifyFinished(_) | PeerEvent::VerifyFailed { .. }
            )
        };
        let event = carol.until(STEP_TIMEOUT, verified).await?;
        self.stage.show(&Message::Event(event.clone())).await?;
        ensure!(
            matches!(event, PeerEvent::VerifyFinished(found) if found.intact),
            "carol's copy does not have the hashes of the manifest"
        );
        let compared = self
            .compare(self.root_of("alice"), self.root_of("carol"))
            .await?;
        let installed = self.compare_installed().await?;
        let text = format!(
            "carol's copy has the BLAKE3 hashes of the manifest; {} downloaded and {} installed are byte for \
             byte what was made, empty folders and executable bits included ({})",
            units::count(compared, "file"),
            installed,
            seconds(started.elapsed())
        );
        self.stage.say(&text).await
    }

    /// Compares two folders of a game, without what is installed in them.
    async fn compare(&self, made: PathBuf, got: PathBuf) -> Result<usize> {
        tokio::task::spawn_blocking(move || game::compare(&made, &got)).await?
    }

    /// Compares what carol has installed with what was packed.
    async fn compare_installed(&self) -> Result<usize> {
        let local = self.root_of("carol").join("local");
        self.compare(self.tree(), local).await
    }

    async fn sum_up(&mut self, summary: &DownloadSummary) -> Result<()> {
        let Answer::Status(bob) = self.peers[1].ask(&Command::Status).await? else {
            bail!("a status was asked for")
        };
        let Answer::Status(carol) = self.peers[2].ask(&Command::Status).await? else {
            bail!("a status was asked for")
        };
        let received = carol
            .received_bytes
            .get(&self.game)
            .copied()
            .unwrap_or_default();
        let from_bob = bob.sent_bytes.get(&self.game).copied().unwrap_or_default();
        ensure!(
            from_bob < received,
            "alice sent nothing before she was killed"
        );
        let text = format!(
            "carol received {} in {:.1} s: {} from bob, {} from alice while she lived, {} of it twice",
            units::size(received),
            summary.seconds,
            units::size(from_bob),
            units::size(received - from_bob),
            units::size(received.saturating_sub(summary.fetched_bytes))
        );
        self.stage.say(&text).await
    }

    fn games_of(&self, name: &str) -> PathBuf {
        games_of(&self.folder, name)
    }

    /// A peer's folder of the game.
    fn root_of(&self, name: &str) -> PathBuf {
        self.games_of(name).join(self.game.as_str())
    }

    /// What is packed into the archive.
    fn tree(&self) -> PathBuf {
        self.folder.join("made")
    }
}

fn games_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("games")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
