//! Who and what: [`GameId`], [`PeerId`], [`ManifestId`].

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    hash::{Hash, HashParseError},
    limits,
    path::{self, GamePath, PathError},
};

/// A game: the name of a direct child folder of the game directory.
///
/// One [`GamePath`] component of at most [`limits::GAME_ID_BYTES_MAX`] bytes without a leading dot.
/// Two ids that differ only in letter case are one game on some systems: compare [`GameId::folded`]
/// where that matters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GameId(Arc<str>);

/// Why a text is not a game id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// More bytes than [`limits::GAME_ID_BYTES_MAX`].
    #[error(
        "a game id has at most {} bytes, {text:?} has {actual}",
        limits::GAME_ID_BYTES_MAX
    )]
    TooLong {
        /// The refused text, cut to 80 characters.
        text: String,
        /// Its bytes.
        actual: usize,
    },
    /// Begins with a dot: hidden folders and our own names.
    #[error("a game id does not begin with a dot: {text:?}")]
    LeadingDot {
        /// The refused text.
        text: String,
    },
    /// More than one path component.
    #[error("a game id is the name of one folder, {text:?} is a path")]
    NotOneComponent {
        /// The refused text.
        text: String,
    },
    /// Some system could not store a folder of this name.
    #[error("{text:?} cannot be a game id")]
    Path {
        /// The refused text.
        text: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
}

impl GameId {
    /// The folder's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id with case folded, equal for two ids that a case-insensitive disk would mix up.
    pub fn folded(&self) -> String {
        path::fold(&self.0)
    }
}

impl FromStr for GameId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(80).collect::<String>();
        if text.len() > limits::GAME_ID_BYTES_MAX {
            return Err(IdError::TooLong {
                text: shown(),
                actual: text.len(),
            });
        }
        if text.starts_with('.') && !text.trim_matches('.').is_empty() {
            return Err(IdError::LeadingDot { text: shown() });
        }
        let path: GamePath = text.parse().map_err(|source| IdError::Path {
            text: shown(),
            source,
        })?;
        if path.components().count() != 1 {
            return Err(IdError::NotOneComponent { text: shown() });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for GameId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GameId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Hash);

        impl $name {
            /// An id from the hash that it is.
            pub const fn new(hash: Hash) -> Self {
                Self(hash)
            }

            /// The hash.
            pub const fn hash(&self) -> &Hash {
                &self.0
            }

            /// The first ten digits, for logs.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.short())
            }
        }

        impl FromStr for $name {
            type Err = HashParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

hash_id! {
    /// A machine's identity: BLAKE3 of its certificate's `SubjectPublicKeyInfo`. An address is not one.
    PeerId
}

hash_id! {
    /// One version's exact payload: BLAKE3 of the manifest's canonical bytes.
    ManifestId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_id_is_one_storable_folder_name() {
        for good in ["cnctw", "Age of Empires II", "日本語", "a.b"] {
            assert_eq!(good.parse::<GameId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            ".git",
            "a/b",
            "CON",
            "a:b",
            "x.",
            "local\u{200c}",
        ] {
            assert!(bad.parse::<GameId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_game_id_has_at_most_64_bytes() {
        assert!(
            "x".repeat(limits::GAME_ID_BYTES_MAX)
                .parse::<GameId>()
                .is_ok()
        );
        let error = "x"
            .repeat(limits::GAME_ID_BYTES_MAX + 1)
            .parse::<GameId>()
            .unwrap_err();
        assert!(
            matches!(error, IdError::TooLong { actual: 65, .. }),
            "{error}"
        );
    }

    #[test]
    fn ids_that_differ_in_case_fold_alike() {
        let [a, b] = ["Doom", "dOOM"].map(|text| text.parse::<GameId>().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.folded(), b.folded());
    }

    #[test]
    fn every_error_names_the_thing() {
        let errors = ["x".repeat(65), ".x".into(), "a/b".into(), "NUL".into()]
            .map(|text| text.parse::<GameId>().unwrap_err().to_string());
        assert!(errors[0].contains("at most 64 bytes"), "{errors:?}");
        assert!(
            errors[1].contains("\".x\"") && errors[2].contains("\"a/b\""),
            "{errors:?}"
        );
        assert!(errors[3].contains("\"NUL\""), "{errors:?}");
    }
}
