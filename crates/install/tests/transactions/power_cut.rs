//! The power goes at any moment, and any part of what was not synced with it; the process is killed
//! at any operation; recovery is cut short as well. A sentinel always means a whole version.

use std::io::ErrorKind;

use crate::support::{self, Found, Machine, Version, game, judge, machine_on, memory, report};
use lanspread_disk::{
    Disk, FileMode,
    twin::{Image, Operation, PowerCutDisk, RecordingDisk, Verb, Verdict},
};
use lanspread_install::{RecoveredGame, remove_download};

const SEED: u64 = 20_260_101;

/// A process is killed at each of its operations; after every so many of them the power goes as well.
const CUTS_AFTER_EVERY: usize = 4;

/// An update that adds, changes, removes and keeps files and folders.
fn versions() -> [Version; 2] {
    [
        Version::new(
            "1.0\n",
            &[
                ("data/a", b"aaa"),
                ("data/old/b", b"bbb"),
                ("keep", b"same"),
                ("gone/", b""),
            ],
        ),
        Version::new(
            "2.0\n",
            &[
                ("data/a", b"AAAA"),
                ("keep", b"same"),
                ("new/c.exe", b"ccc"),
                ("top", b"t"),
                ("none", b""),
                ("empty/", b""),
            ],
        ),
    ]
}

/// A machine with version 0 complete, an installed game and a stray, all durable.
fn with_old_version(old: &Version) -> PowerCutDisk {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.download(old, None).unwrap();
    machine.write("local/save", b"played");
    machine.write("data/stray", b"mine");
    disk.settle();
    disk
}

/// The file of a person's own is there as it was, and nothing of ours is left lying about.
fn check_surroundings(image: &Image) -> Result<(), String> {
    for (path, content) in [
        ("local/save", b"played".as_slice()),
        ("data/stray", b"mine"),
    ] {
        if image.content(&format!("games/{}/{path}", game())) != Some(content) {
            return Err(format!("{path} was touched"));
        }
    }
    for name in [".version.ini.tmp", ".version.ini.discarded"] {
        if image.has(&format!("games/{}/{name}", game())) {
            return Err(format!("{name} is left"));
        }
    }
    Ok(())
}

/// Everything that must hold for a machine that comes up with this disk: a sentinel means a whole
/// version, recovery (itself cut short) keeps that, and the download can then be finished.
fn check_restart(image: &Image, versions: &[&Version]) -> Result<(), String> {
    let before = judge(image, versions)?;
    let disk = PowerCutDisk::from_image(image);
    let machine = machine_on(&disk);
    let recovered = machine.recover().map_err(|error| error.to_string())?;
    for cut in disk.crash_images(SEED) {
        let found = judge(&cut, versions)?;
        if found != before {
            return Err(format!("recovery, cut short, made {found:?} of {before:?}"));
        }
        let disk = PowerCutDisk::from_image(&cut);
        machine_on(&disk)
            .recover()
            .map_err(|error| error.to_string())?;
        check_surroundings(&disk.image())?;
    }
    let once = disk.image();
    check_surroundings(&once)?;
    let again = machine.recover().map_err(|error| error.to_string())?;
    if again != recovered || disk.image().nodes() != once.nodes() {
        return Err(format!("a second recovery made {again:?} of {recovered:?}"));
    }
    match (&recovered.game, before) {
        (RecoveredGame::Downloaded, Found::Version(_))
        | (RecoveredGame::Partial { .. }, Found::NotDownloaded) => {}
        other => return Err(format!("recovery says {other:?}")),
    }
    finish(&disk, versions, before)
}

/// Downloads the newest version over what is there.
fn finish(disk: &PowerCutDisk, versions: &[&Version], before: Found) -> Result<(), String> {
    let new = versions.len() - 1;
    let previous = match before {
        Found::Version(number) => Some(versions[number]),
        Found::NotDownloaded => None,
    };
    let machine = machine_on(disk);
    machine
        .download(versions[new], previous)
        .map_err(|error| error.to_string())?;
    let image = disk.image();
    check_surroundings(&image)?;
    for obsolete in ["data/old/b", "data/old", "gone"] {
        if image.has(&format!("games/{}/{obsolete}", game())) {
            return Err(format!("{obsolete} is still there"));
        }
    }
    check_durable(disk, versions, new)
}

