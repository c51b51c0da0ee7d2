//! Removing a downloaded game: what is refused, and that all of it goes.

use lanspread_disk::{Disk, twin::PowerCutDisk};
use lanspread_install::{RecoveredGame, RemoveError, SentinelFault, remove_download};

use crate::support::{Machine, Version, game, machine_on, memory};

fn downloaded() -> Machine<PowerCutDisk> {
    let machine = machine_on(&memory());
    machine
        .download(&Version::new("1\n", &[("a/b", b"c"), ("d/", b"")]), None)
        .unwrap();
    machine
}

fn remove(machine: &Machine<PowerCutDisk>) -> Result<(), RemoveError> {
    remove_download(machine.disk.as_ref(), &machine.state, &game())
}

#[test]
fn a_removed_game_is_gone_with_its_strays_and_its_records() {
    let machine = downloaded();
    machine.write("a/stray", b"mine");
    machine.disk.put_link("cnctw/link").unwrap();
    remove(&machine).unwrap();
    assert_eq!(machine.disk.stat("cnctw").unwrap(), None);
    assert_eq!(machine.state.load_payload(&game()).unwrap(), None);
    assert_eq!(machine.state.disk().list("games/cnctw").unwrap(), []);
    assert_eq!(machine.recover().unwrap().game, RecoveredGame::Absent);
    assert!(matches!(
        remove(&machine).unwrap_err(),
        RemoveError::NoRoot { .. }
    ));
}

/// Nothing is changed by a refusal.
fn refused(machine: &Machine<PowerCutDisk>) -> RemoveError {
    let before = machine.disk.image();
    let error = remove(machine).unwrap_err();
    assert_eq!(machine.disk.image().nodes(), before.nodes(), "{error}");
    error
}

#[test]
fn an_installed_game_is_refused() {
    let machine = downloaded();
    machine.write("local/save", b"played");
    assert!(matches!(refused(&machine), RemoveError::Installed { .. }));
}

#[test]
fn what_an_install_left_is_refused() {
    for name in [".local.backup", ".local.installing", ".local.trash"] {
        let machine = downloaded();
        machine.write(&format!("{name}/x"), b"maybe someone's game");
        let error = refused(&machine);
        assert!(matches!(&error, RemoveError::InstallLeftover { path } if path.ends_with(name)));
    }
}

#[test]
fn a_game_without_a_regular_sentinel_is_refused() {
    let machine = downloaded();
    machine.disk.remove_file("cnctw/version.ini").unwrap();
    assert!(matches!(
        refused(&machine),
        RemoveError::NotDownloaded { .. }
    ));
    machine.disk.put_link("cnctw/version.ini").unwrap();
    let error = refused(&machine);
    assert!(matches!(
        error,
        RemoveError::BadSentinel {
            fault: SentinelFault::Link,
            ..
        }
    ));
    machine.disk.remove_file("cnctw/version.ini").unwrap();
    machine.disk.create_folder("cnctw/version.ini").unwrap();
    let error = refused(&machine);
    assert!(matches!(
        error,
        RemoveError::BadSentinel {
            fault: SentinelFault::Folder,
            ..
        }
    ));
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let machine = machine_on(&memory());
    machine.disk.put_link("cnctw").unwrap();
    assert!(matches!(refused(&machine), RemoveError::NoRoot { .. }));
}

#[test]
fn a_damaged_intent_is_put_aside() {
    let machine = downloaded();
    let path = "games/cnctw/install_intent.json";
    machine
        .state
        .write(path, b"garbage", lanspread_disk::FileMode::Plain)
        .unwrap();
    let recovered = machine.recover().unwrap();
    assert_eq!(recovered.game, RecoveredGame::Downloaded);
    assert_eq!(recovered.quarantined.len(), 1);
    assert_eq!(machine.state.disk().stat(path).unwrap(), None);
}
