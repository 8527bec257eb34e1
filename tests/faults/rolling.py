"""Every service replaced, one after the other, as a rolling update does: SIGTERM, a new start, its health, the next.

Before that the schemas are migrated under all of them, by a revision that a later release might have.

Meanwhile runners trade, authors submit by the SDK, and an operator applies sets in every world. No caller may be told
an error, every run ends, every accepted intent is executed or fenced, and the judge of all faults finds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.faults.campaign import SHORT, SMALL, Campaign, campaign
from tests.faults.checker import Violation
from tests.faults.cluster.cluster import PROCESSES
from tests.faults.history.facts import History
from tests.faults.load import Load, counted, loaded
from tests.faults.tally import Tally
from tests.support.pages import write_section
from tests.support.saying import Say
from tests.upgrades.later import migrate_later

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
CLUSTERS: Final = 2
ROUNDS: Final = 3
KINDS: Final = {"dagmgr": "DAG manager", "world": "world service", "gateway": "gateway", "executor": "executor"}
HEADER: Final = ("| service | of | replaced | serves again after, s | slowest, s |", "| --- | --: | --: | --: | --: |")

TOTALS: Final = (
    "{rounds} rounds in {clusters} clusters, at least {rate:.0f} intents a second before and after each round. "
    "{submitted:,} submissions, the slowest after {submitted_s:.1f} s; {applied:,} runs: {how}, the slowest after "
    "{applied_s:.1f} s; {errors} errors told to callers. {tally}. Broken invariants: {violations}."
)


@dataclass(slots=True)
class Rolled:
    """Hold what came of some rounds: seconds until each start served, what callers were told, what was judged."""

    rounds: int
    load: Load
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rates: list[float] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    histories: Sequence[History] = ()


def run(seed: int, say: Say, *, short: bool = False) -> list[Rolled]:
    """Roll clusters of some seeds, one small one where it is to be short, and return what came of it."""
    rolled = []
    for each in range(seed, seed + (1 if short else CLUSTERS)):
        with campaign(each, SMALL if short else SHORT, say) as found:
            say(f"rolling restarts of seed {each}: all trade")
            migrate_later(found.cluster.dsn)
            rolled.append(roll(found, 1 if short else ROUNDS, say))
        for violation in rolled[-1].violations:
            say(f"seed {each}: {violation}")
        for error in rolled[-1].load.errors():
            say(f"seed {each}: {error}")
    return rolled


def roll(found: Campaign, rounds: int, say: Say) -> Rolled:
    """Replace every process so many times under load, then let trading end and judge."""
    with loaded(found.scene) as load:
        rolled = Rolled(rounds, load)
        for number in range(rounds):
            rolled.rates.append(found.await_flow())
            for name in PROCESSES:
                rolled.seconds[name].append(found.cluster.processes[name].replace())
            took = sum(each[-1] for each in rolled.seconds.values())
            say(f"round {number + 1}: {took:.0f} s; {counted(load.applied)}")
        rolled.rates.append(found.await_flow())
    found.rest()
    found.stop_trading()
    judged = found.judged().values()
    rolled.violations += [each for _, violations in judged for each in violations]
    rolled.histories = [history for history, _ in judged]
    return rolled


def table(rolled: Sequence[Rolled]) -> str:
    """Return the replacements by service, then totals, as Markdown."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for each in rolled:
        for name, found in each.seconds.items():
            seconds[name.partition("-")[0]] += found
    replicas = [name.partition("-")[0] for name in PROCESSES]
    rows = [
        f"| {title} | {replicas.count(kind)} | {len(seconds[kind])} | {median(seconds[kind]):.1f} | "
        f"{max(seconds[kind]):.1f} |"
        for kind, title in KINDS.items()
    ]
    return "\n".join((*HEADER, *rows, "", _totals(rolled)))


def write(text: str) -> None:
    """Put the table between its markers in the document."""
    write_section(PAGE, "rolling", text)


def _totals(rolled: Sequence[Rolled]) -> str:
    submitted = [one for each in rolled for one in each.load.submitted]
    applied = [one for each in rolled for one in each.load.applied]
    rates = [rate for each in rolled for rate in each.rates]
    fields: dict[str, Any] = {
        "rounds": sum(each.rounds for each in rolled),
        "clusters": len(rolled),
        "rate": min(rates),
        "submitted": len(submitted),
        "submitted_s": max(each.seconds for each in submitted),
        "applied": len(applied),
        "how": counted(applied),
        "applied_s": max(each.seconds for each in applied),
        "errors": sum(len(each.load.errors()) for each in rolled),
        "tally": Tally.of(history for each in rolled for history in each.histories),
        "violations": sum(len(each.violations) for each in rolled),
    }
    return TOTALS.format(**fields)
