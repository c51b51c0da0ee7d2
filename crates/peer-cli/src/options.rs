//! Options from every place merged into one set: the command line before the environment before the
//! TOML file before the defaults.
#![expect(
    clippy::disallowed_methods,
    reason = "the settings file belongs to the program"
)]

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use etcetera::{BaseStrategy, base_strategy::Xdg};
use lanspread_peer::{
    DiscoveryMode, InterfaceFilter, Party, PeerConfig, RateLimits,
    proto::{GroupName, limits},
};

use crate::args::{Cli, Settings};

/// The folder of ours under the user's folders.
const FOLDER: &str = "lanspread";

/// How long a one-shot verb waits for a peer that has the game.
const WAIT: Duration = Duration::from_secs(10);

/// How long a download may be stalled.
const GIVE_UP: Duration = Duration::from_mins(10);

/// Everything that was decided outside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) game_dir: PathBuf,
    /// Whether somebody chose the game directory, so that a running peer with another one is no help.
    pub(crate) game_dir_is_chosen: bool,
    pub(crate) state_dir: PathBuf,
    pub(crate) catalog: Option<PathBuf>,
    pub(crate) party: Option<PathBuf>,
    pub(crate) name: String,
    pub(crate) group: Option<GroupName>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) peers: Vec<String>,
    pub(crate) mdns: bool,
    pub(crate) interfaces: Vec<String>,
    pub(crate) rate_limits: RateLimits,
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) json: bool,
    pub(crate) verbose: u8,
    pub(crate) wait: Duration,
    pub(crate) give_up: Duration,
    pub(crate) serve_for: Duration,
}

impl Options {
    /// Reads the file, if there is one, and merges it under what the command line and the environment
    /// say.
    ///
    /// # Errors
    /// A file that was named and is not there, a file that is not TOML or has an unknown key or a wrong
    /// value (with its line), and a user without a home folder where a default is needed.
    pub(crate) fn load(cli: &Cli) -> Result<Self> {
        let file = match &cli.config {
            Some(path) => read(path)?.with_context(|| format!("there is no {}", path.display()))?,
            None => match default_config() {
                Some(path) => read(&path)?.unwrap_or_default(),
                None => Settings::default(),
            },
        };
        Self::from_settings(merge(cli.settings.clone(), file))
    }

    fn from_settings(settings: Settings) -> Result<Self> {
        let home = || user_folders().context("name --game-dir and --state-dir");
        let game_dir_is_chosen = settings.game_dir.is_some();
        let default_game_dir = || anyhow::Ok(home()?.data_dir().join(FOLDER).join("games"));
        let game_dir = settings.game_dir.map_or_else(default_game_dir, Ok)?;
        let default_state_dir = || {
            let home = home()?;
            anyhow::Ok(
                home.state_dir()
                    .unwrap_or_else(|| home.data_dir())
                    .join(FOLDER),
            )
        };
        let state_dir = settings.state_dir.map_or_else(default_state_dir, Ok)?;
        let given =
            |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect();
        Ok(Self {
            game_dir,
            game_dir_is_chosen,
            state_dir,
            catalog: settings.catalog,
            party: settings.party,
            name: settings.name.unwrap_or_else(host_name),
            group: settings.group,
            listen: settings.listen,
            peers: given(settings.peer),
            mdns: !settings.no_mdns.unwrap_or(false),
            interfaces: given(settings.interface),
            rate_limits: RateLimits {
                upload_bytes_per_second: settings.upload_limit.map(|bytes| bytes.0),
                download_bytes_per_second: settings.download_limit.map(|bytes| bytes.0),
            },
            reserve_bytes: settings.reserve.map(|bytes| bytes.0),
            json: settings.json.unwrap_or(false),
            verbose: settings.verbose,
            wait: settings.wait.unwrap_or(WAIT),
            give_up: settings.give_up.unwrap_or(GIVE_UP),
            serve_for: settings.serve_for.unwrap_or(Duration::ZERO),
        })
    }

