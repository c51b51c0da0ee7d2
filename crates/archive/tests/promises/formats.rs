//! Each format as its tools mean it.

use std::io::{Read, Write};

use lanspread_archive::ArchiveUnpacker;
use lanspread_install::{Totals, UnpackError, Unpacker, UnsafeEntry};
use lanspread_proto::PathError;
use lanspread_testkit::{
    MemoryStaging, archive_in_memory,
    archives::{Blob, Entry, Form, TarBuilder, Wrap, ZipBuilder},
};

use crate::support::{files, in_memory, packed, unpack, unpack_all};

/// Without what `rar` adds, they are not read.
fn forms() -> impl Iterator<Item = Form> {
    let rar = cfg!(feature = "rar");
    let read = move |form: &Form| rar || !matches!(form, Form::Rar4 | Form::Rar5);
    Form::ALL.into_iter().filter(read)
}

fn two_files() -> [Entry; 3] {
    [
        Entry::folder("data"),
        Entry::file("data/a", "first").mode(0o755),
        Entry::file("b", "second"),
    ]
}

/// Two files as a tar that is cut in two for the compressors.
fn halves() -> (Blob, Blob) {
    let tar = Form::Tar.pack(&two_files()).unwrap().to_vec();
    let (start, end) = tar.split_at(700);
    (start.into(), end.into())
}

const TWO_FILES: [(&str, &str); 2] = [("b", "second"), ("data/a", "first")];

#[test]
fn what_an_archive_is_its_content_says() {
    let unpacker = ArchiveUnpacker::default();
    for form in forms() {
        let archive = in_memory("not.txt", &form.pack(&two_files()).unwrap());
        assert!(unpacker.recognises(&archive).unwrap(), "{form:?}");
        assert_eq!(
            unpack_all(&[archive]).unwrap(),
            files(&TWO_FILES),
            "{form:?}"
        );
    }
    let text_in_gzip = Wrap::Gz.pack(&"just a text\n".repeat(100).as_str().into());
    for (what, content) in [
        ("nothing", Blob::default()),
        ("text", "PK is a nice abbreviation".into()),
        ("zeros", Blob::zeros(10_240)),
        ("a text in gzip", text_in_gzip),
        ("a broken gzip", (&[0x1f, 0x8b, 8, 0, 0, 0]).into()),
        ("a broken xz", (b"\xfd7zXZ\0 and so on").into()),
    ] {
        let file = in_memory("really.zip", &content);
        assert!(!unpacker.recognises(&file).unwrap(), "{what}");
        let error = unpack_all(&[file]).unwrap_err();
        assert!(matches!(error, UnpackError::Unsupported { .. }), "{what}");
    }
}

#[test]
fn executable_bits_come_from_unix_and_nowhere_else() {
    for form in forms() {
        let staging = MemoryStaging::new();
        let archive = packed(form, &two_files());
        ArchiveUnpacker::default()
            .unpack(&[archive], &staging)
            .unwrap();
        let executable = |path| staging.files()[path].executable;
        assert!(executable("data/a") && !executable("b"), "{form:?}");
    }
    let zip = ZipBuilder::new().entry(&Entry::file("a", "x").mode(0o755).on_windows());
    let staging = MemoryStaging::new();
    let archive = in_memory("game.zip", &zip.build());
    ArchiveUnpacker::default()
        .unpack(&[archive], &staging)
        .unwrap();
    assert!(!staging.files()["a"].executable);
}

#[test]
fn a_tar_may_have_a_coat_of_several_parts() {
    let (start, end) = halves();
    for wrap in Wrap::ALL {
        let coat: Blob = [wrap.pack(&start), wrap.pack(&end)].into_iter().collect();
        assert_eq!(unpack(&coat).unwrap(), files(&TWO_FILES), "{wrap:?}");
    }
}

#[test]
fn a_coat_counts_only_once_its_own_checksum_was_right() {
    let tar = Form::Tar.pack(&two_files()).unwrap();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&tar.to_vec()).unwrap();
    let zst = encoder.finish().unwrap();
    let gz = Wrap::Gz.pack(&tar).to_vec();
    // The last bytes are zstd's checksum, and gzip's length after its checksum.
    for (mut coat, from_end) in [(zst, 1), (gz, 6)] {
        assert!(unpack(&coat.clone().into()).is_ok());
        let at = coat.len() - from_end;
        coat[at] ^= 1;
        let error = unpack(&coat.into()).unwrap_err();
        assert!(matches!(error, UnpackError::Damaged { .. }), "{error:?}");
    }
}

