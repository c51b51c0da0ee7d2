//! What is known of one game.

use std::sync::Arc;

use lanspread_proto::{GameId, Version};

use crate::{
    payload::PayloadSlot,
    refusal::{Refusal, RefusalReason},
    scan::{FolderScan, KnownHashes, Sentinel, SentinelScan},
    snapshot::{LocalGame, LocalState},
};

#[derive(Debug)]
pub(super) struct Record {
    version: Option<Version>,
    installed: bool,
    installed_version: Option<Version>,
    payload: Payload,
    /// The last complete payload, announced or not.
    pub(super) slot: Option<Arc<PayloadSlot>>,
    /// What is known beyond it.
    pub(super) known: Arc<KnownHashes>,
    /// Whether some of that was never saved.
    pub(super) unsaved: bool,
}

/// What of the payload is here; the lifecycle behind [`LocalState`].
#[derive(Debug, Clone)]
enum Payload {
    Absent,
    Partial,
    Indexing {
        bytes: u64,
    },
    /// The record's slot is what is announced.
    Announced,
    Refused(Arc<Refusal>),
}

/// What a look at a game with a sentinel found.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The payload, announced from now on.
    Complete(Arc<PayloadSlot>),
    /// Files have to be hashed first.
    Indexing {
        /// Bytes of the whole payload.
        bytes: u64,
    },
    /// It cannot be announced.
    Refused(RefusalReason),
}

impl Record {
    /// A game of which nothing but perhaps its last payload is known.
    pub(super) fn new(slot: Option<Arc<PayloadSlot>>) -> Self {
        Self {
            version: None,
            installed: false,
            installed_version: None,
            payload: Payload::Absent,
            slot,
            known: Arc::default(),
            unsaved: false,
        }
    }

    /// What the folder says about itself, which decides about the payload where there is none.
    pub(super) fn appear(&mut self, folder: &FolderScan) {
        self.installed = folder.installed;
        self.installed_version.clone_from(&folder.installed_version);
        self.version = None;
        match &folder.sentinel {
            SentinelScan::Absent if folder.partial => self.payload = Payload::Partial,
            SentinelScan::Absent => self.payload = Payload::Absent,
            SentinelScan::Refused(refusal) => {
                self.payload = Payload::Refused(Arc::clone(refusal));
            }
            SentinelScan::Valid(sentinel) => {
                self.version = Some(sentinel.version.clone());
                let outdated = match &self.payload {
                    Payload::Absent | Payload::Partial => true,
                    Payload::Announced => {
                        let slot = self.slot.as_ref();
                        slot.is_none_or(|slot| slot.indexed().version != sentinel.version)
                    }
                    Payload::Indexing { .. } | Payload::Refused(_) => false,
                };
                if outdated {
                    self.payload = Payload::Indexing { bytes: 0 };
                }
            }
        }
    }

    /// Announces what the index says, if the sentinel did not change since.
    pub(super) fn trust(&mut self, sentinel: &Sentinel) {
        let trusted = self.slot.as_ref().is_some_and(|slot| {
            let indexed = slot.indexed();
            indexed.sentinel == sentinel.stamp && indexed.version == sentinel.version
        });
        if trusted {
            self.payload = Payload::Announced;
        }
    }

    /// Takes back an announcement.
    pub(super) fn withdraw(&mut self) {
        if matches!(self.payload, Payload::Announced) {
            self.payload = Payload::Indexing {
                bytes: self.bytes(),
            };
        }
    }

    /// What a look at the payload found.
    pub(super) fn settle(&mut self, id: &GameId, settled: Settled) {
        match settled {
            Settled::Complete(slot) => {
                self.slot = Some(slot);
                self.known = Arc::new(self.known.settled());
                self.unsaved = false;
                self.payload = Payload::Announced;
            }
            Settled::Indexing { bytes } => {
                // Trying again is no sign that it can be read now.
                if !self.is_unreadable() {
                    self.payload = Payload::Indexing { bytes };
                }
            }
            Settled::Refused(reason) => {
                self.payload = Payload::Refused(Arc::new(Refusal::new(id, reason)));
            }
        }
    }

    /// Whether the files are being hashed, perhaps once more.
    pub(super) fn waits_for_hashes(&self) -> bool {
        matches!(self.payload, Payload::Indexing { .. }) || self.is_unreadable()
    }

    fn is_unreadable(&self) -> bool {
        self.refusal()
            .is_some_and(|refusal| matches!(refusal.reason, RefusalReason::Unreadable(_)))
    }

    pub(super) fn announced(&self) -> Option<&Arc<PayloadSlot>> {
        self.slot
            .as_ref()
            .filter(|_| matches!(self.payload, Payload::Announced))
    }

