//! The transactions, from outside: on a real disk, on one that fails, on one whose power is cut.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod download;
mod errors;
mod power_cut;
mod removal;
mod support;
mod trees;
