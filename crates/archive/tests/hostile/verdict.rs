//! What an install answered, in a word.

use lanspread_install::{InstallError, Installed, UnpackError, UnsafeEntry};
use lanspread_proto::{PathError, limits::LimitExceeded};

/// The answer's class, as the table shows it.
pub(crate) fn verdict(answer: &Result<Installed, InstallError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(InstallError::Unpack(error)) => refusal(error),
        Err(InstallError::NothingInside { .. }) => "nothing",
        Err(_) => "other!",
    }
}

pub(crate) fn refusal(error: &UnpackError) -> &'static str {
    match error {
        UnpackError::Unsupported { what, .. } => unsupported(what),
        UnpackError::Damaged { .. } => "damaged",
        UnpackError::Unsafe { why, .. } => unsafe_entry(why),
        UnpackError::Limit { source, .. } => limit(source),
        _ => "other!",
    }
}

fn unsupported(what: &str) -> &'static str {
    const WORDS: [(&str, &str); 4] = [
        ("encrypted", "encrypted"),
        ("volumes", "volume"),
        ("sparse", "sparse"),
        ("no archive", "no archive"),
    ];
    let found = WORDS.iter().find(|(word, _)| what.contains(word));
    found.map_or("unsupported", |(_, short)| short)
}

fn unsafe_entry(why: &UnsafeEntry) -> &'static str {
    match why {
        UnsafeEntry::Path(PathError::Duplicate { .. }) => "twice",
        UnsafeEntry::Path(PathError::Collision { .. }) => "collision",
        UnsafeEntry::Path(PathError::FileAndFolder { .. }) => "file+folder",
        UnsafeEntry::Path(_) => "path",
        UnsafeEntry::Reserved => "reserved",
        UnsafeEntry::SymbolicLink => "symlink",
        UnsafeEntry::HardLink => "hard link",
        UnsafeEntry::Device => "device",
        UnsafeEntry::Longer { .. } => "longer",
        _ => "other!",
    }
}

fn limit(limit: &LimitExceeded) -> &'static str {
    const WORDS: [(&str, &str); 6] = [
        ("entries", "entries"),
        ("headers", "entries"),
        ("dictionary", "dictionary"),
        ("window", "dictionary"),
        ("of this size", "ratio"),
        ("bytes of", "bytes"),
    ];
    let found = WORDS.iter().find(|(word, _)| limit.what.contains(word));
    found.map_or("limit", |(_, short)| short)
}
