//! Files of older builds leave the game folders and are kept.

use lanspread_disk::{Disk, twin::PowerCutDisk};
use lanspread_install::{MigrateError, migrate_older_files};

use crate::support::{machine_on, memory};

fn with_older_files() -> PowerCutDisk {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.write(".lanspread.json", b"one");
    machine.write(".install_intent.json", b"two");
    machine.write(".lanspread_index.json", b"three");
    machine.write("deep/.lanspread.json", b"payload");
    for folder in ["games", "games/no.game ", "games/.hidden"] {
        if folder != "games" {
            disk.create_folder(folder).unwrap();
        }
        let path = format!("{folder}/.lanspread_index.json");
        disk.write_atomic(&path, b"four", lanspread_disk::FileMode::Plain)
            .unwrap();
    }
    disk.settle();
    disk
}

#[test]
fn they_are_moved_once_and_kept_whole() {
    let disk = with_older_files();
    let machine = machine_on(&disk);
    let moved = migrate_older_files(machine.disk.as_ref(), &machine.state);
    let moved: Vec<_> = moved
        .into_iter()
        .map(|file| {
            let to = file.result.unwrap();
            (file.path.display().to_string(), to.display().to_string())
        })
        .collect();
    let pair = |from: &str, to: &str| (format!("/games/{from}"), format!("/state/{to}"));
    let game = "games/cnctw/older";
    assert_eq!(
        moved,
        [
            pair(".lanspread_index.json", "older/lanspread_index.json"),
            pair("cnctw/.lanspread.json", &format!("{game}/lanspread.json")),
            pair(
                "cnctw/.install_intent.json",
                &format!("{game}/install_intent.json")
            ),
            pair(
                "cnctw/.lanspread_index.json",
                &format!("{game}/lanspread_index.json")
            ),
        ]
    );
    let image = disk.image();
    assert_eq!(
        image.content("state/games/cnctw/older/install_intent.json"),
        Some(&b"two"[..])
    );
    assert_eq!(
        image.content("state/older/lanspread_index.json"),
        Some(&b"four"[..])
    );
    assert_eq!(
        image.content("games/cnctw/deep/.lanspread.json"),
        Some(&b"payload"[..])
    );
    assert!(image.has("games/.hidden/.lanspread_index.json"));
    assert!(migrate_older_files(machine.disk.as_ref(), &machine.state).is_empty());
    // What comes again is kept beside the first.
    machine.write(".lanspread.json", b"later");
    let again = migrate_older_files(machine.disk.as_ref(), &machine.state);
    assert!(
        again[0]
            .result
            .as_ref()
            .unwrap()
            .ends_with("older/lanspread.json-2")
    );
}

#[test]
fn a_power_cut_loses_none() {
    let disk = with_older_files();
    let machine = machine_on(&disk);
    migrate_older_files(machine.disk.as_ref(), &machine.state);
    for image in disk.crash_images(1) {
        let disk = PowerCutDisk::from_image(&image);
        let machine = machine_on(&disk);
        for file in migrate_older_files(machine.disk.as_ref(), &machine.state) {
            file.result.unwrap();
        }
        let image = disk.image();
        for (name, content) in [("lanspread", "one"), ("install_intent", "two")] {
            let kept = image.content(&format!("state/games/cnctw/older/{name}.json"));
            assert_eq!(kept, Some(content.as_bytes()));
        }
        assert!(!image.has("state/games/cnctw/older/lanspread.json-2"));
    }
}

#[test]
fn a_link_in_their_place_is_left_and_told() {
    let machine = machine_on(&memory());
    machine.write("x", b"");
    machine.disk.put_link("cnctw/.lanspread.json").unwrap();
    let told = migrate_older_files(machine.disk.as_ref(), &machine.state);
    let error = told[0].result.as_ref().unwrap_err();
    assert!(matches!(error, MigrateError::NotAFile { .. }));
    let expected = ".lanspread.json is a symbolic link, not a file of an older build";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert!(
        machine
            .disk
            .stat("cnctw/.lanspread.json")
            .unwrap()
            .is_some()
    );
}
