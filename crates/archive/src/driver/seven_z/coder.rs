//! The coders of a 7z: which method, and the memory it asks for.

use lanspread_proto::limits;

use crate::{error::Problem, limits::ArchiveLimits};

pub(super) const COPY: &[u8] = &[0x00];
pub(super) const LZMA: &[u8] = &[0x03, 0x01, 0x01];
pub(super) const LZMA2: &[u8] = &[0x21];
const PPMD: &[u8] = &[0x03, 0x04, 0x01];
const AES: &[u8] = &[0x06, 0xf1, 0x07, 0x01];

/// One method with its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coder {
    pub(super) id: Vec<u8>,
    pub(super) properties: Vec<u8>,
}

impl Coder {
    /// The dictionary or model that it declares; `None` if it has none, or the properties are not those
    /// of the method.
    pub(super) fn dictionary_bytes(&self) -> Option<u64> {
        match (&*self.id, &*self.properties) {
            (LZMA | PPMD, [_, a, b, c, d, ..]) => Some(u32::from_le_bytes([*a, *b, *c, *d]).into()),
            (LZMA2, [40]) => Some(u32::MAX.into()),
            // Steps of half an octave: 2 and 3 times each power of two.
            (LZMA2, [step @ 0..40]) => Some(u64::from(2 | (step & 1)) << (step / 2 + 11)),
            _ => None,
        }
    }
}

/// Holds the coders of one block against the limits: they all work at once.
pub(super) fn check(coders: &[Coder], limits: &ArchiveLimits) -> Result<(), Problem> {
    if coders.iter().any(|coder| coder.id == AES) {
        return Err(Problem::encrypted());
    }
    let dictionaries = coders.iter().filter_map(Coder::dictionary_bytes);
    let bytes = dictionaries.fold(0, u64::saturating_add);
    Ok(limits::check(
        "bytes of the dictionary",
        bytes,
        limits.dictionary_bytes,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lzma2(property: u8) -> Coder {
        Coder {
            id: LZMA2.to_vec(),
            properties: vec![property],
        }
    }

    #[test]
    fn dictionaries_are_what_the_format_says() {
        for (property, expected) in [
            (0, Some(4 << 10)),
            (1, Some(6 << 10)),
            (24, Some(16 << 20)),
            (36, Some(1 << 30)),
            (37, Some(3 << 29)),
            (40, Some(u64::from(u32::MAX))),
            (41, None),
        ] {
            assert_eq!(lzma2(property).dictionary_bytes(), expected, "{property}");
        }
        let lzma = Coder {
            id: LZMA.to_vec(),
            properties: vec![0x5d, 0, 0, 0, 2],
        };
        assert_eq!(lzma.dictionary_bytes(), Some(32 << 20));
    }

    #[test]
    fn a_dictionary_holds_at_the_limit_and_not_above() {
        let limits = ArchiveLimits::default();
        check(&[lzma2(36)], &limits).unwrap();
        let over = check(&[lzma2(37)], &limits).unwrap_err();
        assert!(matches!(over, Problem::Limit(_)), "{over:?}");
        let together = check(&[lzma2(36), lzma2(0)], &limits).unwrap_err();
        assert!(matches!(together, Problem::Limit(_)), "{together:?}");
    }
}
