"""The stories, by name, in the order in which they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..lab import Lab
from ..report import Outcome
from . import faults, life, meeting, rooms, streams, streams_ends, transfer


@dataclass(frozen=True)
class Scenario:
    """One story."""

    name: str
    tell: Callable[[Lab, Outcome], None]
    fast: bool = True

    @property
    def about(self) -> str:
        """Its first line of documentation."""
        return (self.tell.__doc__ or "").strip().splitlines()[0]


SCENARIOS = [
    Scenario("discovery", meeting.discovery),
    Scenario("tree", transfer.tree),
    Scenario("speed", transfer.speed),
    Scenario("memory", transfer.memory, fast=False),
    Scenario("small-files", transfer.small_files),
    Scenario("sources", transfer.sources),
    Scenario("uneven-sources", transfer.uneven_sources, fast=False),
    Scenario("crowd", rooms.crowd),
    Scenario("idle-room", rooms.idle_room),
    Scenario("receiver-killed", faults.receiver_killed),
    Scenario("source-killed", faults.source_killed),
    Scenario("stall", faults.stall, fast=False),
    Scenario("give-up", faults.give_up, fast=False),
    Scenario("flipped-byte", faults.flipped_byte),
    Scenario("only-source-corrupt", faults.only_source_corrupt),
    Scenario("streamed-tree", streams.streamed_tree),
    Scenario("streamed-leftovers", streams_ends.streamed_leftovers),
    Scenario("streamed-cut", streams_ends.streamed_cut),
    Scenario("streamed-speed", streams.streamed_speed, fast=False),
    Scenario("streamed-memory", streams.streamed_memory),
    Scenario("streamed-queue", streams_ends.streamed_queue, fast=False),
    Scenario("cancel", life.cancel),
    Scenario("restart", life.restart),
    Scenario("two-processes", life.two_processes),
    Scenario("parties", meeting.parties),
    Scenario("manual-peer-exchange", meeting.manual_peer_exchange),
]
