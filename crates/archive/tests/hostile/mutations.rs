//! Archives with a few random changes: never a panic, never a hang, never an entry at a path that is none.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_install::{UnpackError, Unpacker};
use lanspread_testkit::{
    MemoryStaging, archive_in_memory,
    archives::{Blob, Entry, Form},
    bytes,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

const MUTANTS: usize = 3_000;

/// For one mutant; real ones take milliseconds.
const TIME_MAX: Duration = Duration::from_secs(20);

const MIB: u64 = 1024 * 1024;

#[test]
fn zip_mutants() {
    try_mutants(&[Form::Zip, Form::ZipDeflated]);
}

#[test]
fn seven_z_mutants() {
    try_mutants(&[Form::SevenZ, Form::SevenZDeflated, Form::SevenZLzma2]);
}

#[test]
fn rar_mutants() {
    try_mutants(&[Form::Rar4, Form::Rar5]);
}

#[test]
fn tar_mutants() {
    try_mutants(&[Form::Tar, Form::TarZst, Form::TarGz, Form::TarXz]);
}

fn try_mutants(forms: &'static [Form]) {
    let seed: u64 = rand::random_range(0..1_000_000);
    println!("seed {seed}");
    let (told, heard) = mpsc::channel();
    let mutants = thread::spawn(move || {
        let mut random = StdRng::seed_from_u64(seed);
        let originals: Vec<_> = forms
            .iter()
            .map(|form| originals(*form, &mut random))
            .collect();
        for number in 0..MUTANTS {
            let form = forms[number % forms.len()];
            let original = originals[number % forms.len()].choose(&mut random).unwrap();
            let mutant = mutate(form, original.clone(), &mut random);
            let Ok(()) = told.send((number, form)) else {
                return;
            };
            unpack(form, mutant);
        }
    });
    let mut last = None;
    let end = loop {
        match heard.recv_timeout(TIME_MAX) {
            Ok(mutant) => last = Some((mutant, Instant::now())),
            Err(end) => break end,
        }
    };
    assert_eq!(
        end,
        mpsc::RecvTimeoutError::Disconnected,
        "seed {seed}: {last:?} hangs"
    );
    mutants
        .join()
        .unwrap_or_else(|_| panic!("seed {seed}: {last:?} panics"));
}

fn unpack(form: Form, mutant: Vec<u8>) {
    let limits = ArchiveLimits {
        dictionary_bytes: 16 * MIB,
        unpacked_bytes_free: 16 * MIB,
        ..ArchiveLimits::default()
    };
    let total = limits.unpacked_bytes_free + limits.ratio * mutant.len() as u64;
    let archive = archive_in_memory("game.eti", mutant);
    // It fails the test by itself when a path is handed over that does not fit.
    let staging = MemoryStaging::new();
    let answer = ArchiveUnpacker::new(limits).unpack(&[archive], &staging);
    assert!(
        staging.bytes() <= total,
        "{form:?}: {} bytes",
        staging.bytes()
    );
    match answer {
        Ok(()) => assert!(
            staging.files().values().all(|file| file.finished),
            "{form:?}"
        ),
        Err(error @ (UnpackError::Read { .. } | UnpackError::Staging(_))) => {
            panic!("{form:?}: memory does not fail: {error:?}")
        }
        Err(_) => {}
    }
}

/// The archive with one to eight changes; half of the time its header checksums are right.
fn mutate(form: Form, mut bytes: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    for _ in 0..random.random_range(1..=8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(random).unwrap(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + random.random_range(0..40)).min(bytes.len()))),
            4 => {
                let piece = bytes[at..(at + 64).min(bytes.len())].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let end = (at + 8).min(bytes.len());
                bytes[at..end].fill(random.random());
            }
        }
    }
    if random.random() {
        form.mend(&mut bytes);
    }
    bytes
}

fn originals(form: Form, random: &mut StdRng) -> Vec<Vec<u8>> {
    (0..20)
        .map(|_| form.pack(&story(random)).unwrap().to_vec())
        .collect()
}

fn story(random: &mut StdRng) -> Vec<Entry> {
    let all = [
        Entry::folder("folder"),
        Entry::file("folder/text", "content").mode(0o755),
        Entry::file("random", bytes("random", 3_000)),
        Entry::file("zeros", Blob::zeros(256 * 1024)),
        Entry::file("empty", ""),
        Entry::file("n\u{fc}", "content").on_windows(),
        Entry::file("deep/er/and/deeper", "content"),
    ];
    all.into_iter()
        .filter(|_| random.random_bool(0.6))
        .collect()
}