/// Whatever is cut now, this version is there: it was announced.
fn check_durable(disk: &PowerCutDisk, versions: &[&Version], number: usize) -> Result<(), String> {
    for image in disk.crash_images_now(SEED) {
        if judge(&image, versions)? != Found::Version(number) {
            return Err("an announced game is gone".into());
        }
    }
    Ok(())
}

type Recorder = RecordingDisk<PowerCutDisk>;

fn recorded(
    disk: &PowerCutDisk,
    rule: impl Fn(&Operation) -> Verdict + Send + Sync + 'static,
) -> Machine<Recorder> {
    let games = RecordingDisk::new(disk.folder("games"), rule);
    let state = games.beside(disk.folder("state"));
    Machine::new(games, state)
}

/// Every state that a cut can leave while version 1 is downloaded over version 0; returns how many.
/// `rule` may take a sync away.
fn sweep_update(
    rule: impl Fn(&Operation) -> Verdict + Send + Sync + 'static,
    deep: bool,
) -> Result<usize, String> {
    let [old, new] = versions();
    let versions = [&old, &new];
    let disk = with_old_version(&old);
    recorded(&disk, rule)
        .download(&new, Some(&old))
        .map_err(|error| error.to_string())?;
    let images = disk.crash_images(SEED);
    for image in &images {
        if deep {
            check_restart(image, &versions)?;
        } else {
            judge(image, &versions)?;
        }
    }
    check_durable(&disk, &versions, 1)?;
    Ok(images.len())
}

#[test]
fn an_update_survives_a_power_cut_at_any_moment() {
    let states = sweep_update(|_| Verdict::Proceed, true).unwrap();
    report(&format!(
        "download over another one: {states} states after a power cut"
    ));
    assert!(states > 500, "only {states} states were tried");
}

#[test]
fn a_first_download_survives_a_power_cut_at_any_moment() {
    let [_, new] = versions();
    let disk = memory();
    machine_on(&disk).download(&new, None).unwrap();
    let images = disk.crash_images(SEED);
    report(&format!(
        "first download: {} states after a power cut",
        images.len()
    ));
    assert!(
        images.len() > 300,
        "only {} states were tried",
        images.len()
    );
    for image in &images {
        let before = judge(image, &[&new]).unwrap();
        let disk = PowerCutDisk::from_image(image);
        let machine = machine_on(&disk);
        let recovered = machine.recover().unwrap().game;
        match (before, recovered) {
            (Found::NotDownloaded, RecoveredGame::Absent) => {
                assert_eq!(machine.tree(), Vec::<String>::new(), "nothing was begun");
            }
            (Found::NotDownloaded, RecoveredGame::Partial { manifest, .. }) => {
                assert_eq!(manifest.id(), new.payload.id());
            }
            (Found::Version(0), RecoveredGame::Downloaded) => {}
            other => panic!("{other:?}"),
        }
        machine.download(&new, None).unwrap();
        check_durable(&disk, &[&new], 0).unwrap();
    }
}

