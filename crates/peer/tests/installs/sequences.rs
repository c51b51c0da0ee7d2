//! Random sequences of everything that can be asked of a game, over three games, against a model: the same end
//! state, no deadlock, every refusal typed.
//!
//! `LANSPREAD_SEQUENCES` says how many, `LANSPREAD_SEED` where to begin; `just random-sequences` runs a
//! thousand.

use std::{env, fmt, fs, future::Future, path::Path, pin::Pin, time::Duration};

use lanspread_peer::{
    DownloadRequest, ErrorCode, GameState, GameView, OperationError, PeerRuntimeHandle,
    proto::GameId,
};
use lanspread_testkit::{GameTree, Lab, PeerSetup, TestPeer, bytes, eventually};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use crate::pack::{Files, TestUnpacker, archive, content, installed};

const SEQUENCES: u64 = 30;
const STEPS: usize = 8;
const GAMES: [&str; 3] = ["doom", "Age of Empires II", "quake"];
const VERSIONS: [u8; 2] = [1, 2];

/// Whatever is asked for ends within this.
const DEADLINE: Duration = Duration::from_mins(1);

/// Operations are interrupted within this of their start; most take as long.
const MIDDLE_MS: u64 = 25;

// # The model

/// What a game is between two operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    payload: Payload,
    installed: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Absent,
    Partial,
    Here(u8),
}

/// What is asked of one game.
#[derive(Debug, Clone, Copy)]
enum Act {
    Download { version: u8, install: bool },
    Install,
    Uninstall,
    Remove,
    Cancel,
}

const NEW: State = State {
    payload: Payload::Absent,
    installed: None,
};

impl State {
    /// What an act comes to that nobody interrupts.
    fn after(self, act: Act) -> Result<Self, ErrorCode> {
        match (act, self.payload) {
            (Act::Download { version, install }, _) => Ok(Self {
                payload: Payload::Here(version),
                installed: if install {
                    Some(version)
                } else {
                    self.installed
                },
            }),
            (Act::Install, Payload::Here(version)) => Ok(Self {
                installed: Some(version),
                ..self
            }),
            (Act::Uninstall, _) if self.installed.is_some() => Ok(Self {
                installed: None,
                ..self
            }),
            (Act::Uninstall, _) => Err(ErrorCode::NotInstalled),
            (Act::Remove, _) if self.installed.is_some() => Err(ErrorCode::Installed),
            (Act::Remove, Payload::Here(_)) => Ok(NEW),
            (Act::Install | Act::Remove, _) => Err(ErrorCode::NotDownloaded),
            (Act::Cancel, Payload::Partial) => Ok(Self {
                payload: Payload::Absent,
                ..self
            }),
            (Act::Cancel, _) => Err(ErrorCode::BadInput),
        }
    }

    /// What an act comes to that was done before its cancel: of a download, the install may be left out.
    fn though_cancelled(self, act: Act) -> Vec<Self> {
        let after = self.after(act).unwrap();
        let installed = self.installed;
        match act {
            Act::Download { .. } => vec![after, Self { installed, ..after }],
            _ => vec![after],
        }
    }

    /// What an act may come to that is cancelled, or whose process dies.
    fn midway(self, act: Act) -> Vec<Self> {
        let mut states = vec![self];
        states.extend(self.after(act));
        if let Act::Download { version, .. } = act {
            for payload in [Payload::Absent, Payload::Partial, Payload::Here(version)] {
                states.push(Self { payload, ..self });
            }
        }
        states
    }
}

// # The sequence

/// One step of a sequence.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Ask and wait for the end.
    Await(Act),
    /// Ask for two things at once.
    Both(Act, Act),
    /// Ask, and cancel a little later.
    Cancelled(Act, u64),
    /// Ask, and have the process die a little later.
    Killed(Act, u64),
    /// Stop in order and start again.
    Restart,
    /// Have the library look at the game.
    Rescan,
}

fn act(rng: &mut StdRng) -> Act {
    match rng.random_range(0..10) {
        0..4 => download(rng),
        4 | 5 => Act::Install,
        6 => Act::Uninstall,
        7 | 8 => Act::Remove,
        _ => Act::Cancel,
    }
}

