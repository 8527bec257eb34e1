"""What the command line's tests have in common: how a command ended, a strategy that passes, policies."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from tests.support.stack import ROOT

QMTL = (sys.executable, "-m", "qmtl_sdk.cli")
END_SECONDS = 120.0

STRATEGY = """\
from qmtl_sdk import Strategy, long_only

class Trend(Strategy):
    fast: int = 20
    slow: int = 200

    def setup(self):
        close = self.bars()["close"]
        self.target(long_only(close.rolling_mean(self.fast) > close.rolling_mean(self.slow)))
"""
POLICY = 'gates: [{name: sharpe, rule: "metrics.sharpe >= 0.3"}]\nselect: {top_k: 3}\n'
STRICT_POLICY = 'gates: [{name: sharpe, rule: "metrics.sharpe >= 99.0"}]\nselect: {top_k: 3}\n'

# What a submission's JSON has, in this order; programs rely on it.
RESULT_FIELDS = (
    *("strategy_id", "version", "world", "status", "decision", "activation", "metrics", "contribution", "violations"),
    *("allocations", "precheck", "downgraded", "downgrade_reason", "safe_mode", "dataset_fingerprint", "eval_key"),
    *("nodes", "timings_ms"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold how a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return stdout, which is exactly one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Return the error, the one JSON document on stderr."""
        assert self.out == ""
        return json.loads(self.err)["error"]


Qmtl = Callable[..., Ended]


def run_qmtl(environment: Mapping[str, str], *arguments: str, directory: Path = ROOT, stdin: int = DEVNULL) -> Ended:
    """Run one command line in a process of its own."""
    ended = subprocess.run(
        (*QMTL, *arguments),
        env=environment,
        cwd=directory,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def on_terminal(typed: str, environment: Mapping[str, str], *arguments: str) -> Ended:
    """Run one command line in a process of its own, whose input is a terminal on which something was typed."""
    terminal, stdin = pty.openpty()
    try:
        os.write(terminal, typed.encode())
        return run_qmtl(environment, *arguments, stdin=stdin)
    finally:
        os.close(terminal)
        os.close(stdin)
