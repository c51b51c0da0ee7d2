//! What the builders make of honest entries, read by other people's programs.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
#![cfg(unix)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use lanspread_testkit::{
    archives::{Blob, Entry, Form, TarBuilder, Wrap},
    bytes,
};
use tempfile::TempDir;

/// Some readers can hang on what others wrote.
const TIME_LIMIT: &str = "60";

const MIB: u64 = 1024 * 1024;

/// Every file with its content, every folder with none.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

fn honest(form: Form) -> Vec<Entry> {
    let path = |path: &str| path.replace('/', form.separator());
    let parts = [
        Blob::from("head"),
        Blob::zeros(3 * MIB + 17),
        Blob::from("tail"),
    ];
    let mixed: Blob = parts.into_iter().collect();
    vec![
        Entry::folder("empty folder"),
        Entry::folder("data"),
        Entry::file(path("data/empty"), ""),
        Entry::file(path("data/text.txt"), "one\ntwo\n"),
        Entry::file(path("data/name 日本"), bytes("large", 300_000)),
        Entry::file(path("data/zeros.bin"), mixed),
        Entry::file("run.sh", "#!/bin/sh\n").mode(0o755),
    ]
}

#[test]
fn a_second_reader_finds_what_was_said() {
    for form in Form::ALL {
        let archive = form
            .pack(&honest(form))
            .expect("every format can say honest things");
        for reader in readers(form) {
            let (dir, out) = (archive_in_folder(&archive), tempfile::tempdir().unwrap());
            let output = reader.run(&dir.path().join("archive"), out.path());
            assert!(
                output.status.success(),
                "{form:?} by {reader:?}: {output:?}"
            );
            let (found, expected) = (tree(out.path()), expected());
            let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found), names(&expected), "{form:?} by {reader:?}");
            assert!(found == expected, "{form:?} by {reader:?}");
        }
    }
}

#[test]
fn executable_bits_are_there() {
    for form in Form::ALL {
        let out = extracted(&form.pack(&honest(form)).unwrap(), Reader::Bsdtar);
        assert!(is_executable(&out.path().join("run.sh")), "{form:?}");
        assert!(
            !is_executable(&out.path().join("data/text.txt")),
            "{form:?}"
        );
    }
}

#[test]
fn long_names_are_read_back() {
    let long = format!("{}/{}", "folder".repeat(20), "name".repeat(30));
    let pax = TarBuilder::new().entry(&Entry::file(&long, "x")).build();
    let gnu = TarBuilder::new()
        .gnu_long_name(long.as_bytes())
        .entry(&Entry::file(&long[..80], "x"))
        .build();
    for tar in [pax, gnu] {
        for reader in [Reader::Bsdtar, Reader::Python] {
            let out = extracted(&tar, reader);
            assert!(out.path().join(&long).is_file(), "{reader:?}");
        }
    }
}

#[test]
fn links_are_links_to_a_second_reader() {
    let symlink = [Entry::file("file", "x"), Entry::symlink("link", "file")];
    for form in Form::ALL {
        let out = extracted(&form.pack(&symlink).unwrap(), Reader::Bsdtar);
        let link = fs::read_link(out.path().join("link"));
        assert_eq!(link.unwrap(), Path::new("file"), "{form:?}");
    }
    let hard_link = [Entry::file("file", "x"), Entry::hard_link("link", "file")];
    for form in Form::ALL {
        let Some(archive) = form.pack(&hard_link) else {
            continue;
        };
        let out = extracted(&archive, Reader::Bsdtar);
        let ids = ["file", "link"].map(|name| file_id(&out.path().join(name)));
        assert_eq!(ids[0], ids[1], "{form:?}");
    }
}

