//! Operations that overtake looks.

use std::path::Path;

use lanspread_disk::{FileStamp, RealDisk, StoredPayload};
use lanspread_proto::Manifest;

use super::*;
use crate::{payload::Origin, snapshot::LocalState};

fn id() -> GameId {
    "doom".parse().unwrap()
}

fn stamp() -> FileStamp {
    FileStamp {
        size: 1,
        modified_ns: 1,
        file_id: 1,
    }
}

fn folder() -> FolderScan {
    let sentinel = Sentinel {
        version: "1".parse().unwrap(),
        content: (*b"1").into(),
        stamp: stamp(),
    };
    FolderScan {
        sentinel: SentinelScan::Valid(sentinel),
        installed: false,
        installed_version: None,
        partial: false,
    }
}

fn slot() -> Arc<PayloadSlot> {
    let manifest = Manifest::new(b"1".to_vec(), Vec::new(), Vec::new()).unwrap();
    let stored = StoredPayload::new(Arc::new(manifest), Arc::default()).unwrap();
    let payload = LocalPayload::new(id(), stored, Vec::new(), Origin::Downloaded);
    Arc::new(PayloadSlot::loaded(Arc::new(payload), stamp()))
}

fn unreadable() -> RefusalReason {
    let error = RealDisk::open(Path::new("/missing")).map(drop).unwrap_err();
    RefusalReason::Unreadable(error)
}

fn state(records: &Records) -> LocalState {
    let snapshot = records.snapshot(&LibrarySnapshot::default()).unwrap();
    snapshot.get(&id()).unwrap().state
}

#[test]
fn what_a_look_found_counts_unless_an_operation_was_there_at_any_moment() {
    type Operation = fn(&mut Records);
    let operations: [(&str, Operation); 5] = [
        ("hold", |records| records.hold(&id())),
        ("release", |records| _ = records.release(&id())),
        ("doubt", |records| records.withdraw(&id(), &[])),
        ("refresh", |records| {
            records.refresh(&id(), Some(&folder()));
        }),
        ("commit", |records| records.commit(&id(), &folder(), slot())),
    ];
    let mut records = Records::default();
    assert!(records.is_current(&records.ticket(&id())));
    for (name, operation) in operations {
        let (ticket, root) = (records.ticket(&id()), records.touched_any());
        operation(&mut records);
        assert!(!records.is_current(&ticket), "{name}");
        assert!(!records.begin_saving(&ticket), "{name}");
        assert_ne!(records.touched_any(), root, "{name}");
    }
    assert!(records.is_current(&records.ticket(&id())));
}

#[test]
fn a_failure_that_comes_late_refuses_nothing() {
    let mut records = Records::default();
    let indexing = Settled::Indexing { bytes: 1 };
    records.settle(&id(), &folder(), Some(indexing));
    records.hold(&id());
    records.refuse(&id(), unreadable());
    assert_eq!(state(&records), LocalState::Indexing, "held");
    records.commit(&id(), &folder(), slot());
    records.release(&id());
    records.refuse(&id(), unreadable());
    assert_eq!(state(&records), LocalState::Downloaded, "committed since");
    records.withdraw(&id(), &[]);
    records.refuse(&id(), unreadable());
    assert_eq!(state(&records), LocalState::Refused, "hashed again");
}

#[test]
fn a_list_of_folders_is_older_than_the_games_that_came_or_went_since() {
    let mut records = Records::default();
    let empty = records.touched_any();
    records.settle(&id(), &folder(), None);
    let came = records.touched_any();
    assert_ne!(came, empty);
    records.settle(&id(), &folder(), None);
    assert_eq!(records.touched_any(), came, "nothing new");
    records.vanish(&id());
    let went = records.touched_any();
    assert_ne!(went, came);
    records.vanish(&id());
    assert_eq!(records.touched_any(), went, "nothing new");
}
