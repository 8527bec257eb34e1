"""Rates from two readings, resets of counters, and when a figure is not known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.settings import Address
from qmtl_sdk.top.figures import COUNTERS, NAMES, Figures, Labels, Reading, Series, Source, increase, rates, totals
from qmtl_sdk.top.sources import parsed, read_all, sources_of
from tests.support.beside import free_port

ACCEPTED = "orders_accepted_total"
REFUSED = "orders_refused_total"
EXPOSED = """\
# HELP orders_refused_total Intents refused.
# TYPE orders_refused_total counter
orders_refused_total{otel_scope_name="qmtl",reason="GATE_CLOSED"} 3.0
orders_refused_total{otel_scope_name="qmtl",reason="EPOCH_MISMATCH"} 1.0
# HELP runner_sessions Runners' sessions held.
# TYPE runner_sessions gauge
runner_sessions{otel_scope_name="qmtl"} 2.0
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 12.0
"""


def reading(at: float, **values: float) -> Reading:
    return Reading(at, {(name, ()): value for name, value in values.items()})


def source(*readings: Reading, name: str = "gateway") -> Source:
    made = Source(name, "http://x/metrics", since=0.0)
    for each in readings:
        made = made.read(each)
    return made


def test_exposition_is_read_as_far_as_it_is_looked_at() -> None:
    series = parsed(EXPOSED)
    assert sum(value for (name, _), value in series.items() if name == REFUSED) == 4.0
    assert {name for name, _ in series} == {REFUSED, "runner_sessions"}


def test_a_rate_is_the_rise_between_two_readings_per_second() -> None:
    figures = source(
        reading(10.0, orders_accepted_total=5, runner_sessions=1),
        reading(12.0, orders_accepted_total=9, runner_sessions=3),
    ).figures
    assert (figures.accepted_per_s, figures.sessions) == (2.0, 3.0)
    assert figures.fenced_per_s is None


def test_one_reading_has_levels_and_no_rates() -> None:
    figures = source(reading(1.0, orders_accepted_total=5, runner_sessions=0, outbox_lag_seconds=0.5)).figures
    assert figures == Figures(sessions=0.0, outbox_lag_s=0.5)


def test_a_counter_that_began_anew_counts_from_0() -> None:
    assert increase({(ACCEPTED, ()): 100.0}, {(ACCEPTED, ()): 7.0}, ACCEPTED) == 7.0


def test_each_label_is_reset_by_itself_and_a_new_one_began_at_0() -> None:
    closed, full, other = ((("reason", each),) for each in ("GATE_CLOSED", "ORDER_STREAM_FULL", "EPOCH_MISMATCH"))
    before: Series = {(REFUSED, closed): 10.0, (REFUSED, full): 50.0}
    after: Series = {(REFUSED, closed): 12.0, (REFUSED, full): 1.0, (REFUSED, other): 4.0}
    assert increase(before, after, REFUSED) == 2.0 + 1.0 + 4.0


def test_what_is_not_exposed_has_no_rate() -> None:
    assert increase({(ACCEPTED, ()): 1.0}, {}, ACCEPTED) is None
    assert set(rates(reading(0.0), reading(1.0)).values()) == {None}


def test_two_readings_of_one_moment_have_no_rate() -> None:
    moment = reading(1.0, orders_accepted_total=5)
    assert rates(moment, moment)["accepted_per_s"] is None


labels = st.tuples(st.tuples(st.just("reason"), st.sampled_from("abc")))


@given(st.lists(st.dictionaries(labels, st.floats(0, 1e9), min_size=1), min_size=2, max_size=6))
def test_a_rise_is_never_negative_and_at_most_what_is_counted(steps: list[dict[Labels, float]]) -> None:
    series = [{(ACCEPTED, each): value for each, value in step.items()} for step in steps]
    for before, after in pairwise(series):
        risen = increase(before, after, ACCEPTED)
        assert risen is not None
        assert 0.0 <= risen <= sum(after.values()) + 1e-6


@given(st.lists(st.integers(0, 1_000), min_size=1), st.integers(0, 1_000))
def test_rises_without_resets_sum_to_the_whole(steps: list[int], first: int) -> None:
    counts = [first]
    for step in steps:
        counts.append(counts[-1] + step)
    series: list[Series] = [{(ACCEPTED, ()): float(count)} for count in counts]
    risen = [increase(before, after, ACCEPTED) for before, after in pairwise(series)]
    assert math.fsum(each for each in risen if each is not None) == counts[-1] - first


def test_a_source_that_fails_has_no_figures_and_keeps_when_it_was_read() -> None:
    failed = source(reading(3.0, runner_sessions=2)).failed("refused")
    assert (failed.figures, failed.is_fresh, failed.known_at) == (Figures(), False, 3.0)
    back = failed.read(reading(9.0, runner_sessions=1))
    assert (back.figures.sessions, back.is_fresh, back.failure) == (1.0, True, "")
    assert source().failed("").known_at == 0.0


def test_a_rate_over_an_outage_is_over_all_of_its_time() -> None:
    before = source(reading(0.0, orders_accepted_total=10)).failed("refused").failed("refused")
    assert before.read(reading(10.0, orders_accepted_total=30)).figures.accepted_per_s == 2.0


def test_totals_are_sums_and_the_longest_lag() -> None:
    one = source(reading(0.0, orders_accepted_total=0), reading(1.0, orders_accepted_total=3, runner_sessions=1))
    two = source(reading(0.0, orders_accepted_total=0), reading(1.0, orders_accepted_total=4, runner_sessions=5))
    lags = [source(reading(0.0, outbox_lag_seconds=lag)) for lag in (0.5, 2.0)]
    found = totals([one, two, *lags])
    assert (found.accepted_per_s, found.sessions, found.outbox_lag_s) == (7.0, 6.0, 2.0)
    assert found.fenced_per_s is None


def test_a_total_is_not_known_while_one_that_counts_is_away_but_others_are() -> None:
    gateways = [source(reading(0.0, runner_sessions=1)), source(reading(0.0, runner_sessions=4)).failed("refused")]
    world = source(reading(0.0, outbox_lag_seconds=0.0))
    assert totals([*gateways, world]) == Figures(outbox_lag_s=0.0)


def test_what_was_never_read_may_expose_anything() -> None:
    assert totals([source(reading(0.0, runner_sessions=1)), source().failed("refused")]) == Figures()


def test_without_sources_nothing_is_known() -> None:
    assert totals([]) == Figures()


def test_every_figure_has_its_metric() -> None:
    assert set(NAMES) == {*COUNTERS, "sessions", "outbox_lag_s"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://h:1", "http://h:1/metrics"),
        ("https://h:1/", "https://h:1/metrics"),
        ("http://h:1/own/path", "http://h:1/own/path"),
    ],
)
def test_a_source_that_is_named_is_read_at_its_path(given: str, read: str) -> None:
    [found] = sources_of([given, given], Address("127.0.0.1", 1))
    assert (found.url, found.name, found.is_fresh) == (read, "h:1", False)


@pytest.mark.parametrize("url", ["h:1", "ftp://h:1", "http://", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(QmtlError, match=r"write such as http://127\.0\.0\.1:9001/metrics"):
        sources_of([url], Address("127.0.0.1", 1))


async def test_a_source_that_is_away_says_why() -> None:
    [found] = await read_all(sources_of([f"http://127.0.0.1:{free_port()}"], Address("127.0.0.1", 1)))
    assert (found.is_fresh, found.failure) == (False, "Connection refused")
