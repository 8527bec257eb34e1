"""Weights as functions, for authors who prefer them to methods."""

from __future__ import annotations

from qmtl_sdk.strategy.node import Node


def long_only(value: Node, gross: float = 1.0) -> Node:
    """Give each active symbol (true, or a score above 0) gross / number of active ones, the others 0."""
    return value.long_only(gross)


def long_short(value: Node, gross: float = 1.0) -> Node:
    """Give each active symbol its sign (true 1, false -1, of a score) times gross / number of active ones."""
    return value.long_short(gross)
