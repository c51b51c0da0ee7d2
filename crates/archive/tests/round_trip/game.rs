//! A machine that has a game's archive and installs it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_disk::{RealDisk, StateDir};
use lanspread_install::{InstallControl, InstallError, InstallRequest, Installed, install};
use lanspread_testkit::{GameTree, bytes, tree};
use tempfile::TempDir;

/// A temporary folder with a downloaded game, whose payload is yet to come.
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::on(memory_dir())
    }

    /// One on the disk, where there is room.
    pub(crate) fn on_disk() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(dir: TempDir) -> Self {
        let machine = Self { dir };
        for folder in ["games/game", "state", "packed"] {
            fs::create_dir_all(machine.dir.path().join(folder)).unwrap();
        }
        fs::write(machine.root().join("version.ini"), "1.0\n").unwrap();
        machine
    }

    /// Writes a tree to be packed, and says where.
    pub(crate) fn unpacked(&self, tree: &GameTree) -> PathBuf {
        let source = self.dir.path().join("source");
        tree.write_to(&source);
        tree.root(&source)
    }

    /// Where an archive of the payload belongs.
    pub(crate) fn archive(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub(crate) fn install(&self) -> Result<Installed, InstallError> {
        self.install_within(&ArchiveLimits::default())
    }

    pub(crate) fn install_within(&self, limits: &ArchiveLimits) -> Result<Installed, InstallError> {
        let disk = Arc::new(RealDisk::open(&self.dir.path().join("games")).unwrap());
        let state = Arc::new(StateDir::open(&self.dir.path().join("state")).unwrap());
        let request = InstallRequest {
            game: "game".parse().unwrap(),
            reserve_bytes: Some(0),
        };
        let unpacker = ArchiveUnpacker::new(limits.clone());
        let control = InstallControl::default();
        install(&disk, &state, &unpacker, &request, &control)
    }

    /// The folder that holds `local/`.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("games/game")
    }
}

/// In memory where there is such a place.
fn memory_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A game of many small files, some larger ones, empty ones and empty folders, names in several scripts,
/// and every seventh file executable. It is called as what it is installed as.
pub(crate) fn many_files(count: usize, large_bytes: usize) -> GameTree {
    const FOLDERS: [&str; 8] = [
        "bin",
        "data/maps",
        "data/with space/and (brackets)",
        "données/été",
        "игра/уровни",
        "ゲーム/データ",
        "παιχνίδι",
        "لعبة/🎮",
    ];
    let mut game = tree("local", "1.0")
        .empty_folder("saves")
        .empty_folder("игра/пусто")
        .file("data/large.pak", large_bytes)
        .content("data/text.txt", text(large_bytes / 3))
        .content("data/zeros.bin", vec![0; large_bytes / 9]);
    for at in 0..count {
        let path = format!("{}/{}/file {at}.dat", FOLDERS[at % FOLDERS.len()], at % 97);
        game = match at % 5 {
            0 => game.content(&path, Vec::new()),
            1 => game.content(&path, text(at % 7_000)),
            _ => game.file(&path, at % 5_000),
        };
        if at % 7 == 0 {
            game = game.executable(&path);
        }
    }
    // Longer than the fields of the oldest tar headers.
    let long = format!(
        "{}/{}.dat",
        "a rather long name of a folder ".repeat(5).trim(),
        "long".repeat(40)
    );
    game.file(&long, 1000)
}

/// Words, which compress as text does.
pub(crate) fn text(count: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the ", "lamp ", "of ", "a ", "party ", "turns ", "and ", "every ", "player ", "looks ",
        "up ", "from ", "their ", "screen\n", "again ", "then ",
    ];
    let choices = bytes("words", count / 3 + 1);
    let words = choices.iter().map(|byte| WORDS[usize::from(byte % 16)]);
    let mut text: Vec<u8> = words.collect::<String>().into_bytes();
    text.truncate(count);
    text
}

/// Fails unless exactly this tree is installed.
pub(crate) fn assert_installed(tree: &GameTree, machine: &Machine) {
    tree.assert_in(&machine.root());
}

/// All files under a folder.
pub(crate) fn file_count(folder: &Path) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                file_count(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
