//! What the fuzz targets do with their bytes. Each promise that is asserted here is one of the crate
//! under test; a panic is a finding.

pub mod archive;
pub mod state;
pub mod wire;