#[test]
fn a_sync_that_is_left_out_is_found_out() {
    let root = game().to_string();
    let nth_root_sync = |wanted: usize| {
        let (root, seen) = (root.clone(), std::sync::atomic::AtomicUsize::new(0));
        move |operation: &Operation| {
            let is_one = operation.verb == Verb::SyncFolder && operation.path == root;
            let is_wanted =
                is_one && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == wanted;
            if is_wanted {
                Verdict::Pretend
            } else {
                Verdict::Proceed
            }
        }
    };
    let pretend = |hit: bool| {
        if hit {
            Verdict::Pretend
        } else {
            Verdict::Proceed
        }
    };
    sweep_update(nth_root_sync(99), false).expect("with every sync there is nothing to find");
    let d2 = sweep_update(nth_root_sync(0), false).expect_err("D2 carries weight");
    assert!(d2.contains("the sentinel says"), "{d2}");
    let d5 = sweep_update(
        move |operation| pretend(operation.verb == Verb::SyncFiles),
        false,
    );
    assert!(
        d5.expect_err("D5 carries weight")
            .contains("the sentinel says")
    );
    let d6 = |operation: &Operation| {
        operation.verb == Verb::SyncFolder && operation.path.ends_with("/new")
    };
    let d6 = sweep_update(move |operation| pretend(d6(operation)), false);
    assert!(d6.expect_err("D6 carries weight").contains("new/c.exe"));
    let d6 = sweep_update(nth_root_sync(1), false);
    assert!(
        d6.expect_err("D6 carries weight for the root")
            .contains("the sentinel says")
    );
    let d7 = |operation: &Operation| {
        operation.verb == Verb::SyncFile && operation.path.ends_with(".version.ini.tmp")
    };
    let d7 = sweep_update(move |operation| pretend(d7(operation)), false);
    assert!(
        d7.expect_err("D7 carries weight")
            .contains("the sentinel says")
    );
    let d9 = sweep_update(nth_root_sync(2), false).expect_err("D9 carries weight");
    assert_eq!(d9, "an announced game is gone");
}

/// Runs `act` on a machine that dies at its `point`-th operation; tells whether it did.
fn killed(disk: &PowerCutDisk, point: usize, act: impl FnOnce(&Machine<Recorder>)) -> bool {
    let machine = recorded(disk, move |operation| {
        if operation.number >= point {
            Verdict::Fail(ErrorKind::ConnectionAborted)
        } else {
            Verdict::Proceed
        }
    });
    act(&machine);
    machine.disk.operations().len() > point
}

#[test]
fn a_killed_update_goes_on_and_then_the_power_goes() {
    let [old, new] = versions();
    let versions = [&old, &new];
    let base = with_old_version(&old).image();
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&base);
        let died = killed(&disk, point, |machine| {
            drop(machine.download(&new, Some(&old)));
        });
        // The next process sees what was never synced, and must not build on it.
        let machine = machine_on(&disk);
        let recovered = machine.recover().unwrap().game;
        let before = judge(&disk.image(), &versions).unwrap();
        if died {
            assert_eq!(
                before == Found::NotDownloaded,
                recovered != RecoveredGame::Downloaded
            );
        }
        finish(&disk, &versions, before).unwrap();
        if died && point % CUTS_AFTER_EVERY != 0 {
            continue;
        }
        for (number, image) in disk.crash_images(SEED).iter().enumerate() {
            judge(image, &versions).unwrap_or_else(|fault| panic!("killed at {point}: {fault}"));
            if number % 97 == point % 97 {
                check_restart(image, &versions)
                    .unwrap_or_else(|fault| panic!("killed at {point}: {fault}"));
            }
        }
        if !died {
            assert!(point > 50, "the sweep ended after {point} operations");
            return;
        }
    }
}

#[test]
fn a_cancelled_update_may_be_cut_as_well() {
    let [old, new] = versions();
    let disk = with_old_version(&old);
    let machine = machine_on(&disk);
    machine.recover().unwrap();
    let download = machine.begin(&new, Some(&old)).unwrap();
    support::fetch(&download, &new).unwrap();
    download.discard().unwrap();
    for image in disk.crash_images(SEED) {
        let found = judge(&image, &[&old, &new]).unwrap();
        let disk = PowerCutDisk::from_image(&image);
        machine_on(&disk).recover().unwrap();
        check_surroundings(&disk.image()).unwrap();
        finish(&disk, &[&old, &new], found).unwrap();
    }
    for image in disk.crash_images_now(SEED) {
        let disk = PowerCutDisk::from_image(&image);
        assert_eq!(
            machine_on(&disk).recover().unwrap().game,
            RecoveredGame::Absent
        );
        for written in ["data/a", "new/c.exe", "new", "top", "none", "empty"] {
            assert!(
                !image.has(&format!("games/{}/{written}", game())),
                "{written} came back"
            );
        }
    }
}

