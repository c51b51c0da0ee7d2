"""Who starts when, with what, and what must come of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lan.games import MIB
from lan.report import Figure, check

from .gathering import Gathering, Round
from .payload import Payload, Shape, many_files, one_file, spoil, tree
from .programs import Node, Program

RATE_MBIT = 100
SLOW_MBIT = 10

# When one more host goes silent.
STALLS_AT_SHARE = 0.1

SMALL = (20_000, 5 * 1024)

# Rounds of each program of a scenario, by name.
Rounds = Mapping[str, Sequence[Round]]
Tell = Callable[[Program, Payload], Round]
Judge = Callable[["Known"], list[Figure]]


@dataclass(frozen=True)
class Scenario:
    """One story, told by each of its programs in turn."""

    name: str
    about: str
    shape: Shape
    receivers: int
    mbit: int | None
    tell: Tell
    judge: Judge
    programs: tuple[str, ...] = ("lanspread", "libtorrent")
    # Told once, because copying one by one takes what the arithmetic says.
    once: tuple[str, ...] = ()
    # What `seconds` of this scenario mean.
    what: str = "last receiver"
    # Whether the simulator tells the same story.
    predicted: bool = False

    @property
    def floor(self) -> float | None:
        """Seconds that the payload takes over one link."""
        return self.shape.bytes * 8 / 1e6 / self.mbit if self.mbit else None


class Known:
    """The rounds of every scenario that has been told, to hold one against another."""

    def __init__(self, rounds: Mapping[str, Rounds], runs: Mapping[str, str],
                 predictions: Mapping[str, float]) -> None:
        """`runs` names the run that each scenario was told in; predictions are in seconds."""
        self._rounds, self._runs, self._predictions = rounds, runs, predictions

    def rounds(self, scenario: str, program: str) -> list[Round]:
        """The rounds that went well."""
        return [told for told in self._rounds.get(scenario, {}).get(program, []) if told.error is None]

    def failed(self, scenario: str, program: str) -> int:
        """How many did not."""
        return len(self._rounds.get(scenario, {}).get(program, [])) - len(self.rounds(scenario, program))

    def seconds(self, scenario: str, program: str) -> float | None:
        """The median; `None` if there is none."""
        told = self.rounds(scenario, program)
        return median(round_.notes.get("seconds", round_.last) for round_ in told) if told else None

    def over_prediction(self, scenario: str, program: str) -> float | None:
        """The median over what the simulator says."""
        seconds, predicted = self.seconds(scenario, program), self._predictions.get(scenario)
        return seconds / predicted if seconds is not None and predicted else None

    def ratio(self, over: tuple[str, str], under: tuple[str, str]) -> float | None:
        """One median over another; `None` also if they are not of the same run."""
        if self._runs.get(over[0]) != self._runs.get(under[0]):
            return None
        upper, lower = self.seconds(*over), self.seconds(*under)
        return upper / lower if upper is not None and lower is not None else None


# # Stories

def together(count: int, mbit: int | None) -> Tell:
    """All receivers begin at once."""
    def tell(program: Program, payload: Payload) -> Round:
        with Gathering(program, payload, mbit) as room:
            receivers = room.add_receivers(count)
            return _watched(room, lambda: _all(room, receivers))
    return tell


def _all(room: Gathering, receivers: list[Node]) -> None:
    room.acquaint()
    room.begin(receivers)
    room.finish(receivers, copies=1 if room.program.swarm else len(receivers))


def late(program: Program, payload: Payload) -> Round:
    """A ninth receiver begins when the first has half; its own time counts."""
    with Gathering(program, payload, RATE_MBIT) as room:
        early, ninth = room.add_receivers(8), room.add_receiver("receiver-late")

        def story() -> None:
            room.acquaint()
            room.begin(early)
            early[0].wait_share(0.5, room.deadline())
            room.begin([ninth])
            room.finish([*early, ninth])
            room.round.notes["seconds"] = room.since_own_start(ninth)
            room.round.notes["others' last"] = max(room.round.receivers[node.name] for node in early)

        return _watched(room, story)


def leaving(program: Program, payload: Payload) -> Round:
    """The source leaves once every byte is at one of eight receivers."""
    with Gathering(program, payload, RATE_MBIT) as room:
        receivers = room.add_receivers(8)

        def story() -> None:
            room.acquaint()
            room.begin(receivers)
            room.wait_sent_once(receivers)
            room.round.notes["left after"] = room.elapsed()
            room.source.leave()
            room.finish(receivers, leaves=[room.source.name])

        return _watched(room, story)


def slow_link(program: Program, payload: Payload) -> Round:
    """One of eight receivers has a tenth of the link; the others' last counts."""
    with Gathering(program, payload, RATE_MBIT) as room:
        receivers = room.add_receivers(7)
        slow = room.add_receiver("receiver-slow", SLOW_MBIT)

        def story() -> None:
            room.acquaint()
            room.begin([slow, *receivers])
            room.finish(receivers)

        return _watched(room, story)


