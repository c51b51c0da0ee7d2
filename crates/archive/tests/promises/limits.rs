//! Each limit at N and at N + 1, named in the error.

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_install::{ArchiveFile, UnpackError, Unpacker};
use lanspread_testkit::{
    MemoryStaging,
    archives::{Blob, Coder, Entry, Form, SevenZBuilder, TarBuilder, Wrap},
};

use crate::support::{in_memory, packed};

fn forms() -> impl Iterator<Item = Form> {
    let rar = cfg!(feature = "rar");
    let read = move |form: &Form| rar || !matches!(form, Form::Rar4 | Form::Rar5);
    Form::ALL.into_iter().filter(read)
}

/// The limit that is met, in words; `None` if none is.
fn met(archive: &ArchiveFile, limits: ArchiveLimits) -> Option<&'static str> {
    let staging = MemoryStaging::new();
    match ArchiveUnpacker::new(limits).unpack(std::slice::from_ref(archive), &staging) {
        Ok(()) => None,
        Err(UnpackError::Limit { source, .. }) => {
            assert!(source.actual > source.limit, "{source}");
            Some(source.what)
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn default() -> ArchiveLimits {
    ArchiveLimits::default()
}

#[test]
fn entries() {
    let three = [
        Entry::file("a", "1"),
        Entry::folder("b"),
        Entry::file("c", ""),
    ];
    for form in forms() {
        let archive = packed(form, &three);
        let at = |entries| {
            met(
                &archive,
                ArchiveLimits {
                    entries,
                    ..default()
                },
            )
        };
        assert_eq!(at(3), None, "{form:?}");
        assert_eq!(at(2), Some("entries"), "{form:?}");
    }
}

#[test]
fn bytes_of_a_file_and_of_all() {
    let two = [Entry::file("a", "12345"), Entry::file("b", "123")];
    for form in forms() {
        let archive = packed(form, &two);
        let file = |file_bytes| {
            met(
                &archive,
                ArchiveLimits {
                    file_bytes,
                    ..default()
                },
            )
        };
        assert_eq!(file(5), None, "{form:?}");
        assert_eq!(file(4), Some("bytes of a file"), "{form:?}");
        let total = |total_bytes| {
            met(
                &archive,
                ArchiveLimits {
                    total_bytes,
                    ..default()
                },
            )
        };
        assert_eq!(total(8), None, "{form:?}");
        assert_eq!(total(7), Some("bytes of all files"), "{form:?}");
    }
}

#[test]
fn what_an_archive_of_its_size_unpacks_to() {
    let zeros = [Entry::file("a", Blob::zeros(3_000_000))];
    for form in forms() {
        let archive = packed(form, &zeros);
        let met = |unpacked_bytes_free| {
            let limits = ArchiveLimits {
                unpacked_bytes_free,
                ratio: 0,
                ..default()
            };
            met(&archive, limits)
        };
        // A coat is decoded to its end: what a tar has besides its entries counts too.
        let rest = if form.is_tar() { 1024 } else { 0 };
        assert_eq!(met(3_000_000 + rest), None, "{form:?}");
        let what = "bytes that an archive of this size unpacks to";
        assert_eq!(met(2_999_999), Some(what), "{form:?}");
    }
}

#[test]
fn dictionaries() {
    const DICTIONARY: u64 = 1 << 20;
    let file = [Entry::file("a", "x").dictionary(DICTIONARY)];
    let tar = Form::Tar.pack(&file).unwrap();
    let seven_z = SevenZBuilder::new().coder(Coder::Lzma2(DICTIONARY));
    let archives = [
        Wrap::Zst.pack_with_dictionary(&tar, DICTIONARY).unwrap(),
        Wrap::Xz.pack_with_dictionary(&tar, DICTIONARY).unwrap(),
        seven_z.entry(&file[0]).build(),
    ];
    for (at, archive) in archives.iter().enumerate() {
        let archive = in_memory("game.eti", archive);
        let met = |dictionary_bytes| {
            let limits = ArchiveLimits {
                dictionary_bytes,
                ..default()
            };
            met(&archive, limits)
        };
        assert_eq!(met(DICTIONARY), None, "archive {at}");
        assert_eq!(
            met(DICTIONARY - 1),
            Some("bytes of the dictionary"),
            "archive {at}"
        );
    }
}

#[test]
fn headers_before_an_entry_of_a_tar() {
    let tar = TarBuilder::new()
        .pax("comment", &[b'x'; 5_000])
        .entry(&Entry::file("a", "x"))
        .build();
    let archive = in_memory("game.tar", &tar);
    let met = |entry_header_bytes| {
        let limits = ArchiveLimits {
            entry_header_bytes,
            ..default()
        };
        met(&archive, limits)
    };
    // Two headers, and the comment in whole blocks.
    let needed = 512 + 10 * 512 + 512;
    assert_eq!(met(needed), None);
    assert_eq!(met(needed - 1), Some("bytes of headers before an entry"));
}

#[test]
fn the_index() {
    let many: Vec<_> = (0..500)
        .map(|at| Entry::file(format!("a file with a long name {at}"), ""))
        .collect();
    for form in forms().filter(|form| !form.is_tar()) {
        let archive = packed(form, &many);
        let met = |index_bytes| {
            met(
                &archive,
                ArchiveLimits {
                    index_bytes,
                    ..default()
                },
            )
        };
        assert_eq!(met(100_000), None, "{form:?}");
        assert_eq!(met(5_000), Some("bytes of the index"), "{form:?}");
    }
}
