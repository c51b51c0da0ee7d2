use std::time::Duration;

use super::*;

fn id(text: &str) -> GameId {
    text.parse().unwrap()
}

fn download(game: &str) -> Download {
    Download {
        game: id(game),
        version: None,
        no_install: false,
    }
}

fn parsed(line: &str) -> Command {
    Command::parse(line)
        .unwrap_or_else(|bad| panic!("{line}: {bad:?}"))
        .unwrap()
}

/// One line of every command at least, and the command that it is.
fn table() -> Vec<(&'static str, Command)> {
    [about_games(), about_downloads(), about_the_rest()].concat()
}

fn about_games() -> Vec<(&'static str, Command)> {
    vec![
        ("game cnctw", Command::Game(id("cnctw"))),
        ("fetch\tcnctw", Command::Fetch(id("cnctw"))),
        ("install cnctw", Command::Install(id("cnctw"))),
        (
            "stream-install Age of Empires II",
            Command::StreamInstall(StreamInstall {
                game: id("Age of Empires II"),
                version: None,
            }),
        ),
        (
            "stream-install cnctw --version 1.4",
            Command::StreamInstall(StreamInstall {
                game: id("cnctw"),
                version: Some("1.4".parse().unwrap()),
            }),
        ),
        ("uninstall cnctw", Command::Uninstall(id("cnctw"))),
        ("remove cnctw", Command::Remove(id("cnctw"))),
        ("cancel cnctw", Command::Cancel(id("cnctw"))),
        (
            "verify cnctw",
            Command::Verify {
                game: id("cnctw"),
                repair: false,
            },
        ),
        (
            "verify cnctw --repair",
            Command::Verify {
                game: id("cnctw"),
                repair: true,
            },
        ),
    ]
}

fn about_downloads() -> Vec<(&'static str, Command)> {
    vec![
        ("download cnctw", Command::Download(download("cnctw"))),
        (
            "download \"Age of Empires II\"",
            Command::Download(download("Age of Empires II")),
        ),
        (
            "download Age of Empires II",
            Command::Download(download("Age of Empires II")),
        ),
        (
            "download Baldur's Gate",
            Command::Download(download("Baldur's Gate")),
        ),
        ("download \"a  b\"", Command::Download(download("a  b"))),
        ("download a  b", Command::Download(download("a  b"))),
        (
            "download \"--no-install\"",
            Command::Download(download("--no-install")),
        ),
        (
            "download --no-install Age of Empires II",
            Command::Download(Download {
                no_install: true,
                ..download("Age of Empires II")
            }),
        ),
        (
            "download Age of Empires II --version 1.5 --no-install",
            Command::Download(Download {
                version: Some("1.5".parse().unwrap()),
                no_install: true,
                ..download("Age of Empires II")
            }),
        ),
        (
            "download x --version=\"2\"",
            Command::Download(Download {
                version: Some("\"2\"".parse().unwrap()),
                ..download("x")
            }),
        ),
    ]
}

fn about_the_rest() -> Vec<(&'static str, Command)> {
    let wait = |event, id: Option<&str>, seconds| {
        let timeout = Duration::from_secs_f64(seconds);
        Command::Wait(Wait {
            event,
            id: id.map(str::to_owned),
            timeout,
        })
    };
    vec![
        ("list", Command::List),
        ("  list  ", Command::List),
        (
            "set-game-dir C:\\My Games\\",
            Command::SetGameDir("C:\\My Games\\".into()),
        ),
        (
            "set-game-dir \"/srv/my games\"",
            Command::SetGameDir("/srv/my games".into()),
        ),
        ("peers", Command::Peers),
        ("peer-count", Command::PeerCount),
        (
            "connect 10.0.0.5:27184",
            Command::Connect("10.0.0.5:27184".into()),
        ),
        ("connect [::1]:9", Command::Connect("[::1]:9".into())),
        (
            "connect pc-7.lan:27184",
            Command::Connect("pc-7.lan:27184".into()),
        ),
        ("status", Command::Status),
        ("wait ready", wait("ready", None, 60.0)),
        (
            "wait peer_joined --timeout 1.5",
            wait("peer_joined", None, 1.5),
        ),
        (
            "wait download_finished Age of Empires II --timeout=5",
            wait("download_finished", Some("Age of Empires II"), 5.0),
        ),
        (
            "wait --timeout 3 removed \"x\"",
            wait("removed", Some("x"), 3.0),
        ),
        ("sleep 0.25", Command::Sleep(Duration::from_millis(250))),
        ("help", Command::Help),
        ("quit", Command::Quit),
    ]
}

