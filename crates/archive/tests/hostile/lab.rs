//! A machine with one downloaded game, whose payload is one archive.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_disk::{RealDisk, StateDir};
use lanspread_install::{
    ArchiveFile, InstallControl, InstallError, InstallRequest, Installed, StagedFile, Staging,
    StagingError, Totals, UnpackError, Unpacker, install,
};
use lanspread_proto::GamePath;
use lanspread_testkit::archives::Blob;
use tempfile::TempDir;

/// What is handed over at once, at the most.
pub(crate) const CHUNK_BYTES: u64 = 256 * 1024;

const ARCHIVE: &str = "games/game/game.eti";

/// A temporary folder with a game directory, a state directory and somebody's own files beside them.
pub(crate) struct Lab {
    dir: TempDir,
}

/// An install's answer and what it cost.
pub(crate) struct Outcome {
    pub(crate) answer: Result<Installed, InstallError>,
    /// Bytes that went into the staging folder.
    pub(crate) written_bytes: u64,
}

impl Lab {
    /// A machine that has downloaded this archive.
    pub(crate) fn new(archive: &Blob) -> Self {
        let lab = Self { dir: memory_dir() };
        for folder in ["games/game", "state", "own"] {
            fs::create_dir_all(lab.path(folder)).unwrap();
        }
        fs::write(lab.path("own/file"), "mine").unwrap();
        fs::write(lab.path("games/game/version.ini"), "1.0\n").unwrap();
        let mut file = std::io::BufWriter::new(fs::File::create(lab.path(ARCHIVE)).unwrap());
        archive.write_to(&mut file).unwrap();
        lab
    }

    /// Installs the game.
    pub(crate) fn install(&self) -> Outcome {
        self.install_within(ArchiveLimits::default())
    }

    /// Installs the game with limits of its own.
    pub(crate) fn install_within(&self, limits: ArchiveLimits) -> Outcome {
        let disk = Arc::new(RealDisk::open(&self.path("games")).unwrap());
        let state = Arc::new(StateDir::open(&self.path("state")).unwrap());
        let unpacker = Counting {
            unpacker: ArchiveUnpacker::new(limits),
            written_bytes: Arc::default(),
        };
        let request = InstallRequest {
            game: "game".parse().unwrap(),
            reserve_bytes: Some(0),
        };
        let control = InstallControl::default();
        let answer = install(&disk, &state, &unpacker, &request, &control);
        Outcome {
            answer,
            written_bytes: unpacker.written_bytes.load(Ordering::Relaxed),
        }
    }

    /// Fails unless everything is as before an install: nothing outside, no staging folder, no intent.
    pub(crate) fn assert_untouched(&self, what: &str) {
        let mut found = files(self.dir.path());
        // Made when it is first needed; it says nothing about a game.
        found.retain(|path| path != Path::new("state/owner.json"));
        let expected = ["games/game/game.eti", "games/game/version.ini", "own/file"];
        assert_eq!(found, expected.map(PathBuf::from), "{what}");
        assert_eq!(fs::read(self.path("own/file")).unwrap(), b"mine", "{what}");
    }

    /// Whether the file in the game's root was taken for payload and not for an archive.
    pub(crate) fn installed_the_archive_itself(&self) -> bool {
        self.path("games/game/local/game.eti").exists()
    }

    /// Fails if anything but the game's folder and the state directory was touched.
    pub(crate) fn assert_nothing_outside(&self, what: &str) {
        let mut found = files(self.dir.path());
        found.retain(|path| !path.starts_with("games/game") && !path.starts_with("state"));
        assert_eq!(found, ["own/file"].map(PathBuf::from), "{what}");
        assert_eq!(fs::read(self.path("own/file")).unwrap(), b"mine", "{what}");
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

/// In memory where there is such a place: a thousand installs are quick there.
fn memory_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Everything that is no folder, and empty folders under the game's, links not followed; sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let reserved = folder.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with(".local") || name == "local"
        });
        if reserved && folder != root {
            found.push(folder.strip_prefix(root).unwrap().to_owned());
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The real unpacker, and a count of what it writes.
struct Counting {
    unpacker: ArchiveUnpacker,
    written_bytes: Arc<AtomicU64>,
}

impl Unpacker for Counting {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        self.unpacker.recognises(archive)
    }

    fn unpack(&self, archives: &[ArchiveFile], staging: &dyn Staging) -> Result<(), UnpackError> {
        let staging = CountingStaging {
            staging,
            written_bytes: &self.written_bytes,
        };
        self.unpacker.unpack(archives, &staging)
    }
}

struct CountingStaging<'a> {
    staging: &'a dyn Staging,
    written_bytes: &'a AtomicU64,
}

impl Staging for CountingStaging<'_> {
    fn path(&self) -> PathBuf {
        self.staging.path()
    }

    fn cancelled(&self) -> Arc<AtomicBool> {
        self.staging.cancelled()
    }

    fn expect(&self, totals: Totals) -> Result<(), StagingError> {
        self.staging.expect(totals)
    }

    fn create_folder(&self, path: &GamePath) -> Result<(), StagingError> {
        self.staging.create_folder(path)
    }

    fn create_file(
        &self,
        path: &GamePath,
        executable: bool,
    ) -> Result<Box<dyn StagedFile + '_>, StagingError> {
        Ok(Box::new(CountingFile {
            file: self.staging.create_file(path, executable)?,
            written_bytes: self.written_bytes,
        }))
    }
}

struct CountingFile<'a> {
    file: Box<dyn StagedFile + 'a>,
    written_bytes: &'a AtomicU64,
}

impl StagedFile for CountingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        self.written_bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StagingError> {
        self.file.finish()
    }
}