fn download(rng: &mut StdRng) -> Act {
    Act::Download {
        version: *VERSIONS.choose(rng).unwrap(),
        install: rng.random_bool(0.7),
    }
}

/// Something that takes its time.
fn long_act(rng: &mut StdRng) -> Act {
    match rng.random_range(0..4) {
        0 => Act::Install,
        1 => Act::Uninstall,
        _ => download(rng),
    }
}

fn step(rng: &mut StdRng) -> Step {
    match rng.random_range(0..20) {
        0..9 => Step::Await(act(rng)),
        9..12 => Step::Both(long_act(rng), act(rng)),
        12..15 => Step::Cancelled(long_act(rng), rng.random_range(0..MIDDLE_MS)),
        15..17 => Step::Killed(long_act(rng), rng.random_range(0..MIDDLE_MS)),
        17 => Step::Restart,
        _ => Step::Rescan,
    }
}

/// The payload of a version of a game: an archive, a file of its own, so that no two games have one manifest,
/// and a file that is the same in every version.
fn payload(game: &str, version: u8) -> Files {
    let archive = archive(&content(&version.to_string()));
    let own = bytes(&format!("{game} {version}"), 30_000);
    let same = bytes(game, 5_000);
    let file = |name: &str, content| (name.to_owned(), content);
    Files::from([
        file("game.eti", archive),
        file("data.pak", own),
        file("same.txt", same),
    ])
}

fn tree(game: &str, version: u8) -> GameTree {
    let empty = lanspread_testkit::tree(game, &version.to_string());
    let files = payload(game, version).into_iter();
    files.fold(empty, |tree, (path, content)| tree.content(&path, content))
}

fn id(game: &str) -> GameId {
    game.parse().unwrap()
}

/// The machine that all this happens to.
struct Machine<'a> {
    lab: &'a Lab,
    name: String,
    sources: &'a [TestPeer],
    running: Option<(Runtime, TestPeer)>,
}

impl Machine<'_> {
    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let setup = self.lab.peer(&self.name).unpacks(TestUnpacker::new());
        let setup = self.sources.iter().fold(setup, PeerSetup::knows);
        let peer = runtime.block_on(async {
            let peer = setup.start().await;
            for game in GAMES {
                peer.sees(game, self.sources.len()).await;
            }
            peer
        });
        self.running = Some((runtime, peer));
    }

    /// Everything that waits is gone at once; what a thread has begun on the disk is not torn.
    fn die(&mut self) {
        let (runtime, peer) = self.running.take().unwrap();
        runtime.shutdown_timeout(DEADLINE);
        drop(peer);
    }

    fn peer(&self) -> &TestPeer {
        &self.running.as_ref().unwrap().1
    }

    fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        let (runtime, peer) = self.running.as_ref().unwrap();
        let ended = runtime.block_on(async { timeout(DEADLINE, future).await });
        ended.unwrap_or_else(|_| panic!("a deadlock; told: {:#?}", peer.told()))
    }
}

type Ending = Pin<Box<dyn Future<Output = Result<(), OperationError>> + Send>>;

/// Asks; what is accepted has an end to be awaited.
async fn ask(handle: &PeerRuntimeHandle, game: &str, act: Act) -> Result<Ending, OperationError> {
    Ok(match act {
        Act::Download { version, install } => {
            let request = DownloadRequest {
                version: Some(version.to_string().parse().unwrap()),
                install,
                ..DownloadRequest::latest(id(game))
            };
            let download = handle.download(request).await?;
            Box::pin(async { download.await.map(drop) })
        }
        Act::Install => {
            let install = handle.install(id(game)).await?;
            Box::pin(async { install.await.map(drop) })
        }
        Act::Uninstall => Box::pin(handle.uninstall(id(game)).await?),
        Act::Remove => {
            handle.remove(id(game)).await?;
            Box::pin(async { Ok(()) })
        }
        Act::Cancel => {
            handle.cancel(id(game)).await?;
            Box::pin(async { Ok(()) })
        }
    })
}

async fn ask_and_wait(
    handle: &PeerRuntimeHandle,
    game: &str,
    act: Act,
) -> Result<(), OperationError> {
    ask(handle, game, act).await?.await
}

fn code(result: Result<(), OperationError>) -> Result<(), ErrorCode> {
    result.map_err(|error| {
        assert_ne!(error.code(), ErrorCode::Internal, "{}", error.failure());
        error.code()
    })
}

