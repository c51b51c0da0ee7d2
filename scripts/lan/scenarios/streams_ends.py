"""Streamed installs: what is left when one has ended, however it ended, and who waits for whom."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from time import monotonic

from ..archives import damage
from ..games import MIB, SENTINEL, make_game
from ..lab import Home, Lab
from ..network import Host
from ..peer import Peer
from ..report import CheckFailed, Outcome, check
from .streams import ARRIVED, ENDED, FORMS, GAME, OFFERED, check_installed, game_name, offer, stream

# Blocking threads of the runtime go when they have had nothing to do for 10 s.
IDLE_THREADS_GO = 10.0

# After this without a sign of life a connection counts as lost.
IDLE_TIMEOUT = 10.0


def check_idle(source: Peer, home: Home, game: str, since: float, timeout: float) -> float:
    """Waits until the source neither shows a transfer of the game nor has a file of it open.

    Returns how long after `since` that was.
    """
    source.poll(
        lambda: (source.status()["outbound_transfers"].get(game, 0), source.descriptors(home.games / game)),
        lambda seen: seen == (0, 0), timeout, f"no transfer and no open file of {game}", interval=0.02)
    return monotonic() - since


# # What is left over

def streamed_leftovers(lab: Lab, outcome: Outcome) -> None:
    """Successes and provider errors: no transfer, no thread and no descriptor of the source is left over."""
    rounds = 6 if lab.ci else 100
    tree = lab.disk / "tree"
    make_game(tree, [(f"data/{number:02}.bin", 100_000 + number) for number in range(40)])
    (tree / SENTINEL).unlink()
    source_home, home = lab.home("source"), lab.home("receiver")
    for form in FORMS:
        offer(source_home, f"good-{game_name(form)}", form, tree)
        damage(offer(source_home, f"bad-{game_name(form)}", form, tree))
    source = lab.peer("source", source_home)
    receiver = lab.peer("receiver", home, known=(source.address,))
    for form in FORMS:
        for game in (f"good-{game_name(form)}", f"bad-{game_name(form)}"):
            receiver.wait_game(game, OFFERED, sources=1)
    before = {peer: _Counts.of(peer) if lab.ci else _at_rest(peer) for peer in (source, receiver)}
    slowest = 0.0
    for number in range(rounds):
        form = FORMS[number % len(FORMS)]
        slowest = max(slowest, _succeed(source, source_home, receiver, home, f"good-{game_name(form)}"),
                      _fail(source, source_home, receiver, home, f"bad-{game_name(form)}"))
    last = f"good-{game_name(FORMS[0])}"
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
