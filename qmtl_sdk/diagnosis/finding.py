"""What was found of one thing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Say how a thing is."""

    OK = "ok"
    WARNING = "warning"  # it works, and will not for long
    FAULT = "fault"


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
    """Return what will be wrong with a thing."""
    return Finding(what, Verdict.WARNING, says, mend)
