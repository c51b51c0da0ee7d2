//! [`walk`]: all entries of all archives, one after the other.

use std::sync::{Arc, atomic::AtomicBool};

use lanspread_install::{ArchiveFile, Totals, UnpackError};

use crate::{
    driver::{self, Driver},
    error::Problem,
    guard::Guard,
    input::Watch,
    limits::ArchiveLimits,
    sink::EntrySink,
};

/// Hands every entry of these archives to `sink`, in the given order and in archive order, each with its
/// bytes as they are decoded. All archives are opened before the first entry.
///
/// `Ok` means that everything was handed over and was what its checksums are of. Ends within a second
/// after `cancelled` is raised, with [`StagingError::Cancelled`](lanspread_install::StagingError::Cancelled).
///
/// # Errors
/// [`UnpackError`]; what the sink has got by then counts for nothing.
pub fn walk(
    archives: &[ArchiveFile],
    limits: &ArchiveLimits,
    cancelled: &Arc<AtomicBool>,
    sink: &mut dyn EntrySink,
) -> Result<(), UnpackError> {
    walk_by(archives, limits, cancelled, sink, |driver, guard| {
        driver
            .walk(guard)
            .map_err(|problem| (problem, guard.entry()))
    })
}

/// The same, where `take` hands over the entries of one archive; its error names the entry at hand.
pub(crate) fn walk_by(
    archives: &[ArchiveFile],
    limits: &ArchiveLimits,
    cancelled: &Arc<AtomicBool>,
    sink: &mut dyn EntrySink,
    take: impl Fn(Box<dyn Driver>, &mut Guard<'_>) -> Result<(), (Problem, Option<String>)>,
) -> Result<(), UnpackError> {
    let watch = Watch::new(Arc::clone(cancelled));
    let opened = open_all(archives, limits, &watch)?;
    sink.expect(totals(&opened))?;
    let mut guard = Guard::new(limits.clone(), watch, sink);
    for (archive, driver) in archives.iter().zip(opened) {
        guard.enter(archive.bytes());
        take(driver, &mut guard).map_err(|(problem, entry)| problem.of(archive, entry))?;
    }
    Ok(())
}

/// Opens archives, each by its content.
fn open_all(
    archives: &[ArchiveFile],
    limits: &ArchiveLimits,
    watch: &Watch,
) -> Result<Vec<Box<dyn Driver>>, UnpackError> {
    let open = |archive: &ArchiveFile| {
        let opened = driver::open(archive, limits, watch).and_then(|driver| {
            limits.check_totals(archive.bytes(), driver.totals())?;
            Ok(driver)
        });
        opened.map_err(|problem| problem.of(archive, None))
    };
    archives.iter().map(open).collect()
}

/// What these archives together hold; `None` once one of them does not tell.
fn totals(opened: &[Box<dyn Driver>]) -> Totals {
    let none = Totals {
        bytes: Some(0),
        files: Some(0),
    };
    opened.iter().fold(none, |sum, driver| {
        let totals = driver.totals();
        Totals {
            bytes: add(sum.bytes, totals.bytes),
            files: add(sum.files, totals.files),
        }
    })
}

fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.saturating_add(b?))
}
