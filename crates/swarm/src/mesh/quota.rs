//! How many neighbours a host has.

/// Up to so many others everyone is a neighbour of everyone.
pub(super) const EVERYONE_MAX: usize = 32;

/// Neighbours that a host looks for. Almost as many as it accepts, since who has fewer than others finishes last: 100
/// receivers of 2 GiB at 1 Gbit/s took 1.085 floors with 15 to 16, 1.094 with 12 to 13, 1.228 with 12 to 16.
const TARGET: usize = 15;

/// Neighbours that a host has at most.
const MOST: usize = 16;

/// Of them, neighbours across a thin link that a host looks for.
const FAR_TARGET: usize = 2;

/// Who has fewer neighbours is accepted even by who is full.
pub(super) const NEIGHBOURS_MIN: u32 = 12;

/// How many near or far neighbours a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// So many it looks for.
    pub(super) wanted: usize,
    /// So many it accepts.
    pub(super) most: usize,
    /// Whether that is everyone.
    pub(super) is_everyone: bool,
}

impl Quota {
    /// For those who are near or far, where so many of each are of use.
    pub(super) fn of(near: bool, known_near: usize, known_far: usize) -> Self {
        if known_near + known_far <= EVERYONE_MAX {
            return Self {
                wanted: EVERYONE_MAX,
                most: EVERYONE_MAX,
                is_everyone: true,
            };
        }
        let far = match known_far {
            0 => 0,
            _ => FAR_TARGET.max(TARGET.saturating_sub(known_near)),
        };
        let (wanted, spare) = match (near, known_far) {
            (true, 0) => (TARGET, MOST - TARGET),
            (true, _) => (TARGET - far, 0),
            (false, _) => (far, MOST - TARGET),
        };
        Self {
            wanted,
            most: wanted + spare,
            is_everyone: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_neighbours_are_near_and_never_too_many() {
        // (known near, known far) and who is looked for, and accepted, of each.
        let cases = [
            ((200, 0), (15, 16), (0, 1)),
            ((49, 150), (13, 13), (2, 3)),
            ((4, 195), (4, 4), (11, 12)),
            ((0, 199), (0, 0), (15, 16)),
        ];
        for ((known_near, known_far), near, far) in cases {
            for (is_near, (wanted, most)) in [(true, near), (false, far)] {
                let quota = Quota::of(is_near, known_near, known_far);
                assert_eq!((quota.wanted, quota.most), (wanted, most), "{known_near}");
            }
            assert!(near.0 + far.1 <= MOST);
        }
        assert!(Quota::of(true, 10, 20).is_everyone);
    }
}
