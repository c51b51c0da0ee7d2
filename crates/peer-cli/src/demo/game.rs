//! The demo's game: files of many sizes with a content that depends on nothing but their paths, packed into
//! an archive, and a second version of it.
#![expect(
    clippy::disallowed_methods,
    reason = "the demonstration makes and compares games from outside"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lanspread_peer::proto::{CHUNK_BYTES, Hash};

/// Small files; with the others, the tree of a small real game.
const SMALL_FILES: u64 = 300;

/// Files of medium size.
const MEDIUM_FILES: u64 = 12;

/// The archive in the game's folder; a tar, whatever its name says.
pub(super) const ARCHIVE: &str = "island.eti";

/// What the second version has not any more; the archive's last file.
const ONLY_FIRST: &str = "tutorial.txt";

/// What only the second version has; the archive's last file there.
const ONLY_SECOND: &str = "upgrade.dat";

/// What the second version has with other bytes.
const CHANGED: &str = "data/level 07/map.dat";

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// Makes what will be installed in the folder `tree`, about `size` bytes of it.
pub(super) fn make(tree: &Path, size: u64) -> Result<Made> {
    let mut files = BTreeMap::new();
    files.insert("data/world.pak".to_owned(), size / 100 * 45);
    for number in 0..MEDIUM_FILES {
        files.insert(
            format!("data/level {number:02}/map.dat"),
            size / 100 * 40 / MEDIUM_FILES,
        );
    }
    for number in 0..SMALL_FILES {
        // From almost nothing to twice the average, so that no two sizes are alike.
        let bytes = size / 100 * 15 * 2 * number / (SMALL_FILES * SMALL_FILES);
        files.insert(
            format!("media/sounds/{:x}/{number:03}.ogg", number % 16),
            bytes,
        );
    }
    // The sizes at which mistakes happen.
    files.insert("empty.txt".to_owned(), 0);
    files.insert("data/one chunk.bin".to_owned(), CHUNK_BYTES);
    files.insert("data/one chunk and a byte.bin".to_owned(), CHUNK_BYTES + 1);
    files.insert("bin/run.sh".to_owned(), 200);
    files.insert(ONLY_FIRST.to_owned(), 5_000);
    for (path, bytes) in &files {
        write(tree, path, path, *bytes)?;
    }
    fs::create_dir_all(tree.join("saves"))?;
    make_executable(&tree.join("bin/run.sh"))?;
    Ok(Made {
        files: files.len(),
        bytes: files.values().sum(),
    })
}

/// Makes the second version of the first: one file changed, one gone, one new.
pub(super) fn change(tree: &Path) -> Result<()> {
    let bytes = fs::metadata(tree.join(CHANGED))?.len();
    write(tree, CHANGED, "the second version", bytes)?;
    fs::remove_file(tree.join(ONLY_FIRST))?;
    write(tree, ONLY_SECOND, ONLY_SECOND, 700_000)
}

/// Packs the tree into the game's folder `root`, as this version.
pub(super) fn pack(tree: &Path, root: &Path, version: &str) -> Result<()> {
    fs::create_dir_all(root)?;
    let sentinel = root.join("version.ini");
    // It says that the rest is complete.
    if let Err(error) = fs::remove_file(&sentinel)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let archive = root.join(ARCHIVE);
    let out = BufWriter::with_capacity(1 << 20, File::create(&archive)?);
    let mut builder = tar::Builder::new(out);
    builder.mode(tar::HeaderMode::Deterministic);
    for path in order(self::tree(tree)?.into_keys()) {
        builder.append_path_with_name(tree.join(&path), &path)?;
    }
    builder.into_inner()?.flush()?;
    fs::write(
        root.join("readme.txt"),
        "What is in the archive is the game.\n",
    )?;
    fs::write(sentinel, format!("{version}\n"))?;
    Ok(())
}

/// The paths in the order of their names, what only one version has last: so the bytes before it stay where
/// they are.
fn order(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let is_last = |path: &PathBuf| {
        [ONLY_FIRST, ONLY_SECOND]
            .map(Path::new)
            .contains(&path.as_path())
    };
    let (last, mut first): (Vec<_>, Vec<_>) = paths.partition(is_last);
    first.extend(last);
    first
}

fn write(tree: &Path, path: &str, seed: &str, bytes: u64) -> Result<()> {
    let whole = tree.join(path);
    fs::create_dir_all(whole.parent().context("a file without a folder")?)?;
    fill(&whole, seed, bytes).with_context(|| format!("could not make {}", whole.display()))
}

/// Copies the tree, the sentinel last.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    for (path, entry) in tree(from)? {
        let target = to.join(&path);
        match entry {
            Entry::EmptyFolder => fs::create_dir_all(target)?,
            Entry::File { .. } => {
                fs::create_dir_all(target.parent().context("a file without a folder")?)?;
                if path != Path::new("version.ini") {
                    fs::copy(from.join(&path), target)?;
                }
            }
        }
    }
    fs::copy(from.join("version.ini"), to.join("version.ini"))?;
    Ok(())
}

