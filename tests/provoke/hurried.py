"""The rules with every duration in them divided, so that what takes minutes is seen in seconds.

Only ``for:``, ranges and offsets of selectors are divided; what is compared, and with what, stays. When an alert fires
to the second is what ``alerts.test.yaml`` says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

from helm.dashboards.alerts import RULES

SPAN: Final = re.compile(r"(?P<before>\[|\boffset )(?P<span>\w+)")


def hurry(path: Path, factor: int) -> None:
    """Write the rules with durations divided by a factor."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["rules"] = [hurried(rule, factor) for rule in group["rules"]]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def hurried(rule: dict[str, Any], factor: int) -> dict[str, Any]:
    """Return a rule with durations divided by a factor."""
    expr = SPAN.sub(lambda found: found["before"] + _divided(found["span"], factor), rule["expr"])
    lasting = {"for": _divided(rule["for"], factor)} if "for" in rule else {}
    return {**rule, "expr": expr, **lasting}


def _divided(duration: str, factor: int) -> str:
    return f"{promql.parse_duration(duration).total_seconds() * 1_000 / factor:.0f}ms"
