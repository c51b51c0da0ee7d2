//! Documents of the state directory: durable, refused when newer, kept when damaged.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::Arc;

use lanspread_disk::{
    CHUNKS_NAME, Disk, DiskFile, FileMode, MANIFEST_NAME, RealDisk, StateDir, StateDocument,
    StateError, StoredPayload, twin::PowerCutDisk,
};
use lanspread_proto::{FileEntry, GameId, Hash, Manifest};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl StateDocument for Note {
    const FORMAT: u32 = 2;
}

fn note(text: &str) -> Note {
    Note { text: text.into() }
}

fn game() -> GameId {
    "cnctw".parse().unwrap()
}

fn payload(content: &[u8]) -> StoredPayload {
    let file = FileEntry {
        path: "data/x".parse().unwrap(),
        size: content.len() as u64,
        executable: false,
        hash: Hash::of(content),
    };
    let manifest = Manifest::new(b"1.0\n".to_vec(), vec![file], vec![]).unwrap();
    StoredPayload::new(Arc::new(manifest), [Hash::of(content)].into()).unwrap()
}

#[test]
fn a_document_comes_back_and_its_folders_are_made() {
    let state = StateDir::new(PowerCutDisk::new());
    assert_eq!(
        state.read_document::<Note>("games/x/note.json").unwrap(),
        None
    );
    state
        .write_document("games/x/note.json", &note("hello"))
        .unwrap();
    assert_eq!(
        state.read_document("games/x/note.json").unwrap(),
        Some(note("hello"))
    );
    assert_eq!(
        state.disk().crash_images_now(1).len(),
        1,
        "durable on return"
    );
    state.remove("games/x/note.json").unwrap();
    state.remove("games/x/note.json").unwrap();
    assert_eq!(
        state.disk().crash_images_now(1).len(),
        1,
        "durable on return"
    );
    assert_eq!(
        state.read_document::<Note>("games/x/note.json").unwrap(),
        None
    );
}

#[test]
fn a_newer_format_is_refused_and_left() {
    let state = StateDir::new(PowerCutDisk::new());
    let text = br#"{"format":3,"data":{"entirely":"different"}}"#;
    state.write("n.json", text, FileMode::Plain).unwrap();
    let error = state.read_document::<Note>("n.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "/n.json has format 3, this lanspread knows up to 2"
    );
    assert!(error.is_newer() && !error.is_damaged());
    assert_eq!(state.disk().read_file("n.json", 99).unwrap().unwrap(), text);
    state
        .write(
            "n.json",
            br#"{"format":1,"data":{"text":"old"}}"#,
            FileMode::Plain,
        )
        .unwrap();
    assert_eq!(state.read_document("n.json").unwrap(), Some(note("old")));
}

#[test]
fn a_document_cut_at_any_byte_is_damaged_and_can_be_put_aside() {
    let state = StateDir::new(PowerCutDisk::new());
    state.write_document("n.json", &note("hello")).unwrap();
    let whole = state.disk().read_file("n.json", 999).unwrap().unwrap();
    for cut in 0..whole.len() {
        state
            .write("n.json", &whole[..cut], FileMode::Plain)
            .unwrap();
        let error = state.read_document::<Note>("n.json").unwrap_err();
        assert!(error.is_damaged(), "{cut}: {error}");
    }
    let first = state.quarantine("n.json").unwrap();
    assert!(first.starts_with("n.json.bad-"), "{first}");
    state.write("n.json", b"garbage", FileMode::Plain).unwrap();
    let second = state.quarantine("n.json").unwrap();
    assert_ne!(first, second);
    assert_eq!(
        state.disk().read_file(&second, 99).unwrap().unwrap(),
        b"garbage"
    );
    assert_eq!(state.read_document::<Note>("n.json").unwrap(), None);
}

#[test]
fn a_payload_comes_back_whole_or_as_an_error() {
    let state = StateDir::new(PowerCutDisk::new());
    assert_eq!(state.load_payload(&game()).unwrap(), None);
    let payload = payload(b"content");
    state.save_payload(&game(), &payload).unwrap();
    assert_eq!(state.load_payload(&game()).unwrap(), Some(payload.clone()));
    for name in [MANIFEST_NAME, CHUNKS_NAME] {
        let path = StateDir::<PowerCutDisk>::game_path(&game(), name);
        let whole = state.disk().read_file(&path, 9999).unwrap().unwrap();
        for cut in 0..whole.len() {
            state.write(&path, &whole[..cut], FileMode::Plain).unwrap();
            let error = state.load_payload(&game()).unwrap_err();
            assert!(error.is_damaged(), "{name} cut at {cut}: {error}");
        }
        state.write(&path, &whole, FileMode::Plain).unwrap();
    }
    state.remove_payload(&game()).unwrap();
    assert_eq!(state.load_payload(&game()).unwrap(), None);
}

#[test]
fn the_chunk_hashes_of_another_manifest_are_damaged() {
    let state = StateDir::new(PowerCutDisk::new());
    state.save_payload(&game(), &payload(b"one")).unwrap();
    let path = StateDir::<PowerCutDisk>::game_path(&game(), CHUNKS_NAME);
    state.save_chunk_hashes(&path, &payload(b"two")).unwrap();
    let error = state.load_payload(&game()).unwrap_err();
    assert!(
        matches!(error, StateError::DamagedChunks { source: None, .. }),
        "{error:?}"
    );
    // The right id over wrong hashes is found out as well.
    let mut bytes = state.disk().read_file(&path, 999).unwrap().unwrap();
    let id = payload(b"one").id();
    bytes[8..40].copy_from_slice(id.hash().as_bytes());
    state.write(&path, &bytes, FileMode::Plain).unwrap();
    let error = state.load_payload(&game()).unwrap_err();
    assert!(
        matches!(
            error,
            StateError::DamagedChunks {
                source: Some(_),
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn every_error_names_its_file() {
    let state = StateDir::new(PowerCutDisk::new());
    state.disk().create_folder("n.json").unwrap();
    let error = state.read_document::<Note>("n.json").unwrap_err();
    assert_eq!(error.to_string(), "could not open /n.json");
    assert!(!error.is_out_of_space());
    let source = serde_json::from_str::<Note>("{").unwrap_err();
    let printed = StateError::Encode {
        path: "/n".into(),
        source,
    }
    .to_string();
    assert_eq!(printed, "could not encode /n");
    let printed = StateError::DamagedChunks {
        path: "/c".into(),
        source: None,
    }
    .to_string();
    assert_eq!(
        printed,
        "/c does not hold the chunk hashes of manifest.json"
    );
    let source = serde_json::from_str::<Note>("{").unwrap_err();
    assert_eq!(
        StateError::Damaged {
            path: "/n".into(),
            source
        }
        .to_string(),
        "/n is damaged"
    );
}

#[test]
fn the_state_directory_is_made_on_a_real_disk_and_private_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(&dir.path().join("deep/state")).unwrap();
    state
        .write("identity/key.pem", b"key", FileMode::Private)
        .unwrap();
    state.save_payload(&game(), &payload(b"x")).unwrap();
    assert_eq!(state.load_payload(&game()).unwrap(), Some(payload(b"x")));
    assert!(state.path().ends_with("deep/state"));
    let again = StateDir::open(&dir.path().join("deep/state")).unwrap();
    let disk: &RealDisk = again.disk();
    assert_eq!(
        disk.open_read("identity/key.pem")
            .unwrap()
            .stamp()
            .unwrap()
            .size,
        3
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = dir.path().join("deep/state/identity/key.pem");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
