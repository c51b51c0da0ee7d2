//! Streamed installs between peers over real QUIC: one expands, the other installs what arrives.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

mod endings;
mod provider;
mod queue;
mod stories;
