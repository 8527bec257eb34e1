"""The alerting rules, and what the dashboards take of them: the limit that one fires above, how bad, its runbook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "helm" / "qmtl" / "alerts" / "alerts.yaml"


@dataclass(frozen=True, slots=True)
class Alert:
    """Hold one alert. It fires above ``limit``, in the unit of what it compares; None for one that compares otherwise.

    ``lasting`` is for how long, empty for not at all.
    """

    name: str
    severity: str
    limit: float | None
    lasting: str
    runbook: str

    @property
    def sentence(self) -> str:
        """Return what to say of it below a panel."""
        above = "" if self.limit is None else f" above {self.limit:g}"
        lasting = f" for {self.lasting}" if self.lasting else ""
        return f"Alert {self.name} ({self.severity}){above}{lasting}: {self.runbook}."


def rules() -> list[dict[str, Any]]:
    """Return the rules in their order, as they are written."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def alerts() -> Mapping[str, Alert]:
    """Return the alerts by name."""
    return {
        rule["alert"]: Alert(
            rule["alert"],
            rule["labels"]["severity"],
            _limit(promql.parse(rule["expr"])),
            rule.get("for", ""),
            rule["annotations"]["runbook"],
        )
        for rule in rules()
    }


def _limit(part: Any) -> float | None:
    """Return what an expression must be above; None for one that compares otherwise, such as ``absent``."""
    if not isinstance(part, promql.BinaryExpr):
        return None
    if str(part.op) == ">" and isinstance(part.rhs, promql.NumberLiteral):
        return float(part.rhs.val)
    return _limit(part.lhs)
