//! With whom this peer exchanges chunks of which payload.
//!
//! Everybody is connected with everybody, but chunks of one payload go between few: [`Mesh`] decides between whom.
//! Here is what it works on. An exchange is a stream that one side opens with [`Request::Exchange`] and that both keep
//! open; it ends when either ends its half, or its connection does. While it is in force each side tells the other what
//! it gains of the payload (`serve::subscription`) and asks it for chunks (`download::fly`).
//!
//! Two that invite each other at the same moment have two streams for one exchange, which ends with the last of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use lanspread_proto::{
    ManifestId, PeerId,
    message::{Answer, Request},
};
use lanspread_swarm::{Mesh, MeshAction, MeshConfig, MeshInput};
use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, News, until},
    game_db::Held,
    session::answer,
    transport::{LinkClosed, RecvHalf, SendHalf, WireError},
};

/// Every payload that is exchanged. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Exchanges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    circles: Mutex<HashMap<ManifestId, Circle>>,
    /// Exchanges that there have been.
    opened: AtomicU64,
    /// Ticks when an exchange begins or ends.
    changed: watch::Sender<u64>,
}

/// Those with whom one payload is exchanged.
#[derive(Debug)]
struct Circle {
    mesh: Mesh,
    open: HashMap<PeerId, Open>,
    /// Whether a download of it runs here; another one begins a new circle.
    fetches: bool,
}

/// The streams of one exchange.
#[derive(Debug)]
struct Open {
    /// Tells it from an earlier exchange with the same peer.
    number: u64,
    streams: usize,
    /// Cancelled when this side ends it.
    parted: CancellationToken,
}

/// One stream of an exchange; dropped, it has ended.
#[derive(Debug)]
#[must_use = "dropped, it has ended"]
pub(crate) struct ExchangeStream {
    context: Arc<Context>,
    manifest: ManifestId,
    peer: PeerId,
    number: u64,
    parted: CancellationToken,
    /// Whether the other side has ended it; else its connection broke, and may be replaced.
    ended: bool,
}

