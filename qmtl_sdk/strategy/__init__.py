"""Strategies: nodes, their values, their evaluation and the identity of their code."""

from __future__ import annotations

from qmtl_sdk.strategy.node import MatchMode, Node, StreamInput, TagQueryNode
from qmtl_sdk.strategy.strategy import Strategy
from qmtl_sdk.strategy.weights import long_only, long_short

__all__ = ["MatchMode", "Node", "Strategy", "StreamInput", "TagQueryNode", "long_only", "long_short"]
