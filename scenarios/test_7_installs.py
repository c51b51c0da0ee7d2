"""Installs and what is around them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lab import Game, Lab, Peer, same, same_installed
from lab.archives import damage_zip

# Files of older builds inside game folders, and the one in the game directory.
OLDER = (".lanspread.json", ".install_intent.json")
OLDER_INDEX = ".lanspread_index.json"

# Where an install over an older version is cut, and which version must be there after the next start.
POINTS = {"at the start": "old", "in the middle": "old", "unpacked": "old", "between the renames": "old",
          "after both renames": "new", "deleting the old": "new"}

# Some of these moments are shorter than a millisecond: so many kills may miss each.
TURNS = 12


def _installs(peer: Peer, game: Game) -> dict:
    peer.say(f"install {game.id}")
    finished = peer.wait("install_finished", game=game.id)
    same_installed(game, peer.games)
    return finished


def test_S48_automatic_install(lab: Lab) -> None:
    """A game that is an archive is downloaded, once as usual and once with `--no-install`.

    The first is installed by itself, the second is not; both are downloaded whole.
    """
    game = lab.archive()
    lab.peer("source", has=[game])
    usual, careful = lab.crowd(2, "pc")
    for peer in (usual, careful):
        peer.sees(game)
    usual.say(f"download {game.id}")
    assert usual.wait("download_finished", game=game.id)["installing"] is True
    finished = usual.wait("install_finished", game=game.id)
    assert finished["version"] == game.version and finished["streamed"] is False
    same(game, usual.games)
    same_installed(game, usual.games)
    assert careful.downloads(game)["installing"] is False
    same(game, careful.games)
    careful.sees(game, 2, state="downloaded", installed=False)
    assert not (careful.games / game.id / "local").exists()
    careful.never("install_started")


def test_S49_install_killed(lab: Lab) -> None:
    """Installs over an older version are killed at their start, in their middle, with everything unpacked but nothing
    renamed, between the two renames, after both, and while the old version is deleted.

    The disk shows each time that it was cut there; the next start makes it the old version in the first four, the
    new one in the others, whole, and nothing of staging is left.
    """
    versions = {version: lab.archive(mib=mib, version=version) for version, mib in (("1.0", 31), ("2.0", 33))}
    peer = lab.peer("pc", has=[versions["1.0"]], on_disk=True).ready()
    _installs(peer, versions["1.0"])
    for point, survivor in POINTS.items():
        for turn in range(TURNS):
            before = peer.sees(versions["1.0"], 0)["installed_version"]
            wanted = versions["2.0" if before == "1.0" else "1.0"]
            if peer.sees(wanted, 0)["version"] != wanted.version:
                wanted.copy_to(peer.games, keep="local")
                peer.sees(wanted, 0, version=wanted.version)
            found = _cut(peer, wanted, point)
            _recovers(peer, versions, wanted)
            if found == point:
                break
            print(f"{point}, turn {turn}: it was cut {found}")
        assert found == point, f"none of {TURNS} kills hit the moment {point}"
        after = peer.sees(wanted, 0)["installed_version"]
        assert after == (wanted.version if survivor == "new" else before), f"cut {point}, {after} is installed"
    _installs(peer, wanted)


def _cut(peer: Peer, game: Game, point: str) -> str:
    """Installs a game and kills the process as soon as the disk shows this point; where it was cut."""
    root = peer.games / game.id
    peer.say(f"install {game.id}")
    ends = {"game": game.id, "version": game.version}
    peer.kill_when(lambda: _point(root, game) == point or bool(
        peer.told("install_finished", **ends) or peer.told("install_failed")))
    peer.never("install_failed")
    return _point(root, game)


def _point(root: Path, game: Game) -> str:
    """How far an install is, by the names in the game's folder and what is unpacked."""
    assert game.installed is not None
    if (root / ".local.trash").exists():
        return "deleting the old"
    if (root / ".local.backup").exists():
        return "after both renames" if (root / "local").exists() else "between the renames"
    staging = root / ".local.installing"
    if not staging.exists():
        return "outside of it"
    unpacked = size_of(staging) / size_of(game.installed)
    return "at the start" if unpacked < 0.3 else "in the middle" if unpacked < 1 else "unpacked"


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder that may change or go while it is looked at, but the markers of installs."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += 0 if name.startswith(".") else os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _recovers(peer: Peer, versions: dict[str, Game], downloaded: Game) -> None:
    """Starts a killed peer; what is installed is one of these, and the download is as it was."""
    peer.restart()
    found = peer.sees(downloaded, 0)["installed_version"]
    assert found in versions, f"{found} is installed"
    same_installed(versions[found], peer.games)
    same(downloaded, peer.games)
    assert not (peer.state / "games" / downloaded.id / "install_intent.json").exists()


