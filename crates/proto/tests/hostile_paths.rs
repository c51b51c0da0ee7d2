//! The vectors of hostile paths, and what holds for every path there is.

use std::time::{Duration, Instant};

use lanspread_proto::{
    GamePath, PathError, limits,
    path::{EntryKind, PathSet, fold},
};
use proptest::prelude::*;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

#[derive(Debug, Deserialize)]
struct Vector {
    class: String,
    path: String,
    verdict: String,
    scope: Option<String>,
}

const PAIRS: &str = "sets-as-pairs-reject-second";

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("data/hostile_paths.json")).expect("the vectors are JSON")
}

fn parse(text: &str) -> Result<GamePath, PathError> {
    text.parse()
}

#[test]
fn every_single_path_gets_its_verdict() {
    let singles: Vec<_> = vectors()
        .into_iter()
        .filter(|vector| vector.class != PAIRS)
        .collect();
    assert_eq!(singles.len(), 135);
    for vector in singles {
        let parsed = parse(&vector.path);
        let accepted = match vector.scope.as_deref() {
            None => parsed.is_ok(),
            Some("top level of a payload manifest") => {
                parsed.is_ok_and(|path| path.check_payload_top_level().is_ok())
            }
            Some(scope) => panic!("a scope that this test does not know: {scope}"),
        };
        assert_eq!(accepted, vector.verdict == "accept", "{vector:?}");
    }
}

#[test]
fn what_is_accepted_is_accepted_in_a_payload() {
    for vector in vectors().iter().filter(|vector| vector.verdict == "accept") {
        assert_eq!(
            parse(&vector.path).unwrap().check_payload_top_level(),
            Ok(()),
            "{vector:?}"
        );
    }
}

