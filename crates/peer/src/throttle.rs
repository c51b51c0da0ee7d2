//! Rate limits on payload bytes, for everyone together; they hold on the LAN too.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::Mutex;

/// What one token of the bucket stands for; keeps 4 TB/s within a `u32`.
const TOKEN_BYTES: u64 = 1024;

/// The bucket holds this much of a second, so that a limit is met in every short interval as well.
const BURST_FRACTION: u32 = 8;

/// A token bucket, or no limit at all. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttle(Option<Arc<Bucket>>);

#[derive(Debug)]
struct Bucket {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    burst: NonZeroU32,
    /// Who passes now. In turn: were everyone served a little at a time, a low limit would keep all
    /// waiting for longer than a receiver waits for a byte, and nothing would ever arrive.
    turn: Mutex<()>,
}

impl Throttle {
    /// A limit in bytes per second; rounded up to a kibibyte, so that zero still lets a trickle through.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self(bytes_per_second.map(|rate| {
            let tokens = u32::try_from(rate.div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX);
            let rate = NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN);
            let burst = NonZeroU32::new(tokens / BURST_FRACTION).unwrap_or(NonZeroU32::MIN);
            let limiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
            Arc::new(Bucket {
                limiter,
                clock: DefaultClock::default(),
                burst,
                turn: Mutex::default(),
            })
        }))
    }

    /// Waits until `bytes` may pass.
    pub(crate) async fn pass(&self, bytes: u64) {
        let Some(bucket) = &self.0 else { return };
        let _turn = bucket.turn.lock().await;
        let mut tokens = u32::try_from(bytes.div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX);
        while let Some(wanted) = NonZeroU32::new(tokens.min(bucket.burst.get())) {
            match bucket.limiter.check_n(wanted) {
                Ok(Ok(())) => tokens -= wanted.get(),
                Ok(Err(not_yet)) => {
                    tokio::time::sleep(not_yet.wait_time_from(bucket.clock.now())).await;
                }
                // Never: `wanted` is at most the burst. Waiting is the safe answer.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test]
    async fn a_limit_holds_over_a_short_interval() {
        let throttle = Throttle::new(Some(1024 * 1024));
        let start = Instant::now();
        for _ in 0..4 {
            throttle.pass(128 * 1024).await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }

    #[tokio::test]
    async fn whoever_came_first_passes_first() {
        let throttle = Throttle::new(Some(1024 * 1024));
        let start = Instant::now();
        let pass = || async {
            throttle.pass(512 * 1024).await;
            start.elapsed()
        };
        let (first, second, third) = tokio::join!(pass(), pass(), pass());
        assert!(first * 2 < third, "{first:?} {second:?} {third:?}");
    }

    #[tokio::test]
    async fn no_limit_never_waits() {
        let throttle = Throttle::new(None);
        timeout(Duration::from_secs(5), throttle.pass(u64::MAX))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn the_smallest_limit_still_lets_a_token_pass() {
        let throttle = Throttle::new(Some(0));
        timeout(Duration::from_secs(5), throttle.pass(1))
            .await
            .unwrap();
    }
}
