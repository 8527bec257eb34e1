"""``qmtl run --replay`` against the running services: live targets are the backtest's, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceStub
from qmtl_foundation.settings import Address
from qmtl_sdk.cli.loading import load_strategy
from qmtl_sdk.live.run import run_replay
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.submission.progress import OnProgress, Phase, Progress
from tests.support.beside import another_gateway
from tests.support.command_line import STRATEGY, Qmtl
from tests.support.credentials import Bearing, token_of
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[3] / "examples"
EVERYTHING_PASSES = 'apply: auto\ngates: [{name: sharpe, rule: "metrics.sharpe >= -9.0"}]\nselect: {top_k: 3}\n'
WEEKLY = """\
from qmtl_sdk import Strategy

class Weekly(Strategy):
    def setup(self):
        week = self.bars(interval="1w")["close"].symbol("IBM")
        self.target({"IBM": week.pct_change().abs().clip(0.0, 1.0)})
"""
QMTL = "import sys; from qmtl_sdk.cli.main import run; sys.exit(run())"
WAIT_SECONDS = 30.0

Written = Callable[[str, str], str]
Submitted = Callable[[str], str]


@pytest.fixture
def journals(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the journals of intents in a folder of the test's own, and give it."""
    environment["QMTL_STATE_DIR"] = str(tmp_path / "state")
    monkeypatch.setenv("QMTL_STATE_DIR", environment["QMTL_STATE_DIR"])
    return tmp_path / "state" / "journals"


@pytest.fixture
def submitted(qmtl: Qmtl, world_name: str, journals: Path, written: Written) -> Submitted:
    """Give a function that makes a strategy active in a new world, and returns the strategy's file."""

    def submit(file: str) -> str:
        policy = written("policy.yaml", EVERYTHING_PASSES)
        options = ("--mode", "paper", "--share-policy", "world", "--slippage-bp", "2", "--fee-bp", "1")
        assert qmtl("world", "create", world_name, *options, "--policy", policy).code == 0
        assert qmtl("submit", file, "--world", world_name).code == 0
        return file

    return submit


@pytest.fixture
def applies(gateway: str, stack: StackStatus) -> Iterator[ApplyServiceStub]:
    """Give the service that freezes and resumes worlds."""
    with grpc.insecure_channel(gateway) as channel:
        yield ApplyServiceStub(Bearing(channel, token_of(stack.state_dir)))


def phase(applies: ApplyServiceStub, world: str) -> int:
    """Return what the newest event of a world told."""
    return int(applies.GetActivation(pb.GetActivationRequest(world=world)).phase)


def intents(journals: Path, world: str, name: str) -> list[tuple[str, int, float, str]]:
    """Return symbol, bar (µs), target and state of each intent of a strategy's journal, by bar."""
    query = "SELECT symbol, bar_time, target, state FROM intent ORDER BY bar_time, symbol"
    with closing(sqlite3.connect(journals / world / "ana" / f"{name}.db")) as journal:
        return list(journal.execute(query))


@pytest.mark.parametrize("example", ["sma_cross", "breakout", "weekly_trend"])
def test_examples_trade_the_targets_of_their_backtests(
    example: str, submitted: Submitted, qmtl_json: Qmtl, world_name: str
) -> None:
    file = submitted(str(EXAMPLES / f"{example}.py"))
    ended = qmtl_json("run", file, "--world", world_name, "--replay")
    assert (ended.code, ended.err) == (0, "")
    result = ended.document
    assert (result["bars"], result["equal"], result["difference"]) == (3_270, True, None)
    counts = result["intents"]
    assert counts["accepted"] > 100
    assert counts["filled"] > 0.9 * counts["accepted"]
    assert counts["fenced"] == counts["refused"] == 0
    assert counts["accepted"] == sum(counts[end] for end in ("filled", "unchanged", "cancelled", "outstanding"))


