"""The identity of what may trade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import state_hash
from tests.support.apply_scene import NEW, OLD


def test_a_set_is_the_same_in_any_order() -> None:
    assert state_hash((*OLD, *NEW)) == state_hash((*NEW, *OLD))


@pytest.mark.parametrize(
    "change",
    [
        {"strategy_id": "ann/Other"},
        {"strategy_version": "v2"},
        {"weight": 0.25},
        {"side": "short"},
        {"mode": EffectiveMode.LIVE},
        {"dataset_fingerprint": "g"},
        {"executor": "paper-2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_set_with_anything_changed_is_another(change: dict[str, Any]) -> None:
    assert state_hash([replace(each, **change) for each in OLD]) != state_hash(OLD)
