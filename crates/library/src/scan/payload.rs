//! What a downloaded game's payload is, as far as its hashes are known.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use lanspread_disk::{FileStamp, RealDisk, StateDir, StoredPayload};
use lanspread_proto::{FileEntry, GameId, GamePath, Hash, Manifest, chunk};

use super::{
    damage::{self, Kept},
    folder::Sentinel,
    walk::{Found, WalkError, Walked, walk},
};
use crate::{
    hash::{FileToHash, Hashed, Pieces},
    payload::{LocalPayload, Origin},
    refusal::RefusalReason,
    unfinished::Encoder,
};

/// Hashes of files that belong to no complete payload yet, and doubts about those that do.
///
/// Hashing takes long, and a file may be doubted meanwhile. Every doubt is counted, and a hash that was asked for
/// before the last one is never taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownHashes {
    by_path: HashMap<GamePath, (FileStamp, Vec<Hash>)>,
    /// Files of which only some chunks are hashed.
    begun: HashMap<GamePath, (FileStamp, Pieces)>,
    /// Files of which the last payload's hashes are not to be used.
    doubted: HashSet<GamePath>,
    /// How often each file was doubted, also those that are hashed again since.
    doubts: HashMap<GamePath, u64>,
    remembered: bool,
}

impl KnownHashes {
    /// What is left when a payload is complete, which holds the hashes from then on.
    pub(crate) fn settled(&self) -> Self {
        Self {
            doubts: self.doubts.clone(),
            ..Self::default()
        }
    }

    /// A file that looks like this and has to be hashed.
    pub(super) fn to_hash(&self, path: &GamePath, stamp: FileStamp) -> FileToHash {
        FileToHash {
            path: path.clone(),
            stamp,
            doubts: self.doubts_of(path),
        }
    }

    /// A file was hashed, or some of it. Nothing is learned of one that was doubted since it was found.
    pub(crate) fn learn(&mut self, file: FileToHash, pieces: Pieces) {
        if file.doubts != self.doubts_of(&file.path) {
            return;
        }
        match pieces.into_whole(&file) {
            Ok(chunks) => {
                self.begun.remove(&file.path);
                self.by_path.insert(file.path, (file.stamp, chunks));
            }
            Err(pieces) => {
                self.begun.insert(file.path, (file.stamp, pieces));
            }
        }
    }

    /// These files were hashed in an earlier run, before every doubt of this one.
    pub(crate) fn remember(&mut self, remembered: Hashed) {
        self.remembered = true;
        for (file, pieces) in remembered {
            self.learn(file, pieces);
        }
    }

    /// Whether what earlier runs saved is in here.
    pub(crate) const fn is_remembered(&self) -> bool {
        self.remembered
    }

    /// What is hashed of those of these files that are begun.
    pub(crate) fn begun(&self, files: &[FileToHash]) -> HashMap<FileToHash, Pieces> {
        let of_file = |file: &FileToHash| {
            let (stamp, pieces) = self.begun.get(&file.path)?;
            (*stamp == file.stamp).then(|| (file.clone(), pieces.clone()))
        };
        files.iter().filter_map(of_file).collect()
    }

    /// Writes all of it but the begun files that `is_newer` knows more of.
    pub(crate) fn encode(&self, encoder: &mut Encoder, is_newer: impl Fn(&FileToHash) -> bool) {
        for (path, (stamp, chunks)) in &self.by_path {
            encoder.file(path, *stamp, std::iter::once((0, &chunks[..])));
        }
        for (path, (stamp, pieces)) in &self.begun {
            let file = self.to_hash(path, *stamp);
            if !is_newer(&file) {
                encoder.file(path, *stamp, pieces.runs());
            }
        }
    }

    /// What is known of a file is not to be used, whatever its stamp.
    pub(crate) fn doubt(&mut self, path: &GamePath) {
        self.by_path.remove(path);
        self.begun.remove(path);
        self.doubted.insert(path.clone());
        *self.doubts.entry(path.clone()).or_default() += 1;
    }

    fn doubts_of(&self, path: &GamePath) -> u64 {
        self.doubts.get(path).copied().unwrap_or_default()
    }
}

