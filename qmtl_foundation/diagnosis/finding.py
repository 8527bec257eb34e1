"""What was found of one thing, and the one form in which it is told: as a document, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from qmtl_foundation.terminal import folded_table

if TYPE_CHECKING:
    from rich.console import RenderableType


class Verdict(StrEnum):
    """Say how a thing is."""

    OK = "ok"
    WARNING = "warning"  # it works, and will not for long
    FAULT = "fault"


STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold how a thing is, in one sentence, and how it is mended where it is not well."""

    what: str
    verdict: Verdict
    says: str
    mend: str = ""


def ok(what: str, says: str) -> Finding:
    """Return that a thing is well."""
    return Finding(what, Verdict.OK, says)


def fault(what: str, says: str, mend: str) -> Finding:
    """Return what is wrong with a thing."""
    return Finding(what, Verdict.FAULT, says, mend)


def warning(what: str, says: str, mend: str) -> Finding:
    """Return what will be wrong with a thing, or is not as it was meant."""
    return Finding(what, Verdict.WARNING, says, mend)


def has_fault(found: Sequence[Finding]) -> bool:
    """Tell whether anything is wrong."""
    return any(each.verdict is Verdict.FAULT for each in found)


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as a JSON object."""
    return {
        "findings": [
            {"what": each.what, "verdict": each.verdict.value, "says": each.says, "mend": each.mend} for each in found
        ]
    }


def parsed(stated: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of a ``document``. Raises KeyError, TypeError or ValueError for what is none."""
    return [
        Finding(str(each["what"]), Verdict(each["verdict"]), str(each["says"]), str(each["mend"]))
        for each in stated["findings"]
    ]


def table(found: Sequence[Finding]) -> RenderableType:
    """Return findings as people read them."""
    from rich.text import Text

    shown = folded_table(("", "verdict", "found", "mend"))
    for each in found:
        shown.add_row(Text(each.what), Text(each.verdict, STYLES[each.verdict]), Text(each.says), Text(each.mend))
    return shown
