//! From a name in an archive to a [`GamePath`].

use std::borrow::Cow;

use lanspread_install::UnsafeEntry;
use lanspread_proto::{GamePath, PathError, limits, names};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// How a format writes names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NameStyle {
    /// `\` parts folders besides `/`.
    pub(crate) backslash: bool,
}

/// The path of an entry; `None` for the root itself, which needs no entry.
pub(crate) fn game_path(
    name: &[u8],
    style: NameStyle,
    is_folder: bool,
) -> Result<Option<GamePath>, UnsafeEntry> {
    let Ok(text) = std::str::from_utf8(name) else {
        return GamePath::from_bytes(name)
            .map(Some)
            .map_err(UnsafeEntry::Path);
    };
    let text = if style.backslash && text.contains('\\') {
        Cow::Owned(text.replace('\\', "/"))
    } else {
        Cow::Borrowed(text)
    };
    let mut text = &*text;
    // What `tar cf x.tar .` writes before every name, and tools of other formats too.
    while let Some(rest) = text.strip_prefix("./") {
        text = rest;
    }
    if is_folder {
        if text == "." || (text.is_empty() && !name.is_empty()) {
            return Ok(None);
        }
        text = text.strip_suffix('/').unwrap_or(text);
    }
    let path = composed(text).map_err(UnsafeEntry::Path)?;
    if is_marker(&path) {
        return Err(UnsafeEntry::Reserved);
    }
    Ok(Some(path))
}

fn composed(text: &str) -> Result<GamePath, PathError> {
    // A name that is too long is not worth the work, and parsing it says so.
    if text.len() > 4 * limits::PATH_BYTES_MAX || is_nfc(text) {
        text.parse()
    } else {
        text.nfc().collect::<String>().parse()
    }
}

/// Whether it would lie where the ownership marker does. An archive lands inside `local/`, so the other
/// reserved names are free.
fn is_marker(path: &GamePath) -> bool {
    path.components().next().is_some_and(names::is_owned_marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: NameStyle = NameStyle { backslash: true };
    const PLAIN: NameStyle = NameStyle { backslash: false };

    fn taken(name: &str, style: NameStyle, is_folder: bool) -> String {
        match game_path(name.as_bytes(), style, is_folder) {
            Ok(Some(path)) => path.as_str().to_owned(),
            Ok(None) => "(root)".to_owned(),
            Err(UnsafeEntry::Path(_)) => "(refused)".to_owned(),
            Err(other) => format!("({other})"),
        }
    }

    #[test]
    fn names_mean_what_their_format_means() {
        for (name, style, is_folder, expected) in [
            ("a/b", PLAIN, false, "a/b"),
            ("a/b/", PLAIN, true, "a/b"),
            ("a/b/", PLAIN, false, "(refused)"),
            ("a/b//", PLAIN, true, "(refused)"),
            ("./a", PLAIN, false, "a"),
            ("././a/", PLAIN, true, "a"),
            ("./", PLAIN, true, "(root)"),
            (".", PLAIN, true, "(root)"),
            (".", PLAIN, false, "(refused)"),
            ("./../a", PLAIN, false, "(refused)"),
            (".\\a", WINDOWS, false, "a"),
            (".//a", PLAIN, false, "(refused)"),
            ("a\\b", PLAIN, false, "(refused)"),
            ("a\\b", WINDOWS, false, "a/b"),
            ("a\\", WINDOWS, true, "a"),
            ("..\\a", WINDOWS, false, "(refused)"),
            ("\\a", WINDOWS, false, "(refused)"),
            ("u\u{308}", PLAIN, false, "ü"),
            ("/a", PLAIN, false, "(refused)"),
            ("", PLAIN, true, "(refused)"),
        ] {
            assert_eq!(taken(name, style, is_folder), expected, "{name:?}");
        }
    }

    #[test]
    fn of_the_reserved_names_only_the_marker_is_refused_and_only_at_the_top() {
        for name in [".lanspread_owned", ".LANSPREAD_owned/x", ".lanſpread_owned"] {
            assert_eq!(
                taken(name, PLAIN, false),
                format!("({})", UnsafeEntry::Reserved)
            );
        }
        for name in ["local/x", "version.ini", "a/.lanspread_owned"] {
            assert_eq!(taken(name, PLAIN, false), name);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        let refused = game_path(b"a\xff", PLAIN, false);
        assert!(matches!(
            refused,
            Err(UnsafeEntry::Path(PathError::NotUtf8 { .. }))
        ));
    }
}
