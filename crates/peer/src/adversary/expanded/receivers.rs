//! Receivers of streamed installs that ask and do not take: the source's jobs end, and an honest receiver
//! is served.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use lanspread_proto::message::Request;
use lanspread_testkit::eventually;

use super::{
    super::{Adversary, RealPeer, Wares, ask, hello, liar::Lies},
    Honest, archived, streams,
};
use crate::{
    ArchiveFile, Services, StreamInstallFrameSink, StreamInstallProvider, Totals, UnpackError,
    session,
};

/// Far more than a source serves and lets wait.
const GREEDY_REQUESTS: usize = 40;

/// Expands without an end until it is told to be honest.
#[derive(Default)]
struct Endless {
    honest: AtomicBool,
    jobs: AtomicUsize,
}

impl Endless {
    fn run(sink: &mut StreamInstallFrameSink) -> Result<(), UnpackError> {
        sink.begin(Totals::default())?;
        sink.file(&"endless".parse().unwrap(), 1 << 37, false)?;
        let zeros = vec![0; 65_536];
        loop {
            sink.data(&zeros)?;
        }
    }
}

impl StreamInstallProvider for Endless {
    fn recognises(&self, _: &ArchiveFile) -> Result<bool, UnpackError> {
        Ok(true)
    }

    fn expand(
        &self,
        archives: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        if self.honest.load(Ordering::SeqCst) {
            return Honest.expand(archives, sink);
        }
        self.jobs.fetch_add(1, Ordering::SeqCst);
        let ended = Self::run(sink);
        self.jobs.fetch_sub(1, Ordering::SeqCst);
        ended
    }
}

struct Source {
    peer: RealPeer,
    provider: Arc<Endless>,
    wares: Wares,
}

impl Source {
    async fn start() -> Self {
        let (tree, wares) = archived();
        let provider = Arc::<Endless>::default();
        let services = Services::default().with_provider(provider.clone());
        let peer = RealPeer::start_with(services, &[&tree], |_| {}).await;
        Self {
            peer,
            provider,
            wares,
        }
    }

    fn request(&self) -> Request {
        Request::StreamInstall {
            game: self.wares.game.clone(),
            manifest: self.wares.payload.id(),
        }
    }

    async fn has_jobs(&self, count: usize) {
        let jobs = || self.provider.jobs.load(Ordering::SeqCst);
        eventually("jobs", || jobs() == count).await;
    }

    /// Fails unless all of its jobs end soon and it serves an honest receiver then.
    async fn recovers(&self) {
        self.has_jobs(0).await;
        eventually("nobody served and nobody waiting", || {
            let status = self.peer.handle.status();
            status.outbound_transfers.is_empty() && status.queued_receivers.is_empty()
        })
        .await;
        self.provider.honest.store(true, Ordering::SeqCst);
        let receiver = RealPeer::knowing([self.peer.addr()]).await;
        receiver.sees(&self.wares.game, 1).await;
        streams(&receiver, &self.wares).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_reads_is_given_up() {
    let source = Source::start().await;
    let client = Adversary::new();
    let (link, streams) = client.call(&source.peer).await;
    // It behaves well otherwise, so that its connection lives.
    let answers = Lies::none(&source.wares).tell_on(link.clone(), streams);
    ask(&link, &Request::Hello(hello(1))).await.unwrap();
    let unread = session::request(&link, &source.request()).await.unwrap();
    source.has_jobs(1).await;
    source.recovers().await;
    drop((unread, answers, link));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_reset_at_once_cost_nothing() {
    let source = Source::start().await;
    let client = Adversary::new();
    let (link, _streams) = client.call(&source.peer).await;
    for _ in 0..GREEDY_REQUESTS {
        drop(session::request(&link, &source.request()).await.unwrap());
    }
    source.recovers().await;
}
