//! The names under a game root that are ours, and every spelling some system would take for them.

use crate::path::{fold, rules};

/// The sentinel: a game is downloaded only while this regular file exists in its root.
pub const SENTINEL_NAME: &str = "version.ini";

/// The sentinel while it is written, before the rename that commits a download.
pub const SENTINEL_TMP_NAME: &str = ".version.ini.tmp";

/// The sentinel of a game that is being changed or removed.
pub const SENTINEL_DISCARDED_NAME: &str = ".version.ini.discarded";

/// The installed game; that it is a folder is the install signal.
pub const LOCAL_NAME: &str = "local";

/// What an install unpacks into; may always be thrown away.
pub const LOCAL_INSTALLING_NAME: &str = ".local.installing";

/// The previous installed game while a new one takes its place; may be restored.
pub const LOCAL_BACKUP_NAME: &str = ".local.backup";

/// An installed game on its way out; never restored.
pub const LOCAL_TRASH_NAME: &str = ".local.trash";

/// The marker inside a reserved folder that says we made it.
pub const OWNED_MARKER_NAME: &str = ".lanspread_owned";

/// Every name that a payload must not have at its top level, in lower case.
pub const RESERVED_NAMES: [&str; 8] = [
    LOCAL_NAME,
    LOCAL_INSTALLING_NAME,
    LOCAL_BACKUP_NAME,
    LOCAL_TRASH_NAME,
    OWNED_MARKER_NAME,
    SENTINEL_NAME,
    SENTINEL_TMP_NAME,
    SENTINEL_DISCARDED_NAME,
];

/// The stem of our hidden folders; nothing of ours has this name, nor may anything else.
const LOCAL_STEM_NAME: &str = ".local";

/// Whether `component` is a reserved name, or a spelling of one that some system resolves to it.
///
/// Spellings are other letter case, compatibility characters, invisible characters, trailing dots and
/// spaces, a stream after a colon, and 8.3 short names. Takes any text, also one that no
/// [`GamePath`](crate::GamePath) can hold, so that a scan can ask about raw folder entries.
pub fn is_reserved(component: &str) -> bool {
    let visible: String = component
        .chars()
        .filter(|char| !rules::is_invisible(*char))
        .collect();
    let folded = fold(&visible);
    let without_stream = folded.split(':').next().unwrap_or_default();
    let name = without_stream.trim_end_matches(['.', ' ']);
    name == LOCAL_STEM_NAME || RESERVED_NAMES.contains(&name) || is_short_for_reserved(name)
}

/// Whether `component` is [`OWNED_MARKER_NAME`] or a spelling of it: the one name that not even an
/// archive may have at its top level.
///
/// For the components of a [`GamePath`](crate::GamePath), which has no other spellings than letter
/// case and compatibility characters.
pub fn is_owned_marker(component: &str) -> bool {
    fold(component) == OWNED_MARKER_NAME
}

fn is_short_for_reserved(name: &str) -> bool {
    rules::short_name_stem(name).is_some_and(|stem| {
        RESERVED_NAMES
            .iter()
            .any(|reserved| reserved.trim_start_matches('.').starts_with(stem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reserved_name_is_known_in_every_spelling() {
        for name in RESERVED_NAMES {
            for spelling in [
                name.to_owned(),
                name.to_uppercase(),
                format!("{name}."),
                format!("{name} . "),
                format!("{name}::$DATA"),
                format!("\u{feff}{name}"),
                name.replace('l', "ｌ").replace('i', "ı"),
            ] {
                assert!(is_reserved(&spelling), "{spelling:?}");
            }
        }
        for spelling in [
            "LOCAL~1",
            "LOCAL~2.INS",
            "versio~1.ini",
            "LANSPR~1",
            ".local",
        ] {
            assert!(is_reserved(spelling), "{spelling:?}");
        }
    }

    #[test]
    fn the_marker_is_known_in_every_letter_case() {
        for name in [OWNED_MARKER_NAME, ".Lanspread_OWNED", ".ｌanspread_owned"] {
            assert!(is_owned_marker(name), "{name}");
        }
        assert!(!is_owned_marker("lanspread_owned") && !is_owned_marker("local"));
    }

    #[test]
    fn neighbours_of_reserved_names_are_free() {
        for name in [
            "",
            "locale",
            "localx",
            "version",
            "version.ini.tmp",
            ".complete",
            ".hidden",
            "x~1",
        ] {
            assert!(!is_reserved(name), "{name:?}");
        }
    }
}
