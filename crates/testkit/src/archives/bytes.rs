//! Numbers as the formats write them.

/// Appends little-endian numbers, of whatever widths, one after the other.
#[derive(Debug, Default)]
pub(super) struct Record(Vec<u8>);

impl Record {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// RAR 5's number: seven bits per byte, the lowest first.
    pub(super) fn vint(mut self, value: u64) -> Self {
        let mut left = value;
        while left >= 0x80 {
            self.0.push(low_byte(left) | 0x80);
            left >>= 7;
        }
        self.u8(low_byte(left))
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn take(self) -> Vec<u8> {
        self.0
    }
}

pub(super) const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// A length as a field of 16 bits.
pub(super) fn short(length: usize) -> u16 {
    u16::try_from(length).expect("a length of at most 65,535")
}

/// A size as a field of 32 bits; what is larger says so by its largest value.
pub(super) fn word(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
