//! Whose a reserved folder is: the marker `.lanspread_owned` inside it, and the state directory's id.

use std::{
    io::ErrorKind,
    sync::{Mutex, PoisonError},
};

use lanspread_disk::{
    Disk, DiskError, DiskFile, FileMode, OWNER_NAME, StateDir, StateDocument, StateError,
};
use lanspread_proto::{Version, names::OWNED_MARKER_NAME};
use serde::{Deserialize, Serialize};

/// The format of markers that is written and read.
const MARKER_FORMAT: u32 = 1;

/// A marker is one line; what is longer is not ours.
const MARKER_BYTES_MAX: u64 = 4 * 1024;

/// 128 random bits in hexadecimal: compared, never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RandomId(String);

impl RandomId {
    pub(crate) fn new() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }
}

/// The document `owner.json`: what tells this state directory from all others.
#[derive(Serialize, Deserialize)]
struct Owner {
    owner: RandomId,
}

impl StateDocument for Owner {
    const FORMAT: u32 = 1;
}

/// The owner's id, if there is one that can be read: without it no marker is ours.
pub(crate) fn owner<D: Disk>(state: &StateDir<D>) -> Result<Option<RandomId>, StateError> {
    match state.read_document::<Owner>(OWNER_NAME) {
        Err(error) if error.is_damaged() => Ok(None),
        read => Ok(read?.map(|document| document.owner)),
    }
}

/// The owner's id; made when it is first needed.
pub(crate) fn owner_or_new<D: Disk>(state: &StateDir<D>) -> Result<RandomId, StateError> {
    // Two games that are installed first of all, at once, have one owner.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match state.read_document::<Owner>(OWNER_NAME) {
        Err(error) if error.is_damaged() => drop(state.quarantine(OWNER_NAME)?),
        read => {
            if let Some(Owner { owner }) = read? {
                return Ok(owner);
            }
        }
    }
    let owner = RandomId::new();
    let document = Owner {
        owner: owner.clone(),
    };
    state.write_document(OWNER_NAME, &document)?;
    Ok(owner)
}

/// What a marked folder was made for. It says what a `local/` is that still has a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// A new version: as `local/` it is committed.
    Staging,
    /// The version before: as `local/` it was restored.
    Backup,
    /// On its way out.
    Trash,
}

/// The content of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) owner: RandomId,
    pub(crate) transaction: RandomId,
    pub(crate) role: Role,
    /// The version in the folder, if it is known.
    pub(crate) version: Option<Version>,
}

#[derive(Serialize, Deserialize)]
struct MarkerFile {
    format: u32,
    data: Marker,
}

/// What a folder's marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is of this state directory.
    Ours(Marker),
    /// There is none, or it was cut: that proves nothing.
    Nothing,
    /// It is of somebody else, or of a newer lanspread.
    Foreign,
}

fn marker_path(folder: &str) -> String {
    format!("{folder}/{OWNED_MARKER_NAME}")
}

/// Reads the marker of a folder.
pub(crate) fn read<D: Disk>(
    disk: &D,
    folder: &str,
    owner: Option<&RandomId>,
) -> Result<Proof, DiskError> {
    let text = match disk.read_file(&marker_path(folder), MARKER_BYTES_MAX) {
        Ok(None) => return Ok(Proof::Nothing),
        Ok(Some(text)) => text,
        Err(error) if error.is_wrong_kind() || error.source.kind() == ErrorKind::FileTooLarge => {
            return Ok(Proof::Foreign);
        }
        Err(error) => return Err(error),
    };
    Ok(judge(&text, owner))
}

fn judge(text: &[u8], owner: Option<&RandomId>) -> Proof {
    match serde_json::from_slice::<MarkerFile>(text) {
        Ok(MarkerFile { format, data }) => {
            if format <= MARKER_FORMAT && Some(&data.owner) == owner {
                Proof::Ours(data)
            } else {
                Proof::Foreign
            }
        }
        // Whole, but not as we write it.
        Err(error) if error.is_data() => Proof::Foreign,
        Err(_) => Proof::Nothing,
    }
}

/// Writes the marker of a folder that has none, and syncs it; its name is durable with the folder.
pub(crate) fn write<D: Disk>(disk: &D, folder: &str, marker: &Marker) -> Result<(), DiskError> {
    let path = marker_path(folder);
    let file = MarkerFile {
        format: MARKER_FORMAT,
        data: marker.clone(),
    };
    let text = serde_json::to_vec(&file)
        .map_err(|error| DiskError::new("mark", disk.shown(folder), error.into()))?;
    match disk.remove_file(&path) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let file = disk.create_new(&path, FileMode::Plain)?;
    file.write_all_at(&text, 0)?;
    file.sync()
}

/// Removes the marker of a folder.
pub(crate) fn remove<D: Disk>(disk: &D, folder: &str) -> Result<(), DiskError> {
    match disk.remove_file(&marker_path(folder)) {
        Err(error) if error.is_not_found() => Ok(()),
        removed => removed,
    }
}
