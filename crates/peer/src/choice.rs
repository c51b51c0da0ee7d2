//! Which version and which manifest a download takes, from what the peers offer. Pure.
//!
//! The catalog's version, else the highest. Within that version the catalog's pinned manifest, else the
//! one that most peers offer; a tie falls to the smaller id, so that everyone chooses alike.

use std::collections::BTreeMap;

use lanspread_proto::{ManifestId, PeerId, Version};

use crate::{event::ManifestOffer, game_db::Offer};

/// What decides besides the offers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// The version that is asked for, or the catalog's.
    pub(crate) version: Option<&'a Version>,
    /// The catalog's manifest for that version.
    pub(crate) pinned: Option<ManifestId>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) version: Version,
    pub(crate) manifest: ManifestId,
    /// Who offers it, complete ones first.
    pub(crate) peers: Vec<PeerId>,
    /// The other manifests of this version, if peers disagree.
    pub(crate) others: Vec<ManifestOffer>,
}

/// Chooses among `offers`; `None` when none of them will do.
pub(crate) fn choose(offers: &[Offer], wanted: Wanted<'_>) -> Option<Choice> {
    let version = match wanted.version {
        Some(version) => version,
        None => offers.iter().map(|offer| &offer.summary.version).max()?,
    };
    let mut by_manifest: BTreeMap<ManifestId, Vec<&Offer>> = BTreeMap::new();
    for offer in offers
        .iter()
        .filter(|offer| offer.summary.version == *version)
    {
        by_manifest
            .entry(offer.summary.manifest)
            .or_default()
            .push(offer);
    }
    let manifest = match wanted.pinned {
        Some(pinned) => pinned,
        // The map ascends by id, and of equal counts `max_by_key` takes the last: look from the end.
        None => {
            *by_manifest
                .iter()
                .rev()
                .max_by_key(|(_, offers)| offers.len())?
                .0
        }
    };
    let mut chosen = by_manifest.remove(&manifest)?;
    chosen.sort_by_key(|offer| (!offer.summary.complete, offer.peer));
    let others = by_manifest
        .into_iter()
        .map(|(manifest, offers)| ManifestOffer {
            manifest,
            peers: offers.iter().map(|offer| offer.peer).collect(),
        })
        .collect();
    let peers = chosen.iter().map(|offer| offer.peer).collect();
    Some(Choice {
        version: version.clone(),
        manifest,
        peers,
        others,
    })
}

#[cfg(test)]
mod tests {
    use lanspread_proto::{Hash, message::GameSummary};

    use super::*;

    fn manifest(n: u8) -> ManifestId {
        ManifestId::new(Hash::from_bytes([n; 32]))
    }

    fn offer(peer: u8, version: &str, of: u8) -> Offer {
        Offer {
            peer: PeerId::new(Hash::from_bytes([peer; 32])),
            summary: GameSummary {
                id: "doom".parse().unwrap(),
                name: None,
                version: version.parse().unwrap(),
                manifest: manifest(of),
                bytes: 1,
                complete: true,
            },
        }
    }

    fn chosen(offers: &[Offer], wanted: Wanted<'_>) -> Option<(String, ManifestId, usize)> {
        choose(offers, wanted).map(|choice| {
            (
                choice.version.to_string(),
                choice.manifest,
                choice.others.len(),
            )
        })
    }

    #[test]
    fn the_highest_version_wins_over_the_more_popular_one() {
        let offers = [offer(1, "1.9", 1), offer(2, "1.9", 1), offer(3, "1.10", 2)];
        assert_eq!(
            chosen(&offers, Wanted::default()),
            Some(("1.10".into(), manifest(2), 0))
        );
    }

    #[test]
    fn a_wanted_version_wins_over_a_newer_one_and_is_never_replaced() {
        let (old, none): (Version, Version) = ("1".parse().unwrap(), "3".parse().unwrap());
        let offers = [offer(1, "1", 1), offer(2, "2", 2)];
        let wanted = Wanted {
            version: Some(&old),
            pinned: None,
        };
        assert_eq!(chosen(&offers, wanted), Some(("1".into(), manifest(1), 0)));
        assert_eq!(
            chosen(
                &offers,
                Wanted {
                    version: Some(&none),
                    pinned: None
                }
            ),
            None
        );
    }

    #[test]
    fn most_peers_win_and_the_smaller_id_breaks_a_tie() {
        let offers = [offer(1, "1", 7), offer(2, "1", 9), offer(3, "1", 9)];
        assert_eq!(
            chosen(&offers, Wanted::default()),
            Some(("1".into(), manifest(9), 1))
        );
        let tie = [offer(1, "1", 9), offer(2, "1", 7), offer(3, "1", 8)];
        assert_eq!(
            chosen(&tie, Wanted::default()),
            Some(("1".into(), manifest(7), 2))
        );
    }

    #[test]
    fn a_pinned_manifest_beats_the_majority_and_nothing_stands_in_for_it() {
        let offers = [offer(1, "1", 7), offer(2, "1", 9), offer(3, "1", 9)];
        let pinned = |of| Wanted {
            version: None,
            pinned: Some(manifest(of)),
        };
        assert_eq!(
            chosen(&offers, pinned(7)),
            Some(("1".into(), manifest(7), 1))
        );
        assert_eq!(chosen(&offers, pinned(5)), None);
    }

    #[test]
    fn complete_peers_come_first() {
        let mut offers = [offer(1, "1", 7), offer(2, "1", 7)];
        offers[0].summary.complete = false;
        let choice = choose(&offers, Wanted::default()).unwrap();
        assert_eq!(choice.peers, [offers[1].peer, offers[0].peer]);
    }

    #[test]
    fn no_offer_no_choice() {
        assert_eq!(choose(&[], Wanted::default()), None);
    }
}
