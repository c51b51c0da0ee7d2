//! The power goes at any moment of an install, an update, an uninstall and a removal, or the process
//! is killed and the power goes then, and recovery is cut short as well. What is installed is always
//! one version, whole.

use std::{collections::BTreeSet, io::ErrorKind};

use lanspread_disk::{
    Disk, DiskFile,
    twin::{Image, ImageNode, Operation, PowerCutDisk, RecordingDisk, Verb, Verdict},
};
use lanspread_install::remove_download;

use crate::support::{Machine, game, is_executable, machine_on, memory, report};

const SEED: u64 = 20_260_102;

/// A process is killed at each of its operations; after every so many of them the power goes as well.
const CUTS_AFTER_EVERY: usize = 3;

/// Two versions of what is in the archive.
pub(crate) const OLD: [(&str, &str); 4] = [
    ("bin/run.exe", "old!"),
    ("same", "same"),
    ("gone/file", "gone"),
    ("empty/", ""),
];
pub(crate) const NEW: [(&str, &str); 4] = [
    ("bin/run.exe", "NEW"),
    ("same", "same"),
    ("more", "m"),
    ("none", ""),
];

/// What may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Absent,
    Old,
    New,
}

/// The paths of an installed version, folders too.
fn paths(entries: &[(&str, &str)]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (path, _) in entries {
        let mut path = path.trim_end_matches('/');
        paths.insert(path.to_owned());
        while let Some((folder, _)) = path.rsplit_once('/') {
            paths.insert(folder.to_owned());
            path = folder;
        }
    }
    paths
}

fn fault_in(image: &Image, entries: &[(&str, &str)]) -> Option<String> {
    let local = format!("games/{}/local/", game());
    let inside = image.nodes().keys();
    let there: BTreeSet<String> = inside
        .filter_map(|path| Some(path.strip_prefix(&local)?.to_owned()))
        .collect();
    if there != paths(entries) {
        return Some(format!("{there:?} is there"));
    }
    let files = entries.iter().filter(|(path, _)| !path.ends_with('/'));
    for (path, expected) in files {
        match &image.nodes()[&format!("{local}{path}")] {
            ImageNode::File {
                content,
                executable,
            } if **content == expected.as_bytes() && *executable == is_executable(path) => {}
            other => return Some(format!("{path} is {other:?}")),
        }
    }
    None
}

/// What is installed after recovery; anything that is not one whole version, or that is left lying
/// about, is a violation.
pub(crate) fn judge(image: &Image) -> Result<Is, String> {
    for left in [".local.installing", ".local.backup", ".local.trash"] {
        if image.has(&format!("games/{}/{left}", game())) {
            return Err(format!("{left} is left"));
        }
    }
    let intent = format!("state/games/{}/install_intent.json", game());
    if image.has(&intent) {
        return Err("the intent is left".into());
    }
    let on_record = image.content(&format!("state/games/{}/installed.json", game()));
    let on_record = on_record.map(|text| String::from_utf8_lossy(text).into_owned());
    if !image.has(&format!("games/{}/local", game())) {
        return match on_record {
            None => Ok(Is::Absent),
            Some(text) => Err(format!("nothing is installed, on record is {text}")),
        };
    }
    let mut faults = Vec::new();
    for (is, entries, version) in [(Is::Old, &OLD, "\"1.0\""), (Is::New, &NEW, "\"2.0\"")] {
        match fault_in(image, entries) {
            None if on_record
                .as_ref()
                .is_some_and(|text| text.contains(version)) =>
            {
                return Ok(is);
            }
            None => faults.push(format!("{is:?} is installed, on record is {on_record:?}")),
            Some(fault) => faults.push(fault),
        }
    }
    Err(faults.join("; "))
}

/// What every machine is that comes up with this disk: recovered, also if that is cut short, it is
/// one of `allowed`, and can be updated.
fn check_restart(image: &Image, allowed: &[Is], deep: bool) -> Result<usize, String> {
    let disk = PowerCutDisk::from_image(image);
    let machine = machine_on(&disk);
    machine.recover().map_err(|error| error.to_string())?;
    let found = judge(&disk.image())?;
    if !allowed.contains(&found) {
        return Err(format!("{found:?} is installed, allowed is {allowed:?}"));
    }
    let mut states = 1;
    if !deep {
        return Ok(states);
    }
    let once = disk.image();
    let again = machine.recover().map_err(|error| error.to_string())?;
    if disk.image().nodes() != once.nodes() || !again.foreign.is_empty() {
        return Err("a second recovery changed something".into());
    }
    for cut in disk.crash_images(SEED) {
        states += 1;
        let disk = PowerCutDisk::from_image(&cut);
        machine_on(&disk)
            .recover()
            .map_err(|error| error.to_string())?;
        let after = judge(&disk.image())?;
        if after != found {
            return Err(format!("recovery, cut short, made {after:?} of {found:?}"));
        }
    }
    Ok(states)
}

type Recorder = RecordingDisk<PowerCutDisk>;

