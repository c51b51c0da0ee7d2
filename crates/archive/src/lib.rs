//! What is inside an archive: RAR, ZIP, 7z and tar, unpacked safely and fast.
//!
//! [`ArchiveUnpacker`] is the [`Unpacker`](lanspread_install::Unpacker) of an install and the
//! [`StreamInstallProvider`](lanspread_install::StreamInstallProvider) of a streamed one. [`walk`] hands
//! the entries of the same archives to any [`EntrySink`], in archive order, each with its bytes as
//! they are decoded.
//!
//! The libraries below decode, and nothing else: no library chooses a path or opens a file. Every
//! entry of every format passes one guard before anything of it reaches a sink. The promises:
//!
//! * **What an archive is, its content says**, never its name.
//! * **An entry is a file or a folder with a [`GamePath`](lanspread_proto::GamePath).** Links, devices,
//!   names of ours and paths that some system would take for others are refused, and with them the
//!   whole archive. No two entries share a name on any system, over all archives of a game.
//! * **Exactly the declared bytes**, and those of the format's checksum, or an error that names the
//!   archive and the entry. What is declared is held against [`ArchiveLimits`] before a byte of it is
//!   decoded.
//! * **Bounded memory** whatever an entry's size: under 200 MiB besides the archive's dictionary.
//! * **Cancelled within a second**, also in the middle of a large entry.
//!
//! | format | what is read | what is not |
//! |---|---|---|
//! | RAR (feature `rar`) | 4 and 5, solid too | volumes, encryption, links |
//! | ZIP | stored, deflate, deflate64, bzip2, LZMA, zstd, zip64 | volumes, encryption |
//! | 7z | LZMA, LZMA2, `PPMd`, bzip2, deflate, zstd, BCJ filters | encryption, anti-items |
//! | tar | old, ustar, GNU and PAX; plain or in zstd, gzip, xz | sparse files, volumes |
//!
//! Names are taken as the format means them: a leading `./` is dropped, `\` parts folders where
//! Windows tools wrote it (RAR 4, ZIP from FAT and NTFS), and names in another Unicode normal form, as
//! macOS writes them, become NFC. Only then are they held against the rules. Executable bits come from
//! Unix modes; archives from Windows have none. All calls block; nothing here starts a process.

mod driver;
mod error;
mod format;
mod guard;
mod input;
mod limits;
mod names;
mod provider;
mod sink;
mod unpacker;
mod walk;

pub use limits::ArchiveLimits;
pub use sink::{EntryKind, EntryMeta, EntrySink};
pub use unpacker::ArchiveUnpacker;
pub use walk::walk;
