//! Hashes of games that are not announced yet, kept so that they survive the process: `games/<id>/hashing.bin`.
//!
//! A document is written now and then while a game is hashed, when the monitor ends, and before the manifest
//! of a game that is all hashed replaces the last one. It is removed once the index that knows better is on
//! disk, or the game's folder is gone. It is read when a file has to be hashed, never for a game whose index
//! is right. One that is damaged is put aside; one of a newer format is left as it is; both count as none.

mod codec;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lanspread_disk::{Disk, DiskError, DiskFile, FileMode, RealDisk, StateDir};
use lanspread_proto::GameId;

pub(crate) use self::codec::Encoder;
use self::codec::{DecodeError, FORMAT, HEAD_BYTES, decode, format};
use crate::{
    hash::{FileToHash, Hashed, Pieces},
    scan::KnownHashes,
};

/// The document's name in a game's state folder.
const HASHING_NAME: &str = "hashing.bin";

/// More than the largest game needs: 200,000 files with the longest paths, and a million chunks.
const HASHING_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The documents of unfinished games. One thread at a time works on them.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// The games that may have one, as far as this process has seen.
    seen: Mutex<BTreeSet<GameId>>,
}

/// What one document should say.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) game: GameId,
    /// What is known of it from before.
    pub(crate) known: Arc<KnownHashes>,
    /// What is finished of the job that runs.
    pub(crate) running: HashMap<FileToHash, Pieces>,
}

/// Why a document says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum UnfinishedError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A newer lanspread wrote it.
    #[error("{} has format {found}, this lanspread knows up to {FORMAT}", path.display())]
    NewerFormat { path: PathBuf, found: u8 },
    /// It is cut, or was never one of ours.
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf },
}

impl Unfinished {
    /// What is known of exactly these files.
    pub(crate) fn load(&self, state: &StateDir, game: &GameId, files: &[FileToHash]) -> Hashed {
        let mut seen = self.lock();
        let hashed = match read(state, game) {
            Ok(None) => return Vec::new(),
            Ok(Some(hashed)) => hashed,
            Err(error) => {
                let aside = matches!(error, UnfinishedError::Damaged { .. })
                    .then(|| state.quarantine(&path(game)));
                tracing::warn!(%game, %error, ?aside, "hashes of an unfinished game are lost");
                return Vec::new();
            }
        };
        seen.insert(game.clone());
        let wanted: BTreeSet<_> = files.iter().map(|file| (&file.path, file.stamp)).collect();
        hashed
            .into_iter()
            .filter(|(file, _)| wanted.contains(&(&file.path, file.stamp)))
            .collect()
    }

    /// Writes a game's document. Nothing to say leaves the old one; so does one of a newer format.
    pub(crate) fn store(
        &self,
        state: &StateDir,
        game: &GameId,
        content: Encoder,
    ) -> Result<(), DiskError> {
        let mut seen = self.lock();
        if content.is_empty() || is_newer(state, game)? {
            return Ok(());
        }
        state.write(&path(game), &content.finish(), FileMode::Plain)?;
        seen.insert(game.clone());
        Ok(())
    }

    /// Whether a game has a document that [`Unfinished::discard`] would remove.
    pub(crate) fn is_there(&self, state: &StateDir, game: &GameId) -> bool {
        let mut seen = self.lock();
        let there = matches!(state.disk().stat(&path(game)), Ok(Some(_)))
            && matches!(is_newer(state, game), Ok(false));
        if there {
            seen.insert(game.clone());
        }
        there
    }

    /// Removes the documents of the games that are over.
    pub(crate) fn discard(&self, state: &StateDir, is_over: impl Fn(&GameId) -> bool) {
        let mut seen = self.lock();
        for game in seen.extract_if(.., |game| is_over(game)) {
            let removed = match is_newer(state, &game) {
                Ok(false) => state.remove(&path(&game)),
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(%game, %error, "could not tidy up after hashing");
            }
        }
    }

    /// These games went away; they may have documents that nobody looked at.
    pub(crate) fn note_gone(&self, vanished: BTreeSet<GameId>) {
        self.lock().extend(vanished);
    }

    /// Looks for documents of games that are not here, so that they can be discarded. Tells whether there are.
    pub(crate) fn look_for_others(
        &self,
        state: &StateDir,
        is_here: impl Fn(&GameId) -> bool,
    ) -> bool {
        let listed = state.disk().list("games").unwrap_or_default();
        let ids = listed
            .iter()
            .filter_map(|listed| listed.name.to_str()?.parse().ok());
        ids.filter(|game| !is_here(game))
            .filter(|game| self.is_there(state, game))
            .count()
            > 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<GameId>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// The document's content; what runs is newer than what was known.
    pub(crate) fn encode(&self) -> Encoder {
        let mut encoder = Encoder::default();
        self.known
            .encode(&mut encoder, |file| self.running.contains_key(file));
        for (file, pieces) in &self.running {
            encoder.file(&file.path, file.stamp, pieces.runs());
        }
        encoder
    }
}

fn path(game: &GameId) -> String {
    StateDir::<RealDisk>::game_path(game, HASHING_NAME)
}

fn read(state: &StateDir, game: &GameId) -> Result<Option<Hashed>, UnfinishedError> {
    let path = path(game);
    let Some(document) = state.disk().read_file(&path, HASHING_BYTES_MAX)? else {
        return Ok(None);
    };
    let path = state.disk().shown(&path);
    decode(&document).map(Some).map_err(|error| match error {
        DecodeError::Newer(found) => UnfinishedError::NewerFormat { path, found },
        DecodeError::Damaged => UnfinishedError::Damaged { path },
    })
}

/// Whether the document is of a newer format; no document is not.
fn is_newer(state: &StateDir, game: &GameId) -> Result<bool, DiskError> {
    let mut head = [0; HEAD_BYTES];
    let file = match state.disk().open_read(&path(game)) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error),
    };
    file.read_at(&mut head, 0)?;
    Ok(format(&head).is_some_and(|found| found > FORMAT))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
