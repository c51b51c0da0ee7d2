//! Answering requests. One task per stream; it ends when the stream does, whoever ends it.

mod expand;
mod firsts;
mod lanes;
mod library;
mod payload;
mod subscription;

use std::sync::Arc;

use lanspread_proto::{
    ManifestId, PeerId, limits,
    message::{Answer, Hello, KnownPeer, Refusal, RefusalCode, Request},
};
use tokio::sync::{Mutex, watch};

pub(crate) use self::{expand::ExpandQueue, firsts::Firsts, lanes::run_lane_server};

use self::payload::AskedRun;
use crate::{
    context::Context,
    exchange,
    session::Sessions,
    transport::{CloseCode, Incoming, Link, LinkClosed, RecvHalf, SendHalf, WireError},
};

/// Accepts connections for as long as the endpoint lives, and runs each authenticated one as a session.
///
/// One of the long-lived tasks. Authentication runs beside the loop, so that a slow caller holds
/// nobody up.
pub(crate) async fn run_server_component(
    incoming: Arc<Mutex<Incoming>>,
    sessions: Sessions,
) -> Result<(), LinkClosed> {
    let mut incoming = incoming.lock().await;
    while let Some(caller) = incoming.accept().await {
        let sessions = sessions.clone();
        tokio::spawn(async move {
            if let Some((link, streams)) = caller.authenticate().await {
                sessions.start(link, streams);
            }
        });
    }
    Err(LinkClosed::Lost)
}

/// Answers the one request of a stream. `introduced` takes the peer's `Hello`.
pub(crate) async fn answer(
    context: Arc<Context>,
    link: Link,
    stream: (SendHalf, RecvHalf),
    introduced: watch::Sender<Option<Hello>>,
) {
    let (send, mut receive) = stream;
    let request = receive
        .message("request", limits::FIRST_FRAME_TIMEOUT)
        .await;
    let answered = match request {
        Ok(Request::StreamInstall { game, manifest }) => {
            expand::stream_install(&context, game, manifest, (send, receive)).await
        }
        Ok(Request::Exchange {
            manifest,
            neighbours,
        }) => exchange(&context, link.peer, (manifest, neighbours), (send, receive)).await,
        Ok(request) => dispatch(&context, &link, request, send, &introduced).await,
        Err(error @ WireError::Frame(_)) => {
            tracing::warn!(peer = %link.peer.short(), %error, "closing a connection that is not speaking the protocol");
            link.close(CloseCode::Protocol);
            return;
        }
        Err(error) => Err(error),
    };
    match answered {
        Ok(()) => {}
        Err(error) if error.is_closed() => {}
        Err(error) => tracing::debug!(peer = %link.peer.short(), %error, "a request ended early"),
    }
}

async fn dispatch(
    context: &Arc<Context>,
    link: &Link,
    request: Request,
    mut send: SendHalf,
    introduced: &watch::Sender<Option<Hello>>,
) -> Result<(), WireError> {
    if let Some(asked) = AskedRun::of(link.peer, &request) {
        return payload::send_run(context, asked, send).await;
    }
    match request {
        Request::Hello(hello) => {
            send.message(&Answer::Hello(context.hello(0))).await?;
            // First: whoever has read the answer need not wait for its end, and then it cannot be sent.
            introduced.send_replace(Some(hello));
            send.finish()
        }
        Request::Ping => reply(send, &Answer::Pong).await,
        Request::ListGames => library::list_games(context, send).await,
        Request::GetGame { game } => library::get_game(context, &game, send).await,
        Request::GetGameFileData { manifest, file } => {
            payload::send_file(context, manifest, file, send).await
        }
        Request::Subscribe => subscription::push(context, link.peer, send).await,
        Request::GetPeers => reply(send, &known_peers(context, link)).await,
        _ => {
            refuse(
                send,
                RefusalCode::BadRequest,
                "this request is not known here",
            )
            .await
        }
    }
}

/// Exchanges a payload with a peer that has `neighbours` for it already, until one of the two ends it.
async fn exchange(
    context: &Arc<Context>,
    peer: PeerId,
    (manifest, neighbours): (ManifestId, u32),
    (mut send, receive): (SendHalf, RecvHalf),
) -> Result<(), WireError> {
    if !context.shelf.shows(manifest) {
        let message = "that payload is not served here";
        return refuse(send, RefusalCode::UnknownGame, message).await;
    }
    match exchange::invited(context, manifest, peer, neighbours) {
        Some(stream) => {
            send.message(&Answer::Exchanging).await?;
            stream.last(send, receive).await;
            Ok(())
        }
        None => refuse(send, RefusalCode::Busy, "there are enough neighbours").await,
    }
}

fn known_peers(context: &Context, asking: &Link) -> Answer {
    let peers = context
        .game_db
        .peers()
        .into_iter()
        .filter(|peer| peer.id != asking.peer)
        .take(limits::PEER_ADDRESSES_MAX)
        .map(|peer| KnownPeer {
            peer: peer.id,
            addr: peer.addr,
        })
        .collect();
    Answer::Peers { peers }
}

async fn reply(mut send: SendHalf, answer: &Answer) -> Result<(), WireError> {
    send.message(answer).await?;
    send.finish()
}

fn no(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
    }
}

async fn refuse(
    send: SendHalf,
    code: RefusalCode,
    message: impl Into<String>,
) -> Result<(), WireError> {
    reply(
        send,
        &Answer::Refused(Refusal {
            code,
            message: message.into(),
        }),
    )
    .await
}
