//! One driver per format: walks an archive and hands what it finds to the guard.

#[cfg(feature = "rar")]
mod rar;
mod seven_z;
mod tar;
mod zip;

use std::io::Read;

use lanspread_install::{ArchiveFile, Totals};

use crate::{
    error::Problem,
    format::Format,
    guard::Guard,
    input::{Input, Watch},
    limits::ArchiveLimits,
};

pub(crate) use zip::Zip;

/// Bytes that are decoded and handed over at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An open archive.
pub(crate) trait Driver {
    /// What it says it holds.
    fn totals(&self) -> Totals;

    /// Hands everything to the guard, in archive order.
    fn walk(self: Box<Self>, guard: &mut Guard<'_>) -> Result<(), Problem>;

    /// The archive as a ZIP, whose entries need not be decoded one after the other.
    fn as_zip(&self) -> Option<&Zip> {
        None
    }
}

/// Opens an archive by its content.
pub(crate) fn open(
    archive: &ArchiveFile,
    limits: &ArchiveLimits,
    watch: &Watch,
) -> Result<Box<dyn Driver>, Problem> {
    let input = Input::new(archive, watch);
    Ok(match Format::detect(input.clone(), limits)? {
        Some(Format::Zip) => Box::new(Zip::open(input, limits)?),
        Some(Format::Tar(coat)) => Box::new(tar::Tar::open(input, coat, limits)),
        Some(Format::SevenZ) => Box::new(seven_z::SevenZ::open(input, limits)?),
        #[cfg(feature = "rar")]
        Some(Format::Rar) => Box::new(rar::Rar::open(input, limits)?),
        #[cfg(not(feature = "rar"))]
        Some(Format::Rar) => {
            return Err(Problem::Unsupported("this build reads no RAR".to_owned()));
        }
        None => {
            let what = "it is no archive of a known kind".to_owned();
            return Err(Problem::Unsupported(what));
        }
    })
}

/// Hands all of `reader` to `take` in pieces, all but the last one as large as there is room for: some
/// decoders yield little at a time, and each piece costs a write or a frame.
fn pump(
    reader: &mut dyn Read,
    watch: &Watch,
    piece: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut filled = 0;
    loop {
        watch.check()?;
        match reader.read(&mut piece[filled..]) {
            Ok(0) if filled == 0 => return Ok(()),
            Ok(0) => return take(&piece[..filled]),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(watch.blame(error)),
        }
        if filled == piece.len() {
            take(piece)?;
            filled = 0;
        }
    }
}

/// Room for a piece.
fn piece_buffer() -> Vec<u8> {
    vec![0; PIECE_BYTES]
}
