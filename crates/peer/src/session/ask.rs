//! Questions to a peer, each over a stream of its own.

use std::sync::Arc;

use lanspread_disk::StoredPayload;
use lanspread_proto::{
    GameId, Hash, Manifest, ManifestId, limits,
    message::{self, Answer, GameHeader, Hello, KnownPeer, Request},
};
use tokio::sync::watch;

use crate::transport::{CloseCode, Link, RecvHalf, WireError};

/// Sends one request and returns where its answer comes.
pub(crate) async fn request(link: &Link, request: &Request) -> Result<RecvHalf, WireError> {
    let (mut send, receive) = link.open().await?;
    send.message(request).await?;
    match send.finish() {
        // Whoever has read the request may answer without waiting for its end.
        Ok(()) | Err(WireError::Reset { .. }) => Ok(receive),
        Err(error) => Err(error),
    }
}

/// Sends a request whose answer is large: over a lane, or like any other until there is one.
pub(crate) async fn request_bulk(link: &Link, wanted: &Request) -> Result<RecvHalf, WireError> {
    match link.lanes.request(wanted).await? {
        Some(receive) => Ok(receive),
        None => request(link, wanted).await,
    }
}

/// The first frame of an answer; a refusal is an error.
pub(crate) async fn answer(receive: &mut RecvHalf) -> Result<Answer, WireError> {
    match receive.message("answer", limits::PROGRESS_TIMEOUT).await? {
        Answer::Refused(refusal) => Err(WireError::Refused(refusal)),
        answer => Ok(answer),
    }
}

/// Introduces this peer, and passes on how the other one did.
pub(super) async fn introduce(link: &Link, ours: Hello, introduced: &watch::Sender<Option<Hello>>) {
    let hello = async {
        let mut receive = request(link, &Request::Hello(ours)).await?;
        match answer(&mut receive).await? {
            Answer::Hello(hello) => Ok(hello),
            _ => Err(WireError::Unexpected {
                expected: "an introduction",
            }),
        }
    };
    match hello.await {
        Ok(hello) => drop(introduced.send_replace(Some(hello))),
        Err(error) => {
            tracing::debug!(%error, "the introduction failed");
            link.close(CloseCode::Protocol);
        }
    }
}

pub(super) async fn ping(link: &Link) -> Result<(), WireError> {
    let mut receive = request(link, &Request::Ping).await?;
    match answer(&mut receive).await? {
        Answer::Pong => Ok(()),
        _ => Err(WireError::Unexpected { expected: "a pong" }),
    }
}

/// The peers that this peer knows.
pub(super) async fn known_peers(link: &Link) -> Result<Vec<KnownPeer>, WireError> {
    let mut receive = request(link, &Request::GetPeers).await?;
    match answer(&mut receive).await? {
        Answer::Peers { mut peers } => {
            peers.truncate(limits::PEER_ADDRESSES_MAX);
            Ok(peers)
        }
        _ => Err(WireError::Unexpected {
            expected: "a list of peers",
        }),
    }
}

/// The manifest of `game` and its chunk hashes, checked against `expected`.
pub(crate) async fn fetch_manifest(
    link: &Link,
    game: &GameId,
    expected: ManifestId,
) -> Result<StoredPayload, WireError> {
    let mut receive = request(link, &Request::GetGame { game: game.clone() }).await?;
    let Answer::Game(header) = answer(&mut receive).await? else {
        return Err(WireError::Unexpected {
            expected: "a manifest",
        });
    };
    let manifest = manifest_pages(&mut receive, &header).await?;
    if manifest.id() != expected {
        return Err(WireError::Unexpected {
            expected: "the manifest that it announced",
        });
    }
    let chunks = manifest.chunk_map().count() as usize;
    let hashes = receive.exactly(chunks * Hash::LEN, "chunk hashes").await?;
    let checking = tokio::task::spawn_blocking(move || {
        StoredPayload::new(
            Arc::new(manifest),
            message::hashes_from_bytes(&hashes).into(),
        )
    });
    match checking.await {
        Ok(checked) => checked.map_err(|error| WireError::Invalid(Box::new(error))),
        Err(panic) => Err(WireError::Invalid(Box::new(panic))),
    }
}

/// Reads pages until the header's counts are met; every count and sum is checked before memory grows.
async fn manifest_pages(
    receive: &mut RecvHalf,
    header: &GameHeader,
) -> Result<Manifest, WireError> {
    let invalid = |error| WireError::Invalid(Box::new(error));
    let expected = u64::from(header.files) + u64::from(header.empty_folders);
    limits::check(
        "manifest entries",
        expected,
        limits::MANIFEST_ENTRIES_MAX as u64,
    )
    .map_err(invalid)?;
    let (mut files, mut folders, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    while ((files.len() + folders.len()) as u64) < expected {
        let Answer::GamePage(page) = answer(receive).await? else {
            return Err(WireError::Unexpected {
                expected: "a page of the manifest",
            });
        };
        if page.files.is_empty() && page.empty_folders.is_empty() {
            return Err(WireError::Unexpected {
                expected: "an entry in each page",
            });
        }
        let paths = page
            .files
            .iter()
            .map(|file| &file.path)
            .chain(&page.empty_folders);
        bytes += paths
            .map(|path| path.as_str().len() as u64 + ENTRY_BYTES)
            .sum::<u64>();
        limits::check(
            "the manifest's header in bytes",
            bytes,
            limits::MANIFEST_HEADER_BYTES_MAX,
        )
        .map_err(invalid)?;
        files.extend(page.files);
        folders.extend(page.empty_folders);
    }
    let counts = (files.len() as u64, folders.len() as u64);
    if counts != (header.files.into(), header.empty_folders.into()) {
        return Err(WireError::Unexpected {
            expected: "as many entries as it declared",
        });
    }
    Manifest::new(header.sentinel.clone(), files, folders)
        .map_err(|error| WireError::Invalid(Box::new(error)))
}

/// What an entry costs besides its path: its hash, its size and JSON's punctuation.
const ENTRY_BYTES: u64 = 120;
