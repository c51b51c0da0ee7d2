//! Writes the corpora that fuzzing starts from: `fuzz_seeds FOLDER`.
#![expect(
    clippy::disallowed_methods,
    reason = "writes for a tool, not for lanspread"
)]

use std::{env, fs, io, path::Path};

use lanspread_proto::{
    FileEntry, Hash, Manifest,
    frame::{self, HEADER_BYTES},
    message::{Answer, Hello, Push, Request},
};
use lanspread_testkit::archives::{
    Blob, Coder, Entry, Form, Rar4Builder, Rar5Builder, SevenZBuilder, TarBuilder, ZipBuilder,
};

const MIB: u64 = 1024 * 1024;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).expect("a folder to write to");
    let corpora = Path::new(&folder);
    archives(corpora)?;
    wire(corpora)?;
    state(corpora)
}

fn archives(corpora: &Path) -> io::Result<()> {
    for form in Form::ALL {
        let corpus = corpora.join(target(form));
        for (at, entries) in stories().iter().enumerate() {
            if let Some(archive) = form.pack(entries) {
                write(&corpus, &format!("{form:?}-{at}"), &archive.to_vec())?;
            }
        }
    }
    let file = Entry::file("file", "content");
    for (form, name, archive) in [
        (
            Form::Rar5,
            "volumes",
            Rar5Builder::volumes().entry(&file).build(),
        ),
        (
            Form::Rar5,
            "encrypted",
            Rar5Builder::encrypted_headers().entry(&file).build(),
        ),
        (
            Form::Rar4,
            "volumes-4",
            Rar4Builder::volumes().entry(&file).build(),
        ),
        (
            Form::Rar4,
            "encrypted-4",
            Rar4Builder::encrypted_headers().entry(&file).build(),
        ),
        (
            Form::Zip,
            "overlapping",
            ZipBuilder::new()
                .deflated(&file)
                .overlapping("other")
                .build(),
        ),
        (Form::SevenZ, "lzma", lzma(&file)),
        (
            Form::Tar,
            "long-name",
            TarBuilder::new()
                .gnu_long_name(&[b'n'; 200])
                .entry(&file)
                .build(),
        ),
        (
            Form::Tar,
            "pax",
            TarBuilder::new()
                .pax("path", b"a/b")
                .pax("size", b"7")
                .entry(&file)
                .build(),
        ),
    ] {
        write(&corpora.join(target(form)), name, &archive.to_vec())?;
    }
    Ok(())
}

fn lzma(file: &Entry) -> Blob {
    SevenZBuilder::new()
        .coder(Coder::FalseLzma(1 << 20))
        .entry(file)
        .build()
}

fn stories() -> Vec<Vec<Entry>> {
    vec![
        vec![],
        vec![
            Entry::folder("folder"),
            Entry::file("folder/file", "content").mode(0o755),
            Entry::file("empty", ""),
            Entry::file("zeros", Blob::zeros(2 * MIB)),
        ],
        vec![Entry::file("näme", "1"), Entry::file("NÄME", "2")],
        vec![Entry::symlink("way", "/"), Entry::file("way/file", "x")],
        vec![Entry::file("file", "x"), Entry::hard_link("link", "file")],
        vec![
            Entry::file("../outside", "x"),
            Entry::file("C:\\x", "x").on_windows(),
        ],
        vec![
            Entry::file("short", "12345").declaring(3),
            Entry::file("long", "1").declaring(9),
        ],
        vec![Entry::file("secret", "x").encrypted()],
    ]
}

const fn target(form: Form) -> &'static str {
    match form {
        Form::Zip | Form::ZipDeflated => "archive_zip",
        Form::SevenZ | Form::SevenZDeflated | Form::SevenZLzma2 => "archive_seven_z",
        Form::Rar4 | Form::Rar5 => "archive_rar",
        Form::Tar | Form::TarZst | Form::TarGz | Form::TarXz => "archive_tar",
    }
}

