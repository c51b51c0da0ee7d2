//! Random sequences of all operations over three games, killed and cut at random moments, against a
//! model of three lines per game.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lanspread_disk::{
    Disk, StateDir,
    twin::{ImageNode, PowerCutDisk, RecordingDisk, Verdict},
};
use lanspread_install::{
    DownloadRequest, DownloadTransaction, InstallControl, InstallError, InstallRequest,
    RecoveredGame, RemoveError, UninstallError, discard_partial, install, installed_version,
    recover, remove_download, uninstall,
};
use lanspread_proto::GameId;

use crate::{
    install::UNPACKER,
    support::{Version, fetch, memory, report},
    unpacker::archive,
};

const SEQUENCES: u64 = 1000;
const STEPS: usize = 12;
const GAMES: [&str; 3] = ["alpha", "Beta 2", "γ"];

/// What is installed from the archive of each version.
const ENTRIES: [&[(&str, &str)]; 3] = [
    &[("run.exe", "v0"), ("data/x", "0")],
    &[("run.exe", "v1"), ("data/x/y", "1"), ("e/", "")],
    &[("other", "v2")],
];

fn versions() -> [Version; 3] {
    [0, 1, 2].map(|at| {
        let packed = archive(ENTRIES[at]);
        let readme = format!("read {at}");
        Version::new(
            &format!("{at}\n"),
            &[("game.eti", &packed), ("readme", readme.as_bytes())],
        )
    })
}

/// What one game is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Model {
    downloaded: Option<usize>,
    partial: bool,
    installed: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Download(usize),
    Begin(usize),
    Discard,
    Install,
    Cancel(u64),
    Uninstall,
    Remove,
    Recover,
}

/// How an operation ended, as far as the model knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    NotDownloaded,
    NotInstalled,
    Installed,
    Cancelled,
    /// It died.
    Failed,
}

impl Model {
    /// What a step makes of it, and how it ends.
    fn after(self, step: Step) -> (Self, Outcome) {
        let done = |model| (model, Outcome::Done);
        match step {
            Step::Download(version) => done(Self {
                downloaded: Some(version),
                partial: false,
                ..self
            }),
            Step::Begin(_) => done(Self {
                downloaded: None,
                partial: true,
                ..self
            }),
            Step::Discard => done(Self {
                partial: false,
                ..self
            }),
            Step::Install | Step::Cancel(_) if self.downloaded.is_none() => {
                (self, Outcome::NotDownloaded)
            }
            Step::Install => done(Self {
                installed: self.downloaded,
                ..self
            }),
            Step::Cancel(_) => (self, Outcome::Cancelled),
            Step::Uninstall if self.installed.is_none() => (self, Outcome::NotInstalled),
            Step::Uninstall => done(Self {
                installed: None,
                ..self
            }),
            Step::Remove if self.installed.is_some() => (self, Outcome::Installed),
            Step::Remove if self.downloaded.is_none() => (self, Outcome::NotDownloaded),
            Step::Remove => done(Self::default()),
            Step::Recover => done(self),
        }
    }

    /// What a step that dies may leave, besides nothing done and all done.
    fn halfway(self, step: Step) -> Option<Self> {
        match step {
            Step::Download(_) => Some(Self {
                downloaded: None,
                partial: true,
                ..self
            }),
            Step::Discard => Some(self),
            _ => None,
        }
    }
}

/// Xorshift: chance that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn version(&mut self) -> usize {
        usize::try_from(self.below(3)).unwrap()
    }

    fn step(&mut self) -> Step {
        match self.below(12) {
            0..=2 => Step::Download(self.version()),
            3 => Step::Begin(self.version()),
            4 => Step::Discard,
            5..=7 => Step::Install,
            8 => Step::Cancel(self.below(6)),
            9 => Step::Uninstall,
            10 => Step::Remove,
            _ => Step::Recover,
        }
    }
}

struct World<D: Disk> {
    disk: Arc<D>,
    state: Arc<StateDir<D>>,
}

impl<D: Disk> World<D> {
    fn new(disk: D, state: D) -> Self {
        Self {
            disk: Arc::new(disk),
            state: Arc::new(StateDir::new(state)),
        }
    }