/// Everything that is known of one game's files.
#[derive(Clone, Copy)]
pub(crate) struct HashesByPath<'a> {
    pub(crate) previous: Option<&'a Arc<LocalPayload>>,
    pub(crate) known: &'a KnownHashes,
}

impl<'a> HashesByPath<'a> {
    /// The chunk hashes of a file that looks like this; `None` if it has to be hashed.
    pub(super) fn find(&self, path: &GamePath, stamp: FileStamp) -> Option<&'a [Hash]> {
        if stamp.size == 0 {
            return Some(&[]);
        }
        if let Some((known, chunks)) = self.known.by_path.get(path) {
            return (*known == stamp).then_some(&chunks[..]);
        }
        let previous = self
            .previous
            .filter(|_| !self.known.doubted.contains(path))?;
        let files = previous.manifest().files();
        let at = files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        (previous.stamps()[at] == stamp).then(|| previous.chunks_of(at))
    }
}

/// What a look at a payload found.
#[derive(Debug)]
pub(crate) enum PayloadLook {
    /// Every file's hash is known.
    Complete {
        /// The payload.
        payload: Arc<LocalPayload>,
        /// Whether its manifest is another one than before.
        new: bool,
    },
    /// These files have to be hashed first.
    ToHash {
        /// The files, never none.
        files: Vec<FileToHash>,
        /// Bytes of the whole payload.
        bytes: u64,
    },
    /// It cannot be announced like this.
    Refused(RefusalReason),
    /// It changed under our eyes.
    Changed,
}

/// Looks at the payload in the game root `root`, whose sentinel is `sentinel`. Blocking.
///
/// A game whose last payload was downloaded keeps it while the sentinel stays the same. Without a last payload
/// (the index was lost) a stored manifest with this sentinel counts as downloaded if all its files are there.
pub(crate) fn look_at_payload(
    game: &GameId,
    root: &RealDisk,
    state: &StateDir,
    sentinel: &Sentinel,
    hashes: HashesByPath<'_>,
) -> PayloadLook {
    let goes_with = |manifest: &Manifest| manifest.sentinel() == &*sentinel.content;
    match hashes.previous {
        Some(previous) if previous.origin() == Origin::Downloaded => {
            if goes_with(previous.manifest()) {
                return kept(game, root, previous.stored(), hashes);
            }
        }
        Some(_) => {}
        None => {
            let stored = state.load_payload(game).ok().flatten();
            if let Some(stored) = stored.filter(|stored| goes_with(stored.manifest())) {
                match kept(game, root, &stored, hashes) {
                    PayloadLook::Refused(_) => {}
                    look => return look,
                }
            }
        }
    }
    scanned(game, root, sentinel, hashes).unwrap_or_else(|error| match error {
        WalkError::Refused(reason) => PayloadLook::Refused(reason),
        WalkError::Changed => PayloadLook::Changed,
    })
}

/// The payload that was downloaded, as long as it is whole.
fn kept(
    game: &GameId,
    root: &RealDisk,
    stored: &StoredPayload,
    hashes: HashesByPath<'_>,
) -> PayloadLook {
    match damage::compare(root, stored, hashes) {
        Err(reason) => PayloadLook::Refused(reason),
        Ok(Kept::ToHash(files)) => PayloadLook::ToHash {
            files,
            bytes: stored.manifest().bytes(),
        },
        Ok(Kept::Whole(stamps)) => match hashes.previous {
            Some(previous) if previous.stamps() == stamps && previous.id() == stored.id() => {
                PayloadLook::Complete {
                    payload: Arc::clone(previous),
                    new: false,
                }
            }
            _ => {
                let (game, stored) = (game.clone(), stored.clone());
                let payload = LocalPayload::new(game, stored, stamps, Origin::Downloaded);
                PayloadLook::Complete {
                    payload: Arc::new(payload),
                    new: false,
                }
            }
        },
    }
}

