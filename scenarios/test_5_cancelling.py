"""Cancelling."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lab import Game, Lab, Peer, same, same_installed

CANCEL_SECONDS = 10.0
SILENT_SECONDS = 10.0


def _arriving(lab: Lab, mib: float = 24, limit: str = "4MiB") -> tuple[Game, list[Peer], Peer]:
    """Two sources that send slowly, and a receiver that sees both."""
    game = lab.game(mib=mib)
    sources = [lab.peer(f"source-{number}", "--upload-limit", limit, has=[game]).ready() for number in range(2)]
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 2)
    return game, sources, receiver


def _cancel_at(lab: Lab, share: float, limit: str) -> None:
    game, sources, receiver = _arriving(lab, limit=limit)
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, share)
    begun = time.monotonic()
    told = receiver.say(f"cancel {game.id}")
    assert told["event"] == "download_cancelled"
    assert time.monotonic() - begun < CANCEL_SECONDS
    receiver.wait("download_cancelled", game=game.id)
    assert receiver.status()["operations"] == []
    assert contents(receiver.games / game.id) == {}, "a cancelled download left something"
    receiver.sees(game, 2, state="remote")
    receiver.never("download_finished", "download_failed")
    for source in sources:
        source.falls_silent(game)


def contents(root: Path) -> dict[str, bytes]:
    """Every file under a folder; empty if there is no folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_S31_cancel_at_the_beginning(lab: Lab) -> None:
    """A download is cancelled when a tenth has arrived.

    It ends within 10 s as cancelled, nothing of it is left, the list shows it as remote.
    """
    _cancel_at(lab, 0.1, "4MiB")


def test_S32_cancel_near_the_end(lab: Lab) -> None:
    """The same when nine tenths have arrived.

    The same.
    """
    _cancel_at(lab, 0.9, "1500KiB")  # slow: progress is told four times a second


def test_S33_cancel_and_again(lab: Lab) -> None:
    """A download is cancelled half way and started again at once.

    The second one is complete and right.
    """
    game, _, receiver = _arriving(lab, limit="6MiB")
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, 0.5)
    receiver.say(f"cancel {game.id}")
    finished = receiver.downloads(game)
    assert finished["kept_bytes"] == 0, "a cancelled download left bytes"
    same(game, receiver.games)


def test_S34_cancel_keeps_what_is_installed(lab: Lab) -> None:
    """A game is installed, with a save in it; the download of its update is cancelled half way.

    `local/` and what the state directory knows of the install are as before, byte for byte.
    """
    old, new = lab.archive(mib=5, version="1.0"), lab.archive(mib=24, version="2.0")
    receiver = lab.peer("receiver", has=[old]).ready()
    receiver.say(f"install {old.id}")
    receiver.wait("install_finished", game=old.id)
    same_installed(old, receiver.games)
    (receiver.games / old.id / "local" / "save.dat").write_bytes(b"level 9")
    settings = receiver.state / "games" / old.id
    before = contents(receiver.games / old.id / "local"), (settings / "installed.json").read_bytes()
    lab.peer("source", "--upload-limit", "6MiB", has=[new])
    receiver.sees(new, latest_version="2.0")
    receiver.say(f"download {new.id}")
    receiver.reaches(new, 0.5)
    receiver.say(f"cancel {new.id}")
    after = contents(receiver.games / old.id / "local"), (settings / "installed.json").read_bytes()
    assert after == before, "a cancelled download touched what is installed"
    entry = receiver.sees(new, 1, installed=True)
    assert entry["installed_version"] == "1.0" and entry["state"] == "remote"


@pytest.mark.parametrize("updating", [False, True], ids=["first", "update"])
def test_S35_cancel_during_install(lab: Lab, updating: bool) -> None:
    """A long install is cancelled in its middle; once a first install, once an update.

    It is taken back: the download stays, `local/` is the old version or absent, no staging is left.
    """
    old, new = lab.archive(mib=5, version="1.0"), lab.archive(mib=256, version="2.0")
    receiver = lab.peer("receiver", has=[old if updating else new]).ready()
    if updating:
        receiver.say(f"install {old.id}")
        receiver.wait("install_finished", game=old.id)
        new.copy_to(receiver.games, keep="local")
        receiver.sees(new, 0, version="2.0", installed_version="1.0")
    receiver.say(f"install {new.id}")
    receiver.wait("install_started", game=new.id)
    receiver.pause()  # so that the cancel is there before the install can end
    line = receiver.now.send(f"cancel {new.id}")
    receiver.resume()
    reply = receiver.now.reply(line, "cancel")
    assert reply["ok"] and reply["data"]["event"] == "install_cancelled", f"{reply}"
    same(new, receiver.games)
    if updating:
        same_installed(old, receiver.games)
    else:
        left = [path.name for path in (receiver.games / new.id).iterdir() if "local" in path.name]
        assert not left, f"a cancelled install left {left}"
    entry = receiver.sees(new, 0, state="downloaded", installed=updating)
    assert entry["installed_version"] == ("1.0" if updating else None)


def test_S36_sources_fall_silent(lab: Lab) -> None:
    """A download from two sources is cancelled half way.

    Both sources show no outbound transfer of it within 10 s, and send no byte more.
    """
    game, sources, receiver = _arriving(lab)
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, 0.3)
    for source in sources:
        source.until(lambda source=source: source.outbound(game), lambda count: count > 0, "a transfer")
    receiver.say(f"cancel {game.id}")
    for source in sources:
        source.falls_silent(game, SILENT_SECONDS)
    sent = [source.sent(game) for source in sources]
    other = lab.game("other", mib=2)
    other.copy_to(sources[0].games)
    receiver.sees(other)
    receiver.downloads(other)
    assert [source.sent(game) for source in sources] == sent, "a cancelled game was sent all the same"