/// A transaction that is cut.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) before: Is,
    pub(crate) after: Is,
    pub(crate) base: fn() -> PowerCutDisk,
    pub(crate) run: fn(&Machine<Recorder>) -> Result<(), String>,
}

fn downloaded() -> PowerCutDisk {
    let disk = memory();
    machine_on(&disk).put_archive("2.0", &NEW);
    disk.settle();
    disk
}

pub(crate) fn with_old() -> PowerCutDisk {
    let disk = memory();
    let machine = machine_on(&disk);
    machine.put_archive("1.0", &OLD);
    machine.install().unwrap();
    machine.put_archive("2.0", &NEW);
    disk.settle();
    disk
}

fn installs(machine: &Machine<Recorder>) -> Result<(), String> {
    let installed = machine.install();
    installed.map(drop).map_err(|error| error.to_string())
}

fn uninstalls(machine: &Machine<Recorder>) -> Result<(), String> {
    machine.uninstall().map_err(|error| error.to_string())
}

/// What a peer that streams does, into a game root that is not there yet.
fn streams(machine: &Machine<Recorder>) -> Result<(), String> {
    let install = machine
        .streamed_as("2.0")
        .map_err(|error| error.to_string())?;
    crate::unpacker::hand_over(&install, &NEW).map_err(|error| error.to_string())?;
    install
        .publish()
        .map(drop)
        .map_err(|error| error.to_string())
}

pub(crate) const CASES: [Case; 4] = [
    Case {
        name: "install",
        before: Is::Absent,
        after: Is::New,
        base: downloaded,
        run: installs,
    },
    Case {
        name: "streamed install",
        before: Is::Absent,
        after: Is::New,
        base: memory,
        run: streams,
    },
    Case {
        name: "update",
        before: Is::Old,
        after: Is::New,
        base: with_old,
        run: installs,
    },
    Case {
        name: "uninstall",
        before: Is::Old,
        after: Is::Absent,
        base: with_old,
        run: uninstalls,
    },
];

impl Case {
    /// Every state that a cut can leave during the transaction and after it; returns how many.
    /// `rule` may take a sync away.
    fn sweep(
        &self,
        rule: impl Fn(&Operation) -> Verdict + Send + Sync + 'static,
        deep: bool,
    ) -> Result<usize, String> {
        let disk = (self.base)();
        (self.run)(&recorded(&disk, rule))?;
        let allowed = [self.before, self.after];
        let mut states = 0;
        for image in disk.crash_images(SEED) {
            states += check_restart(&image, &allowed, deep)?;
        }
        for image in disk.crash_images_now(SEED) {
            states += check_restart(&image, &[self.after], false)
                .map_err(|fault| format!("what was told as done is not: {fault}"))?;
        }
        Ok(states)
    }

    /// The process dies at each of its operations; the next one recovers, and then the power goes.
    fn kill_everywhere(&self) -> usize {
        let base = (self.base)().image();
        let allowed = [self.before, self.after];
        let mut states = 0;
        for point in 0.. {
            let disk = PowerCutDisk::from_image(&base);
            let machine = recorded(&disk, move |operation| {
                if operation.number >= point {
                    Verdict::Fail(ErrorKind::ConnectionAborted)
                } else {
                    Verdict::Proceed
                }
            });
            let ran = (self.run)(&machine);
            let died = machine.disk.operations().len() > point;
            let fail = |fault: String| -> ! {
                panic!("{}, killed at {point}: {fault}", self.name);
            };
            if !died {
                ran.unwrap();
                assert!(point > 25, "{} ended after {point} operations", self.name);
                return states;
            }
            let cuts = point % CUTS_AFTER_EVERY == 0;
            if cuts {
                // The power goes with the process.
                for image in disk.crash_images_now(SEED) {
                    let checked = check_restart(&image, &allowed, false);
                    states += checked.unwrap_or_else(|fault| fail(fault));
                }
            }
            machine_on(&disk).recover().unwrap();
            let found = judge(&disk.image()).unwrap_or_else(|fault| fail(fault));
            if !allowed.contains(&found) {
                fail(format!("{found:?} is installed"));
            }
            if cuts {
                // What recovery saw was never synced, and it must not have built on that.
                for image in disk.crash_images_now(SEED) {
                    let checked = check_restart(&image, &[found], false);
                    states += checked.unwrap_or_else(|fault| fail(fault));
                }
            }
        }
        states
    }
}

fn recorded(
    disk: &PowerCutDisk,
    rule: impl Fn(&Operation) -> Verdict + Send + Sync + 'static,
) -> Machine<Recorder> {
    let games = RecordingDisk::new(disk.folder("games"), rule);
    let state = games.beside(disk.folder("state"));
    Machine::new(games, state)
}

fn cut_everywhere(case: &Case, at_least: usize) {
    let states = case.sweep(|_| Verdict::Proceed, true).unwrap();
    report(&format!("{}: {states} states after a power cut", case.name));
    assert!(states > at_least, "only {states} states were tried");
}

#[test]
fn an_install_survives_a_power_cut_at_any_moment() {
    cut_everywhere(&CASES[0], 1000);
}

