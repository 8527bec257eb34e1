"""What was provoked, as the table of the document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from helm.dashboards.alerts import rules
from tests.provoke.attempts import Outcome
from tests.support.pages import section, write_section
from tests.support.stack import ROOT

PAGE: Final = ROOT / "docs" / "operations" / "index.md"
SECTION: Final = "provoked"
HEADER: Final = ("| alert | provoked by | seen | fired after, s |", "| --- | --- | --- | --: |")
ROW: Final = re.compile(r"^\| `(\w+)` \| .* \| .* \| [\d.]+ \|$", re.MULTILINE)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes in the order of the rules, as Markdown."""
    by_alert = {each.alert: each for each in outcomes}
    return "\n".join((*HEADER, *(_row(by_alert[rule["alert"]]) for rule in rules())))


def write(text: str) -> None:
    """Put the table into the document."""
    write_section(PAGE, SECTION, text)


def told() -> list[str]:
    """Return the alerts that the document has a row for."""
    return ROW.findall(section(PAGE, SECTION))


def _row(outcome: Outcome) -> str:
    return f"| `{outcome.alert}` | {outcome.how} | {outcome.seen} | {outcome.seconds:.1f} |"
