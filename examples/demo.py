"""The demo: a local stack, a world with a policy, six strategies on real prices, and what the world made of them.

``python examples/demo.py [REPORT]`` writes an HTML report (default ``demo-report.html``) and stops what it started.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from breakout import Breakout
from clairvoyant import Clairvoyant
from momentum import Momentum
from reversion import Reversion
from rich.console import Console
from sma_cross import SmaCross
from vol_target import VolTarget

from qmtl_sdk import Runner
from qmtl_sdk.cli.main import run as qmtl
from qmtl_sdk.local import stack

WORLD = "equity_trend_1d"
STRATEGIES = (SmaCross, Momentum, VolTarget, Breakout, Reversion, Clairvoyant)

console = Console()


def main(report: Path) -> None:
    """Run the whole loop in a directory of its own."""
    began = time.perf_counter()
    # Not in the checkout: as root, PostgreSQL's own account must be able to pass through the folder.
    with tempfile.TemporaryDirectory(prefix="qmtl-demo-") as folder:
        os.environ |= {"QMTL_STATE_DIR": folder, "QMTL_AUTHOR": "demo"}
        try:
            call("up")
            policy = Path(__file__).with_name("policy.yaml")
            call("world", "create", WORLD, "--preset", "sample_us_equity_1d", "--mode", "paper",
                 "--share-policy", "world", "--slippage-bp", "2", "--fee-bp", "1", "--policy", str(policy))  # fmt: skip
            for strategy in STRATEGIES:
                result = Runner.submit(strategy, world=WORLD)
                why = result.violations[0].message if result.violations else "every rule passed"
                console.print(f"[bold]{strategy.__name__:<12}[/] {result.status:<9} {why}", highlight=False)
            call("world", "status", WORLD)
            call("world", "report", WORLD, "--html", str(report))
        finally:
            stack.down(Path(folder))
    console.print(f"\nDone in {time.perf_counter() - began:.1f} s. Report: {report}")


def call(*arguments: str) -> None:
    """Run one `qmtl` command, and show it."""
    console.print(f"\n[dim]$ qmtl {' '.join(arguments)}[/]", highlight=False)
    code = qmtl(list(arguments))
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-report.html").resolve())
