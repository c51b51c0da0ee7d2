//! From a relative path to an open folder and a name, without following a link.

use std::{
    io::{self, ErrorKind},
    ops::Deref,
};

use cap_std::fs::Dir;

use super::system;

/// The folder that a verb works in: the root itself, or one opened on the way.
pub(super) enum Folder<'a> {
    Root(&'a Dir),
    Opened(Dir),
}

impl<'a> Folder<'a> {
    pub(super) fn open(root: &'a Dir, path: &str) -> io::Result<Self> {
        if path.is_empty() {
            Ok(Self::Root(root))
        } else {
            system::open_folder(root, path).map(Self::Opened)
        }
    }
}

impl Deref for Folder<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Root(dir) => dir,
            Self::Opened(dir) => dir,
        }
    }
}

/// Refuses what is not a relative path of plain components; the empty path is fine.
pub(super) fn check(path: &str) -> io::Result<()> {
    if path.is_empty() || path.split('/').all(is_plain) {
        Ok(())
    } else {
        Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a plain relative path",
        ))
    }
}

/// The folder's path and the last component; the empty path has none.
pub(super) fn split(path: &str) -> io::Result<(&str, &str)> {
    check(path)?;
    if path.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the folder itself"));
    }
    Ok(path.rsplit_once('/').unwrap_or(("", path)))
}

fn is_plain(component: &str) -> bool {
    let separates = |c: char| c == '\0' || (cfg!(windows) && matches!(c, '\\' | ':'));
    !matches!(component, "" | "." | "..") && !component.contains(separates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_pass() {
        for good in ["", "a", "a/b", "a/.hidden/..c", "ä/b c"] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in [
            "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b",
        ] {
            assert_eq!(
                check(bad).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_last_component_is_split_off() {
        assert_eq!(split("a/b/c").unwrap(), ("a/b", "c"));
        assert_eq!(split("a").unwrap(), ("", "a"));
        assert!(split("").is_err());
    }
}
