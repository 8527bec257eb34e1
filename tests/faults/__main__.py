"""``python -m tests.faults``: strike at least 200 runs, judge what was recorded, write the tables of the document.

Each campaign is a cluster of its own and has every fault once, in an order that its seed draws; the seed also draws
whom a fault strikes and what the runs change. In the first of each three campaigns runs are kept in a phase when they
are struck; in the others the moment is left to chance, where the fault allows it. The same seed is the same schedule,
not the same interleaving.

At last a database is restored behind its streams (``restored.py``), and services are replaced (``rolling.py``;
``--rolling`` for that alone).

``--without WORDS`` takes a guard (``tests/guards``) out of a copy of the code first: the judge must find it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.faults import report, restored, rolling
from tests.faults.campaign import SHORT, WHOLE, Campaign, campaign
from tests.faults.report import Verdict
from tests.faults.strikes import FAULTS, Fault
from tests.guards.check import copy_tracked, is_named
from tests.guards.guards import GUARDS
from tests.support.saying import Say, timed

RUNS: Final = 200
FIRST_SEED: Final = 1
KINDS: Final = 3  # of campaigns, of which the first keeps runs in their phases
BROKEN: Final = 1  # exit code where an invariant was broken


def main(arguments: Sequence[str]) -> int:
    """Run campaigns until enough runs were struck; return 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=0, help=f"runs to strike; default {RUNS}, with --only one campaign")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first campaign; the next has the next")
    parser.add_argument("--only", metavar="WORDS", default="", help="faults whose name has these words")
    parser.add_argument("--short", action="store_true", help="15 runners in place of 30; of --rolling one round")
    parser.add_argument("--without", metavar="WORDS", default="", help="take the guard of these words out first")
    parser.add_argument("--rolling", action="store_true", help="replace services under load, and nothing else")
    given = parser.parse_args(arguments)
    faults = [each for each in FAULTS if given.only in each.name]
    if not faults:
        parser.error(f"no fault is named {given.only!r}; there are: {'; '.join(each.name for each in FAULTS)}")
    if given.without:
        return without(given.without, given)
    say = timed(time.monotonic())
    if given.rolling:
        return _roll(given, say)
    wanted = given.runs or (1 if given.only else RUNS)
    verdicts = struck(faults, wanted, given, say)
    text = report.table(verdicts)
    print(text, flush=True)
    if not (given.only or given.runs or given.short):  # the page holds the whole
        report.write(text)
        report.write(f"{text}\n\n{restored.run(given.seed, say)}")
        if _roll(given, say):
            return BROKEN
    return BROKEN if any(each.violations for each in verdicts) else 0


def _roll(given: argparse.Namespace, say: Say) -> int:
    rolled = rolling.run(given.seed, say, short=given.short)
    text = rolling.table(rolled)
    print(text, flush=True)
    if not given.short:
        rolling.write(text)
    return BROKEN if any(each.violations or each.load.errors() for each in rolled) else 0


def struck(faults: Sequence[Fault], wanted: int, given: argparse.Namespace, say: Say) -> list[Verdict]:
    """Run campaigns until so many runs were struck, and return what came of each."""
    verdicts: list[Verdict] = []
    while sum(len(each.struck) for each in verdicts) < wanted:
        seed, moving = given.seed + len(verdicts), len(verdicts) % KINDS != 0
        with campaign(seed, SHORT if given.short else WHOLE, say) as found:
            say(f"campaign of seed {seed}: all trade")
            for fault in random.Random(seed).sample(faults, len(faults)):  # noqa: S311  # a schedule is no secret
                found.strike(fault, moving=moving and fault.moves)
            verdicts.append(judge(found))
        for violation in verdicts[-1].violations:
            say(f"seed {seed}: {violation}")
    return verdicts


def judge(found: Campaign) -> Verdict:
    """Let trading end, and return what was recorded and what is wrong with it."""
    found.await_flow()
    found.stop_trading()
    judged = found.judged()
    violations = [each for _, broken in judged.values() for each in broken]
    return Verdict(found.seed, tuple(found.struck), tuple(history for history, _ in judged.values()), violations)


def without(words: str, given: argparse.Namespace) -> int:
    """Strike in a copy of the code that lacks one guard; return 0 when the judge finds what it let through."""
    guards = [each for each in GUARDS if is_named(each, words)]
    if len(guards) != 1:
        print(f"{words!r} names {len(guards)} guards; name one by its words", file=sys.stderr)
        return 2
    (guard,) = guards
    with tempfile.TemporaryDirectory(prefix="qmtl-without-") as folder:
        copy = Path(folder)
        copy_tracked(copy)
        path = copy / guard.file
        path.write_text(guard.removed(path.read_text()))
        command = (sys.executable, "-m", "tests.faults", "--short", "--seed", str(given.seed), "--only", given.only)
        ended = subprocess.run(command, cwd=copy, check=False)
    found = ended.returncode == BROKEN
    print(f"without {guard.what!r} ({guard.invariant}): {'found' if found else 'NOT FOUND'}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
