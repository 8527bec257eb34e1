"""The SQL of activation sets: a switch and its event in one transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.messages import encode_switch
from qmtl_world.apply.model import Activation, ActivationSet, state_hash

_GET_SET = "SELECT * FROM activation_set WHERE world = $1"
_RELAYED_SET = """
SELECT s.* FROM activation_history s JOIN outbox o ON o.world = s.world AND o.sequence = s.sequence
WHERE s.world = $1 AND o.publish_time IS NOT NULL ORDER BY s.sequence DESC LIMIT 1
"""
_SWITCH = """
INSERT INTO activation_set (world, activations, epoch, sequence, switch_time) VALUES ($1, $2, 1, 1, $3)
ON CONFLICT (world) DO UPDATE SET activations = excluded.activations, epoch = activation_set.epoch + 1,
                                  sequence = activation_set.sequence + 1, switch_time = excluded.switch_time
RETURNING *
"""
_REMEMBER = """
INSERT INTO activation_history (world, activations, epoch, sequence, switch_time)
SELECT world, activations, epoch, sequence, switch_time FROM activation_set WHERE world = $1
"""
_HOLDS = "SELECT reason FROM hold WHERE world = $1"
_LAST_EVENT = "SELECT event_hash FROM outbox WHERE world = $1 ORDER BY sequence DESC LIMIT 1"
_TIMELINE = "SELECT timeline_id FROM timeline"
_ADD_EVENT = """
INSERT INTO outbox (event_id, world, sequence, subject, payload, event_hash) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def read_set(connection: Connection, world: str) -> ActivationSet:
    """Return what may trade in a world by the newest switch; the empty set with epoch 0 when there was none."""
    row = await connection.fetchrow(_GET_SET, world)
    return ActivationSet(world) if row is None else _to_set(row)


async def read_relayed_set(connection: Connection, world: str) -> ActivationSet:
    """Return what may trade in a world at the last sequence that stands in the control stream."""
    row = await connection.fetchrow(_RELAYED_SET, world)
    return ActivationSet(world) if row is None else _to_set(row)


async def read_holds(connection: Connection, world: str) -> list[str]:
    """Return the reasons for which a world's events stopped; none while they are relayed."""
    return [row["reason"] for row in await connection.fetch(_HOLDS, world)]


async def read_in_force(connection: Connection, world: str, strategy_id: str) -> Activation | None:
    """Return a strategy's place in the activation set, or None.

    It counts as far as it was announced and still stands: who asks is never ahead of the control stream, and what the
    newest switch took away is gone at once.
    """
    relayed = (await read_relayed_set(connection, world)).find(strategy_id)
    newest = (await read_set(connection, world)).find(strategy_id)
    if relayed is None or newest is None:
        return None
    agree = (relayed.strategy_version, relayed.mode) == (newest.strategy_version, newest.mode)
    return newest if agree else None


async def switch(connection: Connection, world: str, activations: Sequence[Activation], now: datetime) -> ActivationSet:
    """Replace what may trade in a world that is locked, and put the event of it into the outbox.

    The same set again changes nothing: no epoch, no event.
    """
    current = await read_set(connection, world)
    if current.state_hash == state_hash(activations):
        return current
    ordered = sorted(activations, key=lambda each: each.strategy_id)
    switched = _to_set(await connection.fetchrow(_SWITCH, world, _encode(ordered), now))
    await connection.execute(_REMEMBER, world)
    previous = await connection.fetchval(_LAST_EVENT, world) or ""
    event_id = uuid.uuid4().hex
    payload = encode_switch(switched, event_id, previous, await connection.fetchval(_TIMELINE))
    subject = f"control.activation.{world}"
    event_hash = bytes_id(EVENT_CONTEXT, payload)
    await connection.execute(_ADD_EVENT, event_id, world, switched.sequence, subject, payload, event_hash)
    return switched


def _encode(activations: Sequence[Activation]) -> str:
    return json.dumps(
        [
            {
                "strategy_id": each.strategy_id,
                "strategy_version": each.strategy_version,
                "weight": each.weight,
                "side": each.side,
                "mode": each.mode.value,
                "dataset_fingerprint": each.dataset_fingerprint,
                "executor": each.executor,
            }
            for each in activations
        ]
    )


def _to_set(row: Mapping[str, Any]) -> ActivationSet:
    activations = tuple(
        Activation(**{**each, "mode": EffectiveMode(each["mode"])}) for each in json.loads(row["activations"])
    )
    return ActivationSet(row["world"], activations, row["epoch"], row["sequence"], row["switch_time"])
