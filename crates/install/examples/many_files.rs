//! Measures what the transaction adds to writing files: `cargo run --release --example many_files`.
//!
//! Downloads a payload of many small files and one of the same size in one file, from memory into a
//! temporary folder, and writes the times of each step.

use std::{
    collections::BTreeMap,
    error::Error,
    io::Write,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use lanspread_disk::{RealDisk, StateDir, StoredPayload};
use lanspread_install::{DownloadRequest, DownloadTransaction};
use lanspread_proto::{FileEntry, Hash, Manifest, chunk::chunk_hash};

const FILES: usize = 100_000;
const FILE_BYTES: usize = 10 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let many = (0..FILES)
        .map(|n| (format!("d{:03}/{n:06}.dat", n % 500), FILE_BYTES))
        .collect();
    let one = BTreeMap::from([("one.dat".to_owned(), FILES * FILE_BYTES)]);
    measure("many files", &many)?;
    measure("one file", &one)
}

fn measure(name: &str, sizes: &BTreeMap<String, usize>) -> Result<(), Box<dyn Error>> {
    let content = vec![7; sizes.values().copied().max().unwrap_or_default()];
    let mut hashes = BTreeMap::new();
    let mut files = Vec::new();
    for (path, size) in sizes {
        let hash = *hashes
            .entry(*size)
            .or_insert_with(|| Hash::of(&content[..*size]));
        files.push(FileEntry {
            path: path.parse()?,
            size: *size as u64,
            executable: false,
            hash,
        });
    }
    let manifest = Arc::new(Manifest::new(b"1.0\n".to_vec(), files, Vec::new())?);
    let map = manifest.chunk_map();
    let chunks = map.chunks().map(|chunk| {
        let span = map.span(chunk);
        chunk_hash(&content[..span.bytes as usize], span.offset, span.sole)
    });
    let payload = StoredPayload::new(Arc::clone(&manifest), chunks.collect())?;

    let dir = tempfile::tempdir()?;
    let disk = Arc::new(RealDisk::open_or_create(&dir.path().join("games"))?);
    let state = Arc::new(StateDir::open(&dir.path().join("state"))?);
    let request = DownloadRequest {
        game: "measured".parse()?,
        payload,
        previous: None,
        reserve_bytes: Some(0),
    };
    let begun = Instant::now();
    let download = DownloadTransaction::begin(disk, state, request)?;
    download.reconcile(&AtomicBool::new(false), &|_| {})?;
    let ready = Instant::now();
    for chunk in map.chunks() {
        download.write_chunk(chunk, &content[..map.chunk_bytes(chunk) as usize])?;
    }
    let written = Instant::now();
    download.publish()?;
    writeln!(
        std::io::stdout(),
        "{name}: begin {:?}, write {:?}, publish {:?}",
        ready - begun,
        written - ready,
        written.elapsed()
    )?;
    Ok(())
}
