//! I5: what lies in the staging folder is what was handed over, and can be installed anywhere.

use lanspread_disk::{Disk, Kind, Listed};
use lanspread_proto::{
    GamePath, limits,
    names::{self, OWNED_MARKER_NAME},
    path::{EntryKind, PathSet},
};

use super::{ContentFault, InstallError, InstallTransaction};
use crate::root::Slot;

/// Everything in the staging folder, by paths of the disk.
#[derive(Default)]
pub(super) struct Verified {
    pub(super) paths: Vec<String>,
    /// Deepest first, the staging folder last.
    pub(super) folders: Vec<String>,
    /// Without the marker.
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl<D: Disk> InstallTransaction<D> {
    /// Looks at every entry of the staging folder.
    pub(super) fn verify(&self) -> Result<Verified, InstallError> {
        let mut handed_over = {
            let mut work = self.work();
            if work.unfinished > 0 {
                return Err(self.fault("", ContentFault::Unfinished));
            }
            std::mem::take(&mut work.files)
        };
        handed_over.sort_unstable();
        let mut walk = Walk {
            install: self,
            handed_over,
            set: PathSet::new(),
            seen: Verified::default(),
        };
        walk.folder("")?;
        let Walk {
            seen, handed_over, ..
        } = walk;
        if !handed_over.is_empty() && handed_over.len() as u64 != seen.files {
            return Err(self.first_missing(&handed_over, &seen));
        }
        if handed_over.is_empty() {
            self.check_totals(&seen)?;
        }
        if seen.files == 0 && seen.folders.len() == 1 {
            return Err(InstallError::NothingInside {
                game: self.root.game().clone(),
            });
        }
        Ok(seen)
    }

    fn first_missing(&self, handed_over: &[(GamePath, u64)], seen: &Verified) -> InstallError {
        let there: std::collections::HashSet<&str> =
            seen.paths.iter().map(String::as_str).collect();
        let lost = handed_over
            .iter()
            .find(|(path, _)| !there.contains(self.staged(path.as_str()).as_str()));
        let path = lost.map_or("", |(path, _)| path.as_str());
        self.fault(path, ContentFault::Missing)
    }

    /// Where nothing was handed over piece by piece, the sums are all there is to compare.
    fn check_totals(&self, seen: &Verified) -> Result<(), InstallError> {
        let totals = self.totals.get().copied().unwrap_or_default();
        let told = [
            ("bytes", totals.bytes, seen.bytes),
            ("files", totals.files, seen.files),
        ];
        for (what, expected, found) in told {
            match expected {
                Some(expected) if expected != found => {
                    let fault = ContentFault::Totals {
                        what,
                        expected,
                        found,
                    };
                    return Err(self.fault("", fault));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is wrong with something in the staging folder; the empty path is the folder.
    pub(super) fn fault(&self, path: &str, fault: ContentFault) -> InstallError {
        let path = match path {
            "" => self.root.slot(Slot::Installing),
            path => self.staged(path),
        };
        InstallError::NotInstallable {
            path: self.disk.shown(&path),
            fault,
        }
    }
}

struct Walk<'t, D: Disk> {
    install: &'t InstallTransaction<D>,
    /// Sorted; nothing if an external tool wrote the files.
    handed_over: Vec<(GamePath, u64)>,
    set: PathSet,
    seen: Verified,
}

impl<D: Disk> Walk<'_, D> {
    /// The empty path is the staging folder. Paths are limited in depth, so this ends.
    fn folder(&mut self, folder: &str) -> Result<(), InstallError> {
        let shown = match folder {
            "" => self.install.root.slot(Slot::Installing),
            folder => self.install.staged(folder),
        };
        let entries = self.install.disk.list(&shown)?;
        if entries.is_empty() {
            // The staging folder itself has its marker.
            let path = self.parse(folder.as_bytes())?;
            self.insert(&path, EntryKind::EmptyFolder)?;
        }
        for listed in entries {
            self.entry(folder, &listed)?;
        }
        self.seen.folders.push(shown);
        self.check_count()
    }

    fn entry(&mut self, folder: &str, listed: &Listed) -> Result<(), InstallError> {
        let name = listed.name.as_encoded_bytes();
        if folder.is_empty() && name == OWNED_MARKER_NAME.as_bytes() {
            self.seen.paths.push(self.install.staged(OWNED_MARKER_NAME));
            return Ok(());
        }
        let separator: &[u8] = if folder.is_empty() { b"" } else { b"/" };
        let text = [folder.as_bytes(), separator, name].concat();
        let path = self.parse(&text)?;
        if folder.is_empty() && names::is_owned_marker(path.as_str()) {
            return Err(self.install.fault(path.as_str(), ContentFault::Reserved));
        }
        match listed.entry.kind {
            Kind::Folder => self.folder(path.as_str()),
            Kind::File => self.file(&path, listed.entry.stamp.size),
            kind => Err(self.install.fault(path.as_str(), ContentFault::Kind(kind))),
        }
    }

    fn file(&mut self, path: &GamePath, size: u64) -> Result<(), InstallError> {
        let fault = |fault| self.install.fault(path.as_str(), fault);
        if !self.handed_over.is_empty() {
            match self.find(path.as_str().as_bytes()) {
                None => return Err(fault(ContentFault::Unexpected)),
                Some((_, expected_bytes)) if *expected_bytes != size => {
                    return Err(fault(ContentFault::Size {
                        expected_bytes: *expected_bytes,
                        found_bytes: size,
                    }));
                }
                Some(_) => {}
            }
        }
        let bytes = self.seen.bytes.saturating_add(size);
        limits::check("a file's size in bytes", size, limits::FILE_BYTES_MAX)
            .and_then(|()| limits::check("the game's size in bytes", bytes, limits::GAME_BYTES_MAX))
            .map_err(|limit| fault(ContentFault::Limit(limit)))?;
        self.insert(path, EntryKind::File)?;
        self.seen.files += 1;
        self.seen.bytes = bytes;
        self.seen.paths.push(self.install.staged(path.as_str()));
        self.check_count()
    }

    fn find(&self, path: &[u8]) -> Option<&(GamePath, u64)> {
        let by_path = |(other, _): &(GamePath, u64)| other.as_str().as_bytes().cmp(path);
        let at = self.handed_over.binary_search_by(by_path).ok()?;
        Some(&self.handed_over[at])
    }

    /// What was handed over need not be parsed again.
    fn parse(&self, text: &[u8]) -> Result<GamePath, InstallError> {
        if let Some((path, _)) = self.find(text) {
            return Ok(path.clone());
        }
        GamePath::from_bytes(text).map_err(|error| {
            let shown = String::from_utf8_lossy(text);
            self.install.fault(&shown, ContentFault::Path(error))
        })
    }

    fn insert(&mut self, path: &GamePath, kind: EntryKind) -> Result<(), InstallError> {
        self.set
            .insert(path, kind)
            .map_err(|error| self.install.fault(path.as_str(), ContentFault::Path(error)))
    }

    fn check_count(&self) -> Result<(), InstallError> {
        let limit = limits::MANIFEST_ENTRIES_MAX as u64;
        limits::check("files", self.seen.files, limit)
            .and_then(|()| limits::check("folders", self.seen.folders.len() as u64, limit))
            .map_err(|limit| self.install.fault("", ContentFault::Limit(limit)))
    }
}
