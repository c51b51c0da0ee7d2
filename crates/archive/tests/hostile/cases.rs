//! The table: every case in every format that can express it.

use std::fmt::Write;

use lanspread_testkit::archives::{
    Blob, Coder, Entry, Form, Rar4Builder, Rar5Builder, SevenZBuilder, TarBuilder, Wrap, ZipBuilder,
};

use crate::{
    lab::{CHUNK_BYTES, Lab},
    verdict::verdict,
};

const GIB: u64 = 1024 * 1024 * 1024;

/// `-`: the format cannot say that. `plain`: it is no archive, so the payload is installed as it is.
/// `ratio`, `bytes`, `entries`, `dictionary`: a limit. The other words are those of `verdict`.
const EXPECTED: &str = include_str!("table.txt");

/// A case, as an archive of each form.
type Pack = Box<dyn Fn(Form) -> Option<Blob>>;

#[test]
fn every_case_in_every_format_gets_its_answer() {
    let mut table = heading();
    for (name, pack) in cases() {
        write!(table, "{name:<37}").unwrap();
        for form in Form::ALL {
            let cell = pack(form).map_or("-", |archive| {
                answer(&format!("{name}, {form:?}"), &archive)
            });
            write!(table, " {cell:<11}").unwrap();
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    assert!(table == EXPECTED, "the table is now:\n{table}");
}

/// Installs the archive; whatever the answer is, nothing may be outside, and a refusal leaves nothing.
fn answer(what: &str, archive: &Blob) -> &'static str {
    let lab = Lab::new(archive);
    let outcome = lab.install();
    if outcome.answer.is_err() {
        lab.assert_untouched(what);
    } else {
        lab.assert_nothing_outside(what);
    }
    // All cases declare little or lie about one file of a few bytes.
    assert!(
        outcome.written_bytes <= CHUNK_BYTES,
        "{what}: {}",
        outcome.written_bytes
    );
    if lab.installed_the_archive_itself() {
        return "plain";
    }
    verdict(&outcome.answer)
}

fn heading() -> String {
    let mut line = format!("{:<37}", "");
    for form in Form::ALL {
        write!(line, " {:<11}", format!("{form:?}")).unwrap();
    }
    format!("{}\n", line.trim_end())
}

fn cases() -> Vec<(&'static str, Pack)> {
    let mut cases = Vec::new();
    cases.extend(honest());
    cases.extend(names());
    cases.extend(links());
    cases.extend(pairs());
    cases.extend(sizes());
    cases.extend(features());
    cases.extend(pretenders());
    cases
}

fn entries(name: &'static str, entries: Vec<Entry>) -> (&'static str, Pack) {
    (name, Box::new(move |form| form.pack(&entries)))
}

fn file(name: &str) -> Entry {
    Entry::file(name, "content")
}

fn honest() -> Vec<(&'static str, Pack)> {
    vec![
        entries("nothing at all", vec![]),
        entries("one file", vec![file("file")]),
        entries(
            "a folder twice",
            vec![Entry::folder("a"), Entry::folder("a"), file("a/b")],
        ),
        entries("an archive inside", vec![Entry::file("a.zip", inside())]),
        entries(
            "names of ours below the top",
            vec![file("a/.lanspread_owned"), file("a/local")],
        ),
        entries(
            "names of ours but the marker",
            vec![file("local/x"), file("version.ini")],
        ),
    ]
}

/// A bomb, which nobody looks into.
fn inside() -> Blob {
    Form::ZipDeflated
        .pack([&Entry::file("../zeros", Blob::zeros(GIB / 1024))])
        .unwrap()
}

fn names() -> Vec<(&'static str, Pack)> {
    vec![
        entries("parent folder", vec![file("../own/file")]),
        entries(
            "parent folder in the middle",
            vec![file("a/../../../own/file")],
        ),
        entries(
            "parent folder with backslashes",
            vec![file("..\\..\\own\\file")],
        ),
        entries(
            "the same, from Windows",
            vec![file("..\\..\\own\\file").on_windows()],
        ),
        entries("a folder outside", vec![Entry::folder("../own/folder")]),
        entries("absolute", vec![file("/own/file")]),
        entries("drive", vec![file("C:/own/file")]),
        entries(
            "drive, from Windows",
            vec![file("C:\\own\\file").on_windows()],
        ),
        entries(
            "network share",
            vec![file("\\\\machine\\share\\file").on_windows()],
        ),
        entries("stream", vec![file("file:stream")]),
        entries("device name", vec![file("a/NUL.txt")]),
        entries("short name", vec![file("LANSPR~1")]),
        entries("dot at the end", vec![file("a./b")]),
        entries("right to left", vec![file("a\u{202e}gpj.exe")]),
        entries("line feed", vec![file("a\nb")]),
        entries("NUL", vec![file("a\0b")]),
        entries("not UTF-8", vec![Entry::file(b"a\xffb", "content")]),
        entries("no name", vec![file("")]),
        entries("too long", vec![file(&"n".repeat(241))]),
        entries("too deep", vec![file(&["d"; 33].join("/"))]),
        entries("the marker", vec![file(".lanspread_owned")]),
        entries(
            "the marker as a folder",
            vec![file(".LANSPREAD_OWNED/file")],
        ),
    ]
}

fn links() -> Vec<(&'static str, Pack)> {
    vec![
        entries("symbolic link", vec![Entry::symlink("way", "../../../own")]),
        entries(
            "a file through it",
            vec![Entry::symlink("way", "../../../own"), file("way/file")],
        ),
        entries(
            "a file in its place",
            vec![Entry::symlink("way", "../../../own/file"), file("way")],
        ),
        entries(
            "symbolic link to a neighbour",
            vec![file("file"), Entry::symlink("way", "file")],
        ),
        entries(
            "symbolic link that leads out",
            vec![Entry::symlink("../way", "file")],
        ),
        entries(
            "hard link",
            vec![file("file"), Entry::hard_link("way", "file")],
        ),
        entries(
            "hard link to the outside",
            vec![Entry::hard_link("way", "../../../own/file")],
        ),
        entries(
            "a file through a hard link",
            vec![Entry::hard_link("way", "/own"), file("way/file")],
        ),
        entries(
            "copy of an entry",
            vec![file("file"), Entry::copy("way", "file")],
        ),
        entries("device", vec![Entry::device("null")]),
        entries("pipe", vec![Entry::pipe("pipe")]),
    ]
}

fn pairs() -> Vec<(&'static str, Pack)> {
    vec![
        entries("a file twice", vec![file("file"), file("file")]),
        entries("two letter cases", vec![file("File"), file("fILE")]),
        entries(
            "two letter cases of folders",
            vec![file("Folder/a"), file("fOLDER/b")],
        ),
        entries("two normal forms", vec![file("\u{fc}"), file("u\u{308}")]),
        entries("a file, then a folder", vec![file("a"), file("a/b")]),
        entries("a folder, then a file", vec![file("a/b"), file("a")]),
        entries(
            "an empty folder, then a file",
            vec![Entry::folder("a"), file("a")],
        ),
    ]
}

fn sizes() -> Vec<(&'static str, Pack)> {
    // So much that a tar has it in several blocks.
    let large = Entry::file("file", vec![b'x'; 1_000]);
    let lie = |bytes: u64| {
        vec![
            file("before"),
            large.clone().declaring(bytes),
            file("after"),
        ]
    };
    vec![
        entries("declares too little", lie(3)),
        entries("declares nothing", lie(0)),
        entries("declares too much", lie(1_000_000)),
        entries("declares a file over the limit", lie(256 * GIB + 1)),
        entries("declares 2^60 bytes", lie(1 << 60)),
        entries("declares 2^64 - 1 bytes", lie(u64::MAX)),
        entries(
            "sum over the limit",
            (0..5)
                .map(|at| file(&at.to_string()).declaring(255 * GIB))
                .collect(),
        ),
        entries("wrong checksum", vec![file("file").damaged()]),
    ]
}

fn features() -> Vec<(&'static str, Pack)> {
    vec![
        ("encrypted", Box::new(encrypted)),
        ("encrypted headers", Box::new(encrypted_headers)),
        ("one of several volumes", Box::new(volumes)),
        (
            "a dictionary of 4 GiB",
            Box::new(|form| dictionary(form, 4 * GIB)),
        ),
        (
            "a dictionary of 64 GiB",
            Box::new(|form| dictionary(form, 64 * GIB)),
        ),
        ("sparse", Box::new(sparse)),
        ("an extended header with another name", Box::new(renamed)),
        ("an unknown method", Box::new(unknown_method)),
    ]
}

fn encrypted(form: Form) -> Option<Blob> {
    let secret = file("secret").encrypted();
    match form {
        Form::SevenZ => Some(
            SevenZBuilder::new()
                .coder(Coder::FalseAes)
                .entry(&file("secret"))
                .build(),
        ),
        form if form.is_tar() => None,
        form => form.pack([&secret]),
    }
}

fn encrypted_headers(form: Form) -> Option<Blob> {
    match form {
        Form::Rar4 => Some(
            Rar4Builder::encrypted_headers()
                .entry(&file("secret"))
                .build(),
        ),
        Form::Rar5 => Some(
            Rar5Builder::encrypted_headers()
                .entry(&file("secret"))
                .build(),
        ),
        _ => None,
    }
}

fn volumes(form: Form) -> Option<Blob> {
    match form {
        Form::Zip => Some(ZipBuilder::new().volumes().entry(&file("file")).build()),
        Form::Rar4 => Some(Rar4Builder::volumes().entry(&file("file")).build()),
        Form::Rar5 => Some(Rar5Builder::volumes().entry(&file("file")).build()),
        _ => None,
    }
}

fn dictionary(form: Form, bytes: u64) -> Option<Blob> {
    let tar = || TarBuilder::new().entry(&file("file")).build();
    let largest = u32::MAX;
    match form {
        // LZMA: its version, the length of its properties, they, and nothing that could be decoded.
        Form::Zip if bytes == 4 * GIB => {
            let head = [&[9, 20, 5, 0, 0x5d][..], &largest.to_le_bytes(), &[0; 32]].concat();
            Some(
                ZipBuilder::new()
                    .packed(&file("file"), 14, &head.into())
                    .build(),
            )
        }
        Form::SevenZ if bytes == 4 * GIB => {
            let coder = Coder::FalseLzma(largest);
            Some(
                SevenZBuilder::new()
                    .coder(coder)
                    .entry(&file("file"))
                    .build(),
            )
        }
        Form::SevenZLzma2 if bytes == 4 * GIB => {
            let coder = Coder::Lzma2(bytes);
            Some(
                SevenZBuilder::new()
                    .coder(coder)
                    .entry(&file("file"))
                    .build(),
            )
        }
        Form::Rar5 => {
            let large = file("file").dictionary(bytes);
            Some(Rar5Builder::new().compressed(&large).build())
        }
        Form::TarZst => Wrap::Zst.pack_with_dictionary(&tar(), bytes),
        Form::TarXz if bytes == 4 * GIB => Wrap::Xz.pack_with_dictionary(&tar(), bytes),
        _ => None,
    }
}

fn sparse(form: Form) -> Option<Blob> {
    let file = file("file");
    let tar = TarBuilder::new().pax("GNU.sparse.major", b"1").entry(&file);
    match form {
        Form::Tar => Some(TarBuilder::new().typed(b'S', &file).build()),
        Form::TarZst => Some(Wrap::Zst.pack(&tar.build())),
        _ => None,
    }
}

/// The header says a harmless name, what stands before it another.
fn renamed(form: Form) -> Option<Blob> {
    let harmless = file("harmless");
    let pax = TarBuilder::new()
        .pax("path", b"../own/file")
        .entry(&harmless);
    let gnu = TarBuilder::new()
        .gnu_long_name(b"../own/file")
        .entry(&harmless);
    match form {
        Form::Tar => Some(pax.build()),
        Form::TarZst => Some(Wrap::Zst.pack(&gnu.build())),
        _ => None,
    }
}

fn unknown_method(form: Form) -> Option<Blob> {
    (form == Form::Zip).then(|| {
        ZipBuilder::new()
            .packed(&file("file"), 77, &"content".into())
            .build()
    })
}

/// Archives that begin like others.
fn pretenders() -> Vec<(&'static str, Pack)> {
    let with_magic = |magic: &'static [u8]| -> Pack {
        Box::new(move |form| {
            let mut bytes = form.pack([&file("file")])?.to_vec();
            bytes[..magic.len()].copy_from_slice(magic);
            Some(bytes.into())
        })
    };
    vec![
        ("begins like a ZIP", with_magic(b"PK\x03\x04")),
        ("begins like a 7z", with_magic(b"7z\xbc\xaf\x27\x1c")),
        ("begins like a RAR 5", with_magic(b"Rar!\x1a\x07\x01\x00")),
        ("begins like a RAR 4", with_magic(b"Rar!\x1a\x07\x00")),
        ("begins like gzip", with_magic(b"\x1f\x8b")),
        ("begins like xz", with_magic(b"\xfd7zXZ\0")),
        ("begins like zstd", with_magic(b"\x28\xb5\x2f\xfd")),
    ]
}
