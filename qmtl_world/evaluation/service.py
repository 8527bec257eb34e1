"""``qmtl.evaluation.v1.EvaluationService``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from opentelemetry.metrics import Counter

from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import Reason, invalid_field
from qmtl_foundation.identity import REQUEST_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2 as pb
from qmtl_foundation.pb.qmtl.evaluation.v1.evaluation_service_pb2_grpc import EvaluationServiceServicer
from qmtl_foundation.postgres import acquire, snapshot
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.postgres.signals import Signals, wait
from qmtl_foundation.requests import (
    check_content_id,
    check_page_size,
    check_request_id,
    check_resource_name,
    check_snapshot_text,
    check_strategy_id,
    check_submission_id,
    decode_number_token,
    encode_page_token,
    not_found,
)
from qmtl_foundation.rpc.modes import from_domain, mode_text
from qmtl_world.allocation.messages import to_allocations
from qmtl_world.allocation.model import allocate
from qmtl_world.apply import store as apply_store
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.apply.messages import to_activation
from qmtl_world.apply.place import ASTRAY
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.evaluate import (
    Evaluated,
    Submitted,
    Terms,
    measure,
    settle,
)
from qmtl_world.evaluation.messages import from_proofs, to_evaluation, to_returns
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.idempotency import Request, once, stored_answer
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.messages import from_execution_model, to_decision
from qmtl_world.worlds.model import decide

MAX_CODE_VERSION: Final = 80
MAX_SETTLING: Final = 8
APPLY_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.25  # without a signal
NEWEST: Final = 2**63 - 1


class EvaluationService(EvaluationServiceServicer):
    """Evaluate strategies."""

    def __init__(
        self,
        pool: Pool,
        processes: EvaluationProcesses,
        coordinator: Coordinator,
        signals: Signals,
        clock: Clock,
        cross_context_hits: Counter,
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._coordinator = coordinator
        self._signals = signals
        self._clock = clock
        self._cross_context_hits = cross_context_hits
        # Evaluations of one world wait for its lock with a connection in hand; reads must find some left.
        self._settling = asyncio.Semaphore(MAX_SETTLING)

    async def Evaluate(self, request: pb.EvaluateRequest, context: Any) -> pb.EvaluateResponse:
        """Measure, judge, decide, and wait a while for the apply run that follows."""
        named = _named(request)
        terms = _terms(request)
        answer = await stored_answer(self._pool, named)
        if answer is None:
            answer = await self._evaluate(named, terms, request)
        response = pb.EvaluateResponse.FromString(answer)
        await self._applied(terms.world)
        await self._add_present(response, terms)
        return response

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: Any) -> pb.GetEvaluationResponse:
        """Read an evaluation."""
        world, key = check_resource_name("world", request.world), check_content_id("eval_key", request.eval_key)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, world)
            record = await store.read_evaluation(connection, world, key)
            wanted = [record.series_id] if record and record.series_id and request.include_returns else []
            series = await trials.read_series(connection, world, wanted) if wanted else []
        if record is None:
            mend = f"`qmtl world status {world}` shows the keys there are"
            raise not_found(Reason.STRATEGY_NOT_FOUND, "evaluation", key, mend, world=world, eval_key=key)
        returns = to_returns(series[0]) if series else None
        return pb.GetEvaluationResponse(evaluation=to_evaluation(record), returns=returns)

    async def ListEvaluations(self, request: pb.ListEvaluationsRequest, context: Any) -> pb.ListEvaluationsResponse:
        """List evaluations."""
        world, size = check_resource_name("world", request.world), check_page_size(request.page_size)
        strategy_id = check_strategy_id(request.strategy_id) if request.strategy_id else ""
        below = decode_number_token(request.page_token, NEWEST)
        async with acquire(self._pool) as connection:
            await world_store.read_world(connection, world)
            records = await store.list_evaluations(connection, world, strategy_id, below, size + 1)
        token = encode_page_token(str(records[size - 1].id)) if len(records) > size else ""
        return pb.ListEvaluationsResponse(
            evaluations=[to_evaluation(each) for each in records[:size]], next_page_token=token
        )

    async def _evaluate(self, named: Request, terms: Terms, request: pb.EvaluateRequest) -> bytes:
        submitted = Submitted(request.returns, request.targets, request.trades)
        measured = await measure(self._pool, self._processes, terms, submitted, self._clock())
        has_settled = False

        async def work(connection: Connection) -> bytes:
            nonlocal has_settled
            evaluated = await settle(connection, self._processes, self._coordinator, terms, measured, self._clock())
            has_settled = True
            return _answer(evaluated).SerializeToString()

        async with self._settling:
            answer = await once(self._pool, named, work)
        if has_settled:
            self._cross_context_hits.add(terms.cross_context_hits)
        return answer

    async def _applied(self, world: str) -> None:
        """Wait until nothing of a world is on its way, a few seconds at most: a run may wait for a dead participant."""
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLY_SECONDS), self._signals.watching(world) as stepped:
                while await self._is_applying(world):
                    await wait(stepped, POLL_SECONDS)

    async def _is_applying(self, world: str) -> bool:
        """Tell whether a run is under way, or its last event is not relayed and will be."""
        async with snapshot(self._pool) as connection:
            place = (await apply_store.read_place(connection, world)).place
            relayed = await apply_store.read_relayed_set(connection, world)
        behind = relayed.sequence < place.sequence and ASTRAY not in place.holds
        return place.running is not None or behind

    async def _add_present(self, response: pb.EvaluateResponse, terms: Terms) -> None:
        """Add what stands now, which is never stored: by the time that an answer is repeated it may be another."""
        async with snapshot(self._pool) as connection:
            world = await world_store.read_world(connection, terms.world)
            binding = await world_store.read_binding(connection, terms.world, terms.strategy_id, terms.submission_id)
            in_force = await apply_store.read_in_force(connection, terms.world, terms.strategy_id)
            stands = (await apply_store.read_place(connection, terms.world)).activation_set
        response.decision.CopyFrom(to_decision(decide(world, binding, in_force, self._clock())))
        activation = stands.find(terms.strategy_id)
        if activation is not None:
            response.activation.CopyFrom(to_activation(activation, stands))
        if stands.activations:
            response.allocations.CopyFrom(to_allocations(allocate(stands)))


def _answer(evaluated: Evaluated) -> pb.EvaluateResponse:
    """Return what is stored of an answer: the evaluation, as the round that followed left it."""
    return pb.EvaluateResponse(evaluation=to_evaluation(evaluated.record, evaluated.standing))


def _named(request: pb.EvaluateRequest) -> Request:
    request_hash = bytes_id(REQUEST_CONTEXT, request.SerializeToString(deterministic=True))
    return Request(check_request_id(request.request_id), "Evaluate", request_hash)


def _terms(request: pb.EvaluateRequest) -> Terms:
    if request.cross_context_cache_hits < 0:
        raise invalid_field("cross_context_cache_hits", f"{request.cross_context_cache_hits} must not be negative")
    if len(request.code_version) > MAX_CODE_VERSION:
        raise invalid_field("code_version", f"must be at most {MAX_CODE_VERSION} characters")
    fingerprint = request.dataset_fingerprint
    return Terms(
        world=check_resource_name("world", request.world),
        strategy_id=check_strategy_id(request.strategy_id),
        strategy_version=check_content_id("strategy_version", request.strategy_version),
        execution_domain=from_domain(request.execution_domain).value,
        as_of=check_snapshot_text("as_of", request.as_of),
        dataset_fingerprint=check_content_id("dataset_fingerprint", fingerprint) if fingerprint else "",
        execution_model=from_execution_model(request.execution_model),
        proof=from_proofs(request.proofs),
        effective_mode=mode_text(request.effective_mode),
        submission_id=check_submission_id(request.submission_id),
        code_version=request.code_version,
        cross_context_hits=request.cross_context_cache_hits,
    )
