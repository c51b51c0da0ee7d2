//! Every state of the reserved folders, the intent and the markers, fabricated, against the recovery
//! table written as a table. Recovery runs twice, and is cut short at every moment.

use std::collections::BTreeMap;

use lanspread_disk::{
    Disk, DiskFile, FileMode,
    twin::{Image, ImageNode, PowerCutDisk},
};
use lanspread_install::{InstallError, Recovered, RecoveredInstall, recover};

use crate::support::{game, machine_on, memory, report};

/// Which of `local`, `.local.installing` and `.local.backup` are there, and what is `local` afterwards
/// if all of them are ours: the content of which folder. Everything else of ours is gone.
const TABLE: [([bool; 3], Option<&str>); 8] = [
    ([false, false, false], None),
    ([true, false, false], Some("local")),
    ([false, true, false], None),
    ([false, false, true], Some(".local.backup")),
    ([true, true, false], Some("local")),
    ([true, false, true], Some("local")),
    ([false, true, true], Some(".local.backup")),
    ([true, true, true], Some("local")),
];

const SLOTS: [&str; 3] = [".local.installing", ".local.backup", ".local.trash"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    None,
    Install,
    Update,
    Uninstall,
    Unreadable,
}

const INTENTS: [Intent; 5] = [
    Intent::None,
    Intent::Install,
    Intent::Update,
    Intent::Uninstall,
    Intent::Unreadable,
];

impl Intent {
    fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::Install => {
                r#"{"format":1,"data":{"kind":"install","transaction":"t","version":"2.0","root_created":false}}"#
            }
            Self::Update => {
                r#"{"format":1,"data":{"kind":"update","transaction":"t","version":"2.0","replaces":"1.0"}}"#
            }
            Self::Uninstall => {
                r#"{"format":1,"data":{"kind":"uninstall","transaction":"t","version":"1.0"}}"#
            }
            Self::Unreadable => r#"{"format":1,"data":{"ki"#,
        })
    }

    /// Which folders such an operation makes: those it has not marked yet are its own.
    fn makes(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Unreadable => &[],
            Self::Install => &SLOTS[..1],
            Self::Update => &SLOTS,
            Self::Uninstall => &SLOTS[2..],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Ours,
    Foreign,
    Empty,
    Missing,
}

#[derive(Debug, Clone, Copy)]
struct State {
    there: [bool; 3],
    trash: bool,
    intent: Intent,
    marker: Marker,
}

fn states(markers: &[Marker]) -> Vec<(State, Option<&'static str>)> {
    let mut states = Vec::new();
    for (there, local) in TABLE {
        for trash in [false, true] {
            for intent in INTENTS {
                for &marker in markers {
                    let state = State {
                        there,
                        trash,
                        intent,
                        marker,
                    };
                    states.push((state, local));
                }
            }
        }
    }
    states
}

impl State {
    fn has(self, folder: &str) -> bool {
        match folder {
            "local" => self.there[0],
            ".local.installing" => self.there[1],
            ".local.backup" => self.there[2],
            _ => self.trash,
        }
    }

    /// A `local` with a marker is one that was just committed: nothing is being unpacked then.
    fn is_marked(self, folder: &str) -> bool {
        folder != "local" || !self.has(".local.installing")
    }

    fn is_ours(self, folder: &str) -> bool {
        match self.marker {
            Marker::Ours => true,
            Marker::Foreign => false,
            Marker::Empty | Marker::Missing => self.intent.makes().contains(&folder),
        }
    }

    fn marker_text(self, folder: &str) -> Option<String> {
        let role = match folder {
            "local" | ".local.installing" => "staging",
            ".local.backup" => "backup",
            _ => "trash",
        };
        let whose = match self.marker {
            _ if !self.is_marked(folder) => return None,
            Marker::Missing => return None,
            Marker::Empty => return Some(String::new()),
            Marker::Ours => "me",
            Marker::Foreign => "you",
        };
        Some(format!(
            r#"{{"format":1,"data":{{"owner":"{whose}","transaction":"t","role":"{role}","version":"2.0"}}}}"#
        ))
    }

