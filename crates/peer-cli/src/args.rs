//! The command line as it is written: verbs and options. Every option can also come from the
//! environment and from a TOML file; [`crate::options`] merges them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use lanspread_peer::proto::{GroupName, Version};
use serde::{Deserialize, Deserializer, de};

use crate::{
    grammar,
    units::{self, Bytes},
};

/// Gets a game from the machines on the LAN that have it.
///
/// Without a verb it is the shell: a peer that reads commands from standard input.
#[derive(Debug, Parser)]
#[command(name = "lanspread", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,

    /// Read options from this TOML file instead of the one in the configuration folder
    #[arg(long, global = true, value_name = "FILE", env = "LANSPREAD_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Read commands from standard input, one per line; `help` lists them
    Shell,
    /// Run until SIGTERM or Ctrl-C
    Serve,
    /// Show what a running peer is doing
    Status,
    /// Show every game that is known, here or at a peer
    List,
    /// Show the peers that can be reached
    Peers,
    /// Download a game from every peer that has it, and install it if it is an archive
    Download {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
        /// Insist on this version, also an older one
        #[arg(long, value_name = "VERSION")]
        version: Option<Version>,
        /// Leave an archive as it was downloaded
        #[arg(long)]
        no_install: bool,
    },
    /// Install a downloaded game, over what is installed of it
    Install {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
    },
    /// Install a game straight from a peer that expands its archive; no archive comes here
    StreamInstall {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
        /// Insist on this version, also an older one
        #[arg(long, value_name = "VERSION")]
        version: Option<Version>,
    },
    /// Remove what is installed of a game; the download stays
    Uninstall {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
    },
    /// Delete a downloaded game from the disk
    Remove {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
    },
    /// Check every byte of a downloaded game
    Verify {
        /// The game's id; spaces need no quotes
        #[arg(required = true, value_name = "ID")]
        game: Vec<String>,
        /// Fetch again what is wrong
        #[arg(long)]
        repair: bool,
    },
    /// Show the whole job on this machine: peers, a download, a dying source, an install, an update, a streamed install
    Demo {
        /// How large the game is
        #[arg(long, value_name = "BYTES", default_value = "200MiB")]
        size: Bytes,
    },
    /// Make a party of your own, which strangers cannot join
    Party {
        #[command(subcommand)]
        verb: PartyVerb,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What to do with parties.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PartyVerb {
    /// Make a new party's certificates in a folder, to be copied to every machine
    New {
        /// The folder
        dir: PathBuf,
    },
}

/// The options, from one place: the command line and environment, or the file, where the same names
/// are keys.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The folder whose direct child folders are games
    #[arg(long, global = true, value_name = "DIR", env = "LANSPREAD_GAME_DIR")]
    pub(crate) game_dir: Option<PathBuf>,

    /// The folder for identity, index and transactions
    #[arg(long, global = true, value_name = "DIR", env = "LANSPREAD_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// The games that exist for this peer, a JSON file; without one, every game does
    #[arg(long, global = true, value_name = "FILE", env = "LANSPREAD_CATALOG")]
    pub(crate) catalog: Option<PathBuf>,

    /// The folder of a party made by `party new`; without one, the open party
    #[arg(long, global = true, value_name = "DIR", env = "LANSPREAD_PARTY")]
    pub(crate) party: Option<PathBuf>,

    /// What other people see this machine as [default: the host's name]
    #[arg(long, global = true, value_name = "NAME", env = "LANSPREAD_NAME")]
    pub(crate) name: Option<String>,

    /// What the machines at this one's switch are called together; where switches are joined by thin links
    #[arg(long, global = true, value_name = "NAME", env = "LANSPREAD_GROUP")]
    pub(crate) group: Option<GroupName>,

    /// The address to listen on, UDP and TCP [default: 0.0.0.0:27184, or any port if that one is taken]
    #[arg(long, global = true, value_name = "IP:PORT", env = "LANSPREAD_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// A peer that multicast does not reach; may be given several times
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "LANSPREAD_PEER",
        value_delimiter = ',',
        value_parser = grammar::address
    )]
    #[serde(deserialize_with = "addresses")]
    pub(crate) peer: Vec<String>,

    /// Do not look for peers by mDNS, and do not announce this one
    #[arg(long, global = true, env = "LANSPREAD_NO_MDNS", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_mdns: Option<bool>,

    /// Look for peers on this network interface only, by name or address; may be given several times
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "LANSPREAD_INTERFACE",
        value_delimiter = ','
    )]
    pub(crate) interface: Vec<String>,

    /// Send at most this many bytes of games a second
    #[arg(
        long,
        global = true,
        value_name = "BYTES",
        env = "LANSPREAD_UPLOAD_LIMIT"
    )]
    pub(crate) upload_limit: Option<Bytes>,

    /// Receive at most this many bytes of games a second
    #[arg(
        long,
        global = true,
        value_name = "BYTES",
        env = "LANSPREAD_DOWNLOAD_LIMIT"
    )]
    pub(crate) download_limit: Option<Bytes>,

    /// Leave this much room on the disk [default: the larger of 1 % and 1 GiB]
    #[arg(long, global = true, value_name = "BYTES", env = "LANSPREAD_RESERVE")]
    pub(crate) reserve: Option<Bytes>,

    /// Write one JSON object a line to standard output, and nothing else
    #[arg(long, global = true, env = "LANSPREAD_JSON", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) json: Option<bool>,

    /// Log more to standard error; -vv and -vvv even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    #[arg(env = "LANSPREAD_VERBOSE")]
    pub(crate) verbose: u8,

    /// Give peers this long to turn up with the game [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", env = "LANSPREAD_WAIT")]
    #[arg(value_parser = units::seconds, help_heading = "Options of single operations")]
    #[serde(deserialize_with = "seconds")]
    pub(crate) wait: Option<Duration>,

    /// Give up a download that has been stalled for this long [default: 10m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "LANSPREAD_GIVE_UP"
    )]
    #[arg(value_parser = humantime::parse_duration, help_heading = "Options of single operations")]
    #[serde(deserialize_with = "duration")]
    pub(crate) give_up: Option<Duration>,

    /// Keep serving others for this long afterwards, unless a running peer did the work
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "LANSPREAD_SERVE_FOR"
    )]
    #[arg(value_parser = humantime::parse_duration, help_heading = "Options of single operations")]
    #[serde(deserialize_with = "duration")]
    pub(crate) serve_for: Option<Duration>,
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| grammar::address(text).map_err(de::Error::custom))
        .collect()
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = f64::deserialize(deserializer)?.to_string();
    units::seconds(&text).map(Some).map_err(de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_nothing_that_is_not_there() {
        let help = Cli::command().render_long_help().to_string();
        assert!(!help.contains("doctor"), "{help}");
        for present in [
            "--game-dir",
            "LANSPREAD_GAME_DIR",
            "--give-up",
            "download",
            "uninstall",
            "stream-install",
            "completions",
        ] {
            assert!(help.contains(present), "{present}");
        }
    }
}
