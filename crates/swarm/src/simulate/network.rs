//! Who gets how much of which wire.
//!
//! Each host has two *ports*, one for what it sends and one for what it receives, and so has each joint
//! between two switches. A port shares its capacity equally among its transfers; those that cannot use
//! their share, because another port on their way gives them less, leave the rest to the others. A
//! transfer gets the smallest of the shares on its way. Shares follow a change within a few rounds of
//! [`Network::settle`], as senders follow a change within a few round trips; they never add up to more
//! than a port has.

use std::time::Duration;

use super::units;

/// Rounds in which a change spreads to the ports beyond.
const ROUNDS: usize = 3;

/// Ports that a flow can go through: two hosts' and, between switches, two joints'.
const WAY_MAX: usize = 4;

/// A share that would grow by less than this part stays: nobody notices, and changes die out.
const GROWTH_MIN: f64 = 0.02;

/// One direction of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortId(u32);

/// One flow of bytes through up to [`WAY_MAX`] ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransferId(u32);

#[derive(Debug)]
struct Port {
    capacity: f64,
    /// What one transfer may take here.
    share: f64,
    transfers: Vec<TransferId>,
    dirty: bool,
}

#[derive(Debug)]
struct Transfer {
    way: Way,
    /// Whom the flow belongs to.
    owner: u32,
    rate: f64,
    /// Bytes of the current piece that are still to come.
    left: f64,
    since: Duration,
}

/// The ports that a flow goes through.
#[derive(Debug, Clone, Copy)]
struct Way {
    ports: [PortId; WAY_MAX],
    count: u8,
}

impl Way {
    fn new(ports: &[PortId]) -> Self {
        let mut way = Self {
            ports: [PortId(0); WAY_MAX],
            count: 0,
        };
        for port in ports {
            way.ports[usize::from(way.count)] = *port;
            way.count += 1;
        }
        way
    }

    fn ports(&self) -> &[PortId] {
        &self.ports[..usize::from(self.count)]
    }
}

/// All ports and the transfers through them.
#[derive(Debug, Default)]
pub(super) struct Network {
    ports: Vec<Port>,
    transfers: Vec<Transfer>,
    free: Vec<TransferId>,
    dirty: Vec<PortId>,
    /// Room for [`fair_share`](Self::fair_share) to work in.
    bounds: Vec<f64>,
}

impl Network {
    /// A port of so many bytes per second.
    pub(super) fn port(&mut self, bytes_per_second: u64) -> PortId {
        let capacity = units::fraction(bytes_per_second);
        self.ports.push(Port {
            capacity,
            share: capacity,
            transfers: Vec::new(),
            dirty: false,
        });
        PortId(u32::try_from(self.ports.len() - 1).unwrap_or(u32::MAX))
    }

    /// Starts a flow of `bytes` through `ports`; it moves after the next [`settle`](Self::settle).
    pub(super) fn start(
        &mut self,
        now: Duration,
        owner: u32,
        ports: &[PortId],
        bytes: f64,
    ) -> TransferId {
        let transfer = Transfer {
            way: Way::new(ports),
            owner,
            rate: 0.0,
            left: bytes,
            since: now,
        };
        let id = if let Some(id) = self.free.pop() {
            self.transfers[id.0 as usize] = transfer;
            id
        } else {
            self.transfers.push(transfer);
            TransferId(u32::try_from(self.transfers.len() - 1).unwrap_or(u32::MAX))
        };
        for port in ports {
            self.ports[port.0 as usize].transfers.push(id);
            self.mark(*port);
        }
        id
    }

    /// Ends a flow.
    pub(super) fn stop(&mut self, id: TransferId) {
        let way = self.transfers[id.0 as usize].way;
        for port in way.ports().iter().copied() {
            let transfers = &mut self.ports[port.0 as usize].transfers;
            if let Some(at) = transfers.iter().position(|other| *other == id) {
                transfers.swap_remove(at);
            }
            self.mark(port);
        }
        self.free.push(id);
    }