#[test]
fn what_follows_the_end_of_a_tar_is_nobodys_business() {
    let tar = Form::Tar.pack(&two_files()).unwrap();
    let more: Blob = [tar, Blob::zeros(20_000), "garbage".into()]
        .into_iter()
        .collect();
    assert_eq!(unpack(&more).unwrap(), files(&TWO_FILES));
    for wrap in Wrap::ALL {
        assert_eq!(
            unpack(&wrap.pack(&more)).unwrap(),
            files(&TWO_FILES),
            "{wrap:?}"
        );
    }
}

#[test]
fn a_tar_may_end_after_a_whole_entry_and_nowhere_else() {
    let entries = two_files();
    let tar = entries
        .iter()
        .fold(TarBuilder::new(), TarBuilder::entry)
        .without_end()
        .build();
    assert_eq!(unpack(&tar).unwrap(), files(&TWO_FILES));
    let whole = tar.to_vec();
    for cut in [1, 100, 511, 513, 1000] {
        let error = unpack(&whole[..whole.len() - cut].into()).unwrap_err();
        assert!(
            matches!(error, UnpackError::Damaged { .. }),
            "{cut}: {error:?}"
        );
    }
    let error = unpack(&whole[..whole.len() - 510].into()).unwrap_err();
    let UnpackError::Damaged { entry, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(entry.as_deref(), Some("b"));
}

#[test]
fn the_oldest_tars_have_neither_magic_nor_folders() {
    let mut tar = TarBuilder::new()
        .entry(&Entry::file("data/", ""))
        .entry(&Entry::file("data/a", "first"))
        .build()
        .to_vec();
    for header in [0, 512] {
        let header = &mut tar[header..header + 512];
        header[156] = 0;
        header[257..].fill(0);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    assert_eq!(unpack(&tar.into()).unwrap(), files(&[("data/a", "first")]));
}

#[test]
fn long_names_of_tar_come_in_three_ways() {
    let name = format!("{}/{}", "f".repeat(120), "n".repeat(150));
    let pax = TarBuilder::new().pax("path", name.as_bytes());
    let gnu = TarBuilder::new().gnu_long_name(name.as_bytes());
    for tar in [pax, gnu] {
        let tar = tar.entry(&Entry::file("short", "x")).build();
        assert_eq!(unpack(&tar).unwrap(), files(&[(&name, "x")]));
    }
}

#[test]
fn comments_of_a_tar_are_no_entries() {
    let tar = TarBuilder::new()
        .typed(
            b'g',
            &Entry::file("pax_global_header", "19 comment=0123456\n"),
        )
        .entry(&Entry::file("a", "x"))
        .build();
    assert_eq!(unpack(&tar).unwrap(), files(&[("a", "x")]));
}

#[test]
fn sparse_files_are_not_guessed_at() {
    let tar = TarBuilder::new()
        .pax("GNU.sparse.major", b"1")
        .entry(&Entry::file("a", "x"))
        .build();
    let error = unpack(&tar).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, UnpackError::Unsupported { .. }),
        "{error:?}"
    );
    assert!(text.contains("sparse"), "{text}");
}

#[test]
fn names_of_macos_are_composed_and_then_compared() {
    for form in forms() {
        let archive = packed(form, &[Entry::file("u\u{308}/a", "x")]);
        assert_eq!(
            unpack_all(&[archive]).unwrap(),
            files(&[("ü/a", "x")]),
            "{form:?}"
        );
        let twins = [Entry::file("u\u{308}", "x"), Entry::file("ü", "y")];
        let error = unpack_all(&[packed(form, &twins)]).unwrap_err();
        assert!(
            matches!(
                error,
                UnpackError::Unsafe {
                    why: UnsafeEntry::Path(PathError::Duplicate { .. }),
                    ..
                }
            ),
            "{form:?}: {error:?}"
        );
    }
}

#[test]
fn windows_tools_part_folders_with_backslashes() {
    let entries = [
        Entry::file("data\\", "").on_windows(),
        Entry::file("data\\a", "x").on_windows(),
    ];
    let zip = entries
        .iter()
        .fold(ZipBuilder::new(), ZipBuilder::entry)
        .build();
    assert_eq!(unpack(&zip).unwrap(), files(&[("data/a", "x")]));
    let unix = ZipBuilder::new()
        .entry(&Entry::file("data\\a", "x"))
        .build();
    let error = unpack(&unix).unwrap_err();
    assert!(matches!(error, UnpackError::Unsafe { .. }), "{error:?}");
}

