//! Measures what an install adds to writing its files: `cargo run --release --example staging_speed`.
//!
//! The same 5,000 files in 500 folders are written plainly and made durable by one `syncfs`, and
//! through an install transaction until it is committed, in turn; the medians are compared.

#![expect(
    clippy::disallowed_methods,
    reason = "what is compared with is plain writing"
)]

use std::{
    error::Error,
    fs,
    io::Write,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_disk::{RealDisk, StateDir};
use lanspread_install::{
    InstallControl, InstallRequest, InstallSource, InstallTransaction, Staging, Totals,
};

const FILES: usize = 5000;
const FOLDERS: usize = 500;
const FILE_BYTES: usize = 20 * 1024;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let content = vec![7; FILE_BYTES];
    let (mut plain, mut staged, mut filled) = (Vec::new(), Vec::new(), Vec::new());
    let dir = tempfile::tempdir()?;
    for round in 0..2 * ROUNDS {
        let folder = dir.path().join(round.to_string());
        fs::create_dir(&folder)?;
        // What was written before is not to be waited for here.
        sync(&folder)?;
        if round % 2 == 0 {
            plain.push(write_plainly(&folder, &content)?);
        } else {
            let (filling, whole) = install(&folder, &content)?;
            filled.push(filling);
            staged.push(whole);
        }
    }
    let [plain, filled, staged] = [plain, filled, staged].map(median);
    let ratio = plain.as_secs_f64() / staged.as_secs_f64();
    let syncs = 1.0 - filled.as_secs_f64() / staged.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "plain {plain:?}, installed {staged:?} of which {:.0} % after the last byte: {ratio:.2}",
        100.0 * syncs
    )?;
    Ok(())
}

fn path(file: usize) -> String {
    format!("d{:03}/{file}", file % FOLDERS)
}

fn write_plainly(root: &Path, content: &[u8]) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    for folder in 0..FOLDERS {
        fs::create_dir_all(root.join(format!("d{folder:03}")))?;
    }
    for file in 0..FILES {
        fs::write(root.join(path(file)), content)?;
    }
    sync(root)?;
    Ok(start.elapsed())
}

fn sync(folder: &Path) -> std::io::Result<()> {
    Command::new("sync")
        .arg("-f")
        .arg(folder)
        .status()
        .map(drop)
}

fn install(dir: &Path, content: &[u8]) -> Result<(Duration, Duration), Box<dyn Error>> {
    let disk = Arc::new(RealDisk::open_or_create(&dir.join("games"))?);
    let state = Arc::new(StateDir::open(&dir.join("state"))?);
    let request = InstallRequest {
        game: "measured".parse()?,
        reserve_bytes: Some(0),
    };
    let source = InstallSource::Streamed {
        version: "1".parse()?,
    };
    let start = Instant::now();
    let control = InstallControl::default();
    let install = InstallTransaction::begin(&disk, &state, &request, source, &control)?;
    install.expect(Totals::default())?;
    for file in 0..FILES {
        let mut open = install.create_file(&path(file).parse()?, false)?;
        open.write(content)?;
        open.finish()?;
    }
    let filled = start.elapsed();
    install.publish()?;
    Ok((filled, start.elapsed()))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
