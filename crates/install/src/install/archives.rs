//! Which files of a game root are archives: by name and by content.

use std::sync::Arc;

use lanspread_disk::{Disk, DiskFile, StateDir};
use lanspread_proto::GameId;

use super::{InstallError, payload};
use crate::{
    root::GameRoot,
    unpack::{ArchiveFile, UnpackError, Unpacker},
};

/// How an archive's name ends, in lower case.
const NAME_ENDS: [&str; 8] = [
    ".eti", ".zip", ".7z", ".rar", ".tar", ".tgz", ".tzst", ".txz",
];

/// The archives at the top of a game root, in name order: files of the payload that are named like one
/// and are one by content. None for a plain tree, and where there is no such game.
///
/// # Errors
/// [`InstallError`] when the root or a file cannot be read.
pub fn archives<D: Disk>(
    disk: &Arc<D>,
    state: &Arc<StateDir<D>>,
    unpacker: &dyn Unpacker,
    game: &GameId,
) -> Result<Vec<ArchiveFile>, InstallError> {
    let root = GameRoot::new(game.clone());
    find(disk.as_ref(), state, &root, &|archive| {
        unpacker.recognises(archive)
    })
}

/// The same, by any way to recognise one.
pub(crate) fn find<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
    recognises: &dyn Fn(&ArchiveFile) -> Result<bool, UnpackError>,
) -> Result<Vec<ArchiveFile>, InstallError> {
    let mut found = Vec::new();
    for name in payload::top_level_files(disk, state, root)? {
        if !is_named_like_one(name.as_str()) {
            continue;
        }
        let path = root.payload(&name);
        let file = disk.open_read(&path)?;
        let bytes = file.stamp()?.size;
        let archive = ArchiveFile::new(name, disk.shown(&path), bytes, Arc::new(file));
        if recognises(&archive)? {
            found.push(archive);
        }
    }
    found.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(found)
}

fn is_named_like_one(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut ends = name.rsplit('.');
    let is_packed_tar =
        ends.next().is_some_and(|how| !how.is_empty()) && ends.next() == Some("tar");
    let is_packed_tar = is_packed_tar && ends.next().is_some();
    is_packed_tar || NAME_ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_known_by_the_end_of_their_names() {
        for name in [
            "a.eti",
            "A.ZIP",
            "b.7z",
            "c.Rar",
            "d.tar",
            "e.tar.gz",
            "f.TAR.zst",
            "g.tgz",
            "h.tzst",
            "i.txz",
            ".zip",
        ] {
            assert!(is_named_like_one(name), "{name}");
        }
        for name in [
            "zip",
            "a.zip.txt",
            "tar.gz",
            "a.gz",
            "b.7zz",
            "c.tarx",
            "version.ini",
        ] {
            assert!(!is_named_like_one(name), "{name}");
        }
    }
}
