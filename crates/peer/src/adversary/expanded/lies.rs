//! The lies that a source of streamed installs may tell, with the words by which each is refused.

use bytes::Bytes;
use lanspread_proto::{
    Hash, ManifestId,
    expanded::{ExpandedFailure, ExpandedFrame, ExpandedSums, ExpandedTotals, ExpandedWriter},
    limits,
    message::Answer,
};

use super::super::{Wares, frame_of, framed, liar::StreamEnd};
use crate::ErrorCode;

const CONTENT: &[u8] = b"12345";

pub(super) struct Lie {
    pub(super) what: &'static str,
    pub(super) frames: Vec<Bytes>,
    pub(super) end: StreamEnd,
    pub(super) code: ErrorCode,
    /// A part of the error.
    pub(super) refused: &'static str,
}

/// A finished stream of these frames.
fn lie(what: &'static str, refused: &'static str, frames: Vec<Bytes>) -> Lie {
    Lie {
        what,
        frames,
        end: StreamEnd::Finished,
        code: ErrorCode::AllSourcesFailed,
        refused,
    }
}

// # Frames

fn begin(wares: &Wares) -> Bytes {
    begin_with(wares, None, None)
}

fn begin_with(wares: &Wares, files: Option<u64>, bytes: Option<u64>) -> Bytes {
    framed(&ExpandedFrame::Begin {
        manifest: wares.payload.id(),
        totals: ExpandedTotals { files, bytes },
    })
}

fn directory(path: &str) -> Bytes {
    framed(&ExpandedFrame::Directory { path: path.into() })
}

fn file(path: &str, size: u64) -> Bytes {
    framed(&ExpandedFrame::File {
        path: path.into(),
        size,
        executable: false,
    })
}

/// A data frame and its bytes.
fn data(content: &[u8]) -> Bytes {
    let bytes = u32::try_from(content.len()).unwrap();
    let frame = framed(&ExpandedFrame::Data { bytes });
    [&frame, content].concat().into()
}

fn end(content: &[u8]) -> Bytes {
    let hash = Hash::of(content);
    framed(&ExpandedFrame::FileEnd { hash })
}

/// A whole file.
fn whole(path: &str) -> Vec<Bytes> {
    vec![
        file(path, CONTENT.len() as u64),
        data(CONTENT),
        end(CONTENT),
    ]
}

/// The sums of one whole file.
fn sums(path: &str) -> ExpandedSums {
    let mut writer = ExpandedWriter::new();
    let size = CONTENT.len() as u64;
    writer.file(&path.parse().unwrap(), size, false, Hash::of(CONTENT));
    writer.sums()
}

fn complete(path: &str) -> Bytes {
    framed(&ExpandedFrame::Complete(sums(path)))
}

/// A stream without a fault.
fn honest(wares: &Wares) -> Vec<Bytes> {
    then(wares, &[whole("evil"), vec![complete("evil")]].concat())
}

/// The beginning, then these.
fn then(wares: &Wares, frames: &[Bytes]) -> Vec<Bytes> {
    [&[begin(wares)], frames].concat()
}

// # The lies

/// Every lie that is told without waiting.
pub(super) fn lies(wares: &Wares) -> Vec<Lie> {
    let mut all = paths(wares);
    all.extend(sizes(wares));
    all.extend(order(wares));
    all.extend(bytes_of_another_kind(wares));
    all
}

fn paths(wares: &Wares) -> Vec<Lie> {
    let at = |path| then(wares, &[file(path, 0), end(b"")]);
    vec![
        lie(
            "a way out",
            "\"../../evil\" has a component of dots",
            at("../../evil"),
        ),
        lie(
            "an absolute path",
            "\"/tmp/evil\" is absolute",
            at("/tmp/evil"),
        ),
        lie("a drive", "which not every system stores", at("C:\\evil")),
        lie("a device", "names a Windows device", at("nul.evil")),
        lie(
            "the marker",
            "a name that is reserved",
            at(".Lanspread_owned"),
        ),
        lie(
            "a folder that leads out",
            "\"evil/..\" has a component of dots",
            then(wares, &[directory("evil/..")]),
        ),
        lie(
            "a folder that is a file",
            "both a file and a folder",
            then(wares, &[directory("evil"), file("evil", 0)]),
        ),
        lie(
            "a file that is a folder",
            "both a file and a folder",
            then(
                wares,
                &[whole("evil"), vec![file("evil/below", 0)]].concat(),
            ),
        ),
        lie(
            "a file twice",
            "\"evil\" comes twice",
            then(wares, &[whole("evil"), whole("evil")].concat()),
        ),
        lie(
            "a file twice, in another case",
            "are one name on some systems",
            then(wares, &[whole("evil"), whole("EVIL")].concat()),
        ),
    ]
}