#[test]
fn names_of_old_zips_are_in_the_code_page_of_the_first_pcs() {
    let name = Entry::file([b"spi".as_slice(), &[0x81], b"le"].concat(), "x");
    let mut zip = ZipBuilder::new().entry(&name).build().to_vec();
    // The builder says UTF-8 of every name: bit 11 of the flags in both headers.
    let central = zip.windows(4).position(|at| at == b"PK\x01\x02").unwrap();
    for at in [7, central + 9] {
        zip[at] &= !0x08;
    }
    assert_eq!(unpack(&zip.into()).unwrap(), files(&[("spiüle", "x")]));
}

#[test]
fn empty_archives_are_archives() {
    let zip = ZipBuilder::new().build();
    assert_eq!(unpack(&zip).unwrap(), []);
    let folder = [Entry::folder("saves")];
    for form in forms() {
        let staging = MemoryStaging::new();
        let archive = packed(form, &folder);
        ArchiveUnpacker::default()
            .unpack(&[archive], &staging)
            .unwrap();
        assert_eq!(staging.folders(), ["saves"], "{form:?}");
    }
}

#[test]
fn several_archives_unpack_in_order_and_share_folders_but_no_name() {
    let first = packed(
        Form::Zip,
        &[Entry::folder("data"), Entry::file("data/a", "1")],
    );
    let second = archive_in_memory(
        "patch.tar",
        Form::Tar
            .pack(&[Entry::folder("data"), Entry::file("data/b", "2")])
            .unwrap()
            .to_vec(),
    );
    let both = unpack_all(&[first.clone(), second.clone()]).unwrap();
    assert_eq!(both, files(&[("data/a", "1"), ("data/b", "2")]));
    let again = packed(Form::SevenZ, &[Entry::file("data/B", "3")]);
    let error = unpack_all(&[first, second, again]).unwrap_err();
    let UnpackError::Unsafe { archive, entry, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(archive, std::path::Path::new("/game/game.eti"));
    assert_eq!(entry, "data/B");
}

#[test]
fn an_archive_inside_is_just_a_file() {
    let inside = Form::Zip.pack(&two_files()).unwrap();
    for form in forms() {
        let archive = packed(form, &[Entry::file("inside.zip", inside.clone())]);
        let staging = MemoryStaging::new();
        ArchiveUnpacker::default()
            .unpack(&[archive], &staging)
            .unwrap();
        let files = staging.files();
        assert_eq!(files["inside.zip"].bytes, inside.to_vec(), "{form:?}");
        assert_eq!(files.len(), 1, "{form:?}");
    }
}

#[test]
fn what_will_come_is_told_where_the_format_knows() {
    for form in forms() {
        let staging = MemoryStaging::new();
        let unpacker = ArchiveUnpacker::default();
        unpacker
            .unpack(&[packed(form, &two_files())], &staging)
            .unwrap();
        let expected = if form.is_tar() {
            Totals::default()
        } else {
            Totals {
                bytes: Some(11),
                files: Some(2),
            }
        };
        assert_eq!(staging.expected(), Some(expected), "{form:?}");
    }
}

#[test]
fn a_full_disk_is_told_before_the_first_byte_where_the_format_knows() {
    let staging = MemoryStaging::with_room(10);
    let archive = packed(Form::SevenZLzma2, &two_files());
    let error = ArchiveUnpacker::default()
        .unpack(&[archive], &staging)
        .unwrap_err();
    assert!(matches!(error, UnpackError::Staging(_)), "{error:?}");
    assert_eq!(staging.bytes(), 0);
}

#[test]
fn a_gzip_with_a_name_and_a_comment_is_one_too() {
    let tar = Form::Tar.pack(&two_files()).unwrap().to_vec();
    let mut encoder = flate2::GzBuilder::new()
        .filename("game.tar")
        .comment("packed by hand")
        .read(&*tar, flate2::Compression::fast());
    let mut gz = Vec::new();
    encoder.read_to_end(&mut gz).unwrap();
    assert_eq!(unpack(&gz.into()).unwrap(), files(&TWO_FILES));
}
