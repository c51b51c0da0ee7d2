//! What is in the game directory: scan, index, hash, watch.
//!
//! [`Library`] knows every game that exists here in any state, keeps the hashes of the complete ones and
//! notices when the disk changes. Its answer to "what is here" is one [`LibrarySnapshot`]; its answer to
//! "what may be served" is a [`LocalPayload`] per complete game.
//!
//! It promises:
//!
//! * A game is announced (its snapshot entry names a manifest) only while its sentinel is there, every
//!   payload byte was hashed, the catalog admits it and every system could store its paths. What is wrong
//!   with the others is a [`Refusal`] that names the folder and the path.
//! * A restart hashes nothing that did not change: hashes are kept by path, size, modification time and
//!   file id. After a restart games are announced from the index at once; the monitor then looks at every
//!   file, and a server that meets a changed file before that says so with [`Library::changed_on_disk`].
//!   That holds in the middle of hashing too: [`Library::run`] saves the hashes of finished files, and of
//!   finished 32 MiB pieces, when it ends and every [`Timing::save`], which is what a lost process costs.
//! * While a [`Hold`] on a game lives, nothing the monitor finds in its folder is published; what it saw before
//!   the hold ended is not published later either.
//! * A doubt about a file is answered only by bytes that were asked for after it.
//!
//! It never writes into a game's folder, never follows a link and never uses the network. It writes the index
//! and each game's `manifest.json`, `chunks.bin` and, until it is announced, `hashing.bin` in the state directory. [`Library::run`] occupies
//! blocking threads of the caller's tokio runtime for walking and hashing; notify adds one thread of its own.

pub mod catalog;
mod hash;
mod hold;
mod index;
mod library;
mod look;
mod monitor;
mod payload;
mod records;
mod refusal;
mod scan;
mod schedule;
mod snapshot;
mod unfinished;
mod verify;
mod watch;

pub use catalog::{Catalog, CatalogError, CatalogGame};
pub use hold::Hold;
pub use index::IndexError;
pub use library::{Library, LibraryConfig, LibraryError};
pub use payload::{LocalPayload, Origin};
pub use refusal::{Damage, Refusal, RefusalReason};
pub use scan::{FolderScan, LocalScan, ScanError, SentinelScan, scan_local_library};
pub use schedule::Timing;
pub use snapshot::{LibraryEvent, LibrarySnapshot, LocalGame, LocalState};
pub use verify::{BadFile, VerifyError, VerifyReport};