fn sizes(wares: &Wares) -> Vec<Lie> {
    let sized = |size| then(wares, &[file("evil", size), data(CONTENT), end(CONTENT)]);
    let totals = |files, bytes| {
        let begin = vec![begin_with(wares, files, bytes)];
        [begin, whole("evil"), vec![complete("evil")]].concat()
    };
    let over = limits::MANIFEST_ENTRIES_MAX as u64 + 1;
    vec![
        lie(
            "a file that is shorter",
            "ended after 5 of the 6 bytes",
            sized(6),
        ),
        lie("a file that is longer", "more than the 4 bytes", sized(4)),
        lie(
            "a file beyond every file",
            "bytes of a file is",
            sized(u64::MAX),
        ),
        lie(
            "more bytes than in all",
            "more than the 4 bytes it",
            totals(None, Some(4)),
        ),
        lie(
            "more files than in all",
            "more than the 0 files it",
            totals(Some(0), None),
        ),
        lie(
            "fewer bytes than in all",
            "other sums",
            totals(None, Some(6)),
        ),
        lie(
            "fewer files than in all",
            "other sums",
            totals(Some(2), None),
        ),
        lie(
            "too many files in all",
            "files is 200001",
            totals(Some(over), None),
        ),
        lie(
            "too many bytes in all",
            "bytes of all files is",
            totals(None, Some(u64::MAX)),
        ),
        lie(
            "sizes whose sum is beyond every game",
            "bytes of all files is",
            vec![begin_with(wares, None, Some(limits::GAME_BYTES_MAX + 1))],
        ),
        lie(
            "a piece beyond every piece",
            "bytes of a data frame is",
            then(
                wares,
                &[
                    file("evil", 1 << 30),
                    data(&vec![0; limits::EXPANDED_DATA_BYTES_MAX + 1]),
                ],
            ),
        ),
    ]
}

fn order(wares: &Wares) -> Vec<Lie> {
    let wrong_hash = then(
        wares,
        &[
            file("evil", CONTENT.len() as u64),
            data(CONTENT),
            end(b"other"),
        ],
    );
    let other = ExpandedFrame::Begin {
        manifest: ManifestId::new(Hash::of(b"another payload")),
        totals: ExpandedTotals::default(),
    };
    let mut missing = sums("evil");
    missing.files += 1;
    let wrong_sums = framed(&ExpandedFrame::Complete(missing));
    let failed = ExpandedFrame::Failed {
        code: ExpandedFailure::Damaged,
        message: "a\u{1b}[31mbc\r\n".into(),
    };
    vec![
        lie(
            "data first",
            "a data frame came before the beginning",
            vec![data(CONTENT)],
        ),
        lie(
            "a file first",
            "a file frame came before the beginning",
            whole("evil"),
        ),
        lie(
            "two beginnings",
            "a beginning frame came between the entries",
            then(wares, &[begin(wares)]),
        ),
        lie(
            "a file in a file",
            "a file frame came inside of a file",
            then(wares, &[file("evil", 5), file("evil too", 5)]),
        ),
        lie(
            "data between files",
            "a data frame came between the entries",
            then(wares, &[data(CONTENT)]),
        ),
        lie(
            "a file after the end",
            "a file frame came after the end",
            [honest(wares), whole("evil too")].concat(),
        ),
        lie(
            "another payload",
            "is expanded instead of",
            vec![framed(&other)],
        ),
        lie("a wrong hash", "do not have the hash", wrong_hash),
        lie(
            "wrong sums",
            "other sums",
            then(wares, &[whole("evil"), vec![wrong_sums]].concat()),
        ),
        lie("nothing", "ended before the beginning", Vec::new()),
        lie(
            "no closing frame",
            "ended between the entries",
            then(wares, &whole("evil")),
        ),
        lie(
            "an end in a file",
            "ended inside of a file",
            then(wares, &[file("evil", 10), data(CONTENT)]),
        ),
        lie(
            "control characters",
            "cannot go on: a[31mbc",
            then(wares, &[framed(&failed)]),
        ),
    ]
}

fn bytes_of_another_kind(wares: &Wares) -> Vec<Lie> {
    let frames = "does not hold frames of an expanded archive";
    let halfway = then(wares, &[file("evil", 10), data(CONTENT)]);
    let mut all = vec![
        lie("a pong", frames, then(wares, &[framed(&Answer::Pong)])),
        lie(
            "no JSON",
            frames,
            then(wares, &[frame_of(b"\xff\xfe{").into()]),
        ),
        lie(
            "a frame beyond every frame",
            "a control frame has at most",
            then(wares, &[Bytes::from_static(&[0xff; 64])]),
        ),
        lie(
            "deep JSON",
            "a message nests at most",
            then(wares, &[frame_of(&[b'['; 1000]).into()]),
        ),
    ];
    all.push(Lie {
        end: StreamEnd::Reset,
        ..lie("a reset", "reset the stream with code", halfway)
    });
    all
}

/// A stream that stops in the middle of a file and does not end.
pub(super) fn stalls(wares: &Wares) -> Lie {
    Lie {
        end: StreamEnd::Never,
        ..lie(
            "a stall",
            "no piece of an expanded archive within",
            then(wares, &[file("evil", 10), data(CONTENT)]),
        )
    }
}

/// As much as no disk of the test has room for.
pub(super) fn wants_more_room_than_there_is(wares: &Wares) -> Lie {
    Lie {
        code: ErrorCode::DiskFull,
        ..lie(
            "no room",
            "bytes of room are missing",
            vec![begin_with(wares, None, Some(limits::GAME_BYTES_MAX))],
        )
    }
}
