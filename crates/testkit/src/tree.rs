//! Game trees with reproducible content.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A game as it should lie in a game directory.
#[derive(Debug, Clone)]
#[must_use = "a tree is nothing on the disk before it is written"]
pub struct GameTree {
    id: String,
    version: String,
    files: BTreeMap<String, File>,
    empty_folders: Vec<String>,
}

#[derive(Debug, Clone)]
struct File {
    content: Vec<u8>,
    executable: bool,
}

/// An empty tree of this id and version.
pub fn tree(id: &str, version: &str) -> GameTree {
    GameTree {
        id: id.into(),
        version: version.into(),
        files: BTreeMap::new(),
        empty_folders: Vec::new(),
    }
}

/// `count` bytes that look random and follow from `seed`.
pub fn bytes(seed: &str, count: usize) -> Vec<u8> {
    let mut content = vec![0; count];
    blake3::Hasher::new()
        .update(seed.as_bytes())
        .finalize_xof()
        .fill(&mut content);
    content
}

impl GameTree {
    /// Adds a file of `count` bytes that follow from the game, the version and the path.
    pub fn file(self, path: &str, count: usize) -> Self {
        let content = bytes(&format!("{}/{}/{path}", self.id, self.version), count);
        self.content(path, content)
    }

    /// Adds a file with this content.
    pub fn content(mut self, path: &str, content: Vec<u8>) -> Self {
        self.files.insert(
            path.into(),
            File {
                content,
                executable: false,
            },
        );
        self
    }

    /// Makes a file executable.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn executable(mut self, path: &str) -> Self {
        self.files
            .get_mut(path)
            .expect("a file of the tree")
            .executable = true;
        self
    }

    /// Adds a folder that holds nothing.
    pub fn empty_folder(mut self, path: &str) -> Self {
        self.empty_folders.push(path.into());
        self
    }

    /// The same files under another version.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// The game's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The payload's size.
    pub fn payload_bytes(&self) -> u64 {
        self.files
            .values()
            .map(|file| file.content.len() as u64)
            .sum()
    }

    /// The game's folder in a game directory.
    pub fn root(&self, game_dir: &Path) -> PathBuf {
        game_dir.join(&self.id)
    }

    /// Writes the tree, the sentinel last.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write_to(&self, game_dir: &Path) {
        let root = self.root(game_dir);
        for (path, file) in &self.files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file has a folder"))
                .expect("create folders");
            fs::write(&path, &file.content).expect("write a file");
            set_executable(&path, file.executable);
        }
        for folder in &self.empty_folders {
            fs::create_dir_all(root.join(folder)).expect("create an empty folder");
        }
        fs::create_dir_all(&root).expect("create the root");
        fs::write(root.join("version.ini"), format!("{}\n", self.version))
            .expect("write the sentinel");
    }

    /// Fails unless exactly this tree lies in `game_dir`; `local/` is not looked at.
    ///
    /// # Panics
    /// With the first difference.
    pub fn assert_in(&self, game_dir: &Path) {
        let root = self.root(game_dir);
        let sentinel = fs::read_to_string(root.join("version.ini")).expect("the sentinel is there");
        assert_eq!(sentinel.trim(), self.version, "the sentinel's version");
        let (mut files, mut empty) = (BTreeMap::new(), Vec::new());
        walk(&root, "", &mut files, &mut empty);
        files.remove("version.ini");
        let names: Vec<_> = files.keys().collect();
        assert_eq!(
            names,
            self.files.keys().collect::<Vec<_>>(),
            "the files of {}",
            self.id
        );
        for (path, file) in &self.files {
            let found = &files[path];
            assert!(
                fs::read(found).expect("read a file") == file.content,
                "{path} differs"
            );
            assert_eq!(
                is_executable(found),
                file.executable,
                "the executable bit of {path}"
            );
        }
        let mut expected = self.empty_folders.clone();
        expected.sort();
        empty.sort();
        assert_eq!(empty, expected, "the empty folders of {}", self.id);
    }

    /// Fails if a payload file or the sentinel of this tree is in `game_dir`.
    ///
    /// # Panics
    /// With the first one that is.
    pub fn assert_not_in(&self, game_dir: &Path) {
        let root = self.root(game_dir);
        for path in self.files.keys().map(String::as_str).chain(["version.ini"]) {
            assert!(!root.join(path).exists(), "{path} is still there");
        }
    }
}

fn walk(
    folder: &Path,
    under: &str,
    files: &mut BTreeMap<String, PathBuf>,
    empty: &mut Vec<String>,
) {
    let mut entries = 0;
    for entry in fs::read_dir(folder).expect("list a folder") {
        let entry = entry.expect("an entry");
        entries += 1;
        let name = entry.file_name().into_string().expect("a UTF-8 name");
        if under.is_empty() && name == "local" {
            continue;
        }
        let path = if under.is_empty() {
            name
        } else {
            format!("{under}/{name}")
        };
        if entry.file_type().expect("a kind").is_dir() {
            walk(&entry.path(), &path, files, empty);
        } else {
            files.insert(path, entry.path());
        }
    }
    if entries == 0 && !under.is_empty() {
        empty.push(under.to_owned());
    }
}

#[cfg(unix)]
fn set_executable(path: &Path, executable: bool) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set the mode");
}

#[cfg(not(unix))]
fn set_executable(_path: &Path, _executable: bool) {}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("a file").permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    false
}
