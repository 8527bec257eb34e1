"""The execution model and the sizing rule refuse what cannot be meant, and identify themselves by value."""

from __future__ import annotations

from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance, Sizing, SizingRule
from qmtl_foundation.identity import canonical_json

NAN = float("nan")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fill", "next_open"),
        ("rebalance", "every_bar"),
        ("can_short", 1),
        ("slippage_bp", -1.0),
        ("slippage_bp", NAN),
        ("fee_bp", 10_000.0),
        ("fee_bp", "5"),
        ("initial_cash", 0.0),
        ("initial_cash", float("inf")),
        ("cash_rate", 3.0),
        ("drift", 0.1),
    ],
)
def test_a_bad_field_is_refused_by_name_and_value(field: str, value: Any) -> None:
    with pytest.raises(QmtlError) as refused:
        ExecutionModel(**{field: value})
    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field == field
    assert repr(value) in refused.value.message


@pytest.mark.parametrize("drift", [0.0, -0.1, 1.5, NAN])
def test_drift_needs_its_distance(drift: float) -> None:
    with pytest.raises(QmtlError, match="drift"):
        ExecutionModel(rebalance=Rebalance.DRIFT, drift=drift)


@pytest.mark.parametrize("limit", [0.0, -1.0, 11.0, NAN])
def test_gross_limit_is_bounded(limit: float) -> None:
    with pytest.raises(QmtlError, match="gross_limit"):
        SizingRule(Sizing.LONG_SHORT, gross_limit=limit)


def test_equal_models_have_equal_canonical_forms() -> None:
    whole = ExecutionModel(fill=Fill.CLOSE, fee_bp=5, initial_cash=1000)
    assert canonical_json(whole.canonical()) == canonical_json(
        ExecutionModel(fill=Fill.CLOSE, fee_bp=5.0, initial_cash=1000.0).canonical()
    )
    assert canonical_json(SizingRule().canonical()) == b'{"gross_limit":1,"kind":"long_only"}'
