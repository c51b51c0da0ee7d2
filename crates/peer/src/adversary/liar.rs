//! A server that answers what it likes.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lanspread_proto::{
    limits,
    message::{self, Answer, FEATURE_LANES, Hello, Push, Refusal, RefusalCode, Request},
};
use tokio::{task::JoinSet, time::interval};

use super::{Adversary, Wares, framed, hello};
use crate::transport::{LaneListener, Link, LinkStreams, RecvHalf, ResetCode, SendHalf, WireError};

/// Between two bytes, or two frames, of one that drips.
const DRIP: Duration = Duration::from_millis(500);

/// How it answers a request for chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunLie {
    /// As it should.
    None,
    /// One byte short, and finished as if that were all.
    Fewer,
    /// One byte too many.
    More,
    /// Another length in the header.
    DeclaresMore,
    /// One wrong byte in each chunk.
    Wrong,
    /// A reset in the middle.
    Resets,
    /// Nothing more after the header.
    StallsFirst,
    /// Nothing more after half of it.
    StallsMiddle,
    /// Nothing more before the last byte.
    StallsLast,
    /// Not even a header.
    Silent,
    /// A byte now and then.
    Drips,
    /// It does not have what it announced.
    Lacks,
}

/// What it does with an exchange that it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeLie {
    /// Nothing wrong.
    None,
    /// Says no.
    Declines,
    /// Says nothing.
    Silent,
    /// Says yes and ends it.
    Ends,
}

/// How its answer to a request for a streamed install ends, after everything that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// As a stream should.
    Finished,
    /// With a reset.
    Reset,
    /// Not at all.
    Never,
}

/// Everything that it says unasked or asked, apart from what every peer says.
pub(super) struct Lies {
    pub(super) wares: Wares,
    /// The frames of its subscription, after the first.
    pub(super) pushes: Vec<Bytes>,
    /// The frames and bytes of its answer to `GetGame`.
    pub(super) manifest: Vec<Bytes>,
    /// Whether the frames of the manifest come slowly, and never end.
    pub(super) manifest_drips: bool,
    pub(super) runs: RunLie,
    pub(super) exchanges: ExchangeLie,
    /// How it answers requests for chunks over lanes, if it takes any.
    pub(super) lanes: Option<RunLie>,
    /// The frames and bytes of its answer to `StreamInstall`, and what comes after them.
    pub(super) expanded: (Vec<Bytes>, StreamEnd),
}

impl Lies {
    /// No lie yet.
    pub(super) fn none(wares: &Wares) -> Self {
        Self {
            wares: wares.clone(),
            pushes: vec![announcing(vec![wares.summary()])],
            manifest: manifest_of(wares),
            manifest_drips: false,
            runs: RunLie::None,
            exchanges: ExchangeLie::None,
            lanes: None,
            expanded: (Vec::new(), StreamEnd::Finished),
        }
    }

    pub(super) fn runs(mut self, lie: RunLie) -> Self {
        self.runs = lie;
        self
    }

    pub(super) fn exchanges(mut self, lie: ExchangeLie) -> Self {
        self.exchanges = lie;
        self
    }

    pub(super) fn over_lanes(mut self, lie: RunLie) -> Self {
        self.lanes = Some(lie);
        self
    }

    pub(super) fn manifest(mut self, frames: Vec<Bytes>) -> Self {
        self.manifest = frames;
        self
    }

    pub(super) fn pushes(mut self, frames: Vec<Bytes>) -> Self {
        self.pushes = frames;
        self
    }

    pub(super) fn expanded(mut self, frames: Vec<Bytes>, end: StreamEnd) -> Self {
        self.expanded = (frames, end);
        self
    }

    /// Starts telling them.
    pub(super) fn tell(self) -> Liar {
        self.tell_as(Adversary::new())
    }

