"""What a proof says: passed or failed, how much was checked, and each finding with node, bar and symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qmtl_foundation.identity import Json


class FindingKind(StrEnum):
    """Name what a proof can find."""

    LOOK_AHEAD = "look_ahead"
    WARM_UP_TOO_SHORT = "warm_up_too_short"
    NOT_DETERMINISTIC = "not_deterministic"
    NOT_RESUMABLE = "not_resumable"


class ProofStatus(StrEnum):
    """Say how a proof ended; UNPROVEN where there is no code to prove, as of returns that an author states."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one finding: the earliest checked bar (its close, RFC 3339 UTC) and symbol that show it.

    ``expected`` is the value in the whole history, ``got`` the value from what the node may know; "null" is unknown.
    """

    kind: FindingKind
    node: str
    node_id: str
    bar: str
    symbol: str
    expected: str
    got: str
    message: str

    def canonical(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {field: str(getattr(self, field)) for field in self.__slots__}

    @classmethod
    def parsed(cls, plain: Mapping[str, Any]) -> Finding:
        """Read the JSON form; raise KeyError or ValueError where it is none."""
        texts = {field: str(plain[field]) for field in cls.__slots__ if field != "kind"}
        return cls(kind=FindingKind(plain["kind"]), **texts)


@dataclass(frozen=True, slots=True)
class Proof:
    """Hold the proof of one node. ``bars_total`` counts the bars that have a whole window.

    ``bars_at_a_tie`` counts checked bars whose value hangs on the last bits of accumulated rounding; such a value is
    not a finding.
    """

    node_id: str
    name: str
    status: ProofStatus
    findings: tuple[Finding, ...]
    bars_checked: int
    bars_total: int
    bars_at_a_tie: int = 0

    @property
    def coverage(self) -> float:
        """Return the share of bars that were checked, in [0, 1]."""
        return self.bars_checked / self.bars_total if self.bars_total else 1.0

    def canonical(self) -> dict[str, Json]:
        """Return the JSON form."""
        plain: dict[str, Json] = {field: getattr(self, field) for field in self.__slots__}
        return plain | {"status": self.status.value, "findings": [finding.canonical() for finding in self.findings]}

    @classmethod
    def parsed(cls, plain: Mapping[str, Any]) -> Proof:
        """Read the JSON form; raise KeyError, TypeError or ValueError where it is none."""
        findings = tuple(Finding.parsed(finding) for finding in plain["findings"])
        return cls(**{**plain, "status": ProofStatus(plain["status"]), "findings": findings})


@dataclass(frozen=True, slots=True)
class Budget:
    """Limit the evaluations of one node's proof, each of one bar of one symbol (of all symbols in a cross-section).

    ``calls`` limits calls of the author's function, ``stacked`` windows of an expression that are evaluated at once.
    """

    calls: int = 20_000
    stacked: int = 400_000
