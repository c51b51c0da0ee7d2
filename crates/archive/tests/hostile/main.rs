//! Archives that an attacker would send, through the real unpacker and the real install transaction.
//!
//! `cases` is the table: one glance shows what each format answers to each case. What is too large, too
//! many or too random for a row of it has a module of its own.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests look at the disk from outside, tell seeds and costs, and their helpers fail the test"
)]

mod bombs;
mod cases;
mod cut;
mod lab;
mod mutations;
mod paths;
mod verdict;
