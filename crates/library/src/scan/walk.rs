//! Every file and empty folder of a payload.

use lanspread_disk::{Disk, DiskError, FileStamp, Kind, Listed};
use lanspread_proto::{
    GamePath, Manifest, limits, names,
    path::{EntryKind, PathSet},
};

use super::folder::unlike_a_file;
use crate::refusal::RefusalReason;

/// One file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: GamePath,
    pub(super) stamp: FileStamp,
    pub(super) executable: bool,
}

/// A payload as it is on disk, both lists sorted by path.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) files: Vec<Found>,
    pub(super) empty_folders: Vec<GamePath>,
}

/// Why a payload was not seen whole.
#[derive(Debug)]
pub(super) enum WalkError {
    /// It can never be announced like this.
    Refused(RefusalReason),
    /// A folder went away meanwhile.
    Changed,
}

impl From<RefusalReason> for WalkError {
    fn from(reason: RefusalReason) -> Self {
        Self::Refused(reason)
    }
}

/// Finds all files and empty folders under a game root, but for the reserved names at its top and desktop
/// litter. A folder that holds nothing but litter is empty.
///
/// `known` only saves work: its paths are not parsed again.
pub(super) fn walk<D: Disk>(root: &D, known: Option<&Manifest>) -> Result<Walked, WalkError> {
    let mut walked = Walked::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = root.list(&folder).map_err(gone_or_unreadable)?;
        let mut kept = 0;
        for listed in entries {
            if folder.is_empty() && listed.name.to_str().is_some_and(names::is_reserved) {
                continue;
            }
            let path = path_of(&folder, &listed, known)?;
            if path.is_litter() {
                continue;
            }
            kept += 1;
            match listed.entry.kind {
                Kind::File => {
                    let (stamp, executable) = (listed.entry.stamp, listed.entry.executable);
                    walked.files.push(Found {
                        path,
                        stamp,
                        executable,
                    });
                }
                Kind::Folder => folders.push(path.as_str().to_owned()),
                kind => {
                    let found = unlike_a_file(kind).unwrap_or_default();
                    let path = path.as_str().to_owned();
                    return Err(RefusalReason::NotAFile { path, found }.into());
                }
            }
        }
        if kept == 0 && !folder.is_empty() {
            walked.empty_folders.push(parse(&folder)?);
        }
        check_count(walked.files.len() + walked.empty_folders.len() + folders.len())?;
    }
    walked.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    walked.empty_folders.sort_unstable();
    if known.is_none_or(|known| !same_paths(&walked, known)) {
        check_paths(&walked)?;
    }
    Ok(walked)
}

fn gone_or_unreadable(error: DiskError) -> WalkError {
    if error.is_not_found() {
        WalkError::Changed
    } else {
        WalkError::Refused(RefusalReason::Unreadable(error))
    }
}

fn path_of(folder: &str, listed: &Listed, known: Option<&Manifest>) -> Result<GamePath, WalkError> {
    let separator = if folder.is_empty() { "" } else { "/" };
    let Some(name) = listed.name.to_str() else {
        let mut bytes = format!("{folder}{separator}").into_bytes();
        bytes.extend_from_slice(listed.name.as_encoded_bytes());
        return GamePath::from_bytes(&bytes).map_err(|error| RefusalReason::Path(error).into());
    };
    let text = format!("{folder}{separator}{name}");
    let files = known.map_or(&[][..], Manifest::files);
    match files.binary_search_by(|file| file.path.as_str().cmp(&text)) {
        Ok(at) => Ok(files[at].path.clone()),
        Err(_) => parse(&text),
    }
}

fn parse(text: &str) -> Result<GamePath, WalkError> {
    text.parse()
        .map_err(|error| RefusalReason::Path(error).into())
}

/// Folders on the way count too, so that a tree of nothing but folders ends.
fn check_count(entries: usize) -> Result<(), WalkError> {
    limits::check(
        "manifest entries",
        entries as u64,
        limits::MANIFEST_ENTRIES_MAX as u64,
    )
    .map_err(|limit| RefusalReason::Manifest(limit.into()).into())
}

fn same_paths(walked: &Walked, known: &Manifest) -> bool {
    let files = walked.files.iter().map(|file| &file.path);
    files.eq(known.files().iter().map(|file| &file.path))
        && walked.empty_folders == known.empty_folders()
}

/// Before anything is hashed: a game of 50 GB must not be read for half an hour to be refused then.
fn check_paths(walked: &Walked) -> Result<(), WalkError> {
    let mut paths = PathSet::new();
    let files = walked
        .files
        .iter()
        .map(|file| (&file.path, EntryKind::File));
    let folders = walked
        .empty_folders
        .iter()
        .map(|path| (path, EntryKind::EmptyFolder));
    let mut bytes = 0_u64;
    for file in &walked.files {
        let size = file.stamp.size;
        bytes = bytes.saturating_add(size);
        limits::check("a file's size in bytes", size, limits::FILE_BYTES_MAX)
            .and_then(|()| limits::check("the game's size in bytes", bytes, limits::GAME_BYTES_MAX))
            .map_err(|limit| RefusalReason::Manifest(limit.into()))?;
    }
    for (path, kind) in files.chain(folders) {
        path.check_payload_top_level()
            .map_err(RefusalReason::Path)?;
        paths.insert(path, kind).map_err(RefusalReason::Path)?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
mod tests {
    use std::io::ErrorKind;

    use lanspread_disk::{
        RealDisk,
        twin::{Operation, RecordingDisk, Verb, Verdict},
    };

    use super::*;

    fn failing(path: &'static str, kind: ErrorKind) -> Result<Walked, WalkError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/maps")).unwrap();
        std::fs::write(dir.path().join("data/maps/x.bsp"), "x").unwrap();
        let rule = move |operation: &Operation| {
            let fails = operation.verb == Verb::List && operation.path == path;
            if fails {
                Verdict::Fail(kind)
            } else {
                Verdict::Proceed
            }
        };
        walk(
            &RecordingDisk::new(RealDisk::open(dir.path()).unwrap(), rule),
            None,
        )
    }

    #[test]
    fn a_folder_that_cannot_be_read_refuses_the_payload() {
        for path in ["", "data", "data/maps"] {
            let error = failing(path, ErrorKind::PermissionDenied).unwrap_err();
            assert!(
                matches!(error, WalkError::Refused(RefusalReason::Unreadable(_))),
                "{path:?}"
            );
            let error = failing(path, ErrorKind::NotFound).unwrap_err();
            assert!(matches!(error, WalkError::Changed), "{path:?}");
        }
        assert_eq!(
            failing("elsewhere", ErrorKind::NotFound)
                .unwrap()
                .files
                .len(),
            1
        );
    }
}
