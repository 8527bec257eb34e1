"""Reads whole streams and turns their messages into facts, by the contract's classes only."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from qmtl_foundation.pb.qmtl.apply.v1.activation_pb2 import ActivationSet
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2, mark_pb2, report_pb2
from qmtl_foundation.rpc.timestamps import to_datetime
from tests.faults.history.facts import Activation, Event, Intent, Mark, Report

ATTEMPTS: Final = 3
BATCH: Final = 2_000
FETCH_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 30.0

# Written out once more: what the contract calls a number must not come from the code under test.
_MODES: Final[Mapping[int, str]] = {
    execution_pb2.EFFECTIVE_MODE_VALIDATE: "validate",
    execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY: "compute-only",
    execution_pb2.EFFECTIVE_MODE_PAPER: "paper",
    execution_pb2.EFFECTIVE_MODE_LIVE: "live",
    execution_pb2.EFFECTIVE_MODE_SHADOW: "shadow",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold one message with its place in its stream."""

    position: int
    subject: str
    payload: bytes
    at: datetime


async def read_stream(client: Any, stream: str, subject: str) -> list[Stored]:
    """Return every message of a subject, oldest first; none where there is no such stream.

    A cluster that has just been healed may forget a consumer: then it is read anew. Raises TimeoutError.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(TimeoutError, nats.errors.Error):
            return await _read(client, stream, subject)
    return await _read(client, stream, subject)


async def _read(client: Any, stream: str, subject: str) -> list[Stored]:
    config = ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=FORGET_SECONDS,
    )
    try:
        subscription = await client.jetstream().pull_subscribe(subject, stream=stream, config=config)
    except nats.js.errors.NotFoundError:
        return []
    messages: list[Stored] = []
    try:
        waiting = (await subscription.consumer_info()).num_pending
        while len(messages) < waiting:
            fetched = await subscription.fetch(min(BATCH, waiting - len(messages)), timeout=FETCH_SECONDS)
            messages.extend(_stored(each) for each in fetched)
    finally:
        await subscription.unsubscribe()
    return messages


def _stored(message: Any) -> Stored:
    metadata = message.metadata
    return Stored(metadata.sequence.stream, message.subject, message.data, metadata.timestamp)


def to_mark(position: int, at: datetime, payload: bytes, *, deleted: bool = False) -> Mark:
    """Return a mark."""
    message = mark_pb2.Mark.FromString(payload)
    told = message.activation_set
    return Mark(
        position=position,
        stored=at,
        event_id=message.event_id,
        number=message.number,
        kind=_word(mark_pb2.MarkKind, message.kind, "MARK_KIND_"),
        epoch=message.epoch,
        run_id=message.run_id,
        on_freeze=_word(mark_pb2.OnFreeze, message.on_freeze, "ON_FREEZE_"),
        on_demote=_word(mark_pb2.OnDemote, message.on_demote, "ON_DEMOTE_"),
        activations=_activations(told),
        set_sequence=told.sequence,
        state_hash=told.state_hash,
        deleted=deleted,
    )


def to_intent(stored: Stored) -> Intent:
    """Return an intent."""
    message = intent_pb2.OrderIntent.FromString(stored.payload)
    return Intent(
        position=stored.position,
        stored=stored.at,
        intent_id=message.intent_id,
        strategy_id=message.strategy_id,
        symbol=message.symbol,
        target=message.target,
        bar_time=to_datetime(message.bar_time, "bar_time"),
        epoch=message.epoch,
        executor=message.executor,
        version=message.strategy_version,
        side=message.side,
        mode=_mode(message.mode),
        addressee=stored.subject.rpartition(".")[2],
    )


def to_event(stored: Stored) -> Event:
    """Return an activation event."""
    message = activation_event_pb2.ActivationEvent.FromString(stored.payload)
    told = message.activation_set
    return Event(
        position=stored.position,
        stored=stored.at,
        event_id=message.event_id,
        sequence=message.sequence,
        epoch=message.epoch,
        kind=_word(activation_event_pb2.ActivationEventKind, message.kind, "ACTIVATION_EVENT_KIND_"),
        run_id=message.run_id,
        previous_hash=message.previous_event_hash,
        payload=stored.payload,
        activations=_activations(told),
        set_epoch=told.epoch,
        set_sequence=told.sequence,
        state_hash=told.state_hash,
        holds=tuple(message.holds),
    )


def to_report(stored: Stored) -> Report:
    """Return a report."""
    message = report_pb2.OrderReport.FromString(stored.payload)
    return Report(
        position=stored.position,
        stored=stored.at,
        report_id=message.report_id,
        intent_id=message.intent_id,
        epoch=message.epoch,
        executor=message.executor,
        outcome=_word(report_pb2.OrderOutcome, message.outcome, "ORDER_OUTCOME_"),
        reason=message.reason,
        intent_position=message.position,
    )


def _activations(told: ActivationSet) -> tuple[Activation, ...]:
    return tuple(
        Activation(
            strategy_id=each.strategy_id,
            version=each.strategy_version,
            weight=each.weight,
            side=each.side,
            mode=_mode(each.mode),
            fingerprint=each.dataset_fingerprint,
            executor=each.executor,
            active=each.active,
        )
        for each in told.activations
    )


def _mode(number: int) -> str:
    return _MODES.get(number, f"mode-{number}")


def _word(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix).lower()