/// Compares two trees byte by byte and returns the number of files.
///
/// # Errors
/// The first difference, with its path.
pub(super) fn compare(made: &Path, got: &Path) -> Result<usize> {
    let (expected, found) = (tree(made)?, tree(got)?);
    for (path, entry) in &expected {
        let other = found
            .get(path)
            .with_context(|| format!("{} is missing", path.display()))?;
        ensure!(
            entry == other,
            "{} is {other:?} and should be {entry:?}",
            path.display()
        );
    }
    if let Some(path) = found.keys().find(|path| !expected.contains_key(*path)) {
        anyhow::bail!("{} should not be there", path.display());
    }
    let mut files = 0;
    for (path, entry) in &expected {
        if matches!(entry, Entry::File { .. }) {
            let same = same_content(&made.join(path), &got.join(path))?;
            ensure!(same, "{} has other bytes", path.display());
            files += 1;
        }
    }
    Ok(files)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File { bytes: u64, executable: bool },
    EmptyFolder,
}

/// The files and empty folders, but not what is installed.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut is_empty = true;
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            is_empty = false;
            let path = folder.join(entry.file_name());
            if path == Path::new("local") {
                continue;
            }
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let executable = is_executable(&metadata);
                entries.insert(
                    path,
                    Entry::File {
                        bytes: metadata.len(),
                        executable,
                    },
                );
            }
        }
        if is_empty {
            entries.insert(folder, Entry::EmptyFolder);
        }
    }
    Ok(entries)
}

/// Fills a file with numbers that follow from its path; nothing compresses or repeats.
fn fill(file: &Path, seed: &str, bytes: u64) -> io::Result<()> {
    let mut state = Hash::of(seed.as_bytes())
        .as_bytes()
        .iter()
        .take(8)
        .fold(1, |state: u64, byte| (state << 8) | u64::from(*byte))
        | 1;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut block = Vec::with_capacity(64 * 1024);
    let mut left = bytes;
    while left > 0 {
        block.clear();
        for _ in 0..8 * 1024 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        out.write_all(&block[..length])?;
        left -= length as u64;
    }
    out.flush()
}

fn same_content(left: &Path, right: &Path) -> io::Result<bool> {
    let mut left = BufReader::with_capacity(1 << 20, File::open(left)?);
    let mut right = BufReader::with_capacity(1 << 20, File::open(right)?);
    let (mut here, mut there) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = left.read(&mut here)?;
        if count == 0 {
            return Ok(right.read(&mut there)? == 0);
        }
        match right.read_exact(&mut there[..count]) {
            Ok(()) if here[..count] == there[..count] => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => return Ok(false),
        }
    }
}

#[cfg(unix)]
fn make_executable(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
const fn make_executable(_file: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
const fn is_executable(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_and_every_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (made, copied) = (dir.path().join("a"), dir.path().join("b"));
        let what = make(&made, 1_000_000).unwrap();
        fs::write(made.join("version.ini"), "1.0\n").unwrap();
        copy(&made, &copied).unwrap();
        assert_eq!(compare(&made, &copied).unwrap(), what.files + 1);

        let changes: [(&str, &dyn Fn()); 4] = [
            ("has other bytes", &|| {
                let file = copied.join("data/world.pak");
                let mut content = fs::read(&file).unwrap();
                content[100_000] ^= 1;
                fs::write(file, content).unwrap();
            }),
            ("should not be there", &|| {
                fs::write(copied.join("stray"), "x").unwrap();
            }),
            ("saves is missing", &|| {
                fs::remove_dir(copied.join("saves")).unwrap();
            }),
            ("empty.txt is", &|| {
                fs::write(copied.join("empty.txt"), "x").unwrap();
            }),
        ];
        for (difference, change) in changes {
            fs::remove_dir_all(&copied).unwrap();
            copy(&made, &copied).unwrap();
            change();
            let error = compare(&made, &copied).unwrap_err().to_string();
            assert!(error.contains(difference), "{error}");
        }
    }

    #[test]
    fn the_game_is_about_as_large_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let made = make(&dir.path().join("g"), 20_000_000).unwrap();
        assert!((19_000_000..24_000_000).contains(&made.bytes), "{made:?}");
        assert!(made.files > 300, "{made:?}");
    }

    #[test]
    fn the_second_version_differs_in_few_places() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, root) = (dir.path().join("tree"), dir.path().join("root"));
        make(&tree, 5_000_000).unwrap();
        pack(&tree, &root, "1.0").unwrap();
        let first = fs::read(root.join(ARCHIVE)).unwrap();
        change(&tree).unwrap();
        pack(&tree, &root, "2.0").unwrap();
        let second = fs::read(root.join(ARCHIVE)).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("version.ini")).unwrap(),
            "2.0\n"
        );
        let differing = first
            .iter()
            .zip(&second)
            .filter(|(one, other)| one != other);
        let share = differing.count() * 100 / first.len();
        assert!((1..10).contains(&share), "{share} %");
    }
}
