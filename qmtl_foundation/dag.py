"""The submitted DAG, schema ``qmtl.dag/1``: parsed, bounded, and its NodeIDs computed again. Pure.

The document is JSON in UTF-8::

    {"schema": "qmtl.dag/1",
     "nodes": [{"node_id", "crc32", "name", "node_type", "interval_s", "period", "params",
                "inputs": [[argument, node_id], …], "schema_compat_id", "code_hash", "tags": […]}, …],
     "outputs": {"kind": "target" | "signal" | "none", "panel": node_id | null, "by_symbol": [[symbol, node_id], …]}}

with the nodes in topological order: each input stands before the node that reads it. A strategy that states its returns
only may have no nodes at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason, invalid_field, too_large
from qmtl_foundation.identity import (
    Json,
    NoCanonicalFormError,
    NodeIdentity,
    canonical_json,
    is_content_id,
    node_crc32,
    node_id,
    strategy_version,
)

SCHEMA: Final = "qmtl.dag/1"
MAX_DAG_BYTES: Final = 8 * 1024 * 1024
MAX_PARAMS_BYTES: Final = 64 * 1024
MAX_NODES: Final = 10_000
MAX_TEXT: Final = 200
OUTPUT_KINDS: Final = frozenset({"target", "signal", "none"})


@dataclass(frozen=True, slots=True)
class DagNode:
    """Hold one submitted node: what identifies it, and what only names it."""

    node_id: str
    crc32: int
    name: str
    identity: NodeIdentity
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DagOutputs:
    """Say what a strategy states: targets or a signal, for all symbols (``panel``) or one node per symbol."""

    kind: str
    panel: str | None
    by_symbol: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Dag:
    """Hold a strategy's nodes in topological order, and its outputs."""

    nodes: tuple[DagNode, ...]
    outputs: DagOutputs

    def version(self, params: Mapping[str, Json]) -> str:
        """Return the strategy version: of this DAG's node ids and outputs, and of the parameters."""
        outputs: Json = {
            "by_symbol": [list(pair) for pair in self.outputs.by_symbol],
            "kind": self.outputs.kind,
            "panel": self.outputs.panel,
        }
        return strategy_version({"nodes": [node.node_id for node in self.nodes], "outputs": outputs}, params)


def parse_dag(document: bytes) -> Dag:
    """Return the DAG of a submitted document.

    Raises QmtlError: TOO_LARGE, INVALID_FIELD with the path of the bad field, NODE_ID_MISMATCH with the node, the
    expected and the given id, or GRAPH_CYCLE for an input that does not stand before its node.
    """
    if len(document) > MAX_DAG_BYTES:
        raise too_large("dag", len(document), MAX_DAG_BYTES)
    fields = _object("dag", _load("dag", document), {"schema", "nodes", "outputs"})
    if fields["schema"] != SCHEMA:
        raise invalid_field("dag.schema", f"{str(fields['schema'])[:40]!r} must be {SCHEMA!r}")
    items = _list("dag.nodes", fields["nodes"])
    if len(items) > MAX_NODES:
        raise invalid_field("dag.nodes", f"{len(items)} nodes; a strategy has at most {MAX_NODES}")
    all_ids = {item.get("node_id") for item in items if isinstance(item, dict) and isinstance(item.get("node_id"), str)}
    nodes: list[DagNode] = []
    seen: set[str] = set()
    for position, item in enumerate(items):
        node = _node(f"dag.nodes[{position}]", item)
        _check_inputs(f"dag.nodes[{position}]", node, seen, all_ids)
        _check_id(node)
        seen.add(node.node_id)
        nodes.append(node)
    return Dag(tuple(nodes), _outputs(fields["outputs"], seen))


def parse_params(document: bytes) -> Mapping[str, Json]:
    """Return the parameters of a submission; an empty document stands for none."""
    if len(document) > MAX_PARAMS_BYTES:
        raise too_large("params", len(document), MAX_PARAMS_BYTES)
    if not document:
        return {}
    params = _load("params", document)
    if not isinstance(params, dict):
        raise invalid_field("params", f"must be a JSON object, is {type(params).__name__}")
    _canonical("params", params)
    return params


