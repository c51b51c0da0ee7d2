//! Who knows whom.

use std::collections::{BTreeMap, BTreeSet};

use rand::{rngs::StdRng, seq::SliceRandom};

/// Pairs of hosts that know each other: all of them, or a random graph in which everyone knows about `degree`
/// others and reaches everyone, made of rings.
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
}
