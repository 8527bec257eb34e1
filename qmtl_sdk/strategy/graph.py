"""The graph of a strategy's nodes: order, cycles, and the nodes that a tag query finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy.node import Node, TagQueryNode


def topological(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes and all that they need, inputs first, equal nodes (same NodeID) once.

    A tag query comes after the given nodes that it finds. Raises QmtlError GRAPH_CYCLE naming the way round, and
    INVALID_STRATEGY for a tag query that finds nothing.
    """
    order: dict[str, Node] = {}
    open_path: dict[int, Node] = {}
    known = _reachable(nodes)
    seen: set[int] = set()
    # A stack instead of recursion: a chain of nodes may be longer than Python's stack.
    work: list[tuple[Node, bool]] = [(node, False) for node in reversed(nodes)]
    while work:
        node, inputs_done = work.pop()
        key = id(node)
        if inputs_done:
            del open_path[key]
            seen.add(key)
            order.setdefault(node.node_id, node)
        elif key in open_path:
            _refuse_cycle([*open_path.values()], node)
        elif key not in seen:
            open_path[key] = node
            work.append((node, True))
            work.extend((needed, False) for needed in reversed(needs(node, known)) if id(needed) not in seen)
    return tuple(order.values())


def query_matches(query: TagQueryNode, nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes that carry a query's tags, by name and NodeID; raise INVALID_STRATEGY when there is none."""
    found = {node.node_id: node for node in nodes if node is not query and query.matches(node)}
    if not found:
        raise QmtlError(
            Reason.INVALID_STRATEGY,
            f"no node of the strategy has {query.match_mode} of the tags {', '.join(query.query_tags)} on this "
            "interval; tag one with Node(…, tags=[…]) and add it with add_nodes",
            metadata={"node": query.name, "tags": ",".join(query.query_tags)},
        )
    return sorted(found.values(), key=lambda node: (node.name, node.node_id))


def needs(node: Node, known: Sequence[Node]) -> list[Node]:
    """Return the nodes that have to be there before a node: its inputs, or what a tag query finds among the known."""
    if isinstance(node, TagQueryNode):
        return query_matches(node, known)
    return [entry.node for entry in node.inputs]


def _reachable(nodes: Sequence[Node]) -> list[Node]:
    found: dict[int, Node] = {}
    work = list(nodes)
    while work:
        node = work.pop()
        if id(node) not in found:
            found[id(node)] = node
            work.extend(entry.node for entry in node.inputs)
    return list(found.values())


def _refuse_cycle(path: Sequence[Node], again: Node) -> NoReturn:
    start = next(index for index, node in enumerate(path) if node is again)
    way = " -> ".join(node.name for node in (*path[start:], again))
    raise QmtlError(
        Reason.GRAPH_CYCLE,
        f"nodes need each other: {way}; take the tag off a node that depends on the query",
        metadata={"node": again.node_id, "path": way},
    )
