"""``python -m tests.faults``: strike at least 200 runs, judge what was recorded, write the table of the document.

Each campaign is a cluster of its own, and has every fault once, in an order that its seed draws; seeds also draw whom a
fault strikes, when, and what the runs change.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from typing import Final

from tests.faults import report, restored
from tests.faults.campaign import WHOLE, Campaign, campaign
from tests.faults.report import Verdict
from tests.faults.strikes import FAULTS, Fault

RUNS: Final = 200
FIRST_SEED: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Run campaigns until enough runs were struck; return 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many runs must be struck; default {RUNS}")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first campaign; the next has the next")
    parser.add_argument("--only", metavar="WORDS", default="", help="faults whose name has these words")
    given = parser.parse_args(arguments)
    faults = [each for each in FAULTS if given.only in each.name]
    if not faults:
        parser.error(f"no fault is named {given.only!r}; there are: {'; '.join(each.name for each in FAULTS)}")
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    verdicts: list[Verdict] = []
    while sum(len(each.struck) for each in verdicts) < given.runs:
        seed = given.seed + len(verdicts)
        with campaign(seed, WHOLE, say) as found:
            say(f"campaign of seed {seed}: all trade")
            verdicts.append(strike_all(found, faults))
        for violation in verdicts[-1].violations:
            say(f"seed {seed}: {violation}")
    text = report.table(verdicts)
    print(text)
    if not given.only:
        lines = restored.run(given.seed, say)
        text = f"{text}\n\n{lines}"
        report.write(text)
    return int(any(each.violations for each in verdicts))


def strike_all(found: Campaign, faults: Sequence[Fault]) -> Verdict:
    """Let each fault strike once, in an order of the seed's, and judge what was recorded."""
    for fault in random.Random(found.seed).sample(faults, len(faults)):  # noqa: S311  # a schedule is no secret
        found.strike(fault)
    return judge(found)


def judge(found: Campaign) -> Verdict:
    """Let trading end, and return what was recorded and what is wrong with it."""
    found.stop_trading()
    judged = found.judged()
    violations = [each for _, broken in judged.values() for each in broken]
    return Verdict(found.seed, tuple(found.struck), tuple(history for history, _ in judged.values()), violations)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
