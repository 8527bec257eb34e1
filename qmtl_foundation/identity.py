"""Content identities: canonical JSON, NodeID, ComputeKey, EvalKey, fingerprints.

Every id is ``blake3:<64 hex digits>`` of the RFC 8785 (JCS) canonical JSON of one object, under a
domain-separation context of its own, so that two kinds of id never collide. Pure; no I/O.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import blake3
import rfc8785

from qmtl_foundation.clock import format_rfc3339

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

NODE_CONTEXT: Final = "qmtl 2026-11 node-id v1"
COMPUTE_CONTEXT: Final = "qmtl 2026-11 compute-key v1"
EVAL_CONTEXT: Final = "qmtl 2026-11 eval-key v1"
DATASET_CONTEXT: Final = "qmtl 2026-11 dataset-fingerprint v1"
JOINT_CONTEXT: Final = "qmtl 2026-11 joint-fingerprint v1"
PARTITION_CONTEXT: Final = "qmtl 2026-11 partition-content v1"
STRATEGY_CONTEXT: Final = "qmtl 2026-11 strategy-version v1"
CODE_CONTEXT: Final = "qmtl 2026-11 code-hash v1"
SERIES_CONTEXT: Final = "qmtl 2026-11 series-hash v1"
REQUEST_CONTEXT: Final = "qmtl 2026-11 request-hash v1"
EVENT_CONTEXT: Final = "qmtl 2026-11 activation-event v1"
INTENT_CONTEXT: Final = "qmtl 2026-11 intent-id v1"

CONTENT_ID: Final = re.compile(r"blake3:[0-9a-f]{64}")
BUILTIN_SCHEMA: Final = "qmtl.bars/1"


class NoCanonicalFormError(ValueError):
    """Report a value that has no RFC 8785 form (NaN, infinity, integers beyond 2**53 - 1, other types)."""


def canonical_json(value: Json) -> bytes:
    """Return the RFC 8785 (JCS) bytes of ``value``.

    Raises NoCanonicalFormError for a value that has none: non-finite floats, integers outside
    ±(2**53 - 1), keys that are not strings, texts with half a surrogate pair, or any other type.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, RecursionError, UnicodeError) as error:
        raise NoCanonicalFormError(str(error)) from error


def bytes_id(context: str, content: bytes) -> str:
    """Return ``blake3:<hex>`` of raw bytes under a domain-separation context."""
    return "blake3:" + blake3.blake3(content, derive_key_context=context).hexdigest()


def content_id(context: str, value: Json) -> str:
    """Return ``blake3:<hex>`` of the canonical JSON of ``value`` under a domain-separation context."""
    return bytes_id(context, canonical_json(value))


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Hold what a node computes, and nothing else: no world, domain, time, display name or tags.

    ``interval_s`` is in seconds (0: the node has no clock of its own, such as a constant), ``period`` in bars (the
    number of newest bars that one value depends on). ``inputs`` is ordered: ``a - b`` is not ``b - a``. Operators
    have no ``code_hash``: their name and version stand in ``node_type``.
    """

    node_type: str
    interval_s: int
    period: int
    params: Mapping[str, Json] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()
    schema_compat_id: str = BUILTIN_SCHEMA
    code_hash: str = ""

    def canonical(self) -> dict[str, Json]:
        """Return the object that is hashed."""
        return {
            "code_hash": self.code_hash,
            "inputs": [[name, node] for name, node in self.inputs],
            "interval_s": self.interval_s,
            "node_type": self.node_type,
            "params": self.params,
            "period": self.period,
            "schema_compat_id": self.schema_compat_id,
        }


def node_id(node: NodeIdentity) -> str:
    """Return the NodeID of a node; the same on every machine, in every world."""
    return content_id(NODE_CONTEXT, node.canonical())


def node_crc32(identifier: str) -> int:
    """Return the CRC-32 (IEEE 802.3, as zlib) of a NodeID's ASCII text: the runner's checksum of what it sent."""
    return zlib.crc32(identifier.encode("ascii"))


@dataclass(frozen=True, slots=True)
class ComputeContext:
    """Say where a computed result may be reused; every field is part of the ComputeKey.

    ``as_of`` is the dataset snapshot (RFC 3339, UTC), ``partition`` names the part of the dataset (its half-open
    time range), ``libraries`` maps each compute library to its version.
    """

    world: str
    execution_domain: str
    as_of: str
    partition: str
    dataset_fingerprint: str
    libraries: Mapping[str, str]

    def canonical(self) -> dict[str, Json]:
        """Return the object that is hashed together with a NodeID."""
        return {
            "as_of": self.as_of,
            "dataset_fingerprint": self.dataset_fingerprint,
            "execution_domain": self.execution_domain,
            "libraries": dict(self.libraries),
            "partition": self.partition,
            "world": self.world,
        }


def compute_key(node: str, context: ComputeContext) -> str:
    """Return the ComputeKey of one node's result in one context."""
    return content_id(COMPUTE_CONTEXT, {"context": context.canonical(), "node_id": node})


