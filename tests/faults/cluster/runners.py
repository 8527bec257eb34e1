"""The runners of a cluster: real strategies, each in a process of its own, trading replayed bars."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from qmtl_sdk.local.state import Layout
from tests.faults.cluster.processes import state_of
from tests.faults.cluster.runner_host import RunnerSpec
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

EXAMPLES: Final = ROOT / "examples"
SIGNAL_SECONDS: Final = 5.0
DAYS_PER_BAR: Final = 365.25 / 252  # daily bars
DAY_SECONDS: Final = 86_400.0

# Examples with parameters that state targets soon: a crossover, a ranking, a bare signal, two intervals, a fold.
STRATEGIES: Final = (
    ("sma_cross.py:SmaCross", ("fast=3", "slow=10")),
    ("momentum.py:Momentum", ("lookback=5",)),
    ("reversion.py:Reversion", ()),
    ("weekly_trend.py:WeeklyTrend", ("weeks=2", "days=3")),
    ("sma_cross.py:SmaCross", ("fast=2", "slow=7")),
    ("breakout.py:Breakout", ()),
)


@dataclass(slots=True)
class Runner:
    """Hold one runner's process, and how it was started."""

    spec: RunnerSpec
    strategy_id: str
    pid: int
    may_end: bool = False  # it was killed on purpose

    @property
    def alive(self) -> bool:
        """Tell whether it runs, paused or not."""
        return state_of(self.pid) not in ("", "Z", "X")

    def kill(self) -> None:
        """End it by SIGKILL, and see it dead."""
        self.may_end = True
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive, SIGNAL_SECONDS)

    def pause(self) -> None:
        """Stop it by SIGSTOP, and see it stand still."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(self.pid) == "T", SIGNAL_SECONDS)

    def go_on(self) -> None:
        """Let it run again."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


@dataclass(slots=True)
class Runners:
    """Hold the runners of a cluster."""

    host: subprocess.Popen[str]
    folder: Path
    gateways: tuple[str, ...]
    bars_per_second: float
    running: list[Runner] = field(default_factory=list)

    def start(self, world: str, number: int) -> Runner:
        """Start the runner of a strategy, by its number; it submits the strategy first."""
        strategy, params = STRATEGIES[number % len(STRATEGIES)]
        author = f"author{number // len(STRATEGIES)}{number % len(STRATEGIES)}"
        first = number % len(self.gateways)
        spec = RunnerSpec(
            strategy=str(EXAMPLES / strategy.partition(":")[0]) + ":" + strategy.partition(":")[2],
            params=params,
            world=world,
            author=author,
            gateways=(*self.gateways[first:], *self.gateways[:first]),
            journals=str(self.folder / "journals"),
            log=str(self.folder / "logs" / f"runner-{world}-{author}.log"),
            speed=self.bars_per_second * DAYS_PER_BAR * DAY_SECONDS,
            submits=True,
        )
        runner = Runner(spec, f"{author}/{strategy.partition(':')[2]}", self._fork(spec))
        self.running.append(runner)
        return runner

    def restart(self, runner: Runner) -> None:
        """Start a dead runner again, on its journal."""
        assert not runner.alive
        runner.may_end = False
        runner.pid = self._fork(replace(runner.spec, submits=False))

    def of(self, world: str) -> list[Runner]:
        """Return the runners of a world."""
        return [each for each in self.running if each.spec.world == world]

    def heal(self) -> None:
        """Let every runner run; fail where one ended by itself."""
        for runner in self.running:
            runner.go_on()
            if not runner.alive:
                assert runner.may_end, f"{runner.strategy_id} ended by itself; see {runner.spec.log}"
                self.restart(runner)

    def end(self) -> None:
        """Kill all of them."""
        for runner in self.running:
            with suppress(ProcessLookupError):
                runner.kill()
        self.running.clear()

    def _fork(self, spec: RunnerSpec) -> int:
        assert self.host.stdin is not None
        assert self.host.stdout is not None
        self.host.stdin.write(json.dumps(asdict(spec)) + "\n")
        self.host.stdin.flush()
        return int(self.host.stdout.readline())


@contextmanager
def running_host(folder: Path, gateways: Sequence[str], bars_per_second: float) -> Iterator[Runners]:
    """Yield the means to start runners; all of them end at the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1", "QMTL_STATE_DIR": str(folder)}
    environment["QMTL_TOKEN_FILE"] = str(Layout(folder).user_token)
    command = (sys.executable, "-m", "tests.faults.cluster.runner_host")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as host:
        runners = Runners(host, folder, tuple(gateways), bars_per_second)
        try:
            yield runners
        finally:
            runners.end()
