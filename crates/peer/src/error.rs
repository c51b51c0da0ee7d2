//! Errors that callers see, each with the code of the command line's contract.

use std::path::PathBuf;

use lanspread_proto::{GameId, IdError, limits::LimitExceeded};
use serde::{Deserialize, Serialize};

/// Why something failed, for programs; the names are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Nobody knows that game.
    UnknownGame,
    /// The command or its argument makes no sense.
    BadInput,
    /// No reachable peer has the game.
    NoSource,
    /// Every peer that has the game sent wrong bytes.
    CorruptSource,
    /// Another operation runs on that game, or one that must not be disturbed runs at all.
    Busy,
    /// The game is not downloaded.
    NotDownloaded,
    /// The game is not installed.
    NotInstalled,
    /// The game is installed, which the operation does not allow.
    Installed,
    /// Not enough room.
    DiskFull,
    /// The disk refused.
    Io,
    /// A path that must not be used.
    RefusedPath,
    /// A number is over its limit.
    Limit,
    /// The archive is of a kind, or needs something, that is not unpacked here.
    ArchiveUnsupported,
    /// The archive is cut or has wrong bytes.
    ArchiveDamaged,
    /// The archive holds something that no game needs and that an attacker would send.
    ArchiveUnsafe,
    /// Every peer that has the game was tried and none could send it.
    AllSourcesFailed,
    /// The certificates of the two peers belong to different parties.
    PartyMismatch,
    /// Another process holds the directory.
    InUse,
    /// Somebody cancelled it.
    Cancelled,
    /// A fault of lanspread itself.
    Internal,
}

/// A failure as it is told in events and replies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people: the act and, after colons, its causes.
    pub message: String,
}

impl Failure {
    /// A failure from an error and all of its causes.
    pub fn new(code: ErrorCode, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self { code, message }
    }
}