def test_second_run_sends_nothing_twice(submitted: Submitted, qmtl: Qmtl, qmtl_json: Qmtl, world_name: str) -> None:
    file = submitted(str(EXAMPLES / "breakout.py"))
    first = qmtl("run", file, "--world", world_name, "--replay")
    assert first.code == 0
    assert "every target equals the backtest's, bit for bit" in first.out
    assert "wait for the gate" in first.err
    again = qmtl_json("run", file, "--world", world_name, "--replay").document
    assert (again["equal"], again["intents"]["accepted"]) == (True, 0)
    assert again["intents_before"] > 100


def test_strategy_that_is_not_active_waits_and_is_told_how_to_be(
    submitted: Submitted, gateway: str, world_name: str, journals: Path, written: Written
) -> None:
    submitted(str(EXAMPLES / "breakout.py"))
    seen: list[Progress] = []
    strategy = load_strategy(written("absent.py", STRATEGY))
    with pytest.raises(QmtlError, match=r"ana/Trend may not trade .* not in the activation set; submit it") as caught:
        run_replay(
            strategy, world_name, "ana", [Address.parse(gateway)], journals, on_progress=seen.append, patience_s=1.0
        )
    assert caught.value.reason is Reason.GATE_CLOSED
    assert any(each.phase is Phase.WAIT and "activation set" in each.detail for each in seen)


def at_bars(actions: dict[int, Callable[[], None]]) -> OnProgress:
    """Return what takes progress and acts before a bar is replayed."""

    def take(progress: Progress) -> None:
        bar, of, _ = progress.detail.partition(" of ")
        if progress.phase is Phase.REPLAY and of:
            actions.pop(int(bar.replace(",", "")), lambda: None)()

    return take


def test_nothing_is_sent_of_bars_of_a_frozen_world_and_the_newest_targets_are_once_it_is_open(
    submitted: Submitted, gateway: str, world_name: str, journals: Path, written: Written, applies: ApplyServiceStub
) -> None:
    strategy = load_strategy(submitted(written("weekly_frozen.py", WEEKLY)))

    def freeze() -> None:
        applies.FreezeWorld(pb.FreezeWorldRequest(world=world_name, reason="a test"))
        wait_until(lambda: phase(applies, world_name) == acknowledgement_pb2.APPLY_PHASE_FREEZE, WAIT_SECONDS)

    def resume() -> None:
        applies.ResumeWorld(pb.ResumeWorldRequest(world=world_name, run_id="resume", reason="a test"))
        wait_until(lambda: phase(applies, world_name) == acknowledgement_pb2.APPLY_PHASE_UNFREEZE, WAIT_SECONDS)

    result = run_replay(
        strategy, world_name, "ana", [Address.parse(gateway)], journals,
        on_progress=at_bars({1_500: freeze, 1_700: resume}),
    )  # fmt: skip
    assert result.equal
    closes = [datetime.fromtimestamp(bar / 1e6, UTC) for _, bar, *_ in intents(journals, world_name, "Weekly")]
    days = [(after - before).days for before, after in pairwise(closes)]
    assert sorted(days)[-2] < 30 < 200 < max(days)  # of the bars of the frozen world nothing is in the journal
    assert closes[-1].year == 2013


def test_replay_goes_on_at_another_gateway(
    submitted: Submitted, stack: StackStatus, gateway: str, world_name: str, journals: Path, written: Written
) -> None:
    strategy = load_strategy(submitted(written("weekly_moving.py", WEEKLY)))
    with ExitStack() as other:
        first = other.enter_context(another_gateway(stack))
        addresses = [Address.parse(first.address), Address.parse(gateway)]
        result = run_replay(strategy, world_name, "ana", addresses, journals, on_progress=at_bars({1_000: other.close}))
    assert result.equal
    assert result.intents["refused"] == 0
    states = [state for *_, state in intents(journals, world_name, "Weekly")]
    assert len(states) > 300
    assert not {"written", "refused"} & set(states)


