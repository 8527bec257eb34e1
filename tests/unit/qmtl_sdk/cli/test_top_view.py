"""What people and programs see of ``qmtl top``."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from helm.dashboards.alerts import alerts
from qmtl_foundation.settings import Address
from qmtl_sdk.cli.top_documents import view_document
from qmtl_sdk.cli.top_view import HEADINGS, LAG_SECONDS, TopBoard, TopView, shown_views
from qmtl_sdk.report.figures import ABSENT
from qmtl_sdk.top.desk import Desk, Gates, RunRow, WorldRow, WorldState, state_of
from qmtl_sdk.top.figures import NAMES, NO_SOURCES, Reading, Source
from qmtl_sdk.top.watch import View
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
AT = 100.0  # monotonic seconds of now
GATEWAY = (
    Source("gateway", "http://g/metrics", 0.0)
    .read(Reading(AT - 2.0, {("orders_accepted_total", ()): 0.0, ("runner_sessions", ()): 0.0}))
    .read(Reading(AT, {("orders_accepted_total", ()): 25.0, ("runner_sessions", ()): 1_234.0}))
)
EXECUTOR = Source("executor", "http://e/metrics", 0.0).read(Reading(AT - 70.0, {("orders_fenced_total", ()): 3.0}))
TRADING = WorldRow("demo", "paper", WorldState.TRADING, 7, Gates.OPEN, 3, (), "")
HELD = WorldRow("zoo", "live", WorldState.HELD, 9, Gates.CLOSED, 1, ("operator", "stream_astray"), "it is held")
RUN = RunRow("demo", "r1", "freezing", 8, ("executor paper",), NOON - timedelta(seconds=42), None)
VIEW = View(Address("127.0.0.1", 9000), Desk((TRADING, HELD), (RUN,)), AT - 1.0, "", (GATEWAY,))


def drawn(view: View, width: int = 140, height: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(TopView(view, height, lambda: NOON, lambda: AT))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line_of(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(word))


def test_view_has_rates_runs_and_worlds() -> None:
    text = drawn(VIEW)
    assert "sessions 1,234" in text
    assert "accepted/s 12.5" in text
    assert line_of(text, "demo     r1").split() == ["demo", "r1", "8", "freezing", "42", "s", "executor", "paper"]
    assert line_of(text, "zoo").split() == [
        *("zoo", "live", "held", "9", "closed", "1", "operator,", "stream_astray", "it", "is", "held"),
    ]


def test_an_outbox_lag_is_red_above_the_limit_of_its_alert() -> None:
    assert alerts()["QmtlOutboxLag"].limit == LAG_SECONDS


def test_what_is_held_comes_first() -> None:
    text = drawn(replace(VIEW, desk=replace(VIEW.desk, runs=())))
    assert text.index("zoo") < text.index("demo")


def test_what_nobody_exposes_is_not_0() -> None:
    text = drawn(VIEW)
    assert f"fenced/s {ABSENT}" in text
    assert "fenced/s 0" not in text


def test_without_sources_the_figures_say_why_they_are_not_known() -> None:
    text = drawn(replace(VIEW, sources=()))
    assert NO_SOURCES in text
    assert not any(f"{HEADINGS[name]} 0" in text for name in NAMES)


def test_a_source_that_is_away_is_told_with_its_age_and_never_as_0() -> None:
    away = EXECUTOR.failed("Connection refused")
    text = drawn(replace(VIEW, sources=(GATEWAY, away)))
    assert "last read 70 s ago: Connection refused" in line_of(text, "executor")
    assert "0.0" not in line_of(text, "executor")
    assert "not all is known without executor" in text
    assert "sessions 1,234" in text
    never = Source("exchange", "http://w/metrics", AT - 5.0).failed("Connection refused")
    assert "never read: Connection refused" in line_of(drawn(replace(VIEW, sources=(never,))), "exchange")


def test_a_reading_that_is_old_says_so() -> None:
    assert "70 s ago" in line_of(drawn(replace(VIEW, sources=(EXECUTOR,))), "executor")
    assert "worlds as of 30 s ago" in drawn(replace(VIEW, desk_at=AT - 30.0))


def test_a_gateway_that_is_away_is_told_and_the_worlds_stay_with_their_age() -> None:
    text = drawn(replace(VIEW, failure="the gateway does not answer", desk_at=AT - 8.0))
    assert "the gateway does not answer; worlds as of 8 s ago" in text
    assert "demo" in text
    assert "nothing is known yet" in drawn(replace(VIEW, failure="away", desk_at=None, desk=Desk()))


def test_no_worlds_and_no_runs_are_said_once_they_are_known() -> None:
    text = drawn(replace(VIEW, desk=Desk()))
    assert "no run under way" in text
    assert "no worlds" in text
    assert "no worlds" not in drawn(replace(VIEW, desk=Desk(), desk_at=None))


@pytest.mark.parametrize("width", [24, 40, 60, 80, 99, 100, 200])
def test_any_width_has_every_world_its_state_and_every_figure(width: int) -> None:
    text = drawn(VIEW, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("demo", "zoo", *(HEADINGS[name] for name in NAMES)):
        assert word in text


def test_a_low_terminal_shows_what_needs_somebody_and_counts_the_rest() -> None:
    many = Desk((HELD, *(replace(TRADING, name=f"w{number:03}") for number in range(50))), (RUN,), unread=7)
    text = drawn(replace(VIEW, desk=many), height=30)
    assert len(text.splitlines()) <= 30
    assert "zoo" in text
    assert "more worlds, for which there is no room" in text
    assert "7 more worlds are not read" in text
    assert "w049" in drawn(replace(VIEW, desk=many))


@pytest.mark.parametrize(
    ("epoch", "is_open", "is_held", "is_applying", "state"),
    [
        (0, False, False, False, "idle"),
        (3, True, False, False, "trading"),
        (3, False, False, False, "frozen"),
        (3, False, False, True, "applying"),
        (0, False, False, True, "applying"),
        (3, False, True, True, "held"),
        (0, False, True, False, "held"),
    ],
)
def test_state_is_what_keeps_orders_from_the_venue(
    epoch: int, is_open: bool, is_held: bool, is_applying: bool, state: str
) -> None:
    assert state_of(epoch=epoch, is_open=is_open, is_held=is_held, is_applying=is_applying) == state


def test_document_is_strict_json_with_null_for_what_is_not_known() -> None:
    document = view_document(replace(VIEW, sources=(GATEWAY, EXECUTOR.failed("refused"))), NOON, AT)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["totals"]["accepted_per_s"] == 12.5
    assert document["totals"]["fenced_per_s"] is None
    assert document["totals"]["says"] == "not all is known without executor"
    assert (document["runs"][0]["age_s"], document["runs"][0]["awaited"]) == (42.0, ["executor paper"])
    assert (document["worlds"][1]["holds"], document["gateway"]["age_s"]) == (["operator", "stream_astray"], 1.0)
    fresh, away = document["sources"]
    assert (fresh["fresh"], fresh["sessions"], away["fresh"], away["age_s"]) == (True, 1_234.0, False, 70.0)
    assert all(away[name] is None for name in NAMES)


def test_without_a_terminal_each_round_is_printed_once_known() -> None:
    console = Console(file=io.StringIO(), width=120)
    with shown_views(console) as take:
        take(replace(VIEW, desk=Desk(), desk_at=None))  # the worlds are still to come
        take(VIEW)
        take(replace(VIEW, desk_at=AT))  # the same round
        take(replace(VIEW, sources=(GATEWAY.failed("refused"),)))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("qmtl top") == 2


def test_on_a_terminal_one_screen_changes_and_is_left_as_it_was() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, height=40)
    assert "asking" in str(TopBoard(console).__rich__())
    with shown_views(console) as take:
        take(VIEW)
        wait_until(lambda: "demo" in file.getvalue())
    text = file.getvalue()
    assert text.index("\x1b[?1049h") < text.index("demo") < text.index("\x1b[?1049l")
