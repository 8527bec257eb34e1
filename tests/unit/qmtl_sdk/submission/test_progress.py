"""Long phases tell their steps, and end at the next one when nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qmtl_sdk import Node, Strategy
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.strategy.evaluate import Evaluation, OnStep, evaluate
from qmtl_sdk.strategy.program import Program, build
from qmtl_sdk.submission.progress import AbandonedError, Phase, Progress, Timings
from qmtl_sdk.submission.proving import prove_program

BARS = 30


def doubled(view):  # type: ignore[no-untyped-def]  # authors need no annotations
    return view["close"].array() * 2.0


def summed(state, bar):  # type: ignore[no-untyped-def]  # as above
    return state + bar.value, state + bar.value


class Both(Strategy):
    """State a fold over a function."""

    def setup(self) -> None:
        """Name both nodes."""
        twice = Node(doubled, input={"close": self.bars()["close"]}, period=1)
        self.target(Node(summed, input=twice, initial=0.0))


@pytest.fixture
def program() -> Program:
    """Return a program of a function and a fold."""
    return build(Both)


def run(program: Program, on_step: OnStep) -> Evaluation:
    times = np.arange(1, BARS + 1, dtype=np.int64) * 86_400 * 10**9
    panel = Panel(times, ("A", "B"), {"close": np.random.default_rng(1).random((BARS, 2))}, 86_400)
    return evaluate(program.nodes, {program.streams[0].node_id: panel}, on_step=on_step)


def prove(program: Program, folder: Path, on_step: OnStep) -> None:
    evaluation = run(program, lambda _node, _done, _total: None)
    times = evaluation.axis(program.nodes[-1]).timestamps
    targets = evaluation[program.nodes[-1].node_id].numbers()
    prove_program(program, evaluation, times, targets, "blake3:" + "0" * 64, folder, on_step)


def test_evaluation_tells_each_node_before_it_is_computed(program: Program) -> None:
    told: list[tuple[str, int, int]] = []
    run(program, lambda *step: told.append(step))
    assert [(node, done) for node, done, _ in told] == [("bars", 0), ("column", 1), ("doubled", 2), ("summed", 3)]


def test_proofs_tell_how_many_bars_of_how_many(program: Program, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prove(program, tmp_path, lambda *step: told.append(step))
    of_fold = [(done, total) for node, done, total in told if node == "summed"]
    assert of_fold == [(done, 2 * BARS) for done in range(2 * BARS)]  # a snapshot before each bar, a step from each
    assert {(node, total) for node, _, total in told} == {("doubled", BARS), ("summed", 2 * BARS)}


@pytest.mark.parametrize("work", [run, prove])
def test_abandoned_work_ends_at_its_next_step_and_tells_nothing_more(
    program: Program, tmp_path: Path, work: Callable[..., object]
) -> None:
    told: list[Progress] = []
    timings = Timings(told.append)
    on_step = timings.steps(Phase.PROVE)

    def interrupted(node: str, done: int, total: int) -> None:
        timings.abandoned = done == 2
        on_step(node, done, total)

    with pytest.raises(AbandonedError), timings.phase(Phase.PROVE):
        work(program, *([tmp_path] if work is prove else []), interrupted)
    assert ": 1 of " in told[-1].detail
    assert not any(each.done for each in told)
