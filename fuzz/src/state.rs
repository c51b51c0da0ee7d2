//! Documents of the state directory, read by what reads them after a restart.

use std::{fs, path::Path, sync::Arc};

use lanspread_disk::{Disk, FileMode, RealDisk, StateDir, twin::PowerCutDisk};
use lanspread_install::recover;
use lanspread_library::{Catalog, Library, LibraryConfig};
use lanspread_proto::GameId;

/// No text holds this byte: it parts the documents of one input.
const SEPARATOR: u8 = 0xff;

const GAME: &str = "game";

/// Folders of a game root, each there if its bit of the first byte is set.
const FOLDERS: [&str; 4] = [
    "local",
    ".local.installing",
    ".local.backup",
    ".local.trash",
];

/// Recovery over any documents ends, and a second one changes nothing.
pub fn install(data: &[u8]) {
    let Some((layout, documents)) = data.split_first() else {
        return;
    };
    let mut documents = documents.split(|byte| *byte == SEPARATOR);
    let disk = PowerCutDisk::new();
    for folder in ["games", "state"] {
        disk.create_folder(folder).expect("memory takes a folder");
    }
    let (games, state) = (disk.folder("games"), StateDir::new(disk.folder("state")));

    let mut write = |path: &str| {
        let content = documents.next().unwrap_or_default();
        if !content.is_empty() {
            let written = state.write(path, content, FileMode::Plain);
            written.expect("memory takes a document");
        }
    };
    for name in [
        "install_intent.json",
        "download.json",
        "download.bin",
        "installed.json",
    ] {
        write(&format!("games/{GAME}/{name}"));
    }
    write("owner.json");
    let marker = documents.next().unwrap_or_default();
    arrange(&games, *layout, marker);

    let game: GameId = GAME.parse().expect("a game's id");
    let first = recover(&games, &state, &game);
    let after_first = disk.image();
    let second = recover(&games, &state, &game);
    if first.is_ok() {
        assert!(second.is_ok(), "{second:?} after {first:?}");
        assert!(
            disk.image().nodes() == after_first.nodes(),
            "the second recovery changed something"
        );
    }
}

/// The folders of `layout`, marked if bit 4 is set; the sentinel if bit 5 is.
fn arrange(games: &PowerCutDisk, layout: u8, marker: &[u8]) {
    let put = |path: &str, content: &[u8]| {
        let written = games.write_atomic(path, content, FileMode::Plain);
        written.expect("memory takes a file");
    };
    let is_set = |bit: usize| layout >> bit & 1 == 1;
    games.create_folder(GAME).expect("memory takes a folder");
    for (bit, folder) in FOLDERS.iter().enumerate() {
        if is_set(bit) {
            let folder = format!("{GAME}/{folder}");
            games.create_folder(&folder).expect("memory takes a folder");
            put(&format!("{folder}/file"), b"content");
            if is_set(4) {
                put(&format!("{folder}/.lanspread_owned"), marker);
            }
        }
    }
    if is_set(5) {
        put(&format!("{GAME}/version.ini"), b"1.0\n");
    }
}

/// The library opens over any index, manifest, chunk hashes and unfinished hashes.
pub fn library(data: &[u8]) {
    let mut documents = data.split(|byte| *byte == SEPARATOR);
    let dir = memory_dir();
    let (games, state) = (dir.path().join("games"), dir.path().join("state"));
    let game = state.join("games").join(GAME);
    for folder in [games.join(GAME), game.clone()] {
        fs::create_dir_all(folder).expect("a folder in memory");
    }
    fs::write(games.join(GAME).join("version.ini"), "1.0\n").expect("a file in memory");
    fs::write(games.join(GAME).join("file"), "content").expect("a file in memory");
    for path in [
        state.join("library_index.json"),
        game.join("manifest.json"),
        game.join("chunks.bin"),
        game.join("hashing.bin"),
    ] {
        let content = documents.next().unwrap_or_default();
        fs::write(path, content).expect("a file in memory");
    }

    let games = RealDisk::open(&games).expect("the game directory");
    let state = StateDir::open(&state).expect("the state directory");
    let _ = state.load_payload(&GAME.parse().expect("a game's id"));
    let catalog = Arc::new(Catalog::open_to_all());
    let opened = Library::open(LibraryConfig::new(games, Arc::new(state), catalog));
    if let Ok((library, _events)) = opened {
        let _ = library.snapshot();
    }
}

fn memory_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    dir.expect("a temporary folder")
}
