//! A stream is let through only as it was sent; every other one has an error of its own.

use lanspread_proto::{
    GamePath, Hash, ManifestId, PathError,
    expanded::{
        ExpandedDecoder, ExpandedError, ExpandedFailure, ExpandedFrame, ExpandedPiece,
        ExpandedReader, ExpandedStep, ExpandedTotals, ExpandedWriter,
    },
    frame,
    limits::{EXPANDED_DATA_BYTES_MAX, FILE_BYTES_MAX, GAME_BYTES_MAX, MANIFEST_ENTRIES_MAX},
};
use proptest::prelude::*;

/// A frame, and the raw bytes that follow it.
type Sent = (ExpandedFrame, Vec<u8>);

fn asked() -> ManifestId {
    ManifestId::new(Hash::of(b"payload"))
}

fn begin(files: Option<u64>, bytes: Option<u64>) -> Sent {
    let frame = ExpandedFrame::Begin {
        manifest: asked(),
        totals: ExpandedTotals { files, bytes },
    };
    (frame, Vec::new())
}

fn directory(path: &str) -> Sent {
    let path = path.to_owned();
    (ExpandedFrame::Directory { path }, Vec::new())
}

fn file(path: &str, size: u64) -> Sent {
    let frame = ExpandedFrame::File {
        path: path.to_owned(),
        size,
        executable: false,
    };
    (frame, Vec::new())
}

fn data(bytes: &[u8]) -> Sent {
    let frame = ExpandedFrame::Data {
        bytes: u32::try_from(bytes.len()).expect("a few bytes"),
    };
    (frame, bytes.to_vec())
}

fn file_end(content: &[u8]) -> Sent {
    let hash = Hash::of(content);
    (ExpandedFrame::FileEnd { hash }, Vec::new())
}

fn whole(path: &str, content: &[u8]) -> Vec<Sent> {
    let mut sent = vec![file(path, content.len() as u64)];
    sent.extend(content.chunks(3).map(data));
    sent.push(file_end(content));
    sent
}

fn complete(files: &[(&str, &[u8])]) -> Sent {
    let mut sums = ExpandedWriter::new();
    for (path, content) in files {
        let path: GamePath = path.parse().expect("a good path");
        sums.file(&path, content.len() as u64, false, Hash::of(content));
    }
    (ExpandedFrame::Complete(sums.sums()), Vec::new())
}

/// Sends all of it over a wire of frames; the steps, and how it ended.
fn receive(sent: impl IntoIterator<Item = Sent>) -> (Vec<ExpandedStep>, Result<(), ExpandedError>) {
    let mut reader = ExpandedReader::new(asked());
    let mut steps = Vec::new();
    for (frame, raw) in sent {
        let wire = frame::encode(&frame).expect("it fits");
        let arrived = frame::decode(&wire[frame::HEADER_BYTES..]).expect("it was sent so");
        let step = reader.frame(arrived).and_then(|step| {
            for piece in raw.chunks(2) {
                reader.data(piece)?;
            }
            Ok(step)
        });
        match step {
            Ok(step) => steps.push(step),
            Err(error) => return (steps, Err(error)),
        }
    }
    (steps, reader.end())
}

fn refused(sent: impl IntoIterator<Item = Sent>) -> ExpandedError {
    receive(sent).1.expect_err("this stream is wrong")
}

/// The beginning, some frames, and what they are refused with.
fn refused_after_begin(sent: impl IntoIterator<Item = Sent>) -> ExpandedError {
    refused(std::iter::once(begin(None, None)).chain(sent))
}