mod tests {
    use lanspread_disk::FileStamp;
    use lanspread_proto::Hash;

    use super::*;

    fn file(modified_ns: i64) -> FileToHash {
        let stamp = FileStamp {
            size: 1,
            modified_ns,
            file_id: 1,
        };
        let path = "x".parse().unwrap();
        FileToHash {
            path,
            stamp,
            doubts: 0,
        }
    }

    fn content(modified_ns: i64) -> Encoder {
        let (mut encoder, file) = (Encoder::default(), file(modified_ns));
        let pieces = Pieces::run(0, vec![Hash::of(b"x")]);
        encoder.file(&file.path, file.stamp, pieces.runs());
        encoder
    }

    struct Lab {
        dir: tempfile::TempDir,
        state: StateDir,
        game: GameId,
    }

    fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let game = "game".parse().unwrap();
        Lab { dir, state, game }
    }

    fn names(lab: &Lab) -> Vec<String> {
        let folder = std::fs::read_dir(lab.dir.path().join("games/game")).unwrap();
        folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn only_files_that_look_the_same_are_known_again() {
        let (lab, unfinished) = (lab(), Unfinished::default());
        let load = |files: &[_]| unfinished.load(&lab.state, &lab.game, files);
        assert!(load(&[file(1)]).is_empty());
        unfinished.store(&lab.state, &lab.game, content(1)).unwrap();
        assert_eq!(load(&[file(1)])[0].0, file(1));
        assert!(load(&[file(2)]).is_empty());
        unfinished
            .store(&lab.state, &lab.game, Encoder::default())
            .unwrap();
        assert_eq!(load(&[file(1)]).len(), 1, "nothing to say");
    }

    #[test]
    fn documents_are_found_and_removed_when_they_are_over() {
        let (lab, unfinished) = (lab(), Unfinished::default());
        unfinished.store(&lab.state, &lab.game, content(1)).unwrap();
        unfinished.discard(&lab.state, |_| false);
        assert!(unfinished.is_there(&lab.state, &lab.game));
        let later = Unfinished::default();
        later.look_for_others(&lab.state, |_| true);
        later.discard(&lab.state, |_| true);
        assert_eq!(names(&lab), [HASHING_NAME], "nobody looked for it");
        later.look_for_others(&lab.state, |_| false);
        later.discard(&lab.state, |_| true);
        assert!(names(&lab).is_empty());
        assert!(!unfinished.is_there(&lab.state, &lab.game));
    }

    #[test]
    fn a_newer_format_is_left_alone_whatever_happens() {
        let (lab, unfinished) = (lab(), Unfinished::default());
        let future = b"lanhsh\0\x02future";
        lab.state
            .write(&path(&lab.game), future, FileMode::Plain)
            .unwrap();
        assert!(
            unfinished
                .load(&lab.state, &lab.game, &[file(1)])
                .is_empty()
        );
        unfinished.store(&lab.state, &lab.game, content(1)).unwrap();
        assert!(!unfinished.is_there(&lab.state, &lab.game));
        unfinished.lock().insert(lab.game.clone());
        unfinished.discard(&lab.state, |_| true);
        let document = lab.dir.path().join("games/game").join(HASHING_NAME);
        assert_eq!(std::fs::read(document).unwrap(), future);
    }

    #[test]
    fn a_damaged_one_is_put_aside() {
        let (lab, unfinished) = (lab(), Unfinished::default());
        let garbage = b"garbage";
        lab.state
            .write(&path(&lab.game), garbage, FileMode::Plain)
            .unwrap();
        assert!(
            unfinished
                .load(&lab.state, &lab.game, &[file(1)])
                .is_empty()
        );
        let names = names(&lab);
        assert!(names[0].starts_with("hashing.bin.bad-"), "{names:?}");
    }

    #[test]
    fn every_error_names_the_document() {
        let path = PathBuf::from("/state/hashing.bin");
        let damaged = UnfinishedError::Damaged { path: path.clone() };
        assert_eq!(damaged.to_string(), "/state/hashing.bin is damaged");
        let newer = UnfinishedError::NewerFormat { path, found: 9 };
        let expected = "/state/hashing.bin has format 9, this lanspread knows up to 1";
        assert_eq!(newer.to_string(), expected);
        let disk = RealDisk::open(std::path::Path::new("/missing"))
            .map(drop)
            .unwrap_err();
        assert!(UnfinishedError::from(disk).to_string().contains("/missing"));
    }
}
