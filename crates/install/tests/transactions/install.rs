//! Installs, updates and uninstalls as they should go, and what they refuse.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use lanspread_disk::{Disk, FileMode, Kind, twin::PowerCutDisk};
use lanspread_install::{
    InstallControl, InstallError, InstallProgress, InstallRequest, InstallSource,
    InstallTransaction, Installed, RecoveredGame, RecoveredInstall, Staging, UninstallError,
    UnpackError, archives, install, installed_version, uninstall,
};

use crate::{
    support::{Machine, Version, game, machine_on, memory},
    unpacker::{TextUnpacker, archive},
};

pub(crate) const UNPACKER: TextUnpacker = TextUnpacker { tells_totals: true };

impl<D: Disk> Machine<D> {
    pub(crate) fn install(&self) -> Result<Installed, InstallError> {
        self.install_with(&InstallControl::default())
    }

    pub(crate) fn install_with(&self, control: &InstallControl) -> Result<Installed, InstallError> {
        install(&self.disk, &self.state, &UNPACKER, &request(), control)
    }

    pub(crate) fn uninstall(&self) -> Result<(), UninstallError> {
        uninstall(self.disk.as_ref(), &self.state, &game())
    }

    pub(crate) fn installed_version(&self) -> Option<String> {
        let version = installed_version(&self.state, &game()).unwrap();
        version.map(|version| version.as_str().to_owned())
    }

    /// A transaction that somebody else fills.
    pub(crate) fn streamed(&self) -> Result<InstallTransaction<D>, InstallError> {
        self.streamed_as("7")
    }

    pub(crate) fn streamed_as(&self, version: &str) -> Result<InstallTransaction<D>, InstallError> {
        let version = version.parse().unwrap();
        InstallTransaction::begin(
            &self.disk,
            &self.state,
            &request(),
            InstallSource::Streamed { version },
            &InstallControl::default(),
        )
    }
}

pub(crate) fn request() -> InstallRequest {
    InstallRequest {
        game: game(),
        reserve_bytes: Some(0),
    }
}

const ENTRIES: [(&str, &str); 4] = [
    ("bin/run.exe", "MZ"),
    ("data/maps/one", "a map"),
    ("data/empty/", ""),
    ("none", ""),
];

pub(crate) fn with_archive() -> (PowerCutDisk, Machine<PowerCutDisk>) {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.put_archive("1.0", &ENTRIES);
    (disk, machine)
}

const INSTALLED: [&str; 10] = [
    "game.eti",
    "local/",
    "local/bin/",
    "local/bin/run.exe",
    "local/data/",
    "local/data/empty/",
    "local/data/maps/",
    "local/data/maps/one",
    "local/none",
    "version.ini",
];

#[test]
fn an_archive_becomes_the_installed_game() {
    let (_, machine) = with_archive();
    let installed = machine.install().unwrap();
    let expected = Installed {
        version: "1.0".parse().unwrap(),
        replaced: None,
        updated: false,
        files: 3,
        bytes: 7,
    };
    assert_eq!(installed, expected);
    assert_eq!(machine.tree(), INSTALLED);
    assert_eq!(machine.read("local/data/maps/one").unwrap(), b"a map");
    let run = machine.disk.stat("cnctw/local/bin/run.exe").unwrap();
    assert!(run.unwrap().executable);
    assert_eq!(machine.installed_version().unwrap(), "1.0");
    let recovered = machine.recover().unwrap();
    assert_eq!(recovered.install, RecoveredInstall::Untouched);
    let intent = machine.state.disk().stat("games/cnctw/install_intent.json");
    assert_eq!(intent.unwrap(), None);
}

#[test]
fn an_update_takes_the_place_of_the_old_game_and_its_settings() {
    let (_, machine) = with_archive();
    machine.install().unwrap();
    machine.write("local/save", b"played");
    machine
        .state
        .write("games/cnctw/launch_settings.json", b"{}", FileMode::Plain)
        .unwrap();
    machine.put_archive("2.0", &[("only", "new")]);
    let installed = machine.install().unwrap();
    assert!(installed.updated);
    assert_eq!(installed.replaced.unwrap().as_str(), "1.0");
    assert_eq!(
        machine.tree(),
        ["game.eti", "local/", "local/only", "version.ini"]
    );
    assert_eq!(machine.installed_version().unwrap(), "2.0");
    let settings = machine
        .state
        .disk()
        .stat("games/cnctw/launch_settings.json");
    assert_eq!(settings.unwrap(), None);
}

