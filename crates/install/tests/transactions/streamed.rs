//! Streamed installs: what one machine expands another one installs, whole or not at all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use bytes::Bytes;
use lanspread_disk::{
    Disk, Space,
    twin::{Image, PowerCutDisk},
};
use lanspread_install::{
    ArchiveFile, ExpandError, InstallControl, InstallError, Installed, ReceiverGone, StagingError,
    StreamInstallError, StreamInstallFrameSink, StreamInstallProvider, StreamStep,
    StreamedInstallRequest, StreamedInstallTransaction, Totals, UnpackError, Unpacker, WireChannel,
    WireSource, expand,
};
use lanspread_proto::{Hash, ManifestId, expanded::ExpandedError};

use crate::{
    install::UNPACKER,
    support::{Machine, game, is_executable, machine_on, memory},
    unpacker::text,
};

const ENTRIES: [(&str, &str); 4] = [
    ("bin/run.exe", "MZ"),
    ("data/maps/one", "a map"),
    ("data/empty/", ""),
    ("none", ""),
];

const TREE: [&str; 8] = [
    "local/",
    "local/bin/",
    "local/bin/run.exe",
    "local/data/",
    "local/data/empty/",
    "local/data/maps/",
    "local/data/maps/one",
    "local/none",
];

fn payload() -> ManifestId {
    ManifestId::new(Hash::of(b"payload"))
}

/// Expands the archives of the other tests.
struct TextProvider;

impl StreamInstallProvider for TextProvider {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        UNPACKER.recognises(archive)
    }

    fn expand(
        &self,
        archives: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        sink.begin(Totals {
            files: None,
            bytes: Some(archives.len() as u64 * 7),
        })?;
        for archive in archives {
            for line in text(archive)?.lines().skip(1) {
                let Some((path, content)) = line.split_once(':') else {
                    return Err(UnpackError::Damaged {
                        archive: archive.path().to_owned(),
                        entry: None,
                        source: "a damaged line".into(),
                    });
                };
                entry(sink, path, content)?;
            }
        }
        Ok(())
    }
}

fn entry(sink: &mut StreamInstallFrameSink, path: &str, content: &str) -> Result<(), StagingError> {
    if let Some(folder) = path.strip_suffix('/') {
        return sink.directory(&folder.parse().unwrap());
    }
    let executable = is_executable(path);
    sink.file(&path.parse().unwrap(), content.len() as u64, executable)?;
    sink.data(content.as_bytes())?;
    sink.file_end()
}

/// A wire that keeps what is sent, and breaks after some pieces.
#[derive(Clone)]
struct Wire {
    sent: Arc<Mutex<Vec<u8>>>,
    pieces_left: usize,
}

impl WireChannel for Wire {
    fn send(&mut self, bytes: Bytes) -> Result<(), ReceiverGone> {
        self.pieces_left = self.pieces_left.checked_sub(1).ok_or(ReceiverGone)?;
        self.sent.lock().unwrap().extend_from_slice(&bytes);
        Ok(())
    }
}

/// What a machine sends of its game, and how that ended.
fn send<D: Disk>(machine: &Machine<D>, pieces_max: usize) -> (Vec<u8>, Result<(), ExpandError>) {
    let wire = Wire {
        sent: Arc::default(),
        pieces_left: pieces_max,
    };
    let sink =
        StreamInstallFrameSink::new(wire.clone(), payload(), Arc::new(AtomicBool::new(false)));
    let ended = expand(
        machine.disk.as_ref(),
        &machine.state,
        &TextProvider,
        &game(),
        sink,
    );
    let sent = wire.sent.lock().unwrap().clone();
    (sent, ended)
}

fn sent_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let source = machine_on(&memory());
    source.put_archive("2.0", entries);
    let (sent, ended) = send(&source, usize::MAX);
    ended.unwrap();
    sent
}

/// Arrives in pieces of a few bytes, and may break instead of ending.
struct Arriving {
    pieces: VecDeque<Bytes>,
    breaks: bool,
}

