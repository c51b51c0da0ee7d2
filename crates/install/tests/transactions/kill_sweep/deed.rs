//! What a victim does, from a scene that is made for it.

use lanspread_disk::Disk;
use lanspread_install::{RecoveredGame, remove_download};

use crate::{
    support::{Machine, Version, fetch, game},
    unpacker::archive,
};

/// One operation on a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Install,
    Update,
    Uninstall,
    Remove,
    Download,
    Upgrade,
    Stream,
    Recover,
}

const DEEDS: [(Deed, &str); 8] = [
    (Deed::Install, "install"),
    (Deed::Update, "update"),
    (Deed::Uninstall, "uninstall"),
    (Deed::Remove, "remove"),
    (Deed::Download, "download"),
    (Deed::Upgrade, "upgrade"),
    (Deed::Stream, "stream"),
    (Deed::Recover, "recover"),
];

const FIRST: [(&str, &str); 3] = [("bin/run.exe", "MZ"), ("data/map", "one"), ("saves/", "")];
const SECOND: [(&str, &str); 3] = [("bin/run.exe", "MZ2"), ("data/other", "two"), ("none", "")];

/// Two versions of a game, each an archive and a text.
pub(super) fn versions() -> [Version; 2] {
    let of = |sentinel, entries: &[(&str, &str)], text: &[u8]| {
        Version::new(
            sentinel,
            &[("game.eti", &archive(entries)), ("docs/text", text)],
        )
    };
    [of("1.0\n", &FIRST, b"read"), of("2.0\n", &SECOND, b"me")]
}

impl Deed {
    pub(super) fn named(name: &str) -> Self {
        DEEDS.iter().find(|(_, known)| *known == name).unwrap().0
    }

    pub(super) fn name(self) -> &'static str {
        DEEDS.iter().find(|(deed, _)| *deed == self).unwrap().1
    }

    /// Brings a machine to where the deed can be done.
    pub(super) fn prepare<D: Disk>(self, machine: &Machine<D>) {
        let [first, second] = versions();
        let download = |version, previous| {
            machine.download(version, previous).unwrap();
        };
        match self {
            Self::Download | Self::Stream | Self::Recover => {}
            Self::Install | Self::Remove => download(&first, None),
            Self::Uninstall | Self::Upgrade => {
                download(&first, None);
                machine.install().unwrap();
            }
            Self::Update => {
                download(&first, None);
                machine.install().unwrap();
                download(&second, Some(&first));
            }
        }
    }

    /// Does it; after a death, recovers and does what is left of it.
    pub(super) fn carry_out<D: Disk>(self, machine: &Machine<D>) {
        let recovered = machine.recover().unwrap();
        let [first, second] = versions();
        match self {
            Self::Recover => {}
            Self::Install | Self::Update => drop(machine.install().unwrap()),
            Self::Uninstall => machine.uninstall().unwrap(),
            Self::Remove => {
                remove_download(machine.disk.as_ref(), &machine.state, &game()).unwrap();
            }
            Self::Download => drop(machine.download(&first, None).unwrap()),
            Self::Upgrade => {
                let previous = (recovered.game == RecoveredGame::Downloaded).then_some(&first);
                let download = machine.begin(&second, previous).unwrap();
                fetch(&download, &second).unwrap();
                drop(download.publish().unwrap());
            }
            Self::Stream => {
                let staging = machine.streamed().unwrap();
                for (path, content) in FIRST {
                    crate::unpacker::entry(&staging, path, content).unwrap();
                }
                drop(staging.publish().unwrap());
            }
        }
    }
}
