//! How the program ends: exit codes are a contract for scripts.

use std::{fmt, process::ExitCode};

use lanspread_peer::{ErrorCode, Failure, PartyError, StartError};

/// Why the program ends, with the number that the calling process sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// An operation failed.
    Failed,
    /// The command line, a shell line or a configuration file makes no sense.
    Usage,
    /// No peer had the game.
    NoPeer,
    /// Not enough room on the disk.
    DiskFull,
    /// Somebody cancelled the operation.
    Cancelled,
    /// Another process holds the directory.
    InUse,
    /// The certificates of the two peers belong to different parties.
    PartyMismatch,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the calling process sees.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoPeer => 3,
            Self::DiskFull => 4,
            Self::Cancelled => 5,
            Self::InUse => 6,
            Self::PartyMismatch => 7,
            Self::Interrupted => 130,
        }
    }

    /// The end that an error of this code makes.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BadInput => Self::Usage,
            ErrorCode::NoSource | ErrorCode::UnknownGame => Self::NoPeer,
            ErrorCode::DiskFull => Self::DiskFull,
            ErrorCode::Cancelled => Self::Cancelled,
            ErrorCode::InUse => Self::InUse,
            ErrorCode::PartyMismatch => Self::PartyMismatch,
            _ => Self::Failed,
        }
    }

    /// The end that an error makes which kept a command from being asked at all.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            Self::of(failure.code)
        } else if let Some(error) = error.downcast_ref::<StartError>() {
            Self::of(error.code())
        } else if error.is::<Misused>() || error.is::<PartyError>() {
            Self::Usage
        } else {
            Self::Failed
        }
    }
}

/// Marks an error as one of whoever wrote the command line, the environment or the file.
#[derive(Debug)]
struct Misused(anyhow::Error);

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(&self.0))
    }
}

impl std::error::Error for Misused {}

/// Marks an error as one of usage.
pub(crate) fn usage(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Misused(error))
}

/// An error and its causes in one sentence; a cause whose words are there already is not repeated.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if sentence.is_empty() {
            sentence = text;
        } else if !sentence.ends_with(&text) {
            sentence = format!("{sentence}: {}", text.trim_end());
        }
    }
    sentence
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// The end of a run of several commands: the one kind of failure that there was, or plain
/// [`Exit::Failed`] when there were several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict(Exit);

impl Verdict {
    /// Nothing has failed yet.
    pub(crate) const fn new() -> Self {
        Self(Exit::Success)
    }

    /// Takes one more result into account.
    pub(crate) fn note(&mut self, exit: Exit) {
        self.0 = match (self.0, exit) {
            (before, Exit::Success) => before,
            (Exit::Success, now) => now,
            (before, now) if before == now => before,
            _ => Exit::Failed,
        };
    }

    /// The end so far.
    pub(crate) const fn exit(self) -> Exit {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_its_exit_code() {
        let table = [
            (ErrorCode::UnknownGame, 3),
            (ErrorCode::BadInput, 2),
            (ErrorCode::NoSource, 3),
            (ErrorCode::CorruptSource, 1),
            (ErrorCode::AllSourcesFailed, 1),
            (ErrorCode::Busy, 1),
            (ErrorCode::NotDownloaded, 1),
            (ErrorCode::NotInstalled, 1),
            (ErrorCode::Installed, 1),
            (ErrorCode::DiskFull, 4),
            (ErrorCode::Io, 1),
            (ErrorCode::RefusedPath, 1),
            (ErrorCode::Limit, 1),
            (ErrorCode::ArchiveUnsupported, 1),
            (ErrorCode::ArchiveDamaged, 1),
            (ErrorCode::ArchiveUnsafe, 1),
            (ErrorCode::PartyMismatch, 7),
            (ErrorCode::InUse, 6),
            (ErrorCode::Cancelled, 5),
            (ErrorCode::Internal, 1),
        ];
        for (code, number) in table {
            assert_eq!(Exit::of(code).number(), number, "{code:?}");
        }
        assert_eq!(Exit::Success.number(), 0);
        assert_eq!(Exit::Interrupted.number(), 130);
    }

    #[test]
    fn an_error_before_the_command_has_its_exit_code_and_one_sentence() {
        let in_use = StartError::InUse {
            path: "/srv/games".into(),
            holder: "process 7".into(),
        };
        let error = anyhow::Error::new(in_use);
        assert_eq!(Exit::of_error(&error), Exit::InUse);
        assert_eq!(sentence(&error), "/srv/games is in use by process 7");

        let error = usage(anyhow::anyhow!("line 3").context("config.toml is wrong"));
        assert_eq!(Exit::of_error(&error), Exit::Usage);
        assert_eq!(sentence(&error), "config.toml is wrong: line 3");

        assert_eq!(
            Exit::of_error(&anyhow::anyhow!("the peer has gone away")),
            Exit::Failed
        );
    }

    #[test]
    fn one_kind_of_failure_decides_and_several_are_plain_failure() {
        let after = |exits: &[Exit]| {
            let mut verdict = Verdict::new();
            for exit in exits {
                verdict.note(*exit);
            }
            verdict.exit()
        };
        assert_eq!(after(&[]), Exit::Success);
        assert_eq!(
            after(&[Exit::Success, Exit::NoPeer, Exit::Success]),
            Exit::NoPeer
        );
        assert_eq!(after(&[Exit::NoPeer, Exit::NoPeer]), Exit::NoPeer);
        assert_eq!(after(&[Exit::NoPeer, Exit::DiskFull]), Exit::Failed);
    }
}