#[test]
fn a_bomb_is_small_and_streams() {
    let zeros = Entry::file("zeros", Blob::zeros(10 * 1024 * MIB));
    for form in Form::ALL.into_iter().filter(|form| form.compresses()) {
        let archive = form.pack([&zeros]).unwrap();
        assert!(archive.size() <= 11 * MIB, "{form:?}: {}", archive.size());
    }
    for (wrap, program) in Wrap::ALL.into_iter().zip(["zstd", "gzip", "xz"]) {
        let dir = archive_in_folder(&wrap.pack(&Blob::zeros(40 * MIB)));
        let output = run(Command::new("timeout")
            .args([TIME_LIMIT, program, "-d", "-c"])
            .stdin(fs::File::open(dir.path().join("archive")).unwrap()));
        assert!(
            output.status.success(),
            "{program}: {}",
            text(&output.stderr)
        );
        assert_eq!(output.stdout.len() as u64, 40 * MIB, "{program}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Bsdtar,
    SevenZip,
    Python,
    Unar,
}

const PYTHON: &str = "import sys, tarfile, zipfile
path, out = sys.argv[1:]
reader = zipfile.ZipFile if zipfile.is_zipfile(path) else tarfile.open
reader(path).extractall(out)";

impl Reader {
    fn run(self, archive: &Path, out: &Path) -> Output {
        let mut command = Command::new("timeout");
        command.arg(TIME_LIMIT).env("LC_ALL", "C.UTF-8");
        match self {
            Self::Bsdtar => command
                .args(["bsdtar", "-xf"])
                .arg(archive)
                .arg("-C")
                .arg(out),
            Self::SevenZip => {
                let out = format!("-o{}", out.display());
                command.args(["7z", "x", "-y"]).arg(out).arg(archive)
            }
            Self::Python => command
                .args(["python3", "-c", PYTHON])
                .arg(archive)
                .arg(out),
            Self::Unar => command
                .args(["unar", "-q", "-D", "-o"])
                .arg(out)
                .arg(archive),
        };
        run(&mut command)
    }
}

fn readers(form: Form) -> &'static [Reader] {
    use Reader::{Bsdtar, Python, SevenZip, Unar};
    match form {
        Form::Zip | Form::ZipDeflated | Form::Tar => &[Bsdtar, SevenZip, Python, Unar],
        Form::SevenZ | Form::SevenZDeflated | Form::SevenZLzma2 => &[Bsdtar, SevenZip, Unar],
        // Debian's 7z does not unpack RAR, and it unpacks only one layer of a tar.xz.
        Form::Rar4 | Form::Rar5 => &[Bsdtar, Unar],
        Form::TarGz | Form::TarXz => &[Bsdtar, Python],
        Form::TarZst => &[Bsdtar],
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("coreutils are there");
    // What `timeout` says when there is no such program.
    let is_missing = output.status.code() == Some(127);
    assert!(
        !is_missing,
        "scripts/install_test_tools.sh installs what is missing: {command:?}"
    );
    output
}

fn extracted(archive: &Blob, reader: Reader) -> TempDir {
    let (dir, out) = (
        archive_in_folder(archive),
        tempfile::tempdir().expect("a temporary folder"),
    );
    let output = reader.run(&dir.path().join("archive"), out.path());
    assert!(output.status.success(), "{reader:?}: {output:?}");
    out
}

fn archive_in_folder(archive: &Blob) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("archive"), archive.to_vec()).expect("write the archive");
    dir
}

fn tree(root: &Path) -> Tree {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("list a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root)
                .expect("under the root")
                .to_str()
                .expect("a UTF-8 name")
                .to_owned();
            if path.is_dir() {
                folders.push(path);
                found.insert(name, None);
            } else {
                found.insert(name, Some(fs::read(path).expect("read a file")));
            }
        }
    }
    found
}

fn expected() -> Tree {
    let entries = honest(Form::Tar);
    let named = entries.iter().map(|entry| {
        let name = text(entry.name()).into_owned();
        (name, entry.content().map(Blob::to_vec))
    });
    named.collect()
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path)
        .expect("something there")
        .permissions()
        .mode()
        & 0o100
        != 0
}

fn file_id(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).expect("something there").ino()
}
