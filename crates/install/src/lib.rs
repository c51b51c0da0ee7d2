//! The only writer of a game root.
//!
//! Everything that changes a game's folder is a transaction here, built from the verbs of
//! [`lanspread_disk::Disk`] in an order that survives a killed process and a cut power:
//!
//! * [`DownloadTransaction`]: the payload in place, chunk by verified chunk, and then the sentinel.
//! * [`discard_partial`]: takes back what an interrupted download wrote.
//! * [`remove_download`]: deletes a game that is not installed.
//! * [`recover`]: finishes or takes back what a crash interrupted; to be run for every game at
//!   start, and for one game before each of its operations.
//!
//! The promise: `version.ini` in a game root means that every byte of the payload was verified
//! against the manifest and is on the disk. While a game is updated in place it has no sentinel; it
//! is partial and says so. `local/`, what people play, is never touched by a download, and a file
//! that no manifest names is never touched by anything but the removal of the whole game.
//!
//! Nothing here knows the network, the time or tokio; all calls block. One operation per game at a
//! time is the caller's business. What was never verified is never called complete; a sync that
//! failed is never tried again.

mod download;
mod error;
mod intent;
mod manifest_tree;
mod record;
mod recover;
mod remove;
mod root;
mod survey;

pub use download::{DownloadRequest, DownloadTransaction, Published, discard_partial};
pub use error::{DownloadError, RecoverError, RemoveError, SentinelFault};
pub use recover::{Recovered, RecoveredGame, recover};
pub use remove::remove_download;
