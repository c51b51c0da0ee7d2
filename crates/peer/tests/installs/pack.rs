//! An archive format for tests, so small that nothing about it can surprise, and its unpacker, which can be
//! held in the middle and made to fail.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lanspread_peer::{ArchiveFile, Staging, StagingError, UnpackError, Unpacker};
use lanspread_testkit::{GameTree, bytes, tree};

const MAGIC: &[u8] = b"test pack\n";

/// Between two looks of a held unpacker.
const LOOK: Duration = Duration::from_millis(2);

/// Files by their paths.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What is inside the archive of this version.
pub(crate) fn content(version: &str) -> Files {
    let file = |name: &str, count| (name.to_owned(), bytes(&format!("{version}/{name}"), count));
    BTreeMap::from([
        file("bin/game.bin", 70_000),
        file("data/level.dat", 20_000),
        file(&format!("only in {version}.txt"), 10),
    ])
}

/// A game that is an archive of [`content`], with a file beside it.
pub(crate) fn archived(id: &str, version: &str) -> GameTree {
    tree(id, version)
        .content("game.eti", archive(&content(version)))
        .content("readme.txt", b"the same in every version".to_vec())
}

/// An archive of these files.
pub(crate) fn archive(files: &Files) -> Vec<u8> {
    let mut archive = MAGIC.to_vec();
    for (path, content) in files {
        for part in [path.as_bytes(), content] {
            archive.extend((part.len() as u64).to_le_bytes());
            archive.extend(part);
        }
    }
    archive
}

/// What is installed of a game; `None` if nothing is.
pub(crate) fn installed(game_dir: &Path, game: &str) -> Option<Files> {
    let local = game_dir.join(game).join("local");
    local.is_dir().then(|| {
        let mut files = Files::new();
        read(&local, "", &mut files);
        files
    })
}

fn read(folder: &Path, under: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{under}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

/// Makes an error about this archive.
pub(crate) type Fault = fn(PathBuf) -> UnpackError;

/// Unpacks [`archive`]s.
#[derive(Debug, Default)]
pub(crate) struct TestUnpacker {
    /// Whether it waits after its first file.
    held: AtomicBool,
    /// Whether it is waiting.
    waits: AtomicBool,
    /// Makes the error that it ends with instead.
    fault: Mutex<Option<Fault>>,
}

impl TestUnpacker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Has it wait after its first file, until it is let go or cancelled.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(crate) fn let_go(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    /// Has it fail after its first file, or not any more.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn after_first_file(&self, archive: &Path, staging: &dyn Staging) -> Result<(), UnpackError> {
        let cancelled = staging.cancelled();
        while self.held.load(Ordering::SeqCst) && !cancelled.load(Ordering::SeqCst) {
            self.waits.store(true, Ordering::SeqCst);
            thread::sleep(LOOK);
        }
        self.waits.store(false, Ordering::SeqCst);
        if cancelled.load(Ordering::SeqCst) {
            return Err(StagingError::Cancelled.into());
        }
        let fault = *self.fault.lock().unwrap();
        fault.map_or(Ok(()), |fault| Err(fault(archive.to_owned())))
    }
}

impl Unpacker for TestUnpacker {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        let mut start = Vec::new();
        let mut reader = archive.reader().take(MAGIC.len() as u64);
        reader.read_to_end(&mut start).unwrap();
        Ok(start == MAGIC)
    }

    fn unpack(&self, archives: &[ArchiveFile], staging: &dyn Staging) -> Result<(), UnpackError> {
        for archive in archives {
            let mut reader = archive.reader();
            reader.read_exact(&mut vec![0; MAGIC.len()]).unwrap();
            let mut first = true;
            while let Some(path) = part(&mut reader) {
                let path = String::from_utf8(path).unwrap().parse().unwrap();
                let content = part(&mut reader).unwrap();
                let mut file = staging.create_file(&path, false)?;
                file.write(&content)?;
                file.finish()?;
                if std::mem::take(&mut first) {
                    self.after_first_file(archive.path(), staging)?;
                }
            }
        }
        Ok(())
    }
}

/// The next length and what it is the length of; `None` at the end.
fn part(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 8];
    reader.read_exact(&mut length).ok()?;
    let mut part = vec![0; usize::try_from(u64::from_le_bytes(length)).unwrap()];
    reader.read_exact(&mut part).unwrap();
    Some(part)
}
