//! Item by item the same, by every tool in every format; 5,000 files and more in each format once.

use std::fs;

use lanspread_install::{InstallError, UnpackError};
use lanspread_testkit::GameTree;

use crate::{
    game::{Machine, assert_installed, file_count, many_files},
    tools::{self, Recipe, pack},
};

/// Files of the tree that one recipe of each format packs, and of the one for the others.
const MANY: usize = 5_100;
const SOME: usize = 400;

/// The larger files' size: several pieces of whatever is handed over at once.
const LARGE_BYTES: usize = 2_000_000;

#[test]
fn zip() {
    round_trips(&tools::ZIP[..1], MANY);
}

#[test]
fn zip_in_other_ways() {
    round_trips(&tools::ZIP[1..], SOME);
}

#[test]
fn seven_z() {
    round_trips(&tools::SEVEN_Z[..1], MANY);
}

#[test]
fn seven_z_in_other_ways() {
    round_trips(&tools::SEVEN_Z[1..], SOME);
}

#[test]
fn tar() {
    round_trips(&tools::TAR[..1], MANY);
}

#[test]
fn tar_in_other_ways() {
    round_trips(&tools::TAR[1..], SOME);
}

fn round_trips(recipes: &[Recipe], files: usize) {
    for (name, command) in recipes {
        let tree = many_files(files, LARGE_BYTES);
        let packing = Machine::new();
        let folder = packing.unpacked(&tree);
        let machine = Machine::new();
        pack(&folder, command, &machine.archive(name));
        check(&tree, &machine, name);
    }
}

fn check(tree: &GameTree, machine: &Machine, what: &str) {
    let installed = machine
        .install()
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(
        installed.files,
        file_count(&machine.root().join("local")) as u64,
        "{what}"
    );
    assert_installed(tree, machine);
}

#[test]
fn sparse_files_are_refused_whichever_way_they_are_packed() {
    for (name, command) in [
        ("gnu.tar", "truncate -s 1M hole && tar cSf \"$OUT\" hole"),
        (
            "posix.tar",
            "truncate -s 1M hole && tar cSf \"$OUT\" --format=posix hole",
        ),
    ] {
        let machine = Machine::new();
        let folder = machine.unpacked(&many_files(0, 0));
        pack(&folder, command, &machine.archive(name));
        let error = machine.install().unwrap_err();
        assert!(
            matches!(
                &error,
                InstallError::Unpack(UnpackError::Unsupported { what, .. }) if what.contains("sparse")
            ),
            "{name}: {error:?}"
        );
    }
}

#[cfg(all(unix, feature = "rar"))]
mod rar {
    use std::{os::unix::fs::PermissionsExt, path::Path};

    use rars::{ArchiveVersion, Builder};

    use super::*;

    /// The end block that `WinRAR` writes from version 3 on, and the crate does not.
    const END_OF_RAR_4: [u8; 7] = [0xc4, 0x3d, 0x7b, 0x00, 0x40, 0x07, 0x00];

    fn round_trip(tree: &GameTree, builder: Builder) {
        let packing = Machine::new();
        let folder = packing.unpacked(tree);
        let format = builder.format();
        let mut builder = builder.compression_level(Some(1));
        add(&mut builder, &folder, "");
        let mut archive = builder.to_bytes().unwrap();
        if format == ArchiveVersion::Rar40 {
            archive.extend(END_OF_RAR_4);
        }
        let machine = Machine::new();
        fs::write(machine.archive("game.rar"), archive).unwrap();
        check(tree, &machine, &format!("{format:?}"));
    }

    fn add(builder: &mut Builder, folder: &Path, under: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{under}{}", entry.file_name().to_str().unwrap());
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                let bytes = name.clone().into_bytes();
                builder.add_directory(bytes, None, Some(0o755)).unwrap();
                add(builder, &entry.path(), &format!("{name}/"));
            } else {
                let content = fs::read(entry.path()).unwrap();
                let mode = metadata.permissions().mode();
                builder
                    .add_bytes(name.into_bytes(), content, None, Some(mode))
                    .unwrap();
            }
        }
    }

    fn small() -> GameTree {
        // The writer takes its time.
        many_files(100, 300_000)
    }

    #[test]
    fn five_stored() {
        let builder = Builder::new(ArchiveVersion::Rar50).store(true);
        round_trip(&many_files(MANY, LARGE_BYTES), builder);
    }

    #[test]
    fn five() {
        round_trip(&small(), Builder::new(ArchiveVersion::Rar50));
    }

    #[test]
    fn five_solid() {
        round_trip(&small(), Builder::new(ArchiveVersion::Rar50).solid(true));
    }

    #[test]
    fn four() {
        round_trip(&small(), Builder::new(ArchiveVersion::Rar40));
    }

    #[test]
    fn four_solid() {
        round_trip(&small(), Builder::new(ArchiveVersion::Rar40).solid(true));
    }
}
