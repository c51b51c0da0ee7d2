"""Streamed installs: that they arrive whole, and what they cost."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic

from ..archives import pack
from ..games import MIB, SENTINEL, Tree, check_equal, make_game, mixed_files, take_tree
from ..lab import Home, Lab
from ..peer import Peer
from ..report import CannotRun, Outcome, check

ROOT = Path(__file__).resolve().parents[3]

GIB = 1024 * MIB
GAME = "game"
FORMS = ("tar.zst", "zip", "rar")

OFFERED = 120.0
ARRIVED = 600.0
ENDED = ("download_failed", "download_cancelled", "install_failed", "install_cancelled", "runtime_failed")


@dataclass(frozen=True)
class Streamed:
    """One streamed install, from the command to its last event."""

    seconds: float
    at: float
    finished: dict


def stream(receiver: Peer, game: str, timeout: float = ARRIVED) -> Streamed:
    """Installs a game from a peer that expands it, and waits for the end."""
    since, begun = receiver.mark(), monotonic()
    receiver.ask(f'stream-install "{game}"')
    finished = receiver.wait_event("install_finished", timeout, since, unless=ENDED, game=game)
    check(finished.data["streamed"], f"it was no streamed install: {finished.data}")
    return Streamed(finished.at - begun, finished.at, finished.data)


def offer(home: Home, game: str, form: str, tree: Path, version: str = "1.0") -> Path:
    """Packs a tree as a game of this home; the archive."""
    archive = home.games / game / f"setup.{form}"
    pack(tree, archive)
    (home.games / game / SENTINEL).write_text(f"{version}\n")
    return archive


def check_installed(tree: Path, home: Home, game: str) -> Tree:
    """Raises unless `local/` is the tree, and alone in the game's folder."""
    names = sorted(path.name for path in (home.games / game).iterdir())
    check(names == ["local"], f"beside what is installed there is {names}")
    return check_equal(tree, home.games / game / "local")


# # A real tree

def streamed_tree(lab: Lab, outcome: Outcome) -> None:
    """A real tree, packed as tar.zst, zip and RAR, arrives identical, and no archive touches the disk."""
    tree = lab.disk / "tree"
    made = _real_tree(lab, tree)
    source_home = lab.home("source")
    for form in FORMS:
        archive = offer(source_home, game_name(form), form, tree)
        outcome.detail(f"{archive.name}: {archive.stat().st_size / MIB:.0f} MiB")
    source = lab.peer("source", source_home)
    beyond = 0.0
    for form in FORMS:
        disk = lab.own_disk(game_name(form), 3 * made.bytes + 256 * MIB)
        home = lab.home("receiver", disk)
        receiver = lab.peer(f"receiver-{game_name(form)}", home, known=(source.address,))
        receiver.wait_game(game_name(form), OFFERED, sources=1)
        with _peak_of(disk) as peak:
            streamed = stream(receiver, game_name(form))
        compared = check_installed(tree, home, game_name(form))
        check(compared == made, f"{made} was made, {compared} was compared")
        check(receiver.quit() == 0, "the receiver did not end well")
        check(peak.bytes > made.bytes, f"{peak.bytes} bytes at most, less than what came: nobody counted")
        beyond = max(beyond, (peak.bytes - made.bytes) / MIB)
        outcome.detail(f"{form}: {streamed.seconds:.2f} s, {made.bytes / MIB / streamed.seconds:.0f} MiB/s; the"
                       f" receiver's disk held {peak.bytes / MIB:.1f} MiB at most, looked at {peak.looks} times")
        shutil.rmtree(home.folder)
    outcome.at_least("identical files, in three formats", made.files, "", 6000, ci=1)
    outcome.at_least("identical bytes", made.bytes / GIB, "GiB", 1, ci=0.005)
    outcome.at_most("most of the receiver's disk, beyond the expanded size", beyond, "MiB", 64, ci=64)
    lab.check_contract()


def game_name(form: str) -> str:
    """The game that is packed in this form."""
    return form.replace(".", "-")


