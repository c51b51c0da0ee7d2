//! The library on real files in temporary folders, one story per module.

#[cfg(test)]
mod lab;
#[cfg(test)]
mod monitor;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod verify;
