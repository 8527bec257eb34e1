"""Dashboards: made by the code, each panel with what an operator needs, each metric and each alert on one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from helm.dashboards import generate
from helm.dashboards.alerts import alerts, rules
from helm.dashboards.board import COLUMNS, Board, Section
from helm.dashboards.panels import COLOURS, DOCS, JUST_ABOVE, Unit, series, stat
from tests.support.alerts import INTERVALS, asked, boards, expressions
from tests.support.stack import ROOT

METRICS = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)
COUNTERS = ("_total", "_count", "_bucket", "_sum")
RATES = {"rate", "increase"}
VARIABLE = re.compile(r"\$(\w+)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")

each_board = pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in board["panels"] if each["type"] != "row"]


def parsed(expression: str) -> Any:
    for variable, interval in INTERVALS.items():
        expression = expression.replace(variable, interval)
    return promql.parse(expression)


def bare(part: Any, of: str = "") -> Iterator[str]:
    """Give the counters of an expression that are read otherwise than by their rate."""
    match part:
        case promql.BinaryExpr():
            yield from (*bare(part.lhs), *bare(part.rhs))
        case promql.AggregateExpr() | promql.ParenExpr():
            yield from bare(part.expr)
        case promql.Call():
            for each in part.args:
                yield from bare(each, part.func.name)
        case promql.MatrixSelector():
            yield from bare(part.vector_selector, of)
        case promql.VectorSelector(name=str(name)) if name.endswith(COUNTERS) and of not in RATES:
            yield name


def kept(part: Any) -> set[str] | None:
    """Return the labels that an expression's series have, None for those of the metric."""
    match part:
        case promql.AggregateExpr():
            return set() if part.modifier is None else set(part.modifier.labels)
        case promql.Call() if part.func.name == "histogram_quantile":
            labels = kept(part.args[1])
            return None if labels is None else labels - {"le"}
        case promql.BinaryExpr():
            return kept(part.lhs)
    return None


def test_the_files_are_what_the_code_writes() -> None:
    assert generate.main(["--check"]) == 0


def test_a_file_that_the_code_does_not_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "FOLDER", tmp_path / "boards")
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "boards" / "qmtl-apply.json").write_text("{}")
    (tmp_path / "boards" / "of-former-times.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    assert re.findall(r"boards/(\S+)", capsys.readouterr().err) == ["of-former-times.json", "qmtl-apply.json"]
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_metric_of_the_table_is_on_a_dashboard() -> None:
    text = (ROOT / "docs" / "operations" / "index.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    named = [name for cell in METRICS.findall(text) for name in re.findall(r"`(\w+)", cell)]
    shown = {re.sub("_(bucket|count|sum)$", "", each.metric) for board in boards() for each in every_asked(board)}
    assert len(named) > 20
    assert set(named) - shown == set()


def every_asked(board: dict[str, Any]) -> list[Any]:
    return [each for expr in expressions(board) for each in asked(expr)]


def test_every_alert_is_on_a_dashboard_by_its_metrics_its_limit_and_its_runbook() -> None:
    shown = [panel for board in boards() for panel in panels(board)]
    for rule in rules():
        alert = alerts()[rule["alert"]]
        its = [panel for panel in shown if f"Alert {alert.name} " in panel["description"]]
        wanted = {each.metric for each in asked(rule["expr"])[:1]}
        assert its, alert.name
        for panel in its:
            assert wanted <= {each.metric for each in every_asked(panel)}, panel["title"]
            assert {"title": "Runbook", "url": f"{DOCS}/{alert.runbook[len('docs/') :]}", "targetBlank": True} in panel[
                "links"
            ]
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            if alert.limit is not None:
                assert steps[1:] == [{"color": COLOURS[alert.severity], "value": alert.limit or JUST_ABOVE}]


@each_board
def test_a_board_can_be_found_again_and_asks_the_chosen_prometheus(board: dict[str, Any]) -> None:
    assert board["uid"].startswith("qmtl-")
    assert board["schemaVersion"] >= 39
    assert {each["datasource"]["uid"] for each in panels(board)} == {"${datasource}"}
    assert {each["datasource"]["uid"] for panel in panels(board) for each in panel["targets"]} == {"${datasource}"}
    names = {each["name"] for each in board["templating"]["list"]}
    assert {"datasource", "docs"} <= names
    used = {name for expr in expressions(board["panels"]) for name in VARIABLE.findall(expr)}
    assert used - {each.strip("$") for each in INTERVALS} == names - {"datasource", "docs"}


@each_board
def test_every_panel_says_what_it_shows_in_which_unit(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in set(Unit)
        for link in panel["links"]:
            path = link["url"].removeprefix(f"{DOCS}/").partition("#")[0]
            assert (ROOT / "docs" / path).is_file(), link["url"]


@each_board
def test_counters_and_histograms_are_read_by_their_rates(board: dict[str, Any]) -> None:
    assert [name for expr in expressions(board) for name in bare(parsed(expr))] == []


def test_a_counter_that_is_read_as_it_stands_is_noticed() -> None:
    assert list(bare(parsed("sum(rate(a_total[5m])) + max(b_total) / delta(c_total[1m])"))) == ["b_total", "c_total"]


@each_board
def test_legends_name_labels_that_their_series_have(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            labels = kept(parsed(target["expr"]))
            if panel["type"] != "heatmap" and labels is not None:
                assert set(LEGEND.findall(target["legendFormat"])) == labels, panel["title"]


@each_board
def test_panels_do_not_overlap_and_rows_are_full(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({each["id"] for each in board["panels"]}) == len(board["panels"])
    assert len(taken) == COLUMNS * (1 + max(y for _, y in taken))


def test_panels_that_do_not_fit_go_to_the_next_line_and_a_section_begins_below_the_deepest() -> None:
    tall = series("Tall", "It is tall.", "up", "{{job}}", width=16, height=10)
    small = stat("Small", "It is small.", "count(up)", width=12)
    board = Board("qmtl-x", "X", "X.", (), (Section("One", (tall, small)), Section("Two", (small,))))
    places = [(each["title"], each["gridPos"]["x"], each["gridPos"]["y"]) for each in board.document()["panels"]]
    assert places == [("One", 0, 0), ("Tall", 0, 1), ("Small", 0, 11), ("Two", 0, 15), ("Small", 0, 16)]


def test_an_alert_without_a_limit_draws_none() -> None:
    panel = stat("Down", "It is down.", "count(up == 0)", alert="QmtlServiceDown")
    assert [each["value"] for each in panel.document(1, 0, 0)["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [
        None
    ]
