//! What comes over the wire.

use std::fmt::Debug;

use lanspread_proto::{
    GamePath, Manifest,
    frame::{self, FrameDecoder},
    message::{Answer, Push, Request},
    names,
    path::{EntryKind, PathSet, fold},
};
use serde_json::Value;

/// Frames are the same in whatever pieces they arrive; the first byte says in which.
pub fn frames(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = bodies(stream, stream.len().max(1));
    assert_eq!(whole, bodies(stream, usize::from(*size) + 1));
}

fn bodies(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut decoder, mut found) = (FrameDecoder::new(), Vec::new());
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_body() {
                Ok(Some(body)) => found.push(body.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

/// What parses as a message says the same after it was written again.
pub fn messages(data: &[u8]) {
    stable(data, frame::decode::<Request>, frame::encode);
    stable(data, frame::decode::<Answer>, frame::encode);
    stable(data, frame::decode::<Push>, frame::encode);
}

/// A manifest is what it is, whatever wrote it down.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(data) else {
        return;
    };
    let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    let again: Manifest = serde_json::from_slice(&written).expect("our own JSON is a manifest");
    assert_eq!(again, manifest);
    assert_eq!(again.id(), manifest.id());
    let sizes: u64 = manifest.files().iter().map(|file| file.size).sum();
    assert_eq!(sizes, manifest.bytes());
    for file in manifest.files() {
        assert_eq!(file.path.check_payload_top_level(), Ok(()));
    }
}

/// A path is itself, each of its parts is one, and no two spellings of it fit into one set.
pub fn game_path(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let folded = fold(text);
        assert_eq!(fold(&folded), folded);
        let _ = names::is_reserved(text);
    }
    let Ok(path) = GamePath::from_bytes(data) else {
        return;
    };
    assert_eq!(path.as_str().as_bytes(), data);
    for component in path.components() {
        assert!(!matches!(component, "" | "." | ".."));
        assert!(!component.contains(['/', '\\', ':', '\0']));
        assert!(component.parse::<GamePath>().is_ok());
    }
    let mut set = PathSet::new();
    set.insert(&path, EntryKind::File)
        .expect("the first one fits");
    assert!(set.insert(&path, EntryKind::File).is_err());
    for other in [path.as_str().to_uppercase(), path.as_str().to_lowercase()] {
        if let Ok(other) = other.parse() {
            assert!(set.insert(&other, EntryKind::File).is_err());
        }
    }
}

fn stable<T: PartialEq + Debug, B: AsRef<[u8]>, E: Debug>(
    data: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Result<B, E>,
) {
    let Ok(message) = decode(data) else {
        return;
    };
    // JSON that was long-winded may have been longer than a frame, or not; ours is never longer.
    let written = encode(&message).expect("what fits into a frame fits again");
    let body = &written.as_ref()[frame::HEADER_BYTES..];
    assert!(serde_json::from_slice::<Value>(body).is_ok());
    assert_eq!(decode(body).expect("our own JSON"), message);
}
