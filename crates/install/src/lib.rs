//! The only writer of a game root.
//!
//! Everything that changes a game's folder is a transaction here, built from the verbs of
//! [`lanspread_disk::Disk`] in an order that survives a killed process and a cut power:
//!
//! * [`DownloadTransaction`]: the payload in place, chunk by verified chunk, and then the sentinel.
//! * [`discard_partial`]: takes back what an interrupted download wrote.
//! * [`install`]: unpacks what is downloaded, or copies it, beside what is installed, and puts it in
//!   its place; [`InstallTransaction`] is the same, filled from elsewhere. [`archives`]: what would be
//!   unpacked.
//! * [`uninstall`]: deletes what is installed and keeps what is downloaded.
//! * [`remove_download`]: deletes a game that is not installed.
//! * [`recover`]: finishes or takes back what a crash interrupted; to be run for every game at
//!   start, and for one game before each of its operations.
//! * [`migrate_older_files`]: the one phase before all that.
//!
//! The promise: `version.ini` in a game root means that every byte of the payload was verified
//! against the manifest and is on the disk. While a game is updated in place it has no sentinel; it
//! is partial and says so. `local/`, what people play, is never touched by a download, and a file
//! that no manifest names is never touched by anything but the removal of the whole game. `local/` is
//! the old version or the new one, whole, at any moment; a folder under a reserved name that is not
//! known to be ours is left byte for byte.
//!
//! Nothing here knows the network, the time or tokio; all calls block. One operation per game at a
//! time is the caller's business. What was never verified is never called complete; a sync that
//! failed is never tried again.

mod download;
mod error;
mod install;
mod installed;
mod intent;
mod manifest_tree;
mod marker;
mod migrate;
mod record;
mod recover;
mod remove;
mod room;
mod root;
mod settle;
mod slots;
mod stream;
mod survey;
mod uninstall;
mod unpack;

pub use download::{DownloadRequest, DownloadTransaction, Published, discard_partial};
pub use error::{DownloadError, RecoverError, RemoveError, SentinelFault};
pub use install::{
    ContentFault, InstallControl, InstallError, InstallProgress, InstallRequest, InstallSource,
    InstallTransaction, Installed, archives, install,
};
pub use installed::installed_version;
pub use migrate::{MigrateError, Migrated, migrate_older_files};
pub use recover::{Recovered, RecoveredGame, RecoveredInstall, recover};
pub use remove::remove_download;
pub use stream::{
    ExpandError, ReceiverGone, StreamInstallError, StreamInstallFrameSink, StreamInstallProvider,
    StreamStep, StreamedInstallRequest, StreamedInstallTransaction, WireChannel, WireSource,
    expand,
};
pub use uninstall::{UninstallError, uninstall};
pub use unpack::{
    ArchiveFile, ArchiveReader, StagedFile, Staging, StagingError, Totals, UnpackError, Unpacker,
    UnsafeEntry,
};
