//! A machine that alone has a payload sends every byte once before it sends any twice.
//!
//! [`FirstCopies`] has the rule. Here is what it works on: one of them for each payload that is being sent, told of
//! every run that begins and ends, however it ends, and of every peer that goes.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lanspread_library::LocalPayload;
use lanspread_proto::{ChunkRun, ManifestId, PeerId};
use lanspread_swarm::{AdmittedRun, FirstCopies};

/// A payload that nobody has asked for so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// Every payload that is being sent. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Firsts(Arc<Mutex<HashMap<ManifestId, Payload>>>);

#[derive(Debug)]
struct Payload {
    copies: FirstCopies<PeerId>,
    asked: Instant,
}

/// A run on its way to a peer; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the run is on its way only while this lives"]
pub(super) struct SendingRun {
    firsts: Firsts,
    payload: Arc<LocalPayload>,
    admitted: Option<AdmittedRun<PeerId>>,
    /// Chunk numbers.
    run: Range<u32>,
    sent_bytes: u64,
}

impl Firsts {
    /// Notes a run that `peer` is about to be sent.
    ///
    /// # Errors
    /// The chunks that others are sent first, if something else should be sent now: each run of them as its
    /// first number and its count, in order.
    pub(super) fn admit(
        &self,
        now: Instant,
        peer: PeerId,
        payload: &Arc<LocalPayload>,
        run: ChunkRun,
    ) -> Result<SendingRun, Vec<(u32, u32)>> {
        let mut payloads = self.lock();
        payloads.retain(|_, payload| {
            let idle = now.saturating_duration_since(payload.asked);
            idle < FORGOTTEN_AFTER || !payload.copies.is_idle()
        });
        let known = payloads.entry(payload.id()).or_insert_with(|| Payload {
            copies: FirstCopies::new(payload.map().count()),
            asked: now,
        });
        known.asked = now;
        let first = run.first().get();
        let run = first..first + run.count();
        let admitted = known.copies.admit(now, peer, run.clone());
        let admitted = admitted.map_err(|out| {
            out.into_iter()
                .map(|run| (run.start, run.end - run.start))
                .collect::<Vec<_>>()
        })?;
        Ok(SendingRun {
            firsts: self.clone(),
            payload: Arc::clone(payload),
            admitted: Some(admitted),
            run,
            sent_bytes: 0,
        })
    }

    /// What a peer that is gone was sent first, nobody has been sent.
    pub(crate) fn left(&self, peer: PeerId) {
        for payload in self.lock().values_mut() {
            payload.copies.left(peer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ManifestId, Payload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SendingRun {
    /// So many more bytes of it went out.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    /// The chunks of which not every byte went out.
    fn unsent(&self) -> Range<u32> {
        let map = self.payload.map();
        let mut sent = self.sent_bytes;
        let whole = self.run.clone().map_while(|chunk| {
            let bytes = map.chunk_bytes(map.check(chunk)?);
            sent = sent.checked_sub(bytes.into())?;
            Some(chunk + 1)
        });
        whole.last().unwrap_or(self.run.start)..self.run.end
    }
}

impl Drop for SendingRun {
    fn drop(&mut self) {
        let unsent = self.unsent();
        let mut payloads = self.firsts.lock();
        if let Some(payload) = payloads.get_mut(&self.payload.id())
            && let Some(admitted) = self.admitted.take()
        {
            payload.copies.ended(admitted, unsent);
        }
    }
}