def staller(program: Program, payload: Payload) -> Round:
    """One more host has everything and is stopped when the first receiver has a tenth."""
    with Gathering(program, payload, RATE_MBIT) as room:
        silent = room.add_source("staller", room.twin("staller"))
        receivers = room.add_receivers(8)

        def story() -> None:
            room.acquaint()
            room.begin(receivers)
            receivers[0].wait_share(STALLS_AT_SHARE, room.deadline())
            assert silent.pid is not None
            os.kill(silent.pid, signal.SIGSTOP)
            room.finish(receivers)

        return _watched(room, story)


def liar(program: Program, payload: Payload) -> Round:
    """One more host has offered everything and then has other bytes in every chunk."""
    with Gathering(program, payload, RATE_MBIT) as room:
        twin = room.twin("liar")
        room.add_source("liar", twin)
        receivers = room.add_receivers(8)

        def story() -> None:
            room.acquaint()
            spoil(twin.root, (path for path, _ in payload.shape.files))
            room.begin(receivers)
            room.finish(receivers)
            seen = sum(node.wrong_bytes_seen() for node in receivers)
            room.round.notes["wrong pieces seen"] = seen
            check(seen > 0, "nobody was sent a wrong byte")

        return _watched(room, story)


def _watched(room: Gathering, story: Callable[[], None]) -> Round:
    """A round that fails says what everybody said last."""
    try:
        story()
    except Exception as error:  # any fault ends this round, and is told; the next ones go on
        room.round.error = f"{type(error).__name__}: {error}"
        print(f"{room.program.name}: {room.round.error}\n{room.describe()}", flush=True)
    return room.round


# # What must come of them

def judge_together(count: int, at_most: float) -> Judge:
    """Ours in this time, ahead of libtorrent, or beside it if there is one receiver."""
    name = f"shaped-{count}"

    def judge(known: Known) -> list[Figure]:
        figures = _bound(f"N={count}: last receiver", known.seconds(name, "lanspread"), "s", at_most=at_most)
        figures += _bound(f"N={count}: over libtorrent", known.ratio((name, "lanspread"), (name, "libtorrent")), "",
                          at_most=1.02 if count == 1 else 1.0)
        predicted = known.over_prediction(name, "lanspread")
        figures += _bound(f"N={count}: over the simulator's prediction", predicted, "", at_most=1.1)
        figures += _bound(f"N={count}: over the simulator's prediction", predicted, "", at_least=0.9)
        if count == 16:
            for role in ("source", "receiver"):
                sizes = [getattr(told, f"{role}_memory_bytes") for told in known.rounds(name, "lanspread")]
                figures += _bound(f"N={count}: memory of the {role}", max(sizes) / MIB if sizes else None, "MiB",
                                  at_most=200)
        return figures
    return judge


def judge_unshaped(known: Known) -> list[Figure]:
    """Faster than libtorrent, no slower than curl, and not far from what the transport carries."""
    ours = ("unshaped", "lanspread")
    return [*_bound("unshaped: as fast as libtorrent, times", known.ratio(("unshaped", "libtorrent"), ours), "",
                    at_least=1.8),
            *_bound("unshaped: over curl", known.ratio(ours, ("unshaped", "https")), "", at_most=1.05),
            *_bound("unshaped: of the transport's ceiling", known.ratio(("unshaped", "transport"), ours), "",
                    at_least=0.65)]


