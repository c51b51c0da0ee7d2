//! [`PathError`].

use crate::limits::LimitExceeded;

/// Characters of a path that an error shows.
const SHOWN_CHARS_MAX: usize = 120;

/// Why a text is not a [`GamePath`](super::GamePath), or one cannot lie beside others.
///
/// Paths in it are escaped and cut to 120 characters, so that they are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Not text.
    #[error("the path \"{path}\" is not UTF-8")]
    NotUtf8 {
        /// The refused bytes.
        path: String,
    },
    /// Begins with `/`.
    #[error("the path \"{path}\" is absolute")]
    Absolute {
        /// The refused path.
        path: String,
    },
    /// A component is empty, or the whole path is.
    #[error("the path \"{path}\" has an empty component")]
    EmptyComponent {
        /// The refused path.
        path: String,
    },
    /// A component is `.` or `..`.
    #[error("the path \"{path}\" has a component of dots, which leads elsewhere")]
    Dots {
        /// The refused path.
        path: String,
    },
    /// A character that some system forbids, interprets or does not show.
    #[error("the path \"{path}\" holds {found:?}, which not every system stores and shows")]
    Character {
        /// The refused path.
        path: String,
        /// The first such character.
        found: char,
    },
    /// A component ends with a dot or a space, which Windows drops.
    #[error("the path \"{path}\" has a component that ends with a dot or a space")]
    TrailingDotOrSpace {
        /// The refused path.
        path: String,
    },
    /// A component is the name of a Windows device, whatever follows its first dot.
    #[error("the path \"{path}\" names a Windows device")]
    DeviceName {
        /// The refused path.
        path: String,
    },
    /// A component has the form of an 8.3 short name, which Windows resolves to another file.
    #[error("the path \"{path}\" has the form of an 8.3 short name")]
    ShortName {
        /// The refused path.
        path: String,
    },
    /// Not in Unicode normalisation form C, so that macOS would store it under other bytes.
    #[error("the path \"{path}\" is not in Unicode NFC")]
    NotNfc {
        /// The refused path.
        path: String,
    },
    /// Too long, too deep, or the set has too many folders.
    #[error("the path \"{path}\" meets a limit: {limit}")]
    Limit {
        /// The refused path.
        path: String,
        /// The limit.
        limit: LimitExceeded,
    },
    /// The first component is a name of ours.
    #[error("the path \"{path}\" uses a reserved name")]
    Reserved {
        /// The refused path.
        path: String,
    },
    /// In the set already.
    #[error("the path \"{path}\" comes twice")]
    Duplicate {
        /// The refused path.
        path: String,
    },
    /// Another path in the set has a name that some file systems do not tell from this one.
    #[error("the path \"{path}\" and \"{other}\" are one name on some systems")]
    Collision {
        /// The refused path.
        path: String,
        /// The file or folder that is in the set.
        other: String,
    },
    /// One entry's file is another one's folder.
    #[error("the path \"{path}\" needs \"{other}\" to be both a file and a folder")]
    FileAndFolder {
        /// The refused path.
        path: String,
        /// The file that is a folder.
        other: String,
    },
    /// A folder listed as empty is not.
    #[error("the path \"{path}\" contradicts that the folder \"{other}\" is empty")]
    FolderNotEmpty {
        /// The refused path.
        path: String,
        /// The folder.
        other: String,
    },
}

impl PathError {
    pub(super) fn not_utf8(bytes: &[u8]) -> Self {
        let start = bytes.utf8_chunks().flat_map(|chunk| {
            let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            chunk
                .valid()
                .chars()
                .map(|char| char.escape_debug().to_string())
                .chain(invalid)
        });
        Self::NotUtf8 {
            path: start.take(SHOWN_CHARS_MAX).collect(),
        }
    }

    pub(super) fn reserved(path: &str) -> Self {
        Self::Reserved { path: shown(path) }
    }
}

/// A path as an error shows it.
pub(super) fn shown(path: &str) -> String {
    let mut chars = path.chars();
    let mut text: String = chars
        .by_ref()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}
