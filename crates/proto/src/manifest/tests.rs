use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chunk::{CHUNK_BYTES, chunk_hash, file_hash};

fn path(text: &str) -> GamePath {
    text.parse().expect("a good path")
}

fn file(at: &str, size: u64) -> FileEntry {
    FileEntry {
        path: path(at),
        size,
        executable: false,
        hash: Hash::of(at.as_bytes()),
    }
}

fn sample() -> Manifest {
    Manifest::new(
        b"1.5\nbuilt by hand\n".to_vec(),
        vec![
            file("a", 3),
            file("data/ü", 0),
            file("data/x", CHUNK_BYTES + 1),
        ],
        vec![path("empty"), path("saves/none")],
    )
    .expect("a good manifest")
}

fn with_files(files: Vec<FileEntry>) -> Result<Manifest, ManifestError> {
    Manifest::new(b"1".to_vec(), files, Vec::new())
}

fn limit_of(result: Result<Manifest, ManifestError>) -> &'static str {
    match result {
        Err(ManifestError::Limit(limit)) => limit.what,
        other => panic!("a limit was to be met: {other:?}"),
    }
}

#[test]
fn the_id_is_the_hash_of_the_documented_bytes() {
    let sample = sample();
    let mut canonical = Vec::new();
    let mut field = |bytes: &[u8]| {
        canonical.extend_from_slice(&u64::to_be_bytes(bytes.len() as u64));
        canonical.extend_from_slice(bytes);
    };
    field(&1_u64.to_be_bytes());
    field(b"1.5");
    field(b"1.5\nbuilt by hand\n");
    field(&3_u64.to_be_bytes());
    for (path, size) in [("a", 3), ("data/x", CHUNK_BYTES + 1), ("data/ü", 0)] {
        field(path.as_bytes());
        field(&size.to_be_bytes());
        field(blake3::hash(path.as_bytes()).as_bytes());
    }
    field(&2_u64.to_be_bytes());
    field(b"empty");
    field(b"saves/none");
    assert_eq!(sample.id().hash(), &Hash::of(&canonical));
}

#[test]
fn the_id_is_blind_to_order_and_the_executable_bit() {
    let sample = sample();
    let mut files = sample.files.clone();
    files.reverse();
    files[0].executable = true;
    let mut folders = sample.empty_folders.clone();
    folders.reverse();
    let other = Manifest::new(sample.sentinel.clone(), files, folders).unwrap();
    assert_ne!(other, sample);
    assert_eq!(other.id(), sample.id());
}

#[test]
fn the_id_is_blind_to_the_spelling_of_json() {
    let id = sample().id();
    let compact = serde_json::to_string(&sample()).unwrap();
    let loose = serde_json::to_string_pretty(&sample()).unwrap();
    let escaped = compact.replace('ü', "\\u00fc");
    let mut value: Value = serde_json::from_str(&compact).unwrap();
    value["later_field"] = json!([1, 2]);
    value["files"].as_array_mut().unwrap().reverse();
    for text in [compact, loose, escaped, value.to_string()] {
        assert_eq!(
            serde_json::from_str::<Manifest>(&text).unwrap().id(),
            id,
            "{text}"
        );
    }
}

#[test]
fn the_id_changes_with_anything_else() {
    let sample = sample();
    let changed = |change: fn(&mut Vec<u8>, &mut Vec<FileEntry>, &mut Vec<GamePath>)| {
        let mut parts = (
            sample.sentinel.clone(),
            sample.files.clone(),
            sample.empty_folders.clone(),
        );
        change(&mut parts.0, &mut parts.1, &mut parts.2);
        Manifest::new(parts.0, parts.1, parts.2).unwrap().id()
    };
    let mut ids = vec![
        sample.id(),
        changed(|sentinel, _, _| sentinel[0] = b'2'),
        changed(|sentinel, _, _| sentinel.push(b'\n')),
        changed(|_, files, _| files[0].size += 1),
        changed(|_, files, _| files[0].hash = Hash::of(b"other")),
        changed(|_, files, _| files[0].path = path("A")),
        changed(|_, files, _| files.truncate(2)),
        changed(|_, files, _| files.push(file("b", 0))),
        changed(|_, _, folders| folders.truncate(1)),
        changed(|_, _, folders| folders.push(path("b"))),
        changed(|_, _, folders| folders[0] = path("Empty")),
        changed(|_, files, folders| {
            files.push(file("saves/none", 0));
            folders.truncate(1);
        }),
    ];
    let before = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), before);
}

#[test]
fn json_round_trips() {
    for manifest in [sample(), with_files(Vec::new()).unwrap()] {
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }
}

