//! What the crate promises besides safety: what each format means, what a walk yields, where the limits
//! are, and how it stops.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at the system from outside, their helpers fail the test"
)]

mod formats;
mod limits;
mod order;
mod stop;
mod support;
