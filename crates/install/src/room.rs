//! Whether something fits on the disk and leaves the reserve.

use std::io;

use lanspread_disk::{Disk, DiskError};
use lanspread_proto::limits::{RESERVE_BYTES_MIN, RESERVE_FRACTION};

/// The room on a disk.
pub(crate) struct Room {
    free_bytes: u64,
    reserve_bytes: u64,
}

impl Room {
    /// What must be freed so that `wanted_bytes` fit and the reserve stays; 0 if they do.
    pub(crate) const fn missing_bytes(&self, wanted_bytes: u64) -> u64 {
        wanted_bytes
            .saturating_add(self.reserve_bytes)
            .saturating_sub(self.free_bytes)
    }
}

/// The room on the disk of the games; `None` where the system does not tell.
pub(crate) fn room<D: Disk>(
    disk: &D,
    reserve_bytes: Option<u64>,
) -> Result<Option<Room>, DiskError> {
    let space = match disk.free_space() {
        Err(error) if error.source.kind() == io::ErrorKind::Unsupported => return Ok(None),
        told => told?,
    };
    let reserve_bytes = reserve_bytes
        .unwrap_or_else(|| RESERVE_BYTES_MIN.max(space.total_bytes / RESERVE_FRACTION));
    Ok(Some(Room {
        free_bytes: space.free_bytes,
        reserve_bytes,
    }))
}