def test_ctrl_c_ends_a_replay_and_leaves_the_journal_to_the_next(
    submitted: Submitted, qmtl_json: Qmtl, world_name: str, environment: dict[str, str], journals: Path
) -> None:
    file = submitted(str(EXAMPLES / "sma_cross.py"))
    command = (sys.executable, "-c", QMTL, "run", file, "--world", world_name, "--replay", "--speed", "5000000x")
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: journal_has_intents(journals, world_name), WAIT_SECONDS)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err
    left = intents(journals, world_name, "SmaCross")
    ended = qmtl_json("run", file, "--world", world_name, "--replay").document
    assert ended["equal"]
    assert ended["intents_before"] == len(left) > 0
    assert ended["intents"]["accepted"] > 0


def test_a_paused_runner_is_named_and_waited_for_as_long_as_its_lease_and_goes_on_behind_the_run(
    submitted: Submitted, qmtl_json: Qmtl, world_name: str, environment: dict[str, str], journals: Path
) -> None:
    file = submitted(str(EXAMPLES / "sma_cross.py"))
    arguments = ("run", file, "--world", world_name, "--replay", "--speed", "50000000x", "--output", "json")
    with running((sys.executable, "-c", QMTL, *arguments), environment) as process:
        wait_until(lambda: journal_has_intents(journals, world_name), WAIT_SECONDS)
        os.kill(process.pid, signal.SIGSTOP)
        started = qmtl_json("apply", "start", world_name, "--plan", "ana/SmaCross=0.5", "--run-id", "half", "--no-wait")
        assert started.code == 0
        wait_until(lambda: waited_for(qmtl_json, world_name) == ["ana/SmaCross"], WAIT_SECONDS)
        wait_until(lambda: run_phase(qmtl_json, world_name) == "completed", WAIT_SECONDS)
        os.kill(process.pid, signal.SIGCONT)
        out, _ = process.communicate(timeout=2 * WAIT_SECONDS)
    assert process.returncode == 0
    result = json.loads(out)
    assert (result["equal"], result["intents"]["outstanding"], result["intents"]["refused"]) == (True, 0, 0)


@contextmanager
def running(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a process; it is killed at the end, paused or not."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run_that_begins_again_does_not_wait_through_its_past(
    submitted: Submitted, gateway: str, world_name: str, journals: Path, written: Written
) -> None:
    strategy = load_strategy(submitted(written("weekly_again.py", WEEKLY)))
    addresses = [Address.parse(gateway)]
    assert run_replay(strategy, world_name, "ana", addresses, journals).intents["accepted"] > 300
    began = time.monotonic()
    again = run_replay(strategy, world_name, "ana", addresses, journals, speed=100_000.0)  # an hour for the whole
    assert time.monotonic() - began < WAIT_SECONDS
    assert (again.equal, again.intents["accepted"]) == (True, 0)


def journal_has_intents(journals: Path, world: str) -> bool:
    """Tell whether a runner, which keeps everybody else out of its journal, has written something into it."""
    return journal_size(journals, world) > 40_000


def journal_size(journals: Path, world: str) -> int:
    """Return how much a runner has written into its journal."""
    log = journals / world / "ana" / "SmaCross.db-wal"
    return log.stat().st_size if log.exists() else 0


def waited_for(qmtl_json: Qmtl, world: str) -> list[str]:
    """Return the strategies whose runners a run waits for."""
    run = qmtl_json("apply", "show", world, "half").document
    return [strategy for each in run["awaited"] for strategy in each["waits_for"]]


def run_phase(qmtl_json: Qmtl, world: str) -> str:
    """Return where the run stands."""
    phase: str = qmtl_json("apply", "show", world, "half").document["phase"]
    return phase


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "--replay"),
        (("--replay", "--speed", "fast"), 1, "speed: 'fast' is no speed; write such as 60x, or max"),
        (("--replay", "--gateway", "nowhere"), 1, "gateway"),
    ],
)
def test_bad_option_is_named(
    arguments: tuple[str, ...], code: int, told: str, qmtl: Qmtl, journals: Path, written: Written
) -> None:
    ended: Any = qmtl("run", written("any.py", STRATEGY), "--world", "any", *arguments)
    assert ended.code == code
    assert told in ended.err
