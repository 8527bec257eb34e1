"""The alerting rules as data, and what their expressions ask of the services' metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import promql_parser as promql
import yaml

from tests.support.stack import ROOT

__all__ = ["ROOT", "RULES", "Asked", "asked", "rules"]

RULES: Final = ROOT / "deploy" / "prometheus" / "alerts.yaml"


@dataclass(frozen=True, slots=True)
class Asked:
    """Name a metric that an expression selects, the labels that it matches or groups by, and the values it names."""

    metric: str
    labels: frozenset[str]
    values: frozenset[tuple[str, str]]


def rules() -> list[dict[str, Any]]:
    """Return the rules in their order."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def asked(expression: str) -> list[Asked]:
    """Return what an expression asks for. Raises ValueError where it is no PromQL."""
    return list(_asked(promql.parse(expression), frozenset()))


def _asked(part: Any, grouped: frozenset[str]) -> Iterator[Asked]:
    match part:
        case promql.BinaryExpr():
            yield from _asked(part.lhs, grouped)
            yield from _asked(part.rhs, grouped)
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
            matchers = part.matchers.matchers
            values = {(each.name, value) for each in matchers for value in _values(each)}
            yield Asked(part.name, grouped | {each.name for each in matchers}, frozenset(values))
        case promql.NumberLiteral():
            return
        case _:
            raise ValueError(f"{type(part).__name__} is not followed to its metrics")


def _values(matcher: Any) -> list[str]:
    """Return the values of a matcher of the form ``=`` or ``=~`` of alternatives, and those that others leave out."""
    found: list[str] = matcher.value.split("|")
    return found
