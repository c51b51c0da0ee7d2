//! Every operation of the disk fails once in turn. The error is typed, the old game intact or
//! partial, and when the disk is well again the download succeeds.

use std::io::ErrorKind;

use lanspread_disk::{
    Space, StateError,
    twin::{PowerCutDisk, RecordingDisk, Verdict},
};
use lanspread_install::{DownloadError, RecoverError, RemoveError, remove_download};

use crate::support::{Found, Machine, Version, game, judge, machine_on, memory};

fn versions() -> [Version; 2] {
    [
        Version::new(
            "1\n",
            &[("a", b"aaa"), ("old/b", b"bbb"), ("keep.exe", b"same")],
        ),
        Version::new(
            "2\n",
            &[
                ("a", b"AAAA"),
                ("new/c", b"ccc"),
                ("keep.exe", b"same"),
                ("e/", b""),
            ],
        ),
    ]
}

/// A machine on `disk` whose `point`-th operation fails.
fn failing(
    disk: &PowerCutDisk,
    point: usize,
    kind: ErrorKind,
) -> Machine<RecordingDisk<PowerCutDisk>> {
    let games = RecordingDisk::new(disk.folder("games"), move |operation| {
        if operation.number == point {
            Verdict::Fail(kind)
        } else {
            Verdict::Proceed
        }
    });
    let state = games.beside(disk.folder("state"));
    Machine::new(games, state)
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<DownloadError>() {
        return error.missing_bytes().is_some_and(|missing| missing > 0)
            && error.to_string().contains("bytes of room are missing");
    }
    match error.downcast_ref::<RecoverError>() {
        Some(RecoverError::Disk(error)) => error.is_out_of_space(),
        Some(RecoverError::State(error)) => error.is_out_of_space(),
        _ => false,
    }
}

#[test]
fn every_operation_of_a_download_fails_once() {
    let [old, new] = versions();
    let versions = [&old, &new];
    let base = memory();
    machine_on(&base).download(&old, None).unwrap();
    machine_on(&base).write("local/save", b"played");
    let base = base.image();
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for point in 0.. {
            let disk = PowerCutDisk::from_image(&base);
            let machine = failing(&disk, point, kind);
            let ran = machine.download(&new, Some(&old));
            let reached = machine.disk.operations().len() > point;
            let found = judge(&disk.image(), &versions)
                .unwrap_or_else(|fault| panic!("{kind:?} at {point}: {fault}"));
            match ran {
                Ok(_) => assert_eq!(found, Found::Version(1)),
                Err(error) if kind == ErrorKind::StorageFull => {
                    let operation = &machine.disk.operations()[point];
                    assert!(
                        is_full(error.as_ref()) || !operation.verb.is_change(),
                        "{operation:?}: {error:?}"
                    );
                }
                Err(_) => {}
            }
            let saved = disk.image();
            assert_eq!(saved.content("games/cnctw/local/save").unwrap(), b"played");
            let well = machine_on(&disk);
            well.recover().unwrap();
            let previous = (found == Found::Version(0)).then_some(&old);
            well.download(&new, previous).unwrap();
            assert_eq!(
                judge(&disk.image(), &versions),
                Ok(Found::Version(1)),
                "{kind:?} {point}"
            );
            if !reached {
                assert!(point > 60, "the sweep ended after {point} operations");
                break;
            }
        }
    }
}

#[test]
fn every_operation_of_a_discard_fails_once_and_the_next_one_finishes() {
    let [old, new] = versions();
    let base = memory();
    machine_on(&base).download(&old, None).unwrap();
    machine_on(&base).write("local/save", b"played");
    let base = base.image();
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&base);
        let machine = failing(&disk, point, ErrorKind::Other);
        let ran = machine.begin(&new, Some(&old)).and_then(|download| {
            crate::support::fetch(&download, &new)?;
            download.discard()
        });
        let well = machine_on(&disk);
        well.recover().unwrap();
        lanspread_install::discard_partial(well.disk.as_ref(), &well.state, &game()).unwrap();
        let is_old = judge(&disk.image(), &[&old, &new]).unwrap() == Found::Version(0);
        assert!(
            is_old || !well.tree().iter().any(|path| path.starts_with("new")),
            "{point}"
        );
        assert_eq!(well.read("local/save").unwrap(), b"played");
        if machine.disk.operations().len() <= point {
            ran.unwrap();
            assert_eq!(well.tree(), ["keep.exe", "local/", "local/save"]);
            return;
        }
    }
}

