//! Carries out lines against a running peer, one after the other, and passes on what happens meanwhile.
//!
//! The shell, every client of the control socket and every one-shot verb have a session of their own.
//! One task owns all of it: what has happened, what is being waited for, and the way out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lanspread_peer::{
    DownloadRequest, ErrorCode, EventStream, Failure, OperationError, PeerEvent, PeerRuntimeHandle,
    StreamInstallRequest, proto::GameId,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    drain::Drain,
    events::{self, History, Work},
    exit::{Exit, Verdict},
    grammar::{self, Command},
    lines::Line,
    message::{Answer, Message, Reply},
    pending::{Call, Pending},
};

/// How often a session without further input looks whether the work is done.
const DRAIN_TICK: Duration = Duration::from_millis(100);

/// After the peer has stopped, its last events are here within this.
const LAST_EVENTS: Duration = Duration::from_millis(100);

/// Where a session's events come from.
pub(crate) enum Events {
    /// All of them, from the start of the peer on.
    FromStart(mpsc::Receiver<PeerEvent>),
    /// The ones since this subscription.
    Subscribed(EventStream),
}

impl Events {
    async fn next(&mut self) -> Option<PeerEvent> {
        match self {
            Self::FromStart(events) => events.recv().await,
            Self::Subscribed(events) => events.next().await,
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `quit`.
    Quit,
    /// No more lines, and what they started is done if the session waits for that.
    InputOver,
    /// The peer has stopped.
    Stopped,
    /// Nobody reads what is said.
    OutputGone,
}

/// One conversation with a running peer.
pub(crate) struct Session {
    handle: PeerRuntimeHandle,
    events: Events,
    out: mpsc::Sender<Message>,
    history: History,
    pending: Option<Pending>,
    /// Games on which this session has started something that is not over yet.
    started: BTreeMap<GameId, Work>,
    /// What the pending line is starting, and what it takes the place of if it is accepted.
    starting: Option<(GameId, Option<Work>)>,
    /// Games on which this session has cancelled something.
    cancelled: BTreeSet<GameId>,
    verdict: Verdict,
    drain: Option<Drain>,
    /// Lines are read from then on.
    is_ready: bool,
}

impl Session {
    /// A session whose input's end is its own end: what it started goes on.
    pub(crate) fn new(
        handle: PeerRuntimeHandle,
        events: Events,
        out: mpsc::Sender<Message>,
    ) -> Self {
        Self {
            handle,
            events,
            out,
            history: History::default(),
            pending: None,
            started: BTreeMap::new(),
            starting: None,
            cancelled: BTreeSet::new(),
            verdict: Verdict::new(),
            drain: None,
            is_ready: false,
        }
    }

    /// At the end of input this session waits until nothing runs any more, or everything that does has
    /// been stalled for `give_up`.
    pub(crate) fn draining(mut self, give_up: Duration) -> Self {
        self.drain = Some(Drain::new(give_up));
        self
    }

    /// How the commands and operations of this session went.
    pub(crate) const fn exit(&self) -> Exit {
        self.verdict.exit()
    }

    /// Tells this session first that the peer is ready, which it became before the session began.
    pub(crate) async fn greet(&mut self, ready: PeerEvent) {
        // Whether anybody listens, the first line shows.
        let _ = self.on_event(ready).await;
    }

    /// Carries out lines until there is a reason to stop. The caller may drop it to stop at once, and
    /// then [`Session::shut_down`].
    pub(crate) async fn run(&mut self, mut lines: mpsc::Receiver<Line>) -> End {
        let handle = self.handle.clone();
        let mut open = true;
        let mut tick = interval(DRAIN_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let free = self.pending.is_none() && self.is_ready;
            let step = tokio::select! {
                biased;
                event = self.events.next() => match event {
                    Some(event) => self.on_event(event).await,
                    None => Some(End::Stopped),
                },
                result = settled(&mut self.pending) => self.on_settled(result).await,
                line = lines.recv(), if open && free => {
                    open = line.is_some();
                    match line {
                        Some(line) => self.on_line(line).await,
                        None => None,
                    }
                }
                _ = tick.tick(), if !open && free => self.on_end_of_input(),
                () = handle.stopped() => {
                    self.pass_on_last_events().await;
                    Some(End::Stopped)
                }
            };
            if let Some(end) = step {
                return end;
            }
        }
    }

    /// Shuts the peer down and passes on what it says meanwhile.
    pub(crate) async fn shut_down(&mut self) {
        // An install that is taken back now is no failure: somebody wants the end.
        self.cancelled.extend(self.started.keys().cloned());
        let handle = self.handle.clone();
        let shutdown = handle.shutdown();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(event) = self.events.next() => {
                    self.on_event(event).await;
                }
            }
        }
        self.pass_on_last_events().await;
    }

