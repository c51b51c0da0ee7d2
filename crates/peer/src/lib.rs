//! The lanspread runtime: finds peers, shows their games, downloads from all of them at once, and
//! serves what is here.
//!
//! ```
//! use lanspread_peer::{PeerConfig, Services, start_peer};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let peer = start_peer(PeerConfig::isolated(dir.path()), Services::default(), None).await?;
//! assert!(peer.games().is_empty());
//! peer.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`PeerRuntimeHandle`] has every verb as a method; an embedder that prefers messages sends
//! [`PeerCommand`]s and reads [`PeerEvent`]s. Long operations are [`Operation`]s: await them, watch
//! their progress, or drop them, which does not cancel. `examples/embed.rs` is a launcher in 30 lines.
//!
//! A download of an archive goes on as its install, once [`Services`] hold an [`Unpacker`]; this crate knows no
//! format. One operation runs on a game at a time, everything else on it is refused as busy, and it goes on
//! being served meanwhile.
//!
//! It promises: a game that is announced was hashed byte by byte; a download commits only verified
//! bytes, and what is installed is the old version or the new one, through a killed process and a cut power
//! ([`lanspread_install`] has the tables); one slow or lying peer costs time, never correctness; a slow
//! subscriber never blocks anybody.
//!
//! It never prints, never reads environment variables, never starts a process or a second runtime. It
//! keeps tasks on the runtime of its caller, and mDNS and file notices one thread each.

#[cfg(test)]
mod adversary;
mod blocking;
mod buffers;
mod choice;
mod command;
mod commands;
mod config;
mod context;
mod download;
mod ears;
mod error;
mod event;
mod exchange;
mod fetch;
mod game_db;
mod handle;
mod home;
mod install;
mod launch;
mod ledger;
mod links;
mod neighbours;
mod operation;
mod operations;
mod party;
mod recovery;
mod remove;
mod runtime;
mod serve;
mod session;
mod shelf;
mod start;
mod stream_install;
mod supervise;
mod throttle;
mod transport;
mod verify;
mod view;

pub use command::{DownloadRequest, PeerCommand, StreamInstallRequest};
pub use config::{DEFAULT_PORT, DiscoveryMode, PeerConfig, RateLimits, Services};
pub use download::DownloadProgressTracker;
pub use error::{ErrorCode, Failure, OperationError, StartError};
pub use event::{
    DistrustReason, EVENTS_BUFFERED_MAX, EventStream, LeaveReason, ManifestOffer, PeerEvent,
    RecoveryFinding,
};
pub use game_db::{Offer, PeerGameDB, RemoteTitle};
pub use handle::PeerRuntimeHandle;
pub use lanspread_install::{
    ArchiveFile, ArchiveReader, StagedFile, Staging, StagingError, StreamInstallFrameSink,
    StreamInstallProvider, StreamedInstallTransaction, Totals, UnpackError, Unpacker, UnsafeEntry,
};
pub use lanspread_library::scan_local_library;
pub use lanspread_mdns::{InterfaceFilter, MemoryNetwork};
pub use lanspread_proto as proto;
pub use ledger::TransferGuard;
pub use operation::{Operation, Progress};
pub use party::{Party, PartyError};
pub use start::start_peer;
pub use view::{
    DownloadSummary, GameDetails, GameFileDescription, GameState, GameView, InstallSummary,
    OperationKind, OperationView, PeerView, Status, VerifySummary,
};
