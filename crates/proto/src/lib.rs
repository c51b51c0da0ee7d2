//! The words of lanspread: ids, paths, manifests, messages, the frame codec and every limit.
//!
//! What comes from a peer, an archive or a file is parsed here once, or refused; after that nothing
//! is a `String` or a bare number any more. The crate never opens a file or a socket, never asks the
//! time, and allocates nothing whose size it has not checked against [`limits`].
//!
//! * [`GameId`], [`PeerId`], [`ManifestId`], [`Version`]: values that exist only when they are valid.
//! * [`GamePath`]: a relative path that every operating system can store, and store in one place only.
//! * [`Manifest`]: one version's payload; [`ChunkMap`]: the same payload cut into chunks of 1 MiB.
//! * [`message`]: what peers say; [`frame`]: how it is cut into frames; [`expanded`]: an archive that is
//!   expanded while it is sent.

pub mod chunk;
pub mod expanded;
pub mod frame;
pub mod group;
pub mod hash;
pub mod id;
pub mod limits;
pub mod manifest;
pub mod message;
pub mod names;
pub mod path;
pub mod version;

pub use chunk::{CHUNK_BYTES, ChunkIndex, ChunkMap, ChunkRun, ChunkSet, ChunkSpan};
pub use group::{GroupName, GroupNameError};
pub use hash::Hash;
pub use id::{GameId, IdError, ManifestId, PeerId};
pub use manifest::{FileEntry, Manifest, ManifestError};
pub use path::{GamePath, PathError};
pub use version::{Version, VersionError};
