//! Who knows whom.

use std::collections::{BTreeMap, BTreeSet};

use rand::{rngs::StdRng, seq::SliceRandom};

/// Wires between one switch's hosts and those of others. Each carries about a thirteenth of a link beside
/// twelve neighbours, so that these bring a little more than a copy in the time of one.
const GATEWAYS: usize = 15;

/// Pairs of neighbours among hosts: all of them, or a random graph in which everyone has about `degree`
/// neighbours and reaches everyone, made of rings.
pub(super) fn pairs(rng: &mut StdRng, hosts: &[u32], degree: Option<u32>) -> Vec<(u32, u32)> {
    let everyone = hosts.len().saturating_sub(1);
    match degree.map(|degree| degree as usize) {
        Some(degree) if degree < everyone => rings(rng, hosts, degree.div_ceil(2)),
        _ => hosts
            .iter()
            .enumerate()
            .flat_map(|(at, one)| hosts[at + 1..].iter().map(|other| (*one, *other)))
            .collect(),
    }
}

/// Pairs of neighbours where hosts know who is at their switch: everyone's are there, and some of each
/// switch's hosts, its gateways, have one further neighbour at another switch.
pub(super) fn grouped(
    rng: &mut StdRng,
    switches: &[Vec<u32>],
    degree: Option<u32>,
) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for hosts in switches {
        found.extend(pairs(rng, hosts, degree));
    }
    for near in 0..switches.len() {
        for far in near + 1..switches.len() {
            let (mut here, mut there) = (switches[near].clone(), switches[far].clone());
            here.shuffle(rng);
            there.shuffle(rng);
            let both = here.into_iter().zip(there);
            found.extend(both.take(GATEWAYS.div_ceil(switches.len() - 1)));
        }
    }
    found
}

/// Rings share some pairs, which leaves hosts with fewer neighbours than the others, and a host with fewer
/// finishes last. Those are paired among themselves, as far as that goes in a few rounds.
fn rings(rng: &mut StdRng, hosts: &[u32], count: usize) -> Vec<(u32, u32)> {
    const ROUNDS: usize = 10;
    let mut found: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut degrees: BTreeMap<u32, usize> = BTreeMap::new();
    let mut pair = |found: &mut BTreeSet<_>, one: u32, other: u32| {
        if one != other && found.insert((one.min(other), one.max(other))) {
            *degrees.entry(one).or_default() += 1;
            *degrees.entry(other).or_default() += 1;
        }
        [one, other].map(|host| degrees.get(&host).copied().unwrap_or(0))
    };
    let mut order = hosts.to_vec();
    for _ in 0..count {
        order.shuffle(rng);
        for (at, one) in order.iter().enumerate() {
            pair(&mut found, *one, order[(at + 1) % order.len()]);
        }
    }
    for _ in 0..ROUNDS {
        order.retain(|host| pair(&mut found, *host, *host)[0] < 2 * count);
        order.shuffle(rng);
        for two in order.chunks_exact(2) {
            pair(&mut found, two[0], two[1]);
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn everyone_has_neighbours_and_nobody_too_many() {
        let hosts: Vec<u32> = (0..100).collect();
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(pairs(&mut rng, &hosts, None).len(), 100 * 99 / 2);
        let pairs = pairs(&mut rng, &hosts, Some(12));
        for host in hosts {
            let degree = pairs
                .iter()
                .filter(|(one, other)| host == *one || host == *other)
                .count();
            assert!((11..=12).contains(&degree), "{degree}");
        }
    }

    #[test]
    fn few_wires_leave_a_switch() {
        let switches: Vec<Vec<u32>> = (0..4).map(|at| (at * 50..at * 50 + 50).collect()).collect();
        let pairs = grouped(&mut StdRng::seed_from_u64(1), &switches, Some(12));
        let across = pairs.iter().filter(|(one, other)| one / 50 != other / 50);
        assert_eq!(across.count(), 6 * GATEWAYS.div_ceil(3));
    }
}
