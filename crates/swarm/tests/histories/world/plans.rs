//! The plans' side of the world: carries out what they ask, and checks each request against a model of
//! what the plan may know.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use lanspread_proto::{CHUNK_BYTES, ChunkIndex, ChunkRun, ChunkSet, PeerId, limits};
use lanspread_swarm::{Action, Input, Plan, RequestId, RunFailure};
use rand::RngExt;

use super::{Job, LATENCY, Manners, World};

/// What a receiver's plan may know, kept apart from the plan.
#[derive(Default)]
pub(crate) struct Model {
    pub(super) claims: BTreeMap<usize, ChunkSet>,
    pub(super) distrusted: BTreeSet<usize>,
    /// Pairs of host and chunk that failed before, which the plan may or may not ask again.
    pub(super) doubtful: BTreeSet<(usize, u32)>,
    pub(super) in_flight: BTreeMap<u32, u32>,
    pub(super) requests: BTreeMap<RequestId, (usize, BTreeSet<ChunkIndex>)>,
    pub(super) arrived: BTreeSet<u32>,
    pub(crate) asked_chunks: u32,
}

impl World {
    pub(super) fn over(&mut self, dst: usize, request: RequestId) {
        let model = &mut self.hosts[dst].model;
        if let Some((_, left)) = model.requests.get(&request).cloned() {
            for chunk in left {
                model.settled(request, chunk);
            }
            model.requests.remove(&request);
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.epoch + self.time
    }

    pub(super) fn feed(&mut self, dst: usize, input: Input) {
        let now = self.now();
        if let Some(plan) = &mut self.hosts[dst].plan {
            plan.handle(now, input);
            self.drain(dst);
        }
    }

    pub(super) fn drain(&mut self, dst: usize) {
        let mut refused = Vec::new();
        while let Some(action) = self.hosts[dst].plan.as_mut().and_then(Plan::poll_action) {
            assert!(
                self.hosts[dst].outcome.is_none(),
                "seed {}: {action:?} after the end",
                self.seed
            );
            match action {
                Action::Request { request, peer, run } => {
                    refused.extend(self.requested(dst, request, peer, run));
                }
                Action::Cancel { request } => {
                    let (src, _) = self.hosts[dst].model.requests[&request];
                    self.over(dst, request);
                    self.forget(src, dst, request);
                }
                Action::Finished => {
                    let host = &self.hosts[dst];
                    assert!(host.has.is_full(), "seed {}: finished too early", self.seed);
                    self.hosts[dst].outcome = Some((self.time, Ok(())));
                }
                Action::Failed(why) => self.hosts[dst].outcome = Some((self.time, Err(why))),
                other => {
                    if let Action::Distrust { peer, .. } = other {
                        let src = usize::from(peer.hash().as_bytes()[0]);
                        self.hosts[dst].model.claims.remove(&src);
                        self.hosts[dst].model.distrusted.insert(src);
                    }
                    self.hosts[dst].said.push((self.time, other));
                }
            }
        }
        let host = &self.hosts[dst];
        let full = host.plan.is_some() && host.has.is_full();
        assert!(
            !full || host.outcome.is_some(),
            "seed {}: all is stored, not finished",
            self.seed
        );
        for (request, reason) in refused {
            let model = &mut self.hosts[dst].model;
            let Some((src, left)) = model.requests.get(&request).cloned() else {
                continue;
            };
            if reason == RunFailure::NotHere {
                let claims = model.claims.get_mut(&src).expect("who is asked is here");
                for chunk in left {
                    claims.remove(chunk);
                }
            }
            self.over(dst, request);
            self.feed(dst, Input::RequestFailed { request, reason });
        }
    }

    /// Checks a request and puts it on the wire; gives why it is refused, if it is.
    fn requested(
        &mut self,
        dst: usize,
        request: RequestId,
        peer: PeerId,
        run: ChunkRun,
    ) -> Option<(RequestId, RunFailure)> {
        let src = usize::from(peer.hash().as_bytes()[0]);
        self.check(dst, src, run);
        let model = &mut self.hosts[dst].model;
        model.asked_chunks += run.count();
        model
            .requests
            .insert(request, (src, run.chunks().collect()));
        run.chunks()
            .for_each(|chunk| *model.in_flight.entry(chunk.get()).or_default() += 1);
        let refusal = match self.hosts[src].manners {
            Manners::Busy(chance) if self.rng.random_bool(chance) => Some(RunFailure::Busy),
            Manners::Forgets(chance) if self.rng.random_bool(chance) => Some(RunFailure::NotHere),
            _ => None,
        };
        if let Some(reason) = refusal {
            return Some((request, reason));
        }
        let left = run.chunks().collect();
        let job = Job {
            request,
            left,
            done_bytes: 0,
            ready: self.time + LATENCY,
        };
        self.wires
            .entry((src, dst))
            .or_default()
            .jobs
            .push_back(job);
        None
    }

    fn check(&self, dst: usize, src: usize, run: ChunkRun) {
        let seed = self.seed;
        let model = &self.hosts[dst].model;
        let claims = model
            .claims
            .get(&src)
            .unwrap_or_else(|| panic!("seed {seed}: {src} is not here"));
        assert!(
            self.map.run_bytes(run) <= limits::RUN_BYTES_MAX,
            "seed {seed}: {run:?} is too long"
        );
        // The world does not count parts of chunks: one chunk more for each request.
        let waiting = model.requests.values().flat_map(|(_, left)| left);
        let outstanding: u64 = waiting
            .map(|chunk| u64::from(self.map.chunk_bytes(*chunk)))
            .sum();
        let slack = (model.requests.len() as u64 + 1) * CHUNK_BYTES;
        let bound = limits::BUFFERED_BYTES_MAX / 2 + slack;
        assert!(
            outstanding <= bound,
            "seed {seed}: {outstanding} bytes outstanding"
        );
        for chunk in run.chunks() {
            assert!(
                claims.contains(chunk),
                "seed {seed}: {src} does not have {chunk:?}"
            );
            assert!(
                !self.hosts[dst].has.contains(chunk),
                "seed {seed}: {chunk:?} is here already"
            );
            match model.in_flight.get(&chunk.get()).copied().unwrap_or(0) {
                0 => {}
                1 => {
                    let other = self.something_else_to_ask(model);
                    assert!(
                        other.is_none(),
                        "seed {seed}: {chunk:?} twice, {other:?} is free"
                    );
                }
                more => panic!("seed {seed}: {chunk:?} asked {} times at once", more + 1),
            }
        }
    }

    /// A host and a chunk of it that nobody is asked for.
    fn something_else_to_ask(&self, model: &Model) -> Option<(usize, ChunkIndex)> {
        self.map.chunks().find_map(|chunk| {
            let number = chunk.get();
            let busy = model.arrived.contains(&number)
                || model.in_flight.get(&number).is_some_and(|count| *count > 0);
            let held = |(src, claims): &(&usize, &ChunkSet)| {
                claims.contains(chunk) && !model.doubtful.contains(&(**src, number))
            };
            if busy {
                None
            } else {
                model.claims.iter().find(held).map(|(src, _)| (*src, chunk))
            }
        })
    }
}

impl Model {
    /// A request answered a chunk, or will not any more.
    pub(super) fn settled(&mut self, request: RequestId, chunk: ChunkIndex) {
        let Some((_, left)) = self.requests.get_mut(&request) else {
            return;
        };
        if left.remove(&chunk)
            && let Some(count) = self.in_flight.get_mut(&chunk.get())
        {
            *count -= 1;
        }
    }
}