#[test]
fn an_honest_stream_comes_through() {
    let mut sent = vec![
        (ExpandedFrame::Queued { position: 2 }, Vec::new()),
        begin(Some(2), Some(5)),
    ];
    sent.extend(whole("data/a", b"hello"));
    sent.extend(whole("none", b""));
    sent.push(complete(&[("data/a", b"hello"), ("none", b"")]));
    let (steps, ended) = receive(sent);
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(steps[0], ExpandedStep::Queued { position: 2 });
    let Some(ExpandedStep::Complete(sums)) = steps.last() else {
        panic!("{steps:?}");
    };
    assert_eq!((sums.files, sums.directories, sums.bytes), (2, 0, 5));
}

#[test]
fn an_archive_of_nothing_and_a_folder_that_comes_twice_are_fine() {
    assert!(receive([begin(Some(0), Some(0)), complete(&[])]).1.is_ok());
    let mut sums = ExpandedWriter::new();
    for _ in 0..2 {
        sums.directory(&"data".parse().unwrap());
    }
    let close = (ExpandedFrame::Complete(sums.sums()), Vec::new());
    let sent = [
        begin(None, None),
        directory("data"),
        directory("data"),
        close,
    ];
    assert!(receive(sent).1.is_ok());
}

#[test]
fn frames_out_of_place_are_refused() {
    let cases: [(&[Sent], &str); 9] = [
        (&[file("a", 1)], "a file frame came before the beginning"),
        (&[data(b"x")], "a data frame came before the beginning"),
        (
            &[begin(None, None), begin(None, None)],
            "a beginning frame came between the entries",
        ),
        (
            &[begin(None, None), data(b"x")],
            "a data frame came between the entries",
        ),
        (
            &[begin(None, None), file_end(b"")],
            "a file end frame came between the entries",
        ),
        (
            &[begin(None, None), file("a", 1), directory("d")],
            "a directory frame came inside of a file",
        ),
        (
            &[begin(None, None), file("a", 1), complete(&[])],
            "a closing frame came inside of a file",
        ),
        (
            &[begin(None, None), complete(&[]), directory("d")],
            "a directory frame came after the end",
        ),
        (
            &[
                begin(None, None),
                (ExpandedFrame::Queued { position: 1 }, Vec::new()),
            ],
            "a queue frame came between the entries",
        ),
    ];
    for (sent, expected) in cases {
        assert_eq!(refused(sent.to_vec()).to_string(), expected);
    }
}

#[test]
fn sizes_that_lie_are_refused_both_ways() {
    let longer = refused_after_begin([file("a", 2), data(b"abc")]);
    assert_eq!(
        longer.to_string(),
        "a has more than the 2 bytes it declares"
    );
    let shorter = refused_after_begin([file("a", 4), data(b"abc"), file_end(b"abc")]);
    assert_eq!(
        shorter.to_string(),
        "a ended after 3 of the 4 bytes it declares"
    );
    let more_raw = {
        let mut reader = ExpandedReader::new(asked());
        for (frame, _) in [begin(None, None), file("a", 9), data(b"abc")] {
            reader.frame(frame).unwrap();
        }
        reader.data(b"abcd").unwrap_err()
    };
    assert!(matches!(more_raw, ExpandedError::Longer { .. }));
    let totals = refused([begin(Some(1), Some(3)), file("a", 4)]);
    assert_eq!(
        totals.to_string(),
        "the stream holds more than the 3 bytes it declares"
    );
    let mut sent = vec![begin(Some(1), None)];
    sent.extend(whole("a", b""));
    sent.push(file("b", 0));
    assert_eq!(
        refused(sent).to_string(),
        "the stream holds more than the 1 files it declares"
    );
}

#[test]
fn a_stream_that_holds_less_than_it_declares_is_refused() {
    let mut sent = vec![begin(Some(2), None)];
    sent.extend(whole("a", b"x"));
    sent.push(complete(&[("a", b"x")]));
    assert!(matches!(refused(sent), ExpandedError::WrongSums));
}

