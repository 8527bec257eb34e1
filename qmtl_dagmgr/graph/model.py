"""What the graph says of a node; the naming of queues. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qmtl_foundation.identity import NodeIdentity

QUEUE_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Resolution:
    """Say of one submitted node whether the graph had it before, and which queue carries its values."""

    node_id: str
    known: bool
    queue: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Say what merging one strategy version found; ``version_number`` counts the strategy's versions from 1."""

    resolutions: tuple[Resolution, ...]
    version_number: int


@dataclass(frozen=True, slots=True)
class StoredNode:
    """Hold a node as the graph keeps it; ``params`` is canonical JSON."""

    node_id: str
    identity: NodeIdentity
    params: bytes
    queue: str
    create_time: datetime


def queue_name(node_id: str) -> str:
    """Return the queue that carries a node's values: the same for everybody who computes the same."""
    return "node." + node_id.removeprefix("blake3:")[:QUEUE_DIGITS]