/// Takes the step and returns the states that the game may have then.
fn take(machine: &mut Machine<'_>, game: &str, before: State, step: Step) -> Vec<State> {
    let handle = machine.peer().handle.clone();
    match step {
        Step::Await(act) => {
            let result = code(machine.wait_for(ask_and_wait(&handle, game, act)));
            let expected = before.after(act);
            assert_eq!(result, expected.map(drop), "{act:?}");
            vec![expected.unwrap_or(before)]
        }
        Step::Both(first, second) => both(machine, game, before, (first, second)),
        Step::Cancelled(act, after_ms) => {
            let result = machine.wait_for(async {
                let ending = ask(&handle, game, act).await?;
                sleep(Duration::from_millis(after_ms)).await;
                // It may have come to its end, or left nothing to cancel.
                let cancel = code(handle.cancel(id(game)).await);
                assert!(
                    matches!(cancel, Ok(()) | Err(ErrorCode::BadInput)),
                    "{cancel:?}"
                );
                ending.await
            });
            match code(result) {
                Ok(()) => before.though_cancelled(act),
                Err(ErrorCode::Cancelled) => before.midway(act),
                Err(code) => {
                    assert_eq!(Err(code), before.after(act).map(drop), "{act:?}");
                    vec![before]
                }
            }
        }
        Step::Killed(act, after_ms) => {
            machine.wait_for(async {
                let asked = ask(&handle, game, act).await;
                sleep(Duration::from_millis(after_ms)).await;
                drop(asked);
            });
            machine.die();
            machine.start();
            before.midway(act)
        }
        Step::Restart => {
            machine.wait_for(handle.shutdown());
            machine.die();
            machine.start();
            vec![before]
        }
        Step::Rescan => {
            let root = machine.peer().game_dir().join(game);
            if root.exists() {
                fs::write(root.join("stray.tmp"), "x").unwrap();
                fs::remove_file(root.join("stray.tmp")).unwrap();
            }
            vec![before]
        }
    }
}

/// Two acts at once: the second is busy, comes after the first, or cancels it.
fn both(
    machine: &Machine<'_>,
    game: &str,
    before: State,
    (first, second): (Act, Act),
) -> Vec<State> {
    let handle = machine.peer().handle.clone();
    let (one, other) = machine.wait_for(async {
        let one = ask(&handle, game, first).await;
        let other = code(ask_and_wait(&handle, game, second).await);
        let one = match one {
            Ok(ending) => ending.await,
            Err(refused) => Err(refused),
        };
        (code(one), other)
    });
    let acts = format!("{first:?} {one:?}, {second:?} {other:?}");
    if one == Err(ErrorCode::Cancelled) {
        assert!(matches!(second, Act::Cancel), "{acts}");
        return before.midway(first);
    }
    assert_eq!(one, before.after(first).map(drop), "{acts}");
    if matches!(second, Act::Cancel) && one == Ok(()) && other == Ok(()) {
        return before.though_cancelled(first);
    }
    let between = before.after(first).unwrap_or(before);
    if other == Err(ErrorCode::Busy) {
        return vec![between];
    }
    assert_eq!(other, between.after(second).map(drop), "{acts}");
    vec![between.after(second).unwrap_or(between)]
}

// # What is there

/// What the disk says, with everything checked that must hold in every state.
fn look(peer: &TestPeer, game: &str) -> State {
    let game_dir = peer.game_dir();
    let root = game_dir.join(game);
    let sentinel = fs::read_to_string(root.join("version.ini")).ok();
    let record = peer
        .dir()
        .join("state/games")
        .join(game)
        .join("download.json");
    let payload = match sentinel {
        Some(text) => {
            let version = text.trim().parse().unwrap();
            tree(game, version).assert_in(&game_dir);
            Payload::Here(version)
        }
        None if record.exists() => Payload::Partial,
        None => {
            assert_nothing_half(&root, game);
            Payload::Absent
        }
    };
    let files = installed(&game_dir, game);
    let is = |version: &u8| files.as_ref() == Some(&content(&version.to_string()));
    let version = VERSIONS.into_iter().find(is);
    assert_eq!(files.is_some(), version.is_some(), "a mix is installed");
    assert_tidy(&root);
    State {
        payload,
        installed: version,
    }
}

