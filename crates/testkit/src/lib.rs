//! A small language for stories about peers: trees of files, peers on loopback, waiting for what must
//! happen; [`archives`] that lie, and an
//! unpacker's ends in memory.
//!
//! ```no_run
//! # async fn story() {
//! use lanspread_testkit::{Lab, tree};
//!
//! let game = tree("doom", "1.0").file("data.pak", 3_000_000).empty_folder("saves");
//! let lab = Lab::new();
//! let source = lab.peer("source").has(&game).start().await;
//! let receiver = lab.peer("receiver").knows(&source).start().await;
//! receiver.downloads("doom").await;
//! game.assert_in(&receiver.game_dir());
//! # }
//! ```
//!
//! It never waits for a fixed time and never uses a fixed port. Never published; for tests only, so it
//! panics with the reason where a test has to fail.

pub mod archives;
#[cfg(feature = "lab")]
mod lab;
mod staging;
mod tree;

#[cfg(feature = "lab")]
pub use lab::{Lab, PeerSetup, TestPeer, eventually};
pub use staging::{Content, MemoryStaging, archive_in_memory};
pub use tree::{GameTree, bytes, tree};