/// The payload that lies in the folder.
fn scanned(
    game: &GameId,
    root: &RealDisk,
    sentinel: &Sentinel,
    hashes: HashesByPath<'_>,
) -> Result<PayloadLook, WalkError> {
    let walked = walk(root, hashes.previous.map(|previous| &**previous.manifest()))?;
    let mut entries = Vec::with_capacity(walked.files.len());
    let mut chunk_hashes = Vec::new();
    let mut to_hash = Vec::new();
    for Found {
        path,
        stamp,
        executable,
    } in &walked.files
    {
        let Some(chunks) = hashes.find(path, *stamp) else {
            to_hash.push(hashes.known.to_hash(path, *stamp));
            continue;
        };
        chunk_hashes.extend_from_slice(chunks);
        entries.push(FileEntry {
            path: path.clone(),
            size: stamp.size,
            executable: *executable,
            hash: chunk::file_hash(chunks),
        });
    }
    if !to_hash.is_empty() {
        let bytes = walked.files.iter().map(|file| file.stamp.size).sum();
        return Ok(PayloadLook::ToHash {
            files: to_hash,
            bytes,
        });
    }
    assemble(
        game,
        sentinel,
        walked,
        entries,
        chunk_hashes,
        hashes.previous,
    )
}

fn assemble(
    game: &GameId,
    sentinel: &Sentinel,
    walked: Walked,
    entries: Vec<FileEntry>,
    chunk_hashes: Vec<Hash>,
    previous: Option<&Arc<LocalPayload>>,
) -> Result<PayloadLook, WalkError> {
    let stamps: Vec<_> = walked.files.iter().map(|file| file.stamp).collect();
    let same = previous.filter(|previous| {
        let manifest = previous.manifest();
        manifest.sentinel() == &*sentinel.content
            && manifest.files() == entries
            && manifest.empty_folders() == walked.empty_folders
            && previous.origin() == Origin::Scanned
    });
    if let Some(previous) = same {
        let payload = if previous.stamps() == stamps {
            Arc::clone(previous)
        } else {
            let stored = previous.stored().clone();
            Arc::new(LocalPayload::new(
                game.clone(),
                stored,
                stamps,
                Origin::Scanned,
            ))
        };
        return Ok(PayloadLook::Complete {
            payload,
            new: false,
        });
    }
    let stored = Manifest::new(sentinel.content.to_vec(), entries, walked.empty_folders)
        .and_then(|manifest| StoredPayload::new(Arc::new(manifest), chunk_hashes.into()))
        .map_err(|error| WalkError::Refused(RefusalReason::Manifest(error)))?;
    let payload = Arc::new(LocalPayload::new(
        game.clone(),
        stored,
        stamps,
        Origin::Scanned,
    ));
    Ok(PayloadLook::Complete { payload, new: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: FileStamp = FileStamp {
        size: 1,
        modified_ns: 0,
        file_id: 0,
    };

    fn path() -> GamePath {
        "x".parse().unwrap()
    }

    fn one(content: &[u8]) -> Pieces {
        Pieces::run(0, vec![Hash::of(content)])
    }

    fn found(known: &KnownHashes) -> Option<&[Hash]> {
        let previous = None;
        HashesByPath { previous, known }.find(&path(), STAMP)
    }

    #[test]
    fn what_was_asked_for_before_a_doubt_is_never_learned() {
        let mut known = KnownHashes::default();
        let before = known.to_hash(&path(), STAMP);
        known.doubt(&path());
        known.learn(before.clone(), one(b"before"));
        assert_eq!(found(&known), None);
        let between = known.to_hash(&path(), STAMP);
        known.doubt(&path());
        let after = known.to_hash(&path(), STAMP);
        known.learn(after.clone(), one(b"after"));
        for late in [&before, &between] {
            known.learn(late.clone(), one(b"before"));
            known.remember(vec![(before.clone(), one(b"before"))]);
            assert_eq!(found(&known), Some(&[Hash::of(b"after")][..]));
        }

        let mut settled = known.settled();
        assert_eq!(found(&settled), None, "the payload has it now");
        settled.learn(between, one(b"before"));
        assert_eq!(found(&settled), None);
        settled.learn(after, one(b"after"));
        assert!(found(&settled).is_some());
    }
}