impl Arriving {
    fn of(wire: &[u8]) -> Self {
        Self {
            pieces: wire.chunks(7).map(Bytes::copy_from_slice).collect(),
            breaks: false,
        }
    }
}

impl WireSource for Arriving {
    fn next(&mut self) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        match self.pieces.pop_front() {
            None if self.breaks => Err("somebody pulled the plug".into()),
            piece => Ok(piece),
        }
    }
}

impl<D: Disk> Machine<D> {
    fn receive_with(
        &self,
        wire: &mut Arriving,
        reserve_bytes: u64,
        told: &dyn Fn(StreamStep),
    ) -> Result<Installed, StreamInstallError> {
        let request = StreamedInstallRequest {
            game: game(),
            payload: payload(),
            version: "2.0".parse().unwrap(),
            reserve_bytes: Some(reserve_bytes),
        };
        let control = InstallControl::default();
        let install =
            StreamedInstallTransaction::begin(&self.disk, &self.state, &request, &control)
                .map_err(StreamInstallError::Install)?
                .receive(wire, told)?;
        install.publish().map_err(StreamInstallError::Install)
    }

    fn receive(&self, wire: &[u8]) -> Result<Installed, StreamInstallError> {
        self.receive_with(&mut Arriving::of(wire), 0, &|_| {})
    }
}

#[test]
fn what_is_expanded_there_is_installed_here_and_no_archive_comes() {
    let receiver = machine_on(&memory());
    let steps = Mutex::new(Vec::new());
    let wire = sent_of(&ENTRIES);
    let told = |step| steps.lock().unwrap().push(step);
    let installed = receiver
        .receive_with(&mut Arriving::of(&wire), 0, &told)
        .unwrap();
    assert_eq!((installed.files, installed.bytes), (3, 7));
    assert_eq!(receiver.tree(), TREE);
    assert_eq!(receiver.read("local/data/maps/one").unwrap(), b"a map");
    let runnable = receiver
        .disk
        .stat(&format!("{}/local/bin/run.exe", game()))
        .unwrap();
    assert!(runnable.unwrap().executable);
    assert_eq!(receiver.installed_version().as_deref(), Some("2.0"));
    let steps = steps.into_inner().unwrap();
    let totals = Totals {
        bytes: Some(7),
        files: None,
    };
    assert_eq!(steps[0], StreamStep::Begun { totals });
    assert!(matches!(steps[1..], [StreamStep::Complete(sums)] if sums.directories == 1));
}

#[test]
fn a_stream_that_is_cut_anywhere_leaves_nothing() {
    let wire = sent_of(&ENTRIES);
    for length in 0..wire.len() {
        let fresh = machine_on(&memory());
        let error = fresh.receive(&wire[..length]).unwrap_err();
        assert!(error.is_worth_another_peer(), "{length}: {error}");
        assert!(
            matches!(
                &error,
                StreamInstallError::Stream {
                    source: ExpandedError::Unfinished { .. },
                    ..
                }
            ),
            "{length}: {error:?}"
        );
        assert!(fresh.disk.stat(game().as_str()).unwrap().is_none());
    }
}

#[test]
fn an_update_that_breaks_keeps_what_was_installed() {
    let wire = sent_of(&ENTRIES);
    let receiver = machine_on(&memory());
    receiver.put_archive("1.0", &[("old", "played")]);
    receiver.install().unwrap();
    let before = receiver.tree();
    let mut arriving = Arriving::of(&wire[..wire.len() / 2]);
    arriving.breaks = true;
    let error = receiver
        .receive_with(&mut arriving, 0, &|_| {})
        .unwrap_err();
    assert!(matches!(error, StreamInstallError::Broken { .. }));
    assert_eq!(receiver.tree(), before);
    assert_eq!(receiver.installed_version().as_deref(), Some("1.0"));
    let installed = receiver.receive(&wire).unwrap();
    assert!(installed.updated);
    assert_eq!(installed.replaced.unwrap().as_str(), "1.0");
    assert_eq!(receiver.read("local/old"), None);
    assert_eq!(receiver.read("version.ini").unwrap(), b"1.0\n");
}

