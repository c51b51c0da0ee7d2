//! A real process on a real disk is killed at each of its operations, with SIGKILL; whatever it was
//! doing, the game is one of two versions after the next start.
//!
//! The victim is this test binary again: [`victim`] carries one deed out on a disk that counts what it
//! is asked, and stops before the operation whose number it was given, for good; then it is killed.
//! The short form, in the ordinary run, kills at every so many operations. The whole is
//! `just crash-sweep`.

#![expect(
    clippy::disallowed_methods,
    reason = "a sweep looks at the disk behind the program's back"
)]

mod deed;
mod scene;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use lanspread_disk::{
    RealDisk,
    twin::{Operation, RecordingDisk, Verb, Verdict},
};

use self::{deed::Deed, scene::Scene};
use crate::support::Machine;

const FOLDER: &str = "LANSPREAD_VICTIM_FOLDER";
const DEED: &str = "LANSPREAD_VICTIM_DEED";
const AT: &str = "LANSPREAD_VICTIM_AT";
/// Set by `just crash-sweep`: kill at every operation.
const WHOLE: &str = "LANSPREAD_CRASH_SWEEP_WHOLE";

/// What the victim says before it stops.
const STOPPED: &str = "the victim stops here";

/// In the short form every so many operations are tried; prime, so that it meets every kind of them.
const SHORT_STEP: usize = 7;

/// The same for a recovery that is killed, and for the deaths that it recovers from.
const SHORT_STEP_OF_RECOVERY: usize = 11;

/// Whether the victim can be killed at it.
const fn is_point(verb: Verb) -> bool {
    verb.is_change() || matches!(verb, Verb::OpenRead)
}

#[test]
#[ignore = "the victim of the sweep, which starts it with what it shall do"]
fn victim() {
    let (Ok(folder), Ok(deed), Ok(at)) = (env::var(FOLDER), env::var(DEED), env::var(AT)) else {
        return;
    };
    let deed = Deed::named(&deed);
    let at: usize = at.parse().unwrap();
    let points = std::sync::atomic::AtomicUsize::new(0);
    let rule = move |operation: &Operation| {
        if is_point(operation.verb)
            && points.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == at
        {
            writeln!(std::io::stdout(), "{STOPPED}").unwrap();
            loop {
                thread::park();
            }
        }
        Verdict::Proceed
    };
    let games = RecordingDisk::new(
        RealDisk::open(&Path::new(&folder).join("games")).unwrap(),
        rule,
    );
    let state = games.beside(RealDisk::open(&Path::new(&folder).join("state")).unwrap());
    deed.carry_out(&Machine::new(games, state));
}

/// Whether the victim was killed; else it came to its end.
fn kill(scene: &Scene, deed: Deed, at: usize) -> bool {
    let victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill_sweep::victim", "--ignored", "--nocapture"])
        .env(FOLDER, scene.path())
        .env(DEED, deed.name())
        .env(AT, at.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kill_when_it_stops(victim, deed, at)
}

fn kill_when_it_stops(mut victim: Child, deed: Deed, at: usize) -> bool {
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let stopped = lines
        .map_while(Result::ok)
        .any(|line| line.contains(STOPPED));
    if stopped {
        victim.kill().unwrap();
    }
    let output = victim.wait_with_output().unwrap();
    assert!(
        stopped || output.status.success(),
        "{} with a kill at {at} failed: {}",
        deed.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    stopped
}

/// Kills `deed` at every `step`th operation until it comes to its end, and judges what is left. Returns
/// how many times it was killed.
fn sweep(deed: Deed, step: usize) -> usize {
    let before = Scene::before(deed);
    let after = before.copy();
    deed.carry_out(&after.machine());
    let mut kills = 0;
    for at in (0..).step_by(step) {
        let scene = before.copy();
        if !kill(&scene, deed, at) {
            scene.assert_is_after(deed, &after);
            break;
        }
        kills += 1;
        scene.judge(
            deed,
            &before,
            &after,
            &format!("{} killed at {at}", deed.name()),
        );
    }
    kills
}

/// Kills the recovery from every `step`th death of `deed` at every `step`th of its own operations.
fn sweep_recovery(deed: Deed, step: usize) -> usize {
    let before = Scene::before(deed);
    let after = before.copy();
    deed.carry_out(&after.machine());
    let mut kills = 0;
    for at in (0..).step_by(step) {
        for again in (0..).step_by(step) {
            // Each dies on its own: an intent knows the folder that it is about, and a copy is another one.
            let scene = before.copy();
            if !kill(&scene, deed, at) {
                return kills;
            }
            let killed = kill(&scene, Deed::Recover, again);
            let what = format!("{} killed at {at}, recovery at {again}", deed.name());
            scene.judge(deed, &before, &after, &what);
            if !killed {
                break;
            }
            kills += 1;
        }
    }
    unreachable!("every deed comes to its end")
}

/// The sweeps of one deed, both in the form that was asked for.
#[expect(
    clippy::print_stderr,
    reason = "the count and the time are what a sweep is run for"
)]
fn both(deed: Deed) {
    let (step, step_of_recovery) = if env::var_os(WHOLE).is_some() {
        (1, 1)
    } else {
        (SHORT_STEP, SHORT_STEP_OF_RECOVERY)
    };
    let started = Instant::now();
    let (kills, kills_of_recovery) = (sweep(deed, step), sweep_recovery(deed, step_of_recovery));
    eprintln!(
        "{}: killed {kills} times, and its recovery {kills_of_recovery} times, in {:.1} s",
        deed.name(),
        started.elapsed().as_secs_f64()
    );
    assert!(kills > 2 && kills_of_recovery > 0, "nothing was killed");
}

#[test]
fn an_install_is_killed() {
    both(Deed::Install);
}

#[test]
fn an_update_is_killed() {
    both(Deed::Update);
}

#[test]
fn an_uninstall_is_killed() {
    both(Deed::Uninstall);
}

#[test]
fn a_removal_is_killed() {
    both(Deed::Remove);
}

#[test]
fn a_first_download_is_killed() {
    both(Deed::Download);
}

#[test]
fn a_download_over_an_installed_game_is_killed() {
    both(Deed::Upgrade);
}

#[test]
fn a_streamed_install_is_killed() {
    both(Deed::Stream);
}