    /// Tells them on a connection that this side has dialled.
    pub(super) fn tell_on(self, link: Link, streams: LinkStreams) -> JoinSet<()> {
        let teller = Arc::new(Teller {
            lies: self,
            asked: Arc::default(),
            asked_over_lanes: Arc::default(),
            port: 1,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(teller.connected(link, streams));
        tasks
    }

    pub(super) fn tell_as(self, adversary: Adversary) -> Liar {
        let addr = adversary.endpoint.listen_addr();
        let asked = Arc::new(AtomicUsize::new(0));
        let asked_over_lanes = Arc::new(AtomicUsize::new(0));
        let teller = Arc::new(Teller {
            lies: self,
            asked: asked.clone(),
            asked_over_lanes: asked_over_lanes.clone(),
            port: addr.port(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(teller.serve(adversary));
        Liar {
            addr,
            asked,
            asked_over_lanes,
            _tasks: tasks,
        }
    }
}

/// A liar at work; it stops when this is dropped.
pub(super) struct Liar {
    pub(super) addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    asked_over_lanes: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Liar {
    /// How many runs of chunks it was asked for over lanes.
    pub(super) fn asked_over_lanes(&self) -> usize {
        self.asked_over_lanes.load(Ordering::Relaxed)
    }

    /// How many runs of chunks and streamed installs it was asked for, other than over lanes.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The frames of an honest manifest.
pub(super) fn manifest_of(wares: &Wares) -> Vec<Bytes> {
    let payload = &wares.payload;
    let (header, pages) = message::paginate(&wares.game, payload.id(), payload.manifest());
    let mut frames = vec![framed(&Answer::Game(header))];
    frames.extend(
        pages
            .into_iter()
            .map(|page| framed(&Answer::GamePage(page))),
    );
    frames.push(message::hashes_to_bytes(payload.chunk_hashes()).into());
    frames
}

/// The push that announces these games and no others.
pub(super) fn announcing(games: Vec<message::GameSummary>) -> Bytes {
    framed(&Push::Games {
        revision: 1,
        reset: true,
        upserted: games,
        removed: Vec::new(),
    })
}

struct Teller {
    lies: Lies,
    asked: Arc<AtomicUsize>,
    asked_over_lanes: Arc<AtomicUsize>,
    port: u16,
}

impl Teller {
    async fn serve(self: Arc<Self>, mut adversary: Adversary) {
        let mut connections = JoinSet::new();
        if let (Some(lie), Some(lanes)) = (self.lies.lanes, adversary.incoming.take_lanes()) {
            connections.spawn(self.clone().serve_lanes(lie, lanes));
        }
        while let Some(caller) = adversary.incoming.accept().await {
            let teller = self.clone();
            connections.spawn(async move {
                if let Some((link, streams)) = caller.authenticate().await {
                    teller.connected(link, streams).await;
                }
            });
        }
    }

    async fn serve_lanes(self: Arc<Self>, lie: RunLie, mut listener: LaneListener) {
        let mut lanes = JoinSet::new();
        loop {
            let caller = listener.accept().await;
            let teller = self.clone();
            lanes.spawn(async move {
                let mut lane = caller.authenticate().await?;
                while let Ok(Some(Request::GetGameFileChunk { first, count, .. })) =
                    lane.request().await
                {
                    teller.asked_over_lanes.fetch_add(1, Ordering::Relaxed);
                    let (send, answering) = lane.answer();
                    let data = teller.lies.wares.run(first, count);
                    // Whoever asked may have given up on the answer, which is often the point.
                    drop(send_run(lie, data, send).await);
                    lane = answering.over().await?;
                }
                Some(())
            });
        }
    }

    async fn connected(self: Arc<Self>, _link: Link, mut streams: LinkStreams) {
        let mut answers = JoinSet::new();
        while let Ok((send, receive)) = streams.next().await {
            let teller = self.clone();
            // Whoever asked may have given up on the answer, which is often the point.
            answers.spawn(async move { drop(teller.answer(send, receive).await) });
        }
    }

    async fn answer(&self, mut send: SendHalf, mut receive: RecvHalf) -> Result<(), WireError> {
        let answer = match receive.message("request", limits::PROGRESS_TIMEOUT).await? {
            Request::Hello(_) => Answer::Hello(self.hello()),
            Request::Ping => Answer::Pong,
            Request::GetPeers => Answer::Peers { peers: Vec::new() },
            Request::Subscribe => return self.push(send).await,
            Request::Exchange { .. } => return self.exchange(send).await,
            Request::GetGame { .. } => return self.send_manifest(send).await,
            Request::GetGameFileChunk { first, count, .. } => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let data = self.lies.wares.run(first, count);
                return send_run(self.lies.runs, data, send).await;
            }
            Request::StreamInstall { .. } => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                return self.send_expanded(send).await;
            }
            _ => return Ok(()),
        };
        send.message(&answer).await?;
        send.finish()
    }

    fn hello(&self) -> Hello {
        let lanes = self.lies.lanes.map(|_| FEATURE_LANES.to_owned());
        Hello {
            features: lanes.into_iter().collect(),
            ..hello(self.port)
        }
    }

    async fn push(&self, mut send: SendHalf) -> Result<(), WireError> {
        send.message(&Answer::Subscribed).await?;
        for frame in &self.lies.pushes {
            send.bytes(frame.clone()).await?;
        }
        pending().await
    }

    async fn exchange(&self, mut send: SendHalf) -> Result<(), WireError> {
        match self.lies.exchanges {
            ExchangeLie::None => {
                send.message(&Answer::Exchanging).await?;
                pending().await
            }
            ExchangeLie::Silent => pending().await,
            ExchangeLie::Ends => {
                send.message(&Answer::Exchanging).await?;
                send.finish()
            }
            ExchangeLie::Declines => {
                let refusal = Refusal {
                    code: RefusalCode::Busy,
                    message: String::new(),
                };
                send.message(&Answer::Refused(refusal)).await?;
                send.finish()
            }
        }
    }

    async fn send_manifest(&self, mut send: SendHalf) -> Result<(), WireError> {
        let mut drip = interval(DRIP);
        for frame in &self.lies.manifest {
            if self.lies.manifest_drips {
                drip.tick().await;
            }
            send.bytes(frame.clone()).await?;
        }
        if self.lies.manifest_drips {
            pending::<()>().await;
        }
        send.finish()
    }

    async fn send_expanded(&self, mut send: SendHalf) -> Result<(), WireError> {
        send.message(&Answer::Expanding).await?;
        let (frames, end) = &self.lies.expanded;
        for frame in frames {
            send.bytes(frame.clone()).await?;
        }
        match end {
            StreamEnd::Finished => send.finish(),
            StreamEnd::Reset => {
                send.reset(ResetCode::Abandoned);
                Ok(())
            }
            StreamEnd::Never => pending().await,
        }
    }
}

async fn send_run(lie: RunLie, data: Bytes, mut send: SendHalf) -> Result<(), WireError> {
    let bytes = data.len() as u64;
    match lie {
        RunLie::Silent => return pending().await,
        RunLie::Lacks => {
            let refusal = Refusal {
                code: RefusalCode::NotHere,
                message: String::new(),
            };
            send.message(&Answer::Refused(refusal)).await?;
            return send.finish();
        }
        RunLie::DeclaresMore => send.message(&Answer::Data { bytes: bytes + 1 }).await?,
        _ => send.message(&Answer::Data { bytes }).await?,
    }
    match lie {
        RunLie::Fewer => send.bytes(data.slice(..data.len() - 1)).await?,
        RunLie::More => {
            send.bytes(data).await?;
            send.bytes(Bytes::from_static(b"!")).await?;
        }
        RunLie::Wrong => send.bytes(spoiled(&data)).await?,
        RunLie::Resets => {
            send.bytes(data.slice(..data.len() / 2)).await?;
            send.reset(ResetCode::Abandoned);
            return Ok(());
        }
        RunLie::StallsFirst => return pending().await,
        RunLie::StallsMiddle => {
            send.bytes(data.slice(..data.len() / 2)).await?;
            return pending().await;
        }
        RunLie::StallsLast => {
            send.bytes(data.slice(..data.len() - 1)).await?;
            return pending().await;
        }
        RunLie::Drips => {
            let mut drip = interval(DRIP);
            for at in 0..data.len() {
                drip.tick().await;
                send.bytes(data.slice(at..=at)).await?;
            }
        }
        _ => send.bytes(data).await?,
    }
    send.finish()
}

/// The same bytes but for one in each chunk.
fn spoiled(data: &Bytes) -> Bytes {
    let mut spoiled = data.to_vec();
    for chunk in spoiled.chunks_mut(super::MIB) {
        chunk[0] ^= 1;
    }
    spoiled.into()
}