    fn run(&self, game: &GameId, step: Step, versions: &[Version]) -> Outcome {
        if recover(self.disk.as_ref(), &self.state, game).is_err() {
            return Outcome::Failed;
        }
        match step {
            Step::Download(version) => self.download(game, &versions[version], true),
            Step::Begin(version) => self.download(game, &versions[version], false),
            Step::Discard => match discard_partial(self.disk.as_ref(), &self.state, game) {
                Ok(()) => Outcome::Done,
                Err(_) => Outcome::Failed,
            },
            Step::Install => self.install(game, &InstallControl::default()),
            Step::Cancel(at) => self.install(game, &cancelled_at(at)),
            Step::Uninstall => match uninstall(self.disk.as_ref(), &self.state, game) {
                Ok(()) => Outcome::Done,
                Err(UninstallError::NotInstalled { .. }) => Outcome::NotInstalled,
                Err(_) => Outcome::Failed,
            },
            Step::Remove => match remove_download(self.disk.as_ref(), &self.state, game) {
                Ok(()) => Outcome::Done,
                Err(RemoveError::Installed { .. }) => Outcome::Installed,
                Err(RemoveError::NoRoot { .. } | RemoveError::NotDownloaded { .. }) => {
                    Outcome::NotDownloaded
                }
                Err(_) => Outcome::Failed,
            },
            Step::Recover => Outcome::Done,
        }
    }

    fn download(&self, game: &GameId, version: &Version, is_whole: bool) -> Outcome {
        let request = DownloadRequest {
            game: game.clone(),
            payload: version.payload.clone(),
            previous: None,
            reserve_bytes: Some(0),
        };
        let (disk, state) = (Arc::clone(&self.disk), Arc::clone(&self.state));
        let Ok(download) = DownloadTransaction::begin(disk, state, request) else {
            return Outcome::Failed;
        };
        if !is_whole {
            download.suspend();
            return Outcome::Done;
        }
        let ran = fetch(&download, version).and_then(|_| download.publish());
        ran.map_or(Outcome::Failed, |_| Outcome::Done)
    }

    fn install(&self, game: &GameId, control: &InstallControl) -> Outcome {
        let request = InstallRequest {
            game: game.clone(),
            reserve_bytes: Some(0),
        };
        match install(&self.disk, &self.state, &UNPACKER, &request, control) {
            Ok(_) => Outcome::Done,
            Err(InstallError::NotDownloaded { .. }) => Outcome::NotDownloaded,
            Err(InstallError::Cancelled) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        }
    }
}

/// Raises the flag when progress is told for this time; at once if it is told less often.
fn cancelled_at(at: u64) -> InstallControl {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    let seen = AtomicU64::new(0);
    InstallControl {
        cancelled,
        progress: Arc::new(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) >= at.min(2) {
                flag.store(true, Ordering::Relaxed);
            }
        }),
    }
}

fn world(disk: &PowerCutDisk) -> World<PowerCutDisk> {
    World::new(disk.folder("games"), disk.folder("state"))
}

/// What a game is, whole or not at all; anything else is a fault.
fn observe(disk: &PowerCutDisk, game: &GameId, versions: &[Version]) -> Model {
    let world = world(disk);
    let recovered = recover(world.disk.as_ref(), &world.state, game).unwrap();
    assert!(recovered.foreign.is_empty() && recovered.quarantined.is_empty());
    let image = disk.image();
    let root = format!("games/{game}/");
    let inside = image.nodes().iter();
    let inside: BTreeMap<&str, &ImageNode> = inside
        .filter_map(|(path, node)| Some((path.strip_prefix(&root)?, node)))
        .collect();
    for path in inside.keys() {
        let is_left = path.starts_with('.') || path.contains("/.lanspread");
        assert!(!is_left, "{game}: {path} is left");
    }
    let intent = format!("state/games/{game}/install_intent.json");
    assert!(!image.has(&intent), "{game}: an intent is left");
    let content = |path: &str| match inside.get(path) {
        Some(ImageNode::File { content, .. }) => Some(content.as_slice()),
        _ => None,
    };
    let downloaded = content("version.ini").map(|sentinel| {
        let is_it = |version: &Version| {
            version.payload.manifest().sentinel() == sentinel
                && version
                    .files
                    .iter()
                    .all(|(path, data)| content(path) == Some(data))
        };
        versions.iter().position(is_it).expect("a whole version")
    });
    let installed = inside.contains_key("local").then(|| {
        let is_it = |entries: &&[(&str, &str)]| {
            let files = entries.iter().filter(|(path, _)| !path.ends_with('/'));
            let count = inside.keys().filter(|path| path.starts_with("local/"));
            let count = count.filter(|path| content(path).is_some()).count();
            files.clone().count() == count
                && files
                    .clone()
                    .all(|(path, data)| content(&format!("local/{path}")) == Some(data.as_bytes()))
        };
        let version = ENTRIES.iter().position(is_it);
        let version = version.expect("a whole version is installed");
        let on_record = installed_version(&world.state, game).unwrap().unwrap();
        assert_eq!(on_record.as_str(), version.to_string());
        version
    });
    Model {
        downloaded,
        partial: matches!(recovered.game, RecoveredGame::Partial { .. }),
        installed,
    }
}

