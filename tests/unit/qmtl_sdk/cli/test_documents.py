"""Messages as JSON: every field of the contract, the domain's texts, no number that JSON does not have."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime

import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_domain import EffectiveMode as Mode
from qmtl_foundation.execution_model import Fill as FillText
from qmtl_foundation.execution_model import Rebalance as RebalanceText
from qmtl_foundation.execution_model import Sizing as SizingText
from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationSnapshot, StrategyAllocation
from qmtl_sdk._pb.qmtl.common.v1 import EffectiveMode
from qmtl_sdk._pb.qmtl.world.v1 import (
    ExecutionModel,
    Fill,
    GetWorldStatusResponse,
    Policy,
    RuleOutcome,
    SizingRule,
    StrategyStatus,
    World,
)
from qmtl_sdk.cli import documents
from qmtl_sdk.cli.session import OutputForm, Session


def names(message: object) -> set[str]:
    assert dataclasses.is_dataclass(message)
    return {field.name for field in dataclasses.fields(message) if not field.name.startswith("_")}


def test_status_has_every_field_of_the_contract() -> None:
    strategy = StrategyStatus(rules=[RuleOutcome(rule="sharpe")])
    document = documents.status_document(GetWorldStatusResponse(world=World(), strategies=[strategy]))
    assert set(document) == names(GetWorldStatusResponse())
    assert set(document["world"]) == names(World())
    assert set(document["world"]["execution_model"]) == names(ExecutionModel())
    assert set(document["world"]["sizing_rule"]) == names(SizingRule())
    assert set(document["strategies"][0]) == names(StrategyStatus())
    assert set(document["strategies"][0]["rules"][0]) == names(RuleOutcome())


def test_policy_and_allocations_have_every_field_of_the_contract() -> None:
    assert set(documents.policy_document(Policy())) == names(Policy())
    snapshot = documents.allocations_document(AllocationSnapshot(strategies=[StrategyAllocation()]))
    assert set(snapshot) == names(AllocationSnapshot())
    assert set(snapshot["strategies"][0]) == names(StrategyAllocation())


def test_enums_are_the_texts_of_the_domain() -> None:
    assert set(documents.MODES.values()) == {mode.value for mode in Mode}
    assert set(documents.FILLS.values()) == {fill.value for fill in FillText}
    assert set(documents.REBALANCES.values()) == {rebalance.value for rebalance in RebalanceText}
    assert set(documents.SIZINGS.values()) == {sizing.value for sizing in SizingText}


def test_number_of_a_newer_release_is_shown_as_it_is() -> None:
    assert documents.text_of(documents.FILLS, Fill(9)) == "unknown (9)"


@pytest.mark.parametrize(
    ("text", "mode"),
    [("paper", EffectiveMode.PAPER), ("sim", EffectiveMode.PAPER), ("compute-only", EffectiveMode.COMPUTE_ONLY)],
)
def test_mode_is_read_by_its_text(text: str, mode: EffectiveMode) -> None:
    assert documents.mode_of(text) is mode


@pytest.mark.parametrize("text", ["lively", "shadow", "validate"])
def test_mode_that_no_world_has_is_refused_with_those_there_are(text: str) -> None:
    expected = f"mode: '{text}' is no mode of a world; write one of compute-only, paper, live$"
    with pytest.raises(QmtlError, match=expected):
        documents.mode_of(text)


def test_times_are_rfc_3339_in_utc() -> None:
    assert documents.moment(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2024-01-02T03:04:05Z"
    assert documents.moment(None) is None


def test_numbers_that_json_does_not_have_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    Session(OutputForm.JSON).answer({"a": math.nan, "b": [math.inf, 1.5], "c": (2,)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": [2]}


def test_text_that_is_stated_is_never_sent_as_unstated() -> None:
    backwards = dict(reversed(documents.FILLS.items()))
    for texts in (documents.FILLS, backwards):
        assert documents.number_of(texts, FillText.NEXT_OPEN.value) is Fill.NEXT_OPEN
