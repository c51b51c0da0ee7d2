//! The senders' side of the room: slots, queues, and what goes over a wire.

use std::ops::Range;

use super::{
    events::Event,
    host::{Character, Job, Wire},
    scenario::Hints,
    units,
    world::{SOURCE, World},
};
use crate::{Input, RequestId, RunFailure};

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
        let Some(job) = self.admit(wire, job) else {
            return;
        };
        self.wires[at].jobs.push_back(job);
        if self.wires[at].transfer.is_none() && !self.wires[at].queued {
            self.hosts[src].queue.push_back(wire);
            self.wires[at].queued = true;
            self.fill_slots(src);
        }
    }

    /// A source may refuse what it would rather not send now; then the job is over.
    fn admit(&mut self, wire: u32, mut job: Job) -> Option<Job> {
        let Wire { src, dst, .. } = self.wires[wire as usize];
        let now = self.epoch + self.now;
        let hints = self.scenario.manner.hints;
        let Some(ledger) = &mut self.hosts[src as usize].ledger else {
            return Some(job);
        };
        if hints != Hints::Source {
            return Some(job);
        }
        match ledger.firsts.admit(now, dst, job.chunks.clone()) {
            Ok(admitted) => {
                job.admitted = Some(admitted);
                Some(job)
            }
            Err(out) => {
                self.refuse(dst, job.request, out);
                None
            }
        }
    }

    fn refuse(&mut self, dst: u32, request: RequestId, out: Vec<Range<u32>>) {
        self.hosts[dst as usize].requests.remove(&request);
        let chunks = out.into_iter().filter_map(|run| self.run_of(run)).collect();
        self.feed(dst, Input::Expected { chunks });
        let reason = RunFailure::Elsewhere;
        self.feed(dst, Input::RequestFailed { request, reason });
    }

    /// A job is over; what is left of it did not go out.
    fn over(&mut self, wire: u32, job: &Job) {
        let src = self.wires[wire as usize].src as usize;
        if let (Some(ledger), Some(admitted)) = (&mut self.hosts[src].ledger, &job.admitted) {
            ledger.firsts.ended(admitted.clone(), job.chunks.clone());
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
            if nth == 0 {
                self.next_job(wire);
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
        let Wire { src, dst, .. } = self.wires[at];
        let src = src as usize;
        if let Some(ledger) = &mut self.hosts[src].ledger {
            ledger.firsts.left(dst);
        }
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
        let link = units::fraction(self.scenario.payload_rate(room.link));
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
