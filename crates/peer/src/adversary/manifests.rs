//! Manifests that are not what was announced, or not manifests at all.

use bytes::Bytes;
use lanspread_proto::{
    Hash, limits,
    message::{self, Answer},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Adversary, HONEST_DEADLINE, RealPeer, Wares, framed, game,
    liar::{Lies, manifest_of},
};
use crate::{DownloadRequest, ErrorCode};

/// Smaller than a chunk: the manifest is what matters.
const GAME_BYTES: usize = 1000;

/// An honest header and page as JSON, to be bent.
fn parts(wares: &Wares) -> (Value, Value) {
    let payload = &wares.payload;
    let (header, mut pages) = message::paginate(&wares.game, payload.id(), payload.manifest());
    let header = serde_json::to_value(Answer::Game(header)).unwrap();
    let page = serde_json::to_value(Answer::GamePage(pages.remove(0))).unwrap();
    (header, page)
}

/// A header and a page with some things changed, and the right hashes.
fn bent(wares: &Wares, bend: impl FnOnce(&mut Value, &mut Value)) -> Vec<Bytes> {
    let (mut header, mut page) = parts(wares);
    bend(&mut header, &mut page);
    let hashes = message::hashes_to_bytes(wares.payload.chunk_hashes());
    vec![framed(&header), framed(&page), hashes.into()]
}

/// The manifest whose one file lies at `path`.
fn at_path(wares: &Wares, path: &str) -> Vec<Bytes> {
    bent(wares, |_, page| page["files"][0]["path"] = json!(path))
}

/// Every bent manifest, with what is wrong with it.
fn lies(wares: &Wares) -> Vec<(&'static str, Vec<Bytes>)> {
    let (header, page) = parts(wares);
    let (_, other) = game("quake", GAME_BYTES);
    let over = limits::MANIFEST_ENTRIES_MAX + 1;
    let zeroes = Bytes::from(vec![0; Hash::LEN]);
    vec![
        ("another manifest than announced", manifest_of(&other)),
        (
            "too many entries",
            bent(wares, |header, _| header["files"] = json!(over)),
        ),
        (
            "a sum of entries beyond 32 bits",
            bent(wares, |header, _| {
                header["files"] = json!(u32::MAX);
                header["empty_folders"] = json!(u32::MAX);
            }),
        ),
        (
            "pages without entries",
            vec![
                framed(&header),
                framed(&json!({"type": "game_page"})),
                framed(&page),
            ],
        ),
        (
            "a size beyond every file",
            bent(wares, |_, page| page["files"][0]["size"] = json!(u64::MAX)),
        ),
        (
            "sizes whose sum is beyond every game",
            bent(wares, |header, page| {
                header["files"] = json!(8);
                let file = page["files"][0].clone();
                page["files"] = (0..8)
                    .map(|at| {
                        let mut file = file.clone();
                        file["path"] = json!(format!("file {at}"));
                        file["size"] = json!(limits::FILE_BYTES_MAX);
                        file
                    })
                    .collect();
            }),
        ),
        (
            "hashes that do not merge",
            vec![framed(&header), framed(&page), zeroes],
        ),
        ("no hashes", vec![framed(&header), framed(&page)]),
        ("no page", vec![framed(&header)]),
        (
            "more entries than declared",
            bent(wares, |_, page| {
                let mut file = page["files"][0].clone();
                file["path"] = json!("second");
                page["files"].as_array_mut().unwrap().push(file);
            }),
        ),
        (
            "a path twice, in another case",
            bent(wares, |header, page| {
                header["files"] = json!(2);
                let mut file = page["files"][0].clone();
                file["path"] = json!("BIG.PAK");
                page["files"].as_array_mut().unwrap().push(file);
            }),
        ),
        (
            "a sentinel that is too long",
            bent(wares, |header, _| {
                header["sentinel"] = json!("31".repeat(limits::SENTINEL_BYTES_MAX + 1));
            }),
        ),
        ("a way out", at_path(wares, "../../evil")),
        ("an absolute path", at_path(wares, "/tmp/evil")),
        ("a drive", at_path(wares, "C:\\evil")),
        ("the sentinel as payload", at_path(wares, "version.ini")),
        ("a reserved name", at_path(wares, "Local/evil")),
        ("a device", at_path(wares, "nul.txt")),
        ("a pong", vec![framed(&Answer::Pong)]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_false_manifest_is_taken_and_nothing_is_written() {
    let (_, template) = game("doom", GAME_BYTES);
    let mut liars = Vec::new();
    for (at, (what, frames)) in lies(&template).into_iter().enumerate() {
        let mut wares = template.clone();
        wares.game = format!("game {at}").parse().unwrap();
        let liar = Lies::none(&wares).manifest(frames).tell();
        liars.push((what, wares.game, liar));
    }
    let receiver = RealPeer::knowing(liars.iter().map(|(_, _, liar)| liar.addr)).await;
    for (what, game, liar) in &liars {
        receiver.sees(game, 1).await;
        let fetched = timeout(HONEST_DEADLINE, receiver.handle.fetch_latest(game)).await;
        let error = fetched.expect(what).expect_err(what);
        assert_eq!(error.code(), ErrorCode::NoSource, "{what}: {error:?}");
        let request = DownloadRequest::latest(game.clone());
        let download = receiver.handle.download(request).await.unwrap();
        let failed = timeout(HONEST_DEADLINE, download).await.expect(what);
        assert!(failed.is_err(), "{what}");
        assert_eq!(liar.asked(), 0, "{what}");
        let root = receiver.game_dir().join(game.as_str());
        assert!(!root.exists(), "{what}: {} was made", root.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_drips_its_manifest_does_not_hold_up_an_honest_one() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let honest = RealPeer::serving(&[&tree]).await;
    // The smaller id is asked first.
    let adversary = loop {
        let adversary = Adversary::new();
        if adversary.id < honest.handle.id() {
            break adversary;
        }
    };
    let (mut header, mut page) = parts(&wares);
    header["files"] = json!(1000);
    let entries = (0..1000).map(|at| {
        page["files"][0]["path"] = json!(format!("file {at}"));
        framed(&page)
    });
    let frames = std::iter::once(framed(&header)).chain(entries).collect();
    let mut lies = Lies::none(&wares).manifest(frames);
    lies.manifest_drips = true;
    let liar = lies.tell_as(adversary);
    let receiver = RealPeer::knowing([liar.addr, honest.addr()]).await;
    receiver.sees(&wares.game, 2).await;
    let request = DownloadRequest::latest(wares.game.clone());
    let download = receiver.handle.download(request).await.unwrap();
    let done = timeout(super::PATIENCE, download).await;
    done.expect("the honest source is asked as well").unwrap();
    tree.assert_in(&receiver.game_dir());
}
