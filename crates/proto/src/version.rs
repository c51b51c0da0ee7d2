//! A game's version: one short line, with an order in which `1.10` is newer than `1.9`.

use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// 1 to [`limits::VERSION_BYTES_MAX`] printable ASCII characters without spaces at either end.
///
/// The order is total: runs of digits compare as numbers, whatever their length, everything else as
/// bytes; texts that are equal in this way (`1.0` and `1.00`) compare as bytes at last.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Arc<str>);

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Nothing but white space.
    #[error("the version is empty")]
    Empty,
    /// More bytes than [`limits::VERSION_BYTES_MAX`].
    #[error(
        "a version has at most {} bytes, this one has {actual}",
        limits::VERSION_BYTES_MAX
    )]
    TooLong {
        /// Its bytes.
        actual: usize,
    },
    /// A character other than printable ASCII.
    #[error("a version is printable ASCII, this one has {found:?}")]
    NotPrintable {
        /// The first such character.
        found: char,
    },
    /// The sentinel is not text at all.
    #[error("the first line is not UTF-8")]
    NotText,
}

impl Version {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version that a sentinel's content names: its first line, trimmed; a byte order mark, which
    /// some editors put there, is no part of it.
    ///
    /// # Errors
    /// [`VersionError`] when that line is not a version.
    pub fn from_sentinel(content: &[u8]) -> Result<Self, VersionError> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let line = content
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        std::str::from_utf8(line)
            .map_err(|_| VersionError::NotText)?
            .trim()
            .parse()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(VersionError::Empty);
        }
        if text.len() > limits::VERSION_BYTES_MAX {
            return Err(VersionError::TooLong { actual: text.len() });
        }
        let outside = |char: &char| !matches!(char, ' '..='~');
        let edge = || text.starts_with(' ') || text.ends_with(' ');
        match text.chars().find(outside) {
            Some(found) => Err(VersionError::NotPrintable { found }),
            None if edge() => Err(VersionError::NotPrintable { found: ' ' }),
            None => Ok(Self(text.into())),
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(self.0.as_bytes(), other.0.as_bytes()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn natural(mut left: &[u8], mut right: &[u8]) -> Ordering {
    loop {
        let order = match (left.first(), right.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (a, b) = (take_number(&mut left), take_number(&mut right));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            (Some(a), Some(b)) => {
                let order = a.cmp(b);
                (left, right) = (&left[1..], &right[1..]);
                order
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the leading digits, without leading zeros, so that the longer number is the larger one.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits
        .iter()
        .position(|digit| *digit != b'0')
        .unwrap_or(digits.len());
    &digits[zeros..]
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_compare_as_numbers_and_the_rest_as_bytes() {
        let ascending = [
            "1",
            "1.2",
            "1.9",
            "1.10",
            "1.10-beta",
            "1.99999999999999999999999",
            "2",
            "20240101",
            "v1",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn leading_zeros_decide_only_at_last() {
        assert!(version("1.01") < version("1.2"));
        assert_ne!(version("1.0").cmp(&version("1.00")), Ordering::Equal);
    }

    #[test]
    fn a_sentinel_gives_its_first_line_trimmed() {
        for content in ["1.5", "1.5\n", "  1.5 \r\nmore", "\u{feff}1.5\n\n"] {
            assert_eq!(
                Version::from_sentinel(content.as_bytes()),
                Ok(version("1.5")),
                "{content:?}"
            );
        }
    }

    #[test]
    fn refusals_name_the_limit() {
        assert_eq!(Version::from_sentinel(b"\n1.5"), Err(VersionError::Empty));
        assert_eq!(
            Version::from_sentinel(b"\xff\xfe1"),
            Err(VersionError::NotText)
        );
        assert!("x".repeat(64).parse::<Version>().is_ok());
        let long = "x".repeat(65).parse::<Version>().unwrap_err();
        assert_eq!(
            long.to_string(),
            "a version has at most 64 bytes, this one has 65"
        );
        assert!(matches!(
            "1\t2".parse::<Version>(),
            Err(VersionError::NotPrintable { found: '\t' })
        ));
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a.]{1,8}", b in "[0-9a.]{1,8}", c in "[0-9a.]{1,8}") {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