def test_S50_update_keeps_the_old_on_failure(lab: Lab) -> None:
    """1.0 is installed; 1.1 arrives, whose archive is damaged.

    The install fails with its reason, `local/` is 1.0, the download is complete.
    """
    old, new = lab.archive(version="1.0"), lab.archive(version="1.1")
    damage_zip(new.root / "setup.eti")
    receiver = lab.peer("receiver", has=[old]).ready()
    _installs(receiver, old)
    lab.peer("source", has=[new])
    receiver.sees(new, latest_version="1.1")
    receiver.say(f"download {new.id}")
    receiver.wait("download_finished", game=new.id)
    assert receiver.wait("install_failed", game=new.id)["error"]["code"] == "archive_damaged"
    same_installed(old, receiver.games)
    same(new, receiver.games)
    receiver.sees(new, 1, state="downloaded", installed=True, installed_version="1.0")


def test_S51_uninstall_keeps_the_download(lab: Lab) -> None:
    """An installed game is uninstalled.

    `local/` is gone, the download is as it was and still served; it can be installed again.
    """
    game = lab.archive()
    owner = lab.peer("owner", has=[game]).ready()
    _installs(owner, game)
    owner.say(f"uninstall {game.id}")
    owner.wait("uninstall_finished", game=game.id)
    assert not (owner.games / game.id / "local").exists()
    same(game, owner.games)
    owner.sees(game, 0, state="downloaded", installed=False)
    assert owner.refuses(f"uninstall {game.id}") == "not_installed"
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    receiver.downloads(game)
    same(game, receiver.games)
    _installs(owner, game)


def test_S52_remove_refuses(lab: Lab) -> None:
    """`remove` of an installed game, of one that arrives, of one that is installed right now; then of an idle one.

    Refused as installed and busy, with nothing lost; the last one is gone from the disk.
    """
    game, far, long = lab.archive(), lab.game("far", mib=16), lab.archive("long", mib=192)
    lab.peer("source", "--upload-limit", "4MiB", has=[far])
    owner = lab.peer("owner", has=[game, long]).ready()
    _installs(owner, game)
    assert owner.refuses(f"remove {game.id}") == "installed"
    owner.sees(far)
    owner.say("download far --no-install")
    owner.reaches(far, 0.1)
    assert owner.refuses("remove far") == "busy"
    owner.say("install long")
    owner.wait("install_started", game="long")
    owner.pause()  # so that the wish is there before the install can end
    line = owner.now.send("remove long")
    owner.resume()
    assert owner.now.reply(line, "remove long")["error"]["code"] in ("busy", "installed")
    owner.wait("install_finished", game="long")
    owner.wait("download_finished", game="far")
    same(far, owner.games)
    same_installed(game, owner.games)
    owner.say("remove far")
    owner.wait("removed", game="far")
    assert not (owner.games / "far").exists()
    owner.sees(far, 1, state="remote")


def test_S53_foreign_backup(lab: Lab) -> None:
    """A person has put a folder named `.local.backup` into a game's folder.

    The peer names it at its start and refuses to install over it; it stays, byte for byte.
    """
    game = lab.archive()
    owner = lab.peer("owner", has=[game], start=False)
    foreign = owner.games / game.id / ".local.backup"
    foreign.mkdir()
    (foreign / "mine.txt").write_bytes(b"do not touch")
    owner.start().ready()
    report = owner.wait("recovery_report", game=game.id)
    assert report["what"] == "foreign" and report["path"].endswith(".local.backup")
    owner.sees(game, 0, state="downloaded")
    owner.say(f"install {game.id}")
    assert owner.wait("install_failed", game=game.id)["error"]["code"] == "io"
    assert {path.name: path.read_bytes() for path in foreign.iterdir()} == {"mine.txt": b"do not touch"}
    assert not (owner.games / game.id / "local").exists()


def test_S54_older_build(lab: Lab) -> None:
    """A game directory with the files that older builds kept inside of it.

    At the start they move to the state directory, unchanged, and are no part of what is served.
    """
    game = lab.game(mib=2)
    owner = lab.peer("owner", has=[game], start=False)
    documents = {name: json.dumps({"of": name}).encode() for name in (*OLDER, OLDER_INDEX)}
    for name in OLDER:
        (owner.games / game.id / name).write_bytes(documents[name])
    (owner.games / OLDER_INDEX).write_bytes(documents[OLDER_INDEX])
    owner.start().ready()
    owner.sees(game, 0, state="downloaded")
    assert not [path for path in owner.games.rglob(".*") if path.name in documents], "they are still there"
    kept = {path.read_bytes() for path in owner.state.rglob("*") if _is_small_file(path)}
    assert kept >= set(documents.values()), "not all of them are in the state directory"
    same(game, owner.games)
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    receiver.downloads(game)
    same(game, receiver.games)


def _is_small_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size < 4096
