"""What was provoked, as the table of the document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tests.provoke.attempts import Outcome
from tests.support.alerts import ROOT, rules

PAGE: Final = ROOT / "docs" / "operations" / "index.md"
SECTION: Final = re.compile(r"(<!-- provoked -->\n).*?(<!-- /provoked -->)", re.DOTALL)
HEADER: Final = ("| alert | provoked by | seen | fired after, s |", "| --- | --- | --- | --: |")
ROW: Final = re.compile(r"^\| `(\w+)` \| .* \| .* \| [\d.]+ \|$", re.MULTILINE)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes in the order of the rules, as Markdown."""
    by_alert = {each.alert: each for each in outcomes}
    return "\n".join((*HEADER, *(_row(by_alert[rule["alert"]]) for rule in rules())))


def write(text: str) -> None:
    """Put the table between its markers in the document."""
    written, count = SECTION.subn(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{PAGE.name} must have the markers of what was provoked once, has them {count} times")
    PAGE.write_text(written, encoding="utf-8")


def told() -> list[str]:
    """Return the alerts that the document has a row for."""
    found = SECTION.search(PAGE.read_text(encoding="utf-8"))
    return [] if found is None else ROW.findall(found[0])


def _row(outcome: Outcome) -> str:
    return f"| `{outcome.alert}` | {outcome.how} | {outcome.seen} | {outcome.seconds:.1f} |"
