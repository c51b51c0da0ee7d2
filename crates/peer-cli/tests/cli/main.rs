//! The program as scripts and people meet it: real processes, pipes, folders and exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod attach;
mod demo;
mod install;
mod lab;
mod shell;
#[cfg(unix)]
mod stream;
mod transfer;
mod usage;
