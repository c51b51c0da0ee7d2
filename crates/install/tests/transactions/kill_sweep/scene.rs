//! Where a victim dies: a game directory and a state directory on a real disk, with neighbours that
//! nothing may touch.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use lanspread_disk::RealDisk;
use lanspread_install::RecoveredGame;
use tempfile::TempDir;

use super::{Deed, deed::versions};
use crate::support::{Machine, game};

/// Every path under a folder: a file's content, `None` for a folder.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(super) struct Scene(TempDir);

impl Scene {
    /// Where `deed` can be done.
    pub(super) fn before(deed: Deed) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for folder in ["games/neighbour/local", "state"] {
            fs::create_dir_all(scene.path().join(folder)).unwrap();
        }
        fs::write(scene.path().join("games/neighbour/local/save"), "played").unwrap();
        fs::write(scene.path().join("games/notes.txt"), "mine").unwrap();
        deed.prepare(&scene.machine());
        scene
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn copy(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for (path, content) in contents(self.path()) {
            let to = copy.path().join(&path);
            match content {
                None => fs::create_dir(to).unwrap(),
                Some(_) => drop(fs::copy(self.path().join(&path), to).unwrap()),
            }
        }
        Self(copy)
    }

    pub(super) fn machine(&self) -> Machine<RealDisk> {
        let open = |name| RealDisk::open(&self.path().join(name)).unwrap();
        Machine::new(open("games"), open("state"))
    }

    fn games(&self) -> Contents {
        contents(&self.path().join("games"))
    }

    pub(super) fn assert_is_after(&self, deed: Deed, after: &Self) {
        assert!(
            self.games() == after.games(),
            "{} was not done",
            deed.name()
        );
    }

    /// The oracle: after the next start the game is as before or as after, or, for a download,
    /// partial; a second recovery changes nothing; the deed can be done then.
    pub(super) fn judge(&self, deed: Deed, before: &Self, after: &Self, what: &str) {
        let machine = self.machine();
        let recovered = machine.recover().unwrap();
        assert!(
            recovered.foreign.is_empty() && recovered.quarantined.is_empty(),
            "{what}: {recovered:?}"
        );
        let found = self.games();
        if matches!(recovered.game, RecoveredGame::Partial { .. }) {
            assert!(matches!(deed, Deed::Download | Deed::Upgrade), "{what}");
            assert_partial(&found, &before.games(), what);
        } else {
            let whole = [before.games(), after.games()];
            assert!(
                whole.contains(&found),
                "{what}: {:?}",
                found.keys().collect::<Vec<_>>()
            );
        }
        assert!(
            !self.path().join(intent()).exists(),
            "{what}: the intent is left"
        );
        let again = machine.recover().unwrap();
        let as_at_first = again.game == recovered.game || recovered.game == RecoveredGame::Removed;
        assert!(
            as_at_first && self.games() == found,
            "{what}: a second recovery found {again:?} after {recovered:?}"
        );
        if found != after.games() {
            deed.carry_out(&machine);
        }
        self.assert_is_after(deed, after);
    }
}

/// A partial download: no sentinel, nothing but files of the two versions, everything else untouched.
fn assert_partial(found: &Contents, before: &Contents, what: &str) {
    let root = Path::new(game().as_str()).to_owned();
    let payload: Vec<PathBuf> = versions()
        .iter()
        .flat_map(|version| version.files.keys())
        .map(|path| root.join(path))
        .collect();
    let others = |contents: &Contents| -> Contents {
        let is_other = |path: &Path| {
            !payload.iter().any(|file| file.starts_with(path)) && path != root.join("version.ini")
        };
        let others = contents.iter().filter(|(path, _)| is_other(path));
        others
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect()
    };
    assert!(!found.contains_key(&root.join("version.ini")), "{what}");
    assert!(
        others(found) == others(before),
        "{what}: {:?}",
        others(found).keys().collect::<Vec<_>>()
    );
}

fn intent() -> PathBuf {
    Path::new("state/games")
        .join(game().as_str())
        .join("install_intent.json")
}

fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    walk(folder, Path::new(""), &mut found);
    found
}

fn walk(folder: &Path, at: &Path, found: &mut Contents) {
    for entry in fs::read_dir(folder.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.insert(path.clone(), None);
            walk(folder, &path, found);
        } else {
            found.insert(path, Some(fs::read(entry.path()).unwrap()));
        }
    }
}
