//! Paths that come from elsewhere: [`GamePath`], the only way one is written in this program, and
//! [`PathSet`], which decides whether many of them can lie beside each other.
//!
//! The rules are the strictest of all systems together, on each of them: a game that one machine
//! could not store is refused where it could be mended, not where it arrives.

mod error;
pub(crate) mod rules;
mod set;

use std::{fmt, str::FromStr, sync::Arc};

use caseless::Caseless;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

pub use self::{
    error::PathError,
    set::{EntryKind, PathSet},
};
use crate::names;

/// Files that desktops drop into every folder they show; no part of a payload.
pub const LITTER_NAMES: [&str; 10] = [
    ".DS_Store",
    ".AppleDouble",
    ".LSOverride",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".directory",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
];

/// A relative path under a game root, components parted by `/`.
///
/// It is in Unicode NFC and within every limit, and each component means itself on Linux, Windows and
/// macOS: no `.` or `..`, no separator, drive, stream or wildcard character, no device or 8.3 short
/// name, no dot or space at its end, nothing invisible. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamePath(Arc<str>);

impl GamePath {
    /// A path from bytes as a file system or an archive gives them.
    ///
    /// # Errors
    /// [`PathError::NotUtf8`], or what parsing the text says.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        std::str::from_utf8(bytes)
            .map_err(|_| PathError::not_utf8(bytes))?
            .parse()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder it lies in; `None` directly under the game root.
    pub fn parent(&self) -> Option<Self> {
        // A prefix that ends at a separator keeps every rule: all of them are about components or lengths.
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.into()))
    }

    /// The path of `relative`, one or more components, under this one.
    ///
    /// # Errors
    /// [`PathError`] for the joined path.
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        format!("{self}/{relative}").parse()
    }

    /// Refuses a path whose first component is ours or an alias of a name that is.
    ///
    /// # Errors
    /// [`PathError::Reserved`].
    pub fn check_payload_top_level(&self) -> Result<(), PathError> {
        if self.components().next().is_some_and(names::is_reserved) {
            Err(PathError::reserved(&self.0))
        } else {
            Ok(())
        }
    }

    /// Whether its last component is one of [`LITTER_NAMES`] in any letter case.
    pub fn is_litter(&self) -> bool {
        let name = self.file_name();
        LITTER_NAMES
            .iter()
            .any(|litter| litter.eq_ignore_ascii_case(name))
    }
}

impl FromStr for GamePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        rules::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for GamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for GamePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GamePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The text with everything levelled that some file system does not tell apart: two names that fold
/// alike must not lie in one folder.
///
/// Full Unicode case folding over compatibility decomposition; besides, the Turkish letters `ı` and
/// `İ` count as `i`, which they become in some systems' tables. Idempotent; for comparing only.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let levelled = text
        .chars()
        .nfd()
        .default_case_fold()
        .nfkd()
        .default_case_fold()
        .nfkd()
        .map(|char| if char == 'ı' { 'i' } else { char });
    let mut folded = String::with_capacity(text.len());
    for char in levelled {
        let dot_of_i = char == '\u{307}' && folded.ends_with('i');
        if !dot_of_i {
            folded.push(char);
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GamePath {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_comes_apart_and_together() {
        let deep = path("data/maps/de_dust2.bsp");
        assert_eq!(
            deep.components().collect::<Vec<_>>(),
            ["data", "maps", "de_dust2.bsp"]
        );
        assert_eq!(deep.file_name(), "de_dust2.bsp");
        assert_eq!(deep.parent(), Some(path("data/maps")));
        assert_eq!(path("data").parent(), None);
        assert_eq!(path("data/maps").join("de_dust2.bsp"), Ok(deep));
        for bad in ["", "/x", "..", "x/../y", "x/"] {
            assert!(path("data").join(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn litter_is_known_by_its_last_component_alone() {
        for litter in ["thumbs.DB", "a/b/.ds_store", "Desktop.ini"] {
            assert!(path(litter).is_litter(), "{litter}");
        }
        for kept in ["a/thumbs.db.bak", "desktop.ini/a", "x.ini"] {
            assert!(!path(kept).is_litter(), "{kept}");
        }
    }

    #[test]
    fn serde_parses() {
        let json = serde_json::to_string(&path("a/ü")).unwrap();
        assert_eq!(json, "\"a/ü\"");
        assert_eq!(
            serde_json::from_str::<GamePath>(&json).unwrap(),
            path("a/ü")
        );
        let refused = serde_json::from_str::<GamePath>("\"a/../b\"")
            .unwrap_err()
            .to_string();
        assert!(refused.contains("a/../b"), "{refused}");
    }

    #[test]
    fn folding_levels_what_file_systems_mix_up() {
        for (a, b) in [
            ("A", "a"),
            ("é", "e\u{301}"),
            ("straße", "STRASSE"),
            ("ﬁ", "FI"),
            ("İ", "i"),
            ("\u{212a}", "k"),
            ("ſ", "s"),
            ("I", "ı"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("e"), fold("é"));
    }

    #[test]
    fn folding_any_character_twice_changes_nothing_more() {
        for char in '\0'..=char::MAX {
            let once = fold(char.encode_utf8(&mut [0; 4]));
            assert_eq!(fold(&once), once, "{char:?}");
        }
    }
}