def _load(field: str, document: bytes) -> Any:
    try:
        return json.loads(
            document.decode("utf-8"), object_pairs_hook=_distinct, parse_int=_whole, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise invalid_field(field, "is nested too deeply") from error
    except ValueError as error:
        raise invalid_field(field, f"is not JSON: {error}") from error


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return fields


def _whole(text: str) -> int | float:
    """Return the number of a text without a point: RFC 8785 writes whole floats so, those from 2**53 on too."""
    value = int(text)
    if abs(value) < 2**53:
        return value
    nearest = float(text)
    return nearest if canonical_json(nearest) == text.encode() else value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _node(path: str, item: Any) -> DagNode:
    names = {"node_id", "crc32", "name", "node_type", "interval_s", "period", "params", "inputs"}
    fields = _object(path, item, names | {"schema_compat_id", "code_hash", "tags"})
    if not isinstance(fields["params"], dict):
        raise invalid_field(f"{path}.params", "must be a JSON object")
    size = len(_canonical(f"{path}.params", fields["params"]))
    if size > MAX_PARAMS_BYTES:
        raise too_large(f"{path}.params", size, MAX_PARAMS_BYTES)
    identity = NodeIdentity(
        node_type=_text(f"{path}.node_type", fields["node_type"]),
        interval_s=_integer(f"{path}.interval_s", fields["interval_s"], 0),
        period=_integer(f"{path}.period", fields["period"], 1),
        params=fields["params"],
        inputs=tuple(_pair(f"{path}.inputs", pair) for pair in _list(f"{path}.inputs", fields["inputs"])),
        schema_compat_id=_text(f"{path}.schema_compat_id", fields["schema_compat_id"]),
        code_hash=_text(f"{path}.code_hash", fields["code_hash"], empty=True),
    )
    given = _text(f"{path}.node_id", fields["node_id"])
    if not is_content_id(given):
        raise invalid_field(f"{path}.node_id", f"{given[:80]!r} must be blake3: and 64 hex digits")
    tags = tuple(_text(f"{path}.tags", tag) for tag in _list(f"{path}.tags", fields["tags"]))
    crc32 = _integer(f"{path}.crc32", fields["crc32"], 0)
    return DagNode(given, crc32, _text(f"{path}.name", fields["name"], empty=True), identity, tags)


def _check_inputs(path: str, node: DagNode, before: set[str], all_ids: set[Any]) -> None:
    if node.node_id in before:
        raise invalid_field(f"{path}.node_id", f"{node.node_id} stands twice; equal nodes are one node")
    for argument, source in node.identity.inputs:
        if source in before:
            continue
        if source in all_ids:
            raise QmtlError(
                Reason.GRAPH_CYCLE,
                f"{path}: input {argument!r} reads {source}, which does not stand before it: "
                "the nodes form a cycle or are not in topological order",
                metadata={"node": node.node_id, "input": source},
            )
        raise invalid_field(f"{path}.inputs", f"input {argument!r} reads {source[:80]}, which is not in the DAG")


def _check_id(node: DagNode) -> None:
    expected = node_id(node.identity)
    if node.node_id != expected or node.crc32 != node_crc32(expected):
        raise QmtlError(
            Reason.NODE_ID_MISMATCH,
            f"node {node.name!r} was sent as {node.node_id} (CRC-32 {node.crc32}) but computes to {expected} "
            f"(CRC-32 {node_crc32(expected)}); runner and gateway differ in version, or the message was changed",
            metadata={"node": node.name, "expected": expected, "given": node.node_id, "crc32": str(node.crc32)},
        )


def _outputs(item: Any, known: set[str]) -> DagOutputs:
    fields = _object("dag.outputs", item, {"kind", "panel", "by_symbol"})
    kind, panel = fields["kind"], fields["panel"]
    if not isinstance(kind, str) or kind not in OUTPUT_KINDS:
        raise invalid_field("dag.outputs.kind", f"{str(kind)[:40]!r} must be one of {', '.join(sorted(OUTPUT_KINDS))}")
    pairs = tuple(_pair("dag.outputs.by_symbol", each) for each in _list("dag.outputs.by_symbol", fields["by_symbol"]))
    for reference in ([] if panel is None else [panel]) + [node for _, node in pairs]:
        if not isinstance(reference, str) or reference not in known:
            raise invalid_field("dag.outputs", f"{str(reference)[:80]} is not a node of the DAG")
    if (kind == "none") != (panel is None and not pairs):
        raise invalid_field("dag.outputs", "kind 'none' has no nodes, every other kind has one or more")
    return DagOutputs(kind, panel, pairs)


def _object(path: str, value: Any, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_field(path, f"must be a JSON object, is {type(value).__name__}")
    if value.keys() != names:
        missing, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
        raise invalid_field(path, f"missing {missing}, unknown {[name[:40] for name in unknown]}")
    return value


def _list(path: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise invalid_field(path, f"must be a list, is {type(value).__name__}")
    return value


def _pair(path: str, value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise invalid_field(path, "must be pairs of texts")
    return _text(path, value[0]), _text(path, value[1])


def _text(path: str, value: Any, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not (value or empty) or not value.isprintable():
        raise invalid_field(path, f"must be a text of {0 if empty else 1} to {MAX_TEXT} printable characters")
    return value


def _integer(path: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        raise invalid_field(path, f"{str(value)[:40]} must be an integer of at least {least}")
    return value


def _canonical(path: str, value: Json) -> bytes:
    try:
        return canonical_json(value)
    except NoCanonicalFormError as error:
        raise QmtlError(
            Reason.NO_CANONICAL_FORM, f"{path} has no canonical form: {error}", metadata={"field": path}
        ) from error
