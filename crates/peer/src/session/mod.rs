//! One remote peer, from its introduction to its end.
//!
//! A session owns its connection: it answers the streams that the peer opens, follows the peer's
//! pushes, and tells everyone when the peer comes and goes. All of its tasks end with it.

mod ask;
mod follow;
mod liveness;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lanspread_proto::{
    PeerId, limits,
    message::{FEATURE_LANES, Hello, KnownPeer},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub(crate) use ask::{answer, fetch_manifest, request, request_bulk};
pub(crate) use follow::check_runs;
pub(crate) use liveness::run_ping_service;

use crate::{
    context::{Context, News},
    event::{LeaveReason, PeerEvent},
    links::{Admitted, Serial},
    serve,
    shelf::cut_name,
    transport::{CloseCode, Link, LinkClosed, LinkStreams},
};

/// A connection that takes the place of another introduces itself within this.
const REPLACEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two looks whether it has.
const REPLACEMENT_LOOK: Duration = Duration::from_millis(20);

/// What a session tells whoever decides about dialling.
#[derive(Debug)]
pub(crate) enum SessionNews {
    /// A peer is connected, by a connection that took the place of `replaced`.
    Joined {
        peer: PeerId,
        addr: SocketAddr,
        serial: Serial,
        dialled: bool,
        replaced: Option<Serial>,
    },
    /// A peer is not connected any more.
    Left {
        peer: PeerId,
        serial: Serial,
        closed: LinkClosed,
    },
    /// A peer answered a ping.
    Pong { serial: Serial, rtt: Duration },
    /// A peer knows these others.
    Heard(Vec<KnownPeer>),
}

/// Starts sessions and keeps count of them. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    context: Arc<Context>,
    news: mpsc::Sender<SessionNews>,
    running: TaskTracker,
}

impl Sessions {
    pub(crate) fn new(context: Arc<Context>, news: mpsc::Sender<SessionNews>) -> Self {
        Self {
            context,
            news,
            running: TaskTracker::new(),
        }
    }

    /// Runs a connection until it ends. Its peer counts as connected only once it has introduced itself.
    pub(crate) fn start(&self, link: Link, streams: LinkStreams) {
        let span = tracing::info_span!("session", peer = %link.peer.short());
        let session = Session {
            context: self.context.clone(),
            link,
            news: self.news.clone(),
            tasks: JoinSet::new(),
            call: 0,
        };
        self.running.spawn(session.run(streams).instrument(span));
    }

    /// Asks one peer, any, whom it knows; the answer comes as [`SessionNews::Heard`].
    pub(crate) fn ask_around(&self) {
        let Some(link) = self.context.links.any() else {
            return;
        };
        let news = self.news.clone();
        self.running.spawn(async move {
            match ask::known_peers(&link).await {
                // A closed channel means that the peer is shutting down.
                Ok(peers) => drop(news.send(SessionNews::Heard(peers)).await),
                Err(error) => tracing::debug!(peer = %link.peer.short(), %error, "nothing was heard of others"),
            }
        });
    }