#[test]
fn wrong_hashes_and_sums_are_refused() {
    let hash = refused_after_begin([file("a", 1), data(b"x"), file_end(b"y")]);
    assert_eq!(
        hash.to_string(),
        "the bytes of a do not have the hash that came with them"
    );
    for other in [("b", b"x".as_slice()), ("a", b"y"), ("a", b"")] {
        let mut sent = vec![begin(None, None)];
        sent.extend(whole("a", b"x"));
        sent.push(complete(&[other]));
        assert!(
            matches!(refused(sent), ExpandedError::WrongSums),
            "{other:?}"
        );
    }
}

#[test]
fn paths_are_refused_before_anything_is_made_of_them() {
    let cases = ["../a", "/a", "C:/a", "a//b", "CON", "a\\b", "a:b", "a.", ""];
    for path in cases {
        for sent in [file(path, 0), directory(path)] {
            let error = refused_after_begin([sent]);
            assert!(matches!(error, ExpandedError::Path(_)), "{path}: {error}");
        }
    }
    let marker = refused_after_begin([file(".Lanspread_Owned", 0)]);
    assert!(matches!(marker, ExpandedError::Reserved { .. }));
    // An archive lands inside of `local`, where our other names are free.
    let (_, ended) = receive([
        begin(None, None),
        directory("local"),
        directory("d/.local.trash"),
    ]);
    assert!(matches!(ended, Err(ExpandedError::Unfinished { .. })));
}

#[test]
fn names_that_cannot_lie_together_are_refused() {
    for (first, second) in [("a", "a"), ("a", "A"), ("a", "a/b"), ("d/x", "D/y")] {
        let mut sent = whole(first, b"");
        sent.extend(whole(second, b""));
        let error = refused_after_begin(sent);
        assert!(
            matches!(error, ExpandedError::Path(_)),
            "{first} and {second}: {error}"
        );
    }
    let mut sent = whole("a", b"");
    sent.push(directory("a"));
    let error = refused_after_begin(sent);
    assert!(
        matches!(error, ExpandedError::Path(PathError::FileAndFolder { .. })),
        "{error}"
    );
}

#[test]
fn a_stream_that_stops_is_told_from_one_that_ends() {
    let mut sent = vec![begin(None, None)];
    sent.extend(whole("a", b"abc"));
    sent.push(complete(&[("a", b"abc")]));
    for length in 0..sent.len() {
        let error = refused(sent[..length].to_vec());
        assert!(
            matches!(error, ExpandedError::Unfinished { .. }),
            "after {length} frames: {error}"
        );
    }
    let failed = (
        ExpandedFrame::Failed {
            code: ExpandedFailure::Damaged,
            message: "it is\ncut".into(),
        },
        Vec::new(),
    );
    let error = refused_after_begin([file("a", 3), failed]);
    assert_eq!(error.to_string(), "the sender cannot go on: it iscut");
}

#[test]
fn another_payload_is_refused() {
    let other = ManifestId::new(Hash::of(b"other"));
    let begin = ExpandedFrame::Begin {
        manifest: other,
        totals: ExpandedTotals::default(),
    };
    let error = refused([(begin, Vec::new())]);
    assert!(matches!(error, ExpandedError::OtherPayload { offered, .. } if offered == other));
}

#[test]
fn limits_hold_at_n_and_refuse_n_plus_one() {
    let data = |bytes: usize| {
        let mut reader = ExpandedReader::new(asked());
        for (frame, _) in [begin(None, None), file("a", FILE_BYTES_MAX)] {
            reader.frame(frame).unwrap();
        }
        reader.frame(ExpandedFrame::Data {
            bytes: u32::try_from(bytes).unwrap(),
        })
    };
    assert!(data(EXPANDED_DATA_BYTES_MAX).is_ok());
    assert!(matches!(
        data(EXPANDED_DATA_BYTES_MAX + 1),
        Err(ExpandedError::Limit(_))
    ));
    let is_limit = |sent: Vec<Sent>| matches!(receive(sent).1, Err(ExpandedError::Limit(_)));
    assert!(!is_limit(vec![
        begin(None, None),
        file("a", FILE_BYTES_MAX)
    ]));
    assert!(is_limit(vec![
        begin(None, None),
        file("a", FILE_BYTES_MAX + 1)
    ]));
    assert!(!is_limit(vec![begin(None, Some(GAME_BYTES_MAX))]));
    assert!(is_limit(vec![begin(None, Some(GAME_BYTES_MAX + 1))]));
    let files = MANIFEST_ENTRIES_MAX as u64;
    assert!(!is_limit(vec![begin(Some(files), None)]));
    assert!(is_limit(vec![begin(Some(files + 1), None)]));
}