    /// The bytes of the current piece that are still to come.
    pub(super) fn left(&mut self, now: Duration, id: TransferId) -> f64 {
        let transfer = &mut self.transfers[id.0 as usize];
        let span = now.saturating_sub(transfer.since).as_secs_f64();
        transfer.left = (transfer.left - transfer.rate * span).max(0.0);
        transfer.since = now;
        transfer.left
    }

    /// Lets a flow go on with its next piece.
    pub(super) fn next_piece(&mut self, now: Duration, id: TransferId, bytes: f64) {
        let transfer = &mut self.transfers[id.0 as usize];
        transfer.left = bytes;
        transfer.since = now;
    }

    /// When the current piece is complete if nothing changes.
    pub(super) fn complete_in(&self, id: TransferId) -> Duration {
        let transfer = &self.transfers[id.0 as usize];
        units::time_for(transfer.left, transfer.rate)
    }

    /// Whether a share waits to be settled.
    pub(super) fn is_settled(&self) -> bool {
        self.dirty.is_empty()
    }

    fn mark(&mut self, port: PortId) {
        let at = &mut self.ports[port.0 as usize];
        if !at.dirty {
            at.dirty = true;
            self.dirty.push(port);
        }
    }

    /// Works out the shares anew where something changed; gives the owners of the flows whose rate is
    /// another now.
    pub(super) fn settle(&mut self, now: Duration) -> Vec<u32> {
        let mut touched: Vec<PortId> = Vec::new();
        for _ in 0..ROUNDS {
            for port in std::mem::take(&mut self.dirty) {
                self.ports[port.0 as usize].dirty = false;
                touched.push(port);
                if self.reshare(port, true) {
                    self.mark_beyond(port);
                }
            }
        }
        // What is left may only shrink, which overloads nobody else.
        for port in std::mem::take(&mut self.dirty) {
            self.ports[port.0 as usize].dirty = false;
            touched.push(port);
            self.reshare(port, false);
        }
        let mut changed = Vec::new();
        for port in touched {
            for at in 0..self.ports[port.0 as usize].transfers.len() {
                let id = self.ports[port.0 as usize].transfers[at];
                let rate = self.share_of(id, None);
                if (rate - self.transfers[id.0 as usize].rate).abs() > rate * 1e-9 {
                    self.left(now, id);
                    self.transfers[id.0 as usize].rate = rate;
                    changed.push(self.transfers[id.0 as usize].owner);
                }
            }
        }
        changed
    }

    fn mark_beyond(&mut self, port: PortId) {
        for at in 0..self.ports[port.0 as usize].transfers.len() {
            let id = self.ports[port.0 as usize].transfers[at];
            let way = self.transfers[id.0 as usize].way;
            for beyond in way.ports().iter().copied() {
                if beyond != port {
                    self.mark(beyond);
                }
            }
        }
    }

    /// The smallest share on a flow's way, but for one port.
    fn share_of(&self, id: TransferId, but: Option<PortId>) -> f64 {
        let transfer = &self.transfers[id.0 as usize];
        let ports = transfer
            .way
            .ports()
            .iter()
            .filter(|port| Some(**port) != but);
        ports
            .map(|port| self.ports[port.0 as usize].share)
            .fold(f64::INFINITY, f64::min)
    }

    /// Shares a port's capacity anew; tells whether that concerns the ports beyond.
    fn reshare(&mut self, port: PortId, may_grow: bool) -> bool {
        let before = self.ports[port.0 as usize].share;
        let fresh = self.fair_share(port);
        let grows = fresh > before * (1.0 + GROWTH_MIN);
        if fresh < before || (may_grow && grows) {
            self.ports[port.0 as usize].share = fresh;
        }
        may_grow && (grows || fresh < before * (1.0 - GROWTH_MIN))
    }

    /// The share at which a port's transfers, bounded by the ports beyond, just fill it.
    fn fair_share(&mut self, port: PortId) -> f64 {
        let Port {
            capacity,
            ref transfers,
            ..
        } = self.ports[port.0 as usize];
        let mut bounds = std::mem::take(&mut self.bounds);
        bounds.clear();
        bounds.extend(transfers.iter().map(|id| self.share_of(*id, Some(port))));
        let share = fill(capacity, &bounds);
        self.bounds = bounds;
        share
    }
}

