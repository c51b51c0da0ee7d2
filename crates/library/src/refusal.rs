//! Why a folder of the game directory is not announced.

use std::{error::Error, fmt};

use lanspread_disk::DiskError;
use lanspread_proto::{GameId, GamePath, IdError, ManifestError, PathError, VersionError};

/// A folder that is not announced although it looks like a game, and why; the other folders go on.
#[derive(Debug)]
pub struct Refusal {
    /// The folder's name in the game directory; bytes that are no text are shown as `\u{fffd}`.
    pub folder: String,
    /// What is wrong.
    pub reason: RefusalReason,
}

/// What is wrong with a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The folder's name cannot be a game id.
    #[error("its name cannot be a game id")]
    Id(#[source] IdError),
    /// The folder's name is not UTF-8.
    #[error("its name is not UTF-8")]
    NameNotText,
    /// Another folder has the same name but for letter case; neither is announced, since on some systems
    /// they would be one.
    #[error("its name and that of \"{other}\" differ only in letter case")]
    SameName {
        /// The other folder.
        other: GameId,
    },
    /// The catalog knows this id in another letter case.
    #[error("the catalog spells its name \"{catalog}\"")]
    OtherSpelling {
        /// The id in the catalog.
        catalog: GameId,
    },
    /// The folder is a link; payloads are not reached through links.
    #[error("it is a link")]
    LinkedFolder,
    /// The sentinel is there and is not a regular file.
    #[error("its version.ini is {found}, not a regular file")]
    SentinelKind {
        /// What it is: `"a folder"`, `"a link"`, `"a device or pipe"`.
        found: &'static str,
    },
    /// The sentinel has more bytes than a manifest may carry.
    #[error("its version.ini has more than {limit} bytes")]
    SentinelTooLong {
        /// The limit.
        limit: usize,
    },
    /// The sentinel's first line is not a version.
    #[error("its version.ini names no version")]
    SentinelVersion(#[source] VersionError),
    /// Some system could not store a path of the payload.
    #[error("a path in it cannot be stored on every system")]
    Path(#[source] PathError),
    /// The payload holds something that is neither a file nor a folder.
    #[error("\"{path}\" in it is {found}; a payload holds only files and folders")]
    NotAFile {
        /// Where, from the game root.
        path: String,
        /// What it is: `"a link"`, `"a device or pipe"`.
        found: &'static str,
    },
    /// The payload meets a limit.
    #[error("it cannot be described as a manifest")]
    Manifest(#[source] ManifestError),
    /// The disk refuses to read something in it.
    #[error("something in it cannot be read")]
    Unreadable(#[source] DiskError),
    /// A file that was downloaded is not what was downloaded. `verify --repair` mends it.
    #[error("\"{path}\" was downloaded and {damage}")]
    Damaged {
        /// The first such file or empty folder.
        path: GamePath,
        /// In which way.
        damage: Damage,
    },
}

/// How a downloaded file differs from its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It is gone, or something else stands in its place.
    Missing,
    /// It has another size.
    Size {
        /// The manifest's bytes.
        expected: u64,
        /// The bytes on disk.
        actual: u64,
    },
    /// Its content has another hash.
    Content,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Size { expected, actual } => {
                write!(f, "has {actual} bytes instead of {expected}")
            }
            Self::Content => f.write_str("has other content now"),
        }
    }
}

impl Refusal {
    pub(crate) fn new(folder: impl fmt::Display, reason: RefusalReason) -> Self {
        Self {
            folder: folder.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Refusal {
    /// The folder, the reason and all its causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not announced: {}", self.folder, self.reason)?;
        let mut cause = self.reason.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl PartialEq for Refusal {
    /// Two refusals are one if a person could not tell them apart.
    fn eq(&self, other: &Self) -> bool {
        self.folder == other.folder && self.to_string() == other.to_string()
    }
}

impl Eq for Refusal {}

#[cfg(test)]
mod tests {
    use lanspread_proto::limits::LimitExceeded;

    use super::*;

    fn path_error() -> PathError {
        "a:b".parse::<GamePath>().unwrap_err()
    }

    #[test]
    fn every_reason_says_what_is_wrong_and_where() {
        let limit = LimitExceeded {
            what: "manifest entries",
            actual: 2,
            limit: 1,
        };
        let path: GamePath = "maps/a.bsp".parse().unwrap();
        let damaged = |damage| RefusalReason::Damaged {
            path: path.clone(),
            damage,
        };
        let reasons = [
            (
                RefusalReason::Id("NUL".parse::<GameId>().unwrap_err()),
                "\"NUL\" cannot be a game id",
            ),
            (RefusalReason::NameNotText, "not UTF-8"),
            (
                RefusalReason::SameName {
                    other: "doom".parse().unwrap(),
                },
                "that of \"doom\" differ",
            ),
            (
                RefusalReason::OtherSpelling {
                    catalog: "doom".parse().unwrap(),
                },
                "spells its name \"doom\"",
            ),
            (RefusalReason::LinkedFolder, "it is a link"),
            (
                RefusalReason::SentinelKind { found: "a folder" },
                "version.ini is a folder",
            ),
            (
                RefusalReason::SentinelTooLong { limit: 4096 },
                "more than 4096 bytes",
            ),
            (
                RefusalReason::SentinelVersion(VersionError::Empty),
                "the version is empty",
            ),
            (RefusalReason::Path(path_error()), "\"a:b\""),
            (
                RefusalReason::NotAFile {
                    path: "x/y".into(),
                    found: "a link",
                },
                "\"x/y\" in it is a link",
            ),
            (
                RefusalReason::Manifest(limit.into()),
                "manifest entries is 2, the limit is 1",
            ),
            (
                damaged(Damage::Missing),
                "\"maps/a.bsp\" was downloaded and is missing",
            ),
            (
                damaged(Damage::Size {
                    expected: 2,
                    actual: 1,
                }),
                "has 1 bytes instead of 2",
            ),
            (damaged(Damage::Content), "has other content now"),
        ];
        for (reason, expected) in reasons {
            let shown = Refusal::new("Doom", reason).to_string();
            assert!(shown.starts_with("\"Doom\" is not announced: "), "{shown}");
            assert!(shown.contains(expected), "{shown} lacks {expected}");
        }
    }

    #[test]
    fn an_unreadable_thing_is_named_by_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = lanspread_disk::RealDisk::open(&missing)
            .map(drop)
            .unwrap_err();
        let shown = Refusal::new("Doom", RefusalReason::Unreadable(error)).to_string();
        assert!(shown.contains(missing.to_str().unwrap()), "{shown}");
    }
}
