//! What a power cut can leave: the synced changes, and any of the others.

use std::collections::HashSet;

use super::tree::{Change, Image, Inode, Tree};

/// Up to this many pending changes every subset is tried; beyond, as many chosen ones.
const PENDING_MAX: usize = 9;

/// One thing that happened to the disk.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Changed(Change),
    FolderSynced(Inode),
    FileSynced(Inode),
    /// A sync that failed: what it should have written may or may not be there, for ever.
    FileLost(Inode),
}

struct Pending {
    change: Change,
    lost: bool,
}

/// The states that a power cut can leave, one event after the other.
pub(super) struct Crashes {
    durable: Tree,
    pending: Vec<Pending>,
    seen: HashSet<u64>,
    random: u64,
}

impl Crashes {
    pub(super) fn new(durable: Tree, seed: u64) -> Self {
        Self {
            durable,
            pending: Vec::new(),
            seen: HashSet::new(),
            random: seed | 1,
        }
    }

    /// Every state that a cut at any moment of this history can leave, each once.
    pub(super) fn during(mut self, events: &[Event]) -> Vec<Image> {
        let mut images = Vec::new();
        self.add_subsets(&mut images);
        for event in events {
            // A sync only takes states away that were possible before.
            if self.happens(event) {
                self.add_subsets(&mut images);
            }
        }
        images
    }

    /// Every state that a cut after this history can leave, each once.
    pub(super) fn after(mut self, events: &[Event]) -> Vec<Image> {
        for event in events {
            self.happens(event);
        }
        let mut images = Vec::new();
        self.add_subsets(&mut images);
        images
    }

    /// Whether the event was a change.
    fn happens(&mut self, event: &Event) -> bool {
        match event {
            Event::Changed(change) => {
                self.pending.push(Pending {
                    change: change.clone(),
                    lost: false,
                });
                return true;
            }
            Event::FolderSynced(folder) => self.commit(|change| change.is_entry_of(*folder)),
            Event::FileSynced(file) => self.commit(|change| change.is_content_of(*file)),
            Event::FileLost(file) => {
                for pending in &mut self.pending {
                    pending.lost |= pending.change.is_content_of(*file);
                }
            }
        }
        false
    }

    fn commit(&mut self, is_synced: impl Fn(&Change) -> bool) {
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            let commits = !pending.lost && is_synced(&pending.change);
            if commits {
                durable.apply(&pending.change);
            }
            !commits
        });
    }

    fn add_subsets(&mut self, images: &mut Vec<Image>) {
        let count = self.pending.len();
        if count <= PENDING_MAX {
            for subset in 0_u32..1 << count {
                self.add(images, |at| subset >> at & 1 == 1);
            }
            return;
        }
        for cut in 0..=count {
            self.add(images, |at| at < cut);
            self.add(images, |at| at >= cut);
            self.add(images, |at| at != cut);
            self.add(images, |at| at == cut);
        }
        for _ in 4 * count..1 << PENDING_MAX {
            let kept: Vec<bool> = (0..count).map(|_| self.coin()).collect();
            self.add(images, |at| kept[at]);
        }
    }

    fn add(&mut self, images: &mut Vec<Image>, keeps: impl Fn(usize) -> bool) {
        let mut tree = self.durable.clone();
        for (at, pending) in self.pending.iter().enumerate() {
            if keeps(at) {
                tree.apply(&pending.change);
            }
        }
        let image = tree.image();
        if self.seen.insert(image.digest()) {
            images.push(image);
        }
    }

    /// Xorshift: chance that a seed repeats.
    fn coin(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 40 & 1 == 1
    }
}