    async fn pass_on_last_events(&mut self) {
        while let Ok(Some(event)) = timeout(LAST_EVENTS, self.events.next()).await {
            self.on_event(event).await;
        }
    }

    // # Input

    async fn on_line(&mut self, line: Line) -> Option<End> {
        let number = line.number;
        let parsed = line
            .text
            .map_err(|message| grammar::BadLine {
                command: String::new(),
                message,
            })
            .and_then(|text| Command::parse(&text));
        match parsed {
            Ok(None) => None,
            Ok(Some(Command::Quit)) => {
                self.reply(number, Command::Quit.word(), Ok(Answer::Done {}))
                    .await;
                Some(End::Quit)
            }
            Ok(Some(command)) => self.on_command(number, command).await,
            Err(bad) => {
                let failure = Failure {
                    code: ErrorCode::BadInput,
                    message: bad.message,
                };
                self.reply(number, &bad.command, Err(failure)).await
            }
        }
    }

    async fn on_command(&mut self, line: u64, command: Command) -> Option<End> {
        let word = command.word();
        let at_once = match &command {
            Command::List => Answer::Games {
                games: self.handle.games(),
            },
            Command::Peers => Answer::Peers {
                peers: self.handle.peers(),
            },
            Command::PeerCount => Answer::PeerCount {
                count: self.handle.peer_count(),
            },
            Command::Status => Answer::Status(Box::new(self.handle.status())),
            Command::Help => Answer::Help {
                commands: grammar::help(),
            },
            Command::Wait(wait) => match self.history.take(wait) {
                Some(event) => Answer::Event(Box::new(event)),
                None => return self.suspend(Pending::wait(line, wait.clone())),
            },
            Command::Cancel(game) => {
                self.cancelled.insert(game.clone());
                let (handle, game) = (self.handle.clone(), game.clone());
                let call = {
                    let game = game.clone();
                    async move { handle.cancel(game).await.map_err(|error| error.failure()) }
                };
                return self.suspend(Pending::cancel(line, game, Box::pin(call)));
            }
            _ => {
                self.starting = command.starts().map(|(game, work)| {
                    let before = self.started.insert(game.clone(), work);
                    (game.clone(), before)
                });
                let call = call(self.handle.clone(), command);
                return self.suspend(Pending::call(line, word, call));
            }
        };
        self.reply(line, word, Ok(at_once)).await
    }

    fn suspend(&mut self, pending: Pending) -> Option<End> {
        self.pending = Some(pending);
        None
    }

    fn on_end_of_input(&mut self) -> Option<End> {
        let Some(drain) = &mut self.drain else {
            return Some(End::InputOver);
        };
        let operations = self.handle.status().operations;
        let exit = drain.check(
            std::time::Instant::now(),
            &operations,
            !self.started.is_empty(),
        )?;
        self.verdict.note(exit);
        Some(End::InputOver)
    }

    // # Events

    async fn on_event(&mut self, event: PeerEvent) -> Option<End> {
        if matches!(event, PeerEvent::Ready { .. }) && std::mem::replace(&mut self.is_ready, true) {
            return None;
        }
        self.note_end_of_operation(&event);
        if events::name(&event).is_some()
            && self.out.send(Message::Event(event.clone())).await.is_err()
        {
            return Some(End::OutputGone);
        }
        match &mut self.pending {
            Some(pending) if pending.is_waiting_for(&event) => {
                self.on_settled(Ok(Answer::Event(Box::new(event)))).await
            }
            Some(pending) => {
                pending.observe(&event);
                self.history.record(event);
                None
            }
            None => {
                self.history.record(event);
                None
            }
        }
    }