/// A cancelled update leaves the files that it has not touched, whole ones.
fn assert_nothing_half(root: &Path, game: &str) {
    let versions = VERSIONS.map(|version| payload(game, version));
    for name in versions[0].keys() {
        if let Ok(found) = fs::read(root.join(name)) {
            let whole = versions.iter().any(|files| files[name] == found);
            assert!(whole, "{name} is no file of any version");
        }
    }
}

fn assert_tidy(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with('.'), "{name} is left behind");
    }
    assert!(!root.join("local/.lanspread_owned").exists());
}

/// Waits until what is listed is what is there.
async fn shows(peer: &TestPeer, game: &str, state: State) {
    let version = |number: u8| number.to_string().parse().unwrap();
    let fits = |view: &GameView| {
        let here = match state.payload {
            Payload::Absent => (GameState::Remote, None),
            Payload::Partial => (GameState::Partial, None),
            Payload::Here(number) => (GameState::Downloaded, Some(version(number))),
        };
        (view.state, view.version.clone()) == here
            && view.installed == state.installed.is_some()
            && view.installed_version == state.installed.map(version)
    };
    eventually(&format!("{game} as {state:?}"), || {
        peer.handle.status().operations.is_empty()
            && peer
                .handle
                .games()
                .iter()
                .any(|view| view.id.as_str() == game && fits(view))
    })
    .await;
}

fn play(lab: &Lab, sources: &[TestPeer], seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut machine = Machine {
        lab,
        name: format!("machine {seed}"),
        sources,
        running: None,
    };
    machine.start();
    let mut states = [NEW; GAMES.len()];
    let mut history = History::of(seed);
    for _ in 0..STEPS {
        let at = rng.random_range(0..GAMES.len());
        let step = step(&mut rng);
        history.steps.push((GAMES[at], states[at], step));
        let allowed = take(&mut machine, GAMES[at], states[at], step);
        for (number, game) in GAMES.into_iter().enumerate() {
            let idle = || machine.peer().handle.status().operations.is_empty();
            machine.wait_for(eventually("the end of what runs", idle));
            let found = look(machine.peer(), game);
            if number == at {
                assert!(allowed.contains(&found), "{found:?} is none of {allowed:?}");
                states[at] = found;
            }
            assert_eq!(found, states[number], "{game}");
            machine.wait_for(shows(machine.peer(), game, found));
        }
    }
    let handle = machine.peer().handle.clone();
    machine.wait_for(handle.shutdown());
    machine.die();
    history.over = true;
}

/// Told when the sequence has failed.
struct History {
    seed: u64,
    steps: Vec<(&'static str, State, Step)>,
    over: bool,
}

impl History {
    fn of(seed: u64) -> Self {
        Self {
            seed,
            steps: Vec::new(),
            over: false,
        }
    }
}

impl Drop for History {
    #[expect(clippy::print_stderr, reason = "a failing test says how to repeat it")]
    fn drop(&mut self) {
        if !self.over {
            eprintln!("{self}");
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        for (game, before, step) in &self.steps {
            write!(f, "\n  {game}, {before:?}: {step:?}")?;
        }
        Ok(())
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
#[expect(clippy::print_stdout, reason = "a long test says how far it is")]
fn random_sequences_come_to_what_the_model_says() {
    let runtime = Runtime::new().unwrap();
    let lab = Lab::new();
    let sources = runtime.block_on(async {
        let mut sources = Vec::new();
        for version in VERSIONS {
            let setup = lab.peer(&format!("source of version {version}"));
            let has = |setup: PeerSetup, game| setup.has(&tree(game, version));
            sources.push(GAMES.into_iter().fold(setup, has).start().await);
        }
        sources
    });
    let first = number("LANSPREAD_SEED").unwrap_or_default();
    let count = number("LANSPREAD_SEQUENCES").unwrap_or(SEQUENCES);
    for seed in first..first + count {
        play(&lab, &sources, seed);
        if (seed + 1) % 100 == 0 {
            println!("{} sequences of {STEPS} steps", seed + 1 - first);
        }
    }
    println!(
        "seeds {first} to {}: every end state is the model's",
        first + count - 1
    );
}