/// The share at which transfers that are bounded like this just fill a capacity.
fn fill(capacity: f64, bounds: &[f64]) -> f64 {
    let mut share = capacity / units::count(bounds.len().max(1));
    loop {
        let (mut bounded_bytes, mut bounded, mut widest) = (0.0, 0, 0.0_f64);
        for bound in bounds.iter().filter(|bound| **bound <= share) {
            bounded_bytes += bound;
            bounded += 1;
            widest = widest.max(*bound);
        }
        let rest = capacity - bounded_bytes;
        if bounded == bounds.len() {
            return widest + rest.max(0.0);
        }
        let next = rest / units::count(bounds.len() - bounded);
        if next <= share * (1.0 + 1e-9) {
            return next;
        }
        share = next;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// The part of a port's capacity that is used.
    fn load(network: &Network, port: PortId) -> f64 {
        let port = &network.ports[port.0 as usize];
        let rates = port
            .transfers
            .iter()
            .map(|id| network.transfers[id.0 as usize].rate);
        rates.sum::<f64>() / port.capacity
    }

    fn rates(network: &Network, ids: &[TransferId]) -> Vec<u64> {
        ids.iter()
            .map(|id| units::whole(network.transfers[id.0 as usize].rate))
            .collect()
    }

    #[test]
    fn a_transfer_gets_the_smaller_share_and_leaves_the_rest() {
        let mut network = Network::default();
        let (up, narrow, wide) = (network.port(100), network.port(20), network.port(1_000));
        let now = Duration::ZERO;
        let first = network.start(now, 0, &[up, narrow], 1.0);
        let second = network.start(now, 1, &[up, wide], 1.0);
        network.settle(now);
        assert_eq!(rates(&network, &[first, second]), [20, 80]);
        network.stop(first);
        network.settle(now);
        assert_eq!(rates(&network, &[second]), [100]);
    }

    #[test]
    fn bytes_flow_at_the_rate_and_a_change_keeps_what_came() {
        let mut network = Network::default();
        let (up, down) = (network.port(100), network.port(100));
        let id = network.start(Duration::ZERO, 0, &[up, down], 1_000.0);
        network.settle(Duration::ZERO);
        assert_eq!(network.complete_in(id), Duration::from_secs(10));
        let other = network.start(Duration::from_secs(4), 1, &[up, down], 1_000.0);
        network.settle(Duration::from_secs(4));
        assert_eq!(units::whole(network.left(Duration::from_secs(4), id)), 600);
        assert_eq!(network.complete_in(id), Duration::from_secs(12));
        assert_eq!(network.complete_in(other), Duration::from_secs(20));
    }

    #[test]
    fn no_port_carries_more_than_it_has_and_hardly_any_capacity_lies_idle() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut network = Network::default();
            let ports: Vec<PortId> = (0..40)
                .map(|_| network.port(rng.random_range(10..1_000)))
                .collect();
            let mut alive: Vec<TransferId> = Vec::new();
            for _ in 0..200 {
                if alive.len() > 60 || (!alive.is_empty() && rng.random_bool(0.4)) {
                    let gone = rng.random_range(0..alive.len());
                    network.stop(alive.swap_remove(gone));
                } else {
                    let (up, down) = (rng.random_range(0..20), rng.random_range(20..40));
                    alive.push(network.start(Duration::ZERO, 0, &[ports[up], ports[down]], 1.0));
                }
                network.settle(Duration::ZERO);
                for port in &ports {
                    let load = load(&network, *port);
                    assert!(load <= 1.0 + 1e-6, "seed {seed}: {load}");
                }
            }
            for _ in 0..20 {
                for port in &ports {
                    network.mark(*port);
                }
                network.settle(Duration::ZERO);
            }
            for id in alive {
                let on_its_way = network.transfers[id.0 as usize].way.ports();
                let fullest = on_its_way
                    .iter()
                    .map(|port| load(&network, *port))
                    .fold(0.0, f64::max);
                assert!(fullest > 0.9, "seed {seed}: a transfer could have more");
            }
        }
    }
}