#[test]
fn json_is_checked_like_everything_else() {
    let refused = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(sample()).unwrap();
        change(&mut value);
        serde_json::from_value::<Manifest>(value)
            .unwrap_err()
            .to_string()
    };
    for (error, expected) in [
        (
            refused(|json| json["version"] = "1.6".into()),
            "says version 1.6, its sentinel says 1.5",
        ),
        (
            refused(|json| json["sentinel"] = "0".into()),
            "not hexadecimal",
        ),
        (
            refused(|json| json["sentinel"] = "".into()),
            "sentinel is bad",
        ),
        (
            refused(|json| json["files"][0]["path"] = "../x".into()),
            "component of dots",
        ),
        (
            refused(|json| json["files"][0]["path"] = "local/x".into()),
            "bad path",
        ),
        (
            refused(|json| json["files"][0]["path"] = "data/X".into()),
            "bad path",
        ),
        (
            refused(|json| json["files"][0]["size"] = json!(-1)),
            "integer `-1`",
        ),
        (
            refused(|json| json["empty_folders"][0] = "data".into()),
            "bad path",
        ),
        (
            refused(|json| json["empty_folders"][0] = "Version.ini".into()),
            "bad path",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn entries_are_limited_together() {
    let files: Vec<_> = (1..limits::MANIFEST_ENTRIES_MAX)
        .map(|at| file(&format!("f/{at}"), 1))
        .collect();
    let of = |folders: &[&str]| {
        Manifest::new(
            b"1".to_vec(),
            files.clone(),
            folders.iter().map(|at| path(at)).collect(),
        )
    };
    assert_eq!(
        of(&["one"]).unwrap().files().len(),
        limits::MANIFEST_ENTRIES_MAX - 1
    );
    assert_eq!(limit_of(of(&["one", "two"])), "manifest entries");
}

#[test]
fn sizes_are_limited_each_and_together() {
    let of = |sizes: &[u64]| {
        with_files(
            sizes
                .iter()
                .zip('a'..)
                .map(|(size, at)| file(&at.to_string(), *size))
                .collect(),
        )
    };
    let max = limits::FILE_BYTES_MAX;
    assert_eq!(of(&[max]).unwrap().bytes(), max);
    assert_eq!(limit_of(of(&[max + 1])), "a file's size in bytes");
    assert_eq!(
        limit_of(of(&[u64::MAX, u64::MAX])),
        "a file's size in bytes"
    );
    assert_eq!(
        of(&[max, max, max, max - 1, 1, 0]).unwrap().bytes(),
        limits::GAME_BYTES_MAX
    );
    assert_eq!(
        limit_of(of(&[max, max, max, max, 1])),
        "the game's size in bytes"
    );
}

#[test]
fn the_sentinel_is_limited() {
    let of = |bytes: usize| {
        let mut sentinel = b"1.0\n".to_vec();
        sentinel.resize(bytes, b'#');
        Manifest::new(sentinel, Vec::new(), Vec::new())
    };
    assert_eq!(
        of(limits::SENTINEL_BYTES_MAX).unwrap().version().as_str(),
        "1.0"
    );
    assert_eq!(
        limit_of(of(limits::SENTINEL_BYTES_MAX + 1)),
        "the sentinel's size in bytes"
    );
}

/// Sizes at which the tree of hashes changes its shape.
const BOUNDARY_SIZES: [u64; 14] = [
    0,                   // no chunk at all
    1,                   // one byte
    1024,                // one BLAKE3 chunk
    1025,                // two of them
    CHUNK_BYTES - 1,     // one short chunk
    CHUNK_BYTES,         // exactly one, still its own root
    CHUNK_BYTES + 1,     // a last chunk of one byte
    2 * CHUNK_BYTES - 1, // two, the last short
    2 * CHUNK_BYTES,     // a full subtree
    2 * CHUNK_BYTES + 1, // a lone chunk on the right
    3 * CHUNK_BYTES,     // the same, full
    4 * CHUNK_BYTES,     // two levels
    4 * CHUNK_BYTES + 1, // a lone byte two levels up
    7 * CHUNK_BYTES + 5, // three unequal subtrees
];

#[test]
fn chunk_hashes_prove_themselves_at_every_boundary_size() {
    for size in BOUNDARY_SIZES {
        let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let around = |at: &str| FileEntry {
            hash: Hash::of(b"~"),
            ..file(at, 1)
        };
        let checked = FileEntry {
            hash: Hash::of(&data),
            ..file("b", size)
        };
        let manifest = with_files(vec![around("a"), checked, around("c")]).unwrap();
        let map = manifest.chunk_map();
        let hashes: Vec<_> = map
            .chunks()
            .map(|chunk| {
                let span = map.span(chunk);
                let start = usize::try_from(span.offset).unwrap();
                let file = if span.file == 1 { &data[..] } else { b"~" };
                chunk_hash(
                    &file[start..start + span.bytes as usize],
                    span.offset,
                    span.sole,
                )
            })
            .collect();
        assert_eq!(manifest.check_chunk_hashes(&hashes), Ok(()), "{size} bytes");
        assert_eq!(
            file_hash(&hashes[1..hashes.len() - 1]),
            Hash::of(&data),
            "{size} bytes"
        );

        for wrong in 0..hashes.len() {
            let mut hashes = hashes.clone();
            hashes[wrong] = Hash::of(b"wrong");
            let span = map.span(map.check(u32::try_from(wrong).unwrap()).unwrap());
            let path = manifest.files()[span.file].path.clone();
            let refused = Err(ManifestError::ChunkHashes { path });
            assert_eq!(
                manifest.check_chunk_hashes(&hashes),
                refused,
                "{size} bytes, {wrong}"
            );
        }
        for actual in [hashes.len() - 1, hashes.len() + 1] {
            let mut hashes = hashes.clone();
            hashes.resize(actual, Hash::of(b"more"));
            let refused = Err(ManifestError::ChunkCount {
                expected: map.count(),
                actual,
            });
            assert_eq!(
                manifest.check_chunk_hashes(&hashes),
                refused,
                "{size} bytes"
            );
        }
        if hashes.len() > 3 {
            let mut swapped = hashes;
            swapped.swap(1, 2);
            assert!(
                manifest.check_chunk_hashes(&swapped).is_err(),
                "{size} bytes"
            );
        }
    }
}

#[test]
fn every_error_says_what_is_wrong() {
    let errors = [
        ManifestError::Limit(limits::check("manifest entries", 3, 2).unwrap_err()),
        ManifestError::Path("..".parse::<GamePath>().unwrap_err()),
        ManifestError::Sentinel("".parse::<Version>().unwrap_err()),
        ManifestError::OtherVersion {
            version: "1".parse().unwrap(),
            sentinel: "2".parse().unwrap(),
        },
        ManifestError::SentinelDigits,
        ManifestError::ChunkCount {
            expected: 2,
            actual: 3,
        },
        ManifestError::ChunkHashes { path: path("a/b") },
    ];
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "manifest entries is 3, the limit is 2",
            "the manifest holds a bad path",
            "the manifest's sentinel is bad",
            "the manifest says version 1, its sentinel says 2",
            "the manifest's sentinel is not hexadecimal",
            "the payload has 2 chunks, 3 hashes came",
            "the chunk hashes of a/b do not make its hash",
        ]
    );
}