impl Exchanges {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            circles: Mutex::default(),
            opened: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        }))
    }

    /// Whether chunks of this payload are exchanged with that peer.
    pub(crate) fn has(&self, manifest: ManifestId, peer: PeerId) -> bool {
        let circles = self.lock();
        let circle = circles.get(&manifest);
        circle.is_some_and(|circle| circle.mesh.contains(peer))
    }

    /// Ticks when an exchange begins or ends.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// One stream more of an exchange that the mesh agrees to.
    fn opened(
        &self,
        context: &Arc<Context>,
        manifest: ManifestId,
        peer: PeerId,
    ) -> Option<ExchangeStream> {
        let mut circles = self.lock();
        let circle = circles.get_mut(&manifest)?;
        if !circle.mesh.contains(peer) {
            return None;
        }
        let open = circle.open.entry(peer).or_insert_with(|| Open {
            number: self.0.opened.fetch_add(1, Ordering::Relaxed),
            streams: 0,
            parted: CancellationToken::new(),
        });
        open.streams += 1;
        Some(ExchangeStream {
            context: context.clone(),
            manifest,
            peer,
            number: open.number,
            parted: open.parted.clone(),
            ended: false,
        })
    }

    fn forget_if_empty(&self, manifest: ManifestId) {
        if let Entry::Occupied(circle) = self.lock().entry(manifest)
            && !circle.get().fetches
            && circle.get().open.is_empty()
        {
            circle.remove();
        }
    }

    fn is_exchanged(&self, manifest: ManifestId) -> bool {
        self.lock().contains_key(&manifest)
    }

    fn next_deadline(&self, manifest: ManifestId) -> Option<Instant> {
        self.lock().get(&manifest)?.mesh.next_deadline()
    }

    /// With whom this payload is exchanged.
    pub(crate) fn neighbours(&self, manifest: ManifestId) -> Vec<PeerId> {
        let circles = self.lock();
        let circle = circles.get(&manifest);
        circle.map_or_else(Vec::new, |circle| circle.mesh.neighbours().collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ManifestId, Circle>> {
        self.0
            .circles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Circle {
    fn new(context: &Context, fetches: bool) -> Self {
        let config = MeshConfig {
            me: context.id,
            seed: context.incarnation,
            wants: fetches,
        };
        Self {
            mesh: Mesh::new(&config),
            open: HashMap::new(),
            fetches,
        }
    }

    /// Ends the exchange with a peer.
    fn part(&mut self, peer: PeerId) {
        if let Some(open) = self.open.remove(&peer) {
            open.parted.cancel();
        }
    }

    /// Ends every exchange.
    fn end(self) {
        for open in self.open.into_values() {
            open.parted.cancel();
        }
    }
}

impl ExchangeStream {
    /// Stays until one of the two ends the exchange.
    pub(crate) async fn last(mut self, send: SendHalf, mut receive: RecvHalf) {
        let ended = async {
            loop {
                match receive.bytes().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(error) => return !error.is_closed(),
                }
            }
        };
        tokio::select! {
            () = self.parted.cancelled() => {}
            () = self.context.cancel.cancelled() => {}
            ended = ended => self.ended = ended,
        }
        // The other side may have gone, which is as good.
        let _ = send.finish();
    }
}

impl Drop for ExchangeStream {
    fn drop(&mut self) {
        let (manifest, peer) = (self.manifest, self.peer);
        let fetches = {
            let mut circles = self.context.exchanges.lock();
            let Some(circle) = circles.get_mut(&manifest) else {
                return;
            };
            match circle.open.entry(peer) {
                Entry::Occupied(mut open) if open.get().number == self.number => {
                    open.get_mut().streams -= 1;
                    if open.get().streams > 0 {
                        return;
                    }
                    open.remove();
                }
                // This side has ended it.
                _ => return,
            }
            circle.fetches
        };
        if self.ended {
            tell(&self.context, manifest, MeshInput::Parted { peer });
        } else {
            tell(&self.context, manifest, MeshInput::Gone { peer });
            if fetches {
                look_at(&self.context, manifest, peer);
            }
        }
        self.context.exchanges.forget_if_empty(manifest);
    }
}

// # Being invited, and inviting

/// A peer would like to exchange a payload; `None` says no.
pub(crate) fn invited(
    context: &Arc<Context>,
    manifest: ManifestId,
    peer: PeerId,
    neighbours: u32,
) -> Option<ExchangeStream> {
    let exchanges = &context.exchanges;
    exchanges
        .lock()
        .entry(manifest)
        .or_insert_with(|| Circle::new(context, false));
    tell(context, manifest, MeshInput::Invited { peer, neighbours });
    let stream = exchanges.opened(context, manifest, peer);
    exchanges.forget_if_empty(manifest);
    stream
}

/// Invites a peer and stays until the exchange ends.
async fn invite(context: Arc<Context>, manifest: ManifestId, peer: PeerId, neighbours: u32) {
    match ask(&context, manifest, peer, neighbours).await {
        Ok((send, receive)) => {
            tell(&context, manifest, MeshInput::Accepted { peer });
            if let Some(stream) = context.exchanges.opened(&context, manifest, peer) {
                stream.last(send, receive).await;
            }
        }
        Err(error) => {
            tracing::debug!(peer = %peer.short(), %error, "an exchange did not come about");
            tell(&context, manifest, MeshInput::Declined { peer });
        }
    }
}

async fn ask(
    context: &Context,
    manifest: ManifestId,
    peer: PeerId,
    neighbours: u32,
) -> Result<(SendHalf, RecvHalf), WireError> {
    let link = context.links.get(peer);
    let link = link.ok_or(WireError::Closed(LinkClosed::Lost))?;
    let (mut send, mut receive) = link.open().await?;
    let question = Request::Exchange {
        manifest,
        neighbours,
    };
    send.message(&question).await?;
    match answer(&mut receive).await? {
        Answer::Exchanging => Ok((send, receive)),
        _ => Err(WireError::Unexpected {
            expected: "an exchange",
        }),
    }
}

/// Feeds the mesh of a payload and carries out what it decides.
fn tell(context: &Arc<Context>, manifest: ManifestId, input: MeshInput) {
    let (mut changed, mut invitations) = (Vec::new(), Vec::new());
    {
        let mut circles = context.exchanges.lock();
        let Some(circle) = circles.get_mut(&manifest) else {
            return;
        };
        let about = peer_of(input);
        let had = about.is_some_and(|peer| circle.mesh.contains(peer));
        circle.mesh.handle(Instant::now(), input);
        while let Some(action) = circle.mesh.poll_action() {
            match action {
                // That an exchange is still in force is told by its stream; and who only serves hears of nobody's end,
                // so that it would invite those who need nothing any more.
                MeshAction::Invite { peer, .. }
                    if circle.open.contains_key(&peer) || !circle.fetches => {}
                MeshAction::Invite { peer, neighbours } => invitations.push((peer, neighbours)),
                MeshAction::Part { peer } => {
                    circle.part(peer);
                    changed.push(peer);
                }
                // Whoever was invited looks at the mesh for the answer.
                _ => {}
            }
        }
        if let Some(peer) = about
            && circle.mesh.contains(peer) != had
        {
            changed.push(peer);
            if had {
                circle.part(peer);
            }
        }
    }
    for (peer, neighbours) in invitations {
        tokio::spawn(invite(context.clone(), manifest, peer, neighbours));
    }
    if !changed.is_empty() {
        let ticks = &context.exchanges.0.changed;
        ticks.send_modify(|tick| *tick = tick.wrapping_add(1));
    }
    for peer in changed {
        context.tell_news(News::Exchange(peer, manifest));
    }
}

/// Whom it is about.
fn peer_of(input: MeshInput) -> Option<PeerId> {
    match input {
        MeshInput::Known { peer, .. }
        | MeshInput::Gone { peer }
        | MeshInput::Invited { peer, .. }
        | MeshInput::Accepted { peer }
        | MeshInput::Declined { peer }
        | MeshInput::Parted { peer } => Some(peer),
        _ => None,
    }
}

// # A download's part

/// A download's part in the exchange of its payload. Dropped before [`finish`](Self::finish) it ends every exchange.
#[derive(Debug)]
#[must_use = "dropped, it ends every exchange"]
pub(crate) struct Membership {
    context: Arc<Context>,
    manifest: ManifestId,
    looking: AbortHandle,
    finished: bool,
}

impl Membership {
    /// Begins to exchange a payload with some of those who offer it.
    pub(crate) fn begin(context: &Arc<Context>, manifest: ManifestId) -> Self {
        let circle = Circle::new(context, true);
        let before = context.exchanges.lock().insert(manifest, circle);
        before.into_iter().for_each(Circle::end);
        let looking = tokio::spawn(look_around(context.clone(), manifest));
        Self {
            context: context.clone(),
            manifest,
            looking: looking.abort_handle(),
            finished: false,
        }
    }

    /// Everything is here: it stays for those who still fetch.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let exchanges = &self.context.exchanges;
        if self.finished {
            if let Some(circle) = exchanges.lock().get_mut(&self.manifest) {
                circle.fetches = false;
            }
            tell(&self.context, self.manifest, MeshInput::Finished);
        } else {
            self.looking.abort();
            let circle = exchanges.lock().remove(&self.manifest);
            circle.into_iter().for_each(Circle::end);
        }
    }
}

/// Tells the mesh of a payload who offers it, until nobody exchanges it any more.
async fn look_around(context: Arc<Context>, manifest: ManifestId) {
    let mut news = context.news.subscribe();
    look_at_everyone(&context, manifest);
    while context.exchanges.is_exchanged(manifest) {
        let deadline = context.exchanges.next_deadline(manifest);
        tokio::select! {
            news = news.recv() => match news {
                Ok(News::Games(peer) | News::Left(peer)) => look_at(&context, manifest, peer),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => look_at_everyone(&context, manifest),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = until(deadline) => tell(&context, manifest, MeshInput::Tick),
            () = context.cancel.cancelled() => return,
        }
        context.exchanges.forget_if_empty(manifest);
    }
}

fn look_at_everyone(context: &Arc<Context>, manifest: ManifestId) {
    let known = context.exchanges.neighbours(manifest).into_iter();
    let holders = context.game_db.holders(manifest).into_iter();
    for peer in known.chain(holders.map(|(peer, _)| peer)) {
        look_at(context, manifest, peer);
    }
}

/// Tells the mesh whether a peer offers the payload.
fn look_at(context: &Arc<Context>, manifest: ManifestId, peer: PeerId) {
    let input = match context.game_db.held_by(peer, manifest) {
        Some(held) => MeshInput::Known {
            peer,
            near: context.is_near(peer),
            complete: held == Held::All,
        },
        None => MeshInput::Gone { peer },
    };
    tell(context, manifest, input);
}
