"""The program: what one strategy computes, as an ordered graph with an output; its canonical document is submitted."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json, canonical_json, node_crc32
from qmtl_sdk.strategy.function import exception_text
from qmtl_sdk.strategy.graph import needs, topological
from qmtl_sdk.strategy.node import Node, NodeKind
from qmtl_sdk.strategy.parameters import Parameter
from qmtl_sdk.strategy.strategy import Outline, Strategy

DAG_SCHEMA: Final = "qmtl.dag/1"

_Crossing = Callable[[int, Node, Node], int]
"""Turn bars of a node into bars of one of its inputs."""


class OutputKind(StrEnum):
    """Name what a strategy states."""

    TARGET = "target"
    SIGNAL = "signal"
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Hold a strategy's output: a panel node, or a target node for each named symbol."""

    kind: OutputKind
    panel: Node | None = None
    by_symbol: tuple[tuple[str, Node], ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return the output's nodes."""
        return (self.panel,) if self.panel is not None else tuple(node for _, node in self.by_symbol)


@dataclass(frozen=True, eq=False)
class Program:
    """Hold a strategy's nodes in topological order, equal nodes once, and its output.

    ``warmup_bars`` counts the bars before the first whole output on the longest path, in bars of each node's clock;
    ``stream_bars`` says what that means for each stream.
    """

    name: str
    parameters: Mapping[str, Parameter]
    nodes: tuple[Node, ...]
    output: Output

    @property
    def streams(self) -> tuple[Node, ...]:
        """Return the streams that the strategy reads."""
        return tuple(node for node in self.nodes if node.kind is NodeKind.STREAM)

    @property
    def functions(self) -> tuple[Node, ...]:
        """Return the nodes with an author's code, which are proven on submission."""
        return tuple(node for node in self.nodes if node.kind in (NodeKind.FUNCTION, NodeKind.FOLD))

    @cached_property
    def warmup_bars(self) -> int:
        """Return the largest sum of (period - 1) along a path from a stream to an output."""
        return max(self._needed(lambda bars, node, entry: bars).values(), default=0)

    def stream_bars(self, world_interval_s: int) -> dict[str, int]:
        """Return by NodeID how many bars of each stream one whole output needs, on a world of that interval (seconds).

        Crossing from one interval to another, bars count by their length; sessions and holidays only make it fewer.
        """

        def crossing(bars: int, node: Node, entry: Node) -> int:
            seconds = (node.interval_s or world_interval_s) * (bars + 1)
            return ceil(seconds / (entry.interval_s or world_interval_s)) if entry.clock is not node.clock else bars

        needed = self._needed(crossing)
        return {node.node_id: needed.get(node.node_id, 0) + 1 for node in self.streams}

    def _needed(self, crossing: _Crossing) -> dict[str, int]:
        """Return by NodeID the bars before the newest one that an output needs."""
        needed: dict[str, int] = {}
        for node in reversed(self.nodes):
            before = needed[node.node_id] = needed.get(node.node_id, 0) + node.period - 1
            for source in needs(node, self.nodes):
                needed[source.node_id] = max(needed.get(source.node_id, 0), crossing(before, node, source))
        return needed

    def dag_document(self) -> bytes:
        """Return the canonical JSON (RFC 8785) of the graph and its output: what is submitted and hashed."""
        return canonical_json(
            {
                "schema": DAG_SCHEMA,
                "nodes": [_node_document(node) for node in self.nodes],
                "outputs": {
                    "kind": self.output.kind.value,
                    "panel": self.output.panel.node_id if self.output.panel is not None else None,
                    "by_symbol": [[symbol, node.node_id] for symbol, node in self.output.by_symbol],
                },
            }
        )


def build(strategy: Strategy | type[Strategy]) -> Program:
    """Run a strategy's ``setup`` and return its program.

    Raises QmtlError: INVALID_STRATEGY naming class and exception when ``setup`` raises, GRAPH_CYCLE, INVALID_FIELD.
    """
    instance = strategy() if isinstance(strategy, type) else strategy
    if not isinstance(instance, Strategy):
        raise QmtlError(Reason.INVALID_STRATEGY, f"{instance!r} is no strategy; derive a class from qmtl_sdk.Strategy")
    outline = _outlined(instance)
    output = _output(outline)
    nodes = topological([*outline.nodes, *output.nodes])
    return Program(instance.display_name, instance.parameters, nodes, output)


def _outlined(strategy: Strategy) -> Outline:
    outline = strategy._outline = Outline()  # a second build starts afresh
    try:
        strategy.setup()
    except (QmtlError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit of an author's setup must not end the process either
        name = type(strategy).__name__
        raise QmtlError(
            Reason.INVALID_STRATEGY,
            f"setup of {name} raised {exception_text(error)}{_place(error)}",
            metadata={"strategy": name, "exception": type(error).__name__},
        ) from error
    return outline


def _place(error: BaseException) -> str:
    """Say in which line of the file of setup; nothing where setup could not even be called."""
    _, *frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _output(outline: Outline) -> Output:
    if outline.signal is not None:
        return Output(OutputKind.SIGNAL, outline.signal)
    if outline.target is not None:
        return Output(OutputKind.TARGET, outline.target)
    if outline.by_symbol:
        return Output(OutputKind.TARGET, by_symbol=tuple(sorted(outline.by_symbol.items(), key=lambda item: item[0])))
    return Output(OutputKind.NONE)


def _node_document(node: Node) -> dict[str, Json]:
    identity = node.identity
    return {
        "node_id": node.node_id,
        "crc32": node_crc32(node.node_id),
        "name": node.name,
        "node_type": identity.node_type,
        "interval_s": identity.interval_s,
        "period": identity.period,
        "params": identity.params,
        "inputs": [[name, source] for name, source in identity.inputs],
        "schema_compat_id": identity.schema_compat_id,
        "code_hash": identity.code_hash,
        "tags": list(node.tags),
    }
