//! The game directory: which of its folders are games.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    sync::Arc,
};

use lanspread_disk::{Disk, DiskError, Kind, Listed, RealDisk, StateDir};
use lanspread_proto::GameId;

use super::folder::{FolderScan, scan_folder};
use crate::{
    catalog::Catalog,
    refusal::{Refusal, RefusalReason},
};

/// What is in the game directory, without a look into any payload.
#[derive(Debug, Default)]
pub struct LocalScan {
    /// The games that the catalog admits and of which something is here.
    pub games: BTreeMap<GameId, FolderScan>,
    /// The folders that cannot be games.
    pub refused: Vec<Arc<Refusal>>,
    /// The folders that are games or may become one: what is worth a watch.
    pub candidates: BTreeSet<GameId>,
}

/// The game directory could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("could not look for games")]
pub struct ScanError(#[source] pub DiskError);

/// Looks at the direct child folders of the game directory: their sentinels, their `local/` and what the state
/// directory knows of unfinished downloads. Loose files and folders with a leading dot are skipped without a
/// word. Blocking; a few system calls per folder.
///
/// # Errors
/// [`ScanError`] if the directory itself cannot be listed; what is wrong with one folder is a [`Refusal`].
pub fn scan_local_library(
    game_dir: &RealDisk,
    state: &StateDir,
    catalog: &Catalog,
) -> Result<LocalScan, ScanError> {
    let mut scan = LocalScan::default();
    let mut refuse = |folder: &dyn std::fmt::Display, reason| {
        scan.refused.push(Arc::new(Refusal::new(folder, reason)));
    };
    let mut by_folded: BTreeMap<String, Vec<GameId>> = BTreeMap::new();
    for Listed { name, entry } in game_dir.list("").map_err(ScanError)? {
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match (entry.kind, parse_id(&name)) {
            (Kind::File | Kind::Other, _) => {}
            (Kind::Link, _) => refuse(&name.display(), RefusalReason::LinkedFolder),
            (Kind::Folder, Err(reason)) => refuse(&name.display(), reason),
            (Kind::Folder, Ok(id)) => by_folded.entry(id.folded()).or_default().push(id),
        }
    }
    for mut alike in by_folded.into_values() {
        alike.sort_unstable();
        match &alike[..] {
            [id] => {
                if let Some(catalog) = catalog.other_spelling(id).cloned() {
                    refuse(id, RefusalReason::OtherSpelling { catalog });
                } else if catalog.admits(id) {
                    scan.candidates.insert(id.clone());
                }
            }
            _ => {
                for (at, id) in alike.iter().enumerate() {
                    let other = alike[(at + 1) % alike.len()].clone();
                    refuse(id, RefusalReason::SameName { other });
                }
            }
        }
    }
    for id in &scan.candidates {
        if let Some(folder) = scan_folder(game_dir, state, id) {
            scan.games.insert(id.clone(), folder);
        }
    }
    Ok(scan)
}

fn parse_id(name: &OsStr) -> Result<GameId, RefusalReason> {
    let text = name.to_str().ok_or(RefusalReason::NameNotText)?;
    text.parse().map_err(RefusalReason::Id)
}
