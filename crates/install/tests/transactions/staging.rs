//! The staging folder: what it takes, what it refuses, and what is looked at before the commit.

use lanspread_disk::{Disk, DiskFile, FileMode, Space, twin::PowerCutDisk};
use lanspread_install::{
    ContentFault, InstallControl, InstallError, InstallRequest, InstallSource, InstallTransaction,
    Staging, StagingError, Totals,
};

use crate::{
    install::{refused, request, with_archive},
    support::{game, machine_on, memory},
};

#[test]
fn a_full_disk_is_seen_before_anything_is_unpacked() {
    let (disk, machine) = with_archive();
    disk.set_space(Space {
        free_bytes: 6,
        total_bytes: 1 << 40,
    });
    let error = refused(&disk, &machine);
    assert_eq!(error.missing_bytes(), Some(1), "{error}");
    disk.set_space(Space {
        free_bytes: 7,
        total_bytes: 1 << 40,
    });
    machine.install().unwrap();
}

#[test]
fn the_reserve_is_kept_also_when_nobody_says_what_will_come() {
    let machine = machine_on(&memory());
    let request = InstallRequest {
        reserve_bytes: Some(100),
        ..request()
    };
    let version = "7".parse().unwrap();
    let (source, control) = (
        InstallSource::Streamed { version },
        InstallControl::default(),
    );
    let install =
        InstallTransaction::begin(&machine.disk, &machine.state, &request, source, &control)
            .unwrap();
    install.expect(Totals::default()).unwrap();
    let mut file = install.create_file(&"x".parse().unwrap(), false).unwrap();
    machine.disk.set_space(Space {
        free_bytes: 93,
        total_bytes: 1 << 40,
    });
    let piece = vec![1; 16 << 20];
    let refused = (0..5).find_map(|_| file.write(&piece).err());
    let Some(StagingError::DiskFull { missing_bytes, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(missing_bytes, 7);
    drop(file);
    install.discard().unwrap();
}

/// What an external tool may leave in the staging folder, and why it is refused.
#[test]
fn what_lies_in_the_staging_folder_is_looked_at_before_the_commit() {
    type Put = fn(&PowerCutDisk);
    fn write(disk: &PowerCutDisk, path: &str) {
        disk.create_new(&format!("cnctw/.local.installing/{path}"), FileMode::Plain)
            .unwrap();
    }
    let cases: [(Put, &str); 7] = [
        (|disk| write(disk, "a:b"), "has a path that is refused"),
        (|disk| write(disk, "con"), "has a path that is refused"),
        (
            |disk| write(disk, ".LANSPREAD_OWNED"),
            "has a reserved name",
        ),
        (
            |disk| disk.put_link("cnctw/.local.installing/x").unwrap(),
            "is a symbolic link, and only files and folders are installed",
        ),
        (
            |disk| {
                write(disk, "x");
                write(disk, "X");
            },
            "has a path that is refused",
        ),
        (
            |disk| {
                disk.create_folder("cnctw/.local.installing/d").unwrap();
                disk.create_folder("cnctw/.local.installing/D").unwrap();
            },
            "has a path that is refused",
        ),
        (|_| {}, "has no payload to install"),
    ];
    for (put, expected) in cases {
        let machine = machine_on(&memory());
        let install = machine.streamed().unwrap();
        put(&machine.disk);
        let error = install.publish().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}: {expected}");
        assert_eq!(machine.disk.stat("cnctw").unwrap(), None, "{error}");
    }
    let machine = machine_on(&memory());
    let install = machine.streamed().unwrap();
    machine
        .disk
        .create_folder("cnctw/.local.installing/d")
        .unwrap();
    write(&machine.disk, "d/fine");
    assert_eq!(install.publish().unwrap().files, 1);
}

#[test]
fn what_was_handed_over_must_be_there_and_nothing_else() {
    type Meddle = fn(&PowerCutDisk);
    const AT: &str = "cnctw/.local.installing";
    let cases: [(Meddle, ContentFault); 3] = [
        (
            |disk| {
                let path = format!("{AT}/y");
                disk.create_new(&path, FileMode::Plain).unwrap();
            },
            ContentFault::Unexpected,
        ),
        (
            |disk| disk.remove_file(&format!("{AT}/d/x")).unwrap(),
            ContentFault::Missing,
        ),
        (
            |disk| {
                disk.open_existing(&format!("{AT}/d/x"))
                    .unwrap()
                    .set_len(2)
                    .unwrap();
            },
            ContentFault::Size {
                expected_bytes: 3,
                found_bytes: 2,
            },
        ),
    ];
    for (meddle, expected) in cases {
        let machine = machine_on(&memory());
        let install = machine.streamed().unwrap();
        let mut file = install.create_file(&"d/x".parse().unwrap(), false).unwrap();
        file.write(b"abc").unwrap();
        file.finish().unwrap();
        meddle(&machine.disk);
        let error = install.publish().unwrap_err();
        assert!(
            matches!(&error, InstallError::NotInstallable { fault, .. } if *fault == expected),
            "{error:?}"
        );
    }
}

#[test]
fn a_file_that_was_not_finished_fails_the_install() {
    let machine = machine_on(&memory());
    let install = machine.streamed().unwrap();
    drop(install.create_file(&"x".parse().unwrap(), false).unwrap());
    let error = install.publish().unwrap_err();
    assert!(error.to_string().ends_with("was not finished"), "{error}");
}

#[test]
fn nothing_is_written_over_anything_in_the_staging_folder() {
    let machine = machine_on(&memory());
    let install = machine.streamed().unwrap();
    let create = |path: &str| install.create_file(&path.parse().unwrap(), false).map(drop);
    create("d/x").unwrap();
    for taken in ["d/x", "d", ".lanspread_owned"] {
        let Err(StagingError::Disk(error)) = create(taken) else {
            panic!("{taken} was taken")
        };
        assert!(error.is_already_there(), "{error}");
    }
    assert!(install.create_folder(&"d/x".parse().unwrap()).is_err());
    assert!(create("d/x/y").is_err());
    install.create_folder(&"d".parse().unwrap()).unwrap();
}

#[test]
fn sums_are_compared_where_an_external_tool_wrote_the_files() {
    for (bytes, is_fine) in [(3, true), (4, false)] {
        let machine = machine_on(&memory());
        let install = machine.streamed().unwrap();
        let totals = Totals {
            bytes: Some(bytes),
            files: Some(1),
        };
        install.expect(totals).unwrap();
        let path = format!("{}/.local.installing/x", game());
        let file = machine.disk.create_new(&path, FileMode::Plain).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        match install.publish() {
            Ok(installed) => assert!(is_fine && installed.bytes == 3),
            Err(error) => {
                let expected = "holds 3 bytes instead of 4";
                assert!(!is_fine && error.to_string().ends_with(expected), "{error}");
            }
        }
    }
}

#[test]
fn many_threads_fill_one_staging_folder() {
    const THREADS: usize = 8;
    let machine = machine_on(&memory());
    let install = machine.streamed().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let install = &install;
            scope.spawn(move || {
                for file in 0..50 {
                    let path = format!("d{}/s{}/{thread}-{file}", file % 5, file % 3);
                    let mut open = install.create_file(&path.parse().unwrap(), false).unwrap();
                    open.write(path.as_bytes()).unwrap();
                    open.finish().unwrap();
                }
            });
        }
    });
    assert_eq!(install.publish().unwrap().files, 50 * THREADS as u64);
    let path = "d4/s1/7-49";
    let found = machine.read(&format!("local/{path}"));
    assert_eq!(found.unwrap(), path.as_bytes());
}
