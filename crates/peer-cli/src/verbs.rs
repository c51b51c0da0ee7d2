//! One-shot verbs: one operation against the peer that runs here, or one started for it, then the end.

use std::{
    collections::VecDeque,
    io::{IsTerminal, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lanspread_peer::{
    DistrustReason, ErrorCode, Failure, GameState, OperationKind, OperationView, PeerEvent,
    proto::GameId,
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep_until, timeout_at},
};

use crate::{
    events::{self, Work},
    exit::Exit,
    grammar::{Command, Download, StreamInstall},
    link::Link,
    message::{Answer, Message, Reply},
    options::Options,
    print::Printer,
    render::{Human, Json, Output},
    signals::Signals,
};

/// A fresh peer has met the others when nothing new has come for this long.
const QUIET: Duration = Duration::from_secs(1);

/// How often an operation that tells no progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Texts that wait to be printed.
const TEXTS_BUFFERED: usize = 16;

const NOBODY_READS: &str = "nobody reads standard output any more";

/// Does one command and ends.
///
/// # Errors
/// The peer cannot be started or has gone away; what the command itself came to is the [`Exit`].
pub(crate) async fn run(
    command: Command,
    options: &Options,
    signals: &mut Signals,
) -> Result<Exit> {
    let link = tokio::select! {
        link = Link::open(options) => link?,
        _ = signals.next() => return Ok(Exit::Interrupted),
    };
    let (texts, to_print) = mpsc::channel(TEXTS_BUFFERED);
    let printing = tokio::spawn(print_texts(to_print));
    let mut verb = OneShot::new(link, options, about(&command).cloned(), texts);
    let exit = tokio::select! {
        exit = verb.carry_out(command) => exit,
        _ = signals.next() => Ok(Exit::Interrupted),
    };
    let OneShot { link, texts, .. } = verb;
    drop(texts);
    let end = async {
        link.close().await;
        printing.await
    };
    tokio::select! {
        printed = end => printed?,
        _ = signals.next() => return Ok(Exit::Interrupted),
    }
    exit
}

/// The one game that the command is about.
fn about(command: &Command) -> Option<&GameId> {
    match command {
        Command::Remove(game) => Some(game),
        command => command.starts().map(|(game, _)| game),
    }
}

struct OneShot<'a> {
    link: Link,
    options: &'a Options,
    about: Option<GameId>,
    output: Box<dyn Output>,
    /// To the task that prints. A place there is taken before a message is, so that a message is never
    /// lost when its reader stops waiting.
    texts: mpsc::Sender<String>,
    /// Events since the command was sent that nobody has looked at.
    unseen: VecDeque<PeerEvent>,
    met_another_party: bool,
}