#[test]
fn a_streamed_install_survives_a_power_cut_at_any_moment() {
    cut_everywhere(&CASES[1], 1000);
}

#[test]
fn an_update_of_what_is_installed_survives_a_power_cut_at_any_moment() {
    cut_everywhere(&CASES[2], 1000);
}

#[test]
fn an_uninstall_survives_a_power_cut_at_any_moment() {
    cut_everywhere(&CASES[3], 100);
}

#[test]
fn whatever_is_killed_is_recovered_and_then_the_power_goes() {
    for case in CASES {
        let states = case.kill_everywhere();
        report(&format!(
            "{}: {states} states after a kill and a power cut",
            case.name
        ));
        assert!(states > 100, "only {states} states were tried");
    }
}

/// Leaves out the `nth` sync of this kind on this path.
fn without(verb: Verb, path: &'static str, nth: usize) -> impl Fn(&Operation) -> Verdict {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    move |operation| {
        let is_one = operation.verb == verb && operation.path == path;
        if is_one && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == nth {
            Verdict::Pretend
        } else {
            Verdict::Proceed
        }
    }
}

/// With every sync there is nothing to find: see the tests above.
#[test]
fn a_sync_of_an_install_that_is_left_out_is_found_out() {
    const STAGING: &str = "cnctw/.local.installing";
    let [install, _, update, uninstall] = CASES;
    let found = |case: &Case, verb, path, nth, step: &str| {
        let fault = case.sweep(without(verb, path, nth), false);
        fault.expect_err(&format!("{step} of an {} carries weight", case.name))
    };
    for case in [&install, &update] {
        let fault = found(case, Verb::SyncFiles, "", 0, "I5, the files,");
        assert!(fault.contains("File"), "{fault}");
        let fault = found(
            case,
            Verb::SyncFolder,
            "cnctw/.local.installing/bin",
            0,
            "I5, a folder,",
        );
        assert!(fault.contains("is there"), "{fault}");
        let fault = found(
            case,
            Verb::SyncFolder,
            STAGING,
            0,
            "I5, the staging folder,",
        );
        assert!(
            fault.contains("is there") || fault.contains("on record"),
            "{fault}"
        );
    }
    let i8 = found(&install, Verb::SyncFolder, "cnctw", 0, "I8");
    assert!(i8.contains("nothing is installed, on record is"), "{i8}");
    // The first sync of the root belongs to I6.
    let i8 = found(&update, Verb::SyncFolder, "cnctw", 1, "I8");
    assert!(
        i8.contains("Absent is installed") || i8.contains("on record"),
        "{i8}"
    );
    let u1 = found(&uninstall, Verb::SyncFolder, "cnctw", 0, "U1");
    assert!(u1.contains("is there"), "{u1}");
}

#[test]
fn a_removal_of_a_game_that_was_installed_is_done_or_not_begun() {
    let disk = with_old();
    let machine = machine_on(&disk);
    machine.uninstall().unwrap();
    disk.settle();
    remove_download(machine.disk.as_ref(), &machine.state, &game()).unwrap();
    let mut states = 0;
    for image in disk.crash_images(SEED) {
        states += check_restart(&image, &[Is::Absent], true).unwrap();
        let disk = PowerCutDisk::from_image(&image);
        let machine = machine_on(&disk);
        machine.recover().unwrap();
        let is_there = machine.disk.stat("cnctw/version.ini").unwrap().is_some();
        assert_eq!(machine.read("game.eti").is_some(), is_there);
    }
    report(&format!("removal: {states} states after a power cut"));
    assert!(machine.disk.stat("cnctw").unwrap().is_none());
}

#[test]
fn a_failed_sync_of_a_file_fails_the_install_and_it_is_written_anew() {
    for case in [&CASES[0], &CASES[2]] {
        let base = (case.base)().image();
        let mut failures = 0;
        for syncs in 0..20 {
            let disk = PowerCutDisk::from_image(&base);
            disk.lose_sync_after(syncs);
            let machine = machine_on(&disk);
            let ran = machine.install();
            disk.lose_sync_after(usize::MAX);
            machine.recover().unwrap();
            let found = judge(&disk.image()).unwrap();
            let expected = if ran.is_ok() { case.after } else { case.before };
            assert_eq!(found, expected, "{} without sync {syncs}", case.name);
            machine.install().unwrap();
            for image in disk.crash_images_now(SEED) {
                check_restart(&image, &[Is::New], false).unwrap();
            }
            failures += usize::from(ran.is_err());
        }
        assert!(failures >= 6, "only {failures} syncs failed");
    }
}

#[test]
fn a_file_in_the_staging_folder_that_is_open_is_no_obstacle() {
    let disk = downloaded();
    let machine = machine_on(&disk);
    let install = machine.streamed_as("2.0").unwrap();
    let path = "cnctw/.local.installing/x";
    let file = machine
        .disk
        .create_new(path, lanspread_disk::FileMode::Plain)
        .unwrap();
    install.discard().unwrap();
    file.write_all_at(b"late", 0).unwrap();
    assert_eq!(judge(&disk.image()), Ok(Is::Absent));
}
