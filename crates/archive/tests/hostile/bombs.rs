//! Archives that are small, or quickly made, and would be large.

use std::{fs, sync::Arc, time::Duration};

use lanspread_archive::{ArchiveLimits, EntryMeta, EntrySink, walk};
use lanspread_install::{StagingError, Totals};
use lanspread_testkit::{
    archive_in_memory,
    archives::{Blob, Entry, Form, TarBuilder, Wrap, ZipBuilder},
};

use crate::{
    lab::{CHUNK_BYTES, Lab},
    verdict::{refusal, verdict},
};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// What an archive may unpack to whatever its size, in the tests that get so far: less than usual, so
/// that they are quick.
const FREE_BYTES: u64 = 16 * MIB;

/// Unoptimised, and on a machine that is busy with other tests, it may take longer.
const MANY_TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
const MANY_MEMORY_MAX: u64 = 200 * MIB;

#[test]
fn ten_gib_of_zeros_are_refused_before_they_are_unpacked() {
    let zeros = Entry::file("zeros", Blob::zeros(10 * GIB));
    for form in Form::ALL.into_iter().filter(|form| form.compresses()) {
        let archive = form.pack([&zeros]).unwrap();
        assert!(archive.size() < 11 * MIB, "{form:?}");
        refused(form, &archive, "ratio", 0, ArchiveLimits::default());
    }
}

/// Files that are harmless one by one.
#[test]
fn zeros_in_pieces_are_refused() {
    let piece = |at: u64| Entry::file(at.to_string(), Blob::zeros(10 * MIB));
    let pieces: Vec<_> = (0..20).map(piece).collect();
    for form in Form::ALL.into_iter().filter(|form| form.compresses()) {
        let archive = form.pack(&pieces).unwrap();
        let limits = small_limits();
        // A tar does not say in advance how much it holds.
        let may_write = FREE_BYTES + limits.ratio * archive.size();
        let written_max = if form.is_tar() { may_write } else { 0 };
        refused(form, &archive, "ratio", written_max, limits);
    }
}

/// The header declares little, and more follows.
#[test]
fn zeros_that_are_not_declared_are_cut_off() {
    for form in [Form::ZipDeflated, Form::SevenZDeflated, Form::SevenZLzma2] {
        let lie = Entry::file("zeros", Blob::zeros(10 * GIB)).declaring(100);
        let archive = form.pack([&lie]).unwrap();
        refused(form, &archive, "damaged", 100, ArchiveLimits::default());
    }
}

/// What follows a tar in its coat counts as well, though it goes nowhere.
#[test]
fn zeros_after_the_end_of_a_tar_are_refused() {
    let tar = TarBuilder::new().entry(&Entry::file("file", "content"));
    let bomb: Blob = [tar.build(), Blob::zeros(GIB)].into_iter().collect();
    for (wrap, form) in Wrap::ALL
        .into_iter()
        .zip([Form::TarZst, Form::TarGz, Form::TarXz])
    {
        refused(form, &wrap.pack(&bomb), "ratio", 7, small_limits());
    }
}

#[test]
fn one_block_under_many_names_is_refused() {
    let zip = ZipBuilder::new().deflated(&Entry::file("0", Blob::zeros(MIB)));
    let zip = (1..1_000).fold(zip, |zip, at| zip.overlapping(at.to_string()));
    refused(
        Form::Zip,
        &zip.build(),
        "hard link",
        0,
        ArchiveLimits::default(),
    );
}

#[test]
fn a_million_entries_of_zip_are_refused_quickly() {
    refused_quickly(Form::Zip);
}

#[test]
fn a_million_entries_of_7z_are_refused_quickly() {
    refused_quickly(Form::SevenZ);
}

#[test]
fn a_million_entries_of_rar_4_are_refused_quickly() {
    refused_quickly(Form::Rar4);
}

#[test]
fn a_million_entries_of_rar_5_are_refused_quickly() {
    refused_quickly(Form::Rar5);
}

/// A tar does not say in advance how many it holds, so it is refused at the first one too many, and what
/// follows that is not read. Without a disk: making and deleting so many files would be all that is
/// measured. In gzip and xz it is the same tar.
#[test]
fn too_many_entries_of_tar_are_refused_quickly() {
    let limits = ArchiveLimits::default();
    let archive = many_entries(Form::TarZst, 250_000);
    let archive = archive_in_memory("game.eti", archive.to_vec());
    let mut taken = Taken(0);
    let before = Cost::now();
    let answer = walk(&[archive], &limits, &Arc::default(), &mut taken);
    before.assert_little_since();
    assert_eq!(refusal(&answer.unwrap_err()), "entries");
    assert_eq!(taken.0, limits.entries);
}

/// Counts entries.
struct Taken(u64);

impl EntrySink for Taken {
    fn expect(&mut self, _totals: Totals) -> Result<(), StagingError> {
        Ok(())
    }

    fn begin(&mut self, _entry: &EntryMeta) -> Result<(), StagingError> {
        self.0 += 1;
        Ok(())
    }

    fn data(&mut self, _bytes: &[u8]) -> Result<(), StagingError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), StagingError> {
        Ok(())
    }
}

fn refused_quickly(form: Form) {
    let lab = Lab::new(&many_entries(form, 1_000_000));
    let before = Cost::now();
    let outcome = lab.install();
    before.assert_little_since();
    let verdict = verdict(&outcome.answer);
    assert!(
        matches!(verdict, "entries" | "bytes"),
        "{:?}",
        outcome.answer
    );
    lab.assert_untouched("a million entries");
}

/// Empty files, a thousand per folder.
fn many_entries(form: Form, count: usize) -> Blob {
    let entry = |at: usize| Entry::file(format!("{}/{at}", at / 1_000), "");
    let entries: Vec<_> = (0..count).map(entry).collect();
    form.pack(&entries).unwrap()
}

/// Installs a bomb that must be refused with this verdict, having written at most so much and a chunk.
fn refused(form: Form, archive: &Blob, expected: &str, written_max: u64, limits: ArchiveLimits) {
    let lab = Lab::new(archive);
    let outcome = lab.install_within(limits);
    assert_eq!(
        verdict(&outcome.answer),
        expected,
        "{form:?}: {:?}",
        outcome.answer
    );
    let written = outcome.written_bytes;
    assert!(
        written <= written_max + CHUNK_BYTES,
        "{form:?}: {written} bytes written"
    );
    lab.assert_untouched(&format!("{form:?}"));
}

fn small_limits() -> ArchiveLimits {
    ArchiveLimits {
        unpacked_bytes_free: FREE_BYTES,
        ..ArchiveLimits::default()
    }
}

/// What this thread has had of a processor, so that other tests cost it nothing, and the most memory that
/// the process has had.
struct Cost {
    time: Duration,
    memory_bytes: u64,
}

impl Cost {
    fn now() -> Self {
        // Has the kernel measure the peak of memory anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Self::so_far()
    }

    fn assert_little_since(&self) {
        let now = Self::so_far();
        let took = now.time.saturating_sub(self.time);
        let memory_bytes = now.memory_bytes - self.memory_bytes;
        println!("{took:?}, {} MiB", memory_bytes / MIB);
        assert!(took < MANY_TIME_MAX, "{took:?}");
        assert!(memory_bytes < MANY_MEMORY_MAX, "{memory_bytes} bytes");
    }

    fn so_far() -> Self {
        let ran = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanoseconds = ran.split_whitespace().next().unwrap().parse().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self {
            time: Duration::from_nanos(nanoseconds),
            memory_bytes: kib * 1024,
        }
    }
}
