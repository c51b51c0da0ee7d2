//! The loop of a download: inputs into the plan, the plan's actions onto the wires.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use lanspread_disk::RealDisk;
use lanspread_install::DownloadTransaction;
use lanspread_proto::{ChunkRun, ChunkSet, ManifestId, PeerId};
use lanspread_swarm::{
    Action, Holding, Input, Member, Plan, PlanConfig, PlanFailure, RequestId, RunFailure,
};
use tokio::{
    sync::{broadcast, mpsc},
    task::AbortHandle,
};
use tokio_util::task::TaskTracker;

use super::{
    Download, Landed,
    progress::DownloadProgressTracker,
    receive::{Receiver, Report},
    store_error,
};
use crate::{
    context::{Context, News, until},
    error::OperationError,
    event::{DistrustReason, PeerEvent},
    game_db::Held,
    shelf::Partial,
};

/// Reports that requests may be ahead of the driver.
const REPORTS_BUFFERED_MAX: usize = 256;

/// Fetches every chunk that `stored` lacks. When it returns, no write is under way any more.
pub(super) async fn fly(
    download: &Download,
    partial: &Arc<Partial>,
    transaction: &Arc<DownloadTransaction<RealDisk>>,
    stored: ChunkSet,
) -> Landed {
    let (reports, inbox) = mpsc::channel(REPORTS_BUFFERED_MAX);
    let config = PlanConfig::new(seed(&download.context), partial.map.clone(), stored);
    let receiver = Arc::new(Receiver {
        context: download.context.clone(),
        partial: partial.clone(),
        transaction: transaction.clone(),
        reports,
        tasks: TaskTracker::new(),
    });
    let tasks = receiver.tasks.clone();
    let mut flight = Flight {
        download,
        manifest: partial.payload.id(),
        plan: Plan::new(Instant::now(), config),
        receiver,
        inbox,
        news: download.context.news.subscribe(),
        requests: HashMap::new(),
        tracker: DownloadProgressTracker::new(),
        holders: HashSet::new(),
        members: Arc::default(),
        contributors: HashSet::new(),
        suspects: HashSet::new(),
        stalled: false,
        landed: None,
    };
    let landed = flight.run().await;
    flight.inbox.close();
    drop(flight);
    tasks.close();
    tasks.wait().await;
    landed
}

/// Every receiver takes another way through the payload, so that receivers can serve each other.
fn seed(context: &Context) -> u64 {
    let mut seed = [0; 8];
    seed.copy_from_slice(&context.id.hash().as_bytes()[..8]);
    u64::from_be_bytes(seed) ^ context.incarnation
}

struct Flight<'a> {
    download: &'a Download,
    manifest: ManifestId,
    plan: Plan,
    receiver: Arc<Receiver>,
    inbox: mpsc::Receiver<Report>,
    news: broadcast::Receiver<News>,
    requests: HashMap<RequestId, Flying>,
    tracker: DownloadProgressTracker,
    /// The peers that the plan knows.
    holders: HashSet<PeerId>,
    /// Who offers the payload at which switch, as the plan was told.
    members: Arc<[Member]>,
    /// The peers that sent at least one good chunk.
    contributors: HashSet<PeerId>,
    /// The peers that sent at least one wrong chunk.
    suspects: HashSet<PeerId>,
    stalled: bool,
    landed: Option<Landed>,
}

/// One request under way; dropping it ends its stream.
struct Flying {
    peer: PeerId,
    task: AbortHandle,
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flight<'_> {
    async fn run(&mut self) -> Landed {
        self.drain();
        self.learn_everyone();
        loop {
            self.tell_progress();
            if let Some(landed) = self.landed.take() {
                return landed;
            }
            tokio::select! {
                biased;
                () = self.download.stops.cancel.cancelled() => return Landed::Stopped,
                () = self.download.stops.suspend.cancelled() => return Landed::Stopped,
                Some(report) = self.inbox.recv() => self.take_report(report),
                news = self.news.recv() => match news {
                    Ok(news) => self.take_news(&news),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.learn_everyone(),
                    // The context, which holds the sender, outlives every download.
                    Err(broadcast::error::RecvError::Closed) => return Landed::Stopped,
                },
                () = until(self.plan.next_deadline()) => self.handle(Input::Tick),
                () = until(Some(self.tracker.next_deadline(Instant::now()))), if self.in_motion() => {}
            }
        }
    }