fn wire(corpora: &Path) -> io::Result<()> {
    let manifest = manifest();
    let hello = Hello {
        name: "machine".to_owned(),
        version: "0.1.0".to_owned(),
        protocol: 1,
        features: Vec::new(),
        listen_port: 1,
        incarnation: 1,
        call: 1,
        library_revision: 1,
        group: None,
    };
    let messages = [
        frame::encode(&Request::Hello(hello.clone())),
        frame::encode(&Request::Subscribe),
        frame::encode(&Request::Exchange {
            manifest: manifest.id(),
            neighbours: 1,
        }),
        frame::encode(&Request::GetPeers),
        frame::encode(&Answer::Hello(hello)),
        frame::encode(&Answer::Subscribed),
        frame::encode(&Answer::Exchanging),
        frame::encode(&Push::Chunks {
            manifest: manifest.id(),
            of: 9,
            gained: vec![(0, 2), (5, 1)],
        }),
    ];
    let mut stream = vec![3];
    for (at, message) in messages.into_iter().enumerate() {
        let message = message.expect("it fits into a frame");
        write(
            &corpora.join("messages"),
            &at.to_string(),
            &message[HEADER_BYTES..],
        )?;
        stream.extend_from_slice(&message);
    }
    write(&corpora.join("frames"), "stream", &stream)?;
    let json = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    write(&corpora.join("manifest"), "manifest", &json)?;
    for (at, path) in ["a/b.txt", "Ä/日本", "CON.txt", "a/../b", "LOCAL~1", "x/é"]
        .iter()
        .enumerate()
    {
        write(&corpora.join("game_path"), &at.to_string(), path.as_bytes())?;
    }
    Ok(())
}

fn manifest() -> Manifest {
    let file = FileEntry {
        path: "folder/file".parse().expect("a path"),
        size: 7,
        executable: true,
        hash: Hash::of(b"content"),
    };
    let empty = vec!["empty".parse().expect("a path")];
    Manifest::new(b"1.0\n".to_vec(), vec![file], empty).expect("a manifest")
}

fn state(corpora: &Path) -> io::Result<()> {
    let id = "00112233445566778899aabbccddeeff";
    let owner = format!(r#"{{"format":1,"data":{{"owner":"{id}"}}}}"#);
    let marker = format!(
        r#"{{"format":1,"data":{{"owner":"{id}","transaction":"{id}","role":"staging","version":"1.0"}}}}"#
    );
    let installed = r#"{"format":1,"data":{"version":"1.0"}}"#;
    let corpus = corpora.join("install_state");
    for (at, intent) in [
        format!(r#"{{"kind":"install","transaction":"{id}","version":"2.0","root_created":true}}"#),
        format!(r#"{{"kind":"update","transaction":"{id}","version":"2.0","replaces":"1.0"}}"#),
        format!(r#"{{"kind":"uninstall","transaction":"{id}","version":"1.0"}}"#),
        r#"{"kind":"remove"}"#.to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let intent = format!(r#"{{"format":1,"data":{intent}}}"#);
        let documents = [intent.as_str(), "", "", installed, &owner, &marker].map(str::as_bytes);
        for layout in (0..64_u8).step_by(5) {
            let seed = [&[layout][..], &documents.join(&0xff)].concat();
            write(&corpus, &format!("{at}-{layout}"), &seed)?;
        }
    }

    let manifest = manifest();
    let stored = serde_json::to_string(&manifest).expect("a manifest is JSON");
    let stamp = r#"{"size":4,"modified_ns":1,"file_id":1}"#;
    let game = format!(
        r#"{{"manifest":"{}","version":"1.0","bytes":7,"origin":"scanned","sentinel":{stamp},"stamps":[[1,1]]}}"#,
        manifest.id()
    );
    let index = format!(
        r#"{{"format":1,"data":{{"games":{{"game":{{"announced":true,"game":{game}}}}}}}}}"#
    );
    let stored = format!(r#"{{"format":1,"data":{stored}}}"#);
    let chunks = [b"lanchk\0\x01".as_slice(), &[0; 64]].concat();
    let hashing = [b"lanhsh\0\x01".as_slice(), &[0; 64]].concat();
    let seed = [index.as_bytes(), stored.as_bytes(), &chunks, &hashing].join(&0xff);
    write(&corpora.join("library_index"), "all", &seed)
}

fn write(corpus: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(corpus)?;
    fs::write(corpus.join(name), content)
}