/// Sizes that a liar would try, and some that are possible.
fn edge_size() -> impl Strategy<Value = u64> {
    let edges = [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        u64::from(u32::MAX),
        limits::FILE_BYTES_MAX - 1,
        limits::FILE_BYTES_MAX,
        limits::FILE_BYTES_MAX + 1,
        limits::GAME_BYTES_MAX,
        u64::MAX - 1,
        u64::MAX,
    ];
    prop_oneof![
        2 => proptest::sample::select(edges[..8].to_vec()),
        1 => 0..4 * CHUNK_BYTES,
        1 => proptest::sample::select(edges[8..].to_vec()),
    ]
}

fn edge_path() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-d](/[a-d]){0,2}",
        1 => proptest::sample::select(vec!["", "..", "local/x", "A", "version.ini", "a/\u{0}"])
            .prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_manifest_panics_or_overflows(
        sentinel in proptest::sample::select(vec!["1", "1.0\n", "", "\n", "\u{feff}2", "\0"]),
        files in proptest::collection::vec((edge_path(), edge_size(), any::<bool>()), 0..6),
        folders in proptest::collection::vec(edge_path(), 0..3),
    ) {
        let sum: u128 = files.iter().map(|(_, size, _)| u128::from(*size)).sum();
        let json = json!({
            "version": "1.0",
            "sentinel": data_encoding::HEXLOWER.encode(sentinel.as_bytes()),
            "files": files.iter().map(|(path, size, executable)| json!({
                "path": path, "size": size, "executable": executable, "hash": Hash::of(b""),
            })).collect::<Vec<_>>(),
            "empty_folders": folders,
        });
        if let Ok(manifest) = serde_json::from_value::<Manifest>(json) {
            prop_assert_eq!(sentinel, "1.0\n");
            prop_assert_eq!(u128::from(manifest.bytes()), sum);
            prop_assert!(manifest.bytes() <= limits::GAME_BYTES_MAX);
            prop_assert!(manifest.files().is_sorted_by(|a, b| a.path < b.path));
            let map = manifest.chunk_map();
            prop_assert_eq!(map.bytes(), manifest.bytes());
            let chunks: u64 = files.iter().map(|(_, size, _)| size.div_ceil(CHUNK_BYTES)).sum();
            prop_assert_eq!(u64::from(map.count()), chunks);
            for at in [0, map.count() / 2, map.count().wrapping_sub(1), map.count(), u32::MAX] {
                if let Some(chunk) = map.check(at) {
                    let span = map.span(chunk);
                    prop_assert!(span.offset + u64::from(span.bytes) <= map.file_bytes(span.file));
                }
            }
            prop_assert!(manifest.check_chunk_hashes(&[]).is_ok() == (sum == 0));
            let json = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap().id(), manifest.id());
        }
    }
}
