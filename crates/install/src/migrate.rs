//! What older builds left inside game folders, moved to the state directory.
//!
//! Nothing of it is believed or understood here: which version is installed and what was under way is
//! told by other documents now. The files are kept whole for a person who misses something, under
//! `games/<id>/older/`, and `older/` for what belonged to the whole game directory.

use std::path::PathBuf;

use lanspread_disk::{Disk, DiskError, Entry, FileMode, Kind, Listed, StateDir};
use lanspread_proto::GameId;

use crate::{error::describe, root::GameRoot};

/// What older builds kept in a game root.
const GAME_FILES: [&str; 3] = [
    ".lanspread.json",
    ".install_intent.json",
    ".lanspread_index.json",
];

/// What older builds kept in the game directory.
const DIRECTORY_FILES: [&str; 1] = [".lanspread_index.json"];

/// The folder they go to.
const OLDER_FOLDER: &str = "older";

/// A launcher's file is small; what is larger is not one.
const OLDER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of an older build that was found.
#[derive(Debug)]
pub struct Migrated {
    /// Where it was.
    pub path: PathBuf,
    /// Where it is now; after an error it is still where it was.
    pub result: Result<PathBuf, MigrateError>,
}

/// Why a file of an older build was not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// It is none.
    #[error("{} is {}, not a file of an older build", path.display(), describe(*found))]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: Kind,
    },
    /// One of the two disks failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Moves the files of older builds out of the game directory, once and before anything else looks
/// there. A file is durable in its new place before it goes from the old one. Returns what was found;
/// a second run finds nothing, but for what could not be moved.
///
/// A game directory that cannot be listed is one failure, with its own path.
pub fn migrate_older_files<D: Disk>(disk: &D, state: &StateDir<D>) -> Vec<Migrated> {
    let listed = match disk.list("") {
        Ok(listed) => listed,
        Err(error) => {
            return vec![Migrated {
                path: disk.shown(""),
                result: Err(error.into()),
            }];
        }
    };
    let mut found = Vec::new();
    for name in DIRECTORY_FILES {
        found.extend(migrate(disk, state, name, &older_path("", name)));
    }
    for game in listed.iter().filter_map(game) {
        let root = GameRoot::new(game.clone());
        for name in GAME_FILES {
            let to = older_path(&format!("games/{game}/"), name);
            found.extend(migrate(disk, state, &root.at(name), &to));
        }
    }
    found
}

fn game(listed: &Listed) -> Option<GameId> {
    let is_folder = listed.entry.kind == Kind::Folder;
    is_folder.then(|| listed.name.to_str()?.parse().ok())?
}

fn older_path(folder: &str, name: &str) -> String {
    format!("{folder}{OLDER_FOLDER}/{}", name.trim_start_matches('.'))
}

fn migrate<D: Disk>(disk: &D, state: &StateDir<D>, from: &str, to: &str) -> Option<Migrated> {
    let result = match disk.stat(from) {
        Ok(None) => return None,
        Ok(Some(Entry {
            kind: Kind::File, ..
        })) => move_file(disk, state, from, to).map_err(MigrateError::from),
        Ok(Some(Entry { kind, .. })) => Err(MigrateError::NotAFile {
            path: disk.shown(from),
            found: kind,
        }),
        Err(error) => Err(error.into()),
    };
    Some(Migrated {
        path: disk.shown(from),
        result,
    })
}

fn move_file<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    from: &str,
    to: &str,
) -> Result<PathBuf, DiskError> {
    let content = disk.read_file(from, OLDER_BYTES_MAX)?.unwrap_or_default();
    let mut place = to.to_owned();
    let mut again = 1_u32;
    loop {
        match state.disk().read_file(&place, OLDER_BYTES_MAX)? {
            None => {
                state.write(&place, &content, FileMode::Plain)?;
                break;
            }
            // An earlier run died between the two steps.
            Some(there) if there == content => break,
            Some(_) => {
                again += 1;
                place = format!("{to}-{again}");
            }
        }
    }
    disk.remove_file(from)?;
    disk.sync_folder(from.rsplit_once('/').map_or("", |(folder, _)| folder))?;
    Ok(state.disk().shown(&place))
}
