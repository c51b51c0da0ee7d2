//! Installs, updates and uninstalls by the runtime, over real connections and real folders.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

mod endings;
mod pack;
mod sequences;
mod settings;
mod stories;
