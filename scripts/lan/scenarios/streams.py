"""Streamed installs: that they arrive whole, what they cost, and what is left when one is cut off."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic

from ..archives import damage, pack
from ..games import MIB, SENTINEL, Tree, check_equal, make_game, mixed_files, take_tree
from ..lab import Home, Lab
from ..network import Host
from ..peer import Peer
from ..report import CannotRun, CheckFailed, Outcome, check

ROOT = Path(__file__).resolve().parents[3]

GIB = 1024 * MIB
GAME = "game"
FORMS = ("tar.zst", "zip", "rar")

OFFERED = 120.0
ARRIVED = 600.0
ENDED = ("download_failed", "download_cancelled", "install_failed", "install_cancelled", "runtime_failed")

# Blocking threads of the runtime go when they have had nothing to do for 10 s.
IDLE_THREADS_GO = 10.0

# After this without a sign of life a connection counts as lost.
IDLE_TIMEOUT = 10.0


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


def check_idle(source: Peer, home: Home, game: str, since: float, timeout: float) -> float:
    """Waits until the source neither shows a transfer of the game nor has a file of it open.

    Returns how long after `since` that was.
    """
    source.poll(
        lambda: (source.status()["outbound_transfers"].get(game, 0), source.descriptors(home.games / game)),
        lambda seen: seen == (0, 0), timeout, f"no transfer and no open file of {game}", interval=0.02)
    return monotonic() - since


# # A real tree

def streamed_tree(lab: Lab, outcome: Outcome) -> None:
    """A real tree, packed as tar.zst, zip and RAR, arrives identical, and no archive touches the disk."""
    tree = lab.disk / "tree"
    made = _real_tree(lab, tree)
    source_home = lab.home("source")
    for form in FORMS:
        archive = offer(source_home, _name(form), form, tree)
        outcome.detail(f"{archive.name}: {archive.stat().st_size / MIB:.0f} MiB")
    source = lab.peer("source", source_home)
    beyond = 0.0
    for form in FORMS:
        disk = lab.own_disk(_name(form), 3 * made.bytes + 256 * MIB)
        home = lab.home("receiver", disk)
        receiver = lab.peer(f"receiver-{_name(form)}", home, known=(source.address,))
        receiver.wait_game(_name(form), OFFERED, sources=1)
        with _peak_of(disk) as peak:
            streamed = stream(receiver, _name(form))
        compared = check_installed(tree, home, _name(form))
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


def _name(form: str) -> str:
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


# # What is left over

def streamed_leftovers(lab: Lab, outcome: Outcome) -> None:
    """Successes and provider errors: no transfer, no thread and no descriptor of the source is left over."""
    rounds = 6 if lab.ci else 100
    tree = lab.disk / "tree"
    make_game(tree, [(f"data/{number:02}.bin", 100_000 + number) for number in range(40)])
    (tree / SENTINEL).unlink()
    source_home, home = lab.home("source"), lab.home("receiver")
    for form in FORMS:
        offer(source_home, f"good-{_name(form)}", form, tree)
        damage(offer(source_home, f"bad-{_name(form)}", form, tree))
    source = lab.peer("source", source_home)
    receiver = lab.peer("receiver", home, known=(source.address,))
    for form in FORMS:
        for game in (f"good-{_name(form)}", f"bad-{_name(form)}"):
            receiver.wait_game(game, OFFERED, sources=1)
    before = {peer: _Counts.of(peer) if lab.ci else _at_rest(peer) for peer in (source, receiver)}
    slowest = 0.0
    for number in range(rounds):
        form = FORMS[number % len(FORMS)]
        slowest = max(slowest, _succeed(source, source_home, receiver, home, f"good-{_name(form)}"),
                      _fail(source, source_home, receiver, home, f"bad-{_name(form)}"))
    last = f"good-{_name(FORMS[0])}"
    stream(receiver, last)
    check_installed(tree, home, last)
    outcome.at_most(f"{rounds} successes and {rounds} errors: the source is idle after at most", slowest, "s", 1,
                    ci=10)
    ended = monotonic()
    # A fast run does not wait for idle threads: it only sees that there is not one for each stream.
    settling = 0.0 if lab.ci else IDLE_THREADS_GO + 5
    for peer in (source, receiver):
        left = _left_over(peer, before[peer], settling)
        outcome.detail(f"{peer.name}: {before[peer]} before, {_Counts.of(peer)} after; at rest"
                       f" {monotonic() - ended:.1f} s after the last end")
        outcome.at_most(f"descriptors left over, {peer.name}", left.descriptors, "", 0, ci=2)
        outcome.at_most(f"threads left over, {peer.name} (idle ones may stay {IDLE_THREADS_GO:g} s)",
                        left.threads, "", 0, ci=2 * rounds - 2)
    lab.check_contract()


@dataclass(frozen=True)
class _Counts:
    """What a process holds."""

    threads: int
    descriptors: int

    @staticmethod
    def of(peer: Peer) -> _Counts:
        return _Counts(peer.threads(), peer.descriptors())

    def least(self, other: _Counts) -> _Counts:
        return _Counts(min(self.threads, other.threads), min(self.descriptors, other.descriptors))


def _at_rest(peer: Peer) -> _Counts:
    """What it holds once that has not changed for longer than idle threads stay."""
    counts = _Counts.of(peer)
    since = begun = monotonic()
    while monotonic() < since + IDLE_THREADS_GO + 1:
        check(monotonic() < begun + 120, f"{peer.name} did not come to rest, with {counts}")
        time.sleep(0.1)
        now = _Counts.of(peer)
        if now != counts:
            counts, since = now, monotonic()
    return counts


def _left_over(peer: Peer, before: _Counts, settling: float) -> _Counts:
    """What it holds beyond `before`, once that is nothing or the time to settle is over."""
    deadline, counts = monotonic() + settling, _Counts.of(peer)
    while counts.least(before) != counts and monotonic() < deadline:
        time.sleep(0.1)
        counts = counts.least(_Counts.of(peer))
    return _Counts(max(0, counts.threads - before.threads), max(0, counts.descriptors - before.descriptors))


def _succeed(source: Peer, source_home: Home, receiver: Peer, home: Home, game: str) -> float:
    """One that arrives, and goes again; how long after its end the source was idle."""
    streamed = stream(receiver, game, 60)
    idle = check_idle(source, source_home, game, streamed.at, 30)
    since = receiver.mark()
    receiver.ask(f"uninstall {game}")
    receiver.wait_event("uninstall_finished", 30, since, unless=("uninstall_failed",), game=game)
    return idle


def _fail(source: Peer, source_home: Home, receiver: Peer, home: Home, game: str) -> float:
    """One whose archive is damaged; how long after its end the source was idle."""
    since = receiver.mark()
    receiver.ask(f"stream-install {game}")
    failed = receiver.wait_event("download_failed", 60, since, unless=("install_finished",), game=game)
    idle = check_idle(source, source_home, game, failed.at, 30)
    check(failed.data["error"]["code"] == "all_sources_failed", f"the error is {failed.data['error']}")
    check("is damaged" in failed.data["error"]["message"], f"the error is {failed.data['error']}")
    check(not (home.games / game).exists(), f"{game} failed and left its folder")
    return idle


# # Cut off

def streamed_cut(lab: Lab, outcome: Outcome) -> None:
    """The receiver cancels, is killed, or loses its network, at 0, 10, 50 and 99 %."""
    size = (48 if lab.ci else 512) * MIB
    all_shares = (0.0, 0.1, 0.5, 0.99)
    cut = _Cut(lab, size)
    for way in ("cancel", "kill") if lab.ci else ("cancel", "kill", "network"):
        # A fast run has no time for many connections that must be found dead.
        shares = all_shares if not lab.ci else (0.0, 0.5) if way == "cancel" else (0.5,)
        ends = [cut.off(way, share) for share in shares]
        for share, end in zip(shares, ends):
            outcome.detail(f"{way} at {share:.0%}, in fact {end.share:.1%}: noticed after {end.noticed:.2f} s, the"
                           f" source is idle after {end.idle:.2f} s")
        idle, late = max(end.idle for end in ends), max(end.idle - end.noticed for end in ends)
        if way == "cancel":
            outcome.at_most("cancelled: the source is idle after", idle, "s", 2, ci=10)
        else:
            named = {"kill": "killed", "network": "cable pulled"}[way]
            outcome.at_most(f"{named}: the source is idle after it noticed by", max(0.0, late), "s", 2, ci=10)
            outcome.at_most(f"{named}: the source is idle after", idle, "s", IDLE_TIMEOUT + 5, ci=30)
    lab.check_contract()


@dataclass(frozen=True)
class _End:
    """How one went that was cut off; seconds since then."""

    share: float
    noticed: float
    idle: float


@dataclass
class _Cut:
    """A source with a game's new version, and a receiver that has the old one installed."""

    lab: Lab
    size: int
    starts: int = field(default=0)

    def __post_init__(self) -> None:
        lab = self.lab
        self.old, new = lab.disk / "old", lab.disk / "new"
        for tree, version, files in (
            (self.old, "1.0", [("save/level.dat", 3 * MIB), ("readme.txt", 77), ("maps/a.map", 1)]),
            (new, "2.0", [(f"pack/{number}.bin", self.size // 8) for number in range(8)]),
        ):
            make_game(tree, files, version)
            (tree / SENTINEL).unlink()
        (self.old / "readme.txt").chmod(0o755)
        (self.old / "mods").mkdir()
        self.home = lab.home("receiver")
        self.hosts: tuple[Host, Host] | None = None
        self._install_old()
        self.source_home = lab.home("source")
        offer(self.source_home, GAME, "tar.zst", new, "2.0")
        self.sources: dict[bool, Peer] = {}

    def _install_old(self) -> None:
        first_home = self.lab.home("first")
        offer(first_home, GAME, "zip", self.old, "1.0")
        first = self.lab.peer("first", first_home)
        receiver = self.lab.peer("receiver-of-1.0", self.home, known=(first.address,))
        receiver.wait_game(GAME, OFFERED, sources=1)
        stream(receiver, GAME)
        check_installed(self.old, self.home, GAME)
        for peer in (receiver, first):
            check(peer.quit() == 0, f"{peer.name} did not end well")

    def off(self, way: str, share: float) -> _End:
        """Begins a streamed update, ends it in this way at this share, and looks at both sides."""
        source = self._source(way == "network")
        receiver = self._start(source)
        receiver.wait_game(GAME, OFFERED, sources=1, where=lambda entry: entry["latest_version"] == "2.0")
        since, asked = source.mark(), receiver.mark()
        receiver.ask(f"stream-install {GAME}")
        receiver.wait_event("download_started", 60, asked, unless=ENDED, game=GAME)
        received = receiver.poll(
            lambda: receiver.status()["received_bytes"].get(GAME, 0), lambda bytes: bytes >= share * self.size,
            120, f"{share:.0%} of the bytes", interval=0.005)
        check(share > 0.9 or source.descriptors(self.source_home.games / GAME) > 0, "no archive was open")
        cut_at = monotonic()
        if way == "kill":
            receiver.kill()
        elif way == "cancel":
            receiver.ask(f"cancel {GAME}")
            receiver.wait_event("download_cancelled", 30, asked, unless=("install_finished",), game=GAME)
        else:
            assert self.hosts is not None
            self.lab.plug(self.hosts[1], False)
        idle = check_idle(source, self.source_home, GAME, cut_at, 60)
        noticed = 0.0
        if way != "cancel":
            left = source.wait_event("peer_left", 60, since, peer=receiver.id)
            noticed = left.at - cut_at
        self._after(way, receiver, asked)
        return _End(received / self.size, noticed, idle)

    def _after(self, way: str, receiver: Peer, asked: int) -> None:
        """The receiver's end of it: nothing but the old version, at the latest after its next start."""
        if way == "network":
            ended = receiver.wait_any(ENDED, 60, asked, lambda data: data["game"] == GAME)
            check(ended.name == "download_failed", f"without a network it said {ended.data}")
            assert self.hosts is not None
            self.lab.plug(self.hosts[1], True)
        if way != "kill":
            check_installed(self.old, self.home, GAME)
            code, expected = receiver.quit(), 1 if way == "network" else 0
            check(code == expected, f"the receiver ended with exit code {code}, not {expected}")
        again = self._start(None)
        again.wait_ready()
        entry = again.game(GAME)
        check(entry is not None and entry["installed_version"] == "1.0", f"the list shows {entry}")
        check_installed(self.old, self.home, GAME)
        check(again.quit() == 0, "the receiver did not end well after its next start")

    def _source(self, on_host: bool) -> Peer:
        """The source, over loopback or on a host of its own."""
        if on_host not in self.sources:
            for other in self.sources.values():
                other.quit()
            if on_host:
                self.hosts = (self.lab.host("source"), self.lab.host("receiver"))
            limit = str(self.size // 8)
            self.sources[on_host] = self.lab.peer(
                f"source-{'host' if on_host else 'here'}", self.source_home, "--upload-limit", limit,
                host=self.hosts[0] if self.hosts else None)
        return self.sources[on_host]

    def _start(self, source: Peer | None) -> Peer:
        self.starts += 1
        host = self.hosts[1] if self.hosts else None
        known = (source.address,) if source and host is None else ()
        return self.lab.peer(f"receiver-{self.starts}", self.home, host=host, known=known)


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
        archives[form] = offer(source_home, _name(form), form, tree)
        (folder / SENTINEL).rename(tree / SENTINEL)
        outcome.detail(f"{form} has {archives[form].stat().st_size / made.bytes:.0%} of the expanded size")
    source = lab.peer("source", source_home)
    receiver = lab.peer("receiver", home, known=(source.address,))
    for game in ("plain", *map(_name, archives)):
        receiver.wait_game(game, OFFERED, sources=1)
    decoder = _decoder(lab)
    if decoder is None:
        outcome.detail("there is no decode_speed: compared with the download alone")
    for form, archive in archives.items():
        seconds: dict[str, list[float]] = {"decoding": [], "download": [], "stream": []}
        ways: list[tuple[str, Callable[[], float]]] = [
            ("download", lambda: _downloaded(lab, receiver, home, made)),
            ("stream", lambda: _installed(receiver, tree, home, _name(form), made))]
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
        source_home, home = lab.home(f"source-{_name(form)}", folder), lab.home(f"receiver-{_name(form)}", folder)
        archive = offer(source_home, GAME, form, tree)
        source = lab.peer(f"source-{_name(form)}", source_home)
        # One that only streams: what hashing takes is no part of it.
        receiver = lab.peer(f"receiver-{_name(form)}", home, known=(source.address,))
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


# # A line

SLOTS, LINE = 2, 8

# A receiver that was turned away has no news of its install before it has waited, half a second at least.
BUSY_WAIT = 0.45


def streamed_queue(lab: Lab, outcome: Outcome) -> None:
    """Twenty receivers ask one source at once: two stream, eight wait in line, the others ask again."""
    count, size = (13, 4 * MIB) if lab.ci else (20, 64 * MIB)
    folder = lab.memory((count + 3) * size)
    tree = folder / "tree"
    make_game(tree, [(f"pack/{number:02}.bin", size // 16) for number in range(16)])
    (tree / SENTINEL).unlink()
    source_home = lab.home("source", folder)
    offer(source_home, GAME, "tar.zst", tree)
    source = lab.peer("source", source_home, "--upload-limit", str(size * 3))
    homes = [lab.home(f"receiver-{number:02}", folder) for number in range(count)]
    receivers = [lab.peer(home.folder.name, home, known=(source.address,)) for home in homes]
    for receiver in receivers:
        receiver.wait_game(GAME, OFFERED, sources=1)
    asked = monotonic()
    for receiver in receivers:
        receiver.send(f"stream-install {GAME}")
    line = _Line(source, receivers)
    source.poll(line.look, lambda done: done, ARRIVED, "all of them installed", interval=0.02)
    for home, receiver in zip(homes, receivers):
        failed = [event.data for event in receiver.all_events() if event.name in ENDED]
        check(not failed, f"{receiver.name} said {failed[:1]}")
        check_installed(tree, home, GAME)
    finished = max(event.at for receiver in receivers for event in receiver.events("install_finished"))
    positions = {event.data["position"] for receiver in receivers for event in receiver.events("queued")}
    check(positions == set(range(1, LINE + 1)), f"they were told of the positions {sorted(positions)}")
    check(max(line.streaming) == SLOTS, f"{max(line.streaming)} were served at once")
    check(max(line.waiting) == LINE, f"{max(line.waiting)} waited in line")
    news = sorted(min(event.at for event in receiver.all_events()
                      if event.name in ("queued", "download_started")) - asked for receiver in receivers)
    told = ", ".join(f"{seconds:.2f}" for seconds in news)
    outcome.detail(f"all of it took {finished - asked:.1f} s; the first news of each came after {told} s")
    outcome.figure("at once", max(line.streaming), "streams")
    outcome.figure("in line", max(line.waiting), "receivers")
    outcome.at_least("turned away at first", sum(seconds > BUSY_WAIT for seconds in news), "receivers",
                     count - SLOTS - LINE, ci=count - SLOTS - LINE)
    outcome.at_least("have it in the end, identical", len(receivers), "receivers", count, ci=count)
    outcome.at_most("peak memory of the source", source.usage().memory_peak_bytes / MIB, "MiB", 300, ci=300)
    check_idle(source, source_home, GAME, monotonic(), 10)
    lab.check_contract()


@dataclass
class _Line:
    """What a source's status and its receivers' events say, look by look."""

    source: Peer
    receivers: list[Peer]
    streaming: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def look(self) -> bool:
        """Whether all are done."""
        status = self.source.status()
        self.streaming.append(status["outbound_transfers"].get(GAME, 0))
        self.waiting.append(status["queued_receivers"].get(GAME, 0))
        for receiver in self.receivers:
            failed = [event.data for event in receiver.all_events() if event.name in ENDED]
            if failed:
                raise CheckFailed(f"{receiver.name} said {failed[0]}")
        return all(receiver.events("install_finished") for receiver in self.receivers)