    /// Waits until every session has ended; no new one is waited for.
    pub(crate) async fn ended(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

struct Session {
    context: Arc<Context>,
    link: Link,
    news: mpsc::Sender<SessionNews>,
    tasks: JoinSet<()>,
    /// The number of our call; 0 when we were called.
    call: u64,
}

/// A peer that has introduced itself.
struct Member {
    serial: Serial,
    name: String,
}

impl Session {
    async fn run(mut self, mut streams: LinkStreams) {
        if self.link.peer == self.context.id {
            self.link.close(CloseCode::WrongPeer);
            return;
        }
        let (introduced, mut hello) = watch::channel(None);
        if self.link.dialled {
            self.call = self.context.next_call();
            let ours = self.context.hello(self.call);
            let (link, introduced) = (self.link.clone(), introduced.clone());
            self.tasks
                .spawn(async move { ask::introduce(&link, ours, &introduced).await });
        }
        let closed = match self
            .until_introduced(&mut streams, &introduced, &mut hello)
            .await
        {
            Ok(hello) => match self.admit(&hello) {
                Some(member) => {
                    let closed = self.serve(&mut streams, &introduced).await;
                    self.leave(member, closed).await;
                    closed
                }
                None => LinkClosed::Duplicate,
            },
            Err(closed) => closed,
        };
        tracing::debug!(%closed, "session ended");
    }

    /// Answers streams until the peer has introduced itself.
    async fn until_introduced(
        &mut self,
        streams: &mut LinkStreams,
        introduced: &watch::Sender<Option<Hello>>,
        hello: &mut watch::Receiver<Option<Hello>>,
    ) -> Result<Hello, LinkClosed> {
        let context = self.context.clone();
        let waiting = async {
            loop {
                tokio::select! {
                    () = context.cancel.cancelled() => {
                        self.link.close(CloseCode::Goodbye);
                        return Err(LinkClosed::Goodbye);
                    }
                    found = hello.wait_for(Option::is_some) => {
                        return found.ok().and_then(|hello| hello.clone()).ok_or(LinkClosed::Lost);
                    }
                    stream = streams.next() => {
                        let stream = stream?;
                        self.tasks.spawn(serve::answer(
                            self.context.clone(), self.link.clone(), stream, introduced.clone(),
                        ));
                    }
                }
            }
        };
        let hello = timeout(limits::FIRST_FRAME_TIMEOUT * 2, waiting).await;
        hello.unwrap_or_else(|_| {
            self.link.close(CloseCode::Protocol);
            Err(LinkClosed::TimedOut)
        })
    }

    /// Takes the peer in and starts following it; `None` when another connection to it stays.
    fn admit(&mut self, hello: &Hello) -> Option<Member> {
        let name = cut_name(&hello.name);
        let addr = SocketAddr::new(self.link.remote.ip(), hello.listen_port);
        let peer = self.link.peer;
        let context = &self.context;
        let call = if self.link.dialled {
            self.call
        } else {
            hello.call
        };
        if hello
            .features
            .iter()
            .any(|feature| feature == FEATURE_LANES)
        {
            self.link.lanes.lead_to(addr);
        }
        let entered = || {
            let group = hello.group.clone();
            context.game_db.joined(peer, name.clone(), addr, group);
        };
        let (serial, replaced) = match context.links.admit(&self.link, call, hello, entered) {
            Admitted::Joined(serial) => (serial, None),
            Admitted::Replaced { new, old } => (new, Some(old)),
            Admitted::Duplicate => {
                self.link.close(CloseCode::Duplicate);
                return None;
            }
        };
        let context = self.context.clone();
        let (link, news) = (self.link.clone(), self.news.clone());
        let follower = follow::Follower {
            context: context.clone(),
            link: link.clone(),
            serial,
            name: name.clone(),
            addr,
        };
        self.tasks.spawn(follower.follow());
        let dialled = link.dialled;
        self.tasks.spawn(async move {
            // A closed channel means that the peer is shutting down.
            let joined = SessionNews::Joined {
                peer,
                addr,
                serial,
                dialled,
                replaced,
            };
            let _ = news.send(joined).await;
            liveness::measure(&context, &link, serial, &news).await;
            if let Ok(peers) = ask::known_peers(&link).await {
                let _ = news.send(SessionNews::Heard(peers)).await;
            }
        });
        Some(Member { serial, name })
    }

    /// Answers streams until the connection ends.
    async fn serve(
        &mut self,
        streams: &mut LinkStreams,
        introduced: &watch::Sender<Option<Hello>>,
    ) -> LinkClosed {
        let context = self.context.clone();
        loop {
            tokio::select! {
                // Also a connection that came in while the others were told goodbye.
                () = context.cancel.cancelled() => {
                    self.link.close(CloseCode::Goodbye);
                    return LinkClosed::Goodbye;
                }
                stream = streams.next() => match stream {
                    Ok(stream) => {
                        self.tasks.spawn(serve::answer(
                            self.context.clone(), self.link.clone(), stream, introduced.clone(),
                        ).in_current_span());
                    }
                    Err(closed) => return closed,
                },
                // Reaps what has ended; a session without tasks has nothing to reap.
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// The peer keeps another connection to us, which may still be introducing itself: until then the
    /// peer has not left, and what it serves is known.
    async fn until_replaced(&self, serial: Serial) {
        let replaced = async {
            let mut looks = interval(REPLACEMENT_LOOK);
            while self.context.links.by_serial(serial).is_some() {
                looks.tick().await;
            }
        };
        // Without a replacement the peer leaves like any other.
        let _ = timeout(REPLACEMENT_TIMEOUT, replaced).await;
    }

    async fn leave(&mut self, member: Member, closed: LinkClosed) {
        let peer = self.link.peer;
        self.tasks.shutdown().await;
        if closed == LinkClosed::Duplicate {
            self.until_replaced(member.serial).await;
        }
        let reason = match closed {
            LinkClosed::Goodbye => LeaveReason::Goodbye,
            LinkClosed::TimedOut => LeaveReason::TimedOut,
            _ => LeaveReason::ConnectionLost,
        };
        let context = &self.context;
        let left = |told| {
            context.game_db.left(peer);
            context.firsts.left(peer);
            context.tell_news(News::Left(peer));
            tracing::info!(%closed, name = member.name, "peer left");
            if told {
                context.events.tell(PeerEvent::PeerLeft {
                    peer,
                    name: member.name,
                    reason,
                });
            }
        };
        if !context.links.remove(peer, member.serial, left) {
            return;
        }
        self.context.games_changed();
        let _ = self
            .news
            .send(SessionNews::Left {
                peer,
                serial: member.serial,
                closed,
            })
            .await;
    }
}
