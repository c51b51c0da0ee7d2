//! Asking the peers what a game is made of, and settling on one answer.

use std::{sync::Arc, time::Duration};

use lanspread_disk::StoredPayload;
use lanspread_proto::{GameId, ManifestId, PeerId, Version};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    choice::{self, Choice, Wanted},
    command::DownloadRequest,
    context::Context,
    error::OperationError,
    event::PeerEvent,
    links::{CONNECTIONS_TRIED_MAX, REPLACEMENT_WAIT},
    session,
    view::{GameDetails, GameFileDescription},
};

/// A peer that has not delivered a manifest after this gets company.
const NEXT_SOURCE_AFTER: Duration = Duration::from_secs(5);

/// What a download of `game` would fetch: what is here, else what the peers have.
pub(crate) async fn details(
    context: &Arc<Context>,
    game: &GameId,
) -> Result<GameDetails, OperationError> {
    admit(context, game)?;
    context.until_indexed(game).await;
    let library = context.home().library.clone();
    let id = game.clone();
    let local = tokio::task::spawn_blocking(move || library.payload_of(&id)).await;
    match local {
        Ok(Some(payload)) => Ok(describe(game, payload.stored(), Vec::new())),
        _ => latest_details(context, game).await,
    }
}

/// What a download of `game` would fetch, asked of the peers alone. Tells [`PeerEvent::GotGameFiles`].
pub(crate) async fn latest_details(
    context: &Arc<Context>,
    game: &GameId,
) -> Result<GameDetails, OperationError> {
    let choice = choose(context, &DownloadRequest::latest(game.clone()))?;
    let payload = manifest(context, game, &choice).await?;
    let details = describe(game, &payload, choice.peers);
    context
        .events
        .tell(PeerEvent::GotGameFiles(details.clone()));
    Ok(details)
}

/// Settles on the payload of a request, and tells if peers disagree.
pub(crate) fn choose(
    context: &Context,
    request: &DownloadRequest,
) -> Result<Choice, OperationError> {
    let choice = check(context, request)?;
    if !choice.others.is_empty() {
        context.events.tell(PeerEvent::ManifestConflict {
            game: request.game.clone(),
            version: choice.version.clone(),
            chosen: choice.manifest,
            others: choice.others.clone(),
        });
    }
    Ok(choice)
}

/// Settles on the payload of a request.
pub(crate) fn check(
    context: &Context,
    request: &DownloadRequest,
) -> Result<Choice, OperationError> {
    let game = &request.game;
    admit(context, game)?;
    let mut offers = context.game_db.offers(game);
    if let Some(manifest) = request.manifest {
        offers.retain(|offer| offer.summary.manifest == manifest);
    }
    if offers.is_empty() {
        return Err(OperationError::NoSource { game: game.clone() });
    }
    let catalog_version = context.catalog.version(game);
    let version = request.version.as_ref().or(catalog_version);
    let pin_applies = catalog_version.is_none() || version == catalog_version;
    let pinned = context.catalog.pinned(game).filter(|_| pin_applies);
    choice::choose(&offers, Wanted { version, pinned }).ok_or_else(|| match version {
        Some(version) => OperationError::NoSuchVersion {
            game: game.clone(),
            version: version.to_string(),
        },
        None => OperationError::NoSource { game: game.clone() },
    })
}

/// Fetches the chosen manifest from the first of its peers that delivers it. One that takes its time is
/// not given up, but the next is asked as well: a manifest may be large, or drip for ever.
pub(crate) async fn manifest(
    context: &Arc<Context>,
    game: &GameId,
    choice: &Choice,
) -> Result<StoredPayload, OperationError> {
    let (mut last, mut asked) = (None, JoinSet::new());
    let mut peers = choice.peers.iter();
    loop {
        let patience = match peers.next() {
            Some(peer) => {
                let (context, game, manifest) = (context.clone(), game.clone(), choice.manifest);
                asked.spawn(manifest_from(context, *peer, game, manifest));
                NEXT_SOURCE_AFTER
            }
            None => Duration::MAX,
        };
        match timeout(patience, asked.join_next()).await {
            Ok(Some(Ok(Ok(payload)))) => return Ok(payload),
            Ok(Some(Ok(Err(cause)))) => last = Some(cause),
            Ok(Some(Err(panic))) => last = Some(panic.to_string()),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    Err(match last {
        Some(cause) => OperationError::Fetch {
            game: game.clone(),
            cause,
        },
        None => OperationError::NoSource { game: game.clone() },
    })
}

/// Fetches a manifest from one peer. A connection that another one to the same peer has replaced, as
/// happens when both dial each other, is no reason to give up.
async fn manifest_from(
    context: Arc<Context>,
    peer: PeerId,
    game: GameId,
    manifest: ManifestId,
) -> Result<StoredPayload, String> {
    let mut cause = "the peer has gone".to_owned();
    for _ in 0..CONNECTIONS_TRIED_MAX {
        let Some(link) = context.links.get(peer) else {
            break;
        };
        match session::fetch_manifest(&link, &game, manifest).await {
            Ok(payload) => return Ok(payload),
            Err(error) => {
                tracing::warn!(peer = %peer.short(), %game, %error, "no manifest from this peer");
                cause = error.to_string();
                if !error.is_closed() {
                    break;
                }
            }
        }
        sleep(REPLACEMENT_WAIT).await;
    }
    Err(cause)
}

/// Refuses a game that the catalog does not know.
pub(crate) fn admit(context: &Context, game: &GameId) -> Result<(), OperationError> {
    if context.catalog.admits(game) {
        Ok(())
    } else {
        Err(OperationError::UnknownGame { game: game.clone() })
    }
}

/// Refuses to go back to an older version that nobody asked for.
pub(crate) fn refuse_older(
    request: &DownloadRequest,
    here: Option<&Version>,
    offered: &Version,
) -> Result<(), OperationError> {
    match here {
        Some(here) if offered < here && request.version.is_none() => Err(OperationError::Older {
            game: request.game.clone(),
            here: here.to_string(),
            offered: offered.to_string(),
        }),
        _ => Ok(()),
    }
}

fn describe(game: &GameId, payload: &StoredPayload, peers: Vec<PeerId>) -> GameDetails {
    let manifest = payload.manifest();
    let files = manifest
        .files()
        .iter()
        .map(|file| GameFileDescription {
            path: file.path.clone(),
            size: file.size,
            executable: file.executable,
            hash: file.hash,
        })
        .collect();
    GameDetails {
        game: game.clone(),
        manifest: payload.id(),
        version: manifest.version().clone(),
        bytes: manifest.bytes(),
        peers,
        files,
    }
}
