//! Archives through the real unpacker into a staging folder in memory, which refuses two entries at one
//! path by itself.

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_install::{UnpackError, Unpacker};
use lanspread_testkit::{MemoryStaging, archive_in_memory, archives::Form};

const MIB: u64 = 1024 * 1024;

/// RAR of either generation.
pub fn rar(data: &[u8]) {
    let form = if data.starts_with(b"Rar!\x1a\x07\x01\x00") {
        Form::Rar5
    } else {
        Form::Rar4
    };
    let magic: &[u8] = if form == Form::Rar5 {
        b"Rar!\x1a\x07\x01\x00"
    } else {
        b"Rar!\x1a\x07\x00"
    };
    unpack(form, magic, data);
}

/// ZIP.
pub fn zip(data: &[u8]) {
    unpack(Form::Zip, b"PK", data);
}

/// 7z.
pub fn seven_z(data: &[u8]) {
    unpack(Form::SevenZ, b"7z\xbc\xaf\x27\x1c", data);
}

/// Tar in any coat; what has no coat's magic is a plain one.
pub fn tar(data: &[u8]) {
    let form = match data {
        [0x28, 0xb5, ..] => Form::TarZst,
        [0x1f, 0x8b, ..] => Form::TarGz,
        [0xfd, b'7', ..] => Form::TarXz,
        _ => Form::Tar,
    };
    unpack(form, b"", data);
}

/// Unpacks `data` as an archive of this form: with its magic, with the checksums of its headers.
fn unpack(form: Form, magic: &[u8], data: &[u8]) {
    let mut bytes = data.to_vec();
    if bytes.len() < magic.len() {
        return;
    }
    bytes[..magic.len()].copy_from_slice(magic);
    form.mend(&mut bytes);

    let limits = limits();
    let (total, entries) = (limits.total_bytes, limits.entries);
    let unpacker = ArchiveUnpacker::new(limits);
    let archive = archive_in_memory("game.eti", bytes);
    let staging = MemoryStaging::new();
    let unpacked = unpacker.unpack(&[archive], &staging);
    let files = staging.files();
    assert!(staging.bytes() <= total, "more bytes than the limit");
    assert!(
        (files.len() + staging.folders().len()) as u64 <= entries,
        "more entries than the limit"
    );
    match unpacked {
        Ok(()) => assert!(
            files.values().all(|file| file.finished),
            "an unfinished file"
        ),
        Err(error @ (UnpackError::Staging(_) | UnpackError::Read { .. })) => {
            panic!("memory does not fail: {error:?}")
        }
        Err(_) => {}
    }
}

/// Small enough that each run takes milliseconds.
fn limits() -> ArchiveLimits {
    ArchiveLimits {
        entries: 2_000,
        file_bytes: 8 * MIB,
        total_bytes: 16 * MIB,
        index_bytes: 4 * MIB,
        dictionary_bytes: 8 * MIB,
        unpacked_bytes_free: 8 * MIB,
        ..ArchiveLimits::default()
    }
}
