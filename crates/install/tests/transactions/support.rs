//! What the tests of transactions share: versions of a game, a machine, a download, the oracle.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, atomic::AtomicBool},
};

use lanspread_disk::{
    Disk, DiskFile, FileMode, Kind, StateDir, StoredPayload,
    twin::{Image, ImageNode, PowerCutDisk},
};
use lanspread_install::{
    DownloadError, DownloadRequest, DownloadTransaction, Published, RecoverError, recover,
};
use lanspread_proto::{
    CHUNK_BYTES, ChunkIndex, FileEntry, GameId, Hash, Manifest, chunk::chunk_hash,
};

pub(crate) fn game() -> GameId {
    "cnctw".parse().unwrap()
}

/// One version of the game: its payload, and where the bytes come from.
pub(crate) struct Version {
    pub(crate) payload: StoredPayload,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Version {
    /// Files whose names end in `.exe` are executable; names that end in `/` are empty folders.
    pub(crate) fn new(sentinel: &str, files: &[(&str, &[u8])]) -> Self {
        let files = files
            .iter()
            .map(|(path, data)| ((*path).to_owned(), data.to_vec()))
            .collect();
        Self::of(sentinel, files)
    }

    pub(crate) fn of(sentinel: &str, mut files: BTreeMap<String, Vec<u8>>) -> Self {
        let folders = files.keys().filter_map(|path| path.strip_suffix('/'));
        let folders = folders.map(|path| path.parse().unwrap()).collect();
        files.retain(|path, _| !path.ends_with('/'));
        let entries = files.iter().map(|(path, data)| FileEntry {
            path: path.parse().unwrap(),
            size: data.len() as u64,
            executable: is_executable(path),
            hash: Hash::of(data),
        });
        let manifest = Manifest::new(sentinel.into(), entries.collect(), folders).unwrap();
        let map = manifest.chunk_map();
        let hashes = map.chunks().map(|chunk| {
            let span = map.span(chunk);
            let data = &files[manifest.files()[span.file].path.as_str()];
            chunk_hash(slice(data, span.offset, span.bytes), span.offset, span.sole)
        });
        let hashes = hashes.collect();
        Self {
            payload: StoredPayload::new(Arc::new(manifest), hashes).unwrap(),
            files,
        }
    }

    pub(crate) fn manifest(&self) -> Arc<Manifest> {
        Arc::clone(self.payload.manifest())
    }

    pub(crate) fn chunk(&self, chunk: ChunkIndex) -> &[u8] {
        let map = self.manifest().chunk_map();
        let span = map.span(chunk);
        let path = self.payload.manifest().files()[span.file].path.as_str();
        slice(&self.files[path], span.offset, span.bytes)
    }

    /// What is wrong with the payload in this image, if anything is.
    pub(crate) fn fault_in(&self, image: &Image) -> Option<String> {
        for (path, data) in &self.files {
            match image.nodes().get(&format!("games/{}/{path}", game())) {
                Some(ImageNode::File {
                    content,
                    executable,
                }) if **content == *data && *executable == is_executable(path) => {}
                other => return Some(format!("{path} is {other:?}")),
            }
        }
        let folders = self.payload.manifest().empty_folders();
        let lost = folders
            .iter()
            .find(|folder| !image.has(&format!("games/{}/{folder}", game())));
        lost.map(|folder| format!("the folder {folder} is not there"))
    }
}

/// Says how much a sweep tried, where somebody looks (`--no-capture`).
#[expect(clippy::print_stdout, reason = "a sweep says what it counted")]
pub(crate) fn report(what: &str) {
    println!("{what}");
}

pub(crate) fn is_executable(path: &str) -> bool {
    path.strip_suffix("exe")
        .is_some_and(|stem| stem.ends_with('.'))
}

fn slice(data: &[u8], offset: u64, bytes: u32) -> &[u8] {
    let offset = usize::try_from(offset).unwrap();
    &data[offset..offset + bytes as usize]
}

/// Some bytes that are not all alike, `chunks` whole chunks and `more`.
pub(crate) fn long(chunks: u64, more: usize, seed: u8) -> Vec<u8> {
    let bytes = usize::try_from(chunks * CHUNK_BYTES).unwrap() + more;
    (0..bytes)
        .map(|at| (at / 1000).to_le_bytes()[0] ^ seed)
        .collect()
}

/// A game directory and a state directory.
pub(crate) struct Machine<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) state: Arc<StateDir<D>>,
}

