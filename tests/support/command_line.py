"""What the command line's tests have in common: how a command ended, a strategy that passes, policies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
