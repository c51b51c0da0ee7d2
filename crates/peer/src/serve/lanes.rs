//! Answering over lanes: payload to peers that are linked with us.

use std::{convert::Infallible, sync::Arc};

use lanspread_proto::{
    PeerId, limits,
    message::{RefusalCode, Request},
};
use tokio::sync::Mutex;

use super::{
    payload::{self, AskedRun},
    refuse,
};
use crate::{
    context::Context,
    transport::{LaneListener, SendHalf, ServedLane, WireError},
};

/// Accepts lanes for as long as the peer runs, and serves each in a task of its own. One of the long-lived tasks.
pub(crate) async fn run_lane_server(
    context: Arc<Context>,
    lanes: Arc<Mutex<LaneListener>>,
) -> Result<(), Infallible> {
    let mut lanes = lanes.lock().await;
    loop {
        let caller = tokio::select! {
            () = context.cancel.cancelled() => return Ok(()),
            caller = lanes.accept() => caller,
        };
        let context = context.clone();
        tokio::spawn(async move {
            let cancel = context.cancel.clone();
            let serving = async {
                // A peer whose introduction was just answered may be faster here than its link.
                if let Some(lane) = caller.authenticate().await
                    && context
                        .links
                        .is_in_within(lane.peer(), limits::FIRST_FRAME_TIMEOUT)
                        .await
                {
                    serve(&context, lane).await;
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = serving => {}
            }
        });
    }
}

/// Answers one request after another, for as long as the peer has a link to us.
async fn serve(context: &Arc<Context>, mut lane: ServedLane) {
    let peer = lane.peer();
    loop {
        let request = match lane.request().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(peer = %peer.short(), %error, "closing a lane");
                return;
            }
        };
        if context.links.get(peer).is_none() {
            tracing::debug!(peer = %peer.short(), "closing the lane of a peer without a link");
            return;
        }
        let (send, answering) = lane.answer();
        if let Err(error) = answer(context, peer, request, send).await {
            tracing::debug!(peer = %peer.short(), %error, "an answer over a lane ended early");
        }
        match answering.over().await {
            Some(again) => lane = again,
            None => return,
        }
    }
}

async fn answer(
    context: &Arc<Context>,
    peer: PeerId,
    request: Request,
    send: SendHalf,
) -> Result<(), WireError> {
    match AskedRun::of(peer, &request) {
        Some(asked) => payload::send_run(context, asked, send).await,
        None => {
            refuse(
                send,
                RefusalCode::BadRequest,
                "a lane carries runs of chunks only",
            )
            .await
        }
    }
}