    fn note_end_of_operation(&mut self, event: &PeerEvent) {
        let about = self
            .started
            .iter()
            .find(|(game, _)| events::game(event) == Some(game.as_str()));
        let Some((game, exit)) =
            about.and_then(|(game, work)| Some((game.clone(), work.ended_by(event)?)))
        else {
            return;
        };
        self.started.remove(&game);
        let wanted = self.cancelled.remove(&game) && exit == Exit::Cancelled;
        self.verdict.note(if wanted { Exit::Success } else { exit });
    }

    // # Answers

    async fn on_settled(&mut self, result: Result<Answer, Failure>) -> Option<End> {
        let pending = self.pending.take()?;
        if result.is_err()
            && let Some(game) = pending.cancelled_game()
        {
            self.cancelled.remove(game);
        }
        if let Some((game, before)) = self.starting.take()
            && result.is_err()
        {
            match before {
                Some(work) => self.started.insert(game, work),
                None => self.started.remove(&game),
            };
        }
        self.reply(pending.line(), pending.word(), result).await
    }

    async fn reply(
        &mut self,
        line: u64,
        command: &str,
        result: Result<Answer, Failure>,
    ) -> Option<End> {
        if let Err(failure) = &result {
            self.verdict.note(Exit::of(failure.code));
        }
        let reply = Reply {
            line,
            command: command.to_owned(),
            result,
        };
        let sent = self.out.send(Message::Reply(reply)).await;
        sent.is_err().then_some(End::OutputGone)
    }
}

/// The end of what is pending; never when nothing is.
async fn settled(pending: &mut Option<Pending>) -> Result<Answer, Failure> {
    match pending {
        Some(pending) => pending.settled().await,
        None => std::future::pending().await,
    }
}

/// The commands that ask the peer and are answered when it is.
fn call(handle: PeerRuntimeHandle, command: Command) -> Call {
    Box::pin(async move {
        carry_out(&handle, command)
            .await
            .map_err(|error: OperationError| error.failure())
    })
}

async fn carry_out(handle: &PeerRuntimeHandle, command: Command) -> Result<Answer, OperationError> {
    match command {
        Command::Game(game) => Ok(Answer::Game(Box::new(handle.game(&game).await?))),
        Command::Fetch(game) => Ok(Answer::Game(Box::new(handle.fetch_latest(&game).await?))),
        Command::Connect(addr) => Ok(Answer::Peer(handle.connect(&addr).await?)),
        Command::Download(grammar::Download {
            game,
            version,
            no_install,
        }) => {
            let request = DownloadRequest {
                version,
                install: !no_install,
                ..DownloadRequest::latest(game)
            };
            // It runs on; events tell the rest.
            drop(handle.download(request).await?);
            Ok(Answer::Done {})
        }
        Command::Install(game) => {
            drop(handle.install(game).await?);
            Ok(Answer::Done {})
        }
        Command::StreamInstall(grammar::StreamInstall { game, version }) => {
            let request = StreamInstallRequest {
                version,
                ..StreamInstallRequest::latest(game)
            };
            drop(handle.stream_install(request).await?);
            Ok(Answer::Done {})
        }
        Command::Uninstall(game) => {
            drop(handle.uninstall(game).await?);
            Ok(Answer::Done {})
        }
        Command::Verify { game, repair } => {
            drop(handle.verify(game, repair).await?);
            Ok(Answer::Done {})
        }
        Command::Remove(game) => handle.remove(game).await.map(|()| Answer::Done {}),
        Command::SetGameDir(path) => handle.set_game_dir(path).await.map(|()| Answer::Done {}),
        Command::Sleep(time) => {
            tokio::time::sleep(time).await;
            Ok(Answer::Done {})
        }
        _ => Ok(Answer::Done {}),
    }
}