#[test]
fn every_operation_of_a_removal_fails_once_and_recovery_finishes_or_nothing_happened() {
    let [old, _] = versions();
    let base = memory();
    machine_on(&base).download(&old, None).unwrap();
    let base = base.image();
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&base);
        let machine = failing(&disk, point, ErrorKind::StorageFull);
        let ran = remove_download(machine.disk.as_ref(), &machine.state, &game());
        judge(&disk.image(), &[&old]).unwrap();
        if let Err(error) = &ran {
            assert!(
                matches!(error, RemoveError::Disk(_) | RemoveError::State(_)),
                "{error:?}"
            );
        }
        let well = machine_on(&disk);
        well.recover().unwrap();
        match judge(&disk.image(), &[&old]).unwrap() {
            Found::Version(_) => assert!(ran.is_err()),
            Found::NotDownloaded => assert_eq!(well.tree(), Vec::<String>::new()),
        }
        if machine.disk.operations().len() <= point {
            ran.unwrap();
            return;
        }
    }
}

#[test]
fn a_full_disk_is_seen_in_advance_and_changes_nothing() {
    let [old, new] = versions();
    let disk = memory();
    machine_on(&disk).download(&old, None).unwrap();
    let before = disk.image();
    let machine = machine_on(&disk);
    disk.folder("games").set_space(Space {
        free_bytes: 2,
        total_bytes: 1 << 40,
    });
    // 1 byte more of `a` and 3 of `new/c` are wanted, 3 of `old/b` will be freed: that would do.
    drop(machine.begin(&new, Some(&old)).unwrap());
    let disk = PowerCutDisk::from_image(&before);
    let machine = machine_on(&disk);
    disk.set_space(Space {
        free_bytes: 0,
        total_bytes: 1 << 40,
    });
    let error = machine.begin(&new, Some(&old)).err().unwrap();
    assert_eq!(error.missing_bytes(), Some(1), "{error}");
    assert_eq!(disk.image().nodes(), before.nodes());
    disk.set_space(Space {
        free_bytes: 1,
        total_bytes: 1 << 40,
    });
    machine.download(&new, Some(&old)).unwrap();
}

#[test]
fn the_reserve_is_the_larger_of_one_percent_and_one_gibibyte() {
    const GIB: u64 = 1 << 30;
    let [old, _] = versions();
    let disk = memory();
    let machine = machine_on(&disk);
    for (total_bytes, reserve) in [(10 * GIB, GIB), (1000 * GIB, 10 * GIB)] {
        let begin = |free_bytes| {
            disk.set_space(Space {
                free_bytes,
                total_bytes,
            });
            lanspread_install::DownloadTransaction::begin(
                machine.disk.clone(),
                machine.state.clone(),
                lanspread_install::DownloadRequest {
                    game: game(),
                    payload: old.payload.clone(),
                    previous: None,
                    reserve_bytes: None,
                },
            )
        };
        let wanted = old.payload.manifest().bytes();
        assert_eq!(
            begin(reserve + wanted - 1).err().unwrap().missing_bytes(),
            Some(1)
        );
        begin(reserve + wanted).unwrap().discard().unwrap();
    }
}

#[test]
fn a_state_directory_that_cannot_be_read_stops_a_download_before_it_changes_anything() {
    let [old, new] = versions();
    let disk = memory();
    let machine = machine_on(&disk);
    machine.download(&old, None).unwrap();
    machine
        .state
        .write(
            "games/cnctw/download.json",
            b"{",
            lanspread_disk::FileMode::Plain,
        )
        .unwrap();
    let before = disk.image();
    let error = machine.begin(&new, Some(&old)).err().unwrap();
    assert!(
        matches!(error, DownloadError::State(StateError::Damaged { .. })),
        "{error:?}"
    );
    assert_eq!(disk.image().nodes(), before.nodes());
}
