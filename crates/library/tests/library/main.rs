//! The library on real files in temporary folders, one story per module.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

#[cfg(test)]
mod hold;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod monitor;
#[cfg(test)]
mod quit;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod verify;