    fn in_motion(&self) -> bool {
        !self.requests.is_empty()
    }

    // # Inputs

    fn handle(&mut self, input: Input) {
        if self.landed.is_none() {
            self.plan.handle(Instant::now(), input);
            self.drain();
        }
    }

    fn take_report(&mut self, report: Report) {
        match report {
            Report::Bytes { request, bytes } => self.handle(Input::BytesArrived { request, bytes }),
            Report::Batch {
                request,
                stored,
                rejected,
            } => {
                let peer = self.requests.get(&request).map(|flying| flying.peer);
                self.contributors
                    .extend(peer.filter(|_| !stored.is_empty()));
                for chunk in stored {
                    self.handle(Input::ChunkArrived { request, chunk });
                    self.handle(Input::ChunkStored { chunk });
                }
                if let Some(peer) = peer.filter(|_| !rejected.is_empty())
                    && self.suspects.insert(peer)
                {
                    self.distrust(peer, false);
                }
                for chunk in rejected {
                    let (game, chunk_number) = (&self.download.request.game, chunk.get());
                    tracing::warn!(?peer, %game, chunk_number, "a chunk came with wrong bytes");
                    self.handle(Input::ChunkRejected { request, chunk });
                }
            }
            Report::Finished { request } => {
                self.requests.remove(&request);
                self.handle(Input::RequestFinished { request });
            }
            Report::Elsewhere { request, out } => {
                self.requests.remove(&request);
                self.handle(Input::Expected { chunks: out });
                let reason = RunFailure::Elsewhere;
                self.handle(Input::RequestFailed { request, reason });
            }
            Report::Failed { request, reason } => {
                self.requests.remove(&request);
                self.handle(Input::RequestFailed { request, reason });
            }
            Report::StoreFailed(error) => {
                self.landed = Some(Landed::Failed(store_error(
                    &self.download.request.game,
                    error,
                )));
            }
        }
    }

    fn take_news(&mut self, news: &News) {
        if matches!(news, News::Games(_) | News::Left(_)) {
            self.look_at_group();
        }
        match news {
            News::Games(peer) => self.learn(*peer),
            News::Exchange(peer, manifest) if *manifest == self.manifest => self.learn(*peer),
            News::Left(peer) => self.leave(*peer),
            News::Gained(peer, manifest, runs) if *manifest == self.manifest => {
                let map = self.receiver.partial.map.clone();
                let check = |(first, count): &(u32, u32)| map.check_run(*first, *count);
                let chunks: Vec<ChunkRun> = runs.iter().filter_map(check).collect();
                self.handle(Input::PeerGained {
                    peer: *peer,
                    chunks,
                });
            }
            News::Gained(..) | News::Exchange(..) => {}
        }
    }

    /// Reads anew who has what; also after news were missed.
    fn learn_everyone(&mut self) {
        let context = &self.download.context;
        let mut holders = context.game_db.holders(self.manifest);
        holders.retain(|(peer, _)| context.exchanges.has(self.manifest, *peer));
        let still: HashSet<PeerId> = holders.iter().map(|(peer, _)| *peer).collect();
        for gone in self.holders.difference(&still).copied().collect::<Vec<_>>() {
            self.leave(gone);
        }
        for (peer, held) in holders {
            self.join(peer, held);
        }
        self.look_at_group();
    }

    /// Tells the plan who is at which switch, if the operator says where we are.
    fn look_at_group(&mut self) {
        let context = &self.download.context;
        let Some(ours) = context.group.clone() else {
            return;
        };
        let holders = context.game_db.holders(self.manifest).into_iter();
        let mut members: Vec<_> = holders
            .map(|(peer, held)| Member {
                peer,
                group: context.game_db.group_of(peer),
                lacks_some: held != Held::All,
            })
            .collect();
        members.sort_unstable();
        if *members != *self.members {
            self.members = members.into();
            self.handle(Input::Groups {
                me: context.id,
                ours,
                members: self.members.clone(),
            });
        }
    }

