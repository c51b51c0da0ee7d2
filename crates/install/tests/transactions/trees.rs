//! Any old tree, any new tree, any moment to stop: the sentinel means the whole new version.

use std::collections::BTreeMap;

use proptest::{collection::btree_map, prelude::*};

use crate::support::{Found, Version, fetch, judge, machine_on, memory};

/// Trees over few names, so that two of them collide in every way: a file here, a folder there.
fn tree() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c.exe")];
    let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let content = proptest::collection::vec(any::<u8>(), 0..4);
    let node = prop_oneof![4 => content.prop_map(Some), 1 => Just(None)];
    btree_map(path, node, 0..8).prop_map(|nodes| {
        let mut files = BTreeMap::new();
        for (path, content) in &nodes {
            let is_folder = nodes
                .keys()
                .any(|other| other.starts_with(&format!("{path}/")));
            match content {
                _ if is_folder => {}
                Some(content) => drop(files.insert(path.clone(), content.clone())),
                None => drop(files.insert(format!("{path}/"), Vec::new())),
            }
        }
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_update_from_any_tree_to_any_other_is_whole(old in tree(), new in tree()) {
        let (old, new) = (Version::of("1\n", old), Version::of("2\n", new));
        let disk = memory();
        let machine = machine_on(&disk);
        machine.download(&old, None).unwrap();
        prop_assert_eq!(judge(&disk.image(), &[&old]), Ok(Found::Version(0)));
        machine.download(&new, Some(&old)).unwrap();
        prop_assert_eq!(judge(&disk.image(), &[&old, &new]), Ok(Found::Version(1)));
        let fresh = memory();
        machine_on(&fresh).download(&new, None).unwrap();
        prop_assert_eq!(machine.tree(), machine_on(&fresh).tree(), "nothing old is left");
    }

    #[test]
    fn stopped_anywhere_it_goes_on_or_is_taken_back(
        trees in proptest::collection::vec(tree(), 3),
        stop in 0_usize..8,
        discards in any::<bool>(),
    ) {
        let [old, middle, new] = [0, 1, 2].map(|at| {
            Version::of(&format!("{at}\n"), trees[at].clone())
        });
        let disk = memory();
        let machine = machine_on(&disk);
        machine.download(&old, None).unwrap();
        let download = machine.begin(&middle, Some(&old)).unwrap();
        let held = download.reconcile(&false.into(), &|_| {}).unwrap();
        for chunk in held.missing().take(stop) {
            download.write_chunk(chunk, middle.chunk(chunk)).unwrap();
        }
        if discards { download.discard().unwrap() } else { drop(download) }
        prop_assert_eq!(judge(&disk.image(), &[&old, &middle]), Ok(Found::NotDownloaded));
        machine.recover().unwrap();
        let download = machine.begin(&new, None).unwrap();
        fetch(&download, &new).unwrap();
        download.publish().unwrap();
        prop_assert_eq!(judge(&disk.image(), &[&old, &middle, &new]), Ok(Found::Version(2)));
        for image in disk.crash_images_now(1) {
            prop_assert_eq!(judge(&image, &[&new]), Ok(Found::Version(0)));
        }
    }
}
