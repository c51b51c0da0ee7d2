//! Archives that `WinRAR` itself made, of 1995 to 2024: what comes out has the sizes and checksums that
//! `WinRAR` wrote down.

use std::{fs, path::Path};

use lanspread_archive::ArchiveUnpacker;
use lanspread_install::{UnpackError, Unpacker, UnsafeEntry};
use lanspread_testkit::{MemoryStaging, archive_in_memory};

/// Checksums of contents that come again and again.
const STEST: u32 = 0xc5b7_e6a2;
const READ_ONLY: u32 = 0x818d_2276;
const UNICODE: u32 = 0x6751_fc53;

type File = (&'static str, usize, u32);

const STESTS: &[File] = &[("stest1.txt", 2048, STEST), ("stest2.txt", 2048, STEST)];
const EMPTIES: &[File] = &[("file1.txt", 0, 0), ("file2.txt", 0, 0)];
const READ_ONLIES: &[File] = &[("ro_dir/ro_file.txt", 9, READ_ONLY)];
const UNICODES: &[File] = &[("уииоотивл.txt", 2, UNICODE), ("𝐀𝐁𝐁𝐂.txt", 2, UNICODE)];
const SUBDIRS: &[File] = &[
    ("sub/dir1/file1.txt", 6, 0xe229_f704),
    ("sub/dir2/file2.txt", 6, 0xc904_a4c7),
    ("sub/with space/long fn.txt", 8, 0x71b7_247d),
    ("sub/üȵĩöḋè/file.txt", 5, 0x2fec_89c1),
];

const GOOD: [(&str, &[File]); 19] = [
    (
        "rar15-comment",
        &[("FILE1.TXT", 7, 0xe27f_07a9), ("FILE2.TXT", 8, 0x3c43_06f7)],
    ),
    (
        "rar202-comment-nopsw",
        &[("FILE1.TXT", 7, 0x7a19_7dba), ("FILE2.TXT", 7, 0x785f_c3e3)],
    ),
    ("rar3-comment-plain", EMPTIES),
    ("rar3-solid", STESTS),
    ("rar3-subdirs", SUBDIRS),
    ("rar3-readonly-win", READ_ONLIES),
    ("rar3-readonly-unix", READ_ONLIES),
    ("rar5-crc", STESTS),
    ("rar5-blake", STESTS),
    ("rar5-solid", STESTS),
    (
        "rar5-solid-qo",
        &[
            ("somedir/stest1.txt", 2048, STEST),
            ("somedir/stest2.txt", 2048, STEST),
            ("stest1.txt", 2048, STEST),
            ("stest2.txt", 2048, STEST),
        ],
    ),
    ("rar5-quick-open", STESTS),
    ("rar5-subdirs", SUBDIRS),
    ("rar5-readonly-unix", READ_ONLIES),
    ("rar5-readonly-win", READ_ONLIES),
    ("rar5-times", &[("stest1.txt", 2048, STEST)]),
    ("seektest", STESTS),
    ("unicode", UNICODES),
    ("unicode2", UNICODES),
];

const REFUSED: [(&str, &str); 12] = [
    ("rar3-comment-psw", "encrypted"),
    ("rar3-comment-hpsw", "encrypted"),
    ("rar5-psw", "encrypted"),
    ("rar5-hpsw", "encrypted"),
    ("rar3-vols.part3", "volume"),
    ("rar5-vols.part3", "volume"),
    ("rar3-symlink-unix", "symbolic link"),
    ("rar5-symlink-unix", "symbolic link"),
    ("rar5-symlink-win", "symbolic link"),
    ("rar5-evil-symlink-traversal", "symbolic link"),
    ("rar5-hlink", "link to another"),
    ("rar5-dups", "link to another"),
];

fn unpack(name: &str) -> (MemoryStaging, Result<(), UnpackError>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = fs::read(path.join(format!("{name}.rar"))).unwrap();
    let archive = archive_in_memory("game.eti", bytes);
    let staging = MemoryStaging::new();
    let unpacker = ArchiveUnpacker::default();
    assert!(unpacker.recognises(&archive).unwrap(), "{name}");
    let done = unpacker.unpack(&[archive], &staging);
    (staging, done)
}

#[test]
fn what_winrar_packed_comes_out() {
    for (name, expected) in GOOD {
        let (staging, done) = unpack(name);
        done.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let files = staging.files();
        let found: Vec<_> = files
            .iter()
            .map(|(path, file)| {
                assert!(file.finished && !file.executable, "{name}: {path}");
                (
                    path.as_str(),
                    file.bytes.len(),
                    crc32fast::hash(&file.bytes),
                )
            })
            .collect();
        assert_eq!(found, expected, "{name}");
        let told = staging.expected().unwrap();
        let bytes = expected.iter().map(|(_, bytes, _)| *bytes as u64).sum();
        assert_eq!(told.bytes, Some(bytes), "{name}");
        assert_eq!(told.files, Some(expected.len() as u64), "{name}");
    }
}

#[test]
fn folders_come_too() {
    for name in ["rar3-subdirs", "rar5-subdirs"] {
        let (staging, done) = unpack(name);
        done.unwrap();
        assert!(
            staging.folders().contains(&"sub/empty".to_owned()),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_for_us_is_refused() {
    for (name, expected) in REFUSED {
        let (_, done) = unpack(name);
        let said = match done.unwrap_err() {
            UnpackError::Unsupported { what, .. } => what,
            UnpackError::Unsafe {
                why: why @ (UnsafeEntry::SymbolicLink | UnsafeEntry::HardLink),
                ..
            } => why.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert!(said.contains(expected), "{name}: {said}");
    }
}
