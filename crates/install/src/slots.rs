//! The reserved folders of a game root: what is there, and what of it is ours.

use lanspread_disk::{Disk, DiskError, Entry, Kind, StateDir, StateError};

use crate::{
    download::remove_folder_if_empty,
    intent::Intent,
    marker::{self, Marker, Proof, RandomId, Role},
    root::{GameRoot, Slot},
};

/// What is under a reserved name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A folder that a transaction of ours made, with its marker if it has one.
    Ours(Option<Marker>),
    /// Anything else: it is left byte for byte.
    Foreign,
}

impl Found {
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// What is at `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Local {
    /// Nothing.
    Absent,
    /// An installed game, with our marker if it still has one.
    Folder(Option<Marker>),
    /// Something that is no installed game, and in the way of one.
    Other,
}

/// One look at a game root.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Whether the game root is a folder.
    pub(crate) root: bool,
    pub(crate) local: Local,
    pub(crate) installing: Found,
    pub(crate) backup: Found,
    pub(crate) trash: Found,
}

impl Slots {
    pub(crate) fn look<D: Disk>(
        disk: &D,
        state: &StateDir<D>,
        root: &GameRoot,
        intent: Option<&Intent>,
    ) -> Result<Self, StateError> {
        if !is_folder(disk.stat(root.path())?) {
            return Ok(Self {
                root: false,
                local: Local::Absent,
                installing: Found::Absent,
                backup: Found::Absent,
                trash: Found::Absent,
            });
        }
        let owner = marker::owner(state)?;
        let found = |slot| find(disk, root, slot, intent, owner.as_ref());
        Ok(Self {
            root: true,
            local: find_local(disk, root, owner.as_ref())?,
            installing: found(Slot::Installing)?,
            backup: found(Slot::Backup)?,
            trash: found(Slot::Trash)?,
        })
    }

    /// Whether nothing here is left from a transaction of ours.
    pub(crate) const fn are_quiet(&self) -> bool {
        !(self.installing.is_ours()
            || self.backup.is_ours()
            || self.trash.is_ours()
            || matches!(self.local, Local::Folder(Some(_))))
    }

    /// The paths under reserved names that are not ours.
    pub(crate) fn foreign(&self, root: &GameRoot) -> Vec<String> {
        let found = [&self.installing, &self.backup, &self.trash];
        let slots = Slot::ALL.into_iter().zip(found);
        let slots = slots.filter(|(_, found)| **found == Found::Foreign);
        let local = (self.local == Local::Other).then(|| root.local());
        local
            .into_iter()
            .chain(slots.map(|(slot, _)| root.slot(slot)))
            .collect()
    }
}

const fn is_folder(entry: Option<Entry>) -> bool {
    matches!(
        entry,
        Some(Entry {
            kind: Kind::Folder,
            ..
        })
    )
}

fn find_local<D: Disk>(
    disk: &D,
    root: &GameRoot,
    owner: Option<&RandomId>,
) -> Result<Local, DiskError> {
    let path = root.local();
    let entry = disk.stat(&path)?;
    if entry.is_none() {
        return Ok(Local::Absent);
    }
    if !is_folder(entry) {
        return Ok(Local::Other);
    }
    Ok(Local::Folder(match marker::read(disk, &path, owner)? {
        Proof::Ours(marker) => Some(marker),
        Proof::Nothing | Proof::Foreign => None,
    }))
}

fn find<D: Disk>(
    disk: &D,
    root: &GameRoot,
    slot: Slot,
    intent: Option<&Intent>,
    owner: Option<&RandomId>,
) -> Result<Found, DiskError> {
    let path = root.slot(slot);
    let entry = disk.stat(&path)?;
    if entry.is_none() {
        return Ok(Found::Absent);
    }
    if !is_folder(entry) {
        return Ok(Found::Foreign);
    }
    let is_made = intent.is_some_and(|intent| intent.makes(slot));
    Ok(match marker::read(disk, &path, owner)? {
        Proof::Ours(marker) => Found::Ours(Some(marker)),
        Proof::Nothing if is_made => Found::Ours(None),
        // The marker goes before its folder does; what holds nothing can be nobody's game.
        Proof::Nothing if slot != Slot::Backup && disk.list(&path)?.is_empty() => Found::Ours(None),
        Proof::Nothing | Proof::Foreign => Found::Foreign,
    })
}

/// Deletes a folder of ours: its content, then its marker, then itself. The caller syncs the root
/// before anything that proves whose it was goes.
pub(crate) fn throw_away<D: Disk>(
    disk: &D,
    root: &GameRoot,
    slot: Slot,
    marked: Option<&Marker>,
    unmarked: impl FnOnce() -> Result<Option<Marker>, StateError>,
) -> Result<(), StateError> {
    let path = root.slot(slot);
    if marked.is_none()
        && !disk.list(&path)?.is_empty()
        && let Some(marker) = unmarked()?
    {
        mark_if_there_is_room(disk, &path, &marker)?;
    }
    disk.remove_content(&path, lanspread_proto::names::OWNED_MARKER_NAME)?;
    // What is left of it must never be without its marker.
    disk.sync_folder(&path)?;
    marker::remove(disk, &path)?;
    Ok(remove_folder_if_empty(disk, &path)?)
}

/// Deleting is what makes room on a full disk; the intent proves enough.
fn mark_if_there_is_room<D: Disk>(disk: &D, path: &str, marker: &Marker) -> Result<(), DiskError> {
    match mark(disk, path, marker) {
        Err(error) if error.is_out_of_space() => Ok(()),
        marked => marked,
    }
}

/// Marks a folder durably.
pub(crate) fn mark<D: Disk>(disk: &D, path: &str, marker: &Marker) -> Result<(), DiskError> {
    marker::write(disk, path, marker)?;
    disk.sync_folder(path)
}

/// A marker for a folder that an intent's transaction made.
pub(crate) fn marker_by<D: Disk>(
    state: &StateDir<D>,
    intent: Option<&Intent>,
    role: Role,
) -> Result<Option<Marker>, StateError> {
    let Some(transaction) = intent.and_then(Intent::transaction) else {
        return Ok(None);
    };
    Ok(Some(Marker {
        owner: marker::owner_or_new(state)?,
        transaction: transaction.clone(),
        role,
        version: None,
    }))
}
