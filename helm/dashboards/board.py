"""A dashboard: sections of panels laid out in rows, the variables that they share, and its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from helm.dashboards.panels import DATASOURCE, Panel

SCHEMA_VERSION: Final = 39  # of Grafana 10.4; later ones read it and bring it up to date themselves
COLUMNS: Final = 24
TAG: Final = "qmtl"
DOCS_URL: Final = "https://docs.example/qmtl"
ALL: Final = ".*"  # what matches series without the label too


@dataclass(frozen=True, slots=True)
class Variable:
    """Let the reader choose among the values of a label, one, some or all."""

    name: str
    label: str
    metric: str

    def document(self) -> dict[str, Any]:
        """Return the variable; it is asked for anew when the time range changes."""
        query = f"label_values({self.metric}, {self.name})"
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": "A"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ALL,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "hide": 0,
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Hold panels under one title, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """Hold one dashboard; ``uid`` is what links to it name, and stays."""

    uid: str
    title: str
    says: str
    variables: Sequence[Variable]
    sections: Sequence[Section]

    def document(self) -> dict[str, Any]:
        """Return the dashboard as Grafana reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": "now-3h", "to": "now"},
            "refresh": "30s",
            "annotations": {"list": [_ALERTS]},
            "links": [_OTHERS],
            "templating": {"list": [_SOURCE, *(each.document() for each in self.variables), _DOCS]},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[dict[str, Any]]:
        number, top = 0, 0
        for section in self.sections:
            number += 1
            yield _row(number, section.title, top)
            x, y, deepest = 0, top + 1, 0
            for panel in section.panels:
                if x + panel.width > COLUMNS:
                    x, y, deepest = 0, y + deepest, 0
                number += 1
                yield panel.document(number, x, y)
                x, deepest = x + panel.width, max(deepest, panel.height)
            top = y + deepest


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


_SOURCE: Final = {
    "type": "datasource",
    "name": "datasource",
    "label": "Prometheus",
    "query": "prometheus",
    "regex": "",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "current": {},
    "options": [],
    "hide": 0,
}
_DOCS: Final = {
    "type": "textbox",
    "name": "docs",
    "label": "Docs at",
    "description": "Where the folder docs/ of this version is served; links to runbooks lead there.",
    "query": DOCS_URL,
    "current": {"selected": True, "text": DOCS_URL, "value": DOCS_URL},
    "options": [{"selected": True, "text": DOCS_URL, "value": DOCS_URL}],
    "hide": 0,
}
_ALERTS: Final = {
    "name": "Alerts",
    "datasource": DATASOURCE,
    "enable": True,
    "hide": False,
    "iconColor": "red",
    "expr": 'ALERTS{alertname=~"Qmtl.*",alertstate="firing"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}} {{world}} {{reason}}",
    "step": "30s",
    "useValueForTime": False,
}
_OTHERS: Final = {
    "type": "dashboards",
    "title": "QMTL",
    "tags": [TAG],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}