#[test]
fn a_million_empty_files_are_refused_at_the_limit() {
    let mut reader = ExpandedReader::new(asked());
    reader.frame(begin(None, None).0).unwrap();
    let end = file_end(b"").0;
    let refused_at = (0..1_000_000).find(|number| {
        reader.frame(file(&format!("{number}"), 0).0).is_err() || reader.frame(end.clone()).is_err()
    });
    assert_eq!(refused_at, Some(MANIFEST_ENTRIES_MAX));
}

/// The bytes of these frames on the wire.
fn wire(sent: &[Sent]) -> Vec<u8> {
    let bytes = |(frame, raw): &Sent| [&frame::encode(frame).expect("it fits")[..], raw].concat();
    sent.iter().flat_map(bytes).collect()
}

#[test]
fn the_wire_is_cut_into_the_same_pieces_however_it_arrives() {
    let content = b"some bytes {}[] that look like frames \0\0\0\x02{}";
    let mut sent = vec![begin(Some(2), None)];
    sent.extend(whole("a", content));
    sent.extend(whole("b", b""));
    sent.push(complete(&[("a", content), ("b", b"")]));
    let wire = wire(&sent);
    for length in [1, 2, 5, 64, wire.len()] {
        let mut decoder = ExpandedDecoder::new(asked());
        let (mut steps, mut data) = (Vec::new(), Vec::new());
        for piece in wire.chunks(length) {
            decoder.push(piece);
            while let Some(piece) = decoder.next_piece().unwrap() {
                match piece {
                    ExpandedPiece::Step(step) => steps.push(step),
                    ExpandedPiece::Data(bytes) => data.extend_from_slice(&bytes),
                }
            }
        }
        decoder.end().unwrap();
        assert_eq!(steps, receive(sent.clone()).0, "pieces of {length}");
        assert_eq!(data, content, "pieces of {length}");
    }
}

#[test]
fn what_is_no_frame_is_refused_where_it_comes() {
    let mut decoder = ExpandedDecoder::new(asked());
    decoder.push(&wire(&[begin(None, None)]));
    assert!(decoder.next_piece().unwrap().is_some());
    decoder.push(b"\0\0\0\x02no");
    let error = decoder.next_piece().unwrap_err();
    assert!(matches!(error, ExpandedError::Frame(_)), "{error}");
}

proptest! {
    /// Any frames in any order: an answer, never a panic, and never a file longer than it declared.
    #[test]
    fn any_frames_get_an_answer(picks in prop::collection::vec((0_u8..7, 0_u8..4, 0_u64..5), 0..40)) {
        let mut reader = ExpandedReader::new(asked());
        for (kind, name, number) in picks {
            let path = ["a", "b/c", "b", "../x"][usize::from(name)];
            let bytes = vec![7; usize::try_from(number).unwrap()];
            let (frame, raw) = match kind {
                0 => begin(Some(number), None),
                1 => directory(path),
                2 => file(path, number),
                3 => data(&bytes),
                4 => file_end(&bytes),
                5 => complete(&[]),
                _ => (ExpandedFrame::Queued { position: 1 }, Vec::new()),
            };
            if reader.frame(frame).is_err() || reader.data(&raw).is_err() && !raw.is_empty() {
                break;
            }
        }
        let _ = reader.end();
    }
}
