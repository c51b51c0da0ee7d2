//! What callers are told of a transaction that did not happen.

use lanspread_install::{ContentFault, InstallError, RecoverError, UninstallError, UnpackError};
use lanspread_proto::GameId;
use tokio::task::JoinError;

use crate::error::{ErrorCode, OperationError};

/// An install that did not happen.
pub(crate) fn not_installed(game: &GameId, error: InstallError) -> OperationError {
    let game = game.clone();
    match error {
        InstallError::Cancelled => OperationError::Cancelled { game },
        InstallError::NotDownloaded { .. } => OperationError::NotDownloaded { game },
        error => OperationError::Install {
            game,
            code: code_of(&error),
            source: Box::new(error),
        },
    }
}

fn code_of(error: &InstallError) -> ErrorCode {
    match error {
        InstallError::DiskFull { .. } => ErrorCode::DiskFull,
        InstallError::BadSentinel { .. } | InstallError::BadVersion { .. } => {
            ErrorCode::NotDownloaded
        }
        InstallError::NothingInside { .. } => ErrorCode::BadInput,
        InstallError::NotInstallable { fault, .. } => match fault {
            ContentFault::Path(_) | ContentFault::Reserved | ContentFault::Kind(_) => {
                ErrorCode::RefusedPath
            }
            ContentFault::Limit(_) => ErrorCode::Limit,
            _ => ErrorCode::Io,
        },
        InstallError::Unpack(error) => match error {
            UnpackError::Unsupported { .. } | UnpackError::Program { .. } => {
                ErrorCode::ArchiveUnsupported
            }
            UnpackError::Damaged { .. } => ErrorCode::ArchiveDamaged,
            UnpackError::Unsafe { .. } => ErrorCode::ArchiveUnsafe,
            UnpackError::Limit { .. } => ErrorCode::Limit,
            _ => ErrorCode::Io,
        },
        _ => ErrorCode::Io,
    }
}

/// An uninstall that did not happen.
pub(super) fn not_uninstalled(game: &GameId, error: UninstallError) -> OperationError {
    let game = game.clone();
    match error {
        UninstallError::NotInstalled { .. } => OperationError::NotInstalled { game },
        error => OperationError::Uninstall {
            game,
            code: ErrorCode::Io,
            source: Box::new(error),
        },
    }
}

/// A game that could not be brought in order before an install.
pub(crate) fn unrecovered(game: &GameId, error: RecoverError) -> OperationError {
    OperationError::Install {
        game: game.clone(),
        code: ErrorCode::Io,
        source: Box::new(error),
    }
}

/// The same before an uninstall.
pub(super) fn unrecovered_uninstall(game: &GameId, error: RecoverError) -> OperationError {
    OperationError::Uninstall {
        game: game.clone(),
        code: ErrorCode::Io,
        source: Box::new(error),
    }
}

/// A fault of our own, or of what was injected; recovery brings the game in order.
pub(crate) fn panicked(game: &GameId, panic: JoinError) -> OperationError {
    OperationError::Install {
        game: game.clone(),
        code: ErrorCode::Internal,
        source: Box::new(panic),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use lanspread_disk::{DiskError, Kind};
    use lanspread_install::UnsafeEntry;
    use lanspread_proto::limits::LimitExceeded;

    use super::*;

    fn game() -> GameId {
        "doom".parse().unwrap()
    }

    fn disk_error() -> DiskError {
        DiskError::new("write", "/g/x", io::ErrorKind::Other.into())
    }

    fn limit() -> LimitExceeded {
        LimitExceeded {
            what: "entries",
            actual: 2,
            limit: 1,
        }
    }

    fn unpack_errors() -> [(UnpackError, ErrorCode); 6] {
        let archive = || PathBuf::from("/g/a.zip");
        let entry = || None;
        [
            (
                UnpackError::Unsupported {
                    archive: archive(),
                    what: "it is encrypted".into(),
                },
                ErrorCode::ArchiveUnsupported,
            ),
            (
                UnpackError::Damaged {
                    archive: archive(),
                    entry: entry(),
                    source: "cut".into(),
                },
                ErrorCode::ArchiveDamaged,
            ),
            (
                UnpackError::Unsafe {
                    archive: archive(),
                    entry: "../x".into(),
                    why: UnsafeEntry::Reserved,
                },
                ErrorCode::ArchiveUnsafe,
            ),
            (
                UnpackError::Limit {
                    archive: archive(),
                    entry: entry(),
                    source: limit(),
                },
                ErrorCode::Limit,
            ),
            (
                UnpackError::Read {
                    archive: archive(),
                    source: "gone".into(),
                },
                ErrorCode::Io,
            ),
            (
                UnpackError::Program {
                    program: "unrar".into(),
                    message: "no".into(),
                },
                ErrorCode::ArchiveUnsupported,
            ),
        ]
    }

    #[test]
    fn every_install_error_has_its_code() {
        let path = || PathBuf::from("/g/x");
        let fault = |fault| InstallError::NotInstallable {
            path: path(),
            fault,
        };
        let mut table = vec![
            (InstallError::Cancelled, ErrorCode::Cancelled),
            (
                InstallError::NotDownloaded { game: game() },
                ErrorCode::NotDownloaded,
            ),
            (
                InstallError::NothingInside { game: game() },
                ErrorCode::BadInput,
            ),
            (InstallError::Foreign { path: path() }, ErrorCode::Io),
            (
                InstallError::DiskFull {
                    path: path(),
                    missing_bytes: 7,
                    source: None,
                },
                ErrorCode::DiskFull,
            ),
            (fault(ContentFault::Reserved), ErrorCode::RefusedPath),
            (
                fault(ContentFault::Kind(Kind::Link)),
                ErrorCode::RefusedPath,
            ),
            (fault(ContentFault::Limit(limit())), ErrorCode::Limit),
            (fault(ContentFault::Missing), ErrorCode::Io),
            (InstallError::Disk(disk_error()), ErrorCode::Io),
            (InstallError::State(disk_error().into()), ErrorCode::Io),
        ];
        table.extend(unpack_errors().map(|(error, code)| (InstallError::Unpack(error), code)));
        for (error, code) in table {
            let told = error.to_string();
            let failure = not_installed(&game(), error).failure();
            assert_eq!(failure.code, code, "{}", failure.message);
            assert!(failure.message.contains("doom"), "{}", failure.message);
            let keeps = matches!(code, ErrorCode::Cancelled | ErrorCode::NotDownloaded);
            assert!(
                keeps || failure.message.contains(&told),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn every_uninstall_error_has_its_code() {
        let table = [
            (
                UninstallError::NotInstalled { game: game() },
                ErrorCode::NotInstalled,
            ),
            (
                UninstallError::Foreign {
                    path: "/g/doom/.local.trash".into(),
                },
                ErrorCode::Io,
            ),
            (UninstallError::Disk(disk_error()), ErrorCode::Io),
            (UninstallError::State(disk_error().into()), ErrorCode::Io),
        ];
        for (error, code) in table {
            assert_eq!(not_uninstalled(&game(), error).code(), code);
        }
        let unrecovered = unrecovered(&game(), RecoverError::Disk(disk_error()));
        assert_eq!(unrecovered.code(), ErrorCode::Io);
        assert_eq!(
            unrecovered.failure().message,
            "doom was not installed: could not write /g/x: other error"
        );
    }
}
