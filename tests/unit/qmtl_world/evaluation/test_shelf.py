"""A worker keeps series by content, asks for those that it lacks, and stays within its bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.evaluation.model import EvaluationTask, ReturnSeries
from qmtl_world.evaluation.processes import open_processes
from qmtl_world.evaluation.shelf import Missing, Series, Shelf
from qmtl_world.evaluation.worker import evaluate_series
from tests.support.cohorts import arrow, days

BARS = 300
SERIES = {
    name: ReturnSeries(days(BARS), np.random.default_rng(ord(name)).normal(0, 0.01, BARS)) for name in ("a", "b", "c")
}
OWN = arrow({"ts": days(BARS), "return": SERIES["a"].ret})


def taken(shelf: Shelf, wanted: str, sent: str = "") -> str | tuple[str, ...]:
    found = shelf.take(wanted, {name: SERIES[name] for name in sent})
    return found.series_ids if isinstance(found, Missing) else "".join(found)


def test_what_is_lacking_is_named_once_and_what_was_sent_is_kept() -> None:
    shelf = Shelf()
    assert taken(shelf, "aba") == ("a", "b")
    assert taken(shelf, "ab", sent="a") == ("b",)
    assert taken(shelf, "ab", sent="b") == "ab"
    assert taken(shelf, "ba") == "ba"


def test_beyond_the_bound_the_one_asked_for_longest_ago_goes() -> None:
    shelf = Shelf(max_bars=2 * BARS)
    taken(shelf, "ab", sent="ab")
    taken(shelf, "a")
    assert taken(shelf, "c", sent="c") == "c"
    assert taken(shelf, "ac") == "ac"
    assert taken(shelf, "b") == ("b",)


def test_one_round_may_take_more_than_the_bound() -> None:
    shelf = Shelf(max_bars=BARS)
    assert taken(shelf, "abc", sent="abc") == "abc"
    assert taken(shelf, "c") == "c"


async def test_workers_are_sent_what_they_lack_and_measure_the_same_as_alone() -> None:
    task = EvaluationTask(OWN, b"", b"", 252.0, trial_series=("b", "c"))
    asked: list[Sequence[str]] = []

    async def load(series_ids: Sequence[str]) -> Series:
        asked.append(series_ids)
        return {name: SERIES[name] for name in series_ids}

    async with open_processes() as processes:
        measured = [await processes.measure(task, load) for _ in range(6)]
    assert all(list(names) == ["b", "c"] for names in asked)
    assert 1 <= len(asked) <= 2  # once for each worker
    alone = evaluate_series(task, (SERIES["b"], SERIES["c"])).metrics
    assert all(each.metrics["pbo"] == alone["pbo"] for each in measured)


async def test_series_that_nobody_has_are_an_error() -> None:
    task = EvaluationTask(OWN, b"", b"", 252.0, trial_series=("gone",))

    async def load(_series_ids: Sequence[str]) -> Series:
        return {}

    async with open_processes() as processes:
        with pytest.raises(QmtlError) as caught:
            await processes.measure(task, load)
    assert caught.value.reason is Reason.INTERNAL
