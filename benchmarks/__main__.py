"""Run the benchmarks: ``python -m benchmarks`` all of them, ``python -m benchmarks NAME…`` some.

Each is imported when its turn comes, in a process of its own: what one loads or compiles must not weigh on the next.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from benchmarks import report
from benchmarks.measure import Amounts, Findings

NAMES: Final = (
    "backtest",
    "live",
    "statistics",
    "proofs",
    "starts",
    "control_plane",
    "protection",
    "orders",
    "apply",
    "sizing",
)


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks and write their tables; return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # this process is a benchmark's own
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    if given.here:
        _run(given.names[0])
        return 0
    report.write(report.MACHINE, report.machine())
    failed = [name for name in given.names or NAMES if not _apart(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _apart(name: str) -> bool:
    began = time.perf_counter()
    print(f"\n{name}", flush=True)
    ended = subprocess.run((sys.executable, "-m", "benchmarks", name, "--here"), check=False)
    print(f"({time.perf_counter() - began:.0f} s)", flush=True)
    return ended.returncode == 0


def _run(name: str) -> None:
    found: Findings | Amounts = import_module(f"benchmarks.{name}").run()
    text = report.table(found)
    print(text)
    report.write(name, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
