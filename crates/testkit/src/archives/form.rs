//! [`Form`]: all builders under one roof.

use super::{
    blob::Blob,
    entry::{Entry, EntryKind},
    rar4::Rar4Builder,
    rar5::Rar5Builder,
    seven_z::{Coder, SevenZBuilder},
    tar::TarBuilder,
    wrap::Wrap,
    zip::ZipBuilder,
};

/// A format in one of its ways to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the formats'")]
pub enum Form {
    Zip,
    ZipDeflated,
    SevenZ,
    SevenZDeflated,
    SevenZLzma2,
    Rar4,
    Rar5,
    Tar,
    TarZst,
    TarGz,
    TarXz,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 11] = [
        Self::Zip,
        Self::ZipDeflated,
        Self::SevenZ,
        Self::SevenZDeflated,
        Self::SevenZLzma2,
        Self::Rar4,
        Self::Rar5,
        Self::Tar,
        Self::TarZst,
        Self::TarGz,
        Self::TarXz,
    ];

    /// An archive of these entries; `None` if the format cannot express one of them.
    pub fn pack<'e>(self, entries: impl IntoIterator<Item = &'e Entry>) -> Option<Blob> {
        let mut entries = entries
            .into_iter()
            .map(|entry| self.says(entry).then_some(entry));
        Some(match self {
            Self::Zip => entries
                .try_fold(ZipBuilder::new(), |zip, entry| Some(zip.entry(entry?)))?
                .build(),
            Self::ZipDeflated => entries
                .try_fold(ZipBuilder::new(), |zip, entry| Some(zip.deflated(entry?)))?
                .build(),
            Self::SevenZ | Self::SevenZDeflated | Self::SevenZLzma2 => entries
                .try_fold(
                    SevenZBuilder::new().coder(self.coder()),
                    |seven_z, entry| Some(seven_z.entry(entry?)),
                )?
                .build(),
            Self::Rar4 => entries
                .try_fold(Rar4Builder::new(), |rar, entry| Some(rar.entry(entry?)))?
                .build(),
            Self::Rar5 => entries
                .try_fold(Rar5Builder::new(), |rar, entry| Some(rar.entry(entry?)))?
                .build(),
            Self::Tar | Self::TarZst | Self::TarGz | Self::TarXz => {
                let tar = entries
                    .try_fold(TarBuilder::new(), |tar, entry| Some(tar.entry(entry?)))?
                    .build();
                self.wrap()
                    .map_or_else(|| tar.clone(), |wrap| wrap.pack(&tar))
            }
        })
    }

    /// What parts the folders of a path in it.
    pub const fn separator(self) -> &'static str {
        match self {
            Self::Rar4 => "\\",
            _ => "/",
        }
    }

    /// Whether it is a tar, plain or not.
    pub const fn is_tar(self) -> bool {
        matches!(self, Self::Tar | Self::TarZst | Self::TarGz | Self::TarXz)
    }

    /// Whether long runs of zeros shrink in it.
    pub const fn compresses(self) -> bool {
        !matches!(
            self,
            Self::Zip | Self::SevenZ | Self::Rar4 | Self::Rar5 | Self::Tar
        )
    }

    /// Whether the format can say all that the entry says.
    fn says(self, entry: &Entry) -> bool {
        match self {
            Self::Zip | Self::ZipDeflated => {
                !matches!(entry.kind, EntryKind::HardLink(_) | EntryKind::Copy(_))
            }
            Self::SevenZ | Self::SevenZDeflated | Self::SevenZLzma2 => {
                SevenZBuilder::can_say(entry) && !entry.encrypted
            }
            Self::Rar4 => !matches!(entry.kind, EntryKind::HardLink(_) | EntryKind::Copy(_)),
            Self::Rar5 => true,
            Self::Tar | Self::TarZst | Self::TarGz | Self::TarXz => {
                !matches!(entry.kind, EntryKind::Copy(_)) && !entry.encrypted && !entry.damaged
            }
        }
    }

    const fn coder(self) -> Coder {
        match self {
            Self::SevenZDeflated => Coder::Deflate,
            Self::SevenZLzma2 => Coder::Lzma2(1024 * 1024),
            _ => Coder::Copy,
        }
    }

    const fn wrap(self) -> Option<Wrap> {
        match self {
            Self::TarZst => Some(Wrap::Zst),
            Self::TarGz => Some(Wrap::Gz),
            Self::TarXz => Some(Wrap::Xz),
            _ => None,
        }
    }
}