/// Runs a step that dies at its `point`-th operation; tells whether it did.
fn die(
    disk: &PowerCutDisk,
    game: &GameId,
    step: Step,
    versions: &[Version],
    point: usize,
) -> Option<Outcome> {
    let games = RecordingDisk::new(disk.folder("games"), move |operation| {
        if operation.number >= point {
            Verdict::Fail(ErrorKind::ConnectionAborted)
        } else {
            Verdict::Proceed
        }
    });
    let state = games.beside(disk.folder("state"));
    let world = World::new(games, state);
    let outcome = world.run(game, step, versions);
    (world.disk.operations().len() <= point).then_some(outcome)
}

/// One of the states that a power cut now could leave.
fn cut(disk: &PowerCutDisk, chance: &mut Chance) -> PowerCutDisk {
    let images = disk.crash_images_now(chance.below(1 << 40));
    let chosen = usize::try_from(chance.below(images.len() as u64)).unwrap();
    PowerCutDisk::from_image(&images[chosen])
}

fn check_sequence(seed: u64, versions: &[Version]) -> BTreeMap<&'static str, u64> {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let games = GAMES.map(|game| game.parse::<GameId>().unwrap());
    let mut models = [Model::default(); 3];
    let mut disk = memory();
    let mut counts = BTreeMap::new();
    for number in 0..STEPS {
        let at = usize::try_from(chance.below(3)).unwrap();
        let (game, model, step) = (&games[at], models[at], chance.step());
        let (after, expected) = model.after(step);
        let told = format!("seed {seed}, step {number}: {step:?} of {game}, which was {model:?}");
        let dies = chance.below(3) == 0;
        let ended = if dies {
            let point = usize::try_from(chance.below(80)).unwrap();
            die(&disk, game, step, versions, point)
        } else {
            Some(world(&disk).run(game, step, versions))
        };
        if chance.below(12) == 0 {
            *counts.entry("cuts").or_default() += 1;
            disk = cut(&disk, &mut chance);
        }
        for (game, model) in games.iter().zip(&mut models) {
            let seen = observe(&disk, game, versions);
            if *game != games[at] || ended.is_some() {
                let expected = if *game == games[at] { after } else { *model };
                assert_eq!(seen, expected, "{told}: {game}");
            } else {
                let allowed = [Some(*model), Some(after), model.halfway(step)];
                assert!(allowed.contains(&Some(seen)), "{told}: {seen:?}");
            }
            *model = seen;
        }
        if let Some(ended) = ended {
            assert_eq!(ended, expected, "{told}");
        } else {
            *counts.entry("kills").or_default() += 1;
        }
        disk.settle();
        *counts.entry("steps").or_default() += 1;
    }
    counts
}

#[test]
fn a_thousand_random_sequences_end_as_the_model_says() {
    let versions = versions();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 1..=SEQUENCES {
        for (what, count) in check_sequence(seed, &versions) {
            *counts.entry(what).or_default() += count;
        }
    }
    report(&format!("{SEQUENCES} sequences: {counts:?}"));
    assert!(counts["kills"] > 500 && counts["cuts"] > 300, "{counts:?}");
}
