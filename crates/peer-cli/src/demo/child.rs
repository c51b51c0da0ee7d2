//! One peer of the demo: a process of this very program, driven through its shell.
#![expect(
    clippy::disallowed_methods,
    reason = "the demonstration makes its peers' folders"
)]

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lanspread_peer::PeerEvent;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{self, ChildStdin, ChildStdout},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    grammar::Command,
    message::{Answer, Message},
};

/// A shell answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A shell that is told to quit is gone within this, or is killed.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running shell of another process.
pub(super) struct Child {
    name: &'static str,
    log: PathBuf,
    process: process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    sent: u64,
    unseen: VecDeque<PeerEvent>,
}

impl Child {
    /// Starts a peer that only hears this machine, with its state beside its games.
    pub(super) fn start(
        name: &'static str,
        folder: &Path,
        games: &Path,
        upload_limit: Option<u64>,
    ) -> Result<Self> {
        let log = folder.join(name).join("log");
        // No options of this user may leak in: an empty file, and no variable of ours.
        let config = folder.join("empty.toml");
        std::fs::create_dir_all(games)?;
        File::create(&config)?;
        let mut command = process::Command::new(std::env::current_exe()?);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("LANSPREAD_") {
                command.env_remove(variable);
            }
        }
        command
            .arg("--config")
            .arg(config)
            .arg("--game-dir")
            .arg(games);
        command
            .arg("--state-dir")
            .arg(folder.join(name).join("state"));
        command.args(["--json", "--name", name, "--reserve", "0"]);
        command.args(["--listen", "127.0.0.1:0", "--interface", "127.0.0.1"]);
        if let Some(limit) = upload_limit {
            command.arg("--upload-limit").arg(limit.to_string());
        }
        let mut process = command
            .arg("shell")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("this program could not be started again")?;
        let input = process
            .stdin
            .take()
            .context("a child without standard input")?;
        let output = process
            .stdout
            .take()
            .context("a child without standard output")?;
        let output = BufReader::new(output).lines();
        Ok(Self {
            name,
            log,
            process,
            input,
            output,
            sent: 0,
            unseen: VecDeque::new(),
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// What it wrote to standard error.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Asks and waits for the answer; events that come before it are kept.
    pub(super) async fn ask(&mut self, command: &Command) -> Result<Answer> {
        self.sent += 1;
        self.input
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        self.input.flush().await?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let message = timeout_at(deadline, self.read())
                .await
                .with_context(|| format!("{} does not answer `{command}`", self.name))??;
            match message {
                Message::Event(event) => self.unseen.push_back(event),
                Message::Reply(reply) if reply.line == self.sent => return Ok(reply.result?),
                Message::Reply(_) => {}
            }
        }
    }

    /// The next event that `wanted` accepts; the ones before it are skipped.
    pub(super) async fn until(
        &mut self,
        within: Duration,
        wanted: impl Fn(&PeerEvent) -> bool,
    ) -> Result<PeerEvent> {
        let deadline = Instant::now() + within;
        loop {
            let event = match self.unseen.pop_front() {
                Some(event) => event,
                None => match timeout_at(deadline, self.read()).await {
                    Ok(message) => match message? {
                        Message::Event(event) => event,
                        Message::Reply(_) => continue,
                    },
                    Err(_) => bail!("{} did not get on within {} s", self.name, within.as_secs()),
                },
            };
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    /// Kills it as a power cut would.
    pub(super) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Asks it to quit, and kills it if it does not.
    pub(super) async fn stop(&mut self) {
        // A peer that is dead already needs no telling.
        let _ = self.input.write_all(b"quit\n").await;
        if timeout(QUIT_TIMEOUT, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }

    async fn read(&mut self) -> Result<Message> {
        loop {
            let Some(line) = self.output.next_line().await? else {
                bail!("{} is gone", self.name)
            };
            if let Ok(message) = Message::from_json(&line) {
                return Ok(message);
            }
        }
    }
}
