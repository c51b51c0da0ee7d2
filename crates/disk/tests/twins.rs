//! The twins lie in exactly the ways they say, or the tests that trust them prove nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::ErrorKind;

use lanspread_disk::{
    Disk, DiskFile, FileMode,
    twin::{Image, PowerCutDisk, RecordingDisk, Verb, Verdict},
};

const SEED: u64 = 1;

fn write<D: Disk>(disk: &D, path: &str, content: &[u8]) -> D::File {
    let file = disk.create_new(path, FileMode::Plain).unwrap();
    file.write_all_at(content, 0).unwrap();
    file
}

fn contents(images: &[Image], path: &str) -> Vec<Option<Vec<u8>>> {
    let mut found: Vec<_> = images
        .iter()
        .map(|image| image.content(path).map(<[u8]>::to_vec))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn what_was_not_synced_may_be_missing_in_any_part() {
    let disk = PowerCutDisk::new();
    write(&disk, "x", b"abc");
    assert_eq!(
        contents(&disk.crash_images_now(SEED), "x"),
        [None, Some(vec![]), Some(b"abc".to_vec())]
    );
    disk.open_read("x").unwrap().sync().unwrap();
    assert_eq!(
        contents(&disk.crash_images_now(SEED), "x"),
        [None, Some(b"abc".to_vec())]
    );
    disk.sync_folder("").unwrap();
    assert_eq!(
        contents(&disk.crash_images_now(SEED), "x"),
        [Some(b"abc".to_vec())]
    );
    // The history still holds every earlier moment.
    assert_eq!(contents(&disk.crash_images(SEED), "x").len(), 3);
}

#[test]
fn a_rename_before_its_content_can_leave_an_empty_file_under_the_new_name() {
    let disk = PowerCutDisk::new();
    drop(write(&disk, "x", b"old"));
    disk.settle();
    drop(write(&disk, "t", b"new"));
    disk.rename("t", "x").unwrap();
    let bad = contents(&disk.crash_images(SEED), "x");
    assert_eq!(
        bad,
        [Some(vec![]), Some(b"new".to_vec()), Some(b"old".to_vec())]
    );

    let disk = PowerCutDisk::new();
    drop(write(&disk, "x", b"old"));
    disk.settle();
    disk.write_atomic("x", b"new", FileMode::Plain).unwrap();
    let good = contents(&disk.crash_images(SEED), "x");
    assert_eq!(good, [Some(b"new".to_vec()), Some(b"old".to_vec())]);
    assert_eq!(disk.crash_images_now(SEED).len(), 1);
}

#[test]
fn many_pending_changes_are_sampled_with_both_ends() {
    let disk = PowerCutDisk::new();
    for n in 0..20 {
        disk.create_folder(&n.to_string()).unwrap();
    }
    let images = disk.crash_images_now(SEED);
    assert!(
        images.len() > 400 && images.len() <= 600,
        "{}",
        images.len()
    );
    for wanted in [0, 1, 19, 20] {
        assert!(
            images.iter().any(|image| image.nodes().len() == wanted),
            "{wanted} of 20"
        );
    }
}

#[test]
fn a_lost_sync_fails_once_and_the_next_one_lies() {
    let disk = PowerCutDisk::new();
    let file = write(&disk, "x", b"abc");
    disk.sync_folder("").unwrap();
    disk.lose_sync_after(0);
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok());
    assert_eq!(
        contents(&disk.crash_images_now(SEED), "x"),
        [Some(vec![]), Some(b"abc".to_vec())]
    );
}

#[test]
fn a_machine_comes_up_with_what_the_cut_left() {
    let disk = PowerCutDisk::new();
    disk.create_folders_synced("a/b").unwrap();
    drop(write(&disk.folder("a/b"), "x", b"abc"));
    disk.folder("a").put_link("link").unwrap();
    let again = PowerCutDisk::from_image(&disk.image());
    assert_eq!(again.read_file("a/b/x", 9).unwrap().unwrap(), b"abc");
    assert!(again.open_read("a/link").err().unwrap().is_wrong_kind());
    drop(write(&again, "a/b/new", b""));
    assert!(!disk.image().has("a/b/new"), "another machine's disk");
}

#[test]
fn the_recorder_counts_fails_and_pretends() {
    let memory = PowerCutDisk::new();
    let disk = RecordingDisk::new(memory.folder(""), |operation| match operation.verb {
        Verb::CreateFolder => Verdict::Fail(ErrorKind::StorageFull),
        Verb::SyncFolder => Verdict::Pretend,
        _ => Verdict::Proceed,
    });
    let beside = disk.beside(memory.clone());
    assert!(disk.create_folder("f").unwrap_err().is_out_of_space());
    let file = write(&beside, "x", b"abc");
    file.sync().unwrap();
    disk.sync_folder("").unwrap();
    assert!(!memory.image().has("f"));
    assert_eq!(
        memory.crash_images_now(SEED).len(),
        2,
        "the folder was not synced"
    );
    let verbs: Vec<Verb> = disk
        .operations()
        .iter()
        .map(|operation| operation.verb)
        .collect();
    assert_eq!(
        verbs,
        [
            Verb::CreateFolder,
            Verb::CreateNew,
            Verb::WriteAllAt,
            Verb::SyncFile,
            Verb::SyncFolder
        ]
    );
    assert_eq!(disk.operations()[3].path, "x");
    assert!(verbs[3].is_sync() && verbs[0].is_change() && !Verb::ReadAt.is_change());
}

#[test]
fn a_tree_is_removed_by_single_operations() {
    let disk = RecordingDisk::new(PowerCutDisk::new(), |_| Verdict::Proceed);
    disk.create_folders_synced("a/b").unwrap();
    drop(write(&disk, "a/b/x", b""));
    disk.remove_tree("a").unwrap();
    let removed: Vec<String> = disk
        .operations()
        .into_iter()
        .filter(|operation| matches!(operation.verb, Verb::RemoveFile | Verb::RemoveFolder))
        .map(|operation| operation.path)
        .collect();
    assert_eq!(removed, ["a/b/x", "a/b", "a"]);
}
