//! What one path must be by itself.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::error::{PathError, shown};
use crate::limits;

// A character never has more UTF-16 units than UTF-8 bytes: the limit in bytes keeps the one in units.
const _: () = assert!(limits::COMPONENT_BYTES_MAX <= limits::COMPONENT_UTF16_MAX);

/// Characters that Windows forbids in names or gives a meaning: separator, drive and stream, wildcards.
const FORBIDDEN_ASCII: [char; 8] = ['\\', ':', '<', '>', '"', '|', '?', '*'];

/// Windows devices of a fixed name; those with a number are in [`is_device`].
const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];

/// Characters of the part of an 8.3 short name before its dot, and after it.
const SHORT_STEM_CHARS_MAX: usize = 8;
const SHORT_EXTENSION_CHARS_MAX: usize = 3;

/// Refuses a text that is not a path on every system.
pub(super) fn check(path: &str) -> Result<(), PathError> {
    let limited = |what, actual: usize, limit: usize| {
        limits::check(what, actual as u64, limit as u64).map_err(|limit| PathError::Limit {
            path: shown(path),
            limit,
        })
    };
    limited(
        "a path's length in bytes",
        path.len(),
        limits::PATH_BYTES_MAX,
    )?;
    if path.starts_with('/') {
        return Err(PathError::Absolute { path: shown(path) });
    }
    let mut depth = 0;
    for component in path.split('/') {
        depth += 1;
        check_component(path, component)?;
        limited(
            "a component's length in bytes",
            component.len(),
            limits::COMPONENT_BYTES_MAX,
        )?;
    }
    limited("a path's depth", depth, limits::PATH_DEPTH_MAX)?;
    if is_nfc(path) {
        Ok(())
    } else {
        Err(PathError::NotNfc { path: shown(path) })
    }
}

fn check_component(path: &str, component: &str) -> Result<(), PathError> {
    if component.is_empty() {
        Err(PathError::EmptyComponent { path: shown(path) })
    } else if matches!(component, "." | "..") {
        Err(PathError::Dots { path: shown(path) })
    } else if let Some(found) = component.chars().find(|char| is_refused(*char)) {
        Err(PathError::Character {
            path: shown(path),
            found,
        })
    } else if component.ends_with(['.', ' ']) {
        Err(PathError::TrailingDotOrSpace { path: shown(path) })
    } else if is_device(component) {
        Err(PathError::DeviceName { path: shown(path) })
    } else if short_name_stem(component).is_some() {
        Err(PathError::ShortName { path: shown(path) })
    } else {
        Ok(())
    }
}

fn is_nfc(text: &str) -> bool {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => text.chars().eq(text.nfc()),
    }
}

fn is_refused(char: char) -> bool {
    char.is_control()
        || FORBIDDEN_ASCII.contains(&char)
        || !char.is_ascii() && (is_invisible(char) || is_remapped(char))
}

/// Whether `char` leaves no mark of its own: line separators, bidirectional controls, joiners, fillers
/// and the rest of Unicode's `Default_Ignorable_Code_Point`. Some file systems drop them from names.
pub(crate) const fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether `char` stands for another one on some systems (network mounts and WSL write forbidden ASCII
/// into this private range) or for none at all (noncharacters).
const fn is_remapped(char: char) -> bool {
    matches!(char, '\u{f000}'..='\u{f0ff}' | '\u{fdd0}'..='\u{fdef}')
        || char as u32 & 0xfffe == 0xfffe
}

/// Whether Windows opens a device for this name: its part before the first dot, spaces cut, decides.
fn is_device(component: &str) -> bool {
    let stem = component
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches(' ');
    let numbered = |port: &str| {
        stem.split_at_checked(port.len())
            .is_some_and(|(start, number)| {
                start.eq_ignore_ascii_case(port)
                    && (matches!(number, "¹" | "²" | "³")
                        || number.len() == 1 && number.as_bytes()[0].is_ascii_digit())
            })
    };
    DEVICES
        .iter()
        .any(|device| device.eq_ignore_ascii_case(stem))
        || numbered("com")
        || numbered("lpt")
}

/// The part before the `~` of a name in the form of an 8.3 short name: `versio` of `versio~1.ini`.
pub(crate) fn short_name_stem(component: &str) -> Option<&str> {
    let (name, extension) = component.split_once('.').unwrap_or((component, ""));
    let (stem, number) = name.rsplit_once('~')?;
    let is_short = !stem.is_empty()
        && name.chars().count() <= SHORT_STEM_CHARS_MAX
        && extension.chars().count() <= SHORT_EXTENSION_CHARS_MAX
        && !extension.contains('.')
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit());
    is_short.then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_stem() {
        for device in [
            "con",
            "Nul.tar.gz",
            "COM0",
            "com¹",
            "LPT³.txt",
            "prn  .x",
            "CLOCK$",
        ] {
            assert!(is_device(device), "{device}");
        }
        for free in [
            "COM", "COM10", "com_1", "console", "LPTé", "xcon", "co", "COM¹x", "é",
        ] {
            assert!(!is_device(free), "{free}");
        }
    }

    #[test]
    fn short_names_are_known_by_their_form() {
        for short in ["LOCAL~1", "a~1.b", "ABCDEF~1.TXT", "A1B2~99", "ABCDE~12.x"] {
            assert!(short_name_stem(short).is_some(), "{short}");
        }
        for long in [
            "a~",
            "~1",
            "a~b",
            "ABCDEFG~1",
            "a~1.html",
            "a~1.b.c",
            "notes.txt~1",
        ] {
            assert!(short_name_stem(long).is_none(), "{long}");
        }
    }

    #[test]
    fn characters_that_mean_or_show_something_else_are_refused() {
        for bad in [
            '\u{7f}',
            '\u{85}',
            '\u{2028}',
            '\u{f03a}',
            '\u{ffff}',
            '\u{1fffe}',
            '*',
        ] {
            assert!(is_refused(bad), "{bad:?}");
        }
        for good in ['a', '~', '$', 'ü', '日', '–', '\u{e000}', '🎮', '\u{a0}'] {
            assert!(!is_refused(good), "{good:?}");
        }
    }
}