    /// A downloaded game in version 2.0, of which 1.0 was installed.
    fn fabricate(self) -> PowerCutDisk {
        let disk = memory();
        let machine = machine_on(&disk);
        machine.put_archive("2.0", &[("new", "2.0")]);
        for folder in ["local"].into_iter().chain(SLOTS) {
            if !self.has(folder) {
                continue;
            }
            machine.write(&format!("{folder}/which"), folder.as_bytes());
            machine.write(&format!("{folder}/deep/er/file"), b"x");
            machine
                .disk
                .put_link(&format!("cnctw/{folder}/deep/link"))
                .unwrap();
            if let Some(text) = self.marker_text(folder) {
                machine.write(&format!("{folder}/.lanspread_owned"), text.as_bytes());
            }
        }
        let put = |path: &str, text: &str| {
            let write = machine.state.write(path, text.as_bytes(), FileMode::Plain);
            write.unwrap();
        };
        put("owner.json", r#"{"format":1,"data":{"owner":"me"}}"#);
        put(
            "games/cnctw/installed.json",
            r#"{"format":1,"data":{"version":"1.0"}}"#,
        );
        put("games/cnctw/launch_settings.json", "{}");
        if let Some(text) = self.intent.text() {
            put("games/cnctw/install_intent.json", text);
        }
        disk.settle();
        disk
    }

    /// The table's row without what is not ours.
    fn row(self) -> Option<&'static str> {
        let ours = |folder: &str| self.has(folder) && self.is_ours(folder);
        let there = [
            self.there[0],
            ours(".local.installing"),
            ours(".local.backup"),
        ];
        let row = TABLE.iter().find(|(row, _)| *row == there);
        row.unwrap().1
    }

    fn is_committed(self) -> bool {
        self.has("local") && self.is_marked("local") && self.marker == Marker::Ours
    }

    /// What the game root holds afterwards.
    fn expected(self, before: &Image) -> BTreeMap<String, ImageNode> {
        let mut expected = BTreeMap::new();
        let local = self.row();
        for (path, node) in root(before) {
            let folder = path.split('/').next().unwrap();
            let is_marker = path == format!("{folder}/.lanspread_owned");
            let becomes = if folder != "local" && !SLOTS.contains(&folder) {
                Some(path.clone())
            } else if local == Some(folder) {
                // In a `local`, what was cut or is somebody's is left as it is.
                let stripped = is_marker && (self.marker == Marker::Ours || folder != "local");
                (!stripped).then(|| path.replacen(folder, "local", 1))
            } else if folder == "local" || !self.is_ours(folder) {
                Some(path.clone())
            } else {
                None
            };
            expected.extend(becomes.map(|path| (path, node)));
        }
        expected
    }

    fn expected_version(self) -> Option<&'static str> {
        let is_gone = self.row().is_none();
        match self.intent {
            _ if self.is_committed() => Some("2.0"),
            Intent::Update | Intent::Uninstall if is_gone => None,
            _ => Some("1.0"),
        }
    }

    fn expected_report(self) -> RecoveredInstall {
        let ours = |folder: &str| self.has(folder) && self.is_ours(folder);
        let is_gone = self.row().is_none();
        let version = Some("2.0".parse().unwrap());
        match self.intent {
            _ if self.is_committed() => RecoveredInstall::Committed { version },
            Intent::Update if is_gone => RecoveredInstall::Lost,
            Intent::Uninstall if is_gone => RecoveredInstall::Uninstalled,
            _ if self.row() == Some(".local.backup") || ours(".local.installing") => {
                RecoveredInstall::TakenBack
            }
            _ if ours(".local.backup") || ours(".local.trash") => RecoveredInstall::Swept,
            _ => RecoveredInstall::Untouched,
        }
    }

    fn expected_foreign(self) -> Vec<String> {
        let foreign = |folder: &&str| self.has(folder) && !self.is_ours(folder);
        let found = SLOTS.into_iter().filter(foreign);
        found
            .map(|folder| format!("/games/cnctw/{folder}"))
            .collect()
    }
}

