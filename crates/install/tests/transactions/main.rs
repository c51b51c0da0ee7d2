//! The transactions, from outside: on a real disk, on one that fails, on one whose power is cut.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod download;
mod errors;
mod install;
mod install_cuts;
mod install_errors;
mod kill_sweep;
mod migrate;
mod power_cut;
mod real;
mod recovery_table;
mod removal;
mod sequences;
mod staging;
mod streamed;
mod support;
mod trees;
mod unpacker;
