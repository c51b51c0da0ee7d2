//! What the monitor's blocking tasks do: one look at the game directory, one look at one game.

use std::{ffi::OsString, sync::Arc};

use lanspread_disk::RealDisk;
use lanspread_proto::GameId;

use crate::{
    hash::FileToHash,
    library::{LibraryError, Shared},
    payload::{LocalPayload, PayloadSlot},
    records::{Known, Ticket},
    refusal::RefusalReason,
    scan::{
        FolderScan, HashesByPath, LocalScan, PayloadLook, Sentinel, SentinelScan, look_at_payload,
        scan_folder, scan_local_library,
    },
    watch::Watches,
};

/// The game directory's folders.
pub(crate) struct RootLook {
    pub(crate) scan: LocalScan,
    /// The state of all operations before the look.
    pub(crate) touched_any: u64,
    /// What changed in these before they were watched was not reported.
    pub(crate) newly_watched: Vec<OsString>,
    pub(crate) without_watch: usize,
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
        /// Whether the slot is not the one that the look started from.
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
    },
}

pub(crate) fn look_at_root(
    shared: &Shared,
    watches: &mut Watches,
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
    Ok(RootLook {
        scan,
        touched_any,
        newly_watched,
        without_watch,
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
            SentinelScan::Valid(sentinel) => judge(shared, &ticket, &known, folder, &sentinel),
        },
    };
    GameLook { ticket, verdict }
}

fn judge(
    shared: &Shared,
    ticket: &Ticket,
    known: &Known,
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
    let hashes = HashesByPath {
        previous: previous.as_ref(),
        known: &known.hashes,
    };
    match look_at_payload(id, &root, state, sentinel, hashes) {
        PayloadLook::Changed => Verdict::Changed(folder),
        PayloadLook::Refused(reason) => Verdict::Refused(folder, reason),
        PayloadLook::ToHash { files, bytes } => Verdict::ToHash {
            folder,
            root,
            files,
            bytes,
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
            let changed = slot.is_none();
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

/// Saves a payload for the next start, unless an operation has begun, which will save its own.
fn save(shared: &Shared, ticket: &Ticket, payload: &LocalPayload) {
    if !shared.records().is_current(ticket) {
        return;
    }
    if let Err(error) = shared
        .config
        .state
        .save_payload(&ticket.game, payload.stored())
    {
        shared.report_unsaved(error);
    }
}
