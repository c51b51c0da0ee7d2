//! Measures a restart: makes 50 games of 2,000 small files, indexes them, opens the library again and prints
//! how long that took and how much was hashed.
//!
//! `cargo run --release -p lanspread-library --example restart [GAMES] [FILES]`

#![expect(
    clippy::print_stdout,
    reason = "an example that measures prints what it measured"
)]

use std::{
    env,
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_disk::{Disk, DiskFile, FileMode, RealDisk, StateDir};
use lanspread_library::{Catalog, Library, LibraryConfig, LibraryEvent};
use tokio_util::sync::CancellationToken;

/// Longer than indexing 100,000 small files takes on a slow disk.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = env::args().skip(1).map(|text| text.parse::<usize>());
    let games = numbers.next().transpose()?.unwrap_or(50);
    let files = numbers.next().transpose()?.unwrap_or(2_000);
    let dir = tempfile::tempdir()?;
    make(dir.path(), games, files)?;
    println!("{games} games of {files} files");

    measure("first start", dir.path(), games).await?;
    let hashed = measure("restart", dir.path(), games).await?;
    if hashed == 0 {
        Ok(())
    } else {
        Err("a restart hashed files that did not change".into())
    }
}

fn make(dir: &Path, games: usize, files: usize) -> Result<(), Box<dyn Error>> {
    let disk = RealDisk::open(dir)?;
    disk.create_folder("games")?;
    for game in 0..games {
        let root = format!("games/game{game}");
        disk.create_folder(&root)?;
        for file in 0..files {
            let folder = format!("{root}/data{}", file / 100);
            if file % 100 == 0 {
                disk.create_folder(&folder)?;
            }
            let created = disk.create_new(&format!("{folder}/{file}.bin"), FileMode::Plain)?;
            created.write_all_at(format!("{game} {file}").as_bytes(), 0)?;
        }
        disk.create_new(&format!("{root}/version.ini"), FileMode::Plain)?
            .write_all_at(b"1", 0)?;
    }
    Ok(())
}

/// Opens and runs the library until every game was announced and looked at; gives back the bytes it hashed.
async fn measure(what: &str, dir: &Path, games: usize) -> Result<u64, Box<dyn Error>> {
    let (games_path, state_path) = (dir.join("games"), dir.join("state"));
    let started = Instant::now();
    let open = move || -> Result<_, Box<dyn Error + Send + Sync>> {
        let state = Arc::new(StateDir::open(&state_path)?);
        let game_dir = RealDisk::open(&games_path)?;
        Ok(Library::open(LibraryConfig::new(
            game_dir,
            state,
            Arc::new(Catalog::open_to_all()),
        ))?)
    };
    let (library, mut events) = tokio::task::spawn_blocking(open)
        .await?
        .map_err(|error| error.to_string())?;
    let announced = library.snapshot().announced().count();
    println!(
        "{what}: open took {:?}, {announced} games announced by then",
        started.elapsed()
    );

    let cancel = CancellationToken::new();
    let (running, stop) = (library.clone(), cancel.clone());
    let monitor = tokio::spawn(async move { running.run(stop).await });
    let mut snapshots = library.subscribe();
    let all = snapshots.wait_for(|snapshot| snapshot.announced().count() == games);
    tokio::time::timeout(PATIENCE, all).await??;
    println!("{what}: all announced after {:?}", started.elapsed());
    while !matches!(
        events.recv().await,
        None | Some(LibraryEvent::EverythingSeen)
    ) {}
    println!(
        "{what}: every file looked at after {:?}, {} bytes hashed",
        started.elapsed(),
        library.hashed_bytes()
    );
    cancel.cancel();
    monitor.await??;
    Ok(library.hashed_bytes())
}