impl<D: Disk> Machine<D> {
    pub(crate) fn new(disk: D, state: D) -> Self {
        Self {
            disk: Arc::new(disk),
            state: Arc::new(StateDir::new(state)),
        }
    }

    pub(crate) fn begin(
        &self,
        version: &Version,
        previous: Option<&Version>,
    ) -> Result<DownloadTransaction<D>, DownloadError> {
        let request = DownloadRequest {
            game: game(),
            payload: version.payload.clone(),
            previous: previous.map(Version::manifest),
            reserve_bytes: Some(0),
        };
        DownloadTransaction::begin(Arc::clone(&self.disk), Arc::clone(&self.state), request)
    }

    pub(crate) fn recover(&self) -> Result<lanspread_install::Recovered, RecoverError> {
        recover(self.disk.as_ref(), &self.state, &game())
    }

    /// Recovers and downloads; what was complete here before is `previous`.
    pub(crate) fn download(
        &self,
        version: &Version,
        previous: Option<&Version>,
    ) -> Result<Published, Box<dyn Error>> {
        self.recover()?;
        let download = self.begin(version, previous)?;
        fetch(&download, version)?;
        Ok(download.publish()?)
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = format!("{}/{path}", game());
        let folder = path.rsplit_once('/').unwrap().0;
        self.disk.create_folders_synced(folder).unwrap();
        let file = self.disk.create_new(&path, FileMode::Plain).unwrap();
        file.write_all_at(content, 0).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.disk
            .read_file(&format!("{}/{path}", game()), u64::from(u32::MAX))
            .unwrap()
    }

    /// Every path in the game root, folders with a slash at the end.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(game().as_str(), &mut found);
        found.sort();
        found
    }

    fn walk(&self, folder: &str, found: &mut Vec<String>) {
        if self
            .disk
            .stat(folder)
            .unwrap()
            .is_none_or(|entry| entry.kind != Kind::Folder)
        {
            return;
        }
        for listed in self.disk.list(folder).unwrap() {
            let path = format!("{folder}/{}", listed.name.display());
            let shown = path.split_once('/').unwrap().1.to_owned();
            if listed.entry.kind == Kind::Folder {
                found.push(format!("{shown}/"));
                self.walk(&path, found);
            } else {
                found.push(shown);
            }
        }
    }
}

/// Reconciles and writes what is missing; returns how many chunks that were.
pub(crate) fn fetch<D: Disk>(
    download: &DownloadTransaction<D>,
    version: &Version,
) -> Result<usize, DownloadError> {
    let held = download.reconcile(&AtomicBool::new(false), &|_| {})?;
    let missing: Vec<_> = held.missing().collect();
    for chunk in &missing {
        download.write_chunk(*chunk, version.chunk(*chunk))?;
    }
    Ok(missing.len())
}

/// A machine in memory, with nothing on it.
pub(crate) fn memory() -> PowerCutDisk {
    let disk = PowerCutDisk::new();
    disk.create_folder("games").unwrap();
    disk.create_folder("state").unwrap();
    disk.settle();
    disk
}

pub(crate) fn machine_on(disk: &PowerCutDisk) -> Machine<PowerCutDisk> {
    Machine::new(disk.folder("games"), disk.folder("state"))
}

/// What a game may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No sentinel.
    NotDownloaded,
    /// The version of this position, whole.
    Version(usize),
}

/// A sentinel implies every byte of one version; anything else is a violation.
pub(crate) fn judge(image: &Image, versions: &[&Version]) -> Result<Found, String> {
    let path = format!("games/{}/version.ini", game());
    if !image.has(&path) {
        return Ok(Found::NotDownloaded);
    }
    let sentinel = image.content(&path);
    let mut faults = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        if sentinel != Some(version.payload.manifest().sentinel()) {
            continue;
        }
        match version.fault_in(image) {
            None => return Ok(Found::Version(number)),
            Some(fault) => faults.push(fault),
        }
    }
    Err(format!("the sentinel says {sentinel:?}, but: {faults:?}"))
}
