//! The folders that a manifest's paths lie in.

use std::collections::BTreeSet;

use lanspread_proto::{GamePath, Manifest};

/// Every folder of a payload, empty ones included, each before those in it. The root is not one.
pub(crate) fn folders(manifest: &Manifest) -> BTreeSet<&str> {
    let mut folders = BTreeSet::new();
    for file in manifest.files() {
        insert_above(&mut folders, file.path.as_str());
    }
    for folder in manifest.empty_folders() {
        folders.insert(folder.as_str());
        insert_above(&mut folders, folder.as_str());
    }
    folders
}

/// The folders that may hold nothing once these files and empty folders are gone, each before those
/// in it.
pub(crate) fn emptying<'a>(
    files: &'a BTreeSet<GamePath>,
    empty_folders: &'a BTreeSet<GamePath>,
) -> BTreeSet<&'a str> {
    let mut folders: BTreeSet<&str> = empty_folders.iter().map(GamePath::as_str).collect();
    for path in files.iter().chain(empty_folders) {
        insert_above(&mut folders, path.as_str());
    }
    folders
}

fn insert_above<'a>(folders: &mut BTreeSet<&'a str>, mut path: &'a str) {
    while let Some((folder, _)) = path.rsplit_once('/') {
        folders.insert(folder);
        path = folder;
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::{FileEntry, Hash};

    use super::*;

    #[test]
    fn every_folder_comes_before_those_in_it() {
        let file = |path: &str| FileEntry {
            path: path.parse().unwrap(),
            size: 0,
            executable: false,
            hash: Hash::of(b""),
        };
        let files = vec![file("a/b/c/x"), file("a/y"), file("z")];
        let empty = vec!["a/e/f".parse().unwrap()];
        let manifest = Manifest::new(b"1\n".to_vec(), files, empty).unwrap();
        let all: Vec<_> = folders(&manifest).into_iter().collect();
        assert_eq!(all, ["a", "a/b", "a/b/c", "a/e", "a/e/f"]);
        let gone = manifest
            .files()
            .iter()
            .map(|file| file.path.clone())
            .collect();
        let empty = manifest.empty_folders().iter().cloned().collect();
        assert!(emptying(&gone, &empty).into_iter().eq(all));
    }
}
