//! Every operation of the disk fails once in turn during an install, an update, an uninstall, a
//! removal and a recovery. The error is typed, what was installed is as it was, and once the disk is
//! well the same thing succeeds.

use std::{error::Error, io::ErrorKind};

use lanspread_disk::{
    DiskError, StateError,
    twin::{Operation, PowerCutDisk, RecordingDisk, Verdict},
};
use lanspread_install::{
    InstallError, RecoverError, RemoveError, UninstallError, UnpackError, remove_download,
};

use crate::{
    install_cuts::{Is, judge, with_old},
    support::{Machine, game, machine_on, memory, report},
};

/// A full disk, a quota, a lack of permission, a broken disk (an `EIO` has no kind of its own).
const KINDS: [ErrorKind; 4] = [
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
    ErrorKind::PermissionDenied,
    ErrorKind::Other,
];

type Failing = Machine<RecordingDisk<PowerCutDisk>>;

/// A machine on `disk` whose `point`-th operation fails.
fn failing(disk: &PowerCutDisk, point: usize, kind: ErrorKind) -> Failing {
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

/// The disk's own error, somewhere in the chain of causes.
fn disk_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e DiskError> {
    let mut at = Some(error);
    while let Some(error) = at {
        // An error that is told as its cause does not show up in the chain.
        let found = error
            .downcast_ref::<DiskError>()
            .or_else(|| match error.downcast_ref::<InstallError>() {
                Some(InstallError::Disk(error) | InstallError::State(StateError::Disk(error))) => {
                    Some(error)
                }
                _ => None,
            })
            .or_else(|| match error.downcast_ref::<UninstallError>() {
                Some(
                    UninstallError::Disk(error) | UninstallError::State(StateError::Disk(error)),
                ) => Some(error),
                _ => None,
            })
            .or_else(|| match error.downcast_ref::<RemoveError>() {
                Some(RemoveError::Disk(error) | RemoveError::State(StateError::Disk(error))) => {
                    Some(error)
                }
                _ => None,
            })
            .or_else(|| match error.downcast_ref::<RecoverError>() {
                Some(RecoverError::Disk(error) | RecoverError::State(StateError::Disk(error))) => {
                    Some(error)
                }
                _ => None,
            });
        if found.is_some() {
            return found;
        }
        // What an archive's reader was told comes wrapped by the standard library.
        at = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| error.source());
    }
    None
}