/// Why an operation on a game was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// Neither this machine nor any reachable peer knows the game, or the catalog does not admit it.
    #[error("no game {game} is known here")]
    UnknownGame {
        /// The game.
        game: GameId,
    },
    /// No reachable peer serves the game.
    #[error("no reachable peer has {game}")]
    NoSource {
        /// The game.
        game: GameId,
    },
    /// No reachable peer serves that version.
    #[error("no reachable peer has version {version} of {game}")]
    NoSuchVersion {
        /// The game.
        game: GameId,
        /// The version that was asked for.
        version: String,
    },
    /// Every source was dropped because of wrong bytes.
    #[error("every peer that has {game} sent wrong bytes")]
    CorruptSource {
        /// The game.
        game: GameId,
    },
    /// Every peer that has the game was tried for a streamed install.
    #[error("no peer that has {game} could send it: {cause}")]
    AllSourcesFailed {
        /// The game.
        game: GameId,
        /// The last cause.
        cause: String,
    },
    /// A run of chunks failed everywhere too often.
    #[error("{game} could not be fetched: {cause}")]
    Fetch {
        /// The game.
        game: GameId,
        /// The last cause.
        cause: String,
    },
    /// Another operation runs on this game.
    #[error("{game} is busy: a {running} is running")]
    Busy {
        /// The game.
        game: GameId,
        /// What is running.
        running: &'static str,
    },
    /// An operation runs, and this one needs the whole game directory.
    #[error("an operation on {game} is running")]
    AnyBusy {
        /// The game of one running operation.
        game: GameId,
    },
    /// The game directory is being exchanged for another one.
    #[error("the game directory is being exchanged")]
    Moving,
    /// There is nothing to cancel.
    #[error("nothing is running or left over for {game}")]
    NothingToCancel {
        /// The game.
        game: GameId,
    },
    /// The game is not downloaded.
    #[error("{game} is not downloaded")]
    NotDownloaded {
        /// The game.
        game: GameId,
    },
    /// The game is installed.
    #[error("{game} is installed")]
    Installed {
        /// The game.
        game: GameId,
    },
    /// What is here is newer than what would be fetched.
    #[error(
        "{game} is here in version {here}, the peers have {offered}; name the version to go back"
    )]
    Older {
        /// The game.
        game: GameId,
        /// The version that is here.
        here: String,
        /// The version that would be fetched.
        offered: String,
    },
    /// The transaction on the disk failed.
    #[error("the files of {game} could not be written")]
    Store {
        /// The game.
        game: GameId,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The game cannot be removed; it is as it was, or recovery finishes.
    #[error("{game} was not removed")]
    Remove {
        /// The game.
        game: GameId,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The game is not installed.
    #[error("{game} is not installed")]
    NotInstalled {
        /// The game.
        game: GameId,
    },
    /// The game was not installed; what was installed before is as it was.
    #[error("{game} was not installed")]
    Install {
        /// The game.
        game: GameId,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The game cannot be uninstalled; it is as it was, or recovery finishes.
    #[error("{game} was not uninstalled")]
    Uninstall {
        /// The game.
        game: GameId,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What an embedder keeps for an installed game cannot be read or written.
    #[error("the launch settings of {game} cannot be used")]
    LaunchSettings {
        /// The game.
        game: GameId,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A number is over its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A text is not a game id.
    #[error(transparent)]
    BadId(#[from] IdError),
    /// Somebody cancelled it.
    #[error("the operation on {game} was cancelled")]
    Cancelled {
        /// The game.
        game: GameId,
    },
    /// The directory cannot be used.
    #[error("the game directory {} cannot be used", path.display())]
    GameDir {
        /// The directory.
        path: PathBuf,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be connected to.
    #[error("{addr} cannot be reached")]
    Connect {
        /// The address as it was given.
        addr: String,
        /// The code that fits the cause.
        code: ErrorCode,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The runtime has shut down.
    #[error("the peer has shut down")]
    Stopped,
}

impl OperationError {
    /// The code of the command line's contract.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownGame { .. } => ErrorCode::UnknownGame,
            Self::NoSource { .. } | Self::NoSuchVersion { .. } | Self::Fetch { .. } => {
                ErrorCode::NoSource
            }
            Self::CorruptSource { .. } => ErrorCode::CorruptSource,
            Self::AllSourcesFailed { .. } => ErrorCode::AllSourcesFailed,
            Self::Busy { .. } | Self::AnyBusy { .. } | Self::Moving => ErrorCode::Busy,
            Self::NotDownloaded { .. } => ErrorCode::NotDownloaded,
            Self::Installed { .. } => ErrorCode::Installed,
            Self::NothingToCancel { .. } | Self::BadId(_) | Self::Older { .. } => {
                ErrorCode::BadInput
            }
            Self::NotInstalled { .. } => ErrorCode::NotInstalled,
            Self::LaunchSettings { .. } => ErrorCode::Io,
            Self::Store { code, .. }
            | Self::Remove { code, .. }
            | Self::Install { code, .. }
            | Self::Uninstall { code, .. }
            | Self::GameDir { code, .. }
            | Self::Connect { code, .. } => *code,
            Self::Limit(_) => ErrorCode::Limit,
            Self::Cancelled { .. } => ErrorCode::Cancelled,
            Self::Stopped => ErrorCode::Internal,
        }
    }

    /// The error as it is told in events and replies.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), self)
    }
}

/// Why a peer did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process holds one of the directories.
    #[error("{} is in use by {holder}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it: process id and name.
        holder: String,
    },
    /// A directory cannot be used.
    #[error("{} cannot be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The catalog cannot be read.
    #[error("the catalog cannot be used")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The identity cannot be made or read.
    #[error("this machine's identity cannot be used")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The network cannot be used.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: std::net::SocketAddr,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Discovery cannot be started.
    #[error("discovery cannot be started")]
    Discovery(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// The code of the command line's contract.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InUse { .. } => ErrorCode::InUse,
            Self::Directory { .. } | Self::Listen { .. } | Self::Discovery(_) => ErrorCode::Io,
            Self::Catalog(_) | Self::Identity(_) => ErrorCode::BadInput,
        }
    }

    /// The error as it is told in replies.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_about_installs_names_the_game_and_its_cause() {
        let game = || "doom".parse::<GameId>().unwrap();
        let code = ErrorCode::ArchiveDamaged;
        let source = || "it is cut".into();
        let table = [
            (
                OperationError::NotInstalled { game: game() },
                ErrorCode::NotInstalled,
                "doom is not installed",
            ),
            (
                OperationError::Install {
                    game: game(),
                    code,
                    source: source(),
                },
                code,
                "doom was not installed: it is cut",
            ),
            (
                OperationError::Uninstall {
                    game: game(),
                    code: ErrorCode::Io,
                    source: source(),
                },
                ErrorCode::Io,
                "doom was not uninstalled: it is cut",
            ),
            (
                OperationError::LaunchSettings {
                    game: game(),
                    source: source(),
                },
                ErrorCode::Io,
                "the launch settings of doom cannot be used: it is cut",
            ),
            (
                OperationError::Moving,
                ErrorCode::Busy,
                "the game directory is being exchanged",
            ),
        ];
        for (error, code, message) in table {
            let failure = error.failure();
            assert_eq!((failure.code, failure.message.as_str()), (code, message));
        }
        let written = serde_json::to_string(&code).unwrap();
        assert_eq!(written, r#""archive_damaged""#);
    }
}
