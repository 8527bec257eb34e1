"""One submission from beginning to end, in the order of ``progress.Phase``.

1. BUILD the program: run ``setup``, compute NodeIDs.
2. DATA: read the world, resolve its data preset, deliver the bars, register the snapshot.
3. SUBMIT: the gateway stores it durably and answers.
4. BIND: wait until a worker has merged, bound and decided it; the answer holds the compute context.
5. COMPUTE under that context (``compute.py``), 6. PROVE the author's nodes.
7. EVALUATE: the world service measures, judges, decides. A context that has expired meanwhile is resolved afresh first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import ComputeContext, Json, canonical_json
from qmtl_sdk.client.gateway import Gateway, connect, gateway_address, new_request_id
from qmtl_sdk.client.loop import in_thread
from qmtl_sdk.data.results import ResultCache
from qmtl_sdk.libraries import library_versions
from qmtl_sdk.settings import cache_dir, checked_author
from qmtl_sdk.strategy.program import OutputKind, Program, build
from qmtl_sdk.strategy.strategy import Strategy
from qmtl_sdk.submission import messages
from qmtl_sdk.submission.grid import cells_of
from qmtl_sdk.submission.inputs import check_streams
from qmtl_sdk.submission.progress import OnCell, OnProgress, Phase, Timings, silent, unobserved
from qmtl_sdk.submission.result import Backtest, Precheck, SubmitResult, SweepCell, SweepResult, SweepStoppedError
from qmtl_sdk.submission.terms import WorldTerms

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluateResponse
    from qmtl_sdk._pb.qmtl.submission.v1 import Submission
    from qmtl_sdk.data.provider import SeamlessDataProvider
    from qmtl_sdk.data.report import Delivery
    from qmtl_sdk.strategy.evaluate import Memo
    from qmtl_sdk.strategy.parameters import Parameter
    from qmtl_sdk.submission.series import Series

BIND_SECONDS = 30.0  # how long a submission may stay pending before the caller is told so
EVALUATE_SECONDS = 60.0
# What only concerns the cell of a sweep that met it.
OF_THE_CELL = frozenset({Reason.INVALID_FIELD, Reason.INVALID_STRATEGY, Reason.INVALID_SERIES})


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """Hold what an author asks for."""

    strategy: Strategy | type[Strategy]
    world: str
    author: str
    mode: str | None = None
    data_preset: str | None = None
    returns: Any = None
    auto_returns: bool = True
    as_of: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Hold what a submission stands on: the world's terms and the bars of its data preset."""

    terms: WorldTerms
    delivery: Delivery


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Hold what the runner made of a submission, and the cached results of other contexts that it met."""

    series: Series
    precheck: Precheck
    backtest: Backtest | None = None
    cross_context_hits: int = 0
    warnings: tuple[str, ...] = ()


async def submit(
    strategy: Strategy | type[Strategy],
    *,
    world: str,
    mode: str | None = None,
    data_preset: str | None = None,
    returns: Any = None,
    auto_returns: bool = True,
    as_of: str | None = None,
    author: str | None = None,
    gateway: str | None = None,
    on_progress: OnProgress = silent,
) -> SubmitResult:
    """Submit a strategy to a world and return what came of it.

    Raises QmtlError for what is wrong with the request, the strategy's code, its data or the stack; a strategy that the
    world refuses is a result, not an error.
    """
    wish = Wish(strategy, world, checked_author(author), mode, data_preset, returns, auto_returns, as_of)
    with tracing.span("submit", attributes={"qmtl.world": wish.world}, begins=True):
        async with connect(gateway_address(gateway)) as client:
            return await carry_out(client, wish, on_progress)


async def sweep(
    strategy: type[Strategy],
    grid: Mapping[str, Sequence[Parameter]],
    *,
    world: str,
    data_preset: str | None = None,
    as_of: str | None = None,
    author: str | None = None,
    gateway: str | None = None,
    on_cell: OnCell = unobserved,
) -> SweepResult:
    """Submit the cells of a grid over the same bars, in their order; equal nodes are computed once.

    Cells are computed under compute-only: evaluated and counted as trials, never activated. A cell whose strategy
    cannot be built or computed says why, and the others go on. ``on_cell`` takes each cell as soon as it is done.
    Raises QmtlError for what stops every cell, SweepStoppedError with the cells done for what does so on the way.
    """
    from qmtl_sdk.strategy.evaluate import Memo

    cells, memo = cells_of(strategy, grid), Memo()
    mode = EffectiveMode.COMPUTE_ONLY.value
    wish = Wish(strategy, world, checked_author(author), mode, data_preset, as_of=as_of)
    done: list[SweepCell] = []
    async with connect(gateway_address(gateway)) as client:
        ground = await read_ground(client, wish)
        for parameters in cells:
            try:
                done.append(await _cell(client, strategy, parameters, wish, ground, memo))
            except QmtlError as error:
                raise SweepStoppedError(error, SweepResult(tuple(done))) from error
            on_cell(done[-1])
    return SweepResult(tuple(done))


async def _cell(
    client: Gateway,
    strategy: type[Strategy],
    parameters: Mapping[str, Parameter],
    wish: Wish,
    ground: Ground,
    memo: Memo,
) -> SweepCell:
    try:
        with tracing.span("submit", attributes={"qmtl.world": wish.world}, begins=True):
            result = await carry_out(client, replace(wish, strategy=strategy(**parameters)), ground=ground, memo=memo)
    except QmtlError as error:
        if error.reason not in OF_THE_CELL:
            raise
        return SweepCell(parameters, None, error.message)
    return SweepCell(parameters, replace(result, backtest=None))  # of many cells, too much to keep


async def carry_out(
    client: Gateway,
    wish: Wish,
    on_progress: OnProgress = silent,
    ground: Ground | None = None,
    memo: Memo | None = None,
) -> SubmitResult:
    """Carry out one submission over an open client; the cells of a sweep share ``ground`` and ``memo``."""
    timings = Timings(on_progress)
    with timings.phase(Phase.BUILD) as detail:
        program = build(wish.strategy)
        check_output(program, wish)
        document = program.dag_document()
        detail.append(f"{len(program.nodes)} nodes")
    with timings.phase(Phase.DATA) as detail:
        ground = ground or await read_ground(client, wish)
        if wish.returns is None:
            check_streams(program, ground.delivery.streams)
        detail.append(f"{ground.delivery.report.bars} bars to {ground.delivery.report.as_of}")
    terms, delivery = ground.terms, ground.delivery
    with timings.phase(Phase.SUBMIT):
        submission = await _send(client, wish, program, document, delivery)
    with timings.phase(Phase.BIND):
        submission = await _await_end(client, submission)
        _raise_rejection(submission)
    if submission.context is None or submission.decision is None:
        return messages.pending_result(submission, timings.elapsed_ms)
    try:
        work = await in_thread(_work, program, wish, terms, delivery, submission, timings, memo)
    except asyncio.CancelledError:
        timings.abandoned = True  # the thread goes on by itself, to its next step
        raise
    with timings.phase(Phase.EVALUATE):
        submission = await _fresh_context(client, wish, submission)
        answer = await _evaluate(client, wish, terms, submission, work)
    result = messages.to_result(submission, program, work.precheck, answer, timings.elapsed_ms)
    return replace(result, backtest=work.backtest, warnings=(*delivery.report.warnings(), *work.warnings))


def check_output(program: Program, wish: Wish) -> None:
    """Raise QmtlError for a strategy without an output, and for returns that contradict the one it has."""
    kind = program.output.kind
    if wish.returns is not None and kind is not OutputKind.NONE:
        mend = "leave returns= out, or submit them with a strategy whose setup states no output"
        raise invalid_field("returns", f"{program.name} states a {kind}, of which its returns are made; {mend}")
    if wish.returns is None and kind is not OutputKind.NONE and not wish.auto_returns:
        raise invalid_field("returns", "none are given and auto_returns is off; give them, or leave auto_returns on")
    if wish.returns is not None or kind is not OutputKind.NONE:
        return
    raise QmtlError(
        Reason.INVALID_STRATEGY,
        f"{program.name} states neither target nor signal; end setup with self.target(…) or self.signal(…), "
        "or submit its returns=",
        metadata={"strategy": program.name},
    )


async def read_ground(client: Gateway, wish: Wish) -> Ground:
    """Read the world, deliver the bars of its preset (or the wished one), and register the snapshot.

    Raises QmtlError NO_ACTIVE_POLICY before anything is computed in vain.
    """
    terms = await _read_world(client, wish)
    provider = await in_thread(_resolve, terms)
    delivery = await in_thread(provider.read, None, None, wish.as_of)
    await _register_snapshot(client, delivery)
    return Ground(terms, delivery)


async def _read_world(client: Gateway, wish: Wish) -> WorldTerms:
    from qmtl_sdk._pb.qmtl.dataset.v1 import GetPresetRequest
    from qmtl_sdk._pb.qmtl.world.v1 import GetWorldRequest

    answer = await client.call(lambda: client.worlds.get_world(GetWorldRequest(world=wish.world)))
    if answer.world is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without a world")
    if not answer.world.active_policy_version:
        raise _no_policy(wish.world)
    name = wish.data_preset or answer.world.data_preset
    preset = await client.call(lambda: client.datasets.get_preset(GetPresetRequest(name=name)))
    if preset.preset is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without a preset")
    return messages.to_terms(answer.world, name, preset.preset.document)


def _no_policy(world: str) -> QmtlError:
    """Return what the world service would answer after the whole backtest."""
    return QmtlError(
        Reason.NO_ACTIVE_POLICY,
        f"world {world!r} has no active policy; `qmtl world policy upload {world} FILE --activate`",
        metadata={"world": world},
    )


def _resolve(terms: WorldTerms) -> SeamlessDataProvider:
    from qmtl_sdk.data.preset import WorldDataPreset
    from qmtl_sdk.data.provider import resolve_provider

    return resolve_provider(WorldDataPreset.parse(terms.preset_document), cache_dir())


async def _register_snapshot(client: Gateway, delivery: Delivery) -> None:
    from qmtl_sdk._pb.qmtl.dataset.v1 import RegisterSnapshotRequest

    request = RegisterSnapshotRequest(snapshot=messages.to_snapshot(delivery.report))
    await client.call(lambda: client.datasets.register_snapshot(request))


async def _send(client: Gateway, wish: Wish, program: Program, document: bytes, delivery: Delivery) -> Submission:
    from qmtl_sdk._pb.qmtl.submission.v1 import SubmitRequest

    params: dict[str, Json] = dict(program.parameters)
    request = SubmitRequest(
        request_id=new_request_id(),
        world=wish.world,
        author=wish.author,
        name=program.name,
        dag=document,
        params=canonical_json(params),
        mode=wish.mode or "",
        data_preset=wish.data_preset or "",
        as_of=delivery.report.as_of,
        dataset_fingerprint=delivery.report.fingerprint,
    )
    answer = await client.call(lambda: client.submissions.submit(request))
    if answer.submission is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without a submission")
    return answer.submission


async def _await_end(client: Gateway, submission: Submission) -> Submission:
    """Follow a submission to its end; one that stays pending too long is returned as it is."""
    try:
        async with asyncio.timeout(BIND_SECONDS):
            async for state in client.watch_submission(submission.submission_id):
                submission = state
    except TimeoutError:
        pass
    return submission


def _raise_rejection(submission: Submission) -> None:
    error = submission.error
    if error is None:
        return
    reason = Reason(error.reason) if error.reason in Reason.__members__ else Reason.INTERNAL
    raise QmtlError(reason, error.message, metadata=dict(error.metadata))


def _work(
    program: Program,
    wish: Wish,
    terms: WorldTerms,
    delivery: Delivery,
    submission: Submission,
    timings: Timings,
    memo: Memo | None,
) -> Work:
    from qmtl_sdk.submission import series as encoding

    bars, fingerprint = delivery.panel, delivery.report.fingerprint
    if wish.returns is not None:
        with timings.phase(Phase.COMPUTE):
            times, values = encoding.checked_returns(wish.returns, bars.timestamps)
            sent = encoding.Series(encoding.encode_returns(times, values))
        return Work(sent, messages.unproven(values, terms.bars_per_year))
    from qmtl_sdk.submission.compute import compute
    from qmtl_sdk.submission.proving import prove_program

    cache = ResultCache(cache_dir() / "results")
    context = _compute_context(terms, delivery, submission, library_versions())
    with timings.phase(Phase.COMPUTE):
        model, rule, on_step = terms.execution_model, terms.sizing_rule, timings.steps(Phase.COMPUTE)
        computed = compute(program, delivery.streams, model, rule, cache, context, memo, on_step)
        sent = encoding.Series(
            encoding.encode_returns(bars.timestamps, computed.result.returns),
            encoding.encode_targets(bars.timestamps, bars.symbols, computed.targets),
            encoding.encode_trades(computed.result.trades()),
        )
    with timings.phase(Phase.PROVE) as detail:
        on_step = timings.steps(Phase.PROVE)
        proofs = prove_program(
            program, computed.evaluation, bars.timestamps, computed.targets, fingerprint, cache_dir(), on_step
        )
        detail.append(proofs.status)
    precheck = messages.to_precheck(proofs, computed.result.returns, terms.bars_per_year)
    return Work(sent, precheck, Backtest(computed.result), cache.cross_context_hits, proofs.warnings)


def _compute_context(
    terms: WorldTerms, delivery: Delivery, submission: Submission, libraries: dict[str, str]
) -> ComputeContext:
    span = delivery.report.span
    return ComputeContext(
        world=terms.world,
        execution_domain=messages.domain_text(submission.context),
        as_of=delivery.report.as_of,
        partition=f"[{span.start}, {span.end})",
        dataset_fingerprint=delivery.report.fingerprint,
        libraries=libraries,
    )


async def _fresh_context(client: Gateway, wish: Wish, submission: Submission) -> Submission:
    """Resolve the context afresh when it has expired while the runner computed."""
    from qmtl_sdk._pb.qmtl.submission.v1 import ResolveContextRequest

    context = submission.context
    if context is None or (context.expire_time is not None and datetime.now(UTC) < context.expire_time):
        return submission
    request = ResolveContextRequest(
        world=wish.world,
        strategy_id=submission.strategy_id,
        strategy_version=submission.strategy_version,
        mode=wish.mode or "",
        as_of=context.as_of,
        dataset_fingerprint=context.dataset_fingerprint,
    )
    answer = await client.call(lambda: client.submissions.resolve_context(request))
    submission.context = answer.context
    submission.decision = answer.decision or submission.decision
    return submission


async def _evaluate(
    client: Gateway, wish: Wish, terms: WorldTerms, submission: Submission, work: Work
) -> EvaluateResponse:
    request = messages.to_evaluate(submission, terms, work.series, work.precheck)
    request.cross_context_cache_hits = work.cross_context_hits
    request.request_id = new_request_id()
    return await client.call(lambda: client.evaluations.evaluate(request), EVALUATE_SECONDS)
