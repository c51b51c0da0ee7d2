//! [`ArchiveLimits`], each with its reason.

use lanspread_install::Totals;
use lanspread_proto::limits::{self, LimitExceeded};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What [`ArchiveLimits::unpacked_bytes`] is a limit of.
pub(crate) const UNPACKED: &str = "bytes that an archive of this size unpacks to";

/// How much an archive may be and make. An error names the limit that it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Files and folders of all archives of a game together: those of a manifest, since an installed
    /// game is a game too.
    pub entries: u64,
    /// Bytes of one file, as the manifest's.
    pub file_bytes: u64,
    /// Bytes of all files of all archives of a game, as the manifest's.
    pub total_bytes: u64,
    /// Bytes of an archive's index (ZIP's central directory, 7z's header, all headers of a RAR), which
    /// the decoders hold in memory. 200,000 entries with paths of 100 characters need 50 MiB in 7z,
    /// whose names are UTF-16.
    pub index_bytes: u64,
    /// Bytes of tar headers before one entry: long names and extended attributes.
    pub entry_header_bytes: u64,
    /// What a decoder may keep in memory to look back at: RAR 5, 7z, and LZMA in ZIP and xz. The largest
    /// that `WinRAR` and 7-Zip offer in their menus is 1 GiB and above; few machines at a party have
    /// more to spare. For zstd the limit is [`ArchiveLimits::ZSTD_WINDOW_BYTES`] if that is smaller.
    pub dictionary_bytes: u64,
    /// What an archive may unpack to whatever its own size.
    pub unpacked_bytes_free: u64,
    /// Bytes that each byte of the archive may unpack to, beyond `unpacked_bytes_free`. Disk images that
    /// are nearly all zeros stay far below 200; deflate's bombs have 1,000, those of LZMA and zstd 10,000
    /// and more.
    pub ratio: u64,
}

impl ArchiveLimits {
    /// The window that zstd's own tool decodes without being asked to (`--long=27`).
    pub const ZSTD_WINDOW_BYTES: u64 = 1 << Self::ZSTD_WINDOW_LOG;

    const ZSTD_WINDOW_LOG: u32 = 27;

    /// The largest window of zstd that is decoded, as a power of two.
    pub(crate) fn zstd_window_log(&self) -> u32 {
        /// What zstd's decoder takes at the least.
        const LOG_MIN: u32 = 10;
        let log = self.dictionary_bytes.checked_ilog2().unwrap_or_default();
        log.clamp(LOG_MIN, Self::ZSTD_WINDOW_LOG)
    }

    /// What the xz decoder may take, in KiB: the dictionary and what the decoder itself needs.
    pub(crate) fn xz_memory_kib(&self) -> u32 {
        const DECODER_KIB: u64 = 104;
        u32::try_from(self.dictionary_bytes / KIB + DECODER_KIB).unwrap_or(u32::MAX - 1)
    }

    /// Holds what an archive says it unpacks to against the limits, before anybody asks for the room.
    pub(crate) fn check_totals(
        &self,
        archive_bytes: u64,
        totals: Totals,
    ) -> Result<(), LimitExceeded> {
        let (files, bytes) = (
            totals.files.unwrap_or_default(),
            totals.bytes.unwrap_or_default(),
        );
        limits::check("entries", files, self.entries)?;
        limits::check("bytes of all files", bytes, self.total_bytes)?;
        limits::check(UNPACKED, bytes, self.unpacked_bytes(archive_bytes))
    }

    /// Bytes that an archive of this size may unpack to.
    pub(crate) fn unpacked_bytes(&self, archive_bytes: u64) -> u64 {
        archive_bytes
            .saturating_mul(self.ratio)
            .saturating_add(self.unpacked_bytes_free)
    }
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries: limits::MANIFEST_ENTRIES_MAX as u64,
            file_bytes: limits::FILE_BYTES_MAX,
            total_bytes: limits::GAME_BYTES_MAX,
            index_bytes: 64 * MIB,
            entry_header_bytes: MIB,
            dictionary_bytes: GIB,
            unpacked_bytes_free: GIB,
            ratio: 200,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_over_the_ratio_and_games_are_not() {
        let limits = ArchiveLimits::default();
        let ten_gib_of_zeros = 10 * GIB > limits.unpacked_bytes(10_000_000);
        assert!(ten_gib_of_zeros);
        let text_of_three_gib_at_a_tenth = 3 * GIB <= limits.unpacked_bytes(300 * MIB);
        assert!(text_of_three_gib_at_a_tenth);
        let save_games_full_of_zeros = GIB <= limits.unpacked_bytes(1);
        assert!(save_games_full_of_zeros);
        let disk_image_with_a_hundredth_used = 40 * GIB <= limits.unpacked_bytes(400 * MIB);
        assert!(disk_image_with_a_hundredth_used);
        assert_eq!(limits.unpacked_bytes(u64::MAX), u64::MAX);
    }
}