    pub(super) fn refusal(&self) -> Option<&Arc<Refusal>> {
        match &self.payload {
            Payload::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn bytes(&self) -> u64 {
        match &self.payload {
            Payload::Absent | Payload::Partial => 0,
            Payload::Indexing { bytes } => *bytes,
            Payload::Announced | Payload::Refused(_) => {
                self.slot.as_ref().map_or(0, |slot| slot.indexed().bytes)
            }
        }
    }

    pub(super) fn shown(&self, id: &GameId) -> LocalGame {
        LocalGame {
            id: id.clone(),
            version: self.version.clone(),
            state: match self.payload {
                Payload::Absent => LocalState::Absent,
                Payload::Partial => LocalState::Partial,
                Payload::Indexing { .. } => LocalState::Indexing,
                Payload::Announced => LocalState::Downloaded,
                Payload::Refused(_) => LocalState::Refused,
            },
            installed: self.installed,
            installed_version: self.installed_version.clone(),
            bytes: self.bytes(),
            manifest: self.announced().map(|slot| slot.indexed().manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use lanspread_disk::{FileStamp, StoredPayload};
    use lanspread_proto::Manifest;

    use super::*;
    use crate::payload::{LocalPayload, Origin};

    fn id() -> GameId {
        "doom".parse().unwrap()
    }

    fn slot() -> Arc<PayloadSlot> {
        let manifest = Manifest::new(b"1".to_vec(), Vec::new(), Vec::new()).unwrap();
        let stored = StoredPayload::new(Arc::new(manifest), Arc::default()).unwrap();
        let payload = LocalPayload::new(id(), stored, Vec::new(), Origin::Scanned);
        Arc::new(PayloadSlot::loaded(Arc::new(payload), stamp(1)))
    }

    fn stamp(modified_ns: i64) -> FileStamp {
        FileStamp {
            size: 1,
            modified_ns,
            file_id: 1,
        }
    }

    fn sentinel(version: &str) -> Sentinel {
        let content = version.as_bytes().into();
        Sentinel {
            version: version.parse().unwrap(),
            content,
            stamp: stamp(1),
        }
    }

    fn folder(sentinel: SentinelScan, partial: bool) -> FolderScan {
        FolderScan {
            sentinel,
            installed: false,
            installed_version: None,
            partial,
        }
    }

    fn refused() -> Settled {
        Settled::Refused(RefusalReason::LinkedFolder)
    }

    type Event = (&'static str, fn(&mut Record));

    const EVENTS: [Event; 9] = [
        ("no sentinel", |record| {
            record.appear(&folder(SentinelScan::Absent, false));
        }),
        ("download begun", |record| {
            record.appear(&folder(SentinelScan::Absent, true));
        }),
        ("sentinel 1", |record| {
            record.appear(&folder(SentinelScan::Valid(sentinel("1")), false));
        }),
        ("sentinel 2", |record| {
            record.appear(&folder(SentinelScan::Valid(sentinel("2")), false));
        }),
        ("trusted", |record| record.trust(&sentinel("1"))),
        ("withdrawn", Record::withdraw),
        ("to hash", |record| {
            record.settle(&id(), Settled::Indexing { bytes: 7 });
        }),
        ("complete", |record| {
            record.settle(&id(), Settled::Complete(slot()));
        }),
        ("refused", |record| record.settle(&id(), refused())),
    ];

    /// The whole lifecycle, to be reviewed as a table: from, event, to.
    #[test]
    fn every_state_by_every_event() {
        let mut table = String::new();
        for (from, reach) in [EVENTS[0], EVENTS[1], EVENTS[6], EVENTS[7], EVENTS[8]] {
            write!(table, "{from:14}:").unwrap();
            for (_, event) in EVENTS {
                let mut record = Record::new(Some(slot()));
                reach(&mut record);
                event(&mut record);
                let shown = record.shown(&id());
                assert_eq!(
                    shown.manifest.is_some(),
                    shown.state == LocalState::Downloaded
                );
                let state = format!("{:?}", shown.state);
                write!(table, " {}", &state[..3]).unwrap();
            }
            table.push('\n');
        }
        // The columns are the events in their order.
        let expected = "\
no sentinel   : Abs Par Ind Ind Dow Abs Ind Dow Ref
download begun: Abs Par Ind Ind Dow Par Ind Dow Ref
to hash       : Abs Par Ind Ind Dow Ind Ind Dow Ref
complete      : Abs Par Dow Ind Dow Ind Ind Dow Ref
refused       : Abs Par Ref Ref Dow Ref Ind Dow Ref
";
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn trying_again_does_not_make_a_file_readable() {
        let missing = std::path::Path::new("/missing");
        let error = lanspread_disk::RealDisk::open(missing)
            .map(drop)
            .unwrap_err();
        let mut record = Record::new(None);
        record.settle(&id(), Settled::Refused(RefusalReason::Unreadable(error)));
        record.settle(&id(), Settled::Indexing { bytes: 7 });
        assert_eq!(record.shown(&id()).state, LocalState::Refused);
        record.settle(&id(), Settled::Complete(slot()));
        assert_eq!(record.shown(&id()).state, LocalState::Downloaded);
    }
}