#[test]
fn a_removal_is_done_or_not_begun() {
    let [old, _] = versions();
    let base = memory();
    machine_on(&base).download(&old, None).unwrap();
    machine_on(&base).write("data/stray", b"mine");
    let base = base.image();
    let check = |image: &Image, point: usize| {
        let before = judge(image, &[&old]).unwrap_or_else(|fault| panic!("{point}: {fault}"));
        let disk = PowerCutDisk::from_image(image);
        let machine = machine_on(&disk);
        let recovered = machine.recover().unwrap().game;
        for cut in disk.crash_images(SEED) {
            assert_eq!(judge(&cut, &[&old]).unwrap(), before);
        }
        match before {
            Found::Version(_) => {
                assert_eq!(recovered, RecoveredGame::Downloaded);
                remove_download(machine.disk.as_ref(), &machine.state, &game()).unwrap();
            }
            Found::NotDownloaded => assert_ne!(recovered, RecoveredGame::Downloaded),
        }
        assert_eq!(machine.tree(), Vec::<String>::new());
        assert!(machine.disk.stat(game().as_str()).unwrap().is_none());
        assert_eq!(machine.recover().unwrap().game, RecoveredGame::Absent);
    };
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&base);
        let died = killed(&disk, point, |machine| {
            drop(remove_download(
                machine.disk.as_ref(),
                &machine.state,
                &game(),
            ));
        });
        machine_on(&disk).recover().unwrap();
        for (number, image) in disk.crash_images(SEED).iter().enumerate() {
            judge(image, &[&old]).unwrap_or_else(|fault| panic!("killed at {point}: {fault}"));
            if !died || number % 29 == point % 29 {
                check(image, point);
            }
        }
        if !died {
            assert!(point > 15, "the sweep ended after {point} operations");
            return;
        }
    }
}

#[test]
fn a_failed_sync_is_not_believed_by_the_next_process() {
    let [old, new] = versions();
    let versions = [&old, &new];
    let base = with_old_version(&old).image();
    let mut failures = 0;
    for point in 0.. {
        let disk = PowerCutDisk::from_image(&base);
        disk.lose_sync_after(point);
        let machine = machine_on(&disk);
        let ran = machine.download(&new, Some(&old));
        let image = disk.image();
        let found = judge(&image, &versions).unwrap();
        if ran.is_ok() {
            break;
        }
        failures += 1;
        // The file that was lost reads back well from memory; the next attempt must write it anew.
        machine.recover().unwrap();
        let previous = (found == Found::Version(0)).then_some(&old);
        machine.download(&new, previous).unwrap();
        check_durable(&disk, &versions, 1)
            .unwrap_or_else(|fault| panic!("sync {point} failed: {fault}"));
    }
    assert!(failures > 5, "only {failures} syncs failed");
}

#[test]
fn a_damaged_record_is_put_aside_and_a_newer_one_is_refused() {
    let [old, new] = versions();
    let disk = with_old_version(&old);
    let machine = machine_on(&disk);
    let download = machine.begin(&new, Some(&old)).unwrap();
    download.suspend();
    let path = "state/games/cnctw/download.json";
    let whole = disk.image().content(path).unwrap().to_vec();
    for cut in (0..whole.len()).step_by(7) {
        disk.write_atomic(path, &whole[..cut], FileMode::Plain)
            .unwrap();
        let recovered = machine.recover().unwrap();
        assert_eq!(recovered.game, RecoveredGame::Absent, "cut at {cut}");
        let aside = recovered.quarantined[0].to_str().unwrap().to_owned();
        assert!(aside.contains("download.json.bad-"), "{aside}");
        assert_eq!(disk.image().content(&aside[1..]).unwrap(), &whole[..cut]);
    }
    let newer = br#"{"format":2,"data":[]}"#;
    disk.write_atomic(path, newer, FileMode::Plain).unwrap();
    assert!(machine.recover().is_err() && machine.begin(&new, None).is_err());
    assert_eq!(disk.image().content(path).unwrap(), newer);
}
