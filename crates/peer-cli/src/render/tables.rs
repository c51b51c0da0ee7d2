//! Tables and lists for people: what replies hold.

use lanspread_peer::{
    GameDetails, GameState, GameView, OperationKind, OperationView, PeerView, Status,
};

use crate::{grammar::CommandHelp, render::human::percent, units};

pub(super) fn game_table(games: &[GameView]) -> String {
    if games.is_empty() {
        return "no games are known here yet".into();
    }
    let version = |version: &Option<_>| version.as_ref().map_or("-".into(), ToString::to_string);
    let rows = games.iter().map(|game| {
        [
            game.id.to_string(),
            game.name.clone(),
            version(&game.version),
            version(&game.latest_version),
            state(game),
            game.peers.to_string(),
            units::size(game.bytes),
        ]
    });
    table(
        ["ID", "NAME", "HERE", "LATEST", "STATE", "PEERS", "SIZE"],
        rows,
    )
}

/// What is here of a game, and which version is installed if that is another one.
fn state(game: &GameView) -> String {
    let here = match game.state {
        GameState::Remote => None,
        GameState::Partial => Some("partly here"),
        GameState::Downloading => Some("arriving"),
        GameState::Downloaded => Some("here"),
    };
    let installed = game.installed.then(|| match &game.installed_version {
        Some(version) if game.version.as_ref() != Some(version) => format!("{version} installed"),
        _ => "installed".to_owned(),
    });
    let words = here.map(str::to_owned).into_iter().chain(installed);
    words.collect::<Vec<_>>().join(", ")
}

pub(super) fn game_files(details: &GameDetails) -> String {
    let GameDetails {
        game,
        version,
        bytes,
        peers,
        files,
        ..
    } = details;
    let head = format!(
        "{game} version {version}: {} in {}, at {}",
        units::size(*bytes),
        units::count(files.len(), "file"),
        units::count(peers.len(), "peer")
    );
    let rows = files.iter().map(|file| {
        let kind = if file.executable { "x" } else { "" };
        [
            file.path.to_string(),
            units::size(file.size),
            kind.to_owned(),
            file.hash.to_string(),
        ]
    });
    format!("{head}\n{}", table(["PATH", "SIZE", "", "BLAKE3"], rows))
}

pub(super) fn peer_table(peers: &[PeerView]) -> String {
    if peers.is_empty() {
        return "no peers are connected".into();
    }
    let rows = peers.iter().map(|peer| {
        [
            peer.name.clone(),
            peer.addr.to_string(),
            peer.rtt_ms.map_or("-".into(), |rtt| format!("{rtt:.1} ms")),
            peer.games.to_string(),
            peer.id.short(),
        ]
    });
    table(["NAME", "ADDRESS", "ROUND TRIP", "GAMES", "ID"], rows)
}

pub(super) fn status_lines(status: &Status) -> String {
    let mut lines = vec![
        format!(
            "{} ({}) listens on {}",
            status.name,
            status.peer.short(),
            status.listen
        ),
        format!("games in {}", status.game_dir.display()),
        format!("{} connected", units::count(status.peers, "peer")),
    ];
    for operation in &status.operations {
        lines.push(operation_line(operation));
    }
    for (game, transfers) in &status.outbound_transfers {
        lines.push(format!(
            "{game}: {} to others",
            units::count(*transfers, "transfer")
        ));
    }
    for (game, neighbours) in &status.neighbours {
        lines.push(format!(
            "{game}: chunks exchanged with {}",
            units::count(*neighbours, "peer")
        ));
    }
    for (game, waiting) in &status.queued_receivers {
        lines.push(format!(
            "{game}: {} in the queue for a streamed install",
            units::count(*waiting, "receiver")
        ));
    }
    for (game, bytes) in &status.sent_bytes {
        lines.push(format!("{game}: {} sent", units::size(*bytes)));
    }
    for (game, bytes) in &status.received_bytes {
        lines.push(format!("{game}: {} received", units::size(*bytes)));
    }
    lines.join("\n")
}

fn operation_line(operation: &OperationView) -> String {
    let (game, kind) = (&operation.game, operation.kind.as_str());
    let done = match operation.bytes_total {
        0 => units::size(operation.bytes_done),
        total => format!("{} %", percent(operation.bytes_done, total)),
    };
    let how = match operation.kind {
        _ if operation.stalled => "stalled".to_owned(),
        OperationKind::Download | OperationKind::StreamInstall => {
            let peers = units::count(operation.peers, "peer");
            format!("{} from {peers}", units::rate(operation.bytes_per_second))
        }
        OperationKind::Install => units::count_u64(operation.files_done, "file"),
        _ => return format!("{game}: {kind}, {done}"),
    };
    format!("{game}: {kind}, {done}, {how}")
}

pub(super) fn help_lines(commands: &[CommandHelp]) -> String {
    let rows = commands
        .iter()
        .map(|entry| [entry.usage.clone(), entry.does.clone()]);
    table(["COMMAND", "WHAT IT DOES"], rows)
}

/// Columns as wide as their widest cell, two spaces between them.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let formatted = lines.iter().map(|line| {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(line) {
            let padding = width - cell.chars().count() + 2;
            text.push_str(cell);
            text.push_str(&" ".repeat(padding));
        }
        text.trim_end().to_owned()
    });
    formatted.collect::<Vec<_>>().join("\n")
}
