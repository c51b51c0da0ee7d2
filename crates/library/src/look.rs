//! What the monitor's blocking tasks do: one look at the game directory, one look at one game.

use std::{ffi::OsString, sync::Arc};

use lanspread_disk::{RealDisk, StateError};
use lanspread_proto::GameId;

use crate::{
    hash::{FileToHash, Hashed},
    library::{LibraryError, Shared},
    payload::{LocalPayload, PayloadSlot},
    records::{Known, Ticket},
    refusal::RefusalReason,
    scan::{
        FolderScan, HashesByPath, KnownHashes, LocalScan, PayloadLook, Sentinel, SentinelScan,
        look_at_payload, scan_folder, scan_local_library,
    },
    unfinished::Encoder,
    watch::Watches,
};

/// The game directory's folders.
pub(crate) struct RootLook {
    pub(crate) scan: LocalScan,
    /// [`Records::touched_any`](crate::records::Records::touched_any) before the look.
    pub(crate) touched_any: u64,
    /// What changed in these before they were watched was not reported.
    pub(crate) newly_watched: Vec<OsString>,
    pub(crate) without_watch: usize,
    /// Whether games that are not here may have left something behind.
    pub(crate) others: bool,
}

/// One game.
pub(crate) struct GameLook {
    /// Drawn before the look.
    pub(crate) ticket: Ticket,
    pub(crate) verdict: Verdict,
}

/// What is in a game's folder.
pub(crate) enum Verdict {
    /// Nothing.
    Gone,
    /// No usable sentinel.
    Bare(FolderScan),
    /// The payload changed under our eyes.
    Changed(FolderScan),
    /// A payload that cannot be announced.
    Refused(FolderScan, RefusalReason),
    /// A payload whose hashes are all known.
    Complete {
        folder: FolderScan,
        slot: Arc<PayloadSlot>,
        /// Whether the index is to be saved: the slot is not the one that the look started from, or something
        /// lies in the state directory that goes when the index is saved.
        changed: bool,
        /// Whether the manifest is another one.
        new: bool,
    },
    /// A payload of which these files must be hashed.
    ToHash {
        folder: FolderScan,
        root: RealDisk,
        files: Vec<FileToHash>,
        bytes: u64,
        /// What an earlier run knew of them, if this look had to ask.
        remembered: Option<Hashed>,
    },
}

pub(crate) fn look_at_root(
    shared: &Shared,
    watches: &mut Watches,
    first: bool,
) -> Result<RootLook, LibraryError> {
    let config = &shared.config;
    watches.watch_root();
    let touched_any = shared.records().touched_any();
    let scan = scan_local_library(&config.game_dir, &config.state, &config.catalog)?;
    let wanted = scan
        .candidates
        .iter()
        .map(|id| OsString::from(id.as_str()))
        .collect();
    let (newly_watched, without_watch) = watches.sync(&wanted);
    let is_here = |id: &GameId| scan.candidates.contains(id) || shared.has_folder(id);
    let others = first && shared.unfinished.look_for_others(&config.state, is_here);
    Ok(RootLook {
        scan,
        touched_any,
        newly_watched,
        without_watch,
        others,
    })
}

pub(crate) fn look_at_game(shared: &Shared, id: &GameId) -> GameLook {
    let records = shared.records();
    let (ticket, known) = (records.ticket(id), records.known(id));
    drop(records);
    let verdict = match scan_folder(&shared.config.game_dir, &shared.config.state, id) {
        None => Verdict::Gone,
        Some(folder) => match folder.sentinel.clone() {
            SentinelScan::Absent | SentinelScan::Refused(_) => Verdict::Bare(folder),
            SentinelScan::Valid(sentinel) => judge(shared, &ticket, known, folder, &sentinel),
        },
    };
    GameLook { ticket, verdict }
}

fn judge(
    shared: &Shared,
    ticket: &Ticket,
    mut known: Known,
    folder: FolderScan,
    sentinel: &Sentinel,
) -> Verdict {
    let (id, state) = (&ticket.game, &shared.config.state);
    let root = match shared.config.game_dir.folder(id.as_str()) {
        Ok(root) => root,
        Err(error) if error.is_not_found() => return Verdict::Changed(folder),
        Err(error) => return Verdict::Refused(folder, RefusalReason::Unreadable(error)),
    };
    let previous = known.slot.as_ref().and_then(|slot| slot.load(id, state));
    let look = |known: &KnownHashes| {
        let previous = previous.as_ref();
        look_at_payload(id, &root, state, sentinel, HashesByPath { previous, known })
    };
    let mut found = look(&known.hashes);
    let mut remembered = None;
    if let PayloadLook::ToHash { files, .. } = &found
        && !known.hashes.is_remembered()
    {
        let hashed = shared.unfinished.load(state, id, files);
        Arc::make_mut(&mut known.hashes).remember(hashed.clone());
        if !hashed.is_empty() {
            found = look(&known.hashes);
        }
        remembered = Some(hashed);
    }
    match found {
        PayloadLook::Changed => Verdict::Changed(folder),
        PayloadLook::Refused(reason) => Verdict::Refused(folder, reason),
        PayloadLook::ToHash { files, bytes } => Verdict::ToHash {
            folder,
            root,
            files,
            bytes,
            remembered,
        },
        PayloadLook::Complete { payload, new } => {
            if new {
                save(shared, ticket, &payload);
            }
            let held = known
                .slot
                .as_ref()
                .filter(|_| known.holds(&payload, sentinel));
            let slot = held.cloned();
            let changed = slot.is_none() || shared.unfinished.is_there(state, id);
            let slot =
                slot.unwrap_or_else(|| Arc::new(PayloadSlot::loaded(payload, sentinel.stamp)));
            Verdict::Complete {
                folder,
                slot,
                changed,
                new,
            }
        }
    }
}

/// Saves a payload for the next start, unless an operation has begun, which will save its own; one that is about
/// to begin waits. The files' stamps are saved before it: the index follows later, and until then it does not go
/// with the new manifest.
fn save(shared: &Shared, ticket: &Ticket, payload: &LocalPayload) {
    let Some(_saving) = shared.begin_saving(ticket) else {
        return;
    };
    let (state, game) = (&shared.config.state, &ticket.game);
    let stamps = shared
        .unfinished
        .store(state, game, encode(payload))
        .map_err(StateError::from);
    if let Err(error) = stamps.and_then(|()| state.save_payload(game, payload.stored())) {
        shared.report_unsaved(error);
    }
}

fn encode(payload: &LocalPayload) -> Encoder {
    let mut encoder = Encoder::default();
    let files = payload.manifest().files().iter().zip(payload.stamps());
    for (at, (file, stamp)) in files.enumerate() {
        if file.size > 0 {
            let chunks = payload.chunks_of(at);
            encoder.file(&file.path, *stamp, std::iter::once((0, chunks)));
        }
    }
    encoder
}
