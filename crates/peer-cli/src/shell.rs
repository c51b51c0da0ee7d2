//! The shell and `serve`: a peer of this process, with and without lines from standard input.

use std::io::{IsTerminal, Read};

use anyhow::Result;
use tokio::sync::{mpsc, oneshot};

use crate::{
    control::QUEUE,
    exit::Exit,
    host::Host,
    lines::{Line, Splitter},
    options::Options,
    print::{Printer, print_all},
    render,
    session::{Events, Session},
    signals::{Signal, Signals},
    terminal::Terminal,
};

/// Runs the shell.
///
/// # Errors
/// The peer does not start, or the terminal cannot be used.
pub(crate) async fn shell(options: &Options, signals: &mut Signals) -> Result<Exit> {
    let host = Host::start(options).await?;
    let (to_session, lines) = mpsc::channel(QUEUE);
    if options.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        std::thread::Builder::new()
            .name("standard input".into())
            .spawn(move || read_stdin(&to_session))?;
        let (_never, interrupted) = oneshot::channel();
        return converse(
            host,
            lines,
            Printer::stdout(),
            interrupted,
            options,
            signals,
        )
        .await;
    }
    let (terminal, interrupted) =
        Terminal::open(host.handle.clone(), &options.state_dir, to_session)?;
    let printer = terminal.printer();
    let exit = converse(host, lines, printer, interrupted, options, signals).await;
    terminal.restore();
    exit
}

/// Runs a peer until a signal or a control client ends it.
///
/// # Errors
/// The peer does not start.
pub(crate) async fn serve(options: &Options, signals: &mut Signals) -> Result<Exit> {
    let host = Host::start(options).await?;
    let (_no_lines, lines) = mpsc::channel(1);
    let (_never, interrupted) = oneshot::channel();
    converse(
        host,
        lines,
        Printer::stdout(),
        interrupted,
        options,
        signals,
    )
    .await
}

/// Carries out lines until they end or somebody ends it, and shuts the peer down.
async fn converse(
    host: Host,
    lines: mpsc::Receiver<Line>,
    printer: Printer,
    interrupted: oneshot::Receiver<()>,
    options: &Options,
    signals: &mut Signals,
) -> Result<Exit> {
    let (out, messages) = mpsc::channel(QUEUE);
    let printing = tokio::spawn(print_all(messages, render::output(options.json), printer));
    let Host {
        handle,
        events,
        door,
    } = host;
    let mut session =
        Session::new(handle, Events::FromStart(events), out).draining(options.give_up);
    let signal = tokio::select! {
        _ = session.run(lines) => None,
        signal = signals.next() => Some(signal),
        Ok(()) = interrupted => Some(Signal::Interrupt),
    };
    door.close();
    let hurried = tokio::select! {
        () = session.shut_down() => false,
        _ = signals.next() => true,
    };
    let exit = session.exit();
    drop(session);
    if !hurried {
        printing.await?;
    }
    Ok(if signal == Some(Signal::Interrupt) || hurried {
        Exit::Interrupted
    } else {
        exit
    })
}

/// Standard input is read by a thread of its own: a read cannot be interrupted, and must not hold up
/// the end of the program.
fn read_stdin(to: &mpsc::Sender<Line>) {
    let mut stdin = std::io::stdin().lock();
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 4096];
    loop {
        let count = stdin.read(&mut buffer).unwrap_or(0);
        let lines = match count {
            0 => splitter.finish().into_iter().collect(),
            count => splitter.push(&buffer[..count]),
        };
        for line in lines {
            if to.blocking_send(line).is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}
