"""What campaigns found, as tables: by fault, and what broke an invariant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.campaign import Struck
from tests.faults.checker import Violation
from tests.faults.history.facts import History
from tests.faults.strikes import FAULTS
from tests.faults.tally import Tally
from tests.support.pages import write_section

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
HEADER: Final = (
    "| fault | seen, for instance | runs | in phase | ended | slowest, s | fenced |",
    "| --- | --- | --: | --- | --- | --: | --: |",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold one campaign: its seed, the runs that count, what was recorded of each world, and what is wrong with it."""

    seed: int
    struck: Sequence[Struck]
    histories: Sequence[History]
    violations: Sequence[Violation]


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the runs by fault, then totals and seeds, as Markdown."""
    by_fault: dict[str, list[Struck]] = defaultdict(list)
    fenced: Counter[str] = Counter()
    for verdict in verdicts:
        for each in verdict.struck:
            by_fault[each.fault].append(each)
        fenced.update(_fenced(verdict))
    rows = [_row(each.name, by_fault[each.name], fenced[each.name]) for each in FAULTS if each.name in by_fault]
    return "\n".join((*HEADER, *rows, "", _totals(verdicts)))


def write(text: str) -> None:
    """Put the table into the document."""
    write_section(PAGE, "faults", text)


def _row(fault: str, runs: Sequence[Struck], fenced: int) -> str:
    phases = ", ".join(f"{phase} {count}" for phase, count in _counted(each.phase for each in runs))
    ended = "; ".join(f"{how} {count}" for how, count in _counted(each.outcome for each in runs))
    longest = max(each.seconds for each in runs)
    return f"| {fault} | {runs[0].evidence} | {len(runs)} | {phases} | {ended} | {longest:.1f} | {fenced} |"


def _counted(words: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(words).items())


def _fenced(verdict: Verdict) -> Counter[str]:
    """Count the intents that were fenced while a fault struck, by fault: what stands within its part of the stream."""
    counts: Counter[str] = Counter()
    worlds = {history.world: history for history in verdict.histories}
    for each in verdict.struck:
        turned_away = worlds[each.world].turned_away
        counts[each.fault] += sum(
            one.outcome == "fenced" and each.first < one.position <= each.last for one in turned_away
        )
    return counts


def _totals(verdicts: Sequence[Verdict]) -> str:
    struck = [each for verdict in verdicts for each in verdict.struck]
    histories = [each for verdict in verdicts for each in verdict.histories]
    violations = sum(len(each.violations) for each in verdicts)
    seeds = ", ".join(str(each.seed) for each in verdicts)
    return (
        f"{len(struck)} runs that were struck, by seeds {seeds}; before each, at least "
        f"{min(each.rate for each in struck):.0f} intents a second flowed. {Tally.of(histories)}; behind "
        f"{sum(len(each.marks) for each in histories):,} marks. "
        f"Broken invariants: {violations}."
    )