def _real_tree(lab: Lab, tree: Path) -> Tree:
    """Files of this machine, and what they lack: empty files and folders, names in many scripts.

    A fast run has no time to look for them and makes some.
    """
    if lab.ci:
        make_game(tree, mixed_files(16 * MIB))
        (tree / "maps/07.map").chmod(0o755)
    else:
        take_tree(tree, 6000, GIB)
    (tree / SENTINEL).unlink()
    noise = random.Random("scripts")
    for name in ("Größe/übermäßig.txt", "Ελληνικά/παιχνίδι.dat", "Кириллица/игра.bin", "日本語/ゲーム.sav",
                 "한국어/게임.ini", "العربية/لعبة.txt", "עברית/משחק.txt", "हिन्दी/खेल.cfg", "ไทย/เกม.pak",
                 "中文/游戏 数据.bin", "faces/🎮.bin", "spaces and (brackets) [x]/a + b & c.txt"):
        path = tree / name
        path.parent.mkdir(parents=True)
        path.write_bytes(noise.randbytes(noise.randrange(1, 100_000)))
    for name in ("empty", "empty.sh", "Кириллица/пусто", "deep/er/still/empty"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    (tree / "empty.sh").chmod(0o755)
    for name in ("no files/in/here", "空", "пустая папка"):
        (tree / name).mkdir(parents=True)
    files = [path for path in tree.rglob("*") if path.is_file()]
    executable = sum(os.access(path, os.X_OK) for path in files)
    folders = sum(path.is_dir() and not any(path.iterdir()) for path in tree.rglob("*"))
    lab.outcome.detail(f"{len(files)} files, {executable} of them executable, {folders} empty folders")
    return Tree(len(files), sum(path.stat().st_size for path in files))


@dataclass
class _Peak:
    """The most that was seen."""

    bytes: int = 0
    looks: int = 0


@contextmanager
def _peak_of(disk: Path) -> Iterator[_Peak]:
    """Looks at a file system's used bytes all the time."""
    peak, over = _Peak(), Event()

    def look() -> None:
        status = os.statvfs(disk)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        peak.bytes, peak.looks = max(peak.bytes, used), peak.looks + 1

    def watch() -> None:
        while not over.wait(0.002):
            look()

    watcher = Thread(target=watch, name="disk watcher", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        look()


# # What it costs

def streamed_speed(lab: Lab, outcome: Outcome) -> None:
    """Memory to memory, against the slower of decoding alone and a plain download of the same bytes."""
    size, rounds = (48 * MIB, 1) if lab.ci else (GIB, 3)
    folder = lab.memory(5 * size)
    source_home, home = lab.home("source", folder), lab.home("receiver", folder)
    made = _mixed_game(source_home.games / "plain", size)
    tree = source_home.games / "plain"
    archives = {}
    for form in ("tar.zst", "zip"):
        (tree / SENTINEL).rename(folder / SENTINEL)
        archives[form] = offer(source_home, game_name(form), form, tree)
        (folder / SENTINEL).rename(tree / SENTINEL)
        outcome.detail(f"{form} has {archives[form].stat().st_size / made.bytes:.0%} of the expanded size")
    source = lab.peer("source", source_home)
    receiver = lab.peer("receiver", home, known=(source.address,))
    for game in ("plain", *map(game_name, archives)):
        receiver.wait_game(game, OFFERED, sources=1)
    decoder = _decoder(lab)
    if decoder is None:
        outcome.detail("there is no decode_speed: compared with the download alone")
    for form, archive in archives.items():
        seconds: dict[str, list[float]] = {"decoding": [], "download": [], "stream": []}
        ways: list[tuple[str, Callable[[], float]]] = [
            ("download", lambda: _downloaded(lab, receiver, home, made)),
            ("stream", lambda: _installed(receiver, tree, home, game_name(form), made))]
        if decoder is not None:
            ways.append(("decoding", lambda: _decoded(decoder, archive, made)))
        for number in range(rounds):
            for way, measure in ways if number % 2 == 0 else reversed(ways):
                seconds[way].append(measure())
        middle = {way: median(taken) for way, taken in seconds.items() if taken}
        told = ", ".join(f"{way} {taken:.2f} s ({made.bytes / MIB / taken:.0f} MiB/s)" for way, taken in middle.items())
        outcome.detail(f"{form}: {told}; all: {json.dumps(seconds)}")
        slower = max(taken for way, taken in middle.items() if way != "stream")
        outcome.at_least(f"{form}: rate, of the slower of decoding and download", slower / middle["stream"], "",
                         0.7, ci=0.1)
    lab.check_contract()


def _decoder(lab: Lab) -> Path | None:
    """The example that decodes and does nothing else; a full run needs it."""
    name = "release/examples/decode_speed"
    built = [*ROOT.glob(f"target/{name}"), *ROOT.glob(f"target/*-linux-*/{name}")]
    if not built and not lab.ci:
        raise CannotRun("`cargo build --release -p lanspread-archive --example decode_speed` is needed first")
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


def _decoded(decoder: Path, archive: Path, made: Tree) -> float:
    done = subprocess.run([decoder, archive], capture_output=True, text=True, check=False, timeout=ARRIVED)
    check(done.returncode == 0, f"decoding failed: {done.stderr}")
    told = json.loads(done.stdout)
    check(told["bytes"] == made.bytes, f"{told['bytes']} of {made.bytes} bytes were decoded")
    return told["seconds"]


def _downloaded(lab: Lab, receiver: Peer, home: Home, made: Tree) -> float:
    transfer = lab.download(receiver, "plain", ARRIVED)
    check(transfer.bytes == made.bytes, f"{transfer.bytes} of {made.bytes} bytes were downloaded")
    receiver.ask("remove plain")
    check(not (home.games / "plain").exists(), "the download is still there")
    return transfer.seconds


def _installed(receiver: Peer, tree: Path, home: Home, game: str, made: Tree) -> float:
    streamed = stream(receiver, game)
    check(streamed.finished["bytes"] == made.bytes, f"{streamed.finished} of {made.bytes} bytes")
    compared = check_equal(tree, _with_sentinel(tree, home.games / game / "local"))
    check(compared == made, f"{made} was made, {compared} was compared")
    since = receiver.mark()
    receiver.ask(f"uninstall {game}")
    receiver.wait_event("uninstall_finished", 60, since, unless=("uninstall_failed",), game=game)
    return streamed.seconds


def _with_sentinel(tree: Path, local: Path) -> Path:
    """`local`, with the sentinel beside which its files were made."""
    shutil.copyfile(tree / SENTINEL, local / SENTINEL)
    return local


def _mixed_game(root: Path, size: int) -> Tree:
    """A game of texts that pack and pictures that do not: half small files, half large ones."""
    chance = random.Random("mixed")
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randrange(2, 9))) for _ in range(4000)]
    text = " ".join(chance.choices(words, k=3_000_000)).encode()
    noise = chance.randbytes(4 * MIB)
    count = total = 0
    for path, bytes_, source in (
        *((f"src/{number // 200:03}/{number % 200:03}.lua", 64 * 1024, text) for number in range(size // MIB * 4)),
        *((f"pack/{number:03}.pak", 12 * MIB, noise if number % 3 == 0 else text)
          for number in range(size * 3 // 4 // (12 * MIB))),
    ):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for at in range(0, bytes_, MIB):
                start = chance.randrange(len(source) - MIB)
                file.write(source[start:start + min(MIB, bytes_ - at)])
        count, total = count + 1, total + bytes_
    (root / SENTINEL).write_text("1.0\n")
    return Tree(count, total)


def streamed_memory(lab: Lab, outcome: Outcome) -> None:
    """Memory of both sides with a single entry of 2 GiB."""
    size = 128 * MIB if lab.ci else 2 * GIB
    folder = lab.memory(4 * size)
    tree = folder / "tree"
    tree.mkdir()
    block = random.Random("block").randbytes(MIB // 2).hex().encode()
    with (tree / "image.bin").open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    peaks = {"source": 0.0, "receiver": 0.0}
    for form in FORMS:
        source_home, home = lab.home(f"source-{game_name(form)}", folder), lab.home(f"receiver-{game_name(form)}", folder)
        archive = offer(source_home, GAME, form, tree)
        source = lab.peer(f"source-{game_name(form)}", source_home)
        # One that only streams: what hashing takes is no part of it.
        receiver = lab.peer(f"receiver-{game_name(form)}", home, known=(source.address,))
        receiver.wait_game(GAME, OFFERED, sources=1)
        streamed = stream(receiver, GAME)
        check_installed(tree, home, GAME)
        for role, peer in (("source", source), ("receiver", receiver)):
            peak = peer.usage().memory_peak_bytes / MIB
            peaks[role] = max(peaks[role], peak)
            outcome.detail(f"{form} of {archive.stat().st_size / MIB:.0f} MiB, {role}: {peak:.0f} MiB;"
                           f" {streamed.seconds:.1f} s")
            check(peer.quit() == 0, f"{peer.name} did not end well")
        for used in (source_home, home):
            shutil.rmtree(used.folder)
    for role, peak in peaks.items():
        outcome.at_most(f"peak memory of the {role}, one entry of {size // MIB:,} MiB", peak, "MiB", 200, ci=200)
    lab.check_contract()