@dataclass(frozen=True, slots=True)
class EvaluationIdentity:
    """Say when one strategy's evaluation may be reused; every field is part of the EvalKey."""

    strategy_version: str
    world: str
    execution_domain: str
    policy_version: int
    execution_model: Mapping[str, Json]
    dataset_fingerprint: str
    series_hash: str
    code_version: str
    resource_policy: str

    def canonical(self) -> dict[str, Json]:
        """Return the object that is hashed."""
        return {
            "code_version": self.code_version,
            "dataset_fingerprint": self.dataset_fingerprint,
            "execution_domain": self.execution_domain,
            "execution_model": self.execution_model,
            "policy_version": self.policy_version,
            "resource_policy": self.resource_policy,
            "series_hash": self.series_hash,
            "strategy_version": self.strategy_version,
            "world": self.world,
        }


def eval_key(evaluation: EvaluationIdentity) -> str:
    """Return the EvalKey of one strategy's evaluation."""
    return content_id(EVAL_CONTEXT, evaluation.canonical())


def dataset_fingerprint(schema: str, symbols: Sequence[str], interval_s: int, partitions: Sequence[str]) -> str:
    """Return the fingerprint of a dataset from its schema, symbols, interval (seconds) and ordered partition hashes."""
    return content_id(
        DATASET_CONTEXT,
        {"interval_s": interval_s, "partitions": list(partitions), "schema": schema, "symbols": list(symbols)},
    )


def joint_fingerprint(bars: str, published: Mapping[str, str]) -> str:
    """Return the fingerprint of bars and, by name, of the streams published beside them; without any, the bars' own."""
    if not published:
        return bars
    return content_id(JOINT_CONTEXT, {"bars": bars, "published": dict(published)})


def partition_hash(content: bytes) -> str:
    """Return the content hash of one partition's canonical bytes."""
    return bytes_id(PARTITION_CONTEXT, content)


def strategy_version(dag: Json, params: Mapping[str, Json]) -> str:
    """Return the version of a strategy: its DAG (node ids and targets) and its parameters."""
    return content_id(STRATEGY_CONTEXT, {"dag": dag, "params": params})


def intent_id(world: str, strategy_id: str, bar_time: datetime, symbol: str) -> str:
    """Return the id of a strategy's wish for one symbol at the bar that closes at ``bar_time`` (timezone-aware).

    Neither target nor epoch: a wish that a fence caught is sent again under its id, and none is executed twice.
    """
    return content_id(
        INTENT_CONTEXT,
        {"bar_time": format_rfc3339(bar_time), "strategy_id": strategy_id, "symbol": symbol, "world": world},
    )


def is_content_id(text: str) -> bool:
    """Tell whether ``text`` has the form of an id of ours."""
    return CONTENT_ID.fullmatch(text) is not None
