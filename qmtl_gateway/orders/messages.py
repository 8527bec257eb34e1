"""Intents of the contract's messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.execution_domain import parse_mode
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.rpc.modes import mode_text
from qmtl_foundation.rpc.timestamps import to_datetime
from qmtl_gateway.orders.model import Intent

NANOS_PER_MICROSECOND: Final = 1_000


def from_intents(messages: Iterable[OrderIntent]) -> tuple[Intent, ...]:
    """Return the intents of a request; raise INVALID_FIELD for a bar's time that is none."""
    return tuple(_from_intent(number, message) for number, message in enumerate(messages))


def _from_intent(number: int, message: OrderIntent) -> Intent:
    return Intent(
        intent_id=message.intent_id,
        world=message.world,
        strategy_id=message.strategy_id,
        symbol=message.symbol,
        target=message.target,
        bar_time=_bar_time(f"intents[{number}].bar_time", message),
        epoch=message.epoch,
        executor=message.executor,
        strategy_version=message.strategy_version,
        side=message.side,
        mode=parse_mode(mode_text(message.mode)),
        content=message.SerializeToString(),
    )


def _bar_time(field: str, message: OrderIntent) -> datetime:
    if not message.HasField("bar_time"):
        raise invalid_field(field, "must be stated: the close of the bar at which it was decided")
    stamp: Timestamp = message.bar_time
    if stamp.nanos % NANOS_PER_MICROSECOND:
        raise invalid_field(field, f"{stamp.nanos} ns is finer than a microsecond; ids are of whole microseconds")
    return to_datetime(stamp, field)
