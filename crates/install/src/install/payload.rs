//! What of a game root is payload: what was downloaded, or else everything that may be one.

use lanspread_disk::{Disk, Kind, Listed, MANIFEST_NAME, StateDir};
use lanspread_proto::{GamePath, Manifest, limits::SENTINEL_BYTES_MAX, names};

use super::{ContentFault, InstallError};
use crate::root::GameRoot;

/// One file.
pub(super) struct PayloadFile {
    pub(super) path: GamePath,
    pub(super) bytes: u64,
    pub(super) executable: bool,
}

/// A whole payload.
#[derive(Default)]
pub(super) struct Payload {
    pub(super) files: Vec<PayloadFile>,
    pub(super) empty_folders: Vec<GamePath>,
}

/// The files directly in the game root.
pub(super) fn top_level_files<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
) -> Result<Vec<GamePath>, InstallError> {
    if let Some(manifest) = downloaded(disk, state, root)? {
        let paths = manifest.files().iter().map(|file| &file.path);
        return Ok(paths
            .filter(|path| path.parent().is_none())
            .cloned()
            .collect());
    }
    let entries = match disk.list(root.path()) {
        Err(error) if error.is_not_found() || error.is_wrong_kind() => return Ok(Vec::new()),
        listed => listed?,
    };
    let files = entries
        .into_iter()
        .filter(|listed| listed.entry.kind == Kind::File);
    let named = files.filter_map(|listed| listed.name.to_str()?.parse::<GamePath>().ok());
    let is_payload = |path: &GamePath| !names::is_reserved(path.as_str()) && !path.is_litter();
    Ok(named.filter(is_payload).collect())
}

/// The whole payload.
pub(super) fn payload<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
) -> Result<Payload, InstallError> {
    let Some(manifest) = downloaded(disk, state, root)? else {
        let mut payload = Payload::default();
        walk(disk, root, "", &mut payload)?;
        return Ok(payload);
    };
    let files = manifest.files().iter().map(|file| PayloadFile {
        path: file.path.clone(),
        bytes: file.size,
        executable: file.executable,
    });
    Ok(Payload {
        files: files.collect(),
        empty_folders: manifest.empty_folders().to_vec(),
    })
}

/// The manifest of what was downloaded here, if its sentinel is the one that is there.
fn downloaded<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
) -> Result<Option<Manifest>, InstallError> {
    let path = StateDir::<D>::game_path(root.game(), MANIFEST_NAME);
    let manifest = match state.read_document::<Manifest>(&path) {
        Err(error) if error.is_damaged() => None,
        read => read?,
    };
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let sentinel = disk.read_file(&root.sentinel(), SENTINEL_BYTES_MAX as u64)?;
    Ok((sentinel.as_deref() == Some(manifest.sentinel())).then_some(manifest))
}

/// All files and empty folders but the reserved names at the top and desktop litter. Paths are
/// limited in depth, so this ends; the staging folder checks all other limits.
fn walk<D: Disk>(
    disk: &D,
    root: &GameRoot,
    folder: &str,
    payload: &mut Payload,
) -> Result<(), InstallError> {
    let before = payload.files.len() + payload.empty_folders.len();
    for Listed { name, entry } in disk.list(&root.at(folder))? {
        if folder.is_empty() && name.to_str().is_some_and(names::is_reserved) {
            continue;
        }
        let path = path_of(disk, root, folder, name.as_encoded_bytes())?;
        if path.is_litter() {
            continue;
        }
        match entry.kind {
            Kind::Folder => walk(disk, root, path.as_str(), payload)?,
            Kind::File => payload.files.push(PayloadFile {
                path,
                bytes: entry.stamp.size,
                executable: entry.executable,
            }),
            kind => {
                return Err(InstallError::NotInstallable {
                    path: disk.shown(&root.payload(&path)),
                    fault: ContentFault::Kind(kind),
                });
            }
        }
    }
    if payload.files.len() + payload.empty_folders.len() == before && !folder.is_empty() {
        payload
            .empty_folders
            .push(path_of(disk, root, "", folder.as_bytes())?);
    }
    Ok(())
}

fn path_of<D: Disk>(
    disk: &D,
    root: &GameRoot,
    folder: &str,
    name: &[u8],
) -> Result<GamePath, InstallError> {
    let separator: &[u8] = if folder.is_empty() { b"" } else { b"/" };
    let text = [folder.as_bytes(), separator, name].concat();
    GamePath::from_bytes(&text).map_err(|error| InstallError::NotInstallable {
        path: disk.shown(&root.at(&String::from_utf8_lossy(&text))),
        fault: ContentFault::Path(error),
    })
}
