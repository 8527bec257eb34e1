"""Run a strategy live over the history of its world, bar by bar, and compare it with its backtest.

1. DATA: read the world, deliver the bars of its preset. COMPUTE: the backtest, which the targets are compared with.
2. WAIT until the strategy is in the world's activation set and its gate is open.
3. REPLAY: each bar through the evaluator; while the gate is open the newest targets are sent. Bars of a closed gate
   are evaluated all the same, and nothing of them is sent but the newest targets, once it is open again. The bars that
   a former run went through, by the journal, come at once.
4. SETTLE: wait for what is outstanding, as long as something comes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from qmtl_foundation.dag import parse_dag, parse_params
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import Json, canonical_json
from qmtl_foundation.settings import Address
from qmtl_sdk.client.gateway import connect
from qmtl_sdk.client.loop import run as run_on_loop
from qmtl_sdk.live.evaluator import LiveEvaluator, layouts_of
from qmtl_sdk.live.feed import replay
from qmtl_sdk.live.pace import paced
from qmtl_sdk.live.result import ReplayResult, first_difference
from qmtl_sdk.session.emission import Emission
from qmtl_sdk.session.gate import GateState
from qmtl_sdk.session.journal import IntentJournal, State
from qmtl_sdk.session.model import Runner
from qmtl_sdk.session.orders import FOR_ITS_OWNER, Orders
from qmtl_sdk.session.session import RunnerSession
from qmtl_sdk.strategy.evaluate import Evaluation, evaluate
from qmtl_sdk.strategy.program import Program, build
from qmtl_sdk.strategy.strategy import Strategy
from qmtl_sdk.strategy.values import FloatArray
from qmtl_sdk.submission.compute import targets_of
from qmtl_sdk.submission.flow import Ground, Wish, check_output, read_ground
from qmtl_sdk.submission.inputs import stream_inputs
from qmtl_sdk.submission.progress import OnProgress, Phase, Progress, Timings, silent

WAIT_SECONDS: Final = 60.0  # for the gate to open
SETTLE_SECONDS: Final = 6.0  # without a report: a paper executor fills what waits after three
COUNTED: Final = (State.ACCEPTED, State.FILLED, State.UNCHANGED, State.FENCED, State.REFUSED, State.CANCELLED)
OUTSTANDING: Final = "outstanding"

_MENDS: Final = {
    GateState.FROZEN: "an apply run is under way, or was left: `qmtl apply list` shows it",
    GateState.HELD: "`qmtl world resume` ends a hold",
    GateState.ABSENT: "submit it with `qmtl submit`, and let the world activate it",
    GateState.OTHER_VERSION: "submit this version with `qmtl submit`, or run the one that is active",
    GateState.NO_ORDERS: "set the world's mode to paper",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Backtest:
    """Hold what a replay is compared with, and what it needs to know of it."""

    program: Program
    ground: Ground
    evaluation: Evaluation
    targets: FloatArray


def run_replay(
    strategy: Strategy,
    world: str,
    author: str,
    addresses: Sequence[Address],
    journals: Path,
    speed: float | None = None,
    on_progress: OnProgress = silent,
    patience_s: float = WAIT_SECONDS,
) -> ReplayResult:
    """Replay a strategy in a world where it is active, and return what came of it.

    ``journals`` is the folder of the journals of intents. Raises QmtlError for what is wrong with the strategy, its
    data or the stack, and GATE_CLOSED when the gate does not open within ``patience_s`` seconds.
    """
    timings = Timings(on_progress)
    backtest = _backtested(strategy, world, author, addresses[0], timings)
    runner = _runner(backtest.program, world, author)
    report, terms = backtest.ground.delivery.report, backtest.ground.terms
    symbols = backtest.ground.delivery.streams.bars.symbols
    with IntentJournal.open(journals / world / f"{runner.strategy_id}.db") as journal:
        before = journal.count()
        emission = Emission(world, runner.strategy_id, symbols, terms.execution_model.rebalance, journal)
        with RunnerSession(addresses, runner, journal.report_position()) as session:
            orders = Orders(session, journal, emission)
            with timings.phase(Phase.WAIT):
                _await_gate(session, runner, on_progress, patience_s)
            with timings.phase(Phase.REPLAY) as detail:
                live = _replayed(backtest, session, orders, speed, journal.newest_bar(), on_progress)
                detail.append(f"{len(live):,} bars")
            with timings.phase(Phase.SETTLE):
                _settle(session, orders)
        intents = {state.value: orders.counts[state] for state in COUNTED} | {OUTSTANDING: orders.outstanding()}
    return ReplayResult(
        world=world,
        strategy_id=runner.strategy_id,
        strategy_version=runner.strategy_version,
        data_preset=report.data_preset,
        as_of=report.as_of,
        dataset_fingerprint=report.fingerprint,
        bars=len(live),
        difference=first_difference(backtest.ground.delivery.streams.bars.timestamps, symbols, backtest.targets, live),
        intents=intents,
        intents_before=before,
    )


def _backtested(strategy: Strategy, world: str, author: str, address: Address, timings: Timings) -> _Backtest:
    wish = Wish(strategy, world, author)
    program = build(strategy)
    check_output(program, wish)

    async def read() -> Ground:
        async with connect(address) as client:
            return await read_ground(client, wish)

    with timings.phase(Phase.DATA) as detail:
        ground = run_on_loop(read())
        detail.append(f"{ground.delivery.report.bars} bars to {ground.delivery.report.as_of}")
    streams = ground.delivery.streams
    with timings.phase(Phase.COMPUTE):
        evaluation = evaluate(program.nodes, stream_inputs(program, streams), on_step=timings.steps(Phase.COMPUTE))
        targets = targets_of(program, evaluation, streams.bars, ground.terms.sizing_rule)
    return _Backtest(program, ground, evaluation, targets)


def _runner(program: Program, world: str, author: str) -> Runner:
    params: dict[str, Json] = dict(program.parameters)
    version = parse_dag(program.dag_document()).version(parse_params(canonical_json(params)))
    return Runner(world, f"{author}/{program.name}", version, uuid.uuid4().hex)


def _await_gate(session: RunnerSession, runner: Runner, on_progress: OnProgress, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while (state := session.state) is not GateState.OPEN:
        if time.monotonic() >= deadline:
            raise session.fault or _closed(runner, state)
        on_progress(Progress(Phase.WAIT, detail=str(state)))
        session.wait()
    stamp = session.stamp()
    if stamp is not None and stamp.seat.mode is EffectiveMode.LIVE:
        raise QmtlError(
            Reason.LIVE_CONSENT_MISSING,
            f"{runner.strategy_id} is live in world {runner.world!r}: a replay of past bars sends nothing to a venue; "
            "replay it in a world whose mode is paper",
            metadata={"world": runner.world, "strategy_id": runner.strategy_id},
        )


def _closed(runner: Runner, state: GateState) -> QmtlError:
    mend = _MENDS.get(state, "`qmtl stack status` shows whether the world service answers")
    return QmtlError(
        Reason.GATE_CLOSED,
        f"{runner.strategy_id} may not trade in world {runner.world!r}: {state}; {mend}",
        metadata={"world": runner.world, "strategy_id": runner.strategy_id, "state": state.name.lower()},
    )


def _replayed(
    backtest: _Backtest,
    session: RunnerSession,
    orders: Orders,
    speed: float | None,
    past: datetime | None,
    on_progress: OnProgress,
) -> FloatArray:
    program, terms, streams = backtest.program, backtest.ground.terms, backtest.ground.delivery.streams
    layouts = layouts_of(program, backtest.evaluation)
    evaluator = LiveEvaluator(program, streams.bars.symbols, terms.sizing_rule, layouts)
    live = np.empty_like(backtest.targets)

    def idle(seconds: float) -> None:
        session.wait(seconds)
        orders.work()

    for bar, moment in enumerate(paced(replay(program, streams), speed, past, idle)):
        live[bar] = evaluator.step(moment)
        orders.state(moment.timestamp, live[bar])
        orders.work()
        on_progress(Progress(Phase.REPLAY, detail=f"{bar + 1:,} of {len(live):,} bars, {_sent(orders)}"))
    return live


def _sent(orders: Orders) -> str:
    sent = f"{orders.counts[State.ACCEPTED]:,} intents"
    return sent if orders.fault is None else f"{sent}, more wait: {orders.fault.message}"


def _settle(session: RunnerSession, orders: Orders) -> None:
    """Work on until nothing is outstanding, or nothing has come for a while.

    Raises QmtlError where something is not sent for a reason that whoever runs the strategy has to mend.
    """
    heard, since = orders.counts.total(), time.monotonic()
    while not orders.settled() and time.monotonic() - since < SETTLE_SECONDS:
        session.wait()
        orders.work()
        if orders.counts.total() != heard:
            heard, since = orders.counts.total(), time.monotonic()
    fault = orders.fault or session.fault
    if fault is not None and fault.reason in FOR_ITS_OWNER and not orders.settled():
        raise fault
