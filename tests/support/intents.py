"""Intents of one strategy as its runner sends them, and the gate that lets them pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import intent_id
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_gateway.sessions.model import Activation, Gate, Phase

WORLD = "equity"
STRATEGY = "ann/Trend"
VERSION = "blake3:" + "ab" * 32
EXECUTOR = "paper-1"
EPOCH = 7
BAR = datetime(2026, 1, 5, 21, tzinfo=UTC)


def order_intent(symbol: str = "AAPL", bar: int = 0, **changes: Any) -> OrderIntent:
    """Return a wish for the ``bar``-th day, under its own id where that is not among the changes."""
    stated: dict[str, Any] = {
        "world": WORLD,
        "strategy_id": STRATEGY,
        "symbol": symbol,
        "target": 0.25,
        "bar_time": BAR + timedelta(days=bar),
        "epoch": EPOCH,
        "executor": EXECUTOR,
        "strategy_version": VERSION,
        "side": "long",
        "mode": execution_pb2.EFFECTIVE_MODE_PAPER,
    } | changes
    own = intent_id(stated["world"], stated["strategy_id"], stated["bar_time"], stated["symbol"])
    return OrderIntent(**{"intent_id": own} | stated)


def order_intents(count: int, **changes: Any) -> list[OrderIntent]:
    """Return wishes for as many symbols."""
    return [order_intent(f"S{number}", **changes) for number in range(count)]


def order_gate(phase: Phase = Phase.UNFREEZE, *, holds: tuple[str, ...] = (), **changes: Any) -> Gate:
    """Return the world's gate, with changes of its one activation; open unless said otherwise."""
    stated: dict[str, Any] = {
        "strategy_id": STRATEGY,
        "strategy_version": VERSION,
        "side": "long",
        "mode": EffectiveMode.PAPER,
        "executor": EXECUTOR,
    } | changes
    only = Activation(**stated)
    return Gate(WORLD, EPOCH, 21, phase, "run-7", holds, {only.strategy_id: only})
