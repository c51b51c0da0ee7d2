//! The launcher of `examples/embed.rs`, run as its reader would run it.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use lanspread_testkit::{Lab, tree};

/// Cargo builds examples beside the tests, in `examples` instead of `deps`.
fn example() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a build folder");
    profile
        .join("examples")
        .join(format!("embed{}", env::consts::EXE_SUFFIX))
}

async fn run(args: Vec<String>) -> Output {
    let run = move || {
        Command::new(example())
            .args(args)
            .output()
            .expect("the example runs")
    };
    tokio::task::spawn_blocking(run)
        .await
        .expect("the example ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_downloads_with_progress_and_lists() {
    let game = tree("doom", "1.0")
        .file("data.pak", 3_000_000)
        .empty_folder("saves");
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let launcher = lab.peer("launcher");
    let games = launcher.config.game_dir.clone();
    let dir = games
        .parent()
        .expect("the peer's folder")
        .display()
        .to_string();
    let peer = source.handle.listen_addr().to_string();
    let ran = run(vec![dir, "doom".into(), peer]).await;
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{ran:?}");
    assert!(printed.contains("3000000 bytes are here"), "{printed}");
    assert!(printed.contains("doom Downloaded at 1 peers"), "{printed}");
    game.assert_in(&games);
}
