//! The `lanspread` program: verbs, the shell and how both are shown. The only crate that prints.
//!
//! [`grammar`] is the one language of shell lines, control-socket lines and verbs; a [`session`] carries
//! lines out against a peer of this process; a [`link`] is the other end of a session, here or in
//! another process; [`render`] turns what comes back into JSON lines or into words.
//!
//! Standard output carries answers, standard error carries logs and complaints. With `--json` standard
//! output carries one JSON object a line and nothing else. It never writes into a game folder itself:
//! that is the library's business.

mod args;
mod control;
mod demo;
mod drain;
mod events;
mod exit;
mod grammar;
mod host;
mod lines;
mod link;
mod logging;
mod message;
mod options;
mod party;
mod pending;
mod print;
mod render;
mod session;
mod shell;
mod signals;
mod terminal;
mod units;
mod verbs;

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

use crate::{
    args::{Cli, Verb},
    exit::Exit,
    grammar::{Command, Download, StreamInstall},
    options::Options,
    signals::Signals,
};

/// Blocked system calls, such as a write to a pipe that nobody reads, are not waited for any longer.
const LAST_CALLS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Without a place to print to, the exit code has to do.
            let _ = error.print();
            let usage = error.use_stderr();
            return if usage {
                Exit::Usage.into()
            } else {
                Exit::Success.into()
            };
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "lanspread: {}", exit::sentence(&error));
            Exit::of_error(&error).into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit> {
    match &cli.verb {
        Some(Verb::Completions { shell }) => {
            clap_complete::generate(
                *shell,
                &mut Cli::command(),
                "lanspread",
                &mut std::io::stdout(),
            );
            return Ok(Exit::Success);
        }
        Some(Verb::Party { verb }) => return party::run(verb),
        _ => {}
    }
    let options = Options::load(&cli).map_err(exit::usage)?;
    logging::start(options.verbose).map_err(exit::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened for")?;
        match cli.verb.unwrap_or(Verb::Shell) {
            Verb::Shell => shell::shell(&options, &mut signals).await,
            Verb::Serve => shell::serve(&options, &mut signals).await,
            Verb::Demo { size } => demo::run(size, options.json, &mut signals).await,
            verb => verbs::run(command(verb)?, &options, &mut signals).await,
        }
    });
    runtime.shutdown_timeout(LAST_CALLS);
    exit
}

/// The shell's command that a one-shot verb stands for.
fn command(verb: Verb) -> Result<Command> {
    let id = |words: Vec<String>| {
        grammar::game_id(&words.join(" ")).map_err(|message| exit::usage(anyhow::anyhow!(message)))
    };
    Ok(match verb {
        Verb::List => Command::List,
        Verb::Peers => Command::Peers,
        Verb::Download {
            game,
            version,
            no_install,
        } => Command::Download(Download {
            game: id(game)?,
            version,
            no_install,
        }),
        Verb::Install { game } => Command::Install(id(game)?),
        Verb::StreamInstall { game, version } => Command::StreamInstall(StreamInstall {
            game: id(game)?,
            version,
        }),
        Verb::Uninstall { game } => Command::Uninstall(id(game)?),
        Verb::Remove { game } => Command::Remove(id(game)?),
        Verb::Verify { game, repair } => Command::Verify {
            game: id(game)?,
            repair,
        },
        _ => Command::Status,
    })
}
