"""Starts runners, each a process of its own that submits a strategy and then trades it over the world's history.

``python -m tests.faults.cluster.runner_host``: each line of its input is one runner as JSON (``RunnerSpec``); it
answers the process id. All are forked from here, where the libraries are imported once, before any of them has begun a
thread. They end with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_foundation.settings import Address
from qmtl_sdk.cli.loading import load_strategy
from qmtl_sdk.live import run as live
from qmtl_sdk.runner import Runner
from qmtl_sdk.submission import flow

PATIENCE_SECONDS: Final = 900.0  # a strategy may wait long for its turn in the set
LOADED: Final = (live, flow)  # imported for their forks
PR_SET_PDEATHSIG: Final = 1  # of prctl(2)


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """State one runner. ``strategy`` is ``file:Class``, ``params`` ``NAME=VALUE``; ``speed`` is times the clock."""

    strategy: str
    params: tuple[str, ...]
    world: str
    author: str
    gateways: tuple[str, ...]
    journals: str
    log: str
    speed: float
    submits: bool


def main() -> None:
    """Start what is asked for until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they leave no zombies
    for line in sys.stdin:
        spec = RunnerSpec(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            _be(spec)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _be(spec: RunnerSpec) -> None:
    """Be a runner until its bars are over; never return."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _run(spec)
        code = 0
    except BaseException:  # whatever it was, it is this process's end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(spec: RunnerSpec) -> None:
    strategy = load_strategy(spec.strategy, spec.params)
    if spec.submits:
        submitted = Runner.submit(strategy, world=spec.world, author=spec.author, gateway=spec.gateways[0])
        print(f"submitted: {submitted.status} {submitted.violations}", flush=True)
    addresses = [Address.parse(each) for each in spec.gateways]
    result = live.run_replay(
        strategy,
        spec.world,
        spec.author,
        addresses,
        Path(spec.journals),
        speed=spec.speed,
        patience_s=PATIENCE_SECONDS,
    )
    print(f"over: {result.document()}", flush=True)


if __name__ == "__main__":
    main()
