"""The decision: nothing without a policy, a new version is validated, only the active one does as the world says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import Activation
from qmtl_world.worlds.model import (
    Binding,
    BoundDataset,
    World,
    WorldSpec,
    bound_mode,
    check_etag,
    decide,
    switched_mode,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
AS_OF = "2013-03-01T21:00:00Z"
SPEC = WorldSpec("equity", "daily", 252.0, mode=EffectiveMode.PAPER, decision_ttl_s=60)
WORLD = World(SPEC, 1, 1, NOW, NOW)
BINDING = Binding("equity", "ann/Trend", "v2", "s", BoundDataset("daily", AS_OF, "d", AS_OF, NOW, 1.0, 0))


def in_force(version: str | None, mode: EffectiveMode = EffectiveMode.PAPER) -> Activation | None:
    return None if version is None else Activation("ann/Trend", version, 1.0, "long", mode, "d")


V2 = in_force("v2")
LIVE_V2 = in_force("v2", EffectiveMode.LIVE)


@pytest.mark.parametrize(
    ("policy", "active", "mode"),
    [
        (0, None, EffectiveMode.COMPUTE_ONLY),
        (0, "v2", EffectiveMode.COMPUTE_ONLY),
        (1, None, EffectiveMode.VALIDATE),
        (1, "v1", EffectiveMode.VALIDATE),
        (1, "v2", EffectiveMode.PAPER),
    ],
)
def test_only_the_active_version_does_what_the_world_is_set_to(
    policy: int, active: str | None, mode: EffectiveMode
) -> None:
    decision = decide(replace(WORLD, active_policy_version=policy), BINDING, in_force(active), NOW)
    assert (decision.effective_mode, decision.policy_version, decision.as_of) == (mode, policy, AS_OF)
    assert decision.expire_time == NOW + timedelta(seconds=60)
    assert decision.reason


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("applied", [EffectiveMode.COMPUTE_ONLY, EffectiveMode.LIVE])
def test_venue_orders_need_the_owner_and_an_apply_run(allowed: bool, applied: EffectiveMode) -> None:
    world = replace(WORLD, spec=replace(SPEC, mode=EffectiveMode.LIVE, allow_live=allowed))
    decision = decide(world, BINDING, in_force("v2", applied), NOW)
    assert decision.effective_mode is EffectiveMode.LIVE
    assert decision.allow_live is (allowed and applied is EffectiveMode.LIVE)


def test_a_switch_gives_live_only_where_the_owner_allows_it() -> None:
    assert switched_mode(replace(SPEC, mode=EffectiveMode.LIVE)) is EffectiveMode.COMPUTE_ONLY
    assert switched_mode(replace(SPEC, mode=EffectiveMode.LIVE, allow_live=True)) is EffectiveMode.LIVE
    assert switched_mode(SPEC) is EffectiveMode.PAPER


@pytest.mark.parametrize(
    ("hint", "fields", "mode"),
    [
        ("", {}, EffectiveMode.VALIDATE),
        ("compute-only", {}, EffectiveMode.COMPUTE_ONLY),
        ("live", {}, EffectiveMode.VALIDATE),
        ("turbo", {}, EffectiveMode.COMPUTE_ONLY),
        ("", {"as_of": ""}, EffectiveMode.COMPUTE_ONLY),
    ],
)
def test_a_binding_keeps_the_mode_that_follows_from_the_decision(
    hint: str, fields: dict[str, Any], mode: EffectiveMode
) -> None:
    binding = replace(BINDING, dataset=replace(BINDING.dataset, **fields))
    decision = decide(WORLD, binding, None, NOW)
    assert bound_mode(decision, binding, hint, NOW) is mode


def test_the_etag_follows_what_is_decided_and_not_when() -> None:
    decision = decide(WORLD, BINDING, V2, NOW)
    assert decide(WORLD, BINDING, V2, NOW + timedelta(hours=1)).etag == decision.etag
    others = {
        decide(WORLD, BINDING, None, NOW).etag,
        decide(replace(WORLD, active_policy_version=2), BINDING, V2, NOW).etag,
        decide(replace(WORLD, spec=replace(SPEC, allow_live=True)), BINDING, LIVE_V2, NOW).etag,
        decide(WORLD, replace(BINDING, strategy_id="bob/Trend"), V2, NOW).etag,
    }
    assert len({decision.etag, *others}) == 5


def test_the_etag_of_a_world_follows_its_revision() -> None:
    assert WORLD.etag != replace(WORLD, revision=2).etag
    check_etag(WORLD.etag, WORLD.etag)
    with pytest.raises(QmtlError) as caught:
        check_etag("old", WORLD.etag)
    assert caught.value.reason is Reason.STALE_ETAG


@pytest.mark.parametrize("mode", [EffectiveMode.SHADOW, EffectiveMode.VALIDATE])
def test_a_world_is_not_set_to_what_only_strategies_or_operators_reach(mode: EffectiveMode) -> None:
    with pytest.raises(QmtlError, match=r"world\.mode"):
        replace(SPEC, mode=mode)
