"""Results of nodes on disk, by ComputeKey, shared by processes: verified on every read, never served across contexts.

A file lies at ``<NodeID>/<ComputeKey>`` and carries the NodeID and the whole context that it was computed in. Other
contexts of a node are other files: not finding one's own is a plain miss. A file *under the asked key* that states
another node or context (a copied, poisoned or wrongly keyed entry) is a cross-context hit: counted, reported, not
served.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from qmtl_foundation.identity import ComputeContext, Json, bytes_id, compute_key
from qmtl_sdk.data.blocks import Block, BlockError, pack, unpack
from qmtl_sdk.data.disk import DEFAULT_MAX_BYTES, BoundedFolder

RESULT_CONTEXT: Final = "qmtl 2026-11 cached-result v1"

_DIGEST_BYTES: Final = len(bytes_id(RESULT_CONTEXT, b""))


class Outcome(StrEnum):
    """Say what a lookup found."""

    HIT = "hit"
    MISS = "miss"
    CROSS_CONTEXT = "cross_context"


@dataclass(frozen=True, slots=True)
class ContextDifference:
    """Name one field of the context (or ``node_id``) and both of its values, as JSON text."""

    field: str
    asked: str
    stored: str


@dataclass(frozen=True, slots=True)
class CrossContextHit:
    """Report an entry found under a ComputeKey that was computed in another context."""

    node_id: str
    compute_key: str
    differences: tuple[ContextDifference, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Hold what a lookup found: ``arrays`` (read-only) with a HIT, ``cross_context`` with a CROSS_CONTEXT."""

    outcome: Outcome
    arrays: Mapping[str, NDArray[Any]] | None = None
    cross_context: CrossContextHit | None = None


class ResultCache:
    """Keep arrays by (NodeID, ComputeContext) below one folder.

    ``cross_context_hits`` counts those since this object was made; it feeds `cross_context_cache_hit_total`.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._folder = BoundedFolder(folder, max_bytes)
        self.cross_context_hits = 0

    def get(self, node_id: str, context: ComputeContext) -> Lookup:
        """Return the node's result in exactly this context; a corrupted entry is removed and counts as a miss."""
        key = compute_key(node_id, context)
        name = _name(node_id, key)
        content = self._folder.read(name)
        block = None if content is None else _verified(content)
        if content is not None and block is None:
            self._folder.discard(name)
        lookup = Lookup(Outcome.MISS) if block is None else _judged(block, node_id, context, key)
        self.cross_context_hits += lookup.outcome is Outcome.CROSS_CONTEXT
        return lookup

    def put(self, node_id: str, context: ComputeContext, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store a result; it replaces whatever lies under its key, so a cross-context entry ends here.

        ``arrays``: of the types that a block holds (float64, int64, int8, uint8); raises BlockError for others.
        """
        body = pack(Block(_stated(node_id, context), arrays))
        digest = bytes_id(RESULT_CONTEXT, body).encode("ascii")
        self._folder.write(_name(node_id, compute_key(node_id, context)), body + digest)


def _name(node_id: str, key: str) -> str:
    return f"{node_id.removeprefix('blake3:')}/{key.removeprefix('blake3:')}"


def _stated(node_id: str, context: ComputeContext) -> dict[str, Json]:
    return {"node_id": node_id, **context.canonical()}


def _verified(content: bytes) -> Block | None:
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if bytes_id(RESULT_CONTEXT, body).encode("ascii") != digest:
        return None
    try:
        return unpack(body)
    except BlockError:
        return None


def _judged(block: Block, node_id: str, context: ComputeContext, key: str) -> Lookup:
    asked = _stated(node_id, context)
    names = sorted({*asked, *block.meta})
    differences = tuple(
        ContextDifference(name, json.dumps(asked.get(name)), json.dumps(block.meta.get(name)))
        for name in names
        if asked.get(name) != block.meta.get(name)
    )
    if differences:
        return Lookup(Outcome.CROSS_CONTEXT, cross_context=CrossContextHit(node_id, key, differences))
    return Lookup(Outcome.HIT, arrays=block.arrays)
