//! The one door to the disk.
//!
//! No other crate of lanspread touches a file system: they call the verbs of [`Disk`], whose paths
//! are relative to one open folder. The crate promises three things.
//!
//! * **Nothing outside the folder.** A path is plain components under the folder that was opened;
//!   no absolute path, no `..`, and no symbolic link is followed anywhere on the way.
//! * **Durable when it says so.** [`Disk::sync_files`], [`Disk::sync_folder`] and
//!   [`Disk::write_atomic`] return after the disk has it. A failed sync is never tried again: the
//!   kernel reports such an error once, so a second attempt would lie.
//! * **Every error names its path** and the verb that failed ([`DiskError`]).
//!
//! It never prints, keeps no threads, and has no opinion about games: what the verbs are used for,
//! and in which order, is the business of the crates above.
//!
//! * [`RealDisk`]: folders of this machine. [`twin`]: the same verbs in memory, recorded, failing on
//!   purpose, or with the power cut.
//! * [`hash_payload_file`]: a file's hash and its chunks' hashes in one pass.
//! * [`StateDir`]: the documents that outlive the process. [`DirLock`]: one process per folder.
//! * [`ambient`]: the few files that a person names by a path of the whole machine.

pub mod ambient;
mod entry;
mod error;
mod hashing;
mod lock;
mod real;
mod state;
pub mod twin;
mod verbs;

pub use entry::{Entry, FileMode, FileStamp, Kind, Listed, Space};
pub use error::DiskError;
pub use hashing::{
    FileHashes, HASH_PIECE_BYTES, HashError, hash_chunk_at, hash_payload_file, piece_buffer,
};
pub use lock::{DirLock, GAME_DIR_LOCK_NAME, Holder, LockError, STATE_DIR_LOCK_NAME};
pub use real::{RealDisk, RealFile};
pub use state::{
    CHUNKS_NAME, CONTROL_SOCKET_NAME, DOWNLOAD_NAME, IDENTITY_FOLDER, INSTALL_INTENT_NAME,
    INSTALLED_NAME, LAUNCH_SETTINGS_NAME, LIBRARY_INDEX_NAME, MANIFEST_NAME, OWNER_NAME, StateDir,
    StateDocument, StateError, StoredPayload,
};
pub use verbs::{Disk, DiskFile};
