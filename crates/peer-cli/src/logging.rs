//! Logs go to standard error, so that standard output is for answers alone.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// The environment variable with a filter such as `lanspread_peer=debug`; it wins over `-v`.
const VARIABLE: &str = "LANSPREAD_LOG";

/// Starts logging: `verbose` is the number of `-v`.
///
/// # Errors
/// The filter in the environment does not parse.
pub(crate) fn start(verbose: u8) -> Result<()> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) => EnvFilter::try_new(&filter)
            .with_context(|| format!("{VARIABLE} is not a log filter: {filter:?}"))?,
        Err(_) => EnvFilter::new(level(verbose)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // Somebody who started logging before us, such as a test, knows better.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Ours speaks up from warnings on, the libraries below only when something is really wrong.
const fn level(verbose: u8) -> &'static str {
    match verbose {
        0 => "error,lanspread=warn",
        1 => "warn,lanspread=info",
        2 => "info,lanspread=debug",
        _ => "debug,lanspread=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_filter() {
        for verbose in 0..=4 {
            assert!(EnvFilter::try_new(level(verbose)).is_ok(), "{verbose}");
        }
    }
}
