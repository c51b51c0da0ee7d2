//! Whether a payload that was downloaded is still what was downloaded. Stray files beside it do not matter.

use std::{collections::BTreeMap, ffi::OsStr};

use lanspread_disk::{Disk, DiskError, Entry, FileStamp, Kind, StoredPayload};
use lanspread_proto::GamePath;

use super::payload::HashesByPath;
use crate::{
    hash::FileToHash,
    refusal::{Damage, RefusalReason},
};

/// A payload in which nothing is known to be damaged.
pub(super) enum Kept {
    /// Every file is what the manifest says; the files' stamps, in its order.
    Whole(Vec<FileStamp>),
    /// These files may have changed.
    ToHash(Vec<FileToHash>),
}

/// Compares what is on disk with a stored payload.
pub(super) fn compare<D: Disk>(
    root: &D,
    stored: &StoredPayload,
    hashes: HashesByPath<'_>,
) -> Result<Kept, RefusalReason> {
    let manifest = stored.manifest();
    let entries = entries_of(root, manifest.files().iter().map(|file| &file.path))?;
    let map = manifest.chunk_map();
    let mut stamps = Vec::with_capacity(entries.len());
    let mut to_hash = Vec::new();
    for (at, (file, entry)) in manifest.files().iter().zip(entries).enumerate() {
        let damaged = |damage| RefusalReason::Damaged {
            path: file.path.clone(),
            damage,
        };
        let entry = entry.filter(|entry| entry.kind == Kind::File);
        let stamp = entry.ok_or_else(|| damaged(Damage::Missing))?.stamp;
        if stamp.size != file.size {
            let (expected, actual) = (file.size, stamp.size);
            return Err(damaged(Damage::Size { expected, actual }));
        }
        let chunks = map.chunks_of(at);
        let expected = &stored.chunk_hashes()[chunks.start as usize..chunks.end as usize];
        match hashes.find(&file.path, stamp) {
            None => to_hash.push(hashes.known.to_hash(&file.path, stamp)),
            Some(found) if found != expected => return Err(damaged(Damage::Content)),
            Some(_) => stamps.push(stamp),
        }
    }
    for path in manifest.empty_folders() {
        let entry = root
            .stat(path.as_str())
            .map_err(RefusalReason::Unreadable)?;
        if entry.is_none_or(|entry| entry.kind != Kind::Folder) {
            let (path, damage) = (path.clone(), Damage::Missing);
            return Err(RefusalReason::Damaged { path, damage });
        }
    }
    Ok(if to_hash.is_empty() {
        Kept::Whole(stamps)
    } else {
        Kept::ToHash(to_hash)
    })
}

/// What stands at each path. A folder is listed once, which is far cheaper than one look per file.
fn entries_of<'a, D: Disk>(
    root: &D,
    paths: impl ExactSizeIterator<Item = &'a GamePath>,
) -> Result<Vec<Option<Entry>>, RefusalReason> {
    let mut entries = vec![None; paths.len()];
    let mut by_folder: BTreeMap<&str, BTreeMap<&OsStr, usize>> = BTreeMap::new();
    for (at, path) in paths.enumerate() {
        let (folder, name) = path
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", path.as_str()));
        by_folder
            .entry(folder)
            .or_default()
            .insert(OsStr::new(name), at);
    }
    for (folder, names) in by_folder {
        let listed = match root.list(folder) {
            Ok(listed) => listed,
            Err(error) if is_no_folder(&error) => continue,
            Err(error) => return Err(RefusalReason::Unreadable(error)),
        };
        for found in listed {
            if let Some(at) = names.get(&*found.name) {
                entries[*at] = Some(found.entry);
            }
        }
    }
    Ok(entries)
}

fn is_no_folder(error: &DiskError) -> bool {
    error.is_not_found() || error.is_wrong_kind()
}
