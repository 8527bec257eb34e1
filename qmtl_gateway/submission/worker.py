"""Works off the ingest stream: merge into the graph, bind to the world, decide, derive the context, end the submission.

Each step may be done again: a gateway that dies in between leaves its message to another, and the submission ends once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import nats.errors
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.rpc.status import internal_error
from qmtl_foundation.telemetry import LabelledCounter
from qmtl_foundation.tracing import TRACEPARENT
from qmtl_gateway.submission import ingest, store
from qmtl_gateway.submission.decisions import Decisions
from qmtl_gateway.submission.model import Ready, Rejected, SubmissionOrder
from qmtl_gateway.submission.upstream import Upstreams

CONCURRENCY: Final = 16
RETRY_SECONDS: Final = 0.5
RETRY_LIMIT_SECONDS: Final = 10.0
INTERNAL_ATTEMPTS: Final = 5  # a fault of ours is tried this often before the submission is rejected with it

# Not the submission's fault: it waits until the dependency is back.
_WAITING: Final = frozenset({Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED})

_log = logging.getLogger(__name__)


class Worker:
    """Take submissions from the stream and end them."""

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        upstreams: Upstreams,
        decisions: Decisions,
        outcomes: LabelledCounter,
        replicas: int,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._upstreams = upstreams
        self._decisions = decisions
        self._outcomes = outcomes
        self._replicas = replicas

    async def run(self) -> None:
        """Work until cancelled."""
        slots = asyncio.Semaphore(CONCURRENCY)
        async with asyncio.TaskGroup() as tasks:
            async for message in self._messages(slots):
                tasks.create_task(self._handle(message, slots))

    async def _messages(self, slots: asyncio.Semaphore) -> Any:
        subscription = None
        while True:
            heed_cancellation()
            await slots.acquire()
            try:
                subscription = subscription or await self._subscribe()
                message = await ingest.fetch(subscription)
            except Exception as error:  # also a fault of ours: reads and forwarded calls go on without a worker
                slots.release()
                _log.warning("taking submissions: %s", error, exc_info=not isinstance(error, QmtlError))
                if subscription is not None:
                    await ingest.unsubscribe(subscription)
                subscription = None
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if message is None:
                slots.release()
            else:
                yield message

    async def _subscribe(self) -> Any:
        """Subscribe to the stream, made anew if it is gone, with every pending submission in it.

        A submission whose client never heard an answer, or whose message was lost with the broker's disk, is pending
        and in no stream. One that stands there twice ends once all the same.
        """
        await ingest.open_ingest(self._bus, self._replicas)
        for submission_id in await store.list_pending(self._pool):
            await ingest.append(self._bus, submission_id)
        return await ingest.subscribe(self._bus)

    async def _handle(self, message: Any, slots: asyncio.Semaphore) -> None:
        submission_id = message.data.decode(errors="replace")
        try:
            trace = (message.headers or {}).get(TRACEPARENT, "")
            with tracing.span("bind submission", trace, SpanKind.CONSUMER, {"qmtl.submission_id": submission_id}):
                async with ingest.held(message):
                    await self._work(submission_id, message.metadata.num_delivered)
            await _acknowledge(message)
        except asyncio.CancelledError:
            await _put_back(message, 0.0)  # this gateway drains: another takes the submission at once
            raise
        except QmtlError as error:
            delay = min(RETRY_SECONDS * 2 ** min(message.metadata.num_delivered, 10), RETRY_LIMIT_SECONDS)
            _log.warning("submission %s waits %.1f s: %s", submission_id, delay, error)
            await _put_back(message, delay)
        except Exception:  # a fault of ours must not end the gateway; the message comes again
            _log.exception("submission %s waits", message.data)
            await _put_back(message, RETRY_LIMIT_SECONDS)
        finally:
            slots.release()

    async def _work(self, submission_id: str, attempt: int) -> None:
        order = await store.read_pending(self._pool, submission_id)
        if order is None:
            return
        outcome: Ready | Rejected
        try:
            outcome = await self._guarded(order)
        except QmtlError as error:
            if error.reason in _WAITING or (error.reason is Reason.INTERNAL and attempt < INTERNAL_ATTEMPTS):
                raise
            outcome = Rejected(error.reason.value, error.message, error.metadata)
        if await store.end(self._pool, submission_id, outcome):
            self._outcomes.add("ready" if isinstance(outcome, Ready) else "rejected")

    async def _guarded(self, order: SubmissionOrder) -> Ready:
        """Let one submission's fault of ours end that submission, never the worker."""
        try:
            return await self._process(order)
        except QmtlError:
            raise
        except Exception as error:
            raise internal_error(error) from error

    async def _process(self, order: SubmissionOrder) -> Ready:
        preset = order.data_preset or await self._upstreams.data_preset(order.world)
        dataset = await self._upstreams.dataset(preset, order.as_of, order.dataset_fingerprint)
        nodes = await self._upstreams.merge(order)
        decision = await self._upstreams.bind(order, dataset)
        self._decisions.remember(decision, order.strategy_version)
        terms = self._decisions.derive(
            order.world,
            decision,
            hint=order.hint,
            as_of=dataset.as_of,
            dataset_fingerprint=dataset.fingerprint,
        )
        return Ready(nodes, decision, terms)


async def _put_back(message: Any, delay: float) -> None:
    try:
        await message.nak(delay=delay)
    except (nats.errors.Error, TimeoutError) as error:
        _log.warning("nak of submission %s: %r; it comes again after the ack wait", message.data, error)


async def _acknowledge(message: Any) -> None:
    try:
        await message.ack_sync()
    except (nats.errors.Error, TimeoutError) as error:
        _log.warning("ack of submission %s: %r; it comes again and finds itself ended", message.data, error)