def judge_late(known: Known) -> list[Figure]:
    """1.3 floors of its own start."""
    seconds = known.seconds("late", "lanspread")
    return _bound("late: the ninth, in floors", None if seconds is None else seconds / (256 * MIB * 8 / 1e8), "",
                  at_most=1.3)


def judge_leaving(known: Known) -> list[Figure]:
    """Everybody finishes."""
    told = len(known.rounds("leaving", "lanspread")) + known.failed("leaving", "lanspread")
    share = len(known.rounds("leaving", "lanspread")) / told if told else None
    return _bound("leaving: rounds in which everybody finished", share, "", at_least=1.0)


def judge_against_eight(name: str, at_most: float) -> Judge:
    """No more than this, over the same eight without trouble."""
    def judge(known: Known) -> list[Figure]:
        return _bound(f"{name}: over eight without trouble",
                      known.ratio((name, "lanspread"), ("eight", "lanspread")), "", at_most=at_most)
    return judge


def judge_small(known: Known) -> list[Figure]:
    """Against one file of the same size."""
    return _bound("small files: over one file",
                  known.ratio(("small-files", "lanspread"), ("one-file", "lanspread")), "", at_most=1.3)


def judge_nothing(known: Known) -> list[Figure]:
    """A scenario that others are held against."""
    return []


def _bound(what: str, value: float | None, unit: str, at_most: float | None = None,
           at_least: float | None = None) -> list[Figure]:
    return [] if value is None else [Figure(what, value, unit, at_most, at_least)]


# # All of them

EVERYTHING = ("lanspread", "libtorrent", "https", "rsync")
COPIES = ("https", "rsync")


def _shaped(count: int, at_most: float, size: int = 256 * MIB, mbit: int = RATE_MBIT) -> Scenario:
    return Scenario(
        f"shaped-{count}", f"{size // MIB} MiB at {mbit} Mbit/s to {count} at once", one_file(size), count, mbit,
        together(count, mbit), judge_together(count, at_most), EVERYTHING, COPIES if count > 1 else (), predicted=True)


def _trouble(name: str, tell: Tell, judge: Judge, what: str = "last receiver", about: str | None = None) -> Scenario:
    about = about or (tell.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return Scenario(name, about, one_file(256 * MIB), 8, RATE_MBIT, tell, judge, what=what)


SCENARIOS = [
    _shaped(1, 23.5),
    _shaped(4, 25.0),
    _shaped(8, 25.5),
    _shaped(16, 26.5, 128 * MIB, 50),
    Scenario("unshaped", "one receiver, no limit on the link", tree(), 1, None, together(1, None),
             judge_unshaped, (*EVERYTHING, "transport")),
    _trouble("eight", together(8, RATE_MBIT), judge_nothing, about="the same eight without trouble"),
    _trouble("late", late, judge_late, "the ninth, since its own start"),
    _trouble("leaving", leaving, judge_leaving),
    _trouble("slow-link", slow_link, judge_against_eight("slow-link", 1.05), "last of the other seven"),
    _trouble("staller", staller, judge_against_eight("staller", 1.10)),
    _trouble("liar", liar, judge_against_eight("liar", 1.10)),
    Scenario("one-file", f"as many bytes as small-files has, in one file, to 8 at {RATE_MBIT} Mbit/s",
             one_file(SMALL[0] * SMALL[1]), 8, RATE_MBIT, together(8, RATE_MBIT), judge_nothing, EVERYTHING, COPIES),
    Scenario("small-files", f"20,000 files of 5 KiB to 8 at {RATE_MBIT} Mbit/s", many_files(*SMALL), 8, RATE_MBIT,
             together(8, RATE_MBIT), judge_small, EVERYTHING, COPIES),
]

GROUPS = {
    "shaped": ("shaped-1", "shaped-4", "shaped-8", "shaped-16"),
    "trouble": ("eight", "late", "leaving", "slow-link", "staller", "liar"),
    "small": ("one-file", "small-files"),
}

