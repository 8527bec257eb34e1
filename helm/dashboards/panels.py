"""Panels of a dashboard, and how each kind is written as Grafana's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from helm.dashboards.alerts import Alert, alerts

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
DOCS: Final = "${docs}"  # a variable of each dashboard: where the folder docs/ is served
JUST_ABOVE: Final = 1e-9  # a step of Grafana begins at its value, an alert fires above it
COLOURS: Final[Mapping[str, str]] = {"critical": "red", "warning": "orange"}
GREEN: Final = "green"
QUANTILES: Final = (0.5, 0.95, 0.99)


class Unit(StrEnum):
    """Name Grafana's units of what is shown."""

    NUMBER = "short"
    CALLS = "reqps"
    EVENTS = "ops"
    MILLISECONDS = "ms"
    SECONDS = "s"
    SHARE = "percentunit"
    BYTES = "bytes"


class Kind(StrEnum):
    """Name Grafana's panels."""

    STAT = "stat"
    SERIES = "timeseries"
    HEATMAP = "heatmap"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """Ask Prometheus; ``legend`` names each series by its labels, as ``{{label}}``."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Show something. ``alert`` names what fires on it: its limit is drawn, its runbook linked.

    ``page`` is a page of docs/ to link besides; ``states`` the texts and colours of values, for ``Kind.STATES``.
    ``wanted``: a stat is bad below 1. ``most`` is the end of its scale.
    """

    title: str
    says: str
    queries: Sequence[Query]
    unit: Unit = Unit.NUMBER
    kind: Kind = Kind.SERIES
    width: int = 8
    height: int = 8
    alert: str = ""
    page: str = ""
    wanted: bool = False
    stacked: bool = False
    most: float | None = None
    states: Sequence[tuple[float, str, str]] = ()

    def document(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at its place of the grid."""
        return {
            "id": number,
            "type": self.kind.value,
            "title": self.title,
            "description": self._description(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": DATASOURCE,
            "targets": [self._target(place, each) for place, each in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _OPTIONS[self.kind],
            "links": self._links(),
        }

    def _fires(self) -> Alert | None:
        return alerts()[self.alert] if self.alert else None

    def _description(self) -> str:
        alert = self._fires()
        return self.says if alert is None else f"{self.says} {alert.sentence}"

    def _links(self) -> list[dict[str, Any]]:
        alert = self._fires()
        pages = [] if alert is None else [("Runbook", alert.runbook.removeprefix("docs/"))]
        if self.page:
            pages.append(("Documentation", self.page))
        return [{"title": title, "url": f"{DOCS}/{page}", "targetBlank": True} for title, page in pages]

    def _target(self, place: int, query: Query) -> dict[str, Any]:
        is_now = self.kind is Kind.STAT
        return {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": is_now,
            "range": not is_now,
            "format": "heatmap" if self.kind is Kind.HEATMAP else "time_series",
        }

    def _defaults(self) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "unit": self.unit.value,
            "min": 0,
            "color": {"mode": "thresholds" if self.kind in (Kind.STAT, Kind.STATES) else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": self._steps()},
            "mappings": _mappings(self.states),
            "custom": self._custom(),
        }
        if self.most is not None:
            defaults["max"] = self.most
        return defaults

    def _steps(self) -> list[dict[str, Any]]:
        alert = self._fires()
        if self.wanted:
            return [{"color": COLOURS["critical"], "value": None}, {"color": GREEN, "value": 1}]
        steps: list[dict[str, Any]] = [{"color": GREEN, "value": None}]
        if alert is not None and alert.limit is not None:
            steps.append({"color": COLOURS[alert.severity], "value": alert.limit or JUST_ABOVE})
        return steps

    def _custom(self) -> dict[str, Any]:
        if self.kind is not Kind.SERIES:
            return {}
        alert = self._fires()
        has_line = alert is not None and bool(alert.limit)
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if self.stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if has_line else "off"},
        }


_TOOLTIP: Final = {"mode": "multi", "sort": "desc"}
_OPTIONS: Final[Mapping[Kind, dict[str, Any]]] = {
    Kind.STAT: {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
    },
    Kind.SERIES: {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": _TOOLTIP,
    },
    Kind.HEATMAP: {
        "calculate": False,
        "yAxis": {"unit": Unit.MILLISECONDS.value},
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": False},
        "legend": {"show": True},
    },
    Kind.STATES: {
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": _TOOLTIP,
    },
}


def stat(title: str, says: str, expr: str, **stated: Any) -> Panel:
    """Return a number of now."""
    return Panel(title, says, [Query(expr)], **{"kind": Kind.STAT, "width": 4, "height": 4, **stated})


def series(title: str, says: str, expr: str, legend: str, **stated: Any) -> Panel:
    """Return lines over time, of one query."""
    return Panel(title, says, [Query(expr, legend)], **stated)


def quantiles(title: str, says: str, histogram: str, match: str = "", **stated: Any) -> Panel:
    """Return the median, the 95th and the 99th percentile of a histogram."""
    rates = f"sum by (le) (rate({histogram}_bucket{match}[$__rate_interval]))"
    queries = [Query(f"histogram_quantile({each:g}, {rates})", f"p{each * 100:g}") for each in QUANTILES]
    return Panel(title, says, queries, **stated)


def heatmap(title: str, says: str, histogram: str, match: str = "", **stated: Any) -> Panel:
    """Return how often a histogram's values were how large, over time; values in ms."""
    query = Query(f"sum by (le) (increase({histogram}_bucket{match}[$__rate_interval]))", "{{le}}")
    return Panel(title, says, [query], **{"unit": Unit.NUMBER, "kind": Kind.HEATMAP, **stated})


def states(
    title: str, says: str, expr: str, legend: str, values: Sequence[tuple[float, str, str]], **stated: Any
) -> Panel:
    """Return how each series was in which of some states, over time: value, text and colour."""
    return Panel(title, says, [Query(expr, legend)], **{"kind": Kind.STATES, "states": values, **stated})


def _mappings(values: Sequence[tuple[float, str, str]]) -> list[dict[str, Any]]:
    if not values:
        return []
    texts = {
        f"{value:g}": {"text": text, "color": colour, "index": place}
        for place, (value, text, colour) in enumerate(values)
    }
    return [{"type": "value", "options": texts}]
