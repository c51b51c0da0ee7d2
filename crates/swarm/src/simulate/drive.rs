//! The plans' side of the room: what the driver of a download does.

use std::time::Duration;

use lanspread_proto::{ChunkRun, PeerId};

use super::{
    events::Event,
    host::{Job, host_of},
    scenario::Hints,
    units,
    world::World,
};
use crate::{Action, Input, Plan, RequestId};

impl World<'_> {
    /// Feeds a plan and carries out what it decides.
    pub(super) fn feed(&mut self, host: u32, input: Input) {
        let now = self.epoch + self.now;
        if let Some(plan) = &mut self.hosts[host as usize].plan {
            plan.handle(now, input);
            self.drain(host);
        }
    }

    pub(super) fn drain(&mut self, host: u32) {
        let at = host as usize;
        while let Some(action) = self.hosts[at].plan.as_mut().and_then(Plan::poll_action) {
            match action {
                Action::Request { request, peer, run } => self.request(host, request, peer, run),
                Action::Cancel { request } => self.cancel(host, request),
                Action::Finished => self.finished(host),
                Action::Failed(why) => panic!("receiver {host} at {:?}: {why}", self.now),
                Action::Distrust { .. } | Action::Stalled | Action::Resumed => {}
            }
        }
        let due = self.hosts[at].plan.as_ref().and_then(Plan::next_deadline);
        if let Some(due) = due.map(|due| due.saturating_duration_since(self.epoch))
            && self.hosts[at]
                .wakes_at
                .is_none_or(|wakes_at| due < wakes_at)
        {
            self.hosts[at].wakes_at = Some(due);
            self.events.at(due.max(self.now), Event::Wake { host });
        }
    }

    pub(super) fn wake(&mut self, host: u32) {
        let at = host as usize;
        if self.hosts[at]
            .wakes_at
            .is_none_or(|wakes_at| wakes_at > self.now)
        {
            return;
        }
        self.hosts[at].wakes_at = None;
        let due = self.hosts[at].plan.as_ref().and_then(Plan::next_deadline);
        if due.is_some_and(|due| due <= self.epoch + self.now) {
            self.feed(host, Input::Tick);
        } else {
            self.drain(host);
        }
    }

    fn request(&mut self, host: u32, request: RequestId, peer: PeerId, run: ChunkRun) {
        let src = host_of(peer);
        let chunks = run.first().get()..run.first().get() + run.count();
        let wire = self.hosts[src as usize].wires.get(&host).copied();
        let wire = wire.unwrap_or_else(|| panic!("{host} asks {src}, whom it does not know"));
        for chunk in run.chunks() {
            let asked = &self.hosts[src as usize].has;
            assert!(
                asked.contains(chunk),
                "{host} asks {src} for {chunk:?}, which it lacks"
            );
        }
        self.requests += 1;
        self.hosts[host as usize].requests.insert(request, wire);
        if self.scenario.manner.hints == Hints::Pushed {
            self.hosts[host as usize].asked.push(chunks.clone());
            self.announce_soon(host);
        }
        self.wires[wire as usize].coming.push_back(Job {
            request,
            chunks,
            admitted: None,
        });
        let arrives = self.now + self.scenario.room.round_trip;
        self.events.at(arrives, Event::Asked { wire, request });
    }

    fn cancel(&mut self, host: u32, request: RequestId) {
        if let Some(wire) = self.hosts[host as usize].requests.remove(&request) {
            self.withdraw(wire, request);
        }
    }

    // # Who has what

    /// A chunk has arrived whole: it goes to the disk.
    pub(super) fn arrived(&mut self, host: u32, chunk: u32) {
        let Some(disk) = self.scenario.room.disk else {
            return self.stored(host, chunk);
        };
        let bytes = self
            .map
            .check(chunk)
            .map_or(0, |chunk| self.map.chunk_bytes(chunk));
        let rate = units::fraction(self.scenario.chunked(disk));
        let begins = self.hosts[host as usize].disk_free_at.max(self.now);
        let done = begins + units::time_for(f64::from(bytes), rate);
        self.hosts[host as usize].disk_free_at = done;
        self.events.at(done, Event::Stored { host, chunk });
    }

    pub(super) fn stored(&mut self, host: u32, chunk: u32) {
        let Some(chunk) = self.map.check(chunk) else {
            return;
        };
        let at = host as usize;
        let bytes = u64::from(self.map.chunk_bytes(chunk));
        if self.hosts[at].has.insert(chunk) {
            self.needed_bytes += bytes;
            self.hosts[at].news.push(chunk.get());
            self.announce_soon(host);
        } else {
            self.twice_bytes += bytes;
        }
        self.feed(host, Input::ChunkStored { chunk });
    }

    fn announce_soon(&mut self, host: u32) {
        let told = &self.hosts[host as usize];
        if told.news.len() + told.asked.len() == 1 {
            let spacing = self.scenario.manner.batch;
            let earliest = told.announced.map_or(self.now, |last| last + spacing);
            self.events
                .at(earliest.max(self.now), Event::Announce { host });
        }
    }

    pub(super) fn announce(&mut self, host: u32) {
        let at = host as usize;
        self.hosts[at].announced = Some(self.now);
        let mut news = std::mem::take(&mut self.hosts[at].news);
        news.sort_unstable();
        let chunks = self.runs(&news);
        let asked = std::mem::take(&mut self.hosts[at].asked);
        let asked: Vec<ChunkRun> = asked
            .into_iter()
            .filter_map(|run| self.run_of(run))
            .collect();
        let neighbours: Vec<u32> = self.hosts[at].wires.keys().copied().collect();
        let peer = self.hosts[at].id;
        for other in neighbours {
            let told = &self.hosts[other as usize];
            if told.plan.is_none() || !told.neighbours.contains(&host) {
                continue;
            }
            if !chunks.is_empty() {
                let chunks = chunks.clone();
                self.feed(other, Input::PeerGained { peer, chunks });
            }
            if !asked.is_empty() {
                let chunks = asked.clone();
                self.feed(other, Input::Expected { chunks });
            }
        }
    }

    /// Sorted chunks as runs.
    pub(super) fn runs(&self, chunks: &[u32]) -> Vec<ChunkRun> {
        let mut runs = Vec::new();
        let mut from = 0;
        for at in 1..=chunks.len() {
            if at == chunks.len() || chunks[at] != chunks[at - 1] + 1 {
                runs.extend(self.run_of(chunks[from]..chunks[at - 1] + 1));
                from = at;
            }
        }
        runs
    }

    /// How long after a request its receiver hears of the bytes that came, at the latest.
    pub(super) const fn report_interval() -> Duration {
        Duration::from_secs(1)
    }
}