#[test]
fn the_second_of_every_pair_is_refused() {
    let pairs: Vec<_> = vectors()
        .into_iter()
        .filter(|vector| vector.class == PAIRS)
        .collect();
    assert_eq!(pairs.len(), 11);
    for vector in pairs {
        let (first, second) = vector.path.split_once('|').unwrap();
        // Some are no path even by themselves, like the Kelvin sign, which NFC turns into a K.
        let refused = match (parse(first), parse(second)) {
            (Ok(first), Ok(second)) => {
                let mut set = PathSet::new();
                set.insert(&first, EntryKind::File).unwrap();
                set.insert(&second, EntryKind::File).is_err()
            }
            _ => true,
        };
        assert!(refused, "{vector:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_and_shown() {
    assert_eq!(GamePath::from_bytes("ü/x".as_bytes()), parse("ü/x"));
    // A stray byte, a surrogate, an overlong slash, a cut character.
    for bytes in [&b"a\xffb"[..], b"\xed\xa0\x80", b"..\xc0\xafx", b"a/\xc3"] {
        let error = GamePath::from_bytes(bytes).unwrap_err();
        assert!(matches!(error, PathError::NotUtf8 { .. }), "{error}");
    }
    let error = GamePath::from_bytes(b"a\xffb").unwrap_err();
    assert_eq!(error.to_string(), "the path \"a\\xffb\" is not UTF-8");
}

#[test]
fn limits_hold_at_n_and_refuse_n_plus_one() {
    let refused = |text: &str, what: &str| {
        let error = parse(text).unwrap_err();
        assert!(
            matches!(&error, PathError::Limit { limit, .. } if limit.what == what),
            "{error}"
        );
    };
    let component = |bytes: usize| "x".repeat(bytes);
    assert!(parse(&component(limits::COMPONENT_BYTES_MAX)).is_ok());
    refused(
        &component(limits::COMPONENT_BYTES_MAX + 1),
        "a component's length in bytes",
    );
    assert!(parse(&"é".repeat(limits::COMPONENT_BYTES_MAX / 2)).is_ok());
    refused(
        &"é".repeat(limits::COMPONENT_BYTES_MAX / 2 + 1),
        "a component's length in bytes",
    );

    let path = |bytes: usize| {
        let mut text = format!("{}/", component(100)).repeat(bytes / 101);
        text.push_str(&component(bytes - text.len()));
        assert_eq!(text.len(), bytes);
        text
    };
    assert!(parse(&path(limits::PATH_BYTES_MAX)).is_ok());
    refused(
        &path(limits::PATH_BYTES_MAX + 1),
        "a path's length in bytes",
    );

    let depth = |components: usize| vec!["d"; components].join("/");
    assert!(parse(&depth(limits::PATH_DEPTH_MAX)).is_ok());
    refused(&depth(limits::PATH_DEPTH_MAX + 1), "a path's depth");
}

#[test]
fn no_accepted_component_has_too_many_utf16_units() {
    let units = |text: &str| text.encode_utf16().count();
    let widest = "x".repeat(limits::COMPONENT_UTF16_MAX);
    assert_eq!(
        units(parse(&widest).unwrap().file_name()),
        limits::COMPONENT_UTF16_MAX
    );
    for char in ["x", "é", "日", "🎮"] {
        let text = char.repeat((limits::COMPONENT_UTF16_MAX + 1).div_ceil(units(char)));
        assert!(
            units(&text) > limits::COMPONENT_UTF16_MAX && parse(&text).is_err(),
            "{char}"
        );
    }
}

#[test]
fn every_error_names_its_path_escaped_and_cut() {
    let mut set = PathSet::new();
    for path in ["taken", "folder/file"] {
        set.insert(&parse(path).unwrap(), EntryKind::File).unwrap();
    }
    set.insert(&parse("hollow").unwrap(), EntryKind::EmptyFolder)
        .unwrap();
    let mut insert = |path: &str| {
        set.insert(&parse(path).unwrap(), EntryKind::File)
            .unwrap_err()
    };
    let errors = [
        GamePath::from_bytes(b"\xff").unwrap_err(),
        parse("/x").unwrap_err(),
        parse("a//b").unwrap_err(),
        parse("..").unwrap_err(),
        parse("a\u{202e}b").unwrap_err(),
        parse("a.").unwrap_err(),
        parse("NUL").unwrap_err(),
        parse("A~1").unwrap_err(),
        parse("e\u{301}").unwrap_err(),
        parse(&"x".repeat(241)).unwrap_err(),
        parse("LOCAL")
            .unwrap()
            .check_payload_top_level()
            .unwrap_err(),
        insert("taken"),
        insert("Taken"),
        insert("taken/x"),
        insert("hollow/x"),
    ];
    let printed: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        r#"the path "\xff" is not UTF-8"#,
        r#"the path "/x" is absolute"#,
        r#"the path "a//b" has an empty component"#,
        r#"the path ".." has a component of dots, which leads elsewhere"#,
        r#"the path "a\u{202e}b" holds '\u{202e}', which not every system stores and shows"#,
        r#"the path "a." has a component that ends with a dot or a space"#,
        r#"the path "NUL" names a Windows device"#,
        r#"the path "A~1" has the form of an 8.3 short name"#,
        r#"the path "e\u{301}" is not in Unicode NFC"#,
        &format!(
            r#"the path "{}…" meets a limit: a component's length in bytes is 241, the limit is 240"#,
            "x".repeat(120)
        ),
        r#"the path "LOCAL" uses a reserved name"#,
        r#"the path "taken" comes twice"#,
        r#"the path "Taken" and "taken" are one name on some systems"#,
        r#"the path "taken/x" needs "taken" to be both a file and a folder"#,
        r#"the path "hollow/x" contradicts that the folder "hollow" is empty"#,
    ];
    assert_eq!(printed, expected);
}

#[test]
fn a_set_takes_the_largest_manifest_quickly() {
    let paths: Vec<_> = (0..limits::MANIFEST_ENTRIES_MAX)
        .map(|at| {
            parse(&format!(
                "Data/Textures/Part {:03}/Schicht-{at}.dds",
                at / 500
            ))
            .unwrap()
        })
        .collect();
    let start = Instant::now();
    let mut set = PathSet::new();
    for path in &paths {
        set.insert(path, EntryKind::File).unwrap();
    }
    // Ten times what an unoptimised build needs, so that only another order of growth fails it.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

/// Texts near the rules: pieces that matter, glued together, and any characters between.
fn near_paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-zA-Z0-9._~ -]{1,6}",
        2 => Just("/".to_owned()),
        1 => "[äÄßıİſKéﬁ日🎮]{1,3}",
        1 => any::<char>().prop_map(String::from),
        1 => proptest::sample::select(vec!["..", "CON", "local", "\u{301}", "version.ini", "~1"])
            .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_parses_is_stable(text in near_paths()) {
        if let Ok(path) = parse(&text) {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert_eq!(parse(&path.to_string()), Ok(path.clone()));
            prop_assert_eq!(text.nfc().collect::<String>(), text.as_str());
            prop_assert!(path.components().all(|component| parse(component).is_ok()));
            let parent = path.parent().map(|parent| parse(parent.as_str()));
            prop_assert!(parent.is_none_or(|parent| parent.is_ok()));
            prop_assert!(path.components().all(|part| !matches!(part, "" | "." | "..")));
        }
    }

    #[test]
    fn folding_is_idempotent_and_blind_to_case_and_form(text in near_paths()) {
        let folded = fold(&text);
        prop_assert_eq!(fold(&folded), folded.clone());
        prop_assert_eq!(fold(&text.nfd().collect::<String>()), folded.clone());
        prop_assert_eq!(fold(&text.nfc().collect::<String>()), folded.clone());
        prop_assert_eq!(fold(&text.to_uppercase()), fold(&text.to_lowercase()));
    }

    #[test]
    fn no_text_and_no_bytes_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = parse(&text).map(|path| path.check_payload_top_level());
        let _ = GamePath::from_bytes(&bytes);
        let _ = fold(&text);
        let _ = lanspread_proto::names::is_reserved(&text);
    }

    #[test]
    fn a_set_answers_alike_in_any_order(mut texts in proptest::collection::vec("[abA](/[abA]){0,2}", 1..6)) {
        let fits = |texts: &[String]| {
            let mut set = PathSet::new();
            texts.iter().all(|text| set.insert(&parse(text).unwrap(), EntryKind::File).is_ok())
        };
        let forwards = fits(&texts);
        texts.reverse();
        prop_assert_eq!(fits(&texts), forwards);
        texts.sort();
        prop_assert_eq!(fits(&texts), forwards);
    }
}
