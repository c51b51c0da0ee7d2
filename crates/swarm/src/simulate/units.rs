//! Numbers between whole bytes, seconds and fractions, in one place.

use std::time::Duration;

/// Bytes as a number to divide and to share.
#[expect(
    clippy::cast_precision_loss,
    reason = "every payload and rate is far below 2^52"
)]
pub(super) fn fraction(bytes: u64) -> f64 {
    bytes as f64
}

/// A count as a number to divide by.
pub(super) fn count(things: usize) -> f64 {
    fraction(things as u64)
}

/// Whole bytes of a share.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares are positive and far below 2^52"
)]
pub(super) fn whole(bytes: f64) -> u64 {
    bytes.max(0.0).round() as u64
}

/// How long so many bytes take at a rate in bytes per second; an hour stands for ever.
pub(super) fn time_for(bytes: f64, rate: f64) -> Duration {
    const FOR_EVER: f64 = 3600.0;
    let seconds = if rate > 0.0 { bytes / rate } else { FOR_EVER };
    Duration::from_secs_f64(seconds.clamp(0.0, FOR_EVER))
}
