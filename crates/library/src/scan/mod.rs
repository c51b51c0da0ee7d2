//! Looking at the disk: which games there are, and what each one's payload is. Nothing here remembers.

mod damage;
mod folder;
mod payload;
mod root;
mod walk;

pub use folder::{FolderScan, SentinelScan};
pub use root::{LocalScan, ScanError, scan_local_library};

pub(crate) use folder::{Sentinel, scan_folder};
pub(crate) use payload::{HashesByPath, KnownHashes, PayloadLook, look_at_payload};