    fn learn(&mut self, peer: PeerId) {
        let context = &self.download.context;
        match context.game_db.held_by(peer, self.manifest) {
            Some(held) if context.exchanges.has(self.manifest, peer) => self.join(peer, held),
            _ => self.leave(peer),
        }
    }

    fn leave(&mut self, peer: PeerId) {
        if self.holders.remove(&peer) {
            self.handle(Input::PeerLeft { peer });
        }
    }

    fn join(&mut self, peer: PeerId, held: Held) {
        let has = match held {
            Held::All => Holding::Everything,
            Held::Some(chunks) => Holding::Only(chunks),
        };
        self.holders.insert(peer);
        self.handle(Input::PeerJoined { peer, has });
        if let Some(rtt) = self.download.context.game_db.rtt(peer) {
            self.handle(Input::RoundTrip { peer, rtt });
        }
    }

    // # Actions

    fn drain(&mut self) {
        while let Some(action) = self.plan.poll_action() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Request { request, peer, run } => self.request(request, peer, run),
            Action::Cancel { request } => drop(self.requests.remove(&request)),
            Action::Distrust { peer, .. } => self.distrust(peer, true),
            Action::Stalled => {
                self.stalled = true;
                let progress = self.plan.progress(Instant::now());
                self.download
                    .context
                    .events
                    .tell(PeerEvent::DownloadStalled {
                        game: self.download.request.game.clone(),
                        bytes_done: progress.stored_bytes,
                        bytes_total: progress.total_bytes,
                    });
            }
            Action::Resumed => self.stalled = false,
            Action::Failed(failure) => self.landed = Some(Landed::Failed(self.failure(&failure))),
            Action::Finished => {
                self.landed = Some(Landed::Complete {
                    peers: self.contributors.len(),
                });
            }
            // Actions of a newer plan that this driver does not know do not exist in one workspace.
            _ => {}
        }
    }

    fn distrust(&self, peer: PeerId, dropped: bool) {
        let context = &self.download.context;
        context.events.tell(PeerEvent::PeerDistrusted {
            peer: Some(peer),
            name: context.game_db.name_of(peer),
            addr: context.links.get(peer).map(|link| link.remote),
            game: Some(self.download.request.game.clone()),
            reason: DistrustReason::WrongBytes,
            dropped,
        });
    }

    fn request(&mut self, request: RequestId, peer: PeerId, run: ChunkRun) {
        let receiver = self.receiver.clone();
        let link = self.download.context.links.get(peer);
        let task = self.receiver.tasks.spawn(async move {
            match link {
                Some(link) => receiver.fetch(request, link, run).await,
                None => receiver.unreachable(request).await,
            }
        });
        self.requests.insert(
            request,
            Flying {
                peer,
                task: task.abort_handle(),
            },
        );
    }

    fn failure(&self, failure: &PlanFailure) -> OperationError {
        let game = self.download.request.game.clone();
        match failure {
            PlanFailure::AllSourcesCorrupt { .. } => OperationError::CorruptSource { game },
            other => OperationError::Fetch {
                game,
                cause: other.to_string(),
            },
        }
    }

    fn tell_progress(&mut self) {
        let now = Instant::now();
        let plan = self.plan.progress(now);
        let Some(progress) = self.tracker.update(now, plan, self.stalled) else {
            return;
        };
        self.download.progress.send_replace(progress);
        self.download
            .context
            .events
            .tell(PeerEvent::DownloadGameFilesProgress {
                game: self.download.request.game.clone(),
                bytes_done: progress.bytes_done,
                bytes_total: progress.bytes_total,
                bytes_per_second: progress.bytes_per_second,
                peers: progress.peers,
                streamed: false,
                files_done: None,
                peer: None,
            });
    }
}