/// Everything in the game root.
fn root(image: &Image) -> BTreeMap<String, ImageNode> {
    let inside = |(path, node): (&String, &ImageNode)| {
        let path = path.strip_prefix(&format!("games/{}/", game()))?;
        Some((path.to_owned(), node.clone()))
    };
    image.nodes().iter().filter_map(inside).collect()
}

fn recovered(disk: &PowerCutDisk) -> Recovered {
    let machine = machine_on(disk);
    recover(machine.disk.as_ref(), &machine.state, &game()).unwrap()
}

fn shown(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

fn check(state: State, disk: &PowerCutDisk, expected: &BTreeMap<String, ImageNode>) {
    let image = disk.image();
    assert_eq!(&root(&image), expected, "{state:?}");
    let version = machine_on(disk).installed_version();
    assert_eq!(version.as_deref(), state.expected_version(), "{state:?}");
    assert!(
        !image.has("state/games/cnctw/install_intent.json"),
        "{state:?}"
    );
    let settings = image.has("state/games/cnctw/launch_settings.json");
    assert_eq!(settings, version.as_deref() == Some("1.0"), "{state:?}");
    let bad = |path: &&String| path.contains("install_intent.json.bad-");
    let quarantined = image.nodes().keys().filter(bad).count();
    let is_bad = state.intent == Intent::Unreadable;
    assert_eq!(quarantined, usize::from(is_bad), "{state:?}");
}

fn check_state(state: State) {
    let disk = state.fabricate();
    let expected = state.expected(&disk.image());
    let first = recovered(&disk);
    check(state, &disk, &expected);
    assert_eq!(first.install, state.expected_report(), "{state:?}");
    assert_eq!(shown(&first.foreign), state.expected_foreign(), "{state:?}");
    let is_bad = state.intent == Intent::Unreadable;
    assert_eq!(first.quarantined.len(), usize::from(is_bad), "{state:?}");

    let once = disk.image();
    let second = recovered(&disk);
    assert_eq!(disk.image().nodes(), once.nodes(), "{state:?}");
    assert_eq!(second.install, RecoveredInstall::Untouched, "{state:?}");
    assert_eq!(second.foreign, first.foreign, "{state:?}");

    match machine_on(&disk).install() {
        Ok(_) => assert!(first.foreign.is_empty(), "{state:?}"),
        Err(InstallError::Foreign { path }) => assert_eq!(path, first.foreign[0], "{state:?}"),
        Err(error) => panic!("{state:?}: {error:?}"),
    }
}

#[test]
fn every_state_is_recovered_as_the_table_says_and_a_second_time_nothing_changes() {
    let table = states(&[Marker::Ours, Marker::Foreign, Marker::Empty]);
    assert_eq!(table.len(), 240);
    let without_marker = states(&[Marker::Missing]);
    for (state, _) in table.iter().chain(&without_marker) {
        check_state(*state);
    }
}

#[test]
fn recovery_that_is_cut_short_anywhere_ends_the_same_way() {
    let mut cuts = 0;
    for (state, _) in states(&[Marker::Ours, Marker::Empty, Marker::Missing]) {
        let disk = state.fabricate();
        let expected = state.expected(&disk.image());
        recovered(&disk);
        let images = disk.crash_images(1);
        cuts += images.len();
        for image in images {
            let disk = PowerCutDisk::from_image(&image);
            recovered(&disk);
            check(state, &disk, &expected);
        }
    }
    report(&format!("{cuts} states of recovery that was cut short"));
    assert!(cuts > 2_000, "only {cuts} states were tried");
}

#[test]
fn a_backup_whose_way_out_is_blocked_stays_known_as_ours() {
    let state = State {
        there: [true, false, true],
        trash: false,
        intent: Intent::Update,
        marker: Marker::Missing,
    };
    let disk = state.fabricate();
    let machine = machine_on(&disk);
    machine.write(".local.trash", b"a file of somebody's");
    let recovered = recovered(&disk);
    assert_eq!(shown(&recovered.foreign), ["/games/cnctw/.local.trash"]);
    assert!(machine.read(".local.backup/which").is_some());
    machine.disk.remove_file("cnctw/.local.trash").unwrap();
    let again = self::recovered(&disk);
    assert_eq!(again.install, RecoveredInstall::Swept);
    assert!(machine.disk.stat("cnctw/.local.backup").unwrap().is_none());
}

#[test]
fn a_file_called_local_blocks_a_restore_and_nothing_is_lost() {
    let state = State {
        there: [false, false, true],
        trash: false,
        intent: Intent::Update,
        marker: Marker::Missing,
    };
    let disk = state.fabricate();
    let machine = machine_on(&disk);
    machine.write("local", b"a file of somebody's");
    let first = recovered(&disk);
    assert_eq!(shown(&first.foreign), ["/games/cnctw/local"]);
    machine.disk.remove_file("cnctw/local").unwrap();
    assert_eq!(recovered(&disk).install, RecoveredInstall::TakenBack);
    assert_eq!(machine.read("local/which").unwrap(), b".local.backup");
}

#[test]
fn a_newer_intent_is_refused_and_nothing_is_touched() {
    let state = State {
        there: [false, true, true],
        trash: true,
        intent: Intent::None,
        marker: Marker::Ours,
    };
    let disk = state.fabricate();
    let machine = machine_on(&disk);
    let newer = br#"{"format":2,"data":{"kind":"teleport"}}"#;
    let path = "games/cnctw/install_intent.json";
    machine.state.write(path, newer, FileMode::Plain).unwrap();
    let before = disk.image();
    assert!(machine.recover().is_err());
    assert!(machine.install().is_err() && machine.uninstall().is_err());
    assert_eq!(disk.image().nodes(), before.nodes());
}

#[test]
fn a_removal_does_not_take_what_was_installed_since() {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.write("local/save", b"played");
    let text = br#"{"format":1,"data":{"kind":"remove"}}"#;
    let path = "games/cnctw/install_intent.json";
    machine.state.write(path, text, FileMode::Plain).unwrap();
    recovered(&disk);
    assert_eq!(machine.read("local/save").unwrap(), b"played");
    assert_eq!(machine.state.disk().stat(path).unwrap(), None);
}

#[test]
fn a_removal_does_not_take_a_folder_of_the_same_name_elsewhere() {
    for is_same in [true, false] {
        let disk = memory();
        let machine = machine_on(&disk);
        machine.write("payload", b"kept");
        let root_id = machine.disk.stat("cnctw").unwrap().unwrap().stamp.file_id;
        let root_id = root_id + u64::from(!is_same);
        let text = format!(r#"{{"format":1,"data":{{"kind":"remove","root_id":{root_id}}}}}"#);
        let path = "games/cnctw/install_intent.json";
        let put = machine.state.write(path, text.as_bytes(), FileMode::Plain);
        put.unwrap();
        recovered(&disk);
        assert_eq!(machine.read("payload").is_none(), is_same);
        assert_eq!(machine.state.disk().stat(path).unwrap(), None);
    }
}

#[test]
fn a_marker_that_is_no_file_is_somebody_elses() {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.write(".local.installing/.lanspread_owned/x", b"mine");
    machine.disk.create_folder("cnctw/.local.trash").unwrap();
    machine
        .disk
        .put_link("cnctw/.local.trash/.lanspread_owned")
        .unwrap();
    let long = machine
        .disk
        .create_folder("cnctw/.local.backup")
        .and_then(|()| {
            let path = "cnctw/.local.backup/.lanspread_owned";
            machine.disk.create_new(path, FileMode::Plain)
        });
    long.unwrap().set_len(1 << 20).unwrap();
    let before = disk.image();
    assert_eq!(recovered(&disk).foreign.len(), 3);
    assert_eq!(disk.image().nodes(), before.nodes());
}
