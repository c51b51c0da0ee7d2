//! The vectors of hostile paths, as names of entries in every format.

use lanspread_archive::ArchiveUnpacker;
use lanspread_install::{UnpackError, Unpacker};
use lanspread_proto::{
    GamePath,
    path::{EntryKind, PathSet, fold},
};
use lanspread_testkit::{
    MemoryStaging, archive_in_memory,
    archives::{Entry, Form},
};
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use crate::verdict::refusal;

#[derive(Debug, Deserialize)]
struct Vector {
    class: String,
    path: String,
    verdict: String,
    scope: Option<String>,
}

const PAIRS: &str = "sets-as-pairs-reject-second";

/// Those that belong to where a payload lies, not to what is in an archive.
const TOP_LEVEL: &str = "top level of a payload manifest";

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../proto/tests/data/hostile_paths.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_vector_is_a_name_that_is_refused_or_taken() {
    let (mut refused, mut taken) = (0, 0);
    for vector in vectors().iter().filter(|vector| vector.class != PAIRS) {
        for form in Form::ALL {
            let Some(answer) = unpack(form, &[&vector.path]) else {
                continue;
            };
            let path = meant(form, &vector.path);
            let expected = is_taken(vector, &path);
            assert_eq!(answer.is_ok(), expected, "{form:?} {vector:?}: {answer:?}");
            match answer {
                Ok(files) => {
                    assert_eq!(files, [path], "{form:?} {vector:?}");
                    taken += 1;
                }
                Err(error) => {
                    let refusal = refusal(&error);
                    assert!(
                        is_refusal_of_a_name(form, &vector.path, refusal),
                        "{form:?} {vector:?}: {refusal}, {error:?}"
                    );
                    refused += 1;
                }
            }
        }
    }
    // So that a form that says nothing is noticed.
    assert!(
        refused > 1_000 && taken > 200,
        "{refused} refused, {taken} taken"
    );
}

#[test]
fn the_second_of_every_pair_is_refused() {
    for vector in vectors().iter().filter(|vector| vector.class == PAIRS) {
        let (first, second) = vector.path.split_once('|').unwrap();
        for form in Form::ALL {
            let Some(answer) = unpack(form, &[first, second]) else {
                continue;
            };
            assert!(fits_not(form, first, second), "{form:?} {vector:?}");
            let refusal = refusal(&answer.unwrap_err());
            assert!(
                matches!(refusal, "twice" | "collision" | "file+folder" | "path"),
                "{form:?} {vector:?}: {refusal}"
            );
        }
    }
}

/// Unpacks an archive of files with these names; the paths of what came out, `None` if the format cannot
/// have such a name.
fn unpack(form: Form, names: &[&str]) -> Option<Result<Vec<String>, UnpackError>> {
    let entries: Vec<_> = names.iter().map(|name| Entry::file(name, "")).collect();
    let archive = archive_in_memory("game.eti", form.pack(&entries)?.to_vec());
    let staging = MemoryStaging::new();
    let answer = ArchiveUnpacker::default().unpack(&[archive], &staging);
    Some(answer.map(|()| {
        staging
            .files()
            .into_keys()
            .chain(staging.folders())
            .collect()
    }))
}

/// What a name means in a format, before it is held against the rules.
fn meant(form: Form, name: &str) -> String {
    let mut name: String = name.nfc().collect();
    if form == Form::Rar4 {
        name = name.replace('\\', "/");
    }
    let name = name.trim_start_matches("./");
    let ends_as_folder = form.is_tar() || matches!(form, Form::Zip | Form::ZipDeflated);
    match name.strip_suffix('/') {
        Some(folder) if ends_as_folder => folder.to_owned(),
        _ => name.to_owned(),
    }
}

/// Whether the name is taken: as the vector says where the format adds no meaning of its own, else as the
/// path says that it means.
fn is_taken(vector: &Vector, meant: &str) -> bool {
    let is_marker = fold(meant.split('/').next().unwrap()) == ".lanspread_owned";
    let is_path = meant.parse::<GamePath>().is_ok() && !is_marker;
    if meant == vector.path && vector.scope.as_deref() != Some(TOP_LEVEL) {
        assert_eq!(is_path, vector.verdict == "accept", "{vector:?}");
    }
    is_path
}

fn fits_not(form: Form, first: &str, second: &str) -> bool {
    let mut set = PathSet::new();
    [first, second].iter().any(|name| {
        let path = meant(form, name).parse::<GamePath>();
        path.is_err() || path.is_ok_and(|path| set.insert(&path, EntryKind::File).is_err())
    })
}

/// A name is refused as one; but readers stumble over some before we see them.
fn is_refusal_of_a_name(form: Form, name: &str, refusal: &str) -> bool {
    let stumbles = name.is_empty() || name.contains('\0');
    matches!(refusal, "path" | "reserved")
        || stumbles && matches!(form, Form::Rar4 | Form::Rar5) && refusal == "damaged"
}
