"""Cancelling, starting again, and two processes on one directory."""

from __future__ import annotations

import json
from time import monotonic

from ..games import MIB, copy_game, equal_files, make_game, mixed_files
from ..lab import Home, Lab
from ..peer import Peer
from ..report import Outcome, check

GAME = "game"
OFFERED = 120.0
INDEXED = 600.0


def cancel(lab: Lab, outcome: Outcome) -> None:
    """Cancel in the middle: told at once, the payload gone, `local/` untouched, the sources idle."""
    size = (96 if lab.ci else 384) * MIB
    homes = [lab.home("source-0"), lab.home("source-1")]
    make_game(homes[0].games / GAME, mixed_files(size))
    copy_game(homes[0].games / GAME, homes[1].games / GAME)
    sources = [lab.peer(home.folder.name, home, "--upload-limit", str(size // 16)) for home in homes]
    home = lab.home("receiver")
    installed = home.games / GAME / "local"
    save = {"save.dat": b"level 9", "deep/er/settings.ini": b"volume=11\n"}
    for path, content in save.items():
        (installed / path).parent.mkdir(parents=True, exist_ok=True)
        (installed / path).write_bytes(content)
    receiver = lab.peer("receiver", home, known=tuple(source.address for source in sources))
    receiver.wait_game(GAME, OFFERED, sources=2)
    receiver.ask(f"download {GAME}")
    lab.progress(receiver, GAME, 0.4, OFFERED)
    since, asked_at = receiver.mark(), monotonic()
    receiver.ask(f"cancel {GAME}")
    cancelled = receiver.wait_event("download_cancelled", 30, since, game=GAME)
    entries = sorted(path.name for path in (home.games / GAME).iterdir())
    check(entries == ["local"], f"after the cancel the game root holds {entries}")
    found = {str(path.relative_to(installed)): path.read_bytes()
             for path in installed.rglob("*") if path.is_file()}
    check(found == save, f"local/ holds {sorted(found)}")
    check(receiver.status()["operations"] == [], "the cancelled operation still shows")
    idle = 0.0
    for source in sources:
        source.poll(lambda: source.status()["outbound_transfers"], lambda transfers: not transfers, 30,
                    "an end of its transfers", interval=0.02)
        idle = max(idle, monotonic() - asked_at)
    outcome.at_most("told after", cancelled.at - asked_at, "s", 1, ci=10)
    outcome.at_most("the sources are idle after", idle, "s", 2, ci=15)
    entry = receiver.game(GAME)
    check(entry is not None and entry["state"] == "remote" and entry["installed"], f"the list shows {entry}")
    lab.check_contract()


def restart(lab: Lab, outcome: Outcome) -> None:
    """A start with many games that are indexed already: ready with the full list, nothing re-hashed."""
    games, files = (5, 400) if lab.ci else (50, 2000)
    folder = lab.memory(2 * games * files * 4096)
    home, names = lab.home("library", folder), [f"game-{number:02}" for number in range(games)]
    total = sum(make_game(home.games / name, equal_files(files, 1500 + number)).bytes
                for number, name in enumerate(names))
    first = lab.peer("first-start", home)
    first.wait_ready(120)
    _wait_until_offered(lab, first, names)
    hashed = first.status()["hashed_bytes"]
    check(hashed == total, f"{hashed} bytes were hashed at the first start, not {total}")
    outcome.detail(f"indexed for the first time in {monotonic() - first.started:.1f} s")
    check(first.quit() == 0, "the first start did not end with exit code 0")
    again = lab.peer("second-start", home)
    ready = again.wait_ready(120)
    listed = again.ask("list")["games"]
    seconds = monotonic() - again.started
    complete = [entry["id"] for entry in listed if entry["state"] == "downloaded"]
    check(complete == names, f"after the restart {len(complete)} of {games} games are listed as downloaded")
    _wait_until_offered(lab, again, names)
    guest = lab.peer("guest", lab.home("guest", folder), known=(again.address,))
    guest.wait_game(names[-1], OFFERED, sources=1)
    lab.download(guest, names[-1], OFFERED)
    hashed = again.status()["hashed_bytes"]
    check(hashed == 0, f"{hashed} bytes were hashed again")
    outcome.detail(f"the ready event came after {ready.at - again.started:.2f} s")
    outcome.at_most(f"{games} games with {games * files:,} files are listed after", seconds, "s", 1, ci=10)
    lab.check_contract()


def _wait_until_offered(lab: Lab, peer: Peer, names: list[str]) -> None:
    """Waits until another peer could download every one of these games."""
    guest_name = f"guest-of-{peer.name}"
    guest = lab.peer(guest_name, lab.home(guest_name), known=(peer.address,))
    guest.poll(lambda: {entry["id"] for entry in guest.ask("list")["games"] if entry["peers"] == 1},
               lambda offered: offered == set(names), INDEXED, f"all {len(names)} games")
    guest.quit()


def two_processes(lab: Lab, outcome: Outcome) -> None:
    """A second `serve` on the same directories refuses and names the first; verbs attach to it."""
    home, other = lab.home("shared"), lab.home("other")
    make_game(home.games / GAME, mixed_files(MIB))
    first = lab.peer("the-first", home, verb=("serve",))
    first.wait_ready()
    isolated = ("--no-mdns", "--listen", "127.0.0.1:0")
    for game_dir, state_dir in ((home.games, other.state), (other.games, home.state), (home.games, home.state)):
        second = lab.verb("--game-dir", str(game_dir), "--state-dir", str(state_dir), *isolated, "serve")
        check(second.code == 6, f"a second `serve` ended with {second.code}, not 6: {second.stderr}")
        names_it = "the-first" in second.stderr or str(first.process.pid) in second.stderr
        check(names_it, f"the refusal does not name the first: {second.stderr.strip()}")
    outcome.detail(f"refusal: {second.stderr.strip()}")
    begun = monotonic()
    status = _reply(lab, home, "status")
    outcome.figure("an attached `status` takes", monotonic() - begun, "s")
    check(status["peer"] == first.id, f"`status` came from {status['peer']}, not from the first")
    listed = _reply(lab, home, "list")["games"]
    check([entry["id"] for entry in listed] == [GAME], f"the attached `list` shows {listed}")
    check(first.terminate() == 0, "SIGTERM did not end `serve` with exit code 0")
    lab.check_contract()


def _reply(lab: Lab, home: Home, verb: str) -> dict:
    """The reply's data of a verb that attaches."""
    done = lab.verb("--json", "--game-dir", str(home.games), "--state-dir", str(home.state), verb)
    check(done.code == 0, f"the attached `{verb}` ended with {done.code}: {done.stderr}")
    replies = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "reply"]
    check(len(replies) == 1 and replies[0]["ok"], f"the attached `{verb}` replied {replies}")
    return replies[0]["data"]
