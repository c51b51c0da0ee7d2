//! What a walk yields.

use std::sync::Arc;

use lanspread_archive::{ArchiveLimits, EntryKind, EntryMeta, EntrySink, walk};
use lanspread_install::{StagingError, Totals, UnpackError};
use lanspread_testkit::archives::{Blob, Entry, Form};

use crate::support::packed;

/// Writes down what it gets, and fails when it is told to.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    fail_at: Option<&'static str>,
}

impl Notes {
    fn note(&mut self, line: String) -> Result<(), StagingError> {
        let fails = self.fail_at.is_some_and(|word| line.starts_with(word));
        self.lines.push(line);
        if fails {
            Err(StagingError::Cancelled)
        } else {
            Ok(())
        }
    }
}

impl EntrySink for Notes {
    fn expect(&mut self, totals: Totals) -> Result<(), StagingError> {
        self.note(format!("expect {:?} in {:?}", totals.bytes, totals.files))
    }

    fn begin(&mut self, entry: &EntryMeta) -> Result<(), StagingError> {
        let kind = match entry.kind {
            EntryKind::Folder => "folder".to_owned(),
            EntryKind::File { bytes, executable } => format!("file of {bytes}, {executable}"),
        };
        self.note(format!("begin {} {kind}", entry.path))
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        assert!(!bytes.is_empty());
        // How it is cut is not promised.
        match self.lines.last_mut() {
            Some(last) if last.starts_with("data") => {
                let before: usize = last[5..].parse().unwrap();
                *last = format!("data {}", before + bytes.len());
                Ok(())
            }
            _ => self.note(format!("data {}", bytes.len())),
        }
    }

    fn end(&mut self) -> Result<(), StagingError> {
        self.note("end".to_owned())
    }
}

fn entries() -> Vec<Entry> {
    vec![
        Entry::folder("data"),
        Entry::file("data/z", Blob::zeros(600_000)).mode(0o755),
        Entry::file("data/empty", ""),
        Entry::file("a", "hello"),
    ]
}

fn walked(form: Form, sink: &mut Notes) -> Result<(), UnpackError> {
    let archive = packed(form, &entries());
    walk(&[archive], &ArchiveLimits::default(), &Arc::default(), sink)
}

#[test]
fn entries_come_in_the_order_of_the_archive() {
    for form in Form::ALL {
        if cfg!(not(feature = "rar")) && matches!(form, Form::Rar4 | Form::Rar5) {
            continue;
        }
        let mut notes = Notes::default();
        walked(form, &mut notes).unwrap();
        let mut expected = vec![
            if form.is_tar() {
                "expect None in None"
            } else {
                "expect Some(600005) in Some(3)"
            },
            "begin data folder",
            "begin data/z file of 600000, true",
            "data 600000",
            "end",
            "begin data/empty file of 0, false",
            "end",
            "begin a file of 5, false",
            "data 5",
            "end",
        ];
        if matches!(
            form,
            Form::SevenZ | Form::SevenZDeflated | Form::SevenZLzma2
        ) {
            // 7z has what is empty at its end.
            expected = [
                &expected[..1],
                &expected[2..5],
                &expected[7..],
                &expected[1..2],
                &expected[5..7],
            ]
            .concat();
        }
        assert_eq!(notes.lines, expected, "{form:?}");
    }
}

#[test]
fn a_sink_that_fails_ends_the_walk_and_its_error_is_the_result() {
    for form in Form::ALL {
        if cfg!(not(feature = "rar")) && matches!(form, Form::Rar4 | Form::Rar5) {
            continue;
        }
        for word in ["expect", "begin data/z", "begin a", "data", "end"] {
            let mut notes = Notes {
                fail_at: Some(word),
                ..Notes::default()
            };
            let error = walked(form, &mut notes).unwrap_err();
            assert!(
                matches!(error, UnpackError::Staging(StagingError::Cancelled)),
                "{form:?} {word}: {error:?}"
            );
            assert!(
                notes.lines.last().unwrap().starts_with(word),
                "{form:?} {word}"
            );
        }
    }
}

#[test]
fn no_archive_at_all_holds_nothing() {
    let mut notes = Notes::default();
    walk(&[], &ArchiveLimits::default(), &Arc::default(), &mut notes).unwrap();
    assert_eq!(notes.lines, ["expect Some(0) in Some(0)"]);
}
