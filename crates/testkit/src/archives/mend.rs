//! Header checksums put right after bytes were changed, so that a change gets past them.

use super::form::Form;

const SEVEN_Z_HEAD: usize = 32;
const RAR5_SIGNATURE: usize = 8;
const RAR4_SIGNATURE: usize = 7;
const TAR_BLOCK: usize = 512;

impl Form {
    /// Gives the headers of a changed archive their checksums again, as far as they can still be found.
    /// Nothing to do in formats whose headers have none, nor inside of a compressed stream.
    pub fn mend(self, archive: &mut [u8]) {
        // Each step ends at the first header that is not wholly there.
        let _ = match self {
            Self::Zip | Self::ZipDeflated | Self::TarZst | Self::TarGz | Self::TarXz => None,
            Self::SevenZ | Self::SevenZDeflated | Self::SevenZLzma2 => mend_seven_z(archive),
            Self::Rar5 => mend_rar5(archive),
            Self::Rar4 => mend_rar4(archive),
            Self::Tar => mend_tar(archive),
        };
    }
}

fn mend_seven_z(archive: &mut [u8]) -> Option<()> {
    let offset = usize::try_from(number(archive, 12, 8)?).ok()?;
    let length = usize::try_from(number(archive, 20, 8)?).ok()?;
    let index = SEVEN_Z_HEAD.checked_add(offset)?;
    let crc = crc32fast::hash(archive.get(index..index.checked_add(length)?)?);
    put(archive, 28, &crc.to_le_bytes())?;
    let crc = crc32fast::hash(archive.get(12..SEVEN_Z_HEAD)?);
    put(archive, 8, &crc.to_le_bytes())
}

fn mend_rar5(archive: &mut [u8]) -> Option<()> {
    let mut at = RAR5_SIGNATURE;
    loop {
        let (length, header) = vint(archive, at + 4)?;
        let end = header.checked_add(usize::try_from(length).ok()?)?;
        let crc = crc32fast::hash(archive.get(at + 4..end)?);
        put(archive, at, &crc.to_le_bytes())?;
        let (_, flags_at) = vint(archive, header)?;
        let (flags, mut next) = vint(archive, flags_at)?;
        if flags & 1 != 0 {
            (_, next) = vint(archive, next)?;
        }
        let data = if flags & 2 == 0 {
            0
        } else {
            vint(archive, next)?.0
        };
        at = end.checked_add(usize::try_from(data).ok()?)?;
    }
}

fn mend_rar4(archive: &mut [u8]) -> Option<()> {
    let mut at = RAR4_SIGNATURE;
    loop {
        let flags = number(archive, at + 3, 2)?;
        let length = usize::try_from(number(archive, at + 5, 2)?.max(7)).ok()?;
        let end = at.checked_add(length)?;
        let crc = crc32fast::hash(archive.get(at + 2..end)?).to_le_bytes();
        put(archive, at, &crc[..2])?;
        let data = if flags & 0x8000 == 0 {
            0
        } else {
            number(archive, at + 7, 4)?
        };
        at = end.checked_add(usize::try_from(data).ok()?)?;
    }
}

fn mend_tar(archive: &mut [u8]) -> Option<()> {
    let mut at = 0_usize;
    loop {
        let header = archive.get_mut(at..at.checked_add(TAR_BLOCK)?)?;
        if header.iter().all(|byte| *byte == 0) {
            return None;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = std::str::from_utf8(&header[124..135]).ok()?;
        let bytes = usize::from_str_radix(digits, 8).ok()?;
        at = at
            .checked_add(TAR_BLOCK)?
            .checked_add(bytes.checked_next_multiple_of(TAR_BLOCK)?)?;
    }
}

fn number(archive: &[u8], at: usize, width: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(archive.get(at..at.checked_add(width)?)?);
    Some(u64::from_le_bytes(bytes))
}

/// RAR 5's number and what comes after it.
fn vint(archive: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, shift) in (0..64).step_by(7).enumerate() {
        let byte = *archive.get(at.checked_add(index)?)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

fn put(archive: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    archive
        .get_mut(at..at.checked_add(bytes.len())?)?
        .copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{super::entry::Entry, *};

    /// Checksums spoilt and mended are those that the builders wrote.
    #[test]
    fn what_the_builders_wrote_is_mended_to_itself() {
        let entries = [
            Entry::folder("folder"),
            Entry::symlink("link", "folder"),
            Entry::file("folder/file", "content"),
        ];
        for (form, spoilt) in [
            (Form::SevenZ, vec![8, 28]),
            (Form::Rar5, vec![8]),
            (Form::Rar4, vec![7, 20]),
            (Form::Tar, vec![148, 512 + 149]),
        ] {
            let archive = form.pack(&entries).expect("all can be said").to_vec();
            let mut changed = archive.clone();
            for at in spoilt {
                changed[at] = changed[at].wrapping_add(1);
            }
            assert!(changed != archive, "{form:?}");
            form.mend(&mut changed);
            assert!(changed == archive, "{form:?}");
        }
    }
}