#[test]
fn every_command_has_its_lines() {
    for (line, command) in table() {
        assert_eq!(parsed(line), command, "{line}");
    }
    for (word, ..) in COMMANDS {
        assert!(
            table().iter().any(|(_, command)| command.word() == word),
            "{word} is untested"
        );
    }
}

#[test]
fn a_command_prints_as_a_line_that_parses_to_it() {
    for (_, command) in table() {
        let prints_quotes = |command: &Command| match command {
            Command::Download(download) => download
                .version
                .as_ref()
                .is_some_and(|version| version.as_str().contains('"')),
            _ => false,
        };
        if !prints_quotes(&command) {
            assert_eq!(parsed(&command.to_string()), command);
        }
    }
}

#[test]
fn blank_lines_and_comments_are_nothing() {
    for line in ["", "   ", "\t", "# list", "  #", "\r"] {
        assert_eq!(Command::parse(line), Ok(None), "{line:?}");
    }
}

#[test]
fn a_bad_line_names_its_command_and_what_is_wrong() {
    let table = [
        (
            "frobnicate",
            "frobnicate",
            "there is no command \"frobnicate\"",
        ),
        ("instal cnctw", "instal", "there is no command"),
        ("install", "install", "ID is missing"),
        (
            "uninstall x --no-install",
            "uninstall",
            "there is no option \"--no-install\"",
        ),
        ("List", "List", "there is no command"),
        ("list all", "list", "list takes no \"all\""),
        ("list --all", "list", "there is no option \"--all\""),
        ("download", "download", "ID is missing"),
        ("download ../x", "download", "\"../x\""),
        ("download CON", "download", "\"CON\""),
        (
            "download x --repair",
            "download",
            "there is no option \"--repair\"",
        ),
        (
            "download x --version",
            "download",
            "--version needs a value",
        ),
        ("download x --version=", "download", "version is empty"),
        ("download \"a\" b", "download", "\"a\" is one ID already"),
        ("download \"a", "download", "a quote is not closed"),
        (
            "download \"a\"b",
            "download",
            "after a closing quote comes a space",
        ),
        ("verify", "verify", "ID is missing"),
        ("set-game-dir", "set-game-dir", "PATH is missing"),
        (
            "connect 10.0.0.5",
            "connect",
            "\"10.0.0.5\" is not HOST:PORT",
        ),
        ("connect 10.0.0.5:0", "connect", "is not HOST:PORT"),
        ("connect ::1:5", "connect", "is not HOST:PORT"),
        ("connect a b:5", "connect", "is not HOST:PORT"),
        ("wait", "wait", "EVENT is missing"),
        ("wait for_godot", "wait", "there is no event \"for_godot\""),
        (
            "wait ready --timeout soon",
            "wait",
            "\"soon\" is not a number of seconds",
        ),
        ("sleep", "sleep", "SECONDS is missing"),
        ("sleep -1", "sleep", "\"-1\" is not a number of seconds"),
    ];
    for (line, command, message) in table {
        let bad = Command::parse(line).unwrap_err();
        assert_eq!(bad.command, command, "{line}");
        assert!(bad.message.contains(message), "{line}: {}", bad.message);
    }
}

#[test]
fn help_lists_every_command_once() {
    let usages: Vec<_> = help().into_iter().map(|entry| entry.usage).collect();
    assert_eq!(usages.len(), COMMANDS.len());
    assert!(usages.contains(&"list".to_owned()));
    assert!(usages.contains(&"wait EVENT [ID] [--timeout SECONDS]".to_owned()));
}