#[test]
fn an_uninstall_takes_local_and_nothing_else() {
    let (_, machine) = with_archive();
    machine.install().unwrap();
    machine.write("local/save", b"played");
    machine.uninstall().unwrap();
    assert_eq!(machine.tree(), ["game.eti", "version.ini"]);
    assert_eq!(machine.installed_version(), None);
    assert_eq!(
        machine.recover().unwrap().install,
        RecoveredInstall::Untouched
    );
    assert!(matches!(
        machine.uninstall().unwrap_err(),
        UninstallError::NotInstalled { .. }
    ));
}

#[test]
fn several_archives_unpack_in_name_order_beside_what_only_looks_like_one() {
    let machine = machine_on(&memory());
    let (first, second) = (archive(&[("x/a", "1")]), archive(&[("x/b", "2")]));
    machine.put(
        "1",
        &[
            ("b.zip", &first),
            ("a.tar.zst", &second),
            ("c.zip", b"no archive"),
            ("d.txt", &first),
            ("deep/e.zip", &first),
        ],
    );
    let found = archives(&machine.disk, &machine.state, &UNPACKER, &game()).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|archive| archive.name().as_str())
        .collect();
    assert_eq!(names, ["a.tar.zst", "b.zip"]);
    machine.install().unwrap();
    assert_eq!(machine.read("local/x/a").unwrap(), b"1");
    assert_eq!(machine.read("local/x/b").unwrap(), b"2");
    assert!(machine.read("local/d.txt").is_none());
}

#[test]
fn a_game_that_is_not_there_has_no_archives() {
    let machine = machine_on(&memory());
    let found = archives(&machine.disk, &machine.state, &UNPACKER, &game()).unwrap();
    assert!(found.is_empty());
}

#[test]
fn a_plain_tree_is_copied_without_what_is_no_payload() {
    let machine = machine_on(&memory());
    machine.put(
        "1",
        &[("a/b", b"c"), ("a/thumbs.db", b"litter"), ("d", b"")],
    );
    machine.disk.create_folder("cnctw/e").unwrap();
    let installed = machine.install().unwrap();
    assert_eq!((installed.files, installed.bytes), (2, 1));
    let local: Vec<_> = machine
        .tree()
        .into_iter()
        .filter(|path| path.starts_with("local/"))
        .collect();
    assert_eq!(
        local,
        ["local/", "local/a/", "local/a/b", "local/d", "local/e/"]
    );
}

#[test]
fn a_downloaded_plain_tree_is_copied_by_its_manifest() {
    let machine = machine_on(&memory());
    let version = Version::new("3\n", &[("a/b.exe", b"c"), ("e/", b"")]);
    machine.download(&version, None).unwrap();
    machine.write("stray.zip", &archive(&ENTRIES));
    let installed = machine.install().unwrap();
    assert_eq!(installed.version.as_str(), "3");
    assert!(
        machine
            .disk
            .stat("cnctw/local/a/b.exe")
            .unwrap()
            .unwrap()
            .executable
    );
    assert_eq!(
        machine.disk.stat("cnctw/local/e").unwrap().unwrap().kind,
        Kind::Folder
    );
    assert!(machine.read("local/stray.zip").is_none());
}

#[test]
fn a_streamed_install_makes_its_game_root_and_takes_it_back() {
    let machine = machine_on(&memory());
    let install = machine.streamed().unwrap();
    assert!(machine.disk.stat("cnctw").unwrap().is_some());
    install.discard().unwrap();
    assert_eq!(machine.disk.stat("cnctw").unwrap(), None);

    let install = machine.streamed().unwrap();
    let mut file = install.create_file(&"x".parse().unwrap(), false).unwrap();
    file.write(b"abc").unwrap();
    file.finish().unwrap();
    assert_eq!(install.publish().unwrap().version.as_str(), "7");
    assert_eq!(machine.tree(), ["local/", "local/x"]);
    assert_eq!(machine.recover().unwrap().game, RecoveredGame::Absent);
    machine.uninstall().unwrap();
}

/// Nothing but the state directory's own id is new after a refusal.
pub(crate) fn refused(disk: &PowerCutDisk, machine: &Machine<PowerCutDisk>) -> InstallError {
    let games = |image: lanspread_disk::twin::Image| {
        let mut nodes = image.nodes().clone();
        nodes.retain(|path, _| path.starts_with("games/"));
        nodes
    };
    let before = games(disk.image());
    let error = machine.install().unwrap_err();
    assert_eq!(games(disk.image()), before, "{error}");
    let intent = machine.state.disk().stat("games/cnctw/install_intent.json");
    assert_eq!(intent.unwrap(), None, "{error}");
    error
}

