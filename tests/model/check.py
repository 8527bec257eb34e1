"""Search the model of the apply protocol exhaustively with SPIN: every scope holds, every seeded bug is found.

``make model`` needs ``spin`` and ``gcc`` (Debian: ``apt-get install spin gcc``). It shows one row per scope and bug,
writes them into the page on reliability, and fails where a scope breaks or is not searched to its end, or a bug is not
found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.pages import write_section

MODEL: Final = Path(__file__).with_name("apply.pml")
PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
WORKERS: Final = 2
DEPTH: Final = 100_000  # of the search stack; SPIN says when it was too small
COMPILE: Final = ("gcc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-DMEMLIM=9000", "-o", "pan", "pan.c")


@dataclass(frozen=True, slots=True)
class Scope:
    """Name what may happen in one exhaustive search; ``switches`` are the model's."""

    name: str
    switches: str
    bug: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Hold the end of one search."""

    scope: Scope
    errors: int
    states: int
    depth: int
    seconds: float
    broken: str
    whole: bool


BASE: Final = "RUNS=1 ROLLBACKS=1"
SCOPES: Final = (
    Scope("two runs, two intents per gateway, a gateway killed", "RUNS=2 ROLLBACKS=1 INTENTS=2 CRASHES=1 GATEWAYS=1"),
    Scope("rollback and emergency stop in every phase", f"{BASE} STOPS=1"),
    Scope("rollback, stop and resume in every phase", f"{BASE} STOPS=1 RESUMES=1 GATEWAYS=1"),
    Scope("a lease ends, and the gateway goes on", f"{BASE} LOST=1"),
    Scope("a gateway killed with an intent in flight", f"{BASE} CRASHES=1"),
    Scope("an event lost on its way to a gateway", f"{BASE} GAPS=1"),
    Scope("lease, kill, lost event and stop together", f"{BASE} STOPS=1 LOST=1 CRASHES=1 GAPS=1 GATEWAYS=1"),
    Scope("a mark acknowledged by the broker, and lost", f"{BASE} HOLES=1"),
    Scope("an old mark delivered again, and a stop", f"{BASE} DUPS=1 STOPS=1 GATEWAYS=1"),
    Scope("a second executor instance takes over", f"{BASE} TAKEOVERS=1"),
    Scope("a venue behind the executor, taken over twice, stop", f"{BASE} STOPS=1 TAKEOVERS=2 LIVE=1 GATEWAYS=1"),
    Scope("two coordinators and two relays", "RUNS=1 STOPS=1 COORDINATORS=2 RELAYS=2"),
    Scope("two coordinators and two relays, rolled back", f"{BASE} COORDINATORS=2 RELAYS=2 GATEWAYS=1"),
)
BUGS: Final = (
    Scope("SWITCH without the executor's acknowledgement", BASE, "SKIP_EXECUTOR"),
    Scope("SWITCH without the gateways' acknowledgements", BASE, "SKIP_GATEWAY"),
    Scope("executor ignores a Fence", BASE, "IGNORE_FENCE"),
    Scope("executor opens on a late Open", f"{BASE} DUPS=1 STOPS=1", "LATE_OPEN"),
    Scope("UNFREEZE before Open", BASE, "UNFREEZE_FIRST"),
    Scope("rollback under the same epoch", BASE, "REUSE_EPOCH"),
    Scope("gateway restamps an intent", BASE, "RESTAMP"),
    Scope("gateway applies across a gap", f"{BASE} GAPS=1", "APPLY_GAP"),
    Scope("snapshot ahead of the relay", f"{BASE} CRASHES=1", "SNAPSHOT_AHEAD"),
    Scope("restore without a Fence", BASE, "RESTORE_UNFENCED"),
    Scope("commit on what was read earlier", f"{BASE} COORDINATORS=2", "STALE_COMMIT"),
    Scope("executor without a journal", f"{BASE} CRASHES=1 GATEWAYS=1", "NO_JOURNAL"),
    Scope("successor settles by absence", f"{BASE} TAKEOVERS=1 LIVE=1 GATEWAYS=1", "SETTLE_BY_ABSENCE"),
)


def main() -> int:
    """Run every search and write the page; return the exit code."""
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing:
        print(f"{' and '.join(missing)} not found: apt-get install spin gcc", file=sys.stderr)
        return 1
    started = time.monotonic()
    lines = ["| search | switches | states | depth | seconds | |", "| --- | --- | --: | --: | --: | --- |"]
    print("\n".join(lines), flush=True)
    wrong = 0
    with ThreadPoolExecutor(WORKERS) as threads:
        for found in threads.map(search, (*SCOPES, *BUGS)):
            wrong += not as_it_should(found)
            lines.append(row(found))
            print(lines[-1], flush=True)
    print(f"\n{len(SCOPES)} scopes, {len(BUGS)} seeded bugs, {time.monotonic() - started:.0f} s; {wrong} wrong")
    write_section(PAGE, "model", "\n".join(lines))
    return 1 if wrong else 0


def as_it_should(found: Found) -> bool:
    """Tell whether a scope holds, searched to its end, or a bug was found."""
    return found.errors > 0 if found.scope.bug else found.errors == 0 and found.whole


def row(found: Found) -> str:
    """Return a search as a row of the table."""
    outcome = (
        f"found: `{_cell(found.broken)}`" if found.errors else "holds" if found.whole else "not searched to its end"
    )
    switches = f"{found.scope.switches}{f' BUG_{found.scope.bug}' if found.scope.bug else ''}"
    return (
        f"| {found.scope.name} | `{switches}` | {found.states:,} | {found.depth:,} | {found.seconds:.1f} | {outcome} |"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def search(scope: Scope) -> Found:
    """Generate, compile and run one search."""
    switches = [*scope.switches.split(), *([f"BUG_{scope.bug}"] if scope.bug else [])]
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, "spin", "-a", *(f"-D{each}" for each in switches), str(MODEL))
        _run(folder, *COMPILE)
        started = time.monotonic()
        said = _run(folder, "./pan", f"-m{DEPTH}", "-w24")
        return _read(scope, said, time.monotonic() - started)


def _read(scope: Scope, said: str, seconds: float) -> Found:
    broken = re.search(r"pan:1: (?:assertion violated )?(.*?) \(at depth", said)
    whole = "Search not completed" not in said and "max search depth too small" not in said
    return Found(
        scope=scope,
        errors=int(_number(r"errors: (\d+)", said)),
        states=int(float(_number(r"([\d.e+]+) states, stored", said))),
        depth=int(_number(r"depth reached (\d+)", said)),
        seconds=seconds,
        broken=broken.group(1) if broken else "",
        whole=whole,
    )


def _number(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise SystemExit(f"SPIN ended without an answer:\n{said[-2_000:]}")
    return found.group(1)


def _run(folder: str, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode and command[0] != "./pan":
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
