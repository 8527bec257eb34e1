"""The dashboards as data, and what their and the alerts' expressions ask of the services' metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import promql_parser as promql

from helm.dashboards.alerts import rules
from helm.dashboards.generate import FOLDER

VARIABLE: Final = re.compile(r"^\$\w+$")  # as a label's value: whatever the reader of a dashboard chooses
INTERVALS: Final = {"$__rate_interval": "1m", "$__range": "1h"}
FILTERS: Final = frozenset({"and", "unless"})
LABEL_VALUES: Final = re.compile(r"^label_values\((.+), (\w+)\)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """Name a metric that an expression selects, the labels that it matches or groups by, and the values it names, each
    as a pattern."""

    metric: str
    labels: frozenset[str]
    values: frozenset[tuple[str, str]]


def boards() -> list[dict[str, Any]]:
    """Return the dashboards as Grafana reads them."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def expressions(part: Any) -> list[str]:
    """Return every expression of a dashboard, or of a part of one."""
    if isinstance(part, list):
        return [found for each in part for found in expressions(each)]
    if not isinstance(part, dict):
        return []
    own = [part["expr"]] if "expr" in part else []
    return own + [found for each in part.values() for found in expressions(each)]


def asked_by_alerts() -> list[Asked]:
    """Return what the rules ask for."""
    return [each for rule in rules() for each in asked(rule["expr"])]


def asked_by_boards() -> dict[str, list[Asked]]:
    """Return what each dashboard asks for, its variables too, by its uid."""
    return {
        board["uid"]: [each for expr in expressions(board) for each in asked(expr)]
        + [each for variable in board["templating"]["list"] for each in _asked_by_variable(variable)]
        for board in boards()
    }


def asked(expression: str) -> list[Asked]:
    """Return what an expression asks for. Raises ValueError where it is no PromQL."""
    for variable, interval in INTERVALS.items():
        expression = expression.replace(variable, interval)
    return list(_asked(promql.parse(expression), frozenset()))


def _asked_by_variable(variable: dict[str, Any]) -> list[Asked]:
    if variable["type"] != "query":
        return []
    found = LABEL_VALUES.match(variable["definition"])
    assert found is not None, f"{variable['definition']} asks for something else than the values of a label"
    return [Asked(each.metric, each.labels | {found[2]}, each.values) for each in asked(found[1])]


def _asked(part: Any, grouped: frozenset[str]) -> Iterator[Asked]:
    match part:
        case promql.BinaryExpr():
            matched = _matched(part)
            yield from _asked(part.lhs, grouped | matched)
            # Of a filter's right side nothing is seen but the labels that it is matched by.
            yield from _asked(part.rhs, matched if str(part.op) in FILTERS else grouped | matched)
        case promql.AggregateExpr():
            labels = () if part.modifier is None else part.modifier.labels
            yield from _asked(part.expr, grouped | frozenset(labels))
        case promql.Call():
            for each in part.args:
                yield from _asked(each, grouped)
        case promql.ParenExpr():
            yield from _asked(part.expr, grouped)
        case promql.MatrixSelector():
            yield from _asked(part.vector_selector, grouped)
        case promql.VectorSelector():
            assert part.name is not None, "a selector names its metric"
            matchers = part.matchers.matchers
            values = {(each.name, value) for each in matchers for value in _values(each)}
            yield Asked(part.name, grouped | {each.name for each in matchers}, frozenset(values))
        case promql.NumberLiteral():
            return
        case _:
            raise ValueError(f"{type(part).__name__} is not followed to its metrics")


def _matched(part: Any) -> frozenset[str]:
    """Return the labels that a binary expression matches its sides ``on``."""
    matching = None if part.modifier is None else part.modifier.matching
    if matching is None or matching.type != promql.LabelModifierType.Include:
        return frozenset()
    return frozenset(matching.labels)


def _values(matcher: Any) -> list[str]:
    """Return the values of a matcher as patterns, each alternative of ``=~`` for itself; those too that it leaves
    out."""
    if VARIABLE.match(matcher.value):
        return []
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return [re.escape(matcher.value)]
    found: list[str] = matcher.value.split("|")
    return found