impl<'a> OneShot<'a> {
    fn new(
        link: Link,
        options: &'a Options,
        about: Option<GameId>,
        texts: mpsc::Sender<String>,
    ) -> Self {
        let on_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let output: Box<dyn Output> = match (options.json, on_terminal) {
            (true, _) => Box::new(Json),
            (false, true) => Box::new(Human::with_bar()),
            (false, false) => Box::new(Human::lines()),
        };
        Self {
            link,
            options,
            about,
            output,
            texts,
            unseen: VecDeque::new(),
            met_another_party: false,
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<Exit> {
        self.ready().await?;
        match &command {
            Command::List | Command::Peers => self.meet_peers().await?,
            Command::Download(Download { game, .. })
            | Command::StreamInstall(StreamInstall { game, .. })
            | Command::Verify { game, repair: true } => {
                self.meet_a_source(game).await?;
            }
            _ => {}
        }
        let exit = match self.ask(&command).await? {
            Err(failure) => self.because_of_party(Exit::of(failure.code)),
            Ok(_) => match command.starts() {
                Some((_, work)) => self.follow(work).await?,
                None => Exit::Success,
            },
        };
        if exit == Exit::Success && !self.link.is_attached() {
            self.serve().await?;
        }
        Ok(exit)
    }

    // # Before

    /// Waits until the peer can be asked, and makes sure that it is the one that was meant.
    async fn ready(&mut self) -> Result<()> {
        while !matches!(self.next_event().await?, PeerEvent::Ready { .. }) {}
        if !self.link.is_attached() || !self.options.game_dir_is_chosen {
            return Ok(());
        }
        let Ok(Answer::Status(status)) = self.ask_quietly(&Command::Status).await? else {
            bail!("the running peer does not tell its status");
        };
        if same(&status.game_dir, &self.options.game_dir) {
            return Ok(());
        }
        bail!(Failure {
            code: ErrorCode::BadInput,
            message: format!(
                "the peer that runs on {} has its games in {}, not in {}",
                self.options.state_dir.display(),
                status.game_dir.display(),
                self.options.game_dir.display()
            ),
        })
    }

    /// Gives a fresh peer the time to find the others: until it is quiet after the first one joined.
    async fn meet_peers(&mut self) -> Result<()> {
        if self.link.is_attached() || !self.options.may_meet_peers() {
            return Ok(());
        }
        let deadline = Instant::now() + self.options.wait;
        let mut until = deadline;
        while let Ok(event) = timeout_at(until, self.next_event()).await {
            if matches!(
                event?,
                PeerEvent::PeerJoined { .. } | PeerEvent::LibraryChanged { .. }
            ) {
                let quiet = Instant::now() + QUIET;
                until = quiet.min(deadline);
            }
        }
        Ok(())
    }

    /// Waits for a peer that has the game, for as long as the options say. That none came is told by
    /// the command itself.
    async fn meet_a_source(&mut self, game: &GameId) -> Result<()> {
        let deadline = Instant::now() + self.options.wait;
        loop {
            let Ok(Answer::Games { games }) = self.ask_quietly(&Command::List).await? else {
                bail!("the running peer does not tell its games");
            };
            let has_source = games.iter().any(|known| {
                known.id == *game && (known.peers > 0 || known.state == GameState::Downloading)
            });
            if has_source || !(self.link.is_attached() || self.options.may_meet_peers()) {
                return Ok(());
            }
            loop {
                match timeout_at(deadline, self.next_event()).await {
                    Err(_) => return Ok(()),
                    Ok(event) => match event? {
                        PeerEvent::PeerJoined { .. } | PeerEvent::LibraryChanged { .. } => break,
                        _ => {}
                    },
                }
            }
        }
    }

    // # The command

    /// Asks and shows the answer.
    async fn ask(&mut self, command: &Command) -> Result<Result<Answer, Failure>> {
        self.unseen.clear();
        let result = self.ask_quietly(command).await?;
        if let (Err(failure), false) = (&result, self.options.json) {
            complain(failure);
            return Ok(result);
        }
        let reply = Reply {
            line: 1,
            command: command.word().to_owned(),
            result: result.clone(),
        };
        let text = self.output.render(&Message::Reply(reply));
        self.print(text).await?;
        Ok(result)
    }

    async fn ask_quietly(&mut self, command: &Command) -> Result<Result<Answer, Failure>> {
        let number = self.link.send(command.to_string()).await;
        loop {
            match self.next().await? {
                Message::Event(event) => self.unseen.push_back(event),
                Message::Reply(reply) if reply.line == number => return Ok(reply.result),
                Message::Reply(_) => {}
            }
        }
    }

    /// Watches the operation on the game until it has ended, or has been stalled for too long.
    async fn follow(&mut self, work: Work) -> Result<Exit> {
        let mut stalled: Option<(Instant, u64)> = None;
        let mut look = interval(LOOK);
        loop {
            let give_up = stalled.map(|(since, _)| since + self.options.give_up);
            let event = tokio::select! {
                event = self.next_event() => event?,
                () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => {
                    self.say_that_it_gives_up();
                    return Ok(Exit::NoPeer);
                }
                _ = look.tick(), if work == Work::Verify && !self.options.json => {
                    self.show_check().await?;
                    continue;
                }
            };
            if events::game(&event) != self.about.as_ref().map(GameId::as_str) {
                continue;
            }
            match event {
                PeerEvent::DownloadStalled { bytes_done, .. } => {
                    stalled.get_or_insert((Instant::now(), bytes_done));
                }
                PeerEvent::DownloadGameFilesProgress { bytes_done, .. }
                    if stalled.is_some_and(|(_, before)| bytes_done > before) =>
                {
                    stalled = None;
                }
                event => {
                    if let Some(exit) = work.ended_by(&event) {
                        say_what_stays(work, &event);
                        return Ok(self.because_of_party(exit));
                    }
                }
            }
        }
    }

    /// A check tells nothing until it is done; its progress is in the status.
    async fn show_check(&mut self) -> Result<()> {
        if let Ok(Answer::Status(status)) = self.ask_quietly(&Command::Status).await? {
            let about = self.about.clone();
            let runs = |operation: &&OperationView| {
                operation.kind == OperationKind::Verify && Some(&operation.game) == about.as_ref()
            };
            if let Some(operation) = status.operations.iter().find(runs) {
                let text = self.output.progress(operation);
                self.print(text).await?;
            }
        }
        Ok(())
    }

    fn say_that_it_gives_up(&self) {
        let after = humantime::format_duration(self.options.give_up);
        let game = self.about.as_ref().map(GameId::as_str).unwrap_or_default();
        let then = if self.link.is_attached() {
            "the running peer goes on by itself when a source returns; `cancel` discards it"
        } else {
            "what has arrived is kept for the next attempt"
        };
        warn(&format!("gave up on {game}: stalled for {after}; {then}"));
    }

    /// Where no source was found and one was refused because of its party, that is the reason to tell.
    const fn because_of_party(&self, exit: Exit) -> Exit {
        match exit {
            Exit::NoPeer if self.met_another_party => Exit::PartyMismatch,
            exit => exit,
        }
    }

    // # Afterwards

    /// Serves others for as long as the options say.
    async fn serve(&mut self) -> Result<()> {
        let until = Instant::now() + self.options.serve_for;
        while let Ok(event) = timeout_at(until, self.next_event()).await {
            event?;
        }
        Ok(())
    }

    // # Messages

    async fn next_event(&mut self) -> Result<PeerEvent> {
        loop {
            if let Some(event) = self.unseen.pop_front() {
                return Ok(event);
            }
            if let Message::Event(event) = self.next().await? {
                return Ok(event);
            }
        }
    }

    /// The next message; events are shown on the way. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Message> {
        let place = self.texts.reserve().await.context(NOBODY_READS)?;
        let message = self.link.next().await.context("the peer has gone away")?;
        if let Message::Event(event) = &message {
            if let PeerEvent::PeerDistrusted {
                reason: DistrustReason::PartyMismatch,
                ..
            } = event
            {
                self.met_another_party = true;
            }
            if (self.options.json || self.concerns_people(event))
                && let Some(text) = self.output.render(&message)
            {
                place.send(text);
            }
        }
        Ok(message)
    }

    /// People asked for one thing and are told about that, and about trouble.
    fn concerns_people(&self, event: &PeerEvent) -> bool {
        match event {
            PeerEvent::PeerDistrusted { .. }
            | PeerEvent::RuntimeFailed { .. }
            | PeerEvent::RecoveryReport { .. }
            | PeerEvent::Lagged { .. } => true,
            PeerEvent::IndexProgress { .. } => false,
            event => {
                self.about.is_some()
                    && events::game(event) == self.about.as_ref().map(GameId::as_str)
            }
        }
    }

    async fn print(&mut self, text: Option<String>) -> Result<()> {
        match text {
            Some(text) => self.texts.send(text).await.context(NOBODY_READS),
            None => Ok(()),
        }
    }
}

/// Prints texts until there are no more, or nobody reads.
async fn print_texts(mut texts: mpsc::Receiver<String>) {
    let mut printer = Printer::stdout();
    while let Some(text) = texts.recv().await {
        if printer.print(&text).await.is_err() {
            return;
        }
    }
}

/// Says on standard error why there is no answer.
fn complain(failure: &Failure) {
    warn(&failure.message);
}

/// The install that follows a download may fail; the download has not.
fn say_what_stays(work: Work, event: &PeerEvent) {
    if let (
        Work::Download,
        PeerEvent::InstallGameFailed { game, .. } | PeerEvent::InstallGameCancelled { game, .. },
    ) = (work, event)
    {
        warn(&format!(
            "the download of {game} is complete; `lanspread install {game}` installs it"
        ));
    }
}

fn warn(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "lanspread: {text}");
}

fn same(left: &Path, right: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(left) == real(right)
}