#[test]
fn what_is_not_downloaded_is_not_installed() {
    let disk = memory();
    let machine = machine_on(&disk);
    let error = refused(&disk, &machine);
    assert!(matches!(error, InstallError::NotDownloaded { .. }));
    machine.put("", &[("a.zip", &archive(&ENTRIES))]);
    let error = refused(&disk, &machine);
    assert!(
        matches!(error, InstallError::BadVersion { .. }),
        "{error:?}"
    );
    machine.disk.remove_file("cnctw/version.ini").unwrap();
    machine.disk.create_folder("cnctw/version.ini").unwrap();
    let error = refused(&disk, &machine);
    assert!(
        matches!(error, InstallError::BadSentinel { .. }),
        "{error:?}"
    );
}

#[test]
fn a_game_without_anything_inside_is_refused() {
    for files in [&[][..], &[("a.zip", &archive(&[])[..])][..]] {
        let disk = memory();
        let machine = machine_on(&disk);
        machine.put("1", files);
        let error = refused(&disk, &machine);
        assert!(
            matches!(error, InstallError::NothingInside { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn what_is_not_ours_under_a_reserved_name_is_in_the_way() {
    for name in [".local.installing", ".local.backup", ".local.trash"] {
        let (disk, machine) = with_archive();
        machine.write(&format!("{name}/x"), b"someone's");
        let error = refused(&disk, &machine);
        assert!(matches!(&error, InstallError::Foreign { path } if path.ends_with(name)));
        machine.write("local/x", b"played");
        let error = machine.uninstall().unwrap_err();
        assert!(matches!(&error, UninstallError::Foreign { path } if path.ends_with(name)));
        let found = machine.recover().unwrap().foreign;
        assert!(found.len() == 1 && found[0].ends_with(name));
        assert_eq!(machine.read(&format!("{name}/x")).unwrap(), b"someone's");
    }
    let (disk, machine) = with_archive();
    machine.write("local", b"a file");
    let error = refused(&disk, &machine);
    assert!(matches!(&error, InstallError::Foreign { path } if path.ends_with("local")));
}

#[test]
fn a_damaged_archive_leaves_the_old_game() {
    let (disk, machine) = with_archive();
    machine.install().unwrap();
    machine.put("2", &[("game.eti", b"an archive\nx:1\n!\n")]);
    let error = refused(&disk, &machine);
    let InstallError::Unpack(UnpackError::Damaged { .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(machine.installed_version().unwrap(), "1.0");
}

#[test]
fn a_cancelled_install_is_rolled_back_wherever_it_was() {
    let calls = AtomicU64::new(0);
    for stop in 0.. {
        let (disk, machine) = with_archive();
        machine.install().unwrap();
        machine.put_archive("2", &ENTRIES);
        let before = disk.image();
        let control = InstallControl::default();
        let cancelled = Arc::clone(&control.cancelled);
        let seen = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&seen);
        let control = InstallControl {
            progress: Arc::new(move |_| {
                if counted.fetch_add(1, Ordering::Relaxed) == stop {
                    cancelled.store(true, Ordering::Relaxed);
                }
            }),
            ..control
        };
        let ran = machine.install_with(&control);
        calls.store(seen.load(Ordering::Relaxed), Ordering::Relaxed);
        if calls.load(Ordering::Relaxed) <= stop {
            ran.unwrap();
            assert!(stop > 5, "{stop}");
            return;
        }
        assert!(
            matches!(ran.unwrap_err(), InstallError::Cancelled),
            "{stop}"
        );
        assert_eq!(disk.image().nodes(), before.nodes(), "{stop}");
    }
}

#[test]
fn progress_goes_up_to_the_totals() {
    let (_, machine) = with_archive();
    let told: Arc<Mutex<Vec<InstallProgress>>> = Arc::default();
    let telling = Arc::clone(&told);
    let control = InstallControl {
        progress: Arc::new(move |progress| telling.lock().unwrap().push(progress)),
        ..InstallControl::default()
    };
    machine.install_with(&control).unwrap();
    let told = told.lock().unwrap();
    assert!(told.is_sorted_by_key(|progress| (progress.bytes_done, progress.files_done)));
    let expected = InstallProgress {
        bytes_done: 7,
        bytes_total: Some(7),
        files_done: 3,
        files_total: Some(3),
    };
    assert_eq!(*told.last().unwrap(), expected);
}
