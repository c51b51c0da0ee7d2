//! Archives that end too early.

use lanspread_archive::ArchiveUnpacker;
use lanspread_install::Unpacker;
use lanspread_testkit::{
    MemoryStaging, archive_in_memory,
    archives::{Blob, Entry, Form},
    bytes,
};

use crate::{
    lab::Lab,
    verdict::{refusal, verdict},
};

const PLACES: usize = 100;

fn entries() -> Vec<Entry> {
    vec![
        Entry::folder("folder"),
        Entry::file("folder/large", bytes("large", 100_000)),
        Entry::file("folder/empty", ""),
        Entry::file("last", bytes("last", 5_000)),
    ]
}

#[test]
fn cut_at_a_hundred_places_an_archive_is_damaged() {
    for form in Form::ALL {
        let whole = form.pack(&entries()).unwrap().to_vec();
        for place in 0..PLACES {
            let cut = &whole[..whole.len() * place / PLACES];
            let staging = MemoryStaging::new();
            let archive = archive_in_memory("game.eti", cut);
            let answer = ArchiveUnpacker::default().unpack(&[archive], &staging);
            let what = format!("{form:?} cut to {} of {}", cut.len(), whole.len());
            match answer {
                Ok(()) => assert!(is_whole_without_its_end(form, &staging), "{what}"),
                Err(error) => {
                    let refusal = refusal(&error);
                    assert!(
                        matches!(refusal, "damaged" | "no archive"),
                        "{what}: {error:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_cut_archive_leaves_nothing_behind() {
    for form in Form::ALL {
        let whole = form.pack(&entries()).unwrap().to_vec();
        let cut = Blob::from(&whole[..whole.len() / 2]);
        let lab = Lab::new(&cut);
        assert_eq!(verdict(&lab.install().answer), "damaged", "{form:?}");
        lab.assert_untouched(&format!("{form:?}"));
    }
}

/// Tar and RAR are lists: without its end mark a list is still as long as it is. What is there must be
/// whole, and what is missing can only be at the end.
fn is_whole_without_its_end(form: Form, staging: &MemoryStaging) -> bool {
    let is_list = form.is_tar() || matches!(form, Form::Rar4 | Form::Rar5);
    let files = staging.files();
    is_list
        && entries().iter().all(|entry| {
            let name = std::str::from_utf8(entry.name()).unwrap();
            let file = files.get(name);
            file.is_none_or(|file| Some(&file.bytes) == entry.content().map(Blob::to_vec).as_ref())
        })
}
