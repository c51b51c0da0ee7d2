//! Operations that work in a game's folder: while one holds the game, nothing is published about it; afterwards
//! one look tells the truth.

use std::fs;

use lanspread_library::LocalGame;

use crate::lab::{Lab, Run, id, manifest_of};

/// An installed game of which the sentinel says `1`.
fn put_installed(lab: &Lab, version: &str) {
    lab.put("game/local/game.exe", "played");
    put_record(lab, version);
}

/// What an install writes down about itself.
fn put_record(lab: &Lab, version: &str) {
    let path = lab.state_path("games/game/installed.json");
    let record = format!(r#"{{"format":1,"data":{{"version":"{version}"}}}}"#);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, record).unwrap();
}

fn rename(lab: &Lab, from: &str, to: &str) {
    fs::rename(lab.path(from), lab.path(to)).unwrap();
}

fn shown(run: &Run) -> LocalGame {
    run.library.snapshot().get(&id("game")).unwrap().clone()
}

/// Returns when the monitor has had every reason and all the time it needs to look at everything.
async fn look_around(lab: &Lab, run: &Run, beacon: &str) {
    run.library.rescan_all();
    run.library.rescan(&id("game"));
    lab.put_game(beacon, "1");
    run.announced(beacon, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_about_a_held_game() {
    let lab = Lab::new();
    lab.put_game("held", "1");
    let first = lab.index().await;
    let run = lab.run();
    let hold = run.library.hold(&id("held"));
    let also = run.library.hold(&id("held"));
    fs::remove_dir_all(lab.path("held")).unwrap();
    lab.put_game("other", "1");
    run.announced("other", None).await;
    run.library.rescan_all();
    run.library.rescan(&id("held"));
    lab.put_game("third", "1");
    run.announced("third", None).await;
    let manifest = manifest_of(&first, "held");
    assert_eq!(
        manifest_of(&run.library.snapshot(), "held"),
        manifest,
        "still as it was"
    );
    drop(hold);
    lab.put_game("fourth", "1");
    run.announced("fourth", None).await;
    assert_eq!(
        manifest_of(&run.library.snapshot(), "held"),
        manifest,
        "one hold is left"
    );
    drop(also);
    run.gone("held").await;
    run.stop().await;
}

type Step = (&'static str, fn(&Lab));

/// What an install does in the folder, then an uninstall.
const INSTALL: [Step; 6] = [
    ("unpacking", |lab| {
        lab.put("game/.local.installing/game.exe", "new");
    }),
    ("unpacked", |lab| {
        lab.put("game/.local.installing/data/deep.bin", "new");
    }),
    ("the old one aside", |lab| {
        rename(lab, "game/local", "game/.local.backup");
    }),
    ("the new one in its place", |lab| {
        rename(lab, "game/.local.installing", "game/local");
    }),
    ("written down", |lab| put_record(lab, "1")),
    ("the old one going", |lab| {
        rename(lab, "game/.local.backup", "game/.local.trash");
        fs::remove_dir_all(lab.path("game/.local.trash")).unwrap();
    }),
];

const UNINSTALL: [Step; 3] = [
    ("out of sight", |lab| {
        rename(lab, "game/local", "game/.local.trash");
    }),
    ("forgotten", |lab| {
        fs::remove_file(lab.state_path("games/game/installed.json")).unwrap();
    }),
    ("gone", |lab| {
        fs::remove_dir_all(lab.path("game/.local.trash")).unwrap();
    }),
];

fn installed(game: &LocalGame) -> (bool, Option<String>) {
    let version = game.installed_version.as_ref();
    (game.installed, version.map(ToString::to_string))
}

/// Carries out an operation under a hold. What is announced stays as it was, and the first snapshot after it
/// is the truth.
async fn operate(lab: &Lab, run: &Run, steps: &[Step]) -> LocalGame {
    let before = shown(run);
    let manifest = before.manifest.unwrap();
    let hold = run.library.hold(&id("game"));
    for (at, (step, carry_out)) in steps.iter().enumerate() {
        carry_out(lab);
        look_around(lab, run, &format!("beacon{at}")).await;
        assert_eq!(shown(run), before, "{step}");
        assert!(run.library.payload(&manifest).is_some(), "{step}: served");
        fs::remove_dir_all(lab.path(&format!("beacon{at}"))).unwrap();
        run.gone(&format!("beacon{at}")).await;
    }
    let revision = run.library.snapshot().revision;
    drop(hold);
    let snapshot = run.until(|snapshot| snapshot.revision > revision).await;
    assert_eq!(snapshot.revision, revision + 1);
    let after = snapshot.get(&id("game")).unwrap().clone();
    assert_eq!(after.manifest, Some(manifest), "as it was downloaded");
    look_around(lab, run, "last").await;
    assert_eq!(shown(run), after, "nothing more to tell");
    fs::remove_dir_all(lab.path("last")).unwrap();
    run.gone("last").await;
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_is_served_while_it_is_installed_and_one_look_tells_the_end() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    put_installed(&lab, "0");
    let mut run = lab.run();
    run.everything_seen().await;
    run.announced("game", None).await;
    assert_eq!(installed(&shown(&run)), (true, Some("0".to_owned())));
    let after = operate(&lab, &run, &INSTALL).await;
    assert_eq!(installed(&after), (true, Some("1".to_owned())));
    let after = operate(&lab, &run, &UNINSTALL).await;
    assert_eq!(installed(&after), (false, None));
    let after = operate(&lab, &run, &[INSTALL[0], INSTALL[3], INSTALL[4]]).await;
    assert_eq!(installed(&after), (true, Some("1".to_owned())));
    assert_eq!(
        run.stop().await.hashed_bytes() % 10,
        0,
        "payloads alone are hashed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_may_tell_its_end_before_it_lets_go() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let run = lab.run();
    let manifest = run.announced("game", None).await;
    let hold = run.library.hold(&id("game"));
    put_installed(&lab, "1");
    let revision = run.library.snapshot().revision;
    run.library.refresh_folder(&id("game"));
    let told = shown(&run);
    assert_eq!(installed(&told), (true, Some("1".to_owned())));
    assert_eq!(told.manifest, Some(manifest));
    assert_eq!(run.library.snapshot().revision, revision + 1, "at once");
    drop(hold);
    look_around(&lab, &run, "beacon").await;
    assert_eq!(shown(&run), told);

    let hold = run.library.hold(&id("game"));
    fs::remove_dir_all(lab.path("game")).unwrap();
    run.library.refresh_folder(&id("game"));
    assert!(run.library.snapshot().get(&id("game")).is_none());
    drop(hold);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_under_a_hold_does_not_count_after_it() {
    let lab = Lab::new();
    put_installed(&lab, "0");
    // The list of folders takes long, and the game is at its beginning.
    for at in 0..300 {
        fs::create_dir(lab.path(&format!("other{at}"))).unwrap();
    }
    let mut run = lab.run();
    run.everything_seen().await;
    for round in 1..=40 {
        let revision = run.library.snapshot().revision;
        let hold = run.library.hold(&id("game"));
        // Nothing of the game is in its folder, until it is back.
        rename(&lab, "game/local", "game/.local.backup");
        run.library.rescan(&id("unknown"));
        // Each round meets another moment of the look.
        for _ in 0..round * 500 {
            tokio::task::yield_now().await;
        }
        rename(&lab, "game/.local.backup", "game/local");
        put_record(&lab, &round.to_string());
        drop(hold);
        let snapshot = run.until(|snapshot| snapshot.revision > revision).await;
        let game = snapshot.get(&id("game")).unwrap();
        assert_eq!(installed(game), (true, Some(round.to_string())));
    }
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_known_after_a_restart_although_a_look_was_saving() {
    for round in 0..30 {
        let lab = Lab::new();
        lab.put_game("game", "1");
        let run = lab.run();
        // Written just before the manifest.
        let is_saving = || lab.state_path("games/game/hashing.bin").exists();
        while !is_saving() && manifest_of(&run.library.snapshot(), "game").is_none() {
            tokio::task::yield_now().await;
        }
        let hold = run.library.hold(&id("game"));
        let (stored, stamps) = lab.stored("game", &["b.bin"]);
        let manifest = stored.id();
        lab.state().save_payload(&id("game"), &stored).unwrap();
        run.library.committed(&id("game"), stored, stamps);
        drop(hold);
        run.stop().await;
        let (library, _events) = lab.open();
        assert_eq!(
            manifest_of(&library.snapshot(), "game"),
            Some(manifest),
            "round {round}"
        );
        assert!(library.payload(&manifest).is_some(), "round {round}");
    }
}
