//! [`GroupName`]: which machines share a switch, as an operator says.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// What the machines at one switch are told to be called together: 1 to [`limits::GROUP_NAME_BYTES_MAX`] bytes without
/// control characters or spaces at either end. Two names are one group if they are the same text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

/// Why a text does not name a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupNameError {
    /// Nothing but white space.
    #[error("the group has no name")]
    Empty,
    /// More bytes than [`limits::GROUP_NAME_BYTES_MAX`].
    #[error(
        "a group's name has at most {} bytes, this one has {actual}",
        limits::GROUP_NAME_BYTES_MAX
    )]
    TooLong {
        /// Its bytes.
        actual: usize,
    },
    /// A control character.
    #[error("a group's name has no control characters, this one has {found:?}")]
    Control {
        /// The first such character.
        found: char,
    },
}

impl GroupName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text.chars().find(|char| char.is_control()) {
            _ if text.is_empty() => Err(GroupNameError::Empty),
            _ if text.len() > limits::GROUP_NAME_BYTES_MAX => {
                Err(GroupNameError::TooLong { actual: text.len() })
            }
            Some(found) => Err(GroupNameError::Control { found }),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for GroupName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_text() {
        let longest = "x".repeat(limits::GROUP_NAME_BYTES_MAX);
        for good in ["row 3", "Säle", &longest] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        assert_eq!(" a ".parse::<GroupName>(), "a".parse());
        let refused = [
            (" ", GroupNameError::Empty),
            ("a\nb", GroupNameError::Control { found: '\n' }),
            (
                &format!("{longest}x"),
                GroupNameError::TooLong { actual: 65 },
            ),
        ];
        for (text, error) in refused {
            assert_eq!(text.parse::<GroupName>(), Err(error), "{text:?}");
        }
    }
}