#[test]
fn a_flipped_bit_anywhere_is_never_installed() {
    let wire = sent_of(&ENTRIES);
    let receiver = machine_on(&memory());
    let mut let_through = 0;
    for at in 0..wire.len() {
        let mut wire = wire.clone();
        wire[at] ^= 1;
        if let Err(error) = receiver.receive(&wire) {
            assert!(error.is_worth_another_peer(), "{at}: {error}");
            assert_eq!(receiver.tree(), Vec::<String>::new(), "{at}");
        } else {
            // A field's name that is not known is passed over: the totals' are optional.
            let_through += 1;
            assert_eq!(receiver.tree(), TREE, "{at}");
            receiver.uninstall().unwrap();
            receiver.disk.remove_tree(game().as_str()).unwrap();
        }
    }
    assert!(let_through <= "bytes".len() * 2, "{let_through}");
}

#[test]
fn a_disk_too_small_by_one_byte_is_told_before_the_first_byte() {
    let wire = sent_of(&ENTRIES);
    let disk = memory();
    disk.set_space(Space {
        free_bytes: 106,
        total_bytes: 1000,
    });
    let receiver = machine_on(&disk);
    let begun = Mutex::new(false);
    let told = |_| *begun.lock().unwrap() = true;
    let error = receiver
        .receive_with(&mut Arriving::of(&wire), 100, &told)
        .unwrap_err();
    let StreamInstallError::Install(InstallError::DiskFull { missing_bytes, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(missing_bytes, 1);
    assert!(!*begun.lock().unwrap() && receiver.tree().is_empty());
}

#[test]
fn a_sender_that_cannot_go_on_says_why_and_not_where() {
    let source = machine_on(&memory());
    let (sent, ended) = send(&source, usize::MAX);
    assert!(matches!(ended, Err(ExpandError::NoArchive { .. })));
    let receiver = machine_on(&memory());
    let error = receiver.receive(&sent).unwrap_err();
    assert!(matches!(
        error,
        StreamInstallError::Stream {
            source: ExpandedError::Failed { .. },
            ..
        }
    ));
    source.put("2.0", &[("game.eti", b"an archive\na:b\n!\n")]);
    let (sent, ended) = send(&source, usize::MAX);
    assert!(matches!(
        ended,
        Err(ExpandError::Unpack(UnpackError::Damaged { .. }))
    ));
    let StreamInstallError::Stream { source, .. } = receiver.receive(&sent).unwrap_err() else {
        panic!("the sender failed");
    };
    assert_eq!(
        source.to_string(),
        "the sender cannot go on: game.eti is damaged: a damaged line"
    );
    assert!(receiver.tree().is_empty());
}

#[test]
fn a_provider_is_stopped_when_nobody_reads() {
    let source = machine_on(&memory());
    source.put_archive("2.0", &ENTRIES);
    for pieces in 0..2 {
        let (_, ended) = send(&source, pieces);
        assert!(
            matches!(ended, Err(ExpandError::ReceiverGone(_))),
            "after {pieces} pieces: {ended:?}"
        );
    }
}

/// What a machine may hold after a crash in a streamed install over nothing: no game, or all of it.
fn judge(image: &Image) -> Result<bool, String> {
    let disk = PowerCutDisk::from_image(image);
    let machine = machine_on(&disk);
    machine.recover().map_err(|error| error.to_string())?;
    match machine.tree() {
        tree if tree.is_empty() => Ok(false),
        tree if tree == TREE => Ok(true),
        tree => Err(format!("{tree:?}")),
    }
}

#[test]
fn a_streamed_install_survives_a_power_cut_at_any_moment() {
    let wire = sent_of(&ENTRIES);
    let disk = memory();
    machine_on(&disk).receive(&wire).unwrap();
    let images = disk.crash_images(20_260_102);
    assert!(images.len() > 100, "only {} states", images.len());
    let installed: Vec<bool> = images.iter().map(|image| judge(image).unwrap()).collect();
    assert!(installed.contains(&true) && installed.contains(&false));
    for image in disk.crash_images_now(20_260_102) {
        assert!(judge(&image).unwrap(), "it was told to be installed");
    }
}