    /// How the peer is set up that these options ask for.
    ///
    /// # Errors
    /// The party's folder cannot be read.
    pub(crate) fn peer_config(&self) -> Result<PeerConfig> {
        let mut config = PeerConfig::new(&self.game_dir, &self.state_dir);
        config.catalog.clone_from(&self.catalog);
        if let Some(dir) = &self.party {
            config.party = Party::load(dir)?;
        }
        config.name.clone_from(&self.name);
        config.group.clone_from(&self.group);
        if let Some(listen) = self.listen {
            config.listen = listen;
            config.listen_elsewhere = false;
        }
        config.manual_peers.clone_from(&self.peers);
        config.discovery = match (self.mdns, self.interfaces.is_empty()) {
            (false, _) => DiscoveryMode::Off,
            (true, true) => DiscoveryMode::Mdns(InterfaceFilter::default()),
            (true, false) => {
                DiscoveryMode::Mdns(InterfaceFilter::only(self.interfaces.iter().cloned()))
            }
        };
        config.rate_limits = self.rate_limits;
        config.reserve_bytes = self.reserve_bytes;
        config.control = Some(self.state_dir.join(crate::control::SOCKET_FILE));
        Ok(config)
    }

    /// Whether peers can turn up by themselves, so that waiting for them makes sense.
    pub(crate) fn may_meet_peers(&self) -> bool {
        self.mdns || !self.peers.is_empty()
    }
}

/// `over` where it says something, else `under`.
fn merge(over: Settings, under: Settings) -> Settings {
    let longer = |over: Vec<String>, under| if over.is_empty() { under } else { over };
    Settings {
        game_dir: over.game_dir.or(under.game_dir),
        state_dir: over.state_dir.or(under.state_dir),
        catalog: over.catalog.or(under.catalog),
        party: over.party.or(under.party),
        name: over.name.or(under.name),
        group: over.group.or(under.group),
        listen: over.listen.or(under.listen),
        peer: longer(over.peer, under.peer),
        no_mdns: over.no_mdns.or(under.no_mdns),
        interface: longer(over.interface, under.interface),
        upload_limit: over.upload_limit.or(under.upload_limit),
        download_limit: over.download_limit.or(under.download_limit),
        reserve: over.reserve.or(under.reserve),
        json: over.json.or(under.json),
        verbose: if over.verbose > 0 {
            over.verbose
        } else {
            under.verbose
        },
        wait: over.wait.or(under.wait),
        give_up: over.give_up.or(under.give_up),
        serve_for: over.serve_for.or(under.serve_for),
    }
}

/// The settings in a TOML file, `None` if it is not there. Relative paths in it start at its folder.
fn read(path: &Path) -> Result<Option<Settings>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("could not read {}", path.display()))?,
    };
    let mut settings: Settings =
        toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for dir in [
        &mut settings.game_dir,
        &mut settings.state_dir,
        &mut settings.catalog,
        &mut settings.party,
    ] {
        *dir = dir.take().map(|dir| folder.join(dir));
    }
    Ok(Some(settings))
}

fn default_config() -> Option<PathBuf> {
    Some(
        user_folders()
            .ok()?
            .config_dir()
            .join(FOLDER)
            .join("config.toml"),
    )
}

#[cfg(not(windows))]
fn user_folders() -> Result<Xdg> {
    Ok(Xdg::new()?)
}

#[cfg(windows)]
fn user_folders() -> Result<etcetera::base_strategy::Windows> {
    Ok(etcetera::base_strategy::Windows::new()?)
}