/// The error says which operation failed and how, and of a full disk how much is missing.
fn check_typed(error: &(dyn Error + 'static), operation: &Operation, kind: ErrorKind) {
    let told = disk_error(error).map(|error| error.source.kind());
    assert_eq!(told, Some(kind), "{operation:?}: {error:?}");
    let Some(error) = error.downcast_ref::<InstallError>() else {
        return;
    };
    if matches!(error, InstallError::Unpack(UnpackError::Read { .. })) {
        return;
    }
    let is_full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    if is_full && operation.verb.is_change() && !is_of_recovery(operation) {
        assert!(
            error.missing_bytes().is_some_and(|missing| missing > 0),
            "{operation:?}: {error:?}"
        );
    }
}

/// What sweeps up before an operation does not ask for room.
fn is_of_recovery(operation: &Operation) -> bool {
    operation.path.contains(".version.ini.")
}

struct Sweep {
    name: &'static str,
    base: PowerCutDisk,
    before: Is,
    after: Is,
    run: fn(&Failing) -> Result<(), Box<dyn Error>>,
    again: fn(&Machine<PowerCutDisk>),
}

impl Sweep {
    fn check(&self) {
        let base = self.base.image();
        let mut failures = 0;
        for kind in KINDS {
            for point in 0.. {
                let disk = PowerCutDisk::from_image(&base);
                let machine = failing(&disk, point, kind);
                let ran = (self.run)(&machine);
                let operations = machine.disk.operations();
                let Some(operation) = operations.get(point) else {
                    ran.unwrap();
                    break;
                };
                let at = format!("{}, {kind:?} at {point}, {operation:?}", self.name);
                failures += 1;
                let well = machine_on(&disk);
                let expected = match &ran {
                    // What fails after the commit is left to recovery.
                    Ok(()) => self.after,
                    Err(error) => {
                        check_typed(error.as_ref(), operation, kind);
                        self.before
                    }
                };
                if ran.is_err() {
                    // Also before anybody recovers.
                    let seen = well.read("local/bin/run.exe");
                    let is_old = seen.as_deref() == Some(b"old!");
                    assert_eq!(is_old, self.before == Is::Old, "{at}");
                }
                well.recover().unwrap();
                assert_eq!(judge(&disk.image()), Ok(expected), "{at}");
                if ran.is_err() {
                    (self.again)(&well);
                }
                assert_eq!(judge(&disk.image()), Ok(self.after), "{at}");
            }
        }
        report(&format!("{}: {failures} failures", self.name));
        assert!(failures > 80, "{}: only {failures} failures", self.name);
    }
}

fn installs(machine: &Failing) -> Result<(), Box<dyn Error>> {
    Ok(machine.install().map(drop)?)
}

#[test]
fn every_operation_of_an_install_fails_once() {
    let disk = memory();
    machine_on(&disk).put_archive("2.0", &crate::install_cuts::NEW);
    let sweep = Sweep {
        name: "install",
        base: disk,
        before: Is::Absent,
        after: Is::New,
        run: installs,
        again: |machine| drop(machine.install().unwrap()),
    };
    sweep.check();
}

#[test]
fn every_operation_of_an_update_of_what_is_installed_fails_once() {
    let sweep = Sweep {
        name: "update",
        base: with_old(),
        before: Is::Old,
        after: Is::New,
        run: installs,
        again: |machine| drop(machine.install().unwrap()),
    };
    sweep.check();
}

#[test]
fn every_operation_of_an_uninstall_fails_once() {
    let sweep = Sweep {
        name: "uninstall",
        base: with_old(),
        before: Is::Old,
        after: Is::Absent,
        run: |machine| Ok(machine.uninstall()?),
        again: |machine| machine.uninstall().unwrap(),
    };
    sweep.check();
}

#[test]
fn every_operation_of_a_removal_after_an_uninstall_fails_once() {
    let disk = with_old();
    machine_on(&disk).uninstall().unwrap();
    let base = disk.image();
    for kind in KINDS {
        for point in 0.. {
            let disk = PowerCutDisk::from_image(&base);
            let machine = failing(&disk, point, kind);
            let ran = remove_download(machine.disk.as_ref(), &machine.state, &game());
            let operations = machine.disk.operations();
            let Some(operation) = operations.get(point) else {
                ran.unwrap();
                break;
            };
            if let Err(error) = &ran {
                check_typed(error, operation, kind);
            }
            let well = machine_on(&disk);
            well.recover().unwrap();
            if well.read("version.ini").is_some() {
                assert!(ran.is_err(), "{operation:?}");
                remove_download(well.disk.as_ref(), &well.state, &game()).unwrap();
            }
            assert_eq!(well.tree(), Vec::<String>::new());
            assert_eq!(judge(&disk.image()), Ok(Is::Absent));
        }
    }
}

/// Every state that a killed update or uninstall leaves, and every operation of its recovery.
#[test]
fn every_operation_of_a_recovery_fails_once() {
    type Run = fn(&Failing);
    let runs: [(Run, [Is; 2]); 2] = [
        (|machine| drop(machine.install()), [Is::Old, Is::New]),
        (|machine| drop(machine.uninstall()), [Is::Old, Is::Absent]),
    ];
    let base = with_old().image();
    let mut failures = 0;
    for (run, allowed) in runs {
        for killed_at in 0.. {
            let disk = PowerCutDisk::from_image(&base);
            let games = RecordingDisk::new(disk.folder("games"), move |operation| {
                if operation.number >= killed_at {
                    Verdict::Fail(ErrorKind::ConnectionAborted)
                } else {
                    Verdict::Proceed
                }
            });
            let state = games.beside(disk.folder("state"));
            let machine = Machine::new(games, state);
            run(&machine);
            if machine.disk.operations().len() <= killed_at {
                break;
            }
            failures += recovery_fails(&disk, KINDS[killed_at % KINDS.len()], allowed);
        }
    }
    report(&format!("recovery: {failures} failures"));
    assert!(failures > 500, "only {failures} failures");
}

fn recovery_fails(killed: &PowerCutDisk, kind: ErrorKind, allowed: [Is; 2]) -> usize {
    let left = killed.image();
    machine_on(killed).recover().unwrap();
    let expected = judge(&killed.image()).unwrap();
    assert!(allowed.contains(&expected));
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&left);
        let machine = failing(&disk, point, kind);
        let ran = machine.recover();
        let operations = machine.disk.operations();
        let Some(operation) = operations.get(point) else {
            ran.unwrap();
            return point;
        };
        if let Err(error) = &ran {
            check_typed(error, operation, kind);
        }
        machine_on(&disk).recover().unwrap();
        assert_eq!(judge(&disk.image()), Ok(expected), "{operation:?}");
    }
    0
}
