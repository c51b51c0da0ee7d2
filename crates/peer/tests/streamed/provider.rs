//! A provider for tests: it expands what its own archives say, can be held in the middle and made to fail.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use lanspread_peer::{
    ArchiveFile, StagingError, StreamInstallFrameSink, StreamInstallProvider, Totals, UnpackError,
};
use lanspread_testkit::{GameTree, bytes, tree};

const MAGIC: &str = "to be expanded: ";

/// Between two looks of a held provider.
const LOOK: Duration = Duration::from_millis(2);

/// A file of each version.
pub(crate) const LARGE: &str = "data/level.dat";
const LARGE_BYTES: usize = 3_000_000;

/// A game that is an archive which expands to [`content`].
pub(crate) fn archived(id: &str, version: &str) -> GameTree {
    tree(id, version).content("game.eti", format!("{MAGIC}{version}").into_bytes())
}

/// What is inside the archive of this version, in its order.
pub(crate) fn content(version: &str) -> Vec<(String, Vec<u8>)> {
    let file = |name: &str, count| (name.to_owned(), bytes(&format!("{version}/{name}"), count));
    vec![
        file("bin/game.bin", 70_000),
        file(LARGE, LARGE_BYTES),
        file("empty", 0),
        file(&format!("only in {version}.txt"), 10),
    ]
}

/// What it does besides expanding.
#[derive(Debug, Default)]
pub(crate) struct TestProvider {
    /// Whether it waits after its first file.
    held: AtomicBool,
    /// Whether it sends zeros without an end after its first file.
    endless: AtomicBool,
    /// Whether it fails after its first file.
    fails: AtomicBool,
    jobs: AtomicUsize,
    most_jobs: AtomicUsize,
}

impl TestProvider {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn held() -> Arc<Self> {
        let provider = Self::new();
        provider.held.store(true, Ordering::SeqCst);
        provider
    }

    pub(crate) fn endless() -> Arc<Self> {
        let provider = Self::new();
        provider.endless.store(true, Ordering::SeqCst);
        provider
    }

    pub(crate) fn failing() -> Arc<Self> {
        let provider = Self::new();
        provider.fails.store(true, Ordering::SeqCst);
        provider
    }

    pub(crate) fn let_go(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    /// How many expand right now.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.load(Ordering::SeqCst)
    }

    /// How many ever did at once.
    pub(crate) fn most_jobs(&self) -> usize {
        self.most_jobs.load(Ordering::SeqCst)
    }

    fn after_first_file(
        &self,
        archive: &ArchiveFile,
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        let cancelled = sink.cancelled();
        while self.held.load(Ordering::SeqCst) {
            if cancelled.load(Ordering::SeqCst) {
                return Err(StagingError::Cancelled.into());
            }
            thread::sleep(LOOK);
        }
        if self.endless.load(Ordering::SeqCst) {
            sink.file(&"endless".parse().unwrap(), 1 << 37, false)?;
            let zeros = vec![0; 65_536];
            loop {
                sink.data(&zeros)?;
            }
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(UnpackError::Damaged {
                archive: archive.path().to_owned(),
                entry: Some(LARGE.into()),
                source: "a checksum is wrong".into(),
            });
        }
        Ok(())
    }

    fn run(
        &self,
        archive: &ArchiveFile,
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        let mut version = String::new();
        archive.reader().read_to_string(&mut version).unwrap();
        let files = content(version.strip_prefix(MAGIC).unwrap());
        let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
        sink.begin(Totals {
            bytes: (!self.endless.load(Ordering::SeqCst)).then_some(bytes as u64),
            files: None,
        })?;
        sink.directory(&"saves".parse().unwrap())?;
        for (number, (path, content)) in files.iter().enumerate() {
            sink.file(&path.parse().unwrap(), content.len() as u64, number == 0)?;
            sink.data(content)?;
            sink.file_end()?;
            if number == 0 {
                self.after_first_file(archive, sink)?;
            }
        }
        Ok(())
    }
}

impl StreamInstallProvider for TestProvider {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        let mut start = String::new();
        let mut reader = archive.reader().take(MAGIC.len() as u64);
        Ok(reader.read_to_string(&mut start).is_ok() && start == MAGIC)
    }

    fn expand(
        &self,
        archives: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        let jobs = self.jobs.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_jobs.fetch_max(jobs, Ordering::SeqCst);
        let expanded = self.run(&archives[0], sink);
        self.jobs.fetch_sub(1, Ordering::SeqCst);
        expanded
    }
}
