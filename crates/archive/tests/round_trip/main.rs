//! Archives of real tools through the real unpacker and the real install transaction, compared byte for
//! byte with what was packed.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at the disk from outside, their helpers fail the test"
)]

mod big;
mod game;
mod tools;
mod trees;
#[cfg(feature = "rar")]
mod winrar;
