//! How it stops: cancelled, without a disk, and with bounded memory.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use lanspread_archive::ArchiveUnpacker;
use lanspread_disk::{DiskError, DiskFile, FileStamp};
use lanspread_install::{ArchiveFile, StagingError, UnpackError, Unpacker};
use lanspread_testkit::{
    archive_in_memory,
    archives::{Blob, Entry, Form},
};

use crate::support::{Nowhere, any_ratio, packed};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a cancel may take, as promised.
const PROMPT: Duration = Duration::from_secs(1);

fn forms() -> impl Iterator<Item = Form> {
    let rar = cfg!(feature = "rar");
    let read = move |form: &Form| rar || !matches!(form, Form::Rar4 | Form::Rar5);
    Form::ALL.into_iter().filter(read)
}

/// One entry of 2 GiB, or of what memory can hold where the form does not compress.
fn one_large_entry(form: Form) -> ArchiveFile {
    let bytes = if form.compresses() { 2 * GIB } else { 96 * MIB };
    packed(form, &[Entry::file("large", Blob::zeros(bytes))])
}

#[test]
fn a_cancel_in_the_middle_of_a_large_entry_ends_it_at_once() {
    for form in forms() {
        let archive = one_large_entry(form);
        let staging = Nowhere::cancelling_at(64 * MIB);
        let flag = Arc::clone(&staging.cancelled);
        let begun = Instant::now();
        let (error, after) = thread::scope(|scope| {
            let watcher = scope.spawn(move || {
                while !flag.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                Instant::now()
            });
            let unpacker = ArchiveUnpacker::new(any_ratio());
            let error = unpacker.unpack(&[archive], &staging).unwrap_err();
            let ended = Instant::now();
            (error, ended.duration_since(watcher.join().unwrap()))
        });
        assert!(
            matches!(error, UnpackError::Staging(StagingError::Cancelled)),
            "{form:?}: {error:?}"
        );
        assert!(
            after < PROMPT,
            "{form:?}: {after:?} of {:?}",
            begun.elapsed()
        );
        // What was on its way when it was cancelled, and no more.
        let bytes = staging.bytes.load(Ordering::Relaxed);
        assert!(bytes < 72 * MIB, "{form:?}: {bytes}");
    }
}

#[test]
fn what_is_cancelled_already_does_not_begin() {
    for form in forms() {
        let staging = Nowhere::cancelling_at(0);
        staging.cancelled.store(true, Ordering::Relaxed);
        let archive = packed(form, &[Entry::file("a", "x")]);
        let error = ArchiveUnpacker::default()
            .unpack(&[archive], &staging)
            .unwrap_err();
        assert!(
            matches!(error, UnpackError::Staging(StagingError::Cancelled)),
            "{form:?}: {error:?}"
        );
        assert_eq!(staging.bytes.load(Ordering::Relaxed), 0, "{form:?}");
    }
}

/// A file that cannot be read from some place on.
struct Failing {
    content: Vec<u8>,
    fails_at: u64,
}

impl Failing {
    fn error() -> DiskError {
        DiskError::new(
            "read",
            "/game/game.eti",
            std::io::Error::from_raw_os_error(5),
        )
    }
}

impl DiskFile for Failing {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        if offset + buffer.len() as u64 > self.fails_at {
            return Err(Self::error());
        }
        let start = usize::try_from(offset).unwrap();
        let count = buffer.len().min(self.content.len().saturating_sub(start));
        buffer[..count].copy_from_slice(&self.content[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, _data: &[u8], _offset: u64) -> Result<(), DiskError> {
        Err(Self::error())
    }

    fn set_len(&self, _bytes: u64) -> Result<(), DiskError> {
        Err(Self::error())
    }

    fn sync(&self) -> Result<(), DiskError> {
        Err(Self::error())
    }

    fn stamp(&self) -> Result<FileStamp, DiskError> {
        Err(Self::error())
    }
}

#[test]
fn a_disk_that_fails_is_not_taken_for_a_damaged_archive() {
    let noise = lanspread_testkit::bytes("noise", 400_000);
    for form in forms() {
        let entries = [
            Entry::file("a", noise.clone()),
            Entry::file("b", noise.clone()),
        ];
        let content = form.pack(&entries).unwrap().to_vec();
        let bytes = content.len() as u64;
        for fails_at in [0, 300_000, bytes - 1] {
            let file = Failing {
                content: content.clone(),
                fails_at,
            };
            let path = Path::new("/game/game.eti").to_owned();
            let archive =
                ArchiveFile::new("game.eti".parse().unwrap(), path, bytes, Arc::new(file));
            let staging = Nowhere::cancelling_at(u64::MAX);
            let error = ArchiveUnpacker::default()
                .unpack(&[archive], &staging)
                .unwrap_err();
            assert!(
                matches!(error, UnpackError::Read { .. }),
                "{form:?} at {fails_at}: {error:?}"
            );
        }
    }
}

/// The most memory that this process ever had.
#[cfg(target_os = "linux")]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_entry() {
    for form in forms().filter(|form| form.compresses()) {
        let archive = packed(form, &[Entry::file("large", Blob::zeros(GIB))]);
        let staging = Nowhere::cancelling_at(u64::MAX);
        let unpacker = ArchiveUnpacker::new(any_ratio());
        unpacker.unpack(&[archive], &staging).unwrap();
        assert_eq!(staging.bytes.load(Ordering::Relaxed), GIB, "{form:?}");
        let peak = peak_bytes();
        assert!(peak < 200 * MIB, "{form:?}: {} MiB", peak / MIB);
    }
}

#[test]
fn one_unpacker_serves_many_at_once() {
    let unpacker = ArchiveUnpacker::default();
    thread::scope(|scope| {
        for form in forms() {
            let unpacker = &unpacker;
            scope.spawn(move || {
                let archive = archive_in_memory(
                    "game.eti",
                    form.pack(&[Entry::file("a", Blob::zeros(MIB))])
                        .unwrap()
                        .to_vec(),
                );
                let staging = Nowhere::cancelling_at(u64::MAX);
                unpacker.unpack(&[archive], &staging).unwrap();
                assert_eq!(staging.bytes.load(Ordering::Relaxed), MIB, "{form:?}");
            });
        }
    });
}
