//! The senders' side of the room: slots, queues, and what goes over a wire.

use lanspread_proto::ChunkRun;

use super::{
    events::Event,
    host::{Character, Job, Wire},
    scenario::Hints,
    units,
    world::{SOURCE, World},
};
use crate::{Input, RequestId, RunFailure};

/// With so many others that a source serves with what it has sent to nobody, its wire is full of that.
const FIRSTS_MIN: usize = 2;

/// For so long a source says of a chunk that it is on its way.
const LATELY: std::time::Duration = std::time::Duration::from_secs(1);

impl Wire {
    /// Nothing on it.
    pub(super) fn new(src: u32, dst: u32) -> Self {
        Self {
            src,
            dst,
            version: 0,
            coming: std::collections::VecDeque::new(),
            jobs: std::collections::VecDeque::new(),
            transfer: None,
            queued: false,
            reported: 0,
        }
    }
}

impl World<'_> {
    // # Requests

    pub(super) fn asked(&mut self, wire: u32, request: RequestId) {
        let at = wire as usize;
        let coming = &mut self.wires[at].coming;
        let Some(nth) = coming.iter().position(|job| job.request == request) else {
            return;
        };
        let Some(job) = coming.remove(nth) else {
            return;
        };
        let src = self.wires[at].src as usize;
        if self.hosts[src].character == Character::Stalls {
            self.wires[at].jobs.push_back(job);
            return;
        }
        if let Some(out) = self.refuses(wire, &job) {
            return self.refuse(wire, &job, out);
        }
        let job = self.note_sent(wire, job);
        self.wires[at].jobs.push_back(job);
        if self.wires[at].transfer.is_none() && !self.wires[at].queued {
            self.hosts[src].queue.push_back(wire);
            self.wires[at].queued = true;
            self.fill_slots(src);
        }
    }

    /// Whether a source would rather send what nobody has; gives what is on its way. The first chunk
    /// decides: who is refused knows then that it is out, and asks for another run next.
    fn refuses(&self, wire: u32, job: &Job) -> Option<Vec<ChunkRun>> {
        let Wire { src, dst, .. } = self.wires[wire as usize];
        let ledger = self.hosts[src as usize].ledger.as_ref()?;
        if self.scenario.manner.hints != Hints::Source {
            return None;
        }
        let sent = |chunk: u32| ledger.first[chunk as usize].is_some_and(|first| first != dst);
        let others = ledger.firsts.keys().filter(|other| **other != wire).count();
        if others < FIRSTS_MIN || !sent(job.chunks.start) {
            return None;
        }
        let mut out: Vec<u32> = ledger.lately.iter().map(|(_, chunk)| *chunk).collect();
        out.extend(job.chunks.clone().filter(|chunk| sent(*chunk)));
        out.sort_unstable();
        out.dedup();
        Some(self.runs(&out))
    }

    fn refuse(&mut self, wire: u32, job: &Job, out: Vec<ChunkRun>) {
        let dst = self.wires[wire as usize].dst;
        let request = job.request;
        self.hosts[dst as usize].requests.remove(&request);
        self.feed(dst, Input::Expected { chunks: out });
        let reason = RunFailure::Elsewhere;
        self.feed(dst, Input::RequestFailed { request, reason });
    }

    fn note_sent(&mut self, wire: u32, mut job: Job) -> Job {
        let Wire { src, dst, .. } = self.wires[wire as usize];
        let now = self.now;
        let Some(ledger) = &mut self.hosts[src as usize].ledger else {
            return job;
        };
        while ledger
            .lately
            .front()
            .is_some_and(|(at, _)| *at + LATELY < now)
        {
            ledger.lately.pop_front();
        }
        for chunk in job.chunks.clone() {
            if ledger.first[chunk as usize].is_none() {
                ledger.first[chunk as usize] = Some(dst);
                ledger.lately.push_back((now, chunk));
                job.first = true;
            }
        }
        if job.first {
            *ledger.firsts.entry(wire).or_default() += 1;
        }
        job
    }

    /// A job is over, one way or another.
    fn over(&mut self, wire: u32, job: &Job) {
        let src = self.wires[wire as usize].src as usize;
        if let Some(ledger) = &mut self.hosts[src].ledger
            && job.first
            && let Some(count) = ledger.firsts.get_mut(&wire)
        {
            *count -= 1;
            if *count == 0 {
                ledger.firsts.remove(&wire);
            }
        }
    }

    /// A receiver no longer wants a request.
    pub(super) fn withdraw(&mut self, wire: u32, request: RequestId) {
        let at = wire as usize;
        self.wires[at].coming.retain(|job| job.request != request);
        let jobs = &mut self.wires[at].jobs;
        if let Some(nth) = jobs.iter().position(|job| job.request == request)
            && let Some(job) = jobs.remove(nth)
        {
            self.over(wire, &job);
            self.give_back(wire, &job);
            if nth == 0 {
                self.next_job(wire);
            }
        }
    }

    /// What a cancelled job did not bring may go to another as if for the first time.
    fn give_back(&mut self, wire: u32, job: &Job) {
        let Wire { src, dst, .. } = self.wires[wire as usize];
        if let Some(ledger) = &mut self.hosts[src as usize].ledger {
            for chunk in job.chunks.clone() {
                let first = &mut ledger.first[chunk as usize];
                if *first == Some(dst) {
                    *first = None;
                }
            }
        }
    }

    /// A wire is no more.
    pub(super) fn cut(&mut self, wire: u32) {
        let at = wire as usize;
        self.wires[at].coming.clear();
        for job in std::mem::take(&mut self.wires[at].jobs) {
            self.over(wire, &job);
        }
        let src = self.wires[at].src as usize;
        self.hosts[src].queue.retain(|other| *other != wire);
        self.release(wire);
        self.fill_slots(src);
    }

    // # Slots

    fn fill_slots(&mut self, src: usize) {
        while self.hosts[src].busy_slots < self.scenario.manner.slots
            && let Some(wire) = self.hosts[src].queue.pop_front()
        {
            self.wires[wire as usize].queued = false;
            if self.wires[wire as usize].jobs.is_empty() {
                continue;
            }
            self.hosts[src].busy_slots += 1;
            let (from, to) = (self.wires[wire as usize].src, self.wires[wire as usize].dst);
            let way = self.way(from, to);
            let bytes = self.piece_bytes(wire, true);
            let transfer = self.network.start(self.now, wire, &way, bytes);
            self.wires[wire as usize].transfer = Some(transfer);
            self.wires[wire as usize].reported = 0;
        }
    }

    fn release(&mut self, wire: u32) {
        let at = wire as usize;
        self.wires[at].version += 1;
        if let Some(transfer) = self.wires[at].transfer.take() {
            self.network.stop(transfer);
            let src = self.wires[at].src as usize;
            self.hosts[src].busy_slots -= 1;
        }
    }

    /// A wire's first job has ended: the next one begins, or whoever has waited longest has its turn.
    fn next_job(&mut self, wire: u32) {
        let at = wire as usize;
        let src = self.wires[at].src as usize;
        let Some(transfer) = self.wires[at].transfer else {
            return;
        };
        if !self.wires[at].jobs.is_empty() && self.hosts[src].queue.is_empty() {
            let bytes = self.piece_bytes(wire, true);
            self.wires[at].reported = 0;
            self.network.next_piece(self.now, transfer, bytes);
            self.schedule_flow(wire);
            return;
        }
        self.release(wire);
        if !self.wires[at].jobs.is_empty() {
            self.hosts[src].queue.push_back(wire);
            self.wires[at].queued = true;
        }
        self.fill_slots(src);
    }

    // # Bytes

    /// The bytes of a wire's current chunk, and of the request's overhead before the first.
    fn piece_bytes(&self, wire: u32, begins: bool) -> f64 {
        let chunk = self.wires[wire as usize]
            .jobs
            .front()
            .map(|job| job.chunks.start);
        let bytes = chunk.and_then(|chunk| self.map.check(chunk));
        let bytes = bytes.map_or(0, |chunk| self.map.chunk_bytes(chunk));
        let room = &self.scenario.room;
        let link = units::fraction(room.link / self.scenario.coarse.max(1));
        let overhead = room.request_overhead.as_secs_f64() * link;
        f64::from(bytes) + if begins { overhead } else { 0.0 }
    }

    pub(super) fn schedule_flow(&mut self, wire: u32) {
        let at = wire as usize;
        if let Some(transfer) = self.wires[at].transfer {
            self.wires[at].version += 1;
            let version = self.wires[at].version;
            let after = self
                .network
                .complete_in(transfer)
                .min(Self::report_interval());
            self.events
                .at(self.now + after, Event::Flow { wire, version });
        }
    }

    pub(super) fn flow(&mut self, wire: u32, version: u32) {
        let at = wire as usize;
        if self.wires[at].version != version {
            return;
        }
        let Some(transfer) = self.wires[at].transfer else {
            return;
        };
        let left = self.network.left(self.now, transfer);
        if left < 0.5 {
            return self.deliver(wire);
        }
        self.schedule_flow(wire);
        let arrived = units::whole(self.piece_bytes(wire, false) - left);
        let fresh = arrived.saturating_sub(self.wires[at].reported);
        self.wires[at].reported += fresh;
        let dst = self.wires[at].dst;
        let job = self.wires[at].jobs.front().map(|job| job.request);
        if let Some(request) = job.filter(|_| fresh > 0) {
            self.feed(
                dst,
                Input::BytesArrived {
                    request,
                    bytes: fresh,
                },
            );
        }
    }

    /// A wire's current chunk is complete.
    fn deliver(&mut self, wire: u32) {
        let at = wire as usize;
        let (src, dst) = (self.wires[at].src, self.wires[at].dst);
        let Some(job) = self.wires[at].jobs.front_mut() else {
            return;
        };
        let (request, number) = (job.request, job.chunks.start);
        job.chunks.start += 1;
        let ended = job.chunks.is_empty().then(|| job.clone());
        if let Some(job) = &ended {
            self.wires[at].jobs.pop_front();
            self.over(wire, job);
            self.next_job(wire);
        } else if let Some(transfer) = self.wires[at].transfer {
            let bytes = self.piece_bytes(wire, false);
            self.wires[at].reported = 0;
            self.network.next_piece(self.now, transfer, bytes);
            self.schedule_flow(wire);
        }
        let Some(chunk) = self.map.check(number) else {
            return;
        };
        let bytes = u64::from(self.map.chunk_bytes(chunk));
        self.sent(src, dst, bytes);
        if self.hosts[src as usize].character == Character::Lies {
            self.wrong_bytes += bytes;
            self.feed(dst, Input::ChunkRejected { request, chunk });
        } else {
            self.feed(dst, Input::ChunkArrived { request, chunk });
            self.arrived(dst, number);
        }
        if ended.is_some() && self.hosts[dst as usize].requests.remove(&request).is_some() {
            self.feed(dst, Input::RequestFinished { request });
        }
        self.source_sent(src, number);
    }

    fn source_sent(&mut self, src: u32, chunk: u32) {
        if src != SOURCE {
            return;
        }
        let (map, ledger) = (&self.map, &mut self.hosts[src as usize].ledger);
        if let (Some(chunk), Some(ledger)) = (map.check(chunk), ledger)
            && ledger.sent.insert(chunk)
            && ledger.sent.is_full()
            && self.scenario.trouble.source_leaves
        {
            self.events.at(self.now, Event::Leave { host: src });
        }
    }
}
