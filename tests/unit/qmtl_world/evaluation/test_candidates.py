"""Stored evaluations as candidates: what bars promotion, each by itself, and how old their data is by now."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from qmtl_foundation.execution_model import ExecutionModel, SizingRule
from qmtl_world.evaluation.candidates import to_candidate
from qmtl_world.worlds.model import SharePolicy
from tests.support.records import NOW, SPEC, present, record, stored
from tests.support.records import SERIES as RETURNS

CHANGED_WORLDS: list[tuple[str, dict[str, Any]]] = [
    ("promotion.share_policy", {"share_policy": SharePolicy.UNSTATED}),
    ("promotion.data_preset", {"data_preset": "other"}),
    ("promotion.terms", {"bars_per_year": 365.0}),
    ("promotion.terms", {"execution_model": ExecutionModel(fee_bp=5.0)}),
    ("promotion.gross_limit", {"sizing_rule": SizingRule(gross_limit=0.5)}),
]


def blockers(row: Any, spec: Any = SPEC) -> list[str]:
    return [each.rule for each in to_candidate(row, replace(present(), spec=spec), RETURNS).blockers]


def test_what_was_made_under_the_worlds_own_terms_is_barred_by_nothing() -> None:
    assert blockers(record()) == []


@pytest.mark.parametrize(("rule", "change"), CHANGED_WORLDS)
def test_a_changed_world_bars_what_was_made_before(rule: str, change: dict[str, Any]) -> None:
    assert blockers(record(), replace(SPEC, **change)) == [rule]


@pytest.mark.parametrize("missing", ["dataset_fingerprint", "as_of"])
def test_data_that_is_not_pinned_bars(missing: str) -> None:
    empty: dict[str, Any] = {missing: ""}
    assert blockers(replace(record(), **empty)) == ["promotion.dataset"]


@pytest.mark.parametrize("mode", ["compute-only", "shadow", "mode-99"])
def test_what_was_computed_below_validation_is_barred(mode: str) -> None:
    assert blockers(record(candidate=replace(stored(), effective_mode=mode))) == ["promotion.effective_mode"]


def test_a_cached_result_of_another_context_bars() -> None:
    hit = replace(stored().dataset, cross_context_hits=1)
    assert blockers(record(candidate=replace(stored(), dataset=hit))) == ["promotion.cross_context_hits"]


def test_data_is_as_old_as_it_is_by_now() -> None:
    data = to_candidate(record(), present(), RETURNS).facts.data
    assert (data.age_days, data.behind_days) == ((NOW - NOW.replace(day=1)).days, 3.0)


def test_how_far_behind_is_unknown_without_a_newest_snapshot() -> None:
    unknown = replace(present(), newest_as_of={})
    assert math.isnan(to_candidate(record(), unknown, RETURNS).facts.data.behind_days)