/// The host's name, cut to what peers show.
fn host_name() -> String {
    let mut name = hostname::get()
        .ok()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| FOLDER.to_owned());
    name.truncate(name.floor_char_boundary(limits::PEER_NAME_BYTES_MAX));
    name
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const FILE: &str = r#"
        game-dir = "games"
        state-dir = "/var/lib/lanspread"
        peer = ["10.0.0.1:1", "10.0.0.2:2"]
        no-mdns = true
        upload-limit = "5MB"
        download-limit = 7000000
        reserve = 0
        json = true
        verbose = 2
        wait = 2.5
        give-up = "90s"
        listen = "127.0.0.1:0"
        group = "row 3"
    "#;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn loaded(file: &str, arguments: &[&str]) -> Result<Options> {
        let (_dir, path) = written(file);
        let config = ["lanspread", "--config", path.to_str().unwrap()];
        Options::load(&Cli::try_parse_from(config.iter().chain(arguments)).unwrap())
    }

    #[test]
    fn the_file_says_what_the_command_line_does_not() {
        let (dir, path) = written(FILE);
        let cli = Cli::try_parse_from(["lanspread", "--config", path.to_str().unwrap()]).unwrap();
        let options = Options::load(&cli).unwrap();
        assert_eq!(options.game_dir, dir.path().join("games"));
        assert_eq!(options.state_dir, Path::new("/var/lib/lanspread"));
        assert_eq!(options.peers, ["10.0.0.1:1", "10.0.0.2:2"]);
        assert_eq!(options.group, Some("row 3".parse().unwrap()));
        assert_eq!(options.rate_limits.upload_bytes_per_second, Some(5_000_000));
        assert_eq!(
            options.rate_limits.download_bytes_per_second,
            Some(7_000_000)
        );
        assert_eq!(options.reserve_bytes, Some(0));
        assert_eq!(
            (options.json, options.verbose, options.mdns),
            (true, 2, false)
        );
        assert_eq!(options.wait, Duration::from_millis(2500));
        assert_eq!(options.give_up, Duration::from_secs(90));
        assert_eq!(options.serve_for, Duration::ZERO);
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let arguments = [
            "--peer=h:3",
            "--no-mdns=false",
            "--upload-limit=1k",
            "--json=false",
            "-v",
            "--wait=0",
            "list",
            "--give-up=1m",
            "--state-dir=/elsewhere",
        ];
        let options = loaded(FILE, &arguments).unwrap();
        assert_eq!(options.peers, ["h:3"]);
        assert_eq!(options.rate_limits.upload_bytes_per_second, Some(1000));
        assert_eq!(
            (options.json, options.verbose, options.mdns),
            (false, 1, true)
        );
        assert_eq!(
            (options.wait, options.give_up),
            (Duration::ZERO, Duration::from_mins(1))
        );
        assert_eq!(options.state_dir, Path::new("/elsewhere"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = format!(
            "{:#}",
            loaded("json = true\ngames-dir = \"x\"\n", &[]).unwrap_err()
        );
        assert!(
            error.contains("line 2") && error.contains("`games-dir`"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        for (line, names) in [
            ("upload-limit = \"fast\"", "\"fast\""),
            ("peer = [\"nobody\"]", "\"nobody\""),
            ("give-up = \"x\"", "give-up"),
            ("wait = -1.0", "\"-1\""),
            ("listen = \"here\"", "listen"),
            ("group = \" \"", "the group has no name"),
        ] {
            let error = format!("{:#}", loaded(&format!("\n{line}\n"), &[]).unwrap_err());
            assert!(
                error.contains("line 2") && error.contains(names),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let cli = Cli::try_parse_from(["lanspread", "--config", "/nowhere/x.toml"]).unwrap();
        let error = Options::load(&cli).unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.toml"), "{error}");
    }

    #[test]
    fn a_chosen_address_is_not_given_up_for_another_port() {
        let directories = "game-dir = \"g\"\nstate-dir = \"s\"\n";
        let chosen = loaded(directories, &["--listen=127.0.0.1:5"])
            .unwrap()
            .peer_config()
            .unwrap();
        assert!(!chosen.listen_elsewhere);
        let any = loaded(directories, &[]).unwrap().peer_config().unwrap();
        assert!(any.listen_elsewhere);
    }
}
